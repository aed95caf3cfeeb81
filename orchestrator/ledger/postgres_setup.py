"""Prepares a ledger on PostgreSQL: tables, versions, and what each role may do. An owner's work."""

from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from orchestrator.digest import new_id
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.project import TABLES
from orchestrator.ledger.psql import OLDEST_SERVER, SCHEMA
from orchestrator.ledger.store import SCHEMA_VERSION

_SCRIPTS = Path(__file__).parent / "sql" / "postgres"
_RECORD = ("events", "payloads", "leaves", "heads")
_MIGRATORS_TURN = 0x6F72_6368_0002
_INIT = "run `orch ledger init --ledger URL` with the owner's URL"
WRITERS = """
SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
WHERE table_schema = %s AND table_name = 'events' AND privilege_type = 'INSERT' AND grantee <> grantor"""
_READERS = """
SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
WHERE table_schema = %s AND table_name = 'events' AND privilege_type = 'SELECT'
AND grantee NOT IN (grantor, 'PUBLIC')"""
_EXISTS = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'meta')"
_MAKE_A_ROLE = "CREATE ROLE name LOGIN PASSWORD '...'"


class Role(NamedTuple):
    """What a role may do."""

    name: str
    may_write: bool


def ready(raw: "psycopg.Connection[Any]", where: str, *, as_owner: bool) -> str:
    """Return the ledger's id; an owner makes what is missing first. psycopg's errors pass through.

    Raises:
        LedgerError: there is no ledger and this is no owner, it is older, or a newer orch wrote it.
    """
    version = _version(raw)
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger at {where} has format {version}; this orch knows formats up to {SCHEMA_VERSION}",
            advice="use the newer orch that wrote it",
        )
    if version < SCHEMA_VERSION:
        if not as_owner:
            seen = (
                f"has format {version}, and this orch writes format {SCHEMA_VERSION}" if version else "is not there yet"
            )
            raise LedgerError(f"the ledger at {where} {seen}", advice=_INIT)
        _migrate(raw, where)
    found = raw.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()
    if found is None:
        raise LedgerError(
            f"the ledger at {where} has lost its name", advice="restore a backup; see docs/ledger-postgres.md"
        )
    return str(found[0])


def check_owner(raw: "psycopg.Connection[Any]", where: str) -> None:
    """Look whether this role owns the tables.

    Raises:
        LedgerError: it does not.
    """
    owner, role, is_owner = row(
        raw,
        "SELECT tableowner::text, current_user::text, pg_has_role(current_user, tableowner, 'USAGE') FROM pg_tables"
        " WHERE schemaname = %s AND tablename = 'events'",
        (SCHEMA,),
    )
    if not is_owner:
        raise LedgerError(
            f"only the owner of the ledger at {where} may do this: that is {owner!r}, and you are {role!r}",
            advice="name the owner's URL with --ledger",
        )


def _version(raw: "psycopg.Connection[Any]") -> int:
    if not row(raw, "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'meta')", (SCHEMA,))[
        0
    ]:
        return 0
    said = str(row(raw, "SELECT coalesce(max(value), '0') FROM meta WHERE name = 'format'")[0])
    if not (said.isascii() and said.isdigit()):
        raise LedgerError(
            f"the ledger says that it has format {said[:40]!r}; expected a number",
            advice="restore a backup; see docs/ledger-postgres.md",
        )
    return int(said)


def _migrate(raw: "psycopg.Connection[Any]", where: str) -> None:
    """Run the SQL files that are missing, in one transaction; of two owners at once the second finds it done."""
    if raw.info.server_version < OLDEST_SERVER or raw.info.parameter_status("server_encoding") != "UTF8":
        seen = f"version {raw.info.server_version // 10_000}, encoding {raw.info.parameter_status('server_encoding')}"
        raise LedgerError(
            f"the database at {where} has {seen}; a ledger needs version {OLDEST_SERVER // 10_000} or newer, and UTF8",
            advice="createdb --encoding UTF8 --template template0 NAME",
        )
    with raw.transaction():
        raw.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (_MIGRATORS_TURN,))
        version = _version(raw)
        if not row(raw, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = %s)", (SCHEMA,))[0]:
            raw.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        for script in sorted(_SCRIPTS.glob("*.sql")):
            if int(script.name[:4]) > version:
                raw.execute(script.read_bytes(), prepare=False)
        keep = "INSERT INTO meta (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        raw.execute(keep, ("format", str(SCHEMA_VERSION)))
        if version == 0:
            raw.execute(keep, ("ledger_id", new_id().replace("-", "")))
        writers = {name for (name,) in raw.execute(WRITERS, (SCHEMA,)).fetchall()}
        readers = {name for (name,) in raw.execute(_READERS, (SCHEMA,)).fetchall()}
        for name in sorted(writers | readers):  # new tables are nobody's yet
            grant(raw, Role(name, may_write=name in writers))


def check_role(raw: "psycopg.Connection[Any]", name: str) -> None:
    """Look whether a role is one that something can be kept from.

    Raises:
        UsageError: there is none.
        LedgerError: it owns the ledger, or it is a superuser.
    """
    found = raw.execute(
        "SELECT rolsuper, pg_has_role(rolname, tableowner, 'MEMBER') FROM pg_roles, pg_tables"
        " WHERE rolname = %s AND schemaname = %s AND tablename = 'events'",
        (name, SCHEMA),
    ).fetchone()
    if found is None:
        raise UsageError(
            f"the server has no role {name!r}", advice="make it first: CREATE ROLE name LOGIN PASSWORD '...'"
        )
    if any(found):
        raise LedgerError(
            f"the role {name!r} owns the ledger or is a superuser, so nothing can be kept from it",
            advice=f"make another one for writing: {_MAKE_A_ROLE}",
        )


def grant(raw: "psycopg.Connection[Any]", role: Role) -> None:
    """Let a role read, and add if it may write; everything else is taken from it."""
    who, schema = sql.Identifier(role.name), sql.Identifier(SCHEMA)
    parts = [
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {who}",
        "GRANT USAGE ON SCHEMA {schema} TO {who}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {who}",
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {who}",
    ]
    if role.may_write:
        parts.append(f"GRANT INSERT ON {', '.join(_RECORD)} TO {{who}}")
        parts.append(f"GRANT INSERT, UPDATE ON {', '.join(('chains', *TABLES))} TO {{who}}")
        parts.append("GRANT UPDATE ON sequencer TO {who}")
    for part in parts:
        raw.execute(sql.SQL(part).format(who=who, schema=schema))


def row(raw: "psycopg.Connection[Any]", query: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Return the one row that a query gives."""
    [found] = raw.execute(query, parameters).fetchall()
    return tuple(found)
