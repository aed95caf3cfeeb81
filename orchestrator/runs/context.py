"""What a segment of a run works with: the plan as it was recorded, its inputs, and who carries its orders out."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import record
from orchestrator.act import Executor, Lease
from orchestrator.choices import Point
from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.plans.model import Approvals, Plan
from orchestrator.runs.begin import real_root, started
from orchestrator.runs.journal import VERIFY, Journal
from orchestrator.settings import Settings

_PLANS = 32
"""So many plans are kept ready in a process."""


class RunContext(NamedTuple):
    """An open run. For one thread: its executors have one connection to the ledger."""

    run_id: str
    plan: Plan
    inputs: Mapping[str, Any]
    mode: str
    """`automated` or `manual`."""
    root: Path
    """Where the run's files are; symlinks resolved."""
    run: record.Run
    settings: Settings
    """As they are here, the run's own delegation in them."""
    ledger: Ledger
    lease: Lease
    segment: int
    """The number of the segment when this was opened."""
    executor: Executor
    """Who carries the orders out."""
    open_gate: Callable[[], Executor]
    """Gives `gate`; opened when it is needed first."""
    journal: Journal

    @property
    def gate(self) -> Executor:
        """Who decides as `executor`, under one more pack: whoever opens a gate has to approve."""
        return self.open_gate()

    @property
    def facts_of_run(self) -> dict[str, Any]:
        """What a plan may know of its run."""
        return {
            "id": self.run_id,
            "mode": self.mode,
            "name": self.plan.name,
            "repository": self.run.repository or "",
        }


def open_context(
    settings: Settings,
    run_id: str,
    *,
    ledger: Ledger,
    lease: Lease,
    root: Path | None = None,
    may_have_ended: bool = False,
) -> RunContext:
    """Return an open run as it was recorded; `root` is this machine's folder where it is another than it was begun in.

    Of one that `may_have_ended` nothing is carried out once it has, but the orders that tell of it.

    Raises:
        UsageError: there is no such run, it is no plan's, it has ended, or its folder is not there.
        PackError: a pack is wrong.
        DecisionError: there is no engine to trust.
        LedgerError: what is recorded of it is erased, or does not fit together.
    """
    said = started(ledger, run_id)
    plan = _plan(ledger, run_id, said)
    run = record.Run(
        run_id,
        said["session"] or None,
        said["repository"] or None,
        said["subject"],
        said["trigger"],
        event=said["event"],
        may_have_ended=may_have_ended,
    )
    settings = settings._replace(run_packs=(), delegation=tuple(said["delegation"]), repository=run.repository)
    if said.get("point"):  # what a tick began is enforced as at the tick, whoever carries it on
        settings = settings._replace(point=Point(said["point"]))
    place = real_root(root or Path(said["root"]))
    packs = tuple(said["run_packs"])

    def opened(packs: Sequence[Mapping[str, str]]) -> Executor:
        return Executor.open(
            settings, run, root=place, ledger=ledger, lease=lease, facts=said["facts"], run_packs=packs
        )

    executor = opened(packs)
    ledger = executor.ledger or ledger  # its mask knows the operator's secrets
    journal = Journal(ledger, lease, run_id, run.subject, run.repository or "", tuple(one.id for one in plan.phases))
    return RunContext(
        run_id=run_id,
        plan=plan,
        inputs=said["inputs"],
        mode=said["mode"],
        root=place,
        run=run,
        settings=settings,
        ledger=ledger,
        lease=lease,
        segment=journal.standing().segment,
        executor=executor,
        open_gate=cache(lambda: opened((*packs, gate_pack(plan.approvals)))),
        journal=journal,
    )


def gate_pack(approvals: Approvals) -> dict[str, str]:
    """Return the run pack under which a phase is opened by people."""
    rule = {
        "id": "opened-by-people",
        "title": "The plan's approvers open this phase",
        "effect": "require",
        "actions": ["approve_phase"],
        "approvals": {"role": approvals.role, "count": approvals.count},
    }
    pack = {
        "apiVersion": "orch/v1",
        "kind": "PolicyPack",
        "metadata": {"name": "gate", "version": "1.0.0"},
        "default": "inherit",
        "rules": [rule],
    }
    return {"name": "gate.yaml", "text": json.dumps(pack)}  # JSON is YAML


def _plan(ledger: Ledger, run_id: str, said: Mapping[str, Any]) -> Plan:
    """Return the plan as recorded; every digest of it has to agree."""
    plan, digest = _plan_of(json.dumps(said["plan"]))
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT plan_digest FROM runs WHERE id = ?", (run_id,))
    if not rows or {digest, said["plan_digest"]} != {rows[0][0]}:
        raise LedgerError(
            f"the plan that the run {run_id} was begun with does not have the digest on record", advice=VERIFY
        )
    return plan


@lru_cache(maxsize=_PLANS)
def _plan_of(text: str) -> tuple[Plan, str]:
    """Return a plan and its digest; a run asks for them with each of its phases."""
    plan = Plan.of(json.loads(text))
    return plan, plan.digest
