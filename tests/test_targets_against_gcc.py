"""Random records on every target but x86, against gcc: widths, alignments, byte order and the ABIs' own rules.

LAYOUT_EXPERT_SEED=number repeats a run.
"""
import os
import random
import re
import subprocess

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from comparison import Comparison, of_profile
from dwarf import COMPILERS, can_compile, command, compile_records, versions
from random_c import ILP32, translation_units
from rekall_layout_expert import layout
from test_record_layout_against_gcc import is_beyond_vtypes

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
BIG_ENDIAN = ("arm64be", "armbe", "mips", "mips64", "powerpc32", "powerpc64be", "s390")
# The compiler's own records behind __builtin_va_list.
NOT_OF_THE_TEXT = ("__va_list", "__va_list_tag")


def check(target, examples, definitions, version=None):
    """Random records of gcc's version, default the one that is simply called gcc (as 12 lays them out)."""
    if not can_compile(target, version):
        pytest.skip("no such gcc here compiles for " + target)
    number = version or 12

    @seed(SEED)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)
    @given(translation_units(target, definitions, number))
    def agrees(unit):
        truth = {name: [record] for name, record in compile_records(unit.text, target, version=version).items()
                 if name not in NOT_OF_THE_TEXT}
        ours = of_profile({"$STRUCTS": layout(unit.text, target=target, compiler=f"gcc {number}.1.0")},
                          4 if target in ILP32 else 8, target in BIG_ENDIAN)
        wrong = [difference for difference in Comparison(ours, truth).wrong if not is_beyond_vtypes(difference)]
        assert not wrong and not truth.keys() - ours.keys(), f"{target}, LAYOUT_EXPERT_SEED={SEED}\n{unit.text}"

    agrees()


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(COMPILERS.keys() - {"x86_64", "i386"}))
def test_random_records(target):
    check(target, 4, 30)


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(COMPILERS))
def test_random_records_of_every_version_of_gcc_that_is_here(target):
    """They differ in the types of enumerators (13), and newer ones know more: enum e : type (13), _BitInt (14)."""
    if not versions(target):
        pytest.skip("no gcc here goes by its version for " + target)
    for version in versions(target):
        check(target, 4, 30, version)


@pytest.mark.parametrize("target", ["arm", "arm64"])
def test_unnamed_bit_fields_align_on_arm(target):
    text = "struct unnamed { char a; int : 0; char b; };"
    assert layout(text, target=target)["unnamed"][0] == 8
    assert layout(text)["unnamed"][0] == 5


def test_bits_count_from_the_other_end():
    """Rekall counts bits from the least significant one of the unit that it reads."""
    text = "struct bits { unsigned int first : 3, second : 29; };"
    for target, start, end in (("x86_64", 0, 3), ("s390", 29, 32)):
        offset, (_, bits) = layout(text, target=target)["bits"][1]["first"]
        assert (offset, bits["start_bit"], bits["end_bit"]) == (0, start, end)


def test_a_bit_field_of_128_bits_is_aligned_to_the_biggest_alignment():
    text = "struct wide { long a; unsigned __int128 b : 128; };"
    assert layout(text, target="s390")["wide"][0] == 24
    assert layout(text)["wide"][0] == 32


MS_STRUCT = "struct s { char a; int b : 3; } __attribute__((ms_struct));"


@pytest.mark.parametrize("target", sorted(COMPILERS))
def test_ms_struct_is_known_on_x86_and_powerpc(target):
    size = 8 if target in ("x86_64", "i386") or target.startswith("powerpc") else 4
    assert layout(MS_STRUCT, target=target)["s"][0] == size
    if can_compile(target):
        assert compile_records(MS_STRUCT, target)["s"][0] == size


def test_ms_struct_of_a_gcc_that_had_other_rules_is_left_out():
    assert layout(MS_STRUCT, compiler="gcc 7.5.0") == {}
    assert layout(MS_STRUCT, target="arm64", compiler="gcc 7.5.0")["s"][0] == 4


def test_a_pragma_in_the_middle_of_an_expression_is_left_out():
    text = "struct s { char a[sizeof(struct { char b;\n#pragma pack(1)\nint c; })]; int d; };\n"
    assert layout(text) == {} and set(layout(text + "#pragma pack()\nstruct t { int a; };")) == {"t"}


def test_typeof_unqual_of_what_has_an_alignment_of_its_own_is_left_out():
    """GCC drops the alignment together with the qualifiers, and only then; these are not kept."""
    text = "typedef char wide __attribute__((aligned(8)));\nstruct s { char a; __typeof_unqual__(const wide) b; };\n"
    text += "struct t { char a; __typeof_unqual__(const long) b; };\n"
    assert set(layout(text)) == {"t"}


# The first char's eight bits would cross a byte, the second's do not: offsets of `b` in bits, of `c` in bytes, the size.
PACKED_CHARS = "struct s { char a : 6; char b : 4; char c; } __attribute__((packed));"
PACKED_CHARS_INSIDE = "struct s { char a : 4; char b : 4; char c; } __attribute__((packed));"


@pytest.mark.parametrize("compiler, bit, size", [("gcc 4.4.0", 6, 3), ("gcc 12.2.0", 6, 3), ("gcc 4.3.6", 8, 3), ("gcc 4.1.2", 8, 3)])
def test_packed_bit_fields_of_char_as_each_gcc_has_them(compiler, bit, size):
    """Which those are, GCC's manual tells of -Wpacked-bitfield-compat."""
    ours = layout(PACKED_CHARS, compiler=compiler)["s"]
    offset, (_, place) = ours[1]["b"]
    assert (8 * offset + place["start_bit"], ours[0]) == (bit, size)
    attribute_of_the_member = PACKED_CHARS.replace(" : 4", " : 4 __attribute__((packed))").replace("} __attribute__((packed))", "}")
    assert layout(attribute_of_the_member, compiler=compiler)["s"] == ours


def test_gcc_itself_notes_which_packed_bit_fields_have_moved():
    if not can_compile("x86_64"):
        pytest.skip("no gcc here")
    generator = random.Random(SEED)
    records = {}
    for number in range(200):
        fields = "".join("%s m%d : %d;" % (generator.choice(("char", "unsigned char", "_Bool", "signed char")), place, width)
                         if width else "char m%d;" % place
                         for place, width in enumerate(generator.choices(range(9), k=generator.randrange(1, 6)))
                         ).replace("_Bool m", "_Bool : 1; char m")
        records["s%d" % number] = "struct s%d { %s } __attribute__((packed));" % (number, fields)
    text = "\n".join(records.values()) + "\n"
    done = subprocess.run([*command("x86_64"), "-fsyntax-only", "-x", "c", "-"], input=text, text=True, stderr=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C"), check=True)
    lines = re.findall(r"<stdin>:(\d+):\d+: note: offset of packed bit-field", done.stderr)
    moved = {"s%d" % (int(line) - 1) for line in lines}
    today, then, unknown = (layout(text, compiler="gcc " + version) for version in ("12.2.0", "4.3.6", "3.4.6"))
    assert {name for name in records if today[name] != then[name]} == moved, SEED
    assert records.keys() - unknown.keys() == moved, SEED
    assert 20 < len(moved) < 180


def test_packed_bit_fields_of_char_of_a_gcc_that_nobody_knows():
    assert layout(PACKED_CHARS, compiler="gcc 3.4.6") == {}
    assert layout(PACKED_CHARS_INSIDE, compiler="gcc 3.4.6") == layout(PACKED_CHARS_INSIDE)
    realigned = "typedef int t __attribute__((aligned(1))); struct s { t a : 16; } __attribute__((packed));"
    assert layout(realigned, compiler="gcc 3.4.6") == {}
