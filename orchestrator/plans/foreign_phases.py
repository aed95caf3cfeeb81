"""The phases of another orchestrator, taken into a plan in the making. Pure. Source: 002, "Configure Phase Settings".

What only people could carry out stays as a comment, and the phase without a command is approved by people.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from orchestrator.errors import UsageError
from orchestrator.names import path_problem, shown
from orchestrator.plans.draft import Draft, DraftPhase
from orchestrator.plans.foreign import Node, bare, is_plain, is_words, phase_called, plain_name, slug, snake
from orchestrator.plans.foreign_checks import take_checks
from orchestrator.plans.foreign_criterion import take_files, words
from orchestrator.plans.foreign_settings import attempts, take_env, take_factor, take_pause
from orchestrator.plans.writing import Noted
from orchestrator.words import near_miss

_LISTS = ("phases", "phase_definitions", "phase_config", "stages")
_IDS = ("id", "phase_id", "number", "phase_number", "phase", "key")
_COMMANDS = ("command", "cmd", "run", "script", "executable", "args", "argv")
_PROGRAMS = frozenset(
    {
        *("python", "python3", "bash", "sh", "make", "npm", "npx", "yarn", "pnpm", "node", "pytest", "git", "docker"),
        *("go", "cargo", "java", "mvn", "gradle", "ruby", "terraform", "kubectl", "helm", "pip", "uv", "poetry", "tox"),
    }
)
_INTERPRETERS = {".py": "python3", ".sh": "sh", ".bash": "bash", ".js": "node", ".rb": "ruby"}
_FOR_PEOPLE = "it is for people: kept as a comment"
_MOST_COMMENT = 2000

Taker: TypeAlias = Callable[[Node, DraftPhase, Draft], None]


def take_phases(node: Node, draft: Draft) -> dict[str, str]:
    """Take every phase, and return what each may be called by: id, key, number or name, to its id in the plan.

    Raises:
        UsageError: there is no phase, two would have one name, or one needs a phase that is not there.
    """
    found = _nodes(node)
    if not found:
        raise UsageError(f"{node.file} has no phases", advice="expected a list or an object under `phases`")
    names: dict[str, str] = {}
    pairs = []
    for each, key in found:
        phase = DraftPhase(_id(each, key))
        if draft.phase(phase.id):
            raise UsageError(f"{node.file} has two phases that would be called {phase.id}", advice="give each its `id`")
        draft.phases.append(phase)
        pairs.append((each, phase))
        names |= {plain_name(name): phase.id for name in _names(each, key, phase)}
    for each, phase in pairs:
        _take(each, phase, draft, names)
    return names


def _nodes(node: Node) -> list[tuple[Node, str]]:
    """Return each phase with the key it has in an object, or ""."""
    fields = node.fields()
    holder = next((fields[name] for name in _LISTS if name in fields), node)
    if holder is not node and not isinstance(holder.value, dict | list):
        return []
    if isinstance(holder.value, list):
        return [(each, "") for each in holder.items() if isinstance(each.value, dict)]
    return [
        (holder.below(key), key)
        for key, value in holder.value.items()
        if isinstance(value, dict) and (holder is not node or re.search(r"\d|phase", key.lower()))
    ]


def _id(node: Node, key: str) -> str:
    fields = node.fields()
    said = next((fields[name] for name in _IDS if name in fields and isinstance(fields[name].value, str | int)), None)
    value = said.value if said else key or (fields["name"].value if "name" in fields else "")
    text = f"phase-{value}" if re.fullmatch(r"[0-9]{1,18}", str(value)) else slug(str(value))
    if not text:
        raise UsageError(f"{node.file}: {_where(node)} has no id and no name", advice="give each phase its `id`")
    if said:
        said.becomes(f"phases.{text}")
    return text


def _where(node: Node) -> str:
    return ".".join(map(str, node.path)) or "the file"


def _names(node: Node, key: str, phase: DraftPhase) -> list[str]:
    fields = node.fields()
    said = [str(fields[name].value) for name in (*_IDS, "name", "title") if name in fields]
    return [name for name in (phase.id, key, *said) if name]


def _take(node: Node, phase: DraftPhase, draft: Draft, names: dict[str, str]) -> None:
    for name, each in node.fields().items():
        if name in {"dependencies", "depends_on", "requires", "needs", "prerequisites", "depends"}:
            _take_needs(each, phase, names)
        elif taker := _TAKERS.get(name) or _TAKERS.get(bare(name)):
            taker(each, phase, draft)
    if not phase.title and (summary := node.fields().get("description")) and (text := summary.text()):
        phase.title = " ".join(text.split())[:200]


def _take_needs(node: Node, phase: DraftPhase, names: dict[str, str]) -> None:
    holder = node.fields().get("phases", node)
    if holder.value in ([], None, "", {}):
        holder.becomes(f"phases.{phase.id} needs nothing")
        return
    for item in holder.items():
        inner = item.fields()
        target = next((inner[name] for name in (*_IDS, "name") if name in inner), item)
        need = phase_called(target.value, names)
        if need is None:
            near = near_miss(str(target.value), names)
            raise UsageError(
                f"{node.file}: {_where(target)} is {shown(target.value)}, which is no phase{near}",
                advice="mend it there first: without it phases would begin too early",
            )
        if need not in phase.needs:
            phase.needs.append(need)
        target.becomes(f"phases.{phase.id}.needs {need}")


def _take_title(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    if (text := node.text()) is not None:
        phase.title = " ".join(text.split())
        node.becomes(f"phases.{phase.id}.title")


def _take_comment(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    for leaf in node.leaves():
        if isinstance(leaf.value, str) and leaf.text() is not None:
            phase.comments.append(leaf.value[:_MOST_COMMENT])
            leaf.left(_FOR_PEOPLE)


def _take_timeout(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    found = node.duration()
    if found in {None, "0s"}:
        node.left("it is no duration that a plan can have, from 1 second to 366 days")
    else:
        phase.timeout = str(found)
        node.becomes(f"phases.{phase.id}.timeout {found}")


def _take_retry(node: Node, phase: DraftPhase, draft: Draft) -> None:
    if fields := node.fields():
        for name, each in fields.items():
            if taker := _TAKERS.get(name) or _TAKERS.get(bare(name)):
                taker(each, phase, draft)
        return
    is_total = "attempt" in snake(node.name) or snake(node.name) == "max_tries"
    found = attempts(node, is_total=is_total)
    if found is not None:
        phase.retry["attempts"] = found
        node.becomes(f"phases.{phase.id}.retry.attempts {found}" + ("" if is_total else ", the first counted"))


def _take_wait(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    take_pause(node, phase.retry, "wait", f"phases.{phase.id}.retry.wait")


def _take_factor(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    take_factor(node, phase.retry, f"phases.{phase.id}.retry.factor")


def _take_gate(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    words = {"manual": False, "required": False, "auto": True, "automatic": True, "none": True}
    flag = words.get(str(node.value).lower())
    if flag is None and (said := node.flag()) is not None:
        flag = said if "auto" in snake(node.name) else not said
    if flag is None:
        node.left("it says neither auto nor manual")
        return
    phase.is_manual = phase.is_manual or not flag
    node.becomes(f"phases.{phase.id}.gate {'auto' if flag else 'manual'}")


def _take_enabled(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    flag = node.flag()
    if flag is None:
        node.left("it says neither yes nor no")
        return
    phase.is_enabled = flag if snake(node.name) == "enabled" else not flag
    node.becomes(f"phases.{phase.id} is {'done' if phase.is_enabled else 'skipped'}")


def _take_goes_on(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    flag = node.flag()
    if flag is None:
        node.left("it says neither yes nor no")
        return
    phase.goes_on = not flag if snake(node.name) in {"critical", "required", "blocking"} else flag
    node.becomes(f"on_failure {'continue' if phase.goes_on else 'stop'} of the steps of phases.{phase.id}")


def _take_env(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    take_env(node, phase.env, f"of the commands of phases.{phase.id}")


def _take_folder(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    text = node.text()
    if text is None:
        return
    path = text.removeprefix("./").rstrip("/")
    if expected := path_problem(path):
        node.left(f"a command's folder is {expected}")
    else:
        phase.cwd = path
        node.becomes(f"cwd of the commands of phases.{phase.id}")


def _take_tasks(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    is_sure = snake(node.name) in {*_COMMANDS, "commands", "scripts"}
    is_one = isinstance(node.value, list) and snake(node.name) in {"argv", "command", "cmd"}
    for item in [node] if is_one else node.items():
        if step := _step(item, phase, is_sure=is_sure):
            phase.steps.append(step)


def _take_compensation(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    for item in node.items():
        if step := _step(item, phase, is_sure=snake(node.name) != "on_failure", kind="undo"):
            phase.compensate.append(step)


def _step(node: Node, phase: DraftPhase, *, is_sure: bool, kind: str = "step") -> Noted | None:
    """Return a task as a step; None where it is words for people."""
    number = len(phase.compensate if kind == "undo" else phase.steps) + 1
    usual = f"{phase.id[:40]}-{kind}-{number}"
    fields = node.fields()
    if not fields:
        argv = _argv(node, is_sure=is_sure)
        if argv is None:
            if isinstance(node.value, str) and is_plain(node.value):
                phase.comments.append(f"to do: {node.value[:_MOST_COMMENT]}")
            return None
        node.becomes(f"phases.{phase.id}: the step {usual}")
        return Noted({"id": usual, "action": "run_command", "with": {"argv": argv}}, ())
    return _described(fields, phase, usual)


def _described(fields: dict[str, Node], phase: DraftPhase, usual: str) -> Noted | None:
    command = next((fields[name] for name in _COMMANDS if name in fields), None)
    argv = _argv(command, is_sure=True) if command else None
    comments = [
        each.value
        for name in ("name", "title", "description", "task")
        if name in fields and isinstance((each := fields[name]).value, str) and each.text() is not None
    ]
    for name in ("name", "title", "description", "task"):
        if name in fields and isinstance(fields[name].value, str):
            fields[name].left(_FOR_PEOPLE)
    if argv is None or command is None:
        phase.comments += [f"to do: {text}" for text in comments]
        return None
    step: dict[str, Any] = {"id": usual}
    if said := next((fields[name] for name in ("id", "task_id", "step_id") if name in fields), None):
        step["id"] = f"{phase.id[:30]}-{slug(str(said.value))[:32]}".rstrip("-")
        said.becomes(f"the step {step['id']}")
    extra = fields.get("args") if command is not fields.get("args") else None
    if extra is not None and is_words(extra.value):
        argv = [*argv, *extra.value]
        extra.becomes(f"argv of {step['id']}")
    command.becomes(f"argv of {step['id']}")
    step |= {"action": "run_command", "with": {"argv": argv}}
    _take_limits(fields, step)
    return Noted(step, tuple(comments))


def _take_limits(fields: dict[str, Node], step: dict[str, Any]) -> None:
    for name, each in fields.items():
        found = each.duration() if bare(name) == "timeout" else None
        if found not in {None, "0s"}:
            step["timeout"] = found
            each.becomes(f"timeout of {step['id']} {found}")
        elif name in {"retries", "max_retries"} and (total := attempts(each, is_total=False)):
            step["retry"] = {"attempts": total}
            each.becomes(f"retry.attempts of {step['id']} {total}")
        elif name in {"env", "environment"}:
            env: dict[str, str] = {}
            take_env(each, env, f"of {step['id']}")
            step["with"] |= {"env": env} if env else {}
        elif name in {"continue_on_error", "continue_on_failure", "optional"} and each.flag() is not None:
            step |= {"on_failure": "continue"} if each.flag() else {}
            each.becomes(f"on_failure of {step['id']}")
        elif name in {"cwd", "working_directory", "working_dir"} and each.text() and not path_problem(each.value):
            step["with"]["cwd"] = each.value
            each.becomes(f"cwd of {step['id']}")


def _argv(node: Node, *, is_sure: bool) -> list[str] | None:
    """Return a command as its words; None, and told why, where it is none."""
    if isinstance(node.value, list):
        if is_words(node.value):
            return list(node.value)
        node.left("it is no list of words that a plan can hold")
        return None
    text = node.text()
    if text is None:
        return None
    first = text.split()[0]
    interpreter = _INTERPRETERS.get(PurePosixPath(first).suffix)
    if is_sure or interpreter or first in _PROGRAMS or first.startswith("./"):
        split = words(text)
        return split if split[0] == "sh" or first.startswith("./") or not interpreter else [interpreter, *split]
    is_prose = " " in text.strip()
    node.left(
        f"it names no program; {_FOR_PEOPLE}" if is_prose else "it is a part of the old program: write its commands"
    )
    return None


def _take_executor(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    for item in node.items():
        if step := _step(item, phase, is_sure=False):
            phase.steps.append(step)


def _take_outputs(node: Node, phase: DraftPhase, draft: Draft) -> None:  # noqa: ARG001  # called like the others
    take_files(node, phase)


_TAKERS: dict[str, Taker] = {
    name: taker
    for names, taker in (
        ("name title", _take_title),
        ("description summary objective goal notes", _take_comment),
        ("timeout max_duration time_limit", _take_timeout),
        ("retry retries max_retries retry_count max_attempts attempts retry_policy", _take_retry),
        ("retry_delay delay retry_wait wait initial_delay", _take_wait),
        ("backoff_factor backoff_multiplier factor multiplier exponential_backoff", _take_factor),
        ("auto_approve auto_approval approval approval_mode gate requires_approval", _take_gate),
        ("require_approval manual_approval approval_required", _take_gate),
        ("enabled skip disabled", _take_enabled),
        ("critical continue_on_failure continue_on_error optional blocking", _take_goes_on),
        ("env environment environment_variables", _take_env),
        ("cwd working_directory working_dir workdir", _take_folder),
        ("tasks steps commands command cmd argv run script scripts actions", _take_tasks),
        ("executor executors executor_class module", _take_executor),
        ("rollback compensate compensation undo rollback_commands cleanup", _take_compensation),
        ("outputs expected_outputs required_outputs required_files output_files", _take_outputs),
        ("deliverables artifacts", _take_outputs),
        ("success_criteria criteria validations validation checks acceptance_criteria", take_checks),
    )
    for name in names.split()
}
"""Names of a phase's fields to what takes them."""
