"""The building blocks of the document models: names, numbers, one item or several, short forms. For `schema` alone."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from orchestrator.catalogue import CATALOGUE

Item = TypeVar("Item")

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ACTION = r"^(\*|[a-z0-9][a-z0-9_-]{0,62})$"
VERSION = r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}([-+][0-9A-Za-z.+-]{1,40})?$"
RULE_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}$"
FINDING_NAME = r"^((repo|run):)?[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}$"
SUBJECT = r"^[a-z0-9][a-z0-9_-]{0,62}:[^\s:][^\s]{0,254}$"
PERCENT = r"^([1-9][0-9]?|100)%$"
REPOSITORY = r"^[^/\s:]+(/[^/\s:]+)+$"

EXPECTED_OF_PATTERN = {
    NAME: "a name of lowercase letters, digits, `-` and `_`, at most 63",
    ACTION: "an action's name, or `*` for any",
    VERSION: "a version such as 1.4.0",
    RULE_NAME: "the name of an org rule, `pack/rule`",
    FINDING_NAME: "a finding's name: `pack/rule`, `repo:pack/rule` or `run:pack/rule`",
    SUBJECT: "a subject's name such as `user:alice`",
    PERCENT: "a share of the limit from `1%` to `100%`",
    REPOSITORY: "a repository such as `owner/name`",
}
"""What a text that does not fit a pattern should have been, in words."""


class Strict(BaseModel):
    """Base of every model: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


_LEAVE_OUT = "leave the key out if nothing is meant"
_EXISTS = "to ask whether something is there, write `{exists: true}`"


def refuse(expected: str, advice: str = "", *, at: str = "") -> NoReturn:
    """Refuse the value that a validator looks at, or what it has `at` a key, saying what was expected."""
    message = "expected"
    raise PydanticCustomError(message, "{expected}", {"expected": expected, "advice": advice, "at": at})


class OneOrMore:
    """Annotation of `tuple[Item, ...]`: a list that is not empty, or one item without a list."""

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the tuple's own check."""
        return core_schema.no_info_before_validator_function(self._as_tuple, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Accept both forms in editors."""
        several = handler(schema)
        return {"anyOf": [several["items"], several if self._may_be_empty else several | {"minItems": 1}]}

    def _as_tuple(self, value: object) -> tuple[object, ...]:
        if isinstance(value, list):
            if not value and not self._may_be_empty:
                refuse("at least one item", _LEAVE_OUT)
            return tuple(value)
        if value is None:
            refuse("one item or a list", _LEAVE_OUT)
        return (value,)


class Short:
    """Annotation of a model: text alone stands for a mapping with one key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the model's own check."""
        return core_schema.no_info_before_validator_function(
            lambda value: {self._key: value} if isinstance(value, str) else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Accept both forms in editors."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class ShortCondition:
    """Annotation of a model of operators: a scalar stands for `equals`, a list or the name of one for `in`."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the model's own check."""
        return core_schema.no_info_before_validator_function(_as_operators, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Accept all forms in editors."""
        listed = {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1}
        return {"anyOf": [_SCALAR_SCHEMA, listed, handler(schema)]}


def _as_operators(value: object) -> object:
    if isinstance(value, dict):
        if not value:
            refuse("at least one operator")
        return value
    if value is None:
        refuse("a value, a list or operators", _EXISTS)
    is_list = isinstance(value, list) or (isinstance(value, str) and is_list_name(value))
    return {"in": value} if is_list else {"equals": value}


def is_list_name(item: object) -> bool:
    """Return whether an item is the name of a list, `$name`; `$$name` is text."""
    return isinstance(item, str) and item.startswith("$") and not item.startswith("$$")


def _scalar(value: object) -> object:
    if isinstance(value, (str, bool, int, Decimal)):
        return value
    advice = _EXISTS if value is None else ""
    refuse("text, a number, true or false", advice)


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        advice = "write the number without quotes" if isinstance(value, str) else ""
        refuse("a number", advice)
    return value


def _percent(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(PERCENT[1:-1], value):
        return value
    refuse(EXPECTED_OF_PATTERN[PERCENT])


def _alone(actions: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in actions and len(actions) > 1:
        refuse("`*` alone, or actions by name")
    return actions


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_ACTION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": ["*", *CATALOGUE], "description": "A built-in action, or `*` for any."},
        {"type": "string", "pattern": NAME, "description": "An action that a pack declares."},
    ]
}

Text = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(pattern=NAME)]
Subject = Annotated[str, Field(pattern=SUBJECT)]
Scalar = Annotated[Any, PlainValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
Number = Annotated[Any, PlainValidator(_number), WithJsonSchema({"type": "number"})]
Percent = Annotated[str, PlainValidator(_percent), WithJsonSchema({"type": "string", "pattern": PERCENT})]
Several = Annotated[tuple[Item, ...], FailFast(), OneOrMore()]
"""One item or several; the first wrong one is told, so that a million of them take no memory."""
Mappings = Annotated[tuple[Item, ...], OneOrMore()]
"""The same, with every wrong item told."""
Actions = Annotated[
    tuple[Annotated[str, Field(pattern=ACTION), WithJsonSchema(_ACTION_SCHEMA)], ...],
    AfterValidator(_alone),
    OneOrMore(),
]
PointName = Literal["ci", "tick", "agent", "run", "api"]
ModeName = Literal["warn", "enforce"]
OutcomeName = Literal["allow", "deny", "pending"]
