"""Which version of the GNU C Library a process has mapped.

The file says so itself: each version that brought functions defines a version of symbols named after it, GLIBC_2.36, and
the dynamic linker reads these definitions in every process at its start, so they are in memory. A version without new
functions (2.31, 2.37, 2.40 on x86_64) looks like the one before. malloc's structs changed in versions with new functions
only. Source: the ELF specification's .gnu.version_d (Linux Standard Base), elf/dl-version.c.
"""
from __future__ import annotations

import re
import struct
from typing import Callable, Dict, Iterator, Optional, Tuple

Read = Callable[[int, int], bytes]

_PROGRAM_HEADER_SIZE = 56
_PT_DYNAMIC = 2
_DT_STRTAB, _DT_VERDEF, _DT_VERDEFNUM = 5, 0x6FFFFFFC, 0x6FFFFFFD
_MOST_HEADERS, _MOST_DYNAMIC, _MOST_DEFINITIONS = 64, 128, 256
_LONGEST_NAME = 32


def version_of(read: Read, base: int) -> Optional[Tuple[int, int]]:
    """(2, 36) of the library whose file is mapped from `base` on, for x86_64; None if that cannot be read there."""
    names = list(_definitions(read, base))
    versions = [tuple(map(int, found.groups())) for found in (re.fullmatch(rb"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", name)
                                                              for name in names) if found]
    return max(versions, default=None)


def _definitions(read: Read, base: int) -> Iterator[bytes]:
    """The names of the versions that a library defines."""
    header = read(base, 64)
    if header[:6] != b"\x7fELF\x02\x01":
        return
    table, = struct.unpack_from("<Q", header, 32)
    count, = struct.unpack_from("<H", header, 56)
    for index in range(min(count, _MOST_HEADERS)):
        kind, _, _, address = struct.unpack("<IIQQ", read(base + table + index * _PROGRAM_HEADER_SIZE, 24))
        if kind == _PT_DYNAMIC:
            dynamic = _dynamic(read, base + address)
            break
    else:
        return
    if not {_DT_STRTAB, _DT_VERDEF, _DT_VERDEFNUM} <= set(dynamic):
        return
    # The dynamic linker adds the base to some of the addresses in memory, and to others not.
    strings, at = (value if value >= base else base + value for value in (dynamic[_DT_STRTAB], dynamic[_DT_VERDEF]))
    for _ in range(min(dynamic[_DT_VERDEFNUM], _MOST_DEFINITIONS)):
        _, _, _, _, _, first_name, following = struct.unpack("<HHHHIII", read(at, 20))
        name, = struct.unpack("<I", read(at + first_name, 4))
        yield read(strings + name, _LONGEST_NAME).split(b"\0")[0]
        if not following:
            return
        at += following


def _dynamic(read: Read, at: int) -> Dict[int, int]:
    """The entries of a dynamic section by their tags."""
    found: Dict[int, int] = {}
    for index in range(_MOST_DYNAMIC):
        tag, value = struct.unpack("<QQ", read(at + 16 * index, 16))
        if not tag:
            break
        found.setdefault(tag, value)
    return found
