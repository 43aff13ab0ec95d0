"""A profile's text is, to the byte, what the standard library's encoder makes of it."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall_layout_expert.profile.output import profile_json


def encoded(profile):
    return json.dumps(profile, separators=(",", ":"))


@pytest.mark.parametrize("constants", [
    {}, {"_text": 0xFFFFFFFF81000000, "negative": -1}, {'a"b': 1}, {"a\\b": 1}, {"\u00e9": 1, "\ufffd": 2}, {"tab\there": 3},
    {"100%": 1, "%s": 2, "%(x)d": 3}, {"a": True}, {"a": 1, "b": 1.5}, {"a": None}, {"a": "text"}, {"": 0},
])
def test_constants(constants):
    profile = {"$CONSTANTS": constants, "$STRUCTS": {"list_head": [16, {"next": [0, ["Void"]]}]}, "$METADATA": {"arch": None}}
    assert profile_json(profile) == encoded(profile)


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans()))))
def test_whatever_stands_in_it(profile):
    assert profile_json(profile) == encoded(profile)
