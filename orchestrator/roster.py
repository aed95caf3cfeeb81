"""Rosters: who there is, with roles, attributes and keys. Nobody twice, and no key or login that belongs to two."""

from orchestrator import schema
from orchestrator.document import Map, Place, shown
from orchestrator.keys import EXPECTED, public_key, ssh_line
from orchestrator.lists import placed
from orchestrator.model import RosterEntry
from orchestrator.notes import Notes

LOGINS = ("mail", "github", "gitlab")
"""Attributes that name one person outside; compared lower-cased."""


class RosterReader:
    """Reads the rosters of a layer and remembers who owns what."""

    def __init__(self) -> None:
        self.entries: dict[str, RosterEntry] = {}
        self._places: dict[str, str] = {}
        self._owners: dict[tuple[str, str], str] = {}

    def read(self, model: schema.Roster, raw: Map, notes: Notes) -> None:
        """Add one roster; who or what is there twice is noted."""
        subjects: Map = raw["subjects"]
        for name, entry in model.subjects.items():
            place = subjects.key_at(name)
            if name in self.entries:
                notes.error(
                    place, f"{shown(name)} a second time", "each subject once", f"the first is at {self._places[name]}"
                )
                continue
            self._places[name] = f"{notes.file}:{place[0]}"
            inner: Map = subjects[name]
            for login in LOGINS:
                if login in entry.attributes:
                    self._own(login, entry.attributes[login].lower(), name, inner["attributes"].value_at(login), notes)
            for key, where in zip(entry.keys, placed(inner, "keys"), strict=False):
                self._own_key(key, name, where, notes)
            attributes = {key: entry.attributes[key] for key in sorted(entry.attributes)}
            roles, keys = tuple(sorted(set(entry.roles))), tuple(sorted(set(entry.keys)))
            self.entries[name] = RosterEntry(name, roles, attributes, keys)

    def _own_key(self, key: str, name: str, place: Place, notes: Notes) -> None:
        """A key belongs to one, however it is written."""
        try:
            public = public_key(key)
        except ValueError as error:
            advice = "the line that `orch key show` prints"
            notes.error(place, f"the key {shown(key)}: {error}", f"an Ed25519 public key, {EXPECTED}", advice)
            return
        self._own("key", ssh_line(public), name, place, notes)

    def _own(self, kind: str, value: str, name: str, place: Place, notes: Notes) -> None:
        owner = self._owners.setdefault((kind, value), name)
        if owner != name:
            notes.error(
                place, f"the {kind} {shown(value)}, which belongs to {shown(owner)}", f"a {kind} of nobody else"
            )
