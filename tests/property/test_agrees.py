"""The engine says what the independent model says, for generated packs and requests."""

import os

import model
import pytest
from comparing import differences, of_engine, of_model
from engine import Engine
from generate import SEEDS, Trial, trial_of
from hypothesis import Phase, given, settings
from reduction import readable, reduced

MORE = int(os.environ.get("ORCH_TESTS_MORE", "1"))
SHARDS, SETS, REQUESTS = 4, 100, 50
"""Four times a hundred sets of packs, each asked fifty requests; `--more N` tries N times as many sets."""


def _disagreements(engine: Engine, trial: Trial) -> list[str]:
    answers = engine.answers(trial.packs, trial.requests)
    if len(answers) != len(trial.requests):
        return [f"{len(trial.requests)} requests, {len(answers)} answers"]
    return [
        line
        for request, answer in zip(trial.requests, answers, strict=True)
        for line in differences(of_model(model.answer(trial.packs, request)), of_engine(answer))
    ]


@pytest.mark.timeout(300 * MORE)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_engine_and_model_agree(engine: Engine, shard: int) -> None:
    """Outcome, would, reason, every finding, every obligation and all advice are the same."""

    @settings(max_examples=SETS * MORE, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(SEEDS)
    def agree(seed: int) -> None:
        trial = trial_of(seed, REQUESTS)
        found = _disagreements(engine, trial)
        if not found:
            return
        small = reduced(trial, lambda each: bool(_disagreements(engine, each)))
        pytest.fail("\n".join([readable(small), *_disagreements(engine, small)]), pytrace=False)

    agree()
