"""Stores to test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.redis_store import RedisStore
from skywire.dmsg.discovery.store import Store
from tests.dmsg.discovery.clock import Clock
from tests.dmsg.discovery.redis_server import RedisServer


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    """A Redis with nothing in it."""
    with running_redis.database() as database:
        database.flushall()
        database.script_flush()
    return running_redis


@pytest.fixture
async def redis_store(anyio_backend: object, redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    async with RedisStore(redis_server.url) as store:
        yield store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(anyio_backend: object, kind: str, clock: Clock, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store of either kind."""
    store: Store
    if kind == "memory":
        store = MemoryStore(clock=clock.read_seconds)
    else:
        server = request.getfixturevalue("redis_server")
        assert isinstance(server, RedisServer)
        store = RedisStore(server.url)
    yield store
    await store.aclose()


@pytest.fixture
def directory(store: Store, clock: Clock) -> Directory:
    return Directory(store, clock_ns=clock.read_ns)
