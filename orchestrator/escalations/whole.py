"""Compares how an escalation stands with what its chain says: who can write the table could release, or put off.

The chain is what `orch ledger verify` proves; the table is made of it, and only looked at because that is quick.
"""

import json
from typing import Any

from orchestrator.clock import format_time
from orchestrator.errors import LedgerError
from orchestrator.escalations.kept import REBUILD, record_of
from orchestrator.ledger.store import Connection
from orchestrator.names import shown

_BEGAN = "orch.escalation.began"
_SINCE = """
SELECT e.type, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type IN (?, ?, ?, ?, ?)
  AND e.run_seq >= (SELECT coalesce(max(run_seq), 0) FROM events WHERE run_id = ? AND type = ?)
ORDER BY e.run_seq"""
_TYPES = (
    _BEGAN, "orch.escalation.stage", "orch.escalation.deadline", "orch.escalation.armed", "orch.escalation.disarmed",
)  # fmt: skip
_SAYS = ("cycle", "run_id", "stage", "deadline", "is_armed")


class DamagedError(LedgerError):
    """The table of escalations is not what the record makes of it."""


def must_be_whole(connection: Connection, name: str) -> None:
    """Look whether an escalation stands where its newest events say.

    Raises:
        DamagedError: it does not. What was erased is not compared.
    """
    record, chain = record_of(connection, name), f"escalation:{name}"
    rows = connection.execute(_SINCE, (chain, *_TYPES, chain, _BEGAN))
    if any(body is None for _, body in rows):
        return
    said = _said([(str(kind), json.loads(bytes(body))) for kind, body in rows])
    found = {} if record is None else {key: getattr(record, key) for key in _SAYS}
    if record is not None:
        found["deadline"] = format_time(record.deadline) if record.deadline else ""
    if wrong := [key for key in _SAYS if found.get(key) != said.get(key)]:
        seen = ", ".join(f"{key} {shown(str(found.get(key)))}, recorded {shown(str(said.get(key)))}" for key in wrong)
        raise DamagedError(
            f"the table of escalations was changed beside the record: {shown(name)} stands at {seen}", advice=REBUILD
        )


def _said(events: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return what the events of a cycle come to."""
    said: dict[str, Any] = {}
    for kind, payload in events:
        match kind.rpartition(".")[2]:
            case "began":
                said = {key: payload.get(key) for key in _SAYS}
            case "stage":
                said["stage"] = payload.get("stage")
            case "deadline":
                said["deadline"] = payload.get("deadline")
            case "armed":
                said |= {"is_armed": True, "deadline": payload.get("deadline")}
            case "disarmed":
                said["is_armed"] = False
    return said
