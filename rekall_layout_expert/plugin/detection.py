"""Detection: Rekall asks which profile fits the memory before it; the answer is made on the spot.

Rekall tries its detection methods in order, but constructs them all before, and some then ask the
network for an index: without a network they wait. So the method here is also asked before the others
are constructed, through the parameter hook for the name of a profile that the user did not give.

Every start of Rekall imports this module, and few need what makes a profile: that is imported then.
"""
from __future__ import annotations

import os

from rekall import kb
from rekall.plugins import guess_profile

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.address_spaces import is_running_kernel
from rekall_layout_expert.plugin.failure import give_up
from rekall_layout_expert.plugin.five_levels import FindPageTables
from rekall_layout_expert.plugin.options import SIDECARS, Named


class LayoutExpertDetection(guess_profile.DetectionMethod):
    """The profile of the running kernel, or of the one in an image."""

    name = "layout_expert"
    order = 10
    find_dtb_impl = FindPageTables

    def Offsets(self):
        return [0]

    def DetectFromHit(self, hit, file_offset, address_space):
        """A verified profile, or None if this is no case for us; a failure ends the command."""
        named = Named.in_options(self.session)
        is_meant = any(named) or is_running_kernel(address_space)
        if not is_running_kernel(address_space):
            filename = self.session.GetParameter("filename")
            if not filename:
                return None
            named = named.or_beside(str(filename))
            # One file beside an image may be there for another reason; an option is meant.
            is_meant |= bool(named.config_file_path and named.system)
        from rekall_layout_expert.plugin import analysis
        from rekall_layout_expert.plugin.subject import NoLinuxKernel
        stages = analysis.Stages(self.session)
        try:
            subject = analysis.subject_in(self.session, address_space, named, stages)
            return analysis.profile_of(self, subject, stages)
        except LayoutExpertError as error:
            if isinstance(error, NoLinuxKernel) and not is_meant:
                if error.rejected:
                    self.session.logging.warning("Layout Expert: %s", error)
                return None
            give_up(self.session, error)


class LayoutExpertProfileName(kb.ParameterHook):
    """The name of the profile, when the user did not give one; None leaves it to Rekall."""

    name = "profile"
    volatile = False

    def calculate(self):
        if LayoutExpertDetection.name not in (self.session.GetParameter("autodetect") or ()):
            return None
        memory = self.session.physical_address_space
        profile = LayoutExpertDetection(session=self.session).DetectFromHit(None, 0, memory) if memory else None
        return profile.name if profile else None


class LayoutExpertProfile(guess_profile.ProfileHook):
    """Rekall's own search for a profile, which ends with a line instead of a traceback when nobody has one."""

    def ScanProfiles(self):
        profile = super().ScanProfiles()
        if not profile:
            give_up(self.session, self._why_there_is_none())
        return profile

    def calculate(self):
        try:
            return super().calculate()
        except RuntimeError:
            # Raised when no address space reads the file.
            if self.session.physical_address_space or not self.session.GetParameter("filename"):
                raise
            give_up(self.session, self._why_there_is_none())

    def _why_there_is_none(self) -> LayoutExpertError:
        image = str(self.session.GetParameter("filename"))
        try:
            with open(image, "rb") as file:
                is_empty = not file.seek(0, os.SEEK_END)
        except OSError as error:
            return LayoutExpertError(f"cannot read {image} as an image of memory: {error.strerror}",
                                     next_step="name an image, or /proc/kcore, with -f")
        if is_empty:
            return LayoutExpertError(f"{image} is empty", next_step="name an image, or /proc/kcore, with -f")
        return LayoutExpertError(
            f"no profile for {image}: Rekall has none that fits, and no Linux kernel that shows its symbols is in it",
            [image + ending for name in ("config_file_path", "system") for ending in SIDECARS[name]],
            "of a Linux kernel name configuration and symbols with --config_file_path and --system, or put them there")


# Rekall takes the first class of a name.
del kb.ParameterHook.classes[guess_profile.ProfileHook.__name__]
kb.ParameterHook.classes_by_name[guess_profile.ProfileHook.name].remove(guess_profile.ProfileHook)
