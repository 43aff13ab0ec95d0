r"""Trimming: which declarations may define a name, so that no other is ever expanded.

The Pre-AST says which names each piece of text seems to declare.  What it cannot see is caught here: a declaration whose
declared name is itself a macro at that moment, or that calls a macro which makes declarations, is *opaque*, and is read
when a name is found nowhere else.
"""

import re


class DeclarationIndex:
    """The declarations of a `TranslationUnit` by the names they may declare (see `pre_ast.program`).

    all_opaque: for text that was not prepared by the Pre-AST builder, which marks the callers of such macros.
    """

    def __init__(self, unit, all_opaque=False):
        self._by_name = by_name = {}
        self._unit = unit
        self._opaque = []
        history = unit.macros.history
        for declaration in unit.declarations:
            for name in declaration.names:
                known = by_name.get(name)
                if known is None:
                    by_name[name] = [declaration]
                else:
                    known.append(declaration)
                if name.lstrip(".") in history and self._is_renamed(name.lstrip("."), declaration.pieces[0][1]):
                    declaration.opaque = True
            declaration.opaque |= all_opaque
            if declaration.opaque:
                self._opaque.append(declaration)

    def _is_renamed(self, name, moment):
        macro = self._unit.macros.lookup(name, moment)
        return macro is not None and macro.body != name

    def candidates(self, name):
        """The declarations that may declare `name` (a tag has a leading dot), in their order."""
        return self._by_name.get(name, ())

    def opaque(self):
        """The declarations that may declare anything."""
        return self._opaque

    def all(self):
        """Every declaration that may declare a type."""
        return [each for each in self._unit.declarations if each.names or each.opaque]

    def tags(self):
        """The tags that seem to be declared."""
        return [name[1:] for name in self._by_name if name[0] == "."]

    def mentioning(self, word):
        """The declarations in whose unexpanded text a word stands; a slow look-up for the rare typeof(object)."""
        pattern = re.compile(r"\b%s\b" % re.escape(word))
        return [
            each for each in self._unit.declarations if any(pattern.search(text) for text, *_ in each.pieces)
        ]
