"""Runs inside the guest, by Rekall's own Python: a session on /proc/kcore, which runs the plugins that the tests ask for.

One session for all of them, as in an interactive one: emulated, each start takes ten seconds.
"""
import base64
import os
import sys
import traceback

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
