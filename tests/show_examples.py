"""Decisions by hand, one of each kind, for the tests of what people and machines see."""

from typing import Any

from orchestrator.decision import Decision

POLICY = {
    "digest": "sha256:3f9a1c0de4b2775561aa",
    "packs": [
        {"name": "acme-baseline", "version": "1.4.0", "layer": "org", "mode": "enforce", "digest": "sha256:aa"},
        {"name": "web", "version": "0.2.0", "layer": "repo", "mode": "warn", "digest": "sha256:bb"},
    ],
}


def request(**changed: object) -> dict[str, Any]:
    """Return a request of agent:fixer to open a pull request, with some of its resource's properties changed."""
    properties = {
        "branch": "main",
        "head_branch": "agent/fix-login",
        "files": [{"path": "src/login.py", "status": "M", "mode": "100644", "blob": "9f2c"}],
        **changed,
    }
    return {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": "open_pr", "properties": {"title": "Fix login"}},
        "resource": {"type": "repository", "id": "acme/web", "properties": properties},
        "context": {},
    }


def finding(rule: str = "acme-baseline/no-ci-changes", **changed: object) -> dict[str, Any]:
    """Return a hard deny, with some of it changed."""
    return {
        "rule": rule,
        "effect": "deny",
        "level": "hard",
        "severity": "high",
        "mode": "enforce",
        "waived": False,
        "message": "agents do not change the CI configuration",
        "fix": "git checkout origin/main -- .github",
        "source": "packs/acme.yaml:31",
        "paths": [],
        "path_count": 0,
        **changed,
    }


def obligation(name: str, **changed: object) -> dict[str, Any]:
    """Return an unmet obligation whose type is what `name` begins with."""
    return {
        "id": name,
        "type": name.partition(":")[0],
        "phase": "before",
        "mode": "enforce",
        "status": "unmet",
        "properties": {},
        "proof": [],
        **changed,
    }


def decision(
    outcome: str = "allow",
    reason: str = "allowed",
    *,
    asked: dict[str, Any] | None = None,
    label: str = "",
    **changed: object,
) -> Decision:
    """Return a decision about `asked`, with some of its context changed."""
    context = {
        "outcome": outcome,
        "would": outcome,
        "reason": reason,
        "evaluation_id": "0197f3a2-0000-7000-8000-000000000001",
        "evaluated_at": "2026-03-01T12:00:00Z",
        "point": "ci",
        "mode": "enforce",
        "claimed": False,
        "input_digest": "sha256:11",
        "action_digest": "sha256:22",
        "policy": POLICY,
        "findings": [],
        "obligations": [],
        "advice": [],
        "next_action": "",
        **changed,
    }
    return Decision(asked if asked is not None else request(), context, label)


ALLOWED_BY = finding(
    "acme-baseline/agent-actions",
    effect="allow",
    level=None,
    severity="info",
    message="",
    fix="",
    source="packs/acme.yaml:50",
)
SRE = finding(
    "acme-baseline/infra-needs-sre",
    effect="require",
    level="soft",
    severity="medium",
    message="changes of the infrastructure are looked at by the people on call",
    fix="",
    source="packs/acme.yaml:40",
    paths=["infra/main.tf"],
    path_count=1,
)
TWO_VOTES = obligation(
    "approval:sre",
    properties={"role": "sre", "count": 2, "bind": "changes", "expires_s": 86400, "votes": 1},
    proof=["user:alice"],
)
TESTS = obligation("evidence:tests", properties={"evidence": "tests"}, status="met", proof=["sha256:77aa77aa77aa77aa"])
PROVENANCE = obligation("evidence:provenance", properties={"evidence": "provenance"}, phase="after")


def usd(spent: str) -> dict[str, Any]:
    """Return a budget of 5.00 a run of which `spent` is gone."""
    figures = {
        "meter": "usd",
        "per": "run",
        "window": None,
        "limit": "5.00",
        "warn_at": 80,
        "spent": spent,
        "reserved": "0.25",
    }
    return obligation("budget:usd:run", phase="during", status="met", properties=figures)


def allowed() -> Decision:
    """Give a request that an allow rule covers."""
    return decision(findings=[ALLOWED_BY], obligations=[usd("1.20")])


def denied() -> Decision:
    """Give a request denied for seven files, with a way out."""
    paths = [
        f".github/workflows/{name}.yml" for name in ("build", "check", "deploy", "lint", "nightly", "release", "test")
    ]
    found = finding(paths=paths, path_count=7)
    return decision(
        "deny",
        "denied",
        findings=[found, ALLOWED_BY],
        next_action="leave these files alone, or ask a person to change them",
    )


def pending() -> Decision:
    """Give a request that waits for one more vote; its tests have passed and its provenance may come later."""
    return decision(
        "pending",
        "pending",
        findings=[SRE, ALLOWED_BY],
        obligations=[TWO_VOTES, PROVENANCE, TESTS],
        next_action="one more person of role sre approves: orch approve --action-digest sha256:22",
    )


def warned() -> Decision:
    """Give a request that is allowed only because the pack warns here."""
    found = finding(
        "repo:web/small-changes",
        mode="warn",
        level="soft",
        severity="medium",
        source=".orch/packs/web.yaml:9",
        message="a change of an agent touches at most 20 files",
        fix="",
        path_count=0,
    )
    return decision(
        "allow",
        "warned",
        would="deny",
        findings=[found, ALLOWED_BY],
        advice=["pack web only warns at ci; to enforce it, set enforcement.ci to enforce"],
    )


def waived() -> Decision:
    """Give a request allowed because a waiver lifts the rule against it; an advisory rule has its say too."""
    lifted = finding(
        "acme-baseline/no-lock-files",
        level="soft",
        waived=True,
        fix="",
        source="packs/acme.yaml:60",
        message="lock files are changed by the update job only",
        paths=["uv.lock"],
        path_count=1,
    )
    hint = finding(
        "acme-baseline/say-why",
        level="advisory",
        severity="low",
        fix="",
        source="packs/acme.yaml:71",
        message="a pull request of an agent names its task",
    )
    return decision(findings=[lifted, hint, ALLOWED_BY])


def spent() -> Decision:
    """Give a request denied because the run has used its budget up."""
    return decision("deny", "budget_spent", findings=[ALLOWED_BY], obligations=[usd("5.00")])


def invalid() -> Decision:
    """Give a request that is none."""
    found = finding("orch/invalid-request", message="resource.properties.branch is missing", fix="", source="")
    return decision("deny", "invalid_request", findings=[found], asked={"action": {"name": "open_pr"}, "subject": "me"})


def undecidable() -> Decision:
    """Give a request nobody could judge."""
    return decision("deny", "undecidable", advice=["no counter for budget usd per run"], claimed=True)


def many() -> list[Decision]:
    """Give one of each kind, labelled as lines of a file."""
    kinds = (allowed, allowed, denied, pending, allowed, warned, waived, spent, invalid, undecidable)
    return [
        Decision(made.request, made.context, f"requests.jsonl:{line}")
        for line, made in enumerate((kind() for kind in kinds), start=1)
    ]


SINGLE = {kind.__name__: kind for kind in (allowed, denied, pending, warned, waived, spent, invalid, undecidable)}
"""One decision of each kind, by name."""

HOSTILE = (
    "x\x1b]0;owned\x07\r\n::error::gotcha##[warning]x\u202egnp.exe\u200b\ud800\x9b31m%0A,a:b|c`d``e"
    "]]><script>alert(1)</script>[click](http://evil.example) @everyone #1 GH-2 # TODO \\ \"q\" 'a' www.evil.example &amp;"
)
"""One name that tries everything."""


def hostile() -> Decision:
    """Give a decision whose every text from outside is hostile."""
    found = finding(message=HOSTILE, fix=HOSTILE, source=HOSTILE + ":3", paths=[HOSTILE, "::error::x"], path_count=2)
    asked = request(branch=HOSTILE, head_branch=HOSTILE)
    asked["subject"] = {"type": "agent", "id": HOSTILE}
    asked["resource"]["id"] = HOSTILE
    owed = obligation("approval:" + HOSTILE, properties={"role": HOSTILE, "count": 1, "votes": 0}, proof=[HOSTILE])
    context = {"findings": [found], "obligations": [owed], "advice": [HOSTILE], "next_action": HOSTILE}
    return decision("deny", "denied", asked=asked, label=HOSTILE, **context)
