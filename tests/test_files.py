"""files.py and errors.py: bounded reads, atomic writes, links that stay under a root, errors on one line."""

import gzip
import os

import pytest

from rekall_layout_expert import files
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import read_bounded, resolve_under, write_atomically


def test_an_error_is_one_line_of_what_where_and_what_next():
    error = LayoutExpertError("no map", ["/boot/a", "/boot/b"], "give one")
    assert str(error) == "no map; looked at: /boot/a, /boot/b; give one"
    assert str(LayoutExpertError("no map")) == "no map"


def test_names_from_evidence_cannot_break_the_line_or_reach_the_terminal():
    assert str(LayoutExpertError("bad\nname \x1b[31m")) == "bad name \N{REPLACEMENT CHARACTER}[31m"


def test_reads_plain_and_compressed_files_alike(tmp_path):
    (tmp_path / "plain").write_bytes(b"text")
    (tmp_path / "packed").write_bytes(gzip.compress(b"te") + gzip.compress(b"xt"))
    assert read_bounded(tmp_path / "plain", 4) == read_bounded(tmp_path / "packed", 4) == b"text"
    assert read_bounded(tmp_path / "packed", 100, unpack=False)[:2] == b"\x1f\x8b"


def test_the_bound_counts_what_comes_out(tmp_path):
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(LayoutExpertError, match="bomb is larger than 9999999 bytes"):
        read_bounded(tmp_path / "bomb", 9_999_999)
    assert len(read_bounded(tmp_path / "bomb", 10_000_000)) == 10_000_000


@pytest.mark.parametrize("content", [
    pytest.param(gzip.compress(b"text" * 1000)[:-9], id="truncated"),
    pytest.param(gzip.compress(b"text")[:-8] + b"checksum", id="wrong checksum"),
    pytest.param(gzip.compress(b"text")[:10] + b"\xff" * 20, id="garbage"),
])
def test_damaged_compression_is_told(tmp_path, content):
    (tmp_path / "packed").write_bytes(content)
    with pytest.raises(LayoutExpertError, match="packed is damaged"):
        read_bounded(tmp_path / "packed", 1 << 20)


def test_what_cannot_be_read_is_told_with_the_reason(tmp_path):
    with pytest.raises(LayoutExpertError, match="cannot read .*absent: No such file") as caught:
        read_bounded(tmp_path / "absent", 1)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(LayoutExpertError, match="Is a directory"):
        read_bounded(tmp_path, 1)


def test_a_write_replaces_and_sets_the_mode_whatever_the_umask(tmp_path):
    path = tmp_path / "file"
    path.write_text("a longer text that was here before")
    before = os.umask(0o077)
    try:
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o644
        write_atomically(path, b"secret", 0o600)
        assert path.read_bytes() == b"secret" and path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(LayoutExpertError, match="cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_link_is_written_through_and_a_device_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)


def test_links_of_a_mounted_system_stay_in_it(tmp_path):
    (tmp_path / "usr/src/tree").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/lib").mkdir()
    (tmp_path / "usr/lib/build").symlink_to("/usr/src/tree")
    (tmp_path / "usr/lib/above").symlink_to("../../../../../usr/src/tree")
    (tmp_path / "usr/lib/loop").symlink_to("loop")
    inside = os.path.realpath(tmp_path)
    assert resolve_under(tmp_path, "/lib/build/.config") == f"{inside}/usr/src/tree/.config"
    assert resolve_under(tmp_path, "/lib/above") == f"{inside}/usr/src/tree"
    assert resolve_under(tmp_path, "/nothing/here") == f"{inside}/nothing/here"
    with pytest.raises(LayoutExpertError, match="too many symbolic links"):
        resolve_under(tmp_path, "/lib/loop")
