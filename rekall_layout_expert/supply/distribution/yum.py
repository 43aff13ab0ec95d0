"""Headers packages of RHEL and what is built from its sources (CentOS, Rocky, Alma, Oracle), and of Fedora.

The host's own repositories are asked first; then the archives in which the distribution keeps the builds
that it has superseded, and for Fedora the build system. The package that belongs to a kernel provides
kernel-devel-uname-r in the version that uname -r shows, whichever flavour it is of.

Sources: what the distributions publish of their archives; koji's layout of packages, data/signed/KEY.
"""
from __future__ import annotations

import re
import tempfile
from typing import Callable, Iterator, List, NamedTuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution import distribution_of, os_release
from rekall_layout_expert.supply.distribution.repomd import Package, Requirement
from rekall_layout_expert.supply.distribution.rpm_repositories import (
    PACKAGE_LIMIT, Repository, configured, files_under, find_packages, read_variables, unpack_package, unpack_rpm)
from rekall_layout_expert.supply.distribution.signatures import Keyring, fingerprints, read_keyring

_REPOSITORIES = ("/etc/yum.repos.d/*.repo", "/etc/distro.repos.d/*.repo", "/usr/share/dnf5/repos.d/*.repo")
_VARIABLES = ("/usr/share/dnf5/vars.d/*", "/etc/yum/vars/*", "/etc/dnf/vars/*")
_KEYS = "/etc/pki/rpm-gpg/*"
_NAMES = re.compile(r"kernel(-.+)?-devel\Z")
_UNAME = "kernel-devel-uname-r"
# Those of which uname -r is the package's version, should they not say so: of RHEL, Oracle and ELRepo.
_PLAIN = ("kernel-devel", "kernel-uek-devel", "kernel-ml-devel", "kernel-lt-devel")

# The last part of a release of these distributions, and what $basearch is there.
_BASE_ARCHITECTURES = {"i686": "i386", "i586": "i386", "i486": "i386", "armv7l": "armhfp", "armv7hl": "armhfp"}
_PACKAGE_ARCHITECTURES = ("x86_64", "i686", "i586", "i486", "aarch64", "ppc64le", "ppc64", "s390x", "armv7hl", "riscv64")

# The build number with which each minor release of RHEL began, by its kernel's version: CentOS, Rocky and Alma
# keep each of them in a directory of its own.
_MINORS = {
    "3.10.0": ((123, "7.0.1406"), (229, "7.1.1503"), (327, "7.2.1511"), (514, "7.3.1611"), (693, "7.4.1708"),
               (862, "7.5.1804"), (957, "7.6.1810"), (1062, "7.7.1908"), (1127, "7.8.2003"), (1160, "7.9.2009")),
    "4.18.0": ((80, "8.0.1905"), (147, "8.1.1911"), (193, "8.2.2004"), (240, "8.3.2011"), (305, "8.4.2105"),
               (348, "8.5.2111"), (372, "8.6"), (425, "8.7"), (477, "8.8"), (513, "8.9"), (553, "8.10")),
    "5.14.0": ((70, "9.0"), (162, "9.1"), (284, "9.2"), (362, "9.3"), (427, "9.4"), (503, "9.5"), (570, "9.6"),
               (611, "9.7"), (687, "9.8")),
    "6.12.0": ((55, "10.0"), (124, "10.1")),
}
# Where superseded builds are: the distribution's ID, its major releases, the repository.
_ARCHIVES = (
    ("centos", "7", "https://vault.centos.org/{minor}/updates/{basearch}/"),
    ("centos", "7", "https://vault.centos.org/{minor}/os/{basearch}/"),
    ("centos", "7", "https://vault.centos.org/altarch/{minor}/updates/{basearch}/"),
    ("centos", "7", "https://vault.centos.org/altarch/{minor}/os/{basearch}/"),
    ("centos", "8", "https://vault.centos.org/{minor}/BaseOS/{basearch}/os/"),
    ("centos", "8", "https://vault.centos.org/8-stream/BaseOS/{basearch}/os/"),
    ("rocky", "", "https://dl.rockylinux.org/vault/rocky/{short}/BaseOS/{basearch}/os/"),
    ("rocky", "", "https://dl.rockylinux.org/vault/rocky/{short}/AppStream/{basearch}/os/"),
    ("almalinux", "", "https://repo.almalinux.org/vault/{short}/BaseOS/{basearch}/os/"),
    ("almalinux", "", "https://repo.almalinux.org/vault/{short}/AppStream/{basearch}/os/"),
    ("fedora", "", "https://fedoraproject-updates-archive.fedoraproject.org/fedora/{major}/{basearch}/"),
    ("fedora", "", "https://archives.fedoraproject.org/pub/archive/fedora/linux/updates/{major}/Everything/{basearch}/"),
    ("fedora", "",
     "https://archives.fedoraproject.org/pub/archive/fedora/linux/releases/{major}/Everything/{basearch}/os/"),
)
_BUILD_SYSTEMS = {"fedora": "https://kojipkgs.fedoraproject.org/packages"}


def fetch_headers(kernel: Kernel, folder: Path, network, root: Path, report: Callable[[str], None]) -> None:
    """Unpacks the kernel-devel package of exactly this kernel below folder. Raises LayoutExpertError."""
    parts = _Release.of(kernel.release)
    looked_at: List[str] = []
    distribution = (distribution_of(root) or [""])[0]
    variables = read_variables(_VARIABLES, root)
    variables.setdefault("releasever", _release_version(distribution, parts, root))
    variables.update(basearch=parts.base_architecture, arch=parts.architecture)
    keys = read_keyring(files_under(_KEYS, root))

    def belongs(package: Package) -> bool:
        return Requirement(_UNAME, *kernel.release.split("-", 1)) in package.provides or package.name in _PLAIN and \
            f"{package.version}-{package.release}.{package.architecture}" == kernel.release

    for repositories in (configured(_REPOSITORIES, root, variables, keys, looked_at), _archives(distribution, parts, keys)):
        for package, index, repository in find_packages(repositories, _NAMES, belongs, folder, network, looked_at):
            try:
                return unpack_package(package, index, repository, folder, network, report)
            except LayoutExpertError as error:
                looked_at.append(str(error))
    if distribution in _BUILD_SYSTEMS and _from_build_system(_BUILD_SYSTEMS[distribution], parts, keys, folder, network,
                                                             looked_at, report):
        return
    raise LayoutExpertError(f"no repository has the headers package of {kernel.release}", looked_at)


class _Release(NamedTuple):
    """The parts of a release such as 5.14.0-427.13.1.el9_4.x86_64+rt. major, minor: of the distribution."""

    version: str
    release: str
    architecture: str
    flavour: str
    major: str
    minor: str

    @classmethod
    def of(cls, release: str) -> _Release:
        architectures = "|".join(_PACKAGE_ARCHITECTURES)
        match = re.match(rf"([^-]+)-(.+?)\.({architectures})(?:[+.](.+))?\Z", release)
        if not match:
            raise LayoutExpertError(f"the release {release} is not named as a kernel of RHEL's or Fedora's is")
        version, build, architecture, flavour = match.groups("")
        major = re.search(r"\.(?:el|fc)(\d+)", build)
        return cls(version, build, architecture, flavour, major.group(1) if major else "", _minor(version, build))

    @property
    def base_architecture(self) -> str:
        return _BASE_ARCHITECTURES.get(self.architecture, self.architecture)


def _minor(version: str, build: str) -> str:
    """RHEL's minor release, "9.4", as CentOS calls its directory, "7.9.2009"; empty if nothing tells."""
    names = _MINORS.get(version, ())
    marked = re.search(r"\.el(\d+)_(\d+)", build)
    if marked:
        short = ".".join(marked.groups())
        return next((name for _, name in names if _short(name) == short), short)
    number = int(re.match(r"\d*", build).group() or 0)
    return next((name for first, name in reversed(names) if number >= first), "")


def _short(minor: str) -> str:
    return ".".join(minor.split(".")[:2])


def _release_version(distribution: str, parts: _Release, root: Path) -> str:
    if (distribution, parts.major) == ("rhel", "7"):
        return "7Server"
    return parts.major or os_release(root).get("VERSION_ID", "")


def _archives(distribution: str, parts: _Release, keyring: Keyring) -> Iterator[Repository]:
    for name, majors, template in _ARCHIVES:
        if name == distribution and majors in ("", parts.major) and (parts.minor or "{major}" in template):
            base = template.format(major=parts.major, minor=parts.minor, short=_short(parts.minor),
                                   basearch=parts.base_architecture)
            yield Repository(f"{name}'s archive", (base,), keyring)


def _from_build_system(base: str, parts: _Release, keyring: Keyring, folder: Path, network, looked_at: List[str],
                       report: Callable[[str], None]) -> bool:
    """koji keeps what was signed with a key in a folder with the key's short name."""
    flavour = f"-{parts.flavour}" if parts.flavour else ""
    name = f"kernel{flavour}-devel-{parts.version}-{parts.release}.{parts.architecture}"
    for fingerprint in fingerprints(keyring):
        url = f"{base}/kernel/{parts.version}/{parts.release}/data/signed/{fingerprint[-8:]}/{parts.architecture}/{name}.rpm"
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                network.download(url, file, PACKAGE_LIMIT)
                unpack_rpm(file, url, name, keyring, folder, report)
            return True
        except LayoutExpertError as error:
            looked_at.append(str(error))
    return False
