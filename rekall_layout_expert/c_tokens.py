r"""Translation phase 3: C source text to preprocessing tokens.

One regular expression cuts a text into tokens at the speed of the ``re`` module; a token is a plain ``str``, so that
membership in a macro table is one dictionary look-up.  Two readings of a text exist, from one grammar (C11 6.4):

* ``tokenize`` forgets white space; types do not depend on it;
* ``tokenize_spelling`` keeps it as tokens of their own, for the output of ``preprocess`` and for the ``#`` operator.

A token that must never be expanded again (C11 6.10.3.4p2) is a ``Painted`` string, and a pragma inside a declaration is
a ``Pragma`` string: both compare and hash as the text they carry.
"""

import re

_GRAMMAR = (
    r'(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"'  # string literal
    r"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])*'"  # character constant
    r"|[^\W\d][\w$]*|\$[\w$]*"  # identifier
    r"|\.?\d(?:[eEpP][+-]|[\w.])*"  # pp-number
    r"|\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|##"
    r"|\S"
)

tokenize = re.compile(_GRAMMAR, re.S).findall
tokenize_spelling = re.compile(r"\s+|" + _GRAMMAR, re.S).findall

IDENTIFIER = re.compile(r"[^\W\d][\w$]*\Z|\$[\w$]*\Z")


class Painted(str):
    """An identifier that stood for a macro being expanded: never a macro name again."""

    __slots__ = ()


class Pragma(str):
    """The text after ``#pragma``, travelling through a declaration as one token."""

    __slots__ = ()


class Unspelled(str):
    """A string literal made by # of several tokens whose white space was forgotten: its length is not known."""

    __slots__ = ()


def is_identifier(token):
    """Whether `token` is an identifier or a keyword."""
    first = token[0]
    return (first.isalpha() or first in "_$") and token[-1] not in "\"'"


def joins(left, right):
    """Whether two tokens printed without a space between them would be read back as something else."""
    return tokenize(left + right)[:1] != [left]
