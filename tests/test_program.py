"""Programs: one header as the preprocessor acts on it, every branch kept, cut at the ends of declarations."""
import pytest

import header_trees
from findings import finding
from rekall_layout_expert import build_pre_ast, layout, preprocess
from rekall_layout_expert.c_tokens import tokenize
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.compilation import compile_program
from rekall_layout_expert.pre_ast.program import (
    DEFINE, ENDS, ERROR, IF, INCLUDE, LINE, OPAQUE, PRAGMA, TEXT, UNDEF)


def program(text, prune=False):
    return compile_program(text, "a.h", prune=prune)


def items(text, prune=False):
    """All items, in the order of the text, those of branches included."""
    def walk(program):
        for item in program:
            yield item
            if item[0] == IF:
                for _, body in item[1]:
                    yield from walk(body)
    return list(walk(program(text, prune)))


def pieces(text, prune=False):
    """[(text, names)] of the pieces."""
    return [(" ".join(item[2].split()), item[5]) for item in items(text, prune) if item[0] == TEXT]


def names(text):
    return [name for _, found in pieces(text) for name in found]


# Pieces: one declaration each.

def test_text_is_cut_where_a_declaration_ends():
    assert [text for text, _ in pieces("struct a { int b; }; typedef int c;\nextern int d(int);int e[] = { 1, 2 };")] \
        == ["struct a { int b; };", "typedef int c;", "extern int d(int);", "int e[] = { 1, 2 };"]


def test_a_function_s_body_ends_it():
    assert [text for text, _ in pieces("static inline int f(void) { if (1) { g(); } return 0; } struct a { int b; };")] \
        == ["static inline int f(void) { if (1) { g(); } return 0; }", "struct a { int b; };"]


def test_brackets_and_semicolons_in_literals_do_not_count():
    assert [text for text, _ in pieces("char *a = \"};{\"; char b = '{'; char c = '\\''; int d;")] \
        == ["char *a = \"};{\";", "char b = '{';", "char c = '\\'';", "int d;"]


def test_a_piece_knows_its_line_the_brackets_it_leaves_open_and_whether_it_may_end():
    found = [item for item in items("\n\nstruct a {\n\tint b;\n#define N 1\n\tint c[N];\n};\nint d;\n") if item[0] == TEXT]
    assert [(item[1], item[3], bool(item[4] & ENDS)) for item in found] == [(3, 1, False), (6, -1, True), (8, 0, True)]


def test_the_pieces_in_their_order_are_the_text():
    text = "struct a { int b; } x; int f(int a) { return a; } MACRO(1) enum { e, g } h; typedef int (*i)(void); }} ; ) int j"
    assert [token for piece, _ in pieces(text) for token in tokenize(piece)] == tokenize(text)


# Names: where to look first.

@pytest.mark.parametrize("text, expected", [
    ("struct a { int b; };", {".a"}),
    ("union a { int b; };", {".a"}),
    ("struct a { struct b { int c; } d; };", {".a", ".b"}),
    ("enum a { b, c = 3, d, };", {".a", "b", "c", "d"}),
    ("enum { b };", {"b"}),
    ("enum a { b = sizeof(struct c), d = (1, 2) };", {".a", "b", "d"}),
    ("typedef int a;", {"a"}),
    ("typedef int a, *b, c[3];", {"a", "b", "c"}),
    ("typedef int (*a)(int b);", {"a"}),
    ("typedef int a(int b);", {"a"}),
    ("typedef enum a (*b)(int c);", {"b"}),
    ("typedef struct a (*b)(struct c *(*d)(int));", {"b"}),
    ("typedef struct __attribute__((packed)) a { int b; } c;", {".a", "c"}),
    ("typedef struct PACKED(1) a { int b; } (*c)(int);", {".a", "c"}),
    ("typedef struct a { int b; } c, *d;", {".a", "c", "d"}),
    ("typedef struct { int b; } c;", {"c"}),
    ("typedef enum { b } c;", {"b", "c"}),
    ("struct a { enum { b, c } d; };", {".a", "b", "c"}),
    ("struct a { int b; } d;", {".a"}),
    ("struct __attribute__((packed)) a { int b; };", {".a"}),
    ("struct a { int b; } __attribute__((aligned(8)));", {".a"}),
    ("static struct a { int b; } d = { 1 };", {".a"}),
    ("typedef unsigned int a __attribute__((mode(DI)));", {"a"}),
])
def test_what_a_declaration_declares_is_among_its_names(text, expected):
    assert expected <= set(names(text))


@pytest.mark.parametrize("text", ["struct a;", "extern struct a b;", "struct a *f(struct b *);", "int a;", "extern int f(int a);"])
def test_what_only_uses_names_declares_none(text):
    assert names(text) == []


# Directives.

def test_directives_become_items():
    assert program("""#define A
#define B(x, y...) x ## y
#define C( ) 1
  #  undef  A
#include <a/b.h>
#include "c.h"
#include_next <d.h>
#include MACRO(1)
#pragma pack(push, 1)
#error out of  order
#warning nothing
#
""") == [[DEFINE, "A", None, ""], [DEFINE, "B", ["x", "y..."], "x ## y"], [DEFINE, "C", [], "1"], [UNDEF, "A"],
         [INCLUDE, "<", "a/b.h"], [INCLUDE, '"', "c.h"], [INCLUDE, "next<", "d.h"], [INCLUDE, "", "MACRO(1)"],
         [PRAGMA, "pack(push, 1)"], [ERROR, "out of  order"]]


def test_lines_are_joined_and_comments_are_gone():
    found = program("#define A 1 + \\\n  2 /* over\nlines */ + 3 // end\n/* # */ #define B \"/* no */\"\n")
    assert [(item[1], tokenize(item[3])) for item in found] == [("A", ["1", "+", "2", "+", "3"]), ("B", ['"/* no */"'])]


@pytest.mark.parametrize("directive, condition", [
    ("#ifdef A", "+A"), ("#ifndef A", "-A"), ("#if defined(A)", "+A"), ("#if defined A", "+A"), ("#if !defined(A)", "-A"),
    ("# if ! defined ( A )", "-A"), ("#if A", "?A"), ("#if defined(A) && B > 1", "?defined(A) && B > 1"),
])
def test_conditions(directive, condition):
    assert program(directive + "\n#endif\n") == [[IF, [[condition, []]]]]


def test_every_branch_is_kept():
    (item,) = program("#if A\nint a;\n#elif defined(B)\nint b;\n#else\nint c;\n#endif\n")
    assert [(condition, [inner[2] for inner in body]) for condition, body in item[1]] \
        == [("?A", ["int a;"]), ("+B", ["int b;"]), ("", ["int c;"])]


def test_a_line_directive_keeps_the_number_of_its_own_line():
    assert [item[0] for item in program("\n#line 7 \"b.h\"\n# 9 \"c.h\"\n")] == [LINE, LINE]


@pytest.mark.parametrize("text", ["#if A\n", "#ifdef A\nint a;\n#else\n", "#if A\n#if B\n#endif\n"])
def test_a_conditional_that_is_not_closed_is_an_error(text):
    with pytest.raises(LayoutExpertError, match="a.h: #if without #endif"):
        program(text)


@pytest.mark.parametrize("text", ["#endif\n", "#else\n", "#elif A\n", "#if A\n#endif\n#endif\n"])
def test_a_conditional_that_was_never_opened_is_an_error(text):
    with pytest.raises(LayoutExpertError, match=r"a.h:\d: #\w+ without #if"):
        program(text)


def test_an_unterminated_comment_is_an_error():
    with pytest.raises(LayoutExpertError, match="unterminated comment"):
        program("int a; /* and then")


# Conditionals inside declarations.

def sizes(text, **defines):
    return {name: size for name, (size, _) in layout(text, defines=defines).items()}


INSIDE = """
struct a {
    int first;
#ifdef A
    int second;
#elif defined(B)
    char third[20];
#else
    long fourth, fifth;
#endif
    char last;
};
struct b { char x; };
"""


@pytest.mark.parametrize("defines, size", [({"A": "1"}, 12), ({"B": "1"}, 28), ({}, 32), ({"A": "1", "B": "1"}, 12)])
def test_members_that_a_condition_decides(defines, size):
    assert sizes(INSIDE, **defines) == {"a": size, "b": 1}


@pytest.mark.parametrize("text, with_a, without", [
    pytest.param("struct s\n#ifdef A\n{ int a;\n#else\n{ char a;\n#endif\n};", 4, 1, id="both branches open the record"),
    pytest.param("struct s {\n#ifdef A\nint a; };\n#else\nchar a; };\n#endif", 4, 1, id="both branches close the record"),
    pytest.param("struct s { int a; }\n#ifdef A\n__attribute__((aligned(16)))\n#endif\n;", 16, 4, id="an attribute behind the brace"),
    pytest.param("struct s { char a[1\n#ifdef A\n+ 2\n#endif\n]; };", 3, 1, id="inside an array's count"),
    pytest.param("enum { first,\n#ifdef A\nsecond,\n#endif\nlast };\nstruct s { char a[last]; };", 2, 1, id="enumerators"),
    pytest.param("#ifdef A\nstruct s { int a;\n#else\nstruct s { char a;\n#endif\nchar b; };", 8, 2, id="heads of the record"),
    pytest.param("typedef\n#ifdef A\nlong\n#else\nchar\n#endif\nt; struct s { t a; };", 8, 1, id="a typedef's type"),
    pytest.param("static inline int f(void)\n{\n#ifdef A\n\tif (1) {\n#else\n\tif (2) {\n#endif\n\t}\n\treturn 0;\n}\nstruct s {\n#ifdef A\nint a;\n"
                 "#endif\nchar b; };", 8, 1, id="a function's body before it"),
    pytest.param("#define G(x, m) struct { m } x;\nstruct s { G(g, char a;\n#ifdef A\nint b;\n#endif\n) };", 8, 1, id="a macro's arguments"),
])
def test_a_condition_may_stand_anywhere(text, with_a, without):
    for defines, size in (({"A": "1"}, with_a), ({}, without)):
        found = sizes(text + "\nstruct behind { short x; };", **defines)
        assert (found["s"], found["behind"]) == (size, 2)


def test_an_x_macro_may_stand_anywhere(tmp_path):
    (tmp_path / "members.h").write_text("M(int, a)\n#ifdef A\nM(long, b)\n#endif\n")
    text = "#define M(t, n) t n;\nstruct s {\n#include \"members.h\"\n};\n#undef M\n#define M(t, n) n,\nenum e {\n#include \"members.h\"\ncount };\n" \
           "struct t { char x[count]; };"
    for defines, expected in (({}, {"s": 4, "t": 1}), ({"A": "1"}, {"s": 16, "t": 2})):
        made = layout(text, defines=defines, include_paths=[tmp_path])
        assert {name: size for name, (size, _) in made.items()} == expected


# Pruning.

def test_a_function_s_body_is_pruned_and_its_directives_stay():
    text = "static inline int f(int a)\n{\n\tint b;\n#define INSIDE 1\n\tstruct local { int c; } d;\n#ifdef A\n#undef B\n\ta++;\n#endif\n" \
           "\treturn a;\n}\nstruct a { char b[INSIDE]; };\n"
    found = program(text, prune=True)
    assert [text for text, _ in pieces(text, prune=True)] == ["static inline int f(int a);", "struct a { char b[INSIDE]; };"]
    assert [DEFINE, "INSIDE", None, "1"] in found and [IF, [["+A", [[UNDEF, "B"]]]]] in found


def test_what_only_other_readers_see_is_pruned():
    text = "#ifdef __ASSEMBLY__\nint a;\n#else\nint b;\n#endif\n#ifndef __cplusplus\nint c;\n#endif\n#ifdef __cplusplus\nextern \"C\" {\n#endif\nint d;\n"
    assert [text for text, _ in pieces(text, prune=True)] == ["int b;", "int c;", "int d;"]
    assert len(pieces(text)) == 5


@pytest.mark.parametrize("text", [
    "static inline struct a f(void) { return x; }\nstruct b { int c; };",
    "static const struct a b = { .c = 1 };\nstruct b { int c; };",
    "static inline int f(void)\n{\n#ifdef A\n\tif (1)\n\t{\n#else\n\t{\n#endif\n\t}\n}\nstruct b { int c; };",
    "static inline int f(void)\n#ifdef A\n{\n#else\n{\n#endif\n}\nstruct b { int c; };",
    "static __always_inline __attribute__((x(1))) int f(int (*g)(void)) { { } }\nstruct b { int c; };",
    "static struct b { int c; } d;",
    "static inline int f(void);\nstruct b { int c; };",
])
def test_pruning_never_takes_a_type(text):
    assert ".b" in [name for item in items(text, prune=True) if item[0] == TEXT for name in item[5]]
    assert any("int c;" in item[2] for item in items(text, prune=True) if item[0] == TEXT)


def test_a_macro_that_stands_for_a_record_s_head_makes_its_piece_opaque():
    (item,) = items("HEAD(a) { int b; };")
    assert item[4] & OPAQUE


@pytest.mark.parametrize("text", ["{" * 5000, "}" * 5000, "(" * 5000, 
                                  "#if A\n" * 3000 + "#endif\n" * 3000, "\\\n" * 5000, "\"" * 999, "'", "#",
                                  "#define", "#include", "#if", "#define 1", "#undef", "#pragma", "\x00\x01", "\\", "/", "/*/", "struct", "enum {"])
def test_a_header_of_any_text_is_built_or_refused_on_one_line(text, tmp_path):
    tree = header_trees.package(tmp_path, {"include/linux/types.h": text})
    try:
        build_pre_ast(tree)
    except LayoutExpertError as error:
        assert str(error).isprintable()
    try:
        preprocess(text)
    except LayoutExpertError as error:
        assert str(error).isprintable()
