"""One action from the command line: who asks, under which packs, in which run; and then `act`. Shows nothing."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator import outbox, verdict
from orchestrator.act import Executor
from orchestrator.adapter import Delivery
from orchestrator.asker import Asker
from orchestrator.decision import Decision
from orchestrator.digest import new_id
from orchestrator.errors import UsageError
from orchestrator.judge import Judge
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger
from orchestrator.meters import micro
from orchestrator.names import run_problem, shown
from orchestrator.order import ESCALATION, Done, Lease, OnUnknown, Order
from orchestrator.place import here
from orchestrator.request import arguments_of
from orchestrator.secret import Secrets
from orchestrator.settings import Settings, repository_root
from orchestrator.task import Workshop

_MOST_TIMEOUT_S = 7 * 86_400


class Asked(NamedTuple):
    """What somebody typed."""

    action: str
    adapter: str | None = None
    arguments: tuple[str, ...] = ()
    """`name=text` or `name:=json`."""
    branch: str | None = None
    head_branch: str | None = None
    change: str | None = None
    """`BASE..HEAD` of git: who wrote it cannot approve it."""
    key: str | None = None
    """None draws one, so that every call is another order."""
    on_unknown: str = OnUnknown.HOLD.value
    timeout_s: float = 300.0
    estimates: tuple[str, ...] = ()
    """`meter=amount`."""
    root: str | None = None


class Word(StrEnum):
    """What a person says, after a look outside, of an action that may have happened."""

    DELIVERED = "delivered"
    NOT_DELIVERED = "not-delivered"


_SAID = {Word.DELIVERED: Delivery.DELIVERED, Word.NOT_DELIVERED: Delivery.RETRYABLE}


class Acting(NamedTuple):
    """An executor and the order it was asked for."""

    executor: Executor
    order: Order
    notes: tuple[str, ...]
    """What a person should know about where the packs came from."""


def act(
    asked: Asked,
    settings: Settings,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
    told: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Done:
    """Return what became of an action that was asked for; done under the packs, and recorded.

    Raises:
        UsageError: it cannot be asked for like this, or its decision would rest on a claim.
        AdapterError: what its adapter needs is not configured.
        PackError, DecisionError, LedgerError: there is no policy, or no ledger, to act under.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    with ExitStack() as stack:
        order = order_of(asked)
        ledger = stack.enter_context(open_ledger(settings.ledger))
        _refuse_cycles(ledger, settings.run)
        lease = stack.enter_context(open_lease(ledger))
        acting = _acting(asked, order, settings, ledger, lease)
        told(acting.notes)
        if acting.executor.look(order) is None:
            acting.executor.check(order)  # what was typed wrongly is an error, not something that was tried
        return acting.executor.act(order, is_cancelled=is_cancelled)


def left(asked: Asked, settings: Settings) -> Done | None:
    """Return how an order with a key stands that was interrupted; None where nothing of it was begun.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    from orchestrator.ledger.look import looking

    run_id, name = settings.run or "", asked.key or ""
    with looking(settings.ledger) as ledger:
        if ledger is None:
            return None
        with ledger.store.reading() as connection:
            rows = outbox.rows_of(connection, outbox.chain_of(run_id, name, ledger.id), name)
        if all(row.state is outbox.Standing.PLANNED for row in rows.values()):
            return None
        return verdict.done_of(rows, outbox.key_of(ledger.id, run_id, name, ""), name)


def resolve(asked: Asked, settings: Settings, word: Word) -> list[dict[str, str]]:
    """Record a person's word on an action that is unknown; return `{target, key, delivery, by}` for each recipient.

    Of what did not happen the same action asked for again does it, under the packs as they are then.

    Raises:
        UsageError: no key is given, nothing of that name is unknown, it is another action, or somebody is still at it.
        LedgerError: it cannot be recorded.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    if asked.key is None:
        raise UsageError("--resolve needs --key", advice="`orch act` printed the key of what it does not know")
    name, run_id, state = order_of(asked).name, settings.run or "", _SAID[word]
    by = Asker.of(settings, here(), os.environ).subject({})
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger, must_exist=True))
        lease = stack.enter_context(open_lease(ledger))
        with ledger.store.reading() as connection:
            rows = outbox.rows_of(connection, outbox.chain_of(run_id, name, ledger.id), name).values()
        for row in rows:
            if row.action != asked.action:
                raise UsageError(f"{shown(name)} names {row.action}, not {shown(asked.action)}")
            if row.is_open and row.executor and not (lease.is_dead(row.executor) or lease.is_replaced(row.executor)):
                raise UsageError(f"another process is still at {shown(name)}", advice="wait for it, or end it first")
        settled = outbox.resolve(ledger, run_id, name, state, by=by)
    return [{"target": row.target, "key": row.key, "delivery": state.value, "by": by} for row in settled]


@contextmanager
def would(asked: Asked, settings: Settings) -> Iterator[tuple[Decision, tuple[str, ...]]]:
    """Give what an action would be decided, and notes; nothing is done, recorded or made.

    Raises:
        As `act`.
    """
    from orchestrator.ledger.look import looking

    with looking(settings.ledger) as ledger:
        order = order_of(asked)
        acting = _acting(asked, order, settings, ledger, None)
        yield acting.executor.would(order), acting.notes


def order_of(asked: Asked) -> Order:
    """Return the order that was typed.

    Raises:
        UsageError: an argument, the key, the time or an estimate is wrong.
    """
    parameters = arguments_of(asked.arguments)
    for name, value in (("branch", asked.branch), ("head_branch", asked.head_branch)):
        if value is not None:
            if name in parameters:
                raise UsageError(f"{name} is given twice: as an argument and as --{name.replace('_', '-')}")
            parameters[name] = value
    if asked.key is not None and (expected := run_problem(asked.key)):
        raise UsageError(f"--key is {shown(asked.key)}; expected {expected}")
    if not 0 < asked.timeout_s <= _MOST_TIMEOUT_S:
        raise UsageError(f"--timeout is {asked.timeout_s:g} s; expected more than none, and at most a week")
    return Order(
        name=asked.key or new_id(),
        action=asked.action,
        parameters=parameters,
        adapter=asked.adapter,
        on_unknown=OnUnknown(asked.on_unknown),
        timeout_s=asked.timeout_s,
        estimates=_estimates(asked.estimates),
    )


def _refuse_cycles(ledger: Ledger, run_id: str | None) -> None:
    """Refuse to act in an escalation's cycle: an order there could take the place of what a stage brings."""
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT kind FROM runs WHERE id = ?", (run_id or "",))
    if rows and rows[0][0] == ESCALATION:
        raise UsageError(
            f"the run {run_id} is a cycle of an escalation, in which its stages alone act",
            advice="leave --run out, or name another one",
        )


def _acting(asked: Asked, order: Order, settings: Settings, ledger: Ledger | None, lease: Lease | None) -> Acting:
    cwd = here()
    root = Path(asked.root).resolve() if asked.root else repository_root(cwd) or cwd.resolve()
    if not root.is_dir():
        raise UsageError(f"there is no folder {shown(str(root))}", advice="--root names the folder that is worked in")
    asker = Asker.of(settings, cwd, os.environ, change=asked.change)
    judge = Judge(asker.settings, asker.run({}), root, {})
    roster = judge.policy.roster
    judge.run, judge.facts = asker.run(roster), asker.facts(roster)
    secrets = Secrets(settings.secrets, os.environ, Mask.of(os.environ) if ledger is None else ledger.mask)
    secrets.learn()
    executor = Executor(judge, Workshop(asker.settings, root, secrets), ledger, lease)
    return Acting(executor, order, judge.notes)


def _estimates(given: tuple[str, ...]) -> Mapping[str, int]:
    amounts: dict[str, int] = {}
    for text in given:
        meter, found, number = text.partition("=")
        if not found or not meter or meter in amounts:
            expected = "each meter once, with an amount"
            raise UsageError(f"--estimate is {shown(text)}; expected {expected}", advice="--estimate usd=0.50")
        if problem := run_problem(meter):
            raise UsageError(f"--estimate names the meter {shown(meter)}; expected {problem}")
        amounts[meter] = micro(number, f"--estimate {meter}")
    return amounts
