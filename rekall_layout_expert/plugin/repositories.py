"""Rekall's profile repositories as far as they are directories on this machine.

Rekall keeps NAME in `DIRECTORY/v1.0/NAME`, or `NAME.gz`. Its own way to them is not taken: it asks
the network for every URL first, and waits where there is none, and it writes a file in place, so
that a crash leaves half a profile. What is written here is found by Rekall under the same name.
"""
from __future__ import annotations

import gzip
import json
import os
import zlib
from typing import List, Optional

from rekall import cache, io_manager

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import write_atomically

# Profiles have 1 to 20 MB; what Pre-ASTs have is checked where they are read.
_SIZE_LIMIT = 256 << 20


class Repository:
    """A directory with profiles and Pre-ASTs."""

    def __init__(self, directory: str, session):
        self._manager = io_manager.DirectoryIOManager(urn=directory, session=session)
        self.directory = self._manager.location

    def __str__(self) -> str:
        return self.directory

    def get(self, name: str) -> Optional[bytes]:
        """The bytes stored under the name, as they are; None if there are none to be read."""
        try:
            with open(self._path(name), "rb") as file:
                data = file.read(_SIZE_LIMIT + 1)
        except OSError:
            return None
        return data if len(data) <= _SIZE_LIMIT else None

    def put(self, name: str, data: bytes) -> None:
        """Stores bytes under the name, all or nothing. A LayoutExpertError tells why it could not."""
        path = self._path(name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise LayoutExpertError(f"cannot write {path}: {error.strerror}") from error
        write_atomically(path, data)

    def _path(self, name: str) -> str:
        return self._manager.GetAbsolutePathName(name)


def local_repositories(session) -> List[Repository]:
    """In the order in which they are read. The last is Rekall's cache, where it stores profiles."""
    directories = [os.path.expandvars(path) for path in session.GetParameter("repository_path") or ()]
    try:
        directories.append(cache.GetCacheDir(session))
    except io_manager.IOManagerError as error:
        session.logging.warning("Layout Expert: %s", error)
    repositories = []
    for directory in directories:
        # Without a configured cache, Rekall's answer is its None.
        if directory and os.path.isdir(directory) and directory not in map(str, repositories):
            repositories.append(Repository(directory, session))
    return repositories


def load_profile(session, repositories: List[Repository], name: str) -> Optional[dict]:
    """The profile of that name; None if no repository has one that can be read."""
    for repository in repositories:
        data = repository.get(name + ".gz")
        if data is None:
            continue
        try:
            profile = json.loads(gzip.decompress(data))
            if isinstance(profile, dict) and "$METADATA" in profile:
                return profile
        except (OSError, EOFError, zlib.error, ValueError):
            pass
        session.logging.warning("Layout Expert: %s in %s is damaged and is made again", name, repository)
    return None


def store_profile(session, repositories: List[Repository], name: str, profile: dict) -> Optional[str]:
    """Stores a profile where Rekall would; where, or None when a line has told that it cannot be."""
    try:
        if not repositories:
            raise LayoutExpertError("there is no writable profile repository")
        data = json.dumps(profile, sort_keys=True, separators=(",", ":")).encode("ascii")
        # No time in the header: the same profile is the same file.
        repositories[-1].put(name + ".gz", gzip.compress(data, 6, mtime=0))
    except LayoutExpertError as error:
        session.logging.warning("Layout Expert: %s; the profile is used now, and made again next time", error)
        return None
    return str(repositories[-1])
