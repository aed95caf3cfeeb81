"""What a verification says of an honest ledger, on both databases; the dishonest ones are in the drill `test_tamper`."""

import io
import json
from pathlib import Path

import pytest

from orchestrator.errors import Exit
from orchestrator.ledger import artifacts, heads, signer, verify_seen
from orchestrator.ledger.append import append_all
from orchestrator.ledger.erase import erase
from orchestrator.ledger.event import Draft, header_bytes, parse_header
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_events import _Headers
from orchestrator.ledger.verify_heads import Held
from orchestrator.ledger.verify_report import Finding, Findings, Report, State
from orchestrator.show import verification

DECISION = {"request": {}, "facts": {}, "decision": {"outcome": "allow"}, "claims": [], "label": ""}


def record(ledger: Ledger, count: int, run: str = "run-1") -> list[str]:
    drafts = [
        Draft("orch.decision", run, "user:alice", DECISION, repository="acme/web", action="open_pr", outcome="allow")
        for _ in range(count)
    ]
    return [event.id for event in append_all(ledger, drafts)]


def held_of(ledger: Ledger) -> Held:
    head = heads.sign(ledger)
    with ledger.store.reading() as connection:
        return Held("mine", head.note, signer.recorded(connection) or "")


def said(report: Report) -> str:
    out = io.StringIO()
    verification.write(report, out)
    return out.getvalue()


def test_an_empty_ledger_is_verified(ledger: Ledger) -> None:
    report = verify(ledger)

    assert (report.state, report.events, report.exit_code) == (State.VERIFIED, 0, Exit.OK)


def test_of_each_kind_of_finding_one_is_kept() -> None:
    findings = Findings()
    for at in range(100):
        findings.add(Finding("leaf", "a leaf has no event", position=at))
    findings.add(Finding("held", "the ledger is shorter"))

    assert [one.position for one in findings.kept] == [*range(19), None]
    assert findings.counts == {"leaf": 100, "held": 1}


def test_findings_that_say_the_same_are_one_and_the_worst_come_first() -> None:
    gone = [Finding("leaf", "a leaf has no event", event=f"e{at}", position=at) for at in (*range(40, 52), 60)]
    table = Finding("projection", "runs: the row 'r' is missing")
    cut = Finding("held", "the ledger is shorter than mine says", "52 events", "53 events or more", position=53)
    counts = (("held", 1), ("leaf", 13), ("projection", 1))

    text = said(Report(State.TAMPERED, "x" * 32, 40, findings=(table, *gone, cut), counts=counts))

    assert [line[3:8].strip() for line in text.splitlines()[1:] if line[3:4] == "."] == [". the", ". a l", ". run"]
    assert "a leaf has no event (13 times)\n     leaves 40-51, 60; the first:\n     event e40, leaf 40" in text
    assert text.endswith("""next: stop what writes; docs/ledger-verify.md, "When it says tampered", says
what to do\n""")


def test_tables_alone_that_differ_are_made_anew() -> None:
    table = Finding("projection", "runs: the row 'r' is missing")
    report = Report(State.TAMPERED, "x" * 32, 40, findings=(table,), counts=(("projection", 1),))

    assert "next: the events hold, only tables" in said(report)
    assert "`orch ledger rebuild`" in said(report)
    assert "orch ledger rebuild" not in said(report._replace(doubts=("a file cannot be read",)))


def test_events_without_a_head_are_verified_with_a_notice(ledger: Ledger) -> None:
    record(ledger, 3)
    heads.sign(ledger)
    record(ledger, 2)

    report = verify(ledger)

    assert (report.state, report.events, report.covered, report.unanchored) == (State.VERIFIED, 6, 4, 2)
    assert "2 events under no signed head yet" in said(report)


def test_only_heads_held_elsewhere_count_where_an_anchor_is_needed(ledger: Ledger) -> None:
    record(ledger, 3)
    mine = held_of(ledger)
    alone = Options(needs_anchor=True, remembers=False)

    without = verify(ledger, alone)
    anchored = verify(ledger, alone._replace(since=(mine,)))
    record(ledger, 1)
    later = verify(ledger, alone._replace(since=(mine,)))

    assert [report.exit_code for report in (without, anchored, later)] == [6, 0, 6]
    assert "4 of 4 events are under no head" in without.doubts[0]
    assert "1 of 5 events are under no head" in later.doubts[0]


def test_the_head_last_seen_is_kept_and_only_grows(ledger: Ledger) -> None:
    record(ledger, 3)
    mine = heads.sign(ledger)

    first = verify(ledger)
    second = verify(ledger, Options(needs_anchor=True))

    kept = verify_seen.recall(ledger.id)
    assert (first.held, first.anchored) == ((), 0)
    assert (second.state, second.anchored) == (State.VERIFIED, 4)
    assert kept is not None
    assert (kept.note, kept.key) == (mine.note, str(signer.ready(ledger).public))
    assert verify_seen.file_of(ledger.id).stat().st_mode & 0o777 == 0o600


def test_nothing_is_remembered_where_nothing_was_signed(ledger: Ledger) -> None:
    record(ledger, 3)

    verify(ledger)

    assert verify_seen.recall(ledger.id) is None


def test_a_state_folder_that_cannot_be_used_is_a_notice(ledger: Ledger, home: Path) -> None:
    record(ledger, 1)
    heads.sign(ledger)
    file = verify_seen.file_of(ledger.id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.parent.chmod(0o755)

    report = verify(ledger)

    assert report.state == State.VERIFIED
    assert "could not be kept" in report.notices[0]


def test_a_head_of_another_ledger_says_nothing_of_this_one(ledger: Ledger) -> None:
    record(ledger, 1)
    mine = held_of(ledger)
    other = mine._replace(note=mine.note.replace("orch/", "orch/0"), key="")

    report = verify(ledger, Options(since=(other,), remembers=False))

    assert report.state == State.CANNOT_TELL
    assert "says nothing of this one" in report.doubts[0]


def test_an_erased_payload_is_no_finding_and_is_told(ledger: Ledger) -> None:
    first, *_ = record(ledger, 3)
    heads.sign(ledger)
    erase(ledger, first, "asked for by its author", "user:alice")

    report = verify(ledger)

    assert (report.state, report.erased, report.findings) == (State.VERIFIED, 1, ())
    assert "what 1 erased payload said" in report.not_proven


def test_headers_alone_are_quicker_and_prove_less(ledger: Ledger) -> None:
    record(ledger, 3)

    report = verify(ledger, Options(headers_only=True))

    assert report.state == State.VERIFIED
    assert any("--headers-only" in text for text in report.not_proven)


def test_artifacts_are_read_where_it_is_asked(ledger: Ledger) -> None:
    record(ledger, 1)
    kept = artifacts.put(ledger, b"a report", name="report.txt", media_type="text/plain")
    with ledger.store.writing() as connection:
        artifacts.stored(ledger, connection, kept, "run-1", "user:alice")

    good = verify(ledger, Options(deep=True))
    (blob,) = (ledger.folder / "artifacts").rglob(kept.digest.removeprefix("sha256:"))
    blob.chmod(0o600)
    blob.write_bytes(b"another report")
    unread, bad = verify(ledger), verify(ledger, Options(deep=True))

    assert [report.state for report in (good, unread, bad)] == [State.VERIFIED, State.VERIFIED, State.TAMPERED]
    assert bad.counts == (("artifact", 1),)


def test_progress_is_told(ledger: Ledger) -> None:
    record(ledger, 5_001)
    told: list[tuple[int, int]] = []

    verify(ledger, Options(headers_only=True), lambda done, total: told.append((done, total)))

    assert told in ([(5_000, 5_001)], [])  # events without a leaf are read at the end


@pytest.mark.parametrize("place", ["/nowhere/at/all", "/dev/null", "\0", "postgresql://127.0.0.1:1/none"])
def test_a_place_without_a_ledger_leaves_doubt(place: str) -> None:
    report = verify(place)

    assert (report.state, report.ledger_id) == (State.CANNOT_TELL, "")
    assert report.doubts


def test_a_report_is_json(ledger: Ledger) -> None:
    record(ledger, 1)

    read = json.loads(json.dumps(verify(ledger).as_json()))

    assert (read["state"], read["events"], read["unanchored"], read["counts"]) == ("verified", 1, 1, {})


def test_what_a_tampered_ledger_says_is_escaped() -> None:
    finding = Finding("column", "it is\x1b[31m other", "\x1b]0;x\x07", "y", "id", "run \u202e", 3)
    report = Report(State.TAMPERED, "x", 1, findings=(finding,), counts=(("column", 25),), doubts=("\x9b",))

    text = said(report)

    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(text)
    assert "and 24 more" in text


GOOD = {
    "specversion": "1.0", "id": "1", "source": "orch:x", "type": "orch.x", "time": "t", "runid": "r", "runseq": 1,
    "prevhash": "sha256:0", "actor": "user:alice",
}  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        header_bytes(GOOD),
        header_bytes({**GOOD, "actor": 'user:"\\\u00e9\n', "subject": "%s %d %%"}),
        header_bytes({**GOOD, "runseq": 2**53 - 1, "datasize": 3, "datahash": "x"}),
        header_bytes(GOOD).replace(b'"1.0"', b'"1.0" '),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":true'),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":0'),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":-1'),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":01'),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":1.0'),
        header_bytes(GOOD).replace(b'"runseq":1', b'"runseq":9007199254740992'),
        header_bytes(GOOD).replace(b'"r"', b'""'),
        header_bytes(GOOD).replace(b'"r"', b'"\x01"'),
        header_bytes(GOOD).replace(b'"r"', b'"\\u0072"'),
        header_bytes(GOOD).replace(b'"r"', b'"\xff"'),
        header_bytes(GOOD) + b" ",
        b" " + header_bytes(GOOD),
        header_bytes(GOOD).replace(b'"actor"', b'"actor":"x","actor"'),
        header_bytes(GOOD).replace(b'"actor"', b'"zctor"'),
        b'{"type":"orch.x",' + header_bytes(GOOD)[1:],
        b"{}", b"[]", b"null", b"", b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_the_quick_reader_of_headers_agrees_with_the_strict_one(header: bytes) -> None:
    """Each is read after a good one of the same shape, which is when the quick way is taken."""
    quick = _Headers()
    quick.parse(header_bytes(GOOD))
    quick.parse(header_bytes({**GOOD, "runseq": 7, "datasize": 3, "datahash": "x"}))
    expected: object
    try:
        expected = parse_header(header)
    except ValueError:
        expected = None
    seen: object
    try:
        seen = quick.parse(header)
    except ValueError:
        seen = None

    assert seen == expected
