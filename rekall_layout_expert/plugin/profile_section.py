"""The section that a profile of ours carries: the banner of its kernel, and the classes that go with it.

Rekall lets a profile have sections of one's own, each with a loader. Ours tells Rekall's Linux class
what has changed in the kernel since Rekall was written (plugin/linux/).
"""
from __future__ import annotations

from rekall import obj

NAME = "$LAYOUT_EXPERT"


class LayoutExpertSection(obj.ProfileSectionLoader):
    """Applies them to a profile that has the section."""

    name = NAME
    # After all others: Rekall's initialisation reads them, and sets classes that ours derive from.
    order = 1000

    def LoadIntoProfile(self, session, profile, data):
        profile.EnsureInitialized()
        # Most starts of Rekall load no profile.
        from rekall_layout_expert.plugin import linux
        linux.apply(profile)
        return profile
