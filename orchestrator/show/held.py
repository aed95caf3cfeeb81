"""What a person says of what may have arrived, as the commands that say it."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

UNKNOWN = frozenset({"unknown", "dispatching"})
"""States of what may have happened."""
_KEY_CHARS = 12


def ways(run_id: str, name: str, receipts: Iterable[Mapping[str, Any]] = ()) -> Iterator[str]:
    """Yield what there is to do about an order of a run of which nobody knows whether it arrived.

    Where `receipts` say so of several recipients, that is said of each.
    """
    said = f"orch resume {shlex.quote(run_id)}"
    open_ones = [each for each in receipts if each["delivery"] in UNKNOWN]
    meant = [(f" at {each['target']}", str(each["key"])[:_KEY_CHARS]) for each in open_ones]
    for at, word in meant if len(meant) > 1 else [("", shlex.quote(name))]:
        yield f"look outside whether {name} arrived{at}; then {said} --delivered {word}"
        yield f"or, to have it sent again, {said} --resend {word}"
