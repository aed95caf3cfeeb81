"""Opens the ledger that is named, or makes it: a folder is SQLite, `postgresql://` a server."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator import place
from orchestrator.errors import DecisionError, LedgerError, UsageError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger
from orchestrator.names import is_text

_ID_CHARS = 32


def default_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the ledger lies unless somebody says otherwise."""
    return place.state_dir(environ) / "ledger"


def is_url(named: str) -> bool:
    """Return whether a ledger's name is a URL, or was meant as one: a folder that bears a password would be worse."""
    scheme, colon, rest = named.partition(":")
    return bool(colon) and (rest.startswith("/") or scheme.lower().startswith("postgres"))


def open_ledger(
    named: str | None = None,
    *,
    must_exist: bool = False,
    as_owner: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Ledger:
    """Return the ledger at `named` (a folder, or `postgresql://...`), at its default place where None.

    One that is not there is made, unless `must_exist`. `as_owner` lets a PostgreSQL ledger migrate and erase.

    Raises:
        LedgerError: it cannot be opened, trusted or made; or it was written by a newer orch.
        UsageError: `named` is neither.
    """
    environ = os.environ if environ is None else environ
    mask = Mask.of({**environ, "ORCH_LEDGER": named or ""})  # a password in it is a secret, whoever named it
    opener: Callable[..., Ledger]
    if named and is_url(named) and not is_text(named):
        raise UsageError("the ledger's URL is no UTF-8", advice="encode what is not ASCII in it: %C3%A9 for é")
    if named and named.startswith(("postgresql://", "postgres://")):
        from orchestrator.ledger.postgres import open_postgres as opener

        return opener(named, partial(_artifacts_of, environ), mask, must_exist=must_exist, as_owner=as_owner)
    if named and is_url(named):
        raise UsageError(
            f"the ledger is {named.partition(':')[0]}:...; expected a folder or postgresql://user@host/database",
            advice="see docs/ledger.md",
        )
    from orchestrator.ledger.sqlite import open_sqlite

    folder = Path(named) if named else default_folder(environ)
    return open_sqlite(folder, mask, must_exist=must_exist, is_default=not named)


def _artifacts_of(environ: Mapping[str, str], ledger_id: str) -> Path:
    """Return where artifacts and key of a ledger on PostgreSQL lie: each has a folder of its own."""
    if named := environ.get("ORCH_ARTIFACTS"):
        return Path(named)
    if len(ledger_id) != _ID_CHARS or not set(ledger_id) <= set("0123456789abcdef"):  # it becomes a folder's name
        raise LedgerError(f"the ledger calls itself {ledger_id[:60]!r}; expected {_ID_CHARS} hex digits")
    try:
        return place.state_dir(environ) / "postgres" / ledger_id
    except DecisionError as error:
        raise LedgerError(
            f"there is no place for artifacts and keys: {str(error).partition(': ')[2]}",
            advice="set ORCH_ARTIFACTS to a folder that is kept",
        ) from error
