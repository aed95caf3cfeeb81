"""`orch key`: the key that a person's votes are signed with."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from orchestrator.errors import UsageError

_FILE = click.argument("file", required=False, type=click.Path(path_type=Path))
_PASSPHRASE = click.option("--passphrase-file", metavar="FILE", help="Where the passphrase is; its first line counts.")
_ATTEMPTS = 3
_MIN_PASSPHRASE, _MAX_PASSPHRASE = 8, 1024


@click.group()
def key() -> None:
    """Make and show the key that your votes are signed with.

    FILE is a private Ed25519 key; without it, vote.key beside the operator's file is meant.
    """


@key.command(short_help="Make a key and print what belongs into the roster.")
@_FILE
@click.option("--no-passphrase", is_flag=True, help="Whoever can read the file can vote.")
@_PASSPHRASE
@click.option("--comment", default="", metavar="TEXT", help="A word that follows the public key.")
def new(*, file: Path | None, no_passphrase: bool, passphrase_file: str | None, comment: str) -> None:
    """Make a key in FILE, which must not be there, and print the public half and the line for the roster."""
    from orchestrator import keys

    target = file or keys.default_file()
    if no_passphrase and passphrase_file:
        raise UsageError("--no-passphrase and --passphrase-file are both given", advice="leave one out")
    if target.exists():
        raise UsageError(f"{str(target)!r} is there already, and a key is never written over", advice="orch key show")
    secret = None if no_passphrase else _new_passphrase(passphrase_file)
    made = keys.new_key(target, secret, comment=comment)
    click.echo(f"the private key lies in {target}; keep it to yourself", err=True)
    _print(made.public, comment)


@key.command(short_help="Print the public half and the line for the roster.")
@_FILE
@click.option("--agent", is_flag=True, help="Of the Ed25519 keys that ssh-agent holds.")
@_PASSPHRASE
def show(*, file: Path | None, agent: bool, passphrase_file: str | None) -> None:
    """Print the public half of the key in FILE, and the line for the roster."""
    from orchestrator import keys, sshagent

    if agent:
        for held in sshagent.agent_keys():
            _print(held.public, held.comment)
        return
    source = file or keys.default_file()
    _print(keys.open_key(source, passphrases_of(passphrase_file)).public, "")


def passphrases_of(file: str | None) -> Callable[[Path], Iterator[bytes]]:
    """Return what gives a key's passphrase: the first line of a file, else what is typed on the terminal, thrice."""

    def ask(locked: Path) -> Iterator[bytes]:
        if file:
            yield _first_line(file)
            return
        if not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(
                f"the key {str(locked)!r} wants a passphrase, and there is no terminal", advice="name --passphrase-file"
            )
        for attempt in range(_ATTEMPTS):
            if attempt:
                click.echo("orch: the key does not open with this passphrase; try again", err=True)
            yield str(click.prompt(f"Passphrase of {locked}", hide_input=True, err=True)).encode()

    return ask


def _new_passphrase(file: str | None) -> bytes:
    if file:
        secret = _first_line(file)
    elif sys.stdin and sys.stdin.isatty():
        secret = str(
            click.prompt("Passphrase for the new key", hide_input=True, confirmation_prompt=True, err=True)
        ).encode()
    else:
        raise UsageError(
            "there is no terminal to ask for a passphrase on", advice="name --passphrase-file, or say --no-passphrase"
        )
    if len(secret) < _MIN_PASSPHRASE:
        raise UsageError(f"a passphrase of {len(secret)} bytes; expected at least {_MIN_PASSPHRASE}")
    return secret


def _first_line(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            line = opened.readline(_MAX_PASSPHRASE + 2)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}") from error
    secret = line.rstrip(b"\r\n")
    if len(secret) > _MAX_PASSPHRASE:
        raise UsageError(
            f"the first line of {file!r} has more than {_MAX_PASSPHRASE:,} bytes; expected a passphrase",
            advice="name a file whose first line is the passphrase",
        )
    return secret


def _print(public: bytes, comment: str) -> None:
    from orchestrator import keys
    from orchestrator.show.escape import terminal

    words = terminal(comment)
    click.echo(keys.ssh_line(public, words))
    click.echo(f"\nin the roster, as a new entry:\n  {keys.roster_line(public, _subject(words))}", err=True)
    click.echo(f"or in your entry there:\n  {keys.keys_entry(public)}", err=True)


def _subject(comment: str) -> str:
    """Return whom a comment like `bob@acme.com` names."""
    login, at, _ = comment.partition("@")
    return (
        f"user:{login}" if at and login.isascii() and login.replace("-", "").replace(".", "").isalnum() else "user:you"
    )
