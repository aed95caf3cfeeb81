"""Says how the schema of a ledger on PostgreSQL differs from what orch made. Reads the catalogue alone.

What is expected is read out of the SQL files themselves; columns and keys out of those for SQLite, whose tables are the
same.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from orchestrator.ledger.store import Connection
from orchestrator.ledger.verify_report import Finding, Findings, brief

_SQL = Path(__file__).parent / "sql"
_TYPES = {"INTEGER": "bigint", "TEXT": "string", "BLOB": "bytea"}
_TRIGGER = re.compile(r"^(CREATE TRIGGER (\w+) .*);$", re.MULTILINE)
_FUNCTION = re.compile(
    r"^CREATE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql AS \$\$(.*?)\$\$;$", re.MULTILINE | re.DOTALL
)
_SEQUENCER = {
    **{f"column sequencer.{name}": "bigint NOT NULL" for name in ("one", "floor", "candidate", "horizon")},
    "constraint of sequencer PRIMARY KEY (one)": "",
    "constraint of sequencer CHECK (one = 1)": "",
    "table sequencer": "r p",
}
"""The one table that SQLite does without."""
_FOUND = (
    # a table that is a view, unlogged, behind row security, or has tables below it
    """SELECT relname::text, 'table ' || relname, concat_ws(' ', relkind, relpersistence,
 CASE WHEN relrowsecurity THEN 'row security' END,
 CASE WHEN EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) THEN 'inherited' END)
 FROM pg_class c WHERE relnamespace = to_regnamespace('orch') AND relkind IN ('r', 'p', 'f')""",
    """SELECT relname::text, 'column ' || relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
 CASE WHEN attnotnull THEN 'NOT NULL' END, CASE attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
 CASE WHEN atthasdef THEN 'DEFAULT' END)
 FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
 WHERE relnamespace = to_regnamespace('orch') AND relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped""",
    """SELECT relname::text, 'constraint of ' || relname || ' ' || pg_get_constraintdef(k.oid, true), ''
 FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
 WHERE relnamespace = to_regnamespace('orch') AND contype <> 'n'""",
    """SELECT relname::text, 'trigger ' || tgname, concat_ws(' ', pg_get_triggerdef(t.oid, true),
 CASE WHEN tgenabled IN ('D', 'R') THEN 'disabled' END)
 FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
 WHERE relnamespace = to_regnamespace('orch') AND NOT tgisinternal""",
    """SELECT relname::text, 'rule ' || rulename, relname::text FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
 WHERE relnamespace = to_regnamespace('orch') AND relkind IN ('r', 'p', 'f')""",
    """SELECT NULL, 'view ' || relname, '' FROM pg_class
 WHERE relnamespace = to_regnamespace('orch') AND relkind IN ('v', 'm')""",
    """SELECT NULL, 'function ' || proname, concat_ws(' ', lanname, prosrc)
 FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = to_regnamespace('orch')""",
    "SELECT NULL, 'operator ' || oprname, '' FROM pg_operator WHERE oprnamespace = to_regnamespace('orch')",
)
"""Each gives tables, or nothing where it is about none, names of things, and what is said of them."""


def check_schema(connection: Connection, findings: Findings) -> None:
    """Add what is missing, is there in addition, or is not as orch made it.

    Other tables and indexes that are no keys may come and go: nothing depends on them.
    """
    expected = dict(_expected())
    found = [row for query in _FOUND for row in connection.execute(query)]
    seen = {str(name): str(said) for table, name, said in found if table is None or f"table {table}" in expected}
    for name in sorted(expected.keys() | seen.keys()):
        if name not in seen:
            findings.add(Finding("schema", f"the {name} is missing", "nothing", "what orch made"))
        elif name not in expected:
            findings.add(Finding("schema", f"there is a {brief(name)} that orch did not make", "", "nothing"))
        elif seen[name] != expected[name]:
            what = f"the {name} is not as orch made it"
            findings.add(Finding("schema", what, brief(seen[name]), brief(expected[name])))


def _expected() -> Iterator[tuple[str, str]]:
    yield from _SEQUENCER.items()
    for file in sorted((_SQL / "postgres").glob("*.sql")):
        script = file.read_text(encoding="utf-8")
        yield from ((f"trigger {name}", said) for said, name in _TRIGGER.findall(script))
        yield from ((f"function {name}", f"plpgsql {body}") for name, body in _FUNCTION.findall(script))
    with closing(sqlite3.connect(":memory:")) as twin:
        for file in sorted((_SQL / "sqlite").glob("*.sql")):
            twin.executescript(file.read_text(encoding="utf-8"))
        for (table,) in twin.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield f"table {table}", "r p"
            yield from _columns(twin, table)
            yield from _keys(twin, table)


def _columns(twin: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    for _, name, kind, _, default, _ in twin.execute(f"PRAGMA table_info({table})"):
        drawn = " ALWAYS" if (table, name) == ("events", "n") else " DEFAULT" if default is not None else ""
        yield f"column {table}.{name}", f"{_TYPES[kind]} NOT NULL{drawn}"


def _keys(twin: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    key = sorted((at, name) for _, name, _, _, _, at in twin.execute(f"PRAGMA table_info({table})") if at)
    yield f"constraint of {table} PRIMARY KEY ({', '.join(name for _, name in key)})", ""
    for _, index, _, origin, _ in twin.execute(f"PRAGMA index_list({table})").fetchall():
        if origin == "u":
            names = [name for _, _, name in twin.execute(f"PRAGMA index_info({index})")]
            yield f"constraint of {table} UNIQUE ({', '.join(names)})", ""
