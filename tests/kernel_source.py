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

# What below include/ a wide root takes.
INCLUDED = ("linux", "net", "uapi", "crypto", "sound", "scsi", "rdma", "drm", "media", "kvm", "acpi", "target", "ras", "video",
            "xen", "pcmcia", "soc", "memory", "misc", "clocksource", "keys")
OF_ANOTHER_TARGET = re.compile(r"/byteorder/|/linux/compiler-")

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

    variables = ()  # further ones for make

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

    def records(self, root=ROOT, defines=()):
        """What gcc makes of the root under that config, with some macros defined: see dwarf.py."""
        self._make("prepare0")
        with tempfile.TemporaryDirectory(dir=str(self.directory)) as scratch:
            unit, object_ = os.path.join(scratch, "root.c"), os.path.join(scratch, "root.o")
            macros = "".join("#define %s\n" % macro for macro in defines)
            Path(unit).write_text(macros + only_what_is_there(Path(root).read_text()))
            command = [*self._compiler(), "-w", "-g", "-fno-eliminate-unused-debug-types", "-I", str(self.tree), "-o", object_]
            try:  # linked, for the linker resolves a million relocations in no time, and pyelftools one by one
                _run([*command, *LINKING, unit], BuildFailed, cwd=self.directory)
            except BuildFailed:  # what gcov adds makes some linkers crash
                if self.architecture in LINKED:
                    raise
                _run([*command, "-c", unit], BuildFailed, cwd=self.directory)
            return read_records(object_)

    def refused(self, headers):
        """Those of the headers that gcc does not take behind the built-in root, all included together. Raises BuildFailed."""
        self._make("prepare0")
        refused = set()
        with tempfile.TemporaryDirectory(dir=str(self.directory)) as scratch:
            base, unit, stubs = Path(scratch, "base.c"), Path(scratch, "unit.c"), Path(scratch, "stubs")
            base.write_text(only_what_is_there(ROOT.read_text()))
            command = [*self._compiler(), "-w", "-ftrack-macro-expansion=0", "-I", str(self.tree), "-include", str(base),
                       "-idirafter", str(stubs)]
            # A missing header would be the end of it: in its place stands one that is an error like others.
            unit.write_text("".join("#include <%s>\n" % header for header in headers))
            names = self._output(command + ["-M", "-MG", str(unit)]).stdout.replace("\\\n", " ").split()[1:]
            for name in names:
                if not (self.directory / name).exists():
                    stub = stubs / os.path.normpath(name)
                    stub.parent.mkdir(parents=True, exist_ok=True)
                    stub.write_text("#error missing\n")
            # Where a header ends inside a declaration, the braces end it, lest the next header takes the blame.
            for behind in ("{}", ""):
                while True:
                    kept = [header for header in headers if header not in refused]
                    unit.write_text("".join("#include <%s>\n%s\n" % (header, behind) for header in kept))
                    done = self._output(command + ["-fsyntax-only", "-fmax-errors=0", str(unit)])
                    found = {kept[(line - 1) // 2] for line in _blamed(done.stderr, str(unit)) if line <= 2 * len(kept)}
                    if not found:
                        break
                    refused |= found
            if done.returncode:
                raise BuildFailed("gcc: " + next((line for line in done.stderr.splitlines() if "error:" in line), "failed"))
        return refused

    def _output(self, command):
        return subprocess.run(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, errors="replace", env=dict(os.environ, LC_ALL="C"))

    def _compiler(self):
        """gcc with the options for kernel/bounds.c, the first file that the kernel's build compiles for the kernel."""
        command = (self.directory / "kernel/.bounds.s.cmd").read_text().split("\n", 1)[0].partition(":=")[2]
        options = shlex.split(command.replace("$(pound)", "#"))
        end = options.index("-S")
        return [option for option in options[:end] if not UNWANTED_OPTION.match(option)]

    def _make(self, *arguments):
        _run(["make", "-s", "-C", str(self.tree), "O=%s" % self.directory, "ARCH=" + self.architecture,
              "CROSS_COMPILE=" + CROSS_COMPILE[self.architecture], *self.variables, *arguments], BuildFailed)


class ClangBuild(Build):
    """The same by the clang that is simply called so."""

    variables = ("CC=clang",)


def headers_of(tree):
    """All headers that the kernel's source offers to its drivers, but those that are for other compilers or byte orders."""
    include = Path(tree) / "include"
    return [str(path.relative_to(include)) for directory in INCLUDED for path in sorted((include / directory).rglob("*.h"))
            if not OF_ANOTHER_TARGET.search(str(path))]


def without(header):
    """The macro that keeps a header out of a wide root."""
    return "CONFIG_WITHOUT_" + re.sub(r"\W", "_", header)


def wide_root(headers):
    """The text of the built-in root and behind it those headers, each under a condition of its own (see `without`)."""
    conditional = "".join("#ifndef %s\n#include <%s>\n#endif\n" % (without(header), header) for header in headers)
    return only_what_is_there(ROOT.read_text()) + conditional


def _blamed(diagnostics, unit):
    """The numbers of the lines of a unit whose headers, not which themselves, gcc complains about."""
    line = None
    place = re.compile(r"\bfrom %s:(\d+)" % re.escape(unit))
    for text in diagnostics.splitlines():
        if text.startswith("In file included from"):
            line = None
        match = place.search(text)
        if match:
            line = int(match.group(1))
        elif " error: " in text and line is not None and not text.startswith(unit):
            yield line


def only_what_is_there(root):
    """A root's text without what this kernel lacks: one root serves all versions."""
    return re.sub(r"^#include (\S+)$", r"#if __has_include(\1)\n#include \1\n#endif", root, flags=re.MULTILINE)


def _run(command, failure, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, errors="replace", env=dict(os.environ, LC_ALL="C"))
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if "error" in line.lower() or "***" in line]
        raise failure("%s: %s" % (command[0], "\n".join(complaints[:5]) or done.stderr.strip()))
