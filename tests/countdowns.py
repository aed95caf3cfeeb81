"""Escalations as values, built by hand: the default one, and changes to it."""

from typing import Any

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.escalations.model import Audience, CatchUp, Deed, Escalation, Mode, Renewal, Stage, Standing
from orchestrator.escalations.timetable import Gaps

MINUTE, HOUR, DAY = 60, 3_600, 86_400
"""In seconds."""
DEADLINE = parse_time("2026-11-21T12:00:00Z")
CRON = Gaps(53 * MINUTE, 130 * MINUTE, 475 * MINUTE)
"""How far apart the ticks of a 30-minute cron of a public CI service really come."""
OPERATOR = {"channel": "mail", "to": ["${{ secrets.OPERATOR_MAIL }}"]}
CUSTODIANS = {"channel": "mail", "to": [f"${{{{ secrets.{name}_MAIL }}}}" for name in ("ANNA", "BEN", "CLEO")]}


def at(seconds: int, *, ns: int = 0) -> int:
    """Return the moment so many seconds after the deadline, and so many nanoseconds."""
    return DEADLINE + seconds * SECOND_NS + ns


def mail(name: str, route: dict[str, Any]) -> Deed:
    """Return a message on a route."""
    return Deed(name, "send_message", {**route, "subject": "S", "body": "B"})


def default(**changes: Any) -> Escalation:  # noqa: ANN401  # any field
    """Return the default escalation: reminders 6 h and 1 h before, pre-release 15 min before, partial and full after."""
    stages = (
        Stage("ok", None),
        Stage("remind_6h", -6 * HOUR, deeds=(mail("mail", OPERATOR),)),
        Stage("remind_1h", -HOUR, deeds=(mail("mail", OPERATOR),)),
        Stage("pre_release", -15 * MINUTE, deeds=(mail("mail", OPERATOR),)),
        Stage("partial", MINUTE, Audience.CUSTODIANS, deeds=(mail("letter", CUSTODIANS),)),
        Stage("full", 2 * HOUR, Audience.PUBLIC, deeds=(Deed("page", "write_document", {"path": "release"}),)),
    )
    made = Escalation(
        name="continuity",
        version="1.0.0",
        digest="sha256:" + "0" * 64,
        source="continuity.yaml:1",
        mode=Mode.COUNTDOWN,
        catch_up=CatchUp.WALK,
        grace_s=0,
        stages=stages,
        renewal=Renewal(24 * HOUR),
        routes={"operator": OPERATOR, "custodians": CUSTODIANS},
    )
    return made._replace(**changes)


def strict(**changes: Any) -> Escalation:  # noqa: ANN401  # any field
    """Return the default escalation as it should be used: nothing outward without a notice that stood for a while."""
    stages = list(default().stages)
    stages[3] = stages[3]._replace(min_dwell_s=15 * MINUTE)
    stages[4] = stages[4]._replace(min_dwell_s=HOUR, delivered=("pre_release/mail",), max_wait_s=6 * HOUR)
    return default(stages=tuple(stages))._replace(**changes)


def standing(stage: int = 0, *, since_s: int = -24 * HOUR, **changes: Any) -> Standing:  # noqa: ANN401  # any field
    """Return an armed one at a stage that it entered so many seconds after the deadline."""
    return Standing(is_armed=True, stage=stage, stage_at_ns=at(since_s), deadline_ns=DEADLINE)._replace(**changes)
