r"""GNU C declarations, by recursive descent over a token list (C11 6.7, 6.9; GCC's "Attribute Syntax").

Two things keep it small.  An identifier in declaration specifiers is a typedef name exactly if no type specifier came
before it, so no symbol table is needed; and expressions, parameter lists and initializers are stepped over by their
brackets.  What a declaration declares is handed to a scope (`scope.Scope`), which owns the tags.

Grammar rules stand over the functions that read them; terminals are quoted only where they are punctuation.
"""

from rekall_layout_expert.c_integers import NotConstant, matching
from rekall_layout_expert.c_tokens import LASTING_PRAGMAS, Pragma, is_identifier
from rekall_layout_expert.parser.types import (
    Array,
    Atomic,
    Attributed,
    Base,
    Enum,
    Field,
    Function,
    Modified,
    Named,
    Pointer,
    Record,
    TypeOf,
)

LAYOUT_ATTRIBUTES = frozenset((
    "packed", "aligned", "alignas", "mode", "vector_size", "ms_struct", "gcc_struct", "scalar_storage_order",
    "randomize_layout", "no_randomize_layout", "btf_ignore",
))  # fmt: skip

# Those that make another type of the type they are applied to.
_TYPE_ATTRIBUTES = ("mode", "vector_size")
_QUALIFIERS = frozenset((
    "const", "volatile", "restrict", "__const", "__const__", "__volatile", "__volatile__", "__restrict",
    "__restrict__", "__extension__", "static", "extern", "register", "auto", "inline", "__inline", "__inline__",
    "_Noreturn", "__thread", "_Thread_local", "__seg_gs", "__seg_fs", "constexpr",
))  # fmt: skip
_TYPE_QUALIFIERS = ("const", "volatile", "restrict")
_BASE_WORDS = frozenset((
    "void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "__signed__", "__signed", "_Bool",
    "bool", "_Complex", "__complex__", "__complex", "__int128", "__int128_t", "__uint128_t", "_Float16", "_Float32",
    "_Float64", "_Float128", "_Float32x", "_Float64x", "__float128", "__float80", "__ibm128", "__bf16", "_Decimal32",
    "_Decimal64", "_Decimal128", "__fp16",
))  # fmt: skip
# `bool` is a keyword from C23 on; in kernels it is a typedef or a macro.
_BASE_WORDS -= {"bool"}
_TYPEOF = ("typeof", "__typeof__", "__typeof", "typeof_unqual", "__typeof_unqual__", "__typeof_unqual")
_ATTRIBUTE = ("__attribute__", "__attribute")
_ASM = ("asm", "__asm__", "__asm")
_SIGNED = ("signed", "__signed__", "__signed")
_COMPLEX = ("_Complex", "__complex__", "__complex")
_STATIC_ASSERT = ("_Static_assert", "static_assert")
# What may be more than a name among specifiers, and before the name in a declarator.
_SPECIFIERS = _BASE_WORDS.union(_QUALIFIERS, _ATTRIBUTE, _TYPEOF, (
    "struct", "union", "enum", "typedef", "_Atomic", "_Alignas", "alignas", "_BitInt", "__auto_type", "[",
))  # fmt: skip
_BEHIND_A_TAG = (*_ATTRIBUTE, "{")  # what makes more than a use of it
_BEFORE_A_NAME = _QUALIFIERS.union(_ATTRIBUTE, ("*", "_Atomic", "["))
VOID = Base("void")
_KEYWORD_TYPES = {"__builtin_va_list": Base("__builtin_va_list")}
_DEEPEST_DECLARATOR = 100  # C asks for 63 of a compiler (C11 5.2.4.1)


class SyntaxProblem(Exception):
    """The declaration is not understood; the text says what stood there."""


class _Kept(Pragma):
    """What a pragma has set where a type stands that is read later."""

    __slots__ = ()


class Parser:
    """Reads the tokens of one or several external declarations.

    scope: gets what is declared; pack, path, line: see `types.Record`; ms_extensions: -fms-extensions, with which a
    tagged record without a declarator is an anonymous member.
    """

    def __init__(self, tokens, scope, pack=None, path=None, line=0, ms_extensions=False):
        self.tokens = tokens
        self.end = len(tokens)
        self.position = 0
        self.scope = scope
        self.pack = pack
        self.path = path
        self.line = line
        self.ms_extensions = ms_extensions
        self.lasting = {}  # what #pragma scalar_storage_order and #pragma ms_struct have set
        self._nesting = 0  # of the current declarator in parentheses
        self._is_qualified = False  # what the current declaration declares
        self._defined = []  # records and enumerations of the current declaration
        self._of_name = []  # standard attributes right behind the name that is being declared

    # translation-unit: { external-declaration }
    def external_declarations(self):
        """Reads everything.  Raises SyntaxProblem at the first thing that is no declaration."""
        try:
            while self.position < self.end:
                self._defined = []
                self._nesting = 0
                self._external_declaration()
        except (NotConstant, IndexError):
            self._withdraw()
            raise SyntaxProblem("the declaration is not complete") from None
        except RecursionError:
            self._withdraw()
            raise SyntaxProblem("the declaration is nested too deeply") from None
        except SyntaxProblem:
            self._withdraw()
            raise

    def _withdraw(self):
        """Takes back what a declaration defined that then was not understood: an attribute at its end may be lost."""
        for type_ in self._defined:
            if isinstance(type_, Enum):
                self.scope.withdraw_enumerators(type_)
                type_.enumerators = None
            else:
                type_.fields = None

    # external-declaration: specifiers [declarator {, declarator}] ; | specifiers declarator function-body
    def _external_declaration(self):
        token = self.tokens[self.position]
        if token == ";":
            self.position += 1
            return
        if token.__class__ is Pragma:
            self._pragma()
            return
        if token in _ASM or token in _STATIC_ASSERT:
            self._skip_to_semicolon()
            return
        self._is_qualified = False
        base, is_typedef, attributes = self._specifiers()
        if self._accept(";"):
            return
        while True:
            name, type_ = self._declarator(base)
            own = self._after_declarator()
            if self._of_name:
                own = self._taken_of_name() + own
            if self._peek() == "{" and isinstance(type_, Function):
                self._skip_group()
                return
            if name is None:
                raise self._problem("a name")
            if is_typedef:
                if self._is_qualified:
                    own = own + [("qualified", None)]
                own = attributes + own
                if own:
                    self._reorder(type_, own)
                self.scope.declare_typedef(name, _with_attributes(type_, own))
            else:
                self.scope.declare_object(name, type_)
            if self._accept("="):
                self._skip_until((",", ";"))
            if self._accept(";"):
                return
            self._expect(",")
            attributes = attributes + self._attributes()

    # specifiers: { qualifier | storage class | attribute | type specifier }
    def _specifiers(self):
        """(type, is it a typedef?, attributes that go to what is declared)."""
        tokens = self.tokens
        following = self.position + 1
        if following < self.end and tokens[following] not in _SPECIFIERS:
            token = tokens[self.position]
            if token not in _SPECIFIERS and is_identifier(token):
                self.position = following  # a typedef name alone, as most are
                return _KEYWORD_TYPES.get(token) or Named(str(token)), False, []
        type_ = None
        words = None
        is_typedef = False
        atomic = False
        attributes = []
        modifying = []
        while self.position < self.end:
            token = tokens[self.position]
            if token not in _SPECIFIERS or token == "alignas" and self._peek(1) != "(":
                if type_ is not None or not is_identifier(token):
                    break
                type_ = _KEYWORD_TYPES.get(token) or Named(str(token))
                self.position += 1
            elif token in _BASE_WORDS:
                if type_ is not None and words is None:
                    break
                words = (words or []) + [token]
                type_ = VOID
                self.position += 1
            elif token in _QUALIFIERS:
                self._is_qualified |= token.strip("_") in _TYPE_QUALIFIERS
                self.position += 1
            elif token == "struct" or token == "union":
                if type_ is not None:
                    raise self._problem("one type")
                self.position += 1
                type_ = self._record(token)
            elif token in _ATTRIBUTE:
                attributes += self._attributes()
            elif token == "typedef":
                is_typedef = True
                self.position += 1
            elif token == "enum":
                if type_ is not None:
                    raise self._problem("one type")
                self.position += 1
                type_ = self._enum()
            elif token in _TYPEOF:
                self.position += 1
                type_ = TypeOf(self._group(), "unqual" in token)
            elif token == "_Atomic":
                self.position += 1
                if self._peek() == "(" and type_ is None:
                    type_ = Atomic(self._type_name_in(self._group()))
                else:
                    atomic = True
            elif token == "_Alignas" or token == "alignas":
                self.position += 1
                attributes.append(("alignas", self._group()))
            elif token == "_BitInt":
                if type_ is not None and words is None:
                    break
                self.position += 1
                width = self._group()
                if len(width) != 1 or not width[0].isdigit():
                    raise SyntaxProblem("the width of _BitInt(%s) is not read" % " ".join(width))
                words = (words or []) + ["_BitInt(%s)" % width[0]]
                type_ = VOID
            elif token == "__auto_type":
                raise self._problem("a type instead of __auto_type")
            elif token == "[" and self._peek(1) == "[":
                # In front they belong to what is declared, behind a type specifier to the type (C23 6.7.1).
                if type_ is None:
                    attributes += self._standard_attributes()
                else:
                    modifying += self._standard_attributes()
            else:
                break
        if words is not None:
            type_ = self._base(words)
        if type_ is None:
            if not is_typedef and not attributes:
                raise self._problem("a declaration")
            type_ = Base("int")
        if atomic:
            type_ = Atomic(type_)
        if modifying:
            type_ = Modified(type_, modifying)
        return type_, is_typedef, attributes

    def _base(self, words):
        """The canonical arithmetic type that a multiset of specifiers means (C11 6.7.2p2)."""
        key = " ".join(sorted(words)) if len(words) > 1 else words[0]
        base = _BASES.get(key)
        if base is None:
            base = _BASES[key] = Base(_canonical(words))
        return base

    # record: struct-or-union [attributes] [tag] [ { members } [attributes] ]
    def _record(self, kind):
        following = self.position + 1
        if following < self.end and self.tokens[following] not in _BEHIND_A_TAG:
            tag = self.tokens[self.position]
            if is_identifier(tag) and tag not in _ATTRIBUTE:
                self.position = following  # a tag alone, as most are
                return self.scope.tag(kind, str(tag))
        attributes = self._attributes()
        tag = None
        token = self._peek()
        if token == "[":
            attributes = self._standard_attributes() + self._attributes()
            token = self._peek()
        if token and is_identifier(token) and token not in _ATTRIBUTE:
            tag = str(token)
            self.position += 1
            after_tag = self.position
            more = self._attributes()
            if self._peek() == "{":
                attributes += more
            else:
                self.position = after_tag
        if self._peek() != "{":
            if tag is None:
                raise self._problem("a tag")
            record = self.scope.tag(kind, tag)
            if attributes and record.fields is None:
                record.declared = record.declared + attributes
            return record
        self.position += 1
        record = self.scope.tag(kind, tag) if tag is not None else Record(kind, None)
        while self._peek().__class__ is _Kept:
            self._pragma()
        pack, ms_struct, declared = self.pack, self.lasting.get("ms_struct"), record.declared
        fields = self._members()
        attributes += self._attributes()
        if record.fields is not None:
            raise SyntaxProblem("%s %s is defined twice" % (kind, tag))
        if self.lasting:
            order = self.lasting.get("scalar_storage_order", "default")
            if order != "default" and all(name != "scalar_storage_order" for name, _ in attributes):
                attributes.append(("scalar_storage_order", ['"%s"' % order]))
            if ms_struct == "on":
                attributes.append(("pragma ms_struct", None))
        record.fields = fields
        record.attributes = attributes
        record.pack = self.pack
        record.pack_before = pack
        record.declared = declared
        record.path = self.path
        record.line = self.line
        self._defined.append(record)
        return record

    # members: { specifiers [member-declarator {, member-declarator}] ; } }
    def _members(self):
        fields = []
        tokens = self.tokens
        while True:
            token = tokens[self.position]
            if token == "}":
                self.position += 1
                return fields
            if token == ";":
                self.position += 1
                continue
            if token.__class__ is Pragma:
                self._pragma()
                continue
            if token in _STATIC_ASSERT:
                self._skip_to_semicolon()
                continue
            leading = self._standard_attributes() if token == "[" else []
            base, _, attributes = self._specifiers()
            if tokens[self.position] in (";", "}"):
                if self._is_anonymous_member(base):
                    fields.append(Field(None, base, None, attributes))  # GCC drops the leading ones
                continue
            attributes = leading + attributes if leading else attributes
            while True:
                fields.append(self._member_declarator(base, attributes))
                if tokens[self.position] in (";", "}"):  # GNU C: the last member may go without its semicolon
                    break
                self._expect(",")
                attributes = attributes + self._attributes()

    def _is_anonymous_member(self, type_):
        if type_.__class__ is Modified:
            type_ = type_.target
        if isinstance(type_, Record):
            return (type_.tag is None and type_.fields is not None) or self.ms_extensions
        if isinstance(type_, Named) and not self.scope.is_typedef(type_.name):
            raise SyntaxProblem("the member %s has no type" % type_.name)  # implicit int
        return isinstance(type_, Named) and self.ms_extensions

    # member-declarator: declarator [: width] [attributes] | : width [attributes]
    def _member_declarator(self, base, attributes):
        tokens = self.tokens
        if tokens[self.position] == ":":
            name, type_ = None, base
        else:
            name, type_ = self._declarator(base)
        if self._of_name:
            attributes = attributes + self._taken_of_name()
        width = None
        if tokens[self.position] == ":":
            self.position += 1
            start = self.position
            self._skip_until((",", ";", "}") + _ATTRIBUTE)
            width = tokens[start : self.position]
            if "{" in width:
                width = self._kept(width)
        if tokens[self.position] in _ATTRIBUTE:
            attributes = attributes + self._attributes()
        if name is None and width is None:
            raise self._problem("a member name")
        changing = [each for each in attributes if each[0] in _TYPE_ATTRIBUTES] if attributes else ()
        if changing:
            type_ = _with_attributes(type_, changing)
            attributes = [each for each in attributes if each[0] not in _TYPE_ATTRIBUTES]
        return Field(name, type_, width, attributes)

    # enum: enum [attributes] [tag] [: type] [ { enumerator {, enumerator} [,] } [attributes] ]
    def _enum(self):
        attributes = self._attributes()
        tag = None
        token = self._peek()
        if token == "[":
            attributes = self._standard_attributes() + self._attributes()
            token = self._peek()
        if token and is_identifier(token) and token not in _ATTRIBUTE:
            tag = str(token)
            self.position += 1
        after_tag = self.position
        more = self._attributes()
        underlying = None
        if self._peek() == ":" and self._is_type(self._peek(1)):
            self.position += 1
            underlying = self._specifiers()[0]
        if self._peek() != "{":
            if tag is None:
                raise self._problem("a tag")
            enum = self.scope.tag("enum", tag)
            if attributes and enum.enumerators is None:
                enum.declared = enum.declared + attributes
            if underlying is None:
                self.position = after_tag
            else:
                enum.underlying = underlying
            return enum
        self.position += 1
        enum = self.scope.tag("enum", tag) if tag is not None else Enum(None)
        if enum.enumerators is not None:
            raise SyntaxProblem("enum %s is defined twice" % tag)
        enumerators = []
        while not self._accept("}"):
            name = self.tokens[self.position]
            if not is_identifier(name):
                raise self._problem("an enumerator")
            self.position += 1
            if self.tokens[self.position] == "[":
                self._standard_attributes()
            self._attributes()
            value = None
            if self._accept("="):
                start = self.position
                self._skip_until((",", "}"))
                value = self.tokens[start : self.position]
                if "{" in value:
                    value = self._kept(value)
            enumerators.append((str(name), value))
            if not self._accept(",") and self._peek() != "}":
                raise self._problem("','")
        enum.attributes = attributes + more + self._attributes()
        enum.underlying = underlying
        enum.enumerators = enumerators
        self._defined.append(enum)
        self.scope.declare_enumerators(enum)
        return enum

    def _is_type(self, token):
        """Whether a type name starts there, and no width of a bit-field."""
        if token in _BASE_WORDS or token in _QUALIFIERS or token in _TYPEOF:
            return True
        return bool(token) and is_identifier(token) and self.scope.is_typedef(token)

    # declarator: { * {qualifier | attribute} } ( identifier | ( declarator ) ) { [ count ] | ( parameters ) }
    def _declarator(self, type_, abstract=False):
        """(name | None, type) of a declarator on top of `type_`."""
        tokens = self.tokens
        while self.position < self.end:
            token = tokens[self.position]
            if token not in _BEFORE_A_NAME:
                break
            if token == "*":
                self.position += 1
                type_ = Pointer(type_)
            elif token in _QUALIFIERS:
                self._is_qualified |= token.strip("_") in _TYPE_QUALIFIERS
                self.position += 1
            elif token == "_Atomic":
                self.position += 1
                type_ = Atomic(type_)
            elif token in _ATTRIBUTE:
                # Inside a declarator they belong to the type so far (GCC's grokdeclarator, cdk_attrs).
                found = self._attributes()
                if found:
                    self._reorder(type_, found)
                    type_ = Modified(type_, found)
            elif token == "[" and self._peek(1) == "[" and type_.__class__ is Pointer:
                type_ = Modified(type_, self._standard_attributes())
            else:
                break
        name = None
        inner = None
        token = self._peek()
        if token == "(" and self._opens_declarator(abstract):
            closing = matching(tokens, self.position)
            inner = (self.position + 1, closing)
            self.position = closing + 1
        elif token and is_identifier(token) and token not in _ATTRIBUTE and token not in _ASM:
            name = str(token)
            self.position += 1
            if self.position == self.end or tokens[self.position] not in ("[", "("):
                return name, type_
            if tokens[self.position : self.position + 2] == ["[", "["]:
                self._of_name = self._standard_attributes()
        suffixes = []
        while self.position < self.end:
            token = tokens[self.position]
            if token == "[":
                if self._peek(1) == "[":
                    if self._standard_attributes():
                        raise self._problem("no attribute of an array or a function")
                    continue
                suffixes.append(self._group())
            elif token == "(":
                self._skip_group()
                suffixes.append(None)
            else:
                break
        for suffix in reversed(suffixes):
            if suffix is None:
                type_ = Function(type_)
            else:
                type_ = Array(type_, [each for each in suffix if each not in ("static", "restrict", "const")] or None)
        if inner is not None:
            behind, end = self.position, self.end
            self.position, self.end = inner
            self._nesting += 1
            if self._nesting > _DEEPEST_DECLARATOR:
                raise SyntaxProblem("the declaration is nested too deeply")
            name, type_ = self._declarator(type_, abstract)
            self._nesting -= 1
            if self.position != self.end:
                raise self._problem("')'")
            self.position, self.end = behind, end
        return name, type_

    def _reorder(self, type_, attributes):
        """Notes a scalar_storage_order of a type with its record, because GCC may take it for the record's."""
        orders = [arguments for name, arguments in attributes if name == "scalar_storage_order"]
        if orders:
            while isinstance(type_, (Named, Attributed)):
                type_ = self.scope.typedefs.get(type_.name) if isinstance(type_, Named) else type_.target
            if isinstance(type_, Record):
                type_.attributes += [("scalar_storage_order of a type", arguments) for arguments in orders]

    def _opens_declarator(self, abstract):
        following = self._peek(1)
        if following in ("*", "(", "^", "[") or following in _ATTRIBUTE:
            return True
        return not abstract and following != ")" and following not in _BASE_WORDS

    def _after_declarator(self):
        """Steps over asm labels and reads attributes behind a declarator."""
        attributes = []
        while True:
            if self._peek() in _ASM:
                self.position += 1
                self._skip_group()
            elif self._peek() in _ATTRIBUTE:
                attributes += self._attributes()
            else:
                return attributes

    # type-name: specifiers [abstract declarator]
    def type_name(self):
        """Reads a type name at the current position."""
        base, _, attributes = self._specifiers()
        name, type_ = self._declarator(base, abstract=True)
        if name is not None:
            raise self._problem("an abstract declarator")
        return _with_attributes(type_, attributes)

    def _type_name_in(self, tokens):
        parser = Parser(tokens, self.scope, self.pack, self.path, self.line, self.ms_extensions)
        type_ = parser.type_name()
        if parser.position != len(tokens):
            raise parser._problem("')'")
        return type_

    # attributes: { __attribute__ ( ( [attribute {, attribute}] ) ) }
    def _attributes(self):
        """The attributes at the current position that can change a layout."""
        found = []
        while self.position < self.end and self.tokens[self.position] in _ATTRIBUTE:
            self.position += 1
            content = self._group()
            if content[:1] != ["("]:
                raise self._problem("'(('")
            self._list_attributes(content[1 : matching(content, 0)], found)
        return found

    # standard-attributes: { [ [ [[prefix :] :] attribute {, …}] ] ] }        (C23 6.7.13)
    def _standard_attributes(self):
        """The same of [[gnu::…]]; the standard's own attributes change no layout."""
        found = []
        while self._peek() == "[" and self._peek(1) == "[":
            content = self._group()
            content = content[1 : matching(content, 0)]
            index = 0
            while index < len(content):
                start, index = index, index + 1
                if content[index : index + 2] == [":", ":"]:
                    index += 3
                    if content[index : index + 1] == ["("]:
                        index = matching(content, index) + 1
                    if content[start].strip("_") == "gnu":
                        self._list_attributes(content[start + 3 : index], found)
        return found

    @staticmethod
    def _list_attributes(content, found):
        index = 0
        while index < len(content):
            name = content[index]
            index += 1
            if name == ",":
                continue
            arguments = None
            if index < len(content) and content[index] == "(":
                closing = matching(content, index)
                arguments = content[index + 1 : closing]
                index = closing + 1
            if name.startswith("__") and name.endswith("__"):
                name = name[2:-2]
            if name in LAYOUT_ATTRIBUTES:
                found.append((str(name), arguments))

    def _taken_of_name(self):
        found, self._of_name = self._of_name, []
        return found

    # The walk has made every pack absolute: pack() or pack(number).
    def _pragma(self):
        text = self.tokens[self.position]
        self.position += 1
        name, _, value = text.partition(" ")
        if text.startswith("pack"):
            value = text[5:-1]
            if value and not value.isdigit():
                raise SyntaxProblem("#pragma %s comes out of a macro" % text)
            self.pack = int(value) if value else None
        elif name in LASTING_PRAGMAS:
            self.lasting[name] = value

    def _kept(self, tokens):
        """Tokens that are read later, with what pragmas have set where they stand in front of each list of members."""
        if any(token.__class__ is Pragma for token in tokens):
            raise SyntaxProblem("a #pragma in the middle of an expression")
        if self.pack is None and not self.lasting:
            return tokens
        pragmas = [_Kept("pack(%s)" % (self.pack or ""))]
        pragmas += [_Kept("%s %s" % each) for each in self.lasting.items()]
        kept = []
        opens = None  # where a list of members may open
        for position, token in enumerate(tokens):
            kept.append(token)
            if token in ("struct", "union"):
                opens = _behind_tag(tokens, position + 1)
            if position == opens and token == "{":
                kept += pragmas
        return kept

    def _peek(self, ahead=0):
        position = self.position + ahead
        return self.tokens[position] if position < self.end else ""

    def _accept(self, token):
        if self.position < self.end and self.tokens[self.position] == token:
            self.position += 1
            return True
        return False

    def _expect(self, token):
        if not self._accept(token):
            raise self._problem("'%s'" % token)

    def _problem(self, expected):
        found = " ".join(self.tokens[self.position : self.position + 4]) or "the end"
        return SyntaxProblem("%s expected before '%s'" % (expected, found))

    def _group(self):
        """The tokens inside the bracket group that starts here; steps over it."""
        if self._peek() not in ("(", "["):
            raise self._problem("'('")
        closing = matching(self.tokens, self.position)
        inside = self.tokens[self.position + 1 : closing]
        self.position = closing + 1
        return self._kept(inside) if "{" in inside else inside

    def _skip_group(self):
        self.position = matching(self.tokens, self.position) + 1

    def _skip_until(self, stops):
        """Steps to the next of `stops` outside brackets."""
        while self.position < self.end:
            token = self.tokens[self.position]
            if token in stops:
                return
            if token in ("(", "[", "{"):
                self._skip_group()
            else:
                self.position += 1

    def _skip_to_semicolon(self):
        self._skip_until((";",))
        self._expect(";")


def _behind_tag(tokens, position):
    """The position behind the attributes and the tag that may stand at one."""
    while position < len(tokens) and (tokens[position] == "[" or is_identifier(tokens[position])):
        if tokens[position] in _ATTRIBUTE or tokens[position] == "[":
            position = matching(tokens, position + (tokens[position] != "["))
        position += 1
    return position


def _with_attributes(type_, attributes):
    """`type_` with attributes; vector_size goes to the innermost element, as GCC applies it."""
    vectors = [each for each in attributes if each[0] == "vector_size"]
    others = [each for each in attributes if each[0] != "vector_size"]
    if vectors:
        type_ = _innermost(type_, vectors)
    return Attributed(type_, others) if others else type_


def _innermost(type_, attributes):
    if isinstance(type_, Array):
        return Array(_innermost(type_.element, attributes), type_.count)
    if isinstance(type_, Pointer):
        return Pointer(_innermost(type_.target, attributes))
    if isinstance(type_, Function):
        return Function(_innermost(type_.result, attributes))
    return Attributed(type_, attributes)


_BASES = {}


def _canonical(words):
    words = list(words)
    is_complex = any(word in _COMPLEX for word in words)
    words = [word for word in words if word not in _COMPLEX]
    unsigned = "unsigned" in words
    explicitly_signed = any(word in _SIGNED for word in words)
    longs = words.count("long")
    rest = [word for word in words if word not in _SIGNED and word not in ("unsigned", "long", "int")]
    if not _is_arithmetic_type(words, rest, longs, unsigned, explicitly_signed):
        raise SyntaxProblem("'%s' is no type" % " ".join(words))
    if rest == ["double"]:
        name = "long double" if longs else "double"
    elif rest == ["short"]:
        name = "unsigned short" if unsigned else "short"
    elif rest == ["char"]:
        name = "unsigned char" if unsigned else "signed char" if explicitly_signed else "char"
    elif rest == ["__int128"]:
        name = "unsigned __int128" if unsigned else "__int128"
    elif rest == ["__uint128_t"]:
        name = "unsigned __int128"
    elif rest == ["__int128_t"]:
        name = "__int128"
    elif len(rest) == 1 and rest[0].startswith("_BitInt("):
        name = ("unsigned " if unsigned else "") + rest[0]
    elif len(rest) == 1 and not longs and not unsigned:
        name = rest[0]
    elif rest:
        raise SyntaxProblem("the type '%s' is not understood" % " ".join(words))
    elif longs > 2:
        raise SyntaxProblem("'long long long' is too long")
    elif is_complex and not longs and not unsigned and not explicitly_signed and not words:
        name = "double"
    else:
        name = ("unsigned " if unsigned else "") + ("int", "long", "long long")[longs]
    return "_Complex " + name if is_complex else name


def _is_arithmetic_type(words, rest, longs, unsigned, explicitly_signed):
    """Whether specifiers may stand together (C11 6.7.2p2)."""
    if unsigned and explicitly_signed or words.count("int") > 1 or len(rest) > 1:
        return False
    if rest == ["double"]:
        return longs <= 1 and not unsigned and not explicitly_signed and "int" not in words
    if rest == ["short"]:
        return not longs
    if rest in (["char"], ["__int128"]) or rest and rest[0].startswith("_BitInt("):
        return not longs and "int" not in words
    return not rest or len(words) == 1
