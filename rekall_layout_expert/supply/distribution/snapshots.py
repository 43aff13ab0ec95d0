"""Where a Debian or Ubuntu archive was when it had a build that it has superseded since.

  Debian  snapshot.debian.org keeps every state since 2005; its machine-usable interface tells when a
          package was first there.
  Ubuntu  snapshot.ubuntu.com keeps every state since March 2023; Launchpad tells when a build was
          published, and where. old-releases.ubuntu.com has the last state of a release that is no
          longer supported. What was superseded before 2023 only Launchpad keeps, and nobody signs it there.

What these answer decides nothing but where to look: the index found there was signed by the distribution
when it was current. That it has expired since says nothing, as a build of a known version is wanted.

Sources: https://salsa.debian.org/snapshot-team/snapshot/-/blob/master/API, https://snapshot.ubuntu.com,
https://api.launchpad.net/1.0.html
"""
from __future__ import annotations

import datetime
import json
import re
from typing import Iterable, Iterator, List, NamedTuple
from urllib.parse import quote, urlencode

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.supply.distribution.apt_sources import Source
from rekall_layout_expert.supply.distribution.signatures import Keyring

_ANSWER_LIMIT = 4 << 20
_STAMP = "%Y%m%dT%H%M%SZ"
# A package is in the pool before its suite lists it: until the publisher has run, in hours at the most.
# Days later it is there unless it was superseded at once.
_LATER = (datetime.timedelta(0), datetime.timedelta(hours=12), datetime.timedelta(days=3))

_DEBIAN_CODENAMES = {"7": "wheezy", "8": "jessie", "9": "stretch", "10": "buster", "11": "bullseye", "12": "bookworm",
                     "13": "trixie", "14": "forky"}
_SECURITY_BELOW_CODENAME = ("wheezy", "jessie", "stretch", "buster")
# In the versions of Debian's packages and compilers: 12.2.0-14+deb12u1, 6.1.0-0.deb11.7.
_DEBIAN_NUMBER = re.compile(r"[+~.](?:deb|bpo)(\d+)")
_UBUNTU_SINCE = datetime.datetime(2023, 3, 1)
_UBUNTU_POCKETS = {"Release": "", "Updates": "-updates", "Security": "-security", "Proposed": "-proposed"}


class Archives(NamedTuple):
    """What keeps superseded builds, and what knows when they were there."""

    debian: str = "https://snapshot.debian.org"
    ubuntu: str = "https://snapshot.ubuntu.com"
    launchpad: str = "https://api.launchpad.net"
    ubuntu_old: str = "https://old-releases.ubuntu.com/ubuntu"


def debian_snapshots(kernel: Kernel, package: str, architectures: Iterable[str], keyring: Keyring, network,
                     archives: Archives, suites_of_host: Iterable[str]) -> Iterator[List[Source]]:
    """Groups of sources that may have had a package in the kernel's package version, in the order to be searched.

    architectures: as Debian names them. suites_of_host: by which the release is guessed where the banner
    does not tell it. A LayoutExpertError tells that the version is not known there.
    """
    version = _version_of(kernel, archives.debian)
    address = f"{archives.debian}/mr/binary/{quote(package)}/{quote(version, safe='')}/binfiles?fileinfo=1"
    fileinfo = _asked(network, address).get("fileinfo")
    ends = tuple(f"_{architecture}.deb" for architecture in architectures)
    seen = set()
    for entries in fileinfo.values() if isinstance(fileinfo, dict) else ():
        for entry in _dictionaries(entries):
            if str(entry.get("name")).endswith(ends) and re.fullmatch(r"[a-z-]+", str(entry.get("archive_name"))):
                seen.add((entry["archive_name"], _time(entry.get("first_seen"), _STAMP)))
    if not seen:
        raise LayoutExpertError(f"{address} names no archive that had it")
    for archive, time in sorted(seen, key=lambda each: (each[0] != "debian-security", each)):
        suites = _debian_suites(kernel, archive, suites_of_host)
        for later in _LATER:
            place = f"{archives.debian}/archive/{archive}/{(time + later).strftime(_STAMP)}"
            yield [Source(place, suite, ("main",), keyring, checks_dates=False) for suite in suites]


def ubuntu_snapshots(kernel: Kernel, package: str, architectures: Iterable[str], keyring: Keyring, network,
                     archives: Archives) -> Iterator[List[Source]]:
    """As debian_snapshots. architectures: as Ubuntu names them."""
    query = urlencode({"ws.op": "getPublishedBinaries", "binary_name": package, "exact_match": "true",
                       "version": _version_of(kernel, archives.launchpad)})
    address = f"{archives.launchpad}/1.0/ubuntu/+archive/primary?{query}"
    published = set()
    for entry in _dictionaries(_asked(network, address).get("entries")):
        series = re.search(r"/ubuntu/([a-z]+)/([a-z0-9]+)\Z", str(entry.get("distro_arch_series_link")))
        pocket, date = entry.get("pocket"), entry.get("date_published")
        if series and series.group(2) in architectures and pocket in _UBUNTU_POCKETS and date:
            published.add((_time(str(date)[:19], "%Y-%m-%dT%H:%M:%S"), series.group(1) + _UBUNTU_POCKETS[pocket]))
    if not published:
        raise LayoutExpertError(f"{address} names no suite that had it")
    suites = sorted({suite for _, suite in published})
    yield [Source(archives.ubuntu_old, suite, ("main", "universe"), keyring, checks_dates=False) for suite in suites]
    for later in _LATER:
        for time in sorted({time for time, _ in published if time >= _UBUNTU_SINCE}):
            place = f"{archives.ubuntu}/ubuntu/{(time + later).strftime(_STAMP)}"
            yield [Source(place, suite, ("main", "universe"), keyring, checks_dates=False)
                   for at, suite in sorted(published) if at == time]


def _debian_suites(kernel: Kernel, archive: str, suites_of_host: Iterable[str]) -> List[str]:
    known = list(_DEBIAN_CODENAMES.values())
    number = _DEBIAN_NUMBER.search(f"{kernel.release} {kernel.banner}")
    if number and number.group(1) in _DEBIAN_CODENAMES:
        known = [_DEBIAN_CODENAMES[number.group(1)]]
    else:
        of_host = {re.split("[-/]", suite)[0] for suite in suites_of_host}
        known = [codename for codename in known if codename in of_host] or known
    if archive == "debian-security":
        return [f"{name}/updates" if name in _SECURITY_BELOW_CODENAME else f"{name}-security" for name in known]
    of_release = [f"{name}{suffix}" for name in known for suffix in ("-proposed-updates", "-backports", "")]
    return [*of_release, "sid", "experimental"]


def _version_of(kernel: Kernel, archive: str) -> str:
    if not kernel.package_version:
        raise LayoutExpertError(f"{archive} was not asked, as nothing tells which build {kernel.release} is")
    return kernel.package_version


def _asked(network, address: str) -> dict:
    try:
        answer = json.loads(network.fetch(address, _ANSWER_LIMIT))
    except (ValueError, RecursionError) as error:
        raise LayoutExpertError(f"{address} does not answer as documented: {error}") from error
    return answer if isinstance(answer, dict) else {}


def _dictionaries(value) -> List[dict]:
    """The dictionaries in a list, if it is one: an answer may be anything."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _time(text, form: str) -> datetime.datetime:
    try:
        return datetime.datetime.strptime(text, form)
    except (TypeError, ValueError) as error:
        raise LayoutExpertError(f"{text!r} is no time of a snapshot") from error
