"""Unpacking packages of header files that may be hostile, without installing them.

Libraries read the formats (python-debian's ar, tarfile, zstandard). What is decided here is what may
come of them: a member is a file, a directory or a link below the folder, or it is refused; no member
is written through a link; a link, however it is spelled, leads to a place below the folder; and neither
their number nor what they unpack to is without bound.

How a link is kept inside: its target is worked out by name and written anew, relative, so that it first
climbs through the real directories above it, all of which are in the folder, and then descends. What it
meets on its way down are directories or links of the same kind.
"""
from __future__ import annotations

import contextlib
import os
import re
import tarfile
import zlib
from typing import BinaryIO, Callable, Iterable, Iterator, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path

_CHUNK = 1 << 20
# The most that is asked for at once where an archive is honest: tarfile reads the extended headers of a
# member in one go, however long they say they are.
_LONGEST_READ = 16 << 20
_ZSTANDARD_WINDOW = 1 << 27  # what `zstd -d` accepts without being told to use more memory

# Empty files for make, one for each symbol of a config, and what compilers have made.
_WITHOUT_USE = re.compile(r"/include/config/(?!auto\.conf|kernel\.release)"
                          r"|\.(?:o|a|so|ko|ko\.\w+|rlib|rmeta|cmd|dtbo?|pyc)\Z")


class Limits(NamedTuple):
    """size: bytes that an archive may unpack to. file: bytes of one member that is kept. members: their number.

    The headers of a distribution's kernel have 10,000 to 30,000 members and 60 to 200 MB.
    """

    size: int = 2 << 30
    file: int = 16 << 20
    members: int = 200_000


class Member(NamedTuple):
    """One member of an archive. What is neither file, link nor directory (a device) is none of these.

    content: of a file, to be read before the next member is asked for. target: of a symbolic link, as
    it is written in it. same_as: the path of the member that a hard link stands for.
    """

    path: str
    size: int = 0
    content: Optional[BinaryIO] = None
    target: Optional[str] = None
    same_as: Optional[str] = None
    is_directory: bool = False


def holds_headers(path: str) -> bool:
    """Whether a member is worth writing: a header, or what else tells of the kernel's build."""
    return not _WITHOUT_USE.search(path)


def unpack(members: Iterable[Member], folder: Path, place: str, wanted: Callable[[str], bool] = holds_headers,
           limits: Limits = Limits()) -> int:
    """Writes members below folder and returns the number of files.

    wanted: tells by its path, relative to the folder, whether a file is written. Several archives may
    be unpacked into one folder. A LayoutExpertError, beginning with place, tells what is not right;
    what was written until then stays, so the folder should be one that can be thrown away.
    """
    root = os.path.realpath(folder)
    folders = {root}  # those known to be real: nothing replaces a folder
    files = 0
    with told_as_damage(place):
        for number, member in enumerate(members):
            if number >= limits.members:
                raise LayoutExpertError(f"{place} has more than {limits.members} members: not what it is taken for")
            path = _inside(member.path, place)
            if not path or member.is_directory or not wanted("/" + path):
                continue
            if member.content is not None and member.size > limits.file:
                raise LayoutExpertError(f"{place}: {member.path} has {member.size} bytes, more than {limits.file}")
            directory = os.path.dirname(os.path.join(root, path))
            if directory not in folders:
                os.makedirs(directory, exist_ok=True)
                if os.path.realpath(directory) != directory:
                    raise LayoutExpertError(f"{place}: the member {member.path!r} would be written through a link")
                folders.add(directory)
            files += _write(member, root, path, place)
    return files


def tar_members(stream: BinaryIO, place: str, limits: Limits = Limits()) -> Iterator[Member]:
    """The members of a tar archive, compressed by gzip, bzip2, xz, zstd or not at all.

    stream: an open file, read once from where it is. place: what messages call it.
    """
    with told_as_damage(place):
        with tarfile.open(fileobj=_Forward(decompressed(stream, place), limits.size, place), mode="r:") as archive:
            while True:
                entry = archive.next()
                if entry is None:
                    return
                archive.members = []  # it would remember them all
                if entry.isreg() and not entry.issparse():
                    yield Member(entry.name, entry.size, content=archive.extractfile(entry))
                elif entry.issym():
                    yield Member(entry.name, target=entry.linkname)
                elif entry.islnk():
                    yield Member(entry.name, same_as=entry.linkname)
                else:
                    yield Member(entry.name, is_directory=entry.isdir())


def deb_members(file: BinaryIO, place: str, limits: Limits = Limits()) -> Iterator[Member]:
    """The members that a Debian package would install: those of its data.tar, however compressed."""
    with needing("python-debian", place):
        from debian.arfile import ArError, ArFile
    with told_as_damage(place):
        try:
            parts = [part for part in ArFile(fileobj=file).getmembers() if part.name.startswith("data.tar")]
        except (ArError, ValueError) as error:
            raise LayoutExpertError(f"{place} is no Debian package: {error}") from error
        if len(parts) != 1:
            raise LayoutExpertError(f"{place} is no Debian package: it has {len(parts)} members called data.tar")
        yield from tar_members(parts[0], place, limits)


def decompressed(stream: BinaryIO, place: str) -> BinaryIO:
    """What a stream holds, by the magic number of gzip, bzip2, xz, lzma or zstd; itself if it has none of these."""
    head = stream.read(6)
    stream = _Rejoined(head, stream)
    if head.startswith(b"\x1f\x8b"):
        import gzip
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"BZh"):
        import bz2
        return bz2.BZ2File(stream)
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):  # the latter of what came before xz
        import lzma
        return lzma.LZMAFile(stream)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        with needing("zstandard", place):
            import zstandard
        return zstandard.ZstdDecompressor(max_window_size=_ZSTANDARD_WINDOW).stream_reader(
            stream, read_across_frames=True)
    return stream


class _Rejoined:
    """A stream of which the head has been read already."""

    def __init__(self, head: bytes, stream: BinaryIO):
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.read(size)
        if size is None or size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False


class _Forward:
    """A stream for tarfile that can be sought forward, has an end, and gives no more than is reasonable at once."""

    def __init__(self, stream: BinaryIO, limit: int, place: str):
        self._stream, self._limit, self._place = stream, limit, place
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._position:
            raise LayoutExpertError(f"{self._place} is damaged: a member begins before its predecessor ends")
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if size > _LONGEST_READ:
            raise LayoutExpertError(f"{self._place} has a header of {size} bytes: not what it is taken for")
        parts = []
        while size > 0:
            part = self._stream.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._position += len(part)
            if self._position > self._limit:
                raise LayoutExpertError(
                    f"{self._place} unpacks to more than {self._limit} bytes: not what it is taken for")
        return b"".join(parts)


def _inside(path: str, place: str) -> str:
    """A member's path without ornament; empty for the folder itself."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise LayoutExpertError(f"{place}: the member {path!r} would be written outside of its folder")
    return "/".join(parts)


def _write(member: Member, root: str, path: str, place: str) -> int:
    full = os.path.join(root, path)
    if os.path.lexists(full):
        if os.path.isdir(full) and not os.path.islink(full):
            raise LayoutExpertError(f"{place}: the member {member.path!r} has the name of a folder")
        os.unlink(full)  # so that a link is replaced, not written through
    if member.target is not None:
        os.symlink(_target(member, path, place), full)
    elif member.same_as is not None:
        first = os.path.join(root, _inside(member.same_as, place))
        if os.path.isfile(first) and os.path.realpath(first) == first:
            os.link(first, full)
    elif member.content is not None:
        _copy(member, full, place)
        return 1
    return 0


def _target(member: Member, path: str, place: str) -> str:
    """Where a symbolic link leads, relative to its directory; what is absolute is meant within the folder."""
    directory = os.path.dirname(path)
    target = member.target if member.target.startswith("/") else f"{directory}/{member.target}"
    inside = os.path.normpath(target.lstrip("/") or ".")
    if inside.split("/")[0] == ".." or "\0" in inside:
        raise LayoutExpertError(f"{place}: the link {member.path!r} leads to {member.target!r}, outside of its folder")
    return os.path.relpath(inside, directory or ".")


def _copy(member: Member, full: str, place: str) -> None:
    left = member.size
    descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        while left:
            chunk = member.content.read(min(_CHUNK, left))
            if not chunk:
                raise LayoutExpertError(f"{place} is damaged: {member.path} ends too early")
            file.write(chunk)
            left -= len(chunk)


@contextlib.contextmanager
def needing(package: str, place: str):
    try:
        yield
    except ImportError as error:
        raise LayoutExpertError(f"{place} cannot be read: {package} is missing",
                                next_step=f"pip install {package}") from error


@contextlib.contextmanager
def told_as_damage(place: str):
    """What libraries raise about an archive, as the error that users see."""
    try:
        yield
    except LayoutExpertError:
        raise
    except OSError as error:
        # gzip and bz2 tell of damage by an OSError without a number.
        raise LayoutExpertError(f"{place} cannot be unpacked: {error.strerror or error}" if error.errno else
                                f"{place} is damaged: {error}") from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, UnicodeError, MemoryError, zlib.error) as error:
        raise LayoutExpertError(f"{place} is damaged: {error}") from error
    except Exception as error:
        # lzma and zstandard have errors of their own, which would have to be imported to be named.
        if type(error).__module__.partition(".")[0] in ("_lzma", "lzma", "zstd", "zstandard"):
            raise LayoutExpertError(f"{place} is damaged: {error}") from error
        raise
