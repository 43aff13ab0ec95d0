"""Whole dumps of guests with nothing beside them but a Pre-AST and, as Debian's kernels carry none, a configuration.

The guests have five levels of page tables, where their kernel knows them, page tables of their own for user space (KPTI), and
KASLR. The symbols are those
of the kernel's own table in the dump, and must be what the guest's /proc/kallsyms shows.
"""
import os

import kernels
import linux_plugins
import pytest
from image_conversion import FORMATS

from guest.machine import Guest
from rekall_layout_expert.host.kallsyms import find_kallsyms
from rekall_layout_expert.plugin import five_levels
from rekall_layout_expert.plugin.kernel_location import physical_memory
from rekall_layout_expert.pre_ast.storage import dumps

pytestmark = [pytest.mark.guest, pytest.mark.slow]

_PROCESSES = "for p in /proc/[0-9]*; do read name < $p/comm && echo ${p#/proc/} $name; done 2>/dev/null; true"


@pytest.fixture(scope="module", params=list(kernels.SUITES))
def dump(request, tmp_path_factory):
    """(the folder with guest.core, what its /proc/kallsyms showed, {number of a process that stays: name}, five levels)."""
    try:
        machine = Guest(request.param, cpu="max", with_environment=False, arguments="pti=on")
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {request.param}: {reason}")
    folder = tmp_path_factory.mktemp("dump")
    with machine as guest:
        guest.check("grep -qw pti /proc/cpuinfo")
        has_five_levels = not guest.run("grep -qw la57 /proc/cpuinfo", timeout=60)[0]
        kallsyms = guest.get("/proc/kallsyms").decode()
        first, second = (guest.check(_PROCESSES).splitlines() for _ in range(2))
        guest.dump_memory(str(folder / "guest.core"))
        (folder / "guest.core.config").write_bytes(guest.system.kernel.config.read_bytes())
    (folder / "guest.core.pre_ast").write_bytes(dumps(kernels.pre_ast(machine.system.kernel.tree)))
    lines = sorted(line for line in set(first) & set(second) if "kworker" not in line)
    return folder, kallsyms, {int(line.split()[0]): line.split(" ", 1)[1] for line in lines}, has_five_levels


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


def open_image(path):
    from rekall import session

    return session.Session(filename=str(path), autodetect=["layout_expert"], cache="memory", repository_path=[], logging_level=40)


def test_symbols_in_the_image_are_those_of_proc_kallsyms(dump, home):
    folder, kallsyms, *_ = dump
    memory = linux_plugins.session_on(str(folder / "guest.core"), folder).physical_address_space
    table, = find_kallsyms(physical_memory(memory))
    shown = [line.split() for line in kallsyms.splitlines() if "[" not in line]
    start = next(int(address, 16) for address, _, name in shown if name == "_text")
    assert list(zip(table.linked_at(start), table.kinds, table.names)) == \
        [(int(address, 16), kind, name) for address, kind, name in shown]


@pytest.mark.parametrize("form", ["elf", *sorted(FORMATS)])
def test_pslist_of_each_format(dump, home, tmp_path, form):
    folder, _, processes, has_five_levels = dump
    image = folder / "guest.core"
    if form != "elf":
        FORMATS[form](image, tmp_path / "image")
        for ending in (".config", ".pre_ast"):
            os.link(f"{image}{ending}", tmp_path / f"image{ending}")
        image = tmp_path / "image"
    rekall = open_image(image)
    rows = linux_plugins.run(rekall, "pslist").rows
    found = {row["proc"]["pid"]: row["proc"]["comm"] for row in rows}
    assert (type(rekall.kernel_address_space) is five_levels.FiveLevelMemory) == has_five_levels
    assert len(processes) > 20 and {number: found.get(number) for number in processes} == \
        {number: name[:15] for number, name in processes.items()}
    if form != "elf":
        image.unlink()
