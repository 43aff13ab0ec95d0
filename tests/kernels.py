"""Real kernels for the tests: Debian's current builds, fetched with apt and kept outside the repository.

Debian publishes one kernel series per suite and replaces its build every few weeks; the one it replaced vanishes. So
no version is written here: each suite's metapackage (linux-image-FLAVOUR) names the current build, and a build is kept
under its package version, until somebody deletes the folder.

apt runs as the ordinary client with a configuration of its own, one per suite and architecture, so neither the
machine's sources nor its lists change and root is not needed. The mirror is the one that the machine itself uses.

Older series are in no suite any more. Who has their source builds them, and names by LAYOUT_EXPERT_BUILT_KERNELS a folder
with one build directory (make O=DIRECTORY) in each of its folders: with CONFIG_DEBUG_INFO and without CONFIG_LOCALVERSION,
drivers of virtio's disk, port and PCI, and ext4, and the modules installed in DIRECTORY/image (INSTALL_MOD_PATH).

Whatever keeps a kernel from being had (no apt, no network, the suite has moved to another series) is Unavailable,
with its reason.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "7.2": "sid"}
BUILT = "LAYOUT_EXPERT_BUILT_KERNELS"
BUILT_SERIES = ("4.4", "4.9", "4.13", "4.14", "4.19")
KEYRINGS = [Path("/usr/share/keyrings/debian-archive-keyring." + suffix) for suffix in ("gpg", "pgp")]
LISTS_STAY_FRESH = 6 * 3600     # seconds


class Unavailable(Exception):
    """The kernel cannot be had here and now: the message says why."""


class Kernel:
    """One build of one flavour, unpacked on first use.

    Headers and image are two directories, each laid out as the root directory of a machine that has the packages
    installed. Links between the headers packages are absolute (/usr/src/...): they are meant within `headers`.
    """

    def __init__(self, suite, release, flavour):
        self._suite = suite
        self.release = release
        self.flavour = flavour
        self.architecture = suite.architecture

    def __repr__(self):
        return "<Kernel %s %s>" % (self.release, self.architecture)

    @property
    def installed(self):
        """What a machine with this kernel has of it."""
        return [self.image_with_modules, self.headers]

    @property
    def build(self):
        """Tells two builds apart."""
        return self.headers.name

    @functools.cached_property
    def headers(self):
        """Root with usr/src/linux-headers-RELEASE and the tree of common headers it builds on."""
        return self._suite.unpacked("linux-headers-" + self.release)

    @property
    def tree(self):
        """The flavour's own headers: usr/src/linux-headers-RELEASE."""
        return self.headers / "usr/src" / ("linux-headers-" + self.release)

    @property
    def common(self):
        """The headers which the flavours of this build share."""
        return _only(self.headers.glob("usr/src/linux-headers-*-common*"), "common headers of " + self.release)

    @functools.cached_property
    def image(self):
        """Root with the kernel image and its configuration, without modules."""
        return self._suite.unpacked("linux-image-" + self.release, without="*/lib/modules/*/kernel")

    @functools.cached_property
    def image_with_modules(self):
        """As `image`, with the modules: for booting it."""
        return self._suite.unpacked("linux-image-" + self.release)

    @property
    def config(self):
        return self._from_image("config")

    @property
    def vmlinuz(self):
        return self._from_image("vmlinuz")

    @property
    def system_map(self):
        """Debian's stub, which only says where the real one is."""
        return self._from_image("System.map")

    def _from_image(self, kind):
        # Since 7.x beside the modules, before that in /boot.
        places = [self.image / "boot" / ("%s-%s" % (kind, self.release)),
                  self.image / "usr/lib/modules" / self.release / kind]
        return _only(filter(Path.exists, places), "%s of %s" % (kind, self.release))


class BuiltKernel:
    """A kernel that was built here."""

    flavour = "built"

    def __init__(self, directory):
        self.directory = directory
        self.release = (directory / "include/config/kernel.release").read_text().strip()
        self.tree = (directory / "source").resolve()
        self.config = directory / ".config"
        self.vmlinux = directory / "vmlinux"
        self.vmlinuz = directory / "arch/x86/boot/bzImage"
        self.installed = [directory / "image"]
        missing = [path for path in (self.tree, self.config, self.vmlinux, self.vmlinuz, *self.installed) if not path.exists()]
        if missing:
            raise Unavailable("%s is no finished build: it has no %s" % (directory, missing[0].name))

    @property
    def build(self):
        return hashlib.sha256(self.vmlinuz.read_bytes()).hexdigest()


def built_kernel(series):
    """The kernel of a series that was built here. Raises Unavailable."""
    folder = os.environ.get(BUILT)
    if not folder:
        raise Unavailable("Debian has it no more, and %s names no folder with a build of it" % BUILT)
    for release in sorted(Path(folder).glob("*/include/config/kernel.release")):
        if release.read_text().startswith(series + "."):
            return BuiltKernel(release.parents[2])
    raise Unavailable("%s has no build of it" % folder)


def kernel(series, flavour="amd64", architecture="amd64"):
    """The current Debian kernel of a series ('6.1') and flavour ('amd64', 'cloud-amd64', 'rt-amd64', '686-pae' ...).

    Of a series of BUILT_SERIES the one that was built here. Raises Unavailable.
    """
    if series in BUILT_SERIES:
        return built_kernel(series)
    debian = suite(SUITES[series], architecture)
    release = debian.current("linux-image-" + flavour)
    if not release.startswith(series + "."):
        raise Unavailable("%s has moved on from Linux %s to %s" % (debian.name, series, release))
    return Kernel(debian, release, flavour)


def kernel_or_skip(series, flavour="amd64", architecture="amd64"):
    """As kernel(), its packages unpacked; when they cannot be had, the test that asked is skipped with the reason."""
    import pytest       # here, so that benchmarks can use this module without it
    try:
        found = kernel(series, flavour, architecture)
        found.headers, found.image
    except Unavailable as reason:
        pytest.skip("no Linux %s %s: %s" % (series, flavour, reason))
    return found


@functools.lru_cache(maxsize=None)
def pre_ast(tree):
    """The Pre-AST of a headers tree (path), built once for all tests."""
    from rekall_layout_expert import build_pre_ast      # here, as a kernel can be had without it
    return build_pre_ast(str(tree))


def cache_directory():
    return Path(os.environ.get("LAYOUT_EXPERT_CACHE") or Path.home() / ".cache" / "rekall-layout-expert")


class Suite:
    """apt for one suite and one architecture, with no package installed and its state in a directory of its own."""

    def __init__(self, name, architecture, kind="deb"):
        self.name = name
        self.architecture = architecture
        self.kind = kind        # "deb-src" for source packages
        self.trouble = None
        self.directory = cache_directory() / "apt" / ("%s-%s" % (name, architecture) + ("" if kind == "deb" else "-source"))
        self.configuration = self.directory / "apt.conf"
        missing = [program for program in ("apt-get", "apt-cache", "dpkg-deb", "tar") if not shutil.which(program)]
        if missing:
            raise Unavailable("%s: not on this machine" % ", ".join(missing))
        with self._alone():
            self._configure()
            self._refresh(LISTS_STAY_FRESH)

    def run(self, program, *arguments):
        """Runs apt-get or apt-cache on this suite and returns what it printed. Raises Unavailable."""
        with self._alone():
            return self._run(program, *arguments)

    def current(self, metapackage):
        """The release of the build that a metapackage stands for: linux-image-amd64 -> 6.1.0-56-amd64."""
        prefix = re.match("linux-[a-z]+-", metapackage).group()
        for dependency in self._fields(metapackage).get("Depends", "").split(","):
            named = re.match(re.escape(prefix) + r"(\d\S*)", dependency.strip())
            if named:
                return named.group(1)
        raise Unavailable("%s names no build in %s (%s)" % (metapackage, self.name, self.architecture))

    def unpacked(self, package, without=None):
        """A directory with the contents of a package and of the linux packages that it needs in exactly its version.

        `without`: a pattern of paths to leave out.
        """
        version = self._fields(package)["Version"]
        name = "%s_%s_%s" % (package, version, self.architecture)
        target = cache_directory() / "kernels" / (name + "_part" if without else name)
        with self._alone():
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=str(target.parent)) as scratch:
                    downloads, contents = Path(scratch) / "downloads", Path(scratch) / "contents"
                    downloads.mkdir()
                    contents.mkdir()
                    self._download(["%s=%s" % (part, version) for part in sorted(self._parts(package, version))],
                                   downloads)
                    for deb in downloads.iterdir():
                        _unpack(deb, contents, without)
                    os.rename(contents, target)
        return target

    def unpacked_source(self, package, *members):
        """A directory with those members (patterns) of a source package's original archive, of its newest version."""
        with self._alone():
            names = re.findall(r"^'\S+' (\S+)", self._run("apt-get", "--print-uris", "source", package), re.MULTILINE)
            archive = _only((name for name in names if re.search(r"\.orig\.tar\.\w+$", name)), "archive of " + package)
            target = cache_directory() / "sources" / archive
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=str(target.parent)) as scratch:
                    self._run("apt-get", "--download-only", "source", package, cwd=scratch)
                    contents = os.path.join(scratch, "contents")
                    os.mkdir(contents)
                    _run(["tar", "--extract", "--no-same-owner", "--file", os.path.join(scratch, archive), "--directory",
                          contents, "--wildcards", *members])
                    os.rename(contents, str(target))
        return target

    def _parts(self, package, version):
        found, wanted = set(), {package}
        while wanted:
            part = wanted.pop()
            found.add(part)
            depends = self._fields(part).get("Depends", "")
            # Not the image, which some headers packages ask for.
            wanted |= set(re.findall(r"(linux-(?!image)\S+) \(= %s\)" % re.escape(version), depends)) - found
        return found

    def _fields(self, package):
        """What the lists say of a package's newest version: {field: value}."""
        answer = self._run("apt-cache", "show", "--no-all-versions", package)
        return dict(line.split(": ", 1) for line in answer.splitlines() if re.match(r"[\w-]+: ", line))

    def _download(self, packages, directory):
        try:
            self._run("apt-get", "download", *packages, cwd=directory)
        except Unavailable:     # the lists may name a build that has been replaced since
            self._refresh(0)
            self._run("apt-get", "download", *packages, cwd=directory)

    def _configure(self):
        archive, security = _mirror()
        keyring = next(("signed-by=%s " % path for path in KEYRINGS if path.exists()), "")
        options = "[%sarch=%s]" % (keyring, self.architecture)
        sources = ["%s %s %s %s main" % (self.kind, options, archive, self.name)]
        if self.name != "sid":
            sources.append("%s %s %s %s-security main" % (self.kind, options, security, self.name))
        for part in ("lists/partial", "cache/archives/partial"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        _write(self.directory / "sources.list", "\n".join(sources) + "\n")
        settings = {"Dir::Etc::SourceList": self.directory / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
                    "Dir::State": self.directory, "Dir::State::Lists": self.directory / "lists",
                    "Dir::State::status": self.directory / "status", "Dir::Cache": self.directory / "cache",
                    "APT::Architecture": self.architecture, "APT::Sandbox::User": "", "Acquire::Languages": "none",
                    "Acquire::Retries": 2, "Acquire::http::Timeout": 20, "Acquire::https::Timeout": 20}
        # Hooks of the machine's own updates have no business here.
        _write(self.configuration, "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
               + "#clear APT::Architectures;\n"
               + "".join('%s "%s";\n' % setting for setting in settings.items()))

    def _refresh(self, age):
        """Brings the lists up to date if they are older than `age` seconds; when that fails, what there is serves."""
        stamp = self.directory / "refreshed"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < age:
            return
        try:
            self._run("apt-get", "update", "-oAPT::Update::Error-Mode=any")
        except Unavailable as reason:
            self.trouble = reason
        else:
            self.trouble = None
            stamp.touch()

    def _run(self, program, *arguments, **options):
        try:
            return _run([program, "-q", "-c", str(self.configuration)] + list(arguments), **options)
        except Unavailable as reason:
            raise self.trouble or reason from None  # what the lists lack follows from how their update failed

    @contextlib.contextmanager
    def _alone(self):
        """One process at a time: apt itself would not wait for another, and one download is enough."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@functools.lru_cache(maxsize=None)
def suite(name, architecture="amd64", kind="deb"):
    """apt for one Debian suite ('bookworm'). Raises Unavailable."""
    return Suite(name, architecture, kind)


def _mirror():
    """Where this machine's own apt gets Debian from: the archive's URI and its security archive's."""
    uris = re.findall(r"^'(\S+)/dists/([^/']+)/InRelease'", _run(["apt-get", "--print-uris", "update"]), re.MULTILINE)
    security = [uri for uri, suite in uris if suite.endswith("-security")]
    # Another vendor's archive can name a suite like Debian's, but only Debian's has the suite's updates as well.
    archives = Counter(uri for uri, suite in uris if not suite.endswith("-security"))
    if not archives:
        raise Unavailable("apt's sources on this machine name no archive")
    archive = archives.most_common(1)[0][0]
    return archive, security[0] if security else archive + "-security"


def _unpack(deb, directory, without):
    tar = ["tar", "--extract", "--no-same-owner", "--directory", str(directory)]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as archive:
        unpacked = subprocess.run(tar + (["--exclude", without] if without else []), stdin=archive.stdout)
        archive.stdout.close()
    if archive.returncode or unpacked.returncode:
        raise Unavailable("%s cannot be unpacked" % deb.name)


def _run(command, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, env=dict(os.environ, LC_ALL="C"))
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
        raise Unavailable("%s: %s" % (command[0], complaints[0]))
    return done.stdout


def _write(path, text):
    """Writes a file that another process may be reading, if there is anything new."""
    if not path.exists() or path.read_text() != text:
        scratch = path.with_name("%s.%d" % (path.name, os.getpid()))
        scratch.write_text(text)
        os.replace(scratch, path)


def _only(paths, what):
    paths = list(paths)
    if len(paths) != 1:
        raise Unavailable("%d places hold the %s" % (len(paths), what))
    return paths[0]
