"""Fills the placeholders of messages and fixes. A fix is meant to be pasted into a shell, so it is quoted."""

import re
from collections.abc import Mapping

NAMES = (
    "subject", "action", "resource", "repository", "branch", "head_branch", "tool", "paths", "point", "stage",
)  # fmt: skip
"""What may stand between braces; `{{` and `}}` are braces."""

_PLACEHOLDER = r"\{\{|\}\}|\{(\w+)\}"
_SHELL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%_+=:,./-")


def fill(text: str, values: Mapping[str, str | list[str] | None], *, is_shell: bool) -> str:
    """Return `text` with its placeholders replaced; what has no value is left out of prose.

    A fix one of whose placeholders has no value is no command any more, and comes back empty.
    """
    found = {match[1] for match in re.finditer(_PLACEHOLDER, text)} - {None}
    if is_shell and any(not values.get(name) for name in found if name in NAMES):
        return ""
    return re.sub(_PLACEHOLDER, lambda match: _value(match, values, is_shell=is_shell), text)


def _value(match: re.Match[str], values: Mapping[str, str | list[str] | None], *, is_shell: bool) -> str:
    name = match[1]
    if name is None:
        return match[0][0]
    if name not in NAMES:
        return match[0]
    value = values.get(name) or f"(no {name})"
    words = [value] if isinstance(value, str) else value
    return " ".join(map(_word, words) if is_shell else words)


def _word(text: str) -> str:
    """Quote one word for a shell; one that looks like an option is made a path."""
    word = f"./{text}" if text.startswith("-") else text
    if word and _SHELL_SAFE.issuperset(word):
        return word
    from shlex import quote

    return quote(word)
