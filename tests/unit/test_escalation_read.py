"""A document of an escalation is read strictly: what it means, and every error with its place, never at tick time."""

from pathlib import Path

import pytest
from escalation_text import DOCUMENT, PLAN, TEMPLATE, escalation, loaded, told, write

from orchestrator.errors import PackError
from orchestrator.escalations import deeds
from orchestrator.escalations.model import CatchUp, Clock, Lockout, Mode
from orchestrator.ledger.project_escalations import ORDERS_AT_ONCE
from orchestrator.model import Layer
from orchestrator.names import run_problem

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


def changed(before: str, after: str, document: str = DOCUMENT) -> str:
    assert before in document, before
    return document.replace(before, after, 1)


def test_a_document_says_its_stages_in_order(tmp_path: Path) -> None:
    found = escalation(write(tmp_path))

    assert [(stage.name, stage.at_s, stage.audience.value) for stage in found.stages] == [
        ("ok", None, "operator"),
        ("remind_6h", -21_600, "operator"),
        ("remind_1h", -3_600, "operator"),
        ("pre_release", -900, "operator"),
        ("partial", 60, "custodians"),
        ("full", 7_200, "public"),
    ]
    assert (found.name, found.version, found.source) == ("continuity", "1.2.3", "continuity.yaml:1")


def test_what_is_not_said_is_the_usual(tmp_path: Path) -> None:
    found = escalation(write(tmp_path))

    assert (found.mode, found.catch_up, found.grace_s) == (Mode.COUNTDOWN, CatchUp.WALK, 0)
    assert found.clock == Clock()
    assert found.renewal.lockout == Lockout(5, 30, 600)
    assert found.stages[1].deeds[0]._replace(parameters={}, texts={}) == (
        "mail",
        "send_message",
        {},
        {},
        None,
        "hold",
        300,
        {},
    )


def test_everything_that_is_said_is_there(tmp_path: Path) -> None:
    text = changed("    at: 2h\n", "    at: 2h\n    requires: {delivered: [pre_release], max_wait: 1h}\n")
    text = changed("renewal:\n", f"mode: manual\ncatch_up: jump\ngrace: 10m\nrenewal:\n  keys: ['{KEY} me']\n", text)
    clock = "clock: {sources: ['https://a.example/', 'https://b.example/x'], after_gap: 3h, tolerance: 1m}\n"

    found = escalation(write(tmp_path, changed("heartbeat:", clock + "heartbeat:", text)))

    assert (found.mode, found.catch_up, found.grace_s) == (Mode.MANUAL, CatchUp.JUMP, 600)
    assert found.clock == Clock(("https://a.example/", "https://b.example/x"), (), 10_800, 60)
    assert [len(found.renewal.keys), '"kty":"OKP"' in found.renewal.keys[0]] == [1, True]
    assert (found.every_s, found.p95_gap_s) == (300, 720)
    assert found.heartbeat == {"method": "POST", "url": "${{ secrets.WATCHER_URL }}"}
    assert found.constants == {"organisation": "Acme"}


def test_an_action_has_the_parameters_of_its_route_and_secrets_stay_references(tmp_path: Path) -> None:
    letter = escalation(write(tmp_path)).stages[4].deeds[0]

    assert letter.parameters == {"channel": "mail", "to": ["${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}"]}
    assert (letter.timeout_s, letter.texts["subject"]) == (60, "{{ constants.organisation }}")


def test_each_block_of_a_template_gives_its_parameter(tmp_path: Path) -> None:
    texts = escalation(write(tmp_path)).stages[1].deeds[0].texts

    assert texts["subject"] == "{{ constants.organisation }}: {{ stage }}\n"
    assert texts["body"].splitlines()[-1] == "Next is {{ next_stage }}, {{ next_at }}."


def test_a_template_without_blocks_is_the_body(tmp_path: Path) -> None:
    folder = write(tmp_path, texts__reminder_j2="{{ stage }} it is\n")

    assert escalation(folder).stages[1].deeds[0].texts == {"body": "{{ stage }} it is\n"}


def test_a_stage_stands_for_all_its_actions(tmp_path: Path) -> None:
    two = "      - {id: mail, action: send_message, route: operator, text: {body: x}}\n      - {id: sms, action: send_message, route: operator, text: {body: x}}\n  - name: partial"
    text = changed(
        "      - {id: mail, action: send_message, route: operator, template: texts/reminder.j2}\n  - name: partial", two
    )

    found = escalation(write(tmp_path, changed("[pre_release/mail]", "pre_release", text)))

    assert found.stages[4].delivered == ("pre_release/mail", "pre_release/sms")
    assert found.stages[4].max_wait_s == 21_600


def test_a_plan_lies_in_the_stage_with_all_its_inputs(tmp_path: Path) -> None:
    planned = escalation(write(tmp_path)).stages[5].planned

    assert planned is not None
    assert (planned.plan["name"], planned.inputs) == ("publish", {"tag": "v1", "draft": False})


def test_the_digest_is_of_the_document_its_templates_and_its_plans(tmp_path: Path) -> None:
    digests = {
        escalation(write(tmp_path / str(number), **files)).digest
        for number, files in enumerate(
            [{}, {}, {"texts__reminder_j2": TEMPLATE + "\n"}, {"plans__publish_yaml": PLAN + "\n"}]
        )
    }
    digests.add(escalation(write(tmp_path / "other", DOCUMENT + "# more\n")).digest)

    assert len(digests) == 4


@pytest.mark.parametrize(("layer", "where"), [(Layer.REPO, "from a repository"), (Layer.RUN, "from a pack of a run")])
def test_only_the_operator_says_what_escalates(tmp_path: Path, layer: Layer, where: str) -> None:
    with pytest.raises(PackError, match=f"continuity.yaml:2:7: an Escalation {where}; expected packs and tests only"):
        loaded(write(tmp_path), layer)


CASES: list[tuple[str, str, str]] = [
    # the document
    ("metadata:", "moed: fuse\nmetadata:", "continuity.yaml:3:1: the unknown key `moed`; expected `mode`"),
    ("metadata:", "mode: fused\nmetadata:", "continuity.yaml:3:7: `fused`; expected `countdown`, `fuse` or `manual` (did you mean `fuse`?)"),
    ("metadata:", "catch_up: run\nmetadata:", "`run`; expected `walk` or `jump`"),
    ("metadata:", "grace: -5m\nmetadata:", "continuity.yaml:3:8: `-5m`; expected a duration such as 30s, 5m, 2h or 3d"),
    ("metadata:", "grace: 5\nmetadata:", "the number `5`; expected a number with its unit (write 5m for minutes, 5s for seconds)"),
    ("extends: 24h", "extends: 24", "continuity.yaml:5:12: the number `24`; expected a number with its unit"),
    ("at: 1m", "at: 60", "the number `60`; expected a number with its unit (write 60m for minutes, 60s for seconds)"),
    ("extends: 24h", "extends: soon", "continuity.yaml:5:12: `soon`; expected a duration"),
    ("extends: 24h", "extends: 4000d", "expected at most 3660d"),
    ("  extends: 24h\n", "", "continuity.yaml:5:3: a key is missing; expected `extends` here"),
    ("first: 30s", "first: 20m", "a first lock of 1200 s, and none longer than 600 s"),
    ("after: 5", "after: 0", "the number `0`; expected at least 1"),
    ("  lockout", "  keys: ssh-rsa AAAA\n  lockout", "continuity.yaml:6:9: `ssh-rsa AAAA`; expected `ssh-ed25519 AAAA...`"),
    ("  lockout", f"  keys: ['{KEY}', '{KEY} x']\n  lockout", "a key a second time; expected each key once"),
    ("p95_gap: 12m", "p95_gap: 1m", "continuity.yaml:7:28: `1m`; expected at least as long as `every`"),
    ("heartbeat:", "clock: {tolerance: 5m}\nheartbeat:", "continuity.yaml:8:8: a clock that nobody vouches for; expected `sources`, `keys` or both"),
    ("heartbeat:", "clock: {sources: 'https://a.example/'}\nheartbeat:", "one source; expected at least two"),
    ("heartbeat:", "clock: {sources: ['https://a.example/', 'http://b.example/']}\nheartbeat:", "`http://b.example/`; expected an `https://` URL"),
    ("heartbeat:", "clock: {sources: ['https://a.example/', 'https://a.example/x']}\nheartbeat:", "a second source at `a.example`; expected sources of different hosts"),
    ('{url: "${{ secrets.WATCHER_URL }}"}', "{uri: x}", "continuity.yaml:8:13: the parameter `uri`; expected body, endpoint, headers"),
    ('{url: "${{ secrets.WATCHER_URL }}"}', "{method: GET}", "a webhook without `url`"),
    ("secrets.WATCHER_URL", "inputs.url", "expected a path that begins with secrets"),
    ("secrets.OPERATOR_MAIL", "secret.OPERATOR_MAIL", "did you mean `secrets`?"),
    ("  operator: {channel: mail,", "  operator: {", "continuity.yaml:10:13: a route without `channel`"),
    ("organisation: Acme", "organisation: '${{ secrets.X }}'", "continuity.yaml:12:27: `${{ secrets.X }}`; expected a text without"),
    ("organisation: Acme", "organisation: [Acme]", "expected text, a number, true or false"),
    ("organisation: Acme", "organisation: Acme, the-rest: x", "`the-rest`; expected a name of letters, digits and `_`"),
    # stages
    ("- {name: ok}", "- {name: ok, at: -7h}", "continuity.yaml:14:16: `at` of the first stage; expected none"),
    ("- {name: ok}", "- {name: ok, audience: public}", "`audience` of the first stage"),
    ("    at: -6h\n", "", "continuity.yaml:15:5: the stage `remind_6h` without `at`"),
    ("at: -6h", "at: 6 hours", "continuity.yaml:16:9: `6 hours`; expected a time from the deadline such as -6h, 0s or 15m"),
    ("at: -6h", "at: -6w", "`-6w`; expected a time from the deadline"),
    ("at: -1h", "at: -6h", "continuity.yaml:20:9: `-6h`, the same as the stage before; expected a later time: stages only go forward (that is on line 16)"),
    ("at: -1h", "at: -360m", "`-360m`, the same as the stage before"),
    ("at: -1h", "at: -7h", "continuity.yaml:20:9: `-7h`, earlier than a stage before; expected a later time"),
    ("name: remind_1h", "name: remind_6h", "continuity.yaml:19:11: a second stage `remind_6h`; expected each name once"),
    ("audience: custodians", "audience: custodian", "(did you mean `custodians`?)"),
    ("audience: custodians", "audience: custodians\n    dwell: 1m", "the unknown key `dwell`; expected `min_dwell`"),
    ("[pre_release/mail]", "[pre_relaese/mail]", "continuity.yaml:31:28: the unknown stage `pre_relaese`; expected a stage before this: ok, remind_6h, remind_1h or pre_release (did you mean `pre_release`?)"),
    ("[pre_release/mail]", "[pre_release/mial]", "the unknown action `pre_release/mial`; expected one of pre_release/mail (did you mean `pre_release/mail`?)"),
    ("[pre_release/mail]", "[full]", "`full`, a later stage; expected a stage before this"),
    ("[pre_release/mail]", "[partial/letter]", "`partial/letter`, itself; expected"),
    ("[pre_release/mail]", "[ok]", "the stage `ok`, which has no actions"),
    (", max_wait: 6h", "", "continuity.yaml:31:15: a key is missing; expected `max_wait` here"),
    # actions
    ("{id: letter, action: send_message", "{id: letter, action: send_mesage", "continuity.yaml:33:30: the unknown action `send_mesage`; expected one that an installed adapter does (did you mean `send_message`?)"),
    ("{id: letter, action: send_message", "{id: letter, adapter: mial, action: send_message", "continuity.yaml:33:31: the adapter `mial`, which is not installed"),
    ("{id: letter, action: send_message", "{id: letter, adapter: git, action: send_message", "the adapter `git`, which cannot do send_message; expected apprise or mail"),
    ("{id: letter, action: send_message", "{id: letter, estimates: {usd: -1}, action: send_message", "`-1`; expected an amount from 0 to below"),
    ("{id: letter, action: send_message, route: custodians, text", "{id: letter, action: write_document, with: {branch: x}, text", "write_document, which git or github can do; expected `adapter: git`"),
    ("route: custodians", "route: custodian", "the route `custodian`, which is not there; expected custodians or operator (did you mean `custodians`?)"),
    ("route: custodians", "route: custodians, with: {channel: mail}", "`channel` of the route and of the action; expected each parameter from one place"),
    ("route: custodians", "route: custodians, with: {subject: x}", "`subject` under `with` and as a text; expected each parameter from one place"),
    ("route: custodians", "route: custodians, with: {subjet: x}", "continuity.yaml:33:70: the parameter `subjet`; expected attachments, body"),
    ("route: custodians", "route: custodians, with: {template: x}", "the parameter `template`; expected `template:` of the action"),
    ("route: custodians, ", "", "a message without `channel`; expected `channel` and `body`"),
    (', body: "It is {{ entered_at }}"', "", "a message without `body`"),
    ("timeout: 60s", "timeout: 8d", "`8d`; expected at most 7d"),
    ("timeout: 60s", "on_unknown: retry", "`retry`; expected `hold` or `resend`"),
    ("      - {id: letter", "      - {id: letter, action: send_message, route: operator, text: {body: x}}\n      - {id: letter", "continuity.yaml:34:14: a second action `letter`"),
    # templates
    ("texts/reminder.j2", "texts/remind.j2", "continuity.yaml:18:69: the file `texts/remind.j2`: No such file or directory; expected a file below the document's folder"),
    ("texts/reminder.j2", "../reminder.j2", "`../reminder.j2`; expected a path below the document's folder"),
    ("texts/reminder.j2", "texts/reminder.txt", "expected a file whose name ends with .j2"),
    ("It is {{ entered_at }}", "It is {{ entered }}", "continuity.yaml:33:117: the undefined name `entered`; expected escalation, stage"),
    ("{{ constants.organisation }}", "{{ constants.organization }}", "the constant `organization`, which is not there; expected organisation (did you mean `organisation`?)"),
    ("{{ constants.organisation }}", "{{ organisation }}", "the undefined name `organisation`; expected"),
    ("It is {{ entered_at }}", "It is {{ entered_at", "a template that cannot be read: unexpected"),
    ("It is {{ entered_at }}", "${{ secrets.CODE }}", "(a secret never stands in a text)"),
    ("It is {{ entered_at }}", "{{ '$' }}{{ '{{ secrets.CODE }}' }}", "gives `${{` (a secret never stands in a text)"),
    ("It is {{ entered_at }}", "{{ stage * 3 }}", "`*` of a text; expected numbers"),
    ("It is {{ entered_at }}", "{{ '' }}", "a body that can be empty; expected some text in every situation"),
    ('"{{ constants.organisation }}"', '"{{ stage }}\\n{{ deadline }}"', "expected one line, at most 400 characters"),
    ('body: "It is {{ entered_at }}"}', "body: x}, template: texts/reminder.j2", "`body` under `text` and in the template; expected each parameter from one place"),
    ("It is {{ entered_at }}", "{{ 1e999 + cycle }}", "continuity.yaml:33:117: a number that is too large"),
    ("It is {{ entered_at }}", "a\\0b", "the invisible character U+0000"),
    ("It is {{ entered_at }}", "{{ '\\\\ud800' }}", "continuity.yaml:33:117: the character U+D800; expected text, line breaks and tabs"),
    # what messages and webhooks cannot be
    ("route: custodians", "route: custodians, with: {reply_to: not an address}", "`not an address`; expected one mail address"),
    ('["${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}"]', "[]", "continuity.yaml:11:35: `to` without anybody in it"),
    ("secrets.BEN_MAIL", "secrets.ANNA_MAIL", "continuity.yaml:11:35: the same recipient twice; expected each recipient once"),
    ('{url: "${{ secrets.WATCHER_URL }}"}', "{url: null}", "continuity.yaml:8:13: `url` nothing; expected some text"),
    ('{url: "${{ secrets.WATCHER_URL }}"}', '{url: "https://a.example/", method: "GET\\nX: y"}', "expected a method such as POST"),
    ('{url: "${{ secrets.WATCHER_URL }}"}', '{url: "https://a.example/", headers: x}', "expected names and their values"),
    ("heartbeat:", "clock: {sources: ['https://a.example/', 'https://A.example./x']}\nheartbeat:", "a second source at `a.example`"),
    ("heartbeat:", "clock: {sources: ['https://m\u00fcnchen.de/', 'https://xn--mnchen-3ya.de/']}\nheartbeat:", "a second source at `xn--mnchen-3ya.de`"),
    ("heartbeat:", "clock: {sources: ['https://a.example:99999/', 'https://b.example/']}\nheartbeat:", "with a port of 1 to 65535"),
    # whom a stage of the operator's reaches
    ("route: operator, template", "route: custodians, template", "continuity.yaml:18:49: the route `custodians` in a stage of the operator's; expected a route for the operator"),
    ("route: operator, template", "with: {channel: mail, to: a}, template", "`channel` of a message for the operator; expected it from a route for the operator alone"),
    ("route: operator, template", "route: operator, with: {to: [a@b.example]}, template", "of the route and of the action"),
    ("action: send_message, route: operator, template: texts/reminder.j2", "action: publish_release, with: {tag: v1}", "publish_release in a stage of the operator's; expected `audience: custodians` or `public`"),
    ("action: send_message, route: operator, template: texts/reminder.j2", "action: call_webhook, with: {url: 'https://a.example/'}", "`url` of a webhook for the operator"),
    ("    at: -6h\n", "    at: -6h\n    plan: {file: plans/publish.yaml, inputs: {tag: v1}}\n", "a plan with send_message in a stage of the operator's"),
    ("custodians: {channel", "custodians: {audience: public, channel", "continuity.yaml:11:26: `public`; expected `operator`, or no `audience`"),
    # plans
    ("plans/publish.yaml", "plans/publsh.yaml", "continuity.yaml:37:18: the file `plans/publsh.yaml`: No such file or directory"),
    ("inputs: {tag: v1}", "inputs: {tga: v1}", "the unknown input `tga`; expected draft or tag (did you mean `tag`?)"),
    (", inputs: {tag: v1}", "", "no value for the input `tag`; expected `inputs: {tag: ...}`"),
    ("inputs: {tag: v1}", "inputs: {tag: 1}", "the number `1`; expected text (the input is of the type text)"),
    ("inputs: {tag: v1}", "inputs: {tag: '${{ secrets.X }}'}", "expected a value without"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), CASES, ids=[expected[:60] for *_, expected in CASES])
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, before: str, after: str, expected: str) -> None:
    found = told(write(tmp_path, changed(before, after)))

    assert any(expected in one for one in found), found
    assert all(one.startswith(("continuity.yaml:", "texts/", "plans/")) for one in found)


BROKEN: list[tuple[str, str]] = [
    ("{{ stage }}\n{{ nobody }}\n", "texts/reminder.j2:2:4: the undefined name `nobody`; expected escalation, stage"),
    ("a {{ constants.organisatoin }}", "texts/reminder.j2:1:16: the constant `organisatoin`, which is not there; expected organisation (did you mean `organisation`?)"),
    ("{% block subject %}x{% endblock %}\n\n  hello\n", "texts/reminder.j2:3:3: something beside the blocks, which goes nowhere; expected everything in a block"),
    ("{% block body %}{{ stage }}{% block body %}", "a template that cannot be read"),
    ("{% block body %}a{% endblock %}\n{% block body %}b{% endblock %}", "texts/reminder.j2:2:10: the block `body` a second time"),
    ("{% if is_drill %}{% block body %}a{% endblock %}{% endif %}", "the block `body` inside of something; expected blocks side by side"),
    ("{% block subject %}x{% endblock %}", "continuity.yaml:18:9: a message without `body`"),
    ("{% block body %}x{% endblock %}{% block to %}y{% endblock %}", "`to` of the route and of the action"),
    ("{% block body %}x{% endblock %}{% block bdy %}y{% endblock %}", "the parameter `bdy`; expected"),
    ("{{ stage|sort }}", "texts/reminder.j2:1:10: the filter `sort`; expected one of abs"),
    ("{{ stage is odder }}", "the test `odder`; expected one of boolean"),
    ("{% set a = 1 %}{{ a }}", "texts/reminder.j2:1:4: `set` in a template; expected values"),
    ("{% include 'x' %}", "`include` in a template"),
    ("{{ range(10) }}", "a call in a template"),
    ("{% for a in [1] %}{% for b in [2] %}{{ b }}{% endfor %}{% endfor %}", "a `for` inside of a `for`; expected one loop alone"),
    ("{% for a in stage %}{{ a }}{% endfor %}", "a `for` over something else than a list"),
    ("{{ stage.upper }}", "`upper` of a value; expected the value itself"),
    ("{{ constants[stage] }}", "a constant that is named by a value; expected `constants.NAME`"),
    ("{{ constants }}", "`constants` as a whole"),
    ("{% autoescape false %}{{ stage }}{% endautoescape %}", "`autoescape` in a template"),
    ("{{ 2 ** 3 }}", "`**` in a template"),
    ("{{ 1 // 0 }}", "texts/reminder.j2:1:6: a divisor that is not written out; expected a number other than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "expected"), BROKEN, ids=[expected[:60] for _, expected in BROKEN])
def test_what_is_wrong_in_a_template_is_told_in_its_own_file(tmp_path: Path, template: str, expected: str) -> None:
    found = told(write(tmp_path, texts__reminder_j2=template))

    assert any(expected in one for one in found), found


def test_a_route_that_is_marked_so_is_the_operators_too(tmp_path: Path) -> None:
    text = changed("routes:\n", "routes:\n  phone: {channel: sms, to: [a], audience: operator}\n")

    found = escalation(write(tmp_path, changed("route: operator, template", "route: phone, template", text)))

    assert (found.routes["phone"], found.stages[1].deeds[0].parameters["channel"]) == (
        {"channel": "sms", "to": ["a"]},
        "sms",
    )


def test_a_template_that_several_actions_name_is_told_of_once(tmp_path: Path) -> None:
    found = told(write(tmp_path, texts__reminder_j2="{{ nobody }}"))

    assert len(found) == 1


def test_what_is_wrong_in_a_plan_is_told_in_its_own_file(tmp_path: Path) -> None:
    found = told(write(tmp_path, plans__publish_yaml=PLAN.replace("send_message", "send_mesage")))

    assert found == [
        "plans/publish.yaml:8:27: the unknown action `send_mesage`; expected one that an installed adapter does (did you mean `send_message`?)"
    ]


def test_bytes_that_are_no_text_are_refused_in_a_template(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "texts" / "reminder.j2").write_bytes(b"\xff")

    assert told(folder)[0] == "texts/reminder.j2:1:1: bytes that are no UTF-8; expected UTF-8 text"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy")
    (tmp_path / "outside.j2").write_text("x")
    (folder / "texts" / "reminder.j2").unlink()
    (folder / "texts" / "reminder.j2").symlink_to(tmp_path / "outside.j2")

    assert "a symlink that leaves the pack's folder" in told(folder)[0]


PROVEN: list[tuple[str, str, str]] = [
    ("longest: 10m", "longest: 15m", "continuity.yaml:6:44: a lock of 15m can last from a reminder until others are told, 15m later; expected `longest` below 15m"),
    ("    min_dwell: 15m\n", "", "continuity.yaml:23:11: pre_release may be left as soon as it is entered, and partial reaches others; expected `min_dwell`"),
    ("p95_gap: 12m", "p95_gap: 17m", "continuity.yaml:7:7: from pre_release to partial it is 16m, less than `tick.p95_gap`, 17m; expected at least 17m between stages"),
    ("{every: 5m, p95_gap: 12m}", "{every: 30m}", "less than `tick.every`, 30m"),
    ("extends: 24h", "extends: 6h", "continuity.yaml:5:12: a renewal by 6h leads straight to remind_6h, due 6h before the deadline; expected more than 6h"),
    ("    at: -6h\n", "    at: -6h\n    audience: public\n", "continuity.yaml:15:11: remind_6h reaches others before the operator hears of anything; expected a stage of the operator's before it"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), PROVEN, ids=[expected[:60] for *_, expected in PROVEN])
def test_a_proof_that_fails_is_an_error_with_its_place(tmp_path: Path, before: str, after: str, expected: str) -> None:
    found = told(write(tmp_path, changed(before, after)))

    assert any(expected in one for one in found), found


def test_whoever_can_renew_has_a_route_where_messages_are_sent(tmp_path: Path) -> None:
    text = DOCUMENT.replace("route: operator", "route: custodians")
    text = changed('  operator: {channel: mail, to: ["${{ secrets.OPERATOR_MAIL }}"]}\n', "", text)

    assert told(write(tmp_path, text))[0].startswith("continuity.yaml:9:1: no route `operator`; expected")


def test_a_jump_over_notices_is_a_warning(tmp_path: Path) -> None:
    text = changed("    at: 2h\n", "    at: 2h\n    requires: {delivered: [pre_release], max_wait: 1h}\n")
    found = loaded(write(tmp_path, changed("metadata:", "catch_up: jump\nmetadata:", text))).warnings

    assert [str(one).partition(";")[0] for one in found] == [
        "continuity.yaml:3:11: `catch_up: jump` and stages that reach others"
    ]


def test_every_error_of_a_document_is_told_at_once(tmp_path: Path) -> None:
    text = changed("at: -1h", "at: -6h", changed("timeout: 60s", "timeout: soon"))
    text = changed("[pre_release/mail]", "[nowhere]", text)

    found = told(write(tmp_path, text, texts__reminder_j2="{{ nobody }}"))

    assert [one.split(":")[:2] for one in found] == [
        ["continuity.yaml", "20"],
        ["continuity.yaml", "31"],
        ["continuity.yaml", "33"],
        ["texts/reminder.j2", "1"],
    ]


def test_where_it_jumps_every_stage_that_reaches_others_requires_a_notice_itself(tmp_path: Path) -> None:
    [error] = told(write(tmp_path, changed("metadata:", "catch_up: jump\nmetadata:")))

    assert error.startswith("continuity.yaml:35:11: ")
    assert "with `catch_up: jump` full may be entered past every notice, and requires none itself" in error


@pytest.mark.parametrize("name", ["tick", "enter", "heartbeat", "control", "drill"])
def test_a_stage_is_not_called_as_orders_of_the_escalation_itself(tmp_path: Path, name: str) -> None:
    [error] = told(write(tmp_path, changed("name: full", f"name: {name}")))

    assert f"a stage `{name}`; expected another name" in error


def test_a_stage_has_fewer_actions_than_one_event_holds(tmp_path: Path) -> None:
    line = "      - {id: a%d, action: send_message, route: operator, template: texts/reminder.j2}\n"
    text = changed("    at: -1h\n    actions:\n", "    at: -1h\n    actions:\n" + "".join(line % n for n in range(999)))

    [error] = told(write(tmp_path, text))

    assert "1,000 actions of a stage; expected at most 999" in error
    assert deeds.MOST < ORDERS_AT_ONCE


def test_every_stage_leaves_room_for_the_name_of_its_plans_run(tmp_path: Path) -> None:
    text = changed("name: continuity,", f"name: {'n' * 50},", changed("name: remind_1h", f"name: {'r' * 40}"))

    assert "names of 90 characters; expected at most 85" in told(write(tmp_path, text))[0]
    assert not run_problem(f"{'n' * 50}-c{10**9}-{'r' * 35}")


def test_a_stage_with_a_plan_leaves_room_for_the_name_of_its_run(tmp_path: Path) -> None:
    text = changed("name: continuity,", f"name: {'n' * 50},", changed("name: full", f"name: {'f' * 40}"))

    assert "names of 90 characters; expected at most 85" in told(write(tmp_path, text))[0]


def test_two_escalations_of_one_name_are_refused(tmp_path: Path) -> None:
    found = told(write(tmp_path, DOCUMENT + "---\n" + DOCUMENT))

    assert "a second escalation `continuity`; expected each escalation's name once" in found[0]


def test_a_plan_among_packs_is_told_where_it_belongs(tmp_path: Path) -> None:
    assert "plans lie in a folder of their own" in told(write(tmp_path, PLAN))[0]
