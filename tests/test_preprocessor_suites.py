"""preprocess() on the test suites of other preprocessors, beside `gcc -E -P`: GCC's own, clang's, mcpp's, Boost's.

Debian's source packages bring them; they are kept outside the repository. What gcc takes must give the same tokens; what
gcc refuses must be refused. What is not so is listed here, with its reason, and an entry that no longer holds fails.
"""
import functools
import os
import re
import resource
import subprocess
import tempfile
from collections import Counter

import pytest

from dwarf import can_compile
from kernels import Unavailable, cache_directory, suite
from rekall_layout_expert import preprocess
from rekall_layout_expert.errors import LayoutExpertError
from test_preprocessor_against_gcc import differs, tokens

pytestmark = [pytest.mark.slow, pytest.mark.network,
              pytest.mark.skipif(not can_compile("x86_64"), reason="no gcc here")]

DEBIAN = "bookworm"         # its gcc is the oracle
GCC_TAKES_AT_MOST = 5       # seconds of CPU time: a few of Boost's programs are endless for gcc, too
GCC_HOLDS_AT_MOST = 2 << 30
OPTION = re.compile(r"(?<![\w-])-([DU])([^\s\"{}\\=]+)(?:=([^\s\"{}\\]+))?")

# suite: (package, members of its archive, patterns of the programs, include paths beside the program's own)
SUITES = {
    "gcc": ("gcc-12", ["*/gcc/testsuite/gcc.dg/cpp/*", "*/gcc/testsuite/c-c++-common/cpp/*"], ["**/cpp/**/*.c"], []),
    "clang": ("llvm-toolchain-14", ["*/clang/test/Preprocessor/*", "*/clang/test/Lexer/*"], ["**/*.c", "**/*.cpp"], []),
    "mcpp": ("mcpp", ["*/cpp-test/*"], ["**/test-[tl]/*.[ct]"], []),
    "boost": ("boost1.81", ["*/libs/preprocessor/*", "*/libs/wave/test/*", "*/libs/config/include/*"],
              ["**/preprocessor/**/*.c", "**/wave/test/**/*.cpp"], ["libs/preprocessor/include", "libs/config/include"]),
}

# Every program with another outcome than gcc's, with the reason.
KNOWN = {
    "line-1.c": "flags of line markers, which only preprocessed text has",
    "file-name-1.c": "flags of line markers, which only preprocessed text has",
    "has-builtin-2.c": "library functions are no builtins, as in a kernel (-ffreestanding)",
    "has-builtin-3.c": "library functions are no builtins, as in a kernel (-ffreestanding)",
    "has_attribute.c": "attributes that no kernel asks for",
    "l_37_6.c": "expressions in #if nested more than 100 deep are refused",
    "t_5_037.cpp": "#line whose __LINE__ is spelled on several lines",
    "import_self.c": "a text that imports itself has no path here",
    "pr96323.c": "a malformed raw string is none, and no error",
    "cxx0x_raw_string_delim_length.cpp": "a malformed raw string is none, and no error",
    "cxx0x_raw_string_unterminated.cpp": "a malformed raw string is none, and no error",
    "e_ucn.c": "a universal character behind a macro's name in its #define is not looked at",
    "u_1_5.c": "control characters 0x1c to 0x1f count as white space",
}


def programs(name):
    package, members, patterns, _ = SUITES[name]
    try:
        if name == "gcc":
            root = gcc_testsuite(members)
        else:
            root = suite(DEBIAN, kind="deb-src").unpacked_source(package, *members)
    except Unavailable as reason:
        pytest.skip("no %s: %s" % (package, reason))
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file() and "trad" not in path.parts}
    return root, sorted(found)


def gcc_testsuite(members):
    """The members of the archive inside the package gcc-12-source."""
    package = suite(DEBIAN).unpacked("gcc-12-source")
    target = cache_directory() / "sources" / package.name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        archives = sorted(package.glob("usr/src/gcc-12/gcc-12*.tar.*"))
        if not archives:
            raise Unavailable("%s holds no archive" % package.name)
        with tempfile.TemporaryDirectory(dir=str(target.parent)) as scratch:
            contents = os.path.join(scratch, "contents")
            os.mkdir(contents)
            subprocess.run(["tar", "--extract", "--no-same-owner", "--file", str(archives[0]), "--directory", contents,
                            "--wildcards", *members], check=True)
            os.rename(contents, str(target))
    return target


@functools.lru_cache(maxsize=None)
def system_headers():
    """Where gcc finds the headers of the system."""
    done = subprocess.run(["gcc", "-E", "-v", "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C"), check=True)
    return [os.path.normpath(line[1:]) for line in done.stderr.splitlines() if line.startswith(" /")]


# CI takes the small ones: the others' sources are hundreds of megabytes.
@pytest.mark.parametrize("name", ["boost", "clang", pytest.param("gcc", marks=pytest.mark.ci), pytest.param("mcpp", marks=pytest.mark.ci)])
def test_suite(name, tmp_path, capsys, monkeypatch):
    root, paths = programs(name)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.chdir(tmp_path)
    common = [str(path) for pattern in SUITES[name][3] for path in root.glob("*/" + pattern)]
    counts, wrong = Counter(), []
    for path in paths:
        outcome, message = compared(path, common + system_headers(), tmp_path)
        if path.name in KNOWN:
            outcome, message = ("known to differ", "") if outcome == "differ" else ("differ", "not any more: " + outcome)
        counts[outcome] += 1
        if outcome == "differ":
            wrong.append("%s: %s" % (path.relative_to(root), message))
    with capsys.disabled():
        print("\n%s: %d programs: %s" % (name, len(paths), ", ".join("%d %s" % each[::-1] for each in sorted(counts.items()))))
    assert counts["agree"] > 0.4 * len(paths) or name == "boost" and counts["agree"] > 100
    assert not wrong, "\n".join(wrong)


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (GCC_TAKES_AT_MOST, GCC_TAKES_AT_MOST))
    resource.setrlimit(resource.RLIMIT_AS, (GCC_HOLDS_AT_MOST, GCC_HOLDS_AT_MOST))


def compared(path, include_paths, directory):
    """(outcome, message) of one program."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    options = OPTION.findall("\n".join(re.findall(r"dg-options(.*)", text)))
    include_paths = [str(path.parent)] + include_paths
    # gcc reads a file called as preprocess() calls a text, so that __FILE__ agrees.
    (directory / "<source>").write_bytes(path.read_bytes())
    command = ["gcc", "-E", "-P", "-w", "-std=gnu11", "-nostdinc", *("-I" + each for each in include_paths),
               *("-%s%s" % (kind, name) + ("=" + value if value else "") for kind, name, value in options),
               "-x", "c", "<source>"]
    # The compiler proper is the driver's child, and outlives it: limits are what it inherits.
    gcc = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         preexec_fn=limit, env=dict(os.environ, LC_ALL="C.UTF-8"), check=False)
    if b"Killed" in gcc.stderr or b"CPU time limit" in gcc.stderr or b"memory" in gcc.stderr:
        return "endless for gcc", ""
    defines = {name: None if kind == "U" else value or "1" for kind, name, value in options}
    errors = [line for line in gcc.stderr.decode("utf-8", "replace").splitlines() if "error:" in line]
    try:
        ours = tokens(preprocess(text, defines=defines, include_paths=include_paths))
    except LayoutExpertError as error:
        return ("differ", "only refused here: %s" % error) if not gcc.returncode else ("are refused by both", "")
    if gcc.returncode:
        return "differ", "only refused by gcc: %s" % errors[:1]
    difference = differs(ours, tokens(gcc.stdout.decode("utf-8", "surrogateescape")))
    return ("differ", difference) if difference else ("agree", "")
