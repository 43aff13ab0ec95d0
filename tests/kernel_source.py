"""Kernels of any configuration: Debian's kernel source, the kernel's own build as far as its headers, and gcc.

The source is unpacked once and stays pristine, as a Pre-AST is built from it: whatever the kernel's build makes lies in
a directory of its own (make O=). What gcc is given there is the root from which Pre-ASTs are built, with the options
that the kernel's Makefiles chose for that configuration.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import rekall_layout_expert.pre_ast
from dwarf import LINKED, LINKING, read_records
from kernels import SUITES, Unavailable, cache_directory, suite

ROOT = Path(rekall_layout_expert.pre_ast.__file__).with_name("root.c")

# The cross compilers by the kernel's names of the architectures, as Debian names them.
CROSS_COMPILE = {"x86_64": "", "i386": "", "arm64": "aarch64-linux-gnu-", "arm": "arm-linux-gnueabi-",
                 "s390": "s390x-linux-gnu-", "riscv": "riscv64-linux-gnu-", "powerpc": "powerpc64le-linux-gnu-",
                 "mips": "mips-linux-gnu-"}
BUILD_TOOLS = ("make", "gcc", "flex", "bison", "bc", "ld")

# Options that name files of the build's own, and those that keep debug information small or elsewhere.
UNWANTED_OPTION = re.compile(r"-Wp,-M|-gsplit-dwarf|-gz|-femit-struct-debug|-flto")


class BuildFailed(Exception):
    """The kernel's own build or gcc failed: the message says how."""


def source(series):
    """The directory of Debian's current source of a series ('6.1'), as released. Raises Unavailable."""
    package = suite(SUITES[series]).unpacked("linux-source-" + series)
    archive = package / "usr/src" / ("linux-source-%s.tar.xz" % series)
    tree = package / "usr/src" / ("linux-source-" + series)
    if not tree.exists():
        with tempfile.TemporaryDirectory(dir=str(package)) as scratch:
            _run(["tar", "--extract", "--no-same-owner", "--file", str(archive), "--directory", scratch], Unavailable)
            os.rename(os.path.join(scratch, tree.name), tree)
    return tree


def source_or_skip(series):
    """As source(); when it cannot be had, the test that asked is skipped with the reason."""
    import pytest
    try:
        return source(series)
    except Unavailable as reason:
        pytest.skip("no source of Linux %s: %s" % (series, reason))


def missing_tools(architecture):
    """What this machine lacks for configuring a kernel and compiling against its headers."""
    return [tool for tool in BUILD_TOOLS + (CROSS_COMPILE[architecture] + "gcc",) if not shutil.which(tool)]


def build_directory(series, architecture):
    """Where that kernel is configured. One for all configurations, so that the kernel's own tools are built once."""
    return cache_directory() / "builds" / ("%s-%s" % (series, architecture))


class Build:
    """A kernel being configured and its headers generated, in a directory beside the source."""

    def __init__(self, tree, architecture, directory):
        self.tree = Path(tree)
        self.architecture = architecture
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)

    @property
    def config(self):
        return self.directory / ".config"

    def configure(self, target, seed=0, base=None):
        """Writes the config: by a target of the kernel's Makefile, of which randconfig takes a seed, others a base."""
        if base is not None:
            shutil.copyfile(base, self.config)
        self._make(target, "KCONFIG_SEED=%d" % seed)

    def records(self, root=ROOT):
        """What gcc makes of the root under that config: see dwarf.py."""
        self._make("prepare0")
        with tempfile.TemporaryDirectory(dir=str(self.directory)) as scratch:
            unit, object_ = os.path.join(scratch, "root.c"), os.path.join(scratch, "root.o")
            Path(unit).write_text(only_what_is_there(Path(root).read_text()))
            kind = LINKING if self.architecture in LINKED else ("-c",)
            _run([*self._compiler(), "-w", "-g", "-fno-eliminate-unused-debug-types", "-I", str(self.tree), *kind,
                  "-o", object_, unit], BuildFailed, cwd=self.directory)
            return read_records(object_)

    def _compiler(self):
        """gcc with the options for kernel/bounds.c, the first file that the kernel's build compiles for the kernel."""
        command = (self.directory / "kernel/.bounds.s.cmd").read_text().split("\n", 1)[0].partition(":=")[2]
        options = shlex.split(command.replace("$(pound)", "#"))
        end = options.index("-S")
        return [option for option in options[:end] if not UNWANTED_OPTION.match(option)]

    def _make(self, *arguments):
        _run(["make", "-s", "-C", str(self.tree), "O=%s" % self.directory, "ARCH=" + self.architecture,
              "CROSS_COMPILE=" + CROSS_COMPILE[self.architecture], *arguments], BuildFailed)


def only_what_is_there(root):
    """A root's text without what this kernel lacks: one root serves all versions."""
    return re.sub(r"^#include (\S+)$", r"#if __has_include(\1)\n#include \1\n#endif", root, flags=re.MULTILINE)


def _run(command, failure, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, errors="replace", env=dict(os.environ, LC_ALL="C"))
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if "error" in line.lower() or "***" in line]
        raise failure("%s: %s" % (command[0], "\n".join(complaints[:5]) or done.stderr.strip()))
