"""Files over HTTP from servers that stall, truncate, lie and loop, and from networks that are dead."""
import base64
import io
import os
import socket
import threading

import pytest

import web
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply import transfer
from rekall_layout_expert.supply.transfer import Network, NotFound, Unreachable

pytest.importorskip("urllib3", reason="urllib3 is not installed")
LIMIT = 1 << 20


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No proxy of this machine's is asked."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve():
    """serve(routes): a server until the test ends."""
    servers = []

    def serve(routes=None, **options):
        servers.append(web.Server(routes, **options).__enter__())
        return servers[-1]

    yield serve
    for server in servers:
        server.__exit__()


@pytest.fixture
def network():
    """As the users', with little patience."""
    return Network(connect=0.5, stall=0.6, deadline=2, resolve=0.6)


def refused(network, url, limit=LIMIT, **options):
    """The line that a fetch ends with, which is to come at once or by the stated times."""
    with pytest.raises(LayoutExpertError) as caught:
        web.within(20, network.fetch, url, limit, **options)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 400
    return line


# What is there

@pytest.mark.parametrize("content", [b"", b"content", os.urandom(300_000)], ids=len)
def test_a_file_is_what_the_server_has(serve, network, content):
    assert network.fetch(serve({"/a/b.past": content}).url + "/a/b.past", LIMIT) == content


def test_a_file_is_not_unpacked_on_the_way(serve, network):
    """Servers name the compression of a file, which it keeps."""
    server = serve({"/f.gz": web.answers(body=b"\x1f\x8b as it is", Content_Encoding="gzip")})
    assert network.fetch(server.url + "/f.gz", LIMIT) == b"\x1f\x8b as it is"


def test_an_answer_in_chunks(serve, network):
    def chunks(handler):
        web.answer(handler, Content_Length=None, Transfer_Encoding="chunked")
        handler.wfile.write(b"4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n")
    assert network.fetch(serve({"/": chunks}).url + "/", LIMIT) == b"abcdefg"


def test_an_answer_that_ends_with_the_connection(serve, network):
    assert network.fetch(serve({"/": web.answers(body=b"all of it", Content_Length=None)}).url + "/", LIMIT) == b"all of it"


def test_a_file_goes_where_it_is_to_go(serve, network):
    file = io.BytesIO()
    assert network.download(serve({"/f": b"content"}).url + "/f", file, LIMIT) == 7 and file.getvalue() == b"content"


def test_each_step_is_reported(serve):
    steps, at_rest = [], threading.Event()

    def in_two_parts(handler):
        web.answer(handler, body=b"x" * 1_000_000, Content_Length=1_500_000)
        at_rest.wait(10)
        handler.wfile.write(b"x" * 500_000)

    def report(step):
        steps.append(step)
        if len(steps) > 1:
            at_rest.set()

    url = serve({"/f": in_two_parts}).url + "/f"
    Network(report=report).fetch(url, 2 * LIMIT)
    assert steps[0] == f"FETCHING {url}" and steps[1].endswith(f"/1.5 MB of {url}")


def test_what_is_absent_is_told_from_what_fails(serve, network):
    server = serve({"/gone": web.answers(410), "/broken": web.answers(500)})
    for path in ("/absent", "/gone"):
        with pytest.raises(NotFound, match=f"{path} does not exist"):
            network.fetch(server.url + path, LIMIT)
    with pytest.raises(LayoutExpertError, match="/broken is refused: 500") as caught:
        network.fetch(server.url + "/broken", LIMIT)
    assert not isinstance(caught.value, NotFound)


# Servers that misbehave

@pytest.mark.parametrize("route, reason", [
    (web.never_answers, "has (not answered within|sent nothing for) 0.6 s"),
    (web.stalls, "has sent (nothing for|less than 1000 bytes in) 0.6 s"),
    (web.drips, "has sent less than 1000 bytes in 0.6 s"),
    (web.flows, r"was not there in 2 s: 0.\d/1.0 MB"),
    (web.drips_headers, "has not answered within 0.6 s"),
    (web.without_end, f"has more than {LIMIT} bytes: not what it is taken for"),
    (web.answers(body=b"part", Content_Length=1000), "broke off after 4 of 1000 bytes"),
    (web.answers(body=b"x", Content_Length=LIMIT + 1), f"has {LIMIT + 1} bytes, more than {LIMIT}"),
    (web.answers(body=b"4\r\nabcd\r\n", Content_Length=None, Transfer_Encoding="chunked"), "broke off"),
    (web.answers(body=b"zz\r\nabcd\r\n", Content_Length=None, Transfer_Encoding="chunked"), "broke off"),
    (web.answers(206, b"part"), "is refused: 206"),
    (web.answers(403), "is refused: 403 Forbidden"),
    (web.answers(body=web.PAGE), "is a web page, not the file; is there a proxy, or a login"),
    (web.answers(body=b"\n<HTML>"), "is a web page"),
    (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "broke off"),
    (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "broke off"),
    (lambda handler: handler.connection.close(), "broke off"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_server_that_misbehaves_costs_a_line_and_little_time(serve, network, route, reason):
    def hangs_up_after(handler):
        handler.close_connection = True
        route(handler)

    import re
    url = serve({"/f": hangs_up_after}).url + "/f"
    assert re.match(re.escape(url) + " " + reason, refused(network, url))


def test_a_web_page_that_is_wanted(serve, network):
    assert network.fetch(serve({"/list": web.PAGE}).url + "/list", LIMIT, page=True) == web.PAGE


def test_more_than_was_announced_is_not_taken(serve, network):
    server = serve({"/f": web.answers(body=b"content and more", Content_Length=7)})
    assert network.fetch(server.url + "/f", LIMIT) == b"content"


def test_a_full_disk_is_told(serve, network):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(LayoutExpertError, match="cannot write .*No space left on device"):
        network.download(serve({"/f": b"content"}).url + "/f", Full(), LIMIT)


# Redirects

def test_redirects_are_followed(serve, network):
    elsewhere = serve({"/there": b"content"})
    server = serve({"/f": web.redirects("g"), "/g": web.redirects(elsewhere.url + "/there", 307)})
    assert network.fetch(server.url + "/f", LIMIT) == b"content"
    assert server.asked == ["/f", "/g"]


@pytest.mark.parametrize("to, reason", [
    ("/f", "is redirected more than 5 times"),
    (lambda handler: handler.path + "x", "is redirected more than 5 times"),
    ("file:///etc/passwd", "is redirected to file:///etc/passwd, which no http may lead to"),
    ("ftp://127.0.0.1/", "is redirected to ftp://127.0.0.1/, which no http may lead to"),
    ("http://[", "is redirected to "),
])
def test_redirects_that_lead_nowhere(serve, network, to, reason):
    server = serve()
    server.routes.update({"/f" + "x" * count: web.redirects(to) for count in range(20)})
    assert f"{server.url}/f {reason}" in refused(network, server.url + "/f")
    assert len(server.asked) <= 6


def test_what_a_redirect_brings_along_is_not_read(serve, network):
    def endless(handler):
        handler.send_response(302)
        handler.send_header("Location", "/there")
        handler.end_headers()
        while not handler.server.over.is_set():
            handler.wfile.write(bytes(1 << 16))

    assert network.fetch(serve({"/f": endless, "/there": b"content"}).url + "/f", LIMIT) == b"content"


def test_nobody_is_led_from_a_secure_to_an_open_connection():
    on_the_way = transfer._Transfer(Network(), "https://host/f", io.BytesIO(), LIMIT, False)
    assert on_the_way._redirected("https://host/f", "https://other/f") == "https://other/f"
    with pytest.raises(LayoutExpertError, match="redirected to http://other/f, which no https may lead to"):
        on_the_way._redirected("https://host/f", "http://other/f")


# Passwords

def test_user_and_password_of_a_url_go_to_its_host_only_and_are_not_shown(serve, network):
    seen = []

    def note(handler):
        seen.append(handler.headers.get("Authorization"))
        web.answer(handler, body=b"content")

    elsewhere = serve({"/there": note})
    server = serve({"/f": note, "/away": web.redirects(elsewhere.url + "/there")})
    with_password = server.url.replace("http://", "http://me:s%40cret@")
    for path in ("/f", "/away"):
        network.fetch(with_password + path, LIMIT)
    assert seen == ["Basic " + base64.b64encode(b"me:s@cret").decode(), None]
    assert "cret" not in refused(network, with_password + "/absent")


# Dead networks

def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_host_that_refuses(network):
    assert "cannot be reached: Connection refused" in refused(network, f"http://127.0.0.1:{closed_port()}/f")


@pytest.fixture
def black_hole():
    """A port that answers no connection: its queue is full, and packets to it are dropped."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_host_that_swallows_everything(network, black_hole):
    assert "cannot be reached: no connection within 0.5 s" in refused(network, black_hole + "/f")


def test_a_resolver_that_does_not_answer(network, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60))
    reason = "cannot be reached: no resolver told the address of its host within 0.6 s"
    assert reason in refused(network, "http://repository.invalid/f")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked again"))
    assert reason in refused(network, "http://another.invalid/f")
    over.set()


def test_without_a_resolver_addresses_are_still_asked(serve, network):
    network.resolver_is_silent.set()
    assert network.fetch(serve({"/f": b"content"}).url + "/f", LIMIT) == b"content"


def test_a_name_that_nobody_knows(network, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "the name of its host is not known (Name or service not known)" in refused(network, "http://repository.invalid/f")


def test_a_dead_host_is_asked_once(network, black_hole, monkeypatch):
    refused(network, black_hole + "/first")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked again"))
    with pytest.raises(Unreachable) as caught:
        network.fetch(black_hole + "/second", LIMIT)
    assert caught.value.reason == "cannot be reached: no connection within 0.5 s"


@pytest.mark.parametrize("route", [web.stalls, web.drips, web.flows])
def test_a_host_that_took_too_long_is_not_asked_again(serve, network, route):
    server = serve({"/slow": route, "/f": b"content"})
    refused(network, server.url + "/slow")
    assert refused(network, server.url + "/f").startswith(server.url + "/f ") and server.asked == ["/slow"]


@pytest.mark.parametrize("route", [web.answers(404), web.answers(500), web.answers(body=b"part", Content_Length=100)])
def test_a_host_that_failed_at_once_is_asked_again(serve, network, route):
    server = serve({"/failing": route, "/f": b"content"})
    refused(network, server.url + "/failing")
    assert network.fetch(server.url + "/f", LIMIT) == b"content"


def test_offline_no_socket_is_opened(monkeypatch):
    for name in ("socket", "getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, lambda *_, **__: pytest.fail("the network was asked"))
    assert "was not asked, as --offline says" in refused(Network(offline=True), "http://127.0.0.1/f")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/f", "http://", "http://[", "host/f", "", "http:///f"])
def test_what_is_no_address_on_the_web(network, url):
    assert "is no address of a file on the web" in refused(network, url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://127.0.0.1:x/", "http://127.0.0.1\x00/", "http://a..b/"])
def test_an_address_that_nothing_can_be_at(network, url):
    assert refused(network, url)


# Proxies

def test_the_proxy_of_the_environment_is_asked(serve, network, monkeypatch):
    seen = []

    def proxy(handler):
        seen.append((handler.path, handler.headers.get("Proxy-Authorization")))
        web.answer(handler, body=b"content")

    server = serve({"http://repository.invalid/f": proxy})
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "me:secret@"))
    assert network.fetch("http://repository.invalid/f", LIMIT) == b"content"
    assert seen == [("http://repository.invalid/f", "Basic " + base64.b64encode(b"me:secret").decode())]


def test_no_proxy_leaves_a_host_out(serve, network, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    server = serve({"/f": b"content"})
    assert "through the proxy: Connection refused" in refused(network, "http://repository.invalid/f")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert network.fetch(server.url + "/f", LIMIT) == b"content"


def test_a_proxy_of_a_kind_that_is_not_spoken(network, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    assert "socks5" in refused(network, "http://repository.invalid/f")


# Without the library

def test_a_missing_urllib3_is_one_line(network, monkeypatch):
    import sys
    for name in [name for name in sys.modules if name.split(".")[0] == "urllib3"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    assert "urllib3 is missing; pip install urllib3" in refused(network, "http://repository.invalid/f")


def test_secure_connections_need_a_certificate_that_is_trusted(network, tmp_path):
    """A server that does not even speak TLS is not trusted either."""
    with web.Server({"/f": b"content"}) as server:
        assert "is not trusted: " in refused(network, server.url.replace("http:", "https:") + "/f")
