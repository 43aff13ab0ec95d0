"""Runs inside the guest: changes, as fast as it can, the lists that plugins walk: processes, areas, files, sockets, mounts.

Ends, with all that it made, when it is killed.
"""
import ctypes
import itertools
import mmap
import os
import socket
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
FOLDER = "/run/restless"
AT_ONCE = 3


def live_shortly():
    """What one process does that another one sees the middle of."""
    kept = [mmap.mmap(-1, mmap.PAGESIZE) for _ in range(20)]
    for number in range(10):
        kept.append(open("%s/%d.%d" % (FOLDER, os.getpid(), number), "w"))
        kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        kept.extend(socket.socketpair())
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()
    kept[0].close()
    for number in range(10):
        os.unlink("%s/%d.%d" % (FOLDER, os.getpid(), number))


def remount():
    place = (FOLDER + "/mounted").encode()
    LIBC.mount(b"restless", place, b"tmpfs", 0, None)
    LIBC.umount2(place, 2)


os.makedirs(FOLDER + "/mounted", exist_ok=True)
os.nice(10)  # who looks on is to come to an end, too
print("ready", flush=True)
for number in itertools.count():
    if not os.fork():
        live_shortly()
        os._exit(0)
    if number >= AT_ONCE:
        os.wait()
    remount()
