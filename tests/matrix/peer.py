"""A peer in a process of its own: ``python -m tests.matrix.peer read|get ADDRESS``, on whatever network that names."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from skywire import Address, DialError, Network, Owner, PkTcpNetwork, SecKey, run
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.network import DMSG, DmsgNetwork
from skywire.http.client import http_client

ME = Owner("peer")
SECONDS = 30.0


@asynccontextmanager
async def network_of(address: Address) -> AsyncIterator[Network]:
    """A client on the network of an address, under a new key."""
    if address.network == DMSG:
        async with (
            HttpDiscovery(os.environ["SKYWIRE_DMSG_DISC"]) as discovery,
            DmsgNetwork(SecKey.generate(), discovery) as network,
        ):
            yield network
    else:
        yield PkTcpNetwork(SecKey.generate())


async def read(network: Network, address: Address) -> bytes:
    """What the other side says first."""
    async with await network.dial(address, owner=ME) as conn:
        return await conn.receive()


async def get(network: Network, address: Address) -> bytes:
    """What it answers to a GET of /health."""
    async with http_client(network, ME) as client:
        return (await client.get(f"{address}/health")).raise_for_status().content


async def main(arguments: list[str]) -> None:
    what, where = arguments
    address = Address.parse(where)
    with anyio.fail_after(SECONDS):
        async with network_of(address) as network:
            sys.stdout.buffer.write(await patiently({"read": read, "get": get}[what], network, address))


async def patiently(ask: Callable[[Network, Address], Awaitable[bytes]], network: Network, address: Address) -> bytes:
    """Ask again as long as the other side is not found: it may take a moment until it is."""
    while True:
        try:
            return await ask(network, address)
        except DialError:
            await anyio.sleep(0.05)


if __name__ == "__main__":
    run(main, sys.argv[1:])
