"""Where the kernel's text lies, as the program headers of /proc/kcore (an ELF core file) say.

fs/proc/kcore.c gives the kernel's image a segment of its own on x86_64, whose virtual address is that
of _text and whose physical address, told since 4.11, is where the image was loaded. KASLR chooses
both, so both slides can be had without kallsyms.
"""
from __future__ import annotations

import struct
from typing import Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.permissions import why_kcore_is_closed

_PT_LOAD = 1
_FILE_HEADER = struct.Struct("<16s2HI3QI6H")
_PROGRAM_HEADER = struct.Struct("<2I6Q")
_FARTHEST = 1 << 32
# __START_KERNEL_map, and the end of the largest room that x86_64 reserves for the image.
_IMAGE_ROOM = range(0xFFFFFFFF80000000, 0xFFFFFFFFC0000000)


def kcore_text_segment(path: Path = "/proc/kcore", root: Path = "/") -> Tuple[int, Optional[int]]:
    """The virtual and the physical address of the x86_64 kernel's text: of _text, as it runs.

    path: /proc/kcore or an ELF core file in its form. The physical address is None where the kernel
    does not tell it. A LayoutExpertError says why there is none, or why kcore of the host mounted at
    root is closed.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_FILE_HEADER.size)
            if len(header) < _FILE_HEADER.size or header[:6] != b"\x7fELF\x02\x01":
                raise LayoutExpertError(f"{path} is no little-endian ELF64 file, as /proc/kcore of x86_64 is")
            fields = _FILE_HEADER.unpack(header)
            offset, entry_size, count = fields[5], fields[9], fields[10]
            if entry_size != _PROGRAM_HEADER.size or offset > _FARTHEST:
                raise LayoutExpertError(
                    f"{path} is damaged: {count} program headers of {entry_size} bytes at {offset:#x}")
            file.seek(offset)
            table = file.read(count * entry_size)
    except OSError as error:
        reason, next_step = why_kcore_is_closed(root)
        raise LayoutExpertError(
            f"cannot read {path} ({error.strerror}): {reason}", next_step=next_step) from error
    whole = len(table) - len(table) % _PROGRAM_HEADER.size
    segments = [(virtual, physical) for kind, _, _, virtual, physical, *_ in _PROGRAM_HEADER.iter_unpack(table[:whole])
                if kind == _PT_LOAD and virtual in _IMAGE_ROOM]
    if not segments:
        raise LayoutExpertError(f"{path} has no segment of the kernel's text",
                                next_step="take the addresses from /proc/kallsyms, read as root")
    virtual, physical = min(segments)  # the modules' segment comes after it
    return virtual, physical if physical not in (0, (1 << 64) - 1) else None
