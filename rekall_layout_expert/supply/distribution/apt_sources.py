"""Where a Debian or Ubuntu host gets its packages from, and whose signatures it trusts: apt's configuration.

Read without apt, since it need not be there. Both forms of sources are: /etc/apt/sources.list with
sources.list.d/*.list, a line each, and sources.list.d/*.sources in deb822.

Trust is the configuration's except for one thing: `trusted=yes`, by which apt takes what nobody signed,
is not heeded. Nor is the list of architectures, as an archive says itself which it has.

Source: sources.list(5), apt-secure(8), apt.conf(5).
"""
from __future__ import annotations

import glob
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.supply.distribution.archives import needing
from rekall_layout_expert.supply.distribution.signatures import Keyring, read_keyring

_LIMIT = 1 << 20
_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)")
_OPTION = re.compile(r"([\w-]+)\+?=(\S+)")
_NO = ("no", "false", "0", "off", "without", "disable")
# Of apt.conf: comments, which are left out, then strings, punctuation and words.
_TOKEN = re.compile(r'//[^\n]*|^\s*#[^\n]*|/\*.*?\*/|"([^"\n]*)"|([{};])|([^\s{};"]+)', re.M | re.S)
_KEY_BLOCK = "-----BEGIN PGP"


class Source(NamedTuple):
    """An archive and one of its suites. checks_dates: whether an index that has expired is refused."""

    uri: str
    suite: str
    components: Tuple[str, ...]
    keyring: Keyring
    checks_dates: bool = True

    def __str__(self) -> str:
        return f"{self.uri} {self.suite}"


def sources_of(root: Path = "/") -> List[Source]:
    """The sources of binary packages that the host mounted at root has enabled, each once."""
    ignores_dates = _settings(root).get("acquire::check-valid-until", "").lower() in _NO
    trusted = None
    sources: Dict[Tuple[str, str], Source] = {}
    for uri, suite, components, fields in _entries(root):
        if fields.get("signed-by"):
            keyring = _keyring(fields["signed-by"], root)
        else:
            trusted = keyring = trusted or trusted_keyring(root)
        checks_dates = not ignores_dates and fields.get("check-valid-until", "").lower() not in _NO
        for archive in _archives(uri, root):
            found = sources.setdefault((archive, suite), Source(archive, suite, (), keyring, checks_dates))
            merged = tuple(dict.fromkeys(found.components + tuple(components)))
            sources[archive, suite] = found._replace(components=merged)
    return list(sources.values())


def proxies_of(root: Path = "/") -> Dict[str, str]:
    """The proxies that the host's apt uses, by scheme; https is that of http unless it says otherwise."""
    settings = _settings(root)
    http = settings.get("acquire::http::proxy", "")
    proxies = {"http": http, "https": settings.get("acquire::https::proxy", http)}
    # DIRECT is none, and socks5h is nothing that urllib3 speaks.
    return {scheme: proxy for scheme, proxy in proxies.items() if proxy.lower().startswith(("http:", "https:"))}


def trusted_keyring(root: Path = "/") -> Keyring:
    """The keys by which the host's apt trusts what names none of its own."""
    fragments = [path for suffix in (".gpg", ".asc") for path in _matching(root, "/etc/apt/trusted.gpg.d", suffix)]
    return read_keyring([resolve_under(root, "/etc/apt/trusted.gpg"), *fragments])


def distribution_keyring(root: Path, name: str) -> Keyring:
    """The keys that a distribution's keyring package brings, those that it has retired among them."""
    files = [path for suffix in (".gpg", ".pgp") for path in _matching(root, "/usr/share/keyrings", suffix)
             if os.path.basename(path).startswith(f"{name}-archive-")]
    return read_keyring(files)


def _entries(root: Path) -> Iterator[Tuple[str, str, Sequence[str], Dict[str, str]]]:
    """(URI, suite, components, options with names in lower case) of each enabled source."""
    for path, text in _texts(root, "/etc/apt/sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"):
        if path.endswith(".sources"):
            for fields in _paragraphs(text, path):
                if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in _NO:
                    for uri in fields.get("uris", "").split():
                        for suite in fields.get("suites", "").split():
                            yield uri, suite, fields.get("components", "").split(), fields
        else:
            for line in text.splitlines():
                match = _LINE.match(line.strip())
                if match:
                    options = {name.lower(): value for name, value in _OPTION.findall(match.group(1) or "")}
                    yield match.group(2), match.group(3), match.group(4).split(), options


def _settings(root: Path) -> Dict[str, str]:
    """What apt.conf and apt.conf.d set, by names in lower case: {"acquire::http::proxy": "http://…"}."""
    settings: Dict[str, str] = {}
    for path, text in _texts(root, "apt.conf.d/*", "/etc/apt/apt.conf"):
        if os.path.splitext(path)[1] not in ("", ".conf"):
            continue  # switched off by its name
        scopes: List[str] = []
        words: List[str] = []
        for string, mark, word in _TOKEN.findall(text):
            if mark == "{":
                scopes.append(words[0] if words else "")
            elif mark == "}":
                del scopes[-1:]
            elif mark and len(words) > 1:
                settings["::".join([*scopes, words[0]]).lower()] = words[1]
            words = [] if mark else words + [string or word] if string or word else words
    return settings


def _paragraphs(text: str, path: str) -> Iterator[Dict[str, str]]:
    with needing("python-debian", path):
        from debian.deb822 import Deb822
    for paragraph in Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        yield {name.lower(): value for name, value in paragraph.items()}


def _archives(uri: str, root: Path) -> Iterator[str]:
    """The archives that a URI stands for: itself, or those that the file of a mirror list names."""
    if uri.startswith("mirror+file:"):
        for _, text in _texts(root, "/" + uri[len("mirror+file:"):].lstrip("/")):
            yield from (line.split()[0].rstrip("/") for line in text.splitlines() if line.startswith("http"))
    elif uri.startswith(("http:", "https:")):  # not a disc, nor what is sought by plugins of apt's
        yield uri.rstrip("/")


def _keyring(signed_by: str, root: Path) -> Keyring:
    """signed_by: the key itself, or files and fingerprints; the latter pick from the keys that are trusted."""
    if _KEY_BLOCK in signed_by:
        # In deb822 an empty line is a dot, and every line is indented.
        lines = ("" if line.strip() == "." else line.strip() for line in signed_by.splitlines())
        return Keyring(["\n".join(lines).strip().encode()], names=["the key in the sources list"])
    words = signed_by.replace(",", " ").split()
    files = [resolve_under(root, word) for word in words if word.startswith("/")]
    fingerprints = [word for word in words if not word.startswith("/")]
    if not fingerprints:
        return read_keyring(files)
    trusted = trusted_keyring(root)
    named = read_keyring(files)
    return Keyring(named.data + trusted.data, tuple(fingerprints), [*named.names, *trusted.names])


def _texts(root: Path, *places: str) -> Iterator[Tuple[str, str]]:
    """(path, text) of files that can be read; a relative place is a pattern below /etc/apt."""
    for place in places:
        if place.startswith("/"):
            paths = [resolve_under(root, place)]
        else:
            folder, _, pattern = place.partition("/")
            paths = _matching(root, f"/etc/apt/{folder}", pattern[1:])
        for path in paths:
            try:
                yield path, read_bounded(path, _LIMIT).replace(b"\0", b" ").decode("utf-8", "replace")
            except LayoutExpertError:
                continue  # what apt could not read either


def _matching(root: Path, folder: str, suffix: str) -> List[str]:
    names = sorted(os.path.basename(path) for path in glob.glob(
        os.path.join(glob.escape(resolve_under(root, folder)), f"*{suffix}")))
    return [resolve_under(root, f"{folder}/{name}") for name in names]
