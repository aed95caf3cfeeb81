"""Tells how a run stands where its plan asks for that: by an issue, by status reports. Carries nothing else out.

Whoever settles a run tells of it. Where that process ended in between, whoever finds the run later does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
from orchestrator.runs import reports, tracking
from orchestrator.runs.begin import started
from orchestrator.runs.context import RunContext, open_context
from orchestrator.runs.engine import Engine
from orchestrator.runs.lease import LeaseLost


def follow(engine: Engine, context: RunContext) -> None:
    """Bring issue and reports up to what the ledger says of a run. A failure is noted, no more."""
    told: list[tuple[str, Callable[[], Any]]] = []
    if context.plan.tracking:
        told.append(("tracking", lambda: tracking.follow(context)))
    if context.plan.reports:
        told.append(("reports", lambda: reports.write(context.ledger, context.run_id, context.root)))
    for what, work in told:
        try:
            found = work()
            if isinstance(found, dict) and found["problems"]:
                engine.note(f"{what} is behind", run=context.run_id, reason=found["problems"][0])
        except LeaseLost:
            raise
        except (OrchError, OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            engine.note(f"{what} failed", run=context.run_id, reason=f"{type(error).__name__}: {error}")


class ElsewhereError(UsageError):
    """The folder of a run is not on this machine."""


def tell(engine: Engine, ledger: Ledger, run_id: str) -> None:
    """Do as `follow` for a run that waits or has ended; of one that has, nothing else can be carried out any more.

    Raises:
        ElsewhereError: its folder is not here.
        LeaseLost: another process has taken this one's work.
    """
    root = engine.options.root
    try:
        _must_be_here(root or Path(started(ledger, run_id)["root"]))
        context = open_context(
            engine.settings, run_id, ledger=ledger, lease=engine.lease, root=root, may_have_ended=True
        )
    except (ElsewhereError, LeaseLost):
        raise
    except OrchError as error:
        engine.note("cannot be told of", run=run_id, reason=str(error))
        return
    follow(engine, context)


def _must_be_here(folder: Path) -> None:
    if not folder.is_dir():
        raise ElsewhereError(
            f"there is no folder {shown(str(folder))} for the run",
            advice="make it, or name this machine's with --root DIR",
        )


def is_untold(ledger: Ledger, run_id: str, root: Path | None = None) -> bool:
    """Return whether something of a run that has ended is not told yet, and could be on this machine.

    Raises:
        UsageError: it is no plan's.
        LedgerError: what is recorded of it is erased.
    """
    said = started(ledger, run_id)
    plan, place = said["plan"], root or Path(said["root"])
    if not place.is_dir():
        return False
    if plan.get("reports") is not None and not reports.has_final(place, plan["reports"], run_id):
        return True
    return plan.get("tracking") is not None and not tracking.is_over(ledger, run_id)
