"""Placeholders of messages and fixes."""

import subprocess

import pytest

from orchestrator.placeholder import fill

_VALUES = {"branch": "x$(touch${IFS}f)", "paths": ["a b", "-rf", "'q'"], "tool": None}


def test_a_fix_is_quoted_for_a_shell() -> None:
    command = fill("printf '%s|' {branch} {paths}", _VALUES, is_shell=True)

    printed = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout

    assert printed == "x$(touch${IFS}f)|a b|./-rf|'q'|"


def test_prose_is_not_quoted() -> None:
    assert fill("{branch} is {{protected}}", _VALUES, is_shell=False) == "x$(touch${IFS}f) is {protected}"


@pytest.mark.parametrize(("is_shell", "expected"), [(True, ""), (False, "call (no tool)")], ids=["fix", "message"])
def test_what_has_no_value_is_said_in_prose_and_makes_no_command(is_shell: bool, expected: str) -> None:  # noqa: FBT001  # a table
    assert fill("call {tool}", _VALUES, is_shell=is_shell) == expected


def test_what_is_no_placeholder_stays() -> None:
    assert fill("{a-b} {other}", _VALUES, is_shell=False) == "{a-b} {other}"
