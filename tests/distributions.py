"""Packages and repositories as distributions lay them out, made by their own tools where this machine has them.

A tool that is missing skips the test that asked, with its name.
"""
import functools
import os
import shutil
import subprocess
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
    definitions = {"_topdir": build, "_binary_payload": RPMBUILD_PAYLOADS[payload], "_build_id_links": "none",
                   "__os_install_post": "%{nil}", "debug_package": "%{nil}", "_unpackaged_files_terminate_build": "0",
                   "_builddir": build, "__check_files": "%{nil}", "_rpmdir": folder, "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"}
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
