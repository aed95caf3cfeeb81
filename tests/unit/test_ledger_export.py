"""Exports: an auditor's verifier finds them whole, and finds each thing that was changed."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_history import BLOB, CANARY, DIGEST, RUN, record

from orchestrator.errors import UsageError
from orchestrator.ledger import anchor, heads, offline
from orchestrator.ledger.append import append_all
from orchestrator.ledger.erase import erase
from orchestrator.ledger.event import Draft
from orchestrator.ledger.export import Exported, Options, export
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.read import Filter
from orchestrator.ledger.store import Ledger

Change = Callable[[dict[str, bytes]], None]


def parts(file: Path) -> dict[str, bytes]:
    """Return the content of each member."""
    with tarfile.open(file) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]  # plain files


def write(file: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file


def lines(members: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in members["events.jsonl"].splitlines()]


def rewritten(members: dict[str, bytes], said: list[dict[str, Any]]) -> None:
    members["events.jsonl"] = b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in said)


def exported(ledger: Ledger, file: Path, **options: Any) -> Exported:  # noqa: ANN401  # fields of Options
    return export(ledger, file, Options(**options))


def test_a_whole_export_is_verified_with_the_key_alone(ledger: Ledger, tmp_path: Path) -> None:
    appended = record(ledger)

    done = exported(ledger, tmp_path / "x.tar")
    report = offline.check(tmp_path / "x.tar", done.key)

    assert (report.exit_code, report.wrong, report.unclear) == (0, (), ())
    assert (len(appended) + 1, True, 0) == (done.events, done.is_whole, done.unanchored)
    assert (tmp_path / "x.tar").stat().st_size == done.size_bytes


def test_the_verifier_in_it_needs_nothing_of_ours(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    (tmp_path / "verify.py").write_bytes(parts(tmp_path / "x.tar")["verify.py"])

    ran = subprocess.run(
        [sys.executable, "-I", tmp_path / "verify.py", tmp_path / "x.tar", "--key", done.key],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("VERIFIED\n")
    assert "It does not prove" in ran.stdout
    assert "orchestrator" not in parts(tmp_path / "x.tar")["verify.py"].decode()


def test_without_a_key_nobody_can_tell_who_signed(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    exported(sqlite_ledger, tmp_path / "x.tar")

    report = offline.check(tmp_path / "x.tar")

    assert (report.exit_code, report.wrong) == (6, ())
    assert "no key was given" in report.unclear[0]


def test_the_same_events_give_the_same_bytes(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)

    for name in ("a.tar", "b.tar"):
        exported(sqlite_ledger, tmp_path / name)

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_some_runs_come_with_proofs_that_they_are_in_the_tree(ledger: Ledger, tmp_path: Path) -> None:
    appended = [one for one in record(ledger) if not one.fields["runid"].startswith("escalation:")]
    append_all(ledger, [Draft("orch.test", f"other-{number}", "user:a") for number in range(70)])

    done = exported(ledger, tmp_path / "x.tar", runs=(RUN, "adhoc:1", "other-3"))
    report = offline.check(tmp_path / "x.tar", done.key)

    said = lines(parts(tmp_path / "x.tar"))
    assert (0, False, len(appended) + 1) == (report.exit_code, done.is_whole, done.events)
    assert "with gaps" in report.facts[2]
    assert " 0 with gaps" in report.facts[2]
    assert max(len(one["proof"]) for one in said) <= (done.head.size - 1).bit_length()


def test_a_filter_that_leaves_gaps_is_said_to(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger)

    done = exported(ledger, tmp_path / "x.tar", wanted=Filter(type="budget"))
    report = offline.check(tmp_path / "x.tar", done.key)

    assert (report.exit_code, done.events) == (0, 9)
    assert "1 chain, 1 with gaps" in report.facts[2]
    assert "that there are no others is not proved" in offline.report_text(report)


def test_headers_alone_hold_nothing_that_people_wrote(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger)

    done = exported(ledger, tmp_path / "x.tar", headers_only=True)

    assert offline.check(tmp_path / "x.tar", done.key).exit_code == 0
    assert CANARY.encode() not in (tmp_path / "x.tar").read_bytes()


def test_an_erased_payload_is_explained_by_the_event_that_erased_it(ledger: Ledger, tmp_path: Path) -> None:
    appended = record(ledger)
    erase(ledger, appended[2].id, "asked for", "user:ann")

    done = exported(ledger, tmp_path / "some.tar", runs=(RUN,))
    report = offline.check(tmp_path / "some.tar", done.key)
    members = parts(tmp_path / "some.tar")
    rewritten(members, [one for one in lines(members) if "orch.ledger.erased" not in one["header"]])
    said = json.loads(members["bundle.json"])
    members["bundle.json"] = json.dumps({**said, "events": said["events"] - 1}).encode()
    hidden = offline.check(write(tmp_path / "hidden.tar", members), done.key)

    assert (report.exit_code, hidden.exit_code) == (0, 1)
    assert "no event erased it" in hidden.wrong[0]


def test_artifacts_come_along_when_asked_for(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    value = DIGEST.removeprefix("sha256:")
    blob = sqlite_ledger.folder / "artifacts" / "sha256" / value[:2] / value
    blob.parent.mkdir(parents=True)
    blob.write_bytes(BLOB)

    done = exported(sqlite_ledger, tmp_path / "x.tar", artifacts=True)
    report = offline.check(tmp_path / "x.tar", done.key)
    members = parts(tmp_path / "x.tar")
    members[f"artifacts/sha256/{value}"] = b"other"
    changed = offline.check(write(tmp_path / "y.tar", members), done.key)

    assert (done.artifacts, report.exit_code, changed.exit_code) == (1, 0, 1)


def test_a_head_that_was_kept_shows_that_the_record_was_rewritten(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    appended = record(sqlite_ledger)
    held = heads.sign(sqlite_ledger)
    append_all(sqlite_ledger, [Draft("orch.test", "r", "user:a")])
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    forged = parts(tmp_path / "x.tar")
    key = sqlite_ledger.folder / "head.key"
    for number, kept in enumerate((True, False)):
        with open_ledger(str(tmp_path / f"forged-{number}")) as other, other.store.writing() as connection:
            connection.execute("UPDATE meta SET value = ?", (sqlite_ledger.id,))
        (tmp_path / f"forged-{number}" / "head.key").write_bytes(key.read_bytes())
        (tmp_path / f"forged-{number}" / "head.key").chmod(0o600)
        with open_ledger(str(tmp_path / f"forged-{number}")) as other:
            append_all(other, [Draft("orch.test", "r", "user:eve")] * (held.size if kept else 2))
            exported(other, tmp_path / f"forged-{number}.tar")

    whole = offline.check(tmp_path / "x.tar", done.key, held.note)
    rewrote = offline.check(tmp_path / "forged-0.tar", done.key, held.note)
    unheld = offline.check(tmp_path / "forged-0.tar", done.key)
    shorter = offline.check(tmp_path / "forged-1.tar", done.key, held.note)

    assert (whole.exit_code, rewrote.exit_code, unheld.exit_code, shorter.exit_code) == (0, 1, 0, 6)
    assert "kept elsewhere" in rewrote.wrong[0]
    assert forged
    assert appended


def test_a_head_as_it_was_printed_is_one_and_what_is_none_proves_nothing(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    printed = anchor.printed(sqlite_ledger, None, "text")
    (tmp_path / "head.txt").write_text(printed)
    other = f"{done.key[:-8]}{'A' * 8}"

    of_file = offline.check(tmp_path / "x.tar", str(tmp_path / "head.txt"), printed)
    codes = {
        text: offline.check(tmp_path / "x.tar", done.key, text).exit_code
        for text in (
            "",
            "nonsense",
            done.key,
            printed.replace(f"\n{done.head.size}\n", "\n1\n"),
            f"{other}\n\n{done.head.note}",
        )
    }

    assert (of_file.exit_code, of_file.wrong, of_file.unclear) == (0, (), ())
    assert list(codes.values()) == [6, 6, 6, 6, 1]


def test_the_verifier_says_of_a_missing_head_that_it_cannot_tell(
    sqlite_ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")

    missing = offline.main([str(tmp_path / "x.tar"), "--key", done.key, "--head", str(tmp_path / "none")])
    said = capsys.readouterr().out
    verified = offline.main([str(tmp_path / "x.tar"), "--key", done.key])
    text = capsys.readouterr().out

    assert (missing, verified) == (6, 0)
    assert "none' cannot be read" in " ".join(said.split())
    assert max(len(line) for line in text.splitlines() if done.key not in line) <= 80
    assert "1 chains" not in text


def _header(members: dict[str, bytes]) -> None:
    said = lines(members)
    said[3]["header"] = said[3]["header"].replace("agent:fixer", "agent:other")
    rewritten(members, said)


def _payload(members: dict[str, bytes]) -> None:
    said = lines(members)
    said[3]["body"] = said[3]["body"].replace("Kanarienvogel", "Goldfisch")
    rewritten(members, said)


def _salt(members: dict[str, bytes]) -> None:
    said = lines(members)
    said[3]["salt"] = "00" * 16
    rewritten(members, said)


def _no_payload(members: dict[str, bytes]) -> None:
    said = lines(members)
    del said[3]["body"]
    rewritten(members, said)


def _dropped(members: dict[str, bytes]) -> None:
    rewritten(members, [one for one in lines(members) if one["index"] != 3])


def _cut(members: dict[str, bytes]) -> None:
    said = lines(members)[:-1]
    rewritten(members, said)
    bundle = json.loads(members["bundle.json"])
    members["bundle.json"] = json.dumps({**bundle, "events": len(said)}).encode()


def _swapped(members: dict[str, bytes]) -> None:
    said = lines(members)
    said[3], said[4] = {**said[4], "index": 3}, {**said[3], "index": 4}
    rewritten(members, said)


def _twice(members: dict[str, bytes]) -> None:
    said = lines(members)
    rewritten(members, [*said, said[-1]])


def _head_size(members: dict[str, bytes]) -> None:
    members["head"] = members["head"].replace(b"\n60\n", b"\n59\n")


def _relabelled(members: dict[str, bytes]) -> None:
    """Claim that it is only a part, so that the root is not looked at."""
    _dropped(members)
    bundle = json.loads(members["bundle.json"])
    members["bundle.json"] = json.dumps({**bundle, "kind": "some", "events": bundle["events"] - 1}).encode()


def _order(members: dict[str, bytes]) -> None:
    members["head"] = members.pop("head")


def _stranger(members: dict[str, bytes]) -> None:
    members["../../etc/passwd"] = b"x"


def _named_twice(members: dict[str, bytes]) -> None:
    members["events.jsonl"] = members["events.jsonl"].replace(b'{"', b'{"index":0,"', 1)


def _escaped(members: dict[str, bytes]) -> None:
    """Write a header in another way that means the same."""
    said = lines(members)
    said[3]["header"] = said[3]["header"].replace('"actor":"', '"actor": "')
    rewritten(members, said)


@pytest.mark.parametrize(
    "change",
    [_header, _payload, _salt, _no_payload, _dropped, _cut, _swapped, _twice, _head_size, _relabelled, _order, _stranger, _named_twice, _escaped],
)  # fmt: skip
def test_whatever_is_changed_is_found(sqlite_ledger: Ledger, tmp_path: Path, change: Change) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    members = parts(tmp_path / "x.tar")

    change(members)
    report = offline.check(write(tmp_path / "y.tar", members), done.key)

    assert done.head.size == 60
    assert report.exit_code == 1, report


@pytest.mark.parametrize("change", [_header, _payload, _salt, _no_payload])
def test_whatever_is_changed_in_a_part_is_found(sqlite_ledger: Ledger, tmp_path: Path, change: Change) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar", runs=(RUN,))
    members = parts(tmp_path / "x.tar")

    change(members)

    assert offline.check(write(tmp_path / "y.tar", members), done.key).exit_code == 1


def test_a_proof_for_another_place_is_refused(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar", runs=("adhoc:1",))
    members = parts(tmp_path / "x.tar")
    said = lines(members)
    for broken in ({"index": 3}, {"proof": said[0]["proof"][1:]}, {"proof": "x"}, {"proof": None}, {"index": 2**60}):
        rewritten(members, [{**said[0], **broken}])

        assert offline.check(write(tmp_path / "y.tar", members), done.key).exit_code == 1


def test_another_key_another_ledger_and_a_mistyped_key_are_refused(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    with open_ledger(str(tmp_path / "other")) as other:
        append_all(other, [Draft("orch.test", "r", "user:a")])
        others = exported(other, tmp_path / "other.tar")

    mistyped = "B" if done.key.endswith("A") else "A"
    assert offline.check(tmp_path / "x.tar", others.key).exit_code == 1
    assert offline.check(tmp_path / "x.tar", done.key, others.head.note).exit_code == 6
    assert offline.check(tmp_path / "x.tar", done.key[:-1] + mistyped).exit_code == 6
    assert offline.check(tmp_path / "x.tar", "nonsense").exit_code == 6


def test_no_flipped_byte_of_what_was_signed_is_verified(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    append_all(sqlite_ledger, [Draft("orch.test", "r", "user:a", {"a": 1})])
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    members = parts(tmp_path / "x.tar")
    for name in ("events.jsonl", "head"):
        data = members[name]
        for at in range(len(data)):
            flipped = {**members, name: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}

            report = offline.check(write(tmp_path / "y.tar", flipped), done.key)

            assert report.exit_code != 0, (name, at)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 6),
        (b"\0" * 1_024, 6),
        (b"no tar" * 1_000, 6),
        (b"\x1f\x8b" + b"x" * 600, 6),
    ],
    ids=["empty", "an empty archive", "no archive", "compressed"],
)
def test_what_is_no_bundle_cannot_be_told(tmp_path: Path, data: bytes, code: int) -> None:
    (tmp_path / "x.tar").write_bytes(data)

    assert offline.check(tmp_path / "x.tar").exit_code == code
    assert offline.check(tmp_path / "not there").exit_code == 6


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.XHDTYPE])
def test_hostile_members_are_refused_and_nothing_is_written(sqlite_ledger: Ledger, tmp_path: Path, kind: bytes) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar", "a", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("artifacts/sha256/" + "a" * 64)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    before = sorted(path.name for path in tmp_path.iterdir())

    report = offline.check(tmp_path / "x.tar", done.key)

    assert report.exit_code == 1
    assert before == sorted(path.name for path in tmp_path.iterdir())


def test_a_size_that_is_not_there_ends_early(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    done = exported(sqlite_ledger, tmp_path / "x.tar")
    whole = (tmp_path / "x.tar").read_bytes()
    for end in range(0, len(whole) - 10_240, 1_111):
        (tmp_path / "y.tar").write_bytes(whole[:end])

        assert offline.check(tmp_path / "y.tar", done.key).exit_code in {1, 6}


def test_nothing_is_overwritten_and_nothing_left_behind(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    record(sqlite_ledger)
    (tmp_path / "x.tar").write_bytes(b"kept")

    with pytest.raises(UsageError, match="already"):
        exported(sqlite_ledger, tmp_path / "x.tar")
    with pytest.raises(UsageError, match="no event"):
        exported(sqlite_ledger, tmp_path / "y.tar", runs=("no such run",))

    assert (tmp_path / "x.tar").read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "ledger", "x.tar"]


def test_a_pipe_is_no_export_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")

    assert offline.check(tmp_path / "a.tar").exit_code == 6
