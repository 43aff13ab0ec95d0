"""The kernel's own table of symbols, found in memory, of each version's layout; and that nothing else is taken for one."""
import random
import struct
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kallsyms_tables import LAYOUTS, table_of

from rekall_layout_expert.host import kallsyms
from rekall_layout_expert.host.image import Memory
from rekall_layout_expert.host.kallsyms import find_kallsyms

TEXT = {8: 0xFFFFFFFF9A200000, 4: 0xC1000000}
PLACE = 0x3400000
FORMS = [(version, word, order) for version in LAYOUTS for word in (8, 4) for order in "<>"]


def kernel_symbols(version="6.1", word=8, count=600, per_cpu=False):
    """In the order of their addresses: several at one address, per-CPU variables before them.

    What counts from its own place tells where it is in the memory where it was found.
    """
    text = PLACE - 0x900000 if LAYOUTS[version].addresses == "own" else TEXT[word]
    long_names = LAYOUTS[version].long_lengths
    chance = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
    symbols = [(text, "T", "_text"), (text, "T", "_stext")]
    address = text
    for number in range(count - 3):
        address += chance.choice((0, 16, 16, 64, 4096))
        size = 300 if long_names and number % 97 == 0 else chance.randint(1, 40)
        name = chance.choice(("sys_", "__x64_sys_", "e", "")) + "".join(chance.choices(letters, k=size))
        symbols.append((address, chance.choice("tTdDbBrRwWVA" if not per_cpu else "tTdDbBrRwWV"), name))
    symbols.append((address + 4096, "B", "_end"))
    if per_cpu:
        symbols[:0] = [(0, "A", "__per_cpu_start"), (0, "A", "fixed_percpu_data"), (0x1B000, "A", "cpu_debug_store")]
    return symbols


def memory_of(table, place=PLACE, around=b"\xcc", pieces=1):
    """A memory that has a table, with something before and after it, cut into runs; and the size of each read of it."""
    start, data = place - 0x3000, around * 0x3000 + table + around * 0x5000
    sizes = []

    def read(address, length):
        sizes.append(length)
        at = address - start
        return (bytes(max(-at, 0)) + data[max(at, 0):max(at + length, 0)])[:length].ljust(length, b"\0")

    cuts = [start + len(data) * number // pieces for number in range(pieces + 1)]
    return Memory(read, zip(cuts, cuts[1:])), sizes


def found_in(memory):
    return [list(zip(table.values, table.kinds, table.names)) for table in find_kallsyms(memory)]


@pytest.mark.parametrize("version, word, order", FORMS)
def test_the_table_of_each_version_is_read_as_it_was_written(version, word, order):
    symbols = kernel_symbols(version, word)
    place = PLACE + 0x40  # as the linker happens to put it
    memory, _ = memory_of(table_of(symbols, version, place, word, order), place)
    assert found_in(memory) == [symbols]


@pytest.mark.parametrize("version", ["4.6", "4.20", "6.1", "6.2", "6.5"])
def test_offsets_of_per_cpu_variables_are_none_of_the_kernels_image(version):
    symbols = kernel_symbols(version, per_cpu=True)
    memory, _ = memory_of(table_of(symbols, version, PLACE, per_cpu=True))
    assert found_in(memory) == [symbols]
    table, = find_kallsyms(memory)
    linked = dict(zip(table.names, table.linked_at(0xFFFFFFFF81000000)))
    assert linked["_text"] == 0xFFFFFFFF81000000 and linked["cpu_debug_store"] == 0x1B000
    assert linked["_end"] - linked["_text"] == symbols[-1][0] - TEXT[8]


@pytest.mark.parametrize("count", [256, 257, 511, 512, 513])
def test_the_last_marker_may_be_of_one_symbol_or_of_all(count):
    symbols = kernel_symbols(count=count)
    memory, _ = memory_of(table_of(symbols, "6.1", PLACE))
    assert found_in(memory) == [symbols]


def test_a_table_is_found_across_the_pieces_of_an_image():
    symbols = kernel_symbols()
    memory, _ = memory_of(table_of(symbols, "6.1", PLACE), pieces=50)
    assert found_in(memory) == [symbols]


def test_a_table_at_the_start_of_memory_is_found():
    symbols = kernel_symbols()
    table = table_of(symbols, "6.5", 0)
    assert found_in(Memory(lambda address, length: table[address:address + length].ljust(length, b"\0"),
                           [(0, len(table))])) == [symbols]


@pytest.mark.parametrize("text", [
    pytest.param("0123456789".encode("utf-16-le") * 100, id="text of 16 bits"),
    pytest.param(b"".join(b"%c\0" % code for code in range(33, 127)) * 9, id="a table of characters"),
    pytest.param(struct.pack("<300H", *range(300)) * 9, id="numbers of 16 bits"),
])
def test_digits_elsewhere_are_passed_over(text):
    symbols = kernel_symbols()
    memory, _ = memory_of(text + bytes(-len(text) % 64) + table_of(symbols, "6.1", PLACE + len(text) + -len(text) % 64))
    assert found_in(memory) == [symbols]


def test_little_is_read_at_once_whatever_the_image_says():
    memory, sizes = memory_of(table_of(kernel_symbols(), "6.1", PLACE))
    assert found_in(memory) and max(sizes) <= 8 << 20 < kallsyms._WINDOWS[-1]


@lru_cache(None)
def whole_table(version):
    return table_of(kernel_symbols(version, count=300), version, PLACE)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(LAYOUTS)), st.data())
def test_a_damaged_table_is_none_or_differs_in_what_was_damaged(version, data):
    symbols = kernel_symbols(version, count=300)
    table = bytearray(whole_table(version))
    for _ in range(data.draw(st.integers(1, 3))):
        table[data.draw(st.integers(0, len(table) - 1))] = data.draw(st.integers(0, 255))
    table = table[:data.draw(st.sampled_from([len(table), data.draw(st.integers(0, len(table)))]))]
    memory, _ = memory_of(bytes(table))
    for found in found_in(memory):
        assert len(found) == len(symbols)
        assert [address for address, _, _ in found] == sorted(address for address, _, _ in found)


@pytest.mark.parametrize("around", [b"\0", b"\xcc"])
@pytest.mark.parametrize("what", ["num_syms", "marker", "address", "token_index", "type"])
def test_a_table_that_contradicts_itself_is_none(what, around):
    symbols = kernel_symbols("4.20")
    table = bytearray(table_of(symbols, "4.20", PLACE))
    start = 4 * len(symbols) + 8  # of num_syms, after offsets and relative_base
    if what == "num_syms":
        table[start] ^= 1
    elif what == "marker":
        second = start + 8
        for _ in range(256):
            second += 1 + table[second]
        table[table.index(struct.pack("<II", 0, second - start - 8)) + 4] ^= 1
    elif what == "address":
        table[4 * 400 + 3] = 0x40
    elif what == "token_index":
        table[-3] ^= 1  # of the second last of them
    else:
        table[start + 8 + 1] = ord("0")
    memory, _ = memory_of(bytes(table), around=around)
    assert found_in(memory) == []


def test_a_table_without_text_is_none():
    symbols = [(address, kind, "other" if name == "_text" else name) for address, kind, name in kernel_symbols()]
    memory, _ = memory_of(table_of(symbols, "6.1", PLACE))
    assert found_in(memory) == []
