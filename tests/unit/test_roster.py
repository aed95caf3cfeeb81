"""A roster says who there is; nobody is there twice and nothing belongs to two."""

import base64

import pytest

from orchestrator.compile import compile_packs
from orchestrator.errors import PackError
from orchestrator.keys import jwk, ssh_line
from orchestrator.model import Layer, PackSet, RosterEntry
from orchestrator.pack import load_documents

RAW = bytes(range(1, 33))
KEY = ssh_line(RAW)
SAME_KEY = f"ed25519:{base64.b64encode(RAW).decode()}"
OTHER = ssh_line(bytes(range(2, 34)))
HEAD = "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n"


def load(*rosters: str) -> tuple[RosterEntry, ...]:
    return load_documents([(f"{n}.yaml", (HEAD + text).encode()) for n, text in enumerate(rosters)], Layer.ORG).roster


def test_subjects_have_roles_attributes_and_keys() -> None:
    found = load(
        f"  user:bob: {{}}\n  user:alice: {{roles: [sre, dev], attributes: {{mail: a@x.io, github: Alice}}, keys: {KEY}}}\n  agent:fixer: {{roles: bot}}\n"
    )

    assert found == (
        RosterEntry("agent:fixer", ("bot",)),
        RosterEntry("user:alice", ("dev", "sre"), {"github": "Alice", "mail": "a@x.io"}, (KEY,)),
        RosterEntry("user:bob"),
    )


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (
            ("  user:a: {}\n", "  user:a: {}\n"),
            "1.yaml:5:3: `user:a` a second time; expected each subject once (the first is at 0.yaml:5)",
        ),
        (("  user:a: {}\n  user:a: {}\n",), "the key `user:a` a second time"),
        (
            (f"  user:a: {{keys: {KEY}}}\n", f"  user:b: {{keys: [{OTHER}, {SAME_KEY}]}}\n"),
            f"1.yaml:5:101: the key `{KEY[:20]}",
        ),
        (
            ("  user:a: {attributes: {github: Al}}\n  user:b: {attributes: {github: al}}\n",),
            "0.yaml:6:33: the github `al`, which belongs to `user:a`",
        ),
        (
            ("  user:a: {attributes: {mail: A@x}}\n  user:b: {attributes: {mail: a@X}}\n",),
            "the mail `a@x`, which belongs",
        ),
        (
            ("  user:a: {keys: MCowBQYDK2VwAyEA}\n",),
            "0.yaml:5:18: the key `MCowBQYDK2VwAyEA`: not `ssh-ed25519 AAAA...` or `ed25519:` and base64; expected an Ed25519 public key",
        ),
        (("  user:a: {keys: 'ssh-ed25519 AAAA'}\n",), "not the base64 of an OpenSSH Ed25519 key"),
        (("  alice: {}\n",), "0.yaml:5:3: `alice`; expected a subject's name such as `user:alice`"),
        (("  user:a: {role: sre}\n",), "expected `roles`"),
        (("  user:a: {roles: []}\n",), "an empty list"),
        (("  user:a:\n",), "nothing; expected a mapping"),
        (("  user:a: {attributes: {mail: 5}}\n",), "the number `5`; expected text"),
        (("  user:a: {roles: SRE}\n",), "a name of lowercase"),
        (("  {}\n",), "at least one entry"),
    ],
)
def test_a_doubtful_roster_is_refused(texts: tuple[str, ...], seen: str) -> None:
    with pytest.raises(PackError) as caught:
        load(*texts)

    assert seen in str(caught.value)


def test_an_attribute_that_is_no_login_may_be_shared() -> None:
    assert len(load("  user:a: {attributes: {team: x}}\n  user:b: {attributes: {team: x}}\n")) == 2


def test_a_key_is_compiled_to_a_jwk_however_it_is_written() -> None:
    people = load(f"  user:a: {{keys: [{KEY} a laptop, '{SAME_KEY}']}}\n")

    compiled = compile_packs(PackSet((), roster=people)).data["roster"]

    assert compiled == {"user:a": {"roles": [], "attributes": {}, "keys": [jwk(RAW)]}}
