"""The model of a plan's document and its JSON Schema: what it may look like; `read` says what it means.

`docs/plans.md` names every key here; a test holds it.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from orchestrator.schema import Metadata, Operators
from orchestrator.shape import (
    REPOSITORY,
    VERSION,
    Mappings,
    Name,
    Number,
    OneOrMore,
    Several,
    Short,
    ShortCondition,
    Strict,
    Text,
    refuse,
)

_NONE: Any = {}
"""The default of mappings; each model gets its own copy."""
_UNSAID: Any = None
"""The default where nothing is meant by leaving a key out."""
_MOST_DIGITS = 3

ClassName = Literal["transient", "permanent", "dependency", "configuration"]
When = Annotated[dict[str, Annotated[Operators, ShortCondition()]], Field(min_length=1)]


def _code(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and text[0] != "0"):
        refuse("an exit code or HTTP status, such as 75")
    return text


class PlanMetadata(Metadata):
    """What the plan is called and which version it is."""

    version: Annotated[str, Field(pattern=VERSION)] = "0.0.0"
    """The plan's version, such as 1.4.0."""
    title: Text = ""
    """What it is for, in one line."""


class Input(Strict):
    """Something that a run is told when it starts."""

    type: Literal["text", "integer", "number", "boolean", "json"] = "text"
    """What kind of value it is."""
    default: Any = None
    """What it is where nobody says; without a default it must be said."""
    one_of: Annotated[tuple[Any, ...], OneOrMore()] = ()
    """The only values it may have."""
    title: Text = ""
    """What it is, in one line."""


class Retry(Strict):
    """How often something is tried."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """All attempts, the first counted."""
    wait: Text = "2s"
    """How long to wait before the second attempt."""
    factor: Number = 2
    """By which each wait is longer than the one before."""
    most: Text = "5m"
    """No wait is longer."""
    errors: Several[ClassName] = ("transient",)
    """Which failures are worth another attempt."""


class Defaults(Strict):
    """What holds where a phase or step says nothing."""

    timeout: Text = "1h"
    """How long one attempt of a phase may take."""
    retry: Retry = Retry()
    """How often a step is tried."""


class Approvals(Strict):
    """Who opens the gates of phases."""

    role: Name = "operator"
    """The role the approvers must have."""
    count: Annotated[int, Field(ge=1, le=20)] = 1
    """How many different people."""


class GitHubTracking(Strict):
    """The issue that follows a run."""

    repository: Annotated[str, Field(pattern=REPOSITORY)] = ""
    """Where the issue is, `owner/name`; else the run's repository."""
    labels: Several[Text] = ()
    """Labels of the issue."""
    title: Text = ""
    """Title of the issue; may hold references to inputs and the run."""


class Tracking(Strict):
    """Where a run is followed by people."""

    github: GitHubTracking
    """In an issue on GitHub."""


class Otherwise(Strict):
    """What happens where a step fails."""

    then: Literal["stop", "continue"] = "stop"
    """The phase fails, or it goes on."""
    steps: Annotated[tuple["Step", ...], OneOrMore()] = ()
    """Steps to do instead of the one that failed."""


class Step(Strict):
    """One action."""

    id: Name
    """The step's name, unique in the plan."""
    action: Name
    """What is done: a built-in action, or one that a pack declares and an adapter does."""
    with_: Annotated[dict[str, Any], Field(alias="with")] = _NONE
    """The action's parameters; values may hold references."""
    adapter: Name = ""
    """Which adapter does it, where several can."""
    if_: Annotated[When, Field(alias="if")] = _NONE
    """Conditions; where one is false the step is left out."""
    on_failure: Annotated[Otherwise, Short("then")] = _UNSAID
    """What happens where it fails or is denied."""
    on_unknown: Literal["hold", "resend"] = "hold"
    """What happens where nobody knows whether it was done: wait for a person, or do it again."""
    timeout: Text = ""
    """How long one attempt may take; at most the phase's."""
    retry: Retry = Retry()
    """How often it is tried."""
    replayable: bool = False
    """Whether doing it twice changes nothing; left to the adapter where not said."""
    estimates: Annotated[dict[Name, Number], Field(min_length=1)] = _NONE
    """What it may use of budgets: meter to amount."""
    errors: Annotated[dict[Annotated[str, AfterValidator(_code)], ClassName], Field(min_length=1)] = _NONE
    """What exit codes or HTTP statuses mean: code to kind of failure."""


Otherwise.model_rebuild()


class OfFile(Strict):
    """A value in a JSON file."""

    file: Text
    """The JSON file, below the run's root."""
    path: Text
    """Where the value lies: keys and positions (from 0) joined by `.`."""


class SchemaCheck(Strict):
    """A JSON file and the JSON Schema it must fit."""

    file: Text
    """The JSON file, below the run's root."""
    schema_: Annotated[Text, Field(alias="schema")]
    """The file with the JSON Schema, below the run's root."""


class Threshold(OfFile):
    """A value in a JSON file and what it must be."""

    min: Number = None
    """A number of at least this."""
    max: Number = None
    """A number of at most this."""
    exact: Any = None
    """Exactly this text, number, true or false; true is not 1."""


class Tests(Strict):
    """A report of tests that all passed."""

    __test__ = False

    file: Text
    """The report, below the run's root."""
    format: Literal["junit", "tap"] = "junit"
    """The report's form."""


class Command(Strict):
    """A program that must end with 0."""

    argv: Annotated[tuple[Text, ...], OneOrMore()]
    """The program and its arguments; no shell reads them."""
    cwd: Text = ""
    """The folder it is started in, below the run's root."""
    timeout: Text = ""
    """How long it may take; at most the phase's."""


class Criterion(Strict):
    """One thing that must be true after a phase; one key only."""

    file_exists: Text = ""
    """There is such a file."""
    file_not_empty: Text = ""
    """There is such a file, and something in it."""
    json_valid: Text = ""
    """The file is strict JSON."""
    json_schema: SchemaCheck = _UNSAID
    """The file is JSON that fits a JSON Schema."""
    metric_exists: OfFile = _UNSAID
    """There is a value at a path of a JSON file."""
    metric_threshold: Threshold = _UNSAID
    """A value in a JSON file is large, small or exact enough."""
    tests_reported: Annotated[Tests, Short("file")] = _UNSAID
    """Tests ran, and none failed."""
    command_succeeds: Command = _UNSAID
    """A program ends with 0; it is an action under policy like a step."""


class Phase(Strict):
    """A node of the plan's graph: steps in order, and what must be true after them."""

    id: Name
    """The phase's name, unique in the plan."""
    title: Text = ""
    """What it is for, in one line."""
    needs: Several[Name] = ()
    """Phases that must be over before."""
    if_: Annotated[When, Field(alias="if")] = _NONE
    """Conditions; where one is false the phase is skipped."""
    timeout: Text = ""
    """How long one attempt may take; waiting for people is left out."""
    retry: Retry = Retry()
    """How often the whole phase is tried; once where not said."""
    gate: Literal["auto", "manual"] = "auto"
    """Whether the met criteria open the gate behind it, or people."""
    steps: Mappings[Step] = ()
    """What is done, in order."""
    success: Mappings[Criterion] = ()
    """What must be true after the steps."""
    compensate: Mappings[Step] = ()
    """What undoes it, where the run fails later and the plan says `on_failure: compensate`."""


class Plan(Strict):
    """A plan: phases of work with an order, criteria and rules for failures."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["Plan"]
    """Which kind of document this is."""
    metadata: PlanMetadata
    """What the plan is called."""
    inputs: Annotated[dict[Name, Input], Field(min_length=1)] = _NONE
    """What a run is told when it starts."""
    defaults: Defaults = Defaults()
    """What holds where a phase or step says nothing."""
    approvals: Approvals = Approvals()
    """Who opens the gates of phases."""
    on_failure: Literal["stop", "continue", "compensate"] = "stop"
    """After a phase failed: no other begins, those that do not need it still do, or what was done is undone."""
    tracking: Tracking = _UNSAID
    """Where people follow a run."""
    reports: Text = ""
    """A folder below the run's root for status reports; none where left out."""
    phases: Mappings[Phase]
    """The phases, in any order."""


KINDS_OF_CHECK = tuple(Criterion.model_fields)
"""The kinds of criteria."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a plan, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Plan.model_json_schema(by_alias=True)
