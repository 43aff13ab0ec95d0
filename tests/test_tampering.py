"""What a rootkit changes is found, named and nothing else is; and whatever a list or a pointer was made to be, a plugin ends.

On copies of the images of test_linux_plugins.py in which bytes were changed. That the images as they are give nothing is
tested there.
"""
from __future__ import annotations

import struct
from collections import Counter

import linux_plugins
import pytest
from rekall.plugins.overlays.basic import container_of

from rekall_layout_expert.plugin.linux import checks
from rekall_layout_expert.plugin.linux.lists import xarray_entries
from rekall_layout_expert.plugin.linux.modules import modules_of_sysfs
from rekall_layout_expert.plugin.linux.mounts import mounts_of
from test_linux_plugins import connection_of, connections_of

KERNELS = sorted(path.name for path in linux_plugins.FIXTURES.glob("*") if path.is_dir())
# Values that a pointer, a count or a link may be made to have.
NULL, ASTRAY, HUGE, ODD = 0, 0xFFFF_9EAD_0000_0000, 1 << 63, 0x4141_4141_4141_4141


@pytest.fixture(params=KERNELS)
def tampered(request, tmp_path):
    """Gives a runner of plugins on this kernel's image, edited."""
    def edited(edit):
        rekall = linux_plugins.tampered_with(linux_plugins.FIXTURES / request.param, tmp_path / "tampered", edit)
        return lambda name, **arguments: linux_plugins.run(rekall, name, **arguments)

    return edited


@pytest.fixture(params=KERNELS)
def untouched(request, tmp_path):
    """(runner of plugins on the image as it is, what the guest told)."""
    rekall, truth = linux_plugins.open_fixture(linux_plugins.FIXTURES / request.param, tmp_path)
    return lambda name, **arguments: linux_plugins.run(rekall, name, **arguments), truth


# -- places in an image, and what is written there ---------------------------------------------------------------------


def word(value):
    return struct.pack("<Q", value & (1 << 64) - 1)


def canonical(address):
    """All 64 bits of an address of the kernel, of which Rekall keeps 48."""
    return int(address) | 0xFFFF << 48


def raw(structure, member):
    """All 64 bits of a pointer."""
    return struct.unpack("<Q", structure.obj_vm.read(structure.m(member).obj_offset, 8))[0]


def pointing(structure, member, value):
    """The edit that makes a member of a struct a value."""
    return {structure.m(member).obj_offset: word(value)}


def unlinked(node):
    """The edit that takes a list_head out of its list."""
    return {node.prev.v(): word(raw(node, "next")), node.next.v() + 8: word(raw(node, "prev"))}


def a_module(rekall):
    return next(iter(rekall.plugins.lsmod().get_module_list()))


def in_module(rekall):
    """An address in the text of a module that is listed."""
    return canonical(a_module(rekall).base) + 16


def in_nothing(rekall):
    """An address of the kernel's half that is neither in the kernel nor in a module."""
    return canonical(rekall.GetParameter("page_offset")) + 0x1230


def room(rekall):
    """A page that can be read and that none of these plugins reads: of the log's text."""
    profile, vm = rekall.profile, rekall.kernel_address_space
    ring = profile.get_constant_object("prb", target="Pointer", vm=vm, target_args=dict(target="printk_ringbuffer")).deref()
    return (int(ring.text_data_ring.data) | 0xFFF) + 1


def variable(rekall, name, kind):
    return rekall.profile.get_constant_object(name, target=kind, vm=rekall.kernel_address_space)


def process(rekall, name):
    return next(task for task in rekall.plugins.pslist().filter_processes() if task.comm == name)


def marked(rows):
    return [row for row in rows if isinstance(row, dict) and row.get("highlight")]


# -- what is found -----------------------------------------------------------------------------------------------------


def test_gates_that_lead_into_a_module_and_into_nothing(tampered):
    def hook(rekall):
        gates = rekall.profile.get_constant("idt_table", is_address=True)
        return {**gate(gates + 16 * 0x80, in_module(rekall)), **gate(gates + 16 * 14, in_nothing(rekall))}

    run = tampered(hook)
    found = marked(run("check_idt").rows)
    assert [row["index"] for row in found] == [14, 0x80]
    assert found[0]["symbol"] == "Unknown" and found[1]["symbol"].endswith("+0x10")


def gate(place, address):
    """The edit that lets a gate lead to an address: its bits are in three parts."""
    return {place: struct.pack("<H", address & 0xFFFF), place + 6: struct.pack("<HI", address >> 16 & 0xFFFF, address >> 32)}


def test_two_tasks_that_share_credentials(tampered):
    run = tampered(lambda rekall: pointing(process(rekall, "sleep"), "cred", raw(process(rekall, "bash"), "cred")))
    assert sorted(row["task"]["comm"] for row in marked(run("check_creds").rows)) == ["bash", "sleep"]


def test_tasks_that_share_no_credentials(untouched):
    run, _ = untouched
    rows = run("check_creds").rows
    assert rows and not marked(rows)


def test_function_that_reads_along_at_a_terminal(tampered):
    def hook(rekall):
        driver = variable(rekall, "tty_drivers", "list_head")
        for driver in driver.list_of_type("tty_driver", "tty_drivers"):
            for tty in driver.ttys.deref() if driver.ttys else ():
                if tty:
                    return pointing(tty.ldisc.ops, "receive_buf", in_module(rekall))

    row, = tampered(hook)("check_ttys").rows
    assert row["name"] == "ttyS0" and row["symbol"].endswith("+0x10") and row["highlight"]


def test_function_in_the_operations_that_files_share(tampered):
    expected = []

    def hook(rekall):
        files = [(task, file) for task, file, _ in rekall.plugins.lsof().lsof()]
        operations = next(file.f_op for task, file in files if task.comm == "bash")
        expected.extend(sorted(int(task.pid) for task, file in files if file.f_op == operations))
        return pointing(operations, "release", in_module(rekall))

    found = marked(tampered(hook)("check_task_fops").rows)
    assert sorted(row["task"]["pid"] for row in found) == expected
    assert {(row["member"], row["module"].endswith("+0x10")) for row in found} == {("release", True)}


def test_operations_of_one_file(tampered):
    def hook(rekall):
        file = next(file for task, file, _ in rekall.plugins.lsof().lsof() if task.comm == "bash")
        place, size = room(rekall), rekall.profile.get_obj_size("file_operations")
        copied = rekall.kernel_address_space.read(int(file.f_op), size)
        at = rekall.profile.get_obj_offset("file_operations", "write")
        return {place: copied[:at] + word(in_nothing(rekall)) + copied[at + 8:], **pointing(file, "f_op", canonical(place))}

    found = marked(tampered(hook)("check_task_fops").rows)
    assert {(row["task"]["comm"], row["member"], row["module"]) for row in found} == {("bash", "write", "Unknown")}


def test_functions_of_proc(tampered):
    """Of an entry's operations, of its sequence, and of the directory that is /proc itself."""
    def hook(rekall):
        plugin = rekall.plugins.check_proc_fops()
        entries = {path: entry for entry, path in checks.entries_of_proc(plugin)}
        version, devices, root = entries["/proc/version"], entries["/proc/devices"], next(plugin.check_proc_fop())[0]
        return {**pointing(version, "single_show", in_nothing(rekall)),
                **pointing(devices.seq_ops, "next", in_module(rekall)),
                **pointing(root.d_inode.i_fop, "iterate_shared", in_module(rekall))}

    found = {(row["path"], row["member"]): row["module"] for row in marked(tampered(hook)("check_proc_fops").rows)}
    assert found.pop(("/proc/version", "single_show")) == "Unknown"
    # The directory's functions are those of its entry, too.
    assert set(found) == {("/proc/devices", "next"), ("/proc/", "iterate_shared"), ("/proc", "iterate_shared")}
    assert all(where.endswith("+0x10") for where in found.values())


def test_functions_of_protocols(tampered):
    def hook(rekall):
        return {**pointing(variable(rekall, "tcp4_seq_ops", "seq_operations"), "show", in_module(rekall)),
                **pointing(variable(rekall, "udp6_seq_ops", "seq_operations"), "stop", in_nothing(rekall))}

    found = {(row["symbol"], row["member"]): row["module"] for row in marked(tampered(hook)("check_afinfo").rows)}
    assert found.pop(("udp6_seq_ops", "stop")) == "Unknown"
    assert list(found) == [("tcp4_seq_ops", "show")] and found["tcp4_seq_ops", "show"].endswith("+0x10")


def test_who_is_told_of_keys(tampered):
    def hook(rekall):
        head, place = variable(rekall, "keyboard_notifier_list", "atomic_notifier_head"), room(rekall)
        block = struct.pack("<QQi", in_module(rekall), 0, 7)
        return {place: block, **pointing(head, "head", canonical(place))}

    (name, index, priority, _, module, symbol), = [row for row in tampered(hook)("notifier_chains").rows
                                                   if row[0] == "keyboard_notifier_list"]
    assert (name, index, priority) == ("keyboard_notifier_list", 0, 7)
    assert module and symbol == module + "+0x10"


def test_system_call_that_leads_into_a_module(tampered):
    run = tampered(lambda rekall: {
        rekall.profile.get_constant("sys_call_table", is_address=True) + 8 * 2: word(in_module(rekall))})
    marked_rows = marked(run("check_syscall").rows)
    assert [(row["table"], row["index"]) for row in marked_rows] == [("sys_call_table", 2)]
    assert marked_rows[0]["symbol"][0].endswith("+0x10")


def test_last_system_call_of_each_table(tampered):
    """The tables' ends are where the kernel's code has them, whatever is in the last entries."""
    last = []

    def hook(rekall):
        last.extend((name, count - 1) for name, count in rekall.plugins.check_syscall().Find_sys_call_tables())
        return {rekall.profile.get_constant(name, is_address=True) + 8 * index: word(in_nothing(rekall)) for name, index in last}

    rows = tampered(hook)("check_syscall").rows
    assert [(row["table"], row["index"]) for row in marked(rows)] == last and len(rows) == sum(
        index + 2 for _, index in last)


@pytest.mark.parametrize("code, count", [
    ("483dd7010000 7714", 472), ("3dd8010000 4819c0", 472), ("81fed7010000 0f8710000000", 472), ("4881ffd8010000 7305", 472),
    ("81fed8010000 19c0", 472), ("3dd7010000 7614", 472)])
def test_how_many_system_calls_there_are_is_in_comparisons(code, count):
    assert checks._counts_in(b"\x90\x3d" + bytes.fromhex(code.replace(" ", "")) + b"\xc3") == {count}


def test_module_that_is_not_in_the_list_of_modules(tampered):
    run = tampered(lambda rekall: unlinked(next(
        module for module in rekall.plugins.lsmod().get_module_list() if str(module.name) == "dummy").m("list")))
    assert "dummy" not in {row["name"] for row in run("lsmod").rows}
    assert {row["mod_name"]: row["known"] for row in run("check_modules").rows}["dummy"] is False


def test_function_in_a_module_that_is_not_in_the_list_is_marked_and_named(tampered):
    def hook(rekall):
        module = a_module(rekall)
        return {**unlinked(module.m("list")), **pointing(
            variable(rekall, "tcp4_seq_ops", "seq_operations"), "show", in_module(rekall))}

    row, = marked(tampered(hook)("check_afinfo").rows)
    assert row["member"] == "show" and row["module"].endswith("+0x10")


def test_task_that_is_not_in_the_list_of_tasks(tampered):
    run = tampered(lambda rekall: unlinked(process(rekall, "sleep").tasks))
    listed = {row["proc"]["pid"] for row in run("pslist").rows}
    hidden = [row for row in run("psxview").rows if row[3:] == [False, True]]
    assert len(hidden) == 1 and hidden[0][1] == "sleep" and hidden[0][2] not in listed


def test_task_that_has_no_number(tampered):
    def hide(rekall):
        task, namespace = process(rekall, "sleep"), variable(rekall, "init_pid_ns", "pid_namespace")
        link = "pid_links" if "pid_links" in rekall.profile.vtypes["task_struct"][1] else "pids"
        for _, _, address in xarray_entries(namespace.idr.idr_rt):
            first = rekall.profile.pid(offset=address, vm=task.obj_vm).tasks[0].first
            if first and container_of(first, "task_struct", link) == task:
                return {first.obj_offset: word(0)}

    hidden = [row for row in tampered(hide)("psxview").rows if row[3:] == [True, False]]
    assert [row[1] for row in hidden] == ["sleep"]


def test_sockets_of_a_task_that_is_not_in_the_list_of_tasks(tampered):
    hidden = []

    def hide(rekall):
        owner = next(task for task, _, _, _ in rekall.plugins.netstat().sockets() if task.comm == "python3")
        hidden.extend(row[:6] for row in linux_plugins.run(rekall, "netstat").rows if row[6:] == [int(owner.pid), "python3"])
        return unlinked(owner.tasks)

    rows = tampered(hide)("netstat").rows
    assert hidden and sorted(row[:6] for row in rows if row[6:] == ["-", "(not listed)"]) == sorted(hidden)


def test_connections_that_no_process_holds(untouched):
    """While they are closed, and before they are accepted or even there: all that the kernel tells of."""
    run, truth = untouched
    _, told = connections_of(truth)
    rows = run("netstat").rows
    listed = Counter(connection_of(row) for row in rows[:rows.index("section")] if row[6:] == ["-", "-"])
    assert listed == told
    assert {"SYN_RECV", "TIME_WAIT", "FIN_WAIT2", "ESTABLISHED"} <= {state for *_, state in told}


# -- what leads astray -------------------------------------------------------------------------------------------------


PLUGINS = ("pslist", "psaux", "pstree", "psxview", "pidhashtable", "lsmod", "lsmod_sections", "lsmod_parameters", "moddump",
           "lsof", "netstat", "ifconfig", "arp", "mount", "dmesg", "cpuinfo", "iomem", "maps", "bash", "check_idt", "check_creds",
           "check_ttys", "check_task_fops", "check_afinfo", "check_modules", "check_syscall", "check_proc_fops",
           "notifier_chains", "pkt_queues", "mls")
MAY_BE_EMPTY = ("notifier_chains", "check_ttys", "pkt_queues")
ARGUMENTS = {"moddump": dict(dump_dir="."), "pkt_queues": dict(dump_dir="."), "mls": dict(path="/root"),
             "check_task_fops": dict(all=True), "check_proc_fops": dict(all=True)}


def spots(rekall):
    """{what: address of 8 bytes} of links, counts and pointers that these plugins follow, none of which all others hang on."""
    profile, vm = rekall.profile, rekall.kernel_address_space
    task, other, first = (process(rekall, name) for name in ("sleep", "bash", "init"))
    listed = list(rekall.plugins.lsmod().get_module_list())
    files = [file for owner, file, _ in rekall.plugins.lsof().lsof() if owner.comm == "python3"]
    sockets = [sock for _, _, sock, _ in rekall.plugins.netstat().sockets()]
    entries = {path: entry for entry, path in checks.entries_of_proc(rekall.plugins.check_proc_fops())}
    mounts = [mount for mount in mounts_of(task.nsproxy.mnt_ns)]
    kobject = next(kobject for _, kobject in modules_of_sysfs(rekall))
    device = next(device for device in rekall.plugins.ifconfig().get_devs_namespace())
    last = listed[-1]
    terminals = next(iter(variable(rekall, "tty_drivers", "list_head").list_of_type("tty_driver", "tty_drivers")))
    return {
        "credentials": task.m("cred"), "mm": task.m("mm"), "sibling": task.sibling.m("next"),
        "children": other.children.m("next"), "files": task.m("files"), "descriptors": other.files.fdt.m("fd"),
        "count of descriptors": first.files.fdt.m("max_fds"), "operations": files[0].m("f_op"),
        "entry of a file": files[1].f_path.m("dentry"), "mount of a file": files[2].f_path.m("mnt"),
        "module": last.m("list").m("next"), "sections": last.m("sect_attrs"), "parameters": last.m("kp"),
        "count of parameters": last.m("num_kp"), "name of a kobject": kobject.m("name"), "kobject": kobject.entry.m("next"),
        "gate": profile.get_constant("idt_table", is_address=True) + 16 * 3,
        "call": profile.get_constant("sys_call_table", is_address=True) + 24,
        "sequence": profile.get_constant("tcp4_seq_ops", is_address=True),
        "entry of /proc": entries["/proc/version"].multi_m("proc_ops", "proc_fops"),
        "subdirectory": entries["/proc/fs"].subdir.m("rb_node"), "name": entries["/proc/devices"].m("name"),
        "notifiers": profile.get_constant("keyboard_notifier_list", is_address=True) + 8,
        "mounts": mounts[-1].mnt_mounts.m("next"), "place of a mount": mounts[-2].m("mnt_mountpoint"),
        "super block": mounts[-3].mnt.m("mnt_sb"), "parent of a mount": mounts[-4].m("mnt_parent"),
        "packet": sockets[0].sk_receive_queue.m("next"), "addresses of a device": device.m("ip_ptr"),
        "resource": profile.get_constant_object("iomem_resource", target="resource", vm=vm).child.deref().m("sibling"),
        "number of terminals": terminals.m("num"),
    }


@pytest.mark.parametrize("value", [
    NULL, *(pytest.param(value, marks=pytest.mark.slow) for value in (ASTRAY, HUGE, ODD, None))],
    ids=["null", "astray", "huge", "odd", "itself"])
def test_whatever_is_written_over_links_and_counts_plugins_end_with_the_rest(tampered, value):
    """`itself`: a pointer to where it stands."""
    def spoil(rekall):
        places = {what: int(getattr(place, "obj_offset", place)) for what, place in spots(rekall).items()}
        return {place: word(canonical(place) if value is None else value) for place in places.values()}

    run = tampered(spoil)
    for name in PLUGINS:
        found = run(name, **ARGUMENTS.get(name, {}))
        assert found.rows or found.files or name in MAY_BE_EMPTY, name


@pytest.mark.parametrize("link", ["next", "prev"])
def test_list_that_leads_astray_ends(tampered, link):
    def loop(rekall):
        task = process(rekall, "sleep")
        return {task.sibling.m(link).obj_offset: word(canonical(task.sibling.obj_offset))}

    run = tampered(loop)
    assert run("pstree").rows and run("pslist").rows
