"""A kernel's own account of its types: the .BTF section of a vmlinuz, in the forms that the tests compare.

The reader is the one with which the plugin verifies a profile in the field (verification/btf.py).
"""

import functools
import io
import lzma
import struct
import zlib
from collections import defaultdict

import lz4.block
import zstandard
from elftools.elf.elffile import ELFFile

from comparison import integer_in_words
from rekall_layout_expert.verification.btf import ARRAY, ENUM, ENUM64, FLOAT, FWD, INT, PTR, RECORDS, STRUCT, Btf

LZ4_BLOCK = 8 << 20     # bytes, uncompressed
SIGNED = 1


@functools.lru_cache(maxsize=1)
def section_of(vmlinuz):
    """The .BTF section (bytes) of an x86 kernel image (path)."""
    with open(vmlinuz, "rb") as file:
        image = file.read()
    section = ELFFile(io.BytesIO(_payload(image))).get_section_by_name(".BTF")
    if section is None:
        raise ValueError("%s: this kernel was built without BTF" % vmlinuz)
    return section.data()


def structs(section):
    """The neutral form of comparison.py: {name: [(size in bytes, {member: place}), ...]}."""
    return Btf(section).layouts()


def types(section):
    """{name: [{member: its type in words}, ...]} of the members that records with a tag have themselves.

    The words are those of comparison.types_of_profile. None: the type is, or leads to, a record without a tag.
    """
    btf, found = Btf(section), defaultdict(list)
    for name, number in btf.named():
        type_ = btf.type(number)
        if type_.kind in RECORDS:
            found[name].append({member: in_words(btf, number) for member, number, _, _ in btf.members(type_)})
    return found


def in_words(btf, number):
    type_ = btf.resolved(number)
    if type_.kind in RECORDS or type_.kind == FWD:
        return type_.name or None
    if type_.kind == PTR:
        target = in_words(btf, type_.value)
        return target and target + " *"
    if type_.kind == ARRAY:
        count = 1
        while type_.kind == ARRAY:
            number, _, length = type_.entries
            count *= length
            type_ = btf.resolved(number)
        element = in_words(btf, number)
        return element and "%s[%d]" % (element, count)
    if type_.kind in (ENUM, ENUM64):
        return "enum of %d" % type_.value
    if type_.kind == FLOAT or type_.value > 8 and type_.kind == INT:
        return "1 byte[%d]" % type_.value
    if type_.kind == INT and type_.value:
        return integer_in_words(type_.value, type_.entries[0] >> 24 & SIGNED)
    return "void"       # or a function


def _payload(image):
    """The ELF image that an x86 boot image carries, compressed in one of several ways (Documentation/x86/boot.rst)."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("no x86 kernel image")
    setup_sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    for magic, decompress in ((b"\x1f\x8b", _gunzip), (b"\xfd7zXZ\0", _unxz), (b"\x28\xb5\x2f\xfd", _unzstd),
                              (b"\x02\x21\x4c\x18", _unlz4)):
        if payload.startswith(magic):
            return decompress(payload)
    raise ValueError("the kernel image is compressed in an unknown way: %s" % payload[:6].hex())


# The build appends the length of the uncompressed image (4 bytes) to what the compressor wrote.

def _gunzip(data):
    return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data)


def _unxz(data):
    return lzma.LZMADecompressor().decompress(data)


def _unzstd(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _unlz4(data):
    """lz4's legacy container, which the library does not read: a magic number, then blocks, each after its length."""
    blocks, position, end = [], 4, len(data) - 4
    while position < end:
        (length,) = struct.unpack_from("<I", data, position)
        blocks.append(lz4.block.decompress(data[position + 4:position + 4 + length], uncompressed_size=LZ4_BLOCK))
        position += 4 + length
    return b"".join(blocks)


class Writer:
    """A .BTF section in the making; each method adds a type and returns its number."""

    def __init__(self, byte_order="<"):
        self._order = byte_order
        self._types, self._strings = [], b"\0"

    def add(self, kind, name="", value=0, words=(), count=0, flag=False):
        self._types.append(self._pack(self._string(name), flag << 31 | kind << 24 | count, value, *words))
        return len(self._types)

    def integer(self, name, size, bits=None, offset=0):
        return self.add(INT, name, size, [offset << 16 | (8 * size if bits is None else bits)])

    def array(self, element, count):
        return self.add(ARRAY, words=[element, 0, count])

    def record(self, name, size, members, kind=STRUCT, flag=True):
        """members: (name, number of the type, bit offset[, bit-field width])."""
        words = []
        for member, number, offset, *width in members:
            words += [self._string(member), number, offset | (width[0] << 24 if width else 0)]
        return self.add(kind, name, size, words, len(members), flag)

    def section(self):
        types = b"".join(self._types)
        header = struct.pack(self._order + "HBBIIIII", 0xeb9f, 1, 0, 24, 0, len(types), len(types), len(self._strings))
        return header + types + self._strings

    def _pack(self, *words):
        return struct.pack("%s%dI" % (self._order, len(words)), *words)

    def _string(self, text):
        place = len(self._strings)
        self._strings += text.encode() + b"\0" if text else b""
        return place if text else 0
