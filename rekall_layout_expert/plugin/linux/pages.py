"""Pages of physical memory.

Each has a struct page, in an array that began at one address until KASLR came to move all regions of the kernel's memory
(4.8 "x86/mm: Implement ASLR for kernel memory regions", and what followed it): the variable vmemmap_base tells where.
"""
from __future__ import annotations

import struct

from rekall import obj
from rekall.plugins.overlays.linux import linux

_PAGE_SHIFT = 12
_FOUR_LEVELS = 0xFFFFEA0000000000


class Page(linux.page):
    """A struct page that knows which page it is of."""

    def physical_offset(self):
        return page_of(self.obj_profile, self.obj_offset)


def page_of(profile: obj.Profile, address: int) -> int:
    """The physical address of the page whose struct page is at an address."""
    base = _FOUR_LEVELS
    variable = profile.get_constant("vmemmap_base", is_address=True)
    if variable:
        base, = struct.unpack("<Q", profile.session.kernel_address_space.read(variable, 8))
    distance = obj.Pointer.integer_to_address(address) - obj.Pointer.integer_to_address(base)
    return distance // profile.get_obj_size("page") << _PAGE_SHIFT


def apply(profile: obj.Profile) -> None:
    """Gives pages the class above."""
    profile.add_classes({"page": Page})
