"""How a client that serves keeps itself reachable while relays come and go."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from anyio import EndOfStream, create_task_group, fail_after
from anyio.abc import ByteStream, TaskGroup
from anyio.lowlevel import checkpoint

from skywire import EVERYONE, Conn, HostPort, PubKey, SecKey, SingleHandler, StreamBroken
from skywire.dmsg import DmsgNetwork
from skywire.dmsg.relay import Relay
from skywire.net.background import Background
from skywire.net.backoff import Backoff
from skywire.net.handshake import Secured
from skywire.wire.entry import ServerPart, server_update
from tests.dmsg.raw_client import ALICE, BOB, LOOPBACK, MALLORY, PATIENCE, RELAY, TRUDY, dmsg, raw_relay
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, Stop, ask, echo, served, serving_relay, start_relay
from tests.pktcp.attacker import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_fails")]

RELAYS = (RELAY, TRUDY, MALLORY)
DISPATCHER = SingleHandler(echo, peers=EVERYONE)


async def names(registry: Registry, count: int) -> set[SecKey]:
    """Wait until Bob's entry names so many servers, and give them."""
    with fail_after(PATIENCE):
        while len(found := await registry.servers_of(BOB.public) or set()) != count:
            await checkpoint()
    return {key for key in RELAYS if key.public in found}


class Relays:
    """Relays that are started and stopped, each by its key and always at the same address."""

    def __init__(self, registry: Registry, task_group: TaskGroup) -> None:
        self._registry = registry
        self._task_group = task_group
        self._places: dict[SecKey, HostPort] = {}
        self._stops: dict[SecKey, Stop] = {}
        self.by_key: dict[SecKey, Relay] = {}

    async def start(self, *keys: SecKey) -> None:
        for key in keys:
            relay = Relay(key, listen=[self._places.get(key, LOOPBACK)], discovery=self._registry, limits=SWIFT)
            self._stops[key] = await start_relay(self._task_group, relay)
            self._places[key] = relay.addresses[0]
            self.by_key[key] = relay

    async def stop(self, *keys: SecKey) -> None:
        for key in keys:
            await self._stops.pop(key)()


async def reached(registry: Registry, times: int = 1) -> None:
    async with DmsgNetwork(ALICE, registry, limits=SWIFT) as alice:
        for _ in range(times):
            async with await alice.dial(dmsg(BOB), owner=ME) as conn:
                await ask(conn)


async def test_a_server_that_is_gone_is_replaced_by_another() -> None:
    registry = Registry()
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await relays.start(*RELAYS)
        bob = await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=2, limits=SWIFT)))
        chosen = await names(registry, 2)
        (spare,) = set(RELAYS) - chosen
        gone = chosen.pop()
        await relays.stop(gone)
        await until(lambda: {session.server for session in bob.sessions} == {spare.public, *(k.public for k in chosen)})
        assert await names(registry, 2) == {spare, *chosen}
        await reached(registry)
        await relays.stop(spare)
        await names(registry, 1)
        await reached(registry)
        await relays.start(gone)
        assert await names(registry, 2) == {gone, *chosen}
        await reached(registry)


async def test_all_servers() -> None:
    """Those, too, that come later."""
    registry = Registry()
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await relays.start(RELAY, TRUDY)
        await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=0, limits=SWIFT)))
        await names(registry, 2)
        await relays.start(MALLORY)
        await names(registry, 3)
        await relays.stop(*RELAYS)
        await names(registry, 0)
        await relays.start(*RELAYS)
        await names(registry, 3)
        await reached(registry)


async def test_the_servers_are_told_whenever_they_change() -> None:
    registry = Registry()
    told: list[set[PubKey]] = []
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await relays.start(RELAY)
        bob = await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=0, limits=SWIFT)))

        async def watch() -> None:
            nonlocal told
            async for servers in bob.servers():
                told += [set(servers)]

        async with create_task_group() as task_group:
            task_group.start_soon(watch)
            await until(lambda: told == [{RELAY.public}])
            await relays.start(TRUDY)
            await until(lambda: told[-1] == {RELAY.public, TRUDY.public})
            await relays.stop(RELAY)
            await until(lambda: told[-1] == {TRUDY.public})
            task_group.cancel_scope.cancel()


async def test_no_more_servers_than_are_wanted() -> None:
    registry = Registry()
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await relays.start(*RELAYS)
        await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=1, limits=SWIFT)))
        calls = registry.calls["available_servers"]
        began = time.monotonic()
        await until(lambda: time.monotonic() > began + 5 * SWIFT.look_seconds)
        assert len(await names(registry, 1)) == 1
        assert sum(relay.stats.sessions for relay in relays.by_key.values()) == 1
        assert registry.calls["available_servers"] == calls


async def test_servers_of_one_type() -> None:
    registry = Registry(passphrase="open sesame")
    async with Background() as task_group:
        for key, passphrase in ((RELAY, "open sesame"), (TRUDY, ""), (MALLORY, "wrong")):
            relay = Relay(key, listen=[LOOPBACK], discovery=registry, passphrase=passphrase)
            await start_relay(task_group, relay)
        for server_type, keys in (("official", {RELAY}), ("community", {TRUDY, MALLORY}), ("", set(RELAYS))):
            bob = DmsgNetwork(BOB, registry, min_sessions=0, server_type=server_type, limits=SWIFT)
            async with served(bob):
                assert await names(registry, len(keys)) == keys


async def test_servers_that_cannot_be_used() -> None:
    """They are left alone for longer and longer, and do not keep others from being taken."""

    registry = Registry()
    limits = replace(SWIFT, retry_seconds=0.1)
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(raw_relay(identity=MALLORY, shake_hands=hang_up))
        await bad.announce(registry)
        part = ServerPart("no address", 1)
        entry = server_update(None, static=TRUDY.public, server=part, now_ns=time.time_ns())
        await registry.post(entry.sign(TRUDY))
        await stack.enter_async_context(serving_relay(discovery=registry))
        await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=0, limits=limits)))
        assert await names(registry, 1) == {RELAY}
        await until(lambda: bad.taken >= 3)
        began, taken = time.monotonic(), bad.taken
        await until(lambda: time.monotonic() > began + 0.5)
        assert bad.taken <= taken + 3


async def hang_up(stream: ByteStream, identity: SecKey) -> Secured:
    """Instead of a handshake."""
    raise EndOfStream


async def test_a_server_that_ends_each_session_is_not_flooded() -> None:
    async def hang_up_soon(peer: object) -> None:
        """Take a session, and end it."""

    registry = Registry()
    limits = replace(SWIFT, retry_seconds=0.1, settle_seconds=0.001)
    async with (
        raw_relay(hang_up_soon) as relay,
        create_task_group() as task_group,
        DmsgNetwork(BOB, registry, limits=limits) as bob,
    ):
        await relay.announce(registry)
        task_group.start_soon(bob.serve, DISPATCHER)
        await until(lambda: relay.taken >= 3)
        began, taken = time.monotonic(), relay.taken
        await until(lambda: time.monotonic() > began + 0.6)
        assert relay.taken <= taken + 4
        task_group.cancel_scope.cancel()


def test_waits_grow_to_a_limit_and_begin_again() -> None:
    backoff = Backoff(1.0, 2.0, 5.0)
    for longest in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert 0.75 * longest <= backoff.failed() <= longest
    backoff.succeeded()
    assert backoff.failed() <= 1.0


async def talk_for_ever(conn: Conn) -> None:
    while True:
        await conn.send(bytes(5000))
        await conn.receive()


@pytest.fixture
def count(anyio_backend_options: dict[str, bool]) -> int:
    """How many streams: the full number on the event loop of the programs."""
    return 2000 if anyio_backend_options.get("use_uvloop") else 200


async def test_the_relay_is_killed_in_the_middle_of_everything(count: int) -> None:
    """With so many streams on one session. The clients come back by themselves; another relay's streams go on."""
    registry = Registry()
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await relays.start(RELAY)
        limits = replace(SWIFT, streams_per_peer=count)
        bob = await stack.enter_async_context(served(DmsgNetwork(BOB, registry, min_sessions=0, limits=limits)))
        await names(registry, 1)
        alice = await stack.enter_async_context(DmsgNetwork(ALICE, registry, limits=SWIFT))
        conns = [await alice.dial(dmsg(BOB), owner=ME) for _ in range(count)]
        assert relays.by_key[RELAY].stats.streams == count
        await relays.start(TRUDY)
        await names(registry, 2)
        elsewhere = await stack.enter_async_context(DmsgNetwork(MALLORY, registry, limits=SWIFT))
        await elsewhere.public_ip([TRUDY.public])
        witness = await stack.enter_async_context(await elsewhere.dial(dmsg(BOB), owner=ME))
        assert relays.by_key[TRUDY].stats.streams == 1
        talking = 0
        broken = 0

        async def talk_on(conn: Conn) -> None:
            nonlocal talking, broken
            await ask(conn)
            talking += 1
            with pytest.raises(StreamBroken):
                await talk_for_ever(conn)
            broken += 1
            await conn.aclose()

        async with create_task_group() as task_group:
            for conn in conns:
                task_group.start_soon(talk_on, conn)
            await until(lambda: talking == count)
            await relays.stop(RELAY)
            await ask(witness)
        assert broken == count
        assert alice._require_running().dialler._ports._taken == set()
        await names(registry, 1)
        await reached(registry)
        await relays.start(RELAY)
        await names(registry, 2)
        await reached(registry)
        assert len(bob.sessions) == 2
        await ask(witness)


async def test_it_tells_why_it_cannot_be_reached_and_when_it_can() -> None:
    registry = Registry()
    network = DmsgNetwork(BOB, registry, limits=SWIFT)
    async with AsyncExitStack() as stack:
        relays = Relays(registry, await stack.enter_async_context(Background()))
        await stack.enter_async_context(network)
        assert network.trouble == "it is not served"
        (await stack.enter_async_context(Background())).start_soon(network.serve, DISPATCHER)
        await until(lambda: network.trouble == "the discovery has no server for us")
        await relays.start(RELAY)
        await until(lambda: network.trouble is None)
        await relays.stop(RELAY)
        await until(lambda: network.trouble is not None)
        await relays.start(RELAY)
        await until(lambda: network.trouble is None)
