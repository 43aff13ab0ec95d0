"""Why the kernel hides its addresses or its memory, and what helps.

/proc/kallsyms shows zeros, and /proc/kcore cannot be opened, without a word on the reason: a missing
capability, a sysctl, lockdown or a container.
"""
from __future__ import annotations

import os
import re
import stat
from typing import Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under

_CAP_SYS_RAWIO, _CAP_SYSLOG = 17, 34
_KPTR_RESTRICT = "/proc/sys/kernel/kptr_restrict"
_LOCKDOWN = "/sys/kernel/security/lockdown"

_AS_ROOT = "run it again as root (sudo)"


def why_addresses_are_hidden(root: Path = "/") -> Tuple[str, str]:
    """Why /proc/kallsyms shows only zeros: the reason, and the next step."""
    restricted = _read(root, _KPTR_RESTRICT) == "2"
    lacking = not _has_capability(root, _CAP_SYSLOG)
    found = [("kernel.kptr_restrict is 2", "as root, `sysctl kernel.kptr_restrict=1`")] * restricted
    found += [("this process lacks CAP_SYSLOG (it is not root's)", _AS_ROOT)] * lacking
    if not found:
        return "a container or user namespace seems to hide them", "run it on the host itself, outside of containers"
    reasons, steps = zip(*found)
    return " and ".join(reasons), ", then ".join(steps)


def why_kcore_is_closed(root: Path = "/") -> Tuple[str, str]:
    """Why /proc/kcore cannot be read: the reason, and the next step."""
    path = resolve_under(root, "/proc/kcore")
    take_image = "take a memory image with the means of the hypervisor or the hardware"
    if not os.path.exists(path):
        return ("it is absent: the kernel has no CONFIG_PROC_KCORE, or /proc is not mounted",
                "mount /proc, or take a memory image")
    if not stat.S_ISREG(os.stat(path).st_mode):
        return "a container has covered it", "run it on the host itself, outside of containers"
    if not _has_capability(root, _CAP_SYS_RAWIO):
        return "this process lacks CAP_SYS_RAWIO (it is not root's)", _AS_ROOT
    if lockdown(root) == "confidentiality":
        return "the kernel is locked down (lockdown=confidentiality)", "boot without it, or " + take_image
    return "the kernel or a security module forbids it", take_image


def lockdown(root: Path = "/") -> Optional[str]:
    """The level of the kernel's lockdown: none, integrity or confidentiality; None if it has none."""
    chosen = re.search(r"\[(\w+)\]", _read(root, _LOCKDOWN) or "")
    return chosen and chosen.group(1)


def _has_capability(root: Path, number: int) -> bool:
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", _read(root, "/proc/self/status") or "", re.MULTILINE)
    return not effective or bool(int(effective.group(1), 16) >> number & 1)


def _read(root: Path, path: str) -> Optional[str]:
    try:
        # Not resolve_under: /proc/self is a magic link, the same in every mount of this /proc.
        return read_bounded(os.path.join(root, path.lstrip("/")), 1 << 16).decode("utf-8", "replace").strip()
    except LayoutExpertError:
        return None
