"""OpenPGP signatures of distributions' indexes, held against the keys that the host trusts.

pysequoia does it (Sequoia-PGP, which apt itself uses since Debian 13): gpgv is no longer on every host,
and a library needs no other program of a host that may be compromised. Its policy refuses what is not
secure any more, SHA-1 among it. A signature by a key that has expired since counts if the key was valid
when it signed: so the index of a snapshot of years ago still does.

Sources: RFC 9580 (OpenPGP), RFC 4880.
"""
from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded

_KEYRING_LIMIT = 16 << 20


class Keyring(NamedTuple):
    """The keys that may sign something.

    data: keyrings, each binary or ASCII-armored. only: fingerprints in hex, of keys or their subkeys,
    if not every key of them may. names: where they are from, for messages.
    """

    data: List[bytes]
    only: Iterable[str] = ()
    names: Iterable[str] = ()


class Signed(NamedTuple):
    """What a good signature covers. by: the fingerprint of the key that made it."""

    text: bytes
    by: str


def read_keyring(paths: Iterable[Path], only: Iterable[str] = ()) -> Keyring:
    """The keyring of those files that can be read."""
    data, names = [], []
    for path in paths:
        try:
            data.append(read_bounded(path, _KEYRING_LIMIT, unpack=False))
        except LayoutExpertError:
            continue  # whoever finds no key says which files it wanted
        names.append(str(path))
    return Keyring(data, tuple(only), names)


def verified(data: bytes, keyring: Keyring, place: str, signature: Optional[bytes] = None) -> Signed:
    """The part of data that one of the keys has signed: all of it where the signature is a file of its own.

    data: a clear-signed or signed message, or any bytes with their detached signature. place: what
    messages call it. A LayoutExpertError tells that nothing good signs it.
    """
    try:
        from pysequoia import Sig, verify
    except ImportError as error:
        raise LayoutExpertError(f"the signature of {place} cannot be verified: pysequoia is missing",
                                next_step="pip install pysequoia") from error
    certificates = _certificates(keyring)
    if not certificates:
        raise LayoutExpertError(f"the signature of {place} cannot be verified: there is no key to verify it with",
                                keyring.names, "install the distribution's keyring package")
    try:
        if signature is None:
            result = verify(data, store=lambda ids: certificates)
        else:
            result = verify(data, store=lambda ids: certificates, signature=Sig.from_bytes(signature))
    except Exception as error:  # of no class of its own
        raise LayoutExpertError(f"{place} has no good signature by a key of {', '.join(keyring.names) or 'the host'}: "
                                f"{_first_line(error)}") from error
    allowed = {fingerprint.replace(" ", "").rstrip("!").lower() for fingerprint in keyring.only}
    for good in result.valid_sigs:
        if not allowed or allowed & {good.certificate.lower(), good.signing_key.lower()}:
            return Signed(data if signature is not None else result.bytes, good.signing_key)
    raise LayoutExpertError(f"{place} is signed by none of the keys that may sign it: {', '.join(sorted(allowed))}")


def _certificates(keyring: Keyring) -> list:
    from pysequoia import Cert

    certificates = []
    for data in keyring.data:
        try:
            certificates += Cert.split_bytes(data)
        except Exception:  # of no class of its own; another keyring may have the key
            continue
    return certificates


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
