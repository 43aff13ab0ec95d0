"""What Rekall's process lists show of a task, as `ps` shows it."""
from __future__ import annotations

from rekall import obj
from rekall.plugins.overlays.linux import linux

from rekall_layout_expert.plugin.linux import paths

_NANOSECONDS = 10 ** 9


class Task(linux.task_struct):
    """A task with a start by the wall clock, and with paths of files also without struct mount."""

    @property
    def task_start_time(self):
        """When the task started.

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

    def get_path(self, filp):
        """The path of an open file."""
        return paths.path_of_file(self, filp) if filp else "-"


def _nanoseconds(ktime) -> int:
    """A ktime_t, which was a union until 4.10 ("ktime: Get rid of the union")."""
    return int(ktime.tv64 if isinstance(ktime, obj.Struct) else ktime)


def _parent(task):
    """As getppid() and `ps` have it: not a debugger, and of a thread that forked, its process."""
    return task.m("real_parent").m("group_leader") or task.m("parent")


def apply(profile: obj.Profile) -> None:
    """Gives tasks of this profile the class above."""
    profile.add_classes({"task_struct": Task})
    profile.add_overlay({"task_struct": [None, {"parent": _parent}]})
