"""What is true of any Linux kernel's memory: what a wrong profile makes of it is noticed, and what is missing is not held against it."""
import copy
import struct

import pytest

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.invariants import Invariants

SLIDE, KEPT = 0x1C000000, (1 << 48) - 1
RELEASE = "6.1.0-99-amd64"
NAMES = ("init_task", "init_cred", "init_nsproxy", "init_signals", "init_mm", "init_uts_ns", "init_top_pgt",
         "init_stack", "init_css_set", "root_user", "init_user_ns", "init_net", "init_pid_ns")
CONSTANTS = {name: 0xFFFFFFFF82000000 + 0x1000 * number for number, name in enumerate(NAMES)}
ALLOCATED = 0xFFFF888003000000
POINTERS = ("mm", "real_parent", "parent", "group_leader", "nsproxy", "cred", "real_cred", "signal", "stack", "cgroups")
POINTER = ["Pointer", {"target": "Void"}]
STRUCTS = {
    "list_head": [16, {}],
    "task_struct": [0x200, {
        "pid": [0x10, ["int"]], "comm": [0x18, ["Array", {"count": 16, "target": "char"}]], "tasks": [0x28, ["list_head"]],
        "start_time": [0x40, ["unsigned long long"]],
        "thread": [0x180, ["thread_struct"]], **{name: [0x80 + 8 * number, POINTER] for number, name in enumerate(POINTERS)}}],
    "thread_struct": [0x40, {"sp": [0x18, ["unsigned long"]]}], "nsproxy": [64, {"uts_ns": [8, POINTER], "net_ns": [40, POINTER]}],
    "pid_namespace": [0x100, {"user_ns": [0x60, POINTER]}],
    "cred": [0x80, {"usage": [0, ["atomic_t"]], "user": [0x50, POINTER], "user_ns": [0x58, POINTER]}], "atomic_t": [4, {"counter": [0, ["int"]]}],
    "mm_struct": [0x100, {"pgd": [0x48, POINTER]}],
    "uts_namespace": [0x200, {"name": [4, ["new_utsname"]], "user_ns": [0x190, POINTER]}],
    "new_utsname": [390, {"release": [130, ["Array", {"count": 65, "target": "char"}]]}],
}
TASKS = 12


def running(name):
    return (CONSTANTS[name] + SLIDE) & ((1 << 64) - 1)


def place(number):
    """The address of a task; each has a page of its own."""
    return running("init_task") if number == 0 else ALLOCATED + 0x1000 * number


class Memory:
    """A kernel's address space of some pages, which are where they are mapped."""

    def __init__(self):
        self.pages = {}
        self.base = self

    def end(self):
        return 1 << 48

    def vtop(self, address):
        return address & KEPT if self.is_valid_address(address) else None

    def is_valid_address(self, address):
        return (address & KEPT) >> 12 in self.pages

    def read(self, address, length):
        page, start = (address & KEPT) >> 12, address & 4095
        return bytes(self.pages.get(page, bytes(4096))[start:start + length])

    def write(self, address, data):
        page, start = (address & KEPT) >> 12, address & 4095
        self.pages.setdefault(page, bytearray(4096))[start:start + len(data)] = data

    def set(self, address, struct_name, member, value, form="<Q"):
        self.write(address + STRUCTS[struct_name][1][member][0], struct.pack(form, value))

    def drop(self, address):
        del self.pages[(address & KEPT) >> 12]


@pytest.fixture
def memory():
    memory = Memory()
    for number in range(TASKS):
        task = place(number)
        memory.set(task, "task_struct", "pid", 3 * number, "<i")
        memory.write(task + 0x18, b"swapper/0" if number == 0 else b"task %d" % number)
        link = [place((number + step) % TASKS) + 0x28 for step in (1, -1)]
        memory.write(task + 0x28, struct.pack("<QQ", *link))
        memory.set(task, "task_struct", "start_time", 10 ** 9 * number)
        for name in ("real_parent", "parent"):
            memory.set(task, "task_struct", name, place(0))
        memory.set(task, "task_struct", "group_leader", task)
        memory.set(task, "task_struct", "mm", 0 if number < 4 else ALLOCATED + 0x100000)
        for name in ("cred", "real_cred"):
            memory.set(task, "task_struct", name, running("init_cred"))
        memory.set(task, "task_struct", "nsproxy", running("init_nsproxy"))
        memory.set(task, "task_struct", "signal", running("init_signals"))
        memory.set(task, "task_struct", "cgroups", running("init_css_set"))
        stack = running("init_stack") if number == 0 else ALLOCATED + 0x200000 + 0x10000 * number
        memory.set(task, "task_struct", "stack", stack)
        memory.write(task + 0x198, struct.pack("<Q", stack + 0x3f00))
    memory.write(running("init_cred"), struct.pack("<i", 4))
    for owner, struct_name, member, target in (
            ("init_cred", "cred", "user", "root_user"), ("init_cred", "cred", "user_ns", "init_user_ns"),
            ("init_nsproxy", "nsproxy", "uts_ns", "init_uts_ns"), ("init_nsproxy", "nsproxy", "net_ns", "init_net"),
            ("init_pid_ns", "pid_namespace", "user_ns", "init_user_ns"),
            ("init_uts_ns", "uts_namespace", "user_ns", "init_user_ns")):
        memory.set(running(owner), struct_name, member, running(target))
    memory.set(running("init_mm"), "mm_struct", "pgd", running("init_top_pgt"))
    memory.write(running("init_uts_ns") + 134, RELEASE.encode())
    return memory


def check(memory, structs=None, constants=None):
    return Invariants(memory, structs or STRUCTS, constants or CONSTANTS, SLIDE).check(RELEASE)


def moved(struct_name, member, by):
    structs = copy.deepcopy(STRUCTS)
    structs[struct_name][1][member][0] += by
    return structs


def test_a_right_profile(memory):
    assert check(memory) is None


@pytest.mark.parametrize("allocated", [0xFF11000000000000, 0xFF35D2BF00000000])
def test_a_right_profile_where_memory_is_mapped_as_with_five_levels(monkeypatch, request, allocated):
    """Of such an address the lower 48 bits may be anything."""
    monkeypatch.setitem(globals(), "ALLOCATED", allocated)
    assert check(request.getfixturevalue("memory")) is None


@pytest.mark.parametrize("struct_name, member, by, told", [
    ("task_struct", "comm", 8, "init_task reads pid 0"), ("task_struct", "pid", 8, "init_task reads pid "),
    ("task_struct", "tasks", 16, "the list of tasks is none"), ("task_struct", "tasks", -8, "the list of tasks"),
    ("task_struct", "mm", 8, "mm is not NULL"), ("task_struct", "nsproxy", 8, "init_task.nsproxy is .*, and not init_nsproxy"),
    ("task_struct", "cred", -8, "init_task.cred .* not init_cred"), ("task_struct", "signal", 8, "init_task.signal .* not init_signals"),
    ("task_struct", "group_leader", 8, "init_task.group_leader .* not init_task"),
    ("task_struct", "stack", 8, "init_task.stack .* not init_stack"), ("cred", "user", -8, "init_cred.user is .* not root_user"),
    ("task_struct", "cgroups", 8, "init_task.cgroups .* not init_css_set"), ("cred", "user_ns", 8, "init_cred.user_ns .* not"),
    ("nsproxy", "net_ns", 8, "init_nsproxy.net_ns .* not init_net"), ("pid_namespace", "user_ns", 8, "init_pid_ns.user_ns .* not"),
    ("uts_namespace", "user_ns", 8, "init_uts_ns.user_ns .* not"), ("thread_struct", "sp", 8, "tasks have left their stacks"),
    ("task_struct", "thread", 0x40, "tasks have left their stacks"), ("cred", "usage", 8, "credentials of init_task are used 0 times"), ("mm_struct", "pgd", -8, "init_mm.pgd is 0x0"),
    ("new_utsname", "release", 65, "init_uts_ns does not name the release 6.1.0-99-amd64"),
    ("task_struct", "start_time", 8, r"order of their list \(task_struct.start_time\)"),
    ("task_struct", "start_time", -24, r"order of their list \(task_struct.start_time\)"),
])
def test_a_member_that_is_not_where_the_profile_says(memory, struct_name, member, by, told):
    with pytest.raises(LayoutExpertError, match=told):
        check(memory, moved(struct_name, member, by))


def for_all(memory, member, value, form="<Q"):
    for number in range(1, TASKS):
        memory.set(place(number), "task_struct", member, value(number), form)


@pytest.mark.parametrize("member, value, told", [
    ("pid", lambda number: -number, "numbers of tasks are none"), ("pid", lambda number: 7, "tasks have one number"),
    ("group_leader", lambda number: place(1), "group leaders of tasks are none"),
    ("real_parent", lambda number: number, "parents of tasks are none"),
    ("mm", lambda number: number, "memory descriptors of tasks are none"), ("cred", lambda number: 0, "credentials of tasks are none"),
    ("start_time", lambda number: 100 - number, "order of their list"), ("start_time", lambda number: 0, "order of their list"),
    ("start_time", lambda number: (1 << 63) + number, "order of their list")])
def test_tasks_that_are_none(memory, member, value, told):
    for_all(memory, member, value, "<i" if member == "pid" else "<Q")
    with pytest.raises(LayoutExpertError, match=told):
        check(memory)


@pytest.mark.parametrize("member, value, form", [("pid", -1, "<i"), ("group_leader", 0, "<Q"), ("mm", 5, "<Q"),
                                                 ("start_time", 0, "<Q"), ("cred", 0, "<Q")])
def test_one_task_caught_while_it_changed_decides_nothing(memory, member, value, form):
    memory.set(place(6), "task_struct", member, value, form)
    assert check(memory) is None


@pytest.mark.parametrize("address", [running(name) for name in NAMES if name != "init_task"] + [place(6)])
def test_pages_that_are_missing_decide_nothing(memory, address):
    if memory.is_valid_address(address):
        memory.drop(address)
    assert check(memory) in (None, "the list of tasks is broken; some may be missing")


def test_of_an_image_that_lacks_all_tasks_but_the_first_nothing_is_held_against_the_profile(memory):
    for number in range(1, TASKS):
        memory.drop(place(number))
    assert check(memory) == "the list of tasks is broken; some may be missing"


def test_without_the_first_task_nothing_can_be_said(memory):
    memory.drop(place(0))
    with pytest.raises(LayoutExpertError, match="init_task cannot be read"):
        check(memory)


@pytest.mark.parametrize("symbol", [name for name in NAMES if name != "init_task"])
def test_symbols_that_are_missing_decide_nothing(memory, symbol):
    assert check(memory, constants={name: value for name, value in CONSTANTS.items() if name != symbol}) is None


@pytest.mark.parametrize("struct_name, member", [
    (struct_name, member) for struct_name, (_, members) in STRUCTS.items() for member in members
    if member not in ("pid", "comm", "tasks")])
def test_members_that_are_missing_decide_nothing(memory, struct_name, member):
    structs = copy.deepcopy(STRUCTS)
    del structs[struct_name][1][member]
    assert check(memory, structs) is None


def test_a_list_that_goes_round_without_its_head_ends(memory):
    memory.write(place(8) + 0x28, struct.pack("<Q", place(4) + 0x28))
    assert "broken" in check(memory)


def test_a_list_that_does_not_lead_back(memory):
    for number in range(1, TASKS):
        memory.write(place(number) + 0x30, struct.pack("<Q", place(number) + 0x28))
    with pytest.raises(LayoutExpertError, match="does not lead back"):
        check(memory)


def test_a_process_that_was_made_while_the_image_was_taken(memory):
    """The head's page is older than that of the task which was the last one."""
    memory.write(place(TASKS - 1) + 0x28, struct.pack("<Q", ALLOCATED + 0x50028))
    assert "broken" in check(memory)
