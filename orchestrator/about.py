"""Finds what a report is about: the change that is checked out, or an action that somebody names. Records nothing."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator import worktree
from orchestrator.change import read_change
from orchestrator.ci import CiContext
from orchestrator.digest import change_digest
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.settings import Settings
from orchestrator.statement import About

if TYPE_CHECKING:
    from orchestrator.change import Change
    from orchestrator.ledger.store import Ledger

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EARLIER = """SELECT DISTINCT repository FROM evidence
WHERE repository <> '' AND claimed = 0 AND (change_digest = ? OR action_digest = ?)"""
_HOW = "say --from-git BASE..HEAD, --request REQUEST, or --action-digest DIGEST"


class Asked(NamedTuple):
    """What the caller asked for, as typed."""

    type: str
    """As packs ask for it: `tests`, `provenance`, ..."""
    file: str
    """The report; `-` for standard input."""
    change: str | None = None
    """`BASE..HEAD` of git."""
    request: str | None = None
    """An approval request, or a decision's evaluation id."""
    action_digest: str | None = None
    result: str | None = None
    """`pass` or `fail`, where the report itself does not say."""
    minimum: str | None = None
    """Percent of lines that must be covered."""
    max_level: str = "warning"
    tool: str | None = None
    key: str | None = None
    """A file with the public key that signed."""
    form: str | None = None
    subjects: tuple[str, ...] = ()
    """Files that a statement may speak of."""
    is_stated: bool = False
    """Record it whatever is checked out; it does not count."""
    has_untracked: bool = False
    """Files that git does not know may lie about."""


class Call(NamedTuple):
    """One call, and where it is made."""

    ledger: "Ledger"
    asked: Asked
    settings: Settings
    context: CiContext | None
    cwd: Path

    @property
    def repository(self) -> str:
        """What this is, in lower case; empty where nobody said."""
        return (self.settings.repository or (self.context.repository if self.context else "") or "").lower()

    @property
    def actor(self) -> str:
        """Who adds it: the operator's word, else the CI's login, else the OS user."""
        if self.settings.subject:
            return self.settings.subject
        if self.context and self.context.login:
            return f"{self.context.provider}:{self.context.login}"
        import pwd

        try:
            return f"user:{pwd.getpwuid(os.geteuid()).pw_name}"
        except KeyError:
            return f"user:{os.geteuid()}"


class Subject(NamedTuple):
    """What the report is added for."""

    repository: str
    about: About
    """What is recorded: of an action alone neither commit nor tree."""
    seen: About
    """What a statement may name: of an action the clean checkout's commit and tree, too."""
    base: str | None
    """The commit that packs are read at; None where no change is judged."""


def subject_of(call: Call) -> Subject:
    """Return what a report is added for.

    Raises:
        UsageError: nothing says so, or something else is checked out.
        LedgerError: the ledger cannot be read.
    """
    asked, context = call.asked, call.context
    named = _named(call)
    if call.repository and named.repository and call.repository != named.repository:
        raise UsageError(f"{shown(asked.request)} is about {named.repository}, and this is {call.repository}")
    change_range = asked.change
    is_change = bool(named.change_digest) or not named.action_digest
    if change_range is None and is_change and context and context.base and context.head:
        change_range = f"{context.base}..{context.head}"
    files = frozenset(_digest_of(file) for file in asked.subjects)
    repository = call.repository or named.repository
    if change_range is None:
        if is_change:
            raise UsageError(
                f"{shown(asked.request)} is about a change"
                if asked.request
                else "nothing says what the report is about",
                advice="say which: --from-git BASE..HEAD, in its checkout" if asked.request else _HOW,
            )
        about = About(action_digest=named.action_digest, files=files)
        return Subject(repository or _recorded(call, about), about, _with_checkout(about, call.cwd), None)
    change = read_change(change_range, call.cwd)
    about = _about_change(change, asked, call.cwd)._replace(action_digest=named.action_digest, files=files)
    if named.change_digest not in {"", about.change_digest}:
        raise UsageError(
            f"{shown(asked.request)} is about another change than {shown(change_range)}",
            advice="name the range that was asked about; a changed line makes another change",
        )
    return Subject(repository or _recorded(call, about), about, about, change.base)


def _recorded(call: Call, about: About) -> str:
    """Return the repository of the run, else that of earlier reports about the same; empty where nobody knows one."""
    with call.ledger.store.reading() as connection:
        if call.settings.run:
            rows = connection.execute("SELECT repository FROM runs WHERE id = ?", (call.settings.run,))
            if rows:
                return str(rows[0][0]).lower()
        rows = connection.execute(_EARLIER, (about.change_digest or "-", about.action_digest or "-"))
    return str(rows[0][0]) if len(rows) == 1 else ""


def _about_change(change: "Change", asked: Asked, cwd: Path) -> About:
    digest = change_digest(change.files)
    if digest is None:
        raise UsageError("nothing differs in this range, so there is no change to speak of", advice=_HOW)
    if not asked.is_stated:
        own = [cwd / name for name in (asked.file, *asked.subjects) if name != "-"]
        checkout = worktree.read_checkout(cwd)
        worktree.refuse_other(checkout, change, own, has_untracked=asked.has_untracked)
    return About(change.head, change.tree, digest)


def _with_checkout(about: About, cwd: Path) -> About:
    """Add what is checked out, where that is certain."""
    try:
        checkout = worktree.read_checkout(cwd)
    except UsageError:
        return about
    is_certain = not checkout.changed and not checkout.unwatched
    return about._replace(commit=checkout.commit, tree=checkout.tree) if is_certain else about


class _Named(NamedTuple):
    """An action that the caller names; what is not known of it is empty."""

    action_digest: str = ""
    change_digest: str = ""
    repository: str = ""


def _named(call: Call) -> _Named:
    asked = call.asked
    if asked.action_digest is not None and asked.request is not None:
        raise UsageError("--request and --action-digest both name an action", advice="leave one out")
    if asked.action_digest is not None:
        if not _DIGEST.fullmatch(asked.action_digest):
            raise UsageError(
                f"--action-digest is {shown(asked.action_digest)}; expected sha256: and 64 hex digits",
                advice="`orch evaluate -o json` prints it as action_digest",
            )
        return _Named(asked.action_digest)
    if asked.request is None:
        return _Named()
    from orchestrator import approvals

    if found := _decision(call.ledger, asked.request):
        return found
    request = approvals.find(call.ledger, asked.request)
    return _Named(request.action_digest, request.change_digest, request.repository)


def _decision(ledger: "Ledger", name: str) -> _Named | None:
    """Return what a recorded decision was about; None where `name` is the id of none."""
    sql = """SELECT p.body, e.repository FROM events e JOIN payloads p ON p.event_id = e.id
        WHERE e.id = ? AND e.type = 'orch.decision'"""
    with ledger.store.reading() as connection:
        rows = connection.execute(sql, (name.strip().lower(),))
    if not rows:
        return None
    decision = json.loads(bytes(rows[0][0]))["decision"]
    if not decision["action_digest"]:
        raise UsageError(f"the decision {shown(name)} is about an invalid request")
    return _Named(decision["action_digest"], decision["change_digest"] or "", rows[0][1])


def _digest_of(file: str) -> str:
    import hashlib

    try:
        if Path(file).exists() and not Path(file).is_file():  # a device may have no end
            raise UsageError(f"{shown(file)} is no plain file; expected what the statement is about")
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from error


def unreadable(file: str, error: Exception) -> UsageError:
    """Return what to tell about a file that cannot be read."""
    return UsageError(f"cannot read {shown(file)}: {getattr(error, 'strerror', None) or error}", advice="name a file")
