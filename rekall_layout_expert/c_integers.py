r"""Integer constant expressions: the grammar of C11 6.6 and the arithmetic of a target's integer types.

Two stages need them: ``#if`` (where every type is as wide as intmax_t, C11 6.10.1p4) and array sizes, bit-field widths
and enumerators (where the target's widths count).  The grammar is read once, by precedence climbing, into nested
tuples; the arithmetic folds them as GCC does: wrapping in the width of the type, unsigned where the usual arithmetic
conversions say so.

A tree is one of
    ("number", text)  ("char", text)  ("name", identifier)  ("string", [text])
    ("unary", operator, tree)  ("binary", operator, tree, tree)  ("conditional", tree, tree | None, tree)
    ("cast", type, tree)  ("sizeof", type)  ("sizeof-expression", tree)  ("alignof", type)  ("alignof-expression", tree)
    ("least-alignof", type)  ("least-alignof-expression", tree)
    ("call", tree, [tree])  ("member", tree, name)  ("arrow", tree, name)  ("index", tree, tree)
    ("offsetof", type, designator tree)  ("types-compatible", type, type)  ("choose", tree, tree, tree)
    ("comma", tree, tree)  ("compound", type, [token])  ("generic", tree, [(type | None, tree)])  ("opaque", reason)
where a type is whatever the reader's `type_names` hook made of the tokens.

A value is (integer, width in bits, unsigned?).
"""

import re

from rekall_layout_expert.c_tokens import Unspelled, is_identifier

# Higher binds tighter (C11 6.5.5 to 6.5.14).
PRECEDENCE = {
    "*": 10, "/": 10, "%": 10, "+": 9, "-": 9, "<<": 8, ">>": 8, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "==": 6, "!=": 6, "&": 5, "^": 4, "|": 3, "&&": 2, "||": 1,
}  # fmt: skip

_MOST_DIGITS = 1000
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)([uU]?(?:ll|LL|[lL])?[uU]?)\Z")
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "E": 27}


class NotConstant(Exception):
    """The expression has no value that can be known for certain; the text says why."""


class ExpressionReader:
    """Reads one expression from a list of tokens.

    `type_names(tokens, start)` answers, for the token after an opening parenthesis, the type that starts there and the
    position behind it, or None when no type name starts there; without it (in ``#if``) there are no types.
    """

    def __init__(self, tokens, type_names=None):
        self.tokens = tokens
        self.position = 0
        self.type_names = type_names

    def read(self):
        """The tree of the whole token list.  Raises NotConstant for anything else behind it."""
        try:
            tree = self._comma()
        except RecursionError:
            raise NotConstant("the expression is nested too deeply") from None
        if self.position != len(self.tokens):
            raise NotConstant("unexpected '%s' in '%s'" % (self._peek(), " ".join(self.tokens)))
        return tree

    def _peek(self):
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _accept(self, token):
        if self._peek() == token:
            self.position += 1
            return True
        return False

    def _expect(self, token):
        if not self._accept(token):
            raise NotConstant(
                "'%s' expected before '%s' in '%s'" % (token, self._peek() or "the end", " ".join(self.tokens))
            )

    def _comma(self):
        tree = self._assignment()
        while self._accept(","):
            tree = ("comma", tree, self._assignment())
        return tree

    # conditional: binary | binary ? expression : conditional        (GNU: the middle may be left out)
    def _assignment(self):
        tree = self._binary(1)
        if not self._accept("?"):
            return tree
        if self.type_names is not None and self._accept(":"):
            return ("conditional", tree, None, self._assignment())
        middle = self._comma()
        self._expect(":")
        return ("conditional", tree, middle, self._assignment())

    def _binary(self, level):
        left = self._unary()
        while True:
            operator = self._peek()
            precedence = PRECEDENCE.get(operator, 0)
            if precedence < level:
                return left
            self.position += 1
            left = ("binary", operator, left, self._binary(precedence + 1))

    # unary: ( type ) unary | sizeof unary | sizeof ( type ) | operator unary | postfix
    def _unary(self):
        token = self._peek()
        if token in ("-", "+", "~", "!") or token in ("&", "*") and self.type_names is not None:
            self.position += 1
            return ("unary", token, self._unary())
        if token in ("sizeof", "_Alignof", "__alignof__", "__alignof"):
            self.position += 1
            kind = {"sizeof": "sizeof", "_Alignof": "least-alignof"}.get(token, "alignof")
            if self._peek() == "(":
                type_, end = self._type_at(self.position + 1)
                if type_ is not None and self.tokens[end : end + 1] == [")"]:
                    if self.tokens[end + 1 : end + 2] != ["{"]:
                        self.position = end + 1
                        return (kind, type_)
            return (kind + "-expression", self._unary())
        if token == "(":
            type_, end = self._type_at(self.position + 1)
            if type_ is not None and self.tokens[end : end + 1] == [")"]:
                self.position = end + 1
                if self._peek() == "{":
                    start = self.position + 1
                    self._skip_group()
                    return self._postfix(("compound", type_, self.tokens[start : self.position - 1]))
                return ("cast", type_, self._unary())
        if token == "__extension__":
            self.position += 1
            return self._unary()
        return self._postfix(self._primary())

    def _type_at(self, position):
        if self.type_names is None or position >= len(self.tokens):
            return None, position
        return self.type_names(self.tokens, position) or (None, position)

    def _postfix(self, tree):
        while self.type_names is not None:
            token = self._peek()
            if token == "[":
                self.position += 1
                tree = ("index", tree, self._comma())
                self._expect("]")
            elif token == "(":
                self.position += 1
                tree = ("call", tree, self._arguments())
            elif token in (".", "->"):
                self.position += 2
                if self.position > len(self.tokens):
                    raise NotConstant("a member name is missing in '%s'" % " ".join(self.tokens))
                tree = ("member" if token == "." else "arrow", tree, self.tokens[self.position - 1])
            else:
                break
        return tree

    def _arguments(self):
        arguments = []
        if self._accept(")"):
            return arguments
        while True:
            arguments.append(self._assignment())
            if self._accept(")"):
                return arguments
            self._expect(",")

    def _primary(self):
        token = self._peek()
        if not token:
            raise NotConstant("the expression '%s' ends too early" % " ".join(self.tokens))
        if token == "(":
            if self.tokens[self.position + 1 : self.position + 2] == ["{"]:
                self._skip_group()
                return ("opaque", "a statement expression")
            self.position += 1
            tree = self._comma()
            self._expect(")")
            return tree
        special = self._SPECIAL.get(token)
        if special is not None and self.type_names is not None:
            self.position += 1
            return special(self)
        self.position += 1
        if token[0].isdigit() or token[0] == ".":
            if self.type_names is None and not _NUMBER.match(token):
                raise NotConstant("'%s' is not an integer constant" % token)
            return ("number", token)
        if token[-1] == "'" and len(token) > 1:
            return ("char", token)
        if token[-1] == '"' and self.type_names is not None:
            pieces = [token]
            while self._peek()[-1:] == '"':
                pieces.append(self._peek())
                self.position += 1
            if any(piece.__class__ is Unspelled for piece in pieces):
                return ("opaque", "the length of a stringified text")
            return ("string", pieces)
        if is_identifier(token):
            return ("name", token)
        raise NotConstant("unexpected '%s' in '%s'" % (token, " ".join(self.tokens)))

    def _skip_group(self):
        """Steps over a bracketed group, from its opening token to behind its closing one."""
        self.position = matching(self.tokens, self.position) + 1

    def _type_argument(self):
        type_, end = self._type_at(self.position)
        if type_ is None:
            raise NotConstant("a type name expected before '%s'" % self._peek())
        self.position = end
        return type_

    # __builtin_offsetof ( type , designator )
    def _offsetof(self):
        self._expect("(")
        type_ = self._type_argument()
        self._expect(",")
        designator = self._postfix(self._primary())
        self._expect(")")
        return ("offsetof", type_, designator)

    def _types_compatible(self):
        self._expect("(")
        first = self._type_argument()
        self._expect(",")
        second = self._type_argument()
        self._expect(")")
        return ("types-compatible", first, second)

    def _choose(self):
        self._expect("(")
        arguments = self._arguments()
        if len(arguments) != 3:
            raise NotConstant("__builtin_choose_expr takes three arguments")
        return ("choose",) + tuple(arguments)

    # _Generic ( expression , association {, association} )     association: type : expression | default : expression
    def _generic(self):
        self._expect("(")
        control = self._assignment()
        associations = []
        while self._accept(","):
            type_ = None if self._accept("default") else self._type_argument()
            self._expect(":")
            associations.append((type_, self._assignment()))
        self._expect(")")
        return ("generic", control, associations)

    _SPECIAL = {
        "__builtin_offsetof": _offsetof,
        "__builtin_types_compatible_p": _types_compatible,
        "__builtin_choose_expr": _choose,
        "_Generic": _generic,
    }


def matching(tokens, start):
    """The position of the bracket that closes the one at `start`.  Raises NotConstant when there is none."""
    depth = 0
    for position in range(start, len(tokens)):
        token = tokens[position]
        if token in ("(", "[", "{"):
            depth += 1
        elif token in (")", "]", "}"):
            depth -= 1
            if not depth:
                return position
    raise NotConstant("unbalanced brackets")


class Arithmetic:
    """Integer arithmetic of a data model: `int_bits` and `long_bits` are the widths of int and long, long long has 64.

    ``#if`` computes in a model whose int is already 64 bits wide.
    """

    def __init__(self, int_bits, long_bits, char_unsigned=False):
        self.int_bits = int_bits
        self.long_bits = long_bits
        self.char_unsigned = char_unsigned
        self.is_preprocessing = int_bits == 64

    def number(self, text):
        """The value of an integer constant (C11 6.4.4.1: the first type of its list that holds it)."""
        match = _NUMBER.match(text)
        if not match:
            raise NotConstant("'%s' is not an integer constant" % text)
        digits, suffix = match.group(1), match.group(2).lower()
        if len(digits) > _MOST_DIGITS:  # the time that int() takes grows with their square
            raise NotConstant("a constant of %d digits" % len(digits))
        decimal = digits[0] != "0"
        if decimal:
            value = int(digits)
        elif digits[1:2] in ("x", "X", "b", "B"):
            value = int(digits, 0)
        else:
            value = int(digits, 8)
        unsigned = "u" in suffix
        length = suffix.count("l")
        for bits in (self.int_bits, self.long_bits, 64)[length:]:
            if not unsigned and value < 1 << (bits - 1):
                return value, bits, False
            if (unsigned or not decimal) and value < 1 << bits:
                return value, bits, True
        if value < 1 << 64:
            return value, 64, True
        if self.is_preprocessing:
            return wrap(value, 64, unsigned), 64, unsigned
        raise NotConstant("the constant %s is too large" % text)

    def character(self, text):
        """The value of a character constant, an int."""
        body = text[text.index("'") + 1 : -1]
        wide = text[0] != "'"
        value = 0
        position = 0
        count = 0
        while position < len(body):
            if body[position] != "\\":
                code = ord(body[position])
                position += 1
            else:
                escape = re.match(r"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|([^xuU])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))", body[position:], re.S)
                if not escape:
                    raise NotConstant("bad character constant %s" % text)
                position += escape.end()
                if escape.group(1):
                    code = int(escape.group(1), 16)
                elif escape.group(2):
                    code = int(escape.group(2), 8)
                elif escape.group(4) or escape.group(5):
                    code = int(escape.group(4) or escape.group(5), 16)
                else:
                    code = _ESCAPES.get(escape.group(3), ord(escape.group(3)))
            value = code if wide else (value << 8 | code & 0xFF) & 0xFFFFFFFF
            count += 1
        if not count:
            raise NotConstant("empty character constant")
        if count == 1 and not wide and not self.char_unsigned:
            value = wrap(value, 8, False)
        return wrap(value, 32, False), self.int_bits, False

    def promote(self, value):
        """Integer promotion (C11 6.3.1.1p2)."""
        number, bits, unsigned = value
        if bits < self.int_bits:
            return number, self.int_bits, False
        return value

    def convert(self, left, right):
        """The usual arithmetic conversions (C11 6.3.1.8) of two values."""
        left = self.promote(left)
        right = self.promote(right)
        bits = max(left[1], right[1])
        unsigned = (left[2] and left[1] == bits) or (right[2] and right[1] == bits)
        return wrap(left[0], bits, unsigned), wrap(right[0], bits, unsigned), bits, unsigned

    def unary(self, operator, value):
        """A unary operator applied to a value."""
        if operator == "!":
            return int(not value[0]), self.int_bits, False
        number, bits, unsigned = self.promote(value)
        if operator == "-":
            number = -number
        elif operator == "~":
            number = ~number
        elif operator != "+":
            raise NotConstant("the operator %s" % operator)
        return wrap(number, bits, unsigned), bits, unsigned

    def binary(self, operator, left, right):
        """A binary operator, other than && and ||, applied to two values."""
        if operator in ("<<", ">>"):
            number, bits, unsigned = self.promote(left)
            count = right[0]
            if count < 0 and self.is_preprocessing:
                operator, count = "><"[operator == ">>"] * 2, -count  # GCC's num_lshift: the other way
            if not 0 <= count < bits:
                if not self.is_preprocessing:
                    raise NotConstant("a shift by %d" % count)
                if operator == "<<" or number >= 0:
                    return 0, bits, unsigned
                return -1, bits, unsigned
            return wrap(number << count if operator == "<<" else number >> count, bits, unsigned), bits, unsigned
        a, b, bits, unsigned = self.convert(left, right)
        compare = _COMPARE.get(operator)
        if compare is not None:
            return int(compare(a, b)), self.int_bits, False
        if operator in ("/", "%"):
            if not b:
                raise NotConstant("division by zero")
            quotient = abs(a) // abs(b)
            if (a < 0) != (b < 0):
                quotient = -quotient
            number = quotient if operator == "/" else a - b * quotient
        else:
            number = _COMBINE[operator](a, b)
        return wrap(number, bits, unsigned), bits, unsigned


def wrap(number, bits, unsigned):
    """`number` as an integer type of that width holds it."""
    number &= (1 << bits) - 1
    if not unsigned and number >> (bits - 1):
        number -= 1 << bits
    return number


_COMPARE = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_COMBINE = {
    "*": lambda a, b: a * b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "&": lambda a, b: a & b,
    "^": lambda a, b: a ^ b,
    "|": lambda a, b: a | b,
}
