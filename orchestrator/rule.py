"""One rule of a pack: from its model to `Rule`, defaults filled in, lists resolved, what makes no sense noted."""

import re
from decimal import Decimal, localcontext
from typing import TypeVar

from orchestrator import schema
from orchestrator.catalogue import CATALOGUE
from orchestrator.clock import parse_duration
from orchestrator.condition import Conditions, check_glob
from orchestrator.document import Map, Place, Seq, shown
from orchestrator.glob import Kind
from orchestrator.lists import Lists, placed
from orchestrator.model import (
    MICRO,
    SEVERITY_OF,
    Approval,
    Budget,
    Effect,
    Evidence,
    Level,
    Rule,
    Selectors,
    Severity,
    Source,
)
from orchestrator.notes import Notes, Use
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME
from orchestrator.words import did_you_mean, listing

Each = TypeVar("Each")

METERS = ("usd", "tokens", "tool_calls", "minutes", "pr_attempts")
"""The built-in budget meters."""
PLACEHOLDERS = (
    "subject",
    "action",
    "resource",
    "repository",
    "branch",
    "head_branch",
    "tool",
    "paths",
    "point",
    "stage",
)
"""What may stand in braces in `message` and `fix`."""
SELECTOR_KINDS: dict[str, Kind | None] = {
    "subjects": Kind.SUBJECT,
    "roles": None,
    "repositories": Kind.REPOSITORY,
    "branches": Kind.PATH,
    "head_branches": Kind.PATH,
    "file_globs": Kind.PATH,
    "tools": Kind.TOOL,
    "stages": None,
}
"""Each selector and the kind of its globs; None for plain names."""

_PROPERTY_OF = {"branches": "branch", "head_branches": "head_branch", "file_globs": "files"}
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ONLY_REQUIRE = ("approvals", "evidence", "stage")
_INSTEAD = {
    "[": "for one of several use `{a,b}`",
    "!": "for all but some use `**`, and another rule for those",
    "\\": "folders are joined by `/`, and nothing needs escaping",
}
"""What to write instead of a character that means nothing in our globs."""
_BARE_FILES = frozenset({"configure", "dockerfile", "gradlew", "justfile", "makefile", "mvnw"})
"""Usual names of files in lower case that have no extension."""
_DOT_FOLDERS = frozenset({".circleci", ".git", ".github", ".orch", ".vscode"})
_MAX_LIMIT = 10**12
_MAX_EXPIRY_S = 366 * 86_400


class Rules:
    """Reads the rules of one pack, or the scope of a waiver."""

    def __init__(self, lists: Lists, notes: Notes, declared: schema.Declares) -> None:
        self._lists = lists
        self._notes = notes
        self._declared = declared
        self._conditions = Conditions(lists, notes)
        self.uses: list[Use] = []

    def read(self, rule: schema.Rule, raw: Map, place: Place) -> Rule:
        """Return one rule; what is wrong with it is noted."""
        effect = Effect(rule.effect)
        self._check_effect(rule, raw, effect, place)
        self.use_actions(rule.actions, raw)
        selectors, sources = self.selectors(rule, raw)
        self.check_reach(rule.actions, raw)
        objects = effect in {Effect.DENY, Effect.REQUIRE}
        level = Level(rule.level) if objects else None
        has_severity = "severity" in rule.model_fields_set
        severity = Severity(rule.severity) if has_severity else SEVERITY_OF[level] if level else Severity.INFO
        for key in ("message", "fix"):
            self._check_placeholders(getattr(rule, key), raw.value_at(key))
        if rule.stage:
            self._use("stage", rule.stage, raw.value_at("stage"))
        return Rule(
            id=rule.id,
            effect=effect,
            actions=tuple(dict.fromkeys(rule.actions)),
            source=self._notes.source(place),
            level=level,
            severity=severity,
            selectors=selectors,
            selector_sources=sources,
            when=self._conditions.read(rule.when, raw["when"], rule.actions, effect) if rule.when else (),
            approvals=tuple(self._approval(each, *where) for each, where in _items(rule.approvals, raw, "approvals")),
            evidence=tuple(Evidence(each.type, each.phase) for each in rule.evidence),
            budgets=tuple(self._budget(each, *where) for each, where in _items(rule.budgets, raw, "budgets")),
            stage=rule.stage or None,
            title=rule.title,
            message=rule.message,
            fix=rule.fix,
        )

    def _check_effect(self, rule: schema.Rule, raw: Map, effect: Effect, place: Place) -> None:
        given = rule.model_fields_set
        if effect is not Effect.REQUIRE:
            for key in _ONLY_REQUIRE:
                if key in given:
                    self._notes.error(raw.key_at(key), f"`{key}` on {_a(effect)}", f"`{key}` on a require only")
        elif given.isdisjoint({*_ONLY_REQUIRE, "budgets"}):
            self._notes.error(place, "a require that requires nothing", "approvals, evidence, budgets or stage")
        if effect is Effect.DENY and "budgets" in given:
            self._notes.error(raw.key_at("budgets"), "`budgets` on a deny", "`budgets` on a require, allow or delegate")
        if effect in {Effect.ALLOW, Effect.DELEGATE}:
            for key in ("level", "severity"):
                if key in given:
                    self._notes.error(raw.key_at(key), f"`{key}` on {_a(effect)}", f"`{key}` on a deny or require only")

    def use_actions(self, actions: tuple[str, ...], raw: Map) -> None:
        """Record the actions that are not built in, to be looked for in what packs declare."""
        for action, place in zip(actions, placed(raw, "actions"), strict=False):
            if action != "*" and action not in CATALOGUE:
                self._use("action", action, place)

    def _use(self, kind: str, name: str, place: Place) -> None:
        own = {"action": self._declared.actions, "meter": self._declared.meters}.get(kind, ())
        self.uses.append(Use(kind, name, self._notes.source(place), own))

    def selectors(self, given: schema.Selectors, raw: Map) -> tuple[Selectors, dict[str, Source]]:
        """Return the selectors that were written, lists resolved, and where each stands."""
        found: Selectors = {}
        sources: dict[str, Source] = {}
        for key, kind in SELECTOR_KINDS.items():
            if key not in given.model_fields_set:
                continue
            values = self._lists.resolve(getattr(given, key), placed(raw, key))
            found[key] = tuple(str(value) for value, place in values if self._is_item(key, kind, value, place))
            sources[key] = self._notes.source(raw.key_at(key))
        return found, sources

    def _is_item(self, key: str, kind: Kind | None, value: object, place: Place) -> bool:
        """Return whether a value can be an item of a selector; note it where not."""
        if not isinstance(value, str):
            self._notes.error(place, shown(value), "text", f'write "{value}" in quotes')
            return False
        if kind is None:
            if not re.fullmatch(NAME[1:-1], value):
                advice = "a star stands for nothing here: leave the key out" if "*" in value else ""
                self._notes.error(place, shown(value), EXPECTED_OF_PATTERN[NAME], advice)
            if key == "stages":
                self._use("stage", value, place)
            return True
        each = check_glob(value, place, self._notes)
        if kind is Kind.REPOSITORY:
            self._check_repository(value, place)
        elif kind is Kind.TOOL and ":" not in value and "**" not in value:
            self._notes.error(place, shown(value), "`server:tool`", "`*` never crosses `:`")
        elif kind is Kind.SUBJECT and any(not _is_subject(one, in_braces=one != value) for one in each):
            self._notes.error(place, shown(value), "a subject as `type:id`, such as `agent:fixer` or `agent:*`")
        elif key in {"branches", "head_branches"}:
            self._check_branch(value, each, place)
        elif key == "file_globs":
            self._check_file_glob(value, each, place)
        return True

    def _check_branch(self, value: str, each: list[str], place: Place) -> None:
        if any(one.startswith("refs/") for one in each):
            self._notes.error(place, shown(value), "a branch without `refs/`", "write `main`, not `refs/heads/main`")
        elif remote := next((one for one in each if one.startswith("origin/")), ""):
            seen = f"{shown(value)}, which is a branch that is called so"
            self._notes.warning(
                place, seen, "a branch without its remote", f"write {shown(remote.removeprefix('origin/'))}"
            )
        self._warn_of_literals(value, place)

    def _check_file_glob(self, value: str, each: list[str], place: Place) -> None:
        folder = next((one for one in each if one.endswith("/")), "")
        bare = next((one for one in each if _is_bare(one) and f"{one}/**" not in each), "")
        if any(one.startswith(("/", "./", "../")) or "/../" in one for one in each):
            self._notes.error(
                place, shown(value), "a glob below the repository's root", "paths carry no leading `/`, `./` or `..`"
            )
        elif folder:
            below = folder.rstrip("/") + "/**"
            self._notes.error(
                place, f"the folder {shown(value)}", "a glob of files", f"paths are files; write `{below}`"
            )
        elif bare:
            seen = f"{shown(value)}, which matches only a file named {shown(bare)}"
            self._notes.warning(place, seen, "a glob of files", f"for a folder write `{bare}/**`")
        self._warn_of_literals(value, place)

    def _warn_of_literals(self, value: str, place: Place) -> None:
        """Note characters that other tools read as more than themselves."""
        odd = next((each for each in "[\\" if each in value), "!" if value.startswith("!") else "")
        if odd:
            seen = f"the `{odd}` in {shown(value)}, which stands for itself"
            self._notes.warning(place, seen, "globs of `*`, `**`, `?` and `{a,b}`", _INSTEAD[odd])

    def _check_repository(self, value: str, place: Place) -> None:
        self._use("repository", value, place)
        if "://" in value or value.endswith(".git"):
            self._notes.error(place, shown(value), "`owner/name` without scheme and `.git`")
        elif "/" not in value and "**" not in value:
            self._notes.error(
                place, shown(value), "`owner/name`", "`*` stays inside a segment: `owner/*`, or `**` for all"
            )

    def check_reach(self, actions: tuple[str, ...], raw: Map) -> None:
        """Note selectors on a property that none of the actions can have."""
        built_in = [CATALOGUE.get(action) for action in actions]
        if not actions or None in built_in:
            return
        known = [action for action in built_in if action]
        names = listing(sorted(actions))
        for key, name in _PROPERTY_OF.items():
            if key in raw and not any(name in action.has for action in known):
                able = sorted(each for each, action in CATALOGUE.items() if name in action.has)
                seen = f"`{key}` on {names}, which cannot have `{name}`"
                self._notes.error(raw.key_at(key), seen, f"`{key}` on {listing(able)}")
        if "tools" in raw and not any(action.resource == "tool" for action in known):
            self._notes.error(raw.key_at("tools"), f"`tools` on {names}, which act on no tool", "`tools` on call_tool")

    def _check_placeholders(self, text: str, place: Place) -> None:
        for found in _BRACES.finditer(text):
            whole, name = found.group(), found.group(1)
            if whole in {"{{", "}}"} or name in PLACEHOLDERS:
                continue
            if name is None:
                self._notes.error(
                    place, f"a single `{whole}`", f"a placeholder, or `{whole}{whole}` for the brace itself"
                )
            else:
                expected = f"one of {listing('{' + each + '}' for each in PLACEHOLDERS)}"
                near = did_you_mean("{" + name + "}", ["{" + each + "}" for each in PLACEHOLDERS])
                self._notes.error(
                    place, f"the placeholder {shown(whole)}", expected, near or "a brace itself is written twice"
                )

    def _approval(self, approval: schema.Approval, raw: object, place: Place) -> Approval:
        where = raw.value_at("expires") if isinstance(raw, Map) else place
        expires_s = 86_400
        try:
            expires_s = parse_duration(approval.expires)
        except ValueError:
            self._notes.error(where, shown(approval.expires), "a duration such as 30m, 24h or 7d")
        if expires_s > _MAX_EXPIRY_S:
            self._notes.error(where, shown(approval.expires), "at most 366d")
        return Approval(approval.role, approval.count, approval.bind, expires_s)

    def _budget(self, budget: schema.Budget, raw: object, place: Place) -> Budget:
        holder = raw if isinstance(raw, Map) else Map(place)
        if budget.meter not in METERS:
            self._use("meter", budget.meter, holder.value_at("meter"))
        has_window = "window" in budget.model_fields_set
        needs_window = budget.per in {"repo", "org"}
        if needs_window and not has_window:
            self._notes.error(place, f"a budget per {budget.per} without `window`", "`window: day` or `window: month`")
        elif has_window and not needs_window:
            self._notes.error(
                holder.key_at("window"), f"`window` on a budget per {budget.per}", "`window` on repo and org only"
            )
        micro = self._micro(budget.limit, holder.value_at("limit"))
        window = budget.window if needs_window and has_window else None
        return Budget(budget.meter, budget.per, micro, window, int(budget.warn_at.removesuffix("%")))

    def _micro(self, limit: int | Decimal, place: Place) -> int:
        with localcontext() as context:
            context.prec = 60
            micro = Decimal(limit) * MICRO
            if limit < 0 or limit > _MAX_LIMIT:
                self._notes.error(place, shown(limit), f"a limit from 0 to {_MAX_LIMIT}")
                return 0
            if micro != micro.to_integral_value():
                self._notes.error(place, shown(limit), "a limit with at most 6 digits after the point")
            return int(micro)


def _is_subject(pattern: str, *, in_braces: bool) -> bool:
    """Return whether a pattern can match `type:id` and is meant to; `{a,b}*` is taken at its word."""
    return ":" in pattern or set(pattern) <= {"*"} or (in_braces and "*" in pattern)


def _is_bare(pattern: str) -> bool:
    """Return whether a pattern is a word that names a folder sooner than a file."""
    if not pattern or pattern[0].isupper() or pattern in _BARE_FILES:
        return False
    return pattern in _DOT_FOLDERS or set(pattern).isdisjoint("./*?")


def _a(effect: Effect) -> str:
    return f"an {effect}" if effect is Effect.ALLOW else f"a {effect}"


def _items(items: tuple[Each, ...], raw: Map, key: str) -> list[tuple[Each, tuple[object, Place]]]:
    """Pair each item under a key with how it was written and where."""
    written = raw.get(key)
    values = written if isinstance(written, Seq) else [written]
    return list(zip(items, zip(values, placed(raw, key), strict=False), strict=False))
