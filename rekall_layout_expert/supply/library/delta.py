"""What one text adds to another, in lines: where to copy from, and what to put in.

    =SKIP COUNT   copies COUNT lines of the base, SKIP lines behind those copied last (or before, if negative)
    +LINE         puts in a line

It is text itself, for the compressor that follows. The text of a delta is made by a greedy match: of the
places where a line stands in the base, the one behind the last copy, or that from which most lines agree.
"""
from __future__ import annotations

import re
from typing import Dict, List, Sequence

from rekall_layout_expert.errors import LayoutExpertError

_MOST_PLACES = 16  # of a line in the base that are tried
# Fifteen times what the Pre-AST of full source has.
_MOST_LINES = 1000000
_COPY = re.compile(r"=(-?\d{1,8}) (\d{1,8})\Z", re.ASCII)


def delta(base: Sequence[str], lines: Sequence[str]) -> List[str]:
    """The delta that makes `lines` of `base`. No line may hold a line break."""
    places: Dict[str, List[int]] = {}
    for place, line in enumerate(base):
        known = places.setdefault(line, [])
        if len(known) < _MOST_PLACES:
            known.append(place)
    steps: List[str] = []
    position = behind = 0
    while position < len(lines):
        candidates = places.get(lines[position], ())
        if behind < len(base) and base[behind] == lines[position]:
            candidates = (behind,)
        if not candidates:
            steps.append("+" + lines[position])
            position += 1
            continue
        count, place = max((_agreeing(base, place, lines, position), -place) for place in candidates)
        place = -place
        steps.append(f"={place - behind} {count}")
        behind = place + count
        position += count
    return steps


def _agreeing(base: Sequence[str], place: int, lines: Sequence[str], position: int) -> int:
    """How many lines agree from there on."""
    most = min(len(base) - place, len(lines) - position)
    count = 0
    while count < most and base[place + count] == lines[position + count]:
        count += 1
    return count


def applied(base: Sequence[str], steps: Sequence[str], limit: int) -> List[str]:
    """The lines that a delta makes of `base`.

    limit: the most characters that they may have together. A LayoutExpertError tells of more, or of a
    delta that leads out of the base; the delta may be anything.
    """
    if len(steps) > _MOST_LINES:
        raise LayoutExpertError(f"a delta has more than {_MOST_LINES} steps")
    lines: List[str] = []
    behind = size = 0
    for step in steps:
        if step[:1] == "+":
            lines.append(step[1:])
            size += len(step)
        else:
            copy = _COPY.match(step)
            if not copy:
                raise LayoutExpertError("a delta is malformed")
            place = behind + int(copy.group(1))
            behind = place + int(copy.group(2))
            if place < 0 or behind > len(base):
                raise LayoutExpertError("a delta leads out of what it is made against")
            if len(lines) + behind - place > _MOST_LINES:
                raise LayoutExpertError(f"a delta makes more than {_MOST_LINES} lines")
            copied = base[place:behind]
            lines += copied
            size += sum(map(len, copied)) + len(copied)
        if size > limit:
            raise LayoutExpertError(f"a delta makes more than {limit} bytes")
    return lines
