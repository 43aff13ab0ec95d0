"""The section that a profile of ours carries: the banner of its kernel, and the classes that go with it.

Rekall lets a profile have sections of one's own, each with a loader. Ours tells Rekall's Linux class
what has changed in the kernel since Rekall was written, one module for each subject.
"""
from __future__ import annotations

from rekall import obj

from rekall_layout_expert.plugin import mounts, tasks

NAME = "$LAYOUT_EXPERT"
_SUBJECTS = (mounts, tasks)


class LayoutExpertSection(obj.ProfileSectionLoader):
    """Applies each subject to a profile that has the section."""

    name = NAME
    # After all others: Rekall's initialisation reads them, and sets classes that ours derive from.
    order = 1000

    def LoadIntoProfile(self, session, profile, data):
        profile.EnsureInitialized()
        for subject in _SUBJECTS:
            subject.apply(profile)
        return profile
