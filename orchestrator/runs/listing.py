"""Runs as the ledger lists them: which there are, how far each came, and which one is meant. Changes nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import jobs
from orchestrator.errors import LedgerError, UsageError
from orchestrator.jobs import Job
from orchestrator.ledger.open import default_folder, is_url, open_ledger
from orchestrator.ledger.sqlite import FILE
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.runs.attendance import Attendance, attendance
from orchestrator.runs.journal import payload_of
from orchestrator.runs.state import UNWANTED, Snapshot, percent_of, snapshot
from orchestrator.settings import Settings
from orchestrator.words import near_miss

FOLLOWED = ("plan", "job")
"""Kinds of runs that have phases."""
ORDERING = ("escalation", "drill")
"""Kinds of runs that have orders of stages, and no phases: cycles of an escalation, and rehearsals of one."""
_ROW = (
    "id", "kind", "name", "mode", "state", "repository", "actor", "segment", "started_at", "ended_at", "waiting_for",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_ROW)} FROM runs"  # noqa: S608  # constants
_NEWEST = "ORDER BY started_at DESC, id DESC"
_TRACKED = """SELECT name, state, CASE WHEN reference <> '' THEN reference ELSE detail END FROM actions
WHERE chain = ? AND name LIKE 'tracking.%' AND (name = 'tracking.issue' OR state <> 'delivered') ORDER BY at, name"""
BEHIND = "orch.tracking.behind"
"""Type of the event that says why an order of tracking did not even come into the outbox."""
_BEHIND = """SELECT e.subject, e.header, p.salt, p.body FROM events e JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = ?
AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.chain = e.run_id AND (a.name = e.subject
  OR (e.subject LIKE 'tracking.status/%' AND a.state = 'delivered' AND a.at >= e.time
      AND (a.name LIKE 'tracking.status/%' OR a.name = 'tracking.end'))))
ORDER BY e.run_seq"""
_OF_STAGES = """name LIKE '%/%' AND name NOT LIKE 'tick/%' AND name NOT LIKE 'enter/%'
AND name NOT LIKE 'heartbeat/%' AND name NOT LIKE 'control/%'"""
"""Orders of stages; the others are the escalation's own, and no stage is called as these begin."""
_ORDERS = f"""SELECT name, target, action, state, attempt, reference, detail FROM actions
WHERE chain = ? AND {_OF_STAGES} ORDER BY at, name, target"""  # noqa: S608  # constants
_UNTRIED = """SELECT o.name FROM escalation_orders o WHERE o.run_id = ?
AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.chain = o.run_id AND a.name = o.name) ORDER BY o.position"""
_SHOWN = 5
_AT_ONCE = 200


class Listed(NamedTuple):
    """One run in short."""

    run_id: str
    kind: str
    """`plan`, `job`, `escalation` for a cycle, `drill`, or `task` for a run that only asked."""
    name: str
    """Of the plan, job or escalation."""
    mode: str
    state: str
    repository: str
    actor: str
    segment: int
    started_at: str
    """RFC 3339."""
    ended_at: str
    """RFC 3339; "" while it goes on."""
    waiting_for: tuple[dict[str, Any], ...]
    done: int
    """How many phases have passed."""
    total: int
    """How many phases it has, those left out that their own `if` skipped; 0 where that is not known."""
    delivered: int = 0
    """How many recipients got what stages of it ordered."""
    ordered: int = 0
    """How many recipients that was tried for."""

    @property
    def percent(self) -> int:
        """How much of it is done, as `state.percent_of`; 0 where it has no phases that are known."""
        return percent_of(self.done, self.total, self.state) if self.total else 0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        progress = {"done": self.done, "total": self.total, "percent": self.percent}
        said = self._asdict() | {"waiting_for": list(self.waiting_for), "progress": progress}
        del said["done"], said["total"]
        return said


class Ordered(NamedTuple):
    """What became of one order of a stage for one recipient."""

    name: str
    """`stage/action`."""
    target: str
    """"" where it has no recipient."""
    action: str
    state: str
    """As of the outbox; `new` where nothing of it was begun."""
    attempt: int = 0
    reference: str = ""
    detail: str = ""


class Found(NamedTuple):
    """What `orch runs` was asked for: one run whole, or several in short."""

    run: Snapshot | None
    runs: tuple[Listed, ...] = ()
    tracked: tuple[tuple[str, str, str], ...] = ()
    """Of one run: what its tracking did: name, state, and reference or detail."""
    attended: Mapping[str, Attendance] = {}
    """Who works on each of these runs that has phases."""
    orders: tuple[Ordered, ...] = ()
    """Of one cycle or drill: what its stages ordered, in the order in which it was tried."""


def found(ledger: Ledger, name: str = "", *, limit: int = 0, is_all: bool = False) -> Found:
    """Return the run that a name means, or the runs of the plan or job it means; of no name the newest of all.

    Raises:
        UsageError: nothing is called so, several runs begin so, or the run has no phases.
        LedgerError: the ledger cannot be read.
    """
    with ledger.store.reading() as connection:
        run_id, of = meant(connection, name) if name else ("", "")
        runs = () if run_id else listed(connection, name=of, limit=limit, is_all=is_all)
        tracked = tuple(_tracked(connection, run_id)) if run_id else ()
        orders = tuple(_orders(connection, run_id)) if run_id else ()
    if not run_id:
        return Found(
            None, runs, attended=attendance(ledger, {one.run_id: one.state for one in runs if one.kind in FOLLOWED})
        )
    seen = snapshot(ledger, run_id)
    if seen.kind not in FOLLOWED:
        return Found(seen, tracked=tracked, orders=orders if seen.kind in ORDERING else ())
    return Found(seen, (), tracked, attendance(ledger, {run_id: seen.state}))


def behind(connection: Connection, run_id: str) -> dict[str, str]:
    """Return why orders of a run's tracking are not in the outbox, by their names; the newest reason of each."""
    rows = connection.execute(_BEHIND, (run_id, BEHIND))
    return {str(name): str(payload_of(*stored).get("reason", "")) for name, *stored in rows}


def _orders(connection: Connection, run_id: str) -> Iterator[Ordered]:
    yield from (Ordered(*row) for row in connection.execute(_ORDERS, (run_id,)))
    yield from (Ordered(str(name), "", "", "new") for (name,) in connection.execute(_UNTRIED, (run_id,)))


def _tracked(connection: Connection, run_id: str) -> Iterator[tuple[str, str, str]]:
    yield from ((name, "behind", why) for name, why in behind(connection, run_id).items())
    yield from ((str(one), str(state), str(about)) for one, state, about in connection.execute(_TRACKED, (run_id,)))


def newest_of(settings: Settings) -> tuple[tuple[Job, Listed | None], ...]:
    """Return the operator's jobs by name, each with its newest run; without a ledger no job has any.

    Raises:
        LedgerError: there is a ledger, and it cannot be read.
    """
    known = jobs.listed(settings)
    if not known or not _is_there(settings.ledger):
        return tuple((job, None) for job in known)
    with open_ledger(settings.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
        return tuple((job, next(iter(listed(connection, name=job.name, limit=1)), None)) for job in known)


def _is_there(named: str | None) -> bool:
    """Return whether a ledger was ever made; of one on a server the opening says."""
    if named and is_url(named):
        return True
    return ((Path(named) if named else default_folder()) / FILE).exists()


def meant(connection: Connection, word: str) -> tuple[str, str]:
    """Return the run that a word means, and "", or "" and the plan or job whose runs it means.

    A run is meant by its id, or by how that begins where no other begins so.

    Raises:
        UsageError: nothing is called so, or several runs begin so.
    """
    if connection.execute("SELECT 1 FROM runs WHERE id = ?", (word,)):
        return word, ""
    if connection.execute("SELECT 1 FROM runs WHERE name = ? LIMIT 1", (word,)):
        return "", word
    if run_id := run_that_begins(connection, word):
        return run_id, ""
    names = [str(name) for (name,) in connection.execute("SELECT DISTINCT name FROM runs WHERE name <> ''")]
    raise UsageError(
        f"there is no run, plan or job {shown(word)} in this ledger{near_miss(word, names)}",
        advice="`orch runs` lists the newest",
    )


def run_that_begins(connection: Connection, word: str) -> str:
    """Return the id of the run that is called so, or that alone begins so; "" where none does.

    Raises:
        UsageError: several runs begin so.
    """
    if not word or connection.execute("SELECT 1 FROM runs WHERE id = ?", (word,)):
        return word
    begins = f"SELECT id FROM runs WHERE substr(id, 1, {len(word)}) = ? {_NEWEST} LIMIT {_SHOWN}"  # noqa: S608  # constants
    found = [str(name) for (name,) in connection.execute(begins, (word,))]
    if len(found) > 1:
        raise UsageError(f"several runs begin with {shown(word)}: {', '.join(found)}", advice="give more of the id")
    return found[0] if found else ""


def listed(connection: Connection, *, name: str = "", limit: int = 0, is_all: bool = False) -> tuple[Listed, ...]:
    """Return runs, newest first: of one plan or job, or of all; `limit` 0 is no limit. With `is_all` tasks, too.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    said, parameters = [], []
    if name:
        said.append("name = ?")
        parameters.append(name)
    if not is_all:
        kinds = (*FOLLOWED, *ORDERING)
        said.append(f"kind IN ({', '.join('?' * len(kinds))})")
        parameters += kinds
    where = f" WHERE {' AND '.join(said)}" if said else ""
    most = f" LIMIT {int(limit)}" if limit else ""
    rows = connection.execute(f"{_SELECT}{where} {_NEWEST}{most}", parameters)
    found: list[Listed] = []
    for start in range(0, len(rows), _AT_ONCE):
        found += _counted(connection, rows[start : start + _AT_ONCE])
    return tuple(found)


def _counted(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[Listed]:
    """Yield runs with how far each came."""
    names = [str(row[0]) for row in rows]
    marks = ", ".join("?" * len(names))
    query = f"""SELECT run_id, sum(CASE WHEN state = 'passed' THEN 1 ELSE 0 END),
                sum(CASE WHEN state = 'skipped' AND reason = ? THEN 1 ELSE 0 END)
                FROM phases WHERE run_id IN ({marks}) GROUP BY run_id"""  # noqa: S608  # marks
    counts = {run_id: (int(done), int(no)) for run_id, done, no in connection.execute(query, (UNWANTED, *names))}
    totals = dict(_totals(connection, names, marks))
    sent = _sent(connection, [str(row[0]) for row in rows if row[1] in ORDERING])
    for row in rows:
        said = dict(zip(_ROW, row, strict=True))
        run_id = said.pop("id")
        waiting_for = tuple(_waiting(said.pop("waiting_for")))
        done, unwanted = counts.get(run_id, (0, 0))
        total = max(0, totals.get(run_id, 0) - unwanted)
        delivered, ordered = sent.get(run_id, (0, 0))
        said |= {"delivered": delivered, "ordered": ordered}
        yield Listed(run_id=run_id, waiting_for=waiting_for, done=min(done, total), total=total, **said)


def _sent(connection: Connection, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return of each cycle or drill how many recipients got what its stages ordered, and of how many."""
    if not names:
        return {}
    marks = ", ".join("?" * len(names))
    query = f"""SELECT chain, sum(CASE WHEN state = 'delivered' THEN 1 ELSE 0 END), count(*)
                FROM actions WHERE chain IN ({marks}) AND {_OF_STAGES} GROUP BY chain"""  # noqa: S608  # marks
    return {str(run_id): (int(done), int(tried)) for run_id, done, tried in connection.execute(query, names)}


def _totals(connection: Connection, names: Sequence[str], marks: str) -> Iterator[tuple[str, int]]:
    """Yield how many phases the plan of each run has, as recorded when it began."""
    query = f"""SELECT e.run_id, p.body FROM events e JOIN payloads p ON p.event_id = e.id
                WHERE e.run_seq = 1 AND e.run_id IN ({marks})"""  # noqa: S608  # marks
    for run_id, body in connection.execute(query, names):
        try:
            plan = json.loads(bytes(body)).get("plan")
        except (ValueError, AttributeError, RecursionError) as error:
            raise LedgerError(
                f"the first event of the run {shown(str(run_id))} is damaged", advice="orch ledger verify says what is"
            ) from error
        phases = plan.get("phases") if isinstance(plan, dict) else None
        yield str(run_id), len(phases) if isinstance(phases, list) else 0


def _waiting(text: str) -> list[dict[str, Any]]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
