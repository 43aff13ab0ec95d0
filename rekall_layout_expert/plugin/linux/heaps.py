"""Rekall's analysis of a process's heap, on what today's glibc makes of it.

Rekall knows glibc 2.20 to 2.25, by the name of the library's file, which since 2.34 ("Install shared objects under their
ABI names") does not tell the version. It knows nothing of what came with 2.26 (caches of threads), 2.32 (mangled
pointers), 2.35 (larger heap_info) and 2.43 (no fast bins, other sizes of mapped chunks). Here its plugins are given the
same objects, made of what rekall_layout_expert.glibc finds, which is of each process the version that this process has
mapped. What is in the cache of a thread counts as freed, among what is in fast bins.
"""
from __future__ import annotations

import functools
import re
import struct
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from rekall import obj
from rekall.plugin import PluginError
from rekall.plugins.linux import heap_analysis

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.glibc import heap as glibc
from rekall_layout_expert.plugin.linux.memory_maps import areas_of
from rekall_layout_expert.plugin.linux.replacing import replaces

_WRITABLE = 2
_POINTER = 8
_BLOCK, _LONGEST_MATCH = 1 << 20, 1 << 12
_MODULE = heap_analysis.HeapAnalysis


class Chunk(heap_analysis.malloc_chunk):
    """A chunk that knows how much of its data is left."""

    is_cached_chunk = False

    def start_and_length(self):
        """Where its data is, and how many bytes of it were not overwritten when it was freed."""
        version = self.obj_profile.glibc_version
        if self.is_cached_chunk and version >= (2, 29):
            # Two words are: the next one in the list, and "malloc: tcache double free check".
            start = self.fd_nextsize.obj_offset
            return [start, self.v() + self.chunksize() + _POINTER - start]
        if self.is_mmapped() and version >= (2, 43):
            return [self.fd.obj_offset, self.chunksize()]
        return super().start_and_length()


class ArenaState(obj.Struct):
    """A malloc_state with what Rekall's own finds when it is made, and here is given."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.heaps: List[obj.Struct] = []
        self.is_main_arena = False
        self.first_chunk = self.top_chunk = None
        self.mmapped_first_chunks: Sequence[obj.Struct] = ()
        self.allocated_chunks: Iterable[obj.Struct] = ()
        self.allocated_mmapped_chunks: Sequence[obj.Struct] = ()
        self.freed_fast_chunks: Iterable[obj.Struct] = ()
        self.freed_chunks: Iterable[obj.Struct] = ()


class Chunks:
    """Chunks of a heap that are of some kinds, made when they are asked for: a process may have millions."""

    def __init__(self, made: Callable[[int], obj.Struct], heap: glibc.Heap, ranges: List[range], kinds: Set[int]):
        self._made, self._heap, self._ranges, self._kinds = made, heap, ranges, kinds

    def indices(self) -> Iterator[int]:
        return (index for part in self._ranges for index in part if self._heap.kinds[index] in self._kinds)

    def __iter__(self) -> Iterator[obj.Struct]:
        return map(self._made, self.indices())

    def __len__(self) -> int:
        return sum(1 for _ in self.indices())


@replaces(_MODULE, "init_for_task")
def init_for_task(plugin, task) -> bool:
    """Finds the heap of a process; False, and one line, if it has none that is glibc's."""
    plugin._reset()
    plugin.glibc_heap, plugin.task = None, task
    if not task.mm:
        if plugin.filtering_requested:
            _tell(plugin, "it is a thread of the kernel, which has none")
        return False
    # Rekall's own makes this process the session's, and all that runs afterwards in the session reads its memory.
    plugin.process_as = task.get_process_address_space()
    areas = [glibc.Area(int(area.vm_start), int(area.vm_end), str(task.get_path(area.vm_file)) if area.vm_file else "",
                        bool(int(area.vm_flags) & _WRITABLE)) for area in areas_of(task)]
    try:
        heap = glibc.find_heap(plugin.process_as.read, areas, (int(task.mm.start_brk), int(task.mm.brk)),
                               functools.partial(present, plugin.process_as))
    except LayoutExpertError as error:
        _tell(plugin, error)
        plugin._reset()
        return False
    for remark in heap.remarks:
        _tell(plugin, remark)
    _give(plugin, heap)
    return True


def _tell(plugin, what) -> None:
    plugin.session.logging.warning("Layout Expert: the heap of %s (%d): %s", plugin.task.name, plugin.task.pid, what)


def _give(plugin, heap: glibc.Heap) -> None:
    """Gives the plugin Rekall's objects for what was found, and the numbers that it shows."""
    profile = plugin.profile
    if getattr(profile, "glibc_version", None) != heap.layouts.version:
        profile.add_types(heap.layouts.vtypes)
        profile.add_classes({"malloc_chunk": Chunk, "malloc_state": ArenaState, "_heap_info": heap_analysis._heap_info})
        profile.glibc_version = heap.layouts.version
    plugin.glibc_heap = heap
    if heap.parameters:
        plugin.mp_ = profile.malloc_par(offset=heap.parameters, vm=plugin.process_as)
    for number, found in enumerate(heap.arenas):
        arena = profile.malloc_state(offset=found.address, vm=plugin.process_as)
        arena.is_main_arena = not number
        ranges = [segment.chunks for segment in found.segments]
        arena.allocated_chunks, arena.freed_fast_chunks, arena.freed_chunks = (
            Chunks(lambda index: made_chunk(plugin, index), heap, ranges, kinds)
            for kinds in ({glibc.ALLOCATED, glibc.BOTTOM}, {glibc.FAST, glibc.CACHED}, {glibc.FREE}))
        if ranges and ranges[-1] and heap.kinds[ranges[-1][-1]] == glibc.TOP:
            arena.top_chunk = made_chunk(plugin, ranges[-1][-1])
        if arena.is_main_arena:
            arena.first_chunk = made_chunk(plugin, ranges[0][0]) if ranges and ranges[0] else None
            arena.allocated_mmapped_chunks = arena.mmapped_first_chunks = [
                profile.malloc_chunk(offset=address, vm=plugin.process_as) for address, _ in heap.mapped]
        else:
            for segment in found.segments:
                arena.heaps.append(profile._heap_info(offset=segment.start, vm=plugin.process_as))
                arena.heaps[-1].first_chunk = made_chunk(plugin, segment.chunks[0]) if segment.chunks else None
        plugin.arenas.append(arena)
    plugin.statistics = statistics_of(heap)


def made_chunk(plugin, index: int) -> Chunk:
    """Rekall's object for a chunk."""
    heap = plugin.glibc_heap
    chunk = plugin.profile.malloc_chunk(offset=heap.addresses[index], vm=plugin.process_as)
    kind = heap.kinds[index]
    chunk.is_bin_chunk, chunk.is_top_chunk, chunk.is_bottom_chunk = (kind == each for each in (glibc.FREE, glibc.TOP,
                                                                                              glibc.BOTTOM))
    chunk.is_fastbin_chunk, chunk.is_cached_chunk = kind in (glibc.FAST, glibc.CACHED), kind == glibc.CACHED
    return chunk


def statistics_of(heap: glibc.Heap) -> Dict[str, int]:
    """The numbers, by Rekall's names, that its plugins show."""
    first = [segment.chunks for segment in heap.arenas[0].segments]
    main, other = (glibc.totals(heap, ranges) for ranges in (first, [segment.chunks for arena in heap.arenas[1:]
                                                                     for segment in arena.segments]))
    both = {kind: tuple(map(sum, zip(main[kind], other[kind]))) for kind in main}
    fast = tuple(map(sum, zip(both[glibc.FAST], both[glibc.CACHED])))
    free = fast[1] + both[glibc.FREE][1] + both[glibc.TOP][1]
    system = sum(arena.system_mem for arena in heap.arenas)
    numbers = {"number_of_arenas": len(heap.arenas), "number_of_heaps": sum(len(arena.segments) for arena in heap.arenas[1:]),
               "non_mmapped_bytes": system, "total_free_space": free, "total_allocated_space": system - free,
               "mallinfo_number_of_free_chunks": both[glibc.FREE][0] + max(both[glibc.TOP][0], 1)}
    for name, (number, size) in (
            ("bin", both[glibc.FREE]), ("fastbin", fast), ("top", both[glibc.TOP]), ("main", main[glibc.ALLOCATED]),
            ("thread", other[glibc.ALLOCATED]), ("bottom", both[glibc.BOTTOM]),
            ("mmapped", (len(heap.mapped), sum(size for _, size in heap.mapped)))):
        numbers[f"number_of_{name}_chunks"], numbers[f"size_of_{name}_chunks"] = number, size
    return numbers


@replaces(heap_analysis.HeapOverview, "collect")
def overview(plugin):
    """A row for each process with a heap of glibc's; Rekall's own shows a line for each thread of the kernel, too."""
    for task in plugin.filter_processes():
        if not plugin.init_for_task(task):
            continue
        found = plugin.statistics
        yield (task.pid, found["number_of_arenas"], found["number_of_heaps"],
               *(found[f"{what}_main_chunks"] + found[f"{what}_thread_chunks"] for what in ("number_of", "size_of")),
               found["number_of_mmapped_chunks"], found["size_of_mmapped_chunks"],
               *(found[f"{what}_bin_chunks"] + found[f"{what}_fastbin_chunks"] for what in ("number_of", "size_of")))


@replaces(_MODULE, "get_all_allocated_chunks_for_arena")
def allocated_chunks_of(plugin, arena):
    return iter(arena.allocated_chunks)


@replaces(_MODULE, "get_all_mmapped_chunks")
def mapped_chunks(plugin):
    return iter(plugin.arenas[0].allocated_mmapped_chunks if plugin.arenas else ())


@replaces(_MODULE, "get_chunks_for_addresses")
def chunks_at(plugin, addresses, ignore_prevsize=False):
    """{chunk: the addresses that are in it}. The first word of a chunk is data of the one before it while that is in use."""
    found: Dict[obj.Struct, Set[int]] = {}
    for address in addresses:
        chunk = _chunk_at(plugin, address, ignore_prevsize)
        if chunk is not None:
            found.setdefault(chunk, set()).add(address)
    return found


def _chunk_at(plugin, address: int, ignore_prevsize: bool) -> Optional[obj.Struct]:
    heap = plugin.glibc_heap
    index = heap.index_at(address)
    if index is None:
        return next((chunk for chunk in plugin.get_all_mmapped_chunks()
                     if chunk.v() <= address < chunk.v() + chunk.chunksize()), None)
    if not ignore_prevsize and address < heap.addresses[index] + _POINTER and _is_data_of_previous(heap, index):
        index -= 1
    return made_chunk(plugin, index)


def _is_data_of_previous(heap: glibc.Heap, index: int) -> bool:
    return index > 0 and heap.kinds[index - 1] != glibc.FREE and (
        heap.addresses[index - 1] + heap.sizes[index - 1] == heap.addresses[index])


@replaces(_MODULE, "search_chunks_for_needle")
def chunks_with(plugin, search_string=None, search_regex=None, pointers=None, search_struct=False):
    """{chunk: {needle: the addresses where its data has it}}, as far as it is in memory.

    Rekall's own asks of each byte of the heap whether the expression begins there, and of each hit which chunk it is in.
    """
    heap, wanted = plugin.glibc_heap, set(pointers or ())
    if pointers:
        # All but two of a pointer's bytes are found first: addresses that are looked for together lie together.
        tails = sorted({struct.pack("<Q", pointer)[2:] for pointer in wanted})
        pattern = b"(?=(..(?:" + b"|".join(map(re.escape, tails)) + b")))"
    else:
        pattern = re.escape(search_string.encode()) if search_string else search_regex.encode()
    try:
        expression = re.compile(pattern, re.DOTALL if pointers else 0)
    except re.error as error:
        raise PluginError(f"{search_regex} is no regular expression: {error}") from error
    found: Dict[obj.Struct, Dict[object, Set[int]]] = {}
    for at, match in _matches(plugin, expression):
        needle = struct.unpack("<Q", match[1])[0] if pointers else search_string or search_regex
        chunk = _chunk_at(plugin, at, False)
        if chunk is None or pointers and needle not in wanted:
            continue
        start, length = chunk.start_and_length()
        if (chunk.size.obj_offset if search_struct else start) <= at < start + length:
            found.setdefault(chunk, {}).setdefault(needle, set()).add(at)
    return found


def _matches(plugin, expression) -> Iterator[Tuple[int, "re.Match"]]:
    """(address, match) of each in the heap; one that is longer than a page may be missed."""
    heap = plugin.glibc_heap
    ranges = [(segment.start, segment.end) for arena in heap.arenas for segment in arena.segments]
    ranges += [(address, address + size) for address, size in heap.mapped]
    for first, last in ranges:
        for start, end in present(plugin.process_as, first, last):
            for block in range(start, end, _BLOCK):
                data = plugin.process_as.read(block, min(_BLOCK + _LONGEST_MATCH, end - block))
                for match in expression.finditer(data):
                    if match.start() < _BLOCK:
                        yield block + match.start(), match


def present(space, first: int, last: int) -> Iterator[Tuple[int, int]]:
    """The parts of a range of addresses that are in memory."""
    for run in space.get_address_ranges(start=first, end=last):
        start, end = max(run.start, first), min(run.end, last)
        if start < end:
            yield start, end
