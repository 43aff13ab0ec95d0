"""A kernel that clang builds, from full source, against what clang makes of the same headers.

The kernel's own build makes config and generated headers with CC=clang; the root is the built-in one. Minutes, most of them
for unpacking the source and for the kernel's tools. LAYOUT_EXPERT_SEED=number repeats a run of the random configuration.
"""
import pytest

from clang import clangs_or_skip
from comparison import Comparison, of_profile
from kernel_source import BuildFailed, ClangBuild, build_directory, missing_tools, source_or_skip
from rekall_layout_expert import make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from test_custom_configs_against_gcc import BEYOND_VTYPES, FEWEST_MEMBERS, FEWEST_STRUCTS, NO_KERNEL_TYPES, NOT_COMPILED, SEED, pre_ast
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES
from test_record_layout_against_gcc import is_beyond_vtypes

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.mark.parametrize("target", ["defconfig", "randconfig"])
@pytest.mark.parametrize("series, architecture", [("6.1", "x86_64")])
def test_every_struct_is_what_clang_says(series, architecture, target, capsys):
    clangs_or_skip()
    missing = missing_tools(architecture)
    if missing:
        pytest.skip("not on this machine: " + ", ".join(missing))
    build = ClangBuild(source_or_skip(series), architecture, build_directory(series, architecture + "-clang"))
    said = "%s %s %s, LAYOUT_EXPERT_SEED=%d" % (series, architecture, target, SEED)
    build.configure(target, SEED)
    config = KernelConfig.read(build.config)
    assert config.compiler.name == "clang"
    try:
        truth = {name: [record] for name, record in build.records().items() if name not in NO_KERNEL_TYPES}
    except BuildFailed as reason:
        pytest.skip("%s: no such kernel can be built: %s" % (said, reason))
    program = pre_ast(build.tree, architecture)
    profile = make_profile(program, config, None, structs="all")
    comparison = Comparison(of_profile(profile, 8 if "CONFIG_64BIT" in config.values else 4), truth, OTHER_NAMES, OTHER_MEMBERS)
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference)]
    private = {name for _, _, names in program.header["private"] for name in names}
    left_out = {name: reason for name, reason in profile["$METADATA"]["left_out"].items()
                if NOT_COMPILED not in reason and BEYOND_VTYPES not in reason and name not in private}
    missing = sorted(truth.keys() - profile["$STRUCTS"].keys())
    with capsys.disabled():
        print("\n%s, %s: %s; left out: %d; missing: %d" % (
            said, profile["$METADATA"]["compiler"], comparison, len(left_out), len(missing)))
    assert comparison.wrong == [] and left_out == {} and missing == []
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS
