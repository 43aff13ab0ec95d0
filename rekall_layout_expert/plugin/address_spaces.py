"""Physical memory: what Rekall's own address spaces leave open.

Rekall finds the address space by vote: every class that says it reads images is tried in its order,
and one that cannot read this one raises ASAssertionError.
"""
from __future__ import annotations

import os
import struct
from typing import Optional

from rekall import addrspace
from rekall.plugins.addrspaces import elfcore

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.failure import give_up
from rekall_layout_expert.plugin.snappy_frames import SnappyFrames

KCORE = "/proc/kcore"
# The whole address space, so 128 TB and more; no image is as large.
_KCORE_SIZE = 1 << 45
_PT_LOAD = 1
# The physical address of what has none, as vmalloc()ed memory.
_NOT_PHYSICAL = (1 << 64) - 1
_START_KERNEL_MAP = 0xFFFFFFFF80000000
# What page tables can address.
_LARGEST_MEMORY = 1 << 52


class KCoreCheck(addrspace.BaseAddressSpace):
    """Never reads anything: says why, when /proc/kcore is to be read and cannot be opened."""

    order = 0
    __image = True

    def __init__(self, base=None, session=None, **kwargs):
        self.as_assert(base is None and session.GetParameter("filename") == KCORE, f"Not {KCORE}")
        try:
            with open(KCORE, "rb"):
                pass
        except OSError as error:
            from rekall_layout_expert.host.permissions import why_kcore_is_closed
            reason, next_step = why_kcore_is_closed()
            give_up(session, LayoutExpertError(f"cannot open {KCORE} ({error.strerror}): {reason}",
                                               next_step=next_step))
        raise addrspace.ASAssertionError(f"{KCORE} is readable")


class KCore(elfcore.KCoreAddressSpace):
    """/proc/kcore of a kernel since 4.11, whose program headers state physical addresses.

    Rekall infers them from /proc/iomem, and passes over all memory whose start there is not on a
    page: of machines with EFI, much of it. Older kernels are left to Rekall.
    """

    order = elfcore.KCoreAddressSpace.order - 2
    __image = True
    _PROGRAM_HEADER = struct.Struct("<2I6Q")

    def __init__(self, **kwargs):
        # First, for Rekall believes what a file says of its size.
        self.as_assert(_is_kcore(kwargs.get("base")), f"Not {KCORE}")
        # Not the immediate parent's: what that would do is done here.
        super(elfcore.KCoreAddressSpace, self).__init__(**kwargs)
        self.volatile = True
        self.runs.clear()
        segments = [(offset, virtual, physical, size)
                    for kind, _, offset, virtual, physical, size, *_ in self._program_headers() if kind == _PT_LOAD]
        self.as_assert(any(physical == _NOT_PHYSICAL for _, _, physical, _ in segments), "No physical addresses")
        # The text is part of the memory that is directly mapped, and so is the page of it that 4.19 has elsewhere, too.
        _add_runs(self, [(physical, offset, size) for offset, virtual, physical, size in segments
                         if physical != _NOT_PHYSICAL and virtual < _START_KERNEL_MAP])

    def _program_headers(self):
        # Rekall's own ELF types cut off all but 48 bits, and with 5-level page tables offsets have more.
        header = self.base.read(0, 64)
        table, = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        self.as_assert(size == self._PROGRAM_HEADER.size, "Program headers of another size")
        return self._PROGRAM_HEADER.iter_unpack(self.base.read(table, size * count))


class ElfImage(elfcore.Elf64CoreDump):
    """An ELF core image, as QEMU's dump-guest-memory writes it, and /proc/vmcore.

    Rekall takes one for /proc/kcore first, and on the way reads the analyst's own /proc/iomem. It also takes the virtual
    address of what lies at physical address 0, and all sizes as the file states them.
    """

    order = elfcore.KCoreAddressSpace.order - 1
    __image = True
    _PROGRAM_HEADER = KCore._PROGRAM_HEADER
    _PMEM_METADATA = elfcore.PT_PMEM_METADATA
    _CORE, _MANY = 4, 0xFFFF

    def __init__(self, **kwargs):
        # Not the immediate parent's: what that would do is done here.
        super(elfcore.Elf64CoreDump, self).__init__(**kwargs)
        self.as_assert(self.base, "Must be layered on another address space.")
        self.as_assert(not _is_kcore(self.base), f"This is {KCORE}")
        header = self.base.read(0, 64)
        self.as_assert(header[:6] == b"\x7fELF\x02\x01" and header[16] == self._CORE, "No ELF core file of 64 bits")
        self.offset, self.fname, self._metadata = 0, "", {}
        self.name = f"{type(self).__name__}|{self.base.name}"
        end, promised = self.base.end(), 0
        segments = []
        for kind, _, offset, virtual, physical, size, *_ in self._program_headers(header, end):
            self.as_assert(kind != self._PMEM_METADATA, "Made by WinPmem")
            if kind == _PT_LOAD and size and physical != _NOT_PHYSICAL:
                segments.append((physical, offset, size, virtual))
                promised = max(promised, offset + size)
        self.as_assert(sum(not physical and bool(virtual) for physical, _, _, virtual in segments) < 2, "No physical addresses")
        _add_runs(self, [(physical, offset, min(size, end - offset)) for physical, offset, size, _ in segments])
        if promised > end:
            _tell(self.session, f"it ends after {end:,} bytes of {promised:,}")

    def _program_headers(self, header: bytes, end: int):
        table, sections = struct.unpack_from("<2Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        self.as_assert(size == self._PROGRAM_HEADER.size, "Program headers of another size")
        if count == self._MANY:  # then the first section has it
            count, = struct.unpack_from("<I", self.base.read(sections, 64), 44)
        count = min(count, max(end - table, 0) // size)
        return self._PROGRAM_HEADER.iter_unpack(self.base.read(table, size * count))


def is_running_kernel(memory) -> bool:
    """Whether it is the physical memory of this host."""
    return isinstance(memory, elfcore.KCoreAddressSpace)


def _is_kcore(space) -> bool:
    handle = getattr(space, "fhandle", None)
    return bool(handle) and os.fstat(handle.fileno()).st_size >= _KCORE_SIZE


def _add_runs(space, runs) -> None:
    """Runs of (address in memory, place in the base, size), or with what else they are in; of what is there twice, the first."""
    end = 0
    for start, place, size, *inside in sorted(runs, key=lambda run: run[:2]):
        skipped = max(end - start, 0)
        if size > skipped:
            space.add_run(start + skipped, place + skipped, size - skipped, *inside)
            end = start + size


def _tell(session, what: str) -> None:
    session.logging.warning("Layout Expert: %s is not whole: %s; what is missing reads as zeros",
                            session.GetParameter("filename"), what)


class LimeImage(addrspace.RunBasedAddressSpace):
    """An image by LiME or AVML: ranges of physical memory, each behind a header; those of AVML may be compressed.

    Rekall's own class compares the signature with text and so declines every one on Python 3. Sources: LiME's
    doc/README.md, AVML's src/image.rs.
    """

    order = 49
    __image = True
    # Magic, version, address of the first byte and of the last one, 8 bytes reserved.
    _HEADER = struct.Struct("<4sIQQQ")
    _KINDS = {(b"EMiL", 1): False, (b"AVML", 2): True}  # whether it is compressed
    # AVML has a header for each 16 MB.
    _MOST_RANGES = 1 << 20

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.as_assert(self.base, "Must be layered on another address space.")
        self.as_assert(self._kind(self.base.read(0, self._HEADER.size)) is not None, "No signature of LiME or AVML")
        position, end, runs, frames = 0, self.base.end(), [], None
        trouble = None
        while position < end and not trouble:
            header = self.base.read(position, self._HEADER.size)
            is_compressed = self._kind(header)
            _, _, first, last, _ = self._HEADER.unpack(header)
            if is_compressed is None or not first <= last < _LARGEST_MEMORY or len(runs) == self._MOST_RANGES:
                trouble = f"no header of a range is at byte {position:,}"
                break
            position += self._HEADER.size
            size = last + 1 - first
            if is_compressed:
                frames = frames or SnappyFrames(self.base, self.session)
                start = frames.size
                position, trouble = frames.add(position, size, end)
                runs.append((first, start, frames.size - start, frames))
            else:
                runs.append((first, position, min(size, end - position)))
                position += size
        if position > end:
            trouble = f"it ends after {end:,} bytes of {position:,} at least"
        _add_runs(self, runs)
        if trouble:
            _tell(self.session, trouble)

    def _kind(self, header: bytes) -> Optional[bool]:
        return self._KINDS.get(self._HEADER.unpack(header)[:2])
