"""A code is typed or piped in; where it came another way, too, it is not tried and not repeated."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.entry import code_in, hidden, name_in, refuse_among, refuse_seen

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


@pytest.mark.parametrize("given", [[f"--packs=x{CODE}"], ["renew", f"a/{CODE.lower()}.yaml"], [CODE[:20], CODE[20:]]])
def test_a_code_that_also_stands_in_an_argument_is_refused_and_not_repeated(given: list[str]) -> None:
    with pytest.raises(UsageError, match="given as an argument") as caught:
        refuse_seen(CODE, {}, given)

    assert CODE not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        ["tick", CODE],
        ["--ledger", CODE],
        [f"--ledger=/tmp/{CODE.replace('-', '')}"],
        ["status", *CODE.lower().split("-")],
    ],
)
def test_an_argument_that_is_written_like_a_code_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="given as an argument"):
        refuse_among(given)


@pytest.mark.parametrize(
    "given",
    [
        ["code", "sign", "continuity", "--ledger-id", "5d41402abc4b2a76b9719d911017c592"],
        ["renew", "--packs", "sha256-" + "ab12" * 16 + ".tar.gz"],
        ["renew", "--packs", "8d3e4f5a-1b2c-4d5e-8f90-a1b2c3d4e5f6"],
        ["tick", "this", "that", "then", "them", "they", "when", "were"],
    ],
)
def test_what_is_no_code_is_no_hindrance(given: list[str]) -> None:
    refuse_among(given)


def test_what_may_be_a_code_is_not_repeated_in_an_error() -> None:
    said = hidden(f"there is no escalation 'continuity{CODE}', and no file {CODE.lower().replace('-', '')}")

    assert not any(part in said.upper() for part in CODE.split("-")[1:])
    assert hidden("the packs are sha256:" + "ab12" * 16) == "the packs are sha256:" + "ab12" * 16
    assert hidden("the escalation stands at none of the stages") == "the escalation stands at none of the stages"


def test_a_workflow_whose_event_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "event")

    refuse_seen(CODE, {"GITHUB_EVENT_PATH": str(tmp_path / "event")})
