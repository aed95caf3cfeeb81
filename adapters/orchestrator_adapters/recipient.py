"""Recipients, and where answers go, that may be secrets: a reference until the moment something is sent.

What a secret holds is judged only then, and told by its reference alone: neither a receipt nor an error shows it.
"""

from collections.abc import Callable

from orchestrator.adapter import Place, unconfigured
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.secret import REFERENCE

Judge = Callable[[str, str], str]
"""Returns a recipient as it is written down, given what an error calls it; raises UsageError where it can be none."""


def written(text: str, what: str, judge: Judge) -> str:
    """Return a recipient as it is decided and recorded: a reference stays one, written in one way.

    Raises:
        UsageError: it can be none, or has a reference beside other text.
    """
    if found := REFERENCE.fullmatch(text.strip()):
        return f"${{{{ secrets.{found[1]} }}}}"
    if REFERENCE.search(text):
        raise UsageError(
            f"{what} {shown(text)} has a secret beside other text; expected the reference alone",
            advice="put all of it into the secret: ${{ secrets.NAME }}",
        )
    return judge(text, what)


def is_secret(text: str) -> bool:
    """Return whether what `written` gave is a reference."""
    return REFERENCE.fullmatch(text) is not None


def revealed(text: str, what: str, judge: Judge, place: Place) -> str:
    """Return whom a recipient stands for, as `judge` writes it down; never to be shown where it is a secret.

    Raises:
        AdapterError: there is no such secret, it is not for this action, or what it holds can be no recipient.
    """
    if not is_secret(text):
        return text
    known = _judged(place.reveal(text), what, judge)
    if known is None:
        raise unconfigured(
            f"what {text} holds cannot be {what}; nothing was sent",
            advice="mend what the secret holds: one recipient and nothing else",
        )
    return known


def _judged(value: str, what: str, judge: Judge) -> str | None:
    """Return a value as it is written down, None where it can be none; no error that quotes it leaves here."""
    try:
        return judge(value.strip(), what)
    except UsageError:
        return None
