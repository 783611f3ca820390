"""How a client and a relay are kept in the discovery, whatever the discovery does."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest
from anyio import Event, create_task_group, fail_after, wait_all_tasks_blocked

from skywire import EVERYONE, SecKey, SingleHandler
from skywire.dmsg import DmsgNetwork, DmsgUnreachable
from skywire.dmsg.discovery.contract import DiscoveryBroken, DiscoveryUnreachable
from skywire.dmsg.relay import Relay
from skywire.wire.discovery import DiscoveryRefused, Reason
from skywire.wire.entry import client_update
from tests.dmsg.raw_client import ALICE, BOB, LOOPBACK, PATIENCE, RELAY, TRUDY, RawPeer, dmsg, raw_relay
from tests.dmsg.registry import Registry
from tests.dmsg.relaying import ME, SWIFT, ask, echo, served, serving_relay, start, start_relay
from tests.pktcp.attacker import until

pytestmark = pytest.mark.anyio
nothing_fails = pytest.mark.usefixtures("nothing_fails")

DISPATCHER = SingleHandler(echo, peers=EVERYONE)
FAILURES = [
    DiscoveryUnreachable("as planned"),
    DiscoveryBroken("as planned"),
    DiscoveryRefused(Reason.UNEXPECTED, 500),
    DiscoveryRefused(Reason.WRONG_SEQUENCE, 422),
]


async def is_reached(registry: Registry) -> None:
    """Somebody can talk with Bob."""
    async with DmsgNetwork(ALICE, registry, limits=SWIFT) as alice, await alice.dial(dmsg(BOB), owner=ME) as conn:
        await ask(conn)


async def names(registry: Registry, *servers: SecKey) -> None:
    """Wait until Bob's entry names these servers."""
    with fail_after(PATIENCE):
        while await registry.servers_of(BOB.public) != {each.public for each in servers}:
            await wait_all_tasks_blocked()


@nothing_fails
async def test_the_entry_names_the_servers_of_all_sessions() -> None:
    """It is there when serving begins, follows the sessions, and is taken back at the end."""
    registry = Registry()
    async with create_task_group() as task_group:
        stops = {
            key: await start_relay(task_group, Relay(key, listen=[LOOPBACK], discovery=registry, limits=SWIFT))
            for key in (RELAY, TRUDY)
        }
        bob = DmsgNetwork(BOB, registry, min_sessions=0, client_type="visor", limits=SWIFT)
        async with served(bob):
            await names(registry, RELAY, TRUDY)
            await is_reached(registry)
            await stops[TRUDY]()
            await names(registry, RELAY)
            entry = await registry.stored(BOB.public)
            assert entry is not None
            assert entry.client_type == "visor"
            await is_reached(registry)
            await stops[RELAY]()
            await names(registry)
        assert await registry.stored(BOB.public) is None
    assert await registry.stored(RELAY.public) is None


@nothing_fails
async def test_an_entry_that_says_so_already_is_not_posted_again() -> None:
    registry = Registry()
    async with serving_relay(discovery=registry), served(DmsgNetwork(BOB, registry, limits=SWIFT)) as bob:
        before = await registry.entry(BOB.public)
        bob._require_running().pool._notify()
        await registry.asked(1)
        await wait_all_tasks_blocked()
        # Posts are not counted: the relay's own, about its session with bob, may come just now.
        assert before is not None
        assert await registry.entry(BOB.public) == before


@nothing_fails
@pytest.mark.parametrize("call", ["entry", "post", "available_servers"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda error: type(error).__name__)
async def test_a_discovery_that_fails_is_asked_again(call: str, failure: Exception) -> None:
    """Until then nobody is told that serving has begun."""
    registry = Registry()
    async with serving_relay(discovery=registry), create_task_group() as task_group:
        registry.failures[call] = failure
        registry.calls.clear()
        started = Event()
        async with DmsgNetwork(BOB, registry, limits=SWIFT) as bob:

            async def serve() -> None:
                await task_group.start(bob.serve, DISPATCHER)
                started.set()

            task_group.start_soon(serve)
            await until(lambda: registry.calls[call] >= 5)
            assert not started.is_set()
            del registry.failures[call]
            await started.wait()
            await is_reached(registry)
            task_group.cancel_scope.cancel()


@nothing_fails
async def test_a_discovery_that_never_answers() -> None:
    """Serving may be given up; leaving takes no longer than it takes to give the entry up."""
    registry = Registry()
    async with serving_relay(discovery=registry), DmsgNetwork(BOB, registry, limits=SWIFT) as bob:
        registry.held = Event()
        calls = registry.calls["available_servers"]
        async with create_task_group() as task_group:
            task_group.start_soon(bob.serve, DISPATCHER)
            await until(lambda: registry.calls["available_servers"] > calls)
            task_group.cancel_scope.cancel()
        registry.held = None
        with fail_after(20):
            async with create_task_group() as task_group:
                await task_group.start(bob.serve, DISPATCHER)
                registry.held = Event()
                task_group.cancel_scope.cancel()
        registry.held = None


@nothing_fails
async def test_an_update_that_comes_in_between() -> None:
    """Of a process with the same key that was there before, and is gone: that does not evict us."""
    registry = Registry()
    async with serving_relay(discovery=registry):

        async def interfere() -> None:
            await registry.register(BOB, [TRUDY.public])
            registry.before_post = interfere if len(interferences) < 2 else None
            interferences.append(1)

        interferences: list[int] = []
        await registry.register(BOB, [])
        registry.before_post = interfere
        async with served(DmsgNetwork(BOB, registry, limits=SWIFT)) as bob:
            assert not bob.evicted
            await names(registry, RELAY)
            await is_reached(registry)
        assert len(interferences) >= 2


@nothing_fails
async def test_answers_that_are_lost() -> None:
    """An entry that is stored, though nobody said so, is our own all the same."""
    registry = Registry()
    async with serving_relay(discovery=registry), DmsgNetwork(BOB, registry, limits=SWIFT) as bob:
        registry.loses_answers = True
        posts = registry.calls["post"]
        async with create_task_group() as task_group:
            task_group.start_soon(bob.serve, DISPATCHER)
            await until(lambda: registry.calls["post"] >= posts + 4)
            await is_reached(registry)
            assert not bob.evicted
            # Then so many fail that the signature of the stored one would be forgotten.
            registry.failures["post"] = DiscoveryUnreachable("read only")
            await until(lambda: registry.calls["post"] >= posts + 16)
            assert not bob.evicted
            del registry.failures["post"]
            registry.loses_answers = False
            posts = registry.calls["post"]
            await until(lambda: registry.calls["post"] > posts)
            assert not bob.evicted
            task_group.cancel_scope.cancel()
        assert await registry.stored(BOB.public) is None


@nothing_fails
@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_a_discovery_whose_clock_is_wrong(ahead: float) -> None:
    """It takes entries of clients, but of servers only those of its own time."""
    registry = Registry(ahead=ahead)
    async with raw_relay() as relay:
        with pytest.raises(DiscoveryRefused) as caught:
            await relay.announce(registry)
        assert caught.value.reason is Reason.OUTDATED
        await relay.announce(registry, ahead=ahead)
        async with served(DmsgNetwork(BOB, registry, limits=SWIFT)):
            await names(registry, RELAY)


async def test_a_relay_and_a_discovery_that_fails_at_first(caplog: pytest.LogCaptureFixture) -> None:
    """It takes sessions all the same."""
    registry = Registry()
    registry.failures["post"] = DiscoveryUnreachable("as planned")
    relay = Relay(RELAY, listen=[LOOPBACK], discovery=registry)
    async with create_task_group() as task_group:
        await start(task_group, relay.serve)
        await until(lambda: "next try" in caplog.text)
        async with await RawPeer.connect(relay, ALICE) as alice:
            await alice.pong(1)
        del registry.failures["post"]
        with fail_after(PATIENCE):
            await relay.announced()
        assert await registry.stored(RELAY.public) is not None
        registry.failures["delete"] = DiscoveryUnreachable("as planned")
        task_group.cancel_scope.cancel()
    assert "cannot take this relay's entry back" in caplog.text


@nothing_fails
@pytest.mark.parametrize("times", [1, 2])
async def test_an_update_of_a_relay_that_comes_in_between(times: int) -> None:
    """Of the client with the same key."""
    registry = Registry()
    left = times

    async def interfere() -> None:
        nonlocal left
        await registry.register(RELAY, [])
        left -= 1
        registry.before_post = interfere if left else None

    registry.before_post = interfere
    async with serving_relay(discovery=registry):
        entry = await registry.stored(RELAY.public)
        assert entry is not None
        assert entry.server is not None
        assert left == 0


async def test_a_relay_may_serve_and_be_announced_again() -> None:
    registry = Registry()
    relay = Relay(RELAY, listen=[LOOPBACK], discovery=registry)
    for _ in range(2):
        async with create_task_group() as task_group:
            await start_relay(task_group, relay)
            assert await registry.stored(RELAY.public) is not None
            task_group.cancel_scope.cancel()
        assert await registry.stored(RELAY.public) is None


async def test_a_relay_whose_clock_is_wrong_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """And goes on trying."""
    registry = Registry(ahead=3600)
    relay = Relay(RELAY, listen=[LOOPBACK], discovery=registry)
    async with create_task_group() as task_group:
        task_group.start_soon(relay.serve)
        await until(lambda: "cannot announce this relay" in caplog.text)
        assert len(relay.addresses) == 1
        task_group.cancel_scope.cancel()


@nothing_fails
async def test_an_entry_of_the_future() -> None:
    """Left behind by a process whose clock was wrong."""
    registry = Registry()
    await registry.register(BOB, [TRUDY.public], timestamp_ns=time.time_ns() + 3600 * 10**9)
    async with serving_relay(discovery=registry), served(DmsgNetwork(BOB, registry, limits=SWIFT)):
        await is_reached(registry)
    assert await registry.stored(BOB.public) is None


@nothing_fails
async def test_a_discovery_that_has_lost_everything() -> None:
    registry = Registry()
    limits = replace(SWIFT, update_seconds=0.1)
    async with serving_relay(discovery=registry), served(DmsgNetwork(BOB, registry, limits=limits)) as bob:
        registry.forget()
        await names(registry, RELAY)
        assert not bob.evicted


@nothing_fails
async def test_a_discovery_that_lists_nobody_at_first() -> None:
    registry = Registry()
    async with create_task_group() as task_group, DmsgNetwork(BOB, registry, limits=SWIFT) as bob:
        task_group.start_soon(bob.serve, DISPATCHER)
        await until(lambda: registry.calls["available_servers"] >= 3)
        async with serving_relay(discovery=registry):
            await names(registry, RELAY)
            await is_reached(registry)
            task_group.cancel_scope.cancel()


async def test_the_entry_of_somebody_else_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """At the end of serving, and when it cannot be seen whose it is."""
    registry = Registry()
    async with serving_relay(discovery=registry):
        async with served(DmsgNetwork(BOB, registry, limits=SWIFT)):
            another = await registry.register(BOB, [TRUDY.public])
        assert await registry.stored(BOB.public) == another
        async with served(DmsgNetwork(BOB, registry, limits=SWIFT)):
            registry.failures["delete"] = DiscoveryUnreachable("as planned")
        assert "cannot take our entry back" in caplog.text
        assert await registry.servers_of(BOB.public) == {RELAY.public}


EVICTED = "another process uses the key"
RESUMED = "the other process with the key"


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


async def test_the_newest_of_two_processes_with_one_key_serves(caplog: pytest.LogCaptureFixture) -> None:
    """The other says so, once, keeps still, and goes on when it is alone again."""
    registry = Registry()
    async with (
        serving_relay(discovery=registry, limits=SWIFT) as relay,
        served(DmsgNetwork(BOB, registry, limits=SWIFT)) as first,
    ):
        for turn in range(1, 3):
            async with served(DmsgNetwork(BOB, registry, limits=SWIFT)) as second:
                await until(lambda: first.evicted)
                assert not second.evicted
                made = relay.stats.sessions_made
                assert made <= 5 * turn
                await registry.asked(5)
                assert first.evicted
                assert said(caplog, EVICTED) == turn
                assert relay.stats.sessions_made == made
                await names(registry, RELAY)
                await is_reached(registry)
                assert relay.stats.sessions_made == made + 1
                with pytest.raises(DmsgUnreachable, match="another process is connected with our key"):
                    await first.dial(dmsg(TRUDY), owner=ME)
                assert relay.stats.sessions_made == made + 1
            await until(lambda: not first.evicted)
            assert said(caplog, RESUMED) == turn
            await names(registry, RELAY)
            await is_reached(registry)


async def test_a_process_that_has_crashed_evicts_nobody_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """Its entry stays. An entry that nobody has updated for three of upstream's intervals tells of nobody."""
    registry = Registry()
    limits = replace(SWIFT, update_seconds=0.1)
    async with (
        serving_relay(discovery=registry),
        served(DmsgNetwork(BOB, registry, limits=limits)) as bob,
    ):
        await registry.register(BOB, [TRUDY.public])
        await until(lambda: bob.evicted)
        assert len(bob.sessions) == 1
        await registry.register(BOB, [TRUDY.public])
        await registry.asked(3)
        assert bob.evicted
        stale = replace(
            client_update(
                await registry.stored(BOB.public), static=BOB.public, servers=[TRUDY.public], client_type="", now_ns=0
            ),
            timestamp=time.time_ns() - 901 * 10**9,
        )
        registry.forget()
        await registry.post(stale.sign(BOB))
        await until(lambda: not bob.evicted)
        await names(registry, RELAY)
    assert said(caplog, EVICTED) == 1


async def test_an_entry_is_posted_anew_as_soon_as_the_other_process_is_gone() -> None:
    """Though no session has to be made for that, and the next update is far."""
    registry = Registry()
    async with serving_relay(discovery=registry), served(DmsgNetwork(BOB, registry, limits=SWIFT)) as bob:
        another = await registry.register(BOB, [TRUDY.public])
        bob._require_running().pool._notify()
        await until(lambda: bob.evicted)
        await registry.delete(replace(another, timestamp=time.time_ns()).sign(BOB))
        await until(lambda: not bob.evicted)
        await names(registry, RELAY)


@nothing_fails
async def test_a_server_with_the_same_key_evicts_nobody() -> None:
    """A relay and a client may share a key, and an entry with a part of each."""
    registry = Registry()
    limits = replace(SWIFT, update_seconds=0.05)
    relay = Relay(BOB, listen=[LOOPBACK], discovery=registry, update_seconds=0.05)
    async with create_task_group() as task_group:
        await start_relay(task_group, relay)
        async with served(DmsgNetwork(BOB, registry, limits=limits)) as bob:
            calls = registry.calls["post"]
            await until(lambda: registry.calls["post"] >= calls + 6)
            assert not bob.evicted
            entry = await registry.stored(BOB.public)
            assert entry is not None
            assert entry.server is not None
            assert await registry.servers_of(BOB.public) == {BOB.public}
        task_group.cancel_scope.cancel()
