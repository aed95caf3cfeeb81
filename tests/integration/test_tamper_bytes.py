"""Drills on the bytes of a ledger's file: whatever is in it, `verify` never fails, and never calls it verified by mistake."""

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
import spoiled_ledger

from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_heads import Held
from orchestrator.ledger.verify_report import State

ALONE = Options(remembers=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Held]:
    """Return a ledger, and its last head as somebody held it."""
    folder = tmp_path_factory.mktemp("made") / "ledger"
    return folder, spoiled_ledger.make(folder)


@pytest.fixture
def place(made: tuple[Path, Held], tmp_path: Path) -> Path:
    """Return a copy to be spoiled."""
    return Path(shutil.copytree(made[0], tmp_path / "ledger"))


def logical(file: Path) -> object:
    """Return everything that the file says, or the error in reading it."""
    raw = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        made = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name, type").fetchall()
        tables = [name for kind, name, *_ in made if kind == "table"]
        rows = [sorted(map(repr, raw.execute(f"SELECT * FROM {name}"))) for name in tables]  # noqa: S608
    except (sqlite3.Error, MemoryError) as error:
        return repr(error)
    else:
        return made, rows
    finally:
        raw.close()


def test_no_flipped_byte_is_called_verified_unless_it_means_nothing(place: Path, more: int) -> None:
    """In each page of the file a few bytes are changed, one at a time."""
    file = place / "ledger.db"
    good, expected = file.read_bytes(), logical(file)
    size = int.from_bytes(good[16:18], "big")
    drawn = random.Random(4)  # noqa: S311
    seen = dict.fromkeys(State, 0)
    for page in range(len(good) // size):
        body = [drawn.randrange(size) for _ in range(more)]
        for offset in (*body, drawn.randrange(12), size - 1 - drawn.randrange(200)):
            spoiled = bytearray(good)
            spoiled[page * size + offset] ^= drawn.randrange(1, 256)
            file.write_bytes(spoiled)
            report = verify(str(place), ALONE)
            seen[report.state] += 1
            is_told = report.state != State.VERIFIED
            assert is_told or logical(file) == expected, (page, offset)
    assert seen[State.TAMPERED] > 10
    assert seen[State.CANNOT_TELL] > 10


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(5000), bytes(8192)])
def test_a_file_that_is_no_database_leaves_doubt(place: Path, content: bytes) -> None:
    (place / "ledger.db").write_bytes(content)

    report = verify(str(place), ALONE)

    assert (report.state, bool(report.doubts)) == (State.CANNOT_TELL, True)
    assert (place / "ledger.db").read_bytes() == content


@pytest.mark.parametrize("left", [100, 4096, 5000, 40_000])
def test_a_file_that_was_cut_is_told(place: Path, left: int) -> None:
    file = place / "ledger.db"
    file.write_bytes(file.read_bytes()[:left])

    assert verify(str(place), ALONE).state != State.VERIFIED


def test_a_pipe_for_a_ledger_is_not_waited_for(place: Path) -> None:
    (place / "ledger.db").unlink()
    os.mkfifo(place / "ledger.db")

    report = verify(str(place), ALONE)

    assert report.state == State.CANNOT_TELL
    assert "no plain file" in report.doubts[0]
