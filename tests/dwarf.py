"""What gcc says about record layouts: C text is compiled, never run, and its DWARF read back.

The result has the neutral form that the tests compare (see comparison.py):

    {name: (size, {path: (bit offset, bit-field width or None, size or None)})}

A record without a tag goes by its typedef's name. Sizes are in bytes, offsets in bits from the start
of the record. Members of an anonymous member stand under their own names, as C reaches them. Where
neither a tag nor a typedef names a member's record type, that record's members are listed too: as
`member.inner`, through arrays as `member[].inner` of the first element. Arrays without a length count as size 0.
"""
from __future__ import annotations

import contextlib
import functools
import math
import os
import subprocess
import tempfile
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from elftools.elf.elffile import ELFFile

COMPILERS = {
    "x86_64": ("gcc", "-m64"),
    "i386": ("gcc", "-m32"),
    "arm64": ("aarch64-linux-gnu-gcc",),
    "arm64be": ("aarch64-linux-gnu-gcc", "-mbig-endian"),
    "arm": ("arm-linux-gnueabi-gcc",),
    "armbe": ("arm-linux-gnueabi-gcc", "-mbig-endian"),
    "mips": ("mips-linux-gnu-gcc", "-mabi=32"),
    "mips32el": ("mips-linux-gnu-gcc", "-mabi=32", "-EL"),
    "mips64": ("mips-linux-gnu-gcc", "-mabi=64"),
    "mips64el": ("mips-linux-gnu-gcc", "-mabi=64", "-EL"),
    "s390": ("s390x-linux-gnu-gcc",),
    "powerpc": ("powerpc64le-linux-gnu-gcc",),
    "powerpc64be": ("powerpc64-linux-gnu-gcc",),
    "powerpc32": ("powerpc64-linux-gnu-gcc", "-m32"),
    "riscv": ("riscv64-linux-gnu-gcc",),
    "riscv32": ("riscv64-linux-gnu-gcc", "-march=rv32imac", "-mabi=ilp32"),
}
# pyelftools does not know the relocations of these targets' object files: they are linked to have none.
LINKED = ("powerpc", "powerpc32", "riscv", "riscv32")
LINKING = ("-nostdlib", "-static", "-Wl,--entry=0,--unresolved-symbols=ignore-all")


class Member(NamedTuple):
    bit_offset: int
    bit_width: Optional[int]  # None unless the member is a bit-field
    size: Optional[int]       # bytes; None for a bit-field


Records = Dict[str, Tuple[int, Dict[str, Member]]]

_RECORDS = ("DW_TAG_structure_type", "DW_TAG_union_type")
_ENCODINGS = {2: "bool", 5: "signed", 6: "signed", 7: "unsigned", 8: "unsigned"}  # DW_ATE_boolean, _signed ...
_TRANSPARENT = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type",
                "DW_TAG_restrict_type", "DW_TAG_atomic_type")


class CompilerRefused(Exception):
    """The compiler does not take this text; str() is its message."""


def command(target: str, version: Optional[int] = None) -> Tuple[str, ...]:
    """How gcc is called for the target; version: a major one, default what is simply called gcc."""
    program, *options = COMPILERS[target]
    return (program if version is None else f"{program}-{version}", *options)


@functools.lru_cache(maxsize=None)
def versions(target: str) -> Tuple[int, ...]:
    """The major versions of gcc for the target that go by their own name here and compile."""
    return tuple(version for version in range(8, 30) if can_compile(target, version))


def run_gcc(arguments: Sequence[str], text: str, target: str = "x86_64", version: Optional[int] = None) -> str:
    """What `gcc ARGUMENTS -` for the target writes to its standard output, given the text as C."""
    done = subprocess.run([*command(target, version), *arguments, "-x", "c", "-"], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise CompilerRefused(done.stderr)
    return done.stdout


@functools.lru_cache(maxsize=None)
def can_compile(target: str, version: Optional[int] = None) -> bool:
    """Whether this machine has a compiler for the target."""
    try:
        compile_records("", target, version=version)
    except (OSError, CompilerRefused):
        return False
    return True


def compile_records(text: str, target: str = "x86_64", options: Sequence[str] = (),
                    version: Optional[int] = None) -> Records:
    """The records that C text defines, as gcc lays them out. options: further ones for gcc; version: see command."""
    with _compiled(text, target, options, version) as path:
        return read_records(path)


def compile_types(text: str, target: str = "x86_64") -> Dict[str, Dict[str, object]]:
    """{tag: {member: type}} of the tagged records at file scope that C text defines.

    A type is "void" (functions too), ("bool", size), ("signed" or "unsigned", size), ("bytes", size) for every other
    arithmetic type and for vectors, ("enum", size), ("pointer", type), ("array", count, type) or ("record", tag or
    None), sizes in bytes.
    """
    with _compiled(text, target) as path, open(path, "rb") as file:
        return {_name(record): {_name(member): _type(member.get_DIE_from_attribute("DW_AT_type"))
                                for member in record.iter_children()
                                if member.tag == "DW_TAG_member" and "DW_AT_name" in member.attributes}
                for unit in ELFFile(file).get_dwarf_info().iter_CUs() for record in unit.get_top_DIE().iter_children()
                if record.tag in _RECORDS and "DW_AT_name" in record.attributes}


@contextlib.contextmanager
def _compiled(text: str, target: str, options: Sequence[str] = (), version: Optional[int] = None):
    """The path of an object file with debug information of all types."""
    with tempfile.TemporaryDirectory(prefix="layout-expert-") as directory:
        path = os.path.join(directory, "unit.o")
        kind = LINKING if target in LINKED else ("-c",)
        run_gcc(["-w", "-g", "-fno-eliminate-unused-debug-types", *kind, *options, "-o", path], text, target,
                version)
        yield path


def read_records(path: str) -> Records:
    """The complete records at file scope of an object file's debug information."""
    tagged: Records = {}
    by_typedef: Records = {}
    with open(path, "rb") as file:
        elf = ELFFile(file)
        if not elf.has_dwarf_info():
            return {}
        for unit in elf.get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                record, found = die, tagged
                if die.tag == "DW_TAG_typedef":
                    record, found = _strip(die), by_typedef
                    if record is None or "DW_AT_name" in record.attributes:
                        continue
                attributes = die.attributes
                if record.tag in _RECORDS and "DW_AT_name" in attributes and "DW_AT_declaration" not in attributes:
                    members: Dict[str, Member] = {}
                    _collect(record, 0, "", elf.little_endian, members)
                    found[_name(die)] = _size(record), members
    return {**by_typedef, **tagged}


def _collect(record, base: int, prefix: str, little_endian: bool, members: Dict[str, Member]) -> None:
    """Adds a record's members, base bits into the outermost one."""
    for die in record.iter_children():
        if die.tag != "DW_TAG_member":
            continue
        offset = base + _bit_offset(die, little_endian)
        inner = _strip(die.get_DIE_from_attribute("DW_AT_type"))
        if "DW_AT_name" not in die.attributes:
            _collect(inner, offset, prefix, little_endian, members)
            continue
        path = prefix + _name(die)
        width = _value(die, "DW_AT_bit_size")
        members[path] = Member(offset, width, None if width is not None else _size(inner))
        type_ = die.get_DIE_from_attribute("DW_AT_type")
        while inner is not None and inner.tag == "DW_TAG_array_type":
            type_ = inner.get_DIE_from_attribute("DW_AT_type")
            inner = _strip(type_)
            path = path if path.endswith("[]") else path + "[]"
        if inner is not None and inner.tag in _RECORDS and not _goes_by_a_name(type_):
            _collect(inner, offset, path + ".", little_endian, members)


def _goes_by_a_name(die) -> bool:
    """Whether a type is referred to by its tag or by a typedef."""
    while die.tag in _TRANSPARENT and die.tag != "DW_TAG_typedef":
        die = die.get_DIE_from_attribute("DW_AT_type")
    return "DW_AT_name" in die.attributes


def _bit_offset(member, little_endian: bool) -> int:
    """From the start of the record the member stands in. DWARF 5 has it plainly; 4 has it in pieces."""
    if member.get_parent().tag == "DW_TAG_union_type":
        return 0  # what gcc says of a bit-field there is wrong where its type has a low alignment
    if "DW_AT_data_bit_offset" in member.attributes:
        return _value(member, "DW_AT_data_bit_offset")
    offset = 8 * (_value(member, "DW_AT_data_member_location") or 0)
    if "DW_AT_bit_offset" in member.attributes:
        # Counted from the storage unit's most significant bit.
        from_top = _value(member, "DW_AT_bit_offset")
        if not little_endian:
            return offset + from_top
        unit = _value(member, "DW_AT_byte_size") or _size(_strip(member.get_DIE_from_attribute("DW_AT_type")))
        return offset + 8 * unit - from_top - _value(member, "DW_AT_bit_size")
    return offset


def _size(die) -> int:
    """Of a type, in bytes; 0 for one that has none, such as an array without a length."""
    die = _strip(die)
    if die is None:
        return 0
    if "DW_AT_byte_size" in die.attributes:
        return _value(die, "DW_AT_byte_size")
    if die.tag == "DW_TAG_pointer_type":  # of which clang says no size
        return die.cu.header.address_size
    if die.tag != "DW_TAG_array_type":
        return 0
    return _size(die.get_DIE_from_attribute("DW_AT_type")) * math.prod(_counts(die))


def _type(die):
    """See compile_types."""
    die = _strip(die)
    if die is None or die.tag == "DW_TAG_subroutine_type":
        return "void"
    if die.tag == "DW_TAG_base_type":
        kind = _ENCODINGS.get(_value(die, "DW_AT_encoding"))
        return (kind if kind and _size(die) <= 8 else "bytes", _size(die))
    if die.tag == "DW_TAG_pointer_type":
        return "pointer", _type(die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None)
    if die.tag == "DW_TAG_enumeration_type":
        return "enum", _value(die, "DW_AT_byte_size")
    if die.tag in _RECORDS:
        return "record", _value(die, "DW_AT_name") and _name(die)
    if "DW_AT_GNU_vector" in die.attributes:
        return "bytes", _size(die)
    type_ = _type(die.get_DIE_from_attribute("DW_AT_type"))
    for count in reversed(_counts(die)):
        type_ = "array", count, type_
    return type_


def _counts(array):
    """The counts of an array's dimensions, 0 for one that has none."""
    counts = []
    for dimension in array.iter_children():
        if dimension.tag == "DW_TAG_subrange_type":
            count, last = _value(dimension, "DW_AT_count"), _value(dimension, "DW_AT_upper_bound")
            counts.append(count if count is not None else last + 1 if last is not None else 0)
    return counts


def _strip(die):
    """The type behind typedefs and qualifiers; None for void."""
    while die is not None and die.tag in _TRANSPARENT:
        die = die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None
    return die


def _name(die) -> str:
    return _value(die, "DW_AT_name").decode()


def _value(die, attribute: str):
    found = die.attributes.get(attribute)
    return found.value if found else None
