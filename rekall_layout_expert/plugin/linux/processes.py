"""Lists of processes other than the kernel's own list of tasks."""
from __future__ import annotations

from rekall.plugins.linux import pslist, pstree
from rekall.plugins.overlays.basic import container_of

from rekall_layout_expert.plugin.linux.lists import MOST, hlist_entries, list_entries, xarray_entries
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

_PIDTYPE_PID = 0
# alloc_large_system_hash() is asked for no more.
_LARGEST_HASH_BITS = 18


@replaces(pslist.PidHashTable, "list_tasks", lambda profile: "idr" in members_of(profile, "pid_namespace"))
def tasks_by_number(plugin):
    """The processes that the first namespace has numbers of: all there are, as each has one in every outer namespace.

    4.15 "pid: replace pid bitmap implementation with IDR API" and what followed it took pid_hash away. Threads, which
    have numbers as well, are no processes: listed as such they would look hidden from the list of tasks.
    """
    profile, vm = plugin.session.profile, plugin.kernel_address_space
    namespace = profile.get_constant_object("init_pid_ns", target="pid_namespace", vm=vm)
    # 4.19 "pids: Move the pgrp and session pid pointers from task_struct to signal_struct".
    link = "pid_links" if "pid_links" in members_of(profile, "task_struct") else "pids"
    for _, _, address in xarray_entries(namespace.idr.idr_rt):
        first = profile.pid(offset=address, vm=vm).tasks[_PIDTYPE_PID].first
        if first:
            task = container_of(first, "task_struct", link)
            if task.group_leader == task:
                yield task


@replaces(pslist.PidHashTable, "list_tasks", lambda profile: "pid_chain" in members_of(profile, "upid"))
def tasks_by_hash(plugin):
    """The processes that the table of numbers has, until 4.14; Rekall takes one from each of its chains."""
    profile, vm = plugin.session.profile, plugin.kernel_address_space
    bits = int(profile.get_constant_object("pidhash_shift", target="unsigned int", vm=vm))
    table = int(profile.get_constant_object("pid_hash", target="Pointer", vm=vm))
    outermost = profile.get_constant("init_pid_ns", is_address=True)
    for bucket in range(1 << min(bits, _LARGEST_HASH_BITS)):
        head = profile.hlist_head(offset=table + bucket * profile.get_obj_size("hlist_head"), vm=vm)
        for number in hlist_entries(head, "upid", "pid_chain"):
            # Each process has a number in the outermost namespace, which is the first of those it has.
            if number.ns == outermost:
                first = container_of(number.reference(), "pid", "numbers").tasks[_PIDTYPE_PID].first
                if first:
                    task = container_of(first, "task_struct", "pids")
                    if task.group_leader == task:
                        yield task


@replaces(pstree.LinPSTree, "recurse_task")
def descendants(plugin, task, level):
    """A task and its descendants, depth first, with their levels.

    Rekall's own calls itself for each level, and never ends where a list was changed while it was read.
    """
    stack, seen = [(task, level)], {task.obj_offset}
    while stack and len(seen) < MOST:
        task, level = stack.pop()
        yield task, level
        children = [child for child in list_entries(task.children, "task_struct", "sibling") if child.obj_offset not in seen]
        seen.update(child.obj_offset for child in children)
        stack.extend((child, level + 1) for child in reversed(children))
