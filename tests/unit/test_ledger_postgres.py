"""The ledger on PostgreSQL: a writer can only add, an owner prepares, and what goes wrong is said without a password."""

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command_line import clean, place_in
from postgres_server import Server, binaries

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import heads
from orchestrator.ledger.append import append, append_all
from orchestrator.ledger.event import Draft, leaf_hash
from orchestrator.ledger.follow import Window
from orchestrator.ledger.init import grant, initialise, notes
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.postgres_setup import Role
from orchestrator.ledger.psql import PostgresConnection, native, sequence, shown
from orchestrator.ledger.read import Filter
from orchestrator.ledger.store import SCHEMA_VERSION, Ledger
from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_report import State

RECORD = {"events": "header", "payloads": "body", "leaves": "idx", "heads": "size", "meta": "value"}
CHANGES = ("UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}")
DRAFT = Draft("orch.decision", "run-1", "agent:fixer", {"label": "x"}, repository="acme/web")


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """Return the name of an empty database."""
    name = postgres.database()
    yield name
    postgres.drop(name)


@pytest.fixture
def writer(postgres: Server, database: str) -> Iterator[Ledger]:
    """Return a ledger opened by the role that may only write."""
    initialise(postgres.url(database), writers=["writer"], readers=["reader"])
    with open_ledger(postgres.url(database, "writer")) as opened:
        yield opened


def change(ledger: Ledger, sql: str) -> None:
    with ledger.store.writing() as connection:
        connection.execute(sql)


def raw_of(ledger: Ledger) -> "psycopg.Connection[Any]":
    raw: psycopg.Connection[Any] = ledger.store._raw  # type: ignore[attr-defined]  # a PostgresStore
    return raw


def test_a_writer_appends_and_gives_leaves(writer: Ledger) -> None:
    [event] = append_all(writer, [DRAFT])

    with writer.store.writing() as connection:
        assert sequence(connection) == 1
    with writer.store.reading() as connection:
        assert connection.execute("SELECT idx, hash FROM leaves") == [(0, leaf_hash(event.header))]
        assert connection.execute("SELECT id FROM repositories") == [("acme/web",)]


def test_a_writer_cannot_change_the_record(writer: Ledger) -> None:
    for table, column in RECORD.items():
        for how in CHANGES:
            with pytest.raises(LedgerError, match="does not let this role do that") as failure:
                change(writer, how.format(table, column=column))
            assert "owner" in failure.value.advice


def test_triggers_stop_the_owner_too(postgres_ledger: Ledger) -> None:
    append_all(postgres_ledger, [DRAFT])
    with postgres_ledger.store.writing() as connection:
        sequence(connection)
        query = "INSERT INTO heads (size, root, note, signed_at, frontier) VALUES (1, ?, '', '', ?)"
        connection.execute(query, (b"x", b"x"))

    for table in RECORD.keys() - {"meta"}:
        for how in CHANGES[:3]:
            with pytest.raises(LedgerError, match=r"never|only after an event"):
                change(postgres_ledger, how.format(table, column=RECORD[table]))


def test_a_payload_is_deleted_once_an_event_says_so(postgres_ledger: Ledger) -> None:
    [event] = append_all(postgres_ledger, [DRAFT])
    erased = Draft("orch.ledger.erased", "ledger:", "user:a", {"event": event.id, "datahash": "", "reason": "asked"})

    append_all(postgres_ledger, [erased])
    with postgres_ledger.store.writing() as connection:
        assert connection.change("DELETE FROM payloads WHERE event_id = ?", (event.id,)) == 1


def test_a_reader_reads_and_cannot_append(writer: Ledger, postgres: Server, database: str) -> None:
    append_all(writer, [DRAFT])

    with open_ledger(postgres.url(database, "reader")) as reader:
        with reader.store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM events") == [(1,)]
        with pytest.raises(LedgerError, match="does not let this role"):
            append_all(reader, [DRAFT])


def test_only_an_owner_makes_tables(postgres: Server, database: str) -> None:
    for as_owner in (False, True):
        with pytest.raises(LedgerError, match=r"is not there yet|permission denied|does not let") as failure:
            open_ledger(postgres.url(database, "writer"), as_owner=as_owner)
        assert "init" in failure.value.advice


def test_what_needs_the_owner_says_so_to_a_writer(writer: Ledger, postgres: Server, database: str) -> None:
    with pytest.raises(LedgerError, match=r"only the owner .* 'owner', and you are 'writer'"):
        open_ledger(postgres.url(database, "writer"), as_owner=True)


def test_two_owners_at_once_make_one_ledger(postgres: Server, database: str) -> None:
    assert initialise(postgres.url(database)).ledger == initialise(postgres.url(database)).ledger


def test_a_ledger_of_a_newer_orch_is_left_alone(postgres: Server, database: str) -> None:
    initialise(postgres.url(database))
    with psycopg.connect(postgres.url(database), autocommit=True) as raw:
        raw.execute("UPDATE orch.meta SET value = '999' WHERE name = 'format'")

    for as_owner in (False, True):
        with pytest.raises(LedgerError, match=f"has format 999; this orch knows formats up to {SCHEMA_VERSION}"):
            open_ledger(postgres.url(database), as_owner=as_owner)


def test_an_older_ledger_is_migrated_by_its_owner_alone(postgres: Server, database: str) -> None:
    initialise(postgres.url(database), writers=["writer"])
    with psycopg.connect(postgres.url(database), autocommit=True) as raw:
        raw.execute("DROP SCHEMA orch CASCADE")

    with pytest.raises(LedgerError, match="not there yet"):
        open_ledger(postgres.url(database, "writer"))
    assert initialise(postgres.url(database), writers=["writer"]).writers == ["writer"]


@pytest.mark.parametrize(
    ("role", "kind", "said"),
    [("nobody-here", UsageError, "no role"), ("owner", LedgerError, "owns the ledger or is a superuser")],
)
def test_what_cannot_be_granted_is_refused(
    postgres_ledger: Ledger, role: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        grant(postgres_ledger, Role(role, may_write=True))


def test_notes_tell_of_a_role_that_could_rewrite_the_record(writer: Ledger, postgres_ledger: Ledger) -> None:
    assert not any("superuser" in note for note in notes(writer))
    assert any("superuser" in note for note in notes(postgres_ledger))


def test_init_tells_what_it_made(postgres: Server, database: str, tmp_path: Path) -> None:
    with place_in(tmp_path, ORCH_LEDGER=postgres.url(database)) as place:
        done = place.orch("ledger", "init", "--writer", "writer")
        again = place.orch("ledger", "init")
        folder = place.orch("ledger", "init", "--ledger", str(tmp_path / "x"))

    assert (done.returncode, again.returncode, folder.returncode) == (0, 0, 2), clean(done)
    assert "writer may read it and add to it" in clean(done)
    assert re.search(
        rf"^ledger [0-9a-f]{{32}} at postgresql://owner@/.*, format {SCHEMA_VERSION}$", clean(again), re.MULTILINE
    )
    assert "needs no preparation" in clean(folder)


def test_no_error_shows_the_password(postgres: Server, database: str) -> None:
    folder = postgres.folder
    urls = [
        f"postgresql://writer:s3cr%40t@/{database}?host={folder}",
        f"postgresql://writer:s3cr%40t@/nowhere?host={folder}",
        f"postgresql://writer@/nowhere?host={folder}&password=s3cr%40t",
        "postgresql://writer:s3cr%40t@127.0.0.1:1/x",
        "postgresql://writer:s3cr%40t@[bad/x",
        "postgresql://writer:s3cr%40t@host:port/x",
        "postgresql://writer:s3cr%40t@host/x?s3cr%40t=1",
    ]
    for url in urls:
        with pytest.raises((LedgerError, UsageError)) as failure:
            open_ledger(url)
        said = f"{failure.value} {failure.value.advice}"
        assert "s3cr" not in said
        assert failure.value.advice


def test_where_artifacts_cannot_lie_the_way_out_is_named(postgres: Server, database: str) -> None:
    url = postgres.url(database)
    initialise(url)
    for environ in ({"HOME": "relative"}, {"ORCH_ARTIFACTS": "/proc/x"}):
        with pytest.raises(LedgerError, match="no place for artifacts and keys") as failure:
            open_ledger(url, environ=environ)

        assert "ORCH_ARTIFACTS" in failure.value.advice
        assert "ORCH_LEDGER" not in failure.value.advice


def test_a_url_is_shown_without_its_password() -> None:
    assert shown("postgresql://a:b@h:5433/d?sslmode=require") == "postgresql://a@h:5433/d"
    assert shown("postgresql://a:b@/d?host=/run/my%20pg&port=5433") == "postgresql://a@/d?host=/run/my%20pg&port=5433"


def test_a_role_or_database_that_is_none_is_told_how_to_be_made(postgres: Server, database: str) -> None:
    for url in (postgres.url("nowhere"), postgres.url(database, "nobody_such")):
        with pytest.raises(LedgerError, match="does not exist") as failure:
            open_ledger(url)

        assert "docs/ledger-postgres.md, Prepare" in failure.value.advice


def test_placeholders_and_percent_signs_stand_for_themselves() -> None:
    assert native("SELECT '?' || ? WHERE x LIKE '%' AND y = ?") == "SELECT '?' || %s WHERE x LIKE '%%' AND y = %s"


def test_values_come_back_as_they_went_in(postgres_ledger: Ledger) -> None:
    with postgres_ledger.store.writing() as connection:
        connection.execute("CREATE TABLE x (a BIGINT, b string, c BYTEA)")
        connection.execute("INSERT INTO x VALUES (?, ?, ?)", (True, "ä%?", b"\0\xff"))
        assert connection.execute("SELECT a, b, c FROM x WHERE b LIKE '%?'") == [(1, "ä%?", b"\0\xff")]


def test_a_stream_may_be_left_early(postgres_ledger: Ledger) -> None:
    with postgres_ledger.store.reading() as connection:
        assert next(iter(connection.stream("SELECT n FROM generate_series(1, ?) AS n", (1_000_000,)))) == (1,)
        assert connection.execute("SELECT 1") == [(1,)]


def test_an_error_that_was_caught_never_counts_as_recorded(postgres_ledger: Ledger) -> None:
    def careless() -> None:
        with postgres_ledger.store.writing() as connection:
            connection.execute("INSERT INTO organizations (name) VALUES ('acme')")
            with suppress(psycopg.Error):
                connection.execute("SELECT * FROM nothing")

    with pytest.raises(LedgerError, match="recorded nothing"):
        careless()

    with postgres_ledger.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM organizations") == [(0,)]


def test_a_writer_that_waits_too_long_is_told_to_try_again(postgres: Server, postgres_ledger: Ledger) -> None:
    append_all(postgres_ledger, [DRAFT])
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with open_ledger(url) as other:
        raw_of(other).execute("SET lock_timeout = 50")
        with postgres_ledger.store.writing() as held:
            held.execute("UPDATE chains SET head = head")
            with pytest.raises(LedgerError, match="is busy") as failure:
                append_all(other, [DRAFT])

    assert "try again" in failure.value.advice


def test_a_reader_of_the_timeline_that_waits_too_long_is_told_so(postgres_ledger: Ledger) -> None:
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with open_ledger(url) as other, psycopg.connect(url) as held:
        raw_of(other).execute("SET lock_timeout = 50")
        held.execute("LOCK TABLE orch.events IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(LedgerError, match="is busy"), Window(other, Filter()):
            pass


@pytest.mark.parametrize("said", ["x", "1.5", "", "-1"])
def test_a_format_that_is_no_number_is_told(postgres_ledger: Ledger, said: str) -> None:
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with psycopg.connect(url) as raw:
        raw.execute("UPDATE orch.meta SET value = %s WHERE name = 'format'", (said,))

    with pytest.raises(LedgerError, match="expected a number"):
        open_ledger(url)


def test_a_connection_that_the_server_ended_is_made_again(postgres: Server, postgres_ledger: Ledger) -> None:
    pid = raw_of(postgres_ledger).info.backend_pid
    with psycopg.connect(postgres.url(), autocommit=True) as raw:
        raw.execute("SELECT pg_terminate_backend(%s)", (pid,))

    with pytest.raises(LedgerError, match="cannot be used"):
        append_all(postgres_ledger, [DRAFT])
    assert append_all(postgres_ledger, [DRAFT])[0].fields["runseq"] == 1


def test_the_sequencer_misses_nothing_and_looks_back_no_further_than_it_must(postgres_ledger: Ledger) -> None:
    """An event that a slow writer drew early and committed late gets its leaf, although later ones have theirs."""
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore

    def sequenced() -> int:
        with postgres_ledger.store.writing() as connection:
            return sequence(connection)

    append_all(postgres_ledger, [DRAFT])  # the repository is known, or the others would wait for whoever adds it
    with open_ledger(url) as slow, slow.store.writing() as held:
        append(slow, held, DRAFT._replace(run_id="slow"))
        append_all(postgres_ledger, [DRAFT] * 5)
        assert [sequenced() for _ in range(4)] == [6, 0, 0, 0]
        append_all(postgres_ledger, [DRAFT])
    assert [sequenced() for _ in range(3)] == [2, 0, 0]
    with postgres_ledger.store.reading() as connection:
        [(floor,)] = connection.execute("SELECT floor FROM sequencer")
        assert connection.execute("SELECT count(*), max(idx) FROM leaves") == [(8, 7)]
        assert connection.execute("SELECT count(*) FROM events WHERE n <= ?", (floor,)) == [(8,)]


def test_both_schemas_have_the_same_tables(postgres_ledger: Ledger, sqlite_ledger: Ledger) -> None:
    with postgres_ledger.store.reading() as connection:
        query = """SELECT table_name, column_name, coalesce(domain_name, data_type) FROM information_schema.columns
                   WHERE table_schema = 'orch' AND table_name <> 'sequencer' ORDER BY table_name, ordinal_position"""
        server = [tuple(map(str, row)) for row in connection.execute(query)]
        index_query = "SELECT indexname FROM pg_indexes WHERE schemaname = 'orch' AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        server_indexes = [str(name) for (name,) in connection.execute(index_query)]
    kinds = {"TEXT": "string", "INTEGER": "bigint", "BLOB": "bytea"}
    with sqlite3.connect(sqlite_ledger.folder / "ledger.db") as raw:
        tables = [
            name
            for (name,) in raw.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1"
            )
        ]
        file = [
            (table, column[1], kinds[column[2]])
            for table in tables
            for column in raw.execute(f"PRAGMA table_info({table})")
        ]
        indexes = [
            name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        ]
    raw.close()

    assert server == file
    assert sorted(server_indexes) == sorted(indexes)


def test_text_sorts_by_its_bytes(postgres_ledger: Ledger) -> None:
    with postgres_ledger.store.writing() as connection:
        for name in ("b", "B", "a", "ä", "_"):
            connection.execute("INSERT INTO organizations (name) VALUES (?)", (name,))
        found = [name for (name,) in connection.execute("SELECT name FROM organizations ORDER BY name")]

    assert found == ["B", "_", "a", "b", "ä"]


def test_a_connection_of_somebody_else_keeps_its_own_booleans(postgres: Server) -> None:
    with psycopg.connect(postgres.url()) as raw:
        assert PostgresConnection(raw).execute("SELECT ?::bigint", (True,)) == [(1,)]
        assert raw.execute("SELECT %s", (True,)).fetchall() == [(True,)]


def test_a_dump_restores_to_a_ledger_that_verifies(postgres: Server, postgres_ledger: Ledger) -> None:
    """As docs/ledger-postgres.md says, with the server's own programs."""
    programs = binaries()
    assert programs is not None
    append_all(postgres_ledger, [DRAFT._replace(run_id=f"run-{at % 3}") for at in range(9)])
    heads.sign(postgres_ledger)
    file, restored = postgres_ledger.folder / "orch.dump", postgres.url(postgres.database())
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore

    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={file}", url], check=True)
    subprocess.run([programs / "pg_restore", "--exit-on-error", f"--dbname={restored}", file], check=True)

    with open_ledger(restored, as_owner=True) as ledger:
        assert ledger.id == postgres_ledger.id
        append_all(ledger, [DRAFT] * 2)
        assert heads.sign(ledger).size == 11 + 1  # the ledger's own first event
        report = verify(ledger, Options(remembers=False))
        assert (report.state, report.findings, report.doubts) == (State.VERIFIED, (), ())


def test_a_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no UTF-8"):
        open_ledger("postgresql://owner:\udcff@127.0.0.1/orch")
