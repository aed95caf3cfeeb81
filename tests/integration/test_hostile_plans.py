"""Plans, outputs and adapters that mean harm or are broken: nothing leaves its place, nothing is lost, the error is clear."""

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean
from middle_world import SECRET, World, does, hook, phase, sh, world_in

EVIL = "../../evil"
META = "$(touch pwned);`touch pwned`|&>pwned <x 'y' \"z\" *? ~ \\ $IFS #!"
"""What a shell would make something of; also a valid name of a file."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def tree(folder: Path) -> set[str]:
    """Return every path below a folder but those of the user's home, of the ledger and of installed packages."""
    left_out = {"own-home", "ledger", "packages"}
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if not left_out.intersection(one.parts)}


# -- names


@pytest.mark.parametrize(
    ("text", "head", "seen"),
    [
        (phase(f'"{EVIL}"', sh("a", "true")), "", EVIL),
        (phase("one", sh(f'"{EVIL}"', "true")), "", EVIL),
        (phase("one", sh("a", "true"), more=f'needs: ["{EVIL}"]'), "", EVIL),
        (phase("one", sh("a", "true")), f"reports: {EVIL}\n", EVIL),
        (phase("one", sh("a", "true"), more=f"success: [{{file_exists: {EVIL}}}]"), "", EVIL),
        (
            phase("one", sh("a", "true"), more="needs: two") + phase("two", sh("b", "true"), more="needs: one"),
            "",
            "one -> two",
        ),
        (phase("one", sh("a", "true"), more="needs: nobody"), "", "nobody"),
    ],
    ids=["phase", "step", "need", "reports", "criterion", "circle", "unknown need"],
)
def test_a_plan_that_names_what_cannot_be_is_not_begun(world: World, text: str, head: str, seen: str) -> None:
    plan = world.plan(text, head)
    before = tree(world.place.folder)

    done = world.run(plan)

    assert done.returncode == 7, clean(done)
    assert f"{plan}:" in done.stderr
    assert seen in done.stderr
    assert tree(world.place.folder) == before
    assert not world.ledger.exists()


def test_a_job_that_names_another_place_is_refused_with_its_line(world: World) -> None:
    (world.place.folder / "jobs.toml").write_text(f'packs = ["packs"]\n\n[jobs."{EVIL}"]\nargv = ["true"]\n')

    listed = world.orch("jobs", "--config", world.place.folder / "jobs.toml")
    run = world.orch("run", EVIL, "--config", world.place.folder / "jobs.toml")

    assert listed.returncode == 7, clean(listed)
    assert "jobs.toml" in listed.stderr
    assert EVIL in listed.stderr
    assert run.returncode in {2, 7}, clean(run)
    assert not world.ledger.exists()


def test_a_parameter_that_reaches_outside_is_refused(world: World) -> None:
    names = [EVIL, "/etc/orch-evil", "a/../../evil", ".git/config", ".GIT/hooks/x", "a\nb/../../../evil", ""]
    steps = [
        f'{{id: w{number}, action: write_file, with: {{path: "${{{{ inputs.names.{number} }}}}", content: x}}, on_failure: continue}}'
        for number in range(len(names))
    ]
    plan = world.plan(phase("one", *steps), "inputs: {names: {type: json}}\n")
    before = tree(world.place.folder)

    done = world.run(plan, "--input", f"names={json.dumps(names)}")

    assert done.returncode == 0, clean(done)
    assert set(world.steps().values()) == {"continued"}
    assert [one for one in world.said("orch.action.dispatching") if "write_file" in str(one)] == []
    assert tree(world.place.folder) == before
    assert not Path("/etc/orch-evil").exists()


def test_what_a_command_prints_leads_no_file_and_no_program_outside(world: World) -> None:
    plan = phase(
        "one",
        does("says", "printf", "%s", json.dumps({"path": EVIL, "program": "../../bin/true"})),
        '{id: write, action: write_file, with: {path: "${{ steps.says.outputs.json.path }}", content: x}, on_failure: continue}',
        does("stand", "true", more="on_failure: continue").replace(
            "argv:", 'cwd: "${{ steps.says.outputs.json.path }}", argv:'
        ),
        does("run", "${{ steps.says.outputs.json.program }}", more="on_failure: continue"),
    )

    done = world.run(world.plan(plan))

    assert done.returncode == 0, clean(done)
    assert world.steps() == {"says": "delivered", "write": "continued", "stand": "continued", "run": "continued"}
    assert not list(world.place.folder.rglob("evil"))


def test_shell_characters_in_an_output_stay_one_argument_and_one_name(world: World) -> None:
    plan = phase(
        "one",
        does("says", "printf", "%s", json.dumps({"name": META})),
        does(
            "argv",
            "python3",
            "work.py",
            "${{ steps.says.outputs.json.name }}",
            "-- ${{ steps.says.outputs.json.name }}",
        ),
        '{id: file, action: write_file, with: {path: "out/${{ steps.says.outputs.json.name }}", content: x}}',
        '{id: sent, action: call_webhook, with: {endpoint: hook, body: {what: "${{ steps.says.outputs.json.name }}"}}}',
        more='success: [{file_not_empty: "out/${{ steps.says.outputs.json.name }}"}]',
    )

    done = world.run(world.plan(plan))

    assert done.returncode == 0, clean(done)
    assert world.lines("seen") == [ascii([META, f"-- {META}"])]
    assert [one.name for one in (world.checkout / "out").iterdir()] == [META]
    assert world.sent() == {META: 1}
    assert not list(world.place.folder.rglob("pwned"))


# -- children


FORKS = """import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(3):
    if os.fork() == 0 and number == 2:
        os.setsid()
with open("pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def test_a_child_that_forks_and_ignores_the_signal_is_gone_with_all_it_made(world: World) -> None:
    step = does("forks", "python3", "-c", FORKS, more="timeout: 2s, retry: {attempts: 1}")

    done = world.run(world.plan(phase("one", step, hook("after"))))

    assert done.returncode == 4, clean(done)  # what it did nobody knows, so a person looks
    pids = [int(line) for line in world.lines("pids")]
    assert len(pids) == 8  # three forks
    end = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert world.sent() == {}
    [wait] = [one for one in world.record()["waiting_for"] if one["type"] == "unknown"]
    assert wait["step"] == "one/forks"
    assert "its time was over" in world.said("orch.action.unknown")[0]["receipt"]["detail"]


FLOOD = """import sys
line = b"%07d" + b"x" * 1016 + b"\\n"
for number in range(100 * 1024):
    sys.stdout.buffer.write(line % number)
"""


def test_output_of_100_mb_is_cut_and_told_in_bounded_memory(world: World) -> None:
    plan = world.plan(phase("one", does("flood", "python3", "-c", FLOOD)))
    with world.start("run", plan, "--run", "r1") as running:
        said, most = [], 0  # `ru_maxrss` would count the process that this one was forked from
        assert running.stdout is not None
        reader = threading.Thread(target=lambda out=running.stdout: said.append(out.read()))
        reader.start()
        while running.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.pid}/status").read_text())
            most = max(most, int(found[1]) if found else 0)
            time.sleep(0.02)
        reader.join()

    assert running.returncode == 0, said
    assert 0 < most < 250 * 1024
    [receipt] = [one["receipt"] for one in world.said("orch.action.delivered") if "stdout" in one["receipt"]["outputs"]]
    outputs = receipt["outputs"]
    assert outputs["stdout_bytes"] == 100 * 1024 * 1024
    assert len(outputs["stdout"]) <= 64 * 1024
    kept = sum(file.stat().st_size for file in world.ledger.rglob("*") if file.is_file())
    assert kept < 40 * 1024 * 1024
    stored = world.said("orch.artifact.stored")
    assert [one["size"] for one in stored if one["size"] > 1024 * 1024] == [pytest.approx(8 * 1024 * 1024, rel=0.01)]
    assert world.verified()


# -- secrets


def test_a_secret_in_output_is_kept_and_said_nowhere(world: World) -> None:
    script = (
        'echo plain=$T; printf %s "$T" | base64; printf %s "$T" | od -An -tx1 | tr -d \' \\n\'; echo;'
        ' printf \'{"a": "%s"}\' "$T" >&2; echo "died of $T" >&2; exit 3'
    )
    env = 'env: {T: "${{ secrets.TOKEN }}"}, '
    leaks = sh("leaks", script, "on_failure: continue").replace("argv:", f"{env}argv:")
    prints = does("prints", "sh", "-c", 'printf \'{"word": "%s"}\' "$T"').replace("argv:", f"{env}argv:")
    sends = hook("sends", '"${{ steps.prints.outputs.json.word }}"')
    plan = world.plan(phase("one", leaks, prints, sends), "reports: out/reports\n")

    done = world.run(plan)
    shown = [world.orch(*line) for line in (
        ("runs", "r1"), ("runs", "r1", "-o", "json"), ("ledger", "show", "-n", "0"), ("ledger", "show", "-n", "0", "-o", "json"),
    )]  # fmt: skip

    assert done.returncode == 0, clean(done)
    forms = [SECRET, SECRET.encode().hex(), base64.b64encode(SECRET.encode()).decode().rstrip("=")]
    for text in [done.stdout + done.stderr, *(one.stdout + one.stderr for one in shown)]:
        assert not [form for form in forms if form in text]
    assert "died of" in json.dumps(world.record()["phases"])
    places = [world.ledger, world.checkout / "out", Path(world.place.environ["HOME"])]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert any("artifacts" in file.parts for file in files)
    for file in files:
        data = file.read_bytes()
        assert not [form for form in forms if form.encode() in data], file
    assert [SECRET in text for text in world.sent()] == [False]


# -- adapters


def post(step: str, how: str, more: str = "") -> str:
    """Return a step of the adapter that misbehaves."""
    return f"{{id: {step}, action: post_note, adapter: post, with: {{note: {step}, blind: true, how: {how}}}{more and ', ' + more}}}"


def test_an_adapter_that_raises_something_odd_leaves_it_to_a_person(world: World) -> None:
    plan = phase("one", post("odd", "first-odd", "retry: {attempts: 1}"), hook("after"))

    done = world.run(world.plan(plan))
    waits_for = [one for one in world.record()["waiting_for"] if one["type"] == "unknown"]
    again = world.resume("--resend", "odd")

    assert done.returncode == 4, clean(done)
    assert "ZeroDivisionError" in world.said("orch.action.unknown")[0]["receipt"]["detail"]
    assert [one["step"] for one in waits_for] == ["one/odd"]
    assert any("--resend" in command for command in waits_for[0]["commands"])
    assert again.returncode == 0, clean(again)
    assert len(world.lines("effects")) == 1
    assert world.sent() == {"after": 1}
    assert world.said("orch.action.resolved")[0]["state"] == "retryable"


@pytest.mark.parametrize("how", ["exit", "nonsense"])
def test_an_adapter_that_ends_the_process_or_answers_nonsense_is_said_to_have_been_done(world: World, how: str) -> None:
    plan = phase("one", post("odd", how, "retry: {attempts: 1}"), hook("after"))

    done = world.run(world.plan(plan))
    settled = world.resume("--delivered", "odd")

    assert done.returncode == 4, clean(done)
    assert settled.returncode == 0, clean(settled)
    assert world.sent() == {"after": 1}
    assert len(world.lines("calls")) == 1


def test_an_adapter_that_cannot_prepare_fails_its_step_with_the_kind_of_error(world: World) -> None:
    done = world.run(world.plan(phase("one", hook("before"), post("bad", "bad-prepare"))))

    assert done.returncode not in {0, 4}, clean(done)
    assert "KeyError" in world.record()["reason"]
    assert world.sent() == {"before": 1}
    assert world.lines("calls") == []
