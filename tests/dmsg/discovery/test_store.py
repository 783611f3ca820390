"""What both stores have to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skywire.dmsg.discovery.store import (
    MAX_LISTED_SERVERS,
    MAX_LISTED_SIZE,
    MAX_LISTING,
    Judge,
    Store,
    StoreFailed,
)
from skywire.keys import PubKey, SecKey, derive_key_pair
from skywire.wire.discovery import DELETED, MAX_LIST_SIZE, STORED_FIRST, Index, Tombstone, Verdict, answer_all_servers
from skywire.wire.entry import ClientPart, Entry, Extra, ServerPart
from tests.dmsg.discovery.loops import BOTH_STORES
from tests.wire.memory_discovery import ALICE, BOB, NOW, client_entry, server_entry

pytestmark = [pytest.mark.anyio, BOTH_STORES]


def storing(entry: Entry, ttl_s: int | None = None) -> Judge:
    return lambda _stored, _tombstone: Verdict(STORED_FIRST, store=entry, ttl_s=ttl_s)


def removing(key: PubKey) -> Judge:
    return lambda _stored, _tombstone: Verdict(DELETED, remove=(key,))


async def put(store: Store, entry: Entry, ttl_s: int | None = None) -> None:
    assert entry.static
    assert await store.change(entry.static, storing(entry, ttl_s)) == STORED_FIRST


async def seen(store: Store, key: PubKey) -> tuple[Entry | None, Tombstone | None]:
    """What a judge is shown of a key."""
    shown: list[tuple[Entry | None, Tombstone | None]] = []

    def judge(stored: Entry | None, tombstone: Tombstone | None) -> Verdict:
        shown.append((stored, tombstone))
        return Verdict(DELETED)

    assert await store.change(key, judge) == DELETED
    assert len(shown) == 1
    return shown[0]


async def members(store: Store) -> dict[Index, set[PubKey]]:
    listed = {index: await store.keys(index) for index in Index}
    for index, keys in listed.items():
        assert await store.count(index) == len(keys) == len(set(keys))
    return {index: set(keys) for index, keys in listed.items()}


def server_of(secret: SecKey, *, size: int = 0) -> Entry:
    """A server's entry, of ``size`` bytes where that is more than it needs."""
    entry = Entry(secret.public, 0, NOW, server=ServerPart("192.0.2.1:1", 5), signature="none")
    if not size:
        return entry
    padded = replace(entry, extras=(Extra("", "x", '""'),))
    return replace(entry, extras=(Extra("", "x", f'"{"x" * (size - len(padded.to_json()))}"'),))


def secrets(count: int) -> list[SecKey]:
    return [derive_key_pair(b"%d" % number).secret_key for number in range(count)]


async def test_an_empty_store(store: Store) -> None:
    assert await store.entry(ALICE.public) is None
    assert await store.servers() == []
    assert await seen(store, ALICE.public) == (None, None)
    assert await members(store) == {index: set() for index in Index}
    await store.remove([ALICE.public])
    await store.remove([])
    await store.sweep()
    assert await seen(store, ALICE.public) == (None, None)


async def test_what_is_stored_is_there(store: Store) -> None:
    client, server = client_entry(client_type="visor"), server_entry()
    await put(store, client)
    await put(store, server, 120)
    assert await store.entry(ALICE.public) == client.to_json()
    assert await store.entry(BOB.public) == server.to_json()
    assert await seen(store, ALICE.public) == (client, None)
    assert await store.servers() == [server]
    assert await store.servers() == [server]
    assert await members(store) == {
        Index.CLIENTS: {ALICE.public},
        Index.VISORS: {ALICE.public},
        Index.SERVERS: {BOB.public},
    }


async def test_an_update_replaces_the_entry_and_leaves_the_sets(store: Store) -> None:
    await put(store, client_entry(client_type="visor"))
    update = client_entry(1)
    await put(store, update)
    assert await seen(store, ALICE.public) == (update, None)
    assert (await members(store))[Index.VISORS] == {ALICE.public}


async def test_a_refusal_changes_nothing(store: Store) -> None:
    await put(store, client_entry())
    assert await store.change(ALICE.public, lambda _stored, _tombstone: Verdict(STORED_FIRST)) == STORED_FIRST
    assert await seen(store, ALICE.public) == (client_entry(), None)


async def test_a_removed_entry_leaves_all_sets_and_a_tombstone(store: Store) -> None:
    await put(store, client_entry(7, client_type="visor"))
    await put(store, server_entry())
    assert await store.change(ALICE.public, removing(ALICE.public)) == DELETED
    assert await store.entry(ALICE.public) is None
    assert await seen(store, ALICE.public) == (None, Tombstone(7, NOW))
    assert await members(store) == {Index.CLIENTS: set(), Index.VISORS: set(), Index.SERVERS: {BOB.public}}


async def test_the_latest_tombstone_counts_and_outlives_an_entry(store: Store) -> None:
    latest = client_entry(2, -5)
    for entry in (client_entry(7), latest):
        await put(store, entry)
        await store.remove([ALICE.public])
    assert await seen(store, ALICE.public) == (None, Tombstone(2, -5))
    await store.remove([ALICE.public])  # there is nothing any more
    await put(store, client_entry(8))
    assert await seen(store, ALICE.public) == (client_entry(8), Tombstone(2, -5))


async def test_many_are_removed_at_once(store: Store) -> None:
    many = secrets(150)
    for secret in many:
        await put(store, server_of(secret), 120)
    await put(store, client_entry())
    keys = [secret.public for secret in many]
    await store.remove([*keys, *keys, BOB.public])
    assert await members(store) == {Index.CLIENTS: {ALICE.public}, Index.VISORS: set(), Index.SERVERS: set()}
    assert await seen(store, keys[-1]) == (None, Tombstone(0, NOW))
    assert await seen(store, BOB.public) == (None, None)


async def test_large_numbers(store: Store) -> None:
    entry = client_entry(2**64 - 1, -(2**63))
    await put(store, entry)
    await store.change(ALICE.public, removing(ALICE.public))
    assert await seen(store, ALICE.public) == (None, Tombstone(2**64 - 1, -(2**63)))


async def test_the_list_of_servers_leaves_out_what_no_client_could_read(store: Store) -> None:
    secret, other, third, *_ = secrets(3)
    fits, too_long = server_of(secret, size=MAX_LISTED_SIZE), server_of(other, size=MAX_LISTED_SIZE + 1)
    assert (len(fits.to_json()), len(too_long.to_json())) == (MAX_LISTED_SIZE, MAX_LISTED_SIZE + 1)
    for entry in (fits, too_long, server_of(third)):
        await put(store, entry)
    await put(store, client_entry())
    listed = await store.servers()
    assert {entry.static for entry in listed} == {secret.public, third.public}
    assert len(await store.keys(Index.SERVERS)) == 3


async def test_the_list_of_servers_fits_an_answer(store: Store) -> None:
    many = secrets(MAX_LISTING // MAX_LISTED_SIZE + 20)
    for secret in many:
        await put(store, server_of(secret, size=MAX_LISTED_SIZE))
    listed = await store.servers()
    assert len(listed) == MAX_LISTING // (MAX_LISTED_SIZE + 1)
    assert len(answer_all_servers(listed).body) <= MAX_LIST_SIZE


async def test_the_list_of_servers_is_a_random_choice_in_random_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "redis_store"):
        monkeypatch.setattr(f"skywire.dmsg.discovery.{module}.MAX_LISTED_SERVERS", 20)
    assert MAX_LISTED_SERVERS > 20
    entries = [server_of(secret) for secret in secrets(40)]
    for entry in entries[:20]:
        await put(store, entry)
    first = await store.servers()
    assert len(first) == 20
    orders = {tuple(entry.to_json() for entry in await store.servers()) for _ in range(4)}
    assert len(orders) > 1
    for entry in entries[20:]:
        await put(store, entry)
    choices = [await store.servers() for _ in range(4)]
    assert {len(choice) for choice in choices} == {20}
    assert len({frozenset(entry.to_json() for entry in choice) for choice in choices}) > 1


async def test_a_server_that_became_a_client_stays_listed_as_upstream_has_it(store: Store) -> None:
    await put(store, server_entry(), 120)
    update = Entry(BOB.public, 1, NOW, ClientPart(())).sign(BOB)
    await put(store, update)
    assert (await members(store))[Index.SERVERS] == {BOB.public}
    assert await store.servers() == [update]


async def test_an_error_of_a_judge_is_its_callers(store: Store) -> None:
    def judge(_stored: Entry | None, _tombstone: Tombstone | None) -> Verdict:
        raise StoreFailed("not this one")

    with pytest.raises(StoreFailed, match="not this one"):
        await store.change(ALICE.public, judge)
    assert await store.entry(ALICE.public) is None
