"""Appends events: the one way into the record. A function over an open transaction that begins with a write.

So it joins another transaction (a workflow engine's checkpoint, a budget's guard): everything commits, or nothing does.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from orchestrator.digest import hash_many, new_id
from orchestrator.errors import LedgerError
from orchestrator.ledger.event import (
    COLUMNS,
    Draft,
    Event,
    columns,
    data_hash,
    first_head,
    head_of,
    header_bytes,
    leaf_hash,
    now,
)
from orchestrator.ledger.project import statements
from orchestrator.ledger.store import Connection, Ledger

_SALT_BYTES = 16
_TAKE_TURNS = """
INSERT INTO chains (run_id, next_seq, head) VALUES (?, 1 + ?, ?)
ON CONFLICT (run_id) DO UPDATE SET next_seq = chains.next_seq + ? RETURNING next_seq - ?, head"""
_MOVE_ON = "UPDATE chains SET head = ? WHERE run_id = ?"
_INSERT_EVENT = f"INSERT INTO events (id, {', '.join(COLUMNS)}, header) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"  # noqa: S608  # constants
_INSERT_PAYLOAD = "INSERT INTO payloads (event_id, salt, body) VALUES (?, ?, ?)"
_INSERT_LEAF = "INSERT INTO leaves (idx, event_id, hash) VALUES (?, ?, ?)"
_MANY = 32
"""From a group of this size on, OpenSSL's digests are worth their import."""
_COMES_ONCE = "ON CONFLICT DO NOTHING"

_Work = list[tuple[str, list[tuple[Any, ...]]]]
_Ready = tuple[dict[str, Any], dict[str, Any] | None, bytes, bytes]
"""A draft that waits for its place: its header without `runseq` and `prevhash`, its masked payload, salt and body."""


def append(ledger: Ledger, connection: Connection, draft: Draft) -> Event:
    """Append one event, with its projections, to an open transaction; nothing is recorded before that commits.

    Its first statement writes (the chain's row), so of two appends to one chain the second waits.

    Raises:
        LedgerError: it cannot be written, its payload cannot be masked or has no canonical form; roll back.

    Source: 001, "Append-only event store".
    """
    return append_group(ledger, connection, (draft,))[0]


def append_group(ledger: Ledger, connection: Connection, drafts: Sequence[Draft]) -> list[Event]:
    """Append events in their order to an open transaction; a group costs much less than its events one by one.

    Raises:
        LedgerError: as `append`.
    """
    if len(drafts) >= _MANY:
        hash_many()
    seen: dict[tuple[str, ...], tuple[str, ...]] = {}
    ready = [_ready(ledger, draft, seen) for draft in drafts]
    places = _take_turns(ledger, connection, [fields["runid"] for fields, *_ in ready])
    events = [_placed(one, places) for one in ready]
    work: _Work = [
        (_MOVE_ON, [(head, run_id) for run_id, (_, head) in places.items()]),
        (_INSERT_EVENT, [(event.fields["id"], *columns(event.fields), event.header) for event in events]),
        (_INSERT_PAYLOAD, [(fields["id"], salt, body) for fields, payload, salt, body in ready if payload is not None]),
    ]
    if ledger.gives_leaves:
        [(size,)] = connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM leaves")
        leaves = [(size + at, event.fields["id"], leaf_hash(event.header)) for at, event in enumerate(events)]
        work.append((_INSERT_LEAF, leaves))
    connection.run([one for one in (*work, *_projections(events)) if one[1]])
    return events


def append_all(ledger: Ledger, drafts: Sequence[Draft]) -> list[Event]:
    """Append events in one transaction of their own: all of them are recorded, or none.

    Raises:
        LedgerError: as `append`; nothing was recorded.
    """
    with ledger.store.writing() as connection:
        return append_group(ledger, connection, drafts)


@contextmanager
def joined(_: Ledger, connection: Any) -> Iterator[Connection]:  # noqa: ANN401  # a DBAPI connection
    """Give somebody else's open DBAPI connection as ours, for `append` inside their transaction; they commit.

    It is one of sqlite3 or psycopg.
    """
    if type(connection).__module__.startswith("psycopg"):
        from orchestrator.ledger.psql import PostgresConnection

        yield PostgresConnection(connection)
    else:
        from orchestrator.ledger.sqlite import SqliteConnection

        yield SqliteConnection(connection)


def _ready(ledger: Ledger, draft: Draft, seen: dict[tuple[str, ...], tuple[str, ...]]) -> _Ready:
    """Return a draft's event without its place; `seen` keeps what the group's texts look like masked."""
    texts = (draft.run_id, draft.actor, draft.subject, draft.repository.lower(), draft.action)
    if texts not in seen:
        joined_texts = "\t".join(texts)  # what holds nothing together holds nothing apart
        is_clean = ledger.mask.text(joined_texts) == joined_texts
        seen[texts] = texts if is_clean else tuple(map(ledger.mask.text, texts))
    run_id, actor, subject, repository, action = seen[texts]
    payload, salt, body = _payload(ledger, draft)
    fields = {
        "specversion": "1.0",
        "id": draft.id or new_id(),
        "source": f"orch:{ledger.id}",
        "type": draft.type,
        "time": draft.time or now(),
        "subject": subject,
        "datacontenttype": "" if payload is None else "application/json",
        "runid": run_id,
        "actor": actor,
        "repository": repository,
        "action": action,
        "outcome": draft.outcome,
        "would": draft.would,
        "point": draft.point,
        "policydigest": draft.policy_digest,
        "actiondigest": draft.action_digest,
        "causeid": draft.cause_id,
        "datahash": None if payload is None else data_hash(salt, body),
        "datasize": None if payload is None else len(body),
        "traceparent": draft.traceparent,
    }
    return {name: value for name, value in fields.items() if value not in ("", None)}, payload, salt, body


def _take_turns(ledger: Ledger, connection: Connection, run_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return each chain's next place and head; all groups lock in one order, so that two cannot stop each other."""
    places = {}
    for run_id in sorted(set(run_ids)):
        turns = run_ids.count(run_id)
        parameters = (run_id, turns, first_head(ledger.id, run_id), turns, turns)
        [places[run_id]] = connection.execute(_TAKE_TURNS, parameters)
    return places


def _placed(one: _Ready, places: dict[str, tuple[int, str]]) -> Event:
    fields, payload, *_ = one
    run_id = fields["runid"]
    fields["runseq"], fields["prevhash"] = places[run_id]
    header = header_bytes(fields)
    places[run_id] = (fields["runseq"] + 1, head_of(header))
    return Event(header, fields, payload)


def _projections(events: Sequence[Event]) -> _Work:
    """Return the projections' statements in order, neighbours of one text together, and what comes once, once."""
    work: _Work = []
    seen = set()
    for event in events:
        for sql, parameters in statements(event.fields, event.payload or {}):
            if sql.endswith(_COMES_ONCE):
                if (sql, parameters) in seen:
                    continue
                seen.add((sql, parameters))
            if work and work[-1][0] == sql:
                work[-1][1].append(parameters)
            else:
                work.append((sql, [parameters]))
    return work


def _payload(ledger: Ledger, draft: Draft) -> tuple[dict[str, Any] | None, bytes, bytes]:
    if draft.payload is None:
        return None, b"", b""
    try:
        payload, body = ledger.mask.value_and_bytes(dict(draft.payload))
        return payload, os.urandom(_SALT_BYTES), body
    except LedgerError:
        raise
    except Exception as error:  # whatever it is, nothing unmasked may be written
        raise LedgerError(f"an event of type {draft.type} cannot be recorded: {error}") from error
