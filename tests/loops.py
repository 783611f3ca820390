"""The event loops that tests run on, as fixtures: ``from tests.loops import above_networks as anyio_backend``."""

from __future__ import annotations

import pytest

ASYNCIO = pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio")
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")
TRIO = pytest.param(("trio", {}), id="trio")


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO])
def every_loop(request: pytest.FixtureRequest) -> object:
    """Every event loop that the library supports."""
    backend: object = request.param
    return backend


@pytest.fixture(params=[UVLOOP, TRIO])
def above_networks(request: pytest.FixtureRequest) -> object:
    """For what stands on the networks and knows no loop itself: the one that programs run on, and the other kind."""
    backend: object = request.param
    return backend


@pytest.fixture(params=[UVLOOP])
def of_programs(request: pytest.FixtureRequest) -> object:
    """The one that programs run on: for what is slow, and is about something else."""
    backend: object = request.param
    return backend
