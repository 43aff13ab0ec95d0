"""A Debian or Ubuntu archive on the loopback, laid out and signed as theirs are, with packages of a few headers.

What is written down here of the formats is from https://wiki.debian.org/DebianRepository/Format, deb(5), and the
documentation of snapshot.debian.org, snapshot.ubuntu.com and Launchpad.
"""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import lzma
import tarfile
import threading
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

COMPRESSIONS = {".xz": lzma.compress, ".gz": gzip.compress, "": bytes}


def tar(*members, form=tarfile.GNU_FORMAT):
    """A tar archive of (name, content) and of tarfile's entries."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return data.getvalue()


def deb(data, name="data.tar.xz"):
    """A Debian package with that data.tar."""
    parts = (("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(tar())), (name, data))
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        for name, content in parts)


def symlink(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


class Key:
    """A key of an archive. public: as it stands in a keyring."""

    def __init__(self, name="Archive Key <archive@example.org>"):
        from pysequoia import Tsk
        self.secret = Tsk.generate(name)
        self.certificate = self.secret.extract_certificate()
        self.public = bytes(self.certificate)
        self.armored = str(self.certificate)

    def clear_signed(self, data):
        from pysequoia import SignatureMode, sign
        return sign(self.secret.signer(), data, mode=SignatureMode.CLEAR)

    def detached(self, data):
        from pysequoia import SignatureMode, sign
        return sign(self.secret.signer(), data, mode=SignatureMode.DETACHED)


class Server:
    """files: what is served, by path. asked: the paths asked for, in order. answers: {path: function of the handler}."""

    def __init__(self):
        self.files, self.asked, self.answers = {}, [], {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self):
        """The number of bytes of all that was asked for and is there."""
        return sum(len(self.files.get(path, b"")) for path in self.asked)


@contextlib.contextmanager
def serving():
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            server.asked.append(path)
            if path in server.answers:
                return server.answers[path](self)
            data = server.files.get(path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        server.port = httpd.server_address[1]
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()


def headers_package(release, common="", version="6.1.85", tree=None):
    """The data.tar of linux-headers-RELEASE, and of the package with the headers that its flavours share (or None).

    As Debian has them: the flavour's Makefile includes the one of the common package.
    """
    folder = f"usr/src/linux-headers-{release}"
    numbers = dict(zip(("VERSION", "PATCHLEVEL", "SUBLEVEL"), version.split(".")))
    makefile = "".join(f"{name} = {number}\n" for name, number in numbers.items()).encode()
    generated = (f"{folder}/include/generated/utsrelease.h", f'#define UTS_RELEASE "{release}"\n'.encode())
    shared = [("Makefile", makefile), ("arch/x86/include/asm/page.h", b""),
              ("include/linux/kconfig.h", b"#include <generated/autoconf.h>\n"),
              ("include/linux/sched.h", b"struct task_struct { int first; };\n")]
    link = symlink(f"lib/modules/{release}/build", f"/{folder}")
    if not common:
        return tar(generated, link, *((f"{folder}/{name}", data) for name, data in shared)), None
    of_common = f"usr/src/{common}"
    return (tar(generated, link, (f"{folder}/Makefile", f"include /{of_common}/Makefile\n".encode())),
            tar(*((f"{of_common}/{name}", data) for name, data in shared)))


class Suite:
    """What one suite of an archive lists, and how it is published under a server."""

    def __init__(self, server, base, name, key, component="main"):
        self.server, self.base, self.name, self.key, self.component = server, base, name, key, component
        self.paragraphs = []

    def add(self, package, version, data, architecture="amd64", depends="", suffix=".xz", **fields):
        """A package: its .deb goes to the pool, its paragraph to the list. fields: put in place of the right ones."""
        compress = fields.pop("compress", COMPRESSIONS.get(suffix))
        content = deb(compress(data), f"data.tar{suffix}")
        path = f"pool/{self.component}/l/linux/{package}_{version.replace(':', '%3a')}_{architecture}.deb"
        self.server.files[f"{self.base}/{path}"] = content
        paragraph = {"Package": package, "Version": version, "Architecture": architecture, "Depends": depends,
                     "Filename": path, "Size": len(content), "SHA256": hashlib.sha256(content).hexdigest(), **fields}
        self.paragraphs.append("".join(f"{name}: {value}\n" for name, value in paragraph.items() if value != ""))
        return path

    def publish(self, compressions=(".xz",), by_hash=True, detached=False, index=None, sign=None, **fields):
        """Signs and serves the suite. index: in place of the compressed list. sign: in place of the key's method."""
        listed = "\n".join(self.paragraphs).encode()
        dists = f"{self.base}/dists/{self.name}"
        entries = []
        for compression in compressions:
            data = COMPRESSIONS[compression](listed) if index is None else index
            path = f"{self.component}/binary-amd64/Packages{compression}"
            digest = hashlib.sha256(data).hexdigest()
            entries.append(f" {digest} {len(data)} {path}\n")
            self.server.files[f"{dists}/{path}"] = data
            if by_hash:
                self.server.files[f"{dists}/{self.component}/binary-amd64/by-hash/SHA256/{digest}"] = data
        release = {"Origin": "Debian", "Suite": self.name, "Architectures": "amd64", "Components": self.component,
                   "Acquire-By-Hash": "yes" if by_hash else "no", **fields}
        text = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in release.items())
        text = f"{text}SHA256:\n{''.join(entries)}".encode()
        if detached:
            self.server.files[f"{dists}/Release"] = text
            self.server.files[f"{dists}/Release.gpg"] = (sign or self.key.detached)(text)
        else:
            self.server.files[f"{dists}/InRelease"] = (sign or self.key.clear_signed)(text)
        return self


def in_days(days):
    """A date as Release files have it."""
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%a, %d %b %Y %H:%M:%S UTC")


def answer_of_snapshot(*entries):
    """What snapshot.debian.org's interface says of a package: (archive, first seen) of each of its files."""
    return json.dumps({
        "_comment": "foo", "result": [{"architecture": "amd64", "hash": str(n)} for n in range(len(entries))],
        "fileinfo": {str(n): [{"archive_name": archive, "first_seen": first_seen, "name": "x_1_amd64.deb", "path": "/pool", "size": 1}]
                     for n, (archive, first_seen) in enumerate(entries)},
    }).encode()


def answer_of_launchpad(server, *entries):
    """Launchpad's list of where a build was published, for the query it was asked: (series/architecture, pocket, date)."""
    def answer(handler):
        query = parse_qs(urlsplit(handler.path).query)
        asked = [query[name][0] for name in ("ws.op", "exact_match", "binary_name", "version")]
        data = json.dumps({"total_size": len(entries), "start": 0, "entries": [
            {"distro_arch_series_link": f"https://api.launchpad.net/1.0/ubuntu/{series}", "pocket": pocket,
             "date_published": date, "binary_package_name": asked[2], "binary_package_version": asked[3]}
            for series, pocket, date in entries]}).encode() if asked[:2] == ["getPublishedBinaries", "true"] else b"{}"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
    return answer
