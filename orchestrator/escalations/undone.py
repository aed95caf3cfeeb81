"""More that a text comes to: look-alikes of other scripts, escapes, names that were torn apart, codes in pieces. Pure.

It makes what a person would read, or type, out of it; no sentence has to survive. A net, not a wall.
"""

import re
import unicodedata
from itertools import pairwise

MOST_TOKEN = 8
"""Longest piece of a code, in characters."""
CODE = 28
"""How many characters a renewal code has."""
_ALPHABETS = (
    ("АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝвкмнтѵ", "ABESIJKMHOPCTYXaesijopcyxhdqwbkmhtv"),  # Cyrillic
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαοιρνυκτχ", "ABEZHIKMNOPTYXaoipvuktx"),  # Greek
    ("օսոհցզ", "ounhgq"),  # noqa: RUF001  # Armenian
    ("ꮯꮎꮇꭺᎪᏴᏟᎬᏀᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ", "comaABCEGHJKLMPRSTVWZ"),  # Cherokee
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢıøłđ", "abcdefghijklmnoprstuvwyziold"),  # small capitals, strokes
)
_LIKE = {ord(one): other for alphabet, latin in _ALPHABETS for one, other in zip(alphabet, latin, strict=True)}
"""Letters that look like Latin ones."""
_KNOWN = r"(?:com|net|org|io)\b"
_ENDING = r"(?:com|net|org|io|app|dev|info|biz|xyz|eu|de|ru|uk|cn|ch|online|site|example)\b"
_DOTS = ".·・･۔᛫⠠⠲•‧∙⋅･¸,"  # noqa: RUF001  # these are the look-alikes
_TORN = (
    (re.compile(rf"(?<!>)(?:<[^<>]{{1,200}}>)++(?=\.?{_ENDING})", re.IGNORECASE), ""),
    (re.compile(rf"(?<=[\w-])[ \t]{{0,3}}[{re.escape(_DOTS[:-1])}][ \t]{{0,3}}(?:\n[ \t]{{0,3}})?(?={_ENDING})"), "."),
    (re.compile(rf"(?<=[\w-])[{re.escape(_DOTS)}](?={_KNOWN})"), "."),
    (re.compile(rf"(?<=\w)[ \t]+(?:punkt|period|point|full stop)[ \t]+(?={_KNOWN})", re.IGNORECASE), "."),
    (re.compile(r"(?<=\.)(c|o|n)-\n(?=\w)"), r"\1"),
    (re.compile(r"\\\\(?=\w[\w.-]{0,80}\\)"), "//"),
)
_ESCAPE = re.compile(r"\\u\{?00([0-9a-fA-F]{2})\}?|\\x([0-9a-fA-F]{2})|=([0-9A-F]{2})|\\0{0,4}(2[eEfF]|3[aA]) ?")
_TOKEN = re.compile(r"[^\W_]+")
_SCRAMBLED = re.compile(r"[0-9][A-Za-z]|[A-Z][0-9]")
_LEAST_SCRAMBLED, _LEAST_SHAPES, _LEAST_LETTERS, _LEAST_DIGITS = 3, 3, 8, 3


def forms(text: str) -> list[str]:
    """Return what a text that is plain already comes to besides; empty where that is nothing else."""
    latin = _latin(text)
    torn = _torn(latin)
    found = [torn] if torn != text else []
    if len(_SCRAMBLED.findall(latin)) >= _LEAST_SCRAMBLED:
        found.append(" ".join(_TOKEN.findall(latin)))
    return [*found, *_codes(latin)]


def _latin(text: str) -> str:
    """Return a text whose words are of one script, where look-alikes of another stood in them."""
    if text.isascii():
        return text
    return re.sub(r"\S+", lambda found: _alike(found[0]), text)


def _alike(word: str) -> str:
    if word.isascii():
        return word
    if re.search(r"\w\.\w", word):
        parts = unicodedata.normalize("NFKD", word)
        word = "".join(one for one in parts if unicodedata.category(one) != "Mn")
    alike = word.translate(_LIKE)
    letters = [one for one in alike if one.isalpha()]
    is_mixed = any(one.isascii() and one.isalnum() for one in word)
    return alike if is_mixed or all(one.isascii() for one in letters) else word


def _torn(text: str) -> str:
    text = _ESCAPE.sub(_unescaped, text)
    for pattern, instead in _TORN:
        text = pattern.sub(instead, text)
    return text


def _unescaped(found: re.Match[str]) -> str:
    code = int(next(part for part in found.groups() if part), 16)
    return chr(code) if chr(code).isprintable() and chr(code).isascii() else found[0]


def _codes(text: str) -> list[str]:
    """Return runs of pieces that together are as long as a code and look like one."""
    runs: list[list[str]] = [[]]
    for piece in _TOKEN.findall(text):
        if _is_piece(piece):
            runs[-1].append(piece.upper())
        elif runs[-1]:
            runs.append([])
    return ["".join(run) for run in runs if _is_code(run)]


def _is_piece(piece: str) -> bool:
    """Whether this may be a part of a code: no word, and of the letters that codes have."""
    if len(piece) > MOST_TOKEN or not piece.isascii():
        return False
    has_digit = any(one.isdigit() for one in piece)
    if re.search("[ilouILOU]", piece) and not has_digit:
        return False
    return has_digit or piece.isupper() or len(piece) < 3 or not re.search("[aeiouy]", piece)  # noqa: PLR2004  # words are longer


def _is_code(run: list[str]) -> bool:
    whole = "".join(run)
    if len(whole) < CODE:
        return False
    letters = [one for one in whole if one.isalpha()]
    shapes = {"".join("9" if one.isdigit() else "A" for one in piece) for piece in run}
    is_spelt = sum(len(piece) == 1 for piece in run) >= CODE
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(whole))
    is_even = len(letters) * 3 >= len(whole) and len(whole) - len(letters) >= _LEAST_DIGITS
    is_mixed = is_even and changes >= _LEAST_SHAPES and len(set(letters)) >= _LEAST_LETTERS
    return is_mixed and (is_spelt or len(shapes) >= _LEAST_SHAPES)
