"""The index of an RPM repository: repodata/repomd.xml, the list of packages that it names, and metalinks.

repomd.xml names each file of the index with its digest; the primary one has an entry for each package: up
to 30 MB compressed, 300 MB of XML. It is read as a stream, in which only the packages of one kind of name
are looked at. XML that declares anything of its own (entities, a document type) is refused.

Sources: the formats as createrepo_c writes them (https://rpm-software-management.github.io/createrepo_c/),
Metalink 3.0 as MirrorManager writes it.
"""
from __future__ import annotations

import hashlib
import hmac
import io
import tempfile
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Pattern, Tuple
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path
from rekall_layout_expert.supply.distribution.archives import decompressed, told_as_damage
from rekall_layout_expert.supply.distribution.signatures import Keyring, verified
from rekall_layout_expert.supply.transfer import NotFound

REPOMD_LIMIT = 4 << 20
_SIGNATURE_LIMIT = 1 << 16
_PRIMARY_LIMIT = 96 << 20
_OPEN_LIMIT = 1 << 30
_CHUNK = 1 << 16
# Of what is kept; kernel-devel's has some kilobytes. A tag with its attributes has less.
_ENTRY_LIMIT = 4 << 20
_TAG_LIMIT = 1 << 20
_DEPTH_LIMIT = 16
_DIGESTS = ("sha512", "sha384", "sha256", "sha224")


class Requirement(NamedTuple):
    """What a package provides or requires: a name and, if it says so, in which version and release."""

    name: str
    version: str = ""
    release: str = ""


class Package(NamedTuple):
    """A package as the index describes it. url: where it lies; size: of the file in bytes."""

    name: str
    version: str
    release: str
    architecture: str
    url: str
    size: int
    digest: Tuple[str, str]
    provides: Tuple[Requirement, ...]
    requires: Tuple[Requirement, ...]

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.architecture}"


class Index(NamedTuple):
    """What repomd.xml says of the primary file. sizes are bytes; size is 0 where it does not say."""

    base: str
    url: str
    digest: Tuple[str, str]
    size: int


def read_repomd(network, base: str, keyring: Keyring, must_be_signed: bool = False,
                digests: Tuple[str, ...] = ()) -> Index:
    """The index of the repository at a URL, verified by its signature if it has one.

    must_be_signed: whether it is refused without. digests: of repomd.xml in hex, SHA-256 or SHA-512, one of
    which it has to have, if there are any (from a metalink). Raises LayoutExpertError.
    """
    base = base.rstrip("/") + "/"
    url = urljoin(base, "repodata/repomd.xml")
    data = network.fetch(url, REPOMD_LIMIT)
    if digests and not {hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest()} & set(digests):
        raise LayoutExpertError(f"{url} is not the one that the metalink names")
    try:
        signature = network.fetch(url + ".asc", _SIGNATURE_LIMIT)
    except NotFound:
        if must_be_signed:
            raise LayoutExpertError(f"{url} is not signed, and its repository is configured to be") from None
    else:
        verified(data, keyring, url, signature)
    for entry in elements(io.BytesIO(data), url):
        if entry.tag == "data" and entry.get("type") == "primary":
            location = entry.find("location")
            if location is None:
                break
            return Index(base, urljoin(_base_of(location, base), location.get("href", "")), _digest(entry, url),
                         _number(entry.findtext("size")))
    raise LayoutExpertError(f"{url} names no list of packages")


def packages(network, index: Index, names: Pattern, folder: Path) -> Iterator[Package]:
    """The packages of an index whose name matches. folder: for a temporary file. Raises LayoutExpertError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        network.download(index.url, file, _PRIMARY_LIMIT)
        check_digest(file, index.digest, index.url)
        file.seek(0)
        with told_as_damage(index.url):
            for entry in elements(decompressed(file, index.url), index.url, names):
                yield _package(entry, index)


class Metalink(NamedTuple):
    """Where a repository is mirrored, best first, and the digests that its repomd.xml may have."""

    bases: List[str]
    digests: Tuple[str, ...]


def read_metalink(data: bytes, url: str) -> Metalink:
    """A metalink of a repository. Raises LayoutExpertError."""
    bases: List[Tuple[int, str]] = []
    digests: List[str] = []
    for files in elements(io.BytesIO(data), url):
        for file in files.iter("file"):
            if file.get("name") != "repomd.xml":
                continue
            digests += [(each.text or "").strip().lower() for each in file.iter("hash")
                        if each.get("type") in ("sha256", "sha512")]
            for mirror in file.iter("url"):
                address = (mirror.text or "").strip()
                if address.startswith(("http://", "https://")) and address.endswith("/repodata/repomd.xml"):
                    bases.append((-_number(mirror.get("preference")), address[:-len("repodata/repomd.xml")]))
    if not bases or not digests:
        raise LayoutExpertError(f"{url} names no mirror of the repository, or not what its index has to be")
    # A sort keeps the order of those that are preferred alike.
    return Metalink([base for _, base in sorted(bases, key=lambda each: each[0])], tuple(digests))


def check_digest(file: BinaryIO, digest: Tuple[str, str], place: str) -> None:
    """Holds a whole file against a digest, (algorithm, hex). Raises LayoutExpertError."""
    algorithm, expected = digest
    file.seek(0)
    found = hashlib.new(algorithm)
    while True:
        chunk = file.read(1 << 20)
        if not chunk:
            break
        found.update(chunk)
    if not hmac.compare_digest(found.hexdigest(), expected):
        raise LayoutExpertError(f"{place} is not what the index of its repository says: its {algorithm} is another")


def elements(stream: BinaryIO, place: str, names: Optional[Pattern] = None) -> Iterator[Element]:
    """The children of an XML document's root, one after the other, without the prefixes of namespaces.

    names: if given, only those whose child "name" matches. Raises LayoutExpertError, also of documents that
    declare anything and of children that are too large.
    """
    reader = _Reader(place, names)
    size = 0
    while True:
        chunk = stream.read(_CHUNK)
        size += len(chunk)
        if size > _OPEN_LIMIT:
            raise LayoutExpertError(f"{place} unpacks to more than {_OPEN_LIMIT} bytes: not what it is taken for")
        reader.feed(chunk)
        while reader.finished:
            yield reader.finished.pop(0)
        if not chunk:
            return


class _Reader:
    """Builds the children of the root, and drops those that are not asked for as soon as their name is known."""

    def __init__(self, place: str, names: Optional[Pattern]):
        self._place, self._names = place, names
        self.finished: List[Element] = []
        self._depth = self._began = 0
        self._child = ""  # the tag of the child that is being read
        self._builder: Optional[TreeBuilder] = None
        self._fed = 0
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = self._refuse
        self._listen()

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.Parse(chunk, not chunk)
        except expat.ExpatError as error:
            raise LayoutExpertError(f"{self._place} is damaged: {error}") from error
        self._fed += len(chunk)
        # What has not ended yet is kept by expat as well, and looked at again with each chunk.
        if self._fed - self._parser.CurrentByteIndex > _TAG_LIMIT or \
                self._builder is not None and self._fed - self._began > _ENTRY_LIMIT:
            raise LayoutExpertError(f"{self._place} has an entry of more than {_ENTRY_LIMIT} bytes, or a tag of more than "
                                    f"{_TAG_LIMIT}: not what it is taken for")

    def _listen(self) -> None:
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def _start(self, tag: str, attributes: Dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise LayoutExpertError(f"{self._place} is nested more than {_DEPTH_LIMIT} deep")
        if self._depth == 2:
            self._began = self._parser.CurrentByteIndex
            self._child = tag
            self._builder = TreeBuilder()
        if self._builder is not None:
            self._builder.start(_local(tag), {_local(name): value for name, value in attributes.items()})

    def _text(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._builder is None:
            return
        element = self._builder.end(_local(tag))
        if self._depth == 1:
            self.finished.append(self._builder.close())
            self._builder = None
        elif self._depth == 2 and self._names is not None and element.tag == "name" \
                and not self._names.match(element.text or ""):
            self._skip()

    def _skip(self) -> None:
        """Waits for the end of this child. Nearly all of an index goes by here, so as little as can be is called."""
        self._builder = None
        self._parser.StartElementHandler = self._parser.CharacterDataHandler = None
        self._parser.EndElementHandler = self._skipped_end

    def _skipped_end(self, tag: str) -> None:
        if tag == self._child:
            self._depth = 1
            self._listen()

    def _refuse(self, *_) -> None:
        raise LayoutExpertError(f"{self._place} declares a document type or an entity, as no index does")


def _package(entry: Element, index: Index) -> Package:
    location, version, size = entry.find("location"), entry.find("version"), entry.find("size")
    if location is None or version is None or not location.get("href"):
        raise LayoutExpertError(f"{index.url} is damaged: a package is nowhere, or of no version")
    return Package(
        entry.findtext("name") or "", version.get("ver", ""), version.get("rel", ""), entry.findtext("arch") or "",
        urljoin(_base_of(location, index.base), location.get("href")),
        _number(size.get("package") if size is not None else None), _digest(entry, index.url),
        _requirements(entry, "provides"), _requirements(entry, "requires"))


def _requirements(entry: Element, kind: str) -> Tuple[Requirement, ...]:
    return tuple(Requirement(each.get("name", ""), each.get("ver", ""), each.get("rel", ""))
                 for each in entry.iterfind(f"format/{kind}/entry"))


def _base_of(location: Element, base: str) -> str:
    """A location may have a base of its own, xml:base."""
    return (location.get("base") or base).rstrip("/") + "/"


def _digest(entry: Element, place: str) -> Tuple[str, str]:
    checksum = entry.find("checksum")
    algorithm = checksum.get("type", "") if checksum is not None else "none"
    if algorithm not in _DIGESTS:
        raise LayoutExpertError(f"{place} has digests ({algorithm}) that prove nothing")
    return algorithm, (checksum.text or "").strip().lower()


def _number(text: Optional[str]) -> int:
    return int(text) if text and text.isdigit() and len(text) < 16 else 0


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]
