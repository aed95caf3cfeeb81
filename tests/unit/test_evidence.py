"""Which evidence the engine may count, and what people see of it."""

import pytest

from orchestrator import evidence, known
from orchestrator.digest import new_id
from orchestrator.errors import UsageError
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Ledger

CHANGE, ACTION, TREE = "sha256:" + "c" * 64, "sha256:" + "a" * 64, "7" * 40
REPORT = "sha256:" + "1" * 64


def added(
    result: str = "pass",
    *,
    kind: str = "tests",
    tool: str = "",
    change: str = CHANGE,
    action: str = "",
    tree: str = "",
    repository: str = "acme/web",
    claimed: bool = False,
    report: str = REPORT,
) -> Draft:
    payload = {
        "type": kind,
        "result": result,
        "artifact": report,
        "change_digest": change or None,
        "action_digest": action or None,
        "tree": tree or None,
        "commit": None,
        "summary": {"claimed": True} if claimed else {},
        "tool": tool,
        "signed_by": None,
        "run_id": "r1",
    }
    return Draft("orch.evidence.added", known.CHAIN + repository, "user:alice", payload, repository=repository)


def facts(
    ledger: Ledger, *drafts: Draft, change: str | None = CHANGE, tree: str | None = None, repository: str | None = None
) -> list[tuple[str, str, str]]:
    """Return type, result and subject of what counts after these events."""
    append_all(ledger, drafts)
    with ledger.store.reading() as connection:
        found = known.evidence_facts(
            connection, action_digest=ACTION, change_digest=change, tree=tree, repository=repository
        )
    return [(one["type"], one["result"], one["subject"]) for one in found]


def test_evidence_of_a_change_counts_for_it(ledger: Ledger) -> None:
    append_all(ledger, [added()])

    with ledger.store.reading() as connection:
        found = known.evidence_facts(connection, action_digest=ACTION, change_digest=CHANGE)

    assert found == [{"type": "tests", "result": "pass", "subject": CHANGE, "digest": REPORT}]


def test_nothing_is_nothing(ledger: Ledger) -> None:
    assert facts(ledger) == []


def test_evidence_of_another_change_does_not_count(ledger: Ledger) -> None:
    assert facts(ledger, added(change="sha256:" + "d" * 64), added(change="", action="sha256:" + "b" * 64)) == []


def test_what_was_only_stated_does_not_count(ledger: Ledger) -> None:
    assert facts(ledger, added(claimed=True)) == []


def test_what_was_stated_outdates_nothing(ledger: Ledger) -> None:
    assert facts(ledger, added(), added("fail", claimed=True)) == [("tests", "pass", CHANGE)]


def test_a_later_failure_outdates_a_pass(ledger: Ledger) -> None:
    assert facts(ledger, added("pass"), added("fail")) == [("tests", "fail", CHANGE)]


def test_a_later_pass_outdates_a_failure(ledger: Ledger) -> None:
    assert facts(ledger, added("fail"), added("pass")) == [("tests", "pass", CHANGE)]


def test_each_tool_has_its_own_newest(ledger: Ledger) -> None:
    found = facts(ledger, added(tool="a"), added("fail", tool="b"), added("fail", tool="a"), added(tool="b"))

    assert found == [("tests", "fail", CHANGE), ("tests", "pass", CHANGE)]


def test_of_two_repositories_no_order_is_known_and_a_failure_wins(ledger: Ledger) -> None:
    first = facts(ledger, added("fail", repository="acme/web"), added("pass", repository="acme/fork"))

    assert first == [("tests", "fail", CHANGE)]


def test_another_repository_can_be_left_out(ledger: Ledger) -> None:
    drafts = (added("fail", repository="acme/fork"), added("pass"), added("pass", kind="scan", repository=""))

    assert facts(ledger, *drafts, repository="acme/Web") == [("scan", "pass", CHANGE), ("tests", "pass", CHANGE)]


def test_evidence_of_the_same_tree_is_restated_for_the_change(ledger: Ledger) -> None:
    of_tree = added(change="sha256:" + "d" * 64, tree=TREE)

    assert facts(ledger, of_tree, tree=TREE) == [("tests", "pass", CHANGE)]
    assert facts(ledger) == []
    assert facts(ledger, change=None, tree=TREE) == []


def test_evidence_of_an_action_speaks_of_it(ledger: Ledger) -> None:
    drafts = (added(change="", action=ACTION), added("fail", kind="scan"))

    assert facts(ledger, *drafts, change=None) == [("tests", "pass", ACTION)]


def test_nothing_that_is_not_known_matches(ledger: Ledger) -> None:
    append_all(ledger, [added(change="", action=ACTION), added(tree="")])

    with ledger.store.reading() as connection:
        assert known.evidence_facts(connection, action_digest=None, change_digest=None, tree="") == []


def test_it_is_listed_newest_first_and_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    first = added(kind="scan")._replace(id=new_id(), time="2026-01-01T00:00:00Z")
    second = added()._replace(id=new_id(), time="2026-01-02T00:00:00Z")
    append_all(ledger, [first, second])

    with ledger.store.reading() as connection:
        assert [one.type for one in evidence.listed(connection)] == ["tests", "scan"]
        assert [one.type for one in evidence.listed(connection, type="scan", run="r1", repository="ACME/web")] == [
            "scan"
        ]
        assert evidence.listed(connection, change="cccc", limit=1)[0].event_id == second.id
        assert evidence.listed(connection, change="dddd") == []
        found = evidence.find(connection, first.id[:8])

    assert (found.event_id, found.result, found.is_claimed, found.at) == (
        first.id,
        "pass",
        False,
        "2026-01-01T00:00:00Z",
    )


@pytest.mark.parametrize("name", ["", "abc", "xyz!", "%%%%", "____", "0000000"])
def test_a_name_that_is_none_is_refused(ledger: Ledger, name: str) -> None:
    with ledger.store.reading() as connection, pytest.raises(UsageError):
        evidence.find(connection, name)
