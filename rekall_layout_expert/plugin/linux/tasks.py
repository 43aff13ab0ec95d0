"""What Rekall's process lists show of a task, as `ps` shows it."""
from __future__ import annotations

from rekall import obj
from rekall.plugins.overlays.linux import linux

from rekall_layout_expert.plugin.linux import paths
from rekall_layout_expert.plugin.linux.replacing import members_of

_NANOSECONDS = 10 ** 9
# As much as execve() takes (MAX_ARG_STRLEN, 32 pages); more is shown by nobody.
_LONGEST_COMMAND = 1 << 17
_KERNEL_THREAD, _WORKER = 0x00200000, 0x00000020
_LONGEST_NAME = 64
_WORKERS = "kworker/"


class Task(linux.task_struct):
    """A task with a start by the wall clock, and with paths of files also without struct mount."""

    @property
    def task_start_time(self):
        """When the task started.

        Since 3.17 it is kept in nanoseconds since boot, where Rekall subtracts the time of boot instead of adding it. The
        clock that also counts while suspended is real_start_time, and start_boottime since 5.5 ("time: Rename
        tsk->real_start_time to ->start_boottime").
        """
        since_boot = self.multi_m("start_boottime", "real_start_time", "start_time")
        if not self.obj_profile.get_constant("tk_core") or isinstance(since_boot, obj.Struct):
            return super().task_start_time
        timekeeper = self.obj_profile.get_constant_object("tk_core", "tk_core", vm=self.obj_vm).timekeeper
        boot = _nanoseconds(timekeeper.offs_real) - _nanoseconds(timekeeper.offs_boot)
        return self.obj_profile.UnixTimeStamp(value=(boot + int(since_boot)) // _NANOSECONDS)

    @property
    def address_mode(self):
        """The instruction set that `dis` takes its memory apart by. What a 32-bit process may map ends at 4 GB."""
        return "I386" if self.mm and int(self.mm.task_size) <= 1 << 32 else "AMD64"

    @property
    def commandline(self):
        """The arguments of a process, or of a kernel thread its name, as `ps` has it."""
        if not self.mm:
            return f"[{self.full_name}]"
        start, end = int(self.mm.arg_start), int(self.mm.arg_end)
        space = self.get_process_address_space()
        arguments = space.read(start, min(end - start, _LONGEST_COMMAND)) if space and start < end else b""
        return " ".join(arguments.decode("utf8", "replace").rstrip("\0").split("\0"))

    @property
    def full_name(self) -> str:
        """The name of a kernel thread, of which comm holds fifteen characters, as /proc has it.

        5.17 "kthread: dynamically allocate memory to store kthread's full name"; 4.18 "workqueue: Show the latest workqueue
        name in /proc/PID/{comm,stat,status}". struct kthread is private to kernel/kthread.c, and struct worker to
        kernel/workqueue_internal.h: without them the name is comm.
        """
        members = members_of(self.obj_profile, "kthread")
        # 5.17 "kthread: Generalize pf_io_worker so it can point to struct kthread".
        kthread = self.multi_m("worker_private", "set_child_tid") if int(self.flags) & _KERNEL_THREAD and members else None
        if not kthread:
            return str(self.comm)
        kthread, name = kthread.dereference_as("kthread"), str(self.comm)
        is_worker = int(self.flags) & _WORKER
        # Those that rescue a queue go by its name, and are shown by their comm, until they are kworker/R-, too.
        if kthread.m("full_name") and (not is_worker or name.startswith(_WORKERS)):
            name = str(kthread.full_name.dereference_as("String", target_args=dict(length=_LONGEST_NAME)))
        return name + _work_of(kthread) if is_worker else name

    def get_path(self, filp):
        """The path of an open file."""
        return paths.path_of_file(self, filp) if filp else "-"


def _work_of(kthread) -> str:
    """Which queue a worker works for (+), or did last (-), as it stands behind its name."""
    if "desc" not in members_of(kthread.obj_profile, "worker"):
        return ""
    worker = kthread.data.dereference_as("worker")
    name = str(worker.desc.cast("String")) if worker.pool else ""
    return name and ("+" if worker.current_work else "-") + name


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
