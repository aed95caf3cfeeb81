"""Requests: parsed strictly, checked completely, built from flags."""

import contextlib
import copy
import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import request
from orchestrator.digest import canonical
from orchestrator.errors import UsageError

NONE: frozenset[str] = frozenset()


def valid(**properties: object) -> dict[str, Any]:
    return {
        "subject": {"type": "agent", "id": "agent:fixer", "properties": {"on_behalf_of": "user:alice"}},
        "action": {"name": "open_pr", "properties": {"title": "Fix login"}},
        "resource": {"type": "repository", "id": "acme/web", "properties": {"branch": "main"} | properties},
        "context": {},
    }


def with_file(**changes: object) -> dict[str, Any]:
    file = {"path": "src/a.py", "status": "M", "mode": "100644", "blob": "9f2c" * 10}
    return valid(files=[{name: value for name, value in (file | changes).items() if value != "absent"}])


def at(path: str, value: object) -> dict[str, Any]:
    """Return a valid request with one value replaced; `absent` removes it."""
    asked = valid()
    *parents, last = path.split(".")
    place: Any = asked
    for step in parents:
        place = place[step]
    if value == "absent":
        del place[last]
    else:
        place[last] = value
    return asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "nothing in it"),
        (b" \n", "nothing in it"),
        (b'{"a": 1,\n "b": 2, "a": 3}', "request:2:10: the key 'a' stands twice"),
        (b'{"x": {"a": 1, "\\u0061": 3}}', "request:1:16: the key 'a' stands twice"),
        (b'{"a": NaN}', "request:1:7: NaN is not JSON"),
        (b'{"a": -Infinity}', "request:1:7: -Infinity is not JSON"),
        (b'{"a": 1e400}', "request:1:7: the number 1e400 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is too large or too long"),
        (b"[" * 65 + b"]" * 65, "request:1:65: more than 64 objects and lists"),
        (b"[" * 200_000, "request:1:65: more than 64 objects and lists"),
        (b'{"a":' * 100_000, "request:1:321: more than 64 objects and lists"),
        (b'{"a": 1', "this is not JSON"),
        (b'{"a": 1} x', "request:1:10: this is not JSON"),
        (b'{"a": "\t"}', "this is not JSON"),
        (b"{'a': 1}", "request:1:2: this is not JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "a byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "a byte order mark"),
        (b'{"a":\n "\xe9"}', "request:2:3: byte 0xe9 is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        request.parse(text)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_document_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="expected at most 67,108,864"):
        request.parse(b" " * (64 * 1024 * 1024 + 1))


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert request.parse(b"[" * 64 + b"]" * 64)


def test_messages_name_file_and_line_of_a_stream() -> None:
    with pytest.raises(UsageError, match=r"^requests\.jsonl:7:7: NaN"):
        request.parse(b'{"a": NaN}', name="requests.jsonl", first_line=7)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_json_writes_is_read_back(value: object) -> None:
    assert request.parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_bytes_give_a_value_or_a_usage_error(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        request.parse(data)


def test_lines_are_read_one_by_one_and_blank_ones_left_out() -> None:
    stream = io.BytesIO(b'{"a": 1}\n\n  \r\n{"b": 2}\r\nlast')

    assert list(request.read_lines(stream)) == [(1, b'{"a": 1}'), (4, b'{"b": 2}'), (5, b"last")]


def test_a_line_beyond_the_limit_is_refused_without_reading_it() -> None:
    stream = io.BytesIO(b"ok\n" + b"x" * 1000)
    lines = request.read_lines(stream, limit=10)

    assert next(lines) == (1, b"ok")
    with pytest.raises(UsageError, match="requests:2: this line has more than 10 bytes"):
        next(lines)
    assert stream.tell() < 20


def test_lines_of_exactly_the_limit_are_read() -> None:
    assert list(request.read_lines(io.BytesIO(b"x" * 10 + b"\r\n" + b"y" * 10), limit=10)) == [
        (1, b"x" * 10),
        (2, b"y" * 10),
    ]


@pytest.mark.parametrize(
    "asked",
    [
        valid(),
        valid(head_branch="agent/fix-login", files=[]),
        valid(head_branch=None, files=None),
        valid(branch="release/1.2@x#y"),
        valid(branch="x$(touch${IFS}f)"),
        valid(branch="größe"),
        with_file(),
        with_file(status="D", mode="000000", blob="0" * 64),
        with_file(status="absent", mode="absent", blob="absent"),
        with_file(path="a\\b/c d\n/%0A::x"),
        with_file(path=".hidden/..x/...: é"),
        with_file(path="x" * 4096),
        valid(files=[{"path": "a", "status": "D"}, {"path": "a", "status": "A"}]),
        at("context", "absent"),
        at("resource.id", "none"),
        at("resource.id", "group/sub/Name.x"),
        at("subject.properties", "absent"),
        at("action.properties", "absent"),
        {"subject": {"type": "agent", "id": "fixer"}, "action": {"name": "call_tool", "properties": {"any": [1.5, None, {"x": True}]}}, "resource": {"type": "tool", "id": "bank:send_money"}},
        {"subject": {"type": "agent", "id": "fixer"}, "action": {"name": "rotate_key"}, "resource": {"type": "key", "id": "k", "properties": {"files": [], "anything": 1}}},
    ],
)  # fmt: skip
def test_valid_requests_have_no_problems(asked: dict[str, Any]) -> None:
    assert request.problems(asked, frozenset({"rotate_key"})) == []
    assert canonical(asked)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, "the request is null; expected an object"),
        ([], "the request is an empty list; expected an object"),
        ("x", "the request is 'x'; expected an object"),
        (valid() | {"facts": {"point": "ci"}}, "the request carries facts"),
        (valid() | {"contxt": {}}, "unknown key 'contxt'; expected subject, action, resource, context (did you mean `context`?)"),
        (at("context", []), "context is an empty list; expected an object"),
        (at("subject", "absent"), "subject is null; expected an object"),
        (at("subject", "user:alice"), "subject is 'user:alice'; expected an object"),
        (at("subject.type", ""), "subject.type is ''; expected a text that is not empty"),
        (at("subject.id", 7), "subject.id is the number 7; expected a text"),
        (at("subject.id", "agent:"), "subject.id is 'agent:'; expected a name after the type"),
        (at("subject.id", "a\nb"), "subject.id is 'a\\nb'; expected a text without control characters"),
        (at("subject.roles", ["sre"]), "subject has the unknown key 'roles'; expected id, properties, type (put it under properties)"),
        (at("subject.properties", None), "subject.properties is null; expected an object"),
        (at("action", "open_pr"), "action is 'open_pr'; expected an object"),
        (at("action.name", "absent"), "action.name is null"),
        (at("action.name", "opn_pr"), "action.name is 'opn_pr'; expected a built-in or declared action (did you mean `open_pr`?)"),
        (at("action.properties", []), "action.properties is an empty list; expected an object"),
        (at("action.properties", {"titel": 1}), "has 'titel', which it cannot have; expected only assignees, body, commit, draft, labels, number, reviewers, title (did you mean `title`?)"),
        (at("resource", 1), "resource is the number 1"),
        (at("resource.type", "tool"), "resource.type is 'tool'; expected 'repository'"),
        (at("resource.id", "absent"), "resource.id is null; expected a text"),
        (at("resource.branch", "main"), "resource has the unknown key 'branch'"),
        (at("resource.properties", None), "resource.properties is null; expected an object"),
        (at("resource.properties", "absent"), "resource.properties.branch is missing"),
        (valid(branch=None), "resource.properties.branch is missing"),
        (valid(brnch="x"), "has 'brnch', which it cannot have"),
        (valid(head_branch=["x"]), "resource.properties.head_branch is a list; expected a text"),
        (valid(files={}), "resource.properties.files is an empty object; expected a list"),
        (valid(files=["a.py"]), "resource.properties.files[0] is 'a.py'; expected an object"),
        (valid(files=[{}]), "resource.properties.files[0].path is null"),
        (with_file(stauts="M"), "files[0] has the unknown key 'stauts'"),
        (with_file(status="R"), "files[0].status is 'R'; expected A, M, D or T"),
        (with_file(status=["A"]), "files[0].status is a list; expected A, M, D or T"),
        (with_file(mode="644"), "files[0].mode is '644'; expected six octal digits"),
        (with_file(mode=100644), "files[0].mode is the number 100644"),
        (with_file(mode="100644\n"), "files[0].mode is '100644\\n'"),
        (with_file(blob="9F2C" * 10), "files[0].blob is '9F2C"),
        (with_file(blob="9f2c"), "files[0].blob is '9f2c'"),
        (with_file(path="x" * 4097), "expected a path of at most 4096 bytes"),
        (with_file(path="é" * 2049), "expected a path of at most 4096 bytes"),
        (valid(files=[{"path": "a", "status": "M"}] * 2), "files[1] names 'a' again"),
        (valid(files=[{"path": "a"}] * 2), "files[1] names 'a' again"),
        (valid(files=[{"path": "a", "status": "D"}, {"path": "a", "status": "A"}, {"path": "a", "status": "D"}]), "files[2] names 'a' again"),
        (at("action.properties", {"title": "a\0b"}), "action.properties.title is 'a\\x00b'; expected a text without NUL"),
        (at("context", {"x": ["\ud800"]}), "context.x[0] is '\\ud800'; expected a text without NUL or lone surrogates"),
        (at("context", {"\ud800": 1}), "context has the key '\\ud800'"),
        (at("context", {7: 1}), "context has the key the number 7"),
        (at("context", {"x": 2**53}), "context.x is the number 9007199254740992; expected a number from"),
        (at("context", {"x": 10**400}), "context.x is a number beyond all use"),
        (at("context", {"x": float("nan")}), "context.x is the number nan; expected a finite number"),
        (at("context", {"x": float("-inf")}), "expected a finite number"),
        (at("context", {"x": b"bytes"}), "context.x is a Python bytes; expected a value that JSON knows"),
        (at("context", {"x": "x" * (4 * 1024 * 1024 + 1)}), "expected a text without NUL or lone surrogates, of at most 4,194,304"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_one_line(asked: object, said: str) -> None:
    found = request.problems(asked, NONE)

    assert any(said in line for line in found), found
    assert all("\n" not in line and len(line) < 400 for line in found)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "../x", "a/..", "a\0b", "a\ud800", "a/./b", 7, None],
)
def test_paths_that_are_not_normal_are_refused(path: object) -> None:
    (line,) = request.problems(with_file(path=path))

    assert line.startswith("resource.properties.files[0].path is ") or "without NUL" in line


@pytest.mark.parametrize(
    "branch",
    [
        "",
        "refs/heads/main",
        "REFS/heads/main",
        "HEAD",
        "-x",
        ".x",
        "x/.y",
        "x..y",
        "x.lock",
        "x.lock/y",
        "x/",
        "/x",
        "x//y",
        "x y",
        "x~1",
        "x^",
        "x:y",
        "x?",
        "x*",
        "x[",
        "x\\y",
        "x@{1}",
        "@",
        "x.",
        "x\x1b[31m",
        "x\x7f",
        "x\n",
        "x" * 1025,
    ],
)
def test_branches_that_git_would_not_have_are_refused(branch: str) -> None:
    assert len(request.problems(valid(branch=branch))) == 1
    assert len(request.problems(valid(head_branch=branch))) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web",
        "acme/",
        "/web",
        "acme//web",
        "https://github.com/acme/web",
        "git@github.com:acme/web",
        "acme/web.git",
        "acme/web.GIT",
        "acme/..",
        "./web",
        "acme/we b",
        "acme/web\n",
        "NONE",
        "a/ß",
    ],
)
def test_repositories_that_are_not_owner_and_name_are_refused(name: str) -> None:
    (line,) = request.problems(at("resource.id", name))

    assert line.startswith("resource.id is ")


@pytest.mark.parametrize("name", ["", "bank", ":send", "bank:", "bank: send", "a::b", "bank:\n"])
def test_tools_that_are_not_server_and_tool_are_refused(name: str) -> None:
    asked = {
        "subject": {"type": "agent", "id": "a"},
        "action": {"name": "call_tool"},
        "resource": {"type": "tool", "id": name},
    }

    assert len(request.problems(asked)) == 1


def test_after_twenty_problems_the_rest_is_counted() -> None:
    found = request.problems(valid(files=[{"path": "/x"}] * 30))

    assert len(found) == 21
    assert found[-1] == "and 10 more"


def test_deep_nesting_from_python_is_refused_without_recursion() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    (line,) = request.problems(at("context", {"x": value}))
    while value:  # else Python itself recurses when it is freed
        value = value[0]

    assert "lies deeper than 64" in line


def test_values_that_contain_each_other_end() -> None:
    loop: list[Any] = []
    loop += [loop, loop]

    assert len(request.problems(at("context", {"x": loop}))) == 1


def test_a_declared_action_has_no_shape_but_names_are_checked() -> None:
    asked = at("action", {"name": "rotate_key", "properties": {"any": 1}})
    asked["resource"] = {"type": "repository", "id": "nope", "properties": {"branch": "refs/x", "other": 1}}

    assert len(request.problems(asked, frozenset({"rotate_key"}))) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "subject",
                        "action",
                        "resource",
                        "context",
                        "type",
                        "id",
                        "name",
                        "properties",
                        "files",
                        "path",
                        "branch",
                    ]
                )
                | st.text(),
                inner,
            )
        ),
    )
)
def test_nothing_breaks_the_check(value: object) -> None:
    before = copy.deepcopy(value)

    found = request.problems(value)

    assert found
    assert all("\n" not in line for line in found)
    assert repr(value) == repr(before)


def test_a_hundred_thousand_files_are_checked_in_under_a_second() -> None:
    files = [
        {"path": f"src/d{n % 100}/f{n}.py", "status": "M", "mode": "100644", "blob": "9f2c" * 10}
        for n in range(100_000)
    ]
    data = json.dumps(valid(files=files)).encode()
    started = time.process_time()

    found = request.problems(request.parse(data))

    assert found == []
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ({"type": "user", "id": "alice"}, "user:alice"),
        ({"type": "user", "id": "user:alice"}, "user:alice"),
        ({"type": "user"}, ""),
        (None, ""),
        ("x", ""),
    ],
)
def test_a_subjects_name_carries_its_type_once(subject: object, name: str) -> None:
    assert request.subject_name({"subject": subject}) == name


def test_flags_become_a_request() -> None:
    asked = request.build(
        request.Flags(
            "open_pr",
            "agent:fixer",
            repository="acme/web",
            branch="main",
            head_branch="fix",
            files=["a.py", {"path": "b", "status": "A"}],
            arguments=["title=a=b", "number:=7", "draft:=true", 'labels:=["x"]', "body="],
        )
    )

    assert asked == {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {
            "name": "open_pr",
            "properties": {"title": "a=b", "number": 7, "draft": True, "labels": ["x"], "body": ""},
        },
        "resource": {
            "type": "repository",
            "id": "acme/web",
            "properties": {
                "branch": "main",
                "head_branch": "fix",
                "files": [{"path": "a.py"}, {"path": "b", "status": "A"}],
            },
        },
        "context": {},
    }
    assert request.problems(asked) == []


@pytest.mark.parametrize(
    ("flags", "resource"),
    [
        (
            request.Flags("call_tool", "agent:a", tool="bank:send_money", repository="acme/web"),
            {"type": "tool", "id": "bank:send_money"},
        ),
        (request.Flags("send_message", "agent:a", resource="channel:#ops"), {"type": "channel", "id": "#ops"}),
        (request.Flags("rotate_key", "agent:a", resource="key:k1"), {"type": "key", "id": "k1"}),
        (request.Flags("rotate_key", "agent:a", repository="acme/web"), {"type": "repository", "id": "acme/web"}),
        (request.Flags("opn_pr", "agent:a", repository="acme/web"), {"type": "repository", "id": "acme/web"}),
    ],
)
def test_the_resource_follows_the_action(flags: request.Flags, resource: dict[str, str]) -> None:
    assert request.build(flags)["resource"] == resource


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (request.Flags("open_pr", "alice", repository="a/b"), "expected `type:id`"),
        (request.Flags("open_pr", "agent:", repository="a/b"), "expected `type:id`"),
        (request.Flags("open_pr", "agent:a"), "acts on a repository, and none is named"),
        (request.Flags("call_tool", "agent:a", repository="a/b"), "acts on a tool, and none is named"),
        (request.Flags("send_message", "agent:a"), "acts on a channel, and none is named"),
        (request.Flags("send_message", "agent:a", resource="ops"), "expected `type:id`"),
        (request.Flags("comment", "agent:a", repository="a/b", arguments=["x"]), "expected `name=text`"),
        (request.Flags("comment", "agent:a", repository="a/b", arguments=["=x"]), "expected `name=text`"),
        (request.Flags("comment", "agent:a", repository="a/b", arguments=["x=1", "x:=2"]), "given twice"),
        (request.Flags("comment", "agent:a", repository="a/b", arguments=["x:=oops"]), "--arg x:1:1: this is not JSON"),
    ],
)
def test_flags_that_make_no_request_are_usage_errors(flags: request.Flags, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        request.build(flags)

    assert said in str(caught.value)
