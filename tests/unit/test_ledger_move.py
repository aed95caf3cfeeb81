"""A ledger that outgrew its machine moves to a server: the same bytes, the same heads, and it goes on there."""

from pathlib import Path

import pytest
from ledger_history import BLOB, DIGEST, record

from orchestrator.errors import UsageError
from orchestrator.ledger import heads, read
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.export import export
from orchestrator.ledger.move import move
from orchestrator.ledger.offline import check
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.project import TABLES
from orchestrator.ledger.rebuild import differences
from orchestrator.ledger.store import Ledger

RECORD = (
    "SELECT id, header FROM events ORDER BY n",
    "SELECT * FROM leaves ORDER BY idx",
    "SELECT * FROM heads ORDER BY size",
)


def content(ledger: Ledger) -> list[str]:
    with ledger.store.reading() as connection:
        said = [connection.execute(sql) for sql in (*RECORD, "SELECT * FROM payloads", "SELECT * FROM chains")]
        said += [connection.execute(f"SELECT * FROM {table}") for table in TABLES]  # noqa: S608  # constants
    return [
        repr(sorted([tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in rows]))
        for rows in said
    ]


def test_everything_moves_and_goes_on(sqlite_ledger: Ledger, postgres_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    blob = sqlite_ledger.folder / "artifacts" / "sha256" / DIGEST[7:9] / DIGEST[7:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(BLOB)
    held = heads.sign(sqlite_ledger)

    done = move(sqlite_ledger, postgres_ledger)

    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with open_ledger(url, as_owner=True) as moved:
        (moved.folder / "head.key").write_bytes((sqlite_ledger.folder / "head.key").read_bytes())
        (moved.folder / "head.key").chmod(0o600)
        assert (done.missing, sqlite_ledger.id) == ((), moved.id)
        assert content(sqlite_ledger) == content(moved)
        append_all(moved, [Draft("orch.test", "run-7f3a", "user:a")])
        exported = export(moved, tmp_path / "x.tar")
        with moved.store.reading() as connection:
            assert list(differences(moved, connection)) == []
            assert len(list(read.events(connection))) == done.events + 1
    assert exported.head.size == held.size + 1
    assert check(tmp_path / "x.tar", exported.key, held.note).exit_code == 0


def test_each_ledger_on_a_server_has_a_folder_of_its_own(
    sqlite_ledger: Ledger, postgres_ledger: Ledger, home: Path
) -> None:
    state = home / ".local" / "state" / "orch"
    record(sqlite_ledger)

    before = postgres_ledger.folder
    done = move(sqlite_ledger, postgres_ledger)
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with open_ledger(url) as moved:
        after = moved.folder
    with open_ledger(url, environ={"HOME": str(home), "ORCH_ARTIFACTS": str(home / "named")}) as named:
        chosen = named.folder

    assert before == state / "postgres" / postgres_ledger.id
    assert done.folder == after == state / "postgres" / sqlite_ledger.id
    assert (done.has_key, before.exists(), chosen) == (False, False, home / "named")


def test_nothing_moves_to_where_something_is(sqlite_ledger: Ledger, postgres_ledger: Ledger) -> None:
    for ledger in (sqlite_ledger, postgres_ledger):
        append_all(ledger, [Draft("orch.test", "r", "user:a")])

    with pytest.raises(UsageError, match="holds events already"):
        move(sqlite_ledger, postgres_ledger)
