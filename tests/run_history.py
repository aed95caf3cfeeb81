"""A run in the ledger by its events alone: a plan of three phases that waits for an approval, and how it went on."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.digest import sha256
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.store import Ledger
from orchestrator.plans.model import Criterion, Phase, Plan, Step, Tracking

RUN = "release-20261121T053000Z-4f1a90b2c37d"
ACTOR = "user:ann"
REQUEST = "k3fq7x2m9a"
PLAN = Plan(
    name="release",
    version="1.2.0",
    title="Release the web",
    phases=(
        Phase(
            id="build",
            title="Build it",
            steps=(Step("make", "run_command", {"argv": ["make"]}),),
            success=(Criterion("build/success.1", "file_exists", {"file": "out/app"}),),
        ),
        Phase(id="check", needs=("build",), steps=(Step("test", "run_command", {"argv": ["make", "test"]}),)),
        Phase(
            id="ship",
            title="Ship it",
            needs=("build", "check"),
            steps=(Step("tag", "create_tag"), Step("tell", "send_message")),
        ),
    ),
    tracking=Tracking("acme/web", ("release",), "Release by run ${{ run.id }}"),
    reports="consolidation/reports",
)
WAITS = [
    {"type": "approval", "request_id": REQUEST, "role": "operator", "missing": 1, "phase": "ship", "step": "ship/tag"}
]


def key(name: str) -> str:
    """Return the key of an action."""
    return sha256(name.encode()).removeprefix("sha256:")


class History:
    """Events of one run, a second apart."""

    def __init__(self, ledger: Ledger, run_id: str = RUN, *, at: str = "2026-11-21T05:30") -> None:
        self.ledger = ledger
        self.run_id = run_id
        self.at = at
        self.second = 0
        self.events: list[Event] = []

    def add(
        self, kind: str, payload: Mapping[str, Any], *, subject: str = "", actor: str = ACTOR, **more: str
    ) -> Event:
        """Append one event."""
        time = f"{self.at}:{self.second:02d}Z"
        self.second += 1
        draft = Draft(f"orch.{kind}", self.run_id, actor, payload, time=time, subject=subject, **more)
        self.events += append_all(self.ledger, [draft])
        return self.events[-1]

    def begin(self, plan: Plan = PLAN, **more: object) -> None:
        """Begin the run."""
        said = {
            "kind": "plan",
            "name": plan.name,
            "plan": plan.to_json(),
            "plan_digest": plan.digest,
            "inputs": {"env": "prod"},
            "mode": "automated",
            "root": "/srv/web",
            "run_packs": [],
            "subject": ACTOR,
            "delegation": [],
            "trigger": "",
            "facts": {},
            "repository": "acme/web",
        }
        self.add("run.started", {**said, **more}, repository="acme/web")

    def phase(self, kind: str, phase: str, **said: object) -> None:
        """Tell of a phase."""
        payload: dict[str, Any] = {"attempt": 1} if kind == "started" else {}
        self.add(f"phase.{kind}", {"phase": phase, **payload, **said}, subject=phase)

    def action(self, name: str, action: str, *outcomes: str, **receipt: object) -> None:
        """Plan an action and carry it out, once for each outcome; the last with the receipt."""
        said = {"key": key(name), "name": name, "target": "", "adapter": "command", "effect": "write"}
        more = {"action": action, "subject": name}
        self.add("action.planned", {**said, "replayable": False, "evaluation_id": "", "run_id": self.run_id}, **more)
        for attempt, outcome in enumerate(outcomes, 1):
            one = {"key": key(name), "attempt": attempt}
            self.add("action.dispatching", {**one, "executor": "x1", "request_id": "", "reservation_id": ""})
            kept = receipt if attempt == len(outcomes) else {"detail": "exit 75"}
            kind = "" if outcome == "delivered" else "transient"
            self.add(f"action.{outcome}", {**one, "receipt": kept, "error_class": kind})

    def until_it_waits(self) -> None:
        """Build and check are done, ship waits for an approval."""
        self.begin()
        self.phase("started", "build")
        self.action("build/make", "run_command", "retryable", "delivered", reference="exit 0", outputs={"count": 3})
        met = {"name": "build/success.1", "kind": "file_exists", "subject": "out/app", "passed": True, "seen": "a file"}
        self.phase("passed", "build", criteria=[{**met, "expected": "a file", "error": False}])
        self.phase("started", "check")
        self.action("check/test", "run_command", "delivered", reference="exit 0")
        self.phase("passed", "check", criteria=[])
        self.phase("started", "ship")
        self.phase("waiting", "ship", **{"for": WAITS}, reason="approval:operator 0 of 1")
        self.add("run.waiting", {"for": WAITS})

    def to_the_end(self, *, ship: Sequence[str] = ("delivered",)) -> None:
        """It was approved, goes on and ends."""
        self.add("run.resumed", {"segment": 1, "by": "user:bob"})
        self.phase("started", "ship")
        self.action("ship/tag", "create_tag", *ship, reference="v1.2.0", detail="" if ship[-1] == "delivered" else "no")
        if ship[-1] == "delivered":
            self.action("ship/tell", "send_message", "delivered", reference="<1@acme.example>")
            self.phase("passed", "ship", criteria=[])
            self.add("run.ended", {"state": "succeeded", "reason": "", "exit_code": 0})
        else:
            self.phase("failed", "ship", error_class="transient", reason="ship/tag: no", criteria=[], exit_code=1)
            self.add("run.ended", {"state": "failed", "reason": "phase ship failed", "exit_code": 1})
