"""GitHub annotations and the job summary."""

import io
import re
from pathlib import Path

import pytest
from show_examples import decision, denied, finding, hostile, many, pending, request, waived, warned

from orchestrator.decision import Decision
from orchestrator.show import Options, github

COMMAND = re.compile(r"::(error|warning|notice) ((?:[a-z]+=[^,:]*,?)*)::(.*)")


def lines(*decisions: Decision, options: Options | None = None) -> list[str]:
    out = io.StringIO()
    github.write(decisions, out, options or Options())
    return out.getvalue().splitlines()


def commands(*decisions: Decision) -> list[str]:
    return [line.split(" ", 1)[0] for line in lines(*decisions)[:-1]]


def test_a_denial_is_an_error_on_each_changed_file() -> None:
    shown = lines(denied())[:-1]

    assert len(shown) == 7
    assert shown[0].startswith(
        "::error file=.github/workflows/build.yml,line=1,title=acme-baseline/no-ci-changes (denied)::agents"
    )


def test_what_does_not_block_is_no_error() -> None:
    assert commands(warned()) == ["::warning"]
    assert commands(waived()) == ["::warning", "::notice"]


def test_waiting_is_an_error_that_says_what_is_missing() -> None:
    (shown, _) = lines(pending())

    assert shown.startswith("::error file=infra/main.tf")
    assert "; approval: 1 of 2 by role sre%0A" in shown


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("packs/a.yaml:3", "file=packs/a.yaml,line=3,title=", id="in the repository"),
        pytest.param("/etc/orch/a.yaml:3", "title=", id="absolute"),
        pytest.param("../org/a.yaml:3", "title=", id="outside"),
        pytest.param("", "title=", id="no place"),
    ],
)
def test_without_files_the_rule_is_annotated_if_it_lies_in_the_repository(source: str, expected: str) -> None:
    shown = lines(decision("deny", "denied", findings=[finding(source=source)]))[0]

    assert shown.startswith(f"::error {expected}")


def test_ten_of_a_kind_are_printed_the_gravest_first_and_the_rest_counted() -> None:
    low = [decision("deny", "denied", findings=[finding(f"a/r{n}", severity="low")]) for n in range(50)]
    grave = decision("deny", "denied", findings=[finding("a/grave", severity="critical")])

    shown = lines(*low, grave)

    assert len(shown) == 10 + 1
    assert "title=a/grave (denied)" in shown[0]
    assert [line for line in shown if "more error" in line] == [shown[9]]
    assert shown[9].endswith("%0A(41 more errors not shown)")


def test_every_line_is_one_well_formed_command() -> None:
    for line in lines(hostile(), *many())[:-1]:
        match = COMMAND.fullmatch(line)
        assert match, line
        assert all(part.split("=")[0] in {"file", "line", "title"} for part in match[2].split(","))
        assert line.isprintable()


def test_the_job_summary_is_appended(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n", encoding="utf-8")

    lines(denied(), options=Options(summary_file=str(summary)))

    assert summary.read_text(encoding="utf-8").startswith(
        "# before\n<!-- orch:report -->\n## Policy: 1 request: 1 denied\n"
    )


def test_the_job_summary_keeps_to_its_limit(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * 500_000)
    asked = request(branch="b" * 1000)

    lines(
        *[decision("deny", "denied", asked=asked, findings=[finding()])] * 2000,
        options=Options(summary_file=str(summary)),
    )

    assert 900_000 < summary.stat().st_size <= github.SUMMARY_LIMIT_BYTES
    assert "left out: the report has reached its size limit" in summary.read_text(encoding="utf-8")


def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    shown = lines(denied(), options=Options(summary_file=str(tmp_path / "none" / "summary.md")))

    assert shown[-2].startswith("::warning title=orch::the job summary could not be written: No such file")
