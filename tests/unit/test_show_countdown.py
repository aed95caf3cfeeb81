"""What a person reads of an escalation in the record; payloads may be erased, of a newer orch or hostile."""

import io
from typing import Any

import pytest
from ledger_history import record

from orchestrator.ledger import read
from orchestrator.ledger.event import Event
from orchestrator.ledger.store import Ledger
from orchestrator.show.countdown import TELLERS
from orchestrator.show.happening import happening
from orchestrator.show.timeline import Page, Timeline

FIELDS = {"actor": "user:ann", "type": "", "runid": "escalation:calm", "time": "2026-11-21T05:00:00Z", "id": "0" * 36}


def told(kind: str, **payload: Any) -> str:  # noqa: ANN401  # JSON
    one = happening(Event(b"", FIELDS | {"type": f"orch.escalation.{kind}"}, payload))
    return " - ".join(filter(None, (one.word, *one.what, *one.details)))


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("began", {"cycle": 2, "why": "renew", "deadline": "D", "is_armed": True}, "BEGINS - cycle 2 - renewed - deadline D"),
        ("began", {"cycle": 1, "why": "set_deadline", "deadline": "D", "is_armed": False}, "BEGINS - cycle 1 - a first deadline - deadline D - not armed"),
        ("deadline", {"deadline": "D", "is_triggered": True}, "RELEASED - released by hand - deadline D"),
        ("deadline", {"deadline": "D", "is_triggered": False}, "DEADLINE - the deadline is moved - deadline D"),
        ("disarmed", {}, "DISARMED - no deadline counts"),
        ("ticked", {"tick": 3, "stage": "ok", "owed": ["a/b"]}, "TICKED - tick 3 - at ok - owed: a/b"),
        ("stage", {"stage": "full", "from": "partial", "orders": [{"name": "full/mail"}], "plan_run_id": "p"}, "STAGE - full - after partial - it brings full/mail - its plan is the run p"),
        ("codes", {"codes": [{}, {}, {}]}, "CODES - 2 codes - older ones count no longer"),
        ("wrong", {"source": "tty", "failures": 6, "locked_until": "L"}, "WRONG - a wrong code, from tty - 6 in a row - locked until L"),
    ],
)  # fmt: skip
def test_each_is_told_in_a_line(kind: str, payload: dict[str, Any], expected: str) -> None:
    assert told(kind, **payload) == expected


def test_what_the_clock_says_is_told_with_the_decision() -> None:
    owed = {"id": "stage:calm", "type": "stage", "status": "met", "properties": {"stage": "full", "why": "due"}}
    decision = {"outcome": "allow", "obligations": [owed], "findings": []}
    fields = FIELDS | {"type": "orch.decision", "outcome": "allow", "action": "tick"}

    assert "the clock says: stage full" in happening(Event(b"", fields, {"decision": decision})).details


def test_the_obligation_of_the_clock_is_told_as_the_clocks() -> None:
    payload = {"obligation": "stage:calm", "type": "stage", "phase": "before"}
    fields = FIELDS | {"type": "orch.obligation.met", "action": "enter_stage", "subject": "calm"}

    assert happening(Event(b"", fields, payload)).what == ("the clock of calm permits enter_stage", "")


@pytest.mark.parametrize("kind", TELLERS)
@pytest.mark.parametrize("value", [None, 7, "x", [1, {"a": 1}], {"a": {}}], ids=repr)
def test_what_is_not_of_its_type_is_left_out(kind: str, value: object) -> None:
    names = ("cycle", "why", "deadline", "tick", "stage", "from", "owed", "orders", "codes", "source", "failures", "locked_until", "plan_run_id", "now")  # fmt: skip

    assert told(kind.rpartition(".")[2], **dict.fromkeys(names, value))


def test_they_stand_under_the_name_of_their_escalation(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger)
    out = io.StringIO()
    with sqlite_ledger.store.reading() as connection:
        Timeline(out, Page(100)).write(read.events(connection, read.Filter()))

    assert "  escalation calm\n" in out.getvalue()
