"""The interface that others build on: what can be imported, how it is called, what importing costs."""
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import header_trees
import rekall_layout_expert
from rekall_layout_expert import LayoutExpertError, build_pre_ast, layout, make_profile, preprocess, read_pre_ast, write_pre_ast
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols
from rekall_layout_expert.version import VERSION

TARGETS = ("x86_64", "i386", "arm", "arm64", "mips", "s390", "powerpc", "riscv")


def python(code, *options):
    """What a fresh interpreter prints as JSON. It runs beside the package, where Rekall need not be installed."""
    done = subprocess.run([sys.executable, *options, "-c", code], stdout=subprocess.PIPE, check=True,
                          cwd=Path(rekall_layout_expert.__file__).parents[1])
    return json.loads(done.stdout)


@pytest.mark.parametrize("function, parameters", [
    (build_pre_ast, {"tree": None, "arch": "x86_64", "root": None}),
    (make_profile, {"pre_ast": None, "config": None, "symbols": None, "structs": "rekall"}),
])
def test_signatures_of_what_makes_a_profile(function, parameters):
    found = inspect.signature(function).parameters
    assert list(found)[:len(parameters)] == list(parameters)
    for name, default in parameters.items():
        if default is not None:
            assert found[name].default == default
    assert all(each.default is not inspect.Parameter.empty for name, each in found.items() if name not in parameters)


@pytest.mark.parametrize("function, options", [
    (preprocess, {"defines": None, "include_paths": (), "target": "x86_64", "compiler": "gcc 12.2.0"}),
    (layout, {"defines": None, "include_paths": (), "target": "x86_64", "names": None, "compiler": "gcc 12.2.0"}),
])
def test_signatures_of_what_takes_any_c_text(function, options):
    source, *others = inspect.signature(function).parameters.values()
    assert source.name == "source"
    assert {each.name: each.default for each in others} == options
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in others)


def test_importing_the_package_imports_nothing_of_it():
    # Where the environment is installed, the bridge has imported the package itself at Python's start.
    loaded = python("import sys; before = set(sys.modules); import rekall_layout_expert, json\n"
                    "print(json.dumps(sorted(name for name in set(sys.modules) - before if 'layout_expert.' in name)))")
    assert loaded == []


def test_everything_but_the_plugin_works_without_rekall():
    code = """if True:
        import importlib.abc, json, sys

        class Nowhere(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("rekall", "rekall_lib", "efilter"):
                    raise ImportError(name)
        sys.meta_path.insert(0, Nowhere())
        from rekall_layout_expert import build_pre_ast, layout, make_profile, preprocess, read_pre_ast, write_pre_ast
        import rekall_layout_expert.command_line, rekall_layout_expert.host, rekall_layout_expert.supply
        print(json.dumps(layout("struct s { int a; };")))"""
    assert python(code) == {"s": [4, {"a": [0, ["int"]]}]}


def test_laying_out_needs_nothing_outside_the_standard_library():
    # pyparsing reads Kbuild files when a Pre-AST is built, and is not there when a profile is made from one.
    loaded = python("import sys, json; before = set(sys.modules)\n"
                    "from rekall_layout_expert import layout, make_profile\nlayout('struct s { int a; };')\n"
                    "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))", "-S")
    assert set(loaded) - set(getattr(sys, "stdlib_module_names", loaded)) <= {"rekall_layout_expert"}
    assert "pyparsing" not in loaded


def test_all_names_are_there_and_no_others():
    assert sorted(rekall_layout_expert.__all__) == sorted(
        ["LayoutExpertError", "build_pre_ast", "layout", "make_profile", "preprocess", "read_pre_ast", "write_pre_ast"])
    for name in rekall_layout_expert.__all__:
        assert getattr(rekall_layout_expert, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        rekall_layout_expert.nonsense


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(target):
    pointer = layout("struct s { void *a; char b; };", target=target)["s"]
    assert pointer[0] in (8, 16)
    assert preprocess("__CHAR_BIT__", target=target) == "8\n"


@pytest.mark.parametrize("function", [layout, preprocess])
def test_a_target_that_is_none(function):
    with pytest.raises(LayoutExpertError, match="pdp11"):
        function("", target="pdp11")


@pytest.mark.parametrize("function", [layout, preprocess])
def test_text_that_cannot_be_preprocessed_is_an_error_of_one_line(function):
    for text in ("#include <absent.h>\n", "#error out\n", "#if\n#endif\n", "#if 1\n", "#endif\n"):
        with pytest.raises(LayoutExpertError) as caught:
            function(text)
        assert "\n" not in str(caught.value)


def test_include_paths_are_the_only_places_where_headers_are_looked_for(tmp_path):
    header_trees.write(tmp_path, {"one/a.h": "int one;\n#include_next <a.h>\n", "two/a.h": "int two;\n#include \"b.h\"\n", "two/b.h": "int b;\n"})
    assert preprocess("#include <a.h>\n", include_paths=[tmp_path / "one", str(tmp_path / "two")]).split("\n") \
        == ["int one;", "int two;", "int b;", ""]
    for name in ("stdio.h", "stddef.h", "linux/types.h"):
        with pytest.raises(LayoutExpertError, match="which is not there"):
            preprocess("#include <%s>\n" % name)
        assert preprocess("#if __has_include(<%s>)\nyes\n#endif\n" % name) == "\n"


def test_the_road_from_headers_to_a_profile(tmp_path):
    pre_ast = build_pre_ast(header_trees.package(tmp_path / "tree"))
    write_pre_ast(pre_ast, tmp_path / "file")
    (tmp_path / "config").write_text(header_trees.CONFIG)
    (tmp_path / "System.map").write_text(
        "ffffffff81000000 T _text\nffffffff82000000 D init_task\nffffffff83000000 B _end\n")
    stages = []
    profile = make_profile(read_pre_ast(tmp_path / "file"), str(tmp_path / "config"), str(tmp_path / "System.map"), progress=stages.append)
    assert profile.keys() >= {"$CONFIG", "$CONSTANTS", "$ENUMS", "$METADATA", "$REVENUMS", "$STRUCTS"}
    assert profile["$METADATA"]["Type"] == "Profile" and profile["$METADATA"]["ProfileClass"] == "Linux"
    assert profile["$CONSTANTS"]["init_task"] == 0xFFFFFFFF82000000
    assert [line.split()[0] for line in stages] == ["LOADED", "PREPROCESSED", "TRIMMED", "PARSED", "GENERATED"]
    json.dumps(profile)


BANNER = "Linux version 6.1.0-20-amd64 (a@b) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP Debian 6.1.85-1"


def test_a_profile_tells_what_it_was_made_from(tmp_path):
    tree = header_trees.debian_packages(tmp_path)
    pre_ast = build_pre_ast(tree)
    config = KernelConfig.parse(header_trees.CONFIG, "/boot/config-6.1.0-20-amd64")
    symbols = Symbols({"_text": 0xFFFFFFFF81000000}, "/proc/kallsyms")
    made = make_profile(pre_ast, config, symbols, structs="task_struct,absent", release="6.1.0-20-amd64", banner=BANNER)
    assert made["$METADATA"] == {
        "Type": "Profile", "ProfileClass": "Linux", "arch": "AMD64",
        "maker": "Layout Expert " + VERSION, "tool_version": VERSION,
        "release": "6.1.0-20-amd64", "banner": BANNER, "kernel_version": "6.1.85", "architecture": "x86_64", "compiler": "gcc 12.2.0",
        "config": "/boot/config-6.1.0-20-amd64", "config_digest": config.digest,
        "pre_ast": "headers, linux-headers-6.1.0-20-common", "pre_ast_digest": pre_ast.digest,
        "pre_ast_kind": "headers", "pre_ast_release": "6.1.0-20-amd64", "pre_ast_tree": "linux-headers-6.1.0-20-common",
        "match": None, "types_from": "pre_ast", "btf_digest": None, "symbols": "/proc/kallsyms", "symbols_digest": symbols.digest, "structs": "task_struct,absent",
        "private": {}, "notes": [], "left_out": {"absent": "absent is not defined in these headers"},
        "verified": None,
    }


def test_every_entry_of_the_metadata_is_documented(tmp_path):
    made = make_profile(build_pre_ast(header_trees.package(tmp_path)), KernelConfig.parse(header_trees.CONFIG, "config"))
    page = (Path(__file__).parents[1] / "docs" / "metadata.md").read_text()
    assert set(re.findall(r"^\| `(\w+)`", page, re.M)) == set(made["$METADATA"])


def test_what_depends_on_a_compiler_that_nothing_names_is_left_out(tmp_path):
    package = header_trees.package(tmp_path)
    header = next(Path(tmp_path).rglob("include/linux/sched.h"))
    header.write_text(header.read_text() + """
        #if __GNUC__ < 9
        #define PADDING char padding[8];
        #else
        #define PADDING
        #endif
        struct depends { PADDING int a; };
        struct does_not { char b; int a; };
    """)
    pre_ast = build_pre_ast(package)
    unnamed = KernelConfig.parse(header_trees.CONFIG.replace("CONFIG_CC_IS_GCC=y\n", ""), "config")
    profile = make_profile(pre_ast, unnamed, None, "depends,does_not")
    assert "depends on the compiler's version" in profile["$METADATA"]["left_out"]["depends"]
    assert profile["$STRUCTS"].keys() == {"does_not"}
    banner = "Linux version 6.1.7 (gcc-8 (Debian 8.3.0-6) 8.3.0) #1 SMP"
    assert make_profile(pre_ast, unnamed, None, "depends", banner=banner)["$STRUCTS"]["depends"][0] == 12


def test_what_is_assumed_and_what_is_not_known_is_said_too(tmp_path):
    config = header_trees.CONFIG.replace("CONFIG_CC_IS_GCC=y\n", "")
    metadata = make_profile(build_pre_ast(header_trees.package(tmp_path)), KernelConfig.parse(config, "config"))["$METADATA"]
    assert metadata["notes"] == ["the config does not name its compiler; gcc 12.2.0 is assumed"]
    for unknown in ("release", "banner", "symbols", "symbols_digest", "pre_ast_tree"):
        assert metadata[unknown] is None
