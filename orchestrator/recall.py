"""Gives a recorded question back, so that another policy can be tried on it. Decides nothing, records nothing."""

from collections.abc import Mapping
from typing import Any

from orchestrator import clock
from orchestrator.choices import Mode, Point
from orchestrator.decide import Circumstances, Question
from orchestrator.errors import LedgerError

_MADE_ANEW = frozenset({"request_errors", "point", "time", "override", "action_digest", "change_digest", "path_limit"})
"""Facts that are made for each decision."""


def question_of(payload: Mapping[str, Any]) -> tuple[Question, Circumstances]:
    """Return what was asked, as of then, out of the payload of an `orch.decision` event.

    What was masked stays masked, so a rule that looks at it may judge otherwise.

    Raises:
        LedgerError: this is no payload of a decision.
    """
    request, facts, label = payload.get("request"), payload.get("facts"), payload.get("label", "")
    if not isinstance(request, dict) or not isinstance(facts, dict) or not isinstance(label, str):
        raise LedgerError("this event carries no question; expected one of type orch.decision, not erased")
    known = {name: value for name, value in facts.items() if name not in _MADE_ANEW}
    claims = tuple(str(one).partition(": ")[2] for one in payload.get("claims", ()))
    override = facts.get("override")
    circumstances = Circumstances(
        point=Point(facts["point"]),
        override=Mode(override) if override else None,
        now_ns=clock.parse_time(facts["time"]),
        all_paths="path_limit" in facts,
    )
    return Question(request, {}, claims, label, known=lambda _asked, _facts: known), circumstances
