"""The headers of a kernel from its distribution's own packages, which are fetched and unpacked, never installed.

Neither apt nor dnf has to work on the host, or to be there: its configuration tells which archives it
trusts and with which keys, and the rest is done here. What no signature covers is not used.

A family of distributions is a module with fetch_headers(kernel, folder, network, root, report): it
unpacks the kernel's headers below folder, as they would lie below / were they installed.
"""
from __future__ import annotations

import importlib
import os
import re
from typing import Callable, List, NamedTuple, Optional, Pattern

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.header_trees import installed_trees
from rekall_layout_expert.supply.transfer import OFFLINE

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_OS_RELEASE_LIMIT = 1 << 16


class _Family(NamedTuple):
    """module: of this package. names: ID or ID_LIKE in os-release. kernels: what their banners contain."""

    module: str
    names: frozenset
    kernels: Pattern


_FAMILIES = (
    _Family("debian", frozenset(("debian", "ubuntu")), re.compile(r" #\d+\S*-Ubuntu | #\d+ .*\bDebian [\d:.]+")),
    _Family("yum", frozenset(("fedora", "rhel", "centos", "rocky", "almalinux", "ol")),
            re.compile(r"Linux version \S+\.(?:el|fc)\d")),
    _Family("suse", frozenset(("suse", "opensuse")), re.compile(r"\(geeko@buildhost\)")),
    _Family("arch", frozenset(("arch",)), re.compile(r"\(linux\S*@archlinux\)")),
    _Family("alpine", frozenset(("alpine",)), re.compile(r" #\d+-Alpine ")),
)


def headers_of(kernel: Kernel, folder: Path, network, root: Path = "/",
               report: Optional[Callable[[str], None]] = None) -> List[str]:
    """Fetches the headers packages of exactly this kernel's build; the paths of the header trees in them.

    folder: an empty one, to be thrown away with what is unpacked into it. network: a transfer.Network.
    root: the host whose configuration tells where its packages are from. report: is told each step. A
    LayoutExpertError names every place looked at and why it did not do.
    """
    if network.offline:
        raise LayoutExpertError(OFFLINE)
    report = report or (lambda step: None)
    names = distribution_of(root)
    family = next((family for family in _FAMILIES if kernel.banner and family.kernels.search(kernel.banner)), None) or \
        next((family for name in names for family in _FAMILIES if name in family.names), None)
    if family is None:
        raise LayoutExpertError(
            f"it is not known where the headers packages of {names[0] if names else 'this distribution'} are",
            [resolve_under(root, place) for place in _OS_RELEASE])
    module = importlib.import_module(f"{__name__}.{family.module}")
    module.fetch_headers(kernel, folder, network, root, report)
    trees = [tree for tree in installed_trees(kernel.release, folder) if os.path.isdir(tree)]
    if not trees:
        raise LayoutExpertError(f"the headers packages of {kernel.release} hold no header tree",
                                installed_trees(kernel.release, folder))
    return trees


def os_release(root: Path = "/") -> dict:
    """The fields of os-release of the host mounted at root; empty if it has none."""
    for place in _OS_RELEASE:
        try:
            text = read_bounded(resolve_under(root, place), _OS_RELEASE_LIMIT).decode("utf-8", "replace")
        except LayoutExpertError:
            continue
        return {name: value.strip("\"'") for name, value in re.findall(r"^(\w+)=(.*?)\s*$", text, re.M)}
    return {}


def distribution_of(root: Path = "/") -> List[str]:
    """What the host's distribution is called, then those that it is derived from: ["ubuntu", "debian"]."""
    fields = os_release(root)
    return [name for key in ("ID", "ID_LIKE") for name in fields.get(key, "").lower().split()]
