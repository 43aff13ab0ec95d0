"""What Rekall's Linux plugins list of a running kernel, and of a dump of the same moment, against what the guest tells.

The comparisons are those of tests/test_linux_plugins.py, field by field; here they run on kernels that are running, and on
whole dumps. tests/plugin_table.py makes the table of docs/plugins.md of what comes of them.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import kernels
import linux_plugins
import plugin_table
import pytest
import test_linux_plugins

from guest.machine import Guest
from processes import from_pslist
from rekall_layout_expert.pre_ast.storage import dumps

HERE = Path(__file__).resolve().parent
# QEMU's CPU decides about the page tables: qemu64's have 4 levels, max's have 5.
MATRIX = {**{series: (series, "qemu64") for series in (*kernels.BUILT_SERIES, *kernels.SUITES)}, "6.12 LA57": ("6.12", "max")}
IN_CI = "6.1"
# Sockets that no process holds are there for a minute; emulated, the other plugins take longer.
FLEETING = ("netstat",)

pytestmark = [pytest.mark.guest, pytest.mark.slow]

globals().update(linux_plugins.tests_of_a_guest(test_linux_plugins))


@pytest.fixture(scope="module", params=[pytest.param(name, marks=[pytest.mark.ci] * (name == IN_CI)) for name in MATRIX])
def moment(request, tmp_path_factory):
    """A guest with the workload: .truth, and what runs a plugin .live and on an .image, all of one moment."""
    series, cpu = MATRIX[request.param]
    try:
        machine = Guest(series, cpu=cpu)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {series}: {reason}")
    folder = tmp_path_factory.mktemp("guest")
    pre_ast = dumps(kernels.pre_ast(machine.system.kernel.tree))
    with machine as guest:
        guest.start_rekall(pre_ast)
        guest.start_workload()
        truth = guest.truth()
        fleeting = {name: guest.run_plugin(name, {}) for name in FLEETING}
        guest.dump_memory(str(folder / "guest.core"))
        (folder / "guest.pre_ast").write_bytes(pre_ast)
        (folder / "kallsyms").write_bytes(guest.get("/proc/kallsyms"))
        (folder / "config").write_bytes(guest.system.kernel.config.read_bytes())
        image = session_on(folder)

        def live(name, **arguments):
            return SimpleNamespace(**(fleeting.get(name) if not arguments and name in fleeting else
                                      guest.run_plugin(name, arguments)))

        yield SimpleNamespace(truth=truth, live=live, guest=guest, name=request.param,
                              image=lambda name, **arguments: linux_plugins.run(image, name, **arguments))


def session_on(folder):
    from rekall import session

    home, os.environ["HOME"] = os.environ["HOME"], str(folder)
    try:
        return session.Session(filename=str(folder / "guest.core"), config_file_path=str(folder / "config"),
                               system=str(folder / "kallsyms"), pre_ast=str(folder / "guest.pre_ast"),
                               autodetect=["layout_expert"], cache="memory", repository_path=[], logging_level=40)
    finally:
        os.environ["HOME"] = home


@pytest.fixture(params=plugin_table.PLACES)
def guest(moment, request):
    """(run a plugin, what the guest told)."""
    plugin_table.cell(request, moment.name, request.param)
    return getattr(moment, request.param), moment.truth


@pytest.mark.plugins("mcat")
def test_file_of_many_pages(guest):
    """One whose page cache is several nodes deep, which no fixture holds."""
    run, truth = guest
    content, = run("mcat", path="/usr/bin/bash", dump_dir=".").files.values()
    assert hashlib.sha256(content).hexdigest() == truth["files"]["/usr/bin/bash"]["sha256"]


# These read all of a process, which the recorded images have not.


@pytest.mark.plugins("memdump")
def test_memdump(guest):
    run, truth = guest
    files = run("memdump", pids=[truth["sleeping"]["pid"]], dump_dir=".").files
    index, = (content.decode() for name, content in files.items() if name.endswith(".idx"))
    dump, = (content for name, content in files.items() if not name.endswith(".idx"))
    digests = {}
    for line in re.findall(r"^\s*(0x\w+)\s+(0x\w+)\s+(0x\w+)\s*$", index, re.M):
        at, length, address = (int(number, 16) for number in line)
        for offset in range(0, length, 4096):
            digests[address + offset] = hashlib.sha256(dump[at + offset:at + offset + 4096]).hexdigest()
    told = {address: digest for address, (_, digest) in test_linux_plugins.pages_of(truth).items()}
    assert {address: digests.get(address) for address in told} == told


@pytest.mark.plugins("vaddump")
def test_vaddump_writes_what_is_mapped(guest):
    run, truth = guest
    pid = truth["sleeping"]["pid"]
    pages = test_linux_plugins.pages_of(truth)
    files = run("vaddump", pids=[pid], dump_dir=".").files
    areas = [test_linux_plugins.map_of(line) for line in truth["processes"][str(pid)]["maps"].splitlines()]
    told = {"sleep.%d.%08x-%08x.dmp" % (pid, *area[:2]): area for area in areas if area[7] != "[vsyscall]"}
    assert len(told) > 5 and set(files) == set(told)
    for name, (start, end, *_) in told.items():
        assert len(files[name]) <= end - start
        for address in set(pages) & set(range(start, end, 4096)):
            at = address - start
            assert hashlib.sha256(files[name][at:at + 4096]).hexdigest() == pages[address][1]


def test_sessions_and_formats(moment):
    """The command itself, twice: typed into, and with a format and a file to write to."""
    guest, truth = moment.guest, moment.truth
    guest.check("mkdir -p /run/typed")
    rekall = "HOME=/run/typed rekall -f /proc/kcore --pre_ast /run/live.pre_ast"
    code, stdout, stderr = guest.run(f"printf 'hostname\\npslist\\nmount\\n' | {rekall}", 300)
    assert code == 0 and "Traceback" not in stdout + stderr, stdout + stderr
    assert truth["hostname"] in stdout and "/run/deep/er" in stdout
    processes = test_linux_plugins.processes_of(truth)
    assert {pid: process["name"][:15] for pid, process in processes.items()}.items() <= {
        pid: process.name for pid, process in from_pslist(stdout).items()}.items()
    guest.check(f"{rekall} --format data --output /run/typed/out pslist", 300)
    rows = [message[1] for message in json.loads(guest.get("/run/typed/out")) if message[0] == "r"]
    assert {process["exe"] for process in processes.values() if process["exe"]} <= {row["binary"] for row in rows}
    assert len(rows) >= len(processes)


def test_lists_that_change_while_they_are_walked_end(moment):
    """Everything that stays is listed all the same, and nothing fails."""
    guest, truth = moment.guest, moment.truth
    guest.put((HERE / "restless.py").read_bytes(), "/run/restless.py")
    guest.check("python3 /run/restless.py > /run/restless.log 2>&1 & echo $! > /run/restless.pid\n"
                "until grep -q ready /run/restless.log; do sleep 1; done")
    found = {}
    try:
        for name in ("pslist", "pstree", "psxview", "lsof", "netstat", "maps", "mount", "psaux", "check_task_fops", "bash",
                     "pkt_queues", "check_creds", "lsmod", "mls"):
            arguments = {"pkt_queues": {"dump_dir": "."}, "mls": {"path": "/run"}}.get(name, {})
            found[name] = guest.run_plugin(name, arguments)["rows"]
        assert guest.check("kill -0 $(cat /run/restless.pid) && echo still running") == "still running\n"
    finally:
        guest.run("kill $(cat /run/restless.pid); sleep 1; umount -l /run/restless/mounted; rm -r /run/restless*")
    processes = test_linux_plugins.processes_of(truth)
    seen = test_linux_plugins.observers(truth)
    assert set(processes) <= {row["proc"]["pid"] for row in found["pslist"]}
    assert set(processes) <= {row[0] for row in found["pstree"]} and set(processes) <= {row[0] for row in found["psaux"]}
    assert set(processes) <= {row[2] for row in found["psxview"]}
    listed = {(row["pid"], row["fd"]): row["path"] for row in found["lsof"] if "fd" in row}
    told = {(pid, int(fd)): path for pid, process in processes.items() for fd, (path, _) in process["fds"].items()}
    assert {key: listed.get(key) for key in told if key[0] not in seen} == {
        key: path for key, path in told.items() if key[0] not in seen}
    listed = {(row["task"]["pid"], row["start"]): row["file_path"] for row in found["maps"] if "task" in row}
    told = {(pid, area[0]): area[7] for pid, process in processes.items() if pid not in seen
            for area in map(test_linux_plugins.map_of, process["maps"].splitlines()) if "[vsyscall]" not in area[7]}
    assert {key: listed.get(key) for key in told} == told
    assert {line.split()[1] for line in truth["mounts"].splitlines() if "\\" not in line} <= {
        row["Path"] for row in found["mount"]}
