"""What is recorded of a run's phases, read and written: each end once, whoever tells it. Judges no plan."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft, data_hash, parse_header
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.order import Lease

GOES_ON = ("running", "waiting", "cancelling")
"""States of a run that has not ended."""
VERIFY = "`orch ledger verify` says what else is damaged; a new run begins from the start"
REBUILD = (
    "`orch ledger verify` says what is damaged; where that is tables alone, `orch ledger rebuild` makes them again"
)

_RUN = "SELECT state, segment, plan_digest, name, waiting_for FROM runs WHERE id = ?"
_PHASES = "SELECT phase, state, attempt, error_class, reason, ended_at FROM phases WHERE run_id = ?"
_PLACES = """SELECT subject, max(run_seq) FROM events
WHERE run_id = ? AND type IN ('orch.phase.started', 'orch.phase.waiting') GROUP BY subject"""
_LAST = "SELECT run_seq, time FROM events WHERE run_id = ? AND type = ? ORDER BY run_seq DESC LIMIT 1"
_SAID = """SELECT e.subject, e.time, e.header, p.salt, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = ? ORDER BY e.run_seq"""
_SAID_LAST = """SELECT e.header, p.salt, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = ? ORDER BY e.run_seq DESC LIMIT 1"""
_LOCK = "UPDATE runs SET state = state WHERE id = ? AND state IN ('running', 'waiting', 'cancelling')"

_BEFORE = {
    "passed": frozenset({"started"}),
    "waiting": frozenset({"started"}),
    "failed": frozenset({"started", "waiting"}),
    "skipped": frozenset[str](),
    "compensated": frozenset({"passed"}),
}
"""A phase's new state to those that it may have had; none is always right."""
_STATES = _BEFORE.keys() | {"started"}


class Row(NamedTuple):
    """A phase as it stands."""

    state: str
    attempt: int
    error_class: str
    reason: str
    ended_at: str
    place: int
    """Of its last start or wait in the run's chain; 0 where it never began."""


class Standing(NamedTuple):
    """A run and its phases at one moment."""

    state: str
    segment: int
    phases: Mapping[str, Row]
    """What has begun or was skipped, by the phase's id."""
    resumed_place: int
    """Where this segment began in the run's chain; 0 for the first."""
    resumed_at: str
    """RFC 3339; "" for the first segment."""
    is_cancelled: bool
    """Somebody asked for its end, though it may wait since for what undoes it."""

    @property
    def states(self) -> dict[str, str]:
        """Phase to state, as `plans.order` reads them."""
        return {name: row.state for name, row in self.phases.items()}

    def is_of_segment(self, name: str) -> bool:
        """Return whether a phase started, or began to wait, in this segment."""
        return self.phases[name].place > self.resumed_place


def lock(connection: Connection, run_id: str) -> bool:
    """Lock a run until the transaction ends; False where it has ended, or is not there."""
    return bool(connection.change(_LOCK, (run_id,)))


def standing(connection: Connection, run_id: str, known: Sequence[str]) -> Standing:
    """Return how a run stands; `known` are the ids of the plan's phases.

    Raises:
        UsageError: there is no such run.
        LedgerError: phases are recorded that the plan does not have, or states that no phase can have.
    """
    rows = connection.execute(_RUN, (run_id,))
    if not rows:
        raise UsageError(f"there is no run {run_id[:100]!r} in this ledger", advice="`orch runs` lists them")
    places = {str(name): int(place) for name, place in connection.execute(_PLACES, (run_id,))}
    phases = {}
    for name, state, attempt, error_class, reason, ended_at in connection.execute(_PHASES, (run_id,)):
        phases[str(name)] = Row(state, int(attempt), error_class, reason, ended_at, places.get(name, 0))
    if foreign := sorted(phases.keys() - set(known)):
        raise LedgerError(
            f"the run {run_id} has a phase {foreign[0][:60]!r} on record, which its plan does not have", advice=REBUILD
        )
    if odd := [name for name, row in phases.items() if row.state not in _STATES]:
        raise LedgerError(f"what the ledger keeps of the phase {odd[0][:60]} is damaged", advice=REBUILD)
    last = connection.execute(_LAST, (run_id, "orch.run.resumed"))
    place, at = last[0] if last else (0, "")
    is_cancelled = bool(connection.execute(_LAST, (run_id, "orch.run.cancelling")))
    return Standing(rows[0][0], int(rows[0][1]), phases, int(place), at, is_cancelled)


def said(connection: Connection, run_id: str, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return subject, time and payload of every event of a type in a run's chain, in order.

    Raises:
        LedgerError: one is not there any more, or not as it was recorded.
    """
    found = []
    for subject, time, header, salt, body in connection.execute(_SAID, (run_id, kind)):
        if body is None:
            raise LedgerError(f"what an event {kind} of the run {run_id} says is not there any more", advice=VERIFY)
        found.append((str(subject), str(time), payload_of(header, salt, body)))
    return found


def last_said(connection: Connection, run_id: str, kind: str) -> dict[str, Any]:
    """Return the payload of a run's last event of a type; {} where there is none, or it was erased.

    Raises:
        LedgerError: it is not as it was recorded.
    """
    rows = connection.execute(_SAID_LAST, (run_id, kind))
    return payload_of(*rows[0]) if rows and rows[0][2] is not None else {}


def payload_of(header: Any, salt: Any, body: Any) -> dict[str, Any]:  # noqa: ANN401  # bytes or buffers, as the database gives them
    """Return a payload as it was recorded: a run goes on by nothing else.

    Raises:
        LedgerError: it is not what its event's header names.
    """
    value: dict[str, Any] = {}
    try:
        is_whole = parse_header(bytes(header)).get("datahash") == data_hash(bytes(salt), bytes(body))
        value = json.loads(bytes(body))
    except (ValueError, RecursionError):
        is_whole = False
    if not is_whole:
        raise LedgerError("what an event of this run says is not what was recorded", advice=VERIFY)
    return value


def listed(text: object) -> tuple[Mapping[str, Any], ...]:
    """Return a list of objects as a projected column keeps it.

    Raises:
        LedgerError: the column holds something else.
    """
    try:
        value = json.loads(str(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise LedgerError("what the ledger keeps of a run for searching is damaged", advice=VERIFY)
    return tuple(value)


def waits(connection: Connection, run_id: str) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Return what each phase waited for when it last waited, by its id."""
    return {phase: tuple(payload["for"]) for phase, _, payload in said(connection, run_id, "orch.phase.waiting")}


def started_at(connection: Connection, run_id: str, phase: str) -> str:
    """Return when a phase last started, RFC 3339; "" where it never did."""
    sql = """SELECT time FROM events WHERE run_id = ? AND type = 'orch.phase.started' AND subject = ?
             ORDER BY run_seq DESC LIMIT 1"""
    rows = connection.execute(sql, (run_id, phase))
    return str(rows[0][0]) if rows else ""


class Journal(NamedTuple):
    """Writes what happened to the phases of one run."""

    ledger: Ledger
    lease: Lease
    run_id: str
    actor: str
    repository: str
    phases: tuple[str, ...]
    """The ids of the plan's phases."""

    def draft(self, kind: str, payload: Mapping[str, Any], subject: str = "") -> Draft:
        """Return an event of this run."""
        return Draft(kind, self.run_id, self.actor, payload, subject=subject, repository=self.repository)

    def standing(self) -> Standing:
        """Return how the run stands now. Raises as `standing`."""
        with self.ledger.store.reading() as connection:
            return standing(connection, self.run_id, self.phases)

    def start(self, phase: str, attempt: int | None = None, why: str = "") -> Row:
        """Record that a phase starts in this segment, or its next attempt, once; return how it then stands.

        What is over stays as it is.
        """
        with self.ledger.store.writing() as connection:
            now = self._locked(connection)
            row = now.phases.get(phase)
            if row is not None and (row.state not in {"started", "waiting"} or row.attempt >= (attempt or 0) > 0):
                return row
            if row is not None and attempt is None and now.is_of_segment(phase):
                return row
            wanted = attempt or (row.attempt if row else 1)
            payload: dict[str, Any] = {"phase": phase, "attempt": wanted}
            self._append(connection, "orch.phase.started", payload | ({"reason": why} if why else {}))
            return Row("started", wanted, "", "", "", now.resumed_place + 1)

    def end(self, phase: str, state: str, said: Mapping[str, Any]) -> str:
        """Record how a phase ended, or that it waits, once; return its state then."""
        with self.ledger.store.writing() as connection:
            now = self._locked(connection)
            row = now.phases.get(phase)
            if row is not None and row.state not in _BEFORE[state]:
                return row.state
            self._append(connection, f"orch.phase.{state}", {"phase": phase, **said})
            return state

    def note(self, phase: str, step: str, state: str, reason: str) -> None:
        """Record what follows of a step that was not done, or failed, once: `skipped`, `continued`, `replaced`."""
        with self.ledger.store.writing() as connection:
            self._locked(connection)
            subject = f"{phase}/{step}"
            sql = "SELECT 1 FROM events WHERE run_id = ? AND type = 'orch.phase.noted' AND subject = ?"
            if not connection.execute(sql, (self.run_id, subject)):
                payload = {"phase": phase, "step": step, "state": state, "reason": reason}
                append(self.ledger, connection, self.draft("orch.phase.noted", payload, subject))

    def state_of_run(self) -> str:
        """Return the run's state."""
        with self.ledger.store.reading() as connection:
            return str(connection.execute(_RUN, (self.run_id,))[0][0])

    def _append(self, connection: Connection, kind: str, payload: Mapping[str, Any]) -> None:
        self.lease.check()
        append(self.ledger, connection, self.draft(kind, payload, str(payload["phase"])))

    def _locked(self, connection: Connection) -> Standing:
        if not lock(connection, self.run_id):
            now = standing(connection, self.run_id, self.phases)
            raise LedgerError(f"the run {self.run_id} has ended ({now.state}); nothing more is done of it")
        return standing(connection, self.run_id, self.phases)
