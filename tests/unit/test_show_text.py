"""What a person reads in a terminal."""

import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from show_examples import (
    SRE,
    TWO_VOTES,
    allowed,
    decision,
    denied,
    finding,
    hostile,
    many,
    obligation,
    pending,
    request,
    usd,
)

import orchestrator
from orchestrator.decision import Decision
from orchestrator.errors import UsageError
from orchestrator.show import FORMATS, Options, text, wording, writer_for

ROOT = Path(orchestrator.__file__).parents[1]


def shown(*decisions: Decision, options: Options | None = None, encoding: str = "utf-8") -> str:
    buffer = io.BytesIO()
    out = io.TextIOWrapper(buffer, encoding=encoding, newline="")
    text.write(decisions, out, options or Options(is_single=len(decisions) == 1))
    out.flush()
    return buffer.getvalue().decode(encoding)


def test_the_outcome_comes_first() -> None:
    assert shown(denied()).startswith("DENIED ")


def test_all_paths_are_shown_when_asked_for() -> None:
    short, long = shown(denied()), shown(denied(), options=Options(is_single=True, all_paths=True))

    assert "and 2 more (--all-paths)" in short
    assert "    - .github/workflows/test.yml\n" in long
    assert "more" not in long


def test_paths_that_the_answer_left_out_are_counted() -> None:
    made = decision("deny", "denied", findings=[finding(paths=["a"], path_count=900_000)])

    assert "and 899,999 more\n" in shown(made, options=Options(is_single=True, all_paths=True))


def test_colour_only_when_asked_for() -> None:
    assert "\x1b[" not in shown(denied())
    assert "\x1b[1;31mDENIED\x1b[0m" in shown(denied(), options=Options(color=True))


def test_colour_changes_no_line() -> None:
    colored = shown(*many(), options=Options(color=True))

    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == shown(*many())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_unicode_gets_ascii(encoding: str) -> None:
    assert shown(pending(), hostile(), encoding=encoding).isascii()


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    lines = shown(*many(), options=Options(width=width)).splitlines()

    assert [line for line in lines if len(line) > width and "requests.jsonl" not in line and "next:" not in line] == []


def test_hostile_text_stays_in_its_line_and_place() -> None:
    lines = shown(hostile()).splitlines()

    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.lstrip().startswith("::") or "##[" in line] == []
    assert [line[:9] for line in lines if line[:1] not in {" ", ""}] == ["DENIED   ", "policy at"]


def test_the_next_step_shows_a_line_break_as_a_fix_does() -> None:
    fix = "orch act open_pr --base 'a\nb'"
    made = decision("deny", findings=(finding("p/r", fix=fix),), next_action=fix)

    lines = shown(made).splitlines()

    assert [line.partition(": ")[2] for line in lines if "orch act" in line] == [
        r"orch act open_pr --base 'a\u{a}b'"
    ] * 2


def test_many_clean_requests_take_a_line_each() -> None:
    assert len(shown(*[allowed()] * 5).splitlines()) == 5 + 3


def test_decisions_are_shown_as_they_come() -> None:
    out = io.StringIO()

    def stream() -> Iterator[Decision]:
        yield denied()
        assert "DENIED" in out.getvalue()
        yield allowed()

    text.write(stream(), out, Options())

    assert "2 requests: 1 denied, 1 allowed" in out.getvalue()


def test_an_explanation_is_shown_with_its_indentation() -> None:
    options = Options(is_single=True, explanations=lambda _: "rule a\n  branches: \x1bfalse")

    assert "  rule a\n    branches: \\u{1b}false\n" in shown(allowed(), options=options)


def test_a_claimed_decision_says_so() -> None:
    assert "claimed: " in shown(decision(claimed=True))


def test_a_waiting_request_that_would_be_denied_says_both() -> None:
    made = decision("pending", "pending", would="deny", findings=[SRE], obligations=[TWO_VOTES])

    assert shown(made).startswith("WAITING (would be denied)  ")


@pytest.mark.parametrize(
    "asked", [{}, {"subject": 3, "action": None, "resource": []}, {"resource": {"properties": {"files": 3}}}]
)
def test_a_request_of_any_shape_can_be_shown(asked: dict[str, object]) -> None:
    assert shown(decision("deny", "invalid_request", asked=asked)).startswith("DENIED (invalid request)  ? · ?")


@pytest.mark.parametrize(
    ("owed", "expected"),
    [
        pytest.param(TWO_VOTES, "approval: 1 of 2 by role sre", id="votes"),
        pytest.param(
            obligation("approval:a", properties={"role": "a", "votes": [{}, {}]}),
            "approval: 2 of 1 by role a",
            id="list",
        ),
        pytest.param(
            obligation(
                "approval:a", properties={"role": "a", "count": 2, "votes": 2, "rejected_by": ["user:b", "user:c"]}
            ),
            "approval: 2 of 2 by role a, rejected by user:b, user:c",
            id="rejected",
        ),
        pytest.param(obligation("evidence:x"), "evidence: x is missing", id="evidence"),
        pytest.param(
            obligation("evidence:x", properties={"evidence": "x", "failed": ["sha256:64b577970000aaaa"]}),
            "evidence: x failed (sha256:64b577970000)",
            id="failed",
        ),
        pytest.param(
            obligation("stage", properties={"stage": "staging", "at": "dev"}),
            "stage: staging or later, now dev",
            id="stage",
        ),
        pytest.param(
            obligation("stage:continuity", properties={"stage": "b", "target": "c", "at": "a", "why": "due"}),
            "the clock says: stage b of continuity, now a",
            id="by the clock",
        ),
        pytest.param(
            obligation("stage", mode="warn", properties={"stage": "a"}),
            "stage: a or later, now unknown (only warns)",
            id="warn",
        ),
        pytest.param(usd("1.00"), "budget: usd, 1.00 of 5.00 spent per run, 0.25 reserved", id="budget"),
        pytest.param(
            obligation(
                "budget:usd:org:day", properties={"meter": "usd", "per": "org", "window": "day", "limit": "5.00"}
            ),
            "budget: usd, at most 5.00 per org and day",
            id="budget without a counter",
        ),
        pytest.param(obligation("custom:x"), "custom: custom:x is unmet", id="of a hand-written module"),
    ],
)
def test_an_obligation_says_what_is_missing(owed: dict[str, object], expected: str) -> None:
    made = decision(obligations=[owed])

    assert wording.obligation_text(made.obligations[0]) == expected


def test_a_subject_is_called_by_its_name() -> None:
    assert wording.asked(request()).subject == "agent:fixer"
    assert wording.asked({"subject": {"type": "user", "id": "alice"}}).subject == "user:alice"


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown format 'yaml'; expected one of text, json"):
        writer_for("yaml")


@pytest.mark.parametrize("name", FORMATS)
def test_a_closed_pipe_reaches_the_caller(name: str) -> None:
    class Closed(io.StringIO):
        def write(self, _: str, /) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        writer_for(name).write([denied()], Closed(), Options())


def test_text_and_json_load_nothing_heavy() -> None:
    """Both are on the hot path of `orch evaluate`."""
    code = (
        "import sys; from orchestrator.show import writer_for; writer_for('text'); writer_for('json');"
        "print(*({'rich', 'jinja2', 'pydantic', 'yaml', 'httpx', 'hashlib', 'tempfile', 'pathlib'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)

    assert loaded.stdout.split() == []


@given(st.text("ab -\u00e9"), st.integers(5, 40), st.integers(0, 4), st.integers(0, 4))
def test_lines_break_where_textwrap_would_break_them(words: str, width: int, indent: int, hang: int) -> None:
    """Text is wrapped by hand only because importing `textwrap` takes long."""
    page = text._Page(Options(), width, is_ascii=False)
    expected = textwrap.wrap(
        words,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (hang or indent),
        break_long_words=False,
        break_on_hyphens=False,
    )

    assert expected == page.wrap(words, " " * indent, " " * hang)
