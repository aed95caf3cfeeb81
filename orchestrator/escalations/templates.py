"""A template, looked at before anything is rendered: what it must not do or name, each with its line; its blocks. Pure.

Templates are text for people: values, conditions, one loop over what is written out, a few filters. So what one gives
and how long it takes is bounded by how long it is.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.escalations.kinds import TESTS, Kind, misfits, of_constants
from orchestrator.escalations.texts import FILTERS, NAMES, environment
from orchestrator.words import did_you_mean, listing

if TYPE_CHECKING:
    from jinja2 import nodes

WHOLE = "body"
"""The parameter that a template without blocks gives."""
_LOOP = ("first", "index", "index0", "last", "length", "revindex", "revindex0")
_ALLOWED = frozenset(
    {
        *("Template", "TemplateData", "Output", "Block", "If", "For", "CondExpr", "Name", "Const", "List", "Tuple"),
        *("Dict", "Pair", "Keyword", "Getattr", "Getitem", "Slice", "Filter", "Test", "Compare", "Operand"),
        *("And", "Or", "Not", "Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Neg", "Pos", "Concat"),
    }
)
"""Parts of a template, as Jinja2 names them, that cannot make it endless."""
_WORDS = {
    "Assign": "`set`",
    "AssignBlock": "`set`",
    "Call": "a call",
    "CallBlock": "`call`",
    "Extends": "`extends`",
    "FilterBlock": "`filter`",
    "FromImport": "`import`",
    "Import": "`import`",
    "Include": "`include`",
    "Macro": "`macro`",
    "Pow": "`**`",
    "EvalContextModifier": "`autoescape`",
    "Scope": "`autoescape`",
    "ScopedEvalContextModifier": "`autoescape`",
    "With": "`with`",
}
_KINDS = dict.fromkeys(NAMES, Kind.TEXT) | {"cycle": Kind.NUMBER, "is_drill": Kind.NUMBER, "constants": Kind.ANY}
_BOUNDED = "values, `if`, a `for` over what is written out, and filters"


class Objection(NamedTuple):
    """What is wrong with a template."""

    line: int
    """1-based."""
    word: str
    """What stands there, to find the column by; may be empty."""
    seen: str
    expected: str
    advice: str = ""


def objections(source: str, constants: Mapping[str, object], *, may_have_blocks: bool = False) -> list[Objection]:
    """Return all that is wrong with a template, in the order of its lines; `constants` are what it may name."""
    from jinja2 import TemplateSyntaxError

    try:
        tree = environment(is_markup=False).parse(source)
        found = [*_forbidden(tree, may_have_blocks=may_have_blocks), *_unknown(tree, source, constants)]
        if not found:
            found = [Objection(*one) for one in misfits(tree, _KINDS, of_constants(constants))]
    except TemplateSyntaxError as error:
        return [Objection(error.lineno, "", f"a template that cannot be read: {error.message}", "")]
    except (ValueError, RecursionError) as error:
        return [Objection(1, "", f"a template that cannot be read: {error!s:.100}", "")]
    if may_have_blocks:
        found += _beside_blocks(tree)
    return sorted(dict.fromkeys(found), key=lambda one: (one.line, one.seen))


def blocks(source: str) -> dict[str, str]:
    """Return a template's blocks, name to source; all of it is `body` where it has none. It has no objections."""
    found: dict[str, str] = {}
    name: str | None = None
    tag: list[str] | None = None
    for _, kind, value in environment(is_markup=False).lex(source):
        if kind == "block_begin":
            tag = [value]
        elif tag is not None:
            tag.append(value)
            if kind == "block_end":
                words = [word for word in (each.strip() for each in tag[1:-1]) if word]
                name = _next(words, "".join(tag), name, found)
                tag = None
        elif name is not None:
            found[name] += value
    return {each: _unindented(text) for each, text in found.items()} or {WHOLE: source}


def column(line: str, word: str) -> int:
    """Return where a word stands in a line, 1-based; where it begins if the word is not there."""
    found = re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", line) if word else None
    found = found or (re.search(re.escape(word), line) if word else None) or re.search(r"\{[{%]", line)
    return found.start() + 1 if found else 1


def _next(words: list[str], tag: str, name: str | None, found: dict[str, str]) -> str | None:
    """Return the block that goes on behind a tag; the tags of blocks belong to none."""
    if words[:1] == ["block"]:
        found[words[1]] = ""
        return words[1]
    if words[:1] == ["endblock"]:
        return None
    if name is not None:
        found[name] += tag
    return name


def _unindented(text: str) -> str:
    """Return a block without the line break behind its opening tag."""
    return re.sub(r"\A[ \t]*\n", "", text)


def _forbidden(tree: "nodes.Template", *, may_have_blocks: bool) -> Iterator[Objection]:
    seen: set[str] = set()
    for node, loops in _walk(tree, 0):
        kind = type(node).__name__
        if kind not in _ALLOWED:
            word = _WORDS.get(kind, f"`{kind.lower()}`")
            yield Objection(node.lineno or 1, word.strip("`"), f"{word} in a template", _BOUNDED)
        elif kind == "Block":
            name = str(_of(node, "name"))
            if not may_have_blocks:
                yield Objection(node.lineno, "block", "a block in the text of one parameter", "the text alone")
            elif node not in tree.body:
                yield Objection(node.lineno, name, f"the block `{name}` inside of something", "blocks side by side")
            elif name in seen:
                yield Objection(node.lineno, name, f"the block `{name}` a second time", "each block once")
            seen.add(name)
        elif kind == "For":
            yield from _loop(node, loops)
        elif kind in {"Filter", "Test"}:
            yield from _named(node, kind)


def _loop(node: "nodes.Node", loops: int) -> Iterator[Objection]:
    if loops:
        yield Objection(node.lineno, "for", "a `for` inside of a `for`", "one loop alone")
    if type(_of(node, "iter")).__name__ not in {"List", "Tuple"} or _of(node, "recursive"):
        yield Objection(node.lineno, "for", "a `for` over something else than a list", "a list that is written out")


def _named(node: "nodes.Node", kind: str) -> Iterator[Objection]:
    name = str(_of(node, "name"))
    known = FILTERS if kind == "Filter" else TESTS
    if name not in known:
        expected = f"one of {listing(FILTERS)}" if kind == "Filter" else f"one of {listing(TESTS)}"
        yield Objection(node.lineno, name, f"the {kind.lower()} `{name:.60}`", expected, did_you_mean(name, known))


def _unknown(tree: "nodes.Template", source: str, constants: Mapping[str, object]) -> Iterator[Objection]:
    """Yield names that are not there: what is only found when a condition holds, too."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.meta import find_undeclared_variables

    try:
        strangers = find_undeclared_variables(tree) - set(NAMES)
    except TemplateError:  # an unknown filter, which is told
        own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"} | {"loop"}
        strangers = {node.name for node in tree.find_all(nodes.Name)} - own - set(NAMES)
    based: set[int] = set()
    asking: Iterator[Any] = tree.find_all((nodes.Getattr, nodes.Getitem))
    for asked in asking:
        based.add(id(asked.node))
        wrong = _below(asked, constants)
        if wrong is not None and getattr(asked.node, "name", "") not in strangers:
            yield wrong
    for node in tree.find_all(nodes.Name):
        if node.name in strangers and node.ctx == "load":
            is_secret = "${{" in source and node.name == "secrets"
            advice = "a secret never stands in a text" if is_secret else _advice(node.name, constants)
            yield Objection(node.lineno, node.name, f"the undefined name `{node.name:.60}`", listing(NAMES), advice)
        elif node.name == "constants" and id(node) not in based:
            yield Objection(node.lineno, "constants", "`constants` as a whole", "`constants.NAME`")


def _advice(name: str, constants: Mapping[str, object]) -> str:
    return f"did you mean `constants.{name}`?" if name in constants else did_you_mean(name, NAMES)


def _below(node: Any, constants: Mapping[str, object]) -> Objection | None:  # noqa: ANN401  # Getattr or Getitem
    """Return what is wrong with something that is asked of a value."""
    base = getattr(node.node, "name", "")
    written = node.attr if hasattr(node, "attr") else getattr(node.arg, "value", None)
    if base == "loop" and written in _LOOP:
        return None
    if base != "constants":
        if not isinstance(written, str):  # an item of a list that is written out, or a part of a text
            return None
        return Objection(node.lineno, written, f"`{written:.60}` of a value", "the value itself")
    if not isinstance(written, str):
        return Objection(node.lineno, "constants", "a constant that is named by a value", "`constants.NAME`")
    if written in constants:
        return None
    known = listing(sorted(constants)) if constants else "a constant under `constants:`"
    advice = did_you_mean(written, constants)
    return Objection(node.lineno, written, f"the constant `{written:.60}`, which is not there", known, advice)


def _beside_blocks(tree: "nodes.Template") -> Iterator[Objection]:
    """Yield what stands beside the blocks of a template that has some: it would go nowhere."""
    if not any(type(node).__name__ == "Block" for node in tree.body):
        return
    for node in tree.body:
        parts: list[Any] = _of(node, "nodes") if type(node).__name__ == "Output" else [node]
        for part in parts:
            kind = type(part).__name__
            text = str(_of(part, "data")) if kind == "TemplateData" else ""
            if kind == "Block" or (kind == "TemplateData" and not text.strip()):
                continue
            line = part.lineno + text[: len(text) - len(text.lstrip())].count("\n")
            word = text.split()[0] if text else ""
            yield Objection(line, word, "something beside the blocks, which goes nowhere", "everything in a block")


def _walk(node: "nodes.Node", loops: int) -> Iterator[tuple["nodes.Node", int]]:
    """Yield every node with how many loops it stands in."""
    yield node, loops
    for child in node.iter_child_nodes():
        yield from _walk(child, loops + (type(node).__name__ == "For"))


def _of(node: "nodes.Node", name: str) -> Any:  # noqa: ANN401  # a field of a node
    return getattr(node, name)
