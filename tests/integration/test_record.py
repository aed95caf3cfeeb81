"""Every decision of `orch evaluate` is in the ledger, with all that is needed to try another policy on it; and what happens where it cannot be."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, Place, clean, command, place_in

from orchestrator import Policy, sidecar
from orchestrator.ledger.open import open_ledger
from orchestrator.recall import question_of

RULES = """rules:
  - {id: people, effect: allow, actions: [comment, open_pr, merge_pr]}
  - {id: merge-needs-two, effect: require, actions: merge_pr, approvals: {role: sre, count: 2}}
  - {id: spend, effect: require, actions: comment, budgets: {meter: usd, per: run, limit: 5}}
"""
COMMENT = ("--action", "comment", "--repo", "acme/web")
MERGE = ("--action", "merge_pr", "--repo", "acme/web", "--branch", "main", "--head-branch", "fix", "--file", "a.py")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "acme.yaml").write_text(HEAD + RULES)
    with place_in(tmp_path, ORCH_PACKS=str(tmp_path / "packs"), ORCH_LEDGER=str(tmp_path / "ledger")) as place:
        yield place


def events(there: Place, kind: str = "") -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return header and payload of each event, in the tree's order."""
    with open_ledger(str(there.folder / "ledger"), must_exist=True) as ledger, ledger.store.reading() as connection:
        rows = connection.execute(
            "SELECT header, body FROM leaves JOIN events ON events.id = leaves.event_id"
            " LEFT JOIN payloads ON payloads.event_id = events.id ORDER BY idx"
        )
    found = [(json.loads(header), json.loads(body or b"null")) for header, body in rows]
    return [one for one in found if one[0]["type"] == kind or not kind]


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    clean(done)
    context: dict[str, Any] = json.loads(done.stdout)["context"]
    return context


def test_a_decision_is_recorded_with_what_was_asked_and_by_which_policy(there: Place) -> None:
    said = answer(there.orch("evaluate", *COMMENT, "-o", "json"))

    ((header, payload),) = events(there, "orch.decision")
    assert said["recorded"] is True
    assert header["id"] == said["evaluation_id"]
    assert header["policydigest"] == said["policy"]["digest"]
    assert header["actiondigest"] == said["action_digest"]
    assert (header["repository"], header["action"], header["outcome"], header["point"]) == (
        "acme/web",
        "comment",
        "allow",
        "run",
    )
    assert payload["decision"] == said
    assert payload["request"]["resource"]["id"] == "acme/web"


def test_a_command_leaves_nothing_for_the_next_one_to_clear_up(there: Place) -> None:
    """A log that nobody folds in grows with each command, and each reads all of it."""
    there.orch("evaluate", *COMMENT)
    there.orch("evaluate", *COMMENT, "--explain")

    assert [file.name for file in (there.folder / "ledger").glob("ledger.db*")] == ["ledger.db"]


def test_a_policy_is_recorded_when_it_first_decides(there: Place) -> None:
    for _ in range(2):
        there.orch("evaluate", *COMMENT)

    ((_, payload),) = events(there, "orch.policy.loaded")
    assert [(pack["layer"], pack["name"], pack["version"]) for pack in payload["packs"]] == [("org", "acme", "1.0.0")]


def test_a_recorded_question_is_answered_the_same_again(there: Place) -> None:
    said = answer(there.orch("evaluate", *MERGE, "--run", "r1", "-o", "json"))
    ((_, payload),) = events(there, "orch.decision")
    policy = Policy.load(packs=[str(there.folder / "packs")], repository="acme/web")

    question, circumstances = question_of(payload)
    again = next(policy.decide_many([question], circumstances)).context
    sidecar.stop()

    kept = {name: value for name, value in said.items() if name not in {"evaluation_id", "recorded", "request_id"}}
    assert {name: again[name] for name in kept} == kept


def test_without_a_record_the_answer_says_so_and_nothing_is_written(there: Place) -> None:
    asked = there.orch("evaluate", *COMMENT, "--no-record")

    assert asked.returncode == 0
    assert asked.stdout.endswith("not recorded\n")
    assert answer(there.orch("evaluate", *COMMENT, "--no-record", "-o", "json"))["recorded"] is False
    assert not (there.folder / "ledger").exists()


@pytest.mark.parametrize("point", ["tick", "agent"])
def test_machines_cannot_do_without_a_record(there: Place, point: str) -> None:
    asked = there.orch("evaluate", *COMMENT, "--no-record", "--point", point)

    assert asked.returncode == 2
    assert f"--no-record at point {point}" in clean(asked)


def test_a_run_cannot_do_without_a_record(there: Place) -> None:
    assert there.orch("evaluate", *COMMENT, "--no-record", "--run", "r1").returncode == 2


def broken(there: Place) -> None:
    (there.folder / "ledger").mkdir(mode=0o700)
    (there.folder / "ledger" / "ledger.db").write_bytes(b"no database at all\n" * 400)


def test_what_enforces_and_cannot_be_recorded_is_undecidable(there: Place) -> None:
    broken(there)

    asked = there.orch("evaluate", *COMMENT)

    assert asked.returncode == 6
    assert asked.stdout == ""
    assert "nothing can be decided, because it cannot be recorded" in clean(asked)


def test_what_only_warns_goes_on_and_says_that_it_was_not_recorded(there: Place) -> None:
    broken(there)

    asked = there.orch("evaluate", *MERGE, "--warn-only")

    assert asked.returncode == 0
    assert "not recorded" in clean(asked)


def test_a_stream_is_recorded_whole_and_in_order(there: Place) -> None:
    asked = {"subject": {"type": "user", "id": "user:x"}, "action": {"name": "comment"}}
    lines = [
        json.dumps(asked | {"resource": {"type": "repository", "id": f"acme/web{number}"}, "context": {}})
        for number in range(150)
    ]

    done = there.orch("evaluate", "-", "-o", "jsonl", given="\n".join([*lines, "no json"]).encode())

    assert done.returncode == 3
    recorded = events(there, "orch.decision")
    assert [header.get("repository") for header, _ in recorded] == [f"acme/web{number}" for number in range(150)] + [
        None
    ]
    assert {header["runid"] for header, _ in recorded} == {recorded[0][0]["runid"]}
    assert [header["outcome"] for header, _ in recorded][-1] == "deny"


def test_a_run_begins_once_and_keeps_its_repository_and_session(there: Place) -> None:
    for _ in range(2):
        assert there.orch("evaluate", *COMMENT, "--run", "r1", "--session", "s1").returncode == 0

    other = there.orch("evaluate", "--action", "comment", "--repo", "acme/api", "--run", "r1")
    session = there.orch("evaluate", *COMMENT, "--run", "r1", "--session", "s2")

    ((header, payload),) = events(there, "orch.run.started")
    assert (header["runid"], payload["repository"], payload["session"]) == ("r1", "acme/web", "s1")
    assert (other.returncode, session.returncode) == (2, 2)
    assert "the run r1 is about 'acme/web', and this is 'acme/api'" in clean(other)
    assert "belongs to session 's1', not 's2'" in clean(session)


def test_budgets_count_within_a_run(there: Place) -> None:
    said = answer(there.orch("evaluate", *COMMENT, "--run", "r1", "-o", "json"))

    (owed,) = said["obligations"]
    assert (said["outcome"], owed["status"], owed["properties"]["spent"]) == ("allow", "met", "0")


def test_a_request_that_waits_has_one_name_however_often_it_is_asked(there: Place) -> None:
    first, second = (answer(there.orch("evaluate", *MERGE, "-o", "json")) for _ in range(2))

    assert first["request_id"] == second["request_id"]
    assert len(events(there, "orch.approval.requested")) == 1


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "a:b", "x" * 101])
def test_a_runs_name_is_checked(there: Place, name: str) -> None:
    asked = there.orch("evaluate", *COMMENT, "--run", name)

    assert asked.returncode == 2
    assert "--run is" in clean(asked)


def test_commands_at_once_are_all_recorded(there: Place) -> None:
    there.orch("evaluate", *COMMENT)
    running = [
        subprocess.Popen(command("evaluate", *COMMENT), env=there.environ, cwd=there.folder, stdout=subprocess.DEVNULL)
        for _ in range(6)
    ]

    assert [one.wait(timeout=60) for one in running] == [0] * 6
    assert len(events(there, "orch.decision")) == 7


def test_a_first_ledger_may_be_made_by_many_at_once(tmp_path: Path) -> None:
    program = "import sys; from orchestrator.ledger.open import open_ledger; print(open_ledger(sys.argv[1]).id)"
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "l")], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]

    names = {one.communicate(timeout=60)[0] for one in running}
    assert {one.returncode for one in running} == {0}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [("00-" + "a1" * 16 + "-" + "b2" * 8 + "-01", True), ("00-xyz-1-01", False), ("", False)],
    ids=["a trace", "no trace", "nothing"],
)
def test_the_callers_trace_is_kept_where_it_is_one(there: Place, given: str, *, kept: bool) -> None:
    there.orch("evaluate", *COMMENT, TRACEPARENT=given)

    ((header, _),) = events(there, "orch.decision")
    assert header.get("traceparent", "") == (given if kept else "")


def test_an_invalid_request_is_recorded_in_short(there: Place) -> None:
    asked = {
        "subject": {"type": "user", "id": "user:x"},
        "action": {"name": "x" * 200_000},
        "resource": {},
        "context": {},
    }

    done = there.orch("evaluate", "-", given=json.dumps(asked).encode())

    ((_, payload),) = events(there, "orch.decision")
    assert done.returncode == 3
    assert payload["request"].keys() == {"omitted", "bytes"}


def test_a_request_that_cannot_be_written_is_denied_and_recorded(there: Place) -> None:
    asked = b'{"subject": {"type": "user", "id": "user:x\\ud800"}, "action": {"name": "comment"}, "resource": {}, "context": {}}'

    done = there.orch("evaluate", "-", given=asked)

    ((header, payload),) = events(there, "orch.decision")
    clean(done)
    assert (done.returncode, header["outcome"], payload["decision"]["reason"]) == (3, "deny", "invalid_request")
