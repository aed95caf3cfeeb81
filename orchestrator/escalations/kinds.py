"""Kinds of values in a template: what could fail at some time only is refused before, whichever branch it stands in.

Numbers are counted with and compared, texts are cut where it is written out, and a divisor is a number that stands
there. So what a template gives never depends on luck: where it can be rendered once, it can be rendered always.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from orchestrator.escalations.texts import MOST_NUMBER, control_in

MOST_DIGITS, MOST_INDENT, MOST_WRAP, MOST_WIDTH, MOST_ITEMS = 15, 8, 20, 10_000, 1_000
TESTS = (
    "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "in", "integer", "lower", "ne",
    "none", "number", "odd", "sameas", "string", "true", "undefined", "upper",
)  # fmt: skip
"""Tests that there are: none that can fail."""

_VARIES = object()
"""Of what is not written out."""

Found = tuple[int, str, str, str]
"""Line, word, what was seen and what was expected."""


class Kind(StrEnum):
    """What an expression gives."""

    NUMBER = "a number"
    TEXT = "a text"
    LIST = "a list"
    ANY = "something"


_NUMBERS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "FloorDiv": "//", "Mod": "%"}
_DIVIDING = frozenset({"Div", "FloorDiv", "Mod"})
_ORDER = {"gt": ">", "gteq": ">=", "lt": "<", "lteq": "<="}
_OF_NUMBERS = frozenset({"abs", "round"})
_GIVING_NUMBERS = frozenset({"abs", "round", "int", "length", "count"})
_ARGUMENTS = {
    "default": ("default_value", "boolean"),
    "d": ("default_value", "boolean"),
    "int": ("default", "base"),
    "replace": ("old", "new"),
    "round": ("precision", "method"),
    "tojson": ("indent",),
    "trim": ("chars",),
    "truncate": ("length", "killwords", "end", "leeway"),
    "wordwrap": ("width", "break_long_words", "wrapstring", "break_on_hyphens"),
}
"""What filters take; the others take nothing."""


def of_constants(constants: Mapping[str, object]) -> dict[str, Kind]:
    """Return the kinds of an escalation's constants."""
    return {name: _of_value(value) for name, value in constants.items()}


def misfits(tree: Any, names: Mapping[str, Kind], constants: Mapping[str, Kind]) -> list[Found]:  # noqa: ANN401  # a template of Jinja2
    """Return what may fail in a template; `names` are those that it may name."""
    looked = _Look(constants)
    looked.over(tree, dict(names))
    return looked.found


class _Look:
    """Goes over one template."""

    def __init__(self, constants: Mapping[str, Kind]) -> None:
        self.found: list[Found] = []
        self._constants = constants

    def over(self, node: Any, names: dict[str, Kind]) -> None:  # noqa: ANN401  # a node
        """Look at a statement and at all that is in it."""
        kind = type(node).__name__
        if kind == "For":
            names = self._looped(node, names)
            self.kind_of(node.iter, names)
            for child in (*node.body, *node.else_, *filter(None, [node.test])):
                self.over(child, names)
            return
        if kind == "TemplateData":
            self._text(node, node.data)
            return
        if hasattr(node, "as_const"):  # an expression
            self.kind_of(node, names)
            return
        for child in node.iter_child_nodes():
            self.over(child, names)

    def kind_of(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401  # a node
        """Return what an expression gives, and note what is wrong in it."""
        made = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        if made is not None:
            return Kind(made(node, names))
        kinds = [self.kind_of(child, names) for child in node.iter_child_nodes()]
        if type(node).__name__ in _NUMBERS:
            return self._counted(node, kinds)
        if type(node).__name__ in {"And", "Or"}:
            return kinds[0] if len(set(kinds)) == 1 else Kind.ANY
        return {"Concat": Kind.TEXT, "List": Kind.LIST, "Tuple": Kind.LIST}.get(type(node).__name__, Kind.ANY)

    # -- one expression each

    def _of_const(self, node: Any, _: object) -> Kind:  # noqa: ANN401
        value = node.value
        if isinstance(value, str):
            self._text(node, value)
        elif isinstance(value, int | float) and not abs(value) <= MOST_NUMBER:
            self._tell(node, "", "a number that is too large", f"at most {MOST_NUMBER:,}")
        return _of_value(value)

    def _of_templatedata(self, node: Any, _: object) -> Kind:  # noqa: ANN401
        self._text(node, node.data)
        return Kind.TEXT

    def _of_name(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        if node.name == "loop":
            self._tell(node, "loop", "`loop` as a whole", "`loop.index`, `loop.last` and so on")
        return names.get(node.name, Kind.ANY)

    def _of_getattr(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        return self._asked(node, node.attr, names)

    def _of_getitem(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        if getattr(node.node, "name", "") in {"constants", "loop"}:
            return self._asked(node, str(_constant(node.arg)), names)
        kind = self.kind_of(node.node, names)
        if type(node.arg).__name__ != "Slice":
            self._tell(node, "[", "one item by its number", "a part such as `[:4]`, which is there however long it is")
            return Kind.ANY
        if kind not in {Kind.TEXT, Kind.LIST}:
            self._tell(node, "[", f"a part of {kind}", "a part of a text")
        ends = [_constant(end) for end in (node.arg.start, node.arg.stop, node.arg.step)]
        if not all(end is None or _is_whole(end) for end in ends) or ends[2] == 0:
            self._tell(node, "[", "a part whose ends are not written out", "whole numbers, and no step of 0")
        return kind

    def _of_neg(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        return self._counted(node, [self.kind_of(node.node, names)])

    _of_pos = _of_neg

    def _of_not(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        self.kind_of(node.node, names)
        return Kind.NUMBER

    def _of_condexpr(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        self.kind_of(node.test, names)
        kinds = {self.kind_of(node.expr1, names)}
        if node.expr2 is None:
            self._tell(node, "if", "an `if` without `else` in a value", "what it is otherwise: `... if ... else ''`")
        else:
            kinds.add(self.kind_of(node.expr2, names))
        return kinds.pop() if len(kinds) == 1 else Kind.ANY

    def _of_dict(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        for pair in node.items:
            self.kind_of(pair.value, names)
            if not isinstance(_constant(pair.key), str):
                self._tell(node, "{", "a key that is no text", "keys that are written out as texts")
        return Kind.ANY

    def _of_compare(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        left = self.kind_of(node.expr, names)
        for operand in node.ops:
            right = self.kind_of(operand.expr, names)
            sign = _ORDER.get(operand.op)
            if sign and not left == right == Kind.NUMBER:
                seen = f"`{sign}` of {_worse(left, right)}"
                self._tell(node, sign, seen, "numbers; texts are compared by `==` alone")
            elif operand.op in {"in", "notin"}:
                self._contained(node, left, right)
            left = right
        return Kind.NUMBER

    def _of_filter(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        name = str(node.name)
        kind = self.kind_of(node.node, names) if node.node is not None else Kind.ANY
        given = self._given(node, _ARGUMENTS.get(name, ()), names)
        if name in _OF_NUMBERS and kind is not Kind.NUMBER:
            self._tell(node, name, f"`{name}` of {kind}", "a number; `int` makes one of a text")
        elif name in {"length", "count"} and kind not in {Kind.TEXT, Kind.LIST}:
            self._tell(node, name, f"`{name}` of {kind}", "a text or a list")
        for expected in _wrong_arguments(name, given):
            self._tell(node, name, f"`{name}` with other arguments", expected)
        if name in {"d", "default"}:
            return kind
        return Kind.NUMBER if name in _GIVING_NUMBERS else Kind.TEXT

    def _of_test(self, node: Any, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        name = str(node.name)
        kind = self.kind_of(node.node, names)
        asked = [self.kind_of(argument, names) for argument in node.args]
        wanted = 1 if name in {"divisibleby", "eq", "equalto", "in", "ne", "sameas"} else 0
        if name in TESTS and (len(asked) != wanted or node.kwargs or node.dyn_args or node.dyn_kwargs):
            self._tell(node, name, f"`is {name}` with other arguments", "one" if wanted else "none")
        elif name in {"odd", "even", "divisibleby"} and kind is not Kind.NUMBER:
            self._tell(node, name, f"`is {name}` of {kind}", "a number")
        elif name == "divisibleby" and not _is_divisor(_constant(node.args[0])):
            self._tell(node, name, "a divisor that is not written out", "a number other than 0")
        elif name == "in":
            self._contained(node, kind, asked[0])
        return Kind.NUMBER

    # -- what they share

    def _asked(self, node: Any, name: str, names: Mapping[str, Kind]) -> Kind:  # noqa: ANN401
        base = getattr(node.node, "name", "")
        if base == "constants":
            return self._constants.get(name, Kind.ANY)
        if base != "loop":
            self.kind_of(node.node, names)
            return Kind.ANY
        return Kind.NUMBER

    def _counted(self, node: Any, kinds: list[Kind]) -> Kind:  # noqa: ANN401
        sign = _NUMBERS.get(type(node).__name__, "-")
        if set(kinds) != {Kind.NUMBER}:
            seen = f"`{sign}` of {_worse(*kinds)}"
            self._tell(node, sign, seen, "numbers; `~` puts texts together, and `int` makes a number of one")
        elif type(node).__name__ in _DIVIDING and not _is_divisor(_constant(node.right)):
            self._tell(node, sign, "a divisor that is not written out", "a number other than 0")
        return Kind.NUMBER

    def _contained(self, node: Any, left: Kind, right: Kind) -> None:  # noqa: ANN401
        if right is not Kind.LIST and not left == right == Kind.TEXT:
            self._tell(node, "in", f"{left} in {right}", "a text in a text, or anything in a list")

    def _looped(self, node: Any, names: dict[str, Kind]) -> dict[str, Kind]:  # noqa: ANN401
        items = getattr(node.iter, "items", [])
        targets = [node.target] if type(node.target).__name__ == "Name" else list(node.target.items)
        rows = [[item] if targets[0] is node.target else getattr(item, "items", []) for item in items]
        if len(items) > MOST_ITEMS:
            self._tell(node, "for", f"a loop over {len(items):,} items", f"at most {MOST_ITEMS:,}")
        if any(type(one).__name__ != "Name" or one.name in {"loop", *names} for one in targets):
            self._tell(node, "for", "a loop over names that mean something else", "a name of its own")
        elif any(len(row) != len(targets) for row in rows):
            self._tell(node, "for", f"items that are not {len(targets)} values each", "lists of one length")
        else:
            columns = [{self.kind_of(row[at], names) for row in rows} for at in range(len(targets))]
            own = {one.name: kinds.pop() if len(kinds) == 1 else Kind.ANY
                   for one, kinds in zip(targets, columns, strict=True)}  # fmt: skip
            return names | own
        return names

    def _given(self, node: Any, known: tuple[str, ...], names: Mapping[str, Kind]) -> dict[str, Any]:  # noqa: ANN401
        """Return a filter's arguments by name: constants as values, others as their kind."""
        if node.dyn_args or node.dyn_kwargs or len(node.args) > len(known):
            self._tell(node, str(node.name), f"`{node.name}` with too many arguments", ", ".join(known) or "none")
            return {}
        pairs = [*zip(known, node.args, strict=False), *((one.key, one.value) for one in node.kwargs)]
        for name, _ in pairs[len(node.args) :]:
            if name not in known or name in known[: len(node.args)]:
                self._tell(node, str(name), f"the argument `{name}` of `{node.name}`", ", ".join(known) or "none")
        kinds = [(name, self.kind_of(value, names), _constant(value)) for name, value in pairs]
        return {str(name): kind if value is _VARIES else value for name, kind, value in kinds}

    def _text(self, node: Any, text: str) -> None:  # noqa: ANN401
        if (at := control_in(text)) >= 0:
            line = (node.lineno or 1) + text.count("\n", 0, at)
            self.found.append((line, "", f"the character U+{ord(text[at]):04X}", "text, line breaks and tabs"))

    def _tell(self, node: Any, word: str, seen: str, expected: str) -> None:  # noqa: ANN401
        self.found.append((node.lineno or 1, word, seen, expected))


def _wrong_arguments(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what would be right of arguments that a filter cannot do with, or not within bounds."""
    checks: dict[tuple[str, str], tuple[Callable[[object], bool], str]] = {
        ("int", "default"): (_is_number, "a number"),
        ("int", "base"): (_whole(2, 36), "a base of 2 to 36"),
        ("replace", "old"): (_is_written, "a text to replace"),
        ("replace", "new"): (_is_text, "a text to put there"),
        ("round", "precision"): (_whole(0, MOST_DIGITS), f"0 to {MOST_DIGITS} digits"),
        ("round", "method"): (lambda one: one in ("common", "ceil", "floor"), "common, ceil or floor"),
        ("tojson", "indent"): (_whole(0, MOST_INDENT), f"an indent of 0 to {MOST_INDENT}"),
        ("trim", "chars"): (_is_text, "a text"),
        ("truncate", "length"): (_whole(1, MOST_WIDTH), f"a length of 1 to {MOST_WIDTH:,}"),
        ("truncate", "end"): (_is_short, f"an end of at most {MOST_WRAP} characters"),
        ("truncate", "leeway"): (_whole(0, MOST_WIDTH), f"0 to {MOST_WIDTH:,}"),
        ("wordwrap", "width"): (_whole(1, MOST_WIDTH), f"a width of 1 to {MOST_WIDTH:,}"),
        ("wordwrap", "wrapstring"): (_is_short, f"a text of at most {MOST_WRAP} characters"),
    }  # fmt: skip
    for argument, value in given.items():
        is_fine, expected = checks.get((name, argument), (lambda _: True, ""))
        if not is_fine(value):
            yield f"`{argument}`: {expected}"
    if name == "replace" and len(given) != 2:  # noqa: PLR2004  # which and by what
        yield "what is replaced, and by what"
    if name == "truncate" and _whole(1, MOST_WIDTH)(length := given.get("length", 255)):
        end = given.get("end", "...")
        if isinstance(end, str) and len(end) > length:
            yield "`length`: at least as long as its end"


def _of_value(value: object) -> Kind:
    if isinstance(value, str):
        return Kind.TEXT
    return Kind.NUMBER if isinstance(value, int | float | Decimal) else Kind.ANY


def _constant(node: Any) -> Any:  # noqa: ANN401  # what is written out
    """Return a value that is written out, negative ones too; None where nothing stands, `_VARIES` for anything else."""
    if node is None:
        return None
    if type(node).__name__ == "Neg" and _is_number(inner := _constant(node.node)):
        return -inner
    return node.value if type(node).__name__ == "Const" else _VARIES


def _worse(*kinds: Kind) -> Kind:
    return next(kind for kind in (*kinds, Kind.ANY) if kind is not Kind.NUMBER)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_divisor(value: object) -> bool:
    return _is_number(value) and value != 0


def _whole(least: int, most: int) -> Callable[[object], bool]:
    """Return whether something is a whole number within bounds."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (not isinstance(value, Kind) or value is Kind.TEXT)


def _is_written(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Kind) and value != ""


def _is_short(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Kind) and len(value) <= MOST_WRAP
