"""`orch evidence`: proof that packs ask for, recorded and looked at."""

import shutil
import sys
from typing import Any

import click

from orchestrator.errors import Exit
from orchestrator.reports import FORMS, LEVELS
from orchestrator.settings import Settings

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_USUAL = 50


@click.group()
def evidence() -> None:
    """Record and show test reports, scans and other proof.

    A rule asks for evidence by its type (evidence: tests). It counts for the change, or the action, that it is about.
    """


@evidence.command(short_help="Record a report and what it says.")
@click.argument("type_", metavar="TYPE")
@click.argument("file", metavar="FILE")
@click.option("--from-git", "change", metavar="BASE..HEAD", help="The change it is about; in a CI known without.")
@click.option("--request", metavar="ID", help="The approval request or recorded decision it is about.")
@click.option("--action-digest", metavar="DIGEST", help="The action it is about, where that has no change.")
@click.option("--repo", "repository", metavar="OWNER/NAME", help="Which repository this checkout is.")
@click.option("--run", metavar="ID", help="The run that it was made in.")
@click.option("--result", type=click.Choice(["pass", "fail"]), help="What a report says that has no known form.")
@click.option("--format", "form", type=click.Choice(FORMS), help="Its form, where the content does not show it.")
@click.option("--min", "minimum", metavar="PERCENT", help="Of a coverage report: how much is enough.")
@click.option(
    "--max-level", type=click.Choice(LEVELS), default="warning", show_default=True, help="Of SARIF: what still passes."
)
@click.option("--tool", metavar="NAME", help="What made it; a newer report of the same tool takes its place.")
@click.option("--key", metavar="FILE", help="The Ed25519 public key that a statement is signed by.")
@click.option("--subject", "subjects", multiple=True, metavar="FILE", help="A file that a statement may be about.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs whose roster holds signers' keys.")
@click.option("--stated", "is_stated", is_flag=True, help="Record it whatever is checked out; it does not count.")
@click.option("--ignore-untracked", "has_untracked", is_flag=True, help="Let files lie about that git does not know.")
@click.option("--check", is_flag=True, help="Exit with 1 where the result is fail.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@_LEDGER
@_OUTPUT
@click.pass_context
def add(context: click.Context, /, type_: str, output: str, *, check: bool, **given: Any) -> None:  # noqa: ANN401  # click's
    """Record what the report in FILE (- for standard input) says, as evidence of TYPE.

    JUnit, TAP, Cobertura, coverage.py, LCOV, SARIF and in-toto are read, and their result is found there; of any other
    file --result says it. A report is about what is checked out: that must be the end of the change, without changes
    that are not committed. A failure is recorded, too, and outdates an earlier pass of the same type and tool.
    """
    from orchestrator.about import Asked
    from orchestrator.ledger.open import open_ledger
    from orchestrator.proof import add as recorded
    from orchestrator.show import evidence as show

    settings = Settings.load({name: given.pop(name) for name in ("ledger", "repository", "run", "packs", "config")})
    with open_ledger(settings.ledger) as opened:
        added = recorded(opened, Asked(type_, **given), settings)
    (show.write_json if output == "json" else show.write_added)(added, sys.stdout)
    context.exit(int(Exit.FAILED if check and not added.is_pass else Exit.OK))


@evidence.command("list", short_help="Show what was recorded, newest first.")
@click.option("--run", metavar="ID", help="Made in this run.")
@click.option("--repo", "repository", metavar="OWNER/NAME", help="Of this repository.")
@click.option("--type", "kind", metavar="TYPE", help="Of this type.")
@click.option("--change", metavar="DIGEST", help="About this change: its digest, or how that begins.")
@click.option(
    "-n", "--number", type=click.IntRange(min=0), default=_USUAL, show_default=True, help="So many; 0 for all."
)
@_LEDGER
@_OUTPUT
def listing(*, kind: str | None, number: int, ledger: str | None, output: str, **filters: str | None) -> None:
    """Show the evidence that was recorded, newest first."""
    from orchestrator.evidence import listed
    from orchestrator.ledger.open import open_ledger
    from orchestrator.show import evidence as show

    place = Settings.load({"ledger": ledger}).ledger
    with open_ledger(place, must_exist=True) as opened, opened.store.reading() as connection:
        rows = listed(connection, limit=number, type=kind, **filters)
    if output == "json":
        show.write_json(rows, sys.stdout)
    else:
        show.write_table(rows, sys.stdout, shutil.get_terminal_size((100, 24)).columns)


@evidence.command(short_help="Show one piece of evidence, or its report.")
@click.argument("name", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the report itself, byte for byte as it was stored.")
@_LEDGER
@_OUTPUT
def show(name: str, *, raw: bool, ledger: str | None, output: str) -> None:
    """Show the evidence whose id begins with ID; -o json has its digests whole.

    Its report is looked at when it is written, and must be unchanged.
    """
    from orchestrator.evidence import find
    from orchestrator.ledger.open import open_ledger
    from orchestrator.show import evidence as show

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        with opened.store.reading() as connection:
            found = find(connection, name)
        if raw:
            from orchestrator.ledger import artifacts

            sys.stdout.buffer.write(artifacts.open(opened, found.artifact))
            return
    if output == "json":
        show.write_json(found, sys.stdout)
    else:
        show.write_one(found, sys.stdout, shutil.get_terminal_size((80, 24)).columns)
