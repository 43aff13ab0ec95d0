"""Profiles of kernels that were built here, 4.4 to 4.19, against the debug information that the same build made.

They carry no BTF; pahole makes one of the DWARF of their vmlinux. tests/kernels.py says where the kernels are from.
"""
import subprocess

import btf
import kernels
import pahole
import pytest
from comparison import Comparison, of_profile, types_of_profile
from rekall_layout_expert import make_profile
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES, compare_types

FEWEST_STRUCTS, FEWEST_MEMBERS, FEWEST_TYPES = 1200, 10000, 9000
# A function's own struct (net/core/flow_dissector.c) goes by the name of one in a header that this build does not need.
ANOTHER = {"gre_hdr"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("series", kernels.BUILT_SERIES)
def test_every_struct_is_what_the_debug_information_says(series, tmp_path, capsys):
    try:
        kernel = kernels.kernel(series)
    except kernels.Unavailable as reason:
        pytest.skip(f"no Linux {series}: {reason}")
    section = tmp_path / "btf"
    subprocess.run([pahole.program(), f"--btf_encode_detached={section}", str(kernel.vmlinux)], check=True)
    banner = next(line for line in kernel.vmlinux.read_bytes().split(b"\0") if line.startswith(b"Linux version "))
    profile = make_profile(kernels.pre_ast(kernel.tree), str(kernel.config), None, structs="all", banner=banner.decode())
    comparison = Comparison(of_profile(profile), btf.structs(section.read_bytes()), OTHER_NAMES, OTHER_MEMBERS)
    types, wrong_types = compare_types(types_of_profile(profile), btf.types(section.read_bytes()))
    with capsys.disabled():
        print(f"\n{kernel.release}: {comparison}; types compared: {types}")
    assert {difference.record for difference in comparison.wrong} <= ANOTHER and wrong_types == []
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS and types >= FEWEST_TYPES
