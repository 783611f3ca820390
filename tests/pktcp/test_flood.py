"""Very many connections at once."""

from __future__ import annotations

import gc
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import psutil
import pytest
from anyio import CancelScope, connect_tcp, create_task_group, fail_after
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from skywire import PkTcpNetwork
from skywire.net.half_open import HalfOpen
from skywire.pktcp import Limits
from skywire.wire.records import frame
from tests.pktcp.attacker import HONEST, ME, PATIENCE, ROGUE, Attack, flood, initiator, record, target, until

pytestmark = pytest.mark.anyio

SPARE = 500
"""Descriptors for all but the attacker's connections."""
PROCESS = psutil.Process()


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Allow this process so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count > hard:
        pytest.skip(f"needs {count} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def attackers(anyio_backend_options: dict[str, bool]) -> int:
    """How many: the full number on the event loop of the programs."""
    return 10_000 if anyio_backend_options.get("use_uvloop") else 1500


async def test_half_open_connections(attackers: int) -> None:
    """In rounds, each of which leaves everything as it was.

    The resident memory is taken while all are held, because what the allocator gives back afterwards is a matter of
    luck; the number of memory blocks is exact.
    """
    limits = Limits(handshake_seconds=60, half_open=attackers + 10)
    opening = frame(initiator(ROGUE).write_message())[:30]
    resident: list[int] = []
    blocks: list[int] = []
    open_files: list[int] = []
    with descriptors(attackers + SPARE):
        async with target(limits=limits) as attacked, flood(attacked.address.port, attackers) as attacker:
            attacked.count_tasks()
            for turn in range(1, 4):
                await attacker.order(f"open {opening.hex()}")
                await until(lambda: attacked.network.stats.half_open == attackers)
                resident.append(PROCESS.memory_info().rss)
                await attacked.echoes()
                async with await PkTcpNetwork(HONEST).dial(attacked.address, owner=ME) as conn:
                    await conn.send_record(b"one more")
                    assert await conn.receive_record() == b"one more"
                await attacker.order("reset")
                await attacked.is_unharmed()
                assert attacked.refused == {"HandshakeAborted": turn * attackers}
                for _ in range(10):  # what is done when a task is over and a socket is closed
                    await checkpoint()
                gc.collect()
                blocks.append(sys.getallocatedblocks())
                open_files.append(PROCESS.num_fds())
    assert resident[2] < resident[1] * 1.05
    assert blocks[2] < blocks[1] + attackers / 10
    assert open_files[2] == open_files[1] == open_files[0]


async def test_at_the_limit_the_oldest_makes_room() -> None:
    limits = Limits(handshake_seconds=60, half_open=50)
    async with target(limits=limits) as attacked, flood(attacked.address.port, 1000) as attacker:
        attacked.count_tasks()
        most = 0

        def all_but_the_youngest_are_gone() -> bool:
            nonlocal most
            most = max(most, attacked.network.stats.half_open)
            return sum(attacked.refused.values()) == 950

        async with create_task_group() as task_group:
            task_group.start_soon(attacker.order, "open 00")
            await until(all_but_the_youngest_are_gone)
        assert most < 100  # those that make room may still be on their way out
        assert attacked.refused == {"TooManyConnections": 950}
        with fail_after(PATIENCE):
            async with await PkTcpNetwork(HONEST).dial(attacked.address, owner=ME) as conn:
                await conn.send_record(b"let me in")
                assert await conn.receive_record() == b"let me in"
        await attacker.order("reset")
        await attacked.is_unharmed()
        assert attacked.refused == {"TooManyConnections": 951, "HandshakeAborted": 49}


async def test_a_flood_from_one_host_does_not_displace_another() -> None:
    """However slow the other is: the host that holds most handshakes makes room."""
    async with target(limits=Limits(handshake_seconds=60, half_open=8)) as attacked, AsyncExitStack() as crowd:
        slow = await attacked.connect()
        await crowd.enter_async_context(slow.stream)
        handshake = await slow.until_message_3(HONEST)
        for _ in range(30):
            stream = await connect_tcp("127.0.0.1", attacked.address.port, local_host="127.0.0.2")
            await crowd.enter_async_context(stream)
        await until(lambda: sum(attacked.refused.values()) == 23)
        await slow.send(frame(handshake.write_message()), record(handshake.transport_keys().send, 1, b"at last"))
        assert await slow.receive_frame()
        await crowd.aclose()
        await attacked.is_unharmed()


async def test_an_ipv6_network_counts_as_one_host() -> None:
    """Whoever has one address of 64 bits' worth of them has all."""
    half_open = HalfOpen(4)
    slow = CancelScope()
    half_open.add("2001:db8:0:1::1", slow)
    for number in range(1, 30):
        half_open.add(f"2001:db8:0:2::{number:x}", CancelScope())
    assert half_open.count == 4
    assert not slow.cancel_called


async def test_half_open_connections_beyond_the_descriptors() -> None:
    """They make room for others when the system has no more descriptors, however high the limit of their number is."""
    async with target(limits=Limits(handshake_seconds=60)) as attacked, flood(attacked.address.port, 300) as attacker:
        attacked.count_tasks()
        with socket.socket() as connection, descriptors(PROCESS.num_fds() + 100):
            await attacker.order("open 00")
            # Those that were taken but wait for their task use up descriptors, too: the first may make room before 90.
            stats = attacked.network.stats
            await until(lambda: stats.half_open > 90 or stats.refused["TooManyConnections"] > 0)
            connection.connect(("127.0.0.1", attacked.address.port))
            async with await SocketStream.from_socket(connection) as stream:
                late = Attack(stream)
                keys = await late.shake_hands(HONEST)
                await late.send(record(keys.send, 1, b"let me in"))
                assert await late.receive_frame()
        await attacker.order("reset")
        await attacked.is_unharmed()
