"""Opens escalations: the policy that has them, where the ledger says each stands, and who acts for its cycle. Acts not.

Whoever ticks, controls, looks or drills begins here.
"""

import os
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.act import Executor
from orchestrator.asker import Asker
from orchestrator.choices import Point
from orchestrator.clock import format_time, parse_time
from orchestrator.errors import UsageError
from orchestrator.escalations.kept import Record, begun_in, record_of, standing_of
from orchestrator.escalations.model import Audience, Escalation, Mode, Standing
from orchestrator.judge import Judge
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
from orchestrator.order import Lease
from orchestrator.place import here
from orchestrator.record import GOING_ON, Run
from orchestrator.secret import Secrets
from orchestrator.settings import Settings, repository_root
from orchestrator.task import Workshop
from orchestrator.words import near_miss

LATEST_NS = parse_time("2150-01-01T00:00:00Z")
"""No later time is gone by: with a century behind it, 64 bits of nanoseconds hold it (until 2262)."""
_STATE = "SELECT state FROM runs WHERE id = ?"


class Opened(NamedTuple):
    """An escalation of the policy, and what acts for it."""

    escalation: Escalation
    record: Record | None
    """None where no cycle ever began."""
    executor: Executor
    """Of the cycle's run, its facts those of this moment; of no run where no cycle goes on."""
    notes: tuple[str, ...] = ()
    """What a person should know: where packs came from, what of the ledger the policy does not have."""

    @property
    def is_fuse(self) -> bool:
        """Whether it cannot be turned back: that it began as one counts, whatever its document says by now."""
        modes = {self.escalation.mode.value, self.record.mode if self.record else ""}
        return self.record is not None and Mode.FUSE.value in modes


def opened(
    settings: Settings,
    *,
    name: str | None = None,
    ledger: Ledger | None,
    lease: Lease | None,
    root: Path | None = None,
    may_have_ended: bool = False,
    may_be_nowhere: bool = False,
    tells_lost: bool = True,
) -> list[Opened]:
    """Return the escalation of a name, or every one of the policy, by name.

    Files lie in `root`, else in this repository or folder. Without a ledger nothing ever began; without a lease it can
    only be said what would be. `may_have_ended` opens one whose run was ended from outside, too, to set that right;
    `may_be_nowhere` one that stands at a stage which the policy does not have any more. Without `tells_lost` no note
    names what of the ledger the policy does not have.

    Raises:
        UsageError: the policy has none, or none of that name; or its run was ended, so that nothing can be done of it.
        PackError: a document is wrong, or the policy has no stage where it stands.
        DecisionError: there is no engine to trust.
        LedgerError: the ledger cannot be read.
    """
    cwd = here()
    root = (root or repository_root(cwd) or cwd).resolve()
    asker = Asker.of(settings._replace(point=Point.TICK, run=None, session=None), cwd, os.environ)
    judge = Judge(asker.settings, asker.run({}), root, {})
    chosen = _chosen(judge, name)
    records, notes = _records(ledger, chosen), judge.notes
    if ledger is not None and name is None and tells_lost:
        notes += tuple(_unknown(ledger, judge))
    secrets = Secrets(settings.secrets, os.environ, Mask.of(os.environ) if ledger is None else ledger.mask)
    secrets.learn()
    shop, found = Workshop(asker.settings, root, secrets), []
    for number, escalation in enumerate(chosen):
        record = records[escalation.name]
        own = judge if number == 0 else copy(judge)
        own.run, own.facts = _run(asker, own, ledger, record, may_have_ended=may_have_ended)
        is_nowhere = may_be_nowhere and record is not None and not escalation.has_stage(record.stage)
        own.facts |= facts_of(escalation, record, None if is_nowhere else _standing(ledger, record, escalation))
        found.append(Opened(escalation, record, Executor(own, shop, ledger, lease), () if number else notes))
    return found


def only(found: list[Opened]) -> Opened:
    """Return the one escalation that is meant where none was named.

    Raises:
        UsageError: there are several.
    """
    if len(found) > 1:
        names = ", ".join(one.escalation.name for one in found)
        raise UsageError(f"the policy has {len(found)} escalations: {names}", advice="name the one that is meant")
    return found[0]


def time_given(text: str | None) -> int | None:
    """Return a time that was typed, in nanoseconds since 1970; None where none was.

    Raises:
        UsageError: it is none.
    """
    try:
        given = None if text is None else parse_time(text)
    except ValueError as error:
        raise UsageError(f"--now is no time: {error}", advice="--now 2026-11-21T17:00:00Z") from None
    if given is not None and not 0 < given < LATEST_NS:
        raise UsageError(
            f"--now is {shown(text or '')}; expected a time after 1970 and before {format_time(LATEST_NS)[:4]}",
            advice="--now 2026-11-21T17:00:00Z",
        )
    return given


def facts_of(
    escalation: Escalation,
    record: Record | None,
    standing: Standing | None,
    of_stage: str = "",
    *,
    is_drill: bool = False,
    is_time_given: bool = False,
) -> dict[str, Any]:
    """Return what the host knows of an escalation at a tick, as facts: `{stage, escalation}`.

    `of_stage` is the stage whose action is decided, else the one where it stands. One that the policy does not have any
    more counts as public. `is_time_given` is whether somebody said which time it is, in place of the clock.
    """
    stage = record.stage if record else escalation.stages[0].name
    of_stage = of_stage or stage
    mode = record.mode if record else escalation.mode.value
    said: dict[str, Any] = {"name": escalation.name, "mode": mode, "stage": stage}
    said |= {
        "of_stage": of_stage,
        "is_drill": is_drill,
        "is_time_given": is_time_given,
        "cycle": 0,
        "is_armed": False,
        "stage_at": None,
    }
    audiences = {one.name: one.audience for one in escalation.stages}
    said |= {"audience": audiences.get(of_stage, Audience.PUBLIC).value, "deadline": None}
    if record is not None:
        said |= {"cycle": record.cycle, "is_armed": record.is_armed, "stage_at": format_time(record.stage_at)}
        said["deadline"] = format_time(record.deadline) if record.deadline else None
    said["delivered"] = sorted(standing.delivered) if standing else []
    return {"stage": stage, "escalation": said}


def _chosen(judge: Judge, name: str | None) -> list[Escalation]:
    rows = judge.policy.escalations
    if not rows:
        raise UsageError(
            "these packs have no escalation", advice="docs/escalations.md shows one; --packs names the packs with it"
        )
    if name is not None and name not in rows:
        raise UsageError(
            f"these packs have no escalation {shown(name)}{near_miss(name, rows)}",
            advice=f"they have {', '.join(sorted(rows))}",
        )
    return [Escalation.of(rows[one]) for one in sorted(rows) if name in {None, one}]


def _records(ledger: Ledger | None, chosen: list[Escalation]) -> dict[str, Record | None]:
    if ledger is None:
        return dict.fromkeys((one.name for one in chosen), None)
    with ledger.store.reading() as connection:
        return {one.name: record_of(connection, one.name) for one in chosen}


def _unknown(ledger: Ledger, judge: Judge) -> list[str]:
    """Return a sentence for each escalation that began and that the policy does not have."""
    with ledger.store.reading() as connection:
        begun = begun_in(connection)
    return [
        f"the ledger has an escalation {shown(one)} that these packs do not have: nothing is done of it"
        for one in begun
        if one not in judge.policy.escalations
    ]


def _standing(ledger: Ledger | None, record: Record | None, escalation: Escalation) -> Standing | None:
    if ledger is None or record is None:
        return None
    with ledger.store.reading() as connection:
        return standing_of(connection, record, escalation)


def _run(
    asker: Asker, judge: Judge, ledger: Ledger | None, record: Record | None, *, may_have_ended: bool
) -> tuple[Run, dict[str, Any]]:
    """Return the run of a cycle and the facts around it; its repository was fixed when it began."""
    roster: Mapping[str, Any] = judge.policy.roster
    run, facts = asker.run(roster), asker.facts(roster)
    if record is None or ledger is None:
        return run, facts
    with ledger.store.reading() as connection:
        rows = connection.execute(_STATE, (record.run_id,))
    state = str(rows[0][0]) if rows else "gone"
    if state not in GOING_ON:
        if may_have_ended:
            return run, facts
        raise UsageError(
            f"the run {record.run_id} of the escalation has ended ({state}), so nothing more is done of this cycle",
            advice=f"`orch reset {record.name}` begins another",
        )
    facts.pop("repository", None)
    return run._replace(id=record.run_id, repository=None, session=None), facts
