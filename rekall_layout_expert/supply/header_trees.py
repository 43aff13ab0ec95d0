"""Header trees installed on a host: where distributions put them, and which kernel each is of.

A tree is a folder with a Makefile and include/. Debian splits it: linux-headers-RELEASE has what the
build generated, and its Makefile includes that of linux-headers-…-common, which has the rest.
"""
from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from typing import Iterator, List, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.matching import misfit_of

_PLACES = (
    "/lib/modules/{release}/build",
    "/usr/lib/modules/{release}/build",
    "/usr/src/linux-headers-{release}",
    "/usr/src/kernels/{release}",
    "/usr/src/linux-{release}",
)
_FILE_LIMIT = 4 << 20
_INCLUDED_MAKEFILE = re.compile(r"^include\s+(\S+)/Makefile\s*$", re.MULTILINE)
_NUMBERS = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
_UTS_RELEASE = re.compile(r'#define\s+UTS_RELEASE\s+"([^"]+)"')
_CHANGELOG_HEAD = re.compile(rb"\S+ \(([^)\s]+)\)")
_ARCHITECTURE_FOLDERS = {"x86_64": "x86", "i386": "x86"}
# What a full source tree has besides the headers and the private definitions of core subsystems.
_WITHOUT_TYPES = frozenset(("Documentation", "LICENSES", "certs", "crypto", "drivers", "rust", "samples", "scripts",
                            "sound", "tools", "usr", "virt"))


def installed_trees(release: str, root: Path = "/") -> List[str]:
    """Where the headers of a release may lie on the host mounted at root, each place once."""
    return list(dict.fromkeys(resolve_under(root, place.format(release=release)) for place in _PLACES))


class HeaderTree:
    """A header tree and what it says about itself; what it does not say is None.

    release: of the build that made it ("6.1.0-56-amd64"). version: upstream's ("6.1.192").
    package_version: the distribution's ("6.1.192-2"). A LayoutExpertError tells of a folder that is none.
    """

    def __init__(self, path: Path):
        self.path = str(path)
        makefile = self._text(self.path, "Makefile")
        included = _INCLUDED_MAKEFILE.search(makefile or "")
        self.common = self.path
        if included:
            # The link is absolute, yet meant within the tree's own root.
            self.common = os.path.join(os.path.dirname(self.path), os.path.basename(included.group(1)))
            makefile = self._text(self.common, "Makefile")
            if makefile is None:
                raise LayoutExpertError(f"{self.path} lacks its other half: there is no {self.common}",
                                        next_step="install that package as well")
        if makefile is None or not os.path.isdir(os.path.join(self.common, "include", "linux")):
            raise LayoutExpertError(f"{self.path} is no kernel header tree: it has no Makefile or no include/linux")
        found = {name: re.search(rf"^{name}\s*=\s*(\d+)\s*$", makefile, re.MULTILINE) for name in _NUMBERS}
        self.version = ".".join(match.group(1) for match in found.values()) if all(found.values()) else None
        generated = _UTS_RELEASE.search(self._text(self.path, "include/generated/utsrelease.h") or "")
        self.release = generated.group(1) if generated else None
        self.package_version = self._package_version()

    def misfit_of(self, kernel: Kernel) -> Optional[str]:
        """What shows that the tree is not of this kernel's build; None if nothing does."""
        return misfit_of(kernel, release=self.release, version=self.version, package_version=self.package_version)

    def fingerprint(self, architecture: str) -> str:
        """SHA-256 in hex of the names, sizes and times of all files that a Pre-AST may be built from.

        It changes when the tree is upgraded or edited, which its release does not.
        """
        digest = hashlib.sha256()
        for tree in dict.fromkeys((self.path, self.common)):
            for name, size, time in _files(tree, _ARCHITECTURE_FOLDERS.get(architecture, architecture)):
                digest.update(f"{name}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _package_version(self) -> Optional[str]:
        # usr/src/NAME and usr/share/doc/NAME: so also where a package was only unpacked.
        source, name = os.path.split(self.path)
        path = os.path.join(os.path.dirname(source), "share", "doc", name, "changelog.Debian.gz")
        try:
            with gzip.open(path) as changelog:
                head = _CHANGELOG_HEAD.match(changelog.readline(1000))
        except (OSError, EOFError, zlib.error):
            return None
        return head and head.group(1).decode("utf-8", "replace")

    @staticmethod
    def _text(tree: str, name: str) -> Optional[str]:
        try:
            return read_bounded(os.path.join(tree, name), _FILE_LIMIT).decode("utf-8", "replace")
        except LayoutExpertError:
            return None


def _files(tree: str, architecture_folder: str) -> Iterator[Tuple[str, int, int]]:
    for folder, folders, names in os.walk(tree):
        relative = os.path.relpath(folder, tree)
        if relative == ".":
            folders[:] = sorted(set(folders) - _WITHOUT_TYPES)
        elif relative == "arch":
            folders[:] = [architecture_folder] if architecture_folder in folders else []
        elif relative == "include":
            # include/config has an empty file for each symbol of the tree's own configuration.
            folders[:] = sorted(set(folders) - {"config"})
        else:
            folders.sort()
        for name in sorted(names):
            if name.endswith((".h", ".c")) or name == "Makefile":
                status = os.stat(os.path.join(folder, name), follow_symlinks=False)
                yield os.path.join(relative, name), status.st_size, status.st_mtime_ns
