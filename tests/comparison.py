"""Layouts held against the truth, whatever tells it: a kernel's BTF or a compiler's DWARF.

Both sides come in the neutral form of verification/neutral.py. The truth holds a list of such layouts for each name,
because a program may have several types of one name, each private to a source file: a layout is right if it equals one
of them.
"""

from rekall_layout_expert.verification import neutral
from rekall_layout_expert.verification.neutral import Difference, differences, native_size  # noqa: F401


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
            self.wrong += min((list(differences(name, layout, variant, besides)) for variant in variants), key=len)
            self.members += len(layout[1])
            self.sizes_unknown += sum(width is None and size is None for _, width, size in layout[1].values())

    def __str__(self):
        return ("%d structs and %d members compared, %d differences; structs with several variants in the truth: %d, "
                "without their members there: %d; not in the truth: %d structs; size unknown: %d members" % (
                    self.records, self.members, len(self.wrong), len(self.ambiguous), len(self.size_only),
                    len(self.not_in_truth), self.sizes_unknown))


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
    """The neutral form of a Rekall profile."""
    return neutral.of_profile(profile["$STRUCTS"], pointer_size, big_endian)


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
        return "enum of %d" % native_size(arguments["target"].split(), 8)
    if target in ("Void", "Function"):
        return "void"
    size = native_size(target.split(), 8)
    return integer_in_words(size, not target.startswith("unsigned") and target != "bool") if size else target


def integer_in_words(size, signed):
    """Of a single byte the sign does not count: char has one or none, and BTF calls it as it likes."""
    return "1 byte" if size == 1 else "%s %d bytes" % ("signed" if signed else "unsigned", size)
