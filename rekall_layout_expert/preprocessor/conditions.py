r"""#if: preprocessing conditions (C11 6.10.1), with GCC's __has_ operators.

A condition is expanded with the macro table as it stands, identifiers that are left count as 0, and the arithmetic is
that of intmax_t and uintmax_t: a data model whose int has 64 bits.

To expand one takes longer than anything else in a walk, and headers ask the same things again and again, under one config
and under many.  So an answer is kept with all that it depended on: every name that its expansion met, and what each stood
for.  It holds where they stand for the same.
"""

from rekall_layout_expert.c_integers import Arithmetic, ExpressionReader, NotConstant, matching
from rekall_layout_expert.c_tokens import is_identifier, tokenize
from rekall_layout_expert.errors import LayoutExpertError

_ARITHMETIC = Arithmetic(64, 64)
_MOST_SHOWN = 300  # characters of a condition in a message


class Conditions:
    """Answers the conditions of one translation unit.

    table: its MacroTable; compiler: answers has_attribute, has_builtin and has_feature; find: tells whether a header
    that __has_include names exists, as find(kind, spelled) -> bool; answers: those found so far, {text: (value, {name:
    definition | None})}, perhaps by other units.  Attribute: assertions, {predicate: its answers}.
    """

    def __init__(self, table, compiler, find, answers):
        self.table = table
        self.assertions = compiler.assertions()
        self._answers = answers
        self._inside = False
        self._skipping = False  # in an operand of ?: that is not evaluated
        table.define_builtin("defined", self._defined)
        for mark in ("#", "%:"):
            table.define_builtin(mark, self._assertion)
        for name in ("__has_include", "__has_include_next"):
            table.define_builtin(name, self._has_include(find, "next" if name.endswith("next") else ""))
        for name, answer in compiler.operators().items():
            table.define_builtin(name, self._operator(answer))

    def holds(self, condition):
        """Whether a branch with that condition (see `pre_ast.program`) is taken.

        Raises LayoutExpertError for a condition that cannot be evaluated.
        """
        kind, text = condition[0], condition[1:]
        if kind == "?":
            return self.value(text) != 0
        return (text in self.table.current or self._is_operator(text)) == (kind == "+")

    def value(self, text):
        """The value of a preprocessing expression, an int."""
        known = self._answers.get(text)
        if known is not None and self._holds_still(known[1]):
            return known[0]
        tokens = tokenize(text)
        inside, self._inside = self._inside, True
        met, self.table.met = self.table.met, [tokens]
        try:
            expanded = self.table.expand([(tokens, None, 0, None)])
            tree = ExpressionReader([token for token in expanded if not token.isspace()]).read()
            self._skipping = False
            value = self._fold(tree)[0]
            self._keep(text, value)
            return value
        except NotConstant as error:
            raise LayoutExpertError("#if %s: %s" % (text[:_MOST_SHOWN], str(error)[:_MOST_SHOWN])) from None
        except RecursionError:
            raise LayoutExpertError("#if %.60s ...: the expression is nested too deeply" % text) from None
        finally:
            self._inside = inside
            self.table.met = met

    def _keep(self, text, value):
        met = set().union(*self.table.met)
        met.discard("defined")
        # What the other operators say depends on more than macros.
        if self.table.builtins.keys().isdisjoint(met):
            current = self.table.current
            self._answers[text] = value, {name: current.get(name) for name in met if is_identifier(name)}

    def _holds_still(self, definitions):
        current = self.table.current
        for name, definition in definitions.items():
            if current.get(name) != definition:
                return False
        return self.table.builtins.keys().isdisjoint(definitions)

    def _is_operator(self, name):
        return name in self.table.builtins and name != "defined"

    def add_assertion(self, text):
        """#assert predicate(answer).  Raises NotConstant for a malformed one."""
        predicate, answer = _assertion(text)
        if answer is None:
            raise NotConstant("an assertion without an answer")
        self.assertions.setdefault(predicate, set()).add(answer)

    def remove_assertion(self, text):
        """#unassert predicate(answer), or of a predicate with all its answers."""
        predicate, answer = _assertion(text)
        if answer is None:
            self.assertions.pop(predicate, None)
        else:
            self.assertions.get(predicate, set()).discard(answer)

    def _fold(self, tree):
        kind = tree[0]
        if kind == "number":
            return _ARITHMETIC.number(tree[1])
        if kind == "name":
            return 0, 64, False
        if kind == "char":
            return _ARITHMETIC.character(tree[1])
        if kind == "unary" and tree[1] not in "&*":
            return _ARITHMETIC.unary(tree[1], self._fold(tree[2]))
        if kind == "binary":
            operator = tree[1]
            left = self._fold(tree[2])
            if operator in ("&&", "||"):
                if bool(left[0]) == (operator == "||"):
                    return int(operator == "||"), 64, False
                return int(bool(self._fold(tree[3])[0])), 64, False
            right = self._fold(tree[3])
            if self._skipping and operator in ("/", "%") and not right[0]:
                return left  # as GCC has it, with the type of the left operand alone
            return _ARITHMETIC.binary(operator, left, right)
        if kind == "conditional":
            condition = self._fold(tree[1])
            chosen, rejected = (tree[2] or tree[1], tree[3]) if condition[0] else (tree[3], tree[2] or tree[1])
            skipping, self._skipping = self._skipping, True
            is_unsigned = self._fold(rejected)[2]  # only its type counts (C11 6.5.15p5)
            self._skipping = skipping
            return _ARITHMETIC.binary("+", self._fold(chosen), (0, 64, is_unsigned))
        if kind == "comma":
            return self._fold(tree[2])
        raise NotConstant("no preprocessing expression")

    # defined NAME | defined ( NAME )
    def _defined(self, reader):
        if not self._inside:
            return None
        name = reader.next_token()
        if name == "(":
            name = reader.next_token()
            if reader.next_token() != ")":
                raise NotConstant("')' is missing after 'defined'")
        if name is None or not is_identifier(name):
            raise NotConstant("'defined' without an identifier")
        return ["1" if name in self.table.current or self._is_operator(name) else "0"]

    # # PREDICATE [( ANSWER )]        (GNU C)
    def _assertion(self, reader):
        if not self._inside:
            return None
        predicate = reader.next_token()
        if predicate is None or not is_identifier(predicate):
            raise NotConstant("an assertion without a predicate")
        answers = self.assertions.get(predicate, ())
        if not reader.reads_parenthesis():
            return [str(int(bool(answers)))]
        return [str(int(" ".join(self._group(reader.next_token, "an assertion")) in answers))]

    def _group(self, next_token, what):
        """The tokens up to the parenthesis that closes the one that was read."""
        words = []
        depth = 1
        while True:
            token = next_token()
            if token is None:
                raise self._malformed("')' is missing after %s" % what)
            depth += (token == "(") - (token == ")")
            if not depth:
                return words
            words.append(token)

    def _malformed(self, text):
        return NotConstant(text) if self._inside else LayoutExpertError(text)

    def _has_include(self, find, prefix):
        def answer(reader):
            if reader.file() is not None:
                raise LayoutExpertError("__has_include stands outside of a directive")
            if reader.next_token() != "(":
                raise self._malformed("'(' is missing after '__has_include'")
            depth = len(reader.stack)
            token = reader.next_expanded()
            following = reader.next_token if len(reader.stack) == depth else reader.next_expanded
            if token == "<":
                kind, spelled = "<", []
                while True:
                    token = following()
                    if token is None:
                        raise self._malformed("__has_include names no header")
                    if token == ">":
                        break
                    spelled.append(token)
                name = "".join(spelled)
            elif token and token[0] == '"' and len(token) > 2:
                kind, name = '"', token[1:-1]
            else:
                raise self._malformed("__has_include names no header")
            if reader.next_token() != ")":
                raise self._malformed("')' is missing after '__has_include'")
            return ["1" if find(prefix + kind, name) else "0"]

        return answer

    def _operator(self, function):
        def answer(reader):
            if reader.next_token() != "(":
                raise self._malformed("'(' is missing after a __has_ operator")
            return [str(function("".join(self._group(reader.next_expanded, "a __has_ operator"))))]

        return answer


def _assertion(text):
    """(predicate, answer | None) of an #assert or #unassert."""
    tokens = tokenize(text)
    if not tokens or not is_identifier(tokens[0]):
        raise NotConstant("an assertion without a predicate")
    if len(tokens) == 1:
        return tokens[0], None
    if tokens[1] != "(":
        raise NotConstant("an answer without a parenthesis")
    answer = tokens[2 : matching(tokens, 1)]
    if not answer:
        raise NotConstant("an empty answer")
    return tokens[0], " ".join(answer)
