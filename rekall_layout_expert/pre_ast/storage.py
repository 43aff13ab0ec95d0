r"""Pre-AST files: a line that says what this is, the SHA-256 of the rest, and zlib-compressed JSON.

Reading trusts nothing: the digest shows damage and truncation, decompression is bounded, so is what the JSON may be made
of, and programs are checked when they are first used (see `model.PreAst.program`).
"""

import hashlib
import json
import zlib

from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import read_bounded, write_atomically
from rekall_layout_expert.pre_ast.model import BOUNDS, FORMAT, ROOT, PreAst
from rekall_layout_expert.pre_ast.randstruct import BEHAVIOURS
from rekall_layout_expert.randstruct_seed import is_seed

_MAGIC = b"layout-expert pre-ast "
_SIZE_LIMIT = 64 << 20
# A Pre-AST of full source has 5 MB and 400,000 brackets, braces and quotation marks; each of those is an object in memory.
CONTENT_LIMIT = 32 << 20
_MOST_MARKS = 4000000
_LONGEST_NUMBER = 20
_MOST_PRIVATE = 1000  # each is a walk of its own
_TEXTS = ("version", "arch", "source")
_TEXTS_OR_NONE = ("release", "common")
_LISTS_OF_TEXTS = ("search_path", "forced", "generated", "unknown")
_OPTIONS = {"standard": str, "char_unsigned": bool, "ms_extensions": bool}


def digest_of(pre_ast):
    """The SHA-256 in hex of a Pre-AST's content."""
    return hashlib.sha256(_content(pre_ast)).hexdigest()


def _content(pre_ast):
    return json.dumps([pre_ast.header, pre_ast.files], separators=(",", ":"), sort_keys=True).encode("utf-8")


def dumps(pre_ast):
    """The bytes of a Pre-AST file.  The same Pre-AST gives the same bytes."""
    packed = zlib.compress(_content(pre_ast), 9)
    digest = hashlib.sha256(packed).hexdigest().encode("ascii")
    return _MAGIC + b"%d\n" % FORMAT + digest + b"\n" + packed


def loads(data, source):
    """The Pre-AST in `data`; `source` is how messages call it.

    Raises LayoutExpertError for what is none, is damaged, or has another format version.
    """
    first, _, rest = data.partition(b"\n")
    if not first.startswith(_MAGIC):
        raise LayoutExpertError(
            "%s is no Pre-AST" % source, next_step="make one with 'layout_tool build_pre_ast --linux_repository_path TREE OUT'"
        )
    version = first[len(_MAGIC) :].strip()
    if version != b"%d" % FORMAT:
        raise LayoutExpertError(
            "%s is a Pre-AST of format %s, this version reads format %d"
            % (source, version.decode("ascii", "replace")[:20], FORMAT),
            next_step="build it again with this version",
        )
    digest, _, packed = rest.partition(b"\n")
    if hashlib.sha256(packed).hexdigest().encode("ascii") != digest:
        raise LayoutExpertError("%s is truncated or damaged" % source, next_step="get or build it again")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, CONTENT_LIMIT)
        if unpacker.unconsumed_tail:
            raise LayoutExpertError("%s unpacks to more than %d MB" % (source, CONTENT_LIMIT >> 20))
        header, files = parsed(content, source)
    except (zlib.error, ValueError, TypeError, RecursionError):
        raise LayoutExpertError("%s is damaged" % source, next_step="get or build it again") from None
    return checked(header, files, hashlib.sha256(content).hexdigest(), source)


def parsed(content, source):
    """What the JSON in `content` (bytes) stands for, in bounded time and memory; ValueError where it is none."""
    if len(content) > _MOST_MARKS and sum(map(content.count, (b"[", b"{", b'"'))) > _MOST_MARKS:
        raise LayoutExpertError("%s holds more than any kernel's Pre-AST" % source)
    with held_off():
        return json.loads(content, parse_int=_Integers().__getitem__)


class _Integers(dict):
    """{digits: integer}: most of the integers in a Pre-AST are the same few."""

    def __missing__(self, digits):
        # The time that int() takes grows with the square of their number.
        if len(digits) > _LONGEST_NUMBER:
            raise ValueError("a number of %d digits" % len(digits))
        integer = self[digits] = int(digits)
        return integer


def checked(header, files, digest, source):
    """The Pre-AST of header and files.  Raises LayoutExpertError unless they have the form that `PreAst` describes."""
    try:
        good = _is_good(header, files)
    except (ValueError, TypeError, KeyError, AttributeError):
        good = False
    if not good:
        raise LayoutExpertError("%s is damaged" % source, next_step="get or build it again")
    return PreAst(header, files, digest)


def _is_good(header, files):
    """Whether header and files have the form that `model.PreAst` describes; KeyError and TypeError say no, too."""
    lists = [header[key] for key in _LISTS_OF_TEXTS]
    return (
        all(isinstance(header[key], str) for key in _TEXTS)
        and all(header[key] is None or isinstance(header[key], str) for key in _TEXTS_OR_NONE)
        and isinstance(header.get("package_version", ""), str)
        and all(isinstance(paths, list) and all(isinstance(path, str) for path in paths) for paths in lists)
        and all(isinstance(text, str) for directory, symbols in header.get("platforms", ()) for text in [directory, *symbols])
        and all(isinstance(header["options"][key], type_) for key, type_ in _OPTIONS.items())
        and all(isinstance(program, list) for program in files.values())
        and {ROOT, BOUNDS} <= files.keys()
        and set(header["forced"]) <= files.keys() | set(header["generated"])
        and len(header["private"]) <= _MOST_PRIVATE
        and all(_is_private(*each, files) for each in header["private"])
        and _tells_randstruct(**header.get("randstruct", {}))
    )


def _tells_randstruct(plugin=None, seed="", seed_digest="", config_digest=""):
    behaviours = plugin or dict.fromkeys(BEHAVIOURS, True)
    return (
        behaviours.keys() == set(BEHAVIOURS)
        and all(isinstance(value, bool) for value in behaviours.values())
        and (not seed or is_seed(seed))
        and isinstance(seed_digest, str)
        and isinstance(config_digest, str)
    )


def _is_private(path, symbols, names, files):
    texts = [*symbols, *names]
    return path in files and isinstance(symbols, list) and all(isinstance(text, str) for text in texts)


def read_pre_ast(path):
    """Reads a Pre-AST file (plain or gzip-compressed).  Raises LayoutExpertError."""
    return loads(read_bounded(path, _SIZE_LIMIT), str(path))


def write_pre_ast(pre_ast, path):
    """Writes a Pre-AST file, atomically.  Raises LayoutExpertError."""
    write_atomically(path, dumps(pre_ast))
