"""What is taken from a host in one file, so that its memory can be analysed on another machine.

A ZIP archive (PKWARE's APPNOTE) of a few members under fixed names, with a manifest: JSON, which says what the kernel is,
whether its Pre-AST is there, and each member's size and SHA-256. It is evidence: nothing of it is ever written to a path that
it names, and what is not exactly as the manifest says, or larger than such a thing can be, is refused.
"""
from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from typing import Dict, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under, write_atomically
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.version import VERSION

_FORMAT = 1
_MANIFEST = "manifest.json"
# {member: the most bytes that it may have}. Those without which nothing can be analysed come first.
_NEEDED = {_MANIFEST: 1 << 20, "config": 16 << 20, "symbols": 256 << 20}
_LIMITS = {**_NEEDED, "btf": 64 << 20, "pre_ast": 64 << 20, "os-release": 1 << 16, "version_signature": 1 << 16}
# Small files of the host that tell who built the kernel: {member: path}.
_FILES = {"os-release": "/etc/os-release", "version_signature": "/proc/version_signature"}
_LARGEST = 128 << 20
# Of the record that ends a ZIP file: its own size, that of the locator of ZIP64 before it, and what a directory of so few
# members can have.
_END, _LOCATOR, _LARGEST_DIRECTORY = 22, 20, 1 << 12
_DATE = (1980, 1, 1, 0, 0, 0)
_AGAIN = "collect it again, and copy it whole"


class Collection(NamedTuple):
    """What was collected. As a repository it has its Pre-AST, if any, under every name of one."""

    path: str
    kernel: Kernel
    config: KernelConfig
    symbols: Symbols
    btf: Optional[bytes]
    pre_ast: Optional[bytes]

    def __str__(self) -> str:
        return self.path

    def get(self, name: str) -> Optional[bytes]:
        return self.pre_ast if name.endswith(".past") else None


def write_collection(path: Path, kernel: Kernel, config: KernelConfig, symbols: Symbols, btf: Optional[bytes] = None,
                     pre_ast: Optional[bytes] = None, about_pre_ast: Optional[dict] = None, root: Path = "/") -> Dict[str, int]:
    """Collects a kernel into the file `path`, which only its owner may read: it tells where the kernel lies in memory.

    config, symbols: as read from files, which are taken as they are. pre_ast: a Pre-AST file's content. about_pre_ast: where
    it is from, or by what it can be found. root: where the host is mounted. Returns {member: size in bytes}. Raises
    LayoutExpertError.
    """
    members = {"config": read_bounded(config.source, _LIMITS["config"]),
               "symbols": read_bounded(symbols.source, _LIMITS["symbols"]), "btf": btf, "pre_ast": pre_ast}
    for name, place in _FILES.items():
        try:
            members[name] = read_bounded(resolve_under(root, place), _LIMITS[name])
        except LayoutExpertError:
            continue  # not every distribution has it
    members = {name: data for name, data in members.items() if data}
    manifest = {
        "format": _FORMAT, "maker": f"Layout Expert {VERSION}", "kernel": kernel._asdict(), "pre_ast": about_pre_ast,
        "members": {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()},
    }
    members = {_MANIFEST: json.dumps(manifest, indent=1).encode("ascii"), **members}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr = 0o600 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    write_atomically(path, packed.getvalue(), 0o600)
    return {name: len(data) for name, data in members.items()}


def read_collection(path: Path) -> Collection:
    """What write_collection() wrote. A LayoutExpertError tells of anything else, and of what is damaged."""
    path = str(path)
    try:
        members = _members(path)
        return _collection(path, members)
    except LayoutExpertError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, TypeError,
            KeyError, AttributeError) as error:
        # zipfile has a RuntimeError for what is encrypted, and NotImplementedError for what it cannot unpack.
        raise _refused(path, f"is damaged: {error}") from error


def _collection(path: str, members: Dict[str, bytes]) -> Collection:
    manifest = json.loads(members.pop(_MANIFEST))
    if manifest["format"] != _FORMAT:
        raise LayoutExpertError(f"{path} is a collection of format {str(manifest['format'])[:20]}, this version reads "
                                f"format {_FORMAT}", next_step="use the version that collected it: " + str(manifest["maker"])[:60])
    if manifest["members"].keys() != members.keys():
        differing = sorted(manifest["members"].keys() ^ members.keys())
        raise _refused(path, f"does not hold what its manifest says: {', '.join(differing)[:200]}")
    for name, data in members.items():
        told = manifest["members"][name]
        if told["size"] != len(data) or told["sha256"] != hashlib.sha256(data).hexdigest():
            raise _refused(path, f"is damaged: its {name} is not what its manifest says")
    kernel = Kernel(**manifest["kernel"])
    if not all(value is None or isinstance(value, str) and len(value) < 1024 for value in kernel) or \
            kernel.banner and Kernel.from_banner(kernel.banner).release != kernel.release:
        raise _refused(path, "names no kernel that there can be")
    config = KernelConfig.parse(members["config"].decode("utf-8", "replace"), f"{path}, config")
    symbols = Symbols.parse(members["symbols"].decode("utf-8", "replace"), f"{path}, symbols", text_link_address(config))
    return Collection(path, kernel, config, symbols, members.get("btf"), members.get("pre_ast"))


def _members(path: str) -> Dict[str, bytes]:
    """The content of all members, none of which is there twice, unknown or too large."""
    data = read_bounded(path, _LARGEST, unpack=False)
    _check_directory(path, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members: Dict[str, bytes] = {}
        for member in archive.infolist():
            name = member.filename
            if name not in _LIMITS or name in members:
                raise _refused(path, f"holds {name[:60]!r}, which no collection holds"
                                     + (" twice" if name in members else ""))
            # What the directory says of its size may be a lie.
            with archive.open(member) as content:
                members[name] = content.read(_LIMITS[name] + 1)
            if len(members[name]) > _LIMITS[name]:
                raise _refused(path, f"holds a {name} of more than {_LIMITS[name]:,} bytes")
    missing = [name for name in _NEEDED if name not in members]
    if missing:
        raise _refused(path, f"lacks {', '.join(missing)}")
    return members


def _check_directory(path: str, data: bytes) -> None:
    """zipfile reads a directory of any length before it shows the first name."""
    tail = data[-_END - _LOCATOR:]
    end = tail[-_END:]
    if len(tail) < _END or end[:4] != b"PK\5\6" or tail.startswith(b"PK\6\7") \
            or int.from_bytes(end[12:16], "little") > _LARGEST_DIRECTORY:
        raise _refused(path, "is no ZIP file as it is made by --collect")


def _refused(path: str, why: str) -> LayoutExpertError:
    return LayoutExpertError(f"{path} {why}", next_step=_AGAIN)
