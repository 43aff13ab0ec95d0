r"""The walk: which declarations a configuration leaves standing, and when each of them stood.

The program of the root is executed: conditions decide, includes are entered, macros go into the table.  Text is only
noted, as declarations with their moment in the macro table's history; nothing is expanded but conditions.  So the walk
costs what the directives cost, and the text is left for those who want a declaration (see `MacroTable`).
"""

import functools
import os
import posixpath
import re
import time

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.c_tokens import LASTING_PRAGMAS, Painted, Pragma, Unspelled, tokenize
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.program import (
    DEFINE,
    EAGER,
    ENDS,
    ERROR,
    IF,
    INCLUDE,
    LINE,
    LINES_ADDED,
    OPAQUE,
    PRAGMA,
    TEXT,
    UNDEF,
)
from rekall_layout_expert.preprocessor.conditions import Conditions
from rekall_layout_expert.preprocessor.headers import missing
from rekall_layout_expert.preprocessor.macros import NOW, MacroTable, destringized

_NO_MACROS = 0  # the moment before the first definition
_PUSHING = (["push_macro"], ["pop_macro"])
_MOST_NESTED_INCLUDES = 200  # GCC's default -fmax-include-depth
# So many items may be walked, fifteen times what the largest of a kernel takes: files that include each other twice walk
# a number of them that doubles with each.
_MOST_ITEMS = 3000000
_MOST_ITEMS_PRINTED = 30000000  # what a text without a kernel's manners takes


class Declaration:
    """Text up to a place where a declaration may end; usually exactly one declaration, unexpanded.

    pieces: [(text | Pragma, moment, line, OpenFile)]; pack: the maximum alignment in bytes that #pragma pack had set before it, or
    None; path, line: where it begins; names: what it may declare; opaque: it may declare more; eager: its macros may
    hold _Pragma; tokens: its expansion, where that had to be made in the walk.
    """

    __slots__ = ("pieces", "pack", "path", "line", "names", "opaque", "eager", "tokens")

    def __init__(self, pack, path, line, names):
        self.pieces = []
        self.eager = False
        self.tokens = None
        self.pack = pack
        self.path = path
        self.line = line
        self.names = names
        self.opaque = False


class OpenFile:
    """A file being read: its path, its place on the search path, how deep it is included, and what #line said of it."""

    __slots__ = ("path", "place", "level", "added_lines", "name")

    def __init__(self, path, place, level, added_lines=0, name=None):
        self.path = path
        self.place = place
        self.level = level
        self.added_lines = added_lines
        self.name = path if name is None else name


class TranslationUnit:
    """One walk.

    headers: a `Headers`; compiler: a `Compiler`; defines: {name: body} as -D gives them (a name may carry a parameter
    list); forced: paths included before the root, as -include does; unknown: macros that are defined, but nobody can
    say how: a condition that asks for one is an error, and in a declaration it is no constant.
    Raises LayoutExpertError for an #error, an #include that is nowhere, and malformed directives.
    """

    macro_table = MacroTable
    keeps_spelling = False

    def __init__(self, headers, compiler, root, defines=None, forced=(), unknown=()):
        self.headers = headers
        self.macros = self.macro_table(self.keeps_spelling, headers.tokens)
        self.conditions = Conditions(self.macros, compiler, self._header_exists, headers.answers)
        self.declarations = []
        self.paths = []  # of the files entered, in order, each once
        self._seen = set()
        self._once = set()
        self._guards = {}  # {path: the macro whose definition makes the file's whole text vanish}
        self._stack = []  # of OpenFile
        self._pending = None
        self._depth = 0
        self._items_left = _MOST_ITEMS_PRINTED if self.keeps_spelling else _MOST_ITEMS
        self._pack = None
        self._packs = []
        self._pushes = None  # what _Pragma operators say while a text is looked through for them
        self._lasting = {}  # {name: the text of the last pragma of that name}
        self._counter = 0
        self.macros.define_builtin("__COUNTER__", self._next_count)
        self.macros.define_builtin("__LINE__", self._line)
        self.macros.define_builtin(LINES_ADDED, lambda reader: tokenize("%+d" % self._stack[-1].added_lines))
        self.macros.define_builtin("__FILE__", lambda reader: ['"%s"' % self._file(reader).name])
        self.macros.define_builtin("__FILE_NAME__", lambda reader: ['"%s"' % posixpath.basename(self._file(reader).name)])
        self.macros.define_builtin("__BASE_FILE__", lambda reader: ['"%s"' % root])
        self.macros.define_builtin("__INCLUDE_LEVEL__", lambda reader: [str(self._file(reader).level)])
        self.macros.define_builtin("__DATE__", lambda reader: [self._now[0]])
        self.macros.define_builtin("__TIME__", lambda reader: [self._now[1]])
        self.macros.define_builtin("__TIMESTAMP__", lambda reader: [_timestamp(self._file(reader).path)])
        self.macros.define_builtin("_Pragma", self._pragma_operator)
        for name in unknown:
            self.macros.define_builtin(name, _refusal(name))
        for name, parameters, body in compiler.predefined():
            self.macros.define(name, parameters, body)
        for name, body in (defines or {}).items():
            if body is None:
                self.macros.undefine(name)
                continue
            name, parenthesis, parameters = name.partition("(")
            self.macros.define(name, parameters.rstrip(")").split(",") if parenthesis else None, str(body))
        self.macros.moment += 1
        self._walk(tuple(forced) + (root,))

    def _walk(self, paths):
        try:
            for path in paths:
                if not self._is_over(path):
                    self._enter(path, -1)
        except RecursionError:
            raise LayoutExpertError("%s: conditionals are nested too deeply" % self._stack[-1].path) from None
        self._flush()

    def expand(self, declaration):
        """The tokens of a declaration, macros replaced as they stood at its moment."""
        if declaration.tokens is not None:
            return declaration.tokens
        read = self.macros.read
        return self.macros.expand(
            [([piece[0]] if piece[0].__class__ is Pragma else read(piece[0]), *piece[1:]) for piece in declaration.pieces]
        )

    def _enter(self, path, place):
        self._run(self._opened(path, place))
        self._stack.pop()

    def _is_over(self, path):
        """Whether a file would not say anything any more."""
        return path in self._once or self._guards.get(path) in self.macros.current

    def _opened(self, path, place):
        """The program of a file that is entered."""
        if len(self._stack) >= _MOST_NESTED_INCLUDES:
            raise LayoutExpertError("%s: #include nested too deeply" % path)
        if path not in self._seen:
            self._seen.add(path)
            self.paths.append(path)
        program = self.headers.program(path)
        self._guards[path] = _guard(program)
        self._stack.append(OpenFile(path, place, len(self._stack)))
        return program

    def _run(self, program):
        self._items_left -= len(program)
        if self._items_left < 0:
            raise LayoutExpertError("%s: #include leads through too many lines" % self._stack[-1].path)
        macros = self.macros
        current, since = macros.current, macros.since
        for item in program:
            kind = item[0]
            if kind == DEFINE:
                macros.moment += 1
                name = item[1]
                if name in since:
                    macros.record(name, item)
                else:  # as record() has it, and most are
                    since[name] = macros.moment
                    current[name] = item
            elif kind == TEXT:
                self._add_text(item)
            elif kind == IF:
                for condition, body in item[1]:
                    if not condition or self._holds(condition):
                        self._run(body)
                        break
            elif kind == INCLUDE:
                self._include(item[1], item[2])
            elif kind == UNDEF:
                macros.moment += 1
                macros.undefine(item[1])
            elif kind == PRAGMA:
                self._pragma(item[1])
            elif kind == ERROR:
                raise LayoutExpertError(
                    "%s: #error %s" % (self._stack[-1].path, item[1]),
                    next_step="the config does not fit this header tree",
                )
            elif kind == LINE:
                self._set_line(item[1])
            elif item[1] != "ident":
                self._assert(item[1], item[2])

    def _assert(self, keyword, text):
        try:
            (self.conditions.add_assertion if keyword == "assert" else self.conditions.remove_assertion)(text)
        except NotConstant as error:
            raise LayoutExpertError("%s: #%s %s: %s" % (self._stack[-1].path, keyword, text, error)) from None

    def _holds(self, condition):
        try:
            return self.conditions.holds(condition)
        except LayoutExpertError as error:
            raise LayoutExpertError("%s: %s" % (self._stack[-1].path, error)) from None

    def _add_text(self, item):
        _, line, text, delta, flags, names = item
        file = self._stack[-1]
        moment = self.macros.moment + 1  # it stands between definitions: it must see what was defined before it, and no more
        declaration = self._pending
        if flags == ENDS and not delta and declaration is None and not self._lasting and not self.headers.holds_pragmas:
            declaration = Declaration(self._pack, file.path, line, names)  # as most are: all of what follows is not for it
            declaration.pieces.append((text, moment, line + file.added_lines, file))
            self.declarations.append(declaration)
            return
        if (flags & EAGER or self.headers.holds_pragmas) and (declaration is not None or not flags & ENDS):
            expanded = self._expand_pushes(text, line)
            if expanded is not None:
                text, moment = expanded, _NO_MACROS
        if declaration is None:
            declaration = self._pending = Declaration(self._pack, file.path, line, names)
            for pragma in self._lasting.values():
                self._note_pragma(pragma)
        elif names:
            declaration.names = declaration.names + names
        declaration.pieces.append((text, moment, line + file.added_lines, file))
        if flags != ENDS:
            if flags & OPAQUE:
                declaration.opaque = True
            if flags & EAGER:
                declaration.eager = True
        if self.headers.holds_pragmas:
            declaration.eager = True
        self._depth += delta
        if flags & ENDS and self._depth <= 0:
            self._flush()

    def _flush(self):
        declaration, self._pending = self._pending, None
        self._depth = 0
        if declaration is not None:
            self.declarations.append(declaration)
            if declaration.eager:
                self._expand_now(declaration)

    def _include(self, kind, spelled):
        found = self._find(kind, spelled)
        if self._pending is not None:
            self._pending.opaque = True  # its content is what the file says (X-macros)
        if found is not None:
            self._enter(*found)

    def _find(self, kind, spelled):
        """(path, place) of the file that an #include means; None for one that has nothing to say (again)."""
        if not kind:
            kind, spelled = self._computed_include(spelled)
        including = self._stack[-1]
        if kind.startswith("next") and len(self._stack) == 1:
            kind = kind[4:]
        found = self.headers.find(kind, spelled, including.path, including.place)
        if found is None:
            raise missing(spelled, including.path, self.headers.search_path)
        is_over = self._is_over(found[0])
        if kind.startswith("import"):  # once only, also where its guard has kept it out
            is_over = is_over or found[0] in self._seen
            self._once.add(found[0])
        return None if is_over else found

    def _computed_include(self, text):
        prefix, text = text[1:].split(" ", 1) if text[:1] == "#" else ("", text)
        tokens = self._expanded(text)
        spelled = "".join(tokens).strip()
        if spelled[:1] == "<" and ">" in spelled:
            return prefix + "<", spelled[1 : spelled.index(">")]
        if spelled[:1] == '"' and spelled[-1:] == '"' and len(spelled) > 2:
            return prefix + '"', spelled[1:-1]
        raise LayoutExpertError("%s: #include %s names no file" % (self._stack[-1].path, text))

    def _expanded(self, text, line=0, file=None):
        """The tokens of text as the macros stand; file: None for a directive's."""
        return self.macros.expand([(self.macros.read(text), NOW, line, file)])

    def _header_exists(self, kind, spelled):
        including = self._stack[-1]
        return self.headers.find(kind, spelled, including.path, including.place) is not None

    def _set_line(self, text):
        """#line: what the number of the line behind this one is, and what the file is called."""
        number, _, text = text.partition(" ")
        file = self._stack[-1]
        text = re.sub(LINES_ADDED + r"(\d+)", lambda here: str(int(here.group(1)) + file.added_lines), text)
        words = "".join(self._expanded(text, int(number) + file.added_lines)).split(None, 1)
        if not words or not words[0].isdigit():
            raise LayoutExpertError("%s:%s: #line without a number" % (self._stack[-1].path, number))
        if len(words) > 1 and (words[1][0] != '"' or words[1].count('"') < 2):
            raise LayoutExpertError("%s:%s: #line with %s for a file's name" % (file.path, number, words[1]))
        name = words[1].split('"')[1] if len(words) > 1 else file.name
        self._stack[-1] = OpenFile(file.path, file.place, file.level, int(words[0]) - int(number) - 1, name)

    def _line(self, reader):
        line = reader.line()
        if reader.file() is None and line <= 0:
            raise LayoutExpertError("%s: a macro in a directive asks for its line" % self._stack[-1].path)
        return [str(line)]

    def _file(self, reader):
        """The file of the text that a reader reads; of a directive, the one that is open."""
        return reader.file() or self._stack[-1]

    def _pragma(self, text):
        words = pragma_words(text)
        if words == ["once"]:
            self._once.add(self._stack[-1].path)
        elif words[:1] in _PUSHING and len(words) == 4:
            self.macros.moment += 1
            (self.macros.push if words[0] == "push_macro" else self.macros.pop)(words[2].strip('"'))
        elif words[:1] == ["pack"]:
            self._pack = packed(self._pack, self._packs, text)
            if self._pending is not None:
                self._note_pragma(pack_pragma(self._pack))
        elif words[:1] and words[0] in LASTING_PRAGMAS and "".join(words[1:2]) in LASTING_PRAGMAS[words[0]]:
            self._lasting[words[0]] = " ".join(words[:2])
            if self._pending is not None:
                self._note_pragma(self._lasting[words[0]])

    def _note_pragma(self, text):
        """Lets a pragma travel with the text, at its place."""
        self._pending.pieces.append((Pragma(text), self.macros.moment + 1, 0, self._stack[-1]))

    def _expand_now(self, declaration):
        """Expands a declaration whose macros may hold _Pragma, which rules over all that follows."""
        tokens = []
        pieces = declaration.pieces
        if all(moment in (self.macros.moment + 1, _NO_MACROS) for _, moment, *_ in pieces):
            # No directive stands in it: the table as it stands is the one of its moment, and _Pragma may change it.
            declaration.pieces = [(text, moment and NOW, *place) for text, moment, *place in pieces]
        expanded = self.expand(declaration)
        declaration.pieces = pieces
        for token in expanded:
            if token.__class__ is Pragma:
                self._pragma(token)
                if token.split("(")[0].split() == ["pack"]:
                    token = Pragma(pack_pragma(self._pack))
            tokens.append(token)
        declaration.tokens = tokens

    def _expand_pushes(self, text, line):
        """The text that stands for one in which _Pragma pushes or pops macros, where a directive stands before or behind it
        in a declaration; None for any other, and where an invocation goes on behind the directive."""
        file = self._stack[-1]
        self._pushes = []
        try:
            tokens = self._expanded(text, line, file)
        except LayoutExpertError:
            return None
        finally:
            pushes, self._pushes = self._pushes, None
        if not pushes or not all(pragma_words(pragma)[:1] in _PUSHING for pragma in pushes):
            return None
        if any(token.__class__ in (Pragma, Unspelled) for token in tokens):
            return None
        return " ".join(self._expanded(text, line, file))

    def _next_count(self, reader):
        if reader.file() is not None:
            return [Painted("__COUNTER__")]  # declarations are not expanded in the text's order: no number is right
        return self._counted()

    def _counted(self):
        self._counter += 1
        return [str(self._counter - 1)]

    def _pragma_operator(self, reader):
        """_Pragma, which a directive does not know, and an argument leaves to the text that it is put into."""
        if reader.file() is None or reader.parent is not None:
            return None
        pragma = pragma_operand(reader)
        if self._pushes is not None:
            self._pushes.append(pragma)
            return []
        if pragma_words(pragma)[:1] in _PUSHING:
            # It rules over the rest of the declaration, too, which must not have another table by then.
            if not self.macros.reads_as_it_stands():
                raise LayoutExpertError('_Pragma("%s") in one declaration with directives' % pragma)
            self._pragma(pragma)
            return []
        return [pragma]

    @functools.cached_property
    def _now(self):
        """The text of __DATE__ and __TIME__: those of SOURCE_DATE_EPOCH where that is set."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        now = time.gmtime(int(epoch)) if epoch.isdigit() else time.localtime()
        month = _MONTHS[now.tm_mon - 1]
        return '"%s %2d %4d"' % (month, now.tm_mday, now.tm_year), '"%02d:%02d:%02d"' % now[3:6]


_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def _timestamp(path):
    """The text of __TIMESTAMP__: when a file was last changed."""
    try:
        return '"%s"' % time.asctime(time.localtime(os.stat(path).st_mtime))
    except OSError:
        return '"??? ??? ?? ??:??:?? ????"'


def pragma_words(text):
    """The words of a pragma."""
    return text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split()


def pragma_operand(reader):
    """The pragma that a _Pragma operator stands for."""
    if reader.next_expanded() == "(":
        literal = reader.next_expanded() or ""
        if literal[-1:] == '"' and literal[:2] != "u8" and reader.next_expanded() == ")":
            return destringized(literal)
    raise LayoutExpertError("_Pragma takes a parenthesized string literal")


def _refusal(name):
    def refuse(reader):
        if reader.file() is not None:
            return [Painted(name)]  # an identifier without a value: no constant expression
        raise LayoutExpertError("the value of %s, which the kernel's build computes, is not known" % name)

    return refuse


def _guard(program):
    """The include guard of a file: the name of its only, outermost #ifndef (GCC's "Once-Only Headers")."""
    if len(program) == 1 and program[0][0] == IF and len(program[0][1]) == 1:
        condition = program[0][1][0][0]
        return condition[1:] if condition[:1] == "-" else None
    return None


_PACK = re.compile(
    r"pack\s*\(\s*(?:(push)\b\s*(?:,\s*([^\W\d]\w*)\s*)?(?:,\s*(\w+)\s*)?|(pop)\b\s*(?:,\s*([^\W\d]\w*)\s*)?|(\w+)\s*)?\)"
)


def packed(pack, packs, text):
    """The maximum alignment in bytes (None: none) after ``#pragma pack``.

    pack: the one before; packs: the stack of (identifier, value) pushed, changed in place; text: the pragma's.
    What GCC ignores with a warning is ignored (GCC's "Structure-Layout Pragmas", c-pragma.cc).
    """
    match = _PACK.match(text.strip())
    if not match:
        return pack
    push, push_name, push_value, pop, pop_name, value = match.groups()
    if pop:
        is_known = any(name == pop_name for name, _ in packs)  # an unknown name pops the last one
        while packs:
            name, pack = packs.pop()
            if not is_known or name == pop_name:
                break
        return pack
    value = push_value if push else value
    if value is None:
        number = pack if push else None
    else:
        try:
            number = int(value, 8 if value[0] == "0" and value.isdigit() else 0)
        except ValueError:
            return pack
        if number not in (0, 1, 2, 4, 8, 16):
            return pack
        number = number or None
    if push:
        packs.append((push_name, pack))
    return number


def pack_pragma(pack):
    """The text of a pragma that sets a maximum alignment, whatever was set before."""
    return "pack(%s)" % (pack or "")
