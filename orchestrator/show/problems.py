"""Problems of documents, for a person, a program and GitHub. Shows; never changes an exit code."""

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import PurePath
from typing import TextIO, TypeAlias

from orchestrator.errors import Problem
from orchestrator.show.escape import github_data, github_property, json_text, terminal
from orchestrator.words import counted

_Proofs: TypeAlias = Sequence[tuple[str, str, str]]
_MIN_WIDTH = 40


def write(
    problems: Sequence[Problem],
    out: TextIO,
    output_format: str,
    *,
    subject: str,
    command: str,
    proofs: Sequence[tuple[str, str, str]] = (),
) -> None:
    """Write problems in one of FORMATS. `subject` says what was looked at: `2 packs with 17 rules`; `command` by whom.

    `proofs` is what was proven: of what, which proof, what was found. GitHub is told what is wrong alone.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    match output_format:
        case "json":
            _json(problems, out, proofs)
        case "github":
            _github(problems, out, subject, command)
        case _:
            _text(problems, out, subject, proofs)


def totals(problems: Sequence[Problem], subject: str) -> str:
    """Return one line for a person: what was looked at and how much was found."""
    warnings = sum(problem.is_warning for problem in problems)
    errors = len(problems) - warnings
    found = [counted(number, word) for number, word in ((errors, "error"), (warnings, "warning")) if number]
    return f"{subject}: {' and '.join(found) or 'ok'}" if subject else " and ".join(found)


def _text(problems: Sequence[Problem], out: TextIO, subject: str, proofs: _Proofs) -> None:
    width = _width(out)
    for proof in proofs:
        out.writelines(line + "\n" for line in _wrapped(": ".join(proof), "", width))
    for problem in problems:
        word = "warning" if problem.is_warning else "error"
        out.writelines(line + "\n" for line in _wrapped(f"{_where(problem)}: {word}: {problem.said}", "", width))
        if problem.advice:
            out.writelines(line + "\n" for line in _wrapped(problem.advice, "  ", width))
    out.write(totals(problems, subject) + "\n")


def _width(out: TextIO) -> int | None:
    """Return the columns of the terminal written to; None where it is none, and a program may look for whole lines."""
    return max(_MIN_WIDTH, shutil.get_terminal_size().columns) if out.isatty() else None


def _wrapped(text: str, indent: str, width: int | None) -> list[str]:
    said = terminal(" ".join(text.split()))
    if width is None:
        return [indent + said]
    return textwrap.wrap(
        said, width, initial_indent=indent, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _where(problem: Problem) -> str:
    return problem.file + (f":{problem.line}:{problem.column}" if problem.line else "")


def _json(problems: Sequence[Problem], out: TextIO, proofs: _Proofs) -> None:
    rows = [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "level": "warning" if problem.is_warning else "error",
            "seen": problem.seen,
            "expected": problem.expected,
            "advice": problem.advice,
        }
        for problem in problems
    ]
    said = {"ok": all(problem.is_warning for problem in problems), "problems": rows}
    if proofs:
        said["proofs"] = [{"escalation": of, "proof": name, "said": found} for of, name, found in proofs]
    out.write(json_text(said, indent=2) + "\n")


def _github(problems: Sequence[Problem], out: TextIO, subject: str, command: str) -> None:
    for problem in problems:
        level = "warning" if problem.is_warning else "error"
        place = f"file={github_property(PurePath(problem.file).as_posix())}"
        if problem.line:
            place += f",line={problem.line},col={max(1, problem.column)}"
        advice = f"\n{problem.advice}" if problem.advice else ""
        out.write(f"::{level} {place},title={command}::{github_data(problem.said + advice)}\n")
    out.write(f"orch: {totals(problems, subject)}\n")
