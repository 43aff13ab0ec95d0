"""Structs that the randstruct plugin shuffles are refused, for neither headers nor debug information tell their order."""

import pytest

import header_trees
from rekall_layout_expert import build_pre_ast, make_profile
from rekall_layout_expert.kernel_config import KernelConfig

HEADER = """
#ifdef RANDSTRUCT_PLUGIN
#define __randomize_layout __attribute__((randomize_layout))
#define __no_randomize_layout __attribute__((no_randomize_layout))
#else
#define __randomize_layout
#define __no_randomize_layout
#endif
struct plain { int a; long b; };
struct marked { int a; long b; } __randomize_layout;
struct holder { char c; struct marked m; };
struct pointer { struct marked *m; int a; };
struct operations { int (*open)(int); void (*close)(void); };
struct kept { int (*open)(int); void (*close)(void); } __no_randomize_layout;
struct single { void (*only)(void); };
struct mixed { void (*call)(void); int a; };
union both { int (*open)(int); void (*close)(void); };
"""
SHUFFLED = {"marked", "holder", "operations"}


def profile(tmp_path, *symbols):
    tree = header_trees.package(tmp_path, {"include/linux/types.h": HEADER})
    text = header_trees.CONFIG + "".join("%s=y\n" % symbol for symbol in symbols)
    return make_profile(build_pre_ast(tree), KernelConfig.parse(text, "config"), structs="all")


@pytest.mark.parametrize("symbol", ["CONFIG_GCC_PLUGIN_RANDSTRUCT", "CONFIG_RANDSTRUCT", "CONFIG_RANDSTRUCT_FULL",
                                    "CONFIG_RANDSTRUCT_PERFORMANCE"])
def test_marked_structs_and_tables_of_functions_are_left_out(tmp_path, symbol):
    made = profile(tmp_path, symbol)
    assert SHUFFLED.isdisjoint(made["$STRUCTS"])
    assert {"plain", "pointer", "kept", "single", "mixed", "both"} <= made["$STRUCTS"].keys()
    left_out = made["$METADATA"]["left_out"]
    assert SHUFFLED <= left_out.keys()
    assert all("shuffled by CONFIG_RANDSTRUCT" in left_out[name] for name in SHUFFLED)


def test_without_it_nothing_is_left_out(tmp_path):
    made = profile(tmp_path)
    assert SHUFFLED <= made["$STRUCTS"].keys()
    assert made["$STRUCTS"]["marked"] == [16, {"a": [0, ["int"]], "b": [8, ["long"]]}]
