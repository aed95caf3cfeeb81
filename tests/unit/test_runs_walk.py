"""A run goes through its plan: in the order of needs, over failures, waits and cancellation, to one end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_world import DIAMOND, FAILS, MET, REVIEWED, WAITS, WRITE, Hurried, World, does, world_in

from orchestrator import clock
from orchestrator.errors import UsageError
from orchestrator.ledger.rebuild import differences
from orchestrator.ledger.store import Ledger
from orchestrator.runs.listing import found
from orchestrator.runs.phase import run_phase
from orchestrator.runs.walk import cancel, due, policy_mark, ready, settle, start_segment


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def test_phases_go_in_the_order_of_their_needs(world: World) -> None:
    world.begin(DIAMOND)

    state = world.go()

    assert state == "succeeded", world.snapshot().reason
    assert world.order()[0] == "a"
    assert world.order()[-1] == "d"
    assert dict(world.effects()) == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert world.snapshot().percent == 100
    with world.ledger.store.reading() as connection:
        assert not list(differences(world.ledger, connection))


def test_what_needs_two_phases_is_ready_after_both(local: World) -> None:
    local.begin(DIAMOND)

    with local.context() as context:
        seen = [ready(context)]
        for name in ("base", "left", "right"):
            run_phase(context, name, Hurried())
            seen.append(ready(context))

    assert seen == [("base",), ("left", "right"), ("right",), ("top",)]


def test_a_phase_whose_condition_is_false_is_skipped_and_satisfies_who_needs_it(local: World) -> None:
    plan = f"""inputs: {{env: {{default: dev}}}}
phases:
  - {{id: deploy, if: {{inputs.env: prod}}, steps: [{does("a")}], {MET}}}
  - {{id: after, needs: deploy, steps: [{does("b")}], {MET}}}
"""
    local.begin(plan)

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert local.states() == {"deploy": "skipped", "after": "passed"}
    assert local.order() == ["b"]
    seen, (row,) = local.snapshot(), found(local.ledger).runs
    assert (seen.done, seen.total, seen.percent) == (row.done, row.total, row.percent) == (1, 1, 100)


def test_after_a_failure_nothing_else_begins_and_who_needs_it_says_why(world: World) -> None:
    plan = f"""phases:
  - {{id: bad, steps: [{FAILS}], {MET}}}
  - {{id: next, needs: bad, steps: [{does("a")}], {MET}}}
  - {{id: later, needs: next, steps: [{does("b")}], {MET}}}
  - {{id: other, needs: slow, steps: [{does("c")}], {MET}}}
  - {{id: slow, steps: [{does("d")}], {MET}}}
"""
    world.begin(plan)
    with world.context() as context:
        for name in ("slow", "bad"):
            run_phase(context, name, Hurried())

    state = world.go()

    assert state == "failed"
    assert world.states() == {
        "bad": "failed", "next": "skipped", "later": "skipped", "other": "skipped", "slow": "passed",
    }  # fmt: skip
    phases = {phase.id: phase for phase in world.snapshot().phases}
    assert phases["next"].error_class == "dependency"
    assert "needs bad" in phases["next"].reason
    assert phases["later"].error_class == "dependency"
    assert phases["other"].error_class == ""
    assert "stopped: bad" in phases["other"].reason
    assert world.snapshot().exit_code == 1


def test_a_plan_that_continues_does_what_does_not_need_the_failed_phase(local: World) -> None:
    plan = f"""on_failure: continue
phases:
  - {{id: bad, steps: [{FAILS}], {MET}}}
  - {{id: next, needs: bad, steps: [{does("a")}], {MET}}}
  - {{id: other, steps: [{does("b")}], {MET}}}
"""
    local.begin(plan)

    state = local.go()

    assert state == "failed"
    assert local.states() == {"bad": "failed", "next": "skipped", "other": "passed"}


def test_a_denied_step_ends_the_run_as_denied(world: World) -> None:
    world.packs("  - {id: never, effect: deny, actions: write_file, message: nobody writes here}\n")
    world.begin(WAITS)

    state = world.go()

    assert state == "denied"
    assert world.snapshot().exit_code == 3
    assert "nobody writes here" in world.snapshot().reason
    assert [step.state for step in world.snapshot().phases[1].steps] == ["denied", "pending"]
    assert not (world.root / "out.txt").exists()


def test_a_spent_budget_fails_the_run_with_its_own_exit_code(local: World) -> None:
    local.packs(
        "", pack=local.PACK.replace('actions: "*"}', 'actions: "*", budgets: [{meter: usd, per: run, limit: 1}]}')
    )
    plan = f"""phases:
  - {{id: one, steps: [{does("a", more="estimates: {usd: 1}")}], {MET}}}
  - {{id: two, needs: one, steps: [{does("b", more="estimates: {usd: 1}")}], {MET}}}
"""
    local.begin(plan)

    state = local.go()

    assert state == "failed", local.snapshot()
    assert local.snapshot().exit_code == 5
    assert "budget" in local.snapshot().reason
    assert "raise the limit of " in local.snapshot().reason
    assert local.snapshot().reason.endswith("; this run has ended: once there is room, begin a new one")
    assert "stop here" not in local.snapshot().reason
    assert local.order() == ["a"]


def test_a_run_waits_for_an_approval_and_goes_on_where_it_stood(world: World) -> None:
    world.packs(REVIEWED)
    world.begin(WAITS)

    waiting = world.go()
    assert waiting == "waiting", world.snapshot().reason
    shown = world.snapshot()
    request = world.vote()
    state = world.go()

    assert state == "succeeded", world.snapshot().reason
    assert dict(world.effects()) == {"a": 1, "b": 1}
    assert shown.exit_code == 4
    assert [step.state for step in shown.phases[1].steps] == ["waiting", "pending"]
    [wait] = shown.waiting_for
    assert (wait["type"], wait["phase"], wait["step"], wait["request_id"]) == (
        "approval", "second", "second/file", request,
    )  # fmt: skip
    assert world.snapshot().segment == 1
    with world.ledger.store.reading() as connection:
        assert not list(differences(world.ledger, connection))


def test_a_waiting_run_is_due_once_somebody_votes_or_the_packs_change(world: World) -> None:
    world.packs(REVIEWED)
    world.begin(WAITS)
    world.go()
    mark = policy_mark(world.settings)

    before = due(world.ledger, "r1", mark)
    world.go()
    still = due(world.ledger, "r1", mark)
    world.packs(REVIEWED + "  - {id: more, effect: allow, actions: comment}\n")
    other_packs = due(world.ledger, "r1", policy_mark(world.settings))
    unread = due(world.ledger, "r1", "")
    world.packs(REVIEWED)
    world.vote()
    voted = due(world.ledger, "r1", mark)

    assert (before, still, other_packs, unread, voted) == (False, False, True, False, True)


def test_packs_that_change_while_a_run_waits_are_followed(local: World) -> None:
    local.packs(REVIEWED)
    local.begin(WAITS)
    assert local.go() == "waiting"
    local.packs("  - {id: never, effect: deny, actions: write_file}\n")

    state = local.go()

    assert state == "denied"
    assert not (local.root / "out.txt").exists()


def test_a_vote_taken_back_before_its_use_does_not_count(local: World) -> None:
    from orchestrator import approvals, ballot

    local.packs(REVIEWED)
    local.begin(WAITS)
    local.go()
    local.vote()
    [request] = approvals.waiting(local.ledger)
    ballot.revoke(local.ledger, request, request.votes[0], local.signers["user:ada"])

    state = local.go()

    assert state == "waiting"
    assert not (local.root / "out.txt").exists()


def test_a_cancelled_run_does_nothing_more(world: World) -> None:
    world.begin(DIAMOND)
    with world.context() as context:
        run_phase(context, "base", Hurried())
        cancel(world.ledger, "r1", "user:ada", "enough")
        run_phase(context, "left", Hurried())

    state = world.go()

    assert state == "cancelled"
    assert world.order() == ["a"]
    assert world.snapshot().reason == "enough"
    assert world.snapshot().exit_code == 130
    assert world.snapshot().cancelled_by == "user:ada"
    assert world.states() == {"base": "passed", "left": "skipped", "right": "skipped", "top": "skipped"}
    seen, (row,) = world.snapshot(), found(world.ledger).runs
    assert (seen.done, seen.total, seen.percent) == (row.done, row.total, row.percent) == (1, 4, 25)


def test_a_phase_that_runs_when_its_run_is_cancelled_stops_before_its_next_action(local: World) -> None:
    plan = f"phases: [{{id: only, steps: [{does('a')}, {does('b')}], {MET}}}]\n"
    local.begin(plan)

    class Cancels(Hurried):
        def step(self, name: str, work: object) -> object:
            done = work()  # type: ignore[operator]
            if name.startswith("only/a"):
                cancel(local.ledger, "r1", "user:ada", "")
            return done

    state = local.go(durable=Cancels())

    assert state == "cancelled"
    assert local.order() == ["a"]
    assert local.states() == {"only": "failed"}


def test_a_waiting_run_that_is_cancelled_is_due_and_ends(local: World) -> None:
    local.packs(REVIEWED)
    local.begin(WAITS)
    local.go()

    answer = cancel(local.ledger, "r1", "user:ada", "")
    is_due = due(local.ledger, "r1", "")
    state = local.go()

    assert (answer, is_due, state) == ("cancelling", True, "cancelled")
    assert local.states() == {"first": "passed", "second": "failed"}


def test_what_has_ended_is_not_cancelled(local: World) -> None:
    local.begin(f"phases: [{{id: only, steps: [{does('a')}], {MET}}}]\n")
    local.go()

    with pytest.raises(UsageError, match="has ended"):
        cancel(local.ledger, "r1", "user:ada", "")
    with pytest.raises(UsageError, match="no run"):
        cancel(local.ledger, "nothing", "user:ada", "")


def test_settling_again_changes_nothing(world: World) -> None:
    world.begin(DIAMOND)
    world.go()

    with pytest.raises(UsageError, match="has ended"):
        world.go()
    assert len(world.events("orch.run.ended")) == 1


def test_nothing_is_settled_while_a_phase_runs_or_is_ready(local: World) -> None:
    local.begin(DIAMOND)
    with local.context() as context:
        at_first = settle(context)
        context.journal.start("base")
        while_it_runs = settle(context)

    assert (at_first, while_it_runs) == (None, None)
    assert local.snapshot().state == "running"


def test_two_who_start_a_segment_start_one(local: World) -> None:
    local.packs(REVIEWED)
    local.begin(WAITS)
    local.go()

    with local.context() as one, local.context() as two:
        numbers = (start_segment(one), start_segment(two), start_segment(one))

    assert numbers == (1, 1, 1)
    assert len(local.events("orch.run.resumed")) == 1


def test_an_abandoned_segment_is_taken_up_by_the_next(local: World) -> None:
    local.begin(DIAMOND)
    with local.context() as context:
        context.journal.start("base")

    with local.context() as context:
        stuck = ready(context)
        segment = start_segment(context, is_abandoned=True)
        now = ready(context)
    state = local.go()

    assert (stuck, segment, now) == ((), 1, ("base",))
    assert state == "succeeded"


def test_a_phase_that_sleeps_is_not_woken_by_what_another_waited_for(local: World) -> None:
    local.packs(REVIEWED)
    late = "{attempts: 2, wait: 10h, most: 10h}"
    busy = f"{{id: busy, action: run_command, adapter: command, with: {{argv: [sh, -c, 'echo x >> effects; exit 75']}}, errors: {{'75': transient}}, retry: {late}}}"
    local.begin(f"""phases:
  - {{id: sleeps, steps: [{busy}], {MET}}}
  - {{id: waits, steps: [{WRITE}], {MET}}}
""")

    first = local.go()
    local.vote()
    second = local.go()

    assert (first, second) == ("waiting", "waiting")
    assert dict(local.effects()) == {"x": 1}
    assert local.states() == {"sleeps": "waiting", "waits": "passed"}
    [wait] = local.snapshot().waiting_for
    assert wait["type"] == "timer"
    assert clock.parse_time(wait["at"]) > clock.now_ns()
    assert not due(local.ledger, "r1", "")
