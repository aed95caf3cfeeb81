"""Run packs beside a compiled bundle: what comes out is what the same packs give from folders, to the byte."""

from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD

from orchestrator import attach, bundle
from orchestrator.bundle import BundleContents
from orchestrator.compile import Compiled, compile_packs
from orchestrator.errors import DecisionError, PackError
from orchestrator.link import empty, link
from orchestrator.model import Layer
from orchestrator.pack import Loaded, load_documents

ORG = (
    HEAD
    + """declares: {actions: [rotate_key], stages: [dev, production], meters: [coins]}
rules:
  - {id: open, effect: allow, actions: "*", budgets: [{meter: coins, per: run, limit: 5}]}
  - {id: sums, effect: deny, actions: call_tool, tools: ["bank:*"], when: {action.properties.amount: {above: 10.50}}}
"""
)
RUN = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: mine, version: 1.0.0}
default: inherit
rules:
  - {id: shut, effect: deny, actions: [rotate_key, comment], repositories: [acme/web]}
  - {id: late, effect: require, actions: "*", stage: production, budgets: [{meter: coins, per: run, limit: 2}]}
"""


def layer(kind: Layer, *texts: str, module: bytes = b"") -> Loaded:
    files = [(f"{kind}{number}.yaml", text.encode()) for number, text in enumerate(texts)]
    return load_documents(files, kind, read_module=(lambda _pack, _path: module) if module else None)


def runs(*texts: str) -> list[Loaded]:
    return [layer(Layer.RUN, text) for text in texts]


def compiled(org: Loaded, *beside: Loaded) -> Compiled:
    return compile_packs(link(org, empty(Layer.REPO), beside, repository=None, is_claimed=False))


def built(made: Compiled) -> bytes:
    return bundle.build(made.data, made.modules).data


def org_bundle(text: str = ORG, module: bytes = b"") -> BundleContents:
    return bundle.read(built(compiled(layer(Layer.ORG, text, module=module))))


def changed(contents: BundleContents, *, library: Path | None = None, **policy: Any) -> BundleContents:  # noqa: ANN401  # JSON
    made = bundle.build({**contents.policy, **policy}, contents.own_modules, library=library)
    return bundle.read(made.data)


def test_a_bundle_and_run_packs_give_the_bytes_of_the_same_packs_as_folders() -> None:
    beside = runs(RUN.replace("mine", "b"), RUN.replace("mine", "a"))

    found = attach.attached(org_bundle(), beside)

    assert built(compiled(layer(Layer.ORG, ORG), *beside)) == built(found.compiled)


def test_modules_of_the_bundle_stay() -> None:
    module = b"package packs.acme\n\nfindings contains one if {\n\tsome one in []\n}\n"
    text = ORG.replace("default: deny\n", "default: deny\nrego: [extra.rego]\n")

    found = attach.attached(org_bundle(text, module), runs(RUN))

    assert found.compiled.modules == {"packs/acme/extra.rego": module}


def test_a_run_pack_may_declare_actions_of_its_own() -> None:
    text = RUN.replace("default: inherit", "default: inherit\ndeclares: {actions: [post_note]}")

    found = attach.attached(org_bundle(), runs(text))

    assert found.compiled.data["declared"] == ["post_note", "rotate_key"]


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ("rotate_key", "rotate_keys", "the unknown action `rotate_keys`"),
        ("stage: production", "stage: producton", "the unknown stage `producton`"),
        ("meter: coins", "meter: coin", "the unknown meter `coin`"),
    ],
    ids=["action", "stage", "meter"],
)
def test_what_the_bundle_does_not_declare_is_an_error_with_its_place(before: str, after: str, seen: str) -> None:
    beside = runs(RUN.replace(before, after))

    with pytest.raises(PackError) as by_folder:
        compiled(layer(Layer.ORG, ORG), *beside)
    with pytest.raises(PackError) as by_bundle:
        attach.attached(org_bundle(), beside)

    assert by_folder.value.problems == by_bundle.value.problems
    assert by_bundle.value.problems[0].file == "run0.yaml"
    assert seen in by_bundle.value.problems[0].seen


def test_two_run_packs_of_one_name_are_an_error() -> None:
    with pytest.raises(PackError, match="a second run pack `mine`"):
        attach.attached(org_bundle(), runs(RUN, RUN))


def test_a_run_pack_of_the_bundle_keeps_its_name_to_itself() -> None:
    inside = bundle.read(built(compiled(layer(Layer.ORG, ORG), *runs(RUN))))

    with pytest.raises(PackError, match="a second run pack `mine`"):
        attach.attached(inside, runs(RUN))


def test_a_bundle_of_another_library_takes_no_run_packs(tmp_path: Path) -> None:
    """Its rules may read the data in another way than ours are compiled for."""
    (tmp_path / "orch").mkdir()
    (tmp_path / "orch" / "orch.rego").write_text("package orch\n\nanswer := []\n")

    with pytest.raises(DecisionError, match="another version of orch"):
        attach.attached(changed(org_bundle(), library=tmp_path), runs(RUN))


def test_a_bundle_that_knows_other_actions_takes_no_run_packs() -> None:
    with pytest.raises(DecisionError, match="another version of orch") as caught:
        attach.attached(changed(org_bundle(), actions={}), runs(RUN))

    assert "orch policy build" in caught.value.advice


def test_a_bundle_built_before_meters_were_told_still_knows_those_it_uses() -> None:
    contents = org_bundle()
    policy = {name: value for name, value in contents.policy.items() if name != "meters"}
    old = bundle.read(bundle.build(policy, {}).data)

    found = attach.attached(old, runs(RUN))

    assert found.compiled.data["meters"] == ["coins"]


def test_what_lint_says_to_a_run_pack_is_told() -> None:
    text = RUN.replace("effect: deny", "effect: allow").replace(
        "repositories: [acme/web]", "when: {context.sum: {max: 3}}"
    )

    found = attach.attached(org_bundle(), runs(text))

    assert len(found.warnings) == 1
    assert "min" in found.warnings[0]
