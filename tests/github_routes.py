"""GitHub's routes: each function answers one, below `/repos/OWNER/NAME`. Part of `github_server`."""

import base64
import re

from github_rest import Answer, Asked, Rest, Row, blob_id, refused, route

Match = re.Match[str]
_GONE = refused(404, "Not Found")


@route("GET", "")
def _repository(rest: Rest, _asked: Asked, place: str, _: Match) -> Answer:
    name = place.partition("/repos/")[2]
    return Answer(200, {"full_name": name, "default_branch": "main", "node_id": "R_1", "private": False})


@route("GET", "/issues")
def _issues(rest: Rest, asked: Asked, _place: str, _: Match) -> Answer:
    rows: list[Row] = sorted([*rest.issues, *rest.pulls], key=lambda row: int(row["number"]), reverse=True)
    state, creator = asked.query.get("state", "open"), asked.query.get("creator")
    rows = [row for row in rows if state in {"all", row["state"]}]
    rows = [row for row in rows if creator is None or row["user"]["login"] == creator]
    return rest.paged(rows[::-1] if asked.query.get("direction") == "asc" else rows, asked)


@route("POST", "/issues")
def _create_issue(rest: Rest, asked: Asked, place: str, _: Match) -> Answer:
    if not asked.body.get("title"):
        return rest.invalid("title is missing")
    row = rest.new_issue(place, asked.body, "I")
    rest.issues.append(row)
    rest.effects["issue.created"] += 1
    return Answer(201, row)


@route("GET", r"/issues/(\d+)")
def _issue(rest: Rest, _asked: Asked, _place: str, at: Match) -> Answer:
    row = rest.issue_like(at[1])
    return Answer(200, row) if row else _GONE


@route("PATCH", r"/issues/(\d+)")
def _update_issue(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = rest.issue_like(at[1])
    if row is None:
        return _GONE
    _change(row, asked.body)
    rest.effects["issue.updated"] += 1
    return Answer(200, row)


def _change(row: Row, body: Row) -> None:
    row |= {name: body[name] for name in ("title", "body", "state", "state_reason") if name in body}
    if "labels" in body:
        row["labels"] = [{"name": label} for label in body["labels"]]
    if "assignees" in body:
        row["assignees"] = [{"login": login} for login in body["assignees"]]


@route("GET", r"/issues/(\d+)/comments")
def _comments(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    return rest.paged([row for row in rest.comments if row["issue_number"] == int(at[1])], asked)


@route("POST", r"/issues/(\d+)/comments")
def _comment(rest: Rest, asked: Asked, place: str, at: Match) -> Answer:
    if rest.issue_like(at[1]) is None:
        return _GONE
    if not asked.body.get("body"):
        return rest.invalid("body is missing")
    name = rest.new_id()
    row = {
        "id": name,
        "node_id": f"IC_{name}",
        "issue_number": int(at[1]),
        "body": asked.body["body"],
        "user": rest.user(),
        "author_association": "MEMBER",
        "url": f"{place}/issues/comments/{name}",
        "html_url": f"https://github.example/issues/{at[1]}#issuecomment-{name}",
    }
    rest.comments.append(row)
    rest.effects["comment.created"] += 1
    return Answer(201, row)


@route("POST", r"/issues/(\d+)/(labels|assignees)")
def _add_to_issue(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = rest.issue_like(at[1])
    if row is None:
        return _GONE
    key = "name" if at[2] == "labels" else "login"
    held = [one[key] for one in row[at[2]]]
    row[at[2]] += [{key: one} for one in asked.body[at[2]] if one not in held]
    rest.effects["label.added" if at[2] == "labels" else "assignee.added"] += 1
    return Answer(200, row["labels"]) if at[2] == "labels" else Answer(201, row)


@route("GET", "/pulls")
def _pulls(rest: Rest, asked: Asked, _place: str, _: Match) -> Answer:
    state, head, base = (asked.query.get(name) for name in ("state", "head", "base"))
    rows = [row for row in rest.pulls if state in {"all", row["state"]} or (state is None and row["state"] == "open")]
    rows = [row for row in rows if head is None or row["head"]["label"].lower() == head.lower()]
    rows = [row for row in rows if base is None or row["base"]["ref"] == base]
    return rest.paged(rows[::-1], asked)


@route("POST", "/pulls")
def _open(rest: Rest, asked: Asked, place: str, _: Match) -> Answer:
    body = asked.body
    head, base = str(body["head"]).rpartition(":")[2], body["base"]
    owner = place.partition("/repos/")[2].partition("/")[0]
    if head not in rest.branches or base not in rest.branches:
        return rest.invalid("head or base: invalid")
    if any(row["state"] == "open" and row["head"]["ref"] == head and row["base"]["ref"] == base for row in rest.pulls):
        return rest.invalid(f"A pull request already exists for {owner}:{head}.")
    row = rest.new_issue(place, body, "PR") | {
        "draft": bool(body.get("draft")),
        "merged": False,
        "pull_request": {},
        "requested_reviewers": [],
        "head": {"ref": head, "sha": rest.branches[head], "label": f"{owner}:{head}"},
        "base": {"ref": base, "sha": rest.branches[base], "label": f"{owner}:{base}"},
    }
    rest.pulls.append(row)
    rest.effects["pull.opened"] += 1
    return Answer(201, row)


def _pull(rest: Rest, number: str) -> Row | None:
    """Return a pull request; an open one follows its branch."""
    row = rest.found(rest.pulls, "number", int(number))
    if row is not None and row["state"] == "open":
        row["head"]["sha"] = rest.branches.get(row["head"]["ref"], row["head"]["sha"])
    return row


@route("GET", r"/pulls/(\d+)")
def _one_pull(rest: Rest, _asked: Asked, _place: str, at: Match) -> Answer:
    row = _pull(rest, at[1])
    return Answer(200, row) if row else _GONE


@route("PATCH", r"/pulls/(\d+)")
def _update_pull(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = _pull(rest, at[1])
    if row is None:
        return _GONE
    is_closing = row["state"] == "open" and asked.body.get("state") == "closed"
    _change(row, asked.body)
    rest.effects["pull.closed" if is_closing else "pull.updated"] += 1
    return Answer(200, row)


@route("POST", r"/pulls/(\d+)/requested_reviewers")
def _ask_reviewers(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = _pull(rest, at[1])
    if row is None:
        return _GONE
    held = {one["login"] for one in row["requested_reviewers"]}
    row["requested_reviewers"] += [{"login": one} for one in asked.body["reviewers"] if one not in held]
    rest.effects["reviewer.asked"] += 1
    return Answer(201, row)


@route("PUT", r"/pulls/(\d+)/merge")
def _merge(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = _pull(rest, at[1])
    if row is None:
        return _GONE
    if row["merged"] or row["state"] != "open":
        return refused(405, "Pull Request is not mergeable")
    if asked.body.get("sha") not in {None, row["head"]["sha"]}:
        return refused(409, "Head branch was modified. Review and try the merge again.")
    head = row["head"]["sha"]
    sha = rest.commit(rest.files_at(head) if rest.knows(head) else {}, branch=row["base"]["ref"], message="merge")
    row |= {"merged": True, "state": "closed", "merge_commit_sha": sha, "merged_by": rest.user()}
    row["merge_method"] = asked.body.get("merge_method", "merge")
    rest.effects["pull.merged"] += 1
    return Answer(200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


@route("GET", r"/git/ref/(heads|tags)/(.+)")
def _ref(rest: Rest, _asked: Asked, place: str, at: Match) -> Answer:
    sha = (rest.branches if at[1] == "heads" else rest.tags).get(at[2])
    if sha is None:
        return _GONE
    name = f"refs/{at[1]}/{at[2]}"
    return Answer(200, {"ref": name, "url": f"{place}/git/{name}", "object": {"sha": sha, "type": "commit"}})


@route("GET", r"/compare/(.+)\.\.\.(.+)")
def _compare(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    base, head = (rest.branches.get(name, name) for name in (at[1], at[2]))
    if not (rest.knows(base) and rest.knows(head)):
        return _GONE
    before = rest.before(base)
    shared = next((sha for sha in rest.before(head) if sha in before), None)
    if shared is None:
        return refused(404, "No common ancestor")
    new = [rest.row_of(sha) for sha in rest.before(head)[::-1] if sha not in before]
    size, page = int(asked.query.get("per_page", "250")), int(asked.query.get("page", "1"))
    listed = new[(page - 1) * size : page * size]
    return Answer(
        200, {"merge_base_commit": {"sha": shared}, "total_commits": len(new), "commits": listed, "files": []}
    )


@route("GET", "/commits")
def _commits(rest: Rest, asked: Asked, _place: str, _: Match) -> Answer:
    name, path = asked.query.get("sha", "main"), asked.query.get("path")
    found = [(sha, *rest.said_at(sha)) for sha in rest.before(rest.branches.get(name, name))]
    rows = [{"sha": sha, "commit": {"message": text}} for sha, text, paths in found if path is None or path in paths]
    return rest.paged(rows, asked)


@route("GET", r"/contents/(.+)")
def _content(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    name = asked.query.get("ref", "main")
    sha = rest.branches.get(name, name)
    data = rest.files_at(sha).get(at[1]) if rest.knows(sha) else None
    if data is None:
        return _GONE
    shown = base64.encodebytes(data).decode()
    return Answer(200, {"type": "file", "path": at[1], "sha": blob_id(data), "encoding": "base64", "content": shown})


@route("PUT", r"/contents/(.+)")
def _write(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    branch = asked.body.get("branch", "main")
    if branch not in rest.branches:
        return refused(404, f"Branch {branch} not found")
    held = rest.files_at(rest.branches[branch]).get(at[1])
    sha = asked.body.get("sha")
    if held is not None and sha is None:
        return refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if sha is not None and (held is None or sha != blob_id(held)):
        return refused(409, f"{at[1]} does not match {sha}")
    data = rest.decoded(asked.body["content"])
    commit = rest.commit({at[1]: data}, branch=branch, message=asked.body["message"])
    rest.effects["file.written"] += 1
    content = {"path": at[1], "sha": blob_id(data), "html_url": f"https://github.example/blob/{branch}/{at[1]}"}
    body = {"content": content, "commit": {"sha": commit, "html_url": f"https://github.example/commit/{commit}"}}
    return Answer(201 if held is None else 200, body)


@route("GET", "/releases")
def _releases(rest: Rest, asked: Asked, _place: str, _: Match) -> Answer:
    return rest.paged([_with_assets(rest, row) for row in rest.releases[::-1]], asked)


@route("GET", r"/releases/(\d+)")
def _one_release(rest: Rest, _asked: Asked, _place: str, at: Match) -> Answer:
    row = rest.found(rest.releases, "id", int(at[1]))
    return Answer(200, _with_assets(rest, row)) if row else _GONE


@route("GET", r"/releases/tags/(.+)")
def _release_of_tag(rest: Rest, _asked: Asked, _place: str, at: Match) -> Answer:
    row = next((row for row in rest.releases if row["tag_name"] == at[1] and not row["draft"]), None)
    return Answer(200, _with_assets(rest, row)) if row else _GONE


@route("POST", "/releases")
def _release(rest: Rest, asked: Asked, place: str, _at: Match) -> Answer:
    body, is_draft = asked.body, bool(asked.body.get("draft"))
    tag = body["tag_name"]
    if not is_draft and any(row["tag_name"] == tag and not row["draft"] for row in rest.releases):
        error = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
        return refused(422, "Validation Failed", errors=[error])
    name = rest.new_id()
    url, _, repository = place.partition("/repos/")
    uploads = f"{rest.uploads_at or url}/uploads/repos/{repository}"
    row = {
        "id": name,
        "node_id": f"RE_{name}",
        "tag_name": tag,
        "target_commitish": body.get("target_commitish", "main"),
        "name": body.get("name"),
        "body": body.get("body"),
        "draft": is_draft,
        "prerelease": bool(body.get("prerelease")),
        "author": rest.user(),
        "url": f"{place}/releases/{name}",
        "html_url": f"https://github.example/releases/tag/{tag}",
        "upload_url": f"{uploads}/releases/{name}/assets{{?name,label}}",
    }
    rest.releases.append(row)
    rest.effects["release.created"] += 1
    if not is_draft:
        _publish(rest, row)
    return Answer(201, _with_assets(rest, row))


@route("PATCH", r"/releases/(\d+)")
def _update_release(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    row = rest.found(rest.releases, "id", int(at[1]))
    if row is None:
        return _GONE
    was_draft = row["draft"]
    row |= {name: asked.body[name] for name in ("name", "body", "draft", "prerelease") if name in asked.body}
    if was_draft and not row["draft"]:
        _publish(rest, row)
    return Answer(200, _with_assets(rest, row))


def _publish(rest: Rest, row: Row) -> None:
    target: str = row["target_commitish"]
    rest.tags.setdefault(row["tag_name"], rest.branches.get(target, target))
    rest.effects["release.published"] += 1


def _with_assets(rest: Rest, row: Row) -> Row:
    return row | {"assets": [one for one in rest.assets if one["release_id"] == row["id"]]}


@route("POST", r"/releases/(\d+)/assets")
def _upload(rest: Rest, asked: Asked, place: str, at: Match) -> Answer:
    name, release = asked.query["name"], int(at[1])
    if any(one["release_id"] == release and one["name"] == name for one in rest.assets):
        error = {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
        return refused(422, "Validation Failed", errors=[error])
    number = rest.new_id()
    row = {"id": number, "release_id": release, "name": name, "size": len(asked.raw), "state": "uploaded"}
    rest.assets.append(row | {"url": f"{place}/releases/assets/{number}", "digest": f"sha256:{_sha256(asked.raw)}"})
    rest.effects["asset.uploaded"] += 1
    return Answer(201, rest.assets[-1])


@route("GET", r"/releases/(\d+)/assets")
def _assets(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    return rest.paged([one for one in rest.assets if one["release_id"] == int(at[1])], asked)


@route("DELETE", r"/releases/assets/(\d+)")
def _delete_asset(rest: Rest, _asked: Asked, _place: str, at: Match) -> Answer:
    rest.assets[:] = [one for one in rest.assets if one["id"] != int(at[1])]
    return Answer(204)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


@route("POST", r"/actions/workflows/([^/]+)/dispatches")
def _dispatch(rest: Rest, asked: Asked, place: str, at: Match) -> Answer:
    workflow = rest.workflows.get(at[1])
    if workflow is None:
        return _GONE
    inputs = asked.body.get("inputs") or {}
    ref = asked.body["ref"]
    if unknown := sorted(set(inputs) - set(workflow["inputs"])):
        return refused(422, f"Unexpected inputs provided: {unknown}")
    if ref not in rest.branches and ref not in rest.tags:
        return refused(422, f"No ref found for: {ref}")
    name = rest.new_id()
    titles = [str(value) for key, value in inputs.items() if key == workflow.get("title")]
    rest.runs.append(
        {
            "id": name,
            "event": "workflow_dispatch",
            "head_branch": ref,
            "head_sha": rest.branches.get(ref) or rest.tags.get(ref),
            "display_title": titles[0] if titles else at[1],
            "inputs": inputs,
            "workflow": at[1],
            "actor": rest.user(),
            "html_url": f"https://github.example/actions/runs/{name}",
            "url": f"{place}/actions/runs/{name}",
        }
    )
    rest.effects["workflow.dispatched"] += 1
    return Answer(204)


@route("GET", r"/actions/workflows/([^/]+)/runs")
def _runs(rest: Rest, asked: Asked, _place: str, at: Match) -> Answer:
    rows = [row for row in rest.runs[::-1] if row["workflow"] == at[1]]
    rows = [row for row in rows if asked.query.get("branch") in {None, row["head_branch"]}]
    answer = rest.paged(rows, asked)
    return Answer(200, {"total_count": len(rows), "workflow_runs": answer.body}, answer.headers)


@route("GET", "/pages")
def _page(rest: Rest, _asked: Asked, _place: str, _: Match) -> Answer:
    return Answer(200, rest.page) if rest.page else _GONE


@route("POST", "/pages/builds")
def _build(rest: Rest, _asked: Asked, place: str, _: Match) -> Answer:
    if not rest.page:
        return _GONE
    commit = rest.branches.get(rest.page["source"]["branch"], "")
    row = {"url": f"{place}/pages/builds/{rest.new_id()}", "status": "queued", "commit": commit, "pusher": rest.user()}
    rest.builds.append(row)
    rest.effects["page.built"] += 1
    return Answer(201, {"url": row["url"], "status": "queued"})


@route("GET", "/pages/builds")
def _builds(rest: Rest, asked: Asked, _place: str, _: Match) -> Answer:
    return rest.paged(rest.builds[::-1], asked)
