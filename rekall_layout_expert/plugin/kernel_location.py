"""Where the kernel is: how far KASLR moved its image, in virtual and in physical memory.

A profile holds link-time addresses. Since 4.8 x86_64 draws two numbers at boot: where the image lies
in physical memory, on a grid of 2 MB or more (CONFIG_PHYSICAL_ALIGN), and where in the first gigabyte
above __START_KERNEL_map it is mapped. A running kernel states them in the program headers of /proc/kcore;
in an image they are found with the help of the kernel's own text and variables:

  1. linux_banner, the text "Linux version …", is at a known distance from _text: only one page for
     each point of the grid needs to be read.
  2. The variable phys_base, whose distance from _text is known as well, is what the kernel adds to
     translate its own addresses (__phys_addr): with _text's physical place it gives the virtual one.
  3. The kernel's page tables, translating the banner's virtual address, must lead to the same place.

Sources: arch/x86/kernel/head_64.S, arch/x86/boot/compressed/kaslr.c.
"""
from __future__ import annotations

import struct
from typing import Callable, Iterator, Mapping, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.image import Memory
from rekall_layout_expert.host.kcore import kcore_text_segment
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.plugin.encrypted_memory import EncryptedMemory, encryption_bit
from rekall_layout_expert.plugin.five_levels import has_five_levels
from rekall_layout_expert.profile.symbols import text_link_address

_START_KERNEL_MAP = 0xFFFFFFFF80000000
_IMAGE_SPACE = 1 << 30
_GRID = 2 << 20
_BANNER = b"Linux version "
_BANNER_LIMIT = 512
_PAGE = 4096
_PIECE = 1 << 20
# The top-level page table: init_top_pgt since 4.13 ("x86/boot/64: Rename init_level4_pgt and early_level4_pgt").
_TOP_TABLES = ("init_top_pgt", "init_level4_pgt", "swapper_pg_dir")


class Location(NamedTuple):
    """slide: how far the image is, in virtual memory, from where it was linked (bytes).

    text: the physical address of _text; None if only the kernel's own /proc/iomem tells.
    banner: the kernel's "Linux version …" as read from memory; None before memory was read.
    """

    slide: int
    text: Optional[int]
    banner: Optional[str] = None

    def from_link_address(self, start: int, config: KernelConfig) -> Location:
        """The same place, of which the slide counts from _text at `start`, counted from where it was linked.

        A LayoutExpertError tells that a kernel with this configuration cannot be there.
        """
        link_text = text_link_address(config)
        slide = self.slide + start - link_text
        if not 0 <= slide < _IMAGE_SPACE:
            raise LayoutExpertError(f"{config.source} is not of the kernel in the image, whose text is at {self.slide + start:#x}: "
                                    f"{link_text:#x}, where it is linked, cannot have slid there",
                                    next_step="name the configuration of this very kernel with --config_file_path")
        return self._replace(slide=slide)


def physical_memory(space) -> Memory:
    """Rekall's physical address space, for searches that know nothing of Rekall."""
    def read(address: int, length: int) -> bytes:
        # Rekall refuses to read much at once, and puts what it reads together with ever more copying.
        end = address + length
        return b"".join(space.read(at, min(_PIECE, end - at)) for at in range(address, end, _PIECE))

    return Memory(read, ((run.start, run.end) for run in space.get_mappings()))


def locate_running_kernel(config: KernelConfig) -> Location:
    """From the program headers of /proc/kcore."""
    link_text = text_link_address(config)
    if link_text is None:
        raise LayoutExpertError(f"the kernel's architecture is {config.architecture}: Rekall reads the memory "
                                "of x86 only", [config.source])
    virtual, physical = kcore_text_segment()
    slide = virtual - link_text
    if not 0 <= slide < _IMAGE_SPACE:
        raise LayoutExpertError(f"{config.source} is not of the running kernel, whose text is at {virtual:#x}: "
                                f"{link_text:#x}, where it is linked, cannot have slid there")
    return Location(slide, physical)


def locate_in_image(memory, addresses: Mapping[str, int], image: str, symbols: str,
                    progress: Callable[[str], None]) -> Location:
    """By the banner and the page tables of an x86_64 kernel in physical memory.

    memory: Rekall's physical address space. addresses: by name, wherever the kernel was linked or moved to; the slide is
    from there. image, symbols: their files, for messages.
    """
    text = addresses["_text"]
    distances = {}
    for name in ("linux_banner", "phys_base"):
        if name not in addresses:
            raise LayoutExpertError(f"{symbols} has no {name}: the kernel cannot be found in {image} without it",
                                    next_step="give the System.map, or a kallsyms of CONFIG_KALLSYMS_ALL")
        distances[name] = addresses[name] - text
    top = next((addresses[name] - text for name in _TOP_TABLES if name in addresses), None)
    if top is None:
        raise LayoutExpertError(f"{symbols} has no {_TOP_TABLES[0]}: the kernel's page tables cannot be found",
                                next_step="give the System.map of this very kernel")
    rejected = []
    for place in _places_of_banner(memory, distances["linux_banner"], progress):
        banner = _text_at(memory, place + distances["linux_banner"])
        phys_base, = struct.unpack("<Q", memory.read(place + distances["phys_base"], 8))
        virtual = (place - phys_base + _START_KERNEL_MAP) & ((1 << 64) - 1)
        slide = virtual - text
        if not 0 <= virtual - _START_KERNEL_MAP < _IMAGE_SPACE or virtual % _PAGE:
            rejected.append(f"{place:#x} (phys_base is {phys_base:#x})")
            continue
        # A kernel without CONFIG_X86_5LEVEL does not have it.
        level4 = place + addresses.get("level4_kernel_pgt", text) - text
        table = level4 if has_five_levels(memory, place + top, level4) else place + top
        space = EncryptedMemory(encryption_bit(memory, addresses, place), base=memory, session=memory.session, dtb=table)
        if space.vtop(addresses["linux_banner"] + slide) == place + distances["linux_banner"]:
            return Location(slide, place, banner)
        rejected.append(f"{place:#x} (its page tables do not lead there)")
    raise LayoutExpertError(
        f"the kernel that {symbols} describes is not in {image}",
        rejected or [f"its \"Linux version\" text at every {_GRID:#x} bytes of physical memory"],
        "give the symbols and configuration of the very kernel that ran")


def _places_of_banner(memory, distance: int, progress: Callable[[str], None]) -> Iterator[int]:
    """Physical addresses on the grid that _text may have, because the banner is where it has to be."""
    for run in memory.get_mappings():
        first = -(-max(run.start - distance, 0) // _GRID) * _GRID
        for count, place in enumerate(range(first, run.end - distance, _GRID)):
            if not count % 512:
                progress(f"looking for the kernel at {place:#x}")
            if memory.read(place + distance, len(_BANNER)) == _BANNER:
                yield place


def _text_at(memory, address: int) -> str:
    return memory.read(address, _BANNER_LIMIT).split(b"\0")[0].decode("ascii", "replace").strip()
