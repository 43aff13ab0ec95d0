"""The clangs of this machine: `clang` and `clang-N` on PATH. A test that needs one skips where there is none.

Debian has them as packages clang, clang-14 … of which several can be installed beside each other.
"""
import functools
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from dwarf import LINKED, LINKING, CompilerRefused, read_records
from rekall_layout_expert.preprocessor.compiler import CLANG_SINCE

NEWEST = 40  # that is looked for

# What clang is told of a target, beside what the kernel's Makefiles say for it (KERNEL_FLAGS).
TARGET_FLAGS = {
    "x86_64": "--target=x86_64-linux-gnu", "i386": "--target=i386-linux-gnu",
    "arm64": "--target=aarch64-linux-gnu", "arm64be": "--target=aarch64_be-linux-gnu",
    "arm": "--target=arm-linux-gnueabi -mlittle-endian -march=armv7-a",
    "armbe": "--target=arm-linux-gnueabi -mbig-endian -march=armv7-a", "s390": "--target=s390x-linux-gnu -march=z10",
    "riscv": "--target=riscv64-linux-gnu -mabi=lp64 -march=rv64imac",
    "riscv32": "--target=riscv32-linux-gnu -mabi=ilp32 -march=rv32imac",
    "powerpc": "--target=powerpc64le-linux-gnu", "powerpc64be": "--target=powerpc64-linux-gnu",
    "powerpc32": "--target=powerpc-linux-gnu",
    "mips": "--target=mips-linux-gnu -mabi=32 -march=mips32r2",
    "mips32el": "--target=mipsel-linux-gnu -mabi=32 -march=mips32r2",
    "mips64": "--target=mips64-linux-gnuabi64 -mabi=64 -march=mips64r2",
    "mips64el": "--target=mips64el-linux-gnuabi64 -mabi=64 -march=mips64r2",
}
_X86 = "-mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -fcf-protection=none -mno-80387"
_POWERPC = "-msoft-float -mno-altivec"
_MIPS = "-msoft-float -G 0 -mno-abicalls -fno-pic -ffreestanding"
KERNEL_FLAGS = {
    "x86_64": _X86 + " -mno-red-zone -mcmodel=kernel",
    "i386": _X86 + " -msoft-float -mregparm=3 -freg-struct-return -ffreestanding -march=i686",
    "arm64": "-mgeneral-regs-only", "arm64be": "-mgeneral-regs-only", "arm": "-marm -msoft-float",
    "armbe": "-marm -msoft-float", "s390": "-mbackchain -msoft-float", "riscv": "-mcmodel=medany",
    "riscv32": "-mcmodel=medany", "powerpc": _POWERPC + " -mno-vsx", "powerpc64be": _POWERPC + " -mno-vsx",
    "powerpc32": _POWERPC, "mips": _MIPS, "mips32el": _MIPS, "mips64": _MIPS, "mips64el": _MIPS,
}


@functools.lru_cache(maxsize=None)
def clangs():
    """{"clang 16.0.6": command} of those on PATH that we know the rules of, the oldest first."""
    found = {}
    for command in ["clang-%d" % major for major in range(CLANG_SINCE, NEWEST)] + ["clang"]:
        if shutil.which(command):
            version = re.search(r"clang version (\d+)\.(\d+)\.(\d+)", run([command, "--version"], ""))
            numbers = tuple(map(int, version.groups())) if version else (0,)
            if numbers[0] >= CLANG_SINCE:
                found.setdefault(numbers, command)
    return {"clang %d.%d.%d" % numbers: command for numbers, command in sorted(found.items())}


def clangs_or_skip():
    """As clangs(); where there is none, the test that asked is skipped with the reason."""
    return clangs() or pytest.skip("no clang on this machine")


def run(command, text):
    """What a command writes to its standard output. Raises CompilerRefused."""
    done = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise CompilerRefused(done.stderr)
    return done.stdout


def compile_records(command, text, target):
    """The records of a C text as clang lays them out: see dwarf.py. Raises CompilerRefused."""
    with tempfile.TemporaryDirectory(prefix="layout-expert-") as directory:
        path = os.path.join(directory, "unit.o")
        kind = [*LINKING, "-fuse-ld=lld"] if target in LINKED else ["-c"]
        # Older ones tell a debugger that they think is gdb less of bit-fields, and that wrongly.
        run([command, *TARGET_FLAGS[target].split(), "-std=gnu11", "-w", "-Wno-incompatible-ms-struct", "-glldb",
             "-fno-eliminate-unused-debug-types", *kind, "-x", "c", "-", "-o", path], text)
        return read_records(path)
