"""Discoveries that share a Redis, and one whose Redis is restarted under load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import httpx
import pytest

from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.redis_store import RedisStore
from skywire.wire.discovery import DELETED, STORED_FIRST, STORED_NEXT, Answer, Reason, answer_entry, refusal
from skywire.wire.entry import Entry
from tests.dmsg.discovery.exchanges import delete, exchange, http_to, post
from tests.dmsg.discovery.loops import ON_ASYNCIO
from tests.dmsg.discovery.redis_server import RedisServer
from tests.wire.memory_discovery import ALICE, NOW, client_entry

pytestmark = [pytest.mark.anyio, ON_ASYNCIO]

ALICE_PATH = f"/dmsg-discovery/entry/{ALICE.public}"


async def open_discovery(stack: AsyncExitStack, server: RedisServer) -> httpx.AsyncClient:
    store = await stack.enter_async_context(RedisStore(server.url, wait_seconds=1))
    return await stack.enter_async_context(http_to(Directory(store, clock_ns=lambda: NOW)))


async def test_posts_and_deletions_race(redis_server: RedisServer) -> None:
    """Whatever happens first: nothing is stored over a later entry, and nothing old survives its deletion."""
    answers: list[tuple[str, int, Answer]] = []
    old = NOW - 10**15

    async def do(client: httpx.AsyncClient, kind: str, number: int) -> None:
        entry = client_entry(number, old + number, client_type=f"{id(client)}")
        answers.append((kind, number, await (post if kind == "post" else delete)(client, entry)))

    async with AsyncExitStack() as stack:
        clients = [await open_discovery(stack, redis_server) for _ in range(2)]
        for number in range(8):
            answers.clear()
            async with anyio.create_task_group() as task_group:
                for client in clients:
                    for _ in range(4):
                        task_group.start_soon(do, client, "post", number)
                        task_group.start_soon(do, client, "delete", number)
            results = Counter((kind, answer) for kind, _, answer in answers)
            assert set(results) <= {
                ("post", STORED_FIRST),
                ("post", refusal(Reason.WRONG_SEQUENCE)),
                ("post", refusal(Reason.OUTDATED)),
                ("delete", DELETED),
            }
            assert results["post", STORED_FIRST] == 1
            await delete(clients[0], client_entry(number, old + number))
            assert await post(clients[1], client_entry(number, old + number)) == refusal(Reason.OUTDATED)
            assert await exchange(clients[1], "GET", ALICE_PATH) == refusal(Reason.KEY_NOT_FOUND)


async def test_updates_race(redis_server: RedisServer) -> None:
    stored: list[int] = []

    async def update(client: httpx.AsyncClient, number: int) -> None:
        answer = await post(client, client_entry(number, client_type=f"{id(client)}"))
        if answer.status == 200:
            stored.append(number)
        else:
            assert answer == refusal(Reason.WRONG_SEQUENCE)

    async with AsyncExitStack() as stack:
        clients = [await open_discovery(stack, redis_server) for _ in range(2)]
        assert await post(clients[0], client_entry()) == STORED_FIRST
        async with anyio.create_task_group() as task_group:
            for client in clients:
                for number in (5, 1, 4, 2, 3):
                    task_group.start_soon(update, client, number)
        assert len(set(stored)) == len(stored)
        assert max(stored) == 5
        found = await exchange(clients[1], "GET", ALICE_PATH)
        assert Entry.from_json(found.body).sequence == 5
        assert await post(clients[1], client_entry(6)) == STORED_NEXT
        assert await exchange(clients[0], "GET", ALICE_PATH) == answer_entry(client_entry(6))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_a_restart_under_load(own_redis: RedisServer) -> None:
    """Requests during it are refused, those after it are not, and nothing has to be restarted for that."""
    statuses: Counter[int] = Counter()
    awaited: dict[int, anyio.Event] = {}
    ends = False

    async def load(client: httpx.AsyncClient) -> None:
        while not ends:
            answers = (await exchange(client, "GET", ALICE_PATH), await post(client, client_entry()))
            for answer in answers:
                statuses[answer.status] += 1
                if statuses[answer.status] >= 50 and answer.status in awaited:
                    awaited[answer.status].set()
                if answer.status == 500:
                    assert answer == refusal(Reason.UNEXPECTED)

    async def until(status: int) -> None:
        statuses.clear()
        awaited[status] = anyio.Event()
        await awaited[status].wait()

    async with AsyncExitStack() as stack:
        client = await open_discovery(stack, own_redis)
        async with anyio.create_task_group() as task_group:
            for _ in range(20):
                task_group.start_soon(load, client)
            for _ in range(2):
                await until(200)
                await anyio.to_thread.run_sync(own_redis.stop)
                await until(500)
                await anyio.to_thread.run_sync(own_redis.start)
            await until(200)
            ends = True
        assert set(statuses) <= {200, 404, 422, 500}
        for _ in range(20):
            assert await exchange(client, "GET", ALICE_PATH) == answer_entry(client_entry())
        assert await post(client, client_entry(1)) == STORED_NEXT
