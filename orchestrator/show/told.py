"""What is told of an event, as a value, and what of a payload may be read. Plain text, unescaped.

A payload may be erased, of a newer orch or hostile: what is not there or not of its type is left out.
"""

from typing import Any, NamedTuple

from orchestrator.ledger.event import Event


class Happening(NamedTuple):
    """An event, told."""

    word: str
    """What became of it, in capitals."""
    tone: str
    """`good`, `bad`, `wait` or `plain`."""
    who: str
    what: tuple[str, ...]
    details: tuple[str, ...] = ()
    """Why, by which rule, what is owed: a line each."""


def who(event: Event) -> str:
    """Return who acted."""
    return str(event.fields["actor"])


def subject(event: Event) -> str:
    """Return what it is about; may be empty."""
    return str(event.fields.get("subject", ""))


def text(value: object) -> str:
    """Return a text as it is, and "" for anything else."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """Return a whole number as it is, and None for anything else."""
    return value if type(value) is int else None


def mapping(value: object) -> dict[str, Any]:
    """Return an object as it is, and {} for anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
