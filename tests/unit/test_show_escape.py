"""Text from outside is harmless wherever it goes."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from orchestrator.show import escape

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40) | st.text(
    "`*_[]()<>&|@#:/\\.-1wgh \n\"'%,x", max_size=40
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("src/Grüße.py", "src/Grüße.py", id="letters stay"),
        pytest.param("a\x1b[31m", "a\\u{1b}[31m", id="escape"),
        pytest.param("a\x9b31m", "a\\u{9b}31m", id="C1 control"),
        pytest.param("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c", id="line breaks"),
        pytest.param("a\u202eb\u2066c", "a\\u{202e}b\\u{2066}c", id="direction"),
        pytest.param("a\u200bb\ufeffc\u3164", "a\\u{200b}b\\u{feff}c\\u{3164}", id="invisible"),
        pytest.param("a\ud800b", "a\\u{d800}b", id="lone surrogate"),
        pytest.param("a\U000e0041b", "a\\u{e0041}b", id="tag character"),
    ],
)
def test_what_does_not_show_is_made_visible(text: str, expected: str) -> None:
    assert escape.visible(text) == expected


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert escape.terminal("Grüße ✓", ascii_only=True) == "Gr\\u{fc}\\u{df}e \\u{2713}"


@pytest.mark.parametrize(
    "text", ["::error::x", "  ::stop-commands::x", "a ##[group]x", "##vso[task.complete]", "##teamcity[x]"]
)
def test_a_log_line_cannot_become_a_command(text: str) -> None:
    shown = escape.terminal(text)

    assert not shown.lstrip().startswith("::")
    assert not re.search(r"##[A-Za-z]*\[", shown)


@given(ANY_TEXT)
def test_a_terminal_never_gets_a_control(text: str) -> None:
    shown = escape.terminal(text)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert not re.search(r"(^|\s)::", shown)


def test_a_github_message_and_property_are_escaped_as_the_runner_reads_them() -> None:
    assert escape.github_data("100%\nb: c, d") == "100%25%0Ab: c, d"
    assert escape.github_property("100%: a, b") == "100%25%3A a%2C b"


@given(ANY_TEXT)
def test_a_github_command_stays_one_line(text: str) -> None:
    line = f"::error file={escape.github_property(text)},line=1::{escape.github_data(text)}"

    assert len(line.splitlines()) == 1
    assert line.split("::", 2)[1].count(",") == 1
    assert "##[" not in line


@given(ANY_TEXT)
def test_xml_holds_any_text(text: str) -> None:
    root = ET.fromstring(f'<a b="{escape.xml_attribute(text)}">{escape.xml(text)}</a>')  # noqa: S314  # our own

    assert root.get("b") == escape.visible(text)
    assert (root.text or "") == "\n".join(escape.visible(line) for line in text.split("\n"))


@given(ANY_TEXT)
def test_json_is_utf8_and_keeps_the_text(text: str) -> None:
    shown = escape.json_text({"a": text})

    assert json.loads(shown.encode()) == {"a": text}
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", shown)


@given(ANY_TEXT)
def test_yaml_keeps_the_visible_text(text: str) -> None:
    assert pyyaml.safe_load(f"- {escape.yaml(text)}") == [escape.visible(text)]


@given(ANY_TEXT)
def test_a_tap_description_has_no_directive(text: str) -> None:
    shown = escape.tap(text)

    assert len(f"ok 1 - {shown}".splitlines()) == 1
    assert not re.search(r"(?<!\\)(?:\\\\)*#", shown)


@given(ANY_TEXT)
def test_markdown_prose_has_no_markup(text: str) -> None:
    """Rendered, it is one paragraph of plain text; GitHub finds neither a mention nor a reference in it."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(f"- x: {escape.markdown(text)}\n")

    inner = rendered.removeprefix("<ul>\n<li>").removesuffix("</li>\n</ul>\n")
    assert inner.startswith("x:")
    assert "<" not in inner
    assert not re.search(r"[@#]\w|://|(?i:\bwww\.|\bgh-\d)", inner.replace("&#", "&"))


@given(ANY_TEXT)
def test_markdown_prose_never_begins_a_block(text: str) -> None:
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(escape.markdown(text) + "\n")

    assert re.fullmatch(r"(<p>[^<]*</p>\n)?", rendered)


@given(ANY_TEXT)
def test_a_markdown_code_span_holds_any_text_in_a_table(text: str) -> None:
    row = f"| {escape.markdown_code(text)} | end |"
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(f"| a | b |\n|---|---|\n{row}\n")

    assert rendered.count("<td>") == 2
    assert "<td>end</td>" in rendered
    assert rendered.count("<code>") == (0 if escape.markdown_code(text) == "(empty)" else 1)
    assert not set(re.findall(r"<(\w+)", rendered)) - {"table", "thead", "tbody", "tr", "th", "td", "code"}
