r"""The order that CONFIG_RANDSTRUCT gives the members of a struct: GCC's plugin and clang.

Both take a seed that the kernel's build draws once, 64 hexadecimal digits, and mix a struct's tag into it, so that every
struct has an order of its own that all files agree on.  What is shuffled and how was learned from the plugin in the
kernel's source (scripts/gcc-plugins/randomize_layout_plugin.c, whose behaviour changed three times), from clang's
lib/AST/Randstruct.cpp and lib/Sema/SemaDecl.cpp, and, as clang calls std::shuffle, from the C++ libraries.

Where nothing tells which of several behaviours a kernel was built with, each is followed, and a struct on which they do
not agree is not known.  How the members are laid out in their new order is the matter of `layouts`.
"""

import random

from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Attributed, Function, Pointer, Record

_WORD = (1 << 64) - 1
_HALF = (1 << 32) - 1
_TWISTER_WORDS = 624
_CACHE_LINE = 64  # in bytes for the plugin, in bits for clang
# Structs of a driver that is not the kernel's, which the plugin spares by name.
_SPARED = ("INTNETTRUNKFACTORY", "RAWPCIFACTORY")


class Member:
    """What a shuffle asks of a member.

    type: as declared; size: of its type in bits, None for an array without a count, and for a bit-field by the time that
    the plugin sees it that of the smallest integer; width: of a bit-field in bits, else None.
    """

    __slots__ = ("type", "size", "width")

    def __init__(self, type_, size, width):
        self.type = type_
        self.size = size
        self.width = width


class GccPlugin:
    """The plugin of kernels since 4.13.

    seed: as the kernel's build wrote it; None where it is not known, with the reason.  by_cache_lines: the plugin's
    performance mode (CONFIG_RANDSTRUCT_PERFORMANCE).  What differs between its versions is a tuple of the behaviours
    that are possible: nested: a struct of function pointers may embed such structs (since 5.4); short_arrays: at the
    end of a struct arrays of one element or none stay where they are (until 6.6); in_group: in performance mode members
    stay in their group (since 6.6).
    """

    lays_out_again = True  # GCC has laid the struct out before the plugin sees it

    def __init__(self, seed, reason="", by_cache_lines=False, nested=(True,), short_arrays=(False,), in_group=(True,)):
        self._seed = seed
        self._reason = reason
        self._by_cache_lines = by_cache_lines
        self._nested = nested
        self._short_arrays = short_arrays
        self._in_group = in_group if by_cache_lines else (True,)

    def shuffles(self, layouts, record):
        """Whether a record is shuffled: a struct that is marked, or that holds nothing but pointers to functions."""
        if record.kind != "struct" or len(record.fields) < 2 or record.tag in _SPARED:
            return False
        marks = {name for name, _ in record.attributes}
        if "no_randomize_layout" in marks:
            return False
        if "randomize_layout" in marks:
            return True
        found = {_holds_only_functions(layouts, record, nested, True) for nested in self._nested}
        if len(found) > 1:
            raise NotKnown("whether CONFIG_RANDSTRUCT shuffles it depends on the version of the plugin, which full source holds")
        return found.pop()

    def order(self, layouts, record, members):
        """The members' places in the source in the order in which they stand.  Raises NotKnown."""
        if self._seed is None:
            raise NotKnown(self._reason)
        words = [int(self._seed[start : start + 16], 16) for start in range(0, 64, 16)]
        mixed = _name_hash(record.tag or "anonymous")
        orders = []
        for short_arrays in self._short_arrays:
            count = len(members)
            if _stays_at_the_end(layouts, members[-1], short_arrays):
                count -= 1
            for in_group in self._in_group:
                generator = _Jenkins([word ^ mixed for word in words])
                if not count:
                    order = []
                elif self._by_cache_lines:
                    order = _shuffle_by_cache_lines(generator, members[:count], in_group)
                else:
                    order = _shuffle(generator, count)
                orders.append(order + list(range(count, len(members))))
        return _agreed(orders, "the version of the plugin, which full source holds")


class Clang:
    """clang since 15, with -frandomize-layout-seed-file.

    seed: the first line of that file; None where it is not known, with the reason.  shuffles: the std::shuffle that it
    may have been linked with, functions of a list and a generator of 32-bit numbers.
    """

    lays_out_again = False

    def __init__(self, seed, reason="", shuffles=()):
        self._seed = seed
        self._reason = reason
        self._shuffles = shuffles

    def shuffles(self, layouts, record):
        """Whether a record is shuffled: a struct that is marked, or that holds nothing but pointers to functions."""
        if record.kind != "struct" or not record.fields:
            return False
        marks = {name for name, _ in record.attributes}
        if "randomize_layout" in marks:
            return True
        if "no_randomize_layout" in marks:
            return False
        if _holds_only_functions(layouts, record, False, False):
            return True
        if _holds_only_functions(layouts, record, True, False):
            raise NotKnown("whether CONFIG_RANDSTRUCT shuffles it depends on the clang: it embeds structs of function pointers")
        return False

    def order(self, layouts, record, members):
        """The members' places in the source in the order in which they stand.  Raises NotKnown."""
        if self._seed is None:
            raise NotKnown(self._reason)
        movable = list(range(len(members)))
        last = [movable.pop()] if _clang_keeps_last(layouts, record, members[-1]) else []
        orders = []
        for shuffle in self._shuffles:
            buckets = _buckets(members, movable)
            generator = _mersenne_twister((self._seed + (record.tag or "")).encode())
            shuffle(buckets, generator)
            for bucket, is_run in buckets:
                if not is_run:
                    shuffle(bucket, generator)
            orders.append([place for bucket, _ in buckets for place in bucket] + last)
        return _agreed(orders, "the C++ library of the clang that built the kernel")


def _agreed(orders, what):
    if any(order != orders[0] for order in orders):
        raise NotKnown("how CONFIG_RANDSTRUCT shuffles its members depends on " + what)
    return orders[0]


def _is_function_pointer(layouts, type_):
    return isinstance(type_, Pointer) and isinstance(layouts.resolve(type_.target), Function)


def _holds_only_functions(layouts, record, nested, arrays):
    """Whether all members are pointers to functions, or if so asked records or arrays that hold only such."""
    for field in record.fields:
        type_ = layouts.resolve(field.type)
        while arrays and isinstance(type_, Array):
            type_ = layouts.resolve(type_.element)
        if isinstance(type_, Record):
            if not nested or not _holds_only_functions(layouts, layouts.scope.complete(type_), nested, arrays):
                return False
        elif not _is_function_pointer(layouts, type_):
            return False
    return True


# The plugin


def _stays_at_the_end(layouts, member, short_arrays):
    type_ = layouts.resolve(member.type)
    if not isinstance(type_, Array):
        return False
    return member.size is None or short_arrays and member.size in (0, layouts.measure(type_.element).size)


def _name_hash(name):
    value = 0
    for byte in name.encode("utf-8", "surrogateescape"):
        value = (value + (byte << 4) + (byte >> 4)) * 11
    return value & _HALF


class _Jenkins:
    """Bob Jenkins' small generator of 64-bit numbers."""

    def __init__(self, state):
        self._state = state
        for _ in range(30):
            self()

    def __call__(self):
        a, b, c, d = self._state
        e = a - _rotated(b, 7) & _WORD
        a = b ^ _rotated(c, 13)
        b = c + _rotated(d, 37) & _WORD
        c = d + e & _WORD
        d = e + a & _WORD
        self._state = a, b, c, d
        return d


def _rotated(word, bits):
    return (word << bits | word >> (64 - bits)) & _WORD


def _shuffle(generator, count):
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        _swap(order, last, generator() % (last + 1))
    return order


def _swap(list_, one, other):
    list_[one], list_[other] = list_[other], list_[one]


def _shuffle_by_cache_lines(generator, members, in_group):
    """Members change places in groups of at least 64 bytes; groups do not, but are gone through in a shuffled order."""
    groups = []  # (first member, number of members)
    start = size = 0
    for place, member in enumerate(members):
        # An array without a count counts as -1 byte, in unsigned arithmetic.
        size = size + (-1 if member.size is None else member.size // 8) & _WORD
        if size >= _CACHE_LINE or place == len(members) - 1:
            groups.append((start, place + 1 - start))
            start = place + 1
            size = 0
    for last in range(len(groups) - 1, 0, -1):
        _swap(groups, last, generator() % (last + 1))
    order = list(range(len(members)))
    for start, length in groups:
        for index in range(length - 1, 0, -1):
            place = start + index
            if members[order[place]].width is not None:
                continue
            other = start + generator() % (index + 1) if in_group else generator() % (place + 1)
            if members[order[other]].width is None:
                _swap(order, place, other)
    return order


# clang


def _clang_keeps_last(layouts, record, last):
    if _has_flexible_array(layouts, record):
        return True
    type_ = last.type
    if isinstance(type_, Attributed) and isinstance(layouts.resolve(type_), Array):
        raise NotKnown("whether CONFIG_RANDSTRUCT moves an array with attributes at the end is not known")
    # A typedef's array moves: clang looks at the type as it is spelled.
    return isinstance(type_, Array) and layouts.constants.value(type_.count) <= 2


def _has_flexible_array(layouts, record):
    for field in record.fields:
        type_ = layouts.resolve(field.type)
        if isinstance(type_, Array) and type_.count is None:
            return True
        if isinstance(type_, Record) and _has_flexible_array(layouts, layouts.scope.complete(type_)):
            return True
    return False


def _buckets(members, places):
    """[(places, are they a run of bit-fields?)]: members of 64 bits together; larger ones and runs alone."""
    buckets = []
    pending = list(places)
    bucket, run = None, []
    filled = skipped = 0
    while pending:
        if skipped >= len(pending):
            skipped = 0
            buckets.append((bucket, False))
            bucket = None
        place = pending.pop(0)
        member = members[place]
        if member.width:
            run.append(place)
            continue
        if run:
            buckets.append((run, True))
            run = []
        if bucket is None:  # it is begun, and shuffled with the others, even if nothing comes into it
            bucket, filled = [], 0
        size = member.size or 0
        if size >= _CACHE_LINE:
            buckets.append(([place], False))
        elif filled + size <= _CACHE_LINE:
            bucket.append(place)
            filled += size
            if filled >= _CACHE_LINE:
                skipped = 0
                buckets.append((bucket, False))
                bucket = None
        else:
            skipped += 1
            pending.append(place)
    if bucket is not None:
        buckets.append((bucket, False))
    if run:
        buckets.append((run, True))
    return buckets


def _mersenne_twister(seed):
    """A function that draws 32 bits: C++'s std::mt19937, seeded by std::seed_seq from bytes."""
    generator = random.Random()
    generator.setstate((3, tuple(_seed_sequence(seed, _TWISTER_WORDS)) + (_TWISTER_WORDS,), None))
    return lambda: generator.getrandbits(32)


def _seed_sequence(seed, count):
    """std::seed_seq::generate of the C++ standard."""
    words = [0x8B8B8B8B] * count
    far = (count - 11) // 2
    farther = far + 11
    rounds = max(len(seed) + 1, count)
    for k in range(rounds):
        mixed = words[k % count] ^ words[(k + far) % count] ^ words[(k - 1) % count]
        mixed = 1664525 * (mixed ^ mixed >> 27) & _HALF
        added = len(seed) if not k else k % count + (seed[k - 1] if k <= len(seed) else 0)
        words[(k + far) % count] = words[(k + far) % count] + mixed & _HALF
        mixed = mixed + added & _HALF
        words[(k + farther) % count] = words[(k + farther) % count] + mixed & _HALF
        words[k % count] = mixed
    for k in range(rounds, rounds + count):
        mixed = words[k % count] + words[(k + far) % count] + words[(k - 1) % count] & _HALF
        mixed = 1566083941 * (mixed ^ mixed >> 27) & _HALF
        words[(k + far) % count] ^= mixed
        mixed = mixed - k % count & _HALF
        words[(k + farther) % count] ^= mixed
        words[k % count] = mixed
    return words


def gnu_shuffle(draw_below):
    """std::shuffle of GNU's library, on top of a way to draw a number below a limit."""

    def shuffle(items, generator):
        count = len(items)
        if not count:
            return
        if _HALF // count < count:
            for place in range(1, count):
                _swap(items, place, draw_below(generator, place + 1))
            return
        place = 1
        if count % 2 == 0:
            _swap(items, place, draw_below(generator, 2))
            place += 1
        while place < count:  # one number serves for two swaps
            both = draw_below(generator, (place + 1) * (place + 2))
            _swap(items, place, both // (place + 2))
            _swap(items, place + 1, both % (place + 2))
            place += 2

    return shuffle


def draw_by_product(generator, limit):
    """std::uniform_int_distribution of GNU's library since GCC 11 (Lemire's method)."""
    product = generator() * limit
    if product & _HALF < limit:
        while product & _HALF < (1 << 32) % limit:
            product = generator() * limit
    return product >> 32


def draw_by_quotient(generator, limit):
    """The same until GCC 10."""
    scale = _HALF // limit
    while True:
        drawn = generator() // scale
        if drawn < limit:
            return drawn


def llvm_shuffle(items, generator):
    """std::shuffle of LLVM's library."""
    for first in range(len(items) - 1):
        limit = len(items) - first
        mask = (1 << (limit - 1).bit_length()) - 1
        while True:
            drawn = generator() & mask
            if drawn < limit:
                break
        _swap(items, first, first + drawn)


GNU_SHUFFLES = (gnu_shuffle(draw_by_product), gnu_shuffle(draw_by_quotient))
LLVM_SHUFFLES = (llvm_shuffle,)
