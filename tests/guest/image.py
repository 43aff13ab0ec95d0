"""What a guest boots from: a Debian system with one kernel, and the environment under test, as two disks.

The system is assembled from Debian's packages with nothing installed (no maintainer script runs, no root is needed):
a userland, the kernel's image and its headers. The environment is what this repository's requirements name plus the
repository itself, laid out as a virtual environment of the guest's Python. There is no compiler, no kernel debug
information and no profile in it.

Both are cached under names that digest what they were made from, and a new one replaces the one before.
"""
from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Iterable, Iterator, List, Mapping, Tuple

import kernels

PACKAGE = "rekall_layout_expert"
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CACHE = kernels.cache_directory() / "guest"

TOOLS = ("qemu-system-x86_64", "dpkg-deb", "tar", "mkfs.ext4", "cpio")
USERLAND = ("base-files", "bash", "busybox-static", "coreutils", "dash", "findutils", "grep", "mount", "procps", "python3",
            "sed", "util-linux", "zsh")
RELEASES = {(3, 9): "bullseye", (3, 11): "bookworm", (3, 13): "trixie"}  # by their Python
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "ext4")
ACCOUNTS = ("root:0", "daemon:1", "www-data:33", "alice:1000", "bob:1001", "nobody:65534")

# Left out of the kernel's packages: types of the whole kernel, which newer headers packages carry in a vmlinux and which
# must not be what makes the tests pass, and drivers of hardware that the guest lacks.
NOT_ON_A_HOST = ("vmlinux", "drm", "ethernet", "infiniband", "scsi")

INITRAMFS_INIT = """#!/bin/busybox sh
# Load the disk's and the agent's drivers, then hand over to the system on the disk.
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t devtmpfs devtmpfs /dev
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /system
/bin/busybox mount -o move /dev /system/dev
exec /bin/busybox switch_root /system /sbin/init
"""


class ToolError(Exception):
    """A tool that should work did not; the text has its last words."""


@dataclass(frozen=True)
class System:
    """A bootable system: its disk, and what QEMU loads itself: the kernel and its first file system."""
    kernel: kernels.Kernel
    disk: Path
    initramfs: Path


def require_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        raise kernels.Unavailable("not installed: " + ", ".join(missing))


def system(kernel: kernels.Kernel) -> System:
    """The system of one kernel."""
    require_tools()
    packages = userland_packages()
    parts = kernel.installed

    left_out = shutil.ignore_patterns(*NOT_ON_A_HOST)

    def fill(folder: Path, tree: Path) -> None:
        _unpack(packages, tree)
        for part in parts:
            shutil.copytree(part, tree, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        _furnish(tree)
        _make_initramfs(tree, kernel.release, folder / "initramfs")

    made_from = [kernel.build] + [path.name for path in packages + parts]
    made_from += [(HERE / name).read_text() for name in ("image.py", "agent.py", "init")]
    series = ".".join(kernel.release.split(".")[:2])
    folder = _cached(f"system-{series}-{kernel.flavour}", made_from, fill)
    return System(kernel, folder / "disk", folder / "initramfs")


def environment() -> Path:
    """The disk with this repository's requirements and package, a virtual environment for the guest's Python."""
    require_tools()
    sources = [REPOSITORY / name for name in ("requirements.txt", "requirements-build.txt", "setup.py", "pyproject.toml")]
    sources += sorted(path for path in (REPOSITORY / PACKAGE).rglob("*") if path.is_file() and path.suffix != ".pyc")
    made_from = [sys.version, (HERE / "image.py").read_text()]
    made_from += [f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sources]
    return _cached("environment", made_from, _install_environment) / "disk"


def userland_packages() -> List[Path]:
    """The packages of USERLAND and all they depend on, from the Debian release whose Python is the one that runs this."""
    if sys.version_info[:2] not in RELEASES:
        raise kernels.Unavailable("no Debian release has Python {}.{}".format(*sys.version_info))
    release = kernels.suite(RELEASES[sys.version_info[:2]])
    archives, none = CACHE / "archives", CACHE / "no-archives"
    for folder in (archives, none):
        (folder / "partial").mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends", *USERLAND]
    # apt lists only what it would have to download, hence the empty folder.
    listed = release.run(*command, "--print-uris", f"-oDir::Cache::archives={none}")
    packages = [archives / line.split()[1] for line in listed.splitlines() if line.startswith("'")]
    if not all(package.exists() for package in packages):
        release.run(*command, "--download-only", f"-oDir::Cache::archives={archives}")
    return packages


def _cached(name: str, made_from: Iterable[str], fill: Callable[[Path, Path], None]) -> Path:
    """The folder of what is made from the given texts: a disk of the tree that ``fill(folder, tree)`` lays out.

    A folder gets its name when it is complete, so one left by an interrupted run is never used.
    """
    digest = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
    complete = CACHE / f"{name}.{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not complete.exists():
            for stale in CACHE.glob(f"{name}.*"):
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                folder, tree = Path(scratch) / "folder", Path(scratch) / "tree"
                folder.mkdir()
                tree.mkdir()
                fill(folder, tree)
                _make_disk(tree, folder / "disk")
                folder.rename(complete)
    return complete


def _make_disk(tree: Path, disk: Path) -> None:
    """An ext4 file system of a tree, with room to write in."""
    size = sum(path.lstat().st_size + 4096 for path in tree.rglob("*"))
    with open(disk, "wb") as file:
        file.truncate(int(size * 1.1) + 128 * 2**20)
    _run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", str(tree), str(disk)])


def _unpack(packages: Iterable[Path], tree: Path) -> None:
    """Unpack packages over each other as dpkg would on a system whose /bin, /sbin and /lib are links into /usr."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    extract = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(tree),
               "--exclude=./usr/share/doc", "--exclude=./usr/share/locale"]
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking:
            _run(extract, stdin=unpacking.stdout)
        if unpacking.returncode:
            raise ToolError(f"dpkg-deb cannot unpack {package}")


def _furnish(tree: Path) -> None:
    """What maintainer scripts would have done, as far as it matters here, and the agent."""
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "boot", "etc", "opt/rekall", "usr/lib/guest"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    if not (tree / "bin/sh").exists():
        (tree / "bin/sh").symlink_to("dash")
    accounts = [account.split(":") for account in ACCOUNTS]
    (tree / "etc/passwd").write_text("".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in accounts))
    (tree / "etc/group").write_text("".join(f"{name}:x:{uid}:\n" for name, uid in accounts))
    shutil.copy(HERE / "agent.py", tree / "usr/lib/guest/agent.py")
    shutil.copy(HERE / "init", tree / "sbin/init")
    (tree / "sbin/init").chmod(0o755)


def _make_initramfs(tree: Path, release: str, archive: Path) -> None:
    """The first file system: busybox, the drivers of the disk and of the agent's port, and what leads to the disk."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as first:
        root = Path(first)
        for name in ("bin", "dev", "system", "modules"):
            (root / name).mkdir()
        shutil.copy(tree / "bin/busybox", root / "bin/busybox")
        (root / "init").write_text(INITRAMFS_INIT)
        (root / "init").chmod(0o755)
        for number, (name, content) in enumerate(_with_dependencies(MODULES, tree / "lib/modules" / release)):
            (root / "modules" / f"{number:02}-{name}.ko").write_bytes(content)
        names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
        cpio = ["cpio", "--create", "--format=newc", "--quiet", "--owner=+0:+0"]
        archive.write_bytes(_run(cpio, cwd=root, input=names.encode()))


def _with_dependencies(names: Iterable[str], modules: Path) -> Iterator[Tuple[str, bytes]]:
    """The kernel modules of the given names and those they depend on, each after what it needs. Built-in ones are none."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    seen = set()

    def visit(name: str) -> Iterator[Tuple[str, bytes]]:
        if name in files and name not in seen:
            seen.add(name)
            content = files[name].read_bytes()
            if files[name].suffix == ".xz":
                content = lzma.decompress(content)
            for needed in re.search(rb"\0depends=([^\0]*)\0", content).group(1).decode().split(","):
                yield from visit(needed.replace("-", "_"))
            yield name, content

    for name in names:
        yield from visit(name)


def _install_environment(folder: Path, tree: Path) -> None:
    """Lay out in ``tree`` a virtual environment that the guest sees in /opt/rekall, by the line in requirements.txt.

    pip installs for the Python that runs it; see RELEASES.
    """
    constraint = str(REPOSITORY / "requirements-build.txt")
    constraints = {"PIP_CONSTRAINT": constraint, "PIP_BUILD_CONSTRAINT": constraint}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps",
           "--use-deprecated=legacy-resolver", "--ignore-installed", "--prefix", str(tree)]
    try:
        _run(pip + ["--requirement", str(REPOSITORY / "requirements.txt")], environment=constraints)
    except ToolError as error:
        raise kernels.Unavailable(str(error)) from error
    with tempfile.TemporaryDirectory(dir=folder) as copy:  # building leaves its traces beside setup.py
        for name in ("setup.py", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, copy)
        shutil.copytree(REPOSITORY / PACKAGE, Path(copy) / PACKAGE)
        _run(pip + [copy], environment=constraints)
    for script in (tree / "bin").iterdir():
        script.write_text(re.sub(r"\A#!.*", "#!/opt/rekall/bin/python3", script.read_text()))
    (tree / "bin/python3").symlink_to("/usr/bin/python3")
    (tree / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    _run([sys.executable, "-m", "compileall", "-q", "-s", str(tree), "-p", "/opt/rekall", str(tree / "lib")])


def _run(command: List[str], environment: Mapping[str, str] = MappingProxyType({}), **options) -> bytes:
    """Run a tool and return what it prints; raises ToolError."""
    variables = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **environment}
    finished = subprocess.run(command, capture_output=True, env=variables, check=False, **options)
    if finished.returncode:
        last_words = finished.stderr.decode("utf-8", "replace").strip()[-500:]
        raise ToolError(f"{' '.join(command[:4])} failed: {last_words}")
    return finished.stdout
