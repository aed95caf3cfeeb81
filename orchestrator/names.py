"""What a valid repository, branch, tool, path and subject is called. Values only; on the hot path.

Each function returns "" for a valid name, else what was expected, as the rest of a sentence.
"""

import re

MAX_NAME = 1024
"""Longest name of a repository, branch, tool or subject, in characters."""
MAX_PATH_BYTES = 4096
"""Longest path of a file, in bytes of UTF-8."""
NO_REPOSITORY = "none"
"""Stands for: there is no repository."""

_SHOWN = 60
_LONG_NUMBER = 10**30
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/")
_IN_A_REPOSITORY = _PLAIN | frozenset(".~+")
_IN_A_RUN = (_PLAIN | frozenset(".")) - frozenset("/")
_MAX_RUN = 100
_NOT_IN_A_BRANCH = (  # patterns are compiled when they are needed: most commands never do
    "[\x00-\x20\x7f-\x9f~^:?*\\[\\\\\ud800-\udfff]|\\.\\.|@\\{|//|/\\.|\\.lock(?:/|\\Z)|\\.\\Z|/\\Z"
)
_CONTROL = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
_TOOL = "[^:\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+(?::[^:\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+)+"

_REF = (
    "a branch's name as git allows it (no spaces, control characters, `..`, `//`, `@{`, `~^:?*[\\`, leading `-` or `.`)"
)


def repository_problem(name: str) -> str:
    """Judge a repository's id: `owner/name`, deeper groups allowed, or `none`."""
    if name == NO_REPOSITORY:
        return ""
    parts = name.split("/")
    if len(name) > MAX_NAME or len(parts) == 1 or "" in parts or not _IN_A_REPOSITORY.issuperset(name):
        return "`owner/name` without scheme, host or empty part, or `none`"
    lowered = name.lower()
    if lowered.endswith(".git"):
        return "`owner/name` without `.git`"
    if "." in parts or ".." in parts:
        return "`owner/name` without `.` or `..`"
    return ""


def branch_problem(name: str) -> str:
    """Judge a branch's name: what git allows below `refs/heads/`, that prefix left out."""
    if len(name) > MAX_NAME:
        return f"at most {MAX_NAME} characters"
    if name.lower().startswith("refs/"):
        return "the branch's name without `refs/heads/`"
    if name == "HEAD":
        return "a branch's name, which `HEAD` is not"
    if _PLAIN.issuperset(name) and not name.startswith("-") and "" not in name.split("/"):
        return ""
    if not name or name == "@" or name.startswith(("-", ".", "/")) or re.search(_NOT_IN_A_BRANCH, name):
        return _REF
    return ""


def tool_problem(name: str) -> str:
    """Judge a tool's id: `server:tool`."""
    return "" if len(name) <= MAX_NAME and re.fullmatch(_TOOL, name) else "`server:tool`, neither part empty, no spaces"


def path_problem(path: str) -> str:
    """Judge a file's path: relative, normal, POSIX, UTF-8."""
    parts = path.split("/")
    is_normal = "" not in parts and "." not in parts and ".." not in parts and "\0" not in path
    if not is_normal or not is_text(path):
        return "a relative path without empty, `.` or `..` parts, NUL or lone surrogates, such as `src/a.py`"
    if len(path) > MAX_PATH_BYTES // 4 and len(path.encode()) > MAX_PATH_BYTES:
        return f"a path of at most {MAX_PATH_BYTES} bytes"
    return ""


def is_text(value: str) -> bool:
    """Return whether a text has a form in UTF-8: bytes that have none arrive as lone surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def run_problem(name: str) -> str:
    """Judge the name of a run or session."""
    is_plain = 0 < len(name) <= _MAX_RUN and _IN_A_RUN.issuperset(name) and name[0] not in ".-"
    return "" if is_plain else f"letters, digits, `.`, `_` and `-`, at most {_MAX_RUN}, such as `nightly-42`"


def id_problem(name: str) -> str:
    """Judge any other name: not empty, no control characters, not too long."""
    if not name or name.isspace():
        return "a text that is not empty"
    if len(name) > MAX_NAME:
        return f"at most {MAX_NAME} characters"
    is_clean = name.isprintable() or not re.search(_CONTROL, name)
    return "" if is_clean else "a text without control characters or lone surrogates"


def shown(value: object) -> str:
    """Return a value as a message may carry it: on one line, shortened, everything unprintable escaped."""
    match value:
        case str():
            return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."
        case None | bool():
            return "null" if value is None else str(value).lower()
        case int() | float():
            return (
                f"the number {value}"
                if isinstance(value, float) or abs(value) < _LONG_NUMBER
                else "a number beyond all use"
            )
        case dict() | list():
            name = "object" if isinstance(value, dict) else "list"
            return f"{'an' if name == 'object' or not value else 'a'} {'' if value else 'empty '}{name}"
    return f"a Python {type(value).__name__}"
