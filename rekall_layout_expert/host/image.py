"""What a memory image holds of the kernel's own account of itself: here its configuration, if it carries it.

CONFIG_IKCONFIG puts the gzipped configuration between the marks IKCFG_ST and IKCFG_ED into the kernel's read-only data, which
is contiguous in physical memory (kernel/configs.c). Programs and other systems' pages in the same memory contain the
marks too, so what is found is checked.
"""
from __future__ import annotations

import zlib
from typing import Callable, Iterable, Iterator, List, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig

_CHUNK = 8 << 20
_CONFIG_START, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
_GZIP_MAGIC = b"\x1f\x8b\x08"
# Real ones have 30 to 80 KB packed, 300 KB unpacked.
_PACKED_LIMIT, _UNPACKED_LIMIT = 1 << 20, 16 << 20


class Memory:
    """Physical memory, of which an image may hold parts only.

    read: gives so many bytes from an address on, with zeros for what the image lacks. runs: the (start, end) that it has.
    """

    def __init__(self, read: Callable[[int, int], bytes], runs: Iterable[Tuple[int, int]]):
        self.read = read
        # Formats cut memory into pieces; what is looked for may lie across the cuts.
        self.runs: List[Tuple[int, int]] = []
        for start, end in sorted(runs):
            if self.runs and start <= self.runs[-1][1]:
                self.runs[-1] = self.runs[-1][0], max(end, self.runs[-1][1])
            else:
                self.runs.append((start, end))

    def part(self, start: int, end: int) -> Memory:
        """The same, without what is not between two addresses."""
        return Memory(self.read, [(max(first, start), min(last, end)) for first, last in self.runs
                                  if max(first, start) < min(last, end)])


def find_configs(memory: Memory, source: str = "the image") -> Iterator[Tuple[int, KernelConfig]]:
    """The (address, configuration) of each configuration that a memory holds, in the order of the addresses.

    source: how to call the memory. Marks with anything else than a whole configuration between them
    are passed over.
    """
    for address in occurrences(memory, _CONFIG_START):
        start = address + len(_CONFIG_START)
        if memory.read(start, len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            continue
        packed = memory.read(start, _PACKED_LIMIT)
        # Not by the end mark: it could as well stand in the packed bytes, and gzip knows its end.
        decompressor = zlib.decompressobj(wbits=31)
        try:
            text = decompressor.decompress(packed, _UNPACKED_LIMIT)
            if decompressor.eof and decompressor.unused_data.startswith(_CONFIG_END):
                place = f"{source} at {address:#x}"
                yield address, KernelConfig.parse(text.decode("utf-8", "replace"), place)
        except (zlib.error, LayoutExpertError):
            continue


def occurrences(memory: Memory, mark: bytes, progress: Callable[[int], None] = lambda place: None) -> Iterator[int]:
    """The addresses of a mark, chunk by chunk: images are larger than memory. progress: is told how far it is."""
    overlap = len(mark) - 1
    for start, end in memory.runs:
        for base in range(start, end, _CHUNK):
            progress(base)
            chunk = memory.read(base, min(_CHUNK + overlap, end - base))
            at = chunk.find(mark)
            while at >= 0:
                yield base + at
                at = chunk.find(mark, at + 1)
