"""Runs inside the guest: carries out what the tests ask for over a virtio serial port. Others serve by it, each a port.

One request and one answer is one line of JSON each. Only the standard library of the guest's Python is used.
"""
import base64
import json
import os
import subprocess


def port(wanted):
    """The device of the virtio serial port to which the host gave a name."""
    ports = "/sys/class/virtio-ports"
    for entry in os.listdir(ports):
        with open(os.path.join(ports, entry, "name")) as name:
            if name.read().strip() == wanted:
                return os.path.join("/dev", entry)
    raise SystemExit("no virtio port is named " + wanted)


def serve(name, answer):
    """Answer the requests that come in at a port, for ever."""
    with open(port(name), "r+b", buffering=0) as channel:
        pending = b""
        while True:
            pending += channel.read(65536)
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                reply = json.dumps(answer(json.loads(line))).encode() + b"\n"
                while reply:
                    reply = reply[channel.write(reply):]


def answer(request):
    """Carry out one request; whatever fails is told to the host, and the agent lives on."""
    try:
        if "run" in request:
            return run(request["run"], request["timeout"])
        if "get" in request:
            with open(request["get"], "rb") as file:
                return {"data": base64.b64encode(file.read()).decode()}
        with open(request["put"], "wb") as file:
            file.write(base64.b64decode(request["data"]))
        return {}
    except OSError as error:
        return {"error": str(error)}


def run(command, timeout):
    """Run a command line by the shell. Its output goes through files, so that a daemon it starts holds nothing up."""
    with open("/run/stdout", "w+b") as stdout, open("/run/stderr", "w+b") as stderr:
        try:
            code = subprocess.call(["/bin/sh", "-c", command], cwd="/root", timeout=timeout,
                                   stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        except subprocess.TimeoutExpired:
            code = None
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    return {"code": code, "stdout": texts[0], "stderr": texts[1]}


if __name__ == "__main__":
    serve("agent", answer)
