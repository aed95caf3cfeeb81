"""The GitHub adapter's pull requests, documents, releases, pages and workflows, against a real server on loopback."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from github_server import Fault, GitHubServer
from github_world import KEY, OTHER, asked, change, done, found, orders, place_of, prepared

from orchestrator.adapter import Delivery, Place
from orchestrator_adapters.github import GitHub


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def place(github: GitHubServer, tmp_path: Path) -> Place:
    (tmp_path / "root").mkdir()
    return place_of(github, tmp_path / "root")


# Pull requests, with a checkout


def sh(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def save(root: Path, path: str) -> str:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(path)
    sh(root, "add", "--", path)
    sh(root, "commit", "-qm", path)
    return sh(root, "rev-parse", "HEAD")


@pytest.fixture
def checkout(github: GitHubServer, place: Place) -> Path:
    """Return the root as a checkout whose branches `main` and `agent/x` GitHub has, too."""
    sh(place.root, "init", "-q", "-b", "main")
    save(place.root, "README.md")
    sh(place.root, "switch", "-qc", "agent/x")
    save(place.root, "src/a.py")
    github.follow(place.root)
    return place.root


def test_a_pull_request_is_decided_by_the_files_it_changes(checkout: Path, place: Place) -> None:
    order = prepared(place, "open_pr", branch="main", head_branch="agent/x", title="T")

    assert [file["path"] for file in order.resource["properties"]["files"]] == ["src/a.py"]
    assert order.properties["commit"] == sh(checkout, "rev-parse", "agent/x")


def test_a_pull_request_gets_its_labels_assignees_and_reviewers(
    checkout: Path, place: Place, github: GitHubServer
) -> None:
    order = {"labels": ["bot"], "assignees": ["alice"], "reviewers": ["bob"], "draft": True, "body": "Because."}

    receipt = done(place, "open_pr", branch="main", head_branch="agent/x", title="T", **order)

    row = github.pulls[0]
    assert (row["labels"], row["requested_reviewers"]) == ([{"name": "bot"}], [{"login": "bob"}])
    assert (row["draft"], row["assignees"], receipt.detail) == (True, [{"login": "alice"}], "")


def test_a_branch_that_moved_between_decision_and_opening_is_refused(
    checkout: Path, place: Place, github: GitHubServer
) -> None:
    order = asked(place, "open_pr", branch="main", head_branch="agent/x", title="T")
    save(checkout, "infra/evil.tf")

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects) == (Delivery.PERMANENT, {})
    assert "was decided about" in receipt.detail


def test_a_base_that_only_the_checkout_has_hides_no_file(checkout: Path, place: Place, github: GitHubServer) -> None:
    sh(checkout, "update-ref", "refs/remotes/origin/main", "agent/x")
    order = asked(place, "open_pr", branch="main", head_branch="agent/x", title="T")

    receipt = GitHub().perform(order, KEY)

    assert order.resource["properties"]["files"] == []
    assert (receipt.delivery, github.effects) == (Delivery.PERMANENT, {})
    assert "for GitHub the change begins at" in receipt.detail


def test_what_is_merged_is_the_commit_that_was_decided(checkout: Path, place: Place, github: GitHubServer) -> None:
    done(place, "open_pr", branch="main", head_branch="agent/x", title="T")
    order = asked(place, "merge_pr", number=1, branch="main", head_branch="agent/x", method="squash")
    save(checkout, "infra/evil.tf")

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects["pull.merged"]) == (Delivery.PERMANENT, 0)
    assert "its head is" in receipt.detail


def test_a_pull_request_onto_another_branch_is_not_merged(checkout: Path, place: Place, github: GitHubServer) -> None:
    sh(checkout, "branch", "release", "main")
    done(place, "open_pr", branch="release", head_branch="agent/x", title="T")

    receipt = GitHub().perform(asked(place, "merge_pr", number=1, branch="main", head_branch="agent/x"), KEY)

    assert (receipt.delivery, github.effects["pull.merged"]) == (Delivery.PERMANENT, 0)


def test_a_pull_request_of_others_is_not_ours(github: GitHubServer, place: Place) -> None:
    order = asked(place, "open_pr", **orders(github, place, "open_pr"))
    GitHub().perform(order, OTHER)

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects["pull.opened"]) == (Delivery.PERMANENT, 1)
    assert "already exists" in receipt.detail


def test_a_comment_that_closes_is_made_once_though_closing_failed(github: GitHubServer, place: Place) -> None:
    order = asked(place, "close_pr", **orders(github, place, "close_pr"))
    github.fault(r"/pulls/\d+$", Fault.BEFORE, method="PATCH")

    first, second = GitHub().perform(order, KEY), GitHub().perform(order._replace(attempt=2), KEY)

    assert (first.delivery, second.delivery) == (Delivery.UNKNOWN, Delivery.DELIVERED)
    assert (github.effects["comment.created"], github.effects["pull.closed"]) == (1, 1)


# Documents, releases, pages, workflows


def test_a_document_is_found_by_its_key_though_somebody_wrote_over_it(github: GitHubServer, place: Place) -> None:
    order = asked(place, "write_document", branch="main", path="docs/a b.md", content="# A\n", message="Say it")
    GitHub().perform(order, KEY)
    github.commit({"docs/a b.md": "# B\n"})

    assert (found(order), found(order, OTHER)) == (Delivery.DELIVERED, Delivery.RETRYABLE)
    assert github.said_at(github.before(github.branches["main"])[1])[0] == f"Say it\n\nOrch-Key: {KEY}\n"


def test_a_document_that_is_replaced_meanwhile_is_not_written_over(github: GitHubServer, place: Place) -> None:
    github.commit({"a.md": "1"})
    order = asked(place, "write_document", branch="main", path="a.md", content="2")

    def write_first() -> None:
        github.commit({"a.md": "theirs"})

    receipt = GitHub().perform(order._replace(recheck=write_first), KEY)

    assert (receipt.delivery, github.effects["file.written"]) == (Delivery.PERMANENT, 0)


def test_a_file_that_changed_after_the_decision_is_not_sent(github: GitHubServer, place: Place) -> None:
    (place.root / "a.md").write_text("decided")
    order = asked(place, "write_document", branch="main", source="a.md")
    (place.root / "a.md").write_text("other")

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects) == (Delivery.PERMANENT, {})


def test_a_release_is_published_only_with_all_of_its_files(github: GitHubServer, place: Place) -> None:
    (place.root / "a.zip").write_bytes(b"a" * 3_000_000)
    (place.root / "b.zip").write_text("b")
    parameters = {"tag": "v2", "commit": github.branches["main"], "assets": ["a.zip", "b.zip"], "name": "Two"}
    order = asked(place, "publish_release", **parameters)
    github.fault(r"/assets$", Fault.LOSE, method="POST")

    first = GitHub().perform(order, KEY)
    state = (github.effects["release.published"], found(order))
    second = GitHub().perform(order._replace(attempt=2), KEY)

    assert (first.delivery, state) == (Delivery.UNKNOWN, (0, Delivery.RETRYABLE))
    assert (second.delivery, second.outputs["assets"]) == (Delivery.DELIVERED, ["a.zip", "b.zip"])
    assert [row["size"] for row in github.assets] == [3_000_000, 1]
    assert (github.effects["release.created"], github.tags["v2"]) == (1, github.branches["main"])


def test_a_file_of_a_release_that_changed_after_the_decision_is_not_sent(github: GitHubServer, place: Place) -> None:
    order = asked(place, "publish_release", **orders(github, place, "publish_release"))
    (place.root / "dist.zip").write_text("other")

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects["release.published"]) == (Delivery.PERMANENT, 0)
    assert github.assets == []


def test_a_tag_that_is_another_commit_is_not_released(github: GitHubServer, place: Place) -> None:
    order = asked(place, "publish_release", tag="v1.0.0", commit=github.branches["main"])
    github.tags["v1.0.0"] = change(github)

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects) == (Delivery.PERMANENT, {})


def test_a_draft_of_a_release_is_found_though_it_has_no_tag(github: GitHubServer, place: Place) -> None:
    order = asked(place, "publish_release", tag="v3", commit=github.branches["main"], draft=True)
    github.fault(r"/releases$", Fault.LOSE, method="POST")

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, found(order)) == (Delivery.UNKNOWN, Delivery.DELIVERED)
    assert github.effects["release.published"] == 0


def test_pages_are_made_of_the_branch_that_was_decided(github: GitHubServer, place: Place) -> None:
    github.page["source"]["branch"] = "gh-pages"

    receipt = GitHub().perform(asked(place, "publish_page", branch="main"), KEY)

    assert (receipt.delivery, github.effects) == (Delivery.PERMANENT, {})


def test_a_page_is_written_into_the_branch_that_pages_are_made_of(github: GitHubServer, place: Place) -> None:
    receipt = done(place, "publish_page", branch="main", path="index.html", content="<p>hello</p>")

    assert github.files_at(github.branches["main"])["index.html"] == b"<p>hello</p>"
    assert receipt.outputs["page"] == "https://acme.example/web"


def test_a_workflow_that_carries_no_key_can_not_be_looked_for(github: GitHubServer, place: Place) -> None:
    order = asked(place, "dispatch_workflow", branch="main", workflow="ci.yml", inputs={"level": 3})

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.runs[0]["inputs"], found(order)) == (Delivery.DELIVERED, {"level": "3"}, None)


def test_the_order_may_name_the_repository(place: Place) -> None:
    with GitHubServer(repositories=("acme/other",)) as other:
        there = place._replace(
            settings={**place.settings, "api": other.url}, reveal=lambda _: other.token, repository=None
        )

        receipt = done(there, "create_issue", title="T", repository="acme/other")

    assert receipt.outputs["number"] == 1


def test_a_file_is_not_uploaded_to_another_host(github: GitHubServer, place: Place) -> None:
    with GitHubServer() as other:
        order = asked(place, "publish_release", **orders(github, place, "publish_release"))
        github.uploads_at = other.url

        receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, other.requests) == (Delivery.PERMANENT, [])
    assert github.effects["release.published"] == 0
