"""Projections of runs and their phases: `runs` and `phases`, made of `orch.run.*` and `orch.phase.*`."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.digest import canonical
from orchestrator.ledger.event import Statement

_STARTED = """
INSERT INTO runs (id, kind, repository, session, trigger_name, actor, config_digest, started_at, ended_at, state, name,
  mode, plan_digest, segment, waiting_for)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 'running', ?, ?, ?, 0, '[]') ON CONFLICT DO NOTHING"""
_PHASE = """
INSERT INTO phases (run_id, phase, state, attempt, started_at, ended_at, error_class, reason, criteria)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, phase) DO UPDATE SET state = excluded.state"""
_BEGUN = f"{_PHASE}, attempt = excluded.attempt, ended_at = '', error_class = '', reason = ''"
_WAITING = f"{_PHASE}, reason = excluded.reason"
_ENDED = (
    f"{_PHASE}, ended_at = excluded.ended_at, error_class = excluded.error_class, reason = excluded.reason, "
    "criteria = excluded.criteria"
)
_ENDS = frozenset({"passed", "failed", "skipped"})


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that follow from one event about a run or a phase; of an erased start the payload is {}."""
    _, family, what = str(fields["type"]).split(".", 2)
    yield from _run(what, fields, payload) if family == "run" else _phase(what, fields, payload)


def _run(what: str, fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    run_id = fields["runid"]
    match what:
        case "started":
            said = tuple(payload.get(name) or "" for name in ("kind", "repository", "session", "trigger"))
            rest = tuple(payload.get(name) or "" for name in ("name", "mode", "plan_digest"))
            config = payload.get("config_digest") or ""
            yield _STARTED, (run_id, *said, fields["actor"], config, fields["time"], *rest)
        case "waiting":
            sql = "UPDATE runs SET state = 'waiting', waiting_for = ? WHERE id = ?"
            yield sql, (canonical(payload.get("for", [])).decode(), run_id)
        case "resumed":
            going = "CASE WHEN state = 'cancelling' THEN state ELSE 'running' END"
            sql = f"UPDATE runs SET state = {going}, segment = ?, waiting_for = '[]' WHERE id = ?"  # noqa: S608  # constants
            yield sql, (payload["segment"], run_id)
        case "cancelling":
            yield "UPDATE runs SET state = 'cancelling' WHERE id = ?", (run_id,)
        case "ended":
            sql = "UPDATE runs SET ended_at = ?, state = ?, waiting_for = '[]' WHERE id = ?"
            yield sql, (fields["time"], payload.get("state") or "ended", run_id)


def _phase(what: str, fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    row = (fields["runid"], payload["phase"], what, payload.get("attempt") or 0)
    if what == "started":
        yield _BEGUN, (*row, fields["time"], "", "", "", "[]")
    elif what == "waiting":
        yield _WAITING, (*row, "", "", "", payload.get("reason") or "", "[]")
    elif what in _ENDS:
        criteria = canonical(payload.get("criteria") or []).decode()
        said = (payload.get("error_class") or "", payload.get("reason") or "", criteria)
        yield _ENDED, (*row, "", fields["time"], *said)
    elif what == "compensated":
        yield "UPDATE phases SET state = 'compensated' WHERE run_id = ? AND phase = ?", (row[0], row[1])
