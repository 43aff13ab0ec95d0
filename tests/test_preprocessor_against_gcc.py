"""preprocess() held against `gcc -E -P`, token by token: the standard's programs, random ones, kernels.

The programs under macros/ are C texts, one for each part of the preprocessor; gcc says what comes
out. Random programs define a handful of macros at random and use them; LAYOUT_EXPERT_SEED=number
repeats a run, and hypothesis shrinks what differs.
"""
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dwarf import CompilerRefused, can_compile, run_gcc
from rekall_layout_expert import preprocess
from rekall_layout_expert.errors import LayoutExpertError

PROGRAMS = Path(__file__).with_name("macros")
INCLUDE_PATHS = [str(PROGRAMS), str(PROGRAMS / "include"), str(PROGRAMS / "later")]
SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
EXAMPLES = 600

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


@st.composite
def macro_programs(draw):
    """A few macros that may name each other, and lines that invoke them."""
    def pick(alternatives):
        return alternatives[draw(st.integers(0, len(alternatives) - 1))]

    def body(parameters, variadic):
        words, previous = [], ""
        for _ in range(draw(st.integers(0, 7))):
            choices = ["x", "1"] + NAMES + parameters * 3 + ["(", ")", ",", "F(", "G(", "+", "-", "\"s\"", ".", "H()"]
            if parameters:
                choices += [f"#{pick(parameters)}", f"# {pick(parameters)}"] * 2
            if variadic:
                choices += ["__VA_OPT__(x)", "__VA_OPT__(,)", "__VA_OPT__(__VA_ARGS__ A)", ", ## __VA_ARGS__"]
            if words and previous != "##":
                choices += ["##"] * 3
            previous = pick(choices)
            words.append(previous)
        while words and words[-1] == "##":
            words.pop()
        return " ".join(words)

    def arguments(depth):
        return "".join(argument(depth) for _ in range(draw(st.integers(0, 4))))

    def argument(depth):
        choices = ["x", "1", " ", ",", ", ", "+", "\n", "\"q\"", "'c'", "y z", "/* */"] + NAMES
        if depth:
            choices += [f"{pick(NAMES)}{pick(['(', ' ('])}{arguments(depth - 1)})" for _ in range(2)] * 4
            choices += [f"({arguments(depth - 1)})"]
        return pick(choices)

    lines = []
    for name in NAMES:
        parameters = pick([None, [], ["p"], ["p"], ["p", "q"], ["__VA_ARGS__"], ["p", "__VA_ARGS__"]])
        variadic = bool(parameters) and parameters[-1] == "__VA_ARGS__"
        if parameters is None:
            listed = " "
        elif pick([False] * 5 + [variadic]):
            listed = f"({', '.join(parameters[:-1] + ['r...'])}) "
            parameters, variadic = parameters[:-1] + ["r"], False
        else:
            listed = f"({', '.join(parameters).replace('__VA_ARGS__', '...')}) "
        lines.append(f"#define {name}{listed}{body(parameters or [], variadic)}")
    for _ in range(draw(st.integers(1, 5))):
        lines.append(" ".join(argument(3) for _ in range(draw(st.integers(1, 4)))))
        if draw(st.integers(0, 9)) == 9:
            name = pick(NAMES)
            lines.append(f"#undef {name}")
            if draw(st.booleans()):
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
