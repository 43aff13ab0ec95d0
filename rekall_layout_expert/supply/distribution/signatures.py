"""OpenPGP signatures of distributions' indexes, held against the keys that the host trusts.

pysequoia does it (Sequoia-PGP, which apt itself uses since Debian 13): gpgv is no longer on every host,
and a library needs no other program of a host that may be compromised. Its policy refuses what is not
secure any more, SHA-1 among it. That is right for signatures, but RHEL's, CentOS's and others' keys bind
themselves to their names by SHA-1 too: such a key is trusted for the file it lies in, and gpgv, which does
so, verifies what it has signed. A signature by a key that has expired since counts if the key was valid
when it signed: so the index of a snapshot of years ago still does.

Sources: RFC 9580 (OpenPGP), RFC 4880; gpgv(1), and GnuPG's doc/DETAILS on its status lines.
"""
from __future__ import annotations

import os
import re
import subprocess
import tempfile
from typing import Iterable, List, NamedTuple, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded

_KEYRING_LIMIT = 16 << 20
_STRONG_HASHES = re.compile(r"SHA(?:3_)?(?:224|256|384|512)\Z")
_GPGV_SECONDS = 60
_GPGV_VALID = re.compile(r"^\[GNUPG:\] VALIDSIG (\w+)(?: \S+){8} (\w+)", re.M)


class Keyring(NamedTuple):
    """The keys that may sign something.

    data: keyrings, each binary or ASCII-armored. only: fingerprints in hex, of keys or their subkeys,
    if not every key of them may. names: where they are from, for messages.
    """

    data: List[bytes]
    only: Iterable[str] = ()
    names: Iterable[str] = ()


class Signed(NamedTuple):
    """What a good signature covers. by: the fingerprint of the key that made it; certificate: of its primary key."""

    text: bytes
    by: str
    certificate: str


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
        text = data if signature is not None else result.bytes
        good = [Signed(text, each.signing_key.lower(), each.certificate.lower()) for each in result.valid_sigs]
    except Exception as error:  # of no class of its own
        good = _verified_by_gpgv(data, certificates, place, signature)
        if not good:
            raise LayoutExpertError(f"{place} has no good signature by a key of "
                                    f"{', '.join(keyring.names) or 'the host'}: {_first_line(error)}") from error
    allowed = {fingerprint.replace(" ", "").rstrip("!").lower() for fingerprint in keyring.only}
    for signed in good:
        if not allowed or allowed & {signed.certificate, signed.by}:
            return signed
    raise LayoutExpertError(f"{place} is signed by none of the keys that may sign it: {', '.join(sorted(allowed))}")


def fingerprints(keyring: Keyring) -> List[str]:
    """Those of a keyring's primary keys, in lower-case hex, each once."""
    try:
        return list(dict.fromkeys(certificate.fingerprint.lower() for certificate in _certificates(keyring)))
    except ImportError:
        return []


def _verified_by_gpgv(data: bytes, certificates: list, place: str, signature: Optional[bytes]) -> List[Signed]:
    """The same for keys that Sequoia's policy refuses because of how they bind themselves, and for no others."""
    from pysequoia import Sig

    certificates = [certificate for certificate in certificates if _binds_itself_by_sha1(certificate)]
    if signature is None or not certificates:
        return []
    try:
        signature = Sig.from_bytes(signature)
    except Exception:  # of no class of its own
        return []
    # gpgv would take SHA-1 for what was signed as well.
    if not _STRONG_HASHES.match(str(signature.hash_algorithm).rpartition(".")[2]):
        return []
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("keyring", "signature", "data")]
        for path, content in zip(paths, (b"".join(map(bytes, certificates)), bytes(signature), data)):
            with open(path, "wb") as file:
                file.write(content)
        try:
            done = subprocess.run(["gpgv", "--homedir", folder, "--status-fd", "1", "--keyring", *paths],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  timeout=_GPGV_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LayoutExpertError(
                f"the signature of {place} cannot be verified: the keys are of before 2023, and gpgv, which takes such "
                f"keys, does not run ({error})", next_step="install gpgv or gnupg") from error
    if done.returncode or b"[GNUPG:] REVKEYSIG" in done.stdout:
        return []
    return [Signed(data, by.lower(), primary.lower())
            for by, primary in _GPGV_VALID.findall(done.stdout.decode("utf-8", "replace"))]


def _binds_itself_by_sha1(certificate) -> bool:
    try:
        return not certificate.user_ids
    except Exception as error:  # of no class of its own
        return "SHA1" in str(error)


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
