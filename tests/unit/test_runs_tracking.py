"""Tracking: one issue for a run, found again and never a second one; under policy; a failure of it fails no run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from github_rest import Fault
from github_server import GitHubServer
from run_world import Hurried, World, does, world_in

from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.order import Order
from orchestrator.runs.context import RunContext, open_context
from orchestrator.runs.lease import open_lease
from orchestrator.runs.listing import found
from orchestrator.runs.phase import run_phase
from orchestrator.runs.tracking import follow, is_over
from orchestrator.runs.walk import ready, settle, start_segment

PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: small, version: 1.0.0, title: A small plan}
inputs: {env: {default: dev}}
defaults: {timeout: 1m, retry: {attempts: 2, wait: 1s}}
tracking: {github: {repository: acme/web, labels: [runs], title: "Run ${{ run.id }} on ${{ inputs.env }} @all"}}
"""
MET = "success: [{json_valid: met.json}]"
TWO = f"phases:\n  - {{id: one, title: The <first>, steps: [{does('a')}], {MET}}}\n  - {{id: two, needs: one, steps: [{does('b')}], {MET}}}\n"
WAITS = TWO.replace("id: two,", "id: two, gate: manual,")
FAILS = TWO.replace(does("b"), "{id: b, action: run_command, adapter: command, with: {argv: ['false']}}")
NO_COMMENTS = "  - {id: quiet, effect: deny, actions: comment, message: nobody comments here}\n"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        monkeypatch.setenv("HUB_TOKEN", server.token)
        yield server


@pytest.fixture
def world(tmp_path: Path, sqlite_ledger: Ledger, github: GitHubServer) -> Iterator[World]:
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        hub = {"api": github.url, "token": "${{ secrets.HUB }}", "settle_s": 0}
        made.settings = made.settings._replace(adapters={"github": hub}, secrets={"HUB": {"env": "HUB_TOKEN"}})
        yield made


def go(world: World, told: list[dict[str, Any]] | None = None, *, times: int = 1) -> str:
    """Carry one segment out and follow it as a worker does: after each phase, and when the run settles."""
    told = [] if told is None else told
    with world.context() as context:
        start_segment(context)
        while True:
            for name in ready(context):
                run_phase(context, name, Hurried())
                told += [follow(context) for _ in range(times)]
            state = settle(context, Hurried())
            if state is not None:
                told += [follow(context) for _ in range(times)]
                return state


def bodies(github: GitHubServer) -> list[str]:
    return [str(one["body"]) for one in github.comments]


def test_a_run_has_one_issue_that_is_closed_at_its_end(world: World, github: GitHubServer) -> None:
    world.begin(TWO, plan=PLAN, env="prod")

    state = go(world)

    (issue,) = github.issues
    assert state == "succeeded"
    assert (issue["title"], issue["state"]) == ("Run r1 on prod @all", "closed")
    assert [one["name"] for one in issue["labels"]] == ["runs"]
    assert "Phases passed: 2 of 2 (100 %)." in issue["body"]
    assert "| `one` The &lt;first&gt; | ✅ passed | 1 |" in issue["body"]
    assert [body.splitlines()[0] for body in bodies(github)] == [
        "✅ Phase `one` **passed**",
        "✅ Phase `two` **passed**",
    ]
    assert github.effects["issue.created"] == 1


def test_following_again_changes_nothing(world: World, github: GitHubServer) -> None:
    world.begin(TWO, plan=PLAN)
    told: list[dict[str, Any]] = []

    go(world, told, times=3)

    assert [len(one["done"]) > 0 for one in told] == [True, False, False] * 3
    assert [one["problems"] for one in told] == [[]] * 9
    assert told[-1]["url"] == github.issues[0]["html_url"]
    assert github.effects == {"issue.created": 1, "issue.updated": 3, "comment.created": 2}


def test_a_gate_that_waits_is_posted_with_its_command_and_so_is_who_opened_it(
    world: World, github: GitHubServer
) -> None:
    world.begin(WAITS, plan=PLAN)
    assert go(world) == "waiting"
    waiting = bodies(github)[-1]
    assert github.issues[0]["state"] == "open"
    assert "It waits:" in github.issues[0]["body"]

    request = world.vote()
    assert f"`orch approve {request}`" in waiting
    assert waiting.startswith("⏳ Phase `two` **waits**")
    assert go(world) == "succeeded"

    assert github.effects["issue.created"] == 1
    assert github.issues[0]["state"] == "closed"
    (given,) = [body for body in bodies(github) if "was **approved**" in body]
    assert "- `user:ada` as `operator`" in given
    assert f"`{request}`" in given


def test_a_phase_that_waits_for_the_same_is_told_once(world: World, github: GitHubServer) -> None:
    world.begin(WAITS, plan=PLAN)
    for _ in range(3):
        assert go(world) == "waiting"

    assert len([body for body in bodies(github) if "**waits**" in body]) == 1


def test_a_run_that_failed_says_why_and_its_issue_is_closed(world: World, github: GitHubServer) -> None:
    world.begin(FAILS, plan=PLAN)

    assert go(world) == "failed"

    assert github.issues[0]["state"] == "closed"
    assert bodies(github)[-1].startswith("❌ Phase `two` **failed**: ")
    assert "❌ failed" in github.issues[0]["body"]


@pytest.mark.parametrize("kind", [Fault.LOSE, Fault.AFTER, Fault.GARBAGE])
def test_an_issue_whose_reply_was_lost_is_found_again(world: World, github: GitHubServer, kind: Fault) -> None:
    github.fault(r"/issues$", kind, method="POST")
    world.begin(TWO, plan=PLAN)

    assert go(world) == "succeeded"

    assert github.effects["issue.created"] == len(github.issues) == 1
    assert github.issues[0]["state"] == "closed"
    assert len(bodies(github)) == 2


@pytest.mark.parametrize("kind", [Fault.LOSE, Fault.BEFORE, Fault.DROP])
def test_a_comment_that_failed_is_made_up_for_and_never_made_twice(
    world: World, github: GitHubServer, kind: Fault
) -> None:
    github.fault(r"/comments$", kind, method="POST")
    told: list[dict[str, Any]] = []
    world.begin(TWO, plan=PLAN)

    assert go(world, told) == "succeeded"

    assert [body.splitlines()[0] for body in sorted(bodies(github))] == [
        "✅ Phase `one` **passed**",
        "✅ Phase `two` **passed**",
    ]
    assert github.effects["comment.created"] == 2
    assert told[0]["problems"]


def test_where_github_is_gone_the_run_goes_on_and_it_is_noted(world: World, github: GitHubServer) -> None:
    hub = {"api": "http://127.0.0.1:9", "token": "${{ secrets.HUB }}", "settle_s": 0}
    world.settings = world.settings._replace(adapters={"github": hub})
    told: list[dict[str, Any]] = []
    world.begin(TWO, plan=PLAN)

    assert go(world, told) == "succeeded"

    assert all(one["issue"] is None and one["problems"][0].startswith("tracking.issue: ") for one in told)
    assert github.requests == []


def test_without_a_token_nothing_is_claimed_to_be_done(world: World, github: GitHubServer) -> None:
    world.settings = world.settings._replace(adapters={})
    told: list[dict[str, Any]] = []
    world.begin(TWO, plan=PLAN)

    assert go(world, told) == "succeeded"

    assert told[-1]["done"] == []
    assert told[-1]["problems"]


def test_what_keeps_tracking_from_beginning_is_on_record_once_until_it_is_made_up_for(
    world: World, github: GitHubServer
) -> None:
    adapters, world.settings = world.settings.adapters, world.settings._replace(adapters={})
    world.begin(TWO, plan=PLAN)
    go(world)
    seen = found(world.ledger, "r1").tracked
    world.settings = world.settings._replace(adapters=adapters)

    with open_lease(world.ledger) as lease:
        follow(open_context(world.settings, "r1", ledger=world.ledger, lease=lease, may_have_ended=True))

    ((name, state, why),) = seen
    assert (name, state) == ("tracking.issue", "behind")
    assert "there is no token for GitHub" in why
    assert len(world.events("orch.tracking.behind")) == 1
    assert [(name, state) for name, state, _ in found(world.ledger, "r1").tracked] == [("tracking.issue", "delivered")]
    assert len(github.issues) == 1


def test_what_a_pack_denies_is_not_posted_and_fails_no_run(world: World, github: GitHubServer) -> None:
    world.packs(NO_COMMENTS)
    told: list[dict[str, Any]] = []
    world.begin(TWO, plan=PLAN)

    assert go(world, told) == "succeeded"

    assert github.comments == []
    assert github.issues[0]["state"] == "closed"
    assert "denied" in told[-1]["problems"][0]


def test_a_denied_order_is_not_asked_for_again_and_again(world: World) -> None:
    world.packs(NO_COMMENTS)
    world.begin(WAITS, plan=PLAN)
    go(world)

    with world.context() as context:
        for _ in range(5):
            follow(context)

    asked = [one for one in world.events("orch.decision") if one["request"]["action"]["name"] == "comment"]
    assert len(asked) <= 8


def test_the_title_of_a_plan_without_one_names_the_run(world: World, github: GitHubServer) -> None:
    plan = PLAN.replace(', title: "Run ${{ run.id }} on ${{ inputs.env }} @all"', "")
    world.begin(TWO, plan=plan)

    go(world)

    assert github.issues[0]["title"] == "A small plan: run r1"


def test_a_plan_without_tracking_asks_nobody(world: World, github: GitHubServer) -> None:
    world.begin(TWO)

    assert go(world) == "succeeded"

    assert github.requests == []


def test_the_token_is_in_no_event_and_no_text(world: World, github: GitHubServer) -> None:
    from orchestrator.ledger import read

    world.begin(TWO, plan=PLAN)
    go(world)

    with world.ledger.store.reading() as connection:
        events = [f"{event.header!r}{event.payload}" for event in read.events(connection)]
    assert not [one for one in events if github.token in one]
    assert github.token not in str(github.issues) + str(github.comments)


def test_two_at_once_make_one_issue(world: World, github: GitHubServer) -> None:
    import threading

    world.begin(TWO, plan=PLAN)
    with world.context() as context:
        start_segment(context)
        run_phase(context, "one", Hurried())
    failures: list[BaseException] = []

    def one() -> None:
        try:
            with world.elsewhere() as ledger, world.context(ledger=ledger) as context:
                follow(context)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert github.effects["issue.created"] == 1
    assert github.effects["comment.created"] == 1


def test_a_context_is_enough(world: World) -> None:
    """What `follow` takes is the run's context and nothing else."""
    world.begin(TWO)

    with world.context() as context:
        assert isinstance(context, RunContext)
        assert follow(context) == {"issue": None, "url": "", "done": [], "problems": []}


def test_a_run_that_ended_before_it_was_told_of_is_told_of_once(world: World, github: GitHubServer) -> None:
    world.begin(TWO, plan=PLAN)
    assert world.go() == "succeeded"
    assert (github.issues, is_over(world.ledger, "r1")) == ([], False)

    for _ in range(2):
        with open_lease(world.ledger) as lease:
            follow(open_context(world.settings, "r1", ledger=world.ledger, lease=lease, may_have_ended=True))

    assert is_over(world.ledger, "r1")
    assert [issue["state"] for issue in github.issues] == ["closed"]
    assert github.effects == {"issue.created": 1, "issue.updated": 1, "comment.created": 2}


def test_in_a_run_that_has_ended_nothing_is_done_but_told(world: World, github: GitHubServer) -> None:
    world.begin(TWO, plan=PLAN)
    world.go()
    late = Order("two/late", "create_issue", {"title": "Late", "repository": "acme/web"}, adapter="github")

    with open_lease(world.ledger) as lease:
        context = open_context(world.settings, "r1", ledger=world.ledger, lease=lease, may_have_ended=True)
        with pytest.raises(UsageError, match=r"the run r1 has ended \(succeeded\)"):
            context.executor.act(late)

    assert github.issues == []
