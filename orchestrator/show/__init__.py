"""What people and machines see of decisions: one format, one module, loaded only when it is asked for.

Last of the library's stages. Shows; never decides, and never changes an exit code. Everything that came from outside is
escaped for where it goes (`orchestrator.show.escape`). A closed pipe reaches the caller as `BrokenPipeError`.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import NamedTuple, Protocol, TextIO, cast

from orchestrator.decision import Decision
from orchestrator.errors import UsageError

_MODULE_OF = {
    "text": "text",
    "json": "json_",
    "jsonl": "jsonl",
    "github": "github",
    "sarif": "sarif",
    "junit": "junit",
    "tap": "tap",
    "markdown": "markdown",
}

FORMATS: tuple[str, ...] = tuple(_MODULE_OF)
"""Every name that `-o` takes, in the order help shows them."""


class Options(NamedTuple):
    """How decisions are to be shown. Nothing here changes what was decided."""

    all_paths: bool = False
    """Show every path a finding carries, not only the first few."""
    color: bool = False
    """Use ANSI colours (text only)."""
    width: int = 80
    """Columns of the terminal (text only)."""
    is_single: bool = False
    """Exactly one request was asked: JSON is then an object, and text leaves out the totals."""
    summary_file: str | None = None
    """Where the GitHub format appends its job summary: the value of `GITHUB_STEP_SUMMARY`."""
    explanations: Callable[[Decision], str] | None = None
    """Gives the text of `--explain` for a decision (text only); lines as they are to be shown, unescaped."""
    policy_digest: str = ""
    """Named in totals when no decision says which policy judged."""
    version: str = "0"
    """The version of `orch`, for formats that name their producer."""


class Writer(Protocol):
    """A format."""

    def write(self, decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
        """Write all of `decisions`, read once and in order, to `out`, which is UTF-8 for every format but text."""


def writer_for(name: str) -> Writer:
    """Return the format called `name`, importing its module only now.

    Raises:
        UsageError: there is no such format.
    """
    if name not in _MODULE_OF:
        raise UsageError(
            f"unknown format {name!r}; expected one of {', '.join(FORMATS)}", advice="orch evaluate --help"
        )
    return cast("Writer", import_module(f"orchestrator.show.{_MODULE_OF[name]}"))


__all__ = ["FORMATS", "Options", "Writer", "writer_for"]
