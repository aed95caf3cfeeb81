"""A place for adapters that send, and one call from parameters to receipt as the executor makes it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.adapter import Action, Adapter, Delivery, ErrorClass, Place, Prepared, Receipt, Wanted
from orchestrator.errors import AdapterError
from orchestrator.ledger.mask import Mask
from orchestrator.secret import Secrets

KEY = "5f" * 32
"""An action's key."""


@dataclass
class Desk:
    """Somebody who has actions done by one adapter."""

    adapter: Adapter
    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    channels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    kept: list[tuple[bytes, str, str]] = field(default_factory=list)
    """Artifacts: content, name, media type."""

    @property
    def place(self) -> Place:
        """Where actions are done."""
        secrets = Secrets({name: {"env": name} for name in self.secrets}, self.secrets, Mask())
        return Place(
            self.root, "acme/web", self.settings, self.channels, secrets.revealer("any"), self._keep, self.environ
        )

    def prepared(self, **parameters: Any) -> Prepared:  # noqa: ANN401  # JSON
        """Return the action as it is decided."""
        (action,) = self.adapter.actions
        return self.adapter.prepare(Wanted(action, parameters), self.place)

    def action(self, prepared: Prepared, target: str | None = None, **more: Any) -> Action:  # noqa: ANN401  # fields of Action
        """Return what is performed."""
        (name,) = self.adapter.actions
        first = prepared.targets[0] if target is None else target
        fields = {"timeout_s": 5.0} | more
        return Action(name, prepared.resource, prepared.properties, first, prepared.fixed, self.place, **fields)

    def sent(
        self,
        *,
        action_key: str = KEY,
        recheck: Callable[[], None] = lambda: None,
        timeout_s: float = 5.0,
        **given: Any,  # noqa: ANN401  # JSON
    ) -> Receipt:
        """Prepare and perform for the first target, and return what became of it."""
        action = self.action(self.prepared(**given), recheck=recheck, timeout_s=timeout_s)
        return receipt_of(lambda: self.adapter.perform(action, action_key))

    def reconciled(self, **given: Any) -> Receipt | None:  # noqa: ANN401  # JSON
        """Return what is found outside."""
        return self.adapter.reconcile(self.action(self.prepared(**given)), KEY)

    def _keep(self, stream: BinaryIO, name: str, media_type: str) -> str:
        self.kept.append((stream.read(), name, media_type))
        return f"sha256:{len(self.kept):064x}"


def receipt_of(perform: Callable[[], Receipt]) -> Receipt:
    """Return a receipt, also of the error that an adapter raised instead."""
    try:
        return perform()
    except AdapterError as error:
        error_class = ErrorClass(error.error_class) if error.error_class else None
        return Receipt(Delivery(error.delivery), detail=str(error), error_class=error_class)


def with_endpoints(desk: Desk, **each: Mapping[str, Any]) -> None:
    """Give a desk of webhooks the operator's endpoints."""
    desk.settings = {"endpoints": each}
