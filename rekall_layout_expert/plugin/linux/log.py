"""The kernel's log.

5.10 "printk: use the lockless ringbuffer" keeps a record's text, what is known of it and whether it is complete in three
rings. Before, records follow each other in one buffer, which begins again where the next one has no room; their struct is
printk_log, which Rekall knows only by the name that it had in 3.10, log. Sources: kernel/printk/printk_ringbuffer.h, and
kernel/printk/printk.c until 5.9.
"""
from __future__ import annotations

import struct

from rekall.plugin import PluginError
from rekall.plugins.linux import dmesg

from rekall_layout_expert.plugin.linux.replacing import members_of, need, replaces

_STATE_SHIFT = 62
_ID_MASK = (1 << _STATE_SHIFT) - 1
_COMMITTED, _FINALIZED = 1, 2
# log_buf_len is not more than 2 GB; descriptors are for at least 32 bytes of text each.
_LARGEST_RING_BITS = 31
_LEVELS = ("LOG_EMERG", "LOG_ALERT", "LOG_CRIT", "LOG_ERR", "LOG_WARNING", "LOG_NOTICE", "LOG_INFO", "LOG_DEBUG")
_ID_SIZE = 8


def _has_rings(profile) -> bool:
    return bool(profile.get_constant("prb"))


def _has_records(profile) -> bool:
    return bool(profile.get_constant("log_first_idx")) and not members_of(profile, "log")


@replaces(dmesg.LinuxDmesg, "collect", _has_rings)
def records(plugin):
    """The records of the log, from the oldest on."""
    profile, vm = plugin.profile, plugin.kernel_address_space
    for name in ("printk_ringbuffer", "prb_desc", "printk_info"):
        need(profile, name, "kernel/printk/")
    rings = profile.get_constant_object("prb", target="Pointer", vm=vm,
                                        target_args=dict(target="printk_ringbuffer")).deref()
    ring, text = rings.desc_ring, rings.text_data_ring
    bits, text_bits = int(ring.count_bits), int(text.size_bits)
    if max(bits, text_bits) > _LARGEST_RING_BITS:
        raise PluginError("the kernel's log cannot be read: the sizes of its rings are none")
    first, last = (int(getattr(ring, name).counter) & _ID_MASK for name in ("tail_id", "head_id"))
    descriptors, infos = (profile.Array(offset=int(getattr(ring, name)), vm=vm, count=1 << bits, target=target)
                          for name, target in (("descs", "prb_desc"), ("infos", "printk_info")))
    for number in range(min((last - first & _ID_MASK) + 1, 1 << bits)):
        identity = first + number & _ID_MASK
        descriptor, info = (each[identity & (1 << bits) - 1] for each in (descriptors, infos))
        state = int(descriptor.state_var.counter) & (1 << 64) - 1
        if state & _ID_MASK != identity or state >> _STATE_SHIFT not in (_COMMITTED, _FINALIZED):
            continue
        message = _text(vm, int(text.data), text_bits, identity, descriptor.text_blk_lpos, int(info.text_len))
        if message is not None:
            yield dict(timestamp=int(info.ts_nsec) / 1e9, facility=int(info.facility), level=_LEVELS[int(info.level)],
                       message=message)


def _text(vm, data: int, bits: int, identity: int, block, length: int):
    """A record's text; None if it was overwritten."""
    begin, end = int(block.begin), int(getattr(block, "next"))
    if begin & 1:
        return ""  # There was none, or no room for it.
    # A block that does not fit before the end of the ring is at its begin.
    start = begin & (1 << bits) - 1 if begin >> bits == end >> bits or not end & (1 << bits) - 1 else 0
    room = (end - start & (1 << bits) - 1 or 1 << bits) - _ID_SIZE
    if struct.unpack("<Q", vm.read(data + start, _ID_SIZE))[0] & _ID_MASK != identity:
        return None
    return vm.read(data + start + _ID_SIZE, max(0, min(length, room))).decode("utf8", "replace")


@replaces(dmesg.LinuxDmesg, "collect", _has_records)
def records_in_one_buffer(plugin):
    """The records of a log without rings, from the oldest on.

    Rekall begins at the start of the buffer, where the oldest one is only until it is full for the first time.
    """
    profile, vm = plugin.profile, plugin.kernel_address_space
    need(profile, "printk_log", "kernel/printk/")
    size = profile.get_obj_size("printk_log")
    buffer, length, place, first, end = (
        int(profile.get_constant_object(name, target=target, vm=vm)) for name, target in (
            ("log_buf", "Pointer"), ("log_buf_len", "unsigned int"), ("log_first_idx", "unsigned int"),
            ("log_first_seq", "unsigned long long"), ("log_next_seq", "unsigned long long")))
    if length > 1 << _LARGEST_RING_BITS:
        raise PluginError("the kernel's log cannot be read: the size of its buffer is none")
    for _ in range(min(end - first, length // size)):
        record = profile.printk_log(offset=buffer + place, vm=vm)
        if not int(record.len):
            place, record = 0, profile.printk_log(offset=buffer, vm=vm)
        if not size + record.text_len <= record.len <= length - place:
            return
        yield dict(timestamp=int(record.ts_nsec) / 1e9, facility=int(record.facility), level=_LEVELS[int(record.level)],
                   message=vm.read(record.obj_offset + size, int(record.text_len)).decode("utf8", "replace"))
        place += int(record.len)
