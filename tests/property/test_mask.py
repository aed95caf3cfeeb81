"""Laws of masking: whatever surrounds a secret, and however it is written, it is gone; the rest is as it was."""

import base64
import json
import string
import urllib.parse
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from orchestrator.digest import canonical
from orchestrator.ledger.mask import Mask

ALPHABET = string.ascii_letters + string.digits + "+/=-_.~!@#$%^&*(){}[]|\\:;\"'<>,? éß漢😀"
SECRETS = st.text(ALPHABET, min_size=8, max_size=200).filter(
    lambda text: len(set(text.strip())) > 5 and len(text.strip()) >= 8
)
AROUND = st.text(ALPHABET + "\n\t", max_size=40)
WRITTEN = st.sampled_from(
    [
        lambda text: text,
        json.dumps,
        lambda text: json.dumps(json.dumps(text, ensure_ascii=False)),
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
        lambda text: urllib.parse.quote(urllib.parse.quote(text)),
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(b"a" + text.encode() + b"bc").decode(),
        lambda text: base64.urlsafe_b64encode(b"ab" + text.encode()).decode(),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(ALPHABET, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(ALPHABET, max_size=12), inner, max_size=4),
    max_leaves=20,
)


def left_of(written: str, seen: str) -> bool:
    """Say whether a long part of what was written is still there."""
    size = max(12, len(written) // 2)
    return any(written[at : at + size] in seen for at in range(max(1, len(written) - size + 1)) if len(written) >= size)


@given(SECRETS, AROUND, AROUND, WRITTEN)
@example("0000000123 4", "", "", urllib.parse.quote_plus)
@example("00012: ;", "", "", urllib.parse.quote_plus)
def test_a_secret_is_gone_whatever_surrounds_it(secret: str, before: str, after: str, write: Any) -> None:  # noqa: ANN401
    secret = secret.strip()
    mask, written = Mask.of({"A_SECRET": secret}), write(secret)
    assume(mask.secrets and not left_of(written, before + "[masked]" + after))
    text = f"{before} {written} {after}"

    seen, value, data = mask.text(text), mask.value({"a": [text], text: 1}), mask.data(text.encode())

    for found in (seen, json.dumps(value, ensure_ascii=False), data.decode()):
        assert not left_of(written, found)
    assert canonical(value)


@given(JSON, SECRETS)
def test_masking_again_changes_nothing(value: Any, secret: str) -> None:  # noqa: ANN401
    mask = Mask.of({"A_SECRET": secret})

    once = mask.value({"value": value, "secret": [secret]})

    assert mask.value(once) == once
    assert canonical(once)


@given(JSON)
def test_without_secrets_everything_stays(value: Any) -> None:  # noqa: ANN401
    """No text of this alphabet, this short, is a credential by its form; members named like one are left out."""
    mask = Mask.of({"A_SECRET": "9f8e7d6c5b4a3-not-there"})
    written = json.dumps(value).lower()
    assume(
        not any(
            word in written for word in ("pass", "secret", "token", "key", "cred", "auth", "cook", "pwd", "otp", "://")
        )
    )

    assert mask.value({"value": value}) == {"value": value}
