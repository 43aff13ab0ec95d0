"""Kernels that nobody distributes: any configuration of full source, against what gcc makes of the same headers.

From one Pre-AST per series and architecture, built from the source as released, without a generated header, profiles
are made for the kernel's own default configurations, the smallest, the largest, Debian's, and for random ones. gcc gets
the headers that the kernel's build has generated for that configuration, and its options.

The whole matrix takes the wide root: behind the built-in one every header of the kernel's that gcc takes under that
configuration. CI takes one cell with the built-in root. What becomes of a cell is printed and kept (see exactness.py).

Random configurations change from run to run: LAYOUT_EXPERT_SEED=number repeats a run, and LAYOUT_EXPERT_RANDCONFIGS
says how many the slow test takes of each series and architecture.
"""

import functools
import os
import random
import time
from collections import Counter

import pytest

import exactness

from comparison import Comparison, of_profile
from kernel_source import (ROOT, Build, BuildFailed, build_directory, headers_of, missing_tools, source_or_skip, wide_root,
                           without)
from kernels import kernel_or_skip
from rekall_layout_expert import LayoutExpertError, build_pre_ast, make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES
from test_record_layout_against_gcc import is_beyond_vtypes

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(31))
RANDCONFIGS = int(os.environ.get("LAYOUT_EXPERT_RANDCONFIGS") or 5)

SERIES = ("5.10", "6.1", "6.12", "7.2")
ARCHITECTURES = ("x86_64", "i386", "arm64", "arm", "s390", "mips", "powerpc", "riscv")
TARGETS = ("defconfig", "tinyconfig", "allnoconfig", "allyesconfig", "allmodconfig")
# What decides of layouts and the default configuration has otherwise: sizes of pages and of page table entries, one CPU.
VARIATIONS = (("arm", "CONFIG_ARM_LPAE=y"), ("arm", "CONFIG_SMP=n"), ("arm64", "CONFIG_ARM64_16K_PAGES=y"),
              ("arm64", "CONFIG_ARM64_64K_PAGES=y"), ("i386", "CONFIG_X86_PAE=y"), ("i386", "CONFIG_SMP=n"),
              ("x86_64", "CONFIG_SMP=n"), ("mips", "CONFIG_CPU_LITTLE_ENDIAN=y"), ("powerpc", "CONFIG_CPU_BIG_ENDIAN=y"),
              ("riscv", "CONFIG_SMP=n"))

# What the smallest configuration reaches must not shrink unnoticed.
FEWEST_STRUCTS, FEWEST_MEMBERS = 1700, 11500
# A bit-field of more than 64 bits: s390's clock has one.
BEYOND_VTYPES = "no native type covers"
# A type of a source file's own, which the root does not reach, in a kernel without that file.
NOT_COMPILED = "is not compiled without"
# The compiler's own record behind __builtin_va_list.
NO_KERNEL_TYPES = {"__va_list_tag", "__va_list"}

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture
def build(series, architecture):
    missing = missing_tools(architecture)
    if missing:
        pytest.skip("not on this machine: " + ", ".join(missing))
    return Build(source_or_skip(series), architecture, build_directory(series, architecture))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("series", SERIES)
def test_configuration_of_the_kernel(build, series, architecture, target, capsys):
    build.configure(target)
    compare(build, series, target, capsys)


@pytest.mark.parametrize("architecture, option", VARIATIONS)
@pytest.mark.parametrize("series", SERIES)
def test_variation_of_the_default(build, series, option, capsys):
    build.configure("defconfig")
    with open(build.config, "a") as config:
        config.write(option + "\n")  # the last word counts
    build.configure("olddefconfig")
    name, _, value = option.partition("=")
    if KernelConfig.read(build.config).values.get(name, "n") != value:
        pytest.skip("%s %s: its default configuration cannot have %s" % (series, build.architecture, option))
    compare(build, series, "defconfig with " + option, capsys)


@pytest.mark.parametrize("architecture", ["x86_64"])
@pytest.mark.parametrize("series", SERIES)
def test_configuration_of_debian(build, series, architecture, capsys):
    build.configure("olddefconfig", base=kernel_or_skip(series).config)
    compare(build, series, "Debian's", capsys)


@pytest.mark.parametrize("number", range(RANDCONFIGS))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("series", SERIES)
def test_random_configuration(build, series, architecture, number, capsys):
    build.configure("randconfig", seed=SEED + number)
    compare(build, series, "randconfig %d" % (SEED + number), capsys)


@pytest.mark.ci
@pytest.mark.parametrize("series, architecture", [random.Random(SEED).choice(
    [(series, architecture) for series in SERIES for architecture in ARCHITECTURES if not missing_tools(architecture)]
    or [("6.1", "x86_64")])])
def test_one_random_configuration(build, series, architecture, capsys):
    build.configure("randconfig", seed=SEED)
    compare(build, series, "randconfig %d" % SEED, capsys, wide=False)


def compare(build, series, what, capsys, wide=True):
    cell = {"series": series, "architecture": build.architecture, "config": what, "root": "wide" if wide else "built-in"}
    said = "%(series)s %(architecture)s %(config)s (%(root)s root)" % cell
    config = KernelConfig.read(build.config)
    headers, root = [], ROOT
    if wide:
        headers, root = headers_of(build.tree), build.directory / "wide_root.c"
        root.write_text(wide_root(headers))
    if build.architecture == "arm" and "CONFIG_AEABI" not in config.values:
        with pytest.raises(LayoutExpertError, match="old ABI") as refusal:
            make_profile(pre_ast(build.tree, "arm"), config)
        exactness.record(no_kernel="ARM's old ABI: its record layout is not known", **cell)
        pytest.skip(str(refusal.value))
    start = time.monotonic()
    try:
        refused = {without(header): "y" for header in (build.refused(headers) if wide else ())}
        truth = build.records(root, refused)
    except BuildFailed as reason:
        exactness.record(no_kernel=str(reason), **cell)
        pytest.skip("%s, LAYOUT_EXPERT_SEED=%d: no such kernel can be built: %s" % (said, SEED, reason))
    truth = {name: [record] for name, record in truth.items() if name not in NO_KERNEL_TYPES}
    middle = time.monotonic()
    config.values.update(refused)
    program = pre_ast(build.tree, build.architecture, root) if wide else pre_ast(build.tree, build.architecture)
    profile = make_profile(program, config, None, structs="all")
    end = time.monotonic()
    ours = of_profile(profile, 8 if "CONFIG_64BIT" in config.values else 4, is_big_endian(config))
    comparison = Comparison(ours, truth, OTHER_NAMES, OTHER_MEMBERS)
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference)]
    # The root's truth knows nothing of types of single source files: tests/test_private_types.py compares those.
    private = {name for _, _, names in program.header["private"] for name in names}
    left_out = {name: reason for name, reason in profile["$METADATA"]["left_out"].items()
                if NOT_COMPILED not in reason and name not in private}
    missing = sorted(truth.keys() - ours.keys())
    exactness.record(
        structs=comparison.records, members=comparison.members, wrong=len(comparison.wrong),
        left_out=Counter(map(exactness.class_of, left_out.values())), missing=missing, reachable=len(truth),
        present=len(truth) - len(missing), seconds=[round(middle - start, 1), round(end - middle, 1)], **cell)

    with capsys.disabled():
        print("\n%s, LAYOUT_EXPERT_SEED=%d: %s; left out: %d; missing: %d" % (
            said, SEED, comparison, len(left_out), len(missing)))
    assert comparison.wrong == []
    if wide:    # drivers' headers ask for more than what Rekall reads: what is refused is kept with its reason
        assert len(missing) <= len(truth) // 1000
    else:
        assert {name: reason for name, reason in left_out.items() if BEYOND_VTYPES not in reason} == {}
        assert missing == []
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS


def is_big_endian(config):
    return "CONFIG_CPU_BIG_ENDIAN" in config.values or config.architecture == "s390"


@functools.lru_cache(maxsize=2)
def pre_ast(tree, architecture, root=None):
    return build_pre_ast(str(tree), architecture, root)
