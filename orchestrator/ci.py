"""What a CI's environment says: which change is looked at, onto which branch, by whom. Believes the runner alone.

Names of branches and people are text that strangers chose; the request's own check judges them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.strictjson import parse

_PULL_REQUESTS = frozenset({"pull_request", "pull_request_target"})
_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_MAX_EVENT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CiContext:
    """One job of a CI."""

    provider: str
    """`github` or `gitlab`; the roster's attribute of that name holds logins."""
    repository: str
    """`owner/name` of the repository that would change."""
    event: str
    """What started the job, in the provider's word."""
    action: str | None = None
    """The action to evaluate: open_pr, push_branch or delete_branch; None where the event stands for none."""
    branch: str | None = None
    """The branch that would change; of a pull request, its base."""
    head_branch: str | None = None
    base: str | None = None
    """Where the change begins, as git's range takes it: a commit id, `origin/main` or `empty`."""
    head: str | None = None
    """The commit that is looked at; never the CI's own merge commit."""
    login: str | None = None
    """Who asks: of a pull request its author, else who started the job."""
    trigger: str | None = None
    """Who started the job, or started it again."""
    is_fork: bool = False
    """The change comes from another repository; so its own packs and secrets are not to be had."""
    number: int | None = None
    """The pull request's number."""
    run_id: str | None = None
    server: str | None = None
    """The provider's address."""
    summary: Path | None = None
    """The file that becomes the job's summary page."""


def detect(environ: Mapping[str, str]) -> CiContext | None:
    """Return what the CI that this process runs in says; None outside a known one.

    Raises:
        UsageError: GitHub's event file is missing or broken.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ)
    if environ.get("GITLAB_CI") == "true":
        return _gitlab(environ)
    return None


def subject_for(login: str, provider: str, roster: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of whoever has that login, by the roster; else `github:<login>`, whom no roster lists.

    `roster` is subject name to `{roles, attributes}`. Case does not count. A login that two claim belongs to neither.
    """
    wanted = login.lower() or None
    found = [
        name for name, entry in roster.items() if str(entry.get("attributes", {}).get(provider, "")).lower() == wanted
    ]
    return found[0] if len(found) == 1 else f"{provider}:{login}"


def _github(environ: Mapping[str, str]) -> CiContext:
    event = environ.get("GITHUB_EVENT_NAME", "")
    known: dict[str, Any] = {
        "provider": "github",
        "repository": environ.get("GITHUB_REPOSITORY", ""),
        "event": event,
        "login": environ.get("GITHUB_ACTOR") or None,
        "trigger": environ.get("GITHUB_TRIGGERING_ACTOR") or environ.get("GITHUB_ACTOR") or None,
        "run_id": environ.get("GITHUB_RUN_ID") or None,
        "server": environ.get("GITHUB_SERVER_URL") or None,
        "summary": Path(environ["GITHUB_STEP_SUMMARY"]) if environ.get("GITHUB_STEP_SUMMARY") else None,
    }
    if event in _PULL_REQUESTS:
        return CiContext(**(known | _pull_request(_event(environ), known["repository"])))
    if event == "push":
        return CiContext(**(known | _push(_event(environ), environ.get("GITHUB_REF", ""))))
    if event == "merge_group":
        group = _event(environ).get("merge_group")
        base = _text(group, "base_ref").removeprefix(_HEADS)
        known |= {"action": "merge_pr", "branch": base or None}
        known |= {"base": _text(group, "base_sha") or None, "head": _text(group, "head_sha") or None}
    return CiContext(**known)


def _pull_request(event: dict[str, Any], repository: str) -> dict[str, Any]:
    request = event.get("pull_request")
    base, head, number = _text(request, "base", "sha"), _text(request, "head", "sha"), _at(request, "number")
    if not base or not head:
        message = "the event of this pull request lacks pull_request.base.sha or pull_request.head.sha"
        raise UsageError(message, advice="see that GITHUB_EVENT_PATH is the file that GitHub wrote")
    source = _text(request, "head", "repo", "full_name")  # missing where the fork was deleted
    found: dict[str, Any] = {
        "action": "open_pr",
        "branch": _text(request, "base", "ref"),
        "head_branch": _text(request, "head", "ref"),
        "base": base,
        "head": head,
        "is_fork": source.lower() != repository.lower(),
        "number": number if isinstance(number, int) else None,
    }
    login = _text(request, "user", "login")
    return found | ({"login": login} if login else {})


def _push(event: dict[str, Any], ref: str) -> dict[str, Any]:
    ref = _text(event, "ref") or ref
    if not ref.startswith(_HEADS):
        return {}
    branch = ref.removeprefix(_HEADS)
    if event.get("deleted") is True:
        return {"action": "delete_branch", "branch": branch}
    before, default = _text(event, "before"), _text(event, "repository", "default_branch")
    if not before.strip("0"):
        before = f"origin/{default}" if default and default != branch else "empty"
    return {"action": "push_branch", "branch": branch, "base": before, "head": _text(event, "after") or None}


def _event(environ: Mapping[str, str]) -> dict[str, Any]:
    place = environ.get("GITHUB_EVENT_PATH", "")
    advice = "see that GITHUB_EVENT_PATH is the file that GitHub wrote, or describe the request with flags"
    if not place:
        message = "GITHUB_ACTIONS is set but GITHUB_EVENT_PATH is not"
        raise UsageError(message, advice=advice)
    try:
        with Path(place).open("rb") as opened:
            data = opened.read(_MAX_EVENT_BYTES)
    except (OSError, ValueError) as error:
        message = f"the event file {shown(place)} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(message, advice=advice) from error
    event = parse(data, name=f"the event file {place}")
    if not isinstance(event, dict):
        message = f"the event file {shown(place)} holds {shown(event)}; expected an object"
        raise UsageError(message, advice=advice)
    return event


def _at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: object, *path: str) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""


def _gitlab(environ: Mapping[str, str]) -> CiContext:
    project = environ.get("CI_PROJECT_PATH", "")
    login = environ.get("GITLAB_USER_LOGIN") or None
    known: dict[str, Any] = {
        "provider": "gitlab",
        "repository": project,
        "event": environ.get("CI_PIPELINE_SOURCE", ""),
        "login": login,
        "trigger": login,
        "run_id": environ.get("CI_PIPELINE_ID") or None,
        "server": environ.get("CI_SERVER_URL") or None,
        "head": environ.get("CI_COMMIT_SHA") or None,
    }
    target = environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    if target:
        known |= _merge_request(environ, target, known["head"])
    elif branch := environ.get("CI_COMMIT_BRANCH"):
        before, default = environ.get("CI_COMMIT_BEFORE_SHA", ""), environ.get("CI_DEFAULT_BRANCH", "")
        if not before.strip("0"):
            before = f"origin/{default}" if default and default != branch else "empty"
        known |= {"action": "push_branch", "branch": branch, "base": before}
    return CiContext(**known)


def _merge_request(environ: Mapping[str, str], target: str, head: str | None) -> dict[str, Any]:
    onto = environ.get("CI_MERGE_REQUEST_PROJECT_PATH") or environ.get("CI_PROJECT_PATH", "")
    source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH") or onto
    number = environ.get("CI_MERGE_REQUEST_IID", "")
    return {
        "repository": onto,
        "action": "open_pr",
        "branch": target,
        "head_branch": environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or None,
        "base": environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA")
        or environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA")
        or None,
        "head": environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or head,
        "is_fork": source.lower() != onto.lower(),
        "number": int(number) if number.isascii() and number.isdigit() else None,
    }
