"""Heads are signed over what is recorded, extend the one before, and are kept in a git ref that only moves forward."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.errors import LedgerError, OrchError, UsageError
from orchestrator.ledger import anchor, heads, merkle, note, signer
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger


def record(ledger: Ledger, count: int, run: str = "run-1") -> None:
    append_all(ledger, [Draft("orch.test", run, "user:alice", {"number": number}) for number in range(count)])


def leaves(ledger: Ledger) -> list[bytes]:
    with ledger.store.reading() as connection:
        return [bytes(leaf) for (leaf,) in connection.execute("SELECT hash FROM leaves ORDER BY idx")]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    git(tmp_path, "init", "-q", str(folder))
    return folder


def test_a_head_is_signed_over_everything_recorded(ledger: Ledger) -> None:
    record(ledger, 5)

    head = heads.sign(ledger)

    read = note.parse(head.note)
    assert head.size == 5 + len(["the event that names the key"])
    assert read.checkpoint == (f"orch/{ledger.id}", 6, merkle.root(leaves(ledger)))
    assert note.check(read, signer.ready(ledger).public) == ""


def test_signing_again_gives_the_same_head(ledger: Ledger) -> None:
    record(ledger, 3)

    assert heads.sign(ledger) == heads.sign(ledger) == heads.newest(ledger)


def test_each_head_is_folded_on_the_one_before(ledger: Ledger) -> None:
    found = []
    for count in (1, 2, 5, 8):
        record(ledger, count)
        found.append(heads.sign(ledger))

    everything = leaves(ledger)
    assert [head.root for head in found] == [merkle.root(everything[: head.size]) for head in found]
    with ledger.store.reading() as connection:
        assert heads.stored(connection) == found


def test_the_key_is_the_users_alone_and_recorded_once(ledger: Ledger) -> None:
    heads.sign(ledger)
    record(ledger, 1)
    heads.sign(ledger)

    with ledger.store.reading() as connection:
        known = signer.recorded(connection)
        count = connection.execute("SELECT count(*) FROM events WHERE type = ?", (signer.CREATED,))[0][0]
    assert (ledger.folder / "head.key").stat().st_mode & 0o777 == 0o600
    assert (known, count) == (str(signer.ready(ledger).public), 1)


def replace_key(file: Path) -> None:
    file.unlink()
    with open_ledger(str(file.parent.parent / "other")) as other:
        heads.sign(other)
    file.write_bytes((file.parent.parent / "other" / "head.key").read_bytes())
    file.chmod(0o600)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda file: file.chmod(0o640), "not safe", id="open to others"),
        pytest.param(lambda file: file.unlink(), "is not here", id="gone"),
        pytest.param(lambda file: file.write_text("no key"), "cannot be read", id="damaged"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), "not safe|cannot be read", id="a folder"),
        pytest.param(replace_key, "is not the one of this ledger", id="another key"),
    ],
)
def test_a_key_that_cannot_be_trusted_is_refused(ledger: Ledger, spoil: Callable[[Path], object], said: str) -> None:
    heads.sign(ledger)
    spoil(ledger.folder / "head.key")

    with pytest.raises(LedgerError, match=said):
        heads.sign(ledger)


def test_a_symlink_is_no_key(ledger: Ledger) -> None:
    heads.sign(ledger)
    file = ledger.folder / "head.key"
    file.rename(ledger.folder / "elsewhere")
    file.symlink_to(ledger.folder / "elsewhere")

    with pytest.raises(LedgerError, match="cannot be read"):
        heads.sign(ledger)


def test_many_signers_at_once_are_fine(sqlite_ledger: Ledger) -> None:
    """Each process signs what it sees; nobody fails, and every head is a beginning of the same tree."""
    ledger = sqlite_ledger
    named = str(ledger.folder)
    program = f"""
from orchestrator.ledger import heads
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
import sys
with open_ledger({named!r}) as ledger:
    for number in range(4):
        append_all(ledger, [Draft("orch.test", "run-" + sys.argv[1], "user:a", {{}})])
        heads.sign(ledger)
"""
    started = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)]

    codes = [one.wait(60) for one in started]

    everything = leaves(ledger)
    with ledger.store.reading() as connection:
        found = heads.stored(connection)
    assert codes == [0, 0, 0]
    assert [head.root for head in found] == [merkle.root(everything[: head.size]) for head in found]


def test_a_head_that_is_not_there_is_told(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no signed head yet"):
        heads.newest(ledger)
    with pytest.raises(LedgerError, match="of size 9"):
        heads.newest(ledger, 9)


def test_an_anchor_is_a_commit_with_its_predecessor(ledger: Ledger, checkout: Path) -> None:
    first = anchor.anchor(ledger, checkout)
    record(ledger, 3)
    second = anchor.anchor(ledger, checkout)

    assert git(checkout, "rev-parse", anchor.REF, f"{anchor.REF}^").split() == [second.commit, first.commit]
    assert git(checkout, "show", f"{anchor.REF}:head") + "\n" == second.head.note
    assert [held.note for held in anchor.anchored(checkout)] == [second.head.note, first.head.note]
    assert git(checkout, "status", "--porcelain") == ""


def test_the_same_head_is_anchored_once(ledger: Ledger, checkout: Path) -> None:
    first = anchor.anchor(ledger, checkout)

    again = anchor.anchor(ledger, checkout)

    assert (first.is_new, again.is_new, again.commit) == (True, False, first.commit)


def test_two_checkouts_push_to_one_ref_in_turn(ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    """What the other one pushed is fetched and built upon; nothing is forced."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(tmp_path, "init", "-q", "second")
    remote = str(tmp_path / "remote.git")
    anchor.anchor(ledger, checkout, remote=remote)
    record(ledger, 1)
    anchor.anchor(ledger, tmp_path / "second", remote=remote)
    record(ledger, 1)
    last = anchor.anchor(ledger, checkout, remote=remote)

    assert git(tmp_path / "remote.git", "rev-parse", anchor.REF) == last.commit
    assert len(anchor.anchored(checkout)) == 3
    assert len(anchor.anchored(tmp_path / "second")) == 2


def test_a_ref_that_went_apart_is_told_and_kept(ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(tmp_path, "init", "-q", "second")
    anchor.anchor(ledger, checkout)
    anchor.anchor(ledger, tmp_path / "second", remote=str(tmp_path / "remote.git"))
    before = git(checkout, "rev-parse", anchor.REF)

    with pytest.raises((LedgerError, UsageError)):
        anchor.anchor(ledger, checkout, remote=str(tmp_path / "remote.git"))

    assert git(checkout, "rev-parse", anchor.REF) == before


def test_two_ledgers_do_not_share_a_ref(ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    anchor.anchor(ledger, checkout)

    with open_ledger(str(tmp_path / "second")) as other:
        with pytest.raises(LedgerError, match="not of this ledger"):
            anchor.anchor(other, checkout)
        anchor.anchor(other, checkout, ref="refs/orch/second")


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "refs/tags/x", "refs/orch/..", "-f", "refs/orch/a b", ""])
def test_a_ref_for_heads_is_no_branch_and_no_option(ledger: Ledger, checkout: Path, ref: str) -> None:
    with pytest.raises(UsageError, match="no ref for heads"):
        anchor.anchor(ledger, checkout, ref=ref)


@pytest.mark.parametrize("remote", ["--upload-pack=touch x", "nowhere", "ext::sh -c true"])
def test_a_remote_that_is_none_leaves_the_ref_alone(ledger: Ledger, checkout: Path, remote: str) -> None:
    with pytest.raises(UsageError):
        anchor.anchor(ledger, checkout, remote=remote)

    assert git(checkout, "for-each-ref") == ""


def cut(ledger: Ledger, count: int) -> None:
    """Take the last events away, with everything in the ledger that speaks of them."""
    with sqlite3.connect(ledger.folder / "ledger.db") as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        left = raw.execute("SELECT count(*) FROM leaves").fetchone()[0] - count
        raw.execute("DELETE FROM events WHERE id IN (SELECT event_id FROM leaves WHERE idx >= ?)", (left,))
        raw.execute("DELETE FROM leaves WHERE idx >= ?", (left,))
        raw.execute("DELETE FROM heads WHERE size > ?", (left,))
    raw.close()


def test_a_ledger_that_was_cut_is_neither_signed_nor_anchored(sqlite_ledger: Ledger, checkout: Path) -> None:
    heads.sign(sqlite_ledger)
    record(sqlite_ledger, 5)
    anchor.anchor(sqlite_ledger, checkout)
    cut(sqlite_ledger, 2)

    with pytest.raises(LedgerError, match=r"has 4 events; refs/orch/heads at .* was signed over 6"):
        anchor.anchor(sqlite_ledger, checkout)


def test_a_head_over_more_than_there_is_cannot_be_extended(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger, 5)
    heads.sign(sqlite_ledger)
    with sqlite3.connect(sqlite_ledger.folder / "ledger.db") as raw:
        raw.execute("DROP TRIGGER leaves_last")
        raw.execute("DELETE FROM leaves WHERE idx > 2")
    raw.close()

    with pytest.raises(LedgerError, match="its end was cut off"):
        heads.sign(sqlite_ledger)


def test_a_changed_head_cannot_be_extended(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger, 5)
    heads.sign(sqlite_ledger)
    record(sqlite_ledger, 1)
    with sqlite3.connect(sqlite_ledger.folder / "ledger.db") as raw:
        raw.execute("DROP TRIGGER heads_stay")
        raw.execute("UPDATE heads SET root = zeroblob(32)")
    raw.close()

    with pytest.raises(LedgerError, match="cannot be extended"):
        heads.sign(sqlite_ledger)


def test_a_ref_without_heads_is_told(checkout: Path) -> None:
    with pytest.raises(LedgerError, match=r"there is no 'refs/orch/heads' in .* yet") as failure:
        anchor.anchored(checkout)
    assert "git fetch REMOTE refs/orch/heads:refs/orch/heads" in failure.value.advice
    with pytest.raises(LedgerError, match="neither a file nor a git ref"):
        anchor.gathered(("nofile",), checkout)
    git(checkout, "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(UsageError, match="keeps no heads"):
        anchor.anchored(checkout, "HEAD")


def test_a_folder_without_a_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in a git checkout"):
        anchor.anchored(tmp_path)


@pytest.mark.parametrize("how", ["remote.origin.uploadpack", "remote.origin.receivepack", "ext"])
def test_a_hostile_checkout_names_no_program_for_a_push(
    ledger: Ledger, checkout: Path, tmp_path: Path, how: str
) -> None:
    record(ledger, 2)
    there, ran, program = tmp_path / "there.git", tmp_path / "ran", tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o700)
    git(tmp_path, "init", "-q", "--bare", str(there))
    settings = {"remote.origin.url": f"ext::{program}" if how == "ext" else str(there), "protocol.ext.allow": "always"}
    for name, value in (settings | ({} if how == "ext" else {how: str(program)})).items():
        git(checkout, "config", name, value)

    with suppress(OrchError):
        anchor.anchor(ledger, checkout, remote="origin")

    assert not ran.exists()
