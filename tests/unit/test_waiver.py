"""A waiver lifts soft org rules only, somewhere, for a while, with two people's yes."""

import pytest

from orchestrator.clock import parse_time
from orchestrator.errors import PackError
from orchestrator.link import empty, link
from orchestrator.model import Layer, PackSet
from orchestrator.pack import load_documents

PACK = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: base}
default: deny
rules:
  - {id: soft-one, effect: deny, level: soft, actions: push_branch}
  - {id: hard-one, effect: deny, actions: push_branch}
  - {id: open, effect: allow, actions: push_branch}
"""
ROSTER = """apiVersion: orch/v1
kind: Roster
metadata: {name: people}
subjects:
  user:alice: {roles: [sre], attributes: {mail: alice@acme.com}}
  user:bob: {roles: [sre]}
  user:carol: {roles: [dev]}
"""
WAIVER = """apiVersion: orch/v1
kind: Waiver
metadata: {name: hotfix}
rules: base/soft-one
scope: {repositories: acme/web, branches: ["release/**"]}
reason: the mirror is down
ticket: OPS-1
requested_by: user:carol
approved_by: [user:alice, user:bob]
from: 2026-01-01T00:00:00Z
expires_at: 2026-02-01T00:00:00+01:00
"""


def load(waiver: str) -> PackSet:
    files = [("pack.yaml", PACK.encode()), ("people.yaml", ROSTER.encode()), ("w.yaml", waiver.encode())]
    org = load_documents(files, Layer.ORG)
    return link(org, empty(Layer.REPO), [], repository=None, is_claimed=False)


def test_a_waiver_is_read() -> None:
    (waiver,) = load(WAIVER).waivers

    assert waiver.rules == ("base/soft-one",)
    assert waiver.scope == {"repositories": ("acme/web",), "branches": ("release/**",)}
    assert (waiver.from_ns, waiver.expires_at_ns) == (
        parse_time("2026-01-01T00:00:00Z"),
        parse_time("2026-01-31T23:00:00Z"),
    )
    assert (waiver.requested_by, waiver.approved_by, waiver.break_glass) == (
        "user:carol",
        ("user:alice", "user:bob"),
        False,
    )


def test_actions_are_part_of_the_scope() -> None:
    (waiver,) = load(WAIVER.replace("repositories: acme/web, branches", "actions: push_branch, branches")).waivers

    assert waiver.scope == {"actions": ("push_branch",), "branches": ("release/**",)}


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("base/soft-one", "base/hard-one", "w.yaml:4:8: `base/hard-one`, a hard rule; expected a soft rule"),
        ("base/soft-one", "base/open", "an allow rule"),
        ("base/soft-one", "base/soft-on", "did you mean `base/soft-one`?"),
        ("base/soft-one", "repo:base/soft-one", "the name of an org rule"),
        ("base/soft-one", "[]", "an empty list"),
        ('{repositories: acme/web, branches: ["release/**"]}', "{}", "w.yaml:5:8: a scope that is everywhere"),
        (
            'repositories: acme/web, branches: ["release/**"]',
            "repositories: '*/*', branches: '**'",
            "a scope that is everywhere",
        ),
        ('repositories: acme/web, branches: ["release/**"]', "subjects: '*'", "a scope that is everywhere"),
        ('repositories: acme/web, branches: ["release/**"]', "actions: '*'", "a scope that is everywhere"),
        (
            'repositories: acme/web, branches: ["release/**"]',
            "repositories: ['acme/web', '{**,x}']",
            "a scope that is everywhere",
        ),
        ("repositories: acme/web", "repository: acme/web", "expected `repositories`"),
        ("repositories: acme/web", "actions: push_brnch", "did you mean `push_branch`?"),
        ("repositories: acme/web", "actions: comment, file_globs: x", "which cannot have `files`"),
        ("reason: the mirror is down\n", "", "a key is missing; expected `reason` here"),
        ("ticket: OPS-1", "ticket: ''", "an empty text; expected some text"),
        ("[user:alice, user:bob]", "[user:alice]", "1 approver; expected two different people"),
        ("[user:alice, user:bob]", "[user:alice, user:alice]", "1 approver"),
        ("[user:alice, user:bob]", "[user:alice, user:carol]", "`user:carol`, who asked for it"),
        ("[user:alice, user:bob]", "[user:alice, user:eve]", "`user:eve`, who is not in the roster"),
        ("[user:alice, user:bob]", "[user:alice, agent:bob]", "expected a person of the roster"),
        ("requested_by: user:carol", "requested_by: user:carl", "did you mean `user:carol`?"),
        ("requested_by: user:carol", "requested_by: carol", "a subject's name"),
        (
            "from: 2026-01-01T00:00:00Z",
            "from: 2026-01-01",
            "w.yaml:10:7: `2026-01-01`; expected a time with its offset",
        ),
        ("expires_at: 2026-02-01T00:00:00+01:00\n", "", "a key is missing; expected `expires_at` here"),
        ("expires_at: 2026-02-01T00:00:00+01:00", "expires_at: 2026-02-01T00:00:00", "a time with its offset"),
        ("expires_at: 2026-02-01", "expires_at: 2025-02-01", "not after its beginning"),
        ("expires_at: 2026-02-01", "expires_at: 2026-05-01", "more than 90 days"),
        (
            "expires_at: 2026-02-01T00:00:00+01:00",
            "expires_at: 2026-01-01T04:00:01Z\nbreak_glass: true",
            "more than 4 hours",
        ),
    ],
)
def test_a_waiver_that_lifts_too_much_is_refused(old: str, new: str, seen: str) -> None:
    with pytest.raises(PackError) as caught:
        load(WAIVER.replace(old, new))

    assert seen in str(caught.value)


def test_an_emergency_lasts_four_hours() -> None:
    (waiver,) = load(WAIVER.replace("2026-02-01T00:00:00+01:00", "2026-01-01T04:00:00Z\nbreak_glass: true")).waivers

    assert waiver.break_glass


def test_two_waivers_have_two_names() -> None:
    with pytest.raises(PackError, match=r"w\.yaml:15:18: a second waiver `hotfix`"):
        load(WAIVER + "---\n" + WAIVER)
