"""Which build of the kernel it is, and how well headers match it. The releases and banners are those of real kernels."""
import pytest

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.supply.identification import build_of, completed
from rekall_layout_expert.supply.matching import Level, Match, Origin, match_of

EXACT, DISTRIBUTION, UPSTREAM = Level

DEBIAN = ("Linux version 6.1.0-47-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld "
          "(GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.170-3 (2026-05-08)")
UBUNTU = ("Linux version 5.15.0-91-generic (buildd@lcy02-amd64-045) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, GNU ld (GNU "
          "Binutils for Ubuntu) 2.38) #101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023")
ROCKY = ("Linux version 5.14.0-427.13.1.el9_4.x86_64 (mockbuild@iad1-prod-build001.bld.equ.rockylinux.org) (gcc (GCC) 11.4.1 "
         "20231218 (Red Hat 11.4.1-3), GNU ld version 2.35.2-43.el9) #1 SMP PREEMPT_DYNAMIC Wed May 1 19:11:28 UTC 2024")
ARCH_LTS = "Linux version 6.1.69-1-lts (linux-lts@archlinux) (gcc (GCC) 13.2.1 20230801, GNU ld 2.41.0) #1 SMP Thu, 21 Dec 2023"
ALPINE = "Linux version 6.6.7-1-lts (buildozer@build-3-19-x86_64) (gcc (Alpine 13.2.1_git20231014) 13.2.1) #2-Alpine SMP x"

SELF_BUILT = ("Linux version 4.19.222 (someone@somewhere) (gcc version 12.2.0 (Debian 12.2.0-14+deb12u1)) #1 SMP "
              "Sun Nov 22 23:51:28 UTC 2026")


# Who built it, and from what

@pytest.mark.parametrize("banner_or_release, build", [
    (DEBIAN, ("debian", "6.1.170-3", "6.1.170", "debian 6.1.170")),
    (DEBIAN.replace("6.1.0-47-amd64", "6.1.0-47-rt-amd64"), ("debian", "6.1.170-3", "6.1.170", "debian-rt 6.1.170")),
    (DEBIAN.replace("6.1.0-47-amd64", "6.1.0-47-cloud-amd64"), ("debian", "6.1.170-3", "6.1.170", "debian 6.1.170")),
    ("6.12.57+deb13-amd64", ("debian", None, "6.12.57", "debian 6.12.57")),
    ("6.12.57+deb13-rt-amd64", ("debian", None, "6.12.57", "debian-rt 6.12.57")),
    ("6.1.0-47-amd64", ("debian", None, None, "debian 6.1.0-47-amd64")),
    (UBUNTU, ("ubuntu", "5.15.0-91.101", None, "ubuntu 5.15.0-91")),
    (UBUNTU.replace("-generic", "-aws").replace("#101-", "#98~20.04.1-"),
     ("ubuntu", "5.15.0-91.98~20.04.1", None, "ubuntu-aws 5.15.0-91")),
    ("5.4.0-84-generic", ("ubuntu", None, None, "ubuntu 5.4.0-84")),
    (ROCKY, ("rocky", "5.14.0-427.13.1.el9_4", None, "el9 5.14.0-427")),
    ("5.14.0-427.13.1.el9_4.x86_64", ("rhel", "5.14.0-427.13.1.el9_4", None, "el9 5.14.0-427")),
    ("4.18.0-553.rt7.342.el8_10.x86_64", ("rhel", "4.18.0-553.rt7.342.el8_10", None, "el8-rt7.342 4.18.0-553")),
    ("3.10.0-1160.el7.x86_64", ("rhel", "3.10.0-1160.el7", None, "el7 3.10.0-1160")),
    ("6.6.9-200.fc39.x86_64", ("fedora", "6.6.9-200.fc39", "6.6.9", "fedora 6.6.9")),
    ("6.4.0-150600.21-default", ("suse", None, None, "suse 6.4.0-150600")),
    ("6.6.7-1-default", ("suse", None, "6.6.7", "suse 6.6.7")),
    ("6.6.8-arch1-1", ("arch", None, "6.6.8", "arch 6.6.8")),
    ("6.6-arch1-1", ("arch", None, "6.6.0", "arch 6.6.0")),
    ("6.6.8-zen1-1-zen", ("arch", None, "6.6.8", "arch-zen 6.6.8")),
    (ARCH_LTS, ("arch", None, "6.1.69", "arch 6.1.69")),
    (ALPINE, ("alpine", None, "6.6.7", "alpine 6.6.7")),
    ("6.6.7-0-virt", ("alpine", None, "6.6.7", "alpine 6.6.7")),
    ("6.1.69-1-lts", (None, None, "6.1.69", None)),  # Arch's or Alpine's
    ("6.6.8", (None, None, "6.6.8", None)),
    (SELF_BUILT, (None, None, "4.19.222", None)),  # with Debian's compiler
    ("6.6.8-custom", (None, None, "6.6.8", None)),
    ("6.6.0-rc4", (None, None, "6.6.0", None)),
])
def test_who_built_it_and_from_what(banner_or_release, build):
    assert build_of(Kernel.from_banner(banner_or_release) if " " in banner_or_release
                    else Kernel.of_release(banner_or_release)) == build


def config(text):
    return KernelConfig.parse("CONFIG_SMP=y\n" + text, "config") if "#" not in text \
        else KernelConfig.parse(text + "\nCONFIG_SMP=y\n", "config")


@pytest.mark.parametrize("kernel, text, version", [
    (Kernel.from_banner(UBUNTU), 'CONFIG_VERSION_SIGNATURE="Ubuntu 5.15.0-91.101-generic 5.15.131"', "5.15.131"),
    (Kernel.of_release("6.1.0-47-amd64"), "# Linux/x86 6.1.170 Kernel Configuration", "6.1.170"),
    (Kernel.from_banner(DEBIAN), "# Linux/x86 6.1.90 Kernel Configuration", "6.1.170"),
    (Kernel.of_release("4.18.0-553.el8.x86_64"), "# Linux/x86_64 4.18.0-553.el8.x86_64 Kernel Configuration", None),
    (Kernel.of_release("6.1.0-47-amd64"), "", None),
])
def test_the_config_tells_upstreams_version_where_nothing_else_does(kernel, text, version):
    assert completed(kernel, config(text)).version == version


# How well it matches

RELEASE, VERSION, PACKAGE = "6.1.0-20-amd64", "6.1.85", "6.1.85-1"
KERNEL = Kernel(RELEASE, "a banner", "x86_64", VERSION, PACKAGE)
MISSING = "of the same upstream version 6.1.85; what the distribution changed may be missing"


@pytest.mark.parametrize("kernel, origin, match", [
    (KERNEL, Origin("x86_64", RELEASE, VERSION, PACKAGE), (EXACT, "of the same package, 6.1.85-1")),
    (KERNEL, Origin("x86_64", RELEASE, VERSION), (EXACT, "of the same release and version, 6.1.85")),
    (KERNEL._replace(version=None), Origin(None, RELEASE, VERSION),
     (EXACT, "of the same release; nothing tells whether it is the same build")),
    (KERNEL, Origin(None, "6.1.0-20-cloud-amd64", VERSION, None, "linux-headers-6.1.0-20-common"),
     (EXACT, "of the headers that it shares with 6.1.0-20-cloud-amd64")),
    (KERNEL, Origin(None, None, VERSION, PACKAGE), (EXACT, "of the source of the same package, 6.1.85-1")),
    (Kernel.of_release("6.6.8"), Origin(None, None, "6.6.8"), (EXACT, "of the same release, 6.6.8")),
    # The same distribution's patches on the same upstream version.
    (KERNEL, Origin(None, RELEASE, VERSION, "6.1.85-2"),
     (DISTRIBUTION, "of package version 6.1.85-2, not of 6.1.85-1, of the same release")),
    (KERNEL, Origin(None, "6.1.0-19-amd64", VERSION),
     (DISTRIBUTION, "of the kernel 6.1.0-19-amd64, not of 6.1.0-20-amd64, both debian 6.1.85")),
    (KERNEL, Origin(None, None, VERSION, "6.1.85-2"),
     (DISTRIBUTION, "of the source of package version 6.1.85-2, not of 6.1.85-1, both debian 6.1.85")),
    (Kernel.from_banner(ROCKY), Origin(None, "5.14.0-427.el9.x86_64", "5.14.0"),
     (DISTRIBUTION, "of the kernel 5.14.0-427.el9.x86_64, not of 5.14.0-427.13.1.el9_4.x86_64, both el9 5.14.0-427")),
    # Upstream's.
    (KERNEL, Origin(None, None, VERSION), (UPSTREAM, MISSING)),
    (KERNEL, Origin(None, "6.1.85", VERSION), (UPSTREAM, "of the kernel 6.1.85, " + MISSING)),
    (KERNEL, Origin(None, None, VERSION, "6.1.0-5.7"), (UPSTREAM, MISSING)),  # Ubuntu's source of that version
    (KERNEL._replace(release="6.1.0-20-rt-amd64"), Origin(None, None, VERSION, PACKAGE), (UPSTREAM, MISSING)),
    (Kernel.of_release("6.6.8-custom"), Origin(None, None, "6.6.8"),
     (UPSTREAM, "of the same upstream version 6.6.8; what the distribution changed may be missing")),
    # Nothing.
    (KERNEL, Origin("arm64", RELEASE, VERSION), (None, "for arm64, not for x86_64")),
    (KERNEL, Origin(None, RELEASE, "6.1.90"), (None, "of version 6.1.90, not of 6.1.85")),
    (KERNEL._replace(version=None), Origin(None, RELEASE, "6.2.1"), (None, "of version 6.2.1, not of 6.1")),
    (KERNEL, Origin(None, "6.1.0-20-rt-amd64", VERSION), (None, "of the kernel 6.1.0-20-rt-amd64, not of 6.1.0-20-amd64")),
    (KERNEL, Origin(None, "6.1.85-arch1-1", VERSION), (None, "of the kernel 6.1.85-arch1-1, not of 6.1.0-20-amd64")),
    (Kernel.from_banner(ROCKY), Origin(None, "5.14.0-362.el9.x86_64", "5.14.0"),
     (None, "of the kernel 5.14.0-362.el9.x86_64, not of 5.14.0-427.13.1.el9_4.x86_64")),
    (Kernel.of_release("4.18.0-553.el8"), Origin(None, None, "4.18.0"),
     (None, "of no release that it names, and nothing says which version 4.18.0-553.el8 is")),
    (Kernel.of_release("6.6.8"), Origin(None, None, None),
     (None, "of no release that it names, and nothing says which version 6.6.8 is")),
    (Kernel.of_release("6.6.0"), Origin(None, None, "6.6.0-rc4"), (None, "of version 6.6.0-rc4, not of 6.6.0")),
])
def test_match(kernel, origin, match):
    assert match_of(kernel, origin) == match


@pytest.mark.parametrize("common, release, fits", [
    ("linux-headers-6.1.0-20-common", "6.1.0-20-cloud-amd64", True),
    ("linux-headers-6.1.0-20-common", "6.1.0-20-rt-amd64", False),
    ("linux-headers-6.1.0-20-common-rt", "6.1.0-20-rt-amd64", True),
    ("linux-headers-6.1.0-20-common-rt", "6.1.0-20-amd64", False),
    ("linux-headers-6.1.0-20-common", "6.1.0-2-amd64", False),
    ("linux-headers-6.1.0-20-common", "6.1.0-200-amd64", False),
    (None, "6.1.0-20-cloud-amd64", False),
])
def test_one_common_tree_serves_the_flavours_of_its_build(common, release, fits):
    match = match_of(Kernel(release), Origin(None, "6.1.0-20-other-amd64", "6.1.85", None, common))
    assert (match.level is EXACT) == fits


def test_versions_are_compared_without_what_distributions_append():
    assert match_of(Kernel("6.6.1-x", version="6.6.1"), Origin(None, "6.6.1-x", "6.6.1-x")).level is EXACT


@pytest.mark.parametrize("level, accepted_by", [(EXACT, list(Level)), (DISTRIBUTION, [DISTRIBUTION, UPSTREAM]),
                                                (UPSTREAM, [UPSTREAM]), (None, [])])
def test_what_is_accepted(level, accepted_by):
    assert [accept for accept in Level if Match(level, "").is_within(accept)] == accepted_by


def test_what_the_user_reads():
    assert str(Match(EXACT, "of the same release")) == "of the same release"
    assert str(Match(UPSTREAM, "of upstream")) == "not exact (upstream): of upstream"
    assert Match(UPSTREAM, "of upstream").why_not_used() == "of upstream: --accept upstream would use it"
    assert Match(None, "for arm64").why_not_used() == "for arm64"
    assert [Level.named(str(level)) for level in Level] == list(Level)
    with pytest.raises(LayoutExpertError, match="'best' is no level of matches; give exact, distribution, upstream"):
        Level.named("best")
