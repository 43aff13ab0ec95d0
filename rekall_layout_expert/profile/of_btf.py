r"""A profile from a kernel's BTF alone, for a kernel whose headers cannot be had.

BTF holds what the compiler made of all types of the kernel, those of single source files too, so nothing is predicted here:
its types stand in for those that are parsed and laid out elsewhere, and the same `Vtypes` writes them.  What it does not
hold: where a member was written and under which conditions, the dimensions of an array beyond one, and which of several
types of one name is meant; such a name is left out.
"""

import sys
from collections import namedtuple

from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig, compiler_of
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Base, Enum, Function, Named, Pointer, Record
from rekall_layout_expert.profile.agreement import check_symbols
from rekall_layout_expert.profile.profile import assembled, selected
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.profile.vtypes import Vtypes
from rekall_layout_expert.verification import btf
from rekall_layout_expert.verification.neutral import native_size

_DEEPEST = 64
_WORDS_OF_ENUMERATOR = {btf.ENUM: 2, btf.ENUM64: 3}
_SIGNED = 1
# Members looked at in all: of all types of a kernel a fourth of it.
_MOST_LOOKED_AT = 1 << 20
_NOTE = ("the types are those of the kernel's own BTF, as there was no Pre-AST: of arrays of several dimensions it tells the "
         "number of all elements")  # fmt: skip

_Layout = namedtuple("_Layout", "size fields reversed")  # in bits; reversed as in Layouts, of which BTF tells nothing
_Field = namedtuple("_Field", "name type bit_offset width")
_Measure = namedtuple("_Measure", "size integral")  # bits, (bits, unsigned) or None
_Abi = namedtuple("_Abi", "big_endian")


def profile_of_btf(section, config, symbols=None, structs="rekall", release=None, banner=None):
    """The profile of one kernel, as `make_profile` returns it, from its .BTF section (bytes).

    The other arguments are those of `make_profile`.  $METADATA says `types_from`: "btf".
    Raises LayoutExpertError, also for a kernel whose structs gcc shuffled: its BTF tells the order of the source.
    """
    if not isinstance(config, KernelConfig):
        config = KernelConfig.read(config)
    if config.values.get("CONFIG_GCC_PLUGIN_RANDSTRUCT") == "y":
        raise LayoutExpertError("structs are shuffled (CONFIG_GCC_PLUGIN_RANDSTRUCT), and BTF tells their source's order")
    if symbols is not None and not isinstance(symbols, Symbols):
        symbols = Symbols.read(symbols, link_text=text_link_address(config))
    doubts = check_symbols(config, symbols) if symbols else []
    compiler = config.compiler or (compiler_of(banner) if banner else None)
    vtypes = vtypes_of_btf(section, structs, 8 if config.values.get("CONFIG_64BIT", "y") == "y" else 4)
    return assembled(vtypes, config, symbols, structs, {
        "types_from": "btf",
        "btf_digest": btf.digest_of(section),
        "architecture": config.architecture or "unknown",
        "compiler": str(compiler) if compiler else None,
        "release": release,
        "banner": banner,
        "notes": [_NOTE, *doubts],
    })  # fmt: skip


def vtypes_of_btf(section, structs="rekall", pointer_size=8):
    """The Vtypes (structs, enums, left_out) of the types that `structs` asks for, as in `make_profile`, and what they embed.

    section: the .BTF section (bytes).  Raises LayoutExpertError.
    """
    with held_off():
        types = BtfTypes(section, pointer_size)
        vtypes = Vtypes(types)
        for name in selected(types, types, structs):
            vtypes.add_named(name)
        return vtypes


class BtfTypes:
    """The types of a .BTF section (bytes) as `Vtypes` and `with_pointed_to` ask for them: scope, layouts and constants in one.

    Raises LayoutExpertError where the section is damaged, as do its methods, and NotKnown for what it does not tell.
    """

    def __init__(self, section, pointer_size=8):
        self.scope = self.constants = self
        self.abi = _Abi(section[:1] == b"\xeb")
        self._btf = btf.Btf(section, pointer_size)
        self._pointer_bits = 8 * pointer_size
        self._tags, self._typedefs = {}, {}
        for name, number in self._btf.named():
            table = self._tags if self._btf.type(number).kind in btf.RECORDS else self._typedefs
            table.setdefault(name, []).append(number)
        several = {name for table in (self._tags, self._typedefs) for name, numbers in table.items() if len(numbers) > 1}
        # Types of several source files may be the same all over.
        self._ambiguous = {name for name, variants in self._btf.layouts(several).items() if len(variants) > 1}
        self._used = {}  # {typedef's name, or NAME@NUMBER where that stands for several: number}
        self._meanings, self._records, self._enums, self._layouts = {}, {}, {}, {}
        self._looked_at = 0

    # As a scope

    def find_type(self, name):
        if name in self._ambiguous:
            raise NotKnown("the kernel has different types called %s, and its BTF does not tell which is meant" % name)
        if name in self._tags:
            return self._record(self._tags[name][0])
        if name in self._typedefs:
            return self._converted(self._typedefs[name][0])
        raise NotKnown("%s is not in the kernel's BTF" % name)

    def find_typedef(self, name):
        """The type of a typedef that was met."""
        if name not in self._meanings:
            self._meanings[name] = self._converted(self._btf.type(self._used[name]).value)
        return self._meanings[name]

    def is_tag(self, name):
        return name in self._tags

    def complete(self, record):
        if record.fields is None:
            if record.number is None:  # only declared where it is pointed to
                return self.complete(self.find_type(record.tag))
            record.fields = self.record(record).fields
        return record

    def record_names(self):
        untagged = (name for name, numbers in self._typedefs.items() if name not in self._tags
                    and self._btf.resolved(numbers[0]).kind in btf.RECORDS and not self._btf.resolved(numbers[0]).name)
        return sorted(self._tags) + sorted(untagged)

    # As constants

    @staticmethod
    def value(count):
        return count

    # As layouts

    def resolve(self, type_):
        for _ in range(_DEEPEST):
            if not isinstance(type_, Named):
                return type_
            type_ = self.find_typedef(type_.name)
        raise NotKnown("a type that means itself")

    def record(self, record):
        layout = self._layouts.get(record)
        if layout is None:
            type_ = self._btf.type(record.number)
            fields = [_Field(name or None, self._converted(number), offset, width)
                      for name, number, offset, width in self._btf.members(type_)]
            if any(field.name is None and not isinstance(self.resolve(field.type), Record) for field in fields):
                raise LayoutExpertError("the BTF is damaged: a member in it has no name")
            layout = self._layouts[record] = _Layout(8 * type_.value, fields, False)
        self._looked_at += len(layout.fields) + 1
        if self._looked_at > _MOST_LOOKED_AT:
            raise LayoutExpertError("the BTF is damaged: its records hold each other too often")
        return layout

    def measure(self, type_):
        type_ = self.resolve(type_)
        if isinstance(type_, _Enum):
            bits, unsigned, *_ = self.enumeration(type_)
            return _Measure(bits, (bits, unsigned))
        if not isinstance(type_, _Scalar):
            raise NotKnown("a bit-field that is no number")
        return _Measure(type_.bits, None if type_.unsigned is None else (type_.bits, type_.unsigned))

    def enumeration(self, enum):
        """(bits, unsigned, None, None, {enumerator: value}), as Layouts has it."""
        type_ = self._btf.type(enum.number)
        words, step = type_.entries, _WORDS_OF_ENUMERATOR[type_.kind]
        bits = 32 * (step - 1)
        values = {self._btf.string(words[at]): int.from_bytes(words[at + 1 : at + step].tobytes(), sys.byteorder)
                  for at in range(0, len(words), step)}  # fmt: skip
        # Since 6.0 the type says whether it has a sign; before, only its values do.
        is_signed = type_.has_bit_sizes or step == 2 and any(value >> bits - 1 for value in values.values())
        if is_signed:
            values = {name: value - (value >> bits - 1 << bits) for name, value in values.items()}
        return 8 * type_.value, not is_signed, None, None, values

    def _converted(self, number, depth=0):
        """The type of that number, as it would be parsed."""
        if depth > _DEEPEST:
            raise LayoutExpertError("the BTF is damaged: a type in it means itself")
        type_ = self._btf.type(number)
        if type_.kind in btf.RECORDS:
            return self._record(number)
        if type_.kind in _WORDS_OF_ENUMERATOR:
            if type_.entries and type_.value <= 4 * (_WORDS_OF_ENUMERATOR[type_.kind] - 1):
                return self._enum(number, type_)
            return _Scalar("", 8 * type_.value, not type_.has_bit_sizes)  # its values are not there, or cut off
        if type_.kind == btf.TYPEDEF:
            self._btf.resolved(number)
            name = type_.name if type_.name not in self._ambiguous else "%s@%d" % (type_.name, number)
            self._used.setdefault(name, number)
            return Named(name)
        if type_.kind in btf.TRANSPARENT:
            return self._converted(type_.value, depth + 1)
        if type_.kind == btf.PTR:
            return Pointer(self._converted(type_.value, depth + 1))
        if type_.kind == btf.ARRAY:
            return Array(self._converted(type_.entries[0], depth + 1), type_.entries[2])
        if type_.kind == btf.FWD:
            return _Record("struct", type_.name, None)
        if type_.kind == btf.INT:
            name = _in_c(type_.name)
            is_native = native_size(name.split(), self._pointer_bits // 8) == type_.value
            return _Scalar(name if is_native else "", 8 * type_.value, not type_.entries[0] >> 24 & _SIGNED)
        if type_.kind == btf.FLOAT:
            return _Scalar(type_.name, 8 * type_.value, None)
        if type_.kind is None:
            return Base("void")
        return Function(None)

    def _record(self, number):
        type_ = self._btf.type(number)
        kind, tag = "union" if type_.kind == btf.UNION else "struct", type_.name
        if not tag:
            return _Record(kind, None, number)  # whoever made the BTF merged all that look the same
        if tag in self._ambiguous:
            tag = "%s@%d" % (tag, number)
        else:
            number = self._tags[tag][0]
        return self._records.setdefault(number, _Record(kind, tag, number))

    def _enum(self, number, type_):
        if not type_.name:
            return _Enum(None, number)
        if number not in self._enums:
            enum = _Enum(type_.name, number)
            others = (other for other in self._enums.values() if other.tag == type_.name)
            if any(self.enumeration(other) != self.enumeration(enum) for other in others):
                enum.tag = "%s@%d" % (type_.name, number)
            self._enums[number] = enum
        return self._enums[number]


class _Record(Record):
    __slots__ = ("number",)

    def __init__(self, kind, tag, number):
        super().__init__(kind, tag)
        self.number = number


class _Enum(Enum):
    __slots__ = ("number",)

    def __init__(self, tag, number):
        super().__init__(tag)
        self.number = number


class _Scalar(Base):
    """bits: its size. unsigned: None of what is no integer."""

    __slots__ = ("bits", "unsigned")

    def __init__(self, name, bits, unsigned):
        super().__init__(name)
        self.bits = bits
        self.unsigned = unsigned


def _in_c(name):
    """An integer's canonical name, for what compilers call "long unsigned int"."""
    if name == "_Bool":
        return "bool"
    words = [word for word in name.split() if word not in ("unsigned", "signed", "int")] or ["int"]
    sign = "unsigned" if "unsigned" in name else "signed" if words == ["char"] and "signed" in name else ""
    return " ".join(filter(None, [sign, *words]))
