"""The words every format shares: what a decision is called, who asked for what, and what each obligation still needs.

Between `decision` and the formats. Gives plain text from decisions, unescaped: each format escapes it for its place.
"""

from collections import Counter
from typing import Any, NamedTuple

from orchestrator.choices import Outcome, Reason
from orchestrator.decision import Decision, Obligation
from orchestrator.words import counted

_WORD = {Outcome.ALLOW: "ALLOWED", Outcome.DENY: "DENIED", Outcome.PENDING: "WAITING"}
_DENY_NOTE = {
    Reason.BUDGET_SPENT: "budget spent",
    Reason.UNDECIDABLE: "undecidable",
    Reason.NO_POLICY: "no policy allows it",
    Reason.INVALID_REQUEST: "invalid request",
}
_WOULD = {Outcome.DENY: "would be denied", Outcome.PENDING: "would wait", Outcome.ALLOW: "would be allowed"}
_TALLY = {"DENIED": "denied", "WAITING": "waiting", "WARNED": "warned", "ALLOWED": "allowed"}


class Asked(NamedTuple):
    """Who wants to do what to what, as far as the request says so."""

    subject: str
    action: str
    resource: str
    """May be empty."""
    branch: str
    """The branch that would change; may be empty."""
    head_branch: str
    """May be empty."""
    file_count: int | None
    """None when the request says nothing of files."""

    @property
    def place(self) -> str:
        """Where it would happen, in one phrase; may be empty."""
        onto = f"onto {self.branch}" if self.branch else ""
        head = f"from {self.head_branch}" if self.head_branch else ""
        return " ".join(part for part in (onto, head) if part)

    @property
    def files(self) -> str:
        """How many files change, in one phrase; may be empty."""
        return "" if self.file_count is None else counted(self.file_count, "file")


def asked(request: object) -> Asked:
    """Return what `request` asks for; an invalid request may be of any shape, and what it lacks is `?` or empty."""
    subject, action, resource = (_object(_object(request).get(key)) for key in ("subject", "action", "resource"))
    properties = _object(resource.get("properties"))
    files = properties.get("files")
    kind, name = _text(subject.get("type")), _text(subject.get("id"))
    named = name if name.startswith(f"{kind}:") or not kind else f"{kind}:{name}"
    return Asked(
        subject=named if name else "?",
        action=_text(action.get("name")) or "?",
        resource=_text(resource.get("id")),
        branch=_text(properties.get("branch")),
        head_branch=_text(properties.get("head_branch")),
        file_count=len(files) if isinstance(files, list) else None,
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def outcome_word(decision: Decision) -> str:
    """Return ALLOWED, WARNED, WAITING or DENIED."""
    return "WARNED" if is_warned(decision) else _WORD[decision.outcome]


def outcome_note(decision: Decision) -> str:
    """Return what has to stand beside the outcome word: why it is denied, or what it would be; may be empty."""
    if decision.outcome is Outcome.DENY:
        return _DENY_NOTE.get(decision.reason, "")
    return _WOULD[decision.would] if decision.would is not decision.outcome else ""


def is_warned(decision: Decision) -> bool:
    """Whether the request is allowed only because a pack warns."""
    return decision.is_allowed and decision.would is not Outcome.ALLOW


def is_clean(decision: Decision) -> bool:
    """Whether there is nothing to say but that the request is allowed."""
    return (
        decision.is_allowed
        and not is_warned(decision)
        and not any(map(decision.is_open, decision.findings))
        and all(owed.status == "met" or owed.type == "budget" for owed in decision.obligations)
    )


def totals(words: Counter[str]) -> str:
    """Return `3 requests: 1 denied, 2 allowed` out of a count of outcome words."""
    parts = [f"{words[word]:,} {said}" for word, said in _TALLY.items() if words[word]]
    return counted(words.total(), "request") + (": " + ", ".join(parts) if parts else "")


def obligation_text(owed: Obligation) -> str:
    """Return what `owed` asks for and what is missing: `approval: 1 of 2 by role sre`."""
    properties = owed.properties
    match owed.type:
        case "approval":
            text = f"approval: {votes(owed)} of {properties.get('count', 1)} by role {properties.get('role', '?')}"
            if rejecting := properties.get("rejected_by"):
                text += f", rejected by {', '.join(map(str, rejecting))}"
        case "evidence":
            kind = properties.get("evidence") or owed.id.removeprefix("evidence:")
            missing = " is missing" if owed.phase == "before" else ", due after the action"
            if failed := properties.get("failed"):
                missing = f" failed ({', '.join(short_digest(str(one)) for one in failed)})"
            if of := properties.get("of"):
                missing = f" is still owed for this run's action {short_digest(str(of))}"
            text = f"evidence: {kind}" + ("" if owed.status == "met" else missing)
        case "budget":
            text = _budget_text(properties)
        case "stage" if "why" in properties:
            name, at = owed.id.partition(":")[2], properties.get("at") or "unknown"
            text = f"the clock says: stage {properties.get('stage') or 'unknown'} of {name}, now {at}"
        case "stage":
            text = f"stage: {properties.get('stage', '?')} or later, now {properties.get('at') or 'unknown'}"
        case _:
            text = f"{owed.type}: {owed.id} is {owed.status}"
    return text + (" (only warns)" if owed.mode == "warn" else "")


def votes(owed: Obligation) -> int:
    """Return how many votes of an approval count."""
    given = owed.properties.get("votes", owed.proof)
    return given if isinstance(given, int) else len(given or ())


def _budget_text(properties: dict[str, Any]) -> str:
    per = str(properties.get("per", "?")) + (f" and {properties['window']}" if properties.get("window") else "")
    limit, spent, reserved = (properties.get(key) for key in ("limit", "spent", "reserved"))
    if spent is None:
        return f"budget: {properties.get('meter', '?')}, at most {limit} per {per}"
    held = f", {reserved} reserved" if reserved and str(reserved).strip("0.") else ""
    return f"budget: {properties.get('meter', '?')}, {spent} of {limit} spent per {per}{held}"


def is_owed(owed: Obligation) -> bool:
    """Whether the action has to wait for `owed` (warning packs counted)."""
    return owed.status != "met" and owed.phase == "before" and owed.type != "budget"


def packs_text(decision: Decision) -> str:
    """Return the packs that judged, in one phrase: `acme-baseline 1.4.0, web 0.2.0 (repo, warns)`."""
    return ", ".join(_pack_text(pack) for pack in decision.context.get("policy", {}).get("packs", ()))


def _pack_text(pack: dict[str, Any]) -> str:
    layer = str(pack.get("layer", "org"))
    marks = [mark for mark in (layer if layer != "org" else "", "warns" if pack.get("mode") == "warn" else "") if mark]
    return " ".join(filter(None, (pack.get("name"), pack.get("version"), f"({', '.join(marks)})" if marks else "")))


def short_digest(digest: str) -> str:
    """Return `sha256:` and the first 12 digits, enough for a person to compare."""
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}" if value else kind[:12]
