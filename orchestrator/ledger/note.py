"""Signed notes and checkpoints, as C2SP writes them: what a tree head looks like outside of the ledger. Pure.

A checkpoint's text is three lines: origin, size, root in base64. Signatures follow after an empty line, each an em
dash, a key's name, and its id and signature in base64. What comes from outside is read strictly or not at all.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.digest import MAX_INTEGER
from orchestrator.names import shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_BYTES = 65_536
"""A longer note is refused."""
_MAX_SIGNATURES = 100
_ED25519 = b"\1"
_ID_BYTES, _KEY_BYTES, _ROOT_BYTES = 4, 32, 32
_NAME = r"[^\s+]+"
_SIGNATURE = rf"\u2014 ({_NAME}) ([A-Za-z0-9+/]+={{0,2}})"
_KEY = rf"({_NAME})\+([0-9a-f]{{8}})\+([A-Za-z0-9+/]+={{0,2}})"
_SIZE = r"0|[1-9][0-9]{0,15}"
_CONTROL = r"[\x00-\x09\x0b-\x1f\x7f]"


class NoteError(ValueError):
    """A note or key that is not what it should be; the message says what was seen and what was expected."""


class PublicKey(NamedTuple):
    """Who signs."""

    name: str
    """The same as the origin: `orch/` and the ledger's id."""
    raw: bytes
    """Ed25519, 32 bytes."""

    @property
    def id(self) -> bytes:
        """Return the 4 bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """Return the key as a text to be kept: name, id and key, joined by `+`."""
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.raw).decode()}"


class Checkpoint(NamedTuple):
    """What a tree head says."""

    origin: str
    size: int
    """How many events."""
    root: bytes
    """Over their leaves, 32 bytes."""

    def __str__(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


class Note(NamedTuple):
    """A checkpoint with its signatures, which nobody has checked yet."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """Name and id of the key, and the signature's bytes."""


def origin_of(ledger_id: str) -> str:
    """Return what the heads of a ledger call it."""
    return f"orch/{ledger_id}"


def sign(checkpoint: Checkpoint, name: str, private: "Ed25519PrivateKey") -> str:
    """Return the note of a checkpoint; the same key and checkpoint give the same text."""
    key = PublicKey(name, private.public_key().public_bytes_raw())
    text = str(checkpoint)
    return f"{text}\n\u2014 {name} {b64encode(key.id + private.sign(text.encode())).decode()}\n"


def parse_key(text: str) -> PublicKey:
    """Return the key that a text such as `str(PublicKey)` names.

    Raises:
        NoteError: it is anything else.
    """
    found = re.fullmatch(_KEY, text)
    raw = _decoded(found[3]) if found else b""
    if found is None or len(raw) != 1 + _KEY_BYTES or raw[:1] != _ED25519:
        raise NoteError(f"{shown(text)} is no key; expected name+id+key, as `orch ledger heads show` prints it")
    key = PublicKey(found[1], raw[1:])
    if key.id.hex() != found[2]:
        raise NoteError(f"the key {shown(text)} does not have the id that it says; it is mistyped or damaged")
    return key


def parse(text: str) -> Note:
    """Return the note that a text is.

    Raises:
        NoteError: it is no signed checkpoint, or says more than one.
    """
    if len(text) > MAX_BYTES:
        raise NoteError(f"a note of more than {MAX_BYTES:,} bytes")
    if re.search(_CONTROL, text) or not text.endswith("\n"):
        raise NoteError("a note with control characters, or without an end of its last line")
    said, empty, signed = text.rpartition("\n\n")
    if not empty:
        raise NoteError("a note without signatures; expected three lines, an empty line, and signatures")
    return Note(_checkpoint(said), _signatures(signed.removesuffix("\n").split("\n")))


def _checkpoint(said: str) -> Checkpoint:
    lines = said.split("\n")
    if len(lines) != 3:  # noqa: PLR2004  # origin, size, root
        raise NoteError(f"a checkpoint of {len(lines)} lines; expected three: origin, size, root")
    origin, size, root = lines
    if not re.fullmatch(_NAME, origin):
        raise NoteError(f"a checkpoint of {shown(origin)}; expected an origin such as orch/ and the ledger's id")
    if not re.fullmatch(_SIZE, size) or int(size) > MAX_INTEGER:
        raise NoteError(f"a checkpoint of size {shown(size)}; expected a whole number from 0")
    decoded = _decoded(root)
    if len(decoded) != _ROOT_BYTES:
        raise NoteError(f"a checkpoint with the root {shown(root)}; expected {_ROOT_BYTES} bytes in base64")
    return Checkpoint(origin, int(size), decoded)


def _signatures(lines: list[str]) -> tuple[tuple[str, bytes, bytes], ...]:
    if len(lines) > _MAX_SIGNATURES:
        raise NoteError(f"a note with {len(lines)} signatures; expected at most {_MAX_SIGNATURES}")
    found = []
    for line in lines:
        match = re.fullmatch(_SIGNATURE, line)
        raw = _decoded(match[2]) if match else b""
        if match is None or len(raw) <= _ID_BYTES:
            raise NoteError(f"a note with the line {shown(line)}; expected a signature")
        found.append((match[1], raw[:_ID_BYTES], raw[_ID_BYTES:]))
    return tuple(found)


def check(note: Note, key: PublicKey) -> str:
    """Return why a note is not signed by a key, or ""; signatures by others are passed over."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    ours = [signature for name, number, signature in note.signatures if (name, number) == (key.name, key.id)]
    if not ours:
        names = ", ".join(f"{shown(name)} ({number.hex()})" for name, number, _ in note.signatures[:3])
        return f"it is signed by {names}, not by {key.name} ({key.id.hex()})"
    try:
        public = Ed25519PublicKey.from_public_bytes(key.raw)
        for signature in ours:
            public.verify(signature, str(note.checkpoint).encode())
    except (InvalidSignature, ValueError):
        return "its signature does not belong to what it says"
    return ""


def _decoded(text: str) -> bytes:
    """Return what a base64 text holds; b"" where it is not the one text that these bytes have."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if b64encode(raw).decode() == text else b""
