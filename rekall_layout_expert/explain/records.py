r"""Rows: a record as laid out, with the text of each member and where it was written."""

from typing import List, NamedTuple, Optional

from rekall_layout_expert.c_integers import NotConstant, matching
from rekall_layout_expert.c_tokens import is_identifier
from rekall_layout_expert.explain.tracing import Place, Traced
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Atomic, Attributed, Base, Enum, Function, Named, Pointer, Record, TypeOf

_ATTRIBUTES = ("__attribute__", "__attribute", "_Alignas", "alignas", "asm", "__asm__", "__asm")
_SILENT = ("__extension__", "static", "extern", "register", "inline", "auto")
_QUALIFIERS = {
    "const": "const", "__const": "const", "__const__": "const", "volatile": "volatile", "__volatile": "volatile",
    "__volatile__": "volatile",
}  # fmt: skip
# As GCC calls them in debug information, and so pahole.
_NAMES = {
    "long": "long int", "unsigned long": "long unsigned int", "short": "short int", "unsigned short": "short unsigned int",
    "long long": "long long int", "unsigned long long": "long long unsigned int",
}  # fmt: skip
_PROBLEMS = (NotKnown, NotConstant, SyntaxProblem)


class Row(NamedTuple):
    """A member.  Offsets and sizes in bits; `bit_offset` is from the start of the outermost record.

    name: None for an anonymous record; type, declarator: the text before and from the name on ("char", "comm[16]");
    width: of a bit-field, None for others; unit: the size of a bit-field's type; inner: the record that is defined in
    the member's own declaration and has no tag; place: None if it is not known.  placed: the PlacedField, or what a source without
    headers knows the member's type by; field, owner: the Field, and the Record whose own member it is, None without headers.
    """

    name: Optional[str]
    type: str
    declarator: str
    bit_offset: int
    size: int
    width: Optional[int] = None
    unit: int = 0
    inner: Optional["Rows"] = None
    place: Optional[Place] = None
    placed: object = None
    field: object = None
    owner: object = None


class Rows(NamedTuple):
    """A record.  head: "struct task_struct"; size in bits; tail: attributes behind its brace; base: where it begins in the
    outermost record, in bits."""

    head: str
    is_union: bool
    size: int
    rows: List[Row]
    place: Optional[Place] = None
    tail: str = ""
    base: int = 0


class RowsOfRecords:
    """Makes `Rows` of records, from a `tracing.TracingScope` and its `Layouts`."""

    def __init__(self, scope, layouts):
        self.scope = scope
        self.layouts = layouts

    def rows(self, record, name=None, base=0):
        """The Rows of a Record.

        name: of a typedef, for a record that has no tag; base: where it stands in the outermost one, in bits.
        Raises NotKnown where it cannot be laid out for certain.
        """
        layout = self.layouts.record(record)
        fields = {}
        for field in record.fields:
            fields.setdefault((field.name, id(field.type)), []).append(field)
        rows = []
        for placed in layout.fields:
            sources = fields.get((placed.name, id(placed.type)))
            rows.append(self._row(placed, sources.pop(0) if sources else None, record, base))
        packed = any(attribute == "packed" for attribute, _ in record.attributes)
        return Rows(
            " ".join(filter(None, (record.kind, record.tag or name))),
            record.kind == "union",
            layout.size,
            rows,
            self.scope.places.get(record),
            " __attribute__((__packed__))" if packed else "",
            base,
        )

    def _row(self, placed, field, owner, base):
        written = self.scope.written.get(field)
        measure = self.layouts.measure(placed.type)
        offset = base + placed.bit_offset
        inner, through_pointer = self._untagged(placed.type)
        type_, declarator = self._text(placed, written)
        return Row(
            placed.name,
            type_,
            declarator,
            offset,
            measure.size or 0,
            placed.width,
            measure.integral[0] if placed.width is not None else 0,
            self._inner(inner, 0 if through_pointer else offset) if inner is not None else None,
            _place(placed.name, written),
            placed,
            field,
            owner,
        )

    def _inner(self, record, base):
        try:
            return self.rows(record, base=base)
        except NotKnown:
            return None  # only what is pointed to may be unknown; the pointer is not

    @staticmethod
    def _untagged(type_):
        """(the untagged record that a member's own declaration defines, or None; is it only pointed to?)."""
        through_pointer = False
        while isinstance(type_, (Array, Pointer, Attributed, Atomic, Function)):
            through_pointer |= isinstance(type_, (Pointer, Function))
            if isinstance(type_, Array):
                type_ = type_.element
            elif isinstance(type_, Function):
                type_ = type_.result
            else:
                type_ = type_.target
        return (type_ if isinstance(type_, Record) and type_.tag is None else None), through_pointer

    # The text of a declaration

    def _text(self, placed, written):
        """(type, declarator), as pahole has them: stars go to the type."""
        if written is None:
            return self.describe(placed.type), placed.name or ""
        type_ = self._specifiers(placed.type, written.specifiers)
        tokens = without_attributes(written.declarator)
        if placed.width is not None:
            tokens = tokens[: next((i for i, token in enumerate(tokens) if token == ":"), len(tokens))]
        stars = 0
        while tokens[stars : stars + 1] and (tokens[stars] == "*" or tokens[stars] in _QUALIFIERS):
            stars += 1
        if stars:
            type_ = " ".join([type_, *(_QUALIFIERS.get(token, "*") for token in tokens[:stars])])
        return type_, spelled(self._with_counts(tokens[stars:]))

    def _specifiers(self, type_, tokens):
        while isinstance(type_, (Array, Pointer, Attributed, Atomic, Function)):
            if isinstance(type_, Array):
                type_ = type_.element
            else:
                type_ = type_.result if isinstance(type_, Function) else type_.target
        tokens = [token for token in without_attributes(tokens) if token not in _SILENT]
        qualifiers = [_QUALIFIERS[token] for token in _outside_braces(tokens) if token in _QUALIFIERS]
        return " ".join(list(dict.fromkeys(qualifiers)) + [self._name(type_, tokens)])

    def _name(self, type_, tokens):
        if isinstance(type_, (Base, Named)):
            return _NAMES.get(type_.name, type_.name)
        if isinstance(type_, (Record, Enum)):
            return "%s %s" % (type_.kind, type_.tag) if type_.tag else "%s {...}" % type_.kind
        return spelled([token for token in tokens if token not in _QUALIFIERS])

    def _with_counts(self, tokens):
        """A declarator's tokens with the values of array counts in place of the expressions."""
        result = []
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token == "(" and result and result[-1] not in ("(", ")", "*", "]") or token == "(" and result[-1:] == [")"]:
                end = matching(tokens, position) + 1  # parameters
                result += tokens[position:end]
            elif token == "[":
                end = matching(tokens, position) + 1
                result.append("[%s]" % self._count(tokens[position + 1 : end - 1]))
            else:
                end = position + 1
                result.append(token)
            position = end
        return result

    def _count(self, tokens):
        if not tokens:
            return ""
        try:
            return str(self.layouts.constants.value(tokens))
        except _PROBLEMS:
            return spelled(tokens)

    def describe(self, type_):
        """A type in words of C, as far as types keep them: parameters and qualifiers are not shown."""
        if isinstance(type_, (Base, Named)):
            return _NAMES.get(type_.name, type_.name)
        if isinstance(type_, (Record, Enum)):
            return "%s %s" % (type_.kind, type_.tag or "{...}")
        if isinstance(type_, Pointer):
            return "%s *" % self.describe(type_.target)
        if isinstance(type_, Array):
            return "%s[%s]" % (self.describe(type_.element), self._count(type_.count or []))
        if isinstance(type_, Function):
            return "%s (...)" % self.describe(type_.result)
        if isinstance(type_, TypeOf):
            return "typeof(%s)" % spelled(type_.tokens)
        if isinstance(type_, Atomic):
            return "_Atomic(%s)" % self.describe(type_.target)
        return self.describe(type_.target)

    def chain(self, type_):
        """What a type's names stand for, step by step: ["pid_t", "__kernel_pid_t", "int"]."""
        steps = []
        seen = set()
        while True:
            if isinstance(type_, Attributed):
                type_ = type_.target
                continue
            steps.append(self.describe(type_))
            if isinstance(type_, Named) and type_.name not in seen:
                seen.add(type_.name)
                type_ = self.scope.find_typedef(type_.name)
            elif isinstance(type_, TypeOf):
                type_ = self.layouts.constants.type_of_tokens(type_.tokens)
            else:
                return steps


def _place(name, written):
    """Where a member is written: its name, or the keyword of an anonymous record."""
    if written is None:
        return None
    names = [token for token in written.declarator if token == name] if name is not None else []
    return next((token.place for token in names + written.specifiers if token.__class__ is Traced), None)


def names_of(rows):
    """The names of all members that can be asked for, those of anonymous records among them."""
    for row in rows.rows:
        if row.name is not None:
            yield row.name
        elif row.inner is not None:
            yield from names_of(row.inner)


def macros_of(written):
    """The macros that the tokens of a member came out of, each once, those of a record defined in it left out."""
    tokens = _outside_braces(written.specifiers) + written.declarator
    return list(dict.fromkeys(macro for token in tokens if token.__class__ is Traced for macro in token.place.macros))


def without_attributes(tokens):
    """Tokens without attributes and asm labels."""
    result = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token in _ATTRIBUTES and tokens[position : position + 1] == ["("]:
            position = matching(tokens, position) + 1
        else:
            result.append(token)
    return result


def _outside_braces(tokens):
    """Tokens without what stands between braces."""
    result = []
    position = 0
    while position < len(tokens):
        if tokens[position] == "{":
            position = matching(tokens, position) + 1
        else:
            result.append(tokens[position])
            position += 1
    return result


def spelled(tokens):
    """Tokens as text, with spaces where a reader expects them."""
    text = ""
    previous = ""
    multiplies = False
    for token in tokens:
        if not previous:
            pass
        elif previous == "," or multiplies:
            text += " "
        elif _is_word(previous) and (_is_word(token) or token == "*"):
            text += " "
        elif token in _BINARY or previous in _BINARY and _is_value(token):
            text += " "
        multiplies = token == "*" and previous[:1].isdigit()
        text += token
        previous = token
    return text


_BINARY = frozenset("+ - / % << >> < > <= >= == != & && | || ^ ? : =".split())


def _is_word(token):
    return is_identifier(token) or token[0].isdigit()


def _is_value(token):
    return _is_word(token) or token == "("
