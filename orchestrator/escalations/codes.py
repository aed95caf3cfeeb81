"""Renewal codes: drawn, written down for people, stored as hashes, recognised. Shows nothing and renews nothing.

All codes of a set have one salt, so an attempt costs one hash whatever there is to compare with. What kind a code is
lies sealed beside its hash: the ledger alone does not tell one from another.
"""

import os
import random
import re
import unicodedata
from collections.abc import Sequence
from enum import IntEnum
from hmac import compare_digest
from typing import NamedTuple, Self

from orchestrator.errors import DecisionError, LedgerError
from orchestrator.escalations import state
from orchestrator.escalations.seal import Sealer
from orchestrator.ledger.store import Connection, Ledger

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: 5 bits each, without I, L, O and U."""
GROUPS, GROUP_CHARS = 7, 4
"""28 characters, 140 bits."""
MOST_SPARE = 50
SALT_BYTES, HASH_BYTES = 16, 32
_ID_BYTES = 8
_LIKE_A_CODE = re.compile(rf"(?:[{ALPHABET}]{{{GROUP_CHARS}}}){{{GROUPS}}}")
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_DASHES = frozenset("-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u200b\u200c\u200d\ufeff")
_MOST_CHARS = 4_096
"""Of what was typed no more is read; a code has 34 characters."""
_HASH = re.compile(r"argon2id\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})\$([0-9a-f]{64})")
_ACTIVE = "SELECT id, salt, hash, seal FROM renewal_codes WHERE escalation = ? AND state = 'active' ORDER BY id"


class Kind(IntEnum):
    """What a code is for."""

    MAIN = 0
    """Renews as often as it is given, until other codes are made."""
    SPARE = 1
    """Renews once."""
    DURESS = 2
    """Looks as if it renewed, as often as it is given."""
    NOBODYS = 3
    """Is known to nobody: stands where a duress code would stand."""


class Cost(NamedTuple):
    """What one hash takes."""

    memory_kib: int = 19_456
    iterations: int = 2
    lanes: int = 1


class Code(NamedTuple):
    """A code as it is stored."""

    id: str
    salt: str
    """Hex; the same for every code of a set."""
    hash: str
    """`argon2id$m=19456,t=2,p=1$` and hex."""
    seal: str
    """Hex: what kind it is."""


class Drawn(NamedTuple):
    """New codes, which nobody has seen yet and the ledger does not know."""

    main: str
    spare: tuple[str, ...]
    duress: str
    """"" where none was asked for."""
    stored: tuple[Code, ...]

    def __repr__(self) -> str:
        """Return no code."""
        return f"Drawn({len(self.stored)} codes)"


class Known(NamedTuple):
    """The codes of an escalation that count now."""

    codes: tuple[Code, ...] = ()
    salt: bytes = bytes(SALT_BYTES)
    cost: Cost = Cost()

    @classmethod
    def of(cls, codes: Sequence[Code]) -> Self:
        """Return a set of codes; none at all cost as much to compare with.

        Raises:
            LedgerError: they are not of one set, or damaged.
        """
        if not codes:
            return cls()
        made = {(code.salt, _parts(code)[0]) for code in codes}
        if len(made) > 1:
            raise _damaged("codes that count are of several sets")
        [(salt, cost)] = made
        try:
            return cls(tuple(codes), bytes.fromhex(salt), cost)
        except ValueError:
            raise _damaged("a salt is no hex") from None

    def match(self, text: str) -> Code | None:
        """Return the code that somebody typed, None where it is none; always for one hash, and every comparison."""
        digest, found = hashed(text, self.salt, self.cost), None
        for code in self.codes:
            if compare_digest(_parts(code)[1], digest):
                found = code
        return found


def draw(ledger: Ledger, name: str, *, spare: int = 5, has_duress: bool = False, cost: Cost | None = None) -> Drawn:
    """Return new codes for an escalation, with nothing recorded yet; the key of seals is made where there is none.

    Raises:
        LedgerError: the key of seals cannot be made or read.
        DecisionError: this machine cannot compute the hash.
    """
    sealer, salt = Sealer.of(ledger, may_make=True), os.urandom(SALT_BYTES)
    main, other = new_code(), new_code()
    spares = tuple(new_code() for _ in range(spare))
    second = Kind.DURESS if has_duress else Kind.NOBODYS
    kinds = [(main, Kind.MAIN), (other, second), *((code, Kind.SPARE) for code in spares)]
    random.SystemRandom().shuffle(kinds)
    stored = tuple(_stored(sealer, name, code, kind, salt, cost or Cost()) for code, kind in kinds)
    return Drawn(main, spares, other if has_duress else "", stored)


def issue(ledger: Ledger, name: str, drawn: Drawn, by: str) -> None:
    """Record new codes; those before them count no more.

    Raises:
        LedgerError: they cannot be recorded.
    """
    with ledger.store.writing() as connection:
        state.lock(connection, name)
        payload = {"codes": [code._asdict() for code in drawn.stored]}
        state.say(ledger, connection, name, "codes", payload, by)


def active_in(connection: Connection, name: str) -> Known:
    """Return the codes of an escalation that count.

    Raises:
        LedgerError: as `Known.of`.
    """
    return Known.of([Code(*row) for row in connection.execute(_ACTIVE, (name,))])


def kind_of(sealer: Sealer, name: str, code: Code) -> Kind:
    """Return what a code is for.

    Raises:
        LedgerError: its seal does not open.
    """
    return Kind(sealer.opened(_about(name, code.id), code.seal)[0])


def new_code() -> str:
    """Return a new code as it is written down: seven groups of four characters, 140 random bits."""
    drawn = [ALPHABET[byte & 31] for byte in os.urandom(GROUPS * GROUP_CHARS)]
    return "-".join("".join(drawn[at : at + GROUP_CHARS]) for at in range(0, len(drawn), GROUP_CHARS))


def normal(text: str, *, most: int = _MOST_CHARS) -> str:
    """Return what somebody typed as it is compared: upper case, no spaces and dashes, O read as 0, I and L as 1.

    No more than `most` characters are read.
    """
    wide = unicodedata.normalize("NFKC", text[:most]).upper().translate(_READ_AS)
    return "".join(one for one in wide if not one.isspace() and one not in _DASHES)


def looks_like_code(text: str) -> bool:
    """Return whether a text is written like a code, right or wrong."""
    return bool(_LIKE_A_CODE.fullmatch(normal(text)))


def hashed(text: str, salt: bytes, cost: Cost) -> bytes:
    """Return the hash of what somebody typed.

    Raises:
        DecisionError: this machine cannot compute it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    said = normal(text).encode("utf-8", "replace")
    try:
        made = Argon2id(
            salt=salt, length=HASH_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
        )
        return made.derive(said)
    except (UnsupportedAlgorithm, MemoryError, ValueError) as error:
        raise DecisionError(
            f"codes cannot be looked at on this machine: Argon2id is not to be had ({type(error).__name__})",
            advice="install the cryptography package with its own OpenSSL, and see that memory is left",
        ) from error


def _stored(sealer: Sealer, name: str, code: str, kind: Kind, salt: bytes, cost: Cost) -> Code:  # noqa: PLR0917  # its parts
    code_id = os.urandom(_ID_BYTES).hex()
    digest = hashed(code, salt, cost).hex()
    text = f"argon2id$m={cost.memory_kib},t={cost.iterations},p={cost.lanes}${digest}"
    return Code(code_id, salt.hex(), text, sealer.seal(_about(name, code_id), kind, 0, 0))


def _parts(code: Code) -> tuple[Cost, bytes]:
    found = _HASH.fullmatch(code.hash)
    if not found:
        raise _damaged("a hash is none")
    return Cost(int(found[1]), int(found[2]), int(found[3])), bytes.fromhex(found[4])


def _about(name: str, code_id: str) -> tuple[str, ...]:
    return ("code", name, code_id)


def _damaged(why: str) -> LedgerError:
    return LedgerError(
        f"the renewal codes in the ledger are damaged: {why}",
        advice="`orch ledger verify` says what else is; `orch ledger rebuild` makes the tables again",
    )
