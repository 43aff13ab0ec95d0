"""Records the images that tests/test_linux_plugins.py reads: of a guest's memory what the plugins read of it.

    python tests/images/record.py [--from FOLDER --pre_ast FILE] SERIES...

Needs Rekall, and, without a dump that is there already, QEMU (tests/guest/machine.py says what that needs). A guest boots,
runs guest/workload.py, tells what there is (guest/truth.py), and its whole memory is dumped. The tests then run on the
dump while every read of it is noted, and each type, symbol and name of an address that is asked for. What was read becomes
SERIES/image.core.gz, an ELF core whose segments are runs of pages, with zeros in them for what was not; what was asked for
becomes the profile beside it. --from takes a dump with guest.core, config, kallsyms and truth.json in its folder.
"""
from __future__ import annotations

import argparse
import gzip
import inspect
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Set, Tuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import linux_plugins
from elftools.elf.elffile import ELFFile

PAGE = 4096
MEMORY_MB = 256
# What a plugin asks for only where something was tampered with: tests do that to the images.
TYPES, SYMBOLS = {"notifier_block"}, {"_etext"}
CONFIG = ("CONFIG_NR_CPUS", "CONFIG_HZ", "CONFIG_KASAN", "CONFIG_X86_FRED", "CONFIG_DEFAULT_HOSTNAME")


class Asked(dict):
    """A profile's types, which notes what is asked for, also of its copies."""

    def __init__(self, types: dict, names: Set[str]):
        super().__init__(types)
        self.names = names

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def copy(self) -> Asked:
        return Asked(self, self.names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", nargs="+")
    parser.add_argument("--from", dest="folder", type=Path, help="a dump that is there already")
    parser.add_argument("--pre_ast", help="the Pre-AST to make the profile from")
    arguments = parser.parse_args()
    for series in arguments.series:
        with tempfile.TemporaryDirectory() as scratch:
            folder = arguments.folder or dump_guest(series, Path(scratch))
            record(folder, arguments.pre_ast, HERE / series, Path(scratch) / "home")


def dump_guest(series: str, folder: Path) -> Path:
    """Boots a guest with the workload, and writes what it tells and its memory into a folder."""
    from guest.machine import Guest

    with Guest(series, memory_mb=MEMORY_MB, with_environment=False) as guest:
        guest.start_workload()
        truth = guest.truth()
        guest.dump_memory(str(folder / "guest.core"))
        (folder / "truth.json").write_text(json.dumps(truth))
        (folder / "kallsyms").write_bytes(guest.get("/proc/kallsyms"))
        (folder / "config").write_bytes(guest.system.kernel.config.read_bytes())
    return folder


def record(folder: Path, pre_ast: str, target: Path, home: Path) -> None:
    """Runs the tests on a dump, and writes what that took."""
    from rekall import session
    from rekall.plugins.addrspaces import standard

    home.mkdir()
    os.environ["HOME"] = str(home)
    dump = str((folder / "guest.core").resolve())
    rekall = session.Session(filename=dump, config_file_path=str(folder / "config"), system=str(folder / "kallsyms"),
                             pre_ast=pre_ast, autodetect=["layout_expert"], cache="memory", repository_path=[])
    profile = rekall.profile
    reads: Set[Tuple[int, int]] = set()
    symbols: Set[str] = set()
    plain_read, plain_nearest, plain_constant = (
        standard.FDAddressSpace.read, type(profile).get_nearest_constant_by_address, type(profile).get_constant)

    def noting_read(self, address, length):
        if getattr(self, "fname", None) == dump:
            reads.add((int(address), int(length)))
        return plain_read(self, address, length)

    def noting_nearest(self, address, below=True):
        found = plain_nearest(self, address, below)
        symbols.update(found[1])
        return found

    def noting_constant(self, name, is_address=False):
        symbols.add(name)
        return plain_constant(self, name, is_address)

    standard.FDAddressSpace.read = noting_read
    type(profile).get_nearest_constant_by_address = noting_nearest
    type(profile).get_constant = noting_constant
    truth = json.loads((folder / "truth.json").read_text())
    fixture = {"slide": rekall.GetParameter("kernel_slide"), "page_offset": rekall.GetParameter("page_offset")}
    data = profile.data
    # As the tests have it: a session that is given its profile.
    rekall = linux_plugins.session_on(dump, home)
    linux_plugins.give_profile(rekall, data, **fixture)
    # What was compiled to find the kernel; a plugin that adds types makes the profile forget that.
    names: Set[str] = set(rekall.profile.types)
    rekall.profile.vtypes = Asked(rekall.profile.vtypes, names)
    run_tests(rekall, truth)
    standard.FDAddressSpace.read = plain_read
    names = (names | TYPES | set(rekall.profile.types)) & set(data["$STRUCTS"])
    write_json(target / "profile.json.gz", dict(
        {"$METADATA": {key: data["$METADATA"][key] for key in ("Type", "ProfileClass", "arch", "release", "banner")},
         "$STRUCTS": {name: data["$STRUCTS"][name] for name in names},
         "$CONSTANTS": with_neighbours(data["$CONSTANTS"], symbols | SYMBOLS),
         "$CONFIG": {key: value for key, value in data["$CONFIG"].items() if key in CONFIG},
         "$LAYOUT_EXPERT": {}}, fixture=fixture))
    write_json(target / "truth.json.gz", truth)
    write_image(Path(dump), reads, target / "image.core.gz")
    sizes = ", ".join(f"{path.name} {path.stat().st_size:,}" for path in sorted(target.iterdir()))
    print(f"{target.name}: {len(names)} types, {len(symbols)} symbols, {sizes}")


def run_tests(rekall, truth: dict) -> None:
    """Every test that takes a guest."""
    import test_linux_plugins

    from rekall_layout_expert.plugin.linux import network, socket_tables

    guest = (lambda name, **arguments: linux_plugins.run(rekall, name, **arguments)), truth
    for test in linux_plugins.tests_of_a_guest(test_linux_plugins).values():
        for path in test_linux_plugins.PATHS if "path" in inspect.signature(test).parameters else (None,):
            test(guest, **({"path": path} if path else {}))
    # What netstat asks only of sockets whose process was hidden.
    for common in socket_tables.hashed_sockets(rekall).values():
        network.holder_of(common)


def with_neighbours(constants: Dict[str, int], wanted: Set[str]) -> Dict[str, int]:
    """The symbols that were asked for, and what follows each: where a table ends is where the next symbol begins."""
    addresses = sorted(set(constants.values()))
    following = dict(zip(addresses, addresses[1:]))
    kept = {constants[name] for name in wanted if name in constants}
    kept |= {following[address] for address in kept if address in following}
    one_name = {address: name for name, address in constants.items() if address in kept}
    return {**{name: address for address, name in one_name.items()},
            **{name: constants[name] for name in wanted if name in constants}}


def write_json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def write_image(dump: Path, reads: Set[Tuple[int, int]], target: Path) -> None:
    """An ELF core of the pages that were read, with zeros for what of them was not."""
    pages: Dict[int, bytearray] = {}
    with open(dump, "rb") as file:
        segments = [(segment["p_paddr"], segment["p_offset"], segment["p_filesz"])
                    for segment in ELFFile(file).iter_segments("PT_LOAD")]
        for offset, length in sorted(reads):
            for address, start, size in segments:
                first, end = max(offset, start), min(offset + length, start + size)
                while first < end:
                    physical = first - start + address
                    page, at = divmod(physical, PAGE)
                    count = min(end - first, PAGE - at)
                    file.seek(first)
                    pages.setdefault(page, bytearray(PAGE))[at:at + count] = file.read(count)
                    first += count
    runs: List[List[int]] = []
    for page in sorted(pages):
        if runs and page == runs[-1][0] + runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([page, 1])
    offset = 64 + 56 * len(runs)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(runs), 64, 0, 0)
    for page, count in runs:
        length = count * PAGE
        header += struct.pack("<IIQQQQQQ", 1, 4, offset, page * PAGE, page * PAGE, length, length, 0)
        offset += length
    content = b"".join(bytes(pages[page + number]) for page, count in runs for number in range(count))
    target.write_bytes(gzip.compress(header + content, 9, mtime=0))


if __name__ == "__main__":
    main()
