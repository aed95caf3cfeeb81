"""Problems as a person sees them: whole lines for programs, wrapped lines on a terminal."""

import io

import pytest

from orchestrator.errors import Problem
from orchestrator.show.problems import write

PROBLEM = Problem("packs/a.yaml", 3, 5, "a value " + "that is much too long " * 6 + "here", "another", "write it " * 12)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_problem_is_one_line_where_no_person_looks() -> None:
    out = io.StringIO()

    write([PROBLEM], out, "text", subject="1 pack", command="orch policy validate")

    first, advice, total = out.getvalue().splitlines()
    assert first == f"packs/a.yaml:3:5: error: {PROBLEM.seen}; expected another"
    assert advice == "  " + PROBLEM.advice.strip()
    assert total == "1 pack: 1 error"


@pytest.mark.parametrize("columns", [60, 120])
def test_lines_are_as_wide_as_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()

    write([PROBLEM], out, "text", subject="1 pack", command="orch policy validate")

    widest = max(map(len, out.getvalue().splitlines()))
    assert columns - 12 < widest <= columns


def test_what_is_not_expected_is_not_said() -> None:
    out = io.StringIO()

    write([Problem("a.yaml", 1, 1, "broken", "")], out, "text", subject="", command="orch policy validate")

    assert out.getvalue() == "a.yaml:1:1: error: broken\n1 error\n"


def test_an_annotation_names_the_command_that_looked() -> None:
    out = io.StringIO()

    write([Problem("p.yaml", 3, 5, "broken", "")], out, "github", subject="", command="orch plan validate")

    assert out.getvalue().startswith("::error file=p.yaml,line=3,col=5,title=orch plan validate::broken\n")
