"""What people and machines see, format by format and kind by kind, as golden files."""

import io
from collections.abc import Iterable

import pytest
from golden_files import check
from show_examples import SINGLE, many

from orchestrator.decision import Decision
from orchestrator.show import FORMATS, Options, writer_for


def shown(name: str, decisions: Iterable[Decision], options: Options) -> str:
    out = io.StringIO(newline="")
    writer_for(name).write(decisions, out, options)
    return out.getvalue()


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("name", FORMATS)
def test_one_decision_looks_as_it_did(name: str, kind: str) -> None:
    text = shown(name, [SINGLE[kind]()], Options(is_single=True, version="<VERSION>"))

    check(f"show/{name}/{kind}.txt", text)


@pytest.mark.parametrize("name", FORMATS)
def test_many_decisions_look_as_they_did(name: str) -> None:
    text = shown(name, many(), Options(version="<VERSION>"))

    check(f"show/{name}/many.txt", text)


@pytest.mark.parametrize("width", [40, 120])
def test_text_looks_as_it_did_at_other_widths(width: int) -> None:
    text = shown("text", [SINGLE["pending"](), SINGLE["denied"]()], Options(width=width, all_paths=True))

    check(f"show/text/width-{width}.txt", text)


def test_text_looks_as_it_did_in_colour() -> None:
    text = shown("text", many(), Options(color=True))

    check("show/text/colour.txt", text)


@pytest.mark.parametrize("name", FORMATS)
def test_no_decision_at_all_still_gives_a_well_formed_answer(name: str) -> None:
    text = shown(name, [], Options(version="<VERSION>"))

    check(f"show/{name}/none.txt", text)
