"""c_integers: integer constant expressions, as the C standard types them and as gcc computes them.

A value here is (number, width in bits, is it unsigned?), since a type decides what follows.
"""
import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from c_values import gcc_values, our_value, read_types, value_in
from dwarf import can_compile, run_gcc
from rekall_layout_expert import layout, preprocess
from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.parser.scope import NotKnown

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))


INT, UNSIGNED = (32, False), (32, True)
LONG, UNSIGNED_LONG = (64, False), (64, True)


def value(expression, target="x86_64", declarations=""):
    return our_value(expression, target, declarations)


def number(expression, target="x86_64", declarations=""):
    return our_value(expression, target, declarations)[0]


# Constants: the first type of the list for its base and suffix that holds the value (C11 6.4.4.1).

@pytest.mark.parametrize("text, expected", [
    ("0", (0, *INT)),
    ("2147483647", (2147483647, *INT)),
    ("2147483648", (2147483648, *LONG)),  # decimal: never unsigned
    ("0x7fffffff", (0x7FFFFFFF, *INT)),
    ("0x80000000", (0x80000000, *UNSIGNED)),  # hexadecimal: unsigned before long
    ("037777777777", (0xFFFFFFFF, *UNSIGNED)),
    ("0b101", (5, *INT)),
    ("0x100000000", (1 << 32, *LONG)),
    ("0x8000000000000000", (1 << 63, *UNSIGNED_LONG)),
    ("1u", (1, *UNSIGNED)),
    ("1U", (1, *UNSIGNED)),
    ("4294967296u", (1 << 32, *UNSIGNED_LONG)),
    ("1l", (1, *LONG)),
    ("1ul", (1, *UNSIGNED_LONG)),
    ("1LU", (1, *UNSIGNED_LONG)),
    ("1ll", (1, *LONG)),
    ("1uLL", (1, *UNSIGNED_LONG)),
    ("0777", (511, *INT)),
    ("00", (0, *INT)),
])
def test_type_of_a_constant(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize("text, expected", [
    ("2147483648", (2147483648, *LONG)),  # long long, for long is as narrow as int
    ("4294967295u", (4294967295, *UNSIGNED)),
    ("1l", (1, *INT)),
    ("1ul", (1, *UNSIGNED)),
    ("0x80000000l", (0x80000000, *UNSIGNED)),
    ("1ll", (1, *LONG)),
])
def test_type_of_a_constant_where_long_has_32_bits(text, expected):
    assert value(text, "i386") == expected


@pytest.mark.parametrize("text, expected", [
    ("'a'", 97), (r"'\n'", 10), (r"'\0'", 0), (r"'\x41'", 65), (r"'\101'", 65), (r"'\\'", 92), (r"'\''", 39),
    (r"'\377'", -1),  # char is signed on x86
    ("'ab'", 0x6162),
    (r"L'\xff'", 255),
])
def test_character_constants_are_ints(text, expected):
    assert value(text) == (expected, *INT)


@pytest.mark.parametrize("text", ["08", "1x", "0x", "1lul", "1.5", "1e3", "''", "0b2", "18446744073709551616"])
def test_what_is_no_integer_constant_is_refused(text):
    with pytest.raises((NotConstant, NotKnown)):
        value(text)


# Arithmetic: in the type of the usual arithmetic conversions (C11 6.3.1.8), wrapping in its width.

@pytest.mark.parametrize("expression, expected", [
    ("2147483647 + 1", (-2147483648, *INT)),
    ("4294967295u + 1", (0, *UNSIGNED)),
    ("0u - 1", (4294967295, *UNSIGNED)),
    ("0ul - 1", ((1 << 64) - 1, *UNSIGNED_LONG)),
    ("-1 + 0u", (4294967295, *UNSIGNED)),
    ("-1 + 0ul", ((1 << 64) - 1, *UNSIGNED_LONG)),
    ("1u + 1l", (2, *LONG)),  # a wider signed type holds every unsigned int
    ("-1l + 0u", (-1, *LONG)),
    ("-1 < 0u", (0, *INT)),
    ("-1 < 0l", (1, *INT)),
    ("-1 == 4294967295u", (1, *INT)),
    ("0xffffffff == -1", (1, *INT)),
    ("-2147483648", (-2147483648, *LONG)),
    ("~0", (-1, *INT)),
    ("~0u", (4294967295, *UNSIGNED)),
    ("~0ul", ((1 << 64) - 1, *UNSIGNED_LONG)),
    ("!5", (0, *INT)),
    ("!0ul", (1, *INT)),
    ("+'a'", (97, *INT)),
    ("-7 / 2", (-3, *INT)),  # truncated towards zero
    ("-7 % 2", (-1, *INT)),
    ("7 / -2", (-3, *INT)),
    ("7 % -2", (1, *INT)),
    ("-7u / 2", (2147483644, *UNSIGNED)),
    ("1 << 31", (-2147483648, *INT)),
    ("1ul << 63", (1 << 63, *UNSIGNED_LONG)),
    ("1 << 3ul", (8, *INT)),  # the right operand has no part in the type
    ("-8 >> 1", (-4, *INT)),
    ("-8u >> 1", (2147483644, *UNSIGNED)),
    ("6 & 3 | 8 ^ 1", (11, *INT)),
    ("3 > 2 > 1", (0, *INT)),
])
def test_arithmetic(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("1u + 1l", (2, *UNSIGNED)),  # here long does not hold every unsigned int
    ("-1l < 0u", (0, *INT)),
    ("~0ul", (4294967295, *UNSIGNED)),
    ("1ll << 40", (1 << 40, *LONG)),
    ("sizeof(int) - 5", (4294967295, *UNSIGNED)),
])
def test_arithmetic_where_long_has_32_bits(expression, expected):
    assert value(expression, "i386") == expected


@pytest.mark.parametrize("expression, expected", [
    ("2 + 3 * 4", 14),
    ("(2 + 3) * 4", 20),
    ("20 - 5 - 3", 12),
    ("100 / 10 / 5", 2),
    ("1 << 2 + 1", 8),
    ("1 | 2 == 2", 1),
    ("5 & 4 == 4", 1),
    ("1 ^ 1 & 0", 1),
    ("1 || 0 && 0", 1),
    ("-2 * -3", 6),
    ("!0 + 1", 2),
    ("~1 & 3", 2),
    ("1 ? 2 : 0 ? 3 : 4", 2),
    ("0 ? 2 : 0 ? 3 : 4", 4),
    ("1 == 1 ? 7 : 8", 7),
    ("1 < 2 == 1", 1),
    ("256 >> 2 >> 2", 16),
    ("- - 3", 3),
    ("7 ?: 9", 7),  # GNU C: the middle may be left out
    ("0 ?: 9", 9),
    ("(1, 2)", 2),
])
def test_precedence_and_association(expression, expected):
    assert number(expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("0 && 1 / 0", 0),
    ("1 || 1 / 0", 1),
    ("1 ? 5 : 1 / 0", 5),
    ("0 ? 1 / 0 : 5", 5),
    ("1 ?: 1 / 0", 1),
])
def test_what_is_not_evaluated_may_be_anything(expression, expected):
    assert number(expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("1 ? -1 : 0u", (4294967295, *UNSIGNED)),
    ("0 ? 0ul : -1", ((1 << 64) - 1, *UNSIGNED_LONG)),
    ("1 ? -1 : 0l", (-1, *LONG)),
    ("1 ? (char)1 : (short)2", (1, *INT)),
    ("-1 ?: 0u", (4294967295, *UNSIGNED)),
])
def test_a_conditional_has_the_type_of_both_its_ends(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize("expression, expected", [
    ("(char)255", (-1, 8, False)),
    ("(unsigned char)-1", (255, 8, True)),
    ("(unsigned char)255 + 1", (256, *INT)),  # promoted
    ("(short)40000", (-25536, 16, False)),
    ("(_Bool)7", (1, 8, True)),
    ("(unsigned)-1", (4294967295, *UNSIGNED)),
    ("(long)(unsigned)-1", (4294967295, *LONG)),
    ("(unsigned long)-1", ((1 << 64) - 1, *UNSIGNED_LONG)),
    ("(int)3.99", (3, *INT)),
    ("-(unsigned char)1", (-1, *INT)),
    ("~(unsigned short)0", (-1, *INT)),
    ("(int)sizeof(long)", (8, *INT)),
    ("(u8)300", (44, 8, True)),
    ("(enum e)1", (1, *UNSIGNED)),
])
def test_casts(expression, expected):
    assert value(expression, declarations="typedef unsigned char u8; enum e { one = 1 };") == expected


@pytest.mark.parametrize("expression, lp64, ilp32", [
    ("sizeof(long)", 8, 4), ("sizeof(void *)", 8, 4), ("sizeof(char[3][5])", 15, 15), ("sizeof(struct s)", 16, 8),
    ("sizeof(struct s *)", 8, 4), ("sizeof(u)", 8, 4), ("sizeof(int (*)(void))", 8, 4), ("sizeof 1", 4, 4),
    ("sizeof 1l", 8, 4), ("sizeof('a')", 4, 4), ('sizeof("four")', 5, 5), ("sizeof(((struct s *)0)->b)", 8, 4),
    ("sizeof(1 ? 1 : 1ll)", 8, 8), ("sizeof(long) * 8", 64, 32), ("sizeof((char)1)", 1, 1),
    ("sizeof((char)1 + (char)1)", 4, 4), ("sizeof(typeof(((struct s *)0)->b))", 8, 4), ("sizeof(enum e)", 4, 4),
    ("__alignof__(long)", 8, 4), ("_Alignof(struct s)", 8, 4), ("__builtin_offsetof(struct s, b)", 8, 4),
    ("__builtin_offsetof(struct s, b) + sizeof(char)", 9, 5), ("(unsigned long)&((struct s *)0)->b", 8, 4),
    ("__builtin_offsetof(struct nested, inner[2].b)", 40, 20), ("BIG - 1", 0xFFFFFFFF, 0xFFFFFFFF), ("two", 2, 2),
    ("__builtin_types_compatible_p(int, signed)", 1, 1), ("__builtin_types_compatible_p(long, int)", 0, 0),
    ("__builtin_choose_expr(sizeof(long) == 8, 64, 32)", 64, 32), ("_Generic(1l, long: 1, default: 2)", 1, 1),
    ("__builtin_constant_p(1)", 1, 1), ("__builtin_ctz(8)", 3, 3), ("__builtin_clzl(1)", 63, 31),
    ("__builtin_ffs(0)", 0, 0), ("__builtin_popcount(255)", 8, 8), ("(1 ? two : 3) + two", 4, 4),
    ("__builtin_clzll(1)", 63, 63), ("__extension__ 3", 3, 3), ("*&two + 0 == two", None, None),
])
def test_what_gnu_c_adds(expression, lp64, ilp32):
    declarations = """typedef union { long a; char b; } u;
    struct s { char a; long b; };
    struct nested { struct s inner[3]; };
    enum e { one = 1, two };
    enum wide { BIG = 1ll << 32 };
    """
    for target, expected in (("x86_64", lp64), ("i386", ilp32)):
        if expected is None:
            with pytest.raises((NotConstant, NotKnown)):
                number(expression, target, declarations)
        else:
            assert number(expression, target, declarations) == expected


@pytest.mark.parametrize("expression, expected", [
    ("sizeof(object)", 6), ("sizeof object[0]", 2), ("sizeof(one)", 4), ("sizeof(wide)", 8), ("sizeof(function())", 8),
    ("sizeof(typeof(one + 0l))", 8), ("__builtin_types_compatible_p(typeof(object[1]), short)", 1),
    ("(typeof(one))7", 7), ("sizeof(*pointer)", 2), ("sizeof(1 ? one : 0l)", 8),
])
def test_the_type_of_a_name(expression, expected):
    declarations = "enum { one = 1 }; enum { wide = 1ll << 40 }; extern short object[3], *pointer; extern long function(void);"
    assert number(expression, declarations=declarations) == expected


@pytest.mark.parametrize("expression", [
    "1 / 0", "1 % 0", "1 << 32", "1 << -1", "1ul << 64", "unknown", "unknown()", "(unknown)1", "1 +", "(1", "1)",
    "1 2", "", "* 3", "sizeof(struct unknown)", "sizeof(int[])", "({ 1; })", "object", "&object", "function()",
    "(struct s){1}.a", "(float)1", "1 ? 2", "? 1 : 2", "&&", "_Generic(1, long: 1)", '"text"',
    "__builtin_offsetof(struct s, absent)", "__builtin_offsetof(struct s, bits)", "__builtin_clz(0)",
    "__builtin_unreachable()", "((struct s *)8)->a", "1.0", "(int)1e30",
])
def test_whatever_has_no_certain_value_is_refused(expression):
    declarations = "struct s { int a; int bits : 3; }; extern int object; int function(void);"
    with pytest.raises((NotConstant, NotKnown)):
        value(expression, declarations=declarations)


DEEP = [
    pytest.param("(" * 3000 + "1" + ")" * 3000, id="parentheses"),
    pytest.param("- " * 700 + "1", id="signs"),
    pytest.param("1" + " + 1" * 3000, id="a sum"),
    pytest.param("1 ? " * 3000 + "1" + " : 1" * 3000, id="conditionals"),
]


@pytest.mark.parametrize("expression", DEEP)
def test_an_expression_that_is_too_deep_has_no_value_and_is_never_a_crash(expression):
    for declaration in ("struct s { char a[%s]; };", "enum { count = %s }; struct s { char a[count]; };",
                        "struct s { typeof(%s) a; };", "struct s { char a; int b __attribute__((aligned(%s))); };"):
        made = layout(declaration % expression + " struct other { int a; };")
        assert made["other"][0] == 4 and ("s" not in made or made["s"][0] in (1, 4, 8, 3001))


@pytest.mark.parametrize("expression", DEEP)
def test_a_condition_that_is_too_deep_is_an_error_and_never_a_crash(expression):
    try:
        assert holds(expression)
    except LayoutExpertError as reason:
        assert "nested too deeply" in str(reason)


# In #if every type is as wide as intmax_t (C11 6.10.1p4).

def holds(condition):
    return preprocess("#if %s\nyes\n#else\nno\n#endif" % condition) == "yes\n"


@pytest.mark.parametrize("condition", [
    "2147483647 + 1 == 2147483648",
    "-1 > 0u",
    "-1 == 0xffffffffffffffff",
    "0xffffffff != -1",
    "~0u == 0xffffffffffffffff",
    "1 << 62 > 0",
    "18446744073709551615 == -1",
    "(2 || 1 / 0) && 'a' == 97",
    r"'\377' < 0",
    "unknown == 0",
    "true == 0",
    "defined unknown || !defined(unknown)",
    "(0 ? -1 : 0u) == 0 && (1 ? -1 : 0u) > 0",
    "-7 / 2 == -3 && -7 % 2 == -1",
    "0b11 == 3 && 010 == 8",
])
def test_a_condition_counts_in_intmax(condition):
    assert holds(condition)


@pytest.mark.parametrize("condition", ["1 / 0", "", "(1", "1)", "sizeof(int) == 4", "1.0", '"text"', "1 =  1", "1 ? 2",
                                       "defined", "defined(", "f(1", "0x", "(int)1", "a b"])
def test_a_condition_without_a_value_is_an_error(condition):
    with pytest.raises(LayoutExpertError):
        preprocess("#define f(x) x\n#if %s\n#endif" % condition)


# gcc is the oracle: random expressions, hundreds in one compilation.

CONSTANTS = st.sampled_from(
    ["0", "1", "2", "3", "7", "31", "'a'", "'\\377'", "2147483647", "2147483648", "0x80000000", "0xffffffff", "4294967296",
     "0x7fffffffffffffff", "0x8000000000000000", "017", "1u", "5u", "4294967295u", "1l", "3ul", "9ll", "8ull", "0ul"])
TYPES = st.sampled_from(["char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned", "long",
                         "unsigned long", "long long", "unsigned long long", "_Bool"])
BINARY = st.sampled_from("* / % + - << >> < > <= >= == != & ^ | && ||".split())


def expressions(with_types):
    def larger(inner):
        shapes = [
            st.tuples(st.just("("), inner, BINARY, inner, st.just(")")),
            st.tuples(inner, BINARY, inner),  # precedence decides
            st.tuples(st.just("("), inner, st.just("?"), inner, st.just(":"), inner, st.just(")")),
            st.tuples(st.sampled_from("- ~ ! +".split()), st.just("("), inner, st.just(")")),
        ]
        if with_types:
            shapes += [st.tuples(st.just("(("), TYPES, st.just(")("), inner, st.just("))")),
                       st.tuples(st.just("sizeof("), inner, st.just(")"))]
        return st.one_of(shapes).map(" ".join)
    return st.recursive(CONSTANTS, larger, max_leaves=8)


def random_expressions(with_types, count):
    found = []

    @seed(SEED)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate])
    @given(expressions(with_types))
    def collect(expression):
        found.append(expression)

    collect()
    return sorted(set(found))


@pytest.mark.parametrize("target", ["x86_64", "i386"])
def test_random_expressions_have_gcc_s_values_and_types(target, capsys):
    if not can_compile(target):
        pytest.skip("no gcc here compiles for %s" % target)
    ours, refused = {}, []
    types = read_types("", target)
    for expression in random_expressions(True, 400):
        try:
            ours[expression] = value_in(types, expression)
        except NotConstant as reason:
            assert "division by zero" in str(reason) or "a shift by" in str(reason), (expression, reason)
            refused.append(expression)
    for expression, truth in zip(ours, gcc_values(list(ours), target)):
        assert (expression, *ours[expression]) == (expression, *truth), "seed %d" % SEED
    assert len(ours) > 200 and len(ours) > len(refused)
    with capsys.disabled():
        print("\n%s: %d expressions as gcc has them, %d without a value (seed %d)"
              % (target, len(ours), len(refused), SEED))


@pytest.mark.skipif(not can_compile("x86_64"), reason="no gcc here")
def test_random_conditions_are_decided_as_gcc_decides_them():
    known = []
    for expression in random_expressions(False, 400):
        try:
            holds(expression)
        except LayoutExpertError as reason:
            assert "division by zero" in str(reason), (expression, reason)
        else:
            known.append(expression)
    text = "".join("#if %s\nyes%d\n#endif\n" % (expression, place) for place, expression in enumerate(known))
    assert preprocess(text).split() == run_gcc(["-E", "-P", "-w"], text).split(), "seed %d" % SEED
    assert len(known) > 200
