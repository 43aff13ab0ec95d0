"""Entries in the memory of KeePassX.

Rekall knows those of KeePassX 0.4 for Qt 4, of 2010. KeePassX 2 and KeePassXC, which took its name in distributions, keep
entries in objects of other kinds, and what is protected encrypted: there is nothing to show of them, and a line says so.
"""
from __future__ import annotations

from rekall.plugin import PluginError
from rekall.plugins.linux import keepassx

from rekall_layout_expert.plugin.linux.memory_maps import areas_of
from rekall_layout_expert.plugin.linux.replacing import replaces

_collect = keepassx.Keepassx.collect


@replaces(keepassx.Keepassx, "collect")
def entries(plugin):
    """As Rekall's own, of the processes that are KeePassX 0.4."""
    chosen, others = [], []
    for task in plugin.filter_processes():
        if task.mm and str(task.name).startswith("keepassx"):
            files = {str(task.get_path(area.vm_file)) for area in areas_of(task) if area.vm_file}
            is_known = any("/libQtCore.so.4" in path for path in files)
            (chosen if is_known else others).append(task)
    for task in others:
        plugin.session.logging.warning("Layout Expert: %s (%d) is not KeePassX 0.4, whose entries are all that is known: it "
                                       "has no Qt 4 mapped", task.name, task.pid)
    if not chosen:
        raise PluginError("no process is KeePassX 0.4, the only version whose entries in memory are known")
    plugin.filter_processes = lambda: chosen
    yield from _collect(plugin)
