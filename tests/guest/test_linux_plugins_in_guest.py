"""What Rekall's Linux plugins list of a running kernel, and of a dump of the same moment, against what the guest tells.

The comparisons are those of tests/test_linux_plugins.py, field by field; here they run on kernels that are running, and on
whole dumps. tests/plugin_table.py makes the table of docs/plugins.md of what comes of them.
"""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import kernels
import linux_plugins
import plugin_table
import pytest
import test_linux_plugins

from guest.machine import Guest
from rekall_layout_expert.pre_ast.storage import dumps

HERE = Path(__file__).resolve().parent
IN_CI = "6.1"
# Sockets that no process holds are there for a minute; emulated, the other plugins take longer.
FLEETING = ("netstat",)

pytestmark = [pytest.mark.guest, pytest.mark.slow]

globals().update(linux_plugins.tests_of_a_guest(test_linux_plugins))


@pytest.fixture(scope="module", params=[pytest.param(series, marks=[pytest.mark.ci] * (series == IN_CI))
                                        for series in (*kernels.BUILT_SERIES, *kernels.SUITES)])
def moment(request, tmp_path_factory):
    """A guest with the workload: .truth, and what runs a plugin .live and on an .image, all of one moment."""
    try:
        machine = Guest(request.param)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {request.param}: {reason}")
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

        yield SimpleNamespace(truth=truth, live=live, guest=guest, series=request.param,
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
    plugin_table.cell(request, moment.series, request.param)
    return getattr(moment, request.param), moment.truth


@pytest.mark.plugins("mcat")
def test_file_of_many_pages(guest):
    """One whose page cache is several nodes deep, which no fixture holds."""
    run, truth = guest
    content, = run("mcat", path="/usr/bin/bash", dump_dir=".").files.values()
    assert hashlib.sha256(content).hexdigest() == truth["files"]["/usr/bin/bash"]["sha256"]
