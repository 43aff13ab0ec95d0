"""A library in a directory, to be written: adding, verifying, pruning, signing.

Files appear whole or not at all, and in an order in which whatever is there is complete: the base before
the version that needs it, the version before the index that lists it. So nothing is lost but what was in
the making when a writer dies, and readers need no lock. Writers take turns under a lock, which the system
takes from one that dies. The index is made of the versions and is made again if it is missing.
"""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.host.release import series_of
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.storage import CONTENT_LIMIT
from rekall_layout_expert.supply.library import INDEX, OBJECTS, delta, entries_of, envelope, is_name, pre_ast_of
from rekall_layout_expert.supply.library.compression import pack, unpack
from rekall_layout_expert.supply.library.lines import lines_of
from rekall_layout_expert.supply.library.signatures import Signer
from rekall_layout_expert.supply.names import name_of
from rekall_layout_expert.supply.repository import DirectoryRepository

# Bytes. A version that would add more than this to every base becomes a base itself. With B for a base (some
# 500 KB), d for the drift of a series from one release in the library to the next (0.3 KB if it has all) and n
# for the releases that share a base, one costs B/n + d*n/2. That is least at small deltas for who adds all
# releases, and at large ones for who adds some; a new base is what nobody wants for a point release.
LARGEST_DELTA = 59000
_MOST_BASES = 4  # that are tried for a version
_TEMPORARY = re.compile(r"\.[^/]+\.[^/.]{8}\Z")  # what files.write_atomically() leaves if it is killed
_OLD = 3600.0  # seconds: nobody is writing any more what is older


class Parcel(NamedTuple):
    """A Pre-AST on its way into a library.

    state: what tells the tree that it was built from and the tool, so that it is not built twice. text: its lines.
    """

    name: str
    statement: dict
    text: str
    state: Optional[str] = None


def parcel_of(pre_ast: PreAst, release: Optional[str] = None, state: Optional[str] = None) -> Parcel:
    """The parcel of a Pre-AST.

    release: under which it is looked for, where the tree does not tell; by default that is the version, as
    it is of a vanilla kernel.
    """
    header = pre_ast.header
    release = release or header["release"] or header["version"]
    package_version = header.get("package_version")
    statement = {
        "name": name_of(release, header["arch"], package_version), "digest": pre_ast.digest, "arch": header["arch"],
        "release": header["release"], "version": header["version"], "package_version": package_version,
        "source": header["source"], "common": header["common"],
    }
    return Parcel(statement["name"], statement, "\n".join(lines_of(header, pre_ast.files)), state)


class Store:
    """The library in a directory, which comes into being when something is added.

    signer: signs what is written; without one, what is new is not signed.
    """

    def __init__(self, directory: Path, signer: Optional[Signer] = None):
        self.repository = DirectoryRepository(directory)
        self._signer = signer
        self._bases: Dict[str, List[str]] = {}

    def __str__(self) -> str:
        return str(self.repository)

    def exists(self) -> bool:
        return os.path.isdir(os.path.join(self.repository.directory, "pre_ast"))

    def add(self, parcel: Parcel) -> Tuple[str, int]:
        """Adds a Pre-AST, or replaces another of its name: ("ADDED" | "REPLACED" | "UNCHANGED", bytes it took).

        A LayoutExpertError tells why it could not be written.
        """
        with self._locked():
            serial, entries = self._index(to_write=True)
            old = entries.get(parcel.name)
            if old and old["digest"] == parcel.statement["digest"] and self._is_whole(parcel.name, old):
                if old.get("state") != parcel.state:
                    self._put_index(serial, {**entries, parcel.name: {**old, "state": parcel.state}})
                return "UNCHANGED", 0
            lines = parcel.text.split("\n")
            base, payload, taken = self._against_a_base(parcel, lines, entries)
            statement = {**parcel.statement, "base": base, "serial": serial}
            entry = self._put_version(envelope.sealed(envelope.VERSION, statement, payload))
            self._put_index(serial, {**entries, parcel.name: {**entry, "state": parcel.state}})
            return "REPLACED" if old else "ADDED", taken + entry["size"]

    def entries(self, to_write: bool = False) -> Dict[str, dict]:
        """The index (see `Library.index`); `state` besides, see `Parcel`. to_write: as for who is about to add."""
        with self._locked():
            return self._index(to_write)[1]

    def drop(self, names: Iterable[str]) -> None:
        """Takes versions out. A LayoutExpertError tells of one that is not there, and then none is taken out."""
        with self._locked():
            serial, entries = self._index(to_write=True)
            names = list(names)
            for name in names:
                if name not in entries:
                    raise LayoutExpertError(f"{self} has no {name}", next_step="'layout_tool library list' shows what it has")
            self._put_index(serial, {name: entry for name, entry in entries.items() if name not in names})
            for name in names:
                self._remove(name)

    def prune(self) -> Tuple[int, int]:
        """Removes the bases that no version needs and what writers left that died: (files, bytes)."""
        with self._locked():
            needed = {OBJECTS + entry["base"] for entry in self._index()[1].values()}
            files = size = 0
            for name, path in self._files():
                is_left = _TEMPORARY.search(path) and time.time() - os.stat(path).st_mtime > _OLD
                if name.startswith(OBJECTS) and not _TEMPORARY.search(path) and name not in needed or is_left:
                    files, size = files + 1, size + os.stat(path).st_size
                    os.unlink(path)
            return files, size

    def sign(self) -> int:
        """Has the signer sign all versions and the index that it has not signed yet; the number of versions."""
        with self._locked():
            serial, entries = self._index()
            signed = 0
            for name in sorted(entries):
                version = envelope.opened(self._read(name), envelope.VERSION, name)
                if not version.signers([self._signer.public]):
                    entries[name] = {**entries[name], **self._put_version(version)}
                    signed += 1
            self._put_index(serial, entries)
            return signed

    def verify(self, keys: Sequence[bytes], report: Callable[[str], None]) -> int:
        """Reads everything, and reports what is wrong, a line each; the number of lines.

        keys: of which one must have signed, if there are any. Needs no lock, and may be told of what a
        writer is about to complete.
        """
        wrong = 0
        entries = self._index()[1]
        for name in [INDEX, *sorted(entries, key=lambda name: (entries[name]["base"], name))]:
            try:
                if name == INDEX:
                    self._verify_index(keys, entries)
                else:
                    self._verify_version(name, entries[name], keys)
            except LayoutExpertError as error:
                report(f"{name}: {error}")
                wrong += 1
        return wrong

    def _verify_version(self, name: str, entry: dict, keys: Sequence[bytes]) -> None:
        data = self._read(name)
        version = envelope.opened(data, envelope.VERSION, "it")
        if version.statement.get("name") != name:
            raise LayoutExpertError(f"it was published as {version.statement.get('name')!r}")
        if hashlib.sha256(data).hexdigest() != entry["file"]:
            raise LayoutExpertError("it is not what the index lists")
        if keys and not version.signers(keys):
            raise LayoutExpertError("it is signed by none of the keys")
        pre_ast_of(version, self._base)

    def _verify_index(self, keys: Sequence[bytes], entries: Dict[str, dict]) -> None:
        if keys and not envelope.opened(self._read(INDEX), envelope.INDEX, "it").signers(keys):
            raise LayoutExpertError("it is signed by none of the keys")
        unlisted = sorted({name for name, _ in self._files() if is_name(name)} - entries.keys())
        if unlisted:
            raise LayoutExpertError(f"it does not list {', '.join(unlisted)}", next_step="if it is deleted, it is made again")

    # What a version is stored as

    def _against_a_base(self, parcel: Parcel, lines: List[str], entries: Dict[str, dict]) -> Tuple[str, bytes, int]:
        """(digest of the base, delta against it, bytes that a new base took)."""
        best = None
        for digest in self._near_bases(parcel.statement, entries):
            try:
                base = self._base(digest)
            except LayoutExpertError:
                continue  # verify() tells of it; what is added must not depend on it
            payload = pack("\n".join(delta.delta(base, lines)))
            if best is None or len(payload) < len(best[1]):
                best = digest, payload
            if len(payload) <= LARGEST_DELTA // 4:
                break
        if best is not None and len(best[1]) <= LARGEST_DELTA:
            return (*best, 0)
        data = pack(parcel.text)
        digest = hashlib.sha256(data).hexdigest()
        self.repository.put(OBJECTS + digest, data)
        self._hold(digest, lines)
        return digest, pack("\n".join(delta.delta(lines, lines))), len(data)

    @staticmethod
    def _near_bases(statement: dict, entries: Dict[str, dict]) -> List[str]:
        """The bases of the same series' versions, the likeliest first."""
        def distance(entry: dict):
            numbers = zip(_numbers(entry["version"]), _numbers(statement["version"]))
            return (entry["source"] != statement["source"], [abs(one - other) for one, other in numbers],
                    entry["arch"] != statement["arch"])

        series = series_of(statement["version"])
        near = sorted((entry for entry in entries.values() if series_of(entry["version"] or "") == series), key=distance)
        return list(dict.fromkeys(entry["base"] for entry in near))[:_MOST_BASES]

    def _base(self, digest: str) -> List[str]:
        if digest not in self._bases:
            data = self._read(OBJECTS + digest)
            if hashlib.sha256(data).hexdigest() != digest:
                raise LayoutExpertError(f"{OBJECTS}{digest} is truncated or damaged")
            self._hold(digest, unpack(data, CONTENT_LIMIT, OBJECTS + digest).split("\n"))
        return self._bases[digest]

    def _hold(self, digest: str, lines: List[str]) -> None:
        """Holds a base in memory: the next version is likely to be of the same series."""
        while len(self._bases) >= _MOST_BASES:
            del self._bases[next(iter(self._bases))]
        self._bases[digest] = lines

    # Files

    def _put_version(self, version: envelope.Envelope) -> dict:
        """Writes a version, signed; its entry."""
        if self._signer:
            version = version.signed_by(self._signer)
        data = version.dumps()
        self.repository.put(version.statement["name"], data)
        return _entry(version, data)

    def _put_index(self, serial: int, entries: Dict[str, dict]) -> None:
        text = json.dumps(entries, separators=(",", ":"), sort_keys=True)
        index = envelope.sealed(envelope.INDEX, {"serial": serial}, pack(text))
        self.repository.put(INDEX, (index.signed_by(self._signer) if self._signer else index).dumps())

    def _index(self, to_write: bool = False) -> Tuple[int, Dict[str, dict]]:
        """(the serial that comes next, entries) of the index; made of the versions if it is missing.

        to_write: a signed library is refused without a signer, for clients with keys would refuse its index.
        """
        data = self.repository.get(INDEX)
        if data is not None:
            try:
                index = envelope.opened(data, envelope.INDEX, "it")
                entries = entries_of(index)
            except LayoutExpertError as error:
                raise LayoutExpertError(f"{self}: {INDEX}: {error}",
                                        next_step="if it is deleted, it is made again of what there is") from error
            self._check_signer(to_write, index)
            return _next(index.statement["serial"]), entries
        entries = {}
        for name, path in self._files():
            if is_name(name):
                data = self._read(name)
                if envelope.is_sealed(data):
                    version = envelope.opened(data, envelope.VERSION, f"{self}: {name}")
                    self._check_signer(to_write, version)
                    entries[name] = _entry(version, data)
        return _next(max((entry["serial"] for entry in entries.values()), default=0)), entries

    def _check_signer(self, to_write: bool, found: envelope.Envelope) -> None:
        if to_write and found.signatures and not self._signer:
            raise LayoutExpertError(f"{self} is signed, and clients with keys would refuse what is written without a signature",
                                    next_step="give the private key with --key")

    def _is_whole(self, name: str, entry: dict) -> bool:
        """Whether the version's files are what the index lists (and signed, if there is a signer)."""
        data = self.repository.get(name)
        if data is None or hashlib.sha256(data).hexdigest() != entry["file"]:
            return False
        if self._signer and not envelope.opened(data, envelope.VERSION, name).signers([self._signer.public]):
            return False
        try:
            self._base(entry["base"])
        except LayoutExpertError:
            return False
        return True

    def _read(self, name: str) -> bytes:
        data = self.repository.get(name)
        if data is None:
            raise LayoutExpertError(f"{name} is missing")
        return data

    def _remove(self, name: str) -> None:
        path = os.path.join(self.repository.directory, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with contextlib.suppress(OSError):  # others of the release are there
            for folder in os.path.dirname(path), os.path.dirname(os.path.dirname(path)):
                os.rmdir(folder)

    def _files(self) -> Iterator[Tuple[str, str]]:
        """(name, path) of all files."""
        top = os.path.join(self.repository.directory, "pre_ast")
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                yield os.path.relpath(path, self.repository.directory), path

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.path.join(self.repository.directory, "pre_ast")
        try:
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LayoutExpertError(f"cannot write to {self}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _next(serial: int) -> int:
    """The time, so that serials grow even where the index, and with it the last of them, was lost."""
    return max(serial + 1, int(time.time()))


def _entry(version: envelope.Envelope, data: bytes) -> dict:
    statement = {key: value for key, value in version.statement.items() if key not in ("name", "payload")}
    return {**statement, "file": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _numbers(version: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", version)[:3]] + [0] * 3
