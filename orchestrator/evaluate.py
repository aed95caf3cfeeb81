"""Evaluates: from what a caller typed, piped or runs in (a CI) to decisions by the policy of this place.

Joins the stages up to `decide` for `orch evaluate`; shows nothing and executes nothing.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import clock, reading, request
from orchestrator.asker import Asker
from orchestrator.catalogue import CATALOGUE
from orchestrator.choices import Mode, Point
from orchestrator.decide import Circumstances, Policy, Question
from orchestrator.decision import Decision
from orchestrator.errors import UsageError
from orchestrator.load import load
from orchestrator.names import id_problem, shown
from orchestrator.place import here
from orchestrator.record import Recording
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.change import Change

_STATED_FACTS = "the facts came from a file"
_STATED_CHANGE = "the change was stated, not read from git"
_STATED_TIME = "the time was stated"


class Asked(NamedTuple):
    """What the caller asked for, as typed."""

    source: str | None = None
    """A file of requests, `-` for standard input; None when flags or the CI make the request."""
    flags: request.Flags | None = None
    """The request that flags describe; its repository and subject are filled in here where they were left out."""
    files_from: str | None = None
    """A file that lists paths, one a line (or NUL between them); `-` for standard input."""
    change: str | None = None
    """`BASE..HEAD` of git."""
    facts: str | None = None
    """A file of facts, JSON or YAML."""
    now: str | None = None
    """RFC 3339."""
    override: Mode | None = None
    all_paths: bool = False
    one_shot: bool = False
    """Leave no sidecar behind."""
    is_recorded: bool = True
    """Write the decisions into the ledger, and read there what is known."""


class Evaluation(NamedTuple):
    """Decisions to come, and what is worth saying beside them."""

    decisions: Iterator[Decision]
    """In the order of the requests; asked for as they are read."""
    is_single: bool
    """Exactly one request was asked."""
    notes: tuple[str, ...]
    """For stderr."""
    explanations: Callable[[Decision], str]
    """The text of `--explain` for a decision just given."""


def evaluate(
    asked: Asked, settings: Settings, *, cwd: Path | None = None, environ: Mapping[str, str] | None = None
) -> Evaluation:
    """Return the decisions on what was asked.

    Without a file and without flags, inside a CI, the request is what the CI's event stands for.

    Raises:
        UsageError: nothing was asked, or it cannot be read.
        PackError: a pack or configuration is wrong.
        DecisionError: there is no engine to trust.

    Source: 001, "Policy Engine"; "Policy warn-only".
    """
    is_event = not asked.source and not asked.flags
    given = os.environ if environ is None else environ
    place = Asker.of(settings, cwd or here(), given, change=asked.change, is_event=is_event)
    loaded = load(place.settings, cwd=place.cwd, base_commit=place.base_commit, one_shot=asked.one_shot)
    policy = Policy.of(loaded)
    circumstances = Circumstances(
        point=place.settings.point or (Point.CI if place.ci else Point.RUN),
        override=asked.override,
        now_ns=_time(asked.now),
        all_paths=asked.all_paths,
    )
    recording = Recording.begin(
        place.settings, place.run(policy.roster), policy, circumstances.point, is_wanted=asked.is_recorded
    )
    place = place.within(recording.repository)
    facts = place.facts(policy.roster) | (reading.facts(asked.facts) if asked.facts else {})
    claims = _claims_of(asked)
    questions, is_single = _questions(asked, place, policy.roster, facts, claims)
    knowing = (question._replace(known=recording.known) for question in questions)
    return Evaluation(
        decisions=recording.recorded(policy.decide_many(knowing, circumstances)),
        is_single=is_single,
        notes=(*loaded.notes, *_notes(asked, place)),
        explanations=lambda decision: _explained(
            policy, Question(decision.request, facts, known=recording.known), circumstances
        ),
    )


def _explained(policy: Policy, question: Question, circumstances: Circumstances) -> str:
    from orchestrator.explain import explanation

    return explanation(policy.explain(question, circumstances))


def _notes(asked: Asked, place: Asker) -> Iterator[str]:
    """Yield what is easily overlooked in what was asked."""
    if place.change is not None and not place.change.files:
        yield "nothing differs in this range; changes that are not committed are not looked at"
    flags = asked.flags
    if flags and place.change is None and not flags.files and not asked.files_from:
        known = CATALOGUE.get(flags.action)
        if known is not None and "files" in known.has:
            yield "no files were named, so every rule about files counts; add --file or --from-git"


def _claims_of(asked: Asked) -> tuple[str, ...]:
    """Return what nobody but the asker vouches for in every request."""
    stated = ((asked.facts, _STATED_FACTS), (asked.now, _STATED_TIME))
    return tuple(claim for given, claim in stated if given)


def _questions(
    asked: Asked, place: Asker, roster: Mapping[str, Any], facts: Mapping[str, Any], claims: tuple[str, ...]
) -> tuple[Iterator[Question], bool]:
    """Return the questions and whether there is exactly one."""
    host = place.subject(roster)
    if asked.source is not None:
        values, is_single = reading.requests(asked.source)
    else:
        values, is_single = iter([("", _from_flags(asked, place, host))]), True
    change = place.change
    has_read = change is not None

    def questions() -> Iterator[Question]:
        for label, value in values:
            asked_for = _with_change(value, change) if change is not None and asked.source is not None else value
            stated = _claims(asked_for, host, asked, place, has_read=has_read)
            yield Question(asked_for, facts, (*claims, *stated), label)

    return questions(), is_single


def _claims(  # a request, not yet checked
    value: Any,  # noqa: ANN401
    host: str,
    asked: Asked,
    place: Asker,
    *,
    has_read: bool,
) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    name = request.subject_name(value)
    if name and name != host:
        yield f"the subject is {shown(name) if id_problem(name) else name}, and {host} asks"
    resource = value.get("resource")
    properties = resource.get("properties") if isinstance(resource, dict) else None
    if isinstance(properties, dict) and properties.get("files") and not has_read:
        yield _STATED_CHANGE
    if isinstance(properties, dict) and place.change is not None:
        yield from _stated_branches(value, properties, asked, place)
    known = place.settings.repository
    if isinstance(resource, dict) and resource.get("type") == "repository" and known:
        named = resource.get("id")
        if isinstance(named, str) and named.lower() != known.lower():
            yield f"the request is about {shown(named) if id_problem(named) else named}, and this is {known}"


def _stated_branches(value: dict[str, Any], properties: dict[str, Any], asked: Asked, place: Asker) -> Iterator[str]:
    """Branches that neither git nor the CI named: a rule on branches could be dodged by stating another."""
    change, action = place.change, value.get("action")
    onto = isinstance(action, dict) and action.get("name") in {"open_pr", "merge_pr"}
    assert change is not None  # noqa: S101  # the caller looked
    known = {"branch": change.base_branch if onto else change.head_branch, "head_branch": change.head_branch}
    if place.ci and not asked.source and not asked.flags:
        known = {"branch": place.ci.branch, "head_branch": place.ci.head_branch}
    for name, expected in known.items():
        if properties.get(name) is not None and properties[name] != expected:
            yield f"the {name.replace('_', ' ')} was stated, not read from git"


def _with_change(value: Any, change: "Change") -> Any:  # noqa: ANN401  # a request, not yet checked
    """Put the change that git shows into a request of a file; what it says itself of files is replaced."""
    if not isinstance(value, dict) or not isinstance(value.get("resource"), dict):
        return value
    resource = value["resource"]
    properties = resource.get("properties", {})
    if not isinstance(properties, dict):
        return value
    return {**value, "resource": {**resource, "properties": {**properties, "files": list(change.files)}}}


def _from_flags(asked: Asked, place: Asker, host: str) -> dict[str, Any]:
    given, context, change = asked.flags, place.ci, place.change
    if given is None:
        if context is None or context.action is None:
            raise UsageError(
                "nothing was asked: neither a file, nor --action, nor a CI's pull request",
                advice="orch evaluate request.json, or orch evaluate --action open_pr --repo owner/name --branch main",
            )
        given = request.Flags(context.action, "", branch=context.branch, head_branch=context.head_branch)
    if asked.files_from is not None:
        given = given._replace(files=(*(given.files or ()), *reading.paths(asked.files_from)))
    if change is not None:
        if given.files:
            raise UsageError(
                "files are named twice: by --from-git and by --file or --files-from", advice="leave one out"
            )
        given = given._replace(files=change.files, head_branch=given.head_branch or change.head_branch)
        if given.action in {"open_pr", "merge_pr"}:
            given = given._replace(branch=given.branch or change.base_branch)
    return request.build(
        given._replace(subject=given.subject or host, repository=given.repository or place.settings.repository)
    )


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return clock.parse_time(text)
    except ValueError as error:
        raise UsageError(f"--now: {error}", advice="for example --now 2026-01-31T12:00:00Z") from error
