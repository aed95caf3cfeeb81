"""Adapters: what does one family of actions in the outside world, and how they are found. Decides nothing.

An adapter is a class without state, named by an entry point of the group `orchestrator.adapters`; `docs/adapters.md`
shows how to write one.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple, Protocol

from orchestrator.errors import AdapterError, OrchError, UsageError
from orchestrator.names import shown
from orchestrator.words import near_miss

GROUP = "orchestrator.adapters"
_NONE: Mapping[str, Any] = MappingProxyType({})
_MOST_LISTED = 20
_MEND = "mend or uninstall the package that brings it"


class SeveralError(UsageError):
    """Several adapters can do an action, and nobody said which."""


class Effect(StrEnum):
    """How far an action reaches."""

    READ = "read"
    """Changes nothing."""
    WRITE = "write"
    """Changes what lies on this machine."""
    OUTWARD = "outward"
    """Reaches others; cannot be called back."""


class Delivery(StrEnum):
    """What became of one attempt."""

    DELIVERED = "delivered"
    PERMANENT = "permanent"
    """It was refused; trying again is of no use."""
    RETRYABLE = "retryable"
    """It certainly did not happen, and may work later."""
    UNKNOWN = "unknown"
    """It may have happened."""


class ErrorClass(StrEnum):
    """Who can mend a failure. Source: 002, "Error Handling"."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    DEPENDENCY = "dependency"
    CONFIGURATION = "configuration"


class Place(NamedTuple):
    """Where actions are done, and with what."""

    root: Path
    """The workspace; symlinks resolved. Nothing outside of it is touched."""
    repository: str | None
    """`owner/name`; None where nobody said."""
    settings: Mapping[str, Any]
    """What the operator's file says below `adapters:` of this adapter; secrets still as references."""
    channels: Mapping[str, Mapping[str, Any]]
    """The operator's channels by name: `{adapter, ...}`; secrets still as references."""
    reveal: Callable[[str], str]
    """Gives a text with `${{ secrets.NAME }}` replaced. Raises AdapterError where there is no such secret."""
    keep: Callable[[BinaryIO, str, str], str]
    """Stores an artifact (stream, name, media type), secrets masked, and gives its digest."""
    environ: Mapping[str, str]
    """The environment that a child may be given a part of."""
    may_ask: bool = True
    """Whether `prepare` may ask others; not where it is only said what would be: then nothing is sent at all."""


class Wanted(NamedTuple):
    """One action as somebody asked for it."""

    action: str
    """Its name in the catalogue, or one that a pack declares."""
    parameters: Mapping[str, Any]
    """As given; secrets are references."""


class Prepared(NamedTuple):
    """An action as it is decided about and will be done: everything that could change meanwhile is fixed here."""

    resource: Mapping[str, Any]
    """Of the request: `{type, id, properties}`."""
    properties: Mapping[str, Any]
    """`action.properties` of the request."""
    effect: Effect
    is_replayable: bool
    """Doing it again with the same key changes nothing."""
    targets: tuple[str, ...] = ("",)
    """One receipt each: recipients of a message; else one empty text."""
    fixed: Mapping[str, Any] = _NONE
    """JSON that `perform` needs beyond the request, such as a file's new content by digest; never a secret."""


class Action(NamedTuple):
    """One action, decided and allowed, for one target."""

    name: str
    resource: Mapping[str, Any]
    properties: Mapping[str, Any]
    target: str
    """One of `Prepared.targets`."""
    fixed: Mapping[str, Any]
    place: Place
    timeout_s: float
    """For all of it."""
    attempt: int = 1
    recheck: Callable[[], None] = lambda: None
    """To be called right before the byte that cannot be called back; raises AdapterError where it must not be sent."""
    is_cancelled: Callable[[], bool] = lambda: False
    """Whether somebody wants this ended; long work looks at it every second or so."""


class Receipt(NamedTuple):
    """What became of an action for one target."""

    delivery: Delivery
    reference: str = ""
    """What the outside world calls it: a URL, a commit id, a Message-ID."""
    detail: str = ""
    """Why, for people."""
    outputs: Mapping[str, Any] = _NONE
    """JSON for later steps."""
    error_class: ErrorClass | None = None
    """None where it was delivered, or nobody knows."""
    retry_after_s: float | None = None
    """How long the other side asks to wait."""
    artifacts: tuple[str, ...] = ()
    """Digests of what was kept: a command's output."""
    used: Mapping[str, int] = _NONE
    """What was really used, micro-units by meter."""


class Adapter(Protocol):
    """Does one family of actions."""

    name: str
    """As its entry point's."""
    actions: frozenset[str]
    """Names of the actions it can do."""

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the action as it is to be decided: commits, contents and scripts looked up once. Changes nothing.

        Raises:
            UsageError: a parameter is missing, unknown or cannot be.
            AdapterError: what it needs is not configured or cannot be read.
        """

    def perform(self, action: Action, key: str) -> Receipt:
        """Do it and return what became of it; `key` (64 hex digits) is the same for every attempt.

        What may have happened is UNKNOWN, never RETRYABLE.
        """

    def reconcile(self, action: Action, key: str) -> Receipt | None:
        """Look outside for what became of an attempt that ended unknown.

        DELIVERED: it is there. RETRYABLE: it is certainly not there. None: this cannot be known.
        """


def failure(
    message: str, *, advice: str = "", delivery: Delivery = Delivery.PERMANENT, error_class: ErrorClass | None = None
) -> AdapterError:
    """Return the error that an adapter raises; CONFIGURATION where something is not set up."""
    return AdapterError(message, advice=advice, delivery=delivery, error_class=error_class)


def unconfigured(message: str, *, advice: str = "") -> AdapterError:
    """Return the error for what is not set up; nothing unconfigured is ever delivered."""
    return failure(message, advice=advice, error_class=ErrorClass.CONFIGURATION)


def no_channel(name: str, channels: Iterable[str]) -> AdapterError:
    """Return the error for a channel that the operator's file does not name."""
    known = sorted(channels)
    there = f"; known: {', '.join(known[:_MOST_LISTED])}" if known else ", and no channel at all"
    return unconfigured(
        f"there is no channel {shown(name)}{there}{near_miss(name, known)}",
        advice="name it in the operator's file: channels: {NAME: {adapter: mail, ...}}",
    )


@cache
def installed() -> Mapping[str, EntryPoint]:
    """Return every adapter's entry point by name. Nothing is imported.

    Raises:
        UsageError: two packages give an adapter of one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in found and found[point.name].value != point.value:
            raise UsageError(
                f"two installed packages give an adapter named {point.name}: {found[point.name].value}, {point.value}",
                advice="uninstall one of them",
            )
        found[point.name] = point
    return MappingProxyType(found)


def named(name: str) -> Adapter:
    """Return an adapter.

    Raises:
        UsageError: none of that name is installed, or it cannot be loaded.
    """
    if name not in installed():
        hint = near_miss(name, installed())
        raise UsageError(f"there is no adapter {shown(name)}; installed: {', '.join(sorted(installed()))}{hint}")
    try:
        adapter: Adapter = installed()[name].load()()
        is_whole = adapter.name == name and isinstance(adapter.actions, frozenset)
    except OrchError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's package
        raise UsageError(
            f"the adapter {name} cannot be loaded: {type(error).__name__}: {error}", advice=_MEND
        ) from error
    if not is_whole:
        raise UsageError(
            f"the adapter {name} cannot be used: its `name` is not that, or its `actions` are no frozenset",
            advice=_MEND,
        )
    return adapter


def adapter_for(action: str, name: str | None = None, *, among: Iterable[str] | None = None) -> Adapter:
    """Return the adapter that does an action: the one named, else the only one that can.

    Raises:
        SeveralError: several can, and none is named.
        UsageError: none can, or the one named cannot.
    """
    if name is not None:
        adapter = named(name)
        if action not in adapter.actions:
            hint = near_miss(action, adapter.actions)
            raise UsageError(
                f"the adapter {name} cannot do {shown(action)}; it does {', '.join(sorted(adapter.actions))}{hint}"
            )
        return adapter
    able, broken, known = [], [], set[str]()
    for one in sorted(among or installed()):
        try:
            adapter = named(one)
        except UsageError as error:  # somebody else's package, which may have nothing to do with this
            broken.append(error)
            continue
        able += [adapter] if action in adapter.actions else []
        known |= adapter.actions
    if len(able) == 1:
        return able[0]
    if able:
        names = " or ".join(one.name for one in able)
        how = f"say by which: --adapter {able[0].name}, or in a plan `adapter: {able[0].name}`"
        raise SeveralError(f"{action} can be done by {names}", advice=how)
    unable = f"no installed adapter can do {shown(action)}{near_miss(action, known)}"
    raise UsageError(
        "; ".join([unable, *map(str, broken)]),
        advice="docs/adapters.md lists what each can do",
    )
