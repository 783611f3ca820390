"""What serves HTTP is for asyncio; how it stands on asyncio's loops is for the tests of :mod:`skywire.http` to show."""

from __future__ import annotations

from tests.loops import of_programs as anyio_backend  # noqa: F401 - a fixture
