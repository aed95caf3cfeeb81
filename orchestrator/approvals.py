"""Approvals in the ledger: requests that wait, and votes on them. What the engine is told of both gives `known`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.decision import Decision
from orchestrator.digest import sha256, subject_name
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger

GITHUB = "github"
"""`via` of a vote that the host vouches for."""
_ID_BYTES, _ID_CHARACTERS = 7, 10
_SHOWN_PATHS, _SHOWN_TEXT, _MOST_INVOLVED = 20, 200, 200
_ASKED = ("role", "count", "expires_s", "bind", "votes")
_ROW = (
    "id", "chain", "request_key", "evaluation_id", "run_id", "subject", "action", "repository", "resource", "branch",
    "action_digest", "change_digest", "policy_digest", "asks", "summary", "claimed", "opened_at", "state",
    "consumed_by",
)  # fmt: skip
_CAST = (
    "id", "request_id", "voter", "role", "decision", "token", "via", "digest", "at", "expires_at", "note", "revocation",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_ROW)} FROM requests"  # noqa: S608  # constants
LOCK = "UPDATE requests SET state = state WHERE id = ? AND state = 'open'"
"""Locks a request's row; its count says whether votes still count for something."""


class Ask(NamedTuple):
    """How many of which role are asked."""

    role: str
    needed: int
    """How many people."""
    expires_s: int
    """How long a vote counts, seconds."""
    bind: str
    """`changes` or `action`."""
    votes: int
    """How many counted when the request was opened or last changed."""


class Cast(NamedTuple):
    """A vote as recorded."""

    id: str
    request_id: str
    voter: str
    role: str
    decision: str
    """`approve` or `reject`."""
    token: str
    """The JWS; empty where the host vouches for it."""
    via: str
    """`key` or `github`."""
    digest: str
    """What it is about: the change, or the action where there is no change."""
    at: str
    """RFC 3339, UTC."""
    expires_at: str
    """When the vote itself ends; empty where only the policy says so."""
    note: str
    revocation: str
    """The revocation's JWS, or who revoked it; empty while it stands."""


class Request(NamedTuple):
    """What somebody is asked to approve."""

    id: str
    chain: str
    request_key: str
    evaluation_id: str
    """The decision that opened or last changed it."""
    run_id: str
    """Empty outside of a run."""
    subject: str
    action: str
    repository: str
    resource: str
    branch: str
    action_digest: str
    change_digest: str
    """Empty where there is no change."""
    policy_digest: str
    asks: tuple[Ask, ...]
    summary: dict[str, Any]
    """`{files, paths, head_branch, properties, involved}`, as shown to people; secrets are masked."""
    is_claimed: bool
    opened_at: str
    state: str
    """`open` or `consumed`."""
    consumed_by: str
    """The evaluation that used it."""
    votes: tuple[Cast, ...] = ()
    """By time."""
    elsewhere: tuple[Cast, ...] = ()
    """Rejections of the same action or change on other requests, which hold this one back, too; while it is open."""

    @property
    def is_open(self) -> bool:
        """Whether votes still count for something."""
        return self.state == "open"

    @property
    def involved(self) -> frozenset[str]:
        """Who cannot approve it, as far as the decision knew."""
        return frozenset(self.summary.get("involved", ()))


def open_request(  # noqa: PLR0917  # what one decision knows
    ledger: Ledger, connection: Connection, decision: Decision, facts: Mapping[str, Any], key: str, run_id: str | None
) -> str:
    """Return the id of the open request that a decision waits for, in the open transaction.

    It is opened where there is none, and told anew where the asks, the action or the policy are others than before.

    Raises:
        LedgerError: it cannot be recorded.
    """
    said = _said(decision, facts)
    while True:
        sql = f"{_SELECT} WHERE request_key = ? AND state = 'open'"
        known = [_request(row) for row in connection.execute(sql, (key,))]
        if known and _is_same(known[0], said):
            return known[0].id
        if known and not connection.change(LOCK, (known[0].id,)):
            continue  # consumed just now
        request_id = known[0].id if known else _free_id(ledger, connection, key)
        if not request_id:
            continue  # opened just now
        draft = Draft(
            "orch.approval.requested",
            _chain(request_id),
            said["subject"],
            {"request_id": request_id, "request_key": key, "run_id": run_id or "", **said},
            subject=said["resource"],
            repository=said["repository"],
            action=said["action"],
            policy_digest=said["policy_digest"],
            action_digest=said["action_digest"],
            cause_id=said["evaluation_id"],
        )
        append(ledger, connection, draft)
        return request_id


def consume(ledger: Ledger, connection: Connection, request_id: str, evaluation_id: str) -> None:
    """Use a request up, in the transaction that records the start of the action: its votes count for nothing more.

    Raises:
        LedgerError: there is no such request, or it was used already; so the action must not start.

    Source: 001, "Approvals".
    """
    if not connection.change(LOCK, (request_id,)):
        raise LedgerError(
            f"the approvals of request {request_id} were used already, or never asked for",
            advice="ask again: `orch evaluate` opens a new request",
        )
    request = _read(connection, request_id)
    draft = draft_of(
        request, "orch.approval.consumed", request.subject, {"request_id": request_id, "evaluation_id": evaluation_id}
    )
    append(ledger, connection, draft._replace(cause_id=evaluation_id))


# -- requests


def waiting(ledger: Ledger, *, is_all: bool = False) -> list[Request]:
    """Return the open requests with their votes, oldest first; with `is_all` those that were used, too."""
    with ledger.store.reading() as connection:
        where = "" if is_all else " WHERE state = 'open'"
        rows = connection.execute(f"{_SELECT}{where} ORDER BY opened_at, id")
        votes: dict[str, list[Cast]] = {}
        of_open = "" if is_all else " WHERE request_id IN (SELECT id FROM requests WHERE state = 'open')"
        for row in connection.execute(f"SELECT {', '.join(_CAST)} FROM votes{of_open} ORDER BY at, id"):  # noqa: S608  # constants
            votes.setdefault(row[1], []).append(Cast(*row))
        found = [_request(row)._replace(votes=tuple(votes.get(row[0], ()))) for row in rows]
        return [_with_elsewhere(connection, one) for one in found]


def find(ledger: Ledger, named: str) -> Request:
    """Return the request of an id, of a beginning of it that only it has, or of a decision's evaluation id.

    Raises:
        UsageError: there is none, or several.
    """
    name = named.strip().lower()
    with ledger.store.reading() as connection:
        found = _named(connection, name) if name.isascii() and name.replace("-", "").isalnum() else []
        if len(found) == 1:
            return _read(connection, found[0])
    if found:
        some = ", ".join(found[:5])
        raise UsageError(f"several requests begin with {named[:40]!r}: {some}", advice="type more of it")
    raise UsageError(f"there is no request {named[:60]!r} in this ledger", advice="`orch approvals --all` lists them")


def _named(connection: Connection, name: str) -> list[str]:
    end = name + "~"
    sql = "SELECT id FROM requests WHERE (id >= ? AND id < ?) OR evaluation_id = ? ORDER BY id LIMIT 10"
    found = [row[0] for row in connection.execute(sql, (name, end, name))]
    if name in found:
        return [name]
    if found:
        return found
    rows = connection.execute("SELECT header FROM events WHERE id = ?", (name,))
    digest = json.loads(bytes(rows[0][0])).get("actiondigest") if rows else None
    if not digest:
        return []
    sql = "SELECT id FROM requests WHERE action_digest = ? ORDER BY state DESC, opened_at DESC LIMIT 1"
    return [row[0] for row in connection.execute(sql, (digest,))]


def _read(connection: Connection, request_id: str) -> Request:
    rows = connection.execute(f"{_SELECT} WHERE id = ?", (request_id,))
    if not rows:
        raise UsageError(f"there is no request {request_id} in this ledger", advice="`orch approvals --all` lists them")
    sql = f"SELECT {', '.join(_CAST)} FROM votes WHERE request_id = ? ORDER BY at, id"  # noqa: S608  # constants
    votes = tuple(Cast(*row) for row in connection.execute(sql, (request_id,)))
    return _with_elsewhere(connection, _request(rows[0])._replace(votes=votes))


def _with_elsewhere(connection: Connection, request: Request) -> Request:
    if not request.is_open:
        return request
    sql = f"""SELECT {", ".join(_CAST)} FROM votes WHERE decision = 'reject' AND request_id <> ?
              AND (action_digest = ? OR change_digest = ?) ORDER BY at, id"""  # noqa: S608  # constants
    about = (request.id, request.action_digest, request.change_digest or "-")
    return request._replace(elsewhere=tuple(Cast(*row) for row in connection.execute(sql, about)))


def _request(row: Sequence[Any]) -> Request:
    said = dict(zip(_ROW, row, strict=True))
    asks = tuple(Ask(*(one[name] for name in _ASKED)) for one in json.loads(said["asks"]))
    said |= {"asks": asks, "summary": json.loads(said["summary"]), "is_claimed": bool(said.pop("claimed"))}
    return Request(**said)


def _chain(request_id: str) -> str:
    """Every event of a request lies in its own chain, so their order is certain whichever runs they came from."""
    return f"request:{request_id}"


def _free_id(ledger: Ledger, connection: Connection, key: str) -> str:
    """Return the id of a new request, or "" where one is open after all.

    It is derived from the key and how many such requests were used, so that two that open the same at once name the
    same, and one event's chain makes the second wait for the first.
    """
    from base64 import b32encode

    sql = "SELECT count(*) FROM requests WHERE request_key = ? AND state <> 'open'"
    number = int(connection.execute(sql, (key,))[0][0])
    while True:
        drawn = bytes.fromhex(sha256(f"{ledger.id}\0{key}\0{number}".encode())[7:])
        request_id = b32encode(drawn[:_ID_BYTES]).decode().lower()[:_ID_CHARACTERS]
        taken = connection.execute("SELECT request_key, state FROM requests WHERE id = ?", (request_id,))
        if not taken:
            return request_id
        if taken[0] == (key, "open"):
            return ""
        number += 1


def _is_same(known: Request, said: Mapping[str, Any]) -> bool:
    """Whether nothing that a voter goes by has changed; how many voted is no such thing."""
    asked = [tuple(one[name] for name in _ASKED[:-1]) for one in said["asks"]]
    now = (said["action_digest"], said["policy_digest"], said["claimed"], asked)
    return now == (known.action_digest, known.policy_digest, known.is_claimed, [one[:-1] for one in known.asks])


def _said(decision: Decision, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request's event says of the decision."""
    asked, context = decision.request, decision.context
    resource = asked["resource"]
    branch = resource.get("properties", {}).get("branch")
    repository = resource["id"] if resource["type"] == "repository" else facts.get("repository") or ""
    owed = [one for one in context["obligations"] if one["type"] == "approval" and one["mode"] == "enforce"]
    return {
        "evaluation_id": context["evaluation_id"],
        "subject": subject_name(asked["subject"]) or "",
        "action": asked["action"]["name"],
        "repository": repository.lower(),
        "resource": resource["id"],
        "branch": branch if isinstance(branch, str) else "",
        "action_digest": context["action_digest"],
        "change_digest": context["change_digest"] or "",
        "policy_digest": context["policy"]["digest"],
        "asks": [{name: one["properties"][name] for name in _ASKED} for one in owed],
        "summary": _summary(asked, facts),
        "claimed": context["claimed"],
    }


def _summary(asked: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person has to see of what is approved."""
    properties = asked["resource"].get("properties", {})
    files = properties.get("files")
    files = files if isinstance(files, list) else []
    arguments = asked["action"].get("properties") or {}
    return {
        "files": len(files),
        "paths": [f"{one.get('status') or '?'} {one['path']}" for one in files[:_SHOWN_PATHS]],
        "head_branch": properties.get("head_branch") or "",
        "properties": {name: _short(value) for name, value in arguments.items()},
        "involved": sorted(set(_involved(asked, facts)))[:_MOST_INVOLVED],
    }


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_TEXT else text[:_SHOWN_TEXT] + "..."


def _involved(asked: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield who had a hand in it; the engine judges, this is for people."""
    yield subject_name(asked["subject"]) or ""
    yield from (one for one in (*facts.get("delegation", ()), *facts.get("contributors", ())) if isinstance(one, str))
    if facts.get("trigger"):
        yield str(facts["trigger"])
    behalf = asked["subject"].get("properties", {}).get("on_behalf_of")
    for one in behalf if isinstance(behalf, list) else [behalf]:
        if isinstance(one, str) and one:
            yield one if ":" in one else f"user:{one}"


def draft_of(request: Request, kind: str, actor: str, payload: dict[str, Any]) -> Draft:
    """Return the draft of an event about a request, for the request's own chain."""
    return Draft(
        kind,
        request.chain,
        actor,
        payload,
        subject=request.resource,
        repository=request.repository,
        action=request.action,
        policy_digest=request.policy_digest,
        action_digest=request.action_digest,
    )
