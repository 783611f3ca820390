"""What the tests of programs have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.programs.deployment import serve_deployment
from tests.programs.running import Network

# Programs run as their users run them, and are not measured: that would double what each start costs.
for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """A dmsg network with two servers."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serve_deployment(relays=2)) as served,
    ):
        yield Network(served, portal)
