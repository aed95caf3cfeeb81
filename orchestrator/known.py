"""What a ledger knows of a request, as facts for the engine: votes on it, and evidence about it. Judges neither.

On the hot path: reads, and holds nothing that only people look at.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.digest import canonical, sha256, subject_name

if TYPE_CHECKING:
    from orchestrator.ledger.store import Connection, Ledger

KEY = "key"
"""`via` of a signed vote."""
CHAIN = "evidence:"
"""What the chain of a repository's evidence begins with: its order says which report is the newest."""

_COUNTED = """SELECT type, tool, result, artifact, chain, seq, change_digest, tree, repository FROM evidence
WHERE claimed = 0 AND (change_digest = ? OR tree = ? OR action_digest = ?)"""
_NOTHING = "-"
"""Stands for a digest that is not known: no row has it, and a row without one has the empty text."""


def request_key(
    request: Mapping[str, Any], facts_repository: str | None, action_digest: str, change_digest: str | None
) -> str:
    """Return what makes two decisions wait for the same approvals: who, what, where, and the change (else the action).

    Time, run and facts do not enter; nor do the action's arguments where there is a change, whose votes bind to it.
    """
    resource = request["resource"]
    branch = resource.get("properties", {}).get("branch")
    return sha256(
        canonical(
            {
                "subject": subject_name(request["subject"]),
                "action": request["action"]["name"],
                "resource": {"type": resource["type"], "id": resource["id"]},
                "repository": facts_repository.lower() if facts_repository else None,
                "branch": branch if isinstance(branch, str) else None,
                "digest": change_digest or action_digest,
            }
        )
    )


def approval_facts(
    ledger: "Ledger",
    connection: "Connection",
    key: str,
    action_digest: str,
    change_digest: str | None,
    *,
    used: str = "",
) -> dict[str, Any]:
    """Return what the engine is told: `ledger`, and where there are any `request_id`, `votes` (JWS) and `approvals`.

    The votes are those on the open request, and every rejection of this action or change, whatever it was asked for.
    Where this very action used a request up when it began, that one is named as `used`, and its votes count for it.
    Revocations travel as votes. Nothing is judged here.
    """
    facts: dict[str, Any] = {"ledger": ledger.id}
    sql = "SELECT id FROM requests WHERE request_key = ? AND (state = 'open' OR id = ?) ORDER BY state LIMIT 1"
    rows = connection.execute(sql, (key, used))
    request_id = rows[0][0] if rows else ""
    if request_id:
        facts["request_id"] = request_id
    sql = """SELECT id, token, via, voter, role, decision, at, digest, revocation FROM votes
             WHERE request_id = ? OR (decision = 'reject' AND action_digest = ?)
             OR (decision = 'reject' AND change_digest = ?) ORDER BY id"""
    tokens: list[str] = []
    vouched: list[dict[str, str]] = []
    for _, token, via, by, role, decision, at, digest, revocation in connection.execute(
        sql, (request_id or "-", action_digest, change_digest or "-")
    ):
        if via == KEY:
            tokens += filter(None, (token, revocation))
        elif not revocation:
            vouched.append({"role": role, "by": by, "at": at, "digest": digest, "decision": decision, "via": via})
    return facts | ({"votes": tokens} if tokens else {}) | ({"approvals": vouched} if vouched else {})


def evidence_facts(
    connection: "Connection",
    *,
    action_digest: str | None,
    change_digest: str | None,
    tree: str | None = None,
    repository: str | None = None,
) -> list[dict[str, str]]:
    """Return the evidence that speaks of an action, as the engine reads it: `{type, result, subject, digest}`, sorted.

    Of each type and tool the newest counts, so a later failure outdates a pass. What speaks of the same tree speaks of
    the change, too, and is restated with its digest. Where reports of one tool stand in the chains of several
    repositories, no order is known between them, and a failure wins. With `repository`, what was taken in another one
    is left out.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    wanted = (change_digest or _NOTHING, (change_digest and tree) or _NOTHING, action_digest or _NOTHING)
    rows = connection.execute(_COUNTED, wanted)
    if not rows:
        return []
    here = {"", repository.lower()} if repository else None
    newest: dict[tuple[str, str, str], dict[str, tuple[int, str, str]]] = {}
    for kind, tool, result, artifact, chain, seq, change, of_tree, taken_in in rows:
        if here is not None and taken_in not in here:
            continue
        is_of_change = change_digest and (change == change_digest or (of_tree and of_tree == tree))
        subject = change_digest if is_of_change else action_digest
        chains = newest.setdefault((kind, tool, subject or ""), {})
        chains[chain] = max(chains.get(chain, (0, "", "")), (seq, result, artifact))
    facts = []
    for (kind, _, subject), chains in newest.items():
        _, result, artifact = min(chains.values(), key=lambda one: (one[1] != "fail", one[2]))
        facts.append({"type": kind, "result": result, "subject": subject, "digest": artifact})
    return sorted(facts, key=lambda one: (one["type"], one["subject"], one["result"], one["digest"]))
