"""`orch budget` and `orch metrics` as scripts and people meet them: the real command, after a real decision."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, Place, clean, place_in
from prometheus_client.parser import text_string_to_metric_families

PACK = f"""{HEAD}rules:
  - id: agents
    effect: allow
    actions: [call_tool]
    budgets:
      - {{meter: usd, per: run, limit: 5.00}}
      - {{meter: usd, per: org, window: day, limit: 8}}
      - {{meter: tool_calls, per: run, limit: 3}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("budget")
    with place_in(folder, ORCH_SUBJECT="agent:fixer") as made:
        (folder / "pack.yaml").write_text(PACK, encoding="utf-8")
        yield made


def decide(place: Place, run: str, *more: str) -> str:
    asked = ("--action", "call_tool", "--tool", "llm:ask", "--repo", f"{run}/web", "--packs", "pack.yaml", "-o", "json")
    done = place.orch("evaluate", *asked, *more, ORCH_RUN=run)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["context"]["evaluation_id"])


def budget(place: Place, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = place.orch("budget", *arguments)
    clean(done)
    assert done.returncode == code, done.stderr
    return done


def listed(place: Place, *arguments: str) -> dict[str, dict[str, Any]]:
    return {f"{one['meter']} {one['per']}": one for one in json.loads(budget(place, *arguments, "-o", "json").stdout)}


def test_a_script_reserves_starts_and_settles(place: Place) -> None:
    decision = decide(place, "script")

    name = budget(place, "reserve", "--run", "script", "--decision", decision, "--estimate", "usd=2").stdout.strip()
    again = budget(place, "reserve", "--decision", decision, "--estimate", "usd=2.00").stdout.strip()
    held = listed(place, "--run", "script")
    budget(place, "start", name)
    done = budget(place, "settle", name, "--meter", "usd=1.5")

    assert name == again
    assert (held["usd run"]["reserved"], held["tool_calls run"]["reserved"]) == ("2", "1")
    assert done.stdout == f"{name} settled: 1 tool_calls, 1.5 usd charged\n"
    assert listed(place, "--org", "script")["usd org"] | {"window_start": "", "until": ""} == {
        "meter": "usd",
        "per": "org",
        "id": "script",
        "window": "day",
        "window_start": "",
        "until": "",
        "limit": "8",
        "warn_at": "80%",
        "spent": "1.5",
        "reserved": "0",
        "left": "6.5",
        "state": "ok",
        "by": [{"actor": "agent:fixer", "spent": "1.5", "reserved": "0"}],
    }


def test_a_spent_budget_exits_with_5_and_so_does_the_next_decision(place: Place) -> None:
    decision = decide(place, "spent")
    charged = budget(place, "charge", "--decision", decision, "--meter", "usd=4.5")
    refused = budget(place, "charge", "--decision", decision, "--meter", "usd=1", "--attempt", "2", code=5)
    used = budget(place, "charge", "--decision", decision, "--meter", "usd=1", "--attempt", "2", "--used", code=5)

    asked = ("--action", "call_tool", "--tool", "llm:ask", "--repo", "spent/web", "--packs", "pack.yaml")
    next_decision = place.orch("evaluate", *asked, ORCH_RUN="spent")

    assert "note: usd per run (spent) is at 90% of 5" in charged.stderr
    assert "usd per run (spent): 4.5 of 5 spent, 1 asked" in refused.stderr
    assert "`orch budget --run spent` shows who spent it" in refused.stderr
    assert used.stdout.endswith("settled: 1 tool_calls, 1 usd charged\n")
    assert next_decision.returncode == 5
    assert listed(place, "--run", "spent")["usd run"]["state"] == "spent"


def test_what_did_not_happen_is_given_back(place: Place) -> None:
    name = budget(place, "reserve", "--decision", decide(place, "back"), "--estimate", "usd=2").stdout.strip()

    assert "nothing was charged" in budget(place, "release", name).stdout
    assert listed(place, "--run", "back")["usd run"]["left"] == "5"


def test_a_call_without_a_price_needs_a_cap(place: Place) -> None:
    decision = decide(place, "cap")

    refused = budget(place, "reserve", "--decision", decision, code=2)
    budget(place, "reserve", "--decision", decision, "--cap", "usd=3")

    assert "--cap usd=AMOUNT" in refused.stderr


def test_people_see_a_table_that_fits(place: Place) -> None:
    budget(place, "charge", "--decision", decide(place, "people"), "--meter", "usd=4")

    shown = budget(place, "--run", "people").stdout

    assert [line.rstrip() for line in shown.splitlines()] == [
        "                 spent  limit  held  left",
        "run people",
        "  tool_calls         1      3     0     2  ████······  33%",
        "    agent:fixer      1",
        "  usd                4      5     0     1  ████████··  80%",
        "    agent:fixer      4",
    ]
    assert "org people, day " in budget(place).stdout
    assert max(map(len, budget(place).stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reserve", "--decision", "x"), "no decision `x` in the ledger"),
        (("reserve", "--decision", "{id}", "--run", "other"), "belongs to run"),
        (("reserve", "--decision", "{id}", "--estimate", "usd"), "expected a meter and an amount"),
        (("reserve", "--decision", "{id}", "--estimate", "usd=-1"), "expected a number from 0"),
        (("reserve", "--decision", "{id}", "--estimate", "usd=1", "--estimate", "usd=2"), "twice"),
        (("reserve", "--decision", "{id}", "--estimate", "usd=1", "--expires", "soon"), "--expires"),
        (("reserve", "--decision", "{id}"), "--estimate usd=AMOUNT"),
        (("charge", "--decision", "{id}"), "--meter usd=AMOUNT"),
        (("settle", "\x1b[31m"), "no reservation"),
        (("--ledger", "/nowhere", "expire"), "stands before expire"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one[:2]),
)
def test_a_wrong_call_is_told(place: Place, arguments: tuple[str, ...], said: str) -> None:
    decision = decide(place, "wrong")

    done = budget(place, *(one.replace("{id}", decision) for one in arguments), code=2)

    assert said in done.stderr.replace("'x'", "`x`")
    assert "\x1b" not in done.stderr


def test_room_is_taken_for_what_is_allowed_alone(place: Place) -> None:
    asked = ("--action", "comment", "--repo", "no/web", "--packs", "pack.yaml", "-o", "json")
    denied = json.loads(place.orch("evaluate", *asked, ORCH_RUN="no").stdout)["context"]["evaluation_id"]
    claimed = decide(place, "claims", "--subject", "agent:other")
    outside = json.loads(
        place.orch("evaluate", "--action", "call_tool", "--tool", "a:b", "--packs", "pack.yaml", "-o", "json").stdout
    )["context"]["evaluation_id"]

    said = [
        budget(place, "reserve", "--decision", one, "--estimate", "usd=1", code=2).stderr
        for one in (denied, claimed, outside)
    ]

    assert "is deny; room is taken for what is allowed alone" in said[0]
    assert "rests on a claim: the subject is agent:other, and agent:fixer asks" in said[1]
    assert "ORCH_SUBJECT" in said[1]
    assert "belongs to no run" in said[2]


def test_an_action_that_no_budget_counts_needs_nothing(place: Place) -> None:
    (place.folder / "free.yaml").write_text(
        f"{HEAD}rules: [{{id: a, effect: allow, actions: call_tool}}]\n", encoding="utf-8"
    )
    asked = ("--action", "call_tool", "--tool", "a:b", "--packs", "free.yaml", "-o", "json")
    decision = json.loads(place.orch("evaluate", *asked, ORCH_RUN="free").stdout)["context"]["evaluation_id"]

    taken = budget(place, "reserve", "--decision", decision)

    assert taken.stdout == "none\n"
    assert "nothing is held" in budget(place, "start", "none").stderr


def test_the_runs_of_a_session_share_its_budget(place: Place) -> None:
    rule = "{id: a, effect: allow, actions: call_tool, budgets: {meter: usd, per: session, limit: 1}}"
    (place.folder / "session.yaml").write_text(f"{HEAD}rules: [{rule}]\n", encoding="utf-8")
    asked = ("--action", "call_tool", "--tool", "a:b", "--packs", "session.yaml", "-o", "json")
    for run, code in (("first", 0), ("second", 5)):
        done = place.orch("evaluate", *asked, ORCH_RUN=run, ORCH_SESSION="evening")
        decision = json.loads(done.stdout)["context"]["evaluation_id"]

        assert done.returncode == code, done.stderr
        if not code:
            budget(place, "charge", "--decision", decision, "--meter", "usd=1")
    assert listed(place, "--session", "evening")["usd session"]["left"] == "0"


def test_a_pack_that_only_warns_charges_nothing_and_says_what_would_stop(place: Place) -> None:
    warning = PACK.replace("name: acme", "name: soft").replace(
        "default: deny\n", "default: deny\nenforcement: {run: warn}\n"
    )
    (place.folder / "warns.yaml").write_text(warning, encoding="utf-8")
    asked = ("--action", "call_tool", "--tool", "a:b", "--repo", "warn/web", "--packs", "warns.yaml", "-o", "json")
    decision = json.loads(place.orch("evaluate", *asked, ORCH_RUN="warned").stdout)["context"]["evaluation_id"]

    taken = budget(place, "reserve", "--decision", decision, "--estimate", "usd=6")

    assert taken.stdout == "none\n"
    assert "a pack that only warns would stop this: usd per run (warned): 0 of 5 spent, 6 asked" in taken.stderr
    assert listed(place, "--run", "warned") == {}


def test_metrics_are_what_a_scraper_reads(place: Place) -> None:
    budget(place, "charge", "--decision", decide(place, "scraped"), "--meter", "usd=1")

    done = place.orch("metrics")

    families = {family.name: family for family in text_string_to_metric_families(done.stdout)}
    assert (done.returncode, done.stderr) == (0, "")
    assert families["orch_decisions"].samples[0].value >= 1
    assert {"orch_budget_reservations", "orch_ledger_events_since_head"} <= families.keys()


def test_without_a_ledger_nothing_is_made(tmp_path: Path) -> None:
    with place_in(tmp_path) as empty:
        for command in (("budget",), ("metrics",)):
            done = empty.orch(*command)

            assert done.returncode == 6
            assert "no ledger" in clean(done)
