"""Profiles of Debian's current kernels, predicted from their headers, against what each kernel says of itself (BTF).

All that a profile holds is compared: sizes, and every member's bit offset, bit-field width, size and type. One Pre-AST
serves every flavour of a headers tree, so cloud-amd64 is predicted from the one built for amd64. What Rekall reads must
be there if the headers have it.
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

import btf
from comparison import Comparison, of_profile, types_of_profile
from kernels import kernel_or_skip, pre_ast
from rekall_layout_expert import make_profile
from rekall_layout_expert.profile.profile import used_structs

# What the profile offers under the names which Rekall reads, and what it stands for.
OTHER_NAMES = {"timespec": "timespec64", "radix_tree_node": "xa_node", "tk_core": "tk_data",
               "gate_struct64": "gate_struct"}
OTHER_MEMBERS = {
    ("task_struct", "state"): [("task_struct", "__state")],
    ("refcount_struct", "counter"): [("refcount_struct", "refs"), ("atomic_t", "counter")],
    ("module", "module_core"): [("module", "mem"), ("module_memory", "base")],
    ("module", "core_size"): [("module", "mem"), ("module_memory", "size")],
    ("module_sect_attr", "name"): [("module_sect_attr", "battr"), ("bin_attribute", "attr"), ("attribute", "name")],
    **{("gate_struct64", flag): [("gate_struct", "bits"), ("idt_bits", flag)]
       for flag in ("ist", "zero", "type", "dpl", "p")},
}

# What Debian's headers reach must not shrink unnoticed: fewer compared than this is a failure.
FEWEST_STRUCTS, FEWEST_MEMBERS, FEWEST_TYPES, FEWEST_USED = 1700, 13500, 11000, 60

DEFINITION = re.compile(r"\b(?:struct|union)\s+(\w+)\s*(?:__\w+(?:\([^)]*\))?\s*)*\{|^\}\s*(\w+);", re.MULTILINE)


@pytest.mark.network
@pytest.mark.parametrize("series, flavour, headers_of", [
    ("6.1", "amd64", "amd64"),
    ("6.1", "cloud-amd64", "amd64"),
    ("6.1", "rt-amd64", "rt-amd64"),
    ("5.10", "amd64", "amd64"),
    ("6.12", "amd64", "amd64"),
    ("7.2", "amd64", "amd64"),
    *(pytest.param(series, flavour, headers_of, marks=pytest.mark.slow)
      for series, flavour, headers_of in [
          ("5.10", "cloud-amd64", "amd64"),
          ("5.10", "rt-amd64", "rt-amd64"),
          ("6.12", "cloud-amd64", "amd64"),
          ("6.12", "rt-amd64", "rt-amd64"),
          ("7.2", "cloud-amd64", "amd64"),
          ("7.2", "rt-amd64", "amd64"),     # without a patched tree of its own by now
      ]),
])
def test_every_struct_is_what_the_kernel_says(series, flavour, headers_of, capsys):
    kernel = kernel_or_skip(series, flavour)
    headers = kernel_or_skip(series, headers_of)
    profile = make_profile(pre_ast(headers.tree), str(kernel.config), None, structs="all")
    section = btf.section_of(kernel.vmlinuz)
    truth = btf.structs(section)
    comparison = Comparison(of_profile(profile), truth, OTHER_NAMES, OTHER_MEMBERS)
    types, wrong_types = compare_types(types_of_profile(profile), btf.types(section))
    left_out = profile["$METADATA"]["left_out"]
    used = set(used_structs()) & defined_in(headers.common) & truth.keys()

    with capsys.disabled():
        print("\n%s: %s; types compared: %d; read by Rekall and in the headers: %d; left out: %d%s" % (
            kernel.release, comparison, types, len(used), len(left_out), by_reason(left_out)))
    assert comparison.wrong == []
    assert wrong_types == [] and types >= FEWEST_TYPES
    assert comparison.sizes_unknown == 0
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS
    assert used - profile["$STRUCTS"].keys() == set() and len(used) >= FEWEST_USED


def compare_types(ours, truth):
    """How many members' types were compared, and those that differ. What the truth has no words for does not count."""
    compared, wrong = 0, []
    for record in sorted(ours.keys() & truth.keys()):
        for member, words in ours[record].items():
            variants = {variant[member] for variant in truth[record] if member in variant}
            if variants and None not in variants and (record, member) != ("va_format", "va"):   # gcc's own type
                compared += 1
                if words not in variants and re.sub(r"\w+", renamed, words, count=1) not in variants:
                    wrong.append((record, member, words, variants))
    return compared, wrong


def renamed(name):
    return OTHER_NAMES.get(name.group(), name.group())


def by_reason(left_out):
    """How many were left out for each kind of reason: what is particular to one struct does not count."""
    kinds = Counter(re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\d+", "...", reason) for reason in left_out.values())
    return "".join("\n    %5d %s" % (count, kind) for kind, count in kinds.most_common())


def defined_in(tree):
    """The records that the headers of an x86 tree define, whether or not Layout Expert's root reaches them."""
    names = set()
    for top in ("include", "arch/x86/include"):
        for directory, _, files in os.walk(tree / top):
            for file in files:
                if file.endswith(".h"):
                    text = (Path(directory) / file).read_text(errors="replace")
                    names.update(name for found in DEFINITION.findall(text) for name in found if name)
    return names
