"""A method of one of Rekall's classes gives way to ours, where the kernel keeps what it reads in another form.

The class stays Rekall's, with its name, its options and all that derives from it. Which of the two methods runs is
decided at each call by the session's profile: only one that we made, of a kernel that needs it, has ours.
"""
from __future__ import annotations

import functools
from typing import Any, Callable, Dict

from rekall import obj
from rekall.plugin import PluginError

_MARK = "layout_expert"


def mark(profile: obj.Profile) -> None:
    """Notes that a profile is one of ours, so that it holds what our methods read."""
    profile.set_metadata(_MARK, True)


def replaces(owner: type, name: str, when: Callable[[obj.Profile], bool] = lambda profile: True):
    """Decorates what takes the place of a method of Rekall's class owner, for profiles that `when` is true of."""
    original = getattr(owner, name)

    def decorate(ours):
        @functools.wraps(original)
        def method(self, *args, **kwargs):
            profile = self.session.profile
            chosen = ours if profile.metadata(_MARK) and when(profile) else original
            return chosen(self, *args, **kwargs)

        setattr(owner, name, method)
        return ours

    return decorate


def members_of(profile: obj.Profile, struct: str) -> Dict[str, Any]:
    """The members that the kernel's own struct has, by name; none if the profile lacks the struct."""
    # Not get_obj_offset(), which compiles the type, and warns of what an overlay expects and the kernel has not.
    return profile.vtypes.get(struct, (0, {}))[1]


def need(profile: obj.Profile, struct: str, place: str) -> None:
    """Raises a PluginError if the profile lacks a struct that is private to a place in the kernel's source."""
    if not members_of(profile, struct):
        raise PluginError(f"this profile has no struct {struct}: it is private to the kernel's {place}, which headers packages "
                          "lack. Use a Pre-AST from full source, or a kernel that carries BTF")
