"""What is refused before any adapter sees it."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.errors import UsageError
from orchestrator.order import Order
from orchestrator.task import asked_digest, refuse_unwritable


def order(parameters: Mapping[str, Any]) -> Order:
    return Order(name="one", action="create_tag", parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"message": "\udcff"}, "the parameter message of 'create_tag' is '\\udcff'"),
        ({"documents": {"a": "\ud800"}}, "the parameter documents.a of 'create_tag' is '\\ud800'"),
        ({"json": [1, {"b": ["ok", "\ud800"]}]}, "the parameter json[1].b[1] of"),
        ({"json": {"\ud800": 1}}, "the parameter json of 'create_tag' names '\\ud800'"),
        ({"\udcff": 1}, "an order of 'create_tag' names '\\udcff'"),
    ],
)
def test_a_text_that_is_no_utf8_is_refused_by_name_however_deep(parameters: Mapping[str, Any], said: str) -> None:
    for refusing in (refuse_unwritable, asked_digest):
        with pytest.raises(UsageError) as caught:
            refusing(order(parameters))
        assert str(caught.value).startswith(said)
        assert str(caught.value).endswith("; expected UTF-8 text")


def test_other_scripts_and_a_list_that_holds_itself_are_no_matter_of_utf8() -> None:
    circle: list[Any] = ["grün \U0001f680"]
    circle.append(circle)

    refuse_unwritable(order({"json": circle}))
