"""Who works on a run, seen from outside: on both databases, by the real engine."""

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from run_world import World, does, one, world_in

from orchestrator import clock
from orchestrator.ledger.store import Ledger
from orchestrator.runs.attendance import ENGINE, Attendance, attendance
from orchestrator.runs.database import FILE
from orchestrator.runs.engine import HELD, QUEUE, Engine, Options, launched, own_queue
from orchestrator.runs.lease import HeldLease, open_lease
from orchestrator.runs.listing import found
from orchestrator.runs.reaper import reaping
from orchestrator.runs.workflow import carry_out
from orchestrator.show.runs import write
from orchestrator.show.timeline import page

PATIENCE_S = 30.0


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        place = getattr(ledger.store, "url", None) or str(ledger.folder)
        made.settings = made.settings._replace(ledger=place)
        made.begin(one(does("a")))
        yield made


@contextmanager
def engine_of(world: World, lease: HeldLease, queue: str | None) -> Iterator[Engine]:
    with launched(world.settings, world.ledger, lease, Options(queue, 2)) as engine:
        yield engine


def seen(world: World, state: str = "running") -> Attendance:
    return attendance(world.ledger, {"r1": state})["r1"]


def until(world: World, is_met: object) -> None:
    assert callable(is_met)
    end = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < end, seen(world)
        time.sleep(0.02)


def text(world: World, output: str = "text") -> str:
    out = io.StringIO()
    write(found(world.ledger, "r1"), out, output, page(out, width=200, color=False, now_ns=clock.now_ns()))
    return out.getvalue()


def test_the_name_of_the_engines_file_is_the_engines() -> None:
    assert ENGINE == FILE


def test_what_was_just_begun_is_worked_on(world: World) -> None:
    assert seen(world) == Attendance(True)


def test_what_is_left_to_workers_is_queued(world: World) -> None:
    with open_lease(world.ledger) as lease, engine_of(world, lease, None) as engine:
        engine.enqueue(carry_out, "r1", 0, ["only"])

    assert seen(world) == Attendance(False, is_queued=True)
    assert "state      queued\n" in text(world)
    assert "a worker takes it: orch worker; orch resume r1 goes on" in text(world)


def test_what_was_stopped_is_told_with_what_goes_on(world: World) -> None:
    with open_lease(world.ledger) as lease, engine_of(world, lease, None) as engine:
        engine.options = engine.options._replace(queue=HELD)
        engine.enqueue(carry_out, "r1", 0, ["only"])

    assert seen(world) == Attendance(False)
    assert "state      stopped\n" in text(world)
    assert "nobody works on it; orch resume r1 goes on" in text(world)
    assert json.loads(text(world, "json"))["is_worked_on"] is False


def test_what_a_living_process_has_queued_for_itself_is_worked_on(world: World) -> None:
    with open_lease(world.ledger) as lease, engine_of(world, lease, None) as engine:
        engine.options = engine.options._replace(queue=own_queue(lease.id))
        engine.enqueue(carry_out, "r1", 0, ["only"])
        engine.rest = own_queue(lease.id)
        assert seen(world) == Attendance(True, lease.id)
        assert "state      running by process" in text(world)
    assert seen(world) == Attendance(False)


def test_why_a_worker_cannot_go_on_is_seen_until_somebody_does(world: World) -> None:
    world.root.rename(world.folder / "elsewhere")
    with open_lease(world.ledger) as lease, engine_of(world, lease, QUEUE) as engine:
        engine.enqueue(carry_out, "r1", 0, ["only"])
        until(world, lambda: seen(world).hindrances)

        (why,) = seen(world).hindrances
        assert (seen(world).is_worked_on, why.executor) == (False, lease.id)
        assert why.reason.startswith("there is no folder '/")
        assert "--root DIR" in why.reason
        assert "hindered   process" in text(world)

        (world.folder / "elsewhere").rename(world.root)
        with reaping(engine):
            until(world, lambda: world.snapshot().state == "succeeded")
        assert seen(world, "waiting").hindrances == ()


def test_each_worker_has_one_reason_for_a_run_and_takes_it_along(world: World) -> None:
    with open_lease(world.ledger) as lease:
        for number in range(3):
            lease.hinder("r1", f"for the {number}. time")
        assert [one.reason for one in seen(world).hindrances] == ["for the 2. time"]

    assert seen(world, "waiting") == Attendance(False)


def test_runs_that_ended_are_not_asked_about(world: World) -> None:
    with open_lease(world.ledger) as lease:
        lease.hinder("r1", "why")

        assert seen(world, "succeeded") == Attendance(False)


def test_a_damaged_register_hides_who_works_and_nothing_else(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    with world_in(tmp_path / "world", sqlite_ledger) as world:
        world.begin(one(does("a")))
        (sqlite_ledger.folder / ENGINE).write_bytes(b"x" * 4096)

        assert seen(world) == Attendance(None)
        assert "state      running\n" in text(world)


def test_looking_on_makes_no_file(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    with world_in(tmp_path / "world", sqlite_ledger) as world:
        world.begin(one(does("a")))

        seen(world)

        assert not (sqlite_ledger.folder / ENGINE).exists()
