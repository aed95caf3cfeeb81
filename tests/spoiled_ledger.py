"""A ledger to be spoiled: made once, copied for each test, and changed as somebody would who knows SQLite."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from orchestrator.ledger import heads, signer
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify_heads import Held

SIZE = 14
"""Events of the ledger that `make` makes."""
Change = Callable[[sqlite3.Connection], object]


def record(ledger: Ledger, run: str, count: int = 3) -> None:
    started = {
        "kind": "tick",
        "repository": "acme/web",
        "session": "",
        "trigger": "cron",
        "event": "",
        "config_digest": "",
    }
    drafts = [Draft("orch.run.started", run, "user:alice", started)]
    drafts += [
        Draft(
            "orch.decision",
            run,
            "agent:fixer",
            {"request": {"number": number}, "decision": {"reason": "said so"}},
            subject="acme/web",
            repository="acme/web",
            action="open_pr",
            outcome="allow",
            point="run",
        )
        for number in range(count)
    ]
    append_all(ledger, [*drafts, Draft("orch.run.ended", run, "user:alice", {"state": "done", "reason": ""})])


def held_of(ledger: Ledger) -> Held:
    head = heads.newest(ledger)
    with ledger.store.reading() as connection:
        return Held("a head of mine", head.note, signer.recorded(connection) or "")


def make(folder: Path) -> Held:
    """Make a closed ledger of `SIZE` events with two heads, and return the second as somebody held it."""
    with open_ledger(str(folder)) as ledger:
        record(ledger, "run-1")
        heads.sign(ledger)
        record(ledger, "adhoc:2", 1)
        record(ledger, "run-3", 2)
        append_all(ledger, [Draft("orch.note", "adhoc:4", "user:bob")])
        heads.sign(ledger)
        return held_of(ledger)


def change(place: Path, how: Change, *, leaves_triggers_out: bool = False) -> None:
    """Change the file as somebody would who knows SQLite; triggers are dropped for it and made again."""
    with sqlite3.connect(place / "ledger.db", isolation_level=None) as raw:
        made = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in made:
            raw.execute(f"DROP TRIGGER {name}")
        how(raw)
        for _, sql in made if not leaves_triggers_out else []:
            with suppress(sqlite3.OperationalError):  # its table is gone, too
                raw.execute(sql)
    raw.close()


def sql(*statements: str) -> Change:
    return lambda raw: [raw.execute(statement) for statement in statements]
