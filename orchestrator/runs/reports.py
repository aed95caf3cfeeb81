"""Status reports as files: what the ledger says of a run, at the places where 002 looked for them. Decides nothing.

One state of the ledger gives the same files to the byte: all times in them are the record's. Nothing reads them back.

Source: 002, "Monitoring" and "State Management".
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.ledger.store import Ledger
from orchestrator.runs import awaited, inside
from orchestrator.runs.state import PhaseState, Snapshot, snapshot
from orchestrator.show.escape import json_text

FORMAT = "orch-status-report/1"
STATE_FILE = "execution_state.json"
_LAST = """SELECT run_seq, time FROM events WHERE run_id = ? AND (type LIKE 'orch.run.%' OR type LIKE 'orch.phase.%')
ORDER BY run_seq DESC LIMIT 1"""
_TRIES = 5
_TO_THE_SECOND = len("2026-11-21T05:00:00")
_TROUBLE = frozenset({"permanent", "retryable", "unknown", "denied", "budget", "undecidable", "cancelled", "failed"})
"""States of a step that went wrong."""


class AsOf(NamedTuple):
    """The moment that a report is about: the newest event of the run or its phases."""

    event: int
    """Its place in the run's chain."""
    time: str
    """RFC 3339."""


def write(ledger: Ledger, run_id: str, root: Path, folder: str | None = None) -> tuple[str, ...]:
    """Write a run's reports below `root` and return their paths; none where the plan names no folder.

    In the folder: `status_report_<time>_<run>_<event>.json`, and at the end `final_report_<run>.json` and `.md`; beside
    it `execution_state.json`, which is never replaced by an older state of the same run.

    Raises:
        UsageError: there is no such run; the folder leaves `root` or goes through a symlink.
        LedgerError: what is recorded of the run cannot be read.
        OSError: a file cannot be written.
    """
    as_of, seen = _seen(ledger, run_id)
    place = folder if folder is not None else seen.reports
    if place is None:
        return ()
    said = report(seen, as_of)
    files = dict(_files(said, PurePosixPath(place)))
    for path in files:
        inside.must_be_relative(path)
    state = str(PurePosixPath(place).parent / STATE_FILE)
    if not _is_newer(inside.read(root, state), said):
        inside.write(root, state, _json(said))
    for path, data in files.items():  # the last of them is what `has_final` looks for
        inside.write(root, path, data)
    return (*files, state)


def has_final(root: Path, folder: str, run_id: str) -> bool:
    """Return whether the last file that is written of a run lies there."""
    return (root / folder / _final(run_id)).is_file()


def report_of(ledger: Ledger, run_id: str) -> dict[str, Any]:
    """Return what a run's report says now, as JSON.

    Raises:
        UsageError: there is no such run.
        LedgerError: what is recorded of it cannot be read.
    """
    as_of, seen = _seen(ledger, run_id)
    return report(seen, as_of)


def report(seen: Snapshot, as_of: AsOf) -> dict[str, Any]:
    """Return what a report says, as JSON."""
    errors = list(_errors(seen))
    states = Counter(phase.state for phase in seen.phases)
    return {
        "format": FORMAT,
        "as_of": as_of._asdict(),
        "run_id": seen.run_id,
        "kind": seen.kind,
        "name": seen.name,
        "title": seen.title,
        "mode": seen.mode,
        "state": seen.state,
        "reason": seen.reason,
        "is_final": seen.has_ended,
        "exit_code": seen.exit_code,
        "repository": seen.repository,
        "actor": seen.actor,
        "plan_digest": seen.plan_digest,
        "segment": seen.segment,
        "started_at": seen.started_at,
        "ended_at": seen.ended_at,
        "progress": {
            "done": seen.done,
            "total": seen.total,
            "percent": max(0, min(100, seen.percent)),
            "states": dict(sorted(states.items())),
        },
        "current_phases": [phase.id for phase in seen.phases if phase.state in {"started", "waiting"}],
        "waiting_for": [
            {**one, "text": awaited.told(one), "commands": list(awaited.openers(one, seen.run_id))}
            for one in awaited.at_once(seen.waiting_for)
        ],
        "phases": list(map(_phase, seen.phases)),
        "errors": errors,
        "error_summary": dict(sorted(Counter(one["error_class"] or "unclassified" for one in errors).items())),
    }


def seconds_of(start: str, end: str) -> float | None:
    """Return how long it was between two times of the record, in seconds; None where one is missing."""
    try:
        return max(0, clock.parse_time(end) - clock.parse_time(start)) / clock.SECOND_NS
    except ValueError:
        return None


def _seen(ledger: Ledger, run_id: str) -> tuple[AsOf, Snapshot]:
    """Return a snapshot with the event it is up to; others may write meanwhile."""
    for _ in range(_TRIES - 1):
        before, seen = _as_of(ledger, run_id), snapshot(ledger, run_id)
        if _as_of(ledger, run_id) == before:
            return before, seen
    return _as_of(ledger, run_id), snapshot(ledger, run_id)


def _as_of(ledger: Ledger, run_id: str) -> AsOf:
    with ledger.store.reading() as connection:
        rows = connection.execute(_LAST, (run_id,))
    return AsOf(int(rows[0][0]), str(rows[0][1])) if rows else AsOf(0, "")


def _phase(phase: PhaseState) -> dict[str, Any]:
    met = sum(one.get("passed") is True for one in phase.criteria)
    return {
        "id": phase.id,
        "title": phase.title,
        "state": phase.state,
        "attempt": phase.attempt,
        "needs": list(phase.needs),
        "started_at": phase.started_at,
        "ended_at": phase.ended_at,
        "seconds": seconds_of(phase.started_at, phase.ended_at),
        "error_class": phase.error_class,
        "reason": phase.reason,
        "criteria": {"met": met, "total": len(phase.criteria), "list": [dict(one) for one in phase.criteria]},
        "waiting_for": [awaited.told(one) for one in phase.waiting_for],
        "steps": [step._asdict() for step in phase.steps],
    }


def _errors(seen: Snapshot) -> Iterator[dict[str, Any]]:
    """Yield what went wrong: phases that failed, and of all phases the steps that did not go well."""
    for phase in seen.phases:
        if phase.state == "failed":
            yield _error(phase.id, "", phase.error_class, phase.reason, phase.attempt)
        for step in phase.steps:
            if step.state in _TROUBLE:
                yield _error(phase.id, step.id, step.error_class, step.detail or step.state, step.attempts)


def _error(phase: str, step: str, error_class: str, message: str, attempts: int) -> dict[str, Any]:
    return {"phase": phase, "step": step, "error_class": error_class, "message": message, "attempts": attempts}


def _files(said: dict[str, Any], folder: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the reports in the folder."""
    run_id, as_of = said["run_id"], said["as_of"]
    at = as_of["time"][:_TO_THE_SECOND].replace("-", "").replace(":", "")
    yield str(folder / f"status_report_{at}Z_{run_id}_{as_of['event']:06d}.json"), _json(said)
    if said["is_final"]:
        from orchestrator.prose import rendered

        yield str(folder / f"final_report_{run_id}.json"), _json(said)
        yield str(folder / _final(run_id)), rendered("final_report.md.j2", report=said).encode()


def _final(run_id: str) -> str:
    return f"final_report_{run_id}.md"


def _json(said: dict[str, Any]) -> bytes:
    return (json_text(said, indent=2) + "\n").encode()


def _is_newer(data: bytes | None, said: dict[str, Any]) -> bool:
    """Return whether a state file says more of this run than we do: another process was faster."""
    try:
        there = json.loads(data or b"null")
        return bool(there["run_id"] == said["run_id"] and there["as_of"]["event"] > said["as_of"]["event"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
