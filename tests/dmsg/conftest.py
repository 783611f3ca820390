"""What tests of dmsg have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.loops import above_networks as anyio_backend  # noqa: F401 - a fixture; the contract's suite has all loops


@pytest.fixture
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No peer makes a relay or a network log an error: they do so for failures of their own, which they outlive."""
    yield
    failures = [
        record
        for record in caplog.get_records("call")
        if record.name.startswith("skywire") and record.levelno >= logging.ERROR
    ]
    assert not failures, failures[0].getMessage()
