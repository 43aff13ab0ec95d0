r"""What include/generated/bounds.h is made of: kernel/bounds.c, as enumerators.

The kernel's build compiles kernel/bounds.c and reads the values of its DEFINE(symbol, expression) lines out of the
assembler text.  Here each becomes an enumerator, whose value the layout computes for the host's config.

A headers package has no kernel/bounds.c, but the bounds.h of its flavour gives each symbol's expression in a comment;
only the conditions that kernel/bounds.c puts around some of them are not in it, and are written down here.
"""

import re

PREFIX = "bound_of__"
UNKNOWN_PREFIX = "unknown_bound_of__"

_DEFINE = re.compile(r"\bDEFINE\s*\(\s*(\w+)\s*,(.*)\)\s*;")
_COMMENTED = re.compile(r"^#define\s+(\w+)\s+\S+\s*/\*(.*?)\*/", re.M)
_HEADERS = ("linux/page-flags.h", "linux/mmzone.h", "linux/page_cgroup.h", "linux/log2.h", "linux/spinlock_types.h",
            "linux/spinlock.h")  # fmt: skip
# The conditions of kernel/bounds.c and what stands in their #else.
_CONDITIONS = {
    "NR_CPUS_BITS": ("CONFIG_SMP", None),
    "LRU_GEN_WIDTH": ("CONFIG_LRU_GEN", "0"),
    "__LRU_REFS_WIDTH": ("CONFIG_LRU_GEN", "0"),
}


def bounds_source(tree):
    """C text with an enumerator ``bound_of__SYMBOL`` for each symbol of the tree's bounds.h.

    One whose expression the tree does not tell for a config is ``unknown_bound_of__SYMBOL`` there.
    """
    if tree.has("kernel/bounds.c"):
        return _from_source(tree.text("kernel/bounds.c"))
    if tree.has("include/generated/bounds.h"):
        return _from_header(tree.text("include/generated/bounds.h"))
    return ""


def _enumerator(symbol, expression):
    return "enum { %s%s = (%s) };" % (PREFIX, symbol, expression.strip())


def _from_source(text):
    lines = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        match = _DEFINE.search(line)
        if match:
            lines.append(_enumerator(*match.groups()))
        elif line.lstrip().startswith("#") and "kbuild.h" not in line:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _from_header(text):
    lines = ["#define __GENERATING_BOUNDS_H"] + ["#include <%s>" % header for header in _HEADERS]
    for symbol, expression in _COMMENTED.findall(text):
        condition, otherwise = _CONDITIONS.get(symbol, (None, None))
        if condition is None:
            lines.append(_enumerator(symbol, expression))
            continue
        expression = expression.strip()
        if expression == otherwise:  # the flavour's own config took the #else: its comment is no formula
            lines += ["#ifdef " + condition, "enum { %s%s };" % (UNKNOWN_PREFIX, symbol)]
        else:
            lines += ["#ifdef " + condition, _enumerator(symbol, expression)]
        if otherwise is not None:
            lines += ["#else", _enumerator(symbol, otherwise)]
        lines.append("#endif")
    return "\n".join(lines) + "\n"
