"""Rekall's Linux plugins on kernels that came after Rekall: what has changed since 4.13, one module for each subject.

The smallest means that does it, in this order: a name in the profile (profile/compatibility.py), an overlay or a class
for a struct, a method of a plugin that collects what the kernel now keeps elsewhere. Each says which change of the
kernel made it necessary, and is given only to profiles of kernels that have it.

Nothing of this is imported before a profile of ours is loaded.
"""
from __future__ import annotations

from rekall import obj

from rekall_layout_expert.plugin.linux import (
    checks, files, heaps, keepassx, log, machine, memory_maps, modules, mounts, network, notifiers, open_files, pages, paths,
    processes, symbols, tasks, zsh)
from rekall_layout_expert.plugin.linux.replacing import mark

_SUBJECTS = (paths, tasks, memory_maps, pages, processes, open_files, mounts, network, modules, log, symbols, machine, files,
             checks, notifiers, heaps, zsh, keepassx)


def apply(profile: obj.Profile) -> None:
    """Gives a profile, and with it Rekall's plugins, all that its kernel needs."""
    mark(profile)
    for subject in _SUBJECTS:
        if hasattr(subject, "apply"):
            subject.apply(profile)
