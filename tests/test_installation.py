"""The environment that requirements.txt and setup.py make: Rekall runs in it, quietly, on every Python we support.

The fast tests ask the environment that runs them; the slow ones build fresh environments with the command of README.md.
"""
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import processes
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
# With the first profile of a kernel, where its Pre-AST is from; nothing else.
SAYS = r"(rekall: Pre-AST named by the user, .*\n)?"
EXIT_CODES_OF_HELP = (0, 255)  # Rekall exits with -1 after its help.

needs_rekall = pytest.mark.skipif(
    importlib.util.find_spec("rekall") is None or shutil.which("rekall", path=os.path.dirname(sys.executable)) is None,
    reason="Rekall is not installed beside this Python; `make test` does that")


@pytest.fixture
def run(tmp_path):
    """run(program of the environment, arguments ...): its output, run in an empty home and directory; it says nothing but SAYS."""

    def run_quietly(program, *arguments, environment=os.path.dirname(sys.executable), exit_codes=(0,)):
        done = subprocess.run(
            [os.path.join(environment, program), *arguments], cwd=tmp_path, timeout=120, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8"})
        assert re.fullmatch(SAYS, done.stderr)
        assert done.returncode in exit_codes
        return done.stdout

    return run_quietly


@needs_rekall
def test_rekall_knows_the_plugin(run):
    assert "--pre_ast" in run("rekall", "layout_expert", "--help", exit_codes=EXIT_CODES_OF_HELP)


@needs_rekall
@pytest.mark.parametrize("command", ["rekall", "rekal"])
def test_both_commands_answer_with_the_version_of_rekall(run, command):
    # Not with one that is made of the commits of the git repository in which the environment lies.
    assert "Rekall Version 1.7.2.rc1 (" in run(command, "--version")


@needs_rekall
def test_layout_tool(run):
    assert "make_profile" in run("layout_tool", "--help")


@needs_rekall
def test_rekall_as_a_library(run):
    plugins = run("python", "-c", "from rekall import session, plugins; print(*dir(session.Session().plugins))").split()
    assert "layout_expert" in plugins


@needs_rekall
def test_rekall_imports_what_it_knew_and_nobody_else_does(run):
    assert run("python", "-c", """if True:
        import rekall.plugin, collections, inspect, sys
        from rekall.plugins.filesystems import ntfs
        print(rekall.plugin.collections.Iterable is collections.abc.Iterable)
        print(ntfs.array.array("B", b"hal")[:2].tostring())
        print(hasattr(collections, "Iterable") and sys.version_info >= (3, 10))
        print(isinstance(sys.modules.get("pyaff4"), type))
        """).split() == ["True", "b'ha'", "False", "False"]


@needs_rekall
def test_sorted_collections(run):
    assert run("python", "-c", """if True:
        from rekall_lib import utils
        ranges = utils.RangedCollection()
        for start in (30, 10, 20):
            ranges.insert(start, start + 5, str(start))
        print(*ranges, ranges[1], ranges.get_containing_range(24), ranges.get_next_range_start(21), sep=";")
        print(*utils.SortedCollection({2: "b", 1: "a"}))
        """) == "(10, 15, '10');(20, 25, '20');(30, 35, '30');(20, 25, '20');(20, 25, '20');30\na b\n"


@needs_rekall
@pytest.mark.parametrize("package, use", [
    ("pyaff4", "from rekall.plugins.tools import aff4acquire; aff4acquire.data_store.MemoryDataStore()"),
    ("pyaff4", "from rekall.plugins.tools import aff4acquire; aff4acquire.AddressSpaceWrapper()"),
    ("pytsk3", "from rekall.plugins.filesystems import tsk; tsk.AS_Img_Info(None)"),
    ("yara", "from rekall.plugins import yarascanner; yarascanner.yara.compile(source='')"),
    ("artifacts", "from rekall.plugins.response import forensic_artifacts as f; f.errors.FormatError('x')"),
])
def test_an_absent_package_says_so_when_it_is_used(run, package, use):
    if importlib.util.find_spec(package) is not None:
        pytest.skip("%s is installed here" % package)
    answer = run("python", "-c", """if True:
        import rekall.rekal, rekall.plugin
        try:
            {}
        except rekall.plugin.PluginError as error:
            print(error)
        """.format(use))
    assert re.match(r"Rekall needs the Python package %s to .*, and cannot import it \(No module named '%s'\). "
                    r"What to do: .+\.\n$" % (package, package), answer)


@needs_rekall
def test_detection_of_profiles_does_not_ask_for_an_absent_package(run):
    if importlib.util.find_spec("pytsk3") is not None:
        pytest.skip("pytsk3 is installed here")
    names = run("python", "-c", "import rekall.rekal; from rekall.plugins import guess_profile as g;"
                "print(*(name for name, methods in g.DetectionMethod.classes_by_name.items() if methods))").split()
    assert "linux" in names and "tsk" not in names


@needs_rekall
def test_other_starts_of_python_import_next_to_nothing(run):
    loaded = run("python", "-c", "import sys; print(*sys.modules)").split()
    assert [name for name in loaded if name.startswith(("rekall", "efilter"))] == [
        "rekall_layout_expert", "rekall_layout_expert.rekall_bridge"]
    assert not {"inspect", "json", "importlib.metadata", "sortedcontainers"} & set(loaded)


# -- Fresh environments ------------------------------------------------------------------------------------------------


def find_python(version):
    """The path of a Python of `version` with which environments can be made, or None."""
    candidates = [shutil.which("python" + version)]
    candidates += sorted(Path.home().glob(".pyenv/versions/%s.*/bin/python" % version))
    for candidate in filter(None, candidates):
        answer = subprocess.run([str(candidate), "-c", "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if answer.stdout.strip() == version:
            return str(candidate)
    return None


def command_of_requirements():
    """The command that requirements.txt gives to its reader."""
    return re.search(r"^# +pip (install .+)$", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)[1].split()


def pip(environment, *arguments, directory="."):
    done = subprocess.run([str(environment / "bin/python"), "-m", "pip", *arguments], cwd=directory, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode and re.search("Connection|Temporary failure|timed out", done.stdout):
        pytest.skip("the package registry does not answer: " + done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout


def files_below(directory):
    return {path.relative_to(directory) for path in directory.rglob("*")
            if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("version, newest_pip", [
    pytest.param(version, newest, marks=pytest.mark.ci if (version, newest) in {("3.9", False), ("3.13", True)} else ())
    for version in PYTHONS for newest in (False, True)])
def test_fresh_environment(run, tmp_path, version, newest_pip):
    python = find_python(version)
    if python is None:
        pytest.skip("no Python %s on this machine" % version)
    environment = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    if newest_pip:
        pip(environment, "install", "--upgrade", "pip")
    checkout = tmp_path / "checkout"  # A copy, because pip builds in the directory that it is given.
    shutil.copytree(REPOSITORY / "rekall_layout_expert", checkout / "rekall_layout_expert")
    for name in ("setup.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(REPOSITORY / name, checkout)
    pip(environment, *command_of_requirements(), directory=checkout)

    [installed] = environment.glob("lib/*/site-packages/rekall_layout_expert")
    assert not files_below(checkout / "rekall_layout_expert") - files_below(installed)

    bin_directory = str(environment / "bin")
    assert "--pre_ast" in run("rekall", "layout_expert", "--help", environment=bin_directory,
                              exit_codes=EXIT_CODES_OF_HELP)
    assert "1.7.2" in run("rekal", "--version", environment=bin_directory)
    assert "layout_expert" in run("python", "-c", "from rekall import session, plugins; print(dir(session.Session().plugins))",
                           environment=bin_directory)
    assert "make_profile" in run("layout_tool", "--help", environment=bin_directory)
    sample = REPOSITORY / "samples" / "guest.core"
    assert processes.from_pslist(run("rekall", "-f", str(sample), "pslist", environment=bin_directory)) == \
        processes.from_ps(sample.with_name("guest.core.ps").read_text())

    pip(environment, "uninstall", "--yes", "rekall-layout-expert")
    assert not list(environment.glob("lib/*/site-packages/*layout_expert*"))
