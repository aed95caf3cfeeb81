"""From decisions and rows of the outbox to what a caller is told. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.adapter import ErrorClass
from orchestrator.decision import Decision
from orchestrator.errors import OrchError, UsageError
from orchestrator.order import Done, State
from orchestrator.outbox import Row, Standing, error_class_of

_OF_REASON = {"budget_spent": State.BUDGET, "undecidable": State.UNDECIDABLE}
_RANK = (Standing.UNKNOWN, Standing.DISPATCHING, Standing.RETRYABLE, Standing.PERMANENT, Standing.DELIVERED)
"""Of several recipients the first of these that any has says how the order stands."""
_OF_STANDING = {
    Standing.UNKNOWN: State.UNKNOWN,
    Standing.DISPATCHING: State.UNKNOWN,
    Standing.RETRYABLE: State.RETRYABLE,
    Standing.PERMANENT: State.PERMANENT,
    Standing.DELIVERED: State.DELIVERED,
}
_MOST_TOLD = 5


class RefusedError(UsageError):
    """An order that must not be executed as it is, and of which nothing is recorded."""


def refuse_claims(decision: Decision, claims: Iterable[str], action: str) -> None:
    """Refuse what would be executed under packs that nobody has merged.

    Raises:
        RefusedError: the decision rests on such a claim.
    """
    if decision.context["claimed"]:
        raise RefusedError(
            f"{action} is not executed, because its decision would rest on a claim: {'; '.join(claims)}",
            advice="commit and merge the packs, or name them with --packs; see docs/acting.md",
        )


def refused(context: Mapping[str, Any], key: str, request_id: str = "") -> Done | None:
    """Return what a decision makes of an order, None where it is allowed."""
    known = {"key": key, "evaluation_id": context["evaluation_id"], "warned": warned(context)}
    if context["outcome"] == "allow":
        return None
    if context["outcome"] == "pending":
        request_id = str(context.get("request_id") or request_id)
        waiting = tuple(_awaited(context, request_id))
        return Done(State.WAITING, **known, detail=context["next_action"], waiting_for=waiting)
    state = _OF_REASON.get(context["reason"], State.DENIED)
    return Done(state, **known, detail="; ".join(_told(context)))


def warned(context: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the rules that object and only warn."""
    statuses = {one["id"]: one["status"] for one in context["obligations"]}
    return tuple(
        one["rule"]
        for one in context["findings"]
        if one["effect"] in {"deny", "require"}
        and (one["mode"] == "warn" or one["level"] == "advisory")
        and not one["waived"]
        and not (one.get("asks") and all(statuses.get(name) == "met" for name in one["asks"]))
    )


def done_of(rows: Mapping[str, Row], key: str, name: str, warned_rules: tuple[str, ...] = ()) -> Done:
    """Return how an order stands that was begun for each of these targets."""
    told = sorted(rows.values(), key=lambda row: row.target)
    worst = min(told, key=lambda row: _RANK.index(row.state))
    state = _OF_STANDING[worst.state]
    unknown = tuple(
        {"type": "unknown", "key": row.key, "step": name, "target": row.target} for row in told if row.is_open
    )
    return Done(
        state,
        key,
        worst.evaluation_id,
        outputs=_outputs(told),
        detail=worst.detail,
        error_class=error_class_of(worst),
        waiting_for=unknown,
        receipts=tuple(row.receipt for row in told),
        warned=warned_rules,
    )


def failed(error: OrchError, state: State, key: str, error_class: ErrorClass | None = None) -> Done:
    """Return what an error before any attempt makes of an order."""
    detail = f"{error} ({error.advice})" if error.advice else str(error)
    return Done(state, key, detail=detail, error_class=error_class)


def _outputs(rows: list[Row]) -> Mapping[str, Any]:
    if len(rows) == 1:
        return rows[0].outputs
    return {"targets": {row.target: dict(row.outputs) for row in rows}}


def _awaited(context: Mapping[str, Any], request_id: str) -> Iterator[dict[str, Any]]:
    for one in context["obligations"]:
        if one["status"] != "unmet" or one["phase"] != "before" or one["mode"] != "enforce":
            continue
        given = one["properties"]
        match one["type"]:
            case "approval":
                missing = max(1, given["count"] - given["votes"])
                yield {"type": "approval", "request_id": request_id, "role": given["role"], "missing": missing}
            case "evidence":
                yield {"type": "evidence", "evidence": given["evidence"]}
            case "stage":
                yield {"type": "stage", "stage": given["stage"]}


def _told(context: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a decision is a deny, and what may be done."""
    lines: Iterable[str] = (
        f"{one['rule']}: {one['message']}"
        for one in context["findings"]
        if one["effect"] in {"deny", "require"} and one["mode"] == "enforce" and not one["waived"]
        if one["level"] != "advisory"
    )
    said = list(lines)
    yield from said[:_MOST_TOLD] or [context["reason"].replace("_", " ")]
    if len(said) > _MOST_TOLD:
        yield f"and {len(said) - _MOST_TOLD} more"
    if context["next_action"]:
        yield context["next_action"]
