"""What handlers and dispatchers do wrong stays with their connection, and one peer's streams leave room for others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from anyio import EndOfStream, wait_all_tasks_blocked

from skywire import EVERYONE, Address, Conn, Dispatcher, Owner, SingleHandler, StreamBroken
from skywire.dmsg import DmsgNetwork, DmsgRefused
from skywire.keys import PubKey
from skywire.net.serving import serving
from tests.dmsg.raw_client import ALICE, BOB, RELAY, TRUDY, dmsg
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, ask, echo, served, serving_relay
from tests.pktcp.attacker import until

pytestmark = pytest.mark.anyio

TO_BOB = dmsg(BOB)


class Failing(Dispatcher):
    """Knows one port, and fails for all others."""

    def admit(self, network: str, port: int, peer: PubKey) -> Owner | None:
        return {TO_BOB.port: ME}[port]

    async def handle(self, conn: Conn) -> None:
        await echo(conn)


async def test_a_dispatcher_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    async with (
        serving_relay(discovery=registry, limits=SWIFT),
        DmsgNetwork(BOB, registry, limits=SWIFT) as bob,
        serving(bob, Failing()),
        DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
    ):
        with pytest.raises(DmsgRefused):
            await alice.dial(Address("dmsg", BOB.public, 7), owner=ME)
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        f"a stream from server {RELAY.public} could not be taken"
    ]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_strays_out_of_a_handler(caplog: pytest.LogCaptureFixture) -> None:
    async def stray(conn: Conn) -> None:
        if await conn.receive() == b"stray":
            worker = asyncio.ensure_future(asyncio.Event().wait())
            worker.cancel()
            await worker
        await echo(conn)

    registry = Registry()
    async with (
        serving_relay(discovery=registry, limits=SWIFT),
        served(DmsgNetwork(BOB, registry, limits=SWIFT), stray),
        DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
        await alice.dial(TO_BOB, owner=ME) as witness,
        await alice.dial(TO_BOB, owner=ME) as conn,
    ):
        await witness.send(b"first")
        await conn.send(b"stray")
        with pytest.raises((EndOfStream, StreamBroken)):
            await conn.receive()
        await ask(witness)
    assert "was ended by a cancellation that was not for it" in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_by_asyncio_ends_serving() -> None:
    registry = Registry()
    held = asyncio.Event()

    async def hold(conn: Conn) -> None:
        held.set()
        await conn.receive()

    async with (
        serving_relay(discovery=registry, limits=SWIFT),
        DmsgNetwork(BOB, registry, limits=SWIFT) as bob,
        DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
    ):
        await bob.public_ip()  # so that there is a session, and only the entry is to be waited for
        serving_bob = asyncio.create_task(bob.serve(SingleHandler(hold, peers=EVERYONE)))
        while await registry.servers_of(BOB.public) != {RELAY.public}:
            await wait_all_tasks_blocked()
        async with await alice.dial(TO_BOB, owner=ME):
            await held.wait()
            serving_bob.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving_bob


async def test_one_peer_leaves_room_for_others() -> None:
    registry = Registry()
    limits = replace(SWIFT, streams_per_peer=2)
    async with (
        serving_relay(discovery=registry, limits=SWIFT),
        served(DmsgNetwork(BOB, registry, limits=limits)) as bob,
        DmsgNetwork(ALICE, registry, limits=SWIFT) as alice,
        DmsgNetwork(TRUDY, registry, limits=SWIFT) as trudy,
        await trudy.dial(TO_BOB, owner=ME) as first,
        await trudy.dial(TO_BOB, owner=ME) as second,
    ):
        await ask(first)
        await ask(second)
        with pytest.raises(DmsgRefused):
            await trudy.dial(TO_BOB, owner=ME)
        async with await alice.dial(TO_BOB, owner=ME) as conn:
            await ask(conn)
        await second.aclose()
        await until(lambda: bob._live_by_peer[TRUDY.public] == 1)
        async with await trudy.dial(TO_BOB, owner=ME) as again:
            await ask(again)


async def test_who_watches_the_servers_learns_that_the_network_was_left() -> None:
    registry = Registry()
    seen: list[tuple[PubKey, ...]] = []
    async with serving_relay(discovery=registry, limits=SWIFT) as relay:
        network = DmsgNetwork(ALICE, registry, limits=SWIFT)
        async with network:
            await network.public_ip()
            watching = network.servers()
            seen.append(await anext(watching))
        seen.extend([servers async for servers in watching])
        assert seen[0] == (relay.public,)
        assert seen[1:] in ([], [()])
