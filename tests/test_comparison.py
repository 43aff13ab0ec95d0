"""The comparison itself: that it reads what a profile says, and that no kind of mistake gets past it."""

import copy

import pytest

from comparison import Comparison, Difference, of_profile, types_of_profile

PROFILE = {"$STRUCTS": {
    "list_head": [16, {"next": [0, ["Pointer", {"target": "list_head"}]],
                       "prev": [8, ["Pointer", {"target": "list_head"}]]}],
    "thing": [64, {
        "id": [0, ["unsigned int", {}]],
        "busy": [4, ["BitField", {"start_bit": 3, "end_bit": 5, "native_type": "unsigned int"}]],
        "u1": [8, ["__unnamed_1", {}]],
        "flag": [16, ["signed byte"]],
        "links": [8, ["list_head", {}]],
        "count": [8, ["long", {}]],
        "state": [24, ["Enumeration", {"target": "int", "enum_name": "state"}]],
        "pairs": [28, ["Array", {"count": 2, "target": "Array", "target_args": {
            "count": 3, "target": "__unnamed_2", "target_args": {}}}]],
        "refs": [52, ["__unnamed_3", {}]],
    }],
    "__unnamed_1": [16, {"links": [0, ["list_head", {}]], "count": [0, ["long", {}]],
                         "u1": [8, ["__unnamed_4", {}]], "flag": [8, ["signed byte"]]}],
    "__unnamed_2": [4, {"x": [0, ["short", {}]], "y": [2, ["unsigned short", {}]]}],
    "__unnamed_3": [4, {"counter": [0, ["int", {}]]}],
    "__unnamed_4": [1, {"flag": [0, ["signed byte"]]}],
}}

LAYOUT = {
    "list_head": (16, {"next": (0, None, 8), "prev": (64, None, 8)}),
    "thing": (64, {
        "id": (0, None, 4), "busy": (35, 2, None), "links": (64, None, 16), "count": (64, None, 8),
        "flag": (128, None, 1), "state": (192, None, 4),
        "pairs": (224, None, 24), "pairs[].x": (224, None, 2), "pairs[].y": (240, None, 2),
        "refs": (416, None, 4), "refs.counter": (416, None, 4),
    }),
}
TRUTH = {name: [layout] for name, layout in LAYOUT.items()}


def compared_with(**members):
    """Our `thing` with members changed, or absent (None), against the truth: the differences."""
    ours = copy.deepcopy(LAYOUT)
    ours["thing"][1].update(members)
    ours["thing"] = 64, {name: place for name, place in ours["thing"][1].items() if place}
    return [(member, our, true) for _, member, our, true in Comparison(ours, TRUTH).wrong]


def test_a_profile_in_the_neutral_form():
    assert of_profile(PROFILE) == LAYOUT


def test_a_right_layout():
    comparison = Comparison(LAYOUT, TRUTH)
    assert (comparison.records, comparison.members, comparison.wrong) == (2, 13, [])


@pytest.mark.parametrize("member, wrong", [
    ("id", (8, None, 4)), ("id", (0, None, 8)), ("id", (0, 32, None)), ("busy", (36, 2, None)), ("busy", (35, 3, None)),
    ("busy", (32, None, 4)), ("count", None), ("another", (0, None, 4)), ("refs.counter", (448, None, 4))])
def test_a_wrong_member(member, wrong):
    assert compared_with(**{member: wrong}) == [(member, wrong, LAYOUT["thing"][1].get(member))]


def test_a_wrong_size():
    ours = dict(LAYOUT, list_head=(24, LAYOUT["list_head"][1]))
    assert Comparison(ours, TRUTH).wrong == [Difference("list_head", None, 24, 16)]


def test_an_anonymous_member_that_contradicts_its_hoisted_ones():
    profile = copy.deepcopy(PROFILE)
    profile["$STRUCTS"]["thing"][1]["count"][0] = 16
    assert [difference.member for difference in Comparison(of_profile(profile), TRUTH).wrong] == ["count"]


def test_a_member_that_is_called_u1():
    structs = {"thing": [4, {"u1": [0, ["__unnamed_1", {}]]}], "__unnamed_1": [4, {"x": [0, ["int", {}]]}]}
    assert of_profile({"$STRUCTS": structs}) == {"thing": (4, {"u1": (0, None, 4), "u1.x": (0, None, 4)})}


def test_an_anonymous_member_of_a_named_type():
    structs = {"head": [8, {"refs": [0, ["int", {}]]}],
               "thing": [16, {"u1": [8, ["head", {}]], "refs": [8, ["int", {}]], "id": [0, ["long", {}]]}]}
    assert of_profile({"$STRUCTS": structs})["thing"] == (16, {"refs": (64, None, 4), "id": (0, None, 8)})


def test_bits_of_a_big_endian_target():
    structs = {"thing": [4, {"busy": [0, ["BitField", {"start_bit": 3, "end_bit": 5, "native_type": "unsigned int"}]]}]}
    assert of_profile({"$STRUCTS": structs}, big_endian=True) == {"thing": (4, {"busy": (27, 2, None)})}


def test_types_in_words():
    assert types_of_profile(PROFILE)["thing"] == {
        "id": "unsigned 4 bytes", "u1": "__unnamed_1", "flag": "1 byte", "links": "list_head",
        "count": "signed 8 bytes", "state": "enum of 4", "pairs": "__unnamed_2[6]", "refs": "__unnamed_3"}
    assert types_of_profile(PROFILE)["list_head"] == {"next": "list_head *", "prev": "list_head *"}


def test_one_of_several_variants_suffices():
    ours = {"list_head": LAYOUT["list_head"]}
    truth = {"list_head": [(8, {"first": (0, None, 8)}), LAYOUT["list_head"]]}
    comparison = Comparison(ours, truth)
    assert (comparison.wrong, comparison.ambiguous) == ([], ["list_head"])
    assert Comparison(ours, {"list_head": truth["list_head"][:1]}).wrong


def test_what_the_truth_lacks_is_not_compared():
    comparison = Comparison(LAYOUT, {"list_head": TRUTH["list_head"]})
    assert (comparison.records, comparison.members, comparison.not_in_truth) == (1, 2, ["thing"])


def test_a_truth_without_members_tells_the_size():
    comparison = Comparison(LAYOUT, dict(TRUTH, list_head=[(16, {})]))
    assert (comparison.records, comparison.size_only, comparison.wrong) == (2, ["list_head"], [])
    assert comparison.members == len(LAYOUT["thing"][1])
    assert Comparison(LAYOUT, dict(TRUTH, list_head=[(8, {})])).wrong


def test_names_offered_besides_are_held_against_what_they_stand_for():
    ours = {"links": (16, dict(LAYOUT["list_head"][1], last=(64, None, 8))), "thing": LAYOUT["thing"]}
    names, members = {"links": "list_head"}, {("links", "last"): [("list_head", "prev")]}
    assert Comparison(ours, TRUTH, names, members).wrong == []
    assert [difference.member for difference in Comparison(ours, TRUTH, names).wrong] == ["last"]
    steps = [("thing", "links"), ("list_head", "prev")]
    assert Comparison(ours, TRUTH, names, {("links", "last"): steps}).wrong == [
        Difference("links", "last", (64, None, 8), (128, None, 8))]
    assert Comparison(ours, TRUTH, names, {("links", "last"): steps + [("list_head", "absent")]}).wrong
