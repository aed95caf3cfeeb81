"""One order: decided, looked at again, performed once, recorded. On both kinds of ledger."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from act_world import World, acted, needs_approval, order, world_in
from command_line import stop_sidecars

from orchestrator.act import Done, State
from orchestrator.adapter import ErrorClass
from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import verify


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, ledger, monkeypatch) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world on SQLite alone, for what does not depend on the database."""
    with world_in(tmp_path, sqlite_ledger, monkeypatch) as made:
        yield made


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
    os.system(  # noqa: S605  # a path of ours
        f"git -C {here.folder} init -q && git -C {here.folder} commit -q --allow-empty -m first"
    )

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


def test_a_text_that_is_no_utf8_never_reaches_an_adapter(here: World) -> None:
    done = acted(here, order(how=["\udcff"]))

    assert (done.state, done.error_class) == (State.PERMANENT, ErrorClass.CONFIGURATION)
    assert "the parameter how[0] of" in done.detail
    assert done.detail.endswith("expected UTF-8 text")
    assert here.verbs() == []


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


def test_a_secret_is_revealed_to_the_adapter_and_recorded_nowhere(world: World) -> None:
    done = acted(world, order(note="pw ${{ secrets.NOTE }}"))

    assert world.effects() == ["pw correct-horse-battery"]
    assert done.outputs["said"].startswith("pw [masked] by")
    assert b"correct-horse" not in b"".join(path.read_bytes() for path in world.ledger.folder.rglob("*.db*"))
    assert "correct-horse" not in str([(one.payload, one.fields) for one in world.events("")])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NOTO", "there is no secret NOTO (did you mean `NOTE`?)"),
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


def test_a_dry_run_says_what_would_be_and_leaves_nothing(world: World) -> None:
    world.rules(*needs_approval())
    with world.executor() as executor:
        decision = executor.would(order())

    assert decision.context["outcome"] == "pending"
    assert world.events("") == []
    assert world.calls() == 0
