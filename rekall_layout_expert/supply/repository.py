"""A repository of Pre-ASTs: names to bytes.

Whatever has get(name) -> bytes | None and put(name, data) will do, Rekall's profile repositories for
example. Here it is a directory, with the names as paths in it.
"""
from __future__ import annotations

import os
import re
from typing import Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, write_atomically

# Real ones have about 1 MB.
_SIZE_LIMIT = 64 << 20

# Parts of a path, none of which is hidden or leads upwards.
_NAME = re.compile(r"[\w+~:-][\w.+~:-]*(?:/[\w+~:-][\w.+~:-]*)*\Z", re.ASCII)


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
        if not _NAME.match(name):
            raise LayoutExpertError(f"{name!r} is no name for a repository: it would lead out of it")
        return os.path.join(self.directory, name)
