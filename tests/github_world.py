"""Orders to the GitHub adapter, against a `GitHubServer`: prepared, done and looked for."""

import os
from pathlib import Path
from typing import Any

from github_server import GitHubServer

from orchestrator.adapter import Action, Delivery, Place, Prepared, Receipt, Wanted
from orchestrator.request import problems
from orchestrator_adapters.github import GitHub

KEY = "ab" * 32
OTHER = "cd" * 32


def place_of(github: GitHubServer, root: Path) -> Place:
    """Return where actions are done, with a token as a secret."""
    return Place(
        root=root,
        repository="acme/web",
        settings={"api": github.url, "token": "${{ secrets.GITHUB_TOKEN }}", "settle_s": 0},
        channels={},
        reveal=lambda text: text.replace("${{ secrets.GITHUB_TOKEN }}", github.token),
        keep=lambda *_: "",
        environ=dict(os.environ),
    )


def prepared(place: Place, action: str, **parameters: object) -> Prepared:
    found = GitHub().prepare(Wanted(action, parameters), place)
    request = {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": action, "properties": dict(found.properties)},
        "resource": dict(found.resource),
        "context": {},
    }
    assert problems(request) == []
    return found


def asked(place: Place, action: str, **parameters: object) -> Action:
    found = prepared(place, action, **parameters)
    return Action(action, found.resource, found.properties, "", found.fixed, place, timeout_s=20.0)


def done(place: Place, action: str, **parameters: object) -> Receipt:
    receipt = GitHub().perform(asked(place, action, **parameters), KEY)
    assert receipt.delivery is Delivery.DELIVERED, receipt.detail
    return receipt


def found(action: Action, key: str = KEY) -> Delivery | None:
    receipt = GitHub().reconcile(action, key)
    return receipt.delivery if receipt else None


def change(github: GitHubServer) -> str:
    return github.commit({"src/a.py": "a = 1\n"}, branch="agent/x")


def open_one(github: GitHubServer, place: Place) -> int:
    change(github)
    number: int = done(place, "open_pr", branch="main", head_branch="agent/x", title="T").outputs["number"]
    return number


def orders(github: GitHubServer, place: Place, action: str) -> dict[str, Any]:  # noqa: PLR0911  # a table
    """Return good parameters of each action, after making what it is about."""
    (place.root / "dist.zip").write_text("zip")
    match action:
        case "create_issue":
            return {"title": "Run 7", "body": "It runs.", "labels": ["run"]}
        case "open_pr":
            change(github)
            return {"branch": "main", "head_branch": "agent/x", "title": "Add a"}
        case "merge_pr":
            return {"number": open_one(github, place), "branch": "main", "commit": github.branches["agent/x"]}
        case "close_pr":
            return {"number": open_one(github, place), "body": "Not now."}
        case "comment" | "update_issue":
            number = done(place, "create_issue", title="T").outputs["number"]
            return {"number": number, "body": "More.", **({"state": "closed"} if action == "update_issue" else {})}
        case "write_document":
            return {"branch": "main", "path": "docs/a.md", "content": "# A\n"}
        case "publish_release":
            return {"tag": "v1.0.0", "commit": github.branches["main"], "body": "First.", "assets": ["dist.zip"]}
        case "publish_page":
            return {"branch": "main", "commit": github.branches["main"]}
        case _:
            github.workflows["ci.yml"] = {"inputs": ["run"], "title": "run"}
            return {"branch": "main", "workflow": "ci.yml", "inputs": {"run": "orch:KEY"}}
