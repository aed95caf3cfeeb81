"""Pushing: the decided commit alone, onto a branch that is still where it was when that was decided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapter import Action, Effect, Place, Prepared, Receipt, failure
from orchestrator.change import EMPTY, read_change
from orchestrator.git import GitError, git, resolve
from orchestrator.names import shown
from orchestrator_adapters.git_ref import absent, done, is_before, merge_base, refused, tip, update
from orchestrator_adapters.git_remote import Line, Remote, line_to, remote_of
from orchestrator_adapters.parameters import Parameters


def prepare(given: Parameters, place: Place) -> Prepared:
    """Return a push with its commit, address and files fixed, by what was last seen of the remote.

    Raises:
        UsageError: a parameter is wrong, or there is no such commit.
        AdapterError: the remote's address may not be used, or commits would be lost.
    """
    repository = given.repository_or_none(place)
    remote = remote_of(place, repository)
    branch = given.branch()
    head = given.branch("head_branch", branch)
    commit = resolve(given.text("commit", f"refs/heads/{head}"), place.root)
    is_forced = given.flag("force")
    expected = tip(f"refs/remotes/{remote.name}/{branch}", place.root)
    base_branch, base = ("", expected) if expected else _default(remote, place.root)
    if expected and not is_forced and not is_before(expected, commit, place.root):
        raise failure(
            f"{branch} of the remote is at {expected[:12]}, which {commit[:12]} does not contain",
            advice="merge or rebase onto it, or push with `force`",
        )
    files = _changed(expected if is_forced else "", base, commit, place.root)
    resource: dict[str, Any] = {"branch": branch, "files": files}
    if "head_branch" in given:
        resource["head_branch"] = head
    properties = {"commit": commit, "remote": remote.url, **({"force": True} if is_forced else {})}
    shape = {"type": "repository", "id": repository, "properties": resource}
    fixed = {"expected": expected, "base_branch": base_branch, "base": base, "remote": list(remote)}
    return Prepared(shape, properties, Effect.OUTWARD, is_replayable=True, fixed=fixed)


def _default(remote: Remote, root: Path) -> tuple[str, str]:
    """Return the remote's main branch and its commit as last seen; empty where none was."""
    prefix = f"refs/remotes/{remote.name}/"
    try:
        named = git(["symbolic-ref", "--quiet", f"{prefix}HEAD"], root).decode().strip().removeprefix(prefix)
    except GitError:
        named = "main"
    for name in (named, "main", "master"):
        if seen := tip(prefix + name, root):
            return name, seen
    return "", ""


def _changed(forced_over: str, base: str, commit: str, root: Path) -> list[dict[str, str]]:
    """Return the files of a push; of a forced one also those that lose what the remote's branch had."""
    has_common = bool(base) and merge_base(base, commit, root)
    change = read_change(f"{base if has_common else EMPTY}..{commit}", root)
    files = {file["path"]: file for file in change.files}
    if forced_over:
        direct = git(
            ["diff-tree", "-r", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-abbrev",
             "--ignore-submodules=none", "--no-relative", "--end-of-options", forced_over, commit],
            root,
        ).split(b"\0")  # fmt: skip
        for meta, path in zip(direct[0:-1:2], direct[1::2], strict=True):
            fields, name = meta.decode("ascii").split(" "), path.decode("utf-8")
            files[name] = {"path": name, "status": fields[4][:1], "mode": fields[1], "blob": fields[3]}
    return [files[path] for path in sorted(files)]


def perform(action: Action) -> Receipt:
    """Push, unless the remote is no longer what the push was decided for.

    Raises:
        AdapterError: the remote cannot be asked, so nothing was sent.
    """
    fixed, commit = action.fixed, str(action.properties["commit"])
    branch, remote = str(action.resource["properties"]["branch"]), Remote(*fixed["remote"])
    with line_to(remote, action.place, action.timeout_s, action.is_cancelled) as line:
        seen = line.branches(branch, *([fixed["base_branch"]] if fixed["base_branch"] else []))
        if seen.get(branch) == commit:
            return _pushed(action, remote, commit, "the remote has it already")
        if problem := _moved(action, line, seen):
            return refused(problem)
        action.recheck()
        if receipt := line.push(commit, branch, str(fixed["expected"])):
            return receipt
    return _pushed(action, remote, commit)


def _moved(action: Action, line: Line, seen: Mapping[str, str]) -> str:
    """Return why the remote is not what the push was decided for; "" where it is."""
    branch, fixed = str(action.resource["properties"]["branch"]), action.fixed
    expected, base_branch = str(fixed["expected"]), str(fixed["base_branch"])
    if seen.get(branch, "") != expected:
        was, now = expected[:12] or "not there", seen.get(branch, "")[:12] or "not there"
        return f"{shown(branch)} of the remote is {now}, and the push was decided for {was}; fetch it and ask again"
    if base_branch and base_branch != branch:
        there, base = seen.get(base_branch, ""), str(fixed["base"])
        if not there or not line.contains(there, base):
            return f"{shown(base_branch)} of the remote does not contain {base[:12]}; fetch it and ask again"
    return ""


def _pushed(action: Action, remote: Remote, seen: str, detail: str = "") -> Receipt:
    """Return the receipt of a push, and let the checkout know where the remote's branch is, if it has that commit."""
    branch, commit = str(action.resource["properties"]["branch"]), str(action.properties["commit"])
    try:
        if seen == commit:
            update(f"refs/remotes/{remote.name}/{branch}", commit, None, action.place.root)
    except GitError as error:
        detail = f"pushed; the checkout does not know of it yet: {error}"
    outputs = {"commit": commit, "branch": branch, "url": remote.url, "previous": action.fixed["expected"]}
    return done(commit, outputs, detail)


def reconcile(action: Action) -> Receipt | None:
    """Ask the remote. What is not there may still be on its way, but for a remote on this machine.

    There, everything that pushes ends with the process that started it, so a push of one that is dead is over.
    """
    branch, commit = str(action.resource["properties"]["branch"]), str(action.properties["commit"])
    remote = Remote(*action.fixed["remote"])
    with line_to(remote, action.place, action.timeout_s, action.is_cancelled) as line:
        seen = line.branches(branch).get(branch, "")
        if seen and line.contains(seen, commit):
            return _pushed(action, remote, seen)
    return absent(f"{shown(branch)} of the remote is {seen[:12] or 'not there'}") if remote.is_local else None
