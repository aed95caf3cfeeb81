"""Renewing and making codes as commands do it: which escalation, who, from where; then `renewal` and `codes`."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from orchestrator import clock
from orchestrator.clock import SECOND_NS
from orchestrator.digest import new_id
from orchestrator.errors import UsageError
from orchestrator.escalations import codes, plainfile, renewal, renewalfile, throttle
from orchestrator.escalations.codes import Drawn
from orchestrator.escalations.control import ACTION
from orchestrator.escalations.entry import refuse_seen
from orchestrator.escalations.model import Escalation, Mode
from orchestrator.escalations.opened import Opened, only, opened
from orchestrator.escalations.renewal import Renewed, Who
from orchestrator.escalations.renewalfile import Claims
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
from orchestrator.order import Done, Order
from orchestrator.settings import Settings
from orchestrator.vote import Signer

ISSUE = "issue_codes"
"""The operation that policy is asked about before codes are made."""
_ID_CHARS = frozenset("0123456789abcdef")
_ID_LENGTH = 32


class Renewing(NamedTuple):
    """An escalation that somebody is about to renew."""

    escalation: Escalation
    ledger: Ledger
    who: Who
    environ: Mapping[str, str]

    def by_code(self, ask: Callable[[str], str]) -> Renewed:
        """Return the cycle that a code begins; `ask` gives the code, once it is clear that one can renew.

        Raises:
            UsageError: the code came another way, too; or as `renewal.ready`.
            NotRenewedError, DecisionError, LedgerError: as `renewal.renew`.
        """
        renewal.ready(self.ledger, self.escalation)
        code = ask(self.escalation.name)
        refuse_seen(code, self.environ, sys.argv[1:])
        return renewal.renew(self.ledger, self.escalation, code, self.who)

    def by_file(self, file: str) -> Renewed:
        """Return the cycle that a signed file begins.

        Raises:
            UsageError: the file cannot be read; or as `renewal.ready`.
            NotRenewedError, DecisionError, LedgerError: as `renewal.renew_by_file`.
        """
        try:
            data = plainfile.read(file, renewalfile.MOST_BYTES + 2)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"the renewal file {shown(file)} cannot be read: {why}", advice="make one with `orch code sign`"
            ) from error
        token = data.decode("ascii", "replace")
        return renewal.renew_by_file(self.ledger, self.escalation, token, self.who)


class Issuing(NamedTuple):
    """An escalation that somebody is about to make codes for."""

    name: str
    ledger: Ledger
    by: str
    refused: Done | None
    """Why that is not to be done, where policy does not allow it, or not yet."""

    def draw(self, spare: int, *, has_duress: bool) -> Drawn:
        """Return new codes, nothing of which is recorded; raises as `codes.draw`."""
        return codes.draw(self.ledger, self.name, spare=spare, has_duress=has_duress)

    def issue(self, drawn: Drawn) -> None:
        """Let new codes count, and those before them no more; raises as `codes.issue`."""
        codes.issue(self.ledger, self.name, drawn, self.by)


class Wanted(NamedTuple):
    """A renewal file that somebody wants."""

    name: str
    counter: int | None = None
    """None takes the seconds since 1970."""
    expires: str = "24h"
    ledger_id: str | None = None
    ledger: str | None = None


@contextmanager
def renewing(settings: Settings, name: str | None, environ: Mapping[str, str]) -> Iterator[Renewing]:
    """Give the escalation of a name, or the only one, to be renewed.

    Raises:
        UsageError: there is none, or several; or there is no ledger.
        PackError, DecisionError, LedgerError: the policy or the ledger cannot be read.
    """
    from orchestrator.ledger.open import open_ledger

    with open_ledger(settings.ledger, must_exist=True) as ledger:
        found = only(opened(settings, name=name, ledger=None, lease=None))
        who = Who(found.executor.run.subject, throttle.source_of(environ))
        yield Renewing(found.escalation, ledger, who, environ)


@contextmanager
def issuing(settings: Settings, name: str | None) -> Iterator[Issuing]:
    """Give the escalation of a name, or the only one, once policy was asked whether codes may be made for it.

    Raises:
        As `renewing`, and for a fuse; a ledger is made where there is none.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        found = only(opened(settings, name=name, ledger=ledger, lease=lease, may_have_ended=True))
        if found.is_fuse or found.escalation.mode is Mode.FUSE:
            raise UsageError(f"{shown(found.escalation.name)} is a fuse, which no code renews")
        refused = found.executor.decide(_order(found))
        yield Issuing(found.escalation.name, ledger, found.executor.run.subject, refused)


def signed_file(wanted: Wanted, signer: Signer) -> str:
    """Return the one line of a renewal file.

    Raises:
        UsageError: the ledger's id or the duration is none, or the ledger is not there.
        LedgerError: it cannot be read.
    """
    try:
        lasts_s = clock.parse_duration(wanted.expires)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error
    if lasts_s > renewalfile.MOST_LASTING_S:
        raise UsageError(
            f"--expires is {shown(wanted.expires)}; expected at most {renewalfile.MOST_LASTING_S // 86_400}d",
            advice="a file that renews for longer would outlive the key that you may want to revoke",
        )
    now_s = clock.now_ns() // SECOND_NS
    counter = now_s if wanted.counter is None else wanted.counter
    return renewalfile.signed(Claims(wanted.name, _ledger_id(wanted), counter, now_s, now_s + lasts_s), signer)


def id_given(text: str) -> str:
    """Return a ledger's id that was typed.

    Raises:
        UsageError: it is none.
    """
    if len(text) != _ID_LENGTH or not set(text) <= _ID_CHARS:
        raise UsageError(
            f"--ledger-id is {shown(text)}; expected {_ID_LENGTH} hex digits",
            advice="`orch ledger verify` shows the ledger's id",
        )
    return text


def _ledger_id(wanted: Wanted) -> str:
    if wanted.ledger_id is not None:
        return id_given(wanted.ledger_id)
    from orchestrator.ledger.open import open_ledger

    with open_ledger(Settings.load({"ledger": wanted.ledger}).ledger, must_exist=True) as ledger:
        return ledger.id


def _order(found: Opened) -> Order:
    cycle = found.record.cycle if found.record else 0
    said = {"resource": found.escalation.name, "operation": ISSUE, "cycle": cycle}
    return Order(f"control/{ISSUE}/{new_id()}", ACTION, said)
