"""write_file among symlinks, pipes and others who write: nothing leaves the root, nothing unseen is written over."""

import ctypes
import itertools
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.adapter import Action, Delivery, ErrorClass, Place, Receipt, Wanted
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError
from orchestrator_adapters.files import Files

KEY = "cd" * 32
_HERE, _EXCHANGE = -100, 2
"""Of renameat2: the current folder, and that both names are kept."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


@pytest.fixture
def place(root: Path) -> Place:
    return Place(root, "acme/web", {}, {}, lambda text: text, lambda *_: "", {})


def decided(place: Place, **parameters: object) -> Action:
    prepared = Files().prepare(Wanted("write_file", parameters), place)
    return Action("write_file", prepared.resource, prepared.properties, "", prepared.fixed, place, 20)


def done(place: Place, **parameters: object) -> Receipt:
    return Files().perform(decided(place, **parameters), KEY)


def tree(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


@pytest.mark.parametrize("path", ["link", "folder/x", "pipe", "real", "file/x"])
def test_nothing_is_written_through_what_is_no_plain_file(place: Place, root: Path, outside: Path, path: str) -> None:
    (outside / "target").write_text("safe")
    (root / "link").symlink_to(outside / "target")
    (root / "folder").symlink_to(outside)
    (root / "real").mkdir()
    (root / "file").write_text("x")
    os.mkfifo(root / "pipe")

    with pytest.raises(AdapterError, match="no plain file") as raised:
        decided(place, path=path, content="evil")

    assert raised.value.delivery is Delivery.PERMANENT
    assert tree(outside) == ["target"]


def test_a_symlink_is_no_source(place: Place, root: Path, outside: Path) -> None:
    (outside / "secret").write_text("secret")
    (root / "link").symlink_to(outside / "secret")

    with pytest.raises(AdapterError, match="symlink"):
        decided(place, path="copy", source="link")


def test_a_source_that_is_missing_is_told(place: Place) -> None:
    with pytest.raises(AdapterError, match="'data': No such file"):
        decided(place, path="copy", source="data")


def test_a_source_that_changed_since_is_not_copied(place: Place, root: Path) -> None:
    (root / "data").write_text("good")
    action = decided(place, path="copy", source="data")
    (root / "data").write_text("evil")

    with pytest.raises(AdapterError, match="'data' was changed since"):
        Files().perform(action, KEY)
    assert tree(root) == ["data"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [("old", "theirs", "was changed"), ("old", None, "was removed"), (None, "theirs", "was made by others")],
)
def test_what_others_did_since_is_not_written_over(
    place: Place, root: Path, before: str | None, after: str | None, said: str
) -> None:
    file = root / "a"
    if before is not None:
        file.write_text(before)
    action = decided(place, path="a", content="ours")
    file.unlink(missing_ok=True)
    if after is not None:
        file.write_text(after)

    with pytest.raises(AdapterError, match=said) as raised:
        Files().perform(action, KEY)

    assert (raised.value.delivery, raised.value.error_class) == (Delivery.PERMANENT, ErrorClass.PERMANENT)
    assert (file.read_text() if file.exists() else None) == after
    assert tree(root) == (["a"] if after else [])


def test_what_others_did_in_the_last_moment_is_not_written_over(place: Place, root: Path) -> None:
    action = decided(place, path="sub/a", content="ours")._replace(
        recheck=lambda: void((root / "sub/a").write_text("x"))
    )

    with pytest.raises(AdapterError, match="made by others"):
        Files().perform(action, KEY)
    assert (root / "sub/a").read_text() == "x"
    assert tree(root) == ["sub", "sub/a"]


def void(_: object) -> None:
    """Be a function without an answer."""


def test_what_may_not_be_done_any_more_leaves_no_trace(place: Place, root: Path) -> None:
    def refuse() -> None:
        raise AdapterError("the approval was revoked")

    action = decided(place, path="new/deep/file", content="x")._replace(recheck=refuse)

    with pytest.raises(AdapterError, match="revoked"):
        Files().perform(action, KEY)
    assert tree(root) == []


def test_a_folder_moved_away_in_the_last_moment_is_not_written_to(place: Place, root: Path, outside: Path) -> None:
    (root / "sub").mkdir()

    def move() -> None:
        (root / "sub").rename(outside / "sub")
        (root / "sub").mkdir()

    action = decided(place, path="sub/a", content="x")._replace(recheck=move)

    with pytest.raises(AdapterError, match="was moved"):
        Files().perform(action, KEY)
    assert tree(outside) == ["sub"]


def test_where_only_some_files_came_into_their_places_it_is_unknown(place: Place, root: Path) -> None:
    action = decided(place, files=[{"path": "a", "content": "x"}, {"path": "b", "content": "y"}])
    action = action._replace(recheck=lambda: void((root / "b").write_text("theirs")))

    with pytest.raises(AdapterError, match="written before that: 'a'") as raised:
        Files().perform(action, KEY)

    assert raised.value.delivery is Delivery.UNKNOWN
    receipt = Files().reconcile(action, KEY)
    assert receipt is not None
    assert receipt.delivery is Delivery.RETRYABLE


def test_again_with_the_same_key_changes_nothing(place: Place, root: Path) -> None:
    action = decided(place, path="a", content="x")
    Files().perform(action, KEY)
    before = (root / "a").stat()

    receipt = Files().perform(action, KEY)

    assert receipt.delivery is Delivery.DELIVERED
    assert receipt.detail == "it was there already"
    assert (root / "a").stat().st_mtime_ns == before.st_mtime_ns


def test_what_an_attempt_left_that_was_killed_is_cleared(place: Place, root: Path) -> None:
    action = decided(place, path="a", content="x")
    (root / f".orch-{KEY[:16]}-0").write_text("half")

    Files().perform(action, KEY)

    assert tree(root) == ["a"]


def test_reconciling_looks_whether_the_content_is_there(place: Place, root: Path) -> None:
    action = decided(place, path="a", content="x")

    before = Files().reconcile(action, KEY)
    Files().perform(action, KEY)
    after = Files().reconcile(action, KEY)

    assert before is not None
    assert after is not None
    assert (before.delivery, after.delivery) == (Delivery.RETRYABLE, Delivery.DELIVERED)
    assert after.outputs["files"][0]["sha256"] == sha256(b"x")


def test_reconciling_does_not_follow_a_symlink_either(place: Place, root: Path, outside: Path) -> None:
    action = decided(place, path="a", content="x")
    (outside / "x").write_text("x")
    (root / "a").symlink_to(outside / "x")

    receipt = Files().reconcile(action, KEY)

    assert receipt is not None
    assert receipt.delivery is Delivery.RETRYABLE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_matter_of_configuration(place: Place, root: Path) -> None:
    action = decided(place, path="a", content="x")
    root.chmod(0o500)

    with pytest.raises(AdapterError) as raised:
        Files().perform(action, KEY)

    root.chmod(0o700)
    assert raised.value.error_class is ErrorClass.CONFIGURATION


def test_a_name_that_is_too_long_is_told(place: Place) -> None:
    with pytest.raises(AdapterError, match="File name too long"):
        decided(place, path="a" * 300, content="x")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two names in one step")
def test_a_folder_swapped_for_a_symlink_all_the_time_leads_nowhere_else(
    place: Place, root: Path, outside: Path
) -> None:
    """A thread swaps the folder and a symlink to another one; whatever is written is in the root."""
    (root / "real").mkdir()
    (root / "sub").symlink_to(outside)
    is_over = threading.Event()

    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    names = os.fsencode(root / "sub"), os.fsencode(root / "real")

    def swap() -> None:
        for pause in itertools.cycle(range(1, 60)):  # now and then long enough for a write, however busy the machine is
            assert exchange(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
            time.sleep(pause / 2_000)
            if is_over.is_set():
                return

    swapping = threading.Thread(target=swap)
    swapping.start()
    became: list[Delivery] = []
    try:
        while became.count(Delivery.DELIVERED) < 10 and len(became) < 2000:
            try:
                became.append(done(place, path=f"sub/{len(became)}", content="x").delivery)
            except AdapterError as error:
                became.append(Delivery(error.delivery))
    finally:
        is_over.set()
        swapping.join()

    assert tree(outside) == []
    assert Delivery.DELIVERED in became
    assert set(became) <= {Delivery.DELIVERED, Delivery.PERMANENT, Delivery.UNKNOWN}


def test_a_file_swapped_for_a_symlink_all_the_time_leads_nowhere_else(place: Place, root: Path, outside: Path) -> None:
    target = outside / "target"
    target.write_text("safe")
    (root / "a").write_text("0")
    is_over = threading.Event()

    def swap() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            new = root / f".swap{number}"
            new.symlink_to(target) if number % 2 else new.write_text("0")
            new.rename(root / "a")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(150):
            try:
                done(place, path="a", content=f"{number}")
            except AdapterError as error:
                assert error.delivery is Delivery.PERMANENT, error  # noqa: PT017  # others are let through
    finally:
        is_over.set()
        swapping.join()

    assert target.read_text() == "safe"
    assert tree(outside) == ["target"]
