"""Pre-ASTs that are not of the kernel's build, held against its BTF: what differs is taken out, and what stays is right.

Debian's other builds of 6.1 that its archive still has, and the tree of the very version with other patches on it.
"""
import re

import pytest

import btf
from comparison import Comparison, of_profile
from kernels import SUITES, Unavailable, kernel_or_skip, pre_ast, suite
from rekall_layout_expert import make_profile
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.pre_ast.package import package_version_of
from rekall_layout_expert.supply.matching import Level, Origin, match_of
from rekall_layout_expert.verification.verify import verify_by_btf
from test_kernels_against_btf import OTHER_MEMBERS, OTHER_NAMES

SERIES = "6.1"

pytestmark = [pytest.mark.network, pytest.mark.slow]


def other_builds():
    """The releases of Debian's builds of the series for amd64, the oldest first."""
    try:
        names = suite(SUITES[SERIES]).run("apt-cache", "pkgnames", f"linux-headers-{SERIES}.0-").split()
    except Unavailable as reason:
        pytest.skip(str(reason))
    releases = [match.group(1) for match in (re.match(r"linux-headers-(\S+-\d+-amd64)\Z", name) for name in names) if match]
    return sorted(releases, key=lambda release: int(release.split("-")[1]))


def tree_of(release):
    return suite(SUITES[SERIES]).unpacked(f"linux-headers-{release}") / "usr/src" / f"linux-headers-{release}"


def verified(other):
    """(names refused, names that stayed) of the current kernel's profile, made with another Pre-AST."""
    kernel = kernel_or_skip(SERIES)
    config = KernelConfig.read(kernel.config)
    config.release = None  # which would refuse another version
    made = make_profile(other, config)
    section = btf.section_of(kernel.vmlinuz)
    wrong = {each.record for each in Comparison(of_profile(made), btf.structs(section), OTHER_NAMES, OTHER_MEMBERS).wrong}
    before = set(made["$STRUCTS"])
    verify_by_btf(made, section, only_verified=True)
    stayed = Comparison(of_profile(made), btf.structs(section), OTHER_NAMES, OTHER_MEMBERS)
    assert not stayed.wrong and wrong <= set(made["$METADATA"]["verified"]["refused"])
    print(f"{len(before)} structs, {len(wrong)} wrong, {len(made['$METADATA']['verified']['refused'])} taken out: {sorted(wrong)}")
    return made["$METADATA"]["verified"]["refused"], set(made["$STRUCTS"])


def current():
    kernel = kernel_or_skip(SERIES)
    found = Kernel.of_release(kernel.release)
    package = package_version_of(kernel.tree)
    return found._replace(package_version=package, version=package.partition("-")[0])


def test_another_point_version_of_the_distribution():
    release = other_builds()[0]
    other = pre_ast(tree_of(release))
    if other.header["version"] == current().version:
        pytest.skip("the archive has builds of one version only")
    assert match_of(current(), Origin.of(other)).level is None
    refused, stayed = verified(other)
    assert refused and len(stayed) > 100


def test_another_build_of_the_same_version():
    candidates = [pre_ast(tree_of(release)) for release in other_builds()[-2:-1]]
    others = [other for other in candidates if other.header["version"] == current().version]
    if not others:
        pytest.skip("the archive has only one build of this version")
    assert match_of(current(), Origin.of(others[0])).level is Level.DISTRIBUTION
    verified(others[0])


def test_the_same_version_with_other_patches():
    other = pre_ast(kernel_or_skip(SERIES, "rt-amd64").tree)
    assert match_of(current(), Origin.of(other)).level is None
    refused, stayed = verified(other)
    assert refused and len(stayed) > 100
