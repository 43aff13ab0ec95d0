"""What Rekall's Linux plugins list, field by field against what the guest itself told of the same moment.

The images are of Debian's kernels, of a guest in which tests/guest/workload.py ran, and hold what the plugins read of its
memory and nothing else. tests/images/record.py records them anew.
"""
from __future__ import annotations

import hashlib
import ipaddress
import re
import stat
import struct
import subprocess
import sys
from collections import Counter

import linux_plugins
import pytest
from rekall.plugin import PluginError

PATHS = ("/root/cached", "/run/plain/cached", "/etc/passwd")
KERNELS = sorted(path.name for path in linux_plugins.FIXTURES.glob("*") if path.is_dir())


@pytest.fixture(scope="module", params=KERNELS)
def guest(request, tmp_path_factory):
    """(run a plugin, what the guest told)."""
    rekall, truth = linux_plugins.open_fixture(linux_plugins.FIXTURES / request.param, tmp_path_factory.mktemp(request.param))
    return (lambda name, **arguments: linux_plugins.run(rekall, name, **arguments)), truth


def processes_of(truth):
    """{pid: process} without those that told the truth, and workers, which come and go."""
    return {int(pid): process for pid, process in truth["processes"].items()
            if "truth.py" not in process["command"] and not process["name"].startswith("kworker/") and process["name"]}


def observers(truth):
    """The processes, by number, by which the tests act in the guest: they open and map things while these are listed."""
    return {pid for pid, process in processes_of(truth).items()
            if any(name in process["command"] for name in ("guest/agent.py", "/run/live.py"))}


def is_worker(name):
    return str(name).startswith("kworker/")


def test_images_are_of_several_kernels():
    assert len(KERNELS) >= 4


def test_nothing_of_ours_for_linux_is_imported_before_a_profile_is_loaded():
    code = ("import sys; from rekall import plugins; "
            "sys.exit('rekall_layout_expert.plugin.linux' in sys.modules or 'rekall_layout_expert.plugin' not in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.plugins("pslist")
def test_pslist(guest):
    run, truth = guest
    listed = {row["proc"]["pid"]: (row["ppid"], str(row["uid"]), row["proc"]["comm"], row["binary"])
              for row in run("pslist").rows if not is_worker(row["proc"]["comm"])}
    assert listed == {pid: (process["ppid"], process["uid"], process["name"][:15], process["exe"] or "-")
                      for pid, process in processes_of(truth).items()}


@pytest.mark.plugins("pslist")
def test_starts_of_processes(guest):
    run, truth = guest
    listed = {row["proc"]["pid"]: row["start_time"] for row in run("pslist").rows}
    # Ticks, and when the guest was booted, are rounded, and its clock is set while it starts.
    assert all(abs(listed[pid] - process["start"]) <= 2 for pid, process in processes_of(truth).items())


@pytest.mark.plugins("psaux")
def test_psaux_names_kernel_threads_in_full(guest):
    run, truth = guest
    listed = {pid: command for pid, _, _, command in run("psaux").rows if not is_worker(command.strip("["))}
    assert listed == {pid: process["command"].rstrip("\0").replace("\0", " ") or f"[{process['name']}]"
                      for pid, process in processes_of(truth).items()}


@pytest.mark.plugins("psaux")
def test_psaux_names_workers(guest):
    """What queue a worker works for may have changed since it was told; its own name has not."""
    run, truth = guest
    own_name = re.compile(r"kworker/(R-.*|[^-+]*)")
    listed = {pid: command.strip("[]") for pid, _, _, command in run("psaux").rows if is_worker(command.strip("["))}
    told = {int(pid): process["name"] for pid, process in truth["processes"].items() if is_worker(process["name"])}
    both = set(listed) & set(told)
    assert both and all(own_name.match(told[pid])[0].startswith(own_name.match(listed[pid])[0]) for pid in both)


@pytest.mark.plugins("pstree")
def test_pstree(guest):
    run, truth = guest
    listed = {pid: ppid for pid, ppid, _, _, command in run("pstree").rows if not is_worker(command.strip("["))}
    assert listed.pop(0) == 0
    assert listed == {pid: process["ppid"] for pid, process in processes_of(truth).items()}


@pytest.mark.plugins("psxview", "pidhashtable")
def test_psxview_knows_each_process_by_its_number_too(guest):
    run, truth = guest
    rows = run("psxview").rows
    assert {row[2] for row in rows if not is_worker(row[1])} == set(processes_of(truth))
    assert all(row[3:] == [True, True] for row in rows)


@pytest.mark.plugins("maps")
def test_maps(guest):
    run, truth = guest
    listed = {}
    for row in run("maps").rows:
        if "task" in row:
            listed.setdefault(row["task"]["pid"], []).append(tuple(row[name] for name in (
                "start", "end", "flags", "pgoff", "major", "minor", "inode", "file_path")))
    told = {pid: [map_of(line) for line in process["maps"].splitlines() if "[vsyscall]" not in line]
            for pid, process in processes_of(truth).items() if process["maps"]}
    for pid in observers(truth):
        assert listed.pop(pid) and told.pop(pid)
    assert listed == told


def map_of(line):
    found = re.match(r"(\w+)-(\w+) (...). (\w+) (\w+):(\w+) (\d+) *(.*)", line).groups()
    start, end, offset, major, minor = (int(found[index], 16) for index in (0, 1, 3, 4, 5))
    return start, end, found[2], offset, major, minor, int(found[6]), found[7]


def pages_of(truth):
    """{address: (physical address, digest)} of what the sleeping process has mapped and may read."""
    return {int(address): tuple(page) for address, page in truth["sleeping"]["memory"].items()}


def pages_in(rows, start, length, physical):
    """{address: physical address} of each page in rows of runs."""
    return {row[start] + at: row[physical] + at for row in rows for at in range(0, row[length], 4096)}


@pytest.mark.plugins("vadmap")
def test_vadmap(guest):
    run, truth = guest
    pid = truth["sleeping"]["pid"]
    mapped = [map_of(line)[:2] for line in truth["processes"][str(pid)]["maps"].splitlines()]
    rows = [row for row in run("vadmap", pids=[pid], verbosity=5).rows if "VAddr" in row]
    valid = pages_in([row for row in rows if row["type"] == "Valid"], "VAddr", "length", "PAddr")
    told = {address: physical for address, (physical, _) in pages_of(truth).items()}
    assert len(told) > 100 and {address: valid.get(address) for address in told} == told
    assert all(row["comment"] == "PhysAS @ %#x " % row["PAddr"] for row in rows if row["type"] == "Valid")
    assert all(any(start <= address < end for start, end in mapped) for address in valid)
    assert sum(row["length"] for row in rows) == sum(end - start for start, end in mapped if end < 1 << 47)


@pytest.mark.plugins("vaddump")
def test_vaddump_writes_each_area(guest):
    """What it writes is looked at in guests: recorded images have not all of a process."""
    run, truth = guest
    pid = truth["sleeping"]["pid"]
    mapped = [map_of(line) for line in truth["processes"][str(pid)]["maps"].splitlines()]
    assert {"[heap]", "[stack]"} <= {area[7] for area in mapped}
    assert set(run("vaddump", pids=[pid], dump_dir=".").files) == {
        "sleep.%d.%08x-%08x.dmp" % (pid, *area[:2]) for area in mapped if area[7] != "[vsyscall]"}


@pytest.mark.plugins("memmap")
def test_memmap(guest):
    run, truth = guest
    rows = [row for row in run("memmap", pids=[truth["sleeping"]["pid"]]).rows if row != "section"]
    listed = pages_in(rows, 0, 2, 1)
    told = {address: physical for address, (physical, _) in pages_of(truth).items()}
    assert {address: listed.get(address) for address in told} == told


@pytest.mark.plugins("vtop", "inspect_vaddr")
def test_where_the_kernels_text_is(guest):
    """/proc/iomem tells where "Kernel code" is in physical memory, /proc/kallsyms where it is mapped."""
    run, truth = guest
    place, = re.findall(r"^ *(\w+)-\w+ : Kernel code", truth["iomem"], re.M)
    text = truth["symbols"]["_text"]
    assert re.search(r"Physical Address (0x)?0*%x\b" % int(place, 16), run("vtop", virtual_address=text).text)
    assert run("dump", offset=text, rows=1).rows
    steps = run("inspect_vaddr", address=text).rows
    assert (steps[0]["Offset"] & (1 << 48) - 1, steps[0]["Base AS Offset"]) == (text & (1 << 48) - 1, int(place, 16))


def test_inspect_vaddr_says_what_is_not_mapped(tmp_path):
    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / KERNELS[-1], tmp_path)
    with pytest.raises(PluginError, match="0xffff99991234.* is not mapped, or not in the image"):
        linux_plugins.run(rekall, "inspect_vaddr", address=0xFFFF_9999_1234_0000)


@pytest.mark.plugins("pas2vas")
def test_pas2vas_names_who_has_mapped_a_page(guest):
    run, truth = guest
    pid = truth["sleeping"]["pid"]
    mapped = [physical for physical, _ in pages_of(truth).values()]
    # Neither the kernel's page of zeros, nor what else is mapped twice, nor a page of a file that others have mapped.
    own = [map_of(line)[:2] for line in truth["processes"][str(pid)]["maps"].splitlines() if "rw-p" in line]
    told = {physical: address for address, (physical, digest) in pages_of(truth).items()
            if mapped.count(physical) == 1 and digest != hashlib.sha256(bytes(4096)).hexdigest()
            and any(start <= address < end for start, end in own)}
    # The kernel maps all of memory.
    rows = [row for row in run("pas2vas", offsets=list(told), pids=[pid]).rows if row[3] != "Kernel"]
    assert len(told) > 5 and sorted(rows) == sorted([physical, address, pid, "sleep"] for physical, address in told.items())


@pytest.mark.plugins("sigscan")
def test_sigscan_finds_the_first_file_of_elf(guest):
    run, truth = guest
    pid = truth["sleeping"]["pid"]
    mapped = [map_of(line) for line in truth["processes"][str(pid)]["maps"].splitlines()]
    told = {area[0] for area in mapped if not area[3] and re.search(r"/sleep|\.so|vdso", area[7])}
    # It stops where all parts of a signature were found.
    assert len(told) >= 3 and [row[0] for row in run("sigscan", signature=["7f454c4602"], pids=[pid]).rows] == [min(told)]


@pytest.mark.runs("dis")
def test_dis_names_the_function(guest):
    run, _ = guest
    rows = run("dis", offset="linux!vfs_read", length=16).rows
    assert "linux!vfs_read" in rows[0][0] and len(rows) > 10


@pytest.mark.parametrize("limit, mode", [(0x7FFF_FFFF_F000, "AMD64"), (0xFFFF_E000, "I386")])
def test_dis_takes_a_process_for_what_it_may_map(tmp_path, limit, mode):
    def end_of_memory(rekall):
        return {task.mm.task_size.obj_offset: struct.pack("<Q", limit) for task in rekall.plugins.pslist().filter_processes() if task.mm}

    rekall = linux_plugins.tampered_with(linux_plugins.FIXTURES / KERNELS[-1], tmp_path / "edited", end_of_memory)
    tasks = list(rekall.plugins.pslist().filter_processes())
    assert {task.address_mode for task in tasks if task.mm} == {mode}
    assert {task.address_mode for task in tasks if not task.mm} == {"AMD64"}
    with rekall.plugins.cc() as context:
        context.SwitchProcessContext(next(task for task in tasks if task.mm))
        linux_plugins.run(rekall, "dis", offset=int(tasks[0].mm.start_code) & ~0xFFF, length=4)


@pytest.mark.plugins("lsof")
def test_lsof(guest):
    run, truth = guest
    listed = {(row["pid"], row["fd"]): (row["path"], row["offset"])
              for row in run("lsof").rows if "fd" in row}
    told = {(pid, int(fd)): tuple(file) for pid, process in processes_of(truth).items() for fd, file in process["fds"].items()}
    listed, told = ({key: file for key, file in files.items() if key[0] not in observers(truth)} for files in (listed, told))
    assert {key: path for key, (path, _) in listed.items()} == {key: path for key, (path, _) in told.items()}
    still = [key for key, (path, _) in told.items() if path.startswith(("/root/", "/run/plain", "/run/deleted"))]
    assert len(still) > 3 and all(listed[key] == told[key] for key in still)


STATES = {1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT", 7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK",
          10: "LISTEN", 11: "CLOSING"}
PROTOCOLS = {"tcp": "TCP", "tcp6": "TCP", "udp": "UDP", "udp6": "UDP", "raw": "ICMP", "raw6": "ICMPV6"}


@pytest.mark.plugins("netstat")
def test_netstat_internet(guest):
    run, truth = guest
    rows = run("netstat").rows
    rows = rows[:rows.index("section")]
    listed = Counter(connection_of(row) for row in rows if row[6] != "-")
    told, lingering = connections_of(truth)
    assert len(told) >= 14
    assert listed == told
    # Those that no process holds come and go.
    assert not Counter(connection_of(row) for row in rows if row[6] == "-") - lingering
    assert all(row[7] == "-" for row in rows if row[6] == "-")


def connection_of(row):
    return (str(row[0]).replace("IPPROTO_", ""), *row[1:6])


def connections_of(truth):
    """How often /proc/net has each (protocol, address, port, address, port, state), of a file and of none."""
    told, lingering = Counter(), Counter()
    for table, protocol in PROTOCOLS.items():
        for line in truth["net"][table].splitlines()[1:]:
            cells = line.split()
            # A socket that is not of a file any more, as one that waits for its peer, or not yet, has no inode.
            connection = (protocol, *address_of(cells[1]), *address_of(cells[2]), STATES[int(cells[3], 16)])
            (lingering if cells[9] == "0" else told)[connection] += 1
    return told, lingering


def address_of(text):
    """(address, port) as /proc/net/tcp writes it: words of the machine's byte order."""
    words, port = text.split(":")
    raw = b"".join(bytes.fromhex(words[at:at + 8])[::-1] for at in range(0, len(words), 8))
    return str(ipaddress.ip_address(raw)), int(port, 16)


@pytest.mark.plugins("netstat")
def test_netstat_unix(guest):
    run, truth = guest
    rows = run("netstat").rows
    listed = sorted((row[4], row[2], row[1], row[5]) for row in rows[rows.index("section") + 1:])
    types = {"0001": "SOCK_STREAM", "0002": "SOCK_DGRAM", "0005": "SOCK_SEQPACKET"}
    told = sorted((int(cells[6]), types[cells[4]], int(cells[1], 16), cells[7] if len(cells) > 7 else "")
                  for cells in (line.split(None, 7) for line in truth["net"]["unix"].splitlines()[1:]))
    # One that waits to be accepted has no inode yet.
    assert len(told) >= 5 and [row for row in listed if row[0]] == [row for row in told if row[0]]
    assert {row for row in listed if not row[0]} <= set(told)


@pytest.mark.plugins("ifconfig")
def test_ifconfig(guest):
    run, truth = guest
    listed = {(row["interface"], row["ipv4"], row["MAC"].lower()) for row in run("ifconfig").rows}
    # An address has a label of its own, as dummy7:other, or the interface's name.
    told = {(label, address, truth["interfaces"][name]["mac"]) for name, address, label in re.findall(
        r"^\d+: (\S+) +inet ([\d.]+)\S* .*?(\S+)\\", truth["addresses"], re.M)}
    assert len(told) >= 2 and told <= listed
    # Another network namespace has devices of its own, down and without an address.
    without = {(name, "", interface["mac"]) for name, interface in truth["interfaces"].items() if name not in dict(
        row[:2] for row in told)}
    assert without <= listed and {row[0] for row in listed - told - without} == {"lo"}


@pytest.mark.plugins("arp")
def test_arp(guest):
    run, truth = guest
    listed = {(row["ip"], row["mac"], row["dev"]) for row in run("arp").rows}
    told = {(cells[0], cells[3], cells[5]) for cells in (line.split() for line in truth["net"]["arp"].splitlines()[1:])}
    assert len(told) == 3 and told | {("2001:db8::9", "02:00:5e:00:53:99", "dummy7")} <= listed


@pytest.mark.plugins("pkt_queues")
def test_pkt_queues(guest):
    run, _ = guest
    files = run("pkt_queues", dump_dir=".").files
    assert sorted(files.values()).count(b"waits to be read" * 8) == 2


@pytest.mark.plugins("mount")
def test_mount(guest):
    run, truth = guest
    listed = {(row["Device"], row["Path"], row["Type"], frozenset(row["flags"].split(", ")))
              for row in run("mount").rows}
    flags = {"rw", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"}
    told = {(cells[0], cells[1].replace("\\040", " "), cells[2], frozenset(cells[3].split(",")) & flags)
            for cells in (line.split() for line in truth["mounts"].splitlines())}
    listed = {(*row[:3], row[3] & flags) for row in listed}
    assert told <= listed
    # In another mount namespace something is mounted that the first one has not.
    assert {row[:3] for row in listed - told} == {("inside", "/run/only-here", "tmpfs")}


@pytest.mark.plugins("dmesg")
def test_dmesg(guest):
    run, truth = guest
    levels = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
    listed = [(round(row["timestamp"] * 1e6), row["facility"], row["level"], row["message"]) for row in run("dmesg").rows]
    told = []
    for record in truth["log"]:
        head, text = record.split("\n", 1)[0].split(";", 1)
        priority, _, microseconds = head.split(",")[:3]
        told.append((int(microseconds), int(priority) >> 3, "LOG_" + levels[int(priority) & 7],
                     re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)))
    assert len(told) > 100
    assert [(abs(ours[0] - theirs[0]) <= 1, ours[1:]) for ours, theirs in zip(listed, told)] == [
        (True, theirs[1:]) for theirs in told]


@pytest.mark.plugins("lsmod")
def test_lsmod(guest):
    run, truth = guest
    listed = {row["name"]: (row["size"], row["start"] & (1 << 48) - 1) for row in run("lsmod").rows}
    assert listed == {name: (module["size"], module["address"] & (1 << 48) - 1) for name, module in truth["modules"].items()}


@pytest.mark.plugins("lsmod_sections")
def test_lsmod_sections(guest):
    run, truth = guest
    listed = {(row["name"], row["section"], row["address"] & (1 << 48) - 1)
              for row in run("lsmod_sections").rows}
    assert listed == {(name, section, int(address, 16) & (1 << 48) - 1) for name, module in truth["modules"].items()
                      for section, address in module["sections"].items()}


@pytest.mark.plugins("lsmod_parameters")
def test_lsmod_parameters(guest):
    run, truth = guest
    written = {"True": "Y", "False": "N"}
    listed = {(row["name"], row["key"]): written.get(str(row["value"]), str(row["value"]))
              for row in run("lsmod_parameters").rows}
    told = {(name, key): value for name, module in truth["modules"].items() for key, value in module["parameters"].items()}
    # What a module computes when it is asked is not in memory: the function that does so is named.
    computed = {key: value for key, value in listed.items() if value.startswith("['")}
    assert set(computed) <= {("overlay", "check_copy_up")}
    assert told and {key: listed.get(key) for key in told if key not in computed} == {
        key: value for key, value in told.items() if key not in computed}


@pytest.mark.plugins("moddump")
def test_moddump(guest):
    run, truth = guest
    files = run("moddump", dump_dir=".").files
    assert {name.split(".0x")[0]: len(content) for name, content in files.items()} == {
        name: module["size"] for name, module in truth["modules"].items()}


@pytest.mark.plugins("check_modules")
def test_check_modules(guest):
    run, truth = guest
    assert {(row["mod_name"], row["known"]) for row in run("check_modules").rows} == {
        (name, True) for name in truth["modules"]}


@pytest.mark.plugins("cpuinfo")
def test_cpuinfo(guest):
    run, truth = guest
    model, = re.findall(r"^model name\s*: (.*)$", truth["cpuinfo"], re.M)
    vendor, = re.findall(r"^vendor_id\s*: (.*)$", truth["cpuinfo"], re.M)
    assert [(row["CPU"], row["vendor"], row["model"].strip()) for row in run("cpuinfo").rows] == [
        (0, vendor, model.strip())]


@pytest.mark.plugins("iomem")
def test_iomem(guest):
    run, truth = guest
    listed = [(row["depth"], row["start"], row["end"], row["name"]) for row in run("iomem").rows]
    told = [(len(found[0]) // 2 + 1, int(found[1], 16), int(found[2], 16), found[3])
            for found in re.findall(r"^( *)(\w+)-(\w+) : (.*)$", truth["iomem"], re.M)]
    assert listed[1:] == told


@pytest.mark.plugins("bash")
def test_bash(guest):
    run, truth = guest
    rows = [row for row in run("bash").rows if "command" in row and row["task"]["comm"] == "bash"]
    # A guest that is slow runs several in one second.
    assert sorted(row["command"] for row in rows) == [
        "cd /tmp", "echo first of all", "export SECRET=hunter2", "ls -la /nowhere"]
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times) and times[0] > truth["files"]["/etc/passwd"]["mtime"]


TYPED = ["echo first of all", "cd /tmp", "ls -la /nowhere", "export SECRET=hunter2"]


@pytest.mark.plugins("zsh")
def test_zsh(guest):
    run, _ = guest
    rows = [row for row in run("zsh").rows if "command" in row]
    assert [(row["counter"], row["command"], row["task"]["comm"]) for row in rows] == [
        (number, command, "zsh") for number, command in enumerate(TYPED, 1)]
    times = [time for row in rows for time in (row["started"], row["ended"])]
    assert times == sorted(times) and times[-1] - times[0] < 600


def test_times_of_zsh_are_written(tmp_path):
    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / "6.1", tmp_path)
    rows = [row for row in rekall.plugins.zsh().collect() if "command" in row]
    assert all(re.match(r"20\d\d-\d\d-", str(row[column])) for row in rows for column in ("started", "ended"))


def test_what_zsh_keeps_of_a_command_is_what_was_typed():
    from rekall_layout_expert.plugin.linux.zsh import typed

    assert typed(b"echo plain") == "echo plain"
    # Of the two bytes of an E with an accent the second has a meaning in zsh, as has the byte that says so.
    assert typed(b"echo \xc3\x83\xa9") == "echo \u00c9" and typed(b"\xc3\x83\xa3") == "\u00c3"


def test_keepassx_says_that_there_is_none(tmp_path):
    from rekall.plugin import PluginError

    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / "6.1", tmp_path)
    with pytest.raises(PluginError, match="no process is KeePassX 0.4"):
        linux_plugins.run(rekall, "keepassx")


@pytest.mark.plugins("heapinfo", "heapdump")
def test_heap_of_the_first_process(guest):
    """A shell that waits: its heap is what the kernel says, and has what its script exported."""
    run, truth = guest
    row, = run("heapinfo", pids=[1]).rows
    found = run("heapdump", pids=[1], dump_dir=".")
    sizes = {name: int(re.search(r"size-(\d+)", name)[1]) for name in found.files}
    (start, end), = [map_of(line)[:2] for line in truth["processes"]["1"]["maps"].splitlines() if "[heap]" in line]
    assert sum(sizes.values()) == end - start
    assert sorted(int(re.search(r"offset-0x(\w+)_size", name)[1], 16) for name in sizes)[0] == start
    assert (row["pid"], row["arenas"], row["heap_infos"], row["mmapped_chunks"]) == (1, 1, 0, 0)
    by_kind = {kind: [sizes[name] for name in sizes if kind in name] for kind in ("allocated", "freed", "top")}
    assert (row["non_mmapped_chunks"], row["non_mmapped_chunks_size"]) == (len(by_kind["allocated"]), sum(by_kind["allocated"]))
    assert (row["freed_chunks"], row["freed_chunks_size"]) == (len(by_kind["freed"]), sum(by_kind["freed"]))
    texts = {content.split("\0")[0] if isinstance(content, str) else content.split(b"\0")[0].decode("latin1")
             for name, content in found.files.items() if "allocated" in name}
    assert {"HOME=/root", "LANG=C.UTF-8"} <= texts


@pytest.mark.plugins("heapinfo")
def test_threads_have_arenas(guest):
    run, _ = guest
    rows = run("heapinfo").rows
    # The workload has three threads that wait, in a process that is a python.
    assert sorted((row["arenas"], row["heap_infos"]) for row in rows)[-1] == (4, 3) and len(rows) >= 5


@pytest.mark.plugins("heapsearch", "heaprefs")
def test_heapsearch_and_heaprefs(guest):
    run, _ = guest
    text = run("heapsearch", pids=[1], string="LANG=C.UTF-8").text
    chunk, = re.findall(r"The chunk \(0x(\w+)\) below contains", text)
    assert text == run("heapsearch", pids=[1], regex="LANG=C[.]UTF-[0-9]").text.replace("LANG=C[.]UTF-[0-9]", "LANG=C.UTF-8")
    # The shell's variable leads to its text.
    holders = re.findall(r"The chunk \(0x(\w+)\) below contains",
                         run("heapsearch", pids=[1], pointers=[int(chunk, 16) + 16]).text)
    assert holders
    rows = run("heaprefs", pids=[1], chunk_addresses=[int(holders[0], 16) + 16]).rows
    assert f"Pointer to chunk at offset: 0x{chunk}" in str(rows)


@pytest.mark.plugins("lookup")
def test_lookup(guest):
    run, _ = guest
    row, = run("lookup", constant="init_task", target="task_struct").rows
    assert (row["field"]["pid"], row["field"]["comm"]) == (0, "swapper/0")
    # Without a type of its own it is the address.
    assert run("lookup", constant="linux!init_task").rows == [{"field": f"{row['field']['address']:#x} linux!init_task"}]


@pytest.mark.plugins("check_idt", "check_syscall")
def test_check_idt_and_check_syscall_find_nothing(guest):
    run, _ = guest
    gates = run("check_idt").rows
    assert len(gates) == 256 and all(row["symbol"].startswith("linux!") for row in gates if row["present"])
    calls = [row for row in run("check_syscall").rows if "table" in row]
    assert len(calls) > 400 and not [row for row in calls if row["highlight"]]
    # Named after the form of its arguments since 4.17.
    assert {"linux!__x64_sys_read", "linux!sys_read"} & set(calls[0]["symbol"])


@pytest.mark.plugins("check_task_fops", "check_proc_fops", "check_afinfo", "check_ttys")
def test_checks_of_functions_find_nothing(guest):
    run, _ = guest
    for name in ("check_task_fops", "check_proc_fops"):
        rows = run(name, all=True).rows
        assert len(rows) > 200 and not [row for row in rows if row["highlight"]]
    shown = {(row["symbol"], row["member"]): row["module"] for row in run("check_afinfo").rows}
    show = shown.get(("tcp4_seq_ops", "show")) or shown["tcp4_seq_afinfo", "seq_ops.show"]
    assert show == "linux!tcp4_seq_show" and all(shown.values())
    terminals = {row["name"]: row["symbol"] for row in run("check_ttys").rows}
    assert terminals == {"ttyS0": "linux!n_tty_receive_buf"}


# Whose caller at each event is known, whatever the kernel.
TOLD = {"netdev_chain": {"arp_netdev_event", "inetdev_event", "fib_netdev_event", "packet_notifier", "addrconf_notify"},
        "die_chain": {"hw_breakpoint_exceptions_notify"}, "panic_notifier_list": {"dump_kernel_offset"},
        "inetaddr_chain": {"fib_inetaddr_event"}, "reboot_notifier_list": {"perf_reboot"}}


@pytest.mark.plugins("notifier_chains")
def test_notifier_chains(guest):
    run, _ = guest
    chains = {}
    rows = run("notifier_chains").rows
    for name, index, priority, address, module, symbol in rows:
        assert index == len(chains.setdefault(name, [])) and address and module and symbol.startswith(module)
        chains[name].append((priority, symbol.replace("linux!", "")))
    assert all(calls == sorted(calls, key=lambda call: -call[0]) for calls in chains.values())
    assert all(names <= {symbol for _, symbol in chains[name]} for name, names in TOLD.items())
    assert len(rows) > 20


@pytest.mark.plugins("check_creds")
def test_check_creds(guest):
    run, truth = guest
    assert {row["task"]["pid"] for row in run("check_creds").rows} >= set(processes_of(truth))


@pytest.mark.plugins("mfind", "mcat")
@pytest.mark.parametrize("path", PATHS)
def test_mfind_and_mcat(guest, path):
    run, truth = guest
    told = truth["files"][path]
    row, = [row for row in run("mfind", path=path).rows if "inode" in row]
    assert describes(row, told) and row["path"] == path
    found = run("mcat", path=path, dump_dir=".")
    content, = found.files.values()
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    assert found.rows[0]["start"] == 0 and found.rows[-1]["end"] == told["size"]


def describes(row, told):
    return (row["inode"], row["size"], row["uid"], row["gid"], row["perms"]) == (
        told["inode"], told["size"], told["uid"], told["gid"], stat.filemode(told["mode"])) and all(
        row[time] == told[time] for time in ("mtime", "ctime"))


@pytest.mark.plugins("mls")
def test_mls(guest):
    run, truth = guest
    listed = {row["path"]: row for row in run("mls", path="/root").rows if "inode" in row}
    assert set(listed) == {"/root/" + name for name in truth["listing"]}
    assert all(describes(listed["/root/" + name], told) for name, told in truth["listing"].items())


@pytest.mark.plugins("banner", "hostname")
def test_banner_and_hostname(guest):
    run, truth = guest
    assert [row["banner"].strip("\n\0") for row in run("banner").rows] == [truth["banner"]]
    assert run("hostname").rows[0][0] == truth["hostname"]


@pytest.mark.parametrize("name, struct", [("dmesg", "printk_ringbuffer"), ("lsmod_sections", "module_sect_attrs"),
                                          ("check_proc_fops", "proc_dir_entry"), ("mount", "mount")])
def test_without_the_kernels_private_types_a_plugin_says_so(name, struct, tmp_path, monkeypatch):
    """As where there is nothing but a headers package, and no BTF."""
    give_profile = linux_plugins.give_profile

    def give_less(rekall, data, **fixture):
        del data["$STRUCTS"][struct]
        give_profile(rekall, data, **fixture)

    monkeypatch.setattr(linux_plugins, "give_profile", give_less)
    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / "6.1", tmp_path)
    with pytest.raises(PluginError, match=f"no struct {struct}: .*Use a Pre-AST from full source"):
        linux_plugins.run(rekall, name)
