"""Secrets: found where the operator says, revealed for single values, masked ever after."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.errors import AdapterError, PackError
from orchestrator.ledger.mask import Mask
from orchestrator.mismatch import read_operator_settings
from orchestrator.secret import Secrets, references
from orchestrator.settings import Settings

PLACES: Mapping[str, Mapping[str, object]] = {"A": {"env": "A"}, "B": {"env": "B", "actions": ["run_command"]}}
ENVIRON = {"A": "first-value", "B": "second-value"}


def secrets(places: Mapping[str, Mapping[str, object]] = PLACES) -> Secrets:
    return Secrets(places, ENVIRON, Mask())


def test_a_reference_is_replaced_and_other_text_stays() -> None:
    assert (
        secrets().reveal("x ${{ secrets.A }} ${{secrets.A}} ${{ inputs.A }}")
        == "x first-value first-value ${{ inputs.A }}"
    )


def test_what_a_secret_says_is_not_looked_into_again() -> None:
    nested = Secrets({"A": {"env": "A"}, "B": {"env": "B"}}, {"A": "${{ secrets.B }}", "B": "hidden-value"}, Mask())

    assert nested.reveal("${{ secrets.A }}") == "${{ secrets.B }}"


def test_what_was_revealed_is_masked() -> None:
    known = secrets()
    before = known.mask.text("first-value")
    known.reveal("${{ secrets.A }}")

    assert before == "first-value"
    assert known.mask.text("said first-value!") == "said [masked]!"


def test_what_is_there_is_masked_before_anybody_asks() -> None:
    known = secrets()
    known.learn()

    assert known.mask.value({"x": ["second-value"]}) == {"x": ["[masked]"]}


def test_a_secret_is_for_the_actions_it_is_given_for() -> None:
    known = secrets()

    assert known.revealer("run_command")("${{ secrets.B }}") == "second-value"
    with pytest.raises(AdapterError, match="is not for open_pr; it is for run_command"):
        known.revealer("open_pr")("${{ secrets.B }}")


def test_a_name_that_nobody_gave_is_told_with_the_nearest() -> None:
    with pytest.raises(AdapterError, match="there is no secret") as failure:
        secrets({"GITHUB_TOKEN": {"env": "A"}}).reveal("${{ secrets.GITHUB_TOKNE }}")

    assert "GITHUB_TOKEN" in str(failure.value)
    assert failure.value.error_class == "configuration"


def test_a_file_gives_its_text_without_the_last_line_break(tmp_path: Path) -> None:
    file = tmp_path / "smtp"
    file.write_text("pass word\n")
    file.chmod(0o600)

    assert secrets({"S": {"file": str(file)}}).reveal("${{ secrets.S }}") == "pass word"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"secret-value", 0o666, "others can write"),
        (b"\n", 0o600, "is empty"),
        (b"\xff\xfe-secret", 0o600, "no UTF-8"),
        (b"x" * 300_000, 0o600, "too large"),
    ],
    ids=["writable", "empty", "bytes", "large"],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    file = tmp_path / "smtp"
    file.write_bytes(content)
    file.chmod(mode)

    with pytest.raises(AdapterError, match=said) as failure:
        secrets({"S": {"file": str(file)}}).reveal("${{ secrets.S }}")
    assert "secret-value" not in str(failure.value)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterError, match="cannot be read"):
        secrets({"S": {"file": str(tmp_path / name)}}).reveal("${{ secrets.S }}")


def test_references_are_found_at_any_depth() -> None:
    value = {"a": ["${{ secrets.X }}", {"${{ secrets.Y }}": 1}], "b": "x ${{ secrets.X }}"}

    assert sorted(references(value)) == ["X", "X", "Y"]


def test_a_file_lies_beside_the_operators(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("secrets: {A: {file: a}, B: {file: ~/b, actions: run_command}}\n")

    found = Settings.load({"config": str(config)}, cwd=tmp_path, environ={"HOME": "/home/x"})

    assert found.secrets == {"A": {"file": str(tmp_path / "a")}, "B": {"file": "/home/x/b", "actions": ["run_command"]}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("secrets: {A: {env: A, file: b}}", "one of both"),
        ("secrets: {A: {}}", "one of both"),
        ("secrets: {1A: {env: A}}", "begins with no digit"),
        ("channels: {ops: {host: x}}", "a channel with `adapter`"),
        ("adapters: {github: token}", "a mapping"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(PackError) as failure:
        read_operator_settings(text.encode(), "config.yaml")

    assert said in str(failure.value)
    assert "config.yaml:1:" in str(failure.value)


def test_settings_show_no_adapter_settings() -> None:
    assert "hunter" not in repr(Settings(adapters={"x": {"token": "hunter"}}, channels={"y": {"password": "hunter"}}))
