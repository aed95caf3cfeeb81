"""What an argument of the command line that is recorded or looked up has to be: text. Paths may hold any bytes."""

import click

from orchestrator.errors import UsageError
from orchestrator.names import is_text, shown


class Text(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Text in UTF-8; bytes of another encoding arrive here as lone surrogates."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002  # click's
        """Return the text.

        Raises:
            UsageError: it is no UTF-8.
        """
        if not is_text(value):
            raise UsageError(
                f"{_called(param)} is {shown(value)}, which is no UTF-8; expected text in UTF-8",
                advice="write it in UTF-8; `locale` says what this terminal sends",
            )
        return value


def _called(param: click.Parameter | None) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name.strip("[]") if param is not None else "an argument"


TEXT = Text()
