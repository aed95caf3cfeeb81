"""How far a run is: what passed, out of what it has to do."""

import pytest

from orchestrator.runs.state import is_unwanted, percent_of


@pytest.mark.parametrize(
    ("done", "total", "state", "percent"),
    [
        (0, 3, "running", 0),
        (2, 3, "waiting", 66),
        (3, 3, "succeeded", 100),
        (2, 3, "failed", 66),
        (0, 3, "cancelled", 0),
        (3, 3, "cancelled", 99),
        (3, 3, "denied", 99),
        (0, 0, "failed", 0),
        (0, 0, "running", 0),
        (0, 0, "succeeded", 100),
        (4, 3, "succeeded", 100),
    ],
)
def test_only_what_went_well_is_a_hundred_percent(done: int, total: int, state: str, percent: int) -> None:
    assert percent_of(done, total, state) == percent


def test_what_the_run_skipped_when_it_stopped_was_wanted() -> None:
    assert is_unwanted("skipped", "its `if` is false")
    assert not is_unwanted("skipped", "the run stopped: build: exit code 1")
    assert not is_unwanted("failed", "its `if` is false")
