"""pahole, for comparing: Debian's own build for this machine's suite, fetched with apt and kept outside the repository.

Its text and ours are reduced to what both must agree on: each member's name, offset, bit and size, the holes between
them, and the figures at the end.
"""
import functools
import os
import re
import shutil
import subprocess

import pytest
from kernels import cache_directory

MEMBER = re.compile(r"^(.*?)\s*/\*\s*(\d+)(?::\s*(\d+))?\s+(\d+) \*/")
HOLE = re.compile(r"/\* XXX (\d+) (bit|byte)s? hole, try to pack \*/")
# What pahole tells of the types of members, and what it makes up for the sake of C, is left out.
FIGURES = re.compile(r"^\t/\* (size: \d+, cachelines: \d+, members: \d+|sum members: .*|sum bitfield members: .*|padding: \d+"
                     r"|bit_padding: \d+ bits|last cacheline: \d+ bytes) \*/")
CACHE_LINE = re.compile(r"/\* --- (cacheline .*?) --- \*/")
NAME = re.compile(r"(\w+)\)?\s*(?:\[[^;]*)?(?::\d+)?(?: __attribute__\(\(.*\)\))*;$")
FUNCTION = re.compile(r"\(\s*\**\s*(?:const )?(\w+)(?:\[\d*\])*\)[(\[]")


@functools.lru_cache(maxsize=None)
def program():
    """The path of a pahole that runs on this machine; a test that asks for it is skipped where there is none."""
    found = shutil.which("pahole")
    if found:
        return found
    directory = cache_directory() / "pahole"
    path = directory / "usr" / "bin" / "pahole"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "pahole"], cwd=directory, check=True, capture_output=True, timeout=120)
            for package in directory.glob("pahole_*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, directory], check=True, capture_output=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip("no pahole: %s" % error)
    if subprocess.run([path, "--version"], capture_output=True).returncode:
        pytest.skip("pahole's libraries (libdw1, libelf1, libbpf) are missing")
    return os.fspath(path)


def records(text):
    """{head: [facts, ...]} of all records in a text in pahole's form, such as {"struct list_head": [[...]]}.

    A name may have several variants, of different source files.
    """
    found = {}
    lines = None
    for line in text.splitlines():
        if line[:1] not in ("", "\t", "}") and line.split("//")[0].rstrip().endswith("{"):
            lines = []
            found.setdefault(line.split("{")[0].strip(), []).append(lines)
        elif line.startswith("}"):
            lines = None
        elif lines is not None:
            lines.append(line)
    # Of a union pahole tells no figures.
    return {head: [[fact for fact in facts(lines) if head.startswith("struct") or fact[0] != "figures"] for lines in variants]
            for head, variants in found.items()}


def facts(lines):
    """What lines tell, as comparable tuples."""
    found = []
    for line in lines:
        member, hole = MEMBER.match(line), HOLE.search(line)
        figures, boundary = FIGURES.search(line), CACHE_LINE.search(line)
        if member:
            declaration, offset, bit, size = member.groups()
            found.append((name_of(declaration), int(offset), bit and int(bit), int(size)))
        elif hole:
            found.append(("hole", int(hole.group(1)), hole.group(2)))
        elif figures:
            found.append(("figures", figures.group(1)))
        elif boundary:
            found.append(("boundary", boundary.group(1)))
    return found


def name_of(declaration):
    """The name in a member's declaration; "" for an anonymous record."""
    declaration = declaration.strip()
    function = FUNCTION.search(declaration)
    if function:
        return function.group(1)
    declaration = re.sub(r"__attribute__ ?\(\(\w+( ?\(\d+\))?\)\)\s*", "", declaration).replace(" ;", ";")
    if re.fullmatch(r"}\s*;", declaration):
        return ""
    match = NAME.search(declaration)
    return match.group(1) if match else declaration
