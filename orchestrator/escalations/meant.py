"""Which escalations a tick is of, and which time it is for them. Reads alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypedDict

from orchestrator.errors import Exit, OrchError, PackError, UsageError
from orchestrator.escalations import timekeeping
from orchestrator.escalations.advance import Why
from orchestrator.escalations.carry import Stop
from orchestrator.escalations.kept import Record, begun_in, last_of, record_of
from orchestrator.escalations.opened import Opened, opened
from orchestrator.escalations.seal import SealError
from orchestrator.escalations.ticked import Ticked
from orchestrator.escalations.timekeeping import Judged, Mark, Reading
from orchestrator.ledger.backup import KEY, SEAL_KEY
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
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


class _Given(TypedDict):
    ledger: Ledger | None
    lease: Lease | None
    root: Path
    may_have_ended: bool
    tells_lost: bool


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
    given: _Given = {"ledger": ledger, "lease": lease, "root": root, "may_have_ended": True, "tells_lost": False}
    try:
        all_of_them = opened(settings, name=name, **given)
    except (UsageError, PackError):
        names = [] if name is not None else _names(settings, root)
        if len(names) < 2:  # noqa: PLR2004  # alone
            raise
        for each in names:
            try:
                yield from opened(settings, name=each, **given)
            except (UsageError, PackError) as error:
                yield Ticked(each, why="configuration", detail=said(error), exit_code=error.exit_code)
    else:
        names = [one.escalation.name for one in all_of_them]
        yield from all_of_them
    if name is None and ledger is not None:
        yield from _lost(ledger, names)


def folder() -> Path:
    """Return where the files of escalations lie."""
    cwd = here()
    return (repository_root(cwd) or cwd).resolve()


def unbegun(one: Opened) -> Ticked:
    """Return what there is to say of an escalation of which no cycle goes on."""
    name, record = one.escalation.name, one.record
    if record is None and (lacks := _lacking(one.executor.ledger)):
        return Ticked(
            name, why="damaged", detail=f"nothing is done: {lacks}", exit_code=Exit.UNDECIDABLE, notes=one.notes
        )
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
    """Return what there is to say where nobody can tell which deadline counts, or where it stands."""
    return Ticked(
        record.name,
        record.cycle,
        deadline_ns=record.deadline,
        stage=record.stage,
        why="seal" if isinstance(error, SealError) else "damaged",
        detail=f"nothing is done: {said(error)}",
        exit_code=Exit.UNDECIDABLE,
        notes=one.notes,
    )


def reading_of(manner: Manner) -> Reading:
    """Return what the clocks say, or the time that somebody gave."""
    if manner.now_ns is None:
        return timekeeping.read()
    return Reading(manner.now_ns, boot_ns=timekeeping.boot_ns(), is_given=True)


def mark_of(record: Record) -> Mark:
    """Return the high-water mark that the ledger keeps."""
    return Mark(record.clock, record.boot, record.boot_at)


def said(error: OrchError) -> str:
    """Return an error with its next step, as one text."""
    return f"{error} ({error.advice})" if error.advice else str(error)


def _lost(ledger: Ledger, names: list[str]) -> Iterator[Ticked]:
    """Yield what is wrong with each escalation that counts down in the ledger, and that the policy does not have."""
    with ledger.store.reading() as connection:
        for name in sorted(set(begun_in(connection)) - set(names)):
            record, last = record_of(connection, name), last_of(connection, name)
            is_over = last is not None and last.why == Why.LAST.value and not last.owed
            if record is None or not record.is_armed or is_over:
                continue
            detail = (
                f"the ledger has an escalation {shown(name)} that counts down, and these packs do not have it: nothing "
                f"is done of it (give it back its name, or `orch disarm {name}` under packs that have it)"
            )
            yield Ticked(
                name,
                record.cycle,
                deadline_ns=record.deadline,
                stage=record.stage,
                why="configuration",
                detail=detail,
                exit_code=Exit.PACK,
            )


def _lacking(ledger: Ledger | None) -> str:
    """Return what lies beside a ledger that it does not know, so that it is another one than it was; "" for nothing."""
    if ledger is None:
        return ""
    with ledger.store.reading() as connection:
        has_codes = bool(connection.execute("SELECT 1 FROM renewal_codes LIMIT 1"))
        has_heads = bool(connection.execute("SELECT 1 FROM heads LIMIT 1"))
    beside = [(SEAL_KEY, has_codes, "no codes"), (KEY, has_heads, "no tree heads")]
    for file, is_known, none in beside:
        if (ledger.folder / file).exists() and not is_known:
            return (
                f"{file} lies beside a ledger that has {none}, so the ledger that it belongs to may be gone "
                "(put that back: `orch ledger restore`; where it is a new one, `orch code new` makes codes for it)"
            )
    return ""


def _names(settings: Settings, root: Path) -> list[str]:
    from orchestrator.load import load

    return sorted(load(settings, cwd=root).escalations)
