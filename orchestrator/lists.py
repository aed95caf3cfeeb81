"""Named lists of a pack, resolved: `$name` in an item stands for the list's items, `$$name` for the text `$name`."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.document import Map, Place, Seq, shown
from orchestrator.model import Scalar
from orchestrator.notes import Notes
from orchestrator.shape import is_list_name
from orchestrator.words import did_you_mean, listing

MAX_ITEMS = 100_000
"""Most items of one list once resolved."""


def placed(raw: Map, key: str) -> Iterator[Place]:
    """Yield where each item under a key stands; one item without a list stands where its value does."""
    value = raw.get(key)
    if isinstance(value, Seq):
        yield from value.marks
    else:
        yield raw.value_at(key)


def scalar_key(value: Scalar) -> tuple[bool, Scalar]:
    """Return what tells values apart: true is not 1, but 1.0 is."""
    return isinstance(value, bool), value


class Lists:
    """The lists of one pack."""

    def __init__(self, lists: Mapping[str, Sequence[Scalar]], raw: Map | None, notes: Notes) -> None:
        self._lists = lists
        self._raw = raw
        self._notes = notes
        self._resolved: dict[str, tuple[Scalar, ...]] = {}
        self._open: list[str] = []
        self._used: set[str] = set()

    def resolve(self, items: Sequence[Scalar], places: Iterator[Place]) -> list[tuple[Scalar, Place]]:
        """Return items with lists put in, each value once, and where each was written or its list was named."""
        found: dict[tuple[bool, Scalar], tuple[Scalar, Place]] = {}
        for item, place in zip(items, places, strict=False):
            if self._notes.is_full:
                break
            if is_list_name(item):
                for value in self._values(str(item)[1:], place):
                    found.setdefault(scalar_key(value), (value, place))
            else:
                value = unescaped(item)
                found.setdefault(scalar_key(value), (value, place))
            if len(found) > MAX_ITEMS:
                self._notes.error(place, f"more than {MAX_ITEMS} items", "a shorter list")
                break
        return list(found.values())

    def check(self) -> None:
        """Note lists that cannot be resolved, and lists that nothing used so far."""
        used = set(self._used)
        for name in self._lists:
            self._values(name, self._raw.key_at(name) if self._raw is not None else (0, 0))
        for name in self._lists:
            if name not in used and self._raw is not None:
                place = self._raw.key_at(name)
                self._notes.warning(
                    place, f"the list {shown(name)}, which no rule uses", "a use as `$" + name + "`, or no list"
                )

    def _values(self, name: str, place: Place) -> tuple[Scalar, ...]:
        if name in self._resolved:
            return self._resolved[name]
        if name not in self._lists:
            advice = (
                did_you_mean("$" + name, ["$" + each for each in self._lists])
                or f"text that begins with `$` is written `$${name}`"
            )
            known = listing(f"`${each}`" for each in self._lists) if self._lists else "a list under `lists:`"
            self._notes.error(place, f"the list {shown('$' + name)}, which is not there", known, advice)
            return ()
        if name in self._open:
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            self._notes.error(place, f"lists that hold each other: {circle}", "lists without a circle")
            return ()
        self._open.append(name)
        places = placed(self._raw, name) if self._raw is not None else iter(())
        values = tuple(value for value, _ in self.resolve(self._lists[name], places))
        self._open.pop()
        self._resolved[name] = values
        self._used.add(name)
        return values


def unescaped(item: Scalar) -> Scalar:
    """Return an item as meant: `$$x` is `$x`."""
    return item[1:] if isinstance(item, str) and item.startswith("$$") else item
