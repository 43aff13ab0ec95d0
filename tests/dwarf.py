"""What gcc says about record layouts: C text is compiled, never run, and its DWARF read back.

The result has the neutral form that the tests compare (see comparison.py):

    {name: (size, {path: (bit offset, bit-field width or None, size or None)})}

A record without a tag goes by its typedef's name. Sizes are in bytes, offsets in bits from the start
of the record. Members of an anonymous member stand under their own names, as C reaches them. Where
neither a tag nor a typedef names a member's record type, that record's members are listed too: as
`member.inner`, through arrays as `member[].inner` of the first element. Arrays without a length count as size 0.
"""
from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from elftools.elf.elffile import ELFFile

COMPILERS = {
    "x86_64": ("gcc", "-m64"),
    "i386": ("gcc", "-m32"),
    "arm64": ("aarch64-linux-gnu-gcc",),
    "arm": ("arm-linux-gnueabi-gcc",),
    "mips": ("mips-linux-gnu-gcc", "-mabi=32"),
    "s390": ("s390x-linux-gnu-gcc",),
    "powerpc": ("powerpc64le-linux-gnu-gcc",),
    "riscv": ("riscv64-linux-gnu-gcc",),
}


class Member(NamedTuple):
    bit_offset: int
    bit_width: Optional[int]  # None unless the member is a bit-field
    size: Optional[int]       # bytes; None for a bit-field


Records = Dict[str, Tuple[int, Dict[str, Member]]]

_RECORDS = ("DW_TAG_structure_type", "DW_TAG_union_type")
_TRANSPARENT = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type",
                "DW_TAG_restrict_type", "DW_TAG_atomic_type")


class CompilerRefused(Exception):
    """The compiler does not take this text; str() is its message."""


def run_gcc(arguments: Sequence[str], text: str, target: str = "x86_64") -> str:
    """What `gcc ARGUMENTS -` for the target writes to its standard output, given the text as C."""
    done = subprocess.run([*COMPILERS[target], *arguments, "-x", "c", "-"], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise CompilerRefused(done.stderr)
    return done.stdout


@functools.lru_cache(maxsize=None)
def can_compile(target: str) -> bool:
    """Whether this machine has a compiler for the target."""
    try:
        compile_records("", target)
    except (OSError, CompilerRefused):
        return False
    return True


def compile_records(text: str, target: str = "x86_64", options: Sequence[str] = ()) -> Records:
    """The records that C text defines, as gcc lays them out. options: further ones for gcc."""
    with tempfile.TemporaryDirectory(prefix="layout-expert-") as directory:
        path = os.path.join(directory, "unit.o")
        run_gcc(["-w", "-g", "-c", "-fno-eliminate-unused-debug-types", *options, "-o", path], text, target)
        return read_records(path)


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
                if record.tag in _RECORDS and "DW_AT_name" in die.attributes and "DW_AT_declaration" not in die.attributes:
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
    if die.tag != "DW_TAG_array_type":
        return 0
    size = _size(die.get_DIE_from_attribute("DW_AT_type"))
    for dimension in die.iter_children():
        if dimension.tag == "DW_TAG_subrange_type":
            count, last = _value(dimension, "DW_AT_count"), _value(dimension, "DW_AT_upper_bound")
            size *= count if count is not None else last + 1 if last is not None else 0
    return size


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
