"""Ed25519 keys that votes are signed with: read from rosters, made and loaded from files. Never decides who votes.

A roster's key is `ssh-ed25519 AAAA... comment`, or `ed25519:` and the base64 of its 32 bytes or of its
SubjectPublicKeyInfo.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator import place
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

EXPECTED = "`ssh-ed25519 AAAA...` or `ed25519:` and base64"
"""What a roster's key looks like, for messages."""
KEY_BYTES = 32
_SSH = "ssh-ed25519"
_PREFIX = "ed25519:"
_SPKI = bytes.fromhex("302a300506032b6570032100")
_FIELD = 2**255 - 19
_MAX_FILE_BYTES = 64 * 1024
_OTHERS = 0o077
_SMALL = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)
"""The y coordinates of the points of small order: anybody can make a signature that verifies with one of those."""


class _WrongPassphraseError(UsageError):
    """Another passphrase may open the key."""


class KeyFile(NamedTuple):
    """A private key out of a file."""

    public: bytes
    """32 bytes."""
    private: "Ed25519PrivateKey"
    comment: str = ""

    def sign(self, data: bytes) -> bytes:
        """Return the raw Ed25519 signature, 64 bytes."""
        return self.private.sign(data)

    def __repr__(self) -> str:
        """Return the public half alone."""
        return f"KeyFile({ssh_line(self.public)!r})"


def default_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the key lies unless somebody says otherwise: `vote.key` beside the operator's file."""
    return place.config_file(environ).parent / "vote.key"


def public_key(text: str) -> bytes:
    """Return the 32 bytes of a public key as a roster or `authorized_keys` writes it.

    Raises:
        ValueError: it is no Ed25519 public key; the text says why.
    """
    written = text.strip()
    if written.startswith(_PREFIX):
        raw = _decoded(written.removeprefix(_PREFIX))
        raw = raw.removeprefix(_SPKI) if len(raw) == len(_SPKI) + KEY_BYTES else raw
    elif written.startswith(_SSH + " "):
        raw = _from_wire(_decoded(written.split()[1]))
    else:
        raise ValueError(f"not {EXPECTED}")
    if len(raw) != KEY_BYTES:
        raise ValueError(f"{len(raw)} bytes where an Ed25519 key has {KEY_BYTES}")
    if (int.from_bytes(raw, "little") & (2**255 - 1)) % _FIELD in _SMALL:
        raise ValueError("a point of small order, with which anybody could sign")
    return raw


def jwk(public: bytes) -> str:
    """Return a public key as a JSON Web Key, as JSON text, which is how the engine verifies with it."""
    point = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return f'{{"crv":"Ed25519","kty":"OKP","x":"{point}"}}'


def from_jwk(text: str) -> bytes:
    """Return the 32 bytes of what `jwk` wrote.

    Raises:
        ValueError: it is something else.
    """
    import json

    try:
        point = json.loads(text)["x"]
        return base64.urlsafe_b64decode(point + "=" * (-len(point) % 4))
    except (TypeError, KeyError, binascii.Error) as error:
        raise ValueError("not one of our JSON Web Keys") from error


def ssh_line(public: bytes, comment: str = "") -> str:
    """Return a public key as OpenSSH writes it, in one line."""
    wire = _string(_SSH.encode()) + _string(public)
    return f"{_SSH} {base64.b64encode(wire).decode()} {comment}".rstrip()


def roster_line(public: bytes, subject: str = "user:you") -> str:
    """Return the line that gives a key to a person in a roster."""
    return f"{subject}: {{roles: [...], {keys_entry(public)}}}"


def keys_entry(public: bytes) -> str:
    """Return what gives a key to a person who is in the roster already."""
    return f'keys: ["{ssh_line(public)}"]'


def new_key(file: Path, passphrase: bytes | None, *, comment: str = "") -> KeyFile:
    """Make a key, write it (PKCS8, PEM, mode 0600) and return it; a file that is there is never written over.

    Raises:
        UsageError: the file is there, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _fill(file, descriptor, data)
    except FileExistsError:
        raise UsageError(
            f"{str(file)!r} is there already, and a key is never written over",
            advice="see it with `orch key show`, or name another file",
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the key cannot be written to {str(file)!r}: {_why(error)}") from error
    return KeyFile(private.public_key().public_bytes_raw(), private, comment)


def _fill(file: Path, descriptor: int, data: bytes) -> None:
    """Write a new key to disk, or leave nothing: half a key would be in the way of the next attempt."""
    try:
        with open(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(descriptor)
    except OSError:
        file.unlink(missing_ok=True)
        raise


def is_locked(file: Path) -> bool:
    """Return whether a key file wants a passphrase.

    Raises:
        UsageError: it cannot be read, or others could read it.
    """
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in _read(file)


def load_key(file: Path, passphrase: bytes | None = None) -> KeyFile:
    """Return the key of a file: PKCS8 PEM with or without a passphrase, or an OpenSSH key without one.

    Raises:
        UsageError: there is none, others can read it, the passphrase is wrong, or it is another kind of key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _read(file)
    is_ssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    try:
        load = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
        private = load(data, None if is_ssh else passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(file, passphrase, error, is_ssh=is_ssh) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(
            f"{str(file)!r} holds another kind of key; expected Ed25519", advice="make one with `orch key new`"
        )
    return KeyFile(private.public_key().public_bytes_raw(), private, file.name)


def open_key(file: Path, passphrases: Callable[[Path], Iterable[bytes]]) -> KeyFile:
    """Return the key of a file; where it wants a passphrase, with the first of those given that opens it.

    Raises:
        UsageError: as `load_key`; the last passphrase is wrong, too.
    """
    if not is_locked(file):
        return load_key(file)
    wrong = None
    for passphrase in passphrases(file):
        try:
            return load_key(file, passphrase)
        except _WrongPassphraseError as error:
            wrong = error
    raise wrong or UsageError(f"the key {str(file)!r} wants a passphrase", advice="name --passphrase-file")


def verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether a raw signature is by this key over this data."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unusable(file: Path, passphrase: bytes | None, error: Exception, *, is_ssh: bool) -> UsageError:
    name = repr(str(file))
    if is_ssh:
        return UsageError(
            f"the OpenSSH key {name} cannot be read; expected an Ed25519 key without a passphrase",
            advice="put a key with a passphrase into ssh-agent (`ssh-add`) and vote with --agent",
        )
    if "password" in str(error).lower() or "decrypt" in str(error).lower():
        if passphrase is not None:
            return _WrongPassphraseError(f"the key {name} does not open with this passphrase", advice="try again")
        return UsageError(
            f"the key {name} wants a passphrase", advice="type it on a terminal, or name --passphrase-file"
        )
    return UsageError(
        f"{name} is no private key; expected PEM as `orch key new` writes it", advice="make one with `orch key new`"
    )


def _read(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as opened:  # noqa: PTH123  # a descriptor
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"{str(file)!r} is no plain file; expected a private key")
            if mode & _OTHERS:
                from shlex import quote

                raise UsageError(
                    f"the key {str(file)!r} is open to others (mode {stat.S_IMODE(mode):03o}), who could vote with it",
                    advice=f"chmod 600 {quote(str(file))}; if others may have read it, make a new one",
                )
            return opened.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no key to read at {str(file)!r}: {_why(error)}",
            advice="make one with `orch key new`, or vote with --agent",
        ) from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("no base64") from None


def _from_wire(wire: bytes) -> bytes:
    head = _string(_SSH.encode())
    if not wire.startswith(head) or wire[len(head) : len(head) + 4] != KEY_BYTES.to_bytes(4, "big"):
        raise ValueError("not the base64 of an OpenSSH Ed25519 key")
    return wire[len(head) + 4 :]


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
