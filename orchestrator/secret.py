"""Secrets: `${{ secrets.NAME }}` replaced when an adapter needs it. Whatever is revealed is masked from then on.

A value comes from where the operator's file says, and from nowhere else. It is never written, logged or put into an
error.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapter import unconfigured
from orchestrator.errors import AdapterError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.needles import SHORTEST_NAMED
from orchestrator.names import shown
from orchestrator.words import near_miss

REFERENCE = re.compile(r"\$\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""How a secret is named in a text."""
_MOST_BYTES = 256 * 1024
_OTHERS_WRITE = 0o022


class Secrets:
    """The operator's secrets: where they lie, and a mask of every value that was seen."""

    def __init__(self, places: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str], mask: Mask) -> None:
        self._places = places
        self._environ = environ
        self._values: dict[str, str] = {}
        self.mask = mask

    def learn(self) -> None:
        """Look at every secret that is there, so that the mask knows it before anything could bring it; never raises.

        One that is missing or cannot be read is told of when somebody needs it.
        """
        self.problems()

    def problems(self) -> dict[str, AdapterError]:
        """Return why secrets cannot be used, by name: those that are missing, empty, unsafe or too short."""
        found = {}
        for name in self._places:
            try:
                self._value(name)
            except AdapterError as error:
                found[name] = error
        return found

    def revealer(self, action: str) -> Callable[[str], str]:
        """Return what gives a text with its references replaced, for one action."""
        return lambda text: self.reveal(text, action)

    def reveal(self, text: str, action: str = "") -> str:
        """Return a text with every `${{ secrets.NAME }}` in it replaced.

        Raises:
            AdapterError: there is no such secret, it is not for this action, or it cannot be read.
        """
        return REFERENCE.sub(lambda found: self._for(found[1], action), text)

    def _for(self, name: str, action: str) -> str:
        place = self._places.get(name)
        if place is None:
            raise unconfigured(
                f"there is no secret {shown(name)}{near_miss(name, self._places)}",
                advice=f"say in the operator's file where it lies: secrets: {{{name}: {{env: {name}}}}}",
            )
        if place.get("actions") and action not in place["actions"]:
            raise unconfigured(
                f"the secret {name} is not for {action or 'this'}; it is for {', '.join(place['actions'])}",
                advice="name the action under its `actions:` in the operator's file",
            )
        return self._value(name)

    def _value(self, name: str) -> str:
        if name not in self._values:
            value = self._read(name, self._places[name])
            try:
                self.mask = self.mask.knowing([value])
            except ValueError:
                raise unconfigured(
                    f"the secret {name} has fewer than {SHORTEST_NAMED} characters",
                    advice="use a longer one: so short a text cannot be kept out of the record",
                ) from None
            self._values[name] = value
        return self._values[name]

    def _read(self, name: str, place: Mapping[str, Any]) -> str:
        if variable := place.get("env"):
            value = self._environ.get(variable, "")
            if not value.strip():
                raise unconfigured(f"the secret {name} is empty: {variable} is not set", advice=f"set {variable}")
            return value
        return _from_file(name, Path(str(place.get("file"))))


def references(value: object) -> Iterator[str]:
    """Yield the names of the secrets that a JSON value refers to, in any text or key of it."""
    if isinstance(value, str):
        yield from (found[1] for found in REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from references(key)
            yield from references(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from references(one)


def _from_file(name: str, file: Path) -> str:
    """Return a file's text without the line break at its end; a file that others can write to is refused."""
    where = shown(str(file))
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            seen = os.fstat(opened.fileno())
            if not stat.S_ISREG(seen.st_mode):
                raise unconfigured(f"the secret {name} cannot be read: {where} is no plain file")
            if seen.st_uid not in {os.geteuid(), 0} or seen.st_mode & _OTHERS_WRITE:
                raise unconfigured(
                    f"the secret {name} is not used: others can write to {where}",
                    advice="make it yours alone: chown, chmod 600",
                )
            data = opened.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it has no good name"
        raise unconfigured(f"the secret {name} cannot be read: {where}: {why}") from error
    try:
        value = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise unconfigured(f"the secret {name} is no UTF-8 text") from None
    if not value.strip() or len(data) > _MOST_BYTES:
        raise unconfigured(f"the secret {name} is {'too large' if value.strip() else 'empty'}: {where}")
    return value
