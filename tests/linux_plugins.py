"""Rekall's plugins run on an image or a live kernel, and what they put out as rows that tests can hold against the truth.

Rows are plain: what cells of Rekall's own types say is put in values that JSON has, so that rows come out of a guest as
they are. A fixture is a folder with what the plugins read of a guest's memory and nothing else: image.core.gz, an ELF core of runs of
bytes; profile.json.gz, the part of the profile that was asked for; truth.json.gz, what the guest itself told.
"""
from __future__ import annotations

import gzip
import inspect
import io
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, List

from rekall import obj, plugin, plugins, session  # noqa: F401: imports all plugins
from rekall.plugins.overlays import basic
from rekall.plugins.tools.disassembler import Function

from rekall_layout_expert.plugin.detection import LayoutExpertDetection

FIXTURES = Path(__file__).resolve().parent / "images"


def plain(cell: Any) -> Any:
    """What a cell says, in values that JSON has.

    A struct is {"type", "address"}, a task_struct has its "pid" and "comm", too, and a function is its address. A time is
    its seconds since 1970, what has a text of its own (flags, names of enumerations, addresses) that text, and what is not
    there is None.
    """
    if isinstance(cell, obj.NoneObject):
        return None
    if cell is None or type(cell) in (bool, int, float, str):
        return cell
    if isinstance(cell, dict):
        return {str(key): plain(value) for key, value in cell.items()}
    if isinstance(cell, (list, tuple, set, frozenset)):
        return [plain(each) for each in cell]
    if isinstance(cell, bytes):
        return cell.decode("latin1")
    if isinstance(cell, basic.UnixTimeStamp):
        return int(cell.v())
    if isinstance(cell, obj.Bool):
        return bool(cell.v())
    if isinstance(cell, Function):
        return int(cell.obj_offset)
    if isinstance(cell, (basic.String, basic.Flags, basic.Enumeration, basic.Ipv4Address, basic.Ipv6Address, basic.MacAddress)):
        return str(cell)
    if isinstance(cell, (obj.NativeType, int)):
        return int(cell)
    if isinstance(cell, obj.BaseObject):
        if cell.obj_type in ("kuid_t", "kgid_t"):
            return int(cell.val)
        named = {"pid": int(cell.pid), "comm": str(cell.comm)} if cell.obj_type == "task_struct" else {}
        return {"type": cell.obj_type, "address": int(cell.obj_offset), **named}
    return str(cell)


class Rows:
    """In place of a renderer: keeps rows, each a list of cells or a dictionary, and files that are written."""

    def __init__(self):
        self.rows: List[Any] = []
        self.files: Dict[str, bytes] = {}
        self.text = ""

    def table_header(self, *_, **__):
        pass

    def section(self, *_, **__):
        self.rows.append("section")

    def write(self, text):
        self.text += str(text)

    def format(self, text, *arguments):
        # Rekall's own forms, as [addrpad], are of its tables.
        self.text += re.sub(r"(\{\d*):[^{}]*\}", r"\1}", text).format(*arguments)

    def RenderProgress(self, *_, **__):
        pass

    def table_row(self, *cells, **__):
        self.rows.append(plain(cells))

    @contextmanager
    def open(self, directory=None, filename=None, mode="rb"):
        stream = io.StringIO() if "t" in mode else io.BytesIO()
        stream.name = filename
        yield stream
        content = stream.getvalue()
        self.files[filename] = content.encode() if "t" in mode else content


def run(rekall, name: str, **arguments) -> Rows:
    """A plugin's rows; a plugin that is not there fails."""
    found = Rows()
    chosen = getattr(rekall.plugins, name)
    assert chosen, f"{name} is not active"
    instance = chosen(**arguments)
    rekall.GetRenderer = lambda *_, **__: found
    try:
        if type(instance).render is plugin.TypedProfileCommand.render:
            columns = [column["name"] for column in instance.table_header]
            for row in instance.collect():
                found.rows.append(plain(row if isinstance(row, dict) else dict(zip(columns, row))))
        else:
            instance.render(found)
    finally:
        del rekall.GetRenderer
    return found


def tests_of_a_guest(module) -> Dict[str, Callable]:
    """The tests of a module that take a guest, by name."""
    return {name: test for name, test in vars(module).items()
            if name.startswith("test_") and "guest" in inspect.signature(test).parameters}


def open_fixture(folder: Path, scratch: Path):
    """(session on the image of a fixture, what the guest told)."""
    image = scratch / "image.core"
    image.write_bytes(gzip.decompress((folder / "image.core.gz").read_bytes()))
    data = json.loads(gzip.decompress((folder / "profile.json.gz").read_bytes()))
    truth = json.loads(gzip.decompress((folder / "truth.json.gz").read_bytes()))
    rekall = session_on(str(image), scratch)
    give_profile(rekall, data, **data.pop("fixture"))
    return rekall, truth


def tampered_with(folder: Path, scratch: Path, edit: Callable):
    """A session on a copy of a fixture's image, in which bytes were changed.

    edit: called with a session on the image as it is; returns {virtual address in the kernel: new bytes}.
    """
    scratch.mkdir()
    rekall, _ = open_fixture(folder, scratch)
    changes = {rekall.kernel_address_space.vtop(int(address)): data for address, data in edit(rekall).items()}
    path = scratch / "image.core"
    content = bytearray(path.read_bytes())
    for run in rekall.physical_address_space.get_mappings():
        for address, data in changes.items():
            if run.start <= address < run.end:
                at = run.file_offset + address - run.start
                content[at:at + len(data)] = data
    path.write_bytes(content)
    data = json.loads(gzip.decompress((folder / "profile.json.gz").read_bytes()))
    rekall = session_on(str(path), scratch)
    give_profile(rekall, data, **data.pop("fixture"))
    return rekall


def session_on(image: str, home: Path):
    """A session on an image, without a profile."""
    os.environ["HOME"] = str(home)
    rekall = session.Session(filename=image, autodetect=[], cache="memory", repository_path=[], logging_level=40)
    rekall.plugins.load_as().GetPhysicalAddressSpace()
    return rekall


def give_profile(rekall, data: dict, slide: int, page_offset: int) -> None:
    """Sets a session up with a profile, as detection does when it has found the kernel."""
    profile = obj.Profile.LoadProfileFromData(data, session=rekall, name="fixture")
    rekall.SetCache("kernel_slide", slide, volatile=False)
    rekall.SetParameter("page_offset", page_offset)
    assert LayoutExpertDetection(session=rekall).VerifyProfile(profile)
