"""Process lists, as ps and as Rekall's pslist print them, in one form: {pid: Process}."""
from __future__ import annotations

import re
from typing import Dict, NamedTuple

PS = "ps -e -o pid,ppid,uid,comm"


class Process(NamedTuple):
    """What both tools tell of a process; ``name`` is the kernel's comm."""
    pid: int
    ppid: int
    uid: int
    name: str


def from_ps(text: str) -> Dict[int, Process]:
    """Read what PS prints."""
    rows = (line.split(None, 3) for line in text.splitlines()[1:])
    return {int(pid): Process(int(pid), int(ppid), int(uid), _comm(name)) for pid, ppid, uid, name in rows}


def from_pslist(text: str) -> Dict[int, Process]:
    """Read the table that pslist prints: the task's address, name and pid, then ppid, uid, gid and more."""
    rows = re.findall(r"^0x[0-9a-f]+ (\S.*?) +(\d+) +(\d+) +(\d+) +\d+ ", text, re.MULTILINE)
    found = {int(pid): Process(int(pid), int(ppid), int(uid), name) for name, pid, ppid, uid in rows}
    assert len(found) == len(rows), "a process is listed twice:\n" + text
    return found


def _comm(name: str) -> str:
    """The kernel's comm for a name that ps prints.

    Of kernel threads /proc tells more than comm holds: a worker's last work queue after its own name (since 4.18), and
    names of any length (since 5.17; comm keeps 15 characters).
    """
    return re.sub(r"^(kworker/u?\d+:\d+H?)[-+].*", r"\1", name)[:15]
