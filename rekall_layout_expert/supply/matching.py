"""How well headers, or a Pre-AST built from them, match a kernel.

Members differ without a word between builds of one release, and between a distribution's tree and upstream's. So whatever
both sides tell is compared: architecture, release, the distribution's package version, upstream's version; and what is less
than the very build has a level, which users must ask for.
"""
from __future__ import annotations

import enum
import re
from typing import NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel, series_of
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.supply.identification import build_of

# Debian's linux-headers-6.1.0-56-common serves 6.1.0-56-amd64 and 6.1.0-56-cloud-amd64, but not
# 6.1.0-56-rt-amd64, which has a patched tree, …-common-rt.
_COMMON = re.compile(r"linux-headers-(.+)-common(?:-(\w+))?\Z")
_LIKE_UPSTREAM = "of the same upstream version {}; what the distribution changed may be missing"
_VANILLA_RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)?\Z")


class Level(enum.IntEnum):
    """How near what is found is to the kernel's own headers, the nearest first."""

    EXACT = 0  # nothing tells them apart, and the release, or the package, names them
    DISTRIBUTION = 1  # the same upstream version, with the patches of the same distribution, of another package build
    UPSTREAM = 2  # upstream's, of the same version: what the distribution patched is missing

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, name: str) -> Level:
        """The level of a name that the user gave. Raises LayoutExpertError."""
        found = next((level for level in cls if str(level) == name), None)
        if found is None:
            raise LayoutExpertError(f"{name!r} is no level of matches", next_step="give " + ", ".join(map(str, cls)))
        return found


class Origin(NamedTuple):
    """What headers, or a Pre-AST, say of themselves; None where they say nothing.

    common: the name of the tree that they share with other flavours of their build. package_version: of Debian's and
    Ubuntu's packages, where the release does not name the build.
    """

    architecture: Optional[str] = None
    release: Optional[str] = None
    version: Optional[str] = None
    package_version: Optional[str] = None
    common: Optional[str] = None

    @classmethod
    def of(cls, pre_ast: PreAst) -> Origin:
        return cls(*map(pre_ast.header.get, ("arch", "release", "version", "package_version", "common")))


class Match(NamedTuple):
    """level: None if it is not used at all. why: how sure that is, or what is against it, in words."""

    level: Optional[Level]
    why: str

    def __str__(self) -> str:
        return self.why if not self.level else f"not exact ({self.level}): {self.why}"

    def is_within(self, accept: Level) -> bool:
        """Whether it is good enough for who accepts that level."""
        return self.level is not None and self.level <= accept

    def why_not_used(self) -> str:
        """What is against it, and what would have it used all the same."""
        return self.why if self.level is None else f"{self.why}: --accept {self.level} would use it"


def match_of(kernel: Kernel, origin: Origin) -> Match:
    """How well what has this origin matches a kernel."""
    trouble = _contradiction(kernel, origin)
    if trouble:
        return Match(None, trouble)
    is_same_release = origin.release == kernel.release or _serves(origin.common or "", kernel.release)
    is_other_package = None not in (origin.package_version, kernel.package_version) \
        and origin.package_version != kernel.package_version
    if is_same_release and is_other_package:
        return Match(Level.DISTRIBUTION, f"of package version {origin.package_version}, not of {kernel.package_version}, "
                                         "of the same release")
    if is_same_release:
        return Match(Level.EXACT, _certainty(kernel, origin))
    if _candidate(origin.version or "") != _candidate(f"{kernel.release} {kernel.package_version}"):
        return Match(None, f"of version {origin.version}, not of {kernel.package_version or kernel.release}")
    return _match_of_other_release(kernel, origin) if origin.release else _match_of_source(kernel, origin)


def _match_of_other_release(kernel: Kernel, origin: Origin) -> Match:
    ours, theirs = build_of(kernel), build_of(Kernel(origin.release, None, None, origin.version, origin.package_version))
    if ours.stream and ours.stream == theirs.stream:
        return Match(Level.DISTRIBUTION, f"of the kernel {origin.release}, not of {kernel.release}, both {ours.stream}")
    if theirs.distribution is None and ours.version and ours.version == _numbers(origin.version or ""):
        return Match(Level.UPSTREAM, f"of the kernel {origin.release}, {_LIKE_UPSTREAM.format(ours.version)}")
    return Match(None, f"of the kernel {origin.release}, not of {kernel.release}")


def _match_of_source(kernel: Kernel, origin: Origin) -> Match:
    """Of a tree in which nothing was built yet, so that it has no release."""
    ours, package = build_of(kernel), origin.package_version
    if not (ours.version and origin.version):
        return Match(None, f"of no release that it names, and nothing says which version {kernel.release} is")
    is_patched_alike = package and "-rt-" not in kernel.release  # that patch is not applied in the source
    if is_patched_alike and package == kernel.package_version:
        return Match(Level.EXACT, f"of the source of the same package, {package}")
    # Debian's package versions begin with upstream's, Ubuntu's do not.
    if is_patched_alike and ours.distribution == ("debian" if package.startswith(_numbers(origin.version)) else "ubuntu"):
        return Match(Level.DISTRIBUTION, f"of the source of package version {package}, not of {kernel.package_version}, "
                                         f"both {ours.stream}")
    if ours.distribution is None and _VANILLA_RELEASE.match(kernel.release):
        return Match(Level.EXACT, f"of the same release, {kernel.release}")
    return Match(Level.UPSTREAM, _LIKE_UPSTREAM.format(ours.version))


def _contradiction(kernel: Kernel, origin: Origin) -> Optional[str]:
    """What shows that it is of another kernel altogether."""
    if origin.architecture and kernel.architecture and origin.architecture != kernel.architecture:
        return f"for {origin.architecture}, not for {kernel.architecture}"
    if origin.version and series_of(origin.version) != kernel.series:
        return f"of version {origin.version}, not of {kernel.series}"
    if origin.version and kernel.version and _numbers(origin.version) != _numbers(kernel.version):
        return f"of version {origin.version}, not of {kernel.version}"
    return None


def _certainty(kernel: Kernel, origin: Origin) -> str:
    if origin.release and origin.release != kernel.release:
        return f"of the headers that it shares with {origin.release}"
    if origin.package_version and kernel.package_version:
        return f"of the same package, {origin.package_version}"
    if origin.version and kernel.version:
        return f"of the same release and version, {kernel.version}"
    return "of the same release; nothing tells whether it is the same build"


def _numbers(version: str) -> str:
    """Without what distributions append: 4.18.0-553 is of 4.18.0."""
    return re.match(r"[\d.]*", version).group().rstrip(".")


def _candidate(version: str) -> Optional[str]:
    """The number of a release candidate, 6.5.0-rc4 or Debian's 6.5~rc4."""
    match = re.search(r"[-~]rc(\d+)", version)
    return match and match.group(1)


def _serves(common: str, release: str) -> bool:
    match = _COMMON.match(common)
    if not match or not release.startswith(match.group(1) + "-"):
        return False
    flavour = release[len(match.group(1)) + 1:]
    return flavour.startswith("rt-") == (match.group(2) == "rt")
