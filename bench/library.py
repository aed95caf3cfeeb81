"""The library against the least a client can do: what do our checks, digests and types cost?"""

import raw
import ruleset
from report import Section, of_ratio
from timing import in_turns, ratio
from work import Work

from orchestrator import Policy
from orchestrator.seat import seat_of

_RULES, _PATHS = 1_000, 20
_ABOUT = f"""\
One request with {_PATHS} files, {_RULES:,} rules, one warm sidecar. The bare client sends bytes that were made
before and parses the JSON; `Policy.decide` also checks the request, makes its canonical form and digests, checks
the answer and builds the decision."""


def measure(work: Work) -> Section:
    """Compare `Policy.decide` with a bare socket that sends the same bytes."""
    policy = Policy.load(packs=[work.packs(_RULES)])
    overhearing = raw.Overhearing(policy.engine)
    asked = ruleset.request(_PATHS)
    policy._replace(engine=overhearing).decide(asked)
    connection = raw.connect(seat_of(policy.digest).file("sock"))
    ask = raw.asker(connection, raw.message(overhearing.batch))
    if [found["outcome"] for found in ask()["result"]] != ["allow"]:
        message = "the bare client was not answered as we were"
        raise RuntimeError(message)

    timings = in_turns(
        {"`Policy.decide`": lambda: void(policy.decide(asked)), "bare socket": lambda: void(ask())},
        work.rounds(2_000),
        warm_up=50,
    )
    connection.close()
    ours, theirs = timings["`Policy.decide`"], timings["bare socket"]
    return Section(
        "Library against a bare socket client",
        _ABOUT,
        timings=tuple(timings.items()),
        verdicts=(of_ratio("library, warm, against a bare socket client", ratio(ours, theirs), 1.15),),
    )


def void(_: object) -> None:
    """Return nothing, whatever was made."""
