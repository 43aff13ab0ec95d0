"""The neutral form of layouts, in which a profile and what it is held against can be compared, whatever tells the latter:

    {name: (size in bytes, {member: (bit offset, bit-field width or None, size in bytes or None)})}

The members of an anonymous member stand under their own names, as in C, and a member whose type is a record that neither
a tag nor a typedef names is listed itself and with what it holds: 'b', 'b.a', through arrays of any dimensions 'b[].a'
(BTF has no more than one).
"""

import re
from collections import namedtuple

# member: None for the record itself.  ours, truth: None where that side has no such member.
Difference = namedtuple("Difference", "record member ours truth")

# What Rekall profiles call anonymous members.
LABEL = re.compile(r"u\d+")
_UNNAMED = "__unnamed_"
# Rekall's arithmetic types have a word of C for their size, in bytes; that of a long is a pointer's.
_SIZES = (("char", 1), ("byte", 1), ("short", 2), ("long", None), ("bool", 1), ("int", 4))


def of_profile(structs, pointer_size=8, big_endian=False):
    """The neutral form of a Rekall profile's $STRUCTS.

    An anonymous member is there twice: as u1, u2, ..., and as its members under their own names.  Both must say the
    same; where they do not, the member is at no place, which equals no truth.
    """
    reader = _Structs(structs, pointer_size, big_endian)
    return {name: (size, reader.places(members)) for name, (size, members) in structs.items() if not is_unnamed(name)}


def differences(name, ours, truth, besides=()):
    """The Differences of two layouts.  besides: {member: place} that ours may have, too."""
    (our_size, our_members), (true_size, true_members) = ours, truth
    if our_size != true_size:
        yield Difference(name, None, our_size, true_size)
    expected = {**dict(besides), **true_members}  # a kernel that has a member of that name means its own
    if our_members == expected:
        return
    for member in sorted(our_members.keys() | expected.keys()):
        our, true = our_members.get(member), expected.get(member)
        if our is None or true is None or our[:2] != true[:2] or None not in (our[2], true[2]) and our[2] != true[2]:
            yield Difference(name, member, our, true)


def is_unnamed(type_name):
    """Whether it is a name that a profile gives to a record that has none."""
    return type_name.startswith(_UNNAMED)


def held_by_value(type_):
    """What a member's [type, args] holds by value: of arrays their elements, else itself."""
    target, arguments = type_ if len(type_) == 2 else (type_[0], None)
    while target == "Array":
        target, arguments = arguments["target"], arguments.get("target_args")
    return target, arguments


def native_size(words, pointer_size):
    """Bytes of one of Rekall's arithmetic types, called as in C; None of another type."""
    if words.count("long") == 2:
        return 8
    return next((size or pointer_size for word, size in _SIZES if word in words), None)


class _Structs:
    def __init__(self, structs, pointer_size, big_endian):
        self._structs = structs
        self._pointer_size = pointer_size
        self._big_endian = big_endian

    def places(self, members):
        found = {}
        for path, place in self._walk(members, "", 0):
            found[path] = place if found.get(path, place) == place else (None, None, None)
        return found

    def _walk(self, members, path, base):
        for name, (offset, type_) in members.items():
            target, arguments = type_ if len(type_) == 2 else (type_[0], None)
            inner_path, start = path + name, base + 8 * offset
            if target == "BitField":
                first, end = arguments["start_bit"], arguments["end_bit"]
                if self._big_endian:  # Rekall counts from the least significant bit, the truth in memory's order
                    unit = 8 * self._size(arguments["native_type"], None)
                    first, end = unit - end, unit - first
                yield inner_path, (start + first, end - first, None)
                continue
            place = start, None, self._size(target, arguments)
            if target == "Array":
                inner_path += "[]"
                target, arguments = held_by_value(type_)
            inner = self._structs[target][1] if target in self._structs else {}
            if self._is_anonymous(name, target, members):
                yield from self._walk(inner, path, start)
            else:
                yield path + name, place
                if is_unnamed(target):
                    yield from self._walk(inner, inner_path + ".", start)

    def _is_anonymous(self, name, target, siblings):
        """Whether it is a label, and not a member called u1: what it holds is then among its siblings as well."""
        return (
            LABEL.fullmatch(name)
            and target in self._structs
            and all(LABEL.fullmatch(own) or own in siblings for own in self._structs[target][1])
        )

    def _size(self, target, arguments):
        """Bytes that a member's type takes, None if the profile does not say."""
        if target == "Pointer":
            return self._pointer_size
        if target == "Array":
            element = self._size(arguments["target"], arguments.get("target_args"))
            return None if element is None else arguments["count"] * element
        if target == "Enumeration":
            target = arguments["target"]
        if target in self._structs:
            return self._structs[target][0]
        return native_size(target.split(), self._pointer_size)
