"""Runs inside the guest: what the kernel itself tells of all that the plugins list, as JSON.

Only the standard library of the guest's Python is used.
"""
import glob
import hashlib
import json
import os
import re


def read(path, mode="r"):
    try:
        with open(path, mode, **({} if "b" in mode else {"errors": "replace"})) as file:
            return file.read()
    except OSError:
        return ""


BOOTED = int(re.search(r"^btime (\d+)", read("/proc/stat"), re.M).group(1))


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def process(pid):
    folder = "/proc/%s/" % pid
    status = dict(line.split(":\t", 1) for line in read(folder + "status").splitlines() if ":\t" in line)
    fds = {}
    for fd in os.listdir(folder + "fd") if os.path.isdir(folder + "fd") else ():
        position = re.search(r"^pos:\t(\d+)", read(folder + "fdinfo/" + fd), re.M)
        fds[fd] = [link(folder + "fd/" + fd), int(position.group(1)) if position else None]
    # Its 22nd field, in ticks since boot; the name, which may hold anything, ends at the last bracket.
    ticks = (read(folder + "stat").rpartition(")")[2].split() + ["0"] * 20)[19]
    return {"start": BOOTED + int(ticks) / os.sysconf("SC_CLK_TCK"), "name": read(folder + "comm").rstrip("\n"),
            "ppid": int(status.get("PPid", 0)), "uid": status.get("Uid", "").split("\t")[0], "command": read(folder + "cmdline"),
            "maps": read(folder + "maps"), "fds": fds, "exe": link(folder + "exe"), "mounts": link(folder + "ns/mnt")}


def kernel_log():
    records = []
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    while True:
        try:
            records.append(os.read(descriptor, 8192).decode("utf8", "replace"))
        except BlockingIOError:
            return records
        except OSError:
            continue


def modules():
    found = {}
    for line in read("/proc/modules").splitlines():
        name, size, _, _, _, address = line.split()[:6]
        sections = {os.path.basename(path): read(path).strip() for path in glob.glob("/sys/module/%s/sections/.*" % name)
                    + glob.glob("/sys/module/%s/sections/*" % name)}
        parameters = {os.path.basename(path): read(path).strip() for path in glob.glob("/sys/module/%s/parameters/*" % name)}
        found[name] = {"size": int(size), "address": int(address, 16), "sections": sections, "parameters": parameters}
    return found


def interfaces():
    return {name: {"mac": read("/sys/class/net/%s/address" % name).strip(),
                   "flags": int(read("/sys/class/net/%s/flags" % name), 16)}
            for name in os.listdir("/sys/class/net")}


def details(path):
    status = os.lstat(path)
    return {"inode": status.st_ino, "size": status.st_size, "mode": status.st_mode, "uid": status.st_uid, "gid": status.st_gid,
            "mtime": int(status.st_mtime), "atime": int(status.st_atime), "ctime": int(status.st_ctime),
            "sha256": hashlib.sha256(read(path, "rb")).hexdigest() if os.path.isfile(path) else None}


def memory(pid):
    """What a process has mapped, page by page: where it is in physical memory, and a digest of it."""
    found = {}
    with open("/proc/%s/mem" % pid, "rb", 0) as content, open("/proc/%s/pagemap" % pid, "rb", 0) as pagemap:
        for line in read("/proc/%s/maps" % pid).splitlines():
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or line.endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")):
                continue
            for address in range(start, end, 4096):
                content.seek(address)
                try:
                    page = content.read(4096)  # which maps it
                except OSError:
                    continue  # behind the end of the file
                pagemap.seek(address // 4096 * 8)
                entry = int.from_bytes(pagemap.read(8), "little")
                if entry >> 63:
                    found[address] = [(entry & (1 << 55) - 1) << 12, hashlib.sha256(page).hexdigest()]
    return found


SLEEPING = next(pid for pid in filter(str.isdigit, os.listdir("/proc")) if read("/proc/%s/comm" % pid) == "sleep\n")
log = kernel_log()
print(json.dumps({
    "processes": {pid: process(pid) for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int)},
    "net": {name: read("/proc/net/" + name) for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "arp")},
    "addresses": os.popen("busybox ip -o address").read(), "mounts": read("/proc/1/mounts"), "log": log, "modules": modules(),
    "iomem": read("/proc/iomem"), "cpuinfo": read("/proc/cpuinfo"), "interfaces": interfaces(), "hostname": os.uname().nodename,
    "files": {path: details(path) for path in ("/root/cached", "/run/plain/cached", "/etc/passwd", "/root", "/usr/bin/bash")},
    "listing": {name: details(os.path.join("/root", name)) for name in os.listdir("/root")},
    "symbols": {"_text": int(re.search(r"^(\w+) . _text$", read("/proc/kallsyms"), re.M).group(1), 16)},
    "sleeping": {"pid": int(SLEEPING), "memory": memory(SLEEPING)}, "banner": read("/proc/version").strip()}))
