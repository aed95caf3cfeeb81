"""`orch ledger` through the real command: show, follow, export, back up, restore, rebuild, erase."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, clean, command, place_in
from ledger_history import CANARY, RUN, record

from orchestrator.ledger import heads
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a place whose ledger has a history."""
    with place_in(tmp_path, ORCH_LEDGER=str(tmp_path / "ledger")) as made:
        with open_ledger(str(tmp_path / "ledger")) as ledger:
            record(ledger)
        yield made


def test_show_is_a_timeline_and_filters_it(place: Place) -> None:
    whole = place.orch("ledger", "show", COLUMNS="80")
    denied = place.orch("ledger", "show", "--outcome", "deny", "--run", RUN, "--since", "1h", COLUMNS="80")

    assert (whole.returncode, denied.returncode) == (0, 0)
    assert max(map(len, whole.stdout.splitlines())) <= 80
    assert "DENIED" in clean(denied)
    assert "ALLOWED" not in denied.stdout


def test_show_says_when_there_is_more(place: Place) -> None:
    done = place.orch("ledger", "show", "-n", "2", "-o", "jsonl")
    none = place.orch("ledger", "show", "--action", "nothing", "-o", "json")

    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "the newest 2; -n 0 shows all\n"
    assert (json.loads(none.stdout), none.stderr) == ([], "nothing matches\n")


def test_show_of_one_event_is_all_of_it(place: Place) -> None:
    event = json.loads(place.orch("ledger", "show", "-n", "1", "-o", "jsonl").stdout)["header"]["id"]

    text = place.orch("ledger", "show", event[:10])
    program = place.orch("ledger", "show", event, "-o", "json")

    assert CANARY in clean(text)
    assert json.loads(program.stdout)["header"]["id"] == event


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "ffffffff"], 2, "there is no event"),
        (["show", "--since", "soon"], 2, "is no time"),
        (["show", "--follow", "-o", "json"], 2, "use -o jsonl"),
        (["shwo"], 2, "did you mean `show`"),
        (["erase"], 2, "one thing is erased at a time"),
        (["erase", "ffffffff"], 2, "--yes says that you are sure"),
        (["restore", "nowhere"], 2, "there is no backup"),
        (["verify-export", "nowhere"], 6, "cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_calls_say_what_to_do(place: Place, arguments: list[str], code: int, said: str) -> None:
    done = place.orch("ledger", *arguments)

    assert done.returncode == code
    assert said in clean(done)


def test_without_a_ledger_reading_makes_none(tmp_path: Path) -> None:
    with place_in(tmp_path) as place:
        for name in ("show", "rebuild"):
            done = place.orch("ledger", name)

            assert done.returncode == 6
            assert "there is no ledger yet" in clean(done)
        assert not list(place.folder.rglob("ledger.db"))


def test_follow_shows_what_is_added_and_ends_on_ctrl_c(place: Place) -> None:
    arguments = command("ledger", "show", "-n", "1", "--follow", "-o", "jsonl")
    with subprocess.Popen(
        arguments, env=place.environ, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        first = json.loads(following.stdout.readline())
        with open_ledger(str(place.folder / "ledger")) as ledger:
            append_all(ledger, [Draft("orch.test", "r", "user:a", {"added": number}) for number in range(2)])
        added = [json.loads(following.stdout.readline())["payload"] for _ in range(2)]
        os.kill(following.pid, signal.SIGINT)
        said = following.stderr.read()
        code = following.wait(20)

    assert first["header"]["type"] == "orch.run.ended"
    assert added == [{"added": 0}, {"added": 1}]
    assert (code, "interrupted" in said) == (130, True)


def test_an_export_is_verified_by_its_own_machine_and_by_others_with_the_key(place: Place, tmp_path: Path) -> None:
    done = place.orch("ledger", "export", "x.tar", "-o", "json")
    key = json.loads(done.stdout)["key"]

    own = place.orch("ledger", "verify-export", "x.tar")
    other = place.orch(
        "ledger", "verify-export", "x.tar", "--key", key, "-o", "json", ORCH_LEDGER=str(tmp_path / "none")
    )
    unknown = place.orch("ledger", "verify-export", "x.tar", ORCH_LEDGER=str(tmp_path / "none"))

    assert (done.returncode, own.returncode, other.returncode, unknown.returncode) == (0, 0, 0, 6)
    assert clean(own).startswith("VERIFIED")
    assert json.loads(other.stdout)["wrong"] == []
    assert "--key" in unknown.stdout


def test_after_an_old_backup_came_back_verify_reports_what_is_lost(place: Place) -> None:
    for name in ("heads sign", "verify", "backup copy"):
        assert place.orch("ledger", *name.split()).returncode in {0, 6}, name  # the history's artifact has no blob
    with open_ledger(str(place.folder / "ledger")) as ledger:
        append_all(ledger, [Draft("orch.test", "r", "user:a")])
        heads.sign(ledger)
    seen = place.orch("ledger", "verify")

    refused = place.orch("ledger", "restore", "copy")
    done = place.orch("ledger", "restore", "copy", "--replace")
    verified = place.orch("ledger", "verify")

    assert (seen.returncode, refused.returncode, done.returncode) == (0, 2, 0)
    assert verified.returncode == 1
    assert "shorter" in clean(verified)
    assert [path for path in place.folder.iterdir() if ".before-" in path.name]


def test_rebuild_and_erase_leave_a_ledger_that_verifies(place: Place) -> None:
    event = json.loads(place.orch("ledger", "show", "--outcome", "deny", "-o", "jsonl").stdout)["header"]["id"]

    erased = place.orch("ledger", "erase", event, "--reason", "asked for", "--by", "user:ann", "--yes")
    rebuilt = place.orch("ledger", "rebuild")
    place.orch("ledger", "heads", "sign")
    verified = place.orch("ledger", "verify")
    shown = place.orch("ledger", "show", event[:8])

    assert (erased.returncode, rebuilt.returncode, verified.returncode) == (0, 0, 0)
    assert "backups" in erased.stderr
    assert "asked for" in clean(shown)
