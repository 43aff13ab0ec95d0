"""What Rekall's process lists show of a task, as `ps` shows it.

Rekall's Linux class is told of it when a profile of ours is loaded: our section of the profile has a
loader, which is how Rekall lets sections be added.
"""
from __future__ import annotations

from rekall import obj
from rekall.plugins.overlays.linux import linux

SECTION = "$LAYOUT_EXPERT"
_NANOSECONDS = 10 ** 9


class Task(linux.task_struct):
    """A task whose start is a time of day."""

    @property
    def task_start_time(self):
        """When the task started, by the wall clock.

        Since 3.17 ("sched: Make task->start_time nanoseconds based") it is kept in nanoseconds since
        boot, where Rekall subtracts the time of boot instead of adding it. The clock that also counts
        while suspended is real_start_time, and start_boottime since 5.5 ("sched/cputime: Rename
        real_start_time to start_boottime").
        """
        since_boot = self.multi_m("start_boottime", "real_start_time", "start_time")
        if not self.obj_profile.get_constant("tk_core") or isinstance(since_boot, obj.Struct):
            return super().task_start_time
        timekeeper = self.obj_profile.get_constant_object("tk_core", "tk_core", vm=self.obj_vm).timekeeper
        boot = _nanoseconds(timekeeper.offs_real) - _nanoseconds(timekeeper.offs_boot)
        return self.obj_profile.UnixTimeStamp(value=(boot + int(since_boot)) // _NANOSECONDS)


def _nanoseconds(ktime) -> int:
    """A ktime_t, which was a union until 4.10 ("ktime: Get rid of the union")."""
    return int(ktime.tv64 if isinstance(ktime, obj.Struct) else ktime)


class LayoutExpertSection(obj.ProfileSectionLoader):
    """Gives a profile of ours the classes of ours."""

    name = SECTION
    # After the sections that its initialisation needs, for that sets Rekall's own classes.
    order = 1000

    def LoadIntoProfile(self, session, profile, data):
        profile.EnsureInitialized()
        profile.add_classes({"task_struct": Task})
        return profile
