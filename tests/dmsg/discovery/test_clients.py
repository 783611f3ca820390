"""Clients of a discovery: what all of them promise, and those without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from skywire.dmsg.discovery.contract import Discovery, DiscoveryBroken
from skywire.dmsg.discovery.direct import DirectDiscovery
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.discovery.local import LocalDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.keys import derive_key_pair
from skywire.wire.discovery import DiscoveryRefused, Reason
from skywire.wire.entry import ClientPart, Entry, Extra, ServerPart
from tests.dmsg.discovery.test_store import put, storing
from tests.wire.memory_discovery import ALICE, BOB, NOW, client_entry, server_entry

pytestmark = pytest.mark.anyio

CAROL = derive_key_pair(b"carol").secret_key


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(max_clients=1)


@pytest.fixture(params=["http", "local"])
async def discovery(
    anyio_backend: object, request: pytest.FixtureRequest, store: MemoryStore
) -> AsyncIterator[Discovery]:
    """A client of a directory around ``store``."""
    directory = Directory(store, clock_ns=lambda: NOW)
    if request.param == "local":
        yield LocalDiscovery(directory)
    else:
        transport = httpx.ASGITransport(DiscoveryApp(directory))
        async with HttpDiscovery("http://discovery/", transport=transport) as client:
            yield client


async def test_a_life(discovery: Discovery) -> None:
    assert await discovery.entry(ALICE.public) is None
    await discovery.post(client_entry())
    assert await discovery.entry(ALICE.public) == client_entry()
    with pytest.raises(DiscoveryRefused) as caught:
        await discovery.post(client_entry())
    assert (caught.value.reason, caught.value.status) == (Reason.WRONG_SEQUENCE, 422)
    await discovery.post(client_entry(1))
    with pytest.raises(DiscoveryRefused):
        await discovery.delete(client_entry())
    await discovery.delete(client_entry(1))
    assert await discovery.entry(ALICE.public) is None
    await discovery.delete(client_entry(1))


async def test_servers(discovery: Discovery) -> None:
    assert await discovery.available_servers() == await discovery.all_servers() == []
    await discovery.post(server_entry(sessions=0))
    stored = server_entry(sessions=0)
    assert stored.server
    expected = replace(stored, server=replace(stored.server, server_type="community"))
    assert await discovery.available_servers() == []
    assert await discovery.all_servers() == [expected]
    assert not expected.verify_signature()
    assert await discovery.entry(BOB.public) == expected  # unverified, not wrong


async def test_a_full_discovery(discovery: Discovery) -> None:
    await discovery.post(client_entry())
    with pytest.raises(DiscoveryRefused) as caught:
        await discovery.post(Entry(CAROL.public, client=ClientPart()).sign(CAROL))
    assert (caught.value.reason, caught.value.status) == (Reason.UNEXPECTED, 503)


async def test_what_a_client_did_not_sign_is_not_there(discovery: Discovery, store: MemoryStore) -> None:
    await put(store, replace(client_entry(), client_type="visor"))
    assert await discovery.entry(ALICE.public) is None
    await put(store, replace(client_entry(), extras=(Extra("", "x", "1"),)))
    assert await discovery.entry(ALICE.public) == client_entry()


async def test_the_entry_of_another(discovery: Discovery, store: MemoryStore) -> None:
    await store.change(ALICE.public, storing(server_entry()))
    with pytest.raises(DiscoveryBroken, match="another key"):
        await discovery.entry(ALICE.public)


async def test_listed_servers_are_servers_with_a_key(discovery: Discovery, store: MemoryStore) -> None:
    nobody = Entry(None, server=ServerPart("192.0.2.1:1", 1))
    for secret, entry in ((ALICE, nobody), (BOB, server_entry()), (CAROL, server_entry())):
        await store.change(secret.public, storing(entry))
    await store.change(CAROL.public, storing(client_entry()))  # stays in the set of servers
    assert await discovery.all_servers() == [server_entry()]


async def test_a_direct_discovery() -> None:
    server, client = server_entry(sessions=0), client_entry()
    discovery: Discovery = DirectDiscovery([server], [client])
    assert await discovery.available_servers() == await discovery.all_servers() == [server]
    assert await discovery.entry(BOB.public) == server
    assert await discovery.entry(ALICE.public) == client
    assert await discovery.entry(CAROL.public) == Entry(CAROL.public, client=ClientPart((BOB.public,)))
    another = Entry(CAROL.public, server=ServerPart("192.0.2.2:1", 1)).sign(CAROL)
    await discovery.post(another)
    assert await discovery.all_servers() == [server, another]
    for entry in (client, another, Entry(None)):
        await discovery.delete(entry)
        await discovery.delete(entry)
    assert await discovery.all_servers() == [server]
    assert await discovery.entry(ALICE.public) == Entry(ALICE.public, client=ClientPart((BOB.public,)))
    assert await DirectDiscovery([]).entry(ALICE.public) == Entry(ALICE.public, client=ClientPart(()))


def test_a_direct_discovery_of_nobody() -> None:
    with pytest.raises(ValueError, match="has a key"):
        DirectDiscovery([Entry(None)])
