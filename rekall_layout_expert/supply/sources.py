"""Where Pre-ASTs are from: each source yields what matches the kernel well enough, and tells why the rest does not.

A source has a `word`, by which users skip it, and candidates(search), an iterator of Found. It takes
nothing on trust: whatever a place is called, what lies there is held against the kernel.
"""
from __future__ import annotations

import os
import tempfile
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.header_trees import fingerprint
from rekall_layout_expert.supply.library import Library
from rekall_layout_expert.supply.matching import Level, Match, Origin, match_of
from rekall_layout_expert.supply.names import folder_of, name_of
from rekall_layout_expert.supply.transfer import Call, Unreachable
from rekall_layout_expert.version import VERSION


class Search(NamedTuple):
    """kernel: with its architecture. accept: what is less is passed over. report: is told each step.

    looked_at: gets a text for each place that was passed over, with the reason. refused: gets those of files
    that are there and not to be trusted or not to be read: an attack, or a repository that is broken.
    """

    kernel: Kernel
    accept: Level
    report: Callable[[str], None]
    looked_at: List[str]
    refused: List[str]


class Found(NamedTuple):
    """where: in words. name: under which to keep it for next time; None if it is kept, or not to be kept.

    The name of what matches exactly is for that alone.
    """

    pre_ast: PreAst
    match: Match
    where: str
    name: Optional[str] = None


class Published:
    """Repositories that others fill. They are all asked at once: of several dead ones, the time of one is lost."""

    word = "repositories"

    def __init__(self, libraries: Iterable[Library]):
        self._libraries = list(libraries)

    def candidates(self, search: Search) -> Iterator[Found]:
        calls = [Call(_matching_in, library, names_of(search.kernel), search) for library in self._libraries]
        for call in calls:
            call.start()
        for call in calls:
            found, passed_over = call.wait()
            search.looked_at.extend(passed_over)
            for name, each in found:
                yield each._replace(name=name if each.match.level is Level.EXACT else None)


class Kept:
    """Repositories of this host, which also have what was built from its header trees, each under its state."""

    word = "local"

    def __init__(self, repositories: Iterable, trees: HeaderTrees):
        self._libraries, self._trees = [Library(repository) for repository in repositories], trees

    def candidates(self, search: Search) -> Iterator[Found]:
        for library in self._libraries:
            found, passed_over = _matching_in(library, self._names(search), search)
            search.looked_at.extend(passed_over)
            for _, each in found:
                yield each

    def _names(self, search: Search) -> Iterator[str]:
        *by_package, by_release = names_of(search.kernel)
        yield from by_package
        for tree, _ in self._trees.matching(search):
            yield self._trees.name_of(tree, search.kernel)
        yield by_release


class InstalledHeaders:
    """Header trees on this host, from which a Pre-AST is built."""

    word = "headers"

    def __init__(self, trees: HeaderTrees):
        self._trees = trees

    def candidates(self, search: Search) -> Iterator[Found]:
        for tree, match in self._trees.matching(search):
            name = self._trees.name_of(tree, search.kernel)  # before it is read: what changes meanwhile must not be kept as new
            pre_ast = _built(tree.roots[0], search)
            if pre_ast:
                yield Found(pre_ast, match, f"built from the installed headers {tree.roots[0]}", name)
        search.looked_at.extend(self._trees.passed_over)


class HeadersPackage:
    """The distribution's own headers package, unpacked only for as long as the Pre-AST takes to build.

    fetch: gets a kernel, a folder and a report, and returns the header trees that it put below the folder.
    """

    word = "distribution"

    def __init__(self, fetch: Callable[[Kernel, str, Callable[[str], None]], List[str]]):
        self._fetch = fetch

    def candidates(self, search: Search) -> Iterator[Found]:
        try:
            folder = tempfile.TemporaryDirectory(prefix="layout-expert-")
        except OSError as error:
            search.looked_at.append(f"the distribution's headers package (nowhere to unpack it: {error})")
            return
        with folder as path:
            try:
                trees = self._fetch(search.kernel, path, search.report)
            except (LayoutExpertError, OSError) as error:
                search.looked_at.append(f"the distribution's headers package ({error})")
                return
            for tree in trees:
                pre_ast = _built(tree, search)
                match = match_of(search.kernel, Origin.of(pre_ast)) if pre_ast else None
                what = f"the distribution's headers package, {os.path.basename(tree)}"
                if match and match.is_within(search.accept):
                    name = names_of(search.kernel)[0] if match.level is Level.EXACT else None
                    yield Found(pre_ast, match, f"built from {what}", name)
                elif match:
                    search.looked_at.append(f"{what} ({match.why_not_used()})")


class HeaderTrees:
    """Folders that may be the headers of a kernel, each looked at once.

    passed_over: those that are not, with the reason, once they were looked at.
    """

    def __init__(self, paths: Iterable[Path]):
        self._paths = list(paths)
        self._matching: Optional[List[Tuple[KernelTree, Match]]] = None
        self._names: Dict[str, str] = {}
        self.passed_over: List[str] = []

    def matching(self, search: Search) -> List[Tuple[KernelTree, Match]]:
        """The trees that match the kernel well enough, each once though several paths may lead to it."""
        if self._matching is None:
            self._matching = list(self._matches(search))
        return self._matching

    def name_of(self, tree: KernelTree, kernel: Kernel) -> str:
        """Under which the Pre-AST of a tree is kept, in the state in which this was first asked."""
        root = tree.roots[0]
        if root not in self._names:
            state = fingerprint(tree.roots, tree.source_arch)
            self._names[root] = f"{folder_of(kernel.release)}/{kernel.architecture}-{state[:16]}-{VERSION}.past"
        return self._names[root]

    def _matches(self, search: Search) -> Iterator[Tuple[KernelTree, Match]]:
        seen = set()
        for path in self._paths:
            if not os.path.isdir(path):
                self.passed_over.append(f"{path} (absent)")
                continue
            if os.path.realpath(path) in seen:
                continue
            seen.add(os.path.realpath(path))
            try:
                tree = KernelTree(path, search.kernel.architecture)
            except LayoutExpertError as error:
                self.passed_over.append(f"{path} ({error})")
                continue
            match = match_of(search.kernel, Origin(None, tree.release, tree.version, tree.package_version))
            if match.is_within(search.accept):
                yield tree, match
            else:
                self.passed_over.append(f"{path} ({match.why_not_used()})")


def names_of(kernel: Kernel) -> List[str]:
    """Under which names a repository has what matches a kernel exactly, the surest first."""
    packages = [kernel.package_version, None] if kernel.package_version else [None]
    return [name_of(kernel.release, kernel.architecture, package) for package in packages]


def _matching_in(library: Library, names: Iterable[str], search: Search) -> Tuple[List[Tuple[str, Found]], List[str]]:
    """What a library has under these names, up to the first exact match; and what was passed over.

    If none matches exactly, its index is looked through, too: for what flavours of a build share, and what is near.
    """
    found: List[Tuple[str, Found]] = []
    passed_over: List[str] = []
    absent: List[str] = []

    def is_exact(name: str) -> bool:
        place = f"{library}, {name}"
        try:
            pre_ast = library.pre_ast(name)
        except Unreachable:
            raise
        except (LayoutExpertError, OSError) as error:
            passed_over.append(f"{place} ({error})")
            search.refused.append(passed_over[-1])
            return False
        if pre_ast is None:
            absent.append(name)
            return False
        match = match_of(search.kernel, Origin.of(pre_ast))
        if not match.is_within(search.accept):
            passed_over.append(f"{place} ({match.why_not_used()})")
            return False
        found.append((name, Found(pre_ast, match, f"from {place}")))
        return match.level is Level.EXACT

    try:
        if not any(map(is_exact, names)):
            tried = {name for name, _ in found}.union(absent)
            any(is_exact(name) for name in _listed(library, search, passed_over) if name not in tried)
    except Unreachable as error:
        passed_over.append(f"{library} ({error.reason})")
    except (LayoutExpertError, OSError) as error:
        passed_over.append(f"{library}, its index ({error})")
        search.refused.append(passed_over[-1])
    if absent:
        passed_over.append(f"{library} (no {', no '.join(absent)})")
    return found, passed_over


def _listed(library: Library, search: Search, passed_over: List[str]) -> List[str]:
    """The names of what a library's index says to match well enough, at most one of each level, the nearest first.

    passed_over: is told of what would match well enough, were more accepted, one of each level.
    """
    nearest: Dict[Level, str] = {}
    not_accepted: Dict[Level, str] = {}
    for name, entry in sorted(library.index().items()):
        origin = Origin(*map(entry.get, ("arch", "release", "version", "package_version", "common")))
        match = match_of(search.kernel, origin)
        if match.is_within(search.accept):
            nearest.setdefault(match.level, name)
        elif match.level is not None:
            not_accepted.setdefault(match.level, f"{library}, {name} ({match.why_not_used()})")
    passed_over += [place for _, place in sorted(not_accepted.items())]
    return [name for _, name in sorted(nearest.items())]


def _built(tree: Path, search: Search) -> Optional[PreAst]:
    """The Pre-AST of a tree; None if it cannot be built, of which the search is told."""
    search.report(f"BUILDING the Pre-AST of {search.kernel.release} from {tree}")
    try:
        return build_pre_ast(tree, arch=search.kernel.architecture, progress=search.report)
    except LayoutExpertError as error:
        search.looked_at.append(f"{tree} ({error})")
        return None
