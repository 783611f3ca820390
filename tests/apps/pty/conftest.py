"""What the tests of the pty have in common."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from skywire.control.local import RUNTIME_VARIABLE
from tests.loops import above_networks as anyio_backend  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets, whose name is short."""
    folder = Path(tempfile.mkdtemp(prefix="sky-"))
    monkeypatch.setenv(RUNTIME_VARIABLE, str(folder))
    yield folder
    shutil.rmtree(folder)
