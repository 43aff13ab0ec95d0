"""A library of Pre-ASTs: many versions and architectures in one repository, what they share stored once.

It is files with names, to be served as they are, from anything with get(name) -> bytes | None:

    pre_ast/RELEASE/[PACKAGE_VERSION/]ARCH.past   a version: what it adds to a base (see `delta`)
    pre_ast/objects/SHA256                        a base: the lines of one Pre-AST (see `lines`), packed
    pre_ast/index                                 all versions: to list, to search, to mirror

Names of versions are those of any repository (see `supply`), where plain Pre-AST files may lie as well. So a
client takes two requests, one for the version and one for its base, or one if it has the base already;
the index is not needed. A base is named by its digest, a version tells the digest of what must come
out, and both are held against it. Versions and index are sealed (see `envelope`), so a signature takes
no further request.

What a key's owner vouches for has a serial number, which grows. A client with keys that has seen a
serial of a name takes no lower one, so nobody can give it back what was replaced.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Callable, Dict, List, Optional, Sequence

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, write_atomically
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.storage import CONTENT_LIMIT, checked, digest_of, loads
from rekall_layout_expert.supply.library import delta, envelope
from rekall_layout_expert.supply.library.compression import unpack
from rekall_layout_expert.supply.library.lines import content_of

INDEX = "pre_ast/index"
OBJECTS = "pre_ast/objects/"

_DIGEST = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_NAME = re.compile(r"pre_ast(?:/[\w+~-][\w.+~-]*){2,3}\.past\Z", re.ASCII)
_MEMORY_LIMIT = 64 << 20
_INDEX_LIMIT = 64 << 20


class Library:
    """A library, to be read. Plain Pre-AST files under the same names are read as well.

    transport: has get(name) -> bytes | None. keys: public keys, of which one must have signed what is
    used; with none, digests protect against damage alone. memory: the file in which the serials seen are
    kept. cache: has get and put, and keeps bases. report: is told what could not be kept.
    """

    def __init__(self, transport, keys: Sequence[bytes] = (), memory: Optional[Path] = None, cache=None,
                 report: Optional[Callable[[str], None]] = None):
        self._transport, self._keys, self._cache = transport, list(keys), cache
        self._report = report or (lambda step: None)
        self._serials = Serials(memory) if self._keys else None

    def __str__(self) -> str:
        return str(self._transport)

    def get(self, name: str) -> Optional[bytes]:
        """The bytes of one file, as it is."""
        return self._transport.get(name)

    def pre_ast(self, name: str) -> Optional[PreAst]:
        """The Pre-AST of that name; None if there is none. A LayoutExpertError tells why it is not to be used."""
        data = self._transport.get(name)
        if data is None:
            return None
        if not envelope.is_sealed(data):
            if self._keys:
                raise LayoutExpertError("it is not signed, and keys are configured")
            return loads(data, "it")
        version = self.trusted(name, data, envelope.VERSION)
        if version.statement.get("name") != name:
            raise LayoutExpertError("it was published under another name")
        pre_ast = pre_ast_of(version, self.base)
        self._remember({name: version.statement["serial"]}, version)
        return pre_ast

    def index(self) -> Dict[str, dict]:
        """{name: what its statement says, and `file`, `size`: digest and size of its file}; empty without an index."""
        data = self._transport.get(INDEX)
        return {} if data is None else self.index_in(data)

    def index_in(self, data: bytes) -> Dict[str, dict]:
        """The index in a file. A LayoutExpertError tells why it is not to be used."""
        index = self.trusted(INDEX, data, envelope.INDEX)
        entries = entries_of(index)
        self._remember({INDEX: index.statement["serial"],
                        **{name: entry["serial"] for name, entry in entries.items()}}, index)
        return entries

    def trusted(self, name: str, data: bytes, kind: str) -> envelope.Envelope:
        """The envelope in data, signed and not older than one seen before, if keys are configured."""
        found = envelope.opened(data, kind, "it")
        if self._keys:
            signers = found.signers(self._keys)
            if not signers:
                raise LayoutExpertError("it is signed by none of the configured keys" if found.signatures else
                                        "it is not signed, and keys are configured")
            latest = self._serials.latest(name, signers)
            if found.statement["serial"] < latest:
                raise LayoutExpertError(f"it was rolled back: its serial is {found.statement['serial']}, and {latest} "
                                        "was seen before")
        return found

    def base(self, digest: str) -> List[str]:
        """The lines of a base, from the cache if that has it. A LayoutExpertError tells why there is none."""
        name = OBJECTS + digest
        if self._cache is not None:
            data = self._cache.get(name)
            if data is not None and _is(data, digest):
                return _lines(data, name)
        data = self._transport.get(name)
        if data is None:
            raise LayoutExpertError(f"{name}, which it is made of, is missing")
        if not _is(data, digest):
            raise LayoutExpertError(f"{name}, which it is made of, is truncated or damaged")
        if self._cache is not None:
            try:
                self._cache.put(name, data)
            except (LayoutExpertError, OSError) as error:
                self._report(f"{name} could not be kept: {error}")
        return _lines(data, name)

    def _remember(self, serials: Dict[str, int], signed: envelope.Envelope) -> None:
        if self._keys:
            try:
                self._serials.note(serials, signed.signers(self._keys))
            except LayoutExpertError as error:
                self._report(f"the serial seen could not be kept: {error}")


class Serials:
    """The highest serials seen, by key and name, in a file if one is given."""

    def __init__(self, path: Optional[Path]):
        self._path = path
        self._seen: Dict[str, Dict[str, int]] = {}
        if path is not None and os.path.exists(path):
            try:
                self._seen = json.loads(read_bounded(path, _MEMORY_LIMIT))
                good = all(isinstance(serial, int) for names in self._seen.values() for serial in names.values())
            except (ValueError, AttributeError, RecursionError):
                good = False
            if not good:
                raise LayoutExpertError(f"{path}, which keeps the serials seen, is damaged",
                                        next_step="delete it, if you know why it is")

    def latest(self, name: str, signers: Sequence[bytes]) -> int:
        return max(self._seen.get(key.hex(), {}).get(name, 0) for key in signers)

    def note(self, serials: Dict[str, int], signers: Sequence[bytes]) -> None:
        """A LayoutExpertError tells that they could not be kept in the file."""
        changed = False
        for key in signers:
            seen = self._seen.setdefault(key.hex(), {})
            for name, serial in serials.items():
                if serial > seen.get(name, 0):
                    seen[name] = serial
                    changed = True
        if changed and self._path is not None:
            write_atomically(self._path, json.dumps(self._seen, sort_keys=True).encode())


def entries_of(index: envelope.Envelope) -> Dict[str, dict]:
    """The entries of an index. A LayoutExpertError tells that they are not of the form, or lead out of the library."""
    try:
        entries = json.loads(unpack(index.payload, _INDEX_LIMIT, "it"))
        good = all(is_name(name) and isinstance(entry["serial"], int) and isinstance(entry["size"], int)
                   and _DIGEST.match(entry["file"]) and _DIGEST.match(entry["base"]) and _DIGEST.match(entry["digest"])
                   and all(entry[key] is None or isinstance(entry[key], str) for key in
                           ("arch", "release", "version", "package_version", "source", "common"))
                   for name, entry in entries.items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        good = False
    if not good:
        raise LayoutExpertError("it is damaged")
    return entries


def is_name(name: str) -> bool:
    """Whether a version may have that name."""
    return _NAME.match(name) is not None and not name.startswith(OBJECTS)


def pre_ast_of(version: envelope.Envelope, base: Callable[[str], List[str]]) -> PreAst:
    """The Pre-AST that a version stands for, held against its digest. base: the lines of a base, by its digest."""
    damaged = LayoutExpertError("it is damaged", next_step="get it again")
    digest = version.statement.get("base")
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise damaged
    steps = unpack(version.payload, CONTENT_LIMIT, "it").split("\n")
    try:
        header, files = content_of(delta.applied(base(digest), steps, CONTENT_LIMIT), "it")
        pre_ast = checked(header, files, version.statement.get("digest"), "it")
        if digest_of(pre_ast) == pre_ast.digest:
            return pre_ast
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        pass
    raise damaged


def _is(data: bytes, digest: str) -> bool:
    return hashlib.sha256(data).hexdigest() == digest


def _lines(data: bytes, name: str) -> List[str]:
    return unpack(data, CONTENT_LIMIT, name).split("\n")
