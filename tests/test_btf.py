"""The reader of BTF: every kind of type, both byte orders, and bytes that mean harm."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import btf
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.verification.btf import (
    ARRAY, CONST, DATASEC, DECL_TAG, ENUM, ENUM64, FLOAT, FUNC, FUNC_PROTO, FWD, PTR, RESTRICT, STRUCT, TYPE_TAG, TYPEDEF,
    UNION, VAR, VOLATILE, Btf,
)


def layouts(writer, **options):
    return Btf(writer.section(), **options).layouts()


def every_kind(byte_order="<"):
    """One of each, and `thing`, which leads to those that a member can be of."""
    types = btf.Writer(byte_order)
    integer, long = types.integer("int", 4), types.integer("long", 8)
    named = types.record("named", 8, [("x", integer, 0), ("y", integer, 32)])
    alias = types.add(TYPEDEF, "alias_t", named)
    nameless = types.record("", 4, [("a", integer, 0)])
    anonymous = types.record("", 8, [("low", integer, 0), ("wide", long, 0)], UNION)
    types.add(TYPEDEF, "nameless_t", types.record("", 16, [("p", long, 0), ("q", long, 64)]))
    choice, wide_choice = types.add(ENUM, "e", 4, [0, 7], 1), types.add(ENUM64, "e64", 8, [0, 7, 0], 1)
    forward = types.add(FWD, "elsewhere")
    pointer = types.add(PTR, value=types.add(CONST, value=forward))
    tagged = types.add(TYPE_TAG, "rcu", pointer)
    qualified = types.add(VOLATILE, value=types.add(RESTRICT, value=tagged))
    prototype = types.add(FUNC_PROTO, value=integer, words=[0, integer, 0, long], count=2)
    types.add(FUNC, "f", prototype, count=1)    # the count is its linkage
    variable = types.add(VAR, "v", integer, [1])
    types.add(DATASEC, ".data", 4, [variable, 0, 4], 1)
    types.add(DECL_TAG, "tag", variable, [(1 << 32) - 1])
    types.record("thing", 128, [
        ("id", integer, 0), ("flag", integer, 33, 3), ("alias", alias, 64), ("inner", nameless, 128), ("", anonymous, 192),
        ("e", choice, 256), ("e64", wide_choice, 320), ("p", qualified, 384), ("f", types.add(FLOAT, "double", 8), 448),
        ("rows", types.array(types.array(nameless, 3), 2), 512), ("function", types.add(PTR, value=prototype), 704),
    ])
    return types


THING = (128, {
    "id": (0, None, 4), "flag": (33, 3, None), "alias": (64, None, 8), "inner": (128, None, 4), "inner.a": (128, None, 4),
    "low": (192, None, 4), "wide": (192, None, 8), "e": (256, None, 4), "e64": (320, None, 8), "p": (384, None, 8),
    "f": (448, None, 8), "rows": (512, None, 24), "rows[].a": (512, None, 4), "function": (704, None, 8),
})


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_types_of_every_kind(byte_order):
    assert layouts(every_kind(byte_order)) == {
        "thing": [THING], "named": [(8, {"x": (0, None, 4), "y": (32, None, 4)})],
        "nameless_t": [(16, {"p": (0, None, 8), "q": (64, None, 8)})],
    }


def test_only_what_is_asked_for():
    assert set(Btf(every_kind().section()).layouts({"thing", "absent"})) == {"thing"}


def test_pointers_of_32_bits():
    assert layouts(every_kind(), pointer_size=4)["thing"][0][1]["p"] == (384, None, 4)


def test_types_of_one_name_are_told_apart_and_equal_ones_are_one():
    types = btf.Writer()
    integer = types.integer("int", 4)
    for size in (4, 8, 4):
        types.record("private", size, [("x", integer, 0)])
    types.add(TYPEDEF, "private", types.record("", 2, []))     # a tag is not a typedef's name
    assert layouts(types) == {"private": [(4, {"x": (0, None, 4)}), (8, {"x": (0, None, 4)})]}


def test_bit_fields_as_they_were_told_before_5_0():
    types = btf.Writer()
    types.record("old", 4, [("a", types.integer("int", 4, bits=3), 0), ("b", types.integer("int", 4, bits=2, offset=3), 0),
                            ("c", types.integer("int", 4), 32)], flag=False)
    assert layouts(types) == {"old": [(4, {"a": (0, 3, None), "b": (3, 2, None), "c": (32, None, 4)})]}


def test_an_anonymous_member_whose_type_has_a_name():
    types = btf.Writer()
    head = types.record("head", 4, [("refs", types.integer("int", 4), 0)])
    types.record("thing", 8, [("", head, 32)])
    assert layouts(types)["thing"] == [(8, {"refs": (32, None, 4)})]


def cyclic_typedef(types):
    types.record("s", 4, [("x", types.add(TYPEDEF, "t", 1), 0)])


def record_in_itself(types):
    types.record("s", 4, [("", 1, 0)])


def records_that_hold_each_other_twice(types):
    """2 to the power of 60 members."""
    for number in range(1, 61):
        types.record("s%d" % number, 4, [("", number + 1, 0), ("", number + 1, 0)])
    types.record("s", 4, [("x", types.integer("int", 4), 0)])


def array_of_itself(types):
    types.record("s", 4, [("x", types.add(ARRAY, words=[1, 0, 2]), 0)])


def member_without_size(types):
    types.record("s", 4, [("x", types.add(FWD, "f"), 0)])


def member_without_name(types):
    types.record("s", 4, [("", types.integer("int", 4), 0)])


def type_of_another_section(types):
    """As a module's BTF refers to the kernel's."""
    types.record("s", 4, [("x", 100000, 0)])


def kind_of_the_future(types):
    types.add(25, "s")


def type_of_zeros(types):
    types.add(0)


def more_entries_than_there_are(types):
    types.add(STRUCT, "s", 4, count=0xffff)


def no_end_of_variants(types):
    for size in range(5000):
        types.record("s", size, [])


@pytest.mark.parametrize("harm", [
    cyclic_typedef, record_in_itself, records_that_hold_each_other_twice, array_of_itself, member_without_size,
    member_without_name, type_of_another_section, kind_of_the_future, type_of_zeros, more_entries_than_there_are,
    no_end_of_variants], ids=lambda harm: harm.__name__)
def test_harm_is_one_line(harm):
    types = btf.Writer()
    harm(types)
    with pytest.raises(LayoutExpertError, match="damaged") as caught:
        layouts(types)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", [
    b"", b"\x9f", b"\x9f\xeb\x01\x00", bytes(100), b"\x7fELF" + bytes(100), every_kind().section()[:-1],
    every_kind().section()[:200], struct.pack("<HBBIIIII", 0xeb9f, 2, 0, 24, 0, 0, 0, 1) + b"\0",
    struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 0, 0, 0, 0, 1) + b"\0",
    struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, 1 << 31, 0, 1) + b"\0",
    struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, 0, 0, 200) + bytes(200)])
def test_what_is_no_btf_is_told(section):
    with pytest.raises(LayoutExpertError):
        Btf(section).layouts()


def test_an_empty_one_has_no_types():
    assert layouts(btf.Writer()) == {}


SECTION = every_kind().section()


@given(st.lists(st.tuples(st.integers(0, len(SECTION) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(SECTION)))
@example([], len(SECTION))
def test_no_bytes_lead_to_anything_but_layouts_or_one_line(changes, length):
    section = bytearray(SECTION)
    for place, byte in changes:
        section[place] = byte
    try:
        for name, variants in Btf(bytes(section[:length])).layouts().items():
            assert isinstance(name, str) and variants
    except LayoutExpertError as error:
        assert "\n" not in str(error)
