"""The gate of a phase: criteria that are met open it where the packs allow, else people do; each time by a decision."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_world import World, does, world_in

from orchestrator import approvals
from orchestrator.ledger.store import Ledger
from orchestrator.runs.dry import Rehearsal, rehearse
from orchestrator.runs.gate import counts

MET = "success: [{json_valid: met.json}]"
ONE = f"phases: [{{id: build, steps: [{does('a')}], {MET}}}]\n"
BARE = f"phases: [{{id: build, steps: [{does('a')}]}}]\n"
BY_ITSELF = "  - {id: by-itself, effect: allow, actions: auto_approve}\n"
NAMED = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: allow
rules:
  - {id: some, effect: allow, actions: [run_command, approve_phase]}
"""


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def decided(world: World, action: str) -> list[str]:
    """Return the outcomes of every recorded decision on an action."""
    with world.ledger.store.reading() as connection:
        sql = "SELECT outcome FROM events WHERE type = 'orch.decision' AND action = ? ORDER BY run_seq"
        return [outcome for (outcome,) in connection.execute(sql, (action,))]


def test_met_criteria_open_the_gate_by_a_decision(world: World) -> None:
    world.begin(ONE)

    assert world.go() == "succeeded", world.snapshot().reason
    assert decided(world, "approve_phase") == ["allow"]


def test_a_pack_may_deny_a_phase_to_go_on(local: World) -> None:
    local.packs("  - {id: never, effect: deny, actions: approve_phase, message: not on Fridays}\n")
    local.begin(ONE)

    assert local.go() == "denied"
    assert local.snapshot().exit_code == 3
    assert "not on Fridays" in local.snapshot().reason
    assert local.states() == {"build": "failed"}


def test_a_pack_may_ask_for_approvals_of_a_phase(local: World) -> None:
    local.packs("  - {id: seen, effect: require, actions: approve_phase, approvals: {role: operator}}\n")
    local.begin(ONE)

    waiting = local.go()
    local.vote()

    assert (waiting, local.go()) == ("waiting", "succeeded")


def test_in_manual_mode_people_open_each_phase_and_see_its_name(world: World) -> None:
    world.begin(ONE, mode="manual")

    waiting = world.go()
    [request] = approvals.waiting(world.ledger)
    again = world.go()
    world.vote()
    state = world.go()

    assert (waiting, again, state) == ("waiting", "waiting", "succeeded"), world.snapshot().reason
    assert (request.action, request.resource) == ("approve_phase", "small:build")
    assert [(ask.role, ask.needed) for ask in request.asks] == [("operator", 1)]
    assert dict(world.effects()) == {"a": 1}
    assert not approvals.waiting(world.ledger)


def test_a_plan_says_who_and_how_many_open_its_gates(local: World) -> None:
    local.begin("approvals: {role: operator, count: 2}\n" + ONE, mode="manual")
    local.go()

    local.vote("user:ada")
    after_one = local.go()
    local.vote("user:bob")
    after_two = local.go()

    assert (after_one, after_two) == ("waiting", "succeeded")


def test_a_rejection_keeps_the_gate_shut(local: World) -> None:
    local.begin(ONE, mode="manual")
    local.go()

    local.vote(decision="reject")

    assert local.go() == "waiting"
    assert local.states() == {"build": "waiting"}


def test_a_gate_that_the_plan_calls_manual_is_opened_by_people(local: World) -> None:
    local.begin(ONE.replace("id: build,", "id: build, gate: manual,"))

    assert local.go() == "waiting"


def test_whoever_acts_cannot_open_the_gate(local: World) -> None:
    local.run = local.run._replace(subject="user:ada")
    local.begin(ONE, mode="manual")
    local.go()

    local.vote("user:ada")

    assert local.go() == "waiting"


def test_without_criteria_a_phase_needs_people(world: World) -> None:
    world.packs(pack=NAMED)
    world.begin(BARE)

    waiting = world.go()
    world.vote()
    state = world.go()

    assert (waiting, state) == ("waiting", "succeeded"), world.snapshot().reason


@pytest.mark.parametrize(
    ("pack", "state"),
    [
        pytest.param(NAMED + BY_ITSELF, "succeeded", id="a rule allows it"),
        pytest.param(NAMED, "waiting", id="a default does not count"),
        pytest.param(NAMED + BY_ITSELF.replace("allow", "deny"), "waiting", id="denied"),
        pytest.param(NAMED.replace("rules:", "enforcement: {run: warn}\nrules:"), "succeeded", id="packs only warn"),
        pytest.param(
            NAMED + BY_ITSELF + "  - {id: seen, effect: require, actions: auto_approve, approvals: {role: operator}}\n",
            "waiting",
            id="it would have to wait",
        ),
    ],
)
def test_a_phase_without_criteria_goes_on_by_itself_only_where_a_pack_says_so(
    local: World, pack: str, state: str
) -> None:
    local.packs(pack=pack)
    local.begin(BARE)

    assert local.go() == state
    assert len(approvals.waiting(local.ledger)) == (state == "waiting")


def test_in_manual_mode_auto_approve_opens_nothing(local: World) -> None:
    local.packs(pack=NAMED + BY_ITSELF)
    local.begin(BARE, mode="manual")

    assert local.go() == "waiting"


def test_a_packs_own_default_is_no_consent() -> None:
    by_default = {"mode": "enforce", "findings": [{"effect": "allow", "rule": "acme/default", "source": ""}]}

    assert not counts(by_default)
    assert not counts(None)


# -- rehearsed


def rehearsed(world: World, phases: str, **more: str) -> Rehearsal:
    """Return what a plan would come to; nothing may change by asking."""
    from run_world import PLAN

    from orchestrator.plans.read import inputs_for, read_plan

    file = world.folder / "plan.yaml"
    file.write_text(PLAN + phases)
    plan = read_plan(file)
    before = sorted(map(str, world.root.rglob("*")))
    run = world.run._replace(id=None)
    found = rehearse(
        plan, inputs=inputs_for(plan, {}), root=world.root, settings=world.settings, run=run, mode=more.get("mode", "automated")
    )  # fmt: skip
    assert sorted(map(str, world.root.rglob("*"))) == before
    with world.ledger.store.reading() as connection:
        assert not connection.execute("SELECT 1 FROM events")
    return found


def test_a_rehearsal_tells_what_each_step_would_be_decided(local: World) -> None:
    local.packs("  - {id: never, effect: deny, actions: write_file, message: nobody writes}\n")
    write = "{id: file, action: write_file, adapter: files, with: {path: x, content: z}, on_failure: continue}"
    found = rehearsed(
        local,
        f"""inputs: {{env: {{default: dev}}}}
phases:
  - {{id: one, steps: [{does("a")}, {does("b", "'${{ steps.a.outputs.stdout }}'")}, {does("c", more="if: {inputs.env: prod}")}], {MET}}}
  - {{id: two, needs: one, steps: [{write}], compensate: [{does("undo")}]}}
""",
    )

    assert found.levels == (("one",), ("two",))
    told = {f"{trial.phase}/{trial.step}": (trial.outcome, trial.only_if) for trial in found.trials}
    assert told == {
        "one/a": ("allow", ""), "one/b": ("unknown", ""), "one/c": ("skipped", ""), "one/gate": ("allow", ""),
        "two/file": ("deny", ""), "two/gate": ("allow", ""), "two/undo": ("allow", "the run fails later"),
    }  # fmt: skip
    assert found.exit_code == 3
    assert "steps.a.outputs.stdout" in next(one.detail for one in found.trials if one.step == "b")
    assert "nobody writes" in next(one.detail for one in found.trials if one.step == "file")


def test_a_rehearsal_tells_what_cannot_be_prepared(local: World) -> None:
    found = rehearsed(
        local,
        f"phases: [{{id: one, steps: [{{id: bad, action: run_command, adapter: command, with: {{argv: [no-such-program]}}}}], {MET}}}]\n",
    )

    assert found.trials[0].outcome == "error"
    assert found.exit_code == 7
    assert found.to_json()["trials"][0]["step"] == "bad"


def test_a_rehearsal_of_manual_mode_waits_at_each_gate(local: World) -> None:
    found = rehearsed(local, ONE, mode="manual")

    assert [(one.step, one.outcome) for one in found.trials] == [("a", "allow"), ("gate", "pending")]
    assert found.exit_code == 4
