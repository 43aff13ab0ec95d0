"""Detection in a real Rekall session: the right profile, for the right kernel, or one clear line."""
import gzip
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
from types import SimpleNamespace

import plugin_image
import pytest
from rekall import obj, plugin, plugins, rekal, session  # noqa: F401: imports all plugins
from rekall.plugins import guess_profile
from rekall.plugins.addrspaces import elfcore, standard

import rekall_layout_expert
from rekall_layout_expert import supply
from rekall_layout_expert.plugin import (
    address_spaces, analysis, detection, encrypted_memory, five_levels, profile_maker, subject)
from rekall_layout_expert.plugin.options import Named
from rekall_layout_expert.supply.matching import Level, Match

WRITERS = {"raw": plugin_image.write_raw, "elf": plugin_image.write_elf, "lime": plugin_image.write_lime,
           "avml": plugin_image.write_avml}


class PreAst:
    """In place of one: only what is asked of it."""

    digest = "a" * 64


@pytest.fixture
def made(monkeypatch):
    """Stands in for the core; the list has one entry for each profile that was made."""
    calls = []

    def make_profile(*args, **kwargs):
        calls.append(args)
        return plugin_image.profile(*args, **kwargs)

    monkeypatch.setattr(rekall_layout_expert, "make_profile", make_profile, raising=False)
    monkeypatch.setattr(supply, "find_pre_ast", lambda *args, **kwargs: (PreAst(), "test", Match(Level.EXACT, "test")))
    monkeypatch.setattr(rekall_layout_expert, "read_pre_ast", lambda path: PreAst(), raising=False)
    return calls


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, and no network: whoever asks for it fails the test."""
    def no_network(*args, **kwargs):
        pytest.fail("the network was asked")

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    # As Rekall writes it at its first start; a second session in one process fails to.
    (tmp_path / "home" / ".rekallrc").write_text(
        "cache_dir: .rekall_cache\nrepository_path: [https://repository.invalid/profiles]\n")
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    return tmp_path / "home"


@pytest.fixture
def image(tmp_path):
    """An image with its configuration and symbols beside it."""
    path = tmp_path / "guest.core"
    plugin_image.write_raw(path, plugin_image.memory())
    (tmp_path / "guest.core.config").write_text(plugin_image.CONFIG)
    (tmp_path / "guest.core.kallsyms").write_text(plugin_image.kallsyms(0x8000000))
    return path


def open_image(path, **options):
    return session.InteractiveSession(filename=str(path), **options)


def tasks(rekall):
    """{pid: (command, parent's pid, user)}, as pslist has it."""
    rows = list(rekall.plugins.pslist().collect())
    return {int(task.pid): (str(task.name), int(parent), int(user)) for task, parent, user, *_ in rows}


# Rekall does not list the swapper.
TASKS = {1: ("init", 0, 0), 7: ("bash", 1, 1000), 9: ("sleep", 7, 1000)}


def stored(home):
    root = home / ".rekall_cache" / "v1.0" / "LayoutExpert"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def alone(tmp_path):
    """An image with nothing beside it."""
    return tmp_path / "guest.core"


@pytest.mark.parametrize("form", sorted(WRITERS))
@pytest.mark.parametrize("version", ["4.4", "4.6", "6.1", "7.2"])
def test_an_image_that_carries_its_symbols_and_its_configuration_needs_nothing_else(home, alone, made, form, version):
    content = {**plugin_image.memory(), **plugin_image.carried_symbols(0x2200000, "2.6" if version == "4.4" else version),
               **plugin_image.carried_config(0x2200000)}
    WRITERS[form](alone, content)
    rekall = open_image(alone)
    assert tasks(rekall) == TASKS
    assert rekall.GetParameter("kernel_slide") == 0x1C000000
    assert rekall.profile.get_constant("_text") == plugin_image.LINK_TEXT


def test_symbols_in_the_image_and_given_ones_have_the_same_profile(home, image, made):
    """For they are the same: the kernel was not rebuilt."""
    content = {**plugin_image.memory(), **plugin_image.carried_symbols(0x2200000)}
    plugin_image.write_raw(image, content)
    functions = "".join(f"{plugin_image.LINK_TEXT + 0x1000 + 16 * number:x} t function_{number}\n" for number in range(300))
    lines = (plugin_image.kallsyms() + functions).splitlines(True)
    image.with_name("guest.core.kallsyms").write_text("".join(sorted(lines)))
    assert tasks(open_image(image)) == TASKS
    image.with_name("guest.core.kallsyms").unlink()
    assert tasks(open_image(image)) == TASKS
    assert len(made) == len(stored(home)) == 1


def test_a_kernel_linked_elsewhere_than_usual_is_found_before_its_configuration_tells(home, alone, made):
    config = plugin_image.CONFIG.replace("CONFIG_PHYSICAL_START=0x1000000", "CONFIG_PHYSICAL_START=0x1A00000")
    plugin_image.write_raw(alone, {**plugin_image.memory(), **plugin_image.carried_symbols(0x2200000),
                                   **plugin_image.carried_config(0x2200000, config)})
    rekall = open_image(alone)
    assert tasks(rekall) == TASKS
    assert rekall.GetParameter("kernel_slide") == 0x1C000000 - 0xA00000


def test_a_configuration_of_a_kernel_that_cannot_be_there_is_told(home, image, made):
    image.with_name("guest.core.config").write_text(
        plugin_image.CONFIG.replace("CONFIG_PHYSICAL_START=0x1000000", "CONFIG_PHYSICAL_START=0x3E000000"))
    with pytest.raises(plugin.PluginError, match="guest.core.config is not of the kernel in the image.*cannot have slid"):
        open_image(image).profile


def test_the_table_of_a_kernel_that_does_not_run_is_passed_over(home, alone, made, caplog):
    """As in the file of a kernel that was read."""
    places = {**plugin_image.PLACES, "linux_banner": 0x200800}
    plugin_image.write_raw(alone, {**plugin_image.memory(), **plugin_image.carried_config(0x2200000),
                                   **plugin_image.carried_symbols(0x1200000, places=places)})
    rekall = open_image(alone)
    rekall.plugins.load_as().GetPhysicalAddressSpace()
    assert detection.LayoutExpertDetection(session=rekall).DetectFromHit(None, 0, rekall.physical_address_space) is None
    message = caplog.records[0].getMessage()
    assert "no Linux kernel that shows its symbols is in" in message and "at 0x1" in message and "is not in" in message
    plugin_image.write_raw(alone, {**plugin_image.memory(), **plugin_image.carried_config(0x2200000),
                                   **plugin_image.carried_symbols(0x1200000, places=places),
                                   **plugin_image.carried_symbols(0x2200000)})
    assert tasks(open_image(alone)) == TASKS


def test_an_image_that_carries_its_configuration_needs_only_symbols(home, image, made):
    image.with_name("guest.core.config").unlink()
    plugin_image.write_raw(image, {**plugin_image.memory(), **plugin_image.carried_config(0x2200000)})
    assert tasks(open_image(image, system=f"{image}.kallsyms")) == TASKS


def test_of_two_configurations_in_an_image_none_is_taken(home, image, made):
    image.with_name("guest.core.config").unlink()
    plugin_image.write_raw(image, {**plugin_image.memory(), **plugin_image.carried_config(0x2200000),
                                   **plugin_image.carried_config(0x2240000, plugin_image.CONFIG + "CONFIG_NUMA=y\n")})
    with pytest.raises(plugin.PluginError, match="the configuration of the kernel 6.1.0-99-amd64 was not found.*guest.core.config"):
        tasks(open_image(image, system=f"{image}.kallsyms", offline=True))


def test_a_configuration_outside_the_kernel_is_not_its_own(home, image, made):
    image.with_name("guest.core.config").unlink()
    plugin_image.write_raw(image, {**plugin_image.memory(), **plugin_image.carried_config(0x2C80000)})
    with pytest.raises(plugin.PluginError, match="was not found.*guest.core.config"):
        tasks(open_image(image, system=f"{image}.kallsyms", offline=True))


@pytest.mark.parametrize("form", sorted(WRITERS))
@pytest.mark.parametrize("text, slide", [
    (0x1000000, 0), (0x1000000, 0x3A000000), (0x2600000, 0), (0x2200000, 0x1C200000)])
def test_pslist_of_an_image_that_kaslr_moved_by_two_numbers(home, image, made, form, text, slide):
    WRITERS[form](image, plugin_image.memory(text, slide))
    rekall = open_image(image)
    assert tasks(rekall) == TASKS
    assert rekall.GetParameter("kernel_slide") == slide
    assert rekall.profile.phys_addr(rekall.profile.get_constant("init_task", is_address=True)) == \
        text + plugin_image.PLACES["init_task"]


@pytest.mark.parametrize("form", sorted(WRITERS))
def test_pslist_of_a_machine_with_five_levels_of_page_tables(home, image, made, form):
    WRITERS[form](image, plugin_image.memory(five_levels=True))
    rekall = open_image(image)
    assert tasks(rekall) == TASKS
    assert type(rekall.kernel_address_space) is five_levels.FiveLevelMemory


@pytest.mark.parametrize("bit", [47, 51])
def test_the_bit_of_encrypted_pages_is_no_part_of_an_address(home, image, made, bit):
    WRITERS["lime"](image, plugin_image.memory(encrypted=1 << bit))
    rekall = open_image(image)
    assert tasks(rekall) == TASKS
    memory = rekall.kernel_address_space
    assert type(memory) is encrypted_memory.EncryptedMemory
    start = plugin_image.LINK_TEXT + 0x1C000000
    assert memory.vtop(start + 0x201234) == 0x2401234
    assert [(run.start & (1 << 64) - 1, run.file_offset) for run in memory.get_mappings()] == [
        (start & (1 << 48) - 1, 0x2200000), (start + 0x200000 & (1 << 48) - 1, 0x2400000)]


def test_five_levels_are_translated_from_the_48_bits_that_rekall_keeps(home, image, made):
    """One page each of vmalloc()ed memory and of a process, under tables of their own."""
    text, kernel, process = 0x2200000, 0x2800000, 0x2900000
    content = plugin_image.memory(text, five_levels=True)
    top = text + plugin_image.PLACES["init_top_pgt"]
    entry = struct.Struct("<Q").pack

    def tables(top, address, page, at):
        for level, shift in enumerate((48, 39, 30, 21, 12)):
            content[top + (address >> shift & 511) * 8] = entry((page if shift == 12 else at + level * 4096) | 0x67)
            top = at + level * 4096

    tables(top, plugin_image.VMALLOC + 0x5000, 0x2A00000, kernel)
    tables(process, 0x7F0123456000, 0x2A01000, process + 4096)
    WRITERS["raw"](image, content)
    rekall = open_image(image)
    tasks(rekall)
    kept = (1 << 48) - 1
    memory = rekall.kernel_address_space
    assert memory.vtop(plugin_image.VMALLOC + 0x5123 & kept) == 0x2A00123
    assert memory.vtop(plugin_image.VMALLOC + 0x6000 & kept) is None
    assert memory.vtop(plugin_image.DIRECT_MAP + 0x123456 & kept) == 0x123456
    assert memory.vtop(plugin_image.LINK_TEXT + 0x1C000000 & kept) == text
    of_process = five_levels.FiveLevelMemory(base=memory.base, session=rekall, dtb=process, profile=rekall.profile)
    assert of_process.vtop(0x7F0123456789) == 0x2A01789
    assert of_process.vtop(0x7F0123457000) is None
    assert "2a00123" in str(memory.describe_vtop(plugin_image.VMALLOC + 0x5123 & kept)).lower()


def test_start_of_a_task_is_a_time_of_day(home, image, made):
    rows = list(open_image(image).plugins.pslist().collect())
    starts = {int(row[0].pid): row[5].v() for row in rows}
    assert starts == {1: plugin_image.BOOT_TIME + 1, 7: plugin_image.BOOT_TIME + 60,
                      9: plugin_image.BOOT_TIME + 61}


def test_second_start_does_not_make_the_profile_again(home, image, made):
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 1 and len(stored(home)) == 1
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 1


def test_another_boot_of_the_same_kernel_uses_the_same_profile(home, image, made, tmp_path):
    tasks(open_image(image))
    plugin_image.write_raw(image, plugin_image.memory(0x1800000, 0x2000000))
    (tmp_path / "guest.core.kallsyms").write_text(plugin_image.kallsyms(0x2000000))
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 1


def change_of_config(folder):
    path = folder / "guest.core.config"
    path.write_text(path.read_text() + "CONFIG_MORE=y\n")


def change_of_banner(folder):
    banner = plugin_image.BANNER.replace("6.1.99-1", "6.1.99-2")
    plugin_image.write_raw(folder / "guest.core", plugin_image.memory(banner=banner))


def change_of_symbols(folder):
    path = folder / "guest.core.kallsyms"
    path.write_text(path.read_text() + "ffffffff8b20c000 D added_by_a_rebuild\n")


@pytest.mark.parametrize("change", [change_of_config, change_of_banner, change_of_symbols])
def test_rebuilt_kernel_of_the_same_release_never_gets_the_old_profile(home, image, made, tmp_path, change):
    first = open_image(image)
    tasks(first)
    first.Flush()
    change(tmp_path)
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 2 and len(stored(home)) == 2


def test_profile_of_another_pre_ast_than_the_named_one_is_not_used(home, image, made, monkeypatch):
    tasks(open_image(image))
    other = type("Other", (), {"digest": "b" * 64})
    monkeypatch.setattr(rekall_layout_expert, "read_pre_ast", lambda path: other, raising=False)
    assert tasks(open_image(image, pre_ast="other.past")) == TASKS
    assert len(made) == 2
    monkeypatch.setattr(rekall_layout_expert, "read_pre_ast", lambda path: PreAst, raising=False)
    assert tasks(open_image(image, pre_ast="same.past")) == TASKS
    assert len(made) == 2


def test_damaged_stored_profile_is_made_again(home, image, made):
    tasks(open_image(image))
    path = home / ".rekall_cache" / "v1.0" / "LayoutExpert" / stored(home)[0]
    path.write_bytes(path.read_bytes()[:100])
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 2


@pytest.mark.parametrize("nonsense", [
    5, [], "text", {"$METADATA": 5}, {"$STRUCTS": []}, {"$CONSTANTS": None},
    {"$METADATA": {"left_out": 5}, "$STRUCTS": {}}, {"$METADATA": {}}, {"$METADATA": {"ProfileClass": 5}},
    {"$METADATA": {"ProfileClass": "Nowhere"}}, {"$STRUCTS": {"task_struct": 5, "list_head": None}},
    {"$STRUCTS": dict(plugin_image.STRUCTS, task_struct=[1, dict.fromkeys(("pid", "comm", "tasks", "mm"), 5)])},
    {"$CONSTANTS": dict.fromkeys(("_text", "linux_banner", "linux_proc_banner", "init_task"), "here")},
], ids=lambda nonsense: str(nonsense)[:40])
def test_nonsense_in_a_stored_profile_is_made_again(home, image, made, caplog, nonsense):
    tasks(open_image(image))
    path = home / ".rekall_cache" / "v1.0" / "LayoutExpert" / stored(home)[0]
    content = json.loads(gzip.decompress(path.read_bytes()))
    content = {**content, **nonsense} if isinstance(nonsense, dict) else nonsense
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    caplog.clear()
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 2
    assert len([record for record in caplog.records if "made again" in record.getMessage()]) == 1


def test_stored_profile_that_contradicts_the_memory_is_made_again(home, image, made, monkeypatch):
    members = plugin_image.STRUCTS["task_struct"][1]
    members = dict(members, pid=[4, ["int", {}]], comm=[9, members["comm"][1]])
    structs = dict(plugin_image.STRUCTS, task_struct=[plugin_image.TASK_SIZE, members])
    with monkeypatch.context() as patch:
        patch.setattr(analysis, "_check_content", lambda *args: None)
        patch.setattr(plugin_image, "STRUCTS", structs)
        open_image(image).profile
    assert len(stored(home)) == 1
    assert tasks(open_image(image)) == TASKS
    assert len(made) == 2


def test_unwritable_repository_costs_a_line_and_not_the_run(home, image, made, caplog):
    (home / ".rekall_cache" / "v1.0").mkdir(parents=True)
    (home / ".rekall_cache" / "v1.0" / "LayoutExpert").write_text("in the way")
    assert tasks(open_image(image)) == TASKS
    warnings = [record.getMessage() for record in caplog.records if "Layout Expert" in record.getMessage()
                and record.levelname == "WARNING"]
    assert len(warnings) == 1 and "cannot write" in warnings[0] and "\n" not in warnings[0]


@pytest.fixture(params=["a file", "read-only", "read-only with a cache", "not ours"])
def unwritable(request, home, tmp_path):
    """A HOME where nothing can be written."""
    place = tmp_path / "unwritable"
    if request.param == "a file":
        place.write_text("no directory")
        yield place
    elif request.param == "not ours":
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        place.mkdir(mode=0o555)
        yield place
    else:
        place.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], stderr=subprocess.PIPE,
                               universal_newlines=True)
        if mount.returncode:
            pytest.skip(f"cannot mount a read-only file system: {mount.stderr.strip()}")
        try:
            if request.param == "read-only with a cache":
                (place / ".rekall_cache").mkdir()
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


def test_unwritable_home_costs_a_line_and_not_the_run(unwritable, image, made, monkeypatch, caplog, capsys):
    monkeypatch.setenv("HOME", str(unwritable))
    rekal.main(["-f", str(image), "pslist"])
    assert re.search(r"^0x\w+ sleep +9 +7 +1000 ", capsys.readouterr().out, re.MULTILINE)
    told = [record.getMessage() for record in caplog.records
            if record.levelno == logging.WARNING and "Layout Expert" in record.getMessage()]
    assert len(told) == 1 and f"cache directory {unwritable}" in told[0] and "\n" not in told[0]
    assert len(made) == 1


def test_nothing_is_registered_or_stored_of_a_profile_that_contradicts_the_memory(home, image, made, monkeypatch):
    wrong = dict(plugin_image.STRUCTS, task_struct=[1024, dict(plugin_image.STRUCTS["task_struct"][1],
                                                               tasks=[40, ["list_head", {}]])])
    monkeypatch.setattr(plugin_image, "STRUCTS", wrong)
    rekall = open_image(image)
    with pytest.raises(plugin.PluginError, match="contradicts the memory: the list of tasks is none.*guest.core.config"):
        rekall.profile
    assert not stored(home)
    assert not rekall.HasParameter("kernel_slide") and not rekall.kernel_address_space
    assert not rekall.HasParameter("dtb") and not rekall.cache.Get("profile_obj")


def test_struct_that_was_left_out_is_told_with_the_reason(home, image, made, monkeypatch):
    monkeypatch.setattr(plugin_image, "STRUCTS", {"list_head": plugin_image.STRUCTS["list_head"]})
    monkeypatch.setattr(plugin_image, "LEFT_OUT", {"task_struct": "its layout is randomized"})
    with pytest.raises(plugin.PluginError, match="no usable task_struct: its layout is randomized"):
        open_image(image).profile
    assert not stored(home)


@pytest.mark.parametrize("beside", [(), ("config",), ("kallsyms",), ("pre_ast",)])
def test_images_that_nothing_is_said_of_are_left_to_rekall(home, tmp_path, made, caplog, beside):
    path = tmp_path / "windows.raw"
    plugin_image.write_raw(path, {0: b"something else"}, plugin_image.MEGABYTE)
    for ending in beside:
        (tmp_path / f"windows.raw.{ending}").write_text("not of a Linux kernel")
    rekall = open_image(path)
    rekall.plugins.load_as().GetPhysicalAddressSpace()
    before = dict(rekall.cache.data)
    assert detection.LayoutExpertDetection(session=rekall).DetectFromHit(None, 0, rekall.physical_address_space) is None
    assert rekall.cache.data == before
    assert not [record for record in caplog.records if "Layout Expert" in record.getMessage()]


def test_reads_only_what_is_needed_to_find_the_kernel(home, image, made, monkeypatch):
    """The demo's image has only the pages that are read."""
    pages, read = set(), standard.FDAddressSpace.read

    def watched(self, address, length):
        pages.update(range(int(address) >> 12, int(address + length - 1 >> 12) + 1))
        return read(self, address, length)

    monkeypatch.setattr(standard.FDAddressSpace, "read", watched)
    assert tasks(open_image(image)) == TASKS
    assert len(pages) < 80


def test_decoys_of_the_banner_are_told_from_the_kernel(home, image, made):
    content = plugin_image.memory()
    for place in (0x800000, 0x1400000):
        content[place + plugin_image.PLACES["linux_banner"]] = plugin_image.BANNER.encode()
    plugin_image.write_raw(image, content)
    assert tasks(open_image(image)) == TASKS


def test_list_that_was_caught_while_it_changed_costs_a_line_and_not_the_run(home, image, made, caplog):
    content = plugin_image.memory()
    task = 0x2200000 + plugin_image.PLACES["init_task"] + 2 * plugin_image.TASK_SIZE
    broken = bytearray(content[task])
    broken[plugin_image.TASK["tasks"]:plugin_image.TASK["tasks"] + 8] = b"\xff" * 8
    content[task] = bytes(broken)
    plugin_image.write_raw(image, content)
    assert tasks(open_image(image)).items() >= {pid: TASKS[pid] for pid in (1, 7)}.items()
    assert "the list of tasks is broken" in caplog.text


FAILURES = {
    "is not in .*guest.core": lambda folder: plugin_image.write_raw(folder / "guest.core", {}),
    "differs from the kernel in CONFIG_SMP": lambda folder: (folder / "guest.core.config").write_text(
        plugin_image.CONFIG.replace("CONFIG_SMP=y\n", "")),
    "architecture i386": lambda folder: (folder / "guest.core.config").write_text("CONFIG_X86_32=y\n"),
    "sets no CONFIG_ symbol": lambda folder: (folder / "guest.core.config").write_text(""),
    "guest.core.kallsyms is empty": lambda folder: (folder / "guest.core.kallsyms").write_text(""),
    "only zeros": lambda folder: (folder / "guest.core.kallsyms").write_text("0000000000000000 T _text\n"),
    "has no linux_banner": lambda folder: (folder / "guest.core.kallsyms").write_text(
        plugin_image.kallsyms().replace("linux_banner", "banner")),
}


@pytest.mark.parametrize("message", sorted(FAILURES))
def test_failure_is_one_line_and_an_exit_code(home, image, tmp_path, message):
    FAILURES[message](tmp_path)
    assert_one_line(rekall_command("-f", str(image), "pslist"), message)


BESIDE = "no Linux kernel that shows .*guest.core.config, .*guest.core.kallsyms, .*System.map; .*--config_file_path and --system"
IMAGES = {
    "a Linux kernel and nothing beside": (BESIDE, lambda path: plugin_image.write_raw(path, plugin_image.memory())),
    "a configuration only": (BESIDE, lambda path: (plugin_image.write_raw(path, plugin_image.memory()),
                                                   path.with_name("guest.core.config").write_text(plugin_image.CONFIG))),
    "nothing known": (BESIDE, lambda path: plugin_image.write_raw(path, {0: b"something"}, plugin_image.MEGABYTE)),
    "empty": ("guest.core is empty; .*-f", lambda path: path.write_bytes(b"")),
    "missing": ("cannot read .*guest.core .*: No such file", lambda path: None),
    "a directory": ("cannot read .*guest.core .*: Is a directory", lambda path: path.mkdir()),
}


@pytest.mark.parametrize("kind", sorted(IMAGES))
def test_image_that_nobody_has_a_profile_for_is_one_line_and_an_exit_code(home, tmp_path, kind):
    message, write = IMAGES[kind]
    write(tmp_path / "guest.core")
    run = rekall_command("-f", str(tmp_path / "guest.core"), "pslist")
    assert run.returncode == 1 and "Traceback" not in run.stderr and not run.stdout.strip(), run.stderr
    # Rekall has its own lines on each repository that it asked.
    lines = [line for line in run.stderr.splitlines() if not re.search(r":(WARNING|ERROR):rekall\.", line)]
    assert len(lines) == 1 and re.match(f"rekall: .*{message}", lines[0]), run.stderr


def test_image_that_rekall_has_a_profile_for_is_left_to_it(home, tmp_path, monkeypatch):
    """As a Windows image would be."""
    plugin_image.write_raw(tmp_path / "windows.raw", {0: b"something else"}, plugin_image.MEGABYTE)
    theirs = obj.Profile(name="nt/theirs", session=session.InteractiveSession())
    monkeypatch.setattr(guess_profile.ProfileHook, "_ScanProfiles", lambda self: theirs)
    rekall = open_image(tmp_path / "windows.raw")
    assert rekall.profile is theirs


def test_options_name_what_is_missing(home, image, tmp_path):
    os.unlink(tmp_path / "guest.core.kallsyms")
    run = rekall_command("-f", str(image), "--config_file_path", str(tmp_path / "guest.core.config"), "pslist")
    assert_one_line(run, r"guest.core.kallsyms, .*guest.core.System.map.*--system")


def test_options_are_taken_before_files_beside_the_image(home, image, tmp_path):
    missing = str(tmp_path / "missing.config")
    run = rekall_command("-f", str(image), "--config_file_path", missing, "pslist")
    assert_one_line(run, "cannot read .*missing.config")


def test_compressed_files_beside_an_image_are_found(tmp_path):
    (tmp_path / "i.System.map.gz").write_bytes(b"")
    (tmp_path / "i.config").write_bytes(b"")
    (tmp_path / "i.pre_ast").mkdir()
    image = str(tmp_path / "i")
    assert Named(None, None, None).or_beside(image) == (f"{image}.config", f"{image}.System.map.gz", None, None)
    assert Named("c", None, "p").or_beside(image) == ("c", f"{image}.System.map.gz", "p", None)


def test_closed_kcore_says_what_to_do(home, monkeypatch, tmp_path):
    monkeypatch.setattr(address_spaces, "KCORE", str(tmp_path / "kcore"))
    rekall = open_image(tmp_path / "kcore")
    with pytest.raises(plugin.PluginError, match="cannot open .*kcore"):
        rekall.plugins.load_as().GetPhysicalAddressSpace()
    # As Rekall's own main() does it.
    rekall.privileged = True
    with pytest.raises(SystemExit, match="rekall: cannot open .*kcore"):
        rekall.plugins.load_as().GetPhysicalAddressSpace()


def test_kcore_is_mapped_by_its_program_headers(home, image, monkeypatch):
    monkeypatch.setattr(address_spaces, "_KCORE_SIZE", 1 << 20)
    plugin_image.write_kcore(image, plugin_image.memory())
    memory = open_image(image).plugins.load_as().GetPhysicalAddressSpace()
    assert type(memory) is address_spaces.KCore and memory.volatile
    assert [(run.start, run.end) for run in memory.get_mappings()] == [
        (0x1000, 0x1000 + plugin_image.MEGABYTE), (2 * plugin_image.MEGABYTE, 50 * plugin_image.MEGABYTE)]
    banner = plugin_image.BANNER.encode()
    assert memory.read(0x2200000 + plugin_image.PLACES["linux_banner"], len(banner)) == banner


def test_kcore_without_physical_addresses_is_left_to_rekall(home, image, monkeypatch):
    monkeypatch.setattr(address_spaces, "_KCORE_SIZE", 1 << 20)
    tried = watch_rekalls_kcore(monkeypatch)
    plugin_image.write_kcore(image, plugin_image.memory(), physical_addresses=False)
    open_image(image).plugins.load_as().GetPhysicalAddressSpace()
    assert type(tried[0]) is standard.FileAddressSpace


def test_elf_image_is_never_taken_for_kcore(home, image, monkeypatch):
    tried = watch_rekalls_kcore(monkeypatch)
    plugin_image.write_elf(image, plugin_image.memory())
    assert type(open_image(image).plugins.load_as().GetPhysicalAddressSpace()) is address_spaces.ElfImage
    # Another one on top of it is not asked for.
    assert [type(base) for base in tried] == [address_spaces.ElfImage]


def watch_rekalls_kcore(monkeypatch):
    """The list of what Rekall's own class was to be laid on; it always declines."""
    tried = []

    def decline(self, base, session):
        tried.extend([base] if base else [])
        self.as_assert(False)

    monkeypatch.setattr(elfcore.KCoreAddressSpace, "__init__", decline)
    return tried


def test_plugin_makes_a_profile_of_files_alone(home, image, made, tmp_path, capsys):
    output = tmp_path / "profile.json"
    rekal.main(["layout_expert", "--config_file_path", f"{image}.config", "--system", f"{image}.kallsyms",
                "--pre_ast", "named.past", "--output", str(output)])
    profile = json.loads(output.read_text())
    assert profile["$STRUCTS"] == json.loads(json.dumps(plugin_image.STRUCTS))
    assert profile["$CONSTANTS"]["_text"] == plugin_image.LINK_TEXT
    table = capsys.readouterr().out
    assert re.search(r"stage.*seconds.*what.*detail", table)
    assert re.search(r"^profile .*8 structs", table, re.MULTILINE) and re.search(r"^written ", table, re.MULTILINE)
    assert not stored(home)


def test_plugin_makes_and_stores_the_profile_of_an_image_anew(home, image, made, capsys):
    for count in (1, 2):
        rekal.main(["-f", str(image), "layout_expert"])
        assert re.search(r"^stored .*LayoutExpert/6.1.0-99-amd64/", capsys.readouterr().out, re.MULTILINE)
        assert len(made) == count and len(stored(home)) == 1
    rekal.main(["-f", str(image), "pslist"])
    assert re.search(r"^0x\w+ sleep +9 +7 +1000 ", capsys.readouterr().out, re.MULTILINE)
    assert len(made) == 2


def test_profile_written_by_the_plugin_is_one_that_rekall_loads(home, image, made, tmp_path, capsys):
    output = str(tmp_path / "profile.json")
    rekal.main(["-f", str(image), "layout_expert", "--output", output])
    loaded = session.InteractiveSession().LoadProfile(output)
    assert loaded.get_obj_offset("task_struct", "comm") == plugin_image.TASK["comm"]
    assert loaded.object_classes["task_struct"].__module__ == "rekall_layout_expert.plugin.linux.tasks"


@pytest.mark.parametrize("arguments, message", [
    (("--config_file_path", "/nowhere/config", "--system", "/nowhere/map", "--output", "profile.json"),
     "cannot read /nowhere/config"),
    (("-f", "other.raw"), "no Linux kernel that shows its symbols.*--system"),
    (("-f", "missing.raw"), "cannot read missing.raw"),
    (("--structs", "task_struct"), "chosen structs.*--output"),
])
def test_plugin_that_fails_says_so_in_one_line(home, tmp_path, arguments, message):
    (tmp_path / "other.raw").write_bytes(b"x" * 8192)
    assert_one_line(rekall_command("layout_expert", *arguments), message)
    assert not (tmp_path / "profile.json").exists()


def test_plugin_that_fails_leaves_what_a_profile_was_to_be_written_to(home, tmp_path):
    (tmp_path / "profile.json").write_text("of another kernel")
    run = rekall_command("layout_expert", "--config_file_path", "/nowhere/config", "--output", "profile.json")
    assert_one_line(run, "cannot read /nowhere/config")
    assert (tmp_path / "profile.json").read_text() == "of another kernel"


def test_help_teaches_every_argument(home):
    run = rekall_command("layout_expert", "--help")
    for argument in ("--collect", "--from", "--pre_ast", "--config_file_path", "--system", "--output", "--build", "--structs", "--explain",
                     "--randstruct_seed"):
        assert argument in run.stdout.split("Plugin layout_expert options")[1]


def rekall_command(*arguments):
    return subprocess.run([sys.executable, "-c", "from rekall.rekal import main; main()", *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=300)


def assert_one_line(run, message):
    lines = run.stderr.strip().splitlines()
    assert run.returncode == 1, run.stderr
    assert len(lines) == 1 and lines[0].startswith("rekall: ") and re.search(message, lines[0]), run.stderr
    assert not run.stdout.strip()


def test_progress_shows_no_control_character_of_what_it_names():
    class Session:
        shown = []

        def report_progress(self, form, *arguments, force):
            self.shown.append(form % arguments)

    profile_maker.Stages(Session()).report("FETCHING http://evil/\x1b[2J\nsecond line")
    assert Session.shown == ["Layout Expert: FETCHING http://evil/\N{REPLACEMENT CHARACTER}[2J second line"]


def test_a_profile_that_holds_other_structs_has_another_name(monkeypatch):
    """One that was kept before plugins wanted more is not used."""
    of = SimpleNamespace(kernel=SimpleNamespace(banner="Linux version 6.1", release="6.1"), _build="",
                         config=SimpleNamespace(digest="0", architecture="x86_64"))
    before = subject.Subject.profile_name(of)
    assert subject.Subject.profile_name(of) == before
    monkeypatch.setattr(subject.pkgutil, "get_data", lambda *_: b"{}")
    assert subject.Subject.profile_name(of) != before
