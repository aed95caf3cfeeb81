"""What texts come to: as a reader sees them, whatever they are dressed up in."""

from typing import Any

import pytest

from orchestrator.escalations.plain import ADDRESSING, TECHNICAL, texts


def read(text: str) -> list[str]:
    return texts({"body": text}, "send_message")


@pytest.mark.parametrize(
    "text",
    [
        "acme[.]example",
        "acme [dot] example",
        "acme(dot)example",
        "acme dot example",
        "acme DOT example",
        "acme{.}example",
        "acme&#46;example",
        "acme&period;example",
        "acme&amp;#46;example",
        "acme%2Eexample",
        "acme%252eexample",
        "acme%26%2346%3Bexample",
        "acme\u200b.\u200bexample",
        "ac\u00adme.exam\u00adple",
        "a\ufeffcme.example",
        "acme\u2024example",
        "acme\uff0eexample",
        "acme\u3002example",
        "acme\uff61example",
        "\uff41\uff43\uff4d\uff45.example",
        "\U0001d41acme.example",
        "a\u0336c\u0336m\u0336e\u0336.example",
        "acme\u3164.example",
        "acme\x00.example",
    ],
    ids=ascii,
)
def test_a_name_is_read_however_it_is_dressed_up(text: str) -> None:
    assert "acme.example" in read(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>acme</b>.<i>example</i>", "acme.example"),
        ("acme<!-- a\ncomment -->.example", "acme.example"),
        ("acme<wbr>.example", "acme.example"),
        ("<p>It is near.</p><p>then act</p>", "\nIt is near.\n\nthen act\n"),
        ("&lt;b&gt;acme&lt;/b&gt;.example", "<b>acme</b>.example"),
    ],
)
def test_tags_inside_a_word_are_nothing_and_others_are_breaks(text: str, shown: str) -> None:
    assert shown in read(text)


def test_what_looks_like_a_tag_is_read_as_text_too() -> None:
    assert "a <acme.example> b" in read("a <acme[.]example> b")


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        ("hxxps://acme.example", "https://acme.example"),
        ("hxxp[:]//acme", "http://acme"),
        ("h**p : // acme", "http://acme"),
        ("https[://]acme", "https://acme"),
        ("ann (at) acme", "ann@acme"),
        ("ann [@] acme", "ann@acme"),
    ],
)
def test_what_was_broken_up_is_put_together(text: str, undone: str) -> None:
    assert undone in read(text)


@pytest.mark.parametrize(
    "text",
    [
        "Six hours are left.",
        "a < b and c > d",
        "80% of it",
        "Zürich, größe, 東京",
        "two\nlines\tand a tab",
        "The dot is red.",
    ],
)
def test_plain_words_stay_as_they_are_but_for_blanks(text: str) -> None:
    assert read(text) == [text.replace("\t", " ")]


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        ("\u0435v\u0456l.\u0441\u043em", "evil.com"),
        ("\u043erch r\u0435new", "orch renew"),
        ("evil.c\u0585m", "evil.com"),
        ("evil.co\u0302m", "evil.com"),
        ("evil.\ncom", "evil.com"),
        ("evil . com", "evil.com"),
        ("evil\u00b7com", "evil.com"),
        ("evil\\u002ecom", "evil.com"),
        ("https=3A=2F=2Fevil=2Ecom", "https://evil.com"),
        ("evil<div>.com</div>", "evil.com</div>"),
        ("\\\\server\\share", "//server\\share"),
        ("F 2 F S 0 5 J 0 6 S T R K K T T B Y 0 5 J F T D A X F 3", "F2FS05J06STRKKTTBY05JFTDAXF3"),
        ("F2F S05J 06S TRKK TTB Y05J FTD AXF3", "F2FS05J06STRKKTTBY05JFTDAXF3"),
        ("f2fs!05j0!6str!kktt!by05", "f2fs 05j0 6str kktt by05"),
    ],
    ids=ascii,
)
def test_what_was_torn_apart_or_looks_alike_is_read_too(text: str, undone: str) -> None:
    assert undone in read(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21 05:00 UTC, 2026-11-22 05:00 UTC, 2026-11-23 05:00 UTC",
        "JAN 05 FEB 06 MAR 07 APR 08 MAY 09 JAN 10 FEB 11",
        "near.\nthen act",
        "one\u00b7two",
    ],
    ids=ascii,
)
def test_a_sentence_comes_to_nothing_else(text: str) -> None:
    assert read(text) == [text]


def test_every_text_is_read_wherever_it_lies() -> None:
    properties = {"subject": "one", "json": {"two": ["three", {"four": "five"}], "six": 7}, "number": 8}

    assert set(texts(properties, "call_webhook")) == {"one", "two", "three", "four", "five", "six"}


def test_where_it_goes_is_no_text() -> None:
    properties: dict[str, Any] = dict.fromkeys(ADDRESSING, "somewhere")

    assert texts({**properties, "to": ["ann@acme.example"]}, "send_message") == []


@pytest.mark.parametrize("name", sorted(TECHNICAL))
def test_files_and_digests_of_built_in_actions_are_no_texts(name: str) -> None:
    action = {"script_digest": "run_command", "remote": "push_branch"}.get(name, "write_document")

    assert texts({name: "docs/status.md"}, action) == []
    assert texts({name: "docs/status.md"}, "call_tool") == ["docs/status.md"]
    assert texts({name: "docs/status.md"}) == ["docs/status.md"]


def test_of_an_attachment_its_name_is_text() -> None:
    attached = [{"name": "plan.pdf", "path": "plans/x.pdf", "digest": "sha256:1", "type": "application/pdf"}]

    assert texts({"attachments": attached}, "send_message") == ["plan.pdf"]


def test_the_same_is_said_once() -> None:
    assert texts({"subject": "Hello", "body": "Hello", "html": "<b>Hello</b>"}, "send_message") == [
        "Hello",
        "<b>Hello</b>",
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "&lt;b&gt;%2e ",
        " ",
        "[",
        "[ ",
        "<a ",
        "<!--",
        "<!---->",
        "dot ",
        "http:",
        "x\n",
        "\u200b",
        "a . ",
        "\u0435v ",
        "F2 ",
    ],
    ids=ascii,
)
def test_a_long_text_is_read_in_time(text: str) -> None:
    assert texts({"body": text * 200_000})
