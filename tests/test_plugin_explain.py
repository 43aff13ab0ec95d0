"""`rekall layout_expert --explain` on the sample image, and where there is only a stored profile."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "guest.core"


@pytest.fixture
def rekall(tmp_path):
    """Runs rekall in a home of its own."""

    def run(*arguments):
        return subprocess.run([str(Path(sys.executable).with_name("rekall")), *map(str, arguments)], cwd=SAMPLE.parent.parent,
                              env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=300)

    return run


def test_a_struct_of_an_image(rekall):
    done = rekall("-f", SAMPLE, "layout_expert", "--explain", "task_struct")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("struct task_struct {  // include/linux/sched.h:")
    assert re.search(r"^\tchar +comm\[16\]; +/\* +\d+ +16 \*/  // include/linux/sched.h:\d+$", done.stdout, re.M)
    assert re.search(r"^\tint +on_cpu; +/\* +\d+ +4 \*/  // include/linux/sched.h:\d+  CONFIG_SMP$", done.stdout, re.M)


def test_a_member_by_files_alone(rekall):
    done = rekall("layout_expert", "--config_file_path", "%s.config" % SAMPLE, "--pre_ast", "%s.pre_ast" % SAMPLE,
                  "--explain", "sk_buff.tc_index")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  conditions  CONFIG_NET_SCHED  \[CONFIG_NET_SCHED=y\]$", done.stdout, re.M)


def test_a_name_that_is_not_there_ends_in_one_line(rekall):
    done = rekall("-f", SAMPLE, "layout_expert", "--explain", "task_struct.com")
    assert done.returncode == 1 and not done.stdout.strip()
    assert done.stderr.strip() == "rekall: task_struct has no member com; close to it: comm, seccomp"


def test_without_headers_a_stored_profile_tells_the_layout(rekall, tmp_path):
    image = tmp_path / "guest.core"
    for ending in ("", ".config", ".kallsyms.gz", ".pre_ast"):
        (tmp_path / ("guest.core" + ending)).symlink_to(str(SAMPLE) + ending)
    assert rekall("-f", image, "pslist").returncode == 0
    (tmp_path / "guest.core.pre_ast").unlink()
    done = rekall("-f", image, "layout_expert", "--offline", "--explain", "list_head")
    assert done.returncode == 0, done.stderr
    assert re.search(r"list_head \* +next; +/\* +0 +8 \*/$", done.stdout, re.M) and "is not known" in done.stdout
