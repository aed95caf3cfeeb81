"""A small world to vote in: packs with a roster of real keys, a real engine that answers, and a ledger."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import approvals, ballot, keys, known
from orchestrator.approvals import Cast, Request
from orchestrator.ballot import Ballot
from orchestrator.decide import Circumstances, Policy, Question
from orchestrator.decision import Decision
from orchestrator.digest import change_digest
from orchestrator.ledger.store import Ledger
from orchestrator.load import load
from orchestrator.settings import Settings

PEOPLE = {
    "user:alice": ["sre"],
    "user:bob": ["sre", "lead"],
    "user:carol": ["lead"],
    "user:dave": ["sre"],
    "agent:fixer": ["sre", "bot"],
}
PACK = """
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: deny
rules:
  - {id: open, effect: allow, actions: "*"}
  - {id: infra, effect: require, actions: open_pr, file_globs: "infra/**", approvals: {role: sre}}
  - {id: two, effect: require, actions: merge_pr, approvals: [{role: sre}, {role: lead}]}
  - {id: money, effect: require, actions: comment, approvals: {role: sre, bind: action, expires: 1h}}
"""
FILES = ({"path": "infra/main.tf", "status": "M", "mode": "100644", "blob": "a" * 40},)
HEADER = {"alg": "EdDSA", "typ": "orch-vote+jwt"}


def write_packs(folder: Path, signers: Mapping[str, keys.KeyFile], more: str = "") -> Path:
    """Write the pack and the roster, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acme.yaml").write_text(PACK + more)
    lines = ["apiVersion: orch/v1", "kind: Roster", "metadata: {name: people}", "subjects:"]
    for name, roles in PEOPLE.items():
        login = name.partition(":")[2]
        attributes = f"attributes: {{github: {login}, mail: {login}@acme.com}}"
        lines.append(
            f'  {name}: {{roles: {json.dumps(roles)}, {attributes}, keys: ["{keys.ssh_line(signers[name].public)}"]}}'
        )
    (folder / "people.yaml").write_text("\n".join(lines) + "\n")
    return folder


def new_signers(folder: Path) -> dict[str, keys.KeyFile]:
    """Return a key for everybody, and one of nobody's."""
    return {name: keys.new_key(folder / name.replace(":", "-"), None) for name in (*PEOPLE, "nobody")}


def policy_of(packs: Path) -> Policy:
    """Return the policy of a folder, asked by an OPA of each call's own."""
    loaded = load(Settings.load({"packs": (str(packs),)}), one_shot=True)
    return Policy(loaded.engine, loaded.digest, loaded.declared, loaded.roster, loaded.claims)


def request_of(action: str = "open_pr", files: Sequence[Mapping[str, Any]] = FILES, **subject: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a request of the agent for a change of infrastructure."""
    properties: dict[str, Any] = {"branch": "main", "head_branch": "fix", "files": list(files)}
    if action == "comment":
        properties = {}
    return {
        "subject": {"type": "agent", "id": "agent:fixer", **({"properties": subject} if subject else {})},
        "action": {"name": action, "properties": {}},
        "resource": {"type": "repository", "id": "acme/web", "properties": properties},
        "context": {},
    }


@dataclass
class World:
    """Who votes, who answers, and where it is recorded."""

    ledger: Ledger
    policy: Policy
    signers: Mapping[str, keys.KeyFile]

    def ask(
        self,
        asked: dict[str, Any] | None = None,
        *tokens: Any,  # noqa: ANN401  # forged ones may be anything
        facts: Mapping[str, Any] | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Return the decision on a request, with what the ledger knows of it and these tokens beside."""

        def recorded(asked: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
            action, change = facts["action_digest"], facts["change_digest"]
            key = known.request_key(asked, facts.get("repository"), action, change)
            with self.ledger.store.reading() as connection:
                told = known.approval_facts(self.ledger, connection, key, action, change)
            return {**told, "votes": [*told.get("votes", ()), *tokens]}

        question = Question(request_of() if asked is None else asked, facts or {}, known=recorded)
        return next(iter(self.policy.decide_many([question], Circumstances(now_ns=now_ns))))

    def wait(self, asked: dict[str, Any] | None = None, facts: Mapping[str, Any] | None = None) -> Request:
        """Ask, and return the request that it opens."""
        decision = self.ask(asked, facts=facts)
        assert decision.outcome == "pending", decision.context
        return self.opened(decision)

    def opened(self, decision: Decision) -> Request:
        """Return the request that a pending decision waits for."""
        context, facts = decision.context, decision.facts
        key = known.request_key(
            decision.request, facts.get("repository"), context["action_digest"], context["change_digest"]
        )
        with self.ledger.store.writing() as connection:
            found = approvals.open_request(self.ledger, connection, decision, facts, key, None)
        return approvals.find(self.ledger, found)

    def vote(self, request: Request, by: str, role: str = "sre", **more: Any) -> Cast:  # noqa: ANN401  # the ballot's fields
        """Vote with somebody's own key."""
        return ballot.vote(self.ledger, request, self.signers[by], Ballot(by, role, **more))

    def claims(self, request: Request, by: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # claims
        """Return the claims of a good approval, some of them others."""
        claims = {
            "jti": "forged", "iss": by, "aud": self.ledger.id, "req": request.id, "act": request.action_digest,
            "chg": request.change_digest, "pol": request.policy_digest, "role": "sre", "dec": "approve",
            "iat": 1_700_000_000, "exp": 4_000_000_000,
        }  # fmt: skip
        return {name: value for name, value in {**claims, "iat": _now_s() - 5, **more}.items() if value != "left out"}

    def token(self, claims: Mapping[str, Any], by: str, header: Any = HEADER) -> str:  # noqa: ANN401  # JSON
        """Return claims signed by somebody's key, under any header."""
        data = f"{part(header)}.{part(claims)}"
        return f"{data}.{text(self.signers[by].sign(data.encode()))}"


def part(value: object) -> str:
    """Return a value as a part of a token."""
    return text(json.dumps(value).encode())


def text(data: bytes) -> str:
    """Return bytes as tokens write them."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def why(decision: Decision) -> list[str]:
    """Return what a decision says of votes that do not count."""
    return [line for line in decision.context["advice"] if line.startswith("a vote by")]


def votes_met(decision: Decision, role: str = "sre") -> int:
    """Return how many votes count for a role."""
    return next(int(owed.properties["votes"]) for owed in decision.obligations if owed.id == f"approval:{role}")


def change_of(files: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of a change."""
    found = change_digest(files)
    assert found is not None
    return found


def _now_s() -> int:
    from orchestrator import clock

    return clock.now_ns() // clock.SECOND_NS
