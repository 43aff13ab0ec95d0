"""GCC's randstruct plugin, built from a kernel's source against this machine's gcc, as the kernel's build does."""
from __future__ import annotations

import functools
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import List

from kernel_source import source
from kernels import Unavailable, suite

SEED = "0123456789abcdeffedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f0"


class Plugin:
    """The plugin of a kernel's source tree with SEED in it, in a directory of its own."""

    def __init__(self, tree):
        self.source = Path(tree) / "scripts/gcc-plugins/randomize_layout_plugin.c"
        self._directory = tempfile.TemporaryDirectory(prefix="layout-expert-")
        self._path = Path(self._directory.name) / "randomize_layout_plugin.so"
        (self._path.parent / "randomize_layout_seed.h").write_text('const char *randstruct_seed = "%s";\n' % SEED)
        version = Path(tree) / "include/linux/compiler-version.h"
        include = ["-include", str(version)] if version.exists() else []
        done = subprocess.run(
            ["g++", "-shared", "-fPIC", "-fno-rtti", "-fno-exceptions", "-w", '-DPLUGIN_VERSION="test"', *_headers(),
             "-I", str(self._path.parent), "-I", str(self.source.parent), *include, "-o", str(self._path), str(self.source)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode:
            raise Unavailable("the plugin of %s cannot be built: %s" % (tree, done.stderr[-300:]))

    def compiler(self, *options, by_cache_lines=False) -> List[str]:
        """gcc with the plugin."""
        mode = ["-fplugin-arg-randomize_layout_plugin-performance-mode"] if by_cache_lines else []
        return ["gcc", "-fplugin=%s" % self._path, *mode, *options]


@functools.lru_cache(maxsize=None)
def plugin(series):
    """The plugin of Debian's kernel source of a series. Raises Unavailable."""
    missing = [program for program in ("gcc", "g++") if not shutil.which(program)]
    if missing:
        raise Unavailable("not on this machine: " + ", ".join(missing))
    return Plugin(source(series))


def _headers():
    """The options with which g++ finds the headers for plugins: installed ones, or those of this system's packages."""
    directory = subprocess.run(["gcc", "-print-file-name=plugin"], stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    if (Path(directory) / "include/plugin-version.h").exists():
        return ["-I", directory + "/include"]
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    if not found or platform.machine() != "x86_64":
        raise Unavailable("no headers for plugins of this gcc: its plugin-dev package is not installed")
    debian = suite(found.group(1))
    number = re.search(r"/(\d+)/plugin$", directory)
    packages = ["gcc-%s-plugin-dev" % (number.group(1) if number else "12"), "libgmp-dev", "libmpfr-dev", "libmpc-dev"]
    roots = [debian.unpacked(package) for package in packages]
    places = [place for root in roots for pattern in ("usr/lib/gcc/*/*/plugin/include", "usr/include", "usr/include/x86_64-linux-gnu")
              for place in root.glob(pattern)]
    return [option for place in places for option in ("-I", str(place))]
