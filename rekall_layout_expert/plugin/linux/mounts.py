"""What is mounted where."""
from __future__ import annotations

from typing import Iterator

from rekall.plugin import PluginError
from rekall.plugins.linux import mount as rekall_mount
from rekall.plugins.overlays.linux import vfs
from rekall_lib import utils

from rekall_layout_expert.plugin.linux.lists import depth_first, list_entries
from rekall_layout_expert.plugin.linux.paths import has_mounts, path_of
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces


@replaces(rekall_mount.Mount, "get_mount_points", lambda profile: "root" in members_of(profile, "mnt_namespace")
          or not has_mounts(profile))
def mount_points(plugin):
    """The mounts of each mount namespace, as a process in it sees them; those of the first process come first.

    Rekall walks the table in which the kernel looks mounts up, whose chains and size changed in 3.14 ("switch mnt_hash to
    hlist", "resizable namespace.c hashes"). The tree of a namespace's mounts is the same in all kernels.
    What is above the process's root, as an initramfs is, and what another namespace has at the same place, is left out.
    """
    if not has_mounts(plugin.session.profile):
        raise PluginError("this profile has no struct mount: it is private to the kernel's fs/mount.h, which headers packages "
                          "lack. Use a Pre-AST from full source, or a kernel that carries BTF")
    seen_namespaces, listed = set(), set()
    for task in plugin.session.plugins.pslist().filter_processes():
        namespace, root = task.nsproxy.mnt_ns, task.fs.root
        # A kernel thread's root may be the one from which the first process has moved away.
        if not task.mm or not namespace or int(namespace) in seen_namespaces:
            continue
        seen_namespaces.add(int(namespace))
        place = (int(root.dentry), int(root.mnt))
        for mount in mounts_of(namespace):
            path, is_reachable = path_of(mount.mnt.mnt_root, mount.mnt, place)
            name = utils.SmartUnicode(mount.mnt_devname.deref())
            key = (name, path, int(mount.mnt.mnt_sb), int(mount.mnt.mnt_root))
            if is_reachable and key not in listed:
                listed.add(key)
                found = vfs.MountPoint(device=name, mount_path=path, superblock=mount.mnt.mnt_sb, flags=mount.mnt.mnt_flags,
                                       session=plugin.session)
                # Of a bind mount, a directory of the file system that is not its top.
                found.root = mount.mnt.mnt_root
                yield found


def mounts_of(namespace) -> Iterator:
    """All struct mounts of a namespace, each before what is mounted on it."""
    def mounted_on(mount, _):
        return reversed([(each, None) for each in list_entries(mount.mnt_mounts, "mount", "mnt_child")])

    for mount, _ in depth_first([(namespace.root.deref(), None)], mounted_on):
        yield mount
