"""What a process has mapped.

6.1 "mm: start tracking VMAs with maple tree" and "mm: remove the vma linked list" took mm_struct.mmap and
vm_area_struct.vm_next away: areas are the leaves of a B-tree in mm_struct.mm_mt. Source: include/linux/maple_tree.h.
"""
from __future__ import annotations

import struct
from typing import Iterator, List, Optional, Tuple

from rekall import obj
from rekall.plugin import PluginError
from rekall.plugins import core
from rekall.plugins.common import inspection
from rekall.plugins.common import pas2kas as any_pas2kas
from rekall.plugins.linux import pas2kas, proc_maps
from rekall.plugins.overlays.linux import linux

from rekall_layout_expert.plugin.linux.lists import MOST
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

# Of a node's address the low bits tell its type, and whether it is the root.
_NODE_MASK, _TYPE_SHIFT, _TYPE_MASK = ~0xFF, 3, 0xF
_LEAF, _RANGE, _ALLOCATION_RANGE = 1, 2, 3
_LAST = (1 << 64) - 1
# No kernel's trees are deeper (MAPLE_HEIGHT_MAX).
_DEEPEST = 31
_PAGE = 4096
_AT_ONCE = 1 << 20
# From this verbosity on Rekall joins only pages that are next to each other in physical memory, too.
_VERBOSE = 5


class Permissions(linux.PermissionFlags):
    """As in /proc/PID/maps; Rekall's own are written by a method that Python 3 does not call."""

    def __str__(self):
        return "".join(name if self.is_flag(name) else "-" for name in "rwx")

    def is_flag(self, flag):
        return self.v() & self.maskmap[flag]


class Areas:
    """In place of the first vm_area_struct of the list that mm_struct.mmap was: what Rekall's plugins do with it."""

    def __init__(self, mm):
        self._mm = mm

    def walk_list(self, member: str, include_current: bool = True) -> Iterator[obj.Struct]:
        """The areas in the order of their addresses."""
        del member, include_current
        profile, vm = self._mm.obj_profile, self._mm.obj_vm
        for address in maple_entries(self._mm.mm_mt):
            yield profile.vm_area_struct(offset=address, vm=vm)


def maple_entries(tree) -> Iterator[int]:
    """The pointers that a maple tree holds, in the order of its indices."""
    profile, vm = tree.obj_profile, tree.obj_vm
    layouts = {_LEAF: _layout(profile, "maple_range_64"), _RANGE: _layout(profile, "maple_range_64"),
               _ALLOCATION_RANGE: _layout(profile, "maple_arange_64")}
    root, = struct.unpack("<Q", vm.read(tree.m("ma_root").obj_offset, 8))
    if root & 3 != 2 or root <= 4096:
        # No node: there is nothing, or one entry for all indices.
        if root and not root & 3:
            yield obj.Pointer.integer_to_address(root)
        return
    stack: List[Tuple[int, int, int]] = [(root, _LAST, 0)]
    seen = set()
    while stack and len(seen) < MOST:
        entry, last, depth = stack.pop()
        node_type = entry >> _TYPE_SHIFT & _TYPE_MASK
        node = obj.Pointer.integer_to_address(entry & _NODE_MASK)
        if node in seen or node_type not in layouts or depth > _DEEPEST or not vm.is_valid_address(node):
            continue
        seen.add(node)
        pivots_at, pivot_count, slots_at, slot_count = layouts[node_type]
        pivots = struct.unpack(f"<{pivot_count}Q", vm.read(node + pivots_at, 8 * pivot_count)) + (last,)
        slots = struct.unpack(f"<{slot_count}Q", vm.read(node + slots_at, 8 * slot_count))
        held = []
        for index, (slot, pivot) in enumerate(zip(slots, pivots)):
            if index and not pivot:
                break
            held.append((slot, min(pivot, last)))
            if pivot >= last:
                break
        if node_type == _LEAF:
            yield from (obj.Pointer.integer_to_address(slot) for slot, _ in held if slot and not slot & 3)
        else:
            stack.extend((slot, pivot, depth + 1) for slot, pivot in reversed(held))


def _layout(profile: obj.Profile, node: str) -> Tuple[int, int, int, int]:
    """Of a node: where its pivots are and how many, where its slots are and how many."""
    members = members_of(profile, node)
    return tuple(number for name in ("pivot", "slot")
                 for number in (members[name][0], members[name][1][1]["count"]))


def areas_of(task) -> Iterator[obj.Struct]:
    """The vm_area_structs of a task; none of a kernel thread."""
    if task.mm:
        yield from task.mm.mmap.walk_list("vm_next")


def name_of(area, task) -> str:
    """What /proc/PID/maps shows behind an area that is of no file.

    The kernel's own mappings have a name, behind vm_private_data since 3.16 ("x86, mm: Improve
    _install_special_mapping and fix x86 vdso naming").
    """
    mm = area.m("vm_mm")
    if area.vm_ops and area.vm_ops == area.obj_profile.get_constant("special_mapping_vmops", is_address=True):
        return str(area.vm_private_data.dereference_as("vm_special_mapping").name.dereference_as("String"))
    if area.vm_start <= mm.brk and area.vm_end >= mm.start_brk:
        return "[heap]"
    if area.vm_start <= mm.start_stack <= area.vm_end:
        return "[stack]"
    return ""


@replaces(proc_maps.ProcMaps, "collect")
def collect_maps(plugin):
    """As Rekall's own, with the kernel's rules for names: it tells heaps of several areas, and the vdso, apart."""
    for task in plugin.filter_processes():
        if not task.mm:
            continue
        yield dict(divider=f"Proc {task.name} ({task.pid})")
        for area in areas_of(task):
            row = dict(task=task, start=area.vm_start, end=area.vm_end, flags=area.vm_flags, pgoff=0, major=0, minor=0,
                       inode=0)
            if area.vm_file:
                inode = area.vm_file.dentry.d_inode
                row.update(pgoff=area.vm_pgoff << 12, major=inode.i_sb.major, minor=inode.i_sb.minor, inode=inode.i_ino,
                           file_path=task.get_path(area.vm_file))
            else:
                row.update(file_path=name_of(area, task))
            yield row


@replaces(proc_maps.LinuxVADMap, "collect")
def collect_pages(plugin):
    """Runs of pages that are mapped, or not, alike.

    Rekall's own gives each run the address of the one behind it, counts a first page that there is not, and comments on
    where a page is in physical memory with where it is mapped.
    """
    exact = plugin.plugin_args.verbosity >= _VERBOSE
    for task in plugin.filter_processes():
        if not task.mm:
            continue
        yield dict(_EPROCESS=task, Divider=f"Pid: {task.pid} {task.name}\n")
        with plugin.session.plugins.cc() as context:
            context.SwitchProcessContext(task)
            for start, length, physical, metadata in _alike(plugin.GeneratePageMetatadata(task), exact):
                kind = metadata.get("type")
                yield dict(VAddr=start, PAddr=physical, length=length, type=kind,
                           comment=plugin.FormatMetadata(kind, metadata, physical))


def _alike(pages, exact: bool) -> Iterator[Tuple[int, int, Optional[int], dict]]:
    """(first address, bytes, first page's physical address, what is known of them) of pages in a row.

    pages: (address, what is known) of each. exact: whether a run's pages have to follow each other in physical memory, too.
    """
    start = length = 0
    physical = known = None
    for address, metadata in pages:
        offset = metadata.pop("offset", None)
        follows = not exact or offset is None or physical is None or offset == physical + length
        if length and address == start + length and metadata == known and follows:
            length += _PAGE
            continue
        if length:
            yield start, length, physical, known
        start, length, physical, known = address, _PAGE, offset, metadata
    if length:
        yield start, length, physical, known


@replaces(inspection.MemoryTranslation, "collect")
def translations(plugin):
    """As Rekall's own, which ends in an AttributeError at what is not mapped, or not in the image."""
    space, address = plugin.session.GetParameter("default_address_space"), int(plugin.plugin_args.address)
    while space is not None:
        run = space.vtop_run(address)
        if run is None:
            raise PluginError(f"{address:#x} is not there in {plugin._GetASName(space)}: it is not mapped, or not in the image")
        if run.address_space == space:
            return
        yield plugin._GetASName(space), address, plugin._GetASName(run.address_space), run.file_offset
        space, address = run.address_space, run.file_offset


@replaces(proc_maps.LinVadDump, "render")
def write_areas(plugin, renderer):
    """Writes each area of each process to a file of its own.

    Rekall's own passes over what is of no file: heaps, stacks, and where code was injected.
    """
    for task in plugin.filter_processes():
        if not task.mm:
            continue
        renderer.format("Pid: {0:6}\n", task.pid)
        space = task.get_process_address_space()
        for area in areas_of(task):
            start, end = int(area.vm_start), int(area.vm_end)
            filename = f"{task.comm}.{task.pid}.{start:08x}-{end:08x}.dmp"
            renderer.format("Writing {0}, pid {1} to {2}\n", task.comm, task.pid, filename)
            with renderer.open(directory=plugin.dump_dir, filename=filename, mode="wb") as file:
                plugin.CopyToFile(space, start, end, file)


@replaces(core.DirectoryDumperMixin, "CopyToFile")
def copy_to_file(plugin, address_space, start, end, out):
    """Writes what is mapped from start to end, each byte at its distance from start.

    Rekall's own goes on into what is mapped right behind the end.
    """
    for run in address_space.get_address_ranges(start=start, end=end):
        for address in range(max(run.start, start), min(run.end, end), _AT_ONCE):
            plugin.session.report_progress("Dumping %s MB", (address - start) >> 20)
            out.seek(address - start)
            out.write(address_space.read(address, min(_AT_ONCE, min(run.end, end) - address)))


@replaces(pas2kas.LinPas2VasResolver, "GetTaskStruct")
def owner_of_page_tables(resolver, address):
    """A task, or the word by which Rekall calls the kernel, and of which it would make a task, too."""
    return address if isinstance(address, str) else resolver.session.profile.task_struct(address)


@replaces(pas2kas.LinPas2VasResolver, "build_address_map")
def address_map(resolver, dtb, userspace=True):
    """(physical address, bytes, virtual address) of each run, behind one of nothing: Rekall's own never finds the first."""
    return [(-1, 0, 0), *any_pas2kas.Pas2VasResolver.build_address_map(resolver, dtb, userspace=userspace)]


def apply(profile: obj.Profile) -> None:
    """Gives mm_struct its list of areas back, where it is a tree."""
    profile.add_classes({"PermissionFlags": Permissions})
    if "mmap" not in members_of(profile, "mm_struct") and "mm_mt" in members_of(profile, "mm_struct"):
        profile.add_overlay({"mm_struct": [None, {"mmap": Areas}]})
