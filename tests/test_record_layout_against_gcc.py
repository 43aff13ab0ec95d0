"""Our record layouts held against gcc's: random ones by the thousand, and one for every known trap.

The traps are C files under layouts/ that read like a specification: each block opens with the rule
it shows, each member carries the byte offset expected of it (`.N` is the bit at which a bit-field
starts there), each record its size, both in hexadecimal and with i386's value where that differs.
The rule may name the one target that it is of. gcc must agree with the file, and we with gcc.

The random records change from run to run: LAYOUT_EXPERT_SEED=number repeats a run. hypothesis
shrinks a unit in which something differs, so that what is printed is minimal.
"""
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings

from comparison import Comparison, of_profile
from dwarf import can_compile, compile_records, compile_types
from random_c import PRELUDE, translation_units
from rekall_layout_expert import layout
from rekall_layout_expert.record_layout.layouts import Placement

TARGETS = ("x86_64", "i386")
SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
DEFINITIONS = 20  # in a unit, besides what they need


@pytest.fixture(params=TARGETS)
def target(request):
    if not can_compile(request.param):
        pytest.skip(f"no gcc here compiles for {request.param}")
    return request.param


def compare(text, target):
    """gcc's records, the Comparison of ours with them, and the names of those that we left out."""
    truth = compile_records(text, target)
    truth.pop("__va_list_tag", None)  # the compiler's own, behind __builtin_va_list
    ours = of_profile({"$STRUCTS": layout(text, target=target)}, pointer_size=4 if target == "i386" else 8)
    comparison = Comparison(ours, {name: [record] for name, record in truth.items()})
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference)]
    return truth, comparison, sorted(truth.keys() - ours.keys())


def is_beyond_vtypes(difference):
    """Whether only the bit-field is missing that no native type of Rekall's covers: nine bytes or more."""
    if difference.ours is not None or difference.truth[1] is None:
        return False
    offset, width, _ = difference.truth
    return offset % 8 + width > 64


@pytest.mark.parametrize("examples, fewest", [(170, 1500), pytest.param(3500, 40000, marks=pytest.mark.slow)])
def test_random_records(target, examples, fewest, capsys):
    units, counts, constructs = set(), Counter(), Counter()

    @seed(SEED)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)
    @given(translation_units(target, DEFINITIONS))
    def agrees(unit):
        _, comparison, left_out = compare(unit.text, target)
        if unit.text not in units:
            units.add(unit.text)
            counts.update(records=comparison.records, members=comparison.members)
            constructs.update(unit.constructs)
        assert not comparison.wrong and not left_out, (
            f"{target}, LAYOUT_EXPERT_SEED={SEED}\n{unit.text}\nleft out: {left_out}\n" +
            "\n".join(f"{wrong.record}.{wrong.member}: ours {wrong.ours}, gcc's {wrong.truth}"
                      for wrong in comparison.wrong))

    agrees()
    with capsys.disabled():
        print(f"\n{target}: {counts['records']} random records with {counts['members']} members of "
              f"{len(constructs)} constructs agree with gcc, none left out; LAYOUT_EXPERT_SEED={SEED}")
    assert counts["records"] >= fewest


def test_a_difference_shrinks_to_one_small_struct(monkeypatch):
    """What hypothesis prints of a wrong rule can be read: here bit-fields may cross any unit of their type."""
    def differs(unit):
        right = layout(unit.text)
        with monkeypatch.context() as patch:
            patch.setattr(Placement, "_spans_too_much", lambda *_: False)
            return layout(unit.text) != right

    unit = find(translation_units(definitions=2), differs, random=random.Random(1),
                settings=settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck)))
    text = unit.text[len(PRELUDE):]
    # Empty records may be left before it: what hypothesis can take away there depends on the modules that are loaded.
    with_members = re.findall(r"\{\n *[^ }\n]", text)
    assert len(with_members) == 1 and text.count(":") <= 4 and len(text) < 250, text


NATIVE = {"bool": ("bool", 1), "char": ("signed", 1), "unsigned char": ("unsigned", 1), "signed byte": ("signed", 1),
          "short": ("signed", 2), "unsigned short": ("unsigned", 2), "int": ("signed", 4),
          "unsigned int": ("unsigned", 4), "long long": ("signed", 8), "unsigned long long": ("unsigned", 8)}


def is_type(vtype, true, native):
    """Whether a vtype says what gcc says of a type (see dwarf.compile_types)."""
    name, arguments = vtype[0], vtype[1] if len(vtype) > 1 else None
    kind = true[0]
    if name == "BitField":
        # Of an enum's sign DWARF says nothing.
        return kind in ("enum", "bytes", "bool") or native[arguments["native_type"]][0] == kind
    if kind == "bytes":
        return name in native or arguments == {"count": true[1], "target": "unsigned char"}
    if kind in ("pointer", "array"):
        inner = [arguments["target"], arguments.get("target_args")]
        return (name == kind.title() and (kind == "pointer" or arguments["count"] == true[1]) and
                is_type(inner, true[-1], native))
    if kind == "enum":
        return (native[arguments["target"]][1] if name == "Enumeration" else native[name][1]) == (true[1] or 4)
    if kind == "record":
        # "Void" is an incomplete one. A record without a tag goes by some typedef's name, or by one of ours.
        return name == "Void" or name not in native and true[1] in (None, name)
    return name == "Void" if true == "void" else native.get(name) == true


def test_random_types(target, capsys):
    size = 4 if target == "i386" else 8
    native = {**NATIVE, "long": ("signed", size), "unsigned long": ("unsigned", size)}
    counts = Counter()

    @seed(SEED)
    @settings(max_examples=30, database=None, deadline=None, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)
    @given(translation_units(target, DEFINITIONS))
    def agrees(unit):
        text = unit.text.replace("__builtin_va_list", "long")  # which vtypes hold as bytes
        ours = layout(text, target=target)
        for record, members in compile_types(text, target).items():
            for member, true in members.items():
                if member in ours[record][1]:
                    vtype = ours[record][1][member][1]
                    assert is_type(vtype, true, native), (
                        f"{target}, LAYOUT_EXPERT_SEED={SEED}\n{text}\n{record}.{member}: ours {vtype}, gcc's {true}")
                    counts["members"] += 1

    agrees()
    with capsys.disabled():
        print(f"\n{target}: the types of {counts['members']} random members agree with gcc; LAYOUT_EXPERT_SEED={SEED}")


# The specification

class Rule:
    """One block of a specification file.

    expected: [(record, words, value as written)]: one of the words is the member; none of a record's size.
    """

    def __init__(self, place, text):
        self.text = text
        self.title = text.split("\n", 1)[0].lstrip("/ ")
        self.id = f"{place}: {self.title}"
        self.targets = [name for name in TARGETS if self.title.startswith(name + ":")] or TARGETS
        self.expected = list(self._expected())

    def _expected(self):
        record = None
        for line in self.text.split("\n"):
            code, _, comment = line.partition("  // ")
            if comment.startswith("size "):
                record = re.search(r"(?:struct|union)\s+(?:(?:__attribute__|\[\[)\S+\s+)?(\w+)", code).group(1)
                yield record, set(), comment[len("size "):]
            elif "0x" in comment:
                for item in comment.split("; "):
                    name, value = re.fullmatch(r"(?:(\w+) )?(0x.*)", item).groups()
                    yield record, {name} if name else set(re.findall(r"\w+", code)), value


def value_for(target, text):
    """'0x08.3, i386 0x04.3' for a target as (byte, bit or None)."""
    common, _, i386 = text.partition(", i386 ")
    byte, _, bit = (i386 if i386 and target == "i386" else common).partition(".")
    return int(byte, 16), int(bit) if bit else None


RULES = [Rule(f"{path.stem}:{number}", block)
         for path in sorted(Path(__file__).with_name("layouts").glob("*.c"))
         for number, block in enumerate(re.split(r"\n\n(?=//)", path.read_text().rstrip("\n")), 1)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule(rule, target):
    if target not in rule.targets:
        pytest.skip(f"a rule of {rule.targets[0]}")
    truth, comparison, left_out = compare(rule.text, target)
    for record, words, value in rule.expected:
        byte, bit = value_for(target, value)
        size, members = truth[record]
        if not words:
            assert size == byte, f"the file is wrong on {record}"
            continue
        member, = words & members.keys()
        offset, width, _ = members[member]
        assert offset == 8 * byte + (bit or 0), f"the file is wrong on {record}.{member}"
        assert (width is None) == (bit is None), f"the file is wrong on {record}.{member}"
    assert not comparison.wrong
    assert not left_out
