"""The pinned OPA: where it is found, what it checks, evaluates and tests, and how each failure reads."""

import json
import os
import time
from pathlib import Path

import pytest

from orchestrator import opa, place
from orchestrator.errors import DecisionError
from orchestrator.opa import Opa

ANSWER = "package orch\n\nanswer := [one | some one in input.batch]\n"


@pytest.fixture
def engine(opa_binary: Path) -> Opa:
    return Opa(opa_binary)


def module(folder: Path, text: str, name: str = "m.rego") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def script(folder: Path, text: str) -> Path:
    path = folder / "fake"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


# --- where it is found


def test_orch_opa_comes_first(tmp_path: Path) -> None:
    binary = script(tmp_path, "true")

    assert opa.find({"ORCH_OPA": str(binary)}).path == binary


@pytest.mark.parametrize("named", ["opa", "./opa/bin/opa", "/none/opa", "/etc/passwd", "/tmp", "/nul\0byte"])
def test_what_orch_opa_names_is_used_or_refused(named: str) -> None:
    with pytest.raises(DecisionError, match="ORCH_OPA, or `opa:` in the operator's file, is") as caught:
        opa.find({"ORCH_OPA": named})

    assert "ORCH_OPA" in caught.value.advice


def test_without_an_opa_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "opa_candidates", lambda: (tmp_path / "opa",))

    with pytest.raises(DecisionError, match="there is no OPA") as caught:
        opa.find({})

    assert "make opa" in caught.value.advice


def test_an_opa_is_a_path(engine: Opa, opa_binary: Path) -> None:
    assert os.fspath(engine) == str(opa_binary)


def test_the_version_is_the_pinned_one(engine: Opa) -> None:
    pinned = (place.resource("capabilities").parent / "go.mod").read_text(encoding="utf-8")

    assert f"github.com/open-policy-agent/opa v{engine.version()} " in pinned


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    binary = tmp_path / "opa"
    binary.write_bytes(b"abc")

    assert Opa(binary).digest() == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_program_that_is_no_opa_is_named(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match="is no OPA"):
        Opa(script(tmp_path, "echo hello")).version()


# --- check


def test_a_module_that_compiles_has_no_complaints(engine: Opa, tmp_path: Path) -> None:
    assert engine.check([module(tmp_path, ANSWER)]) == ()


@pytest.mark.parametrize(
    "call",
    [
        'http.send({"method": "get", "url": "http://localhost"})',
        'net.lookup_ip_addr("localhost")',
        "time.now_ns()",
        'rand.intn("x", 10)',
        'uuid.rfc4122("x")',
        "opa.runtime()",
        'io.jwt.decode_verify("x", {})',
        'crypto.x509.parse_and_verify_certificates("x")',
        'trace("x")',
    ],
)
def test_what_depends_on_more_than_the_input_does_not_compile(engine: Opa, tmp_path: Path, call: str) -> None:
    path = module(tmp_path, f"package packs.p\n\nx := {call}\n")

    found = engine.check([path])

    assert [(one.file, one.row, one.code) for one in found] == [(str(path), 3, "rego_type_error")]
    assert call.partition("(")[0] in found[0].message


@pytest.mark.parametrize(
    "call",
    [
        'io.jwt.verify_eddsa("x", "k")',
        'io.jwt.decode("x")',
        'time.parse_rfc3339_ns("2026-11-21T05:00:00Z")',
        'glob.match("*", ["/"], "x")',
        'regex.match("x", "x")',
        'regex.is_valid("x")',
        'startswith("x", "x")',
        'strings.any_prefix_match("x", ["x"])',
        'sprintf("%s", ["x"])',
        "rego.metadata.rule()",
        'crypto.sha256("x")',
        'net.cidr_contains("10.0.0.0/8", "10.0.0.1")',
        "walk(input)",
    ],
)
def test_what_depends_on_the_input_alone_compiles(engine: Opa, tmp_path: Path, call: str) -> None:
    assert engine.check([module(tmp_path, f"package packs.p\n\nx := {call}\n")]) == ()


def test_no_nondeterministic_builtin_of_this_opa_is_allowed(engine: Opa) -> None:
    allowed = json.loads(place.resource("capabilities").read_text(encoding="utf-8"))

    assert allowed["allow_net"] == []
    assert [one["name"] for one in allowed["builtins"] if one.get("nondeterministic")] == []


def test_a_syntax_error_has_its_position(engine: Opa, tmp_path: Path) -> None:
    path = module(tmp_path, "package packs.p\n\nx :=\n")

    found = engine.check([path])

    assert {(one.file, one.row, one.code) for one in found} == {(str(path), 4, "rego_parse_error")}


def test_a_missing_file_is_a_complaint_without_position(engine: Opa, tmp_path: Path) -> None:
    found = engine.check([tmp_path / "none.rego"])

    assert [(one.row, one.code) for one in found] == [(0, "")]
    assert "no such file" in found[0].message


@pytest.mark.parametrize("folder", ["p:q", "with space", "-x", "100%41", "ü"])
def test_odd_folder_names_are_read_as_they_are(engine: Opa, tmp_path: Path, folder: str) -> None:
    path = module(tmp_path / folder, "package p\n\nx := nothing\n")

    found = engine.check([path])

    assert [(one.file, one.row) for one in found] == [(str(path), 3)]


# --- evaluate


def test_a_bundle_answers(engine: Opa, tmp_path: Path) -> None:
    module(tmp_path, ANSWER)

    assert engine.evaluate(tmp_path, b'{"batch": [1, {"a": "\\u00e9"}]}') == [1, {"a": "\u00e9"}]


@pytest.mark.parametrize(
    ("text", "stdin", "message"),
    [
        pytest.param("package orch\n", b"{}", "undefined", id="no entrypoint"),
        pytest.param("package orch\n\nanswer := input.none\n", b"{}", "undefined", id="undefined"),
        pytest.param(ANSWER, b"{", "not JSON", id="input is no JSON"),
        pytest.param("package orch\n\nanswer := time.now_ns()\n", b"{}", "time.now_ns", id="outside the capabilities"),
        pytest.param("package orch\n\nanswer := 1\n\nanswer := 2\n", b"{}", "could not evaluate", id="conflict"),
        pytest.param("package orch\n\nanswer :=\n", b"{}", "could not evaluate", id="does not parse"),
    ],
)
def test_what_gives_no_answer_is_an_error(engine: Opa, tmp_path: Path, text: str, stdin: bytes, message: str) -> None:
    module(tmp_path, text)

    with pytest.raises(DecisionError, match=message):
        engine.evaluate(tmp_path, stdin)


def test_a_missing_bundle_is_an_error(engine: Opa, tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match="could not evaluate"):
        engine.evaluate(tmp_path / "none.tar.gz", b"{}")


# --- patterns


def test_malformed_patterns_are_found_in_one_question(engine: Opa) -> None:
    found = engine.check_patterns([r"^(?s:a/(?:.*/)?b)$", "(", "a{2000}", r"(?=x)", "\\p{Greek}", "é"])

    assert sorted(found) == ["(", "(?=x)", "a{2000}"]
    assert "missing closing )" in found["("]


def test_no_patterns_need_no_engine(tmp_path: Path) -> None:
    assert Opa(tmp_path / "none").check_patterns([]) == {}


def test_very_many_patterns_are_tried_at_once(engine: Opa) -> None:
    assert engine.check_patterns(f"^src/{number}/[^/]*$" for number in range(20_000)) == {}


# --- tests


def test_each_rego_test_has_its_outcome(engine: Opa, tmp_path: Path) -> None:
    text = (
        'package p_test\n\ntest_a if true\n\ntest_b if false\n\ntodo_test_c if true\n\ntest_d if 1 == to_number("x")\n'
    )
    path = module(tmp_path, text, "p_test.rego")

    found = engine.test([tmp_path])

    outcomes = {one.name: (one.outcome, one.package, one.file, one.row) for one in found}
    assert outcomes == {
        "test_a": ("pass", "p_test", str(path), 3),
        "test_b": ("fail", "p_test", str(path), 5),
        "todo_test_c": ("skip", "p_test", str(path), 7),
        "test_d": ("fail", "p_test", str(path), 9),
    }


def test_no_tests_are_reported_as_none(engine: Opa, tmp_path: Path) -> None:
    module(tmp_path, ANSWER)

    assert engine.test([tmp_path]) == ()


def test_tests_that_do_not_load_are_an_error(engine: Opa, tmp_path: Path) -> None:
    module(tmp_path, "package p_test\n\ntest_a if\n")

    with pytest.raises(DecisionError, match="could not run the tests"):
        engine.test([tmp_path])


# --- the process


def test_an_opa_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    child = tmp_path / "child"
    binary = script(tmp_path, f"sleep 60 & echo $! > {child}; wait")

    with pytest.raises(DecisionError, match=r"no answer to `eval` within 0.5 s"):
        Opa(binary, deadline_s=0.5).evaluate(tmp_path, b"{}")

    assert time.monotonic() - started < 10
    assert not is_alive(int(child.read_text(encoding="utf-8")))


def is_alive(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


def test_opa_sees_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("OPA_EVAL_BUNDLE", "/etc")
    binary = script(tmp_path, """printf '{"result":[{"expressions":[{"value":"%s"}]}]}' "$(env | tr '\\n' ' ')\"""")

    seen = Opa(binary).evaluate(tmp_path, b"{}")

    assert "s3cret" not in seen
    assert "OPA_" not in seen


@pytest.mark.parametrize("text", ["exit 1", "echo nonsense", "echo nonsense >&2; exit 2", "kill -9 $$"])
def test_an_opa_that_breaks_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DecisionError):
        Opa(script(tmp_path, text)).evaluate(tmp_path, b"{}")


def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    binary = tmp_path / "fake"
    binary.write_bytes(b"\x7fELFnot")
    binary.chmod(0o755)

    with pytest.raises(DecisionError, match="cannot start OPA"):
        Opa(binary).version()
