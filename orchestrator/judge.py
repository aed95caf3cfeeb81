"""Judges what is about to be executed: the policy as it is now, what the ledger knows now, and whether that changed.

Asks the engine as `decide` does; never acts. Repository packs are read from a commit, never from a working tree.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.choices import Point
from orchestrator.decide import Circumstances, Policy, Question
from orchestrator.decision import Decision
from orchestrator.digest import sha256
from orchestrator.errors import UsageError
from orchestrator.gathered import Gathered
from orchestrator.ledger.store import Ledger
from orchestrator.load import load_gathered
from orchestrator.packfiles import SUFFIXES
from orchestrator.record import Beside, Recorder, Run
from orchestrator.settings import Settings, repository_root
from orchestrator.sources import gather

_OF_LEDGER = ("request_id", "votes", "approvals", "evidence", "owed")
"""Facts that the ledger states and that decide; counters of budgets change with every reservation, so not they."""
_BASES = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master")
_SETTLED_NS = 100_000_000
"""A file that was changed less than so long before it was looked at may change again without another time."""
_MOST_REF_BYTES = 4096


class Judge:
    """Decides the orders of one run by the policy that holds at that moment."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        root: Path,
        facts: Mapping[str, Any],
        run_packs: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Load the policy; `run_packs` are `{name, text}`, each a layer of its own.

        Raises:
            PackError: a pack is wrong.
            UsageError: no packs are named.
            DecisionError: there is no engine to trust.
        """
        self._settings, self._root, self.facts = settings, root, facts
        self._texts = [(one["name"], one["text"].encode()) for one in run_packs]
        self.run = run
        self.now_ns: int | None = None
        """The time of every decision, nanoseconds since 1970; None reads the clock."""
        self._base: tuple[object, str | None] = (None, None)
        self._known: tuple[object, str] = (None, "")
        self._glance = self._glanced()
        gathered = self._gathered()
        self._sources = _digest(gathered)
        self._loaded(gathered)

    def _loaded(self, gathered: Gathered) -> None:
        loaded = load_gathered(gathered, self._settings)
        self.policy = Policy.of(loaded)
        self.notes = loaded.notes

    def is_current(self) -> bool:
        """Return whether the packs are those that the policy was made of."""
        return self._glanced() == self._glance or _digest(self._gathered()) == self._sources

    def renew(self) -> bool:
        """Load the policy anew where its packs have changed, and return whether they had.

        Raises:
            As the constructor.
        """
        glance = self._glanced()
        if glance == self._glance:
            return False
        gathered = self._gathered()
        digest = _digest(gathered)
        if digest != self._sources:
            self._loaded(gathered)
        has_changed, self._sources, self._glance = digest != self._sources, digest, glance
        return has_changed

    def decide(
        self,
        asked: Mapping[str, Any],
        recorder: Recorder | None,
        also: Beside | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Return what is decided now, unrecorded; without a recorder nothing is known of votes and budgets.

        Raises:
            DecisionError: the engine gave no answer that may be trusted.
            LedgerError: the ledger cannot be read.
        """
        own = {"repository": self.run.repository} if self.run.repository else {}
        known = None if recorder is None else partial(_known, recorder, also)
        question = Question(asked, _joined(own, self.facts, facts or {}), known=known)
        point = self._settings.point or Point.RUN
        return next(iter(self.policy.decide_many([question], Circumstances(point=point, now_ns=self.now_ns))))

    def recorder(self, ledger: Ledger, chain: str | None = None) -> Recorder:
        """Return what records decisions of this policy, in a chain of its own where one is named.

        Raises:
            UsageError: the run has ended, or is another repository's.
        """
        made = Recorder(ledger, self.run, self.policy)
        self.run = made.run
        if chain is not None:
            made.chain = chain
        return made

    def _gathered(self) -> Gathered:
        return gather(self._settings, cwd=self._root, base_commit=base_commit(self._root), run_texts=self._texts)

    def _glanced(self) -> tuple[str | None, str]:
        """Return what changes whenever the packs do: the base, and what lies outside of it. Asks git one thing.

        Neither git is asked nor a pack is read again while the files' own data say that they are as they were.
        """
        mark = _refs_mark(self._root)
        if mark is None or self._base[0] != mark:
            self._base = (mark, base_commit(self._root))
        base = self._base[1]
        here = None if base is None else ""
        seen = None if self._settings.run_packs else _packs_mark(self._settings.packs, self._root)
        if seen is not None and self._known[0] == (base, seen):
            return base, self._known[1]
        try:
            gathered = gather(self._settings, cwd=self._root, base_commit=here, run_texts=self._texts)
        except UsageError:
            return base, ""  # all packs are the repository's
        is_all = not gathered.repo and not any(b".rego" in data for _, data in gathered.org)  # nor named modules
        self._known = ((base, seen) if is_all else None, _digest(gathered))
        return base, self._known[1]


def is_same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two sets of facts say the same of votes, evidence and what is owed."""
    return all(first.get(name) == second.get(name) for name in _OF_LEDGER)


def base_commit(root: Path) -> str | None:
    """Return the commit that a checkout's own packs are read from; None outside of one, "" before the first commit.

    It is what the remote calls its default branch, so that no local commit can loosen what judges it; where there is no
    remote, it is HEAD.
    """
    if repository_root(root) is None:
        return None
    from orchestrator.git import GitError, git

    listed = git(["for-each-ref", "--format=%(refname) %(objecttype) %(objectname)", *_BASES], root).decode()
    found = {name: commit for name, kind, commit in map(str.split, listed.splitlines()) if kind == "commit"}
    for name in _BASES:
        if name in found:
            return found[name]
    try:
        head = git(["rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}"], root)
    except GitError as error:
        if error.said:
            raise
        return ""
    return head.decode("ascii").strip()


def _refs_mark(root: Path) -> tuple[object, ...] | None:
    """Return what changes whenever `base_commit` could; None where only git can say.

    What the loose refs hold, and the packed ones' own data; where one leads further than a ref does, git is asked.
    """
    if (top := repository_root(root)) is None:
        return ()
    folder = top / ".git"
    try:
        if folder.is_file():
            folder = top / _text(folder).removeprefix("gitdir:").strip()
        common = folder / _text(folder / "commondir").strip()
        if (common / "reftable").exists():
            return None
        packed = _data_of(common / "packed-refs")
        loose = {name: _text(common / name) for name in _BASES} | {"HEAD": _text(folder / "HEAD")}
        for text in [*loose.values()]:
            if text.startswith("ref:"):
                name = text.removeprefix("ref:").strip()
                loose[name] = _text(common / name)
                if not name.startswith("refs/") or ".." in name or loose[name].startswith("ref:"):
                    return None
    except (OSError, ValueError):
        return None
    return (str(folder), *packed, *loose.items()) if _has_settled(packed) else None


def _text(file: Path) -> str:
    """Return what a small file of git's holds, "" where it is not there."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_REF_BYTES)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
    return data.decode("utf-8")


def _packs_mark(names: Sequence[str], root: Path) -> tuple[object, ...] | None:
    """Return what changes whenever packs in these places do; None where that cannot be told yet."""
    found: dict[str, tuple[int, ...]] = {}
    try:
        for name in names:
            place = root / name
            found[os.path.realpath(place)] = _data_of(place)
            if place.is_dir():
                found |= {str(one): _data_of(one) for one in _listed(place)}
    except (OSError, ValueError):
        return None
    return tuple(found.items()) if all(map(_has_settled, found.values())) else None


def _listed(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIXES))
    return (folder / name for name in names)


def _data_of(path: Path) -> tuple[int, ...]:
    """Return what the system knows of a file, and of a symlink that leads to it; () where it is not there.

    It is opened, because over a network only that looks how it is now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ()
    try:
        target = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return tuple(
        number
        for seen in (path.lstat(), target)
        for number in (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    )


def _has_settled(seen: tuple[int, ...]) -> bool:
    """Return whether a further change would show: the times of a file are no finer than the system's clock ticks."""
    return all(time.time_ns() - changed > _SETTLED_NS for changed in seen[4::5])


def contributors(root: Path, commit: str, roster: Mapping[str, Any]) -> list[str] | None:
    """Return who had a hand in what a commit adds to the base, None where that cannot be seen here."""
    from orchestrator.change import contributor_names, read_change

    try:
        change = read_change(f"{base_commit(root) or 'empty'}..{commit}", root)
    except UsageError:
        return None
    return contributor_names(change.contributors, roster)


def _joined(*many: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as one; who had a hand in it is whom any of them names."""
    joined = {name: value for facts in many for name, value in facts.items()}
    people = {one for facts in many for one in facts.get("contributors", ())}
    return joined | ({"contributors": sorted(people)} if "contributors" in joined else {})


def _known(
    recorder: Recorder, also: Beside | None, asked: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    with recorder.ledger.store.reading() as connection:
        return recorder.known_in(connection, asked, facts, also)


def _digest(gathered: Gathered) -> str:
    """Return what tells whether the packs are others; a bundle is told by its bytes, beside those of a run."""
    if gathered.bundle is None:
        return gathered.digest
    try:
        return f"{sha256(gathered.bundle.read_bytes())} {gathered.digest}"
    except OSError as error:
        raise UsageError(f"the bundle {str(gathered.bundle)!r} cannot be read: {error.strerror}") from error
