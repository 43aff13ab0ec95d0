"""What a struct and its members are said to come from: file, line, conditions, macros."""
import re

import header_trees
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall_layout_expert import LayoutExpertError, build_pre_ast, make_profile
from rekall_layout_expert.explain.explanation import explain
from rekall_layout_expert.explain.from_btf import explain_btf
from rekall_layout_expert.explain.layout_only import UNKNOWN
from rekall_layout_expert.explain.stored import explain_profile
from rekall_layout_expert.explain.tracing import TracedKernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.kernel import Kernel
from test_btf import every_kind
from test_private_types import write_tree

CONFIG = header_trees.CONFIG  # has CONFIG_SMP=y, CONFIG_NR_CPUS=64, CONFIG_HZ=250, and not CONFIG_AUDIT


@pytest.fixture
def ask(tmp_path):
    """Explains a name in a text: the lines."""

    def answer(text, name, config=CONFIG, **headers):
        paths = {"include/linux/%s.h" % header: content for header, content in headers.items()}
        tree = header_trees.package(tmp_path / "tree", paths)
        (tmp_path / "root.c").write_text(text)
        return explain(build_pre_ast(tree, root=tmp_path / "root.c"), KernelConfig.parse(config, "config"), name)

    return answer


def origins(lines):
    """{member or }: what is told behind it}."""
    found = {}
    for line in lines:
        match = re.match(r"\t+(?:.*?\W)?(\w+|})(?:\[\d*\])*(?::\d+)?;\s*/\*.*?\*/  // (.*)", line)
        if match:
            found[match.group(1)] = match.group(2)
    return found


def about(lines):
    """{"offset": [...], "conditions": [...], ...} of one member."""
    found = {}
    for line in lines:
        match = re.match(r"  (\w[\w ]{10}|\s{11}) (.*)", line)
        if match:
            what = match.group(1).strip() or what
            found.setdefault(what, []).append(match.group(2))
    return found


def problem(ask, *arguments, **options):
    with pytest.raises(LayoutExpertError) as caught:
        ask(*arguments, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


# Where a member is written.

def test_a_member_is_told_with_file_and_line(ask):
    text = "#include <linux/a.h>\n"
    assert origins(ask(text, "s", a="\n/* two\nlines */\nstruct s {\n\tint a,\n\t    b;\n\n\tchar c[2]; };\n")) == {
        "a": "include/linux/a.h:5", "b": "include/linux/a.h:6", "c": "include/linux/a.h:8"}


def test_a_struct_is_shown_as_pahole_shows_it(ask):
    text = ("struct s {\n\tchar c;\n\tlong l : 3;\n\tlong m : 5;\n\tunsigned int *p[4];\n\tvoid (*f)(int, char *);\n"
            "\tunion {\n\t\tint i;\n\t\tconst char *t;\n\t};\n\tshort tail;\n};\n")
    assert ask(text, "s") == [
        "struct s {  // <root>:1",
        "\tchar                       c;                    /*     0     1 */  // <root>:2",
        "\tlong int                   l:3;                  /*     0: 8  8 */  // <root>:3",
        "\tlong int                   m:5;                  /*     0:11  8 */  // <root>:4",
        "",
        "\t/* XXX 48 bits hole, try to pack */",
        "",
        "\tunsigned int *             p[4];                 /*     8    32 */  // <root>:5",
        "\tvoid                       (*f)(int, char *);    /*    40     8 */  // <root>:6",
        "\tunion {",
        "\t\tint                i;                    /*    48     4 */  // <root>:8",
        "\t\tconst char *       t;                    /*    48     8 */  // <root>:9",
        "\t};                                               /*    48     8 */  // <root>:7",
        "\tshort int                  tail;                 /*    56     2 */  // <root>:11",
        "",
        "\t/* size: 64, cachelines: 1, members: 7 */",
        "\t/* sum members: 51 */",
        "\t/* sum bitfield members: 8 bits, bit holes: 1, sum bit holes: 48 bits */",
        "\t/* padding: 6 */",
        "};",
    ]


# Conditions.

def test_conditions_are_those_of_the_branch_that_was_taken(ask):
    text = """struct s {
#ifdef CONFIG_SMP
    int smp;
#else
    int up;
#endif
#ifndef CONFIG_AUDIT
    int quiet;
#if CONFIG_NR_CPUS > 32 && defined(CONFIG_SMP)
    int many;
#endif
#endif
    int always;
};
"""
    assert origins(ask(text, "s")) == {
        "smp": "<root>:3  CONFIG_SMP", "quiet": "<root>:8  !CONFIG_AUDIT",
        "many": "<root>:10  !CONFIG_AUDIT && (CONFIG_NR_CPUS > 32 && defined(CONFIG_SMP))", "always": "<root>:13"}


def test_what_was_tried_before_a_branch_is_a_condition_too(ask):
    text = """struct s {
#if CONFIG_HZ == 100
    int hundred;
#elif CONFIG_HZ == 250 || CONFIG_HZ == 300
    int some;
#else
    int thousand;
#endif
#if defined CONFIG_AUDIT
    long audit;
#elif !defined(CONFIG_SMP)
    long up;
#else
    long neither;
#endif
};
"""
    assert origins(ask(text, "s")) == {
        "some": "<root>:5  !(CONFIG_HZ == 100) && (CONFIG_HZ == 250 || CONFIG_HZ == 300)",
        "neither": "<root>:14  !CONFIG_AUDIT && CONFIG_SMP"}
    assert origins(ask(text, "s", CONFIG.replace("HZ=250", "HZ=1000")))["thousand"] \
        == "<root>:7  !(CONFIG_HZ == 100) && !(CONFIG_HZ == 250 || CONFIG_HZ == 300)"


def test_a_lone_condition_stands_without_parentheses(ask):
    text = "struct s {\n#if defined(CONFIG_A) || \\\n    defined(CONFIG_SMP)\n    int a;\n#endif\n};\n"
    assert origins(ask(text, "s")) == {"a": "<root>:4  defined(CONFIG_A) || defined(CONFIG_SMP)"}


def test_include_guards_are_no_conditions(ask):
    text = "#include <linux/a.h>\n"
    header = "#ifndef A_H\n#define A_H\nstruct s { int a;\n#ifndef B\nint b;\n#endif\n};\n#endif\n"
    assert origins(ask(text, "s", a=header)) == {"a": "include/linux/a.h:3", "b": "include/linux/a.h:5  !defined(B)"}


def test_conditions_around_the_include_of_a_header_are_told_with_the_member(ask):
    text = "#ifdef CONFIG_SMP\n#include <linux/a.h>\n#endif\n"
    assert about(ask(text, "s.a", a="struct s {\n int a; };\n"))["conditions"] \
        == ["around the #include in <root>: CONFIG_SMP  [CONFIG_SMP=y]"]


def test_each_condition_is_told_with_its_values(ask):
    text = ("#define LIMIT 8\nstruct s {\n#ifdef CONFIG_SMP\n#if CONFIG_NR_CPUS > LIMIT\n#if !defined(OTHER)\n#ifndef CONFIG_AUDIT\n"
            "int a;\n#endif\n#endif\n#endif\n#endif\nint b; };\n")
    assert about(ask(text, "s.a"))["conditions"] == [
        "CONFIG_SMP  [CONFIG_SMP=y]", "CONFIG_NR_CPUS > LIMIT  [CONFIG_NR_CPUS=64, LIMIT is 8 (<root>)]",
        "!defined(OTHER)  [OTHER is not defined]", "!CONFIG_AUDIT  [CONFIG_AUDIT is not set]"]
    assert about(ask(text, "s.b"))["conditions"] == ["none: it is there with every config"]


# Macros.

GROUP = "#define struct_group(NAME, MEMBERS...) union { struct { MEMBERS }; struct { MEMBERS } NAME; }\n"


def test_conditions_inside_a_macro_s_arguments_as_in_sk_buff(ask):
    text = ("#include <linux/a.h>\nstruct s {\n\tstruct_group(headers,\n\tint a;\n#ifdef CONFIG_SMP\n\tint b;\n#endif\n"
            "#ifdef CONFIG_AUDIT\n\tint c;\n#else\n\tchar d[CONFIG_NR_CPUS];\n#endif\n\t);\n};\n")
    told = origins(ask(text, "s", a=GROUP))
    assert told == {"a": "<root>:4", "b": "<root>:6  CONFIG_SMP", "d": "<root>:11  !CONFIG_AUDIT", "headers": "<root>:3",
                    "}": "<root>:3  macro struct_group (include/linux/a.h)"}


def test_a_member_that_a_macro_makes_is_told_with_the_macro_that_stands_in_the_text(ask):
    text = ("#include <linux/a.h>\nstruct s {\n\tDECLARE_BITMAP(bits, 70);\n#ifdef CONFIG_SMP\n\tCOMMON\n#endif\n\tint last;\n};\n")
    header = "#define LONGS(n) (((n) + 63) / 64)\n#define DECLARE_BITMAP(name, n) unsigned long name[LONGS(n)]\n#define COMMON FIELDS(x)\n#define FIELDS(n) int n##_one; int n##_two;\n"
    lines = ask(text, "s", a=header)
    assert origins(lines) == {
        "bits": "<root>:3", "x_one": "<root>:5  CONFIG_SMP  macro COMMON (include/linux/a.h)",
        "x_two": "<root>:5  CONFIG_SMP  macro COMMON (include/linux/a.h)", "last": "<root>:7"}
    assert any("bits[2];" in line for line in lines)
    assert about(ask(text, "s.bits", a=header))["macros"] == [
        "DECLARE_BITMAP(name, n)  unsigned long name[LONGS(n)]  (include/linux/a.h)",
        "LONGS(n)  (((n) + 63) / 64)  (include/linux/a.h)"]
    assert [macro.split()[0] for macro in about(ask(text, "s.x_two", a=header))["macros"]] == ["COMMON", "FIELDS(n)"]


def test_a_macro_is_the_one_that_stood_there(ask):
    text = "#define N 2\nstruct s { char a[N]; };\n#undef N\n#define N 4\nstruct t { char a[N]; };\n"
    assert about(ask(text, "s.a"))["macros"] == ["N  2  (<root>)"]
    assert about(ask(text, "t.a"))["macros"] == ["N  4  (<root>)"]


# Everything about a member.

def test_everything_about_a_member(ask):
    text = ("typedef int number;\ntypedef number alias;\nstruct inner { char c;\n union { alias a[2]; long l; }; };\n"
            "struct outer {\n char c;\n struct inner i;\n};\n")
    lines = ask(text, "outer.i.a")
    assert lines[:3] == ["outer.i.a", "", "\talias a[2];"]
    assert about(lines) == {
        "offset": ["16 bytes (bit 128)"], "size": ["8 bytes"], "alignment": ["4 bytes"], "type": ["alias[2]"],
        "path": ["i at 8 -> (anonymous union) at 16 -> a at 16"], "written at": ["<root>:4"],
        "conditions": ["none: it is there with every config"]}
    assert about(ask(text + "struct n { alias a; };\n", "n.a"))["type"] == ["alias -> number -> int"]


def test_a_bit_field(ask):
    told = about(ask("struct s { unsigned a : 3, b : 9; };\n", "s.b"))
    assert (told["offset"], told["size"]) == (["3 bits (bit 3)"], ["1 byte and 1 bit, in a unit of 4 bytes at offset 0"])


def test_packing_and_attributes_are_told(ask):
    text = "#pragma pack(2)\nstruct s { char c; int i __attribute__((aligned(4))); } __attribute__((aligned(8)));\n"
    assert about(ask(text, "s.i"))["attributes"] == [
        "__attribute__((__aligned__(4)))", "__attribute__((__aligned__(8))) of the whole struct", "#pragma pack(2)"]
    assert ask(text, "s")[-2:] == ["// #pragma pack(2) was in force", "// __attribute__((__aligned__(8)))"]
    assert ask("struct p { char c; int i; } __attribute__((packed));\n", "p")[-1] == "} __attribute__((__packed__));"


@pytest.mark.parametrize("name", ["s", "struct s", "s_t", " s "])
def test_names_that_mean_a_struct(ask, name):
    assert ask("typedef struct s { int a; } s_t;\n", name)[0].startswith("struct s {")


def test_a_struct_without_a_tag_goes_by_its_typedef(ask):
    assert ask("typedef struct { int a; } s_t;\n", "s_t")[0] == "struct s_t {  // <root>:1"


# What there is no answer for.

TEXT = ("#ifdef CONFIG_AUDIT\nstruct absent { int a; };\n#endif\nstruct s {\n int there;\n#if defined(CONFIG_AUDIT) && CONFIG_HZ > 1\n int audit;\n#endif\n};\n"
        "struct other {\n#ifdef CONFIG_AUDIT\n int elsewhere;\n#endif\n int *pointer;\n};\nenum colour { RED };\nstruct forward;\n"
        "struct broken { int a b; };\nstruct unknown { struct forward f; };\n#define old there\n#define ancient other\n"
        "struct user { int old, ancient; };\n")  # a macro that nothing calls is in no Pre-AST


@pytest.mark.parametrize("name, message", [
    ("task_strutc", "there is no struct task_strutc: task_strutc is not defined in these headers; no name is close to it"),
    ("othr", "there is no struct othr: .*; close to it: other"),
    ("s.ther", "s has no member ther; close to it: there"),
    ("s.audit", r"s has no member audit with this config: <root>:7 has it under defined\(CONFIG_AUDIT\) && CONFIG_HZ > 1"
                r"  ?\[CONFIG_AUDIT is not set, CONFIG_HZ=250\]"),
    ("s.elsewhere", "s has no member elsewhere; no name is close to it"),
    ("absent", r"there is no struct absent with this config: <root>:2 has it under CONFIG_AUDIT  ?\[CONFIG_AUDIT is not set\]"),
    ("forward", "there is no struct forward: .*is not defined in these headers"),
    ("broken", "broken is left out, as it cannot be known for certain: .*<root>:18"),
    ("unknown", "struct unknown is left out, .*: f: struct forward is not defined in these headers; it is defined at <root>:19"),
    ("colour", "colour is no struct and no union, but enum colour"),
    ("other.pointer.x", r"other.pointer is of type int \* and has no members"),
    ("s.old", r"s has no member old; it is a macro \(<root>\): ask for s.there"),
    ("ancient", r"there is no struct ancient: .*; it is a macro \(<root>\): ask for other"),
    ("s..a", "names no struct and no member"), ("", "names no struct and no member"), ("a b", "names no struct"),
])
def test_a_question_without_an_answer_is_answered_in_one_line(ask, name, message):
    assert re.search(message, problem(ask, TEXT, name))


def test_a_struct_of_a_header_that_is_not_included(ask):
    text = "#ifdef CONFIG_AUDIT\n#include <linux/a.h>\n#endif\nstruct s { int a; };\n"
    assert problem(ask, text, "far", a="struct far { int a; };\n") \
        == "there is no struct far with this config: include/linux/a.h:1, a header that is not included"


def test_a_struct_that_is_shuffled_is_left_out_with_the_reason(ask):
    text = "struct s { int a; long b; } __attribute__((randomize_layout));\n"
    assert re.search("left out.*CONFIG_RANDSTRUCT.*<root>:1", problem(ask, text, "s", CONFIG + "CONFIG_RANDSTRUCT_FULL=y\nCONFIG_RANDSTRUCT=y\n"))


def test_what_is_shuffled_is_shown_where_the_seed_is_known(tmp_path):
    (tmp_path / "root.c").write_text("struct s { int a; long b; char c; short d; } __attribute__((randomize_layout));\n")
    pre_ast = build_pre_ast(header_trees.package(tmp_path / "tree"), root=tmp_path / "root.c")
    config = KernelConfig.parse(CONFIG + "CONFIG_RANDSTRUCT_FULL=y\nCONFIG_RANDSTRUCT=y\nCONFIG_GCC_PLUGINS=y\n", "config")
    profile = make_profile(pre_ast, config, structs="s", randstruct_seed="5a" * 32)
    assert set(origins(explain(pre_ast, config, "s", randstruct_seed="5a" * 32))) == set("abcd")
    for member, (offset, _) in profile["$STRUCTS"]["s"][1].items():
        told = about(explain(pre_ast, config, "s." + member, randstruct_seed="5a" * 32))["offset"][0]
        assert told == "%d byte%s (bit %d)" % (offset, "s"[offset == 1:], 8 * offset)


# Types of single source files.

SECTIONS = ("#include <linux/types.h>\nstruct module_sect_attr {\n\tint first;\n#ifdef CONFIG_SYSFS\n\tlong second;\n#endif\n};\n")


def private(tmp_path, name, config=""):
    tree = write_tree(tmp_path, {"kernel/module/sysfs.c": SECTIONS, "kernel/time/timekeeping.c": "static struct {\n\tint seq;\n} tk_core;\n"})
    return explain(build_pre_ast(tree), KernelConfig.parse("CONFIG_X86_64=y\nCONFIG_64BIT=y\nCONFIG_MODULES=y\n" + config, "config"), name)


def test_a_type_of_a_source_file(tmp_path):
    assert origins(private(tmp_path, "module_sect_attr", "CONFIG_SYSFS=y\n")) == {
        "first": "kernel/module/sysfs.c:3", "second": "kernel/module/sysfs.c:5  CONFIG_SYSFS"}
    assert origins(private(tmp_path, "tk_core")) == {"seq": "kernel/time/timekeeping.c:2"}
    assert "is not compiled without CONFIG_SYSFS" in problem(private, tmp_path, "module_sect_attr")


def test_a_headers_package_lacks_the_types_of_source_files(ask):
    assert "mount is private to fs/mount.h, which a headers package lacks; use a Pre-AST built from full kernel source" \
        == problem(ask, "struct s { int a; };\n", "mount")


# Profiles, where nothing is known but the layout.

def test_a_profile_shows_the_same_layout_without_origins(tmp_path):
    (tmp_path / "root.c").write_text(
        "struct e { int a; };\nstruct s {\n char c; struct e e; long l : 5;\n union { int i; struct { char x, y; }; }; void *p[3]; };\n")
    pre_ast = build_pre_ast(header_trees.package(tmp_path / "tree"), root=tmp_path / "root.c")
    config = KernelConfig.parse(CONFIG, "config")
    profile = make_profile(pre_ast, config, structs="all")
    numbers = re.compile(r"\w+(?:\[\d+\])?(?::\d+)?;\s*/\* .*? \*/|/\* .* \*/")

    def facts(lines):
        return [re.sub(r"\s+", " ", found) for line in lines for found in numbers.findall(line)]

    shown = explain_profile(profile, "s")
    assert facts(shown) == facts(explain(pre_ast, config, "s")) != []
    assert shown[-1] == UNKNOWN and "not known" in UNKNOWN
    assert explain_profile(profile, "s.x")[4] == "  offset      12 bytes (bit 96)"
    assert explain_profile(profile, "s.e.a")[4] == "  offset      4 bytes (bit 32)"


@pytest.mark.parametrize("name, message", [
    ("tt", "the profile has no struct tt"), ("s.x", "s has no member x"), ("gone", "gone is left out of the profile: why"),
    ("s.a.b", "s.a is of type int and has no members"), ("s.", "names no struct")])
def test_what_a_profile_does_not_have(name, message):
    profile = {"$STRUCTS": {"s": [4, {"a": [0, ["int"]]}]}, "$METADATA": {"left_out": {"gone": "why"}}}
    with pytest.raises(LayoutExpertError, match=re.escape(message)):
        explain_profile(profile, name)


@pytest.mark.parametrize("profile", [{}, {"$STRUCTS": 5}, {"$STRUCTS": {"s": 5}}, {"$STRUCTS": {}, "$METADATA": 5}, [], 5,
                                     {"$STRUCTS": {"s": [4, {"a": [0, ["Array", {}]]}]}}, {"$STRUCTS": {"s": [4, {"a": 5}]}},
                                     {"$STRUCTS": {"s": [4, {"a": [0, ["__unnamed_s"]]}], "__unnamed_s": [4, {"b": [0, ["__unnamed_s"]]}]}}])
def test_a_profile_that_is_none(profile):
    with pytest.raises(LayoutExpertError, match="no structs|damaged"):
        explain_profile(profile, "s")


# BTF, where types have names and nothing else is known.

@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_btf_in_pahole_s_form(byte_order):
    lines = explain_btf(every_kind(byte_order).section(), "thing")
    assert [re.sub(r"\s+", " ", line.strip()) for line in lines if ";" in line] == [
        "int id; /* 0 4 */", "int flag:3; /* 4:%s 4 */" % (" 1" if byte_order == "<" else "28"), "alias_t alias; /* 8 8 */", "int a; /* 16 4 */",
        "} inner; /* 16 4 */", "int low; /* 24 4 */", "long wide; /* 24 8 */", "}; /* 24 8 */", "enum e e; /* 32 4 */",
        "enum e64 e64; /* 40 8 */", "volatile const struct elsewhere * p; /* 48 8 */", "double f; /* 56 8 */", "int a; /* 64 4 */",
        "} rows[2][3]; /* 64 24 */", "int (*function)(int, long); /* 88 8 */", "};"]
    assert lines[-1] == UNKNOWN
    assert explain_btf(every_kind(byte_order).section(), "thing.alias.y")[4] == "  offset      12 bytes (bit 96)"


@pytest.mark.parametrize("name, message", [("thin", "the BTF has no struct thin; close to it: thing"), ("thing.lo", "close to it: low"),
                                           ("thing.id.x", "is of type int"), ("thing.", "names no struct")])
def test_what_btf_does_not_have(name, message):
    with pytest.raises(LayoutExpertError, match=message):
        explain_btf(every_kind().section(), name)


@given(st.data())
def test_damaged_btf_is_told_in_one_line(data):
    section = bytearray(every_kind().section())
    for _ in range(data.draw(st.integers(1, 4))):
        section[data.draw(st.integers(24, len(section) - 1))] = data.draw(st.integers(0, 255))
    try:
        explain_btf(bytes(section), "thing")
    except LayoutExpertError as error:
        assert str(error).isprintable()


# The ordinary road.

TYPES = ("int a%d;", "char b%d[3];", "long c%d : 7;", "void *d%d;", "union { int e%d; short f; };", "WIDE(g%d)")


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from([None, "CONFIG_SMP", "CONFIG_AUDIT"]), st.booleans()), max_size=12))
def test_the_traced_road_lays_out_what_the_ordinary_one_does(tmp_path_factory, members):
    text = "#define WIDE(name) long long name; char name##_tail;\nstruct s {\n"
    for number, (member, condition, negated) in enumerate(members):
        line = member % number + "\n"
        if "short f" in line:
            line = line.replace("short f", "short f%d" % number)
        text += "#if%sdef %s\n%s#endif\n" % ("n" if negated else "", condition, line) if condition else line
    directory = tmp_path_factory.mktemp("random")
    (directory / "root.c").write_text(text + "};\n")
    pre_ast = build_pre_ast(header_trees.package(directory / "tree"), root=directory / "root.c")
    found = []
    for kind in (Kernel, TracedKernel):
        kernel = kind(pre_ast, KernelConfig.parse(CONFIG, "config"))
        kernel.read_types()
        layout = kernel.layouts.record(kernel.scope.find_tag("s"))
        found.append((layout.size, [(field.name, field.bit_offset, field.width) for field in layout.fields]))
    assert found[0] == found[1]
