"""A finished profile held against the BTF that the kernel carries, before anything is given to the session.

A running kernel shows it in a file. In memory it lies between the symbols __start_BTF and __stop_BTF, in
the kernel's image, which is in one piece in physical memory: so no page tables are needed to read it.
"""
from __future__ import annotations

from typing import Mapping, Optional

from rekall_layout_expert.errors import LayoutExpertError, printable
from rekall_layout_expert.host.btf import find_btf
from rekall_layout_expert.plugin.address_spaces import is_running_kernel
from rekall_layout_expert.plugin.kernel_location import Location
from rekall_layout_expert.plugin.profile_maker import Stages
from rekall_layout_expert.verification.btf import SIZE_LIMIT, digest_of
from rekall_layout_expert.verification.verify import verify_by_btf

_CHUNK = 1 << 20
_HEADER_SIZE = 24
_MOST_NAMES = 10


def read_btf(memory, location: Location, addresses: Mapping[str, int]) -> Optional[bytes]:
    """The kernel's .BTF section; None if it has none, or the image lacks it.

    memory: Rekall's physical address space. addresses: link-time addresses by name.
    """
    section = find_btf() if is_running_kernel(memory) else None
    start, stop, text = (addresses.get(name) for name in ("__start_BTF", "__stop_BTF", "_text"))
    if section or location.text is None or None in (start, stop, text) or not 0 < stop - start <= SIZE_LIMIT:
        return section
    place, end = location.text + start - text, location.text + stop - text
    if not _holds(memory, place, end):
        return None
    section = b"".join(memory.read(at, min(_CHUNK, end - at)) for at in range(place, end, _CHUNK))
    # What whoever took the image has left out reads as zeros.
    return section if any(section[:_HEADER_SIZE]) else None


def is_verified(data: dict, section: Optional[bytes]) -> bool:
    """Whether a stored profile has been held against this BTF, or there is none to hold it against."""
    return section is None or (data["$METADATA"].get("verified") or {}).get("btf_digest") == digest_of(section)


def verify(session, data: dict, section: Optional[bytes], stages: Stages) -> None:
    """Takes out of a profile what BTF contradicts. A BTF that is damaged is noted, and the profile stays as it is."""
    if section is None:
        session.logging.debug("Layout Expert: the kernel shows no BTF to hold the profile against")
        return
    try:
        verify_by_btf(data, section)
    except LayoutExpertError as error:
        data["$METADATA"]["verified"] = {"btf_digest": digest_of(section), "problem": printable(str(error))}
    stages.done("btf", _outcome(data["$METADATA"]["verified"]), f"digest {digest_of(section)[:16]}")


def tell(session, data: dict, stages: Stages) -> None:
    """Tells the user, in one line, what came of it: what went wrong at every start, and the rest at the first."""
    verified = data["$METADATA"].get("verified")
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
