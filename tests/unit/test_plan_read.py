"""Plans are read strictly: everything that is wrong is told with file, line and column."""

from pathlib import Path

import pytest
from plan_text import CAN, HEAD, plan, step, success, told, warned

from orchestrator.adapter import ErrorClass
from orchestrator.errors import Exit, PackError, UsageError
from orchestrator.plans.model import ONCE, Approvals, Criterion, Retry
from orchestrator.plans.read import check_plans, check_text, read_plan


def test_defaults_are_filled_in() -> None:
    found = plan(step("with: {argv: [make]}"))

    [phase] = found.phases
    [made] = phase.steps
    assert (phase.timeout_s, phase.retry, phase.gate, phase.needs) == (3600.0, ONCE, "auto", ())
    assert (made.timeout_s, made.retry, made.on_failure, made.on_unknown) == (3600.0, Retry(), "stop", "hold")
    assert (made.is_replayable, made.adapter, made.parameters) == (None, None, {"argv": ["make"]})
    assert (found.approvals, found.on_failure, found.tracking, found.reports) == (Approvals(), "stop", None, None)
    assert (found.version, found.source) == ("0.0.0", "p.yaml")


def test_what_a_step_does_not_say_of_its_retry_comes_from_the_defaults() -> None:
    found = plan(
        "defaults: {timeout: 10m, retry: {attempts: 7, wait: 0s, errors: [dependency]}}\n"
        + step("retry: {factor: 1.5}, timeout: 3m", "    retry: {attempts: 2}\n")
    )

    [phase] = found.phases
    errors = frozenset({ErrorClass.DEPENDENCY})
    assert phase.timeout_s == 600.0
    assert phase.retry == Retry(2, 0.0, 2.0, 300.0, errors)
    assert phase.steps[0].retry == Retry(7, 0.0, 1.5, 300.0, errors)
    assert phase.steps[0].timeout_s == 180.0


def test_an_old_name_of_a_key_is_told_once() -> None:
    assert len(told(step("retry: {on: [transient]}"))) == 1


def test_times_may_be_fractions_of_a_second() -> None:
    found = plan(step("timeout: 500ms, retry: {wait: 0.25s, most: 1.5m}")).phases[0].steps[0]

    assert (found.timeout_s, found.retry.wait_s, found.retry.most_s) == (0.5, 0.25, 90.0)


def test_numbers_estimates_and_codes_are_exact() -> None:
    made = (
        plan(step('estimates: {usd: 0.50}, errors: {75: transient, "69": dependency}, with: {a: 1.10, b: 2.0, c: 7}'))
        .phases[0]
        .steps[0]
    )

    assert made.estimates == {"usd": 500_000}
    assert made.codes == {75: ErrorClass.TRANSIENT, 69: ErrorClass.DEPENDENCY}
    assert made.parameters == {"a": 1.1, "b": 2, "c": 7}
    assert isinstance(made.parameters["b"], int)


def test_other_steps_may_refer_to_those_before_and_to_the_one_that_failed() -> None:
    found = plan(
        step(
            "on_failure: {steps: [{id: t, action: run_command, with: {x: '${{ steps.s.outputs.code }}'}},"
            " {id: u, action: run_command, with: {x: '${{ steps.t.outputs.code }}'}, on_failure: continue}]}"
        )
    )

    other = found.phases[0].steps[0].on_failure
    assert not isinstance(other, str)
    assert [(one.id, one.on_failure) for one in other] == [("t", "stop"), ("u", "continue")]


def test_criteria_have_their_place_as_a_name() -> None:
    found = plan(
        success("file_exists: ./out/x.json")
        + "      - tests_reported: out/j.xml\n      - command_succeeds: {argv: make, timeout: 1m}\n"
    )

    assert found.phases[0].success == (
        Criterion("a/success.1", "file_exists", {"file": "./out/x.json"}),
        Criterion("a/success.2", "tests_reported", {"file": "out/j.xml", "format": "junit"}),
        Criterion("a/success.3", "command_succeeds", {"argv": ["make"], "timeout_s": 60.0}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phases: [{id: a, needs: b}, {id: b, needs: [c]}, {id: c, needs: a}]\n", "p.yaml:4:18: phases that need one another: a -> b -> c -> a"),
        ("phases: [{id: a, needs: a}]\n", "p.yaml:4:18: the phase `a`, which needs itself"),
        ("phases: [{id: build}, {id: b, needs: biuld}]\n", "p.yaml:4:38: the need `biuld`, which is no phase; expected a phase of this plan (did you mean `build`?)"),
        ("phases: [{id: a}, {id: a}]\n", "p.yaml:4:24: a second phase `a`; expected each phase's id once in a plan (the first is on line 4)"),
        (step("with: {}", "    compensate: [{id: s, action: run_command}]\n"), "p.yaml:8:23: a second step `s`"),
        ("phases: []\n", "p.yaml:4:9: an empty list; expected at least one item"),
        ("phases: [{id: A}]\n", "p.yaml:4:15: `A`; expected a name of lowercase letters"),
        ("phases: [{id: a, neds: b}]\n", "p.yaml:4:18: the unknown key `neds`; expected `needs`"),
        ("phases: [{id: a, id: b}]\n", "p.yaml:4:18: the key `id` a second time"),
        ("phases: [{title: a}]\n", "p.yaml:4:10: a key is missing; expected `id` here"),
        ("phases: [{id: a, timeout: 1w}]\n", "p.yaml:4:27: `1w`; expected a duration such as 500ms, 30s, 5m, 2h or 3d"),
        ("phases: [{id: a, timeout: 400d}]\n", "p.yaml:4:27: `400d`; expected at most 366d"),
        ("phases: [{id: a, gate: atuo}]\n", "p.yaml:4:24: `atuo`; expected `auto` or `manual` (did you mean `auto`?)"),
        ("defaults: {timeout: 1}\nphases: [{id: a}]\n", "p.yaml:4:21: the number `1`; expected text"),
        ("defaults: {retry: {attempts: 0}}\nphases: [{id: a}]\n", "p.yaml:4:30: the number `0`; expected at least 1"),
        ("defaults: {retry: {wait: 9s, most: 5s}}\nphases: [{id: a}]\n", "p.yaml:4:36: `5s`, less than the first wait"),
        ("defaults: {retry: {factor: 0.5}}\nphases: [{id: a}]\n", "p.yaml:4:28: the number `0.5`; expected a number from 1 to 100"),
        ("reports: /var/reports\nphases: [{id: a}]\n", "p.yaml:4:10: the path `/var/reports`; expected a relative path"),
        ("reports: a/../../b\nphases: [{id: a}]\n", "p.yaml:4:10: the path `a/../../b`; expected a relative path"),
        ("tracking: {github: {repository: web}}\nphases: [{id: a}]\n", "p.yaml:4:33: `web`; expected a repository"),
        ("tracking: {github: {title: '${{ steps.s.outputs.x }}'}}\nphases: [{id: a}]\n", "p.yaml:4:28: `steps.s.outputs.x`; expected a path that begins with inputs or run"),
        ("inputs: {x: {type: integer, default: a}}\nphases: [{id: a}]\n", "p.yaml:4:38: `a`; expected a whole number"),
        ("inputs: {x: {default: 3}}\nphases: [{id: a}]\n", "p.yaml:4:23: the number `3`; expected text (say `type: integer`, or write it in quotes)"),
        ("inputs: {x: {default: c, one_of: [a, b]}}\nphases: [{id: a}]\n", "p.yaml:4:23: `c`; expected `a` or `b`"),
        ("inputs: {x: {type: number, one_of: [1, true]}}\nphases: [{id: a}]\n", "p.yaml:4:40: `true`; expected a number"),
        (step("action: x"), "p.yaml:7:38: the key `action` a second time"),
    ],
    ids=lambda one: one[:60],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_is_told_with_its_place(text: str, expected: str) -> None:
    found = told(text)

    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timeout: 2h", "p.yaml:7:47: `2h`, longer than its phase may take; expected at most 3600s"),
        ("adapter: comand", "p.yaml:7:47: the adapter `comand`, which is not installed; expected chat, command"),
        ("adapter: mail", "p.yaml:7:47: the adapter `mail`, which cannot do run_command; expected command"),
        ("on_failure: stpo", "p.yaml:7:50: `stpo`; expected `stop` or `continue` (did you mean `stop`?)"),
        ("on_failure: {then: continue, steps: [{id: t, action: comment}]}", "p.yaml:7:50: both `then` and `steps`"),
        ("on_failure: {steps: [{id: t, action: comment, timout: 3s}]}", "p.yaml:7:84: the unknown key `timout`; expected `timeout`"),
        ("retry: {on: [transient]}", "p.yaml:7:46: the key `on`; expected `errors` (on is named errors"),
        ("retry: {'on': [transient]}", "p.yaml:7:46: the key `on`; expected `errors` (on is named errors"),
        ("retry: {true: [transient]}", "p.yaml:7:46: the key `true`; expected `errors` (on is named errors"),
        ("errors: {07: transient}", "p.yaml:7:47: `07`, which readers take for different numbers"),
        ("errors: {-1: transient}", "p.yaml:7:47: the key `-1`, which is not text"),
        ("errors: {7.5: transient}", "p.yaml:7:47: the key `7.5`, which is not text"),
        ("errors: {75: transient, '75': permanent}", "p.yaml:7:62: the key `75` a second time"),
        ("with: {75: x}", "p.yaml:7:45: the key `75`, which is not text"),
        ("errors: {abc: transient}", "p.yaml:7:47: `abc`; expected an exit code or HTTP status, such as 75"),
        ('errors: {"75": transint}', "p.yaml:7:53: `transint`; expected"),
        ("estimates: {usd: -1}", "p.yaml:7:55: the number `-1`; expected an amount from 0"),
        ("estimates: {usd: 0.0000001}", "p.yaml:7:55: the number `1E-7`; expected an amount with at most 6 digits"),
        ("with: {m: 1.23456789012345678}", "p.yaml:7:48: the number `1.23456789012345678`; expected a number of at most 15 digits"),
        ("with: {m: 9007199254740993}", "p.yaml:7:48: the number `9007199254740993`; expected a number from"),
        ("with: {cwd: /etc}", "p.yaml:7:50: the path `/etc`; expected a path below the run's root"),
        ("with: {cwd: a/../../b}", "p.yaml:7:50: the path `a/../../b`"),
        ("with: {x: '${{ input.env }}'}", "p.yaml:7:48: `input.env`; expected a path that begins with inputs, run, secrets or steps (did you mean `inputs`?)"),
        ("with: {x: '${{ env.HOME }}'}", "p.yaml:7:48: `env.HOME`; expected a path that begins with inputs, run, secrets or steps (did you mean `inputs`?)"),
        ("with: {x: '${{ inputs.env }}'}", "p.yaml:7:48: the input `env`, which the plan does not have; expected an input named under `inputs:`"),
        ("with: {x: [1, '${{ steps.t.outputs.x }}']}", "p.yaml:7:52: the step `t`, which is not there"),
        ("with: {x: '${{ steps.s.outputs.x }}'}", "p.yaml:7:48: the step `s`, which is not over when this is looked at"),
        ("with: {x: '${{ run.user }}'}", "p.yaml:7:48: `run.user`; expected `run.id`, `run.mode`, `run.name` or `run.repository`"),
        ("with: {x: '${{ secrets.A-B }}'}", "p.yaml:7:48: `secrets.A-B`; expected `secrets.NAME`"),
        ("with: {x: '${{ inputs.a'}", "p.yaml:7:48: the reference `${{ inputs.a`; expected `${{ PATH }}`"),
        ("with: {x: '${{ a b }}'}", "p.yaml:7:48: the reference `a b`; expected `${{ PATH }}`"),
        ("with: {'${{ run.id }}': 1}", "p.yaml:7:45: the reference `run.id` in a key"),
        ("if: {inputs.env: dev}", "p.yaml:7:43: the input `env`, which the plan does not have"),
        ("if: {phase.a.state: passed}", "p.yaml:7:43: `phase.a.state`; expected a path that begins with inputs, phases, run or steps (did you mean `phases`?)"),
        ("if: {phases.a.state: passed}", "p.yaml:7:43: the phase `a`, which may not be over when this is looked at"),
        ("if: {secrets.X: dev}", "p.yaml:7:43: `secrets.X`; expected a path that begins with"),
        ("if: {'run. id': dev}", "p.yaml:7:43: the path `run. id`; expected names joined by `.`"),
        ("if: {run.id: $list}", "p.yaml:7:51: the list `$list`; expected the items themselves"),
        ("if: {run.id: {in: [a, '${{ run.id }}']}}", "p.yaml:7:60: the reference `${{ run.id }}`; expected a plain value"),
        ("if: {run.id: {glob: '{a'}}", "p.yaml:7:58:"),
        ("if: {run.id: {same_as: inputs.nope}}", "p.yaml:7:61: the input `nope`, which the plan does not have"),
        ("if: {run.id: {equal: dev}}", "p.yaml:7:52: the unknown key `equal`; expected `equals`"),
        ("if: {}", "p.yaml:7:42:"),
    ],
    ids=lambda one: one[:60],
)  # fmt: skip
def test_what_is_wrong_with_a_step_is_told_with_its_place(text: str, expected: str) -> None:
    found = told(step(text))

    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file_exists: /etc/passwd", "p.yaml:7:22: the path `/etc/passwd`; expected a relative path"),
        ("file_not_empty: ../x", "p.yaml:7:25: the path `../x`; expected a relative path"),
        ("json_valid: 'a/${{ run.id }}/../../x'", "p.yaml:7:21: the path"),
        ("file_exists: 'out/${{ secrets.X }}'", "p.yaml:7:22: `secrets.X`; expected a path that begins with inputs, run or steps"),
        ("metric_threshold: {file: a, path: b}", "p.yaml:7:27: a threshold of nothing; expected `min`, `max` or `exact`"),
        ("metric_threshold: {file: a, path: b, exact: 1, min: 0}", "p.yaml:7:53: `exact` beside min"),
        ("metric_threshold: {file: a, path: b, min: 3, max: 2}", "p.yaml:7:59: the number `2`; expected at least 3"),
        ("metric_threshold: {file: a, path: b, min: true}", "p.yaml:7:51: `true`; expected a number"),
        ("metric_threshold: {file: a, path: b, exact: [1]}", "p.yaml:7:53:"),
        ("metric_exists: {file: a, path: a..b}", "p.yaml:7:40: the path `a..b`; expected keys and positions"),
        ("metric_exists: {path: a}", "p.yaml:7:24: a key is missing; expected `file` here"),
        ("json_schema: {file: a, schema: /s}", "p.yaml:7:40: the path `/s`"),
        ("{file_exists: a, json_valid: a}", "p.yaml:7:9: file_exists or json_valid in one criterion; expected one key each"),
        ("{}", "p.yaml:7:9: a criterion of nothing"),
        ("file_exist: a", "p.yaml:7:9: the unknown key `file_exist`; expected `file_exists`"),
        ("tests_reported: {file: a, format: tpa}", "p.yaml:7:43: `tpa`; expected `junit` or `tap`"),
        ("command_succeeds: {argv: [a], timeout: 3h}", "p.yaml:7:48: `3h`, longer than its phase may take"),
        ("command_succeeds: {argv: []}", "p.yaml:7:34:"),
        ("command_succeeds: {argv: [a], cwd: ..}", "p.yaml:7:44: the path `..`"),
    ],
    ids=lambda one: one[:60],
)  # fmt: skip
def test_what_is_wrong_with_a_criterion_is_told_with_its_place(text: str, expected: str) -> None:
    found = told(success(text))

    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("needs", "is_fine"),
    [("b", True), ("c", True), ("", False)],
)
def test_steps_of_phases_that_come_before_may_be_referred_to(needs: str, is_fine: bool) -> None:  # noqa: FBT001  # a case
    text = (
        "phases:\n  - {id: b, steps: {id: sb, action: run_command}}\n  - {id: c, needs: b, success: {file_exists: x}}\n"
        f"  - id: d\n{f'    needs: {needs}' if needs else ''}\n    if: {{phases.b.state: passed}}\n"
        "    steps: {id: sd, action: run_command, with: {argv: ['${{ steps.sb.outputs.x }}']}}\n"
    )

    found = told(text)

    assert (found == []) is is_fine
    assert is_fine or "let the phase need `b`" in found[1]


def test_what_only_undoes_a_phase_is_not_over_when_others_begin() -> None:
    text = (
        "phases:\n  - {id: b, success: {file_exists: x}, compensate: {id: undo, action: run_command}}\n"
        "  - {id: c, needs: b, steps: {id: s, action: run_command, with: {x: '${{ steps.undo.outputs.x }}'}}}\n"
    )

    assert "the step `undo`, which is not over" in told(text)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: PolicyPack\n", "p.yaml:2:7: the kind `PolicyPack`; expected `kind: Plan`"),
        ("apiVersion: orch/v1\n", "p.yaml:1:1: a document without `kind`"),
        ("- a\n", "p.yaml:1:1: a list; expected a mapping"),
        ("", "p.yaml: a file without a document"),
        (HEAD + "phases: [{id: a}]\n---\n" + HEAD, "a second document; expected one plan in a file"),
        (HEAD + "phases: [\n", "cannot be read"),
        ("\ufeff" + HEAD, "p.yaml:1:1: a byte order mark"),
    ],
)
def test_what_is_no_plan_at_all_is_told(text: str, expected: str) -> None:
    given = "\n" + text if text.startswith("kind") else text

    found = [str(one) for one in check_text(given.encode(), "p.yaml", CAN).problems]

    assert any(expected in one for one in found), found


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    found = told(step("timeout: 9x, if: {foo: 1}, with: {x: '${{ nope }}', z: '${{'}") + "reports: /x\n")

    assert [one.split(":")[1] for one in found] == ["7", "7", "7", "7", "8"]


def test_a_phase_that_does_nothing_is_a_warning() -> None:
    assert "the phase `a`, which does nothing" in warned("phases: [{id: a}]\n")[0]
    assert warned("phases: [{id: a, gate: manual}]\n") == []


def test_a_file_that_is_wrong_raises_every_problem_and_no_warning(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "phases: [{id: a, needs: x}, {id: b, timeout: y}]\n")

    with pytest.raises(PackError) as caught:
        read_plan(file, name="shown.yaml")

    assert [str(one).split(";")[0] for one in caught.value.problems] == [
        "shown.yaml:4:25: the need `x`, which is no phase",
        "shown.yaml:4:46: `y` without quotes",
    ]
    assert caught.value.exit_code is Exit.PACK


@pytest.mark.parametrize("name", ["nothing.yaml", ".", "\0"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        read_plan(f"{tmp_path}/{name}")


def test_several_plans_are_looked_at_together(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(HEAD + "phases: [{id: a, success: {json_schema: {file: x, schema: s.json}}}]\n")
    bad.write_text(HEAD + "phases: 3\n")

    both, one = check_plans([good, bad]), check_plans([good])

    assert (both.exit_code(strict=False), both.summary) == (Exit.PACK, "")
    assert (one.exit_code(strict=True), one.summary) == (Exit.OK, "1 plan with 1 phase and 0 steps")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ('{"type": "object"}', None),
        (None, "there is no file 's.json'"),
        ('{"type": "objet"}', "is no JSON Schema: at type"),
        ("{", "this is not JSON"),
        ('{"$ref": "https://example.com/s.json"}', "expected one that begins with #"),
        ('{"$schema": "https://example.com/s"}', "expected a draft that is known"),
        ("[]", "expected a JSON Schema, an object"),
    ],
)
def test_the_json_schemas_that_a_plan_names_are_looked_at(
    tmp_path: Path, schema: str | None, expected: str | None
) -> None:
    if schema is not None:
        (tmp_path / "s.json").write_text(schema)
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + success("json_schema: {file: x, schema: s.json}"))

    checked = check_plans([file], root=tmp_path)

    if expected is None:
        assert checked.problems == ()
    else:
        [problem] = checked.problems
        assert str(problem).startswith(f"{file}:7:40: ")
        assert expected in str(problem)
        assert problem.is_warning is (schema is None)
