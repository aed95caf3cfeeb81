"""Templates of messages: texts out of files, rendered before anything is decided."""

from pathlib import Path

import pytest
from sending import Desk

from orchestrator.errors import UsageError
from orchestrator_adapters.mail import Mail


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    channel = {"adapter": "mail", "host": "localhost", "security": "none", "from": "orch@acme.example"}
    return Desk(Mail(), tmp_path, channels={"ops": channel})


def test_what_is_rendered_is_what_is_decided(desk: Desk) -> None:
    folder = desk.root / "templates"
    folder.mkdir()
    (folder / "release.txt").write_text(
        "{% block subject %}{{ name }} is out{% endblock %}{% block body %}Get {{ name }}: {{ url }}\n{% endblock %}"
    )
    (folder / "release.html").write_text("<a href='{{ url }}'>{{ name }}</a>")

    properties = desk.prepared(
        channel="ops",
        to="ann@x.example",
        template="release.txt",
        values={"name": "<1.4>", "url": "https://a.example"},
    ).properties

    assert properties["subject"] == "<1.4> is out"
    assert properties["body"] == "Get <1.4>: https://a.example\n"
    assert properties["html"] == "<a href='https://a.example'>&lt;1.4&gt;</a>"
    assert properties["template"] == "release.txt"
    assert "values" not in properties


def test_a_template_without_blocks_is_the_body(desk: Desk) -> None:
    (desk.root / "templates").mkdir()
    (desk.root / "templates/short").write_text("Hello {{ who }}")

    properties = desk.prepared(
        channel="ops", to="a@x.example", template="short", values={"who": "Ann"}, subject="Hi"
    ).properties

    assert (properties["subject"], properties["body"]) == ("Hi", "Hello Ann")


def test_the_operators_templates_come_first(desk: Desk, tmp_path: Path) -> None:
    for folder, text in ((desk.root / "templates", "workspace"), (tmp_path / "own", "operator")):
        folder.mkdir()
        (folder / "t").write_text(text)
    desk.channels = {"ops": {**desk.channels["ops"], "templates": str(tmp_path / "own")}}

    assert desk.prepared(channel="ops", to="a@x.example", template="t").properties["body"] == "operator"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ missing }}", "missing"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|__class__"),
        ("{{ name.__init__.__globals__ }}", "unsafe|__init__"),
        ("{% for x in range(1000000000) %}x{% endfor %}", "Range"),
        ("{{ 'x' * 1000000000 }}", "beyond"),
        ("{% for a in range(2000) %}{% for b in range(2000) %}xx{% endfor %}{% endfor %}", "more than"),
        ("{% include '../../etc/passwd' %}", "passwd"),
        ("{% if %}", "line 1"),
        ("{{ name / 0 }}", "cannot be rendered"),
    ],
    ids=["undefined", "classes", "globals", "endless", "huge", "long", "outside", "syntax", "wrong"],
)
def test_a_template_that_goes_too_far_is_refused(desk: Desk, text: str, what: str) -> None:
    (desk.root / "templates").mkdir()
    (desk.root / "templates/t").write_text(text)

    with pytest.raises(UsageError, match=what):
        desk.prepared(channel="ops", to="a@x.example", template="t", values={"name": "n"})


@pytest.mark.parametrize("name", ["gone", "../t", "/etc/passwd", "link"])
def test_a_template_lies_in_its_folder(desk: Desk, name: str) -> None:
    (desk.root / "templates").mkdir()
    (desk.root / "t").write_text("x")
    (desk.root / "templates/link").symlink_to(desk.root / "t")

    with pytest.raises(UsageError):
        desk.prepared(channel="ops", to="a@x.example", template=name)


def test_a_value_cannot_bring_a_header(desk: Desk) -> None:
    (desk.root / "templates").mkdir()
    (desk.root / "templates/t").write_text("{% block subject %}{{ s }}{% endblock %}{% block body %}b{% endblock %}")

    with pytest.raises(UsageError, match="subject"):
        desk.prepared(channel="ops", to="a@x.example", template="t", values={"s": "x\nBcc: eve@x.example"})
