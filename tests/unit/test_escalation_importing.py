"""Another project's policy files as an escalation: what is kept, what is told, and that nothing is lost in silence."""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import opa
from orchestrator.draft import problems, read_draft
from orchestrator.errors import PackError, UsageError
from orchestrator.escalations.foreign import Draft, Fate
from orchestrator.escalations.foreign_templates import translated
from orchestrator.escalations.importing import Imported, import_escalation, write
from orchestrator.mismatch import read_operator_settings

FOLDER = Path(__file__).parents[1] / "escalation_000"


@pytest.fixture(scope="module")
def found() -> Imported:
    return import_escalation(FOLDER)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project's files to change."""
    shutil.copytree(FOLDER, tmp_path / "project")
    return tmp_path / "project"


def edited(project: Path, file: str, old: str, new: str) -> Imported:
    path = project / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return import_escalation(project)


def document(found: Imported, file: str = "escalation.yaml") -> Any:  # noqa: ANN401  # YAML
    return yaml.safe_load(found.files[file])


def stages(found: Imported) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in document(found)["stages"]}


def fate(found: Imported, what: str) -> Fate:
    (one,) = [each for each in found.fates if each.what == what]
    return one


def action_ids(found: Imported, stage: str) -> list[str]:
    return [each["id"] for each in stages(found)[stage].get("actions", [])]


# -- states and rules


def test_states_become_stages_in_their_order_with_the_thresholds_of_the_rules(found: Imported) -> None:
    assert [(name, one.get("at")) for name, one in stages(found).items()] == [
        ("ok", None),
        ("remind_1", "-6h"),
        ("remind_2", "-1h"),
        ("pre_release", "-15m"),
        ("partial", "1m"),
        ("full", "2h"),
    ]


@pytest.mark.parametrize(
    ("rule", "becomes"),
    [
        ("R00_BACK", "built in: a renewal begins a new cycle in the first stage"),
        ("R01_LOCK", "renewal.lockout.after: 3"),
        ("R10_FIRST", "at: -6h of remind_1"),
        ("R12_THIRD", "at: -15m of pre_release"),
        ("R20_PARTIAL", "at: 1m of partial"),
        ("R90_ONWARD", "built in: an escalation only goes forward"),
    ],
)
def test_a_rule_that_is_kept_says_what_it_became(found: Imported, rule: str, becomes: str) -> None:
    assert fate(found, f"rule {rule}").becomes == becomes


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("R40_STORM", "it asks for `weather.level_gte`"),
        ("R41_SOONER", "another rule says when FULL begins"),
        ("R50_LOG", "it sets no state"),
        ("R51_LIST", "not both mappings"),
    ],
)
def test_a_rule_that_cannot_be_kept_says_why(found: Imported, rule: str, why: str) -> None:
    one = fate(found, f"rule {rule}")

    assert not one.is_kept
    assert why in one.why


def test_each_has_its_file_and_line(found: Imported) -> None:
    lines = (FOLDER / "policy/rules.yaml").read_text().splitlines()

    one = fate(found, "rule R40_STORM")

    assert one.file == "policy/rules.yaml"
    assert "R40_STORM" in lines[one.line - 1]


def test_what_is_different_of_a_rule_that_is_kept_is_told(found: Imported) -> None:
    assert "a late tick still enters it" in fate(found, "rule R10_FIRST").why
    assert "is not skipped" in fate(found, "rule R20_PARTIAL").why


@pytest.mark.parametrize(
    ("condition", "at"),
    [
        ("time.overdue_minutes_gt: 0", "1m"),
        ("time.overdue_minutes_gte: 1", "1m"),
        ("time.overdue_minutes_gt: 59", "1h"),
        ("time.time_to_deadline_minutes_lte: 10", "-10m"),
        ("time.time_to_deadline_minutes_lt: 10", "-10m"),
        ("time.time_to_deadline_minutes_lte: 0", "0s"),
    ],
)
def test_a_threshold_is_where_the_other_program_begins_to_the_minute(project: Path, condition: str, at: str) -> None:
    made = edited(project, "policy/rules.yaml", "time.overdue_minutes_gt: constants.partial_after", condition)

    assert stages(made)["partial"]["at"] == at


@pytest.mark.parametrize(
    "condition",
    [
        "time.overdue_minutes_gte: 0",
        "time.overdue_minutes_gt: constants.nowhere",
        "time.overdue_minutes_gt: -1",
        "time.overdue_minutes: 5",
        "state_is: OK",
    ],
)
def test_a_stage_that_no_rule_enters_any_more_is_left_out_with_its_actions(project: Path, condition: str) -> None:
    made = edited(project, "policy/rules.yaml", "time.overdue_minutes_gt: constants.partial_after", condition)

    assert "partial" not in stages(made)
    assert "no rule that can be kept enters it" in fate(made, "state PARTIAL").why
    assert "there is no stage for PARTIAL" in fate(made, "stages.PARTIAL").why or action_ids(made, "full")


def test_a_stage_that_does_not_come_later_than_the_one_before_is_left_out(project: Path) -> None:
    made = edited(project, "policy/rules.yaml", "full_after: 120", "full_after: 1")

    assert "full" not in stages(made)
    assert "each stage comes later" in fate(made, "state FULL").why


def test_what_leads_back_is_not_kept(project: Path) -> None:
    made = edited(project, "policy/rules.yaml", "{renewal.renewed_this_tick: true}", "{time.overdue_minutes_gt: 500}")

    assert "nothing leads back" in fate(made, "rule R00_BACK").why


def test_nothing_is_imported_that_would_warn_nobody_before_others_hear_of_it(project: Path) -> None:
    for at in ("first_at: 360", "second_at: 60"):
        path = project / "policy/rules.yaml"
        path.write_text(path.read_text().replace(at, at.split(":")[0] + ": none"))

    with pytest.raises(PackError, match="no stage before it that warns the operator") as caught:
        import_escalation(project)

    assert caught.value.problems[0].line > 0


def test_others_hear_of_it_no_sooner_than_the_longest_lock(found: Imported) -> None:
    assert stages(found)["remind_2"]["min_dwell"] == "15m"
    assert document(found)["renewal"]["lockout"] == {"after": 3, "first": "30s", "longest": "450s"}


# -- actions


def test_actions_keep_their_order_and_their_kind(found: Imported) -> None:
    assert [(each["id"], each["action"]) for each in stages(found)["partial"]["actions"]] == [
        ("post", "send_message"),
        ("post_long", "send_message"),
        ("book", "write_document"),
    ]
    assert action_ids(found, "full") == ["book", "release", "bell_1", "bell_2"]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("flag", "switched off"),
        ("sealed", "is encrypted"),
        ("gone", "there is no template nowhere"),
        ("keep", "persistence_api is switched off in the state"),
        ("parrot", "it only says that it would do something"),
        ("gist", "no action makes a gist"),
        ("pages", "builds its own pages"),
        ("balloon", "no action corresponds to the adapter balloon"),
    ],
)
def test_an_action_that_cannot_be_kept_says_why(found: Imported, action: str, why: str) -> None:
    one = fate(found, f"action {action}")

    assert not one.is_kept
    assert why in one.why


def test_who_hears_of_a_stage_follows_from_whom_it_writes_to(found: Imported) -> None:
    audiences = {name: one.get("audience", "operator") for name, one in stages(found).items()}

    assert audiences == {
        "ok": "operator",
        "remind_1": "operator",
        "remind_2": "operator",
        "pre_release": "custodians",
        "partial": "public",
        "full": "public",
    }


def test_addresses_become_secrets_and_are_written_nowhere(found: Imported) -> None:
    everything = "".join(found.files.values()) + repr(found.fates) + repr(found.advice)

    assert document(found)["routes"]["custodians"]["to"] == [
        "${{ secrets.CUSTODIAN_1_MAIL }}",
        "${{ secrets.CUSTODIAN_2_MAIL }}",
    ]
    assert "north.example" not in everything
    assert "bell.example" not in everything
    assert "5550007777" not in everything


def test_each_receiver_of_a_web_hook_is_called_on_its_own(found: Imported) -> None:
    calls = [each["with"]["endpoint"] for each in stages(found)["full"]["actions"] if each["action"] == "call_webhook"]

    assert calls == ["observers-1", "observers-2"]


def test_what_a_constraint_became_is_told(found: Imported) -> None:
    assert "orch/way-in" in fate(found, "action Letter, constraints.no_links").becomes
    assert "no action has such a limit" in fate(found, "action Letter, constraints.max_length").why


# -- templates


@pytest.mark.parametrize(
    ("text", "jinja"),
    [
        ("${{project}} ${{ stage }}", "{{ constants.project }} {{ stage }}"),
        ("in ~${{time_to_deadline_hours}} hours.", "in ~{{ time_left }}."),
        ("${{time_to_deadline_minutes}}min left", "{{ time_left }} left"),
        ("${{time_to_deadline_minutes}} mink", "{{ time_left }} mink"),
        ("tick ${{tick_id}}!", "tick {# tick_id: not kept #}!"),
        ("${{ a }} #} ${{b}}", '{# a: not kept #} {{ "#}" }} {# b: not kept #}'),
        ("{{ project }} {% if %}", '{{ "{{" }} project {{ "}}" }} {{ "{%" }} if {{ "%}" }}'),
        ("${{ x #} {{ evil }}", '${{ "{{" }} x {{ "#}" }} {{ "{{" }} evil {{ "}}" }}'),
        ("${{x#} y}}", '${{ "{{" }}x{{ "#}" }} y{{ "}}" }}'),
    ],
)
def test_a_text_becomes_jinja_that_says_the_same(text: str, jinja: str) -> None:
    assert translated(text, "t.md", Draft()) == jinja


def test_what_a_template_renders_is_its_text_again(found: Imported) -> None:
    from orchestrator.escalations.texts import text

    made = text(found.files["templates/keeper.j2"].split("{% block body %}")[1].split("{% endblock %}")[0], {
        "constants": {"project": "north-light", "plan_id": "default"}, "time_left": "6 hours", "stage": "remind_1",
    }, "body")  # fmt: skip

    assert "The light goes out in ~6 hours (6 hours). Stage: remind_1, plan default." in made
    assert "Braces stay: {{ project }} and {% raw %} and {# no comment #}." in made
    assert "Tick , labels , colour" in made


def test_a_heading_is_the_subject(found: Imported) -> None:
    assert found.files["templates/keeper.j2"].startswith(
        "{% block subject %}{{ constants.project }}: please look at the light{% endblock %}"
    )


@pytest.mark.parametrize(
    ("variable", "line", "why"),
    [
        ("tick_id", 7, "the receipt names the decision"),
        ("labels.project_name", 7, "a fixed text of that program"),
        ("colour", 7, "nothing is called so"),
        ("overdue_hours", 3, "write `deadline`"),
    ],
)
def test_a_variable_that_cannot_be_kept_is_told_with_its_line(
    found: Imported, variable: str, line: int, why: str
) -> None:
    one = fate(found, f"variable {variable}")

    assert (one.is_kept, one.line) == (False, line)
    assert why in one.why


# -- as a whole


def test_the_escalation_is_right_and_so_are_its_packs(found: Imported, tmp_path: Path) -> None:
    write(found, tmp_path / "out")

    seen = problems(read_draft([str(tmp_path / "out")]), opa.find(), 0)

    assert [str(problem) for problem in seen] == []


def test_the_part_of_the_operators_file_is_one(found: Imported) -> None:
    read = read_operator_settings(found.files["operator/config.yaml"].encode(), "config.yaml")

    assert set(read.secrets) >= set(re.findall(r"secrets\.([A-Z0-9_]+)", "".join(found.files.values())))


def test_every_field_of_every_file_is_told_of(found: Imported) -> None:
    """Each line that says something has an entry, or lies below one."""
    told = {(one.file, one.line) for one in found.fates}
    for file in ("policy/states.yaml", "policy/rules.yaml", "policy/plans/default.yaml", "state/current.json"):
        tops = [
            number
            for number, line in enumerate((FOLDER / file).read_text().splitlines(), 1)
            if re.match(r'(\w+: \S|  - (id|name): |  "\w+": )', line)
        ]
        for at, number in enumerate(tops):
            end = tops[at + 1] if at + 1 < len(tops) else number + 100
            assert any((file, each) in told for each in range(number, end)), (file, number)


def test_a_plan_that_is_not_in_use_is_told_of(found: Imported) -> None:
    assert [one.why for one in found.fates if one.file == "policy/plans/spare.yaml"] == [
        "another plan is the one in use"
    ]


def test_without_a_state_there_are_no_numbers_of_people(project: Path) -> None:
    shutil.rmtree(project / "state")

    made = import_escalation(project, name="mine")

    assert document(made)["metadata"]["name"] == "mine"
    assert document(made)["routes"]["custodians"]["to"] == ["${{ secrets.CUSTODIANS_MAIL }}"]
    assert "keep" in "".join(action_ids(made, "partial"))


def test_a_fuse_stays_one(project: Path) -> None:
    assert document(edited(project, "state/current.json", "renewable_countdown", "one_way_fuse"))["mode"] == "fuse"


def test_the_policy_folder_itself_may_be_named(found: Imported) -> None:
    assert import_escalation(FOLDER / "policy").files == found.files


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("policy/states.yaml", "there is no 'policy/states.yaml'"),
        ("policy/rules.yaml", "there is no 'policy/rules.yaml'"),
        ("policy/plans/default.yaml", "there is no plan 'default'"),
    ],
)
def test_a_file_that_is_missing_is_named(project: Path, file: str, said: str) -> None:
    (project / file).unlink()

    with pytest.raises(UsageError, match=said):
        import_escalation(project)


def test_yaml_that_is_none_is_told_with_its_place(project: Path) -> None:
    (project / "policy/rules.yaml").write_text("rules: [\n")

    with pytest.raises(PackError) as caught:
        import_escalation(project)

    assert caught.value.problems[0].file == "policy/rules.yaml"


def test_nothing_is_overwritten(found: Imported, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")

    with pytest.raises(UsageError, match="nothing is overwritten"):
        write(found, tmp_path / "out")

    assert [each.name for each in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("text", ["[]", "- a", "states: 7", "states: [7, {name: 3}, {order: 1}]", "states: {a: 1}"])
def test_states_in_no_known_form_are_refused(project: Path, text: str) -> None:
    (project / "policy/states.yaml").write_text(text)

    with pytest.raises((UsageError, PackError)):
        import_escalation(project)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("policy/rules.yaml", "constants: 7\nrules: [7, {id: x}, {when: {}, then: {set_state: 9}}]\n"),
        ("policy/rules.yaml", "rules: {a: {when: {always: true}, then: {}}}\n"),
        ("policy/plans/default.yaml", "stages: [1]\n"),
        ("policy/plans/default.yaml", "stages: {REMIND_1: [1], FULL: {actions: [1, {}, {adapter: email}]}}\n"),
        (
            "state/current.json",
            '{"meta": 1, "mode": [], "timer": {"grace_minutes": -1}, "integrations": {"routing": 1}}',
        ),
        ("state/current.json", '{"security": {"max_failed_attempts": 0}, "mode": {"name": "strange"}}'),
    ],
)
def test_files_in_another_form_are_told_of_and_no_fault_of_ours(project: Path, file: str, text: str) -> None:
    (project / file).write_text(text)

    made: Imported | None = None
    with suppress(UsageError, PackError):  # refused in words
        made = import_escalation(project)

    assert made is None or any(one.file == file for one in made.fates)
