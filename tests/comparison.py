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
            if variants == [(layout[0], {})] and layout[0]:
                # gcc's debug information has the typedef of a transparent union without its members.
                self.size_only.append(name)
                continue
            besides = {member: _place(truth, steps) for (record, member), steps in other_members.items()
                       if record == name and member in layout[1]}
            self.wrong += min((list(_differences(name, layout, variant, besides)) for variant in variants), key=len)
            self.members += len(layout[1])
            self.sizes_unknown += sum(width is None and size is None for _, width, size in layout[1].values())

    def __str__(self):
        return ("%d structs and %d members compared, %d differences; of these structs, with several variants in the truth: "
                "%d, without their members there: %d; not in the truth: %d structs; size unknown: %d members" % (
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


def of_profile(profile, pointer_size=8):
    """The neutral form of a Rekall profile's $STRUCTS.

    An anonymous member is there twice: as u1, u2, ..., and as its members under their own names. Both must say the
    same; where they do not, the member is at no place, which equals no truth.
    """
    structs = profile["$STRUCTS"]
    return {name: (size, _members(structs, pointer_size, members)) for name, (size, members) in structs.items()
            if not _unnamed(name)}


def _members(structs, pointer_size, members):
    found = {}
    for path, place in _walk(structs, pointer_size, members, "", 0):
        found[path] = place if found.get(path, place) == place else (None, None, None)
    return found


def _walk(structs, pointer_size, members, path, base):
    for name, (offset, type_) in members.items():
        target, arguments = type_ if len(type_) == 2 else (type_[0], None)
        inner_path, start = path + name, base + 8 * offset
        if target == "BitField":
            first, end = arguments["start_bit"], arguments["end_bit"]
            yield inner_path, (start + first, end - first, None)
            continue
        place = start, None, _size(structs, pointer_size, target, arguments)
        if target == "Array":
            inner_path += "[]"
        while target == "Array":
            target, arguments = arguments["target"], arguments.get("target_args")
        inner = structs[target][1] if target in structs else {}
        if LABEL.fullmatch(name) and target in structs and all(LABEL.fullmatch(own) or own in members for own in inner):
            yield from _walk(structs, pointer_size, inner, path, start)
        else:
            yield path + name, place
            if _unnamed(target):
                yield from _walk(structs, pointer_size, inner, inner_path + ".", start)


def _unnamed(type_name):
    return type_name.startswith("__unnamed_")


def _size(structs, pointer_size, target, arguments):
    """Bytes that a member's type takes, None if the profile does not say."""
    if target == "Pointer":
        return pointer_size
    if target == "Array":
        element = _size(structs, pointer_size, arguments["target"], arguments.get("target_args"))
        return None if element is None else arguments["count"] * element
    if target == "Enumeration":
        target = arguments["target"]
    if target in structs:
        return structs[target][0]
    return _native_size(target.split(), pointer_size)


def _native_size(words, pointer_size):
    """Rekall's and C's arithmetic types under ILP32 and LP64, in which a long is as wide as a pointer."""
    if words.count("long") == 2:
        return 8
    for word, size in (("char", 1), ("byte", 1), ("short", 2), ("long", pointer_size), ("_Bool", 1), ("bool", 1), ("float", 4),
                       ("__int128", 16), ("int", 4), ("unsigned", 4), ("signed", 4)):
        if word in words:
            return size
    if words == ["double"]:
        return 8
    return None
