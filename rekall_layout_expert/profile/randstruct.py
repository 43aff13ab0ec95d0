r"""How one kernel's structs are shuffled: from its config, its compiler, and the seed, where that is known for certain."""

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.randstruct_seed import digest_of
from rekall_layout_expert.record_layout.randstruct import GNU_SHUFFLES, LLVM_SHUFFLES, Clang, GccPlugin

_SYMBOLS = (
    "CONFIG_GCC_PLUGIN_RANDSTRUCT", "CONFIG_RANDSTRUCT", "CONFIG_RANDSTRUCT_FULL", "CONFIG_RANDSTRUCT_PERFORMANCE",
)  # fmt: skip
_BY_CACHE_LINES = ("CONFIG_RANDSTRUCT_PERFORMANCE", "CONFIG_GCC_PLUGIN_RANDSTRUCT_PERFORMANCE")
# How the plugin behaves where the tree does not hold it: {behaviour: (before this version it is so, since that one)}.
# In between, changes have also come to older series.
_CHANGES = {
    "nested": ((), None, (5, 10), True), "in_group": ((), None, (6, 12), True),
    "short_arrays": ((6, 2), True, (6, 12), False),
}  # fmt: skip
# Distributions whose clang uses GNU's C++ library, as CONFIG_CC_VERSION_TEXT begins; Android's uses LLVM's.
_GNU_CLANGS = ("Debian clang", "Ubuntu clang", "Fedora clang", "Red Hat clang")
_LLVM_CLANGS = ("Android (",)


def is_shuffled(config):
    """Whether a kernel's structs are shuffled."""
    return any(config.values.get(symbol) == "y" for symbol in _SYMBOLS)


def randstruct_of(config, version, told, seed=None):
    """(what shuffles the structs of a kernel, None if nothing does; [note for the profile]).

    config: a KernelConfig; version: the kernel's, as numbers; told: what its tree told (`pre_ast.randstruct`); seed: as
    the user gave it.
    Raises LayoutExpertError for a seed that is not the kernel's.
    """
    if not is_shuffled(config):
        if seed is not None:
            raise LayoutExpertError(
                "a seed of CONFIG_RANDSTRUCT is given, but %s does not set it" % config.source,
                next_step="leave it out, or give the config of the kernel that it belongs to",
            )
        return None, []
    is_its_tree = told.get("config_digest") == config.digest
    reason = "its members are shuffled by CONFIG_RANDSTRUCT, and nothing tells the seed: give --randstruct_seed"
    how = "as the user gave it"
    if seed is None and is_its_tree and "seed" in told:
        seed = told["seed"]
        how = "as the tree holds it of which the Pre-AST was built"
    elif seed is None and "seed" in told:
        reason += "; the one in the Pre-AST's tree belongs to another configuration"
    if seed is not None and is_its_tree and told.get("seed_digest", digest_of(seed)) != digest_of(seed):
        raise LayoutExpertError(
            "the seed of CONFIG_RANDSTRUCT is not the one with which this kernel was built",
            next_step="take it from the tree in which the kernel was built",
        )
    notes = ["structs are laid out as CONFIG_RANDSTRUCT shuffles them; the seed: " + how] if seed is not None else []
    if config.compiler is not None and config.compiler.name == "clang":
        return _clang(config, seed, reason), notes
    return _plugin(config, version, told, seed, reason), notes


def _plugin(config, version, told, seed, reason):
    by_cache_lines = any(config.values.get(name) == "y" for name in _BY_CACHE_LINES)
    behaviour = {name: _possible(name, version) for name in _CHANGES}
    behaviour.update({name: (value,) for name, value in told.get("plugin", {}).items()})
    return GccPlugin(seed, reason, by_cache_lines, **behaviour)


def _possible(name, version):
    before, earlier, since, later = _CHANGES[name]
    if version < before:
        return (earlier,)
    return (later,) if version >= since else (False, True)


def _clang(config, seed, reason):
    text = config.text("CONFIG_CC_VERSION_TEXT")
    if text.startswith(_GNU_CLANGS):
        return Clang(seed, reason, GNU_SHUFFLES)
    if text.startswith(_LLVM_CLANGS):
        return Clang(seed, reason, LLVM_SHUFFLES)
    return Clang(seed, reason, GNU_SHUFFLES + LLVM_SHUFFLES)
