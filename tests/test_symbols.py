"""System.map and copies of /proc/kallsyms: link-time addresses, which definition counts, and what is refused."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import kernel_or_skip
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols, text_link_address

LINK = 0xFFFFFFFF81000000
SYSTEM_MAP = """\
0000000000000000 D __per_cpu_start
0000000000014d40 d runqueues
ffffffff81000000 T _text
ffffffff81000010 t helper
ffffffff81000020 t helper
ffffffff81000030 t twice
ffffffff81000040 T twice
ffffffff81000050 t twice
ffffffff81000060 W weak
ffffffff82010000 R linux_banner
ffffffff82410940 D init_task
ffffffff82e26000 B _end
"""
SLIDE = 0x4E00000


def kallsyms(slide=SLIDE, modules=True):
    """SYSTEM_MAP as the running kernel would show it."""
    lines = []
    for line in SYSTEM_MAP.splitlines():
        address, kind, name = line.split()
        is_per_cpu = int(address, 16) < LINK
        value, kind = (int(address, 16), "A") if is_per_cpu else (int(address, 16) + slide, kind)
        lines.append("%016x %s %s" % (value, kind, name))
    if modules:
        lines += ["ffffffffc0201000 t helper\t[ext4]", "ffffffffc0201010 T only_in_a_module\t[ext4]",
                  "ffffffffc0300000 t bpf_prog_6deef7357e7b4530\t[bpf]"]
    return "\n".join(lines) + "\n"


def parse(text, link_text=LINK):
    return Symbols.parse(text, "a test", link_text)


def test_system_map_has_link_time_addresses():
    symbols = parse(SYSTEM_MAP)
    assert symbols.addresses["init_task"] == 0xFFFFFFFF82410940
    assert symbols.addresses["runqueues"] == 0x14D40
    assert symbols.kaslr_slide == 0


def test_kallsyms_is_slid_back_but_for_the_per_cpu_offsets():
    symbols = parse(kallsyms())
    assert symbols.kaslr_slide == SLIDE
    assert symbols.addresses == parse(SYSTEM_MAP).addresses


def test_a_symbol_that_nm_has_no_letter_for_is_a_local_one():
    text = SYSTEM_MAP + "ffffffff82e26000 ? nosave\nffffffff82e26008 ? twice\n"
    assert parse(text).addresses == dict(parse(SYSTEM_MAP).addresses, nosave=0xFFFFFFFF82E26000)


def test_modules_are_left_out():
    assert "only_in_a_module" not in parse(kallsyms()).addresses


def test_the_kernels_own_symbols_behind_the_modules_count():
    for behind in ("ffffffff81000070 t behind\n", "ffffffff81000070 t behind"):
        assert parse(kallsyms(slide=0) + behind).addresses["behind"] == 0xFFFFFFFF81000070


def test_the_order_of_the_lines_decides_nothing_but_equals():
    shuffled = "\n".join(sorted(kallsyms().splitlines(), key=lambda line: line.split()[2])) + "\n"
    assert parse(shuffled).addresses == parse(SYSTEM_MAP).addresses


def test_a_global_definition_counts_before_local_ones():
    assert parse(SYSTEM_MAP).addresses["twice"] == 0xFFFFFFFF81000040


def test_of_local_definitions_the_first_counts():
    assert parse(SYSTEM_MAP).addresses["helper"] == 0xFFFFFFFF81000010


def test_of_global_definitions_the_first_counts():
    symbols = parse(SYSTEM_MAP.replace("t helper", "T helper"))
    assert symbols.addresses["helper"] == 0xFFFFFFFF81000010


def test_a_per_cpu_variable_counts_like_a_local_definition():
    # kallsyms shows static and global ones alike as absolute.
    symbols = parse(SYSTEM_MAP.replace("d runqueues", "A runqueues").replace("R linux_banner", "R runqueues"))
    assert symbols.addresses["runqueues"] == 0xFFFFFFFF82010000


def test_a_kernel_has_the_same_digest_at_every_boot():
    assert parse(kallsyms()).digest == parse(kallsyms(slide=0x200000, modules=False)).digest
    assert parse(kallsyms()).digest != parse(SYSTEM_MAP.replace("940 D init_task", "980 D init_task")).digest


def test_without_a_link_address_nothing_is_slid():
    symbols = parse(kallsyms(), link_text=None)
    assert symbols.addresses["_text"] == LINK + SLIDE and symbols.kaslr_slide == 0


def test_i386_slides_all_that_lies_behind_text():
    text = ("c5000000 T _text\nc5400000 D init_task\nc5500000 D __per_cpu_start\nc5600000 B _end\n")
    symbols = parse(text, 0xC1000000)
    assert symbols.kaslr_slide == 0x4000000
    assert symbols.addresses == {"_text": 0xC1000000, "init_task": 0xC1400000, "__per_cpu_start": 0xC1500000,
                                 "_end": 0xC1600000}


@pytest.mark.parametrize("lines, address", [
    ("X86_64=y PHYSICAL_START=0x1000000 PHYSICAL_ALIGN=0x200000", 0xFFFFFFFF81000000),
    ("X86_64=y PHYSICAL_START=0x200000 PHYSICAL_ALIGN=0x200000", 0xFFFFFFFF80200000),
    ("X86_64=y PHYSICAL_START=0x100000 PHYSICAL_ALIGN=0x1000000", 0xFFFFFFFF81000000),
    ("X86_32=y PHYSICAL_START=0x1000000 PHYSICAL_ALIGN=0x1000000 PAGE_OFFSET=0xC0000000", 0xC1000000),
    ("X86_32=y PHYSICAL_START=0x1000000 PHYSICAL_ALIGN=0x2000 PAGE_OFFSET=0x80000000", 0x81000000),
    ("ARM64=y", None),
])
def test_where_text_is_linked_follows_from_the_configuration(lines, address):
    text = "".join(f"CONFIG_{line}\n" for line in lines.split())
    assert text_link_address(KernelConfig.parse(text, "a test")) == address


@pytest.mark.parametrize("text, message", [
    ("", "a test is empty"),
    ("\n \n", "a test is empty"),
    ("ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n",
     "a test is the distribution's stub.*copy of /proc/kallsyms, read as root"),
    ("0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n0000000000000000 D init_task\n",
     "a test shows only zeros.*kptr_restrict"),
    ("\x7fELF\x02\x01\0\0" * 100, "a test is no symbol table: line 1 "),
    (SYSTEM_MAP.replace("T _text", "T"), "a test is no symbol table: line 3 "),
    (SYSTEM_MAP.replace("ffffffff81000060", "no address here"), "a test is no symbol table: line 9 "),
    (SYSTEM_MAP.replace("ffffffff81000060", "1ffffffff81000060"), "a test is no symbol table: line 9 "),
    (SYSTEM_MAP[:-12], "a test is truncated: its last line is 'ffffffff82e2'"),
    (SYSTEM_MAP[:SYSTEM_MAP.index("ffffffff82e26")], "a test has no _end: it is truncated"),
    (SYSTEM_MAP[SYSTEM_MAP.index("ffffffff82010"):], "a test has no _text: it is truncated"),
    (SYSTEM_MAP.replace("init_task", "other"), "a test has no init_task: .* without CONFIG_KALLSYMS_ALL"),
    ("ffffffffc0201000 t helper\t[ext4]\n", "a test has no _text"),
])
def test_what_does_not_describe_a_whole_kernel_is_refused(text, message):
    with pytest.raises(LayoutExpertError, match=message):
        parse(text)


@pytest.mark.parametrize("link_text", [0xC1000000, LINK + (1 << 21), LINK - (1 << 30), LINK - 8])
def test_symbols_of_another_kernel_than_the_configurations_are_refused(link_text):
    with pytest.raises(LayoutExpertError, match="a test and the configuration are of different kernels"):
        parse(SYSTEM_MAP, link_text)


def test_blank_lines_at_the_end_and_other_systems_line_ends_do_no_harm():
    assert parse(SYSTEM_MAP + "\n\n").addresses == parse(SYSTEM_MAP).addresses
    assert parse(kallsyms().replace("\n", "\r\n")).addresses == parse(SYSTEM_MAP).addresses


def test_reads_plain_and_compressed_files(tmp_path):
    (tmp_path / "map").write_text(SYSTEM_MAP)
    (tmp_path / "map.gz").write_bytes(gzip.compress(SYSTEM_MAP.encode()))
    assert Symbols.read(tmp_path / "map").addresses == Symbols.read(tmp_path / "map.gz").addresses
    assert Symbols.read(tmp_path / "map").source == str(tmp_path / "map")


def test_a_file_without_end_is_not_read_to_its_end(monkeypatch, tmp_path):
    monkeypatch.setattr("rekall_layout_expert.profile.symbols._SIZE_LIMIT", 1 << 20)
    (tmp_path / "map").write_bytes(gzip.compress(SYSTEM_MAP.encode() * 10000))
    with pytest.raises(LayoutExpertError, match="map is larger than 1048576 bytes"):
        Symbols.read(tmp_path / "map")


@given(st.data())
def test_any_damage_is_told_in_one_line(data):
    text = kallsyms()
    for _ in range(data.draw(st.integers(1, 4))):
        start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
        if end - start < 100:
            garbage = data.draw(st.text(alphabet="0fTt [\n\r\t\0\x0c\u2028\u3000\ud800", max_size=9))
            text = text[:start] + garbage + text[end:]
    try:
        parse(text).digest
    except LayoutExpertError as error:
        assert "\n" not in str(error)


@pytest.mark.network
@pytest.mark.parametrize("series", ["6.1", "7.2"])
def test_the_distributions_system_map_is_a_stub(series):
    with pytest.raises(LayoutExpertError, match="is the distribution's stub"):
        Symbols.read(kernel_or_skip(series).system_map)
