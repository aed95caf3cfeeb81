"""The command line: each command parses, calls the library, shows and exits. The one broad catch is here."""

import gc
import os
import sys
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGTERM, default_int_handler, getsignal, signal  # type: ignore[import-not-found,unused-ignore]
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from orchestrator import __version__
from orchestrator.errors import Exit, OrchError, UsageError

_COMMANDS = {
    "evaluate": ("evaluate", "evaluate", "Ask what the packs say to an action; do nothing."),
    "act": ("act", "act", "Do one action, if the packs permit it."),
    "run": ("run", "run", "Carry out a plan or a job."),
    "resume": ("run", "resume", "Go on with a run that waits or was interrupted."),
    "cancel": ("run", "cancel", "End a run before its next step."),
    "runs": ("runs", "runs", "Show runs, their phases, and what they wait for."),
    "worker": ("worker", "worker", "Carry out queued runs until it is stopped."),
    "tick": ("tick", "tick", "Let escalations go on by the clock."),
    "status": ("status", "status", "Show where escalations stand, and what comes next."),
    "set-deadline": ("control", "set_deadline", "Set when an escalation ends, or begin it."),
    "renew": ("renew", "renew", "Begin a countdown anew, by a code or a signed file."),
    "code": ("code", "code", "Make the codes that renew a countdown; sign renewal files."),
    "reset": ("control", "reset", "Begin an escalation anew at its first stage."),
    "arm": ("control", "arm", "Let the deadline of an escalation count."),
    "disarm": ("control", "disarm", "Let no deadline of an escalation count."),
    "trigger": ("control", "trigger", "Release an escalation by hand, after a delay."),
    "simulate": ("simulate", "simulate", "Show what the ticks of an escalation would do."),
    "drill": ("drill", "drill", "Rehearse an escalation; all messages go to the operator."),
    "plan": ("plan", "plan", "Check, show, make and import plans."),
    "jobs": ("jobs", "jobs", "Show the jobs of the operator's file."),
    "policy": ("policy", "policy", "Validate, test, build, sign and scaffold packs."),
    "approvals": ("approvals", "approvals", "Show what waits for whose approval."),
    "approve": ("approvals", "approve", "Vote for a request, with your key."),
    "reject": ("approvals", "reject", "Vote against a request, with your key."),
    "revoke": ("approvals", "revoke", "Take a vote back, while the action has not started."),
    "evidence": ("evidence", "evidence", "Record test reports, scans and other proof."),
    "budget": ("budget", "budget", "Show limits and what was spent; reserve and settle."),
    "ledger": ("ledger", "ledger", "Show, verify, anchor, export and repair the record."),
    "key": ("key", "key", "Make and show the key that your votes are signed with."),
    "metrics": ("metrics", "metrics", "Print metrics in the Prometheus text format."),
    "hash": ("hash", "hash_", "Print the SHA-256 of files."),
    "sidecar": ("sidecar", "sidecar", "Look at and stop the OPA processes that answer."),
    "doctor": ("doctor", "doctor", "Say what this installation found, and how to mend it."),
}
"""Command to module, function and one line of help: so that `orch --help` imports none of them."""
_CODED = frozenset({
    "tick", "status", "set-deadline", "renew", "code", "reset", "arm", "disarm", "trigger", "simulate", "drill",
})  # fmt: skip
"""Commands near which somebody may type a renewal code: no argument may be one, and none is repeated."""


class LazyGroup(click.Group):
    """Commands that are imported when they are called; `table` is command to module, function and one line of help."""

    def __init__(self, *given: Any, table: Mapping[str, tuple[str, str, str]], **more: Any) -> None:  # noqa: ANN401  # click's
        super().__init__(*given, **more)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands' names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Return a command, imported now; None where there is none."""
        if cmd_name not in self.table:
            return None
        module, name, _ = self.table[cmd_name]
        command = getattr(import_module(f"orchestrator.cli.{module}"), name)
        assert isinstance(command, click.Command)  # noqa: S101  # a slip in the table above
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Write the table's lines of help; nothing is imported for them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what is called; an unknown name is told with the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from orchestrator.words import near_miss

            message = error.message.rstrip(".") + near_miss(args[0], self.table)
            raise click.UsageError(message, ctx) from error


@click.group(cls=LazyGroup, table=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="orch")
@click.option("-v", "--verbose", count=True, help="As -vv: add the traceback to an error.")
@click.pass_context
def orch(context: click.Context, /, **_: object) -> None:
    """Decide by policy what agents, CI jobs and scheduled jobs may do for people, and do it."""
    if sys.stdout is None and context.invoked_subcommand != "evaluate":  # which can write to files alone
        raise UsageError("standard output is closed; nothing was done", advice="open it, or send it to /dev/null")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with a reserved code."""
    _take_signals()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if _is_coded(given):
            from orchestrator.escalations.entry import refuse_among

            refuse_among(given)
        code = orch.main(given, prog_name="orch", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Abort:
        _say("interrupted")
        code = Exit.INTERRUPTED
    except KeyboardInterrupt:
        _say("interrupted")
        code = Exit.INTERRUPTED
    except click.ClickException as error:
        _show(error, given)
        code = Exit.USAGE
    except BrokenPipeError:
        code = _end_stdout()
    except OSError as error:
        _say(f"cannot write the answer: {error.strerror or error}")
        code = _end_stdout()
    except OrchError as error:
        code = _report(error, given)
    except Exception as error:  # noqa: BLE001  # the one broad catch: nobody meets a traceback unasked
        code = _report(error, given)
    gc.freeze()  # else the interpreter looks through everything for cycles on its way out, which takes 6 ms
    sys.exit(int(code or 0))


def _take_signals() -> None:
    """Let every way of asking this process to end be as Ctrl-C, so that what was begun is told first."""
    signal(SIGINT, default_int_handler)
    for number in (SIGTERM, SIGHUP):
        if getsignal(number) == SIG_DFL:  # `nohup` ignores one
            signal(number, default_int_handler)


def _end_stdout() -> Exit:
    """Whoever read stdout has gone, or its disk is full; the answer was not delivered, so this is no success."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED


def _report(error: Exception, arguments: Sequence[str]) -> Exit:
    if "-vv" in arguments:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OrchError):
        _say(_unsaid(str(error), arguments))
        if error.advice:
            _say(_unsaid(error.advice, arguments), prefix="  next: ")
        return error.exit_code
    _say(_unsaid(f"unexpected {type(error).__name__}: {error}", arguments))
    _say("run again with `orch -vv ...` and report what it prints", prefix="  next: ")
    return Exit.UNDECIDABLE if arguments[:1] == ["evaluate"] else Exit.FAILED


def _show(error: click.ClickException, arguments: Sequence[str]) -> None:
    """Write what click says of a call that is none, as click does."""
    said = _unsaid(error.format_message(), arguments)
    if said == error.format_message():
        error.show()
    else:
        click.echo(f"Error: {said}", err=True)


def _is_coded(arguments: Sequence[str]) -> bool:
    return next((word for word in arguments if not word.startswith("-")), "") in _CODED


def _unsaid(text: str, arguments: Sequence[str]) -> str:
    """Return what is said of an error, of a command that has to do with escalations without what may be a code."""
    if not _is_coded(arguments):
        return text
    from orchestrator.escalations.entry import hidden

    return hidden(text)


def _say(text: str, *, prefix: str = "orch: ") -> None:
    from orchestrator.ledger.mask import Mask
    from orchestrator.show.escape import terminal

    for line in Mask.of(os.environ).text(text).splitlines() or [""]:
        click.echo(prefix + terminal(line), err=True)
