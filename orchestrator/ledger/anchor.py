"""Keeps tree heads in a git ref that only moves forward, so that a cut or rewritten ledger shows wherever a clone is.

Each anchor is a commit of two files, `head` (the note) and `key` (the public key); its parent is the anchor before it.
Nothing is ever forced: neither here nor at a remote.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.digest import new_id
from orchestrator.errors import LedgerError, UsageError
from orchestrator.git import GitError, git
from orchestrator.ledger import heads, note, signer, verify_seen
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify_heads import Held
from orchestrator.names import shown

REF = "refs/orch/heads"
"""The ref unless another is named."""
_TRIES = 5
_WHO = ("-c", "user.name=orch", "-c", "user.email=orch@localhost", "-c", "user.useConfigOnly=false")
_NETWORK = (
    *(part for name in ("https", "http", "ssh", "git", "file") for part in ("-c", f"protocol.{name}.allow=always")),
    *("-c", "protocol.ext.allow=never"),  # a program that the checkout's configuration could name
)
_SENDS, _TAKES = "--upload-pack=git-upload-pack", "--receive-pack=git-receive-pack"
"""The programs at the remote; else the checkout's configuration names them, and of a folder they run here."""
_MODE = "100644"


class Anchored(NamedTuple):
    """Where a head is kept."""

    head: heads.Head
    ref: str
    commit: str
    is_new: bool
    """Whether this call made the commit; false where the same head was there."""
    remote: str = ""
    """Where it was pushed to; empty where it was not."""

    def as_json(self) -> dict[str, Any]:
        """Return it as `-o json` prints it."""
        return {**self._asdict(), "head": self.head.as_json()}


def anchor(ledger: Ledger, folder: Path, *, ref: str = REF, remote: str = "") -> Anchored:
    """Sign a head and keep it in a git ref; with a remote, there first.

    Raises:
        LedgerError: the ledger does not extend what is anchored there, or others moved the ref each time.
        UsageError: there is no repository, no such remote, or the ref cannot be one.
    """
    _check_ref(ref, folder)
    if remote.startswith("-"):
        raise UsageError(f"{shown(remote)} is no remote")
    head = heads.sign(ledger)
    key = str(signer.ready(ledger).public)
    refusal: GitError | None = None
    for _ in range(_TRIES):
        local = _tip(ref, folder)
        tip = _newer(local, _fetched(ref, remote, folder), ref, folder) if remote else local
        is_there = tip is not None and _is_kept(ledger, head, key, _last(tip, ref, folder))
        commit = tip if is_there and tip is not None else _commit(head, key, tip, folder)
        try:
            if remote:
                _push(commit, ref, remote, folder)
            git(["update-ref", "-m", f"orch: head of {head.size}", ref, commit, local or ""], folder)
        except GitError as error:
            refusal = error
            continue
        return Anchored(head, ref, commit, not is_there, remote)
    said = refusal.said if refusal else ""
    raise LedgerError(
        f"the head could not be kept in {ref}: {shown(said or str(refusal))}",
        advice="see that the ref can be pushed to and moves forward only; then run it again",
    ) from refusal


def anchored(folder: Path, ref: str = REF) -> list[Held]:
    """Return every head that a ref keeps, newest first.

    Raises:
        LedgerError: there is no such ref yet.
        UsageError: there is no repository, or the ref keeps no heads.
    """
    name = ref if ref.startswith("refs/") else f"{ref}^{{commit}}"
    git(["rev-parse", "--git-dir"], folder)
    try:
        commits = git(["rev-list", "--end-of-options", name], folder).decode("ascii").split()
    except GitError as error:
        raise LedgerError(
            f"there is no {shown(ref)} in {shown(str(folder))} yet",
            advice=f"orch ledger heads anchor --git DIR makes {REF}; or fetch it: git fetch REMOTE {REF}:{REF}",
        ) from error
    asked = "".join(f"{commit}:head\n{commit}:key\n" for commit in commits)
    found = _blobs(git(["cat-file", "--batch"], folder, given=asked.encode()), 2 * len(commits))
    held = []
    for at, commit in enumerate(commits):
        said, key = found[2 * at : 2 * at + 2]
        if said is not None:
            held.append(Held(f"{ref} at {commit[:12]}", said, (key or "").strip()))
    if not held:
        raise UsageError(f"{shown(ref)} keeps no heads", advice="orch ledger heads anchor makes such a ref")
    return held


def gathered(since: Sequence[str], checkout: Path | None, ref: str = REF) -> list[Held]:
    """Return the heads that somebody kept: of files or git refs by name, and of a whole ref where a checkout is named.

    Raises:
        LedgerError: a name is neither, or there is no such ref yet.
        UsageError: a file cannot be read, there is no repository, or the ref keeps no heads.
    """
    held = []
    for name in since:
        file = Path(name)
        if file.is_file():
            held.append(_of_file(file))
        else:
            held.extend(_of_ref(name, checkout or Path()))
    return held + (anchored(checkout, ref) if checkout is not None else [])


def _of_file(file: Path) -> Held:
    try:
        with file.open("rb") as opened:
            text = opened.read(2 * note.MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the head {shown(str(file))} cannot be read: {reason}") from error
    return verify_seen.kept(f"the head in {file}", text)


def _of_ref(name: str, folder: Path) -> list[Held]:
    try:
        return anchored(folder, name)
    except (GitError, LedgerError) as error:
        raise LedgerError(
            f"{shown(name)} is neither a file nor a git ref that keeps heads",
            advice="name a file of `orch ledger heads show`, or a ref of the checkout that --git names",
        ) from error


def printed(ledger: Ledger, size: int | None, form: str) -> str:
    """Return a head to be kept elsewhere: as `text` with its key, as `note` alone, or as `json`.

    Raises:
        LedgerError: there is no such head.
    """
    head = heads.newest(ledger, size)
    with ledger.store.reading() as connection:
        key = signer.recorded(connection)
    if form == "json":
        return json.dumps({**head.as_json(), "key": key}, indent=2) + "\n"
    return head.note if form == "note" else verify_seen.kept_text(key or "", head.note)


def _check_ref(ref: str, folder: Path) -> None:
    is_whole = ref.startswith("refs/") and not ref.startswith(("refs/heads/", "refs/tags/", "refs/remotes/"))
    if is_whole:
        try:
            git(["check-ref-format", ref], folder)
        except GitError as error:
            if error.advice:
                raise
        else:
            git(["rev-parse", "--git-dir"], folder)
            return
    raise UsageError(
        f"{shown(ref)} is no ref for heads", advice=f"name one below refs/ that is no branch or tag, such as {REF}"
    )


def _tip(ref: str, folder: Path) -> str | None:
    said = git(["for-each-ref", "--format=%(objectname) %(refname)", "--", ref], folder).decode("utf-8", "replace")
    names = dict(line.split(" ", 1)[::-1] for line in said.splitlines())
    return names.get(ref)


def _fetched(ref: str, remote: str, folder: Path) -> str | None:
    """Return where the remote's ref stands, its objects fetched; None where it has none."""
    said = git([*_NETWORK, "ls-remote", _SENDS, "--end-of-options", remote, ref], folder).decode("utf-8", "replace")
    names = dict(line.split("\t", 1)[::-1] for line in said.splitlines() if "\t" in line)
    if ref in names:
        git(
            [
                *_NETWORK,
                "fetch",
                _SENDS,
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--end-of-options",
                remote,
                ref,
            ],
            folder,
        )
    return names.get(ref)


def _newer(local: str | None, there: str | None, ref: str, folder: Path) -> str | None:
    """Return the tip that the other one leads to."""
    if local is None or there is None or local == there:
        return local or there
    base = git(["merge-base", "--all", local, there], folder).decode("ascii").split()
    if base == [local]:
        return there
    if base == [there]:
        return local
    raise LedgerError(
        f"{ref} here and at the remote went apart; neither leads to the other",
        advice="look at both with `git log`; verify against both, then name another ref with --ref",
    )


def _is_kept(ledger: Ledger, head: heads.Head, key: str, last: Held) -> bool:
    """Return whether the last anchor is this head, after a look that this head extends it."""
    try:
        said = note.parse(last.note)
        problem = note.check(said, note.parse_key(key))
    except ValueError as error:
        raise LedgerError(f"{last.source} cannot be read: {error}", advice=_ELSEWHERE) from error
    if said.checkpoint.origin != note.origin_of(ledger.id):
        raise LedgerError(f"{last.source} is a head of {said.checkpoint.origin}, not of this ledger", advice=_ELSEWHERE)
    if problem:
        raise LedgerError(f"{last.source} was not signed by this ledger's key: {problem}", advice=_ELSEWHERE)
    if said.checkpoint.size > head.size:
        raise LedgerError(
            f"the ledger has {head.size} events; {last.source} was signed over {said.checkpoint.size}",
            advice="its end was cut off, or an old backup was restored: docs/ledger-use.md, Backup and restore",
        )
    with ledger.store.reading() as connection:
        roots = heads.roots_at(connection, said.checkpoint.size, head.size)
    if roots != [said.checkpoint.root, head.root]:
        raise LedgerError(
            f"the ledger does not extend {last.source}: its first {said.checkpoint.size} events are others",
            advice="run orch ledger verify --git",
        )
    return said.checkpoint.size == head.size


_ELSEWHERE = "name another ref with --ref, and find out who wrote to this one"


def _last(tip: str, ref: str, folder: Path) -> Held:
    said, key = _blobs(git(["cat-file", "--batch"], folder, given=f"{tip}:head\n{tip}:key\n".encode()), 2)
    if said is None:
        raise LedgerError(f"{ref} holds a commit without a head", advice=_ELSEWHERE)
    return Held(f"{ref} at {tip[:12]}", said, key or "")


def _commit(head: heads.Head, key: str, parent: str | None, folder: Path) -> str:
    """Return a commit that holds a head; a unique id keeps two machines from making the same one in one second."""
    files = {"head": head.note, "key": f"{key}\n"}
    tree = ""
    for name, text in files.items():
        blob = git(["hash-object", "-w", "--stdin"], folder, given=text.encode()).decode("ascii").strip()
        tree += f"{_MODE} blob {blob}\t{name}\n"
    made = git(["mktree"], folder, given=tree.encode()).decode("ascii").strip()
    message = f"Head of {head.size} events\n\nOrch-Anchor: {new_id()}\n"
    parents = ["-p", parent] if parent else []
    commit = git([*_WHO, "commit-tree", made, *parents, "-F", "-"], folder, given=message.encode())
    return commit.decode("ascii").strip()


def _push(commit: str, ref: str, remote: str, folder: Path) -> None:
    git([*_NETWORK, "push", _TAKES, "--quiet", "--no-signed", "--end-of-options", remote, f"{commit}:{ref}"], folder)


def _blobs(answer: bytes, count: int) -> Sequence[str | None]:
    """Return what `cat-file --batch` answered, None for what is missing or no text."""
    found: list[str | None] = []
    at = 0
    while len(found) < count and at < len(answer):
        end = answer.index(b"\n", at)
        words = answer[at:end].split(b" ")
        at = end + 1
        if len(words) == 3 and words[1] == b"blob":  # noqa: PLR2004  # id, type, size
            size = int(words[2])
            found.append(answer[at : at + size].decode("utf-8", "replace") if size <= note.MAX_BYTES else None)
            at += size + 1
        elif len(words) == 3 and words[2].isdigit():  # noqa: PLR2004  # something else than a file
            found.append(None)
            at += int(words[2]) + 1
        else:
            found.append(None)
    return found + [None] * (count - len(found))
