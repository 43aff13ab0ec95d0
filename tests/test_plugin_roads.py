"""The other roads to a profile, in Rekall itself: BTF alone, a Pre-AST that is not exact, and what was collected of a host."""
import copy
import gzip
import json
import logging

import plugin_image
import pytest
from rekall import plugin, rekal
from test_plugin_detection import (  # noqa: F401
    TASKS, PreAst, assert_one_line, home, image, made, open_image, rekall_command, stored, tasks,
)
from test_plugin_verification import RIGHT, carrying, section_of, wrong_in  # noqa: F401

from rekall_layout_expert import supply
from rekall_layout_expert.host.collection import read_collection, write_collection
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.plugin import collecting
from rekall_layout_expert.plugin.subject import Subject
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.supply.matching import Level, Match

MISSING = supply.NoPreAst("there is no Pre-AST", ["everywhere"])
UPSTREAM = Match(Level.UPSTREAM, "of the same upstream version")


@pytest.fixture
def no_pre_ast(monkeypatch):
    def find(*args, **kwargs):
        raise MISSING
    monkeypatch.setattr(supply, "find_pre_ast", find)


def metadata(home):  # noqa: F811
    path, = stored(home)
    content = (home / ".rekall_cache" / "v1.0" / "LayoutExpert" / path).read_bytes()
    return json.loads(gzip.decompress(content))["$METADATA"]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
            and "not exact" in record.getMessage()]


# BTF alone

def test_without_a_pre_ast_the_types_are_those_of_btf_and_it_is_said(carrying, no_pre_ast, home, capsys):  # noqa: F811
    image = carrying(RIGHT)  # noqa: F811
    for _ in range(2):
        rekal.main(["-f", str(image), "--format", "json", "pslist"])
        printed = capsys.readouterr()
        json.loads(printed.out)
        lines = [line for line in printed.err.splitlines() if "BTF" in line]
        assert len(lines) == 1 and lines[0].startswith("rekall: there is no Pre-AST of this kernel's headers: the types are those")
    told = metadata(home)
    assert (told["types_from"], told["pre_ast_digest"], told["verified"], told["match"]) == ("btf", None, None, None)
    assert tasks(open_image(image)) == TASKS


def test_btf_of_structs_that_contradict_the_memory_is_no_profile(carrying, no_pre_ast, home):  # noqa: F811
    with pytest.raises(plugin.PluginError, match="contradicts the memory"):
        open_image(carrying(wrong_in("task_struct", "tasks"))).profile
    assert not stored(home)


@pytest.mark.parametrize("options", [{"pre_ast_skip": "btf"}, {"pre_ast": "named.past"}])
def test_who_skips_btf_or_names_a_pre_ast_does_not_get_it(carrying, no_pre_ast, home, options):  # noqa: F811
    with pytest.raises(plugin.PluginError, match="there is no Pre-AST; looked at: everywhere"):
        open_image(carrying(RIGHT), **options).profile


def test_keys_that_cannot_be_read_are_no_reason_to_do_without_a_pre_ast(carrying, home, tmp_path):  # noqa: F811
    with pytest.raises(plugin.PluginError, match="cannot read .*nowhere.pub"):
        open_image(carrying(RIGHT), pre_ast_keys=str(tmp_path / "nowhere.pub"), pre_ast_repository=str(tmp_path)).profile
    assert not stored(home)


def test_btf_that_is_skipped_is_not_used_from_the_store_either(carrying, no_pre_ast, home):  # noqa: F811
    image = carrying(RIGHT)  # noqa: F811
    assert tasks(open_image(image)) == TASKS
    with pytest.raises(plugin.PluginError, match="there is no Pre-AST"):
        open_image(image, pre_ast_skip="btf").profile


def test_damaged_btf_is_one_of_the_places_looked_at(carrying, no_pre_ast, home):  # noqa: F811
    with pytest.raises(plugin.PluginError, match=r"no Pre-AST; looked at: everywhere, the kernel's own BTF \(the BTF is damaged"):
        open_image(carrying(RIGHT[:100] + bytes(100) + RIGHT[200:])).profile


def test_it_is_explained_by_btf(carrying, no_pre_ast, home, capsys):  # noqa: F811
    rekal.main(["-f", str(carrying(RIGHT)), "layout_expert", "--explain", "task_struct.tasks"])
    printed = capsys.readouterr().out
    assert "struct list_head tasks;" in printed and "offset      24 bytes" in printed and "there are no headers here" in printed


# A Pre-AST that is not exact

@pytest.fixture
def inexact(made, monkeypatch):  # noqa: F811
    """The Pre-AST that is found is upstream's, if that is accepted."""
    def find(*args, accept, **kwargs):
        if not UPSTREAM.is_within(accept):
            raise MISSING
        return PreAst(), "test", UPSTREAM
    monkeypatch.setattr(supply, "find_pre_ast", find)
    return made


def test_only_what_btf_confirms_is_used_and_it_is_said_at_every_start(carrying, inexact, home, caplog):  # noqa: F811
    known = {name: struct for name, struct in copy.deepcopy(plugin_image.STRUCTS).items() if name != "mm_struct"}
    known["vfsmount"][1]["mnt_root"][0] += 4
    image = carrying(section_of(known))  # noqa: F811
    for start in (1, 2):
        rekall = open_image(image, accept="upstream", pre_ast_skip="btf")
        assert tasks(rekall) == TASKS
        assert not {"vfsmount", "mm_struct"} & rekall.profile.vtypes.keys()
        assert warnings(caplog) == ["Layout Expert: the Pre-AST is not exact (upstream): of the same upstream version; only what "
                                    "the kernel's own BTF confirms is used"] * start
    assert len(inexact) == 1
    told = metadata(home)
    assert told["match"] == {"level": "upstream", "why": "of the same upstream version", "verified_by": "btf"}
    assert told["left_out"]["mm_struct"] == "the kernel's own BTF does not know it, and nothing else verifies it"


def test_without_btf_memory_has_to_confirm_it_and_that_is_said(home, image, inexact, caplog):  # noqa: F811
    assert tasks(open_image(image, accept="upstream")) == TASKS
    assert metadata(home)["match"]["verified_by"] == "memory"
    line, = warnings(caplog)
    assert "no BTF confirms it: memory was read by it without a contradiction" in line


def test_what_is_stored_is_not_used_by_who_does_not_accept_it(home, image, inexact):  # noqa: F811
    assert tasks(open_image(image, accept="upstream")) == TASKS
    for accept in ("exact", "distribution"):
        with pytest.raises(plugin.PluginError, match="there is no Pre-AST"):
            open_image(image, accept=accept).profile


def test_what_nothing_can_verify_is_not_written(home, image, inexact, tmp_path):  # noqa: F811
    with pytest.raises(SystemExit, match="the Pre-AST is not exact .*nothing can verify the profile.*-f /proc/kcore"):
        rekal.main(["-f", str(image), "--accept", "upstream", "layout_expert", "--output", str(tmp_path / "profile.json")])
    assert not (tmp_path / "profile.json").exists()


def test_a_level_that_there_is_not_is_one_line(home, image, inexact):  # noqa: F811
    with pytest.raises(plugin.PluginError, match="--accept knows no 'best'; give exact, distribution, upstream"):
        open_image(image, accept="best").profile


# What was collected of a host

@pytest.fixture
def collected(image, tmp_path):  # noqa: F811
    """The files beside the image, in a collection instead."""
    def collected(banner=plugin_image.BANNER, btf=RIGHT, pre_ast=None):
        config = KernelConfig.read(f"{image}.config")
        symbols = Symbols.read(f"{image}.kallsyms", text_link_address(config))
        path = tmp_path / "host.zip"
        write_collection(path, Kernel.from_banner(banner, "x86_64"), config, symbols, btf, pre_ast, root=tmp_path)
        for ending in ("config", "kallsyms"):
            (tmp_path / f"guest.core.{ending}").unlink()
        return str(path)
    return collected


def test_an_image_is_analysed_with_what_was_collected_of_its_host(home, image, made, collected, monkeypatch):  # noqa: F811
    found = []
    monkeypatch.setattr(supply, "find_pre_ast", lambda *args, repositories, **kwargs: found.append(
        repositories[0].get("any.past")) or (PreAst(), "test", Match(Level.EXACT, "test")))
    assert tasks(open_image(image, **{"from": collected(pre_ast=b"its Pre-AST")})) == TASKS
    assert found == [b"its Pre-AST"]
    assert metadata(home)["verified"]["structs"] == 8  # by the host's BTF, which the image lacks


def test_without_a_pre_ast_the_hosts_btf_does(home, image, no_pre_ast, collected):  # noqa: F811
    assert tasks(open_image(image, **{"from": collected()})) == TASKS
    assert metadata(home)["types_from"] == "btf"


def test_what_was_collected_of_another_kernel_is_refused(home, image, made, collected):  # noqa: F811
    path = collected(plugin_image.BANNER.replace("#1 SMP", "#2 SMP"))
    with pytest.raises(plugin.PluginError, match="host.zip is of another kernel: .*#2 SMP.*, and not .*#1 SMP"):
        open_image(image, **{"from": path}).profile


def test_a_profile_is_made_of_it_without_an_image(home, image, made, collected, tmp_path):  # noqa: F811
    rekal.main(["layout_expert", "--from", collected(), "--output", str(tmp_path / "profile.json")])
    profile = json.loads((tmp_path / "profile.json").read_text())
    assert profile["$CONSTANTS"]["_text"] == plugin_image.LINK_TEXT and profile["$METADATA"]["verified"]["structs"] == 8


def test_a_file_that_is_none_is_one_line(home, image, tmp_path):  # noqa: F811
    (tmp_path / "host.zip").write_bytes(b"PK\3\4 and nothing")
    assert_one_line(rekall_command("-f", str(image), "--from", str(tmp_path / "host.zip"), "pslist"),
                    "host.zip is no ZIP file as it is made by --collect")


@pytest.fixture
def running(image, monkeypatch):  # noqa: F811
    """The kernel of the image, as if it ran here."""
    def running_kernel(named, with_location=True):
        config = KernelConfig.read(f"{image}.config")
        symbols = Symbols.read(f"{image}.kallsyms", text_link_address(config))
        return Subject(Kernel.from_banner(plugin_image.BANNER, "x86_64"), config, lambda: symbols, "", None, None)
    monkeypatch.setattr(collecting, "running_kernel", running_kernel)
    monkeypatch.setattr(collecting, "find_btf", lambda: RIGHT)


def test_collecting(home, image, running, no_pre_ast, tmp_path, capsys):  # noqa: F811
    rekal.main(["layout_expert", "--collect", str(tmp_path / "host.zip")])
    printed = capsys.readouterr().out
    assert "host.zip" in printed and "config" in printed
    collection = read_collection(tmp_path / "host.zip")
    assert collection.kernel.banner == plugin_image.BANNER.strip() and collection.btf == RIGHT and collection.pre_ast is None
    for ending in ("config", "kallsyms"):
        (tmp_path / f"guest.core.{ending}").unlink()
    assert tasks(open_image(image, **{"from": str(tmp_path / "host.zip")})) == TASKS


def test_what_is_collected_is_the_running_kernel(home, image, tmp_path):  # noqa: F811
    with pytest.raises(SystemExit, match="what is collected is the running kernel: neither an image"):
        rekal.main(["-f", str(image), "layout_expert", "--collect", str(tmp_path / "host.zip")])
    assert not (tmp_path / "host.zip").exists()
