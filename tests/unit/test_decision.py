"""A decision's own digest: what was decided, and nothing of when, where and how often."""

import pytest
from show_examples import decision, finding

from orchestrator.decision import Decision, digest_of


def changed(**context: object) -> Decision:
    """Return a decision with some of its context otherwise."""
    made = decision()
    return made._replace(context={**made.context, **context})


@pytest.mark.parametrize("name", ["evaluation_id", "evaluated_at", "input_digest", "recorded", "request_id"])
def test_what_belongs_to_one_evaluation_does_not_change_the_digest(name: str) -> None:
    assert changed(**{name: "other"}).digest == decision().digest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outcome", "pending"),
        ("reason", "undecidable"),
        ("point", "tick"),
        ("action_digest", "sha256:" + "0" * 64),
        ("policy", {"digest": "sha256:" + "0" * 64, "packs": []}),
        ("findings", [finding()]),
        ("obligations", [{"id": "stage:continuity"}]),
        ("claimed", True),
    ],
    ids=str,
)
def test_whatever_was_decided_otherwise_changes_it(name: str, value: object) -> None:
    assert changed(**{name: value}).digest != decision().digest


def test_it_is_that_of_the_decision_as_it_was_recorded() -> None:
    made = decision()

    assert made.digest == digest_of({**made.context, "recorded": True})
    assert made.digest.startswith("sha256:")
