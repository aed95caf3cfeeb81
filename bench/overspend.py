"""Spends one budget from many processes while they are killed at random, on SQLite and on PostgreSQL.

    python bench/overspend.py [--seconds 60] [--workers 6] [--clients 2] [--cap 2000] [--postgres URL] [--seed N]

Ends with 1 if a counter was ever over its limit, if anything leaked, or if a retry was charged twice. Without
`--postgres` it starts a server of its own where PostgreSQL is installed; the URL's database must be empty.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from overspend_drill import Outcome, drill

from orchestrator.ledger.open import open_ledger


@contextmanager
def server(url: str | None) -> Iterator[str | None]:
    """Give an empty ledger on PostgreSQL; None where there is no server to be had."""
    from postgres_server import binaries
    from postgres_server import server as throw_away

    if url is None and binaries() is None:
        yield None
        return
    if url is not None:
        open_ledger(url, as_owner=True).close()
        yield url
        return
    with throw_away() as running:
        place = running.url(running.database())
        open_ledger(place, as_owner=True).close()
        yield place


def shown(what: str, outcome: Outcome) -> bool:
    """Print what a drill came to and return whether it is what it should be."""
    print(
        f"{what}: cap {outcome.cap}, never more than {outcome.highest:g} ({outcome.looks} looks); "
        f"{outcome.kills} kills, {outcome.acknowledged} settled, {outcome.retried} retried, {outcome.refused} refused; "
        f"in the end {outcome.spent:g} spent, {outcome.reserved:g} reserved"
    )
    for one in outcome.wrong:
        print(f"  WRONG: {one}")
    return not outcome.wrong


def main() -> int:
    """Run both drills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--cap", type=int, default=2_000)
    parser.add_argument("--postgres")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    common = {"seconds": given.seconds, "cap": given.cap, "seed": given.seed}
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        for each in (one, two):
            each.mkdir(mode=0o700)
        is_good = shown("SQLite", drill(str(one / "ledger"), one, workers=given.workers, **common))
        with server(given.postgres) as place:
            if place is None:
                print("PostgreSQL: not installed, and --postgres names none")
            else:
                is_good &= shown("PostgreSQL", drill(place, two, workers=given.clients, **common))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
