"""Judges tree heads: those that the ledger keeps, and those that somebody held elsewhere."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.ledger import note
from orchestrator.ledger.event import FORMAT, LEDGER_CHAIN, data_hash, parse_header
from orchestrator.ledger.merkle import Frontier
from orchestrator.ledger.signer import CREATED
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.ledger.verify_report import Finding, Findings, brief

_HEADS = "SELECT size, root, note, signed_at, frontier FROM heads ORDER BY size"
_CREATED = """
SELECT e.id, e.header, p.salt, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = ? ORDER BY e.run_seq"""


class Held(NamedTuple):
    """A head that was kept outside of the ledger, as text that nobody has read yet."""

    source: str
    """Where it was held, for people: `the head last seen`, `refs/orch/heads at 9f2c1a`."""
    note: str
    key: str = ""
    """The public key that was kept with it; empty where none was."""


class Good(NamedTuple):
    """A head whose signature is the ledger's."""

    size: int
    root: bytes
    note: str
    source: str = ""
    """Where it was held; empty for one of the ledger's own."""


def key_of(ledger: Ledger, connection: Connection, findings: Findings) -> note.PublicKey | None:
    """Return the public key that the record names, after a look that it names one and no other."""
    found: note.PublicKey | None = None
    for event_id, header, salt, body in connection.execute(_CREATED, (LEDGER_CHAIN, CREATED)):
        try:
            key = _recorded(ledger, header, salt, body)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            what = f"the event that names the public key cannot be believed: {error}"
            findings.add(Finding("key", what, event=brief(event_id)))
            continue
        if found is None:
            found = key
        elif key != found:
            findings.add(Finding("key", "the record names a second public key", str(key), str(found), brief(event_id)))
    return found


def _recorded(ledger: Ledger, header: bytes, salt: bytes, body: bytes) -> note.PublicKey:
    if body is None:
        raise ValueError("its payload is gone")
    if parse_header(header).get("datahash") != data_hash(salt, body):
        raise ValueError("its payload is not what the header names")
    said: Any = json.loads(body)
    key = note.parse_key(str(said["public_key"]))
    if (said["format"], said["ledger"], key.name) != (FORMAT, ledger.id, note.origin_of(ledger.id)):
        raise ValueError("it speaks of another ledger")
    return key


def stored(connection: Connection, key: note.PublicKey | None, findings: Findings) -> Iterator[Good]:
    """Yield the ledger's own heads whose signature is good and whose columns say what the note says."""
    for size, root, text, _, roots in connection.stream(_HEADS):
        problem = _problem(size, root, text, roots, key)
        if problem:
            what = f"a signed head of the ledger is not good: {problem}"
            findings.add(Finding("head", what, position=size if isinstance(size, int) else None))
        else:
            yield Good(size, root, text)


def _problem(size: object, root: object, text: object, roots: object, key: note.PublicKey | None) -> str:
    if key is None:
        return "the record names no public key"
    try:
        said = note.parse(str(text))
        if said.checkpoint != (key.name, size, root):
            return f"its columns say size {brief(size)}, root {brief(root)}; its note says {_said(said.checkpoint)}"
        if not isinstance(roots, bytes) or Frontier(said.checkpoint.size, roots).root() != root:
            return "its frontier does not give its root"
    except ValueError as error:
        return str(error)
    return note.check(said, key)


def held(kept: Iterable[Held], key: note.PublicKey | None, ledger_id: str, findings: Findings) -> Iterator[Good]:
    """Yield the heads held elsewhere that are this ledger's; add what speaks against it."""
    for one in kept:
        if one.key and one.key != str(key or ""):
            what = f"the public key is not the one that was seen with {one.source}"
            findings.add(Finding("held", what, str(key or "none"), one.key))
            continue
        try:
            said = note.parse(one.note)
        except ValueError as error:
            findings.doubt(f"{one.source} cannot be read: it is {error}")
            continue
        if said.checkpoint.origin != note.origin_of(ledger_id):
            findings.doubt(
                f"{one.source} is a head of {said.checkpoint.origin}, this ledger is {note.origin_of(ledger_id)}: "
                "it says nothing of this one, unless this one took the other's place"
            )
            continue
        problem = note.check(said, key) if key else "the record names no public key"
        if not problem:
            yield Good(said.checkpoint.size, said.checkpoint.root, one.note, one.source)
        elif key and any(number == key.id for _, number, _ in said.signatures):
            findings.doubt(f"{one.source} is damaged: {problem}")
        else:
            what = f"{one.source} was not signed by the key that the record names"
            findings.add(Finding("held", what, problem, position=said.checkpoint.size))


def check_roots(heads: Iterable[Good], roots: Mapping[int, bytes], size: int, findings: Findings) -> Iterator[Good]:
    """Yield the heads that are beginnings of the tree of `size` leaves; add the others as findings."""
    for head in heads:
        kind, name = ("held", head.source) if head.source else ("head", "a signed head of the ledger")
        if head.size > size:
            what = f"the ledger is shorter than {name} says: events at its end are gone"
            findings.add(Finding(kind, what, f"{size} events", f"{head.size} events or more", position=head.size))
        elif roots.get(head.size) != head.root:
            what = f"the first {head.size} events are not those that {name} was signed over"
            seen = brief(roots.get(head.size, b""))
            findings.add(Finding(kind, what, seen, brief(head.root), position=head.size))
        else:
            yield head


def _said(checkpoint: note.Checkpoint) -> str:
    return f"{checkpoint.origin}, size {checkpoint.size}, root {checkpoint.root.hex()}"
