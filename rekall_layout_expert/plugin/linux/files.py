"""Files of mounted file systems: directories and what of a file's content is in memory."""
from __future__ import annotations

from typing import Iterator, List, Tuple

from rekall import obj
from rekall.plugins.linux import fs
from rekall.plugins.overlays.linux import vfs
from rekall.ui import json_renderer
from rekall_lib import utils

from rekall_layout_expert.plugin.linux.lists import MOST, hlist_entries, list_entries, xarray_entries
from rekall_layout_expert.plugin.linux.pages import page_of
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

_PAGE = 4096
# A file is written with holes; of a nonsense size it is not.
_LARGEST_FILE = 1 << 40
_TIMES = ("i_atime", "i_mtime", "i_ctime")


class Time:
    """In place of an inode's struct timespec."""

    def __init__(self, seconds: int):
        self.tv_sec = seconds


class FileAsJson(json_renderer.StateBasedObjectRenderer):
    """A file as --format json and data write it; Rekall has no form for one, and says so in place of it."""

    renders_type = "File"
    renderers = ["JsonRenderer", "DataExportRenderer"]

    def GetState(self, item, **options):
        return dict(super().GetState(item, **options), path=item.fullpath)


def children_of(entry) -> Iterator[obj.Struct]:
    """The directory entries in a directory.

    3.19 "move d_rcu from overlapping d_child to overlapping d_alias" made d_child a member of its own; 6.8 "dentry: switch
    the lists of children to hlist".
    """
    if "d_children" in members_of(entry.obj_profile, "dentry"):
        return hlist_entries(entry.d_children, "dentry", "d_sib")
    return list_entries(entry.d_subdirs, "dentry", "d_child")


@replaces(vfs.File, "walk", lambda profile: bool({"d_child", "d_children"} & set(members_of(profile, "dentry"))))
def files_in(self, recursive=False, unallocated=False):
    """The files in a directory, in the order of their paths; with `recursive`, in those below, too."""
    found, stack, seen = [], [self], set()
    while stack and len(seen) < MOST:
        directory = stack.pop()
        if not directory.is_directory() or int(directory.dentry) in seen:
            continue
        seen.add(int(directory.dentry))
        for entry in children_of(directory.dentry):
            inode, name = entry.d_inode, utils.SmartUnicode(entry.d_name.name.deref())
            # An entry that is not hashed is of a file that was deleted and is still open.
            if not name or not (inode and entry.d_hash.pprev or unallocated):
                continue
            file = vfs.File(filename=([] if directory.is_root else directory.filename) + [name],
                            mountpoint=self.mountpoint, dentry=entry.reference(), session=self.session)
            found.append(file)
            if recursive and inode:
                stack.append(file)
    yield from sorted(found, key=lambda file: file.fullpath)


def pages_of(inode) -> List[Tuple[int, int, int]]:
    """(first page, number of pages, address of the struct page) of what of a file is in memory, in the file's order.

    4.20 "xarray: Replace exceptional entries" and "page cache: Rearrange address_space" made the page cache an xarray,
    whose entries may stand for several pages.
    """
    cache = inode.i_mapping
    return sorted(xarray_entries(cache.multi_m("i_pages", "page_tree")))


@replaces(fs.Mfind, "find")
def find(plugin, path, device=None, mountpoint=None):
    """The files of that path in the mounts that it may be in.

    Rekall's own goes on below a directory that it did not find, begins at the top of a file system of which only a part is
    mounted, and takes /runner for a file in what is mounted at /run.
    """
    wanted = _names(path)
    for mounted in [mountpoint] if mountpoint else plugin.session.plugins.mount().get_mount_points():
        above = _names(mounted.name)
        if device is not None and mounted.device != device or wanted[:len(above)] != above:
            continue
        file = vfs.File(mountpoint=mounted, dentry=getattr(mounted, "root", None) or mounted.sb.s_root, is_root=True,
                        session=plugin.session)
        for name in wanted[len(above):]:
            file = next((each for each in file.walk() if each.name == name), None)
            if file is None:
                break
        if file is not None:
            yield file


def _names(path) -> List[str]:
    return [name for name in utils.SmartUnicode(path).split("/") if name not in ("", ".")]


@replaces(fs.Mcat, "collect")
def contents(plugin):
    """Writes what of the files is in memory, and tells which parts that is; the others are holes."""
    physical = plugin.session.physical_address_space
    for row in fs.Mfind.collect(plugin):
        file = row.get("file")
        if not file or not file.dentry.d_inode.type.S_IFREG:
            continue
        size = int(file.size)
        with plugin.session.GetRenderer().open(filename=row["path"], directory=plugin.plugin_args.dump_dir, mode="wb") as out:
            for start, end, address in _runs(file.dentry.d_inode, size):
                for offset in range(start, end, _PAGE):
                    out.seek(offset)
                    page = page_of(plugin.session.profile, address) + offset - start
                    out.write(physical.read(page, min(_PAGE, end - offset)))
                yield dict(start=start, end=end, path=row["path"], dump_name=out.name)
            out.truncate(size if 0 <= size <= _LARGEST_FILE else None)


def _runs(inode, size: int) -> Iterator[Tuple[int, int, int]]:
    """(first byte, byte after the last, struct page) of each entry of a file's page cache, as far as the file goes."""
    for first, count, address in pages_of(inode):
        start, end = first * _PAGE, min((first + count) * _PAGE, size)
        if start < end:
            yield start, end, address


def apply(profile: obj.Profile) -> None:
    """Gives inodes their times back, as whole seconds: the plugins make a date of a number, but not of a member.

    6.7 "fs: new accessor methods for atime and mtime" renamed them, 6.11 "fs: switch timespec64 fields in inode to
    discrete integers" split them.
    """
    profile.add_overlay({"inode": [None, {time: _time_of(profile, time) for time in _TIMES}]})


def _time_of(profile: obj.Profile, time: str):
    """What reads a time of an inode."""
    inode = members_of(profile, "inode")
    if f"{time}_sec" in inode:
        return lambda inode: Time(int(inode.m(f"{time}_sec")))
    at, name = inode.get(time) or inode.get(f"__{time}") or (None, None)
    if at is None:
        return lambda inode: Time(0)
    return lambda inode: Time(int(profile.Object(name[0], offset=inode.obj_offset + at, vm=inode.obj_vm).tv_sec))
