"""The store in Redis: upstream's names, life times, several processes, and databases that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from skywire.dmsg.discovery import redis_store as module
from skywire.dmsg.discovery.redis_store import MAX_ATTEMPTS, PASSWORD_VARIABLE, RedisStore
from skywire.dmsg.discovery.store import StoreFailed, read_stored
from skywire.wire.discovery import DELETED, STORED_FIRST, Index, Tombstone, Verdict
from skywire.wire.entry import Entry
from tests.dmsg.discovery.loops import ON_ASYNCIO
from tests.dmsg.discovery.redis_server import RedisServer
from tests.dmsg.discovery.test_store import members, put, removing, secrets, seen, server_of, storing
from tests.wire.memory_discovery import ALICE, BOB, NOW, client_entry, server_entry

pytestmark = [pytest.mark.anyio, ON_ASYNCIO]

TOMBSTONE = f"skywire:tombstone:{ALICE.public}"


async def test_the_database_is_as_upstream_has_it(redis_store: RedisStore, redis_server: RedisServer) -> None:
    client, server = client_entry(client_type="visor"), server_entry()
    await put(redis_store, client)
    await put(redis_store, server, 120)
    with redis_server.database() as database:
        assert database.get(ALICE.public.hex()) == client.to_json()
        assert database.get(BOB.public.hex()) == server.to_json()
        assert database.smembers("clients") == database.smembers("visorClients") == {ALICE.public.hex().encode()}
        assert database.smembers("servers") == {BOB.public.hex().encode()}
        assert database.dbsize() == 5
    await redis_store.remove([ALICE.public, BOB.public])
    with redis_server.database() as database:
        assert set(database.keys()) == {TOMBSTONE.encode(), f"skywire:tombstone:{BOB.public}".encode()}


async def test_life_times(redis_store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.database() as database:
        await put(redis_store, client_entry())
        assert database.pttl(ALICE.public.hex()) == -1
        await put(redis_store, client_entry(1), 180)
        assert 170_000 < database.pttl(ALICE.public.hex()) <= 180_000
        await put(redis_store, client_entry(2), 120)
        assert 110_000 < database.pttl(ALICE.public.hex()) <= 120_000
        await put(redis_store, client_entry(3))
        assert database.pttl(ALICE.public.hex()) == -1
        await redis_store.remove([ALICE.public])
        assert 86_390_000 < database.pttl(TOMBSTONE) <= 86_400_000


async def test_entries_of_an_upstream_discovery(redis_store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.database() as database:
        database.set(BOB.public.hex(), server_entry().to_json(), ex=120)
        database.sadd("servers", BOB.public.hex())
    assert await redis_store.servers() == [server_entry()]
    assert await seen(redis_store, BOB.public) == (server_entry(), None)
    with redis_server.database() as database:
        database.delete(BOB.public.hex())
        database.srem("servers", BOB.public.hex())
    assert await redis_store.servers() == []
    assert await seen(redis_store, BOB.public) == (None, None)


async def test_servers_that_expired_leave_the_set(redis_store: RedisStore, redis_server: RedisServer) -> None:
    many = [secret.public for secret in secrets(1100)]
    for secret in secrets(3):
        await put(redis_store, server_of(secret), 120)
    await put(redis_store, client_entry(), 180)
    with redis_server.database() as database:
        database.sadd("servers", *(key.hex() for key in many), "no key")
        database.delete(many[2].hex(), ALICE.public.hex())
    assert len(await redis_store.servers()) == 2
    await redis_store.sweep()
    assert await members(redis_store) == {
        Index.SERVERS: set(many[:2]),
        Index.CLIENTS: {ALICE.public},  # as upstream has it
        Index.VISORS: set(),
    }


async def test_nonsense_in_the_database_harms_nobody_else(redis_store: RedisStore, redis_server: RedisServer) -> None:
    await put(redis_store, server_entry(), 120)
    with redis_server.database() as database:
        database.set(ALICE.public.hex(), "nonsense")
        database.set(TOMBSTONE, "nonsense")
        database.sadd("servers", ALICE.public.hex(), "nonsense")
        database.sadd("clients", ALICE.public.hex(), b"\xff", "0" * 66)
    assert await redis_store.servers() == [server_entry()]
    assert await redis_store.keys(Index.CLIENTS) == [ALICE.public]
    assert await seen(redis_store, ALICE.public) == (None, None)
    await redis_store.change(ALICE.public, removing(ALICE.public))
    assert await redis_store.entry(ALICE.public) is None
    with redis_server.database() as database:
        database.set(ALICE.public.hex(), "nonsense")
    await put(redis_store, client_entry())
    assert await seen(redis_store, ALICE.public) == (client_entry(), None)


async def test_something_else_in_the_database_is_a_failure(redis_store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.database() as database:
        database.sadd(ALICE.public.hex(), "a set")
        database.set("servers", "no set")
    with pytest.raises(StoreFailed):
        await redis_store.entry(ALICE.public)
    with pytest.raises(StoreFailed):
        await redis_store.servers()
    with pytest.raises(StoreFailed):
        await redis_store.count(Index.SERVERS)


async def test_who_is_slower_is_judged_anew(redis_store: RedisStore, redis_server: RedisServer) -> None:
    """Between reading and writing another process stores, updates, deletes."""
    shown: list[Entry | None] = []
    steps: list[bytes | None] = [client_entry(3).to_json(), client_entry(4).to_json(), None]

    with redis_server.database() as database:

        def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
            shown.append(stored)
            if steps:
                text = steps.pop(0)
                if text is None:
                    database.delete(ALICE.public.hex())
                else:
                    database.set(ALICE.public.hex(), text)
            return Verdict(STORED_FIRST, store=client_entry(9))

        assert await redis_store.change(ALICE.public, judge) == STORED_FIRST
    assert shown == [None, client_entry(3), client_entry(4), None]
    assert await redis_store.entry(ALICE.public) == client_entry(9).to_json()


async def test_a_tombstone_that_appears_meanwhile_is_seen(redis_store: RedisStore, redis_server: RedisServer) -> None:
    shown: list[Tombstone | None] = []

    with redis_server.database() as database:

        def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
            shown.append(tombstone)
            database.set(TOMBSTONE, f"5 {NOW}")
            return Verdict(STORED_FIRST, store=client_entry(9))

        await redis_store.change(ALICE.public, judge)
    assert shown == [None, Tombstone(5, NOW)]


async def test_a_deletion_is_judged_anew(redis_store: RedisStore, redis_server: RedisServer) -> None:
    await put(redis_store, client_entry())
    updates = [client_entry(1).to_json()]

    with redis_server.database() as database:

        def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
            if updates:
                database.set(ALICE.public.hex(), updates.pop())
            return Verdict(DELETED, remove=(ALICE.public,))

        await redis_store.change(ALICE.public, judge)
    assert await seen(redis_store, ALICE.public) == (None, Tombstone(1, NOW))


async def test_it_gives_up_when_others_are_always_faster(redis_store: RedisStore, redis_server: RedisServer) -> None:
    count = iter(range(MAX_ATTEMPTS + 1))

    with redis_server.database() as database:

        def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
            database.set(ALICE.public.hex(), client_entry(next(count)).to_json())
            return Verdict(STORED_FIRST, store=client_entry(99))

        with pytest.raises(StoreFailed, match="too many at once"):
            await redis_store.change(ALICE.public, judge)
    assert next(count) == MAX_ATTEMPTS


@pytest.mark.parametrize("interruptions", [1, MAX_ATTEMPTS])
async def test_removing_what_changes_meanwhile(
    redis_store: RedisStore, redis_server: RedisServer, interruptions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in (client_entry(), server_entry()):
        await put(redis_store, entry)
    updates = iter([client_entry(number).to_json() for number in range(1, interruptions + 1)])

    with redis_server.database() as database:

        def read_and_change(text: bytes | None) -> Entry | None:
            entry = read_stored(text)
            if entry is not None and entry.static == ALICE.public and (update := next(updates, None)):
                database.set(ALICE.public.hex(), update)
            return entry

        monkeypatch.setattr(module, "read_stored", read_and_change)
        if interruptions < MAX_ATTEMPTS:
            await redis_store.remove([ALICE.public, BOB.public])
        else:
            with pytest.raises(StoreFailed, match="too many at once"):
                await redis_store.remove([ALICE.public, BOB.public])
    assert await redis_store.entry(BOB.public) is None
    expected = None if interruptions < MAX_ATTEMPTS else client_entry(interruptions).to_json()
    assert await redis_store.entry(ALICE.public) == expected


async def test_many_at_once(redis_store: RedisStore) -> None:
    """More than there are connections."""
    keys = [secret.public for secret in secrets(100)]
    async with anyio.create_task_group() as task_group:
        for secret in secrets(100):
            task_group.start_soon(put, redis_store, server_of(secret), 120)
    assert set(await redis_store.keys(Index.SERVERS)) == set(keys)


async def test_a_cancelled_request_costs_no_connection(redis_store: RedisStore) -> None:
    for _ in range(50):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await redis_store.entry(ALICE.public)
    async with anyio.create_task_group() as task_group:
        for _ in range(50):
            task_group.start_soon(redis_store.entry, ALICE.public)
        await anyio.lowlevel.checkpoint()
        task_group.cancel_scope.cancel()
    await put(redis_store, client_entry())
    assert await redis_store.entry(ALICE.public) == client_entry().to_json()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.mark.usefixtures("anyio_backend")
async def test_a_database_that_comes_goes_and_comes_again(own_redis: RedisServer) -> None:
    async with RedisStore(own_redis.url) as store:
        with pytest.raises(StoreFailed, match=f"the Redis at 127.0.0.1:{own_redis.port} failed"):
            await store.entry(ALICE.public)
        for _ in range(2):
            own_redis.start()
            async with anyio.create_task_group() as task_group:
                for secret in secrets(30):
                    task_group.start_soon(put, store, server_of(secret))
            assert await store.count(Index.SERVERS) == 30
            own_redis.stop()
            with pytest.raises(StoreFailed):
                await put(store, client_entry())
        own_redis.start()
        await put(store, client_entry())
        assert await store.entry(ALICE.public) == client_entry().to_json()
        assert await store.servers() == []


async def test_a_database_that_hangs_is_not_waited_for(own_redis: RedisServer) -> None:
    own_redis.start()
    async with RedisStore(own_redis.url, wait_seconds=0.1) as store:
        await put(store, client_entry())
        own_redis.hold()
        failures = 0

        async def ask() -> None:
            nonlocal failures
            with pytest.raises(StoreFailed):
                await store.change(ALICE.public, storing(client_entry(1)))
            failures += 1

        with anyio.fail_after(10):
            async with anyio.create_task_group() as task_group:
                for _ in range(40):
                    task_group.start_soon(ask)
        assert failures == 40
        own_redis.release()
        assert await store.entry(ALICE.public) in (client_entry().to_json(), client_entry(1).to_json())
        await put(store, client_entry(2))
        assert await store.entry(ALICE.public) == client_entry(2).to_json()


async def test_something_that_is_no_redis() -> None:
    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as task_group,
    ):
        task_group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with RedisStore(f"redis://127.0.0.1:{port}", wait_seconds=1) as store:
            with pytest.raises(StoreFailed):
                await store.entry(ALICE.public)
        task_group.cancel_scope.cancel()


async def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RedisServer(tmp_path, "--requirepass", "secret")
    server.start()
    try:
        async with RedisStore(server.url, password="secret") as store:
            await put(store, client_entry())
        async with RedisStore(server.url) as store:
            with pytest.raises(StoreFailed):
                await store.entry(ALICE.public)
        monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
        async with RedisStore(server.url) as store:
            assert await store.entry(ALICE.public) == client_entry().to_json()
        async with RedisStore(f"redis://:hunter2@127.0.0.1:{server.port}") as store:
            with pytest.raises(StoreFailed, match=f"the Redis at 127.0.0.1:{server.port} failed") as caught:
                await store.entry(ALICE.public)
            assert "hunter2" not in str(caught.value)
    finally:
        server.stop()


async def test_what_is_no_address_of_a_redis() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisStore("http://localhost:6379")
    for option in ("unknown=1", "protocol=7"):
        with pytest.raises(ValueError, match="an option of the URL"):
            RedisStore(f"redis://localhost:6379?{option}")
