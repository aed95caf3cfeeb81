"""Issues and comments on GitHub: made once, found again by their mark, changed and closed."""

from collections.abc import Mapping
from typing import Any

from orchestrator.adapter import Action, Place, Prepared, Receipt
from orchestrator.errors import UsageError
from orchestrator_adapters.github_api import Api, UnknowableError
from orchestrator_adapters.github_deed import (
    Deed,
    delivered,
    mark,
    marked,
    marks_of,
    outward,
    refused,
    some,
    without_marks,
    words,
)
from orchestrator_adapters.parameters import Parameters

_PAGES = 20
"""Of our own issues, newest first."""


def _prepare_issue(given: Parameters, place: Place) -> Prepared:
    properties = {"title": words(given, "title"), **some(
        given,
        body=words(given, "body", "", is_empty_allowed=True),
        labels=given.texts("labels"),
        assignees=given.texts("assignees"),
    )}  # fmt: skip
    if "milestone" in given:
        properties["milestone"] = given.number("milestone")
    return outward(given.repository(place), {}, properties, is_replayable=False)


def _create_issue(api: Api, action: Action, key: str) -> Receipt:
    if action.attempt > 1 and (found := _find_issue(api, action, key)):
        return found
    body = {**action.properties, "body": marked(str(action.properties.get("body", "")), key)}
    return delivered(api.send("POST", "/issues", body).body)


def _find_issue(api: Api, _action: Action, key: str) -> Receipt | None:
    query = {"creator": login} if (login := api.login()) else {}
    rows = api.rows("/issues", pages=_PAGES, state="all", sort="created", direction="desc", **query)
    found = next((row for row in rows if "pull_request" not in row and api.is_ours(row, mark(key))), None)
    return delivered(found) if found else None


def _prepare_update(given: Parameters, place: Place) -> Prepared:
    properties: dict[str, Any] = {"number": given.number("number")}
    if "title" in given:
        properties["title"] = words(given, "title")
    if "body" in given:
        properties["body"] = words(given, "body", is_empty_allowed=True)
    properties |= some(given, labels=given.texts("labels"), assignees=given.texts("assignees"))
    if "milestone" in given:
        properties["milestone"] = given.number("milestone")
    if "state" in given:
        properties["state"] = given.choice("state", "", ("open", "closed"))
    if len(properties) == 1:
        raise UsageError("update_issue changes nothing: give title, body, labels, assignees, milestone or state")
    return outward(given.repository(place), {}, properties, is_replayable=True)


def _update(api: Api, action: Action, key: str) -> Receipt:  # noqa: ARG001  # every deed's shape
    wanted = {name: value for name, value in action.properties.items() if name != "number"}
    place = f"/issues/{action.properties['number']}"
    if "body" in wanted:  # the marks by which an issue is found again are kept
        row = api.get(place)
        if not isinstance(row, dict):
            return refused(f"there is no issue {action.properties['number']}")
        wanted["body"] = "\n\n".join([str(wanted["body"]).rstrip(), *marks_of(str(row.get("body") or ""))]).lstrip("\n")
    return delivered(api.send("PATCH", place, wanted).body)


def _find_update(api: Api, action: Action, key: str) -> Receipt | None:  # noqa: ARG001  # every deed's shape
    row = api.get(f"/issues/{action.properties['number']}")
    return delivered(row) if isinstance(row, dict) and _has(row, action.properties) else None


def _has(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether an issue is as it was wanted."""
    milestone = row.get("milestone")
    seen = {
        "number": row.get("number"),
        "title": row.get("title"),
        "body": without_marks(str(row.get("body") or "")),
        "state": row.get("state"),
        "labels": _names(row.get("labels"), "name"),
        "assignees": _names(row.get("assignees"), "login"),
        "milestone": milestone.get("number") if isinstance(milestone, dict) else None,
    }
    same = dict(wanted)
    if "body" in wanted:
        same["body"] = without_marks(str(wanted["body"]))
    for name in ("labels", "assignees"):
        if name in wanted:
            same[name] = sorted(str(one).lower() for one in wanted[name])
    return all(seen[name] == value for name, value in same.items())


def _names(rows: object, key: str) -> list[str]:
    listed = rows if isinstance(rows, list) else []
    return sorted(str(row.get(key) if isinstance(row, dict) else row).lower() for row in listed)


def _prepare_comment(given: Parameters, place: Place) -> Prepared:
    properties = {"number": given.number("number"), "body": words(given, "body")}
    return outward(given.repository(place), {}, properties, is_replayable=False)


def _comment(api: Api, action: Action, key: str) -> Receipt:
    if action.attempt > 1 and (found := find_comment(api, action, key)):
        return found
    return comment(api, action, key)


def comment(api: Api, action: Action, key: str) -> Receipt:
    """Comment on what the action is about."""
    body = {"body": marked(str(action.properties["body"]), key)}
    return delivered(api.send("POST", f"/issues/{action.properties['number']}/comments", body).body)


def find_comment(api: Api, action: Action, key: str) -> Receipt | None:
    """Return the receipt of our comment with the key; None where there is none.

    Raises:
        UnknowableError: what it would stand below is not there, or has too many comments.
    """
    number = action.properties["number"]
    if api.get(f"/issues/{number}") is None:
        raise UnknowableError(f"there is no issue {number}, or the token may not see it")
    rows = api.rows(f"/issues/{number}/comments")
    found = next((row for row in rows if api.is_ours(row, mark(key))), None)
    return delivered(found) if found else None


DEEDS = {
    "create_issue": Deed("title body labels assignees milestone", _prepare_issue, _create_issue, _find_issue),
    "update_issue": Deed("number title body labels assignees milestone state", _prepare_update, _update, _find_update),
    "comment": Deed("number body", _prepare_comment, _comment, find_comment),
}
"""By action."""
