r"""Text from outside, made harmless for where it goes: terminal, GitHub command, Markdown, XML, TAP, JSON.

Branch names, file names, messages and labels may hold anything. Each function here keeps what can be read and turns
the rest into something visible: `\u{1b}` for an ESC. They err on the side of escaping too much.
"""

import json
import re

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for code in range(0xFE00, 0xFE10)
}
"""Characters that count as printable and yet show nothing."""
_COMMAND = r"(^|(?<=\s))::|##(?=[A-Za-z]*\[)"
"""What a CI's log reader takes for a command: `::x` at the start of a line, `##[x]` and `##vso[x]` anywhere."""
_NOT_IN_JSON = (
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINKS = r"(?i):(?=//)|\bwww(?=\.)|\bgh(?=-\d)|[@#]"
"""After which a break keeps GitHub from making a link, a mention or a reference."""
_BREAK = "\0"
_MARKDOWN = str.maketrans(
    {char: f"\\{char}" for char in "\\`*_[]~$#"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", _BREAK: "&#8203;"}
)
"""The break is a zero-width space: GitHub looks for mentions in resolved entities too, so one of `@` would not do."""
_MARKDOWN_START = r"^(\d*)([-+=.)])"


def visible(text: str, *, ascii_only: bool = False) -> str:
    r"""Return `text` in one line; every character that does not show, or steers a terminal, is written as `\u{hex}`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _shows(char, ascii_only=ascii_only) else f"\\u{{{ord(char):x}}}" for char in text)


def _shows(char: str, *, ascii_only: bool) -> bool:
    if ascii_only and char > "~":
        return False
    return char.isprintable() and char not in _INVISIBLE


def terminal(text: str, *, ascii_only: bool = False) -> str:
    """Return `text` for one line of a terminal or of a CI's log, where it cannot become a command either."""
    shown = visible(text, ascii_only=ascii_only)
    if "::" in shown or "##" in shown:
        shown = re.sub(_COMMAND, _harmless_command, shown)
    return shown


def _harmless_command(match: re.Match[str]) -> str:
    return "#\\u{23}" if match[0].startswith("#") else ":\\u{3a}"


def github_data(text: str) -> str:
    """Return `text` as the message of a GitHub workflow command; its line breaks stay line breaks."""
    lines = (visible(line) for line in text.split("\n"))
    shown = "\n".join(lines).replace("##[", "#\\u{23}[")
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def github_property(text: str) -> str:
    """Return `text` as a property (`file=`, `title=`) of a GitHub workflow command."""
    return github_data(visible(text)).replace(":", "%3A").replace(",", "%2C")


def markdown(text: str) -> str:
    """Return `text` as prose of GitHub's Markdown: no markup, HTML, link, mention or table cell comes of it."""
    shown = visible(" ".join(text.split()))
    return re.sub(_MARKDOWN_START, r"\1\\\2", re.sub(_LINKS, rf"\g<0>{_BREAK}", shown).translate(_MARKDOWN))


def markdown_code(text: str) -> str:
    """Return `text` as a code span that no backtick in it can end, fit for a table cell too."""
    shown = visible(text).replace("|", "\\u{7c}")
    if not shown.strip():
        return "(empty)"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or shown.startswith(" ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def xml(text: str) -> str:
    r"""Return `text` for an XML text; characters that XML cannot hold are shown as `\u{hex}`."""
    lines = (visible(line) for line in text.split("\n"))
    shown = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace('"', "&quot;").replace("'", "&apos;")


def xml_attribute(text: str) -> str:
    """Return `text` for an XML attribute: as `xml`, in one line."""
    return xml(visible(text))


def tap(text: str) -> str:
    """Return `text` as the description of a TAP test point: no directive and no line break comes of it."""
    return visible(text).replace("\\", "\\\\").replace("#", "\\#")


def yaml(text: str) -> str:
    """Return `text` as a double-quoted YAML scalar in one line."""
    return json_text(visible(text))


def json_text(value: object, *, indent: int | None = None) -> str:
    r"""Return `value` as JSON that is valid UTF-8 and shows safely on a terminal: what does not show is `\uXXXX`."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators, default=str)
    return text if text.isascii() and "\x7f" not in text else re.sub(_NOT_IN_JSON, _json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
