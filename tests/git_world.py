"""Checkouts, a remote over file://, and orders to the git adapter."""

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapter import Action, Delivery, Place, Prepared, Wanted
from orchestrator.request import problems
from orchestrator_adapters.git import Git

KEY = "ab" * 32
OTHER = "cd" * 32
AUTHOR = "Orch <orch@example.com>"


def sh(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def save(root: Path, path: str, text: str) -> str:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    sh(root, "add", "--", path)
    sh(root, "commit", "-qm", f"change {path}")
    return sh(root, "rev-parse", "HEAD")


def remote_in(folder: Path) -> Path:
    """Return a bare repository `acme/web.git`."""
    made = folder / "acme" / "web.git"
    made.parent.mkdir()
    sh(folder, "init", "-q", "--bare", "-b", "main", str(made))
    return made


def checkout_of(remote: Path, folder: Path) -> Path:
    """Return a checkout whose `main` is on the remote."""
    sh(folder.parent, "init", "-q", "-b", "main", str(folder))
    save(folder, "README.md", "hello\n")
    sh(folder, "remote", "add", "origin", f"file://{remote}")
    sh(folder, "push", "-q", "origin", "main")
    return folder


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def place(root: Path, **settings: object) -> Place:
    return Place(
        root=root.resolve(),
        repository="acme/web",
        settings={"author": AUTHOR, **settings},
        channels={},
        reveal=lambda text: text.replace("${{ secrets.GIT }}", "geheim"),
        keep=lambda *_: "",
        environ=dict(os.environ),
    )


def prepared(where: Place, action: str, **parameters: object) -> Prepared:
    found = Git().prepare(Wanted(action, parameters), where)
    request = {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": action, "properties": dict(found.properties)},
        "resource": dict(found.resource),
        "context": {},
    }
    assert problems(request) == []
    return found


def action_of(where: Place, name: str, found: Prepared, **more: Any) -> Action:  # noqa: ANN401  # fields of Action
    made = Action(name, found.resource, found.properties, "", found.fixed, where, timeout_s=60.0)
    return made._replace(**more)


def done(where: Place, name: str, **parameters: object) -> Mapping[str, Any]:
    """Prepare and perform, and return the outputs."""
    receipt = Git().perform(action_of(where, name, prepared(where, name, **parameters)), KEY)
    assert receipt.delivery is Delivery.DELIVERED, receipt.detail
    return receipt.outputs
