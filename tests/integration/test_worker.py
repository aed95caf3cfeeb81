"""`orch worker` as a whole command, over real processes: who works, who wakes what waits, who takes over."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import clean, place_in
from run_processes import PATIENCE_S, SLOW, SMALL, World

from orchestrator import keys

if TYPE_CHECKING:
    from postgres_server import Server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with place_in(tmp_path) as place, ExitStack() as stack:
        yield World(place, stack)


def test_a_detached_run_is_a_workers(world: World) -> None:
    left = world.place.orch("run", world.plan(SMALL), "--detach", "--run", "r1")
    assert left.stdout == "run r1 is left to the workers\n", clean(left)
    assert world.words() == []

    done = world.place.orch("worker", "--once")

    assert done.returncode == 0, clean(done)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert (events[0], events[-1]) == ("started", "ended")
    assert world.words() == ["hello", "again"]
    assert world.runs() == [("r1", "succeeded")]


def test_a_run_that_waits_holds_nothing_and_goes_on_after_an_approval(world: World) -> None:
    key = keys.new_key(world.folder / "key", None)
    (world.folder / "packs" / "people.yaml").write_text(
        "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n"
        f'  user:alice: {{roles: [operator], keys: ["{keys.ssh_line(key.public)}"]}}\n'
    )
    first = world.place.orch("run", world.plan(SMALL), "--mode", "manual", "--run", "r1")
    assert first.returncode == 4, clean(first)
    assert "next: orch approve " in first.stdout
    assert world.words() == ["hello"]
    worker = world.start("worker", "--poll", "0.2")

    for count in (1, 2):
        request = _waits_for(world)
        vote = world.place.orch("approve", request, "--yes", "--key", world.folder / "key", "--as", "user:alice")
        assert vote.returncode == 0, clean(vote)
        world.until(partial(_is_beyond, world, count))

    world.until(lambda: world.runs() == [("r1", "succeeded")])
    assert world.words() == ["hello", "again"]
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0


def _is_beyond(world: World, count: int) -> bool:
    return len(world.words()) > count or world.runs() == [("r1", "succeeded")]


def _waits_for(world: World) -> str:
    """Return the request that the run waits for, once it does."""
    found: list[str] = []

    def seen() -> bool:
        done = world.place.orch("approvals", "-o", "json")
        found[:] = [one["id"] for one in json.loads(done.stdout) if one["state"] == "open"]
        return bool(found)

    world.until(seen)
    return found[0]


def test_a_killed_run_is_taken_over_by_a_worker(world: World) -> None:
    running = world.start("run", world.plan(SLOW), "--run", "r1")
    world.until(lambda: world.words("slowly"))
    world.start("worker")
    time.sleep(1)
    running.kill()

    took_s = world.until(lambda: world.words("slowly").count("began") > 1)

    assert took_s < 15
    world.until(lambda: world.runs() == [("r1", "succeeded")])
    assert world.words() == ["one", "last"]


def test_a_worker_that_is_killed_is_taken_over(world: World) -> None:
    world.place.orch("run", world.plan(SLOW), "--detach", "--run", "r1")
    first = world.start("worker")
    world.until(lambda: world.words("slowly"))
    second = world.start("worker")
    time.sleep(1)

    first.kill()
    took_s = world.until(lambda: world.words("slowly").count("began") > 1)

    assert took_s < 15
    world.until(lambda: world.runs() == [("r1", "succeeded")])
    assert world.words() == ["one", "last"]
    second.terminate()
    _, said = second.communicate(timeout=PATIENCE_S)
    assert "taken over" in {json.loads(line)["event"] for line in said.splitlines()}


def test_what_was_begun_and_never_handed_out_is_found(world: World) -> None:
    """The process ended between the two."""
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs import start
    from orchestrator.settings import Settings

    plan = world.plan(SMALL)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in world.place.environ.items():
            patched.setenv(name, value)
        settings = Settings.load({"packs": (str(world.folder / "packs"),)})
        asked = start.Asked(str(plan), {}, run="r1", root=world.folder)
        with open_ledger(settings.ledger) as ledger:
            start.prepared(start.source_of(asked, settings), asked, settings)(ledger)
    world.start("worker", "--poll", "0.5")

    world.until(lambda: world.runs() == [("r1", "succeeded")])


def test_three_workers_on_one_server_do_each_step_once(world: World, postgres: "Server") -> None:
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs import start
    from orchestrator.runs.engine import Options, launched
    from orchestrator.runs.lease import open_lease
    from orchestrator.runs.takeup import begin_first
    from orchestrator.settings import Settings

    database = postgres.database()
    url = postgres.url(database)
    world.place.environ["ORCH_LEDGER"] = url
    plan = world.plan(SMALL)
    with ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in world.place.environ.items():
            patched.setenv(name, value)
        ledger = stack.enter_context(open_ledger(url, as_owner=True))
        lease = stack.enter_context(open_lease(ledger))
        settings = Settings.load({})
        engine = stack.enter_context(launched(settings, ledger, lease, Options(None, 1)))
        for number in range(12):
            asked = start.Asked(str(plan), {"word": f"w{number}"}, run=f"r{number}", root=world.folder)
            begin_first(engine, ledger, start.prepared(start.source_of(asked, settings), asked, settings)(ledger))
        workers = [world.start("worker", "--concurrency", "2") for _ in range(3)]
        world.until(lambda: {state for _, state in world.runs()} == {"succeeded"})
        for worker in workers:
            worker.terminate()
        assert [worker.wait(PATIENCE_S) for worker in workers] == [0, 0, 0]

    assert Counter(world.words()) == {**{f"w{number}": 1 for number in range(12)}, "again": 12}
    postgres.drop(database)


def test_a_worker_without_packs_says_so_and_leaves_the_run(world: World) -> None:
    world.place.orch("run", world.plan(SMALL), "--detach", "--run", "r1")
    worker = world.start("worker")
    (world.folder / "packs").rename(world.folder / "away")

    time.sleep(2)
    (world.folder / "away").rename(world.folder / "packs")

    world.until(lambda: world.runs() == [("r1", "succeeded")])
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0
