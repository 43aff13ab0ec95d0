"""Profiles one layout_tool command with cProfile: which functions take its time.

    python -m benchmarks.hot_functions ARGUMENT ...

Prints JSON, [[function, calls, share of the time that it spends itself], ...], the hottest first. cProfile makes calls of
Python's functions dearer than they are: it shows where to look, not how much there is to win.
"""
import cProfile
import gc
import json
import pstats
import sys
from pathlib import Path

from rekall_layout_expert.command_line import main

SHOWN = 16


def hottest(profile):
    """The rows for the SHOWN hottest functions of a finished cProfile.Profile."""
    stats = pstats.Stats(profile).stats
    total = sum(own for _, _, own, _, _ in stats.values())
    rows = sorted(stats.items(), key=lambda each: -each[1][2])[:SHOWN]
    return [[_name(*function), calls, own / total] for function, (_, calls, own, _, _) in rows]


def _name(path, line, function):
    if path == "~":
        return function.strip("<>")     # a built-in one, which says what it is
    parts = Path(path).parts
    package = [index for index, part in enumerate(parts) if part == "rekall_layout_expert"]
    return "%s: %s" % ("/".join(parts[package[-1] + 1:] if package else parts[-2:]), function)


if __name__ == "__main__":
    gc.disable()    # as layout_tool's own start has it
    main(sys.argv[1:])      # once before: imports are made, and not of interest
    profile = cProfile.Profile()
    profile.enable()
    main(sys.argv[1:])
    profile.disable()
    json.dump(hottest(profile), sys.stdout)
