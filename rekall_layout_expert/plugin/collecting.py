"""--collect: what an analysis on another machine needs of this host, in one file (host/collection.py)."""
from __future__ import annotations

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.btf import find_btf
from rekall_layout_expert.host.collection import write_collection
from rekall_layout_expert.plugin.address_spaces import is_running_kernel
from rekall_layout_expert.plugin.options import Named, Sources
from rekall_layout_expert.plugin.profile_maker import Stages, pre_ast_of
from rekall_layout_expert.plugin.repositories import local_repositories
from rekall_layout_expert.plugin.subject import running_kernel


def collect(session, memory, named: Named, path: str, sources: Sources, stages: Stages) -> None:
    """Collects the running kernel into a file.

    The network is not asked: a Pre-AST is taken from this host, or left to be found where the file is used. Nothing but
    the file is written. Raises LayoutExpertError.
    """
    from rekall_layout_expert.pre_ast.storage import dumps
    from rekall_layout_expert.supply.identification import build_of
    from rekall_layout_expert.supply.sources import names_of

    if memory and not is_running_kernel(memory) or named.collected:
        raise LayoutExpertError("what is collected is the running kernel: neither an image nor --from goes with --collect",
                                next_step="run it on the host itself, as root: rekall layout_expert --collect " + path)
    subject = running_kernel(named, with_location=False)
    kernel = subject.kernel
    stages.done("kernel", kernel.release, subject.config.source)
    symbols = subject.symbols
    stages.done("symbols", symbols.source, f"{len(symbols.addresses)} symbols")
    identified = {"names": names_of(kernel), **build_of(kernel)._asdict()}
    try:
        pre_ast, how, _ = pre_ast_of(subject, local_repositories(session), stages, None, sources._replace(offline=True), keep=False)
    except LayoutExpertError as error:
        content, about = None, {"missing": str(error), **identified}
        stages.done("pre_ast", "not here: to be found where the file is used", error.what)
    else:
        content, about = dumps(pre_ast), {"from": how, **identified}
        stages.done("pre_ast", how, f"digest {pre_ast.digest[:16]}")
    sizes = write_collection(path, kernel, subject.config, symbols, find_btf(), content, about)
    stages.done("collected", path, ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
