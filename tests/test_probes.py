"""What old Makefiles found out about the compiler: from config, banner and symbols, or refused."""

import pytest

from rekall_layout_expert import LayoutExpertError, make_profile
from rekall_layout_expert.kernel_config import KernelConfig, compiler_of
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.profile.kernel import Kernel
from rekall_layout_expert.profile.probes import probed_macros
from rekall_layout_expert.profile.symbols import Symbols

ASM_GOTO = "CC_HAVE_ASM_GOTO"
JUMP_LABELS = "CONFIG_JUMP_LABEL=y\n"
WITH = Symbols({"jump_label_lock": 0xffffffff81000010}, "System.map")
WITHOUT = Symbols({"_text": 0xffffffff81000000}, "System.map")


def found(passed, config, banner=None, symbols=None):
    return probed_macros([passed], KernelConfig.parse("CONFIG_X86_64=y\n" + config, "config"),
                         compiler_of("Linux version 4.4.0 (a@b) (%s)" % banner) if banner else None,
                         symbols)


@pytest.mark.parametrize("banner, symbols, has", [
    ("gcc version 4.8.0 (x)", None, True),
    ("gcc version 12.2.0 (x)", WITHOUT, True),
    ("clang version 9.0.0 (x)", None, True),
    ("gcc version 4.7.3 (x)", WITH, True),
    ("gcc version 4.4.7 20120313 (Red Hat 4.4.7-23)", WITH, True),
    ("gcc version 4.4.5 (Debian 4.4.5-8)", WITHOUT, False),
    ("clang version 8.0.0 (x)", WITHOUT, False),
    (None, WITH, True),
    (None, WITHOUT, False),
])
def test_asm_goto_where_static_key_depends_on_it(banner, symbols, has):
    assert found(ASM_GOTO, JUMP_LABELS, banner, symbols) == ({ASM_GOTO: "1"} if has else {})


@pytest.mark.parametrize("banner, named", [(None, "the kernel's compiler"), ("gcc version 4.4.7 (x)", "gcc 4.4.7")])
def test_asm_goto_of_which_nothing_tells_is_refused(banner, named):
    with pytest.raises(LayoutExpertError, match="whether %s had asm goto.*; give the kernel's symbols" % named):
        found(ASM_GOTO, JUMP_LABELS, banner)


def test_asm_goto_is_nobody_s_matter_without_jump_labels():
    assert found(ASM_GOTO, "") == {}


@pytest.mark.parametrize("passed, config, banner, macros", [
    ("CONFIG_CC_STACKPROTECTOR", "CONFIG_CC_STACKPROTECTOR_AUTO=y\n", None, 1),
    ("CONFIG_CC_STACKPROTECTOR", "CONFIG_CC_STACKPROTECTOR_STRONG=y\n", None, 1),
    ("CONFIG_CC_STACKPROTECTOR", "CONFIG_CC_STACKPROTECTOR_NONE=y\n", None, 0),
    ("__PACK_STACK", "CONFIG_PACK_STACK=y\n", None, 1),
    ("__PACK_STACK", "", None, 0),
    ("__SMALL_STACK", "CONFIG_SMALL_STACK=y\n", None, 1),
    ("CONFIG_ARCH_SUPPORTS_INT128", "", "gcc version 5.4.0 (x)", 1),
    ("CONFIG_ARCH_SUPPORTS_INT128", "", "gcc version 4.9.4 (x)", 0),
])
def test_other_probes(passed, config, banner, macros):
    assert found(passed, config, banner) == {passed: "1"}.fromkeys([passed][:macros], "1")


def test_only_what_the_makefiles_pass_is_passed():
    """4.15 has CONFIG_CC_STACKPROTECTOR in its config, 4.20 has STACKPROTECTOR: neither Makefile passes it."""
    assert found("OTHER", "CONFIG_CC_STACKPROTECTOR_STRONG=y\nCONFIG_PACK_STACK=y\n" + JUMP_LABELS) == {}


def test_what_the_makefiles_pass_is_in_the_pre_ast(tmp_path):
    asm = tmp_path / "tree/arch/x86/include/asm"
    asm.mkdir(parents=True)
    (asm / "page.h").write_text("#ifdef CC_HAVE_ASM_GOTO\nstruct with { int a; };\n#else\nstruct without { int a; };\n#endif\n")
    (tmp_path / "tree/Makefile").write_text(
        "VERSION = 4\nPATCHLEVEL = 4\nSUBLEVEL = 1\n\tKBUILD_CFLAGS += -DCC_HAVE_ASM_GOTO\n# not-Dthis\n")
    (tmp_path / "tree/arch/x86/Makefile").write_text("KBUILD_CFLAGS += $(call as-instr,nop,-DCONFIG_AS_NOP=1)\n")
    (tmp_path / "root.c").write_text("#include <asm/page.h>\n")
    pre_ast = build_pre_ast(str(tmp_path / "tree"), root=str(tmp_path / "root.c"))
    assert pre_ast.header["options"]["passed"] == ["CC_HAVE_ASM_GOTO", "CONFIG_AS_NOP"]
    for banner, name in (("gcc version 4.9.2 (x)", "with"), ("gcc version 4.1.2 (x)", "without")):
        kernel = Kernel(pre_ast, KernelConfig.parse("CONFIG_X86_64=y\n", "config"), compiler=compiler_of(banner))
        kernel.read_types()
        kernel.scope.read_all()
        assert kernel.scope.record_names() == [name]


def test_packed_bit_fields_of_an_old_kernel_that_gcc_before_4_4_may_have_built(tmp_path):
    asm = tmp_path / "tree/arch/x86/include/asm"
    asm.mkdir(parents=True)
    (asm / "page.h").write_text("struct moves { char a : 6; char b : 4; } __attribute__((packed));\n"
                                "struct stays { char a : 4; char b : 4; } __attribute__((packed));\n")
    (tmp_path / "tree/Makefile").write_text("VERSION = 2\nPATCHLEVEL = 6\nSUBLEVEL = 32\n")
    (tmp_path / "root.c").write_text("#include <asm/page.h>\n")
    pre_ast = build_pre_ast(str(tmp_path / "tree"), root=str(tmp_path / "root.c"))
    config = KernelConfig.parse("CONFIG_X86_64=y\n", "config")
    for banner, bit in (("(gcc version 4.4.5 (x))", 6), ("(gcc version 4.3.2 (x))", 8), ("(gcc version 3.4.6 (x))", None), (None, None)):
        profile = make_profile(pre_ast, config, structs="all", banner=banner and "Linux version 2.6.32 " + banner)
        assert "stays" in profile["$STRUCTS"]
        if bit is None:
            assert "moves" not in profile["$STRUCTS"] and "GCC 4.4 changed" in profile["$METADATA"]["left_out"]["moves"]
        else:
            offset, (_, place) = profile["$STRUCTS"]["moves"][1]["b"]
            assert 8 * offset + place["start_bit"] == bit
