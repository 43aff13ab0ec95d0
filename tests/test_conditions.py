"""An answer to a condition is kept with what it depended on, and holds no longer than that."""
import pytest

from rekall_layout_expert.preprocessor.compiler import find_compiler
from rekall_layout_expert.preprocessor.directories import DirectoryHeaders
from rekall_layout_expert.preprocessor.text import PrintedUnit, unit_text

# As include/linux/kconfig.h has it: a name that is pasted together is no macro, or is one.
IS_ENABLED = """
#define PLACEHOLDER_1 0,
#define SECOND(ignored, value, ...) value
#define IS_ENABLED(option) ENABLED_(option)
#define ENABLED_(value) ENABLED__(PLACEHOLDER_##value)
#define ENABLED__(arg1_or_junk) SECOND(arg1_or_junk 1, 0)
"""


def holds(text, *circumstances, source=""):
    """Whether a condition holds under each of several {name: replacement}, all asked of the same headers."""
    headers = DirectoryHeaders("%s\n#if %s\nyes\n#else\nno\n#endif\n" % (source, text), ())
    compiler = find_compiler("gcc 12.2.0", "x86_64")
    found = []
    for defines in circumstances:
        unit = PrintedUnit(headers, compiler, headers.MAIN, defines)
        found.append(unit_text(unit).strip() == "yes")
    return found


@pytest.mark.parametrize("text, source, circumstances, answers", [
    ("A > 1", "", [{"A": 1}, {"A": 2}, {"A": 2}, {}], [False, True, True, False]),
    ("A > 1", "#define A B", [{"B": 1}, {"B": 2}, {}], [False, True, False]),
    ("defined A && !defined(B)", "", [{"A": 1}, {"A": 1, "B": 1}, {}, {"A": 1}], [True, False, False, True]),
    ("F(A)", "#define F(x) x", [{"A": 0}, {"A": 1}, {"A": 0}], [False, True, False]),
    ("F(A)", "", [{"F(x)": "1"}, {"F(x)": "0"}, {"F(x)": "x", "A": 1}], [True, False, True]),
    # Of what is pasted together, and of what is dropped, nothing is left in the answer.
    ("IS_ENABLED(X)", IS_ENABLED, [{}, {"X": 1}, {"X": 2}, {"X": 2, "PLACEHOLDER_2": "0,"}, {}],
     [False, True, False, True, False]),
    ("IS_ENABLED(X) || IS_ENABLED(Y)", IS_ENABLED, [{}, {"Y": 1}, {"X": 1}, {}], [False, True, True, False]),
])
def test_an_answer_is_that_of_the_macros_as_they_are(text, source, circumstances, answers):
    assert holds(text, *circumstances, source=source) == answers
    assert [holds(text, each, source=source)[0] for each in circumstances] == answers


def test_the_macros_of_one_unit_change_too():
    text = "#if A\nfirst\n#endif\n#define A 1\n#if A\nsecond\n#endif\n#undef A\n#if A\nthird\n#endif\n"
    headers = DirectoryHeaders(text, ())
    assert unit_text(PrintedUnit(headers, find_compiler("gcc 12.2.0", "x86_64"), headers.MAIN)).strip() == "second"


def test_what_the_compiler_and_the_files_say_is_asked_again(tmp_path):
    headers = DirectoryHeaders('#if __has_include("later.h") || __has_attribute(counted_by)\nyes\n#endif\n', [tmp_path])

    def text(compiler):
        return unit_text(PrintedUnit(headers, find_compiler(compiler, "x86_64"), headers.MAIN)).strip()

    assert (text("gcc 12.2.0"), text("clang 19.1.0"), text("gcc 12.2.0")) == ("", "yes", "")
    (tmp_path / "later.h").write_text("")
    assert text("gcc 12.2.0") == "yes"
