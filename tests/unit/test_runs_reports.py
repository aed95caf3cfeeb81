"""Status reports: projections of the ledger at the places that 002 names, whole or not at all, inside the root."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from run_history import PLAN, RUN, History

from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.reports import report_of, write

FOLDER = "consolidation/reports"
STATE = "consolidation/execution_state.json"
HOSTILE = "| x\x1b[31m <b>@all</b>\u202e\n# head"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def tree(root: Path) -> dict[str, bytes]:
    return {str(one.relative_to(root)): one.read_bytes() for one in sorted(root.rglob("*")) if one.is_file()}


def state(root: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((root / STATE).read_text())
    return said


def test_reports_lie_where_002_looks_for_them(ledger: Ledger, root: Path) -> None:
    History(ledger).until_it_waits()

    paths = write(ledger, RUN, root)

    status = f"{FOLDER}/status_report_20261121T053015Z_{RUN}_000016.json"
    assert paths == (status, STATE)
    assert sorted(tree(root)) == [STATE, status]
    assert json.loads((root / status).read_text()) == state(root)


def test_a_state_says_how_far_it_is_and_what_opens_it(sqlite_ledger: Ledger, root: Path) -> None:
    History(sqlite_ledger).until_it_waits()

    write(sqlite_ledger, RUN, root)

    said = state(root)
    assert (said["state"], said["is_final"], said["current_phases"]) == ("waiting", False, ["ship"])
    assert said["progress"] == {"done": 2, "total": 3, "percent": 66, "states": {"passed": 2, "waiting": 1}}
    assert said["waiting_for"][0]["commands"] == ["orch approve k3fq7x2m9a"]
    assert said["as_of"] == {"event": 16, "time": "2026-11-21T05:30:15Z"}
    assert said["errors"] == []


def test_one_state_of_the_ledger_gives_the_same_files(sqlite_ledger: Ledger, root: Path) -> None:
    History(sqlite_ledger).until_it_waits()
    write(sqlite_ledger, RUN, root)
    before = tree(root)

    write(sqlite_ledger, RUN, root)

    assert tree(root) == before


def test_right_after_a_resume_the_report_is_right(sqlite_ledger: Ledger, root: Path) -> None:
    history = History(sqlite_ledger)
    history.until_it_waits()
    history.add("run.resumed", {"segment": 1, "by": "user:bob"})

    write(sqlite_ledger, RUN, root)

    said = state(root)
    assert (said["state"], said["segment"], said["progress"]["percent"]) == ("running", 1, 66)
    assert [one["state"] for one in said["phases"][:2]] == ["passed", "passed"]


def test_the_end_has_a_final_report_for_programs_and_for_people(sqlite_ledger: Ledger, root: Path) -> None:
    history = History(sqlite_ledger)
    history.until_it_waits()
    history.to_the_end()

    paths = write(sqlite_ledger, RUN, root)

    assert paths[1:3] == (f"{FOLDER}/final_report_{RUN}.json", f"{FOLDER}/final_report_{RUN}.md")
    text = (root / paths[2]).read_text()
    assert text.startswith("# Release the web: succeeded\n")
    assert "| phases passed | 3 of 3 (100 %) |" in text
    assert "Nothing." in text


def test_what_went_wrong_is_summed_up(sqlite_ledger: Ledger, root: Path) -> None:
    history = History(sqlite_ledger)
    history.until_it_waits()
    history.to_the_end(ship=("retryable", "retryable"))

    write(sqlite_ledger, RUN, root)

    said = state(root)
    assert said["error_summary"] == {"transient": 2}
    assert [(one["phase"], one["step"], one["attempts"]) for one in said["errors"]] == [
        ("ship", "", 1),
        ("ship", "tag", 2),
    ]
    assert said["progress"]["percent"] <= 100


def test_no_event_takes_it_over_100_percent(sqlite_ledger: Ledger, root: Path) -> None:
    history = History(sqlite_ledger)
    history.begin()
    for phase in ("build", "check", "ship"):
        for _ in range(3):
            history.phase("started", phase)
            history.phase("passed", phase, criteria=[])
            write(sqlite_ledger, RUN, root)
            assert 0 <= state(root)["progress"]["percent"] <= 100
    assert state(root)["progress"]["done"] == 3


def test_an_older_state_never_replaces_a_newer_one_of_the_same_run(sqlite_ledger: Ledger, root: Path) -> None:
    History(sqlite_ledger).until_it_waits()
    write(sqlite_ledger, RUN, root)
    newer = state(root) | {"as_of": {"event": 99, "time": "2026-11-21T06:00:00Z"}}
    (root / STATE).write_text(json.dumps(newer))

    write(sqlite_ledger, RUN, root)
    assert state(root) == newer

    (root / STATE).write_text(json.dumps(newer | {"run_id": "another"}))
    write(sqlite_ledger, RUN, root)
    assert state(root)["run_id"] == RUN


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": 3}', b"\xff" * 10])
def test_a_state_file_that_is_broken_is_written_anew(sqlite_ledger: Ledger, root: Path, content: bytes) -> None:
    History(sqlite_ledger).until_it_waits()
    (root / "consolidation").mkdir()
    (root / STATE).write_bytes(content)

    write(sqlite_ledger, RUN, root)

    assert state(root)["run_id"] == RUN


@pytest.mark.parametrize("where", ["consolidation", FOLDER])
def test_a_folder_that_is_a_symlink_is_not_followed(
    sqlite_ledger: Ledger, root: Path, tmp_path: Path, where: str
) -> None:
    History(sqlite_ledger).until_it_waits()
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / where).parent.mkdir(exist_ok=True)
    (root / where).symlink_to(outside)

    with pytest.raises(UsageError, match="which is a symlink or no folder"):
        write(sqlite_ledger, RUN, root)

    assert list(outside.iterdir()) == []


def test_a_file_that_is_a_symlink_is_replaced_and_not_followed(
    sqlite_ledger: Ledger, root: Path, tmp_path: Path
) -> None:
    History(sqlite_ledger).until_it_waits()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (root / "consolidation").mkdir()
    (root / STATE).symlink_to(precious)

    write(sqlite_ledger, RUN, root)

    assert precious.read_text() == "mine"
    assert not (root / STATE).is_symlink()


@pytest.mark.parametrize("folder", ["../out", "/etc", "a/../../b", ""])
def test_a_folder_outside_of_the_root_is_refused(sqlite_ledger: Ledger, root: Path, folder: str) -> None:
    History(sqlite_ledger).until_it_waits()

    with pytest.raises(UsageError):
        write(sqlite_ledger, RUN, root, folder or "..")

    assert tree(root) == {}


def test_a_folder_at_the_top_has_its_state_beside_it(sqlite_ledger: Ledger, root: Path) -> None:
    History(sqlite_ledger).until_it_waits()

    assert write(sqlite_ledger, RUN, root, "reports")[-1] == "execution_state.json"


def test_a_failed_write_leaves_nothing_behind(sqlite_ledger: Ledger, root: Path) -> None:
    History(sqlite_ledger).until_it_waits()
    (root / STATE).mkdir(parents=True)

    with pytest.raises(OSError, match="directory"):
        write(sqlite_ledger, RUN, root)

    assert not [name for folder, _, files in os.walk(root) for name in files if name.startswith(".")]


def test_without_a_folder_there_are_no_reports(sqlite_ledger: Ledger, root: Path) -> None:
    from dataclasses import replace

    History(sqlite_ledger).begin(replace(PLAN, reports=None))

    assert write(sqlite_ledger, RUN, root) == ()
    assert tree(root) == {}


def test_hostile_reasons_become_neither_markup_nor_escapes(sqlite_ledger: Ledger, root: Path) -> None:
    history = History(sqlite_ledger)
    history.begin()
    history.phase("started", "build")
    history.phase("failed", "build", error_class="permanent", reason=HOSTILE, criteria=[])
    history.add("run.ended", {"state": "failed", "reason": HOSTILE})

    paths = write(sqlite_ledger, RUN, root)

    for path in paths:
        assert not {"\x1b", "\u202e"} & set((root / path).read_text())
    text = (root / paths[2]).read_text()
    assert "<b>" not in text
    assert "\n# head" not in text
    assert all(line.count("|") in {0, 3, 7} for line in text.splitlines())


def test_a_report_of_a_run_that_is_not_there_is_a_usage_error(sqlite_ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        report_of(sqlite_ledger, "nobody")
