"""The kernel's configuration inside a memory image, if it carries it.

It lies in the kernel's read-only data, which is contiguous in physical memory: CONFIG_IKCONFIG puts the
gzipped configuration between the marks IKCFG_ST and IKCFG_ED (kernel/configs.c). Programs and other
systems' pages in the same memory contain the marks too, so what is found is checked and all of it is
offered, in the order of its offsets.
"""
from __future__ import annotations

import os
import zlib
from typing import Iterator, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.kernel_config import KernelConfig

_CHUNK = 8 << 20
_CONFIG_START, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
_GZIP_MAGIC = b"\x1f\x8b\x08"
# Real ones have 30 to 80 KB packed, 300 KB unpacked.
_PACKED_LIMIT, _UNPACKED_LIMIT = 1 << 20, 16 << 20


class ImageFile:
    """A file as what this module reads: anything with read(offset, length) -> bytes and size."""

    def __init__(self, path: Path):
        try:
            self._file = open(path, "rb", buffering=0)
            self.size = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise LayoutExpertError(f"cannot read {path}: {error.strerror}") from error

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def find_configs(image: ImageFile, source: str = "the image") -> Iterator[Tuple[int, KernelConfig]]:
    """The (offset in bytes, configuration) of each configuration that an image carries.

    source: how to call the image. Marks with anything else than a whole configuration between them
    are passed over.
    """
    for offset in _occurrences(image, _CONFIG_START):
        start = offset + len(_CONFIG_START)
        if image.read(start, len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            continue
        packed = image.read(start, _PACKED_LIMIT)
        # Not by the end mark: it could as well stand in the packed bytes, and gzip knows its end.
        decompressor = zlib.decompressobj(wbits=31)
        try:
            text = decompressor.decompress(packed, _UNPACKED_LIMIT)
            if decompressor.eof and decompressor.unused_data.startswith(_CONFIG_END):
                place = f"{source} at {offset:#x}"
                yield offset, KernelConfig.parse(text.decode("utf-8", "replace"), place)
        except (zlib.error, LayoutExpertError):
            continue


def _occurrences(image: ImageFile, mark: bytes) -> Iterator[int]:
    """The offsets of a mark, chunk by chunk: images are larger than memory."""
    overlap = len(mark) - 1
    for base in range(0, image.size, _CHUNK):
        chunk = image.read(base, _CHUNK + overlap)
        at = chunk.find(mark)
        while at >= 0:
            yield base + at
            at = chunk.find(mark, at + 1)
