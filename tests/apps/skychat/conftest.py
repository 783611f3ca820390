"""The chat itself, unlike its page, works on every event loop."""

from __future__ import annotations

from tests.conftest import anyio_backend as anyio_backend
