"""5-level page tables (LA57), with which x86_64 kernels run since 4.14 where the processor has them.

Rekall knows four levels, and keeps 48 bits of an address where there are now 57. What was cut off
follows from where the kernel says that it mapped memory: the variables page_offset_base, vmalloc_base
and vmemmap_base. Sources: Documentation/arch/x86/x86_64/mm.rst, arch/x86/mm/kaslr.c.
"""
from __future__ import annotations

import struct
from typing import Iterator, Optional

from rekall.plugins.addrspaces import amd64, intel
from rekall.plugins.linux import common

from rekall_layout_expert.plugin.encrypted_memory import EncryptedMemory, encryption_bit

_KEPT = (1 << 48) - 1
_USER_SPACE = 1 << 47
_LAST_ENTRY = 511
_ENTRY_ADDRESS = 0x000FFFFFFFFFF000


def has_five_levels(memory, top_table: int, level4_table: int) -> bool:
    """Whether the top table's last entry leads to the table that a 4-level kernel has no use for.

    Both are physical addresses: of init_top_pgt, and of level4_kernel_pgt.
    """
    entry, = struct.unpack("<Q", memory.read(top_table + _LAST_ENTRY * 8, 8))
    return bool(entry & 1) and entry & _ENTRY_ADDRESS == level4_table


class FiveLevelMemory(amd64.AMD64PagedMemory):
    """Virtual memory whose page tables have five levels. Addresses are what Rekall keeps of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        profile = self.profile or self.session.profile
        top = profile.phys_addr(profile.get_constant("init_top_pgt", is_address=True))
        self._is_kernel = self.dtb == top
        self._direct_map, *self._other_maps = (
            self._variable(profile, name) for name in ("page_offset_base", "vmalloc_base", "vmemmap_base"))
        self._memory_end = self.base.end()
        self._lower_levels = {}

    def describe_vtop(self, vaddr, collection=None):
        if collection is None:
            collection = intel.DescriptorCollection(self.session)
        kept = vaddr & _KEPT
        if self._is_kernel or kept >= _USER_SPACE:
            physical = (kept - self._direct_map) & _KEPT
            if physical < self._memory_end:
                collection.add(intel.PhysicalAddressDescriptor, address=physical)
                return collection
        for address in self._meanings(kept):
            lower = self._below(address >> 48 & 511)
            if lower and lower.vtop(kept) is not None:
                return lower.describe_vtop(kept, collection)
        collection.add(intel.InvalidAddress, "Invalid in all five levels\n")
        return collection

    def get_mappings(self, start=0, end=2 ** 64):
        """User space and the kernel's image; what is mapped directly is all of physical memory."""
        for index in (0, _LAST_ENTRY):
            lower = self._below(index)
            if lower:
                yield from lower.get_mappings(start=start, end=end)

    def _meanings(self, kept: int) -> Iterator[int]:
        """The addresses of which these 48 bits may have been kept, the likeliest first."""
        if kept >= _USER_SPACE:
            yield kept | ~_KEPT & (1 << 64) - 1
        elif not self._is_kernel:
            yield kept
            return
        for start in self._other_maps:
            address = start & ~_KEPT | kept
            yield address if address >= start else address + _KEPT + 1

    def _below(self, index: int) -> Optional[amd64.AMD64PagedMemory]:
        """The four levels below an entry of the top table."""
        entry = self.read_pte(self.dtb + index * 8)
        if not entry & self.valid_mask:
            return None
        table = entry & _ENTRY_ADDRESS
        if table not in self._lower_levels:
            self._lower_levels[table] = amd64.AMD64PagedMemory(base=self.base, session=self.session, dtb=table)
        return self._lower_levels[table]

    def _variable(self, profile, name: str) -> int:
        address = profile.phys_addr(profile.get_constant(name, is_address=True))
        return struct.unpack("<Q", self.base.read(address, 8))[0]


class FindPageTables(common.LinuxFindDTB):
    """Rekall's own search, with the address space that fits the page tables."""

    def GetAddressSpaceImplementation(self):
        top, level4 = (self.profile.get_constant(name, is_address=True)
                       for name in ("init_top_pgt", "level4_kernel_pgt"))
        if top and level4 and has_five_levels(self.physical_address_space, self.profile.phys_addr(top),
                                              self.profile.phys_addr(level4)):
            return FiveLevelMemory
        text, mask = (self.profile.get_constant(name) for name in ("_text", "sme_me_mask"))
        if text and mask and encryption_bit(self.physical_address_space, {"_text": text, "sme_me_mask": mask},
                                            self.profile.phys_addr(self.profile.get_constant("_text", is_address=True))):
            return EncryptedMemory
        return super().GetAddressSpaceImplementation()
