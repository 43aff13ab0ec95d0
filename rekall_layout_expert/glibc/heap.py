"""A process's heap, as glibc's malloc keeps it: its arenas, and every chunk with what became of it.

Nothing but memory is needed. The main arena is in the library's data: a malloc_state whose 127 bins each are empty, which
is a pointer to itself, or hold chunks, and from which the list of arenas leads back to it. So are the parameters (mp_),
which know where the heap begins. From there on each chunk tells its size and whether the one before it is in use. What was
freed and still looks used, because that is how it is found again quickly, is in lists by size: the fast bins of an arena
(until 2.42), and the cache of each thread (tcache, since 2.26), whose pointers are mangled by their own address since 2.32
("Add Safe-Linking to fastbins and tcache"). Source: malloc/malloc.c and malloc/arena.c of glibc 2.17 to 2.43.

Memory may change while it is read, or be damaged: each walk goes forward only or is bounded, and what does not fit together
is told (Heap.remarks).
"""
from __future__ import annotations

import bisect
import re
import struct
from array import array
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.glibc.layouts import NEWEST, OLDEST, Layouts, layouts_of
from rekall_layout_expert.glibc.version import Read, version_of

ALLOCATED, FREE, FAST, CACHED, TOP, BOTTOM = range(6)

_PAGE_SHIFT = 12
_PAGE = 1 << _PAGE_SHIFT
_WORD = 8
_ALIGNMENT = 16
_HEADER = 16
_SMALLEST = 32
_PREVIOUS_IN_USE, _IS_MAPPED, _NOT_MAIN = 1, 2, 4
_FLAGS = 7
# HEAP_MAX_SIZE: an arena's further heaps begin at multiples of it, unless huge pages are chosen by a tunable.
_HEAP_ALIGNMENT = 1 << 26
_SMALL_CACHES = 64
# What a process could have before it is none.
_MOST_CHUNKS, _MOST_ARENAS, _MOST_HEAPS = 1 << 24, 1 << 14, 1 << 16
_LARGEST_DATA = 1 << 24
# Where with five levels of page tables a process's addresses end.
_KERNEL = 1 << 56
_LIBC = re.compile(r"/libc(?:\.so\.6|-2\.\d+\.so)(?: \(deleted\))?$")
_OTHER_LIBC = re.compile(r"/(?:ld-musl-|libc\.musl-|ld-uClibc|libuClibc)")


@dataclass(frozen=True)
class Area:
    """A part of a process's memory: what is mapped there, a file's path or nothing, and whether it may be written."""

    start: int
    end: int
    path: str = ""
    writable: bool = True


@dataclass
class Segment:
    """A run of chunks: the main arena's heap, or one of the heaps of another arena, with its heap_info at the start."""

    start: int
    first: int  # the first chunk
    end: int
    is_last: bool  # it ends with the arena's top chunk
    previous: int = 0  # where the arena's heap before this one begins
    chunks: range = range(0)  # in Heap.addresses and the lists beside it


@dataclass
class Arena:
    address: int
    top: int
    system_mem: int
    segments: List[Segment] = field(default_factory=list)


@dataclass
class Heap:
    """All of malloc's memory in a process. Chunks are in the order of their addresses; sizes are in bytes."""

    layouts: Layouts
    arenas: List[Arena] = field(default_factory=list)  # the main arena first
    parameters: Optional[int] = None  # the address of mp_
    addresses: array = field(default_factory=lambda: array("Q"))
    sizes: array = field(default_factory=lambda: array("Q"))
    kinds: bytearray = field(default_factory=bytearray)
    mapped: List[Tuple[int, int]] = field(default_factory=list)  # (address, size) of chunks that were mapped one by one
    remarks: List[str] = field(default_factory=list)

    def index_of(self, chunk: int) -> Optional[int]:
        """The index of the chunk that begins at an address."""
        index = bisect.bisect_left(self.addresses, chunk)
        return index if index < len(self.addresses) and self.addresses[index] == chunk else None

    def index_at(self, address: int) -> Optional[int]:
        """The index of the chunk that an address is in."""
        index = bisect.bisect_right(self.addresses, address) - 1
        return index if index >= 0 and address < self.addresses[index] + self.sizes[index] else None


def find_heap(read: Read, areas: Sequence[Area], brk: Tuple[int, int],
              present: Callable[[int, int], Iterable[Tuple[int, int]]] = lambda start, end: [(start, end)]) -> Heap:
    """The heap of a process.

    read(address, length): that much of its memory, with zeros where there is none. areas: what it has mapped, in the order of
    addresses. brk: where its heap begins and ends by the kernel's account (start_brk, brk). present(start, end): the parts of
    an area that can be read. Raises LayoutExpertError, in one line, for a process whose heap is not glibc's.
    """
    library = [area for area in areas if _LIBC.search(area.path)]
    if not library:
        other = next((area.path for area in areas if _OTHER_LIBC.search(area.path)), None)
        raise LayoutExpertError("its C library is not glibc" if other else "it has no C library mapped: it is linked statically,"
                                " or is no C program", looked_at=[other] if other else [])
    if read(library[0].start, 5) == b"\x7fELF\x01":
        raise LayoutExpertError("it is a 32-bit process, of which heaps are not read", looked_at=[library[0].path])
    version = version_of(read, library[0].start)
    if not version:
        raise LayoutExpertError("which version of glibc it has mapped cannot be read: the definitions of its symbols' versions "
                                "are not in memory", looked_at=[library[0].path])
    if version < OLDEST:
        raise LayoutExpertError(f"glibc {version[0]}.{version[1]} is older than what is known ({OLDEST[0]}.{OLDEST[1]})")
    heap = Heap(layouts_of(version))
    data = [area for area in library if area.writable and area.end - area.start <= _LARGEST_DATA]
    main = _main_arena(read, data, heap.layouts)
    if main is None:
        raise LayoutExpertError(f"glibc's main arena is not where it should be, in the data of the library: not the malloc of "
                                f"glibc {version[0]}.{version[1]} is used, or that page is not in memory",
                                looked_at=[f"{area.path} at {area.start:#x}" for area in data])
    if version > NEWEST:
        heap.remarks.append(f"glibc {version[0]}.{version[1]} is newer than what is known ({NEWEST[0]}.{NEWEST[1]}), "
                            "and read as that")
    heap.parameters = _parameters(read, data, heap.layouts, brk)
    _collect_arenas(read, heap, areas, main, brk)
    for arena, segment in sorted(((arena, segment) for arena in heap.arenas for segment in arena.segments),
                                 key=lambda pair: pair[1].start):
        _walk(read, heap, arena, segment)
    _check_sizes(heap)
    _check_bins(read, heap)
    _mark_fast(read, heap)
    _mark_cached(read, heap)
    _collect_mapped(read, heap, areas, brk, present)
    return heap


# -- where things are --------------------------------------------------------------------------------------------------


def _words(data: bytes) -> Tuple[int, ...]:
    return struct.unpack(f"<{len(data) // _WORD}Q", data[:len(data) // _WORD * _WORD])


def _word(read: Read, address: int) -> int:
    return struct.unpack("<Q", read(address, _WORD))[0]


def _main_arena(read: Read, areas: Iterable[Area], layouts: Layouts) -> Optional[int]:
    """The address of the malloc_state in the library's data; one that has no chunks yet only if there is no other."""
    size, next_at = layouts.size("malloc_state"), layouts.at("malloc_state", "next") // _WORD
    unused = None
    for area in areas:
        words = _words(read(area.start, area.end - area.start))
        for index in range(len(words) - size // _WORD + 1):
            address = area.start + index * _WORD
            following = words[index + next_at]
            if not _leads_back(read, layouts, address, following):
                continue
            bins = _bins(words, index, address, layouts)
            if bins == "set up":
                return address
            if bins == "unused" and unused is None:
                unused = address
    return unused


def _leads_back(read: Read, layouts: Layouts, address: int, following: int) -> bool:
    """Whether the list of arenas that goes on with `following` comes back to an address."""
    seen: Set[int] = set()
    while following != address:
        if following in seen or not 0 < following < _KERNEL or following % _WORD or len(seen) > _MOST_ARENAS:
            return False
        seen.add(following)
        following = _word(read, following + layouts.at("malloc_state", "next"))
    return True


def _bins(words: Sequence[int], index: int, address: int, layouts: Layouts) -> Optional[str]:
    """Whether the bins of a malloc_state are set up, or unused, or not what bins are."""
    at, count = layouts.at("malloc_state", "bins"), layouts.count("malloc_state", "bins")
    pointers = words[index + at // _WORD:index + at // _WORD + count]
    if not any(pointers):
        top, system_mem = (words[index + layouts.at("malloc_state", member) // _WORD] for member in ("top", "system_mem"))
        return None if top or system_mem else "unused"
    empty = 0
    for number in range(0, count, 2):
        # A bin is as if it were a chunk, of which it is the pointers.
        itself = address + at + number * _WORD - layouts.at("malloc_chunk", "fd")
        pair = pointers[number:number + 2]
        if pair == (itself, itself):
            empty += 1
        elif itself in pair or not all(pair) or any(pointer % _ALIGNMENT for pointer in pair):
            return None
    return "set up" if empty else None


def _parameters(read: Read, areas: Iterable[Area], layouts: Layouts, brk: Tuple[int, int]) -> Optional[int]:
    """The address of mp_ in the library's data.

    It knows where the heap begins, if there is one, and has two numbers that only a program that tunes malloc changes.
    """
    test_at, base_at, most_at = (layouts.at("malloc_par", member) for member in ("arena_test", "sbrk_base", "n_mmaps_max"))
    found = []
    for area in areas:
        data = read(area.start, area.end - area.start)
        words = _words(data)
        for index in range(len(words) - layouts.size("malloc_par") // _WORD + 1):
            test, base = words[index + test_at // _WORD], words[index + base_at // _WORD]
            most, = struct.unpack_from("<i", data, index * _WORD + most_at)
            if (not base or brk[0] <= base < brk[1]) and (bool(base), test == 8, most == 1 << 16).count(True) >= 2:
                found.append((bool(base), test == 8, most == 1 << 16, area.start + index * _WORD))
    return max(found)[-1] if found else None


def _collect_arenas(read: Read, heap: Heap, areas: Sequence[Area], main: int, brk: Tuple[int, int]) -> None:
    """Notes the arenas and where their chunks are."""
    layouts, address = heap.layouts, main
    while not heap.arenas or address != main:
        top, system_mem, following = (_word(read, address + layouts.at("malloc_state", member))
                                      for member in ("top", "system_mem", "next"))
        arena = Arena(address, top, system_mem)
        heap.arenas.append(arena)
        if address == main:
            # Until it has memory its top is one of its own bins.
            if top and not main <= top < main + layouts.size("malloc_state"):
                _main_segment(read, heap, arena, brk)
        else:
            _segments(read, heap, arena, areas)
        address = following


def _main_segment(read: Read, heap: Heap, arena: Arena, brk: Tuple[int, int]) -> None:
    start = _word(read, heap.parameters + heap.layouts.at("malloc_par", "sbrk_base")) if heap.parameters else 0
    start = start or brk[0]
    end = arena.top + (_word(read, arena.top + _WORD) & ~_FLAGS)
    if not start <= arena.top < end <= brk[1]:
        heap.remarks.append("the main arena goes on in memory that was mapped, as what follows its heap is taken: of that "
                            "no chunks are listed")
        end = brk[1]
    first = start + -start % _ALIGNMENT
    arena.segments.append(Segment(start, first, end, is_last=start <= arena.top < brk[1]))


def _segments(read: Read, heap: Heap, arena: Arena, areas: Sequence[Area]) -> None:
    """The heaps of an arena that is not the main one, from the newest, which has the top chunk, to the first."""
    layouts = heap.layouts
    area = next((area for area in areas if area.start <= arena.top < area.end), None)
    places = [arena.top & -_HEAP_ALIGNMENT] + ([area.start] if area else [])
    at = next((place for place in places if _word(read, place) == arena.address), 0)
    if not at:
        heap.remarks.append(f"the heap of the arena at {arena.address:#x} is not found")
    seen: Set[int] = set()
    while at and at not in seen and len(seen) < _MOST_HEAPS:
        seen.add(at)
        previous, size = (_word(read, at + layouts.at("_heap_info", member)) for member in ("prev", "size"))
        first = at + layouts.size("_heap_info")
        if not previous:
            first += layouts.size("malloc_state")
        first += -first % _ALIGNMENT
        if not size or size % _PAGE or _word(read, at) != arena.address:
            heap.remarks.append(f"there is no heap at {at:#x}, where the arena at {arena.address:#x} should have one")
            break
        arena.segments.insert(0, Segment(at, first, at + size, is_last=len(seen) == 1, previous=previous))
        at = previous


# -- chunks ------------------------------------------------------------------------------------------------------------


def _walk(read: Read, heap: Heap, arena: Arena, segment: Segment) -> None:
    """Notes the chunks of a segment, from the first to the top chunk, or to the bottom of a heap that is full."""
    begin, address = len(heap.addresses), segment.first
    while address + _HEADER <= segment.end and len(heap.addresses) < _MOST_CHUNKS:
        head = _word(read, address + _WORD)
        size = head & ~_FLAGS
        if len(heap.addresses) > begin and not head & _PREVIOUS_IN_USE:
            heap.kinds[-1] = FREE
        is_bottom = not segment.is_last and address + size + _HEADER == segment.end and size <= _SMALLEST and size
        if size % _ALIGNMENT or address + size > segment.end or size < _SMALLEST and not is_bottom:
            if segment.is_last or size or address + _HEADER != segment.end:
                heap.remarks.append(f"what should be a chunk at {address:#x} is none: that page is not in memory, or changed "
                                    "while it was read, or the program wrote beyond its own")
            break
        heap.addresses.append(address)
        heap.sizes.append(size)
        heap.kinds.append(TOP if segment.is_last and address == arena.top else BOTTOM if is_bottom else ALLOCATED)
        address += size
    segment.chunks = range(begin, len(heap.addresses))


def _check_sizes(heap: Heap) -> None:
    """Whether an arena's chunks are as much as it has had from the system."""
    for arena in heap.arenas:
        covered = sum(segment.end - segment.start for segment in arena.segments)
        if covered != arena.system_mem:
            heap.remarks.append(f"the arena at {arena.address:#x} has had {arena.system_mem} bytes from the system, and "
                                f"{covered} were found")


def _chain(read: Read, heap: Heap, pointer: int, to_chunk: int, most: int) -> Iterator[int]:
    """The indices of the chunks of a list that begins at a pointer, as far as it leads to chunks that look used.

    to_chunk: how far what pointers lead to is from the beginning of a chunk.
    """
    seen: Set[int] = set()
    while pointer and len(seen) < most:
        index = heap.index_of(pointer - to_chunk)
        if index is None or index in seen or heap.kinds[index] != ALLOCATED:
            return
        seen.add(index)
        yield index
        link = heap.addresses[index] + _HEADER
        pointer = _word(read, link) ^ (link >> _PAGE_SHIFT if heap.layouts.version >= (2, 32) else 0)


def _check_bins(read: Read, heap: Heap) -> None:
    """Whether the chunks that are marked as free are those in the bins."""
    layouts = heap.layouts
    at, count = layouts.at("malloc_state", "bins"), layouts.count("malloc_state", "bins")
    forward = layouts.at("malloc_chunk", "fd")
    free = {heap.addresses[index] for index, kind in enumerate(heap.kinds) if kind == FREE}
    binned: Set[int] = set()
    for arena in heap.arenas:
        for number, chunk in enumerate(_words(read(arena.address + at, count * _WORD))[::2]):
            itself = arena.address + at + 2 * number * _WORD - forward
            while chunk and chunk != itself and chunk not in binned and len(binned) <= len(free):
                binned.add(chunk)
                chunk = _word(read, chunk + forward)
    if binned != free:
        heap.remarks.append(f"{len(free - binned)} chunks are marked as free and in no bin, {len(binned - free)} are in a bin "
                            "and not marked as free: they changed while they were read, or were tampered with")


def _mark_fast(read: Read, heap: Heap) -> None:
    """Marks what is in the fast bins."""
    layouts = heap.layouts
    if not layouts.has("malloc_state", "fastbinsY"):
        return
    at, count = (ask("malloc_state", "fastbinsY") for ask in (layouts.at, layouts.count))
    for arena in heap.arenas:
        for chunk in _words(read(arena.address + at, count * _WORD)):
            for index in _chain(read, heap, chunk, 0, len(heap.addresses)):
                heap.kinds[index] = FAST


def _mark_cached(read: Read, heap: Heap) -> None:
    """Marks what is in the caches of threads.

    A cache is itself a chunk that is in use, of the size of tcache_perthread_struct: one whose lists all lead to chunks of
    the right size, which name the cache (2.29 to 2.33) or the process's key (since 2.34), is one.
    """
    layouts = heap.layouts
    if "tcache_perthread_struct" not in layouts:
        return
    size = layouts.size("tcache_perthread_struct")
    chunk_size = size + _WORD + -(size + _WORD) % _ALIGNMENT
    for index in range(len(heap.addresses)):
        if heap.sizes[index] == chunk_size and heap.kinds[index] == ALLOCATED:
            for cached in _cached_in(read, heap, heap.addresses[index] + _HEADER, size):
                heap.kinds[cached] = CACHED


def _cached_in(read: Read, heap: Heap, cache: int, size: int) -> List[int]:
    """The indices of the chunks in a thread's cache; none if it is no cache."""
    layouts = heap.layouts
    data = read(cache, size)
    number = layouts.count("tcache_perthread_struct", "entries")
    at = layouts.at("tcache_perthread_struct", "entries")
    counts = struct.unpack_from(f"<{number}{'H' if at >= 2 * number else 'B'}", data)
    if layouts.version >= (2, 42):
        # What is counted is the room that is left.
        room = _word(read, heap.parameters + layouts.at("malloc_par", "tcache_count")) if heap.parameters else 0
        counts = tuple(room - left if left <= room else 0 for left in counts)
    found: List[int] = []
    short = 0
    for kind, (count, entry) in enumerate(zip(counts, _words(data[at:]))):
        if bool(entry) != bool(count):
            return []
        listed = list(_chain(read, heap, entry, _HEADER, count))
        if any(_cache_of(heap.sizes[index]) != kind for index in listed):
            return []
        short += count - len(listed)
        found.extend(listed)
    if layouts.version >= (2, 29):
        keys = {_word(read, heap.addresses[index] + _HEADER + _WORD) for index in found}
        if layouts.version < (2, 34) and keys != {cache} or len(keys) != 1:
            return []
    if short and found:
        heap.remarks.append(f"{short} of {short + len(found)} chunks in the cache of a thread at {cache:#x} are not found: its "
                            "lists changed while they were read, or were tampered with")
    return found


def _cache_of(size: int) -> int:
    """Which of a thread's lists takes chunks of a size: one each up to 1040 bytes, and then one up to each power of two."""
    number = (size - _SMALLEST) // _ALIGNMENT
    return number if number < _SMALL_CACHES else _SMALL_CACHES + size.bit_length() - 11


def _collect_mapped(read: Read, heap: Heap, areas: Iterable[Area], brk: Tuple[int, int], present: Callable) -> None:
    """Notes the chunks that were mapped one by one, because they are large: each begins a page."""
    expected = expected_size = None
    if heap.parameters:
        expected, expected_size = _mapped_by(read, heap)
        if not expected:
            return
    # 2.43 leaves the header out of the size.
    beyond = _HEADER if heap.layouts.version >= (2, 43) else 0
    heaps = [segment for arena in heap.arenas for segment in arena.segments]
    total = 0
    for area in areas:
        if (len(heap.mapped), total) == (expected, expected_size):
            return
        if area.path or not area.writable or area.start < brk[1] and area.end > brk[0]:
            continue
        page = area.start
        for start, end in present(area.start, area.end):
            page = max(page, start + -start % _PAGE)
            while page < end:
                inside = next((segment.end for segment in heaps if segment.start <= page < segment.end), None)
                before, head = struct.unpack("<QQ", read(page, _HEADER)) if inside is None else (1, 0)
                size = head & ~_FLAGS
                if not before and head & _FLAGS == _IS_MAPPED and size >= _PAGE - beyond and not (size + beyond) % _PAGE and (
                        page + size <= area.end):
                    heap.mapped.append((page, size))
                    total += size + beyond
                    page += size + beyond
                else:
                    page = inside or page + _PAGE
    if expected is not None and (len(heap.mapped), total) != (expected, expected_size):
        heap.remarks.append(f"{len(heap.mapped)} chunks of {total} bytes were found to be mapped one by one, and there should be "
                            f"{expected} of {expected_size}")


def _mapped_by(read: Read, heap: Heap) -> Tuple[int, int]:
    """(number, bytes) of the chunks that were mapped one by one, as mp_ counts them."""
    layouts = heap.layouts
    number, = struct.unpack("<i", read(heap.parameters + layouts.at("malloc_par", "n_mmaps"), 4))
    return number, _word(read, heap.parameters + layouts.at("malloc_par", "mmapped_mem"))


def totals(heap: Heap, parts: Iterable[range]) -> Dict[int, Tuple[int, int]]:
    """{kind: (number, bytes)} of the chunks of some segments."""
    found = {kind: [0, 0] for kind in range(6)}
    for part in parts:
        for size, kind in zip(heap.sizes[part.start:part.stop], heap.kinds[part.start:part.stop]):
            found[kind][0] += 1
            found[kind][1] += size
    return {kind: (number, size) for kind, (number, size) in found.items()}
