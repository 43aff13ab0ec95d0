"""A kernel small enough to be written by hand: four tasks, page tables, a banner, slid by KASLR.

The tests of the plugin run Rekall itself on images of it. Only the core is stood in for: its profile
is written here, beside the memory that it describes.
"""
import copy
import gzip
import struct

import pytest
from kallsyms_tables import table_of

BANNER = "Linux version 6.1.0-99-amd64 (someone@somewhere) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP Debian 6.1.99-1\n"
CONFIG = """#
# Linux/x86 6.1.99 Kernel Configuration
#
CONFIG_X86_64=y
CONFIG_SMP=y
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=120200
CONFIG_PHYSICAL_START=0x1000000
CONFIG_PHYSICAL_ALIGN=0x200000
"""
START_KERNEL_MAP = 0xFFFFFFFF80000000
LINK_TEXT = START_KERNEL_MAP + 0x1000000
MEGABYTE = 1 << 20
BOOT_TIME = 1700000000

# Distances from _text; task N is TASK_SIZE * N after init_task, its other objects lie in its room.
PLACES = {
    "_text": 0, "linux_banner": 0x200000, "linux_proc_banner": 0x200400, "phys_base": 0x201000,
    "init_top_pgt": 0x202000, "level3_kernel_pgt": 0x203000, "level2_kernel_pgt": 0x204000,
    "level4_kernel_pgt": 0x205000, "init_task": 0x206000, "tk_core": 0x20A000, "page_offset_base": 0x20A100,
    "vmalloc_base": 0x20A108, "vmemmap_base": 0x20A110, "sme_me_mask": 0x20A118, "_end": 0x20B000,
}
# As a kernel with 5-level page tables chooses it: 48 bits do not hold it.
DIRECT_MAP, VMALLOC, VMEMMAP = 0xFF35D2BF00000000, 0xFFA1E47F40000000, 0xFFD4000F00000000
TASK_SIZE, CRED = 0x400, 0x300
# (pid, command, real parent's number, debugger's number, leader's number, user, start in seconds)
TASKS = (
    (0, "swapper/0", 0, 0, 0, 0, 0),
    (1, "init", 0, 0, 1, 0, 1),
    (7, "bash", 1, 1, 2, 1000, 60),
    # Started by a thread of bash (number 4, which is not in the list), under init as a debugger.
    (9, "sleep", 4, 1, 3, 1000, 61),
    (8, "bash", 1, 1, 2, 1000, 60),
)
LISTED = (0, 1, 2, 3)
TASK = {"pid": 0, "comm": 8, "tasks": 24, "real_parent": 40, "parent": 48, "group_leader": 56, "cred": 64,
        "mm": 72, "start_boottime": 80, "fs": 88}

POINTER = lambda target: ["Pointer", {"target": target, "target_args": None}]  # noqa: E731
STRUCTS = {
    "task_struct": [TASK_SIZE, {
        "pid": [TASK["pid"], ["int", {}]],
        "comm": [TASK["comm"], ["Array", {"count": 16, "target": "char", "target_args": {}}]],
        "tasks": [TASK["tasks"], ["list_head", {}]],
        "real_parent": [TASK["real_parent"], POINTER("task_struct")],
        "parent": [TASK["parent"], POINTER("task_struct")],
        "group_leader": [TASK["group_leader"], POINTER("task_struct")],
        "cred": [TASK["cred"], POINTER("cred")],
        "mm": [TASK["mm"], POINTER("mm_struct")],
        "start_boottime": [TASK["start_boottime"], ["unsigned long long", {}]],
        "fs": [TASK["fs"], POINTER("fs_struct")],
    }],
    "list_head": [16, {"next": [0, POINTER("list_head")], "prev": [8, POINTER("list_head")]}],
    "cred": [16, {"uid": [0, ["kuid_t", {}]], "gid": [4, ["kgid_t", {}]]}],
    "kuid_t": [4, {"val": [0, ["unsigned int", {}]]}],
    "kgid_t": [4, {"val": [0, ["unsigned int", {}]]}],
    "mm_struct": [16, {"pgd": [0, POINTER("unsigned long")], "exe_file": [8, POINTER("file")]}],
    "timekeeper": [16, {"offs_real": [0, ["long long", {}]], "offs_boot": [8, ["long long", {}]]}],
    "vfsmount": [8, {"mnt_root": [0, POINTER("dentry")]}],
}

LEFT_OUT = {}


def profile(pre_ast, config, symbols, structs="rekall", progress=None, release=None, banner=None,
            randstruct_seed=None):
    """In place of make_profile."""
    return {"$METADATA": {"ProfileClass": "Linux", "Type": "Profile", "arch": "AMD64",
                          "left_out": dict(LEFT_OUT), "verified": None, "pre_ast_digest": pre_ast.digest},
            "$STRUCTS": copy.deepcopy(STRUCTS),
            "$CONSTANTS": dict(symbols.addresses), "$ENUMS": {}, "$REVENUMS": {}, "$CONFIG": dict(config.values)}


def kallsyms(slide=0):
    """As the kernel shows them when it is slid by so many bytes."""
    return "".join("%016x %s %s\n" % (LINK_TEXT + slide + place, "T" if name == "_text" else "D", name)
                   for name, place in PLACES.items())


def carried_symbols(text, version="6.1", slide=0x1C000000, places=PLACES):
    """The kernel's own table of them in its image, {physical address: bytes}: in 7.2's form, or with the addresses slid."""
    start = text if version == "7.2" else LINK_TEXT + slide
    named = [(start + place, "T" if name == "_text" else "D", name) for name, place in places.items()]
    # So many has no real one.
    others = [(start + 0x1000 + 16 * number, "t", f"function_{number}") for number in range(300)]
    place = text + 0x100040
    return {place: table_of(sorted(named + others), version, place)}


def carried_config(text, config=CONFIG):
    """A configuration as CONFIG_IKCONFIG puts it into the kernel's data."""
    return {text + 0x180000: b"IKCFG_ST" + gzip.compress(config.encode()) + b"IKCFG_ED"}


def memory(text=0x2200000, slide=0x1C000000, banner=BANNER, five_levels=False, encrypted=0):
    """The kernel's image, {physical address: bytes}, with _text there and slid by so many bytes.

    encrypted: the bit that each entry of the page tables has besides.
    """
    virtual = LINK_TEXT + slide
    content = {}

    def put(name, data, distance=0):
        content[text + PLACES[name] + distance] = data

    put("linux_banner", banner.encode() + b"\0")
    put("linux_proc_banner", b"%s version %s (build)\0")
    put("sme_me_mask", struct.pack("<Q", encrypted))
    put("phys_base", struct.pack("<Q", (text - virtual + START_KERNEL_MAP) % (1 << 64)))
    below_top = "level4_kernel_pgt" if five_levels else "level3_kernel_pgt"
    put("init_top_pgt", struct.pack("<Q", text + PLACES[below_top] | 0x63 | encrypted), 511 * 8)
    put("level4_kernel_pgt", struct.pack("<Q", text + PLACES["level3_kernel_pgt"] | 0x63), 511 * 8)
    put("page_offset_base", struct.pack("<QQQ", DIRECT_MAP, VMALLOC, VMEMMAP))
    put("level3_kernel_pgt", struct.pack("<Q", text + PLACES["level2_kernel_pgt"] | 0x63 | encrypted), 510 * 8)
    slot = (virtual - START_KERNEL_MAP) >> 21
    for page in range(2):
        put("level2_kernel_pgt", struct.pack("<Q", text + page * 2 * MEGABYTE | 0xE3 | encrypted), (slot + page) * 8)
    put("tk_core", struct.pack("<qq", (BOOT_TIME + 5) * 10 ** 9, 5 * 10 ** 9), 8)

    def task_at(number):
        # All but the first are allocated; with 4 levels their place in the image serves as well.
        start = DIRECT_MAP + text if five_levels and number else virtual
        return start + PLACES["init_task"] + number * TASK_SIZE

    for number, (pid, command, real_parent, debugger, leader, user, start) in enumerate(TASKS):
        task = bytearray(CRED + 16)
        neighbours = [LISTED[(LISTED.index(number) + step) % len(LISTED)] if number in LISTED else number
                      for step in (1, -1)]
        struct.pack_into("<i", task, TASK["pid"], pid)
        task[TASK["comm"]:TASK["comm"] + len(command)] = command.encode()
        struct.pack_into("<QQ", task, TASK["tasks"], *(task_at(at) + TASK["tasks"] for at in neighbours))
        struct.pack_into("<QQQ", task, TASK["real_parent"],
                         *map(task_at, (real_parent, debugger, leader)))
        struct.pack_into("<Q", task, TASK["cred"], task_at(number) + CRED)
        struct.pack_into("<Q", task, TASK["start_boottime"], start * 10 ** 9)
        struct.pack_into("<II", task, CRED, user, user)
        put("init_task", bytes(task), number * TASK_SIZE)
    return content


def write_raw(path, content, size=48 * MEGABYTE):
    """Physical memory as it is, sparse."""
    with open(path, "wb") as file:
        file.truncate(size)
        for address, data in content.items():
            file.seek(address)
            file.write(data)


def write_lime(path, content, size=48 * MEGABYTE):
    """Two ranges, the first megabyte left out."""
    ranges = ((MEGABYTE, 3 * MEGABYTE), (8 * MEGABYTE, size))
    with open(path, "wb") as file:
        for start, end in ranges:
            file.write(struct.pack("<4sIQQQ", b"EMiL", 1, start, end - 1, 0))
            body = file.tell()
            file.truncate(body + end - start)
            for address, data in content.items():
                if start <= address < end:
                    file.seek(body + address - start)
                    file.write(data)
            file.seek(body + end - start)


def write_avml(path, content, size=48 * MEGABYTE):
    """As AVML compresses: a header for each 16 MB, none for what is all zeros; the first megabyte left out."""
    memory = bytearray(size)
    for address, data in content.items():
        memory[address:address + len(data)] = data
    with open(path, "wb") as file:
        for start in range(MEGABYTE, size, 16 * MEGABYTE):
            block = bytes(memory[start:start + 16 * MEGABYTE])
            if any(block):
                file.write(avml_range(start, block))


def avml_range(start, block):
    """One range of memory, compressed."""
    cramjam = pytest.importorskip("cramjam")
    frames = bytes(cramjam.snappy.compress(block))
    return struct.pack("<4sIQQQ", b"AVML", 2, start, start + len(block) - 1, 0) + frames + struct.pack("<Q", len(frames))


def write_elf(path, content, size=48 * MEGABYTE):
    """As QEMU's dump-guest-memory: an ELF core file of two ranges."""
    ranges = ((0, MEGABYTE), (2 * MEGABYTE, size))
    with open(path, "wb") as file:
        file.write(_elf_header(len(ranges)))
        position = 4096
        for start, end in ranges:
            file.write(struct.pack("<2I6Q", 1, 4, position, 0, start, end - start, end - start, 0))
            position += end - start
        file.truncate(position)
        position = 4096
        for start, end in ranges:
            for address, data in content.items():
                if start <= address < end:
                    file.seek(position + address - start)
                    file.write(data)
            position += end - start


def write_kcore(path, content, size=48 * MEGABYTE, physical_addresses=True):
    """As /proc/kcore: direct mapping, the kernel's text once more, and vmalloc()ed memory, which is nowhere.

    A page of the text is mapped a third time, as in 4.19.
    """
    virtual = 0xFFFF888000000000
    nowhere = (1 << 64) - 1
    segments = (
        (virtual + 0x1000, 0x1000, 4096, MEGABYTE), (0xFFFFC90000000000, nowhere, 0, 4096),
        (virtual + 2 * MEGABYTE, 2 * MEGABYTE, 4096 + MEGABYTE, size), (LINK_TEXT, 0x2200000, 0, 4096),
        (0xFFFFFE0000006000, 0x2201000, 4096 - MEGABYTE + 0x2201000, 4096),
    )
    with open(path, "wb") as file:
        file.write(_elf_header(len(segments)))
        for at, physical, offset, length in segments:
            file.write(struct.pack("<2I6Q", 1, 4, offset, at, physical if physical_addresses else 0, length, length, 0))
        file.truncate(4096 + MEGABYTE + size)
        for address, data in content.items():
            file.seek(4096 + MEGABYTE + address - 2 * MEGABYTE)
            file.write(data)


def _elf_header(segments):
    return struct.pack("<16s2HI3QI6H", b"\x7fELF\x02\x01\x01", 4, 62, 1, 0, 64, 0, 0, 64, 56, segments, 0, 0, 0)
