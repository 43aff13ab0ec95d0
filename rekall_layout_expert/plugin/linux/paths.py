"""Paths of open files and of mounts, as the kernel shows them in /proc.

Since 3.3 ("vfs: start hiding vfsmount guts series") most of what was in struct vfsmount is in struct mount, which is
private to fs/. Rekall's own way to a path stops at fifteen names, and tells deleted files by a flag that went in 2.6.38
and means something else today. Source: fs/d_path.c.
"""
from __future__ import annotations

from typing import Optional, Tuple

from rekall import obj
from rekall.plugins.overlays import basic
from rekall_lib import utils

from rekall_layout_expert.plugin.linux.replacing import members_of

# Files of these have no path; the kernel composes a name (the d_dname of fs/pipe.c, net/socket.c, fs/anon_inodes.c).
_NAMES_OF_NO_PATH = {"sockfs": "socket:[{inode}]", "pipefs": "pipe:[{inode}]", "anon_inodefs": "anon_inode:{name}",
                     "dmabuf": "/dmabuf:{name}"}
# What the kernel's own d_path() can return is a page; names have at least one character and a slash.
_MOST_NAMES = 2048
_DELETED = " (deleted)"


def name_of_no_path(file) -> Optional[str]:
    """The name of a socket, a pipe, a namespace or an anonymous file, as /proc/PID/fd has it; None for other files."""
    entry = file.f_path.dentry
    system = utils.SmartUnicode(file.f_path.mnt.mnt_sb.s_id)
    if system == "nsfs":
        operations = entry.d_inode.i_private.dereference_as("ns_common").ops
        return f"{operations.name.dereference_as('String')}:[{int(entry.d_inode.i_ino)}]"
    form = _NAMES_OF_NO_PATH.get(system)
    return form and form.format(inode=int(entry.d_inode.i_ino), name=_name(entry))


def path_of_file(task, file) -> str:
    """The path of an open file of a task."""
    name = name_of_no_path(file)
    if name:
        return name
    entry, mounted = file.f_path.dentry.deref(), file.f_path.mnt
    if _is_top(entry) and entry != mounted.mnt_root:
        # A file that never was in a directory, as of memfd_create() (simple_dname()).
        return f"/{_name(entry)}{_DELETED}"
    if has_mounts(entry.obj_profile):
        path, _ = path_of(entry, mounted)
    else:
        path = _path_without_mounts(task, entry, mounted)
    return path + _DELETED if not entry.d_hash.pprev and not _is_top(entry) else path


def path_of(entry, mounted, root: Optional[Tuple[int, int]] = None) -> Tuple[str, bool]:
    """The path of a directory entry in a mount, and whether it leads to the root that is given.

    root: addresses of its directory entry and of its vfsmount; without one the path is that from the top of all mounts.
    """
    entry, names = _struct(entry), []
    mount = _mount(mounted)
    for _ in range(_MOST_NAMES):
        if not entry or not mount:
            break
        inner = mount.m("mnt") if mount.obj_type == "mount" else mount
        if (entry.obj_offset, inner.obj_offset) == root:
            return "/" + "/".join(reversed(names)), True
        if entry == inner.mnt_root or _is_top(entry):
            above = mount.mnt_parent.deref()
            if above == mount or not above:
                break
            entry, mount = mount.mnt_mountpoint.deref(), above
            continue
        names.append(_name(entry))
        entry = entry.d_parent.deref()
    return "/" + "/".join(reversed(names)), root is None


def has_mounts(profile: obj.Profile) -> bool:
    """Whether paths can be followed from one mount to the one that it is mounted on."""
    return any("mnt_mountpoint" in members_of(profile, struct) for struct in ("mount", "vfsmount"))


def _path_without_mounts(task, entry, mounted) -> str:
    """The path by directory entries alone.

    Exact for what is in the task's root file system. Where another one is mounted only struct mount tells, so a path in
    it begins with its name, as in `(sda2)/bin/sh`.
    """
    root, names = task.fs.root, []
    while entry != mounted.mnt_root and not _is_top(entry) and len(names) < _MOST_NAMES:
        if mounted == root.mnt and entry == root.dentry:
            break
        names.append(_name(entry))
        entry = entry.d_parent.deref()
    system = "" if mounted == root.mnt else f"({utils.SmartUnicode(mounted.mnt_sb.s_id)})"
    return f"{system}/{'/'.join(reversed(names))}"


def _mount(mounted):
    """The struct mount that a vfsmount is part of; until 3.2 it is the vfsmount."""
    if "mnt" not in members_of(mounted.obj_profile, "mount"):
        return _struct(mounted)
    return basic.container_of(mounted if isinstance(mounted, obj.Pointer) else mounted.reference(), "mount", "mnt")


def _struct(pointer_or_struct):
    return pointer_or_struct.deref() if isinstance(pointer_or_struct, obj.Pointer) else pointer_or_struct


def _is_top(entry) -> bool:
    return entry.d_parent == entry


def _name(entry) -> str:
    return utils.SmartUnicode(entry.d_name.name.deref())


def apply(profile: obj.Profile) -> None:
    """Rekall's overlay expects vfsmount.mnt_devname, and warns in each run that it is missing.

    It is in struct mount since 3.3, too.
    """
    if "mnt_devname" not in members_of(profile, "vfsmount"):
        profile.add_overlay({"vfsmount": [None, {"mnt_devname": _device_name}]})


def _device_name(mount):
    if "mnt_devname" not in members_of(mount.obj_profile, "mount"):
        return obj.NoneObject("struct mount is not in the profile")
    return basic.container_of(mount.reference(), "mount", "mnt").mnt_devname
