"""`orch ledger export` and `verify-export`: events for an auditor, in one file."""

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.settings import Settings

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")


@click.command(short_help="Write events into one file that an auditor checks offline.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only of this run. May be repeated.")
@click.option("--repo", "repository", default="", metavar="OWNER/NAME", help="Only of this repository.")
@click.option("--type", "kind", default="", metavar="TYPE", help="Only of this type: decision, approval, ...")
@click.option("--actor", default="", metavar="TYPE:ID", help="Only by this subject.")
@click.option("--since", metavar="TIME", help="Only from then on: 2026-11-21, or 90s, 2h, 3d ago.")
@click.option("--until", metavar="TIME", help="Only before then.")
@click.option("--headers-only", is_flag=True, help="Leave payloads out, and with them all that people wrote.")
@click.option("--artifacts", is_flag=True, help="Put the artifacts in, too: test reports and the like.")
@click.option("--no-sign", is_flag=True, help="Take the last signed head instead of signing one over everything.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_LEDGER
def export(file: Path, output: str, ledger: str | None, **given: Any) -> None:  # noqa: ANN401  # filters
    """Write every event, or some with their proofs, into the new FILE: a tar that `orch ledger verify-export` checks.

    A copy of the verifier is in it, for reading. The auditor should get verifier and key from you on another way.
    """
    from orchestrator import clock
    from orchestrator.ledger import offline
    from orchestrator.ledger.export import Options
    from orchestrator.ledger.export import export as write
    from orchestrator.ledger.open import open_ledger
    from orchestrator.ledger.read import Filter, since_text

    now = clock.now_ns()
    wanted = Filter(
        repository=given["repository"],
        type=given["kind"],
        actor=given["actor"],
        since_ns=since_text(given["since"], now) if given["since"] else None,
        until_ns=since_text(given["until"], now) if given["until"] else None,
    )
    options = Options(wanted, given["runs"], given["headers_only"], given["artifacts"], signs=not given["no_sign"])
    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        done = write(opened, file, options)
    if output == "json":
        from orchestrator.show.escape import json_text

        said = {name: value for name, value in done._asdict().items() if name != "head"}
        click.echo(json_text({**said, "head": done.head.note}, indent=2))
        return
    which = f"all {done.events:,}" if done.is_whole else f"{done.events:,} of {done.head.size:,}"
    size = f"{offline.many(done.artifacts, 'artifact')}; {done.size_bytes:,} bytes"
    click.echo(f"{which} events; {size}")
    click.echo(f"key {done.key}")
    if done.unanchored:
        click.echo(f"{done.unanchored:,} events are not in it: no signed head covers them yet", err=True)


@click.command("verify-export", short_help="Check such a file, with neither database nor network.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", metavar="KEY", help="What signs the ledger's heads, or a file with it; else this machine's own.")
@click.option("--head", metavar="FILE", type=click.Path(path_type=Path), help="A head that was kept: of `heads show`.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_LEDGER
@click.pass_context
def verify_export(
    context: click.Context, /, *, file: Path, key: str | None, head: Path | None, output: str, ledger: str | None
) -> None:
    """Check an export: exit 0 verified, 1 not what was signed, 6 cannot tell.

    It cannot tell who signed without a key. Where none is given, the key of the ledger on this machine is taken.
    """
    from orchestrator.ledger import offline

    report = offline.check(file, key or _own_key(ledger), _read(head) if head else None)
    if output == "json":
        from orchestrator.show.escape import json_text

        click.echo(json_text({"exit": report.exit_code, **report._asdict()}, indent=2))
    else:
        sys.stdout.write(offline.report_text(report))
    context.exit(report.exit_code)


def _own_key(place: str | None) -> str | None:
    """Return the key that this machine's ledger knows as its own, if there is one."""
    from orchestrator.errors import OrchError
    from orchestrator.ledger.open import open_ledger
    from orchestrator.ledger.signer import recorded

    try:
        with (
            open_ledger(Settings.load({"ledger": place}).ledger, must_exist=True) as opened,
            opened.store.reading() as connection,
        ):
            return recorded(connection) or None
    except OrchError:
        return None


def _read(file: Path) -> str:
    from orchestrator.errors import UsageError

    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{str(file)!r} cannot be read: {error.strerror}", advice="name a file with a tree head"
        ) from error
