"""Header trees installed on a host: where distributions put them, and what tells their states apart.

What a tree says of itself is `pre_ast.tree.KernelTree`'s to read. That leaves what only matters for
finding and keeping: the state it is in.
"""
from __future__ import annotations

import hashlib
import os
from typing import Iterable, Iterator, List, Tuple

from rekall_layout_expert.files import Path, resolve_under

_PLACES = (
    "/lib/modules/{release}/build",
    "/usr/lib/modules/{release}/build",
    "/usr/src/linux-headers-{release}",
    "/usr/src/kernels/{release}",
    "/usr/src/linux-{release}",
)
# What a full source tree has besides the headers and the private definitions of core subsystems.
_WITHOUT_TYPES = frozenset(("Documentation", "LICENSES", "certs", "crypto", "drivers", "rust", "samples", "scripts",
                            "sound", "tools", "usr", "virt"))


def installed_trees(release: str, root: Path = "/") -> List[str]:
    """Where the headers of a release may lie on the host mounted at root, each place once."""
    return list(dict.fromkeys(resolve_under(root, place.format(release=release)) for place in _PLACES))


def fingerprint(folders: Iterable[Path], source_architecture: str) -> str:
    """SHA-256 in hex of the names, sizes and times of all files that a Pre-AST may be built from.

    folders: the parts of the tree. source_architecture: the folder's name under arch/. It changes when
    the tree is upgraded or edited, which its release does not.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for name, size, time in _files(folder, source_architecture):
            digest.update(f"{name}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(tree: Path, source_architecture: str) -> Iterator[Tuple[str, int, int]]:
    for folder, folders, names in os.walk(tree):
        relative = os.path.relpath(folder, tree)
        if relative == ".":
            folders[:] = set(folders) - _WITHOUT_TYPES
        elif relative == "arch":
            folders[:] = {source_architecture} & set(folders)
        elif relative == "include":
            # include/config has an empty file for each symbol of the tree's own configuration.
            folders[:] = set(folders) - {"config"}
        folders.sort()
        for name in sorted(names):
            if name.endswith((".h", ".c", ".tbl")) or name in ("Makefile", "Kbuild"):
                status = os.stat(os.path.join(folder, name), follow_symlinks=False)
                yield os.path.join(relative, name), status.st_size, status.st_mtime_ns
