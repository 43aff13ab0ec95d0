"""The form of a library's files: what they say about themselves, who signed that, and a packed text.

    layout-expert KIND 1
    {what it says: JSON on one line; "payload" is the SHA-256 of the rest}
    PUBLIC_KEY:SIGNATURE …          in hex, or nothing
    payload

The signature is over the first two lines. So it covers all, one request fetches it with the file, and a
further signature changes nothing of what others signed.
"""
from __future__ import annotations

import hashlib
import json
import re
from typing import List, NamedTuple, Sequence, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply.library.signatures import Signer, is_signature

VERSION, INDEX = "version", "index"

_HEAD = "layout-expert %s 1\n"
_LONGEST_LINE = 1 << 14
_MOST_SIGNATURES = 16
_SIGNATURE = re.compile(rb"([0-9a-f]{64}):([0-9a-f]{128})\Z")


class Envelope(NamedTuple):
    """statement: what the file says of itself. signatures: (public key, signature) of `signed`, none verified."""

    statement: dict
    payload: bytes
    signed: bytes
    signatures: Tuple[Tuple[bytes, bytes], ...] = ()

    def signers(self, keys: Sequence[bytes]) -> List[bytes]:
        """Those of the public keys that have signed it."""
        return [public for public, signature in self.signatures
                if public in keys and is_signature(public, self.signed, signature)]

    def signed_by(self, signer: Signer) -> Envelope:
        """The same with the signer's signature besides those it has."""
        others = [each for each in self.signatures if each[0] != signer.public]
        return self._replace(signatures=(*others, (signer.public, signer.sign(self.signed))))

    def dumps(self) -> bytes:
        signatures = b" ".join(b"%s:%s" % (public.hex().encode(), signature.hex().encode())
                               for public, signature in self.signatures)
        return self.signed + signatures + b"\n" + self.payload


def sealed(kind: str, statement: dict, payload: bytes) -> Envelope:
    """An envelope of which nobody has signed anything yet."""
    statement = {**statement, "payload": hashlib.sha256(payload).hexdigest()}
    line = json.dumps(statement, separators=(",", ":"), sort_keys=True).encode("ascii")
    return Envelope(statement, payload, (_HEAD % kind).encode() + line + b"\n")


def is_sealed(data: bytes) -> bool:
    """Whether data begins as an envelope does, of whichever kind."""
    return any(data.startswith((_HEAD % kind).encode()) for kind in (VERSION, INDEX))


def opened(data: bytes, kind: str, source: str) -> Envelope:
    """The envelope in data, its payload whole. A LayoutExpertError about `source` tells what it is not."""
    head = (_HEAD % kind).encode()
    lines: List[bytes] = data[:2 * _LONGEST_LINE].split(b"\n", 3)
    if not data.startswith(head):
        raise LayoutExpertError(f"{source} is no {kind} of a library of Pre-ASTs")
    try:
        statement = json.loads(lines[1])
        signatures = [_SIGNATURE.match(word).groups() for word in lines[2].split()]
        payload = data[sum(map(len, lines[:3])) + 3:]
        good = (len(lines) == 4 and isinstance(statement, dict) and len(signatures) <= _MOST_SIGNATURES
                and statement["payload"] == hashlib.sha256(payload).hexdigest()
                and isinstance(statement["serial"], int))
    except (ValueError, KeyError, IndexError, AttributeError, RecursionError):
        good = False
    if not good:
        raise LayoutExpertError(f"{source} is truncated or damaged", next_step="get it again")
    return Envelope(statement, payload, head + lines[1] + b"\n",
                    tuple((bytes.fromhex(public.decode()), bytes.fromhex(signature.decode()))
                          for public, signature in signatures))
