"""The git adapter: branches, tags, documents of the checkout, and pushing a decided commit. See docs/adapters-git.md.

Git is asked by plumbing alone; nothing that the checkout configures runs, and the commit that was decided about is the
one that is used, whatever a branch's name means by then.
"""

import time
from collections.abc import Mapping
from typing import Any

from orchestrator.adapter import Action, Effect, Place, Prepared, Receipt, Wanted
from orchestrator.errors import AdapterError, UsageError
from orchestrator.git import GitError, git, resolve
from orchestrator.names import shown
from orchestrator_adapters import git_commit, git_push
from orchestrator_adapters.git_commit import Document
from orchestrator_adapters.git_ref import absent, checked_out, current, done, move, refused, tip, top
from orchestrator_adapters.parameters import Parameters, refuse_unknown

_SETTINGS = "remote url author committer token username environment"
_PARAMETERS = {
    "create_branch": "branch commit repository",
    "delete_branch": "branch repository",
    "create_tag": "tag commit message repository",
    "write_document": "branch path content documents source message repository",
    "push_branch": "branch commit head_branch force repository",
}
_REPOSITORY = "repository"


class Git:
    """Does what the module says."""

    name = "git"
    actions = frozenset(_PARAMETERS)

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the action with its commits and contents fixed; asks the checkout alone, no remote.

        Raises:
            UsageError: a parameter, or the checkout, is not as it must be.
            AdapterError: something is not configured.
        """
        refuse_unknown(place.settings, "git", _SETTINGS)
        given = Parameters(wanted, _PARAMETERS[wanted.action])
        match wanted.action:
            case "create_branch":
                return _prepare_branch(given, place)
            case "delete_branch":
                return _prepare_deletion(given, place)
            case "create_tag":
                return _prepare_tag(given, place)
            case "write_document":
                return _prepare_document(given, place)
        return git_push.prepare(given, place)

    def perform(self, action: Action, key: str) -> Receipt:
        """Do it, once: a branch is moved only from where it was decided to be."""
        try:
            match action.name:
                case "create_branch" | "create_tag":
                    return _create(action, key)
                case "delete_branch":
                    return _delete(action)
                case "write_document":
                    return _write(action, key)
            return git_push.perform(action)
        except UsageError as error:  # the checkout is no longer as it was; nothing was moved
            return refused(str(error))

    def reconcile(self, action: Action, key: str) -> Receipt | None:
        """Look at the checkout, or ask the remote, for what became of an attempt; None where neither can be asked."""
        try:
            return _looked(action, key)
        except (AdapterError, UsageError):
            return None


def _looked(action: Action, key: str) -> Receipt | None:
    match action.name:
        case "create_branch" | "create_tag":
            return _created(action, key) or absent(f"{_ref(action)} is not there")
        case "delete_branch":
            gone = not tip(_ref(action), action.place.root)
            return done(_ref(action), {}) if gone else absent(f"{_ref(action)} is still there")
        case "write_document":
            branch = str(action.resource["properties"]["branch"])
            made = git_commit.made_before(branch, key, action.place.root)
            return _written(action, made) if made else absent("no commit has the key")
    return git_push.reconcile(action)


def _prepared(repository: str, resource: Mapping[str, Any], properties: Mapping[str, Any], **fixed: object) -> Prepared:
    shape = {"type": _REPOSITORY, "id": repository, "properties": dict(resource)}
    return Prepared(shape, dict(properties), Effect.WRITE, is_replayable=True, fixed=fixed)


def _prepare_branch(given: Parameters, place: Place) -> Prepared:
    commit = resolve(given.text("commit", "HEAD"), place.root)
    return _prepared(given.repository_or_none(place), {"branch": given.branch()}, {"commit": commit})


def _prepare_deletion(given: Parameters, place: Place) -> Prepared:
    branch = given.branch()
    commit = tip(f"refs/heads/{branch}", place.root)
    return _prepared(
        given.repository_or_none(place), {"branch": branch}, {"commit": commit} if commit else {}, commit=commit
    )


def _prepare_tag(given: Parameters, place: Place) -> Prepared:
    properties = {"tag": given.tag(), "commit": resolve(given.text("commit", "HEAD"), place.root)}
    if "message" in given:
        properties["message"] = git_commit.refuse_trailer(given.text("message"))
        git_commit.people(place)
    return _prepared(given.repository_or_none(place), {}, properties)


def _prepare_document(given: Parameters, place: Place) -> Prepared:
    git_commit.people(place)
    wanted = git_commit.documents(given, place)
    branch = given.branch(default=current(place.root))
    parent = tip(f"refs/heads/{branch}", place.root)
    if not parent:
        raise UsageError(f"there is no branch {shown(branch)}", advice="create it first: orch act create_branch")
    where = checked_out(branch, place.root)
    if where and (wanted[0].content is not None or where != top(place.root)):
        raise UsageError(
            f"the branch {shown(branch)} is checked out in {shown(where)}, whose files would stay as they are",
            advice="write the files there (write_file), then commit them: write_document with `source`",
        )
    files = git_commit.listed(wanted, parent, place.root)
    single = wanted[0].path if len(wanted) == 1 else f"{len(wanted)} documents"
    properties = {"message": git_commit.refuse_trailer(given.text("message", f"Write {single}"))}
    if len(wanted) == 1:
        properties["path"] = wanted[0].path
    fixed = {"parent": parent, "documents": [list(one) for one in wanted], "is_checked_out": bool(where)}
    return _prepared(given.repository_or_none(place), {"branch": branch, "files": files}, properties, **fixed)


def _create(action: Action, key: str) -> Receipt:
    if there := _created(action, key):
        return there
    root, properties, ref = action.place.root, action.properties, _ref(action)
    if tip(ref, root, peeled=False):
        return refused(f"{ref} is there already, and is another commit")
    new = str(properties["commit"])
    if "message" in properties:
        tagger = git_commit.people(action.place)[1]
        lines = [
            f"object {new}",
            "type commit",
            f"tag {properties['tag']}",
            f"tagger {tagger} {int(time.time())} +0000",
        ]
        body = "\n".join([*lines, "", str(properties["message"]).strip(), "", f"{git_commit.TRAILER}: {key}", ""])
        new = git(["hash-object", "-t", "tag", "-w", "--stdin"], root, given=body.encode()).decode().strip()
    action.recheck()
    if problem := move(ref, new, "0" * len(new), root):
        return _created(action, key) or problem
    return done(str(properties["commit"]), {"ref": ref, "commit": properties["commit"]})


def _created(action: Action, key: str) -> Receipt | None:
    """Return the receipt of what is there as it should be; an annotated tag is ours if it has the key."""
    root, ref, commit = action.place.root, _ref(action), str(action.properties["commit"])
    if tip(ref, root) != commit:
        return None
    if "message" in action.properties:
        body = git(["cat-file", "-p", ref], root).decode("utf-8", "replace").splitlines()
        if f"{git_commit.TRAILER}: {key}" not in body:
            return None
    return done(commit, {"ref": ref, "commit": commit})


def _delete(action: Action) -> Receipt:
    ref, root = _ref(action), action.place.root
    branch, decided = str(action.resource["properties"]["branch"]), str(action.fixed["commit"])
    if not decided:
        return refused(f"there is no branch {shown(branch)}")
    if where := checked_out(branch, root):
        return refused(f"the branch {shown(branch)} is checked out in {shown(where)}")
    action.recheck()
    if problem := move(ref, "", decided, root):
        return problem
    return done(decided, {"ref": ref, "commit": decided})


def _write(action: Action, key: str) -> Receipt:
    root, properties, fixed = action.place.root, action.resource["properties"], action.fixed
    branch = str(properties["branch"])
    if action.attempt > 1 and (made := git_commit.made_before(branch, key, root)):
        return _written(action, made)
    wanted = [Document(*one) for one in fixed["documents"]]
    parent, message = str(fixed["parent"]), str(action.properties["message"])
    new = git_commit.commit(wanted, properties["files"], parent, message, action.place, key)
    if new == parent:
        return done(parent, {"commit": parent, "branch": branch}, "the branch has these contents already")
    action.recheck()
    if problem := move(f"refs/heads/{branch}", new, parent, root):
        made = git_commit.made_before(branch, key, root)
        return _written(action, made) if made else absent(problem.detail)
    return _written(action, new)


def _written(action: Action, made: str) -> Receipt:
    branch = action.resource["properties"]["branch"]
    outputs, detail = {"commit": made, "branch": branch}, ""
    if action.fixed["is_checked_out"]:
        try:
            git_commit.bring_up_index(made, action.resource["properties"]["files"], action.place.root)
        except GitError as error:
            detail = f"committed; the index does not know of it yet: {error}"
    return done(made, outputs, detail)


def _ref(action: Action) -> str:
    if action.name == "create_tag":
        return f"refs/tags/{action.properties['tag']}"
    return f"refs/heads/{action.resource['properties']['branch']}"
