"""The names that Rekall's plugins read, for things that newer kernels call otherwise.

Rekall's Linux plugins were written for kernels up to 4.13. Where a kernel only renamed or moved what
they read, the profile offers it under the old name as well and they work unchanged. Nothing is
invented: a name is offered only where it is missing and what it stands for is there.
"""
from __future__ import annotations

import copy
from typing import Any, Dict, List, Optional

# {name: [size in bytes, {member: [offset in bytes, [type, args]]}]}, as in a profile's $STRUCTS.
Structs = Dict[str, List[Any]]

# The structs that other names are offered for: a profile that wants those must have these.
SOURCES = ("gate_struct", "idt_bits", "timespec64", "tk_data", "xa_node")

# {name offered: what it is a name for}
OFFERED_STRUCTS = {
    # 4.14 "x86/idt: Unify gate_struct handling for 32/64-bit kernels". The 32-bit gate is not meant.
    "gate_struct64": "gate_struct",
    # 4.20 "xarray: Define struct xa_node": radix_tree_node is a macro that names it.
    "radix_tree_node": "xa_node",
    # 5.6 "y2038: hide timeval/timespec/itimerval/itimerspec types".
    "timespec": "timespec64",
    # 6.17 "timekeeping: Introduce auxiliary timekeepers": tk_core is a macro for the first of them.
    "tk_core": "tk_data",
}

# {(struct, name offered): the path to the member meant, through structs held by value}
OFFERED_MEMBERS = {
    # 4.11 "refcount_t: Introduce a special purpose refcount type".
    ("refcount_struct", "counter"): ("refs", "counter"),
    # The x86 interrupt gate's flags, which `struct idt_bits` holds.
    **{("gate_struct64", flag): ("bits", flag) for flag in ("ist", "zero", "type", "dpl", "p")},
    # 5.8 "module: Refactor section attr into bin attribute".
    ("module_sect_attr", "name"): ("battr", "attr", "name"),
    # 5.14 "sched: Change task_struct::state": renamed so that no user of the old one was missed.
    ("task_struct", "state"): ("__state",),
    # 6.4 "module: replace module_layout with module_memory": the first of mem[] is the text.
    ("module", "module_core"): ("mem", "base"),
    ("module", "core_size"): ("mem", "size"),
}


def offer_rekall_names(structs: Structs, constants: Dict[str, int]) -> None:
    """Adds Rekall's names to a profile's $STRUCTS and $CONSTANTS, in place."""
    has_timespec = "timespec" in structs
    for name, source in OFFERED_STRUCTS.items():
        if name not in structs and source in structs and (
                name != "gate_struct64" or "offset_high" in _members(structs, source)):
            structs[name] = copy.deepcopy(structs[source])
    if not has_timespec and "timespec" in structs:
        # Rekall's class for times goes by the name of the member's type, so the members are given it, too.
        for _, members in structs.values():
            for member in members.values():
                if member[1][0] == "timespec64" or "target" in member[1][-1]:
                    member[1] = _renamed(member[1], "timespec64", "timespec")
    for struct, name in OFFERED_MEMBERS:
        if name not in _members(structs, struct) and not (
                struct == "module" and "core_layout" in _members(structs, struct)):
            offered = offered_member(structs, struct, name)
            if offered:
                structs[struct][1][name] = offered
    if "timekeeper_data" in constants:
        constants.setdefault("tk_core", constants["timekeeper_data"])


def offered_member(structs: Structs, struct: str, name: str) -> Optional[List[Any]]:
    """[offset, [type, args]] that is offered as a member of that name; None if there is nothing to offer."""
    offset, holder, found = 0, struct, None
    for step in OFFERED_MEMBERS.get((struct, name), ()):
        found = _members(structs, holder).get(step)
        if found is None:
            return None
        offset += found[0]
        holder = _type_of(structs, holder, step)
    return found and [offset, copy.deepcopy(found[1])]


def _members(structs: Structs, struct: Optional[str]) -> Dict[str, List[Any]]:
    return structs[struct][1] if struct in structs else {}


def _type_of(structs: Structs, struct: Optional[str], member: str) -> Optional[str]:
    """The type of a member, of an array its elements'; None if there is no such member."""
    if member not in _members(structs, struct):
        return None
    name, *rest = structs[struct][1][member][1]
    while name == "Array":
        name, rest = rest[0]["target"], [rest[0].get("target_args") or {}]
    return name


def _renamed(type_and_args: List[Any], old: str, new: str) -> List[Any]:
    """[type, args] with the type old replaced by new, also behind pointers and in arrays."""
    name, *rest = type_and_args
    args = rest[0] if rest else None
    if args and "target" in args:
        target = _renamed([args["target"], args.get("target_args")], old, new)
        args = dict(args, target=target[0], **({"target_args": target[1]} if target[1] else {}))
    return [new if name == old else name, args] if rest else [new if name == old else name]
