"""Projections of actions: the outbox, made of `orch.action.*`. All events of one action lie in one chain.

planned -> dispatching -> delivered | permanent | retryable | unknown. What was delivered stays delivered.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.digest import canonical
from orchestrator.ledger.event import Statement

_PLANNED = """
INSERT INTO actions (key, chain, run_id, name, target, action, adapter, effect, replayable, asked_digest, action_digest,
  evaluation_id, reservation_id, request_id, state, attempt, executor, at, reference, detail, error_class, outputs)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 'planned', 0, '', ?, '', '', '', '{}')
ON CONFLICT (key) DO UPDATE SET adapter = excluded.adapter, effect = excluded.effect, replayable = excluded.replayable,
  asked_digest = excluded.asked_digest, action_digest = excluded.action_digest, evaluation_id = excluded.evaluation_id,
  state = CASE WHEN actions.state IN ('permanent', 'retryable') THEN 'planned' ELSE actions.state END,
  at = excluded.at"""
_DISPATCHING = """
UPDATE actions SET state = 'dispatching', attempt = ?, executor = ?, request_id = ?, reservation_id = ?, at = ?
WHERE key = ? AND state <> 'delivered'"""
_ENDED = """
UPDATE actions SET state = ?, reference = ?, detail = ?, error_class = ?, outputs = ?, executor = ?, at = ?
WHERE key = ? AND state <> 'delivered'"""
_RESOLVED = "UPDATE actions SET state = ?, detail = ?, executor = '', at = ? WHERE key = ? AND state <> 'delivered'"


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that follow from one event about an action."""
    verb = str(fields["type"]).removeprefix("orch.action.")
    key, at = payload["key"], fields["time"]
    match verb:
        case "planned":
            yield _PLANNED, _planned(fields, payload)
        case "dispatching":
            said = (payload.get("executor") or "", payload.get("request_id") or "", payload.get("reservation_id") or "")
            yield _DISPATCHING, (payload["attempt"], *said, at, key)
        case "delivered" | "permanent" | "retryable" | "unknown":
            receipt = payload.get("receipt") or {}
            texts = (receipt.get("reference") or "", receipt.get("detail") or "", payload.get("error_class") or "")
            outputs = canonical(receipt.get("outputs") or {}).decode()
            yield _ENDED, (verb, *texts, outputs, payload.get("executor") or "", at, key)
        case "resolved":
            yield _RESOLVED, (payload["state"], payload.get("note") or "", at, key)


def _planned(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[Any, ...]:
    said = (payload.get("adapter") or "", payload.get("effect") or "", int(bool(payload.get("replayable"))))
    return (
        *(payload["key"], fields["runid"], payload.get("run_id") or "", payload.get("name") or ""),
        *(payload.get("target") or "", fields.get("action") or "", *said, payload.get("asked_digest") or ""),
        *(fields.get("actiondigest") or "", payload.get("evaluation_id") or "", fields["time"]),
    )
