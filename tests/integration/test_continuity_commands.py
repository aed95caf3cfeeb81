"""The commands of source 000 do what its document says of them, and its policy files, imported, do what they say.

Source: 000, "Basic Usage": status, set-deadline --hours 24, tick, tick --dry-run, reset.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Place, clean, place_in
from escalation_world import HOUR_NS, OPERATOR, World, world
from http_server import HttpServer, Reply, http_server
from smtp_server import Security, SmtpServer, smtp_server

from orchestrator.clock import format_time, now_ns, parse_time

FILES = Path(__file__).parents[1] / "escalation_000"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("commands")) as made:
        yield made


@pytest.fixture
def made(kept: World) -> World:
    """Return a world in which nothing has begun."""
    shutil.rmtree(kept.folder / "ledger", ignore_errors=True)
    kept.mail.mails.clear()
    return kept


def before(made: World, hours: float) -> str:
    """Return a time so many hours before the deadline."""
    deadline = parse_time(made.asked("status", "continuity")["deadline"])
    return format_time(deadline - int(hours * HOUR_NS) + 1_000_000_000)


def events(made: World) -> int:
    with made.opened() as ledger, ledger.store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM events", ())[0][0])


def test_the_session_of_its_readme_goes_through_without_a_complaint(made: World) -> None:
    session = [("status",), ("set-deadline", "--hours", 24), ("tick",), ("reset",), ("tick", "--dry-run")]

    codes = {}
    for command in session:
        done = made.orch(*command)
        clean(done)
        codes[command] = done.returncode

    assert codes == dict.fromkeys(codes, 0)


def test_set_deadline_sets_a_deadline_so_many_hours_from_now(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)

    hours = (parse_time(made.asked("status", "continuity")["deadline"]) - now_ns()) / HOUR_NS

    assert 23.9 < hours < 24.01


def test_tick_evaluates_time_and_executes_the_actions_of_the_stage(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)

    done = made.orch("tick", "--now", before(made, 6))

    assert done.returncode == 0, clean(done)
    assert made.subjects() == ["6 hours left"]
    assert made.asked("status", "continuity")["stage"] == "remind_6h"


def test_an_action_is_executed_once_however_often_it_ticks(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    at = before(made, 6)

    codes = {made.orch("tick", "--now", at).returncode for _ in range(3)}

    assert codes == {0}
    assert len(made.mail.mails) == 1


def test_a_dry_run_previews_without_changes(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    at, known = before(made, 6), events(made)

    done = made.orch("tick", "--dry-run", "--now", at)

    assert done.returncode == 0, clean(done)
    assert "remind_6h" in done.stdout
    assert made.mail.mails == []
    assert events(made) == known
    assert made.asked("status", "continuity")["stage"] == "ok"


def test_status_says_the_stage_the_deadline_and_what_was_done(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    at = before(made, 1)
    made.orch("tick", "--now", at)

    said = clean(made.orch("status", "--now", at))

    assert re.search(r"stage +remind_1h", said)
    assert re.search(r"deadline +20\d\d-", said)
    assert "remind_1h/mail" in said
    assert OPERATOR not in said


def test_reset_leads_back_to_the_first_state_and_the_record_stays(made: World) -> None:
    made.orch("set-deadline", "--hours", 24)
    at = before(made, 6)
    made.orch("tick", "--now", at)
    known = events(made)

    done = made.orch("reset", "--now", at)

    assert done.returncode == 0, clean(done)
    assert made.asked("status", "continuity")["stage"] == "ok"
    assert events(made) > known


def test_it_only_goes_forward(made: World) -> None:
    """Its promise "progression is monotonic": a later deadline leads to no earlier stage."""
    made.orch("set-deadline", "--hours", 24)
    at = before(made, 1)
    made.orch("tick", "--now", at)
    made.orch("set-deadline", "--now", at, "--hours", 48)

    made.orch("tick", "--now", format_time(parse_time(at) + HOUR_NS))

    assert made.asked("status", "continuity")["stage"] == "remind_1h"


# -- its files, imported


@pytest.fixture(scope="module")
def mail() -> Iterator[SmtpServer]:
    with smtp_server(Security.NONE) as running:
        yield running


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    with http_server() as running:
        running.answer("/a", Reply(200))
        running.answer("/b", Reply(200))
        running.answer("/sms/15550007777", Reply(200))
        yield running


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, mail: SmtpServer, web: HttpServer) -> Iterator[Place]:
    """Return a place whose packs are the imported files, and whose operator's file is the imported part, filled in."""
    folder = tmp_path_factory.mktemp("imported")
    secrets = {
        "OPERATOR_MAIL": "keeper@north.example",
        "OPERATOR_PHONE": "15550007777",
        "CUSTODIAN_1_MAIL": "harbour@north.example",
        "CUSTODIAN_2_MAIL": "mayor@north.example",
        "OBSERVERS_1_URL": f"{web.url}/a",
        "OBSERVERS_2_URL": f"{web.url}/b",
        "SMS_URL": web.url.replace("http://", "json://") + "/sms/{to}",
    }
    with place_in(folder, ORCH_CONFIG=str(folder / "config.yaml"), **secrets) as place:
        done = place.orch("policy", "import-escalation", FILES, "--out", folder / "packs")
        assert done.returncode == 0, clean(done)
        settings: dict[str, Any] = yaml.safe_load((folder / "packs/operator/config.yaml").read_text())
        sender = {"adapter": "mail", "host": "127.0.0.1", "port": mail.port, "security": "none"}
        settings["channels"]["mail"] = sender | {"from": "orch@north.example"}
        settings |= {"packs": ["packs"], "ledger": "ledger"}
        settings["secrets"] = {name: one for name, one in settings["secrets"].items() if name != "SMTP_PASSWORD"}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        yield place


def test_what_it_imports_validates_and_is_written_once(imported: Place) -> None:
    checked = imported.orch("policy", "validate", "packs")
    again = imported.orch("policy", "import-escalation", FILES, "--out", "packs")

    assert checked.returncode == 0, clean(checked)
    assert again.returncode == 2
    assert "nothing is overwritten" in clean(again)


def test_its_stages_come_when_its_rules_said_and_do_what_its_plan_said(
    imported: Place, mail: SmtpServer, web: HttpServer
) -> None:
    begun = imported.orch(
        "set-deadline", "--at", "2026-03-02T09:00:00Z", "--now", "2026-03-01T09:00:00Z", ORCH_SUBJECT="user:operator"
    )
    assert begun.returncode == 0, clean(begun)
    found = []
    for at in ("02:59:59", "03:00:00", "08:00:00", "08:45:00"):
        done = imported.orch("tick", "--now", f"2026-03-02T{at}Z")
        clean(done)
        found.append((at, done.returncode, [each.to for each in mail.mails], sorted(one.path for one in web.seen)))
        mail.mails.clear()
        web.seen.clear()

    assert found == [
        ("02:59:59", 0, [], []),
        ("03:00:00", 0, ["keeper@north.example"], []),
        ("08:00:00", 0, ["keeper@north.example"], ["/sms/15550007777"]),
        ("08:45:00", 0, ["harbour@north.example", "mayor@north.example"], ["/a", "/b"]),
    ]


def test_the_report_is_for_programs_too(imported: Place, tmp_path: Path) -> None:
    done = imported.orch(
        "policy", "import-escalation", FILES, "--out", tmp_path / "again", "--name", "light", "-o", "json"
    )

    said = json.loads(done.stdout)
    assert said["escalation"] == "light"
    storm = next(one for one in said["fates"] if one["what"] == "rule R40_STORM")
    assert (storm["is_kept"], storm["file"], storm["line"]) == (False, "policy/rules.yaml", 59)


@pytest.mark.parametrize("arguments", [("nowhere",), (".",), (str(FILES), "--name", "Not A Name")])
def test_what_cannot_be_imported_is_told_in_a_sentence(
    imported: Place, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = imported.orch("policy", "import-escalation", *arguments, "--out", tmp_path / "never")

    assert done.returncode == 2
    assert clean(done).startswith("orch: ")
    assert not (tmp_path / "never").exists()
