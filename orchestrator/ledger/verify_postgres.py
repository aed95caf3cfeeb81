"""Says how the tables, triggers and functions of a ledger on PostgreSQL differ from what orch made. Reads the catalogue alone.

What is expected is read out of the SQL files themselves; columns and keys out of those for SQLite, whose tables are the same.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from orchestrator.ledger.store import Connection
from orchestrator.ledger.verify_report import Finding, Findings

_SQL = Path(__file__).parent / "sql"
_HERE = "(SELECT oid FROM pg_namespace WHERE nspname = 'orch')"
_TYPES = {"INTEGER": "bigint", "TEXT": "string", "BLOB": "bytea"}
_TRIGGER = re.compile(r"^(CREATE TRIGGER (\w+) .*);$", re.MULTILINE)
_FUNCTION = re.compile(r"^CREATE FUNCTION (\w+)\(\) RETURNS trigger LANGUAGE plpgsql AS \$\$(.*?)\$\$;$", re.MULTILINE | re.DOTALL)
_SEQUENCER = {
    **{f"column sequencer.{name}": "bigint NOT NULL" for name in ("one", "floor", "candidate", "horizon")},
    "constraint of sequencer PRIMARY KEY (one)": "",
    "constraint of sequencer CHECK (one = 1)": "",
    "table sequencer": "r p",
}
"""The one table that SQLite does without."""
_FOUND = (
    # a table that is a view, unlogged, behind row security, or has tables below it
    f"""SELECT 'table ' || relname, concat_ws(' ', relkind, relpersistence, CASE WHEN relrowsecurity THEN 'row security' END,
 CASE WHEN EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) THEN 'inherited' END)
 FROM pg_class c WHERE relnamespace = {_HERE} AND relkind IN ('r', 'p', 'f')""",
    f"""SELECT 'view ' || relname, '' FROM pg_class WHERE relnamespace = {_HERE} AND relkind IN ('v', 'm')""",
    f"""SELECT 'column ' || relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
 CASE WHEN attnotnull THEN 'NOT NULL' END, CASE attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
 CASE WHEN atthasdef THEN 'DEFAULT' END)
 FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
 WHERE relnamespace = {_HERE} AND relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped""",
    f"""SELECT 'constraint of ' || relname || ' ' || pg_get_constraintdef(k.oid, true), ''
 FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE relnamespace = {_HERE} AND contype <> 'n'""",
    f"""SELECT 'trigger ' || tgname, concat_ws(' ', pg_get_triggerdef(t.oid, true), CASE WHEN tgenabled IN ('D', 'R') THEN 'disabled' END)
 FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = {_HERE} AND NOT tgisinternal""",
    f"""SELECT 'rule ' || rulename, relname::text FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
 WHERE relnamespace = {_HERE} AND relkind IN ('r', 'p', 'f')""",
    f"""SELECT 'function ' || proname, concat_ws(' ', lanname, prosrc) FROM pg_proc p JOIN pg_language l ON l.oid = prolang
 WHERE pronamespace = {_HERE}""",
    f"""SELECT 'operator ' || oprname, '' FROM pg_operator WHERE oprnamespace = {_HERE}""",
)
"""Each gives names of things, and what is said of them."""


def check_schema(connection: Connection, findings: Findings) -> None:
    """Add what is missing, is there in addition, or is not as orch made it. An index that is no key may come and go."""
    expected = dict(_expected())
    seen = {str(name): str(said) for query in _FOUND for name, said in connection.execute(query)}
    for name in sorted(expected.keys() | seen.keys()):
        if name not in seen:
            findings.add(Finding("schema", f"the {name} is missing", "nothing", "what orch made"))
        elif name not in expected:
            if not name.startswith("table "):  # as on SQLite: a table of somebody else's does nothing here
                findings.add(Finding("schema", f"there is a {name} that orch did not make", "", "nothing"))
        elif seen[name] != expected[name]:
            findings.add(Finding("schema", f"the {name} is not as orch made it", seen[name], expected[name]))


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
    for _, name, kind, *_ in twin.execute(f"PRAGMA table_info({table})"):
        is_drawn = (table, name) == ("events", "n")
        yield f"column {table}.{name}", f"{_TYPES[kind]} NOT NULL{' ALWAYS' if is_drawn else ''}"


def _keys(twin: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    key = sorted((at, name) for _, name, _, _, _, at in twin.execute(f"PRAGMA table_info({table})") if at)
    yield f"constraint of {table} PRIMARY KEY ({', '.join(name for _, name in key)})", ""
    for _, index, _, origin, _ in twin.execute(f"PRAGMA index_list({table})").fetchall():
        if origin == "u":
            names = [name for _, _, name in twin.execute(f"PRAGMA index_info({index})")]
            yield f"constraint of {table} UNIQUE ({', '.join(names)})", ""
