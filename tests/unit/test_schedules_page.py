"""What `docs/schedules.md` gives people to copy: the workflow is YAML with pinned actions, the units and the cron line call commands that exist."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from orchestrator.cli import orch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
PINNED = re.compile(r"uses: (\S+?)@([0-9a-f]{40}) # v\d")


def fenced(language: str) -> list[str]:
    """Return what stands in fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    (text,) = [each for each in fenced("yaml") if "jobs:" in each]
    read: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # texts alone: `on` is no truth value here
    return read


def test_every_action_of_the_workflow_is_pinned_as_those_of_this_repository_are() -> None:
    ours = "".join(path.read_text() for path in [ROOT / "action.yml", *(ROOT / ".github" / "workflows").glob("*.yml")])
    known = {(name.split("/", 2)[1], commit) for name, commit in PINNED.findall(ours)}

    pins = PINNED.findall(PAGE)

    assert len(pins) == PAGE.count("- uses: ") + PAGE.count("\n        uses: ")
    assert {(name.split("/", 2)[1], commit) for name, commit in pins} <= known


def test_the_workflow_asks_nobody_for_a_code_and_may_only_read(workflow: dict[str, Any]) -> None:
    assert workflow["on"]["workflow_dispatch"] == ""
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] == "false"


def test_secrets_are_seen_by_the_step_that_ticks_alone(workflow: dict[str, Any]) -> None:
    steps = workflow["jobs"]["tick"]["steps"]

    with_secrets = [step for step in steps if "secrets." in str(step)]

    assert [step["run"].splitlines()[0] for step in with_secrets] == ["orch tick || code=$?"]
    assert "secrets." not in str(workflow.get("env", {}))


def test_every_command_on_the_page_exists() -> None:
    calls = re.findall(r"(?:`|\$ |&& |bin/|  )orch ([a-z][a-z-]*)((?: [a-z][a-z-]*)?)((?: --?[a-z-]+[ =]?\S*)*)", PAGE)

    assert len(calls) > 15
    for name, second, flags in calls:
        command = orch.get_command(click.Context(orch), name)
        assert command is not None, name
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), second.strip())
            assert command is not None, (name, second)
        known = {flag for option in command.params for flag in option.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", flags)) <= known, (name, flags)


def test_the_heartbeats_shown_are_right() -> None:
    shown = [yaml.safe_load(each) for each in fenced("yaml")[-1].strip().splitlines()]

    assert [one["heartbeat"].get("method", "POST") for one in shown] == ["POST", "GET"]
