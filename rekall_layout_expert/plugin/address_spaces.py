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
from rekall_layout_expert.host.permissions import why_kcore_is_closed
from rekall_layout_expert.plugin.failure import give_up

KCORE = "/proc/kcore"
# The whole address space, so 128 TB and more; no image is as large.
_KCORE_SIZE = 1 << 45


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
            reason, next_step = why_kcore_is_closed()
            give_up(session, LayoutExpertError(f"cannot open {KCORE} ({error.strerror}): {reason}",
                                               next_step=next_step))
        raise addrspace.ASAssertionError(f"{KCORE} is readable")


class ElfImage(elfcore.Elf64CoreDump):
    """An ELF core image.

    Rekall takes one for /proc/kcore first, and on the way reads the analyst's own /proc/iomem,
    which in a container may lack what it wants there.
    """

    order = elfcore.KCoreAddressSpace.order - 1
    __image = True

    def check_file(self):
        super().check_file()
        handle = getattr(self.base, "fhandle", None)
        self.as_assert(handle and os.fstat(handle.fileno()).st_size < _KCORE_SIZE, f"This is {KCORE}")


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
