"""The models of every document kind and their JSON Schemas: what a document may look like; `pack` reads what it means.

`docs/packs.md` names every key here, `docs/escalations.md` those of an escalation; tests hold it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.escalations.shape import Escalation
from orchestrator.settingshape import OperatorSettings, RepositorySettings
from orchestrator.shape import (
    FINDING_NAME,
    RULE_NAME,
    VERSION,
    Actions,
    Mappings,
    ModeName,
    Name,
    Number,
    OneOrMore,
    OutcomeName,
    Percent,
    PointName,
    Scalar,
    Several,
    Short,
    ShortCondition,
    Strict,
    Subject,
    Text,
)

_NONE: Any = {}
"""The default of mappings; each model gets its own copy."""


class Metadata(Strict):
    """Whose document it is."""

    name: Name
    """The document's name."""


class PackMetadata(Metadata):
    """What the pack is called, which version it is and who answers for it."""

    version: Annotated[str, Field(pattern=VERSION)] = "0.0.0"
    """The pack's version, such as 1.4.0."""
    owners: Several[Text] = ()
    """Who answers for the pack, for people."""


class Declares(Strict):
    """Names beside the built-in ones."""

    actions: Several[Name] = ()
    """Own actions; they need nothing and can have everything."""
    stages: Several[Name] = ()
    """The stages of a run, in order. Declared once, by one org pack."""
    meters: Several[Name] = ()
    """Own budget meters."""


class Operators(Strict):
    """What must be true of a value; several are AND."""

    equals: Scalar = None
    """Equal to this value; true is not 1."""
    in_: Annotated[Several[Scalar], Field(alias="in")] = ()
    """Equal to one of these."""
    not_in: Several[Scalar] = ()
    """Equal to none of these."""
    glob: Several[Text] = ()
    """Matches one of these path globs."""
    not_glob: Several[Text] = ()
    """Matches none of these path globs."""
    host: Several[Text] = ()
    """An http(s) URL whose host matches one of these host globs."""
    not_host: Several[Text] = ()
    """An http(s) URL whose host matches none of these."""
    min: Number = None
    """A number of at least this."""
    max: Number = None
    """A number of at most this."""
    above: Number = None
    """A number above this."""
    below: Number = None
    """A number below this."""
    exists: bool = True
    """Whether there is a value; null and [] are none."""
    same_as: Text = ""
    """Equal to the value at this other path."""
    not_same_as: Text = ""
    """Different from the value at this other path."""


class Selectors(Strict):
    """Which requests are meant. Keys are AND, items OR; a key left out means any."""

    subjects: Several[Text] = ()
    """Globs over subject names; `*` crosses everything."""
    roles: Several[Text] = ()
    """Roles of the subject, as the roster says."""
    repositories: Several[Text] = ()
    """Globs over `owner/name`, case aside."""
    branches: Several[Text] = ()
    """Globs over the branch that would change; of a pull request, its base."""
    head_branches: Several[Text] = ()
    """Globs over the branch a change comes from."""
    file_globs: Several[Text] = ()
    """Globs over the paths of changed files, judged file by file."""
    tools: Several[Text] = ()
    """Globs over `server:tool`; `*` never crosses `:`."""
    stages: Several[Text] = ()
    """Stages at which the run stands."""


class Approval(Strict):
    """How many people of a role must say yes."""

    role: Name
    """The role the approvers must have."""
    count: Annotated[int, Field(ge=1, le=20)] = 1
    """How many different people."""
    bind: Literal["changes", "action"] = "changes"
    """What a vote is bound to: the changed files, or the whole action."""
    expires: Text = "24h"
    """How long a vote counts, such as 30m, 24h or 7d."""


class Evidence(Strict):
    """A proof that must exist."""

    type: Name
    """What kind of proof: tests, provenance, review, ..."""
    phase: Literal["before", "after"] = "before"
    """Before the action, or after it."""


class Budget(Strict):
    """A limit on what may be used."""

    meter: Name
    """usd, tokens, tool_calls, minutes, pr_attempts, or a declared meter."""
    per: Literal["run", "session", "repo", "org"]
    """Who shares the limit."""
    limit: Number
    """The limit in the meter's unit, exact to a millionth."""
    window: Literal["day", "month"] = "day"
    """When the count begins anew; needed for repo and org, not allowed for run and session."""
    warn_at: Percent = "80%"
    """From which share of the limit there is a warning."""


class Rule(Selectors):
    """Selects requests and has an effect."""

    id: Name
    """The rule's name, unique in its pack."""
    effect: Literal["deny", "require", "allow", "delegate"]
    """What happens to a matching request."""
    actions: Actions
    """The actions that are meant; `*` for any."""
    title: Text = ""
    """What the rule is for, in one line."""
    level: Literal["hard", "soft", "advisory"] = "hard"
    """How firm a deny or require is: hard, soft (a waiver may lift it), advisory (never blocks)."""
    severity: Literal["critical", "high", "medium", "low", "info"] = "high"
    """How bad a finding is, for people; default from the level."""
    when: Annotated[dict[str, Annotated[Operators, ShortCondition()]], Field(min_length=1)] = _NONE
    """Conditions on attributes: a path and its operators."""
    approvals: Mappings[Annotated[Approval, Short("role")]] = ()
    """Who must say yes; require only."""
    evidence: Mappings[Annotated[Evidence, Short("type")]] = ()
    """Which proofs must exist; require only."""
    budgets: Mappings[Budget] = ()
    """Limits on what may be used; not for a deny."""
    stage: Text = ""
    """The run must stand at this stage or later; require only."""
    message: Text = ""
    """What a person is told; may hold placeholders such as {branch}."""
    fix: Text = ""
    """What to do instead, as a command or a sentence; placeholders are shell-quoted."""


class PolicyPack(Strict):
    """A versioned document of rules."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["PolicyPack"]
    """Which kind of document this is."""
    metadata: PackMetadata
    """What the pack is called."""
    default: Literal["deny", "allow", "inherit"]
    """What holds where no rule says anything; `allow` in org packs only."""
    repositories: Several[Text] = ()
    """Globs over `owner/name` where the whole pack applies; left out: everywhere."""
    enforcement: Annotated[dict[PointName, ModeName], Field(min_length=1)] = _NONE
    """Per point, whether the pack warns or enforces; enforce where not said."""
    declares: Declares = Declares()
    """Names beside the built-in ones."""
    lists: Annotated[dict[Name, Several[Scalar]], Field(min_length=1)] = _NONE
    """Named lists, used as `$name` in the items of selectors and operators."""
    rules: Mappings[Rule] = ()
    """The rules, in any order."""
    rego: Several[Text] = ()
    """Hand-written modules, as paths below the pack's folder; org packs only."""


class Scope(Selectors):
    """Where a waiver holds; must not be everywhere."""

    actions: Actions = ()
    """The actions it holds for."""


class Waiver(Strict):
    """Lifts soft org rules, within a scope, until a time."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["Waiver"]
    """Which kind of document this is."""
    metadata: Metadata
    """What the waiver is called."""
    rules: Several[Annotated[str, Field(pattern=RULE_NAME)]]
    """The rules it lifts, as `pack/rule`."""
    scope: Scope
    """Where it holds."""
    reason: Text
    """Why, in words."""
    ticket: Text
    """Where it was discussed."""
    requested_by: Subject
    """Who asked."""
    approved_by: Several[Subject]
    """Two people of the roster, neither of whom asked."""
    from_: Annotated[Text, Field(alias="from")]
    """From when it holds, RFC 3339 with offset."""
    expires_at: Text
    """Until when it holds, RFC 3339 with offset; at most 90 days later."""
    break_glass: bool = False
    """An emergency: at most 4 hours."""


class Entry(Strict):
    """One subject."""

    roles: Several[Name] = ()
    """Its roles; none where left out."""
    attributes: dict[Name, Text] = _NONE
    """What else is known of it: mail, github, gitlab, ..."""
    keys: Several[Text] = ()
    """Its public keys, to verify votes with."""


class Roster(Strict):
    """Lists subjects with their roles, attributes and keys."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["Roster"]
    """Which kind of document this is."""
    metadata: Metadata
    """What the roster is called."""
    subjects: Annotated[dict[Subject, Entry], Field(min_length=1)]
    """Name (`user:alice`) to what is known."""


class Expectation(Strict):
    """What the decision must be."""

    outcome: OutcomeName = "allow"
    """The outcome."""
    would: OutcomeName = "allow"
    """The outcome with every pack enforced."""
    reason: Name = ""
    """The reason."""
    findings: Several[Annotated[str, Field(pattern=FINDING_NAME)]] = ()
    """Rules that must be among the findings."""
    no_findings: Several[Annotated[str, Field(pattern=FINDING_NAME)]] = ()
    """Rules that must not be."""
    obligations: dict[Text, Literal["met", "unmet"]] = _NONE
    """Obligations that must be there, with their status."""


class Case(Strict):
    """One request and what is expected of its decision."""

    name: Text
    """What the case shows."""
    now: Text = ""
    """The time, RFC 3339 with offset."""
    point: PointName = "run"
    """The point at which it is decided."""
    mode: ModeName = "enforce"
    """Makes every pack enforce or warn, whatever it says itself."""
    facts: dict[str, Any] = _NONE
    """What the host knows."""
    request: dict[str, Any] = _NONE
    """The whole request; instead of the keys below."""
    action: Name = ""
    """The action's name."""
    subject: Subject = ""
    """Who asks."""
    repository: Text = ""
    """The repository, `owner/name`."""
    branch: Text = ""
    """The branch that would change."""
    head_branch: Text = ""
    """The branch the change comes from."""
    files: Annotated[tuple[Annotated[Any, Short("path")], ...], OneOrMore(may_be_empty=True)] = ()
    """Changed files: paths, or objects with path, status, mode, blob."""
    tool: Text = ""
    """The tool, `server:tool`."""
    args: dict[str, Any] = _NONE
    """Arguments of the action."""
    expect: Expectation
    """What is expected."""


class PolicyTest(Strict):
    """Cases that show what a pack does."""

    apiVersion: Literal["orch/v1"]  # noqa: N815  # the key as people know it from Kubernetes
    """The version of this format."""
    kind: Literal["PolicyTest"]
    """Which kind of document this is."""
    metadata: Metadata
    """What the test is called."""
    tests: Mappings[Case]
    """The cases."""


KINDS: dict[str, type[Strict]] = {
    "PolicyPack": PolicyPack,
    "Waiver": Waiver,
    "Roster": Roster,
    "PolicyTest": PolicyTest,
    "Escalation": Escalation,
}
"""Document kinds by their `kind`."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas (draft 2020-12) for editors by name: the document kinds, `orch.yaml` and `operator`."""
    models = KINDS | {"orch.yaml": RepositorySettings, "operator": OperatorSettings}
    return {
        name: {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema(by_alias=True)
        for name, model in models.items()
    }
