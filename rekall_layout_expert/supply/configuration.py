"""The configuration of a kernel whose image does not carry it, from what the kernel's build left elsewhere.

A header tree of the very build has it as .config, and so has the distribution's headers package. Configurations of two builds
of one release may differ without a word: so only what matches exactly will do, and what it has must fit the kernel.
"""
from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import partial
from typing import Callable, Collection, Iterable, Iterator, List, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded
from rekall_layout_expert.host.config import find_config, misfit_of
from rekall_layout_expert.host.release import Kernel, find_kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.supply.header_trees import installed_trees
from rekall_layout_expert.supply.matching import Level
from rekall_layout_expert.supply.sources import HeadersPackage, HeaderTrees, InstalledHeaders, Kept, Search, names_of

_NEXT_STEP = ("name it with --config_file_path (on the host it is /boot/config-{release} or /proc/config.gz), or install the "
              "kernel's headers package here")
_SIZE_LIMIT = 16 << 20
# How a place is called, and how what it has is read.
_Place = Tuple[str, Callable[[], KernelConfig]]


class UnpackedHeaders:
    """The distribution's headers package, as HeadersPackage of sources wants it, but fetched once only.

    What is unpacked is there as long as this object: configuration and Pre-AST of a kernel are from one download.
    """

    def __init__(self, fetch: Callable[[Kernel, Path, Callable[[str], None]], List[str]]):
        self._fetch = fetch
        self._folder: Optional[tempfile.TemporaryDirectory] = None
        self._trees: List[str] = []

    def __call__(self, kernel: Kernel, folder: Optional[Path], report: Callable[[str], None]) -> List[str]:
        if self._folder is None:
            folder = tempfile.TemporaryDirectory(prefix="layout-expert-")
            self._trees = self._fetch(kernel, folder.name, report)
            self._folder = folder
        return self._trees


def find_config_of_build(kernel: Kernel, source: str, repositories: Iterable = (), headers_package: Optional[Callable] = None,
                         header_trees: Optional[Iterable[Path]] = None, skip: Collection[str] = (), keep=None,
                         progress: Callable[[str], None] = lambda step: None,
                         looked_at: Iterable[str] = ()) -> KernelConfig:
    """The configuration of exactly this kernel's build.

    source: what the kernel was found in, and looked_at: where the configuration is not, both for messages. The others are
    those of find_pre_ast(), headers_package an UnpackedHeaders. A LayoutExpertError names every place.
    """
    search = Search(kernel, Level.EXACT, progress, list(looked_at), [])
    trees = HeaderTrees(installed_trees(kernel.release) if header_trees is None else header_trees)
    sources = ((None, partial(_of_this_host, search)),
               (Kept.word, partial(_kept, repositories, search)),
               (InstalledHeaders.word, partial(_of_trees, trees, search)),
               (HeadersPackage.word, partial(_of_package, headers_package, search, keep)))
    for word, places in sources:
        if word in skip:
            search.looked_at.append(f"{word} (skipped)")
            continue
        for place, read in places():
            try:
                config = read()
                misfit = misfit_of(config, kernel)
            except LayoutExpertError as error:
                misfit = error
            if not misfit:
                return config
            search.looked_at.append(f"{place} ({misfit})")
    raise LayoutExpertError(f"the configuration of the kernel {kernel.release} was not found, and {source} does not carry it",
                            search.looked_at, _NEXT_STEP.format(release=kernel.release))


def _of_this_host(search: Search) -> Iterator[_Place]:
    """Of an image that was taken of this machine, since it was booted."""
    try:
        is_running = find_kernel().banner == search.kernel.banner
    except LayoutExpertError:
        is_running = False
    if is_running:
        yield "this machine", partial(find_config, search.kernel)


def _kept(repositories: Iterable, search: Search) -> Iterator[_Place]:
    for repository in repositories:
        for name in map(_name, names_of(search.kernel)):
            place = f"{repository}, {name}"
            try:
                data = repository.get(name)
            except (LayoutExpertError, OSError) as error:
                search.looked_at.append(f"{place} ({error})")
                continue
            if data is None:
                search.looked_at.append(f"{repository} (no {name})")
            else:
                yield place, partial(KernelConfig.parse, data.decode("utf-8", "replace"), place)


def _of_trees(trees: HeaderTrees, search: Search) -> Iterator[_Place]:
    for tree, _ in trees.matching(search):
        path = os.path.join(tree.roots[0], ".config")
        yield path, partial(KernelConfig.read, path)
    search.looked_at.extend(trees.passed_over)


def _of_package(fetch: Optional[Callable], search: Search, keep) -> Iterator[_Place]:
    what = "the distribution's headers package"
    try:
        trees = HeaderTrees(fetch(search.kernel, None, search.report) if fetch else ())
    except (LayoutExpertError, OSError) as error:
        search.looked_at.append(f"{what} ({error})")
        return
    for path, _ in _of_trees(trees, search):
        yield f"{what}, {os.path.basename(os.path.dirname(path))}", partial(_from_package, path, what, search, keep)


def _from_package(path: Path, what: str, search: Search, keep) -> KernelConfig:
    """The configuration in a package, which is kept for next time."""
    data = read_bounded(path, _SIZE_LIMIT)
    config = KernelConfig.parse(data.decode("utf-8", "replace"), f".config of {what}")
    if keep is not None and not misfit_of(config, search.kernel):
        with suppress(LayoutExpertError, OSError):  # it is there all the same
            keep.put(_name(names_of(search.kernel)[0]), data)
    return config


def _name(of_pre_ast: str) -> str:
    """Beside the Pre-AST of the same build."""
    return os.path.splitext(of_pre_ast)[0] + ".config"
