"""Opens a ledger to look only: makes none, changes none, and leaves no file behind, not even those of a reader."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import LedgerError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.open import default_folder, is_url, open_ledger
from orchestrator.ledger.sqlite import FILE, SqliteStore
from orchestrator.ledger.store import SCHEMA_VERSION, Ledger


@contextmanager
def looking(named: str | None, environ: Mapping[str, str] | None = None) -> Iterator[Ledger | None]:
    """Give the ledger at a place to read, None where there is none.

    Raises:
        LedgerError: it cannot be opened, or has another format than this orch reads.
        UsageError: the place is none.
    """
    environ = os.environ if environ is None else environ
    if named and is_url(named):
        with open_ledger(named, must_exist=True, environ=environ) as ledger:
            yield ledger
        return
    folder = Path(named) if named else default_folder(environ)
    if not (folder / FILE).is_file():
        yield None
        return
    with _opened(folder, Mask.of({**environ, "ORCH_LEDGER": named or ""})) as ledger:
        yield ledger


@contextmanager
def _opened(folder: Path, mask: Mask) -> Iterator[Ledger]:
    import sqlite3

    from orchestrator.ledger.sqlite import translated

    file = folder / FILE
    # A reader of a log makes files beside it; where nothing waits in the log, none is needed.
    mode = "mode=ro" if _has_log(file) else "mode=ro&immutable=1"
    with translated(file):
        raw = sqlite3.connect(
            f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            version = raw.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise LedgerError(
                    f"the ledger {str(file)!r} has format {version}, and this orch reads format {SCHEMA_VERSION}",
                    advice="a command that records brings an older one up to date",
                )
            [(ledger_id,)] = raw.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchall()
            yield Ledger(SqliteStore(file, raw), str(ledger_id), folder, mask)
        finally:
            raw.close()


def _has_log(file: Path) -> bool:
    try:
        return os.stat(f"{file}-wal").st_size > 0  # noqa: PTH116  # a name beside the file's
    except OSError:
        return False
