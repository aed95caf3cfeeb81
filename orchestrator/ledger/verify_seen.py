"""The head last seen of each ledger, kept in the user's state folder: what makes a cut or rewritten ledger show here.

Trust on first use: the first head and public key that verify are believed, and compared with from then on.
"""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from orchestrator import clock, place
from orchestrator.errors import LedgerError, OrchError
from orchestrator.ledger import note
from orchestrator.ledger.verify_heads import Good, Held

SOURCE = "the head last seen here"
_MAX_BYTES = 2 * note.MAX_BYTES
_ID = r"[0-9a-f]{32}"


def kept_text(key: note.PublicKey | str, head: str) -> str:
    """Return a head as it is kept elsewhere: the public key, an empty line, the note."""
    return f"{key}\n\n{head}"


def kept(source: str, text: str) -> Held:
    """Return the head that a text holds: a note, or what `kept_text` makes of one. Nothing is judged."""
    first, empty, rest = text.partition("\n\n")
    return Held(source, rest, first) if empty and "\n" not in first else Held(source, text)


def file_of(ledger_id: str) -> Path:
    """Return where the head last seen of a ledger lies.

    Raises:
        LedgerError: no ledger has this id.
        DecisionError: there is no place for records.
    """
    if not re.fullmatch(_ID, ledger_id):
        raise LedgerError(f"the ledger calls itself {ledger_id[:60]!r}; expected 32 hex digits")
    return place.state_dir() / "heads" / ledger_id


def recall(ledger_id: str) -> Held | None:
    """Return the head last seen of a ledger; None where none was.

    Raises:
        LedgerError: there is one that cannot be read.
        DecisionError: there is no place for records.
    """
    file = file_of(ledger_id)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
        with open(descriptor, "rb") as opened:  # noqa: PTH123  # a descriptor
            text = opened.read(_MAX_BYTES).decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LedgerError(f"{SOURCE}, {str(file)!r}, cannot be read: {reason}") from error
    return kept(f"{SOURCE} ({file})", text)


def remember(ledger_id: str, key: note.PublicKey, head: Good) -> str:
    """Keep a head that was verified, unless a larger one is kept; return why it could not be kept, or ""."""
    try:
        file = file_of(ledger_id)
        if _size(recall(ledger_id)) >= head.size:
            return ""
        place.private_dir(file.parent)
        draft = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as opened:  # noqa: PTH123  # a descriptor
                opened.write(kept_text(key, head.note).encode())
                opened.flush()
                os.fsync(descriptor)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, OrchError) as error:
        return f"the head could not be kept for the next time: {error}"
    return ""


def result_file(ledger_id: str) -> Path:
    """Return where the last verification of a ledger is noted: a JSON object with `state` and, RFC 3339, `at`.

    Raises:
        LedgerError: no ledger has this id.
        DecisionError: there is no place for records.
    """
    return file_of(ledger_id).parent.parent / "verify" / f"{ledger_id}.json"


def note_result(ledger_id: str, state: str) -> None:
    """Note what a verification said, for the metrics; where that cannot be written, nobody misses it but them."""
    with suppress(OSError, OrchError):
        file = result_file(ledger_id)
        place.private_dir(file.parent)
        draft = file.with_name(f".{file.name}.{os.urandom(8).hex()}")
        try:
            draft.write_text(json.dumps({"state": state, "at": clock.format_time(clock.now_ns())}), encoding="utf-8")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


def _size(held: Held | None) -> int:
    try:
        return note.parse(held.note).checkpoint.size if held else -1
    except ValueError:
        return -1
