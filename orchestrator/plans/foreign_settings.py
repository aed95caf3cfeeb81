"""The settings of an orchestrator, taken into a plan in the making. Pure.

Fields are known by the last part of their name, wherever they stand. Source: 002, "Configure Phase Settings".
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from orchestrator.names import path_problem
from orchestrator.plans.draft import Draft
from orchestrator.plans.foreign import Node, bare, slug, snake
from orchestrator.shape import VERSION

CLASSES = ("transient", "permanent", "dependency", "configuration")
"""Kinds of failure, as a plan names them."""
_MOST_ATTEMPTS = 100
Taker: TypeAlias = Callable[[Node, Draft], None]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET = re.compile(r"(?i).*(token|secret|passw|api_?key|credential|private_?key).*")


def take_settings(node: Node, draft: Draft) -> None:
    """Take what the orchestrator's own file says."""
    walk(node, draft, _SETTINGS)


def walk(node: Node, draft: Draft, table: Mapping[str, Taker]) -> None:
    """Take every field below a value whose name the table knows; what is in an object may be known by itself."""
    for name, each in node.fields().items():
        taker = table.get(name) or table.get(bare(name))
        is_scalar = not isinstance(each.value, dict)
        if taker and (is_scalar or taker in {_take_env, _take_retry_on, _take_section}):
            taker(each, draft)
        else:
            walk(each, draft, table)


def _take_name(node: Node, draft: Draft) -> None:
    text = node.text()
    if text is None:
        return
    if draft.name and draft.title:
        node.left("the plan has a name already")
        return
    draft.name = draft.name or slug(text)
    draft.title = draft.title or text
    node.becomes("metadata.name and title")


def _take_title(node: Node, draft: Draft) -> None:
    if (text := node.text()) is not None:
        draft.title = " ".join(text.split())
        node.becomes("metadata.title")


def _take_version(node: Node, draft: Draft) -> None:
    text = str(node.value)
    found = re.fullmatch(r"v?([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?", text)
    if found:
        draft.version = ".".join(part or "0" for part in found.groups())
        node.becomes(f"metadata.version {draft.version}")
    elif re.fullmatch(VERSION[1:-1], text):
        draft.version = text
        node.becomes("metadata.version")
    else:
        node.left("it is no version such as 1.4.0")


def _take_mode(node: Node, draft: Draft) -> None:
    mode = snake(str(node.value)).replace("_", "-")
    draft.mode = {"auto": "automated", "dryrun": "dry-run", "automatic": "automated"}.get(mode, mode)
    if draft.mode not in {"automated", "manual", "dry-run"}:
        draft.mode = ""
    node.left(f"it is said when the plan is run: `orch run --mode {draft.mode or 'automated|manual|dry-run'}`")


def _take_attempts(node: Node, draft: Draft) -> None:
    if any(snake(str(step)).removesuffix("_errors") in CLASSES[1:] for step in node.path):
        node.left("all failures that are tried again share one number of attempts: defaults.retry.attempts")
        return
    is_total = "attempt" in snake(node.name) or snake(node.name) == "max_tries"
    found = attempts(node, is_total=is_total)
    if found is not None:
        draft.retry["attempts"] = found
        node.becomes(f"defaults.retry.attempts {found}" + ("" if is_total else ", the first counted"))


def attempts(node: Node, *, is_total: bool) -> int | None:
    """Return how often something is tried in all; None, and told why, where a plan cannot say it."""
    number = node.whole()
    total = None if number is None else number if is_total else number + 1
    if total is None or not 1 <= total <= _MOST_ATTEMPTS:
        node.left(f"it is no number of attempts; a plan has 1 to {_MOST_ATTEMPTS}")
        return None
    return total


def _take_wait(node: Node, draft: Draft) -> None:
    take_pause(node, draft.retry, "wait", "defaults.retry.wait")


def _take_most(node: Node, draft: Draft) -> None:
    take_pause(node, draft.retry, "most", "defaults.retry.most")


def take_pause(node: Node, retry: dict[str, object], key: str, name: str) -> None:
    """Take how long is waited between attempts."""
    found = node.duration()
    if found is None or (found == "0s" and key == "most"):
        node.left("it is no duration that a plan can have, from 1 second to 366 days")
        return
    retry[key] = found
    node.becomes(f"{name} {found}")


def _take_factor(node: Node, draft: Draft) -> None:
    take_factor(node, draft.retry, "defaults.retry.factor")


def take_factor(node: Node, retry: dict[str, object], name: str) -> None:
    """Take by what each wait is longer than the one before; yes or no stands for 2 or 1."""
    flag, number = node.flag(), node.number()
    words = {"exponential": 2, "linear": 1, "constant": 1, "fixed": 1, "none": 1}
    found = number if number is not None else words.get(str(node.value).lower())
    if found is None and flag is not None:
        found = 2 if flag else 1
    if str(node.value).lower() == "linear" or found is None or not 1 <= Decimal(str(found)) <= _MOST_ATTEMPTS:
        node.left("a wait can grow by a factor from 1 to 100 only")
        return
    if "factor" in retry and number is None:
        node.left("the factor says it")
        return
    retry["factor"] = found
    node.becomes(f"{name} {found}")


def _take_retry_on(node: Node, draft: Draft) -> None:
    for item in node.items():
        word = snake(str(item.value)).removesuffix("_error").removesuffix("_errors")
        if word in CLASSES:
            draft.retry["errors"] = sorted({*draft.retry.get("errors", ()), word})
            item.becomes(f"defaults.retry.errors {word}")
        else:
            item.left(
                "failures are told apart by their class, not by a name: `errors:` of a step says what a code means"
            )


def _take_class(node: Node, draft: Draft) -> None:
    """Take whether one class of failures is tried again: `error_handling.transient.retry`."""
    found = [
        word
        for step in node.path
        if (word := snake(str(step)).removesuffix("_errors").removesuffix("_error")) in CLASSES
    ]
    flag = node.flag()
    if not found or flag is None:
        _take_attempts(node, draft) if node.number() is not None else node.left("it says neither yes nor no")
        return
    errors = set(draft.retry.get("errors", ("transient",)))
    draft.retry["errors"] = sorted(errors | {found[-1]} if flag else errors - {found[-1]})
    if not draft.retry["errors"]:
        draft.retry |= {"attempts": 1, "errors": ["transient"]}
    node.becomes(f"defaults.retry.errors, {'with' if flag else 'without'} {found[-1]}")


def _take_timeout(node: Node, draft: Draft) -> None:
    found = node.duration()
    if found in {None, "0s"}:
        node.left("it is no duration that a plan can have, from 1 second to 366 days")
    else:
        draft.timeout = str(found)
        node.becomes(f"defaults.timeout {found}")


def _take_reports(node: Node, draft: Draft) -> None:
    text = node.text()
    if text is None:
        return
    path = text.removeprefix("./").rstrip("/")
    if expected := path_problem(path):
        node.left(f"a plan's folder is {expected}")
        return
    draft.reports = path
    node.becomes(f"reports {path}")


def _take_go_on(node: Node, draft: Draft) -> None:
    flag = node.flag()
    if flag is None:
        node.left("it says neither yes nor no")
        return
    goes_on = flag if snake(node.name).startswith(("continue", "ignore")) else not flag
    draft.on_failure = "continue" if goes_on else "stop"
    node.becomes("phases that do not need a failed one go on" if goes_on else "after a failure no phase begins")


def _take_parallel(node: Node, draft: Draft) -> None:
    flag = False if node.whole() == 1 else node.flag()
    if flag is None:
        node.left("how many phases run at once is the worker's: `orch worker --concurrency N`")
        return
    draft.is_sequential |= flag if snake(node.name).startswith("sequential") else not flag
    node.becomes(
        "every phase needs the one before" if draft.is_sequential else "phases run side by side as `needs` lets them"
    )


def _take_auto(node: Node, draft: Draft) -> None:
    flag = node.flag()
    if flag is None:
        node.left("it says neither yes nor no")
        return
    is_auto = flag if "auto" in snake(node.name) else not flag
    draft.is_manual = not is_auto
    node.becomes(f"gate {'auto' if is_auto else 'manual'} of every phase")


def _take_role(node: Node, draft: Draft) -> None:
    if isinstance(node.value, str) and slug(node.value):
        draft.role = slug(node.value)
        node.becomes(f"approvals.role {draft.role}")
    else:
        node.left("who may approve says the roster: give them a role, and name it under `approvals:`")


def _take_count(node: Node, draft: Draft) -> None:
    count = node.whole()
    if count is None or not 1 <= count <= 20:  # noqa: PLR2004  # as in the plan's schema
        node.left("a plan asks for 1 to 20 approvals")
    else:
        draft.count = count
        node.becomes(f"approvals.count {count}")


def _take_env(node: Node, draft: Draft) -> None:
    take_env(node, draft.env, "of every command")


def take_env(node: Node, env: dict[str, str], whose: str) -> None:
    """Take variables that commands are given; what looks like a secret is not copied."""
    if not node.fields():
        node.left("it is no object of variables")
    for key in node.value if isinstance(node.value, dict) else ():
        each = node.below(key)
        if _SECRET.fullmatch(key):
            each.left(f"secrets stay out of plans: write env: {{{key}: ${{{{ secrets.{key} }}}}}}")
        elif not _VARIABLE.fullmatch(key) or not isinstance(each.value, str | int | float) or each.value == "":
            each.left("it is no variable with a text")
        elif isinstance(each.value, str) and each.text() is None:
            continue
        else:
            value = each.value
            env[key] = ("true" if value else "false") if isinstance(value, bool) else str(value)
            each.becomes(f"env {key} {whose}")


def _take_section(node: Node, draft: Draft) -> None:
    """Take whether GitHub is used; what else stands in a section of its own is about something else than the plan."""
    enabled = node.fields().get("enabled")
    if enabled is not None and snake(node.name).startswith("github"):
        _take_enabled(enabled, draft)
    elif not node.fields() and node.flag() is not None and snake(node.name).startswith("github"):
        draft.is_tracked = node.flag()
        node.becomes("tracking.github" if draft.is_tracked else "no tracking")


def _take_enabled(node: Node, draft: Draft) -> None:
    if "github" not in ".".join(snake(str(step)) for step in node.path) or node.flag() is None:
        node.left("a plan is run when somebody runs it")
        return
    draft.is_tracked = node.flag()
    node.becomes("tracking.github" if draft.is_tracked else "no tracking")


_SETTINGS: dict[str, Taker] = {
    name: taker
    for names, taker in (
        ("max_retries retries retry_count retry_attempts max_attempts attempts max_tries", _take_attempts),
        ("retry_delay initial_delay base_delay retry_wait retry_interval delay", _take_wait),
        ("max_delay max_retry_delay max_backoff max_wait retry_max_delay", _take_most),
        ("backoff_factor retry_backoff_factor backoff_multiplier retry_backoff exponential_base", _take_factor),
        ("multiplier exponential_backoff backoff factor backoff_strategy", _take_factor),
        ("retry_on retryable_errors retry_errors retryable", _take_retry_on),
        ("retry should_retry auto_retry", _take_class),
        ("name plan_name project_name project orchestrator_name", _take_name),
        ("title description", _take_title),
        ("version", _take_version),
        ("mode execution_mode default_mode", _take_mode),
        ("timeout phase_timeout default_timeout default_phase_timeout", _take_timeout),
        ("report_dir reports_dir report_directory reports_directory status_report_dir", _take_reports),
        ("reports_path report_path reports_folder", _take_reports),
        ("continue_on_failure continue_on_error stop_on_failure stop_on_error fail_fast halt_on_error", _take_go_on),
        ("parallel parallel_execution allow_parallel enable_parallel run_parallel sequential", _take_parallel),
        (
            "max_parallel max_parallel_phases max_concurrent max_concurrent_phases max_workers concurrency",
            _take_parallel,
        ),
        ("auto_approve auto_approval automated_approvals auto_approvals", _take_auto),
        ("require_approval manual_approval", _take_auto),
        ("approver approvers approver_role approval_role", _take_role),
        ("required_approvals approval_count min_approvals approvals_required", _take_count),
        ("env environment environment_variables env_vars", _take_env),
        ("enabled github_enabled use_github", _take_enabled),
        (
            "github github_integration logging log notifications notification state monitoring email slack",
            _take_section,
        ),
    )
    for name in names.split()
}
"""Names of fields to what takes them."""
