"""Many Pre-ASTs from many header trees and packages, side by side.

joblib runs the workers: processes of this machine, or those of a Dask cluster, which then must see the same
files. A worker builds, and hands back what is to be added; the one process that started them adds it. A
tree that cannot be built costs only itself, and so does one whose worker dies of it, for want of memory
for example: who died is not told, so those that were at work are tried again, each with the workers for itself.
"""
from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib
import os
import re
import sys
import tempfile
from concurrent.futures import BrokenExecutor
from typing import BinaryIO, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.pre_ast.model import PreAst
from rekall_layout_expert.pre_ast.storage import digest_of, read_pre_ast
from rekall_layout_expert.pre_ast.tree import KernelTree
from rekall_layout_expert.supply.distribution.archives import Member, deb_members, tar_members, unpack
from rekall_layout_expert.supply.header_trees import fingerprint
from rekall_layout_expert.supply.library.store import Parcel, parcel_of
from rekall_layout_expert.version import VERSION

_CHUNK = 1 << 20
_PACKAGE = re.compile(r"\.(?:deb|rpm|apk|pkg\.tar\.\w+)\Z")
_DEB = re.compile(r"(?P<name>[^_/]+)_(?P<version>[^_/]+)_[^_/]+\.deb\Z")
# Where packages put the trees of headers.
_TREES = ("usr/src/*", "usr/src/kernels/*", "lib/modules/*/build", "usr/lib/modules/*/build")
_PATIENCE = 10.0  # seconds for a scheduler to answer


class Job(NamedTuple):
    """One Pre-AST to build.

    sources: a folder; or a package, and others of which it may need some. release, package_version: what
    the user says of them.
    """

    sources: Tuple[str, ...]
    architecture: str
    release: Optional[str] = None
    package_version: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.sources[0]} ({self.architecture})"


class Outcome(NamedTuple):
    """What came of a job: a parcel; the name under which it has been added before; or why there is neither."""

    job: Job
    parcel: Optional[Parcel] = None
    known_as: Optional[str] = None
    trouble: Optional[str] = None


def jobs_for(sources: Iterable[str], architectures: Iterable[str], release: Optional[str] = None,
             package_version: Optional[str] = None) -> List[Job]:
    """The jobs that folders, packages and Pre-AST files make.

    Debian and Ubuntu put what flavours share into packages of their own, for "all" architectures; those go
    with every flavour's package of their version.
    """
    sources = [os.path.abspath(source) for source in sources]
    shared: Dict[str, List[str]] = {}
    for source in sources:
        match = _DEB.search(source)
        if match and source.endswith("_all.deb"):
            shared.setdefault(match.group("version"), []).append(source)
    alone = [source for source in sources if not source.endswith("_all.deb")]
    jobs = []
    for source in alone or sources:
        match = _DEB.search(source)
        group = (source, *shared.get(match.group("version"), ())) if match else (source,)
        jobs += [Job(group, architecture, release, package_version) for architecture in architectures]
    return jobs


def build(job: Job, known: Dict[str, str]) -> Outcome:
    """Does a job. known: {state: name} of what has been added."""
    try:
        if os.path.isdir(job.sources[0]):
            tree = KernelTree(job.sources[0], job.architecture)
            return _of_tree(job, tree, _state(job, fingerprint(tree.roots, tree.source_arch)), known)
        missing = next((source for source in job.sources if not os.path.isfile(source)), None)
        if missing:
            raise LayoutExpertError(f"there is no file or folder {missing}")
        state = _state(job, _digest(job.sources))
        if state in known:
            return Outcome(job, known_as=known[state])
        if _PACKAGE.search(job.sources[0]):
            return _of_packages(job, state)
        return _parcel(job, read_pre_ast(job.sources[0]), state)
    except LayoutExpertError as error:
        return Outcome(job, trouble=str(error))
    except (OSError, MemoryError) as error:
        return Outcome(job, trouble=f"{type(error).__name__}: {error}")


def _of_packages(job: Job, state: str) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        for source in job.sources:
            with open(source, "rb") as file:
                unpack(_members(file, source, folder), folder, source)
        trees = _trees_in(folder)
        if len(trees) != 1:
            raise LayoutExpertError(f"the package holds {len(trees)} trees of a kernel's headers, where one is wanted")
        match = _DEB.search(job.sources[0])
        if match and not job.package_version:
            job = job._replace(package_version=unquote(match.group("version")))
        return _of_tree(job, KernelTree(trees[0], job.architecture), state, {})


def _members(file: BinaryIO, source: str, folder: str) -> Iterator[Member]:
    if source.endswith(".deb"):
        return deb_members(file, source)
    if source.endswith(".rpm"):
        from rekall_layout_expert.supply.distribution.rpm import Rpm

        return Rpm(file, source, None).members(folder)
    return tar_members(file, source)


def _trees_in(folder: str) -> List[str]:
    """The header trees in an unpacked package: those of flavours, which were configured."""
    found = (tree for place in _TREES for tree in sorted(glob.glob(os.path.join(glob.escape(folder), place)))
             if os.path.exists(os.path.join(tree, "include/generated/autoconf.h")))
    return list(dict.fromkeys(map(os.path.realpath, found)))


def _of_tree(job: Job, tree: KernelTree, state: str, known: Dict[str, str]) -> Outcome:
    if state in known:
        return Outcome(job, known_as=known[state])
    return _parcel(job, build_pre_ast(tree.roots[0], job.architecture), state)


def _parcel(job: Job, pre_ast: PreAst, state: str) -> Outcome:
    if job.package_version:
        pre_ast.header["package_version"] = job.package_version
        pre_ast.digest = digest_of(pre_ast)
    return Outcome(job, parcel_of(pre_ast, job.release, state))


def _state(job: Job, digest: str) -> str:
    """What tells whether a job has been done: by this version of the tool, of these files, under this name."""
    told = "\0".join((VERSION, digest, job.architecture, job.release or "", job.package_version or ""))
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _digest(paths: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                digest.update(chunk)
    return digest.hexdigest()


# Side by side

def outcomes(jobs: Iterable[Job], known: Dict[str, str], workers: int = 1, dask: Optional[str] = None) -> Iterator[Outcome]:
    """What comes of the jobs, as it comes; with several workers in any order.

    workers: how many processes of this machine. dask: the address of a Dask scheduler whose workers do it
    instead. A LayoutExpertError tells what is missing for that.
    """
    if workers == 1 and dask is None:
        for job in jobs:
            yield build(job, known)
        return
    with _told_as_loss(dask), _engine(workers, dask) as (run, at_work):
        left = dict(enumerate(jobs))
        while left:
            try:
                for number, outcome in run(left, known):
                    del left[number]
                    yield outcome
            except _died():
                # They are started in order, so it was one of the first that are left.
                for number in list(left)[:2 * at_work]:
                    try:
                        (_, outcome), = run({number: left[number]}, known)
                    except _died():
                        outcome = Outcome(left[number], trouble="the worker that built it died, twice")
                    del left[number]
                    yield outcome


@contextlib.contextmanager
def _engine(workers: int, dask: Optional[str]):
    """(a function that runs {number: job} and yields (number, outcome), how many jobs are at work at a time)."""
    joblib = _imported("joblib")
    with contextlib.ExitStack() as stack:
        if dask is None:
            workers = workers if workers > 0 else joblib.cpu_count()
            # With one, joblib would do it in this process.
            stack.enter_context(joblib.parallel_config("loky", n_jobs=max(workers, 2)))
            # They would wait five minutes for more, and keep open what they have inherited.
            stack.callback(lambda: joblib.externals.loky.get_reusable_executor().shutdown(wait=True))
        else:
            client = stack.enter_context(_imported("distributed").Client(dask, timeout=_PATIENCE, set_as_default=True))
            workers = sum(client.nthreads().values()) or 1
            stack.enter_context(joblib.parallel_config("dask"))

        def run(jobs: Dict[int, Job], known: Dict[str, str]) -> Iterator[Tuple[int, Outcome]]:
            return joblib.Parallel(return_as="generator_unordered", batch_size=1)(
                joblib.delayed(_numbered)(number, job, known) for number, job in list(jobs.items()))

        yield run, workers


@contextlib.contextmanager
def _told_as_loss(dask: Optional[str]):
    """What Dask raises, as the error that users see."""
    try:
        yield
    except Exception as error:
        if dask is None or isinstance(error, LayoutExpertError) or not (
                isinstance(error, OSError) or type(error).__module__.split(".")[0] == "distributed"):
            raise
        raise LayoutExpertError(f"the Dask cluster at {dask} cannot be reached, or was lost: {error or type(error).__name__}",
                                next_step="what was added stays; add the same again when the cluster is back") from error


def _numbered(number: int, job: Job, known: Dict[str, str]) -> Tuple[int, Outcome]:
    return number, build(job, known)


def _died() -> tuple:
    """What is raised when a worker has died."""
    scheduler = sys.modules.get("distributed")
    return (BrokenExecutor, scheduler.KilledWorker) if scheduler else (BrokenExecutor,)


def _imported(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise LayoutExpertError(f"several workers need {name}, which is missing",
                                next_step="pip install joblib, and distributed for Dask, or use one worker") from error
