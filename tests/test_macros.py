"""The macro table's history: a declaration is expanded late, with the macros as they stood where it stood.

Text without directives inside it is what layout() reads; a struct's size tells which definition counted.
"""
import pytest

from rekall_layout_expert import layout, preprocess
from rekall_layout_expert.c_tokens import Painted, tokenize
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.preprocessor.macros import MacroTable


def sizes(text):
    return {name: size for name, (size, _) in layout(text).items()}


# What comes later does not count.

def test_a_macro_redefined_later_does_not_leak_back():
    assert sizes("""
        #define COUNT 2
        struct before { char a[COUNT]; };
        #undef COUNT
        #define COUNT 7
        struct after { char a[COUNT]; };""") == {"before": 2, "after": 7}


def test_a_macro_undefined_later_is_still_there():
    assert sizes("#define COUNT 2\nstruct before { char a[COUNT]; };\n#undef COUNT\n") == {"before": 2}


def test_a_macro_defined_later_is_not_there_yet():
    assert sizes("""
        enum { COUNT = 3 };
        struct before { char a[COUNT]; };
        #define COUNT 7
        struct after { char a[COUNT]; };""") == {"before": 3, "after": 7}


def test_a_macro_that_rests_on_another_sees_the_other_as_it_stood():
    assert sizes("""
        #define INNER 2
        #define OUTER (INNER + 1)
        struct first { char a[OUTER]; };
        #undef INNER
        #define INNER 9
        struct second { char a[OUTER]; };
        #undef INNER""") == {"first": 3, "second": 10}


def test_a_tag_that_is_a_macro_later_keeps_its_name():
    # linux/radix-tree.h: #define radix_tree_node xa_node, behind declarations that used the name
    assert sizes("struct node { char a; };\n#define node other\nstruct node { char a[2]; };\n") == {"node": 1, "other": 2}


def test_a_type_asked_for_after_its_macros_are_gone():
    assert sizes("""
        #define FIELD char a[5];
        struct inner { FIELD };
        #undef FIELD
        struct outer { struct inner a; struct inner b; };""")["outer"] == 10


def test_a_typedef_read_late_is_read_as_it_stood():
    assert sizes("""
        #define base short
        typedef base number;
        #undef base
        #define base long
        struct s { number a; };""") == {"s": 2}


def test_a_directive_inside_a_declaration_splits_it_in_time():
    assert sizes("""
        #define N 1
        struct s {
            char a[N];
        #undef N
        #define N 2
            char b[N];
        };
        #undef N""") == {"s": 3}


def test_a_macro_of_its_own_name_in_a_header_that_is_included_twice(tmp_path):
    # X-macros: the same file under other definitions
    (tmp_path / "list.h").write_text("ITEM(a, 1)\nITEM(b, 2)\n")
    made = layout("""
        #define ITEM(name, count) char name[count];
        struct s {
        #include "list.h"
        };
        #undef ITEM
        #define ITEM(name, count) name = count,
        enum e {
        #include "list.h"
        };
        #undef ITEM
        struct t { char c[a + b]; };""", include_paths=[tmp_path])
    assert {name: size for name, (size, _) in made.items()} == {"s": 3, "t": 3}


def test_defines_of_the_command_line_come_first():
    assert layout("struct s { char a[N]; };\n#undef N\n#define N 9\n", defines={"N": "4"})["s"][0] == 4
    assert layout("struct s { F(3) };\n", defines={"F(x)": "char a[x];"})["s"][0] == 3
    assert layout("#ifdef __x86_64__\nstruct s { int a; };\n#endif\n", defines={"__x86_64__": None}) == {}


# push_macro and pop_macro.

def test_push_macro_keeps_a_definition_and_pop_macro_brings_it_back():
    assert sizes("""
        #define N 1
        #pragma push_macro("N")
        #undef N
        #define N 2
        struct inside { char a[N]; };
        #pragma pop_macro("N")
        struct outside { char a[N]; };""") == {"inside": 2, "outside": 1}


@pytest.mark.parametrize("text, expected", [
    ('#pragma push_macro("N")\n#define N 2\n#pragma pop_macro("N")\nN', "N"),
    ('#define N 1\n#pragma push_macro("N")\n#pragma push_macro("N")\n#undef N\n#pragma pop_macro("N")\nN', "1"),
    ('#define N 1\n#pragma push_macro("N")\n#undef N\n#define N 2\n#pragma push_macro("N")\n#undef N\n#define N 3\n'
     '#pragma pop_macro("N")\n#pragma pop_macro("N")\nN', "1"),
    ('#define N 1\n#pragma pop_macro("N")\nN', "1"),
    ('#pragma pop_macro("N")\nN', "N"),
])
def test_the_stack_of_pushed_definitions(text, expected):
    assert [line for line in preprocess(text).splitlines() if not line.startswith("#pragma")] == [expected]


# The table itself.

def expand(table, *pieces):
    """The tokens of a run of (text, moment)."""
    return table.expand([(tokenize(text), moment, 0, "file") for text, moment in pieces])


@pytest.fixture
def table():
    """N is 1 from moment 1 on, 2 from moment 3 on, gone from moment 5 on."""
    table = MacroTable()
    for moment, body in ((1, "1"), (3, "2"), (5, None)):
        table.moment = moment
        if body is None:
            table.undefine("N")
        else:
            table.define("N", None, body)
    return table


def test_the_history_of_a_name(table):
    bodies = [macro and macro.body for macro in (table.lookup("N", moment) for moment in range(8))]
    assert bodies == [None, None, "1", "1", "2", "2", None, None]
    assert table.lookup("N") is None and table.lookup("M", 3) is None


def test_segments_of_one_run_have_a_moment_each(table):
    assert expand(table, ("N", 1), ("N", 2), ("N", 4), ("N", 6)) == ["N", "1", "2", "N"]


def test_an_invocation_goes_on_in_the_next_segment():
    # sk_buff: a directive stands inside the arguments of struct_group()
    table = MacroTable()
    table.define("GROUP", ["name", "members..."], "struct { members } name;")
    table.moment = 1
    table.define("N", None, "4")
    assert "".join(expand(table, ("GROUP(g, int a;", 1), ("char b[N];)", 2))) == "struct{inta;charb[4];}g;"


def test_a_name_met_in_its_own_replacement_is_never_expanded_again():
    table = MacroTable()
    table.define("f", ["x"], "f(x)")
    table.moment = 1
    (first, *rest) = expand(table, ("f(f(1))", 2))
    assert isinstance(first, Painted) and "".join([first, *rest]) == "f(f(1))"


def test_a_failed_expansion_leaves_nothing_behind():
    table = MacroTable()
    table.define("f", ["x"], "[x]")
    table.define("one", None, "two")
    table.moment = 1
    with pytest.raises(LayoutExpertError, match="unterminated argument list of macro f"):
        expand(table, ("one f(1", 2))
    assert expand(table, ("one f(2)", 2)) == ["two", "[", "2", "]"]


@pytest.mark.parametrize("text, reason", [
    ("#define f(x) x\nf(1, 2)", "macro f takes 1 arguments, not 2"),
    ("#define f(x, y) x\nf(1)", "macro f takes 2 arguments, not 1"),
    ("#define f(x) x\nf(1", "unterminated argument list of macro f"),
    ("#define f(x) #y\nf(1)", "'#' is not followed by a parameter"),
])
def test_a_malformed_invocation_is_an_error(text, reason):
    with pytest.raises(LayoutExpertError, match=reason):
        preprocess(text)


def test_arguments_nested_too_deeply_are_an_error_and_never_a_crash():
    with pytest.raises(LayoutExpertError, match="nested too deeply"):
        preprocess("#define f(x) x\n" + "f(" * 5000 + ")" * 5000)


def test_a_file_that_is_imported_is_read_once(tmp_path):
    (tmp_path / "a.h").write_text("a")
    for text in ('#import "a.h"\n#import "a.h"\n#include "a.h"\n', '#include "a.h"\n#import "a.h"\n'):
        assert preprocess(text, include_paths=[tmp_path]).split() == ["a"]
