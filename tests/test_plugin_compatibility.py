"""Rekall's names in a profile: each offered where it is missing, and only where its source exists."""
import copy

import pytest

from rekall_layout_expert.profile.compatibility import offer_rekall_names

POINTER = ["Pointer", {"target": "Void"}]


def offered(structs, constants=None):
    structs, constants = copy.deepcopy(structs), dict(constants or {})
    offer_rekall_names(structs, constants)
    return structs, constants


def test_state_of_a_task_is_found_under_its_name_of_before_5_14():
    structs, _ = offered({"task_struct": [64, {"__state": [24, ["unsigned int", {}]]}]})
    assert structs["task_struct"][1]["state"] == [24, ["unsigned int", {}]]
    assert structs["task_struct"][1]["__state"] == [24, ["unsigned int", {}]]


def test_a_name_that_the_kernel_still_has_is_left_alone():
    before = {"task_struct": [64, {"state": [0, ["long", {}]], "__state": [24, ["unsigned int", {}]]}],
              "timespec": [8, {"tv_sec": [0, ["int", {}]]}],
              "timespec64": [16, {"tv_sec": [0, ["long", {}]]}],
              "inode": [64, {"i_atime": [8, ["timespec64", {}]]}]}
    constants = {"tk_core": 1, "timekeeper_data": 2}
    assert offered(before, constants) == (before, constants)


def test_nothing_is_offered_when_there_is_no_source():
    before = {"task_struct": [64, {"pid": [0, ["int", {}]]}], "module": [8, {}],
              "refcount_struct": [4, {"refs": [0, ["int", {}]]}],
              "gate_struct": [8, {"offset_low": [0, ["short", {}]]}],
              "module_sect_attr": [8, {"battr": [0, ["bin_attribute", {}]]}]}
    assert offered(before) == (before, {})


def test_timespec64_serves_as_timespec_also_as_the_type_of_members():
    structs, _ = offered({
        "timespec64": [16, {"tv_sec": [0, ["long long", {}]], "tv_nsec": [8, ["long", {}]]}],
        "inode": [64, {"i_atime": [8, ["timespec64", {}]], "i_ino": [0, ["unsigned long", {}]],
                       "times": [24, ["Array", {"count": 2, "target": "timespec64", "target_args": {}}]],
                       "p": [56, ["Pointer", {"target": "timespec64"}]]}]})
    assert structs["timespec"] == structs["timespec64"]
    inode = structs["inode"][1]
    assert inode["i_atime"] == [8, ["timespec", {}]]
    assert inode["i_ino"] == [0, ["unsigned long", {}]]
    assert inode["times"][1][1]["target"] == "timespec" and inode["times"][1][1]["count"] == 2
    assert inode["p"] == [56, ["Pointer", {"target": "timespec"}]]


def test_interrupt_gate_has_its_flags_as_members():
    bit = lambda start, end: ["BitField", {"start_bit": start, "end_bit": end, "native_type": "unsigned short"}]
    gate = {"offset_low": [0, ["unsigned short", {}]], "bits": [4, ["idt_bits", {}]],
            "offset_middle": [6, ["unsigned short", {}]], "offset_high": [8, ["unsigned int", {}]]}
    structs, _ = offered({"gate_struct": [16, gate],
                          "idt_bits": [2, {"ist": [0, bit(0, 3)], "p": [0, bit(15, 16)], "dpl": [0, bit(13, 15)]}]})
    size, members = structs["gate_struct64"]
    assert size == 16 and members["p"] == [4, bit(15, 16)] and members["dpl"] == [4, bit(13, 15)]
    assert members["offset_high"] == [8, ["unsigned int", {}]]
    assert "p" not in structs["gate_struct"][1]


def test_nested_members_are_offered_at_the_sum_of_the_offsets():
    structs, _ = offered({
        "refcount_struct": [4, {"refs": [0, ["__unnamed_1", {}]]}], "__unnamed_1": [4, {"counter": [0, ["int", {}]]}],
        "module_sect_attr": [72, {"battr": [0, ["bin_attribute", {}]], "address": [64, ["unsigned long", {}]]}],
        "bin_attribute": [64, {"attr": [8, ["attribute", {}]]}], "attribute": [16, {"name": [4, POINTER]}],
        "module": [1024, {"mem": [320, ["Array", {"count": 7, "target": "module_memory", "target_args": {}}]]}],
        "module_memory": [72, {"base": [0, POINTER], "size": [12, ["unsigned int", {}]]}]})
    assert structs["refcount_struct"][1]["counter"] == [0, ["int", {}]]
    assert structs["module_sect_attr"][1]["name"] == [12, POINTER]
    assert structs["module"][1]["module_core"] == [320, POINTER]
    assert structs["module"][1]["core_size"] == [332, ["unsigned int", {}]]


@pytest.mark.parametrize("name, source", [("radix_tree_node", "xa_node"), ("tk_core", "tk_data")])
def test_renamed_structs(name, source):
    structs, constants = offered({source: [8, {"x": [0, ["int", {}]]}]}, {"timekeeper_data": 0xffffffff82000000})
    assert structs[name] == structs[source] and structs[name] is not structs[source]
    assert constants["tk_core"] == constants["timekeeper_data"]
