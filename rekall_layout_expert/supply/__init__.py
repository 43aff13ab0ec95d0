"""Supply: the Pre-AST that belongs to a kernel, from the nearest place that has it.

In order: the file that the user named; the repositories; the headers installed on the host, from
which it is built on the spot and kept for next time. Each is held against the kernel, and what is not of its
very build is used only if the user accepts that (`matching.Level`).

Names in a repository, for which it needs no index:
    pre_ast/RELEASE/PACKAGE_VERSION/ARCH.past   of a distribution's build that the banner identifies
    pre_ast/RELEASE/ARCH-STATE-TOOL.past        built from a tree on this host, in the state it was in
    pre_ast/RELEASE/ARCH.past                   of a release that was built only once
Packages are upgraded, and build trees edited, without a new release: so the package's version or the
tree's state is in the name, and what is kept is never given out for headers that have changed since,
nor by a later version of this tool, TOOL.
"""
from __future__ import annotations

import os
import re
from typing import Callable, Iterable, Iterator, List, Optional, Tuple, Union

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.storage import dumps, loads, read_pre_ast
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.header_trees import fingerprint, installed_trees
from rekall_layout_expert.supply.matching import Level, Match, Origin, match_of
from rekall_layout_expert.version import VERSION

_FROM_HEADERS = ("install the kernel's headers ({package}), or name a Pre-AST with --pre_ast: "
                 "`layout_tool build_pre_ast` makes it anywhere, from the unpacked package")


def find_pre_ast(kernel: Union[Kernel, str], architecture: str, named: Optional[Path] = None,
                 repositories: Iterable = (), header_trees: Optional[Iterable[Path]] = None, keep=None,
                 progress: Optional[Callable[[str], None]] = None,
                 accept: Level = Level.EXACT) -> Tuple[PreAst, str, Match]:
    """The Pre-AST of a kernel, as (PreAst, one line on where it is from, how well it matches).

    kernel: what is known of it, or its release alone. named: the user's file. repositories: objects
    with get(name) -> bytes | None. header_trees: folders; by default where this host has them
    installed. keep: an object with put(name, data), for what is built on the spot; if it cannot be
    kept it is used all the same, and the line says so. progress: is told each step.
    accept: what is less than that is not used. A LayoutExpertError names every place looked at and why each was passed over.
    """
    if isinstance(kernel, str):
        kernel = Kernel.of_release(kernel)
    kernel = kernel._replace(architecture=architecture)
    report = progress or (lambda step: None)
    repositories = list(repositories)
    if named is not None:
        return _named(named, kernel, accept)

    looked_at: List[str] = []
    if header_trees is None:
        header_trees = installed_trees(kernel.release)
    trees = list(_fitting_trees(header_trees, kernel, looked_at, accept))
    for name in _names(kernel, trees):
        for repository in repositories:
            found = _from_repository(repository, name, kernel, looked_at, accept)
            if found:
                return (found[0], f"from {repository}, {name}: {found[1]}", found[1])
    for tree, match in trees:
        report(f"BUILDING the Pre-AST of {kernel.release} from {tree.roots[0]}")
        try:
            return (*_from_headers(tree, kernel, match, keep, progress), match)
        except LayoutExpertError as error:
            looked_at.append(f"{tree.roots[0]} ({error})")
    raise LayoutExpertError(
        f"there is no Pre-AST for the kernel {kernel.release} ({architecture})", looked_at,
        _FROM_HEADERS.format(package=f"linux-headers-{kernel.release}, elsewhere kernel-devel-{kernel.release}"))


def _named(path: Path, kernel: Kernel, accept: Level) -> Tuple[PreAst, str, Match]:
    pre_ast = read_pre_ast(path)
    match = match_of(kernel, Origin.of(pre_ast))
    if not match.is_within(accept):
        raise LayoutExpertError(f"the Pre-AST {path} is {match.why_not_used()}",
                                next_step="name one that was built from this kernel's own headers")
    return pre_ast, f"named by the user, {path}: {match}", match


def _from_repository(repository, name: str, kernel: Kernel, looked_at: List[str],
                     accept: Level) -> Optional[Tuple[PreAst, Match]]:
    place = f"{repository}, {name}"
    try:
        data = repository.get(name)
        if data is None:
            looked_at.append(f"{place} (absent)")
            return None
        pre_ast = loads(data, place)
    except (LayoutExpertError, OSError) as error:
        looked_at.append(f"{place} ({error})")
        return None
    match = match_of(kernel, Origin.of(pre_ast))
    if not match.is_within(accept):
        looked_at.append(f"{place} ({match.why_not_used()})")
        return None
    return pre_ast, match


def _from_headers(tree: KernelTree, kernel: Kernel, match: Match, keep, progress) -> Tuple[PreAst, str]:
    name = _kept_name(kernel, tree)  # before it is read: what changes meanwhile must not be kept as new
    pre_ast = build_pre_ast(tree.roots[0], arch=kernel.architecture, progress=progress)
    how = f"built from the installed headers {tree.roots[0]}: {match}"
    if keep is None:
        return pre_ast, how
    try:
        keep.put(name, dumps(pre_ast))
    except (LayoutExpertError, OSError) as error:
        return pre_ast, f"{how}; it could not be kept and is built again next time: {error}"
    return pre_ast, f"{how}; kept in {keep}"


def _fitting_trees(paths: Iterable[Path], kernel: Kernel, looked_at: List[str],
                   accept: Level) -> Iterator[Tuple[KernelTree, Match]]:
    """The header trees that match the kernel, each once though several paths may lead to it."""
    seen = set()
    for path in paths:
        if not os.path.isdir(path):
            looked_at.append(f"{path} (absent)")
            continue
        if os.path.realpath(path) in seen:
            continue
        seen.add(os.path.realpath(path))
        try:
            tree = KernelTree(path, kernel.architecture)
        except LayoutExpertError as error:
            looked_at.append(f"{path} ({error})")
            continue
        match = match_of(kernel, Origin(None, tree.release, tree.version, tree.package_version))
        if match.is_within(accept):
            yield tree, match
        else:
            looked_at.append(f"{path} ({match.why_not_used()})")


def _names(kernel: Kernel, trees: Iterable[Tuple[KernelTree, Match]]) -> Iterator[str]:
    if kernel.package_version:
        yield f"{_folder(kernel)}/{_safe(kernel.package_version)}/{kernel.architecture}.past"
    for tree, _ in trees:
        yield _kept_name(kernel, tree)
    yield f"{_folder(kernel)}/{kernel.architecture}.past"


def _kept_name(kernel: Kernel, tree: KernelTree) -> str:
    state = fingerprint(tree.roots, tree.source_arch)
    return f"{_folder(kernel)}/{kernel.architecture}-{state[:16]}-{VERSION}.past"


def _folder(kernel: Kernel) -> str:
    return f"pre_ast/{_safe(kernel.release)}"


def _safe(text: str) -> str:
    """Releases and versions come from evidence and become parts of paths."""
    return re.sub(r"[^\w.+~-]|^\.", "_", text, flags=re.ASCII)
