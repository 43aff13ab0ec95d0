"""What --collect takes of a host, and what is refused of a file that says it is such a collection."""
import hashlib
import io
import json
import os
import stat
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plugin_image
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host import collection
from rekall_layout_expert.host.collection import read_collection, write_collection
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.version import VERSION

KERNEL = Kernel.from_banner(plugin_image.BANNER, "x86_64")
BTF, PRE_AST = b"the kernel's types", b"a Pre-AST"


@pytest.fixture
def host(tmp_path):
    """A host's files."""
    for path, text in {"boot/config": plugin_image.CONFIG, "proc/kallsyms": plugin_image.kallsyms(0x8000000),
                       "etc/os-release": "ID=debian\n", "proc/version_signature": "Ubuntu 5.4.0-84.94 5.4.133\n"}.items():
        (tmp_path / "host" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "host" / path).write_text(text)
    return tmp_path / "host"


@pytest.fixture
def collect(host, tmp_path):
    def collect(path=tmp_path / "out.zip", **members):
        config = KernelConfig.read(host / "boot/config")
        symbols = Symbols.read(host / "proc/kallsyms", text_link_address(config))
        write_collection(path, KERNEL, config, symbols, **{"btf": BTF, "pre_ast": PRE_AST, **members}, root=host)
        return path
    return collect


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_collected_is_what_is_read(collect, host):
    read = read_collection(collect())
    assert read.kernel == KERNEL
    assert read.config.digest == KernelConfig.read(host / "boot/config").digest
    assert read.symbols.addresses["_text"] == plugin_image.LINK_TEXT and read.symbols.kaslr_slide == 0x8000000
    assert (read.btf, read.pre_ast) == (BTF, PRE_AST)
    assert read.get("pre_ast/6.1.0-99-amd64/x86_64.past") == PRE_AST
    assert read.get("pre_ast/index.json") is None and str(read).endswith("out.zip")


def test_the_manifest_tells_what_is_in_it(collect):
    members = members_of(collect(about_pre_ast={"from": "installed headers"}))
    assert set(members) == {"manifest.json", "config", "symbols", "btf", "pre_ast", "os-release", "version_signature"}
    manifest = json.loads(members.pop("manifest.json"))
    assert manifest["maker"] == "Layout Expert " + VERSION and manifest["pre_ast"] == {"from": "installed headers"}
    assert manifest["kernel"]["banner"] == plugin_image.BANNER.strip()
    assert manifest["members"] == {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                                   for name, data in members.items()}


def test_what_a_host_has_not_is_not_there(collect, host):
    (host / "etc/os-release").unlink()
    (host / "proc/version_signature").unlink()
    path = collect(btf=None, pre_ast=None)
    assert set(members_of(path)) == {"manifest.json", "config", "symbols"}
    assert read_collection(path).btf is None and read_collection(path).get("pre_ast/x") is None


def test_only_its_owner_may_read_it_and_it_is_there_whole_or_not_at_all(collect, tmp_path, monkeypatch):
    os.umask(os.umask(0o022))
    path = collect()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(LayoutExpertError, match="cannot write .*No space left"):
        collect(btf=b"other")
    assert path.read_bytes() == before and os.listdir(tmp_path).count("out.zip") == 1 and len(os.listdir(tmp_path)) == 2


def test_collected_twice_it_is_the_same_file(collect, tmp_path):
    assert collect().read_bytes() == collect(tmp_path / "again.zip").read_bytes()


# What is refused

def repacked(path, members, method=zipfile.ZIP_DEFLATED):
    """Writes members, {name or ZipInfo: bytes} or such pairs, in place of a collection's."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)


def refused(path, reason):
    with pytest.raises(LayoutExpertError, match=reason) as caught:
        read_collection(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "config/../x", "..\\x", "CONFIG", "config ", "symbols/"])
def test_members_that_no_collection_has(collect, tmp_path, name):
    path = collect()
    repacked(path, {**members_of(path), name: b"x"})
    before = set(os.listdir(tmp_path))
    refused(path, "which no collection holds")
    assert set(os.listdir(tmp_path)) == before


def test_a_member_that_is_there_twice(collect):
    path = collect()
    with pytest.warns(UserWarning):
        repacked(path, [*members_of(path).items(), ("config", b"CONFIG_OTHER=y\n")])
    refused(path, "'config', which no collection holds twice")


@pytest.mark.parametrize("missing", ["manifest.json", "config", "symbols"])
def test_a_member_that_is_needed_and_missing(collect, missing):
    path = collect()
    repacked(path, {name: data for name, data in members_of(path).items() if name != missing})
    refused(path, f"lacks {missing}")


@pytest.mark.parametrize("name", ["btf", "pre_ast"])
def test_a_member_that_the_manifest_has_and_the_file_has_not(collect, name):
    path = collect()
    repacked(path, {each: data for each, data in members_of(path).items() if each != name})
    refused(path, f"does not hold what its manifest says: {name}")


@pytest.mark.parametrize("name", ["config", "symbols", "btf", "pre_ast", "os-release"])
def test_a_member_that_is_not_what_the_manifest_says(collect, name):
    path = collect()
    members = members_of(path)
    repacked(path, {**members, name: members[name][:-1] + b"x"})
    refused(path, f"its {name} is not what its manifest says")


def test_a_bomb(collect, monkeypatch):
    path = collect()
    repacked(path, {**members_of(path), "config": bytes(17 << 20)})
    assert path.stat().st_size < 1 << 17
    refused(path, "a config of more than 16,777,216 bytes")


def test_a_bomb_that_lies_about_its_size(collect):
    path = collect()
    repacked(path, {**members_of(path), "config": bytes(17 << 20)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 17 << 20), struct.pack("<I", 100)))
    refused(path, "damaged|more than")


def test_a_directory_of_millions_of_members(collect):
    path = collect()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number in range(3000):
            archive.writestr(str(number), b"")
    path.write_bytes(data.getvalue())
    refused(path, "is no ZIP file as it is made by --collect")


@pytest.mark.parametrize("manifest", [
    b"", b"[]", b"{}", b"null", b'{"format": 1}', b"[" * 100000, b'{"format": 1, "members": [], "kernel": {}}', b"\xff\xfe"])
def test_a_manifest_that_is_none(collect, manifest):
    path = collect()
    repacked(path, {**members_of(path), "manifest.json": manifest})
    refused(path, "damaged")


@pytest.mark.parametrize("change, reason", [
    ({"format": 2}, "of format 2, this version reads format 1"),
    ({"kernel": {"release": 5}}, "no kernel that there can be"),
    ({"kernel": {"release": "x" * 2000}}, "no kernel that there can be"),
    ({"kernel": {"release": "6.1", "banner": "no banner"}}, "no banner"),
    ({"kernel": {"release": "6.1", "banner": plugin_image.BANNER}}, "no kernel that there can be"),
    ({"kernel": {"release": "6.1", "other": "6.1"}}, "damaged"), ({"kernel": {}}, "damaged"),
])
def test_a_manifest_with_nonsense_in_it(collect, change, reason):
    path = collect()
    members = members_of(path)
    repacked(path, {**members, "manifest.json": json.dumps({**json.loads(members["manifest.json"]), **change}).encode()})
    with pytest.raises(LayoutExpertError, match=reason) as caught:
        read_collection(path)
    assert "\n" not in str(caught.value)


def test_what_is_encrypted_or_packed_in_a_way_that_is_not_known(collect):
    path = collect()
    data = path.read_bytes()
    at = data.index(b"PK\1\2")
    path.write_bytes(data[:at + 8] + b"\1" + data[at + 9:])
    refused(path, "damaged")
    path.write_bytes(data[:at + 10] + b"\x63" + data[at + 11:])
    refused(path, "damaged")


def test_no_zip_file_and_no_file(tmp_path):
    for content in (b"", b"PK", b"x" * 100, bytes(100)):
        (tmp_path / "x").write_bytes(content)
        refused(tmp_path / "x", "no ZIP file")
    refused(tmp_path / "absent", "cannot read .*No such file")
    refused(tmp_path, "cannot read .*Is a directory")


def test_a_file_without_end(monkeypatch):
    monkeypatch.setattr(collection, "_LARGEST", 1 << 16)
    refused("/dev/zero", "is larger than 65536 bytes")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_the_bytes_are_a_collection_or_one_line_follows(collect, tmp_path, data):
    content = bytearray(collect(tmp_path / "whole.zip").read_bytes())
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[place] = byte
    (tmp_path / "damaged.zip").write_bytes(content[:data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        read_collection(tmp_path / "damaged.zip")
    except LayoutExpertError as error:
        assert "\n" not in str(error)
