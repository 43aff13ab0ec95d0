"""A finished profile held against the BTF that the kernel carries, before anything is given to the session.

A running kernel shows it in a file. In memory it lies between the symbols __start_BTF and __stop_BTF, in
the kernel's image, which is in one piece in physical memory: so no page tables are needed to read it.
"""
from __future__ import annotations

from typing import Mapping, Optional

from rekall_layout_expert.errors import LayoutExpertError, printable
from rekall_layout_expert.plugin.profile_maker import Stages
from rekall_layout_expert.plugin.subject import Subject
from rekall_layout_expert.verification.btf import SIZE_LIMIT, digest_of
from rekall_layout_expert.verification.verify import verify_by_btf

_CHUNK = 1 << 20
_HEADER_SIZE = 24
_MOST_NAMES = 10


def read_btf(memory, subject: Subject, addresses: Mapping[str, int]) -> Optional[bytes]:
    """The kernel's .BTF section; None if it has none, or neither its host nor its memory shows it.

    memory: Rekall's physical address space, or None. addresses: link-time addresses by name.
    """
    section = subject.shown_btf()
    location = subject.location
    start, stop, text = (addresses.get(name) for name in ("__start_BTF", "__stop_BTF", "_text"))
    if section or not (memory and location) or location.text is None or None in (start, stop, text) \
            or not 0 < stop - start <= SIZE_LIMIT:
        return section
    place, end = location.text + start - text, location.text + stop - text
    if not _holds(memory, place, end):
        return None
    section = b"".join(memory.read(at, min(_CHUNK, end - at)) for at in range(place, end, _CHUNK))
    # What whoever took the image has left out reads as zeros.
    return section if any(section[:_HEADER_SIZE]) else None


def complete(session, data: dict, section: Optional[bytes], stages: Stages) -> None:
    """Adds to a profile made from headers the types that the kernel keeps in source files, as its BTF tells them.

    Headers packages lack them: struct mount, the rings of the log, entries of /proc. $METADATA says of each that it is so.
    Where gcc shuffled structs, BTF tells the order of the source, and nothing is added.
    """
    from rekall_layout_expert.pre_ast.private_types import homes_of

    metadata, left_out = data["$METADATA"], data["$METADATA"].get("left_out", {})
    wanted = [name for name in left_out if name not in data["$STRUCTS"] and homes_of(name)]
    if section is None or not wanted or data.get("$CONFIG", {}).get("CONFIG_GCC_PLUGIN_RANDSTRUCT") == "y":
        return
    from rekall_layout_expert.profile.compatibility import offer_rekall_names
    from rekall_layout_expert.profile.of_btf import vtypes_of_btf

    try:
        types = vtypes_of_btf(section, wanted)
    except LayoutExpertError as error:
        session.logging.debug("Layout Expert: nothing is taken from the kernel's BTF: %s", error)
        return
    # What the profile has is the headers' own, and is held against BTF as well.
    data["$STRUCTS"].update((name, layout) for name, layout in types.structs.items() if name not in data["$STRUCTS"])
    for name, choices in types.enums.items():
        if data["$ENUMS"].setdefault(name, choices) is choices:
            data["$REVENUMS"][name] = {enumerator: int(value) for value, enumerator in choices.items()}
    # What they are called by plugins is offered of these, too.
    offer_rekall_names(data["$STRUCTS"], data["$CONSTANTS"])
    added = [name for name in wanted if name in types.structs]
    for name in added:
        del left_out[name]
        metadata.setdefault("private", {})[name] = "the kernel's BTF"
    if added:
        stages.done("btf", f"{len(added)} types that headers lack", ", ".join(sorted(added)[:_MOST_NAMES]))


def is_verified(data: dict, section: Optional[bytes]) -> bool:
    """Whether a stored profile has been held against this BTF, or is made of it, or there is none to hold it against."""
    metadata = data["$METADATA"]
    digests = (metadata.get("verified") or {}).get("btf_digest"), metadata.get("btf_digest")
    return section is None or digest_of(section) in digests


def verify(session, data: dict, section: Optional[bytes], stages: Stages, has_memory: bool) -> None:
    """Takes out of a profile what BTF contradicts. A BTF that is damaged is noted, and the profile stays as it is.

    What was made with a Pre-AST that is not of the kernel's very build keeps only what BTF confirms. Where there is no BTF
    that does, memory must, which is held against every profile; without memory it is refused with a LayoutExpertError.
    """
    metadata = data["$METADATA"]
    if metadata.get("types_from") == "btf":
        return
    match = inexact_match(data)
    if section is None:
        session.logging.debug("Layout Expert: the kernel shows no BTF to hold the profile against")
    else:
        try:
            verify_by_btf(data, section, only_verified=bool(match))
        except LayoutExpertError as error:
            metadata["verified"] = {"btf_digest": digest_of(section), "problem": printable(str(error))}
        stages.done("btf", _outcome(metadata["verified"]), f"digest {digest_of(section)[:16]}")
    if match:
        is_confirmed = section is not None and "problem" not in metadata["verified"]
        if not is_confirmed and not has_memory:
            raise LayoutExpertError(f"the Pre-AST is not exact ({match['why']}), and nothing can verify the profile: there is "
                                    "no BTF of the kernel, and its memory is not held against what is only written to a file",
                                    next_step="analyse the memory itself (-f /proc/kcore or an image, without --output), or "
                                    "give the Pre-AST of the kernel's own headers")
        match["verified_by"] = "btf" if is_confirmed else "memory"


def inexact_match(data: dict) -> Optional[dict]:
    """How a profile's Pre-AST matches the kernel, if it is not of its very build."""
    match = data["$METADATA"].get("match")
    return match if match and match["level"] != "exact" else None


def tell(session, data: dict, stages: Stages) -> None:
    """Tells the user, in one line, what came of it: what went wrong at every start, and the rest at the first."""
    verified, match = data["$METADATA"].get("verified"), inexact_match(data)
    if data["$METADATA"].get("types_from") == "btf":
        stages.say("there is no Pre-AST of this kernel's headers: the types are those of its own BTF, and --explain has no "
                   "headers and conditions to show (where it was looked for: rekall layout_expert --pre_ast_skip btf)")
    else:
        for _, _, how, _ in (stage for stage in stages.passed if stage[0] == "pre_ast"):
            stages.say(f"Pre-AST {how}")
    if match:
        by = "only what the kernel's own BTF confirms is used" if match["verified_by"] == "btf" else \
            "no BTF confirms it: memory was read by it without a contradiction, and what it was not read for may be wrong"
        session.logging.warning("Layout Expert: the Pre-AST is not exact (%s): %s; %s", match["level"], match["why"], by)
    if not verified:
        return
    if "problem" in verified or verified["refused"]:
        session.logging.warning("Layout Expert: %s", _outcome(verified))
    elif any(stage == "btf" for stage, *_ in stages.passed):
        stages.say(_outcome(verified))


def _outcome(verified: dict) -> str:
    if "problem" in verified:
        return f"the profile is not verified against the kernel's own BTF: {verified['problem']}"
    outcome = f"{verified['structs']:,} structs verified against the kernel's own BTF"
    refused = verified["refused"]
    if not refused:
        return outcome
    names = ", ".join(refused[:_MOST_NAMES]) + (f" and {len(refused) - _MOST_NAMES} more" if refused[_MOST_NAMES:] else "")
    return f"{outcome}, which contradicts the profile in {len(refused):,}; these are not used: {names}"


def _holds(memory, start: int, end: int) -> bool:
    """Whether all of a part of physical memory is in an image."""
    for run in sorted(memory.get_mappings(), key=lambda run: run.start):
        if run.start <= start < run.end:
            start = run.end
    return start >= end
