"""`orch renew`: a countdown begun anew, by a code that is typed or by a signed file."""

import os
import sys
from typing import Any

import click

from orchestrator.errors import UsageError
from orchestrator.settings import Settings


@click.command(short_help="Begin a countdown anew, by a code or a signed file.")
@click.argument("name", nargs=-1)
@click.option(
    "--file", metavar="FILE", help="A signed renewal file, as orch code sign makes it; no code is asked then."
)
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs with the escalation; else ORCH_PACKS.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def renew(*, name: tuple[str, ...], file: str | None, output: str, **given: Any) -> None:  # noqa: ANN401  # settings by name
    """Begin the countdown NAME anew: at its first stage, with a new deadline.

    The code is asked for on the terminal and not shown, or read from standard input; never from an argument or a
    variable. Spaces, dashes and case do not count. Whatever is wrong, the answer is "not renewed" and exit code 3: a
    wrong code, a used one, or too many wrong ones before. NAME may be left out where the packs have one escalation.
    """
    from orchestrator.escalations.entry import name_in
    from orchestrator.escalations.renewing import renewing
    from orchestrator.show import renewal as show

    with renewing(Settings.load(given), name_in(name), os.environ) as going:
        renewed = going.by_file(file) if file else going.by_code(_code)
    (show.write_json if output == "json" else show.write)(renewed, sys.stdout)
    show.write_note(renewed, sys.stderr)


def _code(name: str) -> str:
    """Return what is typed on the terminal, or what standard input has."""
    from orchestrator.escalations.entry import MOST_BYTES, code_in

    if sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt(f"Renewal code of {name}", hide_input=True, err=True))
    try:
        return code_in(sys.stdin.buffer.read(MOST_BYTES) if sys.stdin is not None else b"")
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror or error}") from error
