r"""preprocess(): a whole text with everything replaced, as ``gcc -E -P`` prints it.

Who wants all of the text expands it while walking: the reader of the text pulls one piece after the other, and the
directives between them are obeyed when it comes to them, in the middle of a macro's arguments, too.
"""

from rekall_layout_expert.c_tokens import Pragma, canonical, is_identifier, joins, unshielded
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.program import DEFINE, IF, INCLUDE, OTHER, TEXT, UNDEF
from rekall_layout_expert.preprocessor.compiler import find_compiler
from rekall_layout_expert.preprocessor.directories import DirectoryHeaders
from rekall_layout_expert.preprocessor.macros import NOW
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit, pragma_operand, pragma_words

# Pragmas that GCC's preprocessor obeys by itself, and those whose macros it replaces.
_OBEYED = (["once"], ["push_macro"], ["pop_macro"])
_OBEYED_OF_GCC = ("poison", "system_header", "dependency", "warning", "error")
_EXPANDED = ("message", "redefine_extname")


def preprocess(source, *, defines=None, include_paths=(), target="x86_64", compiler="gcc 12.2.0"):
    """Preprocesses C text with the standard's semantics and GNU C's extensions (-std=gnu11).

    source: the text; defines: {name: replacement}, as -D gives them (None undefines); include_paths: directories, the
    only places where headers are looked for besides the including file's own; target: see `compiler.TARGETS`;
    compiler: "gcc VERSION" or "clang VERSION", whose predefined macros and __has_ operators there are.
    Returns text whose tokens are those of ``gcc -E -P``.
    Raises LayoutExpertError for #error, missing headers and malformed directives.
    """
    headers = DirectoryHeaders(source, include_paths)
    return unit_text(PrintedUnit(headers, find_compiler(compiler, target), headers.MAIN, defines))


class PrintedUnit(TranslationUnit):
    """A translation unit of which all text is wanted: `tokens`, white space and pragmas among them."""

    keeps_spelling = True

    def _walk(self, paths):
        self.tokens = []
        self._poisoned = set()
        self._open = []  # what is being walked: (iterator over items, whether it is a whole file)
        self._paths = iter(paths)
        self.macros.expand_stream(self._segments(paths), self.tokens)

    def _segments(self, paths):
        """The text, piece by piece as `MacroTable.expand` takes it; None at the end of a file, which ends all invocations."""
        for path in paths:
            if not self._is_over(path):
                self._enter(path, -1)
            while self._open:
                items, is_file = self._open[-1]
                for item in items:
                    if item[0] == TEXT:
                        file = self._stack[-1]
                        tokens = self._checked(self.macros.read(item[2])) + ["\n"]
                        yield tokens, NOW, item[1] + file.added_lines, file
                    elif self._walks_into(item):
                        break
                else:
                    self._open.pop()
                    if is_file:
                        self._stack.pop()
                        yield None

    def _walks_into(self, item):
        """Obeys a directive; whether there is something else to walk now."""
        kind = item[0]
        if kind == IF:
            for condition, body in item[1]:
                if not condition or self._holds(condition):
                    self._open.append((iter(body), False))
                    return True
        elif kind == INCLUDE:
            found = self._find(item[1], item[2])
            if found is not None:
                self._enter(*found)
                return True
        elif kind == OTHER and item[1] == "ident":
            literal = "".join(self._expanded(item[2])[:1])
            if literal[-1:] != '"':
                raise LayoutExpertError("%s: malformed #ident %s" % (self._stack[-1].path, item[2]))
            self._print(Pragma("#ident " + literal))
        else:
            if kind == DEFINE or kind == UNDEF:
                self._checked(item[1:2])
                self.macros.builtins.pop(item[1], None)
            self._run((item,))
            if kind == DEFINE:
                self._checked(self.macros.read(item[3]))
                self.macros.lookup(item[1]).compiled(self.macros.read)  # what is malformed shows even if it is not used
        return False

    def _enter(self, path, place):
        self._open.append((iter(self._opened(path, place)), True))

    def _holds(self, condition):
        self._checked(self.macros.read(condition[1:]))
        return super()._holds(condition)

    def _checked(self, tokens):
        if not self._poisoned.isdisjoint(tokens):
            name = next(token for token in tokens if token in self._poisoned)
            raise LayoutExpertError("%s: %s is poisoned" % (self._stack[-1].path, name))
        return tokens

    def _print(self, pragma):
        self.tokens.append(pragma)

    def _pragma(self, text):
        words = pragma_words(text)
        if words[:1] == ["GCC"] and words[1:2] and words[1] in _OBEYED_OF_GCC:
            self._obey(words[1], words[2:], text)
        elif words[:1] in _OBEYED:
            super()._pragma(text)
        else:
            self._print(Pragma("#pragma " + self._pragma_text(words, text)))

    def _pragma_text(self, words, text):
        return text if words[:1] not in ([each] for each in _EXPANDED) else "".join(self._expanded(text))

    def _obey(self, name, operands, text):
        where = self._stack[-1].path
        if name == "poison":
            if not all(map(is_identifier, operands)):
                raise LayoutExpertError("%s: malformed #pragma %s" % (where, text))
            self._poisoned.update(map(canonical, operands))
            for operand in operands:
                self._run(([UNDEF, canonical(operand)],))
        elif name == "error":
            raise LayoutExpertError("%s: #pragma %s" % (where, text))
        elif name == "warning" and not "".join(operands).endswith('"'):
            raise LayoutExpertError("%s: malformed #pragma %s" % (where, text))
        elif name == "dependency":
            spelled = text.split("dependency", 1)[1].strip()
            self._find_dependency(spelled)

    def _find_dependency(self, spelled):
        mark = {'"': '"', "<": ">"}.get(spelled[:1])
        if mark is None or mark not in spelled[1:]:
            raise LayoutExpertError("%s: #pragma GCC dependency names no file" % self._stack[-1].path)
        self._find(spelled[0], spelled[1 : spelled.index(mark, 1)])

    def _next_count(self, reader):
        return self._counted()

    def _pragma_operator(self, reader):
        if reader.file() is None or reader.parent is not None:
            return None
        text = pragma_operand(reader)
        words = pragma_words(text)
        if words[:1] in _OBEYED or words[:1] == ["GCC"] and words[1:2] and words[1] in _OBEYED_OF_GCC:
            self._pragma(text)
            return []
        return [Pragma("#pragma " + self._pragma_text(words, text))]


def unit_text(unit):
    """The text of a walked PrintedUnit."""
    out = []
    previous = "\n"
    for token in unit.tokens:
        if token.__class__ is Pragma:
            token = ("" if previous[-1] == "\n" else "\n") + token + "\n"
        elif token.isspace():
            if previous[-1].isspace():
                continue
            token = "\n" if "\n" in token else " "
        elif not previous[-1].isspace() and joins(previous, token):
            out.append(" ")
        out.append(token if token.isascii() or not is_identifier(token) else _with_ucns(token))
        previous = token
    return unshielded("".join(out).strip() + "\n")


def _with_ucns(name):
    """An identifier as GCC 12 prints it: with universal character names."""
    return "".join(char if char.isascii() else "\\U%08x" % ord(char) for char in name)
