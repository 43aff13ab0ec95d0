"""Where the members of shuffled structs stand, as the compiler that shuffles them places them.

GCC's debug information shows the order of the source, so C text asks for each member: by offsetof, and for a bit-field
by an object in which all its bits are set. The compiler's object file holds the answers; nothing is run.
"""
from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from elftools.elf.elffile import ELFFile


class Asked(NamedTuple):
    """A record as C names it ("struct s", "s_t"), and the paths of its members."""

    spelled: str
    members: List[str]
    bit_fields: List[str]


# {name: (size in bytes, {path: (bit offset, bit-field width or None)})}
Places = Dict[str, Tuple[int, Dict[str, Tuple[int, object]]]]


class Refused(Exception):
    """The compiler does not take the text; str() is its message."""


def places(compiler: Sequence[str], text: str, asked: Dict[str, Asked]) -> Places:
    """The places of the members asked for. compiler: the command up to its input, which makes a little-endian object."""
    questions = [text]
    for name, (spelled, members, bit_fields) in asked.items():
        values = ["sizeof(%s)" % spelled] + ["__builtin_offsetof(%s, %s)" % (spelled, member) for member in members]
        questions.append("unsigned long long places_of_%s[] = {%s};" % (name, ", ".join(values)))
        questions += ["%s bits_of_%s_%d = {.%s = -1};" % (spelled, name, number, member)
                      for number, member in enumerate(bit_fields)]
    data = _data_of(compiler, "\n".join(questions) + "\n")
    found = {}
    for name, (_, members, bit_fields) in asked.items():
        answers = data["places_of_" + name]
        numbers = [int.from_bytes(answers[at:at + 8], "little") for at in range(0, len(answers), 8)]
        where = {member: (8 * number, None) for member, number in zip(members, numbers[1:])}
        for number, member in enumerate(bit_fields):
            bits = int.from_bytes(data["bits_of_%s_%d" % (name, number)], "little")
            first = (bits & -bits).bit_length() - 1
            assert bits >> first == (1 << bits.bit_length() - first) - 1, "%s.%s is no row of bits" % (name, member)
            where[member] = first, bits.bit_length() - first
        found[name] = numbers[0], where
    return found


def _data_of(compiler, text):
    """{name: bytes} of the objects that C text defines."""
    with tempfile.TemporaryDirectory(prefix="layout-expert-") as directory:
        path = Path(directory) / "unit.o"
        done = subprocess.run([*compiler, "-w", "-fno-common", "-fno-zero-initialized-in-bss", "-c", "-o", str(path), "-x", "c", "-"],
                              input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise Refused(done.stderr)
        with open(path, "rb") as file:
            elf = ELFFile(file)
            found = {}
            for symbol in elf.get_section_by_name(".symtab").iter_symbols():
                if symbol["st_info"]["type"] == "STT_OBJECT":
                    start = symbol["st_value"]
                    found[symbol.name] = elf.get_section(symbol["st_shndx"]).data()[start:start + symbol["st_size"]]
            return found
