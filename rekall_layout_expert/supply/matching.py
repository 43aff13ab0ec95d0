"""Whether headers, or a Pre-AST built from them, are the running kernel's.

Whatever both sides tell must agree: architecture, release, the distribution's package version and
upstream's version. A vanilla tree, or one of another build, has members that differ without a word.
"""
from __future__ import annotations

import re
from typing import Optional

from rekall_layout_expert.host.release import Kernel, series_of

# Debian's linux-headers-6.1.0-56-common serves 6.1.0-56-amd64 and 6.1.0-56-cloud-amd64, but not
# 6.1.0-56-rt-amd64, which has a patched tree, …-common-rt.
_COMMON = re.compile(r"linux-headers-(.+)-common(?:-(\w+))?\Z")


def misfit_of(kernel: Kernel, architecture: Optional[str] = None, release: Optional[str] = None,
              version: Optional[str] = None, package_version: Optional[str] = None,
              common: Optional[str] = None) -> Optional[str]:
    """What shows that something is not of this kernel's build; None if nothing does.

    The arguments are what it says about itself, None where it says nothing. common: the name of the
    tree that it shares with other flavours of its build.
    """
    if architecture and kernel.architecture and architecture != kernel.architecture:
        return f"for {architecture}, not for {kernel.architecture}"
    if release and release != kernel.release and not _serves(common or "", kernel.release):
        return f"of the kernel {release}, not of {kernel.release}"
    if package_version and kernel.package_version and package_version != kernel.package_version:
        return f"of package version {package_version}, not of {kernel.package_version}"
    if not release and not (version and kernel.version):
        return f"of no release that it names, and nothing says which version {kernel.release} is"
    if version and kernel.version and _numbers(version) != _numbers(kernel.version):
        return f"of version {version}, not of {kernel.version}"
    if version and series_of(version) != kernel.series:
        return f"of version {version}, not of {kernel.series}"
    return None


def certainty_of(kernel: Kernel, release: Optional[str], version: Optional[str],
                 package_version: Optional[str] = None) -> str:
    """How sure it is that what fits is of this kernel's very build, in words."""
    if not release:
        return f"of the same upstream version {version}; what the distribution changed may be missing"
    if release != kernel.release:
        return f"of the headers that it shares with {release}"
    if package_version and kernel.package_version:
        return f"of the same package, {package_version}"
    if version and kernel.version:
        return f"of the same release and version, {kernel.version}"
    return "of the same release; nothing tells whether it is the same build"


def _numbers(version: str) -> str:
    """Without what distributions append: 4.18.0-553 is of 4.18.0."""
    return re.match(r"[\d.]*", version).group().rstrip(".")


def _serves(common: str, release: str) -> bool:
    match = _COMMON.match(common)
    if not match or not release.startswith(match.group(1) + "-"):
        return False
    flavour = release[len(match.group(1)) + 1:]
    return flavour.startswith("rt-") == (match.group(2) == "rt")
