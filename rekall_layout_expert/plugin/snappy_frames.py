"""Memory compressed by AVML: each range is a stream in snappy's framing format, followed by its length.

A stream is chunks of 64 KB of memory, the last of less, each with a checksum; so any page can be read by unpacking one of
them. Where they begin is noted when the image is opened, from their heads. Sources: snappy's framing_format.txt, AVML's
src/image.rs and src/io/snappy.rs.
"""
from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from functools import lru_cache
from typing import Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.failure import give_up

_STREAM = b"\xff\x06\x00\x00sNaPpY"
_COMPRESSED, _PLAIN = 0, 1
_CHUNK = 1 << 16
_HEAD, _CHECKSUM, _LENGTH = 4, 4, 3
# An element of a compressed chunk has at least two bytes and yields at most 64; what does not compress is slightly larger.
_FEWEST, _MOST = _CHUNK // 32, _CHUNK + _CHUNK // 6 + 64
_KEPT = 256


class SnappyFrames:
    """What streams of snappy hold, one after the other, as an address space is read. size: of all of it (bytes)."""

    def __init__(self, file, session):
        """file: the address space of the image's file."""
        try:
            import cramjam
        except ImportError as error:
            give_up(session, LayoutExpertError(
                f"{session.GetParameter('filename')} is compressed (AVML), and the Python package cramjam, which unpacks it, "
                f"cannot be imported ({error})", next_step="pip install cramjam, or unpack it with avml-convert"))
        self.size = 0
        self._file, self._session = file, session
        self._unpack, self._error = cramjam.snappy.decompress, cramjam.DecompressionError
        # For each chunk: where its memory begins in here, where its head is in the file, and how many bytes that and it have.
        self._starts, self._places, self._lengths = array("Q"), array("Q"), array("I")
        self._is_told = False
        self._chunk = lru_cache(_KEPT)(self._unpacked)

    def add(self, position: int, size: int, end: int) -> Tuple[int, Optional[str]]:
        """Takes the stream at a position of the file, of so many bytes of memory, into account.

        end: of the file. Returns where the next range begins, and what is wrong with the stream; the part before that is there.
        """
        start = position
        if self._file.read(position, len(_STREAM)) != _STREAM:
            return position, f"no compressed range is at byte {position:,}"
        position += len(_STREAM)
        while size:
            content = min(size, _CHUNK)
            head = self._file.read(position, _HEAD + _CHECKSUM + _LENGTH)
            length = int.from_bytes(head[1:4], "little")
            if not _is_head(head, length, content) or position + _HEAD + length > end:
                return position, f"no compressed memory is at byte {position:,}"
            self._starts.append(self.size)
            self._places.append(position)
            self._lengths.append(_HEAD + length)
            self.size += content
            size -= content
            position += _HEAD + length
        stated, = struct.unpack("<Q", self._file.read(position, 8))
        if stated != position - start:
            return position, f"the range that ends at byte {position:,} has not the length that it states"
        return position + 8, None

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes, with zeros for what is damaged."""
        pieces = []
        offset, end = int(offset), int(offset) + int(length)
        while offset < min(end, self.size):
            number = bisect_right(self._starts, offset) - 1
            at = offset - self._starts[number]
            piece = self._chunk(number)[at:at + end - offset]
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces).ljust(int(length), b"\0")

    def _unpacked(self, number: int) -> bytes:
        """The memory of a chunk."""
        following = self._starts[number + 1] if number + 1 < len(self._starts) else self.size
        size = following - self._starts[number]
        try:
            content = bytes(self._unpack(_STREAM + self._file.read(self._places[number], self._lengths[number])))
        except self._error as error:
            content, trouble = b"", str(error)
        else:
            trouble = "of another size than it states"
        if len(content) == size:
            return content
        if not self._is_told:
            self._is_told = True
            self._session.logging.warning("Layout Expert: %s is damaged: the compressed memory at byte %d is of no use (%s), and "
                                          "reads as zeros, as does any other such", self._session.GetParameter("filename"),
                                          self._places[number], trouble)
        return bytes(size)


def _is_head(head: bytes, length: int, content: int) -> bool:
    """Whether a chunk of so many bytes, that yields so many, can begin with these."""
    if head[0] == _PLAIN:
        return length == _CHECKSUM + content
    if head[0] != _COMPRESSED or not (_FEWEST if content == _CHUNK else 0) <= length <= _MOST:
        return False
    stated = 0
    for number, byte in enumerate(head[_HEAD + _CHECKSUM:]):  # seven bits each, and whether more follow
        stated |= (byte & 127) << 7 * number
        if byte < 128:
            break
    return stated == content
