r"""A kernel's own account of its types: BTF.

The kernel's build distils BTF from the debug information that the compiler emitted, so it is the truth which a layout is
held against.  The format is described in the kernel's documentation (Documentation/bpf/btf.rst): a header, a table of
types that refer to each other by their number in it, and a table of strings.

A kernel's BTF has 5 MB and 130,000 types, of which a profile needs a few thousand: a first pass only notes where each
type begins, and a type is taken apart when it is asked for.  What is read is evidence and may be anything: each number
is checked where it is followed, chains and depths have a bound, and what does not hold together is a LayoutExpertError.
"""

import hashlib
import sys
from array import array
from collections import namedtuple

from rekall_layout_expert.errors import LayoutExpertError

(
    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT,
    DECL_TAG, TYPE_TAG, ENUM64,
) = range(1, 20)  # fmt: skip
RECORDS = frozenset((STRUCT, UNION))
TRANSPARENT = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))

# name: '' if it has none.  value: the size in bytes, or the number of the type referred to.  entries: what follows the
# part that all types have, as words.
Type = namedtuple("Type", "kind name has_bit_sizes value entries")
_VOID = Type(None, "", False, 0, ())

_MAGIC, _VERSION, _HEADER_SIZE = 0xEB9F, 1, 24
_OF_OWN_SIZE = frozenset((INT, STRUCT, UNION, ENUM, ENUM64, FLOAT))
# How many words follow: so many in any case, and so many for each of the entries that the type counts.
_WORDS = {INT: (1, 0), ARRAY: (3, 0), STRUCT: (0, 3), UNION: (0, 3), ENUM: (0, 2), FUNC_PROTO: (0, 2), VAR: (1, 0),
          DATASEC: (0, 3), DECL_TAG: (1, 0), ENUM64: (0, 3)}  # fmt: skip
_FIXED, _COUNTED = zip(*(_WORDS.get(kind, (0, 0)) for kind in range(ENUM64 + 1)))

# More than ten times what a kernel's has.
SIZE_LIMIT = 64 << 20
# Typedefs of typedefs, and records in records: a kernel has less than ten.
_LONGEST_CHAIN = 64
# Members of records, and of what they embed, looked at in all: a kernel has less than a sixth of it.
_MOST_MEMBERS = 1 << 19
# A page that is not there reads as zeros.
_GAP = bytes(64)
# Types of one name: a kernel has less than twenty.
_MOST_VARIANTS = 1 << 12


def digest_of(section):
    """What tells one BTF (bytes) from another."""
    return hashlib.sha256(section).hexdigest()


class Btf:
    """The types in a .BTF section (bytes), of either byte order.

    pointer_size: in bytes; BTF does not tell it.  Raises LayoutExpertError, as do its methods, where the section is
    damaged, or is a module's, whose types refer to the kernel's.
    """

    def __init__(self, section, pointer_size=8):
        self._pointer_size = pointer_size
        self._looked_at = 0
        self._words, self._strings = _tables(section)
        self._starts, self._named = self._index()
        self._types = {0: _VOID}

    def _index(self):
        """Where each type begins, and [(kind, name's place, number)] of the records and typedefs that have a name."""
        words, starts, named = self._words, [0], []
        at, end = 0, len(words)
        fixed, counted, wanted = _FIXED, _COUNTED, (TYPEDEF, STRUCT, UNION)
        try:
            while at < end:
                info = words[at + 1]
                kind = info >> 24 & 0x1F
                if kind in wanted and words[at]:
                    named.append((kind, words[at], len(starts)))
                elif not kind:
                    raise IndexError
                starts.append(at)
                at += 3 + fixed[kind] + (info & 0xFFFF) * counted[kind]
        except IndexError:
            raise _damaged("its type %d is of no known kind" % len(starts)) from None
        if at != end:
            raise _damaged("its last type is cut off")
        return starts, named

    def type(self, number):
        """The Type of a number."""
        found = self._types.get(number)
        if found is None:
            if number >= len(self._starts):
                raise _damaged("it refers to a type %d of its %d; a module's BTF would" % (number, len(self._starts)))
            at = self._starts[number]
            name, info, value = self._words[at : at + 3]
            kind = info >> 24 & 0x1F
            end = at + 3 + _FIXED[kind] + (info & 0xFFFF) * _COUNTED[kind]
            found = Type(kind, self.string(name), bool(info >> 31), value, self._words[at + 3 : end])
            self._types[number] = found
        return found

    def resolved(self, number):
        """The Type that a number means, behind typedefs and qualifiers."""
        for _ in range(_LONGEST_CHAIN):
            type_ = self.type(number)
            if type_.kind not in TRANSPARENT:
                return type_
            number = type_.value
        raise _damaged("a type in it means itself")

    def members(self, record):
        """(name, number of the type, bit offset, bit-field width or None) of each member that a record has itself."""
        entries = record.entries
        self._looked_at += len(entries) + 1
        if self._looked_at > 3 * _MOST_MEMBERS:
            raise _damaged("its records hold each other too often")
        for at in range(0, len(entries), 3):
            name, number, offset = entries[at : at + 3]
            width = None
            if record.has_bit_sizes:
                offset, width = offset & 0xFFFFFF, offset >> 24 or None
            else:
                # Before pahole 1.13: a bit-field is of an integer type that has fewer bits than its bytes have.
                own = self.resolved(number)
                if own.kind == INT and own.entries[0] & 0xFF != 8 * own.value:
                    offset, width = offset + (own.entries[0] >> 16 & 0xFF), own.entries[0] & 0xFF
            yield self.string(name), number, offset, width

    def named(self):
        """(name, number) of each record that has a tag, and of each typedef."""
        for _, place, number in self._named:
            yield self.string(place), number

    def layouts(self, names=None):
        """The records of these names, or all, in the neutral form (neutral.py), with all variants of each name.

        Every complete struct and union, and under its typedef's name each that has no tag: {name: [layout, ...]}.  The
        variants are private types of different source files.
        """
        tagged, by_typedef = {}, {}
        for kind, place, number in self._named:
            name = self.string(place)
            if names is not None and name not in names:
                continue
            record, found = self.type(number), tagged
            if kind == TYPEDEF:
                record, found = self.resolved(number), by_typedef
                if record.name or record.kind not in RECORDS:
                    continue
            members = {}
            self._add_members(members, record, "", 0, 0)
            variants = found.setdefault(name, [])
            if (record.value, members) not in variants:
                variants.append((record.value, members))
                if len(variants) > _MOST_VARIANTS:
                    raise _damaged("too many types in it have one name")
        return {**by_typedef, **tagged}

    def _add_members(self, found, record, path, base, depth):
        """Adds the members of a record that begins `base` bits into the one asked for, called after the path to it."""
        if depth > _LONGEST_CHAIN:
            raise _damaged("its records are nested without end")
        for name, number, offset, width in self.members(record):
            type_, inner_path, offset = self.resolved(number), path + name, base + offset
            if name:
                found[inner_path] = offset, width, self.size_of(type_) if width is None else None
            if type_.kind == ARRAY:
                inner_path += "[]"
                number, type_ = self._element(type_)
            # -fms-extensions, with which newer kernels are built, let an anonymous member's type have a name.
            if type_.kind in RECORDS:
                if not (name and self._goes_by_a_name(number)):
                    self._add_members(found, type_, inner_path + "." if name else path, offset, depth + 1)
            elif not name:
                raise _damaged("a member in it has no name")

    def _element(self, array_type):
        """What an array of any number of dimensions holds: the number of its type as written, and the Type it means."""
        for _ in range(_LONGEST_CHAIN):
            number = array_type.entries[0]
            array_type = self.resolved(number)
            if array_type.kind != ARRAY:
                return number, array_type
        raise _damaged("its arrays are nested without end")

    def _goes_by_a_name(self, number):
        """Whether a record is referred to by its tag or by a typedef."""
        type_ = self.type(number)
        while type_.kind in TRANSPARENT and type_.kind != TYPEDEF:
            type_ = self.type(type_.value)
        return bool(type_.name)

    def size_of(self, type_):
        """In bytes, of a resolved Type."""
        count = 1
        for _ in range(_LONGEST_CHAIN):
            if type_.kind != ARRAY:
                break
            count *= type_.entries[2]
            type_ = self.resolved(type_.entries[0])
        if type_.kind == PTR:
            return count * self._pointer_size
        if type_.kind not in _OF_OWN_SIZE:
            raise _damaged("a member in it is of a type that has no size")
        return count * type_.value

    def string(self, place):
        end = self._strings.find(b"\0", place)
        if end < 0:
            raise _damaged("a name in it is outside of its strings")
        return self._strings[place:end].decode("utf-8", "replace")


def _tables(section):
    """The table of types as words, and the table of strings."""
    byte_order = next((order for order in ("little", "big") if int.from_bytes(section[:2], order) == _MAGIC), None)
    if byte_order is None or len(section) < _HEADER_SIZE:
        raise _damaged("it does not begin as BTF does")
    if section[2] != _VERSION:
        raise LayoutExpertError("the BTF is of version %d, and only version %d is known" % (section[2], _VERSION))
    header_size, *places = (int.from_bytes(section[at : at + 4], byte_order) for at in range(4, _HEADER_SIZE, 4))
    tables = []
    for start, size in (places[:2], places[2:]):
        tables.append(section[header_size + start : header_size + start + size])
        if header_size < _HEADER_SIZE or len(tables[-1]) != size:
            raise _damaged("its tables are not where its header says")
    words, strings = array("I"), tables[1]
    if len(tables[0]) % words.itemsize or strings[:1] + strings[-1:] != b"\0\0":
        raise _damaged("its tables are none")
    if _GAP in strings:
        raise _damaged("a part of it is missing")
    words.frombytes(tables[0])
    if byte_order != sys.byteorder:
        words.byteswap()
    return words, strings


def _damaged(how):
    return LayoutExpertError("the BTF is damaged: %s" % how)
