"""Packages and repositories as distributions lay them out, made by their own tools where this machine has them.

A tool that is missing skips the test that asked, with its name.
"""
import base64
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

RPMBUILD_PAYLOADS = {"gzip": "w1.gzdio", "bzip2": "w1.bzdio", "xz": "w1.xzdio", "zstd": "w1.zstdio"}


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip("%s: not on this machine" % ", ".join(missing))


def run(*command, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, "%s: %s" % (command[0], done.stdout.decode("utf-8", "replace")[-2000:])
    return done.stdout


class Key:
    """An OpenPGP key that signs. old: whether it binds itself to its name by SHA-1, as RHEL's does."""

    def __init__(self, folder, old=False):
        needs("gpg")
        self.home = Path(folder)
        self.home.mkdir(mode=0o700)
        self.environment = dict(os.environ, GNUPGHOME=str(self.home))
        self._gpg("--cert-digest-algo", "SHA1" if old else "SHA256", "--pinentry-mode", "loopback", "--passphrase", "",
                  "--quick-gen-key", "Distribution <packages@distribution.example>", "rsa2048", "sign", "never")
        self.armored = self._gpg("--armor", "--export")
        self.binary = self._gpg("--export")
        self.fingerprint = next(line.split(":")[9] for line in self._gpg("--with-colons", "--fingerprint").decode().split("\n")
                                if line.startswith("fpr"))

    def signature(self, data, *options):
        """A detached signature of data."""
        (self.home / "data").write_bytes(data)
        (self.home / "signature").unlink(missing_ok=True)
        self._gpg(*options, "--output", self.home / "signature", "--detach-sign", self.home / "data")
        return (self.home / "signature").read_bytes()

    def sign_rpm(self, path):
        needs("rpmsign")
        run("rpmsign", "--define", "_gpg_name " + self.fingerprint, "--define", "__gpg " + shutil.which("gpg"),
            "--addsign", path, env=self.environment)

    def close(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environment, stderr=subprocess.DEVNULL, check=False)

    def _gpg(self, *arguments):
        return run("gpg", "--batch", "--quiet", *arguments, env=self.environment)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    """The Key of a distribution."""
    key = Key(tmp_path_factory.mktemp("key") / "home")
    yield key
    key.close()


@pytest.fixture(scope="session")
def other_key(tmp_path_factory):
    """A Key that nobody trusts."""
    key = Key(tmp_path_factory.mktemp("other") / "home")
    yield key
    key.close()


SPEC = """Name: {name}
Version: {version}
Release: {release}
Summary: Headers
License: GPL
{tags}
%description
%install
mkdir -p %{{buildroot}}
cp -a {content}/. %{{buildroot}}
%files
{files}
"""


def rpm(folder, content, name, version, release, architecture="x86_64", tags="", payload="zstd", key=None):
    """The path of a package made by rpmbuild, below folder. content: a folder laid out as /. tags: more lines of the spec."""
    needs("rpmbuild")
    build = Path(folder) / "rpmbuild"
    build.mkdir(parents=True, exist_ok=True)
    spec = build / (name + ".spec")
    files = "\n".join('"/%s"' % path.relative_to(content) for path in sorted(Path(content).rglob("*"))
                      if path.is_symlink() or not path.is_dir())
    spec.write_text(SPEC.format(name=name, version=version, release=release, tags=tags, content=content, files=files))
    definitions = {"_topdir": build, "_builddir": build, "_rpmdir": folder, "_binary_payload": RPMBUILD_PAYLOADS[payload],
                   "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "_build_id_links": "none",
                   "__os_install_post": "%{nil}", "debug_package": "%{nil}", "__check_files": "%{nil}"}
    options = [part for definition in definitions.items() for part in ("--define", "%s %s" % definition)]
    run("rpmbuild", "-bb", "--nodeps", "--target", architecture + "-linux", *options, spec,
        env=dict(os.environ, HOME=str(build)))
    path = Path(folder) / ("%s-%s-%s.%s.rpm" % (name, version, release, architecture))
    if key:
        key.sign_rpm(path)
    return path


def rpm_repository(folder, key=None, compression="gz"):
    """Makes a folder of packages a repository, by createrepo_c; its index is signed if there is a key."""
    needs("createrepo_c")
    run("createrepo_c", "--no-database", "--general-compress-type", compression, folder)
    repomd = Path(folder) / "repodata/repomd.xml"
    if key:
        (repomd.parent / "repomd.xml.asc").write_bytes(key.signature(repomd.read_bytes(), "--armor"))
    return repomd


PKGBUILD = """pkgname={name}
pkgver={version}
pkgrel={release}
pkgdesc=Headers
arch=({architecture})
options=(!strip !debug !purge)
package() {{ cp -a {content}/. "$pkgdir"; }}
"""


def pacman_package(folder, content, name, version, release, key=None, architecture="x86_64", compression="zst"):
    """The path of a package made by makepkg, below folder, with its signature beside it."""
    needs("makepkg", "fakeroot", "bsdtar", *(["runuser"] if os.geteuid() == 0 else []))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as build:  # where nobody may read, as makepkg is not to be run by root
        copy = Path(build) / "content"
        shutil.copytree(str(content), str(copy), symlinks=True)
        (Path(build) / "PKGBUILD").write_text(PKGBUILD.format(name=name, version=version, release=release, content=copy,
                                                              architecture=architecture))
        command = ["env", "HOME=" + build, "PKGDEST=" + build, "SRCDEST=" + build, "BUILDDIR=" + build + "/build",
                   "PKGEXT=.pkg.tar." + compression, "CARCH=" + architecture, "makepkg", "--nodeps", "--noconfirm"]
        if os.geteuid() == 0:
            run("chown", "-R", "nobody", build)
            command[:0] = ["runuser", "-u", "nobody", "--"]
        run(*command, cwd=build)
        made = next(Path(build).glob("*.pkg.tar.*"))
        path = folder / made.name
        shutil.copyfile(str(made), str(path))
    if key:
        Path(str(path) + ".sig").write_bytes(key.signature(path.read_bytes()))
    return path


def pacman_database(folder, name, *packages):
    """The database of a repository with packages, by repo-add."""
    needs("repo-add", "bsdtar")
    run("repo-add", Path(folder) / (name + ".db.tar.gz"), *packages)
    return Path(folder) / (name + ".db")


class RsaKey:
    """A key as abuild-keygen makes it. name: of its file in /etc/apk/keys."""

    def __init__(self, name="packages@alpine.example-1.rsa.pub"):
        from Crypto.PublicKey import RSA
        self.name = name
        self._key = RSA.generate(2048)
        self.public = self._key.publickey().export_key().decode()

    def signature(self, data, algorithm="RSA"):
        """What abuild-sign puts before data: a gzip stream of a tar archive with a signature, which does not end."""
        from Crypto.Hash import SHA1, SHA256, SHA512
        from Crypto.Signature import pkcs1_15
        digest = {"RSA": SHA1, "RSA256": SHA256, "RSA512": SHA512}[algorithm].new(data)
        return gzip.compress(tar({".SIGN.%s.%s" % (algorithm, self.name): pkcs1_15.new(self._key).sign(digest)})[:-1024])


def tar(files, folder=None):
    """A tar archive of {name: content} and of what a folder holds. It ends with two blocks of zeros, and no more."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for path in sorted(Path(folder).iterdir()) if folder else ():
            archive.add(str(path), path.name)
        end = archive.offset
    return data.getvalue()[:end] + bytes(1024)


def apk(content, name, version, key=None, data=None):
    """(package, entry of the index) as abuild makes them. content: a folder laid out as /. data: instead of its archive."""
    data = gzip.compress(data if data is not None else tar({}, content), 1)
    info = "pkgname = %s\npkgver = %s\narch = x86_64\ndatahash = %s\n" % (name, version, hashlib.sha256(data).hexdigest())
    control = gzip.compress(tar({".PKGINFO": info.encode()})[:-1024])
    digest = "Q1" + base64.b64encode(hashlib.sha1(control).digest()).decode()
    package = (key.signature(control) if key else b"") + control + data
    return package, "C:%s\nP:%s\nV:%s\nA:x86_64\nS:%d\nI:1\nT:Headers\n" % (digest, name, version, len(package))


def apk_index(*entries, key=None, algorithm="RSA"):
    """APKINDEX.tar.gz with entries, signed if there is a key."""
    index = gzip.compress(tar({"DESCRIPTION": b"v3.20", "APKINDEX": ("\n".join(entries) + "\n").encode()}))
    return (key.signature(index, algorithm) if key else b"") + index
