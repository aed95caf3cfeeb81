"""Which escalations a tick is of, and which time it is for them. Reads alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import Exit, OrchError, PackError, UsageError
from orchestrator.escalations import timekeeping
from orchestrator.escalations.carry import Stop
from orchestrator.escalations.kept import Record
from orchestrator.escalations.opened import Opened, opened
from orchestrator.escalations.ticked import Ticked
from orchestrator.escalations.timekeeping import Judged, Mark, Reading
from orchestrator.ledger.store import Ledger
from orchestrator.order import Lease
from orchestrator.place import here
from orchestrator.settings import Settings, repository_root


class Manner(NamedTuple):
    """How a tick is made."""

    stop: Stop
    """Told by whoever wants the process to stop."""
    now_ns: int | None = None
    """The time that somebody says it is, nanoseconds since 1970; None reads the clocks."""
    time_file: Path | None = None
    """A signed file that witnesses the time."""
    is_dry: bool = False
    """Whether it is only said what would be: nothing is recorded, sent or asked for outside."""
    told: Callable[[Ticked], None] = lambda _: None
    """Given each escalation's tick once it is over."""


def found(
    settings: Settings, name: str | None, ledger: Ledger | None, lease: Lease | None, root: Path
) -> Iterator[Opened | Ticked]:
    """Yield every escalation that is meant; of one that cannot be opened beside others, what is wrong with it.

    `root` is where files of escalations lie.

    Raises:
        UsageError, PackError: the policy has none of that name, or the only one cannot be opened.
        DecisionError: there is no engine to trust.
        LedgerError: the ledger cannot be read.
    """
    try:
        all_of_them = opened(settings, name=name, ledger=ledger, lease=lease, root=root, may_have_ended=True)
    except (UsageError, PackError):
        names = [] if name is not None else _names(settings, root)
        if len(names) < 2:  # noqa: PLR2004  # alone
            raise
        for each in names:
            try:
                yield from opened(settings, name=each, ledger=ledger, lease=lease, root=root, may_have_ended=True)
            except (UsageError, PackError) as error:
                yield Ticked(each, why="configuration", detail=said(error), exit_code=error.exit_code)
    else:
        yield from all_of_them


def folder() -> Path:
    """Return where the files of escalations lie."""
    cwd = here()
    return (repository_root(cwd) or cwd).resolve()


def unbegun(one: Opened) -> Ticked:
    """Return what there is to say of an escalation of which no cycle goes on."""
    name, record = one.escalation.name, one.record
    if record is None:
        detail = f"it has not begun: `orch set-deadline {name} --hours 24` begins it"
        return Ticked(name, stage=one.escalation.stages[0].name, why="unbegun", detail=detail, notes=one.notes)
    detail = f"the run {record.run_id} of its cycle was ended from outside: `orch reset {name}` begins another"
    return Ticked(
        name,
        record.cycle,
        stage=record.stage,
        why="configuration",
        detail=detail,
        exit_code=Exit.UNDECIDABLE,
        notes=one.notes,
    )


def refused(one: Opened, record: Record, judged: Judged) -> Ticked:
    """Return what there is to say where the clock went back."""
    return Ticked(
        record.name,
        record.cycle,
        now_ns=judged.reading.wall_ns,
        deadline_ns=record.deadline,
        stage=record.stage,
        why="clock",
        detail=f"{judged.detail}: nothing is done until the clock is right",
        exit_code=Exit.UNDECIDABLE,
        notes=one.notes,
    )


def unsealed(one: Opened, record: Record, error: OrchError) -> Ticked:
    """Return what there is to say where nobody can tell which deadline counts."""
    return Ticked(
        record.name,
        record.cycle,
        deadline_ns=record.deadline,
        stage=record.stage,
        why="seal",
        detail=f"nothing is done: {said(error)}",
        exit_code=Exit.UNDECIDABLE,
        notes=one.notes,
    )


def reading_of(manner: Manner) -> Reading:
    """Return what the clocks say, or the time that somebody gave."""
    return timekeeping.read() if manner.now_ns is None else Reading(manner.now_ns, is_given=True)


def mark_of(record: Record) -> Mark:
    """Return the high-water mark that the ledger keeps."""
    return Mark(record.clock, record.boot, record.boot_at)


def said(error: OrchError) -> str:
    """Return an error with its next step, as one text."""
    return f"{error} ({error.advice})" if error.advice else str(error)


def _names(settings: Settings, root: Path) -> list[str]:
    from orchestrator.load import load

    return sorted(load(settings, cwd=root).escalations)
