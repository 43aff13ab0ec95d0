"""Supply: the Pre-AST that belongs to a kernel, from the nearest place that has it.

In order: the file that the user named; the repositories; the headers installed on the host, from
which it is built on the spot and kept for next time. Each is held against the kernel, and nothing of
another build is used.

Names in a repository, for which it needs no index:
    pre_ast/RELEASE/PACKAGE_VERSION/ARCH.past   of a distribution's build that the banner identifies
    pre_ast/RELEASE/ARCH-FINGERPRINT.past       built from a tree on this host, in the state it was in
    pre_ast/RELEASE/ARCH.past                   of a release that was built only once
Packages are upgraded, and build trees edited, without a new release: so the version or the tree's
fingerprint is in the name, and what is kept is never given out for headers that have changed since.
"""
from __future__ import annotations

import os
import re
from typing import Callable, Iterable, Iterator, List, Optional, Union

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.header_trees import HeaderTree, installed_trees
from rekall_layout_expert.supply.matching import misfit_of

# Real ones have about 1 MB.
_SIZE_LIMIT = 64 << 20

_FROM_HEADERS = ("install the kernel's headers ({package}), or name a Pre-AST with --pre_ast: "
                 "`layout_tool build_pre_ast` makes it anywhere, from the unpacked package")


def find_pre_ast(kernel: Union[Kernel, str], architecture: str, named: Optional[Path] = None,
                 repositories: Iterable = (), header_trees: Optional[Iterable[Path]] = None, keep=None,
                 progress: Optional[Callable[[str], None]] = None):
    """The Pre-AST of a kernel, as (PreAst, one line on where it is from).

    kernel: what is known of it, or its release alone. named: the user's file. repositories: objects
    with get(name) -> bytes | None. header_trees: folders; by default where this host has them
    installed. keep: an object with put(name, data), for what is built on the spot; if it cannot be
    kept it is used all the same, and the line says so. progress: is told each step.
    A LayoutExpertError names every place looked at and why each was passed over.
    """
    if isinstance(kernel, str):
        kernel = Kernel.of_release(kernel)
    kernel = kernel._replace(architecture=architecture)
    report = progress or (lambda step: None)
    repositories = list(repositories)
    if named is not None:
        return _named(named, kernel)

    looked_at: List[str] = []
    trees = list(_fitting(installed_trees(kernel.release) if header_trees is None else header_trees, kernel, looked_at))
    for name in _names(kernel, trees):
        for repository in repositories:
            found = _from_repository(repository, name, kernel, looked_at)
            if found:
                return found, f"from {repository}, {name}"
    for tree in trees:
        report(f"building the Pre-AST of {kernel.release} from {tree.path}")
        try:
            return _from_headers(tree, kernel, keep, progress)
        except LayoutExpertError as error:
            looked_at.append(f"{tree.path} ({error})")
    raise LayoutExpertError(
        f"there is no Pre-AST for the kernel {kernel.release} ({architecture})", looked_at,
        _FROM_HEADERS.format(package=f"linux-headers-{kernel.release}, elsewhere kernel-devel-{kernel.release}"))


def _named(path: Path, kernel: Kernel):
    pre_ast = _load(read_bounded(path, _SIZE_LIMIT, unpack=False), str(path))
    misfit = _header_misfit(pre_ast, kernel)
    if misfit:
        raise LayoutExpertError(f"the Pre-AST {path} is {misfit}",
                                next_step="name one that was built from this kernel's own headers")
    return pre_ast, f"named by the user, {path}"


def _from_repository(repository, name: str, kernel: Kernel, looked_at: List[str]):
    place = f"{repository}, {name}"
    try:
        data = repository.get(name)
        if data is None:
            looked_at.append(f"{place} (absent)")
            return None
        pre_ast = _load(data, place)
    except (LayoutExpertError, OSError) as error:
        looked_at.append(f"{place} ({error})")
        return None
    misfit = _header_misfit(pre_ast, kernel)
    if misfit:
        looked_at.append(f"{place} ({misfit})")
        return None
    return pre_ast


def _from_headers(tree: HeaderTree, kernel: Kernel, keep, progress):
    # Only here: a Pre-AST that is at hand needs none of what building one imports.
    from rekall_layout_expert import build_pre_ast
    from rekall_layout_expert.pre_ast.storage import dumps
    pre_ast = build_pre_ast(tree.path, arch=kernel.architecture, progress=progress)
    how = f"built from the installed headers {tree.path}"
    if keep is None:
        return pre_ast, how
    try:
        keep.put(_kept_name(kernel, tree), dumps(pre_ast))
    except (LayoutExpertError, OSError) as error:
        return pre_ast, f"{how}; it could not be kept and will be built again next time: {error}"
    return pre_ast, f"{how} and kept in {keep}"


def _fitting(paths: Iterable[Path], kernel: Kernel, looked_at: List[str]) -> Iterator[HeaderTree]:
    """The header trees that are this kernel's, each once though several paths may lead to it."""
    seen = set()
    for path in paths:
        if not os.path.isdir(path):
            looked_at.append(f"{path} (absent)")
            continue
        if os.path.realpath(path) in seen:
            continue
        seen.add(os.path.realpath(path))
        try:
            tree = HeaderTree(path)
            misfit = tree.misfit_of(kernel)
        except LayoutExpertError as error:
            misfit = str(error)
        if misfit is None:
            yield tree
        else:
            looked_at.append(f"{path} ({misfit})")


def _names(kernel: Kernel, trees: Iterable[HeaderTree]) -> Iterator[str]:
    if kernel.package_version:
        yield f"{_folder(kernel)}/{_safe(kernel.package_version)}/{kernel.architecture}.past"
    for tree in trees:
        yield _kept_name(kernel, tree)
    yield f"{_folder(kernel)}/{kernel.architecture}.past"


def _kept_name(kernel: Kernel, tree: HeaderTree) -> str:
    return f"{_folder(kernel)}/{kernel.architecture}-{tree.fingerprint(kernel.architecture)[:16]}.past"


def _folder(kernel: Kernel) -> str:
    return f"pre_ast/{_safe(kernel.release)}"


def _safe(text: str) -> str:
    """Releases and versions come from evidence and become parts of paths."""
    return re.sub(r"[^\w.+~-]|^\.", "_", text, flags=re.ASCII)


def _load(data: bytes, source: str):
    from rekall_layout_expert.pre_ast.storage import loads
    return loads(data, source)


def _header_misfit(pre_ast, kernel: Kernel) -> Optional[str]:
    header = pre_ast.header
    return misfit_of(kernel, architecture=header.get("arch"), release=header.get("release"),
                     version=header.get("version"), package_version=header.get("package_version"),
                     common=header.get("common"))
