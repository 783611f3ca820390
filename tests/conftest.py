"""What all asynchronous tests run on."""

from __future__ import annotations

from tests.loops import every_loop as anyio_backend  # noqa: F401 - a fixture
