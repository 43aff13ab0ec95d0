"""--explain: a struct or a member of the kernel at hand, with what put it there."""
from __future__ import annotations

from typing import List, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.explanation import explain
from rekall_layout_expert.explain.from_btf import explain_btf
from rekall_layout_expert.explain.stored import explain_profile
from rekall_layout_expert.plugin import analysis, kernel_btf
from rekall_layout_expert.plugin.options import Named, Sources
from rekall_layout_expert.plugin.profile_maker import Stages, pre_ast_of
from rekall_layout_expert.plugin.repositories import load_profile, local_repositories
from rekall_layout_expert.plugin.subject import Subject, collected_kernel, named_kernel, running_kernel


def explained(session, memory, named: Named, tree: Optional[str], name: str,
              sources: Sources = Sources()) -> List[str]:
    """The lines that explain STRUCT or STRUCT.MEMBER.

    memory: the image or /proc/kcore, None without one. tree: the headers to build the Pre-AST from. sources: where else it
    may be from. Where there is no Pre-AST, the kernel's own BTF, or a stored profile of it, still tells the layout. Raises
    LayoutExpertError.
    """
    stages = Stages(session)
    subject = _subject(session, memory, named, tree, stages)
    repositories = local_repositories(session)
    try:
        pre_ast, *_ = pre_ast_of(subject, repositories, stages, tree, sources)
    except LayoutExpertError:
        section = None if subject.pre_ast or tree or "btf" in sources.skip else \
            kernel_btf.read_btf(memory, subject, subject.symbols.addresses)
        if section:
            return explain_btf(section, name)
        stored = load_profile(session, repositories, subject.profile_name()) if subject.kernel.banner else None
        if stored is None:
            raise
        return explain_profile(stored, name)
    symbols = subject.symbols if subject.kernel.banner else None
    return explain(pre_ast, subject.config, name, symbols, subject.kernel.banner)


def _subject(session, memory, named: Named, tree: Optional[str], stages: Stages) -> Subject:
    if memory:
        named = named.or_beside(str(session.GetParameter("filename")))
    if named.config_file_path and (named.pre_ast or tree):
        return named_kernel(named)  # needs neither symbols nor memory
    if memory:
        return analysis.subject_in(session, memory, named, stages)
    return collected_kernel(named) if named.collected else running_kernel(named, with_location=False)
