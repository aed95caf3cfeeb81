"""Canaries, planted wherever a secret could come in, are in nothing that the real command keeps or says on stderr."""

import base64
import json
import shutil
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import HEAD, Place, clean, place_in

PACK = HEAD + "rules:\n  - {id: calls, effect: allow, actions: [call_tool, comment]}\n"
CANARY = 'cNry-4711"q&x/Zz%41+wU'
"""The value of a secret variable; every encoding changes it."""
PASSWORD = "dbpw-0815-QxYz"
"""Stands in the address of a service."""
OTHERS = {
    "github": "ghp_" + "q7Rw" * 9,
    "aws": "AKIA" + "QZ7X" * 4,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ",
    "member": "memb-2290-canary",
    "query": "quer-3391-canary",
    "bearer": "bear-4492-canary-x",
}
"""Known by their form, or by what stands before them; nobody named them."""


def spellings(secret: str) -> dict[str, bytes]:
    """Return what a secret may be written as; base64 without the characters that its neighbours share."""
    raw = secret.encode()
    found = {
        "raw": raw,
        "json": json.dumps(secret)[1:-1].encode(),
        "percent": urllib.parse.quote(secret, safe="").encode(),
        "hex": raw.hex().encode(),
        "utf-16": secret.encode("utf-16-le"),
    }
    for before in range(3):
        core = base64.b64encode(bytes(before) + raw + bytes(3))[4:-8]
        found |= {f"base64-{before}": core, f"base64url-{before}": core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


CANARIES = {
    f"{name} {how}": written
    for name, secret in {"canary": CANARY, "password": PASSWORD, **OTHERS}.items()
    for how, written in spellings(secret).items()
}


def planted() -> dict[str, object]:
    """Return arguments of a tool that hold every canary, many of them encoded."""
    told = [
        CANARY,
        json.dumps(CANARY),
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote(CANARY).lower(),
        CANARY.encode().hex(),
    ]
    for before in (b"", b"a", b"ab"):
        told.append(base64.b64encode(before + CANARY.encode()).decode())
        told.append(base64.urlsafe_b64encode(before + CANARY.encode() + b"more").decode())
    return {
        "told": told,
        "encoded": [base64.b64encode(f"user:{CANARY}".encode()).decode(), urllib.parse.quote(CANARY)],
        "deep": {
            f"key {CANARY}": [{"x": f"curl https://u:{PASSWORD}@db/ -H 'Authorization: Bearer {OTHERS['bearer']}'"}]
        },
        "password": OTHERS["member"],
        "text": f"see {OTHERS['github']}, {OTHERS['aws']} and {OTHERS['jwt']}; GET /?access_token={OTHERS['query']}&x=1",
        "body": json.dumps({"client_secret": OTHERS["member"], "again": [CANARY]}),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "packs").mkdir()
    (folder / "packs" / "acme.yaml").write_text(PACK, encoding="utf-8")
    secrets = {"DEPLOY_TOKEN": CANARY, "DATABASE_URL": f"postgresql://orch:{PASSWORD}@db.example.com/x"}
    with place_in(folder, ORCH_PACKS=str(folder / "packs"), ORCH_LEDGER=str(folder / "ledger"), **secrets) as given:
        yield given


def request_of(**more: object) -> bytes:
    asked = {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": "call_tool", "properties": planted()},
        "resource": {"type": "tool", "id": "bank:send"},
        "context": {"note": [CANARY]},
    }
    return json.dumps(asked | more).encode()


def assert_clean(what: str, data: bytes) -> None:
    """Look for every canary in bytes, as they are and as pages of text in two byte orders."""
    seen = [name for name, written in CANARIES.items() if written in data]

    assert seen == [], f"{what} holds {seen}"


def kept(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the ledger, the state, the cache and the runtime folder."""
    runtime = Path(place.environ["XDG_RUNTIME_DIR"])
    for folder in (place.folder / "ledger", place.folder / "own-home", runtime):
        for file in folder.rglob("*"):
            if file.is_file():
                yield str(file), file.read_bytes()


def test_nothing_that_is_kept_or_said_holds_a_secret(place: Place) -> None:
    facts = place.folder / "facts.json"
    facts.write_text(json.dumps({"trigger": f"user:{CANARY}", "delegation": [CANARY]}), encoding="utf-8")
    runs = [
        place.orch("evaluate", "-", "-o", "json", given=request_of()),
        place.orch("evaluate", "-", "-o", "json", "--facts", facts, given=request_of()),
        place.orch("evaluate", "--action", "comment", "--repo", "acme/web", "--arg", f"body={CANARY}", "--arg", f"token={OTHERS['member']}"),
        place.orch("evaluate", "-", "--run", f"run-{CANARY}", given=request_of()),
        place.orch("evaluate", "-", given=request_of(resource={"type": "tool", "id": f"bank:{CANARY}"})),
        place.orch("evaluate", "-", given=request_of(subject={"type": "agent", "id": f"agent:{CANARY}"})),
        place.orch("evaluate", "-", given=request_of(action={"name": CANARY})),
        place.orch("evaluate", "-", given=request_of()[:-9]),
    ]  # fmt: skip

    assert [done.returncode for done in runs[:2]] == [0, 0]
    for done in runs:
        clean(done)
        assert "Traceback" not in done.stderr
    for done in runs[:3]:
        assert_clean("stderr", done.stderr.encode())
    with sqlite3.connect(place.folder / "ledger" / "ledger.db") as database:
        assert database.execute("SELECT count(*) FROM events WHERE type = 'orch.decision'").fetchone()[0] >= 3
        dump = "\n".join(database.iterdump())
    database.close()
    assert "[masked]" in "".join(bytes.fromhex(found).decode() for found in hexes(dump))
    for name, data in kept(place):
        assert_clean(name, data)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--action", "comment", "--run", f"run-{CANARY}"),
        ("--action", CANARY),
        ("--action", "comment", "--now", CANARY),
        ("--action", "comment", "--ledger", f"mysql://u:{PASSWORD}@db/x"),
        ("--action", "comment", "--ledger", f"postgresql:/u:{PASSWORD}@db/x"),
        ("--action", "comment", "--ledger", f"postgres:u:{PASSWORD}@db/x"),
        ("--action", "comment", "--ledger", f"/nowhere/{CANARY}"),
    ],
    ids=["a run", "an action", "a time", "a ledger", "a slash too few", "no slash", "a folder"],
)
def test_no_error_holds_a_secret(place: Place, arguments: tuple[str, ...]) -> None:
    done = place.orch("evaluate", *arguments)

    assert "Traceback" not in done.stderr
    assert_clean("stderr", done.stderr.encode())


def hexes(dump: str) -> list[str]:
    """Return the payloads in an SQL dump."""
    return [
        line.split("X'")[2].split("'")[0] for line in dump.splitlines() if line.startswith('INSERT INTO "payloads"')
    ]


def test_an_artifact_holds_no_secret(place: Place) -> None:
    git = shutil.which("git")
    assert git
    report = place.folder / f"report-{PASSWORD}.xml"
    xml = CANARY.replace("&", "&amp;").replace('"', "&quot;")
    encoded = base64.b64encode(b"ab" + CANARY.encode()).decode()
    report.write_text(
        "<testsuite tests='1' failures='0'><testcase classname='a' name='b'>"
        f"<system-out>{xml} {encoded} {urllib.parse.quote(CANARY)}\nDB_PASSWORD={OTHERS['member']} {OTHERS['github']}"
        f"</system-out></testcase></testsuite>\n",
        encoding="utf-8",
    )
    binary = place.folder / "report.bin"
    binary.write_bytes(b"\0\xff" + CANARY.encode() + b"\0" + CANARY.encode("utf-16-le") + b"\xff" + encoded.encode())

    runs = [
        place.orch("evidence", "add", kind, file, "--stated", "--repo", "acme/web", "--action-digest", "sha256:" + "0" * 64, *more)
        for kind, file, more in (("tests", report, ()), ("other", binary, ("--result", "pass")))
    ]  # fmt: skip

    for done in runs:
        clean(done)
        assert_clean("stderr", done.stderr.replace(str(report), "").encode())
    blobs = list((place.folder / "ledger" / "artifacts").rglob("*"))
    assert sum(blob.is_file() for blob in blobs) == 2
    for name, data in kept(place):
        assert_clean(name, data)


def test_what_is_exported_and_shown_holds_no_secret(place: Place) -> None:
    place.orch("evaluate", "-", given=request_of())
    bundle = place.folder / "export"

    shown = place.orch("ledger", "show", "-o", "json")
    exported = place.orch("ledger", "export", bundle)

    assert (shown.returncode, exported.returncode) == (0, 0), shown.stderr + exported.stderr
    assert_clean("show", (shown.stdout + shown.stderr).encode())
    files = [bundle] if bundle.is_file() else [file for file in bundle.rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert_clean("export", file.read_bytes())
