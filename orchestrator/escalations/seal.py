"""What a renewal really does, sealed: whoever reads the ledger sees that there is a seal, and the same of each one.

AES-GCM under a key that lies in the ledger's folder and never in the ledger. A renewal by code carries a seal; it says
whether the old deadline goes on counting, which a code given under duress asks for.
"""

import json
import os
import struct
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, Self

from orchestrator.clock import format_time, parse_time
from orchestrator.digest import canonical
from orchestrator.errors import LedgerError
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.kept import Record
from orchestrator.escalations.model import Audience, Escalation
from orchestrator.escalations.state import chain_of
from orchestrator.ledger.backup import SEAL_KEY
from orchestrator.ledger.signer import read_key, write_key
from orchestrator.ledger.store import Connection, Ledger

FILE = SEAL_KEY
"""In the ledger's folder, mode 0600: 32 bytes, in hex."""
BEGAN = "orch.escalation.began"
_HELPS = "`orch reset` begins a cycle without a seal, or `orch code new` and then `orch renew` with a new code"
_FORM = "orch-seal/1"
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_SAID = struct.Struct(">BBQ")
SIZE_BYTES = _NONCE_BYTES + _SAID.size + _TAG_BYTES
"""Of every seal, whatever it says."""
_BY_HAND = ("orch.escalation.deadline", "orch.escalation.armed", "orch.escalation.disarmed")
"""What sets the deadline that counts, beside a new cycle."""
_HAS_CODES = "SELECT 1 FROM renewal_codes WHERE escalation = ? LIMIT 1"
"""Who never had codes has no seals, so nothing has to be looked for."""
_NEWEST = """
SELECT e.type, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type IN (?, ?, ?, ?) ORDER BY e.run_seq DESC LIMIT 1"""


class SealError(LedgerError):
    """Nobody can tell what a renewal did, so nobody can tell which deadline counts."""


class Effect(IntEnum):
    """What a renewal does."""

    RENEW = 0
    KEEP = 1
    """It looks like one, and the old deadline goes on."""


class Real(NamedTuple):
    """By what an escalation really goes."""

    deadline_ns: int
    """Nanoseconds since 1970, 0 for none."""
    is_armed: bool
    is_kept: bool = False
    """Whether that is another one than the ledger shows."""


class Sealer(NamedTuple):
    """Who makes and opens the seals of a ledger."""

    ledger_id: str
    key: bytes

    def __repr__(self) -> str:
        """Return nothing of the key."""
        return f"Sealer({self.ledger_id!r})"

    @classmethod
    def of(cls, ledger: Ledger, *, may_make: bool = False) -> Self:
        """Return the sealer of a ledger; its key is made where there is none and that is permitted.

        Raises:
            SealError: the key is not here, can be read by others, or cannot be made.
        """
        file = ledger.folder / FILE
        if may_make and not os.path.lexists(file):
            write_key(ledger.folder, FILE, os.urandom(_KEY_BYTES).hex().encode() + b"\n", "the key of seals")
        return cls(ledger.id, _read(file))

    def seal(self, about: tuple[str, ...], first: int, second: int, number: int) -> str:
        """Return three numbers sealed, in hex; it opens only as what it is `about`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        data = _SAID.pack(first, second, number)
        return (nonce + AESGCM(self.key).encrypt(nonce, data, self._beside(about))).hex()

    def opened(self, about: tuple[str, ...], sealed: str) -> tuple[int, int, int]:
        """Return what was sealed about this.

        Raises:
            SealError: it was not sealed by this key, or about something else, or is damaged.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            data = bytes.fromhex(sealed)
            said = AESGCM(self.key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], self._beside(about))
            first, second, number = _SAID.unpack(said)
        except (ValueError, InvalidTag, struct.error):
            raise SealError(
                f"a seal in the ledger does not open: {' '.join(about)}",
                advice=f"if {FILE} was made anew since, {_HELPS}; if nobody changed it, `orch ledger verify` says more",
            ) from None
        return first, second, number

    def _beside(self, about: tuple[str, ...]) -> bytes:
        return canonical([_FORM, self.ledger_id, *about])


def sealed_renewal(sealer: Sealer, name: str, shown: tuple[int, int], real: Real) -> str:
    """Return the seal of a renewal: by what the escalation really goes then.

    `shown` is what the ledger says of it: when it was, and the new deadline, nanoseconds since 1970.
    """
    effect = Effect.KEEP if real.is_kept else Effect.RENEW
    return sealer.seal(_about(name, *map(_time, shown)), effect, int(real.is_armed), real.deadline_ns)


def real(record: Record, ledger: Ledger) -> Real:
    """Return by what an escalation really goes; not within a transaction.

    Raises:
        SealError: as `real_in`.
    """
    with ledger.store.reading() as connection:
        return real_in(connection, record, ledger)


def real_in(connection: Connection, record: Record, ledger: Ledger) -> Real:
    """Return by what an escalation really goes, in an open transaction.

    That is what the ledger shows, unless a seal says something else; whoever sets the deadline, arms or disarms after
    such a renewal ends that.

    Raises:
        SealError: the cycle was begun under a seal, and the key is not here or is another one, or the event that has
            the seal was erased: then nobody can tell what counts.
    """
    shown = Real(record.deadline, record.is_armed)
    said = _began_in(connection, record)
    if not said.get("seal"):
        return shown
    about = _about(record.name, said["at"], said["deadline"])
    effect, is_armed, deadline_ns = Sealer.of(ledger).opened(about, said["seal"])
    return Real(deadline_ns, bool(is_armed), is_kept=True) if effect == Effect.KEEP else shown


def _began_in(connection: Connection, record: Record) -> Mapping[str, Any]:
    """Return what is recorded of how a cycle began; nothing where its deadline was set by hand since."""
    if not connection.execute(_HAS_CODES, (record.name,)):
        return {}
    rows = connection.execute(_NEWEST, (chain_of(record.name), BEGAN, *_BY_HAND))
    if not rows or rows[0][0] != BEGAN:
        return {}
    if rows[0][1] is None:
        raise SealError(
            f"how the cycle {record.cycle} of {record.name} began was erased, so nobody can tell what counts",
            advice="begin another: `orch renew`, or `orch reset`",
        )
    said: Mapping[str, Any] = json.loads(bytes(rows[0][1]))
    return said if said.get("cycle") == record.cycle else {}


def meant(escalation: Escalation, record: Record, ledger: Ledger) -> tuple[Escalation, Record]:
    """Return by what a tick goes: mostly both as they are; not within a transaction.

    Where an old deadline is kept, the record has that one, and the escalation tells the operator nothing: its reminders
    would tell whoever stands beside. What is recorded is compared with the record as it was given, not with this one.

    Raises:
        SealError: as `real_in`.
    """
    found = real(record, ledger)
    if not found.is_kept:
        return escalation, record
    return quiet(escalation), record._replace(deadline=found.deadline_ns, is_armed=found.is_armed)


def shown(escalation: Escalation, record: Record, ledger: Ledger, now_ns: int) -> Record:
    """Return an escalation as it is shown: where an old deadline is kept, as if the shown one counted.

    Whoever cannot open the seal is shown what the ledger says; not within a transaction.
    """
    try:
        with ledger.store.reading() as connection:
            found, said = real_in(connection, record, ledger), _began_in(connection, record)
    except SealError:
        return record
    if not found.is_kept:
        return record
    reached = [
        place for place in range(1, len(escalation.stages)) if due_ns(escalation, place, record.deadline) <= now_ns
    ]
    place = reached[-1] if reached and record.is_armed else 0
    stage_at = due_ns(escalation, place, record.deadline) if place else parse_time(said["at"])
    return record._replace(stage=escalation.stages[place].name, stage_at=stage_at)


def quiet(escalation: Escalation) -> Escalation:
    """Return an escalation whose stages tell the operator nothing."""
    stages = (
        stage._replace(deeds=(), planned=None) if stage.audience is Audience.OPERATOR else stage
        for stage in escalation.stages
    )
    return escalation._replace(stages=tuple(stages))


def _about(name: str, at: str, deadline: str) -> tuple[str, ...]:
    return ("renewal", name, at, deadline)


def _time(ns: int) -> str:
    return format_time(ns) if ns else ""


def _read(file: Path) -> bytes:
    try:
        key = bytes.fromhex(read_key(file, "open seals").decode("ascii").strip())
    except LedgerError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise SealError(str(error), advice=error.advice) from error
        raise SealError(
            f"the key that opens the seals of renewals is not here: there is no file {str(file)!r}",
            advice=f"copy {FILE} from the machine where the codes were made; if it is lost, {_HELPS}",
        ) from None
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SealError(
            f"the key {str(file)!r} is damaged; expected {_KEY_BYTES} bytes in hex", advice="put it back from a copy"
        )
    return key
