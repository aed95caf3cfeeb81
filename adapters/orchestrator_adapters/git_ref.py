"""Refs of a checkout: read, moved only from where they were, and what that says as a receipt."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapter import Delivery, ErrorClass, Receipt
from orchestrator.git import GitError, git


def tip(ref: str, root: Path, *, peeled: bool = True) -> str:
    """Return the commit a full name of a ref stands for; "" where there is none."""
    try:
        name = f"{ref}^{{commit}}" if peeled else ref
        return git(["rev-parse", "--verify", "--quiet", "--end-of-options", name], root).decode().split()[-1]
    except GitError as error:
        if error.advice:
            raise
        return ""


def move(ref: str, new: str, old: str, root: Path) -> Receipt | None:
    """Set a ref, or delete it, if it still is what it was; None where that is done."""
    try:
        update(ref, new, old, root)
    except GitError as error:
        if "File exists" in error.said:
            return Receipt(Delivery.RETRYABLE, detail=f"git is busy with {ref}", error_class=ErrorClass.TRANSIENT)
        return refused(f"{ref} is not what it was when this was decided, or cannot be: {error}")
    return None


def update(ref: str, new: str, old: str | None, root: Path) -> None:
    """Set a ref to `new`, or delete it where that is ""; `old` is what it must be, None for whatever it is.

    Raises:
        GitError: it is not, or cannot be.
    """
    change = ["-d", ref] if not new else [ref, new]
    git(["update-ref", "--no-deref", "-m", "orch", *change, *([] if old is None else [old])], root)


def current(root: Path) -> str | None:
    """Return the branch that is checked out; None where none is."""
    try:
        return git(["symbolic-ref", "--quiet", "HEAD"], root).decode().strip().removeprefix("refs/heads/")
    except GitError:
        return None


def checked_out(branch: str, root: Path) -> str:
    """Return the folder in which a branch is checked out; "" where it is nowhere."""
    found = git(["for-each-ref", "--format=%(refname) %(worktreepath)", f"refs/heads/{branch}"], root)
    rows = (os.fsdecode(line).partition(" ") for line in found.splitlines())
    return next((where for name, _, where in rows if name == f"refs/heads/{branch}"), "")


def top(root: Path) -> str:
    """Return the folder of the working tree."""
    return os.fsdecode(git(["rev-parse", "--show-toplevel"], root).removesuffix(b"\n"))


def is_before(old: str, new: str, root: Path) -> bool:
    """Say whether a commit is contained in another."""
    return merge_base(old, new, root) == old


def merge_base(one: str, other: str, root: Path) -> str:
    """Return where two commits left each other; "" where they have nothing in common."""
    try:
        return git(["merge-base", "--end-of-options", one, other], root).decode().strip()
    except GitError as error:
        if error.said:
            raise
        return ""


def done(reference: str, outputs: Mapping[str, Any], detail: str = "") -> Receipt:
    """Return the receipt of what is done."""
    return Receipt(Delivery.DELIVERED, reference=reference, outputs=outputs, detail=detail)


def refused(why: str) -> Receipt:
    """Return the receipt of what is not as it was decided, or cannot be."""
    return Receipt(Delivery.PERMANENT, detail=why, error_class=ErrorClass.PERMANENT)


def absent(why: str) -> Receipt:
    """Return the receipt of what is certainly not there."""
    return Receipt(Delivery.RETRYABLE, detail=why, error_class=ErrorClass.TRANSIENT)
