"""What only kernels of 4.x keep the way they did: their log, their table of processes' numbers, their page caches.

No image of such a kernel is here (tests/kernels.py says how to have some); the structs here are written by hand, beside the
memory that they describe.
"""
import struct
from types import SimpleNamespace

import pytest
from rekall import addrspace, obj, session

from rekall_layout_expert.plugin.linux import lists, log, mark, processes

BASE = 0xFFFF880000000000
POINTER = lambda target: ["Pointer", {"target": target, "target_args": None}]  # noqa: E731
INTEGERS = {"<B": "unsigned char", "<H": "unsigned short", "<I": "unsigned int", "<i": "int", "<Q": "unsigned long long"}
NODE_SLOTS, SLOTS = 16, 64
STRUCTS = {
    "task_struct": [64, {"pid": [0, ["int"]], "group_leader": [8, POINTER("task_struct")],
                         "pids": [16, ["Array", {"count": 1, "target": "pid_link", "target_args": None}]]}],
    "pid_link": [24, {"node": [0, ["hlist_node"]], "pid": [16, POINTER("pid")]}],
    "hlist_head": [8, {"first": [0, POINTER("hlist_node")]}],
    "hlist_node": [16, {"next": [0, POINTER("hlist_node")], "pprev": [8, POINTER("Void")]}],
    "pid": [64, {"tasks": [0, ["Array", {"count": 1, "target": "hlist_head", "target_args": None}]],
                 "numbers": [16, ["Array", {"count": 1, "target": "upid", "target_args": None}]]}],
    "upid": [32, {"nr": [0, ["int"]], "ns": [8, POINTER("pid_namespace")], "pid_chain": [16, ["hlist_node"]]}],
    "pid_namespace": [8, {"level": [0, ["int"]]}],
    "printk_log": [16, {"ts_nsec": [0, [INTEGERS["<Q"]]], "len": [8, [INTEGERS["<H"]]], "text_len": [10, [INTEGERS["<H"]]],
                        "dict_len": [12, [INTEGERS["<H"]]], "facility": [14, [INTEGERS["<B"]]],
                        "level": [15, ["BitField", {"start_bit": 5, "end_bit": 8, "native_type": "unsigned char"}]]}],
    "radix_tree_root": [16, {"rnode": [8, POINTER("radix_tree_node")]}],
    "radix_tree_node": [NODE_SLOTS + 8 * SLOTS, {
        "path": [0, ["unsigned int"]], "slots": [NODE_SLOTS, ["Array", {
            "count": SLOTS, "target": "Pointer", "target_args": {"target": "Void", "target_args": None}}]]}],
}


class Memory:
    """A kernel's memory, which is written piece by piece: the address of each is where the one before it ended."""

    def __init__(self):
        self.content = bytearray(4096)
        self.constants = {"_text": BASE}

    def put(self, data: bytes, name: str = "") -> int:
        self.content += b"\0" * (-len(self.content) % 64)
        address = BASE + len(self.content)
        self.content += data
        if name:
            self.constants[name] = address
        return address

    def set(self, address: int, form: str, *values) -> None:
        struct.pack_into(form, self.content, address - BASE, *values)

    def plugin(self, structs=None):
        """In place of a plugin: what it reads."""
        rekall = session.Session(autodetect=[], cache="memory", repository_path=[], logging_level=40)
        rekall.SetCache("kernel_slide", 0, volatile=False)
        profile = obj.Profile.LoadProfileFromData(
            {"$METADATA": {"ProfileClass": "Linux", "Type": "Profile", "arch": "AMD64"}, "$STRUCTS": structs or STRUCTS,
             "$CONSTANTS": self.constants}, session=rekall, name="4.x")
        mark(profile)
        vm = addrspace.BufferAddressSpace(session=rekall, data=bytes(self.content), base_offset=BASE & (1 << 48) - 1)
        return SimpleNamespace(profile=profile, kernel_address_space=vm,
                               session=SimpleNamespace(profile=profile, kernel_address_space=vm))


def record(text: bytes, level: int, seconds: int, dictionary: bytes = b"") -> bytes:
    size = 16 + len(text) + len(dictionary)
    length = -(-size // 8) * 8
    return struct.pack("<QHHHBB", seconds * 10 ** 9, length, len(text), len(dictionary), 3, level << 5 | 1) + (
        text + dictionary).ljust(length - 16, b"\0")


def log_of(buffer: bytes, first: int, sequence: int, end: int) -> Memory:
    memory = Memory()
    memory.put(struct.pack("<Q", memory.put(buffer)), "log_buf")
    memory.put(struct.pack("<I", len(buffer)), "log_buf_len")
    memory.put(struct.pack("<I", first), "log_first_idx")
    memory.put(struct.pack("<Q", sequence), "log_first_seq")
    memory.put(struct.pack("<Q", end), "log_next_seq")
    return memory


def messages(memory):
    return [(row["timestamp"], row["facility"], row["level"], row["message"])
            for row in log.records_in_one_buffer(memory.plugin())]


def test_log_that_goes_on_at_the_start_of_its_buffer():
    newer, middle, oldest = record(b"newest", 6, 3), record(b"in the middle", 4, 2, b"SUBSYSTEM=x"), record(b"oldest", 0, 1)
    gap = b"overwritten".ljust(32, b"\xff")
    buffer = newer + gap + oldest + middle + bytes(16)
    assert messages(log_of(buffer, len(newer + gap), 7, 10)) == [
        (1.0, 3, "LOG_EMERG", "oldest"), (2.0, 3, "LOG_WARNING", "in the middle"), (3.0, 3, "LOG_INFO", "newest")]


@pytest.mark.parametrize("length", [0, 8, 400])
def test_log_with_a_record_of_a_length_that_cannot_be_ends(length):
    damaged = bytearray(record(b"damaged", 6, 2))
    struct.pack_into("<H", damaged, 8, length)
    buffer = record(b"first", 6, 1) + damaged
    assert {message for _, _, _, message in messages(log_of(buffer, 0, 0, 1 << 60))} == {"first"}


def test_processes_of_a_chain_of_the_table_of_numbers():
    memory = Memory()
    outermost, inner = memory.put(bytes(8), "init_pid_ns"), memory.put(bytes(8))
    memory.put(struct.pack("<I", 1), "pidhash_shift")
    table = memory.put(bytes(16))
    memory.put(struct.pack("<Q", table), "pid_hash")

    def number_of(pid, namespace, leads=True):
        """A struct pid and its task."""
        task, number = memory.put(bytes(64)), memory.put(bytes(64))
        memory.set(task, "<iIQ", pid, 0, task if leads else task + 1)
        memory.set(number, "<Q", task + 16)
        memory.set(number + 16, "<iIQ", pid, 0, namespace)
        return number + 16 + 16

    first, second, thread, inside = (number_of(1, outermost), number_of(2, outermost), number_of(3, outermost, False),
                                     number_of(1, inner))
    memory.set(table + 8, "<Q", first)
    for node, following in ((first, second), (second, thread), (thread, inside), (inside, second)):  # and in a circle
        memory.set(node, "<Q", following)
    assert [int(task.pid) for task in processes.tasks_by_hash(memory.plugin())] == [1, 2]


def node(memory, height, offset, held):
    address = memory.put(bytes(NODE_SLOTS + 8 * SLOTS))
    memory.set(address, "<I", offset << 12 | height)
    for slot, entry in held.items():
        memory.set(address + NODE_SLOTS + 8 * slot, "<Q", entry)
    return address


def entries(memory, root):
    plugin = memory.plugin()
    found = plugin.profile.radix_tree_root(offset=root, vm=plugin.kernel_address_space)
    return [(first, count, BASE & ~((1 << 48) - 1) | entry) for first, count, entry in lists.xarray_entries(found)]


def test_radix_tree_whose_nodes_know_their_height():
    memory = Memory()
    pages = [memory.put(bytes(64)) for _ in range(4)]
    low = node(memory, 1, 0, {0: pages[0], 63: pages[1], 5: 0x1002})  # with an exceptional entry
    high = node(memory, 1, 3, {1: pages[2]})
    top = node(memory, 2, 0, {0: low, 3: high})
    assert entries(memory, memory.put(struct.pack("<QQ", 0, top | 1))) == [
        (0, 1, pages[0]), (63, 1, pages[1]), (3 * SLOTS + 1, 1, pages[2])]


def test_radix_tree_of_one_page():
    memory = Memory()
    page = memory.put(bytes(64))
    assert entries(memory, memory.put(struct.pack("<QQ", 0, page))) == [(0, 1, page)]


def test_radix_tree_that_leads_back_to_itself_ends():
    memory = Memory()
    top = node(memory, 3, 0, {})
    memory.set(top + NODE_SLOTS, "<Q", top)
    assert entries(memory, memory.put(struct.pack("<QQ", 0, top | 1))) == []
