"""Documents, pages and workflows on GitHub: one file written by the contents API, a build asked for, a run started."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from orchestrator.adapter import Action, Place, Prepared, Receipt
from orchestrator.errors import UsageError
from orchestrator.names import id_problem, shown
from orchestrator_adapters import inside
from orchestrator_adapters.github_api import Api, UnknowableError
from orchestrator_adapters.github_deed import Deed, between, delivered, mark, outward, refused, words
from orchestrator_adapters.parameters import Parameters

KEY_INPUT = "orch:KEY"
"""An input of a workflow with this value is sent as `orch:` and the key, so that the run can be found by its name."""
_TRAILER = "Orch-Key"
_MOST_BYTES = 20 * 1024 * 1024
"""Largest document; GitHub takes little more by this way."""
_PAGES = 10


def _content(given: Parameters, place: Place) -> tuple[str, bytes, dict[str, Any]]:
    """Return a document's path, its content, and where the content is."""
    if ("source" in given) == ("content" in given):
        raise UsageError("the document needs `content` or `source`, one of both")
    if "source" not in given:
        text = given.text("content", is_empty_allowed=True)
        return given.path(given.text("path")), text.encode(), {"content": text}
    source = given.path(given.text("source"), "source")
    return given.path(given.text("path", source)), inside.read(place.root, source)[0], {"source": source}


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def _prepare_document(given: Parameters, place: Place) -> Prepared:
    path, data, where = _content(given, place)
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{shown(path)} has {len(data):,} bytes; expected at most {_MOST_BYTES:,}")
    message = words(given, "message", f"Write {path}")
    if f"{_TRAILER.lower()}:" in message.lower():
        raise UsageError(f"the message has a line `{_TRAILER}:`; expected none, orch writes it")
    resource = {"branch": given.branch(), "files": [{"path": path, "mode": "100644", "blob": _blob(data)}]}
    properties = {"path": path, "message": message}
    return outward(given.repository(place), resource, properties, is_replayable=True, fixed=where)


def _write(api: Api, action: Action, key: str) -> Receipt:
    branch, file = _target(action)
    place = f"/contents/{quote(file['path'])}"
    fixed = action.fixed
    data = inside.read(action.place.root, fixed["source"])[0] if "source" in fixed else fixed["content"].encode()
    if _blob(data) != file["blob"]:
        return refused(f"{shown(file['path'])} changed after it was decided")
    there = api.get(place, ref=branch)
    if isinstance(there, list) or (isinstance(there, dict) and there.get("type") != "file"):
        return refused(f"{shown(file['path'])} is no plain file on {branch}")
    if there is not None and there["sha"] == file["blob"]:
        return delivered(there, "the branch has this content already")
    body = {
        "message": f"{str(action.properties['message']).strip()}\n\n{_TRAILER}: {key}\n",
        "content": base64.b64encode(data).decode("ascii"),
        "branch": branch,
        **({"sha": there["sha"]} if there is not None else {}),
    }
    answer = api.send("PUT", place, body).body
    return delivered(answer["content"], commit=answer["commit"]["sha"])


def _target(action: Action) -> tuple[str, Mapping[str, Any]]:
    resource = action.resource["properties"]
    return str(resource["branch"]), resource["files"][0]


def _find_document(api: Api, action: Action, key: str) -> Receipt | None:
    """Return the receipt of a content that is there, or of the commit with the key that somebody wrote over since."""
    branch, file = _target(action)
    there = api.get(f"/contents/{quote(file['path'])}", ref=branch)
    if isinstance(there, dict) and there.get("sha") == file["blob"]:
        return delivered(there)
    rows = api.rows("/commits", pages=_PAGES, sha=branch, path=file["path"])
    found = next((row for row in rows if f"{_TRAILER}: {key}" in row["commit"]["message"].splitlines()), None)
    return delivered(found, commit=found["sha"]) if found else None


def _prepare_page(given: Parameters, place: Place) -> Prepared:
    if any(name in given for name in ("path", "content", "source")):
        return _prepare_document(given, place)
    branch = given.branch()
    commit = between(branch, branch, given.text("commit") if "commit" in given else "", place).commit
    properties = {"commit": commit} if commit else {}
    return outward(given.repository(place), {"branch": branch}, properties, is_replayable=True)


def _publish_page(api: Api, action: Action, key: str) -> Receipt:
    """Write a page into the branch that pages are made of, which GitHub then builds; or ask for a build of it."""
    page = api.get("/pages")
    if not isinstance(page, dict):
        return refused("the repository has no pages, or the token may not see them")
    branch, source = str(action.resource["properties"]["branch"]), page.get("source")
    from_branch = source.get("branch") if isinstance(source, dict) else None
    if from_branch != branch:
        return refused(f"pages are made of {shown(from_branch)}, and {shown(branch)} was decided about")
    if "files" in action.resource["properties"]:
        receipt = _write(api, action, key)
        return receipt._replace(outputs={**receipt.outputs, "page": page.get("html_url")})
    commit = _head(api, branch)
    if commit != action.properties.get("commit", commit):
        return refused(f"{shown(branch)} is {commit[:12]}, and {action.properties['commit'][:12]} was decided about")
    if action.attempt > 1 and (found := _find_build(api, commit)):
        return found
    return delivered(api.send("POST", "/pages/builds").body, page=page.get("html_url"), commit=commit)


def _head(api: Api, branch: str) -> str:
    ref = api.get(f"/git/ref/heads/{quote(branch)}")
    if not isinstance(ref, dict):
        raise UnknowableError(f"there is no branch {shown(branch)}, or the token may not see it")
    return str(ref["object"]["sha"])


def _find_page(api: Api, action: Action, key: str) -> Receipt | None:
    if "files" in action.resource["properties"]:
        return _find_document(api, action, key)
    return _find_build(api, action.properties.get("commit") or _head(api, action.resource["properties"]["branch"]))


def _find_build(api: Api, commit: str) -> Receipt | None:
    found = next((row for row in api.rows("/pages/builds", pages=_PAGES) if row.get("commit") == commit), None)
    return delivered(found, commit=commit) if found and found.get("status") != "errored" else None


def _prepare_dispatch(given: Parameters, place: Place) -> Prepared:
    workflow, inputs = given.text("workflow"), given.mapping("inputs")
    if "/" in workflow or id_problem(workflow):
        raise UsageError(f"the workflow is {shown(workflow)}; expected its file's name, such as ci.yml, or its number")
    texts = {name: _input(name, value) for name, value in inputs.items()}
    properties = {"workflow": workflow, **({"inputs": texts} if texts else {})}
    return outward(given.repository(place), {"branch": given.branch()}, properties, is_replayable=False)


def _input(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise UsageError(f"the input {shown(name)} is {shown(value)}; expected a text, a number, true or false")


def _dispatch(api: Api, action: Action, key: str) -> Receipt:
    if action.attempt > 1 and KEY_INPUT in action.properties.get("inputs", {}).values():
        found = _find_run(api, action, key)
        if found:
            return found
    inputs = action.properties.get("inputs", {})
    sent = {name: f"orch:{key}" if value == KEY_INPUT else action.place.reveal(value) for name, value in inputs.items()}
    body = {"ref": action.resource["properties"]["branch"], **({"inputs": sent} if sent else {})}
    answer = api.send("POST", f"/actions/workflows/{quote(action.properties['workflow'])}/dispatches", body).body
    return delivered(answer if isinstance(answer, dict) else {}, workflow=action.properties["workflow"])


def _find_run(api: Api, action: Action, key: str) -> Receipt | None:
    """Return the receipt of the run whose name holds the key.

    Raises:
        UnknowableError: none does; where no input carries the key, none could.
    """
    workflow = quote(action.properties["workflow"])
    if KEY_INPUT in action.properties.get("inputs", {}).values():
        query = {"event": "workflow_dispatch", "branch": str(action.resource["properties"]["branch"])}
        for row in api.rows(f"/actions/workflows/{workflow}/runs", "workflow_runs", pages=_PAGES, **query):
            if f"orch:{key}" in str(row.get("display_title")) or mark(key) in str(row.get("display_title")):
                return delivered(row, workflow=action.properties["workflow"])
    raise UnknowableError("no run's name holds the key")


DEEDS = {
    "write_document": Deed("branch path content source message", _prepare_document, _write, _find_document),
    "publish_page": Deed("branch path content source message commit", _prepare_page, _publish_page, _find_page),
    "dispatch_workflow": Deed("branch workflow inputs", _prepare_dispatch, _dispatch, _find_run),
}
"""By action."""
