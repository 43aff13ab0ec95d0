"""Pre-ASTs: built from every shape of header tree, and read back with distrust."""
import hashlib
import json
import shutil
import zlib

import pytest

import header_trees
from header_trees import CONFIG, GENERATED, RELEASE, VERSION, packed, with_program
from kernels import kernel_or_skip
from rekall_layout_expert import build_pre_ast, make_profile, read_pre_ast, write_pre_ast
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.pre_ast.model import FORMAT, ROOT
from rekall_layout_expert.pre_ast.storage import dumps, loads


def structs(pre_ast, config=CONFIG, names="all"):
    return make_profile(pre_ast, KernelConfig.parse(config, "config"), structs=names)["$STRUCTS"]


@pytest.fixture
def package(tmp_path):
    return header_trees.package(tmp_path / "package")


@pytest.fixture
def pre_ast(package):
    return build_pre_ast(package)


# state, cpu, zones[2], comm[16]
TASK = [28, {"state": [0, ["unsigned int"]], "cpu": [4, ["int"]],
             "zones": [8, ["Array", {"count": 2, "target": "char"}]],
             "comm": [10, ["Array", {"count": 16, "target": "char"}]]}]


# The shapes.

def test_a_headers_package_in_one_folder(pre_ast):
    header = pre_ast.header
    assert (header["version"], header["release"], header["arch"]) == (VERSION, RELEASE, "x86_64")
    assert (header["source"], header["common"], header["format"]) == ("headers", None, FORMAT)
    assert structs(pre_ast)["task_struct"] == TASK


def test_debian_s_two_folders_are_one_tree(tmp_path):
    pre_ast = build_pre_ast(header_trees.debian_packages(tmp_path))
    assert (pre_ast.header["version"], pre_ast.header["release"]) == (VERSION, RELEASE)
    assert pre_ast.header["common"] == header_trees.COMMON
    assert structs(pre_ast)["task_struct"] == TASK


def test_the_shared_folder_is_found_beside_the_flavour_s_wherever_they_were_unpacked(tmp_path):
    # The flavour's Makefile names /usr/src/..., where this machine has nothing or something else.
    tree = header_trees.debian_packages(tmp_path / "unpacked" / "somewhere")
    assert structs(build_pre_ast(tree))["task_struct"] == TASK


def test_a_missing_shared_folder_is_named_with_the_places(tmp_path):
    tree = header_trees.debian_packages(tmp_path)
    shutil.rmtree(tree.parent / header_trees.COMMON)
    with pytest.raises(LayoutExpertError) as caught:
        build_pre_ast(tree)
    assert header_trees.COMMON in caught.value.what
    assert list(caught.value.looked_at) == [str(tree.parent / header_trees.COMMON), "/usr/src/" + header_trees.COMMON]
    assert "unpack the package" in caught.value.next_step


def test_an_installed_tree_is_reached_through_its_link(tmp_path):
    tree = header_trees.debian_packages(tmp_path)
    build = tmp_path / "lib/modules" / RELEASE / "build"
    build.parent.mkdir(parents=True)
    build.symlink_to(tree)
    assert structs(build_pre_ast(build))["task_struct"] == TASK


def test_full_source_needs_nothing_that_its_build_generates(tmp_path):
    pre_ast = build_pre_ast(header_trees.full_source(tmp_path))
    assert (pre_ast.header["source"], pre_ast.header["version"], pre_ast.header["release"]) == ("source", VERSION, None)
    made = structs(pre_ast)
    assert made["task_struct"] == TASK


def test_wrappers_that_kbuild_would_generate_are_there(tmp_path):
    # generic-y and mandatory-y pass <asm/x.h> on to <asm-generic/x.h>
    made = structs(build_pre_ast(header_trees.full_source(tmp_path)))
    assert made["mcs_spinlock"][0] == 4 and made["current_info"][0] == 8


def test_a_shared_folder_serves_two_flavours(tmp_path):
    first = build_pre_ast(header_trees.debian_packages(tmp_path))
    second = build_pre_ast(header_trees.debian_packages(tmp_path, release="6.1.0-20-cloud-amd64"))
    assert {key: value for key, value in first.header.items() if key != "release"} \
        == {key: value for key, value in second.header.items() if key != "release"}
    assert first.files == second.files


# What is in it.

def test_one_pre_ast_serves_every_configuration(pre_ast):
    assert list(structs(pre_ast)["task_struct"][1]) == ["state", "cpu", "zones", "comm"]
    assert list(structs(pre_ast, CONFIG.replace("CONFIG_SMP=y", ""))["task_struct"][1]) == ["state", "zones", "comm"]
    audited = structs(pre_ast, CONFIG + "CONFIG_AUDIT=y\nCONFIG_HIGHMEM=y\n")["task_struct"]
    assert audited[1]["audit"] == [8, ["unsigned long"]]
    assert audited[1]["zones"][1][1]["count"] == 3


def test_a_platform_s_headers_are_those_that_the_configuration_puts_on_the_search_path(package):
    # arch/mips/include/asm/mach-malta holds headers for Malta boards only; asm/mach-generic those of all others.
    header_trees.write(package, {
        "arch/mips/Makefile": "cflags-y += -pipe\ncflags-y += -I$(srctree)/arch/mips/include/asm/mach-generic\n",
        "arch/mips/Kbuild.platforms": "platform-$(CONFIG_MIPS_MALTA) += mti-malta/\n",
        "arch/mips/mti-malta/Platform": "cflags-$(CONFIG_MIPS_MALTA) += \\\n\t-I$(srctree)/arch/mips/include/asm/mach-malta/\n",
        "arch/mips/include/asm/mach-malta/room.h": "#define ROOM 8\n#include_next <room.h>\n",
        "arch/mips/include/asm/mach-generic/room.h": "#ifndef ROOM\n#define ROOM 3\n#endif\n",
        "arch/mips/include/asm/page.h": "#include <room.h>\n#define TASK_COMM_LEN ROOM\n"})
    pre_ast = build_pre_ast(package, "mips")
    config = CONFIG.replace("/x86", "/mips").replace("CONFIG_X86_64", "CONFIG_MIPS")

    def comm(config):
        return structs(loads(dumps(pre_ast), "it"), config)["task_struct"][1]["comm"][1][1]["count"]
    assert (comm(config), comm(config + "CONFIG_MIPS_MALTA=y\n")) == (3, 8)


def test_what_the_package_s_own_build_generated_is_not_in_it(pre_ast, package):
    # Its autoconf.h and timeconst.h are #errors here, its bounds.h has other numbers.
    assert not {path for path in GENERATED if "utsrelease" not in path} & set(pre_ast.files)
    assert "include/generated/bounds.h" in pre_ast.header["generated"]
    other = header_trees.package(package.parent / "other", {
        "include/generated/bounds.h": GENERATED["include/generated/bounds.h"].replace("23", "9").replace("5", "4")})
    assert build_pre_ast(other).digest == pre_ast.digest


def test_only_what_the_root_reaches_is_in_it(package):
    header_trees.write(package, {"include/linux/unreached.h": "struct unreached { int a; };\n"})
    assert "include/linux/unreached.h" not in build_pre_ast(package).files

def left(package, text, names):
    """Which of the macros of those names are left of the text of a header."""
    header_trees.write(package, {"include/linux/more.h": text, "root.c": "#include <linux/more.h>\nstruct s { int x; };\n"})
    program = json.dumps(build_pre_ast(package, root=package / "root.c").files)
    return [name for name in names.split() if '[1, "%s"' % name in program]


@pytest.mark.parametrize("text, called, uncalled", [
    ("#define A B\n#define B 1\n#define C A\nstruct t { int a[A]; };\n", "A B", "C"),
    ("#define A B\n#define B 1\n#define C A\n#if A\nint x;\n#endif\nstruct t { int y; };\n", "A B", "C"),
    ("#ifdef A\n#define B 1\n#endif\n#define A\nstruct t { int b[B]; };\n", "A B", ""),
    # Pasted: of words, of parts, and of a number that a config gives.
    ("#define A(x) a_##x\n#define a_b 1\n#define a_c 2\nstruct t { int a[A(b)]; };\n", "A a_b", "a_c"),
    ("#define CAT(x, y) x##y\n#define ab 1\n#define ac 1\nstruct t { int a[CAT(a, b)]; };\n", "CAT ab", "ac"),
    ("#define CAT(x, y) x##y\n#define N_12 1\n#define M_12 1\nstruct t { int a[CAT(N_, CONFIG_X)], b[CAT(N_1, CONFIG_Y)]; };\n",
     "CAT N_12", "M_12"),
    ("#define A(x) B(x)\n#define B(x) a_##x\n#define a_b C\n#define C 1\nstruct t { int a[A(b)]; };\n", "A B a_b C", ""),
    ("#define HEADER <linux/types.h>\n#include HEADER\nstruct t { u32 x; };\n", "HEADER", ""),
    ("#define A int x;\n#pragma push_macro(\"A\")\nstruct t { int y; };\n", "A", ""),
    ("#define A(x) x\n#define PUSH _Pragma(\"push_macro(\\\"A\\\")\")\nPUSH struct t { int y; };\n", "A PUSH", ""),
    ("#define f(x) g(x)\n#define g(x) (x)\nstatic inline int h(int x)\n{\n\treturn f(x);\n}\nstruct t { int y; };\n", "", "f g"),
    # What a member or a tag is called by, too.
    ("#define old there\n#define other s.there\n#define call callee\nstruct s { int there; };\nint callee(int x);\n", "old other", "call"),
    ("#define f(x) g\n#define g 1\nint object(int f(x));\nstruct t { int y; };\n", "", "f g"),
])
def test_the_macros_that_nothing_can_call_are_not_in_it(package, text, called, uncalled):
    assert left(package, text, called + " " + uncalled) == called.split()


def test_an_undefined_macro_stays_undefined(package):
    header_trees.write(package, {"include/linux/more.h": "#define A 1\n#undef A\n#ifndef A\nstruct t { int x; };\n#endif\n",
                                 "root.c": "#include <linux/more.h>\n"})
    assert structs(build_pre_ast(package, root=package / "root.c"))["t"] == [4, {"x": [0, ["int"]]}]


def test_the_numbers_of_cpu_features_are_in_it(package):
    # cpufeaturemasks.h is made of them.
    header_trees.write(package, {"arch/x86/include/asm/cpufeatures.h": "#define NCAPINTS 1\n#define X86_FEATURE_FPU (0*32+ 0)\n"})
    header_trees.write(package, {"root.c": "#include <asm/cpufeatures.h>\nstruct t { int x; };\n"})
    files = build_pre_ast(package, root=package / "root.c").files
    assert [item[1] for item in files["arch/x86/include/asm/cpufeatures.h"]] == ["NCAPINTS", "X86_FEATURE_FPU"]


def test_a_root_of_one_s_own(package, tmp_path):
    header_trees.write(package, {"include/linux/reached.h": "struct reached { int a; };\n"})
    root = tmp_path / "root.c"
    root.write_text("#include <linux/reached.h>\nstruct own { struct reached r; };\n")
    pre_ast = build_pre_ast(package, root=root)
    assert "include/linux/sched.h" not in pre_ast.files
    assert structs(pre_ast) == {"reached": [4, {"a": [0, ["int"]]}], "own": [4, {"r": [0, ["reached"]]}]}


def test_a_header_that_a_header_misses_is_named_when_a_configuration_needs_it(package):
    header_trees.write(package, {"include/linux/types.h": "#ifdef CONFIG_EXOTIC\n#include <linux/exotic.h>\n#endif\n"
                                                          + header_trees.SHARED["include/linux/types.h"]})
    pre_ast = build_pre_ast(package)
    assert structs(pre_ast)["task_struct"] == TASK
    with pytest.raises(LayoutExpertError, match="include/linux/types.h includes linux/exotic.h, which is not there"):
        structs(pre_ast, CONFIG + "CONFIG_EXOTIC=y\n")


def test_the_host_s_own_headers_are_never_taken(package):
    # stddef.h and stdio.h are on every machine with a compiler.
    header_trees.write(package, {"include/linux/types.h": "#include <stdio.h>\n" + header_trees.SHARED["include/linux/types.h"]})
    pre_ast = build_pre_ast(package)
    assert not any("stdio" in path for path in pre_ast.files)
    with pytest.raises(LayoutExpertError, match="includes stdio.h, which is not there"):
        structs(pre_ast)


def test_progress_is_told_line_by_line(package):
    lines = []
    build_pre_ast(package, progress=lines.append)
    assert [line.split()[0] for line in lines] == ["LOADING", "BUILT"]
    assert str(package) in lines[0] and VERSION in lines[0]


@pytest.mark.parametrize("arch", ["arm64", "s390"])
def test_an_architecture_that_the_package_has_not_got(package, arch):
    with pytest.raises(LayoutExpertError, match="holds no headers for " + arch) as caught:
        build_pre_ast(package, arch=arch)
    assert any("arch/%s/include/asm" % arch in place for place in caught.value.looked_at)


def test_an_architecture_that_nobody_has(package):
    with pytest.raises(LayoutExpertError, match="no architecture is called amd64") as caught:
        build_pre_ast(package, arch="amd64")
    assert "x86_64" in caught.value.next_step


@pytest.mark.parametrize("make", [
    pytest.param(lambda path: path, id="absent"),
    pytest.param(lambda path: header_trees.write(path, {"README": ""}), id="empty"),
    pytest.param(lambda path: header_trees.write(path, {"Makefile": "all:\n"}), id="a makefile of something else"),
    pytest.param(lambda path: header_trees.write(path, {"Makefile": header_trees.MAKEFILE}), id="a makefile alone"),
    pytest.param(lambda path: header_trees.write(path.parent, {path.name: "text"}) / path.name, id="a file"),
])
def test_a_folder_that_is_no_header_tree(tmp_path, make):
    with pytest.raises(LayoutExpertError) as caught:
        build_pre_ast(make(tmp_path / "tree"))
    assert str(tmp_path / "tree") in str(caught.value)


def test_what_a_root_of_one_s_own_includes_must_be_there(package, tmp_path):
    (tmp_path / "root.c").write_text("#include <linux/of_another_version.h>\n")
    with pytest.raises(LayoutExpertError, match="the root includes linux/of_another_version.h, which is not there"):
        build_pre_ast(package, root=tmp_path / "root.c")


def test_a_damaged_header_is_named(package):
    header_trees.write(package, {"include/linux/types.h": "#ifdef CONFIG_SMP\ntypedef int u32;\n"})
    with pytest.raises(LayoutExpertError, match="include/linux/types.h: #if without #endif"):
        build_pre_ast(package)


# The file.

def test_written_and_read_back_it_is_equal(pre_ast, tmp_path):
    write_pre_ast(pre_ast, tmp_path / "file")
    again = read_pre_ast(tmp_path / "file")
    assert (again.header, again.files, again.digest) == (pre_ast.header, pre_ast.files, pre_ast.digest)
    assert structs(again) == structs(pre_ast)


def test_the_same_tree_gives_the_same_bytes_wherever_it_lies(package, pre_ast, tmp_path):
    shutil.copytree(package, tmp_path / "a copy" / "elsewhere")
    assert dumps(build_pre_ast(tmp_path / "a copy" / "elsewhere")) == dumps(pre_ast)
    assert str(tmp_path).encode() not in zlib.decompress(dumps(pre_ast).split(b"\n", 2)[2])


def test_another_tree_gives_another_digest(package, pre_ast):
    header_trees.write(package, {"arch/x86/include/asm/page.h": "#define TASK_COMM_LEN 17\n"})
    assert build_pre_ast(package).digest != pre_ast.digest


def test_truncated_anywhere_it_is_refused(pre_ast):
    data = dumps(pre_ast)
    for length in [0, 1, 10, 24, 60, 89, 90, 100, len(data) // 2, len(data) - 1]:
        with pytest.raises(LayoutExpertError, match="^the file "):
            loads(data[:length], "the file")


def test_with_any_byte_flipped_it_is_refused(pre_ast):
    data = dumps(pre_ast)
    for place in [*range(0, 100), *range(100, len(data), 97), len(data) - 1]:
        flipped = bytearray(data)
        flipped[place] ^= 0x20
        with pytest.raises(LayoutExpertError, match="^the file "):
            loads(bytes(flipped), "the file")


def test_another_format_is_refused_by_both_numbers(pre_ast):
    data = dumps(pre_ast).replace(b"pre-ast %d\n" % FORMAT, b"pre-ast 999\n", 1)
    with pytest.raises(LayoutExpertError, match="the file is a Pre-AST of format 999, this version reads format %d" % FORMAT):
        loads(data, "the file")


@pytest.mark.parametrize("data", [
    b"", b"\n", b"text\n", b"\x7fELF" + bytes(1000), b"layout-expert pre-as", bytes(range(256)) * 100,
    b"layout-expert pre-ast \x1b[31m\n\n", zlib.compress(b"text"),
])
def test_what_is_no_pre_ast_is_refused_on_one_clean_line(data):
    with pytest.raises(LayoutExpertError) as caught:
        loads(data, "the file")
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[]", b"[1, 2]", b"[{}, {}]", b"null", b"[{}, []]", b'[{"version": 1}, {}]', b"\xff\xfe", b"[NaN",
    b"[" * 100_000, b'{"a":' * 100_000,
])
def test_content_of_another_shape_is_refused(content):
    with pytest.raises(LayoutExpertError, match="the file is damaged"):
        loads(packed(content), "the file")


@pytest.mark.parametrize("key", ["version", "arch", "source", "search_path", "forced", "options"])
@pytest.mark.parametrize("value", [None, 5], ids=["absent", "a number"])
def test_a_header_without_what_it_needs_is_refused(pre_ast, key, value):
    header = {**pre_ast.header, key: value}
    if value is None:
        del header[key]
    with pytest.raises(LayoutExpertError, match="the file is damaged"):
        loads(packed(json.dumps([header, pre_ast.files]).encode()), "the file")


@pytest.mark.parametrize("key, value", [
    ("release", 5), ("package_version", 5), ("common", 5), ("common", ["a"]), ("arch", "amd64"), ("version", "six"), ("generated", 5),
    ("generated", None), ("generated", [["a"]]), ("search_path", [5]), ("forced", [5]), ("forced", ["absent.h"]),
    ("options", {}), ("options", {"standard": 5}),
])
def test_a_header_with_nonsense_in_it_is_one_line_at_the_latest_when_it_is_used(pre_ast, key, value):
    data = packed(json.dumps([{**pre_ast.header, key: value}, pre_ast.files]).encode())
    try:
        structs(loads(data, "the file"))
    except LayoutExpertError as error:
        assert "\n" not in str(error)


def test_a_bomb_is_refused_before_it_goes_off():
    bomb = zlib.compressobj(9)
    body = b"".join([bomb.compress(bytes(1 << 20)) for _ in range(300)] + [bomb.flush()])
    data = b"layout-expert pre-ast %d\n" % FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    with pytest.raises(LayoutExpertError, match="unpacks to more than"):
        loads(data, "the file")


@pytest.mark.parametrize("program", [
    5, None, "text", {"a": 1}, [5], [[]], [[99]], [["0"]], [[0]], [[0, 1, 2, 3, 4, 5]], [[0, 1, "int a;", 0, 1, "a"]],
    [[0, 1, "int a;", 0, 1, [""]]], [[0, "1", "int a;", 0, 1, []]], [[1, "A", 5, ""]], [[1, "A", 0, ""]], [[1, "A", None, None]],
    [[3, 5]], [[3, [["+A"]]]], [[3, [[5, []]]]], [[4, "<", 5]], [[4, "x", "a.h"]], [[2, None]], [[2]], [[5, []]],
    [[3, [["", [[99]]]]]],
])
def test_a_hostile_program_is_refused_when_it_is_used(pre_ast, program):
    with pytest.raises(LayoutExpertError, match="the Pre-AST is damaged at <root>|the file is damaged"):
        structs(loads(with_program(pre_ast, program), "the file"))


@pytest.mark.parametrize("program", [
    pytest.param([[4, "<", "linux/sched.h"], [4, '"', "<root>"]], id="including itself"),
    pytest.param([[1, "A", None, "A A"], [0, 1, "int a[A];", 0, 1, ["a"]]], id="a macro of itself"),
    pytest.param([[1, "F", ["x"], "F x x"], [3, [["?F(F(F(1)))", []]]]], id="a condition that never ends"),
    pytest.param([[3, [["?" + "(" * 5000, []]]]], id="a condition too deep"),
    pytest.param([[4, "", "MACRO"]], id="a computed include of nothing"),
    pytest.param([[4, '"', "../../../../etc/passwd"]], id="a file of the host"),
    pytest.param([[4, "<", "/etc/passwd"]], id="a file of the host by its absolute name"),
    pytest.param([[5, "pop_macro(\"A\")"], [5, "pack(pop)"], [5, "pack(push, 99999)"]], id="pragmas"),
    pytest.param([[7, "1 x"], [7, ""]], id="lines"),
    pytest.param([[0, 1, "}}}}))))", -8, 1, []], [0, 2, "struct a { int b; };", 0, 1, [".a"]]], id="brackets"),
    pytest.param([[0, 1, "struct a { struct a b; };", 0, 1, [".a"]]], id="a struct of itself"),
    pytest.param([[0, 1, "struct a { int b[1000000000000]; };", 0, 1, [".a"]]], id="an array without end"),
    pytest.param([[0, 1, "struct a { int b[%s1%s]; };" % ("(" * 3000, ")" * 3000), 0, 1, [".a"]]], id="deep brackets"),
    pytest.param([[0, 1, "struct a { %sint b;%s };" % ("struct {" * 3000, "};" * 3000), 0, 1, [".a"]]], id="deep structs"),
    pytest.param([[0, 1, "struct a { int %sb; };" % ("*" * 20000), 0, 1, [".a"]]], id="deep pointers"),
    pytest.param([[0, 1, "struct a { int b%s; };" % ("[1]" * 3000), 0, 1, [".a"]]], id="deep arrays"),
    pytest.param([[6, "no\nerror\x1b[31m"]], id="an #error with control characters"),
])
def test_a_hostile_program_of_good_form_is_at_worst_one_line(pre_ast, program):
    read = loads(with_program(pre_ast, program), "the file")
    try:
        structs(read)
        structs(read, names="rekall")
        structs(read, names="a,b,task_struct")
    except LayoutExpertError as error:
        assert str(error).isprintable()


def test_a_program_that_doubles_with_every_line_is_stopped(pre_ast):
    program = [[1, "A0", None, "x"]] + [[1, "A%d" % n, None, "A%d A%d" % (n - 1, n - 1)] for n in range(1, 64)]
    program.append([0, 1, "struct a { int A63; };", 0, 1, [".a"]])
    assert structs(loads(with_program(pre_ast, program), "the file"), names="a") == {}


@pytest.mark.parametrize("depth", [100, 400, 900, 50_000])
def test_conditionals_of_any_depth_are_followed_or_refused(pre_ast, depth):
    program = '[[3,[["-UNDEFINED",' * depth + '[[0,1,"struct a { int b; };",0,1,[".a"]]]' + "]]]]" * depth
    content = json.dumps([pre_ast.header, {**pre_ast.files, ROOT: "DEEP"}]).replace('"DEEP"', program)
    try:
        made = structs(loads(packed(content.encode()), "the file"), names="a")
    except LayoutExpertError as error:
        assert depth > 100 and str(error).isprintable()
    else:
        assert made == {"a": [4, {"b": [0, ["int"]]}]}


def test_a_config_of_another_architecture_or_series_is_refused(pre_ast):
    with pytest.raises(LayoutExpertError, match="config is a config for arm64, the Pre-AST is for x86_64"):
        structs(pre_ast, CONFIG.replace("CONFIG_X86_64=y", "CONFIG_ARM64=y"))
    with pytest.raises(LayoutExpertError, match="config is a config of kernel 5.10.9, the Pre-AST is of kernel 6.1.85"):
        structs(pre_ast, CONFIG.replace("6.1.85", "5.10.9"))


# Real headers, in the other shape than Debian's.

def test_real_headers_merged_into_one_folder_are_the_same(tmp_path):
    kernel = kernel_or_skip("6.1")
    merged = tmp_path / "merged"
    shutil.copytree(kernel.common, merged, symlinks=True, ignore=shutil.ignore_patterns("scripts", "tools", "drivers"))
    for path in kernel.tree.rglob("*"):
        if path.is_file() and path.name != "Makefile" and path.suffix in (".h", ".config"):
            target = merged / path.relative_to(kernel.tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "root.c").write_text("#include <linux/sched.h>\n")
    split, single = (build_pre_ast(tree, root=tmp_path / "root.c") for tree in (kernel.tree, merged))
    assert split.header.pop("package_version").startswith("6.1.")
    assert single.header == {**split.header, "common": None}
    assert single.files == split.files


@pytest.mark.parametrize("makefile", ["include ../../../linux-6.1.85-1/Makefile\n", "include /usr/src/linux-6.1.85-1/Makefile\n",
                                      "MAKEARGS := -C ../../../linux-6.1.85-1\n"])
def test_suse_s_two_folders_wherever_they_were_unpacked(tmp_path, makefile):
    header_trees.write(tmp_path / "usr/src/linux-6.1.85-1", {"Makefile": header_trees.MAKEFILE, **header_trees.SHARED})
    tree = header_trees.write(tmp_path / "usr/src/linux-6.1.85-1-obj/x86_64/default",
                              {"Makefile": makefile, **header_trees.GENERATED})
    assert structs(build_pre_ast(tree))["task_struct"] == TASK
