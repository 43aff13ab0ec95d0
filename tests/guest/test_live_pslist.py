"""``rekall -f /proc/kcore pslist`` on a host that nobody prepared: Debian's kernels in QEMU, held against ps."""
import re
import time

import kernels
import processes
import pytest

from guest.machine import Guest

PSLIST = "rekall -f /proc/kcore pslist"
TIMEOUT = 900  # seconds; without KVM everything takes ten times as long

# The first start tells where the Pre-AST is from, and what came of holding the profile against /sys/kernel/btf/vmlinux.
VERIFIED = r"rekall: Pre-AST built from the installed headers \S+: .*\nrekall: [4-9]\d\d structs verified against the kernel's own BTF\n\Z"

# QEMU's CPU decides about the page tables: qemu64's have 4 levels, max's have 5.
FOUR_LEVELS, FIVE_LEVELS = "qemu64", "max"
MATRIX = [(series, FOUR_LEVELS) for series in kernels.SUITES] + [("6.12", FIVE_LEVELS)]
IN_CI = ("6.1", FOUR_LEVELS)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("series, cpu", [pytest.param(*case, marks=[pytest.mark.ci] * (case == IN_CI))
                                         for case in MATRIX])
def test_pslist_prints_what_ps_prints(series, cpu, capsys):
    try:
        machine = Guest(series, cpu=cpu)
    except kernels.Unavailable as reason:
        pytest.skip(f"no guest with Linux {series}: {reason}")
    with machine as guest:
        assert guest.run("for name in cc gcc clang tcc; do command -v $name; done")[1] == "", "there is a compiler"
        assert ("la57" in guest.get("/proc/cpuinfo").decode()) == (cpu == FIVE_LEVELS)
        assert stored_in(guest) == ""

        first = seconds_of(check_pslist, guest, VERIFIED)
        stored = stored_in(guest)
        assert "LayoutExpert" in stored

        second = seconds_of(check_pslist, guest, r"\Z")
        assert stored_in(guest) == stored, "the second start wrote to the profile repository"
        log = guest.run("rekall -v -f /proc/kcore pslist", TIMEOUT)[2]
        assert "Layout Expert: stored profile" in log
        assert "Layout Expert: pre_ast" not in log
    with capsys.disabled():
        print(f"\n{machine.system.kernel.release}, {cpu}: first start {first:.1f} s in the guest, second {second:.1f} s")


def check_pslist(guest, told):
    """One run of pslist, between two of ps: what both of these list, pslist lists, and nothing but that and itself.

    told: what has to be on standard error.
    """
    commands = f"{processes.PS} > /run/before; {PSLIST}; code=$?; {processes.PS} > /run/after; exit $code"
    code, stdout, stderr = guest.run(commands, TIMEOUT)
    assert code == 0, stdout + stderr
    assert re.match(told, stderr), stderr
    listed = processes.from_pslist(stdout)
    before, after = (processes.from_ps(guest.get(f"/run/{name}").decode()) for name in ("before", "after"))
    steady = {process for process in before.values() if process == after.get(process.pid)}
    assert len(steady) > 20
    assert not steady - set(listed.values()), stdout
    passing = set(listed.values()) - set(before.values()) - set(after.values())
    assert [process.name for process in passing] == ["rekall"], stdout


def stored_in(guest):
    """Rekall's profile repository: each file's name, time of change and size."""
    repository = "/root/.rekall_cache/v1.0"
    return guest.check(f"test ! -e {repository} || find {repository} -type f -printf '%p %T@ %s\\n' | sort")


def seconds_of(function, *arguments):
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start
