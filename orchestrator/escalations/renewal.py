"""Renews an escalation: by a code or by a signed file, slowed down where somebody guesses. Asks nobody for a code.

What is tried is recorded before it is looked at. Whatever is wrong there is one reply, one exit code and one hash, so
nothing is learned from a refusal. Policy is not asked: the Escalation is policy, and whoever has a code may renew.
"""

from typing import Any, NamedTuple

from orchestrator.errors import DecisionError, Exit, LedgerError, OrchError, UsageError
from orchestrator.escalations import codes, renewalfile, seal, state, throttle, timekeeping
from orchestrator.escalations.codes import Code, Kind, Known
from orchestrator.escalations.model import Escalation, Mode
from orchestrator.escalations.renewalfile import Proof
from orchestrator.escalations.state import Record
from orchestrator.escalations.timekeeping import Judged, Mark, Reading, Trust
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.performing import Changed

_ROUNDS = 100
"""How often it is begun anew because somebody else renewed meanwhile."""
_COUNTER = "SELECT counter FROM renewal_counters WHERE escalation = ? AND key = ?"
_CODE_LEFT = "SELECT 1 FROM renewal_codes WHERE escalation = ? AND id = ? AND state = 'active'"


class NotRenewedError(OrchError):
    """What was given does not renew, or not now. It says no more than that."""

    exit_code = Exit.DENIED

    def __init__(self) -> None:
        super().__init__("not renewed")


class Who(NamedTuple):
    """Who tries."""

    by: str
    """`type:id`."""
    source: str
    """Where that comes from, as `throttle.source_of` says it: each is slowed down for itself."""


class Renewed(NamedTuple):
    """A cycle that has begun."""

    name: str
    cycle: int
    stage: str
    deadline_ns: int
    """Nanoseconds since 1970."""
    is_armed: bool
    """Whether the deadline counts."""
    note: str = ""
    """What a person should know of the clock; "" where there is nothing."""


class _Attempt(NamedTuple):
    """One attempt, once it is recorded."""

    ledger: Ledger
    escalation: Escalation
    who: Who
    judged: Judged
    is_locked: bool


def ready(
    ledger: Ledger, escalation: Escalation, *, reading: Reading | None = None, by_file: bool = False
) -> tuple[Record, Judged]:
    """Return how an escalation stands that can be renewed now, and which time it is; asked before a code is.

    Raises:
        UsageError: nothing counts down, it is a fuse, or it knows no signer of files.
        DecisionError: the clock went back.
        LedgerError: the ledger, or the key of seals, cannot be read.
    """
    with ledger.store.reading() as connection:
        record = state.record_of(connection, escalation.name)
        known = codes.active_in(connection, escalation.name)
    if Mode.FUSE in {escalation.mode, record.mode if record else ""}:  # as which it began counts, too
        raise UsageError(
            f"{shown(escalation.name)} is a fuse: once it has begun it goes on to its end, and nothing renews it",
            advice="`orch status` shows where it stands",
        )
    if by_file and not escalation.renewal.keys:
        raise UsageError(
            f"the escalation {shown(escalation.name)} names no keys whose files renew it",
            advice="add a public key under `renewal.keys`, or renew by a code",
        )
    if record is None:
        raise UsageError(
            f"{shown(escalation.name)} has not begun, so there is nothing to renew",
            advice=f"begin it: `orch set-deadline {escalation.name} --hours 24`",
        )
    mark = Mark(record.clock, record.boot, record.boot_at)
    judged = timekeeping.judge(reading or timekeeping.read(), mark, escalation.clock)
    if judged.trust is Trust.BACK:
        raise DecisionError(judged.detail, advice="set the clock right, then renew")
    if known.codes and not by_file:
        sealer = seal.Sealer.of(ledger)  # what is missing is told before anybody types a code
        for code in known.codes:  # and what another key sealed, which only the right code would come upon
            codes.kind_of(sealer, escalation.name, code)
    return record, judged


def renew(ledger: Ledger, escalation: Escalation, code: str, who: Who, *, reading: Reading | None = None) -> Renewed:
    """Return the cycle that a code begins: at the first stage, and with a new deadline.

    Raises:
        NotRenewedError: the code is wrong or used up, there is none, or its source is locked.
        UsageError, DecisionError: as `ready`; nothing was tried then.
        LedgerError: it cannot be recorded, or the key of seals is not here.

    Source: 000, "Renewal uses a pre-known, high-entropy code".
    """
    _, judged = ready(ledger, escalation, reading=reading)
    with ledger.store.reading() as connection:
        known = codes.active_in(connection, escalation.name)
    attempt = _tried(ledger, escalation, who, judged)
    return _ended(attempt, known.match(code))


def renew_by_file(
    ledger: Ledger, escalation: Escalation, token: str, who: Who, *, reading: Reading | None = None
) -> Renewed:
    """Return the cycle that a signed file begins.

    Raises:
        NotRenewedError: it is no such file, nobody who may signed it, it is another escalation's or out of its time,
            its counter is not higher than the last of its key, or its source is locked.
        UsageError, DecisionError, LedgerError: as `renew`.
    """
    _, judged = ready(ledger, escalation, reading=reading, by_file=True)
    attempt = _tried(ledger, escalation, who, judged)
    Known().match(token)  # as long as any other attempt
    proof = renewalfile.proof(token.strip(), renewalfile.public_keys(escalation.renewal.keys))
    if proof is not None and not renewalfile.counts(proof.claims, escalation.name, ledger.id, judged.now_ns):
        proof = None
    return _ended(attempt, proof)


# -- an attempt


def _tried(ledger: Ledger, escalation: Escalation, who: Who, judged: Judged) -> _Attempt:
    """Record an attempt, durably; from now on it counts as wrong until it turns out right."""
    who = who._replace(source=ledger.mask.text(who.source))
    name, now_ns = escalation.name, judged.now_ns
    with ledger.store.writing() as connection:
        state.lock(connection, name)
        tried = throttle.tried_in(connection, name, who.source)
        is_locked = throttle.is_locked(escalation.renewal.lockout, tried, now_ns)
        said = {"source": who.source, "at_ns": now_ns, "is_locked": is_locked}
        state.say(ledger, connection, name, "attempt", said, who.by)
    return _Attempt(ledger, escalation, who, judged, is_locked)


def _ended(attempt: _Attempt, proof: Code | Proof | None) -> Renewed:
    """Record how an attempt ended.

    Raises:
        NotRenewedError: it was refused.
    """
    if proof is not None and not attempt.is_locked:
        for _ in range(_ROUNDS):
            try:
                renewed = _begun(attempt, proof)
            except Changed:
                continue
            if renewed is not None:
                return renewed
            raise NotRenewedError
    with attempt.ledger.store.writing() as connection:
        state.lock(connection, attempt.escalation.name)
        _refused(attempt, connection)
    raise NotRenewedError


def _refused(attempt: _Attempt, connection: Connection) -> None:
    """Record that an attempt was refused, whyever; in a lock nothing is added to that."""
    ledger, escalation, who, judged, is_locked = attempt
    tried = throttle.tried_in(connection, escalation.name, who.source)
    until_ns = tried.locked_until_ns
    if not is_locked:
        until_ns = max(until_ns, throttle.locked_until_ns(escalation.renewal.lockout, tried, judged.now_ns))
    said = {"source": who.source, "failures": tried.failures, "locked_until_ns": until_ns}
    state.say(ledger, connection, escalation.name, "wrong", said, who.by)


def _begun(attempt: _Attempt, proof: Code | Proof) -> Renewed | None:
    """Begin the next cycle; None where what was given counts no more, which is recorded like anything wrong.

    Raises:
        Changed: another cycle began meanwhile.
    """
    ledger, escalation, who, judged, _ = attempt
    with ledger.store.reading() as connection:
        before = state.record_of(connection, escalation.name)
    if before is None:
        raise LedgerError(f"the ledger has no escalation {shown(escalation.name)} any more")
    with ledger.store.writing() as connection:
        record = state.locked(connection, before)
        if not _counts(attempt, connection, record, proof):
            _refused(attempt, connection)
            return None
        deadline_ns = timekeeping.ahead_ns(judged.now_ns, escalation.renewal.extends_s)
        is_armed = record.is_armed and escalation.mode is not Mode.MANUAL
        more = _more(attempt, connection, record, proof, seal.Real(deadline_ns, is_armed))
        now = state.began(
            ledger,
            connection,
            record,
            escalation,
            now_ns=judged.now_ns,
            deadline_ns=deadline_ns,
            why="renew",
            by=who.by,
            is_armed=is_armed,
            source=who.source,
            **more,
        )
    return Renewed(now.name, now.cycle, now.stage, now.deadline, now.is_armed, judged.detail)


def _counts(attempt: _Attempt, connection: Connection, record: Record, proof: Code | Proof) -> bool:
    """Return whether what was right still is, now that nobody else can change it."""
    tried = throttle.tried_in(connection, record.name, attempt.who.source)
    if throttle.is_locked(attempt.escalation.renewal.lockout, tried, attempt.judged.now_ns):
        return False  # others guessed from there meanwhile
    if isinstance(proof, Proof):
        rows = connection.execute(_COUNTER, (record.name, proof.key))
        return proof.claims.counter > (int(rows[0][0]) if rows else 0)
    return bool(connection.execute(_CODE_LEFT, (record.name, proof.id)))


def _more(
    attempt: _Attempt, connection: Connection, record: Record, proof: Code | Proof, shown_one: seal.Real
) -> dict[str, Any]:
    """Return what the event says of how it was renewed: of a duress code the same as of the main one, but sealed."""
    if isinstance(proof, Proof):
        return {"counter": proof.claims.counter, "key": proof.key}
    sealer, name = seal.Sealer.of(attempt.ledger), record.name
    kind, real = codes.kind_of(sealer, name, proof), shown_one
    if kind is Kind.DURESS:
        real = _kept(connection, record, attempt.ledger)
    sealed = seal.sealed_renewal(sealer, name, (attempt.judged.now_ns, shown_one.deadline_ns), real)
    return {"code_id": proof.id if kind is Kind.SPARE else "", "seal": sealed}


def _kept(connection: Connection, record: Record, ledger: Ledger) -> seal.Real:
    """Return by what an escalation goes on; never an error, which would tell one code from another."""
    try:
        real = seal.real_in(connection, record, ledger)
    except LedgerError:
        real = seal.Real(record.deadline, record.is_armed)
    return real._replace(is_kept=True)
