"""dmsg between three processes: a relay and both ends."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

import anyio
import psutil
from anyio.abc import TaskGroup

import skywire
from benchmarks.floor import READ, WRITE
from benchmarks.reading import Parameters, answer
from benchmarks.timing import percentiles
from skywire import Address, Conn, HostPort, Owner, SecKey, SingleHandler
from skywire.dmsg import DmsgNetwork, Limits
from skywire.dmsg.discovery.directory import Directory
from skywire.dmsg.discovery.http_client import HttpDiscovery
from skywire.dmsg.discovery.memory import MemoryStore
from skywire.dmsg.discovery.service import DiscoveryApp
from skywire.dmsg.mux_stream import MuxStream
from skywire.dmsg.relay import Relay
from skywire.dmsg.session import ClientSession, open_session
from skywire.http.server import HttpServer
from skywire.keys import derive_key_pair
from skywire.wire.discovery import Rules

SERVER: Final = derive_key_pair(b"benchmark server").secret_key
CLIENT: Final = derive_key_pair(b"benchmark client").secret_key
RELAY: Final = derive_key_pair(b"benchmark relay").secret_key
OWNER: Final = Owner("benchmark")
LOOPBACK: Final = HostPort("127.0.0.1", 0)
PORT: Final = 80
DEFAULT: Final = Limits()
IDLE_SESSIONS: Final = 1000


def discovery(_: Parameters) -> None:
    """Keeps entries in memory, and answers over HTTP."""

    async def run() -> None:
        service = DiscoveryApp(Directory(MemoryStore(), Rules(allow_loopback=True)))
        server = HttpServer(service, listen=[LOOPBACK])
        async with anyio.create_task_group() as task_group:
            await task_group.start(server.serve)
            answer(url=f"http://{server.addresses[0]}")

    skywire.run(run)


def relay(parameters: Parameters) -> None:
    """Joins streams."""

    async def run() -> None:
        async with HttpDiscovery(parameters.text("url")) as entries:
            server = Relay(RELAY, listen=[LOOPBACK], discovery=entries, max_sessions=100_000)
            async with anyio.create_task_group() as task_group:
                await task_group.start(server.serve)
                await server.announced()
                answer(relay_port=server.addresses[0].port, relay_pid=os.getpid())

    skywire.run(run)


async def _sink(conn: Conn) -> None:
    wanted = int.from_bytes(await conn.receive(8), "big")
    while wanted > 0:
        wanted -= len(await conn.receive(READ))
    await conn.send(b"done")
    await conn.receive()


async def _echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def serve(parameters: Parameters, handler: Callable[[Conn], Awaitable[None]]) -> None:
    """Be the client that serves, until ended."""
    async with network_of(parameters, SERVER) as network, anyio.create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(handler, peers={CLIENT.public}))
        answer(ready=1)


@asynccontextmanager
async def network_of(parameters: Parameters, identity: SecKey, limits: Limits = DEFAULT) -> AsyncIterator[DmsgNetwork]:
    """The network as a client."""
    async with (
        HttpDiscovery(parameters.text("url")) as entries,
        DmsgNetwork(identity, entries, limits=limits) as network,
    ):
        yield network


def _client(parameters: Parameters, run: Callable[[DmsgNetwork], Awaitable[None]], limits: Limits = DEFAULT) -> None:
    async def main() -> None:
        async with network_of(parameters, CLIENT, limits) as network:
            await run(network)

    skywire.run(main)


async def dial(network: DmsgNetwork) -> Conn:
    """A stream to the client that serves."""
    return await network.dial(Address("dmsg", SERVER.public, PORT), owner=OWNER)


def bulk_server(parameters: Parameters) -> None:
    """Receives 256 KiB at a time, and says when it has all."""
    skywire.run(serve, parameters, _sink)


def echo_server(parameters: Parameters) -> None:
    """Sends back what it receives."""
    skywire.run(serve, parameters, _echo)


def bulk_client(parameters: Parameters) -> None:
    """Sends 64 KiB at a time on each of some streams."""
    streams = parameters.number("streams")
    total = parameters.number("bytes") // streams // WRITE * WRITE

    async def transfer(conn: Conn, plaintext: bytes) -> None:
        await conn.send(total.to_bytes(8, "big"))
        for _ in range(total // WRITE):
            await conn.send(plaintext)
        await conn.receive(4)

    async def run(network: DmsgNetwork) -> None:
        plaintext = os.urandom(WRITE)
        conns = [await dial(network) for _ in range(streams)]
        started = time.perf_counter()
        async with anyio.create_task_group() as task_group:
            for conn in conns:
                task_group.start_soon(transfer, conn, plaintext)
        answer(mib_s=total * streams / (time.perf_counter() - started) / 2**20)

    _client(parameters, run)


def echo_client(parameters: Parameters) -> None:
    """Times round trips of 64 bytes."""

    async def run(network: DmsgNetwork) -> None:
        async with await dial(network) as conn:

            async def round_trip() -> None:
                await conn.send(bytes(64))
                await conn.receive(64)

            answer(**await percentiles(round_trip, parameters.number("count")))

    _client(parameters, run)


def dial_client(parameters: Parameters) -> None:
    """Streams opened and closed, by some tasks at a time; each proves that it was admitted by an echo of one byte."""
    at_a_time = parameters.number("at_a_time")
    each = max(parameters.number("count") // at_a_time, 1)

    async def run(network: DmsgNetwork) -> None:
        async with await dial(network):
            pass

        async def dial_on() -> None:
            for _ in range(each):
                async with await dial(network) as conn:
                    await conn.send(b"x")
                    await conn.receive(1)

        answer(per_s=await _rate(dial_on, each, at_a_time))

    # A cold dial asks the discovery each time.
    _client(parameters, run, Limits(entry_seconds=1e-9) if parameters.number("cold") else DEFAULT)


async def _rate(step: Callable[[], Coroutine[object, object, None]], each: int, at_a_time: int) -> float:
    started = time.perf_counter()
    async with anyio.create_task_group() as task_group:
        for _ in range(at_a_time):
            task_group.start_soon(step)
    return each * at_a_time / (time.perf_counter() - started)


def _refuse(_: ClientSession, stream: MuxStream) -> None:
    stream.reset()


async def _session(parameters: Parameters, identity: SecKey, task_group: TaskGroup) -> None:
    """Hold a session; the answer to a ping proves that the relay has registered it."""
    where = HostPort("127.0.0.1", parameters.number("relay_port"))
    session = await open_session(RELAY.public, where, identity, take=_refuse, limits=DEFAULT)
    task_group.start_soon(session.run)
    await session.ping()


def session_client(parameters: Parameters) -> None:
    """Sessions of as many keys, made by some tasks at a time and held to the end."""
    at_a_time = parameters.number("at_a_time")
    each = max(parameters.number("count") // at_a_time, 1)

    async def run() -> None:
        identities = [SecKey.generate() for _ in range(each * at_a_time)]
        async with anyio.create_task_group() as task_group:

            async def connect_on() -> None:
                for _ in range(each):
                    await _session(parameters, identities.pop(), task_group)

            answer(per_s=await _rate(connect_on, each, at_a_time))
            task_group.cancel_scope.cancel()

    skywire.run(run)


def idle_client(parameters: Parameters) -> None:
    """What a thousand idle sessions add to the memory of the relay."""
    relay_process = psutil.Process(parameters.number("relay_pid"))

    async def run() -> None:
        async with anyio.create_task_group() as task_group:

            async def hold(count: int) -> None:
                for _ in range(count):
                    await _session(parameters, SecKey.generate(), task_group)

            await hold(10)  # what the first ones load is not theirs
            before = relay_process.memory_info().rss
            await hold(IDLE_SESSIONS)
            answer(kib=(relay_process.memory_info().rss - before) / 1024 / IDLE_SESSIONS)
            task_group.cancel_scope.cancel()

    skywire.run(run)
