"""A Pre-AST as lines of text, such that neighbouring versions of a kernel differ in few of them.

Every item of every program is a line of JSON. Conditionals are laid flat, for one that spans a whole
header would be a line as long as the header; and the numbers of lines are differences to the item
before, for a line put in at the top of a header would change all that follow. With that, forty-four
point releases of 5.10 differ in 6 % of what they differ in otherwise.

    {header}                                the Pre-AST's header
    "include/linux/sched.h"                 a file begins
    [3, condition] … [20, condition] … [21] the branches of a conditional
    [0, lines since the item before, …]     a declaration
    everything else                         as `pre_ast.program` has it
"""
from __future__ import annotations

import json
from typing import Iterable, List, Tuple

from rekall_layout_expert.pre_ast.program import IF, TEXT
from rekall_layout_expert.pre_ast.storage import parsed

# Beside the kinds of `pre_ast.program`.
_BRANCH, _END = 20, 21

_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def lines_of(header: dict, files: dict) -> List[str]:
    """The lines of a Pre-AST; the same content gives the same lines."""
    lines = [_encode(header)]
    for path in sorted(files):
        lines.append(_encode(path))
        _flatten(files[path], lines, 0)
    return lines


def _flatten(program: Iterable[list], lines: List[str], number: int) -> int:
    for item in program:
        if item[0] == TEXT:
            lines.append(_encode([TEXT, item[1] - number] + item[2:]))
            number = item[1]
        elif item[0] == IF:
            kind = IF
            for condition, body in item[1]:
                lines.append(_encode([kind, condition]))
                number = _flatten(body, lines, number)
                kind = _BRANCH
            lines.append(_encode([_END]))
        else:
            lines.append(_encode(item))
    return number


def content_of(lines: Iterable[str], source: str) -> Tuple[dict, dict]:
    """(header, files) that lines stand for; what is in them is for `pre_ast.storage.checked` to judge.

    source: what messages call them. ValueError, TypeError, IndexError and RecursionError tell that they
    are none.
    """
    parts = parsed(("[" + ",".join(lines) + "]").encode("utf-8"), source)
    header, files = parts[0], {}
    program: list = []
    open_programs: List[list] = []
    number = 0
    for part in parts[1:]:
        if part.__class__ is str:
            if open_programs:
                raise ValueError("a file ends inside a conditional")
            program, number = files.setdefault(part, []), 0
            continue
        kind = part[0]
        if kind == TEXT:
            number += part[1]
            part[1] = number
            program.append(part)
        elif kind == IF:
            _, condition = part
            open_programs.append(program)
            body: list = []
            program.append([IF, [[condition, body]]])
            program = body
        elif kind == _BRANCH:
            _, condition = part
            body = []
            open_programs[-1][-1][1].append([condition, body])
            program = body
        elif kind == _END:
            program = open_programs.pop()
        else:
            program.append(part)
    if open_programs:
        raise ValueError("it ends inside a conditional")
    return header, files
