"""The record for programs: JSON, JSON Lines, and structured CloudEvents 1.0. Streams; one event to a line."""

from collections.abc import Callable, Iterable
from typing import Any, TextIO

from orchestrator.decision import digest_of
from orchestrator.ledger.event import Event
from orchestrator.show import escape

FORMATS = ("json", "jsonl", "cloudevents")


def write(events: Iterable[Event], out: TextIO, output: str) -> int:
    """Write events, an array for `json` and else one to a line, and return how many there were.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    shape: Callable[[Event], dict[str, Any]] = cloud_event if output == "cloudevents" else whole
    before, after = ("[\n", ",\n") if output == "json" else ("", "\n")
    count = 0
    for count, event in enumerate(events, 1):  # noqa: B007  # counted for the caller
        line = escape.json_text(shape(event))
        out.write(f"{before}{line}" if output == "json" else f"{line}\n")
        before = after
    if output == "json":
        out.write("\n]\n" if count else "[]\n")
    return count


def whole(event: Event) -> dict[str, Any]:
    """Return an event as `orch` keeps it: leaf index (null: none yet), header, payload (null: none, or erased).

    Of a decision also `decision_digest`.
    """
    digest = decision_digest(event)
    said = {"index": event.leaf, "header": event.fields, "payload": event.payload}
    return {**said, "decision_digest": digest} if digest else said


def decision_digest(event: Event) -> str:
    """Return the digest of the decision that an event records; "" of any other event, or where it was erased."""
    said = (event.payload or {}).get("decision") if event.fields.get("type") == "orch.decision" else None
    try:
        return digest_of(said) if isinstance(said, dict) else ""
    except ValueError:  # damaged, which `orch ledger verify` tells
        return ""


def cloud_event(event: Event) -> dict[str, Any]:
    """Return an event as a CloudEvent in structured mode; without `data` where there is none, or it was erased."""
    return {**event.fields, **({} if event.payload is None else {"data": event.payload})}
