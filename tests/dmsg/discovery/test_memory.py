"""The store in memory: life times by its clock, and its limits."""

from __future__ import annotations

import pytest

from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.store import Store, StoreFull, read_stored
from skywire.keys import PubKey
from skywire.wire.discovery import TOMBSTONE_TTL_S, Index, Tombstone
from skywire.wire.entry import ClientPart, Entry, ServerPart
from tests.dmsg.discovery.clock import Clock
from tests.dmsg.discovery.test_store import members, put, secrets, seen
from tests.wire.memory_discovery import ALICE, BOB, NOW, SECOND, client_entry, server_entry

pytestmark = pytest.mark.anyio

NOBODY: dict[Index, set[PubKey]] = {index: set() for index in Index}


async def counts(store: Store) -> tuple[int, int]:
    return await store.count(Index.CLIENTS), await store.count(Index.SERVERS)


async def test_an_entry_expires(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds)
    await put(store, server_entry(), 120)
    await put(store, client_entry())
    clock.ns += 120 * SECOND - SECOND // 100
    await store.sweep()
    assert await store.servers() == [server_entry()]
    clock.ns += SECOND // 100
    assert await store.entry(BOB.public) is None
    assert await seen(store, BOB.public) == (None, None)
    assert await store.servers() == []
    assert (await members(store))[Index.SERVERS] == {BOB.public}
    await store.sweep()
    assert await members(store) == NOBODY | {Index.CLIENTS: {ALICE.public}}


async def test_an_update_prolongs_an_entry(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds)
    await put(store, server_entry(), 120)
    clock.ns += 60 * SECOND
    await put(store, server_entry(1), 120)
    clock.ns += 119 * SECOND
    await store.sweep()
    assert await store.servers() == [server_entry(1)]


async def test_what_expired_leaves_no_tombstone(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds)
    await put(store, client_entry(), 180)
    clock.ns += 180 * SECOND
    await store.remove([ALICE.public])
    assert await seen(store, ALICE.public) == (None, None)
    assert await members(store) == NOBODY


async def test_a_tombstone_expires(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds)
    for entry in (client_entry(), server_entry()):
        await put(store, entry)
    await store.remove([ALICE.public])
    clock.ns += 10 * SECOND
    await store.remove([BOB.public])
    clock.ns += (TOMBSTONE_TTL_S - 10) * SECOND
    assert await seen(store, ALICE.public) == (None, None)
    await store.sweep()
    assert await seen(store, BOB.public) == (None, Tombstone(0, NOW))
    clock.ns += 10 * SECOND
    await store.sweep()
    assert await seen(store, BOB.public) == (None, None)


async def test_the_oldest_tombstone_is_forgotten_when_there_are_too_many() -> None:
    store = MemoryStore(max_tombstones=2)
    keys = [secret.public for secret in secrets(3)]
    for key in [keys[0], keys[1], keys[0], keys[2]]:
        await put(store, Entry(key, client=ClientPart()))
        await store.remove([key])
    assert [(await seen(store, key))[1] is not None for key in keys] == [True, False, True]


async def test_clients_are_limited_and_do_not_keep_servers_out() -> None:
    store = MemoryStore(max_clients=2, max_servers=1)
    clients = [Entry(secret.public, client=ClientPart()) for secret in secrets(3)]
    for entry in clients[:2]:
        await put(store, entry)
    with pytest.raises(StoreFull):
        await put(store, clients[2])
    await put(store, Entry(clients[0].static, 1, client=ClientPart()))
    await put(store, server_entry())
    with pytest.raises(StoreFull):
        await put(store, Entry(clients[2].static, server=ServerPart("192.0.2.1:1", 1)))
    with pytest.raises(StoreFull):
        await put(store, Entry(clients[0].static, 2, server=ServerPart("192.0.2.1:1", 1)))
    await put(store, server_entry(1))
    assert await counts(store) == (2, 1)
    assert clients[1].static
    await store.remove([clients[1].static])
    await put(store, clients[2])


async def test_the_size_of_all_is_limited(clock: Clock) -> None:
    small, large = client_entry(), server_entry()
    both = len(small.to_json()) + len(large.to_json())
    store = MemoryStore(clock=clock.read_seconds, max_size=both)
    await put(store, large, 120)
    await put(store, small)
    longer = client_entry(10)
    assert len(longer.to_json()) == len(small.to_json()) + 1
    with pytest.raises(StoreFull):
        await put(store, longer)
    assert read_stored(await store.entry(ALICE.public)) == small
    await put(store, client_entry(2))
    clock.ns += 120 * SECOND
    await store.sweep()
    await put(store, longer)


async def test_limits_are_met_by_refusing_not_by_forgetting(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds, max_clients=1)
    await put(store, client_entry())
    with pytest.raises(StoreFull, match="the discovery is full"):
        await put(store, Entry(BOB.public, client=ClientPart()))
    assert await store.entry(ALICE.public) == client_entry().to_json()
    assert await store.entry(BOB.public) is None


async def test_who_was_silent_for_the_longest_time_makes_room(clock: Clock) -> None:
    """Made-up clients keep nobody out for ever, and those that are there and say so stay."""
    store = MemoryStore(clock=clock.read_seconds, max_clients=3)
    silent, alive, silent_too, new, newer, newest = (secret.public for secret in secrets(6))
    for key in (silent, alive, silent_too):
        await put(store, Entry(key, client=ClientPart(), client_type="visor"))
    clock.ns += 600 * SECOND
    await put(store, Entry(alive, 1, client=ClientPart()))
    clock.ns += 299 * SECOND
    with pytest.raises(StoreFull):
        await put(store, Entry(new, client=ClientPart()))
    clock.ns += SECOND
    await put(store, Entry(new, client=ClientPart()))
    assert await seen(store, silent) == (None, None)
    assert await members(store) == NOBODY | {Index.CLIENTS: {alive, silent_too, new}, Index.VISORS: {alive, silent_too}}
    await put(store, Entry(newer, client=ClientPart()))
    with pytest.raises(StoreFull):
        await put(store, Entry(newest, client=ClientPart()))
    assert (await members(store))[Index.CLIENTS] == {alive, new, newer}


async def test_servers_that_became_clients_keep_no_server_out_for_ever(clock: Clock) -> None:
    store = MemoryStore(clock=clock.read_seconds, max_clients=1, max_servers=1)
    await put(store, client_entry())
    first, second = (secret.public for secret in secrets(2))
    await put(store, Entry(first, server=ServerPart("192.0.2.1:1", 1)), 120)
    await put(store, Entry(first, 1, client=ClientPart()))
    clock.ns += 899 * SECOND
    await store.sweep()
    with pytest.raises(StoreFull):
        await put(store, Entry(second, server=ServerPart("192.0.2.2:1", 1)), 120)
    clock.ns += SECOND
    await put(store, Entry(second, server=ServerPart("192.0.2.2:1", 1)), 120)
    assert await members(store) == NOBODY | {Index.SERVERS: {second}, Index.CLIENTS: {ALICE.public}}


async def test_as_many_make_room_as_a_large_entry_needs(clock: Clock) -> None:
    entries = [Entry(secret.public, client=ClientPart()) for secret in secrets(4)]
    size = len(entries[0].to_json())
    store = MemoryStore(clock=clock.read_seconds, max_size=4 * size)
    for entry in entries:
        await put(store, entry)
    clock.ns += 900 * SECOND
    larger = Entry(entries[0].static, 1, client=ClientPart(), client_type="x" * size)
    await put(store, larger)
    assert larger.static
    assert read_stored(await store.entry(larger.static)) == larger
    assert await counts(store) == (2, 0)
    too_large = Entry(entries[0].static, 2, client=ClientPart(), client_type="x" * 4 * size)
    with pytest.raises(StoreFull):
        await put(store, too_large)
    assert read_stored(await store.entry(larger.static)) == larger


async def test_it_ends() -> None:
    await MemoryStore().aclose()
