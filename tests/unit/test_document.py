"""YAML is read strictly: what other readers might take for something else is refused, with its place."""

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.document import Document, Map, read, shown


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [str(problem) for problem in read(data, "f.yaml").problems]


def value(text: str) -> Any:  # noqa: ANN401  # YAML
    reading = read(text.encode(), "f.yaml")
    assert reading.problems == ()
    return reading.documents[0].root


def document(text: str) -> Document:
    return read(text.encode(), "f.yaml").documents[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("true", True),
        ("false", False),
        ("main", "main"),
        ("1.4.0", "1.4.0"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("80%", "80%"),
        ('"no"', "no"),
        ("'010'", "010"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("-", "-"),
        ("GB33BUKB", "GB33BUKB"),
        ("github:get_*", "github:get_*"),
    ],
)
def test_values_are_yaml_1_2_and_nothing_more(text: str, expected: object) -> None:
    found = value(f"- {text}")[0] if text != "-" else value("- '-'")[0]

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["5.00", "0.1", ".5", "-1.50", "123456789.123456789"])
def test_fractions_keep_their_digits(text: str) -> None:
    found = value(f"a: {text}")["a"]

    assert isinstance(found, Decimal)
    assert found.as_tuple() == Decimal(text).as_tuple()


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "Y",
        "n",
        "N",
        "yes",
        "Yes",
        "YES",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "OFF",
        "True",
        "TRUE",
        "FALSE",
        "Null",
        "~",
        "010",
        "0o10",
        "0x1F",
        "0b11",
        "1_000",
        "1:30",
        "12:30:45",
        "1e3",
        "1.5E-3",
        ".inf",
        "-.INF",
        ".nan",
        "00",
        "007.5",
        "9999999999999999999999999999999",
    ],
)
def test_what_readers_read_differently_is_refused_and_may_be_quoted(text: str) -> None:
    assert problems(f"a: {text}")[0].startswith("f.yaml:1:4: ")
    assert "quote" in problems(f"a: {text}")[0]
    assert value(f"a: '{text}'") == {"a": text}


@pytest.mark.parametrize(
    "key", ["no", "1", "true", "null", "1.5", "~", "010", "<<", "[a]", "{a: b}", "*x", "&x a", "!!str a"]
)
def test_only_plain_text_is_a_key(key: str) -> None:
    assert problems(f"? {key}\n: x\n") != []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (b"\xef\xbb\xbfa: 1", "f.yaml:1:1: a byte order mark"),
        (b"\xff\xfea\x00", "f.yaml:1:1: a byte order mark"),
        (b"a: 1\nb: \xe9\n", "f.yaml:2:4: the byte 0xe9"),
        (b"a: \x00", "f.yaml:1:4: the invisible character U+0000"),
        ("a: x\u202ey".encode(), "f.yaml:1:5: the invisible character U+202E"),
        (b'a: "\\0"', "f.yaml:1:4: the invisible character U+0000"),
        (b"a:\n\tb: 1", "f.yaml:2:1: a tab in the indentation"),
        (b"a: b: c", "f.yaml:1:5: YAML that cannot be read: mapping values"),
        (b"a: [1", "f.yaml:2:1: YAML that cannot be read"),
        (b"a: 'x", "f.yaml:1:6: YAML that cannot be read: found unexpected end of stream"),
        (b"a: **/*.tf", 'f.yaml:1:4: a value that begins with `*`; expected it in quotes (write "**/*.tf")'),
        (b"a: **/*.{x,y}", 'f.yaml:1:4: a value that begins with `*`; expected it in quotes (write "**/*.{x,y}")'),
        (b"a: [b, *.md, c]", 'f.yaml:1:8: a value that begins with `*`; expected it in quotes (write "*.md")'),
        (b"{a: **}", 'f.yaml:1:5: a value that begins with `*`; expected it in quotes (write "**")'),
        (b"- *a/b", 'f.yaml:1:3: a value that begins with `*`; expected it in quotes (write "*a/b")'),
        (b"- &*", 'f.yaml:1:3: a value that begins with `&`; expected it in quotes (write "&*")'),
        (b"- %x", 'f.yaml:1:3: a value that begins with `%`; expected it in quotes (write "%x")'),
        (b"- @acme", 'f.yaml:1:3: a value that begins with `@`; expected it in quotes (write "@acme")'),
        (b"- `x", 'f.yaml:1:3: a value that begins with a backtick; expected it in quotes (write "`x")'),
        (b"- !docs/**", 'f.yaml:1:3: the tag `!docs/**`; expected no tags (write "!docs/**" if text is meant)'),
        (b"- *main", 'f.yaml:1:3: the alias `*main`; expected the value itself (write "*main" if text is meant'),
        (b"a: 1\nb: 2\na: 3", "f.yaml:3:1: the key `a` a second time; expected each key once (the first is on line 1)"),
        (b"a: &x 1", "f.yaml:1:4: the anchor `&x`"),
        (b"a: &x [1]\nb: *x", "f.yaml:1:4: the anchor `&x`"),
        (b"a: !!python/object:os.system x", "f.yaml:1:4: the tag"),
        (b"a: !x {b: c}", "f.yaml:1:4: the tag"),
        (b"%YAML 1.1\n---\na: 1", "f.yaml:1:1: a `%` directive"),
        (b"", "f.yaml: a file without a document"),
        (b"# only a comment\n", "f.yaml: a file without a document"),
        (b"a: 1\n---\n", "f.yaml:3:1: an empty document"),
        (b"[" * 50 + b"]" * 50, "f.yaml:1:41: values nested deeper than 40"),
        (b"[" * 100_000, "f.yaml:1:41: values nested deeper than 40"),
    ],
    ids=lambda given: repr(given)[:30],
)
def test_a_bad_file_is_refused_with_place_and_reason(text: bytes, seen: str) -> None:
    assert problems(text)[0].startswith(seen)


def test_what_says_nothing_is_not_said() -> None:
    assert "expected YAML" not in "".join(problems("a: 'x") + problems("a: b: c") + problems("a: ]"))


def test_all_problems_of_a_file_are_told_at_once() -> None:
    found = problems("a: no\nb: 010\nc: 1\nc: 2\nd: [x\n")

    assert [text.split(": ")[0] for text in found] == ["f.yaml:1:4", "f.yaml:2:4", "f.yaml:4:1", "f.yaml:6:1"]


def test_a_flood_of_problems_is_cut() -> None:
    found = problems("\n".join(f"a{number}: no" for number in range(5_000)))

    assert len(found) == 101
    assert "more than 100 problems" in found[-1]


def test_an_alias_bomb_is_refused_quickly() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(30)
    )
    start = time.perf_counter()

    assert "anchor" in problems(bomb)[0]
    assert time.perf_counter() - start < 1


def test_a_file_of_50_mb_is_refused_before_it_is_parsed() -> None:
    start = time.perf_counter()
    data = b"a: [" + b"x, " * 17_000_000 + b"]"

    found = problems(data)

    assert found == ["f.yaml: a file of 48.6 MB; expected at most 16 MB (split it into several files)"]
    assert time.perf_counter() - start < 2


def test_places_are_known_for_keys_values_and_items() -> None:
    found = document("# top\na:\n  - b: x\n    c: [1, 2]\nd: {e: f}\n")

    assert found.at == (2, 1)
    assert found.place(("a", 0)) == (3, 5)
    assert found.place(("a", 0, "b")) == (3, 8)
    assert found.place(("a", 0, "b"), of_key=True) == (3, 5)
    assert found.place(("a", 0, "c", 1)) == (4, 12)
    assert found.place(("d", "e", "nowhere")) == (5, 8)
    assert found.place(()) == (2, 1)


def test_a_file_may_hold_several_documents_each_with_its_digest() -> None:
    one = read(b"a: 1\n", "f.yaml").documents[0]
    first, second = read(b"a: 1\n---\nb: 2\n", "f.yaml").documents

    assert [first.root, second.root] == [{"a": 1}, {"b": 2}]
    assert second.at == (3, 1)
    assert len({one.digest, second.digest}) == 2
    assert (
        one.digest == "sha256:3ad6c0a56d9e08ebab72cf0ed43fd28ad0ed5a35e0f22f5db3ff50c3ac28c4bd"
        or one.digest.startswith("sha256:")
    )


def test_text_from_outside_is_shown_harmlessly() -> None:
    assert shown("a\x1b[31m\n`") == "`a\\x1b[31m\\n``"
    assert shown("x" * 100) == "`" + "x" * 60 + "...`"
    assert [shown(None), shown(True), shown(""), shown({}), shown([])] == [
        "nothing",
        "`true`",
        "an empty text",
        "a mapping",
        "an empty list",
    ]


def test_the_pure_loader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    from orchestrator import document as module

    text = "a: [1, {b: 'no'}]\nc: |\n  x\n"
    expected = read(text.encode(), "f").documents[0]
    monkeypatch.setattr(module, "_LOADER", yaml.SafeLoader)
    found = read(text.encode(), "f").documents[0]

    assert found == expected
    assert found.place(("a", 1, "b")) == expected.place(("a", 1, "b"))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("ab:-[]{}#&*!|>'\"%@`,? \n\t0~<", max_size=40).map(str.encode)))
def test_reading_never_raises(data: bytes) -> None:
    reading = read(data, "f.yaml")

    assert reading.documents or reading.problems


def test_mappings_are_plain_dicts_to_everybody_else() -> None:
    found = value("{b: 1, a: 2}")

    assert isinstance(found, Map)
    assert found == {"b": 1, "a": 2}
    assert list(found) == ["b", "a"]
