"""Actions that are done by being allowed: opening the gate behind a phase of a plan. Touches nothing outside."""

from orchestrator.adapter import Action, Delivery, Effect, Place, Prepared, Receipt, Wanted
from orchestrator.catalogue import CATALOGUE
from orchestrator.errors import UsageError

RESOURCE = "phase"


def is_opening(action: str) -> bool:
    """Return whether an action is one of these."""
    known = CATALOGUE.get(action)
    return known is not None and known.resource == RESOURCE


class Opening:
    """Does approve_phase and auto_approve. Part of orch itself, so no entry point names it."""

    name = "gate"
    actions = frozenset(name for name, action in CATALOGUE.items() if action.resource == RESOURCE)

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:  # noqa: ARG002  # the Protocol's
        """Return the opening of the gate that the parameter `resource` names, `plan:phase`."""
        properties = dict(wanted.parameters)
        name = properties.pop("resource", None)
        if not isinstance(name, str) or not name:
            raise UsageError(f"{wanted.action} needs `resource`: the plan and its phase", advice="resource: plan:phase")
        resource = {"type": RESOURCE, "id": name, "properties": {}}
        return Prepared(resource, properties, Effect.READ, is_replayable=True)

    def perform(self, action: Action, key: str) -> Receipt:  # noqa: ARG002  # the Protocol's
        """Return that it is open."""
        action.recheck()
        return Receipt(Delivery.DELIVERED, reference=str(action.resource["id"]))

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return that it was not opened: there is no place outside where it could have been."""
        return Receipt(Delivery.RETRYABLE, detail="the gate was not opened")
