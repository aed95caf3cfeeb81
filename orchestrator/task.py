"""From an order to a task: who does it, with what, and the action as it will be decided about. Changes nothing."""

import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from orchestrator.adapter import (
    Adapter,
    Delivery,
    Effect,
    ErrorClass,
    Place,
    Prepared,
    SeveralError,
    Wanted,
    adapter_for,
    failure,
    named,
    no_channel,
)
from orchestrator.attempt import told
from orchestrator.digest import canonical, sha256
from orchestrator.errors import AdapterError, OrchError, UsageError
from orchestrator.judge import contributors
from orchestrator.ledger import artifacts
from orchestrator.ledger.store import Ledger
from orchestrator.names import id_problem, is_text, shown
from orchestrator.opening import Opening, is_opening
from orchestrator.order import Order
from orchestrator.record import Run
from orchestrator.secret import Secrets
from orchestrator.settings import Settings

_CONTRIBUTORS = "contributors"
"""In `Prepared.fixed`: mail addresses of who had a hand in a change that this machine's git does not have.

None: they are not all known.
"""
UNKNOWN = "unknown:authors"
"""Stands among the contributors where not all of them are known; everybody in the roster does then."""


class Workshop(NamedTuple):
    """Where the tasks of one executor are done, and with what."""

    settings: Settings
    root: Path
    secrets: Secrets


class Task(NamedTuple):
    """An order, ready to be decided about and done."""

    order: Order
    adapter: Adapter
    place: Place
    prepared: Prepared
    request: dict[str, Any]
    facts: dict[str, Any]
    """What the host knows of this action beside what it knows of the run."""


def asked_digest(order: Order) -> str:
    """Return the digest of what is asked for: a key stands for it alone.

    Raises:
        UsageError: a parameter cannot be written as JSON.
    """
    refuse_unwritable(order)
    try:
        said = {"action": order.action, "adapter": order.adapter, "parameters": dict(order.parameters)}
        return sha256(canonical(said))
    except (ValueError, TypeError) as error:
        raise UsageError(f"a parameter of {shown(order.action)} cannot be written as JSON: {error}") from error


def refuse_unwritable(order: Order) -> None:
    """Refuse texts without a form in UTF-8 (lone surrogates), however deep they lie in the parameters.

    Raises:
        UsageError: there is one; the message names the parameter.
    """
    left: list[tuple[str, object]] = [("", dict(order.parameters))]
    seen: set[int] = set()
    while left:
        where, value = left.pop()
        if isinstance(value, str) and not is_text(value):
            raise UsageError(f"the parameter {where} of {shown(order.action)} is {shown(value)}; expected UTF-8 text")
        if not isinstance(value, Mapping | list | tuple) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            for name in value:
                if isinstance(name, str) and not is_text(name):
                    what = f"the parameter {where}" if where else "an order"
                    raise UsageError(f"{what} of {shown(order.action)} names {shown(name)}; expected UTF-8 text")
            left += [(f"{where}.{name}" if where else str(name), one) for name, one in value.items()]
        else:
            left += [(f"{where}[{at}]", one) for at, one in enumerate(value)]


def task_of(order: Order, shop: Workshop, run: Run, roster: Mapping[str, Any], *, may_ask: bool = True) -> Task:
    """Return an order with everything looked up that could change until it is done.

    `may_ask` says whether others may be asked, too; what only they know is unknown else.

    Raises:
        UsageError: no adapter can do it, or a parameter is wrong.
        AdapterError: what the adapter needs is not configured or cannot be read.
    """
    refuse_unwritable(order)
    adapter = _adapter(order, shop.settings)
    place = Place(
        root=shop.root,
        repository=_repository(run, shop.settings),
        settings=shop.settings.adapters.get(adapter.name, {}),
        channels=shop.settings.channels,
        reveal=shop.secrets.revealer(order.action),
        keep=_keeps_nothing,
        environ=os.environ,
        may_ask=may_ask,
    )
    prepared = _prepared(adapter, Wanted(order.action, order.parameters), place)
    if order.is_replayable is not None:
        prepared = prepared._replace(is_replayable=order.is_replayable)
    kind = run.subject.partition(":")[0]
    request = {
        "subject": {"type": kind, "id": run.subject},
        "action": {"name": order.action, "properties": dict(prepared.properties)},
        "resource": dict(prepared.resource),
        "context": {},
    }
    return Task(order, adapter, place, prepared, request, _facts(prepared, shop.root, roster))


def keeper(ledger: Ledger, chain: str, actor: str) -> Callable[[BinaryIO, str, str], str]:
    """Return what keeps artifacts in a ledger, as `Place.keep`."""

    def keep(stream: BinaryIO, name: str, media_type: str) -> str:
        made = artifacts.put(ledger, stream, name=name, media_type=media_type)
        with ledger.store.writing() as connection:
            artifacts.stored(ledger, connection, made, chain, actor)
        return made.digest

    return keep


def _keeps_nothing(_: BinaryIO, name: str, __: str) -> str:
    raise UsageError(f"{shown(name)} cannot be kept before it is decided", advice="keep artifacts in `perform`")


def _adapter(order: Order, settings: Settings) -> Adapter:
    if is_opening(order.action):
        return Opening()
    name = order.adapter
    channel = order.parameters.get("channel")
    if name is None and isinstance(channel, str) and channel in settings.channels:
        name = str(settings.channels[channel]["adapter"])
    if name is not None:
        return adapter_for(order.action, name)
    try:
        return named(_only_name(order.action))
    except SeveralError as error:
        if isinstance(channel, str):
            raise no_channel(channel, settings.channels) from error
        raise


@cache
def _only_name(action: str) -> str:
    """Return the name of the only installed adapter that does an action; every one has to be loaded to see that."""
    return adapter_for(action).name


def _repository(run: Run, settings: Settings) -> str | None:
    known = run.repository or settings.repository
    return None if known == "none" else known


def _prepared(adapter: Adapter, wanted: Wanted, place: Place) -> Prepared:
    try:
        prepared = _sound(adapter.prepare(wanted, place))
    except AdapterError as error:
        raise _usable(error) from error
    except OrchError:
        raise
    except BaseException as error:  # somebody else's code, which may even try to end the process
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # Ctrl-C
        raise UsageError(
            f"the adapter {adapter.name} cannot prepare {shown(wanted.action)}: {told(error)}",
            advice="see that every parameter is given; docs/adapters.md",
        ) from error
    if prepared is None:
        raise UsageError(f"the adapter {adapter.name} prepared nothing usable for {shown(wanted.action)}")
    return prepared


def _sound(prepared: Any) -> Prepared | None:  # noqa: ANN401  # whatever somebody else's code gave
    """Return what an adapter prepared, each target once; None where it has not the form that it should."""
    if not isinstance(prepared, Prepared):
        return None
    one: Any = prepared
    has_form = all(isinstance(each, Mapping) for each in (one.resource, one.properties, one.fixed))
    has_form = has_form and isinstance(one.effect, Effect) and isinstance(one.is_replayable, bool)
    if not has_form or not isinstance(one.resource.get("properties", {}), Mapping):
        return None
    if not isinstance(one.targets, list | tuple) or not one.targets or not all(map(_is_target, one.targets)):
        return None
    return prepared._replace(targets=tuple(dict.fromkeys(one.targets)))


def _usable(error: AdapterError) -> AdapterError:
    """Return an adapter's error; one that says what there is not says nothing beside its message."""
    is_usable = error.delivery in set(Delivery) and error.error_class in {None, *ErrorClass}
    return error if is_usable else failure(str(error), advice=error.advice)


def _is_target(value: object) -> bool:
    """Return whether a value is a text that can be written down."""
    if not isinstance(value, str):
        return False
    return not value or not id_problem(value)


def _facts(prepared: Prepared, root: Path, roster: Mapping[str, Any]) -> dict[str, Any]:
    """Return who had a hand in the change that is pushed, proposed or merged: they cannot approve it.

    Where that is not known, it could be anybody: so nobody can.
    """
    if _CONTRIBUTORS in prepared.fixed:
        mails = prepared.fixed[_CONTRIBUTORS]
        if isinstance(mails, list | tuple):
            from orchestrator.change import contributor_names

            return {"contributors": contributor_names(map(str, mails), roster)}
        return _anybody(roster)
    commit = prepared.properties.get("commit")
    if "files" not in prepared.resource.get("properties", {}) or not isinstance(commit, str):
        return {}
    known = contributors(root, commit, roster)
    return _anybody(roster) if known is None else {"contributors": known}


def _anybody(roster: Mapping[str, Any]) -> dict[str, Any]:
    return {"contributors": sorted({UNKNOWN, *map(str, roster)})}
