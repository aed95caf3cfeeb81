"""Whether two globs can match the same text, and a text that one matches. For people; nothing is decided by it."""

from collections.abc import Iterable

from orchestrator.glob import ALL, DEEP, ONE, STAR, Kind, Token, expand, tokens

_MOST_STEPS = 20_000

_ANY = "any"
_INSIDE = "inside"
_DEEP = "deep"


def may_overlap(first: Iterable[str], second: Iterable[str], kind: Kind) -> bool:
    """Return whether some text matches a pattern of each; true where finding out would take too long."""
    left = [_steps(each, kind) for pattern in first for each in expand(pattern)]
    right = [_steps(each, kind) for pattern in second for each in expand(pattern)]
    return any(_meet(one, other, kind.separator) for one in left for other in right)


def sample(pattern: str, kind: Kind) -> str:
    """Return a text that the pattern matches, as plain as can be."""
    plain = {DEEP: "", ALL: "x", STAR: "x", ONE: "x"}
    found = tokens(expand(pattern)[0], kind)
    return "".join(plain[token] if isinstance(token, Token) else token for token in found) or "x"


def _steps(pattern: str, kind: Kind) -> list[tuple[str, str]]:
    """Return a pattern as steps of an automaton: pairs of what a step takes and, for `is`, the character.

    `inside` and `any` take any number; `deep` takes none and may be followed or skipped with the two steps behind it.
    """
    steps: list[tuple[str, str]] = []
    for token in tokens(pattern, kind):
        if not isinstance(token, Token):
            steps += [("is", character) for character in token]
        elif token == DEEP:
            steps += [(_DEEP, ""), (_ANY, ""), ("is", kind.separator)]
        else:
            steps.append({ALL: (_ANY, ""), STAR: (_INSIDE, ""), ONE: ("one", "")}[token])
    return steps


def _meet(left: list[tuple[str, str]], right: list[tuple[str, str]], separator: str) -> bool:
    """Search the pairs of places in both automata for one where both are at their end."""
    seen = {(0, 0)}
    todo = [(0, 0)]
    while todo:
        if len(seen) > _MOST_STEPS:
            return True
        at, to = todo.pop()
        if at == len(left) and to == len(right):
            return True
        found = [(skip, to) for skip in _skips(left, at)] + [(at, skip) for skip in _skips(right, to)]
        if at < len(left) and to < len(right) and _share(left[at], right[to], separator):
            found.append((_after(left, at), _after(right, to)))
        new = [pair for pair in found if pair not in seen]
        seen.update(new)
        todo += new
    return False


def _skips(steps: list[tuple[str, str]], at: int) -> list[int]:
    """Return the places that can be reached without a character."""
    if at == len(steps):
        return []
    return {_ANY: [at + 1], _INSIDE: [at + 1], _DEEP: [at + 1, at + 3]}.get(steps[at][0], [])


def _after(steps: list[tuple[str, str]], at: int) -> int:
    return at if steps[at][0] in {_ANY, _INSIDE} else at + 1


def _share(left: tuple[str, str], right: tuple[str, str], separator: str) -> bool:
    """Return whether both steps can take the same character."""
    if _DEEP in (left[0], right[0]):
        return False
    if left[0] == "is" and right[0] == "is":
        return left[1] == right[1]
    for one, other in ((left, right), (right, left)):
        if one[0] == "is" and other[0] in {_INSIDE, "one"}:
            return not separator or one[1] != separator
    return True
