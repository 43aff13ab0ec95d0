r"""Who built a kernel, and from what: read off its release, its banner and its package's version.

Each distribution writes into the release (uname -r) what its packages are called by, and some write the package's version
into the banner:

    Debian    6.1.0-47-amd64, 6.12.57+deb13-amd64   "Debian 6.1.192-2" in the banner
    Ubuntu    5.15.0-91-generic                     "#101-Ubuntu" in the banner; /proc/version_signature and
                                                    CONFIG_VERSION_SIGNATURE say "Ubuntu 5.15.0-91.101-generic 5.15.131"
    RHEL      5.14.0-427.13.1.el9_4.x86_64          CentOS, Rocky, Alma, Oracle: the builder's address in the banner tells
    Fedora    6.6.9-200.fc39.x86_64
    SUSE      6.4.0-150600.21-default, 6.6.7-1-default
    Arch      6.6.8-arch1-1, 6.6.8-zen1-1-zen, 6.1.69-1-lts
    Alpine    6.6.7-0-lts                           "Alpine" in the banner
    vanilla   6.6.8

Debian's and Ubuntu's releases name a series ("6.1.0"), and only the package tells which of its versions it is. Red Hat and
SUSE freeze upstream's version and build on it for years: what upstream's version is elsewhere, is there the part of the
package's release that they count up with the development and leave for a fix ("427", "150600").
"""
from __future__ import annotations

import re
from typing import NamedTuple, Optional

from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig

_FLAVOURS = (r"(?:amd64|686(?:-pae)?|686-bigmem|arm64(?:-16k)?|armmp(?:-lpae)?|rpi|s390x|powerpc64(?:le)?(?:-64k)?|riscv64|"
             r"loong64|4kc-malta|5kc-malta|mips(?:32|64)r2el|octeon|loongson-3|marvell)")
_MACHINE = r"(?:\.(?:x86_64|i[3-6]86|aarch64|armv7hl|ppc64(?:le)?|s390x|riscv64))?(?:\+\S+)?"
# (distribution, the whole release, what must stand in the banner): the first that fits. version: as in the release; number:
# what is counted where the version is frozen; package: the package's version; patched: by what it differs from the
# distribution's usual sources.
_BUILDS = tuple((name, re.compile(release + r"\Z"), re.compile(banner)) for name, release, banner in (
    ("debian", r"\d+\.\d+\S*?-(?P<patched>rt(?=-))?-?(?:cloud-)?" + _FLAVOURS, r""),
    ("debian", r"\d+\.\d+\S*?(?:-(?P<patched>rt))?(?:-\w+)?", r" #\d.* Debian \d"),
    ("ubuntu", r"(?P<version>\d+\.\d+\.\d+-\d+)-generic(?:-\w+)?", r""),
    ("ubuntu", r"(?P<version>\d+\.\d+\.\d+-\d+)-(?P<patched>[a-z]\w*)(?:-\w+)?", r" #\S+-Ubuntu "),
    ("rhel", r"(?P<package>(?P<version>\d+\.\d+\.\d+)-(?P<number>\d+)[\w.]*?(?P<patched>\.rt[\w.]*?)?\.(?P<line>el\d+)(?:_\d+)?)"
     + _MACHINE, r""),
    ("fedora", r"(?P<package>(?P<version>\d+\.\d+\.\d+)-[\w.]+\.fc\d+)" + _MACHINE, r""),
    ("suse", r"(?P<version>\d+\.\d+\.\d+)-(?P<number>\d{4,})(?:\.\w+)*-(?:default|azure|kvmsmall|preempt|(?P<patched>rt))", r""),
    ("suse", r"(?P<version>\d+\.\d+\.\d+)-\d{1,3}(?:\.\w+)*-(?:default|azure|kvmsmall|pae|(?P<patched>rt|vanilla))", r""),
    ("arch", r"(?P<version>\d+\.\d+(?:\.\d+)?)-(?:arch|(?P<patched>zen|hardened))\d+(?:\.\d+)?-\d+(?:-\w+)?", r""),
    ("arch", r"(?P<version>\d+\.\d+(?:\.\d+)?)(?:\.rt\d+)?-\d+-(?:lts|(?P<patched>rt)(?:-lts)?)", r"@archlinux"),
    ("alpine", r"(?P<version>\d+\.\d+\.\d+)-0-(?:lts|virt)", r""),
    ("alpine", r"(?P<version>\d+\.\d+\.\d+)-\d+-(?:lts|virt|edge|(?P<patched>\w+))", r"[(-]Alpine "),
))
_BUILDERS = {"rocky": "rockylinux.org", "almalinux": "almalinux.org", "centos": "centos.org", "ol": "oracle.com"}
_SIGNATURE = re.compile(r"Ubuntu \S+ (\d+\.\d+\.\d+)")
# Whose configurations have upstream's version, though their releases have not.
_TOLD_BY_CONFIG = ("debian", "ubuntu")


class Build(NamedTuple):
    """Which build of the kernel it is; what nothing tells is None.

    distribution: as os-release(5) has it in ID; "rhel" where only the family is known, and "suse". package_version: the
    package's own. version: upstream's, where its headers may be upstream's of that version. stream: what all builds of one
    upstream version with one set of patches share, for comparison.
    """

    distribution: Optional[str] = None
    package_version: Optional[str] = None
    version: Optional[str] = None
    stream: Optional[str] = None


def build_of(kernel: Kernel) -> Build:
    """What a kernel's release and banner, and the versions that are known of it, say of the build."""
    banner = kernel.banner or ""
    for distribution, release, of_banner in _BUILDS:
        match = release.match(kernel.release)
        if match and of_banner.search(banner):
            break
    else:
        return Build(None, kernel.package_version, kernel.version or _padded(kernel.release))
    found = match.groupdict()
    line = "-".join(filter(None, (found.get("line") or distribution, (found.get("patched") or "").strip("."))))
    if found.get("number"):
        version, stream = None, f"{line} {found['version']}-{found['number']}"
    elif distribution in _TOLD_BY_CONFIG:
        version = kernel.version
        stream = f"{line} {version or found.get('version') or kernel.release}"
    else:
        version = _padded(found["version"])
        stream = f"{line} {version}"
    if distribution == "rhel":
        distribution = next((name for name, builder in _BUILDERS.items() if builder in banner), distribution)
    return Build(distribution, kernel.package_version or found.get("package"), version, stream)


def completed(kernel: Kernel, config: KernelConfig) -> Kernel:
    """The kernel, with upstream's version where only its configuration tells it."""
    if kernel.version or build_of(kernel).distribution not in _TOLD_BY_CONFIG:
        return kernel
    signature = _SIGNATURE.match(config.text("CONFIG_VERSION_SIGNATURE"))
    head = re.match(r"\d+\.\d+\.\d+", config.release or "")
    return kernel._replace(version=signature.group(1) if signature else head.group() if head else None)


def _padded(release: str) -> Optional[str]:
    """The version in front of a release with all its numbers, 6.6 as 6.6.0."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    return match and ".".join(match.groups("0"))
