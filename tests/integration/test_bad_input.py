"""Bad packs, requests, facts and flags: each ends in one clear message and a reserved exit code, none in an allow or an execution."""

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, Place, clean, place_in

RULE = "rules: [{id: a, effect: allow, actions: '*'}]\n"
PACK = (
    HEAD
    + """\
rules:
  - {id: ok, effect: allow, actions: [open_pr, comment, call_tool]}
  - id: no-infra
    effect: deny
    actions: [push_branch, open_pr]
    file_globs: "infra/**"
    message: "no {paths} onto {branch}"
    fix: "orch act open_pr --base {branch} {paths}"
  - {id: small, effect: deny, actions: call_tool, when: {action.properties.amount: {min: 100}}}
  - {id: issues, effect: allow, actions: create_issue, budgets: [{meter: usd, per: run, limit: 1}]}
  - {id: comments, effect: require, actions: comment, approvals: {role: sre, bind: action}}
"""
)
ASKED = ("--action", "open_pr", "--repo", "a/b", "--branch", "main")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with a pack in the folder `packs`, shared by all tests here: they only read."""
    with place_in(tmp_path_factory.mktemp("bad")) as made:
        folder = made.folder / "packs"
        folder.mkdir()
        (folder / "a.yaml").write_text(PACK)
        yield made


def _waiver(dates: str) -> str:
    soft = "rules: [{id: a, effect: deny, level: soft, actions: push_branch}]\n"
    roster = "---\napiVersion: orch/v1\nkind: Roster\nmetadata: {name: r}\nsubjects: {'user:a': {roles: [x]}, 'user:b': {roles: [x]}}\n"
    return (
        f"{HEAD}{soft}---\napiVersion: orch/v1\nkind: Waiver\nmetadata: {{name: w}}\nrules: [acme/a]\nscope: {{branches: main}}\n"
        f"reason: r\nticket: T-1\nrequested_by: user:a\napproved_by: [user:b]\n{dates}{roster}"
    )


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
PACKS: dict[str, tuple[str | bytes, str]] = {
    "broken YAML": ("a: [1\nb", "YAML that cannot be read"),
    "alias bomb": (BOMB, "the alias `*a`"),
    "duplicate key": (HEAD + "default: allow\n" + RULE, "the key `default` a second time"),
    "duplicate key in a rule": (
        HEAD + "rules: [{id: a, effect: deny, effect: allow, actions: '*'}]\n",
        "the key `effect` a second time",
    ),
    "tab": (HEAD + "rules:\n\t- {id: a, effect: allow, actions: '*'}\n", "a tab in the indentation"),
    "byte order mark": (b"\xef\xbb\xbf" + (HEAD + RULE).encode(), "a byte order mark"),
    "UTF-16": ((HEAD + RULE).encode("utf-16"), "a byte order mark"),
    "not UTF-8": (HEAD.encode() + b"rules: [{id: a, effect: allow, actions: '*', title: \xe9}]\n", "the byte 0xe9"),
    "NUL": (HEAD + "rules: [{id: a, effect: allow, actions: '*', title: \0}]\n", "the invisible character U+0000"),
    "terminal escape": (
        HEAD + 'rules: [{id: "a\\e[31m", effect: allow, actions: "*"}]\n',
        "invisible character U+001B",
    ),
    "unknown key": (HEAD + "rulez: []\n", "expected `rules`"),
    "unknown kind": (HEAD.replace("PolicyPack", "Policy") + RULE, "the kind `Policy`"),
    "unknown version": (HEAD.replace("orch/v1", "orch/v2") + RULE, "`orch/v2`"),
    "typo in an action": (
        HEAD + "rules: [{id: a, effect: deny, actions: push_brnch}]\n",
        "did you mean `push_branch`?",
    ),
    "empty list": (HEAD + "rules: [{id: a, effect: deny, actions: '*', subjects: []}]\n", "an empty list"),
    "unbalanced brace": (
        HEAD + "rules: [{id: a, effect: deny, actions: push_branch, branches: 'a{b'}]\n",
        "without its `}`",
    ),
    "exploding braces": (
        HEAD + f"rules: [{{id: a, effect: deny, actions: push_branch, branches: '{'{a,b}' * 12}'}}]\n",
        "more than 256 patterns",
    ),
    "endless glob": (
        HEAD + f"rules: [{{id: a, effect: deny, actions: push_branch, branches: '{'*' * 5000}'}}]\n",
        "4096",
    ),
    "two rules with one id": (
        HEAD + "rules: [{id: a, effect: deny, actions: '*'}, {id: a, effect: allow, actions: '*'}]\n",
        "a second rule `a`",
    ),
    "waiver without a date": (_waiver(""), "expected `expires_at` here"),
    "waiver with a wrong date": (_waiver("from: 2026-13-01T00:00:00Z\nexpires_at: never\n"), "2026-13-01T00:00:00Z"),
    "nothing": ("", "without a document"),
    "a scalar": ("42\n", "expected a mapping"),
    "a Python tag": (HEAD + "rules: !!python/object/apply:os.system ['touch canary']\n", "expected no tags"),
    "no as a word": (HEAD.replace("acme", "no") + RULE, "`no` without quotes"),
    "octal": (
        HEAD + "rules: [{id: a, effect: allow, actions: call_tool, when: {action.properties.x: {max: 010}}}]\n",
        "`010`",
    ),
    "infinity": (
        HEAD + "rules: [{id: a, effect: allow, actions: call_tool, when: {action.properties.x: {max: .inf}}}]\n",
        "`.inf`",
    ),
    "deep nesting": (HEAD + "rules: " + "[" * 3000 + "]" * 3000 + "\n", "nested deeper than"),
    "many empty documents": ("---\n" * 50_000, "an empty document"),
    "lists in a circle": (
        HEAD + "lists: {a: [$b], b: [$a]}\nrules: [{id: a, effect: allow, actions: '*', subjects: [$a]}]\n",
        "lists that hold each other",
    ),
    "unknown placeholder": (
        HEAD + "rules: [{id: a, effect: deny, actions: '*', message: 'x {nope}'}]\n",
        "the placeholder `{nope}`",
    ),
    "rego path that leaves": (HEAD + "rego: ['../x.rego']\n", "expected a path below the pack's folder"),
    "rego absolute path": (HEAD + "rego: ['/etc/x.rego']\n", "expected a path below the pack's folder"),
    "rego that is missing": (HEAD + "rego: [x.rego]\n", "there is no such file"),
}


@pytest.mark.parametrize(("text", "expected"), PACKS.values(), ids=PACKS.keys())
def test_a_bad_pack_decides_nothing(place: Place, tmp_path: Path, text: str | bytes, expected: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text.encode() if isinstance(text, str) else text)

    done = place.orch("evaluate", "--packs", tmp_path, *ASKED)

    assert (done.returncode, done.stdout) == (7, "")
    assert expected in clean(done)
    assert f"orch: {tmp_path}/a.yaml:" in done.stderr or expected == "without a document"
    assert not (place.folder / "canary").exists()


MODULES = {
    "network": 'findings contains f if { r := http.send({"url": "http://x", "method": "get"}); f := {"rule": r} }',
    "clock": 'findings contains f if { f := {"rule": time.now_ns()} }',
    "environment": 'findings contains f if { f := {"rule": opa.runtime().env.HOME} }',
    "chance": 'findings contains f if { f := {"rule": rand.intn("a", 3)} }',
    "syntax": "x :==",
}


@pytest.mark.parametrize("body", MODULES.values(), ids=MODULES.keys())
@pytest.mark.parametrize("step", ["evaluate", "build"])
def test_a_module_that_asks_the_world_is_refused(place: Place, tmp_path: Path, body: str, step: str) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "rego: [m.rego]\n" + RULE)
    (tmp_path / "m.rego").write_text(f"package packs.acme\n\n{body}\n")
    built = ("policy", "build", tmp_path, "-o", tmp_path / "b.tar.gz")

    done = place.orch(*built) if step == "build" else place.orch("evaluate", "--packs", tmp_path, *ASKED)

    assert (done.returncode, done.stdout) == (7, "")
    assert "m.rego:" in clean(done)


@pytest.mark.parametrize("package", ["orch", "packs.other", "data"])
def test_a_module_of_a_foreign_package_is_refused(place: Place, tmp_path: Path, package: str) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "rego: [m.rego]\n" + RULE)
    (tmp_path / "m.rego").write_text(f"package {package}\n\nanswer := []\n")

    done = place.orch("evaluate", "--packs", tmp_path, *ASKED)

    assert done.returncode == 7
    assert "expected `package packs.acme`" in clean(done)


def test_a_module_that_is_a_symlink_out_of_the_folder_is_not_read(place: Place, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    (tmp_path / "secret.rego").write_text("package packs.acme\n")
    (packs / "m.rego").symlink_to("../secret.rego")
    (packs / "a.yaml").write_text(HEAD + "rego: [m.rego]\n" + RULE)

    done = place.orch("evaluate", "--packs", packs, *ASKED)

    assert done.returncode == 7
    assert "there is no such file" in clean(done)


def test_a_pack_of_50_mb_is_refused_unread(place: Place, tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(50 * 2**20)

    done = place.orch("evaluate", "--packs", tmp_path, *ASKED)

    assert done.returncode == 7
    assert "a file of 50.0 MB; expected at most 16 MB" in clean(done)


def test_two_packs_of_one_name_are_refused(place: Place, tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(HEAD + RULE)

    done = place.orch("evaluate", "--packs", tmp_path, *ASKED)

    assert done.returncode == 7
    assert "a second pack `acme`" in clean(done)


def test_a_circle_of_symlinks_is_no_folder_of_packs(place: Place, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.yaml").symlink_to("a.yaml")
    (tmp_path / "only" / "b.yaml").write_text(HEAD + RULE)

    folder, file = (place.orch("evaluate", "--packs", tmp_path / name, *ASKED) for name in ("loop", "only"))

    assert (folder.returncode, file.returncode) == (2, 7)
    assert "a circle of symlinks" in clean(folder)
    assert "a.yaml: a symlink that leads nowhere" in clean(file)


@pytest.mark.parametrize("kind", ["--packs", "repository"])
@pytest.mark.parametrize("target", ["gone", "deny.yaml", "../outside.yaml"])
def test_a_deny_that_a_symlink_takes_away_is_never_an_allow(
    place: Place, tmp_path: Path, kind: str, target: str
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "allow.yaml").write_text(HEAD + RULE)
    folder = tmp_path / ("org" if kind == "--packs" else ".orch/packs")
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "outside.yaml").write_text(HEAD + "rules: [{id: a, effect: deny, actions: '*'}]\n")
    (folder / "deny.yaml").symlink_to(target)

    done = place.orch("evaluate", "--packs", "org", *ASKED, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (7, "")
    assert "deny.yaml: a symlink that le" in clean(done)


@pytest.mark.parametrize("path", ["a(b", "x+[q", "\\Qz", "^$", "(?i)z1", "a.b|", "a\\b"])
def test_what_a_regular_expression_means_is_plain_text_in_a_glob(place: Place, tmp_path: Path, path: str) -> None:
    globs = "['a(b', 'x+[*', '\\Q*', '^$', '(?i)z*', '*.*|', 'a\\b']"
    (tmp_path / "a.yaml").write_text(
        HEAD.replace("default: deny", "default: allow")
        + f"rules: [{{id: a, effect: deny, actions: open_pr, file_globs: {globs}}}]\n"
    )

    done = place.orch("evaluate", "--packs", tmp_path, *ASKED, "--file", path, "--file", "ab")

    assert done.returncode == 3
    assert "acme/a" in clean(done)


def _request(**changed: Any) -> dict[str, Any]:  # noqa: ANN401  # parts of a request
    base: dict[str, Any] = {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": "open_pr"},
        "resource": {"type": "repository", "id": "a/b", "properties": {"branch": "main"}},
        "context": {},
    }
    return {**base, **changed}


def _about(**properties: Any) -> dict[str, Any]:  # noqa: ANN401  # properties of a resource
    return _request(resource={"type": "repository", "id": "a/b", "properties": {"branch": "main", **properties}})


def _paths(*paths: Any) -> dict[str, Any]:  # noqa: ANN401  # paths as an enemy writes them
    return _about(files=[{"path": path} for path in paths])


REQUESTS: dict[str, tuple[Any, str]] = {
    "null": (None, "the request is null"),
    "a number": (1, "the request is the number 1"),
    "a text": ("x", "the request is 'x'"),
    "nothing in it": ({}, "subject is null"),
    "facts": (_request(facts={"subject": {"roles": ["sre"]}}), "the request carries facts"),
    "unknown part": (_request(contxt={}), "did you mean `context`?"),
    "no branch": (_request(resource={"type": "repository", "id": "a/b"}), "branch is missing"),
    "unknown action": (_request(action={"name": "open_prr"}), "did you mean `open_pr`?"),
    "any action": (_request(action={"name": "*"}), "action.name is '*'"),
    "path up": (_paths("../x"), "is '../x'"),
    "path up inside": (_paths("a/../../x"), "is 'a/../../x'"),
    "absolute path": (_paths("/etc/passwd"), "is '/etc/passwd'"),
    "NUL": (_paths("a\0x"), "is 'a\\x00x'"),
    "lone surrogate": (_paths("a\ud800x"), "is 'a\\ud800x'"),
    "lone surrogate in a key": (_request(context={"\ud800": 1}), "expected a text without NUL or lone surrogates"),
    "number for a path": (_paths(50), "path is the number 50"),
    "path twice": (_paths("x", "x"), "names 'x' again"),
    "files as an object": (_about(files={"path": "x"}), "files is an object"),
    "number for a branch": (_about(branch=50), "branch is the number 50"),
    "list for a branch": (_about(branch=["main"]), "branch is a list"),
    "full name of a branch": (_about(branch="refs/heads/main"), "without `refs/heads/`"),
    "escape in a branch": (_about(branch="x\x1b[2J"), "branch is 'x\\x1b[2J'"),
    "escape in a subject": (_request(subject={"type": "user", "id": "user:\x1b[31ma"}), "without control characters"),
    "unknown property": (_about(evil=1), "'evil', which it cannot have"),
    "tool for a repository": (_request(resource={"type": "tool", "id": "a:b"}), "resource.type is 'tool'"),
    "URL for a repository": (
        _request(resource={"type": "repository", "id": "https://x/a/b", "properties": {"branch": "main"}}),
        "expected `owner/name`",
    ),
}


def test_each_invalid_request_is_denied_and_told_why(place: Place) -> None:
    """In every mode: --warn-only changes nothing for them."""
    given = "".join(json.dumps(request) + "\n" for request, _ in REQUESTS.values()).encode()

    done = place.orch("evaluate", "--packs", "packs", "-", "-o", "jsonl", "--warn-only", given=given)

    clean(done)
    assert done.returncode == 3
    answers = [json.loads(line)["context"] for line in done.stdout.splitlines()]
    assert len(answers) == len(REQUESTS)
    for (name, (_, expected)), answer in zip(REQUESTS.items(), answers, strict=True):
        assert (answer["outcome"], answer["reason"]) == ("deny", "invalid_request"), name
        assert expected in answer["findings"][0]["message"], name


BROKEN = {
    "empty": (b"", "is empty"),
    "blank": (b"\n\n", "is empty"),
    "cut off": (b'{"subject":', "this is not JSON"),
    "NaN": (b'{"context": {"x": NaN}}', "NaN is not JSON"),
    "infinity": (b'{"context": {"x": -Infinity}}', "is not JSON"),
    "too large a number": (b'{"context": {"x": 1e400}}', "too large"),
    "too long a number": (b'{"context": {"x": 1' + b"0" * 5000 + b"}}", "too large or too long"),
    "duplicate key": (b'{"action": {"name": "a", "name": "b"}}', "the key 'name' stands twice"),
    "byte order mark": (b"\xef\xbb\xbf{}", "a byte order mark"),
    "not UTF-8": (b'{"context": "\xff"}', "UTF-8"),
    "deep nesting": (b'{"context": ' + b"[" * 100_000, "more than 64 objects and lists"),
    "two on a line": (b"{}{}", "this is not JSON"),
}


@pytest.mark.parametrize(("given", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_json_is_a_wrong_call(place: Place, given: bytes, expected: str) -> None:
    done = place.orch("evaluate", "--packs", "packs", "-", given=given)

    assert (done.returncode, done.stdout) == (2, "")
    assert expected in clean(done)


def test_broken_lines_are_denied_and_the_others_still_answered(place: Place) -> None:
    good = json.dumps(_about(files=[])).encode()
    lines = [good, b'{"a":', b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 100, b"NaN", b"", good + b"\r", good]

    done = place.orch("evaluate", "--packs", "packs", "-", "-o", "jsonl", given=b"\n".join(lines))

    clean(done)
    outcomes = [json.loads(line)["context"]["reason"] for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert outcomes == ["allowed", *["invalid_request"] * 5, "allowed", "allowed"]


def test_an_empty_array_is_no_question_that_was_allowed(place: Place) -> None:
    done = place.orch("evaluate", "--packs", "packs", "-", given=b"[]")

    clean(done)
    assert done.returncode == 2


def test_a_text_where_a_number_belongs_never_passes_a_limit(place: Place) -> None:
    """A deny above 100 matches what cannot be judged: "50", true, null, a list."""
    asked = ("--action", "call_tool", "--tool", "bank:send")
    values = ('"50"', "true", "null", "[]", "[[50]]", "{}")

    done = [place.orch("evaluate", "--packs", "packs", *asked, "--arg", f"amount:={value}") for value in values]
    right = place.orch("evaluate", "--packs", "packs", *asked, "--arg", "amount:=50")

    assert [one.returncode for one in done] == [3] * len(values)
    assert right.returncode == 0


def test_a_hundred_thousand_files_are_judged(place: Place) -> None:
    paths = [f"src/{index % 100}/f{index}" for index in range(99_999)]
    given = json.dumps(_paths(*paths, "infra/x")).encode()

    done = place.orch("evaluate", "--packs", "packs", "-", given=given)

    assert done.returncode == 3
    assert "infra/x" in clean(done)


FACTS: dict[str, tuple[str, str]] = {
    "no object": ("[]", "expected an object of facts"),
    "unknown": ('{"stag": "dev"}', "facts hold stag"),
    "the clock": ('{"time": "2020-01-01T00:00:00Z"}', "set with --point and --now"),
    "the request's errors": ('{"request_errors": []}', "facts hold request_errors"),
    "no JSON": ("{", "this is not JSON"),
    "NaN": ('{"stage": NaN}', "NaN is not JSON"),
    "lone surrogate": ('{"stage": "\\ud800"}', "a lone surrogate"),
    "duplicate": ('{"stage": "a", "stage": "b"}', "stands twice"),
    "negative budget": ('{"budgets": [{"spent": -1}]}', "expected a number from 0"),
    "budget NaN": ('{"budgets": [{"spent": "NaN"}]}', "expected a number from 0"),
    "budget infinity": ('{"budgets": [{"spent": "Infinity"}]}', "expected a number from 0"),
    "budget true": ('{"budgets": [{"spent": true}]}', "expected a number from 0"),
    "budget too fine": ('{"budgets": [{"spent": "1e-9"}]}', "expected a number from 0"),
    "budgets as an object": ('{"budgets": {}}', "expected a list of objects"),
}


@pytest.mark.parametrize(("text", "expected"), FACTS.values(), ids=FACTS.keys())
def test_facts_that_no_host_states_are_a_wrong_call(place: Place, tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "facts.json"
    file.write_text(text)

    done = place.orch("evaluate", "--packs", "packs", *ASKED, "--file", "x", "--facts", file)

    assert (done.returncode, done.stdout) == (2, "")
    assert expected in clean(done)


UNTYPED = (
    '{"run": "r1"}',
    '{"run": 1}',
    '{"delegation": "user:bob"}',
    '{"delegation": [{"id": "user:bob"}]}',
    '{"contributors": {"user:bob": 1}}',
    '{"trigger": ["user:bob"]}',
    '{"approvals": {}}',
    '{"subject": "user:bob"}',
    '{"budgets": [{"spent": "1e999999"}]}',
    '{"budgets": [{"spent": "1_000"}]}',
)


@pytest.mark.parametrize("text", UNTYPED)
def test_facts_of_a_wrong_type_are_a_wrong_call(place: Place, tmp_path: Path, text: str) -> None:
    file = tmp_path / "facts.json"
    file.write_text(text)

    done = place.orch("evaluate", "--packs", "packs", *ASKED, "--file", "x", "--facts", file)

    clean(done)
    assert done.returncode == 2


FLAGS: dict[str, tuple[tuple[str, ...], str]] = {
    "no packs": (("evaluate", *ASKED), "there are no packs"),
    "missing packs": (("evaluate", "--packs", "nope", *ASKED), "'nope' cannot be read"),
    "packs that are no file": (("evaluate", "--packs", "/dev/null", *ASKED), "neither a folder nor a file"),
    "missing run pack": (("evaluate", "--packs", "packs", "--run-pack", "nope", *ASKED), "'nope' cannot be read"),
    "missing file": (("evaluate", "--packs", "packs", "nope.json"), "cannot read 'nope.json'"),
    "folder for a file": (("evaluate", "--packs", "packs", "packs"), "Is a directory"),
    "escape in a name": (("evaluate", "--packs", "packs", "a\x1b[31mb"), "'a\\x1b[31mb'"),
    "missing facts": (("evaluate", "--packs", "packs", *ASKED, "--facts", "nope"), "cannot read 'nope'"),
    "missing config": (("evaluate", "--packs", "packs", *ASKED, "--config", "nope"), "nope"),
    "unknown point": (("evaluate", "--packs", "packs", *ASKED, "--point", "prod"), "'prod' is not one of"),
    "unknown format": (("evaluate", "--packs", "packs", *ASKED, "-o", "xml"), "unknown format 'xml'"),
    "format without file": (("evaluate", "--packs", "packs", *ASKED, "-o", "json="), "names no file"),
    "file in a missing folder": (("evaluate", "--packs", "packs", *ASKED, "-o", "json=no/x"), "cannot write 'no/x'"),
    "no time": (("evaluate", "--packs", "packs", *ASKED, "--now", "2026-02-30T00:00:00Z"), "is no time"),
    "time without offset": (("evaluate", "--packs", "packs", *ASKED, "--now", "2026-02-03T00:00:00"), "is no time"),
    "time too far": (("evaluate", "--packs", "packs", *ASKED, "--now", "9999-12-31T23:59:59Z"), "is no time"),
    "no deadline": (("evaluate", "--packs", "packs", *ASKED, "--deadline", "nan"), "--deadline is 'nan'"),
    "nothing asked": (("evaluate", "--packs", "packs"), "nothing was asked"),
    "asked twice": (("evaluate", "--packs", "packs", "-", *ASKED), "both given"),
    "files twice": (("evaluate", "--packs", "packs", *ASKED, "--file", "x", "--from-git", "a..b"), ""),
    "argument without value": (("evaluate", "--packs", "packs", *ASKED, "--arg", "x"), "expected `name=text`"),
    "argument NaN": (("evaluate", "--packs", "packs", *ASKED, "--arg", "x:=NaN"), "NaN is not JSON"),
    "subject without type": (("evaluate", "--packs", "packs", *ASKED, "--subject", "bob"), "expected `type:id`"),
    "repository with a command": (
        ("evaluate", "--packs", "packs", "--action", "comment", "--repo", "a/b;rm"),
        "expected `owner/name`",
    ),
    "list of files not UTF-8": (
        ("evaluate", "--packs", "packs", *ASKED, "--files-from", "latin"),
        "a path that is not UTF-8",
    ),
    "unknown command": (("evalute",), "evaluate"),
    "unknown flag": (("evaluate", "--pack", "packs", "--no-such"), "No such option"),
}


@pytest.mark.parametrize(("arguments", "expected"), FLAGS.values(), ids=FLAGS.keys())
def test_a_wrong_call_says_what_was_expected(place: Place, arguments: tuple[str, ...], expected: str) -> None:
    (place.folder / "latin").write_bytes(b"a\xff\n")

    done = place.orch(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert expected in clean(done)
    assert "\x1b" not in done.stderr


BAD_PATHS = (
    "infra/::error file=a::x%0A",
    "infra/a\n::error::x",
    "infra/\r\nnot ok 1",
    "infra/\x1b[2J\x1b]0;t\x07",
    "infra/\x9b31m\x85x",
    "infra/a\u202eb",
    "infra/[bold red]x[/bold red]",
    "infra/</script><img src=x onerror=1>",
    "infra/`|](x)**",
    "infra/a]]>b&",
    "infra/'; touch canary #",
    "infra/$(touch canary)",
)


@pytest.mark.parametrize("output", ["text", "json", "jsonl", "github", "sarif", "junit", "tap", "markdown"])
def test_names_that_are_commands_stay_names(place: Place, output: str) -> None:
    """For GitHub, a terminal, XML, TAP and a shell alike; the printed fix is pasted into a real shell."""
    given = json.dumps(_about(branch="x$(touch${IFS}canary)", files=[{"path": path} for path in BAD_PATHS])).encode()

    done = place.orch("evaluate", "--packs", "packs", "-", "-o", output, "--all-paths", given=given)

    clean(done)
    lines = done.stdout.split("\n")
    assert done.returncode == 3
    assert not {"\x1b", "\x9b", "\x85", "\x07", "\r", "\u202e"} & set(done.stdout)
    match output:
        case "github":
            assert all(line.startswith(("::error file=infra/", "orch: ")) for line in lines if line)
        case "tap":
            assert [line for line in lines if line.startswith(("ok", "not ok"))] == [lines[1]]
        case "junit":
            assert ET.fromstring(done.stdout).get("failures") == "1"  # noqa: S314  # our own output
        case "json" | "sarif":
            assert json.loads(done.stdout)
        case "markdown":
            assert "<img" not in done.stdout.replace("`infra/</script><img src=x onerror=1>`", "").split("- fix:")[0]
        case "text":
            fix = next(line for line in lines if "fix: " in line).partition("fix: ")[2].replace("orch act", "true")
            subprocess.run(["/bin/sh", "-c", fix], cwd=place.folder, check=True, timeout=10)  # the point of the test
    assert not (place.folder / "canary").exists()


@pytest.mark.parametrize("name", ["no gzip", "no manifest", "bomb"])
def test_a_bundle_that_is_none_is_not_run(place: Place, tmp_path: Path, name: str) -> None:
    import gzip
    import tarfile

    file = tmp_path / "b.tar.gz"
    match name:
        case "no gzip":
            file.write_bytes(os.urandom(1000))
        case "no manifest":
            (tmp_path / "a.rego").write_text('package orch\n\nanswer := [{"outcome": "allow"}]\n')
            with tarfile.open(file, "w:gz") as made:
                made.add(tmp_path / "a.rego", "orch/a.rego")
        case _:
            with gzip.open(file, "wb", 1) as packed:
                for _ in range(300):
                    packed.write(bytes(2**20))

    done = place.orch("evaluate", "--packs", file, *ASKED)

    assert (done.returncode, done.stdout) == (6, "")
    assert "the bundle" in clean(done)
