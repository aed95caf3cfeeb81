"""Standard output as the answer of a command that goes on with what it does, whoever still reads it."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

import click


class Answer:
    """Where an answer is written. Once that fails nothing more is written, and nothing else ends."""

    def __init__(self) -> None:
        self.has_failed = False

    def write(self, write: Callable[[], object]) -> None:
        """Write a part of it; where that cannot be, say so once, on standard error."""
        if self.has_failed:
            return
        try:
            write()
            sys.stdout.flush()
        except OSError as error:
            self.has_failed = True
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            with suppress(OSError):
                click.echo(f"orch: cannot write the answer: {error.strerror or error}; going on without", err=True)
