"""Headers packages of openSUSE, and of SUSE where a mirror without a login is configured.

A flavour has its own package, kernel-default-devel, with the configuration and what is generated from it;
it requires kernel-devel, of no architecture, with all other headers. What uname -r shows has no count of
rebuilds, which the packages' own release has; but both provide their names in the version without it.
Leap's update repositories keep what they have had; of Tumbleweed there is a history of snapshots.

Source: openSUSE/kernel-source, rpm/kernel-binary.spec.in and kernel-source.spec.in; zypper(8).
"""
from __future__ import annotations

import re
from typing import Callable, List

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution import os_release
from rekall_layout_expert.supply.distribution.repomd import Package, Requirement
from rekall_layout_expert.supply.distribution.rpm_repositories import (
    Repository, configured, files_under, find_packages, read_variables, unpack_package)
from rekall_layout_expert.supply.distribution.signatures import read_keyring

_REPOSITORIES = ("/etc/zypp/repos.d/*.repo",)
_VARIABLES = ("/etc/zypp/vars.d/*",)
_KEYS = "/usr/lib/rpm/gnupg/keys/*"
_NAMES = re.compile(r"kernel-(.+-)?devel(-.+)?\Z")
_RELEASE = re.compile(r"([^-]+)-([^-]+)-([\w-]+)\Z")
_SNAPSHOT = re.compile(r"20\d{6}\Z")
_HISTORY = "https://download.opensuse.org/history/{snapshot}/tumbleweed/repo/oss/"
# What the packages' architecture is called, where it is not as the kernel names it.
_ARCHITECTURES = {"arm64": "aarch64", "powerpc": "ppc64le", "s390": "s390x", "i386": "i586", "riscv": "riscv64"}


def fetch_headers(kernel: Kernel, folder: Path, network, root: Path, report: Callable[[str], None]) -> None:
    """Unpacks the two packages of exactly this kernel's sources below folder. Raises LayoutExpertError."""
    match = _RELEASE.match(kernel.release)
    if not match:
        raise LayoutExpertError(f"the release {kernel.release} is not named as a kernel of SUSE's is")
    version, release, flavour = match.groups()
    architecture = _ARCHITECTURES.get(kernel.architecture, kernel.architecture)
    variables = read_variables(_VARIABLES, root)
    distribution = os_release(root).get("VERSION_ID", "")
    major, _, minor = distribution.partition(".")
    variables.update(releasever=distribution, releasever_major=major, releasever_minor=minor, basearch=architecture,
                     arch=architecture)
    keys = read_keyring(files_under(_KEYS, root))
    own = f"kernel-{flavour}-devel"

    def belongs(package: Package) -> bool:
        return Requirement(package.name, version, release) in package.provides and \
            package.architecture in (architecture, "noarch")

    looked_at: List[str] = []
    repositories = configured(_REPOSITORIES, root, variables, keys, looked_at)
    if _SNAPSHOT.match(distribution):
        repositories.append(Repository("history", (_HISTORY.format(snapshot=distribution),), keys))
    # One after the other, as a flavour's package and the shared one must be of the same repository.
    for repository in repositories:
        found = find_packages([repository], _NAMES, belongs, folder, network, looked_at)
        # The last of several rebuilds; their sources are the same.
        flavours = [each for each in found if each[0].name == own]
        shared = [each for each in found if flavours and Requirement(each[0].name, version, release) in flavours[-1][0].requires]
        if not flavours or not shared:
            if found:
                looked_at.append(f"{repository.name} (lacks {own} or what it requires)")
            continue
        try:
            for package in (flavours[-1], shared[-1]):
                unpack_package(*package, folder, network, report)
            return
        except LayoutExpertError as error:
            looked_at.append(str(error))
    raise LayoutExpertError(f"no repository has the headers packages of {kernel.release}", looked_at)
