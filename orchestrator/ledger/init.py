"""Prepares a ledger on PostgreSQL for its roles, and says what should be better about it. An owner's work."""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.ledger.open import is_url, open_ledger
from orchestrator.ledger.postgres import work_on
from orchestrator.ledger.postgres_setup import WRITERS, Role, check_role, row
from orchestrator.ledger.postgres_setup import grant as grant_to
from orchestrator.ledger.psql import SCHEMA, shown, translated
from orchestrator.ledger.store import SCHEMA_VERSION, Ledger

_CONDITION = """
SELECT has_table_privilege('events', 'DELETE'), rolsuper,
       coalesce(host(inet_server_addr()) NOT IN ('127.0.0.1', '::1'), false),
       current_setting('fsync'), current_setting('full_page_writes')
FROM pg_roles WHERE rolname = current_user"""


class Initialised(NamedTuple):
    """What `orch ledger init` made or found."""

    ledger: str
    """Its id."""
    place: str
    """Its URL without the password."""
    format: int
    writers: list[str]
    """Every role that may add to it and does not own it."""
    readers: list[str]
    """The roles named in this call."""
    notes: list[str]
    """What should be better."""


def initialise(url: str | None, *, writers: Sequence[str] = (), readers: Sequence[str] = ()) -> Initialised:
    """Make the tables at `url`, or bring them to this version, and grant what the roles need.

    Raises:
        LedgerError: as `open_ledger` and `grant`.
        UsageError: the ledger is a folder, or a role is none.
    """
    if not url or not is_url(url):
        raise UsageError(
            "this is for a ledger on PostgreSQL; a folder needs no preparation",
            advice="name it: --ledger postgresql://...",
        )
    with open_ledger(url, as_owner=True) as ledger:
        for names, may_write in ((writers, True), (readers, False)):
            for name in names:
                grant(ledger, Role(name, may_write))
        raw = work_on(ledger.store)
        with translated(url):
            granted = [str(name) for (name,) in raw.execute(WRITERS, (SCHEMA,))]
        said = [] if granted else notes(ledger)
        return Initialised(ledger.id, shown(url), SCHEMA_VERSION, sorted(granted), sorted(set(readers)), said)


def grant(ledger: Ledger, role: Role) -> None:
    """Let a role read the ledger, and add to it if it may write; whatever else it could do here is taken away.

    Raises:
        UsageError: there is no such role.
        LedgerError: it owns the ledger or is a superuser, or this connection may not grant.
    """
    raw = work_on(ledger.store)
    with translated(ledger.store.url), raw.transaction():  # type: ignore[attr-defined]  # a PostgresStore, as work_on saw
        check_role(raw, role.name)
        grant_to(raw, role)


def notes(ledger: Ledger) -> list[str]:
    """Return what should be better about how this ledger is kept, as sentences; empty where all is well."""
    raw = work_on(ledger.store)
    with translated(ledger.store.url):  # type: ignore[attr-defined]  # a PostgresStore, as work_on saw
        may_delete, is_super, is_far, fsync, whole_pages = row(raw, _CONDITION)
    said = []
    if is_super or may_delete:
        said.append(
            f"the role that writes {'is a superuser' if is_super else 'owns the record'} and could change or delete it;"
            " `orch ledger init --writer ROLE` prepares one that cannot"
        )
    if "off" in {fsync, whole_pages}:
        said.append("the server runs with fsync or full_page_writes off and can lose what was recorded")
    if is_far and not raw.pgconn.ssl_in_use:
        said.append("the connection is not encrypted; add sslmode=verify-full to the URL")
    return said
