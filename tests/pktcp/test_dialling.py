"""How a dial over key-encrypted TCP goes, and how it fails."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
from anyio import (
    create_task_group,
    fail_after,
    wait_readable,
)
from anyio.lowlevel import checkpoint

from skywire import (
    Address,
    DialOptions,
    DialTimeout,
    HostPort,
    ListenError,
    PeerRefused,
    PkTcpNetwork,
    SecKey,
    SingleHandler,
    StreamBroken,
    Unreachable,
)
from skywire.pktcp import Limits
from skywire.wire.noise import Handshake, Pattern, Role
from skywire.wire.records import frame
from tests.net.cancelling import at_each_await
from tests.pktcp.attacker import (
    HONEST,
    ME,
    PATIENCE,
    SERVER,
    STRANGER,
    Attack,
    reset_now,
    until,
)
from tests.pktcp.peers import LOOPBACK, answering, dial_and_ask, echo, serving, streams

pytestmark = pytest.mark.anyio


async def wait_for_the_end(attack: Attack) -> None:
    await attack.drain()


@pytest.mark.parametrize(
    ("limits", "options"),
    [(Limits(), DialOptions(timeout=0.1)), (Limits(handshake_seconds=0.1), DialOptions())],
    ids=["options", "limits"],
)
async def test_a_listener_that_stays_silent(limits: Limits, options: DialOptions) -> None:
    async with answering(wait_for_the_end) as address:
        with fail_after(PATIENCE), pytest.raises(DialTimeout, match="in time") as caught:
            await PkTcpNetwork(HONEST, limits=limits).dial(address, owner=ME, options=options)
        assert caught.value.address == address


async def test_a_closed_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Address("tcp", SERVER.public, unused.getsockname()[1], "127.0.0.1")
        with fail_after(PATIENCE), pytest.raises(Unreachable) as caught:
            await PkTcpNetwork(HONEST).dial(address, owner=ME)
        assert caught.value.address == address


async def test_another_key_than_the_peer_has() -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        address = Address("tcp", STRANGER.public, network.addresses[0].port, "127.0.0.1")
        with pytest.raises(PeerRefused, match="is its public key right"):
            await PkTcpNetwork(HONEST).dial(address, owner=ME)
        assert network.stats.refused == {"AuthenticationError": 1}


async def hang_up(attack: Attack) -> None:
    await attack.receive_frame()


async def hang_up_by_reset(attack: Attack) -> None:
    await attack.receive_frame()
    await attack.reset()


@pytest.mark.parametrize("serve", [hang_up, hang_up_by_reset])
async def test_a_peer_that_hangs_up(serve: Callable[[Attack], Awaitable[None]]) -> None:
    async with answering(serve) as address:
        with pytest.raises(PeerRefused):
            await PkTcpNetwork(HONEST).dial(address, owner=ME)


async def test_a_peer_that_resets_after_message_2() -> None:
    """The dial is over before it can be noticed, or says what happened."""

    async def serve(attack: Attack) -> None:
        handshake = Handshake(Pattern.XK, Role.RESPONDER, static=SERVER, ephemeral=SecKey.generate)
        handshake.read_message(await attack.receive_frame())
        await attack.send(frame(handshake.write_message()))
        await attack.reset()

    async with answering(serve) as address:
        for _ in range(10):
            try:
                conn = await PkTcpNetwork(HONEST).dial(address, owner=ME)
            except PeerRefused:
                continue
            async with conn:
                with pytest.raises(StreamBroken):
                    await conn.receive()


async def test_a_peer_that_resets_before_the_dial_has_begun_to_speak() -> None:
    """At each step of the event loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = Address("tcp", SERVER.public, listener.getsockname()[1], "127.0.0.1")
        for steps in range(20):
            async with create_task_group() as task_group:

                async def accept_and_reset(steps: int = steps) -> None:
                    await wait_readable(listener)
                    connection, _ = listener.accept()
                    for _ in range(steps):
                        await checkpoint()
                    reset_now(connection)

                task_group.start_soon(accept_and_reset)
                with pytest.raises((PeerRefused, Unreachable)) as caught:
                    await PkTcpNetwork(HONEST).dial(address, owner=ME)
                assert "descriptor" not in str(caught.value)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_host_is_dialled_by_name_or_address(name: str) -> None:
    async with serving(PkTcpNetwork(SERVER, listen=[HostPort("localhost", 0)])) as network:
        await dial_and_ask(Address("tcp", SERVER.public, network.addresses[-1].port, name))


async def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(Unreachable, match="no-such-host"):
        await PkTcpNetwork(HONEST).dial(Address("tcp", SERVER.public, 80, "no-such-host.invalid"), owner=ME)
    with pytest.raises(ListenError, match="no-such-host"):
        await PkTcpNetwork(SERVER, listen=[HostPort("no-such-host.invalid", 0)]).serve(SingleHandler(echo))


async def test_a_dial_by_name_that_is_cancelled_leaves_nothing_open() -> None:
    """At each of its awaits."""
    async with serving(PkTcpNetwork(SERVER, listen=[LOOPBACK])) as network:
        address = Address("tcp", SERVER.public, network.addresses[0].port, "localhost")

        async def dial() -> None:
            await dial_and_ask(address)

        async def nothing_is_left() -> None:
            await until(lambda: network.stats.live == network.stats.half_open == 0)
            for _ in range(5):
                await checkpoint()

        await dial()
        await nothing_is_left()
        before = streams()
        assert await at_each_await(dial, nothing_is_left) > 3
        assert streams() == before
