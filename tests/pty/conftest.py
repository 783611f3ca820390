"""What the tests of programs at far terminals run on."""

from __future__ import annotations

from tests.loops import above_networks as anyio_backend  # noqa: F401 - a fixture
