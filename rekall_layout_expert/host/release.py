"""Which kernel it is: its release, its banner and what they tell about the build.

The release (uname -r) names a kernel's modules and files but not a build: Debian's 6.1.0-47-amd64 and
Ubuntu's 5.4.0-84-generic were built more than once. The banner (/proc/version; `linux_banner` in
memory) has what tells builds apart: the distribution's package version, compiler and build number.
"""
from __future__ import annotations

import os
import re
import struct
from typing import NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.kernel_config import Compiler, compiler_of

_PROC_LIMIT = 1 << 16
_NT_GNU_BUILD_ID = 3

_BANNER = re.compile(r"Linux version (\d[^\s/]*) ")
_RELEASE = re.compile(r"\d[^\s/]*\Z")
# "#1 SMP Debian 6.1.192-2 (date)", and in the days of 2.6 "Linux version 2.6.32-5-amd64 (Debian 2.6.32-48)".
_DEBIAN = re.compile(r"(?: #\d+ .*|\ALinux version \S+ \()\bDebian ((\d+\.\d+(?:\.\d+)?)[^\s)]*-[^\s)]+)")
_UBUNTU = re.compile(r" #(\d+(?:~\S+?)?)-Ubuntu ")
_UBUNTU_SIGNATURE = re.compile(r"Ubuntu (\S+) (\d+\.\d+\.\d+)")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
# What uname -m says, where it is not the name of the kernel's architecture.
_MACHINES = {
    "amd64": "x86_64", "i486": "i386", "i586": "i386", "i686": "i386", "aarch64": "arm64", "arm64": "arm64",
    "ppc": "powerpc", "ppc64": "powerpc", "ppc64le": "powerpc", "s390x": "s390", "mips64": "mips",
    "riscv32": "riscv", "riscv64": "riscv", "loongarch64": "loongarch",
}


class Kernel(NamedTuple):
    """A running kernel, or one in an image; what is not known is None.

    version: upstream's, "6.1.192", where something says it for certain: a release such as
    6.1.0-47-amd64 does not. package_version: the distribution's, "6.1.192-2". architecture: as the
    kernel names it.
    """

    release: str
    banner: Optional[str] = None
    architecture: Optional[str] = None
    version: Optional[str] = None
    package_version: Optional[str] = None

    @classmethod
    def from_banner(cls, banner: str, architecture: Optional[str] = None) -> Kernel:
        """What a banner says. A LayoutExpertError tells that it is none."""
        match = _BANNER.match(banner)
        if not match:
            raise LayoutExpertError(f"{banner[:80]!r} is no banner of a Linux kernel",
                                    next_step="give the line of /proc/version")
        release = match.group(1)
        return cls(release, banner.strip(), architecture, *_versions(release, banner))

    @classmethod
    def of_release(cls, release: str, architecture: Optional[str] = None) -> Kernel:
        """What a release alone says."""
        return cls(release, None, architecture, *_versions(release, ""))

    @property
    def compiler(self) -> Optional[Compiler]:
        """The compiler that the banner names."""
        return compiler_of(self.banner) if self.banner else None

    @property
    def series(self) -> str:
        """What the release says for certain of upstream's version: "6.1", and "2.6.32" before 3.0."""
        return series_of(self.release)


def find_kernel(root: Path = "/") -> Kernel:
    """The kernel that runs on the host mounted at root (which lets tests lay one out)."""
    banner = _read(root, "/proc/version")
    release = _read(root, "/proc/sys/kernel/osrelease")
    if not release and banner and _BANNER.match(banner):
        release = _BANNER.match(banner).group(1)
    if not release or not _RELEASE.match(release):
        raise LayoutExpertError(
            "cannot tell which kernel runs here" if not release else f"{release!r} is no kernel release",
            [resolve_under(root, place) for place in ("/proc/sys/kernel/osrelease", "/proc/version")],
            "mount /proc")
    version, package_version = _versions(release, banner or "")
    signature = _UBUNTU_SIGNATURE.match(_read(root, "/proc/version_signature") or "")
    if signature:
        version = signature.group(2)
    return Kernel(release, banner, _architecture(root), version, package_version)


def find_build_id(root: Path = "/") -> Optional[str]:
    """The running kernel's GNU build id in hex, which no other build has; None if it shows none."""
    try:
        notes = read_bounded(resolve_under(root, "/sys/kernel/notes"), _PROC_LIMIT)
    except LayoutExpertError:
        return None
    # ELF notes: sizes of name and content, type, then both, each padded to four bytes.
    offset = 0
    while offset + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("=3I", notes, offset)
        start = offset + 12 + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[offset + 12:start].rstrip(b"\0") == b"GNU":
            return notes[start:start + size].hex()
        offset = start + (size + 3) // 4 * 4
    return None


def series_of(version: str) -> str:
    """The part of a release or version that all of a stable series share; empty if it is none."""
    match = _VERSION.match(version)
    if not match:
        return ""
    return ".".join(match.groups("0")[:3 if match.group(1) == "2" else 2])


def _versions(release: str, banner: str):
    debian, ubuntu, vanilla = _DEBIAN.search(banner), _UBUNTU.search(banner), _VERSION.match(release)
    if debian:
        version = debian.group(2)  # 6.5~rc4-1 is of 6.5.0
        return version if version.count(".") == 2 else version + ".0", debian.group(1)
    if ubuntu:  # 5.4.0-84-generic of upload 94 is 5.4.0-84.94
        return None, ".".join(("-".join(release.split("-")[:2]), ubuntu.group(1)))
    # Distributions that freeze the release, as in 5.4.0-84, write a zero; 3.10.0-1160.el7 as well.
    return vanilla.group() if vanilla and vanilla.group(3) not in (None, "0") else None, None


def _architecture(root: Path) -> Optional[str]:
    # The file, since 6.1, tells the truth also under `setarch i386`, where uname does not.
    machine = _read(root, "/proc/sys/kernel/arch")
    if not machine and os.path.realpath(root) == "/":
        machine = os.uname().machine
    if machine and machine.startswith("armv"):
        return "arm"
    return _MACHINES.get(machine, machine)


def _read(root: Path, path: str) -> Optional[str]:
    try:
        return read_bounded(resolve_under(root, path), _PROC_LIMIT).decode("utf-8", "replace").strip() or None
    except LayoutExpertError:
        return None
