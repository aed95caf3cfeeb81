"""Calls of `orch evaluate` that contradict themselves."""

import pytest

from orchestrator.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["request.json", "--subject", "user:x"], "a file of requests and --subject are both given"),
        (["request.json", "--file", "a"], "a file of requests and --file are both given"),
        (["--arg", "a=b"], "--arg describes a request without an action"),
        (["--action", "comment", "--enforce", "--warn-only"], "--enforce and --warn-only are both given"),
    ],
    ids=["subject beside a file", "files beside a file", "no action", "both modes"],
)
def test_a_call_that_contradicts_itself_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
