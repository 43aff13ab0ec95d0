r"""Walk and parse in which every token knows where it was written, under which conditions, and by which macros.

A `Traced` token compares and hashes as the text it is, so that expansion and parser work on it as ever.  Each stage of
the ordinary road is derived from, and notes what passes through its hands; what is laid out is the same.
"""

from typing import NamedTuple, Tuple

from rekall_layout_expert.c_tokens import Pragma, tokenize_spelling
from rekall_layout_expert.parser.declarations import Parser
from rekall_layout_expert.parser.scope import Scope
from rekall_layout_expert.pre_ast.program import DEFINE, IF
from rekall_layout_expert.preprocessor.macros import Macro, MacroTable, Reader
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit
from rekall_layout_expert.profile.kernel import Kernel


class Condition(NamedTuple):
    """One open #if: `tried` are the conditions of the branches before it, which did not hold; `taken` is the one that
    did, "" for #else.  Their form is that of `pre_ast.program`."""

    path: str
    tried: Tuple[str, ...]
    taken: str


class Place(NamedTuple):
    """Where a token stands: file, line, the conditions around it, the outermost first, and the macros that it came out
    of, the outermost first; then file and line are those of the outermost macro's name."""

    path: str
    line: int
    conditions: Tuple[Condition, ...] = ()
    macros: Tuple[Macro, ...] = ()


class Traced(str):
    """A token with its `place`."""

    __slots__ = ("place",)


def traced(text, place):
    """`text` as a token of that place."""
    token = Traced(text)
    token.place = place
    return token


class TracingReader(Reader):
    """Gives the tokens of a replacement list the place of the macro's name."""

    def _at_parenthesis(self):
        self._name = self.tokens[self.position - 1]
        return super()._at_parenthesis()

    def _enter(self, macro, tokens):
        name = self.tokens[self.position - 1] if macro.parameters is None else self._name
        if name.__class__ is Traced:
            place = name.place._replace(macros=name.place.macros + (macro,))
            tokens = [traced(token, place) if token.__class__ is str else token for token in tokens]
        super()._enter(macro, tokens)


class TracingMacroTable(MacroTable):
    """definition_of: {macro: the item of a program, or the tuple, that it was made of}."""

    reader = TracingReader

    def __init__(self, spelling=False, known=None):
        super().__init__(spelling, known)
        self.definition_of = {}

    def _macro(self, definition):
        macro = super()._macro(definition)
        if macro is not None:
            self.definition_of[macro] = definition
        return macro


class TracingUnit(TranslationUnit):
    """Notes for each piece of text the conditions that are open around it, include guards left out."""

    macro_table = TracingMacroTable

    def __init__(self, *arguments, **options):
        self._open = ()
        self._branches = {}  # {id of a branch's program: the Condition under which it is run}
        self._programs = []  # keeps the ids valid
        self._circumstances = {}  # {(OpenFile, line): conditions}
        self._defined_in = {}  # {id of a #define's item: path}
        super().__init__(*arguments, **options)

    def _run(self, program):
        path = self._stack[-1].path
        for item in program:
            if item[0] == IF:
                for number, (condition, body) in enumerate(item[1]):
                    tried = tuple(each for each, _ in item[1][:number])
                    if not is_guard(item):
                        self._branches[id(body)] = Condition(path, tried, condition)
            elif item[0] == DEFINE:
                self._defined_in[id(item)] = path
        self._programs.append(program)
        around = self._open
        if id(program) in self._branches:
            self._open = around + (self._branches[id(program)],)
        super()._run(program)
        self._open = around

    def _add_text(self, item):
        file = self._stack[-1]
        self._circumstances[file, item[1] + file.added_lines] = self._open
        super()._add_text(item)

    def expand(self, declaration):
        if declaration.tokens is not None:
            return declaration.tokens
        return self.macros.expand([(self._read(*piece), *piece[1:]) for piece in declaration.pieces])

    def _read(self, text, moment, line, file):
        if text.__class__ is Pragma:
            return [text]
        conditions = self._circumstances[file, line]
        tokens = []
        for token in tokenize_spelling(text):
            if token.isspace():
                line += token.count("\n")
            else:
                place = Place(file.name, line, conditions)
                tokens += [traced(each, place) for each in (token if token == "::" else [token])]  # the parser's are two
        return tokens

    def is_walked(self, path, line):
        """Whether the piece of text that begins at that line of a file was walked over."""
        return any(file.path == path and line + file.added_lines == at for file, at in self._circumstances)

    def defined_in(self, macro):
        """The path of the file that defines a macro; None for those of the compiler and of -D."""
        return self._defined_in.get(id(self.macros.definition_of.get(macro)))


def is_guard(item):
    """Whether an IF item only keeps a header, or a definition, from being read twice."""
    (condition, body), *others = item[1]
    return not others and condition[:1] == "-" and bool(body) and body[0][0] == DEFINE and body[0][1] == condition[1:]


class Written(NamedTuple):
    """The tokens of a member's specifiers, and those of its declarator with width and attributes."""

    specifiers: list
    declarator: list


class TracingParser(Parser):
    """Notes what each member and each record was read from."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._specified = (0, 0)
        self._members_written = []

    def _specifiers(self):
        start = self.position
        found = super()._specifiers()
        self._specified = (start, self.position)
        return found

    def _members(self):
        outer, self._members_written = self._members_written, []
        fields = super()._members()
        self.scope.written.update(zip(fields, self._members_written))
        self._members_written = outer
        return fields

    def _member_declarator(self, base, attributes):
        specified, start = self._specified, self.position
        field = super()._member_declarator(base, attributes)
        self._note_member(specified, start)
        return field

    def _is_anonymous_member(self, type_):
        found = super()._is_anonymous_member(type_)
        if found:
            self._note_member(self._specified, self.position)
        return found

    def _note_member(self, specified, start):
        self._members_written.append(Written(self.tokens[slice(*specified)], self.tokens[start : self.position]))

    def _record(self, kind):
        keyword = self.tokens[self.position - 1]
        record = super()._record(kind)
        if record.fields is not None and keyword.__class__ is Traced:
            if record not in self.scope.places:
                last = self.tokens[self.position - 1]
                self.scope.places[record] = keyword.place
                self.scope.last_lines[record] = last.place.line if last.__class__ is Traced else keyword.place.line
        return record


class TracingScope(Scope):
    """unit: the TracingUnit; written: {field: Written}; places, last_lines: {record: where its definition begins, ends}."""

    parser = TracingParser

    def __init__(self, index, expand, *arguments, **options):
        super().__init__(index, expand, *arguments, **options)
        self.unit = expand.__self__
        self.written = {}
        self.places = {}
        self.last_lines = {}


class TracedKernel(Kernel):
    """A `Kernel` whose tokens know where they were written."""

    translation_unit = TracingUnit
    scope_of = TracingScope
