"""Globs mean what docs/decision.md says, on the engine that decides."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.glob import GlobError, Kind, expand, has_wildcard, parts, regexes, to_regex

OPA = Path(__file__).parents[2] / "opa" / "bin" / "opa"

TABLE = [
    (Kind.PATH, "**/x.py", {"x.py": True, "a/x.py": True, "a/b/x.py": True, "ax.py": False, "x.py/a": False}),
    (Kind.PATH, "a/**/b", {"a/b": True, "a/x/b": True, "a/x/y/b": True, "ab": False, "a/xb": False, "z/a/b": False}),
    (Kind.PATH, "src/**", {"src/a": True, "src/a/b": True, "src": False, "src/": True, "xsrc/a": False}),
    (Kind.PATH, "**", {"a": True, "a/b": True, ".x": True, "": True}),
    (Kind.PATH, "**/*", {"a": True, "a/b": True, ".x/y": True}),
    (Kind.PATH, "*", {"a": True, "a/b": False, ".x": True, "": True}),
    (Kind.PATH, "*.tf", {"a.tf": True, ".tf": True, "a/b.tf": False, "atf": False}),
    (Kind.PATH, "**/*.tf", {"a.tf": True, "a/b.tf": True, "a.tfx": False, "a/tf": False}),
    (Kind.PATH, "**.tf", {"a.tf": True, "a/b.tf": True}),
    (Kind.PATH, "a?c", {"abc": True, "a/c": False, "ac": False, "aéc": True}),
    (Kind.PATH, "{a,b}/*.py", {"a/x.py": True, "b/x.py": True, "c/x.py": False, "a/b/x.py": False}),
    (Kind.PATH, "{**/,}x", {"x": True, "a/x": True, "ax": False}),
    (Kind.PATH, "a{b{c,d},}e", {"abce": True, "abde": True, "ae": True, "abe": False}),
    (Kind.PATH, "a,b", {"a,b": True, "a": False}),
    (Kind.PATH, "[ab]", {"[ab]": True, "a": False}),
    (Kind.PATH, "!a\\*", {"!a\\b": True, "a": False, "!a\\": True}),
    (Kind.PATH, "a.b+(c)^$|", {"a.b+(c)^$|": True, "aXb+(c)^$|": False}),
    (Kind.PATH, "docs/*/x*", {"docs/a/x": True, "docs/a/xyz": True, "docs/a/b/x": False, "docs//x": True}),
    (Kind.PATH, "Src/*", {"Src/a": True, "src/a": False}),
    (Kind.PATH, "a*b", {"a\nb": True, "ab\n": False}),
    (Kind.PATH, "**/dir/**", {"dir/a": True, "a/dir/b/c": True, "dir": False, "adir/b": False}),
    (Kind.PATH, "release/**", {"release/1.0": True, "release": False}),
    (Kind.PATH, "a***b", {"ab": True, "a/x/b": True}),
    (
        Kind.TOOL,
        "github:get_*",
        {"github:get_x": True, "github:get_x:y": False, "github:set": False, "github:get_a/b": True},
    ),
    (Kind.TOOL, "sentry:*", {"sentry:a": True, "sentry:a:b": False, "sentry": False}),
    (Kind.TOOL, "*:read", {"a:read": True, "a:b:read": False}),
    (Kind.TOOL, "**:read", {"read": True, "a:read": True, "a:b:read": True, "aread": False}),
    (Kind.REPOSITORY, "Acme/*", {"acme/web": True, "acme/a/b": False, "acme": False}),
    (Kind.REPOSITORY, "*/*", {"acme/web": True, "none": False}),
    (Kind.HOST, "*.acme.com", {"a.acme.com": True, "acme.com": False, "a.b.acme.com": False, "acmexcom": False}),
    (Kind.HOST, "**.acme.com", {"a.acme.com": True, "acme.com": True, "a.b.acme.com": True, "xacme.com": False}),
    (Kind.SUBJECT, "agent:*", {"agent:a": True, "agent:a/b:c": True, "agent:": True, "user:a": False}),
    (Kind.SUBJECT, "*", {"agent:a": True, "": True}),
    (Kind.SUBJECT, "user:?lice", {"user:alice": True, "user:/lice": True, "user:lice": False}),
    (Kind.SUBJECT, "**/a", {"x/a": True, "/a": True, "a": False}),
]
CASES = [(kind, pattern, text, expected) for kind, pattern, texts in TABLE for text, expected in texts.items()]

REGO = """package t

matches(g, _) if g.any

matches(g, x) if g.literals[x]

matches(g, x) if {
	some p in g.prefixes
	startswith(x, p)
}

matches(g, x) if {
	some s in g.suffixes
	endswith(x, s)
}

matches(g, x) if regex.match(g.regex, x)

holds(c) if matches(c.parts, c.text)

answers := [{"parts": object.get({true: true}, holds(c), false), "whole": regex.match(c.regex, c.text)} | some c in input]
"""


def on_engine(cases: list[tuple[Kind, str, str]], folder: Path) -> list[dict[str, bool]]:
    (folder / "t.rego").write_text(
        REGO.replace("object.get({true: true}, holds(c), false)", "answer(c)")
        + """
answer(c) if holds(c)

answer(c) := false if not holds(c)
"""
    )
    asked = [{"parts": parts([p], k), "regex": to_regex(p, k), "text": text} for k, p, text in cases]
    (folder / "input.json").write_text(json.dumps(asked))
    command = [
        str(OPA),
        "eval",
        "-d",
        str(folder / "t.rego"),
        "-i",
        str(folder / "input.json"),
        "-f",
        "raw",
        "data.t.answers",
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    answers: list[dict[str, bool]] = json.loads(done.stdout)
    return answers


def test_the_glob_table_holds_on_the_engine(tmp_path: Path) -> None:
    answers = on_engine([(kind, pattern, text) for kind, pattern, text, _ in CASES], tmp_path)

    expected = [{"parts": expected, "whole": expected} for *_, expected in CASES]
    wrong = [case for case, want, got in zip(CASES, expected, answers, strict=True) if want != got]
    assert wrong == []


def test_parts_and_the_whole_regex_agree_on_random_patterns(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311  # the same patterns each time
    pieces = ["a", "b", ".", "/", ":", "*", "**", "**/", "?", "{a,b}", "{,a}"]
    cases = []
    for _ in range(4_000):
        pattern = "".join(dice.choices(pieces, k=dice.randint(1, 5)))
        cases.append((dice.choice(list(Kind)), pattern, "".join(dice.choices("ab./:", k=dice.randint(0, 6)))))

    answers = on_engine(cases, tmp_path)

    assert [case for case, got in zip(cases, answers, strict=True) if got["parts"] != got["whole"]] == []
    assert {got["whole"] for got in answers} == {True, False}


@pytest.mark.parametrize(
    ("patterns", "kind", "expected"),
    [
        (["src/**"], Kind.PATH, {"prefixes": ["src/"]}),
        (["**/*.tf"], Kind.PATH, {"suffixes": [".tf"]}),
        (["**/x.py"], Kind.PATH, {"literals": {"x.py": True}, "suffixes": ["/x.py"]}),
        (["main"], Kind.PATH, {"literals": {"main": True}}),
        (["main", "**"], Kind.PATH, {"any": True}),
        (["*"], Kind.SUBJECT, {"any": True}),
        (["agent:*"], Kind.SUBJECT, {"prefixes": ["agent:"]}),
        (["Acme/*"], Kind.REPOSITORY, {"regex": "^(?s:acme/[^/]*)$"}),
        (["b*", "a.*"], Kind.PATH, {"regex": "^(?s:a\\.[^/]*|b[^/]*)$"}),
        ([], Kind.PATH, {}),
    ],
    ids=str,
)
def test_patterns_are_split_into_the_cheapest_parts(patterns: list[str], kind: Kind, expected: dict[str, Any]) -> None:
    assert parts(patterns, kind) == expected


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("", "empty"),
        ("{a", "without its `}`"),
        ("a}", "without its `{`"),
        ("{a}}", "without its `{`"),
        ("{{a}", "without its `}`"),
        ("{a,b}" * 9, "more than 256"),
        ("{" + ",".join("x" * 300) + "}", "more than 256"),
        ("a" * 1025, "1025 characters"),
        ("a\0b", "U+0000"),
        ("a\nb", "U+000A"),
        ("{" * 20 + "}" * 20, "deeper"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_with_what_was_seen(pattern: str, seen: str) -> None:
    with pytest.raises(GlobError, match=seen.replace("{", r"\{").replace("}", r"\}").replace("+", r"\+")):
        expand(pattern)


def test_only_the_regex_must_be_tried_on_the_engine() -> None:
    assert regexes(parts(["a", "b/**", "**/c"], Kind.PATH)) == []
    assert regexes(parts(["*c"], Kind.PATH)) == ["^(?s:[^/]*c)$"]


def test_a_wildcard_is_seen() -> None:
    assert [has_wildcard(text) for text in ("a", "a*", "a?", "{a,b}", "[a]")] == [False, True, True, True, False]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("ab*?{},/", max_size=8), max_size=5),
    st.sampled_from(list(Kind)),
    st.randoms(use_true_random=False),
)
def test_parts_are_the_same_for_any_order(patterns: list[str], kind: Kind, dice: random.Random) -> None:
    shuffled = dice.sample(patterns, len(patterns))
    try:
        expected = parts(sorted(patterns), kind)
    except GlobError:
        return
    if "any" in expected:
        return

    assert json.dumps(parts(shuffled, kind)) == json.dumps(expected)
