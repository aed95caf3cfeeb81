"""Lengths of time in an escalation's document, in whole seconds; what is none is noted at its place."""

import re

from orchestrator.clock import parse_duration
from orchestrator.document import shown
from orchestrator.plans.spot import Spot

LONGEST_S = 3_660 * 86_400
"""Ten years: longer ones are taken for a mistake."""
_THRESHOLD = re.compile(r"([+-]?)([0-9]{1,9}[smhd])")
_EXPECTED = "a duration such as 30s, 5m, 2h or 3d"


def seconds(spot: Spot, usual: int, *, may_be_none: bool = False) -> int:
    """Return the duration that stands here; the usual one where nothing stands here, or what is no duration.

    `may_be_none` allows `0s`.
    """
    if spot.value is None:
        return usual
    text = str(spot.value)
    if re.fullmatch("0+[smhd]", text) and may_be_none:
        return 0
    try:
        found = parse_duration(text)
    except ValueError:
        spot.error(shown(spot.value), _EXPECTED)
        return usual
    if found > LONGEST_S:
        spot.error(shown(spot.value), f"at most {LONGEST_S // 86_400}d")
        return usual
    return found


def threshold(spot: Spot) -> int | None:
    """Return the threshold that stands here: seconds from the deadline, negative before it; None where it is none."""
    found = _THRESHOLD.fullmatch(str(spot.value))
    if found is None:
        spot.error(shown(spot.value), "a time from the deadline such as -6h, 0s or 15m", "+2h and 2h are the same")
        return None
    number = int(found[2][:-1]) * parse_duration(f"1{found[2][-1]}")
    if number > LONGEST_S:
        spot.error(shown(spot.value), f"at most {LONGEST_S // 86_400}d from the deadline")
        return None
    return -number if found[1] == "-" else number


def said(seconds_: int) -> str:
    """Return seconds as a document writes them, in units that hold them: `45s`, `15m`, `9m 35s`, `6h`, `3d`."""
    parts, rest = [], seconds_
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, unit)
        parts += [f"{count}{name}"] if count else []
    return " ".join(parts) or "0s"
