"""Records the sample that ``make demo`` analyses: a real Debian guest's memory, as far as pslist reads it.

    .venv/bin/python samples/record.py

A guest with some processes of several users is booted in QEMU (tests/guest/machine.py says what that needs), its whole
memory is dumped, and Rekall lists the processes of the dump while every read of the image is noted. The pages that were
read become guest.core, an ELF core with one segment for each run of them; the others are absent, and Rekall reads them
as zeros. Beside it lie what the Layout Expert needs (guest.core.config, .kallsyms.gz, .pre_ast) and what ps printed in
the guest (guest.core.ps). There is no profile: the demonstration makes it.
"""
from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterable, Iterator, List, Set, Tuple

SAMPLES = Path(__file__).resolve().parent
sys.path.insert(0, str(SAMPLES.parent / "tests"))

import processes
from elftools.elf.elffile import ELFFile
from guest.machine import Guest

from rekall_layout_expert import build_pre_ast, write_pre_ast

SERIES = "6.1"
MEMORY_MB = 256
PAGE = 4096
IMAGE = "guest.core"

AS = "setpriv --reuid={0} --regid={0} --clear-groups "
WORKLOAD = [
    AS.format("www-data") + "python3 -m http.server --directory /usr/share 8080",
    AS.format("alice") + "bash -c 'sleep 2d | tail -f /dev/null; true'",
    AS.format("bob") + "vmstat 3600",
    AS.format("nobody") + "sleep 1d",
    "tail -f /var/log/lastlog",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / IMAGE
        record_guest(dump)
        pages = pages_read(dump, Path(scratch) / "home")
        write_pages(dump, pages, SAMPLES / IMAGE)
        for beside in Path(scratch).glob(IMAGE + ".*"):
            (SAMPLES / beside.name).write_bytes(beside.read_bytes())
    listed = processes.from_pslist(pslist(SAMPLES / IMAGE))
    if listed != processes.from_ps((SAMPLES / f"{IMAGE}.ps").read_text()):
        raise SystemExit("what pslist lists is not what ps listed in the guest")
    sizes = ", ".join(f"{path.name} {path.stat().st_size}" for path in sorted(SAMPLES.glob(IMAGE + "*")))
    print(f"{len(listed)} processes, {len(pages)} pages; bytes: {sizes}")


def record_guest(dump: Path) -> None:
    """Dump a guest's memory, with the files that belong beside it."""
    with Guest(SERIES, memory_mb=MEMORY_MB, with_environment=False) as guest:
        guest.check("mkdir -p /var/log; touch /var/log/lastlog")
        for command in WORKLOAD:
            guest.check(command + " >/dev/null 2>&1 &")
        guest.check("sleep 5")
        listing = without_ps(guest.check(processes.PS))
        guest.dump_memory(str(dump))
        if processes.from_ps(listing) != processes.from_ps(without_ps(guest.check(processes.PS))):
            raise SystemExit("a process came or went while the memory was dumped: try again")
        beside(dump, "ps").write_text(listing)
        beside(dump, "config").write_bytes(guest.system.kernel.config.read_bytes())
        beside(dump, "kallsyms.gz").write_bytes(gzip.compress(guest.get("/proc/kallsyms"), 9, mtime=0))
        pre_ast = build_pre_ast(str(guest.system.kernel.tree))
        write_pre_ast(pre_ast, str(beside(dump, "pre_ast")))


def without_ps(listing: str) -> str:
    """What ps printed, without ps itself and the shell that ran it."""
    listed = processes.from_ps(listing)
    (ps,) = [process for process in listed.values() if process.name == "ps"]
    lines = listing.splitlines(keepends=True)
    return "".join(lines[:1] + [line for line in lines[1:] if int(line.split()[0]) not in (ps.pid, ps.ppid)])


def pages_read(dump: Path, home: Path) -> Set[int]:
    """Numbers of the physical pages that Rekall reads of a dump to list its processes, with and without a profile."""
    from rekall import rekal
    from rekall.plugins.addrspaces import standard

    from rekall_layout_expert.plugin import kernel_btf

    home.mkdir()
    os.environ["HOME"] = str(home)
    reads: Set[Tuple[int, int]] = set()
    plain_read = standard.FDAddressSpace.read

    def noting_read(self, address, length):
        if getattr(self, "fname", None) == str(dump):
            reads.add((int(address), int(length)))
        return plain_read(self, address, length)

    standard.FDAddressSpace.read = noting_read
    kernel_btf.read_btf = lambda *_: None  # it has more pages than all else
    for _ in range(2):
        rekal.main(["-f", str(dump), "pslist"])
    standard.FDAddressSpace.read = plain_read

    with open(dump, "rb") as file:
        segments = list(load_segments(file))
    pages = set()
    for offset, length in reads:
        for address, start, size in segments:
            first, end = max(offset, start), min(offset + length, start + size)
            if first < end:
                pages.update(range((first - start + address) // PAGE, (end - 1 - start + address) // PAGE + 1))
    return pages


def write_pages(dump: Path, pages: Iterable[int], target: Path) -> None:
    """Write an ELF core of the given pages of a dump, a segment for each run of them."""
    runs: List[List[int]] = []
    for page in sorted(pages):
        if runs and page == runs[-1][0] + runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([page, 1])
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(runs), 64, 0, 0)
    offset = len(header) + 56 * len(runs)
    segments, contents = [], []
    with open(dump, "rb") as file:
        places = list(load_segments(file))
        for page, count in runs:
            address, length = page * PAGE, count * PAGE
            segments.append(struct.pack("<IIQQQQQQ", 1, 4, offset, address, address, length, length, 0))
            offset += length
            (place,) = [start + address - base for base, start, size in places if base <= address < base + size]
            file.seek(place)
            contents.append(file.read(length))
    target.write_bytes(header + b"".join(segments) + b"".join(contents))


def load_segments(file) -> Iterator[Tuple[int, int, int]]:
    """Each segment of an ELF core: physical address, place in the file and size, in bytes."""
    for segment in ELFFile(file).iter_segments("PT_LOAD"):
        yield segment["p_paddr"], segment["p_offset"], segment["p_filesz"]


def pslist(image: Path) -> str:
    """What the demonstration prints for an image."""
    with tempfile.TemporaryDirectory() as home:
        rekall = str(Path(sys.executable).with_name("rekall"))
        return subprocess.run([rekall, "-f", str(image), "pslist"], env={**os.environ, "HOME": home}, check=True, text=True,
                              stdout=subprocess.PIPE).stdout


def beside(image: Path, what: str) -> Path:
    return image.with_name(f"{image.name}.{what}")


if __name__ == "__main__":
    main()
