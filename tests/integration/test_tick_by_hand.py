"""Ticks that a person lets go on again, and drills that say why: as whole commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean
from escalation_world import BEN, NAME, TEXT
from smtp_server import Stage
from ticking import Ticking, ticking

from orchestrator import keys
from orchestrator.ledger.open import open_ledger

ALL = "{id: open, effect: allow, actions: '*'}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


def at(when: str) -> tuple[str, str]:
    return "--now", f"2026-11-21T{when}:00Z"


def test_resend_lets_a_tick_try_again_what_was_refused_for_good(here: Ticking) -> None:
    for when in ("06:00", "11:00", "11:45"):
        here.at(when)
    here.world.mail.fail(Stage.RCPT, "550 no such user", to=BEN)
    here.at("12:01")

    status = here.world.orch("status", NAME)
    said = here.world.orch("resume", f"{NAME}-c1", "--resend", "partial/letter")
    made = here.world.orch("tick", *at("12:10"))

    assert f"orch resume {NAME}-c1 --resend partial/letter" in status.stdout
    assert said.returncode == 0, clean(said)
    assert made.returncode == 0, clean(made)
    assert here.told().count(BEN) == 1


def test_one_approval_of_ticks_counts_for_all_at_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as here:
        key = keys.new_key(tmp_path / "key", None)
        (here.world.packs / "people.yaml").write_text(
            "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n  user:ann: {roles: [operator]}\n"
            f'  user:bob: {{roles: [board], keys: ["{keys.ssh_line(key.public)}"]}}\n'
        )
        here.world.rules(ALL, "{id: board, effect: require, actions: tick, approvals: {role: board}}")
        assert here.world.orch("set-deadline", "--hours", 24).returncode == 0
        [said] = json.loads(here.world.orch("tick", "-o", "json").stdout)
        [one] = said["done"][-1]["waiting_for"]

        vote = here.world.orch("approve", one["request_id"], "--yes", "--key", tmp_path / "key", "--as", "user:bob")
        ticks = [here.world.orch("tick").returncode for _ in range(2)]

        assert vote.returncode == 0, clean(vote)
        assert ticks == [0, 0]


def test_a_drill_says_what_would_be_decided_of_entering_each_stage(here: Ticking) -> None:
    here.world.rules(
        ALL,
        "{id: never-public, effect: deny, actions: enter_stage, when: {action.properties.audience: {equals: public}}}",
    )

    done = here.world.orch("drill")

    assert done.returncode == 3
    assert "enter/partial: entering it would be allowed\n" in done.stdout
    assert "enter/full: entering it would be DENIED: acme/never-public" in done.stdout


def test_a_drill_whose_messages_arrived_succeeded_whatever_it_found(here: Ticking) -> None:
    here.world.rules(ALL, "{id: no-files, effect: deny, actions: write_file}")
    here.world.orch("drill")

    with open_ledger(here.world.ledger) as ledger, ledger.store.reading() as connection:
        rows = connection.execute("SELECT state FROM runs WHERE kind = 'drill'")

    assert [state for (state,) in rows] == ["succeeded"]


def test_a_drill_without_the_operators_secret_exits_7(here: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPERATOR_MAIL")
    here.world.place.environ.pop("OPERATOR_MAIL")

    done = here.world.orch("drill")

    assert done.returncode == 7, clean(done)


def test_a_lost_key_of_seals_is_said_by_status_with_what_helps(here: Ticking) -> None:
    here.world.orch("code", "new", NAME, "--print")
    codes = here.world.orch("code", "new", NAME, "--print").stdout
    main = next(line.split()[0] for line in codes.splitlines() if "as often as it is given" in line)
    renewed = here.world.orch("renew", NAME, given=main.encode())
    (Path(here.world.ledger) / "seal.key").unlink()

    status = here.world.orch("status", NAME)
    ticked = here.world.orch("tick")
    reset = here.world.orch("reset", NAME)
    again = here.world.orch("tick")

    assert renewed.returncode == 0, clean(renewed)
    assert "the key that opens the seals of renewals is not here" in status.stdout
    assert "`orch reset` begins a cycle without a seal" in status.stdout
    assert (ticked.returncode, reset.returncode, again.returncode) == (6, 0, 0), clean(again)


def test_with_a_new_key_and_a_new_code_a_renewal_helps(here: Ticking) -> None:
    def renewed() -> int:
        codes = here.world.orch("code", "new", NAME, "--print").stdout
        main = next(line.split()[0] for line in codes.splitlines() if "as often as it is given" in line)
        return here.world.orch("renew", NAME, given=main.encode()).returncode

    first = renewed()
    (Path(here.world.ledger) / "seal.key").unlink()
    here.world.orch("code", "new", NAME, "--print")
    between = here.world.orch("tick")

    assert (first, between.returncode) == (0, 6)
    assert "was made anew since" in between.stdout
    assert (renewed(), here.world.orch("tick").returncode) == (0, 0)


def test_in_manual_mode_a_deadline_is_shown_with_what_arms_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("mode: countdown", "mode: manual")
    with ticking(tmp_path, monkeypatch, text=text, begins=False) as here:
        said = here.world.orch("set-deadline", "--at", "2099-01-01T00:00:00Z")
        status = here.world.orch("status")

    assert "deadline   2099-01-01T00:00:00Z, but none counts: it is disarmed\n" in said.stdout
    assert f"next       orch arm {NAME}\n" in said.stdout
    assert "armed by hand" in status.stdout.splitlines()[0]
