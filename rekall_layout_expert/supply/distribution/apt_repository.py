"""One suite of a Debian or Ubuntu archive, of which nothing is believed that no signature covers.

The chain: a key that the host trusts signs InRelease (or Release, in Release.gpg); that holds size and
SHA-256 of each index; an index, Packages, those of each package. Indexes that are being replaced are
asked for under their digest (by-hash), which names one version of them for good.

Source: https://wiki.debian.org/DebianRepository/Format
"""
from __future__ import annotations

import datetime
import email.utils
import hashlib
import io
from typing import BinaryIO, Iterator, List, NamedTuple, Sequence

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply.distribution.apt_sources import Source
from rekall_layout_expert.supply.distribution.archives import decompressed, needing, told_as_damage
from rekall_layout_expert.supply.distribution.signatures import Signed, verified
from rekall_layout_expert.supply.transfer import NotFound

# Debian's largest has 50 MB, in 9 MB; its InRelease has 150 KB.
_RELEASE_LIMIT = 8 << 20
_INDEX_LIMIT = 128 << 20
_UNPACKED_LIMIT = 1 << 30
_PARAGRAPH_LIMIT = 1 << 20
_PACKAGE_LIMIT = 512 << 20
_CHUNK = 1 << 20
_COMPRESSIONS = (".xz", ".zst", ".gz", ".bz2", "")


class Package(NamedTuple):
    """A binary package as a signed index lists it. path: relative to the archive. size: of the .deb, in bytes."""

    name: str
    version: str
    depends: str
    path: str
    size: int
    sha256: str
    archive: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Index(NamedTuple):
    """A list of packages. size: of the file that is fetched, in bytes."""

    path: str
    size: int
    sha256: str


class Repository:
    """A suite whose signature has been verified. signed_by: the fingerprint of the key.

    A LayoutExpertError tells why it cannot be used: it cannot be fetched, nothing good signs it, or it
    has expired.
    """

    def __init__(self, source: Source, network):
        self.source, self._network = source, network
        self._suite = f"{source.uri}/dists/{source.suite}"
        signed = self._signed()
        self.signed_by = signed.by
        with needing("python-debian", self._suite):
            from debian.deb822 import Release
        with told_as_damage(self._suite):
            release = Release(signed.text.decode("utf-8", "replace").splitlines())
            self._files = {entry["name"]: (int(entry["size"]), entry["sha256"].lower())
                           for entry in release.get("SHA256", ())}
            self._has_by_hash = release.get("Acquire-By-Hash", "").lower() == "yes"
            # Else the indexes of an architecture hold what is for all of them, too.
            self._has_all = "all" in release.get("Architectures", "").split() and \
                "Packages" not in release.get("No-Support-for-Architecture-all", "")
            until = release.get("Valid-Until")
            if until and source.checks_dates and _time(until) < datetime.datetime.now(datetime.timezone.utc):
                raise LayoutExpertError(f"{self._suite} has expired on {until}: it may hold back what came later")

    def indexes(self, architectures: Sequence[str]) -> List[Index]:
        """The lists of packages for architectures, as Debian names them, and for all."""
        return [index for component in self.source.components
                for each in (*architectures, *(("all",) if self._has_all else ()))
                for index in self._index(f"{component}/binary-{each}/Packages")]

    def packages(self, index: Index, names) -> Iterator[Package]:
        """What an index lists under those names: a compiled pattern of bytes, which matches all of a name."""
        data = self._fetch_index(index)
        place = f"{self._suite}/{index.path}"
        with told_as_damage(place):
            for paragraph in _paragraphs(data, place):
                name = paragraph[len(b"Package: "):paragraph.find(b"\n")] if paragraph.startswith(b"Package: ") else b""
                if names.fullmatch(name.strip()):
                    yield self._package(paragraph, place)

    def _signed(self) -> Signed:
        place = f"{self._suite}/InRelease"
        try:
            return verified(self._network.fetch(place, _RELEASE_LIMIT), self.source.keyring, place)
        except NotFound:
            pass
        place = f"{self._suite}/Release"
        release = self._network.fetch(place, _RELEASE_LIMIT)
        return verified(release, self.source.keyring, place, self._network.fetch(f"{place}.gpg", _RELEASE_LIMIT))

    def _index(self, path: str) -> List[Index]:
        paths = [path + suffix for suffix in _COMPRESSIONS if path + suffix in self._files]
        found = [Index(path, *self._files[path]) for path in paths]
        return [min(found, key=lambda index: index.size)] if found else []

    def _fetch_index(self, index: Index) -> bytes:
        if index.size > _INDEX_LIMIT:
            raise LayoutExpertError(f"{self._suite}/{index.path} has {index.size} bytes: not what it is taken for")
        folder = index.path.rpartition("/")[0]
        places = [f"{self._suite}/{folder}/by-hash/SHA256/{index.sha256}"] if self._has_by_hash else []
        places.append(f"{self._suite}/{index.path}")
        for place in places:
            try:
                data = self._network.fetch(place, index.size)
            except NotFound:
                if place == places[-1]:
                    raise
                continue
            if len(data) == index.size and hashlib.sha256(data).hexdigest() == index.sha256:
                return data
        raise LayoutExpertError(f"{places[-1]} is not the one that is signed: its SHA-256 differs")

    def _package(self, paragraph: bytes, place: str) -> Package:
        from debian.deb822 import Deb822

        fields = Deb822(paragraph.decode("utf-8", "replace").splitlines())
        try:
            return Package(fields["Package"], fields["Version"], fields.get("Depends", ""), fields["Filename"],
                           int(fields["Size"]), fields["SHA256"].lower(), self.source.uri)
        except KeyError as error:
            raise LayoutExpertError(f"{place} lists {fields.get('Package')} without {error}") from error


def fetch_package(package: Package, file: BinaryIO, network) -> None:
    """Writes a .deb to file. A LayoutExpertError tells that it cannot be had, or that it is not the one listed."""
    place = f"{package.archive}/{package.path}"
    if package.size > _PACKAGE_LIMIT:
        raise LayoutExpertError(f"{place} has {package.size} bytes: not what it is taken for")
    network.download(place, file, package.size)
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in iter(lambda: file.read(_CHUNK), b""):
        digest.update(chunk)
    if digest.hexdigest() != package.sha256:
        raise LayoutExpertError(f"{place} is not the one that is signed: its SHA-256 differs")
    file.seek(0)


def depended_on(package: Package) -> List[str]:
    """The names of the packages that one depends on; of alternatives the first."""
    from debian.deb822 import PkgRelation

    if not package.depends:  # of which the library would complain
        return []
    return [alternatives[0]["name"] for alternatives in PkgRelation.parse_relations(package.depends)]


def _time(text: str) -> datetime.datetime:
    """A date of RFC 5322; UTC is meant where it does not say so."""
    time = email.utils.parsedate_to_datetime(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)


def _paragraphs(data: bytes, place: str) -> Iterator[bytes]:
    """The paragraphs of a compressed list, without holding more than one and a chunk of it."""
    stream = decompressed(io.BytesIO(data), place)
    rest, size = b"", 0
    while True:
        chunk = stream.read(_CHUNK)
        if not chunk:
            break
        size += len(chunk)
        if size > _UNPACKED_LIMIT:
            raise LayoutExpertError(f"{place} unpacks to more than {_UNPACKED_LIMIT} bytes: not what it is taken for")
        *whole, rest = (rest + chunk).split(b"\n\n")
        if len(rest) > _PARAGRAPH_LIMIT:
            raise LayoutExpertError(f"{place} has a paragraph of more than {_PARAGRAPH_LIMIT} bytes")
        yield from whole
    yield rest.strip(b"\n")
