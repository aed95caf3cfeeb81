"""`orch run`, `orch resume` and `orch cancel`: plans and jobs are carried out, gone on with, and ended."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.errors import Exit, UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runs.foreground import Begin
    from orchestrator.runs.start import Asked, Settled, Source
    from orchestrator.runs.state import Snapshot

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_PACKS = click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="The organisation's packs; else ORCH_PACKS.")
_CONFIG = click.option("--config", metavar="FILE", help="Another operator's file.")
_CONCURRENCY = click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="How many phases run at a time."
)
_WAIT = click.option("--wait", "waits", is_flag=True, help="Stay while the run waits, and go on when it can.")
_DETACH = click.option("--detach", "is_detached", is_flag=True, help="Leave it to the workers.")
_ROOT = click.option("--root", metavar="DIR", help="The folder of the run's files; else the job's, or the current one.")
_SAME_ROOT = click.option("--root", metavar="DIR", help="The folder of the run's files; else where it was begun.")
_FORM = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="With jsonl each change is a line on standard output.",
)
_MODES = click.Choice(["automated", "manual", "dry-run"])


@click.command(short_help="Carry out a plan or a job.")
@click.argument("what", metavar="PLAN|JOB")
@click.option("--mode", type=_MODES, default="automated", show_default=True, help="Who opens the gates of phases.")
@click.option(
    "--input", "inputs", multiple=True, type=TEXT, metavar="NAME=VALUE", help="An input of the plan. May be repeated."
)
@click.option("--run", "run_id", type=TEXT, metavar="ID", help="The run's id; else one is drawn.")
@click.option("--resume", "is_resumed", is_flag=True, help="Go on with its newest run that has not ended.")
@_DETACH
@_WAIT
@_ROOT
@click.option("--repo", "repository", metavar="OWNER/NAME", help="Which repository it is about.")
@click.option("--session", metavar="ID", help="Runs of one session have common budgets.")
@click.option("--run-pack", "run_packs", multiple=True, metavar="FILE", help="A pack for this run, which only narrows.")
@_CONCURRENCY
@_PACKS
@_CONFIG
@_LEDGER
@_FORM
@click.pass_context
def run(context: click.Context, /, what: str, mode: str, inputs: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401  # click's
    """Carry out the plan in a file, or a job of the operator's file, until it ends or waits.

    Every action is decided by the packs first. Where approvals are missing, the run waits without a process:
    `orch approve` opens it, and a worker or `orch resume` goes on. Ctrl-C stops after the steps under way; the run can
    be resumed. With --mode dry-run nothing is done, recorded or written: it tells what each step would be decided.

    Exit code: 0 done, 1 failed, 3 denied, 4 waiting, 5 a budget is spent, 6 undecidable, 7 something is not configured,
    130 interrupted or cancelled.
    """
    from orchestrator.runs import start

    manner = {name: given.pop(name) for name in ("is_detached", "waits", "concurrency", "output", "is_resumed")}
    root, run_id = given.pop("root"), given.pop("run_id")
    settings = Settings.load(given)
    asked = start.Asked(what, _pairs(inputs), mode, Path(root) if root else None, run_id)
    source = start.source_of(asked, settings)
    if mode == "dry-run":
        context.exit(_rehearse(source, asked, settings, manner["output"]))
    seen = _carry_out(source, asked, settings, manner)
    context.exit(seen.exit_code if seen is not None and seen.exit_code is not None else Exit.OK)


@click.command(short_help="Go on with a run that waits or was interrupted.")
@click.argument("run_id", type=TEXT, metavar="RUN")
@click.option("--delivered", type=TEXT, metavar="STEP", help="Say that this step, of which nobody knows, was done.")
@click.option(
    "--resend", type=TEXT, metavar="STEP", help="Say that this step, of which nobody knows, is to be done again."
)
@_DETACH
@_WAIT
@_SAME_ROOT
@_CONCURRENCY
@_PACKS
@_CONFIG
@_LEDGER
@_FORM
@click.pass_context
def resume(
    context: click.Context,
    /,
    run_id: str,
    delivered: str | None,
    resend: str | None,
    root: str | None,
    **given: Any,  # noqa: ANN401  # click's
) -> None:
    """Go on with the run RUN, an id or how it begins, where it stands: what is done stays done.

    A step may have ended unknown: it may have happened. Look where it would have; then say --delivered or --resend.
    STEP is its name as `orch runs RUN` shows it, with or without its phase, or the first 8 characters of its key.
    The exit code is that of orch run.
    """
    from orchestrator.adapter import Delivery
    from orchestrator.runs import foreground, start

    if delivered and resend:
        raise UsageError("--delivered and --resend at once", advice="say one, and then resume again for the other")
    manner = {name: given.pop(name) for name in ("is_detached", "waits", "concurrency", "output")}
    settings = Settings.load(given)
    run_id = start.whole_id(settings, run_id)
    if step := delivered or resend:
        state = Delivery.DELIVERED if delivered else Delivery.RETRYABLE
        settled = start.settle_unknown(settings, run_id, step, state)
        if not settled.has_plan:
            _tell_settled(settled, run_id, state, is_aside=manner["output"] != "text")
            return
    how = foreground.Manner(manner["concurrency"], _folder(root), manner["waits"], start.asker_of(settings))
    seen = _go(settings, run_id, how, manner)
    context.exit(seen.exit_code if seen is not None and seen.exit_code is not None else Exit.OK)


@click.command(short_help="End a run before its next step.")
@click.argument("run_id", type=TEXT, metavar="RUN")
@click.option("--reason", default="", type=TEXT, metavar="TEXT", help="Why; it is recorded.")
@_SAME_ROOT
@_PACKS
@_CONFIG
@_LEDGER
def cancel(*, run_id: str, reason: str, root: str | None, **given: Any) -> None:  # noqa: ANN401  # click's
    """End the run RUN, an id or how it begins, before its next action. A step under way is finished, or ended.

    Where the plan asks for it, what was done is undone.
    """
    from orchestrator.runs import foreground, start
    from orchestrator.show.escape import terminal

    settings = Settings.load(given)
    run_id = start.whole_id(settings, run_id)
    how = foreground.Manner(root=_folder(root), by=start.asker_of(settings))
    state = foreground.cancel(settings, run_id, how, reason)
    click.echo(terminal(f"run {run_id} {state}"))


def _tell_settled(settled: "Settled", run_id: str, state: str, *, is_aside: bool) -> None:
    """Say what was recorded of an action of `orch act --run` or of an escalation: no run that is gone on with here."""
    from orchestrator.show.escape import terminal

    click.echo(terminal(f"recorded: {settled.name} ({settled.action}) of run {run_id}: {state}"), err=is_aside)
    if settled.is_tick:
        click.echo("  next: the next tick goes on with it", err=is_aside)
    elif state == "retryable":
        again = f"orch act {settled.action} ... --run {run_id} --key {settled.name}"
        click.echo(terminal(f"  next: the same command does it: {again}"), err=is_aside)


def _pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in inputs:
        name, equals, value = one.partition("=")
        if not (name and equals) or name in pairs:
            wrong = "is given twice" if name in pairs else "has no form NAME=VALUE"
            raise UsageError(f"--input {one!r:.80} {wrong}", advice="for example --input env=dev")
        pairs[name] = value
    return pairs


def _folder(root: str | None) -> Path | None:
    if root is None:
        return None
    folder = Path(root)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {root!r:.200} for the run's files", advice="name it with --root")
    return folder.resolve()


def _rehearse(source: "Source", asked: "Asked", settings: Settings, output: str) -> int:
    from orchestrator.runs import start
    from orchestrator.show import rehearsal as show

    rehearsal = start.rehearsed(source, asked, settings)
    if output == "text":
        show.write(rehearsal, sys.stdout)
    else:
        click.echo(json.dumps(rehearsal.to_json()))
    return rehearsal.exit_code


def _carry_out(source: "Source", asked: "Asked", settings: Settings, manner: dict[str, Any]) -> "Snapshot | None":
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs import foreground, start
    from orchestrator.show.escape import terminal

    how = foreground.Manner(manner["concurrency"], source.root if asked.root else None, manner["waits"])
    if manner["is_resumed"]:
        with open_ledger(settings.ledger, must_exist=True) as ledger:
            found = start.unfinished(ledger, source, asked)
        if found.is_other_plan:
            said = f"run {found.run_id} goes on with the plan as it was when it began; the file is another one now"
            click.echo(terminal(f"note: {said}"), err=True)
        return _go(settings, found.run_id, how._replace(by=start.asker_of(settings)), manner)
    return _go(settings, start.prepared(source, asked, settings), how, manner)


def _go(settings: Settings, run: "str | Begin", how: Any, manner: dict[str, Any]) -> "Snapshot | None":  # noqa: ANN401  # foreground.Manner
    from orchestrator.runs import foreground
    from orchestrator.runs.progress import Progress
    from orchestrator.show import outcome
    from orchestrator.show.escape import terminal

    if manner["is_detached"]:
        run_id = foreground.detach(settings, run, how)
        click.echo(terminal(f"run {run_id} is left to the workers"))
        return None
    is_text = manner["output"] == "text"
    stream = sys.stderr if is_text else sys.stdout
    with Progress(stream, is_text and stream.isatty()) as progress:

        def note(of: str, about: str, why: str) -> None:
            progress.note(of, about, why)
            if not is_text:  # else it stands on standard error already
                click.echo(terminal(f"note: {about}: {why}"), err=True)

        sight = foreground.Sight(progress.show, lambda said: click.echo(terminal(f"orch: {said}"), err=True), note)
        seen = foreground.carry_out(settings, run, how, sight)
    if is_text:
        outcome.write(seen, sys.stdout)
    return seen
