"""Records decisions: opens the ledger, tells the engine what it knows of a request, and appends what was decided.

On the hot path. A decision that enforces and cannot be recorded is none; one that only warns says so and goes on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.choices import Point
from orchestrator.decide import BATCH, Circumstances, Policy, Question, repository_of
from orchestrator.decision import Decision
from orchestrator.digest import canonical, new_id, sha256
from orchestrator.errors import LedgerError, OrchError, UsageError
from orchestrator.meters import usual_estimates
from orchestrator.names import shown
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.ledger.event import Draft
    from orchestrator.ledger.store import Connection, Ledger

_MOST_INVALID_BYTES = 64 * 1024
_NEEDS_RECORD = frozenset({Point.TICK, Point.AGENT})
GOING_ON = frozenset({"running", "waiting", "cancelling"})
"""States of a run that has not ended; one that is cancelled still undoes what it did."""


class Run(NamedTuple):
    """What a decision belongs to."""

    id: str | None = None
    """None outside of a run."""
    session: str | None = None
    repository: str | None = None
    subject: str = ""
    """Who asks, as the host knows it."""
    trigger: str = ""
    """Who or what started it."""
    tree: str | None = None
    """The git tree of the change's head, where git was read."""
    event: Mapping[str, Any] | None = None
    """What a CI says started it."""
    traceparent: str = ""
    """The caller's W3C trace context."""
    may_have_ended: bool = False
    """Whether it is only told of: then it does not matter that it has ended."""


class Beside(NamedTuple):
    """What an executor knows of an action beside its request."""

    estimates: Mapping[str, int] | None = None
    """Micro-units by meter; None leaves it to what the action is known to use."""
    request_id: str = ""
    """The approval request that this very action used up when it began."""


class Recorder:
    """Decides by a policy and a ledger: what the ledger knows counts, and what is decided is recorded."""

    def __init__(self, ledger: "Ledger", run: Run, policy: Policy) -> None:
        self.ledger = ledger
        self.run = run = _joined(ledger, run)
        self.chain = run.id or f"adhoc:{new_id()}"
        self._policy = policy
        self._has_begun = False

    def decide(
        self,
        asked: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        circumstances: Circumstances | None = None,
    ) -> Decision:
        """Return the decision on one request, recorded.

        Raises:
            As `Policy.decide`; LedgerError, too: it was not recorded, so nothing may be done.
        """
        own = {"repository": self.run.repository} if self.run.repository else {}
        question = Question(asked, {**own, **(facts or {})}, known=self.known)
        return self.record(list(self._policy.decide_many([question], circumstances)))[0]

    def known(self, asked: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the ledger knows of a request, as facts for the engine; `facts` carry its digests.

        Raises:
            LedgerError: it cannot be read.
        """
        with self.ledger.store.reading() as connection:
            return self.known_in(connection, asked, facts)

    def known_in(
        self, connection: "Connection", asked: Mapping[str, Any], facts: Mapping[str, Any], also: "Beside | None" = None
    ) -> dict[str, Any]:
        """Return what `known` does, inside an open transaction, with what only an executor can say."""
        from orchestrator.known import approval_facts, evidence_facts, request_key

        also = also or Beside()
        action, change = facts["action_digest"], facts["change_digest"]
        key = request_key(asked, facts.get("repository"), action, change)
        known = approval_facts(self.ledger, connection, key, action, change, used=also.request_id)
        proofs = evidence_facts(
            connection,
            action_digest=action,
            change_digest=change,
            tree=self.run.tree,
            repository=repository_of(asked, facts),
        )
        if proofs:
            known["evidence"] = proofs
        if self.run.id is not None:
            known |= self._run_facts(connection, asked, facts, also.estimates)
        return known

    def _run_facts(
        self,
        connection: "Connection",
        asked: Mapping[str, Any],
        facts: Mapping[str, Any],
        estimates: Mapping[str, int] | None,
    ) -> dict[str, Any]:
        from orchestrator import budgets, obligations

        assert self.run.id is not None  # noqa: S101  # the caller looked
        known: dict[str, Any] = {"run": {"id": self.run.id}}
        if owed := obligations.owed_for(connection, self.run.id):
            known["owed"] = owed
        if self._policy.counters:
            known["budgets"] = budgets.facts_for(
                connection,
                self._policy.counters,
                run_id=self.run.id,
                session=self.run.session,
                repository=facts.get("repository"),
                now=facts["time"],
                estimates=usual_estimates(asked["action"]["name"]) if estimates is None else estimates,
            )
        return known

    def record(
        self,
        decisions: Sequence[Decision],
        then: "Callable[[Connection, Sequence[Decision]], None] | None" = None,
    ) -> list[Decision]:
        """Append decisions in one transaction and return them as recorded, with the requests that wait for approvals.

        `then` is called with them before the transaction ends, for what has to be recorded together with them.

        Raises:
            LedgerError: nothing of it was recorded.

        Source: 001, "Run Ledger Service".
        """
        from orchestrator.ledger.append import append_group

        recorded = [one._replace(context={**one.context, "recorded": True}) for one in decisions]
        with self.ledger.store.writing() as connection:
            begun = [] if self._has_begun else self._beginning(connection)
            append_group(self.ledger, connection, [*begun, *map(self._draft, recorded)])
            for decision in recorded:
                if decision.context["obligations"]:
                    self._follow(connection, decision)
            if then is not None:
                then(connection, recorded)
        self._has_begun = True
        if any(name.startswith("OTEL_") for name in os.environ):
            from orchestrator import spans

            if spans.is_configured():
                spans.export(recorded, self.run.traceparent)
        return recorded

    def _follow(self, connection: "Connection", decision: Decision) -> None:
        """Ask for the approvals that a decision lacks, and tell of its obligations, in its transaction."""
        from orchestrator import obligations

        context, facts = decision.context, decision.facts
        if _lacks_approval(context):
            from orchestrator.approvals import open_request
            from orchestrator.known import request_key

            digests = (context["action_digest"], context["change_digest"])
            key = request_key(decision.request, facts.get("repository"), *digests)
            context["request_id"] = open_request(self.ledger, connection, decision, facts, key, self.run.id)
        obligations.note(self.ledger, connection, decision, facts, self.chain)

    def _beginning(self, connection: "Connection") -> Iterator["Draft"]:
        """Yield what is recorded once: the run, where it begins here, and a policy that was not seen before."""
        from orchestrator.ledger.event import Draft

        run, policy = self.run, self._policy
        if run.id is not None and not connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)):
            said = {
                "kind": "task",
                "repository": run.repository or "",
                "session": run.session or "",
                "trigger": run.trigger,
                "event": run.event,
                "config_digest": _config_digest(),
            }
            yield Draft("orch.run.started", run.id, run.subject, said, repository=run.repository or "")
        if not connection.execute("SELECT 1 FROM policies WHERE digest = ?", (policy.digest,)):
            packs = {"digest": policy.digest, "packs": [dict(pack) for pack in policy.packs]}
            yield Draft("orch.policy.loaded", self.chain, run.subject, packs, policy_digest=policy.digest)

    def _draft(self, decision: Decision) -> "Draft":
        from orchestrator.ledger.event import Draft
        from orchestrator.request import subject_name

        context, facts = decision.context, decision.facts
        asked = decision.request if context["reason"] != "invalid_request" else {}
        resource = asked.get("resource", {})
        return Draft(
            "orch.decision",
            self.chain,
            (subject_name(asked) if asked else None) or self.run.subject,
            {
                "request": _kept(decision),
                "facts": dict(facts),
                "decision": context,
                "claims": [text for text in context["advice"] if text.startswith("claimed")],
                "label": decision.label,
            },
            id=context["evaluation_id"],
            subject=resource.get("id", ""),
            repository=(repository_of(asked, facts) if asked else None) or "",
            action=asked.get("action", {}).get("name", ""),
            outcome=context["outcome"],
            would=context["would"],
            point=context["point"],
            policy_digest=context["policy"]["digest"],
            action_digest=context["action_digest"] or "",
            traceparent=self.run.traceparent,
        )


class Recording(NamedTuple):
    """How the decisions of one call are recorded."""

    recorder: Recorder | None
    """None where nothing is recorded."""
    error: OrchError | None = None
    """Why the ledger could not be opened."""

    @property
    def repository(self) -> str | None:
        """The repository that a run was begun for; None outside of one."""
        return self.recorder.run.repository if self.recorder is not None else None

    @classmethod
    def begin(cls, settings: Settings, run: Run, policy: Policy, point: Point, *, is_wanted: bool) -> "Recording":
        """Return the recording of a call; a ledger that cannot be opened is told of when a decision enforces.

        Raises:
            UsageError: nobody may do without a record at this point, or the run is another repository's.
            LedgerError: a run is named, and the ledger that knows it cannot be opened.
        """
        if not is_wanted:
            if point in _NEEDS_RECORD:
                raise UsageError(
                    f"--no-record at point {point}; there every decision is recorded", advice="leave --no-record out"
                )
            if run.id is not None:
                raise UsageError("--no-record within a run; a run is what is recorded", advice="leave one out")
            return cls(None)
        from orchestrator.ledger.open import open_ledger

        try:
            ledger = open_ledger(settings.ledger)
        except OrchError as error:
            if run.id is not None:
                raise
            return cls(None, error)
        return cls(Recorder(ledger, run, policy))

    def known(self, asked: Mapping[str, Any], facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the ledger knows of a request; nothing where there is none.

        A ledger that cannot be read knows nothing, which is the strict side: what is owed is then unmet. Not within a
        run, whose debts it keeps.
        """
        if self.recorder is None:
            return {}
        try:
            return self.recorder.known(asked, facts)
        except LedgerError:
            if self.recorder.run.id is not None:
                raise
            return {}

    def recorded(self, decisions: Iterable[Decision]) -> Iterator[Decision]:
        """Yield decisions once they are recorded, a batch in one transaction; then let go of the ledger.

        Raises:
            LedgerError: a decision enforces and cannot be recorded, so it is none.
        """
        try:
            yield from self._recorded(decisions)
        finally:
            if self.recorder is not None:
                self.recorder.ledger.close()  # else SQLite's log is never folded in, and each command reads all of it

    def _recorded(self, decisions: Iterable[Decision]) -> Iterator[Decision]:
        rest = iter(decisions)
        while batch := list(islice(rest, BATCH)):
            if self.recorder is None:
                yield from self._unrecorded(batch, self.error)
                continue
            try:
                kept = self.recorder.record(batch)
            except LedgerError as error:
                yield from self._unrecorded(batch, error)
            else:
                yield from kept

    def _unrecorded(self, batch: Sequence[Decision], error: OrchError | None) -> Iterator[Decision]:
        for decision in batch:
            context = {**decision.context, "recorded": False}
            if error is not None:
                if context["mode"] == "enforce":
                    raise LedgerError(
                        f"nothing can be decided, because it cannot be recorded: {error}", advice=error.advice
                    ) from error
                context["advice"] = [*context["advice"], f"not recorded: {error}"]
            yield decision._replace(context=context)


def _joined(ledger: "Ledger", run: Run) -> Run:
    """Return a run as it was begun: its repository and session are fixed then."""
    if run.id is None:
        return run
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT repository, session, state FROM runs WHERE id = ?", (run.id,))
    if not rows:
        return run
    repository, session, state = rows[0]
    if state not in GOING_ON and not run.may_have_ended:
        raise UsageError(f"the run {run.id} has ended ({state})", advice="name a new run")
    if run.repository and not repository:
        raise UsageError(
            f"the run {run.id} was begun without a repository, and this is {shown(run.repository)}",
            advice="name another run, and its repository from the start",
        )
    if run.repository and run.repository.lower() != repository.lower():
        raise UsageError(
            f"the run {run.id} is about {shown(repository)}, and this is {shown(run.repository)}",
            advice="name another run, or the run's own repository",
        )
    if run.session and run.session != session:
        raise UsageError(f"the run {run.id} belongs to session {shown(session)}, not {shown(run.session)}")
    return run._replace(repository=repository or None, session=session or None)


def _kept(decision: Decision) -> Any:  # noqa: ANN401  # JSON
    """Return a request as it is recorded: one that is invalid in short, lest it fill the disk or be left out."""
    if decision.context["reason"] != "invalid_request":
        return decision.request
    try:
        data = canonical(decision.request)
    except ValueError as error:
        return {"unreadable": str(error)}
    return decision.request if len(data) <= _MOST_INVALID_BYTES else {"omitted": sha256(data), "bytes": len(data)}


def _lacks_approval(context: Mapping[str, Any]) -> bool:
    """Whether somebody should be asked: the action waits, for approvals among others."""
    return context["outcome"] == "pending" and any(
        owed["type"] == "approval" and owed["status"] == "unmet" and owed["mode"] == "enforce"
        for owed in context["obligations"]
    )


def _config_digest() -> str:
    """Return the digest of the operator's file, "" where there is none."""
    from orchestrator import place

    try:
        return sha256(place.config_file().read_bytes())
    except (OSError, OrchError):
        return ""
