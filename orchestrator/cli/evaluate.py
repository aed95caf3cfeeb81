"""`orch evaluate`: ask what the packs say. The hot path of the command line: no YAML, pydantic or rich on the way."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TextIO

import click

from orchestrator import __version__
from orchestrator.choices import Mode, Point
from orchestrator.decision import Decision, worst
from orchestrator.errors import Exit, UsageError
from orchestrator.evaluate import Asked, Evaluation
from orchestrator.evaluate import evaluate as decided
from orchestrator.request import Flags
from orchestrator.settings import Settings
from orchestrator.show import FORMATS, Options, writer_for

_PROGRESS_S = 0.5
_COLUMNS = 100
"""The width where there is no terminal."""


@click.command(short_help="Ask what the packs say to an action; do nothing.")
@click.argument("source", required=False, metavar="[FILE|-]")
@click.option("--action", metavar="NAME", help="What is to be done: open_pr, push_branch, call_tool, ...")
@click.option("--subject", metavar="TYPE:ID", help="Who wants it; else whoever runs this.")
@click.option("--repo", metavar="OWNER/NAME", help="Which repository this is about, and this checkout is.")
@click.option("--branch", metavar="NAME", help="The branch that would change; of a pull request, its base.")
@click.option("--head-branch", metavar="NAME", help="The branch that the change comes from.")
@click.option("--file", "files", multiple=True, metavar="PATH", help="A file that would change. May be repeated.")
@click.option(
    "--files-from", metavar="FILE", help="A file that lists them, one a line, or ended by NUL; - reads stdin."
)
@click.option("--from-git", "change", metavar="BASE..HEAD", help="Read the change from git, from the merge base on.")
@click.option("--tool", metavar="SERVER:TOOL", help="The tool of a call_tool.")
@click.option("--resource", metavar="TYPE:ID", help="Anything else that is acted on.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="An argument; k:=JSON for other than text.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs of the organisation. May be repeated.")
@click.option("--run-pack", "run_packs", multiple=True, metavar="FILE", help="A pack of this run; it only narrows.")
@click.option("--facts", metavar="FILE", help="Facts for a trial, JSON or YAML; the decision is then claimed.")
@click.option(
    "--point", type=click.Choice([point.value for point in Point]), help="Where it is enforced; else run, in a CI ci."
)
@click.option("--run", metavar="ID", help="The run that this belongs to: its budgets count, its debts are due.")
@click.option("--session", metavar="ID", help="The session of a run that begins here: runs with common budgets.")
@click.option("--ledger", metavar="PLACE", help="Where it is recorded: a folder or postgresql://...; else ORCH_LEDGER.")
@click.option("--no-record", is_flag=True, help="Record nothing, and know no approval; refused at tick and agent.")
@click.option("--enforce", is_flag=True, help="Every pack enforces.")
@click.option("--warn-only", is_flag=True, help="Every pack only warns.")
@click.option("--now", metavar="TIME", help="Decide as of this time, RFC 3339.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help=f"One of {', '.join(FORMATS)}. May be repeated.",
)
@click.option("--explain", is_flag=True, help="Say for each candidate rule which selector decided.")
@click.option("--all-paths", is_flag=True, help="Name every file of a finding instead of the first.")
@click.option("--one-shot", is_flag=True, help="Start OPA for this call alone and leave no sidecar behind.")
@click.option("--opa-url", metavar="URL", help="Ask this OPA server instead; its token comes from ORCH_OPA_TOKEN.")
@click.option("--opa-ca", "opa_ca_file", metavar="FILE", help="Certificates that the server is trusted by.")
@click.option("--verification-key", metavar="FILE", help="The public key that a bundle must be signed by.")
@click.option("--deadline", "deadline_s", metavar="SECONDS", help="How long one answer may take.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.pass_context
def evaluate(context: click.Context, /, **given: Any) -> None:  # noqa: ANN401  # click's parameters, typed below
    """Ask what the packs say to an action, and do nothing.

    The request comes from FILE or standard input (a JSON object, an array, or JSON Lines of any length), or from
    flags. In a CI, without either, a pull request is asked for as open_pr onto its base. The exit code follows the
    outcome: 0 allowed or only warned, 3 denied, 4 waiting, 5 budget spent, 6 undecidable.
    """
    settings = Settings.load({name: given[name] for name in _SETTINGS} | {"repository": given["repo"]})
    outputs = [_output(text) for text in given["outputs"]] or [(settings.output_format or "text", None)]
    evaluation = decided(_asked(given, settings), settings)
    for note in evaluation.notes:
        click.echo(f"orch: note: {_masked(note)}", err=True)
    with ExitStack() as files:
        code = _show(evaluation, outputs, settings, files)
    context.exit(int(code))


_SETTINGS = (
    "packs", "run_packs", "point", "opa_url", "opa_ca_file", "verification_key", "deadline_s", "config", "explain",
    "all_paths", "run", "session", "ledger",
)  # fmt: skip


_DESCRIBING = {
    "action": "--action",
    "subject": "--subject",
    "branch": "--branch",
    "head_branch": "--head-branch",
    "files": "--file",
    "files_from": "--files-from",
    "tool": "--tool",
    "resource": "--resource",
    "arguments": "--arg",
}


def _asked(given: dict[str, Any], settings: Settings) -> Asked:
    described = [flag for name, flag in _DESCRIBING.items() if given[name]]
    if given["source"] is not None and described:
        raise UsageError(
            f"a file of requests and {described[0]} are both given", advice="describe the request in one place"
        )
    if not given["action"] and described:
        raise UsageError(f"{described[0]} describes a request without an action", advice="add --action")
    flags = None
    if given["action"]:
        flags = Flags(
            given["action"],
            given["subject"] or "",
            repository=given["repo"],
            branch=given["branch"],
            head_branch=given["head_branch"],
            files=given["files"] or None,
            tool=given["tool"],
            resource=given["resource"],
            arguments=given["arguments"],
        )
    return Asked(
        source=given["source"],
        flags=flags,
        files_from=given["files_from"],
        change=given["change"],
        facts=given["facts"],
        now=given["now"],
        override=_override(enforce=given["enforce"], warn_only=given["warn_only"]),
        all_paths=settings.all_paths,
        one_shot=given["one_shot"],
        is_recorded=not given["no_record"],
    )


def _masked(text: str) -> str:
    from orchestrator.ledger.mask import Mask

    return Mask.of(os.environ).text(text)


def _override(*, enforce: bool, warn_only: bool) -> Mode | None:
    if enforce and warn_only:
        raise UsageError("--enforce and --warn-only are both given", advice="leave one out")
    return Mode.ENFORCE if enforce else Mode.WARN if warn_only else None


def _output(text: str) -> tuple[str, str | None]:
    name, found, file = text.partition("=")
    writer_for(name)
    if found and not file:
        raise UsageError(f"-o {text} names no file", advice=f"-o {name}=report.{name}")
    return name, file or None


def _show(evaluation: Evaluation, outputs: list[tuple[str, str | None]], settings: Settings, files: ExitStack) -> Exit:
    """Write every format asked for from one pass over the decisions, and return the exit code."""
    code = [Exit.OK]

    def noted() -> Iterator[Decision]:
        with _Progress(is_wanted=not evaluation.is_single) as progress:
            for decision in evaluation.decisions:
                code[0] = worst(code[0], decision.exit_code)
                progress.count()
                yield decision

    # Text comes first: only the pass that asks can explain.
    targets = [(name, _target(file, name, files)) for name, file in sorted(outputs, key=lambda one: one[0] != "text")]
    streams = iter([noted()])
    if len(targets) > 1:
        from orchestrator.show.spool import Spool, replayed

        streams = replayed(noted(), len(targets), files.enter_context(Spool()))
    for (name, target), stream in zip(targets, streams, strict=True):
        writer_for(name).write(stream, target, _options(evaluation, settings, target))
        target.flush()
    return code[0]


def _target(file: str | None, name: str, files: ExitStack) -> TextIO:
    if file is None:
        if sys.stdout is None:
            raise UsageError("standard output is closed", advice="open it, or write to a file: -o json=FILE")
        if name != "text" and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        return sys.stdout
    try:
        return files.enter_context(Path(file).open("w", encoding="utf-8", errors="backslashreplace"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {file!r}: {getattr(error, 'strerror', None) or error}") from error


def _options(evaluation: Evaluation, settings: Settings, target: TextIO) -> Options:
    is_terminal = target.isatty()
    return Options(
        all_paths=settings.all_paths,
        color=is_terminal and "NO_COLOR" not in os.environ,
        width=_columns(),
        is_single=evaluation.is_single,
        summary_file=os.environ.get("GITHUB_STEP_SUMMARY") or None,
        explanations=evaluation.explanations if settings.explain else None,
        version=__version__,
    )


def _columns() -> int:
    """Return the width of the terminal, as `shutil.get_terminal_size` gives it; that module is slow to import."""
    try:
        if (columns := int(os.environ.get("COLUMNS", ""))) > 0:
            return columns
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _COLUMNS
    except (AttributeError, ValueError, OSError):  # it is closed, or no terminal
        return _COLUMNS


class _Progress:
    """How far a long stream has come, on stderr where that is a terminal."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted and sys.stderr.isatty()
        self._count = 0
        self._shown_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_wanted:
            click.echo("\r\x1b[K", err=True, nl=False)

    def count(self) -> None:
        self._count += 1
        now = time.monotonic()
        if self._is_wanted and now - self._shown_s > _PROGRESS_S:
            self._shown_s = now
            click.echo(f"\r\x1b[K{self._count:,} decided", err=True, nl=False)
