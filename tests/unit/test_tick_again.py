"""The same state, packs and times give the same decisions and effects: a month of ticks, played twice."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from escalation_world import HOUR_NS, NAME, NOON_NS, TEXT
from smtp_server import Stage
from ticking import Ticking, ticking

from orchestrator.clock import format_time
from orchestrator.errors import Exit

_EVERY_H = 5
_RENEWED_AT_H = (40, 61, 160, 183)
_DOWN_AT_H = frozenset({20, 215})


def test_a_month_of_ticks_played_again_gives_the_same_decisions_and_effects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ticking(tmp_path, monkeypatch) as made:
        shutil.copytree(tmp_path / "ledger", tmp_path / "copy")

        first = _month(made)
        made.world.configure(ledger=str(tmp_path / "copy"))
        (made.world.work / "released.txt").unlink()
        second = _month(made)

    assert first == second
    assert len(first["decisions"]) > 100
    assert first["stages"][-1] == "full"


def _month(made: Ticking) -> dict[str, Any]:
    """Tick every few hours for thirty days, renew some of the times, let mail be down sometimes; return what came of it."""
    made.world.mail.mails.clear()
    made.world.mail._failures.clear()
    stages = []
    for hours in range(0, 30 * 24, _EVERY_H):
        when = format_time(NOON_NS + (hours - 24) * HOUR_NS)
        for at in _RENEWED_AT_H:
            if hours <= at < hours + _EVERY_H:
                made.renew(when)
        if hours in _DOWN_AT_H:
            made.world.mail.fail(Stage.RCPT, "451 later")
        stages.append(made.at(when).stage)
    decisions = [
        (one["decision"]["input_digest"], one["decision"]["outcome"])
        for cycle in range(1, len(_RENEWED_AT_H) + 2)
        for one in made.payloads("orch.decision", f"{NAME}-c{cycle}")
    ]
    sent = [(mail.to, mail.message["Subject"], mail.message["Message-ID"]) for mail in made.world.mail.mails]
    return {"stages": stages, "decisions": decisions, "sent": sent}


def test_a_deed_says_what_it_uses_of_a_budget_with_a_meter_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "id: mail, action: send_message, route: operator, template: reminder.j2"
    with ticking(tmp_path, monkeypatch, text=TEXT.replace(one, f"{one}, estimates: {{mails: 1}}")) as here:
        room = "budgets: [{meter: mails, per: run, limit: 2}]"
        rules = [
            "{id: open, effect: allow, actions: '*'}",
            f"{{id: room, effect: require, actions: send_message, {room}}}",
        ]
        here.world.rules(*rules, declares="meters: [mails]")

        codes = [here.at(when).exit_code for when in ("06:00", "11:00", "11:45")]

    assert codes == [Exit.OK, Exit.OK, Exit.BUDGET]
    assert len(here.told()) == 2
