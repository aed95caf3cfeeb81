"""Looks whether a checkout is what a commit says: a report speaks of the files that were there when it was made.

Asks git alone and runs nothing that the checkout configures: its filters are set aside, its file monitor is off.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.change import Change
from orchestrator.errors import UsageError
from orchestrator.git import GitError, git
from orchestrator.names import shown

_STATED = "or record it with --stated, and it does not count"


class Checkout(NamedTuple):
    """What is checked out."""

    root: Path
    commit: str
    tree: str
    changed: tuple[str, ...]
    """Tracked files that differ from the commit; paths from the root."""
    untracked: tuple[str, ...]
    """Files that git neither tracks nor ignores; paths from the root."""
    unwatched: tuple[str, ...]
    """Tracked files whose changes git is told not to look for; paths from the root."""


def read_checkout(cwd: Path) -> Checkout:
    """Return what is checked out around a folder.

    Raises:
        UsageError: it is no checkout, or git fails.
    """
    root = Path(git(["rev-parse", "--show-toplevel"], cwd).decode("utf-8", "surrogateescape").rstrip("\n"))
    commit, tree = git(["rev-parse", "HEAD^{commit}", "HEAD^{tree}"], cwd).decode().split()
    listed = git(
        [*_without_filters(cwd), "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames",
         "--ignore-submodules=dirty"],
        cwd,
    )  # fmt: skip
    entries = [one.decode("utf-8", "surrogateescape") for one in listed.split(b"\0") if one]
    changed = tuple(one[3:] for one in entries if not one.startswith("??"))
    untracked = tuple(one[3:] for one in entries if one.startswith("??"))
    return Checkout(root, commit, tree, changed, untracked, tuple(_unwatched(root)))


def _unwatched(root: Path) -> Iterator[str]:
    """Yield the files whose changes git does not show: assumed unchanged, or skipped and yet there."""
    for one in git(["ls-files", "-v", "-z"], root).split(b"\0"):
        tag, name = one[:1], one[2:].decode("utf-8", "surrogateescape")
        if tag.islower() or (tag == b"S" and os.path.lexists(root / name)):
            yield name


def refuse_other(checkout: Checkout, change: Change, own: Iterable[Path], *, has_untracked: bool = False) -> None:
    """Refuse a checkout that is not the head of a change: then no report made in it speaks of that change.

    `own` are files that may lie there untracked: the report itself. `has_untracked` lets all of them pass.

    Raises:
        UsageError: another tree is checked out, or files differ from it.
    """
    if checkout.tree != change.tree:
        raise UsageError(
            f"{checkout.commit[:12]} is checked out, and the change ends at {change.head[:12]}; "
            "a report speaks of what is checked out",
            advice=f"check {change.head[:12]} out, run the tool again and add its report; {_STATED}",
        )
    if checkout.changed:
        raise UsageError(
            f"the work tree has changes that are not committed: {_some(checkout.changed)}",
            advice=f"commit or undo them, run the tool again and add its report; {_STATED}",
        )
    if checkout.unwatched:
        raise UsageError(
            f"git is told not to look for changes of {_some(checkout.unwatched)}",
            advice=f"git update-index --no-assume-unchanged --no-skip-worktree FILE, and see `git status`; {_STATED}",
        )
    known = {path.resolve() for path in own}
    left = [name for name in checkout.untracked if (checkout.root / name).resolve() not in known]
    if left and not has_untracked:
        raise UsageError(
            f"the work tree has files that git does not know: {_some(left)}",
            advice="commit, ignore or remove them; or say --ignore-untracked if the report does not depend on them",
        )


def _some(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return shown(first) + (f" and {len(rest):,} more" if rest else "")


def _without_filters(cwd: Path) -> Iterator[str]:
    """Yield the options that turn every clean filter of the configuration into none: they are programs."""
    try:
        found = git(["config", "--null", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process|required)$"], cwd)
    except GitError as error:
        if error.said:
            raise
        return
    for key in sorted({one.decode("utf-8", "surrogateescape") for one in found.split(b"\0") if one}):
        if "=" in key:
            raise UsageError(f"git's configuration names a filter {shown(key)}; expected a name without `=`")
        yield from ("-c", f"{key}={'false' if key.endswith('.required') else ''}")
