"""Lists and trees of the kernel, walked so that they end whatever memory holds.

Of a running system they change under the walk, and in an image pages are missing: a walk goes forward only, never
twice through one node, stops at what cannot be read, and has a bound.
"""
from __future__ import annotations

import struct
from typing import Any, Callable, Iterable, Iterator, List, Tuple

from rekall import obj
from rekall.plugin import PluginError
from rekall.plugins.overlays.basic import container_of

from rekall_layout_expert.plugin.linux.replacing import members_of

# PID_MAX_LIMIT: nothing that is listed here is more numerous.
MOST = 1 << 22
# A tree of 64 bit indices has not more than sixteen levels.
_HEIGHT_MASK = 0x1F


def list_entries(head, struct_name: str, member: str, most: int = MOST) -> Iterator[obj.Struct]:
    """What a list_head holds: the structs in which `member` is linked."""
    return _containers(head.m("next"), "next", head.obj_offset, struct_name, member, most)


def hlist_entries(head, struct_name: str, member: str, most: int = MOST) -> Iterator[obj.Struct]:
    """What a hlist_head holds."""
    return _containers(head.m("first"), "next", 0, struct_name, member, most)


def chain(first, link: str, most: int = MOST) -> Iterator[obj.Struct]:
    """Structs that point to each other by a member, from a pointer to the first to a NULL."""
    seen = set()
    while len(seen) < most and first and int(first) not in seen and is_readable(first):
        seen.add(int(first))
        item = first.deref()
        yield item
        first = item.m(link)


def is_readable(pointer) -> bool:
    """Whether what a pointer leads to is mapped."""
    return bool(pointer.obj_vm.is_valid_address(int(pointer)))


def _containers(pointer, link: str, end: int, struct_name: str, member: str, most: int) -> Iterator[obj.Struct]:
    for node in chain(pointer, link, most):
        if node.obj_offset == end:
            return
        yield container_of(node.reference(), struct_name, member)


def rb_entries(root, struct_name: str, member: str, most: int = MOST) -> Iterator[obj.Struct]:
    """What a rb_root holds, in its order."""
    stack, node, seen = [], root.m("rb_node"), set()
    while stack or node:
        while node and int(node) not in seen and len(seen) < most and is_readable(node):
            seen.add(int(node))
            stack.append(node.deref())
            node = stack[-1].rb_left
        if not stack:
            return
        found = stack.pop()
        yield container_of(found.reference(), struct_name, member)
        node = found.rb_right


def depth_first(stack: List[Tuple[obj.Struct, Any]],
                below: Callable[[obj.Struct, Any], Iterable[Tuple[obj.Struct, Any]]]) -> Iterator[Tuple[obj.Struct, Any]]:
    """What a tree holds, each struct with what its place tells of it, before those below it.

    stack: where to begin; below: what hangs on a struct. Of both the last comes first.
    """
    seen = set()
    while stack and len(seen) < MOST:
        found, place = stack.pop()
        if not found or found.obj_offset in seen:
            continue
        seen.add(found.obj_offset)
        yield found, place
        stack.extend(below(found, place))


def xarray_entries(root, most: int = MOST) -> Iterator[Tuple[int, int, int]]:
    """What an xarray holds, until 4.20 a radix tree: (first index, number of indices, entry), in their order.

    An entry is a pointer's value. Values that are no pointers (of a page cache: what was evicted) are passed over.
    4.20 "xarray: Define struct xa_node" changed the low bits that tell nodes from entries. Kernels whose nodes have no shift,
    as 4.4, keep a node's height in its path (before, as 3.13, by itself), and mark no pointer to a node but the root's.
    Sources: include/linux/xarray.h, include/linux/radix-tree.h.
    """
    profile, vm = root.obj_profile, root.obj_vm
    internal, value = (2, 1) if "xa_node" in profile.vtypes else (1, 2)
    node_type = "xa_node" if internal == 2 else "radix_tree_node"
    members = members_of(profile, node_type)
    if "slots" not in members:
        raise PluginError(f"this profile has no struct {node_type}: old kernels, as 3.13, have it in lib/radix-tree.c alone")
    slots_at, count = members["slots"][0], members["slots"][1][1]["count"]
    has_shifts = "shift" in members
    height_at = (members.get("path") or members.get("height") or [None])[0]
    head = root.multi_m("xa_head", "rnode")
    if head == None:  # noqa: E711: Rekall's NoneObject
        return
    head, = struct.unpack("<Q", vm.read(head.obj_offset, 8))
    if head and head & 3 != internal:
        if not head & value:
            yield 0, 1, obj.Pointer.integer_to_address(head)
        return
    stack, seen = [(head, 0)] if head else [], set()
    while stack and len(seen) < most:
        entry, base = stack.pop()
        node = obj.Pointer.integer_to_address(entry & ~3)
        if node in seen or not vm.is_valid_address(node):
            continue
        seen.add(node)
        if has_shifts:
            shift = vm.read(node + members["shift"][0], 1)[0]
        else:
            height, = struct.unpack("<I", vm.read(node + height_at, 4))
            shift = ((height & _HEIGHT_MASK) - 1) * (count.bit_length() - 1)
        if not 0 <= shift <= 60:
            continue
        slots = struct.unpack(f"<{count}Q", vm.read(node + slots_at, 8 * count))
        below = []
        for slot, held in enumerate(slots):
            first = base + (slot << shift)
            if held & 3 == internal and held > 4096 if has_shifts else shift and held and not held & 3:
                if shift and not node < obj.Pointer.integer_to_address(held) < node + slots_at + 8 * count:
                    below.append((held, first))
            elif held and not held & 3:
                # Siblings of an entry that takes several slots hold the number of its slot.
                end = slot + 1
                while end < count and internal == 2 and slots[end] == slot << 2 | internal:
                    end += 1
                yield first, (end - slot) << shift, obj.Pointer.integer_to_address(held)
        stack.extend(reversed(below))

