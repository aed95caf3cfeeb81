"""The same rules in several languages, and requests to ask about. Pure: a number of rules always gives the same text.

An organisation: each repository has ten rules of its own, among them one or more of every kind. Patterns are only those
that all languages say alike: a literal, `folder/**`, `**/name` and `**/*.suffix`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULES_PER_REPOSITORY = 10
RULES_PER_PACK = 500
"""Packs of this size or smaller; a team's file, not an organisation's."""


@dataclass(frozen=True, slots=True)
class GeneratedRule:
    """One rule, before it is written in a language."""

    id: str
    effect: str
    """`deny`, `require` or `allow`; a require wants an approval, which no request of ours has."""
    actions: tuple[str, ...]
    repository: str
    is_for_agents: bool = False
    branches: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What a denied person reads."""
        return f"{self.id} of {self.repository} says {self.effect}"


def rules(count: int) -> list[GeneratedRule]:
    """Return `count` rules over `count / 10` repositories."""
    return [_rule(number) for number in range(count)]


def _rule(number: int) -> GeneratedRule:
    repository = repository_name(number // RULES_PER_REPOSITORY)
    match number % 4:
        case 0:
            branches = ("prod", f"release/{number}/**")
            return GeneratedRule(f"d{number}", "deny", ("push_branch", "open_pr"), repository, True, branches)
        case 1:
            files = ("infra/**", f"deploy/s{number}/**", "**/*.tf")
            return GeneratedRule(f"r{number}", "require", ("open_pr",), repository, files=files)
        case 2:
            return GeneratedRule(f"a{number}", "allow", ("open_pr", "comment"), repository)
        case _:
            files = ("**/.env", "secrets/**", f"vault/s{number}/**")
            return GeneratedRule(f"w{number}", "deny", ("open_pr",), repository, files=files)


def repository_name(number: int) -> str:
    """Return the name of a repository."""
    return f"acme/r{number}"


def request(path_count: int, *, repository: str = "acme/r0", branch: str = "main", touched: str = "") -> dict[str, Any]:
    """Return an agent's pull request that changes `path_count` files, the last of them `touched` if that is given."""
    paths = [f"src/d{number % 100}/f{number}.py" for number in range(path_count)]
    if touched:
        paths[-1] = touched
    files = [
        {"path": path, "status": "M", "mode": "100644", "blob": f"{number:040x}"} for number, path in enumerate(paths)
    ]
    properties = {"branch": branch, "head_branch": "agent/fix", "files": files}
    return {
        "subject": {"type": "agent", "id": "agent:fixer", "properties": {}},
        "action": {"name": "open_pr", "properties": {}},
        "resource": {"type": "repository", "id": repository, "properties": properties},
        "context": {},
    }


def requests_of_all_kinds(path_count: int) -> dict[str, dict[str, Any]]:
    """Return requests by name; what names them says why the outcome is what it is."""
    return {
        "allowed": request(path_count),
        "denied by branch": request(path_count, branch="prod"),
        "denied by a pattern of branches": request(path_count, branch="release/0/x"),
        "denied by file": request(path_count, touched="web/.env"),
        "denied by folder": request(path_count, touched="vault/s3/key"),
        "pending by folder": request(path_count, touched="deploy/s1/a/b.yaml"),
        "pending by suffix": request(path_count, touched="net/main.tf"),
        "no rule for it": request(path_count, repository="acme/unknown"),
        "not its own rule": request(path_count, touched="deploy/s9999999/b.yaml"),
    }


def write_packs(folder: Path, chosen: Sequence[GeneratedRule]) -> Path:
    """Write the rules as packs of YAML into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(chosen), RULES_PER_PACK)):
        text = pack(f"team-{number}", chosen[start : start + RULES_PER_PACK])
        (folder / f"team-{number:04}.yaml").write_text(text, encoding="utf-8")
    return folder


def pack(name: str, chosen: Iterable[GeneratedRule]) -> str:
    """Return the rules as one pack that denies what nothing allows."""
    head = f"apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {{name: {name}, version: 1.0.0}}\ndefault: deny\nrules:\n"
    return head + "".join(map(_yaml, chosen))


def _yaml(rule: GeneratedRule) -> str:
    keys = {"id": rule.id, "effect": rule.effect, "actions": f"[{', '.join(rule.actions)}]"}
    if rule.effect == "require":
        keys |= {"level": "soft", "approvals": "{role: sre}"}
    if rule.is_for_agents:
        keys["subjects"] = '["agent:*"]'
    keys["repositories"] = f"[{rule.repository}]"
    for name, patterns in (("branches", rule.branches), ("file_globs", rule.files)):
        if patterns:
            keys[name] = _quoted(patterns)
    if rule.effect != "allow":
        keys["message"] = f'"{rule.message}"'
    first, *rest = (f"{key}: {value}\n" for key, value in keys.items())
    return f"  - {first}" + "".join(f"    {line}" for line in rest)


def _quoted(patterns: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{pattern}"' for pattern in patterns) + "]"


def rego(chosen: Iterable[GeneratedRule]) -> str:
    """Return the rules as one module for conftest: a `deny` for whatever is not simply allowed.

    Written to be quick: each rule begins with the literal that OPA's own index can use.
    """
    head = 'package main\n\ndeny contains "no rule allows it" if not allowed\n'
    return head + "".join(_rego_rules(chosen))


def _rego_rules(chosen: Iterable[GeneratedRule]) -> Iterator[str]:
    for rule in chosen:
        lines = [f'input.resource.id == "{rule.repository}"', f"input.action.name in {{{_quoted(rule.actions)[1:-1]}}}"]
        if rule.is_for_agents:
            lines.append('startswith(input.subject.id, "agent:")')
        if rule.branches:
            lines.append(f"branch_{rule.id}(input.resource.properties.branch)")
            yield from _rego_matcher(f"branch_{rule.id}", rule.branches)
        if rule.files:
            lines += ["some file in input.resource.properties.files", f"file_{rule.id}(file.path)"]
            yield from _rego_matcher(f"file_{rule.id}", rule.files)
        head = "allowed if {" if rule.effect == "allow" else "deny contains message if {"
        if rule.effect != "allow":
            lines.append(f'message := "{rule.message}"')
        yield "\n" + "\n\t".join([head, *lines]) + "\n}\n"


def _rego_matcher(name: str, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        for kind, text in _tests(pattern):
            call = {
                "is": f'text == "{text}"',
                "begins": f'startswith(text, "{text}")',
                "ends": f'endswith(text, "{text}")',
            }
            yield f"\n{name}(text) if {call[kind]}\n"


def cedar(chosen: Iterable[GeneratedRule]) -> str:
    """Return the rules as Cedar policies about one changed file, since Cedar has no word for "any of these files"."""
    return "\n".join(map(_cedar, chosen)) + "\n"


def _cedar(rule: GeneratedRule) -> str:
    effect = "permit" if rule.effect == "allow" else "forbid"
    principal = "principal is Agent" if rule.is_for_agents else "principal"
    actions = ", ".join(f'Action::"{action}"' for action in rule.actions)
    text = (
        f'@id("{rule.id}")\n{effect}({principal}, action in [{actions}], resource == Repository::"{rule.repository}")'
    )
    conditions = [_cedar_any(name, found) for name, found in (("branch", rule.branches), ("path", rule.files)) if found]
    return text + "".join(f"\nwhen {{ {condition} }}" for condition in conditions) + ";"


def _cedar_any(name: str, patterns: Iterable[str]) -> str:
    shapes = {"is": 'context.{} == "{}"', "begins": 'context.{} like "{}*"', "ends": 'context.{} like "*{}"'}
    return " || ".join(shapes[kind].format(name, text) for pattern in patterns for kind, text in _tests(pattern))


def cedar_requests(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one Cedar request for each file of a request of ours; it is allowed if all of them are."""
    properties = asked["resource"]["properties"]
    return [
        {
            "principal": f'Agent::"{asked["subject"]["id"]}"',
            "action": f'Action::"{asked["action"]["name"]}"',
            "resource": f'Repository::"{asked["resource"]["id"]}"',
            "context": {"branch": properties["branch"], "path": file["path"]},
        }
        for file in properties["files"]
    ]


def _tests(pattern: str) -> list[tuple[str, str]]:
    """Return what a pattern means without a glob: any of `is`, `begins` and `ends` with a text."""
    if pattern.endswith("/**"):
        return [("begins", pattern.removesuffix("**"))]
    if pattern.startswith("**/*"):
        return [("ends", pattern.removeprefix("**/*"))]
    if pattern.startswith("**/"):
        return [("is", pattern.removeprefix("**/")), ("ends", pattern.removeprefix("**"))]
    return [("is", pattern)]


def cerbos(chosen: Iterable[GeneratedRule], *, by_kind: bool) -> dict[str, str]:
    """Return the rules as Cerbos resource policies, by file name.

    As one policy whose conditions name the repository, or `by_kind`: with a kind of resource for each repository, so
    that Cerbos finds the few rules by name.
    """
    policies: dict[str, list[GeneratedRule]] = {}
    for rule in chosen:
        policies.setdefault(cerbos_kind(rule.repository, by_kind=by_kind), []).append(rule)
    return {f"{kind}.yaml": _cerbos_policy(kind, own, by_kind=by_kind) for kind, own in policies.items()}


def cerbos_kind(repository: str, *, by_kind: bool) -> str:
    """Return the kind of resource that a repository is."""
    return repository.replace("/", "-") if by_kind else "repository"


def _cerbos_policy(kind: str, own: Iterable[GeneratedRule], *, by_kind: bool) -> str:
    head = f"apiVersion: api.cerbos.dev/v1\nresourcePolicy:\n  resource: {kind}\n  version: default\n  rules:\n"
    return head + "".join(_cerbos_rule(rule, by_kind=by_kind) for rule in own)


def _cerbos_rule(rule: GeneratedRule, *, by_kind: bool) -> str:
    effect = "EFFECT_ALLOW" if rule.effect == "allow" else "EFFECT_DENY"
    roles = '["agent"]' if rule.is_for_agents else '["*"]'
    conditions = [] if by_kind else [f'R.id == "{rule.repository}"']
    if rule.branches:
        conditions.append(f"({_cel(rule.branches, 'R.attr.branch')})")
    if rule.files:
        conditions.append(f"R.attr.files.exists(f, {_cel(rule.files, 'f')})")
    condition = f", condition: {{match: {{expr: '{' && '.join(conditions)}'}}}}" if conditions else ""
    actions = ", ".join(rule.actions)
    return f"    - {{name: {rule.id}, actions: [{actions}], effect: {effect}, roles: {roles}{condition}}}\n"


def _cel(patterns: Iterable[str], name: str) -> str:
    shapes = {"is": '{} == "{}"', "begins": '{}.startsWith("{}")', "ends": '{}.endsWith("{}")'}
    return " || ".join(shapes[kind].format(name, text) for pattern in patterns for kind, text in _tests(pattern))


def cerbos_resource(asked: dict[str, Any], *, by_kind: bool) -> dict[str, Any]:
    """Return what Cerbos is asked about a request of ours; a check names one principal and any number of these."""
    repository, properties = asked["resource"]["id"], asked["resource"]["properties"]
    attributes = {"branch": properties["branch"], "files": [file["path"] for file in properties["files"]]}
    resource = {"kind": cerbos_kind(repository, by_kind=by_kind), "id": repository, "attr": attributes}
    return {"resource": resource, "actions": [asked["action"]["name"]]}
