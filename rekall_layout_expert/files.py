"""Reading with a bound and writing in one step: what all file access of this package goes through.

Input is evidence and may be anything, so no read is unbounded. Output replaces its predecessor only
when it is complete on disk, so neither a crash nor a full disk leaves half a file under its name.
"""
from __future__ import annotations

import gzip
import os
import stat
import tempfile
import zlib
from typing import List, Union

from rekall_layout_expert.errors import LayoutExpertError

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_MOST_LINKS = 40  # as the kernel has it

Path = Union[str, "os.PathLike[str]"]


def read_bounded(path: Path, limit: int, unpack: bool = True) -> bytes:
    """The content of a plain or gzip-compressed file.

    limit: the most bytes the (decompressed) content may have. unpack: whether gzip is undone. A
    LayoutExpertError tells of a file that cannot be read, that is larger, or whose compressed data is
    damaged; where the system gave the reason, its OSError is the `__cause__`.
    """
    try:
        with open(path, "rb") as file:
            is_gzip = unpack and file.peek(2)[:2] == _GZIP_MAGIC
            stream = gzip.GzipFile(fileobj=file) if is_gzip else file
            chunks, size = [], 0
            # In chunks, because read(n) sets n bytes aside before it knows how many there are. A plain file tells: in one.
            most = max(_CHUNK, os.fstat(file.fileno()).st_size)
            while size <= limit:
                chunk = stream.read(min(most, limit + 1 - size))
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
                size += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LayoutExpertError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise LayoutExpertError(f"cannot read {path}: {error.strerror or error}") from error
    raise LayoutExpertError(f"{path} is larger than {limit} bytes: not what it is taken for")


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Puts data under path, replacing what was there, or leaves everything as it was.

    mode: the permissions of the file, whatever the umask. A LayoutExpertError, with the OSError as
    its `__cause__`, tells why it could not be written. Devices and pipes (/dev/stdout) have nothing
    to be replaced and are written to as they are.
    """
    try:
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as file:
                file.write(data)
        else:
            _replace(os.path.realpath(path), data, mode)
    except OSError as error:
        raise LayoutExpertError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: str, data: bytes, mode: int) -> None:
    # In the same directory, for only there is a rename atomic.
    directory, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def resolve_under(root: Path, path: str) -> str:
    """Where an absolute path of the system mounted at root leads: symbolic links stay inside root.

    A link such as /lib/modules/RELEASE/build -> /usr/src/… would else lead to the analyst's own files.
    """
    root = os.path.realpath(root)
    ahead, behind, links = _components(path), [], 0
    while ahead:
        name = ahead.pop()
        if name == "..":
            del behind[-1:]
            continue
        try:
            target = os.readlink(os.path.join(root, *behind, name))
        except OSError:  # no link, or nothing at all
            behind.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise LayoutExpertError(f"{path} leads through too many symbolic links")
        if target.startswith("/"):
            behind = []
        ahead += _components(target)
    return os.path.join(root, *behind)


def _components(path: str) -> List[str]:
    """Last first, as resolve_under takes them off."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
