r"""The kernel's own table of symbols, as it lies in a memory image: what /proc/kallsyms prints.

scripts/kallsyms.c writes it, when the kernel is built, into its read-only data, which is in one piece in physical memory: as
arrays, one after the other. Nothing that is known leads to them, so they are found by what they are:

  token_table   256 strings, each ended by a zero. A character that occurs in names stands for itself: 48 to 57 are "0" to "9".
  token_index   16 bits for each of these strings: where it begins.
  names         of each symbol the length, then a byte for each of its tokens; its first character is the symbol's type.
  markers       of every 256th symbol where it begins in names.
  num_syms      how many there are.
  seqs          of the symbols in the order of their names, for searches: three bytes each, their numbers.

Addresses are stored in one of three ways. The arrays in their order, each aligned to the size of a long, since 7.2 to 4 bytes:

  until 4.5     addresses             num_syms names markers      token_table token_index
  4.6           offsets relative_base num_syms names markers      token_table token_index
  6.2           offsets relative_base num_syms names markers seqs token_table token_index
  6.5                                 num_syms names markers      token_table token_index offsets relative_base seqs
  7.2                                 num_syms names markers      token_table token_index offsets seqs

num_syms and markers are longs until 4.19. Since 6.1 a length from 128 on takes two bytes. An offset counts from relative_base;
where per-CPU variables are at addresses from 0 on (x86_64 with SMP, until 6.14), theirs are positive, and the others negative:
relative_base - 1 - offset. In 7.2 each offset counts from its own place. relative_base and addresses are as KASLR moved them.

All that is found is held against the rest: names against num_syms and every marker, what lies between the arrays against
their sizes, addresses against their order. Source: scripts/kallsyms.c and kernel/kallsyms.c of these versions.
"""
from __future__ import annotations

import struct
import sys
from array import array
from typing import Callable, FrozenSet, Iterator, List, NamedTuple, Optional, Sequence

from rekall_layout_expert.host.image import Memory, occurrences

_TOKENS, _FIRST_DIGIT = 256, 48
_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
# token_index is of 16 bits.
_LARGEST_TOKEN_TABLE = 1 << 16
_SPACING = 256
# allyesconfig's kernel has half a million symbols.
_FEWEST, _MOST = 256, 1 << 21
# Between num_syms and the table of tokens, in most kernels and in the largest.
_WINDOWS = (4 << 20, 48 << 20)
_KINDS = frozenset(b"ABCDGINPRSTUVWabcdginprstuvw?")
_FIRST_SYMBOL = "_text"


class KallsymsTable(NamedTuple):
    """place: the address at which its table of tokens was found. values, kinds, names: of the symbols, in the kernel's order.

    values: those of /proc/kallsyms. As 7.2 stores no address, its are such that the table's place is its address.
    """

    place: int
    values: List[int]
    kinds: List[str]
    names: List[str]

    def linked_at(self, text: int) -> List[int]:
        """The values, if _text were at that address. What lies before it is no address, but a per-CPU variable's offset."""
        start = self.values[self.names.index(_FIRST_SYMBOL)]
        return [value - start + text if value >= start else value for value in self.values]


class _Tokens(NamedTuple):
    """start: of token_table; end: of token_index. strings: the tokens. order: of bytes, as struct has it."""

    start: int
    end: int
    strings: List[bytes]
    order: str


class _Names(NamedTuple):
    """start: of num_syms. word: the size of a long. symbols: each one's bytes, a byte a token."""

    start: int
    word: int
    symbols: List[bytes]


def find_kallsyms(memory: Memory, progress: Callable[[int], None] = lambda place: None) -> Iterator[KallsymsTable]:
    """The tables in a memory, in the order of their addresses. progress: is told where the search is."""
    for place in occurrences(memory, _DIGITS, progress):
        tokens = _tokens_around(memory, place)
        names = tokens and _names_before(memory, tokens)
        values = names and _values(memory, tokens, names)
        if values:
            table = _table(tokens, names, values)
            if _FIRST_SYMBOL in table.names:
                yield table


def _table(tokens: _Tokens, names: _Names, values: List[int]) -> KallsymsTable:
    strings = tokens.strings
    text = b"\n".join(b"".join(map(strings.__getitem__, symbol)) for symbol in names.symbols).decode("utf-8", "replace")
    symbols = text.split("\n")
    return KallsymsTable(tokens.start, values, [symbol[0] for symbol in symbols], [symbol[1:] for symbol in symbols])


def _tokens_around(memory: Memory, digits: int) -> Optional[_Tokens]:
    """The tokens among which are these digits; None if they are no token table's."""
    strings = memory.read(digits, _LARGEST_TOKEN_TABLE).split(b"\0", _TOKENS - _FIRST_DIGIT)
    if len(strings) <= _TOKENS - _FIRST_DIGIT:
        return None
    lengths = [len(string) + 1 for string in strings[:-1]]
    end = digits + sum(lengths)
    for alignment in (4, 8):
        index = _aligned(end, alignment)
        data = memory.read(index, 2 * _TOKENS)
        for order in "<>":
            starts = struct.unpack(f"{order}{_TOKENS}H", data)
            if starts[0] or [later - start for start, later in zip(starts[_FIRST_DIGIT:], starts[_FIRST_DIGIT + 1:])] != lengths[:-1]:
                continue
            start = digits - starts[_FIRST_DIGIT]
            table = memory.read(start, end - start)
            tokens = [table[at:later - 1] for at, later in zip(starts, (*starts[1:], len(table)))]
            if start >= 0 and table == b"".join(token + b"\0" for token in tokens) and not any(b"\0" in token for token in tokens):
                return _Tokens(start, index + len(data), tokens, order)
    return None


def _names_before(memory: Memory, tokens: _Tokens) -> Optional[_Names]:
    """The names that end, with their markers, at a token table."""
    heads = frozenset(number for number, token in enumerate(tokens.strings) if token[:1] and token[0] in _KINDS)
    for window in _WINDOWS:
        start = max(tokens.start - window, 0)
        data = memory.read(start, tokens.start - start)
        # Only the arrays' distances from each other are known, and that each lies at a multiple of four.
        skipped = -start % 4
        numbers = array("I", data[skipped:skipped + (len(data) - skipped) // 4 * 4])
        if (tokens.order == "<") != (sys.byteorder == "little"):
            numbers.byteswap()
        for at, count in enumerate(numbers):
            if _FEWEST <= count <= _MOST:
                for gap in (4, 8):
                    names = _names_at(data, start, skipped + 4 * at, gap, count, heads, tokens.order)
                    if names:
                        return names
    return None


def _names_at(data: bytes, base: int, place: int, gap: int, count: int, heads: FrozenSet[int], order: str) -> Optional[_Names]:
    """The names that follow num_syms, at that place in data, after so many bytes, if they are as many and all fits."""
    names = place + gap
    for has_long_lengths in (True, False):
        starts = _starts(data, names, min(count, _SPACING), heads, has_long_lengths)
        if not starts:
            continue
        starts = _starts(data, names, count, heads, has_long_lengths)
        if not starts:
            continue
        expected = [start - names for start in starts[:count:_SPACING]]
        for size, code in ((4, "I"), (8, "Q")):
            for alignment in (4, 8):
                markers = _aligned(base + starts[-1], alignment) - base
                end = markers + size * len(expected)
                # Then comes, with some padding, the table of tokens, or before it three bytes for each symbol.
                if not (0 <= len(data) - end < 8 or 0 <= len(data) - _aligned(end, 4) - 3 * count < 12):
                    continue
                if list(struct.unpack_from(f"{order}{len(expected)}{code}", data, markers)) == expected:
                    word = 8 if 8 in (gap, size) else 4
                    spans = zip(starts, starts[1:])
                    return _Names((base + place) // word * word, word, [
                        data[start + (2 if has_long_lengths and data[start] > 127 else 1):end] for start, end in spans])
    return None


def _starts(data: bytes, at: int, count: int, heads: FrozenSet[int], has_long_lengths: bool) -> Optional[List[int]]:
    """Where each of so many names begins, and where the last ends; None if one is no name."""
    starts = []
    try:
        for _ in range(count):
            starts.append(at)
            length = data[at]
            at += 1
            if length > 127 and has_long_lengths:
                length = length & 127 | data[at] << 7
                at += 1
            if not length or data[at] not in heads:
                return None
            at += length
    except IndexError:
        return None
    return starts + [at] if at <= len(data) else None


def _values(memory: Memory, tokens: _Tokens, names: _Names) -> Optional[List[int]]:
    """The symbols' addresses, from what of the arrays' forms is in order; None if none is."""
    count, word = len(names.symbols), names.word

    def numbers(place: int, code: str, count: int = count) -> Sequence[int]:
        kind = f"{tokens.order}{count}{code}"
        return struct.unpack(kind, memory.read(place, struct.calcsize(kind)))

    code = "Q" if word == 8 else "I"
    size_of_offsets = _aligned(4 * count, word)
    for offsets, relative_base in ((names.start - word - size_of_offsets, names.start - word),
                                   (tokens.end, tokens.end + size_of_offsets)):
        if offsets < 0:
            continue
        values = _relative(numbers(offsets, "i"), *numbers(relative_base, code, 1))
        if values:
            return values
    if names.start >= word * count:
        addresses = numbers(names.start - word * count, code)
        if _ascending(addresses) and addresses[-1] >> 8 * word - 2:  # in the upper half, or the third quarter
            return list(addresses)
    values = [tokens.end + 4 * number + offset for number, offset in enumerate(numbers(tokens.end, "i"))]
    # With no base to hold them against, what follows must be the numbers of all symbols.
    seqs = memory.read(tokens.end + 4 * count, 3 * count)
    seen = {high << 16 | middle << 8 | low for high, middle, low in zip(seqs[::3], seqs[1::3], seqs[2::3])}
    return values if values[0] >= 0 and _ascending(values) and seen == set(range(count)) else None


def _relative(offsets: Sequence[int], base: int) -> Optional[List[int]]:
    """Addresses from their offsets, if these are in order and one of them is base itself."""
    if offsets[0] == 0 and min(offsets) >= 0:
        return [base + offset for offset in offsets] if _ascending(offsets) else None
    if -1 not in offsets:
        return None
    values = [offset if offset >= 0 else base - 1 - offset for offset in offsets]
    return values if _ascending(values) else None


def _ascending(numbers: Sequence[int]) -> bool:
    return all(map(int.__le__, numbers, numbers[1:])) and numbers[0] < numbers[-1]


def _aligned(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment
