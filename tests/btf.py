"""A kernel's own account of its types: reads the .BTF section of a vmlinuz.

BTF is what the kernel's build distilled from the DWARF that the compiler emitted, so it is the truth which a layout is
held against. The format is described in the kernel's documentation (Documentation/bpf/btf.rst): a header, a table of
types that refer to each other by their place in it, and a table of strings.

`structs(section)` gives the neutral form of comparison.py.
"""

import io
import lzma
import struct
import zlib
from collections import defaultdict, namedtuple

import lz4.block
import zstandard
from elftools.elf.elffile import ELFFile

from comparison import integer_in_words

MAGIC = 0xeb9f
LZ4_BLOCK = 8 << 20     # bytes, uncompressed
(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT,
 DECL_TAG, TYPE_TAG, ENUM64) = range(1, 20)
SIGNED = 1
TRANSPARENT = {TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG}

# name: '' if anonymous. value: the size in bytes, or the number of the type referred to. tail: what follows the
# type's common part, one tuple for each entry.
Type = namedtuple("Type", "kind name has_bit_sizes value tail")

# The tails: fields of one entry, and whether there are as many entries as the type says, or one.
TAILS = {INT: ("I", False), ARRAY: ("III", False), STRUCT: ("III", True), UNION: ("III", True), ENUM: ("Ii", True),
         FUNC_PROTO: ("II", True), VAR: ("I", False), DATASEC: ("III", True), DECL_TAG: ("i", False),
         ENUM64: ("III", True)}


def section_of(vmlinuz):
    """The .BTF section (bytes) of an x86 kernel image (path)."""
    with open(vmlinuz, "rb") as file:
        image = file.read()
    section = ELFFile(io.BytesIO(_payload(image))).get_section_by_name(".BTF")
    if section is None:
        raise ValueError("%s: this kernel was built without BTF" % vmlinuz)
    return section.data()


def structs(section):
    """{name: [(size in bytes, {member: (bit offset, bit-field width or None, size in bytes or None)}), ...]}.

    Every complete struct and union, and under its typedef's name each that has no name of its own. A name can have
    several variants: private types of different source files.
    """
    return _Types(section).structs()


def types(section):
    """{name: [{member: its type in words}, ...]} of the members that records with a tag have themselves.

    The words are those of comparison.types_of_profile. None: the type is, or leads to, a record without a tag.
    """
    return _Types(section).members_types()


class _Types:
    def __init__(self, section):
        magic, version, _, header_size = struct.unpack_from("<HBBI", section)
        if magic != MAGIC or version != 1:
            raise ValueError("no little-endian BTF of version 1")
        types, types_size, strings, strings_size = struct.unpack_from("<IIII", section, 8)
        self._strings = section[header_size + strings:][:strings_size]
        self.types = [Type(INT, "void", False, 0, [])]
        self._read(section[header_size + types:][:types_size])

    def _read(self, table):
        position = 0
        while position < len(table):
            name, info, value = struct.unpack_from("<III", table, position)
            position += 12
            kind = info >> 24 & 0x1f
            if not INT <= kind <= ENUM64:
                raise ValueError("BTF type %d is of unknown kind %d" % (len(self.types), kind))
            fields, many = TAILS.get(kind, ("", False))
            entry = struct.Struct("<" + fields)
            count = info & 0xffff if many else bool(fields)
            tail = [entry.unpack_from(table, position + i * entry.size) for i in range(count)]
            position += count * entry.size
            self.types.append(Type(kind, self._string(name), bool(info >> 31), value, tail))

    def _string(self, offset):
        return self._strings[offset:self._strings.index(b"\0", offset)].decode()

    def structs(self):
        named, by_typedef = defaultdict(list), defaultdict(list)
        for type_ in self.types:
            if type_.kind == TYPEDEF:
                record, found = self._resolve(type_), by_typedef
                if record.name:
                    continue
            else:
                record, found = type_, named
            if record.kind in (STRUCT, UNION) and type_.name:
                variant = record.value, dict(self._members(record))
                if variant not in found[type_.name]:
                    found[type_.name].append(variant)
        return {**by_typedef, **named}

    def _members(self, record, path="", base=0):
        """(member's path, (bit offset, bit-field width or None, size in bytes or None)), through anonymous records."""
        for name, number, place in record.tail:
            offset, width = (place & 0xffffff, place >> 24) if record.has_bit_sizes else (place, 0)
            type_ = self._resolve(self.types[number])
            inner_path = path + self._string(name)
            named = inner_path != path
            if named:
                yield inner_path, (base + offset, width or None, None if width else self._size(type_))
            if type_.kind == ARRAY:
                inner_path += "[]"
            while type_.kind == ARRAY:
                number = type_.tail[0][0]
                type_ = self._resolve(self.types[number])
            # -fms-extensions, with which newer kernels are built, let an anonymous member's type have a name.
            if type_.kind in (STRUCT, UNION) and not (named and self._goes_by_a_name(number)):
                yield from self._members(type_, inner_path + "." if named else path, base + offset)

    def members_types(self):
        found = defaultdict(list)
        for type_ in self.types:
            if type_.kind in (STRUCT, UNION) and type_.name:
                found[type_.name].append({self._string(name): self._in_words(number) for name, number, _ in type_.tail})
        return found

    def _in_words(self, number):
        type_ = self._resolve(self.types[number])
        if type_.kind in (STRUCT, UNION, FWD):
            return type_.name or None
        if type_.kind == PTR:
            target = self._in_words(type_.value)
            return target and target + " *"
        if type_.kind == ARRAY:
            count = 1
            while type_.kind == ARRAY:
                count *= type_.tail[0][2]
                number = type_.tail[0][0]
                type_ = self._resolve(self.types[number])
            element = self._in_words(number)
            return element and "%s[%d]" % (element, count)
        if type_.kind in (ENUM, ENUM64):
            return "enum of %d" % type_.value
        if type_.kind == FLOAT or type_.value > 8 and type_.kind == INT:
            return "1 byte[%d]" % type_.value
        if type_.kind == INT and type_.value:
            return integer_in_words(type_.value, type_.tail[0][0] >> 24 & SIGNED)
        return "void"       # or a function

    def _goes_by_a_name(self, number):
        """Whether a record is referred to by its tag or by a typedef."""
        type_ = self.types[number]
        while type_.kind in TRANSPARENT and type_.kind != TYPEDEF:
            type_ = self.types[type_.value]
        return bool(type_.name)

    def _resolve(self, type_):
        while type_.kind in TRANSPARENT:
            type_ = self.types[type_.value]
        return type_

    def _size(self, type_):
        if type_.kind == PTR:
            return 8
        if type_.kind == ARRAY:
            element, _, count = type_.tail[0]
            return count * self._size(self._resolve(self.types[element]))
        if type_.kind == INT and type_.tail[0][0] & 0xff != type_.value * 8:
            raise ValueError("a bit-field described in the way of pahole before 1.13")
        if type_.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT):
            return type_.value
        raise ValueError("BTF type of kind %d has no size" % type_.kind)


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
