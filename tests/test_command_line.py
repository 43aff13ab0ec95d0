"""layout_tool from the outside: what it writes, what it logs, and how it fails.

Whatever is wrong with the input: exit code 1, one line on stderr beside the log, nothing half written.
"""
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import header_trees
import rekall_layout_expert
from header_trees import CONFIG
from rekall_layout_expert import build_pre_ast, write_pre_ast
from rekall_layout_expert.pre_ast.storage import dumps, loads
from rekall_layout_expert.version import VERSION

HOME = Path(rekall_layout_expert.__file__).parents[1]
LOGGED = re.compile(r"\d\d:\d\d:\d\d ")
SYSTEM_MAP = "ffffffff81000000 T _text\nffffffff82000000 D init_task\nffffffff83000000 B _end\n"
STUB = "ffffffffffffffff B The real System.map is in the linux-image-6.1.0-20-amd64-dbg package\n"


def layout_tool(*arguments, text=None, **options):
    """The finished process."""
    environment = dict(os.environ, PYTHONPATH=str(HOME), LC_ALL="C.UTF-8")
    return subprocess.run([sys.executable, "-m", "rekall_layout_expert.command_line", *map(str, arguments)], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, check=False, timeout=120,
                          **options)


def stages(done):
    """What was logged, without the time of day."""
    return [LOGGED.sub("", line) for line in done.stderr.splitlines() if LOGGED.match(line)]


def complaint(done):
    """The one line that a failure leaves beside the log."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not LOGGED.match(line)]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("layout_tool: ") and lines[0].isprintable()
    return lines[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return header_trees.package(tmp_path_factory.mktemp("headers"))


@pytest.fixture(scope="module")
def data(tree):
    """The bytes of its Pre-AST."""
    return dumps(build_pre_ast(tree))


class Files:
    """What make_profile reads and writes, in a directory of its own."""

    def __init__(self, directory, data):
        self.directory = directory
        self.pre_ast, self.config = directory / "pre_ast", directory / "config"
        self.system, self.profile = directory / "System.map", directory / "profile.json"
        self.pre_ast.write_bytes(data)
        self.config.write_text(CONFIG)
        self.system.write_text(SYSTEM_MAP)
        self.inputs = set(os.listdir(directory))

    def make_profile(self, *options, profile=None):
        return layout_tool("make_profile", "--config_file_path", self.config, "--system", self.system, *options,
                           self.pre_ast, profile or self.profile)

    def refused(self):
        """What make_profile complains of; it must leave nothing behind."""
        line = complaint(self.make_profile())
        assert set(os.listdir(self.directory)) == self.inputs
        return line


@pytest.fixture
def files(tmp_path, data):
    (tmp_path / "files").mkdir()
    return Files(tmp_path / "files", data)


# What it does.

def test_the_three_commands_one_after_the_other(tree, tmp_path):
    pre_ast, profile = tmp_path / "6.1.pre_ast", tmp_path / "profile.json"
    built = layout_tool("build_pre_ast", "--linux_repository_path", tree, "--arch", "x86_64", pre_ast)
    assert built.returncode == 0, built.stderr
    assert [line.split()[0] for line in stages(built)] == ["LOADING", "BUILT", "SAVED"]

    config, system = tmp_path / "config", tmp_path / "System.map"
    config.write_text(CONFIG)
    system.write_text(SYSTEM_MAP)
    made = layout_tool("make_profile", "--config_file_path", config, "--system", system, "--structs", "all", pre_ast, profile)
    assert made.returncode == 0, made.stderr
    assert [line.split()[0] for line in stages(made)] \
        == ["LOADING", "LOADED", "PREPROCESSED", "TRIMMED", "PARSED", "GENERATED", "SAVED"]
    content = json.loads(profile.read_text())
    assert content["$STRUCTS"]["task_struct"][1]["cpu"] == [4, ["int"]]
    assert content["$CONSTANTS"]["init_task"] == 0xFFFFFFFF82000000
    assert content["$METADATA"]["arch"] == "AMD64" and content["$CONFIG"]["CONFIG_HZ"] == "250"

    written = layout_tool("preprocess", "--config_file_path", config, pre_ast, tmp_path / "out.c")
    assert written.returncode == 0, written.stderr
    assert [line.split()[0] for line in stages(written)] == ["LOADING", "PREPROCESSED"]
    assert "char comm[16];" in (tmp_path / "out.c").read_text()
    assert "CONFIG_" not in (tmp_path / "out.c").read_text()
    for done in (built, made, written):
        assert done.stdout == "" and all(LOGGED.match(line) for line in done.stderr.splitlines())


def test_every_stage_is_logged_with_its_time(files):
    for line in stages(files.make_profile()):
        assert line.startswith("LEFT OUT") or re.search(r" in \d+\.\d\d s$", line), line


def test_a_profile_that_ends_in_gz_is_compressed(files):
    assert files.make_profile(profile=files.directory / "profile.gz").returncode == 0
    assert files.make_profile().returncode == 0
    packed = (files.directory / "profile.gz").read_bytes()
    assert json.loads(gzip.decompress(packed)) == json.loads(files.profile.read_text())


def test_inputs_may_be_compressed(files):
    plain = files.make_profile("--structs", "task_struct")
    expected = json.loads(files.profile.read_text())
    for path in (files.config, files.system, files.pre_ast):
        path.write_bytes(gzip.compress(path.read_bytes()))
    packed = files.make_profile("--structs", "task_struct")
    assert (plain.returncode, packed.returncode) == (0, 0)
    assert json.loads(files.profile.read_text()) == expected


def test_structs_by_name_and_what_they_embed(files):
    done = files.make_profile("--structs", "task_struct, absent")
    assert done.returncode == 1 and "was written without absent" in done.stderr.splitlines()[-1]
    content = json.loads(files.profile.read_text())
    assert list(content["$STRUCTS"]) == ["task_struct"]
    assert content["$METADATA"]["left_out"] == {"absent": "absent is not defined in these headers"}


def test_without_symbols_there_is_a_profile_without_constants(files):
    done = layout_tool("make_profile", "--config_file_path", files.config, files.pre_ast, files.profile)
    assert done.returncode == 0, done.stderr
    assert json.loads(files.profile.read_text())["$CONSTANTS"] == {}


def test_a_profile_replaces_what_was_there(files):
    files.profile.write_text("old " * 100_000)
    assert files.make_profile().returncode == 0
    assert json.loads(files.profile.read_text())["$METADATA"]["Type"] == "Profile"


def test_explain_shows_a_struct_and_where_its_members_come_from(files):
    done = layout_tool("explain", "--config_file_path", files.config, files.pre_ast, "task_struct")
    assert done.returncode == 0, done.stderr
    assert "\tint                        cpu;                  /*     4     4 */  // include/linux/sched.h:7  CONFIG_SMP" \
        in done.stdout.splitlines()
    assert re.search(r"char +comm\[16\];", done.stdout) and "/* size: " in done.stdout


def test_explain_tells_everything_about_a_member(files):
    done = layout_tool("explain", "--config_file_path", files.config, files.pre_ast, "task_struct.comm")
    assert done.returncode == 0, done.stderr
    assert "written at  include/linux/sched.h:" in done.stdout
    assert "TASK_COMM_LEN  16  (arch/x86/include/asm/page.h)" in done.stdout


@pytest.mark.parametrize("name, message", [
    ("task_strukt", "no struct task_strukt.*close to it: task_struct"), ("task_struct.com", "no member com; close to it: comm"),
    ("task_struct.audit", "include/linux/sched.h:10 has it under CONFIG_AUDIT.*CONFIG_AUDIT is not set"), ("\x1b[31m", "names no struct")])
def test_explain_of_what_is_not_there_is_one_line(files, name, message):
    assert re.search(message, complaint(layout_tool("explain", "--config_file_path", files.config, files.pre_ast, name)))


def test_explain_of_a_profile_says_that_conditions_are_not_known(files):
    assert files.make_profile(profile=files.directory / "profile.gz").returncode == 0
    done = layout_tool("explain", files.directory / "profile.gz", "task_struct")
    assert done.returncode == 0, done.stderr
    assert re.search(r"int +cpu; +/\* +4 +4 \*/$", done.stdout, re.M) and "is not known" in done.stdout.splitlines()[-1]


def test_explain_of_other_files_is_one_line(files):
    assert "--config_file_path" in complaint(layout_tool("explain", files.pre_ast, "s"))
    assert "is no Pre-AST" in complaint(layout_tool("explain", "--config_file_path", files.config, files.system, "s"))
    assert "cannot read" in complaint(layout_tool("explain", files.directory / "absent", "s"))
    files.profile.write_text("{")
    assert "damaged" in complaint(layout_tool("explain", files.profile, "s"))


def test_a_root_of_one_s_own(tree, files):
    root = files.directory / "root.c"
    root.write_text("#include <linux/types.h>\nstruct own { u32 number; };\n")
    assert layout_tool("build_pre_ast", "--source_file_path", root, "--linux_repository_path", tree,
                       files.pre_ast).returncode == 0
    assert files.make_profile("--structs", "all").returncode == 0
    assert list(json.loads(files.profile.read_text())["$STRUCTS"]) == ["own"]


def test_version_and_help():
    done = layout_tool("--version")
    assert (done.returncode, done.stdout.strip()) == (0, "layout_tool " + VERSION)
    shown = layout_tool("--help")
    assert shown.returncode == 0
    for command in ("build_pre_ast", "make_profile", "preprocess"):
        assert command in shown.stdout and layout_tool(command, "--help").returncode == 0


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["make_profile"], ["build_pre_ast", "out"], ["preprocess", "--nonsense"]])
def test_wrong_usage_is_exit_code_2(arguments):
    done = layout_tool(*arguments)
    assert done.returncode == 2 and done.stderr.startswith("usage: layout_tool")


# Bad input.

def test_a_truncated_pre_ast(files, data):
    for length in (0, 30, len(data) // 2, len(data) - 1):
        files.pre_ast.write_bytes(data[:length])
        line = files.refused()
        assert str(files.pre_ast) in line and ("truncated" in line or "is no Pre-AST" in line or "of format" in line)


def test_a_pre_ast_of_another_version(files, data):
    files.pre_ast.write_bytes(re.sub(rb"pre-ast \d+\n", b"pre-ast 999\n", data, count=1))
    assert "is a Pre-AST of format 999" in files.refused()


def test_a_pre_ast_of_another_architecture(files, tmp_path):
    other = header_trees.package(tmp_path / "arm64", {"arch/arm64/include/asm/page.h": "#define TASK_COMM_LEN 16\n"})
    write_pre_ast(build_pre_ast(other, arch="arm64"), files.pre_ast)
    assert "is a config for x86_64, the Pre-AST is for arm64" in files.refused()


@pytest.mark.parametrize("content, expected", [
    (b"text", "is no Pre-AST"), (b"", "is no Pre-AST"), (os.urandom(5000), "is no Pre-AST"), (gzip.compress(b"x"), "is no Pre-AST"),
    (gzip.compress(b"x" * 10000)[:-9], "is damaged"),
])
def test_what_is_no_pre_ast(files, content, expected):
    files.pre_ast.write_bytes(content)
    assert expected in files.refused()


def test_a_pre_ast_that_is_damaged_inside(files, data):
    files.pre_ast.write_bytes(data[:-100] + bytes(100))
    assert "is truncated or damaged" in files.refused()


@pytest.mark.parametrize("change, expected", [
    (("CONFIG_X86_64=y", "CONFIG_ARM64=y"), "is a config for arm64, the Pre-AST is for x86_64"),
    (("6.1.85", "5.10.9"), "is a config of kernel 5.10.9, the Pre-AST is of kernel 6.1.85"),
    (("CONFIG_", "# "), "is no kernel configuration"),
    (("CONFIG_CC_IS_GCC=y", "CONFIG_CC_IS_CLANG=y\nCONFIG_CLANG_VERSION=80001"), "was built with clang 8.0.1"),
])
def test_a_config_that_does_not_fit(files, change, expected):
    files.config.write_text(CONFIG.replace(*change))
    line = files.refused()
    assert str(files.config) in line and expected in line


@pytest.mark.parametrize("content", [b"", b"\x00" * 1000, os.urandom(1000), gzip.compress(CONFIG.encode())[:-9]])
def test_what_is_no_config(files, content):
    files.config.write_bytes(content)
    assert str(files.config) in files.refused()


def test_debian_s_stub_of_a_system_map(files):
    files.system.write_text(STUB)
    line = files.refused()
    assert str(files.system) in line and "/proc/kallsyms" in line


@pytest.mark.parametrize("content", [
    pytest.param("", id="empty"),
    pytest.param("".join("0000000000000000 %s\n" % line[17:] for line in SYSTEM_MAP.splitlines()), id="all zero"),
    pytest.param("ffffffff81000000 T _text\n", id="the first line alone"),
    pytest.param("text\n", id="something else"),
    pytest.param("\x00\x01" * 500, id="binary"),
])
def test_symbols_that_are_none(files, content):
    files.system.write_text(content)
    assert str(files.system) in files.refused()


@pytest.mark.parametrize("what", ["pre_ast", "config", "system"])
def test_an_input_that_is_absent_or_a_directory(files, what):
    path = getattr(files, what)
    path.unlink()
    files.inputs.discard(path.name)
    assert "cannot read %s: No such file" % path in files.refused()
    path.mkdir()
    files.inputs.add(path.name)
    assert "cannot read %s: Is a directory" % path in files.refused()


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_no_struct_at_all(files, names):
    assert "no struct is asked for" in complaint(files.make_profile("--structs", names))


def test_a_folder_that_is_no_header_tree(tmp_path):
    out = tmp_path / "out"
    for tree in (tmp_path, tmp_path / "absent", __file__):
        line = complaint(layout_tool("build_pre_ast", "--linux_repository_path", tree, out))
        assert str(tree) in line and "/lib/modules/RELEASE/build" in line
    assert not out.exists()


def test_an_architecture_that_is_none(tree, tmp_path):
    line = complaint(layout_tool("build_pre_ast", "--linux_repository_path", tree, "--arch", "pdp11", tmp_path / "out"))
    assert "no architecture is called pdp11" in line and "x86_64" in line


def test_a_root_that_is_absent(tree, tmp_path):
    line = complaint(layout_tool("build_pre_ast", "--source_file_path", tmp_path / "root.c", "--linux_repository_path", tree,
                                 tmp_path / "out"))
    assert "root.c: No such file" in line


@pytest.mark.parametrize("arguments", [
    ["build_pre_ast", "--linux_repository_path", "TREE"],
    ["make_profile", "--config_file_path", "CONFIG", "PRE_AST"],
    ["preprocess", "--config_file_path", "CONFIG", "PRE_AST"],
], ids=lambda arguments: arguments[0])
def test_an_output_that_cannot_be_written(files, tree, arguments):
    places = {"TREE": tree, "CONFIG": files.config, "PRE_AST": files.pre_ast}
    arguments = [places.get(each, each) for each in arguments]
    for out, reason in ((files.directory / "absent" / "out", "No such file or directory"), (files.directory, "Is a directory"),
                        (files.config / "out", "Not a directory")):
        assert "cannot write %s: %s" % (out, reason) in complaint(layout_tool(*arguments, out))
    if os.path.exists("/dev/full"):
        assert "cannot write /dev/full: No space left on device" in complaint(layout_tool(*arguments, "/dev/full"))
    assert set(os.listdir(files.directory)) == files.inputs


@pytest.fixture
def full_disk(tmp_path):
    """A file system of two pages."""
    place = tmp_path / "full"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system to fill")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(place)], stderr=subprocess.PIPE, text=True,
                             check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here: " + mounted.stderr.strip())
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_what_was_there(files, full_disk):
    out = full_disk / "profile.json"
    out.write_text("old")
    (full_disk / "ballast").write_bytes(bytes(4096))
    line = complaint(files.make_profile(profile=out))
    assert "cannot write %s: No space left on device" % out in line
    assert out.read_text() == "old" and sorted(os.listdir(full_disk)) == ["ballast", "profile.json"]


def test_a_reader_that_goes_away_gets_no_traceback(files):
    """layout_tool ... /dev/stdout | head -c 1"""
    read, write = os.pipe()
    os.close(read)
    environment = dict(os.environ, PYTHONPATH=str(HOME))
    done = subprocess.run([sys.executable, "-m", "rekall_layout_expert.command_line", "make_profile", "--config_file_path",
                           str(files.config), str(files.pre_ast), "/dev/stdout"], stdout=write, stderr=subprocess.PIPE, text=True,
                          env=environment, check=False, timeout=120)
    os.close(write)
    assert done.returncode != 0 and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def hostile(data, tmp_path, program):
    path = tmp_path / "hostile"
    path.write_bytes(header_trees.with_program(loads(data, "the file"), program))
    return path


@pytest.mark.parametrize("program", [
    pytest.param([[99]], id="an unknown item"),
    pytest.param([[6, "no\nerror \x1b[31m\u202e"]], id="an #error for the terminal"),
    pytest.param([[4, "<", "linux/\x1b[31m\nabsent.h"]], id="a name for the terminal"),
    pytest.param([[4, '"', "<root>"]], id="including itself"),
    pytest.param([[3, [["?1 / 0", []]]]], id="a division by zero"),
    pytest.param([[0, 1, "int a[F(];", 0, 1, ["a"]], [3, [["?F(", []]]]], id="an open call"),
])
def test_a_hostile_pre_ast(files, data, tmp_path, program):
    files.pre_ast = hostile(data, tmp_path, [[1, "F", ["x"], "x"], *program])
    files.refused()


def test_a_hostile_pre_ast_logs_no_control_character(files, data, tmp_path):
    program = [[0, 1, "struct a\x1b[31m { int b; };", 0, 1, [".a\x1b[31m", ".x\ny"]], [0, 2, "struct b { int \x07c : 99; };", 0, 1, [".b"]]]
    files.pre_ast = hostile(data, tmp_path, program)
    done = files.make_profile("--structs", "all,a\x1b[31m,b")
    for line in done.stderr.splitlines():
        assert line.isprintable(), line
