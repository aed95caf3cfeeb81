"""Backups: whole, private, usable where they lie, without the key; restoring loses nothing that was there."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from ledger_history import BLOB, DIGEST, record
from renewals import CHEAP

from orchestrator.errors import LedgerError, UsageError
from orchestrator.escalations import codes
from orchestrator.ledger import heads, read
from orchestrator.ledger.append import append_all
from orchestrator.ledger.backup import SEAL_KEY, backup, restore
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import verify

ONE = [Draft("orch.test", "r", "user:a")]


def ids(folder: Path) -> list[str]:
    with open_ledger(str(folder), must_exist=True) as opened, opened.store.reading() as connection:
        return [event.id for event in read.events(connection)]


def with_blob(ledger: Ledger, data: bytes = BLOB) -> Path:
    value = DIGEST.removeprefix("sha256:")
    blob = ledger.folder / "artifacts" / "sha256" / value[:2] / value
    for folder in (blob.parents[2], blob.parents[1], blob.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    blob.write_bytes(data)
    return blob


def test_a_backup_holds_events_and_artifacts_for_its_owner_alone_and_no_key(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    appended = record(sqlite_ledger)
    with_blob(sqlite_ledger)
    head = heads.sign(sqlite_ledger)

    done = backup(sqlite_ledger, tmp_path / "copy")

    files = {
        path.relative_to(tmp_path / "copy").as_posix(): path
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    value = DIGEST.removeprefix("sha256:")
    assert {"ledger.db", f"artifacts/sha256/{value[:2]}/{value}"} == set(files)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files.values()}
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert (len(appended) + 1, 1, head.note, ()) == (done.events, done.artifacts, done.head, done.missing)
    assert sum(path.stat().st_size for path in files.values()) == done.size_bytes
    assert [one.id for one in appended] == ids(tmp_path / "copy")[: len(appended)]


def test_nothing_is_overwritten_by_a_backup(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    (tmp_path / "copy").mkdir()

    with pytest.raises(UsageError, match="is there already"):
        backup(sqlite_ledger, tmp_path / "copy")


def test_a_backup_while_somebody_writes_has_whole_transactions(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    with open_ledger(str(sqlite_ledger.folder)) as other, other.store.writing() as connection:
        connection.execute("INSERT INTO organizations (name) VALUES ('half')")

        done = backup(sqlite_ledger, tmp_path / "copy")

    assert done.events == 1
    with closing(sqlite3.connect(tmp_path / "copy" / "ledger.db")) as raw:
        assert raw.execute("SELECT * FROM organizations").fetchall() == []


def test_artifacts_that_are_missing_or_changed_are_named(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)

    missing = backup(sqlite_ledger, tmp_path / "one")
    with_blob(sqlite_ledger, b"other")
    changed = backup(sqlite_ledger, tmp_path / "two")

    assert (missing.missing, changed.missing) == ((DIGEST,), (DIGEST,))


def test_a_lost_ledger_is_made_again_from_its_backup(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    with_blob(sqlite_ledger)
    backup(sqlite_ledger, tmp_path / "copy")

    done = restore(tmp_path / "copy", tmp_path / "deep" / "new")

    assert (done.kept, done.has_key, done.backup.missing) == (None, False, ())
    assert ids(tmp_path / "copy") == ids(tmp_path / "deep" / "new")
    assert next(path for path in (tmp_path / "deep").rglob("*") if path.name == DIGEST[7:]).read_bytes() == BLOB


def test_what_is_there_is_replaced_only_when_asked_and_kept_beside(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    heads.sign(sqlite_ledger)
    backup(sqlite_ledger, tmp_path / "copy")
    append_all(sqlite_ledger, ONE)
    newer = ids(sqlite_ledger.folder)
    sqlite_ledger.close()

    with pytest.raises(UsageError, match="already"):
        restore(tmp_path / "copy", sqlite_ledger.folder)
    done = restore(tmp_path / "copy", sqlite_ledger.folder, is_replacing=True)

    assert done.kept is not None
    assert (newer[:-1], newer) == (ids(sqlite_ledger.folder), ids(done.kept))
    assert done.has_key
    with open_ledger(str(sqlite_ledger.folder)) as opened:
        append_all(opened, ONE)
        assert heads.sign(opened).size == 3


def test_another_ledgers_key_is_not_taken(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    backup(sqlite_ledger, tmp_path / "copy")
    with open_ledger(str(tmp_path / "other")) as other:
        append_all(other, ONE)
        heads.sign(other)

    done = restore(tmp_path / "copy", tmp_path / "other", is_replacing=True)

    assert not done.has_key


def test_what_is_no_backup_changes_nothing(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    before = ids(sqlite_ledger.folder)
    broken = tmp_path / "broken"
    broken.mkdir()

    with pytest.raises(UsageError, match="there is no backup"):
        restore(broken, sqlite_ledger.folder, is_replacing=True)
    (broken / "ledger.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(LedgerError):
        restore(broken, sqlite_ledger.folder, is_replacing=True)

    assert before == ids(sqlite_ledger.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "home", "ledger"]


def test_a_damaged_ledger_or_backup_is_an_error_of_the_ledger(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    backup(sqlite_ledger, tmp_path / "copy")
    with sqlite_ledger.store.reading() as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'artifacts'")[0][0]
    sqlite_ledger.close()
    for folder in (sqlite_ledger.folder, tmp_path / "copy"):
        data = bytearray((folder / "ledger.db").read_bytes())
        data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
        (folder / "ledger.db").write_bytes(data)

    with pytest.raises(LedgerError, match="is damaged"):
        restore(tmp_path / "copy", tmp_path / "made")
    with open_ledger(str(sqlite_ledger.folder)) as opened, pytest.raises(LedgerError, match="is damaged") as failure:
        backup(opened, tmp_path / "other")

    assert "docs/ledger-use.md" in failure.value.advice
    report = verify(str(sqlite_ledger.folder))
    assert not any("\n" in doubt for doubt in report.doubts)


def test_a_backup_inside_of_the_ledgers_folder_is_not_restored_over_itself(sqlite_ledger: Ledger) -> None:
    append_all(sqlite_ledger, ONE)
    backup(sqlite_ledger, sqlite_ledger.folder / "copy")

    with pytest.raises(UsageError, match="lies where"):
        restore(sqlite_ledger.folder / "copy", sqlite_ledger.folder, is_replacing=True)


def test_the_key_of_seals_is_in_no_backup_and_kept_beside_a_ledger_that_is_replaced(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    codes.issue(sqlite_ledger, "continuity", codes.draw(sqlite_ledger, "continuity", cost=CHEAP), "user:ann")
    key = (sqlite_ledger.folder / SEAL_KEY).read_bytes()
    backup(sqlite_ledger, tmp_path / "copy")
    sqlite_ledger.close()

    elsewhere = restore(tmp_path / "copy", tmp_path / "new")
    here = restore(tmp_path / "copy", sqlite_ledger.folder, is_replacing=True)

    assert not (tmp_path / "copy" / SEAL_KEY).exists()
    assert (elsewhere.lacks_seal_key, here.lacks_seal_key) == (True, False)
    assert (sqlite_ledger.folder / SEAL_KEY).read_bytes() == key
    assert stat.S_IMODE((sqlite_ledger.folder / SEAL_KEY).stat().st_mode) == 0o600


def test_a_ledger_without_codes_lacks_no_key_of_seals(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, ONE)
    backup(sqlite_ledger, tmp_path / "copy")

    assert not restore(tmp_path / "copy", tmp_path / "new").lacks_seal_key
