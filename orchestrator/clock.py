"""Times and durations as text, and the one place where the clock is read. Imports nothing of ours and nothing heavy."""

import re
import time
from datetime import UTC, datetime, timedelta

SECOND_NS = 1_000_000_000
"""Nanoseconds in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = (  # compiled when it is needed: a decision only writes times
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DURATION = r"([0-9]{1,9})([smhd])"
_FRACTION = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)"
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LIMIT_NS = 2**63
"""The engine counts in signed 64-bit nanoseconds: 1677 to 2262."""


def now_ns() -> int:
    """Return the time now, in nanoseconds since 1970, UTC."""
    return time.time_ns()


def format_time(ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339, UTC: `2026-11-21T05:00:00Z`, with a fraction only where there is one.

    Raises:
        ValueError: the time lies outside the years 1 to 9999.
    """
    seconds, rest = divmod(ns, SECOND_NS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        message = f"{ns} ns since 1970 is no time that can be written; expected one of the years 1 to 9999"
        raise ValueError(message) from error
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction}Z"


def parse_time(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since 1970, UTC.

    The offset must be written (`Z` or `+01:00`): a time without one means something else on each machine. `T` and `Z`
    are upper case, as the engine wants them. Leap seconds are refused.

    Raises:
        ValueError: the text is no such time, or lies outside what 64 bits of nanoseconds hold (1677 to 2262).
    """
    found = re.fullmatch(_TIME, text)
    ns = _ns_of(found) if found else None
    if ns is None or not -_LIMIT_NS <= ns < _LIMIT_NS:
        message = f"{text[:60]!r} is no time; expected RFC 3339 with an offset, like 2026-11-21T05:00:00Z"
        raise ValueError(message)
    return ns


def parse_duration(text: str) -> int:
    """Return a duration like `90s`, `15m`, `24h` or `7d` in seconds, at least 1.

    Raises:
        ValueError: the text is anything else.
    """
    found = re.fullmatch(_DURATION, text)
    seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
    if seconds < 1:
        message = f"{text[:60]!r} is no duration; expected a whole number from 1 with s, m, h or d, like 90s or 24h"
        raise ValueError(message)
    return seconds


def parse_seconds(text: str) -> float:
    """Return what `parse_duration` does, and of `500ms`, `0.5s` or `1.5h` the same: seconds, more than 0.

    Raises:
        ValueError: the text is anything else.
    """
    found = re.fullmatch(_FRACTION, text)
    seconds = float(found[1]) * (0.001 if found[2] == "ms" else _UNIT_S[found[2]]) if found else 0.0
    if seconds <= 0:
        message = f"{text[:60]!r} is no duration; expected a number above 0 with ms, s, m, h or d, like 0.5s or 24h"
        raise ValueError(message)
    return seconds


def _ns_of(found: re.Match[str]) -> int | None:
    *fields, fraction, sign, hours, minutes = found.groups()
    if hours and (int(hours) > 23 or int(minutes) > 59):  # noqa: PLR2004  # a day's hours, an hour's minutes
        return None
    year, month, day, hour, minute, second = map(int, fields)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    offset = int(f"{sign}1") * (int(hours) * 3_600 + int(minutes) * 60) if hours else 0
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds - offset) * SECOND_NS + int((fraction or "").ljust(9, "0"))
