"""What a template sees is fixed when its stage is entered; it is rendered in a sandbox and within bounds."""

import json
import time
from pathlib import Path

import pytest
from countdowns import DAY, DEADLINE, HOUR, MINUTE, at, default
from escalation_text import escalation, write

from orchestrator.errors import UsageError
from orchestrator.escalations.model import Deed, Escalation
from orchestrator.escalations.templates import blocks, column, objections
from orchestrator.escalations.texts import NAMES, Situation, in_words, rendered, situation_of


def situation(place: int, *, entered_at_ns: int = at(-6 * HOUR), made: Escalation | None = None) -> Situation:
    return situation_of(made or default(), place, cycle=3, deadline_ns=DEADLINE, entered_at_ns=entered_at_ns)


def render(source: str, name: str = "body", place: int = 1, **constants: object) -> str:
    return rendered(Deed("x", "send_message", {}, {name: source}), situation(place), constants)[name]


def test_a_situation_says_where_the_escalation_stands() -> None:
    assert situation(1) == Situation(
        escalation="continuity",
        stage="remind_6h",
        audience="operator",
        cycle=3,
        deadline="2026-11-21 12:00 UTC",
        entered_at="2026-11-21 06:00 UTC",
        time_left="6 hours",
        next_stage="remind_1h",
        next_at="2026-11-21 11:00 UTC",
        is_drill=False,
    )


def test_at_the_last_stage_nothing_comes_next_and_no_time_is_left() -> None:
    last = situation(5, entered_at_ns=at(2 * HOUR))

    assert (last.next_stage, last.next_at, last.time_left, last.audience) == ("", "", "", "public")


def test_at_the_deadline_no_time_is_left() -> None:
    assert situation(4, entered_at_ns=at(0)).time_left == ""
    assert situation(4, entered_at_ns=at(0, ns=-1)).time_left == "less than a minute"


def test_what_comes_next_waits_for_how_long_it_stands_here() -> None:
    made = default(stages=tuple(stage._replace(min_dwell_s=2 * HOUR) for stage in default().stages))

    assert situation(3, entered_at_ns=at(-MINUTE), made=made).next_at == "2026-11-21 13:59 UTC"


def test_what_comes_next_has_its_grace() -> None:
    assert situation(3, made=default(grace_s=600)).next_at == "2026-11-21 12:11 UTC"
    assert situation(1, made=default(grace_s=600)).next_at == "2026-11-21 11:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "less than a minute"),
        (31, "1 minute"),
        (15 * MINUTE, "15 minutes"),
        (HOUR, "1 hour"),
        (6 * HOUR - 10, "6 hours"),
        (5 * HOUR + 52 * MINUTE, "5 hours 52 minutes"),
        (DAY, "1 day"),
        (DAY + 2 * HOUR + 3 * MINUTE, "1 day 2 hours"),
        (3 * DAY + 5 * MINUTE, "3 days"),
    ],
)
def test_a_length_of_time_is_said_in_words(seconds: int, expected: str) -> None:
    assert in_words(seconds) == expected


def test_every_name_has_a_value() -> None:
    source = " ".join(f"{{{{ {name} }}}}" for name in NAMES if name != "constants")

    assert render(source).startswith("continuity remind_6h operator 3 2026-11-21 12:00 UTC")


def test_a_constant_may_be_called_like_a_method_of_a_mapping() -> None:
    assert render("{{ constants.items }} {{ constants.keys }}", items="one", keys=2) == "one 2"


def test_a_subject_is_one_line_and_a_body_as_it_is_written() -> None:
    assert render("\n {{ stage }}\n", "subject") == "remind_6h"
    assert render("\n {{ stage }}\n", "content") == "\n remind_6h\n"


def test_markup_in_a_value_is_escaped_in_html_alone() -> None:
    assert render("<b>{{ constants.x }}</b>", "html", x="<i>") == "<b>&lt;i&gt;</b>"
    assert render("{{ constants.x }}", x="<i>") == "<i>"
    assert render("{{ constants.x|replace('i', '<') }}", "html", x="<i>") == "&lt;&lt;&gt;"


def test_a_value_is_json_where_that_is_asked_for() -> None:
    assert json.loads(render("{{ constants.x|tojson }}", x='a"b')) == 'a"b'


def test_the_same_situation_gives_the_same_text(tmp_path: Path) -> None:
    made = escalation(write(tmp_path))
    deed, said = made.stages[1].deeds[0], situation(1, made=made)

    texts = [rendered(deed, said, made.constants) for _ in range(3)]

    assert texts[0] == texts[1] == texts[2]
    assert texts[0] == {
        "subject": "Acme: remind_6h",
        "body": "6 hours left until 2026-11-21 12:00 UTC.\nNext is remind_1h, 2026-11-21 11:00 UTC.\n",
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ constants.x }}", "has no attribute 'x'"),
        ("{{ stage * 1000000 }}", "counts with numbers only"),
        ("{{ '%1000000000d' % 1 }}", "counts with numbers only"),
        ("{{ 9 ** 9 ** 9 }}", "counts with numbers only"),
        ("{{ stage.__class__.__mro__ }}", "unsafe"),
        ("{{ stage|replace('', 'x') }}", "`replace` of nothing"),
        ("{{ 1 // 0 }}", "cannot be rendered"),
        ("{{ range(3) }}", "'range' is undefined"),
        ("{{ '{' }}${{ '{{ x }}' }}", "gives `${{`"),
    ],
)
def test_what_a_template_must_not_do_is_an_error(source: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(source)

    assert expected in str(caught.value) or "cannot be rendered" in str(caught.value)


def test_nothing_long_comes_of_something_short() -> None:
    began = time.monotonic()
    flood = "{{ '" + "a" * 1000 + "'" + "|replace('a', 'aaaaaaaaaaaaaaaa')" * 30 + " }}"

    with pytest.raises(UsageError, match="by too much"):
        render(flood)

    assert objections(flood, {}) == []
    assert time.monotonic() - began < 2


def test_what_gives_more_than_a_million_characters_is_refused() -> None:
    source = "{% for a in [" + "1," * 4000 + "] %}{{ constants.x }}{% endfor %}"

    with pytest.raises(UsageError, match="more than 1,000,000 characters"):
        render(source, x="x" * 4096)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1e999 + cycle }}",
        "{{ 1|round(99999999, 'ceil') }}",
        "{{ [1]|tojson(indent=2000000000) }}",
        "{{ stage|wordwrap(1, true, '" + "b" * 21 + "') }}",
        "{% if cycle > 5 %}{{ 1 / 0 }}{% endif %}",
        "{% if cycle == 7 %}{{ deadline + 1 }}{% endif %}",
        "{{ 1 / (entered_at[14:16]|int - 30) }}",
        "{% if entered_at > '2026' %}x{% endif %}",
        "{{ 'x' if is_drill }}",
        "{{ time_left[3] }}",
        "{{ stage[::cycle] }}",
        "{{ stage|replace(time_left, 'x') }}",
        "{{ stage|truncate(1) }}",
        "{{ stage|abs }}",
        "{{ cycle|length }}",
        "{{ 'a' in cycle }}",
        "{{ stage is even }}",
        "{{ cycle is divisibleby(0) }}",
        "{{ {cycle: 1}|tojson }}",
        "{% for a, b in [(1, 2), (3,)] %}{{ a }}{% endfor %}",
        "{% for stage in [1] %}{{ stage }}{% endfor %}",
        "{% for a in [" + "1," * 1001 + "] %}{{ a }}{% endfor %}",
        "{% for a in [1] %}{{ loop }}{% endfor %}",
        "{{ stage|int(base=99) }}",
        "{{ '\\ud800' }}",
        "a \x00 b",
        "{% if is_drill %}{{ '\\x07' }}{% endif %}",
    ],
)
def test_what_could_fail_at_some_time_is_refused_before(source: str) -> None:
    assert objections(source, {})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ cycle * 2 + 1 }}", "7"),
        ("{{ (cycle / 2)|round(1) }}", "1.5"),
        ("{{ time_left[:1]|int - 1 }}", "5"),
        ("{{ entered_at[:10] ~ '!' }}", "2026-11-21!"),
        ("{% if cycle > 2 and 'remind' in stage %}x{% else %}y{% endif %}", "x"),
        ("{{ 'last' if not next_stage else 'more' }}", "more"),
        ("{% for a, b in [('x', 1), ('y', 2)] %}{{ a }}{{ b + 1 }}{% endfor %}", "x2y3"),
        ("{{ constants.rate * 2 }}", "3.0"),
        ("{{ 999999999999999 * 999999999999999 }}", "1000000000000000"),
        ("{{ stage|wordwrap(6)|upper|replace('_', '-') }}", "REMIND\n-6H"),
        ("{{ {'a': deadline}|tojson }}", '{"a": "2026-11-21 12:00 UTC"}'),
    ],
)
def test_what_can_be_rendered_always_is_rendered(source: str, expected: str) -> None:
    assert objections(source, {"rate": 1.5}) == []
    assert render(source, rate=1.5) == expected


@pytest.mark.parametrize(
    "source", ["{{ 1e999 + cycle }}", "{{ '\\ud800' }}", "{{ '\\x00' }}", "{{ stage|truncate(1) }}"]
)
def test_whatever_goes_wrong_is_the_fault_of_that_text(source: str) -> None:
    with pytest.raises(UsageError):
        render(source)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("source", ["{{ '<'" + "|tojson" * 60 + " }}", "{{ '" + "a" * 30_000 + "'|wordwrap(1) }}"])
def test_a_filter_gives_no_flood(source: str) -> None:
    with pytest.raises(UsageError):
        render(source)


def test_the_names_of_a_loop_are_known() -> None:
    source = "{% for word in ['a', 'b'] %}{{ loop.index }}{{ word }}{% if not loop.last %}, {% endif %}{% endfor %}"

    assert objections(source, {}) == []
    assert render(source) == "1a, 2b"


def test_blocks_keep_what_is_raw_and_how_white_space_is_cut() -> None:
    source = (
        "{% block a -%}\n  x {%- endblock %}\n{% block b %}\n{% raw %}{{ y }}{% endraw %}{# no #}\n{% endblock b %}"
    )

    found = blocks(source)

    assert {name: render(text) for name, text in found.items()} == {"a": "x", "b": "{{ y }}\n"}


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [("a {{ stage }} {{ b }}", "b", 18), ("{{ x.b }} {{ b }}", "b", 14), ("a {{ x }}", "nowhere", 3), ("text", "", 1)],
)
def test_the_column_is_where_the_word_stands(line: str, word: str, expected: int) -> None:
    assert column(line, word) == expected
