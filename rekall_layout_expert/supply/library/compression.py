"""xz, for texts that may come from anywhere: bounded in size and in the memory that it takes to unpack them."""
from __future__ import annotations

import lzma

from rekall_layout_expert.errors import LayoutExpertError

# For C text: literals tell more of the next one than its place in a word of memory does. A preset of 6
# has a dictionary of 8 MB, which holds the whole text.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 4, "pb": 0}]
_MEMORY = 32 << 20  # bytes; the dictionary, and room for another compressor's


def pack(text: str) -> bytes:
    """ASCII text, packed; the same text gives the same bytes."""
    return lzma.compress(text.encode("ascii"), check=lzma.CHECK_CRC32, filters=_FILTERS)


def unpack(data: bytes, limit: int, source: str) -> str:
    """The text. A LayoutExpertError, about `source`, tells of damage and of more than `limit` bytes."""
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)
    try:
        text = unpacker.decompress(data, limit + 1)
        if len(text) > limit:
            raise LayoutExpertError(f"{source} unpacks to more than {limit} bytes")
        if not unpacker.eof or unpacker.unused_data:
            raise LayoutExpertError(f"{source} is truncated or damaged")
        return text.decode("ascii")
    except (lzma.LZMAError, ValueError, EOFError) as error:
        raise LayoutExpertError(f"{source} is damaged: {error}") from error
