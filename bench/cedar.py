"""Decisions per second against Cedar in the same process, on rules that say the same."""

from importlib import import_module
from typing import Any

import ruleset
from peers import Peer
from report import Section, Verdict, of_ratio
from timing import Timing, in_turns, ratio
from work import Work, outcome

from orchestrator import Policy, Question

_RULES, _GOAL, _BATCH = 1_000, 4, 64
_WHAT = "decisions/s at 1,000 rules against cedarpy"
_ABOUT = """\
Both are called from this process, in turns, about pull requests with one changed file (Cedar has no word for "any
of these files"); a batch asks about as many repositories. A decision of ours crosses a socket, names rules and
messages and carries digests; Cedar's stays in the process. Ratios are of decisions per second, to a cedarpy that
parsed its policies before."""


def measure(work: Work, peer: Peer) -> Section:
    """Compare single and batched decisions about one changed file each."""
    names = (f"{_WHAT}, one by one", f"{_WHAT}, {_BATCH} at once")
    if not peer.path:
        missing = (Verdict(name, 0, _GOAL, is_at_least=True, missing=peer.missing) for name in names)
        return Section("Cedar", "cedarpy is not to be had here.", verdicts=tuple(missing))
    single, many, as_text = _compared(work)
    ours = single["orch, one"]
    rates = (ratio(theirs, mine) for mine, theirs in (tuple(single.values()), tuple(many.values())))
    slower = next(iter(as_text.values())).p50 / ours.p50
    return Section(
        f"Cedar, {_RULES:,} rules",
        _ABOUT,
        timings=(*single.items(), *many.items(), *as_text.items()),
        verdicts=tuple(of_ratio(name, rate, _GOAL, is_at_least=True) for name, rate in zip(names, rates, strict=True)),
        notes=(f"Against policies given as text, as a caller without a handle does: {slower:.1f} times.",),
    )


def _compared(work: Work) -> tuple[dict[str, Timing], ...]:
    """Return the timings one by one, many at once, and of Cedar with its policies as text; ours first."""
    cedarpy = import_module("cedarpy")
    policy = Policy.load(packs=[work.packs(_RULES)])
    text = ruleset.cedar(ruleset.rules(_RULES))
    parsed, nobody = cedarpy.PolicySet.from_str(text), cedarpy.Entities.from_json_str("[]")
    _agree(policy, cedarpy, parsed)
    asked = [ruleset.request(1, repository=ruleset.repository_name(number)) for number in range(_BATCH)]
    questions = [Question(one) for one in asked]
    theirs = [ruleset.cedar_requests(one)[0] for one in asked]

    def one_of_ours() -> None:
        policy.decide(asked[0])

    def one_of_theirs() -> None:
        cedarpy.is_authorized(theirs[0], parsed, nobody)

    def many_of_ours() -> None:
        list(policy.decide_many(questions))

    def many_of_theirs() -> None:
        cedarpy.is_authorized_batch(theirs, parsed, nobody)

    def text_of_theirs() -> None:
        cedarpy.is_authorized(theirs[0], text, [])

    one_by_one = {"orch, one": one_of_ours, "cedarpy, one, policies parsed before": one_of_theirs}
    at_once = {f"orch, {_BATCH} at once": many_of_ours, f"cedarpy, {_BATCH} at once": many_of_theirs}
    as_text = {"cedarpy, one, policies given as text": text_of_theirs}
    return (
        in_turns(one_by_one, work.rounds(1_000)),
        in_turns(at_once, work.rounds(100)),
        in_turns(as_text, work.rounds(30)),
    )


def _agree(policy: Policy, cedarpy: Any, parsed: Any) -> None:  # noqa: ANN401  # no dependency of ours, so without types
    """Ask both about requests of every outcome; Cedar knows allow and deny, so pending is its deny."""
    for path_count in (1, 3):
        for name, asked in ruleset.requests_of_all_kinds(path_count).items():
            answers = cedarpy.is_authorized_batch(ruleset.cedar_requests(asked), parsed, [])
            theirs, ours = all(answer.allowed for answer in answers), outcome(policy.decide(asked)) == "allow"
            if theirs != ours:
                message = f"not the same rules: {name} is allowed by {'Cedar' if theirs else 'orch'} only"
                raise RuntimeError(message)
