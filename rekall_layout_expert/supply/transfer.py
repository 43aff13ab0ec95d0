"""Files over HTTP: the one place that speaks it, for networks that are dead, broken, or hostile.

urllib3 does the talking, in a thread of its own that is left behind when it takes too long: neither
the resolver nor a server that sends its header lines one byte at a time can be given a deadline. So
nothing here takes longer than it says, whatever the other side does:

  the name of a host       RESOLVE seconds, which is time for a second resolver when the first is dead
  a connection             CONNECT seconds for each address of the host
  the answer               STALL seconds, with names and redirects
  each next LEAST bytes    STALL seconds
  the whole file           DEADLINE seconds

A host that took too long, and a resolver, is not asked a second time by the same Network. What arrives is not to be
believed: whoever asked holds it against a digest or a signature. That a web page arrived instead of a
file, as from the login of a hotel, is told here, since no digest says so.

Sources: RFC 9110 (HTTP), RFC 7617 (user and password of a URL); the variables http_proxy, https_proxy,
all_proxy and no_proxy mean what they do to curl.
"""
from __future__ import annotations

import copy
import io
import ipaddress
import socket
import threading
import time
from http.client import HTTPException
from typing import BinaryIO, Callable, Dict, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.version import VERSION

RESOLVE, CONNECT, STALL, DEADLINE = 6.0, 3.0, 10.0, 300.0  # seconds
OFFLINE = "was not asked, as --offline says"
LEAST = 1000  # bytes in STALL seconds
_REDIRECTS = 5
_CHUNK = 1 << 16  # bytes
_CONNECTIONS = 8  # to one host, of threads that fetch at once
_TICK = 0.25  # seconds between two reports
_PAGE = (b"<!doctype html", b"<html")
_ABSENT = (404, 410)


class NotFound(LayoutExpertError):
    """The server answered that it has no such file."""


class Unreachable(LayoutExpertError):
    """The host does not answer, or must not be asked: nothing else of its files can be had either.

    reason: why, to be read after what could not be reached.
    """

    def __init__(self, address: str, reason: str, next_step: Optional[str] = None):
        super().__init__(f"{address} {reason}", next_step=next_step)
        self.reason = reason


class Credentials(NamedTuple):
    """Files of TLS: the certificate that a client shows, its key, and whom the server's certificate has to be from.

    What is empty is not shown; authorities: empty for those of the system.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""


class _TooSlow(LayoutExpertError):
    """It took longer than it may."""


class Network:
    """Downloads for one run of the program; threads may share it.

    offline: refuses everything before a socket is opened. report: is told what is being fetched and
    how far it is. The times are seconds.
    """

    def __init__(self, offline: bool = False, report: Optional[Callable[[str], None]] = None,
                 connect: float = CONNECT, stall: float = STALL, deadline: float = DEADLINE,
                 resolve: float = RESOLVE):
        self.offline = offline
        self.report = report or (lambda step: None)
        self.connect, self.stall, self.deadline, self.resolve = connect, stall, deadline, resolve
        self.resolver_is_silent = threading.Event()
        self._proxies: Dict[str, str] = {}
        self._credentials = Credentials()
        self._pools: Dict[Optional[str], object] = {}
        self._silent: Dict[Tuple[str, str], str] = {}

    def through(self, proxies: Dict[str, str]) -> Network:
        """This network by way of proxies, {"http": URL}, as far as the environment names none for a scheme.

        They are what a host is configured with elsewhere, for apt for example. The rest is shared.
        """
        network = copy.copy(self)
        network._proxies = dict(proxies)
        return network

    def showing(self, credentials: Credentials) -> Network:
        """This network for servers that ask for a certificate of the client, as RHEL's do. The rest is shared."""
        network = copy.copy(self)
        network._credentials, network._pools = credentials, {}
        return network

    def fetch(self, url: str, limit: int, page: bool = False) -> bytes:
        """The content of a file of at most limit bytes; as download() otherwise."""
        content = io.BytesIO()
        self.download(url, content, limit, page)
        return content.getvalue()

    def download(self, url: str, file: BinaryIO, limit: int, page: bool = False) -> int:
        """Writes what an http or https URL names to file, and returns its size in bytes.

        limit: the most bytes it may have. page: whether a web page is wanted. A LayoutExpertError tells
        what went wrong: NotFound, that the server has no such file; Unreachable, that no other can be had
        either. What was written until then stays.
        """
        shown = without_password(url)
        parts = _parts_of(url)
        if parts is None:
            raise LayoutExpertError(f"{shown} is no address of a file on the web")
        if self.offline:
            raise Unreachable(shown, OFFLINE)
        # A proxy that is dead is as dead for the next host.
        place = self.proxy_of(parts) or f"{parts.scheme}://{_host_of(parts)}"
        if place in self._silent:
            raise Unreachable(shown, self._silent[place])
        self.report(f"FETCHING {shown}")
        transfer = _Transfer(self, url, file, limit, page)
        transfer.start()
        try:
            self._watch(transfer, shown)
        except LayoutExpertError as error:
            if transfer.has_answered and not isinstance(error, _TooSlow):
                raise
            self._silent[place] = error.what[len(shown) + 1:]
            raise Unreachable(shown, self._silent[place], error.next_step) from error
        finally:
            transfer.is_abandoned = True
        return transfer.received

    def _watch(self, transfer: _Transfer, shown: str) -> None:
        """Waits for a transfer as long as it deserves, and raises what ended it."""
        start = last = time.monotonic()
        received = at_last = 0
        while not transfer.done.wait(min(_TICK, self.stall, self.resolve)):
            now = time.monotonic()
            if transfer.received != received:
                received = transfer.received
                if received - at_last >= LEAST or not at_last:
                    at_last, last = received, now
                self.report(f"FETCHING {_megabytes(received, transfer.size)} of {shown}")  # terminals cut off the end
            if transfer.is_resolving and now - start > self.resolve:
                self.resolver_is_silent.set()
                raise LayoutExpertError(f"{shown} {_no_resolver(self)}")
            if now - last > self.stall:
                silence = f"has sent less than {LEAST} bytes in {self.stall:g} s" if transfer.has_answered else \
                    f"has not answered within {self.stall:g} s"
                raise _TooSlow(f"{shown} {silence}")
            if now - start > self.deadline:
                raise _TooSlow(f"{shown} was not there in {self.deadline:g} s: {_megabytes(received, transfer.size)}")
        transfer.wait()

    def pool_for(self, parts):
        """urllib3's connections, through the proxy that the environment names for an address."""
        import urllib3

        proxy = self.proxy_of(parts)
        if proxy not in self._pools:
            options = dict(maxsize=_CONNECTIONS, timeout=urllib3.Timeout(connect=self.connect, read=self.stall), retries=False)
            names = dict(cert_file=self._credentials.certificate, key_file=self._credentials.key,
                         ca_certs=self._credentials.authorities)
            options.update((name, path) for name, path in names.items() if path)
            if proxy is None:
                self._pools[proxy] = urllib3.PoolManager(**options)
            else:
                user = _user_and_password(urlsplit(proxy))
                headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
                self._pools[proxy] = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        return self._pools[proxy]

    def proxy_of(self, parts) -> Optional[str]:
        """The URL of the proxy for an address; None if its host is asked directly."""
        proxies = getproxies_environment()
        proxy = proxies.get(parts.scheme) or proxies.get("all") or self._proxies.get(parts.scheme)
        if not proxy or proxy_bypass_environment(_host_of(parts), proxies):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


class Call(threading.Thread):
    """A function at work in a thread that may be left behind, when it takes too long.

    error: what it raised, once it is done; result: what it returned otherwise.
    """

    def __init__(self, function: Callable, *arguments):
        super().__init__(daemon=True)  # the program may end while it still waits
        self._function, self._arguments = function, arguments
        self.done = threading.Event()
        self.result = None
        self.error: Optional[BaseException] = None

    def run(self) -> None:
        try:
            self.result = self._function(*self._arguments)
        except BaseException as error:  # is raised in the thread that waits
            self.error = error
        self.done.set()

    def wait(self, seconds: Optional[float] = None):
        """The result, or its error raised; TimeoutError if it is not done by then."""
        if not self.done.wait(seconds):
            raise TimeoutError
        if self.error:
            raise self.error
        return self.result


class _Transfer(Call):
    """One file on its way. Who waits for it may stop waiting: then it ends when it next gets to run."""

    def __init__(self, network: Network, url: str, file: BinaryIO, limit: int, page: bool):
        super().__init__(self._run)
        self._network, self._url, self._file, self._limit, self._page = network, url, file, limit, page
        self.received = 0
        self.size: Optional[int] = None
        self.has_answered = self.is_abandoned = self.is_resolving = False

    def _run(self) -> None:
        try:
            import urllib3.exceptions
        except ImportError as error:
            raise LayoutExpertError(f"{without_password(self._url)} cannot be fetched: urllib3 is missing",
                                    next_step="pip install urllib3") from error
        try:
            response = self._opened()
            try:
                self._read(response)
            finally:
                # What is left unread is of no use, and may be without end.
                response.release_conn() if self.received == self.size else response.close()
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _TooSlow(f"{without_password(self._url)} has sent nothing for {self._network.stall:g} s") from error
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, UnicodeError) as error:
            raise LayoutExpertError(f"{without_password(self._url)} {_reason(error, self._network)}") from error

    def _opened(self):
        """The answer, after redirects. They are followed here, as urllib3 would read each to its end first."""
        url = self._url
        first = urlsplit(url)
        for _ in range(_REDIRECTS + 1):
            parts = urlsplit(url)
            headers = {"User-Agent": f"rekall-layout-expert/{VERSION}", "Accept-Encoding": "identity"}
            user = _user_and_password(parts) or _user_and_password(first)
            if user and (parts.scheme, _host_of(parts)) == (first.scheme, _host_of(first)):
                import urllib3
                headers.update(urllib3.make_headers(basic_auth=user))
            self._resolve(parts)
            response = self._network.pool_for(parts).request(
                "GET", urlunsplit(parts._replace(netloc=_host_of(parts))), headers=headers, redirect=False,
                preload_content=False, decode_content=False, enforce_content_length=False)  # _read() does
            self.has_answered = True
            target = response.get_redirect_location()
            if not target:
                self._check(response)
                return response
            response.close()
            url = self._redirected(url, target)
        raise LayoutExpertError(f"{without_password(self._url)} is redirected more than {_REDIRECTS} times")

    def _resolve(self, parts) -> None:
        """Asks for the address of a host before urllib3 does, to know what it is that takes long."""
        if self._network.proxy_of(parts) or _is_address(parts.hostname):
            return
        if self._network.resolver_is_silent.is_set():
            raise LayoutExpertError(f"{without_password(self._url)} {_no_resolver(self._network)}")
        self.is_resolving = True
        socket.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
        self.is_resolving = False

    def _redirected(self, url: str, target: str) -> str:
        try:
            target = urljoin(url, target)
            parts = _parts_of(target)
        except ValueError:
            parts = None
        if parts is None or (url.split(":")[0], parts.scheme) == ("https", "http"):
            raise LayoutExpertError(f"{without_password(self._url)} is redirected to {without_password(target)[:200]}, "
                                    f"which no {url.split(':')[0]} may lead to")
        return target

    def _check(self, response) -> None:
        shown = without_password(self._url)
        if response.status in _ABSENT:
            raise NotFound(f"{shown} does not exist")
        if response.status != 200:
            raise LayoutExpertError(f"{shown} is refused: {response.status} {response.reason}")
        size = response.headers.get("Content-Length", "")
        self.size = int(size) if size.isdigit() and len(size) < 20 else None
        if self.size is not None and self.size > self._limit:
            raise LayoutExpertError(f"{shown} has {self.size} bytes, more than {self._limit}: not what it is taken for")

    def _read(self, response) -> None:
        shown = without_password(self._url)
        while not self.is_abandoned:
            # What is there, and not as much as asked for, so that it is seen to move.
            chunk = response.read1(_CHUNK)
            if not chunk:
                break
            if not self.received and not self._page and chunk.lstrip()[:20].lower().startswith(_PAGE):
                raise LayoutExpertError(f"{shown} is a web page, not the file",
                                        next_step="is there a proxy, or a login to the network, in between?")
            self.received += len(chunk)
            if self.received > self._limit:
                raise LayoutExpertError(f"{shown} has more than {self._limit} bytes: not what it is taken for")
            try:
                self._file.write(chunk)
            except (OSError, ValueError) as error:  # ValueError: closed by who stopped waiting
                raise LayoutExpertError(f"cannot write what {shown} holds: {error}") from error
        if self.size is not None and self.received != self.size:
            raise LayoutExpertError(f"{shown} broke off after {self.received} of {self.size} bytes")


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    try:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=_host_of(parts)))
    except ValueError:  # no URL
        return url


def _parts_of(url: str):
    """The parts of an http or https URL; None of anything else."""
    try:
        parts = urlsplit(url)
        return parts if parts.scheme in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def _reason(error: Exception, network: Network) -> str:
    """What an exception of urllib3's says to a user, after the address."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.ProxyError):
        return f"cannot be reached through the proxy: {_system_reason(error.original_error)}"
    if isinstance(error, (socket.gaierror, exceptions.NameResolutionError)):
        return f"cannot be reached: the name of its host is not known ({_system_reason(error)})"
    if isinstance(error, exceptions.NewConnectionError):  # before its base class
        return f"cannot be reached: {_system_reason(error)}"
    if isinstance(error, exceptions.ConnectTimeoutError):
        return f"cannot be reached: no connection within {network.connect:g} s"
    if isinstance(error, exceptions.SSLError):
        return f"is not trusted: {_system_reason(error)}"
    return f"broke off: {_system_reason(error)}"


def _no_resolver(network: Network) -> str:
    return f"cannot be reached: no resolver told the address of its host within {network.resolve:g} s"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
        return True
    except ValueError:
        return False


def _system_reason(error: BaseException) -> str:
    """The words of the system for what is beneath an exception of urllib3's."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _host_of(parts) -> str:
    """Host and port, without user and password."""
    return parts.netloc.rpartition("@")[2]


def _user_and_password(parts) -> Optional[str]:
    user = parts.netloc.rpartition("@")[0]
    return unquote(user) or None


def _megabytes(received: int, size: Optional[int]) -> str:
    return f"{received / 1e6:.1f}" + (f"/{size / 1e6:.1f} MB" if size else " MB")
