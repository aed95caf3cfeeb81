"""`orch simulate` and `orch drill` as whole commands: what would happen is shown, and who is written to is the operator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from command_line import clean
from escalation_world import ANNA, NAME, OPERATOR, TEXT, World, world
from postgres_server import Server
from smtp_server import Stage

from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger

FROM = ("--from", "2026-11-20T12:00:00Z")
PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: publish, version: 1.0.0}
phases:
  - id: out
    steps:
      - {id: write, action: write_file, with: {path: out.txt, content: out}}
      - {id: call, action: run_command, with: {argv: [rm, -rf, precious]}}
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as one:
        yield one


def simulated(made: World, *arguments: object) -> Any:  # noqa: ANN401  # JSON
    """Return what a simulation of the only escalation says, as JSON."""
    (said,) = made.asked("simulate", *FROM, *arguments)
    return said


def stage_of(said: Any, name: str) -> Any:  # noqa: ANN401  # JSON
    return next(one for one in said["stages"] if one["name"] == name)


# -- simulate


def test_a_simulation_shows_each_stage_in_time_and_that_it_is_allowed(made: World) -> None:
    done = made.orch("simulate", *FROM, "--every", "1m")

    text = clean(done)
    assert done.returncode == 0
    assert text.count("on time") == 5
    assert text.count("all allowed") == 5
    assert "custodians (3)" in text


def test_a_simulation_sends_and_records_nothing(made: World) -> None:
    made.orch("simulate", *FROM)

    assert made.mail.mails == []
    assert not Path(made.ledger).exists()
    assert list(made.work.iterdir()) == []


def test_the_same_simulation_is_the_same_again(made: World) -> None:
    options = ("--miss", "30%", "--fail", "40%", "--seed", "7", "--for", "90d", "--gaps", "53,130,475")

    assert simulated(made, *options) == simulated(made, *options)


def test_what_the_packs_refuse_is_seen_before_it_happens(made: World) -> None:
    made.rules(
        '{id: open, effect: allow, actions: "*"}',
        "{id: no-letters, effect: deny, actions: [send_message], stages: [partial], message: not to custodians}",
    )

    said = simulated(made)

    (letter,) = [one for one in stage_of(said, "partial")["would"] if one["name"] == "partial/letter"]
    assert (letter["outcome"], "not to custodians" in letter["detail"]) == ("deny", True)
    assert {one["outcome"] for one in stage_of(said, "remind_6h")["would"]} == {"allow"}


def test_a_stage_is_asked_about_as_of_the_moment_when_it_is_entered(made: World) -> None:
    said = simulated(made)

    assert [one["name"] for one in stage_of(said, "full")["would"]] == ["enter/full", "full/publish"]
    assert {one["outcome"] for one in stage_of(said, "full")["would"]} == {"allow"}


def test_a_secret_that_is_not_there_is_said_and_nothing_else_is_lost(made: World) -> None:
    made.configure(channels={})

    said = simulated(made)

    (letter,) = [one for one in stage_of(said, "partial")["would"] if one["name"] == "partial/letter"]
    assert (letter["outcome"], "channel" in letter["detail"]) == ("", True)
    assert len(said["entries"]) == 5


def test_a_recipient_whose_secret_is_not_there_is_said(made: World) -> None:
    text = clean(made.orch("simulate", *FROM, BEN_MAIL=""))

    assert text.count("all allowed") == 5
    assert "missing on this machine: the secret BEN_MAIL" in " ".join(text.split())


def test_the_packs_are_asked_for_whoever_is_said_to_tick(made: World) -> None:
    made.rules('{id: open, effect: allow, actions: "*", subjects: "job:clock"}')

    text = clean(made.orch("simulate", *FROM))
    named = clean(made.orch("simulate", *FROM, "--subject", "job:clock"))

    assert "THE PACKS STOP IT at ok: entering remind_6h is not allowed (denied by the packs)" in text
    assert "The packs were asked for user:ann" in text
    assert "In the end it stands at full." in named
    assert named.count("all allowed") == 5


def test_a_stage_with_a_plan_says_what_each_step_would_be_decided(made: World) -> None:
    _with_plan(made)
    made.rules(
        '{id: open, effect: allow, actions: "*"}',
        "{id: no-commands, effect: deny, actions: [run_command], message: no commands here}",
    )

    would = {one["name"]: one["outcome"] for one in stage_of(simulated(made), "full")["would"]}

    assert would["full/(plan)/out/write"] == "allow"
    assert would["full/(plan)/out/call"] == "deny"


def test_mail_that_is_down_holds_the_custodians_letter_back(made: World) -> None:
    said = simulated(made, "--every", "5m", "--mail-down", "23h..40h", "--for", "40h")

    partial = next(one for one in said["entries"] if one["stage"] == "partial")
    assert (partial["held"], partial["missing"]) == ("notice", ["pre_release/mail"])
    assert partial["late_s"] >= 6 * 3_600


def test_ten_years_of_renewals_are_played(made: World) -> None:
    said = simulated(made, "--for", "10y", "--renew-every", "20h", "--every", "30m")

    assert said["stage"] in {"ok", "remind_6h"}
    assert len(said["cycles"]) == 10 * 365 * 24 // 20 + 1
    assert said["ticks"] == 10 * 365 * 48 + 1


def test_the_picture_is_written_beside_the_text(made: World) -> None:
    done = made.orch("simulate", *FROM, "--svg", "timeline.svg")

    clean(done)
    picture = ET.fromstring((made.work / "timeline.svg").read_text())  # noqa: S314  # ours
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"


def test_it_can_begin_from_how_things_stand(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    status = made.asked("status")
    now = status[0] if isinstance(status, list) else status

    (said,) = made.asked("simulate", "--now", "--every", "1m")

    assert said["cycles"][0]["deadline"] == now["deadline"]
    assert [one["stage"] for one in said["entries"]][-1] == "full"


def test_from_how_things_stand_is_refused_where_nothing_began(made: World) -> None:
    done = made.orch("simulate", "--now")

    assert done.returncode == 2
    assert "continuity has not begun" in clean(done)


@pytest.mark.parametrize(
    "arguments", [("--for", "ever"), ("--miss", "120%"), ("--gaps", "1,2"), ("--mail-down", "5h..2h"), ("contnuity",)]
)
def test_what_is_typed_wrongly_is_a_usage_error_in_one_line(made: World, arguments: tuple[str, ...]) -> None:
    done = made.orch("simulate", *arguments)

    assert done.returncode == 2
    assert "expected" in clean(done) or "no escalation" in clean(done)
    assert done.stdout == ""


# -- drill


def test_a_drill_sends_everything_marked_and_to_the_operator_alone(made: World) -> None:
    done = made.orch("drill")

    assert done.returncode == 0, done.stderr
    assert {mail.to for mail in made.mail.mails} == {OPERATOR}
    assert [subject.strip() for subject in made.subjects()] == [
        "[DRILL stage remind_6h, would go to 1 recipient of operator] 6 hours left",
        "[DRILL stage remind_1h, would go to 1 recipient of operator] 1 hour left",
        "[DRILL stage pre_release, would go to 1 recipient of operator] 15 minutes left",
        "[DRILL stage partial, would go to 3 recipients of custodians] Acme: your part",
        "[DRILL stage full, would do write_file]",
    ]
    assert all(str(mail.message.get_content()).startswith("[DRILL stage ") for mail in made.mail.mails)


def test_a_drill_does_nothing_but_write_to_the_operator(made: World) -> None:
    done = made.orch("drill")

    assert done.returncode == 0, done.stdout + done.stderr
    assert list(made.work.iterdir()) == []
    (last,) = [mail for mail in made.mail.mails if "full" in str(mail.message["Subject"])]
    assert "released.txt" in str(last.message.get_content())


def test_a_drill_leaves_the_countdown_as_it_was(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    before = made.asked("status")

    made.orch("drill")

    assert _untimed(made.asked("status")) == _untimed(before)


def test_each_drill_is_a_run_of_its_own_that_has_ended(made: World) -> None:
    runs = [made.asked("drill")["run_id"] for _ in range(2)]

    assert runs == [f"{NAME}-drill-1", f"{NAME}-drill-2"]
    with open_ledger(made.ledger) as ledger, ledger.store.reading() as connection:
        rows = connection.execute("SELECT id, kind, state FROM runs ORDER BY id")
        names = connection.execute("SELECT COUNT(*) FROM escalations")
    assert [tuple(row) for row in rows] == [(run, "drill", "succeeded") for run in runs]
    assert names[0][0] == 0


def test_a_drill_shows_what_the_packs_would_refuse_and_fails_as_a_tick_would(made: World) -> None:
    made.rules(
        '{id: open, effect: allow, actions: "*"}',
        "{id: no-files, effect: deny, actions: [write_file], message: no files}",
    )

    done = made.orch("drill")

    assert done.returncode == 3
    assert "would be decided: DENIED: acme/no-files: no files" in clean(done)
    assert len(made.mail.mails) == 5


def test_a_drill_shows_what_would_be_decided_in_earnest(made: World) -> None:
    made.rules(
        '{id: open, effect: allow, actions: "*"}',
        "{id: no-drills, effect: deny, actions: [send_message], when: {facts.escalation.is_drill: {equals: true}}}",
        "{id: never-public, effect: deny, actions: [enter_stage], when: {action.properties.audience: {equals: public}}}",
    )

    done = made.orch("drill", "-o", "json")

    said = json.loads(done.stdout)
    assert done.returncode == 3
    assert {would["outcome"] for one in said["drilled"] for would in one["would"]} == {"allow"}
    assert {one["acted"]["state"] for one in said["drilled"]} == {"denied"}
    assert [one["outcome"] for one in said["entering"]] == ["allow", "allow", "allow", "allow", "deny"]


def test_a_drill_that_is_not_allowed_sends_nothing(made: World) -> None:
    made.rules(
        '{id: open, effect: allow, actions: "*"}',
        "{id: no-drill, effect: deny, actions: [control_escalation], when: {action.properties.operation: {equals: drill}}, "
        "message: not today}",
    )

    done = made.orch("drill")

    assert done.returncode == 3
    assert "not today" in clean(done)
    assert made.mail.mails == []


def test_a_drill_rehearses_the_plan_of_a_stage_and_executes_nothing_of_it(made: World) -> None:
    _with_plan(made)

    said = made.asked("drill")

    (plan,) = [one for one in said["drilled"] if one["action"] == "(plan)"]
    assert [one["name"] for one in plan["would"]] == [
        "full/(plan)/out/write",
        "full/(plan)/out/call",
        "full/(plan)/out/gate",
    ]
    assert made.subjects()[-1] == "[DRILL stage full, would carry out its plan]"
    assert list(made.work.iterdir()) == []


def test_a_letter_with_a_link_goes_to_the_operator_in_a_drill(made: World) -> None:
    """What custodians may be sent, the operator may see in a drill: only a real reminder must hold no way in."""
    made.document(TEXT.replace("You are a custodian of", "See https://acme.example/handbook, custodian of"))

    said = made.asked("drill")

    (letter,) = [one for one in said["drilled"] if one["name"] == "partial/letter"]
    assert letter["acted"]["state"] == "delivered"
    assert "https://acme.example/handbook" in str(made.mail.mails[3].message.get_content())


def test_a_mailbox_that_refuses_is_told_and_the_rest_goes_on(made: World) -> None:
    made.mail.fail(Stage.RCPT, "550 5.1.1 no such mailbox", times=9)

    done = made.orch("drill")

    assert done.returncode == 1
    assert clean(done).count("to the operator: ") == 5
    assert "0 of 5 messages arrived" in done.stdout
    assert not any(mail.to == ANNA for mail in made.mail.mails)


def test_no_secret_stands_in_what_a_drill_says_or_records(made: World) -> None:
    done = made.orch("drill")

    text = clean(done)
    assert ANNA not in text
    assert OPERATOR not in text
    with open_ledger(made.ledger) as ledger, ledger.store.reading() as connection:
        bodies = [bytes(row[0]) for row in connection.execute("SELECT body FROM payloads WHERE body IS NOT NULL")]
    assert not any(one.encode() in body for one in (ANNA, OPERATOR) for body in bodies)


def test_without_a_route_to_the_operator_there_is_no_drill(made: World) -> None:
    made.document(
        "apiVersion: orch/v1\nkind: Escalation\nmetadata: {name: continuity, version: 1.0.0}\n"
        "renewal: {extends: 24h, lockout: {after: 5, first: 30s, longest: 1m}}\nstages:\n  - {name: ok}\n"
        "  - {name: note, at: -1h, min_dwell: 1h, actions: [{id: a, action: write_file, with: {path: a, content: a}}]}\n"
    )

    done = made.orch("drill")

    assert done.returncode == 7
    assert "no route to the operator" in clean(done)


def test_a_drill_is_recorded_on_a_server_too(tmp_path: Path, postgres_ledger: Ledger, postgres: Server) -> None:
    with postgres_ledger.store.reading() as connection:
        [(database,)] = connection.execute("SELECT current_database()")
    (tmp_path / "w").mkdir()
    with world(tmp_path / "w", ledger=postgres.url(str(database))) as made:
        assert [made.asked("drill")["run_id"] for _ in range(2)] == [f"{NAME}-drill-1", f"{NAME}-drill-2"]


def test_a_drill_is_told_as_json(made: World) -> None:
    done = made.orch("drill", "-o", "json")

    said = json.loads(done.stdout)
    assert (said["name"], said["exit_code"], said["refused"]) == (NAME, 0, None)
    assert [one["recipients"] for one in said["drilled"]] == [1, 1, 1, 3, 0]


def _with_plan(made: World) -> None:
    """Let the last stage carry out a plan."""
    (made.packs / "plans").mkdir()
    (made.packs / "plans" / "publish.yaml").write_text(PLAN)
    line = "      - {id: publish, action: write_file, with: {path: released.txt, content: released}}\n"
    text = TEXT.replace("    actions:\n" + line, "    plan: {file: plans/publish.yaml}\n")
    assert text != TEXT
    made.document(text)


def _untimed(status: Any) -> str:  # noqa: ANN401  # JSON
    """Return a status without what the clock alone changes."""
    said = status[0] if isinstance(status, list) else status
    return json.dumps({name: said[name] for name in ("name", "cycle", "stage", "deadline", "is_armed") if name in said})
