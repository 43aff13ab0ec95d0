"""A repository of Pre-ASTs: names to bytes, in a directory, on the web, or in whatever fsspec speaks to.

Whatever has get(name) -> bytes | None, and put(name, data) where it can be written, will do, Rekall's
profile repositories for example. Names are paths in it, and predictable (see `supply`), so that files
served as they are make a repository and no index is needed to find one.
"""
from __future__ import annotations

import os
import re
from typing import Optional, Union
from urllib.parse import quote

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, write_atomically
from rekall_layout_expert.supply.transfer import OFFLINE, Call, Network, NotFound, Unreachable, without_password

# Real ones have about 1 MB.
_SIZE_LIMIT = 64 << 20

# Parts of a path, none of which is hidden or leads upwards.
_NAME = re.compile(r"[\w+~:-][\w.+~:-]*(?:/[\w+~:-][\w.+~:-]*)*\Z", re.ASCII)

_PATIENCE = 60.0  # seconds for what fsspec does, whose libraries have times of their own
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)(?:://|::)")
_WITHOUT_NETWORK = {"file", "local", "memory", "tar", "zip"}


class DirectoryRepository:
    """A directory, which comes into being when something is first put there."""

    def __init__(self, directory: Path):
        self.directory = str(directory)

    def __str__(self) -> str:
        return self.directory

    def get(self, name: str) -> Optional[bytes]:
        """What was put under name; None if nothing was. A LayoutExpertError tells why it cannot be read."""
        path = self._path(name)
        return read_bounded(path, _SIZE_LIMIT, unpack=False) if os.path.exists(path) else None

    def put(self, name: str, data: bytes) -> None:
        """Keeps data under name, replacing what was there. A LayoutExpertError tells why it cannot."""
        path = self._path(name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise LayoutExpertError(f"cannot write {path}: {error.strerror}") from error
        write_atomically(path, data)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, _checked(name))


class WebRepository:
    """A directory that a web server serves, to be read. `network` does the talking."""

    def __init__(self, url: str, network: Network):
        self._url = url.rstrip("/")
        self._network = network

    def __str__(self) -> str:
        return without_password(self._url)

    def get(self, name: str) -> Optional[bytes]:
        """As DirectoryRepository.get(); Unreachable if no other name can be got either."""
        try:
            # A plus sign is quoted, for some object stores take it for a space.
            return self._network.fetch(f"{self._url}/{quote(_checked(name), safe='/:~')}", _SIZE_LIMIT)
        except NotFound:
            return None


class StoreRepository:
    """What fsspec speaks to: an object store (s3://…, gs://…), an archive (zip://…), and others, by URL."""

    def __init__(self, url: str, network: Network):
        self._url = url.rstrip("/")
        self._is_refused = network.offline and not set(_SCHEME.findall(url)) <= _WITHOUT_NETWORK
        self._trouble: Optional[Unreachable] = None

    def __str__(self) -> str:
        return without_password(self._url)

    def get(self, name: str) -> Optional[bytes]:
        """As WebRepository.get()."""
        try:
            data = self._done(self._get, _checked(name))
        except (FileNotFoundError, KeyError):  # KeyError of archives
            return None
        if len(data) > _SIZE_LIMIT:
            raise LayoutExpertError(f"{self}/{name} is larger than {_SIZE_LIMIT} bytes: not what it is taken for")
        return data

    def put(self, name: str, data: bytes) -> None:
        """As DirectoryRepository.put()."""
        self._done(self._put, _checked(name), data)

    def _get(self, name: str) -> bytes:
        system, root = self._system()
        return system.cat_file(f"{root}/{name}", start=0, end=_SIZE_LIMIT + 1)

    def _put(self, name: str, data: bytes) -> None:
        system, root = self._system()
        path = f"{root}/{name}"
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, data)

    def _system(self):
        import fsspec

        system, root = fsspec.url_to_fs(self._url)
        return system, root.rstrip("/")

    def _done(self, function, *arguments):
        """Does it in bounded time; what keeps it from being done is told, and not tried again."""
        if self._is_refused:
            raise Unreachable(str(self), OFFLINE)
        if self._trouble:
            raise self._trouble
        call = Call(function, *arguments)
        call.start()
        try:
            return call.wait(_PATIENCE)
        except (FileNotFoundError, KeyError):
            raise
        except TimeoutError:
            self._trouble = Unreachable(str(self), f"has not answered within {_PATIENCE:g} s")
        except ImportError as error:
            self._trouble = Unreachable(str(self), f"takes a package that is missing: {error}",
                                        "pip install fsspec, with s3fs for S3, gcsfs for GCS")
        except Exception as error:  # each store's library has exceptions of its own
            self._trouble = Unreachable(str(self), f"cannot be used: {str(error) or type(error).__name__}")
        raise self._trouble


def repository_at(place: str, network: Network) -> Union[DirectoryRepository, WebRepository, StoreRepository]:
    """The repository at a directory or URL, as users name it."""
    scheme = _SCHEME.match(place)
    if scheme is None:
        return DirectoryRepository(os.path.expanduser(place))
    if scheme.group() in ("http://", "https://"):
        return WebRepository(place, network)
    if scheme.group() == "file://":
        return DirectoryRepository(place[len("file://"):])
    return StoreRepository(place, network)


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise LayoutExpertError(f"{name!r} is no name for a repository: it would lead out of it")
    return name
