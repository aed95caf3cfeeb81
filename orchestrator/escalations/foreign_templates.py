"""Templates of another project, `${{name}}`, as Jinja2 with the names that an escalation's templates have.

What has no counterpart stands as a comment in its place, and is told with its line. Pure, but for reading the files.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.escalations.foreign import Draft, Fate, file_name
from orchestrator.plans.foreign import slug

_FOLDERS = ("operator", "custodians", "public", "articles", "")
_ENDINGS = (".md", ".txt", ".html")
_MOST_BYTES = 65_536
_VARIABLE = re.compile(
    r"(?P<about>~?)\$\{\{(?P<name>[^}]*)\}\}(?P<unit>[ \t]*(?:hours?|hrs?|h|minutes?|mins?|min|m)\b)?", re.IGNORECASE
)
_HEADING = re.compile(r"\A\s*#+[ \t]+(?P<text>[^\n]+)\n*")
_BRACES = re.compile(r"\{\{|\{%|\{#|\}\}|%\}|#\}")
_TIMES = frozenset({"time_to_deadline_hours", "time_to_deadline_minutes"})
_NAMES = {
    "project": ("constants.project", ""),
    "plan_id": ("constants.plan_id", ""),
    "mode": ("constants.mode", ""),
    "stage": ("stage", "stages are named in lower case"),
    "stage_entered_at": ("entered_at", ""),
    "now_iso": ("entered_at", "the time at which the stage was entered, so that each attempt says the same"),
    "deadline": ("deadline", ""),
    "deadline_iso": ("deadline", ""),
}
_WHYS = {
    "tick_id": "a text is the same whichever tick sends it; the receipt names the decision",
    "overdue_minutes": "there is no time since the deadline; write `deadline`",
    "overdue_hours": "there is no time since the deadline; write `deadline`",
    "armed": "a stage is only ever entered while it is armed",
    "action_id": "one template serves several actions",
    "action_channel": "one template serves several actions",
    "recipient_type": "one template serves several actions; `audience` says who hears of the stage",
    "recipients_count": "nobody is told how many there are",
}


class Form(StrEnum):
    """What a template is for; it is part of the file's name, so that one text can serve several."""

    LETTER = ""
    """Subject and body."""
    TEXT = "text"
    """A body alone."""
    DOCUMENT = "document"
    """What a document holds."""


class Made(NamedTuple):
    """A template, read and written anew."""

    subject: str
    """Jinja2; "" where the text has no heading."""
    body: str


class Library:
    """The templates of the other project, found by name."""

    def __init__(self, folder: Path, root: Path, draft: Draft) -> None:
        self._folder, self._root, self._draft = folder, root, draft
        self._made: dict[str, Made] = {}

    def problem(self, name: str) -> str:
        """Return why a template cannot be used; "" where it can."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            return f"{name!r:.60} is no name of a template"
        found = self._found(name)
        if found is None:
            return f"there is no template {name} in {file_name(self._folder, self._root)}"
        if found.suffix == ".enc":
            return f"its template {file_name(found, self._root)} is encrypted: decrypt it there, and import again"
        return ""

    def file_of(self, name: str, form: Form) -> str:
        """Return where a template is written to, below the folder of the escalation.

        Raises:
            UsageError: it cannot be read.
        """
        if name not in self._made:
            self._made[name] = self._read(name)
        path = f"templates/{slug(Path(name).stem) or 'text'}.{form.value}".removesuffix(".") + ".j2"
        self._draft.templates[path] = _formed(self._made[name], form)
        return path

    def _read(self, name: str) -> Made:
        path = self._found(name)
        assert path is not None  # noqa: S101  # `problem` was asked
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
            text = data.decode()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot read the template {path}: {getattr(error, 'strerror', None) or 'no UTF-8'}"
            ) from error
        if len(data) > _MOST_BYTES:
            raise UsageError(f"the template {path} has more than {_MOST_BYTES:,} bytes")
        shown = file_name(path, self._root)
        if "media://" in text:
            line = text[: text.index("media://")].count("\n") + 1
            self._draft.fates.append(Fate(shown, line, "media://", "", "it stays as text: attach files by an action"))
        body = translated(text, shown, self._draft)
        heading = _HEADING.match(body)
        return Made(heading["text"].strip() if heading else "", body)

    def _found(self, name: str) -> Path | None:
        for folder in _FOLDERS:
            for ending in _ENDINGS:
                for path in (self._folder / folder / f"{name}{ending}.enc", self._folder / folder / f"{name}{ending}"):
                    if path.is_file():
                        return path
        return None


def translated(text: str, file: str, draft: Draft) -> str:
    """Return a text as Jinja2, and tell of each variable in it what became of it."""
    parts: list[str] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts.append(_escaped(text[end : found.start()]))
        line = text[: found.start()].count("\n") + 1
        parts.append(_variable(found, Fate(file, line, f"variable {found['name'].strip()}", "", ""), draft))
        end = found.end()
    return "".join([*parts, _escaped(text[end:])])


def _variable(found: "re.Match[str]", fate: Fate, draft: Draft) -> str:
    name = found["name"].strip()
    unit = found["unit"] or ""
    if name in _TIMES:
        draft.fates.append(
            fate._replace(becomes="time_left", why="in words, `6 hours`, so the unit behind it is left out")
        )
        return found["about"] + "{{ time_left }}"
    if name in _NAMES:
        becomes, why = _NAMES[name]
        draft.fates.append(fate._replace(becomes=becomes, why=why))
        return f"{found['about']}{{{{ {becomes} }}}}{unit}"
    fixed = "it was a fixed text of that program; write it out" if name.startswith("labels.") else ""
    why = fixed or _WHYS.get(name, "nothing is called so; it was empty there, too")
    draft.fates.append(fate._replace(why=f"{why}; a comment stands in its place"))
    said = re.sub(r"[^A-Za-z0-9_. ]", "", name)
    return f"{found['about']}{{# {said}: not kept #}}{unit}"


def _escaped(text: str) -> str:
    """Return a text that Jinja2 gives back as it is."""
    return _BRACES.sub(lambda found: '{{ "' + found[0] + '" }}', text)


def _formed(made: Made, form: Form) -> str:
    match form:
        case Form.LETTER:
            subject = made.subject or "{{ constants.project }}: {{ stage }}"
            return f"{{% block subject %}}{subject}{{% endblock %}}\n{_block('body', made.body)}"
        case Form.TEXT:
            return made.body
        case Form.DOCUMENT:
            return _block("content", made.body)


def _block(name: str, text: str) -> str:
    return f"{{% block {name} %}}\n{text.rstrip()}\n{{% endblock %}}\n"
