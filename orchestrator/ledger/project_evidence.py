"""Projections of artifacts, evidence and obligations, made of the events of these names.

A piece of evidence is a row of its own, so the order in which events of several chains come makes no difference; an
obligation's row follows the events of its own chain.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.digest import canonical

Statement = tuple[str, tuple[Any, ...]]

_STORED = "INSERT INTO artifacts (digest, size, media_type, name) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ADDED = """
INSERT INTO evidence (event_id, chain, seq, type, tool, result, artifact, repository, change_digest, action_digest,
  tree, commit_id, run_id, actor, at, signed_by, claimed, summary)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_SAID = ("change_digest", "action_digest", "tree", "commit", "run_id")
_TURNED = """
INSERT INTO obligations (chain, action_digest, obligation, run_id, change_digest, type, phase, mode, status, proof,
  evaluation_id, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chain, action_digest, obligation) DO UPDATE SET phase = excluded.phase, mode = excluded.mode,
  status = excluded.status, proof = excluded.proof, evaluation_id = excluded.evaluation_id, at = excluded.at"""


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that follow from one event about an artifact, evidence or an obligation."""
    _, family, verb = str(fields["type"]).split(".")
    if family == "artifact" and verb == "stored":
        said = (payload.get("media_type") or "", payload.get("name") or "")
        yield _STORED, (payload["digest"], payload["size"], *said)
    elif family == "evidence" and verb == "added":
        yield _ADDED, _added(fields, payload)
    elif family == "obligation":
        yield _TURNED, _turned(fields, payload, verb)


def _added(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[Any, ...]:
    summary = payload.get("summary") or {}
    said = (payload.get(name) or "" for name in _SAID)
    return (
        *(fields["id"], fields["runid"], fields["runseq"]),
        *(payload["type"], payload.get("tool") or "", payload["result"], payload["artifact"]),
        *(fields.get("repository") or "", *said, fields["actor"], fields["time"], payload.get("signed_by") or ""),
        *(int(bool(summary.get("claimed"))), canonical(summary).decode()),
    )


def _turned(fields: Mapping[str, Any], payload: Mapping[str, Any], status: str) -> tuple[Any, ...]:
    return (
        *(fields["runid"], payload["action_digest"], payload["obligation"], payload.get("run_id") or ""),
        *(payload.get("change_digest") or "", payload["type"], payload["phase"], payload["mode"], status),
        *(canonical(payload["proof"]).decode(), payload["evaluation_id"], fields["time"]),
    )
