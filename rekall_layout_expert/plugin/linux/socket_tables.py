"""The tables in which the kernel looks sockets up: also those that no process holds.

A connection outlives its process while it is closed (FIN_WAIT, TIME_WAIT), and is there before one accepts it (SYN_RECV,
and what waits to be accepted). In these tables is what /proc/net/tcp and its like show. Sources: include/net/inet_hashtables.h,
udp.h, raw.h, net/unix/af_unix.c.
"""
from __future__ import annotations

import struct
from typing import Dict, Iterator, Tuple

from rekall import obj

from rekall_layout_expert.plugin.linux.lists import MOST, list_entries
from rekall_layout_expert.plugin.linux.replacing import members_of

# The kernel gives its table of TCP connections at most so many rows (tcp_init()); UDP's and the others are smaller.
_MOST_ROWS = 1 << 24
_ROWS_AT_ONCE = 1 << 12
_UNIX_ROWS = 512


def hashed_sockets(session) -> Dict[int, obj.Struct]:
    """{address: struct sock_common} of what the tables for TCP, UDP, raw and Unix sockets hold, in all namespaces."""
    profile, vm = session.profile, session.kernel_address_space
    found: Dict[int, obj.Struct] = {}
    if "skc_node" not in members_of(profile, "sock_common") or "inet_ehash_bucket" not in profile.vtypes:
        session.logging.warning("this profile has no struct inet_ehash_bucket: sockets that no process holds are not listed")
        return found
    link = profile.get_obj_offset("sock_common", "skc_node")
    for start, rows, size in _tables(session):
        for first in _firsts(vm, start, rows, size):
            # The last node's pointer is NULL, or in tables that are read without locks an odd number.
            while first and not first & 1 and len(found) < MOST:
                node = obj.Pointer.integer_to_address(first)
                if node - link in found or not vm.is_valid_address(node):
                    break
                found[node - link] = profile.sock_common(offset=node - link, vm=vm)
                first, = struct.unpack("<Q", vm.read(node, 8))
    return found


def _tables(session) -> Iterator[Tuple[int, int, int]]:
    """(address of the first row's pointer, number of rows, bytes from one to the next)."""
    profile, vm = session.profile, session.kernel_address_space
    namespaces = list(list_entries(profile.get_constant_object("net_namespace_list", target="list_head", vm=vm), "net", "list"))

    def variable(name: str, kind: str):
        return profile.get_constant_object(name, target=kind, vm=vm) if kind in profile.vtypes else None

    # 6.1 "tcp: Introduce optional per-netns ehash.", 6.2 "udp: Introduce optional per-netns hash table.".
    hashes = _distinct([variable("tcp_hashinfo", "inet_hashinfo")] + [
        namespace.m("ipv4").m("tcp_death_row").m("hashinfo") for namespace in namespaces])
    for info in hashes:
        yield from _rows_of(profile, int(info.ehash), int(info.ehash_mask) + 1, "inet_ehash_bucket", "chain")
        if "listening_hash" in members_of(profile, "inet_hashinfo"):
            kind, count = "inet_listen_hashbucket", members_of(profile, "inet_hashinfo")["listening_hash"][1][1]["count"]
            yield from _rows_of(profile, info.listening_hash.obj_offset, count, kind, "head")
        else:
            # 5.19 "net: inet: Retire port only listening_hash".
            yield from _rows_of(profile, int(info.lhash2), int(info.lhash2_mask) + 1, "inet_listen_hashbucket", "nulls_head")
    for table in _distinct([variable(name, "udp_table") for name in ("udp_table", "udplite_table")] + [
            namespace.m("ipv4").m("udp_table") for namespace in namespaces]):
        yield from _rows_of(profile, int(table.hash), int(table.mask) + 1, "udp_hslot", "head")
    for name in ("raw_v4_hashinfo", "raw_v6_hashinfo"):
        table = variable(name, "raw_hashinfo")
        if table:
            yield table.ht.obj_offset, members_of(profile, "raw_hashinfo")["ht"][1][1]["count"], 8
    # 6.0 "af_unix: Put a socket into a per-netns hash table.".
    for namespace in namespaces:
        buckets = namespace.m("unx").m("table").m("buckets")
        if buckets:
            yield int(buckets), _UNIX_ROWS, 8
    start = profile.get_constant("unix_socket_table", is_address=True)
    if start:
        yield start, _UNIX_ROWS, 8


def _distinct(places) -> list:
    """What structs and pointers to structs lead to, each once."""
    found = {}
    for place in places:
        if place:
            place = place.deref() if isinstance(place, obj.Pointer) else place
            found[place.obj_offset] = place
    return list(found.values())


def _rows_of(profile, start: int, rows: int, kind: str, head: str) -> Iterator[Tuple[int, int, int]]:
    if head in members_of(profile, kind):
        yield start + profile.get_obj_offset(kind, head), min(rows, _MOST_ROWS), profile.get_obj_size(kind)


def _firsts(vm, start: int, rows: int, size: int) -> Iterator[int]:
    """The pointers in a table that lead to something."""
    for row in range(0, rows, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, rows - row)
        content = vm.read(start + row * size, (count - 1) * size + 8)
        for place in range(0, len(content), size):
            first, = struct.unpack_from("<Q", content, place)
            if first and not first & 1:
                yield first
