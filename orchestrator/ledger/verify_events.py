"""Walks every event once, in the order of the tree: header, columns, leaf, chain and payload.

Memory holds the chains that are still open at that point, and no event.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import repeat
from typing import Any, NamedTuple

from orchestrator.ledger.event import COLUMNS, first_head, parse_header
from orchestrator.ledger.merkle import HASH_BYTES, Frontier
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.ledger.verify_report import KEPT, Finding, Findings, brief

Progress = Callable[[int, int], None]
"""Told now and then how many events of how many were read."""

ERASED = "orch.ledger.erased"
_EVERY = 5_000
_NAMES = ("id", *COLUMNS)
_KEYS = ("id", "runid", "runseq", *COLUMNS[2:])
"""What a header calls these columns."""
_WIDTH = len(_NAMES)
_NUMBER = 6 + _WIDTH
"""Where the number of a row lies in it: what readers of a timeline go by, and the sequencer."""
_EVENT = ", ".join(f"e.{name}" for name in _NAMES) + ", e.header, c.next_seq, c.head, e.n"
_PAYLOAD = (", p.salt, p.body", "LEFT JOIN payloads p ON p.event_id = e.id")
_NO_PAYLOAD = (", NULL, NULL", "")
_IN_TREE = f"""
SELECT l.idx, l.event_id, l.hash, {_EVENT}%s FROM leaves l LEFT JOIN events e ON e.id = l.event_id
LEFT JOIN chains c ON c.run_id = e.run_id %s ORDER BY l.idx"""  # noqa: S608  # constants
_AT = "coalesce((SELECT {0} FROM {1} WHERE {0} = {2} AND {3} = {4}), (SELECT {0} FROM {1} WHERE {3} = {4}))"
_IN_STEP = (
    ("e.id = l.event_id", "e.n = " + _AT.format("n", "events", "l.idx + 1", "id", "l.event_id")),
    ("p.event_id = e.id", "p.rowid = " + _AT.format("rowid", "payloads", "e.n", "event_id", "e.id")),
)
"""On SQLite rows mostly lie in the order of the leaves: looked for there first, where an index would lead all over."""
_WITHOUT_LEAF = f"""
SELECT -1, e.id, NULL, {_EVENT}%s FROM events e LEFT JOIN chains c ON c.run_id = e.run_id %s
WHERE NOT EXISTS (SELECT 1 FROM leaves l WHERE l.event_id = e.id) ORDER BY e.run_id, e.run_seq"""  # noqa: S608  # constants
_ERASURES = "SELECT p.body FROM events e JOIN payloads p ON p.event_id = e.id WHERE e.type = ?"
_MOST_SHAPES = 64
"""Of headers: which keys they have."""
_ESCAPED = bytes(range(32)) + b"\\"
"""What no text without escapes holds, as it stands in JSON, beside a quote."""
_STRAYS = (
    ("payloads", "event_id", "id", "payload", "a payload has no event that names it"),
    ("chains", "run_id", "run_id", "chain", "the table of chains names one without events"),
)
_STRAY = f"SELECT %s FROM %s s WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.%s = s.%s) LIMIT {KEPT}"  # noqa: S608  # constants


class Walked(NamedTuple):
    """What the walk counted."""

    events: int = 0
    sequenced: int = 0
    """Events that have a leaf."""
    chains: int = 0
    erased: int = 0
    """Payloads that are gone by an event that says so."""
    roots: dict[int, bytes] = {}  # noqa: RUF012  # never changed
    """Size to root, for each size that was asked for and that the tree has."""


class Walk:
    """One pass over the events of a ledger."""

    def __init__(self, ledger: Ledger, connection: Connection, findings: Findings, sizes: Iterable[int]) -> None:
        self._connection, self._add = connection, findings.add
        self._ledger_id, self._source, self._gives_leaves = ledger.id, f"orch:{ledger.id}", ledger.gives_leaves
        self._sizes = sorted(set(sizes), reverse=True)
        self._roots: dict[int, bytes] = {}
        self._frontier = Frontier()
        self._chains: dict[str, tuple[int, str, int]] = {}
        """Chain to its next place, and the hash and number of its last header; what is whole was taken out."""
        self._last_number = self._ordered = 0
        self._erasures: dict[str, str] = {}
        self._headers = _Headers()
        self._whole = self._payloads = self._erased = 0

    def run(self, *, with_payloads: bool, progress: Progress | None = None) -> Walked:
        """Read every event, judge it, and return what was counted."""
        payload = _PAYLOAD if with_payloads else _NO_PAYLOAD
        self._erasures = _erasures(self._connection) if with_payloads else {}
        total = self._count("events")
        self._keep_roots()
        sequenced = 0
        for read, row in enumerate(self._connection.stream(self._in_tree(payload)), 1):
            sequenced += self._leaf(row, with_payloads=with_payloads)
            if progress is not None and read % _EVERY == 0:
                progress(read, total)
        found = sequenced
        if self._ordered < total:
            found += self._unsequenced(payload, with_payloads=with_payloads)
        if found != total:
            self._add(Finding("leaf", "the tree holds an event more than once", f"{found} events", f"{total} events"))
        self._end(with_payloads=with_payloads)
        return Walked(total, sequenced, self._count("chains"), self._erased, self._roots)

    def _in_tree(self, payload: tuple[str, str]) -> str:
        query = _IN_TREE % payload
        for by_index, in_step in _IN_STEP if self._gives_leaves else ():
            query = query.replace(by_index, in_step)
        return query

    def _unsequenced(self, payload: tuple[str, str], *, with_payloads: bool) -> int:
        """Judge the events that have no leaf, and return how many there are."""
        count, floor = 0, self._floor()
        for row in self._connection.stream(_WITHOUT_LEAF % payload):
            if self._gives_leaves:
                self._add(Finding("leaf", "an event has no leaf in the tree", event=brief(row[3])))
            elif row[_NUMBER] <= floor:
                self._found(
                    row, "leaf", "an event was passed over and will never have a leaf", f"number {row[_NUMBER]}"
                )
            self._event(row, with_payloads=with_payloads)
            count += 1
        return count

    def _leaf(self, row: Sequence[Any], *, with_payloads: bool) -> bool:
        """Judge one leaf, and return whether it has an event."""
        index, named, leaf, event_id = row[:4]
        if index != self._frontier.size:
            what = "the tree has a gap, or a leaf twice"
            self._add(Finding("leaf", what, f"leaf {index}", f"leaf {self._frontier.size}", brief(named)))
        if event_id is None:
            self._add(Finding("leaf", "a leaf has no event", event=brief(named), position=index))
            self._grow(leaf if isinstance(leaf, bytes) and len(leaf) == HASH_BYTES else bytes(HASH_BYTES))
            return False
        hashed = self._event(row, with_payloads=with_payloads)
        if leaf != hashed:
            what = "the leaf is not the hash of the header"
            self._add(Finding("leaf", what, brief(leaf), brief(hashed), brief(event_id), position=index))
        self._grow(hashed)
        return True

    def _grow(self, leaf: bytes) -> None:
        self._frontier.append(leaf)
        if self._sizes and self._sizes[-1] <= self._frontier.size:
            self._keep_roots()

    def _keep_roots(self) -> None:
        while self._sizes and self._sizes[-1] <= self._frontier.size:
            self._roots[self._sizes.pop()] = self._frontier.root()

    def _event(self, row: Sequence[Any], *, with_payloads: bool) -> bytes:
        """Judge one event, and return the leaf hash of its header."""
        header = row[3 + _WIDTH]
        if not isinstance(header, bytes):
            self._found(row, "header", "the header is no bytes", brief(header))
            return bytes(HASH_BYTES)
        head = f"sha256:{sha256(header).hexdigest()}"
        try:
            fields = self._headers.parse(header)
        except ValueError as error:
            self._found(row, "header", f"this is {error}", brief(header))
            self._chains[str(row[4])] = (row[5] + 1 if isinstance(row[5], int) else 0, head, row[_NUMBER])
        else:
            if row[3 : 3 + _WIDTH] != tuple(map(fields.get, _KEYS, repeat(""))):
                self._columns(row, fields)
            if fields["source"] != self._source:
                self._found(row, "header", "the event is another ledger's", fields["source"], self._source)
            self._chain(row, fields, head)
            if with_payloads:
                self._payload(row, fields)
        return sha256(b"\0" + header).digest()

    def _columns(self, row: Sequence[Any], fields: dict[str, Any]) -> None:
        for name, key, seen in zip(_NAMES, _KEYS, row[3 : 3 + _WIDTH], strict=True):
            wanted = fields.get(key, "")
            if seen != wanted:
                self._found(row, "column", f"the column {name} is not what the header says", brief(seen), brief(wanted))

    def _chain(self, row: Sequence[Any], fields: dict[str, Any], head: str) -> None:
        run, place = fields["runid"], fields["runseq"]
        expected = self._chains.get(run)
        place_due, previous, number = expected or (1, first_head(self._ledger_id, run), 0)
        if place != place_due:
            what = "the chain has a gap, or its order is broken"
            self._found(row, "chain", what, f"place {place}", f"place {place_due}")
        elif fields["prevhash"] != previous:
            what = "the header does not follow from the one before it in its chain"
            self._found(row, "chain", what, brief(fields["prevhash"]), previous)
        self._order(row, number)
        next_seq, last = row[4 + _WIDTH : 6 + _WIDTH]
        if next_seq != place + 1:
            self._chains[run] = (place + 1, head, row[_NUMBER])
            return
        if last != head:
            self._found(row, "chain", "the table of chains has another last hash", brief(last), head)
        self._chains.pop(run, None)
        self._whole += 1

    def _order(self, row: Sequence[Any], before: int) -> None:
        """Look whether the number grows: with the tree where an event has its leaf at once, else with the chain."""
        number = row[_NUMBER]
        before = max(before, self._last_number)
        if number <= before:
            what = "the number of the row does not grow with the events"
            self._found(row, "column", what, str(number), f"more than {before}")
        elif self._gives_leaves:
            self._last_number = number
            self._ordered += 1  # another event than all before it

    def _payload(self, row: Sequence[Any], fields: dict[str, Any]) -> None:
        salt, body, expected = row[-2], row[-1], fields.get("datahash")
        if body is None:
            if expected is None:
                return
            if self._erasures.get(fields["id"]) == expected:
                self._erased += 1
            else:
                self._found(row, "payload", "the payload is gone, and no event says that it was erased", "", expected)
            return
        self._payloads += 1
        if expected is None:
            self._found(row, "payload", "there is a payload, and the header names none")
        elif not isinstance(salt, bytes) or not isinstance(body, bytes):
            self._found(row, "payload", "the payload is no bytes", brief(body))
        elif (seen := f"sha256:{sha256(salt + body).hexdigest()}") != expected:
            self._found(row, "payload", "the payload is not what the header names", seen, expected)
        elif fields.get("datasize") != len(body):
            size = fields.get("datasize")
            self._found(row, "payload", "the header names another size", f"{len(body)} bytes", f"{size} bytes")
        if fields["id"] in self._erasures:
            self._found(row, "payload", "the payload was erased by an event, and is there again")

    def _end(self, *, with_payloads: bool) -> None:
        """Look at what no event spoke of: chains that do not end as their table says, strays in other tables."""
        for run, (place, head, _) in self._chains.items():
            found = self._connection.execute("SELECT next_seq, head FROM chains WHERE run_id = ?", (run,))
            seen = f"next {found[0][0]}, {found[0][1]}" if found else "nothing"
            what = "the chain does not end where the table of chains says"
            self._add(Finding("chain", what, brief(seen), f"next {place}, {head}", run=brief(run)))
        known = {"payloads": self._payloads if with_payloads else None, "chains": self._whole}
        for table, column, of_event, kind, what in _STRAYS:
            if known[table] is not None and known[table] != self._count(table):
                for (name,) in self._connection.execute(_STRAY % (column, table, of_event, column)):
                    self._add(Finding(kind, what, brief(name)))

    def _floor(self) -> int:
        """Return up to which number the sequencer no longer looks for events without a leaf."""
        if self._gives_leaves:
            return 0
        return max((int(floor) for (floor,) in self._connection.execute("SELECT floor FROM sequencer")), default=0)

    def _count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608  # names of ours

    def _found(self, row: Sequence[Any], kind: str, what: str, seen: str = "", expected: str = "") -> None:
        run = f"{brief(row[4])} at {brief(row[5])}"
        position = row[0] if isinstance(row[0], int) and row[0] >= 0 else None
        self._add(Finding(kind, what, seen, expected, brief(row[3]), run, position))


class _Headers:
    """Parses headers as `parse_header` does, several times faster: it knows the shapes that were good before.

    A header without a backslash holds its texts as they stand, so its one canonical form is a pattern of its keys.
    """

    def __init__(self) -> None:
        self._patterns: list[tuple[re.Pattern[str], tuple[str, ...]]] = []
        """Of a header that was good, with its keys; the last one that fitted comes first."""
        self._shapes: set[tuple[str, ...]] = set()

    def parse(self, header: bytes) -> dict[str, Any]:
        """Return a header's fields.

        Raises:
            ValueError: as `parse_header`.
        """
        try:
            text = header.decode()
        except UnicodeDecodeError:
            return parse_header(header)
        if len(header.translate(None, _ESCAPED)) != len(header):
            return parse_header(header)
        for at, (pattern, keys) in enumerate(self._patterns):
            if found := pattern.fullmatch(text):
                if at:
                    self._patterns.insert(0, self._patterns.pop(at))
                fields: dict[str, Any] = dict(zip(keys, found.groups(), strict=True))
                fields["runseq"] = int(fields["runseq"])
                if "datasize" in fields:
                    fields["datasize"] = int(fields["datasize"])
                return fields
        return self._learned(header)

    def _learned(self, header: bytes) -> dict[str, Any]:
        good = parse_header(header)
        shape = tuple(good)
        if shape not in self._shapes and len(self._shapes) < _MOST_SHAPES:
            self._shapes.add(shape)
            self._patterns.append((re.compile("{" + ",".join(map(_hole, good.items())) + "}"), shape))
        return good


def _hole(member: tuple[str, Any]) -> str:
    """Return the pattern of one member: of an integer of at most 15 digits, of a text without escapes."""
    key, value = member
    return f'"{key}":([1-9][0-9]{{0,14}})' if isinstance(value, int) else f'"{key}":"([^"]+)"'


def _erasures(connection: Connection) -> dict[str, str]:
    """Return which events' payloads were erased, with the hashes they had; the erasing events are judged themselves."""
    found = {}
    for (body,) in connection.stream(_ERASURES, (ERASED,)):
        try:
            said = json.loads(body)
            found[str(said["event"])] = str(said["datahash"])
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # its payload is no longer what its header names, and that is told
    return found
