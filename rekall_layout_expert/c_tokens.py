r"""Translation phase 3: C source text to preprocessing tokens.

One regular expression cuts a text into tokens at the speed of the ``re`` module; a token is a plain ``str``, so that
membership in a macro table is one dictionary look-up.  Two readings of a text exist, from one grammar (C11 6.4):

* ``tokenize`` forgets white space; types do not depend on it;
* ``tokenize_spelling`` keeps it as tokens of their own, for the output of ``preprocess`` and for the ``#`` operator, and
  reads universal character names.

A literal that is not closed is one token to the end of its line, as GCC has it.  A token that must never be expanded
again (C11 6.10.3.4p2) is a ``Painted`` string, and a pragma inside a declaration is a ``Pragma`` string: both compare
and hash as the text they carry.
"""

import functools
import re

from rekall_layout_expert.errors import LayoutExpertError

# What C11 Annex D allows in identifiers besides ASCII.
_EXTENDED = (
    "\u00a8\u00aa\u00ad\u00af\u00b2-\u00b5\u00b7-\u00ba\u00bc-\u00be\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u167f\u1681-\u180d"
    "\u180f-\u1fff\u200b-\u200d\u202a-\u202e\u203f\u2040\u2054\u2060-\u218f\u2460-\u24ff\u2776-\u2793\u2c00-\u2dff"
    "\u2e80-\u2fff\u3004-\u3007\u3021-\u302f\u3031-\ud7ff\uf900-\ufd3d\ufd40-\ufdcf\ufdf0-\ufe44\ufe47-\ufffd"
    + "".join("%c-%c" % (plane << 16, plane << 16 | 0xFFFD) for plane in range(1, 15))
)
_LETTERS = r"A-Za-z_$"
# In the patterns @ stands for the letters.
_NAME = "[@][@0-9]*"
_UCN = r"(?:\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8})"
# An identifier in which universal character names may stand.
SPELLED_NAME = r"(?:[@]|%s)[@0-9]*(?:%s[@0-9]*)*" % (_UCN, _UCN)

_GRAMMAR = (
    r'(?:u8R?|[uUL]R?|R)?"(?:\\.|[^"\\\n])*"?'  # string literal
    r"|[uUL]?'(?:\\.|[^'\\\n])*'?"  # character constant
    r"|%s"  # identifier
    r"|\.?[0-9](?:[eEpP][+-]|[@0-9.]%s)*"  # pp-number
    r"|\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%%&|^]=|##|%%:%%:|%%:|<:|:>|<%%|%%>"
    r"|\S"
)


class Pattern:
    """A regular expression with identifiers in it, where @ stands for the letters.

    Python takes milliseconds to compile the letters of Annex D, and hardly a text has one: so there is one pattern for
    ASCII, and another one once it is asked for.
    """

    def __init__(self, text, flags=0):
        self._text = text
        self._flags = flags
        self.ascii = re.compile(text.replace("@", _LETTERS), flags)

    @functools.cached_property
    def _extended(self):
        return re.compile(self._text.replace("@", _LETTERS + _EXTENDED), self._flags)

    def of(self, text):
        """What `re.compile` returns, for that text."""
        return self.ascii if text.isascii() else self._extended


_TOKEN = Pattern(_GRAMMAR % (_NAME, ""), re.S)
_SPELLED_TOKEN = Pattern(r"\s+|::|" + _GRAMMAR % (SPELLED_NAME, "|" + _UCN), re.S)
_IDENTIFIER = Pattern(_NAME + r"\Z")
_READ_UCN = re.compile(_UCN)
_COMBINING = re.compile("[\u0300-\u036f\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")  # never first (C11 D.2)
_MOST_PASTED = 4  # words that make up one name
_NO_NAME = re.compile("[\"']|^[.0-9]")


def tokenize(text):
    """The tokens of a text, without white space."""
    return _TOKEN.of(text).findall(text)


def tokenize_spelling(text):
    """The tokens of a text, white space among them."""
    tokens = _SPELLED_TOKEN.of(text).findall(text)
    if text.isascii() and "\\" not in text:
        return tokens
    if "\\" in text:
        tokens = [Spelled(token) if _READ_UCN.search(token) and not _NO_NAME.search(token) else token for token in tokens]
    for token in tokens:
        if _COMBINING.match(token) or token.__class__ is Spelled and not _IDENTIFIER.of(token).match(token):
            raise LayoutExpertError("%s is no identifier" % getattr(token, "spelling", token))
    return tokens


def canonical(name):
    """An identifier without universal character names: these are the characters that they name (C11 6.4.3)."""
    return _READ_UCN.sub(_named, name) if "\\" in name else name


def _named(ucn):
    code = int(ucn.group()[2:], 16)
    return chr(code) if 0xA0 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else " "  # that is no identifier


class Painted(str):
    """An identifier that stood for a macro being expanded: never a macro name again."""

    __slots__ = ()


class Pragma(str):
    """The text after ``#pragma``, travelling through a declaration as one token."""

    __slots__ = ()


class Unspelled(str):
    """A string literal made by # of several tokens whose white space was forgotten: its length is not known."""

    __slots__ = ()


class Spelled(str):
    """An identifier that was written with universal character names: `spelling`."""

    def __new__(cls, spelling):
        made = super().__new__(cls, canonical(spelling))
        made.spelling = spelling
        return made


def is_identifier(token):
    """Whether `token` is an identifier or a keyword."""
    if token.isidentifier():
        return True
    first = token[0]
    if first.isalpha() or first in "_$":
        return token[-1] not in "\"'"
    return first > "\x7f" and _IDENTIFIER.of(token).match(token) is not None


def is_pasted(name, words, most=_MOST_PASTED, least=1):
    """Whether ## may make `name`: it is one of `words`, or several of them in a row."""
    if least == 1 and name in words:
        return True
    for end in range(1, len(name)):
        if name[:end] in words:
            rest = name[end:]
            if rest in words or most > 2 and is_pasted(rest, words, most - 1):
                return True
    return False


def joins(left, right):
    """Whether two tokens printed without a space between them would be read back as something else."""
    together = left + right
    return tokenize_spelling(together)[:1] != [left] or together[:2] in ("//", "/*", "..")


# Pragmas, besides pack, that rule over all records behind them, with their operands.
LASTING_PRAGMAS = {
    "scalar_storage_order": ("big-endian", "little-endian", "default"),
    "ms_struct": ("on", "off", "reset"),
}

# Inside a raw string nothing means anything, nor in an odd header name: their characters travel where no text is.
_SHIELD = 0xF0000
_SHIELDED = {ord(char): chr(_SHIELD + ord(char)) for char in "\n\\\"'/"}
_UNSHIELDED = {ord(to): chr(char) for char, to in _SHIELDED.items()}
SHIELDED_NEWLINE = _SHIELDED[10]


def shielded(text):
    """`text` with the characters hidden that later phases would take for something."""
    return text.translate(_SHIELDED)


def unshielded(text):
    """What was hidden by shielded(), shown again."""
    return text if text.isascii() else text.translate(_UNSHIELDED)
