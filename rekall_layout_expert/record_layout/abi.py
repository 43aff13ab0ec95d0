r"""Target ABIs: how wide and how aligned the basic types are, and what a target changes in GCC's record layout.

Sources: the System V psABI of each architecture and GCC's target macros (gcc/config/*/).  All figures are in bits.
"""

from rekall_layout_expert.c_integers import Arithmetic
from rekall_layout_expert.errors import LayoutExpertError


class Abi:
    """One target.

    basic: {canonical type name: (size, alignment)}; pointer: size and alignment of a pointer; biggest: GCC's
    BIGGEST_ALIGNMENT, what a bare `aligned` means; anonymous_bit_fields_align: whether unnamed bit-fields raise the
    record's alignment (AAPCS); va_list: (size, alignment).
    """

    big_endian = False
    anonymous_bit_fields_align = False

    def __init__(self, name, long_bits, basic, biggest, char_unsigned, va_list):
        self.name = name
        self.long_bits = long_bits
        self.pointer = (long_bits, long_bits)
        self.basic = dict(_COMMON)
        self.basic.update(basic)
        self.basic["long"] = self.basic["unsigned long"] = (long_bits, long_bits)
        self.basic["__builtin_va_list"] = va_list
        self.biggest = biggest
        self.arithmetic = Arithmetic(32, long_bits, char_unsigned)

    def field_alignment(self, category, alignment):
        """ADJUST_FIELD_ALIGN: the alignment of a member whose type, arrays stripped, is of that category.

        category: "integer", "float", "complex" … (see `layouts.Measure`).
        """
        return alignment


class I386(Abi):
    """The i386 psABI: eight-byte scalars are aligned to four bytes inside records only."""

    def field_alignment(self, category, alignment):
        return min(alignment, 32) if category in ("integer", "double") else alignment


_COMMON = {
    "void": (8, 8), "_Bool": (8, 8), "char": (8, 8), "signed char": (8, 8), "unsigned char": (8, 8),
    "short": (16, 16), "unsigned short": (16, 16), "int": (32, 32), "unsigned int": (32, 32),
    "long long": (64, 64), "unsigned long long": (64, 64), "float": (32, 32), "double": (64, 64),
    "_Float16": (16, 16), "__bf16": (16, 16), "_Float32": (32, 32), "_Float64": (64, 64), "_Float32x": (64, 64),
    "_Decimal32": (32, 32), "_Decimal64": (64, 64), "_Decimal128": (128, 128),
}  # fmt: skip
_QUAD = {"_Float128": (128, 128), "__float128": (128, 128), "_Float64x": (128, 128)}
_INT128 = {"__int128": (128, 128), "unsigned __int128": (128, 128)}


def _x86_64():
    basic = dict(_QUAD, **_INT128)
    basic.update({"long double": (128, 128), "__float80": (128, 128)})
    return Abi("x86_64", 64, basic, 128, False, (192, 64))


def _i386():
    basic = {"_Float128": (128, 128), "__float128": (128, 128), "long double": (96, 32), "__float80": (96, 32)}
    basic["_Float64x"] = (96, 32)
    return I386("i386", 32, basic, 128, False, (32, 32))


_ABIS = {"x86_64": _x86_64, "i386": _i386}


def find_abi(target):
    """The Abi of a target.  Raises LayoutExpertError for one whose rules are not known."""
    if target not in _ABIS:
        raise LayoutExpertError(
            "the record layout of %s is not known" % target, next_step="known are " + ", ".join(sorted(_ABIS))
        )
    return _ABIS[target]()
