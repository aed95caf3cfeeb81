"""An escalation is part of the policy: in the data and its digest, in a bundle, at a base commit, and its stages too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import place_in
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from escalation_text import DOCUMENT, FILES, PACK, PLAN, TEMPLATE, write

from orchestrator import clock, opa
from orchestrator.bundle import read
from orchestrator.bundlefile import build_file, sign_file
from orchestrator.compile import compile_packs
from orchestrator.decide import Policy
from orchestrator.draft import check
from orchestrator.errors import PackError
from orchestrator.escalations.model import Escalation
from orchestrator.link import empty, link
from orchestrator.load import Loaded, load
from orchestrator.model import Layer, PackSet
from orchestrator.pack import load_documents
from orchestrator.packfiles import module_names
from orchestrator.settings import Settings
from orchestrator.sources import gather

SMALL = "apiVersion: orch/v1\nkind: Escalation\nmetadata: {{name: {name}}}\nrenewal: {{extends: 9h}}\nstages:\n  - name: {first}\n"
RUN_PACK = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: mine}\ndefault: inherit\nrules:\n  - {id: r, effect: require, actions: '*', stage: full}\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ready(*packs: Path, **options: Any) -> Loaded:  # noqa: ANN401  # options of Settings
    return load(Settings(packs=tuple(map(str, packs)), **options), cwd=packs[0].parent, one_shot=True)


def small(name: str, *stages: str) -> str:
    """Return a document whose stages do nothing."""
    rest = "".join(f"  - {{name: {stage}, at: {number}m}}\n" for number, stage in enumerate(stages[1:]))
    return SMALL.format(name=name, first=stages[0]) + rest


def linked(*texts: str) -> PackSet:
    files = [(f"{number}.yaml", text.encode()) for number, text in enumerate(texts)]
    return link(load_documents(files, Layer.ORG), empty(Layer.REPO), [], repository=None, is_claimed=False)


def test_a_loaded_policy_has_its_escalations_by_name_the_second_time_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy")

    first, second = ready(folder), ready(folder)

    assert list(first.escalations) == ["continuity"]
    assert Escalation.of(first.escalations["continuity"]) == Escalation.of(second.escalations["continuity"])
    assert Policy.of(first).escalations == first.escalations


@pytest.mark.parametrize(
    ("name", "text"), [("texts/reminder.j2", TEMPLATE + "x"), ("plans/publish.yaml", PLAN + "# x\n")]
)
def test_a_changed_template_or_plan_is_another_policy(tmp_path: Path, name: str, text: str) -> None:
    folder = write(tmp_path / "policy")
    before = gather(Settings(packs=(str(folder),)), cwd=tmp_path).digest

    (folder / name).write_text(text.replace("\nx", "\n{# x #}"))

    assert gather(Settings(packs=(str(folder),)), cwd=tmp_path).digest != before


def test_templates_and_plans_are_gathered_where_an_escalation_may_name_them() -> None:
    text = b'kind: Escalation\na: {template: t/a.j2, b: "t/b c.j2"}\nplan: {file: plans/p.yaml}\nx: /etc/x.yaml, ../y.j2, z.j2x\n'

    assert module_names(text) == ["plans/p.yaml", "t/a.j2", "t/b c.j2"]
    assert module_names(text.replace(b"Escalation", b"PolicyPack")) == []


def test_the_data_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    files = [("p.yaml", PACK.encode()), ("e.yaml", DOCUMENT.encode())]

    def made(order: int) -> dict[str, Any]:
        org = load_documents(files[::order], Layer.ORG, read_module=lambda _, path: FILES[path].encode())
        return compile_packs(link(org, empty(Layer.REPO), [], repository=None, is_claimed=False)).data

    assert made(1) == made(-1)


def test_a_signed_bundle_has_the_same_escalation_as_its_folder(tmp_path: Path) -> None:
    folder, private, public = write(tmp_path / "policy"), tmp_path / "k.pem", tmp_path / "k.pub"
    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    bundle, run_pack = tmp_path / "policy.tar.gz", tmp_path / "run.yaml"
    run_pack.write_text(RUN_PACK)
    build_file([str(folder)], bundle, opa.find(), clock.now_ns())
    sign_file(bundle, private, None)

    alone = ready(bundle, verification_key=str(public))
    narrowed = ready(bundle, verification_key=str(public), run_packs=(str(run_pack),))

    own = ready(folder).escalations
    assert (alone.escalations, narrowed.escalations) == (own, own)
    assert read(bundle.read_bytes()).policy["stages"] == [stage["name"] for stage in own["continuity"]["stages"]]


def test_a_bundle_from_before_has_no_escalations(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy", pack=PACK.replace(", stages: [ok]", ""))
    (folder / "continuity.yaml").unlink()

    assert ready(folder).escalations == {}


def test_a_change_is_judged_by_the_escalation_of_its_base(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@acme.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, check=True)
        return done.stdout.decode().strip()

    folder = write(tmp_path / "policy")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    base = git("rev-parse", "HEAD")
    (folder / "texts" / "reminder.j2").write_text("changed")

    found = load(Settings(packs=("policy",)), cwd=tmp_path, base_commit=base, one_shot=True)

    texts = Escalation.of(found.escalations["continuity"]).stages[1].deeds[0].texts
    assert "changed" not in texts.values()


def test_rules_may_name_the_stages_of_an_escalation() -> None:
    assert linked(PACK, small("a", "ok", "late")).stages == ("ok", "late")
    with pytest.raises(PackError, match="the unknown stage `ok`"):
        linked(PACK, small("a", "fine", "late"))


def test_a_meter_that_nobody_declares_is_refused_where_it_is_estimated(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy", DOCUMENT.replace("{id: letter,", "{id: letter, estimates: {mails: 1},"))

    with pytest.raises(PackError, match=r":33:\d+: the unknown meter `mails`; expected one of"):
        load(Settings(packs=(str(folder),)), one_shot=True)


def test_the_stages_of_all_are_in_one_order() -> None:
    pack = PACK.replace("default: deny\n", "default: deny\ndeclares: {stages: [dev, production]}\n")

    found = linked(small("b", "ok", "warned", "full"), pack, small("a", "ok", "reminded", "full", "told"))

    assert found.stages == ("dev", "production", "ok", "reminded", "warned", "full", "told")


def test_each_list_of_stages_stays_an_order_of_its_own() -> None:
    pack = PACK.replace("default: deny\n", "default: deny\ndeclares: {stages: [dev, production]}\n")

    compiled = compile_packs(linked(pack, small("a", "ok", "full")))

    assert compiled.data["stage_orders"] == [["dev", "production"], ["ok", "full"]]


def test_stages_in_contradicting_orders_are_refused() -> None:
    with pytest.raises(PackError) as caught:
        linked(small("a", "ok", "warned", "full"), small("b", "ok", "full", "warned"))

    assert str(caught.value) == (
        "1.yaml:1:1: stages in another order than elsewhere: `full`, `warned`;"
        " expected the order that packs and other escalations give them"
    )


def test_what_no_pack_could_allow_is_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy", pack=PACK.replace("tick, enter_stage, send_message, ", ""))

    found = check([str(folder)], opa.find(), clock.now_ns()).problems

    assert [(one.line, one.seen.partition(" of the")[0]) for one in found] == [
        (1, "enter_stage"),
        (1, "tick"),
        (18, "send_message"),
    ]
    assert all(one.is_warning for one in found)
    assert found[0].advice == "{id: continuity-enter-stage, effect: allow, actions: enter_stage}"


def test_an_escalation_that_nobody_may_begin_is_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy", pack=PACK.replace(", control_escalation", ""))

    (found,) = check([str(folder)], opa.find(), clock.now_ns()).problems

    assert (found.line, found.seen.partition(" of the")[0], found.is_warning) == (1, "control_escalation", True)


def test_an_escalation_alone_can_be_looked_at(tmp_path: Path) -> None:
    found = check([str(write(tmp_path / "policy") / "continuity.yaml")], opa.find(), clock.now_ns())

    assert (found.problems, found.summary) == ((), "1 escalation with 6 stages")
    assert [name for _, name, _ in found.proofs] == [
        *("silence", "reachable", "forward", "notice", "windows", "lock", "renewed"),
    ]


def test_what_is_doubtful_in_a_plan_is_told_with_the_policy(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy", plans__publish_yaml=PLAN + "  - id: idle\n")

    found = check([str(folder)], opa.find(), clock.now_ns()).problems

    assert [(one.file, one.line, one.is_warning) for one in found] == [(f"{folder}/plans/publish.yaml", 9, True)]


def test_validate_shows_what_is_proven_and_fails_where_a_proof_does(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy")
    with place_in(tmp_path) as place:
        good = place.orch("policy", "validate", folder)
        as_json = json.loads(place.orch("policy", "validate", folder, "-o", "json").stdout)
        write(folder, DOCUMENT.replace("longest: 10m", "longest: 1h"))
        bad = place.orch("policy", "validate", folder)

    assert good.returncode == 0
    assert "continuity: lock: the longest lock, 10m, is shorter than the 15m" in good.stdout
    assert good.stdout.endswith("1 pack with 2 rules, 1 escalation with 6 stages: ok\n")
    assert as_json["proofs"][5]["said"].startswith("the longest lock, 10m, is shorter")
    assert bad.returncode == 7
    assert f"{folder}/continuity.yaml:6:44: error: a lock of 1h can last from a reminder" in bad.stdout


def test_a_warm_policy_with_an_escalation_is_loaded_without_reading_any(tmp_path: Path) -> None:
    folder = write(tmp_path / "policy")
    ready(folder)
    program = (
        "import sys; from orchestrator.load import load; from orchestrator.settings import Settings;"
        f"load(Settings(packs=({str(folder)!r},)), one_shot=True);"
        "print(*sorted(name for name in sys.modules if 'escalations' in name or 'jinja2' in name or name == 'yaml'))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
