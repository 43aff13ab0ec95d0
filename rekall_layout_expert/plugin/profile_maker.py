"""From a kernel to its profile: the Pre-AST that matches, and what Rekall needs besides."""
from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from typing import Callable, List, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError, printable
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.plugin import profile_section
from rekall_layout_expert.plugin.failure import is_command_line
from rekall_layout_expert.plugin.options import Sources
from rekall_layout_expert.plugin.subject import Subject
from rekall_layout_expert.supply.repository import DirectoryRepository

# (stage, seconds, what was used, what came of it)
Stage = Tuple[str, float, str, str]


class Stages:
    """The stages passed, each with its time, and the report of what is going on."""

    def __init__(self, session):
        self.passed: List[Stage] = []
        self.refused: List[str] = []  # files of repositories
        self._session = session
        self._since = time.monotonic()

    def report(self, message: str) -> None:
        """Shows progress, as Rekall shows its own. What it names may come from evidence: an address in a sources list."""
        self._session.report_progress("Layout Expert: %s", printable(message), force=True)

    def say(self, message: str) -> None:
        """Says what is not a warning, on the command line, and logs it elsewhere."""
        if is_command_line(self._session) and self._session.logging.isEnabledFor(logging.WARNING):
            print(f"rekall: {message}", file=sys.stderr)
        else:
            self._session.logging.info("Layout Expert: %s", message)

    def done(self, stage: str, what: object, detail: str) -> None:
        """A stage that began when the last one was done."""
        now = time.monotonic()
        self.passed.append((stage, round(now - self._since, 3), str(what), detail))
        self._session.logging.info("Layout Expert: %s (%.3f s): %s, %s", *self.passed[-1])
        self._since = now


def make(subject: Subject, repositories: List[DirectoryRepository], stages: Stages, structs: str = "rekall",
         tree: Optional[str] = None, randstruct_seed: Optional[str] = None, sources: Sources = Sources(),
         read_btf: Callable[[], Optional[bytes]] = lambda: None) -> dict:
    """A profile of the subject. A LayoutExpertError tells what there is none of, or what does not fit.

    tree: the headers or source to build the Pre-AST from; None to look for one. randstruct_seed: as the user gave it.
    sources: where to look. read_btf: reads the kernel's .BTF section, from which the types are taken where there is no
    Pre-AST, unless the user named one.
    """
    # The core takes a while to import, and most starts of Rekall do not need it.
    from rekall_layout_expert import make_profile
    from rekall_layout_expert.supply import NoPreAst

    kernel = subject.kernel
    asked = dict(structs=structs, release=kernel.release if kernel.banner else None, banner=kernel.banner)
    try:
        pre_ast, how, match = pre_ast_of(subject, repositories, stages, tree, sources)
    except NoPreAst as error:  # and nothing else: keys that cannot be read, say, are no reason to do without
        section = None if tree or subject.pre_ast or "btf" in sources.skip else read_btf()
        if section is None:
            raise
        profile = _profile_of_btf(section, subject, asked, error)
        stages.done("pre_ast", error.what, "the types are those of the kernel's own BTF")
    else:
        stages.done("pre_ast", how, f"digest {pre_ast.digest[:16]}")
        symbols = subject.symbols
        stages.done("symbols", symbols.source, f"{len(symbols.addresses)} symbols")
        profile = make_profile(pre_ast, subject.config, symbols, progress=stages.report, randstruct_seed=randstruct_seed, **asked)
        if match:
            profile["$METADATA"]["match"] = {"level": str(match.level), "why": match.why}
    for place in stages.refused:  # what else would not be told, now that there is a profile
        stages.say(f"passed over: {printable(place)}")
    profile[profile_section.NAME] = {"banner": kernel.banner}
    left_out = len(profile["$METADATA"].get("left_out", ()))
    stages.done("profile", f"{len(profile['$STRUCTS'])} structs",
                f"{len(profile['$CONSTANTS'])} constants, {left_out} structs left out")
    return profile


def _profile_of_btf(section: bytes, subject: Subject, asked: dict, missing: LayoutExpertError) -> dict:
    """The profile for which no Pre-AST is needed. missing: why there is none."""
    from rekall_layout_expert.profile.of_btf import profile_of_btf

    try:
        return profile_of_btf(section, subject.config, subject.symbols, **asked)
    except LayoutExpertError as error:
        raise LayoutExpertError(missing.what, (*missing.looked_at, f"the kernel's own BTF ({error.what})"),
                                missing.next_step) from error


def pre_ast_of(subject: Subject, repositories: List[DirectoryRepository], stages: Stages, tree: Optional[str] = None,
               sources: Sources = Sources(), keep: bool = True):
    """The Pre-AST, one line on where it is from, and how well it matches, None if nothing tells.

    keep: whether what is built or fetched is kept for next time.
    NoPreAst tells where it was looked for, another LayoutExpertError what of the user's does not do.
    """
    from rekall_layout_expert import build_pre_ast, read_pre_ast
    from rekall_layout_expert.supply import NoPreAst, find_pre_ast
    from rekall_layout_expert.supply.matching import Level

    if subject.kernel.banner:
        collected = [subject.collection] if subject.collection else []
        where = dict(header_trees=[tree]) if tree else dict(named=subject.pre_ast, repositories=collected + repositories,
                                                            **over_the_network(sources, repositories, stages))
        if subject.unpacked_headers and not tree:
            where["headers_package"] = subject.unpacked_headers
        return find_pre_ast(subject.kernel, subject.config.architecture, progress=stages.report, skip=sources.skip, refused=stages.refused,
                            keep=repositories[-1] if keep and repositories else None, accept=Level.named(sources.accept), **where)
    # Of a kernel that only its files tell of nobody knows the release that others would have to match.
    if tree:
        return build_pre_ast(tree, subject.config.architecture, progress=stages.report), f"built from {tree}", None
    if subject.pre_ast:
        return read_pre_ast(subject.pre_ast), f"named by the user, {subject.pre_ast}", None
    raise NoPreAst(f"nothing tells which kernel {subject.config.source} is of",
                   next_step="name its Pre-AST with --pre_ast, or its headers with --build")


class HeadersOfBuild:
    """What an image does not carry, from the headers of its kernel. unpacked: its headers package; None if it was not fetched."""

    def __init__(self, sources: Sources, repositories: List[DirectoryRepository], stages: Stages, image: str):
        self.unpacked = None
        self._sources, self._repositories, self._stages, self._image = sources, repositories, stages, image

    def config_of(self, kernel: Kernel, looked_at: List[str]) -> KernelConfig:
        """The configuration of exactly that build. Raises LayoutExpertError."""
        from rekall_layout_expert.supply.configuration import UnpackedHeaders, find_config_of_build

        network = over_the_network(self._sources._replace(repositories=()), self._repositories, self._stages)
        self.unpacked = UnpackedHeaders(network["headers_package"])
        return find_config_of_build(kernel, self._image, self._repositories, self.unpacked, skip=self._sources.skip,
                                    keep=self._repositories[-1] if self._repositories else None,
                                    progress=self._stages.report, looked_at=looked_at)


def over_the_network(sources: Sources, repositories: List[DirectoryRepository], stages: Stages) -> dict:
    """The sources that others fill, as find_pre_ast() takes them."""
    from rekall_layout_expert.supply.distribution import headers_of
    from rekall_layout_expert.supply.library import Library
    from rekall_layout_expert.supply.library.signatures import read_keys
    from rekall_layout_expert.supply.repository import repository_at
    from rekall_layout_expert.supply.transfer import Network

    network = Network(sources.offline, stages.report)
    keys = read_keys(sources.keys) if sources.keys else ()

    if keys and sources.repositories and _memory_of("", repositories) is None:
        stages.say("nothing can be remembered of signed repositories, so none is noticed that goes back in time")

    def library_at(place: str) -> Library:
        return Library(repository_at(place, network), keys, _memory_of(place, repositories) if keys else None,
                       report=stages.report)

    return dict(published=[library_at(place) for place in sources.repositories],
                headers_package=lambda kernel, folder, report: headers_of(kernel, folder, network, report=report))


def _memory_of(place: str, repositories: List[DirectoryRepository]) -> Optional[str]:
    """The file in which is kept what was seen of a library, so that it cannot go back in time; None without a place for it."""
    if not repositories:
        return None
    folder = os.path.join(repositories[-1].directory, "pre_ast")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return None
    digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(folder, f"serials-{digest[:16]}.json")
