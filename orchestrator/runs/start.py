"""Starts what `orch run` names, or finds the run that it is to go on with. Carries nothing out."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator import jobs, outbox
from orchestrator.adapter import Delivery
from orchestrator.asker import Asker
from orchestrator.errors import UsageError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.load import load
from orchestrator.names import shown
from orchestrator.order import ESCALATION
from orchestrator.place import here
from orchestrator.plans.model import Plan
from orchestrator.runs import listing
from orchestrator.runs.begin import begin
from orchestrator.runs.dry import Rehearsal, rehearse
from orchestrator.settings import Settings

_OPENED = ("/dev/", "/proc/")
"""Below these lies what is open already, such as /dev/stdin; whoever reads it judges it."""
_KEY_CHARS = 8
"""So much of a key tells which is meant."""
_GOING = """SELECT id, plan_digest FROM runs WHERE name = ? AND state IN ('running', 'waiting', 'cancelling')
ORDER BY started_at DESC, id DESC LIMIT 1"""
_ONE = "SELECT id, plan_digest FROM runs WHERE id = ? AND state IN ('running', 'waiting', 'cancelling')"


class Asked(NamedTuple):
    """What somebody wants run."""

    what: str
    """A plan's file, or a job's name."""
    inputs: Mapping[str, str]
    mode: str = "automated"
    root: Path | None = None
    """None for the job's own folder, or the current one."""
    run: str | None = None
    """The run's id; None draws one, or finds the newest that has not ended."""


class Source(NamedTuple):
    """What is run, once it is read."""

    plan: Plan
    kind: str
    """`plan` or `job`."""
    root: Path


class Found(NamedTuple):
    """A run to go on with."""

    run_id: str
    is_other_plan: bool
    """Whether it was begun by another version of the plan, which it goes on with."""


class Settled(NamedTuple):
    """What a person's word was recorded of."""

    name: str
    """The order's."""
    action: str
    has_plan: bool
    """Whether its run can go on; else it is one that `orch act --run` made."""
    is_tick: bool = False
    """Whether the run is a cycle of an escalation, which the next tick goes on with."""


def source_of(asked: Asked, settings: Settings) -> Source:
    """Return the plan in a file, or the plan that a job is.

    Raises:
        UsageError: it is neither.
        PackError: the plan is wrong.
    """
    file = Path(asked.what)
    if not jobs.is_job(settings, asked.what):
        _must_be_readable(asked.what)
    if file.is_file() or not jobs.is_job(settings, asked.what):
        if not file.is_file() and not file.suffix and "/" not in asked.what:
            jobs.named(settings, asked.what)  # says which jobs there are
        from orchestrator.plans.read import read_plan

        return Source(read_plan(file), "plan", _folder(asked.root or here()))
    cwd = jobs.named(settings, asked.what).cwd
    return Source(jobs.plan_of(settings, asked.what), "job", _folder(asked.root or (Path(cwd) if cwd else here())))


def _must_be_readable(what: str) -> None:
    """Refuse what is no plan's file for a reason that can be told.

    Raises:
        UsageError: it is empty, `-`, a folder, or a pipe, device or socket that was not handed over open.
    """
    expected, path = "expected the file of a plan, or a job's name", Path(what)
    if what in {"", "-"}:
        seen = "an empty name" if not what else "`-` is standard input, which `orch run` does not read"
        advice = "`orch jobs` lists the jobs" if not what else "write the plan to a file, and name that"
        raise UsageError(f"{seen}; {expected}", advice=advice)
    try:
        is_folder, is_special = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:
        raise UsageError(f"cannot read {shown(what)}: {error.strerror}; {expected}") from error
    if is_folder:
        raise UsageError(f"{shown(what)} is a folder; {expected}", advice="name the plan's file in it")
    if is_special and not what.startswith(_OPENED):
        raise UsageError(
            f"{shown(what)} is a pipe, a device or a socket; {expected}",
            advice="write the plan to a file, and name that",
        )


def prepared(source: Source, asked: Asked, settings: Settings) -> Callable[[Ledger], str]:
    """Return what records a run of this source as begun, and gives its id; nothing is recorded yet.

    It raises UsageError where the run exists, and LedgerError where it cannot be recorded.

    Raises:
        UsageError: an input is missing or wrong.
        PackError: the packs' roster cannot be read.
    """
    from orchestrator.plans.read import inputs_for

    inputs = inputs_for(source.plan, asked.inputs)
    asker = Asker.of(settings, source.root, os.environ)
    roster = load(asker.settings, cwd=source.root).roster
    run = asker.run(roster)._replace(id=asked.run)

    def begun(ledger: Ledger) -> str:
        return begin(
            ledger,
            source.plan,
            inputs=inputs,
            mode=asked.mode,
            root=source.root,
            settings=asker.settings,
            run=run,
            kind=source.kind,
            facts=asker.facts(roster),
        )

    return begun


def rehearsed(source: Source, asked: Asked, settings: Settings) -> Rehearsal:
    """Return what would become of this source; nothing is recorded, written or called.

    Raises:
        UsageError: an input is missing or wrong.
    """
    from orchestrator.plans.read import inputs_for

    asker = Asker.of(settings, source.root, os.environ)
    roster = load(asker.settings, cwd=source.root).roster
    return rehearse(
        source.plan,
        inputs=inputs_for(source.plan, asked.inputs),
        root=source.root,
        settings=asker.settings,
        run=asker.run(roster)._replace(id=None),
        facts=asker.facts(roster),
    )


def unfinished(ledger: Ledger, source: Source, asked: Asked) -> Found:
    """Return the run that is to go on: the one named, else the newest of this plan or job that has not ended.

    Raises:
        UsageError: there is none.
    """
    statement, given = (_ONE, asked.run) if asked.run else (_GOING, source.plan.name)
    with ledger.store.reading() as connection:
        rows = connection.execute(statement, (given,))
    if not rows:
        what = f"the run {shown(asked.run)} is not there or has ended" if asked.run else ""
        raise UsageError(
            what or f"no run of {shown(source.plan.name)} is unfinished", advice="leave --resume out to begin a new one"
        )
    return Found(str(rows[0][0]), str(rows[0][1]) != source.plan.digest)


def whole_id(settings: Settings, word: str) -> str:
    """Return the id of the run that a word begins; the word itself where none begins so.

    Raises:
        UsageError: several runs begin so.
        LedgerError: there is no ledger, or it cannot be read.
    """
    with open_ledger(settings.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
        return listing.run_that_begins(connection, word) or word


def asker_of(settings: Settings) -> str:
    """Return who calls, as far as this machine knows."""
    return Asker.of(settings, here(), os.environ).subject({})


def settle_unknown(settings: Settings, run_id: str, step: str, state: Delivery) -> Settled:
    """Record a person's word on what became of a step that nobody knows of.

    `step` is `phase/step`, the step alone, or how the action's key begins: of several recipients that is one's.

    Raises:
        UsageError: nothing is unknown of it.
    """
    with open_ledger(settings.ledger, must_exist=True) as ledger:
        with ledger.store.reading() as connection:
            rows = outbox.rows_in(connection, (outbox.Standing.UNKNOWN, outbox.Standing.DISPATCHING), run_id)
        named = [row for row in rows if row.name == step or row.name.endswith(f"/{step}")]
        keyed = [] if named or len(step) < _KEY_CHARS else [row for row in rows if row.key.startswith(step)]
        names = {row.name for row in (*named, *keyed)}
        if len(names) > 1:
            raise UsageError(f"{shown(step)} is more than one: {', '.join(sorted(names))}", advice="name one of them")
        name = names.pop() if names else step
        by, keys = asker_of(settings), [row.key for row in keyed]
        rows = outbox.resolve(ledger, run_id, name, state, by=by, keys=keys)
        with ledger.store.reading() as connection:
            found = connection.execute("SELECT plan_digest, kind FROM runs WHERE id = ?", (run_id,))
        digest, kind = found[0] if found else ("", "")
        return Settled(name, rows[0].action, has_plan=bool(digest), is_tick=kind == ESCALATION)


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise UsageError(f"there is no folder {shown(str(root))} for the run's files", advice="name it with --root")
    return root.resolve()
