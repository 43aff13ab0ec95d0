"""Paths of files and mounts, where Rekall reads what a kernel's headers no longer tell.

Since 3.3 ("vfs: start hiding vfsmount guts series") most of what was in struct vfsmount is in struct
mount, which is private to fs/: a profile made from a headers package does not have it.
"""
from __future__ import annotations

from rekall import obj
from rekall.plugins.overlays import basic
from rekall_lib import utils

# Files of these have no path; the kernel composes a name (the d_dname of fs/pipe.c, net/socket.c, fs/anon_inodes.c).
_NAMES_OF_NO_PATH = {"sockfs": "socket:[{inode}]", "pipefs": "pipe:[{inode}]", "anon_inodefs": "anon_inode:{name}"}
# What the kernel's own d_path() can return is a page; names have at least one character and a slash.
_MOST_NAMES = 2048


def name_of_no_path(file):
    """The name of a socket, a pipe or an anonymous file, as /proc/PID/fd has it; None for other files."""
    entry = file.f_path.dentry
    form = _NAMES_OF_NO_PATH.get(utils.SmartUnicode(file.f_path.mnt.mnt_sb.s_id))
    return form and form.format(inode=int(entry.d_inode.i_ino), name=utils.SmartUnicode(entry.d_name.name.deref()))


def path_without_mounts(task, file):
    """The path of a file of a task, by directory entries alone.

    Exact for what is in the task's root file system. Where another one is mounted only struct mount
    tells, so a path in it begins with its name, as in `(sda2)/bin/sh`.
    """
    path, root = file.f_path, task.fs.root
    entry, names = path.dentry.deref(), []
    # As d_unhashed(): since 2.6.38 no flag says so.
    deleted = " (deleted)" if not entry.d_hash.pprev and entry.d_parent != entry else ""
    while entry != path.mnt.mnt_root and entry.d_parent != entry and len(names) < _MOST_NAMES:
        if path.mnt == root.mnt and entry == root.dentry:
            break
        names.append(utils.SmartUnicode(entry.d_name.name.deref()))
        entry = entry.d_parent.deref()
    system = "" if path.mnt == root.mnt else f"({utils.SmartUnicode(path.mnt.mnt_sb.s_id)})"
    return f"{system}/{'/'.join(reversed(names))}{deleted}"


def apply(profile: obj.Profile) -> None:
    """Rekall's overlay expects vfsmount.mnt_devname, and warns in each run that it is missing.

    It is in struct mount since 3.3 ("vfs: move mnt_devname").
    """
    if "mnt_devname" not in _members(profile, "vfsmount"):
        profile.add_overlay({"vfsmount": [None, {"mnt_devname": _device_name}]})


def has_mounts(profile: obj.Profile) -> bool:
    """Whether paths can be followed from one mount to the one that it is mounted on."""
    return any("mnt_mountpoint" in _members(profile, struct) for struct in ("mount", "vfsmount"))


def _device_name(mount):
    if "mnt_devname" not in _members(mount.obj_profile, "mount"):
        return obj.NoneObject("struct mount is not in the profile")
    return basic.container_of(mount.reference(), "mount", "mnt").mnt_devname


def _members(profile: obj.Profile, struct: str) -> dict:
    # Not get_obj_offset(), which compiles the type: that is what warns.
    return profile.vtypes.get(struct, (0, {}))[1]
