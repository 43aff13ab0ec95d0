r"""Target ABIs: how wide and how aligned the basic types are, and what a target changes in GCC's record layout.

Sources: the System V psABI of each architecture and GCC's target macros (gcc/config/*/).  All figures are in bits.
"""

from rekall_layout_expert.c_integers import Arithmetic
from rekall_layout_expert.errors import LayoutExpertError


class Abi:
    """One target.

    basic: {canonical type name: (size, alignment)}; pointer: size and alignment of a pointer; biggest: GCC's
    BIGGEST_ALIGNMENT, what a bare `aligned` means; anonymous_bit_fields_align: whether unnamed bit-fields raise the
    record's alignment (AAPCS); va_list: (size, alignment); big_endian: bits count from the most significant one.
    """

    anonymous_bit_fields_align = False

    def __init__(self, name, long_bits, basic, biggest, char_unsigned, va_list, big_endian=False):
        self.name = name
        self.big_endian = big_endian
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

    def vector_alignment(self, size, gcc):
        """The alignment of a vector of that size for a version of GCC."""
        return size

    def bit_int(self, width):
        """(size, alignment) of _BitInt(width) (GCC: bitint_type_info), None where GCC 14 does not have it."""
        if self.name not in _BIT_INT_LIMBS:
            return None
        limb, wide_limb = _BIT_INT_LIMBS[self.name]
        for size in (8, 16, 32, 64):
            if width <= size <= limb:
                return size, size
        return -(-width // wide_limb) * wide_limb, wide_limb


class I386(Abi):
    """The i386 psABI: eight-byte scalars are aligned to four bytes inside records only."""

    def field_alignment(self, category, alignment):
        return min(alignment, 32) if category in ("integer", "double") else alignment


class Aapcs(Abi):
    """ARM's procedure call standards (32 and 64 bits): unnamed bit-fields align the record like named ones."""

    anonymous_bit_fields_align = True

    def vector_alignment(self, size, gcc):
        return min(size, self.biggest)


class RiscV(Abi):
    """The RISC-V psABI: GCC has its limit for vectors since it knows the vector extension."""

    def vector_alignment(self, size, gcc):
        return min(size, self.biggest) if gcc >= (13,) else size


# Up to the first a _BitInt is as wide as an integer type, from there on it is an array of the second.
_BIT_INT_LIMBS = {"x86_64": (64, 64), "i386": (64, 32), "arm64": (64, 128)}
_COMMON = {
    "void": (8, 8), "_Bool": (8, 8), "char": (8, 8), "signed char": (8, 8), "unsigned char": (8, 8),
    "short": (16, 16), "unsigned short": (16, 16), "int": (32, 32), "unsigned int": (32, 32),
    "long long": (64, 64), "unsigned long long": (64, 64), "float": (32, 32), "double": (64, 64),
    "_Float32": (32, 32), "_Float64": (64, 64), "_Float32x": (64, 64),
}  # fmt: skip
_HALF = {"_Float16": (16, 16), "__bf16": (16, 16)}
_DECIMAL = {"_Decimal32": (32, 32), "_Decimal64": (64, 64), "_Decimal128": (128, 128)}
_QUAD = {"_Float128": (128, 128), "_Float64x": (128, 128)}
_INT128 = {"__int128": (128, 128), "unsigned __int128": (128, 128)}
_X86 = dict(_HALF, **_DECIMAL, **_QUAD, __float128=(128, 128))


def _x86_64():
    basic = dict(_X86, **_INT128, __float80=(128, 128))
    basic["long double"] = (128, 128)
    return Abi("x86_64", 64, basic, 128, False, (192, 64))


def _i386():
    basic = dict(_X86, __float80=(96, 32), _Float64x=(96, 32))
    basic["long double"] = (96, 32)
    return I386("i386", 32, basic, 128, False, (32, 32))


def _s390():
    basic = dict(_DECIMAL, **_QUAD, **_INT128)
    basic["long double"] = (128, 128)
    basic = {name: (size, min(alignment, 64)) for name, (size, alignment) in basic.items()}
    return Abi("s390", 64, basic, 64, True, (256, 64), True)


def _lp64(abi, name, further, char_unsigned=True, va_list=(64, 64), big_endian=False):
    """A 64-bit target with a long double of 128 bits."""
    basic = dict(further, **_INT128)
    basic["long double"] = (128, 128)
    return abi(name, 64, basic, 128, char_unsigned, va_list, big_endian)


def _ilp32(abi, name, further, biggest, char_unsigned, va_list=(32, 32), big_endian=False):
    """A 32-bit target on which eight-byte scalars are aligned to eight bytes."""
    basic = dict(further)
    basic["long double"] = (128, 128) if biggest == 128 else (64, 64)
    return abi(name, 32, basic, biggest, char_unsigned, va_list, big_endian)


_PPC64LE = dict(_DECIMAL, **_QUAD, __float128=(128, 128), __ibm128=(128, 128))
_PPC = dict(_DECIMAL, __ibm128=(128, 128))
_ABIS = {
    "x86_64": _x86_64,
    "i386": _i386,
    "arm64": lambda: _lp64(Aapcs, "arm64", dict(_HALF, **_QUAD), va_list=(256, 64)),
    "arm64be": lambda: _lp64(Aapcs, "arm64be", dict(_HALF, **_QUAD), va_list=(256, 64), big_endian=True),
    "arm": lambda: _ilp32(Aapcs, "arm", {"__bf16": (16, 16)}, 64, True),
    "armbe": lambda: _ilp32(Aapcs, "armbe", {"__bf16": (16, 16)}, 64, True, big_endian=True),
    "s390": _s390,
    "riscv": lambda: _lp64(RiscV, "riscv", _QUAD),
    "riscv32": lambda: _ilp32(RiscV, "riscv32", _QUAD, 128, True),
    "powerpc": lambda: _lp64(Abi, "powerpc", _PPC64LE),
    "powerpc64be": lambda: _lp64(Abi, "powerpc64be", _PPC, big_endian=True),
    "powerpc32": lambda: _ilp32(Abi, "powerpc32", _PPC, 128, True, (96, 32), True),
    "mips": lambda: _ilp32(Abi, "mips", {}, 64, False, big_endian=True),
    "mips32el": lambda: _ilp32(Abi, "mips32el", {}, 64, False),
    "mips64": lambda: _lp64(Abi, "mips64", _QUAD, False, big_endian=True),
    "mips64el": lambda: _lp64(Abi, "mips64el", _QUAD, False),
}
def _as_clang_has_it(abi, version):
    """Clang measures the basic types as GCC does, with these exceptions."""
    if abi.name in ("mips", "mips32el"):
        abi.biggest = 128
    if abi.name == "s390" and version < (16,):  # a bug of clang's, whose kernels have it, too
        abi.basic["__int128"] = abi.basic["unsigned __int128"] = (128, 128)


def find_abi(target, clang=None):
    """The Abi of a target, as GCC or as clang of a version (major, minor, patch level) has it.  Raises LayoutExpertError for one whose rules are not known."""
    if target not in _ABIS:
        raise LayoutExpertError(
            "the record layout of %s is not known" % target, next_step="known are " + ", ".join(sorted(_ABIS))
        )
    abi = _ABIS[target]()
    if clang is not None:
        _as_clang_has_it(abi, clang)
    return abi
