"""Projections of approvals: `requests` and `votes`, made of `orch.approval.*`. Each request has its own chain."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.digest import canonical
from orchestrator.ledger.event import Statement

_REQUESTED = """
INSERT INTO requests (id, chain, opened_at, asks, summary, claimed, request_key, evaluation_id, run_id, subject, action,
  repository, resource, branch, action_digest, change_digest, policy_digest, state, consumed_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', '')
ON CONFLICT (id) DO UPDATE SET asks = excluded.asks, summary = excluded.summary, claimed = excluded.claimed,
  evaluation_id = excluded.evaluation_id, run_id = excluded.run_id, action_digest = excluded.action_digest,
  change_digest = excluded.change_digest, policy_digest = excluded.policy_digest"""
_REQUEST = (
    "request_key", "evaluation_id", "run_id", "subject", "action", "repository", "resource", "branch", "action_digest",
    "change_digest", "policy_digest",
)  # fmt: skip
_VOTED = """
INSERT INTO votes (id, request_id, voter, role, decision, token, via, digest, action_digest, change_digest, at,
  expires_at, note, revocation)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT (id) DO NOTHING"""
_VOTE = (
    "vote_id", "request_id", "by", "role", "decision", "token", "via", "digest", "action_digest", "change_digest", "at",
    "expires_at", "note",
)  # fmt: skip


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that follow from one event about an approval."""
    match fields["type"]:
        case "orch.approval.requested":
            yield _REQUESTED, _requested(fields, payload)
        case "orch.approval.voted":
            yield _VOTED, tuple(payload.get(name) or "" for name in _VOTE)
        case "orch.approval.revoked":
            revocation = payload.get("token") or payload["by"]
            yield "UPDATE votes SET revocation = ? WHERE id = ?", (revocation, payload["vote_id"])
        case "orch.approval.consumed":
            sql = "UPDATE requests SET state = 'consumed', consumed_by = ? WHERE id = ?"
            yield sql, (payload["evaluation_id"], payload["request_id"])


def _requested(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[Any, ...]:
    asks, summary = canonical(payload["asks"]).decode(), canonical(payload["summary"]).decode()
    first = (payload["request_id"], fields["runid"], fields["time"], asks, summary, int(bool(payload["claimed"])))
    return (*first, *(payload.get(name) or "" for name in _REQUEST))
