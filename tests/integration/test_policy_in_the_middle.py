"""What a plan rests on changes while it runs: each time what is decided then is done, and why is on record."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import clean
from middle_world import MET, World, hook, phase, sh, world_in

REVIEWED = "{id: reviewed, effect: require, actions: call_webhook, approvals: {role: sre}}"
SECURED = "{id: secured, effect: require, actions: call_webhook, approvals: {role: security}}"
NEVER = "{id: never, effect: deny, actions: call_webhook, message: no calls on a Friday}"
PUSHED = "{id: pushed, effect: require, actions: push_branch, approvals: {role: sre}}"
WRITTEN = "{id: written, effect: require, actions: write_file, approvals: {role: sre}}"
PENDING, ALLOWED, DENIED = ("pending", "pending"), ("allow", "allowed"), ("deny", "denied")
TWO = phase("one", hook("first")) + phase("two", hook("second"), more=f"needs: one, {MET}")
PUSH = phase("ship", "{id: push, action: push_branch, with: {branch: agent/fix}}")
WRITE = phase("note", "{id: write, action: write_file, with: {path: out/note.txt, content: hello}}")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def waiting(world: World, plan: str) -> subprocess.CompletedProcess[str]:
    """Run a plan until it waits."""
    done = world.run(world.plan(plan))
    assert done.returncode == 4, clean(done)
    return done


# -- packs


def test_packs_that_deny_in_the_meantime_end_a_run_that_was_approved(world: World) -> None:
    world.rules(REVIEWED)
    waiting(world, TWO)
    request = world.vote("alice")
    world.rules(REVIEWED, NEVER)

    done = world.resume()

    assert done.returncode == 3, clean(done)
    assert world.sent() == {}
    assert world.decided("call_webhook") == [PENDING, DENIED]
    record = world.record()
    assert (record["state"], record["exit_code"]) == ("denied", 3)
    assert "acme/never: no calls on a Friday" in record["reason"]
    assert world.steps() == {"first": "denied", "second": "pending"}
    assert "no calls on a Friday" in world.story()
    assert json.loads(world.orch("approvals", request, "-o", "json").stdout)["state"] == "open"  # not used up
    assert world.verified()


def test_packs_that_ask_for_more_in_the_meantime_are_asked_again(world: World) -> None:
    world.rules(REVIEWED)
    waiting(world, phase("one", hook("first")))
    world.vote("alice")
    world.rules(REVIEWED, SECURED)

    still = world.resume()
    waits = world.record()["waiting_for"]
    world.vote("bob")
    half = world.resume()
    sent = world.sent()
    world.vote("cyd")  # alice approved under other packs
    done = world.resume()

    assert (still.returncode, half.returncode, done.returncode) == (4, 4, 0), clean(still) + clean(done)
    assert {one["role"] for one in waits} == {"security", "sre"}
    assert (sent, world.sent()) == ({}, {"first": 1})
    outcomes = world.decided("call_webhook")
    assert (outcomes[0], outcomes[-1], set(outcomes[:-1])) == (PENDING, ALLOWED, {PENDING})
    assert world.verified()


def test_packs_that_change_while_a_step_runs_decide_about_the_next(world: World) -> None:
    packs = world.place.folder / "packs"
    world.rules(NEVER)
    (packs / "acme.yaml").rename(world.place.folder / "stricter.yaml")
    world.rules()
    change = sh("change", f"cp {world.place.folder}/stricter.yaml {packs}/acme.yaml")

    done = world.run(world.plan(phase("one", hook("first"), change, hook("second"))))

    assert done.returncode == 3, clean(done)
    assert world.sent() == {"first": 1}
    assert world.decided("call_webhook") == [ALLOWED, DENIED]
    digests = [one["decision"]["policy"]["digest"] for one in world.said("orch.decision")]
    assert digests[0] == digests[1] != digests[2]


def test_packs_that_ask_for_nobody_any_more_let_a_worker_go_on(world: World) -> None:
    world.rules(REVIEWED)
    waiting(world, phase("one", hook("first")))
    world.rules()

    done = world.orch("worker", "--once")

    assert done.returncode == 0, clean(done)
    assert world.sent() == {"first": 1}
    assert world.decided("call_webhook") == [PENDING, ALLOWED]
    assert world.record()["state"] == "succeeded"


# -- approvals


def test_an_approval_taken_back_before_its_use_is_none(world: World) -> None:
    world.rules(REVIEWED)
    waiting(world, phase("one", hook("first")))
    request = world.vote("alice")
    world.vote("alice", "revoke", request)

    still = world.resume()
    sent = world.sent()
    shown = json.loads(world.orch("approvals", request, "--all", "-o", "json").stdout)
    world.vote("cyd")
    done = world.resume()

    assert (still.returncode, done.returncode) == (4, 0), clean(still) + clean(done)
    assert (sent, world.sent()) == ({}, {"first": 1})
    assert [(vote["voter"], vote["why"]) for vote in shown["votes"]] == [("user:alice", "revoked")]
    story = world.story()
    assert story.index("REVOKED") < story.index("DONE")


# -- budgets


def budget(coins: float) -> str:
    """Return a rule by which the organisation has so much a month."""
    limited = f"{{meter: coins, per: org, window: month, limit: {coins}}}"
    return f"{{id: paid, effect: require, actions: call_webhook, budgets: [{limited}]}}"


def eleven(more: str = "") -> str:
    """Return phases in a row of which each costs one; the ninth has `more`."""
    phases = []
    for number in range(1, 12):
        needs = f"needs: p{number - 1}, " if number > 1 else ""
        last = more if number == 9 else ""
        phases.append(phase(f"p{number}", hook(f"h{number}", more="estimates: {coins: 1}"), more=needs + last + MET))
    return "".join(phases)


def test_a_budget_that_runs_out_in_phase_9_stops_there_and_what_was_done_stays(world: World) -> None:
    world.rules(budget(8))

    done = world.run(world.plan(eleven()))

    assert done.returncode == 5, clean(done)
    assert world.sent() == {f"h{number}": 1 for number in range(1, 9)}
    record = world.record()
    assert [one["state"] for one in record["phases"]] == ["passed"] * 8 + ["failed"] + ["skipped"] * 2
    assert (record["state"], record["exit_code"]) == ("failed", 5)
    assert "p9: budget" in record["reason"]
    assert world.decided("call_webhook")[-1] == ("deny", "budget_spent")
    [spent] = json.loads(world.orch("budget", "--org", "acme", "-o", "json").stdout)
    assert (spent["spent"], spent["reserved"]) == ("8", "0")
    assert world.verified()


def test_a_budget_that_is_raised_while_phase_9_is_tried_again_lets_it_go_on(world: World) -> None:
    world.rules(budget(8))
    again = "retry: {attempts: 100, wait: 0.5s, most: 0.5s, errors: [permanent]}, "
    running = world.start("run", world.plan(eleven(again)), "--run", "r1")
    try:
        until(lambda: len(world.hooks.seen) == 8 and ("deny", "budget_spent") in world.decided("call_webhook"))
        world.rules(budget(11))
    finally:
        said = running.communicate(timeout=60)[0]

    assert running.returncode == 0, said
    assert world.sent() == {f"h{number}": 1 for number in range(1, 12)}
    reasons = [reason for _, reason in world.decided("call_webhook")]
    assert reasons == ["allowed"] * 8 + ["budget_spent"] + ["allowed"] * 3
    attempts = [one["reason"] for one in world.said("orch.phase.started") if one["phase"] == "p9" and "reason" in one]
    assert attempts
    assert all("raise the limit of budget:coins:org:month" in one for one in attempts)


def test_room_that_others_used_while_a_run_waited_is_missed(world: World) -> None:
    world.rules(budget(1), REVIEWED)
    waiting(world, phase("one", hook("first", more="estimates: {coins: 1}")))
    world.vote("alice")
    world.rules(budget(1))
    given = ("--arg", "endpoint=hook", "--arg", 'body:={"what": "other"}')
    other = world.orch("act", "call_webhook", *given, "--run", "r2", "--estimate", "coins=1")
    world.rules(budget(1), REVIEWED)

    done = world.resume()

    assert (other.returncode, done.returncode) == (0, 5), clean(other) + clean(done)
    assert world.sent() == {"other": 1}
    assert world.decided("call_webhook") == [PENDING, ("deny", "budget_spent")]


def until(met: Callable[[], object]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- a denied step


def test_a_denied_step_is_replaced_or_passed_over_as_the_plan_says(world: World) -> None:
    world.rules(NEVER)
    note = "{id: note, action: write_file, with: {path: note.txt, content: instead}}"
    plan = phase("one", hook("first", more=f"on_failure: {{steps: [{note}]}}"), sh("next", "echo next >> seen"))
    plan += phase(
        "two", hook("second", more="on_failure: continue"), sh("last", "echo last >> seen"), more=f"needs: one, {MET}"
    )

    done = world.run(world.plan(plan))

    assert done.returncode == 0, clean(done)
    assert world.sent() == {}
    assert (world.lines("note.txt"), world.lines("seen")) == (["instead"], ["next", "last"])
    steps = {step["id"]: step for each in world.record()["phases"] for step in each["steps"]}
    assert {name: step["state"] for name, step in steps.items()} == {
        "first": "replaced", "note": "delivered", "next": "delivered", "second": "continued", "last": "delivered",
    }  # fmt: skip
    assert steps["note"]["instead_of"] == "first"
    for name in ("first", "second"):
        assert "acme/never: no calls on a Friday" in steps[name]["detail"]
    assert world.decided("call_webhook") == [DENIED, DENIED]


# -- a branch


def commit(world: World, name: str) -> str:
    """Add a commit to agent/fix, which is checked out, and return its id."""
    (world.checkout / name).write_text(name)
    world.git("add", name)
    world.git("commit", "--quiet", "-m", name)
    return world.git("rev-parse", "HEAD")


def remote_tip(world: World) -> str:
    """Return where the branch stands at the remote; "" where it is not."""
    return world.git("for-each-ref", "--format=%(objectname)", "refs/heads/agent/fix", cwd=world.remote)


def test_a_branch_that_moved_while_its_push_waited_is_asked_about_anew(world: World) -> None:
    world.rules(PUSHED)
    world.git("checkout", "--quiet", "-b", "agent/fix")
    first = commit(world, "first")
    waiting(world, PUSH)
    request = world.vote("alice")
    second = commit(world, "second")

    still = world.resume()
    tip = remote_tip(world)
    anew = world.vote("cyd")
    done = world.resume()

    assert (still.returncode, done.returncode) == (4, 0), clean(still) + clean(done)
    assert tip == ""
    assert anew != request
    assert remote_tip(world) == second
    asked = [one["request"]["action"]["properties"].get("commit") for one in world.said("orch.decision")]
    assert [one for one in asked if one] == [first, second, second]
    assert world.decided("push_branch") == [PENDING, PENDING, ALLOWED]
    receipts = json.dumps([one["receipt"] for one in world.said("orch.action.delivered")])
    assert second in receipts
    assert first not in receipts


def test_a_branch_that_moves_while_it_is_pushed_gets_the_commit_that_was_decided(world: World) -> None:
    world.git("checkout", "--quiet", "-b", "agent/fix")
    decided = commit(world, "first")
    moving = f"""#!/bin/sh
cd {world.checkout} && env -u GIT_DIR -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY \
    -u GIT_ALTERNATE_OBJECT_DIRECTORIES git -c user.name=T -c user.email=t@example.com \\
    commit --quiet --allow-empty -m later
"""
    (world.remote / "hooks").mkdir(exist_ok=True)
    (world.remote / "hooks/pre-receive").write_text(moving)
    (world.remote / "hooks/pre-receive").chmod(0o700)

    done = world.run(world.plan(PUSH))

    assert done.returncode == 0, clean(done)
    assert world.git("log", "-1", "--format=%s") == "later"
    assert remote_tip(world) == decided
    assert decided in json.dumps(world.said("orch.action.delivered")[0]["receipt"])


def test_a_remote_that_moved_while_the_push_waited_is_not_overwritten(world: World) -> None:
    world.rules(PUSHED)
    world.git("checkout", "--quiet", "-b", "agent/fix")
    commit(world, "first")
    waiting(world, PUSH)
    world.vote("alice")
    world.git("branch", "theirs", "main")
    tree = world.git("rev-parse", "main^{tree}")
    theirs = world.git("commit-tree", tree, "-p", "main", "-m", "theirs")
    world.git("push", "--quiet", "origin", f"{theirs}:refs/heads/agent/fix")

    done = world.resume()

    assert done.returncode == 1, clean(done)
    assert remote_tip(world) == theirs
    assert "agent/fix" in world.record()["reason"]
    assert world.said("orch.action.delivered") == []


# -- a symlink


def test_a_folder_swapped_for_a_symlink_while_its_write_waited_is_not_followed(world: World) -> None:
    world.rules(WRITTEN)
    (world.checkout / "out").mkdir()
    waiting(world, WRITE)
    world.vote("alice")
    (world.checkout / "out").rmdir()
    (world.checkout / "out").symlink_to(world.outside)

    done = world.resume()

    assert done.returncode == 1, clean(done)
    assert list(world.outside.iterdir()) == []
    record = world.record()
    assert record["state"] == "failed"
    assert "symlink" in record["reason"]
    assert world.said("orch.action.dispatching") == []


def test_a_step_that_makes_symlinks_leads_no_other_step_and_no_criterion_outside(world: World) -> None:
    (world.outside / "passwords").write_text("{}")
    link = sh("link", f"ln -s {world.outside} out; ln -s {world.outside}/passwords here.json")
    write = "{id: write, action: write_file, with: {path: here.json, content: hello}, on_failure: continue}"
    below = "{id: below, action: write_file, with: {path: out/note.txt, content: hello}, on_failure: continue}"
    stand = sh("stand", "echo x > here", "on_failure: continue").replace("with: {", "with: {cwd: out, ")

    done = world.run(world.plan(phase("one", link, write, below, stand, more="success: [{json_valid: here.json}]")))

    assert done.returncode == 1, clean(done)
    assert [one.name for one in world.outside.iterdir()] == ["passwords"]
    assert (world.outside / "passwords").read_text() == "{}"
    steps = world.steps()
    assert steps == {"link": "delivered", "write": "continued", "below": "continued", "stand": "continued"}
    assert "criteria not met: json_valid here.json" in world.record()["reason"]


SWAP = """import contextlib, itertools, os, sys
for number in itertools.count():
    with contextlib.suppress(OSError):
        os.rename("out", f"kept{number}")
    with contextlib.suppress(OSError):
        os.symlink(sys.argv[1], "out")
        os.unlink("out")
    with contextlib.suppress(OSError):
        os.mkdir("out")
"""


def test_a_symlink_that_comes_and_goes_under_many_writes_never_leads_outside(world: World) -> None:
    steps = [
        f"{{id: w{number}, action: write_file, with: {{path: out/{number}.txt, content: x}}, on_failure: continue}}"
        for number in range(12)
    ]
    swapping = subprocess.Popen(["python3", "-c", SWAP, str(world.outside)], cwd=world.checkout)
    try:
        done = world.run(world.plan(phase("one", *steps)))
    finally:
        swapping.kill()
        swapping.wait()

    assert done.returncode == 0, clean(done)
    assert list(world.outside.iterdir()) == []
    states = world.steps()
    assert set(states.values()) <= {"delivered", "continued"}
    written = {one.name for one in world.checkout.rglob("*.txt")}
    assert {f"{name[1:]}.txt" for name, state in states.items() if state == "delivered"} <= written
