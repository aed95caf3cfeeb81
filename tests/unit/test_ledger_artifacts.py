"""Artifacts are kept under their digest, once, masked, durably, and never where somebody else points to."""

import base64
import hashlib
import io
import os
import threading
import time
from pathlib import Path

import pytest

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import artifacts
from orchestrator.ledger.artifacts import Artifact
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger

DATA = b"<testsuite tests='1'/>\n"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


def put(ledger: Ledger, data: bytes = DATA) -> Artifact:
    return artifacts.put(ledger, data, name="junit.xml", media_type="application/xml")


def file_of(ledger: Ledger, digest: str) -> Path:
    return ledger.folder / "artifacts" / "sha256" / digest[7:9] / digest[7:]


def speak_of(ledger: Ledger, artifact: Artifact) -> bool:
    """Append the event; return whether there was none."""
    with ledger.store.writing() as connection:
        return artifacts.stored(ledger, connection, artifact, "adhoc:1", "user:alice") is not None


def grow_old(file: Path) -> None:
    os.utime(file, (time.time() - 100_000,) * 2)


def test_what_is_put_is_given_back(ledger: Ledger) -> None:
    artifact = put(ledger)

    assert artifact == Artifact(DIGEST, len(DATA), "application/xml", "junit.xml", was_masked=False)
    assert artifacts.open(ledger, DIGEST) == DATA
    assert artifacts.stream(ledger, DIGEST).read() == DATA
    assert artifacts.check(ledger, DIGEST, len(DATA)) == ""


def test_a_file_and_a_stream_can_be_put(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_bytes(DATA)

    digests = {artifacts.put(ledger, source, name="x", media_type="y").digest for source in (file, io.BytesIO(DATA))}

    assert digests == {DIGEST}


def test_the_store_is_the_users_alone(ledger: Ledger) -> None:
    put(ledger)
    os.umask(os.umask(0o022))

    modes = {path.stat().st_mode & 0o777 for path in (ledger.folder / "artifacts").rglob("*") if path.is_dir()}

    assert modes == {0o700}
    assert file_of(ledger, DIGEST).stat().st_mode & 0o777 == 0o600
    assert file_of(ledger, DIGEST).stat().st_nlink == 1


def test_the_same_content_is_the_same_blob_and_one_event(ledger: Ledger) -> None:
    first, second = put(ledger), put(ledger)

    assert first == second
    assert [speak_of(ledger, first), speak_of(ledger, second)] == [True, False]
    with ledger.store.reading() as connection:
        assert connection.execute("SELECT digest, size, media_type, name FROM artifacts") == [tuple(first[:4])]
        assert connection.execute("SELECT count(*) FROM events WHERE type = 'orch.artifact.stored'") == [(1,)]


def test_an_event_that_is_not_committed_was_never_there(ledger: Ledger) -> None:
    artifact = put(ledger)

    def interrupted() -> None:
        with ledger.store.writing() as connection:
            artifacts.stored(ledger, connection, artifact, "adhoc:1", "user:alice")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()

    assert [one.digest for one in artifacts.orphans(ledger)] == [DIGEST]
    assert speak_of(ledger, artifact)


def test_secrets_are_masked_before_the_digest(ledger: Ledger) -> None:
    hiding = ledger._replace(mask=Mask.of({"A_TOKEN": "canary-4711-xyz"}))
    given = b"a canary-4711-xyz b " + base64.b64encode(b"canary-4711-xyz")

    artifact = artifacts.put(hiding, given, name="canary-4711-xyz.log", media_type="text/plain")

    assert artifact.was_masked
    assert artifact.name == "[masked].log"
    assert artifacts.open(ledger, artifact.digest) == b"a [masked] b [masked]"


def test_too_much_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(bytes(2_000))

    for source in (bytes(2_000), file, io.BytesIO(bytes(2_000))):
        with pytest.raises(UsageError, match=r"has more than 0\.00095"):
            artifacts.put(ledger, source, name="big", media_type="x", limit_bytes=1_000)
    assert not (ledger.folder / "artifacts").exists()


@pytest.mark.parametrize("kind", ["symlink", "folder", "fifo", "missing"])
def test_what_is_no_plain_file_is_refused(ledger: Ledger, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "report"
    match kind:
        case "symlink":
            file.symlink_to("/etc/hostname")
        case "folder":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)

    with pytest.raises(UsageError, match=r"cannot read|no plain file"):
        artifacts.put(ledger, file, name="x", media_type="y")


@pytest.mark.parametrize("step", ["artifacts", "artifacts/sha256", f"artifacts/sha256/{DIGEST[7:9]}"])
def test_no_symlink_in_the_store_is_followed(ledger: Ledger, tmp_path: Path, step: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (ledger.folder / step).parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    for parent in (ledger.folder / "artifacts", ledger.folder / "artifacts/sha256"):
        if parent.is_dir():
            parent.chmod(0o700)
    (ledger.folder / step).symlink_to(elsewhere)

    with pytest.raises(LedgerError, match="cannot be kept"):
        put(ledger)
    assert not list(elsewhere.iterdir())
    assert artifacts.check(ledger, DIGEST).startswith("cannot be read")


def test_a_symlink_in_place_of_a_blob_is_not_followed(ledger: Ledger, tmp_path: Path) -> None:
    put(ledger)
    blob, same = file_of(ledger, DIGEST), tmp_path / "same"
    blob.rename(same)
    blob.symlink_to(same)

    assert artifacts.check(ledger, DIGEST).startswith("cannot be read")
    with pytest.raises(LedgerError):
        put(ledger)
    assert blob.is_symlink()


def test_a_folder_that_is_open_to_others_is_refused(ledger: Ledger) -> None:
    put(ledger)
    file_of(ledger, DIGEST).parent.chmod(0o755)

    with pytest.raises(LedgerError, match="open to others"):
        put(ledger)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        pytest.param(lambda file: file.write_bytes(DATA[:-1] + b"x"), "was changed", id="a byte"),
        pytest.param(lambda file: file.write_bytes(DATA[:-1]), "was changed", id="cut"),
        pytest.param(lambda file: file.unlink(), "is missing", id="gone"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), "cannot be read", id="a folder"),
    ],
)
def test_damage_is_found_and_never_written_over(ledger: Ledger, damage: object, problem: str) -> None:
    put(ledger)
    assert callable(damage)
    damage(file_of(ledger, DIGEST))

    assert problem in artifacts.check(ledger, DIGEST)
    with pytest.raises(LedgerError):
        artifacts.open(ledger, DIGEST)
    if problem == "was changed":
        with pytest.raises(LedgerError, match="was changed where it is kept"):
            put(ledger)


@pytest.mark.parametrize("digest", ["", "x", "sha256:" + "../" * 21 + "a", "sha256:" + "A" * 64, "sha512:" + "a" * 64])
def test_what_is_no_digest_names_no_file(ledger: Ledger, digest: str) -> None:
    assert "names no artifact" in artifacts.check(ledger, digest)
    with pytest.raises(LedgerError, match="names no artifact"):
        artifacts.open(ledger, digest)


def test_an_event_with_another_size_is_told(ledger: Ledger) -> None:
    put(ledger)

    assert artifacts.check(ledger, DIGEST, 3) == f"has {len(DATA)} bytes, and its event says 3"


def test_orphans_are_swept_when_they_are_old(ledger: Ledger) -> None:
    spoken, young, old = put(ledger), put(ledger, b"young"), put(ledger, b"old")
    speak_of(ledger, spoken)
    rest = file_of(ledger, old.digest).with_name("new-1")
    rest.write_bytes(b"half")
    for file in (file_of(ledger, spoken.digest), file_of(ledger, old.digest), rest):
        grow_old(file)

    assert {one.digest for one in artifacts.orphans(ledger)} == {young.digest, old.digest, ""}
    assert {one.digest for one in artifacts.sweep(ledger)} == {old.digest, ""}
    assert [one.digest for one in artifacts.orphans(ledger)] == [young.digest]
    assert artifacts.check(ledger, spoken.digest) == ""


def test_an_old_orphan_that_is_put_again_stays(ledger: Ledger) -> None:
    artifact = put(ledger)
    grow_old(file_of(ledger, DIGEST))
    put(ledger)

    assert artifacts.sweep(ledger) == []
    assert speak_of(ledger, artifact)


def test_many_can_put_the_same_at_once(ledger: Ledger) -> None:
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(put(ledger).digest)) for _ in range(16)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [DIGEST] * 16
    assert [path.name for path in file_of(ledger, DIGEST).parent.iterdir()] == [DIGEST[7:]]


def test_a_folder_that_cannot_be_written_is_told(ledger: Ledger) -> None:
    (ledger.folder / "artifacts").write_bytes(b"a file is in the way")

    with pytest.raises(LedgerError, match="cannot be kept") as caught:
        put(ledger)

    assert "nothing was recorded" in caught.value.advice
