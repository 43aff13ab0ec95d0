"""What Rekall puts plugins' rows out as: --format json and data, -o, and sessions that are typed into."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import linux_plugins
import processes
import pytest

from rekall_layout_expert.plugin import console

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "guest.core"
REKALL = [sys.executable, "-c", "from rekall import rekal; rekal.main()"]
KERNEL = sorted(path.name for path in linux_plugins.FIXTURES.glob("*") if path.is_dir())[-1]
PLUGINS = {
    **dict.fromkeys((
        "pslist", "pstree", "psaux", "psxview", "pidhashtable", "lsmod", "lsmod_sections", "lsmod_parameters", "lsof",
        "netstat", "ifconfig", "arp", "mount", "dmesg", "cpuinfo", "iomem", "maps", "bash", "check_creds", "check_idt",
        "check_syscall", "check_modules", "check_ttys", "check_task_fops", "check_afinfo", "notifier_chains", "banner",
        "hostname"), {}),
    "moddump": {"dump_dir": "files"}, "pkt_queues": {"dump_dir": "files"}, "mcat": {"path": "/etc/passwd", "dump_dir": "files"},
    "mls": {"path": "/root"}, "mfind": {"path": "/etc/passwd"}}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """(session on an image, folder for what is written)."""
    folder = tmp_path_factory.mktemp("formats")
    return linux_plugins.open_fixture(linux_plugins.FIXTURES / KERNEL, folder)[0], folder


@pytest.mark.parametrize("form", ["json", "data"])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_formats_have_each_row(image, plugin, form, monkeypatch):
    rekall, folder = image
    monkeypatch.chdir(folder)
    plain = linux_plugins.run(rekall, plugin, **PLUGINS[plugin])
    rekall.SetParameter("format", form)
    rekall.RunPlugin(plugin, output="out", **PLUGINS[plugin])
    messages = json.loads((folder / "out").read_text())
    assert len([message for message in messages if message[0] == "r"]) == len([row for row in plain.rows if row != "section"])
    assert not [message for message in messages if message[0] in "eL"], "something was logged"
    assert "Unable to encode" not in (folder / "out").read_text()
    for name, content in plain.files.items():
        assert (folder / "files" / re.sub(r"[^\w.@{}\[\]\- ]", lambda found: f"%{ord(found[0]):x}", name)).read_bytes() == content


def test_tables_show_what_is_false(image, monkeypatch):
    rekall, folder = image
    monkeypatch.chdir(folder)
    told = {row["key"]: row["value"] for row in linux_plugins.run(rekall, "lsmod_parameters").rows if isinstance(row["value"], bool)}
    rekall.SetParameter("format", "text")
    rekall.RunPlugin("lsmod_parameters", output="table")
    shown = dict(re.findall(r"(\w+) +(True|False) *$", (folder / "table").read_text(), re.MULTILINE))
    assert set(shown.values()) == {"True", "False"} and shown == {key: str(value) for key, value in told.items()}


def test_rows_as_data_say_what_the_table_says(image, monkeypatch):
    rekall, folder = image
    monkeypatch.chdir(folder)
    plain = linux_plugins.run(rekall, "pslist")
    rekall.SetParameter("format", "data")
    rekall.RunPlugin("pslist", output="out")
    rows = [message[1] for message in json.loads((folder / "out").read_text()) if message[0] == "r"]
    assert [(row["proc"]["offset"], row["ppid"], row["binary"]) for row in rows] == [
        (row["proc"]["address"], row["ppid"], row["binary"]) for row in plain.rows]


def test_what_is_typed_into_a_session_is_run(tmp_path):
    typed = "hostname\npslist pids=1\nseen = 1 + 1\nprint('seen', seen)\nmount nosuch=1\nlsof\npslist\n"
    done = subprocess.run([*REKALL, "-f", str(SAMPLE)], input=typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                          universal_newlines=True, env=dict(os.environ, HOME=str(tmp_path), COLUMNS="300"))
    assert "Traceback" not in done.stdout + done.stderr
    assert "seen 2" in done.stdout and "Invalid Args: Invalid arguments: ['nosuch']" in done.stderr
    one, everything = re.findall(r"obj_offset.*?(?=>>> )", done.stdout, re.DOTALL)
    assert set(processes.from_pslist(one)) == {1} and len(processes.from_pslist(everything)) > 20


def test_output_goes_to_a_file(tmp_path):
    done = subprocess.run([*REKALL, "--output", str(tmp_path / "out"), "-f", str(SAMPLE), "pslist"], stdout=subprocess.PIPE,
                          check=True, universal_newlines=True, env=dict(os.environ, HOME=str(tmp_path)))
    assert not done.stdout.strip() and len(processes.from_pslist((tmp_path / "out").read_text())) > 20


@pytest.mark.parametrize("line, statement", [
    ("pslist", "_ = pslist()"),
    ("  pslist ", "_ = pslist()"),
    ("pslist pids=[1, 2]", "_ = pslist(pids=[1, 2])"),
    ("mls '/root'", "_ = mls('/root')"),
    *((line, line) for line in (
        "", "pslist()", "pslist.plugin_name", "pslist = 3", "pslist + 1", "pslist in (1,)", "pslist and 1", "other", "other 1",
        "pslist is None", "pslist(pids=1)", "pslist 1 2", "for each in pslist:", "pslist; 1", "pslist #")),
])
def test_lines_that_name_a_plugin_call_it(line, statement):
    names = {"pslist": console.PluginRunner.__new__(console.PluginRunner), "mls": console.PluginRunner.__new__(
        console.PluginRunner), "other": 1}
    assert console.called(line, names) == statement
