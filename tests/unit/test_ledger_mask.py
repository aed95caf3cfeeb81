"""Secrets of the environment, forms of credentials and secret members are hidden; everything else stays."""

import base64
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import canonical
from orchestrator.errors import LedgerError
from orchestrator.ledger.credentials import MARK
from orchestrator.ledger.mask import Mask

ROOT = Path(__file__).resolve().parents[2]
SECRET = 'cAn"ary\\Tok&en/%41+é=9'
"""Holds what every encoding changes."""
HIDING = Mask.of({"GITHUB_TOKEN": SECRET})
RAW = SECRET.encode()


def vote(**claims: object) -> str:
    """Return a JWS as approvers sign them; the signature does not matter here."""
    header = {"alg": "EdDSA", "typ": claims.pop("typ", "orch-vote+jwt")}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, "c2lnbmF0dXJl"])


def decision(files: int = 15, title: str = "Fix login") -> dict[str, Any]:
    """Return the payload of a recorded decision, about 5 KB with 15 files."""
    request = {
        "subject": {"type": "agent", "id": "agent:fixer", "properties": {"on_behalf_of": "user:alice"}},
        "action": {"name": "open_pr", "properties": {"title": title, "body": 'Says "hello" to 50% of users\n'}},
        "resource": {
            "type": "repository",
            "id": "acme/web",
            "properties": {
                "branch": "main",
                "files": [
                    {"path": f"src/login/task-{n}.py", "status": "M", "mode": "100644", "blob": f"9f2c{n:036x}"}
                    for n in range(files)
                ],
            },
        },
        "context": {},
    }
    facts = {
        "point": "ci",
        "time": "2026-11-21T05:00:00Z",
        "budgets": [{"meter": "tokens", "per": "run", "limit": 5_000_000, "spent": 1}],
        "approvals": [{"role": "sre", "by": "user:bob", "token": vote(sub="user:bob")}],
        "tool_schemas": {"bank:get_token": "sha256:" + "ab" * 32},
        "action_digest": "sha256:" + "cd" * 32,
    }
    findings = [
        {"rule": "acme/no-secrets", "message": f'say "no" to secret {n}', "fix": "orch act open_pr --base main", "source": "packs/a.yaml:3", "paths": [f"src/login/task-{n}.py"]}
        for n in range(10)
    ]  # fmt: skip
    answer = {"outcome": "allow", "evaluation_id": "5f2b7a8e-1111-4222-8333-444455556666", "findings": findings}
    return {"request": request, "facts": facts, "decision": answer, "claims": [], "label": ""}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(SECRET.lower(), id="in lower case"),
        pytest.param(json.dumps(SECRET)[1:-1], id="as JSON"),
        pytest.param(json.dumps(SECRET, ensure_ascii=False)[1:-1], id="as JSON with its letters"),
        pytest.param(json.dumps(json.dumps(SECRET))[1:-1], id="as JSON in JSON"),
        pytest.param(urllib.parse.quote(SECRET), id="percent-encoded"),
        pytest.param(urllib.parse.quote(SECRET, safe=""), id="all of it percent-encoded"),
        pytest.param(urllib.parse.quote(SECRET).replace("%C3", "%c3").replace("%2", "%2"), id="percent-encoded in lower case"),
        pytest.param(urllib.parse.quote(urllib.parse.quote(SECRET)), id="percent-encoded twice"),
        pytest.param(SECRET.replace("&", "&amp;").replace('"', "&quot;"), id="as XML"),
        pytest.param(RAW.hex(), id="as hex"),
        pytest.param(RAW.hex().upper(), id="as hex in upper case"),
        *[pytest.param(encode(b"x" * before + RAW + b"y" * after).decode().rstrip(cut), id=f"{encode.__name__} {before} {after} {cut}")
          for encode in (base64.b64encode, base64.urlsafe_b64encode) for before in range(3) for after in range(3) for cut in ("", "=")],
        pytest.param(urllib.parse.quote(base64.b64encode(RAW).decode(), safe=""), id="base64, percent-encoded"),
        pytest.param(base64.encodebytes(RAW * 9).decode(), id="base64 in lines"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_in_every_spelling(written: str) -> None:
    seen = HIDING.text(f"before {written} after")

    assert seen.startswith("before ")
    assert MARK in seen
    assert not shares(seen.removeprefix("before ").removesuffix(" after"), written)
    assert HIDING.value({"a": [f"before {written} after"]}) == {"a": [seen]}
    assert HIDING.value({f"before {written} after": 1}) == {seen: 1}
    assert HIDING.data(f"before {written} after".encode()) == seen.encode()


def shares(seen: str, written: str) -> bool:
    """Say whether ten characters of a secret in some spelling are still there."""
    left = seen.replace(MARK, "\0")
    return any(written[at : at + 10] in left for at in range(len(written) - 9))


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("GITHUB_TOKEN", "abcd1234efgh", True),
        ("npm_config__authToken", "abcd1234efgh", True),
        ("DB_PASSWORD", "correct horse", True),
        ("DB_PASS", "abcd1234efgh", True),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", True),
        ("STRIPE_KEY", "abcd1234efgh", True),
        ("SLACK_WEBHOOK", "https://hooks.example.com/services/abcdefgh", True),
        ("HTTP_AUTHORIZATION", "abcd1234efgh", True),
        ("SHORT_TOKEN", "abc1234", False),
        ("USE_SECRET", "true", False),
        ("POSTGRES_PASSWORD", "postgres", False),
        ("SSH_AUTH_SOCK", "/run/user/1000/agent.sock", False),
        ("TOKEN_FILE", "/etc/orch/opa.token", False),
        ("PRIVATE_KEY", str(ROOT / "README.md"), False),
        ("GIT_AUTHOR_NAME", "Somebody Else", False),
        ("GOPRIVATE", "github.com/acme", False),
        ("PWD", "/somewhere/else", False),
        ("KEYBOARD", "abcd1234efgh", False),
        ("AUTH_URL", "https://login.example.com", False),
        ("MAX_TOKENS", "100000000", False),
        ("PATH", "/usr/bin:/bin", False),
    ],
)
def test_a_variable_is_secret_by_its_name_and_value(name: str, value: str, is_secret: bool) -> None:  # noqa: FBT001
    seen = Mask.of({name: value}).text(f"it is {value}.")

    assert seen == ("it is [masked]." if is_secret else f"it is {value}.")


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("postgresql://orch:s3cr3t%40word@db.example.com/orch", "s3cr3t@word"),
        ("postgresql://orch:s3cr3t%40word@db.example.com/orch", "s3cr3t%40word"),
        ("host=db password=s3cr3t-word user=orch", "s3cr3t-word"),
        ("https://proxy:s3cr3t/word@proxy:3128", "s3cr3t/word"),
    ],
)
def test_a_password_in_an_address_is_secret(value: str, secret: str) -> None:
    mask = Mask.of({"ORCH_LEDGER": value})

    assert mask.text(f"connecting as {secret} to db") == "connecting as [masked] to db"
    assert "db" in mask.text("db.example.com")


def test_variables_can_be_named() -> None:
    mask = Mask.of({"ORCH_MASK": "PROJECT, OTHER", "PROJECT": "blue", "OTHER": "ab"})

    assert mask.text("blue ab") == "[masked] ab"


def test_a_part_of_a_long_secret_is_hidden_and_its_length_is_not_shown() -> None:
    secret = "".join(f"{n:03d}x" for n in range(100))
    mask = Mask.of({"A_SECRET": secret})

    assert mask.text(f"a {secret} b") == "a [masked] b"
    assert mask.text(f"a {secret[:70]}").startswith("a [masked]")
    assert len(mask.text(f"a {secret[:70]}")) < 20


def test_a_word_is_hidden_as_a_word() -> None:
    mask = Mask.of({"DB_PASSWORD": "bluebird"})

    assert mask.text("bluebird in bluebirdhouse") == "[masked] in bluebirdhouse"


def test_members_of_a_json_credential_are_secret() -> None:
    mask = Mask.of(
        {"GOOGLE_CREDENTIALS": json.dumps({"type": "service_account", "private_key_secret": "abcd1234efgh"})}
    )

    assert mask.text("service_account abcd1234efgh") == "service_account [masked]"


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "aB3" * 12, "gho_" + "aB3" * 12, "ghs_" + "aB3" * 12, "github_pat_" + "aB3" * 20, "glpat-" + "aB3" * 7,
        "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "xoxb-" + "1234567890-abc", "sk_live_" + "aB3" * 8, "AIza" + "aB3xY" * 7,
        "sk-proj-" + "aB3_" * 10, "sk-ant-api03-" + "aB3-" * 10, "npm_" + "aB3" * 12, "pypi-" + "AgEIcHlwaS5vcmc" * 3,
        vote(typ="JWT", sub="x"), "AGE-SECRET-KEY-1" + "Q" * 58,
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA\\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234567890",
    ],
)  # fmt: skip
def test_a_credential_is_known_by_its_form(text: str) -> None:
    assert Mask().text(f"say {text} there") == "say [masked] there"
    assert Mask().value([f'"a"\n{text}']) == ['"a"\n[masked]']


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Authorization: Bearer abc", "Authorization: Bearer abc"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer [masked]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [masked]"),
        ("-H 'Bearer abcdefgh12345678'", "-H 'Bearer [masked]'"),
        ("https://user:pass@host/x", "https://user:[masked]@host/x"),
        ("https://abcdef0123456789abcdef@host/x", "https://[masked]@host/x"),
        ("?a=b&access_token=abcdef&c=d", "?a=b&access_token=[masked]&c=d"),
        ("DB_PASSWORD=hunter2 run", "DB_PASSWORD=[masked] run"),
        ("password='my hunter 2'", "password='[masked]'"),
        ('{"dbPassword": "a\\"b", "n": 1}', '{"dbPassword": "[masked]", "n": 1}'),
        ('{"token":12345, "n": 1}', '{"token":"[masked]", "n": 1}'),
        (r'"{\"token\":12345,\"password\": \"a b\"}"', r'"{\"token\":\"[masked]\",\"password\": \"[masked]\"}"'),
        ("<password>hunter2</password>", "<password>[masked]</password>"),
        ("run --db-password hunter2hunter2 x", "run --db-password [masked] x"),
        ("curl -u me:hunter2 https://x", "curl -u me:[masked] https://x"),
        ("Cookie: a=b; c=d\nx", "Cookie: [masked]\nx"),
    ],
)
def test_a_credential_is_known_by_what_stands_before_it(text: str, seen: str) -> None:
    assert Mask().text(text) == seen
    assert Mask().text(seen) == seen
    assert Mask().value({"x": [text]}) == {"x": [seen]}


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "0f" * 32, "5f2b7a8e-1111-4222-8333-444455556666", "src/task-force/sk-learn-of-many-words.py", "task-0123456789",
        "Basic Authentication is what it says", "a bearer token that is long", "the password: it must be long", "tokens=5",
        "http://host:8080/a@b", "git+ssh://git@github.com/acme/web", "docker run -u 1000:1000", "${{ secrets.GITHUB_TOKEN }}",
        "https://x:${{secrets.PAT}}@host", "password=${PASSWORD}", "token=$TOKEN", "--password {password}", "--token-file /etc/x1234567",
        "use the --token flag here", "eyJhbGciOiJIUzI1NiJ9", "-u root:root",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert HIDING.text(text) == text
    value = {"x": [text], text: None}
    assert HIDING.value(value) == value


@pytest.mark.parametrize(
    "file", ["README.md", "CHANGELOG.md", "docs/packs.md", "docs/ledger.md", "docs/threat-model.md", "docs/ci.md"]
)
def test_prose_stays(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")

    assert HIDING.text(text) == text


def test_members_named_like_a_secret_are_hidden() -> None:
    asked = {
        "password": "a",
        "dbPassword": 5,
        "X-Api-Key": "b",
        "headers": {"Cookie": ["c", {"d": "e"}]},
        "client_secret": True,
        "private_key": None,
        "token": "",
    }

    seen = Mask().value(asked)

    assert seen == {"password": MARK, "dbPassword": MARK, "X-Api-Key": MARK, "headers": {"Cookie": [MARK, {"d": MARK}]}, "client_secret": True, "private_key": None, "token": ""}  # fmt: skip


def test_members_that_only_sound_so_stay() -> None:
    ours = {
        "key": "a", "keys": ["b"], "request_key": "c", "public_key": "d", "tokens": 5, "charged": {"tokens": 7}, "token": vote(by="user:bob"),
        "secret": "${{ secrets.NAME }}", "authorization": "Bearer ${{ secrets.NAME }}", "get_token": "sha256:" + "0a" * 32, "pwd": "/x", "author": "x",
    }  # fmt: skip

    assert Mask().value(ours) is ours or Mask().value(ours) == ours


def test_a_flag_in_a_list_hides_what_follows_it() -> None:
    assert Mask().value(["login", "--password", "abc", "-x", "--token", "--now"]) == [
        "login",
        "--password",
        MARK,
        "-x",
        "--token",
        "--now",
    ]
    long = ["x"] * 63 + ["--password", "abc"]
    assert Mask().value(long) == ["x"] * 63 + ["--password", MARK]


def test_a_vote_stays_whole_and_another_jws_does_not() -> None:
    payload = {
        "vote_id": "1",
        "by": "user:bob",
        "token": vote(by="user:bob"),
        "summary": vote(typ="JWT", by="user:bob"),
    }

    assert Mask().value(payload) == payload | {"summary": MARK}


def test_a_recorded_decision_stays_as_it_is() -> None:
    payload = decision()

    assert HIDING.value(payload) == payload


def test_a_secret_number_and_two_secret_keys() -> None:
    mask = Mask.of({"PIN_PASSWORD": "1234567890", "A_TOKEN": "abcd1234efgh"})

    seen = mask.value({"n": 1234567890, "abcd1234efgh": 1, "ABCD": {"[masked]": 2, "abcd1234efgh": 3}, "m": 12})

    assert seen == {"n": MARK, MARK: 1, "ABCD": {MARK: 2, f"{MARK} 2": 3}, "m": 12}


def test_masking_again_changes_nothing() -> None:
    once = HIDING.value({"a": f"x {SECRET} password=hunter2", "password": 5, SECRET: 1})

    assert HIDING.value(once) == once
    assert canonical(once)


def test_other_bytes_are_searched_too() -> None:
    mask = Mask.of({"A_TOKEN": "abcd1234é"})

    assert mask.data(b"\xff\xfe" + "abcd1234é".encode()) == b"\xff\xfe[masked]"
    assert mask.data(b"\0" + "abcd1234é".encode("utf-16-le") + b"\xff") == b"\0" + MARK.encode("utf-16-le") + b"\xff"
    assert mask.data(b"\0PK\x03" + base64.b64encode("abcd1234é".encode())) == b"\0PK\x03[masked]"
    assert mask.data(b"\0\xff\x80") == b"\0\xff\x80"


@pytest.mark.parametrize(
    "value",
    [
        {"a": ["x", 1, None, True, {"é": "ü", "b": 0.5}]},
        {"a": SECRET, "n": [5]},
        {"password": 2**60, "b": 1},
        {"token": float("nan")},
        {"a": ("x", "y")},
    ],
    ids=["nothing to hide", "a secret", "a secret without a form", "another one", "a tuple"],
)
def test_a_value_and_its_bytes_are_those_of_what_is_hidden(value: object) -> None:
    seen, body = HIDING.value_and_bytes(value)

    assert seen == HIDING.value(value)
    assert body == canonical(seen)


def test_what_has_no_form_is_refused_as_such() -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        HIDING.value_and_bytes({"n": 2**60})


@pytest.mark.parametrize("name", ["harmless", "tokens of a text", "ghp_ of a text", "50% \\ of \n it"])
def test_what_was_harmless_in_one_value_is_searched_beside_another(name: str) -> None:
    """Strings that held nothing are not searched twice; what stands beside them is."""
    mask = Mask.of({"A_SECRET": "abcd1234efgh"})
    for _ in range(3):
        assert mask.value({name: ["x", name], "password": ""}) == {name: ["x", name], "password": ""}

    seen = mask.value(
        {name: ["x", name, "abcd1234efgh", "ghp_" + "aB3" * 12], "password": "hunter2", "y": "api_key=x1y2z3"}
    )

    assert seen == {name: ["x", name, MARK, MARK], "password": MARK, "y": f"api_key={MARK}"}
    assert Mask.of({"B_SECRET": "harmless1"}).value(["harmless1", name]) == [MARK, name]


def test_what_is_harmless_with_one_secret_is_found_with_another() -> None:
    assert Mask.of({"A_SECRET": "abcd1234efgh"}).value(["zyxw9876vuts"]) == ["zyxw9876vuts"]
    assert Mask.of({"A_SECRET": "zyxw9876vuts"}).value(["zyxw9876vuts"]) == [MARK]


def test_values_of_many_different_strings_are_searched() -> None:
    mask = Mask.of({"A_SECRET": "abcd1234efgh"})
    for start in range(0, 20_000, 1_000):
        many = [f"text {number}" for number in range(start, start + 1_000)]
        assert mask.value([*many, "abcd1234efgh"]) == [*many, MARK]
        assert mask.value(many) == many


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}], ids=["no JSON", "a set"])
def test_what_cannot_be_searched_is_refused(value: object) -> None:
    with pytest.raises(LedgerError, match="cannot be searched for secrets"):
        HIDING.value(value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(LedgerError, match="RecursionError"):
        HIDING.value(value)


def test_a_variable_of_any_bytes_breaks_nothing() -> None:
    mask = Mask.of({"A_TOKEN": "abcd\udcff\udc80efgh", "B_TOKEN": "\\ud800\\ud800%ff%ff😀"})

    assert mask.text("plain \\n %41") == "plain \\n %41"
    assert mask.data(b"x abcd\xff\x80efgh") == b"x [masked]"
    assert mask.text("it is " + json.dumps("\\ud800\\ud800%ff%ff😀")) in {'it is "[masked]"', "[masked]"}


def test_a_hostile_text_is_searched_in_time() -> None:
    """Each would take minutes if a pattern looked back over what it has seen."""
    size = 20_000
    texts = [
        "eyJ" * size,
        "sk-" * size,
        "://a:" * size,
        "-" * size * 3,
        "-----BEGIN PRIVATE KEY-----" * (size // 9),
        'token":"' * size,
        "%25" * size,
        "\\" * size,
        "password=" * size,
    ]
    started = time.process_time()

    for text in texts:
        HIDING.text(text)
        HIDING.value([text])

    assert time.process_time() - started < 30


def test_a_decision_is_searched_quickly() -> None:
    mask = Mask.of({f"T{n}_TOKEN": f"S3cretValue{n}+zYQw" for n in range(5)})
    small, large = decision(), decision(100_000)

    assert mask.value(small) == small
    small_s, large_s = (min(seconds(mask, value) for _ in range(rounds)) for value, rounds in ((small, 50), (large, 1)))

    assert small_s < 0.0015  # 0.3 ms on an idle machine
    assert large_s < 4  # 0.8 s


def seconds(mask: Mask, value: object) -> float:
    started = time.process_time()
    mask.value(value)
    return time.process_time() - started
