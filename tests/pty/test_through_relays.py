"""A program on another node while relays between die: not a byte of it is lost or doubled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from anyio import create_task_group, fail_after
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from skywire import EVERYONE, Conn, HostPort, SingleHandler
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.relay import Relay
from skywire.net.background import Background
from skywire.net.serving import serving
from skywire.pty.far_program import far_program
from skywire.pty.host import PtyHost
from skywire.pty.opening import ask
from skywire.pty.sessions import hosting
from skywire.wire.pty.opening import PTY, Request
from skywire.wire.pty.session import Ended, NewSession
from skywire.wire.pty.shell import Command
from tests.dmsg.raw_client import ALICE, BOB, LOOPBACK, RELAY, dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, start_relay
from tests.pty.far_host import LIMITS, LOG

pytestmark = pytest.mark.anyio

KILLS = 4
SENT = bytes(range(256)) * 2048  # 512 KiB


async def test_relays_that_are_killed() -> None:
    registry = Registry()
    got = bytearray()
    with fail_after(60):
        async with AsyncExitStack() as stack:
            relays = await stack.enter_async_context(Background())
            relay = Relay(RELAY, listen=[LOOPBACK], discovery=registry, limits=SWIFT)
            stop = await start_relay(relays, relay)
            (where,) = relay.addresses
            sessions = await stack.enter_async_context(hosting(LIMITS, LOG))
            host = PtyHost(sessions, LOG)

            async def serve(conn: Conn) -> None:
                await host.serve(conn, conn.remote.pk, conn.network)

            bob = await stack.enter_async_context(DmsgNetwork(BOB, registry, limits=SWIFT))
            await stack.enter_async_context(serving(bob, SingleHandler(serve, peers=EVERYONE)))
            alice = await stack.enter_async_context(DmsgNetwork(ALICE, registry, limits=SWIFT))

            @asynccontextmanager
            async def connect() -> AsyncIterator[ByteStream]:
                async with await alice.dial(dmsg(BOB), owner=ME) as conn:
                    await ask(conn, Request(PTY))
                    yield conn

            program = await stack.enter_async_context(far_program(connect, NewSession(Command("cat"), terminal=False)))

            async def give() -> None:
                for start in range(0, len(SENT), 4096):
                    await program.send(SENT[start : start + 4096])
                await program.end_input()

            async def take() -> None:
                while data := await program.receive():
                    got.extend(data)

            async with create_task_group() as tasks:
                tasks.start_soon(give)
                tasks.start_soon(take)
                for kill in range(1, KILLS + 1):
                    while len(got) < kill * len(SENT) // (KILLS + 2):
                        await checkpoint()
                    await stop()
                    relay = Relay(RELAY, listen=[HostPort(where.host, where.port)], discovery=registry, limits=SWIFT)
                    stop = await start_relay(relays, relay)
            assert await program.wait() == Ended(0)
    assert bytes(got) == SENT
