"""A phase does its steps, looks at its criteria, tries again where that is worth it, and can be cut off anywhere."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_server import Reply, http_server
from run_world import MET, Hurried, World, does, hook, one, sh, world_in

from orchestrator.adapter import Delivery
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Ledger
from orchestrator.outbox import resolve
from orchestrator.runs.step import order_of
from orchestrator.runs.walk import due


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def let_time_pass(world: World) -> None:
    """Record anew what the run waits for, as it is once the time of each timer has come."""
    waits = [dict(each, at="2026-01-01T00:00:00Z") for each in world.snapshot().waiting_for]
    with world.ledger.store.writing() as connection:
        for payload in ({"for": waits, "phase": "only", "reason": ""}, {"for": waits}):
            kind, subject = ("orch.phase.waiting", "only") if "phase" in payload else ("orch.run.waiting", "")
            append(world.ledger, connection, Draft(kind, "r1", "agent:fixer", payload, subject=subject))


# -- attempts


FLAKY = (
    "n=$(cat count 2>/dev/null || echo 0); n=$((n+1)); echo $n > count; echo try >> effects; test $n -ge %d || exit 75"
)
BUSY = "errors: {'75': transient}"


def test_a_transient_failure_is_tried_again_after_a_wait(world: World) -> None:
    world.begin(one(sh("flaky", FLAKY % 3, BUSY)))
    hurried = Hurried()

    state = world.go(durable=hurried)

    assert state == "succeeded", world.snapshot().reason
    assert world.effects()["try"] == 3
    assert len(hurried.slept_s) == 2
    assert 0 <= hurried.slept_s[0] <= 1
    assert 0 <= hurried.slept_s[1] <= 2
    assert world.snapshot().phases[0].steps[0].attempts == 3


def test_attempts_have_an_end(local: World) -> None:
    local.begin(one(sh("flaky", FLAKY % 9, BUSY)))

    assert local.go() == "failed"
    assert local.effects()["try"] == 3
    assert local.snapshot().phases[0].error_class == "transient"


def test_a_permanent_failure_is_not_tried_again(local: World) -> None:
    local.begin(one(sh("bad", "echo try >> effects; exit 1")))

    assert local.go() == "failed"
    assert local.effects()["try"] == 1
    assert local.snapshot().phases[0].error_class == "permanent"


def test_a_phase_is_tried_again_without_doing_twice_what_was_done(local: World) -> None:
    more = f"retry: {{attempts: 2, wait: 1s, errors: [permanent]}}, {MET}"
    local.begin(one(does("a"), sh("bad", "echo try >> effects; test $(grep -c try effects) -ge 2"), more=more))

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert dict(local.effects()) == {"a": 1, "try": 2}
    [phase] = local.snapshot().phases
    assert (phase.attempt, phase.attempts) == (2, 2)


def test_criteria_are_looked_at_anew_in_each_attempt_at_a_phase(local: World) -> None:
    check = '[sh, -c, "echo look >> effects; test $(grep -c look effects) -ge 2"]'
    more = f"retry: {{attempts: 3, wait: 1s, errors: [permanent]}}, success: [{{command_succeeds: {{argv: {check}}}}}]"
    local.begin(one(does("a"), more=more))

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert dict(local.effects()) == {"a": 1, "look": 2}


def test_a_wait_of_more_than_a_minute_is_the_runs_and_the_attempts_go_on_counting(world: World) -> None:
    retry = f"{BUSY}, retry: {{attempts: 3, wait: 10h, most: 10h}}"
    world.begin(one(sh("flaky", FLAKY % 9, retry)))
    hurried = Hurried()

    first = world.go(durable=hurried)
    early = world.go(durable=hurried)
    tries = world.effects()["try"]
    let_time_pass(world)
    is_due = due(world.ledger, "r1", "")
    second = world.go(durable=hurried)
    let_time_pass(world)
    third = world.go(durable=hurried)

    assert (first, early, tries, is_due) == ("waiting", "waiting", 1, True)
    assert (second, third) == ("waiting", "failed")
    assert world.effects()["try"] == 3
    assert hurried.slept_s == []


def test_a_server_that_asks_to_wait_is_waited_for(local: World) -> None:
    hurried = Hurried()
    with http_server() as server:
        server.answer("/busy", Reply(503, headers={"Retry-After": "7"}), Reply(200))
        local.begin(one(hook("busy", f"{server.url}/busy")))

        state = local.go(durable=hurried)

    assert state == "succeeded", local.snapshot().reason
    assert len(server.seen) == 2
    assert [round(slept) for slept in hurried.slept_s] == [7]


def test_a_phase_has_only_so_much_time(local: World) -> None:
    local.begin(one(does("a"), does("b"), more=f"timeout: 1s, {MET}"))

    class Slow(Hurried):
        def step(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  # JSON
            done = work()
            if name.startswith("only/a"):
                time.sleep(1.05)
            return done

    assert local.go(durable=Slow()) == "failed"
    assert local.order() == ["a"]
    [phase] = local.snapshot().phases
    assert phase.error_class == "transient"
    assert "longer than its 1 s" in phase.reason


@pytest.mark.parametrize(
    ("more", "state"), [("", "waiting"), (", replayable: true", "failed")], ids=["once", "replayable"]
)
def test_a_step_that_takes_too_long_is_ended(local: World, more: str, state: str) -> None:
    """Nobody knows how much it did; so somebody looks, unless the plan says that twice is no harm."""
    local.begin(one(sh("slow", "echo try >> effects; sleep 30", "timeout: 1s, retry: {attempts: 2, wait: 1s}" + more)))

    assert local.go() == state
    assert local.effects()["try"] == (2 if more else 1)


def test_what_is_unknown_is_held_until_a_person_says(local: World) -> None:
    local.begin(one(does("a"), does("b")))

    with local.context() as context:  # as after a kill in mid-step: it was begun, and nobody knows how it ended
        context.journal.start("only")
        step = context.plan.phases[0].steps[0]
        order = order_of(step, "only/a", dict(step.parameters), 60.0)
        assert context.executor._only_decided(order) is None
        key = context.executor._key(order)
        said = {"key": key, "attempt": 1, "executor": "gone-00000000-1-1-0000000000000000"}
        with local.ledger.store.writing() as connection:
            append(local.ledger, connection, Draft("orch.action.dispatching", "r1", "agent:fixer", said))

    state = local.go(is_abandoned=True)
    [wait, timer] = local.snapshot().waiting_for
    before = due(local.ledger, "r1", "")
    resolve(local.ledger, "r1", "only/a", Delivery.DELIVERED, by="user:ada")
    after = due(local.ledger, "r1", "")
    ended = local.go()

    assert (state, wait["type"], wait["step"], timer["type"]) == ("waiting", "unknown", "only/a", "timer")
    assert (before, after, ended) == (False, True, "succeeded")
    assert local.order() == ["b"]


# -- criteria


def test_unmet_criteria_fail_the_phase_with_what_was_seen_and_expected(world: World) -> None:
    (world.root / "m.json").write_text('{"coverage": {"total": 61}}')
    more = "success: [{file_exists: none.txt}, {metric_threshold: {file: m.json, path: coverage.total, min: 80}}, {json_valid: met.json}]"
    world.begin(one(does("a"), more=more))

    state = world.go()

    assert state == "failed"
    [phase] = world.snapshot().phases
    assert [one["passed"] for one in phase.criteria] == [False, False, True]
    assert "61" in phase.criteria[1]["seen"]
    assert "80" in phase.criteria[1]["expected"]
    assert phase.criteria[0]["name"] == "only/success.1"
    assert "none.txt" in phase.reason


def test_a_criterion_that_is_a_command_goes_through_policy(local: World) -> None:
    local.packs("  - {id: reviewed, effect: require, actions: run_command, approvals: {role: operator}}\n")
    local.begin(
        one(
            "{id: file, action: write_file, adapter: files, with: {path: x, content: z}}",
            more="success: [{command_succeeds: {argv: ['true']}}]",
        )
    )

    waiting = local.go()
    wait = local.snapshot().waiting_for[0]
    local.vote()
    state = local.go()

    assert (waiting, state) == ("waiting", "succeeded"), local.snapshot().reason
    assert (wait["type"], wait["step"]) == ("approval", "only/success.1")


# -- cut off at any point


class Killed(BaseException):
    """As if the process ended here."""


class CutOff(Hurried):
    """Ends at its n-th breath: before or after one of its steps."""

    def __init__(self, breaths: int) -> None:
        super().__init__()
        self.left = breaths

    def step(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401, ARG002  # the Protocol's
        self._breathe()
        done = json.loads(json.dumps(work()))
        self._breathe()
        return done

    def sleep(self, seconds: float) -> None:
        self._breathe()
        super().sleep(seconds)

    def _breathe(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


CUT = f"""on_failure: compensate
phases:
  - id: one
    retry: {{attempts: 2, wait: 1s, errors: [permanent]}}
    steps:
      - {does("a")}
      - {sh("flaky", "echo try >> tries; test $(wc -l < tries) -ge 3 && echo flaky >> effects || exit 75", BUSY)}
      - {sh("bad", "exit 1", "on_failure: {steps: [" + does("instead") + "]}")}
    success: [{{file_exists: effects}}]
    compensate: [{does("undo")}]
  - id: two
    needs: one
    steps: [{does("b")}, {sh("refused", "exit 1")}]
    success: [{{file_exists: effects}}]
"""


ONCE = Counter({"a": 1, "flaky": 1, "instead": 1, "undo": 1, "b": 1})


def test_cut_off_at_any_point_each_effect_happens_once(world: World, more: int) -> None:
    stride = 1 if more > 1 else 3 if world.ledger.gives_leaves else 9
    cut = 0
    while True:
        world.run = world.run._replace(id=f"cut-{cut}")
        for name in ("effects", "tries"):
            (world.root / name).unlink(missing_ok=True)
        run_id = world.begin(CUT)
        try:
            world.go(run_id, CutOff(cut))
        except Killed:
            state = world.go(run_id, is_abandoned=True)
        else:
            break
        assert state == "failed", (cut, world.snapshot(run_id).reason)
        assert world.effects() == ONCE, cut
        assert world.states(run_id) == {"one": "compensated", "two": "failed"}, cut
        cut += stride

    assert cut > 30
    assert world.effects() == ONCE


def test_cut_off_at_any_point_a_server_is_asked_once(local: World) -> None:
    with http_server() as server:
        steps = [hook(name, f"{server.url}/{name}") for name in ("one", "two")]
        for name in ("one", "two"):
            server.answer(f"/{name}", Reply(200))
        for cut in range(100):
            server.seen.clear()
            local.run = local.run._replace(id=f"cut-{cut}")
            run_id = local.begin(one(*steps))
            try:
                state = local.go(run_id, CutOff(cut))
                break
            except Killed:
                state = local.go(run_id, is_abandoned=True)
            assert state == "succeeded", local.snapshot(run_id).reason
            assert [seen.path for seen in server.seen] == ["/one", "/two"], cut

    assert cut > 8


def test_cut_off_again_and_again_it_still_comes_to_its_end(local: World) -> None:
    run_id = local.begin(CUT)
    for breaths in range(2, 100, 4):
        try:
            local.go(run_id, CutOff(breaths), is_abandoned=True)
            break
        except Killed:
            continue

    assert local.snapshot().state == "failed"
    assert local.effects() == ONCE
