"""Our record layouts and our account of clang's own macros and operators held against clang's, of every version here.

The random records are those that gcc is asked, too (see random_c.py). LAYOUT_EXPERT_SEED=number repeats a run.
"""
import os
import random
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from clang import KERNEL_FLAGS, TARGET_FLAGS, clangs_or_skip, compile_records, run
from comparison import Comparison, of_profile
from dwarf import LINKED, CompilerRefused
from random_c import ILP32, translation_units
from rekall_layout_expert import layout, preprocess
from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.preprocessor.compiler import _clang_answers, find_compiler
from test_record_layout_against_gcc import is_beyond_vtypes
from test_targets_against_gcc import BIG_ENDIAN, NOT_OF_THE_TEXT

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
TARGETS = sorted(TARGET_FLAGS)
SAMPLE = random.Random(SEED).sample([target for target in TARGETS if target not in ("x86_64",) + LINKED], 1)
DEFINITIONS = 12
CLANGS_GCC = 9  # clang takes what that gcc takes: no [[gnu::...]] in gnu11, no aligned enums
# What clang does not know, and what stands for it.
UNKNOWN_TYPES = {"_Decimal32": "float", "_Decimal64": "double", "_Decimal128": "long double", "_Float32": "float",
                 "_Float128": "long double", "_Float64x": "long double", "__float128": "long double"}


def without_unknown_types(text):
    return re.sub(r"\b(%s)\b" % "|".join(UNKNOWN_TYPES), lambda match: UNKNOWN_TYPES[match.group()], text)


def compare(text, target, version, command):
    """The Comparison of our records with clang's, and the names of those that we left out."""
    truth = {name: [record] for name, record in compile_records(command, text, target).items()
             if name not in NOT_OF_THE_TEXT}
    ours = of_profile({"$STRUCTS": layout(text, target=target, compiler=version)}, 4 if target in ILP32 else 8,
                      target in BIG_ENDIAN)
    comparison = Comparison(ours, truth)
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference) and not is_told_as_whole(difference)]
    return comparison, sorted(truth.keys() - ours.keys())


def is_told_as_whole(difference):
    """Whether clang only says of a bit-field as wide as its type in which byte it stands, as older ones do."""
    if difference.member is None or difference.truth is None or difference.truth[1] is not None:
        return False
    if difference.ours is None:
        return (difference.truth[2] or 0) >= 8  # more than 64 bits from its byte on, which no vtype says
    offset, width = difference.ours[:2]
    return (offset - offset % 8, width) == (difference.truth[0], 8 * (difference.truth[2] or 0))


def random_records(target, examples, fewest, capsys):
    """Random units; those few that clang refuses (what it calls incomplete) count for nothing."""
    for version, command in clangs_or_skip().items():
        try:
            if not compile_records(command, "struct unused { int member; };", target):
                continue  # older than -fno-eliminate-unused-debug-types
        except CompilerRefused:
            continue  # without a linker for this target
        counts = Counter()

        @seed(SEED)
        @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
                  phases=(Phase.generate,), report_multiple_bugs=False)
        @given(translation_units(target, DEFINITIONS, gcc=CLANGS_GCC))
        def agrees(unit):
            text = without_unknown_types(unit.text)
            if int(version.split()[1].split(".")[0]) >= 23:
                text = text.replace("ms_struct", "unused")  # what packs it there is not known
            try:
                comparison, left_out = compare(text, target, version, command)
            except CompilerRefused:
                return
            counts.update(records=comparison.records, members=comparison.members)
            assert not comparison.wrong and not left_out, (
                f"{version}, {target}, LAYOUT_EXPERT_SEED={SEED}\n{text}\nleft out: {left_out}\n" +
                "\n".join(f"{wrong.record}.{wrong.member}: ours {wrong.ours}, clang's {wrong.truth}"
                          for wrong in comparison.wrong))

        agrees()
        with capsys.disabled():
            print(f"\n{version}, {target}: {counts['records']} random records with {counts['members']} members agree, "
                  f"none left out; LAYOUT_EXPERT_SEED={SEED}")
        assert counts["records"] >= fewest


@pytest.mark.parametrize("target", ["x86_64", *SAMPLE])
def test_random_records(target, capsys):
    random_records(target, 24, 60, capsys)  # of few examples clang may refuse most


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_random_records(target, capsys):
    random_records(target, 250, 2000, capsys)


# Where the two part: target, text, and the size of `s` in bytes as clang and as gcc have it.
DIFFERENCES = [
    ("x86_64", "struct s { char c; enum { A } __attribute__((aligned(16))) e; };", 32, 8),
    # A bit-field that #pragma pack does not let have its alignment is not aligned at all.
    ("x86_64", "#pragma pack(4)\nstruct s { int : 23; long long b : 5 __attribute__((aligned(8))); char c[4]; };\n"
     "#pragma pack()\n", 8, 12),
    ("i386", "typedef int v __attribute__((vector_size(8))); struct s { char c; v m; };", 16, 12),
    ("mips", "struct s { char c; } __attribute__((aligned));", 16, 8),
    # ms_struct is known on every target, and takes whole units in a union.
    ("arm64", "struct s { char a; int b : 3; } __attribute__((ms_struct));", 8, 4),
    ("x86_64", "struct s { union { long long a : 3; } __attribute__((ms_struct, packed)) b; };", 8, 1),
    ("x86_64", "#pragma ms_struct on\nstruct s { char a; int b : 3; short c : 3; };\n#pragma ms_struct off\n", 12, 4),
    ("x86_64", "#pragma ms_struct on\n#pragma ms_struct reset\nstruct s { char a; int b : 3; short c : 3; };\n", 4, 4),
    ("i386", "struct s { char a; unsigned b __attribute__((mode(DI))); } __attribute__((ms_struct));", 16, 16),
    ("i386", "typedef double t[2]; struct s { char a; t b; } __attribute__((ms_struct));", 24, 24),
    ("arm64", "struct s { char a; __builtin_va_list b; } __attribute__((ms_struct));", 40, 40),
    # #pragma pack counts as it is where the record begins.
    ("x86_64", "struct s { char a;\n#pragma pack(1)\nint b; };\n#pragma pack()\n", 8, 5),
    ("x86_64", "#pragma pack(1)\nstruct s { char a[sizeof(struct { char b; int c; })]; };\n#pragma pack()\n", 5, 5),
    # A definition inherits the attributes of declarations before it.
    ("x86_64", "struct __attribute__((packed)) s *p; struct s { char a; int b; };", 5, 8),
    ("x86_64", "struct __attribute__((aligned(8))) s; struct s { char a; };", 8, 1),
    ("x86_64", "struct __attribute__((ms_struct)) s; struct s { char a; int b : 3; };", 8, 4),
    ("x86_64", "struct s { char a; struct __attribute__((packed)) s *p; };", 16, 16),
    ("x86_64", "enum __attribute__((packed)) e *p; enum e { E }; struct s { enum e e; };", 1, 4),
]


@pytest.mark.parametrize("target, text, clangs_size, gccs_size", DIFFERENCES)
def test_where_clang_and_gcc_part(target, text, clangs_size, gccs_size):
    assert layout(text, target=target)["s"][0] == gccs_size
    for version, command in clangs_or_skip().items():
        assert layout(text, target=target, compiler=version)["s"][0] == clangs_size, version
        assert compile_records(command, text + "struct s used;", target)["s"][0] == clangs_size, version


# Elements that are smaller than their alignment lie side by side, and the array is as long as its alignment asks.
SMALL_ELEMENTS = """typedef int t __attribute__((aligned(64)));
struct s { char a; t b[3]; char c; };
struct nested { char a; t b[2][3]; char c; };
typedef t array[3];
struct named { array a; char b; array c[2]; char d[sizeof(array)]; char e[__alignof__(array)]; };
struct empty { char a; t b[0]; };
"""


@pytest.mark.parametrize("target", ["x86_64", "i386", "arm"])
def test_arrays_of_elements_smaller_than_their_alignment(target):
    assert layout(SMALL_ELEMENTS, target=target, compiler="clang 14.0.6")["s"][0] == 192
    assert "s" not in layout(SMALL_ELEMENTS, target=target, compiler="clang 16.0.6")
    for version, command in clangs_or_skip().items():
        try:
            true = compile_records(command, SMALL_ELEMENTS, target)
        except CompilerRefused as error:
            assert "isn't a multiple of its alignment" in str(error) and int(version.split()[1].split(".")[0]) >= 16
            continue
        ours = layout(SMALL_ELEMENTS, target=target, compiler=version)
        for name, (size, members) in true.items():
            assert ours[name][0] == size
            assert {member: 8 * offset for member, (offset, _) in ours[name][1].items()} == {
                member: place.bit_offset for member, place in members.items()}


def macros_of(command, flags):
    """{name, with its parameters: replacement} of what clang predefines."""
    text = run([command, *flags, "-dM", "-E", "-x", "c", "-"], "")
    return dict(re.match(r"#define (\w+(?:\([^)]*\))?) ?(.*)", line).groups() for line in text.splitlines())


# The vendor's words, and what newer ones compute when it is asked.
OTHERWISE = ("__VERSION__", "__clang_version__", "__FLT_EVAL_METHOD__")


@pytest.mark.parametrize("target", TARGETS)
def test_predefined_macros(target):
    flags = ["-std=gnu11", "-fshort-wchar", "-O2", "-fno-PIE", *TARGET_FLAGS[target].split(), *KERNEL_FLAGS[target].split()]
    for version, command in clangs_or_skip().items():
        if version < "clang 9.1" and target.startswith("riscv"):
            continue  # it has no -mcmodel=medany
        ours = {name + ("" if parameters is None else "(%s)" % ",".join(parameters)): body
                for name, parameters, body in find_compiler(version, target, kernel=True).predefined()}
        true = macros_of(command, flags)
        for name in OTHERWISE:
            ours.pop(name, None), true.pop(name, None)
        assert ours == true, version


@pytest.mark.parametrize("operator", ["attribute", "builtin", "feature", "extension", "c_attribute"])
def test_operators(operator):
    names = sorted(_clang_answers()[operator]) + ["__packed__", "nothing", "__builtin_nothing"]
    for version, command in clangs_or_skip().items():
        if operator == "c_attribute" and int(version.split()[1].split(".")[0]) < 17:
            names = [name for name in names if ":" not in name]
        flags = ["-std=gnu11", "-O2", "-w", *TARGET_FLAGS["x86_64"].split(), *KERNEL_FLAGS["x86_64"].split()]
        text = "".join("\"%s\" __has_%s(%s)\n" % (name, operator, name) for name in names)
        true = dict(re.findall(r'^"(\S+)" (\d+)', run([command, *flags, "-undef", "-E", "-P", "-x", "c", "-"], text), re.M))
        answer = find_compiler(version, "x86_64", kernel=True).operators()["__has_" + operator]
        assert {name: str(answer(name)) for name in names} == true, version


def test_what_is_not_known_is_refused():
    answer = find_compiler("clang 16.0.6").operators()
    for operator, name in (("__has_builtin", "__builtin_ia32_paddb128"), ("__has_warning", '"-Wall"')):
        with pytest.raises(NotConstant, match="not known"):
            answer[operator](name)


def test_preprocess_as_clang():
    text = "#ifdef __clang__\n#if __clang_major__ == 19 && __has_feature(c_static_assert)\nclang\n#endif\n#else\ngcc\n#endif\n"
    assert preprocess(text, compiler="clang 19.1.7") == "clang\n"
    assert preprocess(text) == "gcc\n"
