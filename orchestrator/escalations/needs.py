"""Which secrets an escalation needs that this machine does not have. Sends nothing; no value is shown or kept."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.adapter import adapter_for
from orchestrator.errors import AdapterError, UsageError
from orchestrator.escalations.deeds import MESSAGE, WEBHOOK
from orchestrator.escalations.model import Escalation
from orchestrator.ledger.mask import Mask
from orchestrator.plans.model import Plan
from orchestrator.secret import Secrets, references
from orchestrator.settings import Settings

HEARTBEAT = "heartbeat"


class Needs:
    """What an action refers to, in its own parameters and in what the operator's file adds to them."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._settings = settings
        self._secrets = Secrets(settings.secrets, environ, Mask.of(environ))

    def lacking(self, action: str, parameters: Mapping[str, Any], adapter: str | None = None) -> tuple[str, ...]:
        """Return a phrase for each secret that cannot be used here, in the order in which they are named."""
        said = []
        for name in dict.fromkeys(self._names(action, parameters, adapter)):
            try:
                self._secrets.reveal(f"${{{{ secrets.{name} }}}}", action)
            except AdapterError as error:
                said.append(str(error))
        return tuple(said)

    def of(self, escalation: Escalation) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield `stage/action`, `stage/(plan)/step` and `heartbeat` that lack a secret, with what they lack."""
        for stage in escalation.stages:
            wanted = [(deed.id, deed.action, deed.parameters, deed.adapter) for deed in stage.deeds]
            if stage.planned is not None:
                steps = Plan.of(stage.planned.plan).steps()
                wanted += [(f"(plan)/{one.id}", one.action, one.parameters, one.adapter) for _, one in steps]
            for name, action, parameters, adapter in wanted:
                if lacks := self.lacking(action, parameters, adapter):
                    yield f"{stage.name}/{name}", lacks
        if escalation.heartbeat and (lacks := self.lacking(WEBHOOK, escalation.heartbeat)):
            yield HEARTBEAT, lacks

    def _names(self, action: str, parameters: Mapping[str, Any], adapter: str | None) -> Iterator[str]:
        yield from references(parameters)
        if action == MESSAGE:
            channel = self._settings.channels.get(str(parameters.get("channel")), {})
            yield from references(channel)
            adapter = str(channel.get("adapter") or "")
        elif adapter is None:
            try:
                adapter = adapter_for(action).name
            except UsageError:
                return  # that nobody does it is told elsewhere
        own = dict(self._settings.adapters.get(adapter or "", {}))
        endpoints = own.pop("endpoints", {})
        yield from references(own)
        if action == WEBHOOK and isinstance(endpoints, Mapping):
            yield from references(endpoints.get(str(parameters.get("endpoint")), {}))
