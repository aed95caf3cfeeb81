"""One plan out of another orchestrator's JSON files: every field has its effect, or the report says why it has none."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from golden_files import check
from imported_files import FOLDER, made

from orchestrator.errors import PackError, UsageError
from orchestrator.plans.importing import import_files
from orchestrator.plans.model import Phase
from orchestrator.plans.order import levels
from orchestrator.show import imported


def phases_of(folder: Path, *phases: dict[str, Any], **files: Any) -> tuple[Phase, ...]:  # noqa: ANN401  # JSON
    return made(folder, phase_config={"phases": list(phases)}, **files).plan.phases


def test_golden_the_sixteen_phases_of_the_source() -> None:
    found = import_files([FOLDER])

    assert len(found.plan.phases) == 16
    assert [phase.id for phase in found.plan.phases] == [f"phase-{number}" for number in range(16)]
    check("plans/imported_002.yaml", found.text)


def test_golden_the_report_of_the_sixteen_phases() -> None:
    out = StringIO()

    imported.write(import_files([FOLDER]), out, "text")

    check("plans/imported_002.txt", out.getvalue(), files=FOLDER)


def test_the_report_ends_with_a_count_and_fits_a_terminal(tmp_path: Path) -> None:
    found = made(tmp_path, phase_config=[{"id": 0, "command": "make", "max_parallel_phases": "3", "colour": "red"}])

    out = StringIO()
    imported.write(found, out, "text")

    *lines, last = out.getvalue().splitlines()
    assert last == "4 fields: 2 used, 2 not used"
    assert all(len(line) <= 80 for line in lines if line.startswith("  "))


@pytest.mark.parametrize(
    "files",
    [
        {"phase_config": [{"id": 0, "name": "One"}, {"id": 1, "name": "Two", "dependencies": [0]}]},
        {"phase_config": {"phases": [{"id": 0, "name": "One"}, {"id": "phase_1", "name": "Two", "depends_on": "phase_0"}]}},
        {"phase_config": {"phases": {"0": {"name": "One"}, "1": {"name": "Two", "requires": ["One"]}}}},
        {"phase_config": {"phase_0": {"name": "One"}, "phase_1": {"name": "Two", "needs": [{"phase": 0}]}}},
        {"phase_config": {"phaseDefinitions": [{"phaseId": 0, "name": "One"}, {"number": 1, "name": "Two", "dependsOn": ["Phase 0"]}]}},
    ],
)  # fmt: skip
def test_phases_may_be_a_list_or_an_object_and_needs_may_be_said_in_many_ways(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    found = made(tmp_path, **files)

    assert [(phase.id, phase.title, phase.needs) for phase in found.plan.phases] == [
        ("phase-0", "One", ()),
        ("phase-1", "Two", ("phase-0",)),
    ]


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        ({"commands": ["make all"]}, [["make", "all"]]),
        ({"commands": "make all"}, [["make", "all"]]),
        ({"command": ["make", "a b"]}, [["make", "a b"]]),
        ({"commands": ["make", "a b"]}, [["make"], ["a", "b"]]),
        ({"argv": ["make", "a b"]}, [["make", "a b"]]),
        ({"script": "scripts/x.py --deep"}, [["python3", "scripts/x.py", "--deep"]]),
        ({"script": "scripts/x.sh"}, [["sh", "scripts/x.sh"]]),
        ({"scripts": ["./x.py"]}, [["./x.py"]]),
        ({"executor": "executors/phase_0.py"}, [["python3", "executors/phase_0.py"]]),
        ({"executor": "Phase0Executor"}, []),
        ({"tasks": ["python x.py", "Think about it"]}, [["python", "x.py"]]),
        ({"tasks": [{"name": "n", "command": "a | b"}]}, [["sh", "-c", "a | b"]]),
        ({"tasks": [{"name": "n", "cmd": "it's"}]}, [["sh", "-c", "it's"]]),
        ({"tasks": [{"name": "only words"}]}, []),
        ({"tasks": [{"script": "x.py", "args": ["1"]}]}, [["python3", "x.py", "1"]]),
        ({"tasks": ["python ${{ secrets.X }}"]}, []),
        ({"tasks": []}, []),
    ],
)
def test_what_can_be_run_becomes_steps(tmp_path: Path, given: dict[str, Any], argv: list[list[str]]) -> None:
    [phase] = phases_of(tmp_path, {"id": 0, **given})

    assert [step.parameters["argv"] for step in phase.steps] == argv


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "file_exists", "path": "a"}, ("file_exists", {"file": "a"})),
        ({"check": "not_empty", "file": "a"}, ("file_not_empty", {"file": "a"})),
        ({"type": "validJson", "file": "a"}, ("json_valid", {"file": "a"})),
        ({"type": "json_schema", "file": "a", "schema": "b"}, ("json_schema", {"file": "a", "schema": "b"})),
        ({"type": "metric_exists", "file": "a", "path": "x.y"}, ("metric_exists", {"file": "a", "path": "x.y"})),
        ({"type": "metric", "file": "a", "key": "x", "threshold": 80}, ("metric_threshold", {"file": "a", "path": "x", "min": 80})),
        ({"type": "metric", "file": "a", "key": "x", "value": 5, "operator": "<="}, ("metric_threshold", {"file": "a", "path": "x", "max": 5})),
        ({"type": "metric", "file": "a", "key": "x", "value": "ok", "operator": "=="}, ("metric_threshold", {"file": "a", "path": "x", "exact": "ok"})),
        ({"file": "a", "metric": "x[0].y", "minValue": 0.5}, ("metric_threshold", {"file": "a", "path": "x.0.y", "min": 0.5})),
        ({"type": "tests", "report": "j.xml"}, ("tests_reported", {"file": "j.xml", "format": "junit"})),
        ({"type": "command", "command": "make check"}, ("command_succeeds", {"argv": ["make", "check"], "timeout_s": 3600.0})),
    ],
)  # fmt: skip
def test_checks_become_criteria(tmp_path: Path, given: dict[str, Any], expected: tuple[str, dict[str, Any]]) -> None:
    [phase] = phases_of(tmp_path, {"id": 0}, success_criteria={"phase_0": {"validations": [given]}})

    assert [(one.kind, one.parameters) for one in phase.success] == [expected]
    assert phase.gate == "auto"


@pytest.mark.parametrize(
    "given",
    [
        {"validations": [{"type": "link_check", "file": "a"}]},
        {"validations": [{"type": "metric", "file": "a", "key": "x", "value": 5, "operator": "<"}]},
        {"validations": [{"type": "metric", "file": "a", "key": "x"}]},
        {"validations": [{"type": "metric", "file": "a", "key": "x", "min": 3, "max": 2}]},
        {"validations": [{"type": "metric", "file": "a", "min": 3}]},
        {"validations": [{"type": "metric", "file": "/a", "key": "x", "min": 3}]},
        {"validations": [{"type": "metric", "key": "x", "min": 3}]},
        {"validations": [{"type": "json_schema", "file": "a", "schema": {"type": "object"}}]},
        {"validations": [{"type": "file_exists"}]},
        {"validations": ["All repositories are assessed"]},
        {"required_files": ["out/*.json"]},
        {"required_files": ["../outside.json"]},
        {"required_files": [{"description": "a report"}]},
        {"minimum_score": 80},
        {"all_required": False},
        {"auto_approve": False},
        {"requires_approval": True},
    ],
)
def test_what_cannot_be_asked_makes_people_look(tmp_path: Path, given: dict[str, Any]) -> None:
    [phase] = phases_of(tmp_path, {"id": 0}, success_criteria={"phases": {"0": given}})

    assert phase.gate == "manual"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"required_files": ["a.json"], "metrics": {"x.y": 80}}, {"file": "a.json", "path": "x.y", "min": 80}),
        ({"required_files": ["a.json"], "metrics": {"x": {"max": 1}}}, {"file": "a.json", "path": "x", "max": 1}),
        ({"metrics": {"x": {"file": "m.json", "min": 1}}}, {"file": "m.json", "path": "x", "min": 1}),
        (
            {"metrics_file": "m.json", "thresholds": {"x": {"exact": True}}},
            {"file": "m.json", "path": "x", "exact": True},
        ),
    ],
)
def test_metrics_by_name_are_looked_for_where_they_must_be(
    tmp_path: Path, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    [phase] = phases_of(tmp_path, {"id": 0}, success_criteria={"phases": [{"phase": 0, **given}]})

    assert [one.parameters for one in phase.success if one.kind == "metric_threshold"] == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_retries": 3}, {"attempts": 4}),
        ({"retry": {"maxAttempts": 3}}, {"attempts": 3}),
        ({"retry_delay_ms": 1500}, {"wait_s": 2.0}),
        ({"retry_delay": 0}, {"wait_s": 0.0}),
        ({"retry_delay": "2 minutes"}, {"wait_s": 120.0}),
        ({"retry_delay": 600, "max_delay": 60}, {"wait_s": 60.0, "most_s": 60.0}),
        ({"exponential_backoff": False}, {"factor": 1.0}),
        ({"exponential_backoff": True, "backoff_factor": 3}, {"factor": 3.0}),
        ({"backoff_factor": 3, "exponential_backoff": True}, {"factor": 3.0}),
        ({"error_handling": {"permanent": {"retry": True}}}, {"errors": ["permanent", "transient"]}),
        ({"error_handling": {"transient": {"retry": False}}}, {"attempts": 1}),
        ({"max_retries": -1}, {"attempts": 3}),
        ({"max_retries": "many"}, {"attempts": 3}),
    ],
)
def test_settings_of_retries_become_defaults_of_steps(
    tmp_path: Path, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    [phase] = phases_of(tmp_path, {"id": 0, "command": "make"}, orchestrator_config=given)

    found = phase.steps[0].retry.to_json()
    assert {name: found[name] for name in expected} == expected


def test_phases_in_sequence_need_the_one_before_and_never_form_a_circle(tmp_path: Path) -> None:
    phases = ({"id": 0, "dependencies": [2]}, {"id": 1}, {"id": 2}, {"id": 3, "dependencies": [0]})

    found = made(tmp_path, phase_config=list(phases), orchestrator_config={"parallel": False})

    assert levels(found.plan) == (("phase-1",), ("phase-2",), ("phase-0",), ("phase-3",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"continue_on_failure": True}, "continue"),
        ({"fail_fast": True}, "stop"),
        ({"stop_on_error": False}, "continue"),
        ({}, "stop"),
    ],
)
def test_what_happens_after_a_failure_is_taken_over(tmp_path: Path, given: dict[str, Any], expected: str) -> None:
    assert made(tmp_path, phase_config=[{"id": 0}], orchestrator_config=given).plan.on_failure == expected


def test_a_rollback_is_done_where_the_run_fails_later(tmp_path: Path) -> None:
    found = made(
        tmp_path, phase_config=[{"id": 0, "rollback": "make undo"}], orchestrator_config={"stop_on_error": True}
    )

    assert found.plan.on_failure == "compensate"
    assert [step.parameters["argv"] for step in found.plan.phases[0].compensate] == [["make", "undo"]]


def test_a_phase_that_was_switched_off_is_skipped(tmp_path: Path) -> None:
    [phase] = phases_of(tmp_path, {"id": 0, "command": "make", "enabled": False})

    assert [(one.path, one.operators) for one in phase.when] == [("run.id", (("exists", (False,)),))]


def test_a_step_longer_than_its_phase_gives_it_the_time(tmp_path: Path) -> None:
    [phase] = phases_of(tmp_path, {"id": 0, "timeout": 60, "tasks": [{"command": "make", "timeout": 7200}]})

    assert (phase.timeout_s, phase.steps[0].timeout_s) == (7200.0, 7200.0)


def test_two_steps_never_have_one_name(tmp_path: Path) -> None:
    found = phases_of(tmp_path, {"id": 0, "tasks": [{"id": "a", "command": "x"}, {"id": "a", "command": "y"}]})

    assert [step.id for step in found[0].steps] == ["phase-0-a", "phase-0-a-2"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"owner": "acme", "repo": "web"}, "acme/web"),
        ({"repository": "acme/web"}, "acme/web"),
        ({"repository": {"owner": "acme", "name": "web"}}, None),
        ({"repo": "https://github.com/acme/web.git"}, "acme/web"),
        ({"repo": "git@github.com:acme/web.git", "owner": "acme"}, "acme/web"),
        ({"repo": "web"}, None),
    ],
)
def test_the_repository_of_the_issue_is_found(tmp_path: Path, given: dict[str, Any], expected: str | None) -> None:
    tracking = made(tmp_path, phase_config=[{"id": 0}], github_config=given).plan.tracking

    assert tracking is not None
    assert tracking.repository == expected


@pytest.mark.parametrize("given", [{"enabled": False}, {"issue": {"create_issue": False}}])
def test_no_issue_is_made_where_none_was(tmp_path: Path, given: dict[str, Any]) -> None:
    assert made(tmp_path, phase_config=[{"id": 0}], github_config=given).plan.tracking is None


@pytest.mark.parametrize(
    "files",
    [
        {"github_config": {"token": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}},
        {"orchestrator_config": {"environment": {"API_KEY": "hunter2hunter2"}}},
        {"orchestrator_config": {"github": {"token": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}}},
    ],
)
def test_a_secret_is_copied_nowhere(tmp_path: Path, files: dict[str, Any]) -> None:
    found = made(tmp_path, phase_config=[{"id": 0, "command": "make"}], **files)

    out = StringIO()
    imported.write(found, out, "json")
    for secret in ("ghp_0123", "hunter2"):
        assert secret not in found.text
        assert secret not in out.getvalue()
    assert "secrets" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"phases": [}', "phase_config.json:1:13: this is not JSON"),
        ('{"phases": [],\n "phases": []}', "phase_config.json:2:2: the key 'phases' stands twice"),
        ('{"x": NaN}', "phase_config.json:1:7: NaN is not JSON"),
        ("3", "phase_config.json:1:1: the number 3; expected an object or a list"),
        ('[{"id": 0, "needs": [1]}, {"id": 1, "needs": [0]}]', "phase-0 -> phase-1 -> phase-0"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(PackError) as caught:
        made(tmp_path, phase_config=text)

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"phases": []}, "has no phases"),
        ({"phases": [{"id": 0, "needs": [7]}]}, "which is no phase"),
        ({"phases": [{"id": 0}, {"id": "phase 0"}]}, "two phases that would be called phase-0"),
        ({"phases": [{"timeout": 3}]}, "has no id and no name"),
    ],
)
def test_phases_that_make_no_plan_are_refused(tmp_path: Path, value: Any, expected: str) -> None:  # noqa: ANN401  # JSON
    with pytest.raises(UsageError, match=expected):
        made(tmp_path, phase_config=value)


def test_a_folder_stands_for_what_is_known_in_it_or_in_its_config(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "phase_config.json").write_text('[{"id": 0}]')
    (tmp_path / "config" / "package.json").write_text("{")

    assert len(import_files([tmp_path]).plan.phases) == 1


@pytest.mark.parametrize(
    "names", [(), ("other.json",), ("phase_config.json", "phases.json"), ("orchestrator_config.json",)]
)
def test_files_that_are_unknown_doubled_or_missing_are_told(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("[]")

    with pytest.raises(UsageError):
        import_files([tmp_path / name for name in names] or [tmp_path])


def test_odd_names_make_a_plan_all_the_same(tmp_path: Path) -> None:
    odd = [
        '"quoted"',
        "a: b",
        "- c",
        "# d",
        "no",
        "010",
        "{e}",
        "tab\there",
        "ünï",
        "x\ny",
        "null",
        "${ x }",
        "*a",
        "100%",
    ]
    phases = [
        {"id": at, "name": name, "command": ["echo", name], "outputs": [f"out/{at}.json"]}
        for at, name in enumerate(odd)
    ]

    found = made(tmp_path, phase_config=phases)

    assert [phase.title for phase in found.plan.phases] == [" ".join(name.split()) for name in odd]


@pytest.mark.parametrize("name", ["A", "a b", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name for a plan"):
        import_files([FOLDER], name=name)


def test_the_plan_can_be_named() -> None:
    found = import_files([FOLDER], name="mine")

    assert (found.plan.name, found.plan.title) == ("mine", "Unified consolidation and production plan")


def test_an_empty_file_is_named_once(tmp_path: Path) -> None:
    file = tmp_path / "phase_config.json"
    file.write_text("")

    with pytest.raises(PackError) as caught:
        import_files([tmp_path])

    assert str(caught.value).count(str(file)) == 1
    assert "nothing in it" in str(caught.value)
