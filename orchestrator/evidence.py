"""Reads the evidence that a ledger holds, for people: what the engine is told of it gives `known`. Adds nothing.

A piece of evidence is a report that speaks of a change (by its digest, or by the git tree that holds it) or of an
action.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import shown

if TYPE_CHECKING:
    from orchestrator.ledger.store import Connection

_COLUMNS = (
    "event_id", "type", "tool", "result", "artifact", "repository", "change_digest", "action_digest", "tree",
    "commit_id", "run_id", "actor", "at", "signed_by", "claimed", "summary",
)  # fmt: skip
_LISTED = f"SELECT {', '.join(_COLUMNS)} FROM evidence"  # noqa: S608  # constants
_FILTERS = {"run": "run_id = ?", "repository": "repository = ?", "type": "type = ?", "change": "change_digest LIKE ?"}
_LEAST_PREFIX = 4


class Evidence(NamedTuple):
    """One report as it was recorded."""

    event_id: str
    type: str
    tool: str
    """May be empty."""
    result: str
    """`pass` or `fail`."""
    artifact: str
    """Digest of the stored report."""
    repository: str
    """`owner/name`; empty where nobody said."""
    change_digest: str
    """Of the change it speaks of; empty where it speaks of an action."""
    action_digest: str
    tree: str
    """The git tree it speaks of; may be empty."""
    commit: str
    run_id: str
    actor: str
    at: str
    """RFC 3339, by the writer's clock."""
    signed_by: str
    """Whose key signed the statement; empty where nobody's is known."""
    is_claimed: bool
    """It was stated, so it does not count."""
    summary: dict[str, Any]


def listed(connection: "Connection", *, limit: int = 0, **filters: str | None) -> list[Evidence]:
    """Return the evidence that was recorded, newest first (by its writer's clock), at most `limit` unless that is 0.

    `filters` are run, repository, type and change (a digest or its beginning, with or without `sha256:`).

    Raises:
        UsageError: a beginning of a digest that could be anything.
        LedgerError: the ledger cannot be read.
    """
    given = {name: value for name, value in filters.items() if value}
    if change := given.get("change"):
        given["change"] = _prefix(change.removeprefix("sha256:"), "a change's digest", "sha256:") + "%"
    if repository := given.get("repository"):
        given["repository"] = repository.lower()
    where = " AND ".join(_FILTERS[name] for name in given)
    sql = _LISTED + (f" WHERE {where}" if where else "") + " ORDER BY at DESC, chain, seq DESC"
    return _evidence(connection.execute(sql + (f" LIMIT {int(limit)}" if limit else ""), tuple(given.values())))


def find(connection: "Connection", name: str) -> Evidence:
    """Return the evidence whose id begins with `name`.

    Raises:
        UsageError: there is none, or there are several.
        LedgerError: the ledger cannot be read.
    """
    prefix = _prefix(name, "evidence")
    found = _evidence(connection.execute(f"{_LISTED} WHERE event_id LIKE ? ORDER BY event_id LIMIT 2", (prefix + "%",)))
    if not found:
        raise UsageError(f"there is no evidence {shown(name)}", advice="look with `orch evidence list`")
    if len(found) > 1:
        raise UsageError(f"several pieces of evidence begin with {shown(name)}", advice="give more of its id")
    return found[0]


def _prefix(text: str, what: str, before: str = "") -> str:
    """Return the beginning of an id of hex digits, fit for LIKE."""
    lowered = text.lower()
    if len(lowered) < _LEAST_PREFIX or set(lowered) - set("0123456789abcdef-"):
        raise UsageError(
            f"{shown(text)} is no beginning of {what}; expected at least {_LEAST_PREFIX} of its hex digits",
            advice="look with `orch evidence list`",
        )
    return before + lowered


def _evidence(rows: Iterable[Sequence[Any]]) -> list[Evidence]:
    return [Evidence(*(*row[:-2], bool(row[-2]), _object(row[-1]))) for row in rows]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return dict(value) if isinstance(value, Mapping) else {}
