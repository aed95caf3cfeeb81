"""A bundle with run packs beside it answers exactly like the same packs from folders, for generated packs and requests."""

import os
from dataclasses import replace
from random import Random

from engine import Engine
from generate import SEEDS, run_pack, trial_of
from hypothesis import Phase, given, settings
from votes import POLICY_DIGEST

from orchestrator import bundle
from orchestrator.attach import attached
from orchestrator.compile import Compiled, compile_packs
from orchestrator.model import Layer, PackSet
from orchestrator.pack import Loaded

MORE = int(os.environ.get("ORCH_TESTS_MORE", "1"))
SETS, REQUESTS = 30, 20
DIGEST = "sha256:" + "1" * 64
"""Of a pack's document; that of the generated ones is what a bundle keeps for its own."""


def _built(compiled: Compiled) -> bytes:
    return bundle.build(compiled.data, compiled.modules).data


def _beside(packs: PackSet) -> bytes:
    """Return the bundle of the organisation's packs, its run packs attached."""
    org = replace(packs, packs=tuple(pack for pack in packs.packs if pack.layer is Layer.ORG))
    runs = [Loaded(Layer.RUN, (pack,)) for pack in packs.packs if pack.layer is Layer.RUN]
    return _built(attached(bundle.read(_built(compile_packs(org))), runs).compiled)


def test_run_packs_beside_a_bundle_answer_like_folders(engine: Engine) -> None:
    """Every finding, obligation and advice; and the very bytes, so that the policy digest is the same too."""

    @settings(max_examples=SETS * MORE, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(SEEDS)
    def agree(seed: int) -> None:
        trial = trial_of(seed, REQUESTS)
        kept = (pack for pack in trial.packs.packs if pack.layer is not Layer.REPO)
        more = run_pack(Random(seed))  # noqa: S311  # chance, not secrecy
        packs = replace(trial.packs, packs=tuple(replace(pack, digest=DIGEST) for pack in (*kept, more)))
        beside = _beside(packs)
        policy = {**bundle.read(beside).policy, "digest": POLICY_DIGEST}

        assert engine.answers(packs, trial.requests) == engine.answers_of(policy, trial.requests)
        assert _built(compile_packs(packs)) == beside

    agree()
