"""Trimming: only the declarations that a type needs are ever expanded and parsed, however their names are made."""
import pytest

import header_trees
from header_trees import CONFIG
from rekall_layout_expert import build_pre_ast, make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.profile.kernel import Kernel

CONFIGURATION = KernelConfig.parse(CONFIG, "config")


@pytest.fixture
def kernel(tmp_path):
    """A function: the Kernel whose root is a text; its `expanded` lists the text of what was expanded so far."""
    def kernel(text):
        tree = header_trees.package(tmp_path / "tree")
        (tmp_path / "root.c").write_text(text)
        kernel = Kernel(build_pre_ast(tree, root=tmp_path / "root.c"), CONFIGURATION)
        kernel.read_types()
        kernel.expanded = []
        expand = kernel.scope.expand

        def counting(declaration):
            kernel.expanded.append(declaration.pieces[0][0])
            return expand(declaration)
        kernel.scope.expand = counting
        return kernel
    return kernel


def size(kernel, tag):
    return kernel.layouts.record(kernel.scope.find_tag(tag)).size // 8


# Candidates: what seems to declare the name.

def test_only_what_is_needed_is_expanded(kernel):
    found = kernel("""
        struct unneeded { struct unknown a; };
        struct inner { int a; };
        typedef struct inner inner_t;
        struct outer { inner_t a; struct unneeded *b; };
        typedef int unneeded_t;""")
    assert size(found, "outer") == 16
    assert sorted(text.split()[1] for text in found.expanded) == ["inner", "outer", "struct"]


def test_what_is_behind_a_pointer_is_not_read(kernel):
    found = kernel("struct other { int a; };\nstruct s { struct other *a; void (*b)(struct other *); };\n")
    assert size(found, "s") == 16 and len(found.expanded) == 1


def test_each_declaration_is_read_once(kernel):
    found = kernel("struct a { int x; };\nstruct b { struct a x[2]; struct a y; };\n")
    assert size(found, "b") == 12 and size(found, "b") == 12 and size(found, "a") == 4
    assert len(found.expanded) == 2


@pytest.mark.parametrize("text, tag, expected", [
    pytest.param("enum { COUNT = 3 };\nstruct s { char a[COUNT]; };", "s", 3, id="an enumerator"),
    pytest.param("typedef int (*call)(int);\nstruct s { call a; };", "s", 8, id="a typedef of a pointer to a function"),
    pytest.param("enum e { one };\ntypedef enum e (*call)(int);\nstruct s { call a; };", "s", 8, id="that returns an enum"),
    pytest.param("typedef int row[4];\nstruct s { row a; };", "s", 16, id="a typedef of an array"),
    pytest.param("typedef struct { int a; } one, *other;\nstruct s { one a; other b; };", "s", 16, id="two typedefs at once"),
    pytest.param("struct s { int a; } object, *pointer;", "s", 4, id="a record with an object"),
    pytest.param("struct __attribute__((packed)) s { char a; int b; };", "s", 5, id="an attribute before the tag"),
    pytest.param("#define __packed __attribute__((packed))\nstruct __packed s { char a; int b; };", "s", 5, id="a macro before the tag"),
    pytest.param("struct outer { struct s { int a; } b; };", "s", 4, id="a record inside another"),
    pytest.param("struct outer { enum { N = 2 } a; };\nstruct s { char b[N]; };", "s", 2, id="an enumerator inside a record"),
    pytest.param("static inline int f(int a)\n{\n\tstruct s { long x; } y;\n\treturn 0;\n}\nstruct s { int a; };", "s", 4,
                 id="one of the same name inside a function"),
    pytest.param("extern char buffer[3];\nstruct s { char a[sizeof(buffer)]; };", "s", 3, id="sizeof an object"),
    pytest.param("extern long f(void);\nstruct s { typeof(f()) a; };", "s", 8, id="typeof a function"),
    pytest.param("struct s;\nstruct t { struct s *a; };\nstruct s { int a; };\nstruct s;", "s", 4, id="declared before and behind"),
])
def test_wherever_a_name_is_declared_it_is_found(kernel, text, tag, expected):
    assert size(kernel(text), tag) == expected


# Opaque: what a macro makes.

@pytest.mark.parametrize("text", [
    pytest.param("#define RECORD(name) struct name { int a; }\nRECORD(s);", id="a macro makes the record"),
    pytest.param("#define RECORD(name) struct name ## _ops { int a; }\nRECORD(file);\nstruct s { struct file_ops a; };",
                 id="a macro pastes the tag"),
    pytest.param("#define HEAD(name) struct name {\nHEAD(s) int a; };", id="a macro opens the record"),
    pytest.param("#define MEMBERS int a;\nstruct s { MEMBERS };", id="a macro holds the members"),
    pytest.param("#define TYPE(name) typedef struct name name ## _t\nstruct inner { int a; };\nTYPE(inner);\nstruct s { inner_t a; };",
                 id="a macro makes the typedef"),
    pytest.param("#define OUTER(n) INNER(n)\n#define INNER(n) struct n { int a; }\nOUTER(s);", id="a macro calls one that does"),
    pytest.param("#define node s\nstruct node { int a; };", id="a macro renames the tag"),
    pytest.param("#define number_t my_number_t\ntypedef int number_t;\n#undef number_t\nstruct s { my_number_t a; };",
                 id="a macro renames the typedef"),
    pytest.param("#define LIST ITEM(a) ITEM(b)\n#define ITEM(x) x,\nenum { LIST last = 4 };\n#undef ITEM\nstruct s { char c[last * (b - a)]; };",
                 id="a macro lists the enumerators"),
    pytest.param("#define VALUE(x) CONST_ ## x\nenum { VALUE(four) = 4 };\nstruct s { char a[CONST_four]; };", id="a macro pastes an enumerator"),
    pytest.param("#define COMMON { int a; }\nstruct s COMMON;\n", id="a macro is the braces and what they hold"),
    pytest.param("#define MAKE(n) static inline int n##_f(int a) { if (a) { return 1; } return 0; } struct n { int a; }\n"
                 "MAKE(s);\n", id="behind a function with statements"),
])
def test_what_a_macro_declares_is_found(kernel, text):
    assert size(kernel(text), "s") == 4


def test_a_name_that_is_nowhere_is_said_to_be_nowhere(kernel):
    found = kernel("#define RECORD(name) struct name { int a; }\nRECORD(s);\nstruct t { int a; };")
    with pytest.raises(NotKnown, match="absent is not defined in these headers"):
        found.scope.find_tag("absent")


def test_a_declaration_that_is_not_understood_is_the_reason_that_is_given(tmp_path):
    tree = header_trees.package(tmp_path / "tree")
    (tmp_path / "root.c").write_text("\n\nstruct s { int a b; };\nstruct t { struct s a; };\nstruct good { int a; };\n")
    made = make_profile(build_pre_ast(tree, root=tmp_path / "root.c"), CONFIGURATION, structs="all")
    assert made["$STRUCTS"] == {"good": [4, {"a": [0, ["int"]]}]}
    assert "<root>:3: " in made["$METADATA"]["left_out"]["t"]
    asked = make_profile(build_pre_ast(tree, root=tmp_path / "root.c"), CONFIGURATION, structs="s")
    assert "<root>:3: " in asked["$METADATA"]["left_out"]["s"]


def test_branches_that_the_config_leaves_out_declare_nothing(kernel):
    found = kernel("#ifdef CONFIG_AUDIT\nstruct s { long a; };\n#else\nstruct s { int a; };\n#endif\n")
    assert size(found, "s") == 4


def test_structs_of_a_profile_are_those_asked_for_what_they_embed_and_what_rekall_s_point_to(tmp_path):
    tree = header_trees.package(tmp_path / "tree")
    (tmp_path / "root.c").write_text("""
        struct far { int a; };
        struct pointed_to { struct embedded_there { struct far *f; } e; };
        struct embedded { int a; };
        struct task_struct { struct embedded e; struct pointed_to *p; };
        struct unrelated { int a; };""")
    pre_ast = build_pre_ast(tree, root=tmp_path / "root.c")
    names = {selection: set(make_profile(pre_ast, CONFIGURATION, structs=selection)["$STRUCTS"])
             for selection in ("rekall", "task_struct", "all")}
    assert names["task_struct"] == {"task_struct", "embedded"}
    assert names["rekall"] == {"task_struct", "embedded", "pointed_to", "embedded_there"}
    assert names["all"] == names["rekall"] | {"far", "unrelated"}
