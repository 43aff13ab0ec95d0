"""Unpacking packages: what comes out of honest ones, and that hostile ones end in a clear refusal."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
from collections import Counter
from random import Random

import pytest

pytest.importorskip("debian", reason="python-debian reads .deb files")
zstandard = pytest.importorskip("zstandard")

from debian_archive import deb, symlink, tar
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply.distribution.archives import Limits, deb_members, tar_members, unpack

COMPRESSIONS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def entry(name, kind=tarfile.REGTYPE, target="", size=None):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    if size is not None:
        info.size = size
    return info


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_text("untouched")
    yield folder
    assert sorted(os.listdir(tmp_path)) == ["folder", "outside"]
    assert (tmp_path / "outside").read_text() == "untouched"
    for directory, folders, files in os.walk(folder):
        for name in folders + files:
            assert os.path.realpath(os.path.join(directory, name)).split(str(folder))[0] == ""


def unpacked(data, folder, **options):
    return unpack(tar_members(io.BytesIO(data), "x.tar"), folder, "x.tar", **options)


# Honest packages

@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_package_however_it_is_compressed(folder, suffix):
    data = deb(COMPRESSIONS[suffix](tar(("./usr/src/linux-headers-1/include/a.h", b"int a;" * 100_000))), f"data.tar{suffix}")
    assert unpack(deb_members(io.BytesIO(data), "x.deb"), folder, "x.deb") == 1
    assert (folder / "usr/src/linux-headers-1/include/a.h").read_bytes() == b"int a;" * 100_000


def test_links_of_a_headers_package_lead_where_they_would_if_it_were_installed(folder):
    unpacked(tar(("usr/src/common/include/a.h", b"a"), symlink("usr/src/flavour/include", "../common/include"),
                 symlink("lib/modules/1/build", "/usr/src/flavour"), symlink("lib/modules/1/source", "build/../common")), folder)
    assert (folder / "usr/src/flavour/include/a.h").read_bytes() == b"a"
    assert (folder / "lib/modules/1/build/include/a.h").read_bytes() == b"a"


def test_hard_links_are_files(folder):
    unpacked(tar(("a.h", b"a"), entry("b/b.h", tarfile.LNKTYPE, "a.h")), folder)
    assert (folder / "b/b.h").read_bytes() == b"a"


def test_two_packages_in_one_folder(folder):
    unpacked(tar(("usr/a.h", b"a")), folder)
    unpacked(tar(("usr/a.h", b"newer"), ("usr/b.h", b"b")), folder)
    assert {path.name: path.read_bytes() for path in (folder / "usr").iterdir()} == {"a.h": b"newer", "b.h": b"b"}


def test_what_no_layout_depends_on_is_not_written(folder):
    assert unpacked(tar(("t/include/config/SMP", b""), ("t/include/config/auto.conf", b"CONFIG_SMP=y\n"), ("t/a.o", b"\x7fELF"),
                        ("t/Makefile", b""), ("t/.config", b"")), folder) == 3
    assert sorted(os.listdir(folder / "t")) == [".config", "Makefile", "include"]
    assert os.listdir(folder / "t/include/config") == ["auto.conf"]


def test_files_are_plain_whatever_the_archive_says(folder):
    info = entry("a.h", size=1)
    info.mode = 0o6777
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(info, io.BytesIO(b"a"))
    unpacked(data.getvalue(), folder)
    assert (folder / "a.h").stat().st_mode & 0o7133 == 0


def test_devices_and_pipes_are_not_made(folder):
    unpacked(tar(entry("pipe", tarfile.FIFOTYPE), entry("device", tarfile.CHRTYPE), ("a.h", b"")), folder)
    assert os.listdir(folder) == ["a.h"]


# Hostile packages

@pytest.mark.parametrize("members", [
    [("../outside", b"evil")],
    [("a/../../outside", b"evil")],
    [("/etc/passwd", b"evil")],
    [symlink("a", "../outside")],
    [symlink("a/b", "../../outside")],
    [symlink("a/b", "c/../../../outside")],
    [symlink("a", "/../outside")],
    [entry("a", tarfile.LNKTYPE, "../outside")],
], ids=lambda members: getattr(members[0], "name", members[0][0] if isinstance(members[0], tuple) else ""))
def test_no_member_leaves_the_folder(folder, members):
    with pytest.raises(LayoutExpertError, match="outside of its folder"):
        unpacked(tar(*members), folder)


def test_an_absolute_link_is_meant_within_the_folder(folder):
    unpacked(tar(symlink("a/b/passwd", "/etc/passwd")), folder)
    assert os.readlink(folder / "a/b/passwd") == "../../etc/passwd"


def test_links_that_take_turns_do_not_climb_out(folder):
    # One link after the other is harmless by name; what they lead to together must be, too.
    unpacked(tar(symlink("deep", "x/y/z"), symlink("x/y/z", "/"), symlink("up", "deep/.."), symlink("evil", "up/../outside")), folder)
    assert os.path.realpath(folder / "evil") == str(folder / "outside")


def test_no_member_is_written_through_a_link(folder):
    with pytest.raises(LayoutExpertError, match="through a link"):
        unpacked(tar(("real/a.h", b"a"), symlink("linked", "real"), ("linked/a.h", b"evil")), folder)
    assert (folder / "real/a.h").read_bytes() == b"a"


def test_a_file_replaces_a_link_and_does_not_follow_it(folder):
    unpacked(tar(("real.h", b"a"), symlink("linked.h", "real.h"), ("linked.h", b"new")), folder)
    assert (folder / "real.h").read_bytes() == b"a"
    assert (folder / "linked.h").read_bytes() == b"new"


def test_a_hard_link_to_a_link_is_nothing(folder):
    unpacked(tar(("real.h", b"a"), symlink("linked.h", "real.h"), entry("b.h", tarfile.LNKTYPE, "linked.h")), folder)
    assert sorted(os.listdir(folder)) == ["linked.h", "real.h"]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_bomb_is_refused_when_its_bound_is_reached_not_when_memory_is(folder, suffix):
    bomb = COMPRESSIONS[suffix](tar(("a.o", b"\0" * (64 << 20))))  # a file that is not even wanted
    tracemalloc.start()
    with pytest.raises(LayoutExpertError, match="unpacks to more than 8388608 bytes"):
        unpack(tar_members(io.BytesIO(bomb), "x.tar", Limits(size=8 << 20)), folder, "x.tar")
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_a_file_has_a_bound_and_so_has_their_number(folder):
    with pytest.raises(LayoutExpertError, match="a.h has 100 bytes, more than 99"):
        unpacked(tar(("a.h", b"a" * 100)), folder, limits=Limits(file=99))
    with pytest.raises(LayoutExpertError, match="more than 3 members"):
        unpacked(tar(*((f"{n}.h", b"") for n in range(4))), folder, limits=Limits(members=3))


def test_a_header_that_says_it_is_gigantic_is_not_read(folder):
    data = io.BytesIO()
    info = entry("a.h", tarfile.XHDTYPE, size=1 << 30)
    data.write(info.tobuf())
    data.write(b"\0" * (1 << 20))
    with pytest.raises(LayoutExpertError, match="has a header of"):
        unpacked(data.getvalue(), folder)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_what_is_cut_off_anywhere_is_damaged(folder, suffix):
    members = tar(*((f"{n}.h", os.urandom(3000)) for n in range(3)))
    whole = deb(COMPRESSIONS[suffix](members), f"data.tar{suffix}")
    start = whole.index(b"data.tar") + 60
    for end in list(range(start, start + 3000, 211)) + list(range(0, start, 13)):
        with pytest.raises(LayoutExpertError, match="x.deb (is damaged|is no Debian package|cannot be unpacked)"):
            unpack(deb_members(io.BytesIO(whole[:end]), "x.deb"), folder, "x.deb")


@pytest.mark.parametrize("data", [b"", b"<html>", b"!<arch>\n", deb(b"")[:-61], b"!<arch>\n" + b"\xff" * 60,
                                  deb(b"", "other"), deb(b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "data.tar.zst")],
                         ids=["empty", "html", "no member", "no data", "garbage", "another member", "no zstd"])
def test_what_is_no_package_says_so(folder, data):
    with pytest.raises(LayoutExpertError, match="x.deb is (no Debian package|damaged)"):
        unpack(deb_members(io.BytesIO(data), "x.deb"), folder, "x.deb")


def test_whatever_is_changed_in_a_package_it_is_unpacked_in_its_folder_or_refused(folder):
    random = Random(1)
    limits = Limits(size=1 << 20, file=1 << 16, members=100)
    outcomes = Counter()
    for _ in range(200):
        data = bytearray(tar(("usr/a.h", b"a" * 700), symlink("usr/b", "../lib/c"), entry("usr/h", tarfile.LNKTYPE, "usr/a.h"),
                             ("x" * 150 + "/y.h", b"z"), form=random.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))))
        for _ in range(random.randrange(6)):
            block = random.randrange(len(data) // 512) * 512
            data[block + random.randrange(512)] = random.choice((0, 0x2E, 0x2F, 0x31, 0x80, 0xFF, random.randrange(256)))
            data[block + 148:block + 156] = b" " * 8  # most are headers, of which the sum must be right
            data[block + 148:block + 156] = b"%06o\0 " % sum(data[block:block + 512])
        whole = bytearray(deb(random.choice(list(COMPRESSIONS.values()))(bytes(data)), "data.tar"))
        for _ in range(random.choice((0, 0, 3))):
            whole[random.randrange(len(whole))] = random.randrange(256)
        try:
            unpack(deb_members(io.BytesIO(bytes(whole)), "x.deb", limits), folder, "x.deb", limits=limits)
            outcomes["unpacked"] += 1
        except LayoutExpertError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 30
