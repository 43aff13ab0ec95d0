"""Headers packages of Alpine Linux: linux-lts-dev and those of its other kernels.

6.6.32-0-lts is linux-lts-dev 6.6.32-r0. An index is signed by RSA with a key in /etc/apk/keys, and has the
digest of each package's control part, which has that of its content. Both are several gzip streams one
after the other, the first with the signature. Alpine keeps the newest build of each branch only.

Sources: apk-repositories(5), apk-package(5) and apk-keys(5) of apk-tools; the format as the Alpine wiki has
it, https://wiki.alpinelinux.org/wiki/Apk_spec.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import tempfile
import zlib
from typing import BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution.archives import needing, tar_members, told_as_damage, unpack
from rekall_layout_expert.supply.distribution.rpm_repositories import files_under

_REPOSITORIES = ("/etc/apk/repositories", "/etc/apk/repositories.d/*.list")
_KEYS = "/etc/apk/keys/*.rsa.pub"
_ARCHITECTURE = "/etc/apk/arch"
_CONFIGURATION_LIMIT = 1 << 20
_INDEX_LIMIT, _INDEX_OPEN_LIMIT = 32 << 20, 256 << 20
_CONTROL_LIMIT = 1 << 20  # of the parts before a package's content: a few kilobytes
_PACKAGE_LIMIT = 256 << 20
_CHUNK = 1 << 16
_RELEASE = re.compile(r"(\d[^-]*)-(\d+)-([a-z]\w*)\Z")
_SIGNATURE = re.compile(r"\.SIGN\.(RSA|RSA256|RSA512)\.([^/]+)\Z")
_ARCHITECTURES = {"arm64": "aarch64", "i386": "x86", "powerpc": "ppc64le", "s390": "s390x", "riscv": "riscv64",
                  "loongarch": "loongarch64", "arm": "armv7"}
_DIGESTS = {"Q1": "sha1", "Q2": "sha256"}


class _Digest(NamedTuple):
    algorithm: str
    value: bytes


class _Stream(NamedTuple):
    """One of the gzip streams that a file consists of, unpacked and as it is."""

    content: bytes
    packed: bytes


def fetch_headers(kernel: Kernel, folder: Path, network, root: Path, report: Callable[[str], None]) -> None:
    """Unpacks the headers package of exactly this kernel below folder. Raises LayoutExpertError."""
    match = _RELEASE.match(kernel.release)
    if not match:
        raise LayoutExpertError(f"the release {kernel.release} is not named as a kernel of Alpine's is")
    name, version = f"linux-{match.group(3)}-dev", f"{match.group(1)}-r{match.group(2)}"
    keys = {path.rpartition("/")[2]: read_bounded(path, _CONFIGURATION_LIMIT) for path in files_under(_KEYS, root)}
    looked_at: List[str] = []
    architecture = _architecture(kernel, root)
    for base in _bases(root, looked_at):
        base = f"{base.rstrip('/')}/{architecture}"
        try:
            digest = _listed(network.fetch(f"{base}/APKINDEX.tar.gz", _INDEX_LIMIT), f"{base}/APKINDEX.tar.gz", keys,
                             name, version)
            if digest is None:
                looked_at.append(f"{base}/APKINDEX.tar.gz (has no {name} {version})")
                continue
            url = f"{base}/{name}-{version}.apk"
            with tempfile.TemporaryFile(dir=folder) as file:
                network.download(url, file, _PACKAGE_LIMIT)
                _verify(file, url, digest, name, version)
                report(f"UNPACKING {name}-{version}")
                unpack(tar_members(file, url), folder, url)
            return
        except LayoutExpertError as error:
            looked_at.append(str(error))
    raise LayoutExpertError(f"no repository has the headers package of {kernel.release}, of which Alpine keeps the newest "
                            "build only", looked_at)


def _architecture(kernel: Kernel, root: Path) -> str:
    try:
        return read_bounded(resolve_under(root, _ARCHITECTURE), _CONFIGURATION_LIMIT).decode("ascii", "replace").strip()
    except LayoutExpertError:
        return _ARCHITECTURES.get(kernel.architecture, kernel.architecture)


def _bases(root: Path, looked_at: List[str]) -> Iterator[str]:
    """The URLs of the repositories that are configured."""
    paths = [path for place in _REPOSITORIES for path in files_under(place, root)]
    if not paths:
        looked_at += [f"{resolve_under(root, _REPOSITORIES[0])} (absent)"]
    words = [line.split() for path in paths
             for line in read_bounded(path, _CONFIGURATION_LIMIT).decode("utf-8", "replace").splitlines()]
    for line in words:
        address = line[-1] if line and (len(line) == 1 or line[0].startswith("@")) else ""  # "@testing https://…"
        if address.startswith(("http://", "https://")):
            yield address
        elif address and not address.startswith("#"):
            looked_at.append(f"{address} (is not on the web)")


def _listed(index: bytes, place: str, keys: Dict[str, bytes], name: str, version: str) -> Optional[_Digest]:
    """The digest of a package's control part as the signed index has it; None if it has no such package."""
    file = io.BytesIO(index)
    signature = _stream(file, place).content
    signed = file.read()
    _verify_signature(signature, signed, place, keys)
    for member in tar_members(io.BytesIO(signed), place):
        if member.path != "APKINDEX" or member.content is None:
            continue
        if member.size > _INDEX_OPEN_LIMIT:
            raise LayoutExpertError(f"{place} unpacks to {member.size} bytes: not what it is taken for")
        for entry in member.content.read(_INDEX_OPEN_LIMIT).decode("utf-8", "replace").split("\n\n"):
            fields = dict(line.split(":", 1) for line in entry.split("\n") if line[1:2] == ":")
            if (fields.get("P"), fields.get("V")) == (name, version):
                return _digest(fields.get("C", ""), place)
    return None


def _verify_signature(signature: bytes, signed: bytes, place: str, keys: Dict[str, bytes]) -> None:
    """That one of the signatures is by a key of the host. Raises LayoutExpertError."""
    with needing("pycryptodome", place):
        from Crypto.Hash import SHA1, SHA256, SHA512
        from Crypto.PublicKey import RSA
        from Crypto.Signature import pkcs1_15
    hashes = {"RSA": SHA1, "RSA256": SHA256, "RSA512": SHA512}
    named = []
    for member in tar_members(io.BytesIO(signature), place):
        match = _SIGNATURE.match(member.path)
        if not match or member.content is None:
            continue
        named.append(match.group(2))
        if match.group(2) not in keys:
            continue
        try:
            key = RSA.import_key(keys[match.group(2)])
            pkcs1_15.new(key).verify(hashes[match.group(1)].new(signed), member.content.read(_CONTROL_LIMIT))
        except (ValueError, TypeError, IndexError) as error:
            raise LayoutExpertError(f"{place} has no good signature by {match.group(2)}: {error}") from error
        return
    raise LayoutExpertError(f"{place} is signed by no key of {_KEYS}, but by {', '.join(named)}" if named else
                            f"{place} is not signed")


def _verify(file: BinaryIO, place: str, digest: _Digest, name: str, version: str) -> None:
    """Holds a package against the index, and leaves the file where its content begins. Raises LayoutExpertError."""
    file.seek(0)
    control = _stream(file, place)
    if any(_SIGNATURE.match(member.path) for member in tar_members(io.BytesIO(control.content), place)):
        control = _stream(file, place)  # the index vouches for what comes after the signature
    if hashlib.new(digest.algorithm, control.packed).digest() != digest.value:
        raise LayoutExpertError(f"{place} is not what the index of its repository says: its {digest.algorithm} is another")
    fields: Dict[str, str] = {}
    for member in tar_members(io.BytesIO(control.content), place):
        if member.path == ".PKGINFO" and member.content is not None:
            fields = dict(re.findall(r"^(\w+) = (.*?)\s*$", member.content.read(_CONTROL_LIMIT).decode("utf-8", "replace"),
                                     re.M))
    if (fields.get("pkgname"), fields.get("pkgver")) != (name, version):
        raise LayoutExpertError(f"{place} is the package {fields.get('pkgname')} {fields.get('pkgver')}, not {name} {version}")
    start, content = file.tell(), hashlib.sha256()
    for chunk in iter(lambda: file.read(_CHUNK), b""):
        content.update(chunk)
    if content.hexdigest() != fields.get("datahash"):
        raise LayoutExpertError(f"{place} is damaged: its content is not what its control part says")
    file.seek(start)


def _stream(file: BinaryIO, place: str) -> _Stream:
    """The gzip stream that begins here; the file is left where it ends."""
    start, content, size = file.tell(), [], 0
    decompressor = zlib.decompressobj(wbits=31)
    with told_as_damage(place):
        while not decompressor.eof:
            chunk = decompressor.unconsumed_tail or file.read(_CHUNK)
            if not chunk:
                raise LayoutExpertError(f"{place} is damaged: it ends too early")
            content.append(decompressor.decompress(chunk, _CONTROL_LIMIT))
            size += len(content[-1])
            if size > _CONTROL_LIMIT:
                raise LayoutExpertError(f"{place} has a part of more than {_CONTROL_LIMIT} bytes: not what it is taken for")
    end = file.tell() - len(decompressor.unused_data)
    file.seek(start)
    return _Stream(b"".join(content), file.read(end - start))


def _digest(text: str, place: str) -> _Digest:
    """What APKINDEX has after C: a mark of the algorithm, and the digest in base64."""
    algorithm = _DIGESTS.get(text[:2])
    try:
        if algorithm:
            return _Digest(algorithm, base64.b64decode(text[2:], validate=True))
    except binascii.Error:
        pass
    raise LayoutExpertError(f"{place} has a digest that is none: {text!r}")
