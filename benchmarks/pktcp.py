"""Key-encrypted TCP between two processes."""

from __future__ import annotations

import os
import time
from typing import Final

import anyio

import skywire
from benchmarks.floor import READ, WRITE
from benchmarks.reading import Parameters, answer
from benchmarks.timing import percentiles
from skywire import Address, Conn, HostPort, Owner, PkTcpNetwork, SingleHandler
from skywire.keys import derive_key_pair

SERVER: Final = derive_key_pair(b"benchmark server").secret_key
CLIENT: Final = derive_key_pair(b"benchmark client").secret_key
OWNER: Final = Owner("benchmark")


async def _sink(conn: Conn) -> None:
    wanted = int.from_bytes(await conn.receive(8), "big")
    while wanted > 0:
        wanted -= len(await conn.receive(READ))
    await conn.send(b"done")


async def _echo(conn: Conn) -> None:
    async for data in conn:
        await conn.send(data)


async def _serve(dispatcher: SingleHandler) -> None:
    network = PkTcpNetwork(SERVER, listen=[HostPort("127.0.0.1", 0)])
    async with anyio.create_task_group() as task_group:
        await task_group.start(network.serve, dispatcher)
        answer(port=network.addresses[0].port)


async def dial(parameters: Parameters) -> Conn:
    """A connection to the server."""
    address = Address("tcp", SERVER.public, parameters.number("port"), "127.0.0.1")
    return await PkTcpNetwork(CLIENT).dial(address, owner=OWNER)


def bulk_server(_: Parameters) -> None:
    """Receives 256 KiB at a time, and says when it has all."""
    skywire.run(_serve, SingleHandler(_sink, peers={CLIENT.public}))


def bulk_client(parameters: Parameters) -> None:
    """Sends 64 KiB at a time."""

    async def run() -> None:
        total = parameters.number("bytes")
        plaintext = os.urandom(WRITE)
        async with await dial(parameters) as conn:
            started = time.perf_counter()
            await conn.send(total.to_bytes(8, "big"))
            for _ in range(total // WRITE):
                await conn.send(plaintext)
            await conn.receive(4)
            answer(mib_s=total / (time.perf_counter() - started) / 2**20)

    skywire.run(run)


def echo_server(_: Parameters) -> None:
    """Sends back what it receives."""
    skywire.run(_serve, SingleHandler(_echo, peers={CLIENT.public}))


def echo_client(parameters: Parameters) -> None:
    """Times round trips of 64 bytes."""

    async def run() -> None:
        async with await dial(parameters) as conn:

            async def round_trip() -> None:
                await conn.send(bytes(64))
                await conn.receive(64)

            answer(**await percentiles(round_trip, parameters.number("count")))

    skywire.run(run)


def connect_client(parameters: Parameters) -> None:
    """Connections one after another; each proves that it was admitted by an echo of one byte."""

    async def run() -> None:
        count = parameters.number("count")
        started = time.perf_counter()
        for _ in range(count):
            async with await dial(parameters) as conn:
                await conn.send(b"x")
                await conn.receive(1)
        answer(per_s=count / (time.perf_counter() - started))

    skywire.run(run)
