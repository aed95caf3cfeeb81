"""Near misses, listings and counts for messages. Text only; nothing slow is imported before it is needed."""

from collections.abc import Iterable

_MOST = 20_000


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like the given one, or None where none is like it or there are too many to try."""
    from difflib import get_close_matches

    known = list(known)
    if len(known) > _MOST:
        return None
    by_lower = {each.lower(): each for each in sorted(known)}
    found = get_close_matches(word[:128].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?`, or "" where no known word is near."""
    found = nearest(word, known)
    return f"did you mean `{found}`?" if found else ""


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)`, to end a message with; "" where no known word is near."""
    hint = did_you_mean(word, known)
    return f" ({hint})" if hint else ""


def listing(words: Iterable[str], *, most: int = 30) -> str:
    """Return words as `a, b or c`, shortened where there are many."""
    known = list(words)
    if len(known) > most:
        return ", ".join(known[:most]) + ", ..."
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"


def counted(number: int, one: str, more: str = "") -> str:
    """Return `1 file`, `2 files`; `more` is the word for several where it does not end with `s`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
