"""What was typed into a zsh.

Rekall's own looks for three entries of the history that all lie in the heap, so that it finds none while fewer than three
commands were typed, mistakes the bytes of a command for text, and shows of each process on the system that it has no
history. Source: zsh's Src/hist.c and Src/zsh.h (struct histent), the same since 4.3.
"""
from __future__ import annotations

import os
from typing import Dict, List, Optional

from rekall import obj
from rekall.plugins.linux import zsh
from rekall_lib import utils

from rekall_layout_expert.glibc import heap as glibc
from rekall_layout_expert.plugin.linux.heaps import made_chunk
from rekall_layout_expert.plugin.linux.replacing import replaces

_HEADER = 16
# A byte that has a meaning inside of zsh is kept as this one and itself with one bit changed (Meta).
_META, _CHANGED = 0x83, 0x20


@replaces(zsh.Zsh, "collect", lambda profile: profile.metadata("arch") == "AMD64")
def commands(plugin):
    """The history of each zsh, from its first command on."""
    types = plugin._zsh_profile = zsh.ZshProfile64(session=plugin.session)
    for task in plugin.filter_processes():
        if not task.mm or not plugin.filtering_requested and not _is_zsh(task) or not plugin.init_for_task(task):
            continue
        yield dict(divider=f"Task: {task.name} ({task.pid})")
        for entry in sorted(_history(plugin, types), key=lambda entry: int(entry.histnum)):
            started, ended = int(entry.stim), int(entry.ftim)
            yield dict(task=task, counter=entry.histnum, started=plugin.profile.UnixTimeStamp(value=started),
                       ended=plugin.profile.UnixTimeStamp(value=ended) if ended else None,
                       command=_text(plugin, int(entry.node.nam)))


def _is_zsh(task) -> bool:
    """By its name, which a script of zsh's has for itself, or by its program."""
    return "zsh" in (str(task.name), os.path.basename(utils.SmartUnicode(task.get_path(task.mm.exe_file))))


def _history(plugin, types) -> List[obj.Struct]:
    """The entries of the longest ring that chunks of an entry's size make.

    The line that is being typed is in the ring, too, but not in the heap.
    """
    heap, vm = plugin.glibc_heap, plugin.process_as
    size = types.get_obj_size("histent") + 8
    entries: Dict[int, obj.Struct] = {}
    for index, kind in enumerate(heap.kinds):
        if kind == glibc.ALLOCATED and heap.sizes[index] == size + -size % 16:
            entry = types.histent(offset=heap.addresses[index] + _HEADER, vm=vm)
            if _block(plugin, int(entry.node.nam)) is not None:
                entries[entry.obj_offset] = entry
    best: List[obj.Struct] = []
    left = set(entries)
    while left:
        ring, seen, address = [], set(), left.pop()
        begin = address
        for _ in range(len(entries) + 2):
            entry = entries.get(address) or types.histent(offset=address, vm=vm)
            following = int(entry.down)
            if address in seen or int(types.histent(offset=following, vm=vm).up) != address:
                break
            seen.add(address)
            ring.extend([entry] if address in entries else [])
            address = following
        left -= seen
        if address == begin and len(ring) > len(best):
            best = ring
    return best


def _block(plugin, address: int) -> Optional[int]:
    """The index of the chunk that a pointer from malloc() is of."""
    index = plugin.glibc_heap.index_of(address - _HEADER)
    return index if index is not None and plugin.glibc_heap.kinds[index] == glibc.ALLOCATED else None


def _text(plugin, address: int) -> str:
    return typed(bytes(made_chunk(plugin, _block(plugin, address)).to_string()).split(b"\0")[0])


def typed(kept: bytes) -> str:
    """A command as it was typed, of how zsh keeps it."""
    plain = bytearray()
    changes = 0
    for byte in kept:
        if byte == _META and not changes:
            changes = _CHANGED
        else:
            plain.append(byte ^ changes)
            changes = 0
    return plain.decode("utf8", "replace")
