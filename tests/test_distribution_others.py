"""Headers packages of openSUSE, Arch Linux and Alpine, from repositories laid out as theirs."""
import base64
import hashlib
import lzma
import os

import pytest

pytest.importorskip("rpmfile", reason="rpmfile reads .rpm files")
pytest.importorskip("pysequoia", reason="pysequoia verifies signatures")
pytest.importorskip("urllib3")
zstandard = pytest.importorskip("zstandard")
pytest.importorskip("Crypto", reason="pycryptodome verifies RSA signatures")

import distributions
import header_trees
import web
from distributions import key, other_key  # noqa: F401  (fixtures)
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.distribution import alpine, arch, headers_of, suse
from rekall_layout_expert.supply.transfer import Network

ARCHIVE = arch._ARCHIVE


@pytest.fixture(scope="module")
def signed(tmp_path_factory, key):
    """Arch's linux-headers with its signature beside it."""
    folder = tmp_path_factory.mktemp("arch")
    release = TestArch.RELEASE
    header_trees.package(folder / "content/usr/lib/modules" / release / "build", utsrelease(release))
    return distributions.pacman_package(folder, folder / "content", "linux-headers", TestArch.VERSION, "1", key)


@pytest.fixture(scope="module")
def rsa():
    return distributions.RsaKey()


def fetched(tmp_path, root, release, banner=None):
    folder = tmp_path / "fetched"
    folder.mkdir(exist_ok=True)
    return headers_of(Kernel(release, banner, "x86_64", None), folder, Network(), root)


def refused(tmp_path, root, release, reason):
    with pytest.raises(LayoutExpertError, match=reason) as caught:
        fetched(tmp_path, root, release)
    assert not list((tmp_path / "fetched").iterdir())
    return caught.value


def utsrelease(release):
    return {"include/generated/utsrelease.h": '#define UTS_RELEASE "%s"\n' % release}


class TestSuse:
    RELEASE = "6.1.85-150600.21-default"

    @pytest.fixture
    def repository(self, tmp_path, key):
        """A build and a rebuild of kernel-default-devel and kernel-devel, as openSUSE lays them out."""
        folder = tmp_path / "mirror/leap/15.6/oss"
        sources = "usr/src/linux-6.1.85-150600.21"
        own, shared = tmp_path / "own", tmp_path / "shared"
        header_trees.write(own / (sources + "-obj/x86_64/default"), {
            "Makefile": "include ../../../linux-6.1.85-150600.21/Makefile\n", **header_trees.GENERATED,
            **utsrelease(self.RELEASE)})
        (own / "usr/lib/modules" / self.RELEASE).mkdir(parents=True)
        (own / "usr/lib/modules" / self.RELEASE / "build").symlink_to("/%s-obj/x86_64/default" % sources)
        header_trees.write(shared / sources, {"Makefile": header_trees.MAKEFILE, **header_trees.SHARED})
        os.link(str(shared / sources / "include/linux/types.h"), str(shared / sources / "include/linux/again.h"))
        for rebuild in "1", "3":
            release = "150600.21." + rebuild
            self.package(folder, own, "kernel-default-devel", release, key,
                         "Requires: kernel-devel = 6.1.85-150600.21\n")
            self.package(folder, shared, "kernel-devel", release, key, "BuildArch: noarch\n", architecture="noarch")
        distributions.rpm_repository(folder, key)
        return folder

    def package(self, folder, content, name, release, key, tags, architecture="x86_64"):
        tags += "Provides: %s = 6.1.85-150600.21" % name
        return distributions.rpm(folder, content, name, "6.1.85", release, architecture, tags, "bzip2", key)

    def host(self, tmp_path, server, key, path="leap/$releasever/oss"):
        return header_trees.write(tmp_path / "host", {
            "etc/os-release": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n',
            "etc/zypp/repos.d/repo-oss.repo": "[repo-oss]\nenabled=1\nautorefresh=1\nbaseurl=%s/%s\n"
                                              "gpgkey=http://127.0.0.1/key.asc\n" % (server.url, path),
            "usr/lib/rpm/gnupg/keys/gpg-pubkey-1.asc": key.armored.decode(),
        })

    def test_a_flavour_s_package_and_the_one_that_it_requires(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            trees = fetched(tmp_path, self.host(tmp_path, server, key), self.RELEASE)
            packages = [path for path in server.asked if path.endswith(".rpm")]
        assert sorted(packages) == ["/leap/15.6/oss/kernel-default-devel-6.1.85-150600.21.3.x86_64.rpm",
                                    "/leap/15.6/oss/kernel-devel-6.1.85-150600.21.3.noarch.rpm"]
        tree = KernelTree(trees[0])
        assert (tree.release, tree.version) == (self.RELEASE, "6.1.85")
        assert tree.text("include/linux/again.h") == header_trees.SHARED["include/linux/types.h"]

    def test_the_banner_tells_whose_kernel_an_image_is_of(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            root = self.host(tmp_path, server, key)
            (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=15.6\n")
            assert fetched(tmp_path, root, self.RELEASE, "Linux version %s (geeko@buildhost) (gcc)" % self.RELEASE)

    def test_another_build_is_not_used(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            error = refused(tmp_path, self.host(tmp_path, server, key), "6.1.85-150600.23-default", "no repository has")
        assert "has no such package" in str(error)

    def test_a_flavour_whose_package_is_not_there(self, tmp_path, repository, key):
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), "6.1.85-150600.21-azure", "lacks kernel-azure-devel")

    def test_a_key_that_the_host_has_not_got(self, tmp_path, repository, other_key):
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, other_key), self.RELEASE, "repomd.xml has no good signature")

    def test_tumbleweed_s_history(self, tmp_path, repository, key, monkeypatch):
        with web.Server(files=tmp_path / "mirror") as server:
            monkeypatch.setattr(suse, "_HISTORY", server.url + "/{snapshot}/oss")
            (tmp_path / "mirror/20240601").symlink_to(tmp_path / "mirror/leap/15.6")
            root = self.host(tmp_path, server, key, "gone")
            (root / "etc/os-release").write_text('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\nVERSION_ID="20240601"\n')
            assert fetched(tmp_path, root, self.RELEASE)


class TestArch:
    RELEASE, VERSION = "6.1.85-arch1-1", "6.1.85.arch1"

    @pytest.fixture
    def mirror(self, tmp_path, signed):
        folder = tmp_path / "mirror/core/os/x86_64"
        folder.mkdir(parents=True)
        for path in signed, signed.with_name(signed.name + ".sig"):
            (folder / path.name).write_bytes(path.read_bytes())
        distributions.pacman_database(folder, "core", folder / signed.name)
        return folder

    def host(self, tmp_path, server, key, revoked=""):
        return header_trees.write(tmp_path / "host", {
            "etc/os-release": "ID=arch\n",
            "etc/pacman.conf": "# comment\n[options]\nColor\nArchitecture = auto\nInclude = /etc/pacman.d/*.conf\n"
                               "[core]\nInclude = /etc/pacman.d/mirrorlist\n[empty]\nServer = %s/empty/$repo\n" % server.url,
            "etc/pacman.d/mirrorlist": "#Server = http://127.0.0.1:9/no\nServer = {0}/gone/$repo/os/$arch\n"
                                       "Server = {0}/$repo/os/$arch\n".format(server.url),
            "usr/share/pacman/keyrings/archlinux.gpg": key.armored.decode(),
            "usr/share/pacman/keyrings/archlinux-revoked": revoked,
        })

    def test_from_a_mirror_with_the_signature_in_a_file(self, tmp_path, mirror, key):
        with web.Server(files=tmp_path / "mirror") as server:
            trees = fetched(tmp_path, self.host(tmp_path, server, key), self.RELEASE)
        assert KernelTree(trees[0]).release == self.RELEASE

    def test_from_a_mirror_with_the_signature_in_its_database(self, tmp_path, mirror, key, signed):
        self.say(mirror, mirror / signed.name, key)
        (mirror / (signed.name + ".sig")).unlink()
        with web.Server(files=tmp_path / "mirror") as server:
            assert fetched(tmp_path, self.host(tmp_path, server, key), self.RELEASE)

    @pytest.mark.parametrize("compression", ["zst", "xz"])
    def test_the_archive_has_what_is_superseded(self, tmp_path, signed, key, monkeypatch, compression):
        folder = tmp_path / "mirror/packages/l/linux-headers"
        folder.mkdir(parents=True)
        data = signed.read_bytes()
        if compression == "xz":  # as it was until 2019
            data = lzma.compress(zstandard.ZstdDecompressor().stream_reader(data).read())
        path = folder / (signed.name[:-3] + compression)
        path.write_bytes(data)
        (folder / (path.name + ".sig")).write_bytes(key.signature(data))
        with web.Server(files=tmp_path / "mirror") as server:
            monkeypatch.setattr(arch, "_ARCHIVE", ARCHIVE.replace("https://archive.archlinux.org", server.url))
            assert fetched(tmp_path, self.host(tmp_path, server, key), self.RELEASE)

    @pytest.fixture(autouse=True)
    def no_archive(self, monkeypatch):
        monkeypatch.setattr(arch, "_ARCHIVE", "http://127.0.0.1:9/{letter}/{name}-{version}-{architecture}.{compression}")

    def test_every_place_is_named_where_there_is_no_such_build(self, tmp_path, mirror, key):
        with web.Server(files=tmp_path / "mirror") as server:
            error = refused(tmp_path, self.host(tmp_path, server, key), "6.1.86-arch1-1", "no mirror has")
            for place in "/core/os/x86_64/core.db (has no linux-headers 6.1.86.arch1-1)", "/gone/", "/empty/":
                assert place in str(error)

    def test_a_key_that_the_host_has_not_got_or_has_revoked(self, tmp_path, mirror, key, other_key):
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, other_key), self.RELEASE, "has no good signature")
            refused(tmp_path, self.host(tmp_path, server, key, key.fingerprint + "\n"), self.RELEASE, "has been revoked")

    def test_a_package_that_is_not_what_the_database_says(self, tmp_path, mirror, key, signed):
        path = mirror / signed.name
        path.write_bytes(path.read_bytes()[:-1])
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), self.RELEASE, "its sha256 is another")

    def test_another_package_under_the_name_of_the_one_wanted(self, tmp_path, mirror, key, signed):
        path = mirror / signed.name
        path.write_bytes(distributions.tar({".PKGINFO": b"pkgname = linux-lts-headers\npkgver = 6.1.85.arch1-1\n", "usr/x.h": b""}))
        self.say(mirror, path, key)
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), self.RELEASE, "is the package linux-lts-headers")

    @pytest.mark.parametrize("members, reason", [
        ({"usr/x.h": b""}, "does not say which package it is"),
        ({".PKGINFO": b"pkgname = linux-headers\npkgver = 6.1.85.arch1-1\n", "../../x.h": b""}, "outside of its folder"),
        ({".PKGINFO": b"pkgname = linux-headers\npkgver = 6.1.85.arch1-1\n", "/x.h": b""}, "outside of its folder"),
    ])
    def test_a_hostile_package_that_is_signed(self, tmp_path, mirror, key, signed, members, reason):
        path = mirror / signed.name
        path.write_bytes(distributions.tar(members))
        self.say(mirror, path, key)
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), self.RELEASE, reason)

    @pytest.mark.parametrize("name, reason", [("../../evil.pkg.tar.zst", "is no name of a package"), ("", "is no name")])
    def test_a_database_that_leads_elsewhere(self, tmp_path, mirror, key, name, reason):
        (mirror / "core.db.tar.gz").write_bytes(database(name, "0"))
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), self.RELEASE, reason)

    @pytest.mark.parametrize("data", [b"", b"junk", b"\x1f\x8b" + b"junk" * 100])
    def test_a_damaged_database(self, tmp_path, mirror, key, data):
        (mirror / "core.db.tar.gz").write_bytes(data)
        with web.Server(files=tmp_path / "mirror") as server:
            refused(tmp_path, self.host(tmp_path, server, key), self.RELEASE, "no mirror has")

    def test_files_of_configuration_that_include_each_other(self, tmp_path, mirror, key):
        with web.Server(files=tmp_path / "mirror") as server:
            root = self.host(tmp_path, server, key)
            (root / "etc/pacman.d/loop.conf").write_text("Include = /etc/pacman.d/loop.conf\n")
            assert fetched(tmp_path, root, self.RELEASE)

    def say(self, mirror, path, key):
        (mirror / "core.db.tar.gz").write_bytes(database(
            path.name, hashlib.sha256(path.read_bytes()).hexdigest(), key.signature(path.read_bytes())))

    @pytest.mark.parametrize("release, name, versions", [
        ("6.9.1-arch1-1", "linux-headers", ["6.9.1.arch1-1"]),
        ("6.9.0-arch1-1", "linux-headers", ["6.9.0.arch1-1", "6.9.arch1-1"]),
        ("6.6.32-1-lts", "linux-lts-headers", ["6.6.32-1"]),
        ("6.9.1-zen1-1-zen", "linux-zen-headers", ["6.9.1.zen1-1"]),
        ("6.8.11-hardened1-2.1-hardened", "linux-hardened-headers", ["6.8.11.hardened1-2.1"]),
    ])
    def test_the_package_that_a_release_names(self, release, name, versions):
        assert arch._package(release) == (name, versions)

    def test_a_release_of_another_distribution(self):
        with pytest.raises(LayoutExpertError, match="is not named as a kernel of Arch Linux is"):
            arch._package("5.14.0-427.el9.x86_64")


class TestAlpine:
    RELEASE, NAME, VERSION = "6.1.85-0-lts", "linux-lts-dev", "6.1.85-r0"
    INDEX, PACKAGE = "/v3.20/main/x86_64/APKINDEX.tar.gz", "/v3.20/main/x86_64/linux-lts-dev-6.1.85-r0.apk"

    @pytest.fixture
    def content(self, tmp_path):
        content = tmp_path / "content"
        header_trees.package(content / "usr/src" / ("linux-headers-" + self.RELEASE), utsrelease(self.RELEASE))
        (content / "lib/modules" / self.RELEASE).mkdir(parents=True)
        (content / "lib/modules" / self.RELEASE / "build").symlink_to("/usr/src/linux-headers-" + self.RELEASE)
        return content

    def host(self, tmp_path, server, key):
        return header_trees.write(tmp_path / "host", {
            "etc/os-release": "ID=alpine\nVERSION_ID=3.20.0\n",
            "etc/apk/repositories": "/media/usb/apks\n#{0}/v3.19/main\n{0}/v3.20/community\n{0}/v3.20/main\n"
                                    "@edge {0}/edge/main\n".format(server.url),
            "etc/apk/keys/" + key.name: key.public,
        })

    @pytest.mark.parametrize("algorithm", ["RSA", "RSA256", "RSA512"])
    def test_from_the_signed_index(self, tmp_path, content, rsa, algorithm):
        package, entry = distributions.apk(content, self.NAME, self.VERSION, rsa)
        other = distributions.apk(content, "linux-virt-dev", self.VERSION, rsa)[1]
        index = distributions.apk_index(other, entry, key=rsa, algorithm=algorithm)
        with web.Server({self.INDEX: index, self.PACKAGE: package}) as server:
            trees = fetched(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE)
        assert trees and all(KernelTree(tree).release == self.RELEASE for tree in trees)

    def test_every_place_is_named_where_there_is_no_such_build(self, tmp_path, content, rsa):
        index = distributions.apk_index(distributions.apk(content, self.NAME, "6.1.86-r0", rsa)[1], key=rsa)
        with web.Server({self.INDEX: index}) as server:
            error = refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, "Alpine keeps the newest build only")
        for place in ("/media/usb/apks (is not on the web)", "community", "edge",
                      "v3.20/main/x86_64/APKINDEX.tar.gz (has no linux-lts-dev 6.1.85-r0)"):
            assert place in str(error)
        assert "v3.19" not in str(error)

    def test_indexes_that_are_not_signed_or_by_others(self, tmp_path, content, rsa):
        package, entry = distributions.apk(content, self.NAME, self.VERSION, rsa)
        impostor, stranger = distributions.RsaKey(rsa.name), distributions.RsaKey("stranger.rsa.pub")
        good = distributions.apk_index(entry, key=rsa)
        for index, reason in (
                (distributions.apk_index(entry), "is not signed"),
                (distributions.apk_index(entry, key=impostor), "has no good signature by " + rsa.name),
                (distributions.apk_index(entry, key=stranger), "is signed by no key of .* but by stranger.rsa.pub"),
                (good + b"\0", "has no good signature"),
                (distributions.apk_index(entry, key=rsa)[:-20], "has no good signature"),
                (good[:100], "is damaged"), (b"", "is damaged"), (b"junk", "is damaged")):
            with web.Server({self.INDEX: index, self.PACKAGE: package}) as server:
                refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, reason)

    def test_a_key_s_name_never_leads_out_of_the_folder_of_keys(self, tmp_path, content, rsa):
        index = distributions.apk_index(distributions.apk(content, self.NAME, self.VERSION)[1])
        hostile = distributions.gzip.compress(distributions.tar({".SIGN.RSA.../../../tmp/key": b"x"})[:-1024])
        with web.Server({self.INDEX: hostile + index}) as server:
            refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, "is not signed")

    def test_packages_that_are_not_what_the_index_says(self, tmp_path, content, rsa):
        package, entry = distributions.apk(content, self.NAME, self.VERSION, rsa)
        (content / "another").write_text("")
        other = distributions.apk(content, self.NAME, self.VERSION, rsa)[0]
        renamed, renamed_entry = distributions.apk(content, "linux-virt-dev", self.VERSION, rsa)
        renamed_entry = renamed_entry.replace("linux-virt-dev", self.NAME)
        for entry, data, reason in (
                (entry, other, "its sha1 is another"),
                (entry, package[:-1] + bytes([package[-1] ^ 1]), "its content is not what its control part says"),
                (entry, package[:-1], "its content is not what its control part says"),
                (entry, package[:300], "is damaged"), (entry, b"ADB.junk", "is damaged"),
                (renamed_entry, renamed, "is the package linux-virt-dev 6.1.85-r0, not linux-lts-dev")):
            with web.Server({self.INDEX: distributions.apk_index(entry, key=rsa), self.PACKAGE: data}) as server:
                refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, reason)

    def test_hostile_packages_that_are_signed(self, tmp_path, rsa):
        for members, reason in (({"../x.h": b""}, "outside of its folder"), ({"/etc/x.h": b""}, "outside of its folder")):
            package, entry = distributions.apk(None, self.NAME, self.VERSION, rsa, distributions.tar(members))
            with web.Server({self.INDEX: distributions.apk_index(entry, key=rsa), self.PACKAGE: package}) as server:
                refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, reason)

    def test_parts_that_unpack_without_end(self, tmp_path, rsa, monkeypatch):
        bomb = distributions.gzip.compress(bytes(8 << 20))
        with web.Server({self.INDEX: bomb}) as server:
            refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, "has a part of more than")
        monkeypatch.setattr(alpine, "_INDEX_OPEN_LIMIT", 1000)
        index = distributions.apk_index("P:x\n" * 1000, key=rsa)
        with web.Server({self.INDEX: index}) as server:
            refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, "unpacks to 4[0-9]{3} bytes")

    @pytest.mark.parametrize("digest", ["", "Q1", "Q1!!!!", "X1" + base64.b64encode(bytes(20)).decode()])
    def test_digests_that_are_none(self, tmp_path, content, rsa, digest):
        package, entry = distributions.apk(content, self.NAME, self.VERSION, rsa)
        index = distributions.apk_index("C:%s\n%s" % (digest, entry.split("\n", 1)[1]), key=rsa)
        with web.Server({self.INDEX: index, self.PACKAGE: package}) as server:
            refused(tmp_path, self.host(tmp_path, server, rsa), self.RELEASE, "has a digest that is none|its sha1 is another")


def database(name, digest, signature=None):
    """core.db of one package, as repo-add writes it."""
    text = "%%FILENAME%%\n%s\n\n%%NAME%%\nlinux-headers\n\n%%VERSION%%\n6.1.85.arch1-1\n\n%%SHA256SUM%%\n%s\n\n" % (name, digest)
    if signature:
        text += "%%PGPSIG%%\n%s\n\n" % base64.b64encode(signature).decode()
    return distributions.gzip.compress(distributions.tar({"linux-headers-6.1.85.arch1-1/desc": text.encode()}))
