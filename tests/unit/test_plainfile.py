"""What somebody named is read where it is a plain file, and never waited for."""

import os
from pathlib import Path

import pytest

from orchestrator.escalations.plainfile import read


def test_of_a_file_no_more_is_read_than_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")

    assert (read(tmp_path / "file", 4), read(str(tmp_path / "file"), 9)) == (b"abcd", b"abcdef")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="no plain file"):
        read(tmp_path / "pipe", 4)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev", "/dev/stdin/none"])
def test_what_is_no_plain_file_is_refused(name: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        read(name, 4)
