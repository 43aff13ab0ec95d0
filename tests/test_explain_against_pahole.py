"""--explain held against pahole: names, offsets, bits, sizes, holes, cache lines and figures of every record; and the
place of every member against the header's text."""
import difflib
import re
import subprocess
from pathlib import Path

import btf
import header_trees
import kernels
import pahole
import pytest

from rekall_layout_expert import build_pre_ast
from rekall_layout_expert.explain.from_btf import OfBtf
from rekall_layout_expert.explain.listing import listing
from rekall_layout_expert.explain.records import RowsOfRecords
from rekall_layout_expert.explain.tracing import TracedKernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Record

pytestmark = pytest.mark.network

# What pahole 1.24 itself gets wrong or dies of: _Atomic, an anonymous union that is volatile, a pointer to an anonymous struct.
HAND_WRITTEN = [path for path in sorted(Path(__file__).with_name("layouts").glob("*.c")) if path.stem != "atomics"]
NOT_UNDERSTOOD = {"struct qualified_anonymous", "struct in_expressions"}


def traced(pre_ast, config):
    kernel = TracedKernel(pre_ast, config)
    kernel.read_types()
    kernel.scope.read_all()
    return kernel


def records(kernel):
    """(name, its Rows) of every record with a tag that can be laid out."""
    for name in kernel.scope.record_names():
        type_ = kernel.scope.tags.get(name)
        if isinstance(type_, Record):
            try:
                yield name, RowsOfRecords(kernel.scope, kernel.layouts).rows(type_)
            except NotKnown:
                continue


def ours(kernel):
    text = "\n".join(line for _, rows in records(kernel) for line in listing(rows, kernel.unit))
    return pahole.records(text)


def of_btf(path):
    source = OfBtf(path.read_bytes())
    return pahole.records("\n".join(line for name in source.names() if source.rows(name) for line in listing(source.rows(name), None)))


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=lambda path: path.stem)
def test_hand_written_records(tmp_path, path):
    program = pahole.program()
    flags = ["-std=gnu11", "-w", "-g", "-fno-eliminate-unused-debug-types", "-c"]
    try:
        subprocess.run(["gcc", *flags, path, "-o", tmp_path / "records.o"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip("gcc: %s" % error)
    kernel = traced(build_pre_ast(header_trees.package(tmp_path / "tree"), root=path), KernelConfig.parse(header_trees.CONFIG, "config"))
    done = subprocess.run([program, "-F", "dwarf", tmp_path / "records.o"], capture_output=True, text=True, check=True)
    assert compared(ours(kernel), pahole.records(done.stdout)) > 3


@pytest.fixture(scope="module", params=["6.1", "5.10", "6.12", "7.2"])
def debian(request):
    found = kernels.kernel_or_skip(request.param)
    return found, traced(kernels.pre_ast(found.tree), KernelConfig.read(found.config))


@pytest.mark.slow
@pytest.mark.ci
def test_every_record_of_a_kernel(debian, tmp_path, capsys):
    found, kernel = debian
    program = pahole.program()
    (tmp_path / "types.btf").write_bytes(btf.section_of(str(found.vmlinuz)))
    done = subprocess.run([program, "-F", "btf", tmp_path / "types.btf"], capture_output=True, text=True)
    truth = pahole.records(done.stdout)
    if len(truth) < 1000:
        pytest.skip("this pahole cannot read the BTF of %s: %s" % (found.release, done.stderr[:80]))
    assert compared(of_btf(tmp_path / "types.btf"), truth) >= len(truth) - 5
    count = compared(ours(kernel), truth)
    with capsys.disabled():
        print("\n%s: %d records as pahole has them" % (found.release, count))
    assert count > 1500


def compared(found, truth):
    """How many records both have; a difference from every variant fails."""
    both = sorted(found.keys() & truth.keys() - NOT_UNDERSTOOD)
    differing = [head for head in both if found[head][0] not in truth[head]]
    for head in differing[:5]:
        right, mine = ([str(fact) for fact in facts[head][0]] for facts in (truth, found))
        print(head, *difflib.unified_diff(right, mine, "pahole", "explain", lineterm="", n=1), sep="\n  ")
    assert not differing
    return len(both)


@pytest.mark.slow
@pytest.mark.ci
def test_every_member_stands_in_the_line_that_is_told(debian):
    found, kernel = debian
    texts = {}
    wrong, count, unknown = [], 0, 0

    def line(place):
        if place.path not in texts:
            path = next((root / place.path for root in (found.tree, found.common) if (root / place.path).exists()), None)
            texts[place.path] = path.read_text(errors="replace").split("\n") if path else None
        return texts[place.path] and texts[place.path][place.line - 1]

    def look(rows):
        nonlocal count, unknown
        for row in rows.rows:
            if row.inner is not None:
                look(row.inner)
            if row.place is None:
                unknown += 1
                continue
            text = line(row.place)
            if text is None:
                continue
            count += 1
            word = row.place.macros[0].name if row.place.macros else row.name or row.inner and row.inner.head.split()[0] or ""
            if not re.search(r"\b%s\b" % word, text):
                wrong.append((row.place, word))

    for _, rows in records(kernel):
        look(rows)
    assert wrong == []
    assert count > 10000 and unknown == 0


@pytest.mark.slow
@pytest.mark.ci
def test_conditions_that_are_told_hold(debian):
    """What #ifdef CONFIG_X is told of must be what the config says of it."""
    _, kernel = debian
    values = {**kernel.config.values, "CONFIG_X86_X32_ABI": "y"}  # before 5.18 from the Makefile
    count = 0
    for place in kernel.scope.places.values():
        for condition in place.conditions:
            if condition.taken[:8] in ("+CONFIG_", "-CONFIG_") and not condition.taken.endswith("_MODULE"):
                count += 1
                is_set = values.get(condition.taken[1:]) not in (None, "m")
                assert is_set == (condition.taken[0] == "+"), condition
    assert count > 20
