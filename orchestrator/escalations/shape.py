"""The model of an escalation's document: what it may look like; `escalations.read` says what it means.

`docs/escalations.md` names every key here; a test holds it.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.shape import (
    EXPECTED_OF_PATTERN,
    VERSION,
    Mappings,
    Name,
    Number,
    OneOrMore,
    Scalar,
    Several,
    Strict,
    Text,
    refuse,
)

_NONE: Any = {}
"""The default of mappings; each model gets its own copy."""
_UNSAID: Any = None
"""The default where nothing is meant by leaving a key out."""

MAX_TEMPLATE = 65_536
"""Longest template, in characters."""
_IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
EXPECTED_OF_PATTERN[_IDENTIFIER] = "a name of letters, digits and `_` that begins with a letter, at most 63"


def _with_unit(value: object) -> object:
    """Refuse a number alone: nobody can know which unit was meant."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        refuse("a number with its unit", f"write {value}m for minutes, {value}s for seconds")
    return value


Length = Annotated[Text, BeforeValidator(_with_unit)]
"""A length of time, such as 30s, 5m, 2h or 3d."""
Identifier = Annotated[str, Field(pattern=_IDENTIFIER)]
Template = Annotated[str, Field(min_length=1, max_length=MAX_TEMPLATE)]


class Metadata(Strict):
    """What the escalation is called and which version it is."""

    name: Name
    """The escalation's name."""
    version: Annotated[str, Field(pattern=VERSION)] = "0.0.0"
    """Its version, such as 1.4.0."""


class Lockout(Strict):
    """How wrong codes from one source are slowed down."""

    after: Annotated[int, Field(ge=1, le=100)] = 5
    """So many wrong ones in a row are free."""
    first: Length = "30s"
    """How long the first lock is; each further wrong code doubles it."""
    longest: Length = "10m"
    """No lock is longer."""


class Renewal(Strict):
    """How the countdown is renewed."""

    extends: Length
    """The new deadline, from the moment of renewal on."""
    lockout: Lockout = Lockout()
    """How wrong codes from one source are slowed down."""
    keys: Several[Text] = ()
    """Ed25519 public keys; files of renewal that they signed count."""


class Tick(Strict):
    """How often somebody looks at the clock."""

    every: Length = _UNSAID
    """How often a tick is meant to come."""
    p95_gap: Length = _UNSAID
    """How far apart 95 of 100 ticks really are at most."""


class Clock(Strict):
    """Who is asked whether the clock is right, before others than the operator hear of anything."""

    sources: Several[Text] = ()
    """HTTPS URLs whose Date header is asked; two have to agree."""
    keys: Several[Text] = ()
    """Ed25519 public keys; files of the time that they signed count."""
    after_gap: Length = "2h"
    """A witness is asked where no tick was seen for so long, or after a new boot."""
    tolerance: Length = "5m"
    """How far witness and clock may be apart."""


class Action(Strict):
    """One action of a stage."""

    id: Name
    """The action's name, unique in its stage."""
    action: Name
    """What is done: a built-in action, or one that a pack declares and an adapter does."""
    with_: Annotated[dict[Identifier, Any], Field(alias="with", min_length=1)] = _NONE
    """Parameters as they are; secrets stay references."""
    route: Name = ""
    """The route whose parameters it takes, too."""
    text: Annotated[dict[Identifier, Template], Field(min_length=1)] = _NONE
    """Parameters that are rendered: name to Jinja2 template."""
    template: Text = ""
    """A file `*.j2` below the document's folder; each of its blocks gives the parameter of its name."""
    adapter: Name = ""
    """Which adapter does it, where several can."""
    on_unknown: Literal["hold", "resend"] = "hold"
    """What happens where nobody knows whether it was done: wait for a person, or do it again."""
    timeout: Length = "5m"
    """How long one attempt may take."""
    estimates: Annotated[dict[Name, Number], Field(min_length=1)] = _NONE
    """What it uses of budgets, beside what the action is known to use: meter to amount."""


class Requires(Strict):
    """What must have happened before a stage is entered."""

    delivered: Annotated[tuple[Text, ...], OneOrMore()]
    """Actions of earlier stages, `stage/action`, or all of a `stage`, that must have reached every recipient."""
    max_wait: Length
    """How long that is waited for; then the stage is entered all the same."""


class PlanOfStage(Strict):
    """A plan that a stage executes."""

    file: Text
    """The plan's file, in a folder below the document's."""
    inputs: Annotated[dict[Name, Any], Field(min_length=1)] = _NONE
    """The plan's inputs: name to value."""


class Stage(Strict):
    """Where the escalation can stand."""

    name: Name
    """The stage's name, unique in the escalation."""
    at: Length = _UNSAID
    """When it is due, relative to the deadline: -6h, 0s, 15m. All but the first have it."""
    audience: Literal["operator", "custodians", "public"] = "operator"
    """Who hears of it."""
    min_dwell: Length = "0s"
    """How long it stands here at least before it goes on."""
    requires: Requires = _UNSAID
    """What must have happened before it is entered."""
    actions: Mappings[Action] = ()
    """What is done when it is entered, in order."""
    plan: PlanOfStage = _UNSAID
    """A plan that is executed when it is entered, after the actions."""


class Escalation(Strict):
    """A countdown that, if nobody renews it, goes through ordered stages and does what each of them says."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["Escalation"]
    """Which kind of document this is."""
    metadata: Metadata
    """What the escalation is called."""
    mode: Literal["countdown", "fuse", "manual"] = "countdown"
    """Whether it can be renewed; a fuse cannot, and manual counts only after somebody armed it."""
    catch_up: Literal["walk", "jump"] = "walk"
    """What follows where several stages are due at once: every stage in its order, or the last of them."""
    grace: Length = "0s"
    """Added to every threshold at the deadline or after it."""
    renewal: Renewal
    """How the countdown is renewed."""
    tick: Tick = _UNSAID
    """How often somebody looks at the clock."""
    clock: Clock = _UNSAID
    """Who is asked whether the clock is right."""
    heartbeat: Annotated[dict[Identifier, Any], Field(min_length=1)] = _NONE
    """Parameters of the call_webhook that ends each tick; sent with POST unless `method` says otherwise."""
    routes: Annotated[dict[Name, Annotated[dict[Identifier, Any], Field(min_length=1)]], Field(min_length=1)] = _NONE
    """Where messages go: name to parameters such as `channel` and `to`. `operator` must be there if any is sent."""
    constants: Annotated[dict[Identifier, Scalar], Field(min_length=1)] = _NONE
    """Texts, numbers and truth values for templates."""
    stages: Mappings[Stage]
    """The stages, in order; the first is where it stands while all is well."""
