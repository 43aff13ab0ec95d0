"""Rekall on a live kernel with its doors closed, its headers gone, its repository unwritable: one line each."""
import contextlib
import re

import kernels
import processes
import pytest

from guest.machine import Guest

SERIES = "6.1"
PSLIST = "rekall -f /proc/kcore pslist"
WITHOUT_BTF = "--pre_ast_skip btf"
TIMEOUT = 900  # seconds; without KVM everything takes ten times as long
# A thread, not the process's first, starts a command; getppid() of that names the process all the same.
THREAD_THAT_FORKS = ("import subprocess, threading; "
                     "threading.Thread(target=subprocess.run, args=(['sleep', '7777'],)).start()")

pytestmark = [pytest.mark.guest, pytest.mark.slow]


@pytest.fixture(scope="module")
def guest():
    try:
        machine = Guest(SERIES)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {SERIES}: {reason}")
    with machine:
        machine.check("mount -t securityfs none /sys/kernel/security")
        yield machine


def test_what_fails_says_what_to_do_in_one_line(guest):
    guest.check("mkdir -p /tmp/user && chown 1000 /tmp/user")
    as_user = "HOME=/tmp/user setpriv --reuid 1000 --regid 1000 --clear-groups"
    assert re.search(r"cannot open /proc/kcore .*CAP_SYS_RAWIO.*as root", only_line(guest, f"{as_user} {PSLIST}"))
    assert re.search(r"/proc/kallsyms .*CAP_SYSLOG.*as root", only_line(guest, f"{as_user} rekall layout_expert"))

    with without(guest, "/usr/src"):
        assert re.search(r"no Pre-AST .*/usr/src/linux-headers-\S+ \(absent\).*--pre_ast", only_line(guest, f"{PSLIST} {WITHOUT_BTF}"))
    with without(guest, "/boot"), without(guest, "/usr/src"):
        line = only_line(guest, PSLIST)
        assert re.search(r"no configuration .*/boot/config-\S+ \(absent\).*--config_file_path", line)


def test_without_headers_the_types_are_btfs_and_what_is_collected_serves_as_well(guest):
    with without(guest, "/usr/src"):
        steady = set(processes.from_ps(guest.check(processes.PS)).values())
        guest.check("rekall layout_expert --collect /root/host.zip", TIMEOUT)
        assert guest.check("stat -c %a /root/host.zip").strip() == "600"
        code, stdout, stderr = guest.run(PSLIST, TIMEOUT)
        steady &= set(processes.from_ps(guest.check(processes.PS)).values())
        assert code == 0 and re.match(r"rekall: there is no Pre-AST .*the types are those of its own BTF.*\n\Z", stderr), stderr
        assert len(steady) > 20 and steady <= set(processes.from_pslist(stdout).values())
        code, stdout, stderr = guest.run("rekall layout_expert --from /root/host.zip --output /root/p.json", TIMEOUT)
        assert code == 0 and "types are those of the kernel's own BTF" in stdout, stdout + stderr
    guest.check("rm -r /root/host.zip /root/.rekall_cache")


def test_profile_of_a_repository_that_cannot_be_written_is_used_all_the_same(guest):
    guest.check("mkdir -p /root/.rekall_cache/v1.0 && touch /root/.rekall_cache/v1.0/LayoutExpert")
    code, stdout, stderr = guest.run(PSLIST, TIMEOUT)
    assert code == 0 and len(processes.from_pslist(stdout)) > 20, stderr
    assert len(stderr.splitlines()) == 3 and all(text in stderr for text in (
        "Pre-AST ", "cannot write", "verified against the kernel's own BTF")), stderr
    guest.check("rm /root/.rekall_cache/v1.0/LayoutExpert")


def test_hidden_addresses_matter_only_until_there_is_a_profile(guest):
    guest.check("sysctl -w kernel.kptr_restrict=2")
    assert "as root, `sysctl kernel.kptr_restrict=1`" in only_line(guest, PSLIST)
    guest.check("sysctl -w kernel.kptr_restrict=1")
    guest.check(PSLIST, TIMEOUT)
    guest.check("sysctl -w kernel.kptr_restrict=2")
    assert len(processes.from_pslist(guest.check(PSLIST, TIMEOUT))) > 20


def test_parent_and_start_are_those_of_ps(guest):
    guest.check(f'python3 -c "{THREAD_THAT_FORKS}" > /dev/null 2>&1 & sleep 5')
    sleeping = int(guest.check("pgrep -f 'sleep [7]777'"))
    parent, start = guest.check(f"TZ=UTC ps -o ppid=,lstart= -p {sleeping}").strip().split(None, 1)
    start = int(guest.check(f"date -u -d '{start}' +%s"))
    table = guest.check(PSLIST, TIMEOUT)
    assert processes.from_pslist(table)[sleeping].ppid == int(parent)
    shown = re.search(rf"^0x\w+ sleep +{sleeping} .* (\d{{4}}-\S+ \S+)Z", table, re.MULTILINE).group(1)
    assert abs(int(guest.check(f"date -u -d '{shown}' +%s")) - start) <= 1


def test_lockdown_is_told(guest):
    guest.check("echo confidentiality > /sys/kernel/security/lockdown")
    assert re.search(r"cannot open /proc/kcore .*lockdown=confidentiality", only_line(guest, PSLIST))


@contextlib.contextmanager
def without(guest, path):
    guest.check(f"mv {path} {path}.away")
    try:
        yield
    finally:
        guest.check(f"mv {path}.away {path}")


def test_five_levels_of_page_tables():
    try:
        machine = Guest(SERIES, cpu="max")
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {SERIES}: {reason}")
    with machine as guest:
        assert re.search(r"\bla57\b", guest.check("cat /proc/cpuinfo")), "QEMU's processor has no 5-level page tables"
        before = processes.from_ps(guest.check(processes.PS))
        listed = processes.from_pslist(guest.check(PSLIST, TIMEOUT))
        after = processes.from_ps(guest.check(processes.PS))
        steady = {process for process in before.values() if process == after.get(process.pid)}
        assert len(steady) > 20 and steady <= set(listed.values())


def only_line(guest, command):
    """What a command that must fail writes, which must be one line."""
    code, stdout, stderr = guest.run(command, TIMEOUT)
    assert code == 1 and not stdout.strip() and len(stderr.strip().splitlines()) == 1, (code, stdout, stderr)
    return stderr
