"""AMD's memory encryption (SME), with which entries of page tables have one bit more: that the page is encrypted.

The kernel says in sme_me_mask, since 4.14, which bit of an address it is. An image that was taken by the machine itself is of
decrypted memory, and only that bit has to be taken off. Source: arch/x86/mm/mem_encrypt.c. Not together with five levels of
page tables.
"""
from __future__ import annotations

import struct
from typing import Mapping, Optional

from rekall.plugins.addrspaces import amd64

# Processors state it in CPUID 8000_001F: 47 or 51 so far, above all memory that there is.
_BITS = tuple(1 << bit for bit in range(40, 52))


def encryption_bit(memory, addresses: Mapping[str, int], place: int) -> int:
    """The bit as it stands in entries, 0 where nothing is encrypted.

    memory: physical. addresses: of the kernel's symbols, of which _text is at the physical address `place`.
    """
    if "sme_me_mask" not in addresses:
        return 0
    mask, = struct.unpack("<Q", memory.read(place + addresses["sme_me_mask"] - addresses["_text"], 8))
    return mask if mask in _BITS else 0


class EncryptedMemory(amd64.AMD64PagedMemory):
    """Virtual memory with four levels of page tables whose entries have that bit."""

    def __init__(self, mask: Optional[int] = None, **kwargs):
        """mask: the bit; without it the profile tells where the kernel says it."""
        super().__init__(**kwargs)
        if mask is None:
            profile = self.profile or self.session.profile
            addresses = {name: profile.get_constant(name) for name in ("_text", "sme_me_mask")}
            place = profile.phys_addr(profile.get_constant("_text", is_address=True))
            mask = encryption_bit(self.base, addresses, place)
        self._kept = ~mask

    def read_pte(self, addr, collection=None):
        return super().read_pte(addr, collection) & self._kept

    # Those who list all that is mapped read whole tables.

    def _get_pde_addr(self, pdpte_value, vaddr):
        address = super()._get_pde_addr(pdpte_value, vaddr)
        return None if address is None else address & self._kept

    def _get_pte_addr(self, vaddr, pde_value):
        address = super()._get_pte_addr(vaddr, pde_value)
        return None if address is None else address & self._kept

    def get_mappings(self, start=0, end=2 ** 64):
        for run in super().get_mappings(start, end):
            run.file_offset &= self._kept
            yield run
