"""Pull requests on GitHub: opened for the change that was decided, merged at the commit that was decided, closed."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from orchestrator.adapter import Action, Delivery, ErrorClass, Place, Prepared, Receipt
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator_adapters.github_api import Api, ApiError, UnknowableError
from orchestrator_adapters.github_deed import (
    Deed,
    between,
    delivered,
    mark,
    marked,
    moved,
    outward,
    refused,
    some,
    words,
)
from orchestrator_adapters.github_issues import comment, find_comment
from orchestrator_adapters.github_people import there
from orchestrator_adapters.parameters import Parameters

_METHODS = ("merge", "squash", "rebase")
_INVALID, _NOT_NOW = 422, frozenset({405, 409})


class _Change(NamedTuple):
    """What a pull request would bring."""

    commit: str
    """The head; "" where nobody knows it."""
    resource: dict[str, Any]
    """`properties` of the resource."""
    fixed: dict[str, Any]


def _change(given: Parameters, place: Place, head: str, *, must_be_known: bool = False) -> _Change:
    """Return the change from `head` onto `branch`; who wrote what the checkout does not hold, GitHub is asked.

    Raises:
        UsageError: a parameter is wrong, or the head has to be known here, and is not.
        AdapterError: GitHub has to be asked, and cannot be now.
    """
    base = given.branch()
    resource: dict[str, Any] = {"branch": base, **({"head_branch": head} if head else {})}
    change = between(base, head, given.text("commit") if "commit" in given else "", place)
    if must_be_known and not change.commit:
        raise UsageError(
            f"the checkout does not know the branch {shown(head)}, so nobody knows what would be merged",
            advice="fetch it, or give the commit id of the pull request's head as `commit`",
        )
    if change.files is not None:
        return _Change(change.commit, resource | {"files": change.files}, {"merge_base": change.merge_base})
    if not place.may_ask:
        return _Change(change.commit, resource, {"merge_base": change.merge_base, "contributors": None})
    seen = there(base, head, change.commit, given.repository(place), place)
    people = None if seen.people is None else list(seen.people)
    return _Change(seen.commit, resource, {"merge_base": seen.merge_base, "contributors": people})


def _prepare_open(given: Parameters, place: Place) -> Prepared:
    if given.branch() == given.branch("head_branch"):
        raise UsageError("open_pr has one branch for both ends; expected `head_branch` other than `branch`")
    properties: dict[str, Any] = {"title": words(given, "title")}
    properties |= some(
        given,
        body=words(given, "body", "", is_empty_allowed=True),
        draft=given.flag("draft"),
        labels=given.texts("labels"),
        assignees=given.texts("assignees"),
        reviewers=given.texts("reviewers"),
    )
    change = _change(given, place, given.branch("head_branch"))
    if change.commit:
        properties["commit"] = change.commit
    return outward(given.repository(place), change.resource, properties, is_replayable=True, fixed=change.fixed)


def _open(api: Api, action: Action, key: str) -> Receipt:
    properties, resource = action.properties, action.resource["properties"]
    base, head = str(resource["branch"]), str(resource["head_branch"])
    if action.attempt > 1 and (found := _find_open(api, action, key)):
        return found
    if commit := properties.get("commit"):
        seen = api.get(f"/git/ref/heads/{quote(head)}")
        at = seen["object"]["sha"] if isinstance(seen, dict) else ""
        if at != commit:
            return refused(f"{head} is {at[:12] or 'not there'} on GitHub, and {commit[:12]} was decided about")
        if problem := moved(api, base, str(commit), str(action.fixed["merge_base"])):
            return refused(problem)
    body = {
        "title": properties["title"],
        "head": head,
        "base": base,
        "body": marked(str(properties.get("body", "")), key),
        "draft": bool(properties.get("draft", False)),
    }
    try:
        row = api.send("POST", "/pulls", body).body
    except ApiError as error:
        if error.status == _INVALID and "already exists" in str(error) and (found := _find_open(api, action, key)):
            return found
        raise
    return _dressed(api, row, properties)


def _dressed(api: Api, row: Mapping[str, Any], properties: Mapping[str, Any]) -> Receipt:
    """Return the receipt of a pull request that is open, after adding what GitHub takes by further requests."""
    number, missing = row["number"], []
    for name, place in (
        ("labels", f"/issues/{number}/labels"),
        ("assignees", f"/issues/{number}/assignees"),
        ("reviewers", f"/pulls/{number}/requested_reviewers"),
    ):
        if properties.get(name):
            try:
                api.send("POST", place, {name: properties[name]}, is_first=False)
            except ApiError as error:
                missing.append(f"{name}: {error}")
    detail = f"opened, but not with its {'; '.join(missing)}" if missing else ""
    return delivered(row, detail, **_commits(row))


def _commits(row: Mapping[str, Any]) -> dict[str, Any]:
    head = row.get("head")
    return {"commit": head["sha"]} if isinstance(head, dict) and "sha" in head else {}


def _find_open(api: Api, action: Action, key: str) -> Receipt | None:
    resource = action.resource["properties"]
    owner = str(action.resource["id"]).split("/")[0]
    rows = api.rows("/pulls", state="all", head=f"{owner}:{resource['head_branch']}", base=str(resource["branch"]))
    found = next((row for row in rows if api.is_ours(row, mark(key))), None)
    return delivered(found, **_commits(found)) if found else None


def _prepare_merge(given: Parameters, place: Place) -> Prepared:
    head = given.branch("head_branch") if "head_branch" in given else ""
    if not head and "commit" not in given:
        raise UsageError("merge_pr needs `commit` or `head_branch`: what is merged is what was decided about")
    properties = {
        "number": given.number("number"),
        "method": given.choice("method", "merge", _METHODS),
        **some(given, title=words(given, "title", ""), body=words(given, "body", "", is_empty_allowed=True)),
    }
    change = _change(given, place, head, must_be_known=True)
    properties["commit"] = change.commit
    return outward(given.repository(place), change.resource, properties, is_replayable=True, fixed=change.fixed)


def _merge(api: Api, action: Action, key: str) -> Receipt:
    properties = action.properties
    if found := _find_merge(api, action, key):
        return found
    row = _pull(api, action)
    if problem := _not_as_decided(api, row, action):
        return refused(problem)
    body = {"sha": properties["commit"], "merge_method": properties["method"]}
    texts = {"title": "commit_title", "body": "commit_message"}
    body |= {theirs: properties[ours] for ours, theirs in texts.items() if ours in properties}
    try:
        answer = api.send("PUT", f"/pulls/{properties['number']}/merge", body).body
    except ApiError as error:
        if error.status in _NOT_NOW and "Base branch was modified" in str(error):
            return Receipt(Delivery.RETRYABLE, detail=str(error), error_class=ErrorClass.TRANSIENT)
        raise
    return delivered(row, sha=answer.get("sha"), commit=properties["commit"], state="merged")


def _not_as_decided(api: Api, row: Mapping[str, Any], action: Action) -> str:
    """Return why a pull request is not what the merge was decided about; "" where it is."""
    base, commit = str(action.resource["properties"]["branch"]), str(action.properties["commit"])
    if row["base"]["ref"] != base:
        return f"it would be merged into {shown(row['base']['ref'])}, and {shown(base)} was decided about"
    if row["head"]["sha"] != commit:
        return f"its head is {row['head']['sha'][:12]}, and {commit[:12]} was decided about"
    if row["state"] != "open":
        return "it is closed"
    return moved(api, base, commit, str(action.fixed["merge_base"]))


def _find_merge(api: Api, action: Action, key: str) -> Receipt | None:  # noqa: ARG001  # every deed's shape
    row = _pull(api, action)
    if not row.get("merged") or row["head"]["sha"] != action.properties["commit"]:
        return None
    return delivered(row, sha=row.get("merge_commit_sha"), commit=row["head"]["sha"], state="merged")


def _pull(api: Api, action: Action) -> dict[str, Any]:
    number = action.properties["number"]
    row = api.get(f"/pulls/{number}")
    if not isinstance(row, dict):
        raise UnknowableError(f"there is no pull request {number}, or the token may not see it")
    return row


def _prepare_close(given: Parameters, place: Place) -> Prepared:
    resource = {name: given.branch(name) for name in ("branch", "head_branch") if name in given}
    properties = {"number": given.number("number"), **({"body": words(given, "body")} if "body" in given else {})}
    return outward(given.repository(place), resource, properties, is_replayable="body" not in given)


def _close(api: Api, action: Action, key: str) -> Receipt:
    row, resource = _pull(api, action), action.resource["properties"]
    if row.get("merged"):
        return refused("it was merged")
    for end, name in (("base", "branch"), ("head", "head_branch")):
        if name in resource and row[end]["ref"] != resource[name]:
            return refused(f"its {name} is {shown(row[end]['ref'])}, and {shown(resource[name])} was decided about")
    if "body" in action.properties and not (action.attempt > 1 and find_comment(api, action, key)):
        comment(api, action, key)
    is_first = "body" not in action.properties
    closed = api.send("PATCH", f"/pulls/{action.properties['number']}", {"state": "closed"}, is_first=is_first)
    return delivered(closed.body)


def _find_close(api: Api, action: Action, key: str) -> Receipt | None:
    row = _pull(api, action)
    if row["state"] != "closed" or row.get("merged"):
        return None
    if "body" in action.properties and find_comment(api, action, key) is None:
        return None
    return delivered(row)


DEEDS = {
    "open_pr": Deed(
        "branch head_branch commit title body draft labels assignees reviewers", _prepare_open, _open, _find_open
    ),
    "merge_pr": Deed("branch head_branch commit number method title body", _prepare_merge, _merge, _find_merge),
    "close_pr": Deed("branch head_branch number body", _prepare_close, _close, _find_close),
}
"""By action."""
