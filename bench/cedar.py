"""Decisions per second against Cedar in the same process, on rules that say the same."""

from itertools import cycle
from typing import Any

import ruleset
from peers import Peer
from report import Section, Verdict, of_ratio
from timing import Ratio, Timing, in_turns, ratio
from work import Work, outcome

from orchestrator import Policy, Question

_RULES, _GOAL, _BATCH = 1_000, 4, 64
_WHAT = "decisions/s at 1,000 rules against cedarpy"


def measure(work: Work, peer: Peer) -> Section:
    """Compare single and batched decisions about one changed file each."""
    if not peer.path:
        missing = (
            Verdict(f"{_WHAT}, {how}", 0, _GOAL, is_at_least=True, missing=peer.missing)
            for how in ("one by one", "batched")
        )
        return Section("Cedar", "cedarpy is not to be had here.", verdicts=tuple(missing))
    import cedarpy

    policy = Policy.load(packs=[work.packs(_RULES)])
    text = ruleset.cedar(ruleset.rules(_RULES))
    parsed, nobody = cedarpy.PolicySet.from_str(text), cedarpy.Entities.from_json_str("[]")
    _agree(policy, parsed)
    asked = [ruleset.request(1, repository=ruleset.repository_name(number)) for number in range(_BATCH)]
    questions = [Question(one) for one in asked]
    theirs = [ruleset.cedar_requests(one)[0] for one in asked]
    turns = cycle(range(_BATCH))

    def one_of_ours() -> None:
        policy.decide(asked[next(turns)])

    def one_of_theirs() -> None:
        cedarpy.is_authorized(theirs[next(turns)], parsed, nobody)

    def many_of_ours() -> None:
        list(policy.decide_many(questions))

    def many_of_theirs() -> None:
        cedarpy.is_authorized_batch(theirs, parsed, nobody)

    def text_of_theirs() -> None:
        cedarpy.is_authorized(theirs[next(turns)], text, [])

    single = in_turns(
        {"orch, one": one_of_ours, "cedarpy, one, policies parsed before": one_of_theirs}, work.rounds(1_000)
    )
    many = in_turns(
        {f"orch, {_BATCH} at once": many_of_ours, f"cedarpy, {_BATCH} at once, policies parsed before": many_of_theirs},
        work.rounds(100),
    )
    as_text = in_turns({"cedarpy, one, policies given as text": text_of_theirs}, work.rounds(30))
    ours, other = single.values()
    ours_many, other_many = many.values()
    note = f"Against policies given as text, as a caller without a handle does: {next(iter(as_text.values())).p50 / ours.p50:.1f} times."
    return Section(
        f"Cedar, {_RULES:,} rules",
        "Both are called from this process, in turns, about pull requests with one changed file in 64 repositories (Cedar has no word for "
        '"any of these files"). A decision of ours crosses a socket, names rules and messages and carries digests; Cedar\'s stays in the '
        "process. Ratios are of decisions per second, to a cedarpy that parsed its policies before.",
        timings=(*single.items(), *many.items(), *as_text.items()),
        verdicts=(
            of_ratio(f"{_WHAT}, one by one", _rate(other, ours), _GOAL, is_at_least=True),
            of_ratio(f"{_WHAT}, {_BATCH} at once", _rate(other_many, ours_many), _GOAL, is_at_least=True),
        ),
        notes=(note,),
    )


def _rate(theirs: Timing, ours: Timing) -> Ratio:
    """Return how many decisions we make while they make one."""
    return ratio(theirs, ours)


def _agree(policy: Policy, parsed: Any) -> None:  # noqa: ANN401  # cedarpy is no dependency of ours, so it has no type here
    """Ask both about requests of every outcome; Cedar knows allow and deny, so pending is its deny."""
    import cedarpy

    for path_count in (1, 3):
        for name, asked in ruleset.requests_of_all_kinds(path_count).items():
            answers = cedarpy.is_authorized_batch(ruleset.cedar_requests(asked), parsed, [])
            theirs, ours = all(answer.allowed for answer in answers), outcome(policy.decide(asked)) == "allow"
            if theirs != ours:
                message = f"not the same rules: {name} is allowed by {'Cedar' if theirs else 'orch'} only"
                raise RuntimeError(message)
