"""Whom the actions of an escalation reach, and values that no message or webhook can have. Notes what cannot be.

In a stage of the operator's, whatever leaves the machine goes by the route `operator` or by one that is marked
`audience: operator`; what changes a repository that others see comes later.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from orchestrator.catalogue import CATALOGUE
from orchestrator.document import Map, Seq, shown
from orchestrator.escalations import shape
from orchestrator.escalations.texts import control_in
from orchestrator.plans.model import Plan
from orchestrator.plans.spot import Spot

OPERATOR = "operator"
"""The route of who can renew, and whose stages those are."""
MESSAGE, WEBHOOK = "send_message", "call_webhook"
_SENT = frozenset({MESSAGE, WEBHOOK})
_ADDRESSING = ("channel", "to", "url", "endpoint")
_QUIET = frozenset({"write_file"})
"""Actions on a repository that nobody else sees."""
_TEXTS = {
    MESSAGE: ("channel", "subject", "body", "html", "reply_to"),
    WEBHOOK: ("endpoint", "url", "method", "key"),
}
_MAIL = re.compile(r"[^\s@<>(),;:\"\[\]\\]{1,64}@(?:[^\s@<>(),;:\"\[\]\\.]+\.)*[^\s@<>(),;:\"\[\]\\.]+")
_METHOD = re.compile(r"[A-Za-z]{1,20}")


class Reach:
    """Looks at whom one escalation's stages reach."""

    def __init__(self, model: shape.Escalation, spot: Spot) -> None:
        self._model, self._spot = model, spot
        self._ours = {
            name for name, route in model.routes.items() if name == OPERATOR or route.get("audience") == OPERATOR
        }

    def check(self, rows: Sequence[Mapping[str, Any]], plans: Mapping[str, Plan]) -> None:
        """Note what a stage of the operator's does that reaches others."""
        for model, stage in zip(self._model.stages, self._spot.items("stages"), strict=False):
            if model.audience != OPERATOR or not rows:
                continue
            for action, spot in zip(model.actions, stage.items("actions"), strict=False):
                self._check_action(action, spot)
            plan = plans.get(model.name)
            for step in (one.action for _, one in plan.steps()) if plan else ():
                if step in _SENT or _is_seen(step):
                    stage.below("plan").error(
                        f"a plan with {step} in a stage of the operator's", "`audience: custodians` or `public`"
                    )
                    break

    def _check_action(self, action: shape.Action, spot: Spot) -> None:
        advice = f"routes for the operator are {OPERATOR!r} and those with `audience: operator`"
        if _is_seen(action.action):
            seen = f"{action.action} in a stage of the operator's"
            spot.below("action").error(seen, "`audience: custodians` or `public`: others see it")
        elif action.action not in _SENT:
            return
        elif action.route and action.route not in self._ours:
            if action.route in self._model.routes:
                seen = f"the route {shown(action.route)} in a stage of the operator's"
                spot.below("route").error(seen, "a route for the operator", advice.replace("'", "`"))
        elif name := next((one for one in _ADDRESSING if one in action.with_ or one in action.text), ""):
            seen = f"`{name}` of a {'message' if action.action == MESSAGE else 'webhook'} for the operator"
            spot.error(seen, "it from a route for the operator alone", advice.replace("'", "`"))
        elif not action.route:
            spot.error(f"{action.action} without a route in a stage of the operator's", "`route: operator`")


def host_of(url: str) -> str:
    """Return the host of a URL in the one form that two spellings of it have in common; "" where it has none.

    Raises:
        ValueError: the URL is none, or its port is out of range.
    """
    parts = urlsplit(url)
    _ = parts.port  # out of range, it is refused
    host = unicodedata.normalize("NFKC", parts.hostname or "").rstrip(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode().lower().rstrip(".")
    except UnicodeError as error:
        raise ValueError("a host that has no name in ASCII") from error


def check_to(given: Mapping[str, Any], spot: Spot) -> None:
    """Note recipients that are none, or named twice."""
    for name, seen, expected in _recipients(given):
        spot.below(name).error(seen, expected)


def check_characters(spot: Spot) -> None:
    """Note texts below a place that hold what no text may."""
    value = spot.value
    if isinstance(value, Map):
        for name in value:
            check_characters(spot.below(name))
    elif isinstance(value, Seq):
        for place in range(len(value)):
            check_characters(spot.below(place))
    elif isinstance(value, str) and (at := control_in(value)) >= 0:
        spot.error(f"the character U+{ord(value[at]):04X}", "text, line breaks and tabs")


def wrong_values(action: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield parameters of a message or a webhook that cannot be: their name, what was seen and what was expected."""
    for name in (one for one in _TEXTS[action] if one in given):
        value = given[name]
        if not isinstance(value, str) or not value:
            yield name, f"`{name}` {shown(value)}", "some text"
        elif "{{" in value:  # a reference or a template: what it comes to is looked at then
            continue
        elif name == "reply_to" and not _MAIL.fullmatch(value.strip()):
            yield name, shown(value), "one mail address such as ada@acme.example, without a name"
        elif name == "method" and not _METHOD.fullmatch(value):
            yield name, shown(value), "a method such as POST"
        elif name == "url" and not re.fullmatch(r"https?://[^\s/]\S*", value):
            yield name, shown(value), "an `https://` URL"
    if action == MESSAGE:
        yield from _recipients(given)
    for name in ("headers", "query"):
        if action == WEBHOOK and not isinstance(given.get(name, {}), Mapping):
            yield name, f"`{name}` {shown(given[name])}", "names and their values"


def _recipients(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "to" not in given:
        return
    to = given["to"]
    named = [to] if isinstance(to, str) else to
    if not isinstance(named, list) or not all(isinstance(one, str) and one.strip() for one in named):
        yield "to", f"`to` {shown(to)}", "one recipient or a list of them"
    elif not named:
        yield "to", "`to` without anybody in it", "at least one recipient, or no `to` at all"
    elif len({one.strip().casefold() for one in named}) < len(named):
        yield "to", "the same recipient twice", "each recipient once"


def _is_seen(action: str) -> bool:
    """Whether a built-in action changes what others than the operator see."""
    known = CATALOGUE.get(action)
    return known is not None and known.resource == "repository" and action not in _QUIET
