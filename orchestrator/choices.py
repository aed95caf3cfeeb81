"""The closed choices that the hot path needs; those of packs alone are in `model`, since each takes time to make."""

from enum import StrEnum

MICRO = 1_000_000
"""Budget amounts are integers of a millionth of their meter's unit."""


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
