"""Text for people out of the templates that we ship: Markdown in which nothing from outside becomes markup.

Whatever a template prints is escaped, unless a filter of ours made it ready. A template cannot reach into Python.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import place
from orchestrator.errors import UsageError
from orchestrator.show.escape import markdown, markdown_code

_MOST = 60_000
"""Characters; GitHub takes at most 65,536."""


class _Ready(str):
    """A text that is Markdown already."""

    __slots__ = ()


def rendered(name: str, /, *, templates_in: Path | None = None, **values: Any) -> str:  # noqa: ANN401  # JSON
    """Return a template of ours, or of another folder, filled in; too long a text is cut at a line, and says so.

    Raises:
        UsageError: the template cannot be filled in.
    """
    try:
        text = environment(templates_in or place.resource("templates")).get_template(name).render(values).strip() + "\n"
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(
            f"the template {name} cannot be filled in: {type(error).__name__}: {error}",
            advice="install orch again if nobody changed it",
        ) from error
    if len(text) <= _MOST:
        return text
    return text[:_MOST].rpartition("\n")[0] + "\n\n_The rest is left out; `orch runs` shows all of it._\n"


@cache
def environment(folder: Path) -> ImmutableSandboxedEnvironment:
    """Return what reads the templates of a folder."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown, not HTML: `finalize` escapes
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["code"] = _code

    return made


def _escaped(value: object) -> object:
    """Escape what a template prints; numbers and what is ready stay as they are."""
    if isinstance(value, _Ready | int):
        return value
    return _Ready(markdown("" if value is None else str(value)))


def _code(value: object) -> _Ready:
    return _Ready(markdown_code(str(value)))
