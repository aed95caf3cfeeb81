"""Follows a run on GitHub: one issue, a comment for each phase's end and each approval, closed at the end.

Everything is an order under the run's policy and in its outbox: found again after a crash, never done twice. What the
ledger says is told as far as it was not told yet, so a call that failed is made up for by the next. No failure here is
a failure of the run.

Source: 002, "GitHub Integration".
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.errors import OrchError
from orchestrator.ledger import read
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Event
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.order import TRACKING, Done, Order, State
from orchestrator.plans.model import Tracking
from orchestrator.plans.values import filled
from orchestrator.prose import rendered
from orchestrator.runs import awaited
from orchestrator.runs.context import RunContext
from orchestrator.runs.lease import LeaseLost
from orchestrator.runs.listing import BEHIND, behind
from orchestrator.runs.reports import report_of

_ISSUE, _STATUS, _END = f"{TRACKING}issue", f"{TRACKING}status/", f"{TRACKING}end"
_TIMEOUT_S = 60.0
_OVER = frozenset({State.DELIVERED, State.PERMANENT})
_TOLD = frozenset({"passed", "failed", "waiting", "compensated"})
"""Of a phase: what is worth a comment."""
_TITLE_CHARS = 200
_OF_RUN = f"""SELECT {read.COLUMNS} FROM {read.TABLES}
WHERE e.run_id = ? AND (e.type LIKE 'orch.run.%' OR e.type LIKE 'orch.phase.%') ORDER BY e.run_seq"""  # noqa: S608  # constants
_DONE = "SELECT name, state FROM actions WHERE chain = ? AND name LIKE 'tracking.%'"
_LOCK = "UPDATE runs SET state = state WHERE id = ?"
_IN_OUTBOX = "SELECT 1 FROM actions WHERE chain = ? AND name = ? LIMIT 1"
_GIVEN = """SELECT r.id, r.action, r.resource FROM requests r WHERE r.run_id = ? AND r.state = 'consumed'
AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.request_id = r.id AND a.name LIKE 'tracking.%')
ORDER BY r.opened_at, r.id"""
_VOTES = """SELECT voter, role, at FROM votes WHERE request_id = ? AND decision = 'approve' AND revocation = ''
ORDER BY at, voter"""

_TURNS = tuple(threading.Lock() for _ in range(64))
"""One call for a run at a time in this process, runs that share a lock aside; between processes the outbox decides."""


class Tracked(NamedTuple):
    """What one call did."""

    issue: int | None
    """Its number; None where there is none yet."""
    url: str = ""
    done: tuple[str, ...] = ()
    """Names of the orders that were delivered by this call."""
    problems: tuple[str, ...] = ()
    """What was not, and why."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {**self._asdict(), "done": list(self.done), "problems": list(self.problems)}


def follow(context: RunContext) -> dict[str, Any]:
    """Bring the run's issue up to what the ledger says and return what was done as JSON (`Tracked`).

    Raises:
        LeaseLost: another process has taken this one's work.
        LedgerError: what is recorded of the run cannot be read.
    """
    if context.plan.tracking is None:
        return Tracked(None).to_json()
    with _TURNS[hash(context.run_id) % len(_TURNS)]:
        return _Follower(context, context.plan.tracking).follow().to_json()


def is_over(ledger: Ledger, run_id: str) -> bool:
    """Return whether nothing is left to tell of a run that has ended.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    with ledger.store.reading() as connection:
        states = {str(name): str(state) for name, state in connection.execute(_DONE, (run_id,))}
    if states.get(_ISSUE) == "permanent":
        return True
    return _END in states and all(
        state in _OVER
        for name, state in states.items()
        if not name.startswith(_STATUS)  # a later one says more
    )


class _Follower:
    """One call of `follow`."""

    def __init__(self, context: RunContext, tracking: Tracking) -> None:
        self._context = context
        self._tracking = tracking
        self._before: dict[str, str] = {}
        """The state of each order that was made before this call."""
        self._done: list[str] = []
        self._problems: list[str] = []
        self._blocked: set[str] = set()
        """Actions that policy or budget stopped: there is no use in asking for more of them now."""

    def follow(self) -> Tracked:
        context = self._context
        with context.ledger.store.reading() as connection:
            events = [read.decoded(row) for row in connection.execute(_OF_RUN, (context.run_id,))]
            self._before = {str(name): str(state) for name, state in connection.execute(_DONE, (context.run_id,))}
            given = list(_given(connection, context.run_id))
        issue = self._act(self._opening())
        number = issue.outputs.get("number") if issue is not None and issue.state is State.DELIVERED else None
        if issue is None or type(number) is not int:
            return Tracked(None, problems=tuple(self._problems))
        for order in (*self._comments(events, given, number), *self._standing(number)):
            if self._before.get(order.name) not in {"delivered", "permanent"}:
                self._act(order)
        url = issue.outputs.get("url")
        return Tracked(number, url if isinstance(url, str) else "", tuple(self._done), tuple(self._problems))

    def _act(self, order: Order) -> Done | None:
        """Return what became of an order; what stands in its way is noted."""
        if order.action in self._blocked:
            return None
        try:
            done = self._context.executor.act(order)
        except LeaseLost:
            raise
        except (OrchError, OSError) as error:
            self._behind(order, f"{error} ({advice})" if (advice := getattr(error, "advice", "")) else str(error))
            self._blocked.add(order.action)
            return None
        if done.state is State.DELIVERED:
            self._done += [order.name] if self._before.get(order.name) != "delivered" else []
        else:
            self._behind(order, f"{done.state}{': ' if done.detail else ''}{done.detail}")
            if done.state not in _OVER:
                self._blocked.add(order.action)
        return done

    def _behind(self, order: Order, why: str) -> None:
        """Note why an order was not carried out. Of one that came into no outbox it is recorded, each reason once."""
        self._problems.append(f"{order.name}: {why}")
        context = self._context
        reason = context.ledger.mask.text(why.encode("utf-8", "backslashreplace").decode())
        with context.ledger.store.writing() as connection:
            connection.change(_LOCK, (context.run_id,))
            if connection.execute(_IN_OUTBOX, (context.run_id, order.name)):
                return
            if behind(connection, context.run_id).get(order.name) != reason:
                context.lease.check()
                said = {"name": order.name, "action": order.action, "reason": reason}
                append(context.ledger, connection, context.journal.draft(BEHIND, said, order.name))

    def _order(self, name: str, action: str, **parameters: Any) -> Order:  # noqa: ANN401  # JSON
        repository = {"repository": self._tracking.repository} if self._tracking.repository else {}
        return Order(name, action, {**parameters, **repository}, adapter="github", timeout_s=_TIMEOUT_S)

    def _opening(self) -> Order:
        """Return the order for the issue: the same text however often it is made."""
        context = self._context
        phases = [{"id": one.id, "title": one.title, "needs": list(one.needs)} for one in context.plan.phases]
        body = rendered("tracking_issue.md.j2", run=context.facts_of_run, plan=_plan(context), phases=phases)
        labels = {"labels": list(self._tracking.labels)} if self._tracking.labels else {}
        return self._order(_ISSUE, "create_issue", title=self._title(), body=body, **labels)

    def _title(self) -> str:
        context = self._context
        usual = f"{context.plan.title or context.plan.name}: run {context.run_id}"
        text = self._tracking.title
        if text:
            scope = {"inputs": dict(context.inputs), "run": context.facts_of_run, "steps": {}, "phases": {}}
            try:
                usual = str(filled(text, scope))
            except OrchError as error:
                self._problems.append(f"the issue's title {shown(text)}: {error}")
        return " ".join(usual.split())[:_TITLE_CHARS]

    def _comments(self, events: list[Event], given: list[dict[str, Any]], number: int) -> Iterator[Order]:
        """Yield what is to be said, in the order in which it happened: what phases came to, then approvals."""
        for moment in _moments(events):
            body = rendered("tracking_phase.md.j2", run=self._context.facts_of_run, **moment.said(self._context))
            yield self._order(moment.name, "comment", number=number, body=body)
        for one in given:
            body = rendered("tracking_approval.md.j2", request=one)
            yield self._order(f"{TRACKING}approval/{one['id']}", "comment", number=number, body=body)

    def _standing(self, number: int) -> Iterator[Order]:
        """Yield the issue's table as it stands now; at the end the issue is closed with it."""
        context = self._context
        report = report_of(context.ledger, context.run_id)
        body = rendered("tracking_status.md.j2", report=report)
        if report["is_final"]:
            yield self._order(_END, "update_issue", number=number, body=body, state="closed")
        else:
            name = f"{_STATUS}{report['as_of']['event']}"
            yield self._order(name, "update_issue", number=number, body=body)


class _Moment(NamedTuple):
    """A phase came to something."""

    phase: str
    state: str
    segment: int
    payload: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its order."""
        return f"{TRACKING}phase/{self.phase}/{self.state}/{self.segment}"

    def said(self, context: RunContext) -> dict[str, Any]:
        """Return what its comment says."""
        criteria = [one for one in self.payload.get("criteria") or () if isinstance(one, dict)]
        waits = [one for one in self.payload.get("for") or () if isinstance(one, dict)]
        titles = {one.id: one.title for one in context.plan.phases}
        return {
            "phase": {"id": self.phase, "title": titles.get(self.phase, ""), "state": self.state},
            "reason": str(self.payload.get("reason") or ""),
            "error_class": str(self.payload.get("error_class") or ""),
            "criteria": [_criterion(one) for one in criteria],
            "waits": [
                {"text": awaited.told(one), "commands": list(awaited.openers(one, context.run_id))} for one in waits
            ],
        }


def _moments(events: list[Event]) -> Iterator[_Moment]:
    """Yield what phases came to; a phase that waits for the same as before is not told again."""
    segment = 0
    waited: dict[str, list[str]] = {}
    for event in events:
        payload = event.payload or {}
        _, family, kind = str(event.fields["type"]).split(".", 2)
        if family == "run":
            segment = payload.get("segment", segment) if kind == "resumed" else segment
            continue
        phase = payload.get("phase")
        if kind not in _TOLD or not isinstance(phase, str):
            continue
        if kind == "waiting":
            texts = _texts(payload.get("for"))
            if waited.get(phase) == texts:
                continue
            waited[phase] = texts
        yield _Moment(phase, kind, segment, payload)


def _texts(waits: object) -> list[str]:
    """Return what is waited for in words, times left out: they are others whenever it is waited again."""
    found = [one for one in waits if isinstance(one, dict)] if isinstance(waits, list) else []
    return sorted({awaited.told({**one, "at": ""}) for one in found})


def _criterion(one: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: "" if one.get(name) is None else str(one[name]) for name in ("kind", "subject", "seen", "expected")}
    return {**told, "passed": one.get("passed") is True}


def _plan(context: RunContext) -> dict[str, Any]:
    plan = context.plan
    return {"name": plan.name, "title": plan.title, "version": plan.version, "digest": plan.digest}


def _given(connection: Connection, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield the approvals that were used in a run, those of tracking itself left out."""
    for request_id, action, resource in connection.execute(_GIVEN, (run_id,)):
        votes = [
            {"voter": voter, "role": role, "at": at} for voter, role, at in connection.execute(_VOTES, (request_id,))
        ]
        yield {"id": request_id, "action": action, "resource": resource, "votes": votes}
