"""Headers packages of Arch Linux: linux-headers and those of its other kernels, from a mirror or the archive.

The release names the package: 6.9.1-arch1-1 is linux-headers 6.9.1.arch1-1, 6.6.32-1-lts is
linux-lts-headers 6.6.32-1. Mirrors have the newest build only; the archive has all there have been. The
databases of repositories are not signed; each package is, by one of the packagers whose keys are on the host.

Sources: pacman.conf(5), PKGBUILD(5), repo-add(8); alpm-repo-db and alpm-files of the ALPM project; Arch's
archive, https://archive.archlinux.org.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import tempfile
from typing import BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution.archives import Limits, Member, tar_members, unpack
from rekall_layout_expert.supply.distribution.rpm_repositories import files_under
from rekall_layout_expert.supply.distribution.signatures import Keyring, read_keyring, verified

_CONFIGURATION = "/etc/pacman.conf"
_KEYS, _REVOKED = "/usr/share/pacman/keyrings/*.gpg", "/usr/share/pacman/keyrings/*-revoked"
_ARCHIVE = "https://archive.archlinux.org/packages/{letter}/{name}/{name}-{version}-{architecture}.pkg.tar.{compression}"
_COMPRESSIONS = ("zst", "xz")
_CONFIGURATION_LIMIT = 1 << 20
_DATABASE_LIMIT, _DATABASE_OPEN_LIMIT = 64 << 20, 512 << 20
_ENTRY_LIMIT = 1 << 20
_PACKAGE_LIMIT = 256 << 20
_SIGNATURE_LIMIT = 1 << 16
_MIRRORS = 3
_INCLUDES = 3  # how deep files of configuration may include each other
_RELEASE = re.compile(r"(\d[^-]*(?:-[a-z]+\d+)?)-(\d+(?:\.\d+)?)(?:-([a-z]\w*))?\Z")
_FILE_NAME = re.compile(r"[\w+@][\w.+@~:-]*\Z", re.ASCII)
_ARCHITECTURES = {"arm64": "aarch64", "arm": "armv7h", "i386": "i686", "riscv": "riscv64"}


class _File(NamedTuple):
    """A package in the database of a repository. signature: if the database has it."""

    name: str
    digest: str
    signature: Optional[bytes]


def fetch_headers(kernel: Kernel, folder: Path, network, root: Path, report: Callable[[str], None]) -> None:
    """Unpacks the headers package of exactly this kernel below folder. Raises LayoutExpertError."""
    name, versions = _package(kernel.release)
    architecture = _ARCHITECTURES.get(kernel.architecture, kernel.architecture)
    keyring, revoked = _keys(root)
    looked_at: List[str] = []

    def take(url: str, version: str, file: Optional[_File] = None) -> bool:
        try:
            with tempfile.TemporaryFile(dir=folder) as package:
                network.download(url, package, _PACKAGE_LIMIT)
                signature = file and file.signature or network.fetch(url + ".sig", _SIGNATURE_LIMIT)
                _verify(package, url, file, signature, keyring, revoked)
                report(f"UNPACKING {name}-{version}")
                package.seek(0)
                unpack(_checked(tar_members(package, url), name, version, url), folder, url)
            return True
        except LayoutExpertError as error:
            looked_at.append(str(error))
            return False

    for repository, servers in _repositories(root, architecture, looked_at).items():
        for server in servers[:_MIRRORS]:
            try:
                files = _files(network.fetch(f"{server}/{repository}.db", _DATABASE_LIMIT), f"{server}/{repository}.db",
                               {f"{name}-{version}": version for version in versions})
            except LayoutExpertError as error:
                looked_at.append(str(error))
                continue
            if not files:
                looked_at.append(f"{server}/{repository}.db (has no {name} {versions[0]})")
                break  # nor will its other mirrors
            if any(take(f"{server}/{file.name}", version, file) for version, file in files.items()):
                return
    for version in versions:
        for compression in _COMPRESSIONS:
            url = _ARCHIVE.format(letter=name[0], name=name, version=version, architecture=architecture,
                                  compression=compression)
            if take(url, version):
                return
    raise LayoutExpertError(f"no mirror has the headers package of {kernel.release}", looked_at)


def _package(release: str) -> Tuple[str, List[str]]:
    """The name of a kernel's headers package, and the versions that it may have: 6.9 is 6.9.0."""
    match = _RELEASE.match(release)
    if not match:
        raise LayoutExpertError(f"the release {release} is not named as a kernel of Arch Linux is")
    version, build, flavour = match.groups()
    versions = [version, re.sub(r"\A(\d+\.\d+)\.0\b", r"\1", version)]
    name = f"linux-{flavour}-headers" if flavour else "linux-headers"
    return name, list(dict.fromkeys(f"{each.replace('-', '.')}-{build}" for each in versions))


def _keys(root: Path) -> Tuple[Keyring, set]:
    """The packagers' keys, and the fingerprints of those that have been revoked."""
    revoked = set()
    for path in files_under(_REVOKED, root):
        revoked |= set(read_bounded(path, _CONFIGURATION_LIMIT).decode("utf-8", "replace").lower().split())
    return read_keyring(files_under(_KEYS, root)), revoked


def _verify(file: BinaryIO, url: str, listed: Optional[_File], signature: bytes, keyring: Keyring, revoked: set) -> None:
    file.seek(0)
    data = file.read()
    if listed and hashlib.sha256(data).hexdigest() != listed.digest:
        raise LayoutExpertError(f"{url} is not what the database of its repository says: its sha256 is another")
    signed = verified(data, keyring, url, signature)
    if signed.certificate in revoked:
        raise LayoutExpertError(f"{url} is signed by the key {signed.certificate}, which has been revoked")


def _checked(members: Iterator[Member], name: str, version: str, place: str) -> Iterator[Member]:
    """The files of a package that says of itself, before any of them, that it is the one wanted."""
    is_right = False
    for member in members:
        if member.path == ".PKGINFO" and member.content is not None:
            fields = dict(re.findall(r"^(\w+) = (.*?)\s*$",
                                     member.content.read(_ENTRY_LIMIT).decode("utf-8", "replace"), re.M))
            if (fields.get("pkgname"), fields.get("pkgver")) != (name, version):
                raise LayoutExpertError(f"{place} is the package {fields.get('pkgname')} {fields.get('pkgver')}, "
                                        f"not {name} {version}")
            is_right = True
        elif "/" in member.path or not member.path.startswith("."):
            if not is_right:
                raise LayoutExpertError(f"{place} does not say which package it is")
            yield member


def _files(database: bytes, place: str, wanted: Dict[str, str]) -> Dict[str, _File]:
    """What a repository has of the packages wanted, {name-version: version}: {version: file}."""
    found = {}
    for member in tar_members(io.BytesIO(database), place, Limits(size=_DATABASE_OPEN_LIMIT)):
        folder, _, name = member.path.partition("/")
        if name != "desc" or folder not in wanted or member.content is None:
            continue
        fields = dict(re.findall(r"^%(\w+)%\n(.+)$", member.content.read(_ENTRY_LIMIT).decode("utf-8", "replace"), re.M))
        if not _FILE_NAME.match(fields.get("FILENAME", "")):
            raise LayoutExpertError(f"{place} is damaged: {fields.get('FILENAME')!r} is no name of a package")
        try:
            signature = base64.b64decode(fields["PGPSIG"], validate=True) if "PGPSIG" in fields else None
        except binascii.Error as error:
            raise LayoutExpertError(f"{place} is damaged: {error}") from error
        found[wanted[folder]] = _File(fields["FILENAME"], fields.get("SHA256SUM", ""), signature)
    return found


def _repositories(root: Path, architecture: str, looked_at: List[str]) -> Dict[str, List[str]]:
    """{name: [URL of a mirror]} of pacman's configuration, in its order."""
    repositories: Dict[str, List[str]] = {}
    section = ""
    for key, value in _settings(root, resolve_under(root, _CONFIGURATION), looked_at):
        if key.startswith("["):
            section = key[1:-1]
        elif key == "Server" and section not in ("", "options"):
            url = value.replace("$repo", section).replace("$arch", architecture).rstrip("/")
            repositories.setdefault(section, []).append(url)
    return repositories


def _settings(root: Path, path: str, looked_at: List[str], read: Tuple[str, ...] = ()) -> Iterator[Tuple[str, str]]:
    """(key, value) of each line, and ("[section]", "") of each section, of a file and of those that it includes.

    path: where it lies for us. read: the files that include it.
    """
    try:
        text = read_bounded(path, _CONFIGURATION_LIMIT).decode("utf-8", "replace")
    except LayoutExpertError as error:
        looked_at.append(str(error))
        return
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "Include":
            for included in files_under(value, root):
                if included not in read and len(read) < _INCLUDES:
                    yield from _settings(root, included, looked_at, (*read, path))
        elif key and not key.startswith("#"):
            yield key, value
