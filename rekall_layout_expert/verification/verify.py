r"""A finished profile held against the kernel's own BTF: what disagrees leaves the profile.

Each struct that both know is compared in size, and in the bit offset, bit-field width and size of every member.  A name
that several source files use for types of their own stands for several layouts, and one that agrees suffices.  What is
offered under a name of Rekall's (profile/compatibility.py) is held against what it stands for.
"""

from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.profile.compatibility import OFFERED_STRUCTS, offered_member
from rekall_layout_expert.verification.btf import Btf, digest_of
from rekall_layout_expert.verification.neutral import LABEL, differences, held_by_value, is_unnamed, of_profile


def verify_by_btf(profile, section, only_verified=False):
    """Compares a profile with a .BTF section (bytes), and takes the structs that disagree out of it.

    only_verified: and those that BTF does not know.

    They, and those that embed them, are listed in $METADATA's left_out with the reason.  The outcome is in $METADATA's
    `verified`, {"btf_digest": hex, "structs": how many agree, "members": how many these have, "not_in_btf": how many
    structs BTF does not know, "refused": names}.  Raises LayoutExpertError where the BTF is damaged, or is not the truth:
    gcc writes debug information of the order in which members were before its plugin shuffled them.
    """
    if profile["$CONFIG"].get("CONFIG_GCC_PLUGIN_RANDSTRUCT") == "y":
        raise LayoutExpertError("structs are shuffled (CONFIG_GCC_PLUGIN_RANDSTRUCT), and BTF tells their source's order")
    with held_off():
        _verify(profile, section, only_verified)


def _verify(profile, section, only_verified):
    structs, metadata = profile["$STRUCTS"], profile["$METADATA"]
    pointer_size = 8 if profile["$CONFIG"].get("CONFIG_64BIT", "y") == "y" else 4
    ours = of_profile(structs, pointer_size)
    truth = Btf(section, pointer_size).layouts({_in_btf(name) for name in ours} | set(OFFERED_STRUCTS.values()))
    wrong, agreeing, not_in_btf = {}, [], 0
    for name, layout in ours.items():
        variants = truth.get(_in_btf(name)) or truth.get(OFFERED_STRUCTS.get(name))
        if variants is None:
            not_in_btf += 1
            if only_verified:
                wrong[name] = "the kernel's own BTF does not know it, and nothing else verifies it"
            continue
        difference = _difference(name, layout, variants, structs, metadata.get("left_out", {}))
        if difference:
            wrong[name] = "the kernel's own BTF contradicts it: " + difference
        else:
            agreeing.append(name)
    refused = _with_embedding(structs, wrong)
    for name in refused:
        del structs[name]
    if only_verified:
        # Who is only pointed to was compared with nothing.
        for name in {name for name in structs if is_unnamed(name)} - _held_by_named(structs):
            del structs[name]
    named = {name: reason for name, reason in refused.items() if not is_unnamed(name)}
    metadata.setdefault("left_out", {}).update(named)
    agreeing = [name for name in agreeing if name in structs]
    metadata["verified"] = {
        "btf_digest": digest_of(section),
        "structs": len(agreeing),
        "members": sum(len(ours[name][1]) for name in agreeing),
        "not_in_btf": not_in_btf,
        "refused": sorted(named),
    }


def _in_btf(name):
    """What a type is called in BTF, which does not tell of which source file it is (profile/private.py)."""
    return name.partition("@")[0]


def _difference(name, layout, variants, structs, left_out):
    """What differs from the variant that is the nearest, in words; None if nothing does."""
    nearest = None
    for variant in variants:
        if variant == (layout[0], {}):
            return None  # gcc's debug information has the typedef of a transparent union without its members
        unmatched = {member: layout[1][member] for member in layout[1].keys() - variant[1].keys()}
        besides = {member: place for member, place in unmatched.items() if _is_offered(structs, name, member)}
        found = [each for each in differences(name, layout, variant, besides)
                 if each.member is None or each.ours is not None or not _is_left_out(name, each.member, left_out)]
        if not found:
            return None
        if nearest is None or len(found) < len(nearest):
            nearest = found
    more = ", and %d more" % (len(nearest) - 1) if len(nearest) > 1 else ""
    return _in_words(nearest[0]) + more


def _is_offered(structs, struct, member):
    return offered_member(structs, struct, member) == structs[struct][1].get(member) is not None


def _is_left_out(struct, member, left_out):
    """Whether the profile says itself that it lacks a member, or an anonymous one that may hold it."""
    own = [name[len(struct) + 1 :] for name in left_out if name.startswith(struct + ".")]
    return any(label == member.split(".")[0].rstrip("[]") or LABEL.fullmatch(label) for label in own)


def _in_words(difference):
    if difference.member is None:
        return "it has %d bytes there, and %d here" % (difference.truth, difference.ours)
    if difference.truth is None:
        return "%s is not there" % difference.member
    if difference.ours is None:
        return "%s is missing" % difference.member
    (offset, width, size), ours = difference.truth, difference.ours
    return "%s is at bit %s there%s, and at bit %s here%s" % (
        difference.member, offset, _extent(width, size), ours[0], _extent(*ours[1:]))  # fmt: skip


def _extent(width, size):
    return " (%s)" % ("%d bits" % width if width is not None else "%s bytes" % size)


def _held_by_named(structs):
    """The records without a name that those with one hold by value, or what these hold."""
    found, pending = set(), [name for name in structs if not is_unnamed(name)]
    while pending:
        for _, type_ in structs[pending.pop()][1].values():
            target, _ = held_by_value(type_)
            if target in structs and is_unnamed(target) and target not in found:
                found.add(target)
                pending.append(target)
    return found


def _with_embedding(structs, wrong):
    """{struct: reason} of the wrong ones, all that embed them, and the records without a name that these embed."""
    embedding = {}
    for name, (_, members) in structs.items():
        for _, type_ in members.values():
            target, _ = held_by_value(type_)
            if target in structs:
                embedding.setdefault(target, set()).add(name)
                if is_unnamed(target):
                    embedding.setdefault(name, set()).add(target)
    refused, pending = dict(wrong), list(wrong)
    while pending:
        name = pending.pop()
        for other in embedding.get(name, ()):
            if other not in refused:
                refused[other] = "it embeds %s, which the kernel's own BTF contradicts" % name
                pending.append(other)
    return refused
