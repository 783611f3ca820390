"""Ends of key-encrypted TCP for tests: services, and peers made by hand."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
from anyio import (
    create_task_group,
    create_tcp_listener,
    fail_after,
    sleep_forever,
)
from anyio.abc import SocketAttribute, SocketStream

from skywire import (
    Address,
    Conn,
    HostPort,
    PkTcpNetwork,
    SecKey,
    SingleHandler,
)
from skywire.keys import PubKey
from skywire.net.tcp import TcpStream
from skywire.wire.noise import Handshake, Pattern, Role, TransportKeys
from skywire.wire.records import frame
from tests.pktcp.attacker import (
    HONEST,
    ME,
    PATIENCE,
    SERVER,
    Attack,
)

LOOPBACK = HostPort("127.0.0.1", 0)
PROCESS = psutil.Process()


async def echo(conn: Conn) -> None:
    while True:
        await conn.send_record(await conn.receive_record())


async def ask(conn: Conn, question: bytes = b"question") -> None:
    with fail_after(PATIENCE):
        await conn.send_record(question)
        assert await conn.receive_record() == question


async def dial_and_ask(address: Address) -> None:
    async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
        await ask(conn)


@asynccontextmanager
async def serving(
    network: PkTcpNetwork, handler: Callable[[Conn], Awaitable[None]] = echo, peer: PubKey = HONEST.public
) -> AsyncIterator[PkTcpNetwork]:
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(handler, peers={peer}))
        yield network
        task_group.cancel_scope.cancel()


@asynccontextmanager
async def answering(serve: Callable[[Attack], Awaitable[None]]) -> AsyncIterator[Address]:
    """A raw listener in place of a peer."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await serve(Attack(stream))

    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as task_group:
        task_group.start_soon(listener.serve, handle)
        yield Address("tcp", SERVER.public, listener.extra(SocketAttribute.local_port), "127.0.0.1")
        task_group.cancel_scope.cancel()


@dataclass
class Responder:
    """A peer made by hand from the pure handshake; without the post-quantum extension unless it is given an answer."""

    answer: Callable[[bytes], bytes] = lambda offer: b""
    offers: list[bytes] = field(default_factory=list)

    async def shake_hands(self, attack: Attack) -> TransportKeys:
        handshake = Handshake(Pattern.XK, Role.RESPONDER, static=SERVER, ephemeral=SecKey.generate)
        self.offers.append(handshake.read_message(await attack.receive_frame()))
        await attack.send(frame(handshake.write_message(self.answer(self.offers[-1]))))
        handshake.read_message(await attack.receive_frame())
        return handshake.transport_keys()


async def hold(conn: Conn) -> None:
    await sleep_forever()


def streams() -> int:
    """How many TCP streams there are in memory."""
    gc.collect()
    return sum(issubclass(type(each), TcpStream) for each in gc.get_objects())
