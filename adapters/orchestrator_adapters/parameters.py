"""Parameters of an order and settings of an adapter, read strictly: every name known, every value of its type."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.adapter import Place, Wanted, unconfigured
from orchestrator.errors import UsageError
from orchestrator.names import NO_REPOSITORY, branch_problem, path_problem, repository_problem, shown
from orchestrator.words import near_miss


class Parameters:
    """What an action was given. Every method raises UsageError where a value cannot be."""

    def __init__(self, wanted: Wanted, known: str) -> None:
        """Take the parameters; `known` names those there can be, and a null counts as left out.

        Raises:
            UsageError: one is unknown.
        """
        self._action = wanted.action
        self._given = {name: value for name, value in wanted.parameters.items() if value is not None}
        names = known.split()
        for name in sorted(self._given.keys() - set(names)):
            hint = near_miss(name, names)
            raise UsageError(f"{wanted.action} has no parameter {shown(name)}; it has {', '.join(names)}{hint}")

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str, default: str | None = None, *, is_empty_allowed: bool = False) -> str:
        """Return a text; the default may be empty, what is given only where that is allowed."""
        if default is not None and name not in self:
            return default
        value = self._value(name, None)
        if not isinstance(value, str) or not (value.strip() or is_empty_allowed) or "\0" in value:
            empty = "" if is_empty_allowed or not isinstance(value, str) else " that is not empty"
            has_nul = isinstance(value, str) and "\0" in value
            raise self._wrong(name, value, "a text without NUL" if has_nul else f"a text{empty}")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, none where it is left out; one text is a list of one."""
        value = self._given.get(name, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list of texts")
        for at, one in enumerate(value):
            if not isinstance(one, str) or not one.strip():
                where = name if isinstance(self._given[name], str) else f"{name}[{at}]"
                raise self._wrong(where, one, "a text that is not empty")
        return list(dict.fromkeys(value))

    def number(self, name: str) -> int:
        """Return the number of an issue or a pull request; `7` and `"7"` are the same."""
        value = self._value(name, None)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004  # digits
            value = int(value)
        if type(value) is not int or not 0 < value < 10**9:
            raise self._wrong(name, value, "a number, such as 7")
        return value

    def flag(self, name: str) -> bool:
        """Return whether something is asked for; no where it is left out."""
        value = self._given.get(name, False)
        value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, empty where it is left out."""
        value = self._given.get(name, {})
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise self._wrong(name, value, "a mapping")
        return dict(value)

    def choice(self, name: str, default: str, choices: Iterable[str]) -> str:
        """Return one of some words."""
        value = self._given.get(name, default)
        if value not in choices:
            raise self._wrong(name, value, " or ".join(choices))
        return str(value)

    def branch(self, name: str = "branch", default: str | None = None) -> str:
        """Return a branch's name."""
        value = self._value(name, default)
        if expected := branch_problem(value) if isinstance(value, str) else "a text":
            raise self._wrong(name, value, expected)
        return str(value)

    def tag(self, name: str = "tag") -> str:
        """Return a tag's name: git allows what it allows for a branch."""
        value = self._value(name, None)
        if expected := branch_problem(value) if isinstance(value, str) else "a text":
            named = expected.replace("branch's name", "tag's name").replace("refs/heads/", "refs/tags/")
            raise self._wrong(name, value, named)
        return str(value)

    def path(self, value: object, name: str = "path") -> str:
        """Return a path of a file, relative to a root."""
        if expected := path_problem(value) if isinstance(value, str) else "a text":
            raise self._wrong(name, value, expected)
        parts = str(value).lower().split("/")
        if ".git" in parts:
            raise self._wrong(name, value, "a path outside of .git")
        return str(value)

    def repository(self, place: Place) -> str:
        """Return `owner/name`: the order's, else the place's."""
        value = self._given.get("repository", place.repository)
        if value is None or value == NO_REPOSITORY:
            raise UsageError(
                f"{self._action} needs a repository, and none is known", advice="say --repo owner/name, or `repository`"
            )
        if expected := repository_problem(value) if isinstance(value, str) else "a text":
            raise self._wrong("repository", value, expected)
        return str(value)

    def repository_or_none(self, place: Place) -> str:
        """Return `owner/name`, or `none` where nobody said: for what stays on this machine."""
        if self._given.get("repository", place.repository) is None:
            return NO_REPOSITORY
        if self._given.get("repository", place.repository) == NO_REPOSITORY:
            return NO_REPOSITORY
        return self.repository(place)

    def _value(self, name: str, default: str | None) -> Any:  # noqa: ANN401  # JSON
        value = self._given.get(name, default)
        if value is None:
            raise UsageError(f"{self._action} needs `{name}`, which is missing")
        return value

    def _wrong(self, name: str, value: object, expected: str) -> UsageError:
        return UsageError(f"`{name}` of {self._action} is {shown(value)}; expected {expected}")


def setting(settings: Mapping[str, Any], adapter: str, name: str, default: str = "") -> str:
    """Return a text of the operator's settings of an adapter.

    Raises:
        AdapterError: it is no text, or missing without a default.
    """
    value = settings.get(name, default)
    if not isinstance(value, str):
        raise unconfigured(f"`{name}` of adapters.{adapter} is {shown(value)}; expected a text")
    return value


def refuse_unknown(settings: Mapping[str, Any], adapter: str, known: str) -> None:
    """Refuse settings that the adapter does not have.

    Raises:
        AdapterError: there is one.
    """
    names = known.split()
    for name in sorted(settings.keys() - set(names)):
        hint = near_miss(str(name), names)
        raise unconfigured(f"adapters.{adapter} has {shown(name)}; expected only {', '.join(names)}{hint}")
