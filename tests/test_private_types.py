"""Types of single source files: found in full source only, each taken from its own file, equal to what gcc makes of it."""

import pytest

import btf
from comparison import Comparison, of_profile
from kernel_source import BuildFailed, source_or_skip
from kernels import kernel_or_skip
from rekall_layout_expert import build_pre_ast, make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from test_custom_configs_against_gcc import SEED, build, pre_ast  # noqa: F401: a fixture
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES

# What the smallest of these kernels must have; more types than these are embedded and compared with them.
FEWEST_PRIVATE = 20
# A variable of a record without a tag, which a typedef names for the truth.
OBJECT, ITS_TYPE = "tk_core", "type_of_tk_core"


def write_tree(path, files):
    """A source tree that has just what makes it one, and `files`."""
    files = {
        "Makefile": "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\nEXTRAVERSION =\n",
        "kernel/fork.c": "",
        "arch/x86/include/asm/page.h": "",
        "include/linux/types.h": "typedef unsigned long size_t;\nstruct list_head { struct list_head *next, *prev; };\n",
        **files,
    }
    for name, text in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return path


def profile_of(tree, structs, *options):
    config = "".join("CONFIG_%s=y\n" % name for name in ("X86_64", "64BIT", "CC_IS_GCC", "MODULES", "SYSFS") + options)
    return make_profile(
        build_pre_ast(str(tree)), KernelConfig.parse(config + "CONFIG_GCC_VERSION=120200\n", "config"), None, structs
    )


SECTIONS = """
    #include <linux/types.h>
    struct module_sect_attr { struct list_head list; %s };
    struct module_sect_attrs { size_t count; struct module_sect_attr attrs[]; };
    static int show(struct module_sect_attrs *all) { struct inside { int a; } b; return b.a; }
"""


def test_a_type_of_a_source_file_is_found(tmp_path):
    profile = profile_of(write_tree(tmp_path, {"kernel/module/sysfs.c": SECTIONS % "char name;"}), "module_sect_attrs")
    assert profile["$STRUCTS"]["module_sect_attrs"][0] == 8
    assert profile["$STRUCTS"]["module_sect_attr"][1]["name"] == [16, ["char"]]
    assert profile["$METADATA"]["private"] == {"module_sect_attrs": "kernel/module/sysfs.c"}


def test_what_an_older_kernel_had_elsewhere_is_found_there(tmp_path):
    profile = profile_of(write_tree(tmp_path, {"kernel/module.c": SECTIONS % "char name;"}), "module_sect_attr")
    assert profile["$METADATA"]["private"] == {"module_sect_attr": "kernel/module.c"}


def test_a_file_that_is_not_compiled_gives_no_type(tmp_path):
    tree = write_tree(tmp_path, {"net/packet/af_packet.c": "struct packet_sock { int a; };"})
    assert profile_of(tree, "packet_sock")["$METADATA"]["left_out"] == {
        "packet_sock": "net/packet/af_packet.c is not compiled without CONFIG_PACKET"
    }
    assert profile_of(tree, "packet_sock", "PACKET")["$STRUCTS"]["packet_sock"][0] == 4


def test_a_module_is_compiled_as_one(tmp_path):
    tree = write_tree(tmp_path, {"net/packet/af_packet.c": "struct packet_sock {\n#ifdef MODULE\nlong a;\n#endif\nint b; };"})
    config = "CONFIG_X86_64=y\nCONFIG_64BIT=y\nCONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=120200\nCONFIG_PACKET=m\n"
    profile = make_profile(build_pre_ast(str(tree)), KernelConfig.parse(config, "config"), None, "packet_sock")
    assert profile["$STRUCTS"]["packet_sock"][1]["b"][0] == 8


def test_a_variable_of_a_record_without_a_tag_goes_by_its_name(tmp_path):
    text = "#include <linux/types.h>\nstatic struct { int seq; struct list_head keeper; } tk_core = { 1 };\n"
    profile = profile_of(write_tree(tmp_path, {"kernel/time/timekeeping.c": text}), "tk_core")
    assert profile["$STRUCTS"]["tk_core"] == [24, {"seq": [0, ["int"]], "keeper": [8, ["list_head"]]}]


def test_types_of_one_name_in_two_files_stay_apart(tmp_path):
    """Each file's wanted type embeds its own `work`; the name can be given to one only."""
    tree = write_tree(tmp_path, {
        "kernel/kthread.c": "struct work { char a; };\nstruct kthread { struct work work; int flags; };",
        "kernel/workqueue.c": "struct work { long a; };\nstruct worker { struct work work; int flags; };",
    })  # fmt: skip
    structs = profile_of(tree, "kthread,worker")["$STRUCTS"]
    assert structs["kthread"] == [8, {"work": [0, ["work"]], "flags": [4, ["int"]]}]
    assert structs["worker"] == [16, {"work": [0, ["work@kernel/workqueue.c"]], "flags": [8, ["int"]]}]
    assert structs["work"][0] == 1 and structs["work@kernel/workqueue.c"][0] == 8


def test_the_wanted_type_keeps_its_name_before_one_of_the_headers(tmp_path):
    tree = write_tree(tmp_path, {
        "include/linux/list.h": "struct worker { char small; };\nstruct holder { struct worker w, *next; };",
        "kernel/workqueue.c": "struct worker { long large; };",
    })  # fmt: skip
    structs = profile_of(tree, "all")["$STRUCTS"]
    assert structs["worker"] == [8, {"large": [0, ["long"]]}]
    assert structs["worker@headers"] == [1, {"small": [0, ["char"]]}]
    assert structs["holder"][1]["w"] == [0, ["worker@headers"]]
    assert structs["holder"][1]["next"] == [8, ["Pointer", {"target": "worker@headers"}]]


def test_a_headers_package_says_where_a_private_type_is(tmp_path):
    tree = write_tree(tmp_path, {})
    (tree / "kernel/fork.c").unlink()
    left_out = profile_of(tree, "mount,module_sect_attrs")["$METADATA"]["left_out"]
    assert left_out["mount"] == "private to fs/mount.h, which a headers package lacks; full source has it"
    assert left_out["module_sect_attrs"].startswith("private to kernel/module/sysfs.c or kernel/module.c, ")


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("series", ["5.10", pytest.param("6.1", marks=pytest.mark.ci), "6.12", "7.2"])
def test_they_are_what_the_kernel_says(series, capsys):
    """From Debian's source, with Debian's config, against the BTF of Debian's kernel: what is built in, that is."""
    kernel = kernel_or_skip(series)
    profile = make_profile(pre_ast(source_or_skip(series), "x86_64"), str(kernel.config), None, structs="all")
    private = profile["$METADATA"]["private"]
    truth = btf.structs(btf.section_of(kernel.vmlinuz))
    comparison = Comparison(of_profile(profile), truth, OTHER_NAMES, OTHER_MEMBERS)
    told = sorted(private.keys() & truth.keys())
    with capsys.disabled():
        print("\n%s: %d of %d private types are in BTF; %s" % (kernel.release, len(told), len(private), comparison))
    assert comparison.wrong == []
    assert len(told) >= FEWEST_PRIVATE - 6 and len(private) >= FEWEST_PRIVATE


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("target", ["defconfig", "allyesconfig", "allmodconfig", "randconfig"])
@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12", "7.2"])
def test_they_are_what_gcc_makes_of_their_files(build, series, architecture, target, tmp_path, capsys):  # noqa: F811
    build.configure(target, seed=SEED)
    try:
        compare_files(build, "%s %s %s, LAYOUT_EXPERT_SEED=%d" % (series, architecture, target, SEED), tmp_path, capsys)
    except BuildFailed as reason:
        pytest.skip("no kernel can be built with LAYOUT_EXPERT_SEED=%d: %s" % (SEED, reason))


def compare_files(build, what, tmp_path, capsys):  # noqa: F811
    program = pre_ast(build.tree, build.architecture)
    config = KernelConfig.read(build.config)
    private = records = members = 0
    for path, symbols, names in program.header["private"]:
        if not all(symbol in config.values for symbol in symbols):
            continue
        unit = tmp_path / "unit.c"
        unit.write_text('#include "%s"\n%s' % (path, "typedef __typeof__(%s) %s;\n" % (OBJECT, ITS_TYPE) if OBJECT in names else ""))
        truth = {name: [record] for name, record in build.records(unit).items()}
        truth[OBJECT] = truth.pop(ITS_TYPE, [])
        profile = make_profile(program, config, None, names)
        ours = of_profile(profile, 8 if "CONFIG_64BIT" in config.values else 4)
        comparison = Comparison(ours, truth, OTHER_NAMES, OTHER_MEMBERS)
        assert comparison.wrong == [], path
        assert [name for name in names if truth.get(name) and name not in ours] == [], path
        private += len(profile["$METADATA"]["private"])
        records += comparison.records
        members += comparison.members
    with capsys.disabled():
        print("\n%s: %d private types; %d structs and %d members; 0 differences" % (what, private, records, members))
    assert private >= FEWEST_PRIVATE // 2
