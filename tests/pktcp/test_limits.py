"""What peers may cost, and the counts of them."""

from __future__ import annotations

import os
import socket

import anyio
import pytest
from anyio import (
    EndOfStream,
    create_task_group,
)

from skywire import (
    EVERYONE,
    PkTcpNetwork,
    SingleHandler,
    StreamBroken,
)
from skywire.pktcp import Limits
from tests.pktcp.attacker import (
    HONEST,
    ME,
    ROGUE,
    SERVER,
    STRANGER,
    until,
)
from tests.pktcp.peers import LOOPBACK, PROCESS, ask, echo, serving

pytestmark = pytest.mark.anyio


async def test_connections_per_peer() -> None:
    limits = Limits(connections_per_peer=2)
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK], limits=limits)
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(echo, peers=EVERYONE))
        address = network.addresses[0]
        first = await PkTcpNetwork(HONEST).dial(address, owner=ME)
        second = await PkTcpNetwork(HONEST).dial(address, owner=ME)
        await ask(first)
        await ask(second)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as third:
            with pytest.raises((EndOfStream, StreamBroken)):
                await third.receive()
        assert network.stats.refused == {"TooManyConnections": 1}
        async with await PkTcpNetwork(ROGUE).dial(address, owner=ME) as other:
            await ask(other)
        await first.aclose()
        await until(lambda: network.stats.live == 1)
        async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as third:
            await ask(third)
        await ask(second)
        await second.aclose()
        task_group.cancel_scope.cancel()


async def test_connections_in_all() -> None:
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK], limits=Limits(connections=2))
    async with create_task_group() as task_group:
        await task_group.start(network.serve, SingleHandler(echo, peers=EVERYONE))
        address = network.addresses[0]
        async with (
            await PkTcpNetwork(HONEST).dial(address, owner=ME) as first,
            await PkTcpNetwork(ROGUE).dial(address, owner=ME) as second,
        ):
            await ask(first)
            await ask(second)
            async with await PkTcpNetwork(STRANGER).dial(address, owner=ME) as third:
                with pytest.raises((EndOfStream, StreamBroken)):
                    await third.receive()
        assert network.stats.refused == {"TooManyConnections": 1}
        task_group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_seconds": 0},
        {"handshake_seconds": 0},
        {"handshake_seconds": float("nan")},
        {"half_open": 0},
        {"connections": 0},
        {"connections_per_peer": 0},
    ],
    ids=str,
)
def test_limits_that_let_nobody_in_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


async def test_stats() -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        stats = network.stats
        assert (stats.half_open, stats.live, stats.admitted, stats.refused) == (0, 0, 0, {})
        address = network.addresses[0]
        async with await anyio.connect_tcp("127.0.0.1", address.port):
            await until(lambda: stats.half_open == 1)
            async with await PkTcpNetwork(HONEST).dial(address, owner=ME) as conn:
                await ask(conn)
                assert (stats.half_open, stats.live, stats.admitted) == (1, 1, 1)
            await until(lambda: stats.live == 0)
        await until(lambda: stats.half_open == 0)
        async with await PkTcpNetwork(STRANGER).dial(address, owner=ME) as conn:
            with pytest.raises((EndOfStream, StreamBroken)):
                await conn.receive()
        assert (stats.half_open, stats.live, stats.admitted) == (0, 0, 1)
        assert stats.refused == {"HandshakeAborted": 1, "NotAdmitted": 1}


async def test_a_peer_that_is_gone_without_a_word_is_noticed() -> None:
    """Or dead connections would fill the limit of their key, as nothing else ends them."""
    network = PkTcpNetwork(SERVER, listen=[LOOPBACK])
    async with serving(network), await PkTcpNetwork(HONEST).dial(network.addresses[0], owner=ME) as conn:
        await ask(conn)
        keeps_alive = []
        for found in PROCESS.net_connections("tcp4"):
            if len(found.raddr) and {found.laddr.port, found.raddr.port} == {conn.local.port, conn.remote.port}:
                with socket.socket(fileno=os.dup(found.fd)) as one:
                    keeps_alive.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        assert keeps_alive == [1, 1]
