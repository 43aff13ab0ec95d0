"""A kernel's configuration: what `make config` wrote and /boot/config-RELEASE holds.

The grammar is Kconfig's output: `CONFIG_NAME=value` with y, m, a number or a quoted string, and
`# CONFIG_NAME is not set` for what is off, which is the same as absent. The first comment lines
name the kernel the configuration was made for.
"""
from __future__ import annotations

import hashlib
import re
from typing import Dict, NamedTuple, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded

# The largest distribution configs have 300 KB.
_SIZE_LIMIT = 16 << 20

_ASSIGNMENT = re.compile(r"^(CONFIG_\w+)=(.*?)\s*$", re.ASCII | re.MULTILINE)
# "# Linux/x86 6.1.0 Kernel Configuration"; until 2.6.38 "# Linux kernel version: 2.6.32".
_HEAD = re.compile(r"^# Linux(?:/\S+ (\S+) Kernel Configuration| kernel version: (\S+))", re.MULTILINE)

_COMPILER_VERSION = re.compile(r"[0-9]{5,7}\Z")
# "gcc version 9.3.0 (Ubuntu …)" until 5.7, "gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld …" since.
_COMPILERS = (
    ("clang", re.compile(r"\bclang version (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")),
    ("gcc", re.compile(r"\bgcc version (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")),
    ("gcc", re.compile(r"gcc[^\s()]* \((?:[^()]|\([^()]*\))*\) (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")),
)
_BANNER_LIMIT = 1024  # characters; twice what any kernel's has

# Each architecture's own Kconfig symbol, the more specific first, and the name the kernel's build
# gives it (i386 and x86_64 are its sub-architectures' names). User-mode Linux also sets its host's.
_ARCHITECTURES = (
    ("CONFIG_UML", "um"), ("CONFIG_X86_64", "x86_64"), ("CONFIG_X86_32", "i386"),
    ("CONFIG_ARM64", "arm64"), ("CONFIG_ARM", "arm"), ("CONFIG_MIPS", "mips"),
    ("CONFIG_S390", "s390"), ("CONFIG_PPC", "powerpc"), ("CONFIG_RISCV", "riscv"),
    ("CONFIG_LOONGARCH", "loongarch"), ("CONFIG_SPARC", "sparc"), ("CONFIG_PARISC", "parisc"),
    ("CONFIG_ALPHA", "alpha"), ("CONFIG_IA64", "ia64"), ("CONFIG_M68K", "m68k"),
    ("CONFIG_SUPERH", "sh"), ("CONFIG_ARC", "arc"), ("CONFIG_XTENSA", "xtensa"),
)


class Compiler(NamedTuple):
    """The compiler of a kernel: name "gcc" or "clang", version as (major, minor, patch level)."""

    name: str
    version: Tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


class KernelConfig:
    """What is configured, and what follows from it about the kernel.

    values: {"CONFIG_NAME": "y" | "m" | number as written | string with its quotes}; what is not set
    is absent. source: where it was read, for messages.
    """

    def __init__(self, values: Dict[str, str], source: str, release: Optional[str] = None):
        self.values = values
        self.source = source
        # The version in the head comment ("6.1.90"), seldom the whole release; None if there is none.
        self.release = release

    @classmethod
    def parse(cls, text: str, source: str) -> KernelConfig:
        """Reads a configuration's text. A LayoutExpertError tells that it is none."""
        values = {name: value for name, value in _ASSIGNMENT.findall(text) if value != "n"}
        if not values:
            raise LayoutExpertError(
                f"{source} is no kernel configuration: it sets no CONFIG_ symbol",
                next_step="give the kernel's own, such as /boot/config-RELEASE or /proc/config.gz")
        head = _HEAD.search(text, 0, 1000)
        return cls(values, source, head and (head.group(1) or head.group(2)))

    @classmethod
    def read(cls, path: Path) -> KernelConfig:
        """Reads a configuration file, plain or gzip-compressed."""
        return cls.parse(read_bounded(path, _SIZE_LIMIT).decode("utf-8", "replace"), str(path))

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what is configured: comments, order and source do not matter."""
        canonical = "".join(f"{name}={value}\n" for name, value in sorted(self.values.items()))
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    @property
    def architecture(self) -> Optional[str]:
        """As the kernel names it: x86_64, i386, arm64 …; None if no known architecture is set."""
        return next((name for symbol, name in _ARCHITECTURES if symbol in self.values), None)

    @property
    def compiler(self) -> Optional[Compiler]:
        """The compiler the configuration was made with; None before 4.18, when it was not recorded."""
        for name in ("gcc", "clang"):
            if f"CONFIG_CC_IS_{name.upper()}" in self.values:
                number = self.values.get(f"CONFIG_{name.upper()}_VERSION", "")
                if _COMPILER_VERSION.match(number):  # 120200 is 12.2.0
                    return Compiler(name, (int(number) // 10000, int(number) // 100 % 100, int(number) % 100))
        return None

    def text(self, name: str) -> str:
        """A string symbol without its quotes; empty if it is not set."""
        return re.sub(r"\\(.)", r"\1", self.values.get(name, '""')[1:-1])


def compiler_of(text: str) -> Optional[Compiler]:
    """The compiler in a banner or in compile.h's LINUX_COMPILER."""
    for name, pattern in _COMPILERS:
        match = pattern.search(text, 0, _BANNER_LIMIT)
        if match:
            return Compiler(name, tuple(int(number or 0) for number in match.groups()))
    return None
