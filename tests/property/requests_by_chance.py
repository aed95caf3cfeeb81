"""Requests and facts out of chance: most of them sound, many with something missing, null, empty or of the wrong type."""

# ruff: noqa: ANN401  # values here are JSON of any kind

from random import Random
from typing import Any

import words
from votes_by_chance import LEDGER, REQUEST, tokens

from orchestrator.catalogue import CATALOGUE

ACTION_DIGEST = "sha256:action"
CHANGE_DIGEST = "sha256:change"


def request(chance: Random) -> dict[str, Any]:
    """Return one INPUT that fits the catalogue, as the host would pass it on."""
    if chance.random() < 0.01:
        facts = {**_facts(chance, ""), "request_errors": ["resource.properties.branch: missing"]}
        return {"subject": {}, "action": {}, "resource": {}, "context": {}, "facts": facts}
    name = chance.choice((*words.BUILT_IN, *words.DECLARED))
    kind, identity = chance.choice(words.SUBJECTS)
    subject: dict[str, Any] = {"type": kind, "id": identity}
    if chance.random() < 0.5:
        subject["properties"] = {
            "on_behalf_of": chance.choice(("user:alice", "alice", ["user:bob", "dan", 5], [], None, 5))
        }
    full = identity if identity.startswith(f"{kind}:") else f"{kind}:{identity}"
    return {
        "subject": subject,
        "action": {"name": name, "properties": _arguments(chance, name)},
        "resource": _resource(chance, name),
        "context": _context(chance),
        "facts": _facts(chance, full),
    }


def _arguments(chance: Random, name: str) -> dict[str, Any]:
    known = CATALOGUE.get(name)
    can = words.ARGUMENTS if known is None or known.arguments is None else tuple(sorted(known.arguments))
    return {each: _value(chance, each) for each in can if chance.random() < 0.6}


def _value(chance: Random, name: str) -> Any:  # noqa: PLR0911  # a name each
    if chance.random() < 0.25:
        return chance.choice(words.VALUES)
    match name:
        case "items":
            return [_item(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
        case "tags":
            return [chance.choice(words.VALUES) for _ in range(chance.choice((0, 1, 2)))]
        case "url":
            return chance.choice(words.URLS)
        case "nested":
            inner = [{"x": {"y": chance.choice(words.VALUES)}}, {"x": 1}, 5][: chance.choice((0, 1, 1, 2, 3))]
            return {"deep": chance.choice(words.VALUES), "list": inner}
        case "recipient" | "to" | "title" | "body":
            return chance.choice(("alice", "main", "user:alice", "größe", "5"))
    return chance.choice(words.VALUES)


def _item(chance: Random) -> Any:
    if chance.random() < 0.1:
        return chance.choice((5, None, [], "main"))
    item: dict[str, Any] = {}
    if chance.random() < 0.8:
        item["type"] = chance.choice(("main", "alice", "5", 5, None, True, ["main", "alice"]))
    if chance.random() < 0.6:
        item["tags"] = chance.choice((["main"], ["main", "alice"], [], [["main"], "alice"], [5, None], "main"))
    return item


def _resource(chance: Random, name: str) -> dict[str, Any]:
    known = CATALOGUE.get(name)
    kind = known.resource if known else chance.choice(("repository", "tool", "vault"))
    identity = {"repository": words.REPOSITORIES, "tool": words.TOOLS}.get(kind, ("thing", "acme/web"))
    can = known.has if known else ("branch", "head_branch", "files", "env")
    properties = {}
    for each in sorted(can):
        if chance.random() < 0.85:
            properties[each] = _property(chance, each)
    resource: dict[str, Any] = {"type": kind, "id": chance.choice(identity)}
    if properties or chance.random() < 0.5:
        resource["properties"] = properties
    return resource


def _property(chance: Random, name: str) -> Any:
    odd = chance.random() < 0.08
    if name == "files":
        if odd:
            return chance.choice((None, [], [], "src/a.py", {"path": "src/a.py"}, 5))
        return [_file(chance, path) for path in chance.sample(words.FILES, chance.choice((1, 1, 2, 2, 3, 5)))]
    if odd:
        return chance.choice((None, [], ["main"], 5, True, {}))
    return chance.choice(words.BRANCHES) if chance.random() < 0.6 else "main"


def _file(chance: Random, path: str) -> dict[str, Any]:
    file: dict[str, Any] = {"path": path}
    if chance.random() < 0.7:
        file |= {
            "status": chance.choice("AMD"),
            "mode": chance.choice(("100644", "100755", "120000", 5)),
            "blob": "9f2c",
        }
    return file


def _context(chance: Random) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for name in ("ticket", "ip"):
        if chance.random() < 0.6:
            context[name] = chance.choice(words.VALUES)
    if chance.random() < 0.5:
        context["urls"] = chance.sample(words.URLS, chance.choice((1, 1, 2)))
    return context


def _facts(chance: Random, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "request_errors": [],
        "point": chance.choice(("ci", "tick", "agent", "run", "api")),
        "time": words.NOW
        if chance.random() < 0.9
        else chance.choice(("2026-03-01T12:00:00.000000001Z", "2026-03-01T13:00:00+01:00")),
        "override": chance.choice((None, None, None, None, "enforce", "warn")),
        "action_digest": ACTION_DIGEST,
        "change_digest": chance.choice((None, CHANGE_DIGEST)),
    }
    if chance.random() < 0.7:
        facts["subject"] = {"name": name, "roles": chance.sample(words.ROLES, chance.choice((0, 1, 2)))}
        facts["subject"]["attributes"] = chance.choice(({}, {"mail": "alice"}, {"mail": "user:alice"}))
    some = {
        "repository": ("acme/web", "ACME/web", "other/tool", "none", None),
        "stage": (*words.STAGES, *words.STAGES, "moon", None),
        "run": ({"id": "r1"}, {"id": "r1"}, None),
        "delegation": (["user:carol"], [], None),
        "trigger": ("user:dan", None),
        "contributors": (["user:bob"], [], ["user:alice", "user:carol"]),
    }
    facts |= {key: chance.choice(values) for key, values in some.items() if chance.random() < 0.7}
    return facts | _known(chance)


def _known(chance: Random) -> dict[str, Any]:
    """Return evidence, votes and counters."""
    known: dict[str, Any] = {}
    if chance.random() < 0.7:
        known["evidence"] = [_proof(chance) for _ in range(chance.choice((0, 1, 2, 3)))]
    if chance.random() < 0.7:
        known["approvals"] = [_vote(chance) for _ in range(chance.choice((0, 1, 2, 4, 7)))]
    if chance.random() < 0.6:
        known["votes"] = tokens(chance, (ACTION_DIGEST, CHANGE_DIGEST))
    if chance.random() < 0.9:
        known |= {"ledger": LEDGER, "request_id": REQUEST}
    if chance.random() < 0.2:
        known["owed"] = [_debt(chance) for _ in range(chance.choice((0, 1, 1, 2, 4)))]
    if chance.random() < 0.9:
        is_full = chance.random() < 0.85
        known["budgets"] = [_counter(chance, budget) for budget in words.BUDGETS if is_full or chance.random() < 0.5]
    return known


def _proof(chance: Random) -> dict[str, Any]:
    proof = {
        "type": chance.choice(words.EVIDENCE),
        "result": chance.choice(("pass", "pass", "fail")),
        "subject": chance.choice((ACTION_DIGEST, CHANGE_DIGEST, CHANGE_DIGEST, "sha256:other")),
    }
    return proof | chance.choice(({}, {"digest": "sha256:1"}, {"digest": "sha256:2"}))


def _debt(chance: Random) -> dict[str, Any]:
    of = chance.choice((ACTION_DIGEST, "sha256:earlier", "sha256:another"))
    return {"evidence": chance.choice(words.EVIDENCE), "of": of}


def _vote(chance: Random) -> dict[str, Any]:
    minutes = (
        "T12:00:00Z",
        "T11:30:00Z",
        "T11:30:00Z",
        "T11:00:00Z",
        "T11:00:00.000000001Z",
        "T10:00:00Z",
        "T12:00:01Z",
    )
    at = chance.choice(
        (*(f"2026-03-01{each}" for each in minutes), "2026-02-28T11:00:00Z", "2026-03-01T13:00:00+02:00")
    )
    vote: dict[str, Any] = {
        "role": chance.choice((*words.ASKED_ROLES, *words.ASKED_ROLES, *words.ROLES)),
        "by": chance.choice(words.PEOPLE),
        "at": at if chance.random() < 0.97 else chance.choice(("yesterday", None)),
        "digest": chance.choice((ACTION_DIGEST, CHANGE_DIGEST, CHANGE_DIGEST, "sha256:other")),
    }
    if chance.random() < 0.4:
        vote["decision"] = chance.choice(("approve", "reject"))
    if chance.random() < 0.2:
        vote["via"] = "github"
    return vote


def _counter(chance: Random, budget: tuple[str, str, str | None]) -> dict[str, Any]:
    meter, per, window = budget
    counter: dict[str, Any] = {"meter": meter, "per": per}
    if window or chance.random() < 0.5:
        counter["window"] = window
    spent = chance.choice((0, 0, 0, 400_000, 500_000, 800_000, 999_999, 1_000_000, 2_500_000))
    return counter | {
        "spent": spent,
        "reserved": chance.choice((0, 0, 500_000)),
        "estimate": chance.choice((0, 0, 1, 1_500_000)),
    }
