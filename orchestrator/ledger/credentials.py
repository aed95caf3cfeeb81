"""What credentials look like, whoever made them: forms of tokens, and names of members and parameters that hold some.

Only texts until a first mark of a form is seen; part of the hot path.
"""

import re
from functools import lru_cache
from typing import NamedTuple

MARK = "[masked]"
"""What stands where a secret was; its length says nothing."""

WORDS = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "api_key", "apikey", "api-key", "access_key",
    "accesskey", "access-key", "private_key", "privatekey", "private-key", "credential",
)  # fmt: skip
"""Words that say of a parameter in a text that its value is secret; lower case."""
KEYS = (
    *WORDS, "authorization", "cookie", "cookies", "credentials", "pwd", "secrets", "signing_key", "encryption_key",
    "secret_key", "otp",
)  # fmt: skip
"""Endings of the names of members whose values are secret; `-`, `_` and case do not count."""
_KEY_ENDS = tuple({name.replace("_", "").replace("-", "") for name in KEYS})
_KEYS_OTHER = frozenset({"pwd", "oldpwd", "cwdpwd"})

_NAME = r"(?:pass(?:word|wd|phrase|code)|secret(?:_?key)?|token|(?:api|access|private)[_-]?key|credentials?)"
_EDGE = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2}))"
_HOOKS = r"hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/[0-9]+/"
_VALUE = r"[^\s\"'&;,<>(){}\[\]|\\`$]"
_REFERENCE = (
    r"(?:(?:bearer|basic|token)\s+)?"
    r"(?:\$\{\{[^{}]*\}\}|\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|\{[A-Za-z_]*\}|<[^<>]*>|\*+|x+|\.+)"
)
_VARIABLE = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:TOKEN|SECRET|PASSWORD|KEY)"
_HARMLESS = frozenset({"null", "none", "true", "false", "undefined"})
_DIGEST = r"(?:sha256:)[0-9a-f]{64}"


class Form(NamedTuple):
    """One form of credentials."""

    marks: tuple[str, ...]
    """Lower-case texts of which one is there where the form is."""
    pattern: str
    """Its group `v` is what is hidden."""


BASIC = Form(("basic ",), r"(?i)\bbasic\s+(?P<v>[A-Za-z0-9+/]{8,}={0,2})")
"""Credentials only where it decodes to `user:password`: prose speaks of basic authentication, too."""
FORMS = (
    Form(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?P<v>gh[pousr]_[A-Za-z0-9_]{20,}(?:\.[A-Za-z0-9_-]+)*)"),
    Form(("github_pat_",), r"(?P<v>github_pat_[A-Za-z0-9_]{20,})"),
    Form(
        ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-"),
        r"(?P<v>gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]+)*)",
    ),
    Form(("akia", "asia", "abia", "acca"), _EDGE + r"(?P<v>(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})(?![A-Za-z0-9])"),
    Form(("iqojb3jp", "fwogzxiv"), r"(?P<v>(?:IQoJb3Jp|FwoGZXIv)[A-Za-z0-9/+=]{50,})"),
    Form(("accesskey", "access_key"), r"(?i)secret_?access_?key\\*[\"']?\s*[:=]\s*\\*[\"']?(?P<v>[A-Za-z0-9/+]{40})"),
    Form(("xox", "xapp-"), r"(?P<v>(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{10,})"),
    Form(("hooks.slack", "/api/webhooks/"), rf"(?:{_HOOKS})(?P<v>[A-Za-z0-9/_-]{{8,}})"),
    Form(("k_live_", "k_test_", "whsec_"), r"(?P<v>(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9+/]{10,}=*)"),
    Form(("aiza",), r"(?P<v>AIza[A-Za-z0-9_-]{35})"),
    Form(("ya29.", "gocspx-"), r"(?P<v>(?:ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,})"),
    Form(
        ("sk-",),
        _EDGE + r"(?P<v>sk-(?:(?:ant|proj|or-v1|svcacct|admin)-[A-Za-z0-9_-]{16,}|[A-Za-z0-9]{20,}"
        r"|(?=[A-Za-z0-9_-]{0,200}[0-9])(?=[A-Za-z0-9_-]{0,200}[A-Z])[A-Za-z0-9_-]{20,}))",
    ),
    Form(("npm_",), r"(?P<v>npm_[A-Za-z0-9]{30,})"),
    Form(("pypi-",), r"(?P<v>pypi-(?=[A-Za-z0-9_-]{0,200}[A-Z])[A-Za-z0-9_-]{32,})"),
    Form(("eyj",), _EDGE + r"(?P<v>eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){1,3})"),
    Form(("age-secret-key-",), r"(?P<v>AGE-SECRET-KEY-1[A-Z0-9]{50,})"),
    Form(
        ("private key",),
        r"(?P<v>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:(?!-----BEGIN)[\s\S]){1,32768}?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\\+[nr]|\s|[A-Za-z-]+: [^\n\\]*)*[A-Za-z0-9+/]{16,}={0,2})*))",
    ),
    Form(
        ("authorization",),
        r"(?i)authorization\\*[\"']?\s*[:=]\s*\\*[\"']?(?:bearer|basic|token|digest|negotiate|apikey)\s+"
        r"(?P<v>[^\s\"'\\$][^\s\"'\\]{3,})",
    ),
    Form(("bearer ",), r"(?i)\bbearer\s+(?P<v>(?=[^\s\"']*[0-9])[A-Za-z0-9._~+/-]{16,}=*)"),
    BASIC,
    Form(("cookie: ",), r"(?i)\b(?:set-)?cookie: (?P<v>[^\s=\"'\\]+=[^\r\n\"'\\]+)"),
    Form(
        ("://",),
        r"://[^\s/?#:@\"'<>]{0,256}:(?![0-9]{1,5}(?:[/?#\s\"'\\]|$))"
        r"(?P<v>[^\s/?#\"'<>]{1,1024}(?=@)|[^\s@\"'<>\\]{1,1024}(?=@))",
    ),
    Form(("://",), r"://(?P<v>(?=[^\s/?#:@]*[0-9])[A-Za-z0-9_.~%-]{20,})(?=@)"),
    Form(("curl",), r"\bcurl\b[^\r\n]{0,500}?\s(?:-u|--user)[ =]?\\*[\"']?[^\s:\"'\\]+:(?P<v>[^\s\"'\\]{3,})"),
    Form(("signature=", "sig="), r"(?i)[?&](?:[a-z-]*signature|sig)=(?P<v>[A-Za-z0-9%+/_-]{16,}=*)"),
)
"""Forms that speak for themselves."""
MARKS = tuple((mark, form) for form in FORMS for mark in form.marks)
NUMBERS = Form(("\0", '"', "\\"), rf"(?i){_NAME}(?P<q>\\*\")\s*:\s*(?P<v>[0-9]+(?:\.[0-9]+)?)(?=\s*[,}}\]])")
"""A secret number in a text that is JSON; its mark gets quotes, so that the JSON stays valid."""
FLAG = Form((" ",), rf"(?i)--[a-z-]{{0,40}}{_NAME}\s+[\"']?(?P<v>(?={_VALUE}*[0-9]){_VALUE}{{8,}})")
"""A flag of a command line and its value."""
NAMED = (
    Form(("=",), rf"(?i){_NAME}=(?P<v>{_VALUE}{{4,}}+)(?!\()"),
    Form(("=",), rf"(?i){_NAME}=\\*[\"'](?P<v>[^\"'\\\r\n]{{4,}})"),
    Form(("\0", '"', "'"), rf"(?i){_NAME}[\"']\s*[:=]\s*\"(?P<v>(?:\\.|[^\"\\])+)\""),
    Form(("\0", '"', "'"), rf"(?i){_NAME}[\"']\s*[:=]\s*'(?P<v>(?:\\.|[^'\\])+)'"),
    Form(("\\",), rf"(?i){_NAME}\\+[\"']\s*[:=]\s*\\+[\"'](?P<v>(?:(?!\\+[\"'])[\s\S])+)"),
    Form((">",), rf"(?i)<(?:[\w-]+:)?[\w-]*{_NAME}>(?P<v>[^<]+)</"),
    FLAG,
    NUMBERS,
)
"""Forms in which a word of `WORDS` is followed by one of the marks, and the value by that."""


@lru_cache(maxsize=64)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a form's pattern, compiled when it is first needed."""
    return re.compile(pattern, re.ASCII)


@lru_cache(maxsize=1024)
def is_secret_key(key: str) -> bool:
    """Say whether the value of a member of this name is secret by that name: `dbPassword`, `X-Api-Key`, `token`."""
    name = key.lower().replace("_", "").replace("-", "")
    return name.endswith(_KEY_ENDS) and name not in _KEYS_OTHER


def is_kept(value: str) -> bool:
    """Say whether a text is no secret, wherever it stands: a reference to one, a placeholder, a digest, or a vote."""
    if not value or value == MARK or value.lower() in _HARMLESS:
        return True
    if (
        re.fullmatch(_DIGEST, value)
        or re.fullmatch(_VARIABLE, value)
        or re.fullmatch(_REFERENCE, value, re.IGNORECASE | re.ASCII)
    ):
        return True
    return is_vote(value)


def is_basic(value: str) -> bool:
    """Say whether a text is `user:password` in base64."""
    from binascii import Error, a2b_base64

    try:
        decoded = a2b_base64(value + "=" * (-len(value) % 4)).decode()
    except (Error, UnicodeDecodeError):
        return False
    return ":" in decoded and decoded.isprintable()


def is_vote(value: str) -> bool:
    """Say whether a text is the signed vote of an approver; it is a proof that must stay whole, and opens nothing."""
    head, dot, _ = value.partition(".")
    if not dot or not head.startswith("eyJ") or not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", value, re.ASCII):
        return False
    import json
    from binascii import Error, a2b_base64

    try:
        header = json.loads(a2b_base64(head.replace("-", "+").replace("_", "/") + "=" * (-len(head) % 4)))
    except (Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("typ") == "orch-vote+jwt"
