"""Discovery on hosts laid out file by file, with the traps of real ones, and on the machine that runs the tests."""

import gzip
import io
import os
import struct
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host import find_host
from rekall_layout_expert.host.config import misfit_of
from rekall_layout_expert.host.image import Memory, find_configs
from rekall_layout_expert.host.kcore import kcore_text_segment
from rekall_layout_expert.host.permissions import lockdown, why_addresses_are_hidden, why_kcore_is_closed
from rekall_layout_expert.host.release import Kernel, find_build_id, find_kernel
from rekall_layout_expert.kernel_config import Compiler, KernelConfig
from rekall_layout_expert.profile.symbols import text_link_address
from test_symbols import LINK, SLIDE, SYSTEM_MAP, kallsyms

RELEASE = "6.1.0-20-amd64"
BANNER = ("Linux version 6.1.0-20-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, "
          "GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.85-1 (2024-04-11)\n")
CONFIG = """\
# Linux/x86 6.1.85 Kernel Configuration
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=120200
CONFIG_LOCALVERSION=""
CONFIG_SMP=y
CONFIG_X86_64=y
CONFIG_PHYSICAL_START=0x1000000
CONFIG_PHYSICAL_ALIGN=0x200000
"""
STUB = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n"
ROOT_MAY_ALL, MAY_NOTHING = "CapEff:\t000001ffffffffff\n", "CapEff:\t0000000000000000\n"


@pytest.fixture
def lay_out(tmp_path):
    """Lays out a host: {path: content, or the target of a link as a Path, or None for what is not there}."""
    def lay_out(changes=()):
        files = {
            "proc/sys/kernel/osrelease": RELEASE + "\n",
            "proc/sys/kernel/arch": "x86_64\n",
            "proc/sys/kernel/kptr_restrict": "0\n",
            "proc/self/status": ROOT_MAY_ALL,
            "proc/version": BANNER,
            "proc/kallsyms": kallsyms(),
            f"boot/config-{RELEASE}": CONFIG,
            f"boot/System.map-{RELEASE}": STUB,
            **dict(changes),
        }
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return os.path.realpath(tmp_path)
    return lay_out


def zeros(text):
    return "\n".join("0" * 16 + line[16:] for line in text.splitlines()) + "\n"


def without_data(text):
    """As kallsyms without CONFIG_KALLSYMS_ALL."""
    return "\n".join(line for line in text.splitlines() if line[17] in "TtWw") + "\n"


def elf_core(*segments, kind=1, machine_bits=64):
    """The head of /proc/kcore: an ELF64 core with program headers (virtual, physical)."""
    header = b"\x7fELF" + bytes((2 if machine_bits == 64 else 1, 1, 1)) + bytes(9)
    header += struct.pack("<2HI3QI6H", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return header + b"".join(struct.pack("<2I6Q", kind, 7, 0, virtual, physical & (1 << 64) - 1, 0x1000, 0x1000, 0x1000)
                             for virtual, physical in segments)


# The whole road

def test_a_debian_host_with_kaslr_and_the_stub_system_map(lay_out):
    root = lay_out()
    host = find_host(root)
    assert (host.release, host.architecture, host.banner) == (RELEASE, "x86_64", BANNER.strip())
    assert host.config.source == f"{root}/boot/config-{RELEASE}"
    assert host.symbols.source == f"{root}/proc/kallsyms"
    assert host.symbols.addresses["_text"] == LINK
    assert host.kaslr_slide == host.symbols.kaslr_slide == SLIDE
    assert host.notes == []


def test_symbols_are_looked_for_only_when_asked_for(lay_out):
    host = find_host(lay_out({"proc/kallsyms": "", f"boot/System.map-{RELEASE}": None}))
    assert host.config.architecture == "x86_64"
    with pytest.raises(LayoutExpertError, match="no symbols"):
        host.symbols


def test_this_machine():
    kernel = find_kernel()
    assert kernel.release == os.uname().release
    assert kernel.banner.startswith(f"Linux version {kernel.release} ")
    assert kernel.architecture
    try:
        host = find_host()
        host.symbols
    except LayoutExpertError as error:
        # It is not everywhere allowed to see all: then the message must help.
        assert str(error).startswith(("no configuration of the running kernel", "no symbols of the running kernel"))
        assert len(error.looked_at) >= 5 and error.next_step
    else:
        assert host.config.architecture == kernel.architecture
        assert host.symbols.addresses["init_task"]


# Release and banner

@pytest.mark.parametrize("banner, release, version, package_version, compiler", [
    (BANNER, RELEASE, "6.1.85", "6.1.85-1", Compiler("gcc", (12, 2, 0))),
    ("Linux version 6.12.9+bpo-amd64 (a@b) (x86_64-linux-gnu-gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) "
     "#1 SMP PREEMPT_DYNAMIC Debian 6.12.9-1~bpo12+1 (2025-01-19)",
     "6.12.9+bpo-amd64", "6.12.9", "6.12.9-1~bpo12+1", Compiler("gcc", (12, 2, 0))),
    ("Linux version 6.5.0-0-amd64 (a@b) (gcc-13 (Debian 13.2.0-4) 13.2.0, GNU ld) #1 SMP Debian 6.5~rc4-1~exp1 (2023)",
     "6.5.0-0-amd64", "6.5.0", "6.5~rc4-1~exp1", Compiler("gcc", (13, 2, 0))),
    ("Linux version 2.6.32-5-amd64 (Debian 2.6.32-48squeeze6) (a@b) (gcc version 4.3.5 (Debian 4.3.5-4) ) #1 SMP",
     "2.6.32-5-amd64", "2.6.32", "2.6.32-48squeeze6", Compiler("gcc", (4, 3, 5))),
    ("Linux version 5.4.0-84-generic (a@b) (gcc version 9.3.0 (Ubuntu 9.3.0-17ubuntu1~20.04)) #94-Ubuntu SMP Thu",
     "5.4.0-84-generic", None, "5.4.0-84.94", Compiler("gcc", (9, 3, 0))),
    ("Linux version 5.15.0-91-generic (a) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, GNU ld) #101~20.04.1-Ubuntu SMP",
     "5.15.0-91-generic", None, "5.15.0-91.101~20.04.1", Compiler("gcc", (11, 4, 0))),
    ("Linux version 4.18.0-553.el8.x86_64 (a@b) (gcc version 8.5.0 20210514 (Red Hat 8.5.0-22) (GCC)) #1 SMP Fri",
     "4.18.0-553.el8.x86_64", None, None, Compiler("gcc", (8, 5, 0))),
    ("Linux version 6.6.1 (a@b) (Ubuntu clang version 14.0.0-1ubuntu1, LLD 14.0.0) #7 SMP Fri",
     "6.6.1", "6.6.1", None, Compiler("clang", (14, 0, 0))),
])
def test_what_a_banner_tells(banner, release, version, package_version, compiler):
    kernel = Kernel.from_banner(banner)
    assert (kernel.release, kernel.version, kernel.package_version) == (release, version, package_version)
    assert kernel.compiler == compiler


def test_what_is_no_banner_is_refused():
    with pytest.raises(LayoutExpertError, match="'Linux rules' is no banner"):
        Kernel.from_banner("Linux rules")


@pytest.mark.parametrize("release, series", [
    ("6.1.0-20-amd64", "6.1"), ("5.4.0-84-generic", "5.4"), ("7.2-rc1", "7.2"), ("2.6.32-5-amd64", "2.6.32")])
def test_the_series_is_what_a_release_says_for_certain(release, series):
    assert Kernel.of_release(release).series == series


def test_ubuntu_tells_upstreams_version_in_a_file_of_its_own(lay_out):
    root = lay_out({"proc/sys/kernel/osrelease": "5.4.0-84-generic", "proc/version":
                    "Linux version 5.4.0-84-generic (a@b) (gcc version 9.3.0 (U)) #94-Ubuntu SMP Thu Aug 26 2021",
                    "proc/version_signature": "Ubuntu 5.4.0-84.94-generic 5.4.133\n"})
    kernel = find_kernel(root)
    assert (kernel.version, kernel.package_version) == ("5.4.133", "5.4.0-84.94")


def test_without_proc_every_place_is_named(tmp_path):
    with pytest.raises(LayoutExpertError) as caught:
        find_host(tmp_path)
    assert "osrelease" in str(caught.value) and "proc/version" in str(caught.value)
    assert caught.value.next_step == "mount /proc"


def test_a_release_that_leads_elsewhere_is_refused(lay_out):
    with pytest.raises(LayoutExpertError, match="is no kernel release"):
        find_host(lay_out({"proc/sys/kernel/osrelease": "6.1/../../etc"}))


def test_the_build_id_tells_builds_apart(lay_out):
    other = struct.pack("=3I", 6, 4, 0x100) + b"Linux\0\0\0" + b"\1\2\3\4"
    build_id = struct.pack("=3I", 4, 20, 3) + b"GNU\0" + bytes(range(20))
    assert find_build_id(lay_out({"sys/kernel/notes": other + build_id})) == bytes(range(20)).hex()
    assert find_build_id(lay_out({"sys/kernel/notes": other})) is None
    assert find_build_id(lay_out({"sys/kernel/notes": build_id[:10]})) is None


# Configuration

@pytest.mark.parametrize("place", [
    "proc/config.gz", "boot/config-{}", "lib/modules/{}/config", "usr/lib/modules/{}/config",
    "usr/lib/ostree-boot/config-{}-0123abcd", "lib/modules/{}/build/.config", "usr/src/linux-headers-{}/.config",
    "usr/src/kernels/{}/.config"])
def test_every_place_of_a_configuration_is_looked_at(lay_out, place):
    place = place.format(RELEASE)
    content = gzip.compress(CONFIG.encode()) if place.endswith("gz") else CONFIG
    root = lay_out({f"boot/config-{RELEASE}": None, place: content})
    assert find_host(root).config.source == f"{root}/{place}"


def test_what_the_kernel_itself_carries_comes_first(lay_out):
    root = lay_out({"proc/config.gz": gzip.compress(CONFIG.encode())})
    assert find_host(root).config.source == f"{root}/proc/config.gz"


@pytest.mark.parametrize("old, new, reason", [
    ("CONFIG_X86_64", "CONFIG_ARM64", "of architecture arm64, not x86_64"),
    ("6.1.85", "5.10.200", "of version 5.10.200"),
    ("6.1.85", "6.1.90", "of version 6.1.90, not 6.1.85"),
    ('LOCALVERSION=""', 'LOCALVERSION="-custom"', "of a build with the local version -custom"),
    ("CONFIG_SMP=y", "", "differs from the kernel in CONFIG_SMP"),
    ("120200", "110300", "of a build with gcc 11.3.0, not gcc 12.2.0"),
    (CONFIG, "garbage", "is no kernel configuration"),
])
def test_a_configuration_that_contradicts_the_kernel_is_passed_over_with_the_reason(lay_out, old, new, reason):
    root = lay_out({f"boot/config-{RELEASE}": CONFIG.replace(old, new)})
    with pytest.raises(LayoutExpertError) as caught:
        find_host(root)
    assert f"{root}/boot/config-{RELEASE}" in str(caught.value) and reason in str(caught.value)
    assert f"{root}/proc/config.gz (absent)" in str(caught.value)
    assert "--config_file_path" in caught.value.next_step
    lay_out({f"boot/config-{RELEASE}": CONFIG.replace(old, new), f"usr/lib/modules/{RELEASE}/config": CONFIG})
    assert find_host(root).config.source == f"{root}/usr/lib/modules/{RELEASE}/config"


def test_the_link_to_the_headers_is_not_followed_to_the_analysts_own(lay_out, tmp_path):
    root = lay_out({f"boot/config-{RELEASE}": None, "usr/src/tree/.config": CONFIG})
    (tmp_path / "lib/modules" / RELEASE).mkdir(parents=True)
    (tmp_path / "lib/modules" / RELEASE / "build").symlink_to("/usr/src/tree")
    assert find_host(root).config.source == f"{root}/usr/src/tree/.config"


# Symbols

def test_hidden_addresses_a_stub_and_no_other_place(lay_out):
    root = lay_out({"proc/kallsyms": zeros(kallsyms()), "proc/sys/kernel/kptr_restrict": "2\n"})
    with pytest.raises(LayoutExpertError) as caught:
        find_host(root).symbols
    line = str(caught.value)
    assert f"{root}/proc/kallsyms (shows only zeros: kernel.kptr_restrict is 2)" in line
    assert f"{root}/boot/System.map-{RELEASE} (is the distribution's stub" in line
    assert f"{root}/usr/lib/debug/boot/System.map-{RELEASE} (absent)" in line
    assert "sysctl kernel.kptr_restrict=1" in caught.value.next_step


def test_a_real_system_map_helps_where_addresses_are_hidden(lay_out):
    root = lay_out({"proc/kallsyms": zeros(kallsyms()), f"usr/lib/debug/boot/System.map-{RELEASE}": SYSTEM_MAP,
                    "proc/kcore": elf_core((LINK + SLIDE, 0x7C00000))})
    host = find_host(root)
    assert host.symbols.source == f"{root}/usr/lib/debug/boot/System.map-{RELEASE}"
    assert host.kaslr_slide == SLIDE
    assert len(host.notes) == 1 and "shows only zeros" in host.notes[0]


def test_a_real_system_map_helps_where_the_kernel_lists_no_data(lay_out):
    root = lay_out({"proc/kallsyms": without_data(kallsyms()), f"boot/System.map-{RELEASE}": SYSTEM_MAP})
    host = find_host(root)
    assert host.symbols.addresses["init_task"] == 0xFFFFFFFF82410940
    assert host.kaslr_slide == SLIDE and "CONFIG_KALLSYMS_ALL" in host.notes[0]


@pytest.mark.parametrize("shown", [without_data, zeros])
def test_a_system_map_of_another_build_is_passed_over(lay_out, shown):
    running = shown(kallsyms().replace("T _text", "T _text\n%016x T new" % (LINK + SLIDE + 4)))
    root = lay_out({"proc/kallsyms": running, f"boot/System.map-{RELEASE}": SYSTEM_MAP})
    with pytest.raises(LayoutExpertError, match=rf"System.map-{RELEASE} \(of another build"):
        find_host(root).symbols


def test_a_system_map_whose_distances_differ_is_passed_over(lay_out):
    moved = SYSTEM_MAP.replace("ffffffff81000040 T twice", "ffffffff81000048 T twice")
    root = lay_out({"proc/kallsyms": without_data(kallsyms()), f"boot/System.map-{RELEASE}": moved})
    with pytest.raises(LayoutExpertError, match=rf"System.map-{RELEASE} \(of another build"):
        find_host(root).symbols


def test_the_slide_is_unknown_where_nothing_tells_it(lay_out):
    assert find_host(lay_out({"proc/kallsyms": zeros(kallsyms())})).kaslr_slide is None


# Whatever evidence says, it ends in an answer or in a line for the user

def only_layout_expert_errors(call):
    try:
        call()
    except LayoutExpertError as error:
        assert "\n" not in str(error)


@given(st.text(alphabet="() #-.,0917~\n\0gc²٣\ud800DebianUbutSMPclgversio")
       | st.just("gcc version %s.1" % ("9" * 5000)))
def test_any_banner(middle):
    only_layout_expert_errors(lambda: Kernel.from_banner(BANNER[:30] + middle + BANNER[60:]).compiler)


@given(st.lists(st.tuples(st.sampled_from(["GCC_VERSION", "CC_IS_GCC", "LOCALVERSION", "SMP", "PHYSICAL_START"]),
                          st.text(alphabet='"\\y0123456789x²-') | st.just("9" * 5000))))
def test_any_configuration(settings):
    text = CONFIG + "".join(f"CONFIG_{name}={value}\n" for name, value in settings)

    def use():
        config = KernelConfig.parse(text, "a test")
        misfit_of(config, Kernel.from_banner(BANNER, "x86_64"))
        text_link_address(config)

    only_layout_expert_errors(use)


# Permissions

@pytest.mark.parametrize("kptr_restrict, status, reason, step", [
    ("2", ROOT_MAY_ALL, "kernel.kptr_restrict is 2", "sysctl kernel.kptr_restrict=1"),
    ("1", MAY_NOTHING, "lacks CAP_SYSLOG", "root"),
    ("2", MAY_NOTHING, "kernel.kptr_restrict is 2 and this process lacks CAP_SYSLOG", "then run it again as root"),
    ("1", ROOT_MAY_ALL, "container", "on the host itself"),
])
def test_why_addresses_are_hidden_and_what_helps(lay_out, kptr_restrict, status, reason, step):
    root = lay_out({"proc/sys/kernel/kptr_restrict": kptr_restrict, "proc/self/status": status})
    found_reason, found_step = why_addresses_are_hidden(root)
    assert reason in found_reason and step in found_step


@pytest.mark.parametrize("files, reason, step", [
    ({}, "CONFIG_PROC_KCORE", "memory image"),
    ({"proc/kcore": b"", "proc/self/status": MAY_NOTHING}, "lacks CAP_SYS_RAWIO", "as root"),
    ({"proc/kcore": b"", "sys/kernel/security/lockdown": "none integrity [confidentiality]\n"},
     "lockdown=confidentiality", "boot without it"),
    ({"proc/kcore": b"", "sys/kernel/security/lockdown": "none [integrity] confidentiality\n"},
     "security module", "memory image"),
])
def test_why_kcore_is_closed_and_what_helps(lay_out, files, reason, step):
    found_reason, found_step = why_kcore_is_closed(lay_out(files))
    assert reason in found_reason and step in found_step


def test_a_container_covers_kcore_with_a_device(lay_out, tmp_path):
    root = lay_out()
    (tmp_path / "proc/kcore").symlink_to("/dev/null")
    os.makedirs(tmp_path / "dev")
    os.mkfifo(tmp_path / "dev/null")
    assert "container" in why_kcore_is_closed(root)[0]


def test_the_level_of_lockdown(lay_out):
    assert lockdown(lay_out()) is None
    assert lockdown(lay_out({"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"})) == "integrity"


# kcore's program headers

DIRECT_MAP, MODULES, VSYSCALL = 0xFFFF888000000000, 0xFFFFFFFFC0000000, 0xFFFFFFFFFF600000


def test_the_text_segment_tells_where_the_kernel_lies(tmp_path):
    path = tmp_path / "kcore"
    path.write_bytes(elf_core((VSYSCALL, 0), (LINK + SLIDE, 0x7C00000), (MODULES, -1), (DIRECT_MAP + 0x1000, 0x1000)))
    assert kcore_text_segment(path) == (LINK + SLIDE, 0x7C00000)


@pytest.mark.parametrize("told", [0, -1])
def test_old_kernels_do_not_tell_the_physical_address(tmp_path, told):
    (tmp_path / "kcore").write_bytes(elf_core((0xFFFFFFFFA0000000, told), (LINK, told)))
    assert kcore_text_segment(tmp_path / "kcore") == (LINK, None)


@pytest.mark.parametrize("content, message", [
    (b"", "is no little-endian ELF64 file"),
    (elf_core((LINK, 0), machine_bits=32), "is no little-endian ELF64 file"),
    (elf_core((DIRECT_MAP, 0)), "has no segment of the kernel's text"),
    (elf_core((LINK, 0), kind=4), "has no segment of the kernel's text"),
    (elf_core((LINK, 0))[:80], "has no segment of the kernel's text"),
])
def test_what_has_no_text_segment_is_refused(tmp_path, content, message):
    (tmp_path / "kcore").write_bytes(content)
    with pytest.raises(LayoutExpertError, match=message):
        kcore_text_segment(tmp_path / "kcore")


def test_a_closed_kcore_says_why(lay_out):
    root = lay_out()
    with pytest.raises(LayoutExpertError, match=r"cannot read .*kcore \(No such file.*CONFIG_PROC_KCORE"):
        kcore_text_segment(f"{root}/proc/kcore", root)


@given(st.data())
def test_any_damage_to_kcores_headers_is_told_as_such(data):
    damaged = bytearray(elf_core((LINK, 0x1000000), (DIRECT_MAP, 0)))
    for offset, value in data.draw(st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)))):
        damaged[offset] = value
    with tempfile.NamedTemporaryFile() as file:
        file.write(damaged[:data.draw(st.integers(0, len(damaged)))])
        file.flush()
        only_layout_expert_errors(lambda: kcore_text_segment(file.name))


# Images


class Image(Memory):
    """Bytes as a memory in one piece, with a record of the most that was read at once."""

    def __init__(self, data, start=0):
        super().__init__(self.read_bytes, [(start, start + len(data))])
        self.data, self.start, self.most = data, start, 0

    def read_bytes(self, address, length):
        self.most = max(self.most, length)
        return self.data[address - self.start:address - self.start + length].ljust(length, b"\0")


PACKED = gzip.compress(CONFIG.encode())
CHUNK = 8 << 20


@pytest.mark.parametrize("offset", [0, 4096, CHUNK - 3, CHUNK, 2 * CHUNK - 7])
def test_the_configuration_in_an_image_is_found_wherever_it_lies(offset):
    image = Image(bytes(offset) + b"IKCFG_ST" + PACKED + b"IKCFG_ED" + bytes(2 * CHUNK + 100 - offset), 0x1000)
    (found, config), = find_configs(image, "mem.img")
    assert found == 0x1000 + offset and config.values == KernelConfig.parse(CONFIG, "").values
    assert config.source == f"mem.img at {found:#x}"
    assert image.most < 2 * CHUNK


def test_a_mark_is_found_across_the_pieces_of_a_memory_and_not_outside_a_part_of_it():
    image = Image(b"IKCFG_ST" + PACKED + b"IKCFG_ED")
    in_pieces = Memory(image.read, [(5, 4096), (0, 5)])
    assert in_pieces.runs == [(0, 4096)]
    assert [place for place, _ in find_configs(in_pieces)] == [0]
    assert not list(find_configs(in_pieces.part(1, 4096))) and in_pieces.part(5000, 6000).runs == []


@pytest.mark.parametrize("content", [
    pytest.param(b"IKCFG_ST" + PACKED[:-9] + b"IKCFG_ED", id="truncated"),
    pytest.param(b"IKCFG_ST" + PACKED + b"elsewhere", id="without its end"),
    pytest.param(b'"IKCFG_ST", "IKCFG_ED"', id="a program that looks for the marks"),
    pytest.param(b"IKCFG_ST" + gzip.compress(b"text") + b"IKCFG_ED", id="something else"),
    pytest.param(b"IKCFG_ST" + gzip.compress(CONFIG.encode() + bytes(100 << 20)) + b"IKCFG_ED", id="bomb"),
])
def test_marks_without_a_configuration_are_passed_over(content):
    image = Image(content + bytes(100) + b"IKCFG_ST" + PACKED + b"IKCFG_ED")
    assert [offset for offset, _ in find_configs(image)] == [len(content) + 100]
