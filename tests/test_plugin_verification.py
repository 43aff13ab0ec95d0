"""The hook holds a profile against the BTF in the memory before it, and says what came of it, in Rekall itself."""
import copy
import gzip
import json
import logging

import btf
import plugin_image
import pytest
from rekall import plugin, rekal
from test_plugin_detection import TASKS, home, image, made, open_image, stored, tasks  # noqa: F401

from rekall_layout_expert.host.btf import find_btf
from rekall_layout_expert.plugin import kernel_btf
from rekall_layout_expert.verification.btf import FWD, PTR

TEXT, PLACE = 0x2200000, 0x300000
INTEGERS = {"int": 4, "unsigned int": 4, "long long": 8, "unsigned long long": 8, "char": 1}


def section_of(structs):
    """The BTF of a kernel with these structs."""
    types, numbers = btf.Writer(), {}

    def number_of(target, arguments=None):
        if target == "Array":
            return types.array(number_of(arguments["target"]), arguments["count"])
        if target == "Pointer":
            return types.add(PTR, value=types.add(FWD, arguments["target"]) if arguments["target"] in structs else 0)
        if target in structs and target not in numbers:
            members = [(name, number_of(*type_), 8 * offset) for name, (offset, type_) in structs[target][1].items()]
            numbers[target] = types.record(target, structs[target][0], members)
        elif target not in numbers:
            numbers[target] = types.integer(target, INTEGERS[target])
        return numbers[target]

    for name in structs:
        number_of(name)
    return types.section()


RIGHT = section_of(plugin_image.STRUCTS)


def wrong_in(struct, member):
    structs = copy.deepcopy(plugin_image.STRUCTS)
    structs[struct][1][member][0] += 4
    return section_of(structs)


@pytest.fixture
def carrying(home, image, tmp_path):  # noqa: F811
    """Writes the image so that it carries a .BTF section."""
    def carrying(section, length=None, size=48 * plugin_image.MEGABYTE):
        length = len(section) if length is None else length
        plugin_image.write_raw(image, {**plugin_image.memory(TEXT), TEXT + PLACE: section}, size)
        lines = "".join(f"{plugin_image.LINK_TEXT + 0x8000000 + PLACE + end:016x} R {name}\n"
                        for name, end in (("__start_BTF", 0), ("__stop_BTF", length)))
        (tmp_path / "guest.core.kallsyms").write_text(plugin_image.kallsyms(0x8000000) + lines)
        return image
    return carrying


@pytest.fixture
def lines(caplog):
    """What was logged of BTF, at a level and above."""
    return lambda level=logging.WARNING: [record.getMessage() for record in caplog.records
                                          if "BTF" in record.getMessage() and record.levelno >= level]


def outcome(home):  # noqa: F811
    path, = stored(home)
    data = json.loads(gzip.decompress((home / ".rekall_cache" / "v1.0" / "LayoutExpert" / path).read_bytes()))
    return data["$METADATA"]["verified"]


def test_agreement_is_told_in_one_line_once(carrying, made, home, capsys, caplog):  # noqa: F811
    image = carrying(RIGHT)  # noqa: F811
    for told in (1, 0):
        rekal.main(["-f", str(image), "--format", "json", "pslist"])
        printed = capsys.readouterr()
        json.loads(printed.out)
        assert printed.err.count("BTF") == told
        assert printed.err.count("rekall: 8 structs verified against the kernel's own BTF\n") == told
    assert len(made) == 1 and not [record for record in caplog.records if "BTF" in record.getMessage()
                                   and record.levelno >= logging.WARNING]
    assert outcome(home)["structs"] == 8 and outcome(home)["refused"] == []


def test_agreement_is_only_logged_where_rekall_is_a_library(carrying, made, capsys, lines):  # noqa: F811
    assert tasks(open_image(carrying(RIGHT), logging_level="INFO")) == TASKS
    assert "BTF" not in capsys.readouterr().err
    assert "Layout Expert: 8 structs verified against the kernel's own BTF" in lines(logging.INFO) and not lines()


def test_profile_that_was_verified_is_not_verified_again(carrying, made, monkeypatch):  # noqa: F811
    image, count = carrying(RIGHT), []  # noqa: F811
    verify = kernel_btf.verify_by_btf
    monkeypatch.setattr(kernel_btf, "verify_by_btf", lambda *args, **kwargs: count.append(1) or verify(*args, **kwargs))
    for _ in range(3):
        assert tasks(open_image(image)) == TASKS
    assert len(count) == len(made) == 1


def test_what_disagrees_is_not_used_and_told_at_every_start(carrying, made, home, lines):  # noqa: F811
    image = carrying(wrong_in("vfsmount", "mnt_root"))  # noqa: F811
    for start in (1, 2):
        rekall = open_image(image)
        assert tasks(rekall) == TASKS
        assert "vfsmount" not in rekall.profile.vtypes
        assert lines() == ["Layout Expert: 7 structs verified against the kernel's own BTF, which contradicts the profile "
                           "in 1; these are not used: vfsmount"] * start
    assert len(made) == 1 and outcome(home)["refused"] == ["vfsmount"]


def test_without_a_struct_that_is_needed_there_is_no_profile(carrying, made, home, lines):  # noqa: F811
    image = carrying(wrong_in("task_struct", "pid"))  # noqa: F811
    with pytest.raises(plugin.PluginError, match="no usable task_struct: the kernel's own BTF contradicts it: pid is at bit 32"):
        open_image(image).profile
    assert not stored(home) and not lines()


def test_damage_is_told_and_the_profile_is_used(carrying, made, home, lines):  # noqa: F811
    image = carrying(RIGHT[:100] + bytes(100) + RIGHT[200:])  # noqa: F811
    for start in (1, 2):
        assert tasks(open_image(image)) == TASKS
        assert len(lines()) == start and "not verified against the kernel's own BTF: the BTF is damaged" in lines()[0]
    assert len(made) == 1


@pytest.mark.parametrize("section, length, size", [
    (b"", 5000, 48 * plugin_image.MEGABYTE), (RIGHT, 1 << 30, 48 * plugin_image.MEGABYTE), (RIGHT, -5, 48 * plugin_image.MEGABYTE),
    (RIGHT, None, TEXT + PLACE)], ids=["absent pages", "too long", "negative", "beyond the image"])
def test_where_there_is_none_nothing_is_said(carrying, made, home, lines, section, length, size):  # noqa: F811
    image = carrying(section, length, size)  # noqa: F811
    if size == TEXT + PLACE:
        with open(image, "r+b") as file:
            file.truncate(size)
    assert tasks(open_image(image)) == TASKS
    assert not lines() and outcome(home) is None


def test_stored_profile_that_was_not_verified_is_made_again_once_there_is_btf(carrying, made, home, lines):  # noqa: F811
    assert tasks(open_image(carrying(b"", len(RIGHT)))) == TASKS
    assert tasks(open_image(carrying(RIGHT))) == TASKS
    assert len(made) == 2 and outcome(home)["structs"] == 8
    assert tasks(open_image(carrying(b"", len(RIGHT)))) == TASKS
    assert len(made) == 2


def test_btf_of_a_running_kernel(tmp_path):
    assert find_btf(tmp_path) is None
    (tmp_path / "sys/kernel/btf").mkdir(parents=True)
    (tmp_path / "sys/kernel/btf/vmlinux").write_bytes(RIGHT)
    assert find_btf(tmp_path) == RIGHT
