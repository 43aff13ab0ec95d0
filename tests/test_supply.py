"""The matching Pre-AST: where it is looked for, in which order, and what is never used."""

import errno
import gzip
import os
import threading
from pathlib import Path

import pytest

from kernels import kernel_or_skip
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.pre_ast.package import package_version_of
from rekall_layout_expert.pre_ast.storage import dumps, loads, write_pre_ast
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.supply import SOURCES, find_pre_ast
from rekall_layout_expert.supply.header_trees import installed_trees
from rekall_layout_expert.supply.library import Library
from rekall_layout_expert.supply.matching import Level
from rekall_layout_expert.supply.repository import DirectoryRepository
from rekall_layout_expert.supply.transfer import Unreachable

RELEASE, VERSION, PACKAGE = "6.1.0-20-amd64", "6.1.85", "6.1.85-1"
KERNEL = Kernel(RELEASE, "a banner", "x86_64", VERSION, PACKAGE)
PUBLISHED = f"pre_ast/{RELEASE}/{PACKAGE}/x86_64.past"
PUBLISHED_FOR_RELEASE = f"pre_ast/{RELEASE}/x86_64.past"


def lay_out_tree(path, release=RELEASE, version=VERSION, arch="x86", field="int first;"):
    """A header tree with hardly a header."""
    numbers = dict(zip(("VERSION", "PATCHLEVEL", "SUBLEVEL"), version.split(".")))
    files = {
        "Makefile": "".join(f"{name} = {number}\n" for name, number in numbers.items()),
        f"arch/{arch}/include/asm/page.h": "",
        "include/linux/kconfig.h": "#include <generated/autoconf.h>\n",
        "include/linux/sched.h": "struct task_struct { %s };\n" % field,
    }
    if release:
        files["include/generated/utsrelease.h"] = f'#define UTS_RELEASE "{release}"\n'
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


@pytest.fixture
def tree(tmp_path):
    return lay_out_tree(tmp_path / "usr/src" / f"linux-headers-{RELEASE}")


@pytest.fixture
def repository(tmp_path):
    return DirectoryRepository(tmp_path / "repository")


@pytest.fixture
def find(tree, repository):
    """find_pre_ast as the hook calls it, on a host with one header tree and one repository."""
    def find(kernel=KERNEL, architecture="x86_64", **changes):
        options = dict(repositories=[repository], header_trees=[tree], keep=repository)
        return find_pre_ast(kernel, architecture, **{**options, **changes})
    return find


def text_of(pre_ast):
    return str(pre_ast.files["include/linux/sched.h"])


def stored(directory):
    return sorted(os.path.relpath(os.path.join(folder, name), directory)
                  for folder, _, names in os.walk(directory) for name in names)


# The order

def test_what_the_user_named_comes_first(find, tmp_path, repository):
    write_pre_ast(build_pre_ast(lay_out_tree(tmp_path / "other", field="int named;")), tmp_path / "named.past")
    repository.put(PUBLISHED, dumps(build_pre_ast(lay_out_tree(tmp_path / "third", field="int published;"))))
    pre_ast, how, _ = find(named=tmp_path / "named.past")
    assert "int named" in text_of(pre_ast)
    assert how == f"named by the user, {tmp_path}/named.past: of the same release and version, {VERSION}"


def test_then_the_repositories_the_banners_package_version_before_the_release(find, tmp_path, repository):
    for name, field in ((PUBLISHED, "int by_package;"), (PUBLISHED_FOR_RELEASE, "int by_release;")):
        repository.put(name, dumps(build_pre_ast(lay_out_tree(tmp_path / field, field=field))))
    pre_ast, how, _ = find()
    assert "by_package" in text_of(pre_ast) and how.startswith(f"from {repository}, {PUBLISHED}: ")
    without_package = KERNEL._replace(package_version=None)
    assert "by_release" in text_of(find(without_package, header_trees=[])[0])


def test_then_installed_headers_on_the_spot_and_kept_for_next_time(find, repository, tree, monkeypatch):
    steps = []
    pre_ast, how, _ = find(progress=steps.append)
    assert "int first" in text_of(pre_ast)
    assert how.startswith(f"built from the installed headers {tree}: ") and how.endswith(f"; kept in {repository}")
    assert steps[0] == f"BUILDING the Pre-AST of {RELEASE} from {tree}"

    def build(*_, **__):
        raise AssertionError("built again")

    monkeypatch.setattr("rekall_layout_expert.supply.sources.build_pre_ast", build)
    again, how, _ = find()
    assert again.digest == pre_ast.digest and how.startswith(f"from {repository}, pre_ast/{RELEASE}/x86_64-")


def test_a_repository_needs_no_more_than_get_and_put(find):
    class Repository(dict):
        put = dict.__setitem__

    kept = Repository()
    find(repositories=[kept], keep=kept)
    (name, data), = kept.items()
    assert name.startswith(f"pre_ast/{RELEASE}/x86_64-") and loads(data, name).header["release"] == RELEASE


# What others fill

class Shelf(dict):
    """A repository in memory, which counts what it is asked."""

    asked = 0

    def __str__(self):
        return "the shelf"

    def get(self, name):
        self.asked += 1
        return dict.get(self, name)

    put = dict.__setitem__


@pytest.fixture
def shelf(tmp_path):
    return Shelf({PUBLISHED: dumps(build_pre_ast(lay_out_tree(tmp_path / "theirs", field="int published;")))})


def test_what_others_publish_comes_after_this_hosts_own_and_before_installed_headers(find, shelf, repository, tmp_path):
    pre_ast, how, _ = find(published=[Library(shelf)])
    assert "int published" in text_of(pre_ast)
    assert how == f"from the shelf, {PUBLISHED}: of the same release and version, {VERSION}; kept in {repository}"
    assert stored(repository.directory) == [PUBLISHED]
    asked = shelf.asked
    assert find(published=[Library(shelf)])[1].startswith(f"from {repository}, {PUBLISHED}: ") and shelf.asked == asked


def test_the_first_of_several_that_has_it_is_used_though_all_are_asked_at_once(find, shelf, tmp_path):
    at_work = threading.Barrier(3, timeout=30)  # breaks unless three wait at it together

    class Slow(Shelf):
        def __init__(self, name, *content):
            super().__init__(*content)
            self.name = name

        def __str__(self):
            return self.name

        def get(self, name):
            if not self.asked:
                at_work.wait()
            return super().get(name)

    other = Slow("other", {PUBLISHED: dumps(build_pre_ast(lay_out_tree(tmp_path / "other", field="int other;")))})
    pre_ast, how, _ = find(published=map(Library, [Slow("empty"), Slow("first", shelf), other]), header_trees=[])
    assert "int published" in text_of(pre_ast) and how.startswith("from first, ")


def test_a_repository_that_cannot_be_reached_is_told_once(find):
    class Dead(Shelf):
        def get(self, name):
            self.asked += 1
            raise Unreachable(f"https://host/{name}", "cannot be reached: Connection refused")

    dead = Dead()
    with pytest.raises(LayoutExpertError, match=r"the shelf \(cannot be reached: Connection refused\)") as caught:
        find(published=[Library(dead)], header_trees=[])
    assert dead.asked == 1 and str(caught.value).count("refused") == 1


@pytest.mark.parametrize("word, left", [("local", "from the shelf"), ("repositories", "built from the installed headers"),
                                        ("headers", "built from the distribution's headers package")])
def test_each_source_can_be_skipped(find, shelf, tree, word, left):
    options = dict(published=[Library(shelf)], headers_package=lambda kernel, folder, report: [tree])
    words = ("local", "repositories", "headers")
    how = find(skip=words[:words.index(word) + 1], keep=None, **options)[1]
    assert how.startswith(left)
    with pytest.raises(LayoutExpertError, match=f"{word} \\(skipped\\)"):
        find(skip=SOURCES, **options)


# The distribution's package

def test_the_distributions_package_is_the_last_and_leaves_nothing_but_the_pre_ast(find, repository, tmp_path):
    folders, steps = [], []

    def fetch(kernel, folder, report):
        assert kernel == KERNEL
        folders.append(folder)
        report("FETCHING it")
        return [str(lay_out_tree(Path(folder) / f"usr/src/linux-headers-{RELEASE}", field="int packaged;"))]

    pre_ast, how, _ = find(header_trees=[], headers_package=fetch, progress=steps.append)
    assert "int packaged" in text_of(pre_ast) and steps[0] == "FETCHING it"
    assert how == (f"built from the distribution's headers package, linux-headers-{RELEASE}: of the same release and version, "
                   f"{VERSION}; kept in {repository}")
    assert not os.path.exists(folders[0]) and stored(repository.directory) == [PUBLISHED]
    assert find(header_trees=[], headers_package=fetch)[1].startswith(f"from {repository}, {PUBLISHED}") and len(folders) == 1


def test_what_the_package_holds_is_held_against_the_kernel(find, repository):
    def fetch(kernel, folder, report):
        return [str(lay_out_tree(Path(folder) / "usr/src/linux-headers", version="6.1.84"))]

    with pytest.raises(LayoutExpertError, match="distribution's headers package, linux-headers \\(of version 6.1.84, not of"):
        find(header_trees=[], headers_package=fetch)
    assert stored(repository.directory) == []


def test_a_package_that_cannot_be_had_is_told(find):
    def fetch(kernel, folder, report):
        raise LayoutExpertError("no archive has it", ["http://mirror (cannot be reached)"])

    with pytest.raises(LayoutExpertError, match="headers package \\(no archive has it; looked at: http://mirror"):
        find(header_trees=[], headers_package=fetch)


def test_nothing_near_is_used_while_any_source_has_the_very_build(find, tmp_path, repository):
    vanilla = build_pre_ast(lay_out_tree(tmp_path / "vanilla", release=None, field="int vanilla;"))
    shelf = Shelf({PUBLISHED_FOR_RELEASE: dumps(vanilla)})
    pre_ast, how, match = find(published=[Library(shelf)], accept=Level.UPSTREAM)
    assert match.level is Level.EXACT and how.startswith("built from the installed headers")
    repository.put(PUBLISHED, b"")
    pre_ast, how, match = find(published=[Library(shelf)], header_trees=[], accept=Level.UPSTREAM)
    assert match.level is Level.UPSTREAM and how.startswith("from the shelf") and "kept" not in how


# What is kept is not given out for anything else

def test_an_upgraded_headers_package_of_the_same_release_is_built_anew(find, tree, repository):
    find()
    lay_out_tree(tree, version="6.1.90", field="int first, second;")
    pre_ast, how, _ = find(KERNEL._replace(version="6.1.90", package_version="6.1.90-1"))
    assert "second" in text_of(pre_ast) and how.startswith("built from")


@pytest.mark.parametrize("field, later", [("int other;", 1), ("int first, more;", 0)])
def test_an_edited_header_is_built_anew_though_nothing_else_tells(find, tree, field, later):
    custom = Kernel(RELEASE, None, "x86_64")
    find(custom)
    header = tree / "include/linux/sched.h"
    before = header.stat()
    header.write_text("struct task_struct { %s };\n" % field)
    os.utime(header, ns=(before.st_atime_ns, before.st_mtime_ns + later))
    assert (header.stat().st_size == before.st_size) == bool(later)
    pre_ast, how, _ = find(custom)
    assert field in text_of(pre_ast) and how.startswith("built from")


def test_headers_upgraded_while_the_old_kernel_still_runs_are_not_used(find, tree):
    lay_out_tree(tree, version="6.1.90")
    with pytest.raises(LayoutExpertError, match=r"\(of version 6.1.90, not of 6.1.85\)"):
        find()


def test_what_another_version_of_the_tool_kept_is_built_anew(find, monkeypatch):
    find()
    monkeypatch.setattr("rekall_layout_expert.supply.sources.VERSION", "99")
    assert find()[1].startswith("built from")


# What cannot be kept is used all the same

class Full:
    def __str__(self):
        return "the repository"

    def get(self, name):
        return None

    def put(self, name, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_does_not_stop_this_run(find):
    pre_ast, how, _ = find(repositories=[Full()], keep=Full())
    assert "int first" in text_of(pre_ast)
    assert "could not be kept for next time: [Errno 28] No space left on device" in how


def test_an_unwritable_repository_does_not_stop_this_run(find, tmp_path):
    (tmp_path / "file").write_text("where the repository's folder should be")
    pre_ast, how, _ = find(repositories=[], keep=DirectoryRepository(tmp_path / "file"))
    assert "int first" in text_of(pre_ast) and "could not be kept" in how


def test_without_a_place_to_keep_it_nothing_is_said(find):
    assert "kept" not in find(keep=None)[1]


# What is refused

@pytest.mark.parametrize("kernel, reason", [
    (KERNEL._replace(release="6.1.0-21-amd64", version=None, package_version=None),
     "of the kernel 6.1.0-20-amd64, not of 6.1.0-21-amd64"),
    (KERNEL._replace(release="6.1.0-21-amd64"),
     "of the kernel 6.1.0-20-amd64, not of 6.1.0-21-amd64, both debian 6.1.85: --accept distribution would use it"),
    (KERNEL._replace(version="6.1.90"), "of version 6.1.85, not of 6.1.90"),
])
def test_a_named_pre_ast_of_another_kernel(find, tree, tmp_path, kernel, reason):
    write_pre_ast(build_pre_ast(tree), tmp_path / "named.past")
    with pytest.raises(LayoutExpertError) as caught:
        find(kernel, named=tmp_path / "named.past")
    assert str(caught.value).startswith(f"the Pre-AST {tmp_path}/named.past is {reason}; ")


def test_a_named_pre_ast_of_another_architecture(find, tree, tmp_path):
    write_pre_ast(build_pre_ast(tree, arch="i386"), tmp_path / "named.past")
    with pytest.raises(LayoutExpertError, match="named.past is for i386, not for x86_64"):
        find(named=tmp_path / "named.past")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:100], lambda data: b"x" * 99])
def test_a_damaged_pre_ast_is_refused_when_named_and_passed_over_when_kept(find, tree, tmp_path, repository, damage):
    data = damage(dumps(build_pre_ast(tree)))
    (tmp_path / "named.past").write_bytes(data)
    with pytest.raises(LayoutExpertError, match="named.past is"):
        find(named=tmp_path / "named.past")
    repository.put(PUBLISHED, data)
    assert find()[1].startswith("built from")


def test_a_repository_with_a_pre_ast_of_another_kernel_under_the_name(find, tmp_path, repository):
    other = build_pre_ast(lay_out_tree(tmp_path / "other", release="6.1.0-99-amd64"))
    repository.put(PUBLISHED, dumps(other))
    with pytest.raises(LayoutExpertError, match=r"\(of the kernel 6.1.0-99-amd64, not of 6.1.0-20-amd64, both debian 6.1.85: --accept"):
        find(header_trees=[])


def test_nothing_anywhere_names_every_place_and_the_next_step(find, tmp_path, repository):
    with pytest.raises(LayoutExpertError) as caught:
        find(header_trees=[tmp_path / "absent", lay_out_tree(tmp_path / "wrong", release="6.1.0-19-amd64"), tmp_path])
    line = str(caught.value)
    assert line.startswith(f"there is no Pre-AST for the kernel {RELEASE} (x86_64); looked at: ")
    for place in (f"{tmp_path}/absent (absent)", f"{tmp_path}/wrong (of the kernel 6.1.0-19-amd64, not of {RELEASE}, both ",
                  f"{tmp_path} ({tmp_path} is no kernel header tree", f"{repository} (no {PUBLISHED}, no {PUBLISHED_FOR_RELEASE})"):
        assert place in line
    assert f"linux-headers-{RELEASE}" in caught.value.next_step and "--pre_ast" in caught.value.next_step


def test_a_release_without_a_banner_will_do(find):
    pre_ast, how, _ = find(RELEASE)
    assert pre_ast.header["release"] == RELEASE and "nothing tells whether it is the same build" in how


def test_the_package_version_is_read_beside_the_tree(tree, tmp_path):
    assert package_version_of(tree) is None
    doc = tmp_path / "usr/share/doc" / tree.name
    doc.mkdir(parents=True)
    (doc / "changelog.Debian.gz").write_bytes(gzip.compress(b"linux (6.1.85-2) bookworm; urgency=medium\n\n  * x\n"))
    assert package_version_of(tree) == "6.1.85-2"
    with pytest.raises(LayoutExpertError, match=r"\(of package version 6.1.85-2, not of 6.1.85-1, of the same release: "):
        find_pre_ast(KERNEL, "x86_64", header_trees=[tree])
    (doc / "changelog.Debian.gz").write_bytes(b"\x1f\x8bgarbage")
    assert package_version_of(tree) is None
    (tree / "debian").mkdir()
    (tree / "debian/changelog").write_text("linux (6.1.85-3) bookworm; urgency=medium\n")
    assert package_version_of(tree) == "6.1.85-3" == build_pre_ast(tree).header["package_version"]


def test_where_headers_are_installed(tmp_path):
    (tmp_path / "lib/modules" / RELEASE).mkdir(parents=True)
    (tmp_path / "lib/modules" / RELEASE / "build").symlink_to(f"/usr/src/linux-headers-{RELEASE}")
    places = installed_trees(RELEASE, tmp_path)
    root = os.path.realpath(tmp_path)
    assert places[0] == f"{root}/usr/src/linux-headers-{RELEASE}" and len(places) == len(set(places)) == 4
    assert f"{root}/usr/src/kernels/{RELEASE}" in places


# The directory repository

def test_what_is_put_is_got(repository):
    assert repository.get("pre_ast/a/b.past") is None
    repository.put("pre_ast/a/b.past", b"\x1f\x8b\x08 as it is")
    assert repository.get("pre_ast/a/b.past") == b"\x1f\x8b\x08 as it is"
    assert stored(repository.directory) == ["pre_ast/a/b.past"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a//b", "a/.", ".hidden", "a\0b", "", "a/", "a\n"])
def test_names_that_lead_out_of_it_are_refused(repository, name, tmp_path):
    for call in (lambda: repository.put(name, b"data"), lambda: repository.get(name)):
        with pytest.raises(LayoutExpertError, match="is no name for a repository"):
            call()
    assert stored(tmp_path) == []


def test_a_release_from_evidence_cannot_lead_out_of_it(find):
    with pytest.raises(LayoutExpertError, match=r"repository \(no pre_ast/_._.._.._6.1/x86_64.past\)"):
        find(Kernel("../../../6.1", version="6.1.0"), header_trees=[])


# What is not of the very build is used only when that is accepted

VANILLA = "not exact (upstream): of the same upstream version 6.1.85; what the distribution changed may be missing"


def test_less_than_exact_is_used_when_it_is_accepted_and_said(find, tmp_path, repository):
    vanilla = lay_out_tree(tmp_path / "vanilla", release=None, field="int vanilla;")
    for accept in (Level.EXACT, Level.DISTRIBUTION):
        with pytest.raises(LayoutExpertError, match=r"missing: --accept upstream would use it\)"):
            find(header_trees=[vanilla], accept=accept)
    pre_ast, how, match = find(header_trees=[vanilla], accept=Level.UPSTREAM)
    assert "int vanilla" in text_of(pre_ast) and match.level is Level.UPSTREAM and VANILLA in how
    # What was kept then is held against the kernel again.
    with pytest.raises(LayoutExpertError, match="--accept upstream"):
        find(header_trees=[vanilla])
    assert find(header_trees=[vanilla], accept=Level.UPSTREAM)[1].startswith(f"from {repository}, ")


def test_a_named_file_is_no_exception(find, tmp_path):
    write_pre_ast(build_pre_ast(lay_out_tree(tmp_path / "vanilla", release=None)), tmp_path / "named.past")
    with pytest.raises(LayoutExpertError, match="named.past is of the same upstream version 6.1.85; .* --accept upstream"):
        find(named=tmp_path / "named.past")
    assert find(named=tmp_path / "named.past", accept=Level.UPSTREAM)[1].endswith(VANILLA)


# A real one

@pytest.mark.network
def test_a_distributions_headers_where_its_packages_put_them(tmp_path):
    debian = kernel_or_skip("6.1")
    kernel = Kernel.of_release(debian.release)._replace(package_version=package_version_of(debian.tree))
    assert kernel.package_version.startswith("6.1.")
    repository = DirectoryRepository(tmp_path)
    trees = installed_trees(debian.release, debian.headers)
    for origin in ("built from the installed headers", f"from {tmp_path}, pre_ast/{debian.release}/"):
        pre_ast, how, _ = find_pre_ast(kernel, "x86_64", repositories=[repository], header_trees=trees, keep=repository)
        assert how.startswith(origin) and pre_ast.header["release"] == debian.release
