"""What is true of any Linux kernel's memory: a profile that reads it otherwise is of another kernel.

Memory may have been taken while the system ran, pages may be missing, and lists are then found as they never were. So
what the kernel sets once and keeps must be exact; of what changes, most must be sane; and what cannot be read, or is
not in the profile, decides nothing. Sources: init/init_task.c, kernel/fork.c, and what they include.
"""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.verification.neutral import native_size

_KEPT = (1 << 48) - 1  # Rekall's addresses
_KERNEL_SPACE = 0xFF << 56  # with five levels of page tables; with four it is the last part of that
# PID_MAX_LIMIT
_MOST_TASKS = 1 << 22
# A running kernel's list may change under the walk.
_WALKS = 3
# So many tasks are looked at, one in so many may be insane, and fewer than so many tell nothing.
_SAMPLE, _TOLERANCE, _FEWEST = 256, 4, 8
# 100 years, in nanoseconds.
_LONGEST_UPTIME = 100 * 366 * 24 * 3600 * 10 ** 9

# What points to what from the first instruction on, and always: (object, its type, member, target).
_STATIC_POINTERS = (
    *(("init_task", "task_struct", member, target) for member, target in (
        ("stack", "init_stack"), ("real_parent", "init_task"), ("parent", "init_task"), ("group_leader", "init_task"),
        ("nsproxy", "init_nsproxy"), ("cred", "init_cred"), ("real_cred", "init_cred"), ("signal", "init_signals"),
        ("cgroups", "init_css_set"))),
    ("init_cred", "cred", "user", "root_user"), ("init_cred", "cred", "user_ns", "init_user_ns"),
    ("init_nsproxy", "nsproxy", "uts_ns", "init_uts_ns"), ("init_nsproxy", "nsproxy", "net_ns", "init_net"),
    ("init_pid_ns", "pid_namespace", "user_ns", "init_user_ns"),
    ("init_uts_ns", "uts_namespace", "user_ns", "init_user_ns"),
)
# A kernel stack is not larger, with any debugging (THREAD_SIZE).
_STACK_SIZE = 1 << 16


class Invariants:
    """The kernel's memory as a profile reads it.

    memory: the kernel's address space. structs, constants: the profile's. slide: how far the image is from where it was
    linked. A LayoutExpertError names the invariant that does not hold.
    """

    def __init__(self, memory, structs: Dict[str, Any], constants: Mapping[str, int], slide: int):
        self._memory = memory
        self._end = memory.base.end()
        self._structs = structs
        self._constants = constants
        self._slide = slide
        self._first = self._address("init_task")

    def check(self, release: str) -> Optional[str]:
        """Checks them all. release: the kernel's. Returns what is wrong with the memory itself, or None."""
        self._check_first_task()
        self._check_others(release)
        tasks, trouble = self._tasks()
        self._check_tasks(tasks[:_SAMPLE])
        return trouble

    def _check_first_task(self) -> None:
        comm = self._bytes(self._member(self._first, "task_struct", "comm"), 16)
        pid = self._value(self._first, "task_struct", "pid")
        if comm is None or pid is None:
            raise LayoutExpertError("init_task cannot be read")
        name = comm.split(b"\0")[0].decode("ascii", "replace")
        if not re.match(r"swapper(/0)?\Z", name) or pid != 0:
            raise LayoutExpertError(f"init_task reads pid {pid}, {name!r}")
        if self._value(self._first, "task_struct", "mm"):
            raise LayoutExpertError("init_task has a user's memory (mm is not NULL)")
        for owner, struct, member, target in _STATIC_POINTERS:
            expected, found = self._address(target), self._value(self._address(owner), struct, member)
            if None not in (expected, found) and found & _KEPT != expected:
                raise LayoutExpertError(f"{owner}.{member} is {found:#x}, and not {target}")
        cred = self._value(self._first, "task_struct", "cred")
        usage = cred and self._value(cred & _KEPT, "cred", "usage")
        if usage is not None and not 0 < usage < 1 << 31:
            raise LayoutExpertError(f"the credentials of init_task are used {usage} times")

    def _check_others(self, release: str) -> None:
        table = self._value(self._address("init_mm"), "mm_struct", "pgd")
        tables = [self._address(name) for name in ("init_top_pgt", "init_level4_pgt", "swapper_pg_dir")]
        if table is not None and any(tables) and table & _KEPT not in tables:
            raise LayoutExpertError(f"init_mm.pgd is {table:#x}, and not the kernel's page tables")
        name = self._member(self._address("init_uts_ns"), "uts_namespace", "name")
        found = self._bytes(name and self._member(name, "new_utsname", "release"), 65)
        if found is not None and found.split(b"\0")[0] != release.encode():
            raise LayoutExpertError(f"init_uts_ns does not name the release {release}")

    def _tasks(self) -> Tuple[List[int], Optional[str]]:
        """The addresses of the tasks, without the first, and what is wrong with their list."""
        offset = self._structs["task_struct"][1]["tasks"][0]
        head = self._first + offset
        for _ in range(_WALKS):
            nodes, closes = self._walk(head)
            if closes:
                return [node - offset for node in nodes], None
        # An image that was taken while the system ran may hold the list as it never was, in one place.
        pointers = self._pointers(head) or (_KERNEL_SPACE, _KERNEL_SPACE)
        after, before = (pointer & _KEPT for pointer in pointers)
        ends = [links[which] for links, which in ((self._links(after), 1), (self._links(before), 0)) if links]
        if ends and head not in ends or min(pointers) < _KERNEL_SPACE:
            raise LayoutExpertError("the list of tasks is none")
        return [node - offset for node in nodes], "the list of tasks is broken; some may be missing"

    def _walk(self, head: int) -> Tuple[List[int], bool]:
        """The nodes after a list's head, and whether it comes back to it."""
        nodes, seen, insane = [], {head}, 0
        previous, links = head, self._links(head)
        while links and links[0] not in seen and len(seen) < _MOST_TASKS:
            node, links = links[0], self._links(links[0])
            if links:
                nodes.append(node)
                seen.add(node)
                insane += links[1] != previous
                previous = node
        closes = bool(links) and links[0] == head
        if closes and insane * _TOLERANCE > len(nodes):
            raise LayoutExpertError("the list of tasks does not lead back the way it came")
        return nodes, closes

    def _check_tasks(self, tasks: List[int]) -> None:
        if len(tasks) < _FEWEST:
            return
        for member, what, is_sane in (
            ("pid", "numbers", lambda pid, _: 0 < pid < _MOST_TASKS),
            ("group_leader", "group leaders", lambda leader, task: leader & _KEPT == task),
            ("real_parent", "parents", lambda parent, _: parent >= _KERNEL_SPACE),
            ("cred", "credentials", lambda cred, _: cred >= _KERNEL_SPACE),
            ("mm", "memory descriptors", lambda mm, _: not mm or mm >= _KERNEL_SPACE),
        ):
            values = [(self._value(task, "task_struct", member), task) for task in tasks]
            known = [(value, task) for value, task in values if value is not None]
            if sum(not is_sane(*each) for each in known) * _TOLERANCE > len(known):
                raise LayoutExpertError(f"the {what} of tasks are none (task_struct.{member})")
        pids = [pid for pid in (self._value(task, "task_struct", "pid") for task in tasks) if pid is not None]
        if (len(pids) - len(set(pids))) * _TOLERANCE > len(pids):
            raise LayoutExpertError("tasks have one number (task_struct.pid)")
        stacks = [(self._value(task, "task_struct", "stack"), self._stack_pointer(task)) for task in tasks]
        # A task that is dead and not yet waited for has none.
        known = [pointer - stack for stack, pointer in stacks if stack and pointer is not None]
        if sum(not 0 < used <= _STACK_SIZE for used in known) * _TOLERANCE > len(known):
            raise LayoutExpertError("tasks have left their stacks (task_struct.thread.sp)")
        for member in ("start_time", "start_boottime", "real_start_time"):
            self._check_starts(tasks, member)

    def _stack_pointer(self, task: int) -> Optional[int]:
        """Where a task's stack ended when it was last switched from; thread is the last member of task_struct."""
        return self._value(self._member(task, "task_struct", "thread"), "thread_struct", "sp")

    def _check_starts(self, tasks: List[int], member: str) -> None:
        """Tasks are in the order in which they were made; whoever forks notes the time a little before."""
        if self._size("task_struct", member) != 8:
            return  # a struct timespec until 3.17
        starts = [start for start in (self._value(task, "task_struct", member) for task in tasks) if start is not None]
        disorder = sum(earlier > later for earlier, later in zip(starts, starts[1:]))
        unlikely = sum(start > _LONGEST_UPTIME for start in starts)
        if len(starts) >= _FEWEST and (max(disorder, unlikely) * _TOLERANCE > len(starts) or not any(starts)):
            raise LayoutExpertError(f"tasks do not start in the order of their list (task_struct.{member})")

    def _address(self, symbol: str) -> Optional[int]:
        address = self._constants.get(symbol)
        return None if address is None else (address + self._slide) & _KEPT

    def _member(self, address: Optional[int], struct: str, member: str) -> Optional[int]:
        """The address of a member; None where it is not known."""
        found = self._structs.get(struct, (0, {}))[1].get(member)
        return None if address is None or found is None else address + found[0]

    def _size(self, struct: str, member: str) -> Optional[int]:
        """In bytes, of a pointer, an integer or what holds nothing but one; else None."""
        found = self._structs.get(struct, (0, {}))[1].get(member)
        if found is None:
            return None
        target = found[1][0]
        if target == "Pointer":
            return 8
        if target in self._structs:
            size, members = self._structs[target]
            return size if len(members) == 1 and size in (4, 8) else None
        return native_size(target.split(), 8)

    def _value(self, address: Optional[int], struct: str, member: str) -> Optional[int]:
        """An unsigned number; None where the member or the memory is not known."""
        size = self._size(struct, member)
        data = size and self._bytes(self._member(address, struct, member), size)
        return int.from_bytes(data, "little") if data else None

    def _links(self, node: int) -> Optional[Tuple[int, int]]:
        """A list_head's next and prev, as Rekall's addresses."""
        pointers = self._pointers(node)
        return pointers and (pointers[0] & _KEPT, pointers[1] & _KEPT)

    def _pointers(self, node: int) -> Optional[Tuple[int, int]]:
        data = self._bytes(node, 16)
        return data and (int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little"))

    def _bytes(self, address: Optional[int], length: int) -> Optional[bytes]:
        if address is None or not all(map(self._is_there, {address, address + length - 1})):
            return None
        return self._memory.read(address, length)

    def _is_there(self, address: int) -> bool:
        """Whether it is mapped, and the image has it: what it has not reads as zeros."""
        physical = self._memory.vtop(address)
        return physical is not None and physical < self._end and self._memory.base.is_valid_address(physical)
