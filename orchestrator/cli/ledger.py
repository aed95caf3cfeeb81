"""`orch ledger`: the record. Its commands lie in modules of their own, imported when they are called."""

from importlib import import_module

import click

_COMMANDS = {
    "show": ("ledger_show", "show", "Show what was asked, decided, approved, spent and done."),
    "verify": ("ledger_heads", "verify", "Say whether the record is whole, and what that proves."),
    "heads": ("ledger_heads", "heads", "List, sign and anchor tree heads."),
    "export": ("ledger_export", "export", "Write events into one file that an auditor checks offline."),
    "verify-export": ("ledger_export", "verify_export", "Check such a file, with neither database nor network."),
    "backup": ("ledger_keep", "backup", "Copy the ledger and its artifacts into a new folder."),
    "restore": ("ledger_keep", "restore", "Make a ledger out of a backup."),
    "rebuild": ("ledger_keep", "rebuild", "Make every table that follows from events again."),
    "erase": ("ledger_keep", "erase", "Erase what an event says, or an artifact, and record that."),
    "init": ("ledger_init", "init", "Make the tables and roles of a ledger on PostgreSQL."),
}
"""Command to module, function and one line of help."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(f"orchestrator.cli.{module}"), name)
        assert isinstance(command, click.Command)  # noqa: S101  # a slip in the table above
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from orchestrator.words import did_you_mean

            raise click.UsageError(f"{error.message} {did_you_mean(args[0], _COMMANDS)}".rstrip(), ctx) from error


@click.group(cls=_LazyGroup)
def ledger() -> None:
    """Show, verify, anchor, export and repair the record.

    The ledger is a folder (SQLite) or postgresql://...; ORCH_LEDGER or --ledger names it.
    """
