"""Each end of a transfer as a process of its own: ``python -m tests.transfer.ends ROLE FIRST SECOND``.

A role says what others need in one line of JSON; the one that fetches ends then.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import create_task_group, sleep_forever

import skywire
from skywire import Address, Conn, HostPort, Network, Owner, PkTcpNetwork, SingleHandler
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.dmsg.relay import Relay
from skywire.http.server import HttpServer
from skywire.transfer import Offer, OfferTable, Sender, TransferLimits, Wanted, receiving
from skywire.wire.discovery import Rules
from skywire.wire.transfer import FileHead, encode_message
from tests.net.meetings import CLIENT, SERVER, STRANGER
from tests.transfer.sides import checksum, pieces, request

LOOPBACK = HostPort("127.0.0.1", 0)
PORT = 64
LIMITS = TransferLimits(spare_bytes=0)


def tell(**facts: object) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def peak() -> int:
    """Bytes of memory that this process has had at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def relay() -> None:
    """A discovery and a relay; says where the discovery is."""
    service = HttpServer(DiscoveryApp(Directory(MemoryStore(), Rules(allow_loopback=True))), listen=[LOOPBACK])
    async with create_task_group() as tasks:
        await tasks.start(service.serve)
        url = f"http://{service.addresses[0]}"
        async with HttpDiscovery(url) as entries:
            server = Relay(STRANGER, listen=[LOOPBACK], discovery=entries)
            await tasks.start(server.serve)
            await server.announced()
            tell(url=url)
            await sleep_forever()


@asynccontextmanager
async def dmsg(url: str, identity: skywire.SecKey) -> AsyncIterator[Network]:
    async with HttpDiscovery(url) as entries, DmsgNetwork(identity, entries, min_sessions=1) as network:
        yield network


async def serve(url: str, path: str) -> None:
    """Offers a file, over dmsg if there is a URL; says where, then with each that has arrived the peak of memory."""
    table = OfferTable()
    offer = Offer(Path(path))
    await offer.prepare()
    table.add(CLIENT.public, "file", offer)
    sender = Sender(table.find, progress=lambda sending: tell(peak=peak()) if sending.received else None)
    handler = SingleHandler(sender.serve, peers={CLIENT.public}, port=PORT if url else None)
    async with create_task_group() as tasks:
        if url:
            async with dmsg(url, SERVER) as network:
                await tasks.start(network.serve, handler)
                tell(address=str(Address("dmsg", SERVER.public, PORT)), before=peak())
                await sleep_forever()
        tcp = PkTcpNetwork(SERVER, listen=[LOOPBACK])
        await tasks.start(tcp.serve, handler)
        tell(address=str(tcp.addresses[0]), before=peak())
        await sleep_forever()


async def stop(path: str, size: str) -> None:
    """Offers a file, and stops after so many bytes of it; says where."""
    content = Path(path).read_bytes()

    async def handle(conn: Conn) -> None:
        await request(conn)
        await conn.send(encode_message(FileHead(len(content), checksum(content))) + pieces(content[: int(size)]))
        await sleep_forever()

    async with create_task_group() as tasks:
        network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
        await tasks.start(network.serve, SingleHandler(handle, peers={CLIENT.public}))
        tell(address=str(network.addresses[0]))
        await sleep_forever()


async def fetch(url: str, address: str, folder: str) -> None:
    """Fetches it; says how long it took, and the peaks of memory before and at the end."""
    if url:
        async with dmsg(url, CLIENT) as network:
            await fetch_over(network, Address.parse(address), Path(folder))
    else:
        await fetch_over(PkTcpNetwork(CLIENT), Address.parse(address), Path(folder))


async def fetch_over(network: Network, address: Address, folder: Path) -> None:
    async with receiving(Wanted(SERVER.public, "file", "file.bin"), folder, limits=LIMITS) as reception:
        resumed = reception.done
        async with await network.dial(address, owner=Owner("test")) as conn:
            before, started = peak(), time.monotonic()
            fetched = await reception.fetch(conn)
            seconds = time.monotonic() - started
    tell(path=str(fetched.path), size=fetched.size, resumed=resumed, seconds=seconds, before=before, peak=peak())


ROLES: dict[str, Callable[..., Awaitable[None]]] = {"relay": relay, "serve": serve, "stop": stop, "fetch": fetch}

if __name__ == "__main__":
    skywire.run(ROLES[sys.argv[1]], *sys.argv[2:])
