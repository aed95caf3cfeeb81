"""The digests: RFC 8785 against the reference package, and what an action's and a change's digest hold apart."""

import hashlib
import json
import math
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.digest import MAX_INTEGER, action_digest, canonical, change_digest, sha256, subject_name

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=20)

_REQUEST = {
    "subject": {"type": "agent", "id": "agent:fixer", "properties": {"on_behalf_of": "user:alice"}},
    "action": {"name": "open_pr", "properties": {"title": "Fix login"}},
    "resource": {"type": "repository", "id": "acme/web", "properties": {"branch": "main", "head_branch": "fix"}},
    "context": {},
}


@given(_VALUES)
def test_canonical_bytes_are_those_of_the_reference(value: object) -> None:
    expected = rfc8785.dumps(value)  # type: ignore[arg-type]  # hypothesis gives objects

    assert expected == canonical(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_reads_back_as_itself(value: float) -> None:
    assert value == float(canonical(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (333333333.33333329, "333333333.3333333"),
        (4.50, "4.5"),
        (Decimal("5.00"), "5"),
        (Decimal("0.1"), "0.1"),
        ({"\ufb33": 1, "\U0001f600": 2, "a": 3}, '{"a":3,"\U0001f600":2,"\ufb33":1}'),
        ("\u2028<>&\x7f\x1f/", '"\u2028<>&\x7f\\u001f/"'),
        ((1, [2]), "[1,[2]]"),
    ],
)
def test_canonical_form_of(value: object, expected: str) -> None:
    assert expected == canonical(value).decode()


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        math.nan,
        math.inf,
        Decimal("NaN"),
        Decimal("0.1000000000000000055"),
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        {"a": {None: 1}},
        b"x",
        {1, 2},
        _nested(100_000),
        {"é": _nested(100_000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"canonical form"):
        canonical(value)


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_sha256_names_its_algorithm(size: int) -> None:
    data = b"x" * size

    assert "sha256:" + hashlib.sha256(data).hexdigest() == sha256(data)


@given(
    st.lists(
        st.fixed_dictionaries({"path": st.text("ab\n", min_size=1)}, optional={"status": st.text("MA")}), min_size=1
    ).flatmap(lambda files: st.tuples(st.just(files), st.permutations(files)))
)
def test_order_of_files_never_matters(lists: tuple[list[dict[str, str]], list[dict[str, str]]]) -> None:
    files, shuffled = lists

    assert change_digest(files) == change_digest(shuffled)


_LINES = st.lists(
    st.tuples(*[st.text("a\nM", max_size=3)] * 4).filter(lambda fields: fields[0] != ""), min_size=1, max_size=3
)


@given(_LINES, _LINES)
def test_two_changes_never_share_a_digest(one: list[tuple[str, ...]], other: list[tuple[str, ...]]) -> None:
    names = ("path", "status", "mode", "blob")

    digests = [change_digest([dict(zip(names, line, strict=True)) for line in lines]) for lines in (one, other)]

    assert (sorted(one) == sorted(other)) == (digests[0] == digests[1])


def test_change_digest_is_the_documented_one() -> None:
    files: list[dict[str, Any]] = [
        {"path": "b", "status": "M", "mode": "100644", "blob": "9f"},
        {"path": "a", "mode": None},
    ]

    assert sha256(b"a\0\0\0\0b\0M\x00100644\x009f\0") == change_digest(files)


@pytest.mark.parametrize("files", [None, []])
def test_no_files_have_no_digest(files: list[dict[str, str]] | None) -> None:
    assert change_digest(files) is None


@pytest.mark.parametrize(
    "file", [{"path": "a\0b"}, {"path": "\ud800"}, {"path": 1}, {}, "a", {"path": "a", "mode": 100644}, None]
)
def test_a_file_that_could_be_read_two_ways_is_refused(file: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a file of the change"):
        change_digest([file])


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("agent", "agent:fixer", "agent:fixer"),
        ("agent", "fixer", "agent:fixer"),
        ("agent", "user:x", "agent:user:x"),
        ("agent", 1, None),
        (None, "x", None),
    ],
)
def test_a_subject_is_named_with_its_type(kind: object, name: object, expected: str | None) -> None:
    assert expected == subject_name({"type": kind, "id": name})


def test_action_digest_is_the_documented_one() -> None:
    expected: Any = {
        "subject": "agent:fixer",
        "action": {"name": "open_pr", "properties": {"title": "Fix login"}},
        "resource": {"type": "repository", "id": "acme/web"},
        "repository": "acme/web",
        "branch": "main",
        "head_branch": "fix",
        "change_digest": "sha256:00",
    }

    assert sha256(rfc8785.dumps(expected)) == action_digest(_REQUEST, "acme/web", "sha256:00")


def test_action_digest_leaves_out_what_may_change() -> None:
    later = json.loads(json.dumps(_REQUEST)) | {"context": {"time": "later"}, "facts": {"run": {"id": "2"}}}
    later["subject"]["properties"] = {}
    later["resource"]["properties"]["files"] = [{"path": "x"}]

    assert action_digest(_REQUEST, "acme/web", None) == action_digest(later, "acme/web", None)


@pytest.mark.parametrize("path", [("subject", "id"), ("action", "name"), ("resource", "id"), ("resource", "type")])
def test_action_digest_holds_what_matters(path: tuple[str, str]) -> None:
    other = json.loads(json.dumps(_REQUEST))
    other[path[0]][path[1]] = "other"

    assert action_digest(_REQUEST, None, None) != action_digest(other, None, None)


@pytest.mark.parametrize("request_", [{}, {"subject": 1, "action": [], "resource": None}])
def test_an_invalid_request_still_has_a_digest(request_: dict[str, object]) -> None:
    assert action_digest(request_, None, None).startswith("sha256:")
