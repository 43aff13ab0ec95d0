r"""Trimming: which declarations may define a name, so that no other is ever expanded.

The Pre-AST says which names each piece of text seems to declare.  What it cannot see is caught here: a declaration whose
declared name is itself a macro at that moment, or that calls a macro which makes declarations, is *opaque*, and is read
when a name is found nowhere else.
"""

import re

from rekall_layout_expert.c_tokens import is_pasted

_WORD = re.compile(r"\w+")
_BARE_WORD = re.compile(r"(?<!struct )(?<!union )(?<!enum )\b\w+")
_DEFINED_TAG = re.compile(r"(?:struct|union|enum) (\w+)[^;{}()]*\{")


class DeclarationIndex:
    """The declarations of a `TranslationUnit` by the names they may declare (see `pre_ast.program`).

    all_opaque: for text that was not prepared by the Pre-AST builder, which marks the callers of such macros.
    """

    def __init__(self, unit, all_opaque=False):
        self._by_name = by_name = {}
        self._unit = unit
        self._opaque = []
        self._words = {}
        self._all_words = None
        self._macros = {}
        macros = unit.macros.since
        for declaration in unit.declarations:
            for name in declaration.names:
                known = by_name.get(name)
                if known is None:
                    by_name[name] = [declaration]
                else:
                    known.append(declaration)
                if name.lstrip(".") in macros and self._is_renamed(name.lstrip("."), declaration.pieces[0][1]):
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

    def opaque(self, name):
        """The declarations that do not show `name` and yet may declare it.

        What an expansion yields are words of the text and of the macros that it calls, alone or pasted together.
        """
        kind = 1 if name[0] == "." else 0
        name = name.lstrip(".")
        if self._all_words is None:
            words = [self._reachable_words(each) for each in self._opaque]
            self._all_words = (set().union(*(all_ for all_, _ in words)), set().union(*(bare for _, bare in words)))
        if not is_pasted(name, self._all_words[kind]):
            return []
        return [each for each in self._opaque if is_pasted(name, self._reachable_words(each)[kind])]

    def _reachable_words(self, declaration):
        """(all words of what a declaration can expand to, those that stand as more than the tag of a use)."""
        found = self._words.get(declaration)
        if found is None:
            words, bare, pending = set(), set(), set()
            for text, *_ in declaration.pieces:
                self._add_words(text, (), pending, bare)
            while pending:
                words |= pending
                reached = set()
                for word in pending:
                    reached |= self._macro_words(word, bare)
                pending = reached - words
            found = self._words[declaration] = (words, bare)
        return found

    def _macro_words(self, name, bare):
        """The words of every definition of a macro; the bare ones go to `bare`, too."""
        found = self._macros.get(name)
        if found is None:
            found = self._macros[name] = (set(), set())
            for macro in self._unit.macros.definitions(name):
                self._add_words(macro.body, macro.parameters or (), *found)
        bare |= found[1]
        return found[0]

    @staticmethod
    def _add_words(text, parameters, words, bare):
        words.update(_WORD.findall(text))
        words.difference_update(parameters)
        bare.update(_BARE_WORD.findall(text))
        bare.update(_DEFINED_TAG.findall(text))

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
            each
            for each in self._unit.declarations
            if any(word in piece[0] and pattern.search(piece[0]) for piece in each.pieces)
        ]
