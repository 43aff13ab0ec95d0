"""Structs that CONFIG_RANDSTRUCT shuffles: refused without the seed, computed with it.

What is expected here was read from objects that the compilers made, with the seed SEED: see
test_randstruct_against_compilers.py, which asks them again, for random structs and for whole kernels.
"""

import json

import pytest

import header_trees
from comparison import of_profile
from rekall_layout_expert import LayoutExpertError, build_pre_ast, make_profile, read_pre_ast, write_pre_ast
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.randstruct import randstruct_of
from rekall_layout_expert.randstruct_seed import digest_of, read_seed
from rekall_layout_expert.record_layout.randstruct import GNU_SHUFFLES, LLVM_SHUFFLES, Clang, GccPlugin
from rekall_layout_expert.text_layout import shuffled_layout

SEED = "0123456789abcdeffedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f0"
HEADER = """
#if defined(RANDSTRUCT_PLUGIN) && defined(RANDSTRUCT)
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
struct arrays { int (*open[2])(int); void (*close)(void); };
struct kept { int (*open)(int); void (*close)(void); } __no_randomize_layout;
struct single { void (*only)(void); };
struct mixed { void (*call)(void); int a; };
union both { int (*open)(int); void (*close)(void); };
"""
SHUFFLED = {"marked", "holder", "operations", "arrays"}
SYMBOLS = ["CONFIG_GCC_PLUGIN_RANDSTRUCT", "CONFIG_RANDSTRUCT", "CONFIG_RANDSTRUCT_FULL", "CONFIG_RANDSTRUCT_PERFORMANCE"]
SEED_FILE = "scripts/basic/randstruct.seed"
SEED_HEADER = "scripts/gcc-plugins/randomize_layout_seed.h"
HASH_HEADER = "include/generated/randstruct_hash.h"


def config(*symbols):
    return KernelConfig.parse(config_text(*symbols), "config")


def config_text(*symbols):
    return header_trees.CONFIG + "".join("%s=y\n" % symbol for symbol in symbols)


def pre_ast(tmp_path, changes=()):
    return build_pre_ast(header_trees.package(tmp_path, {"include/linux/types.h": HEADER, **dict(changes)}))


def profile(tmp_path, *symbols, changes=(), seed=None):
    return make_profile(pre_ast(tmp_path, changes), config(*symbols), structs="all", randstruct_seed=seed)


def offsets(made, struct):
    return {name: member[0] for name, member in made["$STRUCTS"][struct][1].items()}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_without_the_seed_marked_structs_and_tables_of_functions_are_left_out(tmp_path, symbol):
    made = profile(tmp_path, symbol)
    assert SHUFFLED.isdisjoint(made["$STRUCTS"])
    assert {"plain", "pointer", "kept", "single", "mixed", "both"} <= made["$STRUCTS"].keys()
    left_out = made["$METADATA"]["left_out"]
    assert SHUFFLED <= left_out.keys()
    assert all("shuffled by CONFIG_RANDSTRUCT" in left_out[name] and "--randstruct_seed" in left_out[name] for name in SHUFFLED)


def test_without_it_nothing_is_left_out(tmp_path):
    made = profile(tmp_path)
    assert SHUFFLED <= made["$STRUCTS"].keys()
    assert made["$STRUCTS"]["marked"] == [16, {"a": [0, ["int"]], "b": [8, ["long"]]}]


def test_with_the_seed_nothing_is_left_out_and_the_profile_says_so(tmp_path):
    made = profile(tmp_path, "CONFIG_RANDSTRUCT", seed=SEED)
    assert SHUFFLED <= made["$STRUCTS"].keys()
    assert offsets(made, "plain") == {"a": 0, "b": 8}
    assert any("CONFIG_RANDSTRUCT" in note and "gave" in note for note in made["$METADATA"]["notes"])


# Where the seed is found

BUILT = {".config": config_text("CONFIG_RANDSTRUCT")}


@pytest.mark.parametrize("path, text", [
    (SEED_FILE, SEED + "\n"),
    (SEED_HEADER, 'const char *randstruct_seed = "%s";\n' % SEED),
    ("scripts/gcc-plugins/randomize_layout_plugin.so", "\x7fELF\0\0%s\0disable\0" % SEED),
])
def test_the_seed_of_a_built_tree_is_used_for_its_own_configuration(tmp_path, path, text):
    tree = {**BUILT, path: text, HASH_HEADER: '#define RANDSTRUCT_HASHED_SEED "%s"\n' % digest_of(SEED)}
    made = profile(tmp_path, "CONFIG_RANDSTRUCT", changes=tree)
    assert SHUFFLED <= made["$STRUCTS"].keys()
    assert made["$STRUCTS"] == profile(tmp_path / "given", "CONFIG_RANDSTRUCT", seed=SEED)["$STRUCTS"]
    assert any("tree" in note for note in made["$METADATA"]["notes"])


def test_the_seed_of_a_built_tree_is_not_used_for_another_configuration(tmp_path):
    made = profile(tmp_path, "CONFIG_RANDSTRUCT", "CONFIG_AUDIT", changes={**BUILT, SEED_FILE: SEED})
    assert SHUFFLED.isdisjoint(made["$STRUCTS"])
    assert "belongs to another configuration" in made["$METADATA"]["left_out"]["marked"]


@pytest.mark.parametrize("changes", [
    {SEED_FILE: SEED},                                               # nothing tells the configuration
    {**BUILT, SEED_FILE: SEED, SEED_HEADER: SEED[::-1]},             # two seeds
    {**BUILT, SEED_FILE: SEED, HASH_HEADER: '#define RANDSTRUCT_HASHED_SEED "%s"\n' % digest_of(SEED[::-1])},
    {**BUILT, SEED_FILE: "0x" + SEED[2:]},
], ids=["no configuration", "two seeds", "another digest", "no seed"])
def test_a_doubtful_seed_is_not_used(tmp_path, changes):
    assert SHUFFLED.isdisjoint(profile(tmp_path, "CONFIG_RANDSTRUCT", changes=changes)["$STRUCTS"])


def test_the_seed_outlives_a_pre_ast_file(tmp_path):
    write_pre_ast(pre_ast(tmp_path, {**BUILT, SEED_FILE: SEED}), tmp_path / "file")
    made = make_profile(read_pre_ast(tmp_path / "file"), config("CONFIG_RANDSTRUCT"), structs="marked")
    assert "marked" in made["$STRUCTS"]


@pytest.mark.parametrize("told", [{"seed": 1}, {"seed": "no seed"}, {"plugin": {"nested": True}}, {"plugin": 3}, {"other": 1}, []])
def test_a_damaged_pre_ast_is_refused(tmp_path, told):
    damaged = pre_ast(tmp_path)
    damaged.header["randstruct"] = told
    (tmp_path / "file").write_bytes(header_trees.packed(json.dumps([damaged.header, damaged.files]).encode()))
    with pytest.raises(LayoutExpertError, match="damaged"):
        read_pre_ast(tmp_path / "file")


def test_a_seed_that_the_tree_contradicts_is_refused(tmp_path):
    tree = {**BUILT, HASH_HEADER: '#define RANDSTRUCT_HASHED_SEED "%s"\n' % digest_of(SEED)}
    assert "marked" in profile(tmp_path / "right", "CONFIG_RANDSTRUCT", changes=tree, seed=SEED)["$STRUCTS"]
    with pytest.raises(LayoutExpertError, match="not the one with which this kernel was built"):
        profile(tmp_path / "wrong", "CONFIG_RANDSTRUCT", changes=tree, seed=SEED[::-1])


def test_a_seed_for_a_kernel_without_it_is_refused(tmp_path):
    with pytest.raises(LayoutExpertError, match="does not set it"):
        profile(tmp_path, seed=SEED)


def test_the_user_gives_the_seed_or_a_file_that_holds_it(tmp_path):
    (tmp_path / "randstruct.seed").write_text(SEED + "\n")
    assert read_seed(SEED) == read_seed(str(tmp_path / "randstruct.seed")) == SEED


@pytest.mark.parametrize("text, complaint", [
    ("nothing", "holds no seed"), (SEED + " " + SEED[::-1], "holds no seed"), (SEED[1:], "holds no seed"),
    ('#define RANDSTRUCT_HASHED_SEED "%s"\n' % SEED, "only the digest"),
])
def test_other_files_are_refused(tmp_path, text, complaint):
    (tmp_path / "file").write_text(text)
    with pytest.raises(LayoutExpertError, match=complaint):
        read_seed(str(tmp_path / "file"))


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(LayoutExpertError, match="no seed of CONFIG_RANDSTRUCT, and no file"):
        read_seed(SEED[1:])


# How the members are shuffled: read from objects

TABLE = """struct r7 { void (*a)(void); void (*b)(void); long (*c)(char); int (*d)(int); int (*e)(long); int (*f)(void); };"""
BITS = """struct m { int a; char b; unsigned c:3; unsigned d:7; unsigned e:20; unsigned :0; long f; short g; unsigned long h:40;
                     unsigned i:32; unsigned :5; _Bool j:1; } __attribute__((randomize_layout));"""
NESTED = "struct inner { int (*a)(void); int (*b)(void); }; struct outer { struct inner i; int (*c)(void); int (*d)(void); };"
SHORT = "struct s { int a; long b; char c; char d[1]; } __attribute__((randomize_layout));"


def shuffled(randstruct, text, struct):
    laid_out = shuffled_layout(randstruct, text)
    return {name: member[0] for name, member in laid_out[struct][1].items()} if struct in laid_out else None


def test_the_plugin_lays_the_struct_out_twice_and_bit_fields_have_narrow_types_the_second_time():
    structs = shuffled_layout(GccPlugin(SEED), BITS)
    size, members = of_profile({"$STRUCTS": structs})["m"]
    assert size == 40
    assert {name: place[:2] for name, place in members.items()} == {
        "a": (128, None), "b": (48, None), "c": (96, 3), "d": (280, 7), "e": (256, 20), "f": (192, None), "g": (64, None),
        "h": (5, 40), "i": (160, 32), "j": (99, 1)}


def test_clang_and_its_cpp_library():
    assert shuffled(Clang(SEED, "", GNU_SHUFFLES), TABLE, "r7") == {"a": 40, "b": 16, "c": 0, "d": 32, "e": 24, "f": 8}
    assert shuffled(Clang(SEED, "", LLVM_SHUFFLES), TABLE, "r7") not in (None, {"a": 40, "b": 16, "c": 0, "d": 32, "e": 24, "f": 8})
    assert shuffled(Clang(SEED, "", GNU_SHUFFLES + LLVM_SHUFFLES), TABLE, "r7") is None


@pytest.mark.parametrize("text, struct, behaviour", [
    (NESTED, "outer", "nested"), (SHORT, "s", "short_arrays"),
])
def test_what_depends_on_the_version_of_the_plugin_is_known_only_with_the_version(text, struct, behaviour):
    either = [shuffled(GccPlugin(SEED, **{behaviour: (value,)}), text, struct) for value in (False, True)]
    assert None not in either and either[0] != either[1]
    assert shuffled(GccPlugin(SEED, **{behaviour: (False, True)}), text, struct) is None


@pytest.mark.parametrize("version, behaviour", [
    ((4, 19, 1), {"_nested": (False, True), "_short_arrays": (True,), "_in_group": (False, True)}),
    ((6, 1, 9), {"_nested": (True,), "_short_arrays": (True,), "_in_group": (False, True)}),
    ((6, 6, 9), {"_nested": (True,), "_short_arrays": (False, True), "_in_group": (False, True)}),
    ((6, 12, 1), {"_nested": (True,), "_short_arrays": (False,), "_in_group": (True,)}),
])
def test_behaviour_of_the_plugin_by_version(version, behaviour):
    plugin, _ = randstruct_of(config("CONFIG_RANDSTRUCT_PERFORMANCE"), version, {}, SEED)
    assert {name: getattr(plugin, name) for name in behaviour} == behaviour


@pytest.mark.parametrize("source, expected", [
    ("if (!is_fptr(fieldtype))\n\t\t\treturn 0;\n\n\t\tif (code != RECORD_TYPE", {"nested": False, "short_arrays": False, "in_group": False}),
    ("elemsize randnum += size_group[x].start;", {"nested": True, "short_arrays": True, "in_group": True}),
])
def test_a_tree_with_the_plugin_tells_its_behaviour(tmp_path, source, expected):
    built = pre_ast(tmp_path, {"scripts/gcc-plugins/randomize_layout_plugin.c": source})
    assert built.header["randstruct"] == {"plugin": expected}
