"""What the documents promise: `docs/actions.md` equals the catalogue, links lead somewhere, commands and their flags exist.

`ORCH_GOLDEN=1 pytest` (or `make golden`) writes `docs/actions.md` anew.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from orchestrator.catalogue import CATALOGUE, Action
from orchestrator.cli import orch

ROOT = Path(__file__).parents[2]
IS_REWRITING = bool(os.environ.get("ORCH_GOLDEN"))
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "golden" for part in page.relative_to(ROOT).parts[:-1])
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEAD = """# Actions

The actions that a pack may name and a request may ask for. A pack declares its own beside them (`declares: {actions: [rotate_key]}`); a declared
action needs nothing and can have everything. A request that lacks what its action needs, or carries what it cannot have, is invalid, and so denied.

`needs` and `can have` are names under `resource.properties`; `arguments` are names under `action.properties`. What an action cannot have is
known to be absent: a selector on it never matches, and a rule whose actions can none of them have it does not load.

This page is written from `orchestrator/catalogue.py` (`make golden`).

| action | does | resource | needs | can have | arguments |
|---|---|---|---|---|---|
"""


def actions_page() -> str:
    """Return what `docs/actions.md` has to say."""
    return _HEAD + "".join(_row(name, action) for name, action in CATALOGUE.items())


def _row(name: str, action: Action) -> str:
    arguments = "any" if action.arguments is None else _names(action.arguments)
    cells = (f"`{name}`", action.summary, action.resource, _names(action.needs), _names(action.can), arguments)
    return f"| {' | '.join(cells)} |\n"


def _names(names: frozenset[str]) -> str:
    return " ".join(f"`{name}`" for name in sorted(names)) or "-"


def _links(page: Path) -> list[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = (first or second for first, second in _LINK.findall(text))
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def _anchors(page: Path) -> set[str]:
    """Return the anchors GitHub gives a page's headings."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = (match.lower() for match in re.findall(r"^#{1,6} +(.*?) *#*$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def _leads_somewhere(link: str, page: Path) -> bool:
    name, _, anchor = unquote(link).partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def test_golden_the_page_of_actions_says_what_the_catalogue_says() -> None:
    page = ROOT / "docs" / "actions.md"
    if IS_REWRITING:
        page.write_text(actions_page(), encoding="utf-8")

    actual = page.read_text(encoding="utf-8")

    assert actions_page() == actual


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    links = _links(page)

    broken = [link for link in links if not _leads_somewhere(link, page)]

    assert not broken, broken


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    pages = {page for page in PAGES if page.parent == index.parent} - {index}

    linked = {(index.parent / unquote(link).partition("#")[0]).resolve() for link in _links(index)}

    left_out = sorted(page.name for page in pages - linked)
    assert not left_out, left_out


_GUIDES = ("docs/ci.md", "docs/threat-model.md", "CONTRIBUTING.md")
_CALL = re.compile(r"(?:`|^\$ )orch ([^`\n]*)", re.MULTILINE)


def _objection(call: str) -> str:
    """Return what is wrong with `orch <call>`, or ""."""
    command: click.Command = orch
    for word in call.split():
        if word.startswith("-"):
            break
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"no command {word}: orch {call}"
            command = found
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    flags = [word.split("=")[0] for word in call.split() if re.match(r"--?[a-z]", word)]
    return "".join(f"no flag {flag}: orch {call}" for flag in flags if flag not in {*known, "--help", "--version"})


@pytest.mark.parametrize("page", _GUIDES)
def test_commands_in_the_guides_exist(page: str) -> None:
    calls = _CALL.findall((ROOT / page).read_text(encoding="utf-8"))

    wrong = [objection for objection in map(_objection, calls) if objection]

    assert not wrong, wrong
