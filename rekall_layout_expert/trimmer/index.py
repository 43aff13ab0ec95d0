r"""Trimming: which declarations may define a name, so that no other is ever expanded.

The Pre-AST says which names each piece of text seems to declare.  What it cannot see is caught here: a declaration whose
declared name is itself a macro at that moment, or that calls a macro which makes declarations, is *opaque*, and is read
when a name is found nowhere else.
"""

import functools
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
        self._words = {}
        self._all_words = None
        self._macros = {}
        macros = unit.macros.since
        for declaration in unit.declarations:
            for name in declaration.names:
                if name in by_name:
                    by_name[name].append(declaration)
                else:
                    by_name[name] = [declaration]
        for name in by_name:
            bare = name.lstrip(".")
            if bare in macros:
                for declaration in by_name[name]:
                    declaration.opaque |= self._is_renamed(bare, declaration.pieces[0][1])
        for declaration in unit.declarations if all_opaque else ():
            declaration.opaque = True
        self._opaque = [each for each in unit.declarations if each.opaque]

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
            macros = self._unit.macros.since.keys()
            words, bare, called = set(), set(), set()
            reached = [_words_of(text) for text, *_ in declaration.pieces]
            while reached:
                words.update(*(each for each, _ in reached))
                bare.update(*(each for _, each in reached))
                pending = macros & words - called
                called |= pending
                reached = [self._macro_words(name) for name in pending]
            found = self._words[declaration] = (words, bare)
        return found

    def _macro_words(self, name):
        """The words of every definition of a macro, and the bare ones."""
        found = self._macros.get(name)
        if found is None:
            words, bare = set(), set()
            for macro in self._unit.macros.definitions(name):
                of_body = _words_of(macro.body)
                words |= of_body[0].difference(macro.parameters or ())
                bare |= of_body[1]
            found = self._macros[name] = (words, bare)
        return found

    def all(self):
        """Every declaration that may declare a type."""
        return [each for each in self._unit.declarations if each.names or each.opaque]

    def tags(self):
        """The tags that seem to be declared."""
        return [name[1:] for name in self._by_name if name[0] == "."]

    def mentioning(self, word):
        """The declarations in whose unexpanded text a word stands; a slow look-up for the rare typeof(object)."""
        pattern = re.compile(r"\b%s\b" % re.escape(word))
        found = [
            each
            for each in self._unit.declarations
            for piece in each.pieces
            if word in piece[0] and pattern.search(piece[0])
        ]
        return list(dict.fromkeys(found))


@functools.lru_cache(maxsize=1 << 13)
def _words_of(text):
    """(the words of a text, those that stand as more than the tag of a use)."""
    return frozenset(_WORD.findall(text)), frozenset(_BARE_WORD.findall(text) + _DEFINED_TAG.findall(text))
