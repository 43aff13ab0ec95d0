"""Discovery on a real host that nobody prepared, Debian in QEMU with KASLR, its doors open and closed."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

import kernels
import rekall_layout_expert
from guest.machine import Guest

SERIES = "6.1"
PROBE = """
import json
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host import find_host
from rekall_layout_expert.host.kcore import kcore_text_segment

def tried(call):
    try:
        return call()
    except LayoutExpertError as error:
        return str(error)

host = find_host()
print(json.dumps({
    "release": host.release, "config": host.config.source, "package": host.kernel.package_version,
    "build_id": host.build_id, "slide": host.kaslr_slide, "kcore": tried(kcore_text_segment),
    "symbols": tried(lambda: {name: host.symbols.addresses[name] for name in ("_text", "init_task", "linux_banner")}),
}))
"""


@pytest.fixture(scope="module")
def machine():
    try:
        guest = Guest(SERIES, with_environment=False)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {SERIES}: {reason}")
    with guest:
        packed, package = io.BytesIO(), Path(rekall_layout_expert.__file__).parent
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in package.rglob("*"):
                if path.suffix in (".py", ".json"):
                    archive.add(path, path.relative_to(package.parent))
        guest.put(packed.getvalue(), "/tmp/package.tar")
        guest.put(PROBE.encode(), "/tmp/probe.py")
        guest.check("cd /tmp && tar xf package.tar && chmod -R go+rX .")
        guest.check("mount -t securityfs none /sys/kernel/security")
        yield guest


def probe(machine, prefix=""):
    return json.loads(machine.check(f"cd /tmp && PYTHONPATH=/tmp {prefix} python3 -B probe.py", timeout=300))


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.ci
def test_root_finds_everything_where_the_kernel_says_it_is(machine):
    found = probe(machine)
    shown = machine.check("cat /proc/kallsyms")
    running = {name: int(re.search(rf"^(\w+) \w {name}$", shown, re.MULTILINE).group(1), 16)
               for name in ("_text", "init_task", "linux_banner")}
    assert found["slide"] == running["_text"] - 0xFFFFFFFF81000000 != 0
    assert found["symbols"] == {name: address - found["slide"] for name, address in running.items()}
    physical = int(re.search(r"(\w+)-\w+ : Kernel code", machine.check("cat /proc/iomem")).group(1), 16)
    assert found["kcore"] == [running["_text"], physical]
    release = machine.check("uname -r").strip()
    assert (found["release"], found["config"]) == (release, f"/boot/config-{release}")
    assert f"Debian {found['package']} (" in machine.check("cat /proc/version")
    assert len(found["build_id"]) == 40


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.ci
def test_closed_doors_are_told_with_what_opens_them(machine):
    machine.check("sysctl -w kernel.kptr_restrict=2")
    found = probe(machine)
    assert "/proc/kallsyms (shows only zeros: kernel.kptr_restrict is 2)" in found["symbols"]
    assert "(is the distribution's stub" in found["symbols"]
    assert found["symbols"].endswith("; as root, `sysctl kernel.kptr_restrict=1`")
    assert found["slide"] == found["kcore"][0] - 0xFFFFFFFF81000000, "kcore's headers tell it all the same"

    machine.check("sysctl -w kernel.kptr_restrict=1")
    assert isinstance(probe(machine)["symbols"], dict), "the step that the message named must help"

    found = probe(machine, "setpriv --reuid 1000 --regid 1000 --clear-groups")
    assert "lacks CAP_SYSLOG" in found["symbols"] and "lacks CAP_SYS_RAWIO" in found["kcore"]
    assert found["slide"] is None and "as root" in found["symbols"] and "as root" in found["kcore"]

    machine.check("echo confidentiality > /sys/kernel/security/lockdown")
    assert "Operation not permitted): the kernel is locked down (lockdown=confidentiality)" in probe(machine)["kcore"]
