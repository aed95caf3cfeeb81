"""What budgets count in: amounts as integers of a millionth and as texts, and the windows that counters begin with.

Near the start of the flow and on the hot path: values only, no clock, no database.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.choices import MICRO
from orchestrator.errors import UsageError

SCOPES = ("run", "session", "repo", "org")
"""What a budget is counted over, narrow to wide."""
WINDOWS = ("day", "month")
"""How long a counter of a repository or organization lasts, UTC; those of runs and sessions last as long as they do."""
_WHOLE_DIGITS, _MICRO_DIGITS = 9, 6
"""Of an amount, so that sums stay exact in JSON."""
_DAY, _MONTH = 10, 7
"""Characters of a time that name its day and its month."""
_DAY_NS = 86_400_000_000_000
_COUNTED = {"pr_attempts": "open_pr", "tool_calls": "call_tool"}
"""Meters of which an action is known to use one, and every other action none."""


class Counter(NamedTuple):
    """Names one counter; sorts, and counters are always locked in this order."""

    meter: str
    scope: str
    """One of `SCOPES`."""
    scope_id: str
    """A run's or session's id, `owner/name`, or `owner`."""
    window: str
    """One of `WINDOWS`; "" where the scope has none."""
    window_start: str
    """`2026-11-21` of a day, `2026-11-01` of a month, else ""."""


def micro(amount: object, what: str) -> int:
    """Return an amount that somebody wrote (`"1.25"`, 3) in micro-units; `what` names it in an error.

    Raises:
        UsageError: it is no number from 0, is finer than a millionth or has more than nine digits before the point.
    """
    text = "" if isinstance(amount, bool) else str(amount)
    whole, _, fraction = text.partition(".")
    is_plain = text.isascii() and whole.isdigit() and (fraction.isdigit() or "." not in text)
    if not is_plain or len(whole) > _WHOLE_DIGITS or len(fraction.rstrip("0")) > _MICRO_DIGITS:
        raise UsageError(
            f"{what} is {amount!r:.60}; expected a number from 0, not finer than a millionth", advice='write "1.25"'
        )
    return int(whole) * MICRO + int(fraction.rstrip("0").ljust(_MICRO_DIGITS, "0"))


def amount(micro_units: int) -> str:
    """Return an amount of micro-units as people write it: 5000000 is "5", 1250000 is "1.25"."""
    sign = "-" if micro_units < 0 else ""
    whole, rest = divmod(abs(micro_units), MICRO)
    return sign + (f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole))


def usual_estimates(action: str) -> dict[str, int]:
    """Return what an action is known to use without anybody saying: one pull request attempt or tool call, or none."""
    return {meter: MICRO if action == its_action else 0 for meter, its_action in _COUNTED.items()}


def scope_ids(*, run_id: str, session: str | None, repository: str | None) -> dict[str, str]:
    """Return what each scope counts for: `{scope: id}`, a scope left out where nobody knows.

    A run without a session is a session of its own. Runs without a repository (`none`) share the counters of `none`.
    """
    ids = {"run": run_id, "session": session or run_id}
    if repository:
        ids["repo"] = repository.lower()
        ids["org"] = ids["repo"].partition("/")[0]
    return ids


def counter_of(meter: str, per: str, window: str | None, ids: Mapping[str, str], now: str) -> Counter | None:
    """Return the counter that a budget's key means at a time (RFC 3339, UTC); None where there can be none."""
    has_window = per in {"repo", "org"}
    if per not in ids or has_window != bool(window) or (window and window not in WINDOWS):
        return None
    return Counter(meter, per, ids[per], window or "", window_start(window or "", now))


def window_start(window: str, now: str) -> str:
    """Return the first day of the window that a time (RFC 3339, UTC) lies in; "" without a window."""
    if not window:
        return ""
    return now[:_DAY] if window == "day" else f"{now[:_MONTH]}-01"


def window_end(counter: Counter) -> str:
    """Return the day on which a counter's window begins anew, `2026-11-22`; "" where it has none."""
    if not counter.window:
        return ""
    year, month, day = map(int, counter.window_start.split("-"))
    if counter.window == "month":
        return f"{year + month // 12:04d}-{month % 12 + 1:02d}-01"
    from orchestrator import clock

    day_ns = clock.parse_time(f"{year:04d}-{month:02d}-{day:02d}T00:00:00Z") + _DAY_NS
    return clock.format_time(day_ns)[:_DAY]
