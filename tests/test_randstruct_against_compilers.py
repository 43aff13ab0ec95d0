"""CONFIG_RANDSTRUCT held against the compilers: GCC with the plugin of the kernel's source, and clang.

Random structs, and every struct that a whole kernel's headers define. GCC's debug information shows the order of the
source, so the objects say where members stand (randstruct_truth.py). The random structs change from run to run:
LAYOUT_EXPERT_SEED=number repeats a run. LAYOUT_EXPERT_CLANG names the clang to hold against; by default the one in PATH.
"""

import os
import random
import shutil
import subprocess
from collections import Counter

import pytest
from elftools.elf.elffile import ELFFile

import random_randstruct
from comparison import of_profile
from dwarf import _compiled, read_records, run_gcc
from kernel_gcc import ROOT, kernel_flags, where_present
from kernels import Unavailable, kernel_or_skip, pre_ast
from randstruct_plugin import SEED, plugin
from randstruct_truth import Asked, places
from rekall_layout_expert import make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.randstruct import behaviour_in
from rekall_layout_expert.profile.randstruct import randstruct_of
from rekall_layout_expert.record_layout.randstruct import GNU_SHUFFLES, LLVM_SHUFFLES, Clang
from rekall_layout_expert.text_layout import shuffled_layout

RUN = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(31))
CLANG = os.environ.get("LAYOUT_EXPERT_CLANG") or "clang"
POINTERS = {"x86_64": 8, "i386": 4}
MODES = ["CONFIG_RANDSTRUCT_FULL", "CONFIG_RANDSTRUCT_PERFORMANCE"]


def plugin_or_skip(series):
    try:
        return plugin(series)
    except Unavailable as reason:
        pytest.skip("no randstruct plugin of Linux %s: %s" % (series, reason))


def differences(ours, truth, counts):
    """[(record, member or None, ours, the truth's)]; counts what was compared."""
    for name, (size, members) in truth.items():
        if name not in ours:
            counts["left out"] += 1
            continue
        our_size, our_members = ours[name]
        counts["structs"] += 1
        if our_size != size:
            yield name, None, our_size, size
        for member, place in members.items():
            if place[1] is not None and place[0] % 8 + place[1] > 64:
                continue  # no native type of Rekall's covers it
            counts["members"] += 1
            if member not in our_members or our_members[member][:2] != place:
                yield name, member, our_members.get(member), place


def compare_random(compiler, randstruct, target, texts, clang=False):
    counts = Counter()
    for number in range(RUN, RUN + texts):
        text, asked = random_randstruct.unit(number, 100, clang)
        ours = of_profile({"$STRUCTS": shuffled_layout(randstruct, text, target=target)}, POINTERS[target])
        wrong = list(differences(ours, places(compiler, text, asked), counts))
        assert not wrong, "%s, LAYOUT_EXPERT_SEED=%d: %s\n%s" % (target, number, wrong[:10], text)
    return counts


@pytest.mark.network
@pytest.mark.parametrize("texts", [2, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", ["x86_64", "i386"])
@pytest.mark.parametrize("series", ["6.1", pytest.param("6.12", marks=pytest.mark.slow)])
def test_random_structs_as_gcc_with_the_plugin_lays_them_out(series, target, mode, texts, capsys):
    built = plugin_or_skip(series)
    told = {"plugin": behaviour_in(built.source.read_text())}
    randstruct, _ = randstruct_of(KernelConfig({mode: "y"}, "config"), (6, 1), told, SEED)
    compiler = built.compiler("-m32" if target == "i386" else "-m64", by_cache_lines=mode.endswith("PERFORMANCE"))
    counts = compare_random(compiler, randstruct, target, texts)
    with capsys.disabled():
        print("\nplugin of %s, %s, %s: %s; LAYOUT_EXPERT_SEED=%d" % (series, target, mode, dict(counts), RUN))
    assert counts["members"] > 1000 * texts and not counts["left out"]


@pytest.mark.parametrize("texts", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_random_structs_as_clang_lays_them_out(texts, capsys):
    if not shutil.which(CLANG):
        pytest.skip("no clang on this machine")
    compiler = [CLANG, "--target=x86_64-linux-gnu", "-frandomize-layout-seed=" + SEED]
    try:
        places(compiler, "struct s { int a; };", {"s": Asked("struct s", ["a"], [])})
    except Exception as reason:
        pytest.skip("this clang does not shuffle structs: %s" % reason)
    # Its C++ library is the one under which all agree.
    found = None
    for shuffles in (GNU_SHUFFLES, LLVM_SHUFFLES):
        try:
            found = compare_random(compiler, Clang(SEED, "", shuffles), "x86_64", texts, clang=True)
        except AssertionError as reason:
            trouble = reason
    if found is None:
        raise trouble
    with capsys.disabled():
        print("\nclang: %s; LAYOUT_EXPERT_SEED=%d" % (dict(found), RUN))
    assert found["members"] > 1000 * texts


def members_of(text, options):
    """{name: Asked} of the records that C text defines; debug information tells their names, and in which way to ask."""
    with _compiled(text, "x86_64", options) as path:
        records = read_records(path)
        with open(path, "rb") as file:
            kinds = {die.attributes["DW_AT_name"].value.decode(): die.tag[len("DW_TAG_"):].split("_")[0]
                     for unit in ELFFile(file).get_dwarf_info().iter_CUs() for die in unit.get_top_DIE().iter_children()
                     if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type") and "DW_AT_name" in die.attributes}
    keywords = {"structure": "struct ", "union": "union "}
    return {name: Asked(keywords.get(kinds.get(name), "") + name,
                        [path for path, member in members.items() if member.bit_width is None and "[" not in path],
                        [path for path, member in members.items() if member.bit_width is not None and "[" not in path])
            for name, (_, members) in records.items() if not name.startswith("__builtin") and name != "__va_list_tag"}


def compare_kernel(kernel, built, mode):
    """The counts of what was compared, the differences, and what the profile leaves out, for a kernel's headers."""
    config = KernelConfig.read(kernel.config)
    version = [int(part) for part in run_gcc(["-dumpfullversion"], "").split(".")]
    values = {**config.values, "CONFIG_GCC_VERSION": "%d%02d%02d" % tuple(version), "CONFIG_RANDSTRUCT": "y",
              "CONFIG_GCC_PLUGIN_RANDSTRUCT": "y", mode: "y"}
    config = KernelConfig(values, config.source, config.release)
    plain = pre_ast(kernel.tree)
    header = {**plain.header, "randstruct": {"plugin": behaviour_in(built.source.read_text())}}
    profile = make_profile(PreAst(header, plain.files), config, structs="all", randstruct_seed=SEED)
    flags = kernel_flags(kernel.common, kernel.tree, config, as_its_compiler=False)
    flags += ['-DKBUILD_MODNAME="test"'] + ["-D%s=1" % name for name in ("RANDSTRUCT", "RANDSTRUCT_PLUGIN", "CONFIG_RANDSTRUCT", "CONFIG_GCC_PLUGIN_RANDSTRUCT", mode)]
    text = run_gcc(["-E", "-P", *flags], where_present(ROOT.read_text()))
    options = [flag for flag in flags if flag.startswith(("-m", "-f", "-std", "-O"))]
    unmarked = text.replace("randomize_layout", "unused")
    compiler = built.compiler(*options, by_cache_lines=mode.endswith("PERFORMANCE"))
    truth = places(compiler, text, members_of(unmarked, options))
    counts = Counter()
    wrong = list(differences(of_profile(profile), truth, counts))
    return counts, wrong, profile


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_kernels_as_gcc_with_the_plugin_lays_them_out(series, mode, capsys):
    built = plugin_or_skip(series)
    counts, wrong, profile = compare_kernel(kernel_or_skip(series), built, mode)
    with capsys.disabled():
        print("\n%s, %s: %s" % (series, mode, dict(counts)))
    assert wrong == []
    assert counts["structs"] > 1500 and counts["members"] > 12000
    assert not [reason for reason in profile["$METADATA"]["left_out"].values() if "RANDSTRUCT" in reason]
    task = profile["$STRUCTS"]["task_struct"][1]
    assert sorted(task, key=lambda name: task[name][0]) != list(task)
