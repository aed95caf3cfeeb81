"""One order: decided, held to its obligations, looked at again, performed once, recorded. On both kinds of ledger."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from act_world import World, make_world, needs_approval, order
from command_line import stop_sidecars
from post_adapter import install

from orchestrator import adapter, approvals, ballot, outbox, outlay
from orchestrator.act import Done, OnUnknown, Order, State
from orchestrator.adapter import Delivery, ErrorClass
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import verify
from orchestrator.runs.executors import Executors, executors_of


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = install(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(folder))
    adapter.installed.cache_clear()
    yield folder
    sys.modules.pop("orch_post", None)
    adapter.installed.cache_clear()


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("A_NOTE", "correct-horse-battery")
    monkeypatch.setenv("SHORT", "abc")
    yield make_world(tmp_path, ledger)
    stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))


@pytest.fixture
def here(tmp_path: Path, sqlite_ledger: Ledger, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world on SQLite alone, for what does not depend on the database."""
    monkeypatch.setenv("A_NOTE", "correct-horse-battery")
    monkeypatch.setenv("SHORT", "abc")
    yield make_world(tmp_path, sqlite_ledger)
    stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))


def acted(world: World, one: Order, **more: object) -> Done:
    with world.executor() as executor:
        return executor.act(one, **more)  # type: ignore[arg-type]  # of `act`


# -- what is allowed


def test_what_is_allowed_is_done_and_every_state_is_recorded(world: World) -> None:
    done = acted(world, order())

    assert (done.state, int(done.exit_code)) == (State.DELIVERED, 0)
    assert world.effects() == ["hello"]
    assert world.verbs() == ["planned", "dispatching", "delivered"]
    assert done.outputs == {"said": f"hello by {done.key[:4]}"}
    assert done.receipts[0]["reference"] == f"note:{done.key[:8]}"


def test_an_order_is_done_once_and_given_back_ever_after(world: World) -> None:
    first, second = acted(world, order()), acted(world, order())

    assert first == second
    assert world.calls() == world.decisions() == 1


def test_what_is_recorded_is_told_without_asking_anybody(world: World) -> None:
    with world.executor() as executor:
        before = executor.look(order())
        done = executor.act(order())
        shutil.rmtree(world.folder / "packs")

        assert before is None
        assert executor.look(order()) == done


def test_the_key_is_the_same_for_every_attempt_and_another_for_every_place(world: World) -> None:
    lost = acted(world, order(how="first-busy"))
    again = acted(world, order(how="first-busy"))
    other = acted(world, order("tell/bob"))

    assert (lost.state, again.state) == (State.RETRYABLE, State.DELIVERED)
    assert lost.key == again.key != other.key
    assert len(lost.key) == 64


def test_a_ledger_in_which_much_was_done_verifies(world: World) -> None:
    acted(world, order())
    acted(world, order("b", how="refuse"))
    acted(world, order("c", how="lose", blind=True))

    report = verify(world.ledger)

    assert str(report.state) == "verified", report


def test_the_run_begins_with_its_first_action(world: World) -> None:
    acted(world, order())

    assert [one.fields["type"] for one in world.events("run")] == ["orch.run.started"]
    assert {one.fields["runid"] for one in world.events()} == {"r1"}


def test_outside_of_a_run_a_key_is_found_again(world: World) -> None:
    with world.executor(run=None) as executor:
        first = executor.act(order("k"))
    with world.executor(run=None) as executor:
        second = executor.act(order("k"))

    assert first == second
    assert world.calls() == 1


def test_a_key_stands_for_one_action_with_its_parameters(world: World) -> None:
    acted(world, order())

    with pytest.raises(UsageError, match="used for other parameters"):
        acted(world, order(note="another"))


def test_what_is_delivered_can_be_written_down_as_json(world: World) -> None:
    done = acted(world, order())

    assert Done.of(done.to_json()) == done


# -- what is not


def test_what_is_denied_is_not_done_and_says_why(world: World) -> None:
    world.rules("{id: none, effect: deny, actions: post_note, message: 'no notes'}")

    done = acted(world, order())

    assert (done.state, int(done.exit_code)) == (State.DENIED, 3)
    assert "acme/none: no notes" in done.detail
    assert world.calls() == 0
    assert world.verbs() == ["planned"]


def test_the_same_denial_is_recorded_once(world: World) -> None:
    world.rules("{id: none, effect: deny, actions: post_note}")

    first, second = acted(world, order()), acted(world, order())

    assert first == second
    assert world.decisions() == 1


def test_what_only_warns_is_told_and_goes_on(here: World) -> None:
    head = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: acme, version: 1.0.0}\ndefault: allow\nenforcement: {run: warn}\n"
    here.rules("{id: none, effect: deny, actions: post_note}", head=head)

    done = acted(here, order())

    assert done.state is State.DELIVERED
    assert done.warned == ("acme/none",)


def test_a_policy_of_a_working_tree_never_executes(here: World) -> None:
    os.system(f"git -C {here.folder} init -q && git -C {here.folder} commit -q --allow-empty -m first")  # noqa: S605  # a path of ours

    with pytest.raises(UsageError, match=r"would rest on a claim: .*working tree"):
        acted(here, order())
    assert here.decisions() == here.calls() == 0


def test_packs_of_a_repository_are_read_from_its_commit(here: World) -> None:
    os.system(  # noqa: S605  # a path of ours
        f"cd {here.folder} && git init -q && git add packs && git commit -q -m packs"
    )
    here.rules("{id: none, effect: deny, actions: '*'}")  # not committed, so it judges nothing

    assert acted(here, order()).state is State.DELIVERED


def test_without_an_engine_nothing_is_done(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with here.executor() as executor:
        monkeypatch.setenv("ORCH_OPA", "/nowhere/opa")
        stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))
        done = executor.act(order())

    assert (done.state, int(done.exit_code)) == (State.UNDECIDABLE, 6)
    assert here.calls() == 0


def test_an_unknown_adapter_and_a_bad_parameter_are_configuration(here: World) -> None:
    unknown = acted(here, order()._replace(adapter="pots"))
    bad = acted(here, order(how="bad-prepare"))

    assert unknown.state is bad.state is State.PERMANENT
    assert unknown.error_class is bad.error_class is ErrorClass.CONFIGURATION
    assert "installed: " in unknown.detail
    assert "KeyError: 'missing'" in bad.detail
    assert here.verbs() == []


# -- approvals


def test_what_needs_an_approval_waits_is_done_and_uses_it_up(world: World) -> None:
    world.rules(*needs_approval())
    waiting = acted(world, order())
    request_id = waiting.waiting_for[0]["request_id"]
    world.approve(request_id)

    done, later = acted(world, order()), acted(world, order("tell/bob"))

    assert (waiting.state, int(waiting.exit_code)) == (State.WAITING, 4)
    assert waiting.waiting_for == ({"type": "approval", "request_id": request_id, "role": "sre", "missing": 1},)
    assert done.state is State.DELIVERED
    assert later.state is State.WAITING
    assert later.waiting_for[0]["request_id"] != request_id
    assert world.effects() == ["hello"]


def test_waiting_is_recorded_once_however_often_it_is_asked(world: World) -> None:
    world.rules(*needs_approval())

    first, second = acted(world, order()), acted(world, order())

    assert first == second
    assert world.decisions() == 1


def test_an_approval_that_was_revoked_before_its_use_counts_for_nothing(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order()).waiting_for[0]["request_id"]
    cast = world.approve(request_id)
    request = approvals.find(world.ledger, request_id)
    ballot.revoke(world.ledger, request, cast, world.signers["user:ada"])

    assert acted(world, order()).state is State.WAITING
    assert world.calls() == 0


def meanwhile(world: World, work: Callable[[Ledger], object]) -> threading.Thread:
    """Do something on another connection while the adapter is called and has not sent anything; then let it go on."""

    def run() -> None:
        while not (world.root / "slow").exists():
            time.sleep(0.01)
        with world.elsewhere() as ledger:
            work(ledger)
        (world.root / "go").touch()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_rejection_after_the_decision_stops_what_was_not_sent(world: World) -> None:
    """The adapter asks once more right before the byte that cannot be called back."""
    world.rules(*needs_approval())
    world.approve(acted(world, order("a", how="slow")).waiting_for[0]["request_id"])

    def reject(ledger: Ledger) -> None:
        with world.executor(ledger=ledger) as executor:
            request_id = executor.act(order("b", how="slow")).waiting_for[0]["request_id"]
        request = approvals.find(ledger, request_id)
        ballot.vote(ledger, request, world.signers["user:bob"], ballot.Ballot("user:bob", "sre", "reject"))

    thread = meanwhile(world, reject)
    done = acted(world, order("a", how="slow"))
    thread.join()

    assert done.state is State.WAITING
    assert "reject" in done.detail
    assert world.effects() == []


def test_a_vote_cannot_be_taken_back_once_the_action_began(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order(how="slow")).waiting_for[0]["request_id"]
    cast = world.approve(request_id)
    request = approvals.find(world.ledger, request_id)
    refused: list[str] = []

    def revoke(ledger: Ledger) -> None:
        try:
            ballot.revoke(ledger, request, cast, world.signers["user:ada"])
        except UsageError as error:
            refused.append(str(error))

    thread = meanwhile(world, revoke)
    done = acted(world, order(how="slow"))
    thread.join()

    assert "was used meanwhile" in refused[0]
    assert done.state is State.DELIVERED


def test_a_retry_of_the_same_order_needs_no_second_approval(world: World) -> None:
    world.rules(*needs_approval())
    world.approve(acted(world, order(how="first-busy")).waiting_for[0]["request_id"])

    busy = acted(world, order(how="first-busy"))
    done = acted(world, order(how="first-busy"))

    assert (busy.state, busy.retry_after_s) == (State.RETRYABLE, 7.5)
    assert done.state is State.DELIVERED
    assert len(world.events("approval.consumed")) == 1


def test_two_orders_that_wait_for_one_approval_are_not_both_done(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order("a")).waiting_for[0]["request_id"]
    same = acted(world, order("b"))
    world.approve(request_id)

    states = [acted(world, order("a")).state, acted(world, order("b")).state]

    assert same.waiting_for[0]["request_id"] == request_id
    assert states == [State.DELIVERED, State.WAITING]
    assert len(world.effects()) == 1


# -- a gate


def gate(plan: str = "release:build", **more: object) -> Order:
    said = {"resource": plan, "criteria": [], "met": 0, "mode": "automated"}
    return Order("gate/build", "approve_phase", {**said, **more})


def test_a_gate_that_is_allowed_is_open_and_stays_open(world: World) -> None:
    with world.executor() as executor:
        first, second = executor.decide(gate()), executor.decide(gate())
        context = executor.decision_of(gate())

    assert first is second is None
    assert context is not None
    assert context["outcome"] == "allow"
    assert world.decisions() == 1


def test_a_gate_that_needs_an_approval_uses_it_up(world: World) -> None:
    world.rules(
        "{id: open, effect: allow, actions: '*'}",
        "{id: gate, effect: require, actions: approve_phase, approvals: {role: sre}}",
    )
    with world.executor() as executor:
        waiting = executor.decide(gate())
        assert waiting is not None
        world.approve(waiting.waiting_for[0]["request_id"])
        opened = executor.decide(gate())
    with world.executor(run="r2") as executor:
        other_run = executor.decide(gate())

    assert waiting.state is State.WAITING
    assert opened is None
    assert other_run is not None
    assert other_run.state is State.WAITING


def test_packs_of_a_run_narrow_it(world: World) -> None:
    text = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: gate}\ndefault: inherit\nrules:\n"
    text += "  - {id: ask, effect: require, actions: approve_phase, approvals: {role: sre}}\n"
    with world.executor(run_packs=[{"name": "gate", "text": text}]) as executor:
        waiting = executor.decide(gate())

    assert waiting is not None
    assert waiting.state is State.WAITING


def test_deciding_performs_nothing(world: World) -> None:
    with world.executor() as executor:
        allowed = executor.decide(order())

    assert allowed is None
    assert world.verbs() == ["planned"]
    assert acted(world, order()).state is State.DELIVERED
    assert world.decisions() == 1


# -- budgets

BUDGET = "{id: open, effect: allow, actions: '*', budgets: [{meter: coins, per: run, limit: 3}]}"


def coins(world: World) -> tuple[int, int]:
    with world.ledger.store.reading() as connection:
        rows = connection.execute("SELECT spent, reserved FROM budgets WHERE meter = 'coins'")
    return (rows[0][0] // 10**6, rows[0][1] // 10**6) if rows else (0, 0)


def priced(name: str, amount: int = 2, **more: object) -> Order:
    return order(name, **more)._replace(estimates={"coins": amount * 10**6})


def test_what_is_done_is_charged_and_what_has_no_room_is_not_done(world: World) -> None:
    world.rules(BUDGET)

    first, second = acted(world, priced("a")), acted(world, priced("b"))

    assert (first.state, second.state, int(second.exit_code)) == (State.DELIVERED, State.BUDGET, 5)
    assert coins(world) == (2, 0)
    assert world.effects() == ["hello"]


def test_what_an_adapter_says_it_used_is_charged(world: World) -> None:
    world.rules(BUDGET)

    acted(world, priced("a", used={"coins": 10**6}))

    assert coins(world) == (1, 0)


@pytest.mark.parametrize(
    ("how", "expected"), [("busy", (0, 0)), ("refuse", (0, 0)), ("lose", (0, 2))], ids=["busy", "refused", "unknown"]
)
def test_room_is_given_back_unless_it_may_have_happened(world: World, how: str, expected: tuple[int, int]) -> None:
    world.rules(BUDGET)

    acted(world, priced("a", how=how, blind=True))

    assert coins(world) == expected


def test_what_is_found_to_have_happened_is_charged_after_all(world: World) -> None:
    world.rules(BUDGET)
    lost = acted(world, priced("a", how="lose"))

    found = acted(world, priced("a", how="lose"))

    assert (lost.state, found.state) == (State.UNKNOWN, State.DELIVERED)
    assert coins(world) == (2, 0)


def test_a_meter_that_nobody_prices_is_configuration(world: World) -> None:
    world.rules(BUDGET)

    done = acted(world, order())

    assert (done.state, done.error_class) == (State.PERMANENT, ErrorClass.CONFIGURATION)
    assert world.calls() == 0


def test_room_taken_before_a_crash_is_used_and_not_taken_twice(world: World) -> None:
    """A limit of 3 has no room for 2 and 2."""
    world.rules(BUDGET)
    with world.executor() as executor:
        executor.decide(priced("a"))
        context = executor.decision_of(priced("a"))
        key = outbox.key_of(world.ledger.id, "r1", "a", "")
        assert context is not None
        spender = outlay.Spender("r1", "agent:fixer", key)
        outlay.taken(world.ledger, spender, priced("a"), str(context["evaluation_id"]), 1)

    done = acted(world, priced("a"))

    assert done.state is State.DELIVERED
    assert coins(world) == (2, 0)


# -- what adapters do


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("odd", "ZeroDivisionError: odd"),
        ("exit", "SystemExit: 9"),
        ("nonsense", "gave no receipt but a str"),
        ("hang", "did not come back"),
    ],
)
def test_an_adapter_that_misbehaves_leaves_it_unknown(world: World, how: str, said: str) -> None:
    done = acted(world, order(how=how, blind=True)._replace(timeout_s=0.1))

    assert done.state is State.UNKNOWN
    assert said in done.detail
    assert done.waiting_for[0]["type"] == "unknown"
    assert world.verbs()[-1] == "unknown"


def test_what_was_refused_is_tried_again_only_where_that_is_asked_for(world: World) -> None:
    first = acted(world, order(how="first-refuse"))
    second = acted(world, order(how="first-refuse"))
    third = acted(world, order(how="first-refuse"), again=True)

    assert (first.state, second.state, third.state) == (State.PERMANENT, State.PERMANENT, State.DELIVERED)
    assert world.calls() == 2
    assert [one["attempt"] for one in third.receipts] == [2]


def test_a_declared_code_says_who_can_mend_it(here: World) -> None:
    done = acted(here, order(how="refuse")._replace(codes={422: ErrorClass.DEPENDENCY}))

    assert (done.state, done.error_class) == (State.PERMANENT, ErrorClass.DEPENDENCY)


def test_outputs_that_are_no_json_do_not_lose_the_receipt(here: World) -> None:
    done = acted(here, order(how="not-json"))

    assert done.state is State.DELIVERED
    assert "its outputs were not kept" in done.detail


def test_each_recipient_has_a_receipt_and_only_the_missing_are_tried_again(world: World) -> None:
    one = order(to=["ada", "bob", "eve"], how={"bob": "refuse", "eve": "first-busy"})

    first = acted(world, one)
    second = acted(world, one)

    assert first.state is State.RETRYABLE
    assert [(each["target"], each["delivery"]) for each in second.receipts] == [
        ("ada", "delivered"),
        ("bob", "permanent"),
        ("eve", "delivered"),
    ]
    assert second.state is State.PERMANENT
    assert world.effects() == ["ada hello", "eve hello"]
    assert len({each["key"] for each in second.receipts}) == 3


# -- what nobody knows


def test_a_lost_reply_is_looked_up_before_anything_is_sent_again(world: World) -> None:
    lost = acted(world, order(how="lose"))
    found = acted(world, order(how="lose"))

    assert (lost.state, found.state) == (State.UNKNOWN, State.DELIVERED)
    assert world.calls() == 1
    assert found.outputs == {"said": "found"}


def test_what_cannot_be_looked_up_is_held(world: World) -> None:
    first = acted(world, order(how="lose", blind=True))
    second = acted(world, order(how="lose", blind=True))

    assert first.state is second.state is State.UNKNOWN
    assert world.calls() == 1


def test_what_cannot_be_looked_up_is_done_again_where_that_was_asked_for(world: World) -> None:
    one = order(how="first-lose", blind=True)._replace(on_unknown=OnUnknown.RESEND)

    states = [acted(world, one).state, acted(world, one).state]

    assert states == [State.UNKNOWN, State.DELIVERED]
    assert world.calls() == 2


def test_what_may_be_repeated_at_will_is(world: World) -> None:
    one = order(how="first-lose", blind=True, replayable=True)

    assert [acted(world, one).state, acted(world, one).state] == [State.UNKNOWN, State.DELIVERED]


def test_the_author_of_a_plan_says_whether_it_may_be_repeated(world: World) -> None:
    one = order(how="first-lose", blind=True, replayable=True)._replace(is_replayable=False)

    assert [acted(world, one).state, acted(world, one).state] == [State.UNKNOWN, State.UNKNOWN]


@pytest.mark.parametrize(
    ("word", "expected", "effects"),
    [(Delivery.DELIVERED, State.DELIVERED, 1), (Delivery.RETRYABLE, State.DELIVERED, 2)],
    ids=["it happened", "send it again"],
)
def test_a_person_settles_what_nobody_knows(world: World, word: Delivery, expected: State, effects: int) -> None:
    one = order(how="first-lose", blind=True)
    acted(world, one)

    outbox.resolve(world.ledger, "r1", one.name, word, by="user:ada", note="I looked")

    assert acted(world, one).state is expected
    assert len(world.effects()) == effects
    with pytest.raises(UsageError, match="nothing is unknown"):
        outbox.resolve(world.ledger, "r1", one.name, word, by="user:ada")


def test_a_hung_process_is_not_overtaken_unless_it_is_found_or_may_be_repeated(world: World) -> None:
    """Who began it lives, so that it is not there yet proves nothing."""
    with world.executor() as hung, world.executor() as other:
        hung.decide(order())
        with world.ledger.store.writing() as connection:
            chain = outbox.chain_of("r1", "tell/ada", world.ledger.id)
            row = outbox.rows_of(connection, chain, "tell/ada")[""]
            plan = outbox.Plan(chain, "r1", "tell/ada", "post_note", "post", row.asked_digest, "agent:fixer")
            said = {"executor": hung.lease.id, "request_id": "", "reservation_id": ""}
            outbox.dispatching(world.ledger, connection, plan, row, said)

        done = other.act(order())

    assert done.state is State.UNKNOWN
    assert world.calls() == 0
    assert acted(world, order()).state is State.DELIVERED  # it has ended now, and left nothing


# -- something changes meanwhile


def test_a_pack_that_changes_while_it_waits_decides(world: World) -> None:
    world.rules(*needs_approval())
    with world.executor() as executor:
        waiting = executor.act(order())
        world.approve(waiting.waiting_for[0]["request_id"])
        world.rules("{id: none, effect: deny, actions: post_note}")

        done = executor.act(order())

    assert done.state is State.DENIED
    assert world.decisions() == 2


def test_a_pack_that_changes_after_the_decision_stops_what_was_not_sent(world: World) -> None:
    rule = "  - {id: none, effect: deny, actions: post_note}\n"
    done = acted(world, order(how="change-packs", packs=str(world.pack), rule=rule))

    assert done.state is State.DENIED
    assert world.effects() == []
    assert world.verbs() == ["planned", "dispatching", "retryable", "planned"]


def test_what_is_cancelled_before_it_is_sent_is_not_sent(world: World) -> None:
    before = acted(world, order(), is_cancelled=lambda: True)
    answers = iter([False, True, True, True])
    during = acted(world, order("b"), is_cancelled=lambda: next(answers, True))

    assert before.state is during.state is State.CANCELLED
    assert int(during.exit_code) == 130
    assert world.effects() == []


def test_two_at_once_act_once(world: World) -> None:
    def act(_: int) -> Done:
        with world.elsewhere() as ledger, world.executor(ledger=ledger) as executor:
            return executor.act(order())

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(act, range(4)))

    assert {one.state for one in done} == {State.DELIVERED}
    assert len(world.effects()) == 1


def test_several_at_the_same_orders_act_and_are_charged_once_each(world: World) -> None:
    world.rules(BUDGET.replace("limit: 3", "limit: 1000"))
    names = [f"a{number}" for number in range(6)]

    def act(first: int) -> list[Done]:
        with world.elsewhere() as ledger, world.executor(ledger=ledger) as executor:
            return [executor.act(priced(name, 1)) for name in (*names[first:], *names[:first])]

    with ThreadPoolExecutor(4) as pool:
        done = [one for many in pool.map(act, range(4)) for one in many]

    assert {one.state for one in done} == {State.DELIVERED}, [one.detail for one in done]
    assert (len(world.effects()), coins(world)) == (6, (6, 0))


def test_who_was_taken_over_begins_nothing(world: World) -> None:
    with world.executor() as executor, executors(world) as register:
        register.lose(executor.lease.id)
        with pytest.raises(LedgerError):
            executor.act(order())

    assert world.calls() == 0


def test_who_was_taken_over_sends_nothing_and_another_does_it(world: World) -> None:
    def take_over(_: Ledger) -> None:
        with executors(world) as register:
            register.lose(executor.lease.id)

    with world.executor() as executor:
        thread = meanwhile(world, take_over)
        with pytest.raises(LedgerError, match="taken over"):
            executor.act(order(how="slow"))
        thread.join()
        assert world.effects() == []

        assert acted(world, order(how="slow")).state is State.DELIVERED
    assert world.effects() == ["hello"]


@contextmanager
def executors(world: World) -> Iterator[Executors]:
    with closing(executors_of(world.ledger)) as register:
        yield register


# -- secrets


def test_a_secret_is_revealed_to_the_adapter_and_recorded_nowhere(world: World) -> None:
    done = acted(world, order(note="pw ${{ secrets.NOTE }}"))

    assert world.effects() == ["pw correct-horse-battery"]
    assert done.outputs["said"].startswith("pw [masked] by")
    assert b"correct-horse" not in b"".join(path.read_bytes() for path in world.ledger.folder.rglob("*.db*"))
    assert "correct-horse" not in str([(one.payload, one.fields) for one in world.events("")])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NOTO", "there is no secret NOTO did you mean `NOTE`?"),
        ("SHORT", "fewer than 4 characters"),
        ("ELSE", "is not for post_note; it is for open_pr"),
        ("GONE", "NOWHERE is not set"),
    ],
)
def test_a_secret_that_cannot_be_had_is_configuration_and_nothing_is_sent(here: World, name: str, said: str) -> None:
    done = acted(here, order(note=f"${{{{ secrets.{name} }}}}"))

    assert (done.state, done.error_class) == (State.PERMANENT, ErrorClass.CONFIGURATION)
    assert said in done.detail.replace("'", "")
    assert here.effects() == []


# -- a dry run


def test_a_dry_run_says_what_would_be_and_leaves_nothing(world: World) -> None:
    world.rules(*needs_approval())
    with world.executor() as executor:
        decision = executor.would(order())

    assert decision.context["outcome"] == "pending"
    assert world.events("") == []
    assert world.calls() == 0
