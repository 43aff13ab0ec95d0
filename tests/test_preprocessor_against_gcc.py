"""preprocess() held against `gcc -E -P`, token by token: the standard's programs, random ones, kernels.

The programs under macros/ are C texts, one for each part of the preprocessor; gcc says what comes
out. Random programs define a handful of macros at random and use them; LAYOUT_EXPERT_SEED=number
repeats a run, and hypothesis shrinks what differs.
"""
import functools
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dwarf import CompilerRefused, can_compile, compile_records, run_gcc
from kernel_gcc import ROOT, kernel_flags, where_present
from kernels import kernel_or_skip, pre_ast
from rekall_layout_expert import layout, preprocess
from rekall_layout_expert.c_tokens import Pragma
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.kernel import Kernel

PROGRAMS = Path(__file__).with_name("macros")
INCLUDE_PATHS = [str(PROGRAMS), str(PROGRAMS / "include"), str(PROGRAMS / "later")]
SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
EXAMPLES = 400

pytestmark = pytest.mark.skipif(not can_compile("x86_64"), reason="no gcc here")

# Written on its own, so that a mistake of the product's tokenizer shows.
TOKEN = re.compile(r"""
    (?:u8|[uUL])?"(?:[^"\\\n]|\\.)*" | (?:u8|[uUL])?'(?:[^'\\\n]|\\.)*'
  | \.?[0-9](?:[eEpP][-+]|[\w.])* | [\w$]+
  | \.\.\.|<<=|>>=|%:%:|\+\+|--|->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|<:|:>|<%|%>|%:|\S""", re.X)


def tokens(text):
    return TOKEN.findall(text)


def expected(text, target="x86_64"):
    paths = [option for path in INCLUDE_PATHS for option in ("-I", path)]
    return tokens(run_gcc(["-E", "-P", "-w", "-std=gnu11", *paths], text, target))


def differs(ours, gcc):
    """Where two token lists part, for a message; None if they do not."""
    if ours == gcc:
        return None
    place = next((place for place, pair in enumerate(zip(ours, gcc)) if pair[0] != pair[1]), min(len(ours), len(gcc)))
    return (f"token {place}: after {' '.join(gcc[max(0, place - 10):place])!r}\n"
            f"ours {' '.join(ours[place:place + 12])!r}\ngcc  {' '.join(gcc[place:place + 12])!r}")


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.c")), ids=lambda path: path.stem)
@pytest.mark.parametrize("target", ("x86_64", "i386"))
def test_program(program, target):
    text = program.read_text()
    ours = tokens(preprocess(text, include_paths=INCLUDE_PATHS, target=target))
    assert not differs(ours, expected(text, target))


@pytest.mark.parametrize("text", [
    "#if 1 / 0\n#endif\n", "#if 1 +\n#endif\n", "#if (1\n#endif\n", "#if \"text\"\n#endif\n", "#if 1.5\n#endif\n",
    "#if 1\n", "#endif\n", "#else\n", "#if 1\n#else\n#else\n#endif\n", "#if 0\n#else\n#elif 1\n#endif\n",
    "#error message\n", "#include <none.h>\n", "#include nothing\n", "#include \"none.h\"\n", "#if\n#endif\n",
    "#define f(x) x\nf(1\n", "#define f(x) x\nf(1, 2)\n", "#define f(x, y) x\nf(1)\n", "#define f(x) #y\nf(1)\n",
    "#define f( x\n", "#define defined 1\n", "#define 1\n", "#ifdef\n#endif\n", "/* unterminated\n",
    "#define f(x, x) x\n", "#if 1 = 1\n#endif\n", "#if defined\n#endif\n", "#if func(\n#endif\n", "#undef\n",
    "#include \"plain.h\n", "#if 09\n#endif\n", "#if 1 2\n#endif\n", "#if 1 ? 2\n#endif\n", "#if ''\n#endif\n",
])
def test_what_gcc_refuses(text):
    with pytest.raises(CompilerRefused):
        expected(text)
    with pytest.raises(LayoutExpertError) as caught:
        preprocess(text, include_paths=INCLUDE_PATHS)
    assert "\n" not in str(caught.value)


# Random programs

NAMES = ["A", "B", "F", "G", "H"]


@functools.lru_cache(maxsize=None)
def integers_below(count):
    return st.integers(0, count - 1)


@st.composite
def macro_programs(draw):
    """A few macros that may name each other, and lines that invoke them, mostly with as many arguments as they take."""
    def below(count):
        return draw(integers_below(count))

    def pick(alternatives):
        return alternatives[below(len(alternatives))]

    def body(parameters, variadic):
        words, chain = [], False
        for _ in range(below(8)):
            operands = ["x", "1"] + NAMES + parameters * 3
            others = ["F(", ")", ",", "(x)", "G(x)", "F(1)", "H()", "+", "-", "\"s\"", "F(A)", "B(x, 1)"]
            others += [f"#{name}" for name in parameters * 2]
            if variadic:
                others += ["__VA_OPT__(x)", "__VA_OPT__(,)", "__VA_OPT__(__VA_ARGS__ A)", ", ## __VA_ARGS__"]
            word = pick(operands if chain else operands + others)
            chain = word in operands and below(4) == 3
            words += [word, "##"] if chain else [word]
        return " ".join(words[:-1] if chain else words)

    def words(depth, comma=","):
        return "".join(word(depth, comma) for _ in range(below(5)))

    def word(depth, comma):
        kind = below(20) if depth else below(12)
        if kind < 8:
            return pick(["x", "1", " ", comma, "+", "\n", "\"q\"", "'c'", "y z", "/* */"])
        if kind < 12:
            return pick(NAMES)
        if kind == 19:
            return f"({words(depth - 1)})"
        name = pick(NAMES)
        arguments = [words(depth - 1, " ") for _ in lists[name] or [""]]
        return f"{name}{pick(['', ' '])}({pick([',', ', ']).join(arguments)})"

    lists = {name: pick([None, [], ["p"], ["p"], ["p", "q"], ["__VA_ARGS__"], ["p", "__VA_ARGS__"], ["p", "r..."]])
             for name in NAMES}
    lines = []
    for name, parameters in lists.items():
        if parameters is None:
            lines.append(f"#define {name} {body([], False)}")
            continue
        listed = ", ".join(parameters).replace("__VA_ARGS__", "...")
        lines.append(f"#define {name}({listed}) " +
                     body([parameter.rstrip(".") for parameter in parameters], "__VA_ARGS__" in parameters))
    for _ in range(1 + below(5)):
        lines.append(" ".join(words(3) for _ in range(1 + below(4))))
        if below(10) == 9:
            name = pick(NAMES)
            lines.append(f"#undef {name}")
            if below(2):
                lines.append(f"#define {name} {body([], False)}")
    return "\n".join(lines) + "\n"


@st.composite
def conditions(draw, depth=4):
    """An expression for #if."""
    kind = draw(st.integers(0, 9)) if depth else 0
    if kind < 3:
        return draw(st.sampled_from((
            "0", "1", "2", "7", "1u", "0u", "-1", "63", "64", "3000000000", "0x7fffffffffffffff", "0xffffffffffffffff",
            "9223372036854775807", "18446744073709551615u", "1ull", "010", "0b11", "'a'", "'\\377'", "'\\n'", "name",
            "defined A", "defined(B)", "!defined B", "A", "F(2)", "'ab'", "L'\\x80'", "2147483648", "true")))
    inner = conditions(depth - 1)
    if kind == 3:
        return f"{draw(st.sampled_from('!~-+'))} {draw(inner)}"
    if kind == 4:
        return f"({draw(inner)})"
    if kind == 5:
        return f"({draw(inner)} ? {draw(inner)} : {draw(inner)})"
    operator = draw(st.sampled_from(("+", "-", "*", "/", "%", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&", "|",
                                     "^", "&&", "||")))
    return f"{draw(inner)} {operator} {draw(inner)}"


def random_test(strategy):
    """Runs a property on random programs, reproducibly, and says how many gcc took."""
    def decorate(check):
        def run(capsys):
            counts = Counter()

            @seed(SEED)
            @settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck),
                      phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)
            @given(strategy)
            def agrees(drawn):
                check(drawn, counts)

            agrees()
            with capsys.disabled():
                print(f"\n{check.__name__}: {counts['taken']} random programs agree with gcc, {counts['refused']} are "
                      f"none to gcc; LAYOUT_EXPERT_SEED={SEED}")
            assert counts["taken"] >= EXAMPLES // 4
        run.__name__ = check.__name__
        return run
    return decorate


@random_test(macro_programs())
def test_random_macros(program, counts):
    try:
        gcc = expected(program)
    except CompilerRefused:
        counts["refused"] += 1
        return
    counts["taken"] += 1
    ours = tokens(preprocess(program))
    assert not differs(ours, gcc), f"LAYOUT_EXPERT_SEED={SEED}\n{program}\n{differs(ours, gcc)}"


@random_test(conditions())
def test_random_conditions(condition, counts):
    # Value, sign and signedness show in what is taken.
    program = "#define A 5\n#define F(x) (x + 0u)\n" + "".join(
        f"#if {test}\n{number}\n#endif\n" for number, test in enumerate((
            condition, f"({condition}) < 0", f"({condition}) > 1", f"({condition}) - 1 - ({condition}) < 0",
            f"({condition}) & 4", f"({condition}) & 0x5555555555555555", f"({condition}) >> 32 & 0xff")))
    try:
        gcc = expected(program)
    except CompilerRefused:
        counts["refused"] += 1
        return
    counts["taken"] += 1
    ours = tokens(preprocess(program))
    assert not differs(ours, gcc), f"LAYOUT_EXPERT_SEED={SEED}\n{program}\n{differs(ours, gcc)}"


# Kernels

def record_definitions(stream):
    """{tag, or typedef's name of a record without: its tokens from struct or union to the semicolon} at file scope."""
    found, position, depth = {}, 0, 0
    while position < len(stream):
        token = stream[position]
        if token in ("struct", "union") and not depth:
            opening, tag = position + 1, None
            while stream[opening] == "__attribute__":
                opening = matching(stream, opening + 1) + 1
            if stream[opening] not in "{(*;,)":
                tag, opening = stream[opening], opening + 1
            if stream[opening] == "{":
                end = matching(stream, opening) + 1
                last = None
                while stream[end] not in (";", "="):
                    if stream[end] in "([{":
                        end = matching(stream, end)
                    elif re.match(r"[A-Za-z_]", stream[end]) and stream[end] != "__attribute__":
                        last = stream[end]
                    end += 1
                if tag or last:
                    found[tag or last] = stream[position:end]
                position = end
                continue
        depth += (token in ("(", "{", "[")) - (token in (")", "}", "]"))
        position += 1
    return found


def matching(stream, opening):
    """The position of the bracket that closes the one at `opening`."""
    depth = 0
    for position in range(opening, len(stream)):
        depth += (stream[position] in ("(", "{", "[")) - (stream[position] in (")", "}", "]"))
        if not depth:
            return position
    raise ValueError("a bracket is not closed")


@pytest.mark.network
@pytest.mark.parametrize("series, flavour", [
    ("6.1", "amd64"), ("6.1", "cloud-amd64"), ("5.10", "amd64"), ("6.12", "amd64"), ("7.2", "amd64"),
])
def test_kernel_records(series, flavour, capsys):
    kernel = kernel_or_skip(series, flavour)
    config = KernelConfig.read(kernel.config)
    unit = Kernel(pre_ast(kernel.tree), config).unit
    ours = record_definitions(list(expanded(unit)))
    root = where_present(ROOT.read_text())
    text = run_gcc(["-E", "-P", "-w", *kernel_flags(kernel.common, kernel.tree, config)], root)
    gcc = record_definitions(tokens(re.sub(r"^#.*", "", text, flags=re.M)))
    with capsys.disabled():
        print(f"\n{kernel.release}: {len(gcc)} record definitions with {sum(map(len, gcc.values()))} tokens compared "
              f"with gcc -E")
    assert len(gcc) > 1500
    assert not gcc.keys() ^ ours.keys()
    wrong = {name: differs(ours[name], gcc[name]) for name in gcc if ours[name] != gcc[name]}
    assert not wrong


def expanded(unit):
    """The tokens of a walked unit, without pragmas."""
    for declaration in unit.declarations:
        try:
            yield from (token for token in unit.expand(declaration) if not isinstance(token, Pragma))
        except LayoutExpertError:
            continue  # it needs a number that only the build computes; a record in it will be missed in the comparison


# layout() looks at declarations when all is walked, so what _Pragma does in the middle of them is its matter, too.

PUSHING = """#define N 1
#define M 1
#define DO(x) _Pragma(#x)
#define SAME(x) x
#define PUSH _Pragma("push_macro(\\"N\\")")
#define POP _Pragma("pop_macro(\\"N\\")")
"""


def pushing_program(generator):
    lines = [PUSHING]

    def pragma():
        name, macro = generator.choice(("push", "pop")), generator.choice("NM")
        spelled = '_Pragma("%s_macro(\\"%s\\")")' % (name, macro)
        return generator.choice((spelled, spelled, "SAME(%s)" % spelled, 'DO(%s_macro("%s"))' % (name, macro), "PUSH", "POP"))

    def defined():
        return "#undef {0}\n#define {0} {1}\n".format(generator.choice("NM"), generator.randrange(1, 30))

    for number in range(generator.randrange(4, 16)):
        maybe = [pragma() if generator.random() < 0.25 else "" for _ in range(2)]
        struct = "struct s%d { char a[N]; %s char b[M]; %s char c[N]; };" % (number, *maybe)
        lines.append(generator.choice((
            defined(), defined(), pragma(), '#pragma pop_macro("N")', '#pragma push_macro("M")', struct, struct,
            "SAME(%s)" % struct, "%s %s" % (pragma(), struct), "%s %s" % (struct, pragma()))))
    return "\n".join(lines) + "\n#undef N\n#define N 1\nstruct last { char a[N]; };\n"


def test_layouts_where_pragma_operators_push_and_pop_macros():
    generator = random.Random(SEED)
    for _ in range(60):
        text = pushing_program(generator)
        true = {name: size for name, (size, _) in compile_records(text).items()}
        assert {name: size for name, (size, _) in layout(text).items()} == true, f"LAYOUT_EXPERT_SEED={SEED}\n{text}"


def test_a_pragma_operator_in_the_middle_of_a_declaration_with_directives_is_refused():
    text = "#define N 1\n#define OPEN(x) x\nstruct s { OPEN(char a[N]; _Pragma(\"pop_macro(\\\"N\\\")\")\n#define A\n) };"
    with pytest.raises(LayoutExpertError, match="pop_macro.* in one declaration with directives"):
        layout(text)
