"""Sockets, network devices and neighbours."""
from __future__ import annotations

import socket as c_socket
from typing import Iterator, Optional, Tuple

from rekall import obj
from rekall.plugins.linux import arp, ifconfig, netstat
from rekall.plugins.overlays import basic
from rekall.plugins.overlays.linux import linux

from rekall_layout_expert.plugin.linux import socket_tables
from rekall_layout_expert.plugin.linux.lists import chain, hlist_entries, list_entries
from rekall_layout_expert.plugin.linux.pages import page_of
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

_INET, _INET6 = "AF_INET", "AF_INET6"
# Two names of one number, of which Rekall's table keeps one.
_UNIX = ("AF_UNIX", "AF_LOCAL")
_ADDRESS_SIZES = {c_socket.AF_INET: 4, c_socket.AF_INET6: 16}
_SUN_PATH, _LONGEST_SUN_PATH = 2, 108
_SYN_RECV, _TIME_WAIT, _NEW_SYN_RECV = 3, 6, 12
_TCP = linux.linux_overlay["sock"][1]["sk_protocol"][1][1]["choices"][c_socket.IPPROTO_TCP]
# Protocols that Rekall's list lacks (linux/in.h, linux/in6.h).
_YOUNGER = {"sk_protocol": {58: "IPPROTO_ICMPV6", 143: "IPPROTO_ETHERNET", 262: "IPPROTO_MPTCP"}}
_STATES = linux.linux_overlay["sock_common"][1]["skc_state"][1][1]["choices"]
# What is sent at once is at most so long, in packets and in bytes.
_MOST_PACKETS, _LONGEST_PACKET, _MOST_FRAGMENTS = 1 << 16, 1 << 20, 64


class InetSock(linux.inet_sock):
    """An Internet socket whose addresses are in struct sock_common.

    Those of IPv4 since 2.6.38 (commit 68835aba4d9b), ports since 3.8 (commit ce43b03e8889), those of IPv6 since 3.13 ("ipv6:
    make lookups simpler and faster"). Rekall takes the address 0.0.0.0 for one that is missing, and reads IPv6 from where
    pointers are now.
    """

    @property
    def src_addr(self):
        return self._address("skc_rcv_saddr", "skc_v6_rcv_saddr") or super().src_addr

    @property
    def dst_addr(self):
        return self._address("skc_daddr", "skc_v6_daddr") or super().dst_addr

    @property
    def src_port(self):
        port = self.m("inet_sport")
        return port.cast("unsigned be short") if port != None else super().src_port  # noqa: E711

    @property
    def dst_port(self):
        port = self.sk.m("__sk_common").m("skc_dport")
        return port.cast("unsigned be short") if port != None else super().dst_port  # noqa: E711

    def _address(self, member: str, member_of_6: str) -> Optional[str]:
        return address_in(self.sk.m("__sk_common"), member, member_of_6)


def address_in(common, member: str, member_of_6: str) -> Optional[str]:
    """An address that a struct sock_common has, as text; None on kernels before those."""
    is_6 = common.skc_family == _INET6
    found = common.m(member_of_6 if is_6 else member)
    if found == None:  # noqa: E711: Rekall's NoneObject
        return None
    return found.cast("Ipv6Address" if is_6 else "Ipv4Address").v()


@replaces(netstat.Netstat, "sockets")
def sockets(plugin):
    """(task, file descriptor, struct sock, inode) of each open socket.

    Rekall compares a file's operations with the address at which socket_file_ops was linked, without KASLR's slide.
    """
    operations = plugin.profile.get_constant("socket_file_ops", is_address=True)
    for task, file, descriptor in plugin.session.plugins.lsof().lsof():
        if file.f_op == operations:
            inode = file.dentry.d_inode
            held = basic.container_of(inode, "socket_alloc", "vfs_inode").socket
            if held.sk:
                yield task, descriptor, held.sk, inode


@replaces(netstat.Netstat, "render")
def render_sockets(plugin, renderer):
    """Rekall's two tables, of all Internet and all Unix sockets, also of those that no listed process holds.

    Rekall passes over what is not of one of five protocols, and shows no names that are in no file system. Of connections
    that are being closed, or that nobody accepted yet, there is no process to tell. Who hides a process may forget its sockets.
    """
    found = [(int(task.pid), str(task.comm), int(inode.i_ino), sock.m("__sk_common"))
             for task, _, sock, inode in plugin.sockets()]
    known = {common.obj_offset for *_, common in found}
    found += [("-", *holder_of(common), common) for address, common in socket_tables.hashed_sockets(plugin.session).items()
              if address not in known]
    renderer.table_header([("Proto", "proto", "12"), ("SAddr", "saddr", "15"), ("SPort", "sport", "8"),
                           ("DAddr", "daddr", "15"), ("DPort", "dport", "5"), ("State", "state", "15"),
                           ("Pid", "pid", "8"), ("Comm", "comm", "20")])
    for pid, name, _, common in found:
        if common.skc_family in (_INET, _INET6):
            renderer.table_row(*_internet_row(common), pid, name)
    renderer.section()
    renderer.table_header([("Proto", "proto", "12"), ("RefCount", "ref", "^8"), ("Type", "type", "15"),
                           ("State", "state", "18"), ("Inode", "inode", "8"), ("Path", "path", "20")])
    for _, _, number, common in found:
        if common.skc_family in _UNIX:
            unix = plugin.profile.unix_sock(offset=common.obj_offset, vm=common.obj_vm)
            sock = plugin.profile.sock(offset=common.obj_offset, vm=common.obj_vm)
            renderer.table_row("UNIX", common.m("skc_refcnt").counter, sock.sk_type, common.skc_state, number,
                               _unix_name(unix))


def _internet_row(common):
    """Protocol, addresses and ports, and state, of a sock_common and what it is the beginning of.

    In TIME_WAIT and SYN_RECV that is no struct sock but a smaller one, of TCP. FIN_WAIT2 is like TIME_WAIT, too, where
    nobody holds the socket any more.
    """
    state = int(common.skc_state)
    if state not in (_TIME_WAIT, _NEW_SYN_RECV):
        inet = common.obj_profile.inet_sock(offset=common.obj_offset, vm=common.obj_vm)
        return inet.sk.sk_protocol, inet.src_addr, inet.src_port, inet.dst_addr, inet.dst_port, common.skc_state
    if state == _TIME_WAIT:
        waiting = common.obj_profile.inet_timewait_sock(offset=common.obj_offset, vm=common.obj_vm)
        state = int(waiting.tw_substate)
    else:
        state = _SYN_RECV
    return (_TCP, address_in(common, "skc_rcv_saddr", "skc_v6_rcv_saddr"), int(common.skc_num),
            address_in(common, "skc_daddr", "skc_v6_daddr"), int(common.skc_dport.cast("unsigned be short")),
            _STATES.get(state, state))


def holder_of(common) -> Tuple[str, int]:
    """What is said in place of a process's name, and the socket's inode number, 0 if it has none.

    It has none before it is accepted and after it was closed. If it is of an open file, there should be a process.
    """
    if int(common.skc_state) in (_TIME_WAIT, _NEW_SYN_RECV):
        return "-", 0
    holder = common.obj_profile.sock(offset=common.obj_offset, vm=common.obj_vm).sk_socket
    if not holder:
        return "-", 0
    return "(not listed)" if holder.m("file") else "-", int(
        basic.container_of(holder, "socket_alloc", "socket").vfs_inode.i_ino)


def _unix_name(unix) -> str:
    """The path of a Unix socket, or its name in no file system, which begins with @ as in /proc/net/unix."""
    address = unix.addr
    if not address:
        return ""
    length = min(int(address.len) - _SUN_PATH, _LONGEST_SUN_PATH)
    raw = address.obj_vm.read(address.name.obj_offset + _SUN_PATH, max(length, 0))
    if raw[:1] == b"\0":
        return raw.replace(b"\0", b"@").decode("utf8", "replace")
    return raw.split(b"\0")[0].decode("utf8", "replace")


@replaces(netstat.PacketQueues, "process_socket")
def packets_of_socket(plugin, renderer, task, descriptor, sock) -> bool:
    """Writes what waits in a socket's queues, a file for each; whether there was anything.

    Rekall's own joins bytes as text, reads the buffer's descriptor in place of the buffer, and stops after one queue.
    """
    written = False
    for queue in ("receive", "write"):
        data = b"".join(map(_content, _packets(getattr(sock, f"sk_{queue}_queue"))))
        if data:
            with renderer.open(directory=plugin.output_dir, filename=f"{task.pid:d}.{task.name}.{queue}.{descriptor:d}",
                               mode="wb") as file:
                file.write(data)
            written = True
    return written


def _packets(queue) -> Iterator[obj.Struct]:
    for packet in chain(queue.m("next"), "next", _MOST_PACKETS):
        if packet.obj_offset == queue.obj_offset:
            return
        yield packet


def _content(packet) -> bytes:
    """Of a sk_buff: what is in its own buffer, and in the pages behind it."""
    length, in_pages = int(packet.len), int(packet.data_len)
    if not 0 <= in_pages <= length <= _LONGEST_PACKET:
        return b""
    parts = [packet.obj_vm.read(int(packet.data), length - in_pages)]
    shared = packet.obj_profile.skb_shared_info(offset=int(packet.head) + int(packet.end), vm=packet.obj_vm)
    for fragment in list(shared.frags)[:min(int(shared.nr_frags), _MOST_FRAGMENTS)] if in_pages else ():
        # skb_frag_t is a bio_vec from 5.4 ("net: Convert skb_frag_t to bio_vec"), and a netmem from 6.9 ("net: add
        # netmem to skb_frag_t").
        pointer = fragment.multi_m("netmem", "bv_page", "page.p")
        start, size = (int(fragment.multi_m(*names)) for names in (
            ("offset", "bv_offset", "page_offset"), ("len", "bv_len", "size")))
        if size <= _LONGEST_PACKET:
            parts.append(packet.obj_session.physical_address_space.read(
                page_of(packet.obj_profile, int(pointer)) + start, size))
    return b"".join(parts)


@replaces(ifconfig.Ifconfig, "collect")
def interfaces(plugin):
    """An interface's IPv4 addresses, and interfaces without any, which Rekall leaves out.

    A tunnel has no hardware address.
    """
    for device in plugin.get_devs_namespace():
        addresses = list(chain(device.ip_ptr.ifa_list, "ifa_next")) if device.ip_ptr else []
        for address in addresses or [None]:
            yield dict(interface=address.ifa_label if address else device.name, ipv4=address.ifa_address if address else "",
                       MAC=device.mac_addr if int(device.addr_len) else "", flags=device.flags)


@replaces(ifconfig.Ifconfig, "get_devs_namespace")
def devices(plugin):
    head = plugin.profile.get_constant_object("net_namespace_list", target="list_head", vm=plugin.kernel_address_space)
    for namespace in list_entries(head, "net", "list"):
        yield from list_entries(namespace.dev_base_head, "net_device", "dev_list")


@replaces(arp.Arp, "get_handle_tables", lambda profile: "next" not in members_of(profile, "neigh_table"))
def neighbour_tables(plugin):
    """The rows of the tables for IPv4 and IPv6.

    They are an array since 3.19. Of how many, the kernel's headers
    tell (2 since DECnet went in 6.1): what is no table of addresses of its family is not one of them.
    """
    tables = plugin.profile.get_constant_object("neigh_tables", target="Array", target_args=dict(
        count=3, target="Pointer", target_args=dict(target="neigh_table")), vm=plugin.kernel_address_space)
    for table in tables:
        if table and table.key_len == _ADDRESS_SIZES.get(int(table.family)):
            yield from plugin.handle_table(table)


@replaces(arp.Arp, "handle_table", lambda profile: "nht" in members_of(profile, "neigh_table"))
def neighbours(plugin, table):
    """The rows of one table, of which 6.13 made the chains hlists ("neighbour: Remove bare neighbour::next pointer")."""
    profile, vm = plugin.profile, plugin.kernel_address_space
    hashes = table.nht
    has_lists = "hash_heads" in members_of(profile, "neigh_hash_table")
    start = hashes.hash_heads if has_lists else hashes.hash_buckets
    for bucket in range(1 << min(int(hashes.hash_shift), 24)):
        place = int(start) + 8 * bucket
        if has_lists:
            chained = hlist_entries(profile.hlist_head(offset=place, vm=vm), "neighbour", "hash")
        else:
            chained = chain(profile.Pointer(offset=place, vm=vm, target="neighbour"), "next")
        for neighbour in chained:
            family = int(table.family)
            address = vm.read(neighbour.primary_key.obj_offset, _ADDRESS_SIZES[family])
            yield dict(ip=c_socket.inet_ntop(family, address), mac=":".join(f"{byte:02x}" for byte in neighbour.ha),
                       dev=neighbour.dev.name)


def apply(profile: obj.Profile) -> None:
    """Takes the types of two members of struct sock from the kernel.

    5.6 "sock: Make sk_protocol a 16-bit value" made them plain integers; Rekall's overlay reads the bit-fields of before.
    """
    profile.add_classes({"inet_sock": InetSock})
    overlay = {}
    for member in ("sk_type", "sk_protocol"):
        found = members_of(profile, "sock").get(member)
        if found:
            kind, *arguments = found[1]
            overlay[member] = [None, ["Enumeration", dict(
                choices={**linux.linux_overlay["sock"][1][member][1][1]["choices"], **_YOUNGER.get(member, {})}, target=kind,
                target_args=arguments[0] if arguments else {})]]
    if overlay:
        profile.add_overlay({"sock": [None, overlay]})
    if "hash_buckets" not in members_of(profile, "neigh_hash_table"):
        # Rekall's overlay expects it, and warns that it is missing.
        profile.add_overlay({"neigh_hash_table": [None, {"hash_buckets": lambda _: obj.NoneObject("hash_heads since 6.13")}]})
