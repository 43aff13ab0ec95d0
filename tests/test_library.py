"""A library of Pre-ASTs: what goes in comes out, in few bytes, whoever writes at the same time or dies while writing."""
import multiprocessing
import os
import re
import signal
import sys
from pathlib import Path

import pytest

import distributions
import header_trees
from rekall_layout_expert.command_line import main
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.pre_ast.compilation import compile_program
from rekall_layout_expert.pre_ast.storage import dumps
from rekall_layout_expert.supply.library import INDEX, OBJECTS, Library, delta
from rekall_layout_expert.supply.library.building import jobs_for, outcomes
from rekall_layout_expert.supply.library.lines import content_of, lines_of
from rekall_layout_expert.supply.library.store import Store, parcel_of
from rekall_layout_expert.supply.repository import DirectoryRepository

SCHED = header_trees.SHARED["include/linux/sched.h"]


def pre_ast_at(directory, version="6.1.85", member="int first;", arch="x86_64"):
    """The Pre-AST of a tree of that version whose task_struct has one member more."""
    makefile = header_trees.MAKEFILE.replace("85", version.split(".")[2]).replace("PATCHLEVEL = 1", "PATCHLEVEL = " + version.split(".")[1])
    return build_pre_ast(header_trees.package(directory, {
        "Makefile": makefile, "include/generated/utsrelease.h": f'#define UTS_RELEASE "{version}"\n',
        "include/linux/sched.h": SCHED.replace("u32 state;", "u32 state;\n" + member)}), arch)


@pytest.fixture
def point_releases(tmp_path):
    return [pre_ast_at(tmp_path / f"tree-{number}", f"6.1.{number}", "".join(f"int m{each};\n" for each in range(number)))
            for number in range(4)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "library")


def name(version, arch="x86_64"):
    return f"pre_ast/{version}/{arch}.past"


class Counting:
    """A transport that counts."""

    def __init__(self, repository):
        self.repository, self.asked = repository, []

    def get(self, name):
        self.asked.append(name)
        return self.repository.get(name)


# Lines and deltas

PROGRAM = compile_program("""
#ifndef GUARD
#define GUARD
struct first { int a; };
# if defined(A)
struct second { int b; };
# elif B
#  ifdef C
int x;
#  endif
# else
typedef int word;
# endif
struct third { int c; };
#endif
int last;
""", "a.h")


def test_lines_stand_for_the_whole_content():
    files = {"a.h": PROGRAM, "b.h": [], "c.h": compile_program("#define A 1\n#line 7\n#pragma once\n", "c.h")}
    lines = lines_of({"version": "1"}, files)
    assert content_of(lines, "it") == ({"version": "1"}, files)
    assert all("\n" not in line for line in lines)


def test_a_line_put_in_at_the_top_changes_no_other_line():
    before = lines_of({}, {"a.h": compile_program("int a;\nint b;\nint c;\n", "a.h")})
    after = lines_of({}, {"a.h": compile_program("int new;\nint a;\nint b;\nint c;\n", "a.h")})
    assert len(set(after) - set(before)) <= 1


@pytest.mark.parametrize("lines", [[], ["{}", "[0]"], ["{}", '"a"', '[3,"c"]'], ["{}", '"a"', "[21]"],
                                   ["{}", '"a"', '[20,"c"]'], ["{}", '"a"', '[3,"c"]', '"b"', "[21]"], ["{}", '"a"', "7"],
                                   ["{}", "{}"], ["{}", '"a"', '[0,"x"]'], ["not json"], ["[" * 100000]])
def test_lines_that_stand_for_nothing(lines):
    with pytest.raises((ValueError, TypeError, IndexError, AttributeError, KeyError, RecursionError)):
        content_of(lines, "it")


@pytest.mark.parametrize("base, lines", [
    ("", "abc"), ("abc", ""), ("abc", "abc"), ("abcdef", "abXdef"), ("aaaa", "aaaaaaa"), ("abcabc", "cabcab"),
    ("abcdefgh", "efghabcd")])
def test_a_delta_makes_the_lines_of_the_base(base, lines):
    steps = delta.delta(list(base), list(lines))
    assert delta.applied(list(base), steps, 1000) == list(lines)


def test_what_agrees_is_copied_in_one_step():
    base = [str(number) for number in range(1000)]
    assert delta.delta(base, base) == ["=0 1000"]
    assert delta.delta(base, base[:500] + ["new"] + base[500:]) == ["=0 500", "+new", "=0 500"]


@pytest.mark.parametrize("steps, why", [
    (["=0 5"], "leads out"), (["=-1 1"], "leads out"), (["=9 1"], "leads out"), (["=0 -1"], "malformed"), (["0 1"], "malformed"),
    ([""], "malformed"), (["=0 1 "], "malformed"), (["=0 " + "9" * 30], "malformed"),
    (["=0 3"] + ["=-3 3"] * 400000, "more than 1000000"), (["=0 3"] + ["=-3 3"] * 20, "more than 100 bytes"),
    (["+" + "x" * 101], "more than 100 bytes")])
def test_a_hostile_delta_is_refused_before_it_has_taken_memory(steps, why):
    with pytest.raises(LayoutExpertError, match=why):
        delta.applied(["a" * 3] * 3, steps, 100 if "bytes" in why else 1 << 30)


# Adding and reading

def test_what_is_added_comes_out_in_two_requests_and_in_one_if_the_base_is_known(store, point_releases, tmp_path):
    for pre_ast in point_releases:
        assert store.add(parcel_of(pre_ast))[0] == "ADDED"
    transport = Counting(store.repository)
    library = Library(transport, cache=DirectoryRepository(tmp_path / "cache"))
    for number, pre_ast in enumerate(point_releases):
        transport.asked.clear()
        found = library.pre_ast(name(f"6.1.{number}"))
        assert (found.header, found.files, found.digest) == (pre_ast.header, pre_ast.files, pre_ast.digest)
        assert len(transport.asked) == (1 if number else 2)
    assert library.pre_ast(name("6.1.99")) is None


def test_versions_of_a_series_share_a_base_and_other_series_do_not(store, point_releases, tmp_path):
    sizes = [store.add(parcel_of(pre_ast))[1] for pre_ast in point_releases]
    store.add(parcel_of(pre_ast_at(tmp_path / "other", "6.2.1")))
    entries = store.entries()
    assert len({entries[name(f"6.1.{number}")]["base"] for number in range(4)}) == 1
    assert entries[name("6.2.1")]["base"] != entries[name("6.1.0")]["base"]
    assert max(sizes[1:]) < sizes[0]


def test_another_architecture_of_the_version_shares_the_base(store, tmp_path):
    for arch in ("x86_64", "i386"):
        store.add(parcel_of(pre_ast_at(tmp_path / arch, arch=arch)))
    assert store.entries()[name("6.1.85", "i386")]["base"] == store.entries()[name("6.1.85")]["base"]
    assert Library(store.repository).pre_ast(name("6.1.85", "i386")).header["arch"] == "i386"


def test_what_differs_too_much_becomes_a_base(store, point_releases, monkeypatch):
    monkeypatch.setattr("rekall_layout_expert.supply.library.store.LARGEST_DELTA", 100)
    for pre_ast in point_releases:
        store.add(parcel_of(pre_ast))
    assert len({entry["base"] for entry in store.entries().values()}) == 4


def test_adding_again_changes_nothing(store, point_releases):
    store.add(parcel_of(point_releases[0], state="a"))
    before = contents(store)
    assert store.add(parcel_of(point_releases[0], state="a")) == ("UNCHANGED", 0)
    assert contents(store) == before


def test_another_pre_ast_of_the_name_replaces_it_with_a_higher_serial(store, tmp_path):
    store.add(parcel_of(pre_ast_at(tmp_path / "one")))
    before = store.entries()[name("6.1.85")]["serial"]
    other = pre_ast_at(tmp_path / "two", member="int other;")
    assert store.add(parcel_of(other))[0] == "REPLACED"
    assert store.entries()[name("6.1.85")]["serial"] > before
    assert Library(store.repository).pre_ast(name("6.1.85")).digest == other.digest


@pytest.mark.parametrize("damaged", ["version", "base"])
def test_adding_again_repairs_what_is_damaged(store, point_releases, damaged):
    store.add(parcel_of(point_releases[0]))
    entry = store.entries()[name("6.1.0")]
    path = Path(store.repository.directory, name("6.1.0") if damaged == "version" else OBJECTS + entry["base"])
    path.write_bytes(path.read_bytes()[:-5])
    store = Store(store.repository.directory)
    assert store.verify([], lambda line: None) == 1
    store.add(parcel_of(point_releases[0]))
    assert store.verify([], lambda line: None) == 0


def test_a_missing_index_is_made_again_of_the_versions(store, point_releases):
    for pre_ast in point_releases:
        store.add(parcel_of(pre_ast))
    before = store.entries()
    os.unlink(Path(store.repository.directory, INDEX))
    store.add(parcel_of(point_releases[0]))
    assert {entry: each["digest"] for entry, each in store.entries().items()} == {entry: each["digest"] for entry, each in before.items()}


def test_plain_pre_asts_are_read_under_the_same_names(store, point_releases):
    store.repository.put(name("6.1.0"), dumps(point_releases[0]))
    assert Library(store.repository).pre_ast(name("6.1.0")).digest == point_releases[0].digest


def test_the_name_tells_release_package_and_architecture_and_leads_nowhere(tmp_path):
    pre_ast = pre_ast_at(tmp_path / "tree")
    pre_ast.header.update(release="../../etc/6.1.0-1-amd64", package_version="..")
    assert parcel_of(pre_ast).name == "pre_ast/_._.._etc_6.1.0-1-amd64/_./x86_64.past"
    pre_ast.header.update(release=None, package_version=None)
    assert parcel_of(pre_ast).name == name("6.1.85")
    assert parcel_of(pre_ast, release="6.1.0-20-amd64").name == name("6.1.0-20-amd64")


def test_pruning_removes_what_no_version_needs_and_nothing_else(store, point_releases, tmp_path):
    for pre_ast in [*point_releases, pre_ast_at(tmp_path / "other", "6.2.1")]:
        store.add(parcel_of(pre_ast))
    assert store.prune() == (0, 0)
    store.drop([name("6.2.1")])
    assert store.prune()[0] == 1
    assert not Path(store.repository.directory, "pre_ast/6.2.1").exists()
    assert store.verify([], print) == 0 and len(store.entries()) == 4
    with pytest.raises(LayoutExpertError, match="has no pre_ast/6.9"):
        store.drop([name("6.9.9")])


def contents(store):
    top = Path(store.repository.directory)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


# Several writers, and writers that die

def in_child(function):
    """Runs a function in a process of its own; its exit status, or minus the signal that ended it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_writer_that_is_killed_at_any_of_its_writes_costs_only_what_it_was_adding(store, point_releases, write, before, tmp_path):
    store.add(parcel_of(point_releases[0]))
    last = parcel_of(pre_ast_at(tmp_path / "other", "6.2.1"))  # a base, the version, the index
    replace, writes = os.replace, []

    def deadly(*paths):
        writes.append(paths)
        if len(writes) == write and before:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)
        if len(writes) == write:
            os.kill(os.getpid(), signal.SIGKILL)

    def die():
        os.replace = deadly
        store.add(last)

    assert in_child(die) == -signal.SIGKILL
    library = Library(store.repository)
    for each in library.index():
        assert library.pre_ast(each) is not None
    assert store.add(last)[0] in ("ADDED", "UNCHANGED")
    assert store.verify([], print) == 0
    assert sorted(library.index()) == [name("6.1.0"), name("6.2.1")]


def test_what_the_dead_have_left_is_pruned_when_nobody_can_be_writing_it_any_more(store, point_releases):
    store.add(parcel_of(point_releases[0]))
    left = Path(store.repository.directory, "pre_ast/6.1.0/.x86_64.past.abcd_123")
    left.write_bytes(b"half")
    assert store.prune() == (0, 0)
    os.utime(left, (0, 0))
    assert store.prune() == (1, 4) and not left.exists()


def test_several_writers_at_once_lose_nothing_and_readers_always_find_what_is_listed(store, point_releases):
    parcels = [parcel_of(pre_ast) for pre_ast in point_releases]
    start = multiprocessing.get_context("fork").Barrier(4)

    def write(number):
        start.wait()
        own = Store(store.repository.directory)
        for parcel in parcels[number:] + parcels[:number]:
            own.add(parcel)

    def read():
        start.wait()
        while True:
            library = Library(store.repository)
            index = library.index()
            for each in index:
                library.pre_ast(each)
            if len(index) == len(parcels):
                return

    processes = [multiprocessing.get_context("fork").Process(target=write, args=(number,)) for number in range(3)]
    processes.append(multiprocessing.get_context("fork").Process(target=read))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert store.verify([], print) == 0 and store.prune() == (0, 0)
    assert {each: entry["digest"] for each, entry in store.entries().items()} == {
        parcel.name: parcel.statement["digest"] for parcel in parcels}


# From the command line, and with workers

@pytest.fixture
def trees(tmp_path):
    return [str(header_trees.package(tmp_path / f"tree-{number}", {
        "Makefile": header_trees.MAKEFILE.replace("85", str(number)),
        "include/generated/utsrelease.h": f'#define UTS_RELEASE "6.1.{number}"\n'})) for number in range(3)]


def run(*arguments):
    return main(["library", *map(str, arguments)])


def test_adding_is_resumed_where_it_stopped_and_a_bad_tree_costs_only_itself(trees, tmp_path, capsys):
    assert run("add", *trees[:1], "--repository", tmp_path / "library") == 0
    (tmp_path / "no tree").mkdir()
    assert run("add", *trees, tmp_path / "no tree", "--repository", tmp_path / "library") == 1
    told = capsys.readouterr().err
    assert told.count("ADDED") == 3 and told.count("UNCHANGED pre_ast/6.1.0") == 1
    assert "LEFT OUT" in told and "is no kernel header tree" in told and "1 of 4 could not be added" in told
    assert run("list", "--repository", tmp_path / "library") == 0
    listed = capsys.readouterr().out
    assert [line.split()[:2] for line in listed.splitlines()[:3]] == [[name(f"6.1.{number}"), f"6.1.{number}"] for number in range(3)]
    assert "3 versions on 1 bases" in listed
    assert run("verify", "--repository", tmp_path / "library") == 0


def test_an_edited_tree_is_built_again(trees, tmp_path, capsys):
    run("add", *trees, "--repository", tmp_path / "library")
    Path(trees[1], "include/linux/sched.h").write_text(SCHED.replace("u32 state;", "u32 state, more;"))
    run("add", *trees, "--repository", tmp_path / "library")
    told = capsys.readouterr().err
    assert told.count("UNCHANGED") == 2 and "REPLACED pre_ast/6.1.1/" in told


def test_a_pre_ast_file_is_added_under_what_the_user_says_of_it(point_releases, tmp_path):
    (tmp_path / "one.past").write_bytes(dumps(point_releases[0]))
    assert run("add", tmp_path / "one.past", "--repository", tmp_path / "library", "--release", "6.1.0-20-amd64",
               "--package_version", "6.1.0-1") == 0
    found = Library(DirectoryRepository(tmp_path / "library")).pre_ast("pre_ast/6.1.0-20-amd64/6.1.0-1/x86_64.past")
    assert found.header["package_version"] == "6.1.0-1"


@pytest.mark.parametrize("arguments, why", [
    (["list", "--repository", "nowhere"], "has no index"), (["verify", "--repository", "nowhere"], "is no library"),
    (["mirror", "nowhere", "--repository", "copy"], "has no index"), (["sign", "--repository", "x", "--key", "nowhere"], "cannot read"),
    (["add", "nowhere", "--repository", "x"], "1 of 1 could not be added"),
    (["prune", "--repository", "nowhere"], "is no library"),
    (["list", "--repository", "x", "--keys", "/dev/null"], "no public key")])
def test_what_is_not_there_is_told_in_one_line(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    assert why in capsys.readouterr().err.splitlines()[-1]
    assert not os.path.exists("nowhere")


@pytest.mark.parametrize("source", ["nowhere", "/dev/zero"])
def test_a_source_that_is_neither_a_folder_nor_a_file_is_left_out(source, tmp_path, capsys):
    assert run("add", source, "--repository", tmp_path) == 1
    assert re.search(f"LEFT OUT .*: there is no file or folder .*{source}$", capsys.readouterr().err, re.M)


def deb(folder, content, package, version, architecture):
    """The path of a package made by dpkg-deb."""
    distributions.needs("dpkg-deb")
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN/control").write_text(f"Package: {package}\nVersion: {version}\nArchitecture: {architecture}\n"
                                            "Maintainer: nobody <nobody@example.org>\nDescription: headers\n")
    distributions.run("dpkg-deb", "--build", content, folder)
    return folder / f"{package}_{version}_{architecture}.deb"


def test_debians_packages_make_one_tree_of_flavour_and_shared_headers(tmp_path, capsys):
    pytest.importorskip("debian")
    header_trees.debian_packages(tmp_path / "root")
    packages = []
    for package, architecture in ((header_trees.COMMON, "all"), ("linux-headers-" + header_trees.RELEASE, "amd64")):
        content = tmp_path / package
        (content / "usr/src").mkdir(parents=True)
        os.rename(tmp_path / "root/usr/src" / package, content / "usr/src" / package)
        packages.append(deb(tmp_path, content, package, "6.1.85-1", architecture))
    assert run("add", *packages, "--repository", tmp_path / "library") == 0
    found = Library(DirectoryRepository(tmp_path / "library")).pre_ast(f"pre_ast/{header_trees.RELEASE}/6.1.85-1/x86_64.past")
    assert (found.header["common"], found.header["package_version"]) == (header_trees.COMMON, "6.1.85-1")
    assert run("add", *packages, "--repository", tmp_path / "library") == 0
    assert "UNCHANGED" in capsys.readouterr().err
    assert run("add", packages[1], "--repository", tmp_path / "another") == 1
    assert "needs the folder " + header_trees.COMMON in capsys.readouterr().err


def test_an_rpm_for_which_the_user_vouches(tmp_path):
    pytest.importorskip("rpmfile")
    release = "5.14.0-427.el9.x86_64"
    header_trees.package(tmp_path / "content/usr/src/kernels" / release, {
        "include/generated/utsrelease.h": f'#define UTS_RELEASE "{release}"\n'})
    package = distributions.rpm(tmp_path, tmp_path / "content", "kernel-devel", "5.14.0", "427.el9")
    assert run("add", package, "--repository", tmp_path / "library") == 0
    assert Library(DirectoryRepository(tmp_path / "library")).pre_ast(name(release)).header["release"] == release


def test_a_package_of_something_else_is_left_out(tmp_path, capsys):
    pytest.importorskip("debian")
    (tmp_path / "content/usr/bin").mkdir(parents=True)
    package = deb(tmp_path, tmp_path / "content", "hello", "1", "amd64")
    (tmp_path / "not.deb").write_bytes(b"not a package")
    assert run("add", package, tmp_path / "not.deb", "--repository", tmp_path / "library") == 1
    told = capsys.readouterr().err
    assert "holds 0 trees of a kernel's headers" in told and "is no Debian package" in told


class Deadly(str):
    """A path that kills the worker that is handed it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_worker_that_dies_costs_only_its_tree(trees):
    pytest.importorskip("joblib")
    jobs = jobs_for(trees, ["x86_64"])
    deadly = jobs[0]._replace(sources=(Deadly("/deadly"),))
    found = list(outcomes([*jobs[:1], deadly, *jobs[1:]], {}, workers=2))
    assert {outcome.parcel.name for outcome in found if outcome.parcel} == {name(f"6.1.{number}") for number in range(3)}
    (left_out,) = [outcome for outcome in found if not outcome.parcel]
    assert left_out.job.sources == ("/deadly",) and "died" in left_out.trouble


def test_no_worker_is_left_when_all_is_done(trees):
    pytest.importorskip("joblib")
    assert len(list(outcomes(jobs_for(trees, ["x86_64"]), {}, workers=2))) == 3
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("the kernel does not list a process' children")
    assert not [child for child in children.read_text().split()
                if b"LokyProcess" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_dask_cluster_builds_and_goes_on_without_the_worker_that_was_killed(trees, tmp_path):
    pytest.importorskip("joblib")
    distributed = pytest.importorskip("distributed")
    jobs = jobs_for(trees, ["x86_64", "i386"])
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        found = []
        for outcome in outcomes(jobs, {}, dask=cluster.scheduler_address):
            found.append(outcome)
            if len(found) == 1:
                os.kill(cluster.workers[0].pid, signal.SIGKILL)
    assert sorted(outcome.parcel.name for outcome in found) == sorted(
        name(f"6.1.{number}", arch) for number in range(3) for arch in ("x86_64", "i386"))


def test_a_dask_cluster_that_is_not_there_is_told_in_one_line(trees, tmp_path, monkeypatch, capsys):
    pytest.importorskip("joblib")
    pytest.importorskip("distributed")
    monkeypatch.setattr("rekall_layout_expert.supply.library.building._PATIENCE", 0.5)
    assert run("add", *trees, "--repository", tmp_path / "library", "--dask", "tcp://127.0.0.1:9") == 1
    assert "cannot be reached" in capsys.readouterr().err.splitlines()[-1]


def test_several_workers_without_joblib_are_told_what_is_missing(trees, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert run("add", *trees, "--repository", tmp_path / "library", "--workers", "2") == 1
    assert "joblib, which is missing; pip install joblib" in capsys.readouterr().err.splitlines()[-1]
