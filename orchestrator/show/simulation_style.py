"""How the picture of a simulated escalation looks: colours for light and dark ground, patterns, how wide texts are."""

from unicodedata import east_asian_width

STYLE = """
svg{--paper:#fff;--ink:#1c2530;--soft:#5d6b7a;--line:#dfe4ea;--stripe:#f6f8fa;--idle:#a9b4c0;--operator:#3a7bd5;
--custodians:#e08a1e;--public:#c9356b;--deadline:#b3261e;--good:#2e7d4f;--bad:#d43f3a;background:var(--paper)}
@media (prefers-color-scheme:dark){svg{--paper:#12171d;--ink:#e6ebf1;--soft:#94a2b3;--line:#2b3440;--stripe:#181f27;
--idle:#556373;--operator:#5b9cf2;--custodians:#f0a646;--public:#ee5f92;--deadline:#ff7b72;--good:#5fc48a;--bad:#ff6b66}}
text{font:12px ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:var(--ink)}
.soft{fill:var(--soft)}.small{font-size:11px}.name{font-size:13px;font-weight:600}.title{font-size:18px;font-weight:650}
.paper{fill:var(--paper)}.stripe{fill:var(--stripe)}.grid{stroke:var(--line)}.axis{stroke:var(--soft)}
.deadline{stroke:var(--deadline);stroke-width:1.5}.deadline-word{fill:var(--deadline);font-weight:600}
.idle{fill:var(--idle)}.operator{fill:var(--operator)}.custodians{fill:var(--custodians)}.public{fill:var(--public)}
.due{stroke:var(--ink);stroke-width:1.5}.late{stroke:var(--soft);stroke-dasharray:2 2}
.sent{fill:var(--paper);stroke:var(--ink);stroke-width:1.8}.lost{stroke:var(--bad);stroke-width:2;fill:none}
.tick{stroke:var(--soft)}.missed{stroke:var(--bad);stroke-width:1.4;fill:none}.bad{fill:var(--bad)}
.renewal{stroke:var(--good);stroke-opacity:.45}.renewed{fill:var(--good)}
.down{fill:url(#down)}.weave{stroke:var(--soft);stroke-opacity:.35}
.stopped{fill:url(#stopped);stroke:var(--bad)}.hatch{stroke:var(--paper);stroke-opacity:.75}
"""
PATTERN = (
    '<defs><pattern id="down" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="weave" x1="0" y1="0" x2="0" y2="7" stroke-width="3"/></pattern>'
    '<pattern id="stopped" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">'
    '<line class="hatch" x1="0" y1="0" x2="0" y2="8" stroke-width="9"/></pattern></defs>'
)
_WIDTHS = {"ijlt.,:;|!'()[] ": 5.0, "mwMW@%\N{HORIZONTAL ELLIPSIS}\N{MINUS SIGN}": 13.0, 'fr-_/"': 6.8}
"""How wide letters of a name are, about, in pixels."""


def cut(said: str, room: float) -> str:
    """Return a text that takes about so many pixels at most."""
    width = 0.0
    for place, letter in enumerate(said):
        width += _wide(letter)
        if width > room:
            return said[: max(place - 1, 1)].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return said


def _wide(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return 14.0
    known = next((width for letters, width in _WIDTHS.items() if letter in letters), None)
    return known or (9.8 if letter.isupper() else 8.6)
