"""From the memory of a kernel to a profile that is verified against it.

A profile is kept under the kernel's own key, and used again without being made. Nothing is given to
the session, and nothing is stored, before the memory has confirmed it.
"""
from __future__ import annotations

from typing import List, Mapping, Optional

from rekall import cache, obj

from rekall_layout_expert.errors import LayoutExpertError, printable
from rekall_layout_expert.plugin import kernel_btf
from rekall_layout_expert.plugin.address_spaces import is_running_kernel
from rekall_layout_expert.plugin.invariants import Invariants
from rekall_layout_expert.plugin.options import Named, Sources
from rekall_layout_expert.plugin.profile_maker import HeadersOfBuild, Stages, make
from rekall_layout_expert.plugin.repositories import load_profile, local_repositories, store_profile
from rekall_layout_expert.plugin.subject import Subject, kernel_in_image, running_kernel
from rekall_layout_expert.supply.matching import Level
from rekall_layout_expert.supply.repository import DirectoryRepository

# Without these there is no list of processes, and nothing to tell a right profile by.
_NEEDED_MEMBERS = {"task_struct": ("pid", "comm", "tasks", "mm"), "list_head": ("next", "prev")}
_NEEDED_SYMBOLS = ("_text", "linux_banner", "linux_proc_banner", "init_task")


def subject_in(session, memory, named: Named, stages: Stages, sources: Optional[Sources] = None) -> Subject:
    """The kernel whose memory it is. sources: of what the image lacks; as the session's options say, if None."""
    if is_running_kernel(memory):
        subject = running_kernel(named)
    else:
        image = str(session.GetParameter("filename"))
        headers = HeadersOfBuild(sources or Sources.in_options(session), local_repositories(session), stages, image)
        subject = kernel_in_image(memory, image, named, stages.report, headers.config_of)
        subject.unpacked_headers = headers.unpacked
        _keep_in_memory(session)
    stages.done("kernel", subject.kernel.release, subject.config.source)
    return subject


def profile_of(detection, subject: Subject, stages: Stages) -> obj.Profile:
    """The stored profile of a kernel, or a new one; verified, and the session set up by it."""
    session = detection.session
    repositories = local_repositories(session)
    name = subject.profile_name()
    stored = load_profile(session, repositories, name)
    sources = Sources.in_options(session)
    if stored is not None and _is_of_named_pre_ast(stored, subject) and _is_accepted(stored, sources):
        try:
            if kernel_btf.is_verified(stored, _btf(session, subject, stored["$CONSTANTS"])):
                profile = _verified(detection, stored, name, subject)
                stages.done("stored profile", name, "verified")
                kernel_btf.tell(session, stored, stages)
                return profile
        except Exception as error:  # Nonsense in a stored profile makes Rekall fail in any way.
            _forget(session)
            session.logging.warning("Layout Expert: %s is made again: %s", name, printable(str(error)))
    data = make(subject, repositories, stages, sources=sources,
                read_btf=lambda: _btf(session, subject, subject.symbols.addresses))
    return register(detection, subject, data, repositories, stages)


def register(detection, subject: Subject, data: dict, repositories: List[DirectoryRepository],
             stages: Stages) -> obj.Profile:
    """Verifies a profile against BTF and memory, gives it to the session and stores it for the next start."""
    name = subject.profile_name()
    section = _btf(detection.session, subject, data["$CONSTANTS"])
    kernel_btf.complete(detection.session, data, section, stages)
    kernel_btf.verify(detection.session, data, section, stages, has_memory=True)
    profile = _verified(detection, data, name, subject)
    stages.done("verified", name, "against memory")
    kernel_btf.tell(detection.session, data, stages)
    where = store_profile(detection.session, repositories, name, data)
    stages.done("stored", name, f"in {where}" if where else "not stored")
    return profile


def _btf(session, subject: Subject, addresses: Mapping[str, int]) -> Optional[bytes]:
    return kernel_btf.read_btf(session.physical_address_space, subject, addresses)


def _verified(detection, data: dict, name: str, subject: Subject) -> obj.Profile:
    """The profile, with the session's address spaces set up by it; else nothing is left of it."""
    session, location = detection.session, subject.location
    _check_complete(data)
    profile = obj.Profile.LoadProfileFromData(data, session=session, name=name)
    session.SetCache("kernel_slide", location.slide, volatile=False)
    # Rekall takes it for both slides, unless it is told. It keeps it as a parameter, too.
    text = profile.get_constant("_text") + location.slide
    session.SetParameter("page_offset", None if location.text is None else text - location.text)
    try:
        if not detection.VerifyProfile(profile):
            raise LayoutExpertError("the kernel's page tables are not where the profile says")
        _check_content(session, profile, data, subject)
    except LayoutExpertError as error:
        _forget(session)
        raise LayoutExpertError(
            f"the profile made for {subject.kernel.release} contradicts the memory: {error}",
            [subject.config.source, subject.symbols.source],
            "check that these, and the Pre-AST, are of this very kernel") from error
    session.profile_cache[name] = profile
    return profile


def _forget(session) -> None:
    """Undoes what a profile, that turned out to be none, has set in the session."""
    session.SetCache("kernel_slide", None)
    session.SetCache("dtb", None)
    session.SetCache("default_address_space", None)
    session.SetParameter("page_offset", None)
    session.kernel_address_space = None
    session.profile = obj.NoneObject("Unset")


def _is_of_named_pre_ast(stored: dict, subject: Subject) -> bool:
    """Whether a stored profile is of the Pre-AST that the user named; any will do if none was."""
    if subject.pre_ast is None:
        return True
    from rekall_layout_expert import read_pre_ast
    return stored["$METADATA"].get("pre_ast_digest") == read_pre_ast(subject.pre_ast).digest


def _is_accepted(stored: dict, sources: Sources) -> bool:
    """Whether the user accepts as little as was accepted when a stored profile was made."""
    match = kernel_btf.inexact_match(stored)
    is_of_btf = stored["$METADATA"].get("types_from") == "btf"
    return not (is_of_btf and "btf" in sources.skip) and (
        not match or Level.named(match["level"]) <= Level.named(sources.accept))


def _keep_in_memory(session) -> None:
    """Lets nothing of this image be kept for the next start.

    Rekall would skip detection then, and keep to its old profile when the user names another
    configuration. The profile itself is stored, so that detection is quick.
    """
    if isinstance(session.cache, cache.FileCache):
        session.remove_flush_hook(session.cache)
        kept = cache.Factory(session, "memory")
        kept.data.update(session.cache.data)
        session.cache = kept


def _check_complete(data: dict) -> None:
    """Rekall would fail somewhere, and with a traceback."""
    structs = data["$STRUCTS"]
    for struct, members in _NEEDED_MEMBERS.items():
        reason = data["$METADATA"].get("left_out", {}).get(struct, "its members are not those of a Linux kernel")
        if struct not in structs or any(member not in structs[struct][1] for member in members):
            raise LayoutExpertError(f"the profile has no usable {struct}: {reason}",
                                    next_step="use the Pre-AST of the kernel's own headers")
    for symbol in _NEEDED_SYMBOLS:
        if symbol not in data["$CONSTANTS"]:
            raise LayoutExpertError(f"the kernel's symbols have no {symbol}",
                                    next_step="give the System.map, or a kallsyms of CONFIG_KALLSYMS_ALL")


def _check_content(session, profile: obj.Profile, data: dict, subject: Subject) -> None:
    """What is known of any Linux kernel must be found where the profile says."""
    memory = session.kernel_address_space
    address = profile.get_constant("linux_banner", is_address=True)
    banner = memory.read(address, 512).split(b"\0")[0].decode("ascii", "replace").strip()
    expected = subject.location.banner or subject.kernel.banner or banner
    if banner != expected or not banner.startswith("Linux version"):
        raise LayoutExpertError(f"linux_banner reads {banner[:80]!r}")
    invariants = Invariants(memory, data["$STRUCTS"], data["$CONSTANTS"], subject.location.slide)
    trouble = invariants.check(subject.kernel.release)
    if trouble:
        session.logging.warning("Layout Expert: %s", trouble)
