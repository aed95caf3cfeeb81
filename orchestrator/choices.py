"""The closed choices of the domain; apart from `model`, since the hot path needs none of the pack's types."""

from enum import StrEnum

MICRO = 1_000_000
"""Budget amounts are integers of a millionth of their meter's unit."""


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


class Mode(StrEnum):
    """What a pack does at a point."""

    WARN = "warn"
    ENFORCE = "enforce"


class Point(StrEnum):
    """Where a decision is enforced."""

    CI = "ci"
    TICK = "tick"
    AGENT = "agent"
    RUN = "run"
    API = "api"


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


class Outcome(StrEnum):
    """What OPA answers."""

    ALLOW = "allow"
    PENDING = "pending"
    DENY = "deny"


class Reason(StrEnum):
    """Why the outcome is what it is."""

    ALLOWED = "allowed"
    WARNED = "warned"
    PENDING = "pending"
    BUDGET_SPENT = "budget_spent"
    DENIED = "denied"
    NO_POLICY = "no_policy"
    INVALID_REQUEST = "invalid_request"
    UNDECIDABLE = "undecidable"
