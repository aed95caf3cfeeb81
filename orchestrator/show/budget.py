"""Budgets for people and programs: a table of counters, what a reservation holds, and the same as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from orchestrator import clock
from orchestrator.balance import Balance
from orchestrator.meters import Counter, amount
from orchestrator.reservation import Reservation, Standing
from orchestrator.show.escape import json_text, terminal

_BAR = 10
_PERCENT = 100
_MOST_SHARES = 4
_MONTH = 7
"""Characters of a day that name its month."""
_NAME = 32
"""The widest column of names; a longer one pushes its numbers to the right."""
_TITLES = ("spent", "limit", "held", "left")
_STYLES = {"spent": "31;1", "low": "33", "ok": "32", "share": "2"}


def table(balances: Sequence[Balance], out: TextIO, *, has_color: bool = False) -> None:
    """Write counters under what they count for, each with a bar and, below, who used it."""
    is_ascii = not (getattr(out, "encoding", "") or "").lower().startswith("utf")
    rows = [row for one in balances for row in _rows(one, is_ascii=is_ascii)]
    name_width = min(_NAME, max(len(row.name) for row in rows))
    widths = [max(len(title), *(len(row.numbers[at]) for row in rows)) for at, title in enumerate(_TITLES)]
    heading = "  ".join(title.rjust(width) for title, width in zip(_TITLES, widths, strict=True))
    out.write(f"{' ' * name_width}  {heading}\n")
    last = ""
    for row in rows:
        if row.of and row.of != last:
            last = row.of
            out.write(f"{row.of}\n")
        numbers = "  ".join(number.rjust(width) for number, width in zip(row.numbers, widths, strict=True))
        line = f"{row.name.ljust(name_width)}  {numbers}  {row.bar}".rstrip()
        out.write(f"\x1b[{_STYLES[row.style]}m{line}\x1b[0m\n" if has_color and row.style else f"{line}\n")


class _Row(NamedTuple):
    name: str
    numbers: tuple[str, ...]
    """As `_TITLES`."""
    bar: str = ""
    style: str = ""
    of: str = ""
    """What the counter counts for."""


def _rows(one: Balance, *, is_ascii: bool) -> Iterator[_Row]:
    limit, left = ("-" if micro is None else amount(micro) for micro in (one.limit, one.left))
    numbers = (amount(one.spent), limit, amount(one.reserved), left)
    bar = _bar(one, is_ascii=is_ascii)
    yield _Row(terminal(f"  {one.counter.meter}"), numbers, bar, one.state, terminal(_of(one.counter)))
    for share in one.shares[:_MOST_SHARES]:
        held = amount(share.reserved) if share.reserved else ""
        yield _Row(terminal(f"    {share.actor}"), (amount(share.spent), "", held, ""), style="share")
    if rest := one.shares[_MOST_SHARES:]:
        spent, reserved = sum(share.spent for share in rest), sum(share.reserved for share in rest)
        yield _Row(
            f"    {len(rest)} others", (amount(spent), "", amount(reserved) if reserved else "", ""), style="share"
        )


def _budget(counter: Counter) -> str:
    return f"{counter.meter} per {counter.scope}" + (f" and {counter.window}" if counter.window else "")


def _of(counter: Counter) -> str:
    if not counter.window:
        return f"{counter.scope} {counter.scope_id}"
    when = counter.window_start if counter.window == "day" else counter.window_start[:_MONTH]
    return f"{counter.scope} {counter.scope_id}, {counter.window} {when}"


def _bar(one: Balance, *, is_ascii: bool) -> str:
    """Return spent, held and left as a bar; whatever is used at all shows at least one cell."""
    if one.limit is None:
        return ""
    full, held, rest = ("#", "+", ".") if is_ascii else ("█", "▒", "·")
    whole = max(one.limit, one.spent + one.reserved, 1)
    spent = min(_BAR, -(-one.spent * _BAR // whole))
    used = min(_BAR, max(spent + (one.reserved > 0), -(-(one.spent + one.reserved) * _BAR // whole)))
    used = max(used, spent)
    percent = (one.spent + one.reserved) * _PERCENT // max(one.limit, 1)
    return full * spent + held * (used - spent) + rest * (_BAR - used) + f" {min(percent, 999):3d}%"


def balances_json(balances: Iterable[Balance]) -> str:
    """Return counters as a JSON array; amounts are decimal texts."""
    return json_text([_balance(one) for one in balances], indent=2)


def _balance(one: Balance) -> dict[str, Any]:
    return {
        **_key(one.counter),
        "until": one.until or None,
        "limit": None if one.limit is None else amount(one.limit),
        "warn_at": f"{one.warn_at}%",
        "spent": amount(one.spent),
        "reserved": amount(one.reserved),
        "left": None if one.left is None else amount(one.left),
        "state": one.state,
        "by": [
            {"actor": share.actor, "spent": amount(share.spent), "reserved": amount(share.reserved)}
            for share in one.shares
        ],
    }


def _key(counter: Counter) -> dict[str, Any]:
    return {
        "meter": counter.meter,
        "per": counter.scope,
        "id": counter.scope_id,
        "window": counter.window or None,
        "window_start": counter.window_start or None,
    }


def reservation_json(one: Reservation) -> str:
    """Return a reservation as a JSON object; amounts are decimal texts."""
    return json_text(reservation(one), indent=2)


def reservation(one: Reservation) -> dict[str, Any]:
    """Return a reservation as JSON has it."""
    return {
        "id": one.id or None,
        "state": one.state,
        "run": one.run_id,
        "evaluation_id": one.evaluation_id,
        "actor": one.actor,
        "opened_at": one.opened_at,
        "expires_at": one.expires_at,
        "is_new": one.is_new,
        "budgets": [
            {
                **_key(line.counter),
                "limit": amount(line.limit),
                "estimate": amount(line.estimate),
                "charged": amount(line.charged),
            }
            for line in one.held
        ],
        **{name: [_standing(each) for each in getattr(one, name)] for name in ("warned", "exceeded", "would_stop")},
        "uncounted": list(one.uncounted),
    }


def _standing(one: Standing) -> dict[str, Any]:
    amounts = {name: amount(getattr(one, name)) for name in ("limit", "spent", "reserved", "asked")}
    return _key(one.counter) | amounts


def line_of(one: Reservation) -> str:
    """Return what became of a reservation, in one line."""
    charged, held = _amounts(one.charged), _amounts(one.estimates)
    match one.state:
        case "none":
            text = "no budget counts this; nothing is held"
        case "reserved" | "started":
            text = f"{one.id} {one.state}: {held} held until {one.expires_at}{_away(one.expires_at)}"
        case "released":
            text = f"{one.id} released: nothing was charged"
        case "expired" if not any(one.charged.values()):
            text = f"{one.id} lapsed: nothing was charged"
        case _:
            text = f"{one.id} {one.state}: {charged} charged"
    return terminal(text)


def _amounts(by_meter: Mapping[str, int]) -> str:
    """Return what there is of each meter; those of which there is nothing only where there is nothing else."""
    texts = [f"{amount(micro)} {meter}" for meter, micro in sorted(by_meter.items()) if micro]
    return ", ".join(texts) or ", ".join(f"0 {meter}" for meter in sorted(by_meter))


def _away(time: str) -> str:
    seconds = (clock.parse_time(time) - clock.now_ns()) // clock.SECOND_NS
    if seconds < 0:
        return ""
    return f" (in {seconds // 60} min)" if seconds >= 60 else f" (in {seconds} s)"  # noqa: PLR2004  # a minute


def notes_of(one: Reservation) -> Iterator[str]:
    """Yield what somebody should be told beside."""
    for standing in one.warned:
        if standing.limit:
            percent = standing.used * _PERCENT // standing.limit
            of = f"{_budget(standing.counter)} ({standing.counter.scope_id})"
            yield terminal(f"{of} is at {percent}% of {amount(standing.limit)}")
    for standing in one.exceeded:
        yield terminal(f"over its limit, and what comes next is refused: {standing}")
    for standing in one.would_stop:
        yield terminal(f"a pack that only warns would stop this: {standing}")
    if one.uncounted:
        yield terminal(f"no budget counts {', '.join(one.uncounted)}")
