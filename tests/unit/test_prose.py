"""Text out of templates: what comes from outside becomes no markup, and a template cannot reach into Python."""

from pathlib import Path

import pytest

from orchestrator import place, prose
from orchestrator.errors import UsageError

HOSTILE = "# x `y` <b>|</b> @all\n[l](http://e.vil) \x1b[31m\u202e"


def filled(folder: Path, template: str, **values: object) -> str:
    (folder / "t.j2").write_text(template)
    return prose.rendered("t.j2", templates_in=folder, **values)


def test_whatever_is_printed_is_escaped_unless_a_filter_made_it_ready(tmp_path: Path) -> None:
    text = filled(tmp_path, "{{ x }}\n{{ x | code }}\n{{ n }} {{ none }}\n", x=HOSTILE, n=3, none=None)

    escaped, code, rest = text.splitlines()
    assert "<b>" not in escaped
    assert "\\[l\\]" in escaped
    assert not {"\x1b", "\u202e"} & set(text)
    assert code.startswith("`` # x `y`")
    assert rest == "3"


@pytest.mark.parametrize(
    "template",
    ["{{ nobody }}", "{{ x.__class__ }}", "{{ ''.__class__.__mro__ }}", "{% if x", "{{ 1 / 0 }}", "{{ x.append(1) }}"],
)
def test_what_cannot_be_filled_in_is_told(tmp_path: Path, template: str) -> None:
    with pytest.raises(UsageError, match=r"the template t\.j2 cannot be filled in"):
        filled(tmp_path, template, x=[1])


def test_a_missing_template_is_never_an_empty_text() -> None:
    with pytest.raises(UsageError, match="cannot be filled in: TemplateNotFound"):
        prose.rendered("gone.j2")


def test_too_long_a_text_is_cut_between_lines_and_says_so(tmp_path: Path) -> None:
    text = filled(tmp_path, "{% for n in many %}\nline {{ n }}\n{% endfor %}\n", many=list(range(20_000)))

    assert len(text) < 65_536
    assert text.endswith("_The rest is left out; `orch runs` shows all of it._\n")


@pytest.mark.parametrize("name", sorted(one.name for one in place.resource("templates").glob("*.j2")))
def test_every_template_is_one(name: str) -> None:
    assert prose.environment(place.resource("templates")).get_template(name).name == name
