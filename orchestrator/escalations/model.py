"""An escalation as values: stages in order, who hears of them, what each of them does. Reads and does nothing.

`Escalation.of` takes what a compiled policy holds (`data.policy.escalations`), so whoever has the bundle has all of it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Self

_NONE: Mapping[str, Any] = MappingProxyType({})


class Audience(StrEnum):
    """Who hears of a stage."""

    OPERATOR = "operator"
    """Who can renew; everything else is outward."""
    CUSTODIANS = "custodians"
    PUBLIC = "public"


class Mode(StrEnum):
    """Whether a countdown can be turned back."""

    COUNTDOWN = "countdown"
    """It can be renewed, and begins with its first deadline."""
    FUSE = "fuse"
    """Once it has begun it cannot be renewed, reset, disarmed or put off."""
    MANUAL = "manual"
    """As a countdown, but it counts only after somebody armed it, each cycle anew."""


class CatchUp(StrEnum):
    """What follows where several stages are due at once."""

    WALK = "walk"
    """Every stage in its order; of those that reach further than the operator one in a tick."""
    JUMP = "jump"
    """The last that is due; what lies between is passed over."""


class Deed(NamedTuple):
    """One action of a stage."""

    id: str
    """Unique in its stage."""
    action: str
    """Its name in the catalogue, or one that a pack declares."""
    parameters: Mapping[str, Any]
    """As written, the route's among them; secrets are references."""
    texts: Mapping[str, str] = _NONE
    """Parameters that are rendered first: name to Jinja2 source."""
    adapter: str | None = None
    on_unknown: str = "hold"
    timeout_s: float = 300.0
    estimates: Mapping[str, int] = _NONE
    """Micro-units by meter, beside what the action is known to use."""


class Planned(NamedTuple):
    """A plan that a stage executes."""

    plan: Mapping[str, Any]
    """As `plans.model.Plan.of` takes it."""
    inputs: Mapping[str, Any] = _NONE


class Stage(NamedTuple):
    """Where an escalation can stand."""

    name: str
    at_s: int | None
    """Seconds from the deadline, negative before it; None for the first stage alone."""
    audience: Audience = Audience.OPERATOR
    min_dwell_s: int = 0
    """So long it stands here at least before it goes on."""
    delivered: tuple[str, ...] = ()
    """`stage/action` that must have reached every recipient before this stage is entered."""
    max_wait_s: int | None = None
    """How long that is waited for, from when the stage could have been entered otherwise."""
    deeds: tuple[Deed, ...] = ()
    planned: Planned | None = None

    @property
    def is_outward(self) -> bool:
        """Whether it reaches others than the operator."""
        return self.audience is not Audience.OPERATOR


class Lockout(NamedTuple):
    """How wrong codes from one source are slowed down."""

    after: int = 5
    """So many wrong ones in a row are free."""
    first_s: int = 30
    """The first lock; each further wrong code doubles it."""
    longest_s: int = 600


class Renewal(NamedTuple):
    """How the countdown is renewed."""

    extends_s: int
    """The new deadline, from the moment of renewal."""
    lockout: Lockout = Lockout()
    keys: tuple[str, ...] = ()
    """Ed25519 public keys whose signed renewal files count, as JWK text."""


class Clock(NamedTuple):
    """How far the clock is trusted."""

    sources: tuple[str, ...] = ()
    """HTTPS URLs whose Date header is asked; two have to agree."""
    keys: tuple[str, ...] = ()
    """Ed25519 public keys whose signed time files count, as JWK text."""
    after_gap_s: int = 7_200
    """A witness is asked where no tick was seen for so long, or after a new boot."""
    tolerance_s: int = 300
    """How far witness and clock may be apart."""

    @property
    def is_witnessed(self) -> bool:
        """Whether the policy asks for a witness at all."""
        return bool(self.sources or self.keys)


class Escalation(NamedTuple):
    """A countdown and its stages."""

    name: str
    version: str
    digest: str
    """Of the document, its templates and plans."""
    source: str
    """`file:line`."""
    mode: Mode
    catch_up: CatchUp
    grace_s: int
    """Added to every threshold that does not lie before the deadline."""
    stages: tuple[Stage, ...]
    """The first is where it stands while all is well."""
    renewal: Renewal
    clock: Clock = Clock()
    heartbeat: Mapping[str, Any] = _NONE
    """Parameters of the `call_webhook` that ends each tick; empty where there is none."""
    every_s: int = 0
    """How often a tick is meant to come; 0 where nobody said."""
    p95_gap_s: int = 0
    """How far apart 95 of 100 ticks really are at most; 0 where nobody said."""
    routes: Mapping[str, Mapping[str, Any]] = _NONE
    """Names to parameters of messages: `channel`, `to`. `operator` is where a drill sends everything."""
    constants: Mapping[str, Any] = _NONE

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return what a compiled policy says of an escalation."""
        said = dict(row)
        said["mode"], said["catch_up"] = Mode(said["mode"]), CatchUp(said["catch_up"])
        said["stages"] = tuple(_stage(one) for one in said["stages"])
        renewal = dict(said["renewal"])
        renewal["lockout"] = Lockout(**renewal["lockout"])
        said["renewal"] = Renewal(**renewal | {"keys": tuple(renewal["keys"])})
        clock = dict(said["clock"])
        said["clock"] = Clock(**clock | {"sources": tuple(clock["sources"]), "keys": tuple(clock["keys"])})
        return cls(**said)

    def has_stage(self, stage: str) -> bool:
        """Return whether one of the stages has this name."""
        return any(one.name == stage for one in self.stages)

    def place_of(self, stage: str) -> int:
        """Return which of the stages has this name.

        Raises:
            KeyError: none has.
        """
        for place, one in enumerate(self.stages):
            if one.name == stage:
                return place
        raise KeyError(stage)


class Standing(NamedTuple):
    """Where an escalation stands, as far as it decides what comes next."""

    is_armed: bool
    """Whether its deadline counts."""
    stage: int
    """Which of the stages."""
    stage_at_ns: int
    """When that was entered, nanoseconds since 1970."""
    deadline_ns: int | None
    delivered: frozenset[str] = frozenset()
    """`stage/action` that reached every recipient in this cycle."""


def _stage(row: Mapping[str, Any]) -> Stage:
    said = dict(row)
    said["audience"] = Audience(said["audience"])
    said["delivered"] = tuple(said["delivered"])
    said["deeds"] = tuple(Deed(**one) for one in said["deeds"])
    said["planned"] = Planned(**said["planned"]) if said["planned"] else None
    return Stage(**said)
