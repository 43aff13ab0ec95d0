r"""Where a member comes from, in words: file, line, conditions, macros."""

import re

_PLAIN = re.compile(r"!?\w+(?:\([^()]*\))?\Z")
_NAME = re.compile(r"\b[^\W\d]\w*")
_OPERATORS = ("defined", "IS_ENABLED", "IS_BUILTIN", "IS_MODULE", "IS_REACHABLE")


def origin(place, unit):
    """One line: ``include/linux/sched.h:741  CONFIG_SMP && !defined(X)  macro struct_group (include/linux/stddef.h)``."""
    parts = [where(place)]
    conditions = [each for each in place.conditions if each.path == place.path]
    if conditions:
        parts.append(spelled_conditions(conditions))
    if place.macros:
        parts.append(macro_and_place(place.macros[0], unit))
    return "  ".join(parts)


def where(place):
    """``path:line``."""
    return "%s:%d" % (place.path, place.line)


def macro_and_place(macro, unit):
    """``macro NAME (path)``."""
    return "macro %s (%s)" % (macro.name, macro_place(macro, unit))


def macro_place(macro, unit):
    """The path of the header that defines a macro."""
    return unit.defined_in(macro) or "the compiler or the Makefile"


def spelled_conditions(conditions):
    """`tracing.Condition`s as one expression that holds: what was tried is negated, #ifdef CONFIG_X is CONFIG_X."""
    parts = []
    for condition in conditions:
        parts += [_negated(each) for each in condition.tried]
        parts += [_spelled(condition.taken)] if condition.taken else []
    return " && ".join(parts) if len(parts) > 1 else _unwrapped(parts[0])


def _spelled(condition):
    kind, text = condition[0], " ".join(condition[1:].split())
    if kind == "?":
        return text if _PLAIN.match(text) else "(%s)" % text
    return ("!" if kind == "-" else "") + (text if text.startswith("CONFIG_") else "defined(%s)" % text)


def _negated(condition):
    if condition[0] in "+-":
        return _spelled(("-" if condition[0] == "+" else "+") + condition[1:])
    return "!" + _spelled(condition)


def _unwrapped(text):
    return text[1:-1] if text[0] == "(" else text


def settings(text, values, unit):
    """What the names in a condition are: ``CONFIG_SMP=y, CONFIG_X is not set, Y is 1 (include/linux/y.h)``.

    values: the config's; unit: a `tracing.TracingUnit`, walked.
    """
    told = []
    for name in dict.fromkeys(_NAME.findall(text)):
        macro = unit.macros.lookup(name)
        if name in values:
            told.append("%s=%s" % (name, values[name]))
        elif name in _OPERATORS or name in unit.macros.builtins or macro is not None and macro.parameters is not None:
            continue
        elif macro is not None:
            told.append("%s is %s (%s)" % (name, macro.body or "defined", macro_place(macro, unit)))
        else:
            told.append("%s is not %s" % (name, "set" if name.startswith("CONFIG_") else "defined"))
    return ", ".join(told)
