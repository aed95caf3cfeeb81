"""Tree heads: the ledger's size and root, signed when a run ends or somebody asks, never on a decision's path."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import LedgerError
from orchestrator.ledger import note, signer
from orchestrator.ledger.merkle import Frontier
from orchestrator.ledger.store import Connection, Ledger

_COLUMNS = "size, root, note, signed_at"
_ADVICE = "run `orch ledger verify`"
_INSERT = """
INSERT INTO heads (size, root, note, signed_at, frontier) VALUES (?, ?, ?, ?, ?) ON CONFLICT (size) DO NOTHING"""


class Head(NamedTuple):
    """A tree head as the ledger keeps it."""

    size: int
    """How many events it speaks for."""
    root: bytes
    """Over their leaves, 32 bytes."""
    note: str
    """The signed note, to be kept elsewhere."""
    signed_at: str
    """RFC 3339, UTC."""

    def as_json(self) -> dict[str, Any]:
        """Return the head as `-o json` prints it."""
        return {**self._asdict(), "root": self.root.hex()}


def sign(ledger: Ledger) -> Head:
    """Return a head over everything that is recorded now; the one that is there already where nothing was added.

    It is folded on the last head's tree, so it costs what was added since. Two signers at once are fine.

    Raises:
        LedgerError: there is no key, or not the right one; or what would be extended is not what was signed.
    """
    key = signer.ready(ledger)
    if not ledger.gives_leaves:
        _sequence(ledger)
    with ledger.store.reading() as connection:
        last, frontier = _last(connection, key.public)
        _fold(connection, frontier)
    if last is not None and last.size == frontier.size:
        return last
    root = frontier.root()
    text = key.sign(frontier.size, root)
    with ledger.store.writing() as connection:
        signed_at = clock.format_time(clock.now_ns())
        connection.execute(_INSERT, (frontier.size, root, text, signed_at, frontier.roots))
        (head,) = stored(connection, "WHERE size = ?", frontier.size)
    if (head.root, head.note) != (root, text):
        raise LedgerError(f"the ledger has another head of size {head.size} than its events give", advice=_ADVICE)
    return head


def stored(connection: Connection, where: str = "ORDER BY size", *parameters: int) -> list[Head]:
    """Return the heads that the ledger keeps, smallest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM heads {where}", parameters)  # noqa: S608  # constants of ours
    return [Head(size, bytes(root), text, signed_at) for size, root, text, signed_at in rows]


def newest(ledger: Ledger, size: int | None = None) -> Head:
    """Return the head of a size, without one the last.

    Raises:
        LedgerError: there is none.
    """
    with ledger.store.reading() as connection:
        if size is None:
            found = stored(connection, "ORDER BY size DESC LIMIT 1")
        else:
            found = stored(connection, "WHERE size = ?", size)
    if not found:
        raise LedgerError(
            "the ledger has no signed head" + (f" of size {size}" if size is not None else " yet"),
            advice="orch ledger heads sign makes one; orch ledger heads list shows what there is",
        )
    return found[0]


def roots_at(connection: Connection, *sizes: int) -> list[bytes]:
    """Return the roots of the trees of these sizes, in ascending order, folded from the first leaf on.

    Raises:
        LedgerError: the ledger has fewer leaves, or a gap among them.
    """
    frontier, found = Frontier(), []
    leaves = _leaves(connection, 0)
    for size in sizes:
        while frontier.size < size:
            leaf = next(leaves, None)
            if leaf is None:
                raise LedgerError(f"the ledger has {frontier.size} leaves; a head of {size} was seen", advice=_ADVICE)
            frontier.append(leaf)
        found.append(frontier.root())
    return found


def _sequence(ledger: Ledger) -> None:
    """Give a leaf to every event that has none, in the order within each chain."""
    sequence: Callable[[Connection], int] = getattr(ledger.store, "sequence")  # noqa: B009  # of stores that need one
    with ledger.store.writing() as connection:
        sequence(connection)


def _last(connection: Connection, key: note.PublicKey) -> tuple[Head | None, Frontier]:
    """Return the last head, and its tree to fold on, after a look that it is what was signed."""
    rows = connection.execute(f"SELECT {_COLUMNS}, frontier FROM heads ORDER BY size DESC LIMIT 1")  # noqa: S608  # a constant
    if not rows:
        return None, Frontier()
    size, root, text, signed_at, roots = rows[0]
    try:
        frontier = Frontier(size, bytes(roots))
        said = note.parse(text)
        problem = note.check(said, key)
    except ValueError as error:
        raise LedgerError(f"the ledger's last head, of size {size}, is damaged: {error}", advice=_ADVICE) from error
    if problem or said.checkpoint != (key.name, size, bytes(root)) or frontier.root() != bytes(root):
        why = problem or "it is not the head of this ledger's tree"
        raise LedgerError(f"the ledger's last head, of size {size}, cannot be extended: {why}", advice=_ADVICE)
    return Head(size, bytes(root), text, signed_at), frontier


def _fold(connection: Connection, frontier: Frontier) -> None:
    size = connection.execute("SELECT coalesce(max(idx), -1) + 1 FROM leaves")[0][0]
    if size < frontier.size:
        raise LedgerError(
            f"the ledger has {size} events; its last head was signed over {frontier.size}: its end was cut off",
            advice=_ADVICE,
        )
    for leaf in _leaves(connection, frontier.size):
        frontier.append(leaf)


def _leaves(connection: Connection, start: int) -> Iterator[bytes]:
    rows = connection.stream("SELECT idx, hash FROM leaves WHERE idx >= ? ORDER BY idx", (start,))
    for expected, (index, leaf) in enumerate(rows, start):
        if index != expected:
            raise LedgerError(f"the ledger's leaf {expected} is missing", advice=_ADVICE)
        yield bytes(leaf)
