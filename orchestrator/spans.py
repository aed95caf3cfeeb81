"""Decisions as OpenTelemetry spans: only where its SDK is installed and the environment says where spans go.

Says what was recorded; a collector that is away changes no decision.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator import clock
from orchestrator.decision import Decision
from orchestrator.request import subject_name

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_SAYS_WHERE = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_GROUP = "opentelemetry_traces_exporter"


def is_configured(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether spans are wanted, by the variables that OpenTelemetry itself reads."""
    environ = os.environ if environ is None else environ
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not is_off and any(environ.get(name) for name in _SAYS_WHERE)


def export(decisions: Iterable[Decision], traceparent: str = "") -> None:
    """Send a span for each decision, below the caller's trace; does nothing where the SDK is not installed.

    Never fails: what is decided and recorded stays so. What went wrong is logged.
    """
    try:
        tracer = _tracer()
        if tracer is not None:
            _sent(tracer, decisions, traceparent)
    except Exception as error:  # noqa: BLE001  # whatever an exporter does, the decision was made
        logging.getLogger(__name__).warning("spans are not sent: %s: %s", type(error).__name__, error)


def _sent(tracer: "Tracer", decisions: Iterable[Decision], traceparent: str) -> None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    for decision in decisions:
        context = decision.context
        span = tracer.start_span(
            "orch.decision", parent, start_time=clock.parse_time(context["evaluated_at"]), attributes=_said(decision)
        )
        span.end()


def _said(decision: Decision) -> dict[str, str | bool]:
    """Return what a span says: names and digests, never text that somebody wrote."""
    context, asked = decision.context, decision.request
    is_valid = context["reason"] != "invalid_request"
    said = {
        "orch.evaluation_id": context["evaluation_id"],
        "orch.outcome": context["outcome"],
        "orch.would": context["would"],
        "orch.reason": context["reason"],
        "orch.point": context["point"],
        "orch.policy.digest": context["policy"]["digest"],
        "orch.action.digest": context["action_digest"] or "",
        "orch.subject": (subject_name(asked) if is_valid else None) or "",
        "orch.action": asked["action"]["name"] if is_valid else "",
        "orch.resource": asked["resource"]["id"] if is_valid else "",
    }
    return {name: value for name, value in said.items() if value != ""} | {"orch.claimed": context["claimed"]}


@lru_cache(maxsize=1)
def _tracer() -> "Tracer | None":
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):  # the program around us set up none
        provider = _provider()
    return provider.get_tracer("orch")


def _provider() -> "TracerProvider":
    """Return a provider that sends to where the environment says; it sends what is left when the process ends."""
    from importlib.metadata import entry_points

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "orch"}))
    for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        spelled = {"otlp_proto_http", "otlp_proto_grpc"} if name.strip() == "otlp" else {name.strip()}
        for found in entry_points(group=_GROUP):
            if found.name in spelled:
                provider.add_span_processor(BatchSpanProcessor(found.load()()))
                break
    return provider
