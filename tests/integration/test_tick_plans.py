"""Plans of stages, and workers that tick: whole commands, real processes, a real engine."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_line import clean
from escalation_world import HOUR_NS, MINUTE_NS, NAME, TEXT
from ticking import Stalling, Ticking, eventually, stalling, started, ticking, walked

from orchestrator.clock import format_time, now_ns
from orchestrator.escalations.carry import Carried, Carry
from orchestrator.escalations.tick import Manner, Place, Stop, tick_in
from orchestrator.ledger.open import open_ledger
from orchestrator.runs.lease import open_lease

PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: publish}
phases:
  - id: announce
    steps:
      - {id: note, action: write_file, with: {path: announced.txt, content: "it is so"}}
  - id: rest
    needs: [announce]
    steps:
      - {id: file, action: write_file, with: {path: rest.txt, content: "and more"}}
"""
WITH_PLAN = TEXT.replace(
    """    actions:
      - {id: publish, action: write_file, with: {path: released.txt, content: released}}
""",
    """    plan: {file: plans/publish.yaml}
""",
)
ALL = "{id: open, effect: allow, actions: '*'}"


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    """A world whose last stage has a plan, and that stands right before it by the machine's clock."""
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        (made.world.packs / "plans").mkdir()
        (made.world.packs / "plans" / "publish.yaml").write_text(PLAN)
        made.world.document(WITH_PLAN)
        walked(made, 3 * HOUR_NS)
        yield made


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ticking, Stalling]]:
    """A world in which mail is taken slowly."""
    with stalling() as server, ticking(tmp_path, monkeypatch) as made:
        channel = {"adapter": "mail", "host": "127.0.0.1", "port": server.port, "security": "none"}
        made.world.configure(channels={"mail": {**channel, "from": "orch@acme.example"}})
        yield made, server


def at(when: str) -> tuple[str, str]:
    return "--now", f"2026-11-21T{when}:00Z"


# -- plans


def test_the_plan_of_a_stage_is_carried_out_with_it(planned: Ticking) -> None:
    done = planned.world.orch("tick")

    assert done.returncode == 0, clean(done)
    assert f"{NAME}-c1-full (plan): delivered" in done.stdout
    assert (planned.world.work / "rest.txt").read_text() == "and more"
    assert planned.world.orch("tick").returncode == 0


def test_a_plan_that_waits_is_owed_and_gone_on_with(planned: Ticking) -> None:
    rule = "{id: later, effect: require, actions: write_file, evidence: [tests], when: {action.properties.path: {in: [rest.txt]}}}"
    planned.world.rules(ALL, rule)
    first = planned.world.orch("tick")
    planned.world.rules(ALL)

    second = planned.world.orch("tick")

    assert first.returncode in {1, 4}, clean(first)
    assert "  owed: full is waiting" in first.stdout
    assert second.returncode == 0, clean(second)
    assert (planned.world.work / "rest.txt").exists()


def test_a_plan_whose_tick_was_killed_before_it_began_is_carried_out_by_the_next(planned: Ticking) -> None:
    """The stage is entered and its plan's run recorded in one transaction; killed right after, nothing is lost."""

    class Killed(BaseException):
        pass

    def nobody(run_id: str, *, is_new: bool) -> Carried:
        raise Killed

    with pytest.raises(Killed):
        _with_carry(planned, nobody)

    done = planned.world.orch("tick")

    assert done.returncode == 0, clean(done)
    assert (planned.world.work / "rest.txt").exists()


def test_a_renewal_ends_the_plan_of_its_cycle(planned: Ticking) -> None:
    rule = "{id: later, effect: require, actions: write_file, evidence: [tests], when: {action.properties.path: {in: [rest.txt]}}}"
    planned.world.rules(ALL, rule)
    planned.world.orch("tick")

    planned.renew(format_time(now_ns()))
    planned.world.rules(ALL)
    planned.world.orch("tick")

    assert not (planned.world.work / "rest.txt").exists()
    assert planned.record.cycle == 2


def _with_carry(made: Ticking, carried: Carry) -> None:
    """Tick with another way to carry plans out."""
    settings = made.world.settings(point="tick")
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        place = Place(ledger, lease, carried, lambda: False, made.world.work)
        list(tick_in(settings, NAME, Manner(Stop()), place))


# -- a worker


def _until(process: "subprocess.Popen[bytes]", text: bytes) -> Iterator[bytes]:
    """Yield what a process says on standard error, to the line that holds a text."""
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if text in line:
            return


def test_a_worker_ticks_every_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as here:
        here.begin(now_ns() + 30 * MINUTE_NS)
        with started(here, "worker", "--tick-every", "1s", "--poll", "0.2") as process:
            eventually(lambda: here.record.tick >= 3, 60)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)

    lines = [json.loads(line) for line in err.decode().splitlines()]
    ticks = [one for one in lines if one["event"] == "tick"]
    assert process.returncode == 0
    assert ticks[0]["entered"] == ["remind_6h", "remind_1h"]
    assert [one["tick"] for one in ticks] == list(range(1, len(ticks) + 1))
    assert len(here.subjects()) == 2


def test_a_worker_carries_the_plan_of_a_stage_out(planned: Ticking) -> None:
    with started(planned, "worker", "--tick-every", "1s", "--poll", "0.2") as process:
        eventually((planned.world.work / "rest.txt").exists, 60)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    assert process.returncode == 0


def test_a_worker_beside_a_tick_says_busy_and_works_on(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    with started(here, "tick", *at("06:00")) as first, started(here, "worker", "--tick-every", "1s") as process:
        assert server.is_reached.wait(60)
        said = [json.loads(line) for line in _until(process, b'"why": "busy"')]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        server.goes_on.set()
        first.communicate(timeout=60)

    assert process.returncode == 0
    assert "another tick is at it" in said[-1]["detail"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--tick-every", "often"), "is no duration"), (("--tick-every", "5m", "--once"), "--once at once")],
)
def test_a_schedule_that_cannot_be_is_told(planned: Ticking, arguments: tuple[str, ...], said: str) -> None:
    done = planned.world.orch("worker", *arguments)

    assert done.returncode == 2
    assert said in clean(done)
