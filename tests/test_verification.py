"""A profile held against BTF: what agrees stays, what disagrees leaves, and so does what embeds it.

Profiles of Debian's kernels are held against the kernel's own BTF as they are, with mistakes made at random
(LAYOUT_EXPERT_SEED=number repeats a run), and against that of another flavour.
"""

import copy
import os
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import btf
from comparison import Comparison, of_profile
from kernels import SUITES, kernel_or_skip, pre_ast
from rekall_layout_expert import make_profile
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.verification.btf import TYPEDEF, UNION, digest_of
from rekall_layout_expert.verification.verify import verify_by_btf
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES

SEED = int(os.environ.get("LAYOUT_EXPERT_SEED") or random.SystemRandom().getrandbits(32))
MISTAKES = 40

INT, POINTER = ["int"], ["Pointer", {"target": "list_head"}]
STRUCTS = {
    "list_head": [16, {"next": [0, POINTER], "prev": [8, POINTER]}],
    "node": [24, {"links": [0, ["list_head"]], "id": [16, INT],
                  "busy": [20, ["BitField", {"start_bit": 1, "end_bit": 3, "native_type": "int"}]]}],
    "table": [56, {"rows": [0, ["Array", {"count": 2, "target": "node"}]], "u1": [48, ["__unnamed_table_u1"]],
                   "low": [48, INT], "all": [48, ["long"]]}],
    "__unnamed_table_u1": [8, {"low": [0, INT], "all": [0, ["long"]]}],
    "user": [8, {"table": [0, ["Pointer", {"target": "table"}]]}],
    "only_ours": [4, {"x": [0, INT]}],
}


def kernel_types():
    types = btf.Writer()
    integer, long = types.integer("int", 4), types.integer("long", 8)
    pointer = types.add(2, value=2)
    head = types.record("list_head", 16, [("next", pointer, 0), ("prev", pointer, 64)])
    node = types.record("node", 24, [("links", head, 0), ("id", integer, 128), ("busy", integer, 161, 2)])
    union = types.record("", 8, [("low", integer, 0), ("all", long, 0)], UNION)
    types.record("table", 56, [("rows", types.array(node, 2), 0), ("", union, 384)])
    types.record("user", 8, [("table", pointer, 0)])
    return types


def profile(**changes):
    """Of the structs above, with members changed, or gone (None): {"struct__member": [offset, type]}."""
    structs = copy.deepcopy(STRUCTS)
    for name, change in changes.items():
        struct, _, member = name.partition("__")
        if member == "size":
            structs[struct][0] = change
        elif change is None:
            del structs[struct][1][member]
        else:
            structs[struct][1][member] = change
    return {"$METADATA": {"left_out": {}, "verified": None}, "$STRUCTS": structs, "$CONFIG": {}}


def verified(made, types=None):
    section = (types or kernel_types()).section()
    verify_by_btf(made, section)
    assert made["$METADATA"]["verified"]["btf_digest"] == digest_of(section)
    return made["$METADATA"]["verified"]


def test_what_agrees_stays_and_is_counted():
    made = profile()
    assert verified(made) == {"btf_digest": digest_of(kernel_types().section()), "structs": 4, "members": 9,
                              "not_in_btf": 1, "refused": []}
    assert made["$STRUCTS"] == STRUCTS and made["$METADATA"]["left_out"] == {}


@pytest.mark.parametrize("change, reason", [
    ({"list_head__prev": [4, POINTER]}, "prev is at bit 64 there (8 bytes), and at bit 32 here (8 bytes)"),
    ({"list_head__prev": [8, INT]}, "prev is at bit 64 there (8 bytes), and at bit 64 here (4 bytes)"),
    ({"list_head__prev": None}, "prev is missing"),
    ({"list_head__last": [8, POINTER]}, "last is not there"),
    ({"list_head__size": 24}, "it has 16 bytes there, and 24 here"),
    ({"list_head__size": 24, "list_head__prev": None}, "it has 16 bytes there, and 24 here, and 1 more"),
])
def test_what_disagrees_leaves_with_all_that_embeds_it_and_not_what_points_to_it(change, reason):
    made = profile(**change)
    outcome = verified(made)
    assert set(made["$STRUCTS"]) == {"user", "only_ours"}
    assert outcome["refused"] == ["list_head", "node", "table"] and outcome["structs"] == 1
    left_out = made["$METADATA"]["left_out"]
    assert left_out.keys() == {"list_head", "node", "table"}
    assert left_out["list_head"] == "the kernel's own BTF contradicts it: " + reason
    assert left_out["table"] == "it embeds node, which the kernel's own BTF contradicts"


@pytest.mark.parametrize("change", [
    {"node__busy": [20, ["BitField", {"start_bit": 2, "end_bit": 4, "native_type": "int"}]]},
    {"node__busy": [20, ["BitField", {"start_bit": 1, "end_bit": 4, "native_type": "int"}]]}, {"node__busy": [20, INT]}])
def test_bit_fields_are_compared(change):
    assert verified(profile(**change))["refused"] == ["node", "table"]


@pytest.mark.parametrize("change", [{"table__low": [52, INT]}, {"table__low": None, "__unnamed_table_u1__low": None}])
def test_members_of_anonymous_members_are_compared(change):
    made = profile()
    structs = made["$STRUCTS"]
    if None in change.values():
        del structs["table"][1]["low"], structs["__unnamed_table_u1"][1]["low"]
    else:
        structs["table"][1]["low"] = change["table__low"]
    assert verified(made)["refused"] == ["table"] and "__unnamed_table_u1" not in structs


def test_what_the_profile_says_that_it_lacks_is_no_contradiction():
    made = profile(list_head__prev=None)
    made["$METADATA"]["left_out"]["list_head.prev"] = "its type is not known"
    assert verified(made)["refused"] == []
    made = profile(table__all=None, table__low=None, table__u1=None)
    made["$METADATA"]["left_out"]["table.u1"] = "its type is not known"
    assert verified(made)["refused"] == []
    made = profile(list_head__prev=None)
    made["$METADATA"]["left_out"]["node.prev"] = "its type is not known"
    assert "list_head" in verified(made)["refused"]


def test_one_of_several_types_of_a_name_suffices():
    types = kernel_types()
    types.record("list_head", 4, [("x", 1, 0)])
    assert verified(profile(), types)["refused"] == []
    assert verified(profile(list_head__size=4), types)["refused"] == ["list_head", "node", "table"]
    made = profile()
    made["$STRUCTS"]["list_head@lib/lists.c"] = [4, {"x": [0, INT]}]
    assert verified(made, types)["structs"] == 5


def test_what_is_offered_under_a_name_of_rekall_is_held_against_what_it_stands_for():
    types = btf.Writer()
    integer = types.integer("int", 4)
    counter = types.add(TYPEDEF, "atomic_t", types.record("", 4, [("counter", integer, 0)]))
    types.record("refcount_struct", 8, [("refs", counter, 32)])
    types.record("timespec64", 4, [("tv_sec", integer, 0)])

    def offered(counter_at, seconds_at):
        return {"$METADATA": {"left_out": {}}, "$CONFIG": {}, "$STRUCTS": {
            "atomic_t": [4, {"counter": [0, INT]}],
            "refcount_struct": [8, {"refs": [4, ["atomic_t"]], "counter": [counter_at, INT]}],
            "timespec": [4, {"tv_sec": [seconds_at, INT]}]}}

    assert verified(offered(4, 0), types)["refused"] == []
    assert verified(offered(0, 0), types)["refused"] == ["refcount_struct"]
    assert verified(offered(4, 1), types)["refused"] == ["timespec"]


def test_what_btf_does_not_know_stays_unless_only_what_is_verified_may():
    made = profile(user__table=[0, ["Pointer", {"target": "__unnamed_user_table"}]])
    made["$STRUCTS"]["__unnamed_user_table"] = [4, {"x": [0, INT]}]
    verify_by_btf(made, kernel_types().section(), only_verified=True)
    # Its own member's place is confirmed; what that points to, without a name, is compared with nothing.
    assert set(made["$STRUCTS"]) == {"list_head", "node", "table", "__unnamed_table_u1", "user"}
    assert made["$METADATA"]["left_out"] == {"only_ours": "the kernel's own BTF does not know it, and nothing else verifies it"}
    assert made["$METADATA"]["verified"]["refused"] == ["only_ours"]


def test_damage_leaves_the_profile_as_it_was():
    made = profile()
    with pytest.raises(LayoutExpertError, match="damaged"):
        verify_by_btf(made, kernel_types().section()[:-1])
    assert made == profile()


def test_btf_is_not_the_truth_of_structs_that_gcc_has_shuffled():
    made = profile(list_head__prev=[4, POINTER])
    made["$CONFIG"]["CONFIG_GCC_PLUGIN_RANDSTRUCT"] = "y"
    with pytest.raises(LayoutExpertError, match="RANDSTRUCT"):
        verified(made)
    assert "list_head" in made["$STRUCTS"]


SECTION = kernel_types().section()


@given(st.lists(st.tuples(st.integers(0, len(SECTION) - 1), st.integers(0, 255)), max_size=6))
def test_whatever_the_bytes_say_nothing_but_refusal_or_one_line_follows(changes):
    section, made = bytearray(SECTION), profile()
    for place, byte in changes:
        section[place] = byte
    try:
        verify_by_btf(made, bytes(section))
    except LayoutExpertError as error:
        assert "\n" not in str(error)
        assert made == profile()
    else:
        assert all(made["$STRUCTS"][name] == STRUCTS[name] for name in made["$STRUCTS"])


def made_for(series, flavour="amd64", structs="rekall"):
    """A profile of a kernel, and the kernel's BTF."""
    kernel = kernel_or_skip(series, flavour)
    tree = kernel_or_skip(series, "amd64").tree
    return make_profile(pre_ast(tree), str(kernel.config), None, structs=structs), btf.section_of(kernel.vmlinuz)


def differences(made, section):
    """What is wrong in a profile by the tests' own count."""
    return {each.record for each in Comparison(of_profile(made), btf.structs(section), OTHER_NAMES, OTHER_MEMBERS).wrong}


@pytest.mark.network
@pytest.mark.parametrize("series", [pytest.param(series, marks=[pytest.mark.slow] * (series != "6.1")) for series in SUITES])
def test_kernels_agree_and_every_mistake_is_found(series, capsys):
    right, section = made_for(series)
    made = copy.deepcopy(right)
    start = time.perf_counter()
    verify_by_btf(made, section)
    outcome, took = made["$METADATA"]["verified"], time.perf_counter() - start
    with capsys.disabled():
        print("\nLinux %s: %d structs, %d members verified in %.2f s, %d not in BTF" % (
            series, outcome["structs"], outcome["members"], took, outcome["not_in_btf"]))
    assert outcome["refused"] == [] and made["$STRUCTS"] == right["$STRUCTS"]
    assert outcome["structs"] > 450 and outcome["members"] > 5000

    chance = random.Random(SEED)
    truth = btf.structs(section)
    candidates = sorted(name for name, (_, members) in right["$STRUCTS"].items() if name in truth and members)
    made = copy.deepcopy(right)
    mistaken = set(chance.sample(candidates, MISTAKES))
    for name in mistaken:
        make_mistake(made["$STRUCTS"][name], chance)
    wrong = differences(made, section)      # of another size, a record makes what embeds it wrong as well
    verify_by_btf(made, section)
    assert mistaken <= wrong <= set(made["$METADATA"]["verified"]["refused"]), f"LAYOUT_EXPERT_SEED={SEED}"
    assert not mistaken & made["$STRUCTS"].keys() and differences(made, section) == set()
    assert all(made["$STRUCTS"][name] == right["$STRUCTS"][name] for name in made["$STRUCTS"])


def make_mistake(struct, chance):
    """One that a wrong config or a wrong header would make."""
    members = struct[1]
    member = chance.choice(sorted(name for name in members if not name.startswith("u")) or sorted(members))
    kind = chance.choice(["size", "moved", "gone", "added", "bits"])
    if kind == "size":
        struct[0] += 4
    elif kind == "gone":
        del members[member]
    elif kind == "added":
        members["config_dependent"] = [0, INT]
    elif kind == "bits" and members[member][1][0] == "BitField":
        bits = members[member][1][1]
        members[member][1] = ["BitField", dict(bits, start_bit=bits["start_bit"] + 1, end_bit=bits["end_bit"] + 1)]
    else:
        members[member] = [members[member][0] + 8, members[member][1]]


@pytest.mark.network
def test_a_profile_of_another_config_keeps_only_what_is_right_all_the_same():
    made, _ = made_for("6.1", "cloud-amd64")
    section = btf.section_of(kernel_or_skip("6.1").vmlinuz)
    wrong = differences(made, section)
    assert len(wrong) > 10
    verify_by_btf(made, section)
    assert wrong <= made["$METADATA"]["left_out"].keys() and differences(made, section) == set()


@pytest.mark.network
def test_real_bytes_with_damage_lead_to_nothing_but_refusal_or_one_line():
    right, section = made_for("6.1")

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(section) - 5), st.binary(min_size=1, max_size=4)), min_size=1, max_size=40),
           st.just(len(section)) | st.integers(0, len(section)))
    def damage(changes, length):
        damaged, made = bytearray(section), {**right, "$STRUCTS": dict(right["$STRUCTS"]),
                                             "$METADATA": copy.deepcopy(right["$METADATA"])}
        for place, data in changes:
            damaged[place:place + len(data)] = data
        try:
            verify_by_btf(made, bytes(damaged[:length]))
        except LayoutExpertError as error:
            assert "\n" not in str(error)
            assert made == right
        else:
            assert all(made["$STRUCTS"][name] is right["$STRUCTS"][name] for name in made["$STRUCTS"])

    damage()
