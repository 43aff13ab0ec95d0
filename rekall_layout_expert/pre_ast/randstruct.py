r"""What a kernel's tree tells of CONFIG_RANDSTRUCT: how its plugin behaves, and the seed, where the kernel was built in it."""

import re

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.randstruct_seed import DIGEST_PLACES, PLACES, digest_in, digest_of, seed_in

_PLUGIN = "scripts/gcc-plugins/randomize_layout_plugin.c"
# By the names that `record_layout.randstruct.GccPlugin` has for them.
BEHAVIOURS = ("nested", "short_arrays", "in_group")
_LOOKS_FOR_FUNCTIONS_FIRST = re.compile(r"if \(!is_fptr\(fieldtype\)\)\s+return 0;\s+if \(code")


def randstruct_of(tree):
    """What a KernelTree tells: {"plugin": {…}, "seed": …, "seed_digest": …, "config_digest": …}, without what it does not.

    plugin: {behaviour: is it so?}; config_digest: of the configuration in the
    tree, the only one that the seed belongs to.
    """
    told = {}
    if tree.has(_PLUGIN):
        told["plugin"] = behaviour_in(tree.text(_PLUGIN))
    digests = {digest_in(tree.text(path)) for path in DIGEST_PLACES if tree.has(path)} - {None}
    seeds = {seed_in(tree.text(path)) for path in PLACES if tree.has(path)} - {None}
    if digests:
        seeds = {seed for seed in seeds if digest_of(seed) in digests}
    config = _config_digest(tree)
    if config and len(digests) == 1:
        told.update(config_digest=config, seed_digest=digests.pop())
    if config and len(seeds) == 1:
        told.update(config_digest=config, seed=seeds.pop())
    return told


def behaviour_in(source):
    """{behaviour: is it so?} of the plugin, from its source."""
    return {
        "nested": not _LOOKS_FOR_FUNCTIONS_FIRST.search(source),
        "short_arrays": "elemsize" in source,
        "in_group": "randnum += size_group[x].start" in source,
    }


def _config_digest(tree):
    if not tree.has(".config"):
        return None
    try:
        return KernelConfig.parse(tree.text(".config"), ".config").digest
    except LayoutExpertError:
        return None
