"""Programs that start their event loop without us or anyio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from skywire import Address, Conn, HostPort, Owner, PkTcpNetwork, SecKey, SingleHandler, embedded, serving

ME = Owner("tester")


async def greet(conn: Conn) -> None:
    await conn.send(b"hello")


async def by_tcp() -> bytes:
    client = PkTcpNetwork(SecKey.generate())
    server = PkTcpNetwork(SecKey.generate(), listen=[HostPort("127.0.0.1", 0)])
    async with (
        serving(server, SingleHandler(greet, peers={client.public})),
        await client.dial(server.addresses[0], owner=ME) as conn,
    ):
        return await conn.receive()


async def by_dmsg() -> bytes:
    async with (
        embedded.start() as network,
        network.client() as alice,
        network.client() as bob,
        serving(alice, SingleHandler(greet, peers={bob.public})),
        await bob.dial(Address("dmsg", alice.public, 80), owner=ME) as conn,
    ):
        return await conn.receive()


@pytest.mark.parametrize("way", [by_tcp, by_dmsg])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_networks_run_there(
    run: Callable[[Coroutine[object, object, bytes]], bytes], way: Callable[[], Coroutine[object, object, bytes]]
) -> None:
    assert run(way()) == b"hello"
