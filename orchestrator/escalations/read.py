"""An escalation's document, read strictly: what it means, and all that is wrong with it, each with its place.

What it gives is data alone (`escalations.model.Escalation.of`), the templates and plans it names in it. Proves what has
to be true of it (`escalations.proofs`); a proof that fails is an error.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orchestrator.digest import canonical, sha256
from orchestrator.document import Document, shown
from orchestrator.errors import Problem
from orchestrator.escalations import shape
from orchestrator.escalations.beside import Beside
from orchestrator.escalations.deeds import MESSAGE, WEBHOOK, Deeds, check_parameters, read_parameters
from orchestrator.escalations.durations import seconds
from orchestrator.escalations.model import CatchUp, Escalation
from orchestrator.escalations.proofs import proofs
from orchestrator.escalations.reach import OPERATOR, Reach, check_to, host_of
from orchestrator.escalations.stages import Stages
from orchestrator.escalations.texts import control_in
from orchestrator.keys import EXPECTED, jwk, public_key
from orchestrator.model import EscalationRow, Source
from orchestrator.module import ReadModule
from orchestrator.notes import Notes, Use
from orchestrator.plans.abilities import abilities
from orchestrator.plans.spot import Spot

_TWO = 2
_BLAMED = {
    "windows": ("tick",),
    "lock": ("renewal", "lockout", "longest"),
    "renewed": ("renewal", "extends"),
}
"""Where a proof that does not hold is told; at its stage otherwise."""


class Read(NamedTuple):
    """What a document says."""

    row: EscalationRow
    uses: tuple[Use, ...]
    """Actions that a pack has to declare."""
    beside: tuple[Problem, ...]
    """What is wrong in the files that it names; what is wrong in itself is in the notes."""


def read_escalation(model: shape.Escalation, document: Document, notes: Notes, read: ReadModule | None) -> Read:
    """Return what a document says; what is wrong is noted. `read` gives the files below its folder."""
    return _Reader(model, document, notes, read).read()


class _Reader:
    """Reads one document."""

    def __init__(self, model: shape.Escalation, document: Document, notes: Notes, read: ReadModule | None) -> None:
        self._model, self._notes = model, notes
        self._document = document
        self._spot = Spot(document, notes)
        self._beside = Beside(document.file, read)
        can = abilities()
        self._routes = {name: self._route(self._spot.below("routes", name)) for name in model.routes}
        self._deeds = Deeds(model, self._beside, can, self._routes)
        self._reach = Reach(model, self._spot)
        self._stages = Stages(model, self._spot, self._beside, can, self._deeds)

    def read(self) -> Read:
        """Return what the document says."""
        before = len(self._notes.errors)
        row = self._row()
        self._check_operator(row)
        self._reach.check(row["stages"], self._stages.plans_of)
        if len(self._notes.errors) == before and not any(not each.is_warning for each in self._beside.problems):
            self._prove(Escalation.of(row))
        found = EscalationRow(
            name=self._model.metadata.name,
            stages=tuple(stage.name for stage in self._model.stages),
            row=row,
            source=self._notes.source(self._document.at),
            actions=tuple(self._actions()),
        )
        return Read(found, (*self._deeds.uses, *self._stages.uses), tuple(self._beside.problems))

    def _row(self) -> dict[str, Any]:
        model, spot = self._model, self._spot
        row: dict[str, Any] = {
            "name": model.metadata.name,
            "version": model.metadata.version,
            "source": str(self._notes.source(self._document.at)),
            "mode": model.mode,
            "catch_up": model.catch_up,
            "grace_s": seconds(spot.below("grace"), 0, may_be_none=True),
            "stages": self._stages.read(),
            "renewal": self._renewal(),
            "clock": self._clock(),
            "heartbeat": self._heartbeat(),
            "routes": self._routes,
            "constants": self._constants(),
        }
        every_s, p95_gap_s = (seconds(spot.below("tick", name), 0) for name in ("every", "p95_gap"))
        if 0 < p95_gap_s < every_s:
            spot.below("tick", "p95_gap").error(shown(model.tick.p95_gap), "at least as long as `every`")
        row |= {"every_s": every_s, "p95_gap_s": p95_gap_s}
        files = [[path, sha256(data)] for path, data in sorted(self._beside.digests.items())]
        return row | {"digest": sha256(canonical([self._document.digest, files]))}

    def _renewal(self) -> dict[str, Any]:
        spot = self._spot.below("renewal")
        lockout = spot.below("lockout")
        first_s, longest_s = seconds(lockout.below("first"), 30), seconds(lockout.below("longest"), 600)
        if first_s > longest_s:
            at = lockout.below("longest") if lockout.below("longest").value is not None else lockout.below("first")
            at.error(f"a first lock of {first_s} s, and none longer than {longest_s} s", "`first` within `longest`")
        return {
            "extends_s": seconds(spot.below("extends"), 86_400),
            "lockout": {"after": self._model.renewal.lockout.after, "first_s": first_s, "longest_s": longest_s},
            "keys": self._keys(spot),
        }

    def _clock(self) -> dict[str, Any]:
        spot = self._spot.below("clock")
        sources: list[str] = []
        for item in spot.items("sources"):
            sources += self._source(item, sources)
        keys = self._keys(spot)
        if "clock" in self._model.model_fields_set and not sources and not keys and not self._model.clock.sources:
            spot.error("a clock that nobody vouches for", "`sources`, `keys` or both")
        elif len(sources) == 1 and len(self._model.clock.sources) == 1:
            spot.below("sources").error("one source", "at least two: two have to agree")
        return {
            "sources": sources,
            "keys": keys,
            "after_gap_s": seconds(spot.below("after_gap"), 7_200, may_be_none=True),
            "tolerance_s": seconds(spot.below("tolerance"), 300),
        }

    def _source(self, spot: Spot, others: list[str]) -> list[str]:
        text = str(spot.value)
        try:
            url = urlsplit(text)
            host = host_of(text)
            is_fine = url.scheme == "https" and bool(host) and url.username is None and text.isprintable()
            is_fine = is_fine and url.port != 0
        except ValueError:
            is_fine, host = False, ""
        if not is_fine or " " in text:
            spot.error(shown(text), "an `https://` URL of a host, with a port of 1 to 65535 where it has one")
            return []
        if host in {host_of(other) for other in others}:
            spot.error(f"a second source at {shown(host)}", "sources of different hosts: two have to agree")
        return [text]

    def _keys(self, spot: Spot) -> list[str]:
        found: dict[str, None] = {}
        for item in spot.items("keys"):
            try:
                key = jwk(public_key(str(item.value)))
            except ValueError as error:
                item.error(shown(item.value), EXPECTED, str(error))
                continue
            if key in found:
                item.error("a key a second time", "each key once")
            found[key] = None
        return list(found)

    def _heartbeat(self) -> dict[str, Any]:
        if "heartbeat" not in self._model.model_fields_set:
            return {}
        spot = self._spot.below("heartbeat")
        found = read_parameters(spot)
        check_parameters(WEBHOOK, found, spot)
        return found if "endpoint" in found else {"method": "POST"} | found

    def _route(self, spot: Spot) -> dict[str, Any]:
        found = read_parameters(spot)
        audience = found.pop("audience", None)
        if audience not in {None, OPERATOR}:
            spot.below("audience").error(shown(audience), "`operator`, or no `audience`")
        if not {"channel", "url", "endpoint"} & found.keys():
            spot.error("a route without `channel`", "`channel`, one of the operator's file")
        check_to(found, spot)
        return found

    def _constants(self) -> dict[str, Any]:
        found = {}
        for name, value in self._model.constants.items():
            spot = self._spot.below("constants", name)
            found[name] = spot.json()
            if isinstance(value, str) and (at := control_in(value)) >= 0:
                spot.error(f"the character U+{ord(value[at]):04X}", "text, line breaks and tabs")
            elif isinstance(value, str) and "${{" in value:
                spot.error(shown(value), "a text without `${{`", "a secret never stands in a text")
            elif isinstance(value, str) and not 0 < len(value) <= 4096:  # noqa: PLR2004  # as other texts of documents
                spot.error(shown(value), "a text of 1 to 4,096 characters")
        return found

    def _check_operator(self, row: Mapping[str, Any]) -> None:
        """Note a missing route to the operator: a drill sends every message there."""
        if OPERATOR in self._routes:
            return
        is_sent = any(deed["action"] == MESSAGE for stage in row["stages"] for deed in stage["deeds"])
        is_sent = is_sent or any(step.action == MESSAGE for plan in self._stages.plans for _, step in plan.steps())
        if is_sent:
            place = self._document.place(("routes",), of_key=True) if self._routes else self._document.at
            advice = "a drill sends every message there"
            self._notes.error(place, f"no route `{OPERATOR}`", f"`routes: {{{OPERATOR}: {{channel: ...}}}}`", advice)

    def _prove(self, escalation: Escalation) -> None:
        self._deeds.try_out(escalation)
        found = [proof for proof in proofs(escalation) if not proof.holds]
        is_unheard = any(proof.name == "notice" for proof in found)
        for proof in found:
            if proof.name != "lock" or not is_unheard:  # how long a lock may be follows from the notice
                place = self._document.place(self._blamed(proof.name, proof.stage))
                self._notes.error(place, proof.said, proof.expected)
        if escalation.catch_up is CatchUp.JUMP and any(stage.is_outward for stage in escalation.stages):
            advice = "after a long gap the operator hears of nothing before others do"
            spot = self._spot.below("catch_up")
            spot.warning("`catch_up: jump` and stages that reach others", "`walk`", advice)

    def _blamed(self, name: str, stage: str) -> tuple[str | int, ...]:
        if name in _BLAMED:
            return _BLAMED[name]
        at = next((place for place, one in enumerate(self._model.stages) if one.name == stage), None)
        return ("metadata", "name") if at is None else ("stages", at, "name")

    def _actions(self) -> list[tuple[str, Source]]:
        """Return the actions that packs have to allow, with the place where each is named first."""
        found: dict[str, Source] = {}
        for stage in self._spot.items("stages"):
            for action in stage.items("actions"):
                source = self._notes.source(action.below("action").place)
                found.setdefault(str(action.below("action").value), source)
        heartbeat = self._notes.source(self._document.place(("heartbeat",), of_key=True))
        if "heartbeat" in self._model.model_fields_set:
            found.setdefault(WEBHOOK, heartbeat)
        return list(found.items())
