"""What a tick says of itself where an old deadline is kept: as if the shown one counted, until others are told.

Whoever stands beside then learns no more of a tick than of `orch status`. Changes nothing.
"""

from orchestrator.escalations import seal
from orchestrator.escalations.advance import Why, advance
from orchestrator.escalations.ahead import DETAIL, next_stage, until_ns
from orchestrator.escalations.kept import Record, standing_of
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.ticked import Ticked
from orchestrator.ledger.store import Ledger

_BY_THE_CLOCK = frozenset(why.value for why in Why)


def as_shown(made: Ticked, escalation: Escalation, record: Record, ledger: Ledger) -> Ticked:
    """Return a tick as it may be seen; one that has entered a stage which reaches others is as it is.

    Raises:
        SealError: nobody can tell which deadline counts.
    """
    if not seal.real(record, ledger).is_kept:
        return made
    if escalation.stages[escalation.place_of(record.stage)].is_outward:
        return made  # messages to others were sent, and that is seen
    shown = seal.shown(escalation, record, ledger, made.now_ns)
    with ledger.store.reading() as connection:
        step = advance(escalation, standing_of(connection, shown, escalation), made.now_ns)
    outward = {stage.name for stage in escalation.stages if stage.is_outward}
    own = {f"enter/{stage.name}" for stage in escalation.stages if stage.name not in outward}
    made = made._replace(
        stage=shown.stage,
        entered=(),
        decisions=tuple(one for one in made.decisions if not _is_of(one.name, own)),
        owed=tuple(one for one in made.owed if one.stage in outward),
        target=escalation.stages[step.target].name,
        next_stage=next_stage(escalation, shown, step),
        until_ns=until_ns(escalation, shown, step),
    )
    return made._replace(why=step.why.value, detail=DETAIL[step.why]) if made.why in _BY_THE_CLOCK else made


def _is_of(name: str, own: set[str]) -> bool:
    """Return whether an order is that of entering one of these stages, also where it was asked for anew."""
    return name in own or name.rpartition("/")[0] in own
