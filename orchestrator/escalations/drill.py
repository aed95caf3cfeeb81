"""`orch drill` as a function: the whole escalation at once, every message marked and to the operator alone.

It is a run of its own, under policy and through the outbox as everything is. The cycle, its deadline and its stage stay
as they are. What is no message becomes one that says what would be done; the plan of a stage is rehearsed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from orchestrator import clock, record
from orchestrator.act import Executor
from orchestrator.adapter import ErrorClass
from orchestrator.choices import Point
from orchestrator.clock import SECOND_NS
from orchestrator.errors import Exit, OrchError, PackError, Problem, UsageError
from orchestrator.escalations import foresight
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.control import ACTION
from orchestrator.escalations.foresight import Moment
from orchestrator.escalations.meant import folder
from orchestrator.escalations.model import Audience, Deed, Escalation, Stage
from orchestrator.escalations.opened import Opened, facts_of, only, opened
from orchestrator.escalations.simulate import PLAN, deeds_of, targets_of
from orchestrator.escalations.state import kept_text
from orchestrator.escalations.ticked import Acted, Would, worst
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import run_problem, shown
from orchestrator.order import Done, Order, State
from orchestrator.secret import REFERENCE
from orchestrator.settings import Settings
from orchestrator.words import counted

_ROUTE = "operator"
_MESSAGE = "send_message"
_LONG_S = 365 * 86_400
_MOST_SUBJECT, _MOST_VALUE, _MOST_BODY = 300, 200, 200_000
_HIDDEN = frozenset({"channel", "to", "reply_to", "subject", "body", "html", "attachments"})
"""Parameters of a message that are not listed beside its text."""


class Drilled(NamedTuple):
    """One deed of a stage in a drill."""

    name: str
    """`stage/action`."""
    action: str
    audience: str
    recipients: int
    """So many it names; 0 where it names none."""
    would: tuple[Would, ...]
    """What would be decided of the deed itself; of a plan, of each of its steps."""
    acted: Acted
    """What became of the message to the operator."""


class Drill(NamedTuple):
    """A whole escalation, rehearsed."""

    name: str
    run_id: str
    """Of the drill itself; "" where it was not allowed and none began."""
    drilled: tuple[Drilled, ...] = ()
    entering: tuple[Would, ...] = ()
    """What would be decided of entering each stage."""
    refused: Done | None = None
    """Why there was none, where policy does not allow it, or not yet."""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> Exit:
        """The worst of what was sent and of what would be decided, as of a tick."""
        codes = [one.acted.exit_code for one in self.drilled]
        codes += [would.exit_code for one in self.drilled for would in one.would]
        codes += [would.exit_code for would in self.entering]
        return worst([*codes, *([self.refused.exit_code] if self.refused else [])])

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        drilled = [
            one._asdict() | {"would": [would.to_json() for would in one.would], "acted": one.acted.to_json()}
            for one in self.drilled
        ]
        refused = self.refused.to_json() if self.refused else None
        said = self._asdict() | {"drilled": drilled, "refused": refused, "notes": list(self.notes)}
        said["entering"] = [would.to_json() for would in self.entering]
        return said | {"exit_code": int(self.exit_code)}


def drill(settings: Settings, name: str | None, *, told: Callable[[Drilled], None] = lambda _: None) -> Drill:
    """Return what came of a drill; `told` is given each deed once it is over.

    Raises:
        UsageError: the policy has no such escalation, or several and none is named.
        PackError: a document is wrong, or has no route to the operator.
        DecisionError: there is no engine to trust.
        LedgerError: it cannot be recorded.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    settings = settings._replace(point=Point.TICK, run=None, session=None)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        one = only(opened(settings, name=name, ledger=ledger, lease=lease, may_have_ended=True, may_be_nowhere=True))
        _must_have_route(one.escalation)
        run_id = _begun(ledger, one)
        run = one.executor.run._replace(id=run_id, repository=None, session=None)
        facts = {key: value for key, value in one.executor.judge.facts.items() if key != "repository"}
        state, reason = "cancelled", ""
        try:
            executor = Executor.open(settings, run, root=folder(), ledger=ledger, lease=lease, facts=facts)
            found = _drilled(one, executor, settings, told)._replace(run_id=run_id, notes=one.notes)
            state, reason = _end_of(found)
        except OrchError as error:
            state, reason = "failed", str(error)
            raise
        finally:
            _ended(ledger, run_id, run.subject, (state, kept_text(ledger, reason)))
    return found


def _drilled(one: Opened, executor: Executor, settings: Settings, told: Callable[[Drilled], None]) -> Drill:
    """Return what came of it, once policy allows that there is a drill at all."""
    escalation, cycle = one.escalation, one.record.cycle if one.record else 0
    executor.judge.facts = {**executor.judge.facts, **facts_of(escalation, one.record, None, is_drill=True)}
    asked = Order("drill", ACTION, {"resource": escalation.name, "operation": "drill", "cycle": cycle})
    if (refused := executor.decide(asked)) is not None:
        return Drill(escalation.name, "", refused=refused)
    drilled: list[Drilled] = []
    entering: list[Would] = []
    for at in _moments(one):
        would = _foreseen(executor, settings, escalation, at)
        entering += would.pop("", [])
        for each in _stage(executor, escalation, at, would):
            drilled.append(each)
            told(each)
    return Drill(escalation.name, "", tuple(drilled), tuple(entering))


def _moments(one: Opened) -> Iterator[Moment]:
    """Yield each stage as it would be entered: when it is due, everything before it delivered."""
    escalation, running = one.escalation, one.record
    deadline_ns = running.deadline if running else 0
    deadline_ns = deadline_ns or clock.now_ns() + escalation.renewal.extends_s * SECOND_NS
    delivered: set[str] = set()
    for place, stage in enumerate(escalation.stages[1:], 1):
        delivered |= {f"{escalation.stages[place - 1].name}/{deed.id}" for deed in escalation.stages[place - 1].deeds}
        yield Moment(
            place=place,
            cycle=running.cycle if running else 1,
            deadline_ns=deadline_ns,
            at_ns=due_ns(escalation, place, deadline_ns),
            before=place - 1,
            before_ns=deadline_ns - _LONG_S * SECOND_NS,
            delivered=frozenset(delivered | set(stage.delivered)),
        )


def _foreseen(executor: Executor, settings: Settings, escalation: Escalation, at: Moment) -> dict[str, list[Would]]:
    """Return what would be decided in earnest: of each deed by its id, of entering the stage by ""."""
    would: dict[str, list[Would]] = {}
    for answer in foresight.foreseen(executor, settings, folder(), escalation, at):
        key = "" if answer.action == foresight.ENTERING else answer.name.split("/")[1]
        would.setdefault(key, []).append(answer)
    return would


def _stage(
    executor: Executor, escalation: Escalation, at: Moment, would: Mapping[str, list[Would]]
) -> Iterator[Drilled]:
    """Yield what came of each deed of a stage: the operator is told, now and not when it would be due."""
    stage = escalation.stages[at.place]
    at = at._replace(is_drill=True)
    foresight.stand(executor, escalation, at)
    executor.judge.now_ns = None
    for deed in deeds_of(stage):
        recipients = len([one for one in targets_of(deed) if one])
        name = f"{stage.name}/{deed.id}"
        acted = Acted(name, _MESSAGE, _told_operator(executor, escalation, at, deed, recipients))
        yield Drilled(name, deed.action, stage.audience.value, recipients, tuple(would.get(deed.id, ())), acted)


def _told_operator(executor: Executor, escalation: Escalation, at: Moment, deed: Deed, recipients: int) -> Done:
    stage = escalation.stages[at.place]
    try:
        order = foresight.order_of(escalation, at, deed)
        said = _message(stage, deed, order.parameters, recipients)
        return executor.act(
            Order(order.name, _MESSAGE, {**escalation.routes[_ROUTE], **said}, timeout_s=deed.timeout_s)
        )
    except UsageError as error:
        detail = f"{error} ({error.advice})" if error.advice else str(error)
        return Done(State.PERMANENT, detail=detail, error_class=ErrorClass.CONFIGURATION)


def _message(stage: Stage, deed: Deed, parameters: Mapping[str, Any], recipients: int) -> dict[str, str]:
    """Return subject and body of what the operator gets in place of a deed."""
    if deed.action == _MESSAGE:
        whom = counted(recipients, "recipient") if recipients else "the recipients"
        mark = f"[DRILL stage {stage.name}, would go to {whom} of {stage.audience}]"
        subject = f"{mark} {parameters.get('subject', '')}".strip()
        lines = [mark, "", str(parameters.get("body", ""))]
    else:
        what = "carry out its plan" if deed.action == PLAN else f"do {deed.action}"
        mark = subject = f"[DRILL stage {stage.name}, would {what}]"
        lines = [mark, "", f"In earnest, {stage.name} would now {what} ({deed.id})."]
    rest = {name: value for name, value in parameters.items() if deed.action != _MESSAGE or name not in _HIDDEN}
    lines += ["", *_listed(stage, rest)] if rest else []
    body = _without_references("\n".join(lines))[:_MOST_BODY].rstrip() + "\n"
    return {"subject": _without_references(subject)[:_MOST_SUBJECT], "body": body}


def _listed(stage: Stage, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield parameters, a line each; where only the operator would hear of it without what they say.

    A reminder must hold no address and no link, and whoever wrote a parameter may have written one.
    """
    if stage.audience is Audience.OPERATOR:
        yield f"With {', '.join(parameters)}."
        return
    for name, value in parameters.items():
        text = " ".join(
            (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).split()
        )
        yield f"  {name}: {text if len(text) <= _MOST_VALUE else text[:_MOST_VALUE] + '...'}"


def _without_references(text: str) -> str:
    """Return a text in which a secret is named and not referred to: nothing is put in its place when it is sent."""
    return REFERENCE.sub(lambda found: f"(the secret {found[1]})", text)


def _must_have_route(escalation: Escalation) -> None:
    if escalation.routes.get(_ROUTE):
        return
    file, _, line = escalation.source.rpartition(":")
    problem = Problem(
        file or escalation.source,
        int(line) if line.isdigit() else 0,
        0,
        f"{escalation.name} has no route to the operator, to whom a drill sends everything",
        "`routes: {operator: {channel: ..., to: [...]}}`",
    )
    raise PackError([problem])


# -- the drill's run


def _begun(ledger: Ledger, one: Opened) -> str:
    """Begin the run of a drill, and return its id: the first number that is free.

    Raises:
        UsageError: the escalation's name gives no name of a run.
    """
    escalation, by = one.escalation, one.executor.run.subject
    repository = (one.executor.run.repository or "").lower()
    payload = {"kind": "drill", "name": escalation.name, "mode": escalation.mode.value, "repository": repository}
    payload |= {"session": "", "trigger": "", "version": escalation.version, "digest": escalation.digest}
    payload |= {"config_digest": record._config_digest()}  # noqa: SLF001  # what every start of a run says
    with ledger.store.writing() as connection:
        run_id = _free_id(connection, escalation.name)
        event = append(ledger, connection, Draft("orch.run.started", run_id, by, payload, repository=repository))
        if event.fields["runseq"] != 1:
            raise UsageError(f"another drill of {shown(escalation.name)} has just begun", advice="the same again")
    return run_id


def _free_id(connection: Connection, name: str) -> str:
    connection.change("UPDATE chains SET next_seq = next_seq WHERE run_id = ?", (f"escalation:{name}",))
    number = 1
    while connection.execute("SELECT 1 FROM chains WHERE run_id = ?", (f"{name}-drill-{number}",)):
        number += 1
    run_id = f"{name}-drill-{number}"
    if problem := run_problem(run_id):
        raise UsageError(f"a drill of {shown(name)} would be the run {shown(run_id)}; expected {problem}")
    return run_id


def _end_of(found: Drill) -> tuple[str, str]:
    """Return state and reason of a drill's run: it succeeded where every message arrived, whatever it found out."""
    if found.refused is not None:
        return "cancelled", f"no drill, {found.refused.state}: {found.refused.detail}"
    lost = [one.name for one in found.drilled if one.acted.done.state is not State.DELIVERED]
    if lost:
        return "failed", f"not arrived: {', '.join(lost)}"
    objected = (*found.entering, *(would for one in found.drilled for would in one.would))
    hindered = [would.name for would in objected if would.exit_code is not Exit.OK]
    return "succeeded", f"in earnest held up: {', '.join(hindered)}" if hindered else ""


def _ended(ledger: Ledger, run_id: str, by: str, end: tuple[str, str]) -> None:
    state, reason = end
    with ledger.store.writing() as connection:
        append(ledger, connection, Draft("orch.run.ended", run_id, by, {"state": state, "reason": reason}))
