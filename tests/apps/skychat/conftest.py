"""The chat itself, unlike its page, works on every kind of event loop."""

from __future__ import annotations

from tests.loops import above_networks as anyio_backend  # noqa: F401 - a fixture
