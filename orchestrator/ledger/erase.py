"""Erases what an event says, or an artifact's content, and records that: by whom, why, and under which hash it stood.

The header stays, so every chain, leaf and head stays valid. What the projections need (names of things, digests,
states) is kept in the erasing event; what people wrote is not.
"""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import read
from orchestrator.ledger.append import append
from orchestrator.ledger.event import LEDGER_CHAIN, Draft, Event
from orchestrator.ledger.rebuild import rebuild_in
from orchestrator.ledger.store import Connection, Ledger

KEPT: dict[str, frozenset[str]] = {
    "orch.decision": frozenset(),
    "orch.run.started": frozenset({"kind", "repository", "session", "config_digest", "name", "mode", "plan_digest"}),
    "orch.run.ended": frozenset({"state"}),
    "orch.approval.requested": frozenset(
        {
            "request_id", "request_key", "evaluation_id", "run_id", "subject", "action", "repository", "resource",
            "action_digest", "change_digest", "policy_digest", "asks", "claimed",
        }
    ),
    "orch.artifact.stored": frozenset(),
    "orch.evidence.added": frozenset(
        {
            "type", "result", "artifact", "change_digest", "action_digest", "tree", "commit", "run_id", "tool",
            "signed_by",
        }
    ),
    "orch.escalation.stage": frozenset(
        {"name", "cycle", "run_id", "stage", "from", "at", "plan_run_id", "evaluation_id"}
    ),
    **{
        f"orch.action.{verb}": frozenset({"key", "attempt", "error_class", "executor"})
        for verb in ("delivered", "permanent", "retryable", "unknown")
    },
}  # fmt: skip
"""Every type that can be erased, and what of its payload stays because approvals, evidence and budgets rest on it."""

_ARTIFACT = "orch.artifact.stored"
_WITHOUT_TABLES = frozenset({"orch.decision"})
_MOST_REASON_CHARS = 500
_WAIT_S = 10.0
_LOG_WAIT_S = 3.0


class Erased(NamedTuple):
    """What was erased."""

    event: Event
    """The event that says so."""
    notes: tuple[str, ...]
    """What is left for a person to do, each a sentence."""


def erase(ledger: Ledger, event_id: str, reason: str, actor: str) -> Erased:
    """Erase an event's payload, record that, and make the projections again where they had a part of it.

    An event that stored an artifact goes with the artifact. On SQLite the bytes are overwritten, too: the file is
    written anew and its log emptied, during which writers wait.

    Raises:
        UsageError: there is no such event, it has no payload, what it says cannot be erased, or the reason is empty.
        LedgerError: it cannot be written; nothing was erased. Or it was erased, and its bytes could not be overwritten.
    """
    reason = _checked(reason)
    with ledger.store.writing() as connection:
        _overwrite_what_is_deleted(connection)
        event = read.find(connection, event_id)
        if event.fields["type"] == _ARTIFACT and event.payload is not None:
            erased, digest = _artifact_in(ledger, connection, str(event.payload.get("digest")), reason, actor)
        else:
            erased, digest = _erase_in(ledger, connection, event, reason, actor), ""
    if digest:
        _remove_blob(ledger.folder, digest)
    return Erased(erased, _overwritten(ledger))


def erase_artifact(ledger: Ledger, digest: str, reason: str, actor: str) -> Erased:
    """Erase an artifact: its content, and what the event that stored it says; who speaks of it keeps its digest.

    Raises:
        UsageError: no event stored such an artifact, or it was erased already, or the reason is empty.
        LedgerError: as `erase`; or its file could not be removed.
    """
    reason = _checked(reason)
    with ledger.store.writing() as connection:
        _overwrite_what_is_deleted(connection)
        erased, _ = _artifact_in(ledger, connection, digest, reason, actor)
    _remove_blob(ledger.folder, digest)
    return Erased(erased, _overwritten(ledger))


def _artifact_in(ledger: Ledger, connection: Connection, digest: str, reason: str, actor: str) -> tuple[Event, str]:
    wanted = read.Filter(type=_ARTIFACT)
    stored = [one for one in read.events(connection, wanted) if (one.payload or {}).get("digest") == digest]
    if not stored:
        raise UsageError(
            f"no event stores an artifact {digest[:80]!r}, or it was erased already",
            advice="orch ledger show --type artifact lists them; a digest is sha256: and 64 hex digits",
        )
    return [_erase_in(ledger, connection, one, reason, actor) for one in stored][-1], digest


def _checked(reason: str) -> str:
    kept = " ".join(reason.split())
    if not kept:
        raise UsageError("nothing is erased without a reason", advice="--reason TEXT; it stays in the record")
    if len(kept) > _MOST_REASON_CHARS:
        raise UsageError(f"a reason of {len(kept)} characters; expected at most {_MOST_REASON_CHARS}")
    return kept


def _erase_in(ledger: Ledger, connection: Connection, event: Event, reason: str, actor: str) -> Event:
    kind = str(event.fields["type"])
    if kind not in KEPT:
        raise UsageError(
            f"an event of type {kind} is not erased: others rest on the amounts, votes and digests that it says",
            advice=f"can be erased: {', '.join(KEPT)}",
        )
    if event.payload is None:
        told = "was erased already" if "datahash" in event.fields else "never had a payload"
        raise UsageError(f"event {event.id} {told}", advice=f"orch ledger show {event.id}")
    said: dict[str, Any] = {"event": event.id, "datahash": event.fields["datahash"], "reason": reason}
    if kept := _kept(kind, event.payload):
        said["kept"] = kept
    if kind == _ARTIFACT:
        said["artifact"] = event.payload.get("digest")
    erased = append(ledger, connection, Draft("orch.ledger.erased", LEDGER_CHAIN, actor, said, cause_id=event.id))
    connection.execute("DELETE FROM payloads WHERE event_id = ?", (event.id,))
    if kind not in _WITHOUT_TABLES:
        rebuild_in(connection)
    return erased


def _kept(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload with what people wrote blanked; what is not named as kept counts as written."""
    if not KEPT[kind]:
        return {}
    return {name: value if name in KEPT[kind] else _blank(value) for name, value in payload.items()}


def _blank(value: object) -> object:
    """Return an empty value of the same shape; yes and no (`claimed`) say nothing of people, and count."""
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if isinstance(one, bool)}
    if isinstance(value, bool):
        return value
    return type(value)() if isinstance(value, str | list) else None


def _overwrite_what_is_deleted(connection: Connection) -> None:
    raw = getattr(connection, "raw", None)
    if isinstance(raw, sqlite3.Connection):
        raw.execute("PRAGMA secure_delete=ON")


def _overwritten(ledger: Ledger) -> tuple[str, ...]:
    """Take deleted bytes off the disk, as far as it is the ledger's to do; return what is left to do."""
    file = getattr(ledger.store, "file", None)
    left = ("backups, exports and file system snapshots made before still hold it",)
    if isinstance(file, Path):
        _write_anew(file)
        return left
    return (
        "PostgreSQL keeps deleted rows until VACUUM FULL payloads; its write-ahead log and replicas keep them longer",
        *left,
    )


def _write_anew(file: Path) -> None:
    """Write an SQLite file anew without what was deleted, and empty its write-ahead log."""
    try:
        with closing(sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None)) as raw:
            raw.execute("PRAGMA secure_delete=ON")
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("VACUUM")
            _empty_log(raw)
    except sqlite3.Error as error:
        raise LedgerError(
            f"it was erased from the record, but its bytes may still lie in {str(file)!r}: {error}",
            advice="when nobody uses the ledger and the disk has room: orch ledger erase --finish",
        ) from error


def _empty_log(raw: sqlite3.Connection) -> None:
    end = time.monotonic() + _LOG_WAIT_S
    while raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > end:
            raise sqlite3.OperationalError("another process reads the ledger, so its log cannot be emptied")
        time.sleep(0.05)


def finish(ledger: Ledger) -> tuple[str, ...]:
    """Overwrite what was erased before, where that did not come to an end; return what is left to do.

    Artifacts whose event was erased and whose files are still there are removed.

    Raises:
        LedgerError: it cannot be done now.
    """
    with ledger.store.reading() as connection:
        said = [event.payload or {} for event in read.events(connection, read.Filter(type="orch.ledger.erased"))]
        still = {row[0] for row in connection.execute("SELECT digest FROM artifacts")}
    for digest in (payload.get("artifact") for payload in said):
        if isinstance(digest, str) and digest not in still:
            _remove_blob(ledger.folder, digest)
    return _overwritten(ledger)


def _remove_blob(folder: Path, digest: str) -> None:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or not re.fullmatch("[0-9a-f]{64}", value):
        return  # never the name of a file
    try:
        (folder / "artifacts" / kind / value[:2] / value).unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(
            f"the artifact {digest} is erased from the record, but its file could not be removed: {error.strerror}",
            advice="orch ledger erase --finish",
        ) from error
