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
from contextlib import suppress
from typing import List, Optional

from rekall import cache, constants, io_manager

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply.repository import DirectoryRepository

# Profiles of all structs have 20 MB.
_SIZE_LIMIT = 256 << 20
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS
_SECTIONS = ("$METADATA", "$STRUCTS", "$CONSTANTS")


def local_repositories(session) -> List[DirectoryRepository]:
    """In the order in which they are read. The last is Rekall's cache, where it stores profiles."""
    directories = [os.path.expandvars(path) for path in session.GetParameter("repository_path") or ()]
    # Without a configured cache, Rekall's answer is its own None; of one that cannot be written the start has told.
    with suppress(io_manager.IOManagerError):
        directories.append(cache.GetCacheDir(session))
    existing = [os.path.abspath(directory) for directory in directories if directory and os.path.isdir(directory)]
    return [DirectoryRepository(os.path.join(directory, constants.PROFILE_REPOSITORY_VERSION))
            for directory in dict.fromkeys(existing)]


def load_profile(session, repositories: List[DirectoryRepository], name: str) -> Optional[dict]:
    """The profile of that name; None if no repository has one that can be read."""
    for repository in repositories:
        try:
            data = repository.get(name + ".gz")
            if data is None:
                continue
            profile = json.loads(zlib.decompressobj(_WITH_GZIP_HEADER).decompress(data, _SIZE_LIMIT))
            if isinstance(profile, dict) and all(isinstance(profile.get(section), dict) for section in _SECTIONS):
                return profile
            reason = "it is no profile"
        except (LayoutExpertError, zlib.error, TypeError, ValueError) as error:
            reason = error
        session.logging.warning("Layout Expert: %s in %s cannot be used and is made again: %s",
                                name, repository, reason)
    return None


def store_profile(session, repositories: List[DirectoryRepository], name: str, profile: dict) -> Optional[str]:
    """Stores a profile where Rekall would; where, or None when there is no such place or a line has told of it."""
    if not repositories:
        return None
    try:
        data = json.dumps(profile, sort_keys=True, separators=(",", ":")).encode("ascii")
        # Without the time in its header, the same profile is the same file.
        repositories[-1].put(name + ".gz", gzip.compress(data, 1, mtime=0))
    except LayoutExpertError as error:
        session.logging.warning("Layout Expert: %s; the profile is used now, and made again next time", error)
        return None
    return str(repositories[-1])
