"""vtypes: how C's types look in Rekall's form. {struct: [size, {member: [offset, [type, args]]}]}, all in bytes."""
import pytest

from rekall_layout_expert import layout


def struct(members, target="x86_64", before="", name="s"):
    """The vtypes of `struct s { MEMBERS };`"""
    return layout("%s\nstruct s { %s };" % (before, members), target=target)[name]


def type_of(member, before="", target="x86_64"):
    """The vtype of a member that is called m."""
    return struct(member, target, before)[1]["m"][1]


def array(count, target, args=None):
    return ["Array", {"count": count, "target": target, **({"target_args": args} if args is not None else {})}]


def pointer(target, args=None):
    return ["Pointer", {"target": target, **({"target_args": args} if args is not None else {})}]


def bits(first, end, native):
    return ["BitField", {"start_bit": first, "end_bit": end, "native_type": native}]


@pytest.mark.parametrize("declared, native", [
    ("char", "char"), ("signed char", "signed byte"), ("unsigned char", "unsigned char"), ("short", "short"),
    ("unsigned short int", "unsigned short"), ("int", "int"), ("signed", "int"), ("unsigned", "unsigned int"),
    ("long", "long"), ("long unsigned int", "unsigned long"), ("long long", "long long"),
    ("unsigned long long", "unsigned long long"), ("_Bool", "bool"), ("const volatile int", "int"),
    ("typeof(1ul)", "unsigned long"),
])
def test_native_types_have_rekall_s_names(declared, native):
    assert type_of(declared + " m;") == [native]


@pytest.mark.parametrize("declared, size", [("float", 4), ("double", 8), ("long double", 16), ("__int128", 16)])
def test_what_rekall_has_no_name_for_is_bytes(declared, size):
    assert type_of(declared + " m;") == array(size, "unsigned char")


def test_a_typedef_is_what_it_stands_for():
    assert type_of("u32 m;", "typedef unsigned int __u32; typedef __u32 u32;") == ["unsigned int"]
    assert type_of("row m;", "typedef int row[3];") == array(3, "int")


def test_a_struct_by_value_follows_under_its_tag():
    made = layout("struct inner { int a; }; struct s { struct inner m; };", names=["s"])
    assert made["s"][1]["m"] == [0, ["inner"]] and made["inner"] == [4, {"a": [0, ["int"]]}]


def test_a_struct_behind_a_pointer_does_not_follow():
    made = layout("struct inner { int a; }; struct s { struct inner *m; };", names=["s"])
    assert list(made) == ["s"] and made["s"][1]["m"][1] == pointer("inner")


@pytest.mark.parametrize("declared, expected", [
    ("void *m;", pointer("Void")),
    ("const void *const m;", pointer("Void")),
    ("int *m;", pointer("int")),
    ("char **m;", pointer("Pointer", {"target": "char"})),
    ("struct unknown *m;", pointer("unknown")),
    ("struct s *m;", pointer("s")),
    ("unknown_type *m;", pointer("Void")),
    ("int (*m)(void);", pointer("Void")),
    ("void *(*m)(int, void (*)(int));", pointer("Void")),
    ("void (*(*m)(int))(char);", pointer("Void")),
    ("int (*m)[4];", pointer("Array", {"count": 4, "target": "int"})),
    ("int (*m)[];", pointer("Array", {"count": 0, "target": "int"})),
    ("enum unknown *m;", pointer("unsigned int")),
])
def test_pointers(declared, expected):
    assert struct(declared)[0] == 8 and type_of(declared) == expected


@pytest.mark.parametrize("declared, size, expected", [
    ("int m[3];", 12, array(3, "int")),
    ("int m[2][3];", 24, array(2, "Array", {"count": 3, "target": "int"})),
    ("char m[1][2][3];", 6, array(1, "Array", {"count": 2, "target": "Array", "target_args": {"count": 3, "target": "char"}})),
    ("int m[0];", 0, array(0, "int")),
    ("int a; int m[];", 4, array(0, "int")),
    ("void *m[2];", 16, array(2, "Pointer", {"target": "Void"})),
    ("int (*m[2])(void);", 16, array(2, "Pointer", {"target": "Void"})),
    ("char m[sizeof(long) * 2];", 16, array(16, "char")),
])
def test_arrays(declared, size, expected):
    assert struct(declared)[0] == size and type_of(declared) == expected


def test_an_array_of_structs():
    assert type_of("struct e m[2];", "struct e { int a; };") == array(2, "e")


# Unions, and members without a name.

def test_a_union_is_a_struct_whose_members_all_start_at_0():
    made = layout("union s { int a; char b[6]; long long c; };")["s"]
    assert made[0] == 8 and {name: offset for name, (offset, _) in made[1].items()} == {"a": 0, "b": 0, "c": 0}


def test_anonymous_members_are_u1_u2_and_their_members_are_reached_by_name_too():
    size, members = struct("int a; union { int b; char c; }; struct { int d; int e; };")
    assert size == 16
    assert {name: offset for name, (offset, _) in members.items()} \
        == {"a": 0, "u1": 4, "u2": 8, "b": 4, "c": 4, "d": 8, "e": 12}


def test_anonymous_members_inside_anonymous_members():
    made = layout("struct s { long a; struct { int b; union { int c; struct { short d; short e; }; }; }; };")
    members = made["s"][1]
    assert {name: offset for name, (offset, _) in members.items()} == {"a": 0, "u1": 8, "b": 8, "c": 12, "d": 12, "e": 14}
    # and step by step, as Rekall's overlays read __sk_common.u3.u1.skc_dport
    first = made[members["u1"][1][0]]
    assert first[1]["u1"][0] == 4
    second = made[first[1]["u1"][1][0]]
    assert second[1]["u1"][0] == 0
    assert made[second[1]["u1"][1][0]][1]["e"][0] == 2


def test_a_member_that_is_called_u1_keeps_its_name():
    members = struct("int u1; union { int a; }; union { int b; };")[1]
    assert members["u1"] == [0, ["int"]]
    assert members["a"][0] == members["u2"][0] == 4 and members["b"][0] == members["u3"][0] == 8


def test_a_hoisted_bit_field_keeps_its_bits():
    members = struct("int x; struct { unsigned a : 3, b : 5; };")[1]
    assert members["b"] == [4, bits(3, 8, "unsigned int")]


def test_a_record_without_a_tag_has_a_name_that_says_where_it_stands():
    made = layout("struct s { struct { int a; } one; struct { int b; } two[2]; struct { int c; } *three; };")
    names = {member: type_[1]["target"] if len(type_) > 1 else type_[0] for member, (_, type_) in made["s"][1].items()}
    assert names == {"one": "__unnamed_s_one", "two": "__unnamed_s_two", "three": "__unnamed_s_three"}
    assert made["__unnamed_s_one"][1] == {"a": [0, ["int"]]} and made["__unnamed_s_three"][1] == {"c": [0, ["int"]]}


def test_a_record_without_a_tag_goes_by_its_typedef():
    made = layout("typedef struct { int counter; } atomic_t; struct s { atomic_t m; atomic_t *p; };")
    assert made["s"][1]["m"] == [0, ["atomic_t"]] and made["s"][1]["p"][1] == pointer("atomic_t")
    assert made["atomic_t"] == [4, {"counter": [0, ["int"]]}]
    assert layout("typedef struct { int a; } only;", names=["only"]) == {"only": [4, {"a": [0, ["int"]]}]}


def test_two_records_never_share_a_name():
    made = layout("struct t { long b; }; typedef struct { int a; } t; struct s { struct t one; t two; };")
    one, two = (made["s"][1][member][1][0] for member in ("one", "two"))
    assert one == "t" and two != "t" and made["t"][0] == 8 and made[two][0] == 4


# Bit-fields: the bytes that are read lie inside the record.

@pytest.mark.parametrize("members, expected", [
    ("unsigned m : 3;", [0, bits(0, 3, "unsigned int")]),
    ("int a : 3; int m : 5;", [0, bits(3, 8, "int")]),
    ("unsigned a : 31; unsigned m : 2;", [4, bits(0, 2, "unsigned int")]),
    ("unsigned long a : 40; unsigned long m : 20;", [0, bits(40, 60, "unsigned long long")]),
    ("_Bool a : 1; _Bool m : 1;", [0, bits(1, 2, "unsigned char")]),
    ("char x[5]; unsigned m : 8;", [4, bits(8, 16, "unsigned int")]),
    ("unsigned a : 3; unsigned : 0; unsigned m : 1;", [4, bits(0, 1, "unsigned int")]),
    ("unsigned a : 3; unsigned : 5; unsigned m : 4;", [0, bits(8, 12, "unsigned int")]),
    ("enum { one = 1 } m : 2;", [0, bits(0, 2, "unsigned int")]),
    ("enum { less = -1 } m : 2;", [0, bits(0, 2, "int")]),
])
def test_bit_fields(members, expected):
    assert struct(members)[1]["m"] == expected


@pytest.mark.parametrize("declaration, size, expected", [
    ("struct s { char a; unsigned m : 4; } __attribute__((packed));", 2, [1, bits(0, 4, "unsigned char")]),
    ("struct s { unsigned long a : 33, m : 7; } __attribute__((packed));", 5, [4, bits(1, 8, "unsigned char")]),
    ("struct s { char a[2]; unsigned m : 9; } __attribute__((packed));", 4, [0, bits(16, 25, "unsigned int")]),
])
def test_a_bit_field_near_the_end_is_read_through_a_unit_that_ends_before_the_record_does(declaration, size, expected):
    made = layout(declaration)["s"]
    assert made[0] == size
    offset, (kind, arguments) = made[1]["m"]
    width = {"unsigned char": 1, "unsigned short": 2, "unsigned int": 4, "unsigned long long": 8}[arguments["native_type"]]
    assert offset + width <= size
    assert [offset, [kind, arguments]] == expected


def test_bit_fields_of_different_types_keep_their_absolute_place():
    made = struct("char a; short b : 4; int c : 9; long d : 17;")[1]
    absolute = {name: 8 * offset + type_[1]["start_bit"] for name, (offset, type_) in made.items() if type_[0] == "BitField"}
    widths = {name: type_[1]["end_bit"] - type_[1]["start_bit"] for name, (_, type_) in made.items() if type_[0] == "BitField"}
    assert absolute == {"b": 8, "c": 12, "d": 21} and widths == {"b": 4, "c": 9, "d": 17}


# Enumerations.

@pytest.mark.parametrize("declaration, size, target", [
    ("enum e { a, b };", 4, "unsigned int"),
    ("enum e { a = -1, b };", 4, "int"),
    ("enum e { a = 0xffffffff };", 4, "unsigned int"),
    ("enum e { a = 1ul << 32 };", 8, "unsigned long long"),
    ("enum e { a = -1, b = 0xffffffff };", 8, "long long"),
    ("enum e { a = 1 << 31 };", 4, "int"),  # the only value is the least one
    ("enum e { a = 1 } __attribute__((packed));", 1, "unsigned char"),
    ("enum e { a = -129 } __attribute__((packed));", 2, "short"),
])
def test_enumerations(declaration, size, target):
    made = struct("enum e m;", before=declaration)
    assert made == [size, {"m": [0, ["Enumeration", {"target": target, "enum_name": "e"}]]}]


def test_an_enumeration_without_a_tag_has_a_name_that_says_where_it_stands():
    assert type_of("enum { a } m;") == ["Enumeration", {"target": "unsigned int", "enum_name": "__unnamed_s_m"}]
    assert type_of("e_t m;", "typedef enum { a } e_t;")[1]["enum_name"] == "e_t"


# Where nothing is certain, nothing is said.

@pytest.mark.parametrize("members", [
    "struct unknown m;", "unknown_type m;", "char m[UNKNOWN];", "int a : UNKNOWN;", "char m[sizeof(struct unknown)];",
    "struct s m;", "char m[-1];", "int m : 33;", "float m : 3;", "int m(void);", "enum { a = UNKNOWN } m;",
    "char m __attribute__((aligned(3)));", "char m __attribute__((aligned(UNKNOWN)));", "struct { char m[UNKNOWN]; } n;",
    "typeof(unknown) m;", "enum unknown m;", "__auto_type m;", "int m : 0;",
])
def test_a_struct_that_cannot_be_laid_out_is_absent_with_all_that_embed_it(members):
    made = layout("struct s { int before; %s }; struct outer { struct s inner; }; struct other { struct s *inner; int a; };"
                  % members)
    assert "s" not in made and "outer" not in made
    assert made["other"] == [16, {"inner": [0, pointer("s")], "a": [8, ["int"]]}]


def test_an_empty_struct_has_no_size():
    assert layout("struct s { }; struct t { int a; struct s b; int c; };")["t"] \
        == [8, {"a": [0, ["int"]], "b": [4, ["s"]], "c": [4, ["int"]]}]


def test_only_the_names_that_are_asked_for_and_what_they_embed():
    text = "struct a { int x; }; struct b { struct a y; }; struct c { struct b *z; };"
    assert sorted(layout(text)) == ["a", "b", "c"]
    assert sorted(layout(text, names=["b"])) == ["a", "b"]
    assert sorted(layout(text, names=["c"])) == ["c"]
    assert layout(text, names=["absent"]) == {} and layout("", names=None) == {}


def test_where_long_has_32_bits():
    assert struct("long a; void *b; long long c;", "i386") \
        == [16, {"a": [0, ["long"]], "b": [4, pointer("Void")], "c": [8, ["long long"]]}]
    assert struct("int a; long long c;", "i386")[1]["c"][0] == 4
