"""What a set of packs is once it is read. Values only: nothing here reads a file or decides."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from orchestrator.choices import MICRO, Mode, Outcome, Point, Reason

__all__ = [
    "MICRO", "SEVERITY_OF", "Approval", "Budget", "Condition", "Default", "Effect", "EscalationRow", "Evidence",
    "JsonObject", "JsonValue",
    "Layer", "Level", "Mode", "Module", "Operator", "Outcome", "Pack", "PackSet", "Point", "Reason", "RosterEntry",
    "Rule",
    "Scalar", "Selectors", "Severity", "Source", "Waiver",
]  # fmt: skip

JsonValue: TypeAlias = "bool | int | float | Decimal | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]
Scalar: TypeAlias = bool | int | Decimal | str


class Effect(StrEnum):
    """What a matching rule does."""

    DENY = "deny"
    REQUIRE = "require"
    ALLOW = "allow"
    DELEGATE = "delegate"


class Level(StrEnum):
    """How firm a deny or require is."""

    HARD = "hard"
    SOFT = "soft"
    ADVISORY = "advisory"


class Severity(StrEnum):
    """How bad a finding is, for people and reports; never decides."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


SEVERITY_OF = {Level.HARD: Severity.HIGH, Level.SOFT: Severity.MEDIUM, Level.ADVISORY: Severity.LOW}
"""The default severity of a deny or require; an allow or delegate is `info`."""


class Default(StrEnum):
    """A pack's say where none of its rules has one."""

    DENY = "deny"
    ALLOW = "allow"
    INHERIT = "inherit"


class Layer(StrEnum):
    """Where a pack comes from, and so how far it is trusted."""

    ORG = "org"
    REPO = "repo"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a document."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a condition, lists resolved."""

    name: str
    """equals in not_in glob not_glob host not_host min max above below exists same_as not_same_as"""
    values: tuple[Scalar, ...]
    """One for equals, min, max, above, below, exists, same_as and not_same_as (a path there); else one or more."""
    source: Source


@dataclass(frozen=True, slots=True)
class Condition:
    """One path of a rule's `when`."""

    path: str
    """As written: `action.properties.attachments[].type`."""
    operators: tuple[Operator, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Approval:
    """How many people of one role must say yes."""

    role: str
    count: int = 1
    bind: str = "changes"
    """`changes` or `action` (the stricter)."""
    expires_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Evidence:
    """A proof that must exist."""

    type: str
    phase: str = "before"
    """`before` or `after`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what may be used."""

    meter: str
    per: str
    """`run`, `session`, `repo` or `org`."""
    limit_micro: int
    window: str | None = None
    """`day` or `month` for `repo` and `org`, else None."""
    warn_at_percent: int = 80


Selectors: TypeAlias = dict[str, tuple[str, ...]]
"""Of subjects, roles, repositories, branches, head_branches, file_globs, tools, stages: those written, resolved."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a pack, defaults filled in, lists resolved."""

    id: str
    effect: Effect
    actions: tuple[str, ...]
    """`("*",)` for any."""
    source: Source
    level: Level | None
    """None for allow and delegate."""
    severity: Severity
    selectors: Selectors = field(default_factory=dict)
    selector_sources: dict[str, Source] = field(default_factory=dict)
    when: tuple[Condition, ...] = ()
    approvals: tuple[Approval, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    budgets: tuple[Budget, ...] = ()
    stage: str | None = None
    title: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Module:
    """A hand-written Rego module of an org pack."""

    path: str
    """Relative to the pack's folder, POSIX."""
    text: str
    source: Source


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack, checked and resolved."""

    name: str
    version: str
    layer: Layer
    default: Default
    source: Source
    digest: str
    """`sha256:` and the hex of the document's bytes."""
    owners: tuple[str, ...] = ()
    repositories: tuple[str, ...] | None = None
    enforcement: dict[Point, Mode] = field(default_factory=dict)
    declared_actions: tuple[str, ...] = ()
    declared_stages: tuple[str, ...] = ()
    declared_meters: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    modules: tuple[Module, ...] = ()

    @property
    def prefix(self) -> str:
        """What findings of this pack begin with."""
        return self.name if self.layer is Layer.ORG else f"{self.layer}:{self.name}"


@dataclass(frozen=True, slots=True)
class Waiver:
    """A document that lifts soft org rules, in a scope, until a time."""

    name: str
    rules: tuple[str, ...]
    """`pack/rule`."""
    scope: Selectors
    """May also have `actions`."""
    reason: str
    ticket: str
    requested_by: str
    approved_by: tuple[str, ...]
    from_ns: int
    """Nanoseconds since 1970, UTC; inclusive."""
    expires_at_ns: int
    """Exclusive."""
    break_glass: bool
    source: Source


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One subject of the roster."""

    name: str
    roles: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EscalationRow:
    """An escalation, checked, as it is compiled; `escalations.model.Escalation.of` reads its row."""

    name: str
    stages: tuple[str, ...]
    """Their names, in order."""
    row: JsonObject
    source: Source
    actions: tuple[tuple[str, Source], ...] = ()
    """What its stages do, which some pack has to allow: each action with the first place that names it."""


@dataclass(frozen=True, slots=True)
class PackSet:
    """Everything that decides: packs by layer, waivers, the roster, and what is known of where they came from."""

    packs: tuple[Pack, ...]
    """Org packs first, then repo, then run; sorted by layer and name. Each run pack is a layer of its own."""
    waivers: tuple[Waiver, ...] = ()
    roster: tuple[RosterEntry, ...] = ()
    repository: str | None = None
    """Which repository the repo layer belongs to, as the operator said; None when nobody said."""
    is_claimed: bool = False
    """The repo layer was read from a working tree."""
    warnings: tuple[str, ...] = ()
    """What lint found; one line each."""
    escalations: tuple[EscalationRow, ...] = ()
    """By name."""
    stages: tuple[str, ...] = ()
    """All stages, those that packs declare and those of escalations, each after what comes before it.

    Empty where there are no escalations.
    """
