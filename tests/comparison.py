"""Layouts held against the truth, whatever tells it: a kernel's BTF or a compiler's DWARF.

Both sides come in one neutral form,

    {name: (size in bytes, {member: (bit offset, bit-field width or None, size in bytes or None)})}

in which the members of an anonymous member stand under their own names, as in C, and a member whose type is a record
that neither a tag nor a typedef names is listed itself and with what it holds: 'b', 'b.a', through arrays of any
dimensions 'b[].a' (BTF has no more than one). The truth holds a list of such layouts for each name, because a program
may have several types of one name, each private to a source file: a layout is right if it equals one of them.
"""

import re
from collections import namedtuple

# member: None for the record itself. ours, truth: None where that side has no such member.
Difference = namedtuple("Difference", "record member ours truth")

# What Rekall profiles call anonymous members.
LABEL = re.compile(r"u\d+")


class Comparison:
    """What became of each record of ours.

    wrong: [Difference]; records, members: how many were compared; ambiguous: names of those compared with several
    variants; size_only: names of those whose members the truth does not tell; not_in_truth: names that the truth lacks;
    sizes_unknown: members compared but for their size.

    What ours has besides is held against what it stands for: `other_names` {record: record of the truth} and
    `other_members` {(record, member): the steps to it, (record, member) of the truth each}.
    """

    def __init__(self, ours, truth, other_names=(), other_members=()):
        other_names, other_members = dict(other_names), dict(other_members)
        self.wrong = []
        self.records = self.members = self.sizes_unknown = 0
        self.ambiguous, self.size_only, self.not_in_truth = [], [], []
        for name, layout in sorted(ours.items()):
            variants = truth.get(name) or truth.get(other_names.get(name))
            if not variants:
                self.not_in_truth.append(name)
                continue
            self.records += 1
            if len(variants) > 1:
                self.ambiguous.append(name)
            if variants == [(layout[0], {})] and layout[1]:
                # gcc's debug information has the typedef of a transparent union without its members.
                self.size_only.append(name)
                continue
            besides = {member: _place(truth, steps) for (record, member), steps in other_members.items()
                       if record == name and member in layout[1]}
            self.wrong += min((list(_differences(name, layout, variant, besides)) for variant in variants), key=len)
            self.members += len(layout[1])
            self.sizes_unknown += sum(width is None and size is None for _, width, size in layout[1].values())

    def __str__(self):
        return ("%d structs and %d members compared, %d differences; structs with several variants in the truth: %d, "
                "without their members there: %d; not in the truth: %d structs; size unknown: %d members" % (
                    self.records, self.members, len(self.wrong), len(self.ambiguous), len(self.size_only),
                    len(self.not_in_truth), self.sizes_unknown))


def _differences(name, ours, truth, besides):
    (our_size, our_members), (true_size, true_members) = ours, truth
    if our_size != true_size:
        yield Difference(name, None, our_size, true_size)
    expected = {**besides, **true_members}  # a kernel that has a member of that name means its own
    for member in sorted(our_members.keys() | expected.keys()):
        our, true = our_members.get(member), expected.get(member)
        if our is None or true is None or our[:2] != true[:2] or None not in (our[2], true[2]) and our[2] != true[2]:
            yield Difference(name, member, our, true)


def _place(truth, steps):
    """Where the truth's member is to which the steps lead through members held by value; None if there is none."""
    offset = 0
    for record, member in steps:
        for _, members in truth.get(record, [])[:1]:
            if member in members:
                start, width, size = members[member]
                offset += start
                break
        else:
            return None
    return offset, width, size


def of_profile(profile, pointer_size=8, big_endian=False):
    """The neutral form of a Rekall profile's $STRUCTS.

    An anonymous member is there twice: as u1, u2, ..., and as its members under their own names. Both must say the
    same; where they do not, the member is at no place, which equals no truth.
    """
    structs = _Structs(profile["$STRUCTS"], pointer_size, big_endian)
    return {name: (size, structs.places(members)) for name, (size, members) in profile["$STRUCTS"].items()
            if not _unnamed(name)}


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
                if self._big_endian:    # Rekall counts from the least significant bit, the truth in memory's order
                    unit = 8 * self._size(arguments["native_type"], None)
                    first, end = unit - end, unit - first
                yield inner_path, (start + first, end - first, None)
                continue
            place = start, None, self._size(target, arguments)
            if target == "Array":
                inner_path += "[]"
            while target == "Array":
                target, arguments = arguments["target"], arguments.get("target_args")
            inner = self._structs[target][1] if target in self._structs else {}
            if self._is_anonymous(name, target, members):
                yield from self._walk(inner, path, start)
            else:
                yield path + name, place
                if _unnamed(target):
                    yield from self._walk(inner, inner_path + ".", start)

    def _is_anonymous(self, name, target, siblings):
        """Whether it is a label, and not a member called u1: what it holds is then among its siblings as well."""
        return (LABEL.fullmatch(name) and target in self._structs
                and all(LABEL.fullmatch(own) or own in siblings for own in self._structs[target][1]))

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
        return _native_size(target.split(), self._pointer_size)


def _unnamed(type_name):
    return type_name.startswith("__unnamed_")


def types_of_profile(profile):
    """{name: {member: its type in words}} of a Rekall profile's $STRUCTS, without bit-fields."""
    return {name: {member: _in_words(*type_) for member, (_, type_) in members.items() if type_[0] != "BitField"}
            for name, (_, members) in profile["$STRUCTS"].items()}


def _in_words(target, arguments=None):
    if target == "Pointer":
        return _in_words(arguments["target"], arguments.get("target_args")) + " *"
    if target == "Array":
        count = 1
        while target == "Array":
            count *= arguments["count"]
            target, arguments = arguments["target"], arguments.get("target_args")
        return "%s[%d]" % (_in_words(target, arguments), count)
    if target == "Enumeration":
        return "enum of %d" % _native_size(arguments["target"].split(), 8)
    if target in ("Void", "Function"):
        return "void"
    size = _native_size(target.split(), 8)
    return integer_in_words(size, not target.startswith("unsigned") and target != "bool") if size else target


def integer_in_words(size, signed):
    """Of a single byte the sign does not count: char has one or none, and BTF calls it as it likes."""
    return "1 byte" if size == 1 else "%s %d bytes" % ("signed" if signed else "unsigned", size)


def _native_size(words, pointer_size):
    """Rekall's arithmetic types, called as in C, under ILP32 and LP64, in which a long is as wide as a pointer."""
    if words.count("long") == 2:
        return 8
    for word, size in (("char", 1), ("byte", 1), ("short", 2), ("long", pointer_size), ("bool", 1), ("int", 4)):
        if word in words:
            return size
    return None
