"""Where a code may come from: a person's hands, or standard input. What came another way is refused before it is tried.

Arguments, variables of the environment and a workflow's inputs are seen by others and kept in logs. Whether the code is
right plays no part here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.errors import UsageError
from orchestrator.escalations import plainfile
from orchestrator.escalations.codes import looks_like_code, normal

MOST_BYTES = 4_096
"""So much of standard input is read."""
_SHORTEST = 16
"""Less than that may stand anywhere by accident."""
_MOST_EVENT_BYTES = 8 * 1024 * 1024
_EVENT = "GITHUB_EVENT_PATH"
_ONE = "[0-9A-HJKMNP-TV-Za-hjkmnp-tv-zOoIiLl]"
_BETWEEN = "[-\\s\u00ad\u2010-\u2015\u2212\u200b-\u200d\ufeff]"
_GROUPED = rf"{_ONE}{{4}}(?:{_BETWEEN}{{1,3}}{_ONE}{{4}}){{6}}"
_CODE_ALONE = re.compile(rf"(?=[^0-9]{{0,40}}[0-9])(?<![0-9A-Za-z])(?:{_GROUPED}|{_ONE}{{28}})(?![0-9A-Za-z])")
"""A code as it is written, apart from what stands around it: a digest is longer, and no word is so long."""
_CODE_WITHIN = re.compile(rf"(?=[^0-9]{{0,40}}[0-9])(?:{_GROUPED}|{_ONE}(?:[-_]?{_ONE}){{27,}})")
"""The same wherever it stands, and more than that: what may be one is not repeated."""
_DIGEST = re.compile("[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_NEW = "it may be known to others now: make new ones with `orch code new`, and type the code, or pipe it in"


def name_in(given: Iterable[str]) -> str | None:
    """Return the escalation that arguments name, None where they name none.

    Raises:
        UsageError: a code stands there, which is not repeated; or several names.
    """
    words = list(given)
    if any(map(looks_like_code, (*words, "".join(words)))):
        raise _argued()
    if len(words) > 1:
        raise UsageError(f"{len(words)} names; expected at most one escalation", advice="`orch status` lists them")
    return words[0] if words else None


def refuse_among(arguments: Sequence[str]) -> None:
    """Refuse arguments of a command among which something is written like a code, right or wrong.

    Raises:
        UsageError: it does; it is not repeated.
    """
    if _CODE_ALONE.search(" ".join(arguments)):
        raise _argued()


def hidden(text: str) -> str:
    """Return a text without what may be a code."""
    return _CODE_WITHIN.sub(lambda found: found[0] if _DIGEST.fullmatch(found[0]) else "(what may be a code)", text)


def code_in(data: bytes) -> str:
    """Return the code in what standard input gave.

    Raises:
        UsageError: there is nothing in it.
    """
    text = data.decode("utf-8", "replace")
    if not normal(text):
        raise UsageError(
            "there is no terminal to ask for a code on, and standard input has none",
            advice="run it in a terminal, or pipe the code in; arguments and variables are not read",
        )
    return text


def refuse_seen(code: str, environ: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
    """Refuse a code that also stands among the arguments, in the environment, or in the event that started a workflow.

    Raises:
        UsageError: it does.
    """
    wanted = normal(code)
    if len(wanted) < _SHORTEST:
        return
    if wanted in normal("".join(arguments), most=_MOST_EVENT_BYTES):
        raise _argued()
    for name, value in environ.items():
        if wanted in normal(value, most=_MOST_EVENT_BYTES):
            raise UsageError(f"the code also stands in the environment, in the variable {name}", advice=_NEW)
    if wanted in normal(_event(environ), most=_MOST_EVENT_BYTES):
        raise UsageError("the code also stands among the inputs of the workflow, which its log keeps", advice=_NEW)


def _event(environ: Mapping[str, str]) -> str:
    if not environ.get(_EVENT):
        return ""
    try:
        return plainfile.read(environ[_EVENT], _MOST_EVENT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _argued() -> UsageError:
    return UsageError("a code was given as an argument, which other users and the shell's history see", advice=_NEW)
