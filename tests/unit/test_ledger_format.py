"""A ledger of an older format is brought to this one when it is opened to be written, and can be verified before."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import spoiled_ledger
from postgres_server import Server

from orchestrator.errors import LedgerError
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.look import looking
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import SCHEMA_VERSION
from orchestrator.ledger.verify import verify

SQL = Path(spoiled_ledger.__file__).parents[1] / "orchestrator" / "ledger" / "sql"
DRAFT = Draft("orch.run.started", "later", "user:ann", {"kind": "tick"})


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with a ledger of format 1, in which something is recorded."""
    spoiled_ledger.make(tmp_path / "new")
    folder = tmp_path / "older"
    folder.mkdir(mode=0o700)
    (folder / "ledger.db").touch(mode=0o600)
    (folder / "head.key").write_bytes((tmp_path / "new" / "head.key").read_bytes())
    (folder / "head.key").chmod(0o600)
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.executescript((SQL / "sqlite" / "0001_ledger.sql").read_text())
        raw.execute("ATTACH ? AS new", (str(tmp_path / "new" / "ledger.db"),))
        for (table,) in raw.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(row[1] for row in raw.execute(f"PRAGMA main.table_info({table})"))
            raw.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")  # noqa: S608  # of the schema
        raw.execute("PRAGMA user_version=1")
    return folder


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A folder with a ledger of format 2: as it was before there were escalations."""
    folder = tmp_path / "second"
    spoiled_ledger.make(folder)
    tables = (
        "escalations",
        "escalation_orders",
        "escalation_plans",
        "renewal_codes",
        "renewal_attempts",
        "renewal_counters",
    )
    spoiled_ledger.change(
        folder, spoiled_ledger.sql(*(f"DROP TABLE {name}" for name in tables), "PRAGMA user_version=2")
    )
    return folder


def version_of(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "ledger.db")) as raw:
        return int(raw.execute("PRAGMA user_version").fetchone()[0])


def test_an_older_ledger_verifies_as_it_is(older: Path) -> None:
    report = verify(str(older))

    assert str(report.state) == "verified", report
    assert version_of(older) == 1


def test_an_older_ledger_is_brought_up_to_date_by_whoever_writes(older: Path) -> None:
    with open_ledger(str(older)) as ledger:
        append_all(ledger, [DRAFT])

    report = verify(str(older))

    assert version_of(older) == SCHEMA_VERSION
    assert str(report.state) == "verified", report


def test_a_ledger_of_format_2_verifies_and_gets_the_tables_of_escalations(second: Path) -> None:
    before = verify(str(second))
    with open_ledger(str(second)) as ledger, ledger.store.reading() as connection:
        began = connection.execute("SELECT count(*) FROM escalations")

    after = verify(str(second))

    assert (str(before.state), str(after.state), version_of(second)) == ("verified", "verified", SCHEMA_VERSION)
    assert began == [(0,)]


def test_several_at_once_bring_it_up_to_date_once(older: Path) -> None:
    def record(number: int) -> None:
        with open_ledger(str(older)) as ledger:
            append_all(ledger, [DRAFT._replace(run_id=f"run-{number}")])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(record, range(6)))

    assert str(verify(str(older)).state) == "verified"


def test_what_was_changed_in_an_older_ledger_is_found(older: Path) -> None:
    spoiled_ledger.change(older, spoiled_ledger.sql("UPDATE runs SET actor = 'user:eve' WHERE id = 'run-1'"))

    assert str(verify(str(older)).state) == "tampered"


def test_a_ledger_that_says_it_is_older_than_it_is_is_tampered(tmp_path: Path) -> None:
    spoiled_ledger.make(tmp_path / "ledger")
    spoiled_ledger.change(tmp_path / "ledger", spoiled_ledger.sql("PRAGMA user_version=1"))

    assert str(verify(str(tmp_path / "ledger")).state) == "tampered"


def test_looking_leaves_no_file_behind(tmp_path: Path) -> None:
    spoiled_ledger.make(tmp_path / "ledger")
    before = sorted(path.name for path in (tmp_path / "ledger").iterdir())

    with looking(str(tmp_path / "ledger")) as ledger, looking(str(tmp_path / "nowhere")) as nothing:
        assert ledger is not None
        with ledger.store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM events") == [(spoiled_ledger.SIZE,)]

    assert nothing is None
    assert sorted(path.name for path in (tmp_path / "ledger").iterdir()) == before


def test_an_older_ledger_on_a_server_is_brought_up_to_date_by_its_owner_alone(postgres: Server) -> None:
    database = postgres.database()
    with open_ledger(postgres.url(database), as_owner=True) as ledger:
        append_all(ledger, [DRAFT])
    with psycopg.connect(postgres.url(database), autocommit=True) as raw:
        raw.execute("SET search_path = orch")
        raw.execute("GRANT USAGE ON SCHEMA orch TO writer")
        raw.execute("GRANT SELECT ON ALL TABLES IN SCHEMA orch TO writer")
        raw.execute("GRANT INSERT ON events TO writer")
        newer = (
            "escalations",
            "escalation_orders",
            "escalation_plans",
            "renewal_codes",
            "renewal_attempts",
            "renewal_counters",
        )
        for table in ("actions", "phases", *newer):
            raw.execute(f"DROP TABLE {table}")
        for index in ("runs_of_state", "runs_of_name"):
            raw.execute(f"DROP INDEX {index}")
        for column in ("name", "mode", "plan_digest", "segment", "waiting_for"):
            raw.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        raw.execute("UPDATE meta SET value = '1' WHERE name = 'format'")

    with pytest.raises(LedgerError, match="has format 1, and this orch writes format 3") as failure:
        open_ledger(postgres.url(database))
    with open_ledger(postgres.url(database), as_owner=True) as ledger:
        report = verify(ledger)
    with psycopg.connect(postgres.url(database)) as raw:
        said = "SELECT has_table_privilege('writer', 'orch.{}', '{}')"
        may = [
            raw.execute(said.format("actions", "INSERT")).fetchone(),
            raw.execute(said.format("escalations", "UPDATE")).fetchone(),
        ]

    assert "orch ledger init" in failure.value.advice
    assert str(report.state) == "verified", report
    assert may == [(True,), (True,)]
    postgres.drop(database)
