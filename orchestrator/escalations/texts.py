"""What an escalation's templates are rendered with, and rendering them. Text only, never policy; sends nothing.

What a template sees is fixed when its stage is entered, so that a later attempt gives the same text. It is sandboxed,
what it names must be there, and what it gives and how long it takes has bounds: nothing in it is repeated, called or
set; `escalations.templates` refuses what this would not render.
"""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.errors import UsageError
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.model import Deed, Escalation
from orchestrator.names import shown

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_TEXT = 1_000_000
"""Longest text that a template may give, in characters."""
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "e", "escape", "int", "length", "lower", "replace", "round", "title",
    "tojson", "trim", "truncate", "upper", "wordwrap",
)  # fmt: skip
"""Filters that there are: none that makes a short text endless, none that lets markup through."""

_ONE_LINE = frozenset({"subject", "title"})
_MARKUP = "html"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""


class Situation(NamedTuple):
    """What a template may say of where an escalation stands. Times are texts such as `2026-11-21 05:00 UTC`."""

    escalation: str
    stage: str
    audience: str
    cycle: int
    deadline: str
    entered_at: str
    """When this stage was entered."""
    time_left: str
    """From then to the deadline: `6 hours`; "" once it has passed."""
    next_stage: str
    """"" at the last."""
    next_at: str
    """When that is entered at the earliest."""
    is_drill: bool


NAMES = (*Situation._fields, "constants")
"""What a template may name."""


def situation_of(
    escalation: Escalation, place: int, *, cycle: int, deadline_ns: int, entered_at_ns: int, is_drill: bool = False
) -> Situation:
    """Return what the templates of a stage see; `place` is which of the stages, times are nanoseconds since 1970."""
    stage = escalation.stages[place]
    is_last = place == len(escalation.stages) - 1
    next_ns = 0
    if not is_last:
        next_ns = max(due_ns(escalation, place + 1, deadline_ns), entered_at_ns + stage.min_dwell_s * SECOND_NS)
    return Situation(
        escalation=escalation.name,
        stage=stage.name,
        audience=stage.audience.value,
        cycle=cycle,
        deadline=_moment(deadline_ns),
        entered_at=_moment(entered_at_ns),
        time_left=in_words((deadline_ns - entered_at_ns) // SECOND_NS) if entered_at_ns < deadline_ns else "",
        next_stage="" if is_last else escalation.stages[place + 1].name,
        next_at="" if is_last else _moment(next_ns),
        is_drill=is_drill,
    )


def in_words(seconds: int) -> str:
    """Return a length of time as people say it, to the minute and in two units at most: `1 day 2 hours`."""
    minutes = (seconds + _MINUTE_S // 2) // _MINUTE_S
    if minutes < 1:
        return "less than a minute"
    days, rest = divmod(minutes * _MINUTE_S, _DAY_S)
    hours, rest = divmod(rest, _HOUR_S)
    units = [(days, "day"), (hours, "hour"), (rest // _MINUTE_S, "minute")]
    first = next(at for at, (number, _) in enumerate(units) if number)
    return " ".join(f"{number} {unit}{'s' * (number != 1)}" for number, unit in units[first : first + 2] if number)


def rendered(deed: Deed, situation: Situation, constants: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of an action that are texts, rendered.

    Raises:
        UsageError: a template cannot be rendered, or gives too much or what would be read as a secret's reference.
    """
    scope = scope_of(situation, constants)
    return {name: text(source, scope, name) for name, source in deed.texts.items()}


def scope_of(situation: Situation, constants: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template may name, with its values."""
    return {**situation._asdict(), "constants": SimpleNamespace(**constants)}


def text(source: str, scope: Mapping[str, Any], name: str) -> str:
    """Return one parameter, rendered. Raises as `rendered`."""
    from jinja2 import TemplateError

    made: list[str] = []
    length = 0
    try:
        for part in environment(is_markup=name == _MARKUP).from_string(source).generate(dict(scope)):
            length += len(part)
            if length > MAX_TEXT:
                raise UsageError(f"the template of {shown(name)} gives more than {MAX_TEXT:,} characters")
            made.append(part)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise UsageError(f"the template of {shown(name)} cannot be rendered: {error!s:.200}") from error
    except (RecursionError, MemoryError) as error:
        raise UsageError(f"the template of {shown(name)} cannot be rendered: {type(error).__name__}") from error
    whole = "".join(made)
    if "${{" in whole:
        raise UsageError(f"the template of {shown(name)} gives `${{{{`", advice="a secret never stands in a text")
    return whole.strip() if name in _ONE_LINE else whole


@cache
def environment(*, is_markup: bool) -> "Environment":
    """Return where templates are compiled; of markup, what is filled in is escaped."""
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class _Bounded(ImmutableSandboxedEnvironment):
        """Counts with numbers alone: no text becomes endless by a `*` or a `%`."""

        intercepted_binops = frozenset({"*", "%", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401  # as there
            if operator == "**" or not (isinstance(left, int | float) and isinstance(right, int | float)):
                raise SecurityError(f"{operator} counts with numbers only")
            return super().call_binop(context, operator, left, right)

    made = _Bounded(undefined=StrictUndefined, autoescape=is_markup, keep_trailing_newline=True, auto_reload=False)
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in FILTERS} | {"replace": _replaced}
    return made


def _replaced(value: object, old: str, new: str) -> str:
    """Return a text with another put in the place of a part of it, as long as that is no flood."""
    from markupsafe import Markup, escape

    is_markup = isinstance(value, Markup)
    whole, before, after = str(value), str(old), str(new)
    if len(whole) + (whole.count(before) if before else 0) * len(after) > MAX_TEXT or not before:
        raise ValueError("`replace` of nothing, or by too much")
    changed = whole.replace(before, str(escape(after)) if is_markup else after)
    return Markup(changed) if is_markup else changed  # noqa: S704  # both parts are escaped


def _moment(ns: int) -> str:
    """Return a time as people read it, to the minute that has begun; far away it is the last that can be written."""
    seconds = min(max(ns // SECOND_NS, 0), _LAST_SECOND)
    day, _, clock = format_time(seconds * SECOND_NS).partition("T")
    return f"{day} {clock[:5]} UTC"
