"""States and rules of another project as stages with thresholds. What a rule asks beside the clock is not guessed.

A rule that sets REMIND_1 `when time_to_deadline_minutes_lte: 360` is a stage 6 h before the deadline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.escalations.foreign import Draft, DraftStage, stage_name, tell
from orchestrator.plans.foreign import Node, duration_text

_BEFORE, _AFTER = "time_to_deadline_minutes", "overdue_minutes"
_OPERATORS = ("_lte", "_lt", "_gte", "_gt")
_MINUTE_S = 60
_MOST_MINUTES = 366 * 24 * 60
_MOST_LOCKOUT = 100


@dataclass
class _Read:
    """What a rule's conditions say."""

    at_s: int | None = None
    sources: list[str] = field(default_factory=list)
    """States it may be taken from."""
    differs: list[str] = field(default_factory=list)
    """What is different here."""
    strange: list[str] = field(default_factory=list)
    """Conditions that a stage cannot have."""


def take_states(node: Node, draft: Draft) -> None:
    """Take the states, in their order, as stages that have no threshold yet."""
    fields = node.fields()
    found = []
    for at, each in enumerate(fields["states"].items() if "states" in fields else []):
        own = each.fields()
        name = own["name"].text() if "name" in own else None
        if name is None:
            tell(each, "", "a state without a name")
            continue
        order = own["order"].number() if "order" in own else None
        found.append((at if order is None else order, at, name, each))
    for _, _, name, each in sorted(found, key=lambda one: one[:2]):
        stage = DraftStage(stage_name(name), name, each)
        if any(known.name == stage.name for known in draft.stages):
            tell(each, "", f"there is a state {stage.name} already")
            continue
        draft.stages.append(stage)
        said = each.fields().get("description")
        if said is not None and (text := said.text()):
            stage.comments.append(text)
        if "flags" in each.fields():
            why = "who hears of a stage follows from whom its actions write to"
            tell(each.fields()["flags"], "", why)
    _take_beside(fields, draft)


def take_rules(node: Node, draft: Draft) -> None:
    """Take each rule: as a stage's threshold, as the lockout, or as what is built in; else tell why not."""
    fields = node.fields()
    constants = fields.get("constants")
    values = dict(constants.value) if constants is not None and isinstance(constants.value, Mapping) else {}
    used: dict[str, list[str]] = {}
    for each in fields["rules"].items() if "rules" in fields else []:
        name = str(each.value.get("id", "")) if isinstance(each.value, Mapping) else ""
        _take_rule(each, draft, values)
        for constant in _constants_in(each.value):
            used.setdefault(constant, []).append(name or "a rule")
    if constants is not None:
        for constant in values:
            rules = ", ".join(dict.fromkeys(used.get(constant, [])))
            tell(constants.below(constant), f"what {rules} says" if rules else "", "" if rules else "no rule uses it")
    for name in ("inputs",):
        if name in fields:
            tell(fields[name], "", "what is known at a tick is fixed: docs/tick.md")


def settle(draft: Draft) -> None:
    """Leave out the stages that nothing enters, or not after the one before."""
    kept: list[DraftStage] = draft.stages[:1]
    for stage in draft.stages[1:]:
        before = kept[-1].at_s
        if stage.at_s is None:
            tell(stage.node, "", "no rule that can be kept enters it; its actions are left out, too")
        elif before is not None and stage.at_s <= before:
            why = f"it is due at {signed(stage.at_s)}, and {kept[-1].state} at {signed(before)}: each stage comes later"
            tell(stage.node, "", f"{why} than the one before; its actions are left out, too")
        else:
            tell(stage.node, f"the stage {stage.name}, at {signed(stage.at_s)}")
            kept.append(stage)
    if kept:
        tell(kept[0].node, f"the first stage, {kept[0].name}")
    draft.stages = kept


def signed(seconds: int) -> str:
    """Return a threshold as a stage has it: `-6h`, `0s`, `1m`."""
    return f"-{duration_text(-seconds)}" if seconds < 0 else duration_text(seconds)


def _take_beside(fields: Mapping[str, Node], draft: Draft) -> None:
    first = draft.stages[0].state if draft.stages else ""
    last = draft.stages[-1].state if draft.stages else ""
    if (terminal := fields.get("terminal_states")) is not None:
        is_last = terminal.value == [last]
        tell(terminal, "the last stage" if is_last else "", "" if is_last else "only the last stage is the end")
    if (resets := fields.get("reset_behavior")) is not None:
        for each in resets.fields().values():
            is_first = isinstance(each.value, Mapping) and each.value.get("target_state") == first
            becomes = "built in: a renewal and `orch reset` begin a new cycle in the first stage"
            tell(each, becomes if is_first else "", "" if is_first else "nothing leads back but to the first stage")
    if (defaults := fields.get("stage_progression_defaults")) is not None:
        tell(defaults, "built in: stages are entered in their order")


def _take_rule(node: Node, draft: Draft, constants: Mapping[str, Any]) -> None:
    fields = node.fields()
    when = fields["when"].value if "when" in fields else None
    then = fields["then"].value if "then" in fields else None
    if not isinstance(when, Mapping) or not isinstance(then, Mapping):
        tell(node, "", "its `when` and `then` are not both mappings")
        return
    target = then.get("set_state")
    if target is not None:
        _take_threshold(node, draft, when, str(target), constants)
    elif _is_lockout(when, then):
        _take_lockout(node, draft, when, constants)
    elif "enforce" in then and then["enforce"] == {"monotonic_state_progression": True}:
        tell(node, "built in: an escalation only goes forward")
    else:
        tell(node, "", "it sets no state, and nothing else that a rule could do can be said here")


def _take_threshold(
    node: Node, draft: Draft, when: Mapping[str, Any], target: str, constants: Mapping[str, Any]
) -> None:
    stage = draft.stage_of(target)
    if stage is None:
        tell(node, "", f"there is no state {target}")
        return
    if stage is draft.stages[0]:
        is_renewal = when == {"renewal.renewed_this_tick": True}
        why = "" if is_renewal else "nothing leads back to the first stage but a renewal, `orch reset` or `orch disarm`"
        tell(node, "built in: a renewal begins a new cycle in the first stage" if is_renewal else "", why)
        return
    read = _conditions(when, constants)
    if read.strange:
        tell(node, "", f"it asks for {', '.join(read.strange)}; a stage follows from the clock alone")
    elif read.at_s is None:
        tell(node, "", "it says no time at which the stage begins")
    elif stage.at_s is not None:
        tell(node, "", f"another rule says when {target} begins")
    else:
        stage.at_s = read.at_s
        read.differs += _order(read, stage, draft)
        tell(node, f"at: {signed(read.at_s)} of {stage.name}", "; ".join(read.differs))


def _conditions(when: Mapping[str, Any], constants: Mapping[str, Any]) -> _Read:
    read = _Read()
    for key, given in when.items():
        value = constants.get(given.removeprefix("constants.")) if _is_constant(given) else given
        bare = next((key.removesuffix(each) for each in _OPERATORS if key.endswith(each)), key)
        operator, name = key[len(bare) :], bare.removeprefix("time.").removeprefix("timer.")
        minutes = value if type(value) is int and 0 <= value <= _MOST_MINUTES else None
        if key in {"state_is", "state_in"}:
            read.sources = [str(each) for each in (value if isinstance(value, list) else [value])]
        elif key == "always" and value is True:
            continue
        elif key == "mode.armed" and value is True:
            read.differs.append("that it is armed is asked of every stage")
        elif name == _BEFORE and minutes is not None and operator in {"_lte", "_lt"}:
            read.at_s = -minutes * _MINUTE_S if read.at_s is None else read.at_s
            if operator == "_lte":
                read.differs.append("minutes were rounded down there, so it began up to a minute earlier")
        elif name == _AFTER and minutes is not None and (operator == "_gt" or (operator == "_gte" and minutes)):
            read.at_s = (minutes + (operator == "_gt")) * _MINUTE_S
        elif name in {_BEFORE, _AFTER} and minutes is not None and operator:
            read.differs.append(
                f"{name.replace('_', ' ')} {_words(operator)} {value} is not asked: a late tick still enters it"
            )
        else:
            read.strange.append(f"`{key}`" if not _is_constant(given) or value is not None else f"`{given}`")
    return read


def _order(read: _Read, stage: DraftStage, draft: Draft) -> list[str]:
    """Return what is different in the states it can be entered from."""
    place = draft.stages.index(stage)
    before = [each.state for each in draft.stages[:place]]
    said = []
    if back := [state for state in read.sources if state not in before]:
        said.append(f"it is not entered from {', '.join(back)}, which comes no earlier")
    if len(before) > 1 and any(state in read.sources for state in before[:-1]):
        said.append(f"after missed ticks {before[-1]} is not skipped: catch_up is walk")
    if read.sources and before[-1] not in read.sources:
        said.append(f"it is entered from {before[-1]} alone")
    return said


def _is_lockout(when: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    changes = then.get("set")
    has_count = any(key.startswith("security.failed_attempts_") for key in when)
    return has_count and isinstance(changes, Mapping) and "security.lockout_active" in changes


def _take_lockout(node: Node, draft: Draft, when: Mapping[str, Any], constants: Mapping[str, Any]) -> None:
    given = next(value for key, value in when.items() if key.startswith("security.failed_attempts_"))
    value = constants.get(given.removeprefix("constants.")) if _is_constant(given) else given
    if type(value) is not int or not 1 <= value <= _MOST_LOCKOUT:
        tell(node, "", "how many wrong codes it allows is no number from 1 to 100")
        return
    draft.lockout_after = value
    why = "a lock counts for the source of the wrong codes alone, doubles, and ends before anything outward could begin"
    tell(node, f"renewal.lockout.after: {value}", why)


def _constants_in(value: Any) -> list[str]:  # noqa: ANN401  # JSON
    """Return the constants that a rule names."""
    if _is_constant(value):
        return [value.removeprefix("constants.")]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [name for each in inner for name in _constants_in(each)]


def _is_constant(value: Any) -> bool:  # noqa: ANN401  # JSON
    return isinstance(value, str) and value.startswith("constants.")


def _words(operator: str) -> str:
    return {"_lte": "at most", "_lt": "below", "_gte": "at least", "_gt": "above"}[operator]
