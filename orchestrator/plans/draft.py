"""A plan in the making, as an import fills it; `document` gives what is written. Pure."""

from dataclasses import dataclass, field
from typing import Any

from orchestrator.clock import parse_duration
from orchestrator.plans.writing import Noted


@dataclass(slots=True)
class DraftPhase:
    """A phase in the making."""

    id: str
    title: str = ""
    comments: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    is_enabled: bool = True
    timeout: str = ""
    retry: dict[str, Any] = field(default_factory=dict)
    is_manual: bool = False
    steps: list[Noted] = field(default_factory=list)
    success: list[dict[str, Any]] = field(default_factory=list)
    compensate: list[Noted] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    """Of its commands."""
    cwd: str = ""
    goes_on: bool = False
    """Steps that fail do not fail it."""

    def add(self, criterion: dict[str, Any]) -> None:
        """Add a criterion, once."""
        if criterion not in self.success:
            self.success.append(criterion)

    def document(self, env: dict[str, str]) -> Noted:
        """Return it as a plan's document says it; `env` is what every command is given."""
        said: dict[str, Any] = {"id": self.id}
        if self.title:
            said["title"] = self.title
        if self.needs:
            said["needs"] = self.needs
        if not self.is_enabled:
            said["if"] = {"run.id": {"exists": False}}
        if self.timeout:
            said["timeout"] = self.timeout
        if self.retry:
            said["retry"] = self.retry
        if self.is_manual:
            said["gate"] = "manual"
        for name, steps in (("steps", self.steps), ("compensate", self.compensate)):
            if steps:
                said[name] = [Noted(self._step(step.value, env), step.comments) for step in steps]
        if self.success:
            said["success"] = self.success
        return Noted(said, tuple(self.comments))

    def _step(self, step: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
        given = {**env, **self.env, **step["with"].get("env", {})}
        parameters = {**step["with"]} | ({"env": given} if given else {})
        if self.cwd and "cwd" not in parameters:
            parameters["cwd"] = self.cwd
        return step | {"with": parameters} | ({"on_failure": "continue"} if self.goes_on else {})


@dataclass(slots=True)
class Draft:
    """A plan in the making."""

    name: str = ""
    version: str = ""
    title: str = ""
    mode: str = ""
    """As it was run before."""
    retry: dict[str, Any] = field(default_factory=dict)
    timeout: str = ""
    role: str = ""
    count: int = 0
    on_failure: str = ""
    reports: str = ""
    is_sequential: bool = False
    is_manual: bool = False
    """Every gate is opened by people."""
    env: dict[str, str] = field(default_factory=dict)
    is_tracked: bool | None = None
    """Whether an issue follows a run; None where nobody said."""
    repository: str = ""
    labels: list[str] = field(default_factory=list)
    issue_title: str = ""
    phases: list[DraftPhase] = field(default_factory=list)
    metrics_file: str = ""
    """Where metrics are looked for whose file nobody names."""
    advice: list[str] = field(default_factory=list)
    """What to do beside the plan."""

    def phase(self, name: str) -> DraftPhase | None:
        """Return a phase by its id."""
        return next((phase for phase in self.phases if phase.id == name), None)

    def document(self) -> dict[str, Any]:
        """Return it as a plan's document says it."""
        metadata = {"name": self.name} | ({"version": self.version} if self.version else {})
        said: dict[str, Any] = {"apiVersion": "orch/v1", "kind": "Plan"}
        said["metadata"] = metadata | ({"title": self.title} if self.title else {})
        defaults = ({"timeout": self.timeout} if self.timeout else {}) | ({"retry": self.retry} if self.retry else {})
        if defaults:
            said["defaults"] = defaults
        if self.role or self.count:
            said["approvals"] = {"role": self.role or "operator"} | ({"count": self.count} if self.count else {})
        if self.on_failure:
            said["on_failure"] = self.on_failure
        if self.is_tracked:
            said["tracking"] = {"github": self._issue()}
        if self.reports:
            said["reports"] = self.reports
        return said | {"phases": [phase.document(self.env) for phase in self.phases]}

    def _issue(self) -> dict[str, Any]:
        issue: dict[str, Any] = {"repository": self.repository} if self.repository else {}
        issue |= {"labels": self.labels} if self.labels else {}
        return issue | ({"title": self.issue_title} if self.issue_title else {})


def fit(draft: Draft) -> None:
    """Mend what two fields together would make wrong: waits longer than the longest, steps longer than their phase."""
    taken: set[str] = set()
    for retry in (draft.retry, *(phase.retry for phase in draft.phases)):
        if {"wait", "most"} <= retry.keys() and _seconds(retry["wait"]) > _seconds(retry["most"]):
            retry["wait"] = retry["most"]
    for phase in draft.phases:
        steps = [step.value for step in (*phase.steps, *phase.compensate)]
        longest = max((step["timeout"] for step in steps if "timeout" in step), key=_seconds, default="1s")
        if _seconds(longest) > _seconds(phase.timeout or draft.timeout or "1h"):
            phase.timeout = longest
            phase.comments.append("it has as long as its longest step")
        for step in steps:
            name, number = step["id"], 2
            while step["id"] in taken:
                step["id"] = f"{name[:58]}-{number}"
                number += 1
            taken.add(step["id"])


def _seconds(duration: str) -> int:
    return 0 if duration == "0s" else parse_duration(duration)
