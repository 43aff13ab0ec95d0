"""Keys and signatures: Ed25519 (RFC 8032) as pycryptodome has it, keys as PEM files (RFC 8410).

`openssl genpkey -algorithm ed25519` makes the same keys. Who signs a library gives `PUBLIC KEY` files to
those who use it; several in one file are all trusted, which lets keys change.
"""
from __future__ import annotations

import os
import re
from typing import List

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, write_atomically

_LIMIT = 1 << 20
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.S)


def _library():
    try:
        from Crypto.PublicKey import ECC
        from Crypto.Signature import eddsa
    except ImportError as error:
        raise LayoutExpertError("signatures need pycryptodome, which is missing",
                                next_step="pip install pycryptodome") from error
    return ECC, eddsa


class Signer:
    """A private key. public: the 32 bytes of the public one."""

    def __init__(self, key):
        self._key = key
        self.public = key.public_key().export_key(format="raw")

    @classmethod
    def read(cls, path: Path) -> Signer:
        """The private key in a PEM file. A LayoutExpertError tells that it holds none."""
        ecc, _ = _library()
        try:
            key = ecc.import_key(read_bounded(path, _LIMIT))
        except (ValueError, IndexError, TypeError) as error:
            raise LayoutExpertError(f"{path} holds no private key: {error}") from error
        if key.curve != "Ed25519" or not key.has_private():
            raise LayoutExpertError(f"{path} holds no private key of Ed25519",
                                    next_step="make one with 'layout_tool library keygen'")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        _, eddsa = _library()
        return eddsa.new(self._key, "rfc8032").sign(message)


def make_keys(private: Path) -> Path:
    """Makes a pair of keys: the file `private`, for its owner's eyes only, and beside it the public one, which is returned.

    A LayoutExpertError tells that there is such a file already.
    """
    public = f"{private}.pub"
    for path in (private, public):
        if os.path.lexists(path):
            raise LayoutExpertError(f"{path} exists, and is not overwritten")
    ecc, _ = _library()
    key = ecc.generate(curve="Ed25519")
    write_atomically(private, key.export_key(format="PEM").encode() + b"\n", mode=0o600)
    write_atomically(public, key.public_key().export_key(format="PEM").encode() + b"\n")
    return public


def read_keys(path: Path) -> List[bytes]:
    """The public keys in a file, 32 bytes each. A LayoutExpertError tells that it holds none, or one of another kind."""
    ecc, _ = _library()
    keys = []
    for pem in _PUBLIC.findall(read_bounded(path, _LIMIT)):
        try:
            key = ecc.import_key(pem)
        except (ValueError, IndexError, TypeError) as error:
            raise LayoutExpertError(f"{path} holds a damaged key: {error}") from error
        if key.curve != "Ed25519":
            raise LayoutExpertError(f"{path} holds a key of {key.curve}, which is not Ed25519")
        keys.append(key.export_key(format="raw"))
    if not keys:
        raise LayoutExpertError(f"{path} holds no public key", next_step="'layout_tool library keygen' makes keys")
    return keys


def is_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature of a message is by the owner of a public key."""
    _, eddsa = _library()
    try:
        eddsa.new(eddsa.import_public_key(public), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True
