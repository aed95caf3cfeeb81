"""The key that signs tree heads: `head.key` beside the ledger, made for the first head, and known to the record.

Its public half is in the event `orch.ledger.created`, the first of the chain `ledger:` to say so. A ledger has one.
"""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import place
from orchestrator.errors import DecisionError, LedgerError
from orchestrator.ledger import note
from orchestrator.ledger.append import append
from orchestrator.ledger.event import FORMAT, LEDGER_CHAIN, Draft
from orchestrator.ledger.store import Connection, Ledger

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "head.key"
CREATED = "orch.ledger.created"
_ACTOR = "system:orch"
_OTHERS = 0o077
_MAX_BYTES = 4096
_RECORDED = """
SELECT p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = ? ORDER BY e.run_seq LIMIT 1"""


class Signer(NamedTuple):
    """Who signs a ledger's heads."""

    name: str
    private: "Ed25519PrivateKey"

    @property
    def public(self) -> note.PublicKey:
        """Return the key that checks what this one signs."""
        return note.PublicKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> str:
        """Return the signed note of a tree."""
        return note.sign(note.Checkpoint(self.name, size, root), self.name, self.private)


def ready(ledger: Ledger) -> Signer:
    """Return the ledger's signer; where there was none its key is made, and an event says which.

    Raises:
        LedgerError: the key is another than the record says, is missing, can be read by others, or cannot be made.
    """
    name = note.origin_of(ledger.id)
    with ledger.store.reading() as connection:
        known = recorded(connection)
    file = ledger.folder / FILE
    if known is not None and not os.path.lexists(file):
        raise LedgerError(
            f"the key that signs this ledger's heads is not here: there is no file {str(file)!r}",
            advice=f"sign heads on the machine that has {FILE}, or put it back from where you keep secrets",
        )
    signer = Signer(name, _load(file) if os.path.lexists(file) else _make(ledger.folder))
    if known is None:
        known = _record(ledger, str(signer.public))
    if known != str(signer.public):
        raise LedgerError(
            f"the key in {str(file)!r} is not the one of this ledger's heads: expected {known}, seen {signer.public}",
            advice=f"put the right {FILE} there; `orch ledger verify` needs none",
        )
    return signer


def recorded(connection: Connection) -> str | None:
    """Return the public key that the record names, as text; None where it names none, "" where it cannot be read."""
    rows = connection.execute(_RECORDED, (LEDGER_CHAIN, CREATED))
    if not rows:
        return None
    try:
        said: Any = json.loads(rows[0][0])["public_key"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return said if isinstance(said, str) else ""


def _record(ledger: Ledger, public: str) -> str:
    """Record a key unless another process has, and return the one that the record names."""
    payload = {"format": FORMAT, "ledger": ledger.id, "public_key": public}
    with ledger.store.writing() as connection:
        connection.change("UPDATE chains SET head = head WHERE run_id = ?", (LEDGER_CHAIN,))
        if recorded(connection) is None:
            append(ledger, connection, Draft(CREATED, LEDGER_CHAIN, _ACTOR, payload))
        return recorded(connection) or ""


def _load(file: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    advice = f"put {FILE} back from where you keep secrets; a new key would not be this ledger's"
    try:
        key = load_pem_private_key(read_key(file, "sign heads"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LedgerError(
            f"the key {str(file)!r} cannot be read; expected an Ed25519 key, PEM", advice=advice
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"the key {str(file)!r} is no Ed25519 key", advice=advice)
    return key


def read_key(file: Path, use: str) -> bytes:
    """Return what a key's file holds, 4 KiB at most; `use` is what errors say that the key can do.

    Raises:
        LedgerError: it cannot be read, is no plain file of the user's own, or others can read it; `__cause__` says why.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as opened:  # noqa: PTH123  # a descriptor
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & _OTHERS:
                raise LedgerError(
                    f"the key {str(file)!r} is not safe: expected a file of user {os.geteuid()} with mode 600, "
                    f"seen user {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):03o}",
                    advice=f"whoever could read it can {use}; if nobody did, chmod 600 it",
                )
            return opened.read(_MAX_BYTES)
    except OSError as error:
        raise LedgerError(
            f"the key {str(file)!r} cannot be read: {error.strerror}", advice="see that it is a plain file of your own"
        ) from error


def _make(folder: Path) -> "Ed25519PrivateKey":
    """Make the key; of two processes at once both get the one that was there first."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_key(folder, FILE, pem, "the key that signs heads")
    return _load(folder / FILE)


def write_key(folder: Path, name: str, data: bytes, what: str) -> None:
    """Write a key for its owner alone, whole or not at all; one that is there stays. `what` is what errors call it.

    Raises:
        LedgerError: it cannot be written.
    """
    draft = folder / f".{name}.{os.urandom(8).hex()}"
    try:
        place.private_dir(folder)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as opened:  # noqa: PTH123  # a descriptor
            opened.write(data)
            opened.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, folder / name)
        _sync(folder)
    except DecisionError as error:
        raise LedgerError(f"{what} cannot be made: {error}", advice=error.advice) from error
    except OSError as error:
        message = f"{what} cannot be made in {str(folder)!r}: {error.strerror}"
        raise LedgerError(message, advice="see that the folder can be written") from error
    finally:
        draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
