"""Runs inside the guest: what a responder looks for, of every kind that the kernel keeps in a structure of its own.

Prints "ready" when all is there, and then stays. Only the standard library of the guest's Python is used.
"""
import ctypes
import fcntl
import lzma
import mmap
import os
import pty
import select
import socket
import struct
import subprocess
import threading
import time

KEPT = []  # nothing is closed
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*command):
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def load_module(name):
    """Load a module that the distribution has as NAME.ko or NAME.ko.xz."""
    for folder, _, files in os.walk("/lib/modules"):
        for file in files:
            if file in (name + ".ko", name + ".ko.xz"):
                with open(os.path.join(folder, file), "rb") as stream:
                    data = stream.read()
                data = lzma.decompress(data) if file.endswith(".xz") else data
                return LIBC.syscall(175, data, len(data), b"")
    return -1


def interfaces():
    load_module("dummy")
    run("busybox", "ip", "link", "set", "lo", "up")
    run("busybox", "ip", "link", "add", "dummy7", "type", "dummy")
    run("busybox", "ip", "link", "set", "dummy7", "address", "02:00:5e:00:53:07")
    run("busybox", "ip", "address", "add", "192.0.2.7/24", "dev", "dummy7")
    run("busybox", "ip", "address", "add", "2001:db8::7/64", "dev", "dummy7")
    run("busybox", "ip", "address", "add", "198.51.100.7/25", "dev", "dummy7", "label", "dummy7:other")
    run("busybox", "ip", "link", "set", "dummy7", "up")
    run("busybox", "ip", "link", "add", "dummy8", "type", "dummy")  # down, and without an address


def neighbours():
    for address, lladdr in ((("192.0.2.%d" % n), "02:00:5e:00:53:%02x" % n) for n in (9, 10, 11)):
        neighbour(socket.AF_INET, socket.inet_pton(socket.AF_INET, address), lladdr)
    neighbour(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::9"), "02:00:5e:00:53:99")


def neighbour(family, address, lladdr):
    """RTM_NEWNEIGH of a permanent neighbour on dummy7."""
    index = socket.if_nametoindex("dummy7")
    lladdr = bytes.fromhex(lladdr.replace(":", ""))
    body = struct.pack("BxxxiHBB", family, index, 0x80, 0, 1)
    for kind, data in ((1, address), (2, lladdr)):
        data = struct.pack("HH", len(data) + 4, kind) + data
        body += data + b"\0" * (-len(data) % 4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack("IHHII", 16 + len(body), 28, 0x505, 1, 0) + body)
        netlink.recv(4096)


def sockets():
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind((address, 4711))
        listener.listen(5)
        client = socket.create_connection((address, 4711))
        server, _ = listener.accept()
        client.sendall(b"waits to be read" * 8)
        closing = socket.create_connection((address, 4711))
        other, _ = listener.accept()
        other.close()
        any_address = socket.socket(family, socket.SOCK_DGRAM)
        any_address.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 4712 if family == socket.AF_INET else 4713))
        datagram = socket.socket(family, socket.SOCK_DGRAM)
        datagram.bind((address, 4714))
        datagram.connect((address, 4712 if family == socket.AF_INET else 4713))
        raw = socket.socket(family, socket.SOCK_RAW,
                            socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6)
        KEPT.extend((listener, client, server, closing, any_address, datagram, raw))
        states(family, address)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.bind("/run/workload.sock")
    stream.listen(3)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect("/run/workload.sock")
    abstract = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    abstract.bind(b"\0workload abstract")
    sequence = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    KEPT.extend((stream, client, abstract, *sequence, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)))
    load_module("af_packet")
    KEPT.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))


def states(family, address):
    """TCP connections in the states in which they do not stay by themselves: an end that has more to send than the other
    one takes can end nothing (FIN_WAIT1; with the other's end received CLOSING, or LAST_ACK), and who gets no answer asks
    on (SYN_SENT)."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind((address, 4717))
    listener.listen(5)
    KEPT.append(listener)
    for ends_before, ends_after in ((False, False), (False, True), (True, False)):
        client = socket.socket(family, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client.connect((address, 4717))
        server, _ = listener.accept()
        if ends_before:
            server.shutdown(socket.SHUT_WR)
            time.sleep(0.2)
        client.setblocking(False)
        try:
            while True:
                client.send(b"more than is taken " * 100)
        except BlockingIOError:
            client.shutdown(socket.SHUT_WR)
        if ends_after:
            time.sleep(0.2)
            server.shutdown(socket.SHUT_WR)
        KEPT.extend((client, server))
    asking = socket.socket(family, socket.SOCK_STREAM)
    asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 100)
    asking.setblocking(False)
    asking.connect_ex(("192.0.2.77" if family == socket.AF_INET else "2001:db8::77", 80))
    KEPT.append(asking)


def mounts():
    for folder in ("/run/plain", "/run/bound", "/run/ro", "/run/deep/er"):
        os.makedirs(folder)
    run("mount", "-t", "tmpfs", "-o", "size=1m,nosuid,nodev", "workload", "/run/plain")
    run("mount", "-t", "ramfs", "-o", "noexec", "ramfs", "/run/deep/er")
    os.makedirs("/run/plain/sub")
    run("mount", "--bind", "/run/plain/sub", "/run/bound")
    run("mount", "--bind", "/usr/share", "/run/ro")
    run("mount", "-o", "remount,bind,ro", "/run/ro")
    load_module("overlay")
    os.makedirs("/run/plain/upper")
    os.makedirs("/run/plain/work")
    for system, options in (("mqueue", "nosuid"), ("cgroup2", "nosuid,noexec"), ("debugfs", "nodev"), ("hugetlbfs", "noatime"),
                            ("overlay", "lowerdir=/usr/share,upperdir=/run/plain/upper,workdir=/run/plain/work")):
        os.makedirs("/run/mounted/a " + system)
        run("mount", "-t", system, "-o", options, system, "/run/mounted/a " + system)


def files():
    os.makedirs("/root/" + "/".join("a-directory-%d" % level for level in range(20)), exist_ok=True)
    deep = "/root/" + "/".join("a-directory-%d" % level for level in range(20)) + "/file"
    for path in (deep, "/run/plain/sub/bound", "/run/deleted", "/root/deleted"):
        KEPT.append(open(path, "w+"))
        KEPT[-1].write(path * 100)
        KEPT[-1].flush()
    os.unlink("/run/deleted")
    os.unlink("/root/deleted")
    content = bytes(range(256)) * 200 + b"end"
    with open("/root/cached", "wb") as file:
        file.write(content)
    with open("/run/plain/cached", "wb") as file:
        file.write(content[::-1])
    KEPT.append(os.fdopen(os.memfd_create("workload"), "wb"))
    KEPT.append(select.epoll())
    KEPT.append(os.pipe())
    KEPT.append(open("/proc/self/ns/net"))


def memory():
    area = mmap.mmap(-1, 8 * mmap.PAGESIZE)
    area[:4] = b"here"
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    LIBC.mprotect(ctypes.c_void_p(start + 4096), ctypes.c_size_t(4096), 5)
    LIBC.mprotect(ctypes.c_void_p(start + 3 * 4096), ctypes.c_size_t(4096), 1)
    KEPT.append(area)


def threads():
    for number in range(3):
        threading.Thread(target=time.sleep, args=(1 << 20,), name="thread-%d" % number, daemon=True).start()


def namespaces():
    pid = os.fork()
    if not pid:
        LIBC.unshare(0x00020000 | 0x04000000 | 0x40000000)  # CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET
        run("mount", "--make-rprivate", "/")
        os.makedirs("/run/only-here", exist_ok=True)
        run("mount", "-t", "tmpfs", "inside", "/run/only-here")
        os.execvp("sleep", ["sleep", "10000000"])


def shells():
    """A bash and a zsh, each with a history and at a terminal of its own."""
    os.makedirs("/dev/pts", exist_ok=True)
    run("mount", "-t", "devpts", "devpts", "/dev/pts")
    shell("bash", "--norc", "--noprofile", "-i")
    if os.path.exists("/usr/bin/zsh"):
        shell("zsh", "-f", "-i")


def shell(*command):
    pid, terminal = pty.fork()
    if not pid:
        os.environ["PS1"] = "$ "
        os.environ.pop("HISTFILE", None)
        os.execvp(command[0], command)
    for line in ("echo first of all", "cd /tmp", "ls -la /nowhere", "export SECRET=hunter2"):
        os.write(terminal, line.encode() + b"\n")
        time.sleep(1.1)  # the history's times are in seconds
        while select.select([terminal], [], [], 0)[0]:
            os.read(terminal, 65536)
    KEPT.append(terminal)


def lingering():
    """TCP connections that no process holds: of the last minute, refused nowhere and accepted by nobody.

    They last a minute, so this is done last.
    """
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind((address, 4715))
        listener.listen(5)
        client = socket.create_connection((address, 4715))
        server, _ = listener.accept()
        client.close()
        server.close()  # the client's end is in TIME_WAIT
        waiting = socket.create_connection((address, 4715))
        KEPT.extend((listener, waiting))
    half_open()


def half_open():
    """A connection of which the first packet came, from a device behind which nobody answers (SYN_RECV)."""
    load_module("tun")
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH22x", b"tun7", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    run("busybox", "ip", "address", "add", "203.0.113.7/24", "dev", "tun7")
    run("busybox", "ip", "link", "set", "tun7", "up")
    listener = socket.socket()
    listener.bind(("203.0.113.7", 4716))
    listener.listen(5)
    here, there = (socket.inet_aton("203.0.113.%d" % host) for host in (7, 9))
    segment = struct.pack(">HHIIBBHHH", 40000, 4716, 1, 0, 5 << 4, 2, 64240, 0, 0)
    sums = checksum(there + here + struct.pack(">HH", socket.IPPROTO_TCP, len(segment)) + segment)
    segment = segment[:16] + struct.pack(">H", sums) + segment[18:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_TCP, 0, there, here)
    os.write(tunnel, header[:10] + struct.pack(">H", checksum(header)) + header[12:] + segment)
    KEPT.extend((tunnel, listener))


def checksum(data):
    """The Internet's (RFC 1071), of an even number of bytes."""
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


socket.sethostname("responder-7")
for part in (interfaces, neighbours, sockets, mounts, files, memory, threads, namespaces, shells, lingering):
    try:
        part()
    except Exception as error:
        print(part.__name__, repr(error))
time.sleep(1)
print("ready", flush=True)
time.sleep(1 << 20)
