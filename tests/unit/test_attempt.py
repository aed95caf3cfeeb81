"""What a process knows of the attempts that its threads are at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from orchestrator.adapter import Action, Delivery, Effect, Place, Prepared, Receipt, Wanted
from orchestrator.attempt import Call, is_in_flight, performed, reconciled

KEY = "k" * 64


class Slow:
    """An adapter whose requests arrive when they are let through."""

    name = "slow"
    actions = frozenset({"note"})

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        raise NotImplementedError

    def perform(self, action: Action, key: str) -> Receipt:  # noqa: ARG002  # of the protocol
        self.begun.release()
        assert self.may_end.acquire(timeout=30)
        return Receipt(Delivery.DELIVERED)

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # of the protocol
        return Receipt(Delivery.RETRYABLE, detail="it is not there")


def call(adapter: Slow) -> Call:
    return Call(adapter, Effect.OUTWARD, KEY, grace_s=0.0)


def action(timeout_s: float = 30.0) -> Action:
    nothing: MappingProxyType[str, str] = MappingProxyType({})
    return Action(
        name="note",
        resource=nothing,
        properties=nothing,
        target="",
        fixed=nothing,
        place=Place(Path(), None, nothing, {}, reveal=str, keep=lambda *_: "", environ=nothing),
        timeout_s=timeout_s,
        attempt=1,
        recheck=lambda: None,
        is_cancelled=lambda: False,
    )


@contextmanager
def at_work(adapter: Slow) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=performed, args=(call(adapter), action()))
    thread.start()
    assert adapter.begun.acquire(timeout=30)
    yield thread
    adapter.may_end.release()
    thread.join()


def test_a_look_outside_does_not_end_what_is_in_flight() -> None:
    slow = Slow()
    with at_work(slow):
        found = reconciled(call(slow), action())

        assert found is not None
        assert is_in_flight(KEY)
    assert not is_in_flight(KEY)


def test_of_two_attempts_the_end_of_one_leaves_the_other_in_flight() -> None:
    slow = Slow()
    with at_work(slow) as first, at_work(slow) as second:
        slow.may_end.release()
        while first.is_alive() and second.is_alive():
            first.join(0.01)

        assert is_in_flight(KEY)
        slow.may_end.release()
    assert not is_in_flight(KEY)


def test_what_was_given_up_is_in_flight_until_it_comes_back() -> None:
    slow = Slow()

    left = performed(call(slow), action(timeout_s=0.0))

    assert slow.begun.acquire(timeout=30)
    assert (left.is_over, left.receipt.delivery, is_in_flight(KEY)) == (False, Delivery.UNKNOWN, True)
    slow.may_end.release()
    for thread in [one for one in threading.enumerate() if one.name == "orch-slow"]:
        thread.join()
    assert not is_in_flight(KEY)
