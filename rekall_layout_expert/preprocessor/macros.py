r"""The macro table with its history, and macro expansion (C11 6.10.3, and GNU C's variadic macros).

A profile needs few of a kernel's declarations, and those only after the whole translation unit has been walked.  So the
table keeps, for each name, every definition with the moment it was made; a declaration is expanded later, with the table
*as it stood at its moment*.  A moment is the position in the walk, a plain integer.

Expansion keeps GCC's discipline (`cpp` internals, "Macro Expansion"): a stack of token lists being read, each the
replacement of a macro that stays disabled until its list has been read to the end; a name met while its macro is
disabled is painted and never expanded again.  Arguments are expanded on their own before they are put in.
"""

from bisect import bisect_left
from itertools import chain

from rekall_layout_expert.c_tokens import (
    SHIELDED_NEWLINE,
    Painted,
    Pragma,
    Spelled,
    Unspelled,
    is_identifier,
    tokenize,
    tokenize_spelling,
    unshielded,
)
from rekall_layout_expert.errors import LayoutExpertError

# So many tokens may come out of one macro call: fifty times what the largest of a kernel takes.
_MOST_TOKENS = 1000000
_MOST_TOKENS_PRINTED = 10000000  # what a text without a kernel's manners takes
_MOST_LARGE_CALLS = 20  # and so many times that out of all calls together
_LONGEST_TOKEN = 1 << 20  # in characters, that ## or # makes
NOW = None  # the moment after everything seen so far
_NEVER = float("inf")
_PASTE = ("##", "%:%:")
_STRINGIFY = ("#", "%:")
_NEVER_REPLACED = (Painted, Pragma)
_OMITTED = ()  # the variable arguments that an invocation leaves out, which are not the same as empty ones


class Macro:
    """One definition.

    parameters: None for an object-like macro, otherwise their names; variadic: the last of them takes all that is left.
    body: replacement text, made into operands when it is first used.
    """

    __slots__ = ("name", "parameters", "variadic", "body", "operands")

    def __init__(self, name, parameters, body):
        self.name = name
        self.body = body
        self.operands = None
        self.variadic = False
        if parameters and parameters[-1].endswith("..."):
            parameters = parameters[:-1] + [parameters[-1][:-3] or "__VA_ARGS__"]
            self.variadic = True
        self.parameters = parameters

    def compiled(self, read):
        """The replacement: a token list for an object-like macro without ##, a list of operand chains otherwise.

        read: the tokenizer in use (with or without white space).
        """
        if self.operands is None:
            tokens = read(self.body)
            if self.parameters is None and "##" not in tokens and "%:%:" not in tokens:
                self.operands = [" " if token.isspace() else token for token in tokens]
            else:
                self.operands = self._chains(tokens)
        return self.operands

    # A chain is a list of operands joined by ##; most chains have one operand.  Operands: ("token", text),
    # ("argument", number), ("string", number), ("optional", chains) for __VA_OPT__.
    def _chains(self, tokens):
        parameters = {name: number for number, name in enumerate(self.parameters or ())}
        chains = []
        position = 0
        joining = False
        while position < len(tokens):
            token = tokens[position]
            position += 1
            if token.isspace():
                following = next((each for each in tokens[position:] if not each.isspace()), "")
                if not joining and following not in _PASTE:
                    chains.append([("token", " ")])
                continue
            if token in _PASTE:
                if not chains:
                    raise LayoutExpertError("in macro %s: '##' at the beginning" % self.name)
                joining = True
                continue
            if token in _STRINGIFY and self.parameters is not None:
                while position < len(tokens) and tokens[position].isspace():
                    position += 1
                name = tokens[position] if position < len(tokens) else ""
                if name in parameters:
                    operand = ("string", parameters[name])
                    position += 1
                elif name == "__VA_OPT__" and self.variadic:
                    inner, position = self._optional(tokens, position + 1)
                    operand = ("optional-string", inner)
                else:
                    raise LayoutExpertError("in macro %s: '#' is not followed by a parameter" % self.name)
            elif token in parameters:
                operand = ("argument", parameters[token])
            elif token == "__VA_OPT__" and self.variadic:
                inner, position = self._optional(tokens, position)
                operand = ("optional", inner)
            else:
                operand = ("token", token)
            if joining:
                chains[-1].append(operand)
                joining = False
            else:
                chains.append([operand])
        if joining:
            raise LayoutExpertError("in macro %s: '##' at the end" % self.name)
        return chains

    def _optional(self, tokens, position):
        """The chains inside the parentheses of a __VA_OPT__ and the position behind them."""
        while position < len(tokens) and tokens[position].isspace():
            position += 1
        if tokens[position : position + 1] != ["("]:
            raise LayoutExpertError("in macro %s: __VA_OPT__ without a parenthesis" % self.name)
        depth = 0
        for end in range(position, len(tokens)):
            if tokens[end] == "__VA_OPT__":
                raise LayoutExpertError("in macro %s: __VA_OPT__ in a __VA_OPT__" % self.name)
            if tokens[end] == "(":
                depth += 1
            elif tokens[end] == ")":
                depth -= 1
                if not depth:
                    return self._chains(_stripped(tokens[position + 1 : end])), end + 1
        raise LayoutExpertError("in macro %s: unterminated __VA_OPT__" % self.name)


class MacroTable:
    """Every macro of a translation unit, with its history.

    spelling: keep white space (for printing); types need none; known: {text: tokens}, of texts that were read before, by
    other tables too.  Attribute: met, None, or a list to which expansion adds
    every token list that it reads.
    """

    def __init__(self, spelling=False, known=None):
        self.read = tokenize_spelling if spelling else self._read
        self._known = {} if known is None else known
        self.spelling = spelling
        self.most_tokens = _MOST_TOKENS_PRINTED if spelling else _MOST_TOKENS
        self.moment = 0
        self.current = {}
        self.since = {}  # {name: the moment of its first definition}
        self._past = {}  # {name: [(moment, definition | None)]} of those that did not stay with it
        self.builtins = {}
        self._pushed = {}
        self._macros = {}
        self._disabled = set()
        self._when = NOW
        self._tokens_left = self.most_tokens
        self._tokens_made = 0  # by the calls before this one
        self.met = None

    def _read(self, text):
        tokens = self._known.get(text)
        if tokens is None:
            tokens = self._known[text] = tokenize(text)
        return tokens

    def define(self, name, parameters, body):
        """#define: `parameters` is None for an object-like macro."""
        self.record(name, (None, name, parameters, body))

    def undefine(self, name):
        """#undef."""
        if name in self.current:
            self.record(name, None)
            del self.current[name]

    def record(self, name, definition):
        """Enters a definition, an item of a program (see `pre_ast.program`), or None for the end of one.

        Most macros are never used: a Macro is made of a definition when it is first looked up.
        """
        since = self.since.setdefault(name, self.moment)
        if since is _NEVER:
            self.since[name] = self.moment
        elif name in self._past:
            self._past[name].append((self.moment, definition))
        elif name in self.current:
            self._past[name] = [(since, self.current[name]), (self.moment, definition)]
        self.current[name] = definition

    def _macro(self, definition):
        if definition is None:
            return None
        macro = self._macros.get(id(definition))  # the history keeps the definition, and so its id
        if macro is None:
            macro = self._macros[id(definition)] = Macro(*definition[1:])
        return macro

    def define_builtin(self, name, function):
        """A name that the preprocessor itself answers: function(reader) -> tokens."""
        self.builtins[name] = function
        self.since.setdefault(name, _NEVER)

    def push(self, name):
        """#pragma push_macro."""
        self._pushed.setdefault(name, []).append((self.current.get(name), self.builtins.get(name)))

    def pop(self, name):
        """#pragma pop_macro."""
        if self._pushed.get(name):
            definition, builtin = self._pushed[name].pop()
            if builtin is not None:
                self.builtins[name] = builtin
            if definition is not None:
                self.record(name, definition)
            else:
                self.undefine(name)

    def lookup(self, name, moment=NOW):
        """The macro of that name at that moment, or None."""
        if moment is NOW:
            return self._macro(self.current.get(name))
        past = self._past.get(name)
        if past is not None:
            index = bisect_left(past, (moment,))
            return self._macro(past[index - 1][1]) if index else None
        return self._macro(self.current[name]) if self.since.get(name, _NEVER) < moment else None

    def reads_as_it_stands(self):
        """Whether the text being expanded sees each change of the table at once."""
        return self._when is NOW

    def definitions(self, name):
        """Every macro that name ever was."""
        past = self._past.get(name, ((None, self.current.get(name)),))
        return [self._macro(definition) for _, definition in past if definition is not None]

    def expand(self, segments):
        """Expands a run of text.

        segments: [(tokens, moment, line, file)], read as one stream; line, file: where the tokens begin, the file None
        in a directive.  Returns the tokens.
        Raises LayoutExpertError for an invocation that is malformed.
        """
        lists = [segment[0] for segment in segments]
        if all(map(self.since.keys().isdisjoint, lists)):
            return list(chain.from_iterable(lists))
        return self._expanded(segments, [])

    def expand_stream(self, segments, out):
        """Expands text into `out` as it comes: segments is an iterator as `expand` takes a list.

        It is asked for more only when what it gave has been read; None stands where no invocation goes on.
        """
        segments = iter(segments)
        for segment in segments:
            if segment is not None:
                self._expanded(chain((segment,), segments), out)

    def _expanded(self, segments, out):
        previous, disabled = self._when, self._disabled
        self._disabled = set()
        try:
            return self.reader(self, segments).run(out)
        except RecursionError:
            raise LayoutExpertError("macro arguments are nested too deeply") from None
        finally:
            self._when, self._disabled = previous, disabled


class Reader:
    """The stack of token lists that are being read; the bottom one is the text itself."""

    def __init__(self, table, segments, parent=None):
        self.table = table
        self.parent = parent  # the reader of the text around the argument that this one reads
        self.segments = iter(segments)
        self.first_line = 0
        self.segment_file = None
        self.places = ()
        self.invocation = ((), 0, 0)  # where the outermost macro being replaced was named: tokens, position, first line
        self.stack = []
        self.tokens = ()
        self.position = 0
        self.macro = None  # whose replacement `tokens` is

    def run(self, out):
        """Reads everything, replaces the macros and appends to `out`, which is returned."""
        table = self.table
        since = table.since
        disabled = table._disabled
        append = out.append
        while True:
            tokens, position = self.tokens, self.position
            end = len(tokens)
            while position < end:
                token = tokens[position]
                position += 1
                if token in since and token.__class__ not in _NEVER_REPLACED:
                    break
                append(token)
            else:
                self.position = position
                if not self._leave():
                    return out
                continue
            self.position = position
            if not self.stack:
                self.invocation = (self.tokens, self.position, self.first_line)
                if self.parent is None:
                    table._tokens_made += table.most_tokens - table._tokens_left
                    table._tokens_left = table.most_tokens
            builtin = table.builtins.get(token)
            if builtin is not None:
                replacement = builtin(self)
                if replacement is None:
                    append(token)
                else:
                    out.extend(replacement)
                continue
            macro = table.lookup(token, table._when)
            if macro is None:
                append(token)
            elif macro.name in disabled:
                append(Painted(token))
            elif macro.parameters is None:
                operands = macro.compiled(table.read)
                if operands and operands[0].__class__ is list:
                    operands = self._substitute(macro, operands, ())
                self._enter(macro, operands)
            else:
                space = self._at_parenthesis()
                if not self._peeked:
                    append(token)
                    out.extend(space)
                else:
                    arguments = self._arguments(macro)
                    operands = self._substitute(macro, macro.compiled(table.read), arguments)
                    self._enter(macro, operands)

    def _enter(self, macro, tokens):
        self.stack.append((self.tokens, self.position, self.macro))
        self.tokens, self.position, self.macro = tokens, 0, macro
        table = self.table
        if table.met is not None:
            table.met.append(tokens)
        table._disabled.add(macro.name)
        table._tokens_left -= len(tokens)
        if table._tokens_left < 0:
            raise LayoutExpertError("the macro %s expands to more than %d tokens" % (macro.name, table.most_tokens))
        if table._tokens_made > table.most_tokens * _MOST_LARGE_CALLS:
            raise LayoutExpertError("macros expand to more than %d tokens" % table._tokens_made)

    def _leave(self):
        """Goes back to the list below, or on to the next segment; False at the end of everything."""
        if self.macro is not None:
            self.table._disabled.discard(self.macro.name)
        if self.stack:
            self.tokens, self.position, self.macro = self.stack.pop()
            return True
        segment = next(self.segments, None)
        self.macro = None
        if segment is None:
            self.tokens, self.position = (), 0
            return False
        self.tokens, self.table._when, self.first_line, self.segment_file = segment
        self.position = 0
        return True

    def _at_parenthesis(self):
        """Looks for the parenthesis that makes a name an invocation.

        Returns the white space before it; `_peeked` tells whether it is there (and was read over).
        """
        space = []
        self._peeked = False
        while True:
            while self.position < len(self.tokens):
                token = self.tokens[self.position]
                if token == "(":
                    self.position += 1
                    self._peeked = True
                    return space
                if not token.isspace():
                    return space
                space.append(token)
                self.position += 1
            if not self.stack:
                return space  # a directive or the end of the file stands between: that is no invocation
            self._leave()

    def next_token(self):
        """The next token of the stream without expanding it, or None at the end; builtins read their operands so."""
        while True:
            while self.position < len(self.tokens):
                token = self.tokens[self.position]
                self.position += 1
                if not token.isspace():
                    return token
            if not self._leave():
                return None

    def next_expanded(self):
        """As next_token(), with macros replaced."""
        while True:
            token = self.next_token()
            if token is None or token.__class__ in _NEVER_REPLACED:
                return token
            if token in self.table.builtins:
                replacement = self.table.builtins[token](self)
                return token if replacement is None else "".join(replacement)
            macro = self.table.lookup(token, self.table._when)
            if macro is None or token in self.table._disabled:
                return token
            arguments = ()
            if macro.parameters is not None:
                if not self.reads_parenthesis():
                    return token
                arguments = self._arguments(macro)
            operands = macro.compiled(self.table.read)
            if operands and operands[0].__class__ is list:
                operands = self._substitute(macro, operands, arguments)
            self._enter(macro, operands)

    def reads_parenthesis(self):
        """Whether an opening parenthesis follows; it has then been read."""
        self._at_parenthesis()
        return self._peeked

    def line(self):
        """The number of the line that is being read, as far as the tokens keep their newlines.

        Inside a macro's replacement that is the line where the outermost macro is named.
        """
        place = self.invocation if self.stack else (self.tokens, self.position, self.first_line)
        return _line_of(*place) if place[2] is not None else self.parent.line() if self.parent is not None else 0

    def file(self):
        """The file of the text that is being read, None in a directive."""
        return self.parent.file() if self.parent is not None else self.segment_file

    def _arguments(self, macro):
        """The arguments of an invocation, unexpanded: one token list a parameter."""
        arguments = [[]]
        spelling = self.table.spelling
        places = [self._place()] if spelling else []
        depth = 0
        disabled = self.table._disabled
        parameters = macro.parameters
        last = len(parameters) if macro.variadic else -1
        while True:
            if self.position == len(self.tokens):
                if not self._leave():
                    raise LayoutExpertError("unterminated argument list of macro %s" % macro.name)
                continue
            token = self.tokens[self.position]
            self.position += 1
            if token == "(":
                depth += 1
            elif token == ")":
                if not depth:
                    break
                depth -= 1
            elif token == "," and not depth and len(arguments) != last:
                arguments.append([])
                if spelling:
                    places.append(self._place())
                continue
            arguments[-1].append(Painted(token) if token in disabled else token)
        if spelling:
            for number, argument in enumerate(arguments):
                if places[number] is not None and argument and argument[0].isspace():
                    tokens, position, first_line = places[number]
                    places[number] = (tokens, position + 1, first_line)
                arguments[number] = _stripped(argument)
        self.places = places
        if len(arguments) != len(parameters):
            if not parameters and all(not any(map(_is_ink, each)) for each in arguments) and len(arguments) == 1:
                arguments = []
            elif macro.variadic and len(arguments) == len(parameters) - 1:
                arguments.append(_OMITTED)
            else:
                raise LayoutExpertError(
                    "macro %s takes %d arguments, not %d" % (macro.name, len(parameters), len(arguments))
                )
        elif macro.variadic and len(parameters) == 1 and not any(map(_is_ink, arguments[0])):
            arguments = [_OMITTED]
        return arguments

    def _place(self):
        """What `_line_of` takes of the next token; None in a replacement, whose lines do not count."""
        return None if self.stack or self.first_line is None else (self.tokens, self.position, self.first_line)

    def _expand_argument(self, tokens, place):
        table = self.table
        if table.met is not None:
            table.met.append(tokens)
        if table.since.keys().isdisjoint(tokens):
            return tokens
        return table.reader(table, [(tokens, table._when, place, None)], self).run([])

    def _substitute(self, macro, chains, arguments):
        """The replacement list of one invocation (C11 6.10.3.1 to 6.10.3.3)."""
        expanded = [None] * len(arguments)
        places = self.places

        def argument(number):
            if expanded[number] is None:
                expanded[number] = self._expand_argument(arguments[number], places[number] if number < len(places) else None)
            return expanded[number]

        def evaluate(chains):
            out = []
            for operands in chains:
                if len(operands) == 1:
                    kind, value = operands[0]
                    if kind == "token":
                        out.append(value)
                    elif kind == "argument":
                        out.extend(argument(value))
                    else:
                        out.extend(raw(kind, value))
                else:
                    out.extend(joined(operands))
            return out

        def raw(kind, value):
            if kind == "token":
                return [value]
            if kind == "argument":
                return arguments[value]
            if kind == "string":
                return [_stringified(arguments[value], self.table.spelling)]
            inner = evaluate(value) if any(map(_is_ink, argument(len(arguments) - 1))) else []
            if value and value[0][0][0] == "argument" and any(map(_is_ink, argument(value[0][0][1]))):
                inner = _stripped(inner)  # otherwise white space at its beginning stands for a placemarker
            return [_stringified(inner, self.table.spelling)] if kind == "optional-string" else inner

        def joined(operands):
            last = len(arguments) - 1 if macro.variadic else -1
            runs = [[list(raw(*operands[0]))]]  # of token lists that are pasted to each other
            for kind, value in operands[1:]:
                right = raw(kind, value)
                before = next((tokens for tokens in reversed(runs[-1]) if tokens), ())
                if kind == "argument" and value == last and before and before[-1] == ",":
                    # GNU C: the comma goes with the arguments that are left out, and is not pasted to those given.
                    if right is _OMITTED:
                        before.pop()
                    else:
                        runs.append([list(right)])
                else:
                    runs[-1].append(list(right))
            return [token for run in runs for token in _pasted(run)]

        return evaluate(chains)


MacroTable.reader = Reader


def _line_of(tokens, position, first_line):
    if first_line.__class__ is tuple:
        first_line = _line_of(*first_line)
    before = "".join(tokens[:position])  # outside of white space there are no other newlines
    return first_line + before.count("\n") + before.count(SHIELDED_NEWLINE)


def _is_ink(token):
    return not token.isspace()


def _stripped(tokens):
    start, end = 0, len(tokens)
    while start < end and tokens[start].isspace():
        start += 1
    while end > start and tokens[end - 1].isspace():
        end -= 1
    return tokens[start:end]


def _pasted(lists):
    """The tokens of several lists, the last of each pasted to the first of the next; an empty one is a placemarker."""
    out = []
    for tokens in lists:
        if not out or not tokens or out[-1].isspace() or tokens[0].isspace():
            out += tokens
            continue
        together = out[-1] + tokens[0]
        if len(together) > _LONGEST_TOKEN:
            raise LayoutExpertError("## makes a token of more than %d characters" % _LONGEST_TOKEN)
        pasted = tokenize_spelling(together)
        if len(pasted) != 1 or together == "//":
            raise LayoutExpertError("pasting %s and %s does not make a token" % (out[-1], tokens[0]))
        out[-1:] = pasted + tokens[1:]
    return out


def _stringified(tokens, spelling):
    parts = []
    backslashes = 0
    for token in tokens:
        if token.isspace():
            if parts and parts[-1] != " ":
                parts.append(" ")
            continue
        if token[-1] in "\"'" and len(token) > 1 and not is_identifier(token):
            token = unshielded(token).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        elif token.__class__ is Spelled:
            token = token.spelling
        parts.append(token)
        backslashes = backslashes + 1 if token == "\\" else 0
    if backslashes % 2:
        del parts[len(parts) - 1 - parts[::-1].index("\\")]  # it would make the closing quote a part of the text
    literal = '"%s"' % "".join(parts).strip()
    if len(literal) > _LONGEST_TOKEN:
        raise LayoutExpertError("# makes a string of more than %d characters" % _LONGEST_TOKEN)
    return literal if spelling or len(parts) < 2 else Unspelled(literal)


def destringized(literal):
    """The text that a string literal handed to _Pragma stands for (C11 6.10.9)."""
    return Pragma(literal[literal.index('"') + 1 : -1].replace('\\"', '"').replace("\\\\", "\\"))
