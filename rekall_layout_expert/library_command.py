"""layout_tool library: making and keeping a library of Pre-ASTs."""
from __future__ import annotations

import argparse
import time
from typing import Callable

from rekall_layout_expert.errors import LayoutExpertError, printable

_EPILOG = """examples:
  layout_tool library keygen library.key
  layout_tool library add linux-headers-6.1*.deb /usr/src/linux --repository pre_asts --key library.key --workers 4
  layout_tool library mirror https://example.org/pre_asts --repository pre_asts --keys library.key.pub
"""


def add_parser(commands, log: Callable[[str], None]) -> None:
    """Adds the command to those of layout_tool. log: is told each step."""
    library = commands.add_parser(
        "library", help="make and keep a library: the Pre-ASTs of many kernels in one repository", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = library.add_subparsers(dest="verb", metavar="VERB")
    verbs.required = True

    def verb(name: str, function: Callable, text: str, repository: str = "the library's directory"):
        parser = verbs.add_parser(name, help=text)
        if repository:
            parser.add_argument("--repository", metavar="DIR", required=True, help=repository)
        parser.set_defaults(function=lambda options: function(options, log))
        return parser

    add = verb("add", _add, "build Pre-ASTs and add them; what is there already is not built again")
    add.add_argument("sources", metavar="SOURCE", nargs="+", help="a header tree or kernel source, a package of headers "
                     "(with Debian's, the one that flavours share), or a Pre-AST file")
    add.add_argument("--arch", default="x86_64", help="architectures, separated by commas (default: %(default)s)")
    add.add_argument("--release", help="the release under which it is looked for, where the tree does not tell; by default "
                     "kernel source is vanilla")
    add.add_argument("--package_version", help="the version of the distribution's package, where the tree does not tell")
    add.add_argument("--workers", type=int, default=1, help="processes that build, 0 for one each processor (default: 1)")
    add.add_argument("--dask", metavar="ADDRESS", help="the scheduler of a Dask cluster that builds; its workers must see "
                     "the same files")
    _add_key(add)

    listing = verb("list", _list, "show what a library has", "the library: a directory or URL")
    _add_keys(listing)

    verify = verb("verify", _verify, "read everything and tell what is damaged or missing")
    _add_keys(verify)

    prune = verb("prune", _prune, "remove what no version needs any more")
    prune.add_argument("names", metavar="NAME", nargs="*", help="versions to take out before")
    _add_key(prune)

    mirror = verb("mirror", _mirror, "copy a library; what is there already is not fetched again",
                  "where to: a directory, or a URL that fsspec can write to")
    mirror.add_argument("source", metavar="LIBRARY", help="the library: a directory or URL")
    _add_keys(mirror)

    sign = verb("sign", _sign, "sign what is not signed yet")
    _add_key(sign, required=True)

    keygen = verb("keygen", _keygen, "make a pair of keys: KEY, to be kept secret, and KEY.pub for those who use the library",
                  repository="")
    keygen.add_argument("private", metavar="KEY", help="the file to write")


def _add_key(parser, required: bool = False) -> None:
    parser.add_argument("--key", metavar="KEY", required=required, help="the private key to sign with")


def _add_keys(parser) -> None:
    parser.add_argument("--keys", metavar="FILE", help="public keys, of which one must have signed")


def _store(options):
    from rekall_layout_expert.supply.library.signatures import Signer
    from rekall_layout_expert.supply.library.store import Store

    key = getattr(options, "key", None)
    return Store(options.repository, Signer.read(key) if key else None)


def _existing_store(options):
    store = _store(options)
    if not store.exists():
        raise LayoutExpertError(f"{store} is no library", next_step="'layout_tool library add' makes one")
    return store


def _keys(options):
    from rekall_layout_expert.supply.library.signatures import read_keys

    return read_keys(options.keys) if options.keys else []


def _add(options, log) -> None:
    from rekall_layout_expert.supply.library.building import jobs_for, outcomes

    start = time.monotonic()
    store = _store(options)
    known = {entry["state"]: name for name, entry in store.entries(to_write=True).items() if entry.get("state")}
    jobs = jobs_for(options.sources, options.arch.split(","), options.release, options.package_version)
    if len(jobs) > 1 and (options.release or options.package_version):
        raise LayoutExpertError("--release and --package_version are of one kernel",
                                next_step=f"add the {len(jobs)} one by one")
    troubles = 0
    for outcome in outcomes(jobs, known, options.workers, options.dask):
        if outcome.trouble:
            troubles += 1
            log(f"LEFT OUT {outcome.job}: {outcome.trouble}")
        elif outcome.known_as:
            log(f"UNCHANGED {outcome.known_as}: {outcome.job}")
        else:
            done, size = store.add(outcome.parcel)
            log(f"{done} {outcome.parcel.name}: {size} bytes, {outcome.job}")
    log(f"SAVED {store}: {len(jobs) - troubles} of {len(jobs)} in {time.monotonic() - start:.2f} s")
    if troubles:
        raise LayoutExpertError(f"{troubles} of {len(jobs)} could not be added", next_step="the reasons stand above")


def _library(place: str, options):
    from rekall_layout_expert.supply.library import Library
    from rekall_layout_expert.supply.repository import repository_at
    from rekall_layout_expert.supply.transfer import Network

    return Library(repository_at(place, Network()), _keys(options))


def _list(options, log) -> None:
    from rekall_layout_expert.supply.library import INDEX

    try:
        entries = _library(options.repository, options).index()
    except LayoutExpertError as error:
        raise LayoutExpertError(f"{options.repository}, {INDEX}: {error}") from error
    if not entries:
        raise LayoutExpertError(f"{options.repository} is no library, or an empty one: it has no index")
    for name, entry in sorted(entries.items()):
        print(printable(f"{name}  {entry['version']}  {entry['size']} bytes  {entry['base'][:12]}"))
    print(f"{len(entries)} versions on {len({entry['base'] for entry in entries.values()})} bases")


def _verify(options, log) -> None:
    store = _existing_store(options)
    wrong = store.verify(_keys(options), lambda line: print(printable(line)))
    if wrong:
        raise LayoutExpertError(f"{store} is not whole: {wrong} of its files", next_step="the reasons stand above; add "
                                "the trees of those files again")
    log(f"VERIFIED {store}")


def _prune(options, log) -> None:
    store = _existing_store(options)
    store.drop(options.names)
    files, size = store.prune()
    log(f"PRUNED {store}: {files} files, {size} bytes")


def _mirror(options, log) -> None:
    from rekall_layout_expert.supply.library.mirror import mirror
    from rekall_layout_expert.supply.repository import repository_at
    from rekall_layout_expert.supply.transfer import Network

    done = mirror(_library(options.source, options), repository_at(options.repository, Network()), log)
    log(f"MIRRORED {done.versions} versions to {options.repository}: {done.fetched} files, {done.size} bytes fetched")


def _sign(options, log) -> None:
    store = _existing_store(options)
    log(f"SIGNED {store.sign()} versions and the index of {store}")


def _keygen(options, log) -> None:
    from rekall_layout_expert.supply.library.signatures import make_keys

    public = make_keys(options.private)
    log(f"SAVED {options.private}, which whoever has it can sign with, and {public}")
