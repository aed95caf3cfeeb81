"""What a run waits for, in words, and the command that opens it. Plain text, unescaped; values only.

What is waited for comes out of the ledger: what is not there or not of its type is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_KEY_CHARS = 8
_TIMES = ("at", "until", "not_before")


def told(one: Mapping[str, Any]) -> str:
    """Return one thing that is waited for: `approval k3fq7x2m9a: 1 of role sre (phase deploy)`."""
    match one.get("type"):
        case "approval":
            role = f"{_count(one.get('missing'))} of role {_text(one.get('role')) or '?'}"
            said = " ".join(filter(None, ("approval", _text(one.get("request_id"))))) + f": {role}"
        case "evidence":
            said = f"evidence: {_text(one.get('evidence')) or '?'}"
        case "unknown":
            said = f"somebody to say what became of {_order(one) or 'an action'}"
        case "stage":
            said = f"stage {_text(one.get('stage')) or '?'}"
        case "timer" | "retry" | "time":
            said = "another look" if one.get("is_look") is True else "the next attempt"
            said += f", at {_time(one)}" if _time(one) else ""
        case "cancel":
            said = "somebody to end it"
        case other:
            said = _text(other) or "something"
    phase = _text(one.get("phase"))
    return f"{said} (phase {phase})" if phase else said


def sentence(one: Mapping[str, Any]) -> str:
    """Return one thing that is waited for as what the run does: `waits for approval ...`, `looks again at TIME`.

    A look asks what became of an action that nobody knows of; nothing is sent again by it.
    """
    if one.get("type") == "timer" and one.get("is_look") is True and _time(one):
        phase = _text(one.get("phase"))
        return f"looks again at {_time(one)}" + (f" (phase {phase})" if phase else "")
    return f"waits for {told(one)}"


def openers(one: Mapping[str, Any], run_id: str) -> tuple[str, ...]:
    """Return the commands that open it, one of which is enough; () where time or a worker does.

    What is filled in is shell-quoted.
    """
    match one.get("type"):
        case "approval" if _text(one.get("request_id")):
            return (f"orch approve {_quoted(one['request_id'])}",)
        case "evidence" if _text(one.get("evidence")):
            return (f"orch evidence add {_quoted(one['evidence'])} FILE --run {_quoted(run_id)}",)
        case "unknown":
            step = _quoted(_order(one) or "STEP")
            return tuple(f"orch resume {_quoted(run_id)} {flag} {step}" for flag in ("--delivered", "--resend"))
    return ()


def at_once(waiting_for: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return what is waited for, each thing once, whichever phases wait for it."""
    seen: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for one in waiting_for:
        seen.setdefault((told(one), *openers(one, "")), one)
    return tuple(seen.values())


def _count(value: object) -> int:
    return value if type(value) is int else 1


def _order(one: Mapping[str, Any]) -> str:
    return _text(one.get("step")) or _text(one.get("key"))[:_KEY_CHARS]


def _time(one: Mapping[str, Any]) -> str:
    return next((_text(one.get(name)) for name in _TIMES if one.get(name)), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(str(text))
