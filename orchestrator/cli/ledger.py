"""`orch ledger`: the record. Its commands lie in modules of their own, imported when they are called."""

import click

from orchestrator.cli import LazyGroup

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


@click.group(cls=LazyGroup, table=_COMMANDS)
def ledger() -> None:
    """Show, verify, anchor, export and repair the record.

    The ledger is a folder (SQLite) or postgresql://...; ORCH_LEDGER or --ledger names it.
    """
