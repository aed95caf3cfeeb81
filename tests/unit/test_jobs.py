"""Jobs of the operator's file, in YAML and TOML: strictly read, told with file and line, and plans with one step."""

from pathlib import Path

import pytest

from orchestrator import clock, jobs
from orchestrator.adapter import ErrorClass
from orchestrator.errors import PackError, UsageError
from orchestrator.settings import Settings

NOW_NS = clock.parse_time("2026-11-21T05:30:00Z")


def operator(home: Path, text: str, name: str = "config.yaml") -> Path:
    file = home / ".config" / "orch" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def problem(home: Path, text: str, name: str = "config.yaml") -> str:
    file = operator(home, text, name)
    with pytest.raises(PackError) as caught:
        Settings.load()
    return str(caught.value).replace(f"{file}", name)


YAML = """
jobs:
  nightly:
    argv: [make, "all here"]
    cwd: web
    env: {LEVEL: "3", TOKEN: "${{ secrets.TOKEN }}"}
    timeout: 30m
    description: Everything, at night
    retry: {attempts: 4, wait: 5s, factor: 1.5, most: 1m, errors: [transient, dependency]}
    errors: {75: transient, "78": configuration}
    replayable: true
  short: {argv: ["true"]}
"""
TOML = """
[jobs.nightly]
argv = ["make", "all here"]
cwd = "web"
env = { LEVEL = "3", TOKEN = "${{ secrets.TOKEN }}" }
timeout = "30m"
description = "Everything, at night"
retry = { attempts = 4, wait = "5s", factor = 1.5, most = "1m", errors = ["transient", "dependency"] }
errors = { 75 = "transient", 78 = "configuration" }
replayable = true

[jobs.short]
argv = ["true"]
"""


@pytest.mark.parametrize(("name", "text"), [("config.yaml", YAML), ("config.toml", TOML)])
def test_a_job_is_a_plan_with_one_step(home: Path, name: str, text: str) -> None:
    file = operator(home, text, name)

    plan = jobs.plan_of(Settings.load(), "nightly")

    (phase,) = plan.phases
    (step,) = phase.steps
    assert (plan.name, plan.title, plan.source) == ("nightly", "Everything, at night", str(file))
    assert (step.action, step.adapter) == ("run_command", "command")
    assert step.parameters == {"argv": ["make", "all here"], "env": {"LEVEL": "3", "TOKEN": "${{ secrets.TOKEN }}"}}
    assert (step.timeout_s, step.is_replayable) == (1800.0, True)
    assert step.codes == {75: ErrorClass.TRANSIENT, 78: ErrorClass.CONFIGURATION}
    assert (step.retry.attempts, step.retry.wait_s, step.retry.factor, step.retry.most_s) == (4, 5.0, 1.5, 60.0)
    assert step.retry.errors == {ErrorClass.TRANSIENT, ErrorClass.DEPENDENCY}


def test_both_files_say_the_same_and_read_alike_from_the_cache(home: Path) -> None:
    operator(home, YAML)
    first = [Settings.load().jobs for _ in range(2)]
    (home / ".config/orch/config.yaml").unlink()
    operator(home, TOML, "config.toml")

    second = [Settings.load().jobs for _ in range(2)]

    assert first[0] == first[1] == second[0] == second[1]


def test_times_of_a_job_may_be_fractions(home: Path) -> None:
    operator(home, "jobs: {a: {argv: [x], timeout: 1.5h, retry: {wait: 250ms}}}")

    (step,) = jobs.plan_of(Settings.load(), "a").phases[0].steps

    assert (step.timeout_s, step.retry.wait_s) == (5400.0, 0.25)


def test_a_job_runs_once_unless_it_says_otherwise_and_where_it_is_started(home: Path) -> None:
    operator(home, YAML)

    job = jobs.named(Settings.load(), "short")

    assert (job.cwd, job.timeout_s, job.description) == ("", 3600, "")
    assert jobs.plan_of(Settings.load(), "short").phases[0].steps[0].retry.attempts == 1


@pytest.mark.parametrize(("cwd", "expected"), [("web", "{config}/web"), ("/srv", "/srv"), ("~/x", "{home}/x")])
def test_a_folder_is_relative_to_the_file(home: Path, cwd: str, expected: str) -> None:
    file = operator(home, f"jobs: {{a: {{argv: [x], cwd: {cwd}}}}}")

    assert jobs.named(Settings.load(), "a").cwd == expected.format(config=file.parent, home=home)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("jobs: {a: {argv: make all}}", 'config.yaml:1:18: `make all`; expected a list (write argv: ["make", "all"])'),
        ("jobs: {a: make}", 'config.yaml:1:11: `make`; expected a mapping with `argv` (write argv: ["make"])'),
        ("jobs: {a: {command: 'make | tee x'}}", '1:21: `make | tee x`; expected `argv` instead, a list (write argv: ["sh", "-c", "make | tee x"])'),
        ("jobs: {a: {run: \"make 'x\"}}", 'write argv: ["sh", "-c", "make \'x"]'),
        ("jobs: {a: {argv: []}}", "an empty list; expected at least one entry"),
        ("jobs: {a: {argv: [make, 3]}}", 'the number `3`; expected text (write "3" in quotes)'),
        ("jobs: {a: {argv: [x], timout: 3m}}", "the unknown key `timout`; expected `timeout`"),
        ("jobs: {a: {argv: [x], timeout: soon}}", "expected how long, such as"),
        ("jobs: {a: {argv: [x], env: {A-B: x}}}", "expected a variable's name"),
        ('jobs: {a: {argv: [x], errors: {"0": transient}}}', "expected an exit code from 1 to 999"),
        ("jobs: {a: {argv: [x], retry: {attempts: 0}}}", "at least 1"),
        ("jobs: {a: {argv: [x], retry: {on: [transient]}}}", "1:31: the key `on`; expected `errors` (on is named errors"),
        ("jobs: {a: {argv: [x], retry: {wait: 0.0s}}}", "expected how long, such as 0.5s"),
        ("jobs: {a: {argv: [x], errors: {-7: transient}}}", "the key `-7`, which is not text"),
        ("jobs: {a: {argv: [x], retry: {factor: 0.5}}}", "expected a number from 1 to 100"),
        ("jobs: {../x: {argv: [x]}}", "a name of lowercase letters"),
    ],
)  # fmt: skip
def test_what_a_job_cannot_be_is_told_with_its_place(home: Path, text: str, seen: str) -> None:
    assert seen in problem(home, text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('[jobs.a]\nargv = "make all"\n', "config.toml:2:1: `make all`; expected a list"),
        ('pakcs = ["x"]\n', "config.toml:1:1: the unknown key `pakcs`; expected `packs`"),
        ('subject = "user:a"\nsubject = "user:b"\n', "config.toml:2:"),
        ('subject = "user:a\n', "config.toml:1:"),
        ("[jobs.a]\nargv = ['x']\ntimeout = 2026-01-01\n", "config.toml:3:1: `2026-01-01`; expected text"),
        ("deadline = nan\n", "config.toml:1:1: `NaN`; expected"),
        ('packs = ["a\\u202e"]\n', ""),
        ("a = " + "[" * 5000, "TOML that cannot be read"),
        ("x = 1e999999999\n", "expected text, a plain number"),
    ],
)
def test_a_wrong_toml_file_is_told_with_its_line(home: Path, text: str, seen: str) -> None:
    if not seen:
        operator(home, text, "config.toml")
        Settings.load()  # an escape in a text is the text's own
        return
    assert seen in problem(home, text, "config.toml")


def test_a_toml_file_with_a_byte_order_mark_or_an_invisible_character_is_refused(home: Path) -> None:
    assert "a byte order mark" in problem(home, "\ufeffsubject = 'user:a'\n", "config.toml")
    assert "config.toml:2:1: the invisible character U+202E" in problem(home, "# x\n\u202e\n", "config.toml")


def test_two_operators_files_are_an_error(home: Path) -> None:
    operator(home, "subject: user:a\n")
    operator(home, 'subject = "user:b"\n', "config.toml")

    with pytest.raises(PackError, match=r"config\.toml beside it; expected one operator's file"):
        Settings.load()


def test_a_file_that_is_named_is_toml_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('subject = "user:b"\n')

    assert Settings.load({"config": "mine.toml"}, cwd=tmp_path).subject == "user:b"


def test_the_hot_path_of_toml_parses_nothing_twice(home: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    operator(home, TOML, "config.toml")
    Settings.load()
    code = (
        "import sys; from orchestrator.settings import Settings; s = Settings.load()\n"
        "assert list(s.jobs) == ['nightly', 'short'], s.jobs\n"
        "print(sorted({'tomllib', 'yaml', 'pydantic', 'decimal'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_an_unknown_job_is_told_with_the_nearest(home: Path) -> None:
    operator(home, YAML)

    with pytest.raises(UsageError, match=r"no job 'nihgtly'; there is: nightly, short \(did you mean"):
        jobs.named(Settings.load(), "nihgtly")


def test_without_jobs_the_error_says_so() -> None:
    with pytest.raises(UsageError, match="and no job at all"):
        jobs.named(Settings(), "x")


def test_secrets_in_a_job_stay_references(home: Path) -> None:
    operator(home, YAML)

    assert "${{ secrets.TOKEN }}" in str(Settings.load().jobs)


@pytest.mark.parametrize(
    ("cwd", "said"),
    [
        ('"a\\u0000b"', "config.toml:3:1: `a\\x00b`; expected a folder's path without NUL"),
        (
            '"~nouser/x"',
            "config.toml:3:1: `~nouser/x`; expected an absolute path, `~/...`, or one relative to this file",
        ),
    ],
)
def test_a_folder_that_can_be_none_is_refused_with_its_place(home: Path, cwd: str, said: str) -> None:
    assert said in problem(home, f'[jobs.a]\nargv = ["true"]\ncwd = {cwd}\n', "config.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [("root:x:0:0", "a text; expected one document"), ("[a]", "a list; expected one document")],
)
def test_a_file_that_is_no_settings_says_what_it_is(home: Path, text: str, said: str) -> None:
    assert said in problem(home, text)
