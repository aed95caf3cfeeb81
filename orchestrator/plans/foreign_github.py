"""The settings of an orchestrator's GitHub integration, taken into a plan in the making. Pure.

Source: 002, "GitHub Integration".
"""

import re

from orchestrator.plans.draft import Draft
from orchestrator.plans.foreign import Node
from orchestrator.plans.foreign_settings import Taker, walk
from orchestrator.shape import REPOSITORY

_PLACEHOLDERS = {
    **dict.fromkeys(("run_id", "execution_id", "id"), "${{ run.id }}"),
    **dict.fromkeys(("plan", "plan_name", "project", "project_name", "name"), "${{ run.name }}"),
    **dict.fromkeys(("mode", "execution_mode"), "${{ run.mode }}"),
    **dict.fromkeys(("repo", "repository"), "${{ run.repository }}"),
}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_REPOSITORY_NAMES = {
    **dict.fromkeys(("owner", "repo_owner", "repository_owner", "org", "organization", "github_owner"), "owner"),
    **dict.fromkeys(("repo", "repository", "repo_name", "repository_name", "repo_url", "github_repo"), "repo"),
}
_ALWAYS = "as it is: the issue is kept up to date after each phase, and closed at the end"


def take_github(node: Node, draft: Draft) -> None:
    """Take what the file of the GitHub integration says."""
    draft.is_tracked = True if draft.is_tracked is None else draft.is_tracked
    _take_repository(node, draft)
    walk(node, draft, _GITHUB)


def _take_issue(node: Node, draft: Draft) -> None:
    flag = node.flag()
    if flag is None:
        node.left("it says neither yes nor no")
    elif not flag:
        draft.is_tracked = False
        node.becomes("no tracking")
    else:
        draft.is_tracked = True if draft.is_tracked is None else draft.is_tracked
        node.becomes("tracking.github")


def _take_always(node: Node, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    flag = node.flag()
    if flag is False:
        node.left("the issue is always kept up to date, and closed at the end")
    elif flag:
        node.left(_ALWAYS)
    else:
        for item in node.items():
            item.left(_ALWAYS)


def _take_labels(node: Node, draft: Draft) -> None:
    for item in node.items():
        parts = item.value.split(",") if isinstance(item.value, str) and not isinstance(node.value, list) else None
        if item.text() is None:
            continue
        for label in parts or [item.value]:
            if label.strip() and label.strip() not in draft.labels:
                draft.labels.append(label.strip())
        item.becomes("tracking.github.labels")


def _take_issue_title(node: Node, draft: Draft) -> None:
    text = node.text()
    if text is None:
        return
    unknown = sorted({name for name in _PLACEHOLDER.findall(text) if name not in _PLACEHOLDERS})
    if unknown:
        node.left(f"a plan's issue cannot be told {', '.join(unknown)}; it knows run_id, name, mode and repository")
        return
    draft.issue_title = _PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[1]], " ".join(text.split()))
    node.becomes("tracking.github.title")


def _take_repository(node: Node, draft: Draft) -> None:
    """Take `owner/name`, from one field or from two, wherever they stand."""
    found: dict[str, Node] = {}
    waiting = [node]
    while waiting:
        for name, each in waiting.pop(0).fields().items():
            if isinstance(each.value, dict):
                waiting.append(each)
            elif name in _REPOSITORY_NAMES and isinstance(each.value, str):
                found.setdefault(_REPOSITORY_NAMES[name], each)
    owner, repo = found.get("owner"), found.get("repo")
    if repo is None or repo.text() is None or (owner is not None and owner.text() is None):
        return
    plain = re.sub(r"^(https?://[^/]+/|git@[^:]+:)", "", str(repo.value)).removesuffix(".git").strip("/")
    whole = plain if "/" in plain or owner is None else f"{owner.value}/{plain}"
    if not re.fullmatch(REPOSITORY[1:-1], whole):
        for each in found.values():
            each.left("it names no repository such as owner/name; the run's own is taken")
        return
    draft.repository = whole
    repo.becomes(f"tracking.github.repository {whole}")
    if owner is not None and "/" in plain:
        owner.left("the repository's name says it")
    elif owner is not None:
        owner.becomes(f"tracking.github.repository {whole}")


def _take_token(node: Node, draft: Draft) -> None:
    value = str(node.value)
    named = re.fullmatch(r"\$?\{?([A-Z][A-Z0-9_]*)\}?", value)
    variable = named[1] if named else "GITHUB_TOKEN"
    draft.advice.append(
        f"in the operator's file: adapters: {{github: {{token: ${{{{ secrets.{variable} }}}}}}}}"
        f" and secrets: {{{variable}: {{env: {variable}}}}}"
    )
    node.left(f"a token is the operator's: secrets: {{{variable}: {{env: {variable}}}}} and adapters.github.token")


_GITHUB: dict[str, Taker] = {
    name: taker
    for names, taker in (
        ("enabled create_issue create_issues track_execution issue_tracking", _take_issue),
        (
            "update_on update_issue update_on_phase_start update_on_phase_complete update_on_phase_completion",
            _take_always,
        ),
        ("update_on_start update_on_complete update_on_failure update_on_error update_on_approval", _take_always),
        ("update_on_phase_change post_approvals post_approval_notifications comment_on_approval", _take_always),
        ("comment_on_phase notify_on_approval close_on_completion close_on_complete close_on_success", _take_always),
        ("close_issue_on_completion auto_close close_issue add_comments update_labels", _take_always),
        ("labels issue_labels default_labels", _take_labels),
        ("title title_template issue_title issue_title_template", _take_issue_title),
        ("token github_token token_env token_env_var token_variable access_token", _take_token),
    )
    for name in names.split()
}
"""Names of fields to what takes them."""
