"""Measuring commands beside each other.

What runs on a machine at the same time disturbs all commands alike if they take turns: so each round runs every command
once, and what counts are medians over the rounds and their ratios. CPU time is what a command itself used; wall time
also has what it waited for others.
"""
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

LAUNCH = Path(__file__).with_name("launch.py")


class Cost(NamedTuple):
    """Medians: seconds, seconds, bytes; the log's stages in seconds, {name: median}."""

    wall: float
    cpu: float
    memory: float
    stages: dict


class Failed(Exception):
    """A command that is to be measured does not work: the message says how."""


def in_turn(commands, rounds, progress):
    """{name: Cost} of {name: argument list}; each command runs once a round, after one round that does not count."""
    samples = {name: [] for name in commands}
    for number in range(rounds + 1):
        progress("round %d of %d: %d commands" % (number, rounds, len(commands)))
        for name, command in commands.items():
            sample = run(command)
            if number:      # the round before the first fills the caches
                samples[name].append(sample)
    return {name: _medians(each) for name, each in samples.items()}


def run(command):
    """The Cost of one run. Raises Failed."""
    with tempfile.NamedTemporaryFile() as log:
        arguments = [sys.executable, "-I", "-S", str(LAUNCH), log.name] + [str(each) for each in command]
        printed = subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout
        text = Path(log.name).read_text(errors="replace")
    wall, cpu, memory, code = json.loads(printed)
    if code:
        raise Failed("%s: exit code %d: %s" % (Path(command[0]).name, code, (text.strip() or "no message").splitlines()[-1]))
    return Cost(wall, cpu, memory, _stages(text))


def _stages(log):
    """{name: seconds} of the lines `TIME NAME ... in SECONDS s`."""
    stages = {}
    for name, seconds in re.findall(r"^[\d:]+ (\w+)\b.* in (\d+\.\d+) s$", log, re.M):
        stages[name] = stages.get(name, 0) + float(seconds)
    return stages


def _medians(samples):
    wall, cpu, memory, stages = zip(*samples)
    return Cost(statistics.median(wall), statistics.median(cpu), statistics.median(memory),
                {name: statistics.median(each.get(name, 0) for each in stages) for name in stages[0]})
