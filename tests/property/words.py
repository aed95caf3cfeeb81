"""The vocabularies that generated packs and requests share."""

from decimal import Decimal
from typing import Any

NOW = "2026-03-01T12:00:00Z"
NOW_NS = 1_772_366_400_000_000_000

BUILT_IN = (
    *("open_pr", "open_pr", "push_branch", "comment", "call_tool", "call_tool", "publish_release", "write_file"),
    *("run_command", "create_branch", "call_webhook", "send_message"),
)
DECLARED = ("rotate_key", "deploy")
ACTIONS = (*dict.fromkeys(BUILT_IN), *DECLARED)

REPOSITORIES = ("acme/web", "acme/Api", "other/tool")
BRANCHES = (
    "main",
    "Main",
    "release/1.0",
    "release/1/2",
    "agent/fix",
    "x[1]",
    "!main",
    "größe",
    "wip\\x",
    ".hidden/a",
    "a\u2028b",
)
FILES = (
    *(
        "src/a.py",
        "src/b/c.py",
        "a.py",
        "src",
        "infra/main.tf",
        "Infra/main.tf",
        ".github/workflows/ci.yml",
        "README.md",
    ),
    *(
        "größe/ü.md",
        "a b/c",
        "x[1].py",
        "src/{x}.py",
        "line\nbreak.py",
        "\U0001f600/x.py",
        "a\\b",
        "src/-",
        "a*b",
        "src/.env",
    ),
    *("e\u0301/x", "\u00e9/x", "a,b"),
)
TOOLS = (
    "bank:send_money",
    "github:get_issue",
    "github:get_pr",
    "sentry:list",
    "a:b:c",
    "Bank:send_money",
    "bank:pay/out",
)
SUBJECTS = (
    *(("agent", "agent:fixer"), ("agent", "fixer"), ("user", "alice"), ("user", "user:bob"), ("ci", "acme/web")),
    *(("agent", "gr\u00f6\u00dfe"), ("user", "agent:fixer")),
)
ROLES = ("dev", "lead", "sec", "sre")
ASKED_ROLES = ("lead", "sre")
STAGES = ("dev", "staging", "production")
EVIDENCE = ("tests", "provenance")
BUDGETS = (("usd", "run", None), ("usd", "org", "day"), ("pr_attempts", "run", None), ("usd", "repo", "month"))
LIMITS = (1_000_000, 2_500_000, 5_000_000)
PEOPLE = ("user:alice", "user:bob", "user:carol", "user:dan", "agent:fixer")

_PIECES = (
    "a",
    "src",
    "main",
    "release",
    "/",
    "/",
    "*",
    "**",
    "?",
    "**/",
    ".",
    ".py",
    "{a,b}",
    "{src/,}",
    "[1]",
    "\\",
    "!",
    "ö",
    "{*,x}",
)
GLOBS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "subjects": (
        ("agent:fixer", "user:alice", "user:bob"),
        (
            "agent:*",
            "user:*",
            "*",
            "*:alice",
            "agent:fix??",
            "{user,ci}:**",
            "ci:acme*",
            "**fixer",
            "AGENT:*",
            "*:?????",
        ),
        ("agent", "user", ":", "*", "**", "?", "fixer", "{a,ag}", "/", "**/"),
    ),
    "repositories": (
        REPOSITORIES,
        (
            "acme/*",
            "ACME/*",
            "**",
            "*/web",
            "{acme,other}/*",
            "acme/w?b",
            "other/**",
            "*",
            "none",
            "acme/{web,api}",
            "acme/[a]",
        ),
        ("acme", "/", "*", "web", "**/", "?", "{w,A}", "pi", "eb"),
    ),
    "branches": (
        BRANCHES,
        (
            "release/**",
            "release/*",
            "*",
            "**",
            "{main,Main}",
            "main*",
            "?ain",
            "!main",
            "x[1]",
            "**/1.0",
            "**/fix",
            "agent/**",
            ".*/a",
        ),
        _PIECES,
    ),
    "file_globs": (
        tuple(path for path in FILES if path.isprintable()),
        (
            *(
                "src/**",
                "**/*.py",
                "*.py",
                "infra/**",
                "**/*.tf",
                "**",
                "*",
                ".github/**",
                "{src,infra}/*",
                "**/c.py",
                "src/**/c.py",
            ),
            *(
                "src/**/a.py",
                "*/*",
                "*ü*",
                "gr??e/*",
                "**/.*",
                "[*",
                "*[1]*",
                "*\\*",
                "!*",
                "line?break.py",
                "?/x.py",
                "é/*",
                "{a.py,README.md}",
            ),
            *(
                "**/**/a.py",
                "s***/a.py",
                "src**",
                "{,src/}a.py",
                "{a,{b,src}}/*",
                "*.{py,tf}",
                "**/b/**",
                "a{*,**}b",
                "src/{x}.py",
            ),
        ),
        _PIECES,
    ),
    "tools": (
        TOOLS,
        (
            "bank:*",
            "github:get_*",
            "**",
            "*:send_*",
            "{bank,sentry}:*",
            "*",
            "*:*",
            "**:get_pr",
            "github:**",
            "a:**:c",
            "bank:pay/*",
        ),
        ("bank", "github", "a", ":", "*", "**", "**:", "?", "get_", "{pr,issue}", "/"),
    ),
}
GLOBS["head_branches"] = GLOBS["branches"]

# fmt: off
HOST_GLOBS = (
    "acme.com", "*.acme.com", "**.acme.com", "ACME.com", "*", "**", "{a,b}.acme.com", "a?.acme.com", "evil.net",
    "x_y.acme.com",
)
# fmt: on
URLS = (
    *(
        "https://acme.com",
        "https://acme.com/",
        "http://a.acme.com:8080/x",
        "https://A.ACME.com./y",
        "https://acme.com..",
        "HTTPS://acme.com",
    ),
    *(
        "https://evil.net?x=.acme.com/y",
        "https://acme.com@evil.net/",
        "https://a.b.acme.com#f",
        "ftp://acme.com",
        "acme.com",
        "//acme.com",
    ),
    *(
        "https://evil.net\\.acme.com/",
        "https://acme.com:/",
        "https://acme.com:80x/",
        "https://x_y.acme.com",
        "https://[::1]/",
        "https://",
    ),
    *(
        "https://b\u00fccher.acme.com/",
        "https://a\u212ame.com",
        "https://acme.com\n",
        " https://acme.com",
        "https://acme.com /",
        "https:///acme.com",
    ),
    *(
        "https://user:pw@acme.com/",
        "https://acme.com/ü",
        "https://evil.net#.acme.com",
        "https://1.2.3.4/",
        "https:acme.com",
        "https://acme.com%2f",
    ),
)

SCALARS: tuple[Any, ...] = (
    *("main", "5", "", "true", "null", "alice", "größe", "sre", "acme/web", "user:alice", "100644", "agent/fix"),
    *(0, 1, 5, -1, Decimal("5.00"), Decimal("0.1"), 2**53, 2**53 + 1, True, False),
)
LIMIT_NUMBERS: tuple[Any, ...] = (
    0,
    1,
    5,
    100,
    Decimal("5.00"),
    Decimal("0.1"),
    -1,
    2**53,
    2**53 + 1,
    Decimal("99.99"),
    10**15,
)
VALUES: tuple[Any, ...] = (
    *(
        "main",
        "5",
        "",
        "true",
        "null",
        "alice",
        "größe",
        "agent/fix",
        "user:alice",
        "src/a.py",
        "line\nbreak.py",
        "GRÖSSE",
    ),
    *(
        0,
        1,
        5,
        5.0,
        -1,
        100,
        100.0,
        0.1,
        0.30000000000000004,
        99.99,
        2**53,
        2**53 + 1,
        2**53 - 1,
        2**63,
        10**18,
        -0.0,
        1e15,
        5.000001,
    ),
    *(
        True,
        False,
        None,
        [],
        {},
        {"a": 1},
        [1, 2],
        ["main", "alice"],
        ["5", 5],
        [None],
        [[]],
        [[1]],
        ["main", None],
        [{"a": 1}],
        [True, 1],
    ),
    *URLS[:4],
)
# fmt: off
OPERATORS = (
    "equals", "in", "not_in", "glob", "not_glob", "host", "not_host", "min", "max", "above", "below", "exists",
    "same_as", "not_same_as",
)
# fmt: on
ARGUMENTS = ("amount", "recipient", "items", "tags", "flag", "url", "nested", "title", "body", "to")
# fmt: off
PATHS_OF_CONDITIONS = (
    "action.properties.amount", "action.properties.recipient", "action.properties.items[].type",
    "action.properties.items", "action.properties.items[].tags", "action.properties.items[].tags[]",
    "action.properties.tags", "action.properties.tags[]", "action.properties.flag", "action.properties.url",
    "action.properties.nested.deep", "action.properties.nested.list[].x.y", "action.properties.title",
    "action.properties.body", "action.properties.to", "context.ticket", "context.ip", "context.urls[]",
    "subject.properties.on_behalf_of", "subject.id", "subject.type", "resource.properties.branch",
    "resource.properties.head_branch", "resource.properties.files[].mode", "resource.properties.files[].path",
    "resource.properties.files", "resource.properties.env", "resource.id", "resource.type",
    "facts.subject.attributes.mail", "facts.subject.roles", "facts.stage", "facts.repository", "facts.delegation",
    "action.name", "resource.properties", "facts.run.id",
)
# fmt: on
# fmt: off
OTHER_PATHS = (
    "action.properties.recipient", "action.properties.amount", "context.ticket", "subject.id",
    "facts.subject.attributes.mail", "resource.properties.branch", "action.properties.tags",
    "resource.properties.head_branch", "subject.properties.on_behalf_of",
)
# fmt: on
