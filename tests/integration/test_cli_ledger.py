"""`orch ledger` through the real command: show, follow, export, back up, restore, rebuild, erase."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, clean, command, place_in
from ledger_history import CANARY, RUN, record
from spoiled_ledger import change, sql

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
    assert json.loads(none.stdout) == []
    assert none.stderr.startswith("nothing matches\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--type", "decison"], "no event has the type 'decison'; there is: run.ended, decision,"),
        (["--run", "nope"], f"no event has the run 'nope'; there is: {RUN}, adhoc:1"),
        (["--repo", "acme/wep"], "no event has the repository 'acme/wep'; there is: acme/"),
        (["--actor", "user:bob", "--action", "opn_pr"], "no event has the action 'opn_pr'; there is: comment, open_pr"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_filter_that_is_mistyped_is_told_of(place: Place, arguments: list[str], said: str) -> None:
    done = place.orch("ledger", "show", *arguments)

    assert (done.returncode, done.stdout) == (0, "")
    assert said in clean(done)


@pytest.mark.parametrize(("word", "code"), [("denied", 0), ("DENIED", 2), ("waiting", 0), ("dennied", 2)])
def test_outcomes_are_a_choice_and_known_as_the_timeline_says_them(place: Place, word: str, code: int) -> None:
    done = place.orch("ledger", "show", "--outcome", word)

    assert done.returncode == code, clean(done)


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
        (["erase", "ffffffff", "--reason", "x", "--by", "nobody", "--yes"], 2, "expected TYPE:ID"),
        (["show", "-n", "99999999999999999999"], 2, "is not in the range"),
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


def test_a_restored_backup_is_accepted_as_the_docs_say(place: Place) -> None:
    anchor = ("ledger", "heads", "anchor", "--git", ".")
    subprocess.run(["git", "init", "-q"], cwd=place.folder, check=True)
    place.orch("ledger", "backup", "copy")
    with open_ledger(str(place.folder / "ledger")) as ledger:
        append_all(ledger, [Draft("orch.test", "r", "user:a")])
    before = place.orch("ledger", "verify", "--git", ".", "--anchored")
    assert place.orch(*anchor).returncode == 0
    assert place.orch("ledger", "verify", "--git", ".", "--anchored").returncode == 0
    place.orch("ledger", "restore", "copy", "--replace")

    lost = place.orch("ledger", "verify", "--git", ".")
    [seen] = (place.folder / "own-home/.local/state/orch/heads").iterdir()
    seen.rename(place.folder / "lost-head.txt")
    refused = place.orch(*anchor)
    anew = place.orch(*anchor, "--ref", "refs/orch/heads-2")
    accepted = place.orch("ledger", "verify", "--git", ".", "--ref", "refs/orch/heads-2", "--anchored")

    assert (before.returncode, "there is no 'refs/orch/heads' in '.' yet" in clean(before)) == (6, True)
    assert (lost.returncode, refused.returncode) == (1, 6)
    assert "docs/ledger-use.md, Backup and restore" in clean(refused)
    assert (anew.returncode, accepted.returncode) == (0, 0), clean(anew) + clean(accepted)


def test_an_auditor_takes_key_and_head_from_the_git_ref(place: Place) -> None:
    subprocess.run(["git", "init", "-q"], cwd=place.folder, check=True)
    place.orch("ledger", "heads", "anchor", "--git", ".")
    place.orch("ledger", "export", "x.tar")
    for name in ("key", "head"):
        said = subprocess.run(
            ["git", "show", f"refs/orch/heads:{name}"], cwd=place.folder, check=True, capture_output=True
        )
        (place.folder / f"{name}.txt").write_bytes(said.stdout)

    done = place.orch("ledger", "verify-export", "x.tar", "--key", "key.txt", "--head", "head.txt")

    assert done.returncode == 0, clean(done)


def test_an_auditor_is_given_a_head_as_it_is_printed(place: Place) -> None:
    place.orch("ledger", "export", "x.tar")
    (place.folder / "head.txt").write_text(place.orch("ledger", "heads", "show").stdout)
    (place.folder / "empty.txt").write_text("")

    held = place.orch("ledger", "verify-export", "x.tar", "--key", "head.txt", "--head", "head.txt")
    none = place.orch("ledger", "verify-export", "x.tar", "--head", "empty.txt")

    assert (held.returncode, none.returncode) == (0, 6), clean(held)
    assert clean(none).startswith("CANNOT TELL")


def test_what_is_to_be_kept_is_said_to_be(place: Place) -> None:
    signed = place.orch("ledger", "heads", "sign")
    copied = place.orch("ledger", "backup", "copy")

    assert clean(signed).startswith("signed a head of 60 events")
    assert "keep this head elsewhere" in clean(copied)


def test_no_is_an_answer_and_no_interruption(place: Place) -> None:
    here, there = pty.openpty()
    with subprocess.Popen(
        command("ledger", "erase", "ffffffff", "--reason", "x"),
        env=place.environ,
        cwd=place.folder,
        stdin=there,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        os.write(here, b"n\n")
        said = asking.communicate(timeout=30)[1]
    os.close(here)
    os.close(there)

    assert (asking.returncode, "nothing was erased" in said) == (1, True)


def test_rebuild_says_what_could_not_be_made(place: Place) -> None:
    place.orch("ledger", "heads", "sign")
    change(place.folder / "ledger", sql("DELETE FROM events WHERE n > 20"))

    done = place.orch("ledger", "rebuild")

    assert done.returncode == 6
    assert "which are gone" in clean(done)


def test_after_a_table_was_changed_verify_names_what_mends_it(place: Place) -> None:
    change(place.folder / "ledger", sql("DELETE FROM runs"))

    damaged = place.orch("ledger", "verify")
    rebuilt = place.orch("ledger", "rebuild")
    mended = place.orch("ledger", "verify")

    assert (damaged.returncode, rebuilt.returncode, mended.returncode) == (1, 0, 0)
    assert "`orch ledger rebuild` makes them anew" in " ".join(damaged.stdout.split())


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
