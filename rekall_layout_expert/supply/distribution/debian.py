"""Debian's and Ubuntu's headers packages of exactly one build of the kernel.

linux-headers-RELEASE is a flavour's; it depends on the package with the headers that flavours share, in
Debian linux-headers-…-common, in Ubuntu linux-headers-5.4.0-84 or linux-hwe-6.8-headers-6.8.0-45, and since
Debian 14 on linux-base-RELEASE, which has the changelog that tells the version of all. That version is one, and
the one that the banner names: another build of the same release has other headers.

They are looked for in the host's own sources, all suites at once, and of their indexes the smallest
first, which are those of security and updates; then where superseded builds are kept (`snapshots`).
"""
from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, resolve_under
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution import distribution_of
from rekall_layout_expert.supply.distribution.apt_repository import (
    Index, Package, Repository, depended_on, fetch_package)
from rekall_layout_expert.supply.distribution.apt_sources import (
    Source, distribution_keyring, proxies_of, sources_of, trusted_keyring)
from rekall_layout_expert.supply.distribution.archives import deb_members, unpack
from rekall_layout_expert.supply.distribution.snapshots import Archives, debian_snapshots, ubuntu_snapshots
from rekall_layout_expert.supply.transfer import NotFound

_AT_ONCE = 6  # requests
_UBUNTU = re.compile(r" #\d+\S*-Ubuntu ")
_PACKAGES = re.compile(rb"linux-(?:(?:[\w.+-]*-)?headers|base)-[\w.+~-]+")
# Debian's architectures for one of the kernel's, where they are called otherwise.
_ARCHITECTURES = {
    "x86_64": ("amd64",), "arm": ("armhf", "armel"), "powerpc": ("ppc64el", "ppc64", "powerpc"), "s390": ("s390x",),
    "mips": ("mips64el", "mipsel", "mips"), "riscv": ("riscv64",), "loongarch": ("loong64",),
}


def fetch_headers(kernel: Kernel, folder: Path, network, root: Path = "/",
                  report: Optional[Callable[[str], None]] = None, archives: Archives = Archives()) -> None:
    """Unpacks the headers packages of exactly this build below folder, as if they were installed there.

    root: the host whose sources and keyrings count. archives: what keeps superseded builds. A
    LayoutExpertError names each place looked at and why it did not do.
    """
    report = report or (lambda step: None)
    network = network.through(proxies_of(root))
    looked_at: List[str] = []
    for sources in _places(kernel, network, root, archives, looked_at):
        for packages in _found(kernel, sources, network, report, looked_at):
            try:
                for copies in packages:
                    _unpack(copies, folder, network, report)
                return
            except LayoutExpertError as error:
                looked_at.append(str(error))
    build = f" in version {kernel.package_version}" if kernel.package_version else ""
    raise LayoutExpertError(f"no archive that could be asked has {_package(kernel)}{build}", looked_at)


def _places(kernel: Kernel, network, root: Path, archives: Archives, looked_at: List[str]) -> Iterator[List[Source]]:
    """Groups of sources; each is searched as a whole before the next."""
    of_host = distribution_of(root)
    name = _distribution(kernel) or ("ubuntu" if "ubuntu" in of_host else "debian")
    sources = sources_of(root) if name in of_host or not of_host else []
    if sources:
        yield sources
    else:
        looked_at.append(f"{resolve_under(root, '/etc/apt')} (no source that {name}'s packages can be fetched from)")
    keyring = distribution_keyring(root, name)
    keyring = keyring if keyring.data else trusted_keyring(root)
    try:
        if name == "ubuntu":
            yield from ubuntu_snapshots(kernel, _package(kernel), _architectures(kernel), keyring, network, archives)
        else:
            yield from debian_snapshots(kernel, _package(kernel), _architectures(kernel), keyring, network, archives,
                                        [source.suite for source in sources])
    except LayoutExpertError as error:
        looked_at.append(str(error))


def _found(kernel: Kernel, sources: List[Source], network, report,
           looked_at: List[str]) -> Iterator[List[List[Package]]]:
    """The packages to unpack, of each the copies listed so far, the last first; again when further copies are found."""
    repositories: List[Repository] = []
    passed_over: Dict[Tuple[str, str], List[str]] = {}  # suites by archive and reason
    for source, repository in zip(sources, _opened(sources, network)):
        if isinstance(repository, Repository):
            report(f"VERIFIED {source.uri} {source.suite}, signed by {repository.signed_by}")
            repositories.append(repository)
        elif isinstance(repository, NotFound):
            passed_over.setdefault((source.uri, "no such suite"), []).append(source.suite)
        else:
            looked_at.append(str(repository))
    indexes: List[Tuple[Index, Repository]] = [
        (index, repository) for repository in repositories for index in repository.indexes(_architectures(kernel))]
    listed: Dict[str, List[Package]] = {}
    for index, repository in sorted(indexes, key=lambda each: each[0].size):
        try:
            added = list(repository.packages(index, _PACKAGES))
        except LayoutExpertError as error:
            looked_at.append(str(error))
            continue
        for package in added:
            listed.setdefault(package.name, []).insert(0, package)
        packages = _needed(kernel, listed)
        if any(copies[0] in added for copies in packages):
            yield packages
    for repository in repositories:
        versions = sorted({package.version for package in listed.get(_package(kernel), ())
                           if package.archive == repository.source.uri})
        reason = f"lists it in version {', '.join(versions)}" if versions else "does not have it"
        passed_over.setdefault((repository.source.uri, reason), []).append(repository.source.suite)
    looked_at += [f"{uri} {' '.join(suites)} ({reason})" for (uri, reason), suites in passed_over.items()]


def _opened(sources: List[Source], network) -> list:
    """For each source its Repository, or the LayoutExpertError that tells why there is none."""
    def opened(source: Source):
        try:
            return Repository(source, network)
        except LayoutExpertError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(opened, sources))


def _needed(kernel: Kernel, listed: Dict[str, List[Package]]) -> List[List[Package]]:
    """The kernel's package and the headers packages that it needs, all of one version; none if one is missing."""
    pending, needed = [_package(kernel)], {}
    version = kernel.package_version
    while pending:
        name = pending.pop()
        copies = listed.get(name, [])
        if version is None and copies:  # nothing tells which build it is: the newest
            version = max((package.version for package in copies), key=_order)
        needed[name] = [package for package in copies if _build(package.version) == _build(version)]
        if not needed[name]:
            return []
        pending += [dependency for dependency in depended_on(needed[name][0])
                    if _PACKAGES.fullmatch(dependency.encode()) and dependency not in needed]
    return list(needed.values())


def _unpack(copies: List[Package], folder: Path, network, report) -> None:
    """Fetches a package, from the first that has it as it was signed, and unpacks it."""
    for number, package in enumerate(copies, 1):
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                fetch_package(package, file, network)
            except LayoutExpertError:
                if number < len(copies):
                    continue
                raise
            report(f"UNPACKING {package.name} {package.version}")
            unpack(deb_members(file, package.path), folder, package.path)
            return


def _distribution(kernel: Kernel) -> Optional[str]:
    """As the banner has it, which also tells where an image is analysed on a host of another one."""
    if kernel.banner and _UBUNTU.search(kernel.banner):
        return "ubuntu"
    return "debian" if kernel.banner and kernel.package_version else None


def _package(kernel: Kernel) -> str:
    return f"linux-headers-{kernel.release}"


def _architectures(kernel: Kernel) -> Tuple[str, ...]:
    return _ARCHITECTURES.get(kernel.architecture, (str(kernel.architecture),))


def _build(version: str) -> str:
    """A version as the banner has it: without epoch, and without the number of a rebuild of the package alone."""
    return re.sub(r"\A\d+:|\+b\d+\Z", "", version)


def _order(version: str):
    from debian.debian_support import Version

    return Version(version)
