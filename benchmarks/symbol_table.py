"""A /proc/kallsyms of a running host, made up: as many symbols as hosts have, with names as kernels have them.

Debian's packages no longer hold a System.map, and a live kernel's table is a secret of its host. What reading costs
depends on the number of lines, the lengths of names and how many are modules': here those of a Debian amd64 desktop.
"""
import random
import re

KERNEL_SYMBOLS = 96000
MODULE_SYMBOLS = 54000
TEXT = 0xFFFFFFFF81000000
SLIDE = 0x1E200000
_PARTS = ("init", "exit", "probe", "show", "store", "ops", "lock", "free", "alloc", "get", "put", "cold", "table", "work")


def symbol_table(identifiers, functions, seed=0):
    """The text of a table. identifiers: names that the kernel's headers use, at least some thousand; functions: {name of
    a function that tells of the config: whether this kernel has it}.
    """
    dice = random.Random(seed)
    names = sorted(set(identifiers) - {"_text", "init_task", "_end"} - functions.keys())
    present = [name for name in functions if functions[name]]
    address = TEXT + SLIDE
    lines = ["0000000000000000 A fixed_percpu_data", "%016x T _text" % address]
    for number in range(KERNEL_SYMBOLS):
        address += dice.randrange(16, 400, 16)
        if number == KERNEL_SYMBOLS * 3 // 4:
            lines.append("%016x D init_task" % address)
            continue
        name = dice.choice(names)
        if number > len(names) // 2:
            name = "%s_%s" % (name, dice.choice(_PARTS))
        if number < len(present) or functions.get(name) is False:
            name = present[number % len(present)]
        lines.append("%016x %s %s" % (address, dice.choice("tttttTTTTdDrRbB"), name))
    lines.append("%016x B _end" % (address + 4096))
    modules = ["module_%d" % number for number in range(90)]
    for number in range(MODULE_SYMBOLS):
        lines.append("%016x %s %s\t[%s]" % (0xFFFFFFFFC0000000 + 64 * number, dice.choice("tttTdrb"), dice.choice(names),
                                            modules[number * len(modules) // MODULE_SYMBOLS]))
    return "\n".join(lines) + "\n"


def identifiers_of(tree):
    """The functions' and variables' names in a header tree (pathlib.Path), as far as they are easily seen."""
    found = set()
    for header in sorted((tree / "include" / "linux").glob("*.h")):
        found.update(re.findall(r"\b([a-z_][a-z0-9_]{4,40})\(", header.read_text(errors="replace")))
    return found
