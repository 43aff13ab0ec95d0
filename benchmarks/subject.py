"""One kernel to measure on: its headers, its config, gcc's command lines for it, and what ours need."""
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import btf  # noqa: E402
import kernels  # noqa: E402
from kernel_gcc import ROOT as BUILT_IN_ROOT  # noqa: E402
from kernel_gcc import kernel_flags, where_present  # noqa: E402

from benchmarks.symbol_table import identifiers_of, symbol_table  # noqa: E402
from rekall_layout_expert.kernel_config import KernelConfig  # noqa: E402
from rekall_layout_expert.pre_ast.model import ROOT  # noqa: E402
from rekall_layout_expert.pre_ast.tree import KernelTree  # noqa: E402
from rekall_layout_expert.profile.agreement import functions_of  # noqa: E402

Unavailable = kernels.Unavailable
ARCHITECTURE = "x86_64"
_INCLUDE = re.compile(r"^#include ([<\"])(.*)[>\"]$", re.M)
# gcc as itself: the headers' own branches for a younger compiler use what this one may not know. And a name, which the
# build gives each file, because inline functions print it.
_NAMES = ['-DKBUILD_MODNAME="root"', '-DKBUILD_BASENAME="root"', '-DKBUILD_MODFILE="root"', "-D__KBUILD_MODNAME=root"]


class Subject:
    """The current Debian amd64 kernel of a series, prepared in a directory. Raises Unavailable."""

    def __init__(self, series, directory):
        self.series = series
        self.directory = Path(directory)
        self.kernel = kernels.kernel(series)
        self.tree, self.config = self.kernel.tree, self.kernel.config
        self.root_text = BUILT_IN_ROOT.read_text()
        self.root = self._write("root.c", where_present(self.root_text))
        config = KernelConfig.read(self.config)
        flags = kernel_flags(self.kernel.common, self.tree, config, as_its_compiler=False)
        self._gcc = ["gcc", "-w", *flags, *_NAMES]
        self.symbols = self._write("kallsyms", symbol_table(identifiers_of(self.kernel.common), functions_of(config)))
        self.pre_ast = self.directory / ("%s.pre_ast" % series)

    def gcc(self, *options, root=None, output):
        """The command line of gcc on the root, writing a file of that name."""
        return self._gcc + [*options, "-o", str(self.directory / output), str(root or self.root)]

    def has_gcc(self):
        return shutil.which("gcc") is not None

    def layout_tool(self, command, *arguments):
        """The command line of a layout_tool command: the installed script's, as users run it."""
        script = Path(sys.executable).with_name("layout_tool")
        start = [script] if script.exists() else ["-m", "rekall_layout_expert.command_line"]
        return [sys.executable, *start, command, *arguments]

    def build(self, root=None, output=None):
        own_root = ["--source_file_path", root] if root else []
        return self.layout_tool("build_pre_ast", *own_root, "--linux_repository_path", self.tree, output or self.pre_ast)

    def make(self, structs, pre_ast=None, symbols=True):
        system = ["--system", self.symbols] if symbols else []
        return self.layout_tool("make_profile", "--config_file_path", self.config, *system, "--structs", structs,
                                pre_ast or self.pre_ast, self.directory / "profile.json")

    def btf(self):
        """A file with the kernel's BTF, which takes the kernel's image. Raises Unavailable, ValueError."""
        path = self.directory / ("%s.btf" % self.series)
        path.write_bytes(btf.section_of(self.kernel.vmlinuz))
        return path

    def part_of_root(self, share):
        """A root with the first of those includes of the built-in one that this kernel has; share: how many of them, 0 to 1."""
        headers = KernelTree(str(self.tree), ARCHITECTURE)
        found = _INCLUDE.finditer(self.root_text)
        lines = [include.group() for include in found if headers.find(include.group(1), include.group(2), ROOT) is not None]
        text = "\n".join(lines[:max(1, round(len(lines) * share))]) + "\n"
        return self._write("root-%.3f.c" % share, text)

    def _write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path
