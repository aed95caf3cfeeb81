"""What a plan is once it is read: every default filled in, JSON both ways. Values only; reads and does nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from orchestrator.adapter import ErrorClass
from orchestrator.digest import canonical, sha256
from orchestrator.errors import LedgerError

Json: TypeAlias = dict[str, Any]
OnFailure: TypeAlias = "Literal['stop', 'continue'] | tuple[Step, ...]"
"""What happens where a step fails: the phase fails, it goes on, or other steps are done instead."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often something is tried, and how long between the attempts. Source: 002, "Error Handling"."""

    attempts: int = 3
    """All of them, the first counted."""
    wait_s: float = 2.0
    """Before the second attempt."""
    factor: float = 2.0
    """By which each wait is longer than the one before."""
    most_s: float = 300.0
    """No wait is longer."""
    errors: frozenset[ErrorClass] = frozenset({ErrorClass.TRANSIENT})
    """Failures that are worth another attempt."""

    def wait_before_s(self, attempt: int) -> float:
        """Return how long to wait before an attempt: nothing before the first, `wait_s` before the second."""
        if attempt <= 1:
            return 0.0
        try:
            return min(self.most_s, self.wait_s * self.factor ** (attempt - 2))
        except OverflowError:
            return self.most_s

    def to_json(self) -> Json:
        """Return it as JSON."""
        return {
            "attempts": self.attempts,
            "wait_s": self.wait_s,
            "factor": self.factor,
            "most_s": self.most_s,
            "errors": sorted(self.errors),
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Retry":
        """Return what `to_json` gave."""
        errors = frozenset(map(ErrorClass, value["errors"]))
        return cls(value["attempts"], value["wait_s"], value["factor"], value["most_s"], errors)


ONCE = Retry(attempts=1)
"""No second attempt."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One path of an `if` and what must be true of its value."""

    path: str
    """Such as `inputs.env` or `steps.make.outputs.count`."""
    operators: tuple[tuple[str, tuple[Any, ...]], ...]
    """Name and values; one value for all but `in`, `not_in`, `glob`, `not_glob`, `host` and `not_host`."""


When: TypeAlias = tuple[Condition, ...]
"""All must hold; none always does."""


def _when_json(when: When) -> Json:
    return {each.path: {name: list(values) for name, values in each.operators} for each in when}


def _when_of(value: Mapping[str, Any]) -> When:
    return tuple(
        Condition(path, tuple((name, tuple(values)) for name, values in operators.items()))
        for path, operators in value.items()
    )


@dataclass(frozen=True, slots=True)
class Input:
    """Something a run is told when it starts."""

    type: Literal["text", "integer", "number", "boolean", "json"] = "text"
    is_required: bool = True
    default: Any = None
    """JSON; means nothing where it is required."""
    one_of: tuple[Any, ...] = ()
    """The only values; () for any."""
    title: str = ""

    def to_json(self) -> Json:
        """Return it as JSON."""
        value: Json = {"type": self.type, "one_of": list(self.one_of), "title": self.title}
        return value if self.is_required else value | {"default": self.default}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Input":
        """Return what `to_json` gave."""
        one_of = tuple(value["one_of"])
        return cls(value["type"], "default" not in value, value.get("default"), one_of, value["title"])


@dataclass(frozen=True, slots=True)
class Step:
    """One action."""

    id: str
    """Unique in the plan."""
    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As written, references and all."""
    adapter: str | None = None
    when: When = ()
    on_failure: OnFailure = "stop"
    on_unknown: Literal["hold", "resend"] = "hold"
    timeout_s: float = 3600.0
    retry: Retry = Retry()
    is_replayable: bool | None = None
    """What the author says; None leaves it to the adapter."""
    estimates: Mapping[str, int] = field(default_factory=dict)
    """What it may use, micro-units by meter."""
    codes: Mapping[int, ErrorClass] = field(default_factory=dict)
    """What exit codes or HTTP statuses mean."""

    def to_json(self) -> Json:
        """Return it as JSON."""
        other = self.on_failure
        return {
            "id": self.id,
            "action": self.action,
            "parameters": dict(self.parameters),
            "adapter": self.adapter,
            "when": _when_json(self.when),
            "on_failure": other if isinstance(other, str) else [step.to_json() for step in other],
            "on_unknown": self.on_unknown,
            "timeout_s": self.timeout_s,
            "retry": self.retry.to_json(),
            "is_replayable": self.is_replayable,
            "estimates": dict(self.estimates),
            "codes": {str(code): str(each) for code, each in self.codes.items()},
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Step":
        """Return what `to_json` gave."""
        other = value["on_failure"]
        return cls(
            id=value["id"],
            action=value["action"],
            parameters=value["parameters"],
            adapter=value["adapter"],
            when=_when_of(value["when"]),
            on_failure=cast("OnFailure", other if isinstance(other, str) else tuple(map(Step.of, other))),
            on_unknown=value["on_unknown"],
            timeout_s=value["timeout_s"],
            retry=Retry.of(value["retry"]),
            is_replayable=value["is_replayable"],
            estimates=value["estimates"],
            codes={int(code): ErrorClass(each) for code, each in value["codes"].items()},
        )

    def all_steps(self) -> Iterator["Step"]:
        """Yield this step and those that would be done instead of it."""
        yield self
        if not isinstance(self.on_failure, str):
            for step in self.on_failure:
                yield from step.all_steps()


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that must be true for a phase to have succeeded."""

    name: str
    """`phase/success.N`: its place in the plan, counted from 1; also the name of the order that it gives, if any."""
    kind: str
    """One of `orchestrator.plans.schema.KINDS_OF_CHECK`."""
    parameters: Mapping[str, Any]
    """`file`, `path`, `min`, `schema`, `argv`, ...; references and all. `timeout_s` is a number."""

    def to_json(self) -> Json:
        """Return it as JSON."""
        return {"name": self.name, "kind": self.kind, "parameters": dict(self.parameters)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Criterion":
        """Return what `to_json` gave."""
        return cls(value["name"], value["kind"], value["parameters"])


@dataclass(frozen=True, slots=True)
class Phase:
    """A node of the plan's graph: steps done in order, and what must be true after them."""

    id: str
    title: str = ""
    needs: tuple[str, ...] = ()
    when: When = ()
    timeout_s: float = 3600.0
    """For one attempt; waiting for people is left out."""
    retry: Retry = ONCE
    """Of the whole phase."""
    gate: Literal["auto", "manual", "none"] = "auto"
    """Who lets it pass; `none` is a job's alone: nobody is asked, but in manual mode."""
    steps: tuple[Step, ...] = ()
    success: tuple[Criterion, ...] = ()
    compensate: tuple[Step, ...] = ()

    def to_json(self) -> Json:
        """Return it as JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "needs": list(self.needs),
            "when": _when_json(self.when),
            "timeout_s": self.timeout_s,
            "retry": self.retry.to_json(),
            "gate": self.gate,
            "steps": [step.to_json() for step in self.steps],
            "success": [each.to_json() for each in self.success],
            "compensate": [step.to_json() for step in self.compensate],
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Phase":
        """Return what `to_json` gave."""
        return cls(
            id=value["id"],
            title=value["title"],
            needs=tuple(value["needs"]),
            when=_when_of(value["when"]),
            timeout_s=value["timeout_s"],
            retry=Retry.of(value["retry"]),
            gate=value["gate"],
            steps=tuple(map(Step.of, value["steps"])),
            success=tuple(map(Criterion.of, value["success"])),
            compensate=tuple(map(Step.of, value["compensate"])),
        )

    def all_steps(self) -> Iterator[Step]:
        """Yield every step: those done instead of others and those that compensate, too."""
        for step in (*self.steps, *self.compensate):
            yield from step.all_steps()


@dataclass(frozen=True, slots=True)
class Approvals:
    """Who opens the gates of phases."""

    role: str = "operator"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Tracking:
    """The GitHub issue that follows a run. Source: 002, "GitHub Integration"."""

    repository: str | None = None
    """`owner/name`; None for the run's own."""
    labels: tuple[str, ...] = ()
    title: str = ""
    """Of the issue; references are filled in. "" for a usual one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan."""

    name: str
    phases: tuple[Phase, ...]
    version: str = "0.0.0"
    title: str = ""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    approvals: Approvals = Approvals()
    on_failure: Literal["stop", "continue", "compensate"] = "stop"
    """After a phase failed: no other begins; those that do not need it still do; or what was done is undone."""
    tracking: Tracking | None = None
    reports: str | None = None
    """A folder below the run's root."""
    source: str = ""
    """The file it was read from; no part of the digest."""

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of what it says; not of how it is written."""
        return sha256(canonical({name: value for name, value in self.to_json().items() if name != "source"}))

    def phase(self, name: str) -> Phase:
        """Return a phase by its id. Raises KeyError where there is none."""
        for phase in self.phases:
            if phase.id == name:
                return phase
        raise KeyError(name)

    def steps(self) -> Iterator[tuple[Phase, Step]]:
        """Yield every step with its phase, those that are done only after a failure too."""
        for phase in self.phases:
            for step in phase.all_steps():
                yield phase, step

    def to_json(self) -> Json:
        """Return it as JSON that `of` reads."""
        tracking = self.tracking and {
            "repository": self.tracking.repository,
            "labels": list(self.tracking.labels),
            "title": self.tracking.title,
        }
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "inputs": {name: each.to_json() for name, each in self.inputs.items()},
            "phases": [phase.to_json() for phase in self.phases],
            "approvals": {"role": self.approvals.role, "count": self.approvals.count},
            "on_failure": self.on_failure,
            "tracking": tracking,
            "reports": self.reports,
            "source": self.source,
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "Plan":
        """Return what `to_json` gave.

        Raises:
            LedgerError: it is not what a plan was written as.
        """
        try:
            return cls._of(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(
                f"what was recorded of a plan cannot be read: {type(error).__name__}: {error}",
                advice="it was written by another version of orch; finish the run with that one",
            ) from error

    @classmethod
    def _of(cls, value: Mapping[str, Any]) -> "Plan":
        tracking = value["tracking"]
        return cls(
            name=value["name"],
            version=value["version"],
            title=value["title"],
            inputs={name: Input.of(each) for name, each in value["inputs"].items()},
            phases=tuple(map(Phase.of, value["phases"])),
            approvals=Approvals(value["approvals"]["role"], value["approvals"]["count"]),
            on_failure=value["on_failure"],
            tracking=tracking and Tracking(tracking["repository"], tuple(tracking["labels"]), tracking["title"]),
            reports=value["reports"],
            source=value["source"],
        )
