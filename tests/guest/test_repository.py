"""A host that nobody prepared, whose headers are gone and whose only road leads to its organisation's repository."""
import re

import kernels
import processes
import pytest
import web

from guest.machine import FORWARDED, Guest
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.storage import dumps
from rekall_layout_expert.supply.repository import DirectoryRepository
from rekall_layout_expert.supply.sources import names_of

SERIES = "6.1"
PSLIST = "rekall -f /proc/kcore pslist"
TIMEOUT = 900  # seconds; without KVM everything takes ten times as long
CONFIGURATION = "cache_dir: .rekall_cache\npre_ast_repository: [http://{}/pre-asts]\n"
SWALLOWING = "10.0.2.99"  # nobody's address
# The kernel carries BTF, from which a profile can be made without any Pre-AST.
WITHOUT_BTF = "--pre_ast_skip btf"

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.ci]


@pytest.fixture(scope="module")
def server():
    with web.Server() as server:
        yield server


@pytest.fixture(scope="module")
def guest(server):
    try:
        machine = Guest(SERIES, forward=server.server_port)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {SERIES}: {reason}")
    with machine:
        machine.check("rm -r /usr/src && rm -f /lib/modules/*/build /lib/modules/*/source")
        yield machine


def test_the_repository_of_the_configuration_is_the_only_road(guest, server, tmp_path):
    """First the line of who has no road at all, then the first start and the second."""
    guest.put(CONFIGURATION.format(FORWARDED).encode(), "/etc/rekallrc")
    code, stdout, stderr = guest.run(f"{PSLIST} {WITHOUT_BTF}", TIMEOUT)
    assert code == 1 and not stdout.strip() and len(stderr.splitlines()) == 1, stderr
    assert re.search(rf"no Pre-AST .*http://{FORWARDED}/pre-asts \(no pre_ast/\S+.past.*headers package \(.*cannot be reached",
                     stderr)

    kernel = Kernel.from_banner(guest.get("/proc/version").decode(), "x86_64")
    by_package, _ = names_of(kernel)
    DirectoryRepository(tmp_path / "pre-asts").put(by_package, dumps(kernels.pre_ast(guest.system.kernel.tree)))
    server.files = tmp_path
    server.asked.clear()
    told = rf"rekall: Pre-AST from http://{FORWARDED}/pre-asts, .*\nrekall: [4-9]\d\d structs verified against the kernel's own BTF\n\Z"
    for verified, asked in ((told, ["/pre-asts/" + by_package]),
                            (r"\Z", [])):
        before = processes.from_ps(guest.check(processes.PS))
        code, stdout, stderr = guest.run(PSLIST, TIMEOUT)
        after = processes.from_ps(guest.check(processes.PS))
        assert code == 0 and re.match(verified, stderr), stdout + stderr
        steady = {process for process in before.values() if process == after.get(process.pid)}
        assert len(steady) > 20 and steady <= set(processes.from_pslist(stdout).values()), stdout
        assert [path.replace("%2B", "+") for path in server.asked] == asked
        server.asked.clear()


def test_a_network_that_swallows_everything_costs_seconds_and_one_line(guest):
    guest.check("rm -rf /root/.rekall_cache")
    guest.put(CONFIGURATION.format(SWALLOWING).encode(), "/etc/rekallrc")
    code, stdout, stderr = guest.run(f"timeout 300 {PSLIST} {WITHOUT_BTF}", TIMEOUT)
    assert code == 1 and not stdout.strip() and len(stderr.splitlines()) == 1, (code, stderr)
    assert re.search(rf"http://{SWALLOWING}/pre-asts \((cannot be reached|has not answered)", stderr), stderr
