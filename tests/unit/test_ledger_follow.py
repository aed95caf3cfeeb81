"""The newest events, and then what is added: each once, none left out."""

from itertools import islice

from ledger_history import record

from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.follow import Window, followed
from orchestrator.ledger.read import Filter
from orchestrator.ledger.store import Ledger


def test_the_newest_come_in_the_order_they_were_written(ledger: Ledger) -> None:
    appended = record(ledger)

    with Window(ledger, Filter(limit=3, newest=True)) as window:
        actual = [event.id for event in window]

    assert actual == [event.id for event in appended[-3:]]
    assert window.has_more


def test_all_that_there_is_leaves_nothing_more(ledger: Ledger) -> None:
    appended = record(ledger)

    with Window(ledger, Filter(limit=len(appended), newest=True)) as window:
        actual = [event.id for event in window]

    assert actual == [event.id for event in appended]
    assert not window.has_more


def test_what_is_added_comes_once_and_nothing_old(ledger: Ledger) -> None:
    record(ledger)
    wanted = Filter(type="test", limit=2, newest=True)
    with Window(ledger, wanted) as window:
        assert list(window) == []
    following = followed(ledger, wanted, window.seen)
    seen = []

    for number in range(3):
        append_all(ledger, [Draft("orch.other", "r", "user:a"), Draft("orch.test", "r", "user:a", {"number": number})])
        seen += [event.payload for event in islice(following, 1)]

    assert seen == [{"number": number} for number in range(3)]
