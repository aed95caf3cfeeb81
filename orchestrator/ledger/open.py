"""Opens the ledger that is named, or makes it: a folder is SQLite, `postgresql://` a server."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator import place
from orchestrator.errors import UsageError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger


def default_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the ledger lies unless somebody says otherwise."""
    return place.state_dir(environ) / "ledger"


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
    if named and named.startswith(("postgresql://", "postgres://")):
        from orchestrator.ledger.postgres import open_postgres as opener

        return opener(named, _artifacts_beside(environ), mask, must_exist=must_exist, as_owner=as_owner)
    if named and "://" in named:
        raise UsageError(
            f"the ledger is {named.partition('://')[0]}://...; expected a folder or postgresql://",
            advice="see docs/ledger.md",
        )
    from orchestrator.ledger.sqlite import open_sqlite

    folder = Path(named) if named else default_folder(environ)
    return open_sqlite(folder, mask, must_exist=must_exist, is_default=not named)


def _artifacts_beside(environ: Mapping[str, str]) -> Path:
    named = environ.get("ORCH_ARTIFACTS")
    return Path(named) if named else default_folder(environ)
