"""Tables of functions that are looked at for tampering: whether each leads to where its owner's functions are.

What the kernel itself holds leads into its own text. What a module holds, or what was allocated, may lead into any module
that is listed: drivers share functions. Rekall marks only what has no name at all, and so nothing that leads into a module
which did not take the trouble to hide, nor what leads into the kernel's data.
"""
from __future__ import annotations

import bisect
import re
import struct
from typing import Iterator, List, Optional, Set, Tuple

from rekall import obj
from rekall.plugins.linux import check_afinfo, check_fops, check_idt, check_syscall, check_tty
from rekall_lib import utils

from rekall_layout_expert.plugin.linux.lists import depth_first, is_readable, list_entries, rb_entries
from rekall_layout_expert.plugin.linux.files import children_of
from rekall_layout_expert.plugin.linux.mounts import mounts_of
from rekall_layout_expert.plugin.linux.paths import has_mounts
from rekall_layout_expert.plugin.linux.replacing import members_of, need, replaces

# There are 326 calls in 4.4 and 472 in 7.2; x32 has 548, as it begins at 512.
_FEWEST_CALLS, _MOST_CALLS = 256, 2048
# The functions that compare a call's number with how many there are. Others, or the same by their older names, hold the
# rest of the way to the table.
_DISPATCHERS = {
    "sys_call_table": ("do_syscall_64", "entry_SYSCALL_64_fastpath", "tracesys_phase2"),
    "ia32_sys_call_table": ("do_int80_syscall_32", "do_syscall_32_irqs_on", "do_fast_syscall_32", "__do_fast_syscall_32"),
    "x32_sys_call_table": ("do_syscall_64",),
}
_LONGEST_DISPATCHER = 4096
# cmp $imm32, %reg, and what tells whether the number is how many there are (jae, jb, sbb) or the last (ja, jbe).
_COMPARISON = re.compile(rb"(?:\x3d|\x81[\xf8-\xff])(.{4})"
                         rb"(?:(\x73|\x72|\x0f\x83|\x0f\x82|[\x48-\x4f]?[\x19\x1b])|\x77|\x76|\x0f\x87|\x0f\x86)", re.S)
_EXCEPTIONS, _LONGEST_EARLY_HANDLER = 32, 16
_POINTER = 8
_DIRECTORY = 0o040000
_FILE_TYPE = 0o170000
_MOST_TTYS = 1 << 16
# What entries of /proc have whose functions are in themselves, since 5.6 and before.
_SINGLE = ("proc_single_ops", "proc_net_single_ops", "proc_single_fops", "proc_net_single_fops")
_SEQUENCE = ("proc_seq_ops", "proc_net_seq_ops", "proc_seq_fops", "proc_net_seq_fops")
_SEQUENCES = ("tcp4_seq_ops", "tcp6_seq_ops", "udp_seq_ops", "udp6_seq_ops", "raw_seq_ops", "raw6_seq_ops", "unix_seq_ops",
              "packet_seq_ops")


def names_of(session, address: int) -> str:
    return ", ".join(session.address_resolver.format_address(address)) or "Unknown"


def highlight_of(session, function: int, holder: Optional[int] = None) -> Optional[str]:
    """How a function is shown that operations at an address hold, or the kernel: "important" if it is not where it may be."""
    if holder is None or is_of_kernel(session, holder):
        return None if is_text_of_kernel(session, function) else "important"
    module = session.address_resolver.GetContainingModule(function)
    return None if is_text_of_kernel(session, function) or getattr(module, "is_listed", False) else "important"


def is_of_kernel(session, address: int, end: str = "_end") -> bool:
    """Whether an address is in the kernel's own image, between the symbols _text and `end`."""
    start, end = (session.profile.get_constant(name, is_address=True) for name in ("_text", end))
    return bool(start and end and start <= obj.Pointer.integer_to_address(address) < end)


def is_text_of_kernel(session, address: int) -> bool:
    return is_of_kernel(session, address, "_etext" if session.profile.get_constant("_etext") else "_end")


def functions_in(operations) -> Iterator[Tuple[str, obj.Struct]]:
    """(member, function) of each pointer to a function that a struct holds, which may be given by a pointer to it."""
    operations = operations.deref() if isinstance(operations, obj.Pointer) else operations
    for member in sorted(members_of(operations.obj_profile, operations.obj_type)):
        pointer = operations.m(member)
        # Operations hold numbers, too, since 5.6 (proc_ops.proc_flags) and 6.10 (file_operations.fop_flags).
        if isinstance(pointer, obj.Pointer) and pointer and member != "owner":
            yield member, pointer.dereference_as(target="Function", target_args=dict(name=member))


# -- system calls ------------------------------------------------------------------------------------------------------


@replaces(check_syscall.CheckSyscall, "Find_sys_call_tables",
          lambda profile: not profile.get_constant("system_call") and not profile.get_constant("system_call_fastpath"))
def tables_of_calls(plugin):
    """(name, number of entries) of each table.

    How many there are is in the code that compares the number of a call with it, since 4.6 in C ("x86/entry/64: Migrate the
    64-bit syscall slow path to C"). Where that cannot be read, a table ends before the next symbol, with the last entry that
    is a function's beginning: tables for the compiler's switches, which have no names, may lie between.
    """
    profile = plugin.profile
    addresses = sorted({address for address in profile.constants.values() if isinstance(address, int)})

    def following(address: int) -> int:
        index = bisect.bisect_right(addresses, address)
        return addresses[index] if index < len(addresses) else address

    for name, dispatchers in _DISPATCHERS.items():
        start = profile.get_constant(name)
        if not start:
            continue
        room = min((following(start) - start) // _POINTER, _MOST_CALLS)
        counts = set()
        for dispatcher in dispatchers:
            code = profile.get_constant(dispatcher)
            if code:
                counts |= _counts_in(plugin.kernel_address_space.read(
                    profile.get_constant(dispatcher, is_address=True), min(following(code) - code, _LONGEST_DISPATCHER)))
        counts = {count for count in counts if _FEWEST_CALLS <= count <= room}
        # One function may compare with the numbers of two tables, of which x32's is the longer.
        yield name, (max if name.startswith("x32") else min)(counts) if counts else _named_entries(plugin, name, room)


def _counts_in(code: bytes) -> Set[int]:
    """The numbers of things that comparisons in machine code may be with."""
    return {int.from_bytes(found[1], "little") + (not found[2]) for found in _COMPARISON.finditer(code)}


def _named_entries(plugin, name: str, room: int) -> int:
    """How many entries a table has up to the last one that is where a function of the kernel begins."""
    content = plugin.kernel_address_space.read(plugin.profile.get_constant(name, is_address=True), room * _POINTER)
    entries = [entry for entry, in struct.iter_unpack("<Q", content)]
    while entries and not (is_text_of_kernel(plugin.session, entries[-1])
                           and plugin.profile.get_constant_by_address(entries[-1])):
        entries.pop()
    return len(entries)


@replaces(check_syscall.CheckSyscall, "collect")
def calls(plugin):
    """As Rekall's own, which warns of what has no name at all, but not of what is not in the kernel itself.

    6.9 "x86/syscall: Don't force use of indirect calls for system calls" (and stable kernels of 2024) calls by
    x64_sys_call(): the table is left for tracing, and who alters it changes no call. The line above it says so.
    """
    profile = plugin.profile
    is_unused = bool(profile.get_constant("x64_sys_call"))
    for table_name, size in plugin.Find_sys_call_tables():
        note = " (this kernel calls by x64_sys_call() and reads the table for tracing only)" if is_unused else ""
        yield dict(divider=f"Table {table_name}{note}")
        table = profile.get_constant_object(table_name, target="Array", target_args=dict(
            count=size, target="Pointer", target_args=dict(target="Function")))
        for index, entry in enumerate(table):
            names = tuple(plugin.session.address_resolver.format_address(int(entry))[:2])
            yield dict(table=table_name, index=index, address=entry, symbol=names or "Unknown",
                       highlight=None if is_text_of_kernel(plugin.session, int(entry)) else "important")


# -- interrupts --------------------------------------------------------------------------------------------------------


@replaces(check_idt.CheckIdt, "collect")
def gates(plugin):
    """As Rekall's own, which takes a gate for the kernel's by the name of what it leads to.

    Exceptions that processors do not have keep the gates of the kernel's start.
    """
    early = plugin.profile.get_constant("early_idt_handler_array", is_address=True)
    for index, gate in plugin.CheckIDTTables():
        address = int(gate.address)
        is_own = is_text_of_kernel(plugin.session, address) or not (int(gate.present) or address) or bool(
            early and index < _EXCEPTIONS and early <= address < early + _EXCEPTIONS * _LONGEST_EARLY_HANDLER)
        yield dict(index=index, address=gate.address, type=gate.gate_type, present=gate.present, dpl=gate.dpl,
                   symbol=names_of(plugin.session, address), highlight=None if is_own else "important")


# -- files of /proc, and open files ------------------------------------------------------------------------------------


@replaces(check_fops.CheckProcFops, "_check_members")
def check_members(plugin, operations, members):
    return functions_in(operations)


@replaces(check_fops.CheckProcFops, "collect")
def functions_of_proc(plugin):
    for is_root, found in (True, plugin.check_proc_fop()), (False, plugin.check_fops()):
        for entry, path, member, function in found:
            # Inodes of /proc are the kernel's own, also those of modules' entries.
            holder = None if is_root else function.obj_parent.obj_offset
            highlight = highlight_of(plugin.session, function.obj_offset, holder)
            if highlight or plugin.plugin_args.all:
                yield dict(dir_entry=entry, path=path, member=member, address=function,
                           module=names_of(plugin.session, function.obj_offset), highlight=highlight)


@replaces(check_fops.CheckTaskFops, "collect")
def functions_of_tasks(plugin):
    for task, member, function in plugin.check_fops():
        highlight = highlight_of(plugin.session, function.obj_offset, function.obj_parent.obj_offset)
        if highlight or plugin.plugin_args.all:
            yield dict(task=task, member=member, address=function, module=names_of(plugin.session, function.obj_offset),
                       highlight=highlight)


@replaces(check_fops.CheckProcFops, "check_proc_fop")
def check_root_of_proc(plugin):
    """The operations of the inodes of /proc's root directory and of what is in it.

    Rekall's variable proc_mnt became one of each pid namespace, and 5.8 "proc: allow to mount many instances of proc in one
    pid namespace" made an end of that.
    """
    if not has_mounts(plugin.session.profile):
        return
    task = next((task for task in plugin.session.plugins.pslist().filter_processes() if task.mm and task.nsproxy), None)
    for mount in mounts_of(task.nsproxy.mnt_ns) if task else ():
        if utils.SmartUnicode(mount.mnt.mnt_sb.s_type.name.deref()) == "proc":
            root = mount.mnt.mnt_root
            for entry in [root.deref()] + list(children_of(root)):
                name = "/proc/" + utils.SmartUnicode(entry.d_name.name.deref()).strip("/")
                for operations in (entry.d_inode.i_fop, entry.d_inode.i_op) if entry.d_inode else ():
                    for member, function in functions_in(operations):
                        yield entry, name, member, function
            return


@replaces(check_fops.CheckProcFops, "check_fops", lambda profile: "subdir_node" in members_of(profile, "proc_dir_entry")
          or not members_of(profile, "proc_dir_entry"))
def check_entries_of_proc(plugin):
    """All functions that entries of /proc lead to.

    3.19 "fs/proc: use a rb tree for the directory entries"; 4.18 put functions of sequences into the entry (commit
    fddda2b7b521); 5.6 "proc: decouple proc from VFS with "struct proc_ops"".
    """
    need(plugin.session.profile, "proc_dir_entry", "fs/proc/internal.h")
    for entry, path in entries_of_proc(plugin):
        for operations in operations_of(entry):
            for member, function in functions_in(operations):
                yield entry, path, member, function
        if _is_one_of(entry, _SINGLE) and entry.single_show:
            yield entry, path, "single_show", entry.single_show.dereference_as(target="Function")


def operations_of(entry) -> List[obj.Pointer]:
    """Pointers to the structs of functions of a proc_dir_entry."""
    found = [entry.m("proc_iops")]
    if int(entry.mode) & _FILE_TYPE == _DIRECTORY:
        found.append(entry.multi_m("proc_dir_ops", "proc_fops"))
    else:
        found.append(entry.multi_m("proc_ops", "proc_fops"))
        if _is_one_of(entry, _SEQUENCE):
            found.append(entry.m("seq_ops"))
    return [pointer for pointer in found if pointer]


def _is_one_of(entry, symbols) -> bool:
    """Whether an entry's operations are one of these variables."""
    operations = int(entry.multi_m("proc_ops", "proc_fops"))
    return any(entry.obj_profile.get_constant(symbol, is_address=True) == operations for symbol in symbols)


def entries_of_proc(plugin) -> Iterator[Tuple[obj.Struct, str]]:
    """(proc_dir_entry, path) of each, those of network namespaces after the others."""
    profile, vm = plugin.profile, plugin.kernel_address_space
    stack = [(profile.get_constant_object("proc_root", target="proc_dir_entry", vm=vm), "/proc")]
    namespaces = profile.get_constant_object("net_namespace_list", target="list_head", vm=vm)
    for namespace in list_entries(namespaces, "net", "list"):
        if namespace.m("proc_net"):
            stack.insert(0, (namespace.proc_net.deref(), "/proc/self/net"))
    return depth_first(stack, lambda entry, path: (
        (child, f"{path}/{utils.SmartUnicode(child.Name)}")
        for child in rb_entries(entry.subdir, "proc_dir_entry", "subdir_node")))


# -- the rest ----------------------------------------------------------------------------------------------------------


@replaces(check_afinfo.CheckAFInfo, "check_functions", lambda profile: "seq_ops" not in members_of(profile, "tcp_seq_afinfo")
          and bool(profile.get_constant("tcp4_seq_ops")))
def sequences(plugin, checks):
    """(variable, member, function) of what is behind /proc/net/tcp and its like.

    4.18, with what makes an entry of a sequence, took them out of tcp_seq_afinfo and udp_seq_afinfo: they are in
    seq_operations of their own.
    """
    del checks
    for name in _SEQUENCES:
        if plugin.profile.get_constant(name):
            operations = plugin.profile.get_constant_object(name, target="seq_operations", vm=plugin.kernel_address_space)
            for member, function in functions_in(operations):
                yield name, member, function


@replaces(check_afinfo.CheckAFInfo, "collect")
def functions_of_protocols(plugin):
    for name, member, function in plugin.check_functions(plugin.CreateChecks()):
        yield dict(symbol=name, member=member, address=function, module=names_of(plugin.session, function.obj_offset),
                   highlight=highlight_of(plugin.session, function.obj_offset, function.obj_parent.obj_offset))


@replaces(check_tty.CheckTTY, "collect")
def terminals(plugin):
    """Each terminal, and the function that receives its input; Rekall's own shows the names of the columns instead."""
    head = plugin.profile.get_constant_object("tty_drivers", target="list_head", vm=plugin.kernel_address_space)
    for driver in list_entries(head, "tty_driver", "tty_drivers"):
        # Drivers of pseudo-terminals have no table of them.
        if not driver.ttys or not 0 < driver.num <= _MOST_TTYS or not is_readable(driver.ttys):
            continue
        for tty in driver.ttys.deref():
            if tty and tty.ldisc:
                operations = tty.ldisc.ops
                function = operations.receive_buf
                # Terminals begin with the kernel's own discipline, number 0; others may be of modules.
                holder = int(operations) if int(operations.num) else None
                yield dict(name=tty.name, address=function, symbol=names_of(plugin.session, int(function)),
                           highlight=highlight_of(plugin.session, int(function), holder))
