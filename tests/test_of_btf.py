"""A profile from BTF alone: the same, struct by struct, as the one that is predicted from the headers."""
import copy
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import btf
from header_trees import CONFIG
from kernels import SUITES, kernel_or_skip, pre_ast
from rekall_layout_expert import make_profile
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.stored import explain_profile
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.of_btf import profile_of_btf, vtypes_of_btf
from rekall_layout_expert.profile.profile import used_structs
from rekall_layout_expert.verification.btf import (
    CONST, ENUM, ENUM64, FLOAT, FUNC_PROTO, FWD, PTR, TYPEDEF, UNION, digest_of,
)
from rekall_layout_expert.verification.verify import verify_by_btf

CONFIGURED = KernelConfig.parse(CONFIG, "config")


def layout(types, name="s", byte_order="<"):
    return vtypes_of_btf(types.section(), name).structs[name]


# Types

@pytest.mark.parametrize("name, size, encoding, vtype", [
    ("int", 4, 1, ["int"]), ("unsigned int", 4, 0, ["unsigned int"]), ("long unsigned int", 8, 0, ["unsigned long"]),
    ("unsigned long", 8, 0, ["unsigned long"]), ("long int", 8, 1, ["long"]), ("short int", 2, 1, ["short"]),
    ("short unsigned int", 2, 0, ["unsigned short"]), ("long long unsigned int", 8, 0, ["unsigned long long"]),
    ("long long int", 8, 1, ["long long"]), ("char", 1, 1, ["char"]), ("signed char", 1, 1, ["signed byte"]),
    ("unsigned char", 1, 0, ["unsigned char"]), ("_Bool", 1, 4, ["bool"]),
    ("__int128", 16, 1, ["Array", {"count": 16, "target": "unsigned char"}]),
    ("int", 8, 1, ["long long"]),  # not what it is called
])
def test_integers_have_rekalls_names(name, size, encoding, vtype):
    types = btf.Writer()
    number = types.add(1, name, size, [encoding << 24 | 8 * size])
    types.record("s", size, [("a", number, 0)])
    assert layout(types) == [size, {"a": [0, vtype]}]


def test_pointers_arrays_floats_and_functions():
    types = btf.Writer()
    integer = types.integer("unsigned int", 4)
    members = [("void", types.add(PTR), 0), ("function", types.add(PTR, value=types.add(FUNC_PROTO)), 64),
               ("constant", types.add(PTR, value=types.add(CONST, value=integer)), 128),
               ("forward", types.add(PTR, value=types.add(FWD, "elsewhere")), 192),
               ("array", types.array(integer, 3), 256), ("real", types.add(FLOAT, "double", 8), 352),
               ("flexible", types.array(integer, 0), 416)]
    types.record("s", 56, members)
    assert layout(types)[1] == {
        "void": [0, ["Pointer", {"target": "Void"}]], "function": [8, ["Pointer", {"target": "Void"}]],
        "constant": [16, ["Pointer", {"target": "unsigned int"}]], "forward": [24, ["Pointer", {"target": "elsewhere"}]],
        "array": [32, ["Array", {"count": 3, "target": "unsigned int"}]],
        "real": [44, ["Array", {"count": 8, "target": "unsigned char"}]],
        "flexible": [52, ["Array", {"count": 0, "target": "unsigned int"}]],
    }


def test_anonymous_members_are_there_by_their_own_names_as_well():
    types = btf.Writer()
    integer = types.integer("int", 4)
    union = types.record("", 4, [("low", integer, 0), ("high", integer, 0)], UNION)
    types.record("s", 8, [("first", integer, 0), ("", union, 32)])
    assert layout(types)[1] == {"first": [0, ["int"]], "u1": [4, ["__unnamed_s_u1"]], "low": [4, ["int"]], "high": [4, ["int"]]}


def test_records_without_a_tag_go_by_their_typedef_though_btf_has_merged_them():
    types = btf.Writer()
    merged = types.record("", 4, [("counter", types.integer("int", 4), 0)])
    members = [("a", types.add(TYPEDEF, "atomic_t", merged), 0), ("b", types.add(TYPEDEF, "other_t", merged), 32),
               ("c", merged, 64)]
    types.record("s", 12, members)
    assert [type_ for _, type_ in layout(types)[1].values()] == [["atomic_t"], ["other_t"], ["__unnamed_s_c"]]


def test_bit_fields():
    types = btf.Writer()
    integer = types.integer("unsigned int", 4)
    types.record("s", 8, [("a", integer, 0, 3), ("b", integer, 35, 5)])
    assert layout(types)[1] == {
        "a": [0, ["BitField", {"start_bit": 0, "end_bit": 3, "native_type": "unsigned int"}]],
        "b": [4, ["BitField", {"start_bit": 3, "end_bit": 8, "native_type": "unsigned int"}]]}


@pytest.mark.parametrize("kind, size, flag, values, target, choices", [
    (ENUM, 4, False, [0, 1], "unsigned int", {"0": "e0", "1": "e1"}),
    (ENUM, 4, False, [0, 0xFFFFFFFF], "int", {"0": "e0", "-1": "e1"}),
    (ENUM, 4, True, [0, 1], "int", {"0": "e0", "1": "e1"}),
    (ENUM, 1, False, [0, 200], "unsigned char", {"0": "e0", "200": "e1"}),
    (ENUM64, 8, False, [1, 1, 0, 0x80000000], "unsigned long long", {str(1 << 32 | 1): "e0", str(1 << 63): "e1"}),
    (ENUM64, 8, True, [1, 0, 0xFFFFFFFF, 0xFFFFFFFF], "long long", {"1": "e0", "-1": "e1"}),
])
def test_enumerations(kind, size, flag, values, target, choices):
    types, step = btf.Writer(), len(values) // 2
    words = [word for at in range(2) for word in (types._string("e%d" % at), *values[at * step:at * step + step])]
    types.record("s", size, [("e", types.add(kind, "colour", size, words, 2, flag), 0)])
    vtypes = vtypes_of_btf(types.section(), "s")
    assert vtypes.structs["s"][1]["e"][1] == ["Enumeration", {"target": target, "enum_name": "colour"}]
    assert vtypes.enums == {"colour": choices}


def test_an_enumeration_whose_values_are_cut_off_is_a_number():
    types = btf.Writer()
    types.record("s", 8, [("e", types.add(ENUM, "wide", 8, [types._string("e"), 0], 1), 0)])
    assert layout(types)[1] == {"e": [0, ["unsigned long long"]]}


def test_a_name_of_different_types_is_left_out_and_never_guessed():
    types = btf.Writer()
    integer = types.integer("int", 4)
    first = types.record("node", 4, [("a", integer, 0)])
    types.record("node", 8, [("b", integer, 32)])
    types.record("same", 4, [("a", integer, 0)])
    types.record("same", 4, [("a", integer, 0)])
    types.record("s", 4, [("node", first, 0)])
    vtypes = vtypes_of_btf(types.section(), "node,same,s,absent")
    assert vtypes.structs.keys() == {"same", "s", "node@%d" % first}
    assert vtypes.structs["s"][1] == {"node": [0, ["node@%d" % first]]}
    assert vtypes.left_out == {
        "node": "the kernel has different types called node, and its BTF does not tell which is meant",
        "absent": "absent is not in the kernel's BTF"}


# A profile

def small_kernel():
    types = btf.Writer()
    integer, pointer = types.integer("int", 4), types.add(PTR)
    head = types.record("list_head", 16, [("next", pointer, 0), ("prev", pointer, 64)])
    types.record("task_struct", 24, [("pid", integer, 0), ("tasks", head, 64), ("mm", types.add(PTR, value=6), 0)])
    types.record("mm_struct", 8, [("pgd", pointer, 0)])
    return types


def test_it_says_that_it_is_from_btf():
    section = small_kernel().section()
    made = profile_of_btf(section, CONFIGURED, None, release="6.1.0-20-amd64")
    metadata = made["$METADATA"]
    assert (metadata["types_from"], metadata["btf_digest"]) == ("btf", digest_of(section))
    assert (metadata["pre_ast"], metadata["pre_ast_digest"], metadata["match"], metadata["verified"]) == (None,) * 4
    assert metadata["release"] == "6.1.0-20-amd64" and metadata["compiler"] == "gcc 12.2.0" and metadata["arch"] == "AMD64"
    assert "BTF" in metadata["notes"][0] and metadata["left_out"]["cred"] == "cred is not in the kernel's BTF"
    assert made.keys() == make_profile(pre_ast_of_nothing(), CONFIGURED).keys()


def pre_ast_of_nothing():
    import tempfile

    import header_trees
    from rekall_layout_expert import build_pre_ast
    with tempfile.TemporaryDirectory() as directory:
        return build_pre_ast(header_trees.package(directory))


def test_it_can_be_explained_and_verified_as_any_other():
    section = small_kernel().section()
    made = profile_of_btf(section, CONFIGURED)
    assert any("pid" in line for line in explain_profile(made, "task_struct"))
    verify_by_btf(made, section)
    assert made["$METADATA"]["verified"]["refused"] == [] and made["$METADATA"]["verified"]["structs"] >= 3


def test_structs_that_gcc_shuffled_are_not_told_by_btf():
    config = KernelConfig.parse(CONFIG + "CONFIG_GCC_PLUGIN_RANDSTRUCT=y\n", "config")
    with pytest.raises(LayoutExpertError, match="RANDSTRUCT"):
        profile_of_btf(small_kernel().section(), config)


def test_layout_tool_takes_btf_in_place_of_a_pre_ast(tmp_path):
    (tmp_path / "vmlinux").write_bytes(small_kernel().section())
    (tmp_path / "config").write_text(CONFIG)
    done = subprocess.run([sys.executable, "-m", "rekall_layout_expert.command_line", "make_profile", "--config_file_path",
                           tmp_path / "config", tmp_path / "vmlinux", tmp_path / "profile"], stderr=subprocess.PIPE)
    assert done.returncode == 0 and b"BTF, which knows types and no headers" in done.stderr
    assert '"types_from":"btf"' in (tmp_path / "profile").read_text()


# What is hostile

def test_records_that_hold_each_other_without_end_are_one_line():
    types = btf.Writer()
    types.record("s", 4, [("", 1, 0)])
    assert "s" in vtypes_of_btf(types.section(), "s").left_out
    types = btf.Writer()
    inner = types.record("", 4, [("a", types.integer("int", 4), 0)])
    for _ in range(40):
        inner = types.record("", 4, [("", inner, 0), ("", inner, 0)])
    types.record("s", 4, [("a", inner, 0)])
    with pytest.raises(LayoutExpertError, match="damaged: its records hold each other too often"):
        vtypes_of_btf(types.section(), "s")


def test_types_that_mean_themselves_are_one_line():
    for kind in (TYPEDEF, PTR, CONST):
        types = btf.Writer()
        types.add(kind, "s" if kind == TYPEDEF else "", 1)
        types.record("t", 8, [("a", 1, 0)])
        with pytest.raises(LayoutExpertError, match="means itself"):
            vtypes_of_btf(types.section(), "s,t")


SECTION = small_kernel().section()


@given(st.lists(st.tuples(st.integers(0, len(SECTION) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_the_bytes_say_a_profile_or_one_line_follows(changes):
    section = bytearray(SECTION)
    for place, byte in changes:
        section[place] = byte
    try:
        profile_of_btf(bytes(section), CONFIGURED, None, "all")
    except LayoutExpertError as error:
        assert "\n" not in str(error)


# Real kernels

@pytest.mark.network
@pytest.mark.parametrize("series", [pytest.param(series, marks=[pytest.mark.slow] * (series != "6.1")) for series in SUITES])
def test_it_equals_what_is_predicted_from_the_headers(series):
    kernel = kernel_or_skip(series)
    section = btf.section_of(kernel.vmlinuz)
    made, predicted = profile_of_btf(section, str(kernel.config)), make_profile(pre_ast(kernel.tree), str(kernel.config))
    ours, theirs = made["$STRUCTS"], predicted["$STRUCTS"]
    assert theirs.keys() <= ours.keys() and len(theirs) > 600
    different = {name for name in theirs if flattened(ours[name]) != flattened(theirs[name])}
    assert different <= {"va_format"}  # its compiler's own va_list
    assert all(made["$ENUMS"][name] == choices for name, choices in predicted["$ENUMS"].items())
    # Private types of source files, which a headers package lacks, are there as well.
    assert {"mount", "proc_dir_entry", "module_sect_attrs", "prb_desc_ring"} <= ours.keys()
    assert not (set(used_structs()) - ours.keys()) & btf.structs(section).keys()


def flattened(struct):
    """A struct in which arrays of several dimensions have one, as BTF tells of them before 7.2's tools."""
    def flat(type_):
        if type_[0] == "Array":
            while type_[1]["target"] == "Array":
                inner = type_[1]["target_args"]
                type_ = ["Array", dict(inner, count=type_[1]["count"] * inner["count"])]
        return type_

    size, members = copy.deepcopy(struct)
    return [size, {name: [offset, flat(type_)] for name, (offset, type_) in members.items()}]
