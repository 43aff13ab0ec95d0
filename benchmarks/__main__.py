"""Measures what the Layout Expert costs beside gcc on Debian's kernels, prints a table and writes docs/performance.md.

    python -m benchmarks            all kernels, some minutes
    python -m benchmarks --quick    Linux 6.1 only, three rounds; prints, writes nothing
"""
import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Failed, in_turn, run
from benchmarks.subject import Subject, Unavailable
from rekall_layout_expert import make_profile, read_pre_ast

REFERENCE = "6.1"
SERIES = ("5.10", REFERENCE, "6.12", "7.2")
COUNTS = (1, 10, 100, 1000)
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="Linux %s only, three rounds, no report" % REFERENCE)
    parser.add_argument("--rounds", type=int, default=7, help="how often each command runs (default: %(default)s)")
    options = parser.parse_args()
    series, rounds = ((REFERENCE,), 3) if options.quick else (SERIES, options.rounds)
    results = report.Results(rounds)
    with tempfile.TemporaryDirectory(prefix="layout-expert-bench-") as directory:
        for each in series:
            say("Linux %s" % each)
            try:
                subject = Subject(each, directory)
                run(subject.build())
            except (Unavailable, Failed) as reason:
                results.skip("Linux %s" % each, reason)
                continue
            results.kernels[each] = kernel_rows(subject, rounds, results)
            if each == REFERENCE:
                results.hot = hot_functions(subject)
                results.types = cost_of_types(subject, rounds)
                results.trees = cost_of_trees(subject, rounds, results)
    results.rekall_help = cost_of_plugin(rounds, results)
    print(results.text())
    if not options.quick:
        results.write(Path(__file__).parent.parent / "docs")
    return 0 if results.kernels else 1


def kernel_rows(subject, rounds, results):
    """The KernelResult of one kernel."""
    commands = {
        report.BUILD: subject.build(),
        report.REKALL: subject.make("rekall"),
        report.ALL: subject.make("all"),
        report.IN_PROCESS: [sys.executable, "-m", "benchmarks.in_process", subject.pre_ast, subject.config],
    }
    optional = {}
    if subject.has_gcc():
        optional[report.GCC_E] = subject.gcc("-E", output="root.i")
        optional[report.GCC_C] = subject.gcc("-g", "-c", output="root.o")
        # Without that option gcc writes no type that nothing uses.
        optional[report.GCC_ALL] = subject.gcc("-g", "-fno-eliminate-unused-debug-types", "-c", output="all.o")
        optional[report.PYELFTOOLS] = [sys.executable, "-m", "benchmarks.dwarf_road", subject.directory / "all.o"]
        if shutil.which("pahole"):
            optional[report.PAHOLE_DWARF] = ["pahole", "-F", "dwarf", subject.directory / "all.o"]
    else:
        results.skip("gcc", "not on this machine")
    for row, command in ((report.BPFTOOL, ["bpftool", "-j", "btf", "dump", "file"]), (report.PAHOLE, ["pahole", "-F", "btf"])):
        if not shutil.which(command[0]):
            results.skip(row, "%s is not on this machine" % command[0])
            continue
        try:
            optional[row] = [*command, subject.btf()]
        except (Unavailable, ValueError) as reason:
            results.skip("%s, Linux %s" % (row, subject.series), reason)
    for name, command in optional.items():
        try:
            run(command)
            commands[name] = command
        except Failed as reason:
            results.skip("%s, Linux %s" % (name, subject.series), reason)
    costs = in_turn(commands, rounds, say)
    second = costs[report.IN_PROCESS]
    costs[report.IN_PROCESS] = second._replace(wall=second.stages["WALL"], cpu=second.stages["CPU"])
    return report.KernelResult(subject.kernel.release, costs, subject.pre_ast.stat().st_size,
                               len(read_pre_ast(subject.pre_ast).files))


def hot_functions(subject):
    """What `benchmarks.hot_functions` prints of a profile for Rekall."""
    make = subject.make("rekall")
    command = [sys.executable, "-m", "benchmarks.hot_functions", *map(str, make[make.index("make_profile"):])]
    printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return json.loads(printed)


def cost_of_types(subject, rounds):
    """[(number of types asked for, structs made, Cost)] without symbols, which cost the same whatever is asked for."""
    names = sorted(name for name in structs_of(subject, "all") if not name.startswith("__unnamed"))
    # Who asks for one by name is told, by a failing command, if it cannot be known.
    profile = make_profile(read_pre_ast(subject.pre_ast), str(subject.config), structs=names)
    names = [name for name in names if name not in profile["$METADATA"]["left_out"]]
    random.Random(0).shuffle(names)
    asked = {count: ",".join(names[:count]) for count in COUNTS if count < len(names)}
    asked[len(names)] = "all"
    made = {count: len(structs_of(subject, wanted)) for count, wanted in asked.items()}
    costs = in_turn({count: subject.make(wanted, symbols=False) for count, wanted in asked.items()}, rounds, say)
    return [(count, made[count], cost) for count, cost in costs.items()]


def structs_of(subject, wanted, pre_ast=None):
    """The $STRUCTS of a profile."""
    run(subject.make(wanted, pre_ast, symbols=False))
    return json.loads((subject.directory / "profile.json").read_text())["$STRUCTS"]


def cost_of_trees(subject, rounds, results):
    """[TreeResult] for growing parts of the root."""
    commands, sizes = {}, {}
    for share in SHARES:
        own = subject.part_of_root(share)
        pre_ast = subject.directory / ("part-%.3f.pre_ast" % share)
        try:
            run(subject.build(own, pre_ast))
            structs = len(structs_of(subject, "all", pre_ast))
        except Failed as reason:
            results.skip("%.0f %% of the root" % (100 * share), reason)
            continue
        sizes[share] = len(read_pre_ast(pre_ast).files), pre_ast.stat().st_size, structs
        commands[share, "build"] = subject.build(own, pre_ast)
        commands[share, "make"] = subject.make("all", pre_ast, symbols=False)
        if subject.has_gcc():
            commands[share, "gcc"] = subject.gcc("-E", root=own, output="part.i")
    costs = in_turn(commands, rounds, say)
    return [report.TreeResult(share, *sizes[share], costs[share, "build"], costs[share, "make"], costs.get((share, "gcc")))
            for share in sizes]


def cost_of_plugin(rounds, results):
    """{"with" | "without": Cost} of `rekall --help`, or None."""
    commands = {each: [sys.executable, "-m", "benchmarks.rekall_help", each] for each in ("without", "with")}
    try:
        # A difference of a few per cent takes more rounds to see.
        return in_turn(commands, 3 * rounds, say)
    except Failed as reason:
        results.skip("rekall --help", reason)
        return None


if __name__ == "__main__":
    sys.exit(main())
