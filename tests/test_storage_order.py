"""scalar_storage_order: records in the byte order that is not the target's, held against the objects that gcc makes.

gcc's debug information says where such members stand, not in which order they are read. So C text sets one member after
the other to a known value, and the bytes of the objects must hold that value where our vtype says that it is. What no
vtype says, a number of several bytes in the other order, has to be left out, and its bytes must show why.

LAYOUT_EXPERT_SEED=number repeats a run.
"""
import os
import random

import pytest

from dwarf import can_compile, command, compile_records
from randstruct_truth import _data_of
from rekall_layout_expert import layout
from test_targets_against_gcc import BIG_ENDIAN

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
TARGETS = ("x86_64", "i386", "arm64", "s390")
ORDERS = {True: '"big-endian"', False: '"little-endian"'}
ENDS = {True: "big", False: "little"}
TYPES = {"char": 8, "unsigned char": 8, "_Bool": 1, "short": 16, "unsigned short": 16, "int": 32, "unsigned": 32,
         "long long": 64, "unsigned long long": 64}


def reversing(target):
    return '__attribute__((scalar_storage_order(%s)))' % ORDERS[target not in BIG_ENDIAN]


def read(vtype, data, end):
    """The value that a vtype [offset, [type, arguments]] finds in an object's bytes."""
    offset, (name, *arguments) = vtype
    size = 1
    if name == "BitField":
        name = arguments[0]["native_type"]
    for type_, bits in [*TYPES.items(), ("unsigned int", 32), ("signed byte", 8), ("bool", 8)]:
        if type_ == name and type_ != "_Bool":
            size = bits // 8
    number = int.from_bytes(data[offset:offset + size], end)
    if vtype[1][0] == "BitField":
        start, stop = arguments[0]["start_bit"], arguments[0]["end_bit"]
        return number >> start & (1 << stop - start) - 1
    return number


def random_records(generator, target):
    """C text, and [(record, member, width in bits, is it a bit-field?)]."""
    lines, members = [], []
    for number in range(60):
        name, fields = "r%d" % number, []
        for _ in range(generator.randrange(1, 9)):
            member, type_ = "m%d" % len(fields), generator.choice(sorted(TYPES))
            kind = generator.randrange(8)
            if kind == 0:
                fields.append("%s : %d;" % (type_, generator.choice((0, 1))))
            elif kind < 5:
                width = generator.randrange(1, TYPES[type_] + 1)
                fields.append("%s %s : %d;" % (type_, member, width))
                members.append((name, member, width, True))
            else:
                fields.append("%s %s;" % (type_, member))
                members.append((name, member, max(TYPES[type_], 8), False))
        packed = generator.choice(("", "", " __attribute__((packed))", " __attribute__((aligned(8)))"))
        lines.append("%s %s { %s } %s%s;" % (generator.choice(("struct", "struct", "union")), name, " ".join(fields),
                                             reversing(target), packed))
    return "\n".join(lines) + "\n", members


@pytest.mark.parametrize("target", TARGETS)
def test_random_records(target, capsys):
    if not can_compile(target):
        pytest.skip("no gcc here compiles for " + target)
    generator = random.Random(SEED)
    end = ENDS[target in BIG_ENDIAN]
    other = ENDS[target not in BIG_ENDIAN]
    told = left_out = 0
    text, members = random_records(generator, target)
    ours = layout(text, target=target)
    true = compile_records(text, target)
    values = {(record, member): 1 if width == 1 else 2 | 1 << width - 2 for record, member, width, _ in members}
    bools = {(record, member) for record, member, _, _ in members
             if "_Bool %s;" % member in next(line for line in text.split("\n") if " %s {" % record in line)}
    values.update(dict.fromkeys(bools, 1))
    kinds = {line.split()[1]: line.split()[0] for line in text.splitlines()}
    data = _data_of(command(target), text + "".join(
        "%s %s o_%s_%s = { .%s = %d };\n" % (kinds[record], record, record, member, member, value)
        for (record, member), value in values.items()))
    for record, member, width, is_bit_field in members:
        size, vtypes = ours[record]
        assert size == true[record][0]
        found, value = data["o_%s_%s" % (record, member)], values[record, member]
        if member in vtypes:
            assert read(vtypes[member], found, end) == value, (SEED, record, member, text)
            told += 1
            continue
        start = true[record][1][member].bit_offset
        count = (start % 8 + width + 7) // 8
        assert count > 1, (SEED, record, member, text)  # of one byte no order can be wrong
        bits = int.from_bytes(found[start // 8:start // 8 + count], other)
        shift = 8 * count - start % 8 - width if other == "big" else start % 8
        assert bits >> shift == value, (SEED, record, member, text)
        left_out += 1
    with capsys.disabled():
        print("\n%s: %d members stand where vtypes say, %d are left out; LAYOUT_EXPERT_SEED=%d" % (target, told, left_out, SEED))
    assert told > 50 and left_out > 50


TEXT = """
struct reversed { int a; char b; char c[4]; unsigned d : 3, e : 13; struct { int f; } g; struct { int h; }; int *i;
                  _Bool j; enum { E } k; int l[2][2]; float m __attribute__((vector_size(16))); char n; } %s;
struct holds { int a; struct reversed b, *c, d[2]; int e; };
struct native { int a; } %s;
"""


def test_what_a_record_in_the_other_order_leaves_out():
    text = TEXT % (reversing("x86_64"), '__attribute__((__scalar_storage_order__("little-endian")))')
    ours = layout(text)
    true = compile_records(text)
    assert set(ours["reversed"][1]) == {"b", "c", "d", "g", "u1", "h", "j", "n"}
    assert {name: size for name, (size, _) in ours.items() if name in true} == {name: size for name, (size, _) in true.items()}
    for record in ("holds", "native"):
        assert {name: 8 * member[0] for name, member in ours[record][1].items()} == {
            name: member.bit_offset for name, member in true[record][1].items()}
    assert {name: 8 * member[0] for name, member in ours["reversed"][1].items() if name in "bcgjn"} == {
        name: true["reversed"][1][name].bit_offset for name in "bcgjn"}
    assert ours["reversed"][1]["h"][1] == ["int"]  # a record inside has an order of its own


# Text, and for each record whether it is in the other order than x86's: `a` is its first member, an int.
ORDERED = [
    ("#pragma scalar_storage_order big-endian\nstruct s { int a; };\n#pragma scalar_storage_order default\nstruct t { int a; };",
     {"s": True, "t": False}),
    ("#pragma scalar_storage_order big-endian\nstruct s { int a; struct { int b; } c; };\nstruct t { int a; } "
     '__attribute__((scalar_storage_order("little-endian")));', {"s": True, "t": False}),
    ("_Pragma(\"scalar_storage_order big-endian\") struct s { int a; }; struct t { int a; };", {"s": True, "t": True}),
    # It counts as it is at the record's end.
    ("struct s { int a;\n#pragma scalar_storage_order big-endian\n}; struct t { int a;\n#pragma scalar_storage_order default\n};",
     {"s": True, "t": False}),
    ("#pragma scalar_storage_order little-endian\nstruct s { int a; };", {"s": False}),
    ('struct s { int a; } __attribute__((scalar_storage_order("big-endian"), scalar_storage_order("little-endian")));', {"s": False}),
    ('struct s { int a; } __attribute__((scalar_storage_order("little-endian"), scalar_storage_order("big-endian")));', {"s": True}),
    ('struct __attribute__((scalar_storage_order("big-endian"))) s; struct s { int a; };', {"s": False}),
]


@pytest.mark.parametrize("text, reversed_", ORDERED)
def test_order(text, reversed_):
    ours = layout(text)
    assert {name: "a" not in ours[name][1] for name in reversed_} == reversed_
    data = _data_of(command("x86_64"), text + "\n" + "".join("struct %s o_%s = { 1 };\n" % (name, name) for name in reversed_))
    assert {name: data["o_" + name][0] == 0 for name in reversed_} == reversed_


def test_a_typedef_of_another_order():
    """gcc makes another type of it, and where it is the target's own order, the record itself takes that order."""
    text = 'struct s { int a; char b; }; typedef struct s t __attribute__((scalar_storage_order("big-endian")));'
    ours = layout(text + "struct u { char a; t b; t *c; struct s *d; char e; };")
    assert ours["s"] == [8, {"a": [0, ["int"]], "b": [4, ["char"]]}] and "t" not in ours
    assert ours["u"] == [40, {"a": [0, ["char"]], "c": [16, ["Pointer", {"target": "Void"}]],
                              "d": [24, ["Pointer", {"target": "s"}]], "e": [32, ["char"]]}]
    text = 'struct s { int a; } %s; typedef struct s t __attribute__((scalar_storage_order("little-endian")));' % reversing("x86_64")
    assert _data_of(command("x86_64"), text + "struct s o = { 1 };")["o"][0] == 1
    assert layout(text) == {}


def test_who_does_not_know_it_ignores_it():
    text = "struct s { int a; } %s;" % reversing("x86_64")
    assert "a" not in layout(text)["s"][1]
    for compiler in ("gcc 5.4.0", "clang 14.0.6"):
        assert layout(text, compiler=compiler)["s"] == [4, {"a": [0, ["int"]]}]
