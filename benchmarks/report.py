"""The results as a table, and as docs/performance.md with a plot."""
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, Optional

from benchmarks.measure import Cost

GCC_E = "gcc -E"
GCC_C = "gcc -g -c"
GCC_ALL = "gcc -g -c, unused types too"
REKALL = "make_profile --structs rekall"
ALL = "make_profile --structs all"
IN_PROCESS = "another config in the same process, --structs rekall"
BUILD = "build_pre_ast"
BPFTOOL = "bpftool btf dump -j"
PYELFTOOLS = "pyelftools on that object file"
PAHOLE = "pahole -F btf"
PAHOLE_DWARF = "pahole -F dwarf, that object file"

# What must be true on the reference kernel: (row, against, must, goal), as ratios of CPU time.
TARGETS = ((REKALL, GCC_E, 2.0, 1.0), (ALL, GCC_C, 2.0, 1.0), (IN_PROCESS, GCC_E, 0.5, 0.25), (BUILD, GCC_E, 12.0, 6.0))
MEMORY_TARGET = (120, 60)           # MB, make_profile --structs rekall
SIZE_TARGET = (1000, 500)           # kB, the Pre-AST file
PLUGIN_TARGET = (0.03, 0.0)
MOST_BYTES_OF_PLOT = 100000
TRIED = Path(__file__).with_name("tried.md")


class KernelResult(NamedTuple):
    release: str
    costs: dict                     # {row: Cost}
    pre_ast_size: int               # bytes
    headers: int

    def ratio(self, row, against):
        """How many times as much CPU time, or None where one was not measured."""
        if row not in self.costs or against not in self.costs:
            return None
        return self.costs[row].cpu / self.costs[against].cpu


class TreeResult(NamedTuple):
    share: float
    headers: int
    pre_ast_size: int               # bytes
    structs: int
    build: Cost
    make: Cost
    gcc: Optional[Cost]


class Results:
    def __init__(self, rounds):
        self.rounds = rounds
        self.kernels = {}           # {series: KernelResult}
        self.types = []             # [(number of types asked for, structs made, Cost)]
        self.trees = []             # [TreeResult]
        self.rekall_help = None     # {"with" | "without": Cost}
        self.hot = []               # [[function, calls, share]]
        self.skipped = []

    def skip(self, what, reason):
        line = "%s: %s" % (what, reason)
        if line not in self.skipped:
            self.skipped.append(line)

    def text(self):
        """Everything but the plot, as Markdown."""
        parts = ["# Performance", _INTRODUCTION % (self.rounds, _machine())]
        if self.kernels:
            reference = "6.1" if "6.1" in self.kernels else next(iter(self.kernels))
            parts += self._targets(reference) + self._kernels() + self._rows(reference) + self._stages(reference)
        parts += self._hot() + self._types() + self._trees() + [TRIED.read_text().rstrip()]
        if self.skipped:
            parts += ["## Not measured", "\n".join("* " + each for each in self.skipped)]
        return "\n\n".join(parts) + "\n"

    def write(self, folder):
        """Writes performance.md and, if matplotlib is here, performance.svg."""
        folder.mkdir(exist_ok=True)
        plot = self._plot(folder / "performance.svg")
        text = self.text()
        if plot:
            text = text.replace("\n## ", "\n![Ratios on each kernel, and cost against number of types](performance.svg)\n\n## ", 1)
        (folder / "performance.md").write_text(text)

    def _targets(self, reference):
        result = self.kernels[reference]
        rows = []
        for row, against, must, goal in TARGETS:
            ratio = result.ratio(row, against)
            rows.append((row, "%s × %s" % (_number(ratio), against), must, goal, _verdict(ratio, must, goal)))
        memory = result.costs[REKALL].memory / 1e6
        rows.append(("peak memory of " + REKALL, "%.0f MB" % memory, *MEMORY_TARGET, _verdict(memory, *MEMORY_TARGET)))
        size = result.pre_ast_size / 1e3
        rows.append(("Pre-AST file", "%.0f kB" % size, *SIZE_TARGET, _verdict(size, *SIZE_TARGET)))
        if self.rekall_help:
            added = self.rekall_help["with"].cpu / self.rekall_help["without"].cpu - 1
            rows.append(("what the plugin adds to rekall --help", "%+.1f %% (%+.0f ms)" % (
                100 * added, 1000 * (self.rekall_help["with"].cpu - self.rekall_help["without"].cpu)),
                "%.0f %%" % (100 * PLUGIN_TARGET[0]), "%.0f %%" % (100 * PLUGIN_TARGET[1]),
                _verdict(added, PLUGIN_TARGET[0], PLUGIN_TARGET[1] + 0.005)))
        return ["## Linux %s: %s, %d headers" % (reference, result.release, result.headers),
                _table(("what", "measured", "must be at most", "goal", ""), rows)]

    def _kernels(self):
        if len(self.kernels) < 2:
            return []
        heads = ["CPU time, ratio"] + ["%s" % series for series in self.kernels]
        rows = [["%s : %s" % (row, against)] + [_number(each.ratio(row, against)) for each in self.kernels.values()]
                for row, against, _, _ in TARGETS]
        rows.append(["peak memory, MB"] + ["%.0f" % (each.costs[REKALL].memory / 1e6) for each in self.kernels.values()])
        rows.append(["Pre-AST file, kB"] + ["%.0f" % (each.pre_ast_size / 1e3) for each in self.kernels.values()])
        rows.append(["headers"] + [str(each.headers) for each in self.kernels.values()])
        return ["## Every kernel", _table(heads, rows)]

    def _rows(self, reference):
        result = self.kernels[reference]
        order = [GCC_E, REKALL, IN_PROCESS, GCC_C, ALL, BUILD, GCC_ALL, PYELFTOOLS, PAHOLE_DWARF, BPFTOOL, PAHOLE]
        rows = [(row, "%.3f" % cost.wall, "%.3f" % cost.cpu, "%.0f" % (cost.memory / 1e6), _number(result.ratio(row, GCC_E)))
                for row, cost in ((row, result.costs[row]) for row in order if row in result.costs)]
        return ["## Every command, Linux %s" % reference,
                _table(("command", "wall, s", "CPU, s", "peak MB", "CPU : gcc -E"), rows),
                "What a profile from debug information costs is the sum of `%s` and `%s`, the road of `convert_profile`, or "
                "of pahole, which writes C; bpftool and `pahole -F btf` read the kernel's own BTF, which only kernels built "
                "with it have." % (GCC_ALL, PYELFTOOLS)]

    def _stages(self, reference):
        costs = self.kernels[reference].costs
        names = [name for name in costs[ALL].stages if name != "SAVED"]
        rows = [[name] + ["%.2f" % costs[row].stages.get(name, 0) for row in (REKALL, ALL)] for name in names]
        return ["## Stages, Linux %s" % reference,
                _table(("wall time by the log, s", "--structs rekall", "--structs all"), rows)]

    def _types(self):
        if not self.types:
            return []
        rows = [(asked, made, "%.3f" % cost.cpu, "%.0f" % (cost.memory / 1e6)) for asked, made, cost in self.types]
        further = _further([(made, cost.cpu) for _, made, cost in self.types])
        return ["## Cost against the number of types (without symbols)",
                _table(("asked for", "structs made", "CPU, s", "peak MB", "ms per struct more"),
                       [(*row, each) for row, each in zip(rows, further)]),
                "The last column is what each struct more than in the first row costs: where it does not grow, the cost is linear "
                "or below."]

    def _hot(self):
        if not self.hot:
            return []
        rows = [("`%s`" % function, calls, "%.1f %%" % (100 * share)) for function, calls, share in self.hot]
        return ["## Where the time goes, --structs rekall (cProfile, time in the function itself)",
                _table(("function", "calls", "of the time"), rows)]

    def _trees(self):
        if not self.trees:
            return []
        rows = [("%.0f %%" % (100 * each.share), each.headers, "%.0f" % (each.pre_ast_size / 1e3), each.structs,
                 "%.3f" % each.build.cpu, "%.3f" % each.make.cpu, "%.3f" % each.gcc.cpu if each.gcc else "",
                 "%.1f" % (each.build.cpu / each.gcc.cpu) if each.gcc else "") for each in self.trees]
        return ["## Cost against the size of the tree (the first part of the root's includes)",
                _table(("root", "headers", "Pre-AST, kB", "structs", "build_pre_ast, CPU s", "--structs all, CPU s",
                        "gcc -E, CPU s", "build_pre_ast : gcc -E"), rows),
                "Headers differ in size; gcc -E reads the same ones. Where the last column does not grow, the cost is linear or below."]

    def _plot(self, path):
        """Whether the plot could be drawn."""
        try:
            import matplotlib
            matplotlib.use("svg")
            from matplotlib import pyplot
        except ImportError:
            self.skip("the plot", "matplotlib is not installed (requirements-bench.txt)")
            return False
        matplotlib.rcParams["svg.fonttype"] = "none"
        matplotlib.rcParams["svg.hashsalt"] = "layout expert"
        figure, (left, right, last) = pyplot.subplots(1, 3, figsize=(15, 4.2))
        for row, against, must, _ in TARGETS:
            points = [(series, each.ratio(row, against) / must) for series, each in self.kernels.items() if each.ratio(row, against)]
            if points:
                left.plot(*zip(*points), marker="o", label="%s : %s (%g)" % (row.partition(",")[0], against, must))
        left.axhline(1, color="gray", linestyle=":")
        left.set(title="CPU time beside gcc's, as part of what it may be at most", xlabel="Linux", ylim=(0, None))
        left.legend(fontsize=7)
        right.plot([made for _, made, _ in self.types], [cost.cpu for _, _, cost in self.types], marker="o")
        right.set(title="make_profile against the number of types", xlabel="structs made", ylabel="CPU, s", xlim=(0, None),
                  ylim=(0, None))
        headers = [each.headers for each in self.trees]
        last.plot(headers, [each.build.cpu for each in self.trees], marker="o", label=BUILD)
        last.plot(headers, [each.make.cpu for each in self.trees], marker="o", label=ALL)
        if self.trees and all(each.gcc for each in self.trees):
            last.plot(headers, [each.gcc.cpu for each in self.trees], marker="o", label=GCC_E)
        last.set(title="Cost against the size of the tree", xlabel="headers", ylabel="CPU, s", xlim=(0, None), ylim=(0, None))
        last.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None})
        if path.stat().st_size > MOST_BYTES_OF_PLOT:
            raise RuntimeError("the plot has %d bytes" % path.stat().st_size)
        return True


_INTRODUCTION = """Made by `make bench`, never by hand. Each command is a whole process, started %d times, in turn with the \
others, after one start that does not count; the figures are medians. CPU time is what the process and its children used, \
user and system; wall time depends on what else the machine had to do. gcc reads the same root, with the kernel's options and \
the flavour's own generated headers. Profiles have symbols, of a kallsyms with 150,000 lines, unless it says otherwise.

%s"""


def _machine():
    """The machine in words that name neither it nor anybody's folders."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    try:
        gcc = subprocess.run(["gcc", "-dumpfullversion"], stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    except OSError:
        gcc = "none"
    return "Machine: %s, %d cores, Linux %s; Python %s, gcc %s; %s." % (
        model.group(1).strip() if model else platform.machine(), os.cpu_count(), platform.release().partition("-")[0],
        platform.python_version(), gcc, time.strftime("%Y-%m-%d"))


def _further(points):
    """What each one more than in the first point costs, in ms; points: [(number, seconds)] in order."""
    first, least = points[0]
    return ["%.2f" % (1000 * (seconds - least) / (number - first)) if number > 1.05 * first else "" for number, seconds in points]


def _verdict(measured, must, goal):
    if measured is None:
        return "not measured"
    return "goal reached" if measured <= goal else "as it must be" if measured <= must else "**too much**"


def _number(ratio):
    return "" if ratio is None else "%.2f" % ratio


def _table(heads, rows):
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1)] + list(rows)
    return "\n".join("| %s |" % " | ".join(str(each) for each in line) for line in lines)
