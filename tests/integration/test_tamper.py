"""Drills: whatever is done to a ledger's file, `verify` says it, and never fails itself.

Local checks see every change but two: a tail that was cut off with the heads over it, and a ledger written anew with its
own key. Those are seen by a head that was held elsewhere.
"""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import spoiled_ledger
from command_line import clean, place_in
from spoiled_ledger import SIZE, change, held_of, record, sql

from orchestrator.ledger import heads, signer, verify_seen
from orchestrator.ledger.event import first_head, head_of, header_bytes, leaf_hash, parse_header
from orchestrator.ledger.merkle import root
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_heads import Held
from orchestrator.ledger.verify_report import Report, State

ALONE = Options(remembers=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Held]:
    """Return a ledger, and its last head as somebody held it."""
    folder = tmp_path_factory.mktemp("made") / "ledger"
    return folder, spoiled_ledger.make(folder)


@pytest.fixture
def place(made: tuple[Path, Held], tmp_path: Path) -> Path:
    """Return a copy to be spoiled."""
    return Path(shutil.copytree(made[0], tmp_path / "ledger"))


@pytest.fixture
def held(made: tuple[Path, Held]) -> Held:
    return made[1]


def kinds(report: Report) -> set[str]:
    return {kind for kind, _ in report.counts}


def test_an_untouched_ledger_is_verified(place: Path, held: Held) -> None:
    report = verify(str(place), Options(since=(held,), needs_anchor=True, remembers=False))

    assert (report.state, report.findings, report.doubts) == (State.VERIFIED, (), ())
    assert (report.events, report.covered, report.anchored, report.unanchored) == (SIZE, SIZE, SIZE, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET n = n + 1000",
        "UPDATE events SET n = n + 500 WHERE n > 6",
        "UPDATE payloads SET rowid = rowid + 1000",
        "UPDATE payloads SET rowid = 1000 - rowid",
        "DELETE FROM payloads WHERE rowid = -1",
    ],
)
def test_where_rows_lie_is_nothing_to_find(place: Path, held: Held, statement: str) -> None:
    """A copy, or another database, may number rows otherwise; only their order counts, and that of events alone."""
    change(place, sql(statement))

    report = verify(str(place), Options(since=(held,), remembers=False))

    assert (report.state, report.findings, report.doubts) == (State.VERIFIED, (), ())
    assert verify(str(place), Options(headers_only=True, remembers=False)).state == State.VERIFIED


def test_a_leaf_twice_and_none_for_another_event_are_found_wherever_the_rows_lie(place: Path) -> None:
    change(
        place,
        sql(
            "CREATE TABLE other (idx INTEGER PRIMARY KEY, event_id TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
            "INSERT INTO other SELECT * FROM leaves",
            "UPDATE other SET (event_id, hash) = (SELECT event_id, hash FROM leaves WHERE idx = 3) WHERE idx = 8",
            "DROP TABLE leaves",
            "ALTER TABLE other RENAME TO leaves",
        ),
    )

    report = verify(str(place), ALONE)

    assert report.state == State.TAMPERED
    assert any("an event has no leaf" in finding.what for finding in report.findings)


def edit_header(raw: sqlite3.Connection) -> None:
    raw.execute(
        "UPDATE events SET header = CAST(replace(CAST(header AS TEXT), 'agent:fixer', 'agent:fixes') AS BLOB) WHERE n = 3"
    )


def edit_header_and_column(raw: sqlite3.Connection) -> None:
    edit_header(raw)
    raw.execute("UPDATE events SET actor = 'agent:fixes' WHERE n = 3")


def swap_leaves(raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE leaves SET idx = -1 WHERE idx = 2")
    raw.execute("UPDATE leaves SET idx = 2 WHERE idx = 3")
    raw.execute("UPDATE leaves SET idx = 3 WHERE idx = -1")


def duplicate_leaf(raw: sqlite3.Connection) -> None:
    """Put one event into the tree twice and leave another one out, in a table that lets it."""
    raw.execute("PRAGMA writable_schema=ON")
    raw.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'TEXT NOT NULL UNIQUE, hash', 'TEXT NOT NULL, hash') WHERE name = 'leaves'"
    )
    raw.execute("DELETE FROM sqlite_master WHERE name = 'sqlite_autoindex_leaves_1'")
    raw.execute("PRAGMA writable_schema=RESET")
    raw.execute("UPDATE leaves SET (event_id, hash) = (SELECT event_id, hash FROM leaves WHERE idx = 1) WHERE idx = 13")


COLUMNS = ("id", "run_id", "run_seq", "type", "time", "actor", "subject", "repository", "action", "outcome")
LOCAL = {
    "a header": (edit_header, {"column", "leaf", "chain", "head"}),
    "a header with its column": (edit_header_and_column, {"leaf"}),
    "a header that is none": (sql("UPDATE events SET header = CAST('{}' AS BLOB) WHERE n = 2"), {"header"}),
    "a header with a space": (
        sql("UPDATE events SET header = CAST(replace(CAST(header AS TEXT), '{', '{ ') AS BLOB) WHERE n = 2"),
        {"header"},
    ),
    **{
        f"the column {name}": (
            sql(f"UPDATE events SET {name} = {77 if name == 'run_seq' else repr('other')} WHERE n = 4"),  # noqa: S608
            {"leaf"} if name == "id" else {"column"},
        )
        for name in COLUMNS
    },
    "the order of rows": (sql("UPDATE events SET n = 999 WHERE n = 3"), {"column"}),
    "a row that no reader comes to": (sql("UPDATE events SET n = -1 WHERE n = 3"), {"column"}),
    "the last row's number": (sql("UPDATE events SET n = 999 WHERE n = 14"), set()),
    "a payload": (sql("UPDATE payloads SET body = CAST('{}' AS BLOB) WHERE rowid = 3"), {"payload"}),
    "a salt": (sql("UPDATE payloads SET salt = zeroblob(16) WHERE rowid = 3"), {"payload"}),
    "a payload gone": (sql("DELETE FROM payloads WHERE rowid = 3"), {"payload"}),
    "a payload gone, with a row that says it was erased": (
        sql(
            "INSERT INTO erasures SELECT event_id, 'user:alice', 'asked' FROM payloads WHERE rowid = 3",
            "DELETE FROM payloads WHERE rowid = 3",
        ),
        {"payload", "projection"},
    ),
    "a stray payload": (sql("INSERT INTO payloads VALUES ('nobody', zeroblob(16), zeroblob(2))"), {"payload"}),
    "a payload of an event without": (
        sql("INSERT INTO payloads SELECT id, zeroblob(16), zeroblob(2) FROM events WHERE type = 'orch.note'"),
        {"payload"},
    ),
    "a leaf": (sql("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 4"), {"leaf"}),
    "a leaf gone": (sql("DELETE FROM leaves WHERE idx = 4"), {"leaf"}),
    "the last leaf gone": (sql("DELETE FROM leaves WHERE idx = 13"), {"leaf", "head"}),
    "a stray leaf": (sql("INSERT INTO leaves VALUES (14, 'nobody', zeroblob(32))"), {"leaf"}),
    "two leaves swapped": (swap_leaves, {"chain", "head"}),
    "a leaf twice": (duplicate_leaf, {"leaf", "schema"}),
    "a head's root": (sql("UPDATE heads SET root = zeroblob(32)"), {"head"}),
    "a head's size": (sql("UPDATE heads SET size = size - 1 WHERE size < 10"), {"head"}),
    "a head's note": (sql("UPDATE heads SET note = replace(note, 'orch/', 'orch-')"), {"head"}),
    "a head's frontier": (sql("UPDATE heads SET frontier = zeroblob(32)"), {"head"}),
    "a head that is none": (sql("INSERT INTO heads VALUES (3, zeroblob(32), 'note', 'time', zeroblob(64))"), {"head"}),
    "a chain's end": (sql("UPDATE chains SET next_seq = next_seq + 1 WHERE run_id = 'run-1'"), {"chain"}),
    "a chain's hash": (sql("UPDATE chains SET head = 'sha256:00' WHERE run_id = 'run-1'"), {"chain"}),
    "a chain gone": (sql("DELETE FROM chains WHERE run_id = 'run-1'"), {"chain"}),
    "a stray chain": (sql("INSERT INTO chains VALUES ('run-9', 4, 'sha256:00')"), {"chain"}),
    "a table of events": (sql("UPDATE runs SET state = 'failed' WHERE id = 'run-1'"), {"projection"}),
    "a row of a table gone": (sql("DELETE FROM organizations"), {"projection"}),
    "a row too many": (sql("INSERT INTO organizations VALUES ('evil')"), {"projection"}),
    "the middle gone": (sql("DELETE FROM events WHERE n BETWEEN 4 AND 6"), {"leaf", "chain"}),
    "the middle gone, with its leaves": (
        sql(
            "DELETE FROM leaves WHERE idx BETWEEN 3 AND 5",
            "DELETE FROM events WHERE n BETWEEN 4 AND 6",
            "UPDATE leaves SET idx = idx - 3 WHERE idx > 5",
        ),
        {"chain", "head"},
    ),
    "the tail cut, its heads kept": (
        sql("DELETE FROM leaves WHERE idx > 9", "DELETE FROM events WHERE n > 10"),
        {"head", "chain"},
    ),
    "the ledger's name": (sql("UPDATE meta SET value = '0123456789abcdef0123456789abcdef'"), {"header", "key"}),
    "the name gone": (sql("DELETE FROM meta"), None),
    "no events": (sql("DELETE FROM events"), {"leaf", "head"}),
    "a table gone": (sql("DROP TABLE leaves"), {"schema"}),
    "another trigger": (
        sql("CREATE TRIGGER evil AFTER INSERT ON payloads BEGIN DELETE FROM chains; END"),
        {"schema"},
    ),
    "a view for a table": (
        sql("ALTER TABLE organizations RENAME TO o2", "CREATE VIEW organizations AS SELECT * FROM o2"),
        {"schema"},
    ),
    "a newer format": (sql("PRAGMA user_version=99"), None),
    "an older format": (sql("PRAGMA user_version=0"), None),
}


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_check_says_what_was_changed(place: Path, name: str) -> None:
    how, expected = LOCAL[name]
    change(place, how)

    report = verify(str(place), ALONE)

    if expected is None:
        assert (report.state, report.exit_code) == (State.CANNOT_TELL, 6)
        assert report.doubts
    elif not expected:
        assert report.state == State.VERIFIED  # what was changed means nothing
    else:
        assert (report.state, report.exit_code) == (State.TAMPERED, 1)
        assert expected <= kinds(report)


def test_dropped_triggers_are_told(place: Path) -> None:
    change(place, lambda _: None, leaves_triggers_out=True)

    report = verify(str(place), ALONE)

    assert kinds(report) == {"schema"}
    assert "the trigger events_last is missing" in [finding.what for finding in report.findings]


def test_a_finding_names_event_chain_and_leaf(place: Path) -> None:
    change(place, sql("UPDATE events SET actor = 'user:mallory' WHERE n = 4"))

    (finding,) = verify(str(place), ALONE).findings

    assert (finding.kind, finding.run, finding.position) == ("column", "run-1 at 4", 3)
    assert (finding.seen, finding.expected) == ("user:mallory", "agent:fixer")
    assert "actor" in finding.what
    assert len(finding.event) == 36


def test_many_findings_are_counted(place: Path) -> None:
    with open_ledger(str(place)) as ledger:
        record(ledger, "run-5", 50)
    change(place, sql("UPDATE events SET actor = 'user:mallory'"))

    report = verify(str(place), ALONE)

    assert (len(report.findings), dict(report.counts)) == (20, {"column": SIZE + 52})


def cut(place: Path, left: int) -> None:
    """Cut the tail with everything that speaks of it."""

    def how(raw: sqlite3.Connection) -> None:
        raw.execute("DELETE FROM heads WHERE size > ?", (left,))
        raw.execute("DELETE FROM payloads WHERE event_id IN (SELECT event_id FROM leaves WHERE idx >= ?)", (left,))
        raw.execute("DELETE FROM events WHERE id IN (SELECT event_id FROM leaves WHERE idx >= ?)", (left,))
        raw.execute("DELETE FROM leaves WHERE idx >= ?", (left,))
        raw.execute("DELETE FROM chains WHERE run_id NOT IN (SELECT run_id FROM events)")
        for run, last, header in raw.execute(
            "SELECT run_id, max(run_seq), header FROM events GROUP BY run_id"
        ).fetchall():
            raw.execute("UPDATE chains SET next_seq = ?, head = ? WHERE run_id = ?", (last + 1, head_of(header), run))

    change(place, how)
    from orchestrator.ledger.rebuild import rebuild

    with open_ledger(str(place)) as ledger:
        rebuild(ledger)


def test_a_cut_tail_is_seen_by_a_held_head_alone(place: Path, held: Held) -> None:
    cut(place, 6)

    assert verify(str(place), ALONE).state == State.VERIFIED
    report = verify(str(place), Options(since=(held,), remembers=False))

    assert report.state == State.TAMPERED
    assert [finding.what for finding in report.findings] == [
        "the ledger is shorter than a head of mine says: events at its end are gone"
    ]


def test_a_cut_tail_is_seen_by_the_head_last_seen(place: Path) -> None:
    assert verify(str(place)).state == State.VERIFIED
    cut(place, 6)

    report = verify(str(place))

    assert (report.state, kinds(report)) == (State.TAMPERED, {"held"})


def test_a_restored_old_backup_is_seen_by_a_held_head(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "backup")
    with open_ledger(str(place)) as ledger:
        record(ledger, "run-7")
        heads.sign(ledger)
        now = held_of(ledger)
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)

    report = verify(str(place), Options(since=(now,), remembers=False))

    assert (report.state, kinds(report)) == (State.TAMPERED, {"held"})


def rewrite(place: Path) -> None:
    """Write the whole ledger anew with another actor, consistently, and sign it with its own key."""
    with open_ledger(str(place)) as ledger:
        key, ledger_id = signer.ready(ledger), ledger.id

    def how(raw: sqlite3.Connection) -> None:
        chains: dict[str, tuple[int, str]] = {}
        leaves = []
        for n, event_id, old in raw.execute("SELECT n, id, header FROM events ORDER BY n").fetchall():
            fields = parse_header(old)
            run = fields["runid"]
            fields["prevhash"] = chains.get(run, (0, first_head(ledger_id, run)))[1]
            fields["actor"] = fields["actor"].replace("agent:fixer", "user:alice")
            header = header_bytes(fields)
            chains[run] = (fields["runseq"] + 1, head_of(header))
            leaves.append(leaf_hash(header))
            raw.execute("UPDATE events SET header = ?, actor = ? WHERE n = ?", (header, fields["actor"], n))
            raw.execute("UPDATE leaves SET hash = ? WHERE event_id = ?", (leaves[-1], event_id))
        for run, (place_due, head) in chains.items():
            raw.execute("UPDATE chains SET next_seq = ?, head = ? WHERE run_id = ?", (place_due, head, run))
        raw.execute("DELETE FROM heads")

    change(place, how)
    from orchestrator.ledger.rebuild import rebuild

    with open_ledger(str(place)) as ledger:
        rebuild(ledger)
        heads.sign(ledger)
        with ledger.store.reading() as connection:
            tree = root(leaf for (leaf,) in connection.execute("SELECT hash FROM leaves ORDER BY idx"))
            assert heads.stored(connection)[-1].note == key.sign(SIZE, tree)


def test_a_ledger_written_anew_with_its_key_is_seen_by_a_held_head_alone(place: Path, held: Held) -> None:
    rewrite(place)

    assert verify(str(place), ALONE).state == State.VERIFIED
    report = verify(str(place), Options(since=(held,), remembers=False))

    assert report.state == State.TAMPERED
    assert f"the first {SIZE} events are not those that a head of mine was signed over" in [
        one.what for one in report.findings
    ]


def test_a_ledger_signed_by_another_key_is_seen_by_the_key_that_was_held(
    place: Path, held: Held, tmp_path: Path
) -> None:
    with open_ledger(str(tmp_path / "other")) as other:
        heads.sign(other)
        stranger = held_of(other)

    report = verify(str(place), Options(since=(held._replace(key=stranger.key),), remembers=False))

    assert (report.state, kinds(report)) == (State.TAMPERED, {"held"})


@pytest.mark.parametrize(
    "text", ["", "no note", "a\n1\nAAAA\n\n", "\0", "orch/x\n1\n" + "A" * 43 + "=\n\n\u2014 orch/x AAAAAAAA\n"]
)
def test_a_held_head_that_cannot_be_read_leaves_doubt(place: Path, text: str) -> None:
    report = verify(str(place), Options(since=(Held("mine", text),), remembers=False))

    assert (report.state, report.exit_code) == (State.CANNOT_TELL, 6)


def test_a_damaged_head_last_seen_leaves_doubt(place: Path) -> None:
    ledger_id = verify(str(place)).ledger_id
    file = verify_seen.file_of(ledger_id)
    file.write_text(file.read_text(encoding="utf-8").replace("\n14\n", "\n15\n"), encoding="utf-8")

    assert verify(str(place)).state == State.CANNOT_TELL


def test_a_pipe_for_the_head_last_seen_is_not_waited_for(place: Path) -> None:
    file = verify_seen.file_of(verify(str(place)).ledger_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    os.mkfifo(file)

    assert verify(str(place)).state == State.CANNOT_TELL


def test_the_command_says_it_with_its_exit(place: Path, tmp_path: Path) -> None:
    with place_in(tmp_path) as here:
        good = here.orch("ledger", "verify", "--ledger", place)
        held = here.orch("ledger", "heads", "show", "--ledger", place)
        (tmp_path / "head.txt").write_text(held.stdout, encoding="utf-8")
        anchored = here.orch("ledger", "verify", "--ledger", place, "--since", "head.txt", "--anchored")
        change(place, sql("UPDATE events SET actor = 'user:\x1b[31mmallory' WHERE n = 4"))
        bad = here.orch("ledger", "verify", "--ledger", place)
        missing = here.orch("ledger", "verify", "--ledger", tmp_path / "nowhere")
        unknown = here.orch("ledger", "verify", "--ledger", place, "--since", "nothing")

    assert [done.returncode for done in (good, anchored, bad, missing, unknown)] == [0, 0, 1, 6, 6]
    assert "tampered" in clean(bad)
    assert "\x1b" not in bad.stdout
    assert "not proven" in clean(good).lower()
    for done in (anchored, missing, unknown):
        clean(done)
