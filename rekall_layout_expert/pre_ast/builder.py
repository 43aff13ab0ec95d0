r"""Building a Pre-AST: from a root, every header that any configuration could reach.

All branches of all conditionals are followed, so that one Pre-AST serves every configuration of its tree.  At the end
the pieces that call a macro which makes declarations are marked as opaque (see `pre_ast.program`), and declarations of
functions and variables are dropped: no type depends on them, but through typeof and sizeof, so those stay whose names
occur where types are declared.  With them go the macros, three of four, that nothing else can come to call.
"""

import os
import re

from rekall_layout_expert.c_tokens import is_pasted
from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import read_bounded
from rekall_layout_expert.pre_ast.bounds import bounds_source
from rekall_layout_expert.pre_ast.compilation import C_KEYWORDS, compile_program
from rekall_layout_expert.pre_ast.model import BOUNDS, FORMAT, ROOT, PreAst
from rekall_layout_expert.pre_ast.private_types import PRIVATE_FILES
from rekall_layout_expert.pre_ast.program import (
    DEFINE,
    EAGER,
    ENDS,
    IF,
    INCLUDE,
    LINE,
    OPAQUE,
    OTHER,
    PRAGMA,
    TEXT,
    UNDEF,
)
from rekall_layout_expert.pre_ast.randstruct import randstruct_of
from rekall_layout_expert.pre_ast.storage import digest_of
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.preprocessor.generated import CALLED, CPU_FEATURES
from rekall_layout_expert.preprocessor.headers import missing

_BUILT_IN_ROOT = os.path.join(os.path.dirname(__file__), "root.c")
_ROOT_LIMIT = 16 << 20
_HAS_INCLUDE = re.compile(r'__has_include(?:_next)?\s*\(\s*(?:<([^>]*)>|"([^"]*)")')
# A brace behind an unclosed parenthesis is a function's: struct page *page) {
_MAKES_DECLARATIONS = re.compile(r"\b(?:struct|union|enum)\b[^;{}()]*(?:\([^()]*\)[^;{}()]*)*\{|\btypedef\b")
_ASKS_FOR_TYPES = re.compile(r"typeof|sizeof|alignof|__builtin_choose_expr|__same_type|_Generic")
# A declarator's name stands before a bracket, a comma or the end; a tag stands behind its keyword.
_NAME_OF_AN_OBJECT = re.compile(r"(?<!struct )(?<!union )(?<!enum )\b([^\W\d]\w*)\s*(?=[(\[,;)=]|\Z)")
# A tag's definition, or a variable of a record that is defined with it.
_DECLARED = r"\b(?:struct|union)\s+%s\b[^;{}()]*\{|\}[^;{}=()]*(?<!struct )\b%s\b"
_HEAD = re.compile(r"\b(?:struct|union|enum)\b[^{};*]*\Z")  # a record's head, whose braces follow the macro call
_BRACED_BY_MACRO = re.compile(r"\b(?:struct|union|enum)\s+(\w+)\s+(\w+)")
_INVOKED = re.compile(r"\b([^\W\d]\w*)\s*(?:\(|\Z)")  # its arguments may follow in the next piece
_STATEMENTS = re.compile(r"\(\s*\{|\bdo\b|\bfor\b|\bif\b")
_BRACE = re.compile(r"[{}]")
# What a prototype declares stands before its parameters; attributes may stand before it.
_CALLED = re.compile(r"\b(?!__)([^\W\d]\w*)\s*\(")
_WORD = re.compile(r"[^\W\d]\w*")
_WORD_OR_NUMBER = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")
_PATH_OF_MEMBERS = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_PASSED = re.compile(r"(?<![\w-])-D([^\W\d]\w*)")


def build_pre_ast(tree, arch="x86_64", root=None, progress=None):
    """Builds the Pre-AST of a kernel's header tree.

    tree: path of an unpacked or installed headers package, or of full kernel source; arch: as the kernel names it;
    root: path of a C file whose includes say what is wanted, default the built-in root; progress: called with a line
    of text for each step.
    Raises LayoutExpertError for a folder that is no header tree and for damaged headers.
    """
    with held_off():
        return _build(tree, arch, root, progress or (lambda text: None))


def _build(tree, arch, root, progress):
    headers = KernelTree(tree, arch)
    progress("LOADING %s: kernel %s, %s" % (headers.roots[-1], headers.version, headers.kind))
    root_text = read_bounded(root or _BUILT_IN_ROOT, _ROOT_LIMIT).decode("utf-8", "replace")
    files = {
        ROOT: _root_program(root_text, headers, is_built_in=root is None),
        BOUNDS: _existing_includes(compile_program(bounds_source(headers), BOUNDS), headers),
    }
    if not any(item[0] in (INCLUDE, TEXT) for item in _items(files[ROOT])):
        raise LayoutExpertError(
            "%s includes nothing that the header tree has" % (root or "the built-in root"), looked_at=headers.roots
        )
    # Old kernels choose the compiler's header by a computed #include.
    units = [file for file in PRIVATE_FILES if file.path.endswith(".c") and headers.has(file.path)] if root is None else []
    pending = [ROOT, BOUNDS] + [file.path for file in units] + headers.forced() + headers.list("include/linux", "-gcc.h")
    pending += [path for digit in "345" for path in headers.list("include/linux", "-gcc%s.h" % digit)]
    while pending:
        path = pending.pop()
        if path not in files:
            if path in headers.generated:
                continue
            files[path] = headers.program(path)
        for kind, spelled in _includes(files[path]):
            pending += [found for found in headers.candidates(kind, spelled, path) if found not in files]
    _mark_callers(files)
    private = _private_types(units, files, headers)
    _drop_objects(files, headers, {name for _, _, names in private for name in names})
    _drop_macros(files)
    header = {
        "format": FORMAT,
        "version": headers.version,
        "release": headers.release,
        "arch": arch,
        "source": headers.kind,
        "common": headers.common,
        "search_path": list(headers.search_path[: len(headers.search_path) - len(headers.platforms)]),
        "platforms": headers.platforms,
        "forced": headers.forced(),
        "options": _compiler_options(headers),
        "generated": sorted(headers.generated),
        "unknown": headers.unknown_macros(),
        "private": private,
    }
    if headers.package_version:
        header["package_version"] = headers.package_version
    told = randstruct_of(headers)
    if told:
        header["randstruct"] = told
    if "seed" in told:
        progress("KEPT the seed of CONFIG_RANDSTRUCT: whoever has this Pre-AST knows this kernel's layout")
    pre_ast = PreAst(header, files)
    pre_ast.digest = digest_of(pre_ast)
    progress("BUILT %d files" % len(files))
    return pre_ast


def _compiler_options(headers):
    """What the kernel's Makefile says to the compiler, as far as headers and layouts can tell."""
    makefile = headers.makefile
    standard = re.search(r"-std=(gnu\d\d)", makefile)
    return {
        "standard": standard.group(1) if standard else "gnu89",
        "char_unsigned": "-funsigned-char" in makefile,
        "ms_extensions": bool(re.search(r"^\s*KBUILD_CFLAGS.*-fms-extensions", makefile, re.M)),
        "passed": sorted(set(_PASSED.findall(makefile + headers.architecture_makefile()))),
    }


def _root_program(text, headers, is_built_in):
    """The root's program.  The built-in root serves all kernels, so it may include what this one has not got."""
    program = compile_program(text, ROOT, prune=True)
    if is_built_in:
        return _existing_includes(program, headers)
    for item in program:
        if item[0] == INCLUDE and item[1] and headers.find(item[1], item[2], ROOT) is None:
            raise missing(item[2], "the root", headers.search_path)
    return program


def _existing_includes(program, headers):
    """A root's program without the includes that this kernel has not got (one root serves all versions)."""
    kept = []
    for item in program:
        if item[0] == INCLUDE and item[1] and headers.find(item[1], item[2], ROOT) is None:
            continue
        if item[0] == IF:
            item = [IF, [[condition, _existing_includes(body, headers)] for condition, body in item[1]]]
        kept.append(item)
    return kept


def _includes(program):
    """(kind, spelled) of every #include and __has_include in a program."""
    for item in program:
        if item[0] == INCLUDE:
            if item[1]:
                yield item[1], item[2]
        elif item[0] == IF:
            for condition, body in item[1]:
                for match in _HAS_INCLUDE.finditer(condition):
                    yield ("<", match.group(1)) if match.group(1) is not None else ('"', match.group(2))
                yield from _includes(body)


def _items(program):
    for item in program:
        yield item
        if item[0] == IF:
            for _, body in item[1]:
                yield from _items(body)


def _mark_callers(files):
    """Marks the pieces that call, however indirectly, a macro that makes declarations, or one that holds _Pragma."""
    callers = {}
    makers = set()
    pragmas = {"_Pragma"}
    without_parameters = set()
    bodies = set()  # macros that are the whole braces of a record
    heads = {
        item[1] for program in files.values() for item in _items(program) if item[0] == DEFINE and _HEAD.search(item[3])
    }
    for program in files.values():
        for item in _items(program):
            if item[0] == DEFINE:
                if item[2] is None:
                    without_parameters.add(item[1])
                    if item[3].startswith("{"):
                        bodies.add(item[1])
                body = _at_file_scope(item[3])
                if _MAKES_DECLARATIONS.search(body) or "{" in body and not heads.isdisjoint(_WORD.findall(body)):
                    makers.add(item[1])
                for word in _WORD.findall(body):
                    callers.setdefault(word, set()).add(item[1])
    makers = _with_callers(makers, callers)
    pragmas = _with_callers(pragmas, callers)
    relevant = bodies | makers | pragmas
    for program in files.values():
        for item in _items(program):
            if item[0] != TEXT:
                continue
            words = set(_WORD.findall(item[2]))
            if relevant.isdisjoint(words):
                continue
            if not bodies.isdisjoint(words):
                item[5] += ["." + tag for tag, word in _BRACED_BY_MACRO.findall(item[2]) if word in bodies]
            called = set(_INVOKED.findall(item[2])) | without_parameters & words
            if not makers.isdisjoint(called):
                item[4] |= OPAQUE
            if not pragmas.isdisjoint(called):
                item[4] |= EAGER


def _at_file_scope(body):
    """What of a macro's body may stand at file scope: functions' bodies, and what begins with a statement, do not."""
    kept, depth, start = [], 0, 0
    for match in _BRACE.finditer(body):
        if match.group() == "{":
            if depth == 0:
                head = body[start : match.start()]
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                is_function = head.rstrip().endswith(")") and not _MAKES_DECLARATIONS.search(head + "{")
                kept.append(head + ";" if is_function else body[start : match.end()])
                start = match.end()
    return _STATEMENTS.split("".join(kept) + body[start:], 1)[0]


def _with_callers(names, callers):
    """`names` and all macros that lead to them."""
    pending = list(names)
    while pending:
        for caller in callers.get(pending.pop(), ()):
            if caller not in names:
                names.add(caller)
                pending.append(caller)
    return names


def _private_types(units, files, headers):
    """[[path, symbols, names]] of the source files that declare types which the root does not reach, see `PreAst`."""
    private, found = [], set()
    common = _reached([ROOT, *headers.forced()], files, headers)
    for unit in units:
        own = _reached([unit.path], files, headers) - common
        texts = [item[2] for path in own for item in _items(files[path]) if item[0] == TEXT]
        names = [name for name in unit.names + unit.public if name not in found and _is_declared(name, texts)]
        found.update(names)
        if names:
            private.append([unit.path, list(unit.symbols), names])
    return private


def _reached(pending, files, headers):
    """The paths of files and of all that they may include."""
    seen = set()
    while pending:
        path = pending.pop()
        if path in files and path not in seen:
            seen.add(path)
            for kind, spelled in _includes(files[path]):
                pending += _targets((INCLUDE, kind, spelled), path, headers)
    return seen


def _is_declared(name, texts):
    pattern = re.compile(_DECLARED % (name, name))
    return any(name in text and pattern.search(text) for text in texts)


def _drop_objects(files, headers, asked):
    """Drops the pieces that only declare functions and variables of which no type can be asked, nor is by `asked`."""
    types = set(C_KEYWORDS)
    kept_whole = _included_inside(files, headers)
    for program in files.values():
        for item in _items(program):
            if item[0] == TEXT and not _only_declares_objects(item):
                asked.update(_WORD.findall(item[2]))
                types.update(item[5])
            elif item[0] == DEFINE and _ASKS_FOR_TYPES.search(item[3]):
                asked.update(_WORD.findall(item[3]))
    asked -= types
    loose = _loose_files(files, headers)
    for path, program in files.items():
        if path not in kept_whole:

            def is_loose(item, path=path):
                return any(target in loose for target in _targets(item, path, headers))

            files[path] = _without_objects(program, asked, is_loose, 0, False)[0]


def _targets(item, path, headers):
    """The paths that an INCLUDE item may mean; None for a computed one."""
    return headers.candidates(item[1], item[2], path) if item[1] else [None]


def _loose_files(files, headers):
    """The files that may end inside a declaration, and those that include them; None stands for any file."""
    loose = {None}
    includers = {}
    for path, program in files.items():
        if _without_objects(program, frozenset(), lambda item: False, 0, False)[1:] != (0, False):
            loose.add(path)
        for item in _items(program):
            if item[0] == INCLUDE:
                for target in _targets(item, path, headers):
                    includers.setdefault(target, set()).add(path)
    return _with_callers(loose, includers)


def _only_declares_objects(item):
    """Whether a piece is a whole declaration (ENDS, brackets balanced) that neither names a type nor is opaque."""
    return item[4] == ENDS and item[3] == 0 and not item[5]


def _object_names(text):
    """The words in a declaration's text that may be the names of what it declares."""
    head = text.partition("=")[0]
    for match in _CALLED.finditer(head):
        if match.group(1) not in C_KEYWORDS:
            return [match.group(1)]
    return [word for word in _NAME_OF_AN_OBJECT.findall(head) if not word.startswith("__")]


def _without_objects(program, asked, is_loose, depth, is_open):
    """(program without the objects that nobody asks for, depth of brackets behind it, is a declaration open there?).

    Only a whole declaration that stands where none is open can be dropped; is_loose(INCLUDE item): whether the file may
    end inside a declaration.
    """
    kept = []
    for item in program:
        if item[0] == TEXT:
            droppable = not is_open and not depth and _only_declares_objects(item)
            depth = max(depth + item[3], 0)
            is_open = depth > 0 or not item[4] & ENDS
            if droppable and asked.isdisjoint(_object_names(item[2])):
                continue
        elif item[0] == INCLUDE:
            is_open = is_open or is_loose(item)
        elif item[0] == IF:
            branches = [_without_objects(body, asked, is_loose, depth, is_open) for _, body in item[1]]
            item = [IF, [[condition, branch[0]] for (condition, _), branch in zip(item[1], branches)]]
            ends = [branch[1:] for branch in branches]
            if item[1][-1][0]:  # there is no #else: perhaps none of the branches is taken
                ends.append((depth, is_open))
            depth = max(end[0] for end in ends)
            is_open = any(end[1] for end in ends) or depth > 0
        kept.append(item)
    return kept, depth, is_open


def _included_inside(files, headers):
    """The files that are included in the middle of a declaration, and all that they include.

    If a computed #include stands there, that may be any file.
    """
    if any(not kind for program in files.values() for kind, _ in _inner_includes(program, 0)[0]):
        return set(files)
    found = set()
    pending = [
        (kind, spelled, path) for path, program in files.items() for kind, spelled in _inner_includes(program, 0)[0]
    ]
    while pending:
        kind, spelled, path = pending.pop()
        for target in _targets((INCLUDE, kind, spelled), path, headers):
            if target in files and target not in found:
                found.add(target)
                pending += [(kind, spelled, target) for kind, spelled in _includes(files[target])]
    return found


def _inner_includes(program, depth):
    """([(kind, spelled)] of the includes between brackets, depth of brackets behind the program)."""
    found = []
    for item in program:
        if item[0] == TEXT:
            depth = max(depth + item[3], 0)
        elif item[0] == INCLUDE and depth:
            found.append((item[1], item[2]))
        elif item[0] == IF:
            inner = [_inner_includes(body, depth) for _, body in item[1]]
            found += [each for includes, _ in inner for each in includes]
            depth = inner[0][1]
    return found, depth


def _drop_macros(files):
    """Drops the macros that nothing can come to call, whatever the config: no text that is left, no directive, no macro that
    one of them calls, and none of their words pasted together.  What only a dropped macro stood for goes with it.
    """
    bodies, other_names, pending = {}, {}, set(CALLED)
    for path, program in files.items():
        for item in _items(program):
            if item[0] == DEFINE:
                found = set(_WORD_OR_NUMBER.findall(item[3]))
                found.difference_update(each.rstrip(".") for each in item[2] or ())
                bodies.setdefault(item[1], set()).update(found)
                if item[2] is None and item[1] != item[3] and _PATH_OF_MEMBERS.match(item[3]):
                    other_names[item[1]] = item[3].partition(".")[0]
                if path == CPU_FEATURES or not item[1].isascii() or "$" in item[1]:
                    pending.add(item[1])
            else:
                for text in _texts(item):
                    pending.update(_WORD_OR_NUMBER.findall(text))
    # Whoever asks for one of those is told what it stands for (see `explain`).
    pending.update([name for name, meant in other_names.items() if meant in pending and meant not in bodies])
    # A config's numbers may be pasted, too: any part of what is one in a name.
    numbers = {number for name in bodies for number in _NUMBER.findall(name)}
    words = {number[start:end] for number in numbers for end in range(len(number) + 1) for start in range(end)}
    # At most these: tried once with every word that there is, and not each time again.
    all_words = words.union(pending, bodies, *bodies.values())
    pasted = [name for name in bodies if is_pasted(name, all_words, least=2)]
    called = set()
    while pending:
        called |= pending
        words |= pending
        pending = set().union(*(bodies[name] for name in pending if name in bodies)) - called
        if not pending:
            pending = {name for name in pasted if name not in called and is_pasted(name, words)}
    for path, program in files.items():
        files[path] = _without_macros(program, called)


def _texts(item):
    """The C text in an item that defines nothing."""
    if item[0] == IF:
        return [condition for condition, _ in item[1]]
    if item[0] == TEXT or item[0] == INCLUDE and not item[1] or item[0] == OTHER:
        return [item[2]]
    return [item[1]] if item[0] in (PRAGMA, LINE) else []


def _without_macros(program, called):
    kept = []
    for item in program:
        if item[0] in (DEFINE, UNDEF) and item[1] not in called:
            continue
        if item[0] == IF:
            branches = [[condition, _without_macros(body, called)] for condition, body in item[1]]
            while branches and not branches[-1][1]:
                branches.pop()
            if not branches:
                continue
            item = [IF, branches]
        kept.append(item)
    return kept
