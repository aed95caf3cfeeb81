"""A code is typed or piped in; where it came another way, too, it is not tried and not repeated."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.entry import code_in, name_in, refuse_seen

CODE = "7QK3-0F1Z-9ABC-DEFG-HJKM-NPQR-STVW"


@pytest.mark.parametrize(("given", "name"), [([], None), (["continuity"], "continuity")])
def test_arguments_name_at_most_one_escalation(given: list[str], name: str | None) -> None:
    assert name_in(given) == name


@pytest.mark.parametrize(
    "given",
    [[CODE], [CODE.lower()], ["continuity", CODE], CODE.split("-"), [CODE.replace("-", "")]],
    ids=["itself", "lower", "behind the name", "in groups", "together"],
)
def test_a_code_among_the_arguments_is_refused_and_not_repeated(given: list[str]) -> None:
    with pytest.raises(UsageError, match="given as an argument") as caught:
        name_in(given)

    said = str(caught.value) + caught.value.advice
    assert not any(part in said for part in CODE.split("-"))


def test_two_names_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="2 names"):
        name_in(["continuity", "other"])


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t", b"--", b"\xe2\x80\x93"])
def test_no_code_on_standard_input_is_said(data: bytes) -> None:
    with pytest.raises(UsageError, match="standard input has none"):
        code_in(data)


def test_what_is_no_text_is_some_wrong_code() -> None:
    assert code_in(b"\xff\xfe")


def test_a_code_that_nobody_else_saw_is_fine() -> None:
    refuse_seen(CODE, {"HOME": "/home/ann", "OTHER": new_code()})


@pytest.mark.parametrize("value", [CODE, CODE.lower(), f"code={CODE};", CODE.replace("-", "")])
def test_a_code_in_the_environment_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(UsageError, match="in the variable MINE") as caught:
        refuse_seen(CODE, {"MINE": value})

    assert CODE not in str(caught.value)


def test_a_code_among_a_workflows_inputs_is_refused(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"inputs": {"code": CODE.lower()}}))

    with pytest.raises(UsageError, match="inputs of the workflow"):
        refuse_seen(CODE, {"GITHUB_EVENT_PATH": str(event)})


def test_a_workflow_whose_event_is_gone_is_no_hindrance(tmp_path: Path) -> None:
    refuse_seen(CODE, {"GITHUB_EVENT_PATH": str(tmp_path / "none")})


def test_a_short_guess_is_tried_whatever_stands_around() -> None:
    refuse_seen("a", {"PATH": "/a"})
