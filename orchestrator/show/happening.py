"""What an event says, in a person's words: what became of it, who, what, why, what is owed. Plain text, unescaped.

A payload may be erased, of a newer orch or hostile: what is not there or not of its type is left out.
"""

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.choices import MICRO
from orchestrator.ledger.event import Event
from orchestrator.show import countdown, execution, wording
from orchestrator.show.told import Happening
from orchestrator.show.told import mapping as _object
from orchestrator.show.told import mappings as _objects
from orchestrator.show.told import subject as _subject
from orchestrator.show.told import text as _text
from orchestrator.show.told import who as _who

_REASONS = {
    "budget_spent": "budget spent",
    "undecidable": "undecidable",
    "no_policy": "no policy allows it",
    "invalid_request": "invalid request",
}
_MOST_DETAILS = 3
_OF_THE_CLOCK = frozenset({"tick", "enter_stage"})
_DAY = 10


def happening(event: Event) -> Happening:
    """Return what an event says."""
    tell = _TELLERS.get(str(event.fields["type"]))
    payload = event.payload or {}
    if tell is None:
        found = Happening("EVENT", "plain", _who(event), (str(event.fields["type"]), _subject(event)))
    else:
        found = tell(event, payload)
    if event.payload is None and "datahash" in event.fields:
        found = found._replace(what=(*found.what, "(erased)"), details=())
    return found


def amount(value: object) -> str:
    """Return micro-units as people write them: 1250000 is "1.25"."""
    if type(value) is not int:
        return "?"
    whole, rest = divmod(abs(value), MICRO)
    text = f"{whole:,}.{rest:06d}".rstrip("0") if rest else f"{whole:,}"
    return ("-" if value < 0 else "") + text


def _short(digest: object) -> str:
    return wording.short_digest(_text(digest)) if digest else ""


def _decision(event: Event, payload: dict[str, Any]) -> Happening:
    outcome = str(event.fields.get("outcome", ""))
    context = _object(payload.get("decision"))
    would = _text(context.get("would"))
    word, tone = {"allow": ("ALLOWED", "good"), "deny": ("DENIED", "bad"), "pending": ("WAITING", "wait")}.get(
        outcome, (outcome.upper()[:9] or "DECIDED", "plain")
    )
    if outcome == "allow" and would and would != "allow":
        word, tone = "WARNED", "wait"
    asked = wording.asked(payload.get("request"))
    action = str(event.fields.get("action", "")) or asked.action
    marks = (
        _REASONS.get(_text(context.get("reason")), ""),
        "claimed" if context.get("claimed") else "",
        asked.files,
    )
    what = " ".join(part for part in (action, _subject(event), asked.place) if part)
    return Happening(word, tone, _who(event), (what, *filter(None, marks)), tuple(_why(context)))


def _why(context: dict[str, Any]) -> Iterator[str]:
    """Yield the rules that still object, what blocks first, then what is owed; after a plain yes, who allowed it."""
    findings = _objects(context.get("findings"))
    unmet = {_text(one.get("id")) for one in _objects(context.get("obligations")) if one.get("status") != "met"}
    objections = sorted((one for one in findings if _objects_still(one, unmet)), key=_gravity) or [
        one for one in findings if one.get("waived")
    ]
    grants = [one for one in findings if one.get("effect") in {"allow", "delegate"}]
    shown = objections or (grants[:1] if context.get("outcome") == "allow" else [])
    for one in shown[:_MOST_DETAILS]:
        verb = {"allow": "allowed by ", "delegate": "delegated by "}.get(_text(one.get("effect")), "")
        marks = ", waived" if one.get("waived") else ", only warns" if one.get("mode") == "warn" and not verb else ""
        message = " ".join(_text(one.get("message")).split())
        yield f"{verb}{_text(one.get('rule'))}{marks}" + (f": {message}" if message and not verb else "")
    if len(shown) > _MOST_DETAILS:
        yield f"and {len(shown) - _MOST_DETAILS} more"
    yield from _by_the_clock(context)
    if owed := ", ".join(_owed(context)):
        yield owed


def _objects_still(finding: dict[str, Any], unmet: set[str]) -> bool:
    """Whether a finding speaks against the request: a require all of whose obligations are met does not."""
    asks = finding.get("asks")
    is_met = finding.get("effect") == "require" and isinstance(asks, list) and asks and not unmet & set(map(str, asks))
    return finding.get("effect") in {"deny", "require"} and not finding.get("waived") and not is_met


def _gravity(finding: dict[str, Any]) -> tuple[bool, bool, bool]:
    is_mild = finding.get("mode") == "warn"
    return finding.get("level") == "advisory", is_mild, finding.get("effect") != "deny"


def _by_the_clock(context: dict[str, Any]) -> Iterator[str]:
    """Yield which stage the clock says, where an escalation asked."""
    for one in _objects(context.get("obligations")):
        said = _object(one.get("properties"))
        if one.get("type") == "stage" and "why" in said and _text(said.get("stage")):
            yield f"the clock says: stage {_text(said.get('stage'))}"


def _owed(context: dict[str, Any]) -> Iterator[str]:
    """Yield what is not met."""
    for one in _objects(context.get("obligations")):
        if one.get("status") == "met":
            continue
        said, name = _object(one.get("properties")), _text(one.get("id"))
        if one.get("type") == "approval":
            given = said.get("votes")
            yield f"{name} {given if isinstance(given, int) else len(one.get('proof') or ())} of {said.get('count', 1)}"
        elif one.get("type") == "budget":
            spent = said.get("spent")
            yield f"{name} " + (
                f"{spent} of {said.get('limit')}" if spent is not None else f"at most {said.get('limit')}"
            )
        else:
            yield f"{name} {'failed' if said.get('failed') else _text(one.get('status'))}"


def _requested(event: Event, payload: dict[str, Any]) -> Happening:
    asks = ", ".join(f"{one.get('count', 1)} x {_text(one.get('role'))}" for one in _objects(payload.get("asks")))
    what = " ".join(filter(None, (_text(payload.get("action")), _text(payload.get("resource")) or _subject(event))))
    return Happening("ASKED", "wait", _who(event), (f"request {_text(payload.get('request_id'))}", asks, what))


def _voted(event: Event, payload: dict[str, Any]) -> Happening:
    decision = _text(payload.get("decision"))
    word, tone = {"approve": ("APPROVED", "good"), "reject": ("REJECTED", "bad")}.get(decision, ("VOTED", "plain"))
    role = f"as {_text(payload.get('role'))}" if payload.get("role") else ""
    via = "on GitHub" if payload.get("via") == "github" else ""
    until = f"until {_text(payload.get('expires_at'))}" if payload.get("expires_at") else ""
    what = " ".join(filter(None, (f"request {_text(payload.get('request_id'))}", role, via)))
    note = _text(payload.get("note"))
    return Happening(word, tone, _text(payload.get("by")) or _who(event), (what, until), (note,) if note else ())


def _revoked(event: Event, payload: dict[str, Any]) -> Happening:
    what = f"the vote for request {_text(payload.get('request_id'))}"
    return Happening("REVOKED", "bad", _text(payload.get("by")) or _who(event), (what,))


def _consumed(event: Event, payload: dict[str, Any]) -> Happening:
    return Happening("USED", "plain", _who(event), (f"the approval of request {_text(payload.get('request_id'))}",))


def _artifact(event: Event, payload: dict[str, Any]) -> Happening:
    size = payload.get("size")
    parts = (_text(payload.get("name")), f"{size:,} bytes" if type(size) is int else "", _short(payload.get("digest")))
    return Happening("STORED", "plain", _who(event), parts)


def _evidence(event: Event, payload: dict[str, Any]) -> Happening:
    result = _text(payload.get("result"))
    tone = {"pass": "good", "fail": "bad"}.get(result, "plain")
    summary = payload.get("summary")
    said = _text(summary) or ", ".join(
        f"{name} {value}" for name, value in _object(summary).items() if isinstance(value, str | int)
    )
    run = f"run {_text(payload.get('run_id'))}" if payload.get("run_id") else ""
    parts = (f"{_text(payload.get('type'))}: {result}", _text(payload.get("tool")), run)
    return Happening("EVIDENCE", tone, _who(event), parts, (said,) if said else ())


def _obligation(event: Event, payload: dict[str, Any]) -> Happening:
    state = str(event.fields["type"]).rpartition(".")[2]
    tone = {"met": "good", "failed": "bad", "expired": "bad"}.get(state, "wait")
    phase, action = _text(payload.get("phase")), _text(event.fields.get("action"))
    if payload.get("type") == "stage" and action in _OF_THE_CLOCK:
        permits = "permits" if state == "met" else "does not permit"
        what = (f"the clock of {_subject(event) or 'an escalation'} {permits} {action}", "")
        return Happening(state.upper()[:9], tone, _who(event), what)
    return Happening(state.upper()[:9], tone, _who(event), (_text(payload.get("obligation")), phase, _subject(event)))


def _reserved(event: Event, payload: dict[str, Any]) -> Happening:
    counters = _objects(payload.get("counters"))
    used = [one for one in counters if one.get("estimate")] or counters
    parts = tuple(f"{amount(one.get('estimate'))} {_text(one.get('meter'))} per {_scope(one)}" for one in used)
    return Happening("RESERVED", "plain", _who(event), parts)


def _scope(counter: dict[str, Any]) -> str:
    window = _text(counter.get("window"))
    return _text(counter.get("scope")) + (f" and {window} ({_text(counter.get('window_start'))})" if window else "")


def _charged(event: Event, payload: dict[str, Any]) -> Happening:
    state = str(event.fields["type"]).rpartition(".")[2]
    word = {"started": "STARTED", "settled": "SPENT", "released": "RELEASED", "expired": "LAPSED"}.get(state, "BUDGET")
    amounts = _object(payload.get("charged"))
    used = {name: value for name, value in amounts.items() if value} or amounts
    charged = tuple(f"{amount(value)} {name}" for name, value in used.items())
    return Happening(word, "plain", _who(event), (*charged, f"reservation {_text(payload.get('reservation_id'))[:8]}"))


def _alert(event: Event, payload: dict[str, Any]) -> Happening:
    is_over = str(event.fields["type"]).endswith("exceeded")
    spent, held, limit, asked = (payload.get(name) for name in ("spent", "reserved", "limit", "asked"))
    if not is_over and type(held) is int and type(asked) is int:
        held += asked  # it was given, and is held by now
    used = f"{amount(spent)} spent" + (f" + {amount(held)} held" if held else "")
    what = f"{_text(payload.get('meter'))} per {_scope(payload)}: {used} of {amount(limit)}"
    parts = (what, f"{amount(asked)} asked" if is_over else "")
    return Happening("STOPPED" if is_over else "NEARLY", "bad" if is_over else "wait", _who(event), parts)


def _policy(event: Event, payload: dict[str, Any]) -> Happening:
    packs = ", ".join(f"{_text(one.get('name'))} {_text(one.get('version'))}" for one in _objects(payload.get("packs")))
    return Happening("POLICY", "plain", _who(event), (_short(payload.get("digest")), packs))


def _erased(event: Event, payload: dict[str, Any]) -> Happening:
    return Happening(
        "ERASED", "wait", _who(event), (f"event {_text(payload.get('event'))[:8]}", _text(payload.get("reason")))
    )


def _created(event: Event, _: dict[str, Any]) -> Happening:
    return Happening("CREATED", "plain", _who(event), ("the key that signs this ledger's heads",))


_TELLERS: dict[str, Callable[[Event, dict[str, Any]], Happening]] = {
    "orch.ledger.created": _created,
    "orch.ledger.erased": _erased,
    "orch.policy.loaded": _policy,
    "orch.decision": _decision,
    "orch.approval.requested": _requested,
    "orch.approval.voted": _voted,
    "orch.approval.revoked": _revoked,
    "orch.approval.consumed": _consumed,
    "orch.artifact.stored": _artifact,
    "orch.evidence.added": _evidence,
    **dict.fromkeys((f"orch.obligation.{name}" for name in ("met", "unmet", "failed", "expired")), _obligation),
    "orch.budget.reserved": _reserved,
    **dict.fromkeys((f"orch.budget.{name}" for name in ("started", "settled", "released", "expired")), _charged),
    "orch.budget.warned": _alert,
    "orch.budget.exceeded": _alert,
    **execution.TELLERS,
    **countdown.TELLERS,
}
