"""The seed of CONFIG_RANDSTRUCT: 64 hexadecimal digits that the kernel's build draws once and keeps in its tree.

    scripts/basic/randstruct.seed                    since 5.19
    scripts/gcc-plugins/randomize_layout_seed.h      until 5.18 the only place
    scripts/gcc-plugins/randomize_layout_plugin.so   the built plugin, which headers packages ship, holds it

Every module's version magic, and a generated header, hold its SHA-256.
"""

import hashlib
import os
import re

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import read_bounded

PLACES = (
    "scripts/basic/randstruct.seed",
    "scripts/gcc-plugins/randomize_layout_seed.h",
    "scripts/gcc-plugins/randomize_layout_plugin.so",
)
DIGEST_PLACES = ("include/generated/randstruct_hash.h", "include/generated/randomize_layout_hash.h")
_FILE_LIMIT = 16 << 20
_SEED = re.compile(r"(?<![0-9A-Za-z_])[0-9A-Fa-f]{64}(?![0-9A-Za-z_])")
_DIGEST = re.compile(r'RANDSTRUCT_HASHED_SEED\s+"([0-9a-f]{64})"')


def is_seed(text):
    """Whether a text is a seed, as the kernel's build draws it."""
    return _SEED.fullmatch(text) is not None


def seed_in(text):
    """The seed that the text of one of `PLACES` holds; None if there is none, or more than one thing like it."""
    found = set(_SEED.findall(text))
    return found.pop() if len(found) == 1 and not _DIGEST.search(text) else None


def digest_in(text):
    """The SHA-256 of the seed, in hex, that the text of one of `DIGEST_PLACES` holds; None if there is none."""
    match = _DIGEST.search(text)
    return match and match.group(1)


def digest_of(seed):
    """SHA-256 in hex, as the kernel's build takes it."""
    return hashlib.sha256(seed.encode()).hexdigest()


def read_seed(given):
    """The seed that a user gives: itself, or the path of a file of the kernel's build tree that holds it.

    Raises LayoutExpertError.
    """
    if is_seed(given):
        return given
    next_step = "give its 64 hexadecimal digits, or " + ", ".join(PLACES) + " of the tree in which the kernel was built"
    if not os.path.isfile(given):
        raise LayoutExpertError("%s is no seed of CONFIG_RANDSTRUCT, and no file" % given, next_step=next_step)
    text = read_bounded(given, _FILE_LIMIT, unpack=False).decode("latin-1")
    if _DIGEST.search(text):
        raise LayoutExpertError("%s holds only the digest of the seed of CONFIG_RANDSTRUCT" % given, next_step=next_step)
    seed = seed_in(text)
    if seed is None:
        raise LayoutExpertError("%s holds no seed of CONFIG_RANDSTRUCT" % given, next_step=next_step)
    return seed
