"""Actions that are done by being allowed: opening the gate behind a phase of a plan, a tick of an escalation.

Touches nothing outside.
"""

from orchestrator.adapter import Action, Delivery, Effect, Place, Prepared, Receipt, Wanted
from orchestrator.catalogue import CATALOGUE
from orchestrator.errors import UsageError

_NAMED = {"phase": ("the plan and its phase", "plan:phase"), "escalation": ("the escalation", "its name")}
"""Resource type to what its id says, and an example."""


def is_opening(action: str) -> bool:
    """Return whether an action is one of these."""
    known = CATALOGUE.get(action)
    return known is not None and known.resource in _NAMED


class Opening:
    """Does approve_phase and auto_approve, tick, enter_stage and control_escalation.

    Part of orch itself, so no entry point names it.
    """

    name = "gate"
    actions = frozenset(name for name in CATALOGUE if is_opening(name))

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:  # noqa: ARG002  # the Protocol's
        """Return the opening of what the parameter `resource` names: a gate, `plan:phase`, or an escalation."""
        properties = dict(wanted.parameters)
        name = properties.pop("resource", None)
        kind = CATALOGUE[wanted.action].resource
        if not isinstance(name, str) or not name:
            what, example = _NAMED[kind]
            raise UsageError(f"{wanted.action} needs `resource`: {what}", advice=f"resource: {example}")
        resource = {"type": kind, "id": name, "properties": {}}
        return Prepared(resource, properties, Effect.READ, is_replayable=True)

    def perform(self, action: Action, key: str) -> Receipt:  # noqa: ARG002  # the Protocol's
        """Return that it is open."""
        action.recheck()
        return Receipt(Delivery.DELIVERED, reference=str(action.resource["id"]))

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return that it was not opened: there is no place outside where it could have been."""
        return Receipt(Delivery.RETRYABLE, detail="it was not opened")
