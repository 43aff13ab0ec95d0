"""Gigantic texts are refused in one line or laid out, in bounded memory and a bounded number of steps.

Each text is a few lines, or one thing nested a thirty thousand times. It is read in a process of its own that may not have
more than a gigabyte, and in which calls of our functions are counted: no text may take more than MOST_CALLS. There the
number of tokens that one macro call may make, which is what bounds most of these, is a hundredth of what it is else.
"""
import json
import subprocess
import sys

import pytest

from rekall_layout_expert import LayoutExpertError, layout, preprocess
from rekall_layout_expert.preprocessor import macros

MEMORY = 1 << 30
MOST_CALLS = 1000000
DEEP = 30000


def doubling(levels, first="int x;"):
    """A macro for each level that is the one before it, twice: the last is a text of 2 ** levels times the first."""
    return "#define A0 %s\n" % first + "".join("#define A%d A%d A%d\n" % (n, n - 1, n - 1) for n in range(1, levels + 1))


def nested(opening, inner, closing, depth=DEEP):
    return opening * depth + inner + closing * depth


LAID_OUT = {
    "macros that double": doubling(40) + "struct s { A40 };\n",
    "arguments that double": "#define D(x) x x\nstruct s { char c[%s]; };\n" % nested("D(", "1", ")", 40),
    "tokens that double": "#define D(x) x##x\n#define E(x) D(x)\nstruct s { int %s; };\n" % nested("E(", "a", ")", 40),
    "strings that double": "#define S(x) #x\n#define T(x) S(x)\nstruct s { char c[sizeof(%s)]; };\n" % nested("T(", "a", ")", 60),
    "parentheses": "struct s { char c[%s]; };\n" % nested("(", "1", ")"),
    "parentheses in a declarator": "struct s { int %s; };\n" % nested("(", "p", ")"),
    "structs": "%s\n" % nested("struct {", "int a;", "};"),
    "operators": "struct s { char c[%s1]; };\n" % ("-" * DEEP),
    "a long number": "struct s { char c[%s]; };\n" % ("9" * DEEP),
    "a long character constant": "struct s { char c['%s']; };\n" % ("\\377" * DEEP),
    "too many bytes": "struct s { char c[1ull << 62][1ull << 62]; };\n",
}
PREPROCESSED = {
    "macros that double": doubling(40) + "A40\n",
    "macros that double in a condition": doubling(40, "1 +") + "#if A40 1\n#endif\n",
    "tokens that double": "#define D(x) x##x\n#define E(x) D(x)\n%s\n" % nested("E(", "a", ")", 40),
    "strings that double": "#define S(x) #x\n#define T(x) S(x)\n%s\n" % nested("T(", "a", ")", 60),
    "parentheses in a condition": "#if %s\n#endif\n" % nested("(", "1", ")"),
    "a long number in a condition": "#if %s\n#endif\n" % ("9" * DEEP),
    "a header that includes itself": "#include __FILE__\n",
}
MEASURING = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (%d, %d))
import rekall_layout_expert
folder = rekall_layout_expert.__path__[0]
calls = [0]
def count(frame, event, _):
    if event == "call" and frame.f_code.co_filename.startswith(folder):
        calls[0] += 1
        if calls[0] > %d:
            sys.setprofile(None)
            raise SystemExit("too many calls")
from rekall_layout_expert.preprocessor import macros
macros._MOST_TOKENS //= 100
macros._MOST_TOKENS_PRINTED //= 100
what, text = json.load(sys.stdin)
function = getattr(rekall_layout_expert, what)
sys.setprofile(count)
try:
    result = function(text)
except rekall_layout_expert.LayoutExpertError as error:
    result = str(error)
sys.setprofile(None)
print(json.dumps([calls[0], len(result), result if what == "layout" else None]))
"""


def measured(what, text):
    """[calls of our functions, length of the result, the result of layout()]."""
    script = MEASURING % (MEMORY, MEMORY, MOST_CALLS)
    done = subprocess.run([sys.executable, "-c", script], input=json.dumps([what, text]), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", LAID_OUT)
def test_layout(name):
    _, _, result = measured("layout", LAID_OUT[name] + "struct other { int a; };\n")
    assert result == {"other": [4, {"a": [0, ["int"]]}]} or name == "parentheses" and result["s"][0] == 1


@pytest.mark.parametrize("name", PREPROCESSED)
def test_preprocess(name):
    measured("preprocess", PREPROCESSED[name])


def test_what_is_refused_says_so():
    for text, problem in ((PREPROCESSED["tokens that double"], "a token of more than 1048576 characters"),
                          (PREPROCESSED["strings that double"], "a string of more than 1048576 characters")):
        with pytest.raises(LayoutExpertError, match=problem):
            preprocess(text)


def test_many_calls_that_are_each_within_bounds_are_bounded_together(monkeypatch):
    monkeypatch.setattr(macros, "_MOST_TOKENS_PRINTED", 5000)
    monkeypatch.setattr(macros, "_MOST_TOKENS", 5000)
    text = doubling(8) + "A8\n" * 200
    with pytest.raises(LayoutExpertError, match="macros expand to more than 10.... tokens"):
        preprocess(text)
    assert "s" not in layout(doubling(8) + "struct s { %s };\n" % ("A8\n" * 200))
