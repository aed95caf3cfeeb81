"""What a slip or a bad turn must not do: make a ledger, end a tick halfway, repeat a code, or go by what was tampered with."""

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean, command
from escalation_world import NAME
from ticking import Ticking, ticking

from orchestrator.errors import Exit

CODE = "7QK3-0F1Z-9ABC-DEFG-HJKM-NPQR-STVW"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


def test_a_tick_makes_no_ledger(here: Ticking, tmp_path: Path) -> None:
    done = here.world.orch("tick", "--ledger", tmp_path / "mistyped")

    assert done.returncode == Exit.UNDECIDABLE, clean(done)
    assert "there is no ledger yet" in done.stderr
    assert not (tmp_path / "mistyped").exists()


def test_a_new_ledger_where_keys_of_another_lie_is_no_well_one(here: Ticking) -> None:
    folder = Path(here.world.ledger)
    for file in folder.glob("ledger.db*"):
        file.unlink()
    with here.world.opened():
        pass
    (folder / "seal.key").write_text("ab" * 32)

    done = here.world.orch("tick")

    assert done.returncode == Exit.UNDECIDABLE, clean(done)
    assert "seal.key lies beside a ledger that has no codes" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("tick", CODE), ("status", f"continuity{CODE}"), ("set-deadline", "--in", CODE), ("tick", "--ledger", CODE)],
    ids=["tick", "status", "set-deadline", "ledger"],
)
def test_a_code_in_a_wrong_place_is_not_repeated(here: Ticking, arguments: tuple[str, ...]) -> None:
    done = here.world.orch(*arguments)

    assert done.returncode == Exit.USAGE
    assert "0F1Z" not in done.stdout + done.stderr
    assert not (here.world.work / CODE).exists()


@pytest.mark.parametrize("now", ["2262-04-11T23:47:00Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"])
@pytest.mark.parametrize("command", [("set-deadline", "--in", "1h"), ("tick",), ("status",)], ids=lambda one: one[0])
def test_a_time_that_cannot_be_gone_by_is_refused(here: Ticking, command: tuple[str, ...], now: str) -> None:
    done = here.world.orch(*command, "--now", now)

    assert done.returncode == Exit.USAGE, clean(done)
    assert "expected a time after 1970 and before 2150" in done.stderr


@pytest.mark.parametrize("option", ["--from", "--deadline"])
def test_nor_is_it_simulated(here: Ticking, option: str) -> None:
    done = here.world.orch("simulate", option, "2262-04-11T23:47:00Z")

    assert done.returncode == Exit.USAGE, clean(done)


def test_a_tick_is_finished_though_nobody_can_read_of_it(here: Ticking) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # our own command
            command("tick", "--now", "2026-11-21T06:00:00Z"),
            cwd=here.world.work,
            env=here.world.place.environ,
            stdout=full,
            check=False,
            timeout=60,
        )

    assert (done.returncode, here.subjects(), here.record.stage, here.record.ticker) == (
        1,
        ["6 hours left"],
        "remind_6h",
        "",
    )


def test_a_table_that_was_changed_beside_the_record_is_not_gone_by(here: Ticking) -> None:
    with sqlite3.connect(Path(here.world.ledger) / "ledger.db") as raw:
        raw.execute("UPDATE escalations SET deadline = deadline - 86400000000000 WHERE name = ?", (NAME,))

    done = here.world.orch("tick", "--now", "2026-11-21T06:00:00Z")

    assert done.returncode == Exit.UNDECIDABLE, clean(done)
    assert "changed beside the record" in done.stdout
    assert here.subjects() == []
