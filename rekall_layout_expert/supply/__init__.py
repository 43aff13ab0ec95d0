"""Supply: the Pre-AST that belongs to a kernel, from the nearest place that has it.

In order: the file that the user named; the repositories of this host; those that its owner configured;
the headers installed on the host, from which it is built on the spot; the distribution's headers
package. Each is held against the kernel, and what is not of its very build is used only if the user
accepts that (`matching.Level`), and if no place has anything nearer.

Names in a repository, for which it needs no index:
    pre_ast/RELEASE/PACKAGE_VERSION/ARCH.past   of a distribution's build that the banner identifies
    pre_ast/RELEASE/ARCH-STATE-TOOL.past        built from a tree on this host, in the state it was in
    pre_ast/RELEASE/ARCH.past                   of a release that was built only once
Packages are upgraded, and build trees edited, without a new release: so the package's version or the
tree's state is in the name, and what is kept is never given out for headers that have changed since,
nor by a later version of this tool, TOOL.
"""
from __future__ import annotations

from typing import Callable, Collection, Iterable, List, Optional, Tuple, Union

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.storage import dumps, read_pre_ast
from rekall_layout_expert.supply.header_trees import installed_trees
from rekall_layout_expert.supply.matching import Level, Match, Origin, match_of
from rekall_layout_expert.supply.sources import (
    Found, HeadersPackage, HeaderTrees, InstalledHeaders, Kept, Published, Search)

# By these users skip a source.
SOURCES = tuple(source.word for source in (Kept, Published, InstalledHeaders, HeadersPackage))

_FROM_HEADERS = ("install the kernel's headers ({package}), or name a Pre-AST with --pre_ast: "
                 "`layout_tool build_pre_ast` makes it anywhere, from the unpacked package")


class NoPreAst(LayoutExpertError):
    """Every place was looked at, and none has a Pre-AST that matches."""


def find_pre_ast(kernel: Union[Kernel, str], architecture: str, named: Optional[Path] = None,
                 repositories: Iterable = (), header_trees: Optional[Iterable[Path]] = None, keep=None,
                 progress: Optional[Callable[[str], None]] = None, accept: Level = Level.EXACT,
                 published: Iterable = (), headers_package: Optional[Callable] = None,
                 skip: Collection[str] = (), refused: Optional[List[str]] = None) -> Tuple[PreAst, str, Match]:
    """The Pre-AST of a kernel, as (PreAst, one line on where it is from, how well it matches).

    kernel: what is known of it, or its release alone. named: the user's file; nothing else is looked at then.
    repositories: objects with get(name) -> bytes | None, this host's. published: libraries of others (library.Library).
    header_trees: folders; by default where this host has them installed. headers_package: fetches the
    distribution's, as sources.HeadersPackage wants it. keep: an object with put(name, data), for what
    was not there at once; if it cannot be kept it is used all the same, and the line says so.
    progress: is told each step. accept: what is less than that is not used. skip: words of SOURCES.
    refused: gets a text for each file of a repository that is there and cannot be used.
    NoPreAst names every place looked at and why each was passed over; any other LayoutExpertError is of the user's file.
    """
    if isinstance(kernel, str):
        kernel = Kernel.of_release(kernel)
    kernel = kernel._replace(architecture=architecture)
    if named is not None:
        return _named(named, kernel, accept)
    trees = HeaderTrees(installed_trees(kernel.release) if header_trees is None else header_trees)
    sources = [Kept(repositories, trees), Published(published), InstalledHeaders(trees)]
    if headers_package:
        sources.append(HeadersPackage(headers_package))
    search = Search(kernel, accept, progress or (lambda step: None), [], [] if refused is None else refused)
    found = _nearest(sources, search, skip)
    if found:
        return found.pre_ast, f"{found.where}: {found.match}{_kept(found, keep)}", found.match
    raise NoPreAst(
        f"there is no Pre-AST for the kernel {kernel.release} ({architecture})", search.looked_at,
        _FROM_HEADERS.format(package=f"linux-headers-{kernel.release}, elsewhere kernel-devel-{kernel.release}"))


def _nearest(sources: Iterable, search: Search, skip: Collection[str]) -> Optional[Found]:
    """The first exact match; if there is none, the first of the nearest."""
    others: List[Found] = []
    for source in sources:
        if source.word in skip:
            search.looked_at.append(f"{source.word} (skipped)")
            continue
        for found in source.candidates(search):
            if found.match.level is Level.EXACT:
                return found
            others.append(found)
    return min(others, key=lambda found: found.match.level, default=None)


def _named(path: Path, kernel: Kernel, accept: Level) -> Tuple[PreAst, str, Match]:
    pre_ast = read_pre_ast(path)
    match = match_of(kernel, Origin.of(pre_ast))
    if not match.is_within(accept):
        raise LayoutExpertError(f"the Pre-AST {path} is {match.why_not_used()}",
                                next_step="name one that was built from this kernel's own headers")
    return pre_ast, f"named by the user, {path}: {match}", match


def _kept(found: Found, keep) -> str:
    """Keeps what is found for next time, and says so."""
    if keep is None or found.name is None:
        return ""
    try:
        keep.put(found.name, dumps(found.pre_ast))
    except (LayoutExpertError, OSError) as error:
        return f"; it could not be kept for next time: {error}"
    return f"; kept in {keep}"
