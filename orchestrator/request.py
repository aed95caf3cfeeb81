"""What is asked: requests parsed, checked and built. On the hot path; never decides and never changes what was asked.

A request is in AuthZEN 1.0 shape, `{subject, action, resource, context}`: what the asker says. `docs/decision.md` says
what each part means; what makes a request invalid is written here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator import names
from orchestrator.catalogue import CATALOGUE, Action
from orchestrator.digest import subject_name as _name_of
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.strictjson import parse, read_lines, value_problems

__all__ = ["Flags", "build", "parse", "problems", "read_lines", "subject_name"]

MAX_PROBLEMS = 20
"""More are counted, not told."""

_PARTS = frozenset({"subject", "action", "resource", "context"})
_ENTITY = frozenset({"type", "id", "properties"})
_ACTION = frozenset({"name", "properties"})
_FILE = frozenset({"path", "status", "mode", "blob"})
_STATUSES = frozenset("AMDT")
_MODE_LENGTH = 6
_BLOB_LENGTHS = frozenset({40, 64})
_ANYTHING = Action("", "declared by a pack", arguments=None)


class _Trouble:
    """Collects what is wrong: the first 20 as text, the rest as a number."""

    __slots__ = ("count", "told")

    def __init__(self) -> None:
        self.told: list[str] = []
        self.count = 0

    def add(self, where: str, value: object, expected: str) -> None:
        self.say(f"{where} is {shown(value)}; expected {expected}")

    def say(self, text: str) -> None:
        self.count += 1
        if len(self.told) < MAX_PROBLEMS:
            self.told.append(text)

    def lines(self) -> list[str]:
        rest = self.count - len(self.told)
        return [*self.told, f"and {rest} more"] if rest else self.told


def problems(request: object, declared: frozenset[str] = frozenset()) -> list[str]:
    """Return everything that makes a request invalid, a line each: what was seen, what was expected.

    `declared` names actions that packs declare: they need nothing and can have everything. After 20 lines the rest is
    counted. A null branch or file list counts as missing.

    Source: design, section 5.
    """
    trouble = _Trouble()
    if not isinstance(request, dict):
        trouble.add("the request", request, "an object with subject, action and resource")
        return trouble.lines()
    if unwritable := value_problems(request, skipped=_files_of(request), most=MAX_PROBLEMS):
        return unwritable  # what cannot even be written down is not looked at more closely
    if not request.keys() <= _PARTS:
        _check_parts(request, trouble)
    if "context" in request and not isinstance(request["context"], dict):
        trouble.add("context", request["context"], "an object")
    _check_subject(request.get("subject"), trouble)
    action = _check_action(request.get("action"), declared, trouble)
    _check_resource(request.get("resource"), action, trouble)
    return trouble.lines()


def subject_name(request: object) -> str:
    """Return the subject's name: its id where that begins with `type:`, else `type:id`; "" where there is none."""
    subject = request.get("subject") if isinstance(request, Mapping) else None
    return (_name_of(subject) or "") if isinstance(subject, Mapping) else ""


def _check_parts(request: dict[str, Any], trouble: _Trouble) -> None:
    for key in sorted(request.keys() - _PARTS):
        if key == "facts":
            trouble.say("the request carries facts; expected none: they are what the host knows (for a trial: --facts)")
        else:
            expected = f"subject, action, resource, context{_like(key, _PARTS)}"
            trouble.say(f"the request has the unknown key {shown(key)}; expected {expected}")


def _check_keys(value: dict[str, Any], known: frozenset[str], where: str, trouble: _Trouble) -> None:
    if value.keys() <= known and isinstance(value.get("properties", {}), dict):
        return
    for key in sorted(value.keys() - known):
        hint = _like(key, known) or (" (put it under properties)" if "properties" in known else "")
        trouble.say(f"{where} has the unknown key {shown(key)}; expected {', '.join(sorted(known))}{hint}")
    if "properties" in value and not isinstance(value["properties"], dict):
        trouble.add(f"{where}.properties", value["properties"], "an object")


def _like(word: str, known: frozenset[str]) -> str:
    from orchestrator.words import near_miss  # only where something is wrong already

    return near_miss(word[:64], known)


def _files_of(request: dict[str, Any]) -> object:
    """Return the list of files, which has a check of its own; None where there is none."""
    resource = request.get("resource")
    properties = resource.get("properties") if isinstance(resource, dict) else None
    files = properties.get("files") if isinstance(properties, dict) else None
    return files if isinstance(files, list) else None


def _check_subject(subject: object, trouble: _Trouble) -> None:
    if not isinstance(subject, dict):
        trouble.add("subject", subject, "an object with type and id")
        return
    _check_keys(subject, _ENTITY, "subject", trouble)
    for key in ("type", "id"):
        value = subject.get(key)
        if expected := names.id_problem(value) if isinstance(value, str) else "a text":
            trouble.add(f"subject.{key}", value, expected)
    if subject.get("id") == f"{subject.get('type')}:":
        trouble.add("subject.id", subject["id"], "a name after the type")


def _check_action(action: object, declared: frozenset[str], trouble: _Trouble) -> Action | None:
    """Return what the action is known to be; None where it is not known."""
    if not isinstance(action, dict):
        trouble.add("action", action, "an object with name")
        return None
    _check_keys(action, _ACTION, "action", trouble)
    name = action.get("name")
    if not isinstance(name, str):
        trouble.add("action.name", name, "the name of an action, such as open_pr")
        return None
    known = CATALOGUE.get(name) or (_ANYTHING if name in declared else None)
    if known is None:
        trouble.add("action.name", name, f"a built-in or declared action{_like(name, frozenset(CATALOGUE) | declared)}")
        return None
    properties = action.get("properties")
    if known.arguments is not None and isinstance(properties, dict) and not properties.keys() <= known.arguments:
        _check_known(properties, known.arguments, f"action.properties of {name}", trouble)
    return known


def _check_known(properties: dict[str, Any], known: frozenset[str], where: str, trouble: _Trouble) -> None:
    for key in sorted(properties.keys() - known):
        expected = f"only {', '.join(sorted(known))}" if known else "no properties"
        trouble.say(f"{where} has {shown(key)}, which it cannot have; expected {expected}{_like(key, known)}")


def _check_resource(resource: object, action: Action | None, trouble: _Trouble) -> None:
    if not isinstance(resource, dict):
        trouble.add("resource", resource, "an object with type and id")
        return
    _check_keys(resource, _ENTITY, "resource", trouble)
    kind = resource.get("type")
    if not isinstance(kind, str):
        trouble.add("resource.type", kind, "a text")
    elif action is not None and action.resource and kind != action.resource:
        trouble.add("resource.type", kind, f"{action.resource!r}, which this action acts on")
    elif expected := names.id_problem(kind):
        trouble.add("resource.type", kind, expected)
    _check_id(kind, resource.get("id"), trouble)
    properties = resource.get("properties", {})
    if isinstance(properties, dict):
        _check_properties(properties, action, trouble)


def _check_id(kind: object, name: object, trouble: _Trouble) -> None:
    if not isinstance(name, str):
        trouble.add("resource.id", name, "a text")
        return
    judge = {"repository": names.repository_problem, "tool": names.tool_problem}.get(str(kind), names.id_problem)
    if expected := judge(name):
        trouble.add("resource.id", name, expected)


def _check_properties(properties: dict[str, Any], action: Action | None, trouble: _Trouble) -> None:
    if action is not None:
        if action is not _ANYTHING and not properties.keys() <= action.has:
            _check_known(properties, action.has, "resource.properties", trouble)
        for name in sorted(action.needs):
            if properties.get(name) is None:
                trouble.say(f"resource.properties.{name} is missing; this action needs it")
    for name in ("branch", "head_branch"):
        branch = properties.get(name)
        if branch is None:
            continue
        if expected := names.branch_problem(branch) if isinstance(branch, str) else "a text":
            trouble.add(f"resource.properties.{name}", branch, expected)
    files = properties.get("files")
    if isinstance(files, list):
        _check_files(files, trouble)
    elif files is not None:
        trouble.add("resource.properties.files", files, "a list of objects with path, status, mode and blob")


def _check_files(files: list[Any], trouble: _Trouble) -> None:
    seen: dict[Any, Any] = {}
    path_problem = names.path_problem
    for index, file in enumerate(files):
        path = status = None
        try:
            path = file["path"]
            status, mode, blob = file.get("status"), file.get("mode"), file.get("blob")
            is_good = (
                not path_problem(path)
                and (status is None or status in _STATUSES)
                and (mode is None or _is_mode(mode))
                and (blob is None or _is_blob(blob))
                and file.keys() <= _FILE
            )
        except (KeyError, TypeError, AttributeError):
            is_good = False
        if not is_good:
            _check_file(file, f"resource.properties.files[{index}]", trouble)
        elif path not in seen:
            seen[path] = status
        elif {seen[path], status} != {"A", "D"}:
            expected = "each path once, or once with D and once with A"
            trouble.say(f"resource.properties.files[{index}] names {shown(path)} again; expected {expected}")
        else:
            seen[path] = "both"


def _is_mode(text: str) -> bool:
    return len(text) == _MODE_LENGTH and not text.strip("01234567")


def _is_blob(text: str) -> bool:
    return len(text) in _BLOB_LENGTHS and not text.strip("0123456789abcdef")


def _check_file(file: object, where: str, trouble: _Trouble) -> None:
    if not isinstance(file, dict):
        trouble.add(where, file, "an object with path, status, mode and blob")
        return
    if unknown := sorted((key for key in file if key not in _FILE), key=str):
        trouble.say(f"{where} has the unknown key {shown(unknown[0])}; expected path, status, mode, blob")
    path = file.get("path")
    if not isinstance(path, str):
        trouble.add(f"{where}.path", path, "a text")
    elif expected := names.path_problem(path):
        trouble.add(f"{where}.path", path, expected)
    for name, is_right, expected in (
        ("status", lambda text: text in _STATUSES, "A, M, D or T"),
        ("mode", _is_mode, "six octal digits, such as 100644"),
        ("blob", _is_blob, "an object id of git: 40 or 64 hexadecimal digits in lower case"),
    ):
        value = file.get(name)
        if value is not None and not (isinstance(value, str) and is_right(value)):
            trouble.add(f"{where}.{name}", value, expected)


class Flags(NamedTuple):
    """One request, as typed on a command line."""

    action: str
    subject: str
    """`type:id`."""
    repository: str | None = None
    branch: str | None = None
    head_branch: str | None = None
    files: Sequence[str | Mapping[str, Any]] | None = None
    """Paths, or objects with path, status, mode and blob; None when nothing is known of files."""
    tool: str | None = None
    """`server:tool`."""
    resource: str | None = None
    """`type:id` of anything else that is acted on."""
    arguments: Sequence[str] = ()
    """`name=text` or `name:=json`."""


def build(flags: Flags) -> dict[str, Any]:
    """Return the request that command line flags describe; `problems` judges it.

    Raises:
        UsageError: a flag's form is wrong, or nothing says what is acted on.
    """
    kind, colon, rest = flags.subject.partition(":")
    if not (kind and colon and rest):
        message = f"the subject is {shown(flags.subject)}; expected `type:id`"
        raise UsageError(message, advice="for example --subject agent:fixer")
    action: dict[str, Any] = {"name": flags.action}
    if flags.arguments:
        action["properties"] = arguments_of(flags.arguments)
    branches = (("branch", flags.branch), ("head_branch", flags.head_branch))
    properties: dict[str, Any] = {name: value for name, value in branches if value is not None}
    if flags.files is not None:
        properties["files"] = [{"path": file} if isinstance(file, str) else dict(file) for file in flags.files]
    resource = _resource(flags)
    if properties:
        resource["properties"] = properties
    return {"subject": {"type": kind, "id": flags.subject}, "action": action, "resource": resource, "context": {}}


def _resource(flags: Flags) -> dict[str, Any]:
    known = CATALOGUE.get(flags.action)
    kind = known.resource if known else "tool" if flags.tool else "repository" if flags.repository else ""
    if flags.resource is not None:
        typed, colon, name = flags.resource.partition(":")
        if not colon:
            message = f"the resource is {shown(flags.resource)}; expected `type:id`"
            raise UsageError(message, advice="for example --resource channel:#ops")
        return {"type": typed, "id": name}
    if kind == "tool" and flags.tool is not None:
        return {"type": kind, "id": flags.tool}
    if kind == "repository" and flags.repository is not None:
        return {"type": kind, "id": flags.repository}
    advice = {
        "repository": "say --repo owner/name, or --repo none where there is none",
        "tool": "say --tool server:tool",
    }.get(kind, f"say --resource {kind or 'type'}:name")
    message = f"{shown(flags.action)} acts on a {kind or 'resource'}, and none is named"
    raise UsageError(message, advice=advice)


def arguments_of(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            message = f"the argument is {shown(text)}; expected `name=text` or `name:=json`"
            raise UsageError(message)
        if name in found:
            message = f"the argument {shown(name)} is given twice; expected it once"
            raise UsageError(message)
        found[name] = parse(value.encode("utf-8", "surrogateescape"), name=f"--arg {name}") if is_json else value
    return found
