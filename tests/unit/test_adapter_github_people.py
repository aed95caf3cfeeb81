"""Who wrote a change that only GitHub holds: nobody approves what is their own, and nobody where that is not known."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from act_world import World, make_world
from command_line import stop_sidecars
from github_server import Fault, GitHubServer
from github_world import place_of, prepared

from orchestrator.act import Order
from orchestrator.adapter import Delivery, Place
from orchestrator.errors import AdapterError
from orchestrator.ledger.store import Ledger
from orchestrator.order import Done, State
from orchestrator.task import UNKNOWN

ADA = ("ada@acme.example", "ada-l")
RULES = (
    "{id: open, effect: allow, actions: '*'}",
    "{id: sre, effect: require, actions: [open_pr, merge_pr], approvals: {role: sre}}",
)


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def place(github: GitHubServer, tmp_path: Path) -> Place:
    (tmp_path / "root").mkdir()
    return place_of(github, tmp_path / "root")


def opening(place: Place) -> Any:  # noqa: ANN401  # Prepared
    return prepared(place, "open_pr", branch="main", head_branch="agent/x", title="T")


def test_authors_committers_logins_and_co_authors_are_known(github: GitHubServer, place: Place) -> None:
    github.commit({"a": "1"}, branch="agent/x", author=ADA, message="a\n\nCo-authored-by: B <Bob@acme.example>")
    head = github.commit({"b": "1"}, branch="agent/x", author=("cy@acme.example", ""))

    found = opening(place)

    assert found.fixed["contributors"] == [
        "ada-l@users.noreply.github.com",
        "ada@acme.example",
        "bob@acme.example",
        "cy@acme.example",
    ]
    assert (found.properties["commit"], found.fixed["merge_base"]) == (head, github.branches["main"])


def test_what_main_has_already_is_nobodys_doing(github: GitHubServer, place: Place) -> None:
    github.commit({"a": "1"}, author=ADA)
    github.commit({"b": "1"}, branch="agent/x", author=("cy@acme.example", ""))

    assert opening(place).fixed["contributors"] == ["cy@acme.example"]


def test_all_pages_are_read(github: GitHubServer, place: Place) -> None:
    github.commit({"a": "1"}, branch="agent/x", author=ADA)
    for number in range(120):
        github.commit({"b": str(number)}, branch="agent/x", author=("cy@acme.example", ""))

    assert "ada@acme.example" in opening(place).fixed["contributors"]
    assert sum("/compare/" in path for _, path in github.requests) == 2


def test_somebody_without_an_address_makes_it_unknown(github: GitHubServer, place: Place) -> None:
    head = github.commit({"a": "1"}, branch="agent/x", author=ADA)
    github.wrote(head, " ")

    assert opening(place).fixed["contributors"] is None


@pytest.mark.parametrize("commit", ["0" * 40, "f" * 40])
def test_a_commit_that_github_does_not_have_is_nobody_knows_whose(
    github: GitHubServer, place: Place, commit: str
) -> None:
    github.commit({"a": "1"}, branch="agent/x")

    found = prepared(place, "merge_pr", number=1, branch="main", commit=commit)

    assert (found.properties["commit"], found.fixed["contributors"]) == (commit, None)


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.DROP, Fault.RATE])
def test_where_github_cannot_be_asked_now_it_is_tried_later(github: GitHubServer, place: Place, fault: Fault) -> None:
    github.commit({"a": "1"}, branch="agent/x")
    github.fault(r"/compare/", fault)

    with pytest.raises(AdapterError) as caught:
        opening(place)

    assert caught.value.delivery == Delivery.RETRYABLE


def test_nonsense_makes_it_unknown(github: GitHubServer, place: Place) -> None:
    github.commit({"a": "1"}, branch="agent/x")
    github.fault(r"/compare/", Fault.REDIRECT)

    assert opening(place).fixed["contributors"] is None


def test_where_nothing_may_be_sent_nothing_is_and_nobody_knows(github: GitHubServer, place: Place) -> None:
    github.commit({"a": "1"}, branch="agent/x")

    found = opening(place._replace(may_ask=False))

    assert (found.fixed["contributors"], github.requests) == (None, [])


# Under a policy


@pytest.fixture
def world(
    tmp_path: Path, sqlite_ledger: Ledger, github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world in which a merge needs an approval, and the roster knows the login of user:ada."""
    made = make_world(tmp_path, sqlite_ledger)
    people = made.folder / "packs" / "people.yaml"
    people.write_text(
        people.read_text().replace("user:ada: {roles: [sre]", "user:ada: {roles: [sre], attributes: {github: ada-l}")
    )
    made.rules(*RULES)
    monkeypatch.setenv("HUB_TOKEN", github.token)
    hub = {"api": github.url, "token": "${{ secrets.HUB }}", "settle_s": 0}
    made.settings = made.settings._replace(
        adapters={"github": hub}, secrets={"HUB": {"env": "HUB_TOKEN"}}, repository="acme/web", subject="agent:fixer"
    )
    yield made
    stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))


ORDER = Order("p/open", "open_pr", {"branch": "main", "head_branch": "agent/x", "title": "T"}, adapter="github")


def acted(world: World) -> Done:
    with world.executor() as executor:
        return executor.act(ORDER)


@pytest.mark.parametrize(("voter", "state"), [("user:ada", State.WAITING), ("user:bob", State.DELIVERED)])
def test_who_wrote_the_change_cannot_approve_it(world: World, github: GitHubServer, voter: str, state: State) -> None:
    github.commit({"a": "1"}, branch="agent/x", author=("private@home.example", "ada-l"))
    (wait,) = acted(world).waiting_for

    world.approve(wait["request_id"], by=voter)

    assert acted(world).state == state
    assert github.effects["pull.opened"] == (1 if state is State.DELIVERED else 0)


def test_where_nobody_knows_who_wrote_it_nobody_can_approve(world: World, github: GitHubServer) -> None:
    head = github.commit({"a": "1"}, branch="agent/x")
    github.wrote(head, " ")
    (wait,) = acted(world).waiting_for

    for voter in ("user:ada", "user:bob"):
        world.approve(wait["request_id"], by=voter)

    assert (acted(world).state, github.effects) == (State.WAITING, {})


def test_a_branch_that_moves_after_the_approval_is_asked_about_anew(world: World, github: GitHubServer) -> None:
    github.commit({"a": "1"}, branch="agent/x", author=ADA)
    (wait,) = acted(world).waiting_for
    world.approve(wait["request_id"], by="user:bob")
    github.commit({"b": "1"}, branch="agent/x", author=("bob@acme.example", ""))

    (other,) = acted(world).waiting_for

    assert other["request_id"] != wait["request_id"]
    assert github.effects == {}


def test_a_rehearsal_asks_nobody_and_takes_the_strict_side(world: World, github: GitHubServer) -> None:
    github.commit({"a": "1"}, branch="agent/x", author=ADA)

    with world.executor() as executor:
        decision = executor.would(ORDER)

    assert decision.facts["contributors"] == [UNKNOWN, "user:ada", "user:bob"]
    assert (decision.context["outcome"], github.requests) == ("pending", [])
