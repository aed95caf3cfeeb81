"""The catalogue of built-in actions: which resource each acts on, what it needs and what it can have. Data only."""

from typing import NamedTuple


class Action(NamedTuple):
    """One built-in action."""

    resource: str
    """The `resource.type` it acts on."""
    summary: str
    """What it does, for people."""
    needs: frozenset[str] = frozenset()
    """Names under `resource.properties` that a request must carry."""
    can: frozenset[str] = frozenset()
    """Further names that `resource.properties` may carry."""
    arguments: frozenset[str] | None = frozenset()
    """Names that `action.properties` may carry; None means any."""

    @property
    def has(self) -> frozenset[str]:
        """Every name `resource.properties` may carry."""
        return self.needs | self.can


def _action(resource: str, summary: str, *, needs: str = "", can: str = "", arguments: str | None = "") -> Action:
    names = None if arguments is None else frozenset(arguments.split())
    return Action(resource, summary, frozenset(needs.split()), frozenset(can.split()), names)


CATALOGUE: dict[str, Action] = {
    "open_pr": _action(
        "repository",
        "open a pull request onto `branch`",
        needs="branch",
        can="head_branch files",
        arguments="title body draft labels reviewers assignees number commit",
    ),
    "merge_pr": _action(
        "repository",
        "merge a pull request into `branch`",
        needs="branch",
        can="head_branch files",
        arguments="number method title body commit",
    ),
    "close_pr": _action("repository", "close a pull request", can="branch head_branch", arguments="number body"),
    "push_branch": _action(
        "repository",
        "push commits to `branch`",
        needs="branch",
        can="head_branch files",
        arguments="force commit remote",
    ),
    "create_branch": _action(
        "repository", "create `branch`", needs="branch", can="head_branch", arguments="commit remote"
    ),
    "delete_branch": _action("repository", "delete `branch`", needs="branch", arguments="commit remote"),
    "create_tag": _action("repository", "create a tag", can="branch", arguments="tag commit message remote"),
    "comment": _action("repository", "comment on an issue or pull request", arguments="number body"),
    "create_issue": _action("repository", "create an issue", arguments="title body labels assignees milestone"),
    "update_issue": _action(
        "repository", "change or close an issue", arguments="number title body labels assignees milestone state"
    ),
    "dispatch_workflow": _action(
        "repository", "start a CI workflow on `branch`", needs="branch", arguments="workflow inputs"
    ),
    "publish_release": _action(
        "repository", "publish a release", can="branch files", arguments="tag name body draft prerelease assets commit"
    ),
    "publish_page": _action(
        "repository", "publish pages from `branch`", can="branch files", arguments="path commit message source"
    ),
    "write_document": _action(
        "repository",
        "write documents into `branch`",
        can="branch files",
        arguments="path message template content source commit",
    ),
    "write_file": _action(
        "repository", "write files of a checkout", needs="files", can="branch", arguments="path content source mode"
    ),
    "call_tool": _action("tool", "call an MCP tool, `server:tool`", arguments=None),
    "run_command": _action("command", "run a program", can="files", arguments="argv cwd env script_digest timeout_s"),
    "send_message": _action(
        "channel", "send a message to people", arguments="channel to subject body html template attachments reply_to"
    ),
    "call_webhook": _action(
        "endpoint", "send an HTTP request", arguments="endpoint url method headers query body json key"
    ),
    "approve_phase": _action("phase", "let a run go on after a phase, `plan:phase`", arguments="criteria met mode"),
    "auto_approve": _action(
        "phase", "let a run go on after a phase that has no criteria, `plan:phase`", arguments="criteria met mode"
    ),
    "tick": _action("escalation", "look where an escalation stands by the clock, and go on", arguments="cycle stage"),
    "enter_stage": _action("escalation", "let an escalation enter a stage", arguments="audience cycle from stage"),
    "control_escalation": _action(
        "escalation",
        "change an escalation's deadline, or arm, reset or release it",
        arguments="cycle deadline delay is_earlier operation",
    ),
}
"""Name to action. `docs/actions.md` shows it; a test holds both equal."""
