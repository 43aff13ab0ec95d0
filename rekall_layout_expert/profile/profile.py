r"""make_profile(): everything in its order, from a Pre-AST, a config and symbols to a Rekall profile."""

import json
import os
import time

from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig, compiler_of
from rekall_layout_expert.profile.agreement import check_symbols
from rekall_layout_expert.profile.compatibility import SOURCES, offer_rekall_names
from rekall_layout_expert.profile.closure import with_pointed_to
from rekall_layout_expert.profile.kernel import Kernel
from rekall_layout_expert.profile.private import add_private_types
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.profile.vtypes import Vtypes
from rekall_layout_expert.randstruct_seed import read_seed
from rekall_layout_expert.version import VERSION

_USED_MEMBERS = os.path.join(os.path.dirname(__file__), "used_members.json")
# Half of a modern kallsyms; nobody asks for them, and Rekall reads them at each start.
_LINKERS_OWN = ("__pfx_", "__cfi_", "__ksymtab_", "__kstrtab", "__crc_", "__flags_", "__UNIQUE_ID_", "__tpstrtab_")
_OF_PRE_AST = ("kernel_version", "pre_ast", "pre_ast_digest", "pre_ast_kind", "pre_ast_release", "pre_ast_tree")
_REKALL_ARCHITECTURES = {"x86_64": "AMD64", "i386": "I386", "arm": "ARM", "mips": "MIPS"}


def make_profile(
    pre_ast, config, symbols=None, structs="rekall", progress=None, release=None, banner=None, randstruct_seed=None
):
    """Makes the profile of one kernel.

    pre_ast: a PreAst; config: a KernelConfig or the path of one; symbols: a Symbols, the path of a System.map or a copy
    of kallsyms, or None for a profile without constants; structs: "rekall" (what Rekall's plugins read, what that
    embeds, and what its members point to with what that embeds), "all" (every complete type the root reaches), or
    names, as a list or separated by commas; progress: called with a line of text at the end of each stage; release,
    banner: the kernel's, as `uname -r` and /proc/version tell them, where they are known; they go to $METADATA,
    and the banner names the compiler of kernels before 4.18, whose configs do not;
    randstruct_seed: of a kernel with CONFIG_RANDSTRUCT: 64 hexadecimal digits, or the path of a file of its build tree
    that holds them (see `randstruct_seed`), or None for the Pre-AST's own, where it was built from that tree.
    Returns the profile as Rekall's JSON has it; sizes and offsets in bytes, addresses as linked.  What was left out
    is in $METADATA's left_out, {name: reason}.
    Raises LayoutExpertError.
    """
    with held_off():
        identity = {"release": release, "banner": banner}
        return _profile(pre_ast, config, symbols, structs, _Stages(progress), identity, randstruct_seed)


def _profile(pre_ast, config, symbols, structs, stages, identity, randstruct_seed):
    if not isinstance(config, KernelConfig):
        config = KernelConfig.read(config)
    if symbols is not None and not isinstance(symbols, Symbols):
        symbols = Symbols.read(symbols, link_text=text_link_address(config))
    stages.done("LOADED config%s" % (" and symbols" if symbols else ""))
    doubts = check_symbols(config, symbols) if symbols else []
    banner = identity["banner"]
    known = {
        "randstruct_seed": read_seed(randstruct_seed) if randstruct_seed else None,
        "compiler": compiler_of(banner) if banner else None,
        "symbols": symbols,
    }
    kernel = Kernel(pre_ast, config, **known)
    kernel.notes += doubts
    stages.done("PREPROCESSED %d files" % len(kernel.unit.paths))
    kernel.read_types()
    stages.done("TRIMMED to %d of %d declarations" % (len(kernel.scope.index.all()), len(kernel.unit.declarations)))
    names = _selected(kernel, structs)
    stages.done("PARSED %d types" % len(names))
    vtypes, private = _vtypes(kernel, names, structs)
    for assumed in kernel.other_compilers:
        try:
            other = Kernel(pre_ast, config, assumed=assumed, **known)
        except LayoutExpertError:
            continue  # these headers refuse that compiler, so it was another
        other.read_types()
        _leave_out_differences(vtypes, _vtypes(other, names, structs)[0])
    if structs == "all":
        for name, reason in kernel.scope.broken_records().items():
            vtypes.left_out.setdefault(name, reason)
    profile = assembled(vtypes, config, symbols, structs, {
        **_origin(kernel), **identity, "private": private, "notes": kernel.notes})
    stages.done("GENERATED %d structs" % len(profile["$STRUCTS"]))
    return profile


def assembled(vtypes, config, symbols, structs, known):
    """The profile of those Vtypes; known: what $METADATA is to tell of where they are from, and of the kernel."""
    constants = _constants(symbols) if symbols else {}
    offer_rekall_names(vtypes.structs, constants)
    left_out = {name: reason for name, reason in vtypes.left_out.items() if name not in vtypes.structs and name not in SOURCES}
    return {
        "$METADATA": {**_metadata(config, symbols, structs, known), "left_out": left_out},
        "$STRUCTS": vtypes.structs,
        "$CONSTANTS": constants,
        "$ENUMS": vtypes.enums,
        "$REVENUMS": {
            name: {enumerator: int(value) for value, enumerator in choices.items()}
            for name, choices in vtypes.enums.items()
        },
        "$CONFIG": config.values,
        "$LAYOUT_EXPERT": {},  # where our plugin is installed, its classes go with the profile
    }


def _vtypes(kernel, names, structs):
    """(Vtypes of the types of those names, {name of a private one: its file})."""
    vtypes = Vtypes(kernel.layouts)
    for name in names:
        vtypes.add_named(name)
    return vtypes, add_private_types(kernel, None if structs == "all" else names, vtypes, structs == "rekall")


def _leave_out_differences(vtypes, others):
    """Takes out what another compiler, which may be the kernel's as well, makes otherwise."""
    for name in [name for name, layout in vtypes.structs.items() if others.structs.get(name, layout) != layout]:
        del vtypes.structs[name]
        vtypes.left_out[name] = "it depends on the compiler's version, which nothing tells: give the kernel's banner"


def _constants(symbols):
    """{name: link-time address} without the symbols that only the kernel's build and its linker tell apart."""
    constants = dict(symbols.addresses)
    for name in [name for name in constants if name[0] == "_" and name.startswith(_LINKERS_OWN)]:
        del constants[name]
    return constants


class _Stages:
    def __init__(self, progress):
        self.progress = progress
        self.start = time.monotonic()

    def done(self, text):
        now = time.monotonic()
        if self.progress is not None:
            self.progress("%s in %.2f s" % (text, now - self.start))
        self.start = now


def _origin(kernel):
    """What the Pre-AST says of itself."""
    header = kernel.pre_ast.header
    return {
        "types_from": "pre_ast",
        "kernel_version": header["version"],
        "architecture": header["arch"],
        "compiler": str(kernel.compiler),
        "pre_ast": "%s, %s" % (header["source"], header["common"] or header["release"] or header["version"]),
        "pre_ast_digest": kernel.pre_ast.digest,
        "pre_ast_kind": header["source"],
        "pre_ast_release": header["release"],
        "pre_ast_tree": header["common"],
    }


def _metadata(config, symbols, structs, known):
    """What the profile was made from (docs/metadata.md), beside what Rekall asks for: Type, ProfileClass and arch."""
    return {
        "Type": "Profile",
        "ProfileClass": "Linux",
        "arch": _REKALL_ARCHITECTURES.get(known["architecture"], known["architecture"].upper()),
        "maker": "Layout Expert " + VERSION,
        "tool_version": VERSION,
        "config": config.source,
        "config_digest": config.digest,
        "symbols": symbols.source if symbols else None,
        "symbols_digest": symbols.digest if symbols else None,
        "structs": structs if isinstance(structs, str) else ",".join(structs),
        **dict.fromkeys(_OF_PRE_AST),
        "match": None,  # who looks for the Pre-AST knows it (supply/matching.py)
        "btf_digest": None,
        "private": {},
        "notes": [],
        **known,
        "verified": None,  # verification/verify.py
    }


def used_structs():
    """The names of the types that Rekall's Linux plugins and overlays read."""
    with open(_USED_MEMBERS, encoding="utf-8") as file:
        return sorted(json.load(file))


def _selected(kernel, structs):
    """The names of the types that `structs` asks for."""
    if structs == "all":
        kernel.scope.read_all()
    return selected(kernel.scope, kernel.layouts, structs)


def selected(scope, layouts, structs):
    """The names of the types that `structs` asks for, "all" those that were read.  Raises LayoutExpertError."""
    if structs == "all":
        return scope.record_names()
    if structs == "rekall":
        return with_pointed_to(scope, layouts, used_structs() + list(SOURCES))
    names = structs.split(",") if isinstance(structs, str) else list(structs)
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise LayoutExpertError("no struct is asked for", next_step="give rekall, all, or names separated by commas")
    return names
