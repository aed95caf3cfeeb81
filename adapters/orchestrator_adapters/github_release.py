"""Releases on GitHub: made as a draft, filled with the files that were decided about, and only then published."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from orchestrator.adapter import Action, Place, Prepared, Receipt
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator_adapters import inside
from orchestrator_adapters.github_api import Api
from orchestrator_adapters.github_deed import Deed, between, delivered, mark, marked, outward, refused, some, words
from orchestrator_adapters.parameters import Parameters

_PAGES = 10
_READ_BYTES = 1024 * 1024
_MOST_BYTES = 2 * 1024**3
"""Largest asset that GitHub takes."""
_UPLOADED = "uploaded"


def _prepare(given: Parameters, place: Place) -> Prepared:
    commit = between("", "", given.text("commit", "HEAD"), place).commit
    assets = [_asset(given.path(path, "assets"), place) for path in given.texts("assets")]
    names = [one["name"] for one in assets]
    if len(names) != len(set(names)):
        raise UsageError("two assets have one name; expected a name once")
    tag = given.tag()
    properties = {
        "tag": tag,
        "commit": commit,
        **some(
            given,
            name=words(given, "name", ""),
            body=words(given, "body", "", is_empty_allowed=True),
            draft=given.flag("draft"),
            prerelease=given.flag("prerelease"),
        ),
    }
    resource: dict[str, Any] = {"branch": given.branch()} if "branch" in given else {}
    if assets:
        properties["assets"] = [{name: one[name] for name in ("name", "sha256", "size")} for one in assets]
        resource["files"] = [{"path": one["path"], "blob": one["sha256"]} for one in assets]
    fixed = {"paths": [one["path"] for one in assets]}
    return outward(given.repository(place), resource, properties, is_replayable=False, fixed=fixed)


def _asset(path: str, place: Place) -> dict[str, Any]:
    digest, size = inside.digest(place.root, path)
    if not 0 < size <= _MOST_BYTES:
        raise UsageError(f"the asset {shown(path)} has {size:,} bytes; expected 1 to {_MOST_BYTES:,}")
    return {"path": path, "name": path.rpartition("/")[2], "sha256": digest, "size": size}


def _perform(api: Api, action: Action, key: str) -> Receipt:
    properties = action.properties
    tag, is_draft, assets = str(properties["tag"]), bool(properties.get("draft")), properties.get("assets", [])
    row = _published(api, tag)
    if row is not None and not _is_ours(api, row, key):
        return refused(f"there is a release of {shown(tag)} already")
    if problem := _other_commit(api, tag, str(properties["commit"])):
        return refused(problem)
    if row is None and action.attempt > 1:
        row = _draft(api, key)
    if row is None:
        row = api.send("POST", "/releases", _body(properties, key, is_draft=is_draft or bool(assets))).body
    if problem := _fill(api, action, row):
        return refused(problem)
    if row["draft"] and not is_draft:
        row = api.send("PATCH", f"/releases/{row['id']}", {"draft": False}).body
    return _delivered(row, assets)


def _body(properties: Mapping[str, Any], key: str, *, is_draft: bool) -> dict[str, Any]:
    return {
        "tag_name": properties["tag"],
        "target_commitish": properties["commit"],
        "name": properties.get("name") or properties["tag"],
        "body": marked(str(properties.get("body", "")), key),
        "draft": is_draft,
        "prerelease": bool(properties.get("prerelease")),
    }


def _published(api: Api, tag: str) -> dict[str, Any] | None:
    row = api.get(f"/releases/tags/{quote(tag)}")
    return row if isinstance(row, dict) else None


def _draft(api: Api, key: str) -> dict[str, Any] | None:
    rows = api.rows("/releases", pages=_PAGES)
    return next((row for row in rows if row.get("draft") and _is_ours(api, row, key)), None)


def _is_ours(api: Api, row: Mapping[str, Any], key: str) -> bool:
    """Say whether a release is of this key; who may make releases may write, so no stranger is among them."""
    return mark(key) in str(row.get("body") or "") if not api.login() else api.is_ours(row, mark(key))


def _other_commit(api: Api, tag: str, commit: str) -> str:
    """Return why a tag that is there already would publish something else; "" where it would not."""
    ref = api.get(f"/git/ref/tags/{quote(tag)}")
    if not isinstance(ref, dict):
        return ""
    at = ref["object"]
    if at.get("type") == "tag":
        found = api.get(f"/git/tags/{at['sha']}")
        at = found["object"] if isinstance(found, dict) else at
    if at["sha"] == commit:
        return ""
    return f"the tag {shown(tag)} is {at['sha'][:12]} on GitHub, and {commit[:12]} was decided about"


def _fill(api: Api, action: Action, row: Mapping[str, Any]) -> str:
    """Upload the assets that a release lacks, and return why that cannot be done; "" where all are there."""
    held = {one["name"]: one for one in api.rows(f"/releases/{row['id']}/assets")}
    wanted = zip(action.properties.get("assets", []), action.fixed["paths"], strict=True)
    for asset, path in wanted:
        there = held.get(asset["name"])
        if there is not None and _is_whole(there, asset):
            continue
        if there is not None:  # what a lost upload left behind
            api.send("DELETE", f"/releases/assets/{there['id']}")
        if problem := _upload(api, action, row, asset, path):
            return problem
    return ""


def _is_whole(there: Mapping[str, Any], asset: Mapping[str, Any]) -> bool:
    is_same = there.get("digest") in {None, f"sha256:{asset['sha256']}"}
    return there.get("state") == _UPLOADED and there.get("size") == asset["size"] and is_same


def _upload(api: Api, action: Action, row: Mapping[str, Any], asset: Mapping[str, Any], path: str) -> str:
    changed = f"the asset {shown(path)} changed after it was decided"
    address = str(row["upload_url"]).partition("{")[0]
    with inside.opened(action.place.root, path) as file:
        if _sha256(file) != asset["sha256"]:
            return changed
        sent = hashlib.sha256()
        made = api.upload(address, asset["name"], _parts(file, sent, asset["size"]), asset["size"]).body
    if sent.hexdigest() != asset["sha256"]:
        api.send("DELETE", f"/releases/assets/{made['id']}")
        return changed
    return ""


def _sha256(file: BinaryIO) -> str:
    hashed = hashlib.sha256()
    while part := file.read(_READ_BYTES):
        hashed.update(part)
    file.seek(0)
    return hashed.hexdigest()


def _parts(file: BinaryIO, sent: "hashlib._Hash", size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes, however long the file is by now."""
    left = size
    while left > 0:
        part = file.read(min(_READ_BYTES, left)) or b"\0" * min(_READ_BYTES, left)
        left -= len(part)
        sent.update(part)
        yield part


def _delivered(row: Mapping[str, Any], assets: object) -> Receipt:
    names = [one["name"] for one in assets] if isinstance(assets, list) else []
    return delivered(row, tag=row["tag_name"], draft=bool(row["draft"]), assets=names)


def _look(api: Api, action: Action, key: str) -> Receipt | None:
    """Return the receipt of a release that is there with all of its assets."""
    properties = action.properties
    row = _published(api, str(properties["tag"]))
    row = row if row is not None and _is_ours(api, row, key) else None
    if row is None and properties.get("draft"):
        row = _draft(api, key)
    if row is None:
        return None
    held = {one["name"]: one for one in api.rows(f"/releases/{row['id']}/assets")}
    assets = properties.get("assets", [])
    if not all(one["name"] in held and _is_whole(held[one["name"]], one) for one in assets):
        return None
    return _delivered(row, assets)


DEEDS = {"publish_release": Deed("branch tag name body draft prerelease assets commit", _prepare, _perform, _look)}
"""By action."""
