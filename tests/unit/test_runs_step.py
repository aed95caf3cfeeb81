"""A step is done with what earlier ones gave, left out, or replaced; and each time it is told why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_world import World, does, one, sh, world_in

from orchestrator.adapter import Delivery
from orchestrator.ledger.store import Ledger
from orchestrator.outbox import resolve
from orchestrator.runs import awaited


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def test_references_are_filled_from_inputs_and_earlier_outputs(world: World) -> None:
    first = sh("make", "echo '{\"n\": 7}'")
    second = sh(
        "use",
        'echo "$0-$1-$2" >> effects',
        "",
        "${{ inputs.env }}",
        "${{ steps.make.outputs.json.n }}",
        "${{ run.id }}",
    )
    world.begin(one(first, second, head="inputs: {env: {default: dev}}\n"), env="prod")

    state = world.go()

    assert state == "succeeded", world.snapshot().reason
    assert world.order() == ["prod-7-r1"]


def test_a_run_that_is_gone_on_with_sees_the_values_it_saw_before(local: World) -> None:
    local.packs("  - {id: reviewed, effect: require, actions: write_file, approvals: {role: operator}}\n")
    first = sh("make", "head -c8 /dev/urandom | od -An -tx1 | tr -d ' \\n' | tee -a drawn")
    second = "{id: keep, action: write_file, adapter: files, with: {path: kept, content: '${{ steps.make.outputs.stdout }}'}}"
    local.begin(one(first, second))

    waiting = local.go()
    local.vote()
    state = local.go()

    assert (waiting, state) == ("waiting", "succeeded"), local.snapshot().reason
    assert (local.root / "kept").read_text() == (local.root / "drawn").read_text()


def test_a_reference_to_a_secret_stays_one_in_the_record(local: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY", "a-value-nobody-may-read")
    local.settings = local.settings._replace(secrets={"DEPLOY": {"env": "DEPLOY"}})
    local.begin(
        one(
            sh("use", 'test "$TOKEN" = a-value-nobody-may-read && echo ok >> effects')
            .replace("with: {", "with: {env: {TOKEN: '${{ secrets.DEPLOY }}'}, ")
            .replace("a-value-nobody-may-read", 'a-val\\"\\"ue-nobody-may-read')
        )
    )

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert local.order() == ["ok"]
    with local.ledger.store.reading() as connection:
        bodies = [bytes(row[0]) for row in connection.execute("SELECT body FROM payloads")]
    assert not any(b"a-value-nobody-may-read" in body for body in bodies)
    assert any(b"secrets.DEPLOY" in body for body in bodies)


def test_a_step_whose_condition_is_false_is_left_out_and_that_is_told(local: World) -> None:
    local.begin(one(does("a", more="if: {inputs.env: prod}"), does("b"), head="inputs: {env: {default: dev}}\n"))

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert local.order() == ["b"]
    [phase] = local.snapshot().phases
    assert [(step.id, step.state) for step in phase.steps] == [("a", "skipped"), ("b", "delivered")]


def test_a_condition_on_what_is_not_known_fails_as_configuration(local: World) -> None:
    local.begin(one(does("a"), does("b", more="if: {steps.a.outputs.none: 1}")))

    state = local.go()

    assert state == "failed"
    [phase] = local.snapshot().phases
    assert (phase.error_class, local.snapshot().exit_code) == ("configuration", 7)
    assert local.order() == ["a"]


def test_a_reference_to_what_is_not_there_fails_as_configuration(local: World) -> None:
    local.begin(one(does("a"), does("b", "'${{ steps.a.outputs.none }}'")))

    state = local.go()

    assert state == "failed"
    [phase] = local.snapshot().phases
    assert phase.error_class == "configuration"
    assert "steps.a.outputs.none" in phase.reason


def test_a_plan_may_go_on_after_a_step_that_failed(local: World) -> None:
    local.begin(one(sh("bad", "exit 1", "on_failure: continue"), does("b")))

    state = local.go()

    assert state == "succeeded", local.snapshot().reason
    assert local.order() == ["b"]
    [note] = local.events("orch.phase.noted")
    assert (note["step"], note["state"]) == ("bad", "continued")


def test_other_steps_are_done_instead_of_a_denied_one_and_why_is_told(world: World) -> None:
    world.packs("  - {id: never, effect: deny, actions: write_file, message: nobody writes}\n")
    write = "{id: file, action: write_file, adapter: files, with: {path: x, content: z}, on_failure: {steps: [%s]}}"
    world.begin(one(write % does("instead"), does("b")))

    state = world.go()

    assert state == "succeeded", world.snapshot().reason
    assert world.order() == ["instead", "b"]
    [note] = world.events("orch.phase.noted")
    assert (note["step"], note["state"]) == ("file", "replaced")
    assert "nobody writes" in note["reason"]
    [phase] = world.snapshot().phases
    told = [(step.id, step.state, step.instead_of) for step in phase.steps]
    assert told == [("file", "replaced", ""), ("instead", "delivered", "file"), ("b", "delivered", "")]


def test_where_the_steps_instead_fail_the_phase_fails(local: World) -> None:
    local.begin(one(sh("bad", "exit 1", f"on_failure: {{steps: [{sh('worse', 'exit 2')}]}}"), does("b")))

    assert local.go() == "failed"
    assert local.order() == []


def test_looks_for_what_is_unknown_use_up_none_of_the_attempts_after_it(local: World) -> None:
    script = "echo try >> effects; case $(wc -l < effects) in 1) sleep 30;; 2) exit 75;; esac"
    local.begin(one(sh("slow", script, "timeout: 1s, retry: {attempts: 2, wait: 1s}, errors: {75: transient}")))

    held = local.go()
    said = [awaited.sentence(one).partition(" at ")[0] for one in local.snapshot().waiting_for]
    resolve(local.ledger, "r1", "only/slow", Delivery.RETRYABLE, by="user:ada")
    state = local.go()

    assert (held, state) == ("waiting", "succeeded"), local.snapshot().reason
    assert local.effects()["try"] == 3
    assert said == ["waits for somebody to say what became of only/slow (phase only)", "looks again"]
