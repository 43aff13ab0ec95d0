"""Heaps of real processes, of each glibc that Debian's suites have and of this machine's own, and what malloc says of them.

tests/heap_program.c runs with a library of its own choice, allocates and frees, tells what is what, and stays; its memory
is read while it stays. The structs are held against the library's debug information (libc6-dbg).
"""
from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

import kernels
import linux_plugins
import pytest
from elftools.elf.elffile import ELFFile
from rekall import addrspace

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.glibc import heap as glibc
from rekall_layout_expert.glibc.layouts import NEWEST, layouts_of
from rekall_layout_expert.glibc.version import version_of

PROGRAM = Path(__file__).with_name("heap_program.c")
SUITES = [pytest.param(suite, marks=[pytest.mark.network, pytest.mark.slow, pytest.mark.ci])
          for suite in ("bullseye", "bookworm", "trixie", "sid")]
RENAMED = {"mchunk_size": "size", "mchunk_prev_size": "prev_size", "tcache_small_bins": "tcache_bins"}
STRUCTS = set(layouts_of(NEWEST).vtypes)
HEADER, PAGE = 16, 4096


def library_of(suite):
    """The folder with the C library of a Debian suite, or of this machine."""
    if suite == "here":
        found = subprocess.run(["gcc", "-print-file-name=libc.so.6"], capture_output=True, text=True, check=True).stdout.strip()
    else:
        try:
            found = next(kernels.suite(suite).unpacked("libc6").rglob("libc.so.6"))
        except kernels.Unavailable as reason:
            pytest.skip(str(reason))
    return Path(found).resolve().parent


class Process:
    """The program, at its end; what it said, and its memory."""

    def __init__(self, folder, scratch):
        self.library = folder
        program = scratch / "heap_program"
        libraries = [folder / name for name in ("libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2")]
        subprocess.run(["gcc", "-O0", "-w", "-fno-stack-protector", "-fPIE", "-pie", "-nostdlib", "-nostartfiles", PROGRAM,
                        f"-Wl,--dynamic-linker={libraries[-1]},-rpath={folder}", *libraries, "-o", program], check=True)
        self.running = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        self.said = []
        for line in self.running.stdout:
            if line.startswith("ready"):
                break
            self.said.append(line)
        else:
            raise AssertionError("the program ended: " + "".join(self.said[-3:]))
        self.memory = open(f"/proc/{self.running.pid}/mem", "rb", buffering=0)
        self.areas, self.brk = [], (0, 0)
        for line in Path(f"/proc/{self.running.pid}/maps").read_text().splitlines():
            start, end, writable, name = re.match(r"(\w+)-(\w+) .(.).. \w+ \S+ \d+ *(.*)", line).groups()
            start, end = int(start, 16), int(end, 16)
            if name == "[heap]":
                self.brk = (start, end)
            if name not in ("[vsyscall]", "[vvar]", "[vdso]"):
                self.areas.append(glibc.Area(start, end, name if name.startswith("/") else "", writable == "w"))

    def read(self, address, length):
        try:
            return os.pread(self.memory.fileno(), length, address).ljust(length, b"\0")
        except (OSError, OverflowError):
            return bytes(length)

    def pages_of(self, area):
        """The addresses of an area's pages that are in memory."""
        with open(f"/proc/{self.running.pid}/pagemap", "rb", buffering=0) as pagemap:
            entries = os.pread(pagemap.fileno(), (area.end - area.start) // PAGE * 8, area.start // PAGE * 8)
        return [area.start + number * PAGE for number, (entry,) in enumerate(struct.iter_unpack("<Q", entries)) if entry >> 63]

    def pointers(self, word):
        """[(chunk, size asked for)]"""
        return [(int(found[1], 16) - HEADER, int(found[2])) for found in (
            re.match(rf"{word} (\w+) (\d+)$", line) for line in self.said) if found]

    def heap(self, changes=()):
        """What is found, with words of memory changed: {address: word}."""
        changes = dict(changes)

        def read(address, length):
            data = bytearray(self.read(address, length))
            for at, word in changes.items():
                if address <= at and at + 8 <= address + length:
                    struct.pack_into("<Q", data, at - address, word)
            return bytes(data)

        return glibc.find_heap(read, self.areas, self.brk)

    def end(self):
        self.running.kill()
        self.running.communicate()
        self.memory.close()


@pytest.fixture(scope="module", params=["here"] + SUITES)
def process(request, tmp_path_factory):
    if not shutil.which("gcc") or os.uname().machine != "x86_64":
        pytest.skip("needs gcc and x86_64")
    process = Process(library_of(request.param), tmp_path_factory.mktemp("heap"))
    yield process
    process.end()


def told(process):
    """What malloc_info() tells: [(fast bins, other bins with the top chunk, size)] of each arena, and of mapped chunks."""
    text = "".join(process.said)
    arenas = []
    for part in re.findall(r"<heap nr.*?</heap>", text, re.S):
        numbers = {kind: (int(count), int(size)) for kind, count, size in re.findall(
            r'<total type="(\w+)" count="(\d+)" size="(\d+)"/>', part)}
        system, = re.findall(r'<system type="current" size="(\d+)"/>', part)
        # It adds up sizes with the flag that the chunk before is in use, but for the top chunk.
        rest = numbers["rest"][0], numbers["rest"][1] - numbers["rest"][0] + 1
        arenas.append((numbers.get("fast", (0, 0)), rest, int(system)))
    mapped, = re.findall(r'<total type="mmap" count="(\d+)" size="(\d+)"/>', text)
    return arenas, tuple(map(int, mapped))


def test_every_block_is_what_the_program_made_of_it(process):
    heap = process.heap()
    assert not heap.remarks
    used, freed, mapped = map(process.pointers, ("used", "freed", "mapped"))
    assert len(used) > 3000 and len(freed) > 1000 and len(mapped) == 2
    for chunk, size in used:
        index = heap.index_of(chunk)
        assert index is not None and heap.kinds[index] == glibc.ALLOCATED and size + 8 <= heap.sizes[index] < size + 272
    kinds = {heap.kinds[heap.index_at(chunk)] for chunk, _ in freed}
    assert kinds <= {glibc.FREE, glibc.FAST, glibc.CACHED} and {glibc.FREE, glibc.CACHED} <= kinds
    assert [chunk for chunk, _ in sorted(mapped)] == [chunk for chunk, _ in heap.mapped]
    assert glibc.BOTTOM in heap.kinds and len(heap.arenas) == 4 and any(len(arena.segments) > 1 for arena in heap.arenas)


def test_the_sums_are_what_malloc_says(process):
    heap = process.heap()
    arenas, mapped = told(process)
    for arena, (fast, rest, system) in zip(heap.arenas, arenas):
        totals = glibc.totals(heap, [segment.chunks for segment in arena.segments])
        assert totals[glibc.FAST] == fast and arena.system_mem == system
        assert (totals[glibc.FREE][0] + 1, totals[glibc.FREE][1] + totals[glibc.TOP][1]) == rest and totals[glibc.TOP][0] == 1
    beyond = HEADER * len(heap.mapped) if heap.layouts.version >= (2, 43) else 0
    assert (len(heap.mapped), sum(size for _, size in heap.mapped) + beyond) == mapped


def test_chunks_lie_one_behind_the_other(process):
    heap = process.heap()
    assert list(heap.addresses) == sorted(set(heap.addresses))
    for arena in heap.arenas:
        for segment in arena.segments:
            ends = [heap.addresses[index] + heap.sizes[index] for index in segment.chunks]
            assert [heap.addresses[index] for index in segment.chunks] == [segment.first] + ends[:-1]
            assert segment.end - ends[-1] == (0 if segment.is_last else HEADER)


def test_damage_ends_a_walk_and_is_told(process):
    heap = process.heap()
    chunk = heap.addresses[heap.arenas[0].segments[0].chunks[100]]
    for size in (0, 1, 24, 1 << 40, (1 << 64) - 1):
        damaged = process.heap({chunk + 8: size})
        assert len(damaged.addresses) < len(heap.addresses) and any(f"{chunk:#x}" in remark for remark in damaged.remarks)
    # The lists of freed chunks: one that leads to itself, and one that leads to nowhere.
    for kind, message in ((glibc.CACHED, "in the cache of a thread"), (glibc.FREE, "in no bin")):
        links = [heap.addresses[index] + HEADER for index, each in enumerate(heap.kinds) if each == kind]
        mangles = kind == glibc.CACHED and heap.layouts.version >= (2, 32)
        to_chunk = HEADER if kind == glibc.CACHED else 0
        # Not the last of its list.
        link = next(link for link in links if (struct.unpack("<Q", process.read(link, 8))[0] ^ (link >> 12 if mangles else 0)
                                               ) - to_chunk + HEADER in links)
        for leads in (link - HEADER + to_chunk, 0x1230):
            damaged = process.heap({link: leads ^ (link >> 12 if mangles else 0)})
            assert damaged.addresses == heap.addresses and any(message in remark for remark in damaged.remarks)


def test_arenas_that_do_not_come_back_are_none(process):
    heap = process.heap()
    with pytest.raises(LayoutExpertError, match="main arena is not where it should be"):
        process.heap({heap.arenas[-1].address + heap.layouts.at("malloc_state", "next"): heap.arenas[-1].address})


def test_process_without_glibc():
    areas = [glibc.Area(0x400000, 0x401000, "/bin/x")]
    with pytest.raises(LayoutExpertError, match="no C library mapped"):
        glibc.find_heap(lambda address, length: bytes(length), areas, (0, 0))
    with pytest.raises(LayoutExpertError, match="not glibc.*ld-musl"):
        glibc.find_heap(lambda address, length: bytes(length), areas + [glibc.Area(1 << 40, 1 << 41, "/lib/ld-musl-x86_64.so.1")],
                        (0, 0))
    with pytest.raises(LayoutExpertError, match="cannot be read.*libc.so.6"):
        glibc.find_heap(lambda address, length: bytes(length), [glibc.Area(1 << 40, 1 << 41, "/lib/libc.so.6")], (0, 0))


# -- against the library itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_layouts_and_places_are_those_of_the_debug_information(suite, tmp_path):
    folder = library_of(suite)
    with open(folder / "libc.so.6", "rb") as file:
        image = ELFFile(file)
        identity = next(image.get_section_by_name(".note.gnu.build-id").iter_notes())["n_desc"]
        data = image.get_section_by_name(".data")["sh_addr"]
    debug = kernels.suite(suite).unpacked("libc6-dbg") / f"usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug"
    running = Process(folder, tmp_path)
    try:
        base = next(area.start for area in running.areas if area.path.startswith(str(folder / "libc")))
        version = version_of(running.read, base)
        released = tuple(map(int, re.search(r"release version (\d+)\.(\d+)", Path(folder / "libc.so.6").read_bytes().decode(
            "latin1")).groups()))
        # 2.31 has no functions of its own.
        assert version == ((2, 30) if released == (2, 31) else released)
        heap = running.heap()
    finally:
        running.end()
    with open(debug, "rb") as file:
        image = ELFFile(file)
        symbols = image.get_section_by_name(".symtab")
        places = {name: base + symbols.get_symbol_by_name(name)[0]["st_value"] for name in ("main_arena", "mp_")}
        structs = structs_of_malloc(image)
    assert places == {"main_arena": heap.arenas[0].address, "mp_": heap.parameters} and places["mp_"] - base >= data
    vtypes = layouts_of(version).vtypes
    assert {name: (size, {member: at for member, (at, _) in members.items()}) for name, (size, members) in vtypes.items()
            } == {name: structs[name] for name in vtypes}
    assert {"tcache_perthread_struct", "malloc_state", "malloc_par", "_heap_info"} <= set(vtypes)


def structs_of_malloc(image):
    """{struct: (size, {member: offset})} of malloc.c, by the names that malloc.h has."""
    found = {}
    for unit in image.get_dwarf_info().iter_CUs():
        top = unit.get_top_DIE()
        if not name_of(top).endswith("malloc.c"):
            continue
        for entry in top.iter_children():
            if name_of(entry) in STRUCTS and "DW_AT_byte_size" in entry.attributes:
                members = {RENAMED.get(name_of(member), name_of(member)): member.attributes["DW_AT_data_member_location"].value
                           for member in entry.iter_children() if member.tag == "DW_TAG_member"}
                found[name_of(entry)] = (entry.attributes["DW_AT_byte_size"].value, members)
        return found
    raise AssertionError("no malloc.c")


def name_of(entry):
    name = entry.attributes.get("DW_AT_name")
    return name.value.decode() if name else ""


# -- Rekall's plugins --------------------------------------------------------------------------------------------------


class Memory(addrspace.BaseAddressSpace):
    """A process's memory as Rekall reads it."""

    def __init__(self, process, **options):
        super().__init__(**options)
        self.process = process

    def read(self, address, length):
        return self.process.read(int(address), int(length))

    def get_mappings(self, start=0, end=1 << 64):
        for area in self.process.areas:
            if area.start < end and area.end > start:
                for page in self.process.pages_of(area):
                    yield addrspace.Run(start=page, end=page + PAGE, address_space=self, file_offset=page)


@pytest.fixture
def run(process, tmp_path, monkeypatch):
    """Runs a plugin on the process, as if it were one of an image."""
    from rekall.plugins.linux import heap_analysis

    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / "6.1", tmp_path)
    from rekall_layout_expert.plugin.linux import heaps

    areas = [SimpleNamespace(vm_start=area.start, vm_end=area.end, vm_flags=2 * area.writable, vm_file=area.path)
             for area in process.areas]
    task = SimpleNamespace(pid=4711, name="heap_program", mm=SimpleNamespace(start_brk=process.brk[0], brk=process.brk[1]),
                           get_path=str, get_process_address_space=lambda: Memory(process, session=rekall))
    monkeypatch.setattr(heaps, "areas_of", lambda task: areas)
    monkeypatch.setattr(heap_analysis.HeapAnalysis, "filter_processes", lambda self: [task])
    return lambda name, **arguments: linux_plugins.run(rekall, name, **arguments)


def test_heapinfo_counts_what_is_in_caches_as_freed(run, process):
    row, = run("heapinfo").rows
    arenas, mapped = told(process)
    heap = process.heap()
    used = sum(kind == glibc.ALLOCATED for kind in heap.kinds)
    cached = sum(kind == glibc.CACHED for kind in heap.kinds)
    assert (row["arenas"], row["heap_infos"], row["non_mmapped_chunks"], row["mmapped_chunks"]) == (4, 4, used, mapped[0])
    assert row["freed_chunks"] == cached + sum(fast[0] + rest[0] - 1 for fast, rest, _ in arenas)


def test_heapdump_writes_what_the_program_wrote(run, process):
    found = run("heapdump", dump_dir=".")
    contents = {int(re.search(r"offset-0x(\w+)_size", name)[1], 16): (name, data) for name, data in found.files.items()}
    for chunk, size in process.pointers("used"):
        assert contents[chunk][1][:size] in (b"k" * size, b"f" * size) or size in (3000, 120000)
    for chunk, size in process.pointers("mapped"):
        name, data = contents[chunk]
        assert "allocated-mmapped" in name and data[:size] == b"m" * size and len(data) >= size
    cached = 0
    for chunk, size in process.pointers("freed"):
        name, data = contents.get(chunk, ("", b""))
        if f"size-{size + 8 + -(size + 8) % 16}_" in name and "freed-fastbin" in name and size >= 100:
            # What was written over when it was freed is left out.
            cached += 1
            assert set(data[:size - int(re.search(r"stripped-(\d+)", name)[1])]) == set(b"f")
    assert cached > 50


def test_heapsearch_and_heaprefs(run, process):
    (aligned, _), = process.pointers("aligned")
    (first, _), mapped = process.pointers("used")[0], process.pointers("mapped")[-1][0]
    contains = f"chunk (0x{aligned:X}) below contains"
    for target in (first, mapped):
        assert contains in run("heapsearch", pointers=[target + HEADER]).text
    found = run("heapsearch", chunk_addresses=[first + HEADER]).text
    assert contains in found and f"pointers at the given offset(s) to the chunk at offset 0x{first:X}" in found
    last = process.pointers("used")[-1][0]
    for found in (run("heapsearch", regex="one of [a-z]+ kind").text, run("heapsearch", string="of its kin").text):
        assert contains in found and found.count("below contains") == 1
    rows = run("heaprefs", chunk_addresses=[aligned + HEADER]).rows
    assert [f"Pointer to chunk at offset: 0x{chunk:X}" in str(rows) for chunk in (first, mapped, last)] == [True, True, False]
