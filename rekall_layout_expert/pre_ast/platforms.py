r"""Directories that an architecture's Makefiles put on the search path for one family of machines only.

The same header (mach/memory.h, spaces.h) then stands in several of them, and the config decides which is meant.  They
come behind all others, as the kernel's Makefile gives its own -I options first.  Sources: arch/mips/Makefile,
Kbuild.platforms and */Platform; arch/arm/Makefile; arch/powerpc/Makefile.
"""

import re

_BY_SYMBOL = re.compile(r"([\w-]+)-(?:\$\((CONFIG_\w+)\)|y)\Z")
_INCLUDE = re.compile(r"-I(?:\$\(srctree\)/)?(arch/\S+?)/?\Z")
# ARM's directories, by the variable that lists them; the older two only count where the kernel is for one machine.
_ARM = {"machine": "arch/arm/mach-%s/include", "plat": "arch/arm/plat-%s/include", "machdirs": "%s/include"}
_ONE_MACHINE = ["!CONFIG_ARCH_MULTIPLATFORM", "!CONFIG_ARM_SINGLE_ARMV7M"]


def platform_directories(tree):
    """[[directory, [symbol]]] in the order of the search path; tree: a KernelTree.

    A directory is on the search path if all its symbols are set, of those with a ! before them none.
    """
    found = _FINDERS.get(tree.source_arch, lambda tree: [])(tree)
    return [[directory, symbols] for directory, symbols in found if tree.has_directory(directory)]


def has(symbols, config):
    """Whether a config ({"CONFIG_X": value}) puts a directory with these symbols on the search path."""
    return all((symbol[1:] not in config) if symbol.startswith("!") else (symbol in config) for symbol in symbols)


def _of_mips(tree):
    platforms = _assigned(tree, "arch/mips/Kbuild.platforms")
    makefiles = [("arch/mips/%s/Platform" % word.rstrip("/"), symbols) for _, symbols, word in platforms]
    found = []
    for makefile, outer in makefiles + [("arch/mips/Makefile", [])]:
        for variable, symbols, word in _assigned(tree, makefile):
            include = _INCLUDE.match(word)
            if variable == "cflags" and include:
                found.append([include.group(1), sorted({*outer, *symbols})])
    return sorted(found, key=lambda directory: not directory[1])  # asm/mach-generic, for all machines, comes last


def _of_arm(tree):
    assigned = [each for each in _assigned(tree, "arch/arm/Makefile") if each[0] in _ARM and not each[2].startswith("$")]
    if any(variable == "machdirs" for variable, _, _ in assigned):  # since 6.0
        return [[_ARM[variable] % word, symbols] for variable, symbols, word in assigned if variable == "machdirs"]
    return [[_ARM[variable] % word, symbols + _ONE_MACHINE] for variable, symbols, word in assigned]


def _assigned(tree, path):
    """(variable, [symbol] on which the assignment depends, word) of what a Makefile assigns to VARIABLE-y."""
    from rekall_layout_expert.pre_ast.kbuild import assignments  # pyparsing is there where Pre-ASTs are built

    for name, words in assignments(tree.text(path)).items() if tree.has(path) else ():
        match = _BY_SYMBOL.match(name)
        if match:
            variable, symbol = match.groups()
            for word in words:
                yield variable, [symbol] if symbol else [], word


_FINDERS = {"mips": _of_mips, "arm": _of_arm, "powerpc": lambda tree: [["arch/powerpc", []]]}
