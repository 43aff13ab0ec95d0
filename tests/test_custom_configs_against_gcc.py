"""Kernels that nobody distributes: any configuration of full source, against what gcc makes of the same headers.

From one Pre-AST per series and architecture, built from the source as released, without a generated header, profiles
are made for the kernel's own default configurations, the smallest, the largest, Debian's, and for random ones. gcc gets
the headers that the kernel's build has generated for that configuration, and its options.

Random configurations change from run to run: LAYOUT_EXPERT_SEED=number repeats a run, and LAYOUT_EXPERT_RANDCONFIGS
says how many the slow test takes of each series and architecture.
"""

import functools
import os
import random

import pytest

from comparison import Comparison, of_profile
from kernel_source import Build, BuildFailed, build_directory, missing_tools, source_or_skip
from kernels import kernel_or_skip
from rekall_layout_expert import LayoutExpertError, build_pre_ast, make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES
from test_record_layout_against_gcc import is_beyond_vtypes

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(31))
RANDCONFIGS = int(os.environ.get("LAYOUT_EXPERT_RANDCONFIGS") or 5)

SERIES = ("5.10", "6.1", "6.12", "7.2")
ARCHITECTURES = ("x86_64", "i386", "arm64", "arm", "s390")
TARGETS = ("defconfig", "tinyconfig", "allnoconfig", "allyesconfig", "allmodconfig")

# What the smallest configuration reaches must not shrink unnoticed.
FEWEST_STRUCTS, FEWEST_MEMBERS = 1700, 11500
# A bit-field of more than 64 bits: s390's clock has one.
BEYOND_VTYPES = "no native type covers"
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
    compare(build, "%s %s %s" % (series, architecture, target), capsys)


@pytest.mark.parametrize("architecture", ["x86_64"])
@pytest.mark.parametrize("series", SERIES)
def test_configuration_of_debian(build, series, architecture, capsys):
    build.configure("olddefconfig", base=kernel_or_skip(series).config)
    compare(build, "%s %s Debian's" % (series, architecture), capsys)


@pytest.mark.parametrize("number", range(RANDCONFIGS))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("series", SERIES)
def test_random_configuration(build, series, architecture, number, capsys):
    compare_random(build, series, architecture, SEED + number, capsys)


@pytest.mark.ci
@pytest.mark.parametrize("series, architecture", [("6.1", "x86_64")])
def test_one_random_configuration(build, series, architecture, capsys):
    compare_random(build, series, architecture, SEED, capsys)


def compare_random(build, series, architecture, seed, capsys):
    build.configure("randconfig", seed=seed)
    if architecture == "arm" and "CONFIG_AEABI" not in KernelConfig.read(build.config).values:
        with pytest.raises(LayoutExpertError, match="old ABI"):
            make_profile(pre_ast(build.tree, architecture), str(build.config))
        return
    try:
        compare(build, "%s %s randconfig, LAYOUT_EXPERT_SEED=%d" % (series, architecture, seed), capsys)
    except BuildFailed as reason:
        pytest.skip("no kernel can be built with LAYOUT_EXPERT_SEED=%d: %s" % (seed, reason))


def compare(build, what, capsys):
    truth = {name: [record] for name, record in build.records().items() if name not in NO_KERNEL_TYPES}
    config = KernelConfig.read(build.config)
    profile = make_profile(pre_ast(build.tree, build.architecture), config, None, structs="all")
    ours = of_profile(profile, 8 if "CONFIG_64BIT" in config.values else 4, is_big_endian(config))
    comparison = Comparison(ours, truth, OTHER_NAMES, OTHER_MEMBERS)
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference)]
    left_out = {name: reason for name, reason in profile["$METADATA"]["left_out"].items() if BEYOND_VTYPES not in reason}
    missing = sorted(truth.keys() - ours.keys())

    with capsys.disabled():
        print("\n%s: %s; left out: %d; missing: %d" % (what, comparison, len(left_out), len(missing)))
    assert comparison.wrong == []
    assert left_out == {}
    assert missing == []
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS


def is_big_endian(config):
    return "CONFIG_CPU_BIG_ENDIAN" in config.values or config.architecture == "s390"


@functools.lru_cache(maxsize=2)
def pre_ast(tree, architecture):
    return build_pre_ast(str(tree), architecture)
