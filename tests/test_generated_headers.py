"""The headers that the kernel's build generates, made from a config: autoconf.h, timeconst.h, bounds.h, cpufeaturemasks.h.

Debian's headers packages hold the ones of their own flavour's build: those are the truth here, and never an input.
"""
import re

import pytest

import header_trees
import kernels
from header_trees import CONFIG
from rekall_layout_expert import build_pre_ast, make_profile
from rekall_layout_expert.c_tokens import tokenize
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.preprocessor.generated import config_macros, timeconst
from rekall_layout_expert.profile.kernel import Kernel

SERIES = ("5.10", "6.1", "6.12", "7.2")
FLAVOURS = [(series, flavour, "amd64") for series in SERIES for flavour in ("amd64", "cloud-amd64", "rt-amd64")]
FLAVOURS.append(("6.1", "686-pae", "i386"))
QUICK = [("6.1", "amd64", "amd64"), ("6.1", "cloud-amd64", "amd64"), ("7.2", "amd64", "amd64")]
DEFINE = re.compile(r"^#define[ \t]+(\w+)(?:\(\w*\))?[ \t]+(.*?)[ \t]*(?:/\*.*\*/[ \t]*)?$", re.MULTILINE)


def defines(text):
    """{name: replacement} of a generated header, without its guard."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*/\*.*?\*/", "", text, flags=re.MULTILINE | re.DOTALL))
    return dict(DEFINE.findall(text))


# autoconf.h

@pytest.mark.parametrize("line, macro", [
    ("CONFIG_A=y", ("CONFIG_A", "1")),
    ("CONFIG_A=m", ("CONFIG_A_MODULE", "1")),
    ("CONFIG_A=64", ("CONFIG_A", "64")),
    ("CONFIG_A=-1", ("CONFIG_A", "-1")),
    ("CONFIG_A=0xffffffff81000000", ("CONFIG_A", "0xffffffff81000000")),
    ('CONFIG_A="text"', ("CONFIG_A", '"text"')),
    ('CONFIG_A=""', ("CONFIG_A", '""')),
    (r'CONFIG_A="a \"quoted\" \\ word"', ("CONFIG_A", r'"a \"quoted\" \\ word"')),
    ('CONFIG_A="y"', ("CONFIG_A", '"y"')),
])
def test_a_symbol_becomes_a_macro(line, macro):
    values = KernelConfig.parse(line + "\nCONFIG_B=y\n", "config").values
    assert config_macros(values) == dict([macro, ("CONFIG_B", "1")])


@pytest.mark.parametrize("line", ["# CONFIG_A is not set", "CONFIG_A=n", "# CONFIG_A=y", ""])
def test_what_is_not_set_is_no_macro(line):
    assert config_macros(KernelConfig.parse(line + "\nCONFIG_B=y\n", "config").values) == {"CONFIG_B": "1"}


def struct_of(tmp_path, member, config=CONFIG, files=None):
    """The vtypes of `struct s { MEMBER };` in a tree with that config."""
    tree = header_trees.package(tmp_path / "tree", files or {})
    (tmp_path / "root.c").write_text("struct s {\n%s\n};\n" % member)
    pre_ast = build_pre_ast(tree, root=tmp_path / "root.c")
    return make_profile(pre_ast, KernelConfig.parse(config, "config"), structs="s")


def test_the_config_is_the_host_s_and_a_module_counts_as_such(tmp_path):
    # linux/kconfig.h's IS_ENABLED, IS_BUILTIN and IS_MODULE rest on both spellings.
    member = """#if defined(CONFIG_A) || defined(CONFIG_A_MODULE)
        char a[CONFIG_COUNT];
        #endif
        #ifdef CONFIG_A
        char built_in;
        #endif"""
    made = struct_of(tmp_path, member, CONFIG + "CONFIG_A=m\nCONFIG_COUNT=0x20\n")
    assert list(made["$STRUCTS"]["s"][1]) == ["a"] and made["$STRUCTS"]["s"][0] == 32


# timeconst.h

@pytest.mark.parametrize("hz", [24, 48, 100, 122, 128, 200, 250, 256, 300, 500, 512, 1000, 1024, 1200])
@pytest.mark.parametrize("unit, per_second", [("MSEC", 1000), ("USEC", 1_000_000)])
def test_times_are_converted_exactly(hz, unit, per_second):
    """What kernel/time/time.c computes with the constants, which is a division rounded up, without dividing."""
    macros = {name: int(re.sub(r"U64_C\((\w+)\)", r"\1", value), 0) for name, value in timeconst(hz).items()}
    for name, numerator, denominator in ((unit + "_TO_HZ", hz, per_second), ("HZ_TO_" + unit, per_second, hz)):
        multiplier, adjust, shift = (macros[name + part] for part in ("_MUL32", "_ADJ32", "_SHR32"))
        assert 1 << 31 <= multiplier < 1 << 32
        assert macros[name + "_NUM"] * denominator == macros[name + "_DEN"] * numerator
        for time in [*range(0, 3000, 7), denominator, denominator + 1]:
            assert (time * multiplier + adjust) >> shift == -(-time * numerator // denominator)


# Real packages: one Pre-AST for all flavours that share their headers.

@pytest.fixture(scope="module")
def pre_ast_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("root") / "root.c"
    root.write_text("#include <generated/bounds.h>\n#include <generated/timeconst.h>\n#include <asm/cpufeaturemasks.h>\n")
    built = {}

    def pre_ast_of(kernel, arch):
        key = kernel.common.name, arch
        if key not in built:
            built[key] = build_pre_ast(kernel.tree, arch, root)
        return built[key]
    return pre_ast_of


@pytest.fixture(params=[pytest.param(each, id=" ".join(each), marks=() if each in QUICK else (pytest.mark.slow, pytest.mark.ci))
                        for each in FLAVOURS])
def package(request, pre_ast_of):
    """(KernelConfig, path of the tree, the macros that stand for the config) of a real kernel's headers."""
    series, flavour, architecture = request.param
    try:
        kernel = kernels.kernel(series, flavour, architecture)
        tree = kernel.tree
    except kernels.Unavailable as reason:
        pytest.skip("no headers of Linux %s %s: %s" % (series, flavour, reason))
    config = KernelConfig.read(tree / ".config")
    arch = {"amd64": "x86_64", "i386": "i386"}[architecture]
    return config, tree, Kernel(pre_ast_of(kernel, arch), config).unit.macros


def compare(truth, macros):
    """Every macro of a header against ours, token by token."""
    assert truth
    ours = {name: macros.lookup(name) for name in truth}
    assert {name: macro and spelled(macro.body) for name, macro in ours.items()} \
        == {name: spelled(body) for name, body in truth.items()}


def spelled(body):
    """Its tokens. Kconfig writes a hexadecimal symbol's 0 as 0x0, and the config does not say which symbols are such."""
    return ["0" if token == "0x0" else token for token in tokenize(body)]


def test_the_generated_headers_of_real_kernels(package):
    config, tree, macros = package
    generated = tree / "include/generated"
    compare(defines((generated / "autoconf.h").read_text()), macros)
    compare(defines((generated / "timeconst.h").read_text()), macros)
    bounds = defines((generated / "bounds.h").read_text())
    assert bounds.keys() >= {"NR_PAGEFLAGS", "MAX_NR_ZONES", "SPINLOCK_SIZE"}
    compare(bounds, macros)
    masks = next(tree.glob("arch/x86/include/generated/asm/cpufeaturemasks.h"), None)
    if masks is None:  # before 6.15 the kernel's own headers say what is in it
        return
    masks = masks.read_text()
    compare({name: body for name, body in defines(masks).items() if "BIT_SET" not in name}, macros)
    for name in ("REQUIRED_MASK_BIT_SET", "DISABLED_MASK_BIT_SET"):
        parameter = re.search(name + r"\((\w+)\)", masks).group(1)
        assert macros.lookup(name).parameters == [parameter]
        compare({name: defines(masks)[name]}, macros)


# bounds.h

def test_bounds_are_computed_for_the_config(tmp_path):
    member = "#include <generated/bounds.h>\nchar zones[MAX_NR_ZONES]; char flags[NR_PAGEFLAGS];"
    for symbols, zones, flags in (("", 2, 2), ("CONFIG_HIGHMEM=y\n", 3, 2), ("CONFIG_HIGHMEM=y\nCONFIG_MMU=y\n", 3, 3)):
        made = struct_of(tmp_path, member, CONFIG + symbols)["$STRUCTS"]["s"]
        assert [made[1][name][1][1]["count"] for name in ("zones", "flags")] == [zones, flags]


def test_bounds_of_full_source_come_from_kernel_bounds_c(tmp_path):
    tree = header_trees.full_source(tmp_path / "tree")
    (tmp_path / "root.c").write_text("#include <generated/bounds.h>\nstruct s { char flags[NR_PAGEFLAGS]; };\n")
    pre_ast = build_pre_ast(tree, root=tmp_path / "root.c")
    made = make_profile(pre_ast, KernelConfig.parse(CONFIG + "CONFIG_MMU=y\n", "config"), structs="s")
    assert made["$STRUCTS"]["s"][0] == 3


def test_a_bound_that_cannot_be_computed_is_named(tmp_path):
    bounds = "#define MAX_NR_ZONES 5 /* __MAX_NR_ZONES */\n#define UNHEARD_OF 7 /* sizeof(struct unheard_of) */\n"
    with pytest.raises(LayoutExpertError, match="UNHEARD_OF of the kernel's bounds.h cannot be computed: struct unheard_of"):
        struct_of(tmp_path, "#include <generated/bounds.h>\nint a;", files={"include/generated/bounds.h": bounds})


# Others

def test_what_cannot_be_made_from_the_config_is_never_another_build_s(tmp_path):
    files = {"include/generated/asm-offsets.h": "#define TASK_SIZE_OF_ANOTHER 640\n"}
    made = struct_of(tmp_path, "#include <generated/asm-offsets.h>\nchar a[TASK_SIZE_OF_ANOTHER];", files=files)
    assert "s" not in made["$STRUCTS"] and "TASK_SIZE_OF_ANOTHER" in made["$METADATA"]["left_out"]["s"]


@pytest.mark.parametrize("hz", ["0", "text", "-1", '"250"', "99999999999999999999999"])
def test_a_timer_frequency_that_is_none(tmp_path, hz):
    try:
        struct_of(tmp_path, "#include <generated/timeconst.h>\nint a;", CONFIG.replace("CONFIG_HZ=250", "CONFIG_HZ=" + hz))
    except LayoutExpertError as error:
        assert "CONFIG_HZ" in str(error)
