r"""Constant expressions of the target, and the types of expressions.

Array counts, bit-field widths, alignments and enumerators are integer constant expressions (C11 6.6) in the widths of
the target, with what GNU C adds: offsetof, addresses of members of a null pointer, typeof, __builtin_types_compatible_p,
__builtin_choose_expr, __builtin_constant_p, and the arithmetic builtins.  Whatever has no certain value raises.
"""

import re

from rekall_layout_expert.c_integers import ExpressionReader, NotConstant, wrap
from rekall_layout_expert.c_tokens import is_identifier
from rekall_layout_expert.parser.declarations import _BASE_WORDS, _QUALIFIERS, _TYPEOF, Parser, SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Base, Enum, Function, Pointer, Record

_TYPE_STARTS = _BASE_WORDS | _QUALIFIERS | frozenset(_TYPEOF) | {
    "struct", "union", "enum", "_Atomic", "__attribute__", "__builtin_va_list", "_Alignas", "_BitInt",
}  # fmt: skip
_OPERATORS = ("sizeof", "_Alignof", "__alignof__", "__alignof", "_Generic")


class Constants:
    """Values and types of expressions, in the scope and for the target of a `layouts.Layouts`."""

    def __init__(self, layouts):
        self.layouts = layouts
        self.scope = layouts.scope
        self.arithmetic = layouts.abi.arithmetic
        self.size_bits = layouts.abi.pointer[0]
        self._unfinished = []  # what `value` calls local of the enumerations being read, the innermost last
        self._trees = {}

    def value(self, tokens, local=None, typed=False):
        """The value of an integer constant expression, an int; with its type (value, bits, unsigned) if `typed`.

        local: of an enumeration that is still being read {enumerator: value, (value, bits, unsigned) if it is no int}.
        Raises NotConstant or NotKnown.
        """
        if len(tokens) == 1 and tokens[0][0].isdigit():
            number = self.arithmetic.number(tokens[0])
            return number if typed else number[0]
        if local is not None:
            self._unfinished.append(local)
        try:
            number = self.fold(self.tree(tokens))
            return number if typed else number[0]
        except RecursionError:
            raise NotConstant("the expression is nested too deeply") from None
        finally:
            if local is not None:
                self._unfinished.pop()

    def _unfinished_enumerator(self, name):
        """The value of an enumerator whose enumeration is still being read, or None."""
        return next((values[name] for values in reversed(self._unfinished) if name in values), None)

    def alignment_argument(self, tokens):
        """The value, in bytes, of what stands in aligned(…) or _Alignas(…), which may be a type."""
        parsed = self._type_names(tokens, 0)
        if parsed and parsed[1] == len(tokens):
            return self.layouts.least_alignment(parsed[0]) // 8
        return self.value(tokens)

    def type_of_tokens(self, tokens):
        """The type that typeof(tokens) means."""
        parsed = self._type_names(tokens, 0)
        if parsed and parsed[1] == len(tokens):
            return parsed[0]
        try:
            return self.type_of(self.tree(tokens))
        except RecursionError:
            raise NotConstant("the expression is nested too deeply") from None

    def tree(self, tokens):
        """The expression's tree (see `c_integers`), read once."""
        key = " ".join(tokens)
        tree = self._trees.get(key)
        if tree is None:
            tree = self._trees[key] = ExpressionReader(tokens, self._type_names).read()
        return tree

    def _type_names(self, tokens, start):
        """(type, end) of the type name at `start`, or None (the hook of `ExpressionReader`)."""
        if start >= len(tokens):
            return None
        token = tokens[start]
        if token not in _TYPE_STARTS:
            if not is_identifier(token) or token in _OPERATORS or token[:10] == "__builtin_":
                return None
            if self._unfinished_enumerator(token) is not None or not self.scope.is_typedef(token):
                return None
        parser = Parser(tokens, self.scope, ms_extensions=self.scope.ms_extensions)
        parser.position = start
        try:
            type_ = parser.type_name()
        except (SyntaxProblem, IndexError) as error:
            raise NotConstant(str(error)) from None
        return type_, parser.position

    # Values

    def fold(self, tree):
        """(integer, bits, unsigned) of a constant expression."""
        return getattr(self, "_fold_" + tree[0].replace("-", "_"))(*tree[1:])

    def _fold_number(self, text):
        return self.arithmetic.number(text)

    def _fold_char(self, text):
        return self.arithmetic.character(text)

    def _fold_string(self, text):
        raise NotConstant("a string is no integer")

    def _fold_opaque(self, reason):
        raise NotConstant(reason)

    def _fold_name(self, name):
        value = self._unfinished_enumerator(name)
        if value is not None:
            return value if value.__class__ is tuple else (value, self.arithmetic.int_bits, False)
        enum = self.scope.find_enumerator(name)
        if enum is None:
            raise NotConstant("the value of '%s' is not known" % name)
        bits, unsigned, _, _, values = self.layouts.enumeration(enum)
        value = values[name]
        if -(1 << 31) <= value < 1 << 31 and not enum.are_typed:
            return value, self.arithmetic.int_bits, False
        return value, bits, unsigned

    def _fold_unary(self, operator, operand):
        if operator == "&":
            return self._address(operand), self.size_bits, True
        if operator == "*":
            raise NotConstant("the content of memory is no constant")
        return self.arithmetic.unary(operator, self.fold(operand))

    def _fold_binary(self, operator, left, right):
        if operator in ("&&", "||"):
            first = bool(self.fold(left)[0])
            if first == (operator == "||"):
                return int(first), self.arithmetic.int_bits, False
            return int(bool(self.fold(right)[0])), self.arithmetic.int_bits, False
        if operator in ("+", "-"):
            scaled = self._pointer_arithmetic(operator, left, right)
            if scaled is not None:
                return scaled
        return self.arithmetic.binary(operator, self.fold(left), self.fold(right))

    def _pointer_arithmetic(self, operator, left, right):
        """The value of pointer ± integer and pointer - pointer, or None where both are integers."""
        steps = [self._step(left), self._step(right)]
        if steps == [None, None]:
            return None
        a, b = self.fold(left), self.fold(right)
        if steps[0] is not None and steps[1] is not None:
            if operator != "-" or not steps[0]:
                raise NotConstant("pointers are not added")
            return (a[0] - b[0]) // steps[0], self.size_bits, False
        step = steps[0] if steps[0] is not None else steps[1]
        number = a[0] * (step if steps[0] is None else 1)
        other = b[0] * (step if steps[1] is None else 1)
        return wrap(number + other if operator == "+" else number - other, self.size_bits, True), self.size_bits, True

    def _step(self, tree):
        """The size in bytes of what a pointer expression points to; None for an integer."""
        if tree[0] not in ("cast", "unary") or tree[0] == "unary" and tree[1] != "&":
            return None
        type_ = self.layouts.resolve(self.type_of(tree))
        if not isinstance(type_, Pointer):
            return None
        target = self.layouts.resolve(type_.target)
        return 1 if isinstance(target, Function) else (self.layouts.measure(target).size or 0) // 8

    def _fold_conditional(self, condition, middle, other):
        first = self.fold(condition)
        chosen, rejected = (middle or condition, other) if first[0] else (other, middle or condition)
        value = self.fold(chosen)
        try:
            rejected_type = self._integer_type(rejected)
        except (NotConstant, NotKnown):
            # Its type could only widen the result, which changes no value that is not negative.
            if value[0] < 0:
                raise NotConstant("the type of '?:' is not known") from None
            return value
        if rejected_type is None:
            return value
        bits, unsigned = rejected_type
        a, _, bits, unsigned = self.arithmetic.convert(value, (0, bits, unsigned))
        return a, bits, unsigned

    def _integer_type(self, tree):
        """(bits, unsigned) of an integer expression, None for another."""
        try:
            return self.fold(tree)[1:]
        except (NotConstant, NotKnown):
            type_ = self.layouts.resolve(self.type_of(tree))
            return self.layouts.measure(type_).integral if isinstance(type_, (Base, Enum)) else None

    def _fold_cast(self, type_, operand):
        resolved = self.layouts.resolve(type_)
        if isinstance(resolved, Base) and resolved.name == "_Bool":
            return int(bool(self.fold(operand)[0])), 8, True
        if isinstance(resolved, Pointer):
            return wrap(self.fold(operand)[0], self.size_bits, True), self.size_bits, True
        integral = self.layouts.measure(type_).integral
        if integral is None or isinstance(resolved, Base) and resolved.is_bit_int:
            raise NotConstant("a cast to a type that is no integer of the usual ones")
        bits, unsigned = integral
        try:
            value = self.fold(operand)[0]
        except NotConstant as error:
            value = int(self._real(operand, error))
            if wrap(value, bits, unsigned) != value:
                raise NotConstant("a cast of a floating number that does not fit") from None
        return wrap(value, bits, unsigned), bits, unsigned

    def _real(self, tree, error):
        """The value of an expression of doubles.  Raises `error` for anything else."""
        if tree[0] == "number" and _floating_type(tree[1]) == "double":
            return float(tree[1])
        if tree[0] == "unary" and tree[1] in ("+", "-"):
            value = self._real(tree[2], error)
            return -value if tree[1] == "-" else value
        if tree[0] == "binary" and tree[1] in ("+", "-", "*", "/"):
            left, right = (self._real_operand(each, error) for each in tree[2:])
            if tree[1] == "/" and not right:
                raise error
            return {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[tree[1]]
        raise error

    def _real_operand(self, tree, error):
        try:
            return float(self.fold(tree)[0])
        except NotConstant:
            return self._real(tree, error)

    def _fold_sizeof(self, type_):
        size = self.layouts.measure(type_).size
        if size is None:
            raise NotConstant("sizeof an incomplete array")
        return size // 8, self.size_bits, True

    def _fold_sizeof_expression(self, operand):
        return self._fold_sizeof(self.type_of(operand))

    def _fold_alignof(self, type_):
        return self.layouts.measure(type_).alignment // 8, self.size_bits, True

    def _fold_least_alignof(self, type_):
        return self.layouts.least_alignment(type_) // 8, self.size_bits, True

    def _fold_alignof_expression(self, operand):
        return self._alignof_expression(operand, self._fold_alignof)

    def _fold_least_alignof_expression(self, operand):
        return self._alignof_expression(operand, self._fold_least_alignof)

    def _alignof_expression(self, operand, of_type):
        """Of a member its own alignment counts, of any other expression its type's (GCC: c_alignof_expr)."""
        if operand[0] in ("member", "arrow"):
            owner = self._target(operand[1]) if operand[0] == "arrow" else self.type_of(operand[1])
            _, field = self.layouts.find_member(self._record(owner, operand[2]), operand[2])
            if field.width is not None:
                raise NotConstant("the alignment of a bit-field")
            return max(field.alignment // 8, 1), self.size_bits, True
        if operand[0] == "name":
            raise NotConstant("the alignment of the object %s" % operand[1])
        return of_type(self.type_of(operand))

    def _record(self, type_, member):
        record = self.layouts.resolve(type_)
        if not isinstance(record, Record):
            raise NotConstant("'%s' is asked of what is no record" % member)
        return record

    def _fold_offsetof(self, type_, designator):
        offset, _ = self._designate(type_, designator)
        return offset, self.size_bits, True

    def _designate(self, type_, tree):
        """(offset in bytes, type) of a member designator inside `type_`."""
        if tree[0] == "name":
            return self._member(type_, tree[1])
        if tree[0] == "member":
            offset, inner = self._designate(type_, tree[1])
            more, found = self._member(inner, tree[2])
            return offset + more, found
        if tree[0] == "index":
            offset, inner = self._designate(type_, tree[1])
            array = self.layouts.resolve(inner)
            if not isinstance(array, Array):
                raise NotConstant("offsetof indexes what is no array")
            step = self.layouts.measure(array.element).size // 8
            return offset + step * self.fold(tree[2])[0], array.element
        raise NotConstant("offsetof of no member")

    def _member(self, type_, name):
        bit_offset, field = self.layouts.find_member(self._record(type_, name), name)
        if field.width is not None:
            raise NotConstant("the address of the bit-field %s" % name)
        return bit_offset // 8, field.type

    def _address(self, tree):
        """The address of an lvalue whose base is a constant pointer."""
        if tree[0] == "arrow":
            offset, _ = self._member(self._target(tree[1]), tree[2])
            return self.fold(tree[1])[0] + offset
        if tree[0] == "member":
            offset, _ = self._member(self.type_of(tree[1]), tree[2])
            return self._address(tree[1]) + offset
        if tree[0] == "index":
            type_ = self.layouts.resolve(self.type_of(tree[1]))
            base = self._address(tree[1]) if isinstance(type_, Array) else self.fold(tree[1])[0]
            element = type_.element if isinstance(type_, Array) else type_.target
            return base + self.fold(tree[2])[0] * (self.layouts.measure(element).size // 8)
        if tree[0] == "unary" and tree[1] == "*":
            return self.fold(tree[2])[0]
        raise NotConstant("an address is no constant")

    def _target(self, tree):
        type_ = self.layouts.resolve(self.type_of(tree))
        if isinstance(type_, Pointer):
            return type_.target
        if isinstance(type_, Array):
            return type_.element
        raise NotConstant("'->' on what is no pointer")

    def _fold_member(self, tree, name):
        raise NotConstant("the content of a member is no constant")

    _fold_arrow = _fold_index = _fold_member

    def _fold_comma(self, left, right):
        return self.fold(right)

    def _fold_compound(self, type_, initializer):
        raise NotConstant("a compound literal is no constant")

    def _fold_choose(self, condition, first, second):
        return self.fold(first if self.fold(condition)[0] else second)

    def _fold_types_compatible(self, first, second):
        return int(self._compatible(first, second)), self.arithmetic.int_bits, False

    def _fold_generic(self, control, associations):
        return self.fold(self._selected(control, associations))

    def _selected(self, control, associations):
        """The expression that _Generic chooses."""
        type_ = self._decayed(self.type_of(control))
        default = None
        for candidate, tree in associations:
            if candidate is None:
                default = tree
            elif self._compatible(type_, candidate):
                return tree
        if default is None:
            raise NotConstant("_Generic has no matching association")
        return default

    def _decayed(self, type_):
        resolved = self.layouts.resolve(type_)
        if isinstance(resolved, Array):
            return Pointer(resolved.element)
        if isinstance(resolved, Function):
            return Pointer(resolved)
        return resolved

    def _compatible(self, first, second):
        a, b = self.layouts.resolve(first), self.layouts.resolve(second)
        if a is b:
            return True
        if type(a) is not type(b):
            if isinstance(a, Enum) and isinstance(b, Base) or isinstance(a, Base) and isinstance(b, Enum):
                raise NotConstant("whether an enumeration and an integer are compatible")
            return False
        if isinstance(a, Base):
            return a.name == b.name
        if isinstance(a, Pointer):
            if not self._compatible(a.target, b.target):
                return False
            raise NotConstant("whether two pointers differ in qualifiers")
        if isinstance(a, Array):
            if not self._compatible(a.element, b.element):
                return False
            return a.count is None or b.count is None or self.value(a.count) == self.value(b.count)
        if isinstance(a, Function):
            raise NotConstant("whether two functions are compatible")
        return False

    def _fold_call(self, function, arguments):
        name = function[1] if function[0] == "name" else ""
        if name == "__builtin_constant_p" and len(arguments) == 1:
            try:
                self.fold(arguments[0])
            except (NotConstant, NotKnown):
                return 0, self.arithmetic.int_bits, False
            return 1, self.arithmetic.int_bits, False
        if name in ("__builtin_expect", "__builtin_expect_with_probability"):
            return wrap(self.fold(arguments[0])[0], self.size_bits, False), self.size_bits, False
        if name in _SWAPS and len(arguments) == 1:
            bits = _SWAPS[name]
            number = wrap(self.fold(arguments[0])[0], bits, True)
            return int.from_bytes(number.to_bytes(bits // 8, "little"), "big"), bits, True
        builtin = _BIT_BUILTINS.get(name.rstrip("l"))
        if builtin is None or len(arguments) != 1:
            raise NotConstant("a call of %s" % (name or "a function"))
        bits = (self.arithmetic.int_bits, self.arithmetic.long_bits, 64)[len(name) - len(name.rstrip("l"))]
        number = wrap(self.fold(arguments[0])[0], bits, True)
        result = builtin(number, bits)
        if result is None:
            raise NotConstant("%s(0) is undefined" % name)
        return result, self.arithmetic.int_bits, False

    # Types

    def type_of(self, tree):
        """The type of an expression.  Raises NotConstant or NotKnown."""
        kind = tree[0]
        if kind == "name":
            if self._unfinished_enumerator(tree[1]) is not None or self.scope.find_enumerator(tree[1]) is not None:
                return self._integer(*self.fold(tree)[1:])
            return self.scope.find_object(tree[1])
        if kind == "string":
            return Array(Base("char"), [str(sum(map(_bytes_in, tree[1])) + 1)])
        if kind == "cast":
            return tree[1]
        if kind == "compound":
            return self._type_of_compound(*tree[1:])
        if kind in ("member", "arrow"):
            owner = self._target(tree[1]) if kind == "arrow" else self.type_of(tree[1])
            return self.layouts.find_member(self._record(owner, tree[2]), tree[2])[1].type
        if kind == "index":
            return self._target(tree[1])
        if kind == "unary" and tree[1] == "*":
            type_ = self.layouts.resolve(self.type_of(tree[2]))
            return type_ if isinstance(type_, Function) else self._target(tree[2])
        if kind == "unary" and tree[1] == "&":
            return Pointer(self.type_of(tree[2]))
        if kind == "call":
            return self._type_of_call(tree)
        if kind == "comma":
            return self.type_of(tree[2])
        if kind == "choose":
            return self.type_of(tree[2] if self.fold(tree[1])[0] else tree[3])
        if kind == "generic":
            return self.type_of(self._selected(tree[1], tree[2]))
        if kind == "conditional":
            return self._common(tree[2] or tree[1], tree[3])
        if kind == "unary":
            if tree[1] == "!":
                return Base("int")
            return self._promoted(self.type_of(tree[2]))
        if kind == "binary":
            return self._type_of_binary(*tree[1:])
        if kind == "number":
            return Base(_floating_type(tree[1]) or self._number_type(tree[1]))
        if kind in ("char", "types-compatible"):
            return Base("int")
        if kind in ("sizeof", "sizeof-expression", "alignof", "alignof-expression", "least-alignof",
                    "least-alignof-expression", "offsetof"):  # fmt: skip
            return self._size_type()
        raise NotConstant("the type of %s" % (tree[1] if kind == "opaque" else "an expression"))

    def _type_of_compound(self, type_, initializer):
        """The type of a compound literal: an array without a count has as many elements as its initializer."""
        array = self.layouts.resolve(type_)
        if not isinstance(array, Array) or array.count is not None:
            return type_
        element = self.layouts.resolve(array.element)
        if not isinstance(element, (Base, Pointer, Enum)) or any(
            token in ("{", "[", ".", "=") or token[-1] == '"' and isinstance(element, Base) for token in initializer
        ):  # fmt: skip
            raise NotConstant("how many elements an initializer has")
        depth = 0
        count = 1
        for token in initializer[:-1]:  # a comma at the end counts nothing
            depth += (token == "(") - (token == ")")
            count += token == "," and not depth
        return Array(array.element, [str(count if initializer else 0)])

    def _type_of_call(self, tree):
        if tree[1][0] == "name" and tree[1][1].startswith("__builtin_"):
            return self._integer(*self.fold(tree)[1:])
        type_ = self.layouts.resolve(self.type_of(tree[1]))
        if isinstance(type_, Pointer):
            type_ = self.layouts.resolve(type_.target)
        if not isinstance(type_, Function):
            raise NotConstant("a call of what is no function")
        return type_.result

    def _type_of_binary(self, operator, left, right):
        if operator in ("&&", "||", "<", ">", "<=", ">=", "==", "!="):
            return Base("int")
        if operator in ("<<", ">>"):
            return self._promoted(self.type_of(left))
        a, b = self._decayed(self.type_of(left)), self._decayed(self.type_of(right))
        if isinstance(a, Pointer) and isinstance(b, Pointer):
            return self._integer(self.size_bits, False)
        if isinstance(a, Pointer) or isinstance(b, Pointer):
            return a if isinstance(a, Pointer) else b
        return self._arithmetic_type(a, b)

    def _common(self, first, second):
        a, b = self._decayed(self.type_of(first)), self._decayed(self.type_of(second))
        if isinstance(a, (Base, Enum)) and isinstance(b, (Base, Enum)) and "void" not in (
            getattr(a, "name", ""), getattr(b, "name", "")
        ):  # fmt: skip
            return self._arithmetic_type(a, b)
        if a is b or isinstance(a, Pointer) and not isinstance(b, Pointer):
            return a
        if isinstance(b, Pointer) and not isinstance(a, Pointer):
            return b
        # The kernel's __is_constexpr asks which of the two it is (C11 6.5.15, 6.3.2.3).
        if isinstance(a, Pointer) and isinstance(b, Pointer) and self._is_plain_void(a) != self._is_plain_void(b):
            void, void_type, other_type = (first, a, b) if self._is_plain_void(a) else (second, b, a)
            if void[0] == "cast" and self._is_integer_constant(void[2]):
                return void_type if self.fold(void[2])[0] else other_type
        raise NotConstant("the type of '?:'")

    def _is_plain_void(self, pointer):
        return isinstance(pointer.target, Base) and pointer.target.name == "void"

    def _is_integer_constant(self, tree):
        """Whether an expression is surely an integer constant expression; GCC also folds others, which are none."""
        kind = tree[0]
        if kind == "number":
            return "." not in tree[1]
        if kind == "cast":
            return isinstance(self.layouts.resolve(tree[1]), (Base, Enum)) and self._is_integer_constant(tree[2])
        if kind == "unary":
            return tree[1] in ("+", "-", "~", "!") and self._is_integer_constant(tree[2])
        if kind in ("binary", "conditional"):
            return all(self._is_integer_constant(each) for each in tree[1:] if isinstance(each, tuple))
        return kind in ("char", "name", "sizeof", "alignof", "least-alignof")

    def _arithmetic_type(self, a, b):
        """The usual arithmetic conversions (C11 6.3.1.8) of two types; rank counts, not width alone."""
        names = [type_.name for type_ in (a, b) if isinstance(type_, Base)]
        for name in ("long double", "double", "float"):
            if name in names:
                return Base(name)
        first, second = self._promoted(a).name, self._promoted(b).name
        if first not in _RANKS or second not in _RANKS:
            raise NotConstant("the type of an operation")
        low, high = sorted((first, second), key=_RANKS.__getitem__)
        if low.startswith("unsigned") and not high.startswith("unsigned"):
            if self.layouts.abi.basic[low][0] >= self.layouts.abi.basic[high][0]:
                high = "unsigned " + high
        return Base(high)

    def _promoted(self, type_):
        """Integer promotion (C11 6.3.1.1p2) of a type; others stay."""
        resolved = self.layouts.resolve(type_)
        integral = self.layouts.measure(type_).integral
        if integral is None:
            return resolved
        if isinstance(resolved, Base) and resolved.is_bit_int:
            raise NotConstant("arithmetic of _BitInt")
        bits, unsigned = integral
        if bits < self.arithmetic.int_bits:
            return Base("int")
        if isinstance(resolved, Base) and resolved.name in _RANKS:
            return resolved
        return self._integer(bits, unsigned)

    def _number_type(self, text):
        """The name of an integer constant's type: the first of its list (C11 6.4.4.1p5) that holds it."""
        _, bits, unsigned = self.arithmetic.number(text)
        longs = text.lower().count("l")
        for name, width in (("int", 32), ("long", self.arithmetic.long_bits), ("long long", 64))[longs:]:
            if width == bits:
                return ("unsigned " if unsigned else "") + name
        raise NotConstant("the type of %s" % text)

    def _size_type(self):
        return Base("unsigned long" if self.size_bits == 64 else "unsigned int")

    def _integer(self, bits, unsigned):
        """The type of that width that comes first in rank."""
        if bits == 8:
            return Base("unsigned char" if unsigned else "signed char")
        if bits == 16:
            name = "short"
        elif bits <= self.arithmetic.int_bits:
            name = "int"
        elif bits == self.arithmetic.long_bits:
            name = "long"
        elif bits == 64:
            name = "long long"
        else:
            name = "__int128"
        return Base(("unsigned " if unsigned else "") + name)


# Integer types by conversion rank, each unsigned one above its signed one.
_RANKS = {
    name: rank
    for rank, name in enumerate((
        "int", "unsigned int", "long", "unsigned long", "long long", "unsigned long long", "__int128",
        "unsigned __int128",
    ))
}  # fmt: skip


def _floating_type(text):
    """The type of a floating constant, None for an integer constant."""
    if text[:2] in ("0x", "0X") or not any(each in text for each in ".eE"):
        return None
    return {"f": "float", "l": "long double"}.get(text[-1].lower(), "double")


_CHARACTER = re.compile(r"""\\(?:x[0-9a-fA-F]+|[0-7]{1,3}|['"?\\abfnrtveE])|[\x20-\x5b\x5d-\x7e]""")


def _bytes_in(literal):
    """How many bytes a string literal's characters take, which is certain for plain and ASCII ones only."""
    text = literal[literal.index('"') + 1 : -1]
    if literal[0] != '"' or _CHARACTER.sub("", text):
        raise NotConstant("the length of the string %s" % literal)
    return len(_CHARACTER.findall(text))


_SWAPS = {"__builtin_bswap16": 16, "__builtin_bswap32": 32, "__builtin_bswap64": 64}
_BIT_BUILTINS = {
    "__builtin_ffs": lambda number, bits: (number & -number).bit_length(),
    "__builtin_clz": lambda number, bits: bits - number.bit_length() if number else None,
    "__builtin_ctz": lambda number, bits: (number & -number).bit_length() - 1 if number else None,
    "__builtin_popcount": lambda number, bits: bin(number).count("1"),
    "__builtin_parity": lambda number, bits: bin(number).count("1") & 1,
    "__builtin_clrsb": lambda number, bits: bits - 1 - min(number, number ^ (1 << bits) - 1).bit_length(),
}
