"""What a text comes to once nothing in it is dressed up: an input to policy, which looks for a way in there.

Reads and changes nothing. `rego/orch/wayin` judges; it looks at what was written, too.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from orchestrator.catalogue import CATALOGUE
from orchestrator.escalations.undone import forms

ADDRESSING = frozenset({"channel", "to", "reply_to", "endpoint", "url", "template"})
"""Parameters that say where something goes and are no text of it."""
TECHNICAL = frozenset({"commit", "path", "remote", "script_digest", "source"})
"""Parameters of built-in actions that name files, digests and repositories, which no reader is shown."""
_ROUNDS = 5
"""How often one text is undone: what is wrapped more often no reader sees through either."""
_INVISIBLE = frozenset({"Cf", "Cc", "Cs", "Mn", "Me"})
"""Categories of characters without a width of their own: format, control and what combines with a letter."""
_FILLERS = "\u115f\u1160"
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>")
_INLINE = re.compile(
    r"</?(?:a|abbr|b|bdi|bdo|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr)\b",
    re.IGNORECASE,
)
_OPEN, _CLOSE = r"(?<!\s)\s*[\[({<]\s*", r"\s*[\])}>]\s*"
"""A run of blanks is tried from its beginning alone, or long ones would take for ever."""
_AFTER_A_DOT = "a|an|and|are|as|at|but|by|for|has|in|is|means|of|on|or|that|the|then|to|was|were|which|will|with"
"""Words after which `dot` is a thing that is spoken of."""
_UNDONE = (
    (re.compile(rf"{_OPEN}(?:\.|dot|d0t){_CLOSE}", re.IGNORECASE), "."),
    (re.compile(rf"(?<=\w)\s+dot\s+(?=\w)(?!(?:{_AFTER_A_DOT})\b)", re.IGNORECASE), "."),
    (re.compile(rf"{_OPEN}(?:@|at){_CLOSE}", re.IGNORECASE), "@"),
    (re.compile(rf"{_OPEN}(:|/|://){_CLOSE}"), r"\1"),
    (re.compile(r"\bh(?:xx|\*\*|tt)p(s?)\s*:\s*/\s*/\s*", re.IGNORECASE), r"http\1://"),
    (re.compile("[\u3002\uff0e\uff61]"), "."),
)


def texts(properties: Mapping[str, Any], action: str = "") -> list[str]:
    """Return what the texts among an action's properties come to, each once; those that were plain before included.

    Each text stands there twice where it has tags: as it is shown, and with its tags. `action` says which parameters
    are no texts, by the catalogue.
    """
    found = (one for text in _written(properties, action) for one in _readings(text))
    return list(dict.fromkeys(found))


def _written(properties: Mapping[str, Any], action: str) -> Iterator[str]:
    known = CATALOGUE.get(action)
    arguments = (known.arguments if known else None) or frozenset()
    for name, value in properties.items():
        if name in ADDRESSING or (name in TECHNICAL and name in arguments):
            continue
        if name == "attachments" and name in arguments and isinstance(value, list | tuple):
            yield from (str(one["name"]) for one in value if isinstance(one, Mapping) and "name" in one)
        else:
            yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401  # JSON
    """Yield every text in a JSON value, the names in objects too, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            yield from (key for key in one if isinstance(key, str))
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)


def _readings(text: str) -> Iterator[str]:
    plain = _plain(text)
    yield plain
    yield from forms(plain)
    shown = _TAG.sub(_gap, _uncommented(text))
    if shown != text:
        plain = _plain(shown)
        yield plain
        yield from forms(plain)


def _gap(tag: re.Match[str]) -> str:
    """Return what stands where a tag stood: nothing where it can stand inside a word, else a break."""
    return "" if _INLINE.match(tag[0]) else "\n"


def _uncommented(text: str) -> str:
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[at:start])
        at = end + len("-->")
    return "".join([*kept, text[at:]])


def _plain(text: str) -> str:
    """Return a text without entities, percent-encoding, look-alikes, invisible characters and broken-up addresses."""
    for _ in range(_ROUNDS):
        before = text
        text = unquote(html.unescape(text), errors="replace")
        text = _visible(unicodedata.normalize("NFKC", text))
        text = re.sub(r"[^\S\n]", " ", text)
        for pattern, instead in _UNDONE:
            text = pattern.sub(instead, text)
        if text == before:
            break
    return text


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    kept = (one for one in text if one in "\n\t\r" or unicodedata.category(one) not in _INVISIBLE)
    return "".join(one for one in kept if one not in _FILLERS)
