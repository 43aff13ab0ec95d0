"""A web server on the loopback interface, for tests: it serves what it is told to, or misbehaves.

    with Server({"/file": b"content", "/slow": stalls}) as server:
        network.fetch(server.url + "/file", 100)
        assert server.asked == ["/file"]

A route is the content, or a function of the request's handler, which may answer in any way.
"""
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html>\n<html><title>Welcome to the hotel</title></html>\n"


class Server(ThreadingHTTPServer):
    """Serves until the with statement ends. routes: {path: content or function}; files: a folder that is served besides."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, routes=None, files=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes, self.files = dict(routes or {}), files
        self.asked = []
        self.over = threading.Event()  # ends those who sleep
        self.url = "http://127.0.0.1:%d" % self.server_port

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        route = self.server.routes.get(self.path)
        if callable(route):
            route(self)
            return
        if route is None and self.server.files is not None:
            path = self.server.files / self.path.lstrip("/")
            route = path.read_bytes() if path.is_file() else None
        answer(self, 404 if route is None else 200, b"" if route is None else route)

    def log_message(self, *_):
        pass


def answer(handler, status=200, body=b"", **headers):
    """A whole answer; its Content-Length is true unless given. None leaves a header out."""
    headers = {"Content_Length": len(body), **headers}
    handler.send_response(status)
    for name, value in headers.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def answers(status=200, body=b"", **headers):
    """A route that answers so, and hangs up."""
    def route(handler):
        answer(handler, status, body, **headers)
        handler.close_connection = True
    return route


def redirects(to, status=302):
    return lambda handler: answer(handler, status, Location=to(handler) if callable(to) else to)


def never_answers(handler):
    handler.server.over.wait(60)


def stalls(handler):
    """Sends a part, and then nothing more, without hanging up."""
    answer(handler, body=b"part", Content_Length=1000)
    handler.wfile.flush()
    handler.server.over.wait(60)


def drips(handler, size=1):
    """Sends a byte now and then, for ever."""
    answer(handler, Content_Length=1 << 20)
    while not handler.server.over.wait(0.05):
        handler.wfile.write(bytes(size))
        handler.wfile.flush()


def flows(handler):
    """Sends without a stop, and too slowly all the same."""
    drips(handler, 2000)


def drips_headers(handler):
    """A header line that never ends, a byte at a time: no read of it takes long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.over.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def without_end(handler):
    """Sends as fast as it is read, without saying how much."""
    answer(handler, Content_Length=None)
    try:
        while not handler.server.over.is_set():
            handler.wfile.write(bytes(1 << 16))
    finally:
        handler.close_connection = True


def within(seconds, function, *arguments, **options):
    """What a function returns; fails when it is still at it after `seconds`, which are many: a bound, no measurement."""
    start = time.monotonic()
    try:
        return function(*arguments, **options)
    finally:
        assert time.monotonic() - start < seconds
