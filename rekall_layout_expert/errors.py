"""The one error that users see.

Its text is a single line with the three things a responder needs: what is wrong, every place that
was looked at, and what to do next. Everything else that is raised is a defect of this program.
"""
from __future__ import annotations

from typing import Iterable, List, Optional


class LayoutExpertError(Exception):
    """Something outside this program is missing, damaged or does not fit.

    what: the thing and what is wrong with it. looked_at: the places that were tried, in order.
    next_step: what the user can do about it. str() joins them into one line.
    """

    def __init__(self, what: str, looked_at: Iterable[object] = (), next_step: Optional[str] = None):
        self.what = what
        self.looked_at = tuple(str(place) for place in looked_at)
        self.next_step = next_step
        super().__init__(what, self.looked_at, next_step)

    def __str__(self) -> str:
        parts = [self.what]
        if self.looked_at:
            parts.append("looked at: " + ", ".join(self.looked_at))
        if self.next_step:
            parts.append(self.next_step)
        return printable("; ".join(parts))


def printable(text: str) -> str:
    """`text` on one line, fit for a terminal.

    File names and excerpts come from evidence: no line break or control character of theirs may reach the terminal.
    """
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def printable_lines(lines: Iterable[str]) -> List[str]:
    """Lines as they are, tabs and all, fit for a terminal."""
    return ["".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)
            for line in lines]
