"""The ticks of a worker, told to whoever sits before it: what happened, and no line for a tick without news."""

from typing import Any

from orchestrator.show.ticking import Lines

IDLE: dict[str, Any] = {
    "escalation": "continuity", "tick": 7, "stage": "ok", "entered": [], "owed": [], "why": "early",
    "detail": "no further stage is due", "heartbeat": "delivered", "exit_code": 0, "delivered": [], "refused": [],
}  # fmt: skip


def test_a_tick_is_told_as_a_sentence() -> None:
    made = IDLE | {"stage": "partial", "entered": ["partial"], "delivered": ["partial/letter"], "detail": ""}

    assert Lines().line(made) == "continuity: at partial; entered partial; delivered partial/letter"


def test_what_was_refused_and_what_is_owed_is_told_with_the_exit_code() -> None:
    made = IDLE | {"refused": ["partial/letter (denied)"], "owed": ["partial/letter"], "exit_code": 3, "detail": ""}

    assert Lines().line(made) == (
        "continuity: at ok; REFUSED partial/letter (denied); owes partial/letter (exit code 3)"
    )


def test_a_tick_without_news_is_told_once() -> None:
    lines = Lines()

    assert lines.line(IDLE) == "continuity: at ok; no further stage is due"
    assert lines.line(IDLE | {"tick": 8}) == ""
    assert lines.line(IDLE | {"tick": 9, "heartbeat": "retryable"}) != ""
    assert lines.line(IDLE | {"escalation": "other"}) != ""
