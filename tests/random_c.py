"""Random C translation units full of record definitions, for comparing our layouts with gcc's.

Every unit compiles (warnings off). Each choice is a hypothesis draw whose first alternative is the
plainest, so that hypothesis shrinks a unit that shows a difference to a few lines. Two properties
of a type decide what C allows to be done with it, and only those are kept track of:

    arrayable   its size is a multiple of its alignment (gcc refuses arrays of other elements)
    bits        the widest bit-field it may have; 0 if it may have none

Whole numbers are written as expressions of a known value (`_Writer.number`), so that widths and
lengths stay within bounds whatever the target; lengths that depend on the target are bounded by a
remainder.
"""
from __future__ import annotations

import functools
from collections import Counter
from typing import List, NamedTuple, Optional, Sequence, Set, Tuple

from hypothesis import strategies as st


class Unit(NamedTuple):
    text: str
    constructs: Counter  # how often each construct was written


class _Type(NamedTuple):
    """Text that stands where declaration specifiers stand."""

    text: str
    arrayable: bool = True
    bits: int = 0
    # "object"; "array" (a function cannot return it); "function" or "incomplete" (only pointed to)
    kind: str = "object"
    level: int = 0  # how deep records are nested in it, to bound sizes


# What kernels write through macros; every unit starts with it.
PRELUDE = """\
#define __packed __attribute__((__packed__))
#define __aligned(x) __attribute__((__aligned__(x)))
#define BITS_PER_LONG (8 * sizeof(long))
#define DECLARE_BITMAP(name, bits) unsigned long name[((bits) + BITS_PER_LONG - 1) / BITS_PER_LONG]
#define __struct_group(TAG, NAME, ATTRS, MEMBERS...) \\
\tunion { \\
\t\tstruct { MEMBERS } ATTRS; \\
\t\tstruct TAG { MEMBERS } ATTRS NAME; \\
\t} ATTRS
#define struct_group(NAME, MEMBERS...) __struct_group(/* no tag */, NAME, /* no attrs */, MEMBERS)
#define struct_group_attr(NAME, ATTRS, MEMBERS...) __struct_group(, NAME, ATTRS, MEMBERS)
#define DECLARE_FLEX_ARRAY(TYPE, NAME) struct { struct { } __empty_ ## NAME; TYPE NAME[]; }
"""

_INTEGERS = (
    ("int", 32), ("char", 8), ("short", 16), ("long", 0), ("long long", 64), ("_Bool", 1),
    ("unsigned", 32), ("unsigned char", 8), ("unsigned short", 16), ("unsigned long", 0),
    ("unsigned long long", 64), ("signed char", 8), ("signed", 32), ("__signed__ char", 8),
    ("long unsigned int const", 0), ("short int unsigned", 16), ("long signed long", 64),
    ("long volatile unsigned long int", 64), ("int __const short", 16), ("char unsigned", 8),
    ("__INT8_TYPE__", 8), ("__UINT16_TYPE__", 16), ("__INT32_TYPE__", 32), ("__UINT64_TYPE__", 64),
    ("__SIZE_TYPE__", 0), ("__PTRDIFF_TYPE__", 0), ("__UINTPTR_TYPE__", 0), ("const _Bool", 1),
)
ILP32 = ("i386", "arm", "armbe", "mips", "mips32el", "powerpc32", "riscv32")
_INTEGERS_64 = (("__int128", 128), ("unsigned __int128", 128), ("__int128 const unsigned", 128))

_FLOATS = ("float", "double", "long double", "_Complex float", "double _Complex", "_Complex long double",
           "_Complex int", "unsigned char _Complex", "_Complex long long", "_Float32")
_QUADS = ("_Float64x", "_Float128")
_DECIMALS = ("_Decimal32", "_Decimal64", "_Decimal128")
_FURTHER_FLOATS = {"x86_64": _QUADS + _DECIMALS + ("__float128",), "i386": _QUADS + _DECIMALS + ("__float128",),
                   "arm64": _QUADS, "s390": _QUADS + _DECIMALS, "riscv": _QUADS, "mips64": _QUADS,
                   "powerpc": _QUADS + _DECIMALS + ("__float128",), "powerpc64be": _DECIMALS, "powerpc32": _DECIMALS}

_HALVES = {target: ("_Float16",) for target in ("x86_64", "arm64")}
_MODES = (("int", ("QI", "HI", "SI", "DI", "__byte__", "__word__", "__pointer__")),
          ("unsigned", ("QI", "HI", "SI", "DI", "byte", "word", "__pointer__")),
          ("float", ("SF", "DF", "XF", "TF")), ("_Complex double", ("SC", "DC", "XC")))
_MODE_BITS = {"QI": 8, "HI": 16, "SI": 32, "DI": 64, "__byte__": 8, "byte": 8}

_ALIGNMENTS = ("aligned(8)", "aligned(1)", "aligned(2)", "aligned(4)", "aligned(16)", "__aligned__(32)", "aligned(64)",
               "aligned", "__aligned__", "aligned(sizeof(long))", "aligned(__alignof__(long long))", "aligned(1 << 3)",
               "__aligned__(sizeof(double))", "aligned(2 * sizeof(int))")
_NEUTRAL = ("unused", "__deprecated__", "may_alias", "", "__deprecated__(\"old\")", "__nonstring__")
_STRUCTS = ("ms_struct", "__ms_struct__, packed", "gcc_struct", "ms_struct, gcc_struct", "gcc_struct, ms_struct", "ms_struct")
_FIXED = ("unsigned char", "short", "long long", "int", "unsigned", "signed char", "unsigned long")
_FIXED_BITS = {"unsigned char": 8, "signed char": 8, "short": 16, "long long": 64, "unsigned long": 0}
# In a string literal: one byte each, whatever follows.
_CHARACTERS = ("z", "\\n", "\\\\", "\\x41", "\\101", "\\\"", "\\0", "%")


@functools.lru_cache(maxsize=None)
def _below(count: int):
    return st.integers(0, count - 1)


@st.composite
def translation_units(draw, target: str = "x86_64", definitions: int = 12, gcc: int = 12) -> Unit:
    """Units of about that many top-level record definitions, and what they need. gcc: its major version."""
    writer = _Writer(draw, target, gcc)
    for _ in range(10 * definitions):  # so many that none is taken: hypothesis shrinks what stopped by itself
        if not draw(_definition(writer, 3 * definitions // 2)):
            break
    return Unit(PRELUDE + "\n".join(writer.lines) + "\n", writer.constructs)


@st.composite
def _definition(draw, writer, average: int) -> bool:
    """Whether one more was written: together one span of choices, which hypothesis can take out as a whole."""
    more = draw(_below(average + 1)) != 0
    if more:
        writer.top_level()
    return more


class _Writer:
    """Writes one unit. A method named after a construct returns the construct's text."""

    def __init__(self, draw, target: str, gcc: int = 12):
        self.draw = draw
        self.gcc = gcc
        self.standard_attributes = gcc >= 10  # [[gnu::...]]
        self.bit_ints = gcc >= 14 and target in ("x86_64", "i386", "arm64")
        self.long_bits = 32 if target in ILP32 else 64
        self.lines: List[str] = []
        self.constructs: Counter = Counter()
        self.names = 0
        self.integers = [_Type(text, bits=bits or self.long_bits)
                         for text, bits in _INTEGERS + (_INTEGERS_64 if self.long_bits == 64 else ())]
        self.floats = _FLOATS + _FURTHER_FLOATS.get(target, ())
        if gcc >= 12:
            self.floats += _HALVES.get(target, ())
        self.modes = _MODES if target in ("x86_64", "i386") else _MODES[:2]
        self.typedefs: List[_Type] = []
        self.records: List[_Type] = []
        self.enums: List[_Type] = []
        self.enumerators: List[Tuple[str, int]] = []
        self.offsets: List[Tuple[str, str]] = []       # (record, member) to measure
        self.measured: List[Tuple[str, str]] = []      # the same of the record being written
        self.reusable: List[str] = []                  # typedef names that no member has yet

    # Choices

    def pick(self, alternatives: Sequence):
        return alternatives[self.draw(_below(len(alternatives)))]

    def chance(self, one_in: int) -> bool:
        return self.draw(_below(one_in)) == one_in - 1

    def more(self, average: int) -> bool:
        return self.draw(_below(average + 1)) != 0

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def note(self, construct: str) -> None:
        self.constructs[construct] += 1

    # Numbers

    def number(self, value: int, depth: int = 2) -> str:
        """A constant expression of this value, which is not negative."""
        kind = self.draw(_below(30)) if depth else 0
        inner = depth - 1
        if kind > 3:
            self.note("constant expression")
        if kind == 4:
            return f"({self.number(value + 3, inner)} - 3)"
        if kind == 5:
            return f"(1 ? {self.number(value, inner)} : 1 / 0)"
        if kind == 6:
            return f"sizeof(char[{self.number(value, inner)}])"
        if kind == 7:
            return f"(int)({self.number(value, inner)} + 0UL)"
        if kind == 8:
            return f"(unsigned char)({self.number(value, inner)} + 256)"
        if kind == 9:
            return f"(-1 < 0u ? 0 : {self.number(value, inner)})"
        if kind == 10:
            return f"__builtin_choose_expr(sizeof(int) == 4, {self.number(value, inner)}, \"no\")"
        if kind == 11:
            return f"(__builtin_types_compatible_p(int, __typeof__(1)) * {self.number(value, inner)})"
        if kind == 12:
            return f"(({self.number(value, inner)} << 4) >> 4)"
        if kind == 13:
            return f"({value}L | 0x0ull)"
        if kind == 14:
            return f"(~~{self.number(value, inner)})"
        if kind == 15:
            return f"-(- {self.number(value, inner)})"
        if kind == 16:
            return f"('{chr(65 + value)}' - 'A')" if value < 26 else oct(value).replace("o", "")
        if kind == 17:
            return f"(!!1 && !0) * {self.number(value, inner)}"
        if kind == 18:
            return f"({self.number(3 * value + 2, inner)} / 3)"
        if kind == 19:
            return f"({self.number(value + 17, inner)} % 17 + {value - value % 17})"
        if kind == 20:
            return f"({self.number(value, inner)} ?: 0)"
        if kind == 21:
            return f"_Generic(1L, long: {self.number(value, inner)}, default: -1)"
        if kind == 22 and self.enumerators:
            name, known = self.pick(self.enumerators)
            self.note("enumerator in an expression")
            return f"({name} + {value - known})" if value >= known else f"({name} - {known - value})"
        if kind == 23:
            return f"sizeof(struct {{ char c[{self.number(value, inner)}]; }})"
        if kind == 24:
            self.note("builtin function of the compiler")
            return self.pick((f"__builtin_bswap32({value}u << 24)" if value < 256 else str(value),
                              f"(__builtin_ffs(1 << 3) - 4 + {self.number(value, inner)})",
                              *((f"(__builtin_clrsb({value}) - {31 - value.bit_length()} + {value})",) * (self.gcc >= 10)),
                              f"(__builtin_popcountl(~0UL) / (8 * sizeof(long)) * {self.number(value, inner)})"))
        if kind == 25 and 0 < value < 20:
            self.note("sizeof a string")
            return self.string(value - 1)
        if kind == 26 and value:
            self.note("sizeof a compound literal")
            return self.pick((f"sizeof((char[{self.number(value, inner)}]){{ 0 }})",
                              f"(sizeof((char[]){{ {', '.join('1' * min(value, 9))} }}) + {value - min(value, 9)})",
                              f"sizeof((struct {{ char c[{value}]; }}){{ }})"))
        if kind == 27:
            self.note("offsetof with nested designators")
            return (f"(__builtin_offsetof(struct {{ struct {{ char c[{value + 3}]; }} a[2]; }}, "
                    f"a[1].c[{self.number(value, inner)}]) - {value + 3})")
        if kind == 28:
            self.note("floating constant expression")
            return self.pick((f"(int){value}.75", f"(unsigned){value}e0", f"(long)({value}.)"))
        if kind == 29:
            self.note("overflow")
            return self.pick((f"({value} + (0u - 1 > 0) - 1)",
                              f"({value} + ((signed char)200 < 0) - 1)", f"({value}ull << 60 >> 60)" if value < 16 else
                              f"({value}u << 8 >> 8)", f"({value} + (-1 >> 1) + 1)", f"({value} + (char)-1 - (char)-1)"))
        return (str(value), f"0x{value:X}", f"{value}UL", f"({value})")[kind % 4]

    def string(self, length: int) -> str:
        """sizeof a string literal of that many characters, in one piece or two."""
        characters = [self.pick(_CHARACTERS) for _ in range(length)]
        cut = self.draw(_below(length + 1))
        pieces = ["".join(characters[:cut]), "".join(characters[cut:])]
        return "sizeof(" + " ".join(f'"{piece}"' for piece in pieces) + ")"

    def length(self, most: int) -> str:
        """An array's length, from 0 (seldom) to about most."""
        kind = self.draw(_below(24))
        bound = min(most, 5) + 1
        if kind < 16:
            return self.number(1 + self.draw(_below(most)))
        self.note("length that depends on the target")
        if kind == 16:
            return "0"
        if kind == 17:
            return f"sizeof({self.measurable()}) % {bound}"
        if kind == 18:
            return f"__alignof__({self.measurable()}) % {bound}"
        if kind == 19 and self.offsets:
            record, member = self.pick(self.offsets)
            self.note("offsetof")
            return f"__builtin_offsetof({record}, {member}) % {bound}"
        if kind == 20 and self.offsets:
            record, member = self.pick(self.offsets)
            self.note("sizeof or alignof a member")
            return f"{self.pick(('sizeof', '__alignof__', '_Alignof'))}((({record} *)0)->{member}) % {bound}"
        if kind == 21:
            return f"(sizeof(long) > 4 ? {self.number(1)} : {self.number(bound)})"
        if kind == 22:
            return f"((unsigned char)~0 >> {self.pick('765')}) % {bound}"
        if kind == 23:
            return f"(_Alignof({self.pick(('long long', 'double', 'long double'))}) + (unsigned short)-1) % {bound}"
        return "1"

    def measurable(self) -> str:
        return self.object_type().text

    # Attributes

    def attribute(self, packed_in: int = 4, aligned_in: int = 3) -> str:
        """One __attribute__; its content never makes a unit invalid on a member, record or typedef."""
        parts = []
        if self.chance(packed_in):
            parts.append(self.pick(("packed", "__packed__")))
            self.note("packed")
        if self.chance(aligned_in):
            parts.append(self.pick(_ALIGNMENTS))
            self.note("aligned")
        if not parts:
            parts.append(self.pick(_NEUTRAL))
        if parts == ["__packed__"] and self.chance(2):
            return "__packed"
        return f"{self.pick(('__attribute__', '__attribute'))}(({', '.join(parts)}))"

    def maybe_attribute(self, one_in: int, construct: str) -> str:
        """With a blank before it, or empty."""
        if not self.chance(one_in):
            return ""
        self.note(construct)
        return " " + self.attribute()

    # Types

    def object_type(self) -> _Type:
        """A complete type that is no function, by name."""
        kind = self.draw(_below(12))
        if kind < 6:
            return self.pick(self.integers)
        if kind == 6 and self.bit_ints and self.chance(2):
            self.note("_BitInt")
            width = 2 + self.draw(_below(140))
            return _Type(self.pick((f"_BitInt({width})", f"unsigned _BitInt({width})", f"_BitInt({width}) const")), bits=min(width, 60))
        if kind == 6:
            self.note("floating, complex or decimal type")
            return _Type(self.pick(self.floats))
        if kind == 7 and self.enums:
            return self.pick(self.enums)
        if kind == 8 and self.records:
            self.note("embedded record")
            return self.pick(self.records)
        if kind == 9:
            return self.typeof()
        if kind == 10:
            return _Type("__builtin_va_list", kind="array")
        typedefs = [known for known in self.typedefs if known.kind in ("object", "array")]
        if typedefs:
            self.note("typedef name")
            return self.pick(typedefs)
        return self.integers[0]

    def typeof(self) -> _Type:
        self.note("typeof")
        keyword = self.pick(("typeof", "__typeof__", "__typeof"))
        kind = self.draw(_below(5))
        if kind == 0:
            return _Type(f"{keyword}(1)")
        if kind == 1:
            return _Type(f"{keyword}(int *[{self.number(2)}])", kind="array")
        if kind == 2 and self.records:
            record = self.pick(self.records)
            if record.text.startswith("t"):
                return record  # else a typedef of it would be one more name of a record without a tag
            return record._replace(text=f"{keyword}({record.text})")
        if kind == 3 and self.offsets:
            record, member = self.pick(self.offsets)
            # Of unknown kind, so only used alone: nobody may return it or make an array of it.
            return _Type(f"{keyword}((({record} *)0)->{member})", arrayable=False, kind="array", level=2)
        return _Type(f"{keyword}(sizeof(int) + 1)")

    def pointed_to(self) -> _Type:
        """Any type, with void, functions and incomplete records among them."""
        kind = self.draw(_below(8))
        if kind == 0:
            return _Type("void", kind="incomplete")
        if kind == 1:
            return _Type(f"{self.pick(('struct', 'union'))} {self.name('never')}", kind="incomplete")
        functions = [known for known in self.typedefs if known.kind == "function"]
        if kind == 2 and functions:
            return self.pick(functions)
        return self.object_type()

    def declarator(self, name: str, base: _Type, most: int = 6) -> str:
        """A member's declarator: arrays, pointers and functions around the name, from inside out."""
        text, outermost, pointers = name, "name", 0
        while self.chance(3) or self._unfinished(outermost, base):
            allowed = ["pointer"]
            if outermost != "function":
                if most > 1 and not (base.kind in ("incomplete", "function") or not base.arrayable):
                    allowed.append("array")
                if outermost == "pointer" and base.kind not in ("array", "function"):
                    allowed.append("function")
            kind = self.pick(allowed)
            if kind == "pointer":
                qualifier = self.pick(("", "", "const ", "volatile ", "__restrict "))
                if outermost == "function" or (qualifier == "__restrict " and base.kind == "function"):
                    qualifier = ""
                if qualifier == "__restrict ":
                    qualifier = ""
                text = f"*{qualifier}{text}"
                pointers += 1
                self.note("pointer")
            else:
                if outermost == "pointer":
                    text = f"({text})"
                if kind == "array":
                    text += f"[{self.length(most)}]"
                    most = 1 if pointers == 0 and base.level else max(1, most // 2)
                    self.note("pointer to array" if outermost == "pointer" else "array")
                else:
                    text += f"({self.parameters()})"
                    self.note("function pointer")
            outermost = kind
        return text

    @staticmethod
    def _unfinished(outermost: str, base: _Type) -> bool:
        """Whether base cannot stand here without a pointer to it."""
        if base.kind == "incomplete":
            return outermost not in ("pointer", "function")
        if base.kind == "function":
            return outermost != "pointer"
        return base.kind == "array" and outermost == "function"

    def parameters(self) -> str:
        return self.pick(("void", "", "int", "const char *, ...", "int a[const 3], unsigned b",
                          "int (*)(void), void **", "struct " + self.name("unseen") + " *", "register int x"))

    # Members

    def members(self, in_union: bool, depth: int, indent: str, owner: Optional[str] = None,
                average: int = 7) -> List[str]:
        """The lines of a member list; owner names the record if its members can be measured."""
        lines: List[str] = []
        while self.more(average):
            lines.extend(self.member(in_union, depth, indent, owner))
        if not in_union and owner and lines and self.chance(8):
            # gcc asks for a named member before it.
            self.note("flexible array")
            lines.append(f"{indent}char {self.name('m')};")
            lines.append(f"{indent}{self.pick(self.integers).text} {self.name('m')}[];")
        return lines

    def member(self, in_union: bool, depth: int, indent: str, owner: Optional[str]) -> List[str]:
        """The lines of one member declaration."""
        kind = self.draw(_below(32))
        if kind < 6:
            return [indent + self.plain(owner)]
        if kind < 14:
            return [indent + self.bit_fields()]
        if kind < 16:
            self.note("pointer member")
            base = self.pointed_to()
            return [f"{indent}{base.text} {self.declarator(self.name('m'), base)};"]
        if kind < 20 and depth:
            return self.nested(depth, indent)
        if kind == 20:
            base = self.object_type()
            self.note("attribute of one declarator of several")
            return [f"{indent}{base.text} {self.name('m')}{self.maybe_attribute(2, 'attribute after a declarator')},"
                    f" {self.declarator(self.name('m'), base)}"
                    f"{self.maybe_attribute(3, 'attribute after a declarator')};"]
        if kind == 21:
            self.note("vector")
            element = self.pick(("int", "float", "char", "unsigned short", "long long", "double"))
            return [f"{indent}{element} {self.name('m')} "
                    f"__attribute__((vector_size({self.number(self.pick((16, 8, 32, 64)))})));"]
        if kind == 22:
            base, modes = self.pick(self.modes)
            self.note("mode")
            return [f"{indent}{base} {self.name('m')} __attribute__((__mode__({self.pick(modes)})));"]
        if kind == 23:
            self.note("_Alignas")
            if self.chance(4):
                return [f"{indent}_Alignas({self.pick(('double', 'long long', 'long'))}) char {self.name('m')};"]
            asked = self.pick(("16", "0", "long double", "64", "sizeof(char[32])", "long double[2]"))
            return [f"{indent}_Alignas({asked}) "
                    f"{self.pick(('int', 'char', 'void *', 'long long', 'double'))} {self.name('m')};"]
        if kind == 24:
            self.note("_Atomic")
            base = self.pick(("int", "char", "long", "long long", "double", "void *"))
            return [f"{indent}{self.pick((f'_Atomic {base}', f'_Atomic({base})', f'{base} _Atomic'))} {self.name('m')};"]
        if kind == 25:
            return self.enumeration_member(indent)
        if kind == 26:
            self.note("member named as a typedef")
            if self.reusable:
                return [f"{indent}{self.pick(('unsigned', 'int *', 'const long'))} {self.reusable.pop()};"]
        if kind == 27:
            self.note("_Static_assert in a record")
            return [f"{indent}_Static_assert(sizeof(int) == 4, \"int\");"]
        if kind == 28:
            self.note("DECLARE_BITMAP")
            return [f"{indent}DECLARE_BITMAP({self.name('m')}, {self.number(self.pick((64, 1, 65, 300)))});"]
        if kind == 29 and depth:
            return self.struct_group(depth, indent)
        if kind == 30:
            self.note("DECLARE_FLEX_ARRAY")
            return [f"{indent}DECLARE_FLEX_ARRAY({self.pick(self.integers).text}, {self.name('m')});"]
        return [indent + self.plain(owner)]

    def plain(self, owner: Optional[str]) -> str:
        """An ordinary member with attributes in any position."""
        base, name = self.object_type(), self.name("m")
        before = self.maybe_attribute(12, "attribute before the type").strip()
        after_type = self.maybe_attribute(12, "attribute after the type")
        after = self.maybe_attribute(6, "attribute after a declarator")
        extension = "__extension__ " if self.chance(16) else ""
        if self.chance(16):
            self.note("attribute in parentheses")
            return f"{extension}{self.modifiable(base)} ({self.attribute()} {name});"
        if self.standard_attributes and self.chance(12):
            return extension + self.standard_attribute(base, name)
        if self.chance(16):
            self.note("attribute after *")
            return f"{extension}{base.text} *{self.attribute()} {name};"
        declarator = self.declarator(name, base)
        if owner:
            self.measured.append((owner, name))
        return f"{extension}{before}{before and ' '}{base.text}{after_type} {declarator}{after};"

    def standard_attribute(self, base: _Type, name: str) -> str:
        """A member with [[gnu::...]] somewhere."""
        self.note("[[gnu::...]]")
        inside = self.pick(("packed", "__packed__", f"aligned({self.pick(('8', '2', '32'))})", "aligned", "unused"))
        text = self.pick((f"[[gnu::{inside}]]", f"[[__gnu__::{inside}, deprecated]]", f"[[maybe_unused]] [[gnu::{inside}]]"))
        kind = self.draw(_below(4))
        if kind == 0:
            return f"{text} {base.text} {name};"
        if kind == 1:
            return f"{base.text} {name} {text};"
        if kind == 2:
            return f"{base.text} *{text} {name};"
        return f"{self.modifiable(base)} {text} {name};"

    def modifiable(self, base: _Type) -> str:
        """What attributes of the type itself may change: __builtin_va_list would stay changed for all that follows, and
        a record that only a typedef names loses that name in the debug information."""
        if base.kind != "object" or base.level and base.text.startswith("t"):
            base = self.pick(self.integers)
        return base.text

    def bit_fields(self) -> str:
        """One to three bit-fields of one type, named, unnamed or of no width."""
        candidates = self.integers
        kind = self.draw(_below(6))
        if kind == 4:
            candidates = [known for known in self.enums if known.bits] or candidates
            self.note("bit-field of an enum")
        elif kind == 5:
            candidates = [known for known in self.typedefs if known.bits] or candidates
            self.note("bit-field of a typedef")
        base = self.pick(candidates)
        fields = []
        while not fields or self.chance(4):
            kind = self.draw(_below(10))
            if kind == 8:
                self.note("bit-field of no width")
                fields.append(":0")
            elif kind == 9:
                self.note("unnamed bit-field")
                fields.append(f": {self.number(1 + self.draw(_below(base.bits)))}"
                              f"{self.maybe_attribute(8, 'attribute of an unnamed bit-field')}")
            else:
                self.note("bit-field")
                width = 1 + self.draw(_below(base.bits))
                fields.append(f"{self.name('m')}:{self.number(width)}"
                              f"{self.maybe_attribute(6, 'attribute of a bit-field')}")
        before = self.maybe_attribute(20, "attribute before a bit-field's type").strip()
        return f"{before}{before and ' '}{base.text} {', '.join(fields)};"

    def nested(self, depth: int, indent: str) -> List[str]:
        """A record defined where a member stands: anonymous, of one declarator or of several."""
        keyword = self.pick(("struct", "union"))
        kind = self.draw(_below(8))
        tag = f" {self.name('n')}" if kind >= 4 else ""
        head, tail = self.record_attributes()
        lines = [f"{indent}{'__extension__ ' if self.chance(10) else ''}{keyword}{head}{tag} {{"]
        lines += self.members(keyword == "union", depth - 1, indent + "    ", average=3)
        if kind < 3:
            self.note("anonymous record")
            declarators = ""
        elif kind == 7:
            self.note("tagged record without declarator")
            declarators = ""
        else:
            self.note("nested record")
            base = _Type("", level=2)
            declarators = " " + self.declarator(self.name("m"), base, most=3)
            if self.chance(4):
                declarators += f", *{self.name('m')}"
            declarators += self.maybe_attribute(6, "attribute after a nested record's declarator")
        lines.append(f"{indent}}}{tail}{declarators};")
        return lines

    def record_attributes(self) -> Tuple[str, str]:
        """Attributes before the tag and after the closing brace."""
        head = self.maybe_attribute(6, "attribute before the tag")
        if not head and self.standard_attributes and self.chance(12):
            self.note("[[gnu::...]] before the tag")
            head = self.pick((" [[gnu::packed]]", " [[gnu::aligned(8), gnu::packed]]", " [[gnu::aligned]]"))
        tail = self.maybe_attribute(4, "attribute after the closing brace")
        if self.chance(8):
            self.note("ms_struct or gcc_struct")
            tail += f" __attribute__(({self.pick(_STRUCTS)}))"
        return head, tail

    def struct_group(self, depth: int, indent: str) -> List[str]:
        self.note("struct_group")
        head = self.pick(("struct_group({0},", "struct_group_attr({0}, __packed,",
                          "__struct_group({1}, {0}, , ", "__struct_group({1}, {0}, __aligned(16),"))
        # Its members are written twice, so they must not define a tag or an enumerator.
        lines = [indent + head.format(self.name("m"), self.name("n"))]
        for _ in range(1 + self.draw(_below(3))):
            lines.append(f"{indent}    {self.plain(None) if self.chance(2) else self.bit_fields()}")
        lines.append(f"{indent});")
        return lines

    def enumeration_member(self, indent: str) -> List[str]:
        self.note("enum defined in a record")
        text, bits = self.enumeration("")
        width = f":{self.number(1 + self.draw(_below(bits)))}" if self.chance(2) else ""
        return [f"{indent}{text} {self.name('m')}{width};"]

    # Definitions

    def enumeration(self, tag: str) -> Tuple[str, int]:
        """An enum specifier with its list, and the widest bit-field it may have."""
        if self.gcc >= 13 and self.chance(3):
            return self.fixed_enumeration(tag)
        packed = self.chance(3)
        entries, bits, following = [], 8 if packed else 32, 0
        negative = large = False
        while not entries or self.more(3):
            name, kind = self.name("E"), self.draw(_below(16))
            if kind < 8:
                entries.append(name)
            elif kind < 12:
                following = self.draw(_below(90))
                entries.append(f"{name} = {self.number(following)}")
            elif kind == 12:
                following = -1 - self.draw(_below(200))
                entries.append(f"{name} = {following}")
                negative = True
                self.note("negative enumerator")
            elif kind == 13:
                following = 0x80000000
                entries.append(f"{name} = 0x80000000")
                self.note("enumerator above INT_MAX")
            elif kind == 14:
                following = 1 << (33 + self.draw(_below(29)))
                entries.append(f"{name} = {following}ULL")
                self.note("enumerator above UINT_MAX")
            elif entries and self.chance(2):
                self.note("enumerator that measures one before it")
                before = entries[-1].split()[0]
                following = 1000  # it depends
                entries.append(f"{name} = sizeof({before})" + self.pick((" * 8 / 4", "", " + 1", f" + (1 ? {before} : 0) * 0")))
            else:
                entries.append(f"{name} __attribute__((deprecated))")
            large = large or following > 0xffffffff or (following >= 0x7fffffff and negative)
            if 0 <= following < 100:
                self.enumerators.append((name, following))
            following += 1
        if large and not packed:
            bits = 64
        aligned = ("__attribute__((packed, aligned(4)))", "__attribute__((packed)) __attribute__((aligned))")
        attribute = " " + self.pick(("__attribute__((packed))", "__packed") + aligned * (self.gcc >= 10)) if packed else ""
        if not packed and self.gcc >= 10 and self.chance(6):
            self.note("aligned enum")
            attribute = " " + self.pick(("__attribute__((aligned(16)))", "__attribute__((aligned(8), packed))"))
        if packed:
            self.note("packed enum")
        comma = "," if self.chance(3) else ""
        if self.chance(2):
            return f"enum{attribute}{tag} {{ {', '.join(entries)}{comma} }}", bits
        return f"enum{tag} {{ {', '.join(entries)}{comma} }}{attribute}", bits

    def fixed_enumeration(self, tag: str) -> Tuple[str, int]:
        self.note("enum with an underlying type")
        underlying = self.pick(_FIXED)
        names = [self.name("E") for _ in range(1 + self.draw(_below(3)))]
        known = self.draw(_below(90))
        entries = [f"{names[0]} = {self.number(known)}"] + names[1:]
        self.enumerators += [(name, known + index) for index, name in enumerate(names)]
        if self.chance(3):
            entries.append(f"{self.name('E')} = sizeof({names[0]})")
        return f"enum{tag} : {underlying} {{ {', '.join(entries)} }}", _FIXED_BITS.get(underlying, 32) or self.long_bits

    def typedef(self) -> str:
        """A typedef of any kind; known only once it is written, as it must not use itself."""
        name = self.name("t")
        self.note("typedef")
        text, known = self.typedef_of(name)
        self.typedefs.append(known)
        if self.chance(3):
            self.reusable.append(name)
        return text

    def typedef_of(self, name: str) -> Tuple[str, _Type]:
        kind = self.draw(_below(10))
        if kind < 3:
            base = self.object_type()
            if "->" in base.text:  # of a record that nothing names, it would be the only name
                base = self.integers[0]
            if self.chance(2):
                return f"{self.pick(('typedef ' + base.text, base.text + ' typedef'))} {name};", base._replace(text=name)
            self.note("aligned typedef")
            alignment = f"__attribute__(({self.pick(_ALIGNMENTS)}))"
            return (self.pick((f"typedef {base.text} {name} {alignment};", f"typedef {alignment} {base.text} {name};",
                               f"typedef {base.text} {alignment} {name};")),
                    base._replace(text=name, arrayable=False))
        if kind == 3:
            self.note("typedef of an array")
            element = self.pick(self.integers).text
            return f"typedef {element} {name}[{self.length(3)}][{self.length(3)}];", _Type(name, kind="array")
        if kind == 4:
            self.note("typedef of a function")
            return f"typedef int {name}({self.parameters()});", _Type(name, kind="function")
        if kind == 5:
            self.note("typedef of a pointer")
            return f"typedef {self.pointed_to().text} *{name};", _Type(name)
        if kind == 6:
            self.note("typedef of a vector")
            element = self.pick(("float", "int", "unsigned char"))
            return (f"typedef {element} {name} __attribute__((__vector_size__({self.pick((16, 4, 8, 32))})));",
                    _Type(name))
        if kind == 7:
            self.note("typedef with a mode")
            base, modes = self.pick(self.modes)
            mode = self.pick(modes)
            bits = _MODE_BITS.get(mode, self.long_bits) if base in ("int", "unsigned") else 0
            return f"typedef {base} {name} __attribute__((mode({mode})));", _Type(name, bits=bits)
        if kind == 8:
            text, bits = self.enumeration("")
            return f"typedef {text} {name};", _Type(name, bits=bits)
        self.note("typedef of lower alignment")
        # Without a qualifier: an array of such a typedef's type loses the alignment (grokdeclarator).
        base = self.pick([known for known in self.integers
                          if not {"const", "__const", "volatile"} & set(known.text.split())])
        return f"typedef {base.text} {name} __attribute__((aligned(1)));", base._replace(text=name)

    def record(self) -> List[str]:
        """A record at the top level, perhaps as part of a typedef or a variable's declaration."""
        keyword = "union" if self.chance(4) else "struct"
        tag = self.name("r")
        head, tail = self.record_attributes()
        known = _Type(f"{keyword} {tag}")
        lines, after = [], []
        if self.chance(12):
            self.note("#pragma pack")
            size = self.pick((1, 2, 4, 8, 16))
            if self.chance(2):
                lines.append(f"#pragma pack(push, {size})")
                after.append("#pragma pack(pop)")
            else:
                lines.append(f"#pragma pack({size})")
                after.append("#pragma pack()")
        prefix, suffix, typedef = "", "", None
        kind = self.draw(_below(12))
        if kind == 9:
            self.note("typedef of a record")
            prefix, name = "typedef ", self.name("t")
            suffix = f" {name}, *{self.name('t')}"
            if self.chance(2):
                suffix += self.maybe_attribute(1, "attribute of a typedef of a record")
            typedef = _Type(name, arrayable=False, level=1)
        elif kind == 10:
            self.note("record of a variable")
            prefix = self.pick(("static ", "extern ", "", "const "))
            suffix = f" {self.name('v')}{self.maybe_attribute(2, 'attribute of a variable')}"
        elif kind == 11 and not head and not tail:
            self.note("record without a tag")
            name = self.name("t")
            lines.append(f"typedef {keyword} {{")
            lines += self.members(keyword == "union", 2, "    ")
            known = _Type(name, level=1)
            lines.append(f"}} {name};")
            self.records.append(known)
            # Only what embeds it shows it.
            lines.append(f"struct {tag} {{ char {self.name('m')}; {name} {self.name('m')}; }};")
            return lines + after
        lines.append(f"{prefix}{keyword}{head} {tag} {{")
        body = self.members(keyword == "union", 2, "    ", owner=known.text)
        level = 1 + max([record.level for record in self.records
                         if any(record.text in line for line in body)], default=0)
        lines += body
        lines.append(f"}}{tail}{suffix};")
        self.offsets += self.measured
        self.measured = []
        if typedef:
            self.typedefs.append(typedef)
        if not body:
            self.note("empty record")
        if level < 3:
            self.records.append(known._replace(level=level))
        return lines + after

    def top_level(self) -> None:
        """One record, and now and then what it may use or what must not disturb."""
        while self.chance(3):
            self.lines.append(self.typedef())
        if self.chance(4):
            tag = self.name("e")
            text, bits = self.enumeration(" " + tag)
            self.note("enum")
            self.lines.append(text + ";")
            self.enums.append(_Type(f"enum {tag}", bits=bits))
        if self.chance(8):
            self.note("function with a record of its own")
            tag = f"r{self.names + 1}"
            self.lines.append(f"static inline int {self.name('f')}(void) {{ struct {tag} {{ long x[99]; }} s; "
                              f"return sizeof(s); }}")
        self.lines.extend(self.record())
