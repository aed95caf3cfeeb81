"""What a decision has to report: one notice per objection, and one for a blocked request that no finding explains.

Used by the formats that list problems (github, sarif, junit, tap, markdown). Reports; never decides. Errs towards
reporting: a request that is not allowed always has at least one notice of level `error`.
"""

from pathlib import PurePosixPath
from typing import NamedTuple

from orchestrator.choices import Outcome, Reason
from orchestrator.decision import Decision, Finding
from orchestrator.show import wording

_LEVELS = ("error", "warning", "note")
_SEVERITIES = ("critical", "high", "medium", "low", "info")
_UNEXPLAINED = {
    Outcome.DENY: "the request is denied",
    Outcome.PENDING: "the request has to wait",
    Outcome.ALLOW: "the request is allowed",
}


class Notice(NamedTuple):
    """One thing to report about one request."""

    rule: str
    """The finding's rule, or a name under `orch/`."""
    level: str
    """`error` blocks, `warning` would block if enforced, `note` never blocks."""
    kind: str
    """`denied`, `required`, `advisory`, `warned` or `waived`."""
    severity: str
    message: str
    """Plain text from packs and requests, unescaped, in one paragraph."""
    fix: str
    source: str
    """`file:line` of the rule, or empty."""
    paths: tuple[str, ...]
    path_count: int

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts the gravest first."""
        severity = _SEVERITIES.index(self.severity) if self.severity in _SEVERITIES else len(_SEVERITIES)
        return _LEVELS.index(self.level), severity

    @property
    def title(self) -> str:
        """The rule and what it does here: `acme/no-push denied`."""
        return f"{self.rule} ({self.kind})"

    @property
    def unlisted(self) -> int:
        """How many paths the finding is about that it does not carry."""
        return max(0, self.path_count - len(self.paths))


def notices(decision: Decision) -> list[Notice]:
    """Return what there is to report of `decision`, the gravest first; nothing for a request nobody objects to."""
    found = [_of_finding(decision, finding) for finding in decision.findings if _is_open(decision, finding)]
    expected = "warning" if wording.is_warned(decision) else "" if decision.is_allowed else "error"
    if expected and not any(notice.level == expected for notice in found):
        found.append(_of_outcome(decision))
    return sorted(found, key=lambda notice: notice.rank)


def kind_of(finding: Finding) -> str:
    """Return what an objection does here: `denied`, `required`, or why it does not block."""
    if finding.waived:
        return "waived"
    if finding.level == "advisory":
        return "advisory"
    if finding.mode == "warn":
        return "warned"
    return "denied" if finding.effect == "deny" else "required"


def _is_open(decision: Decision, finding: Finding) -> bool:
    """Whether `finding` still objects: a require whose obligations are all met does not."""
    if finding.asks or finding.effect != "require" or finding.waived or finding.level == "advisory":
        return decision.is_open(finding)
    return any(wording.is_owed(owed) and owed.mode in {finding.mode, "enforce"} for owed in decision.obligations)


def _of_finding(decision: Decision, finding: Finding) -> Notice:
    kind = kind_of(finding)
    level = {"denied": "error", "required": "error", "warned": "warning"}.get(kind, "note")
    message = finding.message or f"{finding.rule} objects"
    if finding.effect == "require" and kind in {"required", "warned"}:
        message = _with_owed(message, decision)
    return Notice(
        rule=finding.rule,
        level=level,
        kind=kind,
        severity=finding.severity,
        message=message,
        fix=finding.fix,
        source=finding.source,
        paths=finding.paths,
        path_count=finding.path_count,
    )


def _of_outcome(decision: Decision) -> Notice:
    """Return a notice for a decision that no finding explains: a spent budget, an obligation of no rule, no answer."""
    is_warned = wording.is_warned(decision)
    message = _UNEXPLAINED[decision.outcome] + f" ({decision.reason.value.replace('_', ' ')})"
    if decision.reason is Reason.BUDGET_SPENT:
        budgets = (wording.obligation_text(owed) for owed in decision.obligations if owed.type == "budget")
        message = "; ".join(["a budget is spent", *budgets])
    return Notice(
        rule=f"orch/{decision.reason.value.replace('_', '-')}",
        level="warning" if is_warned else "error",
        kind="warned" if is_warned else "required" if decision.outcome is Outcome.PENDING else "denied",
        severity="high",
        message=_with_owed(message, decision),
        fix="",
        source="",
        paths=(),
        path_count=0,
    )


def _with_owed(message: str, decision: Decision) -> str:
    owed = [wording.obligation_text(item) for item in decision.obligations if wording.is_owed(item)]
    return "; ".join([message, *owed])


def place_in_repository(source: str) -> tuple[str, int] | None:
    """Return file and line of a `file:line` that lies in the repository; None for any other place."""
    file, _, line = source.rpartition(":")
    path = PurePosixPath(file)
    if (
        not file
        or not line.isascii()
        or not line.isdecimal()
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in file
    ):
        return None
    return file, max(1, int(line))
