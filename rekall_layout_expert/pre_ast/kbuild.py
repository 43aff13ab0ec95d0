r"""Kbuild files that list headers: variables and what is assigned or added to them.

The grammar is the small part of make's that these files use; pyparsing keeps it readable, and a Pre-AST is built once.
"""

import pyparsing as pp


def assignments(text):
    """{variable: [word]} of all assignments (=, :=, +=) in a Kbuild file, whatever conditions they stand in."""
    blank = " \t"
    pp.ParserElement.enable_packrat()
    continuation = pp.Suppress("\\\n")
    word = pp.Regex(r"[^\s\\#]+").set_whitespace_chars(blank)
    name = pp.Regex(r"[\w.$()-]+?(?=\s*[:+?]?=)").set_whitespace_chars(blank)
    operator = pp.Suppress(pp.one_of("+= := ?= =").set_whitespace_chars(blank))
    values = pp.ZeroOrMore(continuation.copy().set_whitespace_chars(blank) | word)
    assignment = pp.Group(name("name") + operator + pp.Group(values)("values"))
    lists = {}
    for (found,), _, _ in assignment.scan_string(text):
        lists.setdefault(found["name"], []).extend(found["values"].as_list())
    return lists
