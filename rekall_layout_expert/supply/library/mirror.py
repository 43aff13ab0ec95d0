"""A library's copy elsewhere: what is there already is not fetched again.

The index comes first and is put last, after all that it lists; so a copy that was broken off is continued by
the next, and one that readers use meanwhile never lists what is not there.
"""
from __future__ import annotations

import hashlib
from typing import Callable, Dict, NamedTuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply.library import INDEX, OBJECTS, Library, envelope


class Mirrored(NamedTuple):
    versions: int
    fetched: int  # files
    size: int  # bytes


def mirror(source: Library, target, report: Callable[[str], None]) -> Mirrored:
    """Copies a library to what has get(name) and put(name, data).

    What the source's keys do not vouch for is not copied. A LayoutExpertError tells what could not be
    had, and then what was copied stays.
    """
    data = source.get(INDEX)
    if data is None:
        raise LayoutExpertError(f"{source} has no index", [INDEX], "only a library can be mirrored, not any repository")
    try:
        entries = source.index_in(data)
    except LayoutExpertError as error:
        raise LayoutExpertError(f"{source}, {INDEX}: {error}") from error
    before = target.get(INDEX)
    if before is not None and _serial(data) < _serial(before):
        raise LayoutExpertError(f"{source} is older than its copy in {target}: rolled back, or another library",
                                next_step=f"delete {INDEX} of the copy if that is meant")
    wanted: Dict[str, str] = {}
    for name, entry in sorted(entries.items()):
        wanted[OBJECTS + entry["base"]] = entry["base"]
        wanted[name] = entry["file"]
    fetched = size = 0
    for name, digest in wanted.items():
        if _has(target, name, digest):
            continue
        content = source.get(name)
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            raise LayoutExpertError(f"{source}, {name}: " + ("missing" if content is None else "not what the index lists"),
                                    next_step="try again: the library may have changed meanwhile")
        target.put(name, content)
        report(f"FETCHED {name}: {len(content)} bytes")
        fetched, size = fetched + 1, size + len(content)
    if before != data:
        target.put(INDEX, data)
    return Mirrored(len(entries), fetched, size)


def _serial(data: bytes) -> int:
    return envelope.opened(data, envelope.INDEX, INDEX).statement["serial"]


def _has(target, name: str, digest: str) -> bool:
    content = target.get(name)
    return content is not None and hashlib.sha256(content).hexdigest() == digest
