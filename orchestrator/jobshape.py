"""What a job may look like in the operator's file. For `schema` alone; `jobs` reads what it means."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.shape import EXPECTED_OF_PATTERN, Number, Several, Strict, Text, refuse

_SHELL = frozenset("|&;<>()$`*?{}~#\n")
"""Characters that only a shell gives a meaning."""
_INSTEAD = ("command", "cmd", "run", "script")
"""What others call the command of a job."""
_DURATION = r"^([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))(ms|s|m|h|d)$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_CODE = r"^[1-9][0-9]{0,2}$"
EXPECTED_OF_PATTERN |= {
    _DURATION: "how long, such as 0.5s, 90s, 30m or 2h",
    _VARIABLE: "a variable's name of letters, digits and `_`",
    _CODE: "an exit code from 1 to 999, such as 75",
}
_MOST_ADVICE = 160
_MOST_FACTOR = 100
_NONE: Any = {}
"""The default of mappings; each model gets its own copy."""
_ClassName = Literal["transient", "permanent", "dependency", "configuration"]

_Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


def _growing(factor: Any) -> Any:  # noqa: ANN401  # an int or a Decimal
    if not 1 <= factor <= _MOST_FACTOR:
        refuse(f"a number from 1 to {_MOST_FACTOR}")
    return factor


def _folder(text: str) -> str:
    if "\0" in text:
        refuse("a folder's path without NUL")
    if text.startswith("~") and not text.startswith("~/"):
        refuse("an absolute path, `~/...`, or one relative to this file", "a folder that is called so: ./~...")
    return text


class JobRetry(Strict):
    """When a job that failed begins anew."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How often it is tried in all."""
    wait: Annotated[str, Field(pattern=_DURATION)] = "2s"
    """How long to wait before the second attempt."""
    factor: Annotated[Number, AfterValidator(_growing)] = 2
    """By how much each wait is longer than the one before."""
    most: Annotated[str, Field(pattern=_DURATION)] = "5m"
    """The longest wait."""
    errors: Several[_ClassName] = ("transient",)
    """Which failures are worth another attempt."""


class Job(Strict):
    """One named command."""

    argv: Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], _Listed, Field(min_length=1, max_length=1000)]
    """The program and its arguments, one item each; no shell reads them."""
    cwd: Annotated[Text, AfterValidator(_folder)] = ""
    """The folder it runs in: absolute, `~/...`, or relative to this file; left out: the current folder."""
    env: Annotated[dict[Annotated[str, Field(pattern=_VARIABLE)], str], Field(max_length=200)] = _NONE
    """Variables that it is given beside the usual ones; secrets as `${{ secrets.NAME }}`."""
    timeout: Annotated[str, Field(pattern=_DURATION)] = "1h"
    """How long it may take, such as 90s, 30m or 2h."""
    description: Text = ""
    """What it is for, in one line."""
    retry: JobRetry = JobRetry()
    """When it begins anew after a failure; left out: never."""
    errors: Annotated[dict[Annotated[str, Field(pattern=_CODE)], _ClassName], Field(max_length=255)] = _NONE
    """What its exit codes mean, such as 75: transient."""
    replayable: bool = False
    """Whether it may run again where nobody knows how an attempt ended."""

    @model_validator(mode="before")
    @classmethod
    def _is_argv(cls, value: object) -> object:
        """Refuse a command that is one text: who splits it, and does a shell read it?"""
        if isinstance(value, str):
            refuse("a mapping with `argv`", _spelled(value))
        if isinstance(value, Mapping):
            for name in ("argv", *_INSTEAD):
                if isinstance(text := value.get(name), str):
                    refuse("a list" if name == "argv" else "`argv` instead, a list", _spelled(text), at=name)
        return value


def _spelled(text: str) -> str:
    """Return how a command is written as a list; one that needs a shell names it."""
    import json
    import shlex

    try:
        words = ["sh", "-c", text] if _SHELL & set(text) else shlex.split(text)
    except ValueError:  # an open quote
        words = ["sh", "-c", text]
    spelled = json.dumps(words, ensure_ascii=False)
    return (
        f"write argv: {spelled}" if words and len(spelled) <= _MOST_ADVICE else "write each word as an item of `argv`"
    )
