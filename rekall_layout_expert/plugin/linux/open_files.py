"""What processes have open."""
from __future__ import annotations

import struct

from rekall import obj
from rekall.plugins.linux import lsof

from rekall_layout_expert.plugin.linux.lists import is_readable
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

_PAGE, _POINTER = 4096, 8
# What sysctl fs.nr_open is, where nobody changed it.
_MOST_FILES = 1 << 20


@replaces(lsof.Lsof, "get_open_files")
def open_files(plugin, task):
    """(struct file, descriptor) of each.

    The table of descriptors is read by pages, of which those that are missing are passed over: it may claim to have four
    thousand million entries. Rekall reads each of them by itself, and stops after 100,000.
    """
    table = task.files.fdt if "fdt" in members_of(plugin.profile, "files_struct") else task.files
    if not table:
        return
    start, vm = int(table.fd), task.obj_vm
    end = start + _POINTER * min(int(table.max_fds), _MOST_FILES)
    for place in range(start, end, _PAGE):
        size = min(_PAGE, end - place)
        if not vm.is_valid_address(place) and not vm.is_valid_address(place + size - 1):
            continue
        for number, (pointer,) in enumerate(struct.iter_unpack("<Q", vm.read(place, size))):
            file = plugin.profile.file(offset=obj.Pointer.integer_to_address(pointer), vm=vm)
            # No file is without operations; what is none of it was read of something else.
            if pointer and is_readable(file.f_op):
                yield file, (place - start) // _POINTER + number
