"""How a run stands, read from the ledger in one transaction. For people and programs; changes nothing."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.errors import Exit, LedgerError, UsageError
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.plans.model import Phase, Plan, Step
from orchestrator.runs import journal

_COLUMNS = (
    "id", "kind", "name", "mode", "state", "repository", "actor", "plan_digest", "segment", "started_at", "ended_at",
    "waiting_for",
)  # fmt: skip
_RUN = f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE id = ?"  # noqa: S608  # constants
_PHASES = """SELECT phase, state, attempt, started_at, ended_at, error_class, reason, criteria
FROM phases WHERE run_id = ?"""
_ACTIONS = """
SELECT a.name, a.target, a.action, a.state, a.attempt, a.at, a.reference, a.detail, a.error_class, e.outcome
FROM actions a LEFT JOIN events e ON e.id = a.evaluation_id WHERE a.chain = ? ORDER BY a.name, a.target"""
_STARTED = """SELECT e.header, p.salt, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = 'orch.run.started' ORDER BY e.run_seq LIMIT 1"""
UNWANTED = "its `if` is false"
"""Why a phase is skipped that the plan itself leaves out; `runs.phase` records it."""
_WELL = frozenset({*journal.GOES_ON, "succeeded", "ended"})
_NOT_ALL = 99
_OF_OUTCOME = {"deny": "denied", "pending": "waiting"}
_WORST = ("delivered", "planned", "dispatching", "retryable", "permanent", "unknown")
"""Of several recipients the last in this order tells how the step stands."""


class StepState(NamedTuple):
    """One step, as far as it came."""

    id: str
    action: str
    state: str
    """`pending`, `planned` (allowed), `denied`, `waiting` (for approvals or evidence), `dispatching`, `delivered`,
    `permanent`, `retryable`, `unknown`, `skipped` (its `if`), `continued` (it failed, and the plan goes on) or
    `replaced` (by other steps)."""
    attempts: int
    at: str
    """When it last changed, RFC 3339; "" where it never began."""
    reference: str
    detail: str
    error_class: str
    instead_of: str
    """The step that it is done instead of; "" for one of the plan's own."""


class PhaseState(NamedTuple):
    """One phase, as far as it came."""

    id: str
    title: str
    state: str
    """`pending`, `started`, `passed`, `failed`, `waiting`, `skipped` or `compensated`."""
    attempt: int
    """From 1; 0 where it never began."""
    attempts: int
    """How many it may have."""
    started_at: str
    ended_at: str
    error_class: str
    reason: str
    needs: tuple[str, ...]
    steps: tuple[StepState, ...]
    """In the plan's order, those that were done instead of others after these; those that undo only where begun."""
    criteria: tuple[Mapping[str, Any], ...]
    """`{name, kind, subject, passed, seen, expected, error}`, once they were looked at."""
    waiting_for: tuple[Mapping[str, Any], ...]
    """As of `Done.waiting_for`, and `{type: timer, at}`; only while it waits."""


class Snapshot(NamedTuple):
    """A run at one moment."""

    run_id: str
    kind: str
    name: str
    """Of the plan or job."""
    title: str
    mode: str
    state: str
    reason: str
    """Why it ended as it did; "" where it has not."""
    exit_code: int | None
    """None while it runs; 4 while it waits."""
    repository: str
    actor: str
    plan_digest: str
    segment: int
    started_at: str
    ended_at: str
    phases: tuple[PhaseState, ...]
    """In the plan's order; none of a run that is no plan's, or whose start was erased."""
    waiting_for: tuple[Mapping[str, Any], ...]
    """Each with its `phase`; of the whole run while it waits, else of the phases that do."""
    inputs: Mapping[str, Any]
    root: str
    reports: str | None
    """The plan's folder of status reports."""
    cancelled_by: str
    """Who asked for its end; "" where nobody did."""

    @property
    def done(self) -> int:
        """How many phases have passed; what failed, was skipped or was undone is no progress."""
        return sum(phase.state == "passed" for phase in self.phases)

    @property
    def total(self) -> int:
        """How many phases the plan has, those left out that their own `if` skipped."""
        return sum(not is_unwanted(phase.state, phase.reason) for phase in self.phases)

    @property
    def percent(self) -> int:
        """How much of it is done, as `percent_of`."""
        return percent_of(self.done, self.total, self.state)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in journal.GOES_ON

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        progress = {"done": self.done, "total": self.total, "percent": self.percent}
        phases = []
        for one in self.phases:
            steps = [step._asdict() for step in one.steps]
            told = {"steps": steps, "criteria": _plain(one.criteria), "waiting_for": _plain(one.waiting_for)}
            phases.append({**one._asdict(), "needs": list(one.needs), **told})
        rest = {"phases": phases, "waiting_for": _plain(self.waiting_for), "inputs": dict(self.inputs)}
        return {**self._asdict(), **rest, "progress": progress}


def is_unwanted(state: str, reason: str) -> bool:
    """Return whether a phase was skipped by its own `if`, and is therefore no part of what the run has to do."""
    return state == "skipped" and reason == UNWANTED


def percent_of(done: int, total: int, state: str) -> int:
    """Return how much of a run is done, 0 to 100; 100 only of one that succeeded, or goes on and has all phases passed.

    Source: 002, "Execution progress".
    """
    if state not in _WELL:
        return min(_NOT_ALL, 100 * done // total) if total else 0
    if total:
        return min(100, 100 * done // total)
    return 0 if state in journal.GOES_ON else 100


def snapshot(ledger: Ledger, run_id: str) -> Snapshot:
    """Return how a run stands.

    Raises:
        UsageError: there is no such run.
        LedgerError: what is recorded of it does not fit together.
    """
    with ledger.store.reading() as connection:
        rows = connection.execute(_RUN, (run_id,))
        if not rows:
            raise UsageError(f"there is no run {run_id[:100]!r} in this ledger", advice="`orch runs` lists them")
        run = dict(zip(_COLUMNS, rows[0], strict=True))
        said = _started(connection, run_id)
        plan = Plan.of(said["plan"]) if said.get("plan") else None
        phases = _phases(connection, run_id, plan) if plan is not None else ()
        ended = journal.last_said(connection, run_id, "orch.run.ended") if run["ended_at"] else {}
        asked = journal.last_said(connection, run_id, "orch.run.cancelling")
    waits = journal.listed(run.pop("waiting_for")) or tuple(one for phase in phases for one in phase.waiting_for)
    exit_code = int(Exit.PENDING) if run["state"] == "waiting" else None
    if run["ended_at"]:
        exit_code = int(ended.get("exit_code", Exit.OK if run["state"] in {"succeeded", "ended"} else Exit.FAILED))
    return Snapshot(
        run_id=run.pop("id"),
        **run,
        title=plan.title if plan else "",
        reason=str(ended.get("reason") or ""),
        exit_code=exit_code,
        phases=phases,
        waiting_for=waits,
        inputs=said.get("inputs") or {},
        root=str(said.get("root") or ""),
        reports=plan.reports if plan else None,
        cancelled_by=str(asked.get("by") or ""),
    )


def _plain(many: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    return [dict(one) for one in many]


def _started(connection: Connection, run_id: str) -> dict[str, Any]:
    rows = connection.execute(_STARTED, (run_id,))
    return journal.payload_of(*rows[0]) if rows and rows[0][2] is not None else {}


def _phases(connection: Connection, run_id: str, plan: Plan) -> tuple[PhaseState, ...]:
    rows = {str(row[0]): row[1:] for row in connection.execute(_PHASES, (run_id,))}
    if foreign := sorted(rows.keys() - {phase.id for phase in plan.phases}):
        raise LedgerError(
            f"the run {run_id} has a phase {foreign[0][:60]!r} on record, which its plan does not have",
            advice=journal.VERIFY,
        )
    actions: dict[str, list[tuple[Any, ...]]] = {}
    for name, *rest in connection.execute(_ACTIONS, (run_id,)):
        actions.setdefault(str(name), []).append(tuple(rest))
    notes = {subject: payload for subject, _, payload in journal.said(connection, run_id, "orch.phase.noted")}
    waits = journal.waits(connection, run_id)
    return tuple(
        _phase(phase, rows.get(phase.id), tuple(_steps(phase, actions, notes)), waits.get(phase.id, ()))
        for phase in plan.phases
    )


def _phase(
    phase: Phase, row: tuple[Any, ...] | None, steps: tuple[StepState, ...], waits: tuple[Mapping[str, Any], ...]
) -> PhaseState:
    state, attempt, started_at, ended_at, error_class, reason, criteria = row or ("pending", 0, "", "", "", "", "[]")
    return PhaseState(
        id=phase.id,
        title=phase.title,
        state=state,
        attempt=int(attempt),
        attempts=phase.retry.attempts,
        started_at=started_at,
        ended_at=ended_at,
        error_class=error_class,
        reason=reason,
        needs=phase.needs,
        steps=steps,
        criteria=journal.listed(criteria),
        waiting_for=waits if state == "waiting" else (),
    )


def _steps(
    phase: Phase, actions: Mapping[str, list[tuple[Any, ...]]], notes: Mapping[str, Mapping[str, Any]]
) -> Iterator[StepState]:
    def one(step: Step, instead_of: str = "") -> StepState:
        name = f"{phase.id}/{step.id}"
        return _step(step, actions.get(name, []), notes.get(name), instead_of)

    replaced = {name for name, note in notes.items() if note["state"] == "replaced"}

    def with_others(step: Step, instead_of: str = "") -> Iterator[StepState]:
        yield one(step, instead_of)
        if f"{phase.id}/{step.id}" in replaced and not isinstance(step.on_failure, str):
            for other in step.on_failure:
                yield from with_others(other, step.id)

    for step in phase.steps:
        yield from with_others(step)
    for step in phase.compensate:
        yield from (each for each in with_others(step) if each.state != "pending")


def _step(step: Step, rows: list[tuple[Any, ...]], note: Mapping[str, Any] | None, instead_of: str) -> StepState:
    """Return one step; of several recipients the one that is worst off, said how many are done."""
    state, attempts, at, reference, detail, error_class = "pending", 0, "", "", "", ""
    if rows:
        *_, state, attempts, at, reference, detail, error_class, outcome = max(rows, key=lambda row: _rank(row[2]))
        if state == "planned":
            state = _OF_OUTCOME.get(outcome, state)
        delivered = sum(row[2] == "delivered" for row in rows)
        if len(rows) > 1:
            detail = f"{delivered} of {len(rows)} delivered" + (f"; {detail}" if detail else "")
    if note is not None:
        state, detail = str(note["state"]), str(note["reason"])
    return StepState(step.id, step.action, state, int(attempts), at, reference, detail, error_class, instead_of)


def _rank(state: str) -> int:
    return _WORST.index(state) if state in _WORST else len(_WORST)
