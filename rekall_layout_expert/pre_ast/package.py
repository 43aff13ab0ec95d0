"""Which package a tree came in, as its Debian changelog says (deb-changelog(5)): "linux (6.1.192-2) bookworm; …".

An installed or unpacked package has it at /usr/share/doc/PACKAGE/changelog.Debian.gz, the distribution's source in debian/.
"""
from __future__ import annotations

import gzip
import os
import re
import zlib
from typing import Optional

from rekall_layout_expert.files import Path

_HEAD = re.compile(rb"[a-z0-9][a-z0-9+.-]* \(([\w.+~:-]{1,100})\)", re.ASCII)


def package_version_of(tree: Path) -> Optional[str]:
    """The version of the Debian or Ubuntu package that a tree came in, "6.1.192-2"; None if nothing tells."""
    tree = os.path.realpath(tree)
    source, name = os.path.split(tree)
    for path in (os.path.join(os.path.dirname(source), "share", "doc", name, "changelog.Debian.gz"),
                 os.path.join(tree, "debian", "changelog")):
        head = _HEAD.match(_first_line(path))
        if head:
            return head.group(1).decode("ascii")
    return None


def _first_line(path: str) -> bytes:
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as changelog:
            return changelog.readline(1000)
    except (OSError, EOFError, zlib.error):
        return b""
