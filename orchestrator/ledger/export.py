"""Writes events into one file that `offline.py` checks with neither database nor network: a plain tar.

The same events and head give the same bytes. It holds a signed head and either every event under it, or some with their
inclusion proofs; what erased a payload comes along. Nothing stands under the file's name before it is whole.
"""

import io
import json
import os
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from orchestrator.digest import canonical
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import heads, merkle, offline, signer
from orchestrator.ledger.event import parse_header
from orchestrator.ledger.heads import Head
from orchestrator.ledger.read import Filter, conditions, is_within
from orchestrator.ledger.store import Connection, Ledger

_ROWS = """
SELECT l.idx, e.id, e.header, e.time, p.salt, p.body FROM leaves l JOIN events e ON e.id = l.event_id
LEFT JOIN payloads p ON p.event_id = e.id WHERE l.idx < ?"""
_README = """An export of an orch ledger.

bundle.json    what this is; the key that it names is not to be trusted because it stands here
head           the tree head that was signed (C2SP checkpoint)
events.jsonl   one event a line: its place, its header as it was hashed, salt and body of its payload, its proof
artifacts/     what evidence speaks of, each named by its SHA-256
verify.py      a copy of the verifier, for reading; run one that you trust

    python verify.py THIS.tar --key KEY
"""
_MODE = 0o600


class Options(NamedTuple):
    """What goes into an export."""

    wanted: Filter = Filter()
    runs: tuple[str, ...] = ()
    """Only these runs, as `Filter.run` means them; none named is all."""
    headers_only: bool = False
    """No payload, so nothing that people wrote."""
    artifacts: bool = False
    signs: bool = True
    """Sign a head over everything first; else the last one there is."""


class Exported(NamedTuple):
    """What was written."""

    events: int
    artifacts: int
    size_bytes: int
    head: Head
    key: str
    """What signed it, as the verifier's `--key` takes it."""
    is_whole: bool
    unanchored: int
    """Events that match and are not in it, because no signed head covers them."""


def export(ledger: Ledger, file: Path, options: Options = Options()) -> Exported:  # noqa: B008  # an immutable value
    """Write an export into a new file.

    Raises:
        UsageError: the file is there already, or nothing matches.
        LedgerError: there is no signed head, an event is damaged, or it cannot be written; nothing is left behind.
    """
    if os.path.lexists(file):
        raise UsageError(f"{str(file)!r} is there already", advice="name a new file; nothing is overwritten")
    head = heads.sign(ledger) if options.signs else heads.newest(ledger)
    made = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with ledger.store.reading() as connection, tempfile.TemporaryFile(dir=file.parent) as lines:
            key = signer.recorded(connection) or ""
            found = _Found(connection, head, options)
            count = found.write(lines)
            if not count:
                raise UsageError("no event under the signed head matches", advice="see what there is: orch ledger show")
            said = {
                "format": offline.FORMAT,
                "ledger": ledger.id,
                "kind": "whole" if found.is_whole else "some",
                "payloads": not options.headers_only,
                "events": count,
                "key": key,
            }
            artifacts = _write(made, said, head, lines, found.blobs(ledger) if options.artifacts else iter(()))
        os.link(made, file)
        size = file.stat().st_size
    except FileExistsError as error:
        raise UsageError(f"{str(file)!r} is there already", advice="name a new file") from error
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"the export {str(file)!r} cannot be written: {getattr(error, 'strerror', None) or error}"
        ) from error
    finally:
        made.unlink(missing_ok=True)
    return Exported(count, artifacts, size, head, key, found.is_whole, found.unanchored)


class _Found:
    """The events that go into an export."""

    def __init__(self, connection: Connection, head: Head, options: Options) -> None:
        self._connection, self._head, self._options = connection, head, options
        self.is_whole = options.wanted.is_any and not options.runs
        self._places: set[int] = set()
        self.unanchored = 0
        if not self.is_whole:
            self._choose()

    def _choose(self) -> None:
        """Note the places of the events that match, and of those that erased the payload of one."""
        chosen: dict[str, int] = {}
        for run in self._options.runs or ("",):
            wanted = self._options.wanted._replace(run=run or self._options.wanted.run)
            said, parameters = conditions(wanted)
            query = "SELECT e.id, e.time, l.idx FROM events e LEFT JOIN leaves l ON l.event_id = e.id"
            query += f" WHERE {' AND '.join(said)}" if said else ""
            for event_id, time, index in self._connection.stream(query, parameters):
                if is_within(wanted, time):
                    chosen[event_id] = -1 if index is None else index
        self._places = {index for index in chosen.values() if 0 <= index < self._head.size}
        self.unanchored = len(chosen) - len(self._places)
        erased = (
            "SELECT p.body, l.idx FROM events e JOIN payloads p ON p.event_id = e.id JOIN leaves l ON l.event_id = e.id"
        )
        for body, index in self._connection.stream(f"{erased} WHERE e.type = 'orch.ledger.erased'"):
            if index < self._head.size and json.loads(bytes(body)).get("event") in chosen:
                self._places.add(index)

    def write(self, out: IO[bytes]) -> int:
        """Write the lines of the events and return how many there are."""
        count, size = 0, self._head.size
        proofs = {} if self.is_whole else self._proofs()
        for index, event_id, header, _, salt, body in self._connection.stream(f"{_ROWS} ORDER BY l.idx", (size,)):
            if not self.is_whole and index not in self._places:
                continue
            line: dict[str, Any] = {"index": index, "header": _header(header, event_id)}
            if body is not None and not self._options.headers_only:
                line |= {"salt": bytes(salt).hex(), "body": _text(body, event_id)}
            if index in proofs:
                line["proof"] = [b64encode(one).decode() for one in proofs[index]]
            out.write(canonical(line) + b"\n")
            count += 1
        return count

    def _proofs(self) -> dict[int, list[bytes]]:
        """Return the inclusion proof of each chosen place; the leaves are read once."""
        size = self._head.size
        ranges: set[tuple[int, int]] = set()

        def note(start: int, stop: int) -> bytes:
            ranges.add((start, stop))
            return b""

        for place in self._places:
            merkle.inclusion(place, size, note)
        rows = self._connection.stream("SELECT hash FROM leaves WHERE idx < ? ORDER BY idx", (size,))
        known = _subtrees((bytes(row[0]) for row in rows), ranges)
        return {place: merkle.inclusion(place, size, lambda *range_: known[range_]) for place in self._places}

    def blobs(self, ledger: Ledger) -> Iterator[tuple[str, Path]]:
        """Yield digest and file of each artifact that the chosen events stored, sorted."""
        stored = f"{_ROWS} AND e.type = 'orch.artifact.stored' ORDER BY l.idx"
        digests = {
            str(json.loads(bytes(body)).get("digest"))
            for index, _, _, _, _, body in self._connection.stream(stored, (self._head.size,))
            if body is not None and (self.is_whole or index in self._places)
        }
        for digest in sorted(digests):
            value = digest.removeprefix("sha256:")
            if not value.isalnum():
                raise LedgerError(f"{digest[:80]!r} is no digest of an artifact", advice="run orch ledger verify")
            yield value, ledger.folder / "artifacts" / "sha256" / value[:2] / value


def _subtrees(leaves: Iterator[bytes], ranges: set[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Return the root over each range of leaves, which are read once.

    A range is a perfect subtree or runs to the end of the tree; both begin where a perfect subtree does.
    """
    starting: dict[int, list[tuple[int, merkle.Frontier]]] = {}
    for start, stop in ranges:
        starting.setdefault(start, []).append((stop, merkle.Frontier()))
    growing: list[tuple[int, int, merkle.Frontier]] = []
    found: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves):
        growing += [(index, stop, frontier) for stop, frontier in starting.get(index, ())]
        for start, stop, frontier in growing:
            frontier.append(leaf)
            if index + 1 == stop:
                found[start, stop] = frontier.root()
        growing = [one for one in growing if one[1] > index + 1]
    return found


def _header(data: bytes, event_id: str) -> str:
    try:
        parse_header(bytes(data))
    except ValueError as error:
        raise LedgerError(f"event {event_id} is damaged: {error}", advice="run orch ledger verify") from None
    return _text(data, event_id)


def _text(data: bytes, event_id: str) -> str:
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise LedgerError(f"event {event_id} is damaged: it is no text", advice="run orch ledger verify") from None


def _write(made: Path, said: dict[str, Any], head: Head, lines: IO[bytes], blobs: Iterator[tuple[str, Path]]) -> int:
    """Write the archive and return how many artifacts are in it."""
    count = 0
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(descriptor, "wb") as out:  # noqa: PTH123  # a descriptor
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in (
                ("README.txt", _README.encode()),
                ("verify.py", Path(offline.__file__).read_bytes()),
                ("bundle.json", canonical(said) + b"\n"),
                ("head", head.note.encode()),
            ):
                archive.addfile(_member(name, len(data)), io.BytesIO(data))
            size = lines.tell()
            lines.seek(0)
            archive.addfile(_member("events.jsonl", size), lines)
            for count, (value, blob) in enumerate(blobs, 1):  # noqa: B007  # counted for the caller
                with blob.open("rb") as content:
                    archive.addfile(_member(f"artifacts/sha256/{value}", os.fstat(content.fileno()).st_size), content)
        out.flush()
        os.fsync(out.fileno())
    return count


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
