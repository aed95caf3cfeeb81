"""The engine that the properties share."""

from collections.abc import Iterator
from pathlib import Path

import engine as opa_engine
import pytest
from engine import Engine


@pytest.fixture(scope="session")
def engine(opa_binary: Path) -> Iterator[Engine]:
    """Return the real engine, one process for the whole session."""
    with opa_engine.running(opa_binary) as running:
        yield running
