"""Runs inside the guest, by Rekall's own Python: a session on /proc/kcore, which runs the plugins that the tests ask for.

One session for all of them, as in an interactive one: emulated, each start takes ten seconds.
"""
import base64
import fcntl
import os
import struct
import sys
import traceback

RNDADDENTROPY, CHANCE = 0x40085203, bytes(range(256))

try:
    os.getrandom(1, os.GRND_NONBLOCK)
except BlockingIOError:
    # Old kernels wait until enough happened by chance, in an emulated machine for minutes, and os.urandom() waits with them.
    with open("/dev/random", "rb") as device, open("/dev/urandom", "rb") as other:
        for _ in range(16):
            fcntl.ioctl(device, RNDADDENTROPY, struct.pack("ii", 8 * len(CHANCE), len(CHANCE)) + CHANCE)
            other.read(64)

os.environ["HOME"] = "/run/live"  # the home's own directory is one of those that are listed
os.mkdir("/run/live")
sys.path[:0] = ["/run", "/usr/lib/guest"]

from agent import serve  # noqa: E402
import linux_plugins  # noqa: E402: imports all plugins
from rekall import session  # noqa: E402

rekall = session.Session(filename="/proc/kcore", pre_ast="/run/live.pre_ast", autodetect=["layout_expert"], cache="memory",
                         repository_path=[], logging_level=40)


def answer(request):
    try:
        found = linux_plugins.run(rekall, request["plugin"], **request["arguments"])
    except Exception:
        return {"error": traceback.format_exc()}
    return {"rows": found.rows, "text": found.text,
            "files": {name: base64.b64encode(data).decode() for name, data in found.files.items()}}


serve("rekall", answer)
