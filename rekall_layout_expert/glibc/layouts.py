"""The structs of glibc's malloc, laid out by this project's own engine from the declarations in malloc.h."""
from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Dict, Tuple

OLDEST, NEWEST = (2, 17), (2, 43)


class Layouts:
    """The structs of one version of glibc on x86_64."""

    def __init__(self, version: Tuple[int, int], vtypes: Dict[str, Any]):
        self.version = version
        #: {struct: [size, {member: [offset, [type, args]]}]}, in bytes
        self.vtypes = vtypes

    def __contains__(self, struct: str) -> bool:
        return struct in self.vtypes

    def size(self, struct: str) -> int:
        """In bytes."""
        return self.vtypes[struct][0]

    def at(self, struct: str, member: str) -> int:
        """A member's offset in bytes."""
        return self.vtypes[struct][1][member][0]

    def has(self, struct: str, member: str) -> bool:
        return member in self.vtypes[struct][1]

    def count(self, struct: str, member: str) -> int:
        """The number of elements of a member that is an array."""
        return self.vtypes[struct][1][member][1][1]["count"]


@functools.lru_cache(maxsize=None)
def layouts_of(version: Tuple[int, int]) -> Layouts:
    """The structs of a version between OLDEST and NEWEST; what is newer is laid out as NEWEST."""
    from rekall_layout_expert import layout

    text = Path(__file__).with_name("malloc.h").read_text(encoding="ascii")
    major, minor = min(version, NEWEST)
    return Layouts(version, layout(text, defines={"GLIBC": str(100 * major + minor)}, target="x86_64"))
