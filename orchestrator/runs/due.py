"""Whether a run that waits could go on. Cheap: compares what was seen with what is there; asks no engine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.digest import sha256
from orchestrator.errors import OrchError
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.order import Done
from orchestrator.packfiles import read_files
from orchestrator.settings import Settings

_OPEN = "SELECT r.id, c.next_seq FROM requests r JOIN chains c ON c.run_id = r.chain WHERE r.state = 'open'"
_EVIDENCE = "SELECT count(*) FROM evidence"
_PLACE = "SELECT c.next_seq FROM requests r JOIN chains c ON c.run_id = r.chain WHERE r.id = ?"
_WAITED = """SELECT e.time, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = 'orch.run.waiting' ORDER BY e.run_seq DESC LIMIT 1"""
_REJECTED = """SELECT v.at, r.asks FROM votes v JOIN requests r ON r.id = v.request_id
WHERE v.request_id = ? AND v.decision = 'reject' AND v.revocation = ''"""
_OPENED_PLACE = 2
"""Where the chain of a request goes on after the event that opened it."""
_MARK = "packs:"
"""What a mark begins with: it is no policy's digest, which would have to be compiled first."""
_OPEN_STATES = frozenset({"unknown", "dispatching"})


class Places(NamedTuple):
    """How far what one may wait for had come before an action was asked for."""

    requests: Mapping[str, int]
    evidence: int

    def seen(self, done: Done) -> Done:
        """Return what became of an order, what it waits for marked with what had been seen of that."""
        return done._replace(waiting_for=tuple(self._marked(one) for one in done.waiting_for))

    def _marked(self, one: Mapping[str, Any]) -> dict[str, Any]:
        match one.get("type"):
            case "approval":
                return {**one, "seen": self.requests.get(str(one.get("request_id")), _OPENED_PLACE)}
            case "evidence":
                return {**one, "seen": self.evidence}
        return dict(one)


def places(ledger: Ledger) -> Places:
    """Return how far open requests and evidence have come now."""
    with ledger.store.reading() as connection:
        [(evidence,)] = connection.execute(_EVIDENCE)
        return Places({str(name): int(place) for name, place in connection.execute(_OPEN)}, int(evidence))


def policy_mark(settings: Settings) -> str:
    """Return a mark of the organisation's packs as they are on the disk now; "" where they cannot be read.

    What `due` compares: it neither compiles nor loads them.
    """
    parts = []
    try:
        for name in settings.packs:
            path = Path(name).resolve()
            files = [(name, path.read_bytes())] if path.is_file() else read_files(name, path, may_be_empty=True)
            parts += [sha256(file.encode("utf-8", "surrogateescape") + b"\0" + data) for file, data in files]
    except (OSError, OrchError, ValueError):
        return ""
    return _MARK + sha256("\n".join(parts).encode())


def due(ledger: Ledger, run_id: str, policy_digest: str) -> bool:
    """Return whether a run that waits could go on: a vote, evidence, a time, a settled unknown, other packs.

    `policy_digest` is what `policy_mark` gives now; with anything else packs are not compared. A run that is to be
    cancelled is due, too: somebody has to end it.
    """
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT state, waiting_for FROM runs WHERE id = ?", (run_id,))
        if not rows or rows[0][0] != "waiting":
            return bool(rows) and rows[0][0] == "cancelling"
        [(since, body)] = connection.execute(_WAITED, (run_id,)) or [("", None)]
        marked = json.loads(bytes(body)).get("packs", "") if body is not None else ""
        if marked and policy_digest.startswith(_MARK) and marked != policy_digest:
            return True
        return any(_has_come(connection, one, since) for one in json.loads(rows[0][1]))


def _has_come(connection: Connection, one: Mapping[str, Any], since: str) -> bool:
    match one.get("type"):
        case "timer":
            return clock.parse_time(str(one["at"])) <= clock.now_ns()
        case "approval":
            return _has_votes(connection, one, since)
        case "evidence":
            return bool(connection.execute(_EVIDENCE)[0][0] != one.get("seen"))
        case "unknown":
            rows = connection.execute("SELECT state FROM actions WHERE key = ?", (one.get("key"),))
            return bool(rows) and rows[0][0] not in _OPEN_STATES
    return False


def _has_votes(connection: Connection, one: Mapping[str, Any], since: str) -> bool:
    """Return whether votes came or were taken back, or one that held it back has lapsed."""
    request = one.get("request_id")
    rows = connection.execute(_PLACE, (request,))
    if not rows or rows[0][0] != one.get("seen"):
        return True
    now, then = clock.now_ns(), clock.parse_time(since) if since else 0
    for at, asks in connection.execute(_REJECTED, (request,)):
        longest_s = max((int(ask["expires_s"]) for ask in json.loads(asks)), default=0)
        if then < clock.parse_time(at) + longest_s * clock.SECOND_NS <= now:
            return True
    return False
