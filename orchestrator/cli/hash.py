"""`orch hash`: the SHA-256 of files."""

import sys

import click

from orchestrator.errors import Exit


@click.command("hash")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--file", "more", multiple=True, metavar="FILE", help="A file, as an option; may be given several times.")
@click.option("--check", "expected", metavar="DIGEST", help="Exit with 1 unless every file has this SHA-256.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def hash_(
    context: click.Context, files: tuple[str, ...], more: tuple[str, ...], expected: str | None, output: str
) -> None:
    """Print the SHA-256 of each FILE; - is standard input.

    The digest is written as rules and the ledger write it: sha256: and 64 hex digits. A symlink is followed; a folder
    is no file.
    """
    from orchestrator.checksum import checksums
    from orchestrator.show import checksum as show

    found = checksums((*files, *more), expected=expected)
    (show.write_json if output == "json" else show.write_text)(found, sys.stdout)
    context.exit(int(Exit.FAILED if any(each.is_expected is False for each in found) else Exit.OK))
