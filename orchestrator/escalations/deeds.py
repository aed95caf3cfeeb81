"""The actions of a stage, from their model to rows: parameters from one place each, templates looked at and tried."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.catalogue import CATALOGUE
from orchestrator.clock import SECOND_NS
from orchestrator.document import shown
from orchestrator.errors import OrchError, Problem
from orchestrator.escalations import shape, templates
from orchestrator.escalations.beside import Beside
from orchestrator.escalations.durations import seconds
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.reach import check_characters, wrong_values
from orchestrator.escalations.texts import scope_of, situation_of, text
from orchestrator.notes import Use
from orchestrator.plans.abilities import Abilities
from orchestrator.plans.seen import Seen, check_references
from orchestrator.plans.spot import Spot
from orchestrator.plans.steps import micro_units
from orchestrator.rule import METERS
from orchestrator.words import did_you_mean, listing

MESSAGE, WEBHOOK = "send_message", "call_webhook"
MOST = 999
"""Most actions of a stage: it is entered with all of them in one event."""
MAX_SUBJECT = 400
"""Longest subject of a message, in characters."""
_LONGEST_S = 7 * 86_400
_NO_TEMPLATE = frozenset({"template", "values"})
_ELSE = {"documents", "repository", "values"}
"""Parameters of built-in actions that become something else in a request."""
_OWN_ADAPTERS = frozenset({"", "apprise", "mail", "webhook"})
_SECRETS_ALONE = Seen({}, {}, roots=("secrets",))


class Deeds:
    """Reads the actions of one escalation's stages."""

    def __init__(self, model: shape.Escalation, beside: Beside, can: Abilities, routes: Mapping[str, Any]) -> None:
        self.uses: list[Use] = []
        """Actions that a pack has to declare."""
        self._to_try: list[tuple[Spot, int, str, dict[str, str]]] = []
        """Where templates are named, by which of the stages and for which action, and the templates."""
        self._constants = dict(model.constants)
        self._beside, self._can, self._routes = beside, can, routes

    def read(self, model: shape.Stage, spot: Spot, place: int) -> list[dict[str, Any]]:
        """Return the rows of one stage's actions."""
        rows: dict[str, dict[str, Any]] = {}
        if len(model.actions) > MOST:
            spot.items("actions")[MOST].error(f"{len(model.actions):,} actions of a stage", f"at most {MOST}")
            return []
        for action, under in zip(model.actions, spot.items("actions"), strict=True):
            if action.id in rows:
                under.below("id").error(f"a second action {shown(action.id)}", "each id once in a stage")
            rows.setdefault(action.id, self._row(action, under, place))
        return list(rows.values())

    def _row(self, model: shape.Action, spot: Spot, place: int) -> dict[str, Any]:
        self._check_action(model, spot)
        texts = self._texts(model, spot)
        parameters = self._parameters(model, spot, texts)
        is_whole = not model.template or any(name not in model.text for name in texts)
        check_parameters(model.action, {**parameters, **texts}, spot, adapter=model.adapter, is_whole=is_whole)
        if texts:
            self._to_try.append((spot, place, model.action, texts))
        timeout_s = seconds(spot.below("timeout"), 300)
        if timeout_s > _LONGEST_S:
            spot.below("timeout").error(shown(model.timeout), "at most 7d")
        return {
            "id": model.id,
            "action": model.action,
            "parameters": parameters,
            "texts": texts,
            "adapter": model.adapter or None,
            "on_unknown": model.on_unknown,
            "timeout_s": timeout_s,
            "estimates": self._estimates(model, spot.below("estimates")),
        }

    def _estimates(self, model: shape.Action, spot: Spot) -> dict[str, int]:
        """Return micro-units by meter; whether a meter is declared is seen when all packs are there."""
        own = (meter for meter in model.estimates if meter not in METERS)
        self.uses += [Use("meter", meter, spot.notes.source(spot.below(meter).place)) for meter in own]
        return {meter: micro_units(amount, spot.below(meter)) for meter, amount in model.estimates.items()}

    def _parameters(self, model: shape.Action, spot: Spot, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return what is not rendered: the route's parameters and those written out."""
        route: Mapping[str, Any] = {}
        if model.route and model.route not in self._routes:
            known = listing(sorted(self._routes)) if self._routes else "a route under `routes:`"
            near = did_you_mean(model.route, self._routes)
            spot.below("route").error(f"the route {shown(model.route)}, which is not there", known, near)
        elif model.route:
            route = self._routes[model.route]
        own = read_parameters(spot.below("with")) if "with_" in model.model_fields_set else {}
        for name in sorted({*own, *texts} & route.keys()):
            spot.below("route").error(f"`{name}` of the route and of the action", "each parameter from one place")
        for name in sorted(own.keys() & texts.keys()):
            spot.below("with").key_error(name, f"`{name}` under `with` and as a text", "each parameter from one place")
        return {**route, **own}

    def _texts(self, model: shape.Action, spot: Spot) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, source in model.text.items():
            under = spot.below("text", name)
            for wrong in templates.objections(source, self._constants):
                line = f", in line {wrong.line} of it" if "\n" in source.strip("\n") else ""
                under.error(wrong.seen + line, wrong.expected, wrong.advice)
            found[name] = source
        if model.template:
            for name, source in self._of_file(spot.below("template")).items():
                if name in found:
                    seen = f"`{name}` under `text` and in the template"
                    spot.below("text").key_error(name, seen, "each parameter from one place")
                found[name] = source
        return found

    def _of_file(self, spot: Spot) -> dict[str, str]:
        data = self._beside.read(spot, (".j2",))
        if data is None:
            return {}
        name = self._beside.name(str(spot.value))
        try:
            source = data.decode()
        except UnicodeDecodeError:
            self._beside.tell([Problem(name, 1, 1, "bytes that are no UTF-8", "UTF-8 text")])
            return {}
        if len(source) > shape.MAX_TEMPLATE:
            spot.error(f"a template of {len(source):,} characters", f"at most {shape.MAX_TEMPLATE:,}")
            return {}
        wrong = templates.objections(source, self._constants, may_have_blocks=True)
        lines = source.split("\n")
        self._beside.tell(
            [
                Problem(name, one.line, templates.column(lines[one.line - 1], one.word), *one[2:])
                for one in wrong
                if one.line <= len(lines)
            ]
        )
        return {} if wrong else templates.blocks(source)

    def _check_action(self, model: shape.Action, spot: Spot) -> None:
        """Note an action that nobody here does, or not by the adapter that is named."""
        action, adapter, can = model.action, model.adapter, self._can
        able, at = can.doing(action), spot.below("action")
        if adapter and adapter not in can.adapters and adapter not in can.broken:
            known = listing(sorted(can.adapters)) or "one that is installed"
            near = did_you_mean(adapter, can.adapters) or "install the package that brings it"
            spot.below("adapter").error(f"the adapter {shown(adapter)}, which is not installed", known, near)
        elif not able and can.broken:
            at.warning(f"the action {shown(action)}, which no adapter that can be loaded does", "an adapter that does")
        elif not able:
            near = did_you_mean(action, can.actions()) or "see docs/actions.md"
            kind = "action" if action in CATALOGUE else "unknown action"
            at.error(f"the {kind} {shown(action)}", "one that an installed adapter does", near)
        elif adapter and adapter not in {*able, *can.broken}:
            spot.below("adapter").error(f"the adapter {shown(adapter)}, which cannot do {action}", listing(able))
        elif len(able) > 1 and not adapter and action != MESSAGE:  # of a message the channel says it
            at.error(f"{action}, which {listing(able)} can do", f"`adapter: {able[0]}`, or another of them")
        if able and action not in CATALOGUE:
            self.uses.append(Use("action", action, spot.notes.source(at.place)))

    def try_out(self, escalation: Escalation) -> None:
        """Render every template as its stage would, before the deadline and after, in a drill and not."""
        for spot, place, action, texts in self._to_try:
            for name, source in texts.items():
                is_inline = isinstance(written := spot.below("text").value, dict) and name in written
                at = spot.below("text", name) if is_inline else spot.below("template")
                try:
                    wrong = _objection(action, name, list(_trials(escalation, place, name, source)))
                except OrchError as error:
                    at.error(str(error), "", error.advice)
                    continue
                if wrong:
                    at.error(*wrong)


def _trials(escalation: Escalation, place: int, name: str, source: str) -> Iterator[str]:
    """Yield what a template gives in situations that differ. Raises as `texts.rendered`."""
    deadline = 2_000_000_000 * SECOND_NS
    for cycle, late_s, is_drill in ((1, -86_400, False), (2, 0, True), (12_345, 86_400, False)):
        now = deadline + late_s * SECOND_NS
        said = situation_of(escalation, place, cycle=cycle, deadline_ns=deadline, entered_at_ns=now, is_drill=is_drill)
        yield text(source, scope_of(said, escalation.constants), name)


def _objection(action: str, name: str, given: list[str]) -> tuple[str, str] | None:
    """Return what is wrong with the texts that a message's parameter can have."""
    if action != MESSAGE:
        return None
    for one in given:
        if name == "subject" and (not one.isprintable() or len(one) > MAX_SUBJECT):
            return f"a subject that can be {shown(one)}", f"one line, at most {MAX_SUBJECT} characters"
        if name == "body" and not one.strip():
            return "a body that can be empty", "some text in every situation"
    return None


def read_parameters(spot: Spot) -> dict[str, Any]:
    """Return the parameters that stand here as JSON; what they cannot hold is noted."""
    check_references(spot, _SECRETS_ALONE)
    check_characters(spot)
    found = spot.json()
    return found if isinstance(found, dict) else {}


def check_parameters(
    action: str, given: Mapping[str, Any], spot: Spot, *, adapter: str = "", is_whole: bool = True
) -> None:
    """Note parameters that a built-in action cannot have, and what a message or a webhook cannot do without.

    Not `is_whole`: more would be given, had a template been read.
    """
    known = CATALOGUE.get(action)
    if known is None or known.arguments is None or adapter not in _OWN_ADAPTERS:
        return
    names = sorted({*known.arguments, *known.has})
    is_ours = action in {MESSAGE, WEBHOOK}
    for name in given:
        if name in names and not (is_ours and name in _NO_TEMPLATE):
            continue
        if is_ours and name in _NO_TEMPLATE:
            _tell(spot, name, f"the parameter `{name}`", "`template:` of the action, beside `with:`")
        elif is_ours:
            _tell(
                spot,
                name,
                f"the parameter `{name}`",
                listing(sorted({*names} - _NO_TEMPLATE)),
                did_you_mean(name, names),
            )
        elif name not in _ELSE:
            spot.warning(f"the parameter `{name}`, which {action} may not have", listing(names))
    if action == MESSAGE and is_whole and (missing := {"channel", "body"} - given.keys()):
        advice = "a route gives `channel` and `to`; `text:` or `template:` gives `subject` and `body`"
        spot.error(f"a message without `{min(missing)}`", "`channel` and `body`", advice)
    if action == WEBHOOK and not {"url", "endpoint"} & given.keys():
        spot.error("a webhook without `url`", "`url`, or an `endpoint` of the operator's file")
    for name, seen, expected in wrong_values(action, given) if is_ours else ():
        _tell(spot, name, seen, expected)


def _tell(spot: Spot, name: str, seen: str, expected: str, advice: str = "") -> None:
    """Note something of a parameter, where it is written; at the action where that is elsewhere."""
    for key in ("with", "text"):
        if isinstance(spot.below(key).value, dict) and name in spot.below(key).value:
            spot.below(key).key_error(name, seen, expected, advice)
            return
    if isinstance(spot.value, dict) and name in spot.value:
        spot.key_error(name, seen, expected, advice)
        return
    spot.error(seen, expected, advice)
