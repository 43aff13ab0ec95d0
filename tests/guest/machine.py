"""A Debian guest in QEMU: boot it, run commands in it, take its memory.

    with Guest("6.1") as guest:
        code, stdout, stderr = guest.run("rekall -f /proc/kcore pslist", timeout=300)
        guest.dump_memory("/tmp/guest.core")

The guest is emulated (no KVM is needed), its kernel is placed at random (KASLR) unless ``kaslr=False``, its disks are
written to a snapshot that is thrown away, and it has no network but a single port of the host's, where that is asked for.
Commands go through a virtio serial port to agent.py;
the kernel's console is kept for the message of a guest that does not come up.
"""
from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional, Tuple

import kernels

from . import image

BOOT_SECONDS = 120
# The guest's network: its own address, and the one at which it finds the host's port. Nobody else answers there.
ADDRESS, FORWARDED = "10.0.2.15", "10.0.2.100"


class GuestError(Exception):
    """The guest did not do what was asked; the text has the guest's own words."""


class Guest:
    """One run of a guest: a context manager that boots it and ends it."""

    def __init__(self, series: str, flavour: str = "cloud-amd64", memory_mb: int = 512, cpu: str = "qemu64",
                 kaslr: bool = True, with_environment: bool = True, forward: Optional[int] = None,
                 arguments: str = "") -> None:
        """``series`` is a kernel series as in tests/kernels.py ("6.1"); raises kernels.Unavailable if it cannot be had.

        ``cpu`` is QEMU's: qemu64 has 4 levels of page tables, max has 5. Without the environment the guest is bare Debian.
        ``forward`` is a port of the host's loopback interface, which the guest reaches as port 80 of FORWARDED. ``arguments``
        are the kernel's, besides.
        """
        self.system = image.system(kernels.kernel(series, flavour))
        self.disks = [self.system.disk] + ([image.environment()] if with_environment else [])
        self.memory_mb = memory_mb
        self.cpu = cpu
        self.kaslr = kaslr
        self.forward = forward
        self.arguments = arguments

    def __enter__(self) -> Guest:
        self._folder = Path(tempfile.mkdtemp(prefix="guest-"))
        self._console = self._folder / "console"
        command = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", self.cpu, "-m", str(self.memory_mb),
                   "-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{self._console}",
                   "-kernel", str(self.system.kernel.vmlinuz), "-initrd", str(self.system.initramfs),
                   "-append", "console=ttyS0 panic=-1" + ("" if self.kaslr else " nokaslr") + f" {self.arguments}",
                   "-qmp", f"unix:{self._folder}/qmp,server=on,wait=off",
                   "-chardev", f"socket,id=agent,path={self._folder}/agent,server=on,wait=off",
                   "-chardev", f"socket,id=rekall,path={self._folder}/rekall,server=on,wait=off",
                   "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent",
                   "-device", "virtserialport,chardev=rekall,name=rekall"]
        for disk in self.disks:
            command += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
        if self.forward:
            relay = f"{sys.executable} {Path(__file__).with_name('relay.py')} {self.forward}"
            command += ["-netdev", f"user,id=net,restrict=on,guestfwd=tcp:{FORWARDED}:80-cmd:{relay}",
                        "-device", "virtio-net-pci,netdev=net"]
        self._messages = open(self._folder / "messages", "w+b")
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._messages, stderr=self._messages)
        try:
            self._agent = self._connect("agent")
            self._qmp = self._connect("qmp")
            self._control("qmp_capabilities")
            self.run("true", timeout=BOOT_SECONDS)
            if self.forward:
                ip = "busybox ip"
                self.check(f"{ip} link set lo up && {ip} address add {ADDRESS}/24 dev eth0 && {ip} link set eth0 up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._messages.close()
        shutil.rmtree(self._folder)

    def run(self, command: str, timeout: float = 60) -> Tuple[int, str, str]:
        """Run a shell command line in the guest as root: its exit code, standard output and standard error."""
        reply = self._ask({"run": command, "timeout": timeout}, timeout)
        if reply["code"] is None:
            raise GuestError(f"not done after {timeout} seconds: {command}\n{reply['stdout']}\n{reply['stderr']}")
        return reply["code"], reply["stdout"], reply["stderr"]

    def check(self, command: str, timeout: float = 60) -> str:
        """The standard output of a command that must succeed."""
        code, stdout, stderr = self.run(command, timeout)
        if code:
            raise GuestError(f"exit code {code}: {command}\n{stdout}\n{stderr}")
        return stdout

    def put(self, data: bytes, path: str) -> None:
        """Write a file in the guest."""
        self._ask({"put": path, "data": base64.b64encode(data).decode()})

    def get(self, path: str) -> bytes:
        """Read a file of the guest."""
        return base64.b64decode(self._ask({"get": path})["data"])

    def start_workload(self, timeout: float = 300) -> None:
        """Have all there that workload.py makes; raises GuestError if it could not make something."""
        for name in ("workload.py", "truth.py"):
            self.put((image.HERE / name).read_bytes(), f"/run/{name}")
        said = self.check("python3 /run/workload.py >/run/workload.log 2>&1 &\n"
                          "until grep -q ready /run/workload.log; do sleep 1; done; cat /run/workload.log", timeout)
        if said != "ready\n":
            raise GuestError(f"the workload: {said}")
        self.check("sleep 3")

    def truth(self) -> dict:
        """What truth.py tells; the workload must be there."""
        self.check("python3 /run/truth.py > /run/truth.json", 120)
        return json.loads(self.get("/run/truth.json"))

    def start_rekall(self, pre_ast: bytes, timeout: float = 300) -> None:
        """Start a session of Rekall on /proc/kcore, which stays; the environment must be there."""
        for name in ("guest/live.py", "linux_plugins.py"):
            self.put((image.HERE.parent / name).read_bytes(), "/run/" + Path(name).name)
        self.put(pre_ast, "/run/live.pre_ast")
        self.check("python3 /run/live.py > /run/live.log 2>&1 &")
        self._rekall = self._connect("rekall")
        self.run_plugin("banner", {}, timeout)

    def run_plugin(self, name: str, arguments: dict, timeout: float = 300) -> dict:
        """What a plugin lists in that session: its "rows", its "text", and the "files" that it writes."""
        reply = self._exchange(self._rekall, {"plugin": name, "arguments": arguments}, timeout)
        if "error" in reply:
            raise GuestError(reply["error"])
        return dict(reply, files={file: base64.b64decode(data) for file, data in reply["files"].items()})

    def dump_memory(self, path: str) -> None:
        """Write the guest's physical memory as an ELF core. The guest stands still meanwhile."""
        self._control("dump-guest-memory", paging=False, protocol=f"file:{path}")

    def _ask(self, request: dict, timeout: float = 60) -> dict:
        """Send the agent one request and wait for its answer, with time for the emulation's own delays."""
        reply = self._exchange(self._agent, request, timeout + 30)
        if "error" in reply:
            raise GuestError(reply["error"])
        return reply

    def _control(self, command: str, **arguments) -> None:
        """Have QEMU carry out a command of its machine protocol (QMP)."""
        reply = self._exchange(self._qmp, {"execute": command, "arguments": arguments}, 120)
        while "return" not in reply:  # a greeting, or an event
            if "error" in reply:
                raise GuestError(f"{command}: {reply['error']['desc']}")
            reply = self._qmp.receive()

    def _exchange(self, channel: _Channel, message: dict, timeout: float) -> dict:
        try:
            channel.send(message, timeout)
            return channel.receive()
        except OSError as error:
            raise GuestError(f"no answer to {str(message)[:200]} ({error}); the guest's last words: {self._last_words()}") from None

    def _connect(self, name: str) -> _Channel:
        """Connect to one of QEMU's sockets as soon as it is there."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return _Channel(self._folder / name)
            except OSError:
                if self._qemu.poll() is not None or time.monotonic() > deadline:
                    raise GuestError("QEMU did not start: " + self._last_words()) from None
                time.sleep(0.05)

    def _last_words(self) -> str:
        texts = [path.read_text("utf-8", "replace") for path in (self._console, self._folder / "messages") if path.exists()]
        return "\n".join(texts)[-3000:]


class _Channel:
    """Messages over a Unix socket, each a line of JSON."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def send(self, message: dict, timeout: float) -> None:
        """Send a message; this and the answer may each take ``timeout`` seconds."""
        self._socket.settimeout(timeout)
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the connection is closed")
        return json.loads(line)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
