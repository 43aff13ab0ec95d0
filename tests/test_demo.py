"""The demonstration: ``rekall -f samples/guest.core pslist`` makes the profile and lists what ps listed in the guest."""
import os
import subprocess
import sys
from pathlib import Path

import processes

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "guest.core"


def test_demo_lists_the_processes_that_ran_in_the_guest(tmp_path):
    true = processes.from_ps(SAMPLE.with_name("guest.core.ps").read_text())
    assert len({process.uid for process in true.values()}) > 3 and len(true) > 40

    rekall = [str(Path(sys.executable).with_name("rekall")), "-f", str(SAMPLE), "pslist"]
    for _ in ("builds the profile", "finds it"):
        done = subprocess.run(rekall, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert processes.from_pslist(done.stdout) == true, done.stdout

    made = [path for path in tmp_path.rglob("*.gz") if "LayoutExpert" in str(path)]
    assert made, "no profile was stored: was there one already?"
