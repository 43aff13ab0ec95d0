r"""From a header's text to its program (see `program`): phases 1 to 3, directives, and the cut into declarations."""

import re

from rekall_layout_expert.c_tokens import SHIELDED_NEWLINE, SPELLED_NAME, Pattern, canonical, is_identifier, shielded, unshielded
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.program import (
    DEFINE,
    ENDS,
    ERROR,
    IF,
    INCLUDE,
    LINE,
    LINES_ADDED,
    OPAQUE,
    OTHER,
    PRAGMA,
    TEXT,
    UNDEF,
)

# A literal that is not closed ends with its line.
_COMMENT_OR_LITERAL = re.compile(
    r'//(?:[^\n\\]|\\.?)*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|/\*.*\Z', re.S
)
_NUL_OR_LITERAL = re.compile(r'\0|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?', re.S)
# Raw strings, and what could hide the beginning of one or look like it.
_RAW_STRING = re.compile(
    r'//(?:[^\n\\]|\\[ \t]*.?)*|/\*.*?(?:\*/|\Z)|(?:u8|[uUL])?(R"([^\s()\\]{0,16})\(.*?\)\2")'
    r'|[\w$]+(?<!R)(?<!u8)(?<!u)(?<!U)(?<!L)|"(?:\\[ \t]*.|[^"\\\n])*"?|\'(?:\\[ \t]*.|[^\'\\\n])*\'?|\w', re.S
)
# A header's name that looks like a comment or a literal.
_ODD_HEADER = re.compile(r"((?:include|include_next|import)[ \t]*<)([^>\n]*(?:/[/*]|[\"'])[^>\n]*)>")
# Lines that end in a backslash, with the line that they continue on.
_CONTINUED = re.compile(r"(?:[^\n]*\\[ \t]*\n)+[^\n]*")
_PARTING = re.compile(r"([ \t])\\[ \t]*\n|\\[ \t]*\n(?=[ \t])")
_CONTINUATION = re.compile(r"\\[ \t]*\n")
_INSIDE = re.compile(r"(?:\\\n[^ \t\n\\]*)+(?=[ \t])")
# A newline inside a logical line or a comment leaves this mark, so that line numbers still count.
_JOINED = "\x02"
_DIRECTIVE = Pattern(r"\s*(?:#|%%:)\s*(%s|\d+)?\s*(.*?)\s*\Z" % SPELLED_NAME, re.S)
_IS_DIRECTIVE = re.compile(r"[ \t\f\v%s]*(?:#(?!#)|%%:(?!%%:))" % _JOINED).match
_DEFINE = Pattern(r"(%s)(\(([^)]*)\))?\s*(.*)\Z" % SPELLED_NAME, re.S)
_PARAMETER = Pattern(r"(%s)?\s*(\.\.\.)?" % SPELLED_NAME)
_NAME = Pattern(SPELLED_NAME)
_INCLUDE = re.compile(r'\s*(?:"([^"]*)"|<([^>]*)>)')
_BOM = "\ufeff"
_PIECE_TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|([^\W\d][\w$]*)|[{}()\[\];,=*]|[^\s\w"\'{}()\[\];,=*]+|\d[\w.]*'
)
_CALL = re.compile(r"[^\W\d]\w*\s*\(")
_RECORD_KEYWORDS = ("struct", "union", "enum")
_FUNCTION_KEYWORDS = frozenset(("static", "inline", "__inline", "__inline__", "__always_inline", "extern"))
_OPEN = {"(": ")", "[": "]", "{": "}"}
C_KEYWORDS = frozenset(
    "struct union enum typedef const volatile unsigned signed int char short long float double void static extern inline "
    "__attribute__ __extension__ register _Bool __signed__ __volatile__ __inline__ __inline __const __packed "
    "__aligned _Alignas __typeof__ typeof".split()
)
# Never defined while a kernel is compiled as C: their branches would only be carried about.
NEVER_DEFINED = frozenset(("__cplusplus", "__ASSEMBLY__", "__ASSEMBLER__", "__GENKSYMS__", "__CHECKER__", "_MSC_VER"))


def compile_program(source, name, prune=False):
    """The program of one file's text.

    source: the text (str); name: how messages call the file; prune: leave out the bodies of functions and what only
    assemblers and C++ compilers read, which no type depends on.
    Raises LayoutExpertError for conditionals that do not nest.
    """
    try:
        return _Compiler(name, prune).compile(source)
    except RecursionError:
        raise LayoutExpertError("%s: conditionals are nested too deeply" % name) from None


def logical_lines(source):
    """Translation phases 2 and 3: (number of the first line, text) of each logical line, comments gone."""
    if "\r" in source:
        source = source.replace("\r\n", "\n")
    if "\0" in source:
        source = _NUL_OR_LITERAL.sub(lambda match: " " if match.group() == "\0" else match.group(), source)
    if 'R"' in source:
        source = _RAW_STRING.sub(_without_raw_string, source)
    if "\\\n" in source or "\\ " in source:
        source = _CONTINUED.sub(_joined, source)
    if "/" in source or _JOINED in source:
        source = _ODD_HEADER.sub(lambda header: header.group(1) + shielded(header.group(2)) + ">", source)
        source = _COMMENT_OR_LITERAL.sub(_without_comment, source)
    if _JOINED not in source and SHIELDED_NEWLINE not in source:
        yield from enumerate(source.split("\n"), 1)
        return
    number = 1
    for line in source.split("\n"):
        yield number, line
        number += 1 + line.count(_JOINED) + line.count(SHIELDED_NEWLINE)


def _without_raw_string(match):
    text = match.group()
    if match.group(1) is None:
        return text
    head, _, body = text.partition('"')
    return '%s"%s"' % (head, shielded(body[:-1]))


def _joined(match):
    """One logical line.  The newlines that it lost stay as marks, at the next place that parts tokens, or follow it."""
    text = _PARTING.sub(lambda part: (part.group(1) or "") + _JOINED, match.group())
    text = _INSIDE.sub(lambda inside: _CONTINUATION.sub("", inside.group()) + _JOINED * inside.group().count("\n"), text)
    text, count = _CONTINUATION.subn("", text)
    return text + "\n" * count


def _without_comment(match):
    text = match.group()
    if text[0] != "/":
        return text.replace(_JOINED, "") + _JOINED * text.count(_JOINED)
    if text[1] == "*" and not (text.endswith("*/") and len(text) > 3):
        raise LayoutExpertError("unterminated comment")
    return " " + _JOINED * (text.count("\n") + text.count(_JOINED))


class _State:
    """Where the cut stands: open brackets and what the current declaration has shown so far."""

    __slots__ = ("brackets", "outline", "after")

    def __init__(self, brackets=(), outline=(), after=None):
        self.brackets = brackets  # kinds of the open brackets: '(' '[' 'record' 'enum' 'body' 'other'
        self.outline = outline  # tokens of the current declaration outside all brackets
        self.after = after  # last token seen

    def __eq__(self, other):
        return self.brackets == other.brackets and self.outline == other.outline


class _Compiler:
    def __init__(self, name, prune):
        self.name = name
        self.prune = prune

    def compile(self, source):
        if source[:1] == _BOM:
            source = source[1:]
        self.state = _State()
        program = []
        # Open conditionals: [the IF item, program around it, state at #if, states at the branches' ends]
        open_ifs = []
        text, text_line = [], 0
        directive, self.define = _DIRECTIVE.of(source), _DEFINE.of(source)
        for number, line in logical_lines(source):
            if "#" not in line and "%:" not in line or not _IS_DIRECTIVE(line):
                if not text:
                    text_line = number
                text.append(line)
                continue
            self._add_text(program, text_line, text)
            text = []
            match = directive.match(line.replace(_JOINED, ""))
            keyword, rest = match.group(1), match.group(2)
            if keyword in ("if", "ifdef", "ifndef"):
                item = [IF, [[_condition(keyword, rest, number), []]]]
                open_ifs.append((item, program, self.state, []))
                program = item[1][0][1]
            elif keyword in ("elif", "elifdef", "elifndef", "else", "endif"):
                if not open_ifs:
                    raise LayoutExpertError("%s:%d: #%s without #if" % (self.name, number, keyword))
                item, around, state, ends = open_ifs[-1]
                if keyword != "endif" and item[1][-1][0] == "":
                    raise LayoutExpertError("%s:%d: #%s after #else" % (self.name, number, keyword))
                ends.append(self.state)
                if keyword == "endif":
                    open_ifs.pop()
                    self.state = next((end for end in ends if end != state), state)
                    program = around
                    self._add_if(program, item)
                else:
                    self.state = state
                    program = []
                    item[1].append([_condition(keyword[2:] if keyword != "else" else keyword, rest, number), program])
            else:
                if keyword == "line" and "__LINE__" in rest:
                    here = number + line[: line.index("__LINE__")].count(_JOINED)
                    rest = re.sub(r"\b__LINE__\b", "%s%d" % (LINES_ADDED, here), rest)
                self._add_directive(program, keyword, rest, number + line.count(_JOINED))
        self._add_text(program, text_line, text)
        if open_ifs:
            raise LayoutExpertError("%s: #if without #endif; the file may be truncated" % self.name)
        return _without_bodies(program) if self.prune else program

    def _add_if(self, program, item):
        if self.prune:
            branches = []
            for condition, body in item[1]:
                if condition[1:] in NEVER_DEFINED and condition[0] in "+-":
                    if condition[0] == "+":
                        continue
                    condition = ""
                branches.append([condition, body])
                if not condition:
                    break
            item = [IF, branches]
            if not branches:
                return
            if not branches[0][0]:
                program.extend(branches[0][1])
                return
        program.append(item)

    def _add_directive(self, program, keyword, rest, number):
        if keyword == "define":
            program.append(_definition(rest, self.define.match(rest)))
        elif keyword == "undef":
            match = _NAME.of(rest).match(rest)
            if match is None or match.group() == "defined":
                program.append([ERROR, "malformed #undef " + rest])
            else:
                program.append([UNDEF, canonical(match.group())])
        elif keyword in ("include", "include_next", "import"):
            match = _INCLUDE.match(rest)
            prefix = {"include_next": "next", "import": "import"}.get(keyword, "")
            if match is None:
                program.append([INCLUDE, "", ("#%s " % prefix if prefix else "") + rest])
            elif match.group(1) is not None:
                program.append([INCLUDE, prefix + '"', match.group(1)])
            else:
                program.append([INCLUDE, prefix + "<", unshielded(match.group(2))])
        elif keyword == "pragma":
            program.append([PRAGMA, rest])
        elif keyword == "error":
            program.append([ERROR, rest])
        elif keyword == "line" or (keyword or "").isdigit():
            program.append([LINE, "%d %s %s" % (number, keyword if keyword != "line" else "", rest)])
        elif keyword in ("ident", "sccs", "assert", "unassert"):
            program.append([OTHER, "ident" if keyword == "sccs" else keyword, rest])
        elif keyword != "warning" and (keyword or rest):
            program.append([ERROR, "%s:%d: #%s is no directive" % (self.name, number, keyword or rest)])
        # A null directive and #warning leave nothing behind.

    def _add_text(self, program, line, lines):
        """Cuts the text between two directives into pieces and appends them."""
        text = "\n".join(lines)
        if _JOINED in text:
            text = text.replace(_JOINED, "\n")
        if not text or text.isspace():
            return
        state = self.state
        brackets, outline, after = list(state.brackets), list(state.outline), state.after
        start = 0
        names = []
        depth_at_start = len(brackets)
        expecting_enumerator = bool(brackets) and brackets[-1] == "enum" and after in ("{", ",")
        pending_record = None  # names seen since the last struct, union or enum keyword, until its brace or another token
        in_parentheses = 0
        opaque = 0

        def cut(end, flags):
            nonlocal start, names, depth_at_start, line, opaque
            piece = text[start:end]
            stripped = piece.lstrip()
            line += piece.count("\n", 0, len(piece) - len(stripped))
            body = stripped.rstrip()
            if body:
                found = list(dict.fromkeys(names))
                program.append([TEXT, line, body, len(brackets) - depth_at_start, flags | opaque, found])
                line += stripped.count("\n") + stripped.count(SHIELDED_NEWLINE)
            start, names, depth_at_start, opaque = end, [], len(brackets), 0

        for match in _PIECE_TOKEN.finditer(text):
            token = match.group()
            if token in _OPEN:
                kind = token
                if token == "{":
                    if pending_record is not None and (
                        brackets or after != ")" or self._brace_kind(outline, after) in ("record", "enum")
                    ):
                        kind = "enum" if pending_record[0] == "enum" else "record"
                        tags = [each for each in pending_record[1:] if not each.startswith("__")]
                        names += ["." + each for each in tags or pending_record[1:]]
                    elif not brackets:
                        kind = self._brace_kind(outline, after)
                        if kind == "unknown":
                            opaque = OPAQUE
                        if kind == "record":
                            names += ["." + each for each in outline if is_identifier(each) and each not in C_KEYWORDS]
                    else:
                        kind = "other"
                        if brackets[-1] == "record":
                            opaque = OPAQUE  # a macro that stands for the head of a record
                    pending_record = None
                    expecting_enumerator = kind == "enum"
                elif pending_record is not None and token == "(":
                    in_parentheses += 1
                elif brackets and brackets[-1] == "enum" and not expecting_enumerator and names and after == names[-1]:
                    opaque = OPAQUE  # a macro call that stands for enumerators
                if not brackets:
                    outline.append(token)
                brackets.append(kind)
            elif token in (")", "]", "}"):
                kind = brackets.pop() if brackets else self._join_to_opener(program)
                if in_parentheses and token == ")":
                    in_parentheses -= 1
                if not brackets:
                    outline.append(token)
                    if kind == "body" and token == "}":
                        cut(match.end(), ENDS)
                        outline = []
                expecting_enumerator = False
            elif in_parentheses:
                if token == "*" and after == "(":  # enum tag (*name)(...): a declarator, and no attribute's arguments
                    in_parentheses, pending_record = 0, None
            elif token in _RECORD_KEYWORDS:
                pending_record = [token]
                if not brackets:
                    outline.append(token)
            elif token == ";":
                pending_record = None
                if not brackets:
                    if "typedef" in outline:
                        names += _typedef_names(outline)
                    cut(match.end(), ENDS)
                    outline = []
            else:
                identifier = match.lastindex is not None
                if pending_record is not None:
                    if identifier and token not in C_KEYWORDS:
                        pending_record.append(token)
                    elif not identifier and brackets[-1:] != ["["]:  # struct [[gnu::packed]] tag
                        pending_record = None
                if not brackets:
                    outline.append(token)
                elif brackets[-1] == "enum":
                    if identifier and expecting_enumerator:
                        names.append(token)
                    expecting_enumerator = token == ","
                elif identifier and outline[:1] == ["typedef"] and len(brackets) <= 2 and "{" not in outline[-1:]:
                    # typedef int (*name)(...): the declarator stands in the first group of parentheses
                    if brackets[0] == "(" and after in ("*", "("):
                        names.append(token)
            after = token
        self.state = _State(tuple(brackets), tuple(outline), after)
        cut(len(text), ENDS if not brackets and after in (";", "}") and not outline else 0)

    @staticmethod
    def _join_to_opener(program):
        """Makes one opaque declaration of the pieces since the macro call that opened what an unmatched bracket ends."""
        for position in range(len(program) - 1, -1, -1):
            if program[position][0] != TEXT:
                return
            if _CALL.match(program[position][2]):
                program[position][4] |= OPAQUE
                for item in program[position:]:
                    item[4] &= ~ENDS
                return

    @staticmethod
    def _brace_kind(outline, after):
        """What a brace outside all brackets opens."""
        if "=" in outline:
            return "other"
        if after == '"C"':
            return "other"
        keywords = [position for position, token in enumerate(outline) if token in _RECORD_KEYWORDS]
        if keywords and not _FUNCTION_KEYWORDS.intersection(outline):
            tail = outline[keywords[-1] + 1 :]
            called = [before for before, token in zip(tail, tail[1:]) if token == "("]
            if "*" not in tail and all(name.startswith("__") for name in called):
                return "enum" if outline[keywords[-1]] == "enum" else "record"
        return "body" if _FUNCTION_KEYWORDS.intersection(outline) else "unknown"


def _definition(text, match):
    """The item of a #define, for what _DEFINE matched.  A malformed one is an error only where it is reached."""
    if not match or match.group(1) == "defined" or match.group(2) is None and text[match.end(1) :][:1] == "(":
        return [ERROR, "malformed #define " + text]
    name, has_parameters, parameters, body = match.groups()
    if "\\" in name:
        name = canonical(name)
    if has_parameters is None:
        return [DEFINE, name, None, body]
    listed = []
    pattern = _PARAMETER.of(parameters)
    for parameter in parameters.split(",") if parameters.strip() else ():
        match = pattern.fullmatch(parameter.strip())
        if not match or not match.group() or listed and listed[-1].endswith("..."):
            return [ERROR, "malformed parameters in #define " + text]
        listed.append((match.group(1) or "") + (match.group(2) or ""))
    if len({parameter.rstrip(".") for parameter in listed}) < len(listed):
        return [ERROR, "a parameter is named twice in #define " + text]
    return [DEFINE, name, listed if "\\" not in parameters else [canonical(each) for each in listed], body]


def _condition(keyword, rest, number):
    if keyword == "else":
        return ""
    if keyword in ("ifdef", "def", "ifndef", "ndef"):
        match = _NAME.of(rest).match(rest)
        if not match:
            return "?"
        name = match.group()
        return ("-" if "n" in keyword[:3] else "+") + (name if "\\" not in name else canonical(name))
    match = re.match(r"(!?)\s*defined\s*(?:\(\s*([^\W\d]\w*)\s*\)|([^\W\d]\w*))\Z", rest)
    if match:
        return ("-" if match.group(1) else "+") + (match.group(2) or match.group(3))
    if "__LINE__" in rest:
        rest = re.sub(r"\b__LINE__\b", "(%d%s)" % (number, LINES_ADDED), rest)
    return "?" + rest


def _typedef_names(outline):
    """The identifiers a typedef may declare: those of its outline that are no keywords."""
    names = []
    for position, token in enumerate(outline):
        if is_identifier(token) and token not in C_KEYWORDS:
            following = outline[position + 1] if position + 1 < len(outline) else ";"
            if following in (";", ",", "[", ")", "(") or is_identifier(following):
                names.append(token)
    return names


def _without_bodies(program):
    """The program without the text of function bodies; directives inside them stay, for macros outlive the body."""
    result = []
    position = 0
    while position < len(program):
        item = program[position]
        if item[0] == IF:
            result.append([IF, [[condition, _without_bodies(body)] for condition, body in item[1]]])
        elif item[0] == TEXT and _opens_body(item):
            end = _body_end(program, position)
            if end is None:
                result.append(item)
            else:
                head = item[2][: item[2].index("{")].rstrip()
                result.append([TEXT, item[1], head + ";", 0, ENDS, []])
                for inner in program[position + 1 : end + 1]:
                    result += _directives(inner)
                position = end
        else:
            result.append(item)
        position += 1
    return result


_FUNCTION_HEAD = re.compile(r"[^{};=]*\b(?:static|inline|__inline|__inline__|__always_inline)\b[^{};=]*\)[^{};=()]*\{", re.S)


def _opens_body(item):
    return "{" in item[2] and not item[5] and _FUNCTION_HEAD.match(item[2]) is not None


def _body_end(program, position):
    """The position of the sibling item that closes the function body opened at `position`, or None."""
    depth = 0
    for end in range(position, len(program)):
        item = program[end]
        if item[0] == TEXT:
            depth += item[3]
            if depth == 0 and item[4] & ENDS:
                return end if end > position or item[2].endswith("}") else None
            if depth <= 0 and not item[4] & ENDS:
                return None
        elif item[0] == INCLUDE:
            return None
        elif item[0] == IF and any(_depth(body) for _, body in item[1]) and not _balanced(item):
            return None
    return None


def _depth(program):
    total = 0
    for item in program:
        if item[0] == TEXT:
            total += item[3]
        elif item[0] == IF:
            total += _depth(item[1][0][1])
    return total


def _balanced(item):
    return all(not _depth(body) for _, body in item[1])


def _directives(item):
    """What is left of an item inside a dropped function body."""
    if item[0] in (DEFINE, UNDEF, PRAGMA):
        return [item]
    if item[0] == IF:
        branches = [[condition, [kept for inner in body for kept in _directives(inner)]] for condition, body in item[1]]
        if any(body for _, body in branches):
            return [[IF, branches]]
    return []
