"""What asynchronous tests run on here."""

from __future__ import annotations

from tests.loops import above_networks as anyio_backend  # noqa: F401 - a fixture
