"""Events as values: the header's bytes, its hashes, and what may be in it. Pure; the format is in docs/ledger.md."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.digest import MAX_INTEGER, sha256
from orchestrator.errors import LedgerError

Statement = tuple[str, tuple[Any, ...]]
"""SQL and its parameters: how a projection follows from an event."""
FORMAT = "orch-ledger/1"
LEDGER_CHAIN = "ledger:"
"""The chain of events about the ledger itself."""
COLUMNS = ("run_id", "run_seq", "type", "time", "actor", "subject", "repository", "action", "outcome", "would", "point")
"""Projected columns of a header, in the order of the table; `id` comes before them."""
_KEYS = ("runid", "runseq", *COLUMNS[2:])
"""What a header calls these columns."""
_INTEGERS = frozenset({"runseq", "datasize"})
_HEADER_KEYS = frozenset(
    {
        "specversion", "id", "source", "type", "time", "subject", "datacontenttype", "runid", "runseq", "prevhash",
        "actor", "repository", "action", "outcome", "would", "point", "policydigest", "actiondigest", "causeid",
        "datahash", "datasize", "traceparent",
    }
)  # fmt: skip
_NEEDED = ("specversion", "id", "source", "type", "time", "runid", "runseq", "prevhash", "actor")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False, ensure_ascii=False).encode


class Draft(NamedTuple):
    """An event to be appended; the ledger adds its place in the chain, and hashes."""

    type: str
    """`orch.decision` and the others of docs/ledger.md."""
    run_id: str
    """The chain."""
    actor: str
    """`type:id`."""
    payload: Mapping[str, Any] | None = None
    """A JSON object; secrets are masked when it is appended."""
    id: str = ""
    """A UUID; drawn where it is empty."""
    time: str = ""
    """RFC 3339, UTC; the clock's where it is empty."""
    subject: str = ""
    repository: str = ""
    action: str = ""
    outcome: str = ""
    would: str = ""
    """The outcome had every pack enforced."""
    point: str = ""
    policy_digest: str = ""
    action_digest: str = ""
    cause_id: str = ""
    traceparent: str = ""


class Event(NamedTuple):
    """An event of the ledger."""

    header: bytes
    fields: dict[str, Any]
    """The parsed header."""
    payload: dict[str, Any] | None
    """None where there is none, or where it was erased."""
    leaf: int | None = None
    """Its leaf in the tree; None where it was not read, or has none yet."""

    @property
    def id(self) -> str:
        """The event's UUID; of a decision its `evaluation_id`."""
        return str(self.fields["id"])


def header_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a header, what is empty left out.

    Raises:
        LedgerError: a key or value that a header may not have.
    """
    kept = {name: value for name, value in fields.items() if value not in ("", None)}
    if problem := header_problem(kept):
        raise LedgerError(f"an event cannot be recorded: {problem}")
    try:
        return _encode(kept).encode()
    except UnicodeEncodeError:
        raise LedgerError("an event cannot be recorded: its header holds a lone surrogate") from None


def parse_header(header: bytes) -> dict[str, Any]:
    """Return a header's fields.

    Raises:
        ValueError: it is not what `header_bytes` would have written.
    """
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError):
        raise ValueError("a header that is no JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("a header that is no object")  # noqa: TRY004  # what is wrong is the value, to every caller
    if problem := header_problem(fields):
        raise ValueError(problem)
    if _encode(fields).encode("utf-8", "surrogatepass") != header:
        raise ValueError("a header that is not in canonical form")
    return fields


def header_problem(fields: Mapping[str, Any]) -> str:
    """Return what is wrong with a header's fields, or ""."""
    if unknown := fields.keys() - _HEADER_KEYS:
        return f"a header has no {min(map(str, unknown))}"
    for name in _NEEDED:
        if not fields.get(name):
            return f"a header without {name}"
    for name, value in fields.items():
        if name in _INTEGERS:
            if type(value) is not int or not 0 <= value <= MAX_INTEGER:
                return f"{name} is no integer from 0"
        elif type(value) is not str:
            return f"{name} is no text"
    return ""


def columns(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the table keeps of a header for searching, in the order of `COLUMNS`."""
    get = fields.get
    return tuple([get(key, "") for key in _KEYS])


def leaf_hash(header: bytes) -> bytes:
    """Return the RFC 6962 leaf hash of a header, 32 bytes."""
    return bytes.fromhex(sha256(b"\0" + header)[7:])


def head_of(header: bytes) -> str:
    """Return what the next event of the chain names as `prevhash`."""
    return sha256(header)


def first_head(ledger_id: str, run_id: str) -> str:
    """Return the `prevhash` of a chain's first event."""
    return sha256(f"{FORMAT}\0{ledger_id}\0{run_id}".encode("utf-8", "surrogatepass"))


def data_hash(salt: bytes, body: bytes) -> str:
    """Return the hash that a header keeps of its payload."""
    return sha256(salt + body)


def now() -> str:
    """Return the clock's time as a header writes it."""
    return clock.format_time(clock.now_ns())
