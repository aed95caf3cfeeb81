"""What nobody knows of a letter to several people is settled for each of them, by a look and a word."""

import re
from pathlib import Path

import pytest
from command_line import clean
from escalation_world import ANNA, BEN, CLARA, NAME
from smtp_server import Stage
from ticking import ticking


def test_of_two_recipients_that_nobody_knows_of_each_is_settled_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ticking(tmp_path, monkeypatch) as made:
        for when in ("06:00", "11:00", "11:45"):
            made.at(when)
        for to in (ANNA, BEN):  # each is taken, and the answer is lost
            made.world.mail.fail(Stage.DOT, to=to)
        made.at("12:01")
        made.world.mail.mails[:] = [one for one in made.world.mail.mails if one.to != BEN]  # his mailbox lost it
        status = clean(made.world.orch("status", "--now", "2026-11-21T12:02:00Z"))

        keys = dict(
            re.findall(r"arrived at \$\{\{ secrets\.(\w+)_MAIL \}\}; then orch resume \S+ --delivered (\w+)", status)
        )
        said = [
            made.world.orch("resume", f"{NAME}-c1", "--delivered", keys["ANNA"]),
            made.world.orch("resume", f"{NAME}-c1", "--resend", keys["BEN"]),
        ]
        after = made.at("12:03")

        assert [one.returncode for one in said] == [0, 0], said
        assert (after.owed, after.done[0].done.state.value) == ((), "delivered")
        assert [one for one in made.told() if one in {ANNA, BEN, CLARA}] == [ANNA, CLARA, BEN]
