"""The running kernel's symbols: from the kernel itself, else from a System.map that fits it.

/proc/kallsyms cannot be of another build and is taken where it shows addresses and data. Where it
does not, System.map is held against what it does show: the names, and their distances from _text.
"""
from __future__ import annotations

import itertools
import os
import re
from typing import Dict, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.host.kcore import kcore_text_segment
from rekall_layout_expert.host.permissions import why_addresses_are_hidden
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols, text_link_address

_KALLSYMS = "/proc/kallsyms"
_KALLSYMS_LIMIT = 256 << 20
# The last are where the packages with debug information put them.
_MAPS = (
    "/boot/System.map-{release}",
    "/lib/modules/{release}/System.map",
    "/usr/lib/modules/{release}/System.map",
    "/usr/lib/kernel/System.map-{release}",
    "/lib/modules/{release}/build/System.map",
    "/usr/lib/debug/boot/System.map-{release}",
    "/usr/lib/debug/lib/modules/{release}/System.map",
)
# Global functions of the kernel proper; modules' lines have a fourth column.
_FUNCTION = re.compile(r"^([0-9a-fA-F]+) T (\S+)$", re.MULTILINE)
# _text follows the per-CPU symbols, of which there are some hundreds.
_LINES_BEFORE_TEXT = 20000


def find_symbols(kernel: Kernel, config: KernelConfig, root: Path = "/") -> Tuple[Symbols, Optional[str]]:
    """The symbols of the kernel running on the host mounted at root, and what to know of the choice.

    A LayoutExpertError names every place looked at, why each was passed over, and what helps.
    """
    link_text = text_link_address(config)
    kallsyms = resolve_under(root, _KALLSYMS)
    try:
        return Symbols.read(kallsyms, link_text), None
    except LayoutExpertError as error:
        reason, next_step = error.what, None
    running = _running_functions(kallsyms)
    if running and not any(running.values()):
        hidden, next_step = why_addresses_are_hidden(root)
        reason = f"shows only zeros: {hidden}"
    looked_at = [f"{kallsyms} ({_without_path(reason, kallsyms)})"]
    for path in dict.fromkeys(resolve_under(root, place.format(release=kernel.release)) for place in _MAPS):
        if not os.path.exists(path):
            looked_at.append(f"{path} (absent)")
            continue
        try:
            symbols = Symbols.read(path, link_text)
        except LayoutExpertError as error:
            looked_at.append(f"{path} ({_without_path(error.what, path)})")
            continue
        if not _agree(symbols, running):
            looked_at.append(f"{path} (of another build: it contradicts {kallsyms})")
            continue
        return symbols, f"symbols are from {path}, for {kallsyms} {_without_path(reason, kallsyms)}"
    raise LayoutExpertError(
        f"no symbols of the running kernel {kernel.release} were found", looked_at,
        next_step or "give the System.map of this very build, from the kernel's debug package, with --system")


def kaslr_slide(config: KernelConfig, root: Path = "/") -> Optional[int]:
    """By how many bytes the running kernel was moved from where it was linked; None if nothing tells.

    Far cheaper than reading all symbols, for who has a profile already and needs only the slide.
    """
    link_text = text_link_address(config)
    start = _running_text_address(resolve_under(root, _KALLSYMS))
    if start is None:
        try:
            start, _ = kcore_text_segment(resolve_under(root, "/proc/kcore"), root)
        except LayoutExpertError:
            return None
    return None if link_text is None else start - link_text


def _running_text_address(kallsyms: str) -> Optional[int]:
    try:
        with open(kallsyms, encoding="ascii", errors="replace") as file:
            for line in itertools.islice(file, _LINES_BEFORE_TEXT):
                match = _FUNCTION.match(line)
                if match and match.group(2) == "_text":
                    return int(match.group(1), 16) or None
    except OSError:
        pass
    return None


def _running_functions(kallsyms: str) -> Dict[str, int]:
    try:
        text = read_bounded(kallsyms, _KALLSYMS_LIMIT).decode("utf-8", "replace")
    except LayoutExpertError:
        return {}
    return {name: int(address, 16) for address, name in _FUNCTION.findall(text)}


def _agree(symbols: Symbols, running: Dict[str, int]) -> bool:
    addresses = symbols.addresses
    if not addresses.keys() >= running.keys():
        return False
    start = running.get("_text")  # 0 where addresses are hidden: then the names must do
    return not start or all(
        address - start == addresses[name] - addresses["_text"] for name, address in running.items())


def _without_path(what: str, path: str) -> str:
    return what[len(path):].lstrip() if what.startswith(path) else what
