"""An ELF core image in the other formats of images that Rekall reads, as the tools write them that take them."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterator, Tuple

import pytest
from elftools.elf.elffile import ELFFile
from plugin_image import avml_range

_BLOCK = 16 << 20


def blocks_of(core: Path) -> Iterator[Tuple[int, bytes]]:
    """(physical address, content) of the memory in an ELF core, in the order of the addresses."""
    with open(core, "rb") as file:
        segments = sorted((segment["p_paddr"], segment["p_offset"], segment["p_filesz"])
                          for segment in ELFFile(file).iter_segments("PT_LOAD") if segment["p_filesz"])
        for address, offset, size in segments:
            for at in range(0, size, _BLOCK):
                file.seek(offset + at)
                yield address + at, file.read(min(_BLOCK, size - at))


def to_raw(core: Path, path: Path) -> None:
    """Each byte at its address, and nothing in between: a sparse file."""
    with open(path, "wb") as file:
        for address, content in blocks_of(core):
            file.seek(address)
            file.write(content)


def to_lime(core: Path, path: Path) -> None:
    with open(path, "wb") as file:
        for address, content in blocks_of(core):
            file.write(struct.pack("<4sIQQQ", b"EMiL", 1, address, address + len(content) - 1, 0) + content)


def to_avml(core: Path, path: Path) -> None:
    """Compressed, and without what is all zeros."""
    pytest.importorskip("cramjam")
    with open(path, "wb") as file:
        for address, content in blocks_of(core):
            if any(content):
                file.write(avml_range(address, content))


FORMATS = {"raw": to_raw, "lime": to_lime, "avml": to_avml}
