"""From the model of a plan's document to `Plan`: defaults filled in, what makes no sense noted. Pure."""

from orchestrator.document import shown
from orchestrator.plans import schema
from orchestrator.plans.abilities import Abilities
from orchestrator.plans.criteria import check_path, read_criteria
from orchestrator.plans.graph import all_steps
from orchestrator.plans.inputs import EXPECTED, is_of_type, is_same
from orchestrator.plans.model import ONCE, Approvals, Input, Phase, Plan, Retry, Tracking
from orchestrator.plans.order import ancestors
from orchestrator.plans.seen import Seen, check_references
from orchestrator.plans.spot import Spot
from orchestrator.plans.steps import Steps, read_retry
from orchestrator.plans.when import read_when
from orchestrator.words import listing

_TIMEOUT_S = 3600.0


def resolved(model: schema.Plan, spot: Spot, can: Abilities) -> Plan:
    """Return the plan that a document says; what is wrong with it is noted."""
    inputs = {name: _input(each, spot.below("inputs", name)) for name, each in model.inputs.items()}
    if model.reports:
        check_path(spot.below("reports"))
    return Plan(
        name=model.metadata.name,
        version=model.metadata.version,
        title=model.metadata.title,
        inputs=inputs,
        phases=_Phases(model, spot, can).read(),
        approvals=Approvals(model.approvals.role, model.approvals.count),
        on_failure=model.on_failure,
        tracking=_tracking(model, spot),
        reports=model.reports.removeprefix("./") or None,
        source=spot.notes.file,
    )


def _input(model: schema.Input, spot: Spot) -> Input:
    is_required = "default" not in model.model_fields_set
    default = spot.below("default").json()
    one_of = tuple(item.json() for item in spot.items("one_of"))
    for item, value in zip(spot.items("one_of"), one_of, strict=True):
        if not is_of_type(value, model.type):
            item.error(shown(item.value), EXPECTED[model.type], f"the input is of the type {model.type}")
    if not is_required and not is_of_type(default, model.type):
        spot.below("default").error(shown(spot.below("default").value), EXPECTED[model.type], _type_advice(default))
    elif not is_required and one_of and not any(is_same(default, each) for each in one_of):
        spot.below("default").error(shown(spot.below("default").value), listing(map(shown, one_of)))
    return Input(model.type, is_required, default, one_of, model.title)


def _type_advice(value: object) -> str:
    for kind in ("boolean", "integer", "number"):
        if is_of_type(value, kind):
            return f"say `type: {kind}`, or write it in quotes"
    return "" if isinstance(value, str) else "say `type: json`"


def _tracking(model: schema.Plan, spot: Spot) -> Tracking | None:
    if "tracking" not in model.model_fields_set:
        return None
    github, under = model.tracking.github, spot.below("tracking", "github")
    seen = Seen(model.inputs, {}, roots=("inputs", "run"))
    check_references(under, seen)
    return Tracking(github.repository or None, github.labels, github.title)


def _ids(phase: Spot, *keys: str) -> tuple[str, ...]:
    return tuple(str(step.below("id").value) for step in all_steps(phase, *keys))


class _Phases:
    """Reads the phases of one plan."""

    def __init__(self, model: schema.Plan, spot: Spot, can: Abilities) -> None:
        self._model = model
        self._spots = spot.items("phases")
        defaults = spot.below("defaults")
        self._retry = read_retry(model.defaults.retry, defaults.below("retry"), Retry())
        has_timeout = "timeout" in model.defaults.model_fields_set
        self._timeout_s = defaults.below("timeout").duration_s(_TIMEOUT_S) if has_timeout else _TIMEOUT_S
        self._needs = {phase.id: phase.needs for phase in model.phases}
        pairs = list(zip(model.phases, self._spots, strict=True))
        self._own = {phase.id: frozenset(_ids(spot, "steps")) for phase, spot in pairs}
        self._owners = {step: phase.id for phase, spot in pairs for step in _ids(spot, "steps", "compensate")}
        self._steps = Steps(can, self._retry)

    def read(self) -> tuple[Phase, ...]:
        """Return the phases, in the order written."""
        return tuple(self._phase(model, spot) for model, spot in zip(self._model.phases, self._spots, strict=True))

    def _phase(self, model: schema.Phase, spot: Spot) -> Phase:
        said = model.model_fields_set
        timeout_s = spot.below("timeout").duration_s(self._timeout_s) if "timeout" in said else self._timeout_s
        seen = self._seen(model)
        steps = self._steps.read(model.steps, spot.items("steps"), seen, timeout_s)
        after = seen.after(*(each.id for step in steps for each in step.all_steps()))
        if not (steps or model.success or model.compensate or model.gate == "manual"):
            spot.warning(f"the phase {shown(model.id)}, which does nothing", "steps or success criteria")
        return Phase(
            id=model.id,
            title=model.title,
            needs=tuple(dict.fromkeys(model.needs)),
            when=read_when(model.if_, spot.below("if"), seen),
            timeout_s=timeout_s,
            retry=read_retry(model.retry, spot.below("retry"), self._retry) if "retry" in said else ONCE,
            gate=model.gate,
            steps=steps,
            success=read_criteria(model.success, spot, after, timeout_s),
            compensate=self._steps.read(model.compensate, spot.items("compensate"), after, timeout_s),
        )

    def _seen(self, model: schema.Phase) -> Seen:
        over = ancestors(self._needs, model.id)
        return Seen(
            inputs=self._model.inputs,
            owners=self._owners,
            phase=model.id,
            steps=frozenset(step for phase in over for step in self._own.get(phase, ())),
            phases=over,
            all_phases=frozenset(self._needs),
        )
