"""Old kernels, 2.6.32 to 4.20, against what gcc makes of the same headers.

LAYOUT_EXPERT_OLD_KERNELS names a folder with the full source of one kernel in each of its folders, as released or with
changes of somebody's own: the truth is gcc on that very tree. Of each tree one Pre-AST is built per architecture. The
tree's own build makes config and generated headers; gcc is today's, and says that it is of a version of that time, as
the banner does that the profile is made with.

LAYOUT_EXPERT_SEED and LAYOUT_EXPERT_RANDCONFIGS are as in test_custom_configs_against_gcc.py.
"""

import os
import tempfile
from pathlib import Path

import pytest

from comparison import Comparison, of_profile
from dwarf import read_records
from kernel_source import CROSS_COMPILE, ROOT, Build, BuildFailed, _run, build_directory, missing_tools, only_what_is_there
from rekall_layout_expert import LayoutExpertError, make_profile
from rekall_layout_expert.kernel_config import KernelConfig
from test_custom_configs_against_gcc import NO_KERNEL_TYPES, RANDCONFIGS, SEED, is_big_endian, pre_ast
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES
from test_record_layout_against_gcc import is_beyond_vtypes

VARIABLE = "LAYOUT_EXPERT_OLD_KERNELS"
FOLDER = os.environ.get(VARIABLE)
TREES = sorted(path.parent for path in Path(FOLDER).glob("*/Makefile")) if FOLDER else []
ARCHITECTURES = ("x86_64", "i386", "arm64", "arm", "s390")
TARGETS = ("defconfig", "allnoconfig", "allmodconfig")
# ARM's defconfig is of one old machine.
ARM_TARGETS = ("multi_v7_defconfig", "omap3_beagle_defconfig", "ixp4xx_defconfig", "s3c2410_defconfig")
REFUSED_WITHOUT = {"arm": ("CONFIG_AEABI", "old ABI"), "s390": ("CONFIG_64BIT", "31 bits")}

COMPILER = (4, 9, 4)
# Kconfig's parser as it was shipped wants C of its time.
HOST_OPTIONS = "-O1 -w -fcommon -fgnu89-inline"
# GCC's plugins are for the compiler's version, which is not what it says.
CONFIG = "# CONFIG_GCC_PLUGINS is not set\n"
# A header that some configs without a firewall cannot include; gcc makes nothing of a root with an error in it.
FOR_FIREWALLS = "#include <net/netfilter/nf_conntrack.h>\n"
# What is left over from the configuration before.
GENERATED = ("include/config/auto.conf", "include/generated/timeconst.h", "include/generated/bounds.h",
             "kernel/.bounds.s.cmd", "kernel/bounds.s")
FEWEST_STRUCTS, FEWEST_MEMBERS = 900, 6500

pytestmark = pytest.mark.slow


def banner(version):
    return "Linux version 0 (a@b) (gcc version %d.%d.%d (GCC) ) #1" % version


class OldBuild(Build):
    """A kernel being configured and its headers generated, by tools that are younger than it."""

    def configure(self, target, seed=0, base=None):
        (self.directory / "all.config").write_text(CONFIG)
        super().configure(target, seed, base)

    def records(self, root=ROOT):
        for name in GENERATED:
            path = self.directory / name
            if path.exists():
                path.unlink()
        self._make("prepare0")
        text = only_what_is_there(Path(root).read_text())
        try:
            return self._compile(text)
        except BuildFailed:
            return self._compile(text.replace(FOR_FIREWALLS, ""))

    def _compile(self, text):
        with tempfile.TemporaryDirectory(dir=str(self.directory)) as scratch:
            unit, object_ = os.path.join(scratch, "root.c"), os.path.join(scratch, "root.o")
            Path(unit).write_text(text)
            _run([*self._compiler(), "-g", "-fno-eliminate-unused-debug-types", "-I", str(self.tree), "-c",
                  "-o", object_, unit], BuildFailed, cwd=self.directory)
            return read_records(object_)

    def _make(self, *arguments):
        compiler = [CROSS_COMPILE[self.architecture] + "gcc", "-std=gnu89", "-fno-pie", "-w"]
        for macro, number in zip(("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__"), COMPILER):
            compiler += ["-U" + macro, "-D%s=%d" % (macro, number)]
        super()._make("CC=" + " ".join(compiler), "HOSTCFLAGS=" + HOST_OPTIONS,
                      "KCONFIG_ALLCONFIG=%s" % (self.directory / "all.config"), *arguments)


@pytest.fixture
def build(tree, architecture):
    if tree is None:
        pytest.skip("no sources of old kernels: %s is not set, or names a folder without any" % VARIABLE)
    missing = missing_tools(architecture)
    if missing:
        pytest.skip("not on this machine: " + ", ".join(missing))
    if not (tree / "arch" / architecture.replace("x86_64", "x86").replace("i386", "x86") / "Makefile").exists():
        pytest.skip("%s is older than %s" % (tree.name, architecture))
    return OldBuild(tree, architecture, build_directory("old-" + tree.name, architecture))


trees = pytest.mark.parametrize("tree", TREES or [None], ids=[tree.name for tree in TREES] or ["none"])
architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.mark.parametrize("target", TARGETS)
@architectures
@trees
def test_configuration_of_the_kernel(build, target, capsys):
    build.configure(target)
    compare(build, target, capsys)


@pytest.mark.parametrize("architecture, target", [("arm", target) for target in ARM_TARGETS])
@trees
def test_configuration_of_an_arm_machine(build, tree, target, capsys):
    if not (tree / "arch/arm/configs" / target).exists():
        pytest.skip("%s has no %s" % (tree.name, target))
    build.configure(target)
    compare(build, target, capsys)


@pytest.mark.parametrize("number", range(RANDCONFIGS))
@architectures
@trees
def test_random_configuration(build, number, capsys):
    build.configure("randconfig", seed=SEED + number)
    compare(build, "randconfig %d" % (SEED + number), capsys)


def compare(build, what, capsys):
    config = KernelConfig.read(build.config)
    program = pre_ast(build.tree, build.architecture)
    symbol, reason = REFUSED_WITHOUT.get(build.architecture, (None, None))
    if symbol and symbol not in config.values:
        with pytest.raises(LayoutExpertError, match=reason):
            make_profile(program, config, banner=banner(COMPILER))
        pytest.skip("%s %s %s is refused: %s" % (build.tree.name, build.architecture, what, reason))
    try:
        records = build.records()
    except BuildFailed as reason:
        pytest.skip("%s %s %s, LAYOUT_EXPERT_SEED=%d: no such kernel can be built: %s" % (
            build.tree.name, build.architecture, what, SEED, reason))
    truth = {name: [record] for name, record in records.items() if name not in NO_KERNEL_TYPES}
    profile = make_profile(program, config, structs="all", banner=banner(COMPILER))
    ours = of_profile(profile, 8 if "CONFIG_64BIT" in config.values else 4, is_big_endian(config))
    comparison = Comparison(ours, truth, OTHER_NAMES, OTHER_MEMBERS)
    comparison.wrong = [difference for difference in comparison.wrong if not is_beyond_vtypes(difference)]
    # What no config defines is left out; that gcc has none of it is what `missing` tells.
    left_out = profile["$METADATA"]["left_out"]
    missing = sorted(truth.keys() - ours.keys())

    with capsys.disabled():
        print("\n%s %s %s: %s; left out: %d; missing: %d" % (
            build.tree.name, build.architecture, what, comparison, len(left_out), len(missing)))
    assert comparison.wrong == []
    assert missing == []
    assert comparison.records >= FEWEST_STRUCTS and comparison.members >= FEWEST_MEMBERS
