"""The model itself, held to examples computed by hand from `docs/decision.md`."""

# ruff: noqa: ANN401  # values here are JSON of any kind

from dataclasses import replace
from typing import Any

import pytest
from generate import HERE
from model import answer
from reading import elements, glob, host, nanoseconds
from words import NOW, NOW_NS

from orchestrator.model import (
    Approval,
    Budget,
    Condition,
    Default,
    Effect,
    Layer,
    Level,
    Mode,
    Operator,
    Pack,
    PackSet,
    Point,
    Rule,
    Scalar,
    Severity,
    Waiver,
)


def _rule(name: str, effect: Effect, level: Level | None = None, **more: Any) -> Rule:
    return Rule(id=name, effect=effect, actions=("*",), source=HERE, level=level, severity=Severity.HIGH, **more)


def _pack(*rules: Rule, layer: Layer = Layer.ORG, default: Default = Default.INHERIT, **more: Any) -> Pack:
    name = more.pop("name", "p")
    return Pack(name=name, version="1.0.0", layer=layer, default=default, source=HERE, digest="", rules=rules, **more)


def _request(action: str = "open_pr", *, facts: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "request_errors": [],
        "point": "run",
        "time": NOW,
        "override": None,
        "action_digest": "A",
        "change_digest": "C",
    }
    return {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": action, "properties": {}},
        "resource": {"type": "repository", "id": "acme/web", "properties": properties},
        "context": {},
        "facts": known | (facts or {}),
    }


def _files(*paths: str) -> list[dict[str, str]]:
    return [{"path": path} for path in paths]


DENY_MAIN = _rule("d", Effect.DENY, Level.HARD, selectors={"branches": ("main",)})
ALLOW_SRC = _rule("a", Effect.ALLOW, selectors={"file_globs": ("src/**",)})
ASK_SRE = _rule("q", Effect.REQUIRE, Level.SOFT, approvals=(Approval("sre"),))


@pytest.mark.parametrize(
    ("pattern", "text", "separator", "expected"),
    [
        ("**/x.py", "x.py", "/", True),
        ("a/**/b", "a/b", "/", True),
        ("a/**/b", "a/c/d/b", "/", True),
        ("a/**/b", "a/xb", "/", False),
        ("src/**", "src/a/b", "/", True),
        ("src/**", "src", "/", False),
        ("src/**", "src/", "/", True),
        ("*.py", "a/x.py", "/", False),
        ("a**b", "a/x/b", "/", True),
        ("a?b", "a/b", "/", False),
        ("?", "\U0001f600", "/", True),
        ("{a,{b,c}}/x", "c/x", "/", True),
        ("{,src/}a.py", "a.py", "/", True),
        ("[a]", "a", "/", False),
        ("[a]", "[a]", "/", True),
        ("!a\\*", "!a\\bc", "/", True),
        ("*", ".hidden", "/", True),
        ("*", "a\nb", "/", True),
        ("bank:*", "bank:send", ":", True),
        ("*", "bank:send", ":", False),
        ("bank:*", "bank:pay/out", ":", True),
        ("agent:*", "agent:a/b:c", "", True),
        ("*.acme.com", "acme.com", ".", False),
        ("*.acme.com", "a.acme.com", ".", True),
        ("*.acme.com", "a.b.acme.com", ".", False),
    ],
)
def test_glob(pattern: str, text: str, separator: str, expected: bool) -> None:  # noqa: FBT001  # a table's column
    """Globs mean what the table of the page says."""
    assert glob(pattern, text, separator) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://A.acme.com.:8080/x", "a.acme.com"),
        ("https://A.acme.com:8080/x", "a.acme.com"),
        ("https://acme.com./", "acme.com"),
        ("https://evil.net?x=.acme.com/y", "evil.net"),
        ("https://acme.com@evil.net/", None),
        ("https://evil.net\\.acme.com/", None),
        ("ftp://acme.com", None),
        ("acme.com", None),
        ("https://a\u212ame.com", None),
    ],
)
def test_host(url: str, expected: str | None) -> None:
    """A host is what the URL really names, or in doubt."""
    assert host(url) == expected


def test_elements() -> None:
    """A path through lists gives every element, and one missing element where there is nothing."""
    request = {"action": {"properties": {"list": [{"x": 1}, {}, 5, {"x": [2, None, []]}], "empty": [], "one": 7}}}

    assert _shown(elements(request, "action.properties.list[].x")) == [1, "?", "?", 2, "?", "?"]
    assert _shown(elements(request, "action.properties.empty")) == ["?"]
    assert _shown(elements(request, "action.properties.one[]")) == ["?"]
    assert _shown(elements(request, "action.properties.one.two")) == ["?"]
    assert _shown(elements(request, "context.nothing")) == ["?"]


def _shown(found: list[Any]) -> list[Any]:
    return [each if isinstance(each, int) else "?" for each in found]


def test_time() -> None:
    """Times are read to the nanosecond, in any zone."""
    assert nanoseconds("2026-03-01T13:00:00.000000001+01:00") == NOW_NS + 1
    assert nanoseconds("yesterday") is None


def test_doubt_is_strict() -> None:
    """A missing branch leaves a deny matching and an allow not."""
    allow = _rule("a", Effect.ALLOW, selectors={"branches": ("main",)})

    assert answer(PackSet((_pack(DENY_MAIN, default=Default.ALLOW),)), _request()).outcome == "deny"
    assert answer(PackSet((_pack(allow),)), _request()).reason == "no_policy"
    assert answer(PackSet((_pack(allow),)), _request(branch="main")).outcome == "allow"


def test_what_an_action_cannot_have_is_known() -> None:
    """A comment has no branch: the deny is about something else."""
    given = answer(PackSet((_pack(DENY_MAIN, default=Default.ALLOW),)), _request("comment"))

    assert given.outcome == "allow"
    assert given.findings == ()


def test_files_are_judged_one_by_one() -> None:
    """One file that nothing allows denies the request, and the default names it."""
    packs = PackSet((_pack(ALLOW_SRC, default=Default.DENY),))

    both = answer(packs, _request(branch="main", files=_files("src/a.py", "b.py")))

    assert (both.outcome, both.reason) == ("deny", "denied")
    assert [(found.rule, found.paths) for found in both.findings] == [("p/a", ("src/a.py",)), ("p/default", ("b.py",))]
    assert answer(packs, _request(branch="main", files=_files("src/a.py"))).outcome == "allow"
    assert answer(packs, _request(branch="main", files=[])).outcome == "deny"


@pytest.mark.parametrize(
    ("name", "values", "value", "effect", "expected"),
    [
        ("equals", (1,), True, Effect.ALLOW, "deny"),
        ("not_in", (1,), True, Effect.ALLOW, "deny"),
        ("not_in", (1,), 2, Effect.ALLOW, "allow"),
        ("max", (100,), "50", Effect.ALLOW, "deny"),
        ("max", (100,), 50, Effect.ALLOW, "allow"),
        ("max", (100,), [50, 101], Effect.ALLOW, "deny"),
        ("above", (100,), [50, 101], Effect.DENY, "deny"),
        ("above", (100,), [50, 60], Effect.DENY, "allow"),
        ("above", (100,), [50, "x"], Effect.DENY, "deny"),
        ("exists", (False,), None, Effect.ALLOW, "allow"),
        ("exists", (True,), [], Effect.ALLOW, "deny"),
    ],
)
def test_conditions(name: str, values: tuple[Scalar, ...], value: Any, effect: Effect, expected: str) -> None:
    """An allow needs every element, a deny one; a wrong type is doubt."""
    when = (Condition("context.n", (Operator(name, values, HERE),), HERE),)
    rule = _rule("r", effect, Level.HARD if effect is Effect.DENY else None, when=when)
    default = Default.ALLOW if effect is Effect.DENY else Default.DENY

    assert answer(PackSet((_pack(rule, default=default),)), {**_request(), "context": {"n": value}}).outcome == expected


def test_a_delegate_needs_the_repository() -> None:
    """What org hands down is allowed where a pack of that very repository allows it."""
    org, repo = _pack(_rule("h", Effect.DELEGATE)), _pack(_rule("a", Effect.ALLOW), layer=Layer.REPO)

    assert answer(PackSet((org,)), _request()).reason == "no_policy"
    assert answer(PackSet((org, repo), repository="ACME/web"), _request()).outcome == "allow"
    assert answer(PackSet((org, repo), repository="acme/api"), _request()).outcome == "deny"
    assert answer(PackSet((org, repo)), _request()).outcome == "deny"
    assert answer(PackSet((repo,), repository="acme/web"), _request()).reason == "no_policy"


def test_a_warning_pack_only_warns() -> None:
    """`outcome` leaves its denies out, `would` does not."""
    pack = _pack(DENY_MAIN, default=Default.DENY, enforcement={Point.RUN: Mode.WARN})
    given = answer(PackSet((pack,)), _request(branch="main"))

    assert (given.outcome, given.would, given.reason) == ("allow", "deny", "warned")
    assert [(found.rule, found.mode) for found in given.findings] == [("p/d", "warn")]


def test_a_waiver_lifts_a_soft_rule_for_its_files() -> None:
    """The rest of the files still counts."""
    deny = _rule("d", Effect.DENY, Level.SOFT, selectors={"file_globs": ("*.tf",)})
    waiver = Waiver("w", ("p/d",), {"file_globs": ("a.tf",)}, "", "", "", (), NOW_NS, NOW_NS + 1, False, HERE)
    packs = PackSet((_pack(deny, default=Default.ALLOW),), (waiver,))

    both = answer(packs, _request(files=_files("a.tf", "b.tf")))

    assert both.outcome == "deny"
    assert [(found.waived, found.paths) for found in both.findings] == [(False, ("b.tf",)), (True, ("a.tf",))]
    assert answer(packs, _request(files=_files("a.tf"))).outcome == "allow"
    late = replace(packs, waivers=(replace(waiver, expires_at_ns=NOW_NS),))
    assert answer(late, _request(files=_files("a.tf"))).outcome == "deny"


def _votes(*votes: tuple[str, str, str]) -> dict[str, Any]:
    return {"approvals": [{"role": role, "by": by, "at": NOW, "digest": digest} for role, by, digest in votes]}


def test_votes() -> None:
    """A vote counts by another person, for this very change."""
    packs = PackSet((_pack(ASK_SRE, default=Default.ALLOW),))

    assert answer(packs, _request()).outcome == "pending"
    assert answer(packs, _request(facts=_votes(("sre", "user:bob", "C")))).outcome == "allow"
    assert answer(packs, _request(facts=_votes(("sre", "agent:fixer", "C")))).outcome == "pending"
    assert answer(packs, _request(facts=_votes(("sre", "user:bob", "A")))).outcome == "pending"
    excluded = _votes(("sre", "user:bob", "C")) | {"contributors": ["user:bob"]}
    assert answer(packs, _request(facts=excluded)).outcome == "pending"


def test_budgets() -> None:
    """With a run a spent budget denies and a missing counter is undecidable; without one it is advice."""
    packs = PackSet((_pack(_rule("a", Effect.ALLOW, budgets=(Budget("usd", "run", 100),))),))
    run = {"run": {"id": "r"}}

    def with_spent(spent: int, estimate: int = 0) -> dict[str, Any]:
        counter = {"meter": "usd", "per": "run", "spent": spent, "reserved": 0, "estimate": estimate}
        return _request(facts={**run, "budgets": [counter]})

    assert answer(packs, _request()).advice == (("budget_without_run", "budget:usd:run"),)
    assert answer(packs, _request(facts=run)).reason == "undecidable"
    assert answer(packs, with_spent(79)).advice == ()
    assert answer(packs, with_spent(80, 20)).advice == (("budget_low", "budget:usd:run"),)
    assert answer(packs, with_spent(80, 21)).reason == "budget_spent"
    assert answer(packs, with_spent(100)).reason == "budget_spent"


def test_an_invalid_request_is_denied_in_every_mode() -> None:
    """Nothing else is said of it."""
    given = answer(PackSet(()), _request(facts={"request_errors": ["x"], "override": "warn"}))

    assert (given.outcome, given.would, given.reason) == ("deny", "deny", "invalid_request")
    assert [found.rule for found in given.findings] == ["orch/invalid-request"]
