"""Drills by chance: any cell of any table, changed to another value of its type, is told, unless nothing depends on it."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import ledger_history
import psycopg
import pytest
import spoiled_ledger
from postgres_server import Server

from orchestrator.ledger import heads
from orchestrator.ledger.append import append_all
from orchestrator.ledger.erase import erase
from orchestrator.ledger.event import Draft
from orchestrator.ledger.init import grant
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.postgres_setup import Role
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_report import State

ALONE = Options(remembers=False)
MEANS_NOTHING = {
    ("heads", "signed_at"): "a time by the signer's clock, for people; the note does not hold it",
    ("events", "n"): "the order of rows: another number that leaves the order as it is",
    ("sequencer", "floor"): "how far the sequencer looks back; what it passed over is told",
    ("sequencer", "candidate"): "as the floor",
    ("sequencer", "horizon"): "as the floor",
}
"""Cells whose change may go untold, and why."""


def fill(ledger: Ledger) -> None:
    """Record events of every type, an erased one among them, and some without a head."""
    told = ledger_history.record(ledger)
    heads.sign(ledger)
    erase(ledger, told[2].id, "asked to", "user:alice")
    spoiled_ledger.record(ledger, "run-9")
    heads.sign(ledger)
    append_all(ledger, [Draft("orch.note", "adhoc:5", "user:bob")])


def other(value: Any, drawn: random.Random) -> Any:  # noqa: ANN401  # a cell's
    """Return another value of the same type."""
    if isinstance(value, int):
        return drawn.choice([value + 1, value - 1, -value - 7, value + 2**40])
    if isinstance(value, str):
        return drawn.choice([value + "x", value + " ", value[:-1] if value else "y", value.swapcase() + "\u200b"])
    spoiled = bytearray(value or b"\1")
    spoiled[drawn.randrange(len(spoiled))] ^= 1 << drawn.randrange(8)
    return drawn.choice([bytes(spoiled), value + b"\0", value[:-1] if value else b"\1"])


def is_told(place: str, table: str, column: str) -> bool:
    return verify(place, ALONE).state != State.VERIFIED or (table, column) in MEANS_NOTHING


def test_any_cell_of_a_file(tmp_path: Path, more: int) -> None:
    made, place = tmp_path / "made", tmp_path / "spoiled"
    with open_ledger(str(made)) as ledger:
        fill(ledger)
    drawn = random.Random(11 * more)  # noqa: S311
    assert verify(str(made), ALONE).state == State.VERIFIED
    with closing(sqlite3.connect(made / "ledger.db")) as raw:
        tables = [str(name) for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [(name, column) for name in tables for _, column, *_ in raw.execute(f"PRAGMA table_info({name})")]
    for table, column in cells * more:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(made, place)
        seen: list[Any] = []

        def how(raw: sqlite3.Connection, table: str = table, column: str = column, seen: list[Any] = seen) -> None:
            rows = raw.execute(f"SELECT {column} FROM {table}").fetchall()  # noqa: S608
            old = drawn.choice(rows)[0]
            new = other(old, drawn)
            try:
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))  # noqa: S608
            except sqlite3.IntegrityError:
                return  # the database itself refuses it
            seen.extend((old, new))

        spoiled_ledger.change(place, how)

        assert not seen or is_told(str(place), table, column), (table, column, seen)


def test_any_cell_on_a_server(postgres: Server, more: int) -> None:
    made = postgres.database()
    with open_ledger(postgres.url(made), as_owner=True) as ledger:
        fill(ledger)
    drawn = random.Random(12 * more)  # noqa: S311
    assert verify(postgres.url(made), ALONE).state == State.VERIFIED
    with psycopg.connect(postgres.url(made)) as raw:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'orch'"
        cells = raw.execute(query).fetchall()
    for table, column in drawn.sample(cells, 40 * min(more, 4)):
        spoiled = postgres.database(made)
        with psycopg.connect(postgres.url(spoiled), autocommit=True) as raw:
            raw.execute("SET session_replication_role = replica; SET search_path = orch")
            old = drawn.choice(raw.execute(f"SELECT {column} FROM {table}".encode()).fetchall())[0]  # noqa: S608
            new = other(old, drawn)
            try:
                raw.execute(f"UPDATE {table} SET {column} = %s WHERE {column} = %s".encode(), (new, old))  # noqa: S608
            except psycopg.Error:
                new = old  # the database itself refuses it

        assert new == old or is_told(postgres.url(spoiled), table, column), (table, column, old, new)
        postgres.drop(spoiled)
    postgres.drop(made)


SCHEMA = {
    "a trigger gone": "DROP TRIGGER events_stay ON events",
    "triggers that sleep": "ALTER TABLE events DISABLE TRIGGER ALL",
    "a trigger that does nothing": "CREATE OR REPLACE FUNCTION record_stays() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN RETURN NEW; END$$",
    "a rule": "CREATE RULE x AS ON INSERT TO organizations DO INSTEAD NOTHING",
    "a function that hides another": "CREATE FUNCTION sha256(string) RETURNS bytea LANGUAGE sql AS $$SELECT ''::bytea$$",
    "a view for a table": "ALTER TABLE runs RENAME TO r2; CREATE VIEW runs AS SELECT * FROM r2",
    "a key gone": "ALTER TABLE events DROP CONSTRAINT events_run_id_run_seq_key",
    "another check": "ALTER TABLE events ADD CHECK (outcome <> 'deny')",
    "rows that are hidden": "ALTER TABLE payloads ENABLE ROW LEVEL SECURITY",
    "a table that a crash empties": "ALTER TABLE payloads SET UNLOGGED",
    "a column more": "ALTER TABLE runs ADD COLUMN note text",
    "numbers that anybody draws": "ALTER TABLE events ALTER n SET GENERATED BY DEFAULT",
}


@pytest.mark.parametrize("how", SCHEMA.values(), ids=SCHEMA.keys())
def test_a_changed_schema_on_a_server_is_told(postgres_ledger: Ledger, how: str) -> None:
    place = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    append_all(postgres_ledger, [Draft("orch.note", "adhoc:1", "user:bob")])
    assert verify(place, ALONE).state == State.VERIFIED
    with psycopg.connect(place, autocommit=True) as raw:
        raw.execute("SET search_path = orch")
        raw.execute(how.encode())

    report = verify(place, ALONE)

    assert (report.state, {kind for kind, _ in report.counts}) == (State.TAMPERED, {"schema"})


def test_another_table_beside_is_no_finding(postgres_ledger: Ledger) -> None:
    place = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with psycopg.connect(place, autocommit=True) as raw:
        raw.execute("CREATE TABLE orch.notes (id int PRIMARY KEY); CREATE INDEX x ON orch.events (time)")

    assert verify(place, ALONE).state == State.VERIFIED


def test_what_a_writer_hides_from_the_sequencer_is_told(postgres: Server, postgres_ledger: Ledger) -> None:
    """A writer may move the sequencer's floor, so that what it adds then would never come under a head."""
    place = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    grant(postgres_ledger, Role("writer", may_write=True))
    with psycopg.connect(place.replace("owner@", "writer@"), autocommit=True) as raw:
        raw.execute("UPDATE orch.sequencer SET floor = 1000, candidate = 1000, horizon = 0")
    append_all(postgres_ledger, [Draft("orch.note", "adhoc:1", "user:bob")])
    heads.sign(postgres_ledger)

    report = verify(postgres_ledger, ALONE)

    assert report.state == State.TAMPERED
    assert "an event was passed over and will never have a leaf" in [finding.what for finding in report.findings]
