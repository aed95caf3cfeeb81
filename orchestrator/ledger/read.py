"""Reads events back, streamed: a filtered timeline, one event whole, and what stands around it. Never writes.

What is filtered by are the projected columns; that they equal the headers is for `orch ledger verify` to say.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.event import Event, parse_header
from orchestrator.ledger.store import Connection

COLUMNS = "e.n, e.id, e.header, p.body, l.idx"
"""What `decoded` reads of a row."""
TABLES = "events e LEFT JOIN payloads p ON p.event_id = e.id LEFT JOIN leaves l ON l.event_id = e.id"
"""Where it comes from."""
_SECONDS = len("2026-11-21T05:00:00")
_OF_RUN = """(e.run_id = ? OR e.run_id IN (SELECT chain FROM requests WHERE run_id = ? AND chain LIKE ?)
 OR e.id IN (SELECT event_id FROM evidence WHERE run_id = ?))"""
_PREFIX = r"[0-9a-f][0-9a-f-]{3,35}"
_SHOWN = 5
_LISTED = 12
_PARTS = {"run": "run_id", "repository": "repository", "type": "type", "action": "action", "actor": "actor"}
"""Parts of a filter that may be mistyped, and where their values lie."""


class Filter(NamedTuple):
    """Which events; what is empty or None asks for nothing. In actor, repository and action `*` stands for any text."""

    run: str = ""
    """A run's id or another chain; events of other chains that belong to the run are given, too."""
    repository: str = ""
    action: str = ""
    outcome: str = ""
    """As a decision says it: allow, deny, pending."""
    type: str = ""
    """`orch.decision`, or in short `decision`; `budget` is every event of budgets."""
    actor: str = ""
    since_ns: int | None = None
    """Nanoseconds since 1970, inclusive; by the writer's clock."""
    until_ns: int | None = None
    """Exclusive."""
    after_n: int = 0
    """Only events that were written after the one with this number."""
    limit: int | None = None
    newest: bool = False
    """Begin with the newest and go back."""

    @property
    def is_any(self) -> bool:
        """Whether it asks for every event."""
        return self._replace(limit=None, newest=False) == Filter()


class Around(NamedTuple):
    """What stands around an event."""

    previous: Event | None
    """The event before it in its chain."""
    following: Event | None
    cause: Event | None
    """The event that led to it."""
    consequences: tuple[Event, ...]
    """The events that it led to: of its own chain, of the approval requests it opened, and its erasure."""
    erasure: Event | None
    request_id: str = ""
    """The approval request that a decision waits for or rests on; it may have opened for an earlier one."""


def events(connection: Connection, wanted: Filter = Filter()) -> Iterator[Event]:  # noqa: B008  # an immutable value
    """Yield the events that match, in the order they were written, or newest first; none is held.

    Raises:
        LedgerError: an event is damaged, or the ledger cannot be read.
        UsageError: a filter that nothing can match.
    """
    for _, event in numbered(connection, wanted):
        yield event


def numbered(connection: Connection, wanted: Filter) -> Iterator[tuple[int, Event]]:
    """Yield as `events`, each with the number by which a reader can go on from it (`after_n`).

    Raises:
        LedgerError: as `events`.
        UsageError: as `events`.
    """
    said, parameters = conditions(wanted)
    where = f" WHERE {' AND '.join(said)}" if said else ""
    order = "DESC" if wanted.newest else "ASC"
    left = wanted.limit
    if left == 0:
        return
    query = f"SELECT {COLUMNS} FROM {TABLES}{where} ORDER BY e.n {order}"  # noqa: S608  # of constants
    for row in connection.stream(query, parameters):
        event = decoded(row)
        if is_within(wanted, str(event.fields["time"])):
            yield row[0], event
            left = None if left is None else left - 1
            if left == 0:
                return


def decoded(row: tuple[Any, ...]) -> Event:
    """Return the event in a row of `COLUMNS`; a payload that is not there is None.

    Raises:
        LedgerError: it is damaged.
    """
    n, event_id, header, body, index = row
    try:
        fields = parse_header(bytes(header))
        payload = None if body is None else _payload(bytes(body))
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(
            f"event {str(event_id)[:40]!r} (number {n}) is damaged: {error}",
            advice="orch ledger verify says what else is",
        ) from error
    return Event(bytes(header), fields, payload, index)


def _payload(body: bytes) -> dict[str, Any]:
    payload = json.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("a payload that is no object")  # noqa: TRY004  # what is wrong is the value
    return payload


def find(connection: Connection, name: str) -> Event:
    """Return the event with this id, or the only one whose id begins so.

    Raises:
        UsageError: there is none, or there are several.
        LedgerError: it is damaged.
    """
    query = f"SELECT {COLUMNS} FROM {TABLES} WHERE e.id"  # noqa: S608  # of constants
    rows = connection.execute(f"{query} = ?", (name,))
    if not rows and re.fullmatch(_PREFIX, name.lower()):
        rows = connection.execute(f"{query} LIKE ? ORDER BY e.n LIMIT {_SHOWN}", (name.lower() + "%",))
    if not rows:
        raise UsageError(
            f"there is no event {name[:60]!r} in this ledger; expected an id, or at least its first 4 characters",
            advice="orch ledger show lists the newest",
        )
    if len(rows) > 1:
        raise UsageError(
            f"several events begin with {name!r}: {', '.join(str(row[1]) for row in rows)}", advice="give more of it"
        )
    return decoded(rows[0])


def around(connection: Connection, event: Event) -> Around:
    """Return what stands around an event.

    Raises:
        LedgerError: one of them is damaged.
    """
    chain, turn = event.fields["runid"], event.fields["runseq"]
    erasure = _erasure(connection, event.id)
    led_to = [found for found in _later(connection, event) if found.fields.get("causeid") == event.id]
    return Around(
        previous=_at(connection, chain, turn - 1),
        following=_at(connection, chain, turn + 1),
        cause=_by_id(connection, str(event.fields.get("causeid", ""))),
        consequences=(*led_to, *([erasure] if erasure else [])),
        erasure=erasure,
        request_id=_request(connection, event),
    )


def since_text(text: str, now_ns: int) -> int:
    """Return a moment in nanoseconds since 1970 from RFC 3339, a date, or how long ago it was (`90s`, `2h`, `3d`).

    Raises:
        UsageError: the text is none of these.
    """
    try:
        if re.fullmatch(r"[0-9]{1,9}[smhd]", text):
            return now_ns - clock.parse_duration(text) * clock.SECOND_NS
        return clock.parse_time(f"{text}T00:00:00Z" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else text)
    except ValueError as error:
        raise UsageError(
            f"{text[:60]!r} is no time; expected 2026-11-21T05:00:00Z, 2026-11-21, or how long ago: 90s, 15m, 2h, 3d"
        ) from error


def conditions(wanted: Filter) -> tuple[list[str], list[Any]]:
    """Return the conditions on `events e` that a filter stands for, and their parameters; times only to the second.

    Raises:
        UsageError: a time that cannot be written.
    """
    found: list[tuple[str, tuple[Any, ...]]] = []
    if wanted.run:
        found.append((_OF_RUN, (wanted.run, wanted.run, "request:%", wanted.run)))
    for column in ("repository", "action", "actor", "outcome"):
        value = str(getattr(wanted, column))
        if value:
            value = value.lower() if column == "repository" else value
            found.append(
                (f"e.{column} LIKE ? ESCAPE '!'", (_like(value),)) if "*" in value else (f"e.{column} = ?", (value,))
            )
    if wanted.type:
        name = wanted.type if wanted.type.startswith("orch.") else f"orch.{wanted.type}"
        found.append(("(e.type = ? OR e.type LIKE ? ESCAPE '!')", (name, _like(name) + ".%")))
    for sign, moment in ((">=", wanted.since_ns), ("<=", wanted.until_ns)):
        if moment is not None:
            found.append((f"substr(e.time, 1, {_SECONDS}) {sign} ?", (_second(moment),)))
    if wanted.after_n:
        found.append(("e.n > ?", (wanted.after_n,)))
    return [sql for sql, _ in found], [value for _, values in found for value in values]


def unknown(connection: Connection, wanted: Filter) -> Iterator[str]:
    """Yield a sentence for each of a filter's parts that no event of this ledger has: what there is instead."""
    for part, column in _PARTS.items():
        value = str(getattr(wanted, part))
        said, parameters = conditions(Filter(**{part: value}))  # type: ignore[arg-type]  # a part that is a text
        if not value or connection.execute(f"SELECT 1 FROM events e WHERE {said[0]} LIMIT 1", parameters):  # noqa: S608  # of constants
            continue
        newest = f"SELECT {column} FROM events WHERE {column} <> '' GROUP BY {column} ORDER BY max(n) DESC LIMIT ?"  # noqa: S608  # of constants
        names = [str(name).removeprefix("orch.") for (name,) in connection.execute(newest, (_LISTED + 1,))]
        there = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        yield f"no event has the {part} {value[:60]!r}; there is: {there or 'none'}"


def _like(text: str) -> str:
    for mark in "!%_":
        text = text.replace(mark, f"!{mark}")
    return text.replace("*", "%")


def _second(ns: int) -> str:
    """Return the second in which a moment lies: fractions are of any length, so they do not compare as text."""
    try:
        return clock.format_time(ns)[:_SECONDS]
    except ValueError as error:
        raise UsageError(str(error)) from error


def is_within(wanted: Filter, time: str) -> bool:
    """Return whether a header's time lies in what a filter wants, to the nanosecond."""
    if wanted.since_ns is None and wanted.until_ns is None:
        return True
    try:
        at = clock.parse_time(time)
    except ValueError:
        return True  # better one too many than one that nobody can find
    return not (wanted.since_ns is not None and at < wanted.since_ns) and not (
        wanted.until_ns is not None and at >= wanted.until_ns
    )


def _one(connection: Connection, condition: str, parameters: tuple[Any, ...]) -> Event | None:
    query = f"SELECT {COLUMNS} FROM {TABLES} WHERE {condition}"  # noqa: S608  # of constants
    rows = connection.execute(query, parameters)
    return decoded(rows[0]) if rows else None


def _at(connection: Connection, chain: str, turn: int) -> Event | None:
    return _one(connection, "e.run_id = ? AND e.run_seq = ?", (chain, turn))


def _by_id(connection: Connection, event_id: str) -> Event | None:
    return _one(connection, "e.id = ?", (event_id,)) if event_id else None


def _later(connection: Connection, event: Event) -> Iterator[Event]:
    """Yield what could have come of an event: the rest of its chain, and the chains of requests that it opened."""
    of_chains = "(e.run_id = ? AND e.run_seq > ?) OR e.run_id IN (SELECT chain FROM requests WHERE evaluation_id = ?)"
    query = f"SELECT {COLUMNS} FROM {TABLES} WHERE {of_chains} ORDER BY e.n"  # noqa: S608  # of constants
    chain = event.fields["runid"]
    for row in connection.stream(query, (chain, event.fields["runseq"], event.id)):
        yield decoded(row)


def _request(connection: Connection, event: Event) -> str:
    facts = (event.payload or {}).get("facts")
    named = facts.get("request_id") if isinstance(facts, dict) else None
    if not isinstance(named, str) or not connection.execute(
        "SELECT 1 FROM events WHERE run_id = ? LIMIT 1", (f"request:{named}",)
    ):
        return ""
    return named


def _erasure(connection: Connection, event_id: str) -> Event | None:
    if not connection.execute("SELECT 1 FROM erasures WHERE event_id = ?", (event_id,)):
        return None
    for event in events(connection, Filter(type="orch.ledger.erased")):
        if (event.payload or {}).get("event") == event_id:
            return event
    return None
