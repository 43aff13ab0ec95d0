"""Physical memory: what Rekall's own address spaces leave open.

Rekall finds the address space by vote: every class that says it reads images is tried in its order,
and one that cannot read this one raises ASAssertionError.
"""
from __future__ import annotations

import os
import struct

from rekall import addrspace
from rekall.plugins.addrspaces import elfcore

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.failure import give_up

KCORE = "/proc/kcore"
# The whole address space, so 128 TB and more; no image is as large.
_KCORE_SIZE = 1 << 45
_PT_LOAD = 1
# The physical address of what has none, as vmalloc()ed memory.
_NOT_PHYSICAL = (1 << 64) - 1
_START_KERNEL_MAP = 0xFFFFFFFF80000000


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
        # Not the immediate parent's: what that would do is done here.
        super(elfcore.KCoreAddressSpace, self).__init__(**kwargs)
        self.as_assert(_is_kcore(self.base), f"Not {KCORE}")
        self.volatile = True
        self.runs.clear()
        segments = [(offset, virtual, physical, size)
                    for kind, _, offset, virtual, physical, size, *_ in self._program_headers() if kind == _PT_LOAD]
        self.as_assert(any(physical == _NOT_PHYSICAL for _, _, physical, _ in segments), "No physical addresses")
        for offset, virtual, physical, size in segments:
            # The text is part of the memory that is directly mapped.
            if physical != _NOT_PHYSICAL and virtual < _START_KERNEL_MAP:
                self.add_run(physical, offset, size)

    def _program_headers(self):
        # Rekall's own ELF types cut off all but 48 bits, and with 5-level page tables offsets have more.
        header = self.base.read(0, 64)
        table, = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        self.as_assert(size == self._PROGRAM_HEADER.size, "Program headers of another size")
        return self._PROGRAM_HEADER.iter_unpack(self.base.read(table, size * count))


class ElfImage(elfcore.Elf64CoreDump):
    """An ELF core image.

    Rekall takes one for /proc/kcore first, and on the way reads the analyst's own /proc/iomem,
    which in a container may lack what it wants there.
    """

    order = elfcore.KCoreAddressSpace.order - 1
    __image = True

    def check_file(self):
        super().check_file()
        self.as_assert(not _is_kcore(self.base), f"This is {KCORE}")


def is_running_kernel(memory) -> bool:
    """Whether it is the physical memory of this host."""
    return isinstance(memory, elfcore.KCoreAddressSpace)


def _is_kcore(space) -> bool:
    handle = getattr(space, "fhandle", None)
    return bool(handle) and os.fstat(handle.fileno()).st_size >= _KCORE_SIZE


class LimeImage(addrspace.RunBasedAddressSpace):
    """A LiME image: ranges of physical memory, each behind a header.

    Rekall's own class compares the signature with text and so declines every one on Python 3.
    """

    order = 49
    __image = True
    # Magic, version, address of the first byte and of the last one, 8 bytes reserved.
    _HEADER = struct.Struct("<4sIQQQ")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.as_assert(self.base, "Must be layered on another address space.")
        position, end = 0, self.base.end()
        while position + self._HEADER.size <= end:
            magic, version, first, last, _ = self._HEADER.unpack(self.base.read(position, self._HEADER.size))
            if magic != b"EMiL" or version != 1 or last < first:
                break
            position += self._HEADER.size
            self.add_run(first, position, min(last + 1 - first, end - position))
            position += last + 1 - first
        self.as_assert(position, "No LiME signature")
