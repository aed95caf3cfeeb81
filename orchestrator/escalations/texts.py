"""What an escalation's templates are rendered with, and rendering them. Text only, never policy; sends nothing.

What a template sees is fixed when its stage is entered, so that a later attempt gives the same text. It is sandboxed,
what it names must be there, and what it gives and how long it takes has bounds: nothing in it is repeated, called or
set; `escalations.templates` refuses what this would not render.
"""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from decimal import Decimal
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
"""Longest text that a template may give, and each filter in it, in characters."""
MOST_NUMBER = 10**15
"""Numbers are counted up to here; what would be more stays there."""
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "e", "escape", "int", "length", "lower", "replace", "round", "title",
    "tojson", "trim", "truncate", "upper", "wordwrap",
)  # fmt: skip
"""Filters that there are: none that makes a short text endless, none that lets markup through."""

_MOST_WORK = 3 * MAX_TEXT
"""So many characters all filters of one template give at most."""
_MOST_WRAPPED = 20_000
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
_WORK: ContextVar[list[int]] = ContextVar("work")
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
    plain = {name: float(one) if isinstance(one, Decimal) else one for name, one in constants.items()}
    return {**situation._asdict(), "constants": SimpleNamespace(**plain)}


def text(source: str, scope: Mapping[str, Any], name: str) -> str:
    """Return one parameter, rendered. Raises as `rendered`."""
    before = _WORK.set([_MOST_WORK])
    try:
        whole = _generated(source, scope, name)
    except UsageError:
        raise
    except Exception as error:  # whatever a broken text brings about, it is that text's alone
        said = f"{error!s:.200}".encode("utf-8", "replace").decode() or type(error).__name__
        raise UsageError(f"the template of {shown(name)} cannot be rendered: {said}") from error
    finally:
        _WORK.reset(before)
    if "${{" in whole:
        raise UsageError(f"the template of {shown(name)} gives `${{{{`", advice="a secret never stands in a text")
    if (at := control_in(whole)) >= 0:
        seen = f"the template of {shown(name)} gives the character U+{ord(whole[at]):04X}"
        raise UsageError(seen, advice="a text holds letters, line breaks and tabs, and no other control characters")
    return whole.strip() if name in _ONE_LINE else whole


def control_in(value: str) -> int:
    """Return where the first character stands that no text may hold, -1 where none does.

    Those are control characters but for line breaks and tabs, and halves of surrogate pairs.
    """
    found = _CONTROL.search(value)
    return found.start() if found else -1


def _generated(source: str, scope: Mapping[str, Any], name: str) -> str:
    made: list[str] = []
    length = 0
    for part in environment(is_markup=name == _MARKUP).from_string(source).generate(dict(scope)):
        length += len(part)
        if length > MAX_TEXT:
            raise UsageError(f"the template of {shown(name)} gives more than {MAX_TEXT:,} characters")
        made.append(part)
    return "".join(made)


@cache
def environment(*, is_markup: bool) -> "Environment":
    """Return where templates are compiled; of markup, what is filled in is escaped."""
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class _Bounded(ImmutableSandboxedEnvironment):
        """Counts with numbers alone, and not for ever: no text becomes endless by a `*` or a `%`."""

        intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
        intercepted_unops = frozenset({"-", "+"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401  # as there
            if operator == "**" or not (isinstance(left, int | float) and isinstance(right, int | float)):
                raise SecurityError(f"{operator} counts with numbers only")
            return _bounded(super().call_binop(context, operator, _bounded(left), _bounded(right)))

        def call_unop(self, context: Any, operator: str, arg: Any) -> Any:  # noqa: ANN401  # as there
            if not isinstance(arg, int | float):
                raise SecurityError(f"{operator} counts with numbers only")
            return super().call_unop(context, operator, _bounded(arg))

    made = _Bounded(
        undefined=StrictUndefined, autoescape=is_markup, keep_trailing_newline=True, auto_reload=False, optimized=False
    )
    made.globals.clear()
    own = {name: made.filters[name] for name in FILTERS} | {
        "replace": _replaced,
        "wordwrap": _wrapped(made.filters["wordwrap"]),
    }
    made.filters = {name: _within(each) for name, each in own.items()}
    return made


def _bounded(number: float) -> float:
    """Return a number that is neither endless nor long to write."""
    if number != number:  # noqa: PLR0124  # no number at all
        return 0
    return min(max(number, -MOST_NUMBER), MOST_NUMBER)


def _wrapped(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Return `wordwrap` for texts that it does not take long for: one long word costs it the square of its length."""
    from jinja2 import pass_environment

    @pass_environment
    def wrapped(environment: Any, value: object, *given: Any, **named: Any) -> Any:  # noqa: ANN401  # as Jinja2 calls it
        if len(text := str(value)) > _MOST_WRAPPED:
            raise UsageError(f"`wordwrap` of {len(text):,} characters; expected at most {_MOST_WRAPPED:,}")
        return filter_(environment, value, *given, **named)

    return wrapped


def _within(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that gives no flood, and gives nothing before its template is rendered."""
    from jinja2 import pass_context

    wanted = getattr(getattr(filter_, "jinja_pass_arg", None), "name", "")

    @pass_context
    def bounded(context: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401  # as Jinja2 calls it
        first = {"eval_context": [context.eval_ctx], "environment": [context.environment]}.get(wanted, [])
        made = filter_(*first, *given, **named)
        if isinstance(made, int | float):
            return _bounded(made)
        length = len(made) if isinstance(made, str) else 0
        left = _WORK.get([_MOST_WORK])
        left[0] -= length
        if length > MAX_TEXT or left[0] < 0:
            raise UsageError(f"filters give more than {MAX_TEXT:,} characters", advice="write a shorter template")
        return made

    return bounded


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
