"""The ledger in a folder: what it refuses to open, and what it says when the disk does not do as it should."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import LedgerError
from orchestrator.ledger import heads, sqlite
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import SCHEMA_VERSION, Ledger

DRAFT = Draft("orch.decision", "run-1", "agent:fixer", {"label": "x" * 2000}, repository="acme/web")
IS_ROOT = os.geteuid() == 0


def events(ledger: Ledger) -> int:
    with ledger.store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM events")[0][0])


def _record(folder: Path) -> None:
    with open_ledger(str(folder)) as ledger:
        append_all(ledger, [DRAFT])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a ledger with three events that nobody has open."""
    with open_ledger(str(tmp_path / "ledger")) as ledger:
        append_all(ledger, [DRAFT] * 3)
    return tmp_path / "ledger"


def test_a_ledger_is_the_users_alone_and_waits_for_the_disk(sqlite_ledger: Ledger) -> None:
    raw = sqlite_ledger.store._connection.raw  # type: ignore[attr-defined]  # a SqliteStore

    assert sqlite_ledger.folder.stat().st_mode & 0o777 == 0o700
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_was_recorded_is_there_when_it_is_opened_again(folder: Path) -> None:
    with open_ledger(str(folder), must_exist=True) as ledger:
        assert events(ledger) == 3


def test_a_ledger_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger yet"):
        open_ledger(str(tmp_path / "none"), must_exist=True)

    assert not (tmp_path / "none").exists()


def _other_database(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as raw:
        raw.execute("CREATE TABLE x (y)")
    raw.close()


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as raw:
        raw.execute("PRAGMA user_version = 999")
    raw.close()


def _nameless(file: Path) -> None:
    with sqlite3.connect(file) as raw:
        raw.execute("DELETE FROM meta")
    raw.close()


def _linked(file: Path) -> None:
    file.rename(file.with_name("other.db"))
    file.symlink_to("other.db")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"no database" * 1000), "is damaged or no ledger: file is not a database"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "damaged or no ledger|malformed"),
        (_other_database, "is a database, but no ledger"),
        (_newer, f"has format 999; this orch knows formats up to {SCHEMA_VERSION}"),
        (_nameless, "has lost its name"),
        (_linked, "is no plain file"),
        (lambda file: file.chmod(0o666), r"can be written by others \(mode 666\)"),
        (lambda file: file.parent.chmod(0o777), r"can be written by others \(mode 777\)"),
    ],
    ids=["no database", "cut", "another database", "newer", "nameless", "symlink", "file open", "folder open"],
)
def test_a_ledger_that_cannot_be_trusted_is_not_opened(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(folder / "ledger.db")
    before = (folder / "ledger.db").read_bytes()

    with pytest.raises(LedgerError, match=said) as failure:
        _record(folder)

    assert failure.value.advice
    assert failure.value.exit_code == 6
    assert (folder / "ledger.db").read_bytes() == before


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_ledger_of_another_user_is_not_opened(folder: Path) -> None:
    os.chown(folder / "ledger.db", 12345, -1)

    with pytest.raises(LedgerError, match="belongs to user 12345, not to user 0"):
        open_ledger(str(folder))


def test_a_folder_that_cannot_be_made_is_told_with_what_names_another(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LedgerError, match="cannot be made") as failure:
        open_ledger(str(tmp_path / "file" / "ledger"))

    assert "ORCH_LEDGER" in failure.value.advice
    assert "XDG_CACHE_HOME" not in failure.value.advice


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    """That is what is left where the process that made it was killed before it wrote anything."""
    (tmp_path / "ledger").mkdir(mode=0o700)
    (tmp_path / "ledger" / "ledger.db").touch(mode=0o600)

    with open_ledger(str(tmp_path / "ledger")) as ledger:
        append_all(ledger, [DRAFT])
        assert events(ledger) == 1


MOUNTS = """sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw 0 0
server:/homes /home nfs4 rw,relatime 0 0
/dev/vdb /home/local ext4 rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
sshfs /srv/data fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/orch", ""),
        ("/home/alice/.local/state/orch", "nfs4"),
        ("/home/local/orch", ""),
        ("/home/locality/orch", "nfs4"),
        ("/mnt/my share/orch", "cifs"),
        ("/srv/data", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(folder: str, kind: str) -> None:
    assert sqlite.network_kind(folder, MOUNTS) == kind


def test_writers_that_wait_too_long_say_who_may_hold_it(folder: Path) -> None:
    with open_ledger(str(folder)) as held, open_ledger(str(folder)) as other:
        other.store.wait_s = 0.05  # type: ignore[attr-defined]  # a SqliteStore

        with held.store.writing(), pytest.raises(LedgerError, match="is busy: another process") as failure:
            append_all(other, [DRAFT])

    assert "fuser" in failure.value.advice


def test_times_that_go_back_change_nothing(folder: Path) -> None:
    times = ["2030-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]
    with open_ledger(str(folder)) as ledger:
        appended = append_all(ledger, [DRAFT._replace(time=time) for time in times])

        assert [event.fields["runseq"] for event in appended] == [4, 5, 6]
        assert [event.fields["time"] for event in appended] == times


CHILD = """
import resource, sys
from orchestrator.errors import LedgerError
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger import heads
from orchestrator.ledger.open import open_ledger

place, limit = sys.argv[1], int(sys.argv[2])
with open_ledger(place) as ledger:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        for _ in range(10_000):
            [event] = append_all(ledger, [Draft("orch.decision", "full", "agent:a", {"label": "x" * 20_000})])
            print(event.id, flush=True)
    except LedgerError as error:
        print(f"{error} | {error.advice}", file=sys.stderr)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            [event] = append_all(ledger, [Draft("orch.decision", "full", "agent:a", {"label": "after"})])
            print(event.id, flush=True)
"""


def _fill(place: Path, limit: int) -> tuple[list[str], str]:
    """Append in another process until it fails; return the ids it was told are recorded, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(place), str(limit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split(), done.stderr


def _ids(place: Path) -> list[str]:
    with open_ledger(str(place)) as ledger, ledger.store.reading() as connection:
        return [
            str(id_) for (id_,) in connection.execute("SELECT id FROM events WHERE run_id = 'full' ORDER BY run_seq")
        ]


def test_a_file_that_may_not_grow_loses_nothing(folder: Path) -> None:
    acknowledged, said = _fill(folder, 1_500_000)

    assert 5 < len(acknowledged) < 100
    assert "cannot be used" in said
    assert _ids(folder) == acknowledged


@pytest.mark.skipif(not IS_ROOT or not shutil.which("mount"), reason="only root can mount a small disk")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk)], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        acknowledged, said = _fill(disk / "ledger", 0)
        assert _ids(disk / "ledger") == acknowledged
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)

    assert len(acknowledged) > 5
    assert "full" in said
    assert "free some space; nothing was lost" in said


@pytest.mark.skipif(not IS_ROOT or not shutil.which("mount"), reason="only root can mount a read-only disk")
def test_a_read_only_disk_is_told(folder: Path) -> None:
    mount = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        with pytest.raises(LedgerError, match=r"readonly|unable to open|read-only") as failure:
            _record(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)

    assert "can be written" in failure.value.advice
    with open_ledger(str(folder)) as ledger:
        assert events(ledger) == 3


def test_processes_that_make_a_ledger_at_once_make_one(tmp_path: Path) -> None:
    program = "import sys; from orchestrator.ledger.open import open_ledger; print(open_ledger(sys.argv[1]).id)"
    command = [sys.executable, "-c", program, str(tmp_path / "ledger")]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    said = [maker.communicate(timeout=60)[0] for maker in makers]

    assert [maker.returncode for maker in makers] == [0] * 4
    assert len(set(said)) == 1


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_no_ledger_takes_the_place_of_one_whose_key_is_left(tmp_path: Path, left: str) -> None:
    place = tmp_path / "ledger"
    with open_ledger(str(place)) as ledger:
        heads.sign(ledger)
    for file in place.glob("ledger.db*"):
        file.unlink()
    if left == "an empty file":
        (place / "ledger.db").touch(0o600)

    with pytest.raises(LedgerError, match=r"is gone, and its key head\.key is still there"):
        open_ledger(str(place))


def test_nobody_else_may_read_what_is_recorded(tmp_path: Path) -> None:
    with open_ledger(str(tmp_path / "ledger")) as ledger:
        append_all(ledger, [Draft("acme.note", "r1", "user:x", {"a": 1})])

        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "ledger").glob("ledger.db*")}

    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
