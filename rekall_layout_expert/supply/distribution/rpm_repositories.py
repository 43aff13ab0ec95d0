"""RPM repositories as a host has them configured, and a package of theirs: found, fetched, verified, unpacked.

An index need not be signed, as most are not (it is verified where it is). Every package has to be, by a
key that lies on the host: one that the repository names, else any that the distribution has put there.

Sources: dnf.conf(5), yum.conf(5) and zypper(8) on .repo files, their variables, mirror lists and metalinks.
"""
from __future__ import annotations

import configparser
import glob
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Callable, Dict, Iterable, List, NamedTuple, Optional, Pattern, Tuple
from urllib.parse import urlsplit

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.supply.distribution.archives import unpack
from rekall_layout_expert.supply.distribution.repomd import (
    Index, Package, check_digest, packages, read_metalink, read_repomd)
from rekall_layout_expert.supply.distribution.rpm import Rpm
from rekall_layout_expert.supply.distribution.signatures import Keyring, read_keyring
from rekall_layout_expert.supply.transfer import Credentials

PACKAGE_LIMIT = 256 << 20
_LIST_LIMIT = 1 << 20
_CONFIGURATION_LIMIT = 1 << 20
_MIRRORS = 3  # of those that a list names
_AT_ONCE = 4
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


class Repository(NamedTuple):
    """A repository, the variables of its URLs filled in.

    bases: where it is, or those of its mirrors that are known. metalink, mirrorlist: a list of more.
    must_be_signed: whether its index has to be. credentials: to be shown to its servers.
    """

    name: str
    bases: Tuple[str, ...]
    keyring: Keyring
    metalink: str = ""
    mirrorlist: str = ""
    must_be_signed: bool = False
    credentials: Optional[Credentials] = None

    def network(self, network):
        """The network to ask it by."""
        return network.showing(self.credentials) if self.credentials else network


def configured(places: Iterable[str], root: Path, variables: Dict[str, str], keys: Keyring,
               looked_at: List[str]) -> List[Repository]:
    """The enabled repositories of .repo files. places: patterns of their paths. keys: for those that name none here."""
    repositories: List[Repository] = []
    paths = [path for place in places for path in files_under(place, root)]
    if not paths:
        looked_at += [f"{resolve_under(root, os.path.dirname(place))} (no repositories)" for place in places]
    for path in paths:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(read_bounded(path, _CONFIGURATION_LIMIT).decode("utf-8", "replace"), path)
        except (configparser.Error, LayoutExpertError) as error:
            looked_at.append(f"{path} ({error})")
            continue
        for name in parser.sections():
            fields = {key: _filled(value or "", variables) for key, value in parser[name].items()}
            if name == "main" or not _is_true(fields.get("enabled", "1")):
                continue
            trouble = _trouble(fields)
            if trouble:
                looked_at.append(f"{name} ({trouble})")
            else:
                repositories.append(_repository(name, fields, root, keys))
    return repositories


def read_variables(places: Iterable[str], root: Path) -> Dict[str, str]:
    """The variables of repositories' URLs: files that are called as the variable and hold its value."""
    variables = {}
    for place in places:
        for path in files_under(place, root):
            text = read_bounded(path, _CONFIGURATION_LIMIT).decode("utf-8", "replace")
            variables[os.path.basename(path)] = text.split("\n", 1)[0].strip()
    return variables


def files_under(pattern: str, root: Path) -> List[str]:
    """The files whose paths match on the system mounted at root; * stands only in the last part."""
    folder, name = os.path.split(pattern)
    paths = sorted(glob.glob(os.path.join(glob.escape(resolve_under(root, folder)), name)))
    inside = [resolve_under(root, os.path.join(folder, os.path.basename(path))) for path in paths]
    return [path for path in inside if os.path.isfile(path)]


def find_packages(repositories: Iterable[Repository], names: Pattern, belongs: Callable[[Package], bool], folder: Path,
                  network, looked_at: List[str]) -> List[Tuple[Package, Index, Repository]]:
    """The packages that belong, of the first repository that has any; the smallest index is read first."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        indexes = list(pool.map(lambda repository: _index(repository, network, looked_at), repositories))
    for index, repository in sorted(filter(None, indexes), key=lambda found: found[0].size):
        try:
            found = [(package, index, repository) for package in
                     packages(repository.network(network), index, names, folder) if belongs(package)]
        except LayoutExpertError as error:
            looked_at.append(str(error))
            continue
        if found:
            return found
        looked_at.append(f"{index.base} (has no such package)")
    return []


def unpack_package(package: Package, index: Index, repository: Repository, folder: Path, network,
                   report: Callable[[str], None]) -> None:
    """Fetches a package, from another mirror if need be, and unpacks it below folder. Raises LayoutExpertError."""
    within = package.url[len(index.base):] if package.url.startswith(index.base) else None
    urls = [package.url] + [base + within for base in repository.bases if within and base != index.base][:_MIRRORS - 1]
    errors: List[str] = []
    for url in urls:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                repository.network(network).download(url, file, package.size or PACKAGE_LIMIT)
                check_digest(file, package.digest, url)
                unpack_rpm(file, url, str(package), repository.keyring, folder, report)
            return
        except LayoutExpertError as error:
            errors.append(str(error))
    raise LayoutExpertError(f"the package {package} cannot be had", errors)


def unpack_rpm(file: BinaryIO, url: str, name: str, keyring: Keyring, folder: Path, report: Callable[[str], None]) -> None:
    """Unpacks a package that has to be called name-version-release.architecture below folder."""
    rpm = Rpm(file, url, keyring)
    if str(rpm) != name:
        raise LayoutExpertError(f"{url} is the package {rpm}, not {name}")
    report(f"UNPACKING {name}")
    unpack(rpm.members(folder), folder, url)


def _repository(name: str, fields: Dict[str, str], root: Path, keys: Keyring) -> Repository:
    own = [resolve_under(root, urlsplit(url).path) for url in _words(fields.get("gpgkey", "")) if url.startswith("file:")]
    keyring = read_keyring(own)
    bases = tuple(base.rstrip("/") + "/" for base in _words(fields.get("baseurl", "")))
    credentials = Credentials(*(resolve_under(root, fields[key]) if fields.get(key) else ""
                                for key in ("sslclientcert", "sslclientkey", "sslcacert")))
    return Repository(name, bases, keyring if keyring.data else keys, fields.get("metalink", ""),
                      fields.get("mirrorlist", ""), _is_true(fields.get("repo_gpgcheck", "0")),
                      credentials if any(credentials) else None)


def _trouble(fields: Dict[str, str]) -> str:
    """Why a repository cannot be asked; empty if it can."""
    addresses = _words(fields.get("baseurl", "")) + [fields[key] for key in ("metalink", "mirrorlist") if fields.get(key)]
    if not addresses:
        return "has no address"
    unknown = _VARIABLE.search(" ".join(addresses))
    if unknown:
        return f"nothing says what {unknown.group()} is"
    if not any(address.startswith(("http://", "https://")) for address in addresses):
        return f"{addresses[0]} is not on the web"
    return ""


def _index(repository: Repository, network, looked_at: List[str]) -> Optional[Tuple[Index, Repository]]:
    """The index of the first mirror that has a good one."""
    bases, digests = repository.bases, ()
    network = repository.network(network)
    try:
        if repository.metalink:
            metalink = read_metalink(network.fetch(repository.metalink, _LIST_LIMIT), repository.metalink)
            bases, digests = bases + tuple(metalink.bases), metalink.digests
        elif repository.mirrorlist:
            lines = network.fetch(repository.mirrorlist, _LIST_LIMIT).decode("utf-8", "replace").split()
            mirrors = tuple(line.rstrip("/") + "/" for line in lines if line.startswith(("http://", "https://")))
            if not mirrors:
                raise LayoutExpertError(f"{repository.mirrorlist} names no mirror")
            bases += mirrors
    except LayoutExpertError as error:
        looked_at.append(f"{repository.name}: {error}")
    for base in bases[:_MIRRORS]:
        try:
            index = read_repomd(network, base, repository.keyring, repository.must_be_signed, digests)
            return index, repository._replace(bases=bases)
        except LayoutExpertError as error:
            looked_at.append(f"{repository.name}: {error}")
    return None


def _filled(text: str, variables: Dict[str, str]) -> str:
    """Text with the variables that are known in the place of $name and ${name}."""
    return _VARIABLE.sub(lambda match: variables.get(match.group(1) or match.group(2), match.group()), text)


def _words(text: str) -> List[str]:
    return text.replace(",", " ").split()


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "yes", "true", "on", "enabled")
