"""The parser: GNU C's declarations become types, and what is not understood defines nothing.

A type is written here as C's own reading of it: "array 3 of pointer to function returning int".
"""
import pytest

from rekall_layout_expert import layout
from rekall_layout_expert.c_tokens import Pragma, tokenize
from rekall_layout_expert.parser.declarations import Parser, SyntaxProblem
from rekall_layout_expert.parser.scope import Scope
from rekall_layout_expert.parser.types import Array, Atomic, Attributed, Base, Enum, Function, Named, Pointer, Record, TypeOf


class NothingElse:
    """An index without declarations: what the parser was not given is not there."""

    def candidates(self, name):
        return ()

    def opaque(self, name=None):
        return ()


def parse(text, ms_extensions=False):
    """The Scope after reading a text. Raises SyntaxProblem."""
    scope = Scope(NothingElse(), None, ms_extensions)
    tokens = []
    for part in text.split("\n"):
        tokens += [Pragma(part[len("#pragma "):])] if part.startswith("#pragma ") else tokenize(part)
    Parser(tokens, scope, ms_extensions=ms_extensions).external_declarations()
    return scope


def read(type_):
    """A type in words."""
    if isinstance(type_, (Base, Named)):
        return type_.name
    if isinstance(type_, Pointer):
        return "pointer to " + read(type_.target)
    if isinstance(type_, Array):
        return "array %sof %s" % ("" if type_.count is None else " ".join(type_.count) + " ", read(type_.element))
    if isinstance(type_, Function):
        return "function returning " + read(type_.result)
    if isinstance(type_, (Record, Enum)):
        return "%s %s" % (type_.kind, type_.tag or "without a tag")
    if isinstance(type_, Attributed):
        return "%s %s" % (" ".join(spelled(each) for each in type_.attributes), read(type_.target))
    if isinstance(type_, Atomic):
        return "atomic " + read(type_.target)
    assert isinstance(type_, TypeOf)
    return "typeof(%s)" % " ".join(type_.tokens)


def spelled(attribute):
    name, arguments = attribute
    return name if arguments is None else "%s(%s)" % (name, " ".join(arguments))


def members(text, **options):
    """[(name, type in words, width, attributes)] of `struct s { TEXT };`"""
    fields = parse("struct s { %s };" % text, **options).tags["s"].fields
    return [(field.name, read(field.type), field.width and " ".join(field.width), [spelled(each) for each in field.attributes])
            for field in fields]


def types(text, **options):
    return {name: type_ for name, type_, _, _ in members(text, **options)}


# Declarators: C's declarations read inside out.

@pytest.mark.parametrize("declared, expected", [
    ("int a;", "int"),
    ("int *a;", "pointer to int"),
    ("int **a;", "pointer to pointer to int"),
    ("int a[3];", "array 3 of int"),
    ("int a[];", "array of int"),
    ("int a[2][3];", "array 2 of array 3 of int"),
    ("int *a[3];", "array 3 of pointer to int"),
    ("int (*a)[3];", "pointer to array 3 of int"),
    ("char (*a)[0];", "pointer to array 0 of char"),
    ("int (*a)(void);", "pointer to function returning int"),
    ("int *(*a)(int, char *);", "pointer to function returning pointer to int"),
    ("int (*a[4])(void);", "array 4 of pointer to function returning int"),
    ("int (*(*a)(int))(char);", "pointer to function returning pointer to function returning int"),
    ("void (*(*a)[2])(void);", "pointer to array 2 of pointer to function returning void"),
    ("int (*(*a)(void))[5];", "pointer to function returning pointer to array 5 of int"),
    ("int (a);", "int"),
    ("int ((*a));", "pointer to int"),
    ("int (a)[3];", "array 3 of int"),
    ("int *const volatile a;", "pointer to int"),
    ("int *__restrict a;", "pointer to int"),
    ("int const *a;", "pointer to int"),
    ("struct t *a;", "pointer to struct t"),
    ("enum t a;", "enum t"),
    ("u32 a;", "u32"),
    ("u32 u32;", "u32"),  # a name may be that of its type
    ("typeof(int) a;", "typeof(int)"),
    ("__typeof__(((struct t *)0)->b) *a;", "pointer to typeof(( ( struct t * ) 0 ) -> b)"),
    ("_Atomic int a;", "atomic int"),
    ("_Atomic(int) a;", "atomic int"),
    ("__extension__ int a;", "int"),
    ("int a[sizeof(struct { int x; })];", "array sizeof ( struct { int x ; } ) of int"),
    ("int a[N + 1][M];", "array N + 1 of array M of int"),
    ("int (*a)(int (*)(int), int [3]);", "pointer to function returning int"),
    ("void (*a)(struct t { int x; } *);", "pointer to function returning void"),
])
def test_declarators(declared, expected):
    assert types(declared) == {next(iter(types(declared))): expected}


def test_several_declarators_share_their_specifiers():
    assert types("int a, *b, c[2], (*d)(void);") \
        == {"a": "int", "b": "pointer to int", "c": "array 2 of int", "d": "pointer to function returning int"}


@pytest.mark.parametrize("words, name", [
    ("int", "int"), ("signed", "int"), ("__signed__ char", "signed char"), ("char", "char"), ("unsigned char", "unsigned char"),
    ("char unsigned", "unsigned char"), ("short int", "short"), ("int short unsigned", "unsigned short"), ("unsigned", "unsigned int"),
    ("long", "long"), ("long int signed", "long"), ("long unsigned int", "unsigned long"), ("long long int", "long long"),
    ("long unsigned long", "unsigned long long"), ("long double", "long double"), ("double", "double"), ("float", "float"),
    ("_Bool", "_Bool"), ("unsigned __int128", "unsigned __int128"), ("__int128", "__int128"), ("__uint128_t", "unsigned __int128"),
    ("_Complex float", "_Complex float"), ("double _Complex", "_Complex double"), ("const unsigned volatile long", "unsigned long"),
])
def test_any_order_of_specifiers_means_the_same_type(words, name):
    assert types(words + " *a;") == {"a": "pointer to " + name}


@pytest.mark.parametrize("words", [
    "short char", "long long long", "struct t int", "int u32 x", "long float", "unsigned _Bool", "struct t union u",
    "unsigned double", "short long", "signed unsigned int"])
def test_specifiers_that_mean_no_type_are_refused(words):
    with pytest.raises(SyntaxProblem):
        parse("struct s { %s a; };" % words)


# Members.

def test_bit_fields():
    assert members("int a : 3, : 0, b : N + 1; unsigned : 2;") \
        == [("a", "int", "3", []), (None, "int", "0", []), ("b", "int", "N + 1", []), (None, "unsigned int", "2", [])]


def test_a_width_may_hold_a_question():
    assert members("int a : X ? 1 : 2;") == [("a", "int", "X ? 1 : 2", [])]


def test_attributes_of_members():
    assert members("int a __attribute__((packed, aligned(8))), b; int c : 3 __attribute__((__packed__));") \
        == [("a", "int", None, ["packed", "aligned(8)"]), ("b", "int", None, []), ("c", "int", "3", ["packed"])]
    assert members("__attribute__((aligned(4))) int a, b;") == [("a", "int", None, ["aligned(4)"]), ("b", "int", None, ["aligned(4)"])]
    assert members("int a, __attribute__((packed)) b;") == [("a", "int", None, []), ("b", "int", None, ["packed"])]
    assert members("_Alignas(16) char a; _Alignas(long) char b;") \
        == [("a", "char", None, ["alignas(16)"]), ("b", "char", None, ["alignas(long)"])]


@pytest.mark.parametrize("attribute", ["unused", "deprecated(\"text ( \")", "format(printf, 1, 2)", "__unused__", "", ",", "section(\"a\"), used"])
def test_attributes_without_a_part_in_layouts_are_passed_over(attribute):
    assert members("int a __attribute__((%s));" % attribute) == [("a", "int", None, [])]


def test_members_without_a_name():
    scope = parse("struct s { struct { int a; }; union { int b; } c; struct t { int d; }; enum { e }; ; int f; };")
    assert [(field.name, read(field.type)) for field in scope.tags["s"].fields] \
        == [(None, "struct without a tag"), ("c", "union without a tag"), ("f", "int")]
    assert scope.tags["t"].fields and "e" in scope.enumerators  # declared, though no member


def test_with_ms_extensions_a_tagged_record_is_a_member_too():
    assert members("struct t { int d; }; struct u;", ms_extensions=True) \
        == [(None, "struct t", None, []), (None, "struct u", None, [])]


def test_static_assertions_and_pragmas_are_no_members():
    assert members("int a; _Static_assert(sizeof(int) == 4, \"text; with } braces\"); int b;") \
        == [("a", "int", None, []), ("b", "int", None, [])]
    assert members("int a;\n#pragma GCC diagnostic ignored\nint b;") == [("a", "int", None, []), ("b", "int", None, [])]


def test_pragma_pack_counts_where_a_record_ends():
    made = layout("""struct a { char c; int x;
        #pragma pack(push, 1)
        };
        struct b { char c; int x; };
        #pragma pack(pop)
        struct c { char c; int x; };""")
    assert {name: size for name, (size, _) in made.items()} == {"a": 5, "b": 5, "c": 8}


def test_the_last_member_may_go_without_a_semicolon():
    assert types("int a; int b") == {"a": "int", "b": "int"}


# Records and enumerations.

@pytest.mark.parametrize("text", [
    "struct __attribute__((packed)) s { int a; };", "struct s { int a; } __attribute__((packed));",
    "struct s { int a; } __attribute__((unused)) __attribute__((__packed__));", "struct s __attribute__((packed)) { int a; };",
    "typedef struct s { int a; } __attribute__((packed)) s_t;", "extern struct s { int a; } __attribute__((packed)) object;",
])
def test_attributes_of_a_record_before_its_tag_and_behind_its_brace(text):
    assert parse(text).tags["s"].attributes == [("packed", None)]


def test_attributes_behind_a_declared_name_are_the_name_s():
    scope = parse("typedef struct s { int a; } s_t __attribute__((aligned(16)));")
    assert scope.tags["s"].attributes == [] and read(scope.typedefs["s_t"]) == "aligned(16) struct s"


def test_a_tag_that_is_used_before_it_is_defined_is_the_same_record():
    scope = parse("struct s; struct t { struct s *a; }; struct s { int b; };")
    assert scope.tags["t"].fields[0].type.target is scope.tags["s"] and scope.tags["s"].fields[0].name == "b"


def test_enumerations():
    scope = parse("enum e { a, b = 1 << 3, c __attribute__((deprecated)) = b, d, };")
    assert scope.tags["e"].enumerators == [("a", None), ("b", ["1", "<<", "3"]), ("c", ["b"]), ("d", None)]
    assert set(scope.enumerators) == set("abcd")
    packed = parse("enum __attribute__((packed)) e { a };").tags["e"]
    assert packed.attributes == [("packed", None)]
    assert read(parse("enum e : unsigned char { a };").tags["e"].underlying) == "unsigned char"


# Typedefs, functions and objects.

@pytest.mark.parametrize("text, expected", [
    ("typedef int t;", {"t": "int"}),
    ("int typedef t;", {"t": "int"}),
    ("typedef int a, *b, c[2];", {"a": "int", "b": "pointer to int", "c": "array 2 of int"}),
    ("typedef int (*t)(void);", {"t": "pointer to function returning int"}),
    ("typedef int t(void);", {"t": "function returning int"}),
    ("typedef struct { int a; } t;", {"t": "struct without a tag"}),
    ("typedef struct s t;", {"t": "struct s"}),
    ("typedef int t __attribute__((aligned(8), mode(DI)));", {"t": "aligned(8) mode(DI) int"}),
    ("typedef __builtin_va_list t;", {"t": "__builtin_va_list"}),
    ("typedef u32 t;", {"t": "u32"}),
    ("typedef typeof(1 + 1) t;", {"t": "typeof(1 + 1)"}),
])
def test_typedefs(text, expected):
    assert {name: read(type_) for name, type_ in parse(text).typedefs.items()} == expected


def test_functions_and_objects_between_types_do_no_harm():
    scope = parse("""
        extern int f(struct s *a, int (*b)(void)) __attribute__((noreturn));
        static inline int g(int a) { struct local { int x; } y = { 1 }; return y.x; }
        int old(a, b) ;
        asm(".globl x");
        int array[] = { 1, 2, [5] = 3 }, number = 4, *pointer = &number;
        struct s object = { .a = 1 };
        ;
        extern typeof(f) alias;
        _Static_assert(1, "x");
        struct s { int a; };""")
    assert read(scope.tags["s"].fields[0].type) == "int" and "local" not in scope.tags
    assert {"f", "array", "number", "pointer", "object"} <= scope.objects.keys()


# What is not understood defines nothing.

@pytest.mark.parametrize("text", [
    "struct s { int a; int b }}; ;", "struct s { int a; ", "struct s { int a; } nonsense nonsense;", "struct s { int a; } = 3;",
    "struct s { UNEXPANDED(x) int a; };", "struct s { int a; } __attribute__((packed)", "struct s { int a; } __attribute__(packed);",
    "struct s { int a b; };", "struct s { int a[3; };", "struct s { int a; }; struct s { int a; };",
    "struct s { a; };", "struct s { int; int a; } x y;", "struct s { const a; } x y;", "struct s { int (a; };", "struct s { __auto_type a; };",
    "struct s { int a; } unknown_attribute(packed) x;", "struct s { struct { int a; } b c; };",
])
def test_a_record_is_withdrawn_with_a_declaration_that_is_not_understood(text):
    scope = Scope(NothingElse(), None)
    with pytest.raises(SyntaxProblem):
        Parser(tokenize(text), scope).external_declarations()
    record = scope.tags.get("s")
    assert record is None or record.fields is None or "struct s { int a; };" in text


@pytest.mark.parametrize("text", ["enum e { a, b } x y;", "enum e { a b };", "enum e { a = 1", "enum e { 1 };", "enum e { a, } = 2;"])
def test_an_enumeration_is_withdrawn_with_its_enumerators(text):
    scope = Scope(NothingElse(), None)
    with pytest.raises(SyntaxProblem):
        Parser(tokenize(text), scope).external_declarations()
    enum = scope.tags.get("e")
    assert not scope.enumerators and (enum is None or enum.enumerators is None)


def test_a_tag_is_of_one_kind():
    for text in ("struct s { int a; }; union s *b;", "enum s { a }; struct s *b;", "union s; struct s { int a; };"):
        with pytest.raises(SyntaxProblem, match="is both"):
            parse(text)


@pytest.mark.parametrize("text", [
    "struct s { %s int a; %s };" % ("struct { " * 3000, "}; " * 3000), "int %s a;" % ("(" * 3000), "int (%s a;" % ("*" * 100_000),
    "int a%s;" % ("[1]" * 20_000), "struct s { int a : %s; };" % ("(" * 100_000), "typedef int %s;" % ", ".join("t%d" % n for n in range(20_000)),
])
def test_text_of_any_depth_and_length_is_read_or_refused(text):
    try:
        parse(text)
    except SyntaxProblem as reason:
        assert len(str(reason)) < 500
