"""Whether what an escalation will write to its operator could be sent: every text rendered, and the library asked.

A reminder that is denied when it is due warns nobody, so this is looked at beforehand. Sends and changes nothing.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.model import Deed, Escalation
from orchestrator.escalations.plain import texts
from orchestrator.escalations.texts import rendered, situation_of
from orchestrator.opa import Opa

_RULE = "orch/way-in"
_DEADLINE_NS = 1_900_000_000 * SECOND_NS
_LATE_NS = 31_536_000 * SECOND_NS
"""A stage can be entered when it is due or far too late; templates may say something else then."""


class Refused(NamedTuple):
    """A text for the operator that would be denied when it is due."""

    escalation: str
    stage: str
    deed: str
    why: str
    """What was found in it, as the finding says it."""


def refused(escalations: Iterable[Escalation], bundle: Path, opa: Opa) -> list[Refused]:
    """Return which actions of operators' stages carry a way in, each once, in order; `bundle` is the policy's own.

    Raises:
        UsageError: a template cannot be rendered.
        DecisionError: OPA gave no answer.
    """
    asked = list(dict.fromkeys(each for one in escalations for each in _asked(one)))
    if not asked:
        return []
    batch = ",".join(body for _, body in asked)
    answers = opa.evaluate(bundle, f'{{"batch":[{batch}]}}'.encode())
    found = [
        Refused(*where, str(finding["message"]))
        for (where, _), answer in zip(asked, answers, strict=True)
        for finding in answer["findings"]
        if finding["rule"] == _RULE
    ]
    return list(dict.fromkeys(found))


def _asked(escalation: Escalation) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield escalation, stage and action, and what is asked of it, as JSON."""
    for place, stage in enumerate(escalation.stages):
        if not place or stage.is_outward:
            continue
        for deed in stage.deeds:
            for late_ns, is_drill in ((0, False), (_LATE_NS, False), (0, True)):
                situation = situation_of(
                    escalation,
                    place,
                    cycle=1,
                    deadline_ns=_DEADLINE_NS,
                    entered_at_ns=due_ns(escalation, place, _DEADLINE_NS) + late_ns,
                    is_drill=is_drill,
                )
                properties = {**deed.parameters, **rendered(deed, situation, escalation.constants)}
                said = _question(escalation, stage.name, deed, properties)
                yield (escalation.name, stage.name, deed.id), json.dumps(said, default=str, sort_keys=True)


def _question(escalation: Escalation, stage: str, deed: Deed, properties: dict[str, Any]) -> dict[str, Any]:
    known = {"name": escalation.name, "of_stage": stage, "audience": "operator", "stage": stage}
    facts: dict[str, Any] = {
        "request_errors": [],
        "point": "tick",
        "time": format_time(_DEADLINE_NS),
        "override": None,
        "action_digest": "",
        "change_digest": None,
        "stage": stage,
        "escalation": known | {"texts": texts(properties, deed.action)},
    }
    return {
        "subject": {"type": "host", "id": "host:orch"},
        "action": {"name": deed.action, "properties": properties},
        "resource": {"type": "channel", "id": "reminder"},
        "context": {},
        "facts": facts,
    }
