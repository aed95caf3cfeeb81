"""A reminder that would be denied when it is due is found beforehand, by the engine that would deny it."""

from pathlib import Path

import pytest
from escalation_text import DOCUMENT, write

from orchestrator import opa
from orchestrator.draft import check
from orchestrator.errors import Exit, Problem


def problems(folder: Path, *, document: str = DOCUMENT, **texts: str) -> tuple[Problem, ...]:
    """Return what `orch policy validate` says to the default escalation, its reminder's blocks replaced."""
    blocks = {"subject": "{{ stage }}", "body": "Until {{ deadline }}, {{ time_left }}."} | texts
    reminder = "".join(f"{{% block {name} %}}{text}{{% endblock %}}\n" for name, text in blocks.items())
    write(folder, document, texts__reminder_j2=reminder)
    return tuple(one for one in check([str(folder)], opa.find(), 0).problems if "denied when it is due" in one.seen)


def test_plain_reminders_are_right(tmp_path: Path) -> None:
    assert problems(tmp_path) == ()


@pytest.mark.parametrize(
    "text",
    [
        "renew at acme.example",
        "<b>acme</b>.<i>example</i>",
        "{{ 'acme' ~ '.' ~ 'example' }}",
        "{% if not time_left %}acme.example{% endif %}",
        "{% if is_drill %}acme.example{% endif %}",
    ],
    ids=["text", "tags", "made by the template", "once it is late", "in a drill"],
)
def test_a_way_in_is_found_for_each_stage(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, html=text)

    stages = [one.seen.split(" would ")[0] for one in found]
    assert stages == [f"continuity: {stage}/mail" for stage in ("pre_release", "remind_1h", "remind_6h")]
    assert not any(one.is_warning for one in found)


def test_it_is_wrong_and_not_only_doubtful(tmp_path: Path) -> None:
    problems(tmp_path, body="orch renew")

    assert check([str(tmp_path)], opa.find(), 0).exit_code() is Exit.PACK


def test_letters_to_others_may_say_where_to_go(tmp_path: Path) -> None:
    document = DOCUMENT.replace("It is {{ entered_at }}", "See https://acme.example/{{ stage }}")

    assert problems(tmp_path, document=document) == ()
