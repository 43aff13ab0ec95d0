"""A kernel's headers from Debian's and Ubuntu's packages: the right build or none, and nothing that nobody signed.

The archives are laid out on the loopback as the real ones are; those that keep superseded builds cannot be proven
otherwise where only the current ones can be reached. The real ones: see the tests marked `network`.
"""

import os
import re
import socket
import sys
import time
from datetime import datetime, timedelta, timezone
from random import Random

import pytest

pytest.importorskip("pysequoia", reason="pysequoia verifies the signatures")
pytest.importorskip("debian", reason="python-debian reads .deb files")
pytest.importorskip("urllib3", reason="urllib3 fetches")

import kernels
from debian_archive import (COMPRESSIONS, Key, Suite, answer_of_launchpad, answer_of_snapshot, headers_package, in_days,
                            serving, symlink, tar)
from rekall_layout_expert import build_pre_ast
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.storage import dumps
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.distribution import apt_repository, headers_of
from rekall_layout_expert.supply.distribution.apt_sources import proxies_of, sources_of
from rekall_layout_expert.supply.distribution.debian import fetch_headers
from rekall_layout_expert.supply.distribution.signatures import Keyring, verified
from rekall_layout_expert.supply.distribution.snapshots import Archives, debian_snapshots
from rekall_layout_expert.supply.header_trees import installed_trees
from rekall_layout_expert.supply.transfer import Network

RELEASE, COMMON, VERSION = "6.1.0-20-amd64", "linux-headers-6.1.0-20-common", "6.1.85-1"
HEADERS = f"linux-headers-{RELEASE}"


def debian(version=VERSION, release=RELEASE):
    return Kernel.from_banner(f"Linux version {release} (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) "
                              f"12.2.0) #1 SMP PREEMPT_DYNAMIC Debian {version} (2024-04-11)", "x86_64")


def ubuntu(release, upload):
    return Kernel.from_banner(f"Linux version {release} (buildd@lcy02) (x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) "
                              f"13.2.0) #{upload}-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug 30 12:02:04 UTC 2024", "x86_64")


@pytest.fixture(scope="module")
def key():
    return Key()


@pytest.fixture(scope="module")
def other_key():
    return Key("Somebody <else@example.org>")


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def host(tmp_path, key):
    """A host of Debian that trusts the archive's key, with no sources yet."""
    root = tmp_path / "host"
    write(root, "etc/os-release", 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    write(root, "usr/share/keyrings/debian-archive-keyring.gpg", key.public)
    write(root, "etc/apt/trusted.gpg.d/archive.asc", key.armored)
    return root


def write(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def sources(host, *lines):
    write(host, "etc/apt/sources.list", "".join(f"{line}\n" for line in lines))


def add_debian(suite, version=VERSION, release=RELEASE, common=COMMON, **options):
    flavour, shared = headers_package(release, common)
    suite.add(f"linux-headers-{release}", version, flavour,
              depends=f"{common} (= {version}), linux-kbuild-6.1 (>= {version}), linux-compiler-gcc-12-x86", **options)
    suite.add(common, version, shared, architecture="all")
    return suite


@pytest.fixture
def bookworm(server, host, key):
    """The archive that the host's sources name, with the kernel's packages; not published yet."""
    sources(host, f"deb {server.url}/debian bookworm main")
    return add_debian(Suite(server, "/debian", "bookworm", key))


@pytest.fixture
def fetch(host, server, tmp_path):
    """headers_of() for that host, with archives of superseded builds on the loopback; the tree it finds."""
    def fetch(kernel=debian(), report=None, **options):
        folder = tmp_path / f"unpacked-{len(os.listdir(tmp_path))}"
        folder.mkdir()
        archives = Archives(debian=f"{server.url}/snapshot", ubuntu=f"{server.url}/ubuntu-snapshot",
                            launchpad=f"{server.url}/launchpad", ubuntu_old=f"{server.url}/old-releases")
        fetch_headers(kernel, folder, Network(**{"connect": 1, "stall": 2, **options}), host, report, archives)
        tree, = filter(os.path.isdir, installed_trees(kernel.release, folder))
        return KernelTree(tree, "x86_64")
    return fetch


def refused(fetch, *patterns, kernel=debian(), **options):
    """Fetching ends in an error of one line, in which all of that stands."""
    with pytest.raises(LayoutExpertError) as caught:
        fetch(kernel, **options)
    assert "\n" not in str(caught.value)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), str(caught.value)


# The packages of a build

def test_the_flavours_package_and_the_one_with_the_headers_that_flavours_share(bookworm, fetch):
    bookworm.publish()
    steps = []
    tree = fetch(report=steps.append)
    assert (tree.release, tree.version, tree.common) == (RELEASE, "6.1.85", COMMON)
    assert "int first" in tree.text("include/linux/sched.h")
    assert re.match(rf"VERIFIED {bookworm.server.url}/debian bookworm, signed by [0-9a-f]{{40}}", steps[0])
    assert steps[1:] == [f"UNPACKING {HEADERS} {VERSION}", f"UNPACKING {COMMON} {VERSION}"]


def test_by_its_public_name(bookworm, host, tmp_path):
    bookworm.publish()
    folder = tmp_path / "unpacked"
    folder.mkdir()
    assert headers_of(debian(), folder, Network(), host) == [str(folder / "usr/src" / HEADERS)]


@pytest.mark.parametrize("common, release", [(COMMON, "6.1.0-20-cloud-amd64"), (f"{COMMON}-rt", "6.1.0-20-rt-amd64")])
def test_other_flavours(server, host, key, fetch, common, release):
    sources(host, f"deb {server.url}/debian bookworm main")
    add_debian(Suite(server, "/debian", "bookworm", key), release=release, common=common).publish()
    tree = fetch(debian(release=release))
    assert (tree.release, tree.common) == (release, common)


@pytest.mark.parametrize("release, upload, shared", [
    ("6.8.0-45-generic", "45", "linux-headers-6.8.0-45"), ("6.8.0-45-generic", "45~22.04.1", "linux-hwe-6.8-headers-6.8.0-45"),
    ("6.8.0-1015-aws", "16", "linux-aws-headers-6.8.0-1015")])
def test_ubuntu_the_generic_kernel_the_one_of_hardware_enablement_and_a_clouds(server, host, key, fetch, release, upload, shared):
    kernel = ubuntu(release, upload)
    write(host, "etc/os-release", "ID=ubuntu\nID_LIKE=debian\n")
    sources(host, f"deb {server.url}/ubuntu jammy-updates main")
    suite = Suite(server, "/ubuntu", "jammy-updates", key)
    folder = f"usr/src/linux-headers-{release}"
    common, _ = headers_package(release, version="6.8.12")
    # There the flavour's folder consists of links into the shared one, but for what is generated.
    flavour = tar((f"{folder}/include/generated/utsrelease.h", f'#define UTS_RELEASE "{release}"\n'.encode()),
                  *(symlink(f"{folder}/{name}", f"../{shared}/{name}") for name in ("Makefile", "arch")),
                  symlink(f"{folder}/include/linux", f"../../{shared}/include/linux"))
    suite.add(f"linux-headers-{release}", kernel.package_version, flavour, depends=f"{shared}, libc6 (>= 2.34)")
    suite.add(shared, kernel.package_version, common_of_ubuntu(shared), architecture="all")
    suite.publish()
    tree = fetch(kernel)
    assert (tree.release, tree.version) == (release, "6.8.12")
    assert "int first" in tree.text("include/linux/sched.h")


def common_of_ubuntu(name):
    folder = f"usr/src/{name}"
    return tar((f"{folder}/Makefile", b"VERSION = 6\nPATCHLEVEL = 8\nSUBLEVEL = 12\n"),
               (f"{folder}/arch/x86/include/asm/page.h", b""), (f"{folder}/include/linux/kconfig.h", b""),
               (f"{folder}/include/linux/sched.h", b"struct task_struct { int first; };\n"))


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zst"])
def test_packages_however_they_are_compressed(server, host, key, fetch, suffix):
    zstandard = pytest.importorskip("zstandard")
    sources(host, f"deb {server.url}/debian bookworm main")
    compress = zstandard.ZstdCompressor().compress if suffix == ".zst" else COMPRESSIONS[suffix]
    suite = Suite(server, "/debian", "bookworm", key)
    for name, data in zip((HEADERS, COMMON), headers_package(RELEASE, COMMON)):
        suite.add(name, VERSION, data, suffix=suffix, compress=compress, depends=COMMON if name == HEADERS else "")
    suite.publish()
    assert fetch().release == RELEASE


def test_of_several_builds_of_a_release_the_running_one(bookworm, fetch):
    add_debian(bookworm, "6.1.85-2").publish()
    fetch()
    assert not [path for path in bookworm.server.asked if "6.1.85-2" in path]


def test_another_build_is_none(bookworm, fetch):
    bookworm.publish()
    refused(fetch, rf"no archive that could be asked has {HEADERS} in version 6\.1\.85-2",
            r"/debian bookworm \(lists it in version 6\.1\.85-1\)", kernel=debian("6.1.85-2"))


def test_nor_is_a_shared_package_of_another_build(server, host, key, fetch):
    sources(host, f"deb {server.url}/debian bookworm main")
    suite = Suite(server, "/debian", "bookworm", key)
    flavour, shared = headers_package(RELEASE, COMMON)
    suite.add(HEADERS, VERSION, flavour, depends=COMMON)
    suite.add(COMMON, "6.1.85-2", shared)
    suite.publish()
    refused(fetch, "no archive that could be asked")


def test_a_rebuild_of_the_package_alone_is_of_the_same_build(bookworm, fetch):
    bookworm.paragraphs = [text.replace(f"Version: {VERSION}", f"Version: {VERSION}+b1") for text in bookworm.paragraphs]
    bookworm.publish()
    assert fetch().release == RELEASE


def test_the_newest_where_nothing_tells_the_build(bookworm, fetch):
    add_debian(bookworm, "6.1.85-10")
    add_debian(bookworm, "6.1.85-9").publish()
    fetch(Kernel.of_release(RELEASE, "x86_64"))
    assert f"/debian/pool/main/l/linux/{HEADERS}_6.1.85-10_amd64.deb" in bookworm.server.asked


# Where from

def test_the_smallest_index_first_and_none_in_vain(server, host, key, fetch):
    sources(host, f"deb {server.url}/debian bookworm main", f"deb {server.url}/security bookworm-security main")
    large = Suite(server, "/debian", "bookworm", key)
    for number in range(300):
        large.add(f"package-{number}", str(number), tar())
    large.publish()
    add_debian(Suite(server, "/security", "bookworm-security", key)).publish()
    fetch()
    assert not [path for path in server.asked if "/debian/dists/bookworm/main" in path]


def test_the_shared_package_may_be_in_another_suite(server, host, key, fetch):
    sources(host, f"deb {server.url}/debian bookworm main", f"deb {server.url}/debian bookworm-updates main")
    flavour, shared = headers_package(RELEASE, COMMON)
    for name, package, data in (("bookworm", COMMON, shared), ("bookworm-updates", HEADERS, flavour)):
        suite = Suite(server, "/debian", name, key)
        suite.add(package, VERSION, data, depends=COMMON if package == HEADERS else "")
        suite.publish()
    assert fetch().common == COMMON


@pytest.mark.parametrize("damage", [None, b"", b"!<arch>\n"], ids=["absent", "empty", "another"])
def test_a_second_mirror_has_what_the_first_has_not(bookworm, server, host, key, fetch, damage):
    sources(host, f"deb {server.url}/debian bookworm main", f"deb {server.url}/mirror bookworm main")
    bookworm.publish()
    add_debian(Suite(server, "/mirror", "bookworm", key)).publish()
    for path in [path for path in server.files if path.startswith("/debian/pool")]:
        server.files[path] = damage
    assert fetch().release == RELEASE


def test_a_mirror_that_does_not_answer_is_passed_over(bookworm, server, host, fetch):
    bookworm.publish()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        suites = [f"deb http://127.0.0.1:{silent.getsockname()[1]}/debian {suite} main" for suite in ("bookworm", "sid")]
        sources(host, *suites, f"deb {server.url}/debian bookworm main")
        steps = []
        assert fetch(report=steps.append, stall=0.5).release == RELEASE
    assert len([step for step in steps if "VERIFIED" in step]) == 1


@pytest.fixture
def without_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_by_the_proxy_of_the_hosts_apt(bookworm, server, host, fetch, without_proxy, monkeypatch):
    bookworm.publish()
    sources(host, "deb http://archive.invalid/debian bookworm main")
    refused(fetch, "archive.invalid/debian/dists/bookworm/InRelease cannot be reached")
    write(host, "etc/apt/apt.conf.d/90proxy", f'Acquire::http {{ Proxy "{server.url}/"; }};')
    assert fetch().release == RELEASE
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # the user's counts more
    refused(fetch, "cannot be reached through the proxy")


@pytest.mark.parametrize("text, proxies", [
    ('Acquire::http::Proxy "http://a:3128/";', {"http": "http://a:3128/", "https": "http://a:3128/"}),
    ('Acquire { http { Proxy "http://a"; Timeout "1"; } https { Proxy "DIRECT"; } };', {"http": "http://a"}),
    ('ACQUIRE::HTTPS::proxy http://b;', {"https": "http://b"}),
    ('// Acquire::http::Proxy "http://a";\n# Acquire::http::Proxy "http://a";\n/* Acquire::http::Proxy "http://a"; */', {}),
    ('Acquire::http::Proxy "http://a";\nAcquire::http::Proxy "http://b";', {"http": "http://b", "https": "http://b"}),
    ('Acquire::http::Proxy "socks5h://a:1";', {}), ('Acquire::http::Proxy "";', {}), ("}}}; {{", {}),
])
def test_the_proxies_of_apts_configuration(host, text, proxies):
    write(host, "etc/apt/apt.conf", text)
    write(host, "etc/apt/apt.conf.d/proxy.disabled", 'Acquire::http::Proxy "http://disabled";')
    assert proxies_of(host) == proxies


def test_offline_no_socket_is_opened(bookworm, fetch):
    bookworm.publish()
    refused(fetch, "--offline", offline=True)
    assert bookworm.server.asked == []


def test_a_kernel_of_another_distribution_is_not_looked_for_in_the_hosts_sources(bookworm, server, fetch):
    bookworm.publish()
    refused(fetch, "no source that ubuntu's packages", kernel=ubuntu("6.8.0-45-generic", "45"))
    assert not [path for path in server.asked if path.startswith("/debian")]


@pytest.mark.parametrize("module, package", [("pysequoia", "pysequoia"), ("debian.deb822", "python-debian"),
                                             ("debian.arfile", "python-debian"), ("zstandard", "zstandard")])
def test_a_library_that_is_missing_is_named(server, host, key, fetch, monkeypatch, module, package):
    sources(host, f"deb {server.url}/debian bookworm main")
    zstandard = pytest.importorskip("zstandard")
    suite = Suite(server, "/debian", "bookworm", key)
    suite.add(HEADERS, VERSION, headers_package(RELEASE)[0], suffix=".zst", compress=zstandard.ZstdCompressor().compress)
    suite.publish()
    monkeypatch.setitem(sys.modules, module, None)
    refused(fetch, f"{package} is missing; pip install {package}")


# Superseded builds

STAMP = "20240411T215311Z"


def snapshot(server, key, stamp=STAMP, suite="bookworm-security", archive="debian-security", **options):
    return add_debian(Suite(server, f"/snapshot/archive/{archive}/{stamp}", suite, key), **options)


def is_asked_for(server, *seen):
    server.files[f"/snapshot/mr/binary/{HEADERS}/{VERSION}/binfiles"] = answer_of_snapshot(*seen)


@pytest.mark.parametrize("sources_of_host", [(), ("deb {}/debian bookworm main",)])
def test_debian_from_its_snapshots_whether_the_host_names_them_or_not(server, host, key, fetch, sources_of_host):
    sources(host, *(line.format(server.url) for line in sources_of_host))
    Suite(server, "/debian", "bookworm", key).publish()
    is_asked_for(server, ("debian-security", STAMP))
    snapshot(server, key).publish(Valid_Until=in_days(-900))
    assert fetch().common == COMMON


def test_it_is_listed_some_time_after_it_was_first_seen(server, key, fetch):
    is_asked_for(server, ("debian", STAMP))
    Suite(server, f"/snapshot/archive/debian/{STAMP}", "bookworm", key).publish()
    snapshot(server, key, "20240414T215311Z", "bookworm-proposed-updates", "debian").publish()
    assert fetch().common == COMMON


def test_a_snapshot_that_nobody_signs_is_not_taken(server, key, fetch):
    is_asked_for(server, ("debian-security", STAMP))
    snapshot(server, key).publish(sign=bytes)
    refused(fetch, "InRelease has no good signature")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"fileinfo": 1}', b'{"fileinfo": {"a": 1, "b": [1]}}', b"[" * 100_000,
                                    answer_of_snapshot(("debian", "yesterday")), answer_of_snapshot(("../..", STAMP))])
def test_what_snapshots_answer_may_be_anything(server, fetch, answer):
    server.files[f"/snapshot/mr/binary/{HEADERS}/{VERSION}/binfiles"] = answer
    refused(fetch, "no archive that could be asked", "snapshot")


@pytest.mark.parametrize("archive, banner, suites", [
    ("debian-security", "gcc-12 (Debian 12.2.0-14+deb12u1)", ["bookworm-security"]),
    ("debian-security", "gcc (Debian 8.3.0-6~deb10u1)", ["buster/updates"]),
    ("debian", "Debian 6.12.12-1~bpo12+1", ["bookworm-proposed-updates", "bookworm-backports", "bookworm", "sid", "experimental"]),
    ("debian-security", "gcc (Debian 14.2.0-19)", ["trixie-security"]),  # which is the host's
])
def test_in_which_suites_of_a_snapshot_a_build_may_be(server, archive, banner, suites):
    kernel = debian()._replace(banner=f"Linux version {RELEASE} ({banner})")
    is_asked_for(server, (archive, STAMP))
    groups = debian_snapshots(kernel, HEADERS, ["amd64"], Keyring([]), Network(), Archives(debian=f"{server.url}/snapshot"),
                              ["trixie", "trixie-updates"])
    assert [source.suite for source in next(groups)] == suites


def test_snapshots_are_only_asked_for_a_known_build(server, fetch):
    refused(fetch, "was not asked, as nothing tells which build", kernel=Kernel.of_release(RELEASE, "x86_64"))


def test_ubuntu_from_its_snapshots_by_what_launchpad_tells(server, host, key, fetch):
    release = "6.8.0-31-generic"
    write(host, "etc/os-release", "ID=ubuntu\nID_LIKE=debian\n")
    write(host, "usr/share/keyrings/ubuntu-archive-keyring.gpg", key.public)
    server.answers["/launchpad/1.0/ubuntu/+archive/primary"] = answer_of_launchpad(
        server, ("noble/amd64", "Security", "2024-05-02T10:11:12.131415+00:00"),
        ("noble/arm64", "Updates", "2024-05-01T10:11:12.131415+00:00"))
    suite = Suite(server, "/ubuntu-snapshot/ubuntu/20240502T221112Z", "noble-security", key)
    suite.add(f"linux-headers-{release}", "6.8.0-31.31", headers_package(release, version="6.8.1")[0])
    suite.publish()
    assert fetch(ubuntu(release, "31")).release == release
    assert not [path for path in server.asked if "noble-updates" in path]


def test_ubuntu_a_release_that_is_no_longer_supported(server, host, key, fetch):
    release = "5.19.0-50-generic"
    write(host, "etc/os-release", "ID=ubuntu\n")
    server.answers["/launchpad/1.0/ubuntu/+archive/primary"] = answer_of_launchpad(
        server, ("kinetic/amd64", "Updates", "2022-12-02T10:11:12.131415+00:00"))
    suite = Suite(server, "/old-releases", "kinetic-updates", key)
    suite.add(f"linux-headers-{release}", "5.19.0-50.50", headers_package(release, version="5.19.17")[0])
    suite.publish()
    assert fetch(ubuntu(release, "50")).release == release
    assert not [path for path in server.asked if path.startswith("/ubuntu-snapshot")]  # which did not exist in 2022


# What is not believed

def test_a_suite_that_somebody_else_signed(bookworm, other_key, fetch):
    bookworm.publish(sign=other_key.clear_signed)
    refused(fetch, "InRelease has no good signature by a key of .*trusted.gpg.d/archive.asc")


def test_a_suite_that_nobody_signed(bookworm, fetch):
    bookworm.publish(sign=bytes)
    refused(fetch, "InRelease has no good signature")


def test_not_even_where_the_host_trusts_it_all_the_same(bookworm, server, host, fetch):
    sources(host, f"deb [trusted=yes] {server.url}/debian bookworm main")
    bookworm.publish(sign=bytes)
    refused(fetch, "InRelease has no good signature")


def test_what_stands_around_the_signed_text_does_not_count(bookworm, key, fetch):
    evil = b"SHA256:\n 0 0 main/binary-amd64/Packages.xz\n"
    bookworm.publish(sign=lambda text: evil + key.clear_signed(text) + evil)
    assert fetch().release == RELEASE


def test_a_changed_text(bookworm, key, fetch):
    bookworm.publish(sign=lambda text: key.clear_signed(text).replace(b"Origin: Debian", b"Origin: Devil"))
    refused(fetch, "InRelease has no good signature")


def test_release_and_its_signature_in_files_of_their_own(bookworm, other_key, fetch):
    bookworm.publish(detached=True)
    assert fetch().release == RELEASE
    bookworm.publish(detached=True, sign=other_key.detached)
    refused(fetch, "bookworm/Release has no good signature")
    del bookworm.server.files["/debian/dists/bookworm/Release.gpg"]
    refused(fetch, "bookworm .no such suite")


def test_without_a_key_nothing_is_believed(bookworm, host, fetch):
    bookworm.publish()
    os.remove(host / "etc/apt/trusted.gpg.d/archive.asc")
    refused(fetch, "there is no key to verify it with.*install the distribution's keyring")


def test_a_key_that_has_expired_since_has_signed_all_the_same(key):
    signed = key.clear_signed(b"text\n")
    soon = datetime.now(timezone.utc) + timedelta(seconds=2)
    expiring = key.certificate.set_expiration(soon, key.secret.certifier())
    time.sleep(3)
    assert verified(signed, Keyring([bytes(expiring)]), "x").text == b"text\n"


def test_a_key_that_is_revoked_has_not(key):
    revocation = bytes(key.certificate.revoke(key.secret.certifier()))
    with pytest.raises(LayoutExpertError, match="x has no good signature"):
        verified(key.clear_signed(b"text\n"), Keyring([key.public + revocation]), "x")


@pytest.mark.parametrize("days, check, is_refused", [(1, True, False), (-1, True, True), (-1, False, False)])
def test_an_index_that_has_expired_unless_the_host_does_not_mind(bookworm, host, fetch, days, check, is_refused):
    bookworm.publish(Valid_Until=in_days(days))
    if not check:
        write(host, "etc/apt/apt.conf.d/99dates", '// why\nAcquire::Check-Valid-Until "false";\n')
    if is_refused:
        refused(fetch, "bookworm has expired on .* UTC")
    else:
        assert fetch().release == RELEASE


@pytest.mark.parametrize("compressions", [(".xz",), (".gz",), ("",), (".gz", ".xz", "")])
def test_a_list_however_it_is_compressed(bookworm, fetch, compressions):
    bookworm.publish(compressions, by_hash=False)
    assert fetch().release == RELEASE


def test_a_list_by_its_digest_and_by_its_name_where_that_is_gone(bookworm, server, fetch):
    bookworm.publish()
    by_name, = [path for path in server.files if path.endswith("Packages.xz")]
    by_hash, = [path for path in server.files if "/by-hash/" in path]
    data = server.files.pop(by_name)
    assert fetch().release == RELEASE
    server.files[by_name] = data
    del server.files[by_hash]
    assert fetch().release == RELEASE


def test_a_list_that_is_not_the_signed_one(bookworm, server, fetch):
    bookworm.publish(by_hash=False)
    path, = [path for path in server.files if path.endswith("Packages.xz")]
    server.files[path] = bytes(len(server.files[path]))
    refused(fetch, "Packages.xz is not the one that is signed: its SHA-256 differs")


@pytest.mark.parametrize("fields, pattern", [
    ({"SHA256": "0" * 64}, r"_amd64.deb is not the one that is signed: its SHA-256 differs"),
    ({"Size": 100}, r"_amd64.deb has \d+ bytes, more than 100"),
    ({"Size": 1 << 40}, r"_amd64.deb has \d+ bytes: not what it is taken for"),
    ({"Filename": ""}, r"lists linux-headers-6.1.0-20-amd64 without 'Filename'"),
])
def test_a_package_that_is_not_the_listed_one(server, host, key, fetch, fields, pattern):
    sources(host, f"deb {server.url}/debian bookworm main")
    add_debian(Suite(server, "/debian", "bookworm", key), **fields).publish()
    refused(fetch, pattern)


def test_a_package_that_breaks_off(bookworm, server, fetch):
    bookworm.publish()
    path, = [path for path in server.files if path.endswith("_amd64.deb")]

    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(server.files[path])))
        handler.end_headers()
        handler.wfile.write(server.files[path][:100])
        handler.close_connection = True
    server.answers[path] = half
    refused(fetch, "broke off")


@pytest.mark.parametrize("member", [("../../../evil", b""), ("/etc/evil", b""), symlink("a", "../../evil")])
def test_a_signed_package_cannot_leave_the_folder_either(server, host, key, fetch, tmp_path, member):
    sources(host, f"deb {server.url}/debian bookworm main")
    suite = Suite(server, "/debian", "bookworm", key)
    suite.add(HEADERS, VERSION, tar(member))
    suite.publish()
    refused(fetch, "outside of its folder")
    assert not (tmp_path / "evil").exists()


def test_a_gigantic_list_is_not_fetched(bookworm, monkeypatch, fetch):
    monkeypatch.setattr(apt_repository, "_INDEX_LIMIT", 100)
    bookworm.publish(by_hash=False)
    refused(fetch, r"Packages.xz has \d+ bytes: not what it is taken for")
    assert not [path for path in bookworm.server.asked if path.endswith("Packages.xz")]


@pytest.mark.parametrize("unpacked, pattern", [(b"Package: a\n\n" * 500_000, "unpacks to more than"),
                                               (b"Package: " + b"a" * (3 << 20), "a paragraph of more than")])
def test_a_list_that_is_a_bomb(bookworm, monkeypatch, fetch, unpacked, pattern):
    monkeypatch.setattr(apt_repository, "_UNPACKED_LIMIT", 4 << 20)
    bookworm.publish(index=COMPRESSIONS[".xz"](unpacked))
    refused(fetch, pattern)


@pytest.mark.parametrize("index", [b"", b"\xfd7zXZ\0garbage", b"<html>", b"Package: linux-headers-6.1.0-20-amd64"])
def test_a_list_that_is_none(bookworm, fetch, index):
    bookworm.publish(index=index)
    refused(fetch, "no archive that could be asked")


# The configuration of apt

def read(host, *lines, deb822=None):
    sources(host, *lines)
    if deb822:
        write(host, "etc/apt/sources.list.d/debian.sources", deb822)
    return [(source.uri, source.suite, source.components) for source in sources_of(host)]


def test_sources_of_one_line(host):
    assert read(host, "# deb http://a/debian x main", "deb http://a/debian/ bookworm main contrib # why",
                "deb-src http://a/debian bookworm main", "deb [ arch=amd64,i386 lang=en ] https://b bookworm-security main",
                "deb cdrom:[Debian 12]/ bookworm main", "") == [
        ("http://a/debian", "bookworm", ("main", "contrib")), ("https://b", "bookworm-security", ("main",))]


def test_sources_in_deb822(host):
    assert read(host, deb822="""\
# The archive
Types: deb deb-src
# http://snapshot.example.org
URIs: http://a/debian http://b/debian
Suites: trixie trixie-updates
Components: main
 contrib

Types: deb-src
URIs: http://c/debian
Suites: trixie
Components: main

Enabled: no
Types: deb
URIs: http://d/debian
Suites: trixie
Components: main
""") == [(f"http://{host_name}/debian", suite, ("main", "contrib")) for host_name in "ab" for suite in ("trixie", "trixie-updates")]


def test_a_source_named_twice_is_one(host):
    assert read(host, "deb http://a bookworm main", "deb http://a/ bookworm contrib main") == [
        ("http://a", "bookworm", ("main", "contrib"))]


def test_a_list_of_mirrors_in_a_file(host):
    write(host, "etc/apt/mirrors/debian.list", "# mirrors\nhttps://a/debian\tpriority:1\nhttps://b/debian/\n")
    assert [uri for uri, *_ in read(host, "deb mirror+file:///etc/apt/mirrors/debian.list bookworm main")] == [
        "https://a/debian", "https://b/debian"]
    assert [uri for uri, *_ in read(host, "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main")] == [
        "https://a/debian", "https://b/debian"]


@pytest.mark.parametrize("how", ["file", "fingerprint", "subkey", "in the list"])
def test_a_source_may_be_signed_by_certain_keys_only(bookworm, server, host, key, other_key, fetch, how):
    write(host, "etc/apt/trusted.gpg.d/other.gpg", other_key.public)

    def only(certain):
        write(host, "usr/share/keyrings/certain.gpg", certain.public)
        signed = verified(certain.clear_signed(b"x"), Keyring([certain.public]), "x")
        named = {"file": "/usr/share/keyrings/certain.gpg", "fingerprint": certain.certificate.fingerprint.upper(),
                 "subkey": f"{signed.by.upper()}!",
                 "in the list": "\n " + certain.armored.strip().replace("\n\n", "\n.\n").replace("\n", "\n ")}[how]
        sources(host)
        write(host, "etc/apt/sources.list.d/x.sources", f"Types: deb\nURIs: {server.url}/debian\nSuites: bookworm\n"
              f"Components: main\nSigned-By: {named}\n")

    bookworm.publish()
    only(key)
    assert fetch().release == RELEASE
    only(other_key)  # which the host trusts, but not for this
    refused(fetch, "has no good signature|is signed by none of the keys that may sign it")


def test_links_in_the_configuration_of_an_image_stay_in_it(host, tmp_path):
    write(tmp_path, "outside.list", "deb http://outside bookworm main")
    (host / "etc/apt/sources.list.d").mkdir(parents=True)
    os.symlink(tmp_path / "outside.list", host / "etc/apt/sources.list.d/a.list")
    os.symlink("../../../../../outside.list", host / "etc/apt/sources.list.d/b.list")
    assert read(host) == []


# Whatever bytes are changed

def changed(random, data):
    data = bytearray(data)
    for _ in range(random.randrange(1, 6)):
        place = random.randrange(len(data) + 1)
        data[place:place + random.randrange(3)] = bytes(random.choice(b"\n:# .[]=-/\0\r\xff") for _ in range(random.randrange(4)))
    return bytes(data)


def test_a_changed_signature_or_key_never_verifies_what_was_not_signed(key):
    random = Random(1)
    text = b"Origin: Debian\nSHA256:\n"
    signed, detached = key.clear_signed(text), key.detached(text)
    for _ in range(200):
        for data, keyring, signature in ((changed(random, signed), key.public, None), (signed, changed(random, key.public), None),
                                         (text, key.public, changed(random, detached)), (changed(random, text), key.public, detached)):
            try:
                # Of a text that is clear-signed, neither white space at the end of a line nor how lines end is signed.
                assert verified(data, Keyring([keyring]), "x", signature).text.split() == text.split()
            except LayoutExpertError:
                pass


def test_a_changed_sources_list_is_read_as_far_as_it_makes_sense(host):
    random = Random(1)
    lists = {"a.list": b"deb [signed-by=/a,b arch=x] http://a b c\ndeb mirror+file:/etc/x y z\n",
             "a.sources": b"Types: deb\nURIs: http://a\nSuites: x\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xx\n"}
    found = set()
    for _ in range(100):
        for name, text in lists.items():
            write(host, f"etc/apt/sources.list.d/{name}", changed(random, text))
        found.update(source.uri for source in sources_of(host))
    assert "http://a" in found and len(found) > 3


# The real archive

def real_host(tmp_path, suite):
    """This machine if it runs that release of Debian, else a host with sources from this machine's mirror."""
    try:
        archive, security = kernels._mirror()
    except kernels.Unavailable as reason:
        pytest.skip(str(reason))
    if {suite, f"{suite}-security"} <= {source.suite for source in sources_of("/")}:
        return "/"
    keyrings = [path for path in kernels.KEYRINGS if path.exists()]
    if not keyrings:
        pytest.skip("this machine has no keyring of Debian's")
    root = tmp_path / "host"
    write(root, "etc/os-release", f"ID=debian\nVERSION_CODENAME={suite}\n")
    write(root, "usr/share/keyrings/debian-archive-keyring.gpg", keyrings[0].read_bytes())
    entries = [(archive, suite)] if suite == "sid" else [(archive, suite), (archive, f"{suite}-updates"), (security, f"{suite}-security")]
    sources(root, *(f"deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {uri} {name} main"
                    for uri, name in entries))
    return root


@pytest.mark.network
@pytest.mark.parametrize("series, flavour", [
    ("6.1", "amd64"), *(pytest.param(*each, marks=[pytest.mark.slow, pytest.mark.ci]) for each in (
        ("6.1", "cloud-amd64"), ("6.1", "rt-amd64"), ("5.10", "amd64"), ("6.12", "amd64"), ("7.2", "amd64")))])
def test_what_is_fetched_makes_the_pre_ast_that_the_installed_package_makes(tmp_path, series, flavour):
    installed = kernels.kernel_or_skip(series, flavour)
    host = real_host(tmp_path, kernels.SUITES[series])
    version = installed.headers.name.split("_")[1]
    folder = tmp_path / "unpacked"
    folder.mkdir()
    tree, = headers_of(debian(version, installed.release), folder, Network(), host)
    assert dumps(build_pre_ast(tree)) == dumps(kernels.pre_ast(installed.tree))
