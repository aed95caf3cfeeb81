"""A run begins once, with everything that it will need on record, and nothing secret among it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_world import PLAN, World, does, world_in

from orchestrator import record
from orchestrator.choices import Point
from orchestrator.errors import OrchError, PackError, UsageError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.plans.read import read_plan
from orchestrator.runs.begin import begin, started
from orchestrator.runs.context import open_context
from orchestrator.runs.lease import open_lease
from orchestrator.runs.walk import cancel

MET = "success: [{json_valid: met.json}]"
ONE = f"phases: [{{id: build, steps: [{does('a')}], {MET}}}]\n"


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def test_a_run_that_began_is_recorded_with_its_plan(world: World) -> None:
    run_id = world.begin(ONE)

    with world.ledger.store.reading() as connection:
        sql = "SELECT kind, name, mode, state, segment, actor FROM runs WHERE id = ?"
        [row] = connection.execute(sql, (run_id,))
    assert row == ("plan", "small", "automated", "running", 0, "agent:fixer")
    said = started(world.ledger, run_id)
    assert said["root"] == str(world.root)
    assert said["plan"]["phases"][0]["id"] == "build"
    shown = world.snapshot()
    assert (shown.total, shown.done, shown.percent, shown.exit_code) == (1, 0, 0, None)
    assert shown.to_json()["phases"][0]["steps"][0]["state"] == "pending"


def test_inputs_keep_their_types(local: World) -> None:
    inputs = "inputs: {count: {type: integer}, deep: {type: json, default: {a: [1, true]}}, name: {default: x}}\n"
    local.begin(inputs + ONE, count="3")

    assert started(local.ledger, "r1")["inputs"] == {"count": 3, "deep": {"a": [1, True]}, "name": "x"}


def test_a_run_begins_once(world: World) -> None:
    world.begin(ONE)

    with pytest.raises(UsageError, match="r1 exists already") as raised:
        world.begin(ONE)

    assert "orch resume r1" in raised.value.advice


def test_of_a_run_that_has_ended_another_name_is_advised(world: World) -> None:
    world.begin(ONE)
    cancel(world.ledger, "r1", "user:ada", "")
    world.go()

    with pytest.raises(UsageError, match=r"r1 exists already and has ended \(cancelled\)") as raised:
        world.begin(ONE)

    assert "resume" not in raised.value.advice
    assert "another id" in raised.value.advice


def test_of_two_who_begin_a_run_at_once_one_wins(world: World) -> None:
    file = world.folder / "plan.yaml"
    file.write_text(PLAN + ONE)
    plan = read_plan(file)
    how: Any = {"inputs": {}, "mode": "automated", "root": world.root, "settings": world.settings}
    barrier, ended = threading.Barrier(4), list[str]()
    place = getattr(world.ledger.store, "url", None) or str(world.ledger.folder)

    def begins() -> None:
        with open_ledger(place) as ledger:
            barrier.wait()
            try:
                ended.append(begin(ledger, plan, run=record.Run("r2", subject="agent:fixer"), **how))
            except OrchError as error:
                ended.append(type(error).__name__)

    threads = [threading.Thread(target=begins) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["UsageError", "UsageError", "UsageError", "r2"]


def test_a_run_without_a_name_gets_one_of_its_plan(local: World) -> None:
    local.run = local.run._replace(id=None)

    names = {local.begin(ONE) for _ in range(11)}

    assert len(names) == 11
    assert all(name.startswith("small-2") for name in names)


@pytest.mark.parametrize("name", ["../../evil", "", "a b", ".hidden", "x" * 200])
def test_a_name_that_could_lead_elsewhere_is_refused(local: World, name: str) -> None:
    local.run = local.run._replace(id=name)

    with pytest.raises(UsageError, match="the run"):
        local.begin(ONE)


SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.mark.parametrize(
    ("plan", "inputs", "what"),
    [
        pytest.param(ONE.replace(", a]", f", {SECRET}]"), {}, "the plan holds a secret", id="plan"),
        pytest.param("inputs: {token: {default: x}}\n" + ONE, {"token": SECRET}, "the input token holds", id="input"),
    ],
)
def test_a_secret_in_a_plan_or_an_input_is_refused(local: World, plan: str, inputs: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError, match=what) as raised:
        local.begin(plan, **inputs)

    assert SECRET not in str(raised.value)
    assert "secrets" in raised.value.advice
    with local.ledger.store.reading() as connection:
        assert not connection.execute("SELECT 1 FROM events")


def test_the_folder_of_a_run_is_the_real_one(local: World) -> None:
    link = local.folder / "link"
    link.symlink_to(local.root)
    real, local.folder = local.root, local.folder

    class Linked(World):
        @property
        def root(self) -> Path:
            return link

    Linked(local.folder, local.ledger, local.signers, local.settings).begin(ONE)

    assert started(local.ledger, "r1")["root"] == str(real)


def test_a_folder_that_is_not_there_is_told_of(local: World) -> None:
    (local.root / "met.json").unlink()
    local.root.rmdir()

    with pytest.raises(UsageError, match="there is no folder"):
        local.begin(ONE)


def test_another_machine_may_name_its_own_folder(local: World, tmp_path: Path) -> None:
    local.begin(ONE)
    other = tmp_path / "other"
    other.mkdir()

    with open_lease(local.ledger) as lease:
        context = open_context(local.settings, "r1", ledger=local.ledger, lease=lease, root=other)

    assert context.root == other.resolve()


def test_what_a_tick_began_is_enforced_as_at_the_tick_by_whoever_goes_on(local: World) -> None:
    usual = local.settings
    local.settings = usual._replace(point=Point.TICK)
    local.begin(ONE)
    local.settings = usual._replace(point=Point.RUN)

    with local.context() as context:
        assert context.settings.point is Point.TICK


def test_run_packs_are_recorded_and_narrow_the_run(local: World) -> None:
    pack = local.folder / "narrow.yaml"
    pack.write_text("""apiVersion: orch/v1
kind: PolicyPack
metadata: {name: narrow, version: 1.0.0}
default: inherit
rules:
  - {id: nothing, effect: deny, actions: run_command, message: not in this run}
""")
    local.settings = local.settings._replace(run_packs=(str(pack),))
    local.begin(ONE)
    pack.unlink()
    local.settings = local.settings._replace(run_packs=())

    assert local.go() == "denied"
    assert "not in this run" in local.snapshot().reason


def test_a_run_pack_that_cannot_be_read_is_told_of(local: World) -> None:
    local.settings = local.settings._replace(run_packs=(str(local.folder / "none.yaml"),))

    with pytest.raises(UsageError, match="run pack"):
        local.begin(ONE)
    (local.folder / "bytes.yaml").write_bytes(b"\xff\xfe")
    local.settings = local.settings._replace(run_packs=(str(local.folder / "bytes.yaml"),))
    with pytest.raises(PackError, match="UTF-8"):
        local.begin(ONE)


def test_what_is_no_plans_run_is_not_gone_on_with(local: World) -> None:
    from orchestrator.ledger.append import append_all
    from orchestrator.ledger.event import Draft

    append_all(local.ledger, [Draft("orch.run.started", "task", "user:ada", {"kind": "task", "repository": ""})])

    with pytest.raises(UsageError, match="no plan's"):
        local.go("task")
    with pytest.raises(UsageError, match="no run"):
        local.go("nothing")
    assert local.snapshot("task").phases == ()
    assert cancel(local.ledger, "task", "user:ada", "") == "cancelled"
    assert local.snapshot("task").state == "cancelled"
