"""kernel-devel of RHEL's and Fedora's families and of openSUSE, from repositories made by rpmbuild and createrepo_c."""
import gzip
import hashlib
import io
import lzma
import os
import re
import ssl
import struct
import tracemalloc

import pytest

pytest.importorskip("rpmfile", reason="rpmfile reads .rpm files")
pytest.importorskip("pysequoia", reason="pysequoia verifies signatures")
pytest.importorskip("urllib3")
zstandard = pytest.importorskip("zstandard")

import distributions
import header_trees
import web
from distributions import key, other_key  # noqa: F401  (fixtures)
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.distribution import headers_of, repomd, yum
from rekall_layout_expert.supply.distribution.archives import Limits, unpack
from rekall_layout_expert.supply.distribution.rpm import Rpm
from rekall_layout_expert.supply.distribution.signatures import Keyring, fingerprints, verified
from rekall_layout_expert.supply.transfer import Network

VERSION, BUILD = "6.1.85", "200.fc39"
RELEASE = "%s-%s.x86_64" % (VERSION, BUILD)
FILES = 11  # that kernel-devel has here, of which one is there twice
KERNEL = Kernel(RELEASE, "Linux version %s (mockbuild@builder) (gcc) #1 SMP" % RELEASE, "x86_64", VERSION)
REPO = """[updates]
name=Updates
{address}
enabled=1
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-$releasever-$basearch
"""


@pytest.fixture(scope="session")
def old_key(tmp_path_factory):
    """A key as RHEL's and CentOS's are: it binds itself to its name by SHA-1."""
    key = distributions.Key(tmp_path_factory.mktemp("old") / "home", old=True)
    yield key
    key.close()


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    """What kernel-devel installs; two of its files are hard links to each other."""
    content = tmp_path_factory.mktemp("content")
    tree = header_trees.package(content / "usr/src/kernels" / RELEASE, {
        "include/generated/utsrelease.h": '#define UTS_RELEASE "%s"\n' % RELEASE})
    os.link(str(tree / "include/linux/sched.h"), str(tree / "include/linux/same.h"))
    (content / "lib/modules" / RELEASE).mkdir(parents=True)
    (content / "lib/modules" / RELEASE / "build").symlink_to("/usr/src/kernels/" + RELEASE)
    return content


def package(folder, content, key, payload="zstd", name="kernel-devel"):
    return distributions.rpm(folder, content, name, VERSION, BUILD, key=key, payload=payload,
                             tags="Provides: kernel-devel-uname-r = " + RELEASE)


@pytest.fixture(scope="session")
def signed(tmp_path_factory, content, key):
    """The bytes of a package, signed."""
    return package(tmp_path_factory.mktemp("signed"), content, key).read_bytes()


@pytest.fixture
def repository(tmp_path, signed, content, key):
    folder = tmp_path / "mirror/fedora/39/x86_64"
    folder.mkdir(parents=True)
    (folder / "Packages").mkdir()
    (folder / "Packages" / ("kernel-devel-%s.rpm" % RELEASE)).write_bytes(signed)
    distributions.rpm(folder / "Packages", content / "lib", "kernel-headers", VERSION, BUILD, key=key)
    distributions.rpm_repository(folder)
    return folder


def host(tmp_path, key, address, identity="fedora"):
    """A host of a distribution, without dnf."""
    return header_trees.write(tmp_path / "host", {
        "etc/os-release": 'ID=%s\nVERSION_ID="39"\n' % identity,
        "etc/yum.repos.d/updates.repo": REPO.format(address=address),
        "etc/dnf/vars/contentdir": "fedora\n",
        "etc/pki/rpm-gpg/RPM-GPG-KEY-39-x86_64": key.armored.decode(),
    })


def fetched(tmp_path, root, kernel=KERNEL):
    folder = tmp_path / "fetched"
    folder.mkdir(exist_ok=True)
    return headers_of(kernel, folder, Network(), root)


@pytest.fixture(autouse=True)
def no_archives(monkeypatch):
    """The archives on the internet are not asked by tests."""
    monkeypatch.setattr(yum, "_ARCHIVES", ())
    monkeypatch.setattr(yum, "_BUILD_SYSTEMS", {})


class TestTheHostsRepositories:
    def test_a_base_url_with_variables(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "baseurl=%s/$contentdir/${releasever}/$basearch" % server.url)
            trees = fetched(tmp_path, root)
            assert sum(path.endswith(".rpm") for path in server.asked) == 1
        tree = KernelTree(trees[0])
        assert (tree.release, tree.version) == (RELEASE, VERSION)
        assert tree.text("include/linux/same.h") == tree.text("include/linux/sched.h") == header_trees.SHARED[
            "include/linux/sched.h"]

    def test_a_list_of_mirrors_of_which_the_first_is_gone(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            server.routes["/mirrors?repo=f39&arch=x86_64"] = (
                "# a comment\n{0}/gone/\n{0}/fedora/39/x86_64\n".format(server.url).encode())
            root = host(tmp_path, key, "mirrorlist=%s/mirrors?repo=f$releasever&arch=$basearch" % server.url)
            assert fetched(tmp_path, root)

    def test_a_metalink_whose_digest_the_index_has_to_have(self, tmp_path, repository, key):
        data = (repository / "repodata/repomd.xml").read_bytes()
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "metalink=%s/metalink" % server.url)
            server.routes["/metalink"] = metalink(server.url + "/fedora/39/x86_64", hashlib.sha256(data).hexdigest())
            assert fetched(tmp_path, root)
            server.routes["/metalink"] = metalink(server.url + "/fedora/39/x86_64", "0" * 64)
            with pytest.raises(LayoutExpertError, match="is not the one that the metalink names"):
                fetched(tmp_path, root)

    @pytest.mark.parametrize("compression", ["xz", "bz2", "zst"])
    def test_the_index_however_compressed(self, tmp_path, repository, key, compression):
        distributions.rpm_repository(repository, compression={"zst": "gz"}.get(compression, compression))
        if compression == "zst":
            recompress(repository)
        assert list((repository / "repodata").glob("*primary.xml." + compression))
        with web.Server(files=tmp_path / "mirror") as server:
            assert fetched(tmp_path, host(tmp_path, key, "baseurl=%s/fedora/39/x86_64" % server.url))

    @pytest.mark.parametrize("name, fits", [("kernel-uek-devel", True), ("kernel-debug-devel", False)])
    def test_a_package_that_does_not_say_of_which_kernel_it_is(self, tmp_path, content, key, name, fits):
        folder = tmp_path / "mirror/f"
        distributions.rpm(folder, content, name, VERSION, BUILD, key=key)
        distributions.rpm_repository(folder)
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "baseurl=%s/f" % server.url)
            if fits:
                assert fetched(tmp_path, root)
            else:
                with pytest.raises(LayoutExpertError, match="no such package"):
                    fetched(tmp_path, root)

    def test_an_archive_of_the_distribution_has_what_is_superseded(self, tmp_path, repository, key, monkeypatch):
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "baseurl=%s/gone" % server.url)
            monkeypatch.setattr(yum, "_ARCHIVES", (("fedora", "", server.url + "/fedora/{major}/{basearch}/"),))
            assert fetched(tmp_path, root)

    def test_the_build_system_has_what_was_signed_in_a_folder_of_the_key(self, tmp_path, signed, key, monkeypatch):
        path = "/packages/kernel/%s/%s/data/signed/%s/x86_64/kernel-devel-%s.rpm" % (
            VERSION, BUILD, key.fingerprint[-8:].lower(), RELEASE)
        with web.Server({path: signed}) as server:
            monkeypatch.setattr(yum, "_BUILD_SYSTEMS", {"fedora": server.url + "/packages"})
            assert fetched(tmp_path, host(tmp_path, key, "baseurl=%s/gone" % server.url))

    def test_rhel_s_servers_ask_for_the_host_s_certificate(self, tmp_path, repository, key):
        pki = tmp_path / "host/etc/pki"
        pki.mkdir(parents=True)
        certificate(pki / "server", "127.0.0.1")
        certificate(pki / "client", "entitlement")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(pki / "server.pem"), str(pki / "server-key.pem"))
        context.load_verify_locations(str(pki / "client.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        server = web.Server(files=tmp_path / "mirror")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        address = "baseurl=%s/fedora/39/x86_64\nsslcacert=/etc/pki/server.pem\n" % server.url.replace("http:", "https:")
        with server:
            with pytest.raises(LayoutExpertError, match="repomd.xml"):
                fetched(tmp_path, host(tmp_path, key, address))
            with pytest.raises(LayoutExpertError, match="repomd.xml"):
                fetched(tmp_path, host(tmp_path, key, address + "sslclientcert=/etc/pki/client.pem\nsslclientkey=/gone"))
            assert not server.asked
            assert fetched(tmp_path, host(
                tmp_path, key, address + "sslclientcert=/etc/pki/client.pem\nsslclientkey=/etc/pki/client-key.pem"))

    def test_every_place_is_named_where_there_is_no_such_build(self, tmp_path, repository, key):
        kernel = KERNEL._replace(release="6.1.85-201.fc39.x86_64", banner=None)
        with web.Server(files=tmp_path / "mirror") as server:
            with pytest.raises(LayoutExpertError) as caught:
                fetched(tmp_path, host(tmp_path, key, "baseurl=%s/fedora/39/x86_64" % server.url), kernel)
        assert "6.1.85-201.fc39.x86_64" in caught.value.what
        assert "/fedora/39/x86_64/ (has no such package)" in str(caught.value)

    @pytest.mark.parametrize("address, reason", [
        ("baseurl=file:///media/dvd", "file:///media/dvd is not on the web"),
        ("baseurl=http://127.0.0.1/$unheard/of", r"nothing says what \$unheard is"),
        ("", "has no address"),
    ])
    def test_a_repository_that_cannot_be_asked_is_named_with_the_reason(self, tmp_path, key, address, reason):
        with pytest.raises(LayoutExpertError, match=reason):
            fetched(tmp_path, host(tmp_path, key, address))


class TestTrust:
    def test_a_package_signed_by_a_key_that_binds_itself_by_sha1(self, tmp_path, content, old_key):
        distributions.needs("gpgv")
        path = package(tmp_path, content, old_key)
        with open(path, "rb") as file:
            assert str(Rpm(file, "it", keyring(old_key))) == "kernel-devel-" + RELEASE

    def test_sha1_is_not_taken_for_what_is_signed(self, old_key, key):
        for each in (old_key, key):
            with pytest.raises(LayoutExpertError, match="has no good signature"):
                verified(b"text", keyring(each), "it", each.signature(b"text", "--digest-algo", "SHA1"))

    def test_an_old_keys_signature_of_something_else(self, old_key):
        with pytest.raises(LayoutExpertError, match="has no good signature"):
            verified(b"text", keyring(old_key), "it", old_key.signature(b"other text"))

    def test_an_index_that_is_signed_is_verified(self, tmp_path, repository, key, other_key):
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "repo_gpgcheck=1\nbaseurl=%s/fedora/39/x86_64" % server.url)
            with pytest.raises(LayoutExpertError, match="repomd.xml is not signed, and its repository is configured to be"):
                fetched(tmp_path, root)
            distributions.rpm_repository(repository, other_key)
            with pytest.raises(LayoutExpertError, match="repomd.xml has no good signature"):
                fetched(tmp_path, root)
            distributions.rpm_repository(repository, key)
            assert fetched(tmp_path, root)

    def test_a_package_that_another_key_signed(self, tmp_path, repository, other_key):
        refused(tmp_path, repository, other_key, "has no good signature")

    def test_a_package_that_nobody_signed(self, tmp_path, repository, content, key):
        package(repository / "Packages", content, None)
        distributions.rpm_repository(repository)
        refused(tmp_path, repository, key, "is not signed")

    def test_a_package_that_is_not_what_the_index_says(self, tmp_path, repository, key, content):
        package(repository / "Packages", content, key, payload="gzip")
        refused(tmp_path, repository, key, "is not what the index of its repository says|more than|has [0-9]+ bytes")

    def test_another_package_under_the_name_of_the_one_wanted(self, tmp_path, repository, content, key):
        path = repository / "Packages" / ("kernel-devel-%s.rpm" % RELEASE)
        old = path.stat().st_size, digest(path)
        path.write_bytes(package(tmp_path / "x", content, key, name="kernel-debug-devel").read_bytes())
        primary_says(repository, lambda text: text.replace(old[1], digest(path)).replace(
            'package="%d"' % old[0], 'package="%d"' % path.stat().st_size))
        refused(tmp_path, repository, key, "is the package kernel-debug-devel-.*, not kernel-devel")

    def test_no_key_on_the_host(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            root = host(tmp_path, key, "baseurl=%s/fedora/39/x86_64" % server.url)
            (root / "etc/pki/rpm-gpg/RPM-GPG-KEY-39-x86_64").unlink()
            with pytest.raises(LayoutExpertError, match="there is no key to verify it with"):
                fetched(tmp_path, root)


class TestPackages:
    @pytest.mark.parametrize("payload", sorted(distributions.RPMBUILD_PAYLOADS))
    def test_whatever_their_content_is_compressed_by(self, tmp_path, content, key, payload):
        path = package(tmp_path, content, key, payload)
        assert unpacked(path.read_bytes(), key, tmp_path / "out") == FILES
        assert (tmp_path / "out/lib/modules" / RELEASE / "build/Makefile").read_text() == header_trees.MAKEFILE

    def test_of_before_rpm_4_14_where_one_signature_covers_header_and_content(self, tmp_path, signed, key):
        old = without_digest(signed, key)
        assert unpacked(old, key, tmp_path / "out") == FILES
        with pytest.raises(LayoutExpertError, match="has no good signature"):
            unpacked(old[:-1] + bytes([old[-1] ^ 1]), key, tmp_path / "changed")
        with pytest.raises(LayoutExpertError, match="is not signed"):
            unpacked(without_digest(signed, None), key, tmp_path / "unsigned")

    def test_content_that_the_header_does_not_vouch_for(self, tmp_path, signed, key):
        with pytest.raises(LayoutExpertError, match="its content is not what its header says"):
            unpacked(signed[:-1] + bytes([signed[-1] ^ 1]), key, tmp_path / "out")

    @pytest.mark.parametrize("size", [0, 50, 96, 100, 120, 3000, -1000, -1])
    def test_truncated_anywhere(self, tmp_path, signed, key, size):
        with pytest.raises(LayoutExpertError, match="is damaged|is no RPM package|has no good signature"):
            unpacked(signed[:size], key, tmp_path / "out")

    def test_every_byte_of_the_headers_changed(self, tmp_path, signed, key):
        """In steps: each is refused, or changes nothing that is read."""
        for at in range(0, len(signed) - 1, max(1, len(signed) // 300)):
            damaged = signed[:at] + bytes([signed[at] ^ 0x55]) + signed[at + 1:]
            try:
                assert unpacked(damaged, key, tmp_path / "out") == FILES
            except LayoutExpertError:
                pass

    @pytest.mark.parametrize("entries, size", [(1 << 31, 16), (16, 1 << 31), (1 << 20, 1 << 20)])
    def test_headers_of_any_size_cost_nothing(self, tmp_path, signed, key, entries, size):
        tracemalloc.start()
        try:
            with pytest.raises(LayoutExpertError, match="not what it is taken for|is damaged"):
                unpacked(signed[:104] + struct.pack(">II", entries, size) + signed[112:], key, tmp_path / "out")
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()

    def test_a_bomb(self, tmp_path, content, key):
        large = tmp_path / "large"
        (large / "usr").mkdir(parents=True)
        with open(str(large / "usr/zero.h"), "wb") as file:
            file.truncate(24 << 20)
        data = package(tmp_path, large, key, "xz").read_bytes()
        assert len(data) < 1 << 20
        with pytest.raises(LayoutExpertError, match="unpacks to more than"):
            unpacked(data, key, tmp_path / "out", Limits(size=8 << 20))
        with pytest.raises(LayoutExpertError, match="has 25165824 bytes, more than 16777216"):
            unpacked(data, key, tmp_path / "out")
        with pytest.raises(LayoutExpertError, match="members"):
            unpacked(package(tmp_path, content, key).read_bytes(), key, tmp_path / "out", Limits(members=3))

    @pytest.mark.parametrize("change, reason", [
        (lambda cpio: cpio.replace(b"./usr/src/kernels/", b"./../../../../../../"[:18]), "damaged|outside"),
        (lambda cpio: cpio.replace(b"./usr/src/kernels/", b"/tmp/hostile/file/"), "damaged|outside"),
        (lambda cpio: b"070701" + b"-0000100" * 13 + cpio, "damaged"),
        (lambda cpio: cpio.replace(b"070701", b"070799", 3), "damaged"),
        (lambda cpio: cpio[:len(cpio) // 2], "damaged"),
        (lambda cpio: b"07" + bytes(1 << 20), "damaged"),
        (lambda cpio: bytes(1 << 20), "damaged"),
        (lambda cpio: cpio[:94] + b"7FFFFFFF" + cpio[102:], "damaged"),
    ])
    def test_a_hostile_archive_in_a_signed_package(self, tmp_path, signed, key, change, reason):
        """cpio's own fields: names that lead out, sizes below nothing and beyond everything, no members at all."""
        hostile = with_archive(signed, key, change)
        outside = set(tmp_path.parent.iterdir())
        with pytest.raises(LayoutExpertError, match=reason):
            web.within(60, unpacked, hostile, key, tmp_path / "out")
        assert set(tmp_path.parent.iterdir()) == outside

    def test_links_that_lead_out(self, tmp_path, key):
        hostile = tmp_path / "hostile"
        (hostile / "usr").mkdir(parents=True)
        (hostile / "usr/link").symlink_to("../../../../etc")
        with pytest.raises(LayoutExpertError, match="outside of its folder"):
            unpacked(package(tmp_path, hostile, key).read_bytes(), key, tmp_path / "out")


class TestIndexes:
    BOMB = ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
            '<repomd><data type="primary">&b;</data></repomd>')

    @pytest.mark.parametrize("text, reason", [
        (BOMB, "declares a document type"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><repomd/>', "declares a document type"),
        ("<repomd>" + "<a>" * 100 + "</a>" * 100 + "</repomd>", "nested more than"),
        ("<repomd><data", "is damaged"),
        ("", "is damaged"),
        ("<repomd></repomd>", "names no list of packages"),
        ('<repomd><data type="primary"/></repomd>', "names no list of packages"),
        ('<repomd><data type="primary"><location href="x"/><checksum type="md5">0</checksum></data></repomd>',
         r"digests \(md5\) that prove nothing"),
        ('<repomd><data type="primary"><location href="x"/></data></repomd>', r"digests \(none\) that prove nothing"),
    ])
    def test_hostile_or_damaged(self, text, reason):
        with web.Server({"/repodata/repomd.xml": text.encode()}) as server:
            with pytest.raises(LayoutExpertError, match=reason):
                repomd.read_repomd(Network(), server.url, Keyring([]))

    @pytest.mark.parametrize("text", [
        b'<m><package><name>kernel-devel</name><x a="' + b"A" * (6 << 20) + b'"/></package></m>',
        b"<m><package><name>kernel-devel</name>" + b"<x/>" * (2 << 20) + b"</package></m>",
        b"<m><package><name>" + b"k" * (6 << 20) + b"</name></package></m>",
    ], ids=["attribute", "elements", "text"])
    def test_entries_without_end_are_refused_early(self, text, tmp_path):
        with pytest.raises(LayoutExpertError, match="has an entry of more than"):
            list(repomd.elements(io.BytesIO(text), "it", re.compile("kernel")))

    def test_many_small_entries_are_read_without_keeping_them(self):
        text = b"<m>" + b"<package><name>a</name><y/></package>" * 20000 + \
            b"<package><name>kernel-devel</name></package></m>"
        tracemalloc.start()
        try:
            found = list(repomd.elements(io.BytesIO(text), "it", re.compile("kernel")))
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
        assert [each.findtext("name") for each in found] == ["kernel-devel"]

    def test_an_index_that_is_not_what_repomd_says(self, tmp_path, repository, key):
        primary = next((repository / "repodata").glob("*primary*"))
        primary.write_bytes(lzma.compress(b"<metadata/>"))
        refused(tmp_path, repository, key, "its sha256 is another")

    def test_an_index_that_unpacks_without_end(self, tmp_path, repository, key, monkeypatch):
        monkeypatch.setattr(repomd, "_OPEN_LIMIT", 1 << 20)
        primary_says(repository, lambda text: text + " " * (2 << 20))
        refused(tmp_path, repository, key, "unpacks to more than")


class TestReleases:
    @pytest.mark.parametrize("release, minor", [
        ("3.10.0-1160.119.1.el7", "7.9.2009"), ("3.10.0-957.el7", "7.6.1810"), ("4.18.0-348.7.1.el8_5", "8.5.2111"),
        ("4.18.0-553.el8", "8.10"), ("5.14.0-427.13.1.el9_4", "9.4"), ("5.14.0-427.el9", "9.4"),
        ("6.12.0-55.el10", "10.0"), ("6.9.5-200.fc40", ""),
    ])
    def test_the_minor_release_whose_directory_has_a_build(self, release, minor):
        assert yum._minor(*release.split("-")) == minor

    @pytest.mark.parametrize("release, parts", [
        ("5.14.0-427.el9.x86_64", ("5.14.0", "427.el9", "x86_64", "", "9")),
        ("5.14.0-427.el9.x86_64+rt", ("5.14.0", "427.el9", "x86_64", "rt", "9")),
        ("3.10.0-1160.el7.x86_64.debug", ("3.10.0", "1160.el7", "x86_64", "debug", "7")),
        ("6.9.5-200.fc40.aarch64+16k", ("6.9.5", "200.fc40", "aarch64", "16k", "40")),
        ("5.15.0-100.96.32.el9uek.x86_64", ("5.15.0", "100.96.32.el9uek", "x86_64", "", "9")),
    ])
    def test_what_a_release_consists_of(self, release, parts):
        assert yum._Release.of(release)[:5] == parts

    def test_the_vault_of_centos_7(self, key):
        monkeypatched = [("centos", "7", "https://vault.example/{minor}/os/{basearch}/")]
        parts = yum._Release.of("3.10.0-957.el7.x86_64")
        yum._ARCHIVES, kept = monkeypatched, yum._ARCHIVES
        try:
            assert [each.bases for each in yum._archives("centos", parts, keyring(key))] == [
                ("https://vault.example/7.6.1810/os/x86_64/",)]
            assert not list(yum._archives("rocky", parts, keyring(key)))
        finally:
            yum._ARCHIVES = kept


def certificate(path, name):
    """A certificate that is its own authority, PATH.pem and PATH-key.pem."""
    distributions.needs("openssl")
    distributions.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                      "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path) + "-key.pem", "-out", str(path) + ".pem")


def keyring(key):
    return Keyring([key.armored], (), ("the test's key",))


def unpacked(data, key, folder, limits=Limits()):
    folder.mkdir(exist_ok=True)
    package = Rpm(io.BytesIO(data), "it", keyring(key))
    return unpack(package.members(folder.parent, limits), folder, "it", limits=limits)


def refused(tmp_path, repository, key, reason):
    with web.Server(files=tmp_path / "mirror") as server:
        root = host(tmp_path, key, "baseurl=%s/fedora/39/x86_64" % server.url)
        with pytest.raises(LayoutExpertError, match=reason):
            fetched(tmp_path, root)
    assert not list((tmp_path / "fetched").iterdir())


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def metalink(base, sha256):
    return ('<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/" '
            'xmlns:mm0="http://fedorahosted.org/mirrormanager"><files><file name="repomd.xml"><verification>'
            '<hash type="md5">0</hash><hash type="sha256">%s</hash></verification><resources>'
            '<url protocol="rsync" preference="100">rsync://127.0.0.1/repodata/repomd.xml</url>'
            '<url protocol="http" preference="99">%s/repodata/repomd.xml</url></resources></file></files></metalink>'
            % (sha256, base)).encode()


def primary_says(repository, change):
    """Rewrites the list of packages, and repomd.xml accordingly."""
    replace(repository, lambda text: gzip.compress(change(text.decode()).encode()), "gz")


def recompress(repository):
    """The list of packages as newer versions of createrepo_c compress it."""
    replace(repository, lambda text: zstandard.ZstdCompressor().compress(text), "zst")


def replace(repository, change, ending):
    primary = next((repository / "repodata").glob("*primary.xml.gz"))
    data = change(gzip.decompress(primary.read_bytes()))
    old, new = digest(primary), hashlib.sha256(data).hexdigest()  # which is in the name as well
    repomd_xml = repository / "repodata/repomd.xml"
    repomd_xml.write_text(repomd_xml.read_text().replace(old, new).replace(new + "-primary.xml.gz", new + "-primary.xml." + ending))
    primary.unlink()
    (repository / "repodata" / (new + "-primary.xml." + ending)).write_bytes(data)


def parts_of(data):
    """(lead and signatures, header, archive) of a package."""
    at = [0, 0]
    start = 96
    for number in range(2):
        entries, size = struct.unpack(">II", data[start + 8:start + 16])
        end = start + 16 + 16 * entries + size
        at[number] = start
        start = end + (-size % 8 if number == 0 else 0)
    return data[:at[1]], data[at[1]:start], data[start:]


def signatures(*entries):
    """A header of signatures with (tag, signature)."""
    store, index = b"", b""
    for tag, value in entries:
        index += struct.pack(">IIII", tag, 7, len(store), len(value))
        store += value
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(entries), len(store)) + index + store + b"\0" * (-len(store) % 8)


def without_digest(data, key):
    """A package as RPM made it before 4.14: its header has no digest of the archive."""
    lead, header, archive = parts_of(data)
    entries = struct.unpack(">I", header[8:12])[0]
    index = header[16:16 + 16 * entries]
    for tag in (5092, 5093, 5097):
        index = index.replace(struct.pack(">I", tag), struct.pack(">I", 9000 + tag))
    header = header[:16] + index + header[16 + 16 * entries:]
    made = [(1002, key.signature(header + archive))] if key else [(1004, b"0" * 16)]
    return lead[:96] + signatures(*made) + header + archive


def with_archive(data, key, change):
    """A package with another archive, of which the header has the digest, signed."""
    lead, header, archive = parts_of(data)
    cpio = zstandard.ZstdDecompressor().decompressobj().decompress(archive)
    other = zstandard.ZstdCompressor().compress(change(cpio))
    header = header.replace(hashlib.sha256(archive).hexdigest().encode(), hashlib.sha256(other).hexdigest().encode())
    return lead[:96] + signatures((268, key.signature(header))) + header + other
