"""RPM packages: verified as a whole before anything of theirs is used, then read without being installed.

A package is a lead, a header of signatures, a header of tags, and a compressed cpio archive. A signature
covers the header, the header has the digest of the archive; packages of before RPM 4.14 (RHEL 7) have no
such digest, but a second signature of header and archive together. Either way everything that is read is
signed by the distribution.

rpmfile reads the headers and the archive. It trusts what it reads, so what it is given to read is bounded
here: the headers are held against their own sizes first, the archive is unpacked to a temporary file.

Sources: the format as rpm documents it, https://rpm-software-management.github.io/rpm/manual/format_v4.html
and tags.html.
"""
from __future__ import annotations

import hashlib
import hmac
import stat
import struct
import tempfile
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.supply.distribution.archives import Limits, Member, decompressed, needing, told_as_damage
from rekall_layout_expert.supply.distribution.signatures import Keyring, verified

_LEAD = 96
_INTRO = struct.Struct(">4s4xII")  # magic, number of entries, size of their data
_ENTRY = struct.Struct(">IIII")  # tag, type, offset, count
_MAGIC = b"\x8e\xad\xe8\x01"
# Those of kernel-devel have 100 entries in 3 MB.
_ENTRIES_LIMIT, _STORE_LIMIT = 512, 32 << 20
_CHUNK = 1 << 20
_SHA256 = 8
_ARCHIVE_MEMBER = b"07"


class Rpm:
    """A package whose signature is good, if there is a keyring to tell.

    name, version, release, architecture: as its signed header says.
    """

    def __init__(self, file: BinaryIO, place: str, keyring: Optional[Keyring]):
        """file: open, can be sought, and stays open. place: what messages call it. Raises LayoutExpertError.

        keyring: None for a package for which whoever named it vouches; nothing is verified then.
        """
        self._file, self._place = file, place
        _check_headers(file, place)
        file.seek(0)
        self._rpm = _read(file, place)
        self._tags = self._rpm.headers
        if keyring is not None:
            self._verify(keyring)
        self.name, self.version, self.release, self.architecture = (
            self._text(tag) for tag in ("name", "version", "release", "arch"))

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.architecture}"

    def members(self, folder: Path, limits: Limits = Limits()) -> Iterator[Member]:
        """What the package would install, for archives.unpack(). folder: for a temporary file."""
        with tempfile.TemporaryFile(dir=folder) as archive:
            self._unpack(archive, limits)
            yield from self._members(_Payload(archive, limits, self._place))

    def _verify(self, keyring: Keyring) -> None:
        start, end = self._rpm.header_range
        self._file.seek(start)
        header = self._file.read(end - start)
        digests, algorithm = self._list("payloaddigest"), self._list("payloaddigestalgo")
        if digests and algorithm == [_SHA256]:
            self._verify_by("rsaheader", "signature", header, keyring)
            found = hashlib.sha256()
            for chunk in self._chunks(end):
                found.update(chunk)
            if not hmac.compare_digest(found.hexdigest().encode(), digests[0]):
                raise LayoutExpertError(f"{self._place} is damaged: its content is not what its header says")
        else:
            self._verify_by("pgp", "gpg", header + b"".join(self._chunks(end)), keyring)

    def _verify_by(self, rsa: str, other: str, data: bytes, keyring: Keyring) -> None:
        signature = next((self._tags[tag] for tag in (rsa, other) if isinstance(self._tags.get(tag), bytes)), None)
        if signature is None:
            raise LayoutExpertError(f"{self._place} is not signed")
        verified(data, keyring, self._place, signature)

    def _chunks(self, start: int) -> Iterator[bytes]:
        self._file.seek(start)
        while True:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return
            yield chunk

    def _unpack(self, archive: BinaryIO, limits: Limits) -> None:
        """Decompresses the archive: rpmfile would do it in memory, without a bound."""
        self._file.seek(self._rpm.data_offset)
        with told_as_damage(self._place):
            stream = decompressed(self._file, self._place)
            size = 0
            while True:
                chunk = stream.read(_CHUNK)
                if not chunk:
                    break
                size += len(chunk)
                if size > limits.size:
                    raise LayoutExpertError(
                        f"{self._place} unpacks to more than {limits.size} bytes: not what it is taken for")
                archive.write(chunk)
        archive.seek(0)

    def _members(self, payload: _Payload) -> Iterator[Member]:
        # rpmfile has no other way to be given an archive that is decompressed already.
        self._rpm._data_file = payload
        try:
            entries = self._rpm.getmembers()
        except LayoutExpertError:
            raise
        except Exception as error:  # it raises whatever struct, int() or a plain Exception have to say
            raise LayoutExpertError(f"{self._place} is damaged: {error}") from error
        files = self._files()
        # Of files that are hard links to each other the last one has the content, and all have their size in the header.
        carriers: Dict[Tuple, str] = {}
        links: List[Tuple[str, Tuple]] = []
        for entry in entries:
            file = files.get(_plain(entry.name))
            if file is None:
                raise LayoutExpertError(f"{self._place} is damaged: its header knows nothing of {entry.name!r}")
            if stat.S_ISLNK(file.mode):
                yield Member(entry.name, target=file.target)
            elif not stat.S_ISREG(file.mode):
                yield Member(entry.name)
            elif file.size and not entry.size:
                links.append((entry.name, file.identity))
            else:
                carriers[file.identity] = entry.name
                yield Member(entry.name, entry.size, content=self._rpm.extractfile(entry))
        for name, identity in links:
            if identity not in carriers:
                raise LayoutExpertError(f"{self._place} is damaged: the content of {name!r} is missing")
            yield Member(name, same_as=carriers[identity])

    def _files(self) -> Dict[str, _File]:
        """What the header says of the files, by their paths."""
        names, folders = self._list("basenames"), self._list("dirnames")
        columns = [self._list(tag) for tag in ("dirindexes", "filemodes", "filesizes", "filelinktos", "filedevices",
                                               "fileinodes")]
        if any(len(column) != len(names) for column in columns):
            raise LayoutExpertError(f"{self._place} is damaged: its header does not say as much of each file")
        files = {}
        for name, index, mode, size, target, device, inode in zip(names, *columns):
            if index >= len(folders):
                raise LayoutExpertError(f"{self._place} is damaged: a file of its header is in no folder")
            path = _plain((folders[index] + name).decode("utf-8", "surrogateescape"))
            files[path] = _File(mode, size, target.decode("utf-8", "surrogateescape"), (device, inode))
        return files

    def _text(self, tag: str) -> str:
        value = self._tags.get(tag, b"")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""

    def _list(self, tag: str) -> list:
        """The values of a tag; rpmfile gives a single number as itself."""
        value = self._tags.get(tag, ())
        return list(value) if isinstance(value, (list, tuple)) else [value]


class _File(NamedTuple):
    """A file as the header has it. identity: device and inode, which hard links to one file share."""

    mode: int
    size: int
    target: str
    identity: Tuple[int, int]


class _Payload:
    """The archive for rpmfile, which takes sizes for what they say they are: it reads forward, so much at a time."""

    def __init__(self, file: BinaryIO, limits: Limits, place: str):
        self._file, self._left, self._place = file, limits.members, place

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset < 0:
            raise LayoutExpertError(f"{self._place} is damaged: a file begins before its predecessor ends")
        return self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise LayoutExpertError(f"{self._place} is damaged: a name of {size} bytes")
        data = self._file.read(size)
        if size == len(_ARCHIVE_MEMBER):  # what rpmfile reads of each member first; it would search on and on for it
            self._left -= 1
            if self._left < 0:
                raise LayoutExpertError(f"{self._place} has too many members: not what it is taken for")
            if data != _ARCHIVE_MEMBER:
                raise LayoutExpertError(f"{self._place} is damaged: there is no member where one should be")
        return data


def _read(file: BinaryIO, place: str):
    with needing("rpmfile", place):
        import rpmfile
    try:
        return rpmfile.RPMFile(fileobj=file)
    except Exception as error:  # as above
        raise LayoutExpertError(f"{place} is damaged: {error or type(error).__name__}") from error


def _check_headers(file: BinaryIO, place: str) -> None:
    """That both headers are whole, and small enough for rpmfile to be let loose on them."""
    file.seek(0)
    if file.read(_LEAD)[:4] != b"\xed\xab\xee\xdb":
        raise LayoutExpertError(f"{place} is no RPM package")
    for is_signature in (True, False):
        intro = file.read(_INTRO.size)
        if len(intro) < _INTRO.size or intro[:4] != _MAGIC:
            raise LayoutExpertError(f"{place} is damaged: it lacks a header")
        _, entries, size = _INTRO.unpack(intro)
        if entries > _ENTRIES_LIMIT or size > _STORE_LIMIT:
            raise LayoutExpertError(f"{place} has a header of {entries} entries in {size} bytes: not what it is taken for")
        index = file.read(entries * _ENTRY.size)
        if len(index) < entries * _ENTRY.size or len(file.read(size)) < size:
            raise LayoutExpertError(f"{place} is damaged: it ends within a header")
        if any(count > size or offset >= size for _, _, offset, count in _ENTRY.iter_unpack(index)):
            raise LayoutExpertError(f"{place} is damaged: a header leads out of itself")
        if is_signature:
            file.read(-size % 8)


def _plain(path: str) -> str:
    """A path as both the archive (./usr/src) and the header (/usr/src) have it."""
    return path.lstrip("./")
