"""Kernel configurations: what is read from them, and what follows about the kernel."""

import gzip

import pytest

from kernels import kernel_or_skip
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import Compiler, KernelConfig

CONFIG = '''#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.1.90 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=120200
CONFIG_CLANG_VERSION=0
CONFIG_X86_64=y
CONFIG_MODULE_FORMAT=m
CONFIG_HZ=250
CONFIG_PHYSICAL_START=0x1000000
CONFIG_LOCALVERSION="-\\"x\\""
# CONFIG_LOCALVERSION_AUTO is not set
CONFIG_OFF=n
'''


def parse(text):
    return KernelConfig.parse(text, "a test")


def test_values_are_kept_as_written_and_what_is_off_is_absent():
    values = parse(CONFIG).values
    assert values["CONFIG_X86_64"] == "y" and values["CONFIG_MODULE_FORMAT"] == "m"
    assert values["CONFIG_HZ"] == "250" and values["CONFIG_PHYSICAL_START"] == "0x1000000"
    assert values["CONFIG_LOCALVERSION"] == r'"-\"x\""'
    assert "CONFIG_LOCALVERSION_AUTO" not in values and "CONFIG_OFF" not in values


def test_text_is_a_string_without_quotes():
    assert parse(CONFIG).text("CONFIG_LOCALVERSION") == '-"x"'
    assert parse(CONFIG).text("CONFIG_NOT_THERE") == ""


def test_line_ends_of_other_systems_do_not_matter():
    assert parse(CONFIG.replace("\n", "\r\n")).values == parse(CONFIG).values


@pytest.mark.parametrize("head, release", [
    ("# Linux/x86 6.1.90 Kernel Configuration", "6.1.90"),
    ("# Linux/x86_64 3.10.0-1160.el7.x86_64 Kernel Configuration", "3.10.0-1160.el7.x86_64"),
    ("# Linux kernel version: 2.6.32", "2.6.32"),
    ("# Something else", None),
])
def test_the_release_is_in_the_head_comment(head, release):
    assert parse(f"#\n{head}\n#\nCONFIG_X86=y\n").release == release


@pytest.mark.parametrize("symbols, architecture", [
    ("X86 X86_64", "x86_64"), ("X86 X86_32", "i386"), ("ARM64", "arm64"), ("ARM", "arm"), ("MIPS", "mips"),
    ("PPC PPC64", "powerpc"), ("S390", "s390"), ("RISCV", "riscv"), ("X86_64 UML", "um"), ("FUTURE", None),
])
def test_the_architecture_is_named_as_the_kernel_names_it(symbols, architecture):
    assert parse("".join(f"CONFIG_{name}=y\n" for name in symbols.split())).architecture == architecture


@pytest.mark.parametrize("lines, compiler", [
    ("CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=120200\nCONFIG_CLANG_VERSION=0", Compiler("gcc", (12, 2, 0))),
    ("CONFIG_CC_IS_CLANG=y\nCONFIG_GCC_VERSION=0\nCONFIG_CLANG_VERSION=140006", Compiler("clang", (14, 0, 6))),
    ("CONFIG_X86=y", None),
])
def test_the_compiler_is_recorded_since_4_18(lines, compiler):
    assert parse(lines).compiler == compiler


def test_the_digest_is_of_what_is_configured_and_nothing_else():
    reordered = "# a comment\n" + "\n".join(reversed(CONFIG.splitlines()))
    assert KernelConfig.parse(reordered, "elsewhere").digest == parse(CONFIG).digest
    assert parse(CONFIG.replace("HZ=250", "HZ=100")).digest != parse(CONFIG).digest
    assert parse(CONFIG.replace("CONFIG_HZ=250\n", "")).digest != parse(CONFIG).digest


@pytest.mark.parametrize("text", ["", "\0\1\2", "# CONFIG_X is not set\n", "#define CONFIG_X 1\n"])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(LayoutExpertError, match="a test is no kernel configuration"):
        parse(text)


def test_reads_plain_and_compressed_files(tmp_path):
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "config.gz").write_bytes(gzip.compress(CONFIG.encode()))
    plain, packed = KernelConfig.read(tmp_path / "config"), KernelConfig.read(tmp_path / "config.gz")
    assert plain.values == packed.values == parse(CONFIG).values
    assert packed.source == str(tmp_path / "config.gz")


@pytest.mark.network
def test_a_distributions_configuration():
    kernel = kernel_or_skip("6.1")
    config = KernelConfig.read(kernel.config)
    assert config.architecture == "x86_64" and config.release.startswith("6.1.")
    assert config.compiler.name == "gcc" and config.compiler.version >= (12, 2, 0)
    lines = kernel.config.read_text().splitlines()
    assert len(config.values) == sum(line.startswith("CONFIG_") for line in lines) > 5000
