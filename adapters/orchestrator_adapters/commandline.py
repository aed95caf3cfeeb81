"""What run_command was asked for: its parameters, looked at. Reads and starts nothing."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator import beneath
from orchestrator.errors import UsageError
from orchestrator.names import is_text, shown
from orchestrator.secret import references
from orchestrator.words import near_miss

MOST_S = 7 * 86_400.0
"""No command may take longer."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What a variable is called."""

_PARAMETERS = frozenset({"argv", "cwd", "env", "timeout_s"})


class Asked(NamedTuple):
    """A command as it was asked for."""

    argv: tuple[str, ...]
    cwd: tuple[str, ...]
    env: Mapping[str, str]
    """Secrets are references."""
    timeout_s: float | None


def asked_for(given: Mapping[str, Any]) -> Asked:
    """Return a command's parameters, looked at.

    Raises:
        UsageError: one is missing, unknown, or cannot be.
    """
    for name in given.keys() - _PARAMETERS:
        raise UsageError(
            f"run_command has no parameter {shown(name)}; expected argv, cwd, env, timeout_s"
            f"{near_miss(name, _PARAMETERS)}"
        )
    argv = given.get("argv")
    if not isinstance(argv, list | tuple) or not argv:
        raise UsageError(
            f"run_command's argv is {shown(argv)}; expected a list: the program and its arguments",
            advice='a shell is never asked; write argv: [make, test], or --arg \'argv:=["make", "test"]\'',
        )
    words = tuple(_word(each, f"argv[{at}]") for at, each in enumerate(argv))
    if not words[0]:
        raise UsageError("run_command's argv[0] is empty; expected a program")
    if names := sorted(set(references(words))):
        raise UsageError(
            f"the secret {names[0]} stands in argv, where every process of this machine can read it",
            advice="give it as a variable: env: {NAME: ${{ secrets." + names[0] + " }}}",
        )
    return Asked(words, _cwd(given.get("cwd")), _env(given.get("env")), _timeout(given.get("timeout_s")))


def _word(value: object, where: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UsageError(f"run_command's {where} is {shown(value)}; expected a text")
    if "\0" in value or not is_text(value):
        raise UsageError(f"run_command's {where} is {shown(value)}; expected a text without NUL or lone surrogates")
    return value


def _cwd(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str):
        raise UsageError(f"run_command's cwd is {shown(value)}; expected a relative path")
    return beneath.steps(value, what="run_command's cwd")


def _env(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"run_command's env is {shown(value)}; expected an object of texts")
    for name in value:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UsageError(f"run_command's env names {shown(name)}; expected letters, digits and `_`, such as MODE")
    return {name: _word(one, f"env.{name}") for name, one in value.items()}


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_S:
        raise UsageError(f"run_command's timeout_s is {shown(value)}; expected seconds, at most {MOST_S:.0f}")
    return value
