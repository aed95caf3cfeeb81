"""Adapters found by what they do; what is not there is told with what is."""

import pytest

from orchestrator.adapter import SeveralError, adapter_for, named, no_channel
from orchestrator.errors import AdapterError, Exit, UsageError


def test_an_unknown_action_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"can do 'opn_pr' \(did you mean `open_pr`\?\)"):
        adapter_for("opn_pr")


def test_an_unknown_adapter_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no adapter 'gihtub'; installed: .*, webhook \(did you mean `github`\?\)"):
        named("gihtub")


def test_an_action_that_the_adapter_cannot_do_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"cannot do 'write_flie'; it does write_file \(did you mean `write_file`\?\)"):
        adapter_for("write_flie", "files")


def test_where_several_can_the_flag_is_named() -> None:
    with pytest.raises(SeveralError) as failure:
        adapter_for("send_message", among=("apprise", "mail"))

    assert failure.value.advice == "say by which: --adapter apprise, or in a plan `adapter: apprise`"


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ((), "there is no channel 'osp', and no channel at all"),
        (("ops", "chat"), "there is no channel 'osp'; known: chat, ops (did you mean `ops`?)"),
    ],
)
def test_an_unknown_channel_is_told_with_those_there_are(channels: tuple[str, ...], said: str) -> None:
    assert str(no_channel("osp", channels)) == said


@pytest.mark.parametrize(("error_class", "expected"), [("configuration", Exit.PACK), ("transient", Exit.FAILED)])
def test_what_is_not_configured_has_the_exit_code_of_a_wrong_configuration(error_class: str, expected: Exit) -> None:
    assert AdapterError("x", error_class=error_class).exit_code is expected
