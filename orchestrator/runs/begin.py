"""Begins a run: everything that it will need is written down in one event, and nothing is done yet."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import clock, names, record
from orchestrator.choices import Point
from orchestrator.digest import canonical
from orchestrator.errors import LedgerError, PackError, Problem, UsageError
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import is_text, shown
from orchestrator.plans.model import Plan
from orchestrator.runs.journal import GOES_ON, payload_of
from orchestrator.settings import Settings

MODES = ("automated", "manual")
"""How a run goes on from phase to phase; a rehearsal begins none."""
_MAX_PACK_BYTES = 1024 * 1024
_DAY = len("2026-11-21")
_DRAWN_BYTES = 4
_NAME_CHARS = 63


def begin(
    ledger: Ledger,
    plan: Plan,
    *,
    inputs: Mapping[str, Any],
    mode: str,
    root: Path,
    settings: Settings,
    run: record.Run,
    run_packs: Sequence[str] = (),
    kind: str = "plan",
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Return the id of a run that is now recorded as started.

    `run_packs` are paths of packs that narrow it, beside those of the settings; their texts are recorded. `inputs` are
    typed (`plans.read.inputs_for`). Where `run.id` is None, an id is drawn. `facts` are what the host knows beside the
    repository and the delegation: trigger, contributors.

    Raises:
        UsageError: a run of that id exists, the folder is not there, a path is no UTF-8, or plan or inputs hold a
            secret.
        PackError: a run pack cannot be read.
        LedgerError: it cannot be recorded.
    """
    draft = drafted(
        ledger,
        plan,
        inputs=inputs,
        mode=mode,
        root=root,
        settings=settings,
        run=run,
        run_packs=run_packs,
        kind=kind,
        facts=facts,
    )
    with ledger.store.writing() as connection:
        start(ledger, connection, draft)
    return draft.run_id


def drafted(
    ledger: Ledger,
    plan: Plan,
    *,
    inputs: Mapping[str, Any],
    mode: str,
    root: Path,
    settings: Settings,
    run: record.Run,
    run_packs: Sequence[str] = (),
    kind: str = "plan",
    facts: Mapping[str, Any] | None = None,
) -> Draft:
    """Return what `begin` appends, unrecorded, for `start` in a transaction with more in it. Raises as `begin`."""
    if mode not in MODES:
        raise UsageError(f"the mode {shown(mode)}; expected {' or '.join(MODES)}", advice="--mode automated")
    paths = tuple(dict.fromkeys((*settings.run_packs, *run_packs)))
    folder = str(real_root(root))
    _must_be_recordable({"plan's file": [plan.source], "run's folder": [folder], "run pack": paths})
    repository = (run.repository or settings.repository or "").lower()
    payload = {
        "kind": kind,
        "name": plan.name,
        "plan": plan.to_json(),
        "plan_digest": plan.digest,
        "inputs": dict(inputs),
        "mode": mode,
        "root": folder,
        "run_packs": [pack_of(path) for path in paths],
        "subject": run.subject,
        "delegation": list(settings.delegation),
        "trigger": run.trigger,
        "event": run.event,
        "facts": dict(facts or {}),
        "point": Point.TICK.value if settings.point is Point.TICK else "",
        "repository": repository,
        "session": run.session or "",
        "config_digest": record._config_digest(),  # noqa: SLF001  # what every start of a run says
    }
    refuse_secrets(ledger.mask, payload)
    run_id = _id_of(run, plan)
    return Draft("orch.run.started", run_id, run.subject, payload, repository=repository, traceparent=run.traceparent)


def _id_of(run: record.Run, plan: Plan) -> str:
    run_id = run.id if run.id is not None else drawn_id(plan.name)
    if problem := names.run_problem(run_id):
        raise UsageError(f"the run {shown(run_id)}; expected {problem}")
    return run_id


def start(ledger: Ledger, connection: Connection, draft: Draft) -> None:
    """Append a start to an open transaction; it has to be the first event of its chain, so of two at once one wins.

    Raises:
        UsageError: a run of that id exists.
        LedgerError: it cannot be recorded.
    """
    event = append(ledger, connection, draft)
    if event.fields["runseq"] != 1:
        raise _exists(connection, draft.run_id)


def _must_be_recordable(paths: Mapping[str, Sequence[str]]) -> None:
    for what, path in ((what, path) for what, each in paths.items() for path in each):
        if not is_text(path):
            raise UsageError(
                f"the {what} has the path {shown(path)}, which is no UTF-8; expected one in UTF-8, as it is recorded",
                advice="rename it, or name another one",
            )


def _exists(connection: Connection, run_id: str) -> UsageError:
    """Return why no run of this id can begin, and what to do: only one that has not ended can be gone on with."""
    rows = connection.execute("SELECT state, plan_digest FROM runs WHERE id = ?", (run_id,))
    state, plan_digest = map(str, rows[0]) if rows else ("", "")
    if state in GOES_ON and plan_digest:
        advice = f"`orch resume {run_id}` goes on with it; for another one name another id"
        return UsageError(f"the run {run_id} exists already", advice=advice)
    more = f" and has ended ({state})" if state and state not in GOES_ON else ""
    return UsageError(
        f"the run {run_id} exists already{more}",
        advice="name another id with --run, or leave --run out to have one drawn",
    )


def real_root(root: Path) -> Path:
    """Return the folder of a run, symlinks resolved.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        real = root.expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"there is no folder {shown(str(root))} for the run",
            advice="make it, or name this machine's with --root DIR",
        ) from error
    if not real.is_dir():
        raise UsageError(f"{shown(str(root))} is a file; expected the folder of the run", advice="--root DIR")
    return real


def drawn_id(name: str) -> str:
    """Return a new run's id: the plan's name, the day, and chance."""
    day = clock.format_time(clock.now_ns())[:_DAY].replace("-", "")
    return f"{name[:_NAME_CHARS]}-{day}-{os.urandom(_DRAWN_BYTES).hex()}"


def refuse_secrets(mask: Mask, payload: Mapping[str, Any]) -> None:
    """Refuse what the ledger would hide: the run could not be gone on with from the record.

    Raises:
        UsageError: the plan, an input or a run pack holds a secret.
    """
    if mask.value(payload) == payload:
        return
    where = next((name for name in ("inputs", "plan", "run_packs") if _hides(mask, payload[name])), "its start")
    if where == "inputs":
        one = next((name for name, value in payload[where].items() if _hides(mask, value)), "")
        what, advice = f"the input {one}", "read it where it is needed, as ${{ secrets.NAME }}"
    else:
        what = {"plan": "the plan", "run_packs": "a run pack"}.get(where, where)
        advice = "put it under `secrets:` of the operator's file, and write ${{ secrets.NAME }} in its place"
    raise UsageError(f"{what} holds a secret, which would be recorded", advice=advice)


def _hides(mask: Mask, value: object) -> bool:
    return canonical(mask.value(value)) != canonical(value)


def pack_of(path: str) -> dict[str, str]:
    """Return a run pack as it is recorded: `{name, text}`.

    Raises:
        UsageError: it cannot be read.
        PackError: it is too large, or no UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the run pack {shown(path)} cannot be read: {reason}", advice="--run-pack FILE") from error
    if len(data) > _MAX_PACK_BYTES:
        raise PackError([Problem(path, 0, 0, f"more than {_MAX_PACK_BYTES:,} bytes", "a run pack")])
    try:
        return {"name": Path(path).name, "text": data.decode("utf-8")}
    except UnicodeDecodeError as error:
        raise PackError([Problem(path, 0, 0, "bytes that are no UTF-8", "a run pack in YAML")]) from error


def started(ledger: Ledger, run_id: str) -> dict[str, Any]:
    """Return what was recorded when a run started.

    Raises:
        UsageError: there is no such run, or it is no plan's.
        LedgerError: it was erased, or is damaged.
    """
    sql = """SELECT e.type, e.header, p.salt, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
             WHERE e.run_id = ? AND e.run_seq = 1"""
    with ledger.store.reading() as connection:
        rows = connection.execute(sql, (run_id,))
    if not rows or rows[0][0] != "orch.run.started":
        raise UsageError(f"there is no run {run_id[:100]!r} in this ledger", advice="`orch runs` lists them")
    if rows[0][3] is None:
        raise LedgerError(f"what the run {run_id} was begun with was erased", advice="it cannot go on; begin a new run")
    said = payload_of(*rows[0][1:])
    if not said.get("plan"):
        raise UsageError(f"the run {run_id} is no plan's: nothing of it is executed", advice="`orch runs` lists those")
    return said
