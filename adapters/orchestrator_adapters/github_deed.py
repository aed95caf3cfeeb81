"""What the GitHub adapter's actions share: their shape, the hidden mark that finds them again, and their values."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.adapter import Action, Delivery, Effect, ErrorClass, Place, Prepared, Receipt
from orchestrator.change import read_change
from orchestrator.errors import UsageError
from orchestrator.git import GitError, git, resolve
from orchestrator.names import branch_problem, shown
from orchestrator_adapters.github_api import Api
from orchestrator_adapters.parameters import Parameters, setting

MOST_TEXT = 65_000
"""Longest title or body, in characters: GitHub takes 65,536."""
_MARK = re.compile(r"<!--\s*orch:[^>]*-->")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Deed(NamedTuple):
    """One action: how it is prepared, done, and looked for."""

    parameters: str
    """Names, separated by spaces; `repository` is always one."""
    prepare: Callable[[Parameters, Place], Prepared]
    perform: Callable[[Api, Action, str], Receipt]
    look: Callable[[Api, Action, str], Receipt | None]
    """Gives the receipt of what an attempt made; None where nothing of it is there."""


def mark(key: str) -> str:
    """Return what a text of ours carries, and nobody sees."""
    return f"<!-- orch:{key} -->"


def marked(text: str, key: str) -> str:
    """Return a text with the mark at its end."""
    return f"{text.rstrip()}\n\n{mark(key)}".lstrip("\n")


def marks_of(text: str) -> list[str]:
    """Return the marks that a text carries."""
    return _MARK.findall(text)


def without_marks(text: str) -> str:
    """Return a text as its author wrote it."""
    return _MARK.sub("", text).replace("\r\n", "\n").strip()


def words(given: Parameters, name: str, default: str | None = None, *, is_empty_allowed: bool = False) -> str:
    """Return a text for people.

    Raises:
        UsageError: it is too long, or pretends to be of another action.
    """
    text = given.text(name, default, is_empty_allowed=is_empty_allowed)
    if _MARK.search(text):
        raise UsageError(f"`{name}` holds a mark of orch, `<!-- orch:... -->`; expected none")
    if len(text) > MOST_TEXT:
        raise UsageError(f"`{name}` has {len(text):,} characters; expected at most {MOST_TEXT:,}")
    return text


def outward(
    repository: str,
    resource: Mapping[str, Any],
    properties: Mapping[str, Any],
    *,
    is_replayable: bool,
    fixed: Mapping[str, Any] | None = None,
) -> Prepared:
    """Return a prepared action on a repository."""
    shape = {"type": "repository", "id": repository, "properties": dict(resource)}
    return Prepared(shape, dict(properties), Effect.OUTWARD, is_replayable, fixed=fixed or {})


def some(given: Parameters, **values: object) -> dict[str, Any]:
    """Return the values whose parameters were given."""
    return {name: value for name, value in values.items() if name in given}


def delivered(row: Mapping[str, Any], detail: str = "", **more: object) -> Receipt:
    """Return the receipt of something that GitHub shows as a row."""
    names = {"number": "number", "id": "id", "node_id": "node_id", "html_url": "url", "sha": "sha", "state": "state"}
    outputs = {ours: row[theirs] for theirs, ours in names.items() if row.get(theirs) is not None}
    reference = str(row.get("html_url") or row.get("url") or "")
    return Receipt(Delivery.DELIVERED, reference=reference, detail=detail, outputs=outputs | more)


def refused(why: str) -> Receipt:
    """Return the receipt of what is not as it was decided."""
    return Receipt(Delivery.PERMANENT, detail=why, error_class=ErrorClass.PERMANENT)


class Between(NamedTuple):
    """A change from a branch of the remote to another, as this machine's checkout knows it."""

    commit: str
    """The head; "" where nobody knows it."""
    merge_base: str
    """Where the change begins; "" where nobody knows it."""
    files: list[dict[str, str]] | None
    """None where nobody knows them."""


def between(base: str, head: str, commit: str, place: Place) -> Between:
    """Return what a pull request changes, by what the checkout holds of the remote's branches.

    `commit` names the head where it is given, else the head branch does. What the checkout does not hold stays unknown:
    rules on files then judge on their strict side.

    Raises:
        UsageError: a commit is named and there is none, or the checkout cannot be read.
    """
    remote = setting(place.settings, "github", "remote", "origin")
    if expected := branch_problem(remote):
        raise UsageError(f"`remote` of adapters.github is {shown(remote)}; expected {expected}")
    found = _commit(commit, place.root) if commit else _branch(head, remote, place.root)
    start = _branch(base, remote, place.root)
    if not found or not start or not _tip(found, place.root):
        return Between(found, "", None)
    try:
        change = read_change(f"{start}..{found}", place.root)
    except GitError:
        raise
    except UsageError:  # nothing in common, or too little history
        return Between(found, "", None)
    return Between(found, change.merge_base, list(change.files))


def _commit(name: str, root: Path) -> str:
    if _COMMIT.fullmatch(name):
        return name
    return resolve(name, root)


def _branch(name: str, remote: str, root: Path) -> str:
    if not name:
        return ""
    return _tip(f"refs/remotes/{remote}/{name}", root) or _tip(f"refs/heads/{name}", root)


def _tip(name: str, root: Path) -> str:
    try:
        found = git(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], root)
        return found.decode().split()[-1]
    except GitError:
        return ""


def moved(api: Api, base: str, commit: str, merge_base: str) -> str:
    """Return why a change is not the one that was decided about; "" where it is, or nobody knew it then."""
    if not merge_base:
        return ""
    from urllib.parse import quote

    found = api.get(f"/compare/{quote(base, safe='')}...{commit}", per_page=1)
    there = found.get("merge_base_commit") if isinstance(found, dict) else None
    begins = str(there.get("sha")) if isinstance(there, dict) else "nowhere"
    if begins == merge_base:
        return ""
    return (
        f"for GitHub the change begins at {begins[:12]}, and {merge_base[:12]} was decided about; fetch and ask again"
    )
