"""The headers of a real kernel, packed as each distribution packs its own: what is fetched gives the Pre-AST of the tree.

Only Debian's kernels can be had where the tests run. Their two folders are merged into one, and the release is what the
distribution would call it; the rest is as its tools make it.
"""
import os
import re
import shutil

import pytest

pytest.importorskip("rpmfile", reason="rpmfile reads .rpm files")
pytest.importorskip("pysequoia", reason="pysequoia verifies signatures")
pytest.importorskip("urllib3")
pytest.importorskip("zstandard")
pytest.importorskip("Crypto", reason="pycryptodome verifies RSA signatures")

import distributions
import header_trees
import kernels
import web
from distributions import key  # noqa: F401  (fixtures)
from rekall_layout_expert import build_pre_ast, make_profile
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.storage import dumps
from rekall_layout_expert.supply.distribution import headers_of
from rekall_layout_expert.supply.transfer import Network

pytestmark = [pytest.mark.slow, pytest.mark.network]

# Nothing of these makes a Pre-AST, and a package without them is made in a third of the time.
WITHOUT = ("scripts", "tools", "drivers", "Documentation")


@pytest.fixture(scope="module")
def debian():
    return kernels.kernel_or_skip("6.1")


@pytest.fixture(scope="module")
def version(debian):
    makefile = (debian.common / "Makefile").read_text()
    return ".".join(re.search(r"^%s = (\d+)" % part, makefile, re.M).group(1)
                    for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))


def merged(debian, target, release):
    """The kernel's headers in one folder."""
    shutil.copytree(str(debian.common), str(target), symlinks=True, ignore=top_level(debian.common))
    shutil.copytree(str(debian.tree), str(target), symlinks=True, dirs_exist_ok=True, ignore=top_level(debian.tree, "Makefile"))
    (target / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "%s"\n' % release)


def top_level(root, *more):
    return lambda folder, names: set(names) & set(WITHOUT + more) if folder == str(root) else ()


def yum(folder, debian, version, key):
    release = version + "-200.fc39.x86_64"
    tree = folder / "content/usr/src/kernels" / release
    merged(debian, tree, release)
    distributions.rpm(folder / "web/updates", folder / "content", "kernel-devel", version, "200.fc39", key=key,
                      tags="Provides: kernel-devel-uname-r = " + release)
    distributions.rpm_repository(folder / "web/updates")
    return release, tree, {
        "etc/os-release": "ID=fedora\nVERSION_ID=39\n",
        "etc/yum.repos.d/updates.repo": "[updates]\nbaseurl=URL/updates\n",
        "etc/pki/rpm-gpg/key": key.armored.decode()}


def suse(folder, debian, version, key):
    release, sources = version + "-1-default", "usr/src/linux-%s-1" % version
    own, shared = folder / "own" / (sources + "-obj/x86_64/default"), folder / "shared" / sources
    shutil.copytree(str(debian.common), str(shared), symlinks=True, ignore=top_level(debian.common))
    shutil.copytree(str(debian.tree), str(own), symlinks=True, ignore=top_level(debian.tree))
    (own / "Makefile").write_text("include ../../../%s/Makefile\n" % shared.name)
    (own / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "%s"\n' % release)
    (folder / "own/lib/modules" / release).mkdir(parents=True)
    (folder / "own/lib/modules" / release / "build").symlink_to("/%s-obj/x86_64/default" % sources)
    for name, architecture, content, tags in (
            ("kernel-default-devel", "x86_64", "own", "Requires: kernel-devel = %s-1\n" % version),
            ("kernel-devel", "noarch", "shared", "BuildArch: noarch\n")):
        distributions.rpm(folder / "web/oss", folder / content, name, version, "1.1", architecture,
                          tags + "Provides: %s = %s-1" % (name, version), "bzip2", key)
    distributions.rpm_repository(folder / "web/oss", key)
    shutil.move(str(folder / "shared" / sources), str(folder / "own" / sources))
    return release, own, {
        "etc/os-release": "ID=opensuse-tumbleweed\nID_LIKE=suse\n",
        "etc/zypp/repos.d/oss.repo": "[oss]\nbaseurl=URL/oss\n",
        "usr/lib/rpm/gnupg/keys/key.asc": key.armored.decode()}


def arch(folder, debian, version, key):
    release = version + "-arch1-1"
    tree = folder / "content/usr/lib/modules" / release / "build"
    merged(debian, tree, release)
    package = distributions.pacman_package(folder / "web/core", folder / "content", "linux-headers", version + ".arch1", "1", key)
    distributions.pacman_database(folder / "web/core", "core", package)
    return release, tree, {
        "etc/os-release": "ID=arch\n",
        "etc/pacman.conf": "[core]\nServer = URL/$repo\n",
        "usr/share/pacman/keyrings/archlinux.gpg": key.armored.decode()}


def alpine(folder, debian, version, key):
    release = version + "-0-lts"
    tree = folder / "content/usr/src" / ("linux-headers-" + release)
    merged(debian, tree, release)
    rsa = distributions.RsaKey()
    package, entry = distributions.apk(folder / "content", "linux-lts-dev", version + "-r0", rsa)
    (folder / "web/main/x86_64").mkdir(parents=True)
    (folder / "web/main/x86_64" / ("linux-lts-dev-%s-r0.apk" % version)).write_bytes(package)
    (folder / "web/main/x86_64/APKINDEX.tar.gz").write_bytes(distributions.apk_index(entry, key=rsa))
    return release, tree, {
        "etc/os-release": "ID=alpine\n",
        "etc/apk/repositories": "URL/main\n",
        "etc/apk/keys/" + rsa.name: rsa.public}


@pytest.mark.parametrize("distribution", [yum, suse, arch, alpine], ids=lambda function: function.__name__)
def test_the_pre_ast_is_that_of_the_tree(tmp_path, debian, version, key, distribution):
    release, tree, files = distribution(tmp_path, debian, version, key)
    with web.Server(files=tmp_path / "web") as server:
        root = header_trees.write(tmp_path / "host", {path: text.replace("URL", server.url) for path, text in files.items()})
        (tmp_path / "fetched").mkdir()
        trees = headers_of(Kernel(release, None, "x86_64", version), tmp_path / "fetched", Network(), root)
    assert os.path.realpath(trees[0]).startswith(str(tmp_path / "fetched"))
    fetched = build_pre_ast(trees[0])
    assert fetched.header["release"] == release
    assert dumps(fetched) == dumps(build_pre_ast(str(tree)))
    if distribution is yum:
        profile = make_profile(fetched, str(debian.config))
        assert profile["$STRUCTS"]["task_struct"][0] > 4096
